//! The thread that looks at every device's counters once a second and judges it.
//!
//! *Owns* the verdicts. It is a thread of its own because a device that hangs may hang whatever
//! else looks at it; this one only reads counters. *Not here*: the rules ([`crate::device`]).

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use super::Shared;
use crate::{
    device::{Health, Trouble},
    id::DeviceId,
    limits::HEALTH_LOOK,
};

/// What is the matter with each device, in their order; nothing for those that are well.
#[derive(Default)]
pub(super) struct Verdicts(Mutex<Vec<Option<Trouble>>>);

impl Verdicts {
    pub(super) fn of(&self, device: DeviceId) -> Option<Trouble> {
        let verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.get(usize::from(device.0)).copied().flatten()
    }

    fn set(&self, verdicts: Vec<Option<Trouble>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = verdicts;
    }
}

/// The running thread; it ends when this is dropped, or with the store.
pub(super) struct Watch {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts the thread.
    pub(super) fn start(store: Weak<Shared>) -> io::Result<Watch> {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("device-watch".into()).spawn(move || {
            let mut watched = Vec::new();
            while stopped.recv_timeout(HEALTH_LOOK) == Err(RecvTimeoutError::Timeout) {
                let Some(store) = store.upgrade() else {
                    return;
                };
                look(&store, &mut watched, Instant::now());
            }
        })?;
        Ok(Watch { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    /// Waits for the thread, so that it does not keep the store's lock from the next one.
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so; devices keep the verdicts they had.
            let _ = thread.join();
        }
    }
}

/// Looks at all devices once.
fn look(store: &Arc<Shared>, watched: &mut Vec<Health>, now: Instant) {
    let devices = store.devices.devices();
    watched.resize_with(devices.len(), Health::default);
    let judged = devices.iter().zip(watched).map(|(device, health)| {
        let before = store.verdicts.of(device.id());
        let trouble = health.look(now, store.meters.sight(device.id()));
        let path = device.path().display();
        match (before, trouble) {
            (None, Some(trouble)) => tracing::warn!(device = %path, %trouble, "device is suspect"),
            (Some(_), None) => tracing::info!(device = %path, "device is well again"),
            _ => {}
        }
        trouble
    });
    let judged = judged.collect();
    store.verdicts.set(judged);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::content::Content;
    use super::super::testing::{Simulated, bucket, content, get, put};
    use crate::{
        device::{DeviceState, Injection, Trouble},
        limits::DEVICE_BLOCK_BYTES,
        store::DeviceStats,
    };

    /// The device's figures once it is no longer ok, at most ten looks later.
    async fn judged(simulated: &Simulated) -> DeviceStats {
        for _ in 0..100 {
            let device = simulated.store.handle().stats().devices.remove(0);
            if device.state != DeviceState::Ok {
                return device;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("nothing was noticed");
    }

    #[test]
    fn a_failed_read_makes_a_device_suspect() {
        let simulated = Simulated::new(&[16 << 20, 16 << 20]);
        let simulated = &simulated;
        simulated.run(|lane| async move {
            put(&lane, "key", &content(1, 70_000)).await.unwrap();
            simulated.disks[0].inject(Injection::ReadError(libc::EIO));
            simulated.disks[1].inject(Injection::ReadError(libc::EIO));
            get(&lane, "key").await.unwrap_err();
            for _ in 0..100 {
                let devices = simulated.store.handle().stats().devices;
                let found = devices.iter().find(|device| device.state == DeviceState::Suspect);
                if let Some(device) = found {
                    assert!(matches!(device.trouble, Some(Trouble::Faults { count: 1.. })));
                    let well = devices.iter().filter(|device| device.state == DeviceState::Ok);
                    assert_eq!(well.count(), 1, "the other one is well");
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            panic!("nothing was noticed");
        });
    }

    #[test]
    fn wrong_checksums_are_counted_and_make_a_device_suspect() {
        let simulated = Simulated::new(&[16 << 20]);
        let simulated = &simulated;
        simulated.run(|lane| async move {
            put(&lane, "key", &content(1, 70_000)).await.unwrap();
            let object = lane.open(bucket(&lane).await, b"key", None).unwrap().there().unwrap();
            let Content::Extents(runs) = object.content() else {
                panic!("this is not inline");
            };
            let block = runs[0].extent.location.offset_blocks;
            simulated.disks[0].rot(block * DEVICE_BLOCK_BYTES as u64 + 7);
            get(&lane, "key").await.unwrap_err();
            let device = judged(simulated).await;
            assert_eq!(device.engine.checksum_failures, 2, "each attempt");
            assert_eq!(device.state, DeviceState::Suspect);
            assert_eq!(device.engine.read_times.count(), device.engine.reads);
        });
    }

    #[test]
    fn a_failed_flush_fails_a_device_at_once() {
        let simulated = Simulated::new(&[16 << 20]);
        let simulated = &simulated;
        simulated.run(|lane| async move {
            let stats = || simulated.store.handle().stats();
            put(&lane, "first", &content(1, 70_000)).await.unwrap();
            let before = stats();
            assert_eq!((before.devices[0].state, before.devices[0].trouble), Default::default());
            assert_eq!(before.devices[0].flush.times.count(), 1);
            assert_eq!(before.devices[0].engine.write_times.count(), 1);
            // The bucket, then the object, each alone in its transaction.
            assert_eq!(
                (before.commit.batch_sizes.counts[0], before.commit.batch_sizes.sum),
                (2, 2)
            );
            assert_eq!(before.commit.answer_times.count(), 2);
            simulated.disks[0].inject(Injection::FlushError(libc::EIO));
            put(&lane, "second", &content(1, 70_000)).await.unwrap_err();
            let device = stats().devices.remove(0);
            assert_eq!(device.state, DeviceState::Failed);
            assert_eq!(device.trouble, Some(Trouble::FlushFailed));
            assert_eq!(device.flush.times.count(), 2);
        });
    }
}
