//! Owns which permissions each operation needs: S3's operations are not its actions. The table is "Actions, resources,
//! and condition keys for Amazon S3" of the service authorization reference; some operations need more actions than
//! one, told by their headers, and others another one where a version is named.
//!
//! Not here: who has them (`access`); the actions of each key of DeleteObjects and of a copy's source, which are asked
//! for one by one.

use http::{HeaderMap, HeaderName};

/// What an action is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No bucket: the account's.
    Account,
    /// A bucket as a whole.
    Bucket,
    /// A key in a bucket.
    Object,
}

/// The most actions that one operation needs: PutObject with an ACL, tags, a retention and a legal hold are 5.
pub(super) const ACTIONS_MAX: usize = 6;

/// The actions of one operation, all of which the caller must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Actions {
    kind: Kind,
    names: [&'static str; ACTIONS_MAX],
    count: usize,
}

impl Actions {
    fn new(kind: Kind) -> Self {
        Self { kind, names: [""; ACTIONS_MAX], count: 0 }
    }

    fn of(kind: Kind, name: &'static str) -> Self {
        Self::new(kind).with(name)
    }

    fn with(mut self, name: &'static str) -> Self {
        // One that did not fit would go unasked: a panic, which ends this request, is better.
        self.names[self.count] = name;
        self.count += 1;
        self
    }

    /// What they are done to.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// `s3:GetObject` and so on; none for an operation that asks for each of its keys.
    pub(super) fn names(&self) -> &[&'static str] {
        &self.names[..self.count]
    }
}

/// What an operation needs. None for an operation that is none of S3's.
pub(super) fn actions(operation: &str, versioned: bool, headers: &HeaderMap) -> Option<Actions> {
    let one =
        |plain, of_version| Actions::of(Kind::Object, if versioned { of_version } else { plain });
    Some(match operation {
        "GetObject" | "HeadObject" => one("s3:GetObject", "s3:GetObjectVersion"),
        "PutObject" | "CopyObject" | "CreateMultipartUpload" | "PostObject" => written(headers),
        "UploadPart" | "UploadPartCopy" | "CompleteMultipartUpload" | "RenameObject" => {
            Actions::of(Kind::Object, "s3:PutObject")
        }
        "DeleteObject" => bypassing(one("s3:DeleteObject", "s3:DeleteObjectVersion"), headers),
        // Each of its keys is asked for when they are known.
        "DeleteObjects" => Actions::new(Kind::Bucket),
        "AbortMultipartUpload" => Actions::of(Kind::Object, "s3:AbortMultipartUpload"),
        "ListParts" => Actions::of(Kind::Object, "s3:ListMultipartUploadParts"),
        "GetObjectAcl" => one("s3:GetObjectAcl", "s3:GetObjectVersionAcl"),
        "PutObjectAcl" => one("s3:PutObjectAcl", "s3:PutObjectVersionAcl"),
        "GetObjectTagging" => one("s3:GetObjectTagging", "s3:GetObjectVersionTagging"),
        "PutObjectTagging" => one("s3:PutObjectTagging", "s3:PutObjectVersionTagging"),
        "DeleteObjectTagging" => one("s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"),
        "GetObjectAttributes" if versioned => {
            Actions::of(Kind::Object, "s3:GetObjectVersion").with("s3:GetObjectVersionAttributes")
        }
        "GetObjectAttributes" => {
            Actions::of(Kind::Object, "s3:GetObject").with("s3:GetObjectAttributes")
        }
        "GetObjectRetention" => Actions::of(Kind::Object, "s3:GetObjectRetention"),
        "PutObjectRetention" => {
            bypassing(Actions::of(Kind::Object, "s3:PutObjectRetention"), headers)
        }
        "GetObjectLegalHold" => Actions::of(Kind::Object, "s3:GetObjectLegalHold"),
        "PutObjectLegalHold" => Actions::of(Kind::Object, "s3:PutObjectLegalHold"),
        "GetObjectTorrent" => one("s3:GetObjectTorrent", "s3:GetObjectVersionTorrent"),
        "SelectObjectContent" => Actions::of(Kind::Object, "s3:GetObject"),
        "RestoreObject" => Actions::of(Kind::Object, "s3:RestoreObject"),
        "WriteGetObjectResponse" => Actions::of(Kind::Object, "s3:WriteGetObjectResponse"),
        "ListBuckets" => Actions::of(Kind::Account, "s3:ListAllMyBuckets"),
        "CreateBucket" => created(headers),
        "CreateSession" => Actions::of(Kind::Bucket, "s3express:CreateSession"),
        _ => Actions::of(Kind::Bucket, of_bucket(operation)?),
    })
}

