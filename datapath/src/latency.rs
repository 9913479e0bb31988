//! How long operations took, and how large batches were: counts by upper bound.
//!
//! Any thread adds, any reads. A reader sees each cell as of some moment, not all as of one: good
//! for figures, not for sums that must agree.
//!
//! *Not here*: what is measured; who measures says so.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Upper bounds in microseconds: from a read of an NVMe cache (10 µs) to a device that hangs (10 s),
/// three a decade.
pub const LATENCY_BOUNDS_US: [u64; 19] = [
    10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000,
    500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000,
];

/// Upper bounds of sizes of batches, up to [`crate::limits::COMMIT_BATCH_MAX`].
pub const BATCH_BOUNDS: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

const LATENCY_CELLS: usize = LATENCY_BOUNDS_US.len() + 1;
const BATCH_CELLS: usize = BATCH_BOUNDS.len() + 1;

/// Times of operations, by value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LatencyStats {
    /// How many took up to each of [`LATENCY_BOUNDS_US`] and longer than the one before; the last is
    /// for those that took longer than all.
    pub counts: [u64; LATENCY_CELLS],
    /// All of them together, in nanoseconds.
    pub sum_ns: u64,
}

/// Sizes of batches, by value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchStats {
    /// How many were up to each of [`BATCH_BOUNDS`] and larger than the one before; the last is for
    /// those larger than all.
    pub counts: [u64; BATCH_CELLS],
    /// All of them together.
    pub sum: u64,
}

impl LatencyStats {
    /// How many operations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many took longer than `limit` for certain: what shares a cell with it does not count.
    #[must_use]
    pub fn longer_than(&self, limit: Duration) -> u64 {
        let limit_us = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        let cell = LATENCY_BOUNDS_US.partition_point(|bound| *bound < limit_us);
        self.counts.iter().skip(cell + 1).sum()
    }

    /// The bound that half of them do not exceed; none without operations. What took longer than
    /// all bounds counts as the last.
    #[must_use]
    pub fn median(&self) -> Option<Duration> {
        let count = self.count();
        let mut below = 0;
        let cell = self.counts.iter().position(|cell| {
            below += cell;
            count > 0 && below * 2 >= count
        })?;
        let last = LATENCY_BOUNDS_US.len() - 1;
        Some(Duration::from_micros(LATENCY_BOUNDS_US[cell.min(last)]))
    }

    /// These and those.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.counts.iter_mut().zip(other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.sum_ns = self.sum_ns.wrapping_add(other.sum_ns);
        self
    }

    /// Those that came since `earlier`, a former state of these.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        let pairs = self.counts.iter_mut().zip(earlier.counts);
        pairs.for_each(|(now, then)| *now = now.saturating_sub(then));
        self.sum_ns = self.sum_ns.wrapping_sub(earlier.sum_ns);
        self
    }
}

/// Where times are added.
#[derive(Debug, Default)]
pub(crate) struct LatencyCells {
    counts: [AtomicU64; LATENCY_CELLS],
    sum_ns: AtomicU64,
}

impl LatencyCells {
    pub(crate) fn add(&self, took: Duration) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let cell = LATENCY_BOUNDS_US.partition_point(|bound| bound * 1000 < took_ns);
        self.counts[cell].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(took_ns, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> LatencyStats {
        LatencyStats {
            counts: std::array::from_fn(|cell| self.counts[cell].load(Ordering::Relaxed)),
            sum_ns: self.sum_ns.load(Ordering::Relaxed),
        }
    }
}

/// Where sizes of batches are added.
#[derive(Debug, Default)]
pub(crate) struct BatchCells {
    counts: [AtomicU64; BATCH_CELLS],
    sum: AtomicU64,
}

impl BatchCells {
    pub(crate) fn add(&self, size: u64) {
        let cell = BATCH_BOUNDS.partition_point(|bound| *bound < size);
        self.counts[cell].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(size, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> BatchStats {
        BatchStats {
            counts: std::array::from_fn(|cell| self.counts[cell].load(Ordering::Relaxed)),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

const _: () =
    assert!(BATCH_BOUNDS[BATCH_BOUNDS.len() - 1] == crate::limits::COMMIT_BATCH_MAX as u64);

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times_us: &[u64]) -> LatencyStats {
        let cells = LatencyCells::default();
        times_us.iter().for_each(|&us| cells.add(Duration::from_micros(us)));
        cells.stats()
    }

    #[test]
    fn a_time_counts_under_the_first_bound_that_it_does_not_exceed() {
        let stats = of(&[10, 11, 10_000_000, 10_000_001]);
        assert_eq!((stats.counts[0], stats.counts[1]), (1, 1));
        assert_eq!((stats.counts[18], stats.counts[19]), (1, 1));
        assert_eq!(stats.sum_ns, 20_000_022_000);
        let cells = BatchCells::default();
        [1, 2, 3, 256].into_iter().for_each(|size| cells.add(size));
        let stats = cells.stats();
        assert_eq!(stats.counts, [1, 1, 1, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(stats.sum, 262);
    }

    #[test]
    fn medians_and_tails_are_told_by_bounds() {
        assert_eq!(of(&[]).median(), None);
        assert_eq!(of(&[90, 90, 90, 9000]).median(), Some(Duration::from_micros(100)));
        assert_eq!(of(&[20_000_000]).median(), Some(Duration::from_secs(10)));
        let stats = of(&[900, 1_900, 2_100, 30_000_000]);
        // 1,900 µs is longer than 1,500 µs, but its cell begins at 1,000.
        assert_eq!(stats.longer_than(Duration::from_micros(1500)), 2);
        assert_eq!(stats.longer_than(Duration::from_micros(1000)), 3);
        assert_eq!(stats.longer_than(Duration::from_secs(11)), 0);
        assert_eq!(stats.since(&of(&[900])).plus(&of(&[5])).count(), 4);
    }
}
