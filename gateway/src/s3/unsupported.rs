//! Configurations that no bucket here can have: what their operations answer, so that clients which probe for them learn
//! that there is none, and clients which set one learn that it would not be kept.
//!
//! Gets answer as a bucket that has none; lists are empty; deletes have nothing to delete; puts that ask for what is the
//! case anyway succeed, all others are NotImplemented. docs/S3.md has the reasons.

use s3s::dto::{
    BucketAccelerateStatus, DeleteBucketAnalyticsConfigurationInput,
    DeleteBucketAnalyticsConfigurationOutput, DeleteBucketIntelligentTieringConfigurationInput,
    DeleteBucketIntelligentTieringConfigurationOutput, DeleteBucketInventoryConfigurationInput,
    DeleteBucketInventoryConfigurationOutput, DeleteBucketMetricsConfigurationInput,
    DeleteBucketMetricsConfigurationOutput, DeleteBucketReplicationInput,
    DeleteBucketReplicationOutput, DeleteBucketWebsiteInput, DeleteBucketWebsiteOutput,
    GetBucketAccelerateConfigurationInput, GetBucketAccelerateConfigurationOutput,
    GetBucketAnalyticsConfigurationInput, GetBucketAnalyticsConfigurationOutput,
    GetBucketIntelligentTieringConfigurationInput, GetBucketIntelligentTieringConfigurationOutput,
    GetBucketInventoryConfigurationInput, GetBucketInventoryConfigurationOutput,
    GetBucketLoggingInput, GetBucketLoggingOutput, GetBucketMetricsConfigurationInput,
    GetBucketMetricsConfigurationOutput, GetBucketReplicationInput, GetBucketReplicationOutput,
    GetBucketRequestPaymentInput, GetBucketRequestPaymentOutput, GetBucketWebsiteInput,
    GetBucketWebsiteOutput, ListBucketAnalyticsConfigurationsInput,
    ListBucketAnalyticsConfigurationsOutput, ListBucketIntelligentTieringConfigurationsInput,
    ListBucketIntelligentTieringConfigurationsOutput, ListBucketInventoryConfigurationsInput,
    ListBucketInventoryConfigurationsOutput, ListBucketMetricsConfigurationsInput,
    ListBucketMetricsConfigurationsOutput, Payer, PutBucketAccelerateConfigurationInput,
    PutBucketAccelerateConfigurationOutput, PutBucketLoggingInput, PutBucketLoggingOutput,
    PutBucketRequestPaymentInput, PutBucketRequestPaymentOutput,
};
use s3s::{S3Request, S3Response};

use super::operations::Operations;
use super::refusal::{Outcome, Refusal};

