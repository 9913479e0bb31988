//! Owns the check of every request: which actions its operation needs, on what, and whether the caller has them; also
//! the first look at what it asks for that is not here, and whose bucket it expects.
//!
//! s3s calls this before it reads a request's input, for every operation, provided that it has an authenticator: the
//! one it gets knows no secret, since signatures are the door's and have been taken off. Operations that s3s does not
//! know come by [`Operations::enter`] themselves.
//!
//! The root of the bucket's account, where no policy and no ACL says otherwise, costs a look into the bucket's settings
//! and a few compares. An object that another account has uploaded is found out when it has been read
//! ([`admits`]), since looking at it twice would cost everyone.
//!
//! Not here: the decision itself (`access_verdict`).

use std::cell::OnceCell;
use std::pin::Pin;
use std::rc::Rc;

use datapath::{Bucket, Found, Object, VersionId};
use http::{Extensions, HeaderMap, HeaderName, Uri};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::dto::{CopySource, ObjectIdentifier, PutObjectTaggingInput};
use s3s::path::S3Path;
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};
use send_wrapper::SendWrapper;

use super::access_facts::{Facts, Scene, parameter};
use super::access_verdict::{Holding, Question, is_of_object};
use super::acl::Acl;
use super::actions::{Actions, Kind, actions};
use super::features;
use super::names::parameter_names;
use super::operations::{KnownBucket, Operations};
use super::ownership::BucketOwner;
use super::refusal::{AccessRefusal, Outcome, Refusal};
use super::settings::Settings;
use super::tags::Tags;
use super::{uploads, versions};
use crate::iam::policy::{Request, Resource};
use crate::iam::{Caller, decide};

/// What a caller hears who may not.
pub(super) const DENIED: &str = "Access Denied";

fn denied() -> Refusal {
    Refusal::AccessDenied(DENIED)
}

/// A request as it comes in.
pub(super) struct Entry<'a> {
    pub(super) operation: &'a str,
    pub(super) bucket: Option<&'a str>,
    pub(super) key: Option<&'a str>,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
}

/// What an action is done to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) bucket: &'a str,
    /// None for the bucket as a whole.
    pub(super) key: Option<&'a str>,
    /// The version's id as clients write it; none for the latest.
    pub(super) version: Option<&'a str>,
}

/// A caller at a bucket, with all that deciding takes.
struct Case {
    operations: Operations,
    caller: Caller,
    bucket: Bucket,
    settings: Rc<Settings>,
    scene: Rc<Scene>,
}

/// The case of a request, in its extensions, for what is asked later. Absent where the caller may do everything with
/// the bucket.
#[derive(Clone)]
struct Judged(SendWrapper<Rc<Case>>);

/// What a single object is to a decision.
struct OfObject<'a> {
    key: &'a str,
    version: Option<&'a str>,
    /// Whether the request makes it.
    making: bool,
    /// Looked up once, when it is asked for.
    found: OnceCell<Option<Object>>,
}

impl<'a> OfObject<'a> {
    fn new(key: &'a str, version: Option<&'a str>) -> Self {
        Self { key, version, making: false, found: OnceCell::new() }
    }
}

impl Case {
    /// The object, where it is there: neither absent nor a delete marker.
    fn object<'a>(&self, of: &'a OfObject<'_>) -> Outcome<Option<&'a Object>> {
        if let Some(found) = of.found.get() {
            return Ok(found.as_ref());
        }
        let version = of.version.map(version_named).transpose()?;
        let found = self.operations.lane().lookup(self.bucket.id, of.key.as_bytes(), version)?;
        let found = match found {
            Found::There(object) => Some(object),
            Found::Marker(_) | Found::Absent => None,
        };
        Ok(of.found.get_or_init(|| found).as_ref())
    }

    fn is_allowed(
        &self,
        action: &str,
        of: Option<&OfObject<'_>>,
        given_tags: Option<&Tags>,
        holding: &Holding,
    ) -> bool {
        let existing_tags = || {
            let object = self.object(of?).ok()??;
            Some(object.tags.clone())
        };
        let facts = Facts {
            owner_number: Some(&self.settings.owner.number),
            version: of.and_then(|of| of.version),
            existing_tags: &existing_tags,
            given_tags,
            ..Facts::new(&self.scene, self.operations.settings().region())
        };
        Question {
            caller: &self.caller,
            action,
            bucket: &self.bucket.name,
            settings: &self.settings,
            key: of.map(|of| of.key),
            making: of.is_some_and(|of| of.making && action == "s3:PutObjectAcl"),
            context: &facts,
        }
        .is_allowed(holding)
    }

