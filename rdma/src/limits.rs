//! Every bound of this crate, each with its reason.

use std::time::Duration;

// ----- Fabric -----------------------------------------------------------------------------------

/// Completions taken from a queue before other tasks of the thread get their turn.
pub const COMPLETIONS_PER_ROUND: usize = 64;

/// How long a fence waits for flushed work before it destroys the queue pair as it is. Devices flush in microseconds;
/// soft-RoCE on an overloaded machine has taken a second.
pub const FENCE_TIME: Duration = Duration::from_secs(5);

// ----- Wire -------------------------------------------------------------------------------------

/// Bytes of a token that are read at most. The longest that is of any use is one of libfabric, of about 450.
pub const TOKEN_BYTES_MAX: usize = 1024;

/// Bytes of a session's target that are read at most, as other servers of hipobj-rc-v2 have it. A key of 1,024
/// bytes, each escaped, would take 3,072: it cannot be named, and its client has to use HTTP.
pub const TARGET_BYTES_MAX: usize = 2047;

/// Bytes of a server's list of capabilities that a client reads at most.
pub const CAPABILITIES_BYTES_MAX: usize = 1024;

/// Bytes of a peer's text that an error repeats at most: a connection's name in full, but no whole token.
pub const WIRE_EXCERPT_BYTES: usize = 40;

/// Bytes of an error about a peer's text at most, so that it fits where an answer or a log has room: the header's name
/// (30), the field (30), the excerpt (43), the reason (80), and the words between.
pub const WIRE_ERROR_BYTES_MAX: usize = 256;
