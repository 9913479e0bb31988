//! Owns: what a claim must satisfy before any secret is looked up: its clock, what it covers, the host
//! it is for, and which session token it brings.
//! Limits: `CLOCK_SKEW_SECONDS_MAX`.
//! Not here: the form of a claim (`claim`); its signature (`verifier`).

use std::borrow::Cow;

use http::HeaderName;
use http::request::Parts;

use super::canonical::{Query, decode};
use super::claim::{Claim, Mechanism};
use super::error::{AuthError, Denied};
use super::limits::CLOCK_SKEW_SECONDS_MAX;

/// The host that the request names: `:authority` in HTTP/2, else the `Host` header. A request that
/// names two different ones is refused, so what is signed is what is routed by.
///
/// # Errors
/// `InvalidRequest` for more than one host, or one that is not ASCII.
pub fn host(parts: &Parts) -> Result<Option<&str>, AuthError> {
    let mut values = parts.headers.get_all(http::header::HOST).iter();
    let header = values.next().map(|value| value.to_str()).transpose();
    let header =
        header.map_err(|_| AuthError::InvalidRequest("The Host header is malformed.".into()))?;
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let differ = header
        .zip(authority)
        .is_some_and(|(header, authority)| !header.eq_ignore_ascii_case(authority));
    if values.next().is_some() || differ {
        return Err(AuthError::InvalidRequest("The request names more than one host.".into()));
    }
    Ok(if parts.version == http::Version::HTTP_2 {
        authority.or(header)
    } else {
        header.or(authority)
    })
}

pub(super) fn check_clock(claim: &Claim<'_>, now: i64) -> Result<(), AuthError> {
    let request = claim.timestamp.unix();
    match claim.expires {
        None if (request - now).abs() > CLOCK_SKEW_SECONDS_MAX => {
            Err(AuthError::RequestTimeTooSkewed { request, server: now })
        }
        Some(_) if request - now > CLOCK_SKEW_SECONDS_MAX => {
            Err(AuthError::AccessDenied(Denied::NotValidYet))
        }
        Some(lifetime) if now > request + lifetime => {
            Err(AuthError::AccessDenied(Denied::Expired {
                lifetime,
                expired: request + lifetime,
                server: now,
            }))
        }
        _ => Ok(()),
    }
}

/// `host` and every `x-amz-*` header must be signed: what is not signed, anyone on the way could
/// have added, and these headers change what a request does.
pub(super) fn check_coverage(
    parts: &Parts,
    mechanism: Mechanism,
    signed: &str,
) -> Result<(), AuthError> {
    if !covers(signed, "host") {
        return Err(AuthError::AccessDenied(Denied::HostNotSigned));
    }
    let unsigned = parts.headers.keys().map(|name| name.as_str()).filter(|name| {
        name.starts_with("x-amz-") && !tolerated(mechanism, name) && !covers(signed, name)
    });
    let mut names = String::new();
    for name in unsigned {
        if !names.is_empty() {
            names.push_str(", ");
        }
        names.push_str(name);
    }
    if names.is_empty() {
        Ok(())
    } else {
        Err(AuthError::AccessDenied(Denied::HeadersNotSigned(names.into())))
    }
}

/// Headers that need no signature: one that only names the client's software, which browsers' SDKs
/// send, and for presigned requests the statement about the body, which SDKs add when they use a
/// URL that another made. It grants nothing: a wrong statement fails the body's check.
fn tolerated(mechanism: Mechanism, name: &str) -> bool {
    name == "x-amz-user-agent" || (name == "x-amz-content-sha256" && mechanism == Mechanism::Query)
}

pub(super) fn covers(list: &str, name: &str) -> bool {
    !name.is_empty() && list.split(';').any(|signed| signed == name)
}

static SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// What the request says of its body.
pub static CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");

static S3_SESSION_TOKEN: HeaderName = HeaderName::from_static("x-amz-s3session-token");

/// The session token: a header, or a parameter of a presigned request; of STS, or of S3 Express. None
/// when all are absent or empty. Both places are signed: the header since coverage was checked, the
/// parameter as a part of the query.
pub(super) fn session_token<'a>(
    parts: &'a Parts,
    query: &Query,
) -> Result<Option<Cow<'a, [u8]>>, AuthError> {
    let mut found = None;
    for name in [&SECURITY_TOKEN, &S3_SESSION_TOKEN] {
        for value in parts.headers.get_all(name).iter().filter(|value| !value.is_empty()) {
            if found.replace(Cow::Borrowed(value.as_bytes())).is_some() {
                return Err(AuthError::InvalidToken);
            }
        }
    }
    for name in ["X-Amz-Security-Token", "X-Amz-S3session-Token"] {
        match query.find(name) {
            None | Some((b"", false)) => {}
            Some((value, false)) if found.is_none() => found = Some(Cow::Owned(decode(value))),
            Some(_) => return Err(AuthError::InvalidToken),
        }
    }
    Ok(found)
}

pub(super) fn one_header<'a>(
    parts: &'a Parts,
    name: &HeaderName,
) -> Result<Option<&'a [u8]>, AuthError> {
    let mut values = parts.headers.get_all(name).iter();
    let first = values.next().map(|value| value.as_bytes());
    if values.next().is_some() {
        return Err(AuthError::InvalidRequest(
            format!("The header {name} is given more than once.").into(),
        ));
    }
    Ok(first)
}
