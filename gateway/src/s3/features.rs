//! Owns the list of what a request can ask for that is not here: headers and subresources of Amazon S3 that would
//! change what an operation does. They are refused by name, since a client that sets encryption, a lock or an ACL
//! relies on it; and s3s sends some subresources that it does not know (`?renameObject`, `DELETE ?acl`) to the
//! operation without them, which would overwrite an object or delete a bucket.

use http::{HeaderMap, HeaderName};

use super::names::parameter_names;
use super::refusal::{Outcome, Refusal};
use crate::crypt::Refused;

/// Query parameters of Amazon S3 that choose another operation or another object than the path alone.
const SUBRESOURCES: [&str; 48] = [
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "annotation",
    "append",
    "attributes",
    "cors",
    "delete",
    "encryption",
    "events",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "list-type",
    "location",
    "logging",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "partNumber",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "select-type",
    "session",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
    "writeOffsetBytes",
    "x-amz-object-lock-mode",
];

/// The subresources that an operation here takes; none where the operation is not here.
fn allowed(operation: &str) -> Option<&'static [&'static str]> {
    Some(match operation {
        "ListBuckets" | "CreateBucket" | "HeadBucket" | "DeleteBucket" | "ListObjects" => &[],
        "GetBucketLocation" => &["location"],
        "CreateSession" => &["session"],
        "ListObjectsV2" => &["list-type"],
        "GetObject" | "HeadObject" => &["partNumber", "versionId"],
        "GetObjectAttributes" => &["attributes", "versionId"],
        "GetBucketAcl" | "PutBucketAcl" => &["acl"],
        "GetObjectAcl" | "PutObjectAcl" => &["acl", "versionId"],
        "GetBucketPolicy" | "PutBucketPolicy" | "DeleteBucketPolicy" => &["policy"],
        "GetBucketPolicyStatus" => &["policyStatus"],
        "GetPublicAccessBlock" | "PutPublicAccessBlock" | "DeletePublicAccessBlock" => {
            &["publicAccessBlock"]
        }
        "GetBucketOwnershipControls"
        | "PutBucketOwnershipControls"
        | "DeleteBucketOwnershipControls" => &["ownershipControls"],
        "GetObjectTagging" | "PutObjectTagging" | "DeleteObjectTagging" => {
            &["tagging", "versionId"]
        }
        "PutObject" | "CopyObject" => &[],
        "RenameObject" => &["renameObject"],
        "PostObject" => &[],
        "DeleteObject" => &["versionId"],
        "DeleteObjects" => &["delete"],
        "GetBucketVersioning" | "PutBucketVersioning" => &["versioning"],
        "ListObjectVersions" => &["versions"],
        "GetObjectLockConfiguration" | "PutObjectLockConfiguration" => &["object-lock"],
        "GetObjectRetention" | "PutObjectRetention" => &["retention", "versionId"],
        "GetObjectLegalHold" | "PutObjectLegalHold" => &["legal-hold", "versionId"],
        "CreateMultipartUpload" | "ListMultipartUploads" => &["uploads"],
        "UploadPart" | "UploadPartCopy" => &["partNumber", "uploadId"],
        "CompleteMultipartUpload" | "AbortMultipartUpload" | "ListParts" => &["uploadId"],
        "PutBucketCors" | "GetBucketCors" | "DeleteBucketCors" => &["cors"],
        "PutBucketLifecycleConfiguration"
        | "GetBucketLifecycleConfiguration"
        | "DeleteBucketLifecycle" => &["lifecycle"],
        "PutBucketNotificationConfiguration" | "GetBucketNotificationConfiguration" => {
            &["notification"]
        }
        "PutBucketEncryption" | "GetBucketEncryption" | "DeleteBucketEncryption" => &["encryption"],
        "PutBucketTagging" | "GetBucketTagging" | "DeleteBucketTagging" => &["tagging"],
        other => return unsupported(other),
    })
}

/// The same for configurations that no bucket here has; see `unsupported.rs`.
fn unsupported(operation: &str) -> Option<&'static [&'static str]> {
    Some(match operation {
        "GetBucketRequestPayment" | "PutBucketRequestPayment" => &["requestPayment"],
        "GetBucketAccelerateConfiguration" | "PutBucketAccelerateConfiguration" => &["accelerate"],
        "GetBucketLogging" | "PutBucketLogging" => &["logging"],
        "GetBucketWebsite" | "DeleteBucketWebsite" => &["website"],
        "GetBucketReplication" | "DeleteBucketReplication" => &["replication"],
        "GetBucketAnalyticsConfiguration"
        | "ListBucketAnalyticsConfigurations"
        | "DeleteBucketAnalyticsConfiguration" => &["analytics"],
        "GetBucketIntelligentTieringConfiguration"
        | "ListBucketIntelligentTieringConfigurations"
        | "DeleteBucketIntelligentTieringConfiguration" => &["intelligent-tiering"],
        "GetBucketInventoryConfiguration"
        | "ListBucketInventoryConfigurations"
        | "DeleteBucketInventoryConfiguration" => &["inventory"],
        "GetBucketMetricsConfiguration"
        | "ListBucketMetricsConfigurations"
        | "DeleteBucketMetricsConfiguration" => &["metrics"],
        _ => return None,
    })
}

