//! Owns: what a request claims about its signature, read from the `Authorization` header or from
//! the query of a presigned request.
//! Limits: `ACCESS_KEY_BYTES_MAX`, `SIGNED_HEADERS_MAX`, `EXPIRES_SECONDS_MAX`.
//! Not here: whether the claim is true (`verifier`).

use std::borrow::Cow;

use http::HeaderMap;

use super::canonical::{Query, decode};
use super::error::{AuthError, Denied, Malformed};
use super::key::Scope;
use super::limits::{ACCESS_KEY_BYTES_MAX, EXPIRES_SECONDS_MAX, SIGNED_HEADERS_MAX};
use super::time::Timestamp;

/// How a request says who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// Not at all.
    Anonymous,
    /// By the `Authorization` header.
    Header,
    /// By `X-Amz-...` query parameters: a presigned URL.
    Query,
}

/// The texts of a claim, borrowed from the header or decoded from the query.
pub(super) struct Claim<'a> {
    pub(super) credential: Cow<'a, str>,
    pub(super) signed_headers: Cow<'a, str>,
    pub(super) signature: Cow<'a, [u8]>,
    pub(super) timestamp: Timestamp,
    /// Seconds that a presigned request stays valid.
    pub(super) expires: Option<i64>,
}

const UNSUPPORTED: &str =
    "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Which mechanism the request uses, with the `Authorization` value if it is that one.
pub(super) fn mechanism<'a>(
    headers: &'a HeaderMap,
    query: &Query,
) -> Result<(Mechanism, &'a str), AuthError> {
    let signature_v4 = ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"]
        .iter()
        .any(|name| query.has(name));
    let signature_v2 = query.has("AWSAccessKeyId") || query.has("Signature");
    let mut values =
        headers.get_all(http::header::AUTHORIZATION).iter().filter(|value| !value.is_empty());
    let header = values.next();
    if values.next().is_some()
        || (header.is_some() && (signature_v4 || signature_v2))
        || (signature_v4 && signature_v2)
    {
        return Err(AuthError::InvalidArgument(
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string \
             parameter or the Authorization header should be specified"
                .into(),
        ));
    }
    if signature_v2 {
        return Err(AuthError::InvalidRequest(UNSUPPORTED.into()));
    }
    match header {
        None if signature_v4 => Ok((Mechanism::Query, "")),
        None => Ok((Mechanism::Anonymous, "")),
        Some(value) => {
            let text = value.to_str().unwrap_or_default().trim_ascii();
            let (scheme, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
            match scheme {
                ALGORITHM => Ok((Mechanism::Header, rest)),
                // SigV2 ("AWS id:signature") and SigV4's other algorithms.
                "AWS" => Err(AuthError::InvalidRequest(UNSUPPORTED.into())),
                _ if scheme.starts_with("AWS4-") => {
                    Err(AuthError::InvalidRequest(UNSUPPORTED.into()))
                }
                _ => Err(AuthError::InvalidArgument("Unsupported Authorization Type".into())),
            }
        }
    }
}

impl<'a> Claim<'a> {
    /// Reads `Credential=..., SignedHeaders=..., Signature=...` in any order, and the date.
    pub(super) fn from_header(text: &'a str, headers: &HeaderMap) -> Result<Claim<'a>, AuthError> {
        let malformed = AuthError::AuthorizationHeaderMalformed;
        let mut components: [(&'static str, Option<&'a str>); 3] =
            [("Credential", None), ("SignedHeaders", None), ("Signature", None)];
        for part in text.split(',').map(str::trim_ascii) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let Some(component) = components.iter_mut().find(|component| component.0 == name)
            else {
                // Bounded, as it goes back into the answer.
                return Err(malformed(Malformed::Unknown(name.chars().take(64).collect())));
            };
            if component.1.replace(value).is_some() {
                return Err(malformed(Malformed::Repeated(component.0)));
            }
        }
        let [credential, signed_headers, signature] =
            components.map(|(name, value)| value.ok_or(Malformed::Missing(name)));
        let claim = Claim {
            credential: Cow::Borrowed(credential.map_err(malformed)?),
            signed_headers: Cow::Borrowed(signed_headers.map_err(malformed)?),
            signature: Cow::Borrowed(signature.map_err(malformed)?.as_bytes()),
            timestamp: request_time(headers)?,
            expires: None,
        };
        check_signed_headers(&claim.signed_headers).map_err(malformed)?;
        Ok(claim)
    }

    /// Reads the six parameters of a presigned request.
    pub(super) fn from_query(query: &Query) -> Result<Claim<'static>, AuthError> {
        let malformed = AuthError::AuthorizationQueryParametersError;
        let value = |name: &'static str| match query.find(name) {
            Some((_, true)) => Err(malformed(Malformed::Repeated(name))),
            Some((value, false)) => Ok(value),
            None => Err(malformed(Malformed::MissingParameters)),
        };
        let text = |name, otherwise| {
            String::from_utf8(decode(value(name)?)).map_err(|_| malformed(otherwise))
        };
        if value("X-Amz-Algorithm")? != ALGORITHM.as_bytes() {
            return Err(malformed(Malformed::Algorithm));
        }
        let credential = text("X-Amz-Credential", Malformed::Credential)?;
        let signature = value("X-Amz-Signature")?.to_vec();
        let timestamp =
            Timestamp::from_iso(value("X-Amz-Date")?).ok_or(malformed(Malformed::Date))?;
        let signed_headers = text("X-Amz-SignedHeaders", Malformed::SignedHeaders)?;
        let expires = parse_expires(value("X-Amz-Expires")?).map_err(malformed)?;
        check_signed_headers(&signed_headers).map_err(malformed)?;
        Ok(Claim {
            credential: Cow::Owned(credential),
            signed_headers: Cow::Owned(signed_headers),
            signature: Cow::Owned(signature),
            timestamp,
            expires: Some(expires),
        })
    }

    /// The credential's scope, which must be for one of `services` and for the date of the request,
    /// and its text as it is signed (`20130524/us-east-1/s3/aws4_request`). Any region is taken.
    pub(super) fn scope(&self, services: &[Box<str>]) -> Result<(Scope<'_>, &str), Malformed> {
        // From the right: an access key id may hold slashes.
        let mut parts = self.credential.rsplitn(5, '/');
        let (Some(terminal), Some(service), Some(region), Some(date), Some(access_key)) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Malformed::Credential);
        };
        let fits = !access_key.is_empty()
            && access_key.len() <= ACCESS_KEY_BYTES_MAX
            && !region.is_empty();
        if !fits || date.len() != 8 || !date.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Malformed::Credential);
        }
        if terminal != "aws4_request" {
            return Err(Malformed::Terminal(shortened(terminal)));
        }
        if !services.iter().any(|accepted| **accepted == *service) {
            let accepted = services.first().cloned().unwrap_or_default();
            return Err(Malformed::Service { given: shortened(service), accepted });
        }
        if date.as_bytes() != self.timestamp.date() {
            let request = String::from_utf8_lossy(self.timestamp.date()).into();
            return Err(Malformed::ScopeDate { scope: date.into(), request });
        }
        let text = &self.credential[access_key.len() + 1..];
        Ok((Scope { access_key, date, region, service }, text))
    }
}

