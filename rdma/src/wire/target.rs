//! Owns [`Target`]: the object of a session, `/bucket/key?query` in one header.

use std::fmt;

use super::{Fault, WireError, header, number};
use crate::limits::TARGET_BYTES_MAX;

/// An object, and which of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The bucket, decoded. It may be no bucket's name at all: that is S3's to say.
    pub bucket: String,
    /// The key, decoded.
    pub key: String,
    /// What follows the `?`.
    pub query: TargetQuery,
}

/// What is asked of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetQuery {
    /// Nothing: the object.
    None,
    /// `uploadId` and `partNumber`, in any order: this part of an upload. Of a PUT only.
    Upload {
        /// The upload.
        upload_id: String,
        /// 1 to 10,000.
        part_number: u16,
    },
    /// `partNumber`: this part of an object that was uploaded in parts, 1 to 10,000. Of a GET only.
    Part(u16),
    /// `versionId`: this version. Of a GET only.
    Version(String),
    /// Anything else, which RDMA does not serve: the client is sent to HTTP. So is one whose part number is out of
    /// range, which gets S3's own error there. Written as a `?` with nothing behind it.
    Unsupported,
}

impl TargetQuery {
    /// Whether a GET can serve it.
    #[must_use]
    pub fn is_for_get(&self) -> bool {
        matches!(self, TargetQuery::None | TargetQuery::Part(_) | TargetQuery::Version(_))
    }

    /// Whether a PUT can serve it.
    #[must_use]
    pub fn is_for_put(&self) -> bool {
        matches!(self, TargetQuery::None | TargetQuery::Upload { .. })
    }
}

impl Target {
    /// `/`, a bucket, `/`, a key, both percent-encoded, and perhaps `?` and a query. The bucket ends at the first `/`
    /// behind it, the key at the first `?`. A `+` is a plus.
    ///
    /// # Errors
    /// More than [`TARGET_BYTES_MAX`] bytes, an empty part or a missing slash, a broken escape, escapes that make no
    /// UTF-8, and characters that are not printable ASCII.
    pub fn parse(text: &str) -> Result<Target, WireError> {
        let refuse = |why| WireError::new("target", text, why).in_header(header::TARGET);
        if text.len() > TARGET_BYTES_MAX {
            return Err(refuse(Fault::TooLong { limit: TARGET_BYTES_MAX }));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse(Fault::Character));
        }
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text, None),
        };
        let parts = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        let Some((bucket, key)) =
            parts.filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
        else {
            return Err(refuse(Fault::NotBucketAndKey));
        };
        Ok(Target {
            bucket: decode(bucket).map_err(refuse)?,
            key: decode(key).map_err(refuse)?,
            query: query.map_or(Ok(TargetQuery::None), parse_query).map_err(refuse)?,
        })
    }

    /// The text of it, where it is one that [`Target::parse`] takes.
    ///
    /// # Errors
    /// An empty bucket or key, or more than [`TARGET_BYTES_MAX`] bytes when it is encoded.
    pub fn encode(&self) -> Result<String, WireError> {
        let text = self.to_string();
        if self.bucket.is_empty() || self.key.is_empty() {
            return Err(WireError::new("target", &text, Fault::NotBucketAndKey));
        }
        if text.len() > TARGET_BYTES_MAX {
            return Err(WireError::new(
                "target",
                &text,
                Fault::TooLong { limit: TARGET_BYTES_MAX },
            ));
        }
        Ok(text)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { bucket, key, query } = self;
        write!(f, "/{}/{}", encoded(bucket, b""), encoded(key, b"/"))?;
        match query {
            TargetQuery::None => Ok(()),
            TargetQuery::Upload { upload_id, part_number } => {
                write!(f, "?partNumber={part_number}&uploadId={}", encoded(upload_id, b""))
            }
            TargetQuery::Part(number) => write!(f, "?partNumber={number}"),
            TargetQuery::Version(version) => write!(f, "?versionId={}", encoded(version, b"")),
            TargetQuery::Unsupported => f.write_str("?"),
        }
    }
}

/// The query, of which only the escapes can be broken: everything unknown is [`TargetQuery::Unsupported`].
fn parse_query(query: &str) -> Result<TargetQuery, Fault> {
    let (mut upload_id, mut part_number, mut version) = (None, None, None);
    let mut is_supported = true;
    for parameter in query.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = decode(value)?;
        let slot = match name {
            "uploadId" => &mut upload_id,
            "partNumber" => &mut part_number,
            "versionId" => &mut version,
            _ => {
                decode(name)?;
                is_supported = false;
                continue;
            }
        };
        is_supported &= !value.is_empty() && slot.replace(value).is_none();
    }
    if !is_supported {
        return Ok(TargetQuery::Unsupported);
    }
    let part = part_number.as_deref().map(parse_part_number);
    Ok(match (upload_id, part, version) {
        (Some(upload_id), Some(Some(part_number)), None) => {
            TargetQuery::Upload { upload_id, part_number }
        }
        (None, Some(Some(part_number)), None) => TargetQuery::Part(part_number),
        (None, None, Some(version)) => TargetQuery::Version(version),
        _ => TargetQuery::Unsupported,
    })
}

fn parse_part_number(text: &str) -> Option<u16> {
    let number = number::parse_decimal(text).ok()?;
    u16::try_from(number).ok().filter(|number| (1..=10_000).contains(number))
}

/// The text that the escapes stand for.
fn decode(text: &str) -> Result<String, Fault> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(number::hex_digit).ok_or(Fault::Escape);
        bytes.push(digit()? << 4 | digit()?);
    }
    String::from_utf8(bytes).map_err(|_| Fault::NotUtf8)
}

/// The text with everything escaped that is neither unreserved (RFC 3986, 2.3) nor in `kept`.
fn encoded<'a>(text: &'a str, kept: &'static [u8]) -> impl fmt::Display + 'a {
    fmt::from_fn(move |f| {
        text.bytes().try_for_each(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                write!(f, "{}", char::from(byte))
            }
            _ if kept.contains(&byte) => write!(f, "{}", char::from(byte)),
            _ => write!(f, "%{byte:02X}"),
        })
    })
}