    /// Whether the caller may know which keys there are.
    fn may_list(&self) -> bool {
        self.is_allowed("s3:ListBucket", None, None, &Holding::BucketOwners)
    }

    /// What a caller hears of a key that is not there. Which keys there are is known to those who may list
    /// ("GetObject", "Permissions").
    fn absent(&self) -> Refusal {
        if self.may_list() { Refusal::NoSuchKey } else { denied() }
    }

    /// Whether the upload that the request names was begun by the caller's account, and no policy denies it the action.
    fn is_initiators(&self, action: &str, of: &OfObject<'_>) -> Outcome<bool> {
        let id = self.scene.parameter("uploadId").as_deref().and_then(uploads::parse_id);
        let Some(id) = id else { return Ok(false) };
        let key = of.key.as_bytes();
        let Some(upload) = self.operations.lane().upload(self.bucket.id, key, id)? else {
            return Ok(false);
        };
        let owner = uploads::owner_of(&upload, &self.settings)?;
        Ok(self.is_allowed(action, Some(of), None, &Holding::Listed(Acl::private(owner))))
    }

    /// Decides over one action. `late`: the object's own ACL is looked at when the operation has it ([`admits`]).
    fn judge(
        &self,
        action: &str,
        of: Option<&OfObject<'_>>,
        given_tags: Option<&Tags>,
        late: bool,
    ) -> Outcome<()> {
        let plain = self.is_allowed(action, of, given_tags, &Holding::BucketOwners);
        let of = match of {
            Some(of) if is_of_object(action, of.making) && !self.settings.acls_are_off() => of,
            _ => return if plain { Ok(()) } else { Err(denied()) },
        };
        if plain && late {
            return Ok(());
        }
        if is_of_upload(action) {
            let allowed = plain || self.is_initiators(action, of)?;
            return if allowed { Ok(()) } else { Err(denied()) };
        }
        let Some(object) = self.object(of)? else {
            return if plain { Ok(()) } else { Err(self.absent()) };
        };
        if object.acl.is_empty() {
            return if plain { Ok(()) } else { Err(denied()) };
        }
        let holding = Holding::Listed(Acl::decode(&object.acl)?);
        let allowed = self.is_allowed(action, Some(of), given_tags, &holding);
        if allowed { Ok(()) } else { Err(denied()) }
    }
}

/// Whether an action is on an upload, which whoever has begun it may always do.
fn is_of_upload(action: &str) -> bool {
    matches!(action, "s3:AbortMultipartUpload" | "s3:ListMultipartUploadParts")
}

/// The operations that make an object, and may say its ACL.
fn makes(operation: &str) -> bool {
    matches!(operation, "PutObject" | "CopyObject" | "CreateMultipartUpload" | "PostObject")
}

/// The operations whose answer to an absent key and to another account's object is decided when they have looked.
fn looks_itself(operation: &str) -> bool {
    matches!(operation, "GetObject" | "HeadObject")
}

/// The operations that ask again, of each key or of a source, or whose object may be another account's: for the
/// owner, too.
fn asks_more(operation: &str, actions: &Actions) -> bool {
    matches!(operation, "DeleteObjects" | "CopyObject" | "UploadPartCopy" | "RenameObject")
        || !looks_itself(operation)
            && !makes(operation)
            && actions.names().iter().any(|action| is_of_object(action, false))
}

