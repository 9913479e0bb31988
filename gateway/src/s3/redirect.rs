//! Owns `x-amz-website-redirect-location`: kept with an object and told with it, for the web servers in front that act
//! on it. There is no website endpoint here.

use http::{HeaderMap, HeaderName};

use super::limits::REDIRECT_BYTES_MAX;
use super::refusal::{Outcome, Refusal};

/// The header.
pub(super) const REDIRECT: HeaderName = HeaderName::from_static("x-amz-website-redirect-location");

/// Whether a request's value can be kept.
///
/// # Errors
/// InvalidRedirectLocation for one that is neither a path nor an address, or is too long.
pub(super) fn check(headers: &HeaderMap) -> Outcome<()> {
    let is_place = |value: &[u8]| {
        value.len() <= REDIRECT_BYTES_MAX
            && [&b"/"[..], b"http://", b"https://"].iter().any(|head| value.starts_with(head))
    };
    match headers.get(&REDIRECT) {
        Some(value) if !value.is_empty() && !is_place(value.as_bytes()) => {
            Err(Refusal::InvalidRedirectLocation)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_location_is_a_path_or_an_address() {
        let of = |text: &str| {
            check(&HeaderMap::from_iter([(REDIRECT, HeaderValue::try_from(text).unwrap())]))
        };
        for fine in ["", "/a", "http://example.com/a", "https://example.com"] {
            assert!(of(fine).is_ok(), "{fine}");
        }
        for bad in ["a", "ftp://example.com", &format!("/{}", "a".repeat(2048))] {
            assert!(matches!(of(bad), Err(Refusal::InvalidRedirectLocation)), "{bad}");
        }
    }
}