/// The operations on a bucket as a whole, which need one action each.
fn of_bucket(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "HeadBucket" | "ListObjects" | "ListObjectsV2" => "s3:ListBucket",
        "ListObjectVersions" => "s3:ListBucketVersions",
        "ListMultipartUploads" => "s3:ListBucketMultipartUploads",
        "DeleteBucket" => "s3:DeleteBucket",
        "GetBucketLocation" => "s3:GetBucketLocation",
        "GetBucketVersioning" => "s3:GetBucketVersioning",
        "PutBucketVersioning" => "s3:PutBucketVersioning",
        "GetBucketAcl" => "s3:GetBucketAcl",
        "PutBucketAcl" => "s3:PutBucketAcl",
        "GetBucketPolicy" => "s3:GetBucketPolicy",
        "PutBucketPolicy" => "s3:PutBucketPolicy",
        "DeleteBucketPolicy" => "s3:DeleteBucketPolicy",
        "GetBucketPolicyStatus" => "s3:GetBucketPolicyStatus",
        "GetPublicAccessBlock" => "s3:GetBucketPublicAccessBlock",
        "PutPublicAccessBlock" | "DeletePublicAccessBlock" => "s3:PutBucketPublicAccessBlock",
        "GetBucketOwnershipControls" => "s3:GetBucketOwnershipControls",
        "PutBucketOwnershipControls" | "DeleteBucketOwnershipControls" => {
            "s3:PutBucketOwnershipControls"
        }
        "GetBucketCors" => "s3:GetBucketCORS",
        "PutBucketCors" | "DeleteBucketCors" => "s3:PutBucketCORS",
        "GetBucketLifecycleConfiguration" => "s3:GetLifecycleConfiguration",
        "PutBucketLifecycleConfiguration" | "DeleteBucketLifecycle" => {
            "s3:PutLifecycleConfiguration"
        }
        "GetBucketNotificationConfiguration" => "s3:GetBucketNotification",
        "PutBucketNotificationConfiguration" => "s3:PutBucketNotification",
        "GetBucketEncryption" => "s3:GetEncryptionConfiguration",
        "PutBucketEncryption" | "DeleteBucketEncryption" => "s3:PutEncryptionConfiguration",
        "GetBucketTagging" => "s3:GetBucketTagging",
        "PutBucketTagging" | "DeleteBucketTagging" => "s3:PutBucketTagging",
        "GetObjectLockConfiguration" => "s3:GetBucketObjectLockConfiguration",
        "PutObjectLockConfiguration" => "s3:PutBucketObjectLockConfiguration",
        "GetBucketLogging" => "s3:GetBucketLogging",
        "PutBucketLogging" => "s3:PutBucketLogging",
        "GetBucketWebsite" => "s3:GetBucketWebsite",
        "PutBucketWebsite" => "s3:PutBucketWebsite",
        "DeleteBucketWebsite" => "s3:DeleteBucketWebsite",
        "GetBucketReplication" => "s3:GetReplicationConfiguration",
        "PutBucketReplication" | "DeleteBucketReplication" => "s3:PutReplicationConfiguration",
        "GetBucketRequestPayment" => "s3:GetBucketRequestPayment",
        "PutBucketRequestPayment" => "s3:PutBucketRequestPayment",
        "GetBucketAccelerateConfiguration" => "s3:GetAccelerateConfiguration",
        "PutBucketAccelerateConfiguration" => "s3:PutAccelerateConfiguration",
        "GetBucketAnalyticsConfiguration" | "ListBucketAnalyticsConfigurations" => {
            "s3:GetAnalyticsConfiguration"
        }
        "PutBucketAnalyticsConfiguration" | "DeleteBucketAnalyticsConfiguration" => {
            "s3:PutAnalyticsConfiguration"
        }
        "GetBucketInventoryConfiguration" | "ListBucketInventoryConfigurations" => {
            "s3:GetInventoryConfiguration"
        }
        "PutBucketInventoryConfiguration" | "DeleteBucketInventoryConfiguration" => {
            "s3:PutInventoryConfiguration"
        }
        "GetBucketMetricsConfiguration" | "ListBucketMetricsConfigurations" => {
            "s3:GetMetricsConfiguration"
        }
        "PutBucketMetricsConfiguration" | "DeleteBucketMetricsConfiguration" => {
            "s3:PutMetricsConfiguration"
        }
        "GetBucketIntelligentTieringConfiguration"
        | "ListBucketIntelligentTieringConfigurations" => "s3:GetIntelligentTieringConfiguration",
        "PutBucketIntelligentTieringConfiguration"
        | "DeleteBucketIntelligentTieringConfiguration" => "s3:PutIntelligentTieringConfiguration",
        _ => return None,
    })
}

