//! What is configured of traces, resolved, checked and typed.
//!
//! Not here: the exporter (`crate::trace`), the keys' own documentation (`keys.rs`).

use http::Uri;

use super::keys;
use super::plan::{Parsed, Reader, count, wrong};
use crate::limits;

/// What is configured of traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracePlan {
    /// The whole URL that spans are posted to; `None` for no traces.
    pub endpoint: Option<Uri>,
    /// Of requests that bring no sampled `traceparent`, one of so many is traced; 0 for none.
    pub sample: u64,
}

impl Reader<'_> {
    /// The keys of traces; `None` says that a finding was kept.
    pub(super) fn trace(&mut self) -> Option<TracePlan> {
        let endpoint = self.optional(&keys::TRACE_ENDPOINT, endpoint);
        let sample = self.one(&keys::TRACE_SAMPLE, count(0, limits::SAMPLE_MAX));
        if let (Some(None), Some(sample)) = (&endpoint, sample.filter(|sample| *sample > 0)) {
            let problem = "there is nowhere to send traces to";
            let remedy = "set trace.endpoint too, for example http://127.0.0.1:4318";
            self.fault(&keys::TRACE_SAMPLE, Some(sample.to_string()), problem, remedy);
        }
        Some(TracePlan { endpoint: endpoint?, sample: sample? as u64 })
    }
}

/// A collector's URL. Without a path it is OTLP's own (OTLP specification, "OTLP/HTTP Request").
fn endpoint(text: &str) -> Parsed<Uri> {
    const REMEDY: &str = "write http://HOST:PORT, for example http://127.0.0.1:4318";
    let Ok(uri) = text.trim().parse::<Uri>() else {
        return wrong("not a URL", REMEDY);
    };
    match (uri.scheme_str(), uri.authority()) {
        (Some("https"), _) => wrong(
            "spans are sent without TLS",
            "run an OpenTelemetry collector on this machine, which forwards them, and write \
             http://127.0.0.1:4318",
        ),
        (Some("http"), Some(authority)) if authority.as_str().contains('@') => {
            wrong("a URL with a user's name", "set OTEL_EXPORTER_OTLP_HEADERS in its place")
        }
        (Some("http"), Some(authority)) if !authority.host().is_empty() => {
            let path = match uri.path_and_query().map(|path| path.as_str()) {
                None | Some("" | "/") => "/v1/traces",
                Some(path) => path,
            };
            let whole = format!("http://{authority}{path}").parse::<Uri>();
            whole.or_else(|_| wrong("not a URL", REMEDY))
        }
        _ => wrong("not a URL of http", REMEDY),
    }
}
