//! Owns: reading `x-amz-rdma-*` headers off a request: each at most once, each by its grammar.
//!
//! Not here: the grammars (`rdma::wire`), and whether a header was signed (`crate::auth`).

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use rdma::wire::{WireError, header};

use crate::door::Refused;

/// A header's name, from the table of the protocols.
pub(super) fn name(text: &'static str) -> HeaderName {
    HeaderName::from_static(text)
}

/// A header's value from text of the protocols' own alphabet.
pub(super) fn value(text: impl std::fmt::Display) -> HeaderValue {
    // Hexadecimal and decimal digits, base 64, tokens: all of them are header values.
    HeaderValue::try_from(text.to_string()).unwrap_or(HeaderValue::from_static(""))
}

/// Refuses a request that has an RDMA header more than once: a proxy and this server could read different ones.
///
/// # Errors
/// 400 `InvalidRequest`, naming the header.
pub(super) fn refuse_repeated(headers: &HeaderMap) -> Result<(), Refused> {
    let ours = headers.keys().filter(|name| name.as_str().starts_with(header::PREFIX));
    for name in ours {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(invalid_request(format!("The header {name} is given more than once.")));
        }
    }
    Ok(())
}

/// The text of a header, if there is one.
///
/// # Errors
/// 400 `InvalidArgument` when it is not visible ASCII.
pub(super) fn text<'a>(parts: &'a Parts, name: &'static str) -> Result<Option<&'a str>, Refused> {
    let text = parts.headers.get(name).map(|value| value.to_str()).transpose();
    text.map_err(|_| invalid_argument(format!("{name} must be visible ASCII characters.")))
}

/// The value of a header, if there is one.
///
/// # Errors
/// 400 `InvalidArgument` when it breaks the grammar.
pub(super) fn optional<T>(
    parts: &Parts,
    name: &'static str,
    parse: impl FnOnce(&str) -> Result<T, WireError>,
) -> Result<Option<T>, Refused> {
    let parsed = text(parts, name)?.map(parse).transpose();
    parsed.map_err(|error| invalid_argument(error.in_header(name).to_string()))
}

/// The value of a header that must be there.
///
/// # Errors
/// 400 `InvalidArgument` when it is not, or breaks the grammar.
pub(super) fn required<T>(
    parts: &Parts,
    name: &'static str,
    parse: impl FnOnce(&str) -> Result<T, WireError>,
) -> Result<T, Refused> {
    optional(parts, name, parse)?
        .ok_or_else(|| invalid_argument(format!("The header {name} is missing.")))
}

/// 400 `InvalidArgument`.
pub(super) fn invalid_argument(message: impl Into<String>) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, "InvalidArgument", message.into())
}

/// 400 `InvalidRequest`.
pub(super) fn invalid_request(message: impl Into<String>) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, "InvalidRequest", message.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use rdma::wire::{Cookie, parse_decimal};

    fn parts(headers: &[(&str, &[u8])]) -> Parts {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_header_is_there_once_or_refused() {
        let twice = parts(&[("x-amz-rdma-cookie", b"1"), ("x-amz-rdma-cookie", b"1")]);
        let refused = refuse_repeated(&twice.headers).unwrap_err();
        assert_eq!((refused.status.as_u16(), &*refused.code), (400, "InvalidRequest"));
        assert!(refused.message.contains("x-amz-rdma-cookie"));
        let others = parts(&[("x-amz-rdma-cookie", b"1"), ("accept", b"a"), ("accept", b"b")]);
        assert_eq!(refuse_repeated(&others.headers), Ok(()));
    }

    #[test]
    fn values_follow_their_grammar() {
        let head = parts(&[(header::COOKIE, b"1a2b3c4d"), (header::SIZE, b"64")]);
        let cookie = required(&head, header::COOKIE, Cookie::parse).unwrap();
        assert_eq!(cookie.number(), 0x1a2b_3c4d);
        assert_eq!(optional(&head, header::SIZE, parse_decimal), Ok(Some(64)));
        assert_eq!(optional(&head, header::OFFSET, parse_decimal), Ok(None));
        for (head, says) in [
            (parts(&[]), "missing"),
            (parts(&[(header::COOKIE, b"1a2b3c4")]), header::COOKIE),
            (parts(&[(header::COOKIE, b"1a2b3c4\xff")]), "visible ASCII"),
        ] {
            let refused = required(&head, header::COOKIE, Cookie::parse).unwrap_err();
            assert_eq!((refused.status.as_u16(), &*refused.code), (400, "InvalidArgument"));
            assert!(refused.message.contains(says), "{}", refused.message);
        }
    }
}
