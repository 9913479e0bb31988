//! Every bound of this crate, each with its reason.

use std::time::Duration;

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
