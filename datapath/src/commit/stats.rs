//! What the commit thread counts.
//!
//! Owns: [`CommitStats`] and the cells behind it. One thread adds, any reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::latency::{BatchCells, BatchStats, LatencyCells, LatencyStats};

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        /// Counts since the start, but for those that say "now".
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct CommitStats {
            /// Mutations in the queue now.
            pub queued: u64,
            /// Bytes of mutations that were not answered yet, now.
            pub queued_bytes: u64,
            /// Mutations of each transaction.
            pub batch_sizes: BatchStats,
            /// Times of mutations from submission to answer.
            pub answer_times: LatencyStats,
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(super) struct StatCells {
            pub(super) batch_sizes: BatchCells,
            pub(super) answer_times: LatencyCells,
            $(pub(super) $name: Cell,)*
        }

        impl StatCells {
            pub(super) fn read(&self, queued: u64, queued_bytes: u64) -> CommitStats {
                CommitStats {
                    queued,
                    queued_bytes,
                    batch_sizes: self.batch_sizes.stats(),
                    answer_times: self.answer_times.stats(),
                    $($name: self.$name.0.load(Ordering::Relaxed)),*
                }
            }
        }
    };
}

stats! {
    /// Transactions that carried mutations.
    batches;
    /// Mutations answered.
    mutations;
    /// Mutations answered with an error.
    mutations_failed;
    /// Microseconds that mutations waited between submission and their batch, summed.
    queue_wait_us;
    /// Microseconds spent in flushes of data devices.
    data_flush_us;
    /// Microseconds spent applying and committing.
    index_commit_us;
    /// Batches that did not fit the index and were tried one by one.
    batches_split;
    /// Rows visited by reclaiming.
    reclaimed_rows;
    /// Overwritten or deleted objects that a reader holds, now.
    held_rows;
    /// Extents that wait for a reader before their space is free, now.
    held_extents;
    /// 1 while reclaiming has work to do, now.
    reclaim_pending;
}

/// A counter or a gauge.
#[derive(Debug, Default)]
pub(super) struct Cell(AtomicU64);

impl Cell {
    pub(super) fn add(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    pub(super) fn add_time(&self, time: Duration) {
        self.add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}
