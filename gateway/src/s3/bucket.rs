//! ListBuckets, CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation, and who owns it all.

use bytes::Bytes;
use datapath::NewBucket;
use s3s::dto::{
    Bucket, BucketLocationConstraint, CreateBucketConfiguration, CreateBucketInput,
    CreateBucketOutput, DeleteBucketInput, DeleteBucketOutput, GetBucketLocationInput,
    GetBucketLocationOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput,
    ListBucketsOutput, Owner,
};
use s3s::{S3Request, S3Response};

use super::http_date;
use super::limits::{
    BUCKET_READ_BYTES, BUCKET_WRITTEN_BYTES, BUCKETS_PAGE_MAX, LISTING_HEAD_BYTES,
    LOCATION_BYTES_MAX,
};
use super::operations::Operations;
use super::page;
use super::refusal::{Outcome, Refusal};
use crate::metrics::Stage;
use crate::record::Laps;

/// The one owner of all buckets and objects.
pub(super) const OWNER_ID: &str = "penstock";

/// The region whose location constraint is empty (API reference, GetBucketLocation).
const REGION_WITHOUT_CONSTRAINT: &str = "us-east-1";

/// The owner, for XML.
pub(super) fn owner() -> Owner {
    Owner { display_name: Some(OWNER_ID.to_owned()), id: Some(OWNER_ID.to_owned()) }
}

/// Sorted by name, in pages where `max-buckets` asks for them.
pub(super) async fn list_buckets(
    operations: &Operations,
    request: S3Request<ListBucketsInput>,
) -> Outcome<S3Response<ListBucketsOutput>> {
    let input = request.input;
    if input.max_buckets == Some(0) {
        let why = "Argument max-buckets must be an integer between 1 and 10000";
        return Err(Refusal::InvalidArgument(why.to_owned()));
    }
    let limit = page::entries(input.max_buckets, BUCKETS_PAGE_MAX, "max-buckets")?;
    let after = input.continuation_token.as_deref().map(page::token_name).transpose()?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let with_region = input.max_buckets.is_some()
        || input.prefix.is_some()
        || input.bucket_region.is_some()
        || after.is_some();
    let wanted = |bucket: &datapath::Bucket| {
        bucket.name.starts_with(&prefix)
            && after.as_ref().is_none_or(|after| bucket.name.as_bytes() > &after[..])
            && input
                .bucket_region
                .as_ref()
                .is_none_or(|asked| asked.as_str() == region(operations, bucket))
    };
    let listings = operations.settings().listings();
    let mut laps = Laps::begin(&request.extensions);
    let memory = listings.begin_with(BUCKETS_PAGE_MAX * BUCKET_READ_BYTES).await;
    let mut memory = laps.ends(Stage::Queue, memory)?;
    let all = laps.ends(Stage::Index, operations.lane().buckets())?;
    let mut found: Vec<datapath::Bucket> = all.into_iter().filter(wanted).collect();
    let truncated = found.len() > limit;
    found.truncate(limit);
    memory.resize(LISTING_HEAD_BYTES + found.len() * BUCKET_WRITTEN_BYTES).await?;
    let token =
        found.last().filter(|_| truncated).map(|bucket| page::token(bucket.name.as_bytes()));
    let buckets = found.into_iter().map(|bucket| Bucket {
        bucket_region: with_region.then(|| region(operations, &bucket).to_owned()),
        creation_date: Some(http_date::timestamp(bucket.created_ms)),
        name: Some(bucket.name.into()),
    });
    Ok(memory.answer(ListBucketsOutput {
        buckets: Some(buckets.collect()),
        continuation_token: token,
        owner: Some(owner()),
        prefix: input.prefix,
    }))
}

