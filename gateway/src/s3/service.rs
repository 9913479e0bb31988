//! Owns the way of a request from the door through s3s and back: what is done to it before s3s reads it, and to the
//! answer after s3s has written it.
//!
//! Before: what s3s does not know (`beyond`) goes its own way, documents are taken in, headers that s3s would
//! misread are set aside. After: a HEAD has no body and its 206, a 304 has no body, XML has no raw control characters.
//! s3s logs every answer that is an error, at level ERROR and with the request's body; its target `s3s` should be off.

use std::collections::BTreeSet;
use std::sync::Arc;

use datapath::LaneStore;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError, HttpRequest, HttpResponse, S3Error};

use super::access::{Access, DENIED, NoSecrets};
use super::acl::Acl;
use super::aside::Aside;
use super::beyond::Beyond;
use super::cors::{CrossOrigin, OriginVerdict};
use super::documents::{Document, Documents, escaped};
use super::listings::{self, Listings};
use super::names::{BucketNames, Domains, check_target, names_object, parameter_names};
use super::object_attributes::BareTag;
use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use crate::auth::Identity;
use crate::config::BucketDefaults;
use crate::crypt::Crypt;
use crate::door::ErrorCode;
use crate::iam::Iam;
use crate::lifecycle::calendar::Calendar;
use crate::notify::Notifier;
use crate::rdma::delivery::Delivery;

/// What the operations of all lanes share.
#[derive(Debug)]
pub struct S3Settings {
    region: Box<str>,
    domains: Domains,
    public_read: BTreeSet<String>,
    defaults: BucketDefaults,
    directory: Arc<Iam>,
    documents: Documents,
    listings: Listings,
    crypt: Crypt,
    notifier: Arc<Notifier>,
    calendar: Calendar,
}

impl S3Settings {
    /// `region`: where buckets are that were created without a location constraint. `domains`: the endpoint's names
    /// whose subdomains are buckets (virtual-host style), without ports; other hosts mean path style. `public_read`:
    /// buckets whose objects anyone may read whatever their own setting is.
    pub fn new(
        region: &str,
        domains: impl IntoIterator<Item = impl AsRef<str>>,
        public_read: BTreeSet<String>,
    ) -> Self {
        Self {
            region: region.into(),
            domains: Domains::new(domains),
            public_read,
            defaults: BucketDefaults::default(),
            directory: Arc::default(),
            documents: Documents::default(),
            listings: Listings::default(),
            crypt: Crypt::without_keys(),
            notifier: Arc::default(),
            calendar: Calendar::DAYS,
        }
    }

    /// Gives it the keys of encryption; without, there is SSE-C alone.
    pub fn with_encryption(self, crypt: Crypt) -> Self {
        Self { crypt, ..self }
    }

    /// Encryption.
    pub(super) fn crypt(&self) -> &Crypt {
        &self.crypt
    }

    /// Gives listings that much memory, in bytes; without, they have [`super::limits::LISTINGS_BYTES_MIN`].
    pub fn with_listings(self, bytes: usize) -> Self {
        Self { listings: Listings::new(bytes), ..self }
    }

    /// Counts days of lifecycle rules by that calendar; without, they have 24 hours.
    pub fn with_lifecycle(self, calendar: Calendar) -> Self {
        Self { calendar, ..self }
    }

    /// When days have passed.
    pub(super) fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// Gives events to that notifier; without, nobody can be told of any.
    pub fn with_notifier(self, notifier: Arc<Notifier>) -> Self {
        Self { notifier, ..self }
    }

    /// Who is told of events.
    pub(super) fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// Gives new buckets those settings; without, they have [`BucketDefaults::Acl`].
    pub fn with_defaults(self, defaults: BucketDefaults) -> Self {
        Self { defaults, ..self }
    }

    /// Says who there is to grant something to; without, the account `penstock` alone.
    pub fn with_directory(self, directory: Arc<Iam>) -> Self {
        Self { directory, ..self }
    }

    /// What new buckets have.
    pub(super) fn defaults(&self) -> BucketDefaults {
        self.defaults
    }

    /// Who there is.
    pub(super) fn shared_directory(&self) -> Arc<Iam> {
        self.directory.clone()
    }

    /// Everyone that there is.
    pub(super) fn directory(&self) -> &Iam {
        &self.directory
    }

    /// The memory of listings.
    pub(super) fn listings(&self) -> &Listings {
        &self.listings
    }

    /// The endpoint's region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Whether the configuration lets anyone read this bucket's objects.
    pub(super) fn is_public_read(&self, bucket: &str) -> bool {
        self.public_read.contains(bucket)
    }
}

