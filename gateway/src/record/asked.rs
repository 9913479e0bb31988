//! What a request says of itself, as its account keeps it.

use std::net::IpAddr;

use http::{HeaderValue, Method, Uri, Version};

use crate::door::RequestId;
use crate::metrics::Operation;

/// What a request says of itself.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its identifier.
    pub id: RequestId,
    /// What it looks like.
    pub operation: Operation,
    /// Method.
    pub method: Method,
    /// Target as it was sent. Its query may hold a signature: never to be shown as it is.
    pub uri: Uri,
    /// Version of HTTP.
    pub version: Version,
    /// `Host`; the target's own authority, HTTP/2's alone, stands in the target.
    pub host: Option<HeaderValue>,
    /// The bucket that authority or host begins with, by its length in bytes.
    pub bucket_in_host: Option<usize>,
    /// `User-Agent`.
    pub user_agent: Option<HeaderValue>,
    /// `Referer`.
    pub referer: Option<HeaderValue>,
    /// `traceparent` (W3C Trace Context), not looked into.
    pub traceparent: Option<HeaderValue>,
    /// `tracestate` beside it.
    pub tracestate: Option<HeaderValue>,
    /// Where it comes from.
    pub peer: Option<IpAddr>,
}

impl Asked {
    /// The host that was asked for, with its port.
    pub fn host(&self) -> Option<&str> {
        let authority = self.uri.authority().map(|authority| authority.as_str());
        authority.or_else(|| self.host.as_ref()?.to_str().ok())
    }
}
