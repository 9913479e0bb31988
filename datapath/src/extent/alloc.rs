//! *Owns* the free space of all devices, and cuts new objects into extents.
//!
//! The size is known before the body arrives, so allocation is exact: one contiguous run on one
//! device where that is possible, stripes of [`STRIPE_BYTES`] over all devices when the object is
//! larger than a stripe, and smaller pieces (whole checksum blocks, largest runs first) only when
//! free space is fragmented.
//!
//! *States of an extent*: free → leased (a writer fills it; dropping the lease frees it) → recorded
//! (the index owns it) → free again, when the commit thread has found it unreferenced and unpinned.
//!
//! *Not here*: persistence. The map is rebuilt from the index's extents at start.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use super::free_map::FreeMap;
use super::{ExtentLocation, blocks_of};
use crate::{
    error::StoreError,
    id::DeviceId,
    limits::{
        CHECKSUM_BLOCK_BYTES, DEVICE_BLOCK_BYTES, EXTENT_BYTES_MAX, SLICES_PER_ROW_MAX,
        STRIPE_BYTES,
    },
};

/// The free space of a store.
pub(crate) struct Allocator {
    devices: Mutex<Vec<FreeMap>>,
    /// Where the next object begins, so that single-extent objects spread over the devices too.
    rotation: AtomicUsize,
    total_blocks: u64,
}

/// What the allocator has and how it is cut up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpaceStats {
    /// Bytes of all data areas.
    pub bytes_total: u64,
    /// Bytes not in any extent.
    pub bytes_free: u64,
    /// Runs that the free bytes form, over all devices.
    pub free_runs: u64,
    /// Bytes in the longest run: the largest extent that could be made now.
    pub longest_run_bytes: u64,
}

impl Allocator {
    /// Free space `first..end` (in device blocks) for each device, in the order of their ids.
    pub(crate) fn new(areas: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let devices: Vec<FreeMap> =
            areas.into_iter().map(|(first, end)| FreeMap::new(first, end)).collect();
        Self {
            total_blocks: devices.iter().map(FreeMap::free_blocks).sum(),
            devices: Mutex::new(devices),
            rotation: AtomicUsize::new(0),
        }
    }

    /// Marks an extent of the index as taken; false when it overlaps another or lies outside its
    /// device.
    #[must_use]
    pub(crate) fn adopt(&self, location: ExtentLocation) -> bool {
        let mut devices = self.lock();
        devices
            .get_mut(usize::from(location.device.0))
            .is_some_and(|map| map.take_at(location.offset_blocks, location.length_blocks))
    }

    /// Whether that many bytes are free now, in however many pieces. Takes nothing.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.lock().iter().map(FreeMap::free_blocks).sum::<u64>() >= blocks_of(bytes)
    }

    /// Takes room for `bytes` bytes (more than 0), all or nothing.
    pub(crate) fn allocate(self: &Arc<Self>, bytes: u64) -> Result<Vec<ExtentLease>, StoreError> {
        let mut leases = Vec::new();
        let mut devices = self.lock();
        if devices.is_empty()
            || devices.iter().map(FreeMap::free_blocks).sum::<u64>() < blocks_of(bytes)
        {
            return Err(StoreError::NoSpace);
        }
        let device_count = devices.len();
        let piece_max =
            if device_count > 1 && bytes > STRIPE_BYTES { STRIPE_BYTES } else { EXTENT_BYTES_MAX };
        let mut turn = self.rotation.fetch_add(1, Ordering::Relaxed);
        let mut left = bytes;
        while left > 0 {
            let wanted = left.min(piece_max);
            let piece = if leases.len() == SLICES_PER_ROW_MAX {
                None
            } else {
                take_whole(&mut devices, turn, wanted)
                    .or_else(|| take_largest(&mut devices, wanted))
            };
            let Some((index, offset_blocks, data_bytes)) = piece else {
                drop(devices); // the leases lock it again when they are dropped
                return Err(StoreError::NoSpace);
            };
            let device = DeviceId(u16::try_from(index).unwrap_or(u16::MAX));
            let location =
                ExtentLocation { device, offset_blocks, length_blocks: blocks_of(data_bytes) };
            leases.push(ExtentLease {
                allocator: Arc::clone(self),
                location,
                data_bytes,
                armed: AtomicBool::new(true),
            });
            left -= data_bytes;
            turn = index + 1;
        }
        Ok(leases)
    }

    /// Returns the blocks of an extent that nothing refers to any more.
    pub(crate) fn release(&self, location: ExtentLocation) {
        let mut devices = self.lock();
        devices[usize::from(location.device.0)]
            .give(location.offset_blocks, location.length_blocks);
    }

    /// For metrics and the start message.
    pub(crate) fn stats(&self) -> SpaceStats {
        let devices = self.lock();
        SpaceStats {
            bytes_total: self.total_blocks * DEVICE_BLOCK_BYTES as u64,
            bytes_free: devices.iter().map(FreeMap::free_blocks).sum::<u64>()
                * DEVICE_BLOCK_BYTES as u64,
            free_runs: devices.iter().map(|map| map.run_count() as u64).sum(),
            longest_run_bytes: devices.iter().map(FreeMap::longest_run).max().unwrap_or(0)
                * DEVICE_BLOCK_BYTES as u64,
        }
    }

    /// A panic while the lock was held can only be the assertion of [`FreeMap::give`], which
    /// changes nothing first.
    fn lock(&self) -> MutexGuard<'_, Vec<FreeMap>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for all of `bytes` on the first device from `turn` on that has it: device, first block,
