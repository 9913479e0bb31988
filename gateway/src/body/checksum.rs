//! Owns: the digests that S3 knows, any number of them in one pass over the content.
//! Limits: `DIGEST_PIECE_BYTES`.
//! Not here: what a request promised (`promised`); the store's own block checksums.

use std::fmt;

use crc_fast::CrcAlgorithm;
use sha2::Digest as _;

use super::limits::DIGEST_PIECE_BYTES;

/// The checksum algorithms of S3's `x-amz-checksum-*` headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// CRC-32 (ISO-HDLC), 4 bytes.
    Crc32,
    /// CRC-32C (iSCSI), 4 bytes.
    Crc32c,
    /// CRC-64/NVME, 8 bytes.
    Crc64Nvme,
    /// SHA-1, 20 bytes.
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 5] = [
        Algorithm::Crc32,
        Algorithm::Crc32c,
        Algorithm::Crc64Nvme,
        Algorithm::Sha1,
        Algorithm::Sha256,
    ];

    /// S3's name, as in `x-amz-sdk-checksum-algorithm: CRC32`.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "CRC32",
            Algorithm::Crc32c => "CRC32C",
            Algorithm::Crc64Nvme => "CRC64NVME",
            Algorithm::Sha1 => "SHA1",
            Algorithm::Sha256 => "SHA256",
        }
    }

    /// The header that carries a value, lower case.
    pub fn header(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "x-amz-checksum-crc32",
            Algorithm::Crc32c => "x-amz-checksum-crc32c",
            Algorithm::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Algorithm::Sha1 => "x-amz-checksum-sha1",
            Algorithm::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// By S3's name, in either case, as SDKs write it.
    pub fn from_name(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// By the header's name, in either case.
    pub fn from_header(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.header().eq_ignore_ascii_case(name))
    }

    /// Bytes of a value.
    pub fn value_bytes(self) -> usize {
        match self {
            Algorithm::Crc32 | Algorithm::Crc32c => 4,
            Algorithm::Crc64Nvme => 8,
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// One checksum's bytes (big-endian for CRCs, as S3 writes them), held in place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Value {
    bytes: [u8; 32],
    len: u8,
}

impl Value {
    /// `None` for more bytes than any algorithm has.
    pub fn from_bytes(bytes: &[u8]) -> Option<Value> {
        let mut value = Value { bytes: [0; 32], len: u8::try_from(bytes.len()).ok()? };
        value.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(value)
    }

    /// Decodes standard base64; `None` unless it is of exactly `algorithm`'s length.
    pub fn from_base64(algorithm: Algorithm, text: &[u8]) -> Option<Value> {
        decode_base64(text, algorithm.value_bytes())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Standard base64, as in headers.
    pub fn to_base64(&self) -> String {
        base64(self.as_bytes())
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Value({})", self.to_base64())
    }
}

/// Standard base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

/// Decodes standard base64 of exactly `len` bytes, at most 32.
pub(super) fn decode_base64(text: &[u8], len: usize) -> Option<Value> {
    // 44 digits hold 32 bytes; nothing longer is decoded.
    if text.len() > 44 {
        return None;
    }
    let mut room = [0; 36];
    let decoded =
        base64_simd::STANDARD.decode(text, base64_simd::AsOut::as_out(&mut room[..])).ok()?;
    if decoded.len() == len { Value::from_bytes(decoded) } else { None }
}

/// Which digests to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Selection {
    md5: bool,
    algorithms: [bool; 5],
}

impl Selection {
    /// None.
    pub fn none() -> Selection {
        Selection::default()
    }

    /// These and MD5, which `ETag` and `Content-MD5` need.
    #[must_use]
    pub fn with_md5(mut self) -> Selection {
        self.md5 = true;
        self
    }

    /// These and `algorithm`.
    #[must_use]
    pub fn with(mut self, algorithm: Algorithm) -> Selection {
        self.algorithms[algorithm as usize] = true;
        self
    }

    /// Whether there is nothing to compute.
    pub fn is_empty(&self) -> bool {
        *self == Selection::none()
    }
}

/// Digests in the making. Memory: at most 700 bytes, whatever the content's size.
#[derive(Clone)]
pub struct Digests {
    md5: Option<md5::Md5>,
    crcs: [Option<crc_fast::Digest>; 3],
    sha1: Option<sha1::Sha1>,
    sha256: Option<sha2::Sha256>,
}

impl Digests {
    /// Starts what was selected.
    pub fn new(selection: Selection) -> Digests {
        let wants = |algorithm: Algorithm| selection.algorithms[algorithm as usize];
        let crc = |algorithm, known| wants(algorithm).then(|| crc_fast::Digest::new(known));
        Digests {
            md5: selection.md5.then(md5::Md5::new),
            crcs: [
                crc(Algorithm::Crc32, CrcAlgorithm::Crc32IsoHdlc),
                crc(Algorithm::Crc32c, CrcAlgorithm::Crc32Iscsi),
                crc(Algorithm::Crc64Nvme, CrcAlgorithm::Crc64Nvme),
            ],
            sha1: wants(Algorithm::Sha1).then(sha1::Sha1::new),
            sha256: wants(Algorithm::Sha256).then(sha2::Sha256::new),
        }
    }

    /// Takes the next bytes of the content.
    pub fn update(&mut self, data: &[u8]) {
        for piece in data.chunks(DIGEST_PIECE_BYTES) {
            if let Some(md5) = &mut self.md5 {
                md5.update(piece);
            }
            for crc in self.crcs.iter_mut().flatten() {
                crc.update(piece);
            }
            if let Some(sha1) = &mut self.sha1 {
                sha1.update(piece);
            }
            if let Some(sha256) = &mut self.sha256 {
                sha256.update(piece);
            }
        }
    }

    /// The values of what was selected.
    pub fn finish(self) -> DigestValues {
        let crc = |at: usize| self.crcs[at].as_ref().map(crc_fast::Digest::finalize);
        // A CRC of 32 bits comes in the low half of the word.
        let low = |value: u64| Value::from_bytes(&value.to_be_bytes()[4..]);
        DigestValues {
            md5: self.md5.clone().map(|md5| md5.finalize().into()),
            values: [
                crc(0).and_then(low),
                crc(1).and_then(low),
                crc(2).and_then(|value| Value::from_bytes(&value.to_be_bytes())),
                self.sha1.clone().and_then(|sha1| Value::from_bytes(&sha1.finalize())),
                self.sha256.clone().and_then(|sha256| Value::from_bytes(&sha256.finalize())),
            ],
        }
    }
}

impl fmt::Debug for Digests {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Digests(..)")
    }
}

/// Finished digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestValues {
    /// MD5, if it was selected.
    pub md5: Option<[u8; 16]>,
    values: [Option<Value>; 5],
}

