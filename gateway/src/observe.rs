//! Everybody who is told of requests, put together at start.
//!
//! Owns: the one place where sinks are made from the configuration and handed to lanes, to metrics
//! and to the administration.

use std::sync::Arc;

use http::HeaderValue;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Plan;
use crate::metrics::Figures;
use crate::metrics::exemplar::Exemplars;
use crate::record::access_log::{self, AccessLog, Reopening, Style};
use crate::record::{Errors, Sink, Sinks, Slowest, Tenants};
use crate::trace::{self, LatestTraces, Sampling, Spans};

/// What observes the process's requests.
pub struct Observation {
    /// Told by the lanes.
    pub sinks: Sinks,
    /// What they count themselves.
    pub figures: Vec<Arc<dyn Figures>>,
    /// Traces that histograms point at.
    pub exemplars: Option<Arc<dyn Exemplars>>,
    /// What is remembered of requests; none when they are not measured.
    pub remembered: Option<Remembered>,
    /// Ends what has threads of its own.
    pub closing: Closing,
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

/// What is closed when the last lane has ended.
#[derive(Debug, Default)]
pub struct Closing {
    access_log: Option<access_log::Closing>,
    spans: Option<trace::exporter::Closing>,
}

impl Closing {
    /// Has written and sent what has been told, and waits for it a bounded time.
    pub fn close(self) {
        if let Some(log) = self.access_log {
            log.close();
        }
        if let Some(spans) = self.spans {
            spans.close();
        }
    }
}

/// Starts what the configuration wants. `host_id` is the process's `x-amz-id-2`. Runs inside a
/// `LocalSet`.
///
/// # Errors
/// One line for the operator.
pub fn start(plan: &Plan, host_id: &HeaderValue) -> Result<Observation, String> {
    let mut sinks: Vec<Arc<dyn Sink>> = Vec::new();
    let mut figures: Vec<Arc<dyn Figures>> = Vec::new();
    let mut closing = Closing::default();
    let sampling = sampling(plan)?;
    let remembered = plan.measuring.requests.then(|| Remembered {
        tenants: Arc::new(Tenants::new(plan.lanes, &plan.metrics)),
        slowest: Arc::new(Slowest::new(plan.lanes, sampling)),
        errors: Arc::new(Errors::new(plan.lanes, sampling)),
    });
    if let Some(Remembered { tenants, slowest, errors }) = remembered.clone() {
        figures.push(tenants.clone());
        sinks.extend([tenants as Arc<dyn Sink>, slowest, errors]);
    }
    let host_id = host_id.to_str().unwrap_or_default().to_owned();
    let style = Style { format: plan.access_log.format, sampling, host_id };
    if let Some((log, closes)) = AccessLog::start(&plan.access_log, plan.lanes, style)? {
        reopen_on_hangup(closes.reopening())?;
        closing.access_log = Some(closes);
        sinks.push(log.clone());
        figures.push(log);
    }
    let mut exemplars: Option<Arc<dyn Exemplars>> = None;
    if let (Some(endpoint), Some(sampling)) = (&plan.trace.endpoint, sampling) {
        let (spans, closes) = Spans::start(endpoint, sampling)?;
        closing.spans = Some(closes);
        sinks.push(spans.clone());
        figures.push(spans);
        let latest = Arc::new(LatestTraces::new(sampling, plan.lanes));
        sinks.push(latest.clone());
        exemplars = Some(latest);
    }
    Ok(Observation { sinks: Sinks::new(sinks), figures, exemplars, remembered, closing })
}

/// Which trace requests belong to; none where traces are off.
fn sampling(plan: &Plan) -> Result<Option<Sampling>, String> {
    let sampling = plan.trace.endpoint.as_ref().map(|_| Sampling::new(plan.trace.sample));
    sampling.transpose().map_err(|error| format!("no random numbers: {error}"))
}

/// SIGHUP, which has the access keys read again, too.
fn reopen_on_hangup(reopening: Reopening) -> Result<(), String> {
    let mut hangups =
        signal(SignalKind::hangup()).map_err(|error| format!("no signals: {error}"))?;
    tokio::task::spawn_local(async move {
        while hangups.recv().await.is_some() {
            reopening.reopen();
        }
    });
    Ok(())
}
