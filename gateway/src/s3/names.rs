//! Owns the rules of bucket names and keys, and how a request addresses them (path style, virtual-host style).

use std::net::Ipv4Addr;

use http::Uri;
use s3s::S3Result;
use s3s::host::{S3Host, VirtualHost};
use s3s::validation::NameValidation;

use super::limits::KEY_BYTES_MAX;
use super::refusal::{Outcome, Refusal};
use crate::door::host;

/// Amazon S3's rules for general purpose buckets ("Bucket naming rules").
#[derive(Debug)]
pub(super) struct BucketNames;

impl NameValidation for BucketNames {
    fn validate_bucket_name(&self, name: &str) -> bool {
        bucket_name_is_valid(name)
    }
}

const PREFIXES_RESERVED: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
const SUFFIXES_RESERVED: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];

/// 3 to 63 lower-case letters, digits, dots and hyphens; begins and ends with a letter or digit; no two dots in a
/// row; no IPv4 address; none of Amazon's reserved prefixes and suffixes.
pub fn bucket_name_is_valid(name: &str) -> bool {
    let edge = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
        && edge(bytes.first())
        && edge(bytes.last())
        && !name.contains("..")
        && name.parse::<Ipv4Addr>().is_err()
        && !PREFIXES_RESERVED.iter().any(|prefix| name.starts_with(prefix))
        && !SUFFIXES_RESERVED.iter().any(|suffix| name.ends_with(suffix))
}

/// Refuses targets that s3s, which decodes before it looks, would read otherwise than everything before it, which
/// looks at the text: `?%61cl` would pass as no subresource and arrive as one, `/bucket%2Fkey` as a bucket and arrive
/// as an object. No name of a parameter of Amazon S3 needs an escape, and no name of a bucket a slash, so nothing is
/// lost. `in_host` tells that the host names the bucket, so that the path is all key.
///
/// # Errors
/// InvalidURI.
pub(super) fn check_target(uri: &Uri, in_host: bool) -> Outcome<()> {
    let path = uri.path().strip_prefix('/').unwrap_or(uri.path());
    let bucket = path.split_once('/').map_or(path, |(bucket, _key)| bucket);
    let escapes_slash = |bucket: &str| bucket.contains("%2F") || bucket.contains("%2f");
    if !in_host && escapes_slash(bucket) {
        return Err(Refusal::InvalidUri("write the slash after the bucket without escape"));
    }
    let mut names = uri.query().into_iter().flat_map(parameter_names);
    if names.any(|name| name.contains(['%', '+'])) {
        return Err(Refusal::InvalidUri("write the names of query parameters without escapes"));
    }
    Ok(())
}

/// The names of a query's parameters, as they are written.
pub(super) fn parameter_names(query: &str) -> impl Iterator<Item = &str> {
    query
        .split('&')
        .map(|parameter| parameter.split_once('=').map_or(parameter, |(name, _value)| name))
}

/// 1 to 1,024 bytes of UTF-8.
///
/// # Errors
/// For any other.
pub(super) fn check_key(key: &str) -> Outcome<()> {
    match key.len() {
        0 => Err(Refusal::InvalidArgument("a key has at least one byte".to_owned())),
        1..=KEY_BYTES_MAX => Ok(()),
        _ => Err(Refusal::KeyTooLong),
    }
}

/// Finds the bucket in the `Host` header. A host that is none of the endpoint's domains is an alias of the endpoint
/// itself (an address, a load balancer's name), so it means path style.
#[derive(Clone, Debug)]
pub(super) struct Domains(Vec<String>);

impl Domains {
    /// The endpoint's domains under which buckets are subdomains; without ports, any case.
    pub(super) fn new(domains: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Self(domains.into_iter().map(|domain| domain.as_ref().to_ascii_lowercase()).collect())
    }

    /// The bucket that the host names, if it does.
    pub(super) fn bucket<'a>(&self, host: &'a str) -> Option<&'a str> {
        host::bucket(host, &self.0)
    }
}

/// Whether a request is about an object, rather than about a bucket or the service. [`check_target`] has made sure
/// that the path says the same before and after it is decoded.
pub(super) fn names_object(path: &str, in_host: bool) -> bool {
    let path = path.strip_prefix('/').unwrap_or(path);
    match path.split_once('/') {
        _ if in_host => !path.is_empty(),
        Some((_bucket, key)) => !key.is_empty(),
        None => false,
    }
}

