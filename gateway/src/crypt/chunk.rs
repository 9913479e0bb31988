//! Owns the form of encrypted content: how it is cut into chunks, and what seals one.
//!
//! Content is cut every [`PLAIN_CHUNK_BYTES`]; each piece is sealed by AES-256-GCM and has its tag of 16 bytes behind it,
//! so that a sealed chunk has [`SEALED_CHUNK_BYTES`] = 64 KiB, but for the last. That is the block of the store's
//! checksums and the frame of its cache: a chunk lies in one frame and is opened where it lies, and a range reads no block
//! for the sake of 16 bytes of it. Plaintext of 64 KiB would put every chunk across two blocks.
//!
//! The nonce is the chunk's number, which a key sees once: each object, and each part each time that it is uploaded, has
//! a key of its own. The number and whether the chunk is the last are authenticated with it, so that chunks that were
//! dropped, repeated or moved do not open. Empty content is one empty chunk: that it is empty is authenticated too.
//!
//! Not here: where keys come from (`key`), content of several parts (`layout`).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::Forged;

/// Bytes of a tag (SP 800-38D, 5.2.1.2, the longest).
pub(super) const TAG_BYTES: u64 = 16;

/// Bytes of a chunk as it is stored.
pub const SEALED_CHUNK_BYTES: u64 = 64 << 10;

/// Bytes of content in a chunk.
pub const PLAIN_CHUNK_BYTES: u64 = SEALED_CHUNK_BYTES - TAG_BYTES;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

const _: () = assert!(SEALED_CHUNK_BYTES == datapath::limits::CHECKSUM_BLOCK_BYTES);

/// Chunks that content of so many bytes has.
pub(super) fn chunk_count(plain: u64) -> u64 {
    plain.div_ceil(PLAIN_CHUNK_BYTES).max(1)
}

/// Bytes that content of `plain` bytes takes in the store.
pub fn sealed_size(plain: u64) -> u64 {
    plain.saturating_add(chunk_count(plain).saturating_mul(TAG_BYTES))
}

/// Bytes of the content that takes so many in the store; none for a size that no content takes.
pub fn plain_size(sealed: u64) -> Option<u64> {
    let plain = sealed.checked_sub(sealed.div_ceil(SEALED_CHUNK_BYTES).max(1) * TAG_BYTES)?;
    (sealed_size(plain) == sealed).then_some(plain)
}

/// What seals and opens the chunks of one content.
pub struct ChunkKey(LessSafeKey);

impl ChunkKey {
    /// Of a key that seals nothing else.
    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Self {
        // Keys of another length are what it refuses.
        let key = UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are a key of AES-256");
        Self(LessSafeKey::new(key))
    }

    /// Seals a chunk where it lies; the tag comes behind it.
    ///
    /// # Errors
    /// None for chunks of up to [`PLAIN_CHUNK_BYTES`]: AES-GCM takes 64 GiB.
    pub fn seal(&self, number: u64, last: bool, chunk: &mut Vec<u8>) -> Result<(), Forged> {
        let sealed = self.0.seal_in_place_append_tag(nonce(number), place(number, last), chunk);
        sealed.map_err(|_| Forged)
    }

    /// Opens a chunk into `plain`, which has the length of its content.
    ///
    /// # Errors
    /// [`Forged`] for anything but what [`Self::seal`] has made at this place with this key; what is in `plain` is then
    /// not the content.
    pub fn open(
        &self,
        number: u64,
        last: bool,
        sealed: &[u8],
        plain: &mut [u8],
    ) -> Result<(), Forged> {
        let (content, tag) = sealed.split_at_checked(plain.len()).ok_or(Forged)?;
        let opened =
            self.0.open_separate_gather(nonce(number), place(number, last), content, tag, plain);
        opened.map_err(|_| Forged)
    }
}

