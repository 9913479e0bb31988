//! An extent's row: where its blocks are, how many slices refer to it, and the checksums of its
//! blocks when they are few.
//!
//! Owns: [`ExtentRecord`], [`ExtentLocation`], [`Checksums`].
//! Limits: `CHECKSUMS_INLINE_MAX`, `CHECKSUM_BLOCK_BYTES`.
//! Not here: the rows of `block_checksums` (`references` writes, `lookup` reads them).

use crate::id::DeviceId;
use crate::index::codec::{DecodeError, Decoder, Encoder};
use crate::limits::{CHECKSUM_BLOCK_BYTES, CHECKSUMS_INLINE_MAX};

/// Where an extent lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtentLocation {
    /// On which device.
    pub device: DeviceId,
    /// First block of 4 KiB, counted from the device's beginning.
    pub offset_blocks: u64,
    /// Blocks of 4 KiB; at least 1.
    pub length_blocks: u64,
}

/// An extent's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtentRecord {
    /// Where it lies.
    pub location: ExtentLocation,
    /// Bytes of content in it; the rest of its last block is padding.
    pub data_length: u64,
    /// Slices that refer to it, over all records. 0: it waits to be reclaimed.
    pub references: u64,
    /// Checksums of its blocks.
    pub checksums: Checksums,
}

/// CRC-64/NVME of each [`CHECKSUM_BLOCK_BYTES`] of an extent's data; the last block may be shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksums {
    /// Here.
    Inline(InlineChecksums),
    /// In rows of `block_checksums`.
    Rows,
}

/// At most [`CHECKSUMS_INLINE_MAX`] checksums: 136 bytes on the stack save every small read a heap
/// allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InlineChecksums {
    count: u8,
    values: [u64; CHECKSUMS_INLINE_MAX],
}

const VERSION: u8 = 1;
const INLINE: u8 = 1;

/// Checksum blocks of an extent with this much data.
pub const fn checksum_blocks(data_length: u64) -> u64 {
    data_length.div_ceil(CHECKSUM_BLOCK_BYTES)
}

impl InlineChecksums {
    /// Copies the checksums; none when there are too many to be inline.
    pub fn new(values: &[u64]) -> Option<InlineChecksums> {
        let mut all = [0; CHECKSUMS_INLINE_MAX];
        all.get_mut(..values.len())?.copy_from_slice(values);
        Some(InlineChecksums { count: values.len() as u8, values: all })
    }

    /// One checksum a block.
    pub fn values(&self) -> &[u64] {
        &self.values[..usize::from(self.count)]
    }
}

impl ExtentRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::record(VERSION, 168);
        let inline = match &self.checksums {
            Checksums::Inline(checksums) => Some(checksums.values()),
            Checksums::Rows => None,
        };
        encoder.byte(if inline.is_some() { INLINE } else { 0 });
        encoder.number(u64::from(self.location.device.0));
        encoder.number(self.location.offset_blocks);
        encoder.number(self.location.length_blocks);
        encoder.number(self.data_length);
        encoder.number(self.references);
        for checksum in inline.unwrap_or_default() {
            encoder.fixed(*checksum);
        }
        encoder.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<ExtentRecord, DecodeError> {
        let mut decoder = Decoder::record(bytes, VERSION)?;
        let inline = match decoder.byte("flags")? {
            0 => false,
            INLINE => true,
            _ => return Err(DecodeError::Value("flags")),
        };
        let location = ExtentLocation {
            device: DeviceId(decoder.narrow("device")?),
            offset_blocks: decoder.number("offset")?,
            length_blocks: decoder.number("length")?,
        };
        if location.offset_blocks.checked_add(location.length_blocks).is_none() {
            return Err(DecodeError::Value("length"));
        }
        let data_length = decoder.number("data length")?;
        let references = decoder.number("references")?;
        let blocks = checksum_blocks(data_length);
        let checksums = if inline {
            let mut values = [0; CHECKSUMS_INLINE_MAX];
            let count = usize::try_from(blocks).ok().filter(|count| *count <= values.len());
            let count = count.ok_or(DecodeError::Value("data length"))?;
            for value in &mut values[..count] {
                *value = decoder.fixed("checksum")?;
            }
            Checksums::Inline(InlineChecksums { count: count as u8, values })
        } else {
            Checksums::Rows
        };
        decoder.finish()?;
        Ok(ExtentRecord { location, data_length, references, checksums })
    }
}
