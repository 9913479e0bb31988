//! Owns: why a body was refused: S3's code, HTTP status and message for each reason.
//! Not here: the response itself (`rescue`).

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use http::StatusCode;

use super::checksum::Algorithm;

/// A refusal of a body, one variant per S3 error code and cause.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BodyError {
    /// 400 `IncompleteBody`: the body ended before what was announced.
    #[error(
        "The request body terminated unexpectedly: {expected} bytes were announced, {received} came."
    )]
    Incomplete {
        /// The announced length of the content.
        expected: u64,
        /// The content bytes that came.
        received: u64,
    },
    /// 400 `InvalidRequest`: the body goes on after what was announced.
    #[error("The request body is longer than the {expected} bytes that were announced.")]
    TooLong {
        /// The announced length of the content.
        expected: u64,
    },
    /// 400 `InvalidRequest`: the framing is not aws-chunked.
    #[error("The aws-chunked body is malformed: {0}.")]
    MalformedChunk(&'static str),
    /// 403 `InvalidChunkSizeError`: a signed chunk that is not the last is too small.
    #[error("Only the last chunk is allowed to have a size less than 8192 bytes")]
    ChunkTooSmall,
    /// 403 `SignatureDoesNotMatch`: of a chunk, or of the trailer.
    #[error(
        "The chunk signature we calculated does not match the signature you provided. Check your key and signing method."
    )]
    ChunkSignature,
    /// 400 `MalformedTrailerError`; the reason is for logs and goes with the message.
    #[error(
        "The request contained trailing data that was not well-formed or did not conform to our published schema: {0}."
    )]
    MalformedTrailer(&'static str),
    /// 400 `XAmzContentSHA256Mismatch`.
    #[error("The provided 'x-amz-content-sha256' header does not match what was computed.")]
    ContentSha256,
    /// 400 `InvalidDigest`: `Content-MD5` is not base64 of 16 bytes.
    #[error("The Content-MD5 you specified was invalid.")]
    InvalidDigest,
    /// 400 `BadDigest`: `Content-MD5` is not the content's.
    #[error("The Content-MD5 you specified did not match what we received.")]
    ContentMd5,
    /// 400 `BadDigest`: the checksum is not the content's.
    #[error("The {0} you specified did not match the calculated checksum.")]
    Checksum(Algorithm),
    /// 411 `MissingContentLength`.
    #[error("You must provide the Content-Length HTTP header.")]
    MissingContentLength,
    /// 400 `InvalidRequest`.
    #[error("{0}")]
    InvalidRequest(Cow<'static, str>),
    /// 501 `NotImplemented`; names the header.
    #[error("A header you provided implies functionality that is not implemented: {0}")]
    NotImplemented(Box<str>),
    /// 400 `IncompleteBody`: the connection gave no more bytes. The cause is the source.
    #[error("The request body could not be received: {0}")]
    Source(#[source] Arc<dyn Error + Send + Sync>),
}

impl BodyError {
    /// S3's error code.
    pub fn code(&self) -> &'static str {
        match self {
            BodyError::Incomplete { .. } | BodyError::Source(_) => "IncompleteBody",
            BodyError::TooLong { .. }
            | BodyError::MalformedChunk(_)
            | BodyError::InvalidRequest(_) => "InvalidRequest",
            BodyError::ChunkTooSmall => "InvalidChunkSizeError",
            BodyError::ChunkSignature => "SignatureDoesNotMatch",
            BodyError::MalformedTrailer(_) => "MalformedTrailerError",
            BodyError::ContentSha256 => "XAmzContentSHA256Mismatch",
            BodyError::InvalidDigest => "InvalidDigest",
            BodyError::ContentMd5 | BodyError::Checksum(_) => "BadDigest",
            BodyError::MissingContentLength => "MissingContentLength",
            BodyError::NotImplemented(_) => "NotImplemented",
        }
    }

    /// The HTTP status that S3 gives this code.
    pub fn status(&self) -> StatusCode {
        match self {
            BodyError::ChunkTooSmall | BodyError::ChunkSignature => StatusCode::FORBIDDEN,
            BodyError::MissingContentLength => StatusCode::LENGTH_REQUIRED,
            BodyError::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
            BodyError::Incomplete { .. }
            | BodyError::TooLong { .. }
            | BodyError::MalformedChunk(_)
            | BodyError::MalformedTrailer(_)
            | BodyError::ContentSha256
            | BodyError::InvalidDigest
            | BodyError::ContentMd5
            | BodyError::Checksum(_)
            | BodyError::InvalidRequest(_)
            | BodyError::Source(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// What the source of the body failed with, to be told apart by its type (the door's time
    /// limits from a client that went away).
    pub fn cause(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        match self {
            BodyError::Source(cause) => Some(&**cause),
            _ => None,
        }
    }

    /// The text of the error document's `Message`.
    pub fn message(&self) -> String {
        self.to_string()
    }
}
