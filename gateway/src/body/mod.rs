//! The body of a request, from framed bytes off the network to checked content.
//!
//! In order: `plan` reads the head (with `promised` and `query`), `strip` cleans it, `decoded` turns
//! the body into content, by `chunked` (with `line` and `trailer`) where it is aws-chunked;
//! `checksum` has the digests that content is checked with.
//!
//! Memory of a body in work: what the source gave at once, one framing line and the digests,
//! together under 2 KiB besides the source's own buffer, whatever the sizes of body and chunks.

pub mod checksum;
mod chunked;
mod decoded;
mod error;
pub mod limits;
mod line;
mod plan;
mod promised;
mod query;
mod strip;
mod trailer;

#[cfg(test)]
mod tests;

pub use decoded::Decoded;
pub use error::BodyError;
pub use plan::{BodyPlan, plan};
pub use promised::{Promised, PromisedValue, TrailerSlot};
pub use strip::strip;
