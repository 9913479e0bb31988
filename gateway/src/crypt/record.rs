//! Owns what is kept with an encrypted object or upload: how it is encrypted, its sealed data key, and where its parts
//! lie. Little-endian:
//!
//! ```text
//! u8  form = 1
//! u64 bytes of the content                 -- first, since listings want it of every object
//! u8  scheme: 1 SSE-S3, 2 SSE-KMS, 3 SSE-C
//! u8  bits: 1 = bucket key, 2 = parts
//! 8   id of the key that seals the data key (zeros for SSE-C)
//! 80  the sealed data key: salt 32, key 32, tag 16
//! u16 length, name of the KMS key          -- SSE-KMS alone
//! u16 length, encryption context as JSON   -- SSE-KMS alone
//! until the end: the parts (`layout`)
//! ```
//!
//! What was asked for is the context of the seal, so that it cannot be changed; sizes and parts are covered by the
//! store's checksums of its index and not by a seal: an upload is completed without the key that an SSE-C upload is
//! sealed by.
//!
//! Not here: the keys (`ring`), headers (`request`, `answer`).

use bytes::{Buf as _, BufMut as _, Bytes};
use datapath::Object;

use super::Malformed;
use super::key::{SEALED_KEY_BYTES, SealedKey};
use super::layout::{LAYOUT_BYTES_MAX, Layout};
use super::ring::KeyId;
use crate::limits::{ENCRYPTION_CONTEXT_BYTES_MAX, KMS_KEY_NAME_BYTES_MAX};

const FORM: u8 = 1;
const BUCKET_KEY: u8 = 1;
const PARTS: u8 = 2;

/// Bytes before the names.
const HEAD_BYTES: usize = 1 + 8 + 1 + 1 + 8 + SEALED_KEY_BYTES;

const _: () = assert!(
    HEAD_BYTES + 2 + KMS_KEY_NAME_BYTES_MAX + 2 + ENCRYPTION_CONTEXT_BYTES_MAX + LAYOUT_BYTES_MAX
        <= datapath::limits::ATTRIBUTES_BYTES_MAX
);

/// How an object is encrypted, as S3 names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// SSE-S3: `AES256`.
    Master {
        /// Which master key.
        key: KeyId,
    },
    /// SSE-KMS: `aws:kms`.
    Kms {
        /// Which key of that name.
        key: KeyId,
        /// The name that answers give.
        name: Box<str>,
        /// The encryption context as it was sent, JSON; empty for none.
        context: Box<[u8]>,
        /// Whether a bucket key was asked for, which answers repeat.
        bucket_key: bool,
    },
    /// SSE-C.
    Customer,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Bytes of the content; 0 for an upload.
    pub size: u64,
    /// How.
    pub scheme: Scheme,
    /// The object's, or the upload's.
    pub sealed: SealedKey,
    /// Where its parts lie.
    pub layout: Layout,
}

/// Bytes of an object's content: what every client is told.
pub fn size(object: &Object) -> u64 {
    sealed_content_size(&object.encryption).unwrap_or(object.size)
}

/// The size in a record's first bytes; none where nothing is encrypted.
pub fn sealed_content_size(encryption: &[u8]) -> Option<u64> {
    let size = encryption.get(1..9)?;
    Some(u64::from_le_bytes(size.try_into().ok()?))
}

impl Scheme {
    /// What the data key's seal is bound to.
    pub(super) fn context(&self) -> Vec<u8> {
        match self {
            Self::Master { .. } => b"SSE-S3".to_vec(),
            Self::Customer => b"SSE-C".to_vec(),
            // Neither a name nor JSON has a byte 0.
            Self::Kms { name, context, .. } => [b"SSE-KMS", name.as_bytes(), context].join(&b'\0'),
        }
    }

    /// Whether an entity tag is the MD5 of the content ("Common response headers", ETag).
    pub fn tells_md5(&self) -> bool {
        matches!(self, Self::Master { .. })
    }
}

impl Record {
    /// The stored form.
    pub fn encode(&self) -> Bytes {
        let mut to = Vec::with_capacity(HEAD_BYTES + 64);
        let (code, bits, id) = match &self.scheme {
            Scheme::Master { key } => (1, 0, *key),
            Scheme::Kms { key, bucket_key, .. } => (2, u8::from(*bucket_key) * BUCKET_KEY, *key),
            Scheme::Customer => (3, 0, KeyId([0; 8])),
        };
        let parts = if self.layout == Layout::Whole { 0 } else { PARTS };
        to.put_u8(FORM);
        to.put_u64_le(self.size);
        to.put_u8(code);
        to.put_u8(bits | parts);
        to.put_slice(&id.0);
        to.put_slice(&self.sealed.0);
        if let Scheme::Kms { name, context, .. } = &self.scheme {
            for text in [name.as_bytes(), context] {
                // Both are bounded where they are read from a request.
                to.put_u16_le(u16::try_from(text.len()).unwrap_or(u16::MAX));
                to.put_slice(text);
            }
        }
        self.layout.encode(&mut to);
        to.into()
    }