/// Refuses subresources that the operation does not have, and operations that are not here: s3s would read their
/// input first and find fault with that.
///
/// # Errors
/// NotImplemented; InvalidRequest for half of `partNumber` and `uploadId`.
pub(super) fn check_query(operation: &str, query: Option<&str>) -> Outcome<()> {
    let Some(allowed) = allowed(operation) else {
        return Err(Refusal::NotImplemented(format!("the operation {operation}")));
    };
    for name in query.into_iter().flat_map(parameter_names) {
        if SUBRESOURCES.contains(&name) && !allowed.contains(&name) {
            return Err(match (operation, name) {
                ("PutObject" | "CopyObject", "partNumber" | "uploadId") => Refusal::InvalidRequest(
                    "uploading a part needs both partNumber and uploadId".to_owned(),
                ),
                _ => Refusal::NotImplemented(format!("the subresource {name} of this request")),
            });
        }
    }
    Ok(())
}

/// The header that asks for something that is not here: a condition on the upload that made the object.
const INITIATED: HeaderName = HeaderName::from_static("x-amz-if-match-initiated-time");

const ENCRYPTION: &str = "x-amz-server-side-encryption";

/// Whether the operation reads an object, whose encryption cannot be chosen any more; a client's own key it takes.
fn reads(operation: &str, name: &HeaderName) -> bool {
    matches!(operation, "GetObject" | "HeadObject" | "GetObjectAttributes")
        && !name.as_str().starts_with("x-amz-server-side-encryption-customer-")
}

/// Refuses headers that ask for what is not here.
///
/// # Errors
/// NotImplemented with the header's name; InvalidArgument for a request that reads and says how to encrypt.
pub(super) fn check_headers(operation: &str, headers: &HeaderMap) -> Outcome<()> {
    for (name, value) in headers {
        if !name.as_str().starts_with("x-amz-") {
            continue;
        }
        if name.as_str().starts_with(ENCRYPTION) && reads(operation, name) {
            return Err(Refused::OnRead.into());
        }
        if value.is_empty() {
            continue;
        }
        if *name == INITIATED {
            return Err(Refusal::NotImplemented(format!("the header {name}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_subresource_never_falls_through_to_another_operation() {
        for (operation, query) in [
            ("PutObject", "renameObject"),
            ("PutObject", "encryption="),
            ("DeleteBucket", "acl"),
            ("DeleteBucket", "metadataConfiguration"),
            ("ListObjects", "abac"),
            ("ListObjects", "list-type=3"),
            ("DeleteObject", "annotation=x"),
            ("CreateBucket", "x=1&uploads"),
        ] {
            let refused = check_query(operation, Some(query));
            assert!(matches!(refused, Err(Refusal::NotImplemented(_))), "{operation}?{query}");
        }
        let half = check_query("PutObject", Some("partNumber=1"));
        assert!(matches!(half, Err(Refusal::InvalidRequest(_))));
        for (operation, query) in [
            ("PutObject", "x-id=PutObject"),
            ("GetObject", "versionId=null&partNumber=1&response-content-type=x"),
            ("ListObjectsV2", "list-type=2&prefix=acl"),
            ("UploadPart", "partNumber=1&uploadId=2"),
        ] {
            assert!(check_query(operation, Some(query)).is_ok(), "{operation}?{query}");
        }
        assert!(check_query("PutObject", None).is_ok());
        for query in [Some("torrent"), None] {
            let refused = check_query("GetObjectTorrent", query);
            assert!(matches!(refused, Err(Refusal::NotImplemented(_))));
        }
    }

    #[test]
    fn headers_that_promise_something_are_refused() {
        let name = HeaderName::from_static("x-amz-if-match-initiated-time");
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static("now"))]);
        let refused = check_headers("PutObject", &headers);
        assert!(matches!(refused, Err(Refusal::NotImplemented(_))));
        for (name, value) in [
            ("x-amz-acl", "public-read"),
            ("x-amz-grant-read", "id=1"),
            ("x-amz-object-ownership", "ObjectWriter"),
            ("x-amz-storage-class", "STANDARD"),
            ("x-amz-tagging", ""),
            ("x-amz-meta-x-amz-tagging", "a"),
            ("x-amz-date", "now"),
        ] {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )]);
            assert!(check_headers("PutObject", &headers).is_ok(), "{name}: {value}");
        }
    }
}
