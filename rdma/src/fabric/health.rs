//! Owns how a fabric says that it is well: what its device has told of itself unasked.

use super::error::FabricError;

/// How a fabric is doing. Counters count from its opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FabricHealth {
    /// Whether the port's link is up. While it is down work waits, and fails when its retries are used up; nothing has
    /// to be opened anew when it comes back.
    pub port_active: bool,
    /// Why nothing works here ever again, once that is so. Every endpoint fails with it.
    pub failed: Option<FabricError>,
    /// How often the link was lost.
    pub port_losses: u64,
    /// How often the port's addresses were changed. A fabric goes on with those that it has found when it was opened.
    pub address_changes: u64,
    /// Queue pairs that the device put into the error state by itself: a fault of its own, or a peer that did what it
    /// may not. Their work is flushed, so that whoever waits for it hears of it there.
    pub queue_pair_errors: u64,
    /// Completion queues that were lost, each with its endpoint.
    pub completion_queue_errors: u64,
}

impl Default for FabricHealth {
    /// All is well, and always was.
    fn default() -> FabricHealth {
        FabricHealth {
            port_active: true,
            failed: None,
            port_losses: 0,
            address_changes: 0,
            queue_pair_errors: 0,
            completion_queue_errors: 0,
        }
    }
}
