//! Owns ACLs as they are set and shown: Put- and GetBucketAcl, Put- and GetObjectAcl, and what a new bucket's and a new
//! object's ACL is, of the headers of the request that makes it.
//!
//! Not here: the three forms of saying one (`acl_asked`).

use bytes::Bytes;
use datapath::{Annotation, Bucket, Object};
use http::{Extensions, HeaderMap};
use s3s::dto::{
    AccessControlPolicy, GetBucketAclInput, GetBucketAclOutput, GetObjectAclInput,
    GetObjectAclOutput, PutBucketAclInput, PutBucketAclOutput, PutObjectAclInput,
    PutObjectAclOutput,
};
use s3s::{S3Request, S3Response};

use super::acl::{Acl, Party};
use super::acl_asked::{Directory, For, of_document, of_headers};
use super::actions::has_acl;
use super::operations::Operations;
use super::ownership::Ownership;
use super::refusal::{AccessRefusal, Outcome, Refusal};
use super::settings::{Settings, kind};
use super::versions;
use crate::iam::{Account, Caller, Iam};
use crate::metrics::Stage;
use crate::notify::event::EventKind;
use crate::record::Laps;

impl Directory for Iam {
    fn by_id(&self, id: &str) -> Option<Party> {
        self.account_by_id(id).map(|account| party(&account))
    }

    fn by_email(&self, address: &str) -> Option<Party> {
        self.account_by_email(address).map(|account| party(&account))
    }
}

fn party(account: &Account) -> Party {
    Party::new(&account.canonical_id, &account.name)
}

/// Whom what a caller makes belongs to.
pub(super) fn party_of(caller: Option<&Caller>) -> Party {
    let account = caller.and_then(Caller::account);
    account.map_or_else(Party::anonymous, |account| party(account))
}

const PUBLIC_REFUSED: &str = "the bucket's public access block refuses ACLs that let strangers in";

/// PutBucketAcl.
pub(super) async fn put_bucket(
    operations: &Operations,
    mut request: S3Request<PutBucketAclInput>,
) -> Outcome<S3Response<PutBucketAclOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let settings = operations.bucket_settings(&bucket)?;
    let resource = For::Bucket(settings.owner());
    let acl = asked(operations, &request.headers, input.access_control_policy, resource)?;
    check(&acl, &settings)?;
    let kept = (acl != Acl::private(settings.owner().clone())).then(|| acl.encode());
    let set = operations.lane().set_setting(bucket.id, kind::ACL, kept).await;
    laps.ends(Stage::Commit, set)?;
    Ok(S3Response::new(PutBucketAclOutput::default()))
}

/// GetBucketAcl.
pub(super) async fn get_bucket(
    operations: &Operations,
    mut request: S3Request<GetBucketAclInput>,
) -> Outcome<S3Response<GetBucketAclOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let bucket = operations.bucket_for(&mut request.extensions, &request.input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let settings = operations.bucket_settings(&bucket)?;
    let acl = settings.acl.as_ref().filter(|_| !settings.acls_are_off()).cloned();
    let acl = acl.unwrap_or_else(|| Acl::private(settings.owner().clone()));
    Ok(S3Response::new(GetBucketAclOutput {
        grants: Some(acl.dto_grants()),
        owner: Some(acl.owner.dto()),
    }))
}

/// PutObjectAcl: the owner stays who it is.
pub(super) async fn put_object(
    operations: &Operations,
    mut request: S3Request<PutObjectAclInput>,
) -> Outcome<S3Response<PutObjectAclOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let version = input.version_id.as_deref();
    let object = find(operations, &request.extensions, &bucket, &input.key, version);
    let object = laps.ends(Stage::Index, object)?;
    let settings = operations.bucket_settings(&bucket)?;
    let owner = settings.owner_of(&object.acl)?;
    let resource = For::Object(&owner, settings.owner());
    let acl = asked(operations, &request.headers, input.access_control_policy, resource)?;
    check(&acl, &settings)?;
    let annotation = Annotation::Acl(kept(&acl, &settings));
    let version = versions::named(version)?;
    let key = Bytes::from(input.key);
    let annotated = operations.lane().annotate(bucket.id, key.clone(), version, annotation).await;
    let object = laps.ends(Stage::Commit, annotated)?;
    operations.made(&request.extensions, &bucket, EventKind::AclPut, &key, &object);
    let mut headers = HeaderMap::new();
    versions::tell(&bucket, object.version, &mut headers);
    Ok(S3Response::with_headers(PutObjectAclOutput::default(), headers))
}

