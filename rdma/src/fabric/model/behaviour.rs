//! Owns how a network of the model behaves: how long things take, and what goes wrong how often.
//!
//! *Not here*: what each fault does to a queue pair (`wire.rs`).

use std::time::Duration;

/// How a simulated network behaves. Times are drawn from 0 to the given most, in microseconds of tokio's clock, whose
/// timers tick in milliseconds: make them several milliseconds long, so that tasks run in between.
///
/// Chances are for each work request, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Until a piece of a message is placed.
    pub delay_max: Duration,
    /// From the last piece until a completion is reported, at either end.
    pub completion_delay_max: Duration,
    /// From the error state until everything is flushed. In between, what was under way may still be placed.
    pub flush_delay_max: Duration,
    /// Pieces that a message is placed in, at most; at least 1.
    pub pieces_max: u32,
    /// The receiver is not ready at first, although it has posted a receive.
    pub receiver_not_ready_per_mille: u32,
    /// The request fails with [`super::super::WorkStatus::RetryExceeded`], maybe half placed.
    pub retry_exceeded_per_mille: u32,
    /// The request fails with [`super::super::WorkStatus::RemoteAccess`], maybe half placed.
    pub remote_access_per_mille: u32,
    /// The queue pair breaks: this request, maybe half placed, and all behind it are flushed.
    pub flush_per_mille: u32,
    /// The peer's queue pair is never heard of again.
    pub vanish_per_mille: u32,
    /// Nothing moves on the whole network for a while.
    pub pause_per_mille: u32,
    /// How long, at most.
    pub pause_max: Duration,
}

impl Faults {
    /// Nothing takes time, nothing fails: what [`super::super::loopback`] is.
    pub(in crate::fabric) const IMMEDIATE: Faults = Faults {
        delay_max: Duration::ZERO,
        completion_delay_max: Duration::ZERO,
        flush_delay_max: Duration::ZERO,
        pieces_max: 1,
        receiver_not_ready_per_mille: 0,
        retry_exceeded_per_mille: 0,
        remote_access_per_mille: 0,
        flush_per_mille: 0,
        vanish_per_mille: 0,
        pause_per_mille: 0,
        pause_max: Duration::ZERO,
    };

    /// Everything takes its time and messages are placed in pieces, but nothing fails.
    pub const DELAYS: Faults = Faults {
        delay_max: Duration::from_millis(8),
        completion_delay_max: Duration::from_millis(12),
        flush_delay_max: Duration::from_millis(10),
        pieces_max: 4,
        receiver_not_ready_per_mille: 100,
        pause_per_mille: 5,
        pause_max: Duration::from_millis(150),
        ..Faults::IMMEDIATE
    };

    /// Everything that can go wrong does, each in 1 to 2 of 100 work requests.
    pub const ALL: Faults = Faults {
        retry_exceeded_per_mille: 15,
        remote_access_per_mille: 10,
        flush_per_mille: 15,
        vanish_per_mille: 10,
        pause_per_mille: 20,
        ..Faults::DELAYS
    };
}

impl Default for Faults {
    /// [`Faults::DELAYS`].
    fn default() -> Faults {
        Faults::DELAYS
    }
}