impl DigestValues {
    /// The value of `algorithm`, if it was selected.
    pub fn value(&self, algorithm: Algorithm) -> Option<Value> {
        self.values[algorithm as usize]
    }

    /// Puts in a value that was computed elsewhere: the store computes CRC-64/NVME of what it
    /// writes anyway.
    pub fn set(&mut self, algorithm: Algorithm, value: Value) {
        self.values[algorithm as usize] = Some(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all() -> Selection {
        Algorithm::ALL.into_iter().fold(Selection::none().with_md5(), Selection::with)
    }

    /// The catalogue's check values: digests of "123456789".
    #[test]
    fn check_values() {
        let mut digests = Digests::new(all());
        digests.update(b"123456789");
        let values = digests.finish();
        for (algorithm, value) in [
            (Algorithm::Crc32, "y/Q5Jg=="),
            (Algorithm::Crc32c, "4waSgw=="),
            (Algorithm::Crc64Nvme, "rosUhgp5mIg="),
            (Algorithm::Sha1, "98O8HYCOBHMq32eZZczDTKeuNEE="),
            (Algorithm::Sha256, "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
        ] {
            let computed = values.value(algorithm).expect("selected");
            assert_eq!(computed.to_base64(), value, "{algorithm}");
            assert_eq!(
                Value::from_base64(algorithm, computed.to_base64().as_bytes()),
                Some(computed)
            );
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithm::from_header(algorithm.header()), Some(algorithm));
        }
        let hex = |bytes: &[u8]| hex_simd::encode_to_string(bytes, hex_simd::AsciiCase::Lower);
        assert_eq!(hex(&values.md5.expect("selected")), "25f9e794323b453885f5181f1b624d0b");
    }

    #[test]
    fn only_what_was_selected_is_computed() {
        let values = Digests::new(Selection::none().with(Algorithm::Crc32)).finish();
        assert_eq!(values.md5, None);
        assert_eq!(
            values.value(Algorithm::Crc32).map(|value| value.to_base64()),
            Some("AAAAAA==".into())
        );
        assert_eq!(values.value(Algorithm::Sha256), None);
        assert!(Selection::none().is_empty() && !Selection::none().with_md5().is_empty());
    }

    #[test]
    fn values_of_the_wrong_length_or_alphabet_are_refused() {
        for text in [
            "",
            "AAAA",
            "AAAAAAA=",
            "AAAAAA",
            "AAAAAA=",
            "AAAA AA==",
            "AAAAAB==x",
            "-_AAAA==",
            &"A".repeat(10_000),
        ] {
            assert_eq!(Value::from_base64(Algorithm::Crc32, text.as_bytes()), None, "{text}");
        }
        assert!(Value::from_base64(Algorithm::Crc32, b"AAAAAA==").is_some());
    }

    proptest! {
        #[test]
        fn splits_do_not_change_digests(data in proptest::collection::vec(any::<u8>(), 0..40_000), at in any::<prop::sample::Index>()) {
            let mut whole = Digests::new(all());
            whole.update(&data);
            let (head, tail) = data.split_at(at.index(data.len() + 1));
            let mut split = Digests::new(all());
            split.update(head);
            split.update(tail);
            prop_assert_eq!(whole.finish(), split.finish());
        }
    }
}