impl Operations {
    /// Lets a request in, or not. What was looked up for that is left in the extensions.
    ///
    /// # Errors
    /// AccessDenied, NoSuchBucket, NotImplemented; NoSuchKey for those who may know it.
    pub(super) fn enter(&self, entry: &Entry<'_>, extensions: &mut Extensions) -> Outcome<()> {
        // The door names everyone it lets through.
        let caller = extensions.get::<Caller>().cloned().ok_or_else(denied)?;
        let is_signed = caller.principal().is_some();
        if is_signed {
            check_features(entry)?;
        }
        let versioned = entry.uri.query().is_some_and(names_version);
        let actions = actions(entry.operation, versioned, entry.headers);
        // What is none of S3's operations has been refused for those who have signed.
        let actions = actions.ok_or_else(denied)?;
        match (actions.kind(), entry.bucket) {
            (Kind::Bucket | Kind::Object, Some(bucket)) if entry.operation != "CreateBucket" => {
                self.enter_bucket(entry, &actions, caller, bucket, extensions)?;
            }
            (_, bucket) => self.enter_account(entry, &actions, &caller, bucket, extensions)?,
        }
        if !is_signed {
            check_features(entry)?;
            if entry.operation == "GetObject" && entry.uri.query().is_some_and(overrides_headers) {
                let why =
                    "Request specific response headers cannot be used for anonymous GET requests.";
                return Err(Refusal::InvalidRequest(why.to_owned()));
            }
        }
        Ok(())
    }

    /// ListBuckets and CreateBucket: no bucket is there that could say anything.
    fn enter_account(
        &self,
        entry: &Entry<'_>,
        actions: &Actions,
        caller: &Caller,
        bucket: Option<&str>,
        extensions: &Extensions,
    ) -> Outcome<()> {
        let scene = Scene::of(entry, extensions);
        let context = Facts::new(&scene, self.settings().region());
        let resource = Resource { bucket: bucket.unwrap_or_default(), key: None };
        for action in actions.names() {
            let request = Request { caller, action, resource, context: &context };
            if !decide(&request, None).allowed {
                return Err(denied());
            }
        }
        Ok(())
    }

    fn enter_bucket(
        &self,
        entry: &Entry<'_>,
        actions: &Actions,
        caller: Caller,
        name: &str,
        extensions: &mut Extensions,
    ) -> Outcome<()> {
        let bucket = self.bucket(name)?;
        let settings = self.bucket_settings(&bucket)?;
        check_expected(entry.headers, &EXPECTED_OWNER, &settings.owner)?;
        if settings.is_all_of(&caller) && !asks_more(entry.operation, actions) {
            extensions.insert(KnownBucket(bucket));
            return Ok(());
        }
        let scene = Scene::of(entry, extensions);
        let case = Case {
            operations: self.clone(),
            caller,
            bucket: bucket.clone(),
            settings,
            scene: Rc::new(scene),
        };
        let version = parameter(entry.uri, "versionId");
        let of = entry.key.map(|key| {
            let making = makes(entry.operation);
            OfObject { making, ..OfObject::new(key, version.as_deref()) }
        });
        let of = of.as_ref().filter(|_| actions.kind() == Kind::Object);
        // The tags that PutObjectTagging gives are in a document: it is asked for when that has been read.
        if entry.operation != "PutObjectTagging" {
            for action in actions.names() {
                case.judge(action, of, None, looks_itself(entry.operation))?;
            }
        }
        case.check_owners_alone(entry.operation)?;
        case.enter_source(entry)?;
        extensions.insert(Judged(SendWrapper::new(Rc::new(case))));
        extensions.insert(KnownBucket(bucket));
        Ok(())
    }

    /// Asks for one action of a request that has been let in: for each key of many, a source, a bypass.
    ///
    /// # Errors
    /// AccessDenied; NoSuchBucket; NoSuchKey of what the caller may not read, for those who may list.
    pub(super) fn authorize(
        &self,
        extensions: &Extensions,
        action: &str,
        target: Target<'_>,
    ) -> Outcome<()> {
        let of = target.key.map(|key| OfObject::new(key, target.version));
        match extensions.get::<Judged>() {
            Some(Judged(case)) if *case.bucket.name == *target.bucket => {
                case.judge(action, of.as_ref(), None, false)
            }
            known => {
                let scene = known.map_or_else(Rc::default, |Judged(case)| Rc::clone(&case.scene));
                let caller = extensions.get::<Caller>().cloned().ok_or_else(denied)?;
                let bucket = self.bucket(target.bucket)?;
                let settings = self.bucket_settings(&bucket)?;
                let case = Case { operations: self.clone(), caller, bucket, settings, scene };
                case.judge(action, of.as_ref(), None, false)
            }
        }
    }
}

