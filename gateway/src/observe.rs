//! Everybody who is told of requests, put together at start.
//!
//! Owns: the one place where sinks are made from the configuration and handed to lanes, to metrics
//! and to the administration.

use std::sync::Arc;

use crate::config::Plan;
use crate::metrics::Figures;
use crate::record::Sinks;

/// What observes the process's requests.
pub struct Observation {
    /// Told by the lanes.
    pub sinks: Sinks,
    /// What they count themselves.
    pub figures: Vec<Arc<dyn Figures>>,
}

/// Starts what the configuration wants.
///
/// # Errors
/// One line for the operator.
pub fn start(_plan: &Plan) -> Result<Observation, String> {
    Ok(Observation { sinks: Sinks::default(), figures: Vec::new() })
}
