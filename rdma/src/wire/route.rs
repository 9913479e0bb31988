//! Paths of the protocols' own requests, all of them `POST` without a body. No bucket's name begins with a dot.

/// hipobj-rc-v2: makes a session for one transfer.
pub const PREPARE: &str = "/.hipobj-rc/prepare";
/// hipobj-rc-v2: the client's queue pair is ready; answered when the data has moved.
pub const READY: &str = "/.hipobj-rc/ready";
/// hipobj-rc-v2: ends a session.
pub const CANCEL: &str = "/.hipobj-rc/cancel";
/// Pooled: makes a connection for many objects.
pub const CONNECT: &str = "/.s3rdma-rc/connect";
/// Pooled: ends a connection.
pub const DISCONNECT: &str = "/.s3rdma-rc/disconnect";

/// The protocol of the first three, as [`super::header::PROTOCOL`] names it.
pub const PROTOCOL: &str = super::header::PROTOCOL_HIPOBJ;
