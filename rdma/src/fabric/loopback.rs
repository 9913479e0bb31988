//! Owns a fabric in memory where nothing takes time: for tests of what is above, on one thread or many, and for trying
//! the protocols on a machine without a device.
//!
//! It checks what a real device checks: states, sequence numbers, path MTUs, keys, ranges, rights, registration. What is
//! posted is executed within the call, but for a peer that isn't there: that takes the time of the retries.
//!
//! *Not here*: how it works (`model`), faults ([`super::simulated`]).

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use datapath::arena::Arena;

use super::address::Gid;
use super::driver::Fabric;
use super::model::{Core, Faults};

/// A network that fabrics join. Clones are the same network; any thread may use it.
#[derive(Clone)]
pub struct Network {
    core: Arc<Core>,
}

impl Network {
    /// A network with nobody on it. Its keys, addresses and numbers are drawn anew in each process.
    #[must_use]
    pub fn new() -> Network {
        // The standard library's source of randomness for hash tables: from the system, and it can't fail.
        let seed = RandomState::new().hash_one("loopback");
        Network { core: Core::new("loopback", seed, Faults::IMMEDIATE, false) }
    }

    /// A device with this address and a protection domain of its own, in which the arena is registered.
    #[must_use]
    pub fn fabric(&self, gid: Gid, arena: Option<&Arena>) -> Arc<dyn Fabric> {
        self.core.join(gid, arena)
    }
}

impl Default for Network {
    fn default() -> Network {
        Network::new()
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("kind", &"loopback").finish_non_exhaustive()
    }
}
