//! What is configured of the lifecycle, resolved, checked and typed.
//!
//! Not here: the worker (`crate::lifecycle`), the keys' own documentation (`keys.rs`).

use super::keys;
use super::plan::{Reader, count, time};
use crate::lifecycle::calendar::Calendar;
use crate::limits;

/// What is configured of the lifecycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecyclePlan {
    /// The length of a day.
    pub calendar: Calendar,
    /// Versions and uploads looked at in a second, at most.
    pub keys_per_second: usize,
    /// Deletions in a second, at most.
    pub deletes_per_second: usize,
}

impl Reader<'_> {
    /// The keys of the lifecycle; `None` says that a finding was kept.
    pub(super) fn lifecycle(&mut self) -> Option<LifecyclePlan> {
        let day = self.one(&keys::LIFECYCLE_DAY, time);
        let most = limits::LIFECYCLE_RATE_MAX;
        let keys_per_second = self.one(&keys::LIFECYCLE_KEYS, count(1, most));
        let deletes_per_second = self.one(&keys::LIFECYCLE_DELETES, count(1, most));
        Some(LifecyclePlan {
            calendar: Calendar::new(day?),
            keys_per_second: keys_per_second?,
            deletes_per_second: deletes_per_second?,
        })
    }
}
