//! Owns version ids: their text, what the id of a request names, and what is said of a version that was found, of a
//! delete marker, and of neither.
//!
//! An id is `null`, or 32 characters of the alphabet that Amazon S3's have (letters, digits, dot, underscore), which
//! need no escape in a query: 24 bytes, the first 16 made of the version's number, the last 8 the number covered by
//! them. So ids of neighbours have nothing in common, and what is none of ours is found out. They are no secret.
//!
//! Not here: versions themselves (the store), their listing (`list_versions`).

use datapath::{Bucket, BucketId, Found, Marker, Object, StoreError, VersionId, Versioning};
use http::header::{ALLOW, LAST_MODIFIED};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};

use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use super::{access, http_date};

/// The id of the version that a bucket without versioning gives, or one whose versioning is suspended.
pub(super) const NULL: &str = "null";

/// Which version an answer is about.
pub(super) const VERSION_ID: HeaderName = HeaderName::from_static("x-amz-version-id");

/// That it is about a delete marker.
const DELETE_MARKER: HeaderName = HeaderName::from_static("x-amz-delete-marker");

/// Six bits each, as in Amazon S3's ids.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._";

/// 24 bytes, six bits each.
const TEXT_BYTES: usize = 32;

/// An id that no version has: rows are counted from 1 and never get there.
const NOBODY: VersionId = VersionId(u64::MAX);

/// The finalizer of splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// An id as clients see it.
pub(super) fn text(version: VersionId) -> String {
    if version == VersionId::NULL {
        return NULL.to_owned();
    }
    let first = mixed(version.0);
    let second = mixed(first);
    let words = [first, second, version.0 ^ second];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    let mut text = String::with_capacity(TEXT_BYTES);
    for three in bytes.chunks_exact(3) {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        for shift in [18, 12, 6, 0] {
            text.push(char::from(ALPHABET[bits >> shift & 63]));
        }
    }
    text
}

/// The version of an id; none of one that [`text`] has not made.
fn version_of(id: &str) -> Option<VersionId> {
    let mut bits = 0_u128;
    // The last 22 characters hold 132 bits, of which the last 128 are the second word and the third.
    for character in id.as_bytes().get(TEXT_BYTES - 22..)? {
        let six = ALPHABET.iter().position(|other| other == character)?;
        bits = bits << 6 | six as u128;
    }
    let (second, third) = ((bits >> 64) as u64, bits as u64);
    let version = VersionId(second ^ third);
    (version != VersionId::NULL && text(version) == id).then_some(version)
}

/// The version that an id names: maybe one that nobody has, where it looks like an id of S3's.
///
/// # Errors
/// InvalidArgument for what can be no id.
pub(super) fn parse(id: &str) -> Outcome<VersionId> {
    let plausible = |byte: u8| ALPHABET.contains(&byte);
    match id {
        NULL => Ok(VersionId::NULL),
        "" => Err(Refusal::InvalidArgument("Version id cannot be the empty string".to_owned())),
        id if id.len() == TEXT_BYTES && id.bytes().all(plausible) => {
            Ok(version_of(id).unwrap_or(NOBODY))
        }
        _ => Err(Refusal::InvalidArgument("Invalid version id specified".to_owned())),
    }
}

/// The version that a request names, if it does.
///
/// # Errors
/// As [`parse`].
pub(super) fn named(id: Option<&str>) -> Outcome<Option<VersionId>> {
    id.map(parse).transpose()
}

/// The id of a version that is there; none in a bucket that never had versions.
pub(super) fn said(bucket: &Bucket, version: VersionId) -> Option<String> {
    (bucket.versioning != Versioning::Off).then(|| text(version))
}

/// The id of a version that has just been made; the null version's is not told.
pub(super) fn made(version: VersionId) -> Option<String> {
    (version != VersionId::NULL).then(|| text(version))
}

/// Adds the id to the headers of an answer, where the bucket has versions.
pub(super) fn tell(bucket: &Bucket, version: VersionId, headers: &mut HeaderMap) {
    if let Some(id) = said(bucket, version).and_then(|id| HeaderValue::try_from(id).ok()) {
        headers.insert(VERSION_ID, id);
    }
}

