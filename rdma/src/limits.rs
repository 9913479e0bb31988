//! Every bound of this crate, each with its reason.

use std::time::Duration;

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

// ----- Fabric -----------------------------------------------------------------------------------

/// Completions taken from a queue before other tasks of the thread get their turn.
pub const COMPLETIONS_PER_ROUND: usize = 64;

/// How long a fence waits for flushed work before it destroys the queue pair as it is. Devices flush in microseconds;
/// soft-RoCE on an overloaded machine has taken a second.
pub const FENCE_TIME: Duration = Duration::from_secs(5);

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

/// Events of a device that are taken before other tasks of the thread get their turn. They are rare: a cable, a fault.
pub const EVENTS_PER_LOOK: u32 = 64;

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

// ----- Client -----------------------------------------------------------------------------------

/// For PREPARE, CONNECT and HEAD: the protocol's own default.
pub const CLIENT_CONNECT_TIME: Duration = Duration::from_secs(10);

/// For one transfer, beside the time that its bytes get: the protocol's own default.
pub const CLIENT_TRANSFER_TIME: Duration = Duration::from_secs(60);

/// The slowest transfer that is waited for. Soft-RoCE in an emulated guest does 20 MB/s.
pub const CLIENT_BYTES_PER_SECOND_LEAST: u64 = 10_000_000;

/// For CANCEL and DISCONNECT: servers have deadlines of their own, so that losing one costs little.
pub const CLIENT_CANCEL_TIME: Duration = Duration::from_secs(1);

/// What the second half of a transfer gets when its first half has ended: servers give their answer within 5 s.
pub const CLIENT_SETTLE_TIME: Duration = Duration::from_secs(5);

/// Between READY and the write of a PUT, for servers that post their receive only in READY.
pub const CLIENT_WRITE_DELAY: Duration = Duration::from_millis(100);

/// Attempts at a busy server: 50 + 100 + 200 + 400 + 800 ms, less the jitter, is longer than most transfers take.
pub const CLIENT_BACKOFF_ATTEMPTS: u32 = 6;

/// The first pause.
pub const CLIENT_BACKOFF_FIRST: Duration = Duration::from_millis(50);

/// The longest pause.
pub const CLIENT_BACKOFF_MOST: Duration = Duration::from_secs(2);

/// READYs for one session: a peer that three times could not be reached is not there.
pub const CLIENT_READY_ATTEMPTS: u32 = 3;

/// Connections of one pool: a server gives 64 to one principal.
pub const CLIENT_POOL_CONNECTIONS: usize = 8;

/// Bytes of an error document that are looked at for its code.
pub const CLIENT_ERROR_BODY_BYTES: usize = 4096;

/// Bytes of one transfer by hipobj-rc-v2, and of one window of the pooled form: what the protocol allows in one
/// work request.
pub const CLIENT_TRANSFER_BYTES_MAX: u64 = 0x7fff_ffff;

/// The largest part number.
pub const CLIENT_PART_NUMBER_MAX: u16 = 10_000;

/// Send queue of a session's queue pair: it carries one write.
pub const CLIENT_SEND_DEPTH: u32 = 1;

/// Receive queue of a session's queue pair: one immediate.
pub const CLIENT_RECEIVE_DEPTH: u32 = 1;

/// The smallest buffer that a buffer pool makes: a page.
pub const CLIENT_BUFFER_BYTES_LEAST: usize = 4096;

/// Idle bytes that a buffer pool keeps registered: they count against the locked-memory limit.
pub const CLIENT_BUFFER_POOL_BYTES: usize = 1 << 30;

/// Idle buffers that a buffer pool keeps registered: devices have tens of thousands of regions.
pub const CLIENT_BUFFER_POOL_COUNT: usize = 1024;
