//! Owns: the S3 requests that this server makes of itself, so that RDMA's control requests are authorised, validated
//! and carried out by the very code that HTTP's are.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_MATCH, RANGE};
use http::request::{Builder, Parts};
use http::{HeaderMap, Method, Request, Response, Uri};
use rdma::server::{Operation, Order};
use rdma::wire::{Target, TargetQuery};

use crate::auth::Identity;
use crate::body::{Promised, TrailerSlot};
use crate::door::Refused;
use crate::iam::Caller;
use crate::s3::Service;

/// S3's answer to a request without a body.
///
/// # Errors
/// When s3s could not write one.
pub(super) async fn call(service: &Service, head: Parts) -> Result<Response<s3s::Body>, Refused> {
    let request = Request::from_parts(head, s3s::Body::empty());
    service.call(request).await.map_err(|error| {
        let error = s3s::StdError::from(error);
        tracing::error!(%error, "s3s could not write a response");
        Refused::internal()
    })
}

/// An answer whose body is not streamed, so that it can travel between lanes: an error's document, or nothing.
pub(super) fn whole(answer: Response<s3s::Body>) -> Response<Bytes> {
    answer.map(|body| body.bytes().unwrap_or_default())
}

/// A question about a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// HeadObject of it, the whole or the part or version that it names.
    Object,
    /// GetObject of the same, for its error's document: HEAD has none.
    ObjectAloud,
    /// GetBucketLocation of its bucket.
    Bucket,
    /// ListParts of its upload.
    Upload,
}

/// The head of a question.
pub(super) fn ask(question: Question, target: &Target, caller: &Caller) -> Parts {
    let object = Target { query: TargetQuery::None, ..target.clone() }.to_string();
    let (method, uri) = match (question, &target.query) {
        (Question::Object, _) => (Method::HEAD, target.to_string()),
        (Question::ObjectAloud, _) => (Method::GET, target.to_string()),
        (Question::Upload, TargetQuery::Upload { .. }) => {
            let upload = target.to_string();
            let (_, query) = upload.split_once('?').unwrap_or_default();
            let id =
                query.split('&').find(|pair| pair.starts_with("uploadId=")).unwrap_or_default();
            (Method::GET, format!("{object}?max-parts=1&{id}"))
        }
        (Question::Bucket | Question::Upload, _) => {
            let bucket = object[1..].split_once('/').map_or("", |(bucket, _)| bucket);
            (Method::GET, format!("/{bucket}?location"))
        }
    };
    head(Request::builder().method(method).uri(uri), caller)
}

/// The head of the request that a session's order stands for.
///
/// # Errors
/// When the stored target is no target, which PREPARE has ruled out.
pub(super) fn carry_out(order: &Order, caller: &Caller) -> Result<Parts, Refused> {
    let uri: Uri = order.target.parse().map_err(|_| Refused::internal())?;
    let mut request = Request::builder().uri(uri);
    request = match order.operation {
        Operation::Get => {
            let last = order.offset + (order.size - 1);
            let request =
                request.method(Method::GET).header(RANGE, format!("bytes={}-{last}", order.offset));
            match &order.entity_tag {
                Some(tag) => request.header(IF_MATCH, &**tag),
                None => request,
            }
        }
        Operation::Put => request.method(Method::PUT).header(CONTENT_LENGTH, 0),
    };
    Ok(head(request, caller))
}

fn head(request: Builder, caller: &Caller) -> Parts {
    let request = request
        .extension(Identity::from(caller))
        .extension(caller.clone())
        .extension(Promised::default())
        .extension(TrailerSlot::default());
    match request.body(()) {
        Ok(request) => request.into_parts().0,
        // A target's encoding has no character that a URI has not; an empty request is refused as one.
        Err(_) => Request::new(()).into_parts().0,
    }
}

/// What HeadObject has said of an object, or of the part of it that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// Bytes of the object or part.
    pub(super) size: u64,
    /// Where the part begins in the object; 0 of a whole one.
    pub(super) offset: u64,
    /// With its quotes.
    pub(super) entity_tag: String,
}

impl Known {
    /// Reads the headers of a successful answer.
    pub(super) fn read(headers: &HeaderMap) -> Option<Known> {
        let text =
            |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let offset = match text(CONTENT_RANGE) {
            // bytes 5-9/10
            Some(range) => range
                .strip_prefix("bytes ")?
                .split_once('-')
                .and_then(|(first, _)| first.parse().ok())?,
            None => 0,
        };
        Some(Known {
            size: text(CONTENT_LENGTH)?.parse().ok()?,
            offset,
            entity_tag: text(ETAG)?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> Caller {
        Caller::from(&Identity::Key("trainer".into()))
    }

    fn asked(question: Question, target: &str) -> String {
        let head = ask(question, &Target::parse(target).unwrap(), &caller());
        assert_eq!(head.extensions.get(), Some(&Identity::Key("trainer".into())));
        assert!(head.extensions.get::<Caller>().is_some());
        format!("{} {}", head.method, head.uri)
    }

    #[test]
    fn questions_are_requests_of_s3() {
        assert_eq!(asked(Question::Object, "/b/a%20k"), "HEAD /b/a%20k");
        assert_eq!(asked(Question::Object, "/b/k?partNumber=2"), "HEAD /b/k?partNumber=2");
        assert_eq!(asked(Question::ObjectAloud, "/b/k?versionId=x"), "GET /b/k?versionId=x");
        assert_eq!(asked(Question::Bucket, "/b/k/l"), "GET /b?location");
        let upload = "/b/k?partNumber=7&uploadId=a%2Fb";
        assert_eq!(asked(Question::Upload, upload), "GET /b/k?max-parts=1&uploadId=a%2Fb");
    }

    #[test]
    fn an_order_is_the_request_that_http_would_have() {
        let mut order = Order {
            operation: Operation::Get,
            target: "/b/k%3F".into(),
            size: 10,
            offset: 5,
            entity_tag: Some("\"tag\"".into()),
        };
        let get = carry_out(&order, &caller()).unwrap();
        assert_eq!((get.method.as_str(), get.uri.path()), ("GET", "/b/k%3F"));
        assert_eq!(
            (&get.headers["range"], &get.headers["if-match"]),
            (
                &http::HeaderValue::from_static("bytes=5-14"),
                &http::HeaderValue::from_static("\"tag\"")
            )
        );
        order.operation = Operation::Put;
        order.target = "/b/k?partNumber=1&uploadId=u".into();
        let put = carry_out(&order, &caller()).unwrap();
        assert_eq!(
            (put.method.as_str(), put.uri.query()),
            ("PUT", Some("partNumber=1&uploadId=u"))
        );
        assert!(!put.headers.contains_key("range"));
    }

    #[test]
    fn an_object_is_known_by_its_headers() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(name, value)| {
                    (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
                })
                .collect()
        };
        let whole = headers(&[("content-length", "10"), ("etag", "\"a\"")]);
        let known = Known { size: 10, offset: 0, entity_tag: "\"a\"".into() };
        assert_eq!(Known::read(&whole), Some(known));
        let part = [("content-length", "5"), ("etag", "\"a\""), ("content-range", "bytes 5-9/10")];
        assert_eq!(Known::read(&headers(&part)).map(|known| known.offset), Some(5));
        assert_eq!(Known::read(&headers(&[("etag", "\"a\"")])), None);
    }
}
