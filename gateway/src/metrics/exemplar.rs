//! Traces next to the buckets of histograms, as the part that keeps them reports them when asked.

use std::time::SystemTime;

use super::table::Metric;

/// One observation that a trace shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar {
    /// The trace.
    pub trace: u128,
    /// The span in it.
    pub span: u64,
    /// What was observed, in the metric's unit.
    pub value: f64,
    /// When.
    pub at: SystemTime,
}

/// The exemplars of one series of a histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct ExemplarRow {
    /// The row of the table.
    pub metric: &'static Metric,
    /// The values of its labels, in the table's order.
    pub labels: Vec<&'static str>,
    /// One for each bucket, the one over the last bound behind the others.
    pub buckets: Vec<Option<Exemplar>>,
}

/// Somebody who keeps exemplars.
pub trait Exemplars: Send + Sync {
    /// The latest of each bucket.
    fn exemplars(&self) -> Vec<ExemplarRow>;
}
