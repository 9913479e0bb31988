//! Owns what the gateway keeps with an object, an upload or a part beside its bytes: content headers, user metadata,
//! checksums; and their compact form in the store's opaque attributes.
//!
//! The form, version 1. Integers are little-endian.
//! ```text
//! u8 version = 1
//! u8 number of checksums, then each: u8 algorithm, u16 parts (0 = of the whole content), the value
//! u8 declared algorithm (0 = none)                        -- what an upload promised of its object
//! u8 bit 0: 1 = composite; bits 1 to 7: the storage class
//! until the end: u8 field, u16 length, value              -- a content header
//!            or: u8 0x80, u16 length, name, u16 length, value -- user metadata, name without x-amz-meta-
//!            or: u8 from 0x81, u16 length, value -- of an upload: what its object will have elsewhere (`created`)
//! ```
//! Checksums stand first, and what was promised with the storage class next, since listings need them and nothing
//! else: the store gives them the first `datapath::limits::LISTED_ATTRIBUTES_BYTES_MAX` bytes.
//!
//! Not here: sizes, dates, entity tags (the store's own fields), the headers of a response (`describe`).

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::checksum::{Checksum, Kind};
use super::limits::{ATTRIBUTES_BYTES_MAX, USER_METADATA_BYTES_MAX};
use super::redirect::{self, REDIRECT};
use super::refusal::{Outcome, Refusal};
use super::storage_class::StorageClass;
use crate::body::checksum::{Algorithm, Value};

const VERSION: u8 = 1;
const METADATA: u8 = 0x80;
const COMPOSITE: u8 = 1;

/// The first field that is no attribute but another thing that an upload holds for its object.
pub(super) const HELD_FIELDS: u8 = 0x81;

/// Version and count, a checksum of each algorithm of at most 32 bytes, what was promised.
const HEAD_BYTES_MAX: usize = 2 + Algorithm::ALL.len() * (1 + 2 + 32) + 2;
const _: () = assert!(HEAD_BYTES_MAX <= datapath::limits::LISTED_ATTRIBUTES_BYTES_MAX);

/// The content headers that are kept, by their codes; never renumber.
static CONTENT_HEADERS: [(u8, HeaderName); 7] = [
    (1, CONTENT_TYPE),
    (2, CACHE_CONTROL),
    (3, CONTENT_DISPOSITION),
    (4, CONTENT_ENCODING),
    (5, CONTENT_LANGUAGE),
    (6, EXPIRES),
    (7, REDIRECT),
];

/// What precedes a metadata name in headers.
pub(super) const METADATA_PREFIX: &str = "x-amz-meta-";

/// What Amazon S3 says of an object that was put without a type.
pub(super) const CONTENT_TYPE_DEFAULT: HeaderValue =
    HeaderValue::from_static("binary/octet-stream");

/// Everything kept beside the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    /// Of an object: at most one. Of a part: at most one of each algorithm.
    pub(super) checksums: Vec<Checksum>,
    /// Of an upload: what its object's checksum will be.
    pub(super) declared: Option<Declared>,
    /// What the writer named.
    pub(super) class: StorageClass,
    /// Content headers, values as they came.
    pub(super) content: Vec<(HeaderName, HeaderValue)>,
    /// Whole header names, values as they came.
    pub(super) metadata: Vec<(HeaderName, HeaderValue)>,
}

/// What an upload promised of its object's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Declared {
    /// Of its parts and of the object.
    pub(super) algorithm: Algorithm,
    /// Whether the object's is made of the parts' values rather than of the content.
    pub(super) composite: bool,
}

/// Attributes that cannot be read: not written by this program, or damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Damaged("attributes")
    }
}

