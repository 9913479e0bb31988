//! Delivery by RDMA: S3's payload moves by one-sided verbs between the frames that NVMe reads and writes and the
//! memory of a client. HTTP and S3 are not known here.
//!
//! | module | owns |
//! |---|---|
//! | [`client`] | the client half: objects into and out of a caller's memory |
//! | [`fabric`] | queue pairs, memory, completions, on any fabric |
//! | `verbs` | real devices, by libibverbs; with feature `verbs` |
//! | [`wire`] | the protocols' texts in HTTP headers |

pub mod client;
pub mod fabric;
pub mod limits;
#[cfg(feature = "verbs")]
pub mod verbs;
pub mod wire;
