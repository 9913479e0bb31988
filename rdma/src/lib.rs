//! Delivery of objects by one-sided RDMA verbs, from the frame that the drive wrote to the client's memory.
//!
//! *Not here yet*: the crate is empty until the RDMA door lands; the gateway does not depend on it and does not
//! claim to speak RDMA.
#![forbid(unsafe_code)]
