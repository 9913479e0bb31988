//! *Owns:* S3 requests whose bytes do not go through the socket: the RDMA door.
//!
//! *Not here:* the protocols themselves, which are the crate `rdma`; what an S3 operation does
//! ([`crate::s3`]).

pub mod delivery;
pub mod receipts;
