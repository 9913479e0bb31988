//! Every bound of this crate, each with its reason.

use std::time::Duration;

// ----- Fabric -----------------------------------------------------------------------------------

/// Completions taken from a queue before other tasks of the thread get their turn.
pub const COMPLETIONS_PER_ROUND: usize = 64;

/// How long a fence waits for flushed work before it destroys the queue pair as it is. Devices flush in microseconds;
/// soft-RoCE on an overloaded machine has taken a second.
pub const FENCE_TIME: Duration = Duration::from_secs(5);

// ----- Transfer ---------------------------------------------------------------------------------

/// Work requests that a queue pair of the server holds. 64 of 64 KiB are 4 MiB in flight, the product of 100 Gbit/s
/// and 340 µs; larger frames are bounded by [`SEND_BYTES_IN_FLIGHT`].
pub const SEND_DEPTH: u32 = 64;
/// Receives of a queue pair of the server: one WRITE WITH IMMEDIATE ends an upload.
pub const RECEIVE_DEPTH: u32 = 1;
/// Bytes of one work request: the largest frame. Larger pieces are split.
pub const WORK_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one transfer that are posted and not acknowledged.
pub const SEND_BYTES_IN_FLIGHT: u64 = 8 * 1024 * 1024;
/// The same for all transfers of a lane: eight at full speed. Beyond that they take turns.
pub const LANE_BYTES_IN_FLIGHT: u64 = 64 * 1024 * 1024;
/// What the lane's bytes in flight are counted in.
pub const PACER_UNIT_BYTES: u64 = 4 * 1024;
/// WRITEs of which one reports its completion.
pub const SIGNAL_WORKS: u32 = 8;
/// The same in bytes: how much memory may be held longer than needed.
pub const SIGNAL_BYTES: u64 = 2 * 1024 * 1024;
/// Bytes that a transfer posts before other tasks of the lane get their turn: 100 µs of checksumming at 10 GB/s.
pub const BYTES_PER_TURN: u64 = 1024 * 1024;
/// READs of one transfer that are posted. The device executes one at a time (`max_rd_atomic` 1); the others hide the
/// time between a completion and the next post.
pub const READS_AHEAD: usize = 4;
/// READs of a lane that end pooled GETs in strict placement, at a time; each takes a page of the arena.
pub const PLACEMENT_READS: usize = 8;

const _: () = assert!(SIGNAL_WORKS < SEND_DEPTH / 2 && READS_AHEAD <= SEND_DEPTH as usize);
const _: () = assert!(SIGNAL_BYTES + WORK_BYTES_MAX as u64 <= SEND_BYTES_IN_FLIGHT / 2);
// Half of the lane's bytes are never held by WRITEs that report nothing (`transfer/pacer.rs`).
const _: () = assert!(WORK_BYTES_MAX as u64 * 2 <= LANE_BYTES_IN_FLIGHT);
const _: () = assert!(LANE_BYTES_IN_FLIGHT / PACER_UNIT_BYTES <= u32::MAX as u64);

// ----- Server -----------------------------------------------------------------------------------

/// Bytes of one transfer: what the protocols' 32-bit lengths can say.
pub const TRANSFER_BYTES_MAX: u64 = 0x7fff_ffff;
/// Staging memory of all uploading sessions: one gibibyte unless set otherwise.
pub const STAGING_BYTES: u64 = 1 << 30;
/// Staging memory that is allocated on the lane; more is left to a thread that may block: registering pins each page,
/// some 0.25 µs each.
pub const STAGING_BYTES_INLINE: u64 = 256 * 1024;
/// Sessions at a time.
pub const SESSIONS_MAX: usize = 1024;
/// Of one principal.
pub const SESSIONS_PER_PRINCIPAL: usize = 64;
/// Pooled connections at a time.
pub const CONNECTIONS_MAX: usize = 1024;
/// Of one principal.
pub const CONNECTIONS_PER_PRINCIPAL: usize = 64;
/// Requests that wait for a pooled connection, besides the one that has it.
pub const CONNECTION_QUEUE: usize = 16;
/// How long they wait.
pub const CONNECTION_QUEUE_TIME: Duration = Duration::from_secs(30);
/// From the end of a pooled connection's last transfer to its own.
pub const CONNECTION_IDLE_TIME: Duration = Duration::from_secs(300);
/// From the answer to PREPARE to READY.
pub const READY_TIME: Duration = Duration::from_secs(10);
/// From PREPARE to its answer having been sent.
pub const ANSWER_TIME: Duration = Duration::from_secs(5);
/// Of a transfer, besides what its size takes.
pub const EXECUTION_TIME: Duration = Duration::from_secs(30);
/// The slowest peer that is waited for.
pub const EXECUTION_BYTES_PER_SECOND: u64 = 10_000_000;
/// How often a lane looks for what has expired.
pub const REAPER_PERIOD: Duration = Duration::from_millis(500);
/// How long a lane's end waits for transfers that were told to stop, besides the time that their fences take.
pub const CLOSE_TIME: Duration = Duration::from_secs(10);
/// Shards of the registry: lanes rarely meet at a lock.
pub const REGISTRY_SHARDS: usize = 16;
/// A pair of queue pair number and PSN is not given out again for so long; a late packet of the old connection could
/// be taken for one of the new.
pub const RETIRED_TIME: Duration = Duration::from_secs(60);
/// Pairs that are remembered. Beyond that the randomness of PSNs has to do: 1 in 16 million.
pub const RETIRED_MAX: usize = 4096;
/// Attempts to find a PSN that is not among them.
pub const PSN_ATTEMPTS: usize = 16;
/// Attempts to find an identity that no session has.
pub const IDENTITY_ATTEMPTS: usize = 4;

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