/// S3 on one lane. To be called on the thread that made it; clones share everything.
#[derive(Clone)]
pub struct Service {
    inner: S3Service,
    operations: Operations,
    settings: Arc<S3Settings>,
}

/// S3 over a lane's store.
pub fn service(lane: LaneStore, settings: Arc<S3Settings>) -> Service {
    let operations = Operations::new(lane, Arc::clone(&settings));
    let mut builder = S3ServiceBuilder::new(operations.clone());
    builder.set_auth(NoSecrets);
    builder.set_access(Access::new(operations.clone()));
    builder.set_host(settings.domains.clone());
    builder.set_validation(BucketNames);
    Service { inner: builder.build(), operations, settings }
}

impl Service {
    /// Answers a request that the door has verified: no signature and no framing is left on it, `Content-Length` is
    /// the content's, and its extensions hold [`Identity`], [`crate::body::Promised`] and
    /// [`crate::body::TrailerSlot`]; also a [`Delivery`], which is settled when this returns, where the bytes move by
    /// RDMA. A [`crate::body::BodyError`] that the body ends in comes back as its own code.
    ///
    /// # Errors
    /// Only where s3s cannot write an answer; the connection is then to be closed.
    pub async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let method = request.method().clone();
        let delivery = request.extensions().get::<Delivery>().cloned();
        let answer = self.answer(&method, request).await;
        if let Some(delivery) = delivery {
            // Where the operation has not come to it.
            Box::pin(delivery.close()).await;
        }
        answer
    }

    /// What the rules of a bucket say to the script of another origin; adds the headers that tell it.
    pub fn cross_origin(
        &self,
        bucket: &str,
        asked: &CrossOrigin,
        answer: &mut HeaderMap,
    ) -> OriginVerdict {
        // What cannot be looked up is as good as not there: the answer to the request itself says more.
        let Ok(bucket) = self.operations.bucket(bucket) else {
            return OriginVerdict::NoBucket;
        };
        match self.operations.bucket_settings(&bucket).as_ref().map(|settings| &settings.cors) {
            Ok(Some(cors)) if cors.write(asked, answer) => OriginVerdict::Allowed,
            Ok(Some(_)) => OriginVerdict::Refused,
            Ok(None) | Err(_) => OriginVerdict::NoRules,
        }
    }

    async fn answer(
        &self,
        method: &Method,
        request: HttpRequest,
    ) -> Result<HttpResponse, HttpError> {
        let (mut parts, body) = request.into_parts();
        if let Some(beyond) = self.beyond(&parts) {
            // Boxed: every other request would carry its state.
            let answer = Box::pin(self.answer_beyond(beyond, parts, body)).await;
            return Ok(finish(method, answer.or_else(refused)?));
        }
        let document = match self.prepare(&mut parts, body).await {
            Ok(document) => document,
            Err(refusal) => return Ok(finish(method, refused(refusal)?)),
        };
        Aside::set(&mut parts);
        let Document { body, share } = document;
        let answer = self.inner.call(HttpRequest::from_parts(parts, body)).await;
        drop(share);
        let mut answer = finish(method, answer?);
        listings::hold(&mut answer);
        Ok(answer)
    }

    /// Which operation that s3s does not know a request is, if it is one.
    fn beyond(&self, parts: &Parts) -> Option<Beyond> {
        if parts.method != Method::PUT && parts.method != Method::POST {
            return None;
        }
        let in_host = host(parts).is_some_and(|host| self.settings.domains.bucket(host).is_some());
        Beyond::of(parts, in_host)
    }

    async fn answer_beyond(
        &self,
        beyond: Beyond,
        parts: Parts,
        body: Body,
    ) -> Outcome<HttpResponse> {
        let in_host = host(&parts).and_then(|host| self.settings.domains.bucket(host));
        check_target(&parts.uri, in_host.is_some())?;
        let in_host = in_host.map(str::to_owned);
        beyond.answer(&self.operations, parts, body, in_host).await
    }

    /// Takes a document in, or passes an object's bytes on.
    async fn prepare(&self, parts: &mut Parts, body: Body) -> Outcome<Document> {
        let host = host(parts);
        let in_host = host.is_some_and(|host| self.settings.domains.bucket(host).is_some());
        check_target(&parts.uri, in_host)?;
        if !expects_document(parts, in_host) {
            return Ok(Document { body, share: None });
        }
        let is_fit = match parts.extensions.get::<Identity>() {
            Some(Identity::Key(_)) => true,
            Some(Identity::Anonymous) => self.takes_from_strangers(parts, host)?,
            None => false,
        };
        match is_fit {
            true => self.settings.documents.take(parts, body).await,
            false => Err(Refusal::AccessDenied(DENIED)),
        }
    }

    /// Whether it is worth taking a document in of somebody who has not signed: the bucket grants strangers something.
    /// What exactly, is decided with the request.
    fn takes_from_strangers(&self, parts: &Parts, host: Option<&str>) -> Outcome<bool> {
        let in_host = host.and_then(|host| self.settings.domains.bucket(host));
        let path = parts.uri.path().strip_prefix('/').unwrap_or_default();
        let name = in_host.unwrap_or_else(|| path.split('/').next().unwrap_or_default());
        let Some(bucket) = self.operations.lane().bucket(name)? else { return Ok(false) };
        let settings = self.operations.bucket_settings(&bucket)?;
        Ok(settings.policy.is_some() || settings.acl.as_ref().is_some_and(Acl::is_public))
    }
}

