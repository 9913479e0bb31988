//! DeleteObject and DeleteObjects. Deleting what is not there succeeds, as in Amazon S3, unless a condition says that
//! it must be there.

use bytes::Bytes;
use datapath::{Condition, Delete};
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
    versions::check(input.version_id.as_deref())?;
    let condition = condition::of_delete(&aside)?;
    let marker_acl = acl_operations::of_new_marker(operations, &request.extensions, &bucket)?;
    let key = Bytes::from(input.key);
    let delete = Delete { condition, marker_acl, ..Delete::object(key.clone()) };
    let deleted = operations.lane().delete(bucket.id, delete).await;
    let deletion = laps.ends(Stage::Commit, deleted)?;
    operations.removed(&request.extensions, &bucket, &key, &deletion);
    Ok(S3Response::new(DeleteObjectOutput { version_id: input.version_id, ..Default::default() }))
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
    for object in objects {
        let allowed = access::may_delete(operations, &request.extensions, &bucket, &object);
        match allowed.and_then(|()| condition_of(&object)) {
            Ok(condition) => {
                let key = Bytes::from(object.key.clone());
                let marker_acl = marker_acl.clone();
                deletes.push(Delete { condition, marker_acl, ..Delete::object(key) });
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
                    answers.deleted(object);
                }
                Err(error) => answers.refused(object, error.into()),
            }
        }
    }
    Ok(S3Response::new(answers.output()))
}

/// What must hold for one of the keys.
fn condition_of(object: &ObjectIdentifier) -> Outcome<Condition> {
    check_key(&object.key)?;
    versions::check(object.version_id.as_deref())?;
    if object.last_modified_time.is_some() || object.size.is_some() {
        let what = "a condition on LastModifiedTime or Size of an object to delete";
        return Err(Refusal::NotImplemented(what.to_owned()));
    }
    Ok(match &object.e_tag {
        None => Condition::None,
        Some(tag) if tag.value() == "*" => Condition::Present,
        Some(tag) => Condition::TagIs(tag.as_strong().map(Box::from).into_iter().collect()),
    })
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

    fn deleted(&mut self, object: ObjectIdentifier) {
        if !self.quiet {
            let deleted = DeletedObject {
                key: Some(object.key),
                version_id: object.version_id,
                ..Default::default()
            };
            self.deleted.push(deleted);
        }
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
    use datapath::StoreError;
    use s3s::dto::{ETag, Timestamp};

    fn object(key: &str) -> ObjectIdentifier {
        ObjectIdentifier { key: key.to_owned(), ..Default::default() }
    }

    #[test]
    fn each_key_has_its_own_condition() {
        assert_eq!(condition_of(&object("a")).unwrap(), Condition::None);
        let tagged = |tag| ObjectIdentifier { e_tag: Some(tag), ..object("a") };
        let strong = tagged(ETag::Strong("t".to_owned()));
        assert_eq!(condition_of(&strong).unwrap(), Condition::TagIs(vec!["t".into()]));
        let any = tagged(ETag::Strong("*".to_owned()));
        assert_eq!(condition_of(&any).unwrap(), Condition::Present);
        let weak = tagged(ETag::Weak("t".to_owned()));
        assert_eq!(condition_of(&weak).unwrap(), Condition::TagIs(vec![]));
        let timed =
            ObjectIdentifier { last_modified_time: Some(Timestamp::default()), ..object("a") };
        assert!(matches!(condition_of(&timed), Err(Refusal::NotImplemented(_))));
        let versioned = ObjectIdentifier { version_id: Some("7".to_owned()), ..object("a") };
        assert!(matches!(condition_of(&versioned), Err(Refusal::InvalidArgument(_))));
        assert!(condition_of(&object("")).is_err());
        assert!(matches!(condition_of(&object(&"k".repeat(1025))), Err(Refusal::KeyTooLong)));
    }

    #[test]
    fn quiet_tells_errors_only() {
        for quiet in [false, true] {
            let mut answers = Answers::new(quiet);
            answers.deleted(object("a"));
            answers.refused(object("b"), StoreError::ConditionFailed.into());
            let output = answers.output();
            assert_eq!(output.deleted.is_some(), !quiet);
            let errors = output.errors.unwrap();
            assert_eq!(errors[0].code.as_deref(), Some("PreconditionFailed"));
            assert_eq!(errors[0].key.as_deref(), Some("b"));
        }
    }
}
