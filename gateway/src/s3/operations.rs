//! Owns the table of operations: which function answers which of S3's. All that is not in it, s3s answers with
//! NotImplemented (501).

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use datapath::{Bucket, LaneStore};
use http::Extensions;
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, dto};
use send_wrapper::SendWrapper;

use super::refusal::{Outcome, Refusal};
use super::service::S3Settings;
use super::settings::{Settings, SettingsCache};
use super::{
    acl_operations, bucket, bucket_tagging, complete, copy, cors, delete, encryption_default, get,
    head, lifecycle, list, list_versions, lock_operations, notification, object_attributes,
    ownership, parts, policy_operations, public_access, put, session, tagging, unsupported,
    uploads, versioning,
};

/// What the operations of one lane work with. Clones share it.
#[derive(Clone)]
pub(super) struct Operations {
    lane: SendWrapper<LaneStore>,
    settings: Arc<S3Settings>,
    buckets: SendWrapper<Rc<SettingsCache>>,
}

/// A bucket that letting the request in has already looked up.
#[derive(Clone)]
pub(super) struct KnownBucket(pub(super) Bucket);

impl Operations {
    /// To be used on this thread only.
    pub(super) fn new(lane: LaneStore, settings: Arc<S3Settings>) -> Self {
        let buckets = SendWrapper::new(Rc::default());
        Self { lane: SendWrapper::new(lane), settings, buckets }
    }

    /// The store.
    pub(super) fn lane(&self) -> &LaneStore {
        &self.lane
    }

    /// The configuration.
    pub(super) fn settings(&self) -> &S3Settings {
        &self.settings
    }

    /// The bucket of a name.
    ///
    /// # Errors
    /// NoSuchBucket.
    pub(super) fn bucket(&self, name: &str) -> Outcome<Bucket> {
        self.lane.bucket(name)?.ok_or(Refusal::NoSuchBucket)
    }

    /// A bucket's settings, parsed once for each of its revisions.
    ///
    /// # Errors
    /// Damaged, and what the store meets.
    pub(super) fn bucket_settings(&self, bucket: &Bucket) -> Outcome<Rc<Settings>> {
        self.buckets.find(&self.lane, bucket, |name| self.settings.is_public_read(name))
    }

    /// The bucket of a name, which letting the request in has looked up, as a rule.
    ///
    /// # Errors
    /// NoSuchBucket.
    pub(super) fn bucket_for(&self, extensions: &mut Extensions, name: &str) -> Outcome<Bucket> {
        match extensions.remove::<KnownBucket>() {
            Some(KnownBucket(bucket)) if *bucket.name == *name => Ok(bucket),
            Some(_) | None => self.bucket(name),
        }
    }
}

/// A future that s3s can hold: it asks for `Send`, and a lane's are not.
pub(super) type Answer<'a, T> = Pin<Box<dyn Future<Output = S3Result<T>> + Send + 'a>>;

/// The one place where a lane's futures become s3s's. The wrapper panics if the future is polled or dropped on
/// another thread, which no lane does. The work is boxed by itself: an `async` block around it would hold it twice,
/// where it is given and where it is awaited, and be copied with both.
fn local<'a, T>(work: impl Future<Output = Outcome<T>> + 'a) -> Answer<'a, T> {
    let mut work = Box::pin(work);
    let answer = poll_fn(move |context| work.as_mut().poll(context).map_err(S3Error::from));
    Box::pin(SendWrapper::new(answer))
}

macro_rules! table {
    ($($method:ident($input:ident) -> $output:ident = $function:path;)*) => {
        /// The operations' input types, for the test that the document lists them.
        #[cfg(test)]
        const HERE: &[&str] = &[$(stringify!($input)),*];

        impl S3 for Operations {
            $(
                fn $method<'life0, 'async_trait>(
                    &'life0 self,
                    request: S3Request<dto::$input>,
                ) -> Answer<'async_trait, S3Response<dto::$output>>
                where
                    'life0: 'async_trait,
                    Self: 'async_trait,
                {
                    local($function(self, request))
                }
            )*
        }
    };
}

