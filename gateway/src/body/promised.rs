//! Owns: what a request promises about its content besides the signature: MD5 and one checksum, by
//! header, by query (presigned requests) or by trailer; and whether the content keeps it.
//! Limits: `HOISTED_HEADERS_MAX`.
//! Source: AWS, "Checking object integrity".

use std::sync::{Arc, OnceLock};

use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request};

use super::checksum::{Algorithm, DigestValues, Selection, Value, decode_base64};
use super::error::BodyError;
use super::query;
use crate::auth::Mechanism;

/// The promises of one request. Goes with the request to its operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Promised {
    /// `Content-MD5`.
    pub content_md5: Option<[u8; 16]>,
    /// The one checksum of `x-amz-checksum-*` or `x-amz-trailer`.
    pub checksum: Option<(Algorithm, PromisedValue)>,
    /// `x-amz-sdk-checksum-algorithm`: what the client wants computed. Stands alone only in requests
    /// without a body and in presigned ones.
    pub algorithm: Option<Algorithm>,
}

/// When the promised value is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromisedValue {
    /// Before the body.
    Header(Value),
    /// After it, in the trailer: [`TrailerSlot`] has it once the body has ended well.
    Trailer,
}

/// Where the decoder leaves the trailer's checksum. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct TrailerSlot(Arc<OnceLock<(Algorithm, Value)>>);

impl TrailerSlot {
    /// The trailer's checksum; `None` until the body has ended well, and for bodies without one.
    pub fn value(&self) -> Option<(Algorithm, Value)> {
        self.0.get().copied()
    }

    /// A body ends once, so the slot is filled at most once; a second value is not taken.
    pub(super) fn fill(&self, algorithm: Algorithm, value: Value) {
        let _ = self.0.set((algorithm, value));
    }
}

static CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
static CHECKSUM_TYPE: HeaderName = HeaderName::from_static("x-amz-checksum-type");
static SDK_ALGORITHM: HeaderName = HeaderName::from_static("x-amz-sdk-checksum-algorithm");

/// Which checksum comes after the body.
pub(super) static TRAILER: HeaderName = HeaderName::from_static("x-amz-trailer");

/// Headers under `x-amz-checksum-` that carry no value of a checksum.
const NOT_VALUES: [&str; 3] =
    ["x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"];

impl Promised {
    /// The promises that the fields of a browser's form make of its file.
    ///
    /// # Errors
    /// As for a request.
    pub fn of_form(fields: &HeaderMap) -> Result<Promised, BodyError> {
        let (mut parts, ()) =
            Request::post("/").body(()).map_err(|_| BodyError::InvalidDigest)?.into_parts();
        parts.headers = fields.clone();
        Promised::read(&parts, Mechanism::Query, true)
    }

    /// Reads the promises of a request; `carries_body` says whether a body is to come.
    pub(super) fn read(
        parts: &Parts,
        mechanism: Mechanism,
        carries_body: bool,
    ) -> Result<Promised, BodyError> {
        let fields = Fields::read(parts, mechanism)?;
        let content_md5 = match fields.one(&CONTENT_MD5)? {
            Some(text) => {
                let value = decode_base64(text, 16).ok_or(BodyError::InvalidDigest)?;
                value.as_bytes().try_into().ok()
            }
            None => None,
        };
        // What it says is for the operations of uploads.
        if !matches!(fields.one(&CHECKSUM_TYPE)?, None | Some(b"COMPOSITE") | Some(b"FULL_OBJECT"))
        {
            return Err(invalid_value("x-amz-checksum-type"));
        }
        // CompleteMultipartUpload's checksum is the object's, not that of the list it sends.
        if parts.method == Method::POST && query::has(parts, "uploadId") {
            return Ok(Promised { content_md5, checksum: None, algorithm: None });
        }
        let algorithm = match fields.one(&SDK_ALGORITHM)? {
            None => None,
            Some(name) => {
                let known = std::str::from_utf8(name).ok().and_then(Algorithm::from_name);
                Some(known.ok_or_else(|| invalid_value("x-amz-sdk-checksum-algorithm"))?)
            }
        };
        let checksum = fields.checksum()?;
        match (algorithm, checksum) {
            (Some(announced), Some((given, _))) if announced != given => {
                return Err(invalid_value("x-amz-sdk-checksum-algorithm"));
            }
            (Some(_), None) if carries_body && mechanism != Mechanism::Query => {
                return Err(BodyError::InvalidRequest(
                    "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer \
                     headers were found."
                        .into(),
                ));
            }
            _ => {}
        }
        Ok(Promised { content_md5, checksum, algorithm })
    }

