//! *Owns:* the superblock: which store and which of its devices this is.
//!
//! 4 KiB at offset 0, little-endian, and the same again at 4 KiB. They are written one after the
//! other with a flush between, so that a power cut leaves at least one whole; the valid one with
//! the higher sequence counts.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `PENSTOCK` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | block size, 4,096 |
//! | 16 | 16 | store UUID |
//! | 32 | 16 | device UUID |
//! | 48 | 2 | index of this device |
//! | 50 | 2 | devices in the store |
//! | 52 | 4 | zero |
//! | 56 | 8 | sequence: raised by each rewriting |
//! | 64 | 8 | size of the device in bytes |
//! | 72 | 8 | start of the data area |
//! | 80 | 8 | created, milliseconds since 1970 |
//! | 88 | 4,000 | zero |
//! | 4088 | 8 | CRC-64/NVME of the 4,088 bytes before |

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crc_fast::{CrcAlgorithm, checksum};

use super::aligned::AlignedBuffer;
use super::error::DeviceError;
use crate::limits;

const MAGIC: [u8; 8] = *b"PENSTOCK";
const VERSION: u32 = 1;
const BYTES: usize = limits::DEVICE_BLOCK_BYTES;
const CRC_AT: usize = BYTES - 8;
/// Offsets of the two copies.
const COPIES: [u64; 2] = [0, BYTES as u64];