fn shortened(text: &str) -> Box<str> {
    text.chars().take(64).collect()
}

/// The moment that a header-signed request states: `x-amz-date`, else `Date`.
fn request_time(headers: &HeaderMap) -> Result<Timestamp, AuthError> {
    let no_date = AuthError::AccessDenied(Denied::NoDate);
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        values.next().map(
            |value| {
                if values.next().is_some() { None } else { Some(value.as_bytes()) }
            },
        )
    };
    let stated = match (one("x-amz-date"), one("date")) {
        (Some(value), _) => value.and_then(Timestamp::from_iso),
        (None, Some(value)) => value.and_then(Timestamp::from_date_header),
        (None, None) => None,
    };
    stated.ok_or(no_date)
}

fn parse_expires(text: &[u8]) -> Result<i64, Malformed> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed::ExpiresNotNumber);
    }
    let seconds = digits.iter().fold(0i64, |value, digit| {
        value.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
    });
    match seconds {
        _ if negative => Err(Malformed::ExpiresTooSmall),
        0 => Err(Malformed::ExpiresTooSmall),
        1..=EXPIRES_SECONDS_MAX => Ok(seconds),
        _ => Err(Malformed::ExpiresTooLarge),
    }
}

/// Distinct lower-case header names in order. The order is what rules out repetitions cheaply.
fn check_signed_headers(list: &str) -> Result<(), Malformed> {
    let mut previous = "";
    for (at, name) in list.split(';').enumerate() {
        let token = name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
        });
        if at == SIGNED_HEADERS_MAX || !token || name <= previous {
            return Err(Malformed::SignedHeaders);
        }
        previous = name;
    }
    Ok(())
}
