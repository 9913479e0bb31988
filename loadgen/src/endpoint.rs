//! Owns where requests go and how they are authorized: address, bucket, keys of access, protocol.
//!
//! Not here: the signature itself (`sign.rs`), connections (`client/`).

use std::borrow::Cow;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::SystemTime;

use crate::client::RequestHead;
use crate::limits;
use crate::scenario::{Kind, Scenario};
use crate::sign::{EMPTY_SHA256, Signer, ToSign, UNSIGNED_PAYLOAD, canonical_query, encode};

/// The header that says how a body is authenticated.
const CONTENT_SHA256: &str = "x-amz-content-sha256";

/// One endpoint and the bucket in it.
pub(crate) struct Endpoint {
    /// The URL as given, for the report.
    pub(crate) url: String,
    /// The bucket's name, for the report.
    pub(crate) bucket: String,
    /// Resolved once, so that names cost nothing later.
    pub(crate) address: SocketAddr,
    /// The `Host` header.
    pub(crate) host: String,
    /// What stands before every path: nothing, or `/base`.
    base_path: String,
    /// Path of the bucket, percent-encoded: `/bucket`, or `/base/bucket`.
    bucket_path: String,
    pub(crate) access: Access,
    pub(crate) protocol: Protocol,
    /// Whether connections are used again.
    pub(crate) keep_alive: bool,
}

/// How requests are authorized.
pub(crate) enum Access {
    /// Not at all.
    Anonymous,
    /// Each by its `Authorization` header.
    Header(Signer),
    /// By their URLs; those of plain objects are made before the run.
    Presigned(Signer),
}

/// How requests are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1, one request at a time on a connection.
    Http1,
    /// HTTP/2 without TLS and without upgrade (prior knowledge), so many streams per connection.
    Http2 { streams: usize },
}

/// Why an endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error(
        "\"{0}\": TLS is not spoken here; give an http:// address, the plain listener of the server"
    )]
    Tls(String),
    #[error("\"{0}\" is no endpoint; write http://HOST:PORT")]
    Malformed(String),
    #[error("\"{host}\" has no address: {reason}")]
    Unresolved { host: String, reason: String },
}

impl Endpoint {
    /// The endpoint at `url` (`http://HOST[:PORT][/BASE]`) and the bucket in it, path style.
    pub(crate) fn new(
        url: &str,
        bucket: &str,
        access: Access,
        protocol: Protocol,
        keep_alive: bool,
    ) -> Result<Endpoint, EndpointError> {
        if url.starts_with("https://") {
            return Err(EndpointError::Tls(url.to_owned()));
        }
        let malformed = || EndpointError::Malformed(url.to_owned());
        let uri: http::Uri = url.parse().map_err(|_| malformed())?;
        if uri.scheme_str() != Some("http") || uri.query().is_some() {
            return Err(malformed());
        }
        let authority = uri.authority().ok_or_else(malformed)?;
        let name = authority.host().trim_matches(['[', ']']);
        let unresolved =
            |reason: String| EndpointError::Unresolved { host: authority.to_string(), reason };
        let address = (name, authority.port_u16().unwrap_or(80))
            .to_socket_addrs()
            .map_err(|error| unresolved(error.to_string()))?
            .next()
            .ok_or_else(|| unresolved("the name resolves to nothing".to_owned()))?;
        let base_path = uri.path().trim_end_matches('/').to_owned();
        let mut bucket_path = format!("{base_path}/");
        encode(bucket, &mut bucket_path, false);
        Ok(Endpoint {
            url: url.to_owned(),
            bucket: bucket.to_owned(),
            address,
            host: authority.to_string(),
            base_path,
            bucket_path,
            access,
            protocol,
            keep_alive,
        })
    }

    /// The path of an object, percent-encoded.
    pub(crate) fn path_of(&self, key: &str) -> String {
        let mut path = String::with_capacity(self.bucket_path.len() + 1 + key.len());
        path.push_str(&self.bucket_path);
        path.push('/');
        encode(key, &mut path, true);
        path
    }

    /// An authorized request for `key`, or for the bucket itself. `headers` named `x-amz-…` are
    /// signed; `payload` is the value of `x-amz-content-sha256`.
    pub(crate) fn request(
        &self,
        method: &'static str,
        key: Option<&str>,
        query: &[(&str, &str)],
        mut headers: Vec<(&'static str, String)>,
        payload: &str,
    ) -> RequestHead<'static> {
        let path = match key {
            Some(key) => self.path_of(key),
            None => self.bucket_path.clone(),
        };
        let target = match &self.access {
            Access::Anonymous => with_query(path, query),
            Access::Header(signer) => {
                let signed = signer.headers(
                    &ToSign {
                        method,
                        path: &path,
                        query,
                        headers: &self.headers_to_sign(&headers),
                        payload,
                    },
                    SystemTime::now(),
                );
                headers.extend(signed);
                with_query(path, query)
            }
            Access::Presigned(signer) => self.presigned(signer, method, &path, query, &headers),
        };
        RequestHead { method, target: Cow::Owned(target), headers }
    }

