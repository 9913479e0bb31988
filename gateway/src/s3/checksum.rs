//! Owns S3's object checksums: the two types, the text form in headers and XML, and how the checksum of a multipart
//! object comes from those of its parts ("Checking object integrity in Amazon S3").
//!
//! Not here: the algorithms and digesting bytes (`crate::body::checksum`).

use crc_fast::CrcAlgorithm;
use http::{HeaderMap, HeaderValue};
use s3s::dto;

use crate::body::checksum::{Algorithm, Digests, Selection, Value};

/// What a checksum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The content.
    FullObject,
    /// The checksums of the parts, one after the other; carries how many.
    Composite(u16),
}

/// A checksum with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checksum {
    /// How it was made.
    pub(super) algorithm: Algorithm,
    /// Of what.
    pub(super) kind: Kind,
    /// The digest.
    pub(super) value: Value,
}

/// Whether the algorithm can make the checksum of a whole from those of its parts.
pub(super) const fn combines(algorithm: Algorithm) -> bool {
    crc(algorithm).is_some()
}

const fn crc(algorithm: Algorithm) -> Option<CrcAlgorithm> {
    match algorithm {
        Algorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
        Algorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
        Algorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
        Algorithm::Sha1 | Algorithm::Sha256 => None,
    }
}

/// The type as headers and XML name it.
pub(super) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::FullObject => dto::ChecksumType::FULL_OBJECT,
        Kind::Composite(_) => dto::ChecksumType::COMPOSITE,
    }
}

impl Checksum {
    /// The whole content's.
    pub(super) const fn full(algorithm: Algorithm, value: Value) -> Self {
        Self { algorithm, kind: Kind::FullObject, value }
    }

    /// The CRC-64/NVME that the store keeps.
    pub(super) fn crc64(value: u64) -> Option<Self> {
        Some(Self::full(Algorithm::Crc64Nvme, Value::from_bytes(&value.to_be_bytes())?))
    }

    /// The number in a CRC-64/NVME of the whole; none for any other checksum.
    pub(super) fn as_crc64(&self) -> Option<u64> {
        let is_crc64 = self.algorithm == Algorithm::Crc64Nvme && self.kind == Kind::FullObject;
        is_crc64.then(|| number(self.algorithm, &self.value)).flatten()
    }

    /// Base64, with the number of parts where it is made from theirs.
    pub(super) fn text(&self) -> String {
        match self.kind {
            Kind::FullObject => self.value.to_base64(),
            Kind::Composite(parts) => format!("{}-{parts}", self.value.to_base64()),
        }
    }

    /// Whether a client's text names this value; the `-N` of a composite one may be missing.
    pub(super) fn is_text(&self, text: &str) -> bool {
        let bare = match self.kind {
            Kind::FullObject => text,
            Kind::Composite(parts) => text.strip_suffix(&format!("-{parts}")).unwrap_or(text),
        };
        Value::from_base64(self.algorithm, bare.as_bytes()) == Some(self.value)
    }

    /// Adds the value's header and the type's.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::try_from(self.text()) {
            headers.insert(self.algorithm.header(), value);
            headers.insert("x-amz-checksum-type", HeaderValue::from_static(kind_name(self.kind)));
        }
    }

    /// For XML.
    pub(super) fn dto_algorithm(&self) -> dto::ChecksumAlgorithm {
        dto::ChecksumAlgorithm::from_static(self.algorithm.name())
    }

    /// For XML.
    pub(super) fn dto_kind(&self) -> dto::ChecksumType {
        dto::ChecksumType::from_static(kind_name(self.kind))
    }
}

/// The checksum of parts put one after the other, each given with its bytes. None where a part's value has a wrong
/// length or, for [`Kind::FullObject`], the algorithm does not combine.
pub(super) fn of_parts(
    algorithm: Algorithm,
    composite: bool,
    parts: impl IntoIterator<Item = (Value, u64)>,
) -> Option<Checksum> {
    if composite { composed(algorithm, parts) } else { combined(algorithm, parts) }
}

fn combined(
    algorithm: Algorithm,
    parts: impl IntoIterator<Item = (Value, u64)>,
) -> Option<Checksum> {
    let crc = crc(algorithm)?;
    let mut whole: Option<u64> = None;
    for (value, size) in parts {
        let part = number(algorithm, &value)?;
        whole = Some(match whole {
            None => part,
            Some(before) => crc_fast::checksum_combine(crc, before, part, size),
        });
    }
    Some(Checksum::full(algorithm, low_bytes(algorithm, whole?)?))
}

