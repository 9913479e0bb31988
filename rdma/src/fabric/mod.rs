//! *Owns:* what the protocols need of an RDMA fabric, the same for real devices (`crate::verbs`), for one in memory
//! ([`loopback`]) and for one that misbehaves as its seed says ([`simulated`]).
//!
//! ```text
//!  Fabric (process)  ── Endpoint (thread: a completion queue) ── QueuePair<Initialised | Connected> ── Fenced
//!    └─ Buffer ⇄ Window: memory that is the CPU's or a peer's
//! ```
//!
//! *Limits:* `limits.rs`, section Fabric. *Not here:* what is transferred and for whom.

mod address;
mod buffer;
#[doc(hidden)]
pub mod conformance;
mod driver;
mod endpoint;
mod error;
mod health;
pub mod loopback;
mod model;
mod queue_pair;
pub mod simulated;
mod work;

pub use address::{Gid, Mtu, Peer, Psn, Qpn, RemoteWindow};
pub use buffer::{Buffer, Window};
pub use driver::{
    BufferDriver, EndpointDriver, Fabric, FabricFacts, Local, QueuePairDriver, QueuePairShape,
    RemoteAccess, Transition,
};
pub use endpoint::{Endpoint, Fenced};
pub use error::{FabricError, QueuePairState};
pub use health::FabricHealth;
pub use queue_pair::{Connected, Connection, Initialised, QueuePair, QueuePairOptions};
pub use work::{Completion, Payload, Work, WorkKind, WorkStatus};