impl Case {
    /// "If you have the correct permissions, but you're not using an identity that belongs to the bucket owner's
    /// account, Amazon S3 returns a 405 Method Not Allowed error."
    fn check_owners_alone(&self, operation: &str) -> Outcome<()> {
        let of_policies = ["GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"];
        let account = self.caller.account().map(|account| &*account.canonical_id);
        if of_policies.contains(&operation) && account != Some(&*self.settings.owner().id) {
            return Err(Refusal::Access(AccessRefusal::OwnersAlone));
        }
        Ok(())
    }

    /// The other side of a copy. What names no source that could be, the operation refuses.
    fn enter_source(&self, entry: &Entry<'_>) -> Outcome<()> {
        if !matches!(entry.operation, "CopyObject" | "UploadPartCopy") {
            return Ok(());
        }
        let source = entry.headers.get("x-amz-copy-source").and_then(|it| it.to_str().ok());
        let Some(Ok(CopySource::Bucket { bucket, key, version_id })) =
            source.map(CopySource::parse)
        else {
            return Ok(());
        };
        let version = version_id.as_deref();
        let bucket = self.operations.bucket(&bucket)?;
        let settings = self.operations.bucket_settings(&bucket)?;
        check_expected(entry.headers, &EXPECTED_SOURCE_OWNER, &settings.owner)?;
        let case = Case {
            operations: self.operations.clone(),
            caller: self.caller.clone(),
            bucket,
            settings,
            scene: Rc::clone(&self.scene),
        };
        let of = OfObject::new(&key, version);
        let action = if version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
        case.judge(action, Some(&of), None, false)?;
        // The operation tells that it is not there; only who may list hears that.
        if !case.settings.is_all_of(&case.caller) && case.object(&of)?.is_none() {
            return Err(case.absent());
        }
        Ok(())
    }
}

/// One of the keys of DeleteObjects: each is asked for by itself.
///
/// # Errors
/// AccessDenied.
pub(super) fn may_delete(
    operations: &Operations,
    extensions: &Extensions,
    bucket: &Bucket,
    object: &ObjectIdentifier,
) -> Outcome<()> {
    let version = object.version_id.as_deref();
    let target = Target { bucket: &bucket.name, key: Some(&object.key), version };
    let action = match version {
        None => "s3:DeleteObject",
        Some(_) => "s3:DeleteObjectVersion",
    };
    operations.authorize(extensions, action, target)?;
    let bypasses = extensions.get::<Judged>().is_some_and(|Judged(case)| case.scene.bypasses());
    match bypasses {
        true => operations.authorize(extensions, "s3:BypassGovernanceRetention", target),
        false => Ok(()),
    }
}

/// What a caller hears of a key that is not there, of an operation that has looked itself.
pub(super) fn absent(extensions: &Extensions) -> Refusal {
    match (extensions.get::<Judged>(), extensions.get::<Caller>()) {
        (Some(Judged(case)), _) => case.absent(),
        (None, Some(Caller::Principal(_))) => Refusal::NoSuchKey,
        (None, _) => denied(),
    }
}

/// The second look at an object that an operation has found by itself: whether its own ACL lets the caller read it.
/// Nothing where it is the bucket's owner's and private, since the first look was at that.
///
/// # Errors
/// AccessDenied.
pub(super) fn admits(
    operations: &Operations,
    extensions: &Extensions,
    bucket: &Bucket,
    object: &Object,
) -> Outcome<()> {
    if object.acl.is_empty() {
        return Ok(());
    }
    let settings = operations.bucket_settings(bucket)?;
    if settings.acls_are_off() {
        return Ok(());
    }
    let holding = Holding::Listed(Acl::decode(&object.acl)?);
    let allowed = match extensions.get::<Judged>() {
        Some(Judged(case)) => {
            let version = case.scene.parameter("versionId");
            let action = if version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
            let key = case.scene.key.as_deref().unwrap_or_default();
            let of = OfObject::new(key, version.as_deref());
            let of = OfObject { found: OnceCell::from(Some(object.clone())), ..of };
            case.is_allowed(action, Some(&of), None, &holding)
        }
        // No policy has anything to say: the caller is the root of the bucket's account.
        None => {
            let caller = extensions.get::<Caller>().cloned().ok_or_else(denied)?;
            let case = Case {
                operations: operations.clone(),
                caller,
                bucket: bucket.clone(),
                settings,
                scene: Rc::default(),
            };
            case.is_allowed("s3:GetObject", None, None, &holding)
        }
    };
    if allowed { Ok(()) } else { Err(denied()) }
}

