//! Owns tests of what an endpoint does when its device, its thread or its owner fails it: on a device that obeys a script.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::task::LocalSet;
use tokio::time::Instant;

use super::super::driver::{BufferDriver, FabricFacts, Local, QueuePairShape, RemoteAccess};
use super::super::work::{Payload, Work, WorkKind};
use super::super::{Gid, Mtu, QueuePairOptions};
use super::*;

/// What the device is told to do, and what was done to it.
#[derive(Default)]
struct Script {
    completions: VecDeque<Completion>,
    /// Flushes receives when a queue pair goes to the error state.
    flushes: bool,
    refuses_destroy: bool,
    broken: bool,
    receives: u32,
    queue_pairs: u32,
    destroyed: u32,
    endpoints_dropped: u32,
}

#[derive(Clone)]
struct Device {
    script: Arc<Mutex<Script>>,
    wake: Arc<Notify>,
    facts: FabricFacts,
}

impl Device {
    fn new(script: Script) -> Device {
        let facts = FabricFacts {
            kind: "script",
            device: "script0".into(),
            port: 1,
            link_layer: "Ethernet",
            lid: 0,
            gid: Gid::ZERO,
            path_mtu: Mtu::B1024,
            message_bytes_max: 1,
            immediate: true,
            registered_bytes: 0,
            regions: 0,
        };
        Device { script: Arc::new(Mutex::new(script)), wake: Arc::new(Notify::new()), facts }
    }

    fn change<T>(&self, act: impl FnOnce(&mut Script) -> T) -> T {
        let outcome = act(&mut self.script.lock().unwrap());
        self.wake.notify_one();
        outcome
    }

    fn open(&self) -> Endpoint {
        let fabric: Arc<dyn Fabric> = Arc::new(self.clone());
        Endpoint::open(&fabric).unwrap()
    }
}

impl Fabric for Device {
    fn facts(&self) -> &FabricFacts {
        &self.facts
    }

    fn local_gid(&self, _peer: Gid) -> Result<Gid, FabricError> {
        Ok(Gid::ZERO)
    }

    fn endpoint(&self) -> Result<Box<dyn EndpointDriver>, FabricError> {
        Ok(Box::new(ScriptedEndpoint(self.clone())))
    }

    fn allocate(&self, _bytes: usize) -> Result<Box<dyn BufferDriver>, FabricError> {
        Err(FabricError::new("ibv_reg_mr", "no memory"))
    }

    fn adopt(&self, _memory: Box<[u8]>) -> Result<Box<dyn BufferDriver>, FabricError> {
        Err(FabricError::new("ibv_reg_mr", "no memory"))
    }
}

struct ScriptedEndpoint(Device);

impl EndpointDriver for ScriptedEndpoint {
    fn queue_pair(&self, _shape: &QueuePairShape) -> Result<Box<dyn QueuePairDriver>, FabricError> {
        let number = self.0.change(|script| {
            script.queue_pairs += 1;
            script.queue_pairs
        });
        Ok(Box::new(ScriptedQueuePair {
            device: self.0.clone(),
            number: Qpn::new(number).unwrap(),
        }))
    }

    fn poll(&self, limit: usize, completions: &mut Vec<Completion>) -> Result<(), FabricError> {
        let mut script = self.0.script.lock().unwrap();
        let count = limit.min(script.completions.len());
        completions.extend(script.completions.drain(..count));
        match script.broken {
            true => Err(FabricError::new("ibv_poll_cq", "overrun")),
            false => Ok(()),
        }
    }

    fn ready(&self) -> Local<'_, Result<(), FabricError>> {
        Box::pin(async {
            self.0.wake.notified().await;
            Ok(())
        })
    }
}

impl Drop for ScriptedEndpoint {
    fn drop(&mut self) {
        self.0.change(|script| script.endpoints_dropped += 1);
    }
}

struct ScriptedQueuePair {
    device: Device,
    number: Qpn,
}

impl QueuePairDriver for ScriptedQueuePair {
    fn number(&self) -> Qpn {
        self.number
    }

