//! Owns: the paths of RDMA's control requests, and which requests RDMA concerns at all.
//!
//! A bucket's name never begins with a dot, so no path here is one of S3's. With the bucket in the host it could be:
//! there, these paths are keys.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, Method};
use rdma::wire::{header, route};

use crate::metrics::Operation;

/// The path of the capability document.
pub(super) const CAPABILITIES: &str = "/.s3rdma-rc/capabilities";

/// A control request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/.hipobj-rc/prepare`
    Prepare,
    /// `/.hipobj-rc/ready`
    Ready,
    /// `/.hipobj-rc/cancel`
    Cancel,
    /// `/.s3rdma-rc/connect`
    Connect,
    /// `/.s3rdma-rc/disconnect`
    Disconnect,
    /// `/.s3rdma-rc/capabilities`
    Capabilities,
}

impl Route {
    /// All of them.
    pub const ALL: [Route; 6] = [
        Route::Prepare,
        Route::Ready,
        Route::Cancel,
        Route::Connect,
        Route::Disconnect,
        Route::Capabilities,
    ];

    /// The route of a path, to the letter.
    pub fn of(path: &str) -> Option<Route> {
        if !path.starts_with("/.") {
            return None;
        }
        Route::ALL.into_iter().find(|route| route.path() == path)
    }

    /// The route that metrics know by that name.
    pub fn of_operation(operation: Operation) -> Option<Route> {
        Route::ALL.into_iter().find(|route| route.operation() == operation)
    }

    /// Its path.
    pub fn path(self) -> &'static str {
        match self {
            Route::Prepare => route::PREPARE,
            Route::Ready => route::READY,
            Route::Cancel => route::CANCEL,
            Route::Connect => route::CONNECT,
            Route::Disconnect => route::DISCONNECT,
            Route::Capabilities => CAPABILITIES,
        }
    }

    /// Its name in metrics.
    pub fn operation(self) -> Operation {
        match self {
            Route::Prepare => Operation::RdmaPrepare,
            Route::Ready => Operation::RdmaReady,
            Route::Cancel => Operation::RdmaCancel,
            Route::Connect => Operation::RdmaConnect,
            Route::Disconnect => Operation::RdmaDisconnect,
            Route::Capabilities => Operation::RdmaCapabilities,
        }
    }

    /// The one method that it takes.
    pub fn method(self) -> Method {
        match self {
            Route::Capabilities => Method::GET,
            _ => Method::POST,
        }
    }

    /// Whether it makes something that transfers go through.
    pub fn opens(self) -> bool {
        matches!(self, Route::Prepare | Route::Connect)
    }

    /// Whether it is one of the hipobj-rc-v2 protocol's, whose requests and answers name the protocol.
    pub fn is_of_sessions(self) -> bool {
        matches!(self, Route::Prepare | Route::Ready | Route::Cancel)
    }
}

static TOKEN: HeaderName = HeaderName::from_static(header::TOKEN);

/// What the door has seen of a request that RDMA may concern. It travels in the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concern {
    /// What the request looks like.
    pub operation: Operation,
    /// Where its connection comes from.
    pub peer: Option<IpAddr>,
}

impl Concern {
    /// Whether RDMA concerns the request: control requests, objects with a token, and HEAD of a bucket, whose answer
    /// says what can be done. Every other operation ignores a token.
    pub fn of(operation: Operation, headers: &HeaderMap, peer: Option<IpAddr>) -> Option<Concern> {
        let concerns = match operation {
            Operation::GetObject | Operation::PutObject | Operation::UploadPart => {
                headers.contains_key(&TOKEN)
            }
            Operation::HeadBucket => true,
            other => Route::of_operation(other).is_some(),
        };
        concerns.then_some(Concern { operation, peer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn paths_are_taken_to_the_letter() {
        for route in Route::ALL {
            assert_eq!(Route::of(route.path()), Some(route));
            assert_eq!(Route::of_operation(route.operation()), Some(route));
            assert_eq!(Route::of(&format!("{}/", route.path())), None);
            assert_eq!(Route::of(&route.path().to_uppercase()), None);
        }
        assert_eq!((Route::of("/bucket/key"), Route::of("/.hipobj-rc")), (None, None));
    }

    #[test]
    fn a_token_concerns_three_operations() {
        let token = HeaderMap::from_iter([(
            http::HeaderName::from_static(header::TOKEN),
            HeaderValue::from_static("x"),
        )]);
        for operation in Operation::ALL {
            use Operation::{GetObject, HeadBucket, PutObject, UploadPart};
            let always = *operation == HeadBucket || Route::of_operation(*operation).is_some();
            let with_token = always || [GetObject, PutObject, UploadPart].contains(operation);
            let concerns = |headers: &HeaderMap| Concern::of(*operation, headers, None).is_some();
            assert_eq!(concerns(&HeaderMap::new()), always, "{operation:?}");
            assert_eq!(concerns(&token), with_token, "{operation:?}");
        }
    }
}
