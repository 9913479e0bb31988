//! *Owns:* every text of the S3-over-RDMA protocols that stands in an HTTP header, both ways: strict parsers and the
//! formatters that undo them. `parse(display(x)) == x` for each, and nothing else is accepted than what the protocols
//! define: no white space, no sign, no prefix, nothing behind the last field. Both cases of hexadecimal digits are read,
//! the lower is written.
//!
//! | file | text |
//! |---|---|
//! | `token.rs` | `x-amz-rdma-token` on an object request: which kind is it |
//! | `pooled_token.rs` | `rc:<connection>:<address>:<size>:<rkey>` |
//! | `rc_token.rs` | a queue pair and its memory in 44 bytes, written as 88 digits |
//! | `dc_token.rs` | cuObject's descriptors for dynamically connected transport |
//! | `libfabric_token.rs` | `…:…:ofi1:…` |
//! | `session_id.rs` | sessions and connections: 128 random bits |
//! | `sequence.rs` | packet sequence numbers, queue pair numbers, cookies |
//! | `number.rs` | hexadecimal and decimal numbers |
//! | `operation.rs` | `GET`, `PUT` |
//! | `target.rs` | `/bucket/key?query` |
//! | `reply.rs` | `x-amz-rdma-reply` |
//! | `checksum.rs` | CRC-64/NVME and CRC-32C in base64 |
//! | `capability.rs` | `x-amz-rdma-capabilities` |
//! | `header.rs`, `route.rs` | names of headers and routes |
//! | `error.rs` | what was wrong with a text, fit for the client that sent it |
//!
//! *Limits:* `limits.rs`, section Wire. *Not here:* HTTP, signatures, and what is done about a token.

mod base64;
mod capability;
mod checksum;
mod dc_token;
mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod header;
mod libfabric_token;
mod number;
mod operation;
mod pooled_token;
mod rc_token;
mod reply;
pub mod route;
mod sequence;
mod session_id;
mod target;
#[cfg(test)]
mod tests;
mod token;

pub use capability::Capabilities;
pub use checksum::{Checksum, ChecksumAlgorithm, Crc32c, Crc64Nvme};
pub use dc_token::DcToken;
pub use error::{Excerpt, Fault, WireError};
pub use fuzz::fuzz_every_parser;
pub use number::{parse_bare_hex, parse_decimal, parse_rkey};
pub use operation::Operation;
pub use pooled_token::PooledToken;
pub use rc_token::RcToken;
pub use reply::ReplyCode;
pub use sequence::{Cookie, display_psn, parse_psn, parse_qpn, random_psn};
pub use session_id::SessionId;
pub use target::{Target, TargetQuery};
pub use token::Token;
