//! ListBuckets, CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation.
//!
//! Not here: whose a bucket is (`ownership`).

use bytes::Bytes;
use datapath::{NewBucket, SettingKind, StoreError};
use http::HeaderMap;
use s3s::dto::{
    Bucket, BucketLocationConstraint, CreateBucketConfiguration, CreateBucketInput,
    CreateBucketOutput, DeleteBucketInput, DeleteBucketOutput, GetBucketLocationInput,
    GetBucketLocationOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput,
    ListBucketsOutput,
};
use s3s::{S3Request, S3Response};

use super::access::DENIED;
use super::acl::Acl;
use super::acl_asked::{For, of_headers};
use super::acl_operations::party_of;
use super::http_date;
use super::limits::{
    BUCKET_READ_BYTES, BUCKET_WRITTEN_BYTES, BUCKETS_PAGE_MAX, LISTING_HEAD_BYTES,
    LOCATION_BYTES_MAX,
};
use super::operations::Operations;
use super::ownership::{BucketAttributes, BucketOwner, Ownership};
use super::page;
use super::public_access::PublicAccess;
use super::refusal::{AccessRefusal, Outcome, Refusal};
use super::settings::kind;
use crate::config::BucketDefaults;
use crate::iam::Caller;
use crate::metrics::Stage;
use crate::record::Laps;

/// The region whose location constraint is empty (API reference, GetBucketLocation).
const REGION_WITHOUT_CONSTRAINT: &str = "us-east-1";

/// The buckets of the caller's account, sorted by name, in pages where `max-buckets` asks for them.
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
    let owner = party_of(request.extensions.get::<Caller>());
    let is_owners = |bucket: &datapath::Bucket| {
        BucketAttributes::of(bucket).is_ok_and(|attributes| attributes.owner.party.id == owner.id)
    };
    let wanted = |bucket: &datapath::Bucket| {
        bucket.name.starts_with(&prefix)
            && is_owners(bucket)
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
        bucket_region: with_region.then(|| region(operations, &bucket)),
        creation_date: Some(http_date::timestamp(bucket.created_ms)),
        name: Some(bucket.name.into()),
    });
    Ok(memory.answer(ListBucketsOutput {
        buckets: Some(buckets.collect()),
        continuation_token: token,
        owner: Some(owner.dto()),
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
    let owner = request.extensions.get::<Caller>().and_then(Caller::account);
    let owner = BucketOwner::of(owner.ok_or(Refusal::AccessDenied(DENIED))?);
    let new = NewBucket {
        locking: input.object_lock_enabled_for_bucket.unwrap_or(false),
        settings: new_settings(operations, &request.headers, &owner)?,
    };
    let attributes = BucketAttributes { owner, location: location.into() };
    let lane = operations.lane();
    let created = lane.create_bucket(&input.bucket, attributes.encode(), new).await;
    match laps.ends(Stage::Commit, created) {
        Err(StoreError::BucketExists) => {
            let there = operations.bucket(&input.bucket)?;
            let is_own = BucketAttributes::of(&there)?.owner.party.id == attributes.owner.party.id;
            return Err(match is_own {
                true => StoreError::BucketExists.into(),
                false => Refusal::Access(AccessRefusal::BucketIsAnothers),
            });
        }
        created => created?,
    };
    Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) }))
}

/// What the request and the configuration say of access.
fn new_settings(
    operations: &Operations,
    headers: &HeaderMap,
    owner: &BucketOwner,
) -> Outcome<Vec<(SettingKind, Bytes)>> {
    let directory = operations.settings().directory();
    let acl = of_headers(headers, For::Bucket(&owner.party), directory)?;
    let acl = acl.filter(|acl| *acl != Acl::private(owner.party.clone()));
    let asked = headers.get("x-amz-object-ownership");
    let asked =
        asked.map(|name| Ownership::named(name.to_str().unwrap_or_default())).transpose()?;
    let aws = operations.settings().defaults() == BucketDefaults::Aws;
    let ownership = asked.or(aws.then_some(Ownership::BucketOwnerEnforced));
    if ownership == Some(Ownership::BucketOwnerEnforced) && acl.is_some() {
        return Err(Refusal::Access(AccessRefusal::AclWithOwnership));
    }
    let block = aws.then_some(PublicAccess::ALL);
    let settings = [
        (kind::ACL, acl.map(|acl| acl.encode())),
        (kind::OWNERSHIP, ownership.map(Ownership::encode)),
        (kind::PUBLIC_ACCESS, block.map(PublicAccess::encode)),
    ];
    Ok(settings.into_iter().filter_map(|(kind, bytes)| Some((kind, bytes?))).collect())
}

/// Tells that the bucket is there and its region.
pub(super) async fn head_bucket(
    operations: &Operations,
    mut request: S3Request<HeadBucketInput>,
) -> Outcome<S3Response<HeadBucketOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let bucket = operations.bucket_for(&mut request.extensions, &request.input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let output =
        HeadBucketOutput { bucket_region: Some(region(operations, &bucket)), ..Default::default() };
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
        .then(|| BucketLocationConstraint::from(region.clone()));
    Ok(S3Response::new(GetBucketLocationOutput { location_constraint: constraint }))
}

/// Where a bucket says it is: its constraint, else the endpoint's region.
fn region(operations: &Operations, bucket: &datapath::Bucket) -> String {
    let attributes = BucketAttributes::of(bucket).ok();
    let location = attributes.map(|it| it.location).filter(|location| !location.is_empty());
    location.map_or_else(|| operations.settings().region().to_owned(), String::from)
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
            assert_eq!(asked(location).unwrap(), location);
        }
        assert_eq!(location_asked(None).unwrap(), "");
        assert!(matches!(asked("a b"), Err(Refusal::InvalidLocationConstraint)));
        assert!(matches!(asked(&"a".repeat(65)), Err(Refusal::InvalidLocationConstraint)));
    }
}
