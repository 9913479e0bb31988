//! Extents: contiguous runs of device blocks that hold content, and how content maps onto them.
//!
//! An extent holds `data_bytes` bytes from the start of its first block; the rest of its last block
//! is zero. Its content is checked in blocks of [`crate::limits::CHECKSUM_BLOCK_BYTES`], each with a CRC-64/NVME
//! over the content alone, so that the checksums of neighbouring blocks fold into that of the
//! whole.

pub(crate) mod alloc;
pub(crate) mod checksum;
mod free_map;
pub(crate) mod plan;

use crate::limits::DEVICE_BLOCK_BYTES;

pub(crate) use crate::index::ExtentLocation;
pub use alloc::SpaceStats;

/// Device blocks that hold `bytes` bytes.
pub(crate) fn blocks_of(bytes: u64) -> u64 {
    bytes.div_ceil(DEVICE_BLOCK_BYTES as u64)
}
