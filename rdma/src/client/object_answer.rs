//! Owns what the answer to an object request with a token means: the answer rules of the S3-over-RDMA base protocol,
//! with what servers in the field do beside them. Pure.

use super::control::AnswerHead;
use super::exchange::{is_busy, is_unsupported};
use super::outcome::Decline;
use super::request::ByteRange;
use crate::wire::{ReplyCode, header, parse_decimal};

/// What the answer to a GET says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GetAnswer {
    /// So many bytes are in the window.
    Delivered(u64),
    /// They are in the body.
    Body(Decline),
    /// They are nowhere; without a token they will be in a body.
    AskAgain(Decline),
    /// The server does not know the connection (any more).
    NoSession,
    /// Later.
    Busy,
    /// An S3 error.
    Refused,
    /// Against the protocol.
    Malformed(String),
}

/// What the answer to a PUT says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PutAnswer {
    /// The object is stored; of the bytes that the server has read, if it said so.
    Stored(Option<u64>),
    /// Nothing is stored; the bytes have to come in a body.
    SendBody(Decline),
    /// Something is stored, perhaps 0 bytes.
    Suspect,
    /// The server does not know the connection (any more).
    NoSession,
    /// Later.
    Busy,
    /// An S3 error.
    Refused,
    /// Against the protocol.
    Malformed(String),
}

/// Code of the answer to a token whose connection is unknown.
const NO_SESSION: &str = "NoSuchRdmaSession";

/// Reads the head of an answer to a GET. `code` is the error code of its body, `window` the bytes that were opened.
pub(super) fn read_get(
    head: &AnswerHead,
    code: Option<&str>,
    range: Option<ByteRange>,
    window: u64,
) -> GetAnswer {
    let reply = match reply(head) {
        Ok(reply) => reply,
        Err(why) => return GetAnswer::Malformed(why),
    };
    if !head.is_success() {
        return match () {
            () if is_declined_by_status(head, reply.as_ref()) => {
                GetAnswer::AskAgain(Decline::NotImplemented)
            }
            () if is_no_session(head, code) => GetAnswer::NoSession,
            () if is_busy(head) => GetAnswer::Busy,
            () => GetAnswer::Refused,
        };
    }
    match reply {
        None => body(head, range, Decline::Unaware),
        Some(ReplyCode::NotByRdma) => body(head, range, Decline::Reply),
        Some(ReplyCode::NoContent) => delivered(head, range, window, Some(0)),
        Some(ReplyCode::Whole) if range.is_some() && head.status != 206 => {
            GetAnswer::Malformed("the whole object in place of the range".to_owned())
        }
        Some(ReplyCode::Whole | ReplyCode::Partial | ReplyCode::Ok) => {
            delivered(head, range, window, None)
        }
        Some(other) => GetAnswer::Malformed(format!("success with reply {other}")),
    }
}

/// Whether the body is what was asked for.
fn body(head: &AnswerHead, range: Option<ByteRange>, decline: Decline) -> GetAnswer {
    match is_range(head, range) {
        Ok(()) => GetAnswer::Body(decline),
        Err(why) => GetAnswer::Malformed(why),
    }
}

/// Whether the body of a successful answer holds the range that was asked for, where one was.
///
/// # Errors
/// That it doesn't: then it would be the wrong bytes at the start of the memory.
pub(super) fn is_range(head: &AnswerHead, range: Option<ByteRange>) -> Result<(), String> {
    let Some(asked) = range else { return Ok(()) };
    let found = content_range(head)?;
    match found {
        Some(found) if found.offset == asked.offset && found.bytes <= asked.bytes => Ok(()),
        // An empty object has no range, and RFC 9110 lets servers ignore one: neither can be told from the other.
        _ => Err(format!("a body of {found:?} when {asked:?} was asked for")),
    }
}

