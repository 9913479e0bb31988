//! Which bucket a host names.
//!
//! Owns: RFC 9112's and 9113's rules on `Host` and authority, and the one split of `bucket.domain`,
//! by which metrics name requests and `s3` addresses buckets.

use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, StatusCode, Version};

use super::refused::Refused;

/// The request's host without its port. The target's own authority comes before the header, as
/// RFC 9112, 3.2.2 wants; HTTP/2 has only that.
///
/// # Errors
/// 400 when HTTP/1.1 has no host or there are several.
pub fn host(parts: &Parts) -> Result<Option<&str>, Refused> {
    let bad =
        |message: &'static str| Refused::new(StatusCode::BAD_REQUEST, "InvalidRequest", message);
    let mut values = parts.headers.get_all(HOST).iter();
    let header = values.next();
    if values.next().is_some() {
        return Err(bad("The request has more than one Host header."));
    }
    let header = match header.map(|value| value.to_str()) {
        Some(Ok(text)) => Some(text),
        Some(Err(_)) => return Err(bad("The Host header is not a host.")),
        None => None,
    };
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    match authority.or(header) {
        Some(text) => Ok(Some(without_port(text))),
        None if parts.version == Version::HTTP_11 => {
            Err(bad("The request has no Host header, which HTTP/1.1 requires."))
        }
        None => Ok(None),
    }
}

fn without_port(authority: &str) -> &str {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.rfind(':') {
        Some(colon) if host[colon + 1..].bytes().all(|byte| byte.is_ascii_digit()) => {
            &host[..colon]
        }
        _ => host,
    }
}

/// The bucket that the host names under one of the domains; `None` for the domain itself and for
/// hosts under none. Of domains within each other the longest counts. A port and the dot of a fully
/// qualified name are no part of it; letters are as they came.
pub fn bucket<'a>(host: &'a str, domains: &[String]) -> Option<&'a str> {
    let host = without_port(host);
    let host = host.strip_suffix('.').unwrap_or(host);
    let under = |domain: &String| {
        let at = host.len().checked_sub(domain.len())?;
        let tail = host.get(at..)?;
        match (tail.eq_ignore_ascii_case(domain), &host[..at]) {
            (true, "") => Some(""),
            (true, before) => before.strip_suffix('.'),
            (false, _) => None,
        }
    };
    // The longest domain leaves the shortest bucket: none, when the host is a domain itself.
    domains
        .iter()
        .filter_map(under)
        .min_by_key(|bucket| bucket.len())
        .filter(|bucket| !bucket.is_empty())
}

/// Leaves the request with the one `Host` header that counts: behind the door it is looked at there
/// alone. Comes after verification, since a signature covers what was sent.
pub fn normalise(parts: &mut Parts) {
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    // An authority's characters are a header's.
    if let Some(value) = authority.and_then(|text| HeaderValue::from_str(text).ok()) {
        parts.headers.insert(HOST, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn domains() -> Vec<String> {
        vec!["s3.example.com".into(), "eu.s3.example.com".into()]
    }

    #[test]
    fn buckets_are_labels_before_a_domain() {
        for (host, expected) in [
            ("photos.s3.example.com", Some("photos")),
            ("PHOTOS.S3.Example.Com", Some("PHOTOS")),
            ("a.b.s3.example.com", Some("a.b")),
            ("photos.eu.s3.example.com", Some("photos")),
            ("s3.example.com", None),
            ("eu.s3.example.com", None),
            ("eu.s3.example.com:9000", None),
            ("photos.eu.s3.example.com:9000", Some("photos")),
            ("photos.s3.example.com.", Some("photos")),
            ("photos.s3.example.com.:80", Some("photos")),
            (".s3.example.com", None),
            ("[::1]:9000", None),
            ("photoss3.example.com", None),
            ("example.com", None),
            ("127.0.0.1", None),
            ("", None),
            ("é.example.com", None),
        ] {
            assert_eq!(bucket(host, &domains()), expected, "{host}");
        }
        assert_eq!(bucket("photos.s3.example.com", &[]), None);
    }

    #[test]
    fn ports_are_no_part_of_the_host() {
        for (authority, expected) in [
            ("a.example:9000", "a.example"),
            ("a.example", "a.example"),
            ("[::1]:9000", "[::1]"),
            ("[::1]", "[::1]"),
            ("user@a.example:1", "a.example"),
        ] {
            assert_eq!(without_port(authority), expected);
        }
    }

    #[test]
    fn one_host_is_needed_and_the_target_comes_first() {
        let parts = |build: http::request::Builder| build.body(()).unwrap().into_parts().0;
        assert!(host(&parts(Request::builder())).is_err());
        let old = parts(Request::builder().version(Version::HTTP_10));
        assert_eq!(host(&old), Ok(None));
        let two = parts(Request::builder().header("host", "a").header("host", "b"));
        assert!(host(&two).is_err());
        let target = parts(Request::builder().uri("http://a.example:80/x").header("host", "b"));
        assert_eq!(host(&target), Ok(Some("a.example")));
    }

    #[test]
    fn the_authority_becomes_the_host() {
        let build = Request::builder().uri("http://a.example:80/x").header("host", "b");
        let mut parts = build.body(()).unwrap().into_parts().0;
        normalise(&mut parts);
        assert_eq!(parts.headers[HOST], "a.example:80");
        let mut plain =
            Request::builder().uri("/x").header("host", "b").body(()).unwrap().into_parts().0;
        normalise(&mut plain);
        assert_eq!(plain.headers[HOST], "b");
    }
}
