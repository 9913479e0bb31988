//! Owns: the trailer of an aws-chunked body: the lines after the last chunk.
//! Limits: `TRAILER_LINES_MAX`.
//!
//! Only what was announced by `x-amz-trailer` may come, and it must. A line ends with CR LF, or, as
//! minio's Go client and AWS's older documentation write it, with LF CR LF.

use sha2::{Digest as _, Sha256};

use super::checksum::{Algorithm, Value};
use super::error::BodyError;
use super::limits::TRAILER_LINES_MAX;
use super::line::Ended;
use crate::auth::ChunkChain;

/// The trailer so far.
#[derive(Debug)]
pub(super) struct Trailer {
    announced: Option<Algorithm>,
    /// Whether `x-amz-trailer-signature` must come.
    signed: bool,
    lines: usize,
    value: Option<Value>,
    signature_seen: bool,
    /// The last line ended with LF alone: the next must be the CR LF that belongs to it.
    half_ended: bool,
    hash: Sha256,
}

impl Trailer {
    pub(super) fn new(announced: Option<Algorithm>, signed: bool) -> Trailer {
        Trailer {
            announced,
            signed,
            lines: 0,
            value: None,
            signature_seen: false,
            half_ended: false,
            hash: Sha256::new(),
        }
    }

    /// Takes the next line; true when it was the empty line that ends the trailer.
    pub(super) fn line(
        &mut self,
        line: Ended<'_>,
        chain: Option<&mut ChunkChain>,
    ) -> Result<bool, BodyError> {
        if std::mem::take(&mut self.half_ended) {
            return match line {
                Ended { text: [], crlf: true } => Ok(false),
                _ => Err(BodyError::MalformedTrailer("a line does not end with CR LF")),
            };
        }
        if line.text.is_empty() {
            return if line.crlf {
                self.end().map(|()| true)
            } else {
                Err(BodyError::MalformedTrailer("an empty line"))
            };
        }
        self.half_ended = !line.crlf;
        self.lines += 1;
        if self.lines > TRAILER_LINES_MAX {
            return Err(BodyError::MalformedTrailer("too many lines"));
        }
        let colon = line.text.iter().position(|&byte| byte == b':');
        let Some(colon) = colon else {
            return Err(BodyError::MalformedTrailer("a line without a colon"));
        };
        let (name, value) = (&line.text[..colon], line.text[colon + 1..].trim_ascii());
        let Ok(name) = std::str::from_utf8(name) else {
            return Err(BodyError::MalformedTrailer("a name that is not a header's"));
        };
        self.field(name, value, chain).map(|()| false)
    }

    fn field(
        &mut self,
        name: &str,
        value: &[u8],
        chain: Option<&mut ChunkChain>,
    ) -> Result<(), BodyError> {
        if self.signature_seen {
            return Err(BodyError::MalformedTrailer("a line after the trailer's signature"));
        }
        if name.eq_ignore_ascii_case("x-amz-trailer-signature") {
            let chain = chain.filter(|_| self.signed);
            let Some(chain) = chain else {
                return Err(BodyError::MalformedTrailer("a signature that was not announced"));
            };
            let signature =
                super::chunked::parse_signature(value).ok_or(BodyError::ChunkSignature)?;
            let hash = self.hash.clone().finalize().into();
            self.signature_seen = true;
            return if chain.accept_trailer(&hash, &signature) {
                Ok(())
            } else {
                Err(BodyError::ChunkSignature)
            };
        }
        let Some(algorithm) =
            self.announced.filter(|announced| announced.header().eq_ignore_ascii_case(name))
        else {
            return Err(BodyError::MalformedTrailer("a line that x-amz-trailer did not announce"));
        };
        self.hash.update(algorithm.header());
        self.hash.update(b":");
        self.hash.update(value);
        self.hash.update(b"\n");
        let decoded = Value::from_base64(algorithm, value).ok_or_else(|| {
            BodyError::InvalidRequest(
                format!("Value for {} trailing header is invalid.", algorithm.header()).into(),
            )
        })?;
        match self.value.replace(decoded) {
            None => Ok(()),
            Some(_) => Err(BodyError::MalformedTrailer("a line that is given twice")),
        }
    }

    fn end(&self) -> Result<(), BodyError> {
        if self.announced.is_some() && self.value.is_none() {
            return Err(BodyError::MalformedTrailer("the announced checksum did not come"));
        }
        if self.signed && !self.signature_seen {
            return Err(BodyError::MalformedTrailer("the trailer's signature did not come"));
        }
        Ok(())
    }

    /// The checksum that came.
    pub(super) fn checksum(&self) -> Option<(Algorithm, Value)> {
        self.announced.zip(self.value)
    }
}
