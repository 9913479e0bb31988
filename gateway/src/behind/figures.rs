//! The store's figures for metrics, and its troubles for readiness.

use std::borrow::Cow;
use std::path::Path;

use datapath::arena::ShareStats;
use datapath::latency::{BATCH_BOUNDS, LATENCY_BOUNDS_US};
use datapath::{
    BatchStats, DeviceState, DeviceStats, LatencyStats, StoreHandle, StoreStats, Trouble,
};

use super::capabilities;
use super::drives::{DriveReport, Drives};
use crate::admin::Health;
use crate::metrics::table::{self, Metric};
use crate::metrics::{Figure, Figures, Histogram};

/// Reads the store's figures whenever somebody asks.
pub struct StoreFigures {
    store: StoreHandle,
    drives: Drives,
}

impl StoreFigures {
    /// The figures of that store.
    pub fn new(store: StoreHandle) -> StoreFigures {
        StoreFigures { store, drives: Drives::default() }
    }

    /// The same, with what the drives say of themselves, who are asked from now on.
    pub fn asking_drives(self) -> StoreFigures {
        let devices = self.store.plan().capabilities.devices.iter();
        let paths = devices.map(|device| device.path.to_string().into()).collect();
        StoreFigures { drives: Drives::watch(paths), ..self }
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
            figures.drive(&device.path, &self.drives.report(Path::new(&device.path)));
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
        troubles.extend(stats.devices.iter().filter_map(trouble_of));
        if stats.index_bytes.is_none() {
            troubles.push("the index cannot be read".to_owned());
        }
        troubles
    }
}

/// Why a device keeps the store from being ready. A suspect one does not: it still serves.
fn trouble_of(device: &DeviceStats) -> Option<String> {
    let failed = device.trouble.filter(|trouble| *trouble == Trouble::FlushFailed);
    failed.map(|trouble| format!("device {}: {trouble}", device.path))
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
        self.add_labelled(&table::SHARE_WAITS, share, stats.waits);
        self.add_labelled(&table::SHARE_REFUSED, share, stats.refused);
    }

    fn cache(&mut self, stats: &StoreStats) {
        let cache = &stats.cache;
        self.add(&table::CACHE_BYTES, cache.bytes);
        self.add(&table::CACHE_HITS, cache.hits);
        self.add(&table::CACHE_FILLS, cache.fills);
        self.add(&table::CACHE_JOINS, cache.joins);
        self.add(&table::CACHE_EVICTIONS, cache.evictions);
    }

    fn commit(&mut self, stats: &StoreStats) {
        let commit = &stats.commit;
        self.add(&table::COMMIT_QUEUED, commit.queued);
        self.add(&table::COMMIT_BATCHES, commit.batches);
        self.add(&table::COMMIT_MUTATIONS, commit.mutations);
        self.add(&table::COMMIT_FAILURES, commit.mutations_failed);
        self.add_histogram(&table::COMMIT_BATCH_SIZE, None, sizes(&commit.batch_sizes));
        self.add_histogram(&table::COMMIT_SECONDS, None, seconds(&commit.answer_times));
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

    fn add_histogram(&mut self, metric: &'static Metric, label: Option<&str>, value: Histogram) {
        self.0.push(Figure::histogram(metric, label.map(str::to_owned), value));
    }

    fn drive(&mut self, path: &str, said: &DriveReport) {
        let media_errors = said.media_errors.map(|count| count as f64);
        for (metric, value) in [
            (&table::DEVICE_TEMPERATURE, said.temperature_celsius),
            (&table::DEVICE_WEAR, said.wear_ratio),
            (&table::DEVICE_SPARE, said.spare_ratio),
            (&table::DEVICE_MEDIA_ERRORS, media_errors),
        ] {
            let label = || [path.to_owned()];
            self.0.extend(value.map(|value| Figure::labelled(metric, label(), value)));
        }
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
            (&table::DEVICE_QUEUE_DEPTH, engine.queue_depth),
            (&table::CHECKSUM_FAILURES, engine.checksum_failures),
        ] {
            self.add_labelled(metric, &device.path, value);
        }
        for (metric, times) in [
            (&table::DEVICE_READ_SECONDS, &engine.read_times),
            (&table::DEVICE_WRITE_SECONDS, &engine.write_times),
            (&table::DEVICE_FLUSH_SECONDS, &flush.times),
        ] {
            self.add_histogram(metric, Some(&device.path), seconds(times));
        }
        for state in DeviceState::ALL {
            let labels = [device.path.clone(), state.name().to_owned()];
            let is_in = f64::from(u8::from(device.state == state));
            self.0.push(Figure::labelled(&table::DEVICE_STATE, labels, is_in));
        }
    }
}

