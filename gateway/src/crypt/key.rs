//! Owns data keys: how one is made, how the key of a part comes of its upload's, and how one is sealed by the key of a ring
//! or of a client, which is the only form in which it is stored.
//!
//! A sealing key is never used itself. Each seal draws a salt of 32 bytes, HKDF-SHA256 (RFC 5869) makes a key of the two,
//! and that seals this one data key: so no number of objects wears a master key out, and what is kept of a client's key
//! is no more than a salted value by which a wrong one is known.
//!
//! Not here: which key seals (`ring`, `request`), where the sealed form is kept (`record`).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

use super::Forged;
use super::chunk::{ChunkKey, KEY_BYTES, TAG_BYTES};

/// Bytes of the salt of a seal.
const SALT_BYTES: usize = 32;

/// Bytes of a data key as it is stored: salt, key, tag.
pub(super) const SEALED_KEY_BYTES: usize = SALT_BYTES + KEY_BYTES + TAG_BYTES as usize;

/// Bytes of the salt of a part's key. A part's key is drawn for each upload of it: 2⁶⁴ of them before two of one number
/// are likely to be the same.
pub const PART_SALT_BYTES: usize = 16;

/// What makes keys for sealing differ from all others that could be made of the same key.
const SEALING: &[u8] = b"penstock: seal a data key, 1";
/// The same for keys of parts.
const PART: &[u8] = b"penstock: key of a part, 1";

/// The system has no random numbers to give, which only a broken sandbox causes.
#[derive(Debug, thiserror::Error)]
#[error("no random numbers from the system: {0}")]
pub struct NoRandomness(#[from] getrandom::Error);

/// 32 random bytes.
///
/// # Errors
/// [`NoRandomness`].
pub fn random<const BYTES: usize>() -> Result<[u8; BYTES], NoRandomness> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A key that seals data keys: of a ring, or a client's own. Never shown.
#[derive(Clone)]
pub struct SealingKey(Zeroizing<[u8; KEY_BYTES]>);

/// The key of one object's content, or of one upload. Never shown.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; KEY_BYTES]>);

/// A data key as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedKey(pub [u8; SEALED_KEY_BYTES]);

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("SealingKey(…)")
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("DataKey(…)")
    }
}

impl SealingKey {
    /// Of its bytes.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new one.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn generate() -> Result<Self, NoRandomness> {
        random().map(Self::new)
    }

    /// Its bytes, for the key file.
    pub fn reveal(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Seals a data key. `context` must be given again to open it.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn seal(&self, context: &[u8], key: &DataKey) -> Result<SealedKey, NoRandomness> {
        let salt: [u8; SALT_BYTES] = random()?;
        let mut text = *key.0;
        let tag = self
            .once(&salt)
            .seal_in_place_separate_tag(first(), Aad::from(context), &mut text)
            .expect("32 bytes are not too many for AES-GCM");
        let mut sealed = [0; SEALED_KEY_BYTES];
        let (to_salt, rest) = sealed.split_at_mut(SALT_BYTES);
        let (to_text, to_tag) = rest.split_at_mut(KEY_BYTES);
        to_salt.copy_from_slice(&salt);
        to_text.copy_from_slice(&text);
        to_tag.copy_from_slice(tag.as_ref());
        Ok(SealedKey(sealed))
    }

    /// The data key.
    ///
    /// # Errors
    /// [`Forged`] where another key has sealed it, with another context, or it was changed since.
    pub fn open(&self, context: &[u8], sealed: &SealedKey) -> Result<DataKey, Forged> {
        let (salt, rest) = sealed.0.split_at(SALT_BYTES);
        let (text, tag) = rest.split_at(KEY_BYTES);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        self.once(salt)
            .open_separate_gather(first(), Aad::from(context), text, tag, &mut *key)
            .map_err(|_| Forged)?;
        Ok(DataKey(key))
    }

    /// The key of one seal.
    fn once(&self, salt: &[u8]) -> LessSafeKey {
        let key = derive(salt, &self.0, &[SEALING]);
        LessSafeKey::new(
            UnboundKey::new(&AES_256_GCM, &*key).expect("32 bytes are a key of AES-256"),
        )
    }
}