impl Attributes {
    /// What a request wants kept: content headers and user metadata. `aside` holds those that s3s does not see.
    ///
    /// # Errors
    /// MetadataTooLarge over 2 KiB of user metadata; InvalidArgument for a value that is not UTF-8;
    /// InvalidStorageClass; InvalidRedirectLocation.
    pub(super) fn from_request(headers: &HeaderMap, aside: &HeaderMap) -> Outcome<Self> {
        redirect::check(headers)?;
        let class = StorageClass::of_request(headers)?;
        let mut attributes = Self { class, ..Self::default() };
        for (_, name) in &CONTENT_HEADERS {
            let value = headers.get(name).or_else(|| aside.get(name));
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                attributes.content.push((name.clone(), value.clone()));
            }
        }
        if attributes.content.first().is_none_or(|(name, _)| name != CONTENT_TYPE) {
            attributes.content.insert(0, (CONTENT_TYPE, CONTENT_TYPE_DEFAULT));
        }
        let mut size = 0;
        for name in aside.keys() {
            let Some(suffix) =
                name.as_str().strip_prefix(METADATA_PREFIX).filter(|it| !it.is_empty())
            else {
                continue;
            };
            let value = joined(aside, name)?;
            size += suffix.len() + value.len();
            attributes.metadata.push((name.clone(), value));
        }
        if size > USER_METADATA_BYTES_MAX {
            return Err(Refusal::MetadataTooLarge { size, max: USER_METADATA_BYTES_MAX });
        }
        Ok(attributes)
    }

    /// The compact form.
    ///
    /// # Errors
    /// MetadataTooLarge where it would be longer than [`ATTRIBUTES_BYTES_MAX`].
    pub(super) fn encode(&self) -> Outcome<Bytes> {
        let mut to = BytesMut::with_capacity(64);
        to.put_u8(VERSION);
        to.put_u8(u8::try_from(self.checksums.len()).unwrap_or(u8::MAX));
        for checksum in self.checksums.iter().take(usize::from(u8::MAX)) {
            to.put_u8(code(checksum.algorithm));
            to.put_u16_le(match checksum.kind {
                Kind::FullObject => 0,
                Kind::Composite(parts) => parts,
            });
            to.put_slice(checksum.value.as_bytes());
        }
        to.put_u8(self.declared.map_or(0, |declared| code(declared.algorithm)));
        let composite = u8::from(self.declared.is_some_and(|declared| declared.composite));
        to.put_u8(self.class.code() << 1 | composite);
        let too_large = |size| Refusal::MetadataTooLarge { size, max: ATTRIBUTES_BYTES_MAX };
        for (name, value) in &self.content {
            let field = CONTENT_HEADERS
                .iter()
                .find(|(_, known)| known == name)
                .map_or(0, |(field, _)| *field);
            to.put_u8(field);
            put_text(&mut to, value.as_bytes()).ok_or_else(|| too_large(value.len()))?;
        }
        for (name, value) in &self.metadata {
            let name = name.as_str().strip_prefix(METADATA_PREFIX).unwrap_or(name.as_str());
            to.put_u8(METADATA);
            put_text(&mut to, name.as_bytes()).ok_or_else(|| too_large(name.len()))?;
            put_text(&mut to, value.as_bytes()).ok_or_else(|| too_large(value.len()))?;
        }
        if to.len() > ATTRIBUTES_BYTES_MAX {
            return Err(too_large(to.len()));
        }
        Ok(to.freeze())
    }

    /// Reads the compact form; no attributes at all are those of something stored without any.
    ///
    /// # Errors
    /// For anything that [`Self::encode`] cannot have written.
    pub(super) fn decode(encoded: &Bytes) -> Result<Self, Malformed> {
        Self::decode_with(encoded, |_, _| Err(Malformed))
    }

    /// The same for an upload's, whose fields from [`HELD_FIELDS`] go to `held`.
    ///
    /// # Errors
    /// As [`Self::decode`], and `held`'s.
    pub(super) fn decode_with(
        encoded: &Bytes,
        mut held: impl FnMut(u8, Bytes) -> Result<(), Malformed>,
    ) -> Result<Self, Malformed> {
        if encoded.is_empty() {
            return Ok(Self::default());
        }
        let mut from = encoded.clone();
        let checksums = take_checksums(&mut from)?;
        let (declared, class) = take_declared(&mut from)?;
        let mut attributes = Self { checksums, declared, class, ..Self::default() };
        while from.has_remaining() {
            let field = from.get_u8();
            let text = take_text(&mut from)?;
            if field == METADATA {
                let mut name = Vec::with_capacity(METADATA_PREFIX.len() + text.len());
                name.extend_from_slice(METADATA_PREFIX.as_bytes());
                name.extend_from_slice(&text);
                let name = HeaderName::from_bytes(&name).map_err(|_| Malformed)?;
                attributes.metadata.push((name, value(take_text(&mut from)?)?));
            } else if field >= HELD_FIELDS {
                held(field, text)?;
            } else {
                let known = CONTENT_HEADERS.iter().find(|(code, _)| *code == field);
                let (_, name) = known.ok_or(Malformed)?;
                attributes.content.push((name.clone(), value(text)?));
            }
        }
        Ok(attributes)
    }

    /// The checksums alone.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub(super) fn decode_checksums(encoded: &Bytes) -> Result<Vec<Checksum>, Malformed> {
        if encoded.is_empty() { Ok(Vec::new()) } else { take_checksums(&mut encoded.clone()) }
    }

    /// What an upload promised, alone.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub(super) fn decode_declared(encoded: &Bytes) -> Result<Option<Declared>, Malformed> {
        if encoded.is_empty() {
            return Ok(None);
        }
        let mut from = encoded.clone();
        take_checksums(&mut from)?;
        Ok(take_declared(&mut from)?.0)
    }

    /// The storage class, alone.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub(super) fn decode_class(encoded: &Bytes) -> Result<StorageClass, Malformed> {
        if encoded.is_empty() {
            return Ok(StorageClass::default());
        }
        let mut from = encoded.clone();
        take_checksums(&mut from)?;
        Ok(take_declared(&mut from)?.1)
    }

    /// Takes away what a copy does not take over: where requests for the object are sent on to, and its class.
    pub(super) fn forget_place(&mut self) {
        self.content.retain(|(name, _)| *name != REDIRECT);
        self.class = StorageClass::default();
    }
}

