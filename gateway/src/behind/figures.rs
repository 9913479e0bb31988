//! The store's figures for metrics, and its troubles for readiness.

use datapath::arena::ShareStats;
use datapath::{DeviceStats, StoreHandle, StoreStats};

use super::capabilities;
use crate::admin::Health;
use crate::metrics::table::{self, Metric};
use crate::metrics::{Figure, Figures};

/// Reads the store's figures whenever somebody asks.
pub struct StoreFigures {
    store: StoreHandle,
}

impl StoreFigures {
    /// The figures of that store.
    pub fn new(store: StoreHandle) -> StoreFigures {
        StoreFigures { store }
    }
}

impl Figures for StoreFigures {
    fn figures(&self) -> Vec<Figure> {
        let stats = self.store.stats();
        let mut figures = Collected(Vec::new());
        figures.space(&stats);
        figures.arena(&stats);
        figures.cache(&stats);
        figures.commit(&stats);
        for device in &stats.devices {
            figures.device(device);
        }
        figures.0.extend(capabilities::figures(self.store.plan()));
        figures.0
    }
}

impl Health for StoreFigures {
    fn troubles(&self) -> Vec<String> {
        let stats = self.store.stats();
        let mut troubles = Vec::new();
        if stats.read_only {
            troubles.push("a fault has stopped all writing; see the log, then restart".to_owned());
        }
        if stats.index_bytes.is_none() {
            troubles.push("the index cannot be read".to_owned());
        }
        troubles
    }
}

struct Collected(Vec<Figure>);

impl Collected {
    fn add(&mut self, metric: &'static Metric, value: u64) {
        self.0.push(Figure::of(metric, value as f64));
    }

    fn add_labelled(&mut self, metric: &'static Metric, label: &str, value: u64) {
        self.0.push(Figure::labelled(metric, [label.to_owned()], value as f64));
    }

    fn space(&mut self, stats: &StoreStats) {
        let space = &stats.space;
        self.add(&table::STORE_BYTES, space.bytes_total);
        self.add(&table::STORE_FREE, space.bytes_free);
        self.add(&table::STORE_FREE_RUNS, space.free_runs);
        self.add(&table::STORE_LONGEST_RUN, space.longest_run_bytes);
        self.add(&table::READ_ONLY, u64::from(stats.read_only));
        self.add(&table::PINNED, stats.pins);
        if let Some((used, most)) = stats.index_bytes {
            self.add(&table::INDEX_BYTES, used);
            self.add(&table::INDEX_LIMIT, most);
        }
    }

    fn arena(&mut self, stats: &StoreStats) {
        let arena = &stats.arena;
        self.add(&table::ARENA_BYTES, arena.bytes);
        self.add(&table::ARENA_FREE, arena.free_bytes);
        self.add(&table::ARENA_FRAMES, arena.allocations);
        self.add(&table::ARENA_RECLAIMS, arena.reclaim_rounds);
        self.add(&table::ARENA_FRAGMENTED, arena.fragmented);
        self.share("read", &arena.reads);
        self.share("write", &arena.writes);
    }

    fn share(&mut self, share: &str, stats: &ShareStats) {
        self.add_labelled(&table::SHARE_BYTES, share, stats.capacity_bytes);
        self.add_labelled(&table::SHARE_RESERVED, share, stats.reserved_bytes);
        self.add_labelled(&table::SHARE_WAITING, share, stats.waiting);
        self.add_labelled(&table::SHARE_REFUSED, share, stats.refused);
    }

    fn cache(&mut self, stats: &StoreStats) {
        let cache = &stats.cache;
        self.add(&table::CACHE_BYTES, cache.bytes);
        self.add(&table::CACHE_HITS, cache.hits);
        self.add(&table::CACHE_FILLS, cache.fills);
        self.add(&table::CACHE_JOINS, cache.joins);
    }

    fn commit(&mut self, stats: &StoreStats) {
        let commit = &stats.commit;
        self.add(&table::COMMIT_QUEUED, commit.queued);
        self.add(&table::COMMIT_BATCHES, commit.batches);
        self.add(&table::COMMIT_MUTATIONS, commit.mutations);
        self.add(&table::COMMIT_FAILURES, commit.mutations_failed);
        self.add_time(&table::COMMIT_WAIT, commit.queue_wait_us);
        self.add_time(&table::COMMIT_FLUSH, commit.data_flush_us);
        self.add_time(&table::COMMIT_INDEX, commit.index_commit_us);
        self.add(&table::HELD_EXTENTS, commit.held_extents);
        self.add_labelled(&table::BACKGROUND_PENDING, "reclaim", commit.reclaim_pending);
        self.add_labelled(&table::BACKGROUND_ITEMS, "reclaim", commit.reclaimed_rows);
    }

    fn add_time(&mut self, metric: &'static Metric, microseconds: u64) {
        self.0.push(Figure::of(metric, microseconds as f64 / 1e6));
    }

    fn device(&mut self, device: &DeviceStats) {
        let (engine, flush) = (&device.engine, &device.flush);
        for (metric, value) in [
            (&table::DEVICE_READS, engine.reads),
            (&table::DEVICE_READ_BYTES, engine.read_bytes),
            (&table::DEVICE_READ_ERRORS, engine.read_errors),
            (&table::DEVICE_WRITES, engine.writes),
            (&table::DEVICE_WRITTEN_BYTES, engine.write_bytes),
            (&table::DEVICE_WRITE_ERRORS, engine.write_errors),
            (&table::DEVICE_WAITS, engine.waits),
            (&table::DEVICE_FLUSHES, flush.done),
            (&table::DEVICE_FLUSH_ERRORS, flush.failed),
            (&table::DEVICE_IN_FLIGHT, engine.in_flight),
        ] {
            self.add_labelled(metric, &device.path, value);
        }
    }
}
