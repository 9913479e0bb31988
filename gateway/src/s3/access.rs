//! Owns who may do what: a caller whose signature the door has verified may do everything; anyone may read objects of
//! a bucket that is set to `public_read`. Also the first look at every operation: what it asks for that is not here,
//! and whose bucket it expects.
//!
//! s3s calls this before it reads a request's input, for every operation, provided that it has an authenticator: the
//! one it gets knows no secret, since signatures are the door's and have been taken off.

use std::pin::Pin;
use std::sync::Arc;

use datapath::LaneStore;
use http::{Extensions, HeaderMap, HeaderName};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Result};
use send_wrapper::SendWrapper;

use super::bucket::OWNER_ID;
use super::features;
use super::names::parameter_names;
use super::operations::KnownBucket;
use super::refusal::{Outcome, Refusal};
use super::service::S3Settings;
use crate::auth::Identity;

/// Lets requests in.
pub(super) struct Access {
    lane: SendWrapper<LaneStore>,
    settings: Arc<S3Settings>,
}

impl Access {
    /// To be used on this thread only.
    pub(super) fn new(lane: LaneStore, settings: Arc<S3Settings>) -> Self {
        Self { lane: SendWrapper::new(lane), settings }
    }

    fn decide(&self, context: &mut S3AccessContext<'_>) -> Outcome<()> {
        let operation = context.s3_op().name().to_owned();
        match context.extensions_mut().get::<Identity>() {
            Some(Identity::Key(_)) => {}
            Some(Identity::Anonymous) => self.let_anyone_read(&operation, context)?,
            // The door names everyone it lets through.
            None => return Err(Refusal::AccessDenied(DENIED)),
        }
        features::check_query(&operation, context.uri().query())?;
        features::check_headers(&operation, context.headers())?;
        check_expected_owner(context.headers())
    }

    fn let_anyone_read(&self, operation: &str, context: &mut S3AccessContext<'_>) -> Outcome<()> {
        let Some((name, _key)) = context.s3_path().as_object().filter(|_| is_read(operation))
        else {
            return Err(Refusal::AccessDenied(DENIED));
        };
        let bucket = self.lane.bucket(name)?.ok_or(Refusal::NoSuchBucket)?;
        if !bucket.public_read && !self.settings.is_public_read(name) {
            return Err(Refusal::AccessDenied(DENIED));
        }
        if overrides_headers(context.uri().query()) {
            let why =
                "Request specific response headers cannot be used for anonymous GET requests.";
            return Err(Refusal::InvalidRequest(why.to_owned()));
        }
        context.extensions_mut().insert(KnownBucket(bucket));
        Ok(())
    }
}

/// What a caller hears of a key that is not there. Which keys there are is known to those who may list, which is not
/// everyone ("GetObject", "Permissions").
pub(super) fn absent(extensions: &Extensions) -> Refusal {
    match extensions.get::<Identity>() {
        Some(Identity::Key(_)) => Refusal::NoSuchKey,
        Some(Identity::Anonymous) | None => Refusal::AccessDenied(DENIED),
    }
}

/// What an unsigned request hears.
pub(super) const DENIED: &str = "Access Denied";

fn is_read(operation: &str) -> bool {
    matches!(operation, "GetObject" | "HeadObject")
}

fn overrides_headers(query: Option<&str>) -> bool {
    query.is_some_and(|query| parameter_names(query).any(|name| name.starts_with("response-")))
}

static EXPECTED_OWNERS: [HeaderName; 2] = [
    HeaderName::from_static("x-amz-expected-bucket-owner"),
    HeaderName::from_static("x-amz-source-expected-bucket-owner"),
];

/// `x-amz-expected-bucket-owner` and its like for the source of a copy: a client that expects another owner must not
/// be served.
fn check_expected_owner(headers: &HeaderMap) -> Outcome<()> {
    for name in &EXPECTED_OWNERS {
        if headers.get_all(name).iter().any(|owner| owner != OWNER_ID) {
            return Err(Refusal::AccessDenied(
                "the bucket's owner is not the one that the request expects: penstock",
            ));
        }
    }
    Ok(())
}

type Ready<'a, T> = Pin<Box<dyn Future<Output = S3Result<T>> + Send + 'a>>;

impl S3Access for Access {
    fn check<'life0, 'life1, 'life2, 'async_trait>(
        &'life0 self,
        context: &'life1 mut S3AccessContext<'life2>,
    ) -> Ready<'async_trait, ()>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(std::future::ready(self.decide(context).map_err(S3Error::from)))
    }
}

/// The authenticator without secrets: what still carries a signature here carries one of version 2.
pub(super) struct NoSecrets;

impl S3Auth for NoSecrets {
    fn get_secret_key<'life0, 'life1, 'async_trait>(
        &'life0 self,
        _access_key: &'life1 str,
    ) -> Ready<'async_trait, SecretKey>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        let why = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
        Box::pin(std::future::ready(Err(S3Error::with_message(S3ErrorCode::InvalidRequest, why))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn another_owner_is_not_served() {
        let mut headers = HeaderMap::new();
        assert!(check_expected_owner(&headers).is_ok());
        headers.insert("x-amz-expected-bucket-owner", HeaderValue::from_static("penstock"));
        assert!(check_expected_owner(&headers).is_ok());
        headers
            .insert("x-amz-source-expected-bucket-owner", HeaderValue::from_static("123456789012"));
        assert!(matches!(check_expected_owner(&headers), Err(Refusal::AccessDenied(_))));
    }

    #[test]
    fn only_reads_are_anyones() {
        assert!(is_read("GetObject") && is_read("HeadObject"));
        for operation in ["ListObjectsV2", "PutObject", "GetObjectAcl", "ListParts", "ListBuckets"]
        {
            assert!(!is_read(operation));
        }
        assert!(overrides_headers(Some("a=b&response-content-type=x")));
        assert!(!overrides_headers(Some("prefix=response-")) && !overrides_headers(None));
    }
}
