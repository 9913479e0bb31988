//! *Owns:* the server half: who may transfer what through which queue pair, until when, and that nothing moves after
//! it was said to be over.
//!
//! ```text
//!  any lane                             the owner's lane
//!  ─────────                            ────────────────────────────────────────────────────────────
//!                                       LaneServer::prepare ─▶ queue pair (INIT), staging, identity
//!  Server::claim ─▶ Claim ── mailbox ─▶ LaneServer::begin ──▶ Transfer ─ send | receive ─ settle
//!             └──▶ Watch                LaneServer::connect ─▶ pooled connection (RTS)
//!  Server::connection ─▶ ConnectionClaim ─▶ LaneServer::acquire ─▶ Transfer
//!  Server::cancel, disconnect           reaper: deadlines, idle times, what was cancelled
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `state.rs`, `course.rs` | which of READY, CANCEL, expiry and completion wins |
//! | `ledger.rs` | limits: taken before anything is allocated, given back after everything is gone |
//! | `registry.rs` | identities, for all lanes |
//! | `process.rs`, `claim.rs` | what any lane may ask |
//! | `lane.rs` | one lane's sessions and connections, its reaper and its end |
//! | `session.rs`, `connection.rs`, `transfer.rs` | the life of each |
//! | `burial.rs` | teardown in order: queue pair, region, memory, limits |
//!
//! *Limits:* `limits.rs`, section Server. *Not here:* HTTP, S3; how bytes cross a queue pair (`crate::transfer`).

mod burial;
mod claim;
mod connection;
mod course;
mod error;
mod lane;
mod ledger;
mod order;
mod process;
mod registry;
mod retired;
mod session;
mod settings;
mod state;
mod stats;
mod transfer;

pub use claim::{Claim, ConnectionClaim, Watch};
pub use connection::{Connect, Connected};
pub use error::{Exhausted, SessionError};
pub use lane::LaneServer;
pub use order::{Order, Protocol};
pub use process::Server;
pub use session::{Prepare, Prepared, ReadyHeaders};
pub use settings::Settings;
pub use stats::{FAILURE_NAMES, ServerStats, SessionOutcome, TransferOutcome, operation_index};
pub use transfer::{Outcome, Settled, Transfer};

pub use crate::wire::Operation;

#[cfg(test)]
mod tests;