fn composed(
    algorithm: Algorithm,
    parts: impl IntoIterator<Item = (Value, u64)>,
) -> Option<Checksum> {
    let mut values = Vec::new();
    let mut count = 0_u16;
    for (value, _size) in parts {
        if value.as_bytes().len() != algorithm.value_bytes() {
            return None;
        }
        values.extend_from_slice(value.as_bytes());
        count = count.checked_add(1)?;
    }
    let value = digest(algorithm, &values)?;
    Some(Checksum { algorithm, kind: Kind::Composite(count), value })
}

fn digest(algorithm: Algorithm, bytes: &[u8]) -> Option<Value> {
    let mut digests = Digests::new(Selection::none().with(algorithm));
    digests.update(bytes);
    digests.finish().value(algorithm)
}

fn low_bytes(algorithm: Algorithm, number: u64) -> Option<Value> {
    let bytes = number.to_be_bytes();
    Value::from_bytes(bytes.get(bytes.len().checked_sub(algorithm.value_bytes())?..)?)
}

fn number(algorithm: Algorithm, value: &Value) -> Option<u64> {
    if value.as_bytes().len() != algorithm.value_bytes() {
        return None;
    }
    Some(value.as_bytes().iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// The fields that many of S3's XML elements have for checksums, from the one checksum there is.
macro_rules! checksum_fields {
    ($target:expr, $checksum:expr) => {{
        let (target, checksum) = (&mut $target, $checksum);
        let text = Some(checksum.text());
        match checksum.algorithm {
            $crate::body::checksum::Algorithm::Crc32 => target.checksum_crc32 = text,
            $crate::body::checksum::Algorithm::Crc32c => target.checksum_crc32c = text,
            $crate::body::checksum::Algorithm::Crc64Nvme => target.checksum_crc64nvme = text,
            $crate::body::checksum::Algorithm::Sha1 => target.checksum_sha1 = text,
            $crate::body::checksum::Algorithm::Sha256 => target.checksum_sha256 = text,
        }
    }};
}
pub(crate) use checksum_fields;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_combine_to_the_whole() {
        let pieces: [&[u8]; 3] = [b"hello ", b"", b"world, in three parts"];
        let whole = pieces.concat();
        for algorithm in Algorithm::ALL {
            let parts = pieces.map(|piece| (digest(algorithm, piece).unwrap(), piece.len() as u64));
            let full = of_parts(algorithm, false, parts);
            assert_eq!(full.is_some(), combines(algorithm));
            if let Some(full) = full {
                assert_eq!(full, Checksum::full(algorithm, digest(algorithm, &whole).unwrap()));
            }
            let composite = of_parts(algorithm, true, parts).unwrap();
            let concatenated: Vec<u8> =
                parts.iter().flat_map(|(value, _)| value.as_bytes().to_vec()).collect();
            assert_eq!(Some(composite.value), digest(algorithm, &concatenated));
            assert!(composite.text().ends_with("-3"));
            assert!(
                composite.is_text(&composite.text())
                    && composite.is_text(&composite.value.to_base64())
            );
            assert!(!composite.is_text(&format!("{}-2", composite.value.to_base64())));
        }
        let short = Value::from_bytes(b"short").unwrap();
        assert_eq!(of_parts(Algorithm::Crc32, false, [(short, 1)]), None);
        assert_eq!(of_parts(Algorithm::Sha256, true, [(short, 1)]), None);
    }

    #[test]
    fn the_stores_own_checksum_reads_as_s3_writes_it() {
        // CRC-64/NVME of "123456789" is ae8b14860a799888 (the check value of its definition).
        let checksum = Checksum::crc64(0xae8b_1486_0a79_9888).unwrap();
        assert_eq!(Some(checksum.value), digest(Algorithm::Crc64Nvme, b"123456789"));
        assert_eq!(checksum.as_crc64(), Some(0xae8b_1486_0a79_9888));
        let mut headers = HeaderMap::new();
        checksum.write(&mut headers);
        assert_eq!(headers["x-amz-checksum-crc64nvme"], "rosUhgp5mIg=");
        assert_eq!(headers["x-amz-checksum-type"], "FULL_OBJECT");
    }
}