/// The version of an id.
pub(super) fn version_named(id: &str) -> Outcome<VersionId> {
    versions::parse(id)
}

fn check_features(entry: &Entry<'_>) -> Outcome<()> {
    features::check_query(entry.operation, entry.uri.query())?;
    features::check_headers(entry.operation, entry.headers)
}

fn names_version(query: &str) -> bool {
    parameter_names(query).any(|name| name == "versionId")
}

fn overrides_headers(query: &str) -> bool {
    parameter_names(query).any(|name| name.starts_with("response-"))
}

const EXPECTED_OWNER: HeaderName = HeaderName::from_static("x-amz-expected-bucket-owner");
const EXPECTED_SOURCE_OWNER: HeaderName =
    HeaderName::from_static("x-amz-source-expected-bucket-owner");

/// `x-amz-expected-bucket-owner` and its like for the source of a copy: a client that expects another owner must not
/// be served.
fn check_expected(headers: &HeaderMap, name: &HeaderName, owner: &BucketOwner) -> Outcome<()> {
    if headers.get_all(name).iter().all(|expected| owner.is(expected.as_bytes())) {
        return Ok(());
    }
    Err(Refusal::AccessDenied("the bucket's owner is not the one that the request expects"))
}

type Ready<'a, T> = Pin<Box<dyn Future<Output = S3Result<T>> + Send + 'a>>;

/// Lets requests in.
pub(super) struct Access(Operations);

impl Access {
    /// To be used on this thread only.
    pub(super) fn new(operations: Operations) -> Self {
        Self(operations)
    }

    fn decide(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        // The context lends all of itself or nothing.
        let mut extensions = std::mem::take(context.extensions_mut());
        let (bucket, key) = match context.s3_path() {
            S3Path::Root => (None, None),
            S3Path::Bucket { bucket } => (Some(&**bucket), None),
            S3Path::Object { bucket, key } => (Some(&**bucket), Some(&**key)),
        };
        let (operation, uri, headers) = (context.s3_op().name(), context.uri(), context.headers());
        let entry = Entry { operation, bucket, key, uri, headers };
        let outcome = self.0.enter(&entry, &mut extensions);
        let outcome = outcome.map_err(|refusal| self.told(operation, refusal));
        *context.extensions_mut() = extensions;
        outcome
    }

    /// HeadBucket tells the region also to those it refuses.
    fn told(&self, operation: &str, refusal: Refusal) -> S3Error {
        let tells = operation == "HeadBucket" && matches!(refusal, Refusal::AccessDenied(_));
        let mut error = S3Error::from(refusal);
        if tells && let Ok(region) = self.0.settings().region().parse() {
            error.set_headers(HeaderMap::from_iter([(BUCKET_REGION, region)]));
        }
        error
    }
}

const BUCKET_REGION: HeaderName = HeaderName::from_static("x-amz-bucket-region");

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
        Box::pin(std::future::ready(self.decide(context)))
    }

    fn put_object_tagging<'life0, 'life1, 'async_trait>(
        &'life0 self,
        request: &'life1 mut S3Request<PutObjectTaggingInput>,
    ) -> Ready<'async_trait, ()>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(std::future::ready(tags(request).map_err(S3Error::from)))
    }
}

/// PutObjectTagging, whose tags a policy may ask for.
fn tags(request: &S3Request<PutObjectTaggingInput>) -> Outcome<()> {
    let Some(Judged(case)) = request.extensions.get::<Judged>() else { return Ok(()) };
    let input = &request.input;
    let given = Tags::of_set(input.tagging.tag_set.clone())?;
    let version = input.version_id.as_deref();
    let of = OfObject::new(&input.key, version);
    let action = match version {
        None => "s3:PutObjectTagging",
        Some(_) => "s3:PutObjectVersionTagging",
    };
    case.judge(action, Some(&of), Some(&given), false)
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
