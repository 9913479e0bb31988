//! Owns the record of what was placed where and when, and what should not have been.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::MODEL_LOG_ENTRIES_MAX;

/// Bytes that a peer placed in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Since the network was made, on tokio's clock.
    pub at: Duration,
    /// The window's key.
    pub rkey: u32,
    /// Where the piece begins.
    pub address: u64,
    /// Its size.
    pub bytes: u64,
}

/// The record; the oldest entries go when it is full.
pub(super) struct Log {
    pub(super) placements: VecDeque<Placement>,
    pub(super) violations: Vec<Placement>,
    /// Whether anything is recorded at all.
    enabled: bool,
}

impl Log {
    pub(super) fn new(enabled: bool) -> Log {
        Log { placements: VecDeque::new(), violations: Vec::new(), enabled }
    }

    /// Records a placement; `late`: nobody may place anything there any more.
    pub(super) fn record(&mut self, placement: Placement, late: bool) {
        if !self.enabled {
            return;
        }
        if late && self.violations.len() < MODEL_LOG_ENTRIES_MAX {
            self.violations.push(placement);
        }
        if self.placements.len() == MODEL_LOG_ENTRIES_MAX {
            self.placements.pop_front();
        }
        self.placements.push_back(placement);
    }
}
