//! Bringing one block from its device into a frame, verified: the only way by which a device's
//! bytes become readable.

use std::time::Instant;

use super::{LaneStore, waiting::Spent};
use crate::{
    arena::{Charge, SharedFrame},
    cache::BlockKey,
    error::StoreError,
    extent::{
        checksum::crc64,
        plan::{block_bytes, padded},
    },
    index::{Checksums, ExtentRecord, IndexError},
    limits::{CHECKSUM_BLOCK_BYTES, DEVICE_BLOCK_BYTES},
    meter::Origin,
};

/// A block that was not in memory, and what was done for it.
pub(super) struct Filled {
    pub(super) frame: SharedFrame,
    pub(super) origin: Origin,
    /// Of a joined fill nothing is known; whoever joined it has waited for the device.
    pub(super) spent: Option<Spent>,
}

/// The block `key` from the cache, from somebody's fill, or from the device. The caller holds a pin
/// on an object that refers to the extent.
pub(super) async fn fill_block(
    lane: &LaneStore,
    key: BlockKey,
    extent: &ExtentRecord,
    charge: Charge,
) -> Result<Filled, StoreError> {
    let fill = async |charge| read_verified(lane, key, extent, charge).await;
    let (frame, spent) = lane.cache().lookup_or_fill(key, charge, fill).await?;
    let origin = if spent.is_some() { Origin::Device } else { Origin::Joined };
    Ok(Filled { frame, origin, spent })
}

/// Reads the block and checks it; a mismatch is read once more, since a transfer can fail where the
/// medium did not.
async fn read_verified(
    lane: &LaneStore,
    key: BlockKey,
    extent: &ExtentRecord,
    charge: Charge,
) -> Result<(SharedFrame, Spent), StoreError> {
    let expected = block_checksum(lane, key, extent)?;
    let data_bytes = block_bytes(extent.data_length, key.block);
    let length = padded(data_bytes) as usize;
    let offset = extent.location.offset_blocks * DEVICE_BLOCK_BYTES as u64
        + u64::from(key.block) * CHECKSUM_BLOCK_BYTES;
    let device = extent.location.device;
    let mut frame = charge.frame(length).map_err(|_| StoreError::Overload("read memory"))?;
    let mut spent = Spent::default();
    for _ in 0..READS_PER_FILL_MAX {
        let done = lane.engine().read(device, offset, frame, length, ()).await;
        done.result?;
        frame = done.frame;
        frame.set_filled(data_bytes as usize);
        spent.device += done.times.device;
        let began = Instant::now();
        let intact = crc64(frame.filled()) == expected;
        spent.verify += began.elapsed();
        if intact {
            return Ok((frame.share(), spent));
        }
        lane.engine().mismatched(device);
        let (extent, block) = (key.extent.0, key.block);
        tracing::error!(extent, block, device = device.0, offset, "checksum mismatch");
    }
    Err(StoreError::Corrupt { extent: key.extent, block: key.block })
}

fn block_checksum(
    lane: &LaneStore,
    key: BlockKey,
    extent: &ExtentRecord,
) -> Result<u64, StoreError> {
    let absent = IndexError::Inconsistent("block_checksums: a checksum is absent");
    if let Checksums::Inline(checksums) = &extent.checksums {
        return Ok(*checksums.values().get(key.block as usize).ok_or(absent)?);
    }
    let snapshot = lane.index().read()?;
    let checksums = snapshot.checksums(key.extent, extent, u64::from(key.block), 1)?;
    Ok(*checksums.first().ok_or(absent)?)
}

const READS_PER_FILL_MAX: usize = 2;
