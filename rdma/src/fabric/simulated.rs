//! Owns a fabric in memory where everything takes its time and goes wrong as its seed says: for finding out what the
//! protocols do then, in virtual time, again and again the same.
//!
//! Within one thread whose clock is paused (`#[tokio::test(start_paused = true)]`), made inside that runtime, two runs
//! with the same seed and the same calls place the same bytes at the same times.
//!
//! Within a queue pair everything stays in order; between them nothing does. From the error state until the flush is
//! reported, and until the queue pair is destroyed at the latest, what was under way may still be placed; never after.
//!
//! *Not here*: how it works (`model`).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datapath::arena::Arena;

use super::address::Gid;
use super::driver::Fabric;
use super::model::Core;

pub use super::model::{Faults, Placement};

/// A network that fabrics join. Clones are the same network.
#[derive(Clone)]
pub struct Network {
    core: Arc<Core>,
    seed: u64,
}

impl Network {
    /// A network with nobody on it.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Network {
        Network { core: Core::new("simulated", seed, faults, true), seed }
    }

    /// What all is drawn from; for the message of a test that fails.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A device with this address and a protection domain of its own, in which the arena is registered.
    #[must_use]
    pub fn fabric(&self, gid: Gid, arena: Option<&Arena>) -> Arc<dyn Fabric> {
        self.core.join(gid, arena)
    }

    /// What was placed in windows by WRITEs, in order: the last [`crate::limits::MODEL_LOG_ENTRIES_MAX`].
    #[must_use]
    pub fn placements(&self) -> Vec<Placement> {
        self.core.placements()
    }

    /// Says that the request was answered for which this window was open. Opening it anew makes it a new window.
    pub fn close_window(&self, rkey: u32) {
        self.core.close_window(rkey);
    }

    /// What was placed, or was about to be, in a window after the answer was given ([`Self::close_window`]) or while
    /// its memory was the CPU's again. Must be empty, whatever went wrong.
    #[must_use]
    pub fn violations(&self) -> Vec<Placement> {
        self.core.violations()
    }

    /// From here on it behaves so; requests under way keep to what was drawn for them.
    pub fn set_faults(&self, faults: Faults) {
        self.core.set_faults(faults);
    }

    /// Unplugs all devices of this address: no packet reaches them or comes from them any more.
    pub fn vanish(&self, gid: Gid) {
        self.core.vanish(gid);
    }

    /// Makes all completion queues of this address fail.
    pub fn break_device(&self, gid: Gid) {
        self.core.break_device(gid);
    }

    /// Nothing moves for so long, on the whole network.
    pub fn pause(&self, time: Duration) {
        self.core.pause(time);
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("seed", &self.seed).finish_non_exhaustive()
    }
}