/// 128 random bits in the form of RFC 9562, version 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// A new one, from the system's random source.
    pub(crate) fn random() -> Result<Uuid, DeviceError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| DeviceError::Random(error.to_string()))?;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Ok(Uuid(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The contents of a superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// The store that the device belongs to.
    pub store: Uuid,
    /// The device itself.
    pub device: Uuid,
    /// Its index in the store, 0 upwards.
    pub index: u16,
    /// Devices in the store.
    pub count: u16,
    /// Raised by each rewriting.
    pub sequence: u64,
    /// Bytes of the device that the store uses, superblock included.
    pub size: u64,
    /// When it was formatted, in milliseconds since 1970.
    pub created_ms: u64,
}

/// Why a superblock was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SuperblockError {
    /// Something else is there.
    #[error("no superblock is there")]
    Absent,
    /// The checksum does not match.
    #[error("the superblock is damaged (its checksum does not match)")]
    Damaged,
    /// Written by another version.
    #[error("its format is version {0}, this program reads version {VERSION}")]
    Version(u32),
    /// Valid by its checksum, but not possible.
    #[error("the superblock contradicts itself ({0})")]
    Contradiction(&'static str),
}

/// A superblock as found on a device.
pub(super) struct Found {
    pub(super) superblock: Superblock,
    /// One of the copies is not this one, and is to be written again.
    pub(super) one_copy_only: bool,
}

impl Superblock {
    /// The 4 KiB to write.
    pub fn encode(&self) -> [u8; BYTES] {
        let mut block = [0; BYTES];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &MAGIC);
        put(8, &VERSION.to_le_bytes());
        put(12, &(BYTES as u32).to_le_bytes());
        put(16, &self.store.0);
        put(32, &self.device.0);
        put(48, &self.index.to_le_bytes());
        put(50, &self.count.to_le_bytes());
        put(56, &self.sequence.to_le_bytes());
        put(64, &self.size.to_le_bytes());
        put(72, &limits::DEVICE_DATA_START.to_le_bytes());
        put(80, &self.created_ms.to_le_bytes());
        let crc = checksum(CrcAlgorithm::Crc64Nvme, &block[..CRC_AT]);
        block[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// Reads what [`Superblock::encode`] wrote. The version is looked at before the checksum, so
    /// that a later format is named as such.
    pub fn decode(block: &[u8; BYTES]) -> Result<Superblock, SuperblockError> {
        fn take<const N: usize>(block: &[u8; BYTES], at: usize) -> [u8; N] {
            block[at..at + N].try_into().expect("inside the block")
        }
        if take(block, 0) != MAGIC {
            return Err(SuperblockError::Absent);
        }
        let version = u32::from_le_bytes(take(block, 8));
        let crc = checksum(CrcAlgorithm::Crc64Nvme, &block[..CRC_AT]);
        if crc != u64::from_le_bytes(take(block, CRC_AT)) {
            return Err(SuperblockError::Damaged);
        }
        if version != VERSION {
            return Err(SuperblockError::Version(version));
        }
        let found = Superblock {
            store: Uuid(take(block, 16)),
            device: Uuid(take(block, 32)),
            index: u16::from_le_bytes(take(block, 48)),
            count: u16::from_le_bytes(take(block, 50)),
            sequence: u64::from_le_bytes(take(block, 56)),
            size: u64::from_le_bytes(take(block, 64)),
            created_ms: u64::from_le_bytes(take(block, 80)),
        };
        if u32::from_le_bytes(take(block, 12)) as usize != BYTES {
            return Err(SuperblockError::Contradiction("block size"));
        }
        if u64::from_le_bytes(take(block, 72)) != limits::DEVICE_DATA_START {
            return Err(SuperblockError::Contradiction("start of the data"));
        }
        if found.index >= found.count || usize::from(found.count) > limits::DEVICES_MAX {
            return Err(SuperblockError::Contradiction("index and number of devices"));
        }
        if found.size < limits::DEVICE_BYTES_MIN {
            return Err(SuperblockError::Contradiction("size"));
        }
        Ok(found)
    }

    /// Writes both copies, each made durable before the next.
    pub(super) fn write(&self, file: &File) -> io::Result<()> {
        let mut buffer = AlignedBuffer::new(BYTES);
        buffer.copy_from_slice(&self.encode());
        // The second first: until the other is written, the first still tells the old truth.
        for offset in COPIES.into_iter().rev() {
            file.write_all_at(&buffer, offset)?;
            file.sync_data()?;
        }
        Ok(())
    }

    /// Reads the newest valid copy.
    pub(super) fn read(file: &File) -> io::Result<Result<Found, SuperblockError>> {
        let mut buffer = AlignedBuffer::new(BYTES * COPIES.len());
        file.read_exact_at(&mut buffer, COPIES[0])?;
        Ok(Superblock::choose(&buffer))
    }

    /// Chooses among the copies in the first 8 KiB of a device.
    pub(super) fn choose(start: &[u8]) -> Result<Found, SuperblockError> {
        let copies = COPIES.map(|offset| {
            let at = offset as usize;
            Superblock::decode(start[at..at + BYTES].try_into().expect("one block"))
        });
        let (superblock, one_copy_only) = match copies {
            [Ok(first), Ok(second)] if first.sequence >= second.sequence => {
                (first, first != second)
            }
            [Ok(_), Ok(second)] => (second, true),
            [Ok(one), Err(_)] | [Err(_), Ok(one)] => (one, true),
            // Of two errors, the one that says more than that nothing is there.
            [Err(SuperblockError::Absent), Err(error)] | [Err(error), Err(_)] => return Err(error),
        };
        Ok(Found { superblock, one_copy_only })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn superblock() -> Superblock {
        Superblock {
            store: Uuid([1; 16]),
            device: Uuid([2; 16]),
            index: 3,
            count: 4,
            sequence: 5,
            size: 64 << 20,
            created_ms: 1_700_000_000_000,
        }
    }

    fn two(first: &[u8], second: &[u8]) -> Vec<u8> {
        [first, second].concat()
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Superblock::decode(&superblock().encode()), Ok(superblock()));
    }

    #[test]
    fn uuids_are_of_version_4() {
        let (one, other) = (Uuid::random().unwrap(), Uuid::random().unwrap());
        assert_ne!(one, other);
        let text = one.to_string();
        assert_eq!((text.len(), text.as_bytes()[14]), (36, b'4'));
        assert!(b"89ab".contains(&text.as_bytes()[19]));
    }

    #[test]
    fn the_newer_whole_copy_counts() {
        let old = superblock();
        let new = Superblock { sequence: 6, size: 128 << 20, ..old };
        let (old_block, new_block) = (old.encode(), new.encode());
        let mut torn = new_block;
        torn[..512].copy_from_slice(&old_block[..512]);
        for (first, second, expected, one_only) in [
            (old_block, old_block, old, false),
            (old_block, new_block, new, true),
            (new_block, old_block, new, true),
            (torn, new_block, new, true),
            (old_block, torn, old, true),
            ([0; BYTES], new_block, new, true),
        ] {
            let found = Superblock::choose(&two(&first, &second)).ok().unwrap();
            assert_eq!((found.superblock, found.one_copy_only), (expected, one_only));
        }
        let damaged = Superblock::choose(&two(&[0; BYTES], &torn)).err();
        assert_eq!(damaged, Some(SuperblockError::Damaged));
        let absent = Superblock::choose(&two(&[0; BYTES], &[0; BYTES])).err();
        assert_eq!(absent, Some(SuperblockError::Absent));
    }

    #[test]
    fn other_versions_and_contradictions_are_named() {
        let seal = |mut block: [u8; BYTES]| {
            let crc = checksum(CrcAlgorithm::Crc64Nvme, &block[..CRC_AT]);
            block[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
            Superblock::decode(&block)
        };
        let mut later = superblock().encode();
        later[8] = 2;
        assert_eq!(seal(later), Err(SuperblockError::Version(2)));
        let outside = Superblock { index: 4, ..superblock() }.encode();
        assert!(matches!(seal(outside), Err(SuperblockError::Contradiction(_))));
        let tiny = Superblock { size: 4096, ..superblock() }.encode();
        assert_eq!(seal(tiny), Err(SuperblockError::Contradiction("size")));
    }

    proptest! {
        #[test]
        fn every_changed_bit_is_found(at in 0..BYTES, bit in 0_u8..8) {
            let mut block = superblock().encode();
            block[at] ^= 1_u8 << bit;
            prop_assert!(Superblock::decode(&block).is_err());
        }
    }
}