    fn modify(&mut self, step: &Transition) -> Result<(), FabricError> {
        let number = self.number;
        self.device.change(|script| {
            if script.flushes && matches!(step, Transition::Error) {
                let receives = std::mem::take(&mut script.receives);
                let flushed = (0..receives).map(|_| flushed(number));
                script.completions.extend(flushed);
            }
        });
        Ok(())
    }

    fn post(&mut self, work: Work, _signalled: bool) -> Result<(), (FabricError, Work)> {
        Err((FabricError::new("ibv_post_send", "full"), work))
    }

    fn post_receive(&mut self) -> Result<(), FabricError> {
        self.device.change(|script| script.receives += 1);
        Ok(())
    }

    fn destroy(self: Box<Self>) -> Result<(), FabricError> {
        self.device.change(|script| match script.refuses_destroy {
            true => Err(FabricError::new("ibv_destroy_qp", "busy")),
            false => {
                script.destroyed += 1;
                Ok(())
            }
        })
    }
}

fn flushed(queue_pair: Qpn) -> Completion {
    Completion {
        queue_pair,
        kind: WorkKind::Receive,
        status: WorkStatus::Flushed,
        bytes: 0,
        immediate: None,
        payload: Payload::None,
    }
}

fn options() -> QueuePairOptions {
    let shape = QueuePairShape { send_depth: 1, receive_depth: 1 };
    QueuePairOptions { shape, access: RemoteAccess::None }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().unwrap()
}

