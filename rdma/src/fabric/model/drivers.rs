//! Owns what the rest of the crate sees of the model: the traits of `driver.rs`, each a look at the state under its lock.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::Notify;

use super::Core;
use super::memory::{ModelBuffer, Regions};
use crate::fabric::address::{Gid, Mtu, Qpn};
use crate::fabric::driver::{
    BufferDriver, EndpointDriver, Fabric, FabricFacts, Local, QueuePairDriver, QueuePairShape,
    Transition,
};
use crate::fabric::error::FabricError;
use crate::fabric::health::FabricHealth;
use crate::fabric::work::{Completion, Work};
use crate::limits::{MODEL_BUFFER_BYTES_MAX, MODEL_MESSAGE_BYTES_MAX};

/// A device that was joined to a network.
pub(super) struct ModelFabric {
    core: Arc<Core>,
    device: usize,
    facts: FabricFacts,
    regions: Arc<Regions>,
}

impl ModelFabric {
    pub(super) fn new(
        core: &Arc<Core>,
        device: usize,
        gid: Gid,
        regions: Arc<Regions>,
    ) -> ModelFabric {
        let (registered_bytes, count) = regions.total();
        let facts = FabricFacts {
            kind: core.kind,
            device: format!("{}{device}", core.kind),
            port: 1,
            link_layer: "Ethernet",
            lid: 0,
            gid,
            path_mtu: Mtu::B4096,
            message_bytes_max: MODEL_MESSAGE_BYTES_MAX,
            immediate: true,
            registered_bytes,
            regions: count,
        };
        ModelFabric { core: Arc::clone(core), device, facts, regions }
    }
}

impl Fabric for ModelFabric {
    fn facts(&self) -> &FabricFacts {
        &self.facts
    }

    fn health(&self) -> FabricHealth {
        self.core.with(|state| {
            let device = &state.devices[self.device];
            let why = || FabricError::new("ibv_poll_cq", "the completion queue is broken");
            FabricHealth {
                port_active: !device.vanished,
                failed: device.broken.then(why),
                ..FabricHealth::default()
            }
        })
    }

    fn local_gid(&self, _peer: Gid) -> Result<Gid, FabricError> {
        // The port has one address, which reaches everybody on the network.
        Ok(self.facts.gid)
    }

    fn endpoint(&self) -> Result<Box<dyn EndpointDriver>, FabricError> {
        let notify = Arc::new(Notify::new());
        let id = self.core.with(|state| state.new_endpoint(self.device, Arc::clone(&notify)));
        let core = Arc::clone(&self.core);
        Ok(Box::new(ModelEndpoint { core, device: self.device, id, notify }))
    }

    fn allocate(&self, bytes: usize) -> Result<Box<dyn BufferDriver>, FabricError> {
        if bytes > MODEL_BUFFER_BYTES_MAX {
            let reason = format!("{bytes} bytes; {MODEL_BUFFER_BYTES_MAX} at most");
            return Err(FabricError::new("ibv_reg_mr", reason));
        }
        self.adopt(vec![0; bytes].into_boxed_slice())
    }

    fn adopt(&self, memory: Box<[u8]>) -> Result<Box<dyn BufferDriver>, FabricError> {
        Ok(Box::new(ModelBuffer::new(&self.core, self.device, memory, &self.regions)))
    }
}

/// One completion queue.
struct ModelEndpoint {
    core: Arc<Core>,
    device: usize,
    id: u64,
    notify: Arc<Notify>,
}

impl EndpointDriver for ModelEndpoint {
    fn queue_pair(&self, shape: &QueuePairShape) -> Result<Box<dyn QueuePairDriver>, FabricError> {
        let number = self.core.with(|state| state.new_pair(self.device, self.id, *shape));
        Ok(Box::new(ModelQueuePair { core: Arc::clone(&self.core), number }))
    }

    fn poll(&self, limit: usize, completions: &mut Vec<Completion>) -> Result<(), FabricError> {
        self.core.with(|state| state.take_reports(self.id, limit, completions))
    }

    fn ready(&self) -> Local<'_, Result<(), FabricError>> {
        Box::pin(async {
            loop {
                let mut alarm = pin!(self.core.alarm.notified());
                // Heard from here on: an event that is planned between the look and the wait counts.
                alarm.as_mut().enable();
                let (found, next) = self.core.with(|state| {
                    let reports = state.endpoints.get(&self.id);
                    let found = reports.is_none_or(|reports| {
                        !reports.completions.is_empty() || state.devices[reports.device].broken
                    });
                    (found, state.next_event())
                });
                if found {
                    return Ok(());
                }
                let due = async {
                    match next {
                        Some(at) => tokio::time::sleep_until(self.core.began + at).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    () = self.notify.notified() => {}
                    () = alarm => {}
                    () = due => {}
                }
            }
        })
    }
}

impl Drop for ModelEndpoint {
    fn drop(&mut self) {
        let lost = self.core.with(|state| state.endpoints.remove(&self.id));
        drop(lost);
    }
}

/// One queue pair.
struct ModelQueuePair {
    core: Arc<Core>,
    number: u32,
}

impl QueuePairDriver for ModelQueuePair {
    fn number(&self) -> Qpn {
        Qpn::new(self.number).expect("numbers are drawn from 1 to 24 bits")
    }

    fn modify(&mut self, step: &Transition) -> Result<(), FabricError> {
        self.core.with(|state| state.modify(self.number, step))
    }

    fn post(&mut self, work: Work, signalled: bool) -> Result<(), (FabricError, Work)> {
        self.core.with(|state| state.post(self.number, work, signalled))
    }

    fn post_receive(&mut self) -> Result<(), FabricError> {
        self.core.with(|state| state.post_receive(self.number))
    }

    fn destroy(self: Box<Self>) -> Result<(), FabricError> {
        // By dropping it.
        Ok(())
    }
}

impl Drop for ModelQueuePair {
    fn drop(&mut self) {
        let held = self.core.with(|state| state.destroy(self.number));
        drop(held);
    }
}