/// GetObjectAcl.
pub(super) async fn get_object(
    operations: &Operations,
    mut request: S3Request<GetObjectAclInput>,
) -> Outcome<S3Response<GetObjectAclOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let version = input.version_id.as_deref();
    let object = find(operations, &request.extensions, &bucket, &input.key, version);
    let object = laps.ends(Stage::Index, object)?;
    let acl = operations.bucket_settings(&bucket)?.acl_of(&object.acl)?;
    let output = GetObjectAclOutput {
        grants: Some(acl.dto_grants()),
        owner: Some(acl.owner.dto()),
        request_charged: None,
    };
    let mut headers = HeaderMap::new();
    versions::tell(&bucket, object.version, &mut headers);
    Ok(S3Response::with_headers(output, headers))
}

fn find(
    operations: &Operations,
    extensions: &Extensions,
    bucket: &Bucket,
    key: &str,
    version: Option<&str>,
) -> Outcome<Object> {
    let version = versions::named(version)?;
    let found = operations.lane().lookup(bucket.id, key.as_bytes(), version)?;
    versions::there(found, version, extensions)
}

/// The ACL that a request says, in one of the three forms.
fn asked(
    operations: &Operations,
    headers: &HeaderMap,
    document: Option<AccessControlPolicy>,
    resource: For<'_>,
) -> Outcome<Acl> {
    let directory = operations.settings().directory();
    match (of_headers(headers, resource, directory)?, document) {
        (Some(_), Some(_)) => Err(Refusal::Access(AccessRefusal::AclTwice)),
        (Some(acl), None) => Ok(acl),
        (None, Some(document)) => of_document(document, resource, directory),
        (None, None) => Err(Refusal::Access(AccessRefusal::NoAcl)),
    }
}

/// Whether the bucket's settings let an ACL be set.
fn check(acl: &Acl, settings: &Settings) -> Outcome<()> {
    if settings.acls_are_off() {
        return Err(Refusal::Access(AccessRefusal::AclsAreOff));
    }
    if acl.is_public() && settings.public_access().block_acls {
        return Err(Refusal::AccessDenied(PUBLIC_REFUSED));
    }
    Ok(())
}

/// As an object keeps it: nothing where it is the bucket's owner's and private.
fn kept(acl: &Acl, settings: &Settings) -> Bytes {
    if *acl == Acl::private(settings.owner().clone()) { Bytes::new() } else { acl.encode() }
}

/// What a new object keeps as its owner and ACL. `bucket` is where it will lie.
///
/// # Errors
/// AccessControlListNotSupported, AccessDenied for what Public Access Block refuses, and those of [`of_headers`].
pub(super) fn of_new_object(
    operations: &Operations,
    extensions: &Extensions,
    headers: &HeaderMap,
    bucket: &Bucket,
) -> Outcome<Bytes> {
    let settings = operations.bucket_settings(bucket)?;
    let caller = extensions.get::<Caller>();
    let account = caller.and_then(Caller::account);
    let is_owners = account.is_some_and(|account| account.canonical_id == settings.owner().id);
    let says_acl = has_acl(headers);
    if !says_acl && (is_owners || settings.acls_are_off()) {
        return Ok(Bytes::new());
    }
    let canned = headers.get("x-amz-acl").map_or(&b""[..], |name| name.as_bytes());
    let gives_control = canned == b"bucket-owner-full-control";
    if settings.acls_are_off() {
        // "Requests to set or update ACLs fail", but for this one, which says what is so anyway.
        let is_same = gives_control
            && of_headers(
                headers,
                For::Bucket(settings.owner()),
                operations.settings().directory(),
            )
            .is_ok();
        return if is_same {
            Ok(Bytes::new())
        } else {
            Err(Refusal::Access(AccessRefusal::AclsAreOff))
        };
    }
    let given_away = settings.ownership == Some(Ownership::BucketOwnerPreferred) && gives_control;
    let owner = if is_owners || given_away { settings.owner().clone() } else { party_of(caller) };
    let resource = For::Object(&owner, settings.owner());
    let acl = of_headers(headers, resource, operations.settings().directory())?;
    let acl = acl.unwrap_or_else(|| Acl::private(owner.clone()));
    check(&acl, &settings)?;
    Ok(kept(&acl, &settings))
}

/// What a delete marker keeps as its owner, and an upload as who has begun it: nothing for the bucket's owner.
///
/// # Errors
/// Damaged.
pub(super) fn of_new_marker(
    operations: &Operations,
    extensions: &Extensions,
    bucket: &Bucket,
) -> Outcome<Bytes> {
    let settings = operations.bucket_settings(bucket)?;
    let owner = party_of(extensions.get::<Caller>());
    Ok(kept(&Acl::private(owner), &settings))
}
