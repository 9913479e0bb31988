//! The store's figures for metrics, and its troubles for readiness.

use datapath::arena::ShareStats;
use datapath::{DeviceStats, StoreHandle, StoreStats};

use super::capabilities;
use crate::admin::Health;
use crate::metrics::{Figure, Figures, Kind};

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
    fn gauge(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.add(Kind::Gauge, name, help, Vec::new(), value as f64);
    }

    fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.add(Kind::Counter, name, help, Vec::new(), value as f64);
    }

    fn add(
        &mut self,
        kind: Kind,
        name: &'static str,
        help: &'static str,
        labels: Vec<(&'static str, String)>,
        value: f64,
    ) {
        self.0.push(Figure { name, help, kind, labels, value });
    }

    fn space(&mut self, stats: &StoreStats) {
        let space = &stats.space;
        self.gauge("penstock_store_bytes", "Bytes for extents.", space.bytes_total);
        self.gauge("penstock_store_free_bytes", "Bytes in no extent.", space.bytes_free);
        self.gauge("penstock_store_free_runs", "Runs of free bytes.", space.free_runs);
        self.gauge(
            "penstock_store_longest_free_run_bytes",
            "The largest extent that could be made now.",
            space.longest_run_bytes,
        );
        let read_only = u64::from(stats.read_only);
        self.gauge("penstock_store_read_only", "1 after a fault has stopped writing.", read_only);
        self.gauge("penstock_store_pinned_objects", "Objects being read now.", stats.pins);
        if let Some((used, most)) = stats.index_bytes {
            self.gauge("penstock_store_index_bytes", "Bytes that the index uses.", used);
            self.gauge("penstock_store_index_bytes_limit", "Bytes that it may use.", most);
        }
    }

    fn arena(&mut self, stats: &StoreStats) {
        let arena = &stats.arena;
        self.gauge("penstock_store_arena_bytes", "Size of the arena.", arena.bytes);
        self.gauge("penstock_store_arena_free_bytes", "Bytes in no frame.", arena.free_bytes);
        self.counter("penstock_store_arena_frames_total", "Frames given out.", arena.allocations);
        self.counter(
            "penstock_store_arena_reclaims_total",
            "Rounds in which the cache was asked to let go.",
            arena.reclaim_rounds,
        );
        self.counter(
            "penstock_store_arena_fragmented_total",
            "Large frames for which there was no room in one piece.",
            arena.fragmented,
        );
        self.share("read", &arena.reads);
        self.share("write", &arena.writes);
    }

    fn share(&mut self, share: &'static str, stats: &ShareStats) {
        let labels = || vec![("share", share.to_owned())];
        for (name, help, value) in [
            ("penstock_store_share_bytes", "Size of a share of the arena.", stats.capacity_bytes),
            ("penstock_store_share_reserved_bytes", "Bytes of it in use.", stats.reserved_bytes),
            ("penstock_store_share_waiting", "Requests that wait for it.", stats.waiting),
        ] {
            self.add(Kind::Gauge, name, help, labels(), value as f64);
        }
        let help = "Requests refused for want of it.";
        let name = "penstock_store_share_refused_total";
        self.add(Kind::Counter, name, help, labels(), stats.refused as f64);
    }

    fn cache(&mut self, stats: &StoreStats) {
        let cache = &stats.cache;
        self.gauge("penstock_store_cache_bytes", "Bytes of frames cached.", cache.bytes);
        self.counter("penstock_store_cache_hits_total", "Blocks found in memory.", cache.hits);
        self.counter("penstock_store_cache_fills_total", "Blocks read.", cache.fills);
        self.counter(
            "penstock_store_cache_joins_total",
            "Blocks that waited for another's read.",
            cache.joins,
        );
    }

    fn commit(&mut self, stats: &StoreStats) {
        let commit = &stats.commit;
        self.gauge("penstock_store_commit_queued", "Mutations that wait.", commit.queued);
        self.counter("penstock_store_commit_batches_total", "Transactions.", commit.batches);
        self.counter("penstock_store_commit_mutations_total", "Mutations.", commit.mutations);
        self.counter(
            "penstock_store_commit_failures_total",
            "Mutations answered with an error.",
            commit.mutations_failed,
        );
        for (name, help, microseconds) in [
            (
                "penstock_store_commit_wait_seconds_total",
                "Time that mutations waited for their batch.",
                commit.queue_wait_us,
            ),
            (
                "penstock_store_commit_flush_seconds_total",
                "Time spent making devices durable.",
                commit.data_flush_us,
            ),
            (
                "penstock_store_commit_index_seconds_total",
                "Time spent in the index's transactions.",
                commit.index_commit_us,
            ),
        ] {
            self.add(Kind::Counter, name, help, Vec::new(), microseconds as f64 / 1e6);
        }
        self.gauge(
            "penstock_store_held_extents",
            "Extents that wait for a reader before their space is free.",
            commit.held_extents,
        );
    }

    fn device(&mut self, device: &DeviceStats) {
        let (engine, flush) = (&device.engine, &device.flush);
        for (name, help, value) in [
            ("penstock_store_device_reads_total", "Reads.", engine.reads),
            ("penstock_store_device_read_bytes_total", "Bytes read.", engine.read_bytes),
            ("penstock_store_device_read_errors_total", "Failed reads.", engine.read_errors),
            ("penstock_store_device_writes_total", "Writes.", engine.writes),
            ("penstock_store_device_written_bytes_total", "Bytes written.", engine.write_bytes),
            ("penstock_store_device_write_errors_total", "Failed writes.", engine.write_errors),
            ("penstock_store_device_waits_total", "Waits for the queue.", engine.waits),
            ("penstock_store_device_flushes_total", "Flushes.", flush.done),
            ("penstock_store_device_flush_errors_total", "Failed flushes.", flush.failed),
        ] {
            let labels = vec![("device", device.path.clone())];
            self.add(Kind::Counter, name, help, labels, value as f64);
        }
        let labels = vec![("device", device.path.clone())];
        let name = "penstock_store_device_in_flight";
        self.add(Kind::Gauge, name, "Operations in flight.", labels, engine.in_flight as f64);
    }
}
