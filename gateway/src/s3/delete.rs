//! DeleteObject and DeleteObjects. Deleting what is not there succeeds, as in Amazon S3, unless a condition says that
//! it must be there. In a bucket with versions a delete marker covers the object, unless a version is named.

use bytes::Bytes;
use datapath::{BucketId, Delete, Deletion, Found, Versioning};
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    Error, ObjectIdentifier,
};
use s3s::{S3Error, S3Request, S3Response};

use super::aside::Aside;
use super::condition;
use super::limits::DELETE_KEYS_MAX;
use super::names::check_key;
use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use super::{access, acl_operations, versions};
use crate::metrics::Stage;
use crate::record::Laps;

/// See the module.
pub(super) async fn delete_object(
    operations: &Operations,
    mut request: S3Request<DeleteObjectInput>,
) -> Outcome<S3Response<DeleteObjectOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let aside = Aside::take(&mut request.extensions);
    let input = request.input;
    let bucket = laps.ends(Stage::Index, operations.bucket(&input.bucket))?;
    let modified = input.if_match_last_modified_time.as_ref();
    let key = Bytes::from(input.key);
    let version = versions::named(input.version_id.as_deref())?;
    let asked = condition::of_delete(&aside, modified, input.if_match_size)?;
    let lane = operations.lane();
    let find = || lane.lookup(bucket.id, &key, version).map(Found::there);
    let delete = Delete {
        key: key.clone(),
        version,
        condition: condition::of_stored(asked, find)?,
        // Who bypasses has been found to be allowed to.
        bypass_governance: input.bypass_governance_retention.unwrap_or(false),
        marker_acl: acl_operations::of_new_marker(operations, &request.extensions, &bucket)?,
    };
    let deleted = lane.delete(bucket.id, delete).await;
    let deletion = laps.ends(Stage::Commit, deleted)?;
    operations.removed(&request.extensions, &bucket, &key, &deletion);
    let (marker, version_id) = match &deletion {
        Deletion::MarkerMade(marker) | Deletion::MarkerRemoved(marker) => {
            (Some(true), versions::said(&bucket, marker.version))
        }
        // What was named, also where it was not there.
        Deletion::Removed(_) | Deletion::Nothing => {
            (None, input.version_id.filter(|_| bucket.versioning != Versioning::Off))
        }
    };
    let output = DeleteObjectOutput { delete_marker: marker, version_id, request_charged: None };
    Ok(S3Response::new(output))
}

/// Up to 1,000 keys in one transaction; each has its own condition and its own answer. That something vouches for the
/// list, and that the list is as vouched for, `documents` has checked.
pub(super) async fn delete_objects(
    operations: &Operations,
    request: S3Request<DeleteObjectsInput>,
) -> Outcome<S3Response<DeleteObjectsOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = laps.ends(Stage::Index, operations.bucket(&input.bucket))?;
    let quiet = input.delete.quiet.unwrap_or(false);
    let objects = input.delete.objects;
    if objects.is_empty() {
        return Err(Refusal::MalformedXml("there is no Object to delete"));
    }
    if objects.len() > DELETE_KEYS_MAX {
        return Err(Refusal::MalformedXml("there are more than 1000 Objects to delete"));
    }
    let mut answers = Answers::new(quiet);
    let mut wanted = Vec::with_capacity(objects.len());
    let mut deletes = Vec::with_capacity(objects.len());
    let marker_acl = acl_operations::of_new_marker(operations, &request.extensions, &bucket)?;
    let bypass_governance = input.bypass_governance_retention.unwrap_or(false);
    for object in objects {
        let allowed = access::may_delete(operations, &request.extensions, &bucket, &object);
        match allowed.and_then(|()| asked(operations, bucket.id, &object)) {
            Ok(delete) => {
                let marker_acl = marker_acl.clone();
                deletes.push(Delete { bypass_governance, marker_acl, ..delete });
                wanted.push(object);
            }
            Err(refusal) => answers.refused(object, refusal),
        }
    }
    if !deletes.is_empty() {
        laps.skip();
        let results = operations.lane().delete_many(bucket.id, deletes).await;
        let results = laps.ends(Stage::Commit, results)?;
        for (object, result) in wanted.into_iter().zip(results) {
            match result {
                Ok(deletion) => {
                    let key = object.key.as_bytes();
                    operations.removed(&request.extensions, &bucket, key, &deletion);
                    answers.deleted(object, &deletion);
                }
                Err(error) => answers.refused(object, error.into()),
            }
        }
    }
    Ok(S3Response::new(answers.output()))
}

/// What an entry asks for.
///
/// # Errors
/// Those of the key, of the condition, and NoSuchVersion for what can be no version's id.
fn asked(operations: &Operations, bucket: BucketId, object: &ObjectIdentifier) -> Outcome<Delete> {
    let delete = delete_of(object)?;
    let lane = operations.lane();
    let find = || lane.lookup(bucket, &delete.key, delete.version).map(Found::there);
    let condition = condition::of_stored(delete.condition.clone(), find)?;
    Ok(Delete { condition, ..delete })
}

