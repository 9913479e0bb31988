//! Owns: the exact fallback: what a client is told when its bytes do not go by RDMA, so that it can go on over HTTP.
//!
//! A download is answered as if it had no token, with `x-amz-rdma-reply: 501` beside the body. Of an upload nothing has
//! come, so nothing is made: no object of 0 bytes, no part. Its answer has no `ETag`, by which clients tell it from a
//! success before they look at anything else.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderValue, Response, StatusCode};
use rdma::wire::{ReplyCode, header};

use super::headers::{name, value};
use super::status::UNSUPPORTED;
use crate::door::Refused;

/// Why a request's bytes do not go by RDMA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Reason {
    /// There is no device, or RDMA is switched off.
    Off,
    /// The device has failed, or its port has no link.
    DeviceDown,
    /// A control request of another protocol, or for a target that RDMA does not serve.
    Protocol,
    /// The token names a queue pair that is not connected: one round trip is not enough.
    NotConnected,
    /// A token of cuObject, which needs its hardware.
    DynamicallyConnected,
    /// A token of libfabric.
    Libfabric,
    /// The answer does not fit the client's window.
    WindowTooSmall,
    /// The object is encrypted, or is to be.
    Encrypted,
    /// A limit or a full queue.
    Busy,
    /// RDMA was tried, failed and was fenced.
    Failed,
}

impl Reason {
    /// All, in order.
    pub const ALL: [Reason; 10] = [
        Reason::Off,
        Reason::DeviceDown,
        Reason::Protocol,
        Reason::NotConnected,
        Reason::DynamicallyConnected,
        Reason::Libfabric,
        Reason::WindowTooSmall,
        Reason::Encrypted,
        Reason::Busy,
        Reason::Failed,
    ];

    /// The value of the label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Reason::Off => "off",
            Reason::DeviceDown => "device_down",
            Reason::Protocol => "protocol",
            Reason::NotConnected => "not_connected",
            Reason::DynamicallyConnected => "dynamically_connected",
            Reason::Libfabric => "libfabric",
            Reason::WindowTooSmall => "window_too_small",
            Reason::Encrypted => "encrypted",
            Reason::Busy => "busy",
            Reason::Failed => "failed",
        }
    }
}

/// How often each was the reason. Lanes share it: a declined request costs a whole round trip anyway.
#[derive(Debug, Default)]
pub struct Declines([AtomicU64; Reason::ALL.len()]);

impl Declines {
    /// One more.
    pub fn count(&self, reason: Reason) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// So many until now.
    pub fn of(&self, reason: Reason) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }
}

/// Marks the ordinary answer to a download. Errors and 304 are plain S3, without a mark.
pub fn mark_download<B>(answer: &mut Response<B>, reason: Reason) {
    if !answer.status().is_success() {
        return;
    }
    answer.headers_mut().insert(name(header::REPLY), value(ReplyCode::NotByRdma));
    if reason == Reason::NotConnected {
        let mark = HeaderValue::from_static(UNSUPPORTED);
        answer.headers_mut().insert(name(header::PROTOCOL_STATUS), mark);
    }
}

/// The answer to an upload. `status` is 200, as the base protocol has it, or 501, as some servers do.
pub fn of_upload(status: u16, reason: Reason) -> Refused {
    let (status, code) = match status {
        501 => (StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
        _ => (StatusCode::OK, "RDMANotSupported"),
    };
    let message = "RDMA is not available for this request; send the data in the request body";
    let answer = Refused::new(status, code, message)
        .with_header(name(header::REPLY), value(ReplyCode::NotByRdma));
    match reason {
        Reason::NotConnected => {
            answer.with_header(name(header::PROTOCOL_STATUS), HeaderValue::from_static(UNSUPPORTED))
        }
        _ => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_in_their_order() {
        let declines = Declines::default();
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
            declines.count(reason);
            assert_eq!(declines.of(reason), 1, "{reason:?}");
        }
    }

    #[test]
    fn downloads_are_marked_and_their_errors_are_not() {
        for (status, marked) in [(200, true), (206, true), (304, false), (404, false), (416, false)]
        {
            let mut answer = Response::builder().status(status).body(()).unwrap();
            mark_download(&mut answer, Reason::Off);
            let reply = answer.headers().get(header::REPLY);
            assert_eq!(reply.is_some_and(|it| it == "501"), marked, "{status}");
            assert!(!answer.headers().contains_key(header::PROTOCOL_STATUS));
        }
        let mut answer = Response::new(());
        mark_download(&mut answer, Reason::NotConnected);
        assert_eq!(answer.headers()[header::PROTOCOL_STATUS], "unsupported");
    }

    #[test]
    fn uploads_are_declined_in_either_form() {
        for (configured, status, code) in
            [(200, 200, "RDMANotSupported"), (501, 501, "NotImplemented")]
        {
            let answer = of_upload(configured, Reason::Libfabric);
            assert_eq!((answer.status.as_u16(), &*answer.code), (status, code));
            let headers = answer.headers.unwrap();
            assert_eq!((headers.len(), &headers[header::REPLY]), (1, &value(501)));
            let headers = of_upload(configured, Reason::NotConnected).headers.unwrap();
            assert_eq!(headers[header::PROTOCOL_STATUS], "unsupported");
        }
    }
}
