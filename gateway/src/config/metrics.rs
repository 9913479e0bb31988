//! What is configured of metrics, resolved, checked and typed.
//!
//! Not here: what is counted (`crate::metrics`), the keys' own documentation (`keys.rs`).

use super::keys;
use super::plan::{Reader, count, switch};
use crate::limits;

/// What is configured of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsPlan {
    /// Whether requests are measured.
    pub requests: bool,
    /// Buckets that have series of their own at a time.
    pub buckets: usize,
    /// Access keys that have series of their own at a time.
    pub users: usize,
}

impl Reader<'_> {
    /// The keys of metrics; `None` says that a finding was kept.
    pub(super) fn metrics(&mut self) -> Option<MetricsPlan> {
        let requests = self.one(&keys::METRICS_REQUESTS, switch);
        let buckets = self.one(&keys::METRICS_BUCKETS, count(0, limits::TENANT_SERIES_MAX));
        let users = self.one(&keys::METRICS_USERS, count(0, limits::TENANT_SERIES_MAX));
        Some(MetricsPlan { requests: requests?, buckets: buckets?, users: users? })
    }
}
