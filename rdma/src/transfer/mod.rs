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

mod abort;
mod checksum;
mod error;
mod frames;
mod pacer;
mod receive;
mod send;
mod staged;
mod stop;
mod tally;

pub use abort::AbortReason;
pub use checksum::Digest;
pub use error::TransferError;
pub use frames::{Delivered, FrameSink, FrameSource, Received};

pub use crate::wire::Checksum;

pub(crate) use error::Fault;
pub(crate) use pacer::Pacer;
pub(crate) use receive::{Origin, read_into};
pub(crate) use send::{Destination, read_last_byte, write_from};
pub(crate) use staged::{await_immediate, copy_staged};
pub(crate) use stop::{Stop, Stopper};
pub(crate) use tally::{Progress, Tally};