/// Deterministic (SP 800-38D, 8.2.1): no fixed field is needed where each key is used for one content.
fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn place(number: u64, last: bool) -> Aad<[u8; 9]> {
    let mut bytes = [0; 9];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[8] = u8::from(last);
    Aad::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed(key: &ChunkKey, number: u64, last: bool, content: &[u8]) -> Vec<u8> {
        let mut chunk = content.to_vec();
        key.seal(number, last, &mut chunk).unwrap();
        chunk
    }

    fn opened(key: &ChunkKey, number: u64, last: bool, chunk: &[u8]) -> Result<Vec<u8>, Forged> {
        let mut plain = vec![0; chunk.len().saturating_sub(TAG_BYTES as usize)];
        key.open(number, last, chunk, &mut plain).map(|()| plain)
    }

    #[test]
    fn the_cipher_is_aes_256_gcm() {
        // McGrew and Viega, "The Galois/Counter Mode of Operation", test case 14: key, nonce and 16 bytes of zeros.
        let zero = UnboundKey::new(&AES_256_GCM, &[0; 32]).unwrap();
        let mut text = vec![0_u8; 16];
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        LessSafeKey::new(zero).seal_in_place_append_tag(nonce, Aad::empty(), &mut text).unwrap();
        let known = "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919";
        assert_eq!(hex_simd::encode_to_string(&text, hex_simd::AsciiCase::Lower), known);
    }

    #[test]
    fn the_form_does_not_change() {
        // What is stored must open for ever: Python's `cryptography`, AESGCM(bytes(range(32))).encrypt(nonce 12 bytes
        // big-endian 1, b"penstock", 8 bytes big-endian 1 and a byte 1).
        let key = ChunkKey::new(&std::array::from_fn(|at| at as u8));
        let known = "65b3d18f309b5375c8545069aec248343f377ab008793115";
        let chunk = sealed(&key, 1, true, b"penstock");
        assert_eq!(hex_simd::encode_to_string(&chunk, hex_simd::AsciiCase::Lower), known);
    }

    #[test]
    fn a_chunk_opens_at_its_place_alone() {
        let key = ChunkKey::new(&[7; 32]);
        let chunk = sealed(&key, 3, false, b"content");
        assert_eq!(opened(&key, 3, false, &chunk).unwrap(), b"content");
        assert!(opened(&key, 4, false, &chunk).is_err(), "moved");
        assert!(opened(&key, 3, true, &chunk).is_err(), "made the last");
        assert!(opened(&ChunkKey::new(&[8; 32]), 3, false, &chunk).is_err(), "another key");
        for at in 0..chunk.len() {
            let mut changed = chunk.clone();
            changed[at] ^= 1;
            assert!(opened(&key, 3, false, &changed).is_err(), "byte {at}");
            assert!(opened(&key, 3, false, &chunk[..at]).is_err(), "cut to {at}");
        }
        let empty = sealed(&key, 0, true, b"");
        assert_eq!(opened(&key, 0, true, &empty).unwrap(), b"");
        assert!(opened(&key, 0, true, b"").is_err(), "nothing is not empty content");
    }

    #[test]
    fn sizes_at_the_edges() {
        const CHUNK: u64 = PLAIN_CHUNK_BYTES;
        for (plain, sealed) in [
            (0, 16),
            (1, 17),
            (CHUNK, SEALED_CHUNK_BYTES),
            (CHUNK + 1, SEALED_CHUNK_BYTES + 17),
            (2 * CHUNK, 2 * SEALED_CHUNK_BYTES),
            (5 << 30, (5 << 30) + 81_941 * 16),
        ] {
            assert_eq!((sealed_size(plain), plain_size(sealed)), (sealed, Some(plain)));
        }
        for impossible in [0, 15, SEALED_CHUNK_BYTES + 1, SEALED_CHUNK_BYTES + 16] {
            assert_eq!(plain_size(impossible), None, "{impossible}");
        }
    }

    proptest! {
        #[test]
        fn sizes_are_each_others_inverse(plain in 0_u64..1 << 50) {
            prop_assert_eq!(plain_size(sealed_size(plain)), Some(plain));
        }
    }
}
