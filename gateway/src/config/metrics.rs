//! What is configured of tenants' metrics, resolved, checked and typed.
//!
//! Not here: whether requests are measured at all (`receipts.rs`), what is counted (`crate::metrics`), the keys' own documentation (`keys.rs`).

use super::keys;
use super::plan::{Reader, count};
use crate::limits;

/// How many tenants have metrics of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsPlan {
    /// Buckets that have series of their own at a time.
    pub buckets: usize,
    /// Access keys that have series of their own at a time.
    pub users: usize,
}

impl Reader<'_> {
    /// The keys of tenants' metrics; `None` says that a finding was kept.
    pub(super) fn metrics(&mut self) -> Option<MetricsPlan> {
        let buckets = self.one(&keys::METRICS_BUCKETS, count(0, limits::TENANT_SERIES_MAX));
        let users = self.one(&keys::METRICS_USERS, count(0, limits::TENANT_SERIES_MAX));
        Some(MetricsPlan { buckets: buckets?, users: users? })
    }
}
