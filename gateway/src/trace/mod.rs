//! Traces: a span for each request that is traced, and one for each of its stages.
//!
//! In the order of a request: which trace it belongs to (`context.rs`), its spans (`span.rs`), their
//! way to the collector (`exporter.rs`, `client.rs`), and the traces that metrics point at
//! (`exemplars.rs`).

mod client;
pub mod context;
pub mod exemplars;
pub mod exporter;
mod span;

pub use context::{Context, Sampling};
pub use exemplars::LatestTraces;
pub use exporter::Spans;
