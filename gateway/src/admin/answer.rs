//! Answers of the administration address.
//!
//! Owns: their form, and the headers that every one of them has: nothing is kept by caches, nothing
//! is guessed about its kind, no other site may frame it, and a page may load and ask nothing but
//! what this server has.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION,
    REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{Either, Full};
use serde::Serialize;

use crate::metrics::Exposition;

/// An answer.
pub type Answer = Response<Either<Full<Bytes>, Pieces>>;

/// No inline script, no inline style, no other origin, no frames, no forms that go anywhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// A body that is written while it is sent. Between two pieces, everything else on this thread has
/// its turn, and whatever waits for its core: a lane whose work comes in the middle waits for one
/// piece, not for the whole.
pub struct Pieces {
    exposition: Exposition,
    rested: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        this.rested = !this.rested;
        if this.rested {
            std::thread::yield_now();
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(this.exposition.next().map(|piece| Ok(Frame::data(Bytes::from(piece)))))
    }
}

/// Any body of that kind.
pub fn whole(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    answer(status, kind, Either::Left(Full::new(body)))
}

/// Metrics.
pub fn exposed(kind: &'static str, exposition: Exposition) -> Answer {
    answer(StatusCode::OK, kind, Either::Right(Pieces { exposition, rested: false }))
}

fn answer(status: StatusCode, kind: &'static str, body: Either<Full<Bytes>, Pieces>) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let standing: [(HeaderName, &'static str); 5] = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    for (name, value) in standing {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// A few words.
pub fn plain(status: StatusCode, text: &str) -> Answer {
    whole(status, "text/plain; charset=utf-8", Bytes::copy_from_slice(text.as_bytes()))
}

/// A JSON document.
pub fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(mut text) => {
            text.push(b'\n');
            whole(status, "application/json", text.into())
        }
        Err(error) => {
            tracing::error!(%error, "an administration document");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the document cannot be written\n")
        }
    }
}

/// 405.
pub fn not_allowed(methods: &'static str) -> Answer {
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

/// 401, with what would be needed.
pub fn unauthorized(what: &str) -> Answer {
    let mut answer = plain(StatusCode::UNAUTHORIZED, what);
    let challenge = HeaderValue::from_static("Bearer realm=\"penstock\"");
    answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    answer
}

/// 307 to another path of this server.
pub fn elsewhere(path: &'static str) -> Answer {
    let mut answer = plain(StatusCode::TEMPORARY_REDIRECT, "");
    answer.headers_mut().insert(LOCATION, HeaderValue::from_static(path));
    answer
}