impl DataKey {
    /// A new one.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn generate() -> Result<Self, NoRandomness> {
        Ok(Self(Zeroizing::new(random()?)))
    }

    /// What seals the content of an object that was put in one piece.
    pub fn chunks(&self) -> ChunkKey {
        ChunkKey::new(&self.0)
    }

    /// What seals the content of a part. The number is in it, so that parts that were exchanged do not open.
    pub fn part_chunks(&self, number: u16, salt: &[u8; PART_SALT_BYTES]) -> ChunkKey {
        ChunkKey::new(&derive(salt, &self.0, &[PART, &number.to_be_bytes()]))
    }
}

/// Each key of a seal seals once.
fn first() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

fn derive(salt: &[u8], key: &[u8; KEY_BYTES], info: &[&[u8]]) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut out = Zeroizing::new([0; KEY_BYTES]);
    let pseudorandom = Salt::new(HKDF_SHA256, salt).extract(key);
    let expanded = pseudorandom.expand(info, KeyLength).and_then(|okm| okm.fill(&mut *out));
    expanded.expect("HKDF-SHA256 gives up to 8,160 bytes");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_derivation_is_hkdf_sha256() {
        // RFC 5869, test case 1, its first 32 bytes; its input key has 22 bytes, which `derive` does not take.
        let salt: Vec<u8> = (0..=12).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let mut out = [0; KEY_BYTES];
        let info = [&info[..]];
        let pseudorandom = Salt::new(HKDF_SHA256, &salt).extract(&[0x0b; 22]);
        pseudorandom.expand(&info, KeyLength).unwrap().fill(&mut out).unwrap();
        let known = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf";
        assert_eq!(hex_simd::encode_to_string(out, hex_simd::AsciiCase::Lower), known);
    }

    fn same(left: &DataKey, right: &DataKey) -> bool {
        *left.0 == *right.0
    }

    #[test]
    fn a_data_key_is_opened_by_what_sealed_it() {
        let master = SealingKey::generate().unwrap();
        let key = DataKey::generate().unwrap();
        let sealed = master.seal(b"context", &key).unwrap();
        assert!(same(&master.open(b"context", &sealed).unwrap(), &key));
        assert!(master.open(b"another", &sealed).is_err());
        assert!(SealingKey::generate().unwrap().open(b"context", &sealed).is_err());
        for at in 0..SEALED_KEY_BYTES {
            let mut changed = sealed;
            changed.0[at] ^= 0x80;
            assert!(master.open(b"context", &changed).is_err(), "byte {at}");
        }
        let again = master.seal(b"context", &key).unwrap();
        assert_ne!(again, sealed, "a seal has a salt of its own");
        assert!(same(&master.open(b"context", &again).unwrap(), &key));
    }

    #[test]
    fn parts_have_keys_of_their_own() {
        let key = DataKey::generate().unwrap();
        let seal = |chunks: ChunkKey| {
            let mut text = b"same".to_vec();
            chunks.seal(0, true, &mut text).unwrap();
            text
        };
        let first = seal(key.part_chunks(1, &[0; 16]));
        assert_eq!(first, seal(key.part_chunks(1, &[0; 16])));
        assert_ne!(first, seal(key.part_chunks(2, &[0; 16])), "another number");
        assert_ne!(first, seal(key.part_chunks(1, &[1; 16])), "uploaded again");
        assert_ne!(first, seal(key.chunks()), "an object in one piece");
    }

    #[test]
    fn keys_are_not_shown() {
        let key = SealingKey::new([b'k'; 32]);
        assert_eq!(format!("{key:?}"), "SealingKey(…)");
        assert_eq!(format!("{:?}", DataKey::generate().unwrap()), "DataKey(…)");
    }
}
