//! Owns the response headers of an object that is read: one function for GetObject and HeadObject, so that both say
//! the same.

use std::ops::Range;

use datapath::{Object, PartSpan};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::dto::{Metadata, Timestamp, TimestampFormat};

use super::attributes::{Attributes, METADATA_PREFIX};
use super::checksum::Checksum;
use super::http_date;
use super::refusal::{Outcome, Refusal};
use super::storage_class::{STORAGE_CLASS, StorageClass};
use super::tags::Tags;

/// How many tags an object has, if any.
const TAGGING_COUNT: HeaderName = HeaderName::from_static("x-amz-tagging-count");

/// Which bytes of the object are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selection {
    /// The bytes.
    pub(super) range: Range<u64>,
    /// 206 with Content-Range.
    pub(super) partial: bool,
    /// The part that was asked for by number.
    pub(super) part: Option<PartSpan>,
}

/// The `response-*` query parameters.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    /// `response-content-type`
    pub(super) content_type: Option<String>,
    /// `response-content-language`
    pub(super) content_language: Option<String>,
    /// `response-cache-control`
    pub(super) cache_control: Option<String>,
    /// `response-content-disposition`
    pub(super) content_disposition: Option<String>,
    /// `response-content-encoding`
    pub(super) content_encoding: Option<String>,
    /// `response-expires`
    pub(super) expires: Option<Timestamp>,
}

/// Takes the `response-*` parameters of either operation's input.
macro_rules! overrides {
    ($input:expr) => {{
        let input = &mut $input;
        $crate::s3::describe::Overrides {
            content_type: input.response_content_type.take(),
            content_language: input.response_content_language.take(),
            cache_control: input.response_cache_control.take(),
            content_disposition: input.response_content_disposition.take(),
            content_encoding: input.response_content_encoding.take(),
            expires: input.response_expires.take(),
        }
    }};
}
pub(crate) use overrides;

/// An object's headers.
#[derive(Debug)]
pub(super) struct Description {
    /// All but Content-Range.
    pub(super) headers: HeaderMap,
    /// User metadata with letters beyond ASCII, which s3s writes as encoded words (RFC 2047), as Amazon S3 does.
    pub(super) metadata: Option<Metadata>,
}

/// The headers of an answer with `selection`'s bytes.
///
/// # Errors
/// InvalidArgument for an override that no header can hold.
pub(super) fn describe(
    object: &Object,
    attributes: &Attributes,
    selection: &Selection,
    with_checksum: bool,
    overrides: Overrides,
) -> Outcome<Description> {
    let mut headers = HeaderMap::with_capacity(16);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(selection.range.end - selection.range.start));
    validators(object, &mut headers);
    for (name, value) in &attributes.content {
        headers.insert(name, value.clone());
    }
    if attributes.class != StorageClass::Standard {
        headers.insert(STORAGE_CLASS, HeaderValue::from_static(attributes.class.name()));
    }
    if !object.tags.is_empty() {
        headers.insert(TAGGING_COUNT, HeaderValue::from(Tags::count(&object.tags)));
    }
    let mut metadata = None;
    for (name, value) in &attributes.metadata {
        match value.to_str() {
            Ok(_) => drop(headers.insert(name, value.clone())),
            Err(_) => {
                let suffix = name.as_str().strip_prefix(METADATA_PREFIX).unwrap_or(name.as_str());
                let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
                metadata.get_or_insert_with(Metadata::default).insert(suffix.to_owned(), text);
            }
        }
    }
    if selection.part.is_some() && object.part_count > 0 {
        headers.insert(
            HeaderName::from_static("x-amz-mp-parts-count"),
            HeaderValue::from(object.part_count),
        );
    }
    if with_checksum {
        checksums(object, attributes, selection, &mut headers)?;
    }
    apply(overrides, &mut headers)?;
    Ok(Description { headers, metadata })
}

/// The tag and the date, which a 304 carries too.
pub(super) fn validators(object: &Object, headers: &mut HeaderMap) {
    if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", object.entity_tag)) {
        headers.insert(ETAG, tag);
    }
    if let Some(date) = http_date::header(object.modified_ms) {
        headers.insert(LAST_MODIFIED, date);
    }
}

/// The headers of a 304 (RFC 9110, 15.4.5).
pub(super) fn not_modified(object: &Object, attributes: &Attributes) -> HeaderMap {
    let mut headers = HeaderMap::new();
    validators(object, &mut headers);
    for (name, value) in &attributes.content {
        if name == CACHE_CONTROL || name == EXPIRES {
            headers.insert(name, value.clone());
        }
    }
    headers
}

/// The checksum of an object: the one its writer chose, or else the store's own.
pub(super) fn checksum_of(object: &Object, checksums: &[Checksum]) -> Option<Checksum> {
    checksums.first().copied().or_else(|| object.crc64.and_then(Checksum::crc64))
}

/// A part's own checksum where a part is answered; the object's where all of it is; none for other ranges.
fn checksums(
    object: &Object,
    attributes: &Attributes,
    selection: &Selection,
    headers: &mut HeaderMap,
) -> Outcome<()> {
    let whole = checksum_of(object, &attributes.checksums);
    if let Some(part) = selection.part.as_ref().filter(|_| object.part_count > 0) {
        let of_part = Attributes::decode_checksums(&part.attributes)?;
        let same =
            |checksum: &&Checksum| whole.is_none_or(|whole| whole.algorithm == checksum.algorithm);
        if let Some(checksum) = of_part.iter().find(same)
            && let Ok(value) = HeaderValue::try_from(checksum.text())
        {
            headers.insert(checksum.algorithm.header(), value);
        }
    } else if selection.range == (0..object.size)
        && let Some(checksum) = whole
    {
        checksum.write(headers);
    }
    Ok(())
}