fn take_declared(from: &mut Bytes) -> Result<(Option<Declared>, StorageClass), Malformed> {
    let algorithm = from.try_get_u8().map_err(|_| Malformed)?;
    let flags = from.try_get_u8().map_err(|_| Malformed)?;
    let class = StorageClass::of_code(flags >> 1).ok_or(Malformed)?;
    let declared = match algorithm {
        0 => None,
        code => {
            let composite = flags & COMPOSITE == COMPOSITE;
            Some(Declared { algorithm: algorithm_of(code)?, composite })
        }
    };
    Ok((declared, class))
}

/// Adds one of an upload's fields from [`HELD_FIELDS`] to the compact form.
///
/// # Errors
/// MetadataTooLarge where it is longer than a field can be.
pub(super) fn put_held(to: &mut BytesMut, field: u8, value: &[u8]) -> Outcome<()> {
    to.put_u8(field);
    let max = usize::from(u16::MAX);
    put_text(to, value).ok_or(Refusal::MetadataTooLarge { size: value.len(), max })
}

/// All lines of a header as one value, as Amazon S3 keeps repeated metadata.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Outcome<HeaderValue> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    let bytes = lines.join(&b","[..]);
    let refused = || Refusal::InvalidArgument(format!("the value of {name} is not UTF-8"));
    if std::str::from_utf8(&bytes).is_err() {
        return Err(refused());
    }
    HeaderValue::from_maybe_shared(Bytes::from(bytes)).map_err(|_| refused())
}

fn code(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Crc32 => 1,
        Algorithm::Crc32c => 2,
        Algorithm::Crc64Nvme => 3,
        Algorithm::Sha1 => 4,
        Algorithm::Sha256 => 5,
    }
}

fn algorithm_of(byte: u8) -> Result<Algorithm, Malformed> {
    Algorithm::ALL.into_iter().find(|algorithm| code(*algorithm) == byte).ok_or(Malformed)
}

fn put_text(to: &mut BytesMut, text: &[u8]) -> Option<()> {
    to.put_u16_le(u16::try_from(text.len()).ok()?);
    to.put_slice(text);
    Some(())
}

fn take_text(from: &mut Bytes) -> Result<Bytes, Malformed> {
    let length = usize::from(from.try_get_u16_le().map_err(|_| Malformed)?);
    if from.remaining() < length {
        return Err(Malformed);
    }
    Ok(from.split_to(length))
}

fn value(text: Bytes) -> Result<HeaderValue, Malformed> {
    HeaderValue::from_maybe_shared(text).map_err(|_| Malformed)
}

