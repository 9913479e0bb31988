//! Owns: reading the query of a request where it stands for headers: SDKs move ("hoist") a
//! presigned request's `x-amz-*` headers into the query, and S3 reads them there.
//! Limits: `HOISTED_HEADERS_MAX`.
//! Not here: the query as it is signed (`auth`).

use std::borrow::Cow;

use http::request::Parts;

use super::error::BodyError;
use super::limits::HOISTED_HEADERS_MAX;
use crate::auth::decode_percent;

/// The parameters of the query as they stand in the URI, undecoded: the whole pair, its name, its value.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (pair, name, value)
    })
}

/// Whether the query has the parameter `name`.
pub(super) fn has(parts: &Parts, name: &str) -> bool {
    parameters(parts.uri.query().unwrap_or_default()).any(|(_, given, _)| given == name)
}

/// Parameters that are the signature's own, in any case of letters.
fn is_signature(name: &str) -> bool {
    const OWN: [&str; 9] = [
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-signedheaders",
        "x-amz-signature",
        "x-amz-security-token",
        "x-amz-s3session-token",
        "x-amz-content-sha256",
    ];
    OWN.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// What a parameter of a presigned request is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Part of the request as it would be without a signature.
    Parameter,
    /// The signature's own.
    Signature,
    /// It stands for the `x-amz-*` header of this name, in lower case.
    Header(String),
}

impl Role {
    /// Of the parameter of this name, undecoded.
    pub(super) fn of(name: &str) -> Role {
        // Nearly every name is plain, and a presigned request has six of the signature's.
        let decoded = match name.contains('%') {
            false => Cow::Borrowed(name),
            true => match String::from_utf8(decode_percent(name.as_bytes())) {
                Ok(decoded) => Cow::Owned(decoded),
                Err(_) => return Role::Parameter,
            },
        };
        let prefix = decoded.as_bytes().get(..AMZ.len());
        if !prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(AMZ)) {
            Role::Parameter
        } else if is_signature(&decoded) {
            Role::Signature
        } else {
            Role::Header(decoded.to_ascii_lowercase())
        }
    }
}

const AMZ: &[u8] = b"x-amz-";

/// The headers that stand in the query, lower-case names with decoded values.
pub(super) fn hoisted(parts: &Parts) -> Result<Vec<(String, Vec<u8>)>, BodyError> {
    let mut found = Vec::new();
    for (_, name, value) in parameters(parts.uri.query().unwrap_or_default()) {
        let Role::Header(name) = Role::of(name) else {
            continue;
        };
        if found.len() == HOISTED_HEADERS_MAX {
            return Err(BodyError::InvalidRequest(
                "More than 128 headers stand in the query.".into(),
            ));
        }
        // `+` is a space in a query.
        let value = value.replace('+', " ");
        found.push((name, decode_percent(value.as_bytes())));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_the_signatures_or_a_header_in_any_spelling() {
        for name in ["X-Amz-Signature", "x-amz-date", "X-Amz-Signed%48eaders"] {
            assert_eq!(Role::of(name), Role::Signature, "{name}");
        }
        for name in ["X-Amz-Meta-A", "x%2Damz-META-a"] {
            assert_eq!(Role::of(name), Role::Header("x-amz-meta-a".to_owned()), "{name}");
        }
        for name in ["", "x-amz", "prefix", "x-id", "x-amz%FF-a", "\u{e9}x-amz-"] {
            assert_eq!(Role::of(name), Role::Parameter, "{name}");
        }
    }
}
