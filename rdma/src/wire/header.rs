//! Names of the protocols' headers, in lower case, and the values that are always the same.

/// What all of them begin with. A request must have every such header signed.
pub const PREFIX: &str = "x-amz-rdma-";

/// A token: of an object request, of PREPARE, of CONNECT.
pub const TOKEN: &str = "x-amz-rdma-token";
/// How the payload went.
pub const REPLY: &str = "x-amz-rdma-reply";
/// Bytes that RDMA moved, decimal.
pub const BYTES_TRANSFERRED: &str = "x-amz-rdma-bytes-transferred";
/// Which library a client uses; not looked at.
pub const AGENT: &str = "x-amz-rdma-agent";

/// The protocol of a session: [`PROTOCOL_HIPOBJ`].
pub const PROTOCOL: &str = "x-amz-rdma-protocol";
/// Why a server does not speak it: [`STATUS_UNSUPPORTED`].
pub const PROTOCOL_STATUS: &str = "x-amz-rdma-protocol-status";
/// What a server can do.
pub const CAPABILITIES: &str = "x-amz-rdma-capabilities";
/// A session or a connection.
pub const SESSION: &str = "x-amz-rdma-session";
/// The first packet sequence number of who sends it.
pub const PSN: &str = "x-amz-rdma-psn";
/// What comes back with a session's data.
pub const COOKIE: &str = "x-amz-rdma-cookie";
/// `GET` or `PUT`.
pub const OP: &str = "x-amz-rdma-op";
/// The object of a session.
pub const TARGET: &str = "x-amz-rdma-target";
/// Bytes of a transfer, decimal.
pub const SIZE: &str = "x-amz-rdma-size";
/// Where in the object they begin, decimal.
pub const OFFSET: &str = "x-amz-rdma-offset";
/// The queue pair of who sends it, hexadecimal.
pub const QPN: &str = "x-amz-rdma-qpn";
/// Where the memory of who sends it begins, hexadecimal.
pub const MR_ADDR: &str = "x-amz-rdma-mr-addr";
/// The key of that memory, hexadecimal.
pub const MR_RKEY: &str = "x-amz-rdma-mr-rkey";
/// The stored object's entity tag, quoted.
pub const ETAG: &str = "x-amz-rdma-etag";
/// The stored object's version.
pub const VERSION_ID: &str = "x-amz-rdma-version-id";

/// Which checksum of the delivered bytes is asked for.
pub const CHECKSUM_ALGORITHM: &str = "x-amz-rdma-checksum-algorithm";
/// The checksum of a session's bytes with the algorithm's name.
pub const CHECKSUM: &str = "x-amz-rdma-checksum";
/// CRC-64/NVME of the delivered bytes.
pub const CHECKSUM_CRC64NVME: &str = "x-amz-rdma-checksum-crc64nvme";
/// CRC-32C of the delivered bytes.
pub const CHECKSUM_CRC32C: &str = "x-amz-rdma-checksum-crc32c";

/// The value of [`PROTOCOL`].
pub const PROTOCOL_HIPOBJ: &str = "hipobj-rc-v2";
/// The value of [`PROTOCOL_STATUS`] that sends a client to HTTP.
pub const STATUS_UNSUPPORTED: &str = "unsupported";

/// All names.
pub const ALL: [&str; 23] = [
    TOKEN,
    REPLY,
    BYTES_TRANSFERRED,
    AGENT,
    PROTOCOL,
    PROTOCOL_STATUS,
    CAPABILITIES,
    SESSION,
    PSN,
    COOKIE,
    OP,
    TARGET,
    SIZE,
    OFFSET,
    QPN,
    MR_ADDR,
    MR_RKEY,
    ETAG,
    VERSION_ID,
    CHECKSUM_ALGORITHM,
    CHECKSUM,
    CHECKSUM_CRC64NVME,
    CHECKSUM_CRC32C,
];
