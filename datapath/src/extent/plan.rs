//! Which blocks of an extent a range of content touches. Pure.

use std::ops::Range;

use crate::limits::{CHECKSUM_BLOCK_BYTES, DEVICE_BLOCK_BYTES};

/// The wanted bytes of one checksum block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockSpan {
    /// Place of the block in its extent.
    pub(crate) block: u32,
    /// Wanted bytes within the block.
    pub(crate) within: Range<usize>,
}

/// The block that holds byte `range.start` of an extent's content, with as much of `range` (not
/// empty) as it holds.
pub(crate) fn first_span(range: &Range<u64>) -> BlockSpan {
    debug_assert!(range.start < range.end);
    let block = range.start / CHECKSUM_BLOCK_BYTES;
    let block_start = block * CHECKSUM_BLOCK_BYTES;
    let end = range.end.min(block_start + CHECKSUM_BLOCK_BYTES);
    BlockSpan {
        block: u32::try_from(block)
            .expect("an extent has at most 16,384 blocks (EXTENT_BYTES_MAX)"),
        within: (range.start - block_start) as usize..(end - block_start) as usize,
    }
}

/// Content bytes of block `block` in an extent of `data_bytes` bytes.
pub(crate) fn block_bytes(data_bytes: u64, block: u32) -> u64 {
    data_bytes.saturating_sub(u64::from(block) * CHECKSUM_BLOCK_BYTES).min(CHECKSUM_BLOCK_BYTES)
}

/// `bytes` rounded up to what a device reads and writes.
pub(crate) fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(DEVICE_BLOCK_BYTES as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn spans_cover_the_range_once_and_in_order(start in 0..3_000_000u64, length in 1..1_000_000u64) {
            let mut range = start..start + length;
            let mut blocks = 0;
            while !range.is_empty() {
                let span = first_span(&range);
                let at = u64::from(span.block) * CHECKSUM_BLOCK_BYTES + span.within.start as u64;
                prop_assert_eq!(at, range.start);
                prop_assert!(span.within.end <= CHECKSUM_BLOCK_BYTES as usize);
                range.start += span.within.len() as u64;
                blocks += 1;
            }
            prop_assert_eq!(range.start, start + length);
            prop_assert_eq!(blocks, (start + length - 1) / CHECKSUM_BLOCK_BYTES - start / CHECKSUM_BLOCK_BYTES + 1);
        }
    }

    #[test]
    fn the_last_block_of_an_extent_is_short() {
        assert_eq!(block_bytes(CHECKSUM_BLOCK_BYTES + 1, 0), CHECKSUM_BLOCK_BYTES);
        assert_eq!(block_bytes(CHECKSUM_BLOCK_BYTES + 1, 1), 1);
        assert_eq!(block_bytes(CHECKSUM_BLOCK_BYTES + 1, 2), 0);
        assert_eq!(padded(1), 4096);
        assert_eq!(padded(8192), 8192);
    }
}
