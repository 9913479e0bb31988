//! GetObjectTagging, PutObjectTagging, DeleteObjectTagging: the tags of an object or of one of its versions, which
//! change without the object becoming another: its row and its Last-Modified stay.

use bytes::Bytes;
use datapath::Annotation;
use s3s::dto::{
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput,
    GetObjectTaggingOutput, PutObjectTaggingInput, PutObjectTaggingOutput,
};
use s3s::{S3Request, S3Response};

use super::operations::Operations;
use super::refusal::Outcome;
use super::tags::Tags;
use super::versions;
use crate::metrics::Stage;
use crate::notify::event::EventKind;
use crate::record::Laps;

/// The tags, in the order in which they were given.
pub(super) async fn get(
    operations: &Operations,
    mut request: S3Request<GetObjectTaggingInput>,
) -> Outcome<S3Response<GetObjectTaggingOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket)?;
    let version = versions::named(input.version_id.as_deref())?;
    let found = operations.lane().lookup(bucket.id, input.key.as_bytes(), version);
    let object = versions::there(laps.ends(Stage::Index, found)?, version, &request.extensions)?;
    Ok(S3Response::new(GetObjectTaggingOutput {
        tag_set: Tags::decode(&object.tags)?.into_set(),
        version_id: versions::said(&bucket, object.version),
    }))
}

/// Replaces all tags.
pub(super) async fn put(
    operations: &Operations,
    mut request: S3Request<PutObjectTaggingInput>,
) -> Outcome<S3Response<PutObjectTaggingOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket)?;
    let version = versions::named(input.version_id.as_deref())?;
    let tags = Tags::of_set(input.tagging.tag_set)?.encode();
    let key = Bytes::from(input.key);
    let tags = Annotation::Tags(tags);
    let annotated = operations.lane().annotate(bucket.id, key.clone(), version, tags).await;
    laps.lap(Stage::Commit);
    let place = (bucket.id, &key[..]);
    let object = versions::annotated(operations, &request.extensions, place, version, annotated)?;
    operations.made(&request.extensions, &bucket, EventKind::TaggingPut, &key, &object);
    let version_id = versions::said(&bucket, object.version);
    Ok(S3Response::new(PutObjectTaggingOutput { version_id }))
}

/// Takes all tags away.
pub(super) async fn delete(
    operations: &Operations,
    mut request: S3Request<DeleteObjectTaggingInput>,
) -> Outcome<S3Response<DeleteObjectTaggingOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket)?;
    let version = versions::named(input.version_id.as_deref())?;
    let nothing = Annotation::Tags(Bytes::new());
    let key = Bytes::from(input.key);
    let annotated = operations.lane().annotate(bucket.id, key.clone(), version, nothing).await;
    laps.lap(Stage::Commit);
    let place = (bucket.id, &key[..]);
    let object = versions::annotated(operations, &request.extensions, place, version, annotated)?;
    operations.made(&request.extensions, &bucket, EventKind::TaggingDelete, &key, &object);
    let version_id = versions::said(&bucket, object.version);
    Ok(S3Response::new(DeleteObjectTaggingOutput { version_id }))
}
