//! Traces: a span for each request that is traced, and one for each of its stages.
//!
//! In the order of a request: which trace it belongs to (`context.rs`), its spans (`span.rs`).

pub mod context;

pub use context::{Context, Sampling};
