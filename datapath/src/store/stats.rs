//! Figures of the store, read by value whenever somebody asks.

use std::sync::{Mutex, PoisonError};

use super::Shared;
use crate::{
    arena::ArenaStats,
    cache::CacheStats,
    commit::CommitStats,
    device::{DeviceState, EngineMeter, EngineStats, FlushHandle, FlushStats, Sight, Trouble},
    extent::SpaceStats,
    id::DeviceId,
    pin::PinnedRows,
};

/// The meters of all lanes' engines; they outlive the lanes.
#[derive(Default)]
pub(super) struct Meters(Mutex<Vec<EngineMeter>>);

impl Meters {
    pub(super) fn add(&self, meter: EngineMeter) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(meter);
    }

    /// The figures of one device, summed over the lanes.
    fn sum(&self, device: DeviceId) -> EngineStats {
        let meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lanes = meters.iter().filter_map(|meter| meter.stats(device));
        lanes.fold(EngineStats::default(), |sum, lane| sum.plus(&lane))
    }

    /// What there is to judge one device by.
    pub(super) fn sight(&self, device: DeviceId) -> Sight {
        let stats = self.sum(device);
        let faults = stats.read_errors + stats.write_errors + stats.checksum_failures;
        let EngineStats { read_times: reads, write_times: writes, in_flight, .. } = stats;
        Sight { reads, writes, faults, in_flight }
    }
}

/// A snapshot of everything that is counted.
#[derive(Clone, Debug)]
pub struct StoreStats {
    /// Space of the devices.
    pub space: SpaceStats,
    /// The arena and its shares.
    pub arena: ArenaStats,
    /// The frame cache.
    pub cache: CacheStats,
    /// The commit thread.
    pub commit: CommitStats,
    /// Objects that are being read now.
    pub pins: u64,
    /// Whether a fault has stopped all writing.
    pub read_only: bool,
    /// Bytes that the index's tables use, and the most that they may; None when it can't be read.
    pub index_bytes: Option<(u64, u64)>,
    /// Each device, in the order of the devices.
    pub devices: Vec<DeviceStats>,
}

/// One device's figures over all lanes.
#[derive(Clone, Debug)]
pub struct DeviceStats {
    /// Its path.
    pub path: String,
    /// Transfers.
    pub engine: EngineStats,
    /// Flushes.
    pub flush: FlushStats,
    /// Whether it does its work.
    pub state: DeviceState,
    /// Why it is not ok.
    pub trouble: Option<Trouble>,
}

impl Shared {
    pub(super) fn stats(&self) -> StoreStats {
        let flushes = self.devices.flush_handles();
        let device = |handle: &FlushHandle| {
            let flush = handle.stats();
            let trouble = match flush.failed {
                0 => self.verdicts.of(handle.device().id()),
                _ => Some(Trouble::FlushFailed),
            };
            let state = match trouble {
                None => DeviceState::Ok,
                Some(Trouble::FlushFailed) => DeviceState::Failed,
                Some(_) => DeviceState::Suspect,
            };
            let path = handle.device().path().display().to_string();
            DeviceStats {
                path,
                engine: self.meters.sum(handle.device().id()),
                flush,
                state,
                trouble,
            }
        };
        let mut pinned = PinnedRows::default();
        self.pins.scan(&mut pinned);
        StoreStats {
            space: self.allocator.stats(),
            arena: self.arena.stats(),
            cache: self.cache.stats(),
            commit: self.commit.stats(),
            pins: pinned.len() as u64,
            read_only: self.commit.read_only().is_some(),
            index_bytes: self.index.bytes_used().ok(),
            devices: flushes.iter().map(device).collect(),
        }
    }
}
