//! What the state says of everything but requests: lanes, devices, memory, space, the commit thread,
//! RDMA, background work.

use std::collections::BTreeMap;

use super::snapshot::Window;
use super::{
    BackgroundState, CapacityState, CommitState, DeviceState, LaneState, MemoryState, RdmaState,
};
use crate::metrics::{Figure, table};

/// What background jobs do, by their label.
const JOBS: [(&str, &str); 2] = [
    ("reclaim", "Frees the space of objects that were overwritten or deleted."),
    ("lifecycle", "Deletes what the lifecycle rules of buckets say."),
];

impl Window<'_> {
    /// Each lane.
    pub fn lanes(&self) -> Vec<LaneState> {
        let lane = |lane: &str| LaneState {
            lane: lane.parse().unwrap_or_default(),
            busy: self.rate(&table::LANE_BUSY, &[lane]).min(1.0),
            requests: self.rate(&table::LANE_REQUESTS, &[lane]),
            wakeups: self.rate(&table::LANE_WAKEUPS, &[lane]),
            submissions: self.rate(&table::LANE_SUBMISSIONS, &[lane]),
            connections: self.now.count(&table::LANE_CONNECTIONS, &[lane]),
        };
        self.now.names(&table::LANE_REQUESTS).into_iter().map(lane).collect()
    }

    /// Each device.
    pub fn devices(&self) -> Vec<DeviceState> {
        let device = |device: &str| {
            let states = self.now.of(&table::DEVICE_STATE).iter();
            let is = |figure: &&Figure| figure.labels[0] == device && figure.number() > 0.0;
            let state = states.filter(is).map(|figure| figure.labels[1].to_string()).next();
            let errors = [
                &table::DEVICE_READ_ERRORS,
                &table::DEVICE_WRITE_ERRORS,
                &table::DEVICE_FLUSH_ERRORS,
                &table::CHECKSUM_FAILURES,
            ];
            DeviceState {
                device: device.to_owned(),
                state: state.unwrap_or_default(),
                reads: self.rate(&table::DEVICE_READS, &[device]),
                writes: self.rate(&table::DEVICE_WRITES, &[device]),
                read_bytes: self.rate(&table::DEVICE_READ_BYTES, &[device]),
                written_bytes: self.rate(&table::DEVICE_WRITTEN_BYTES, &[device]),
                read_p99_seconds: self.quantile(&table::DEVICE_READ_SECONDS, &[device], 0.99),
                write_p99_seconds: self.quantile(&table::DEVICE_WRITE_SECONDS, &[device], 0.99),
                in_flight: self.now.count(&table::DEVICE_IN_FLIGHT, &[device]),
                errors: errors.iter().map(|metric| self.now.count(metric, &[device])).sum(),
                wear: self.now.value(&table::DEVICE_WEAR, &[device]),
            }
        };
        self.now.names(&table::DEVICE_READS).into_iter().map(device).collect()
    }

    /// Memory and cache.
    pub fn memory(&self) -> MemoryState {
        let hits = self.growth(&table::CACHE_HITS, &[]);
        let others = [&table::CACHE_FILLS, &table::CACHE_JOINS].map(|it| self.growth(it, &[]));
        let lookups = hits + others.iter().sum::<f64>();
        let share = |metric, share| self.now.count(metric, &[share]);
        MemoryState {
            arena_bytes: self.now.count(&table::ARENA_BYTES, &[]),
            arena_free_bytes: self.now.count(&table::ARENA_FREE, &[]),
            cache_bytes: self.now.count(&table::CACHE_BYTES, &[]),
            cache_hit_ratio: (lookups > 0.0).then(|| hits / lookups),
            evictions: self.rate(&table::CACHE_EVICTIONS, &[]),
            read_reserved_bytes: share(&table::SHARE_RESERVED, "read"),
            read_share_bytes: share(&table::SHARE_BYTES, "read"),
            write_reserved_bytes: share(&table::SHARE_RESERVED, "write"),
            write_share_bytes: share(&table::SHARE_BYTES, "write"),
            waiting: self.now.count(&table::SHARE_WAITING, &[]),
        }
    }

    /// Space; when it is full is not known here.
    pub fn capacity(&self) -> CapacityState {
        CapacityState {
            bytes: self.now.count(&table::STORE_BYTES, &[]),
            free_bytes: self.now.count(&table::STORE_FREE, &[]),
            longest_free_run_bytes: self.now.count(&table::STORE_LONGEST_RUN, &[]),
            index_bytes: self.now.count(&table::INDEX_BYTES, &[]),
            index_limit_bytes: self.now.count(&table::INDEX_LIMIT, &[]),
            full_in_seconds: None,
            read_only: self.now.sum(&table::READ_ONLY, &[]) > 0.0,
        }
    }

    /// The commit thread.
    pub fn commit(&self) -> CommitState {
        let mutations = self.growth(&table::COMMIT_MUTATIONS, &[]);
        let batches = self.growth(&table::COMMIT_BATCHES, &[]);
        CommitState {
            queued: self.now.count(&table::COMMIT_QUEUED, &[]),
            mutations: self.per_second(mutations),
            batch: (batches > 0.0).then(|| mutations / batches),
            p99_seconds: self.quantile(&table::COMMIT_SECONDS, &[], 0.99),
        }
    }

    /// RDMA.
    pub fn rdma(&self) -> RdmaState {
        let declines = self.now.of(&table::RDMA_DECLINES).iter();
        let declines: BTreeMap<_, _> = declines
            .filter(|figure| figure.number() > 0.0)
            .map(|figure| (figure.labels[0].to_string(), figure.number() as u64))
            .collect();
        let peers = [&table::RDMA_SESSIONS, &table::RDMA_CONNECTIONS];
        RdmaState {
            enabled: self.now.sum(&table::RDMA_ENABLED, &[]) > 0.0,
            up: self.now.value(&table::RDMA_DEVICE_UP, &[]).map(|up| up > 0.0),
            device: self.now.names(&table::RDMA_DEVICE).first().map(|it| (*it).to_owned()),
            peers: peers.iter().map(|metric| self.now.count(metric, &[])).sum(),
            transfers: self.rate(&table::RDMA_TRANSFERS, &[]),
            bytes: self.rate(&table::RDMA_OBJECT_BYTES, &[]),
            declines,
        }
    }

    /// What runs beside requests.
    pub fn background(&self) -> Vec<BackgroundState> {
        let job = |job: &str| BackgroundState {
            job: job.to_owned(),
            about: JOBS
                .iter()
                .find(|(name, _)| *name == job)
                .map(|(_, about)| (*about).to_owned())
                .unwrap_or_default(),
            pending: self.now.sum(&table::BACKGROUND_PENDING, &[job]) > 0.0,
            items: self.now.count(&table::BACKGROUND_ITEMS, &[job]),
            per_second: self.rate(&table::BACKGROUND_ITEMS, &[job]),
        };
        self.now.names(&table::BACKGROUND_PENDING).into_iter().map(job).collect()
    }
}
