//! CRC-64/NVME of content: one value a block of [`CHECKSUM_BLOCK_BYTES`], folded into that of the
//! whole.
//!
//! The polynomial is the one of the NVMe base specification's 64-bit protection information and of
//! S3's `CRC64NVME`: reflected `0x9a6c9329ac4bc9b5`, initial value and final exclusive-or all ones.
//! It runs at 26 GiB/s with carry-less multiplication, so checking every fill costs 0.04 CPU-s per
//! GiB.

use crc_fast::{CrcAlgorithm, checksum, checksum_combine};

use crate::limits::CHECKSUM_BLOCK_BYTES;

/// CRC-64/NVME of `bytes`.
#[must_use]
pub fn crc64(bytes: &[u8]) -> u64 {
    checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// The CRC of `first` followed by `second_bytes` bytes whose CRC is `second`.
#[must_use]
pub fn crc64_concat(first: u64, second: u64, second_bytes: u64) -> u64 {
    checksum_combine(CrcAlgorithm::Crc64Nvme, first, second, second_bytes)
}

/// The blocks' CRCs of content that arrives in order, and the CRC of it all.
#[derive(Debug, Default)]
pub(crate) struct BlockChecksums {
    blocks: Vec<u64>,
    whole: u64,
}

impl BlockChecksums {
    /// None yet, with room for `blocks`.
    pub(crate) fn with_capacity(blocks: usize) -> Self {
        Self { blocks: Vec::with_capacity(blocks), whole: 0 }
    }

    /// Takes the next content. All but the last call must bring a multiple of
    /// [`CHECKSUM_BLOCK_BYTES`].
    pub(crate) fn extend(&mut self, content: &[u8]) {
        for block in content.chunks(CHECKSUM_BLOCK_BYTES as usize) {
            let crc = crc64(block);
            self.blocks.push(crc);
            self.whole = crc64_concat(self.whole, crc, block.len() as u64);
        }
    }

    /// One value a block, and the value of the whole.
    pub(crate) fn finish(self) -> (Vec<u64>, u64) {
        (self.blocks, self.whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        assert_eq!(crc64(b""), 0);
        assert_eq!(crc64(b"123456789"), 0xae8b_1486_0a79_9888);
    }

    #[test]
    fn blocks_fold_into_the_whole() {
        let content: Vec<u8> =
            (0..3 * CHECKSUM_BLOCK_BYTES + 17).map(|index| (index * 7) as u8).collect();
        let mut checksums = BlockChecksums::default();
        checksums.extend(&content[..2 * CHECKSUM_BLOCK_BYTES as usize]);
        checksums.extend(&content[2 * CHECKSUM_BLOCK_BYTES as usize..]);
        let (blocks, whole) = checksums.finish();
        assert_eq!(blocks.len(), 4);
        assert_eq!(whole, crc64(&content));
    }
}