impl S3Host for Domains {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let whole = VirtualHost::new(host);
        Ok(match self.bucket(host) {
            Some(bucket) => whole.with_bucket(bucket.to_ascii_lowercase()),
            None => whole,
        })
    }
}

/// An ID for what a client has not named: 32 hexadecimal digits, as random as the system's.
///
/// # Errors
/// Busy, when the system has no random numbers to give.
pub(super) fn random_id() -> Outcome<String> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).map_err(|_| Refusal::Busy("random numbers"))?;
    Ok(hex_simd::encode_to_string(random, hex_simd::AsciiCase::Lower))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_follow_amazon_s3() {
        for name in ["abc", "my.bucket-1", "0a0", &"a".repeat(63)] {
            assert!(bucket_name_is_valid(name), "{name}");
        }
        for name in [
            "ab",
            &"a".repeat(64),
            "Abc",
            "a_b",
            "-ab",
            "ab-",
            ".ab",
            "ab.",
            "a..b",
            "192.168.1.1",
            "xn--abc",
            "sthree-x",
            "amzn-s3-demo-x",
            "abc-s3alias",
            "abc--ol-s3",
            "abc.mrap",
            "abc--x-s3",
            "a b",
            "",
            "бакет",
        ] {
            assert!(!bucket_name_is_valid(name), "{name}");
        }
    }

    #[test]
    fn names_of_parameters_have_no_escapes() {
        for fine in ["/b/k", "/b/k%2Fl?", "/b?delete", "/b?list-type=2&prefix=a%2Bb+c", "/b?&=&a"] {
            assert!(check_target(&fine.parse().unwrap(), false).is_ok(), "{fine}");
        }
        for escaped in ["/b?%61cl", "/b?a=1&%64elete=", "/b/k?response%2Dexpires=x", "/b?ac+l"] {
            for in_host in [false, true] {
                let refused = check_target(&escaped.parse().unwrap(), in_host);
                assert!(matches!(refused, Err(Refusal::InvalidUri(_))), "{escaped}");
            }
        }
    }

    #[test]
    fn the_slash_after_the_bucket_has_no_escape() {
        for escaped in ["/bucket%2Fkey", "/bucket%2fkey/more", "/%2Fbucket/key", "/b%2f"] {
            let uri = escaped.parse().unwrap();
            let refused = check_target(&uri, false);
            assert!(matches!(refused, Err(Refusal::InvalidUri(_))), "{escaped}");
            assert!(check_target(&uri, true).is_ok(), "{escaped}");
        }
        assert!(check_target(&"/bucket/a%2Fb".parse().unwrap(), false).is_ok());
    }

    #[test]
    fn keys_are_bounded() {
        assert!(check_key("a").is_ok());
        assert!(check_key(&"я".repeat(512)).is_ok());
        assert!(matches!(check_key(""), Err(Refusal::InvalidArgument(_))));
        assert!(matches!(check_key(&"a".repeat(1025)), Err(Refusal::KeyTooLong)));
    }

    #[test]
    fn hosts_name_buckets_only_below_a_domain() {
        let domains = Domains::new(["S3.example.com", "local"]);
        assert_eq!(domains.bucket("media.s3.example.com:9000"), Some("media"));
        assert_eq!(domains.bucket("a.b.S3.Example.com."), Some("a.b"));
        assert_eq!(domains.bucket("media.local"), Some("media"));
        for host in [
            "s3.example.com",
            "s3.example.com:80",
            "mys3.example.com",
            "127.0.0.1:9000",
            "[::1]:9000",
            "",
            "é",
        ] {
            assert_eq!(domains.bucket(host), None, "{host}");
        }
        // Requests in path style to a domain below another are not requests to its bucket `s3`.
        let nested = Domains::new(["example.com", "s3.example.com"]);
        assert_eq!(nested.bucket("s3.example.com"), None);
        assert_eq!(nested.bucket("media.s3.example.com"), Some("media"));
        assert_eq!(nested.bucket("media.example.com"), Some("media"));
    }

    #[test]
    fn paths_name_objects() {
        assert!(names_object("/key", true) && names_object("/a/key", true));
        assert!(!names_object("/", true));
        assert!(names_object("/bucket/key", false));
        assert!(!names_object("/bucket/", false) && !names_object("/bucket", false));
    }
}
