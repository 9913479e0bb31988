//! *Owns:* how one object's bytes cross one connected queue pair: written from frames ([`FrameSource`]), read into
//! frames ([`FrameSink`]), or awaited in staging memory.
//!
//! ```text
//!  FrameSource ── piece ──▶ credits ── pacer ──▶ WRITE … WRITE [WITH IMMEDIATE] ──▶ peer's window     send
//!  FrameSink ◀── frame filled ── READ, a few ahead ◀──────────────────────────────── peer's window     receive, pooled
//!  FrameSink ◀── copy ── staging ◀── fence ◀── WRITE WITH IMMEDIATE of the peer                        receive, session
//! ```
//!
//! *Limits:* `limits.rs`, section Transfer. *Not here:* whose transfer it is and when it may begin
//! (`crate::server`).

mod checksum;
mod error;
mod frames;

pub use checksum::{Checksum, Digest};
pub use error::{AbortReason, TransferError};
pub use frames::{Delivered, FrameSink, FrameSource, Received};
