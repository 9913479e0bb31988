//! Owns what the client half needs of HTTP: one exchange of a request and an answer. The caller implements it over
//! the HTTP client that it has; nothing here opens a socket or computes a signature.

use std::fmt;
use std::future::Future;

use bytes::Bytes;

/// The caller's HTTP client.
///
/// An implementation adds `host`, `content-length`, `authorization` and the date; signs with Signature Version 4,
/// service `s3`, **every** `x-amz-*` header of the request by name, and takes the value of `x-amz-content-sha256` as
/// the payload line (the hash of the empty string where that header is missing). It follows no redirects and repeats
/// nothing by itself: a body-less PUT that is repeated somewhere else may store an object of 0 bytes.
///
/// Every exchange runs under a deadline of the client's; when that passes the future is dropped, and the
/// implementation must then close the connection, not put it back for the next request.
pub trait Control {
    /// Sends `request` and reads the whole answer. The body's pieces go to `body` in their order, none for an answer
    /// without one. Any status is an `Ok`.
    ///
    /// Implementations may use one connection for many requests, but not when `request.fresh_connection` says so: the
    /// READY of a hipobj-rc-v2 session stays unanswered while the data moves.
    ///
    /// # Errors
    /// When no answer came, or not to its end.
    fn exchange(
        &self,
        request: ControlRequest,
        body: &mut dyn AnswerBody,
    ) -> impl Future<Output = Result<AnswerHead, ControlError>>;
}

/// Takes an answer's body, piece by piece.
pub trait AnswerBody {
    /// The next piece of the body of the answer with this head.
    ///
    /// # Errors
    /// When no more of it is wanted. The implementation of [`Control`] then ends the connection and returns
    /// [`ControlError::BodyRefused`], or goes on and drops the rest.
    fn accept(&mut self, head: &AnswerHead, piece: &[u8]) -> Result<(), BodyRefused>;
}

/// No more of a body is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyRefused;

/// The methods in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `PUT`
    Put,
    /// `POST`
    Post,
    /// `DELETE`: not sent by this client, for callers that have only this interface.
    Delete,
}

impl Method {
    /// As sent.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Put => "PUT",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct ControlRequest {
    /// Its method.
    pub method: Method,
    /// Path and query, percent-encoded as it has to be sent: `/bucket/a%20key?partNumber=1`.
    pub target: String,
    /// Names in lower case, each at most once; all of them have to be sent.
    pub headers: Vec<(&'static str, String)>,
    /// Empty for everything but a PUT by plain HTTP. An empty one is sent with `content-length: 0` on PUT and POST,
    /// never with a transfer encoding.
    pub body: Bytes,
    /// A connection on which nothing else was or will be sent.
    pub fresh_connection: bool,
}

impl ControlRequest {
    /// A request without a body, on any connection.
    pub(super) fn new(
        method: Method,
        target: String,
        headers: Vec<(&'static str, String)>,
    ) -> ControlRequest {
        ControlRequest { method, target, headers, body: Bytes::new(), fresh_connection: false }
    }
}

/// The head of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerHead {
    /// 200 to 599.
    pub status: u16,
    /// As they came, repeated ones included. Names in any case.
    pub headers: Vec<(String, String)>,
}

impl AnswerHead {
    /// The header of this name, in any case. None where it is missing, and where it came several times with different
    /// values: then nobody knows which one is meant.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim_matches([' ', '\t']));
        let first = values.next()?;
        values.all(|other| other == first).then_some(first)
    }

    /// Whether the header is there at all.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name))
    }

    /// Whether the status is 200 to 299.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// An exchange without a complete answer. What matters is whether the server may have seen the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// The request was not sent: no connection, no signature. The server has not seen it.
    NotSent(String),
    /// It may have been seen: the connection was lost, or the answer was none.
    Lost(String),
    /// [`AnswerBody::accept`] wanted no more.
    BodyRefused,
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ControlError::NotSent(why) => write!(f, "the request was not sent: {why}"),
            ControlError::Lost(why) => write!(f, "no complete answer came: {why}"),
            ControlError::BodyRefused => f.write_str("the answer's body was not wanted"),
        }
    }
}

impl std::error::Error for ControlError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_in_any_case_and_only_when_they_say_one_thing() {
        let headers =
            [("X-Amz-Rdma-Reply", " 200\t"), ("a", "1"), ("A", "1"), ("b", "1"), ("B", "2")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let head = AnswerHead { status: 200, headers };
        assert_eq!(head.header("x-amz-rdma-reply"), Some("200"));
        assert_eq!(head.header("a"), Some("1"));
        assert_eq!(head.header("b"), None);
        assert!(head.has("b") && !head.has("c"));
    }
}