fn take_checksums(from: &mut Bytes) -> Result<Vec<Checksum>, Malformed> {
    if from.try_get_u8() != Ok(VERSION) {
        return Err(Malformed);
    }
    let count = from.try_get_u8().map_err(|_| Malformed)?;
    (0..count)
        .map(|_| {
            let algorithm = algorithm_of(from.try_get_u8().map_err(|_| Malformed)?)?;
            let parts = from.try_get_u16_le().map_err(|_| Malformed)?;
            let length = algorithm.value_bytes();
            if from.remaining() < length {
                return Err(Malformed);
            }
            let kind = if parts == 0 { Kind::FullObject } else { Kind::Composite(parts) };
            let value = Value::from_bytes(&from.split_to(length)).ok_or(Malformed)?;
            Ok(Checksum { algorithm, kind, value })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Attributes {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let mut aside = HeaderMap::new();
        aside.insert(EXPIRES, HeaderValue::from_static("0"));
        aside.append("x-amz-meta-colour", HeaderValue::from_static("blue"));
        aside.append("x-amz-meta-colour", HeaderValue::from_static("red"));
        aside.insert("x-amz-meta-name", HeaderValue::from_bytes("имя".as_bytes()).unwrap());
        let mut attributes = Attributes::from_request(&headers, &aside).unwrap();
        attributes.checksums = vec![
            Checksum::crc64(7).unwrap(),
            Checksum {
                algorithm: Algorithm::Sha1,
                kind: Kind::Composite(3),
                value: Value::from_bytes(&[9; 20]).unwrap(),
            },
        ];
        attributes.declared = Some(Declared { algorithm: Algorithm::Sha256, composite: true });
        attributes
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let attributes = sample();
        assert_eq!(attributes.content.len(), 3);
        assert!(attributes.metadata.iter().any(|(_, value)| value == "blue,red"));
        let encoded = attributes.encode().unwrap();
        assert_eq!(Attributes::decode(&encoded), Ok(attributes.clone()));
        assert_eq!(Attributes::decode_checksums(&encoded), Ok(attributes.checksums));
        assert_eq!(Attributes::decode(&Bytes::new()), Ok(Attributes::default()));
    }

    #[test]
    fn a_type_is_always_there_and_metadata_is_bounded() {
        let none = Attributes::from_request(&HeaderMap::new(), &HeaderMap::new()).unwrap();
        assert_eq!(none.content, [(CONTENT_TYPE, CONTENT_TYPE_DEFAULT)]);
        let mut aside = HeaderMap::new();
        let fits = USER_METADATA_BYTES_MAX - 1;
        aside.insert("x-amz-meta-a", HeaderValue::try_from("v".repeat(fits)).unwrap());
        assert!(Attributes::from_request(&HeaderMap::new(), &aside).is_ok());
        aside.insert("x-amz-meta-a", HeaderValue::try_from("v".repeat(fits + 1)).unwrap());
        let refused = Attributes::from_request(&HeaderMap::new(), &aside);
        assert!(matches!(refused, Err(Refusal::MetadataTooLarge { size: 2049, max: 2048 })));
        let mut headers = HeaderMap::new();
        let long = HeaderValue::try_from("v".repeat(ATTRIBUTES_BYTES_MAX)).unwrap();
        headers.insert(CACHE_CONTROL, long);
        let large = Attributes::from_request(&headers, &HeaderMap::new()).unwrap().encode();
        assert!(matches!(large, Err(Refusal::MetadataTooLarge { .. })));
        let mut aside = HeaderMap::new();
        aside.insert("x-amz-meta-a", HeaderValue::from_bytes(b"\xff").unwrap());
        let refused = Attributes::from_request(&HeaderMap::new(), &aside);
        assert!(matches!(refused, Err(Refusal::InvalidArgument(_))));
    }

    #[test]
    fn a_cut_or_a_foreign_byte_is_seen() {
        let encoded = sample().encode().unwrap();
        let whole = Attributes::decode(&encoded).unwrap();
        for length in 1..encoded.len() {
            // A cut at the edge of a field leaves fewer fields, any other is malformed.
            if let Ok(fewer) = Attributes::decode(&encoded.slice(..length)) {
                assert!(
                    fewer.content.len() + fewer.metadata.len()
                        < whole.content.len() + whole.metadata.len()
                );
            }
        }
        let mut foreign = encoded.to_vec();
        foreign[0] = 2;
        assert_eq!(Attributes::decode(&foreign.into()), Err(Malformed));
    }

    proptest! {
        #[test]
        fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64), known in any::<bool>()) {
            let mut bytes = bytes;
            if known && !bytes.is_empty() {
                bytes[0] = VERSION;
            }
            let _ = Attributes::decode(&bytes.into());
        }
    }
}