/// How many bytes the server says it has delivered, and whether that can be.
fn delivered(
    head: &AnswerHead,
    range: Option<ByteRange>,
    window: u64,
    unless_said: Option<u64>,
) -> GetAnswer {
    let said = match bytes_transferred(head) {
        Ok(said) => said.or(unless_said),
        Err(why) => return GetAnswer::Malformed(why),
    };
    let Some(bytes) = said else {
        return GetAnswer::Malformed(format!("{} is missing", header::BYTES_TRANSFERRED));
    };
    if bytes > window {
        return GetAnswer::Malformed(format!("{bytes} bytes in a window of {window}"));
    }
    let content_range = match content_range(head) {
        Ok(content_range) => content_range,
        Err(why) => return GetAnswer::Malformed(why),
    };
    if let Some(found) = content_range
        && found.bytes != bytes
    {
        return GetAnswer::Malformed(format!("{bytes} bytes of a range of {}", found.bytes));
    }
    if let Some(asked) = range {
        let starts_elsewhere = content_range.is_some_and(|found| found.offset != asked.offset);
        if bytes > asked.bytes || starts_elsewhere {
            let why = format!("{bytes} bytes of {content_range:?} when {asked:?} was asked for");
            return GetAnswer::Malformed(why);
        }
    }
    GetAnswer::Delivered(bytes)
}

/// Reads the head of an answer to a PUT. `code` is the error code of its body.
pub(super) fn read_put(head: &AnswerHead, code: Option<&str>) -> PutAnswer {
    let reply = match reply(head) {
        Ok(reply) => reply,
        Err(why) => return PutAnswer::Malformed(why),
    };
    if !head.is_success() {
        return match () {
            () if is_declined_by_status(head, reply.as_ref()) => {
                PutAnswer::SendBody(Decline::NotImplemented)
            }
            () if is_no_session(head, code) => PutAnswer::NoSession,
            () if is_busy(head) => PutAnswer::Busy,
            () if is_empty_body_refused(head, code, reply.as_ref()) => {
                PutAnswer::SendBody(Decline::ChecksumRefused)
            }
            () => PutAnswer::Refused,
        };
    }
    let entity_tag = head.header("etag").is_some_and(|tag| !tag.is_empty());
    match reply {
        Some(ReplyCode::NotByRdma) => PutAnswer::SendBody(Decline::Reply),
        Some(ReplyCode::Whole | ReplyCode::NoContent | ReplyCode::Ok) if entity_tag => {
            match bytes_transferred(head) {
                Ok(bytes) => PutAnswer::Stored(bytes),
                Err(why) => PutAnswer::Malformed(why),
            }
        }
        None | Some(ReplyCode::Whole | ReplyCode::NoContent | ReplyCode::Ok) => PutAnswer::Suspect,
        Some(other) => PutAnswer::Malformed(format!("success with reply {other}")),
    }
}

fn reply(head: &AnswerHead) -> Result<Option<ReplyCode>, String> {
    match head.header(header::REPLY) {
        Some(value) => ReplyCode::parse(value).map(Some).map_err(|error| error.to_string()),
        None if head.has(header::REPLY) => {
            Err(format!("several different {} headers", header::REPLY))
        }
        None => Ok(None),
    }
}

fn bytes_transferred(head: &AnswerHead) -> Result<Option<u64>, String> {
    match head.header(header::BYTES_TRANSFERRED) {
        Some(value) => parse_decimal(value).map(Some).map_err(|error| error.to_string()),
        None if head.has(header::BYTES_TRANSFERRED) => {
            Err(format!("several different {} headers", header::BYTES_TRANSFERRED))
        }
        None => Ok(None),
    }
}

/// `bytes 0-9/100`, RFC 9110 14.4.
pub(super) fn content_range(head: &AnswerHead) -> Result<Option<ByteRange>, String> {
    let Some(value) = head.header("content-range") else { return Ok(None) };
    let parse = || {
        let (range, _of) = value.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (parse_decimal(first).ok()?, parse_decimal(last).ok()?);
        let bytes = last.checked_sub(first)?.checked_add(1)?;
        Some(ByteRange { offset: first, bytes })
    };
    parse().map(Some).ok_or_else(|| "Content-Range is none".to_owned())
}

