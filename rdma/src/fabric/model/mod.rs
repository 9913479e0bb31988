//! *Owns:* one model of a fabric in memory: devices with a protection domain each, windows, queue pairs, packets that
//! arrive or don't. [`super::loopback`] is this model where nothing takes time, [`super::simulated`] where everything does.
//!
//! | file | owns |
//! |---|---|
//! | `state` | what the network knows, its clock |
//! | `wire` | what happens between two queue pairs |
//! | `pair` | one queue pair |
//! | `memory` | registered memory, windows |
//! | `drivers` | the traits of `driver.rs` |
//! | `behaviour`, `chance`, `log` | times and faults, what is drawn, what was placed |
//!
//! *Limits:* `limits.rs`, section Fabrics in memory.

mod behaviour;
mod chance;
mod drivers;
mod log;
mod memory;
mod pair;
mod state;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use datapath::arena::Arena;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::address::Gid;
use super::driver::Fabric;

pub use behaviour::Faults;
pub use log::Placement;

use drivers::ModelFabric;
use log::Log;
use memory::Regions;
use state::{Device, State};

/// A network: all that is shared by the fabrics joined to it.
pub(super) struct Core {
    kind: &'static str,
    state: Mutex<State>,
    /// Told when the next event may be earlier than it was.
    alarm: Arc<Notify>,
    began: Instant,
}

impl Core {
    pub(super) fn new(kind: &'static str, seed: u64, faults: Faults, logs: bool) -> Arc<Core> {
        let alarm = Arc::new(Notify::new());
        let state = Mutex::new(State::new(seed, faults, Arc::clone(&alarm), Log::new(logs)));
        Arc::new(Core { kind, state, alarm, began: Instant::now() })
    }

    /// Joins a fabric.
    pub(super) fn join(self: &Arc<Core>, gid: Gid, arena: Option<&Arena>) -> Arc<dyn Fabric> {
        let regions = Arc::new(Regions::default());
        if let Some(arena) = arena {
            regions.add_arena(arena);
        }
        let device = Device {
            gid,
            regions: Arc::clone(&regions),
            _arena: arena.cloned(),
            vanished: false,
            broken: false,
        };
        let index = self.with(|state| {
            state.devices.push(device);
            state.devices.len() - 1
        });
        Arc::new(ModelFabric::new(self, index, gid, regions))
    }

    /// Looks at the network as it is now, and makes happen what follows at once.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let now = self.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.run(now);
        let outcome = act(&mut state);
        let now = state.now;
        state.run(now);
        outcome
    }

    fn now(&self) -> Duration {
        Instant::now().saturating_duration_since(self.began)
    }

    /// What was placed, in order.
    pub(super) fn placements(&self) -> Vec<Placement> {
        self.with(|state| state.log.placements.iter().copied().collect())
    }

    /// Of these, what nobody may have placed.
    pub(super) fn violations(&self) -> Vec<Placement> {
        self.with(|state| state.log.violations.clone())
    }

    /// The answer was given for which this window was open; opened again, it is a new window.
    pub(super) fn close_window(&self, rkey: u32) {
        self.with(|state| {
            if let Some(opened) = state.windows.get_mut(&rkey) {
                opened.answered = true;
            }
        });
    }

    /// From here on the network behaves so.
    pub(super) fn set_faults(&self, faults: Faults) {
        self.with(|state| state.faults = faults);
    }

    /// No packet reaches the devices of this address, or comes from them.
    pub(super) fn vanish(&self, gid: Gid) {
        self.with(|state| {
            let devices = state.devices.iter_mut().filter(|device| device.gid == gid);
            devices.for_each(|device| device.vanished = true);
            state.wake_all_parked();
        });
    }

    /// The completion queues of the devices of this address fail.
    pub(super) fn break_device(&self, gid: Gid) {
        self.with(|state| {
            let devices = state.devices.iter_mut().filter(|device| device.gid == gid);
            devices.for_each(|device| device.broken = true);
            let State { devices, endpoints, .. } = state;
            let told = endpoints.values().filter(|reports| devices[reports.device].broken);
            told.for_each(|reports| reports.notify.notify_one());
        });
    }

    /// Nothing moves for so long.
    pub(super) fn pause(&self, time: Duration) {
        self.with(|state| state.paused_until = state.paused_until.max(state.now + time));
    }
}

#[cfg(test)]
mod tests;
