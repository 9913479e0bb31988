//! What is configured of metrics and receipts, resolved, checked and typed.
//!
//! Not here: what is counted (`crate::metrics`), receipts themselves (`crate::door::receipt`), the
//! keys' own documentation (`keys.rs`).

use super::keys;
use super::plan::{Parsed, Reader, choice, count, switch};
use crate::limits;

/// Which responses carry a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipts {
    /// Those to requests that ask for one.
    OnRequest,
    /// All.
    Always,
    /// None.
    Off,
}

/// What is configured of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsPlan {
    /// Whether requests are measured.
    pub requests: bool,
    /// Buckets that have series of their own at a time.
    pub buckets: usize,
    /// Access keys that have series of their own at a time.
    pub users: usize,
    /// Which responses carry a receipt.
    pub receipts: Receipts,
}

impl Reader<'_> {
    /// The keys of metrics; `None` says that a finding was kept.
    pub(super) fn metrics(&mut self) -> Option<MetricsPlan> {
        let requests = self.one(&keys::METRICS_REQUESTS, switch);
        let buckets = self.one(&keys::METRICS_BUCKETS, count(0, limits::TENANT_SERIES_MAX));
        let users = self.one(&keys::METRICS_USERS, count(0, limits::TENANT_SERIES_MAX));
        let receipts = self.one(&keys::RECEIPTS, receipts);
        if let (Some(false), Some(Receipts::Always)) = (requests, receipts) {
            self.fault(
                &keys::RECEIPTS,
                Some("always".to_owned()),
                "requests are not measured (metrics.requests = off), and receipts say what was",
                "set metrics.requests = on, or receipts = off",
            );
        }
        Some(MetricsPlan {
            requests: requests?,
            buckets: buckets?,
            users: users?,
            receipts: receipts?,
        })
    }
}

fn receipts(text: &str) -> Parsed<Receipts> {
    choice(
        text,
        &[
            ("on_request", Receipts::OnRequest),
            ("always", Receipts::Always),
            ("off", Receipts::Off),
        ],
    )
}