fn delete_of(object: &ObjectIdentifier) -> Outcome<Delete> {
    check_key(&object.key)?;
    let version =
        versions::named(object.version_id.as_deref()).map_err(|_| Refusal::NoSuchVersion)?;
    let condition = condition::of_entry(object)?;
    Ok(Delete { version, condition, ..Delete::object(Bytes::from(object.key.clone())) })
}

struct Answers {
    quiet: bool,
    deleted: Vec<DeletedObject>,
    errors: Vec<Error>,
}

impl Answers {
    fn new(quiet: bool) -> Self {
        Self { quiet, deleted: Vec::new(), errors: Vec::new() }
    }

    fn deleted(&mut self, object: ObjectIdentifier, deletion: &Deletion) {
        if self.quiet {
            return;
        }
        let marker = match deletion {
            Deletion::MarkerMade(marker) | Deletion::MarkerRemoved(marker) => {
                Some(versions::text(marker.version))
            }
            Deletion::Removed(_) | Deletion::Nothing => None,
        };
        self.deleted.push(DeletedObject {
            delete_marker: marker.is_some().then_some(true),
            delete_marker_version_id: marker,
            key: Some(object.key),
            version_id: object.version_id,
        });
    }

    fn refused(&mut self, object: ObjectIdentifier, refusal: Refusal) {
        let error = S3Error::from(refusal);
        self.errors.push(Error {
            code: Some(error.code().as_str().to_owned()),
            key: Some(object.key),
            message: error.message().map(str::to_owned),
            version_id: object.version_id,
        });
    }

    fn output(self) -> DeleteObjectsOutput {
        let some = |is_empty: bool| (!is_empty).then_some(());
        DeleteObjectsOutput {
            deleted: some(self.deleted.is_empty()).map(|()| self.deleted),
            errors: some(self.errors.is_empty()).map(|()| self.errors),
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datapath::{Condition, Marker, RowId, StoreError, VersionId};
    use s3s::dto::{ETag, Timestamp};

    fn object(key: &str) -> ObjectIdentifier {
        ObjectIdentifier { key: key.to_owned(), ..Default::default() }
    }

    #[test]
    fn each_key_has_its_own_condition_and_version() {
        let condition = |object| delete_of(&object).unwrap().condition;
        assert_eq!(condition(object("a")), Condition::None);
        let tagged = |tag| ObjectIdentifier { e_tag: Some(tag), ..object("a") };
        let strong = tagged(ETag::Strong("t".to_owned()));
        assert_eq!(condition(strong.clone()), Condition::TagIs(vec!["t".into()]));
        let any = tagged(ETag::Strong("*".to_owned()));
        assert_eq!(condition(any), Condition::Present);
        let weak = tagged(ETag::Weak("t".to_owned()));
        assert_eq!(condition(weak), Condition::TagIs(vec![]));
        let all = ObjectIdentifier {
            last_modified_time: Some(Timestamp::default()),
            size: Some(3),
            ..strong
        };
        assert_eq!(
            condition(all),
            Condition::All(vec![
                Condition::TagIs(vec!["t".into()]),
                Condition::ModifiedIs { seconds: 0 },
                Condition::SizeIs { size: 3 },
            ])
        );
        let versioned =
            |id: &str| ObjectIdentifier { version_id: Some(id.to_owned()), ..object("a") };
        assert_eq!(delete_of(&versioned("null")).unwrap().version, Some(VersionId::NULL));
        assert!(matches!(delete_of(&versioned("7")), Err(Refusal::NoSuchVersion)));
        assert!(delete_of(&object("")).is_err());
        assert!(matches!(delete_of(&object(&"k".repeat(1025))), Err(Refusal::KeyTooLong)));
    }

    #[test]
    fn quiet_tells_errors_only() {
        for quiet in [false, true] {
            let mut answers = Answers::new(quiet);
            answers.deleted(object("a"), &Deletion::Nothing);
            answers.refused(object("b"), StoreError::ConditionFailed.into());
            let output = answers.output();
            assert_eq!(output.deleted.is_some(), !quiet);
            let errors = output.errors.unwrap();
            assert_eq!(errors[0].code.as_deref(), Some("PreconditionFailed"));
            assert_eq!(errors[0].key.as_deref(), Some("b"));
        }
    }

    #[test]
    fn markers_are_told_of() {
        let version = VersionId(3);
        let marker = Marker { row: RowId(3), version, modified_ms: 0, acl: Bytes::new() };
        let mut answers = Answers::new(false);
        answers.deleted(object("a"), &Deletion::MarkerMade(marker));
        let deleted = answers.output().deleted.unwrap().remove(0);
        assert_eq!(deleted.delete_marker, Some(true));
        assert_eq!(deleted.delete_marker_version_id, Some(versions::text(version)));
        assert_eq!(deleted.version_id, None);
    }
}
