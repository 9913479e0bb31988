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
// ----- Fabrics in memory ------------------------------------------------------------------------

/// Times that a packet is sent again when nobody answers: as `retry_cnt` 7 on real devices.
pub const MODEL_RETRIES: u32 = 7;

/// Between two of these. Real ones wait 67 ms (`timeout` 14) to 4 times that; tests need not.
pub const MODEL_RETRY_TIME: Duration = Duration::from_millis(10);

/// Until a receiver that wasn't ready is asked again: as `min_rnr_timer` 12, rounded up to a tick of tokio's clock.
pub const MODEL_RECEIVER_NOT_READY_TIME: Duration = Duration::from_millis(1);

/// Bytes of one message: half of what the InfiniBand specification allows (9.7.7.1.1).
pub const MODEL_MESSAGE_BYTES_MAX: u64 = 1 << 30;

/// Bytes of one buffer: more than the largest transfer of the protocols (2 GiB less 1) by its alignment.
pub const MODEL_BUFFER_BYTES_MAX: usize = 2 << 30;

/// Placements that are remembered: 40 MiB of them.
pub const MODEL_LOG_ENTRIES_MAX: usize = 1 << 20;

// ----- Conformance ------------------------------------------------------------------------------

/// For one check. Emulated machines with soft-RoCE are 30 times slower than real ones, and a device gives up on a silent
/// peer only after 7 retries of up to half a second.
pub const CONFORMANCE_CHECK_TIME: Duration = Duration::from_secs(240);

/// For one completion.
pub const CONFORMANCE_COMPLETION_TIME: Duration = Duration::from_secs(60);

/// In which nothing may happen: far longer than a packet takes, and than the simulated fabric's longest pause.
pub const CONFORMANCE_QUIET_TIME: Duration = Duration::from_millis(200);
