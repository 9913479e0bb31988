//! Owns: what `x-amz-content-sha256`, in header or query, says about a body.
//! Not here: decoding or checking the body (`body`).

use http::request::Parts;

use super::canonical::Query;
use super::chain::ChunkChain;
use super::checks::{CONTENT_SHA256, covers, one_header};
use super::claim::{Claim, Mechanism};
use super::error::{AuthError, Malformed};

/// SHA-256 of nothing.
pub const EMPTY_SHA256: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// How the signature speaks of the body.
#[derive(Debug, Clone)]
pub enum Payload {
    /// Not at all: `UNSIGNED-PAYLOAD`, a presigned request, or nobody signed.
    Unsigned,
    /// The body has this SHA-256.
    Exact([u8; 32]),
    /// The body is framed as aws-chunked (`STREAMING-...`).
    Chunked {
        /// What the chunks' signatures continue from; `None` when chunks are not signed.
        /// Boxed: 500 bytes that most requests have no use for.
        chain: Option<Box<ChunkChain>>,
        /// Whether the kind has a trailer (`...-TRAILER`).
        trailer: bool,
    },
}

/// The value of the header, before anything is known of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stated {
    Unsigned,
    Exact([u8; 32]),
    Chunked { signed: bool, trailer: bool },
}

const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

impl Stated {
    pub(super) fn parse(value: &[u8]) -> Result<Stated, AuthError> {
        match value {
            b"UNSIGNED-PAYLOAD" => Ok(Stated::Unsigned),
            b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Ok(Stated::Chunked { signed: true, trailer: false }),
            b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Ok(Stated::Chunked { signed: true, trailer: true }),
            b"STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Ok(Stated::Chunked { signed: false, trailer: true }),
            b"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD" | b"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER" => {
                Err(AuthError::NotImplemented("SigV4A (AWS4-ECDSA-P256-SHA256) is not implemented; sign with AWS4-HMAC-SHA256."))
            }
            _ => parse_sha256(value).map(Stated::Exact).ok_or(AuthError::InvalidArgument(
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
                 STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, \
                 STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER \
                 or a valid sha256 value."
                    .into(),
            )),
        }
    }
}

/// The last line of the canonical request, as text (never longer than a header value). `unstated` is the hash of the
/// body where the request need not state it.
pub(super) fn payload_line(
    parts: &Parts,
    mechanism: Mechanism,
    claim: &Claim<'_>,
    unstated: Option<&[u8; 32]>,
    query: &Query,
) -> Result<Line, AuthError> {
    let header = one_header(parts, &CONTENT_SHA256)?;
    let line = match mechanism {
        Mechanism::Query => match query.find("X-Amz-Content-Sha256") {
            Some((_, true)) => {
                let repeated = Malformed::Repeated("X-Amz-Content-Sha256");
                return Err(AuthError::AuthorizationQueryParametersError(repeated));
            }
            Some((value, false)) => value,
            None => header
                .filter(|_| covers(&claim.signed_headers, "x-amz-content-sha256"))
                .unwrap_or(UNSIGNED_PAYLOAD.as_bytes()),
        },
        _ => match (header, unstated) {
            (Some(value), _) => value,
            (None, Some(hash)) => return Ok(Line::from_bytes(&hex(hash))),
            (None, None) => {
                return Err(AuthError::InvalidRequest(
                    "Missing required header for this request: x-amz-content-sha256".into(),
                ));
            }
        },
    };
    // Refused before it is signed: no kind is longer than the line can hold.
    Stated::parse(line)?;
    Ok(Line::from_bytes(line))
}

/// A payload line, held in place: a hash has 64 bytes, the longest
/// streaming kind 42.
pub(super) struct Line {
    bytes: [u8; 64],
    len: usize,
}

impl Line {
    fn from_bytes(text: &[u8]) -> Line {
        let mut bytes = [0; 64];
        let len = text.len().min(bytes.len());
        bytes[..len].copy_from_slice(&text[..len]);
        Line { bytes, len }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What is said of the body: the signed line, unless that leaves it open and a header says more.
pub(super) fn stated_payload(parts: &Parts, line: &Line) -> Result<Stated, AuthError> {
    let signed = Stated::parse(line.as_bytes())?;
    match (signed, one_header(parts, &CONTENT_SHA256)?) {
        (Stated::Unsigned, Some(value)) => Stated::parse(value),
        (_, Some(value)) if value != line.as_bytes() => Err(AuthError::InvalidRequest(
            "x-amz-content-sha256 differs between header and query.".into(),
        )),
        (signed, _) => Ok(signed),
    }
}

pub(super) fn payload_of(stated: Stated, chain: impl FnOnce() -> ChunkChain) -> Payload {
    match stated {
        Stated::Unsigned => Payload::Unsigned,
        Stated::Exact(hash) => Payload::Exact(hash),
        Stated::Chunked { signed, trailer } => {
            Payload::Chunked { chain: signed.then(|| Box::new(chain())), trailer }
        }
    }
}

/// 64 hexadecimal digits of either case.
pub(super) fn parse_sha256(text: &[u8]) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 {
        return None;
    }
    hex_simd::decode(text, hex_simd::AsOut::as_out(&mut hash[..])).ok()?;
    Some(hash)
}

/// 64 lower-case hexadecimal digits.
pub(super) fn hex(hash: &[u8; 32]) -> [u8; 64] {
    let mut text = [0; 64];
    let _ =
        hex_simd::encode(hash, hex_simd::AsOut::as_out(&mut text[..]), hex_simd::AsciiCase::Lower);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    #[test]
    fn every_kind_is_read() {
        assert_eq!(EMPTY_SHA256[..], Sha256::digest(b"")[..]);
        assert_eq!(Stated::parse(&hex(&EMPTY_SHA256)), Ok(Stated::Exact(EMPTY_SHA256)));
        assert_eq!(
            Stated::parse(&hex(&EMPTY_SHA256).to_ascii_uppercase()),
            Ok(Stated::Exact(EMPTY_SHA256))
        );
        assert_eq!(Stated::parse(UNSIGNED_PAYLOAD.as_bytes()), Ok(Stated::Unsigned));
        for (name, signed, trailer) in [
            ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", true, false),
            ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", true, true),
            ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", false, true),
        ] {
            assert_eq!(Stated::parse(name.as_bytes()), Ok(Stated::Chunked { signed, trailer }));
        }
        for name in [
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER",
        ] {
            assert_eq!(
                Stated::parse(name.as_bytes()).expect_err("not there").code(),
                "NotImplemented"
            );
        }
        for name in [
            "",
            "unsigned-payload",
            "STREAMING-UNSIGNED-PAYLOAD",
            "zz",
            &"g".repeat(64),
            &"a".repeat(63),
        ] {
            assert_eq!(Stated::parse(name.as_bytes()).expect_err(name).code(), "InvalidArgument");
        }
    }
}
