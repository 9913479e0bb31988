//! Owns: object contents made from a seed, and their digests.

use sha2::{Digest, Sha256};

use crate::random::Random;

/// `size` bytes that no other seed gives and that do not compress.
pub fn content(seed: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    Random::new(seed).fill(&mut bytes);
    bytes
}

/// The same for gigabytes: every page of 4096 bytes begins with its number and the seed; the rest
/// repeats after 64 KiB.
pub fn pages(seed: u64, size: usize) -> Vec<u8> {
    pages_from(seed, 0, size)
}

/// `size` bytes of that from `first` on, so that not all of it has to be held.
///
/// # Panics
/// When `first` is no multiple of 64 KiB.
pub fn pages_from(seed: u64, first: usize, size: usize) -> Vec<u8> {
    assert_eq!(first % PAGES_REPEAT_BYTES, 0, "{first} is no multiple of {PAGES_REPEAT_BYTES}");
    let block = content(seed, PAGES_REPEAT_BYTES);
    let mut bytes = Vec::with_capacity(size.next_multiple_of(block.len()));
    while bytes.len() < size {
        bytes.extend_from_slice(&block);
    }
    bytes.truncate(size);
    for (number, page) in bytes.chunks_exact_mut(PAGE_BYTES).enumerate() {
        let number = (first / PAGE_BYTES + number) as u64;
        page[..8].copy_from_slice(&number.to_le_bytes());
        page[8..16].copy_from_slice(&seed.to_le_bytes());
    }
    bytes
}

const PAGE_BYTES: usize = 4096;
const PAGES_REPEAT_BYTES: usize = 16 * PAGE_BYTES;

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// MD5 in lower-case hexadecimal: the entity tag of an object that came in one piece.
pub fn md5_hex(bytes: &[u8]) -> String {
    hex(&md5::Md5::digest(bytes))
}

/// MD5 in base64: the value of `Content-MD5`.
pub fn md5_base64(bytes: &[u8]) -> String {
    base64(&md5::Md5::digest(bytes))
}

/// CRC32 (ISO-HDLC) in base64, as `x-amz-checksum-crc32` carries it.
pub fn crc32_base64(bytes: &[u8]) -> String {
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, bytes) as u32;
    base64(&sum.to_be_bytes())
}

/// CRC-64/NVME in base64, as `x-amz-checksum-crc64nvme` carries it.
pub fn crc64nvme_base64(bytes: &[u8]) -> String {
    base64(&crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes).to_be_bytes())
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    hex_simd::encode_to_string(bytes, hex_simd::AsciiCase::Lower)
}

/// Standard base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests() {
        assert_eq!(md5_hex(b""), "d41d8cd98f00b204e9800998ecf8427e");
        assert!(sha256_hex(b"").starts_with("e3b0c44298fc1c14"));
        assert_eq!(crc32_base64(b"123456789"), base64(&0xcbf4_3926_u32.to_be_bytes()));
        assert_eq!(
            crc64nvme_base64(b"123456789"),
            base64(&0xae8b_1486_0a79_9888_u64.to_be_bytes())
        );
    }

    #[test]
    fn no_two_pages_are_the_same() {
        let bytes = pages(3, 100 * PAGE_BYTES + 77);
        assert_eq!(bytes.len(), 100 * PAGE_BYTES + 77);
        let different: std::collections::BTreeSet<&[u8]> = bytes.chunks(PAGE_BYTES).collect();
        assert_eq!(different.len(), 101);
        assert_ne!(pages(3, 10), pages(4, 10));
        let first = 2 * PAGES_REPEAT_BYTES;
        assert_eq!(pages_from(3, first, bytes.len() - first), bytes[first..]);
    }

    #[test]
    fn content_is_repeatable_and_distinct() {
        assert_eq!(content(1, 1001), content(1, 1001));
        assert_ne!(content(1, 64), content(2, 64));
    }
}
