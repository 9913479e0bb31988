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
// ----- Real devices -----------------------------------------------------------------------------

/// Entries of a completion queue as it is made; it doubles as queue pairs are added. At 64 bytes each 256 KiB for each
/// thread.
pub const COMPLETION_QUEUE_ENTRIES: u32 = 4096;

/// Entries of a completion queue at most, where the device has as many: 2,000 queue pairs of 64 work requests. soft-RoCE
/// ends at 32,767.
pub const COMPLETION_QUEUE_ENTRIES_MAX: u32 = 128 * 1024;

/// Completions taken by one call of ibv_poll_cq(3): an array of 1.5 KiB on the stack.
pub const COMPLETIONS_PER_POLL: usize = 32;

/// Events of a completion channel that are acknowledged together: ibv_ack_cq_events(3) takes a lock.
pub const EVENTS_PER_ACKNOWLEDGEMENT: u32 = 64;

/// Entries in use that are read of a device's GID tables. The kernel's interface carries 64 KiB of them, at 32 bytes each;
/// a ConnectX-7 has 256 for each port.
pub const GID_ENTRIES_MAX: usize = 2047;

/// Time until an unacknowledged packet is sent again: 4.096 µs × 2^14 = 67 ms.
pub const ACKNOWLEDGEMENT_TIMEOUT: u8 = 14;

/// How often it is sent again. 6 and not 7: soft-RoCE takes 7 for "for ever", so that a dead peer would never show.
pub const RETRIES: u8 = 6;

/// How often it is sent again when the peer has no receive posted: 7 is for ever. Every wait has its own deadline.
pub const RECEIVER_NOT_READY_RETRIES: u8 = 7;

/// What we ask of such a peer between two attempts: code 12, 0.64 ms.
pub const RECEIVER_NOT_READY_TIMER: u8 = 12;

/// Routers that a packet may pass.
pub const HOPS: u8 = 64;

/// RDMA READs in progress on one queue pair, as asked and as answered. Peers of both protocols allow 1.
pub const READS_IN_PROGRESS: u8 = 1;

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
