//! Copy receipts: what a response says of itself, which path moved its bytes and where time went.
//!
//! Owns: which responses have one, its text, and `Server-Timing`. docs/RECEIPTS.md is about these.
//! A head says nothing of bytes that are still to be read: of those it names only what is there, and
//! says `state=begun`. What is only known at the end goes into a trailer, for clients that take
//! those.

use std::fmt::Write;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TE, TRAILER};
use http::request::Parts;
use http::{Response, Version};

use super::outgoing::Content;
use crate::config::Receipts;
use crate::metrics::{Copying, Delivery, Source, Stage};
use crate::record::Account;

const RECEIPT: HeaderName = HeaderName::from_static("x-penstock-receipt");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const TRAILERS: HeaderValue = HeaderValue::from_static("server-timing, x-penstock-receipt");

/// How a response gives its receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// In its head alone.
    Head,
    /// In its head, and again in a trailer where the head could not know all.
    Trailer,
}

impl Telling {
    /// How the response to this request does; `None` for not at all.
    pub fn of(rule: Receipts, parts: &Parts) -> Option<Telling> {
        if rule == Receipts::Off {
            return None;
        }
        let asked = parts.headers.get(&RECEIPT).is_some_and(|value| value == "1");
        if !asked && rule != Receipts::Always {
            return None;
        }
        let trailer = match parts.version {
            Version::HTTP_2 => takes_trailers(&parts.headers),
            // There it costs the response its Content-Length: only for who asks for it.
            Version::HTTP_11 => asked && takes_trailers(&parts.headers),
            _ => false,
        };
        Some(if trailer { Telling::Trailer } else { Telling::Head })
    }
}

