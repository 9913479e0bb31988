//! Owns XML on its way through: request bodies that are documents, held in memory within bounds and checked before
//! s3s parses them; and s3s's answers, whose control characters it leaves as they are.
//!
//! s3s would collect such a body itself, without a bound over all requests and without its promised digests; it drops
//! CDATA sections, which would delete another key than the one that was named.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, Method};
use s3s::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::intake::{Promises, broken};
use super::limits::{
    DOCUMENT_BYTES_MAX, DOCUMENT_ENTRIES_MAX, DOCUMENT_ENTRY_BYTES, DOCUMENT_TIME_MAX,
    DOCUMENTS_BYTES_MAX, DOCUMENTS_WAIT_MAX,
};
use super::names::parameter_names;
use super::refusal::{Outcome, Refusal};

/// Memory for request bodies that are documents, shared by all lanes. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Documents {
    memory: Arc<Semaphore>,
    time: Duration,
}

/// A body in memory.
pub(super) struct Document {
    /// The bytes.
    pub(super) body: Body,
    /// Held for as long as the body and what is parsed from it live.
    pub(super) share: Option<OwnedSemaphorePermit>,
}

impl Default for Documents {
    fn default() -> Self {
        Self { memory: Arc::new(Semaphore::new(DOCUMENTS_BYTES_MAX)), time: DOCUMENT_TIME_MAX }
    }
}

impl Documents {
    /// Takes a body in and checks it. Call after the caller is known: what it costs is not for everyone.
    ///
    /// # Errors
    /// MissingContentLength, DocumentTooLarge, Busy, DocumentTooSlow, IncompleteBody, BadDigest, MalformedXml, and what the body meets.
    pub(super) async fn take(&self, parts: &mut Parts, body: Body) -> Outcome<Document> {
        let promises = Promises::take(&mut parts.extensions);
        let length = length(&parts.headers, &body)?;
        if needs_vouching(parts) && !promises.vouches() {
            let why = "Missing required header for this request: Content-MD5 or x-amz-checksum-*";
            return Err(Refusal::InvalidRequest(why.to_owned()));
        }
        if length == 0 {
            promises.check_bytes(&[])?;
            return Ok(Document { body: Body::empty(), share: None });
        }
        let share = self.share(charge(length), DOCUMENTS_WAIT_MAX).await?;
        let collected = tokio::time::timeout(self.time, collect(body, length)).await;
        let bytes = collected.unwrap_or(Err(Refusal::DocumentTooSlow))?;
        promises.check_bytes(&bytes)?;
        check_text(&bytes)?;
        Ok(Document { body: Body::from(bytes), share: Some(share) })
    }

    async fn share(&self, bytes: usize, wait: Duration) -> Outcome<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).map_err(|_| Refusal::DocumentTooLarge)?;
        let share = Arc::clone(&self.memory).acquire_many_owned(bytes);
        match tokio::time::timeout(wait, share).await {
            Ok(Ok(share)) => Ok(share),
            Ok(Err(_)) | Err(_) => Err(Refusal::Busy("memory for documents")),
        }
    }
}

/// The memory that a document takes: its text twice (raw and parsed), and its entries, of which the shortest,
/// `<Part/>`, has 7 bytes.
fn charge(length: usize) -> usize {
    2 * length + (length / 7 + 1).min(DOCUMENT_ENTRIES_MAX) * DOCUMENT_ENTRY_BYTES
}

fn length(headers: &HeaderMap, body: &Body) -> Outcome<usize> {
    let announced = match headers.get(CONTENT_LENGTH) {
        Some(value) => value.to_str().ok().and_then(|text| text.parse::<u64>().ok()),
        None => http_body::Body::size_hint(body).exact(),
    };
    let announced = announced.ok_or(Refusal::MissingContentLength)?;
    usize::try_from(announced)
        .ok()
        .filter(|length| *length <= DOCUMENT_BYTES_MAX)
        .ok_or(Refusal::DocumentTooLarge)
}

async fn collect(body: Body, length: usize) -> Outcome<Bytes> {
    let mut body = pin!(body);
    let mut bytes = Vec::with_capacity(length);
    while let Some(piece) = poll_fn(|context| body.as_mut().poll_next(context)).await {
        let piece = piece.map_err(broken)?;
        if bytes.len() + piece.len() > length {
            return Err(Refusal::IncompleteBody);
        }
        bytes.extend_from_slice(&piece);
    }
    if bytes.len() == length { Ok(bytes.into()) } else { Err(Refusal::IncompleteBody) }
}

/// DeleteObjects, and what locks objects: "Content-MD5 or a checksum is required".
fn needs_vouching(parts: &Parts) -> bool {
    let names: &[&str] = match parts.method {
        Method::POST => &["delete"],
        Method::PUT => &["object-lock", "retention", "legal-hold"],
        _ => return false,
    };
    let query = parts.uri.query().unwrap_or_default();
    parameter_names(query).any(|name| names.contains(&name))
}

/// Refuses what s3s would misread, and more entries than any operation takes before they are given memory.
fn check_text(bytes: &[u8]) -> Outcome<()> {
    let mut entries = 0;
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'<') {
        let rest = &bytes[at + 1..];
        if rest.starts_with(b"![") || rest.starts_with(b"!D") || rest.starts_with(b"!d") {
            return Err(Refusal::MalformedXml("CDATA sections and document types are not taken"));
        }
        entries += usize::from(begins(rest, b"Part") || begins(rest, b"Object"));
    }
    if entries > DOCUMENT_ENTRIES_MAX {
        return Err(Refusal::MalformedXml("there are more entries than any operation takes"));
    }
    Ok(())
}