fn apply(overrides: Overrides, headers: &mut HeaderMap) -> Outcome<()> {
    let texts = [
        (CONTENT_TYPE, overrides.content_type),
        (CONTENT_LANGUAGE, overrides.content_language),
        (CACHE_CONTROL, overrides.cache_control),
        (CONTENT_DISPOSITION, overrides.content_disposition),
        (CONTENT_ENCODING, overrides.content_encoding),
    ];
    for (name, text) in texts {
        let Some(text) = text else { continue };
        let refused = |_| {
            Refusal::InvalidArgument(format!(
                "response-{name} has characters that no header can hold"
            ))
        };
        headers.insert(&name, HeaderValue::try_from(text).map_err(refused)?);
    }
    if let Some(expires) = overrides.expires {
        let mut text = Vec::with_capacity(32);
        let formatted = expires.format(TimestampFormat::HttpDate, &mut text);
        let value = formatted.ok().and_then(|()| HeaderValue::from_bytes(&text).ok());
        let refused =
            || Refusal::InvalidArgument("response-expires is not an HTTP date".to_owned());
        headers.insert(EXPIRES, value.ok_or_else(refused)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::checksum::{Algorithm, Value};
    use bytes::Bytes;
    use datapath::{Lock, PartNumber, RowId, VersionId};

    fn object(part_count: u16) -> Object {
        Object {
            row: RowId(1),
            version: VersionId::NULL,
            size: 10,
            modified_ms: 784_111_777_500,
            entity_tag: "tag".into(),
            attributes: Bytes::new(),
            tags: Bytes::new(),
            acl: Bytes::new(),
            lock: Lock::default(),
            encryption: Bytes::new(),
            part_count,
            crc64: Some(1),
        }
    }

    fn attributes() -> Attributes {
        let mut aside = HeaderMap::new();
        aside.insert("x-amz-meta-plain", HeaderValue::from_static("a"));
        aside.insert("x-amz-meta-name", HeaderValue::from_bytes("имя".as_bytes()).unwrap());
        aside.insert(EXPIRES, HeaderValue::from_static("0"));
        Attributes::from_request(&HeaderMap::new(), &aside).unwrap()
    }

    fn whole() -> Selection {
        Selection { range: 0..10, partial: false, part: None }
    }

    #[test]
    fn an_object_is_described_with_all_that_is_kept() {
        let described =
            describe(&object(0), &attributes(), &whole(), true, Overrides::default()).unwrap();
        let headers = described.headers;
        for (name, value) in [
            ("accept-ranges", "bytes"),
            ("content-length", "10"),
            ("content-type", "binary/octet-stream"),
            ("etag", "\"tag\""),
            ("expires", "0"),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("x-amz-checksum-crc64nvme", "AAAAAAAAAAE="),
            ("x-amz-checksum-type", "FULL_OBJECT"),
            ("x-amz-meta-plain", "a"),
        ] {
            assert_eq!(headers[name], value);
        }
        assert_eq!(headers.len(), 9);
        assert_eq!(described.metadata.unwrap()["name"], "имя");
    }

    #[test]
    fn ranges_have_no_checksum_and_parts_their_own() {
        let ranged = Selection { range: 0..9, partial: true, part: None };
        let described =
            describe(&object(0), &attributes(), &ranged, true, Overrides::default()).unwrap();
        assert!(!described.headers.contains_key("x-amz-checksum-crc64nvme"));
        let value = Value::from_bytes(&[0, 0, 0, 9]).unwrap();
        let of_part = Attributes {
            checksums: vec![Checksum::full(Algorithm::Crc32, value)],
            ..Attributes::default()
        };
        let part = PartSpan {
            number: PartNumber(2),
            offset: 5,
            size: 5,
            attributes: of_part.encode().unwrap(),
        };
        let selection = Selection { range: 5..10, partial: true, part: Some(part) };
        let mut kept = attributes();
        let composite =
            Checksum { kind: super::super::checksum::Kind::Composite(2), ..of_part.checksums[0] };
        kept.checksums = vec![composite];
        let headers =
            describe(&object(2), &kept, &selection, true, Overrides::default()).unwrap().headers;
        assert_eq!(headers["x-amz-checksum-crc32"], "AAAACQ==");
        assert_eq!(headers["x-amz-mp-parts-count"], "2");
    }

    #[test]
    fn overrides_replace_and_bad_ones_are_refused() {
        let overrides = Overrides {
            content_type: Some("text/css".to_owned()),
            expires: Some(http_date::timestamp(0)),
            ..Overrides::default()
        };
        let headers =
            describe(&object(0), &attributes(), &whole(), false, overrides).unwrap().headers;
        assert_eq!(headers["content-type"], "text/css");
        assert_eq!(headers["expires"], "Thu, 01 Jan 1970 00:00:00 GMT");
        let bad = Overrides {
            cache_control: Some("a\r\nset-cookie: b".to_owned()),
            ..Overrides::default()
        };
        let refused = describe(&object(0), &attributes(), &whole(), false, bad);
        assert!(matches!(refused, Err(Refusal::InvalidArgument(_))));
    }
}