/// Creating a bucket that is there answers BucketAlreadyOwnedByYou everywhere; the success that Amazon S3 still gives
/// in us-east-1 is a relic that hides mistakes. The name has been checked on the way in.
pub(super) async fn create_bucket(
    operations: &Operations,
    request: S3Request<CreateBucketInput>,
) -> Outcome<S3Response<CreateBucketOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let location = location_asked(input.create_bucket_configuration)?;
    let lane = operations.lane();
    let attributes = encode_location(&location);
    let created = lane.create_bucket(&input.bucket, attributes, NewBucket::default()).await;
    laps.ends(Stage::Commit, created)?;
    Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) }))
}

/// Tells that the bucket is there and its region.
pub(super) async fn head_bucket(
    operations: &Operations,
    request: S3Request<HeadBucketInput>,
) -> Outcome<S3Response<HeadBucketOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let bucket = laps.ends(Stage::Index, operations.bucket(&request.input.bucket))?;
    let output = HeadBucketOutput {
        bucket_region: Some(region(operations, &bucket).to_owned()),
        ..Default::default()
    };
    Ok(S3Response::new(output))
}

/// Only a bucket without objects and uploads.
pub(super) async fn delete_bucket(
    operations: &Operations,
    request: S3Request<DeleteBucketInput>,
) -> Outcome<S3Response<DeleteBucketOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let deleted = operations.lane().delete_bucket(&request.input.bucket).await;
    laps.ends(Stage::Commit, deleted)?;
    Ok(S3Response::new(DeleteBucketOutput::default()))
}

/// GetBucketLocation.
pub(super) async fn location(
    operations: &Operations,
    request: S3Request<GetBucketLocationInput>,
) -> Outcome<S3Response<GetBucketLocationOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let bucket = laps.ends(Stage::Index, operations.bucket(&request.input.bucket))?;
    let region = region(operations, &bucket);
    let constraint = (region != REGION_WITHOUT_CONSTRAINT)
        .then(|| BucketLocationConstraint::from(region.to_owned()));
    Ok(S3Response::new(GetBucketLocationOutput { location_constraint: constraint }))
}

/// Where a bucket says it is: its constraint, else the endpoint's region.
fn region<'a>(operations: &'a Operations, bucket: &'a datapath::Bucket) -> &'a str {
    decode_location(&bucket.attributes).unwrap_or(operations.settings().region())
}

fn location_asked(configuration: Option<CreateBucketConfiguration>) -> Outcome<String> {
    let Some(configuration) = configuration else {
        return Ok(String::new());
    };
    if configuration.bucket.is_some() || configuration.location.is_some() {
        return Err(Refusal::NotImplemented("a directory bucket".to_owned()));
    }
    let location =
        configuration.location_constraint.map_or_else(String::new, |it| it.as_str().to_owned());
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if location.len() > LOCATION_BYTES_MAX || !location.bytes().all(fine) {
        return Err(Refusal::InvalidLocationConstraint);
    }
    Ok(location)
}

const VERSION: u8 = 1;

/// A bucket's attributes: a version byte and the location constraint.
fn encode_location(location: &str) -> Bytes {
    let mut bytes = vec![VERSION];
    bytes.extend(location.as_bytes());
    bytes.into()
}

fn decode_location(attributes: &Bytes) -> Option<&str> {
    let location = attributes.strip_prefix(&[VERSION])?;
    std::str::from_utf8(location).ok().filter(|location| !location.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(constraint: &str) -> Outcome<String> {
        location_asked(Some(CreateBucketConfiguration {
            location_constraint: Some(BucketLocationConstraint::from(constraint.to_owned())),
            ..Default::default()
        }))
    }

    #[test]
    fn a_location_is_kept_as_it_was_asked_for() {
        for location in ["", "eu-central-1", "EU"] {
            let kept = encode_location(&asked(location).unwrap());
            assert_eq!(decode_location(&kept), Some(location).filter(|it| !it.is_empty()));
        }
        assert_eq!(location_asked(None).unwrap(), "");
        assert!(matches!(asked("a b"), Err(Refusal::InvalidLocationConstraint)));
        assert!(matches!(asked(&"a".repeat(65)), Err(Refusal::InvalidLocationConstraint)));
        assert_eq!(decode_location(&Bytes::new()), None);
    }
}
