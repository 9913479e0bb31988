//! RDMA clients for the tests that run in a guest, of two kinds: the product's own client half over
//! the tests' HTTP ([`HttpControl`]), and one whose every step can be bent or left out ([`Raw`]).
//!
//! Owns: those, the server's RDMA counters ([`RdmaFigures`]), and what HTTP exchanges looked like
//! ([`Transcript`]). Verbs, queue pairs and memory are the `rdma` crate's.
//!
//! Not here: what is counted from outside the product ([`crate::guest`]).

mod bench;
mod control;
mod exchange;
mod figures;
mod host;
mod objects;
mod process;
mod raw;
mod raw_pooled;
mod transcript;

pub use bench::{Bench, DEVICE};
pub use control::HttpControl;
pub use exchange::{Asker, Pending};
pub use figures::{RdmaFigures, assert_nothing_left, is_connection_left};
pub use host::{Host, end};
pub use objects::{Objects, Protocol};
pub use process::{ClientProcess, Step, THERE};
pub use raw::{Order, Raw, RawSession};
pub use raw_pooled::RawConnection;
pub use transcript::{Exchange, Transcript};