    /// Reads the stored form; none for what is not encrypted.
    ///
    /// # Errors
    /// [`Malformed`] for what [`Self::encode`] has not written.
    pub fn decode(encoded: &Bytes) -> Result<Option<Self>, Malformed> {
        if encoded.is_empty() {
            return Ok(None);
        }
        let mut from = encoded.clone();
        if from.remaining() < HEAD_BYTES || from.get_u8() != FORM {
            return Err(Malformed);
        }
        let size = from.get_u64_le();
        let (code, bits) = (from.get_u8(), from.get_u8());
        let (mut id, mut sealed) = ([0; 8], [0; SEALED_KEY_BYTES]);
        from.copy_to_slice(&mut id);
        from.copy_to_slice(&mut sealed);
        let key = KeyId(id);
        let scheme = match code {
            1 => Scheme::Master { key },
            2 => {
                let name =
                    String::from_utf8(take_text(&mut from)?.into()).map_err(|_| Malformed)?;
                let context = Vec::from(take_text(&mut from)?).into();
                Scheme::Kms { key, name: name.into(), context, bucket_key: bits & BUCKET_KEY != 0 }
            }
            3 => Scheme::Customer,
            _ => return Err(Malformed),
        };
        let layout = match bits & PARTS != 0 {
            true => Layout::decode(&mut from)?,
            false if from.has_remaining() => return Err(Malformed),
            false => Layout::Whole,
        };
        if layout.plain_size().is_some_and(|sum| sum != size) {
            return Err(Malformed);
        }
        Ok(Some(Self { size, scheme, sealed: SealedKey(sealed), layout }))
    }
}

fn take_text(from: &mut Bytes) -> Result<Bytes, Malformed> {
    let length = usize::from(from.try_get_u16_le().map_err(|_| Malformed)?);
    if from.remaining() < length {
        return Err(Malformed);
    }
    Ok(from.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn samples() -> Vec<Record> {
        let sealed = SealedKey(std::array::from_fn(|at| at as u8));
        let record = |size, scheme, layout| Record { size, scheme, sealed, layout };
        let kms = |context: &[u8], bucket_key| Scheme::Kms {
            key: KeyId([2; 8]),
            name: "arn:aws:kms:us-east-1:111122223333:key/k".into(),
            context: context.into(),
            bucket_key,
        };
        vec![
            record(0, Scheme::Master { key: KeyId([1; 8]) }, Layout::Whole),
            record(u64::MAX, Scheme::Customer, Layout::Whole),
            record(7, kms(b"", false), Layout::Whole),
            record(12, kms(b"{\"a\":\"b\"}", true), Layout::of_parts([(1, 5), (2, 5), (7, 2)])),
        ]
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for record in samples() {
            let encoded = record.encode();
            assert_eq!(sealed_content_size(&encoded), Some(record.size));
            assert_eq!(Record::decode(&encoded), Ok(Some(record)));
        }
        assert_eq!(Record::decode(&Bytes::new()), Ok(None));
        assert_eq!(sealed_content_size(b""), None);
    }

    #[test]
    fn a_cut_or_a_foreign_byte_is_seen() {
        for record in samples() {
            let encoded = record.encode();
            for length in 1..encoded.len() {
                assert!(
                    Record::decode(&encoded.slice(..length)).is_err(),
                    "{record:?} at {length}"
                );
            }
            for (at, value) in [(0, 2), (9, 0), (9, 4)] {
                let mut foreign = encoded.to_vec();
                foreign[at] = value;
                assert_eq!(Record::decode(&foreign.into()), Err(Malformed));
            }
            if record.layout == Layout::Whole {
                let longer = [&encoded[..], b"\0"].concat();
                assert_eq!(Record::decode(&longer.into()), Err(Malformed));
            }
        }
    }

    #[test]
    fn what_was_asked_for_is_in_the_seal() {
        let contexts: Vec<Vec<u8>> = samples().iter().map(|it| it.scheme.context()).collect();
        for (at, context) in contexts.iter().enumerate() {
            assert!(!contexts[at + 1..].contains(context));
        }
    }

    proptest! {
        #[test]
        fn decoding_never_panics(tail in proptest::collection::vec(any::<u8>(), 0..64), code in 0_u8..5, bits in 0_u8..4) {
            let mut bytes = samples()[0].encode().to_vec();
            (bytes[9], bytes[10]) = (code, bits);
            bytes.extend(tail);
            let _ = Record::decode(&bytes.into());
        }
    }
}