/// Operations whose answer is the same for every bucket that is there.
macro_rules! same_for_all {
    ($($(#[$doc:meta])* $function:ident($input:ident) -> $output:ident = $answer:expr;)*) => {
        $($(#[$doc])*
        pub(super) async fn $function(
            operations: &Operations,
            request: S3Request<$input>,
        ) -> Outcome<S3Response<$output>> {
            operations.bucket(&request.input.bucket)?;
            $answer.map(S3Response::new)
        })*
    };
}

same_for_all! {
    /// The bucket's owner pays.
    request_payment(GetBucketRequestPaymentInput) -> GetBucketRequestPaymentOutput =
        Ok(GetBucketRequestPaymentOutput { payer: Some(Payer::from_static(Payer::BUCKET_OWNER)) });
    /// Never set.
    accelerate(GetBucketAccelerateConfigurationInput) -> GetBucketAccelerateConfigurationOutput =
        Ok(GetBucketAccelerateConfigurationOutput::default());
    /// Off.
    logging(GetBucketLoggingInput) -> GetBucketLoggingOutput = Ok(GetBucketLoggingOutput::default());
    /// None.
    website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput = none(
        "NoSuchWebsiteConfiguration",
        "The specified bucket does not have a website configuration",
    );
    /// Nothing to delete.
    delete_website(DeleteBucketWebsiteInput) -> DeleteBucketWebsiteOutput =
        Ok(DeleteBucketWebsiteOutput::default());
    /// None.
    replication(GetBucketReplicationInput) -> GetBucketReplicationOutput = none(
        "ReplicationConfigurationNotFoundError",
        "The replication configuration was not found",
    );
    /// Nothing to delete.
    delete_replication(DeleteBucketReplicationInput) -> DeleteBucketReplicationOutput =
        Ok(DeleteBucketReplicationOutput::default());
    /// None.
    analytics(GetBucketAnalyticsConfigurationInput) -> GetBucketAnalyticsConfigurationOutput =
        no_configuration();
    /// None.
    list_analytics(ListBucketAnalyticsConfigurationsInput) -> ListBucketAnalyticsConfigurationsOutput =
        Ok(ListBucketAnalyticsConfigurationsOutput { is_truncated: Some(false), ..Default::default() });
    /// None.
    delete_analytics(DeleteBucketAnalyticsConfigurationInput) -> DeleteBucketAnalyticsConfigurationOutput =
        no_configuration();
    /// None.
    tiering(GetBucketIntelligentTieringConfigurationInput) -> GetBucketIntelligentTieringConfigurationOutput =
        no_configuration();
    /// None.
    list_tiering(ListBucketIntelligentTieringConfigurationsInput) -> ListBucketIntelligentTieringConfigurationsOutput =
        Ok(ListBucketIntelligentTieringConfigurationsOutput { is_truncated: Some(false), ..Default::default() });
    /// None.
    delete_tiering(DeleteBucketIntelligentTieringConfigurationInput) -> DeleteBucketIntelligentTieringConfigurationOutput =
        no_configuration();
    /// None.
    inventory(GetBucketInventoryConfigurationInput) -> GetBucketInventoryConfigurationOutput =
        no_configuration();
    /// None.
    list_inventories(ListBucketInventoryConfigurationsInput) -> ListBucketInventoryConfigurationsOutput =
        Ok(ListBucketInventoryConfigurationsOutput { is_truncated: Some(false), ..Default::default() });
    /// None.
    delete_inventory(DeleteBucketInventoryConfigurationInput) -> DeleteBucketInventoryConfigurationOutput =
        no_configuration();
    /// None.
    metrics(GetBucketMetricsConfigurationInput) -> GetBucketMetricsConfigurationOutput =
        no_configuration();
    /// None.
    list_metrics(ListBucketMetricsConfigurationsInput) -> ListBucketMetricsConfigurationsOutput =
        Ok(ListBucketMetricsConfigurationsOutput { is_truncated: Some(false), ..Default::default() });
    /// None.
    delete_metrics(DeleteBucketMetricsConfigurationInput) -> DeleteBucketMetricsConfigurationOutput =
        no_configuration();
}

/// The bucket's owner pays already; requesters cannot.
pub(super) async fn put_request_payment(
    operations: &Operations,
    request: S3Request<PutBucketRequestPaymentInput>,
) -> Outcome<S3Response<PutBucketRequestPaymentOutput>> {
    operations.bucket(&request.input.bucket)?;
    match request.input.request_payment_configuration.payer.as_str() {
        Payer::BUCKET_OWNER => Ok(S3Response::new(PutBucketRequestPaymentOutput::default())),
        Payer::REQUESTER => Err(Refusal::NotImplemented("that requesters pay".to_owned())),
        _ => Err(Refusal::MalformedXml("Payer is BucketOwner or Requester")),
    }
}

/// Nothing accelerates already.
pub(super) async fn put_accelerate(
    operations: &Operations,
    request: S3Request<PutBucketAccelerateConfigurationInput>,
) -> Outcome<S3Response<PutBucketAccelerateConfigurationOutput>> {
    operations.bucket(&request.input.bucket)?;
    let status = request.input.accelerate_configuration.status;
    match status.as_ref().map(BucketAccelerateStatus::as_str) {
        Some(BucketAccelerateStatus::SUSPENDED) => {
            Ok(S3Response::new(PutBucketAccelerateConfigurationOutput::default()))
        }
        Some(BucketAccelerateStatus::ENABLED) => {
            Err(Refusal::NotImplemented("transfer acceleration".to_owned()))
        }
        _ => Err(Refusal::MalformedXml("Status is Enabled or Suspended")),
    }
}

/// Logging is off already. The server writes one access log for all buckets, also in Amazon's form.
pub(super) async fn put_logging(
    operations: &Operations,
    request: S3Request<PutBucketLoggingInput>,
) -> Outcome<S3Response<PutBucketLoggingOutput>> {
    operations.bucket(&request.input.bucket)?;
    match request.input.bucket_logging_status.logging_enabled {
        None => Ok(S3Response::new(PutBucketLoggingOutput::default())),
        Some(_) => Err(Refusal::NotImplemented(
            "logging into a bucket (the server's access log has the same lines: access_log.file, access_log.format)"
                .to_owned(),
        )),
    }
}

fn no_configuration<T>() -> Outcome<T> {
    none("NoSuchConfiguration", "The specified configuration does not exist.")
}

fn none<T>(code: &'static str, message: &'static str) -> Outcome<T> {
    Err(Refusal::NoSuchSetting { code, message })
}
