//! Owns: what leaves a request's head once it is verified and its body decoded, so that nothing
//! behind the door sees signatures or framing.
//! Not here: deciding anything; `plan` has.

use http::HeaderName;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};

use super::plan::{BodyPlan, DECODED_LENGTH, is_aws_chunked};
use super::promised::TRAILER;
use super::query::{self, Role};
use crate::auth::{CONTENT_SHA256, Mechanism, decode_percent};

/// Removes the signature (`Authorization`, `x-amz-content-sha256`, the signing parameters of the
/// query) and the framing (`x-amz-decoded-content-length`, `x-amz-trailer`, `aws-chunked` out of
/// `Content-Encoding`, which keeps its other codings), and sets `Content-Length` to the content's
/// length where it is known. The `x-amz-*` headers that a presigned request carries in its query
/// become headers, unless there is such a header.
pub fn strip(parts: &mut Parts, plan: &BodyPlan) {
    strip_query(parts, plan.mechanism);
    for name in [&CONTENT_SHA256, &DECODED_LENGTH, &TRAILER] {
        parts.headers.remove(name);
    }
    parts.headers.remove(AUTHORIZATION);
    strip_content_encoding(parts);
    if let Some(length) = plan.length {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        parts.headers.remove(TRANSFER_ENCODING);
    }
}

fn strip_query(parts: &mut Parts, mechanism: Mechanism) {
    let Some(raw) = parts.uri.query() else { return };
    if mechanism != Mechanism::Query {
        return;
    }
    let mut kept = String::with_capacity(raw.len());
    let mut hoisted = Vec::new();
    for (pair, name, value) in query::parameters(raw) {
        match Role::of(name) {
            Role::Parameter => {
                if !kept.is_empty() {
                    kept.push('&');
                }
                kept.push_str(pair);
            }
            Role::Signature => {}
            Role::Header(name) => {
                hoisted.push((name, decode_percent(value.replace('+', " ").as_bytes())))
            }
        }
    }
    for (name, value) in hoisted {
        // What is no header, no operation would read as one.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            parts.headers.entry(name).or_insert(value);
        }
    }
    replace_query(&mut parts.uri, &kept);
}

/// Sets the query of `uri`. The pieces come out of a URI, so they make one again; were that not so,
/// the old URI, whose signature was checked, stays.
fn replace_query(uri: &mut Uri, query: &str) {
    let path = uri.path();
    let text = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let mut pieces = uri.clone().into_parts();
    if let Ok(path_and_query) = PathAndQuery::try_from(text) {
        pieces.path_and_query = Some(path_and_query);
        if let Ok(stripped) = Uri::from_parts(pieces) {
            *uri = stripped;
        }
    }
}

fn strip_content_encoding(parts: &mut Parts) {
    let values = parts.headers.get_all(CONTENT_ENCODING);
    let tokens = || {
        values
            .iter()
            .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii)
    };
    if !tokens().any(is_aws_chunked) {
        return;
    }
    let kept: Vec<&[u8]> =
        tokens().filter(|token| !token.is_empty() && !is_aws_chunked(token)).collect();
    // The tokens come out of header values, so they make one again.
    let kept =
        HeaderValue::from_bytes(&kept.join(&b", "[..])).ok().filter(|value| !value.is_empty());
    parts.headers.remove(CONTENT_ENCODING);
    if let Some(kept) = kept {
        parts.headers.insert(CONTENT_ENCODING, kept);
    }
}
