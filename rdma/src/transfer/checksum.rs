//! Owns the checksum of delivered bytes, made in the pass that posts them.

use crate::wire::{Checksum, ChecksumAlgorithm, Crc32c, Crc64Nvme};

/// A checksum in the making.
#[derive(Debug)]
pub struct Digest {
    algorithm: ChecksumAlgorithm,
    running: crc_fast::Digest,
}

impl Digest {
    /// Of no bytes yet.
    #[must_use]
    pub fn new(algorithm: ChecksumAlgorithm) -> Digest {
        let known = match algorithm {
            ChecksumAlgorithm::Crc64Nvme => crc_fast::CrcAlgorithm::Crc64Nvme,
            ChecksumAlgorithm::Crc32c => crc_fast::CrcAlgorithm::Crc32Iscsi,
        };
        Digest { algorithm, running: crc_fast::Digest::new(known) }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.running.update(bytes);
    }

    /// Of all bytes added.
    #[must_use]
    pub fn finish(&self) -> Checksum {
        let value = self.running.finalize();
        match self.algorithm {
            ChecksumAlgorithm::Crc64Nvme => Checksum::Crc64Nvme(Crc64Nvme(value)),
            // The crate gives 32-bit checksums in the low half.
            ChecksumAlgorithm::Crc32c => Checksum::Crc32c(Crc32c(value as u32)),
        }
    }
}