table! {
    list_buckets(ListBucketsInput) -> ListBucketsOutput = bucket::list_buckets;
    create_bucket(CreateBucketInput) -> CreateBucketOutput = bucket::create_bucket;
    head_bucket(HeadBucketInput) -> HeadBucketOutput = bucket::head_bucket;
    delete_bucket(DeleteBucketInput) -> DeleteBucketOutput = bucket::delete_bucket;
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput = bucket::location;

    create_session(CreateSessionInput) -> CreateSessionOutput = session::create_session;
    get_bucket_acl(GetBucketAclInput) -> GetBucketAclOutput = acl_operations::get_bucket;
    put_bucket_acl(PutBucketAclInput) -> PutBucketAclOutput = acl_operations::put_bucket;
    get_object_acl(GetObjectAclInput) -> GetObjectAclOutput = acl_operations::get_object;
    put_object_acl(PutObjectAclInput) -> PutObjectAclOutput = acl_operations::put_object;
    get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput = policy_operations::get;
    put_bucket_policy(PutBucketPolicyInput) -> PutBucketPolicyOutput = policy_operations::put;
    delete_bucket_policy(DeleteBucketPolicyInput) -> DeleteBucketPolicyOutput = policy_operations::delete;
    get_bucket_policy_status(GetBucketPolicyStatusInput) -> GetBucketPolicyStatusOutput = policy_operations::status;
    get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput = public_access::get;
    put_public_access_block(PutPublicAccessBlockInput) -> PutPublicAccessBlockOutput = public_access::put;
    delete_public_access_block(DeletePublicAccessBlockInput) -> DeletePublicAccessBlockOutput = public_access::delete;
    get_bucket_ownership_controls(GetBucketOwnershipControlsInput) -> GetBucketOwnershipControlsOutput = ownership::get;
    put_bucket_ownership_controls(PutBucketOwnershipControlsInput) -> PutBucketOwnershipControlsOutput = ownership::put;
    delete_bucket_ownership_controls(DeleteBucketOwnershipControlsInput) -> DeleteBucketOwnershipControlsOutput = ownership::delete;

    get_object(GetObjectInput) -> GetObjectOutput = get::get_object;
    get_object_attributes(GetObjectAttributesInput) -> GetObjectAttributesOutput = object_attributes::get;
    head_object(HeadObjectInput) -> HeadObjectOutput = head::head_object;
    put_object(PutObjectInput) -> PutObjectOutput = put::put_object;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput = delete::delete_object;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput = delete::delete_objects;
    copy_object(CopyObjectInput) -> CopyObjectOutput = copy::copy_object;

    get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput = tagging::get;
    put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput = tagging::put;
    delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput = tagging::delete;

    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput = versioning::get;
    put_bucket_versioning(PutBucketVersioningInput) -> PutBucketVersioningOutput = versioning::put;
    list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput = list_versions::list;
    get_object_lock_configuration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput = lock_operations::get_configuration;
    put_object_lock_configuration(PutObjectLockConfigurationInput) -> PutObjectLockConfigurationOutput = lock_operations::put_configuration;
    get_object_retention(GetObjectRetentionInput) -> GetObjectRetentionOutput = lock_operations::get_retention;
    put_object_retention(PutObjectRetentionInput) -> PutObjectRetentionOutput = lock_operations::put_retention;
    get_object_legal_hold(GetObjectLegalHoldInput) -> GetObjectLegalHoldOutput = lock_operations::get_hold;
    put_object_legal_hold(PutObjectLegalHoldInput) -> PutObjectLegalHoldOutput = lock_operations::put_hold;

    list_objects(ListObjectsInput) -> ListObjectsOutput = list::list_objects;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output = list::list_objects_v2;

    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput = uploads::create;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput = uploads::abort;
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput = uploads::list;
    upload_part(UploadPartInput) -> UploadPartOutput = parts::upload_part;
    upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput = parts::upload_part_copy;
    list_parts(ListPartsInput) -> ListPartsOutput = parts::list_parts;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput = complete::complete;

    put_bucket_cors(PutBucketCorsInput) -> PutBucketCorsOutput = cors::put;
    get_bucket_cors(GetBucketCorsInput) -> GetBucketCorsOutput = cors::get;
    delete_bucket_cors(DeleteBucketCorsInput) -> DeleteBucketCorsOutput = cors::delete;
    put_bucket_lifecycle_configuration(PutBucketLifecycleConfigurationInput) -> PutBucketLifecycleConfigurationOutput = lifecycle::put;
    get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput) -> GetBucketLifecycleConfigurationOutput = lifecycle::get;
    delete_bucket_lifecycle(DeleteBucketLifecycleInput) -> DeleteBucketLifecycleOutput = lifecycle::delete;
    put_bucket_notification_configuration(PutBucketNotificationConfigurationInput) -> PutBucketNotificationConfigurationOutput = notification::put;
    get_bucket_notification_configuration(GetBucketNotificationConfigurationInput) -> GetBucketNotificationConfigurationOutput = notification::get;
    put_bucket_encryption(PutBucketEncryptionInput) -> PutBucketEncryptionOutput = encryption_default::put;
    get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput = encryption_default::get;
    delete_bucket_encryption(DeleteBucketEncryptionInput) -> DeleteBucketEncryptionOutput = encryption_default::delete;
    put_bucket_tagging(PutBucketTaggingInput) -> PutBucketTaggingOutput = bucket_tagging::put;
    get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput = bucket_tagging::get;
    delete_bucket_tagging(DeleteBucketTaggingInput) -> DeleteBucketTaggingOutput = bucket_tagging::delete;

    get_bucket_request_payment(GetBucketRequestPaymentInput) -> GetBucketRequestPaymentOutput = unsupported::request_payment;
    put_bucket_request_payment(PutBucketRequestPaymentInput) -> PutBucketRequestPaymentOutput = unsupported::put_request_payment;
    get_bucket_accelerate_configuration(GetBucketAccelerateConfigurationInput) -> GetBucketAccelerateConfigurationOutput = unsupported::accelerate;
    put_bucket_accelerate_configuration(PutBucketAccelerateConfigurationInput) -> PutBucketAccelerateConfigurationOutput = unsupported::put_accelerate;
    get_bucket_logging(GetBucketLoggingInput) -> GetBucketLoggingOutput = unsupported::logging;
    put_bucket_logging(PutBucketLoggingInput) -> PutBucketLoggingOutput = unsupported::put_logging;
    get_bucket_website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput = unsupported::website;
    delete_bucket_website(DeleteBucketWebsiteInput) -> DeleteBucketWebsiteOutput = unsupported::delete_website;
    get_bucket_replication(GetBucketReplicationInput) -> GetBucketReplicationOutput = unsupported::replication;
    delete_bucket_replication(DeleteBucketReplicationInput) -> DeleteBucketReplicationOutput = unsupported::delete_replication;
    get_bucket_analytics_configuration(GetBucketAnalyticsConfigurationInput) -> GetBucketAnalyticsConfigurationOutput = unsupported::analytics;
    list_bucket_analytics_configurations(ListBucketAnalyticsConfigurationsInput) -> ListBucketAnalyticsConfigurationsOutput = unsupported::list_analytics;
    delete_bucket_analytics_configuration(DeleteBucketAnalyticsConfigurationInput) -> DeleteBucketAnalyticsConfigurationOutput = unsupported::delete_analytics;
    get_bucket_intelligent_tiering_configuration(GetBucketIntelligentTieringConfigurationInput) -> GetBucketIntelligentTieringConfigurationOutput = unsupported::tiering;
    list_bucket_intelligent_tiering_configurations(ListBucketIntelligentTieringConfigurationsInput) -> ListBucketIntelligentTieringConfigurationsOutput = unsupported::list_tiering;
    delete_bucket_intelligent_tiering_configuration(DeleteBucketIntelligentTieringConfigurationInput) -> DeleteBucketIntelligentTieringConfigurationOutput = unsupported::delete_tiering;
    get_bucket_inventory_configuration(GetBucketInventoryConfigurationInput) -> GetBucketInventoryConfigurationOutput = unsupported::inventory;
    list_bucket_inventory_configurations(ListBucketInventoryConfigurationsInput) -> ListBucketInventoryConfigurationsOutput = unsupported::list_inventories;
    delete_bucket_inventory_configuration(DeleteBucketInventoryConfigurationInput) -> DeleteBucketInventoryConfigurationOutput = unsupported::delete_inventory;
    get_bucket_metrics_configuration(GetBucketMetricsConfigurationInput) -> GetBucketMetricsConfigurationOutput = unsupported::metrics;
    list_bucket_metrics_configurations(ListBucketMetricsConfigurationsInput) -> ListBucketMetricsConfigurationsOutput = unsupported::list_metrics;
    delete_bucket_metrics_configuration(DeleteBucketMetricsConfigurationInput) -> DeleteBucketMetricsConfigurationOutput = unsupported::delete_metrics;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every operation that s3s 0.14 has.
    const OF_S3S: &str = "
        AbortMultipartUpload CompleteMultipartUpload CopyObject CreateBucket
        CreateBucketMetadataTableConfiguration CreateMultipartUpload CreateSession DeleteBucket
        DeleteBucketAnalyticsConfiguration DeleteBucketCors DeleteBucketEncryption
        DeleteBucketIntelligentTieringConfiguration DeleteBucketInventoryConfiguration
        DeleteBucketLifecycle DeleteBucketMetadataTableConfiguration
        DeleteBucketMetricsConfiguration DeleteBucketOwnershipControls DeleteBucketPolicy
        DeleteBucketReplication DeleteBucketTagging DeleteBucketWebsite DeleteObject
        DeleteObjectTagging DeleteObjects DeletePublicAccessBlock
        GetBucketAccelerateConfiguration GetBucketAcl GetBucketAnalyticsConfiguration
        GetBucketCors GetBucketEncryption GetBucketIntelligentTieringConfiguration
        GetBucketInventoryConfiguration GetBucketLifecycleConfiguration GetBucketLocation
        GetBucketLogging GetBucketMetadataTableConfiguration GetBucketMetricsConfiguration
        GetBucketNotificationConfiguration GetBucketOwnershipControls GetBucketPolicy
        GetBucketPolicyStatus GetBucketReplication GetBucketRequestPayment GetBucketTagging
        GetBucketVersioning GetBucketWebsite GetObject GetObjectAcl GetObjectAttributes
        GetObjectLegalHold GetObjectLockConfiguration GetObjectRetention GetObjectTagging
        GetObjectTorrent GetPublicAccessBlock HeadBucket HeadObject
        ListBucketAnalyticsConfigurations ListBucketIntelligentTieringConfigurations
        ListBucketInventoryConfigurations ListBucketMetricsConfigurations ListBuckets
        ListDirectoryBuckets ListMultipartUploads ListObjectVersions ListObjects ListObjectsV2
        ListParts PostObject PutBucketAccelerateConfiguration PutBucketAcl
        PutBucketAnalyticsConfiguration PutBucketCors PutBucketEncryption
        PutBucketIntelligentTieringConfiguration PutBucketInventoryConfiguration
        PutBucketLifecycleConfiguration PutBucketLogging PutBucketMetricsConfiguration
        PutBucketNotificationConfiguration PutBucketOwnershipControls PutBucketPolicy
        PutBucketReplication PutBucketRequestPayment PutBucketTagging PutBucketVersioning
        PutBucketWebsite PutObject PutObjectAcl PutObjectLegalHold PutObjectLockConfiguration
        PutObjectRetention PutObjectTagging PutPublicAccessBlock RestoreObject
        SelectObjectContent UploadPart UploadPartCopy WriteGetObjectResponse
    ";

    #[test]
    fn the_document_says_of_every_operation_what_becomes_of_it() {
        let document = include_str!("../../../docs/S3.md");
        let (_, rest) = document.split_once("## Operations\n").unwrap();
        let (table, _) = rest.split_once("\n## ").unwrap();
        let cells = |row: &'static str| -> Vec<&str> { row.split('|').map(str::trim).collect() };
        let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| ")).map(cells).collect();
        let rows = &rows[1..];
        let names: Vec<&str> = rows.iter().map(|row| row[1]).collect();
        assert!(names.is_sorted_by(|one, next| one < next), "each once, by name: {names:?}");
        let listed: BTreeSet<_> = names.into_iter().collect();
        let missing: Vec<_> =
            OF_S3S.split_whitespace().filter(|name| !listed.contains(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let here: BTreeSet<&str> = HERE
            .iter()
            .map(|it| it.strip_suffix("Input").unwrap())
            .chain(crate::s3::beyond::NAMES)
            .collect();
        for row in rows {
            let (name, state) = (row[1], row[2]);
            assert!(["yes", "as none", "no"].contains(&state), "{name}: {state}");
            assert_eq!(here.contains(name), state != "no", "{name} is {state} in the document");
            assert!(state == "yes" || !row[3].is_empty(), "{name} has no reason");
        }
        assert!(here.is_subset(&listed));
    }
}