fn begins(rest: &[u8], name: &[u8]) -> bool {
    rest.strip_prefix(name)
        .and_then(<[u8]>::first)
        .is_some_and(|next| matches!(next, b'>' | b'/' | b' ' | b'\t' | b'\r' | b'\n'))
}

/// An answer's XML with its control characters as references, as Amazon S3 writes them: a carriage return in a key
/// would otherwise reach the client as a line feed, and the others are no XML at all. None where there are none.
pub(super) fn escaped(xml: &[u8]) -> Option<Bytes> {
    let is_control = |byte: &u8| *byte < 0x20 && *byte != b'\t' && *byte != b'\n';
    if !xml.iter().any(is_control) {
        return None;
    }
    let mut escaped = Vec::with_capacity(xml.len() + 64);
    for byte in xml {
        if is_control(byte) {
            escaped.extend_from_slice(format!("&#x{byte:x};").as_bytes());
        } else {
            escaped.push(*byte);
        }
    }
    Some(escaped.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::checksum::{Algorithm, Value};
    use crate::body::{BodyError, Promised, PromisedValue};
    use http::Request;

    fn run<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(work)
    }

    fn take(
        uri: &str,
        promised: Promised,
        announced: Option<usize>,
        body: &'static [u8],
    ) -> Outcome<Bytes> {
        let mut request = Request::post(uri);
        if let Some(length) = announced {
            request = request.header(CONTENT_LENGTH, length);
        }
        let (mut parts, ()) = request.extension(promised).body(()).unwrap().into_parts();
        let taken =
            run(Documents::default().take(&mut parts, Body::from(Bytes::from_static(body))));
        taken.map(|document| document.body.bytes().unwrap())
    }

    #[test]
    fn a_document_is_as_long_and_as_vouched_for_as_it_says() {
        let nothing = Promised::default;
        assert_eq!(take("/b/k?uploadId=1", nothing(), Some(3), b"<a>").unwrap(), "<a>");
        assert_eq!(take("/b/k?uploadId=1", nothing(), None, b"<a>").unwrap(), "<a>");
        assert_eq!(take("/b/k?uploads", nothing(), None, b"").unwrap(), "");
        for announced in [2, 4] {
            let refused = take("/b/k?uploadId=1", nothing(), Some(announced), b"<a>");
            assert!(matches!(refused, Err(Refusal::IncompleteBody)));
        }
        let large = take("/b/k?uploadId=1", nothing(), Some(DOCUMENT_BYTES_MAX + 1), b"");
        assert!(matches!(large, Err(Refusal::DocumentTooLarge)));
        assert!(matches!(
            take("/b?delete", nothing(), Some(3), b"<a>"),
            Err(Refusal::InvalidRequest(_))
        ));
        let crc = Value::from_base64(Algorithm::Crc32, b"y/Q5Jg==").unwrap();
        let promised = Promised {
            checksum: Some((Algorithm::Crc32, PromisedValue::Header(crc))),
            ..Promised::default()
        };
        assert!(take("/b?delete=", promised.clone(), Some(9), b"123456789").is_ok());
        let refused = take("/b?delete", promised, Some(9), b"123456788");
        assert!(matches!(refused, Err(Refusal::Body(BodyError::Checksum(_)))));
    }

    #[test]
    fn documents_share_one_bound() {
        let documents = Documents::default();
        let all = charge(DOCUMENT_BYTES_MAX);
        assert!(all <= DOCUMENTS_BYTES_MAX);
        let wait = Duration::from_millis(1);
        let held = run(documents.share(DOCUMENTS_BYTES_MAX, wait)).unwrap();
        assert!(matches!(run(documents.share(1, wait)), Err(Refusal::Busy(_))));
        drop(held);
        assert!(run(documents.share(DOCUMENTS_BYTES_MAX, wait)).is_ok());
    }

    #[test]
    fn a_document_that_trickles_in_gives_its_memory_back() {
        struct Never;
        impl http_body::Body for Never {
            type Data = Bytes;
            type Error = std::convert::Infallible;

            fn poll_frame(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
                std::task::Poll::Pending
            }
        }
        let documents = Documents { time: Duration::from_millis(20), ..Documents::default() };
        let request = Request::post("/b/k?uploadId=1").header(CONTENT_LENGTH, DOCUMENT_BYTES_MAX);
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let taken = run(documents.take(&mut parts, Body::http_body(Never)));
        assert!(matches!(taken.map(drop), Err(Refusal::DocumentTooSlow)));
        assert_eq!(documents.memory.available_permits(), DOCUMENTS_BYTES_MAX);
    }

    #[test]
    fn what_s3s_would_misread_is_refused() {
        for text in ["<Key>a<![CDATA[b]]></Key>", "<!DOCTYPE a>", "<!doctype a>"] {
            assert!(matches!(check_text(text.as_bytes()), Err(Refusal::MalformedXml(_))), "{text}");
        }
        assert!(
            check_text(b"<?xml version='1.0'?><!-- a --><Part><PartNumber>1</PartNumber></Part><")
                .is_ok()
        );
        let many = |count| "<Part/>".repeat(count);
        assert!(check_text(many(DOCUMENT_ENTRIES_MAX).as_bytes()).is_ok());
        assert!(check_text(many(DOCUMENT_ENTRIES_MAX + 1).as_bytes()).is_err());
    }

    #[test]
    fn control_characters_become_references() {
        assert_eq!(escaped(b"<Key>a\tb\nc</Key>"), None);
        assert_eq!(
            escaped("<Key>é\r\u{1}</Key>".as_bytes()).unwrap(),
            "<Key>é&#xd;&#x1;</Key>".as_bytes()
        );
    }
}
