//! *Owns:* S3 requests whose bytes do not go through the socket: the RDMA door.
//!
//! ```text
//!  control request ─▶ routes ─▶ control ─┬▶ prepare ─ inward ─▶ S3: may it be done?     session, on this lane
//!                                        ├▶ ready ─▶ mailbox ─▶ carry ─ inward ─▶ S3    on the lane that owns it
//!                                        └▶ connect
//!  object with a token ─▶ object ─┬▶ mailbox ─▶ carry ─▶ S3                             by a pooled connection
//!                                 └▶ decline                                            by HTTP, as ever
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `routes.rs` | the paths, and which requests are concerned |
//! | `control.rs`, `prepare.rs`, `ready.rs`, `connect.rs` | the control requests |
//! | `object.rs`, `decline.rs` | objects with a token, and the exact fallback |
//! | `inward.rs` | the S3 requests that this server makes of itself |
//! | `mailbox.rs`, `carry.rs`, `delivery.rs` | a transfer's way to the lane of its queue pair, and what happens there |
//! | `lane.rs`, `process.rs` | RDMA on a lane, and what lanes share |
//! | `headers.rs`, `status.rs`, `principal.rs` | reading headers, refusing, whose it is |
//! | `capability.rs`, `figures.rs`, `receipts.rs` | what clients, operators and metrics are told |
//! | `open.rs` | the device, at start |
//!
//! *Limits:* `limits.rs`, section RDMA. *Not here:* the protocols themselves, which are the crate `rdma`; what an S3
//! operation does ([`crate::s3`]).

pub mod capability;
mod carry;
mod connect;
pub mod control;
pub mod decline;
pub mod delivery;
pub mod figures;
mod headers;
mod inward;
pub mod lane;
mod mailbox;
pub mod object;
pub mod open;
mod prepare;
mod principal;
pub mod process;
mod ready;
pub mod receipts;
mod routes;
mod status;
#[cfg(test)]
mod tests;

pub use routes::{Concern, Route};