/// What was found, or what is said where it is no object. `wanted`: the version that the request names.
///
/// # Errors
/// NoSuchKey, NoSuchVersion, MethodNotAllowed for a delete marker that was named; AccessDenied for those who may not
/// know.
pub(super) fn there<T>(
    found: Found<T>,
    wanted: Option<VersionId>,
    extensions: &Extensions,
) -> Outcome<T> {
    match found {
        Found::There(found) => Ok(found),
        Found::Marker(marker) => Err(of_marker(&marker, wanted, extensions)),
        Found::Absent => Err(match (access::absent(extensions), wanted) {
            (Refusal::NoSuchKey, Some(_)) => Refusal::NoSuchVersion,
            (refusal, _) => refusal,
        }),
    }
}

/// "If the current version of the object is a delete marker, Amazon S3 behaves as if the object was deleted and
/// includes x-amz-delete-marker: true in the response. If the specified version is a delete marker, the response
/// returns a 405 Method Not Allowed error and the Last-Modified: timestamp response header."
fn of_marker(marker: &Marker, wanted: Option<VersionId>, extensions: &Extensions) -> Refusal {
    let mut headers = HeaderMap::new();
    headers.insert(DELETE_MARKER, HeaderValue::from_static("true"));
    if let Ok(id) = HeaderValue::try_from(text(marker.version)) {
        headers.insert(VERSION_ID, id);
    }
    if wanted.is_none() {
        return match access::absent(extensions) {
            Refusal::NoSuchKey => Refusal::Marker { named: false, headers: Box::new(headers) },
            refusal => refusal,
        };
    }
    headers.insert(ALLOW, HeaderValue::from_static("DELETE"));
    if let Some(date) = http_date::header(marker.modified_ms) {
        headers.insert(LAST_MODIFIED, date);
    }
    Refusal::Marker { named: true, headers: Box::new(headers) }
}

/// What changing something beside a version's bytes has come to.
///
/// # Errors
/// Those of [`there`], and the store's.
pub(super) fn annotated(
    operations: &Operations,
    extensions: &Extensions,
    (bucket, key): (BucketId, &[u8]),
    wanted: Option<VersionId>,
    outcome: Result<Object, StoreError>,
) -> Outcome<Object> {
    if let Err(StoreError::NoSuchKey | StoreError::NoSuchVersion) = outcome {
        // The store does not tell what is there instead.
        there(operations.lane().lookup(bucket, key, wanted)?, wanted, extensions)?;
    }
    Ok(outcome?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_is_null_or_looks_like_one() {
        assert_eq!(text(VersionId::NULL), "null");
        assert_eq!(named(None).unwrap(), None);
        assert_eq!(parse("null").unwrap(), VersionId::NULL);
        assert_eq!(parse("3HL4kqtJvjVBH40Nrjfkd.n_L4kqtJvj").unwrap(), NOBODY);
        for id in [
            "",
            "1",
            "Null",
            "3HL4kqtJvjVBH40Nrjfkd-n_L4kqtJvj",
            "3HL4kqtJvjVBH40Nrjfkd.n_L4kqtJvjé",
        ] {
            assert!(matches!(parse(id), Err(Refusal::InvalidArgument(_))), "{id}");
        }
        assert_ne!(text(VersionId(1))[..8], text(VersionId(2))[..8]);
    }

    #[test]
    fn the_null_version_is_told_where_there_are_others() {
        assert_eq!(made(VersionId::NULL), None);
        assert_eq!(made(VersionId(7)).unwrap().len(), 32);
    }

    proptest! {
        #[test]
        fn ids_return_and_changed_ones_are_nobodys(number in 1..u64::MAX, at in 0..32_usize, other in 0..64_usize) {
            let id = text(VersionId(number));
            prop_assert_eq!(id.len(), TEXT_BYTES);
            prop_assert_eq!(parse(&id).unwrap(), VersionId(number));
            let mut changed = id.clone().into_bytes();
            changed[at] = ALPHABET[other];
            let changed = String::from_utf8(changed).unwrap();
            let expected = if changed == id { VersionId(number) } else { NOBODY };
            prop_assert_eq!(parse(&changed).unwrap(), expected);
        }
    }
}
