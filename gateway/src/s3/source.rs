//! Owns the source of a copy: which object `x-amz-copy-source` names, and its conditions.
//!
//! Not here: reading it where a digest is needed that nobody has kept (`encryption`).

use datapath::{OpenObject, StoreError};
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

/// The bucket and key that are named.
///
/// # Errors
/// NotImplemented for access points, the errors of versions and keys.
pub(super) fn address(source: &CopySource) -> Outcome<(&str, &str)> {
    match source {
        CopySource::Bucket { bucket, key, version_id } => {
            check_key(key)?;
            versions::check(version_id.as_deref())?;
            Ok((bucket, key))
        }
        CopySource::AccessPoint { .. } | CopySource::Outpost { .. } => {
            Err(Refusal::NotImplemented("a copy source that is an access point".to_owned()))
        }
    }
}

/// Opens the source, pinned, its conditions met.
///
/// # Errors
/// NoSuchBucket, NoSuchKey, PreconditionFailed and those of [`address`].
pub(super) fn open(
    operations: &Operations,
    source: &CopySource,
    aside: &HeaderMap,
    laps: &mut Laps,
) -> Outcome<OpenObject> {
    let (bucket, key) = address(source)?;
    let bucket = operations.bucket(bucket)?;
    let opened = operations.lane().open(bucket.id, key.as_bytes(), None);
    let opened = laps.ends(Stage::Index, opened)?.there().ok_or(Refusal::NoSuchKey)?;
    condition::of_copy_source(aside, opened.object())?;
    Ok(match laps.waits() {
        Some(meter) => opened.metered(meter),
        None => opened,
    })
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
        assert_eq!(address(&source("/bucket/a%2Fb%20c")).unwrap(), ("bucket", "a/b c"));
        assert_eq!(address(&source("bucket/k?versionId=null")).unwrap(), ("bucket", "k"));
        assert!(matches!(
            address(&source("bucket/k?versionId=7")),
            Err(Refusal::InvalidArgument(_))
        ));
        assert!(matches!(address(&source("bucket/")), Err(Refusal::InvalidArgument(_))));
        let arn = source("arn:aws:s3:us-east-1:123456789012:accesspoint/point/object/k");
        assert!(matches!(address(&arn), Err(Refusal::NotImplemented(_))));
    }
}