    /// A request whose path (below the URL's own) and query are encoded already, signed by header
    /// wherever the endpoint has keys. Every `x-amz-…` header is signed; `x-amz-content-sha256` is
    /// taken from `headers`, and is the empty body's where it is not there.
    pub(crate) fn control_request(
        &self,
        method: &'static str,
        target: &str,
        mut headers: Vec<(&'static str, String)>,
    ) -> RequestHead<'static> {
        let at = headers.iter().position(|(name, _)| *name == CONTENT_SHA256);
        let payload = match at {
            Some(at) => headers.swap_remove(at).1,
            None => EMPTY_SHA256.to_owned(),
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = format!("{}{path}", self.base_path);
        let mut parameters: Vec<&str> = query.split('&').filter(|it| !it.is_empty()).collect();
        parameters.sort_unstable();
        let query = parameters.join("&");
        match &self.access {
            Access::Anonymous => {}
            Access::Header(signer) | Access::Presigned(signer) => {
                let headers_to_sign = self.headers_to_sign(&headers);
                let to_sign = ToSign {
                    method,
                    path: &path,
                    query: &[],
                    headers: &headers_to_sign,
                    payload: &payload,
                };
                let signed = signer.headers_of_encoded(&to_sign, &query, SystemTime::now());
                headers.extend(signed);
            }
        }
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        RequestHead { method, target: Cow::Owned(target), headers }
    }

    /// The URLs of all objects of a scenario, for each kind in it that has one, when requests are
    /// presigned: signed now, used again and again.
    pub(crate) fn presigned_targets(&self, scenario: &Scenario) -> PresignedTargets {
        let mut targets = PresignedTargets::default();
        let Access::Presigned(signer) = &self.access else {
            return targets;
        };
        for kind in scenario.mix().kinds().filter(|kind| *kind != Kind::List) {
            targets.by_kind[kind.index()] = (0..scenario.objects())
                .map(|object| {
                    let path = self.path_of(&scenario.key_of(object));
                    self.presigned(signer, kind.method(), &path, &[], &[]).into_boxed_str()
                })
                .collect();
        }
        targets
    }

    fn presigned(
        &self,
        signer: &Signer,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&'static str, String)],
    ) -> String {
        let request = ToSign {
            method,
            path,
            query,
            headers: &self.headers_to_sign(headers),
            payload: UNSIGNED_PAYLOAD,
        };
        signer.presign(&request, SystemTime::now(), limits::PRESIGNED_SECONDS)
    }

    fn headers_to_sign<'a>(
        &'a self,
        headers: &'a [(&'static str, String)],
    ) -> Vec<(&'a str, &'a str)> {
        let mut signed = vec![("host", self.host.as_str())];
        let amz = headers.iter().filter(|(name, _)| name.starts_with("x-amz-"));
        signed.extend(amz.map(|(name, value)| (*name, value.as_str())));
        signed
    }

    /// How requests are authorized and spoken, for the report.
    pub(crate) fn describe(&self) -> String {
        let access = match self.access {
            Access::Anonymous => "anonymous",
            Access::Header(_) => "signed by header",
            Access::Presigned(_) => "presigned",
        };
        let protocol = match self.protocol {
            Protocol::Http1 => "HTTP/1.1".to_owned(),
            Protocol::Http2 { streams } => format!("HTTP/2, {streams} streams per connection"),
        };
        let reuse = if self.keep_alive { "keep-alive" } else { "a connection per request" };
        format!("{access}, {protocol}, {reuse}")
    }
}

/// URLs signed before the run.
#[derive(Default)]
pub(crate) struct PresignedTargets {
    by_kind: [Box<[Box<str>]>; Kind::ALL.len()],
}

impl PresignedTargets {
    /// The target of `kind` on `object`, if it was signed before the run.
    pub(crate) fn target(&self, kind: Kind, object: u64) -> Option<&str> {
        let targets = &self.by_kind[kind.index()];
        targets.get(object as usize).map(|target| &**target)
    }
}

