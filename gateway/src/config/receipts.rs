//! What is configured of measuring requests: whether they are, and which responses carry a receipt.
//!
//! Not here: receipts themselves (`crate::door::receipt`), the keys' own documentation (`keys.rs`).

use super::keys;
use super::plan::{Parsed, Reader, choice, switch};

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

/// What is configured of measuring requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuringPlan {
    /// Whether they are measured.
    pub requests: bool,
    /// Which responses carry a receipt.
    pub receipts: Receipts,
}

impl Reader<'_> {
    /// The keys of measuring; `None` says that a finding was kept.
    pub(super) fn measuring(&mut self) -> Option<MeasuringPlan> {
        let requests = self.one(&keys::METRICS_REQUESTS, switch);
        let receipts = self.one(&keys::RECEIPTS, receipts);
        if let (Some(false), Some(Receipts::Always)) = (requests, receipts) {
            self.fault(
                &keys::RECEIPTS,
                Some("always".to_owned()),
                "requests are not measured (metrics.requests = off), and receipts say what was",
                "set metrics.requests = on, or receipts = off",
            );
        }
        Some(MeasuringPlan { requests: requests?, receipts: receipts? })
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
