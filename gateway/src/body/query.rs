//! Owns: reading the query of a request where it stands for headers: SDKs move ("hoist") a
//! presigned request's `x-amz-*` headers into the query, and S3 reads them there.
//! Limits: `HOISTED_HEADERS_MAX`.
//! Not here: the query as it is signed (`auth`).

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

/// Parameters that are the signature's own.
pub(super) fn is_signature(name: &str) -> bool {
    const OWN: [&str; 8] = [
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-signedheaders",
        "x-amz-signature",
        "x-amz-security-token",
        "x-amz-content-sha256",
    ];
    OWN.contains(&name)
}

/// The name in lower case if the parameter stands for an `x-amz-*` header or signs the request.
pub(super) fn amz_name(name: &str) -> Option<String> {
    let name = String::from_utf8(decode_percent(name.as_bytes())).ok()?.to_ascii_lowercase();
    name.starts_with("x-amz-").then_some(name)
}

/// The headers that stand in the query, lower-case names with decoded values.
pub(super) fn hoisted(parts: &Parts) -> Result<Vec<(String, Vec<u8>)>, BodyError> {
    let mut found = Vec::new();
    for (_, name, value) in parameters(parts.uri.query().unwrap_or_default()) {
        let Some(name) = amz_name(name).filter(|name| !is_signature(name)) else {
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