const ACL: HeaderName = HeaderName::from_static("x-amz-acl");
const GRANT: &str = "x-amz-grant-";

/// Whether the headers say an ACL.
pub(super) fn has_acl(headers: &HeaderMap) -> bool {
    headers.contains_key(ACL) || headers.keys().any(|name| name.as_str().starts_with(GRANT))
}

/// An object that is made, with all that can be said of it in the same request.
fn written(headers: &HeaderMap) -> Actions {
    let mut actions = Actions::of(Kind::Object, "s3:PutObject");
    let there = |name: &str| headers.get(name).is_some_and(|value| !value.is_empty());
    if has_acl(headers) {
        actions = actions.with("s3:PutObjectAcl");
    }
    if there("x-amz-tagging") {
        actions = actions.with("s3:PutObjectTagging");
    }
    if there("x-amz-object-lock-mode") || there("x-amz-object-lock-retain-until-date") {
        actions = actions.with("s3:PutObjectRetention");
    }
    if there("x-amz-object-lock-legal-hold") {
        actions = actions.with("s3:PutObjectLegalHold");
    }
    actions
}

fn created(headers: &HeaderMap) -> Actions {
    let mut actions = Actions::of(Kind::Bucket, "s3:CreateBucket");
    if has_acl(headers) {
        actions = actions.with("s3:PutBucketAcl");
    }
    if headers.contains_key("x-amz-object-ownership") {
        actions = actions.with("s3:PutBucketOwnershipControls");
    }
    if is_true(headers, "x-amz-bucket-object-lock-enabled") {
        actions =
            actions.with("s3:PutBucketObjectLockConfiguration").with("s3:PutBucketVersioning");
    }
    actions
}

fn bypassing(actions: Actions, headers: &HeaderMap) -> Actions {
    if is_true(headers, "x-amz-bypass-governance-retention") {
        actions.with("s3:BypassGovernanceRetention")
    } else {
        actions
    }
}

fn is_true(headers: &HeaderMap, name: &str) -> bool {
    headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn needed(
        operation: &str,
        versioned: bool,
        pairs: &[(&'static str, &'static str)],
    ) -> Vec<&'static str> {
        let headers = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        actions(operation, versioned, &headers).unwrap().names().to_vec()
    }

    #[test]
    fn headers_and_versions_ask_for_more() {
        assert_eq!(needed("GetObject", false, &[]), ["s3:GetObject"]);
        assert_eq!(needed("HeadObject", true, &[]), ["s3:GetObjectVersion"]);
        assert_eq!(needed("PutObject", false, &[]), ["s3:PutObject"]);
        let all = [
            ("x-amz-acl", "private"),
            ("x-amz-tagging", "a=b"),
            ("x-amz-object-lock-mode", "GOVERNANCE"),
            ("x-amz-object-lock-retain-until-date", "2030-01-01T00:00:00Z"),
            ("x-amz-object-lock-legal-hold", "ON"),
        ];
        assert_eq!(
            needed("CopyObject", false, &all),
            [
                "s3:PutObject",
                "s3:PutObjectAcl",
                "s3:PutObjectTagging",
                "s3:PutObjectRetention",
                "s3:PutObjectLegalHold"
            ]
        );
        assert_eq!(
            needed("PutObject", false, &[("x-amz-grant-read", "id=1")])[1],
            "s3:PutObjectAcl"
        );
        let bypass = [("x-amz-bypass-governance-retention", "True")];
        assert_eq!(
            needed("DeleteObject", true, &bypass),
            ["s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"]
        );
        assert_eq!(
            needed("CreateBucket", false, &[("x-amz-bucket-object-lock-enabled", "true")]).len(),
            3
        );
        assert!(needed("DeleteObjects", false, &[]).is_empty());
        assert_eq!(actions("PutBucketAbac", false, &HeaderMap::new()), None);
    }

    #[test]
    fn what_is_done_to_a_bucket_is_not_done_to_its_keys() {
        let kind = |operation| actions(operation, false, &HeaderMap::new()).unwrap().kind();
        assert_eq!(kind("ListObjectsV2"), Kind::Bucket);
        assert_eq!(kind("ListParts"), Kind::Object);
        assert_eq!(kind("ListBuckets"), Kind::Account);
    }
}