fn with_query(mut path: String, query: &[(&str, &str)]) -> String {
    if !query.is_empty() {
        path.push('?');
        path.push_str(&canonical_query(query));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::Credentials;

    fn endpoint(url: &str, access: Access) -> Result<Endpoint, EndpointError> {
        Endpoint::new(url, "bench", access, Protocol::Http1, true)
    }

    fn signer() -> Signer {
        let credentials = Credentials {
            access_key: "key".to_owned(),
            secret_key: "secret".to_owned(),
            session_token: None,
        };
        Signer::new(credentials, "us-east-1".to_owned())
    }

    #[test]
    fn urls() {
        let plain = endpoint("http://127.0.0.1:9000", Access::Anonymous).expect("endpoint");
        assert_eq!(plain.address, ([127, 0, 0, 1], 9000).into());
        assert_eq!(plain.host, "127.0.0.1:9000");
        assert_eq!(plain.path_of("a b/ü"), "/bench/a%20b/%C3%BC");
        let based = endpoint("http://[::1]/base/", Access::Anonymous).expect("endpoint");
        assert_eq!((based.address.port(), based.host.as_str()), (80, "[::1]"));
        assert_eq!(based.path_of("k"), "/base/bench/k");
        assert!(matches!(
            endpoint("https://127.0.0.1", Access::Anonymous),
            Err(EndpointError::Tls(_))
        ));
        for wrong in ["127.0.0.1:9000", "ftp://x", "http://", "http://a/?b", ""] {
            assert!(endpoint(wrong, Access::Anonymous).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_headers_of_amazon_are_signed() {
        let endpoint = endpoint("http://127.0.0.1", Access::Header(signer())).expect("endpoint");
        let request = endpoint.request(
            "PUT",
            Some("k"),
            &[],
            vec![
                ("content-encoding", "aws-chunked".to_owned()),
                ("x-amz-trailer", "x-amz-checksum-crc64nvme".to_owned()),
            ],
            UNSIGNED_PAYLOAD,
        );
        let (_, value) = request.headers.last().expect("authorization comes last");
        assert!(
            value.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-trailer,"),
            "{value}"
        );
    }

    #[test]
    fn a_control_request_is_signed_as_it_is_sent() {
        let endpoint = Endpoint::new(
            "http://127.0.0.1/base",
            "bench",
            Access::Header(signer()),
            Protocol::Http1,
            true,
        );
        let endpoint = endpoint.expect("endpoint");
        let headers = vec![
            ("range", "bytes=0-1".to_owned()),
            ("x-amz-content-sha256", UNSIGNED_PAYLOAD.to_owned()),
            ("x-amz-rdma-token", "rc:1".to_owned()),
        ];
        let request = endpoint.control_request("PUT", "/b/a%20b?uploadId=u%2F&part=1", headers);
        assert_eq!(request.target, "/base/b/a%20b?part=1&uploadId=u%2F");
        let of = |name: &str| request.headers.iter().filter(|it| it.0 == name).collect::<Vec<_>>();
        let [(_, payload)] = of("x-amz-content-sha256")[..] else { panic!("one payload") };
        assert_eq!(payload, UNSIGNED_PAYLOAD);
        let [(_, authorization)] = of("authorization")[..] else { panic!("one signature") };
        assert!(
            authorization
                .contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-rdma-token,"),
            "{authorization}"
        );
        // The same request by its parts has the same signature.
        let parts = endpoint.request(
            "GET",
            Some("a b"),
            &[("partNumber", "7"), ("uploadId", "u/ +")],
            Vec::new(),
            EMPTY_SHA256,
        );
        let whole = endpoint.control_request(
            "GET",
            "/bench/a%20b?partNumber=7&uploadId=u%2F%20%2B",
            Vec::new(),
        );
        let of = |request: &RequestHead<'_>| {
            let find = |name: &str| {
                let found = request.headers.iter().find(|it| it.0 == name);
                found.map(|it| it.1.clone()).expect("a signed request")
            };
            (request.target.to_string(), find("x-amz-date"), find("authorization"))
        };
        let (parts, whole) = (of(&parts), of(&whole));
        // A second may have begun between the two.
        assert!(parts == whole || parts.1 != whole.1, "{parts:?} {whole:?}");
    }

    #[test]
    fn presigned_targets_are_those_of_the_mix() {
        let endpoint = endpoint("http://127.0.0.1", Access::Presigned(signer())).expect("endpoint");
        let sizes = "1".parse().expect("sizes");
        let mix = "get:1,list:1".parse().expect("mix");
        let scenario = Scenario::new(1, "p".to_owned(), 3, sizes, mix);
        let targets = endpoint.presigned_targets(&scenario);
        let last = targets.target(Kind::Get, 2).expect("a signed URL");
        assert!(last.starts_with("/bench/p0000000002?X-Amz-Algorithm="), "{last}");
        assert_eq!(targets.target(Kind::Get, 3), None);
        assert_eq!(targets.target(Kind::Put, 0), None);
        assert_eq!(targets.target(Kind::List, 0), None);
    }
}