fn seconds(times: &LatencyStats) -> Histogram {
    Histogram {
        bounds: Cow::Borrowed(&LATENCY_BOUNDS),
        counts: times.counts.to_vec(),
        sum: times.sum_ns as f64 / 1e9,
    }
}

fn sizes(batches: &BatchStats) -> Histogram {
    Histogram {
        bounds: Cow::Borrowed(&BATCH_SIZES),
        counts: batches.counts.to_vec(),
        sum: batches.sum as f64,
    }
}

/// [`LATENCY_BOUNDS_US`] in seconds.
static LATENCY_BOUNDS: [f64; LATENCY_BOUNDS_US.len()] = {
    let mut bounds = [0.0; LATENCY_BOUNDS_US.len()];
    let mut index = 0;
    while index < bounds.len() {
        bounds[index] = LATENCY_BOUNDS_US[index] as f64 / 1e6;
        index += 1;
    }
    bounds
};

/// [`BATCH_BOUNDS`] as Prometheus has them.
static BATCH_SIZES: [f64; BATCH_BOUNDS.len()] = {
    let mut sizes = [0.0; BATCH_BOUNDS.len()];
    let mut index = 0;
    while index < sizes.len() {
        sizes[index] = BATCH_BOUNDS[index] as f64;
        index += 1;
    }
    sizes
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behind::testing::store;

    /// What only some drives say of themselves, and what the store's filling alone cannot say.
    fn is_optional(metric: &Metric) -> bool {
        let of_drives = [
            &table::DEVICE_WEAR,
            &table::DEVICE_SPARE,
            &table::DEVICE_TEMPERATURE,
            &table::DEVICE_MEDIA_ERRORS,
            &table::STORE_FULL_IN,
        ];
        of_drives.contains(&metric)
    }

    #[test]
    fn every_row_about_the_store_has_a_figure() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        let figures = StoreFigures::new(store.handle()).figures();
        let about = ["Capacity", "Drives", "Memory and cache", "Commit"];
        let sections = table::SECTIONS.iter().filter(|section| about.contains(&section.title));
        let rows: Vec<_> = sections.flat_map(|section| section.metrics).collect();
        assert!(rows.len() > 50, "{}", rows.len());
        for row in rows {
            let has = figures.iter().any(|figure| figure.metric == *row);
            assert!(has || is_optional(row), "{} is never reported", row.name);
        }
        let states: Vec<_> =
            figures.iter().filter(|figure| figure.metric == &table::DEVICE_STATE).collect();
        assert_eq!(states.len(), 3, "one device, three states");
        for state in states {
            let expected = if state.labels[1] == "ok" { 1.0 } else { 0.0 };
            assert_eq!(state.number(), expected, "{:?}", state.labels);
        }
        assert_eq!(StoreFigures::new(store.handle()).troubles(), Vec::<String>::new());
        store.close();
    }

    #[test]
    fn a_failed_device_is_a_trouble_and_a_suspect_one_is_not() {
        let mut device = DeviceStats {
            path: "/dev/nvme7n1".to_owned(),
            engine: Default::default(),
            flush: Default::default(),
            state: DeviceState::Suspect,
            trouble: Some(Trouble::Faults { count: 3 }),
        };
        assert_eq!(trouble_of(&device), None);
        (device.state, device.trouble) = (DeviceState::Failed, Some(Trouble::FlushFailed));
        let trouble = trouble_of(&device).unwrap();
        assert!(trouble.starts_with("device /dev/nvme7n1: a flush failed"), "{trouble}");
    }
}