/// AIStor, elbencho and the newest Ceph decline with HTTP status 501 and say so in the reply or the marker. A plain
/// 501 without either is an S3 error.
fn is_declined_by_status(head: &AnswerHead, reply: Option<&ReplyCode>) -> bool {
    head.status == 501 && (matches!(reply, Some(ReplyCode::NotByRdma)) || is_unsupported(head))
}

fn is_no_session(head: &AnswerHead, code: Option<&str>) -> bool {
    head.status == 404 && code == Some(NO_SESSION)
}

/// A server that does not know the token has seen an empty body with the checksum of another. Nothing is stored, so
/// that the body may be sent; where the bytes really were damaged on the way by RDMA, that heals it.
fn is_empty_body_refused(head: &AnswerHead, code: Option<&str>, reply: Option<&ReplyCode>) -> bool {
    head.status == 400
        && reply.is_none()
        && matches!(code, Some("BadDigest" | "XAmzContentChecksumMismatch"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, headers: &[(&str, &str)]) -> AnswerHead {
        let headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        AnswerHead { status, headers }
    }

    const REPLY: &str = "x-amz-rdma-reply";
    const BYTES: &str = "x-amz-rdma-bytes-transferred";
    const TAG: (&str, &str) = ("etag", "\"a\"");

    #[test]
    fn answers_to_a_get() {
        let delivered = GetAnswer::Delivered;
        let ranged = Some(ByteRange { offset: 10, bytes: 5 });
        let range = ("content-range", "bytes 10-14/100");
        for (status, headers, code, asked, expected) in [
            (200, vec![(REPLY, "200"), (BYTES, "64")], None, None, delivered(64)),
            (200, vec![(REPLY, "200"), (BYTES, "0")], None, None, delivered(0)),
            (200, vec![(REPLY, "ok"), (BYTES, "64")], None, None, delivered(64)),
            (204, vec![(REPLY, "204")], None, None, delivered(0)),
            (206, vec![(REPLY, "206"), (BYTES, "5"), range], None, ranged, delivered(5)),
            // elbencho: HTTP 200 with reply 206.
            (200, vec![(REPLY, "206"), (BYTES, "5"), range], None, ranged, delivered(5)),
            (200, vec![(REPLY, "501")], None, None, GetAnswer::Body(Decline::Reply)),
            (206, vec![(REPLY, "501"), range], None, ranged, GetAnswer::Body(Decline::Reply)),
            (200, vec![], None, None, GetAnswer::Body(Decline::Unaware)),
            // AIStor: an error document in place of the data.
            (501, vec![(REPLY, "501")], None, None, GetAnswer::AskAgain(Decline::NotImplemented)),
            (
                501,
                vec![("x-amz-rdma-protocol-status", "unsupported")],
                None,
                None,
                GetAnswer::AskAgain(Decline::NotImplemented),
            ),
            (501, vec![], Some("NotImplemented"), None, GetAnswer::Refused),
            (404, vec![(REPLY, "404")], Some(NO_SESSION), None, GetAnswer::NoSession),
            (404, vec![(REPLY, "404")], Some("NoSuchKey"), None, GetAnswer::Refused),
            (500, vec![(REPLY, "500")], None, None, GetAnswer::Refused),
            (503, vec![], Some("SlowDown"), None, GetAnswer::Busy),
            (429, vec![], None, None, GetAnswer::Busy),
            (412, vec![], None, None, GetAnswer::Refused),
        ] {
            let found = read_get(&head(status, &headers), code, asked, 64);
            assert_eq!(found, expected, "{status} {headers:?}");
        }
    }

    #[test]
    fn answers_to_a_get_that_cannot_be() {
        let ranged = Some(ByteRange { offset: 10, bytes: 5 });
        for (status, headers, asked) in [
            (200, vec![(REPLY, "200")], None),
            (200, vec![(REPLY, "200"), (BYTES, "65")], None),
            (200, vec![(REPLY, "200"), (BYTES, "-1")], None),
            (200, vec![(REPLY, "200"), (BYTES, "1/64")], None),
            (200, vec![(REPLY, "200"), (REPLY, "501"), (BYTES, "1")], None),
            (200, vec![(REPLY, "200"), (BYTES, "1"), (BYTES, "2")], None),
            (200, vec![(REPLY, "err"), (BYTES, "1")], None),
            (200, vec![(REPLY, "404"), (BYTES, "1")], None),
            (200, vec![(REPLY, "what"), (BYTES, "1")], None),
            (200, vec![(REPLY, "200"), (BYTES, "5")], ranged),
            (206, vec![(REPLY, "206"), (BYTES, "6")], ranged),
            (206, vec![(REPLY, "206"), (BYTES, "5"), ("content-range", "bytes 0-4/9")], ranged),
            (206, vec![(REPLY, "206"), (BYTES, "4"), ("content-range", "bytes 10-14/99")], ranged),
            (206, vec![(REPLY, "206"), (BYTES, "4"), ("content-range", "bytes 4-1/99")], None),
        ] {
            let found = read_get(&head(status, &headers), None, asked, 64);
            assert!(matches!(found, GetAnswer::Malformed(_)), "{headers:?}: {found:?}");
        }
    }

    #[test]
    fn answers_to_a_put() {
        let declined = PutAnswer::SendBody(Decline::Reply);
        for (status, headers, code, expected) in [
            (200, vec![TAG, (REPLY, "200"), (BYTES, "64")], None, PutAnswer::Stored(Some(64))),
            (200, vec![TAG, (REPLY, "200")], None, PutAnswer::Stored(None)),
            (200, vec![TAG, (REPLY, "ok")], None, PutAnswer::Stored(None)),
            (200, vec![(REPLY, "501")], Some("RDMANotSupported"), declined.clone()),
            // A tag beside a decline: an object may be there, but not this one.
            (200, vec![TAG, (REPLY, "501")], None, declined),
            (501, vec![(REPLY, "501")], None, PutAnswer::SendBody(Decline::NotImplemented)),
            (501, vec![], Some("NotImplemented"), PutAnswer::Refused),
            // Token-unaware: 0 bytes are stored, or refused for their checksum.
            (200, vec![TAG], None, PutAnswer::Suspect),
            (200, vec![], None, PutAnswer::Suspect),
            (200, vec![(REPLY, "200")], None, PutAnswer::Suspect),
            (400, vec![], Some("BadDigest"), PutAnswer::SendBody(Decline::ChecksumRefused)),
            (400, vec![(REPLY, "400")], Some("BadDigest"), PutAnswer::Refused),
            (400, vec![], Some("InvalidRDMAToken"), PutAnswer::Refused),
            (404, vec![(REPLY, "404")], Some(NO_SESSION), PutAnswer::NoSession),
            (404, vec![], Some("NoSuchUpload"), PutAnswer::Refused),
            (503, vec![], None, PutAnswer::Busy),
            (500, vec![], Some("RDMATransferFailed"), PutAnswer::Refused),
        ] {
            let found = read_put(&head(status, &headers), code);
            assert_eq!(found, expected, "{status} {headers:?} {code:?}");
        }
        for headers in [
            vec![TAG, (REPLY, "err")],
            vec![TAG, (REPLY, "206")],
            vec![TAG, (REPLY, "500")],
            vec![TAG, (REPLY, "200"), (BYTES, "x")],
        ] {
            let found = read_put(&head(200, &headers), None);
            assert!(matches!(found, PutAnswer::Malformed(_)), "{headers:?}: {found:?}");
        }
    }
}
