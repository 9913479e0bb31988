//! Owns: how a request's body is framed, how long its content is, and what it promises: all that is
//! known of a body before its first byte.
//! Not here: the body (`decoded`).
//!
//! A body is aws-chunked when `x-amz-content-sha256` says so (`STREAMING-...`), or, where no
//! signature says what the body is, when `Content-Encoding` does: framing that was declared is
//! never stored as content, whoever sent it.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderName, Method, Version};

use super::chunked::ChunkedPlan;
use super::error::BodyError;
use super::promised::{Promised, PromisedValue, TrailerSlot};
use crate::auth::{EMPTY_SHA256, Mechanism, Payload, Verified};

/// What is known of a body before it comes.
#[derive(Debug, Clone)]
pub struct BodyPlan {
    /// Bytes of the content, without framing; `None` when nothing in the head says so.
    pub length: Option<u64>,
    /// What the request promises about the content.
    pub promised: Promised,
    /// Where the decoder leaves the trailer's checksum.
    pub trailer: TrailerSlot,
    pub(super) framing: Framing,
    pub(super) mechanism: Mechanism,
}

/// What lies around the content.
#[derive(Debug, Clone)]
pub(super) enum Framing {
    /// Nothing.
    Plain {
        /// The SHA-256 that the content must have.
        sha256: Option<[u8; 32]>,
    },
    /// aws-chunked.
    Chunked(ChunkedPlan),
}

impl BodyPlan {
    /// What a body that has ended without a byte keeps of what was said of it. Whether HTTP/2 brings a body is known
    /// only when it comes, so a request without one can be planned with that of another.
    ///
    /// # Errors
    /// `IncompleteBody` where bytes were announced or framing was; `XAmzContentSHA256Mismatch` where
    /// the signed hash is not that of no bytes.
    pub fn check_absent(&self) -> Result<(), BodyError> {
        let expected = self.length.unwrap_or(0);
        match &self.framing {
            Framing::Plain { sha256: Some(hash) } if *hash != EMPTY_SHA256 => {
                Err(BodyError::ContentSha256)
            }
            Framing::Plain { .. } if expected == 0 => Ok(()),
            _ => Err(BodyError::Incomplete { expected, received: 0 }),
        }
    }

    /// Whether the body is framed as aws-chunked.
    pub fn is_chunked(&self) -> bool {
        matches!(self.framing, Framing::Chunked(_))
    }
}

/// The content's length where the body is framed.
pub(super) static DECODED_LENGTH: HeaderName =
    HeaderName::from_static("x-amz-decoded-content-length");

/// Plans the body of a verified request. Call before [`strip`](super::strip()).
///
/// # Errors
/// `InvalidRequest`, `InvalidDigest`, `NotImplemented` for headers that are malformed or contradict
/// each other; `MissingContentLength` for a framed body without `x-amz-decoded-content-length`;
/// `XAmzContentSHA256Mismatch` where there is no body and the signed hash is that of one.
pub fn plan(parts: &Parts, verified: &Verified) -> Result<BodyPlan, BodyError> {
    let content_length = length_header(parts, &CONTENT_LENGTH)?;
    let carries_body = carries_body(parts, content_length);
    let promised = Promised::read(parts, verified.mechanism, carries_body)?;
    let announced = match promised.checksum {
        Some((algorithm, PromisedValue::Trailer)) => Some(algorithm),
        _ => None,
    };
    let decoded_length = length_header(parts, &DECODED_LENGTH)?;
    let declared = declares_aws_chunked(parts);
    let chunked = match &verified.payload {
        Payload::Chunked { chain, trailer } => Some((chain.clone(), *trailer)),
        Payload::Unsigned if declared && carries_body => Some((None, true)),
        Payload::Exact(_) if declared && decoded_length.is_some() => {
            return Err(BodyError::InvalidRequest(
                "A body that is aws-chunked needs x-amz-content-sha256 to be one of the STREAMING- kinds.".into(),
            ));
        }
        Payload::Unsigned | Payload::Exact(_) => None,
    };
    let (framing, length) = match chunked {
        Some((chain, trailer)) => {
            if announced.is_some() && !trailer {
                return Err(BodyError::InvalidRequest(
                    "x-amz-trailer needs x-amz-content-sha256 to be one of the kinds with a trailer.".into(),
                ));
            }
            let length = decoded_length.ok_or(BodyError::MissingContentLength)?;
            (Framing::Chunked(ChunkedPlan { chain, trailer, announced, length }), Some(length))
        }
        None => {
            if announced.is_some() {
                return Err(BodyError::InvalidRequest(
                    "x-amz-trailer needs a body that is aws-chunked.".into(),
                ));
            }
            let sha256 = match verified.payload {
                Payload::Exact(hash) => Some(hash),
                _ => None,
            };
            let empty =
                content_length == Some(0) || (!carries_body && parts.version <= Version::HTTP_11);
            if empty && sha256.is_some_and(|hash| hash != EMPTY_SHA256) {
                return Err(BodyError::ContentSha256);
            }
            (Framing::Plain { sha256 }, content_length)
        }
    };
    Ok(BodyPlan {
        length,
        promised,
        trailer: TrailerSlot::default(),
        framing,
        mechanism: verified.mechanism,
    })
}

/// Whether a body is to come, as far as the head says. HTTP/2 may leave the length out.
fn carries_body(parts: &Parts, content_length: Option<u64>) -> bool {
    let open = parts.version > Version::HTTP_11
        && (parts.method == Method::PUT || parts.method == Method::POST);
    match content_length {
        Some(length) => length > 0,
        None => parts.headers.contains_key(TRANSFER_ENCODING) || open,
    }
}

/// A header that holds a number of bytes; repeated, it must say the same each time.
fn length_header(parts: &Parts, name: &HeaderName) -> Result<Option<u64>, BodyError> {
    let mut values = parts.headers.get_all(name).iter().map(|value| value.as_bytes());
    let Some(first) = values.next() else {
        return Ok(None);
    };
    let digits = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
    let length = digits.then(|| std::str::from_utf8(first).ok()?.parse().ok()).flatten();
    if length.is_none() || values.any(|value| value != first) {
        return Err(BodyError::InvalidRequest(
            format!("Value for {name} header is invalid.").into(),
        ));
    }
    Ok(length)
}

fn declares_aws_chunked(parts: &Parts) -> bool {
    parts.headers.get_all(CONTENT_ENCODING).iter().any(|value| {
        value.as_bytes().split(|&byte| byte == b',').any(|token| is_aws_chunked(token.trim_ascii()))
    })
}

pub(super) fn is_aws_chunked(token: &[u8]) -> bool {
    token.eq_ignore_ascii_case(b"aws-chunked")
}
