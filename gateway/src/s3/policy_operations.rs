//! Owns the bucket policy as it is set and shown: Put-, Get- and DeleteBucketPolicy, GetBucketPolicyStatus, and the
//! statement that lets anybody read a bucket's objects, which `penstock bucket public-read` writes into it.
//!
//! Not here: the language (`crate::iam::policy`), deciding (`access_verdict`).

use bytes::Bytes;
use datapath::{LaneStore, StoreError};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use s3s::dto::{
    DeleteBucketPolicyInput, DeleteBucketPolicyOutput, GetBucketPolicyInput, GetBucketPolicyOutput,
    GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput, PolicyStatus, PutBucketPolicyInput,
    PutBucketPolicyOutput,
};
use s3s::{S3Request, S3Response};
use serde_json::{Value, json};

use super::limits::POLICY_BYTES_MAX;
use super::operations::Operations;
use super::refusal::{AccessRefusal, Outcome, Refusal};
use super::settings::kind;
use crate::iam::policy::{Kind, Policy};
use crate::metrics::Stage;
use crate::record::Laps;

/// PutBucketPolicy. The text is kept as it was sent.
pub(super) async fn put(
    operations: &Operations,
    mut request: S3Request<PutBucketPolicyInput>,
) -> Outcome<S3Response<PutBucketPolicyOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let text = input.policy;
    if text.len() > POLICY_BYTES_MAX {
        return Err(malformed(format!(
            "The policy exceeds the maximum allowed document size: {} bytes of at most {POLICY_BYTES_MAX}",
            text.len()
        )));
    }
    let policy = Policy::parse(text.as_bytes(), Kind::Bucket);
    let policy = policy.map_err(|error| malformed(error.to_string()))?;
    let fits = policy.check_bucket(&bucket.name);
    let fits = fits.and_then(|()| operations.settings().directory().check_principals(&policy));
    fits.map_err(|error| malformed(error.to_string()))?;
    if operations.bucket_settings(&bucket)?.public_access().block_policy && policy.is_public() {
        return Err(Refusal::AccessDenied(
            "the bucket's public access block refuses policies that let the world in",
        ));
    }
    let set = operations.lane().set_setting(bucket.id, kind::POLICY, Some(Bytes::from(text)));
    laps.ends(Stage::Commit, set.await)?;
    Ok(S3Response::new(PutBucketPolicyOutput::default()))
}

fn malformed(why: String) -> Refusal {
    Refusal::Access(AccessRefusal::MalformedPolicy(why))
}

/// GetBucketPolicy.
pub(super) async fn get(
    operations: &Operations,
    mut request: S3Request<GetBucketPolicyInput>,
) -> Outcome<S3Response<GetBucketPolicyOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let bucket = operations.bucket_for(&mut request.extensions, &request.input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let settings = operations.bucket_settings(&bucket)?;
    let text = settings.raw(kind::POLICY).ok_or(Refusal::Access(AccessRefusal::NoPolicy))?;
    let policy = Some(String::from_utf8_lossy(text).into_owned());
    let json = HeaderValue::from_static("application/json");
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, json)]);
    Ok(S3Response::with_headers(GetBucketPolicyOutput { policy }, headers))
}

/// DeleteBucketPolicy: also of a bucket that has none.
pub(super) async fn delete(
    operations: &Operations,
    mut request: S3Request<DeleteBucketPolicyInput>,
) -> Outcome<S3Response<DeleteBucketPolicyOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let bucket = operations.bucket_for(&mut request.extensions, &request.input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let lane = operations.lane();
    let set = async {
        lane.set_setting(bucket.id, kind::POLICY, None).await?;
        // The flag of stores from before there were policies.
        if bucket.public_read { lane.set_public_read(&bucket.name, false).await } else { Ok(()) }
    };
    laps.ends(Stage::Commit, set.await)?;
    Ok(S3Response::new(DeleteBucketPolicyOutput::default()))
}