    /// The digests that are needed to check the promises, and that the client wants.
    pub fn selection(&self) -> Selection {
        let promised = self.checksum.map(|(algorithm, _)| algorithm);
        let selection =
            promised.into_iter().chain(self.algorithm).fold(Selection::none(), Selection::with);
        if self.content_md5.is_some() { selection.with_md5() } else { selection }
    }

    /// Whether the content's digests are as promised; if so, the checksum to store: the promised
    /// one, or the one that the client wants computed. Call it after the body has ended well.
    ///
    /// # Errors
    /// `BadDigest` when a value differs or its digest is not in `digests`; `MalformedTrailerError`
    /// when the trailer's value is not there.
    pub fn check(
        &self,
        digests: &DigestValues,
        trailer: &TrailerSlot,
    ) -> Result<Option<(Algorithm, Value)>, BodyError> {
        if self.content_md5.is_some() && self.content_md5 != digests.md5 {
            return Err(BodyError::ContentMd5);
        }
        let Some((algorithm, promised)) = self.checksum else {
            return Ok(self
                .algorithm
                .and_then(|algorithm| digests.value(algorithm).map(|value| (algorithm, value))));
        };
        let promised = match promised {
            PromisedValue::Header(value) => value,
            PromisedValue::Trailer => match trailer.value() {
                Some((_, value)) => value,
                None => {
                    return Err(BodyError::MalformedTrailer("the announced checksum did not come"));
                }
            },
        };
        if digests.value(algorithm) == Some(promised) {
            Ok(Some((algorithm, promised)))
        } else {
            Err(BodyError::Checksum(algorithm))
        }
    }
}

fn invalid_value(name: &str) -> BodyError {
    BodyError::InvalidRequest(format!("Value for {name} header is invalid.").into())
}

/// The headers of a request, and for presigned ones what stands for headers in the query.
struct Fields<'a> {
    parts: &'a Parts,
    hoisted: Vec<(String, Vec<u8>)>,
}

impl Fields<'_> {
    fn read(parts: &Parts, mechanism: Mechanism) -> Result<Fields<'_>, BodyError> {
        let hoisted =
            if mechanism == Mechanism::Query { query::hoisted(parts)? } else { Vec::new() };
        Ok(Fields { parts, hoisted })
    }

    fn all(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let headers =
            self.parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        headers.chain(self.hoisted.iter().map(|(name, value)| (name.as_str(), value.as_slice())))
    }

    /// The value of the field `name`, which may be given once.
    fn one(&self, name: &HeaderName) -> Result<Option<&[u8]>, BodyError> {
        let headers = self.parts.headers.get_all(name).iter().map(|value| value.as_bytes());
        let hoisted = self
            .hoisted
            .iter()
            .filter(|(given, _)| given.as_str() == name.as_str())
            .map(|(_, value)| value.as_slice());
        let mut values = headers.chain(hoisted);
        let first = values.next();
        if values.next().is_some() {
            return Err(BodyError::InvalidRequest(
                format!("The header {name} is given more than once.").into(),
            ));
        }
        Ok(first.map(<[u8]>::trim_ascii))
    }

    /// The one checksum that is promised, by value or by trailer.
    fn checksum(&self) -> Result<Option<(Algorithm, PromisedValue)>, BodyError> {
        let mut found = None;
        let mut take = |promise| {
            match found.replace(promise) {
            None => Ok(()),
            Some(_) => Err(BodyError::InvalidRequest(
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.".into(),
            )),
        }
        };
        for (name, text) in self.all() {
            if !name.starts_with("x-amz-checksum-") || NOT_VALUES.contains(&name) {
                continue;
            }
            let Some(algorithm) = Algorithm::from_header(name) else {
                return Err(BodyError::NotImplemented(name.chars().take(64).collect()));
            };
            let value = Value::from_base64(algorithm, text.trim_ascii())
                .ok_or_else(|| invalid_value(name))?;
            take((algorithm, PromisedValue::Header(value)))?;
        }
        if let Some(name) = self.one(&TRAILER)? {
            let algorithm = std::str::from_utf8(name).ok().and_then(Algorithm::from_header).ok_or(
                BodyError::InvalidRequest(
                    "The value specified in the x-amz-trailer header is not supported".into(),
                ),
            )?;
            take((algorithm, PromisedValue::Trailer))?;
        }
        Ok(found)
    }
}