/// Whether the body is XML: of every POST, and of every PUT but those of objects and parts.
fn expects_document(parts: &Parts, in_host: bool) -> bool {
    parts.method == Method::POST
        || parts.method == Method::PUT
            && (!names_object(parts.uri.path(), in_host) || is_settings(parts.uri.query()))
}

/// The subresources of an object that s3s reads as a document.
fn is_settings(query: Option<&str>) -> bool {
    query.is_some_and(|query| {
        let mut names = parameter_names(query);
        names.any(|name| matches!(name, "acl" | "legal-hold" | "retention" | "tagging"))
    })
}

/// The host that a request is for: HTTP/2 has it in the target.
fn host(parts: &Parts) -> Option<&str> {
    let header = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    header.or_else(|| parts.uri.authority().map(|authority| authority.as_str()))
}

fn refused(refusal: Refusal) -> Result<HttpResponse, HttpError> {
    S3Error::from(refusal).to_http_response().map_err(|error| HttpError::new(Box::new(error)))
}

fn finish(method: &Method, mut response: HttpResponse) -> HttpResponse {
    let status = response.status();
    if status.as_u16() >= 400
        && let Some(code) = response.body().bytes().and_then(|document| ErrorCode::of(&document))
    {
        response.extensions_mut().insert(code);
    }
    if *method == Method::HEAD
        && status == StatusCode::OK
        && response.headers().contains_key(CONTENT_RANGE)
    {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    if status == StatusCode::NOT_MODIFIED {
        for name in [CONTENT_TYPE, CONTENT_LENGTH, TRANSFER_ENCODING] {
            response.headers_mut().remove(name);
        }
        *response.body_mut() = Body::empty();
    } else if *method == Method::HEAD {
        *response.body_mut() = Body::empty();
    } else if response.extensions_mut().remove::<BareTag>().is_some()
        && let Some(xml) = response.body().bytes().and_then(|xml| BareTag::apply(&xml))
    {
        *response.body_mut() = Body::from(xml);
    } else if response.headers().get(CONTENT_TYPE).is_some_and(|value| value == "application/xml")
        && let Some(xml) = response.body().bytes().and_then(|xml| escaped(&xml))
    {
        *response.body_mut() = Body::from(xml);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Response;

    #[test]
    fn settings_of_an_object_are_documents() {
        assert!(is_settings(Some("acl")) && is_settings(Some("x=1&tagging=")));
        assert!(!is_settings(Some("partNumber=1&uploadId=acl")) && !is_settings(None));
    }

    #[test]
    fn answers_are_finished() {
        let answer = |status: u16, name: &str, value: &str| {
            Response::builder()
                .status(status)
                .header(name, value)
                .body(Body::from(b"<a>\r</a>".to_vec()))
                .unwrap()
        };
        let ranged = finish(&Method::HEAD, answer(200, "content-range", "bytes 0-1/2"));
        assert_eq!(ranged.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(ranged.body().bytes().unwrap(), "");
        let same = finish(&Method::GET, answer(304, "content-type", "application/xml"));
        assert!(same.headers().is_empty() && same.body().bytes().unwrap().is_empty());
        let listed = finish(&Method::GET, answer(200, "content-type", "application/xml"));
        assert_eq!(listed.body().bytes().unwrap(), "<a>&#xd;</a>");
        let missing = finish(&Method::HEAD, answer(404, "content-type", "application/xml"));
        assert_eq!((missing.status().as_u16(), missing.body().bytes().unwrap().len()), (404, 0));
        let document = Response::builder().status(404);
        let document =
            document.body(Body::from("<Error><Code>NoSuchKey</Code></Error>".to_owned()));
        let missing = finish(&Method::HEAD, document.unwrap());
        let code = missing.extensions().get::<ErrorCode>();
        assert_eq!(code, Some(&ErrorCode("NoSuchKey".into())), "though HEAD has no document");
    }
}
