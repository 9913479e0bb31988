//! Owns the source of a copy: which object `x-amz-copy-source` names, and its conditions.
//!
//! Not here: reading it where a digest is needed that nobody has kept (`encryption`).

use datapath::{Found, OpenObject, StoreError, VersionId};
use http::HeaderMap;
use s3s::dto::CopySource;

use super::condition;
use super::limits::COPY_ATTEMPTS_MAX;
use super::names::check_key;
use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use super::versions;
use crate::metrics::Stage;
use crate::record::Laps;

/// The bucket, key and version that are named.
///
/// # Errors
/// NotImplemented for access points, the errors of versions and keys.
pub(super) fn address(source: &CopySource) -> Outcome<(&str, &str, Option<VersionId>)> {
    match source {
        CopySource::Bucket { bucket, key, version_id } => {
            check_key(key)?;
            Ok((bucket, key, versions::named(version_id.as_deref())?))
        }
        CopySource::AccessPoint { .. } | CopySource::Outpost { .. } => {
            Err(Refusal::NotImplemented("a copy source that is an access point".to_owned()))
        }
    }
}

/// Opens the source, pinned, its conditions met.
///
/// # Errors
/// NoSuchBucket, NoSuchKey, NoSuchVersion, PreconditionFailed, InvalidRequest for a delete marker that is named, and
/// those of [`address`].
pub(super) fn open(
    operations: &Operations,
    source: &CopySource,
    aside: &HeaderMap,
    laps: &mut Laps,
) -> Outcome<OpenObject> {
    let (bucket, key, version) = address(source)?;
    let bucket = operations.bucket(bucket)?;
    let opened = operations.lane().open(bucket.id, key.as_bytes(), version);
    let opened = match (laps.ends(Stage::Index, opened)?, version) {
        (Found::There(opened), _) => opened,
        (Found::Marker(_), Some(_)) => {
            let why = "The source of a copy request may not specifically refer to a delete marker by version id.";
            return Err(Refusal::InvalidRequest(why.to_owned()));
        }
        (Found::Absent, Some(_)) => return Err(Refusal::NoSuchVersion),
        (Found::Marker(_) | Found::Absent, None) => return Err(Refusal::NoSuchKey),
    };
    condition::of_copy_source(aside, opened.object())?;
    Ok(match laps.waits() {
        Some(meter) => opened.metered(meter),
        None => opened,
    })
}

/// The id of the version that was copied, as the answer says it: none where the source's bucket never had versions.
///
/// # Errors
/// Those of [`address`].
pub(super) fn version_said(
    operations: &Operations,
    source: &CopySource,
    version: VersionId,
) -> Outcome<Option<String>> {
    let (bucket, _, _) = address(source)?;
    let bucket = operations.lane().bucket(bucket)?;
    Ok(bucket.and_then(|bucket| versions::said(&bucket, version)))
}

/// Tries a copy again for as long as its source is replaced between being opened and being recorded, up to
/// [`COPY_ATTEMPTS_MAX`] times.
///
/// # Errors
/// The last attempt's.
pub(super) async fn until_unchanged<T>(mut attempt: impl AsyncFnMut() -> Outcome<T>) -> Outcome<T> {
    for _ in 1..COPY_ATTEMPTS_MAX {
        match attempt().await {
            Err(Refusal::Store(StoreError::SourceChanged)) => {}
            other => return other,
        }
    }
    attempt().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_tried_again_but_not_for_ever() {
        let run = |failures: usize| {
            let mut attempts = 0;
            let outcome = until_unchanged(async || {
                attempts += 1;
                if attempts > failures { Ok(()) } else { Err(StoreError::SourceChanged.into()) }
            });
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let outcome = runtime.block_on(outcome);
            (outcome.is_ok(), attempts)
        };
        assert_eq!(run(0), (true, 1));
        assert_eq!(run(2), (true, 3));
        assert_eq!(run(9), (false, COPY_ATTEMPTS_MAX));
    }

    #[test]
    fn a_source_is_a_bucket_and_a_key() {
        let source = |text| CopySource::parse(text).unwrap();
        assert_eq!(address(&source("/bucket/a%2Fb%20c")).unwrap(), ("bucket", "a/b c", None));
        let null = Some(VersionId::NULL);
        assert_eq!(address(&source("bucket/k?versionId=null")).unwrap(), ("bucket", "k", null));
        assert!(matches!(
            address(&source("bucket/k?versionId=7")),
            Err(Refusal::InvalidArgument(_))
        ));
        assert!(matches!(address(&source("bucket/")), Err(Refusal::InvalidArgument(_))));
        let arn = source("arn:aws:s3:us-east-1:123456789012:accesspoint/point/object/k");
        assert!(matches!(address(&arn), Err(Refusal::NotImplemented(_))));
    }
}
