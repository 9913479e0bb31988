//! RenameObject (`PUT /bucket/key?renameObject`), an operation of S3 Express One Zone that s3s does not know: an object
//! gets another key in one step, whatever its size, and keeps its bytes, tags and Last-Modified. In every bucket that
//! has no versions.
//!
//! The conditions on both sides are evaluated on what is there, and the store then checks in its transaction that it
//! still is. `x-amz-client-token` is taken and not kept: a request that is sent again after it has succeeded hears
//! NoSuchKey, as its source is gone.

use bytes::Bytes;
use datapath::{Condition, Deletion, Found, Object, StoreError};
use http::{Extensions, HeaderMap, HeaderName};

use super::condition;
use super::names::check_key;
use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use crate::auth::decode_percent;
use crate::metrics::Stage;
use crate::notify::event::EventKind;
use crate::record::Laps;

/// What names the object that is to be renamed.
pub(super) const SOURCE: HeaderName = HeaderName::from_static("x-amz-rename-source");

/// The key that a request wants renamed: URL-encoded, with or without the bucket before it.
///
/// # Errors
/// InvalidRequest where the header is missing; InvalidArgument for one that is no key, or the destination's own.
pub(super) fn source(headers: &HeaderMap, bucket: &str, key: &str) -> Outcome<String> {
    let value = headers.get(&SOURCE).ok_or_else(|| {
        Refusal::InvalidRequest(
            "Missing required header for this request: x-amz-rename-source".to_owned(),
        )
    })?;
    let not_a_key = || {
        Refusal::InvalidArgument(
            "x-amz-rename-source is not the URL-encoded key of an object".to_owned(),
        )
    };
    let text = String::from_utf8(decode_percent(value.as_bytes())).map_err(|_| not_a_key())?;
    let within = text.strip_prefix('/').and_then(|rest| rest.strip_prefix(bucket));
    let from = within.and_then(|rest| rest.strip_prefix('/')).unwrap_or(&text);
    check_key(from)?;
    if from == key {
        let why = "The source and the destination of a rename are the same key";
        return Err(Refusal::InvalidRequest(why.to_owned()));
    }
    Ok(from.to_owned())
}

/// Renames. The caller has been let in for both keys.
///
/// # Errors
/// NoSuchBucket, NoSuchKey, PreconditionFailed, and InvalidBucketState in a bucket that has, or had, versions.
pub(super) async fn rename(
    operations: &Operations,
    extensions: &Extensions,
    headers: &HeaderMap,
    bucket: &str,
    (from_key, to_key): (&str, &str),
    laps: &mut Laps,
) -> Outcome<Object> {
    check_key(to_key)?;
    let lane = operations.lane();
    let bucket = operations.bucket(bucket)?;
    let find = |key: &str| lane.lookup(bucket.id, key.as_bytes(), None).map(Found::there);
    let source = find(from_key)?.ok_or(Refusal::NoSuchKey)?;
    condition::of_rename_source(headers, &source)?;
    let destination = find(to_key)?;
    let destination = if condition::of_rename_destination(headers, destination.as_ref())? {
        destination.map_or(Condition::Absent, |object| Condition::RowIs(object.row))
    } else {
        Condition::None
    };
    laps.lap(Stage::Index);
    let (from, to) =
        (Bytes::copy_from_slice(from_key.as_bytes()), Bytes::copy_from_slice(to_key.as_bytes()));
    let renamed = lane.rename(bucket.id, from, to, Condition::RowIs(source.row), destination).await;
    match laps.ends(Stage::Commit, renamed) {
        // What was evaluated is no longer what is there.
        Err(StoreError::ConditionFailed) => Err(StoreError::SourceChanged.into()),
        renamed => {
            let object = renamed?;
            operations.made(extensions, &bucket, EventKind::Copy, to_key.as_bytes(), &object);
            let gone = Deletion::Removed(source);
            operations.removed(extensions, &bucket, from_key.as_bytes(), &gone);
            Ok(object)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_source_is_a_key_with_or_without_its_bucket() {
        let of = |text: &'static str| {
            let headers = HeaderMap::from_iter([(SOURCE, HeaderValue::from_static(text))]);
            source(&headers, "bucket", "to")
        };
        assert_eq!(of("from").unwrap(), "from");
        assert_eq!(of("a%2Fb%20c").unwrap(), "a/b c");
        assert_eq!(of("/bucket/from").unwrap(), "from");
        assert_eq!(of("/other/from").unwrap(), "/other/from");
        assert_eq!(of("bucket/from").unwrap(), "bucket/from");
        assert!(matches!(of(""), Err(Refusal::InvalidArgument(_))));
        assert!(matches!(of("%ff"), Err(Refusal::InvalidArgument(_))));
        assert!(matches!(of("to"), Err(Refusal::InvalidRequest(_))));
        assert!(matches!(source(&HeaderMap::new(), "b", "k"), Err(Refusal::InvalidRequest(_))));
    }
}
