//! Owns: what a client of RDMA's control requests is told: each of the server half's errors as an HTTP status with a
//! code, the mark by which a client knows to use HTTP instead, and the echo of the protocol.

use http::header::{ALLOW, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode};
use rdma::server::SessionError;
use rdma::wire::{ReplyCode, header};

use super::headers::{name, value};
use super::routes::Route;
use crate::door::Refused;
use crate::s3::limits::RETRY_AFTER_SECONDS;

/// What the client is told of the server half's refusal.
pub(super) fn refused(error: &SessionError) -> Refused {
    let (status, code) = match error {
        SessionError::Unknown => (StatusCode::NOT_FOUND, "NoSuchRdmaSession"),
        SessionError::InProgress => (StatusCode::CONFLICT, "RdmaTransferInProgress"),
        SessionError::PeerBusy => (StatusCode::CONFLICT, "RdmaPeerBusy"),
        SessionError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "EntityTooLarge"),
        SessionError::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
        SessionError::Deadline => (StatusCode::REQUEST_TIMEOUT, "RequestTimeout"),
        SessionError::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        SessionError::Fabric(error) => {
            tracing::warn!(%error, "RDMA failed");
            return failed("The RDMA device refused an operation.");
        }
        SessionError::Malformed(_) => (StatusCode::BAD_REQUEST, "InvalidArgument"),
    };
    let refused = Refused::new(status, code, format!("{error}."));
    match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            refused.with_header(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS))
        }
        _ => refused,
    }
}

/// 500: the transfer failed, and it is over.
pub(super) fn failed(message: &'static str) -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "RDMATransferFailed", message)
}

/// 503: the lane that owns the queue pair has more to do than it can.
pub(super) fn slow_down() -> Refused {
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "Please reduce your request rate.")
        .with_header(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS))
}

/// 403.
pub(super) fn denied(message: &'static str) -> Refused {
    Refused::new(StatusCode::FORBIDDEN, "AccessDenied", message)
}

/// 501 with the mark: the client is to use HTTP.
pub(super) fn unsupported(message: &'static str) -> Refused {
    Refused::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
        .with_header(name(header::PROTOCOL_STATUS), HeaderValue::from_static(UNSUPPORTED))
}

/// 405 with the method that the route takes.
pub(super) fn wrong_method(route: Route) -> Refused {
    let allowed = match route.method() {
        Method::GET => HeaderValue::from_static("GET"),
        _ => HeaderValue::from_static("POST"),
    };
    let message = "The specified method is not allowed against this resource.";
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
        .with_header(ALLOW, allowed)
}

/// An object request's connection is unknown: the number stands in the reply, too, so that the client connects again.
pub(super) fn no_such_connection() -> Refused {
    refused(&SessionError::Unknown).with_header(name(header::REPLY), value(ReplyCode::Http(404)))
}

/// The refusal as the route's protocol wants it: all but the mark name the protocol.
pub(super) fn echoing(route: Route, refused: Refused) -> Refused {
    let marked = refused
        .headers
        .as_ref()
        .is_some_and(|headers| headers.contains_key(header::PROTOCOL_STATUS));
    if !route.is_of_sessions() || marked {
        return refused;
    }
    refused.with_header(name(header::PROTOCOL), PROTOCOL)
}

/// The protocol's name as a header.
pub(super) const PROTOCOL: HeaderValue = HeaderValue::from_static(header::PROTOCOL_HIPOBJ);

/// The mark.
pub(super) const UNSUPPORTED: &str = header::STATUS_UNSUPPORTED;

#[cfg(test)]
mod tests {
    use super::*;
    use rdma::server::Exhausted;

    #[test]
    fn every_refusal_has_its_status() {
        for (error, status, code) in [
            (SessionError::Unknown, 404, "NoSuchRdmaSession"),
            (SessionError::InProgress, 409, "RdmaTransferInProgress"),
            (SessionError::PeerBusy, 409, "RdmaPeerBusy"),
            (SessionError::TooLarge { size: 9, limit: 8 }, 413, "EntityTooLarge"),
            (SessionError::Busy(Exhausted::Staging), 503, "SlowDown"),
            (SessionError::Deadline, 408, "RequestTimeout"),
            (SessionError::ShuttingDown, 503, "ServiceUnavailable"),
            (SessionError::Malformed("x"), 400, "InvalidArgument"),
        ] {
            let refused = refused(&error);
            assert_eq!((refused.status.as_u16(), &*refused.code), (status, code));
            let retries = refused.headers.is_some_and(|headers| headers.contains_key(RETRY_AFTER));
            assert_eq!(retries, status == 503, "{code}");
        }
        let known = no_such_connection();
        assert_eq!(known.headers.unwrap()[header::REPLY], "404");
    }

    #[test]
    fn the_mark_and_the_echo_exclude_each_other() {
        let has = |refused: &Refused, name: &str| {
            refused.headers.as_ref().is_some_and(|headers| headers.contains_key(name))
        };
        for route in Route::ALL {
            let marked = echoing(route, unsupported("off"));
            assert!(has(&marked, header::PROTOCOL_STATUS) && !has(&marked, header::PROTOCOL));
            let plain = echoing(route, denied("no"));
            assert_eq!(has(&plain, header::PROTOCOL), route.is_of_sessions(), "{route:?}");
        }
        assert_eq!(wrong_method(Route::Capabilities).headers.unwrap()["allow"], "GET");
        assert_eq!(wrong_method(Route::Ready).headers.unwrap()["allow"], "POST");
    }
}
