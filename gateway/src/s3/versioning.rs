//! GetBucketVersioning and PutBucketVersioning: what becomes of objects that are overwritten or deleted from now on.
//!
//! MFA delete is refused: nobody here has a device that could be asked for.

use datapath::Versioning;
use s3s::dto::{
    BucketVersioningStatus, GetBucketVersioningInput, GetBucketVersioningOutput, MFADelete,
    PutBucketVersioningInput, PutBucketVersioningOutput, VersioningConfiguration,
};
use s3s::{S3Request, S3Response};

use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use crate::metrics::Stage;
use crate::record::Laps;

/// Without a status where versioning was never set.
pub(super) async fn get(
    operations: &Operations,
    mut request: S3Request<GetBucketVersioningInput>,
) -> Outcome<S3Response<GetBucketVersioningOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let bucket = operations.bucket_for(&mut request.extensions, &request.input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let status = match bucket.versioning {
        Versioning::Off => None,
        Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
        Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
    };
    Ok(S3Response::new(GetBucketVersioningOutput {
        mfa_delete: None,
        status: status.map(BucketVersioningStatus::from_static),
    }))
}

/// Enables or suspends it; a bucket that locks objects keeps it enabled.
pub(super) async fn put(
    operations: &Operations,
    mut request: S3Request<PutBucketVersioningInput>,
) -> Outcome<S3Response<PutBucketVersioningOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let versioning = asked(&input.versioning_configuration)?;
    let set = operations.lane().set_versioning(bucket.id, versioning).await;
    laps.ends(Stage::Commit, set)?;
    Ok(S3Response::new(PutBucketVersioningOutput::default()))
}

fn asked(configuration: &VersioningConfiguration) -> Outcome<Versioning> {
    match configuration.mfa_delete.as_ref().map(MFADelete::as_str) {
        None | Some(MFADelete::DISABLED) => {}
        Some(MFADelete::ENABLED) => return Err(Refusal::NotImplemented("MFA delete".to_owned())),
        Some(_) => return Err(Refusal::MalformedXml("MfaDelete is Enabled or Disabled")),
    }
    match configuration.status.as_ref().map(BucketVersioningStatus::as_str) {
        None => Err(Refusal::IllegalVersioning),
        Some(BucketVersioningStatus::ENABLED) => Ok(Versioning::Enabled),
        Some(BucketVersioningStatus::SUSPENDED) => Ok(Versioning::Suspended),
        Some(_) => Err(Refusal::MalformedXml("Status is Enabled or Suspended")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_enabled_or_suspended_and_nobody_has_a_device() {
        let of = |status: Option<&'static str>, mfa: Option<&'static str>| {
            asked(&VersioningConfiguration {
                status: status.map(BucketVersioningStatus::from_static),
                mfa_delete: mfa.map(MFADelete::from_static),
            })
        };
        assert_eq!(of(Some("Enabled"), None).unwrap(), Versioning::Enabled);
        assert_eq!(of(Some("Suspended"), Some("Disabled")).unwrap(), Versioning::Suspended);
        assert!(matches!(of(Some("Off"), None), Err(Refusal::MalformedXml(_))));
        assert!(matches!(of(None, None), Err(Refusal::IllegalVersioning)));
        assert!(matches!(of(Some("Enabled"), Some("Enabled")), Err(Refusal::NotImplemented(_))));
        assert!(matches!(of(Some("Enabled"), Some("yes")), Err(Refusal::MalformedXml(_))));
    }
}