/// GetBucketPolicyStatus: whether strangers are let in, by the policy or by the bucket's ACL. A bucket without a
/// policy is not public, unless its ACL makes it so.
pub(super) async fn status(
    operations: &Operations,
    mut request: S3Request<GetBucketPolicyStatusInput>,
) -> Outcome<S3Response<GetBucketPolicyStatusOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let bucket = operations.bucket_for(&mut request.extensions, &request.input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let settings = operations.bucket_settings(&bucket)?;
    let by_policy = settings.policy.as_ref().is_some_and(|policy| policy.is_public);
    let acl = settings.acl.as_ref().filter(|_| !settings.acls_are_off());
    let by_acl = acl.is_some_and(super::acl::Acl::is_public);
    let status = PolicyStatus { is_public: Some(by_policy || by_acl) };
    Ok(S3Response::new(GetBucketPolicyStatusOutput { policy_status: Some(status) }))
}

/// The name of the statement that lets anybody read.
const PUBLIC_READ: &str = "PenstockPublicRead";

/// A policy with the statement that lets anybody read a bucket's objects. None where the text is no policy.
pub(super) fn with_public_read(policy: Option<&Bytes>, bucket: &str) -> Option<Bytes> {
    let mut document = without(policy)?;
    document.1.push(json!({
        "Sid": PUBLIC_READ,
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": format!("arn:aws:s3:::{bucket}/*"),
    }));
    Some(written(document))
}

/// A policy without that statement; the inner none where nothing is left.
fn without_public_read(policy: &Bytes) -> Option<Option<Bytes>> {
    let document = without(Some(policy))?;
    Some((!document.1.is_empty()).then(|| written(document)))
}

/// A policy's document and its statements, without the one.
fn without(policy: Option<&Bytes>) -> Option<(Value, Vec<Value>)> {
    let mut document = match policy {
        None => json!({"Version": "2012-10-17"}),
        Some(text) => serde_json::from_slice(text).ok()?,
    };
    let statements = match document.as_object_mut()?.remove("Statement") {
        None => Vec::new(),
        Some(Value::Array(statements)) => statements,
        Some(one) => vec![one],
    };
    let is_other = |statement: &Value| statement.get("Sid") != Some(&json!(PUBLIC_READ));
    Some((document, statements.into_iter().filter(is_other).collect()))
}

fn written((mut document, statements): (Value, Vec<Value>)) -> Bytes {
    document["Statement"] = Value::Array(statements);
    Bytes::from(document.to_string())
}

/// Writes the statement that lets anybody read a bucket's objects into its policy, or takes it out.
///
/// # Errors
/// NoSuchBucket; Index for a policy that cannot be read; those of a change.
pub async fn set_public_read(lane: &LaneStore, name: &str, on: bool) -> Result<(), StoreError> {
    let bucket = lane.bucket(name)?.ok_or(StoreError::NoSuchBucket)?;
    let policy = lane.setting(bucket.id, kind::POLICY)?;
    let unreadable = || StoreError::Index("the bucket's policy cannot be read".into());
    let changed = match (&policy, on) {
        (policy, true) => Some(with_public_read(policy.as_ref(), name).ok_or_else(unreadable)?),
        (Some(policy), false) => without_public_read(policy).ok_or_else(unreadable)?,
        (None, false) => None,
    };
    if changed != policy {
        lane.set_setting(bucket.id, kind::POLICY, changed).await?;
    }
    // The flag of stores from before there were policies.
    if bucket.public_read && !on { lane.set_public_read(name, false).await } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(bytes: &Bytes) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn the_statement_comes_and_goes_and_leaves_others_alone() {
        let alone = with_public_read(None, "b").unwrap();
        assert_eq!(json(&alone)["Statement"][0]["Resource"], "arn:aws:s3:::b/*");
        assert_eq!(without_public_read(&alone), Some(None));
        let own = Bytes::from_static(br#"{"Id":"x","Statement":{"Sid":"own","Effect":"Deny"}}"#);
        let both = with_public_read(Some(&own), "b").unwrap();
        assert_eq!(json(&both)["Statement"].as_array().unwrap().len(), 2);
        assert_eq!(with_public_read(Some(&both), "b").unwrap(), both, "not twice");
        let left = without_public_read(&both).unwrap().unwrap();
        assert_eq!(json(&left)["Statement"][0]["Sid"], "own");
        assert_eq!(json(&left)["Id"], "x");
        assert_eq!(with_public_read(Some(&Bytes::from_static(b"no")), "b"), None);
    }
}