/// `TE: trailers` (RFC 9110, 10.1.4).
fn takes_trailers(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(TE).iter().filter_map(|line| line.to_str().ok());
    let mut codings = lines.flat_map(|line| line.split(','));
    codings.any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// Writes into the response's head what is known now. Says whether a trailer has to follow.
pub fn write_head(
    telling: Telling,
    account: &Account,
    response: &mut Response<Content>,
    head_only: bool,
) -> bool {
    let bytes = match (head_only, account.delivery()) {
        (false, Delivery::Socket | Delivery::Tls | Delivery::Ktls) => {
            response.body().size_hint().exact()
        }
        (true, _) | (false, Delivery::Rdma) => Some(0),
    };
    // An object's first bytes are there before its head is, so that nothing given means a document.
    let given = account.given();
    let whole = bytes.filter(|bytes| given == 0 || given >= *bytes);
    let receipt = match whole {
        Some(bytes) => text(account, "complete", Some(bytes), bytes),
        None => text(account, "begun", bytes, given),
    };
    let headers = response.headers_mut();
    headers.insert(RECEIPT, receipt);
    headers.insert(SERVER_TIMING, timing(account, account.answered().unwrap_or_default()));
    let follows = whole.is_none() && telling == Telling::Trailer;
    if follows {
        headers.insert(TRAILER, TRAILERS);
        if account.asked.version == Version::HTTP_11 {
            // Trailers come after chunks, and those without a length (RFC 9112, 6.1).
            headers.remove(CONTENT_LENGTH);
        }
    }
    follows
}

/// The trailer of a response whose bytes have all left.
pub fn trailer(account: &Account) -> HeaderMap {
    let mut trailer = HeaderMap::with_capacity(2);
    trailer.insert(RECEIPT, text(account, "complete", Some(account.sent()), 0));
    trailer.insert(SERVER_TIMING, timing(account, account.began.elapsed()));
    trailer
}

/// The receipt of `bytes` in all, `next` of which leave now.
fn text(account: &Account, state: &str, bytes: Option<u64>, next: u64) -> HeaderValue {
    let by_rdma = account.delivery() == Delivery::Rdma;
    let parts = account.next_sources(next);
    let sources = Source::ALL
        .iter()
        .map(|source| (source.label(), account.source(*source) + parts[*source as usize]));
    let copied = Copying::ALL.iter().map(|path| {
        let encrypts = account.delivery() == Delivery::Tls;
        let sends = match path {
            Copying::SocketSend => state == "complete",
            Copying::Tls => state == "complete" && encrypts,
            _ => false,
        };
        (path.label(), account.copied(*path) + if sends { next } else { 0 })
    });
    let mut text = String::with_capacity(192);
    // Writing to a String cannot fail.
    let _ = write!(text, "id={}; state={state}", account.asked.id.as_str());
    let _ = write!(text, "; delivery={}", account.delivery().label());
    let bytes = if by_rdma { Some(account.moved()) } else { bytes };
    if let Some(bytes) = bytes {
        let _ = write!(text, "; bytes={bytes}");
    }
    if account.received() > 0 {
        let _ = write!(text, "; received={}", account.received());
    }
    list(&mut text, "source", sources);
    list(&mut text, "copied", copied);
    value(text)
}

/// `; name=label:bytes,label:bytes`, without what is nothing; nothing at all when all is.
fn list(text: &mut String, name: &str, pairs: impl Iterator<Item = (&'static str, u64)>) {
    let mut between = format!("; {name}=");
    for (label, bytes) in pairs.filter(|(_, bytes)| *bytes > 0) {
        let _ = write!(text, "{between}{label}:{bytes}");
        between.replace_range(.., ",");
    }
}

/// `Server-Timing` (W3C): the stages so far and all of the time, in milliseconds.
fn timing(account: &Account, total: Duration) -> HeaderValue {
    let stages =
        Stage::ALL.iter().filter_map(|stage| Some((stage.label(), account.stage(*stage)?)));
    let mut text = String::with_capacity(192);
    for (name, took) in stages.chain([("total", total)]) {
        let between = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{between}{name};dur={:.3}", took.as_secs_f64() * 1e3);
    }
    value(text)
}

fn value(text: String) -> HeaderValue {
    // Labels, digits and punctuation are a header's characters.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{Request, StatusCode};

    use crate::record::sample;

    fn account() -> Account {
        sample::account(0, "/b/k")
    }

    fn parts(version: Version, headers: &[(&'static str, &'static str)]) -> Parts {
        let mut request = Request::builder().version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn who_asks_gets_one_where_it_is_allowed() {
        const ASKED: (&str, &str) = ("x-penstock-receipt", "1");
        const TRAILERS: (&str, &str) = ("te", "deflate;q=0.5, Trailers");
        let told = |rule, version, headers: &[_]| Telling::of(rule, &parts(version, headers));
        for (rule, headers, http1, http2) in [
            (Receipts::Off, &[ASKED][..], None, None),
            (Receipts::OnRequest, &[], None, None),
            (Receipts::OnRequest, &[("x-penstock-receipt", "0")], None, None),
            (Receipts::OnRequest, &[ASKED], Some(Telling::Head), Some(Telling::Head)),
            (
                Receipts::OnRequest,
                &[ASKED, TRAILERS],
                Some(Telling::Trailer),
                Some(Telling::Trailer),
            ),
            (Receipts::Always, &[], Some(Telling::Head), Some(Telling::Head)),
            (Receipts::Always, &[TRAILERS], Some(Telling::Head), Some(Telling::Trailer)),
        ] {
            assert_eq!(told(rule, Version::HTTP_11, headers), http1, "{rule:?} {headers:?}");
            assert_eq!(told(rule, Version::HTTP_2, headers), http2, "{rule:?} {headers:?}");
        }
        assert_eq!(
            told(Receipts::Always, Version::HTTP_10, &[ASKED, TRAILERS]),
            Some(Telling::Head)
        );
    }

    #[test]
    fn a_head_says_all_of_a_body_that_is_there() {
        let account = account();
        account.spent(Stage::Auth, Duration::from_micros(21));
        account.gave(Source::Cache, 100);
        account.answer(StatusCode::OK);
        let content = Content::Whole(Some(Bytes::from(vec![0; 100])));
        let mut response = Response::new(content);
        assert!(!write_head(Telling::Trailer, &account, &mut response, false));
        let receipt = response.headers()[RECEIPT].to_str().unwrap();
        let (_, rest) = receipt.split_once("; ").unwrap();
        assert_eq!(
            rest,
            "state=complete; delivery=socket; bytes=100; source=cache:100; copied=socket_send:100"
        );
        let timing = response.headers()[SERVER_TIMING].to_str().unwrap();
        assert!(timing.starts_with("auth;dur=0.021, total;dur="), "{timing}");
    }

    #[test]
    fn a_head_promises_nothing_of_what_is_still_to_be_read() {
        let account = account();
        account.gave(Source::Cache, 10);
        account.answer(StatusCode::OK);
        let streamed = s3s::Body::http_body(http_body_util::Full::new(Bytes::from(vec![0; 30])));
        let mut response = Response::new(Content::Streamed(streamed));
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(30));
        assert!(write_head(Telling::Trailer, &account, &mut response, false));
        let receipt = response.headers()[RECEIPT].to_str().unwrap();
        assert!(
            receipt.ends_with("state=begun; delivery=socket; bytes=30; source=cache:10"),
            "{receipt}"
        );
        assert!(!response.headers().contains_key(CONTENT_LENGTH));
        account.gave(Source::Device, 20);
        account.left(&account.next_sources(30));
        account.send(30);
        account.copy(Copying::SocketSend, 30);
        let trailer = trailer(&account);
        let receipt = trailer[RECEIPT].to_str().unwrap();
        assert!(
            receipt.ends_with(
                "state=complete; delivery=socket; bytes=30; source=cache:10,device:20; \
                 copied=socket_send:30"
            ),
            "{receipt}"
        );
    }
}
