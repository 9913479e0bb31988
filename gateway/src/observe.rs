//! Everybody who is told of requests, put together at start.
//!
//! Owns: the one place where sinks are made from the configuration and handed to lanes, to metrics
//! and to the administration.

use std::sync::Arc;

use crate::admin::LogSource;
use crate::admin::state::{State, StateSource};
use crate::config::Plan;
use crate::metrics::Figures;
use crate::record::Sinks;

/// What observes the process's requests.
pub struct Observation {
    /// Told by the lanes.
    pub sinks: Sinks,
    /// What they count themselves.
    pub figures: Vec<Arc<dyn Figures>>,
    /// What the console shows.
    pub state: Arc<dyn StateSource>,
    /// The last lines of the log.
    pub log: Arc<dyn LogSource>,
}

/// Knows the version alone.
struct Unobserved;

impl StateSource for Unobserved {
    fn state(&self) -> State {
        State { version: env!("CARGO_PKG_VERSION").into(), ..State::default() }
    }
}

impl LogSource for Unobserved {
    fn text(&self) -> String {
        String::new()
    }
}

/// Starts what the configuration wants.
///
/// # Errors
/// One line for the operator.
pub fn start(_plan: &Plan) -> Result<Observation, String> {
    Ok(Observation {
        sinks: Sinks::default(),
        figures: Vec::new(),
        state: Arc::new(Unobserved),
        log: Arc::new(Unobserved),
    })
}
