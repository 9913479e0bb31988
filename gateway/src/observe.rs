//! Everybody who is told of requests, put together at start.
//!
//! Owns: the one place where sinks are made from the configuration and handed to lanes, to metrics
//! and to the administration.

use std::sync::Arc;

use crate::config::Plan;
use crate::metrics::Figures;
use crate::record::{Errors, Sink, Sinks, Slowest, Tenants};

/// What observes the process's requests.
pub struct Observation {
    /// Told by the lanes.
    pub sinks: Sinks,
    /// What they count themselves.
    pub figures: Vec<Arc<dyn Figures>>,
    /// What is remembered of requests; none when they are not measured.
    pub remembered: Option<Remembered>,
}

/// What is remembered of requests.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// Whose they are.
    pub tenants: Arc<Tenants>,
    /// The slowest.
    pub slowest: Arc<Slowest>,
    /// The last that failed.
    pub errors: Arc<Errors>,
}

/// Starts what the configuration wants.
///
/// # Errors
/// One line for the operator.
pub fn start(plan: &Plan) -> Result<Observation, String> {
    let mut sinks: Vec<Arc<dyn Sink>> = Vec::new();
    let mut figures: Vec<Arc<dyn Figures>> = Vec::new();
    let remembered = plan.measuring.requests.then(|| Remembered {
        tenants: Arc::new(Tenants::new(plan.lanes, &plan.metrics)),
        slowest: Arc::new(Slowest::new(plan.lanes)),
        errors: Arc::new(Errors::new(plan.lanes)),
    });
    if let Some(Remembered { tenants, slowest, errors }) = remembered.clone() {
        figures.push(tenants.clone());
        sinks.extend([tenants as Arc<dyn Sink>, slowest, errors]);
    }
    Ok(Observation { sinks: Sinks::new(sinks), figures, remembered })
}