fn locally<T>(future: impl Future<Output = T>) -> T {
    LocalSet::new().block_on(&runtime(), future)
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[test]
fn the_pump_ends_with_its_endpoint() {
    locally(async {
        let device = Device::new(Script::default());
        let endpoint = device.open();
        settle().await;
        let other = endpoint.clone();
        drop(endpoint);
        settle().await;
        assert_eq!(device.change(|script| script.endpoints_dropped), 0, "a clone is the same");
        drop(other);
        settle().await;
        assert_eq!(device.change(|script| script.endpoints_dropped), 1);
    });
}

#[test]
fn a_queue_pair_keeps_its_endpoint_until_it_is_fenced() {
    locally(async {
        let device = Device::new(Script { flushes: true, ..Script::default() });
        let endpoint = device.open();
        let queue_pair = endpoint.queue_pair(&options()).unwrap();
        queue_pair.post_receive().unwrap();
        drop(endpoint);
        settle().await;
        assert_eq!(device.change(|script| script.endpoints_dropped), 0);
        drop(queue_pair);
        settle().await;
        let done = device.change(|script| (script.destroyed, script.endpoints_dropped));
        assert_eq!(done, (1, 1));
    });
}

#[test]
fn a_device_that_does_not_flush_is_fenced_by_destroying() {
    locally(async {
        let device = Device::new(Script::default());
        let endpoint = device.open();
        let queue_pair = endpoint.queue_pair(&options()).unwrap();
        queue_pair.post_receive().unwrap();
        let began = Instant::now();
        let fenced = queue_pair.fence().await;
        assert!(fenced.clean);
        assert!(fenced.took >= FENCE_TIME && began.elapsed() < FENCE_TIME * 2);
        assert_eq!(device.change(|script| script.destroyed), 1);
        assert_eq!((endpoint.live_queue_pairs(), endpoint.leaked_queue_pairs()), (0, 0));
    });
}

#[test]
fn a_queue_pair_that_cannot_be_destroyed_is_counted() {
    locally(async {
        let device = Device::new(Script { refuses_destroy: true, ..Script::default() });
        let endpoint = device.open();
        let fenced = endpoint.queue_pair(&options()).unwrap().fence().await;
        assert!(!fenced.clean);
        assert_eq!((endpoint.live_queue_pairs(), endpoint.leaked_queue_pairs()), (0, 1));
        endpoint.drained().await;
    });
}

#[test]
fn a_broken_completion_queue_wakes_everyone() {
    locally(async {
        let device = Device::new(Script::default());
        let endpoint = device.open();
        let lines: Vec<Rc<Line>> = (0..3)
            .map(|_| {
                let driver = endpoint.shared().driver().queue_pair(&options().shape).unwrap();
                Line::new(endpoint.shared(), driver)
            })
            .collect();
        // Two wait for the first of them.
        let waiting: Vec<_> = [0, 0, 1, 2]
            .map(|index| Rc::clone(&lines[index]))
            .map(|line| tokio::task::spawn_local(async move { line.next().await.is_err() }))
            .into();
        settle().await;
        let last = lines[1].number;
        device.change(|script| {
            script.broken = true;
            script.completions.push_back(flushed(last));
        });
        let mut failed = Vec::new();
        for task in waiting {
            failed.push(task.await.unwrap());
        }
        assert_eq!(failed, [true, true, false, true], "what had arrived is still given out");
        assert!(lines[0].next().await.is_err(), "who comes later sees it at once");
        assert!(endpoint.queue_pair(&options()).is_err());
        for line in &lines {
            line.posted();
            let fenced = line.fence().await;
            assert!(fenced.clean && fenced.took < FENCE_TIME, "a fence waits for nothing then");
        }
    });
}

#[test]
fn a_fence_given_up_is_taken_up_again() {
    locally(async {
        let device = Device::new(Script::default());
        let endpoint = device.open();
        let queue_pair = endpoint.queue_pair(&options()).unwrap();
        queue_pair.post_receive().unwrap();
        let given_up = tokio::time::timeout(Duration::from_millis(10), queue_pair.fence()).await;
        assert!(given_up.is_err());
        assert_eq!(endpoint.live_queue_pairs(), 1);
        endpoint.drained().await;
        assert_eq!(device.change(|script| script.destroyed), 1);
    });
}

#[test]
fn nothing_outlives_the_tasks_of_the_thread() {
    let device = Device::new(Script::default());
    let (runtime, local) = (runtime(), LocalSet::new());
    let (endpoint, kept) = local.block_on(&runtime, async {
        let endpoint = device.open();
        let dropped = endpoint.queue_pair(&options()).unwrap();
        dropped.post_receive().unwrap();
        drop(dropped);
        settle().await;
        let kept = endpoint.queue_pair(&options()).unwrap();
        (endpoint, kept)
    });
    assert_eq!(endpoint.live_queue_pairs(), 2, "one is being fenced");
    drop(local);
    assert_eq!(endpoint.live_queue_pairs(), 1, "its task was dropped, and it with it");
    drop(kept);
    assert_eq!(endpoint.live_queue_pairs(), 0, "there is no task any more that could fence it");
    drop(endpoint);
    drop(runtime);
    let done = device.change(|script| (script.destroyed, script.endpoints_dropped));
    assert_eq!(done, (2, 1));
}

#[test]
fn a_completion_of_nobody_is_dropped() {
    locally(async {
        let device = Device::new(Script { flushes: true, ..Script::default() });
        let endpoint = device.open();
        let queue_pair = endpoint.queue_pair(&options()).unwrap();
        device.change(|script| script.completions.push_back(flushed(Qpn::new(99).unwrap())));
        settle().await;
        assert_eq!(queue_pair.outstanding(), 0);
        assert!(queue_pair.fence().await.clean);
    });
}

#[test]
fn arming_anew_does_not_wait_for_ever() {
    locally(async {
        let device = Device::new(Script::default());
        let endpoint = device.open();
        let queue_pair = endpoint.queue_pair(&options()).unwrap();
        queue_pair.post_receive().unwrap();
        let psn = super::super::Psn::new(1).unwrap();
        let peer = super::super::Peer { qpn: Qpn::new(7).unwrap(), gid: Gid::ZERO, lid: 0, psn };
        let to = super::super::Connection { peer, local: Gid::ZERO, psn, path_mtu: Mtu::B1024 };
        let error = queue_pair.connect(&to).unwrap().rearm().await.err().unwrap();
        assert!(error.reason.contains("not flushed in time"), "{error}");
        endpoint.drained().await;
    });
}
