//! What the process-level tests stand on: the real binary as a child process, an S3 client whose
//! every byte can be bent, and the seeds that make a failure repeatable.
//!
//! The tests themselves are in `tests/`, one file per promise, and in `vm/` where they need a kernel
//! with RDMA or NVMe and so run in a guest. They know the product only from
//! outside: command line, sockets, files, `/proc`, system calls. The client here shares no code
//! with the server, so a mistake in one cannot hide the same mistake in the other.
//!
//! Not here: what ordinary S3 clients see, which is `tests/python` (boto3, aws cli, s3cmd, minio).

pub mod chunked;
pub mod client;
pub mod collector;
pub mod content;
pub mod guest;
pub mod http;
pub mod limits;
pub mod loadgen;
pub mod random;
pub mod rdma;
pub mod server;
pub mod sign;
pub mod skip;
pub mod tcp_info;
pub mod tls;
pub mod trace;
