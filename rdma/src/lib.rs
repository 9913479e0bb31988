//! Delivery by RDMA: S3's payload moves by one-sided verbs between the frames that NVMe reads and writes and the
//! memory of a client. HTTP and S3 are not known here.
//!
//! | module | owns |
//! |---|---|
//! | [`wire`] | the protocols' texts in HTTP headers |
//! | [`fabric`] | queue pairs, memory, completions, on any fabric |
//! | `verbs` | real devices, by libibverbs; with feature `verbs` |
//! | [`transfer`] | one object's bytes over one queue pair |
//! | [`server`] | sessions, pooled connections, their limits, deadlines and fences |
//! | [`client`] | the client half: objects into and out of a caller's memory |
//!
//! Under `cfg(loom)` only the state of sessions is built, for its model.

#[cfg(not(loom))]
pub mod client;
#[cfg(not(loom))]
pub mod fabric;
pub mod limits;
#[cfg(not(loom))]
pub mod server;
#[cfg(not(loom))]
pub mod transfer;
#[cfg(all(feature = "verbs", not(loom)))]
pub mod verbs;
#[cfg(not(loom))]
pub mod wire;

#[cfg(all(test, loom))]
#[path = "transfer/abort.rs"]
#[allow(dead_code, unreachable_pub)]
mod abort;
#[cfg(all(test, loom))]
#[path = "server/state.rs"]
#[allow(dead_code)]
mod state;