/// bytes.
fn take_whole(devices: &mut [FreeMap], turn: usize, bytes: u64) -> Option<(usize, u64, u64)> {
    let count = devices.len();
    (0..count).find_map(|step| {
        let index = (turn + step) % count;
        let start = devices[index].take(blocks_of(bytes))?;
        Some((index, start, bytes))
    })
}

/// The longest run of any device, cut to whole checksum blocks: device, first block, bytes.
fn take_largest(devices: &mut [FreeMap], bytes: u64) -> Option<(usize, u64, u64)> {
    let (index, longest) =
        devices.iter().map(FreeMap::longest_run).enumerate().max_by_key(|&(_, longest)| longest)?;
    let run_bytes = longest * DEVICE_BLOCK_BYTES as u64;
    let piece = bytes.min(run_bytes / CHECKSUM_BLOCK_BYTES * CHECKSUM_BLOCK_BYTES);
    if piece == 0 {
        return None;
    }
    let start = devices[index].take(blocks_of(piece))?;
    Some((index, start, piece))
}

/// An extent that is being written. Dropping it frees the blocks, so each write in flight holds a
/// share of it: blocks are never given to another writer while a drive may still write the
/// abandoned data to them.
pub(crate) struct ExtentLease {
    allocator: Arc<Allocator>,
    location: ExtentLocation,
    data_bytes: u64,
    armed: AtomicBool,
}

impl ExtentLease {
    /// Where it lies.
    pub(crate) fn location(&self) -> ExtentLocation {
        self.location
    }

    /// Bytes of content that it will hold.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// Hands the blocks to the commit thread, which records them or returns them.
    pub(crate) fn hand_over(&self) -> ExtentLocation {
        self.armed.store(false, Ordering::Release);
        self.location
    }
}

impl Drop for ExtentLease {
    fn drop(&mut self) {
        if self.armed.load(Ordering::Acquire) {
            self.allocator.release(self.location);
        }
    }
}

impl fmt::Debug for ExtentLease {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ExtentLease({:?}, {} bytes)", self.location, self.data_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn blocks(bytes: u64) -> u64 {
        bytes / DEVICE_BLOCK_BYTES as u64
    }

    fn allocator(devices: usize, bytes: u64) -> Arc<Allocator> {
        Arc::new(Allocator::new((0..devices).map(|_| (256, 256 + blocks(bytes)))))
    }

    #[test]
    fn allocation_is_exact_and_dropping_returns_all() {
        let allocator = allocator(1, 10 * MIB);
        let leases = allocator.allocate(MIB + 1).unwrap();
        assert_eq!(leases.len(), 1);
        assert_eq!(leases[0].location().length_blocks, 257);
        assert_eq!(allocator.stats().bytes_free, 10 * MIB - 257 * DEVICE_BLOCK_BYTES as u64);
        drop(leases);
        assert_eq!(allocator.stats().bytes_free, 10 * MIB);
        assert_eq!(allocator.stats().free_runs, 1);
    }

    #[test]
    fn large_objects_stripe_over_all_devices() {
        let allocator = allocator(3, 64 * MIB);
        let leases = allocator.allocate(4 * STRIPE_BYTES + 5).unwrap();
        let devices: Vec<u16> = leases.iter().map(|lease| lease.location().device.0).collect();
        assert_eq!(devices, [0, 1, 2, 0, 1]);
        assert_eq!(leases.iter().map(ExtentLease::data_bytes).sum::<u64>(), 4 * STRIPE_BYTES + 5);
        assert!(leases[..4].iter().all(|lease| lease.data_bytes() == STRIPE_BYTES));
    }

    #[test]
    fn fragmented_space_is_used_in_whole_checksum_blocks() {
        let allocator = allocator(1, 4 * MIB);
        let all: Vec<_> = (0..32).map(|_| allocator.allocate(128 << 10).unwrap()).collect();
        let kept: Vec<_> =
            all.into_iter().enumerate().filter(|(index, _)| index % 2 == 0).collect();
        let leases = allocator.allocate(300 << 10).unwrap();
        let sizes: Vec<u64> = leases.iter().map(|lease| lease.data_bytes() >> 10).collect();
        assert_eq!(sizes, [128, 128, 44]);
        drop(kept);
    }

    #[test]
    fn a_full_store_refuses_and_keeps_nothing() {
        let allocator = allocator(2, MIB);
        assert!(matches!(allocator.allocate(2 * MIB + 1), Err(StoreError::NoSpace)));
        let leases = allocator.allocate(2 * MIB).unwrap();
        assert!(matches!(allocator.allocate(1), Err(StoreError::NoSpace)));
        drop(leases);
        assert_eq!(allocator.stats().bytes_free, 2 * MIB);
    }

    #[test]
    fn an_extent_handed_over_is_not_freed_by_its_lease() {
        let allocator = allocator(1, MIB);
        let lease = allocator.allocate(4096).unwrap().remove(0);
        let location = lease.hand_over();
        drop(lease);
        assert_eq!(allocator.stats().bytes_free, MIB - 4096);
        allocator.release(location);
        assert_eq!(allocator.stats().bytes_free, MIB);
    }

    #[test]
    fn adopting_refuses_overlap_and_what_is_outside() {
        let allocator = allocator(1, MIB);
        let location = ExtentLocation { device: DeviceId(0), offset_blocks: 300, length_blocks: 8 };
        assert!(allocator.adopt(location));
        assert!(!allocator.adopt(ExtentLocation { offset_blocks: 307, ..location }));
        assert!(!allocator.adopt(ExtentLocation {
            offset_blocks: 255,
            length_blocks: 1,
            ..location
        }));
        assert!(!allocator.adopt(ExtentLocation { device: DeviceId(1), ..location }));
    }
}
