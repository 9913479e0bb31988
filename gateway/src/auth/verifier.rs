//! Owns: the decision whether a request was signed by who it says.
//! Limits: `CLOCK_SKEW_SECONDS_MAX`, `SCRATCH_KEPT_BYTES_MAX`.
//! Not here: what the signer may do; checking the body against what was signed (`body`).
//!
//! Order of refusal: mechanism, form of the claim, clock, coverage, key, signature. All but the
//! last two are decided without any secret.

use std::cell::Cell;
use std::sync::Arc;
use std::time::SystemTime;

use http::request::Parts;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::canonical::{Query, Request};
use super::chain::ChunkChain;
use super::claim::{Claim, Mechanism, mechanism};
use super::error::{AuthError, Denied, Malformed, Mismatch};
use super::key::{KeyCache, Scope, SigningKey};
use super::limits::{CLOCK_SKEW_SECONDS_MAX, SCRATCH_KEPT_BYTES_MAX};
use super::payload::{Payload, Stated, UNSIGNED_PAYLOAD, hex, parse_sha256};
use super::secret::{Secret, Secrets};
use super::time::unix_seconds;

/// Checks the signatures of requests. One per lane is best: the keys it keeps are then never
/// contended. A clone shares the secrets and starts with no keys.
pub struct Verifier {
    secrets: Arc<dyn Secrets>,
    services: Arc<[Box<str>]>,
    keys: KeyCache,
}

/// What is known of a request that was let through.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Who sent it.
    pub identity: Identity,
    /// How it was signed.
    pub mechanism: Mechanism,
    /// Which headers the signature covers; empty for anonymous requests.
    pub signed_headers: SignedHeaders,
    /// What the signature says of the body.
    pub payload: Payload,
}

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Nobody signed it.
    Anonymous,
    /// The holder of the secret of this access key id.
    Key(Arc<str>),
}

/// The names of the headers that a signature covers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignedHeaders(Box<str>);

impl SignedHeaders {
    /// Whether the header `name` (lower case) is covered. Whole names only.
    pub fn contains(&self, name: &str) -> bool {
        covers(&self.0, name)
    }

    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(';').filter(|name| !name.is_empty())
    }
}

/// The buffers of one verification; each thread keeps one between requests.
#[derive(Default)]
struct Scratch {
    query: Query,
    canonical: Vec<u8>,
    to_sign: Vec<u8>,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

impl Verifier {
    /// A verifier for credential scopes of these `services` (`s3`; other routes may add theirs,
    /// `sts` or `hipobj`). The region of a scope is not checked: the server is in no region, and
    /// clients are configured with all sorts of them.
    pub fn new(secrets: Arc<dyn Secrets>, services: &[&str]) -> Verifier {
        let services = services.iter().map(|&service| Box::from(service)).collect();
        Verifier {
            secrets,
            services,
            keys: KeyCache::new(),
        }
    }

    /// Verifies the head of a request at the moment `now`.
    ///
    /// # Errors
    /// Every refusal of S3's that concerns signing; see [`AuthError`]. A request without any
    /// signature is not refused here, it is [`Identity::Anonymous`].
    pub fn verify(&self, parts: &Parts, now: SystemTime) -> Result<Verified, AuthError> {
        self.verify_in_scratch(parts, now, None)
    }

    /// Verifies a request whose signer may leave `x-amz-content-sha256` out: services other than
    /// S3 sign the hash of the body without stating it. `body` is the SHA-256 of the body, which the
    /// caller has read, or [`EMPTY_SHA256`](super::EMPTY_SHA256) for routes that take none. A stated
    /// value counts before it.
    ///
    /// # Errors
    /// As [`verify`](Verifier::verify).
    pub fn verify_with_body_hash(
        &self,
        parts: &Parts,
        now: SystemTime,
        body: &[u8; 32],
    ) -> Result<Verified, AuthError> {
        self.verify_in_scratch(parts, now, Some(body))
    }

    fn verify_in_scratch(
        &self,
        parts: &Parts,
        now: SystemTime,
        body: Option<&[u8; 32]>,
    ) -> Result<Verified, AuthError> {
        // Taken out, not borrowed: a panic or a `Secrets` that verifies something itself find an
        // empty scratch, which is only slower.
        let mut scratch = SCRATCH.take();
        let outcome = self.decide(parts, unix_seconds(now), body, &mut scratch);
        let kept =
            scratch.query.kept_bytes() + scratch.canonical.capacity() + scratch.to_sign.capacity();
        if kept <= SCRATCH_KEPT_BYTES_MAX {
            SCRATCH.set(scratch);
        }
        outcome
    }

    fn decide(
        &self,
        parts: &Parts,
        now: i64,
        body: Option<&[u8; 32]>,
        scratch: &mut Scratch,
    ) -> Result<Verified, AuthError> {
        scratch.query.read(parts.uri.query().unwrap_or_default())?;
        let (mechanism, text) = mechanism(&parts.headers, &scratch.query)?;
        let claim = match mechanism {
            Mechanism::Anonymous => return anonymous(parts),
            Mechanism::Header => Claim::from_header(text, &parts.headers)?,
            Mechanism::Query => Claim::from_query(&scratch.query)?,
        };
        let malformed = |why: Malformed| match mechanism {
            Mechanism::Query => AuthError::AuthorizationQueryParametersError(why),
            _ => AuthError::AuthorizationHeaderMalformed(why),
        };
        let (scope, scope_text) = claim.scope(&self.services).map_err(malformed)?;
        check_clock(&claim, now)?;
        check_coverage(parts, mechanism, &claim.signed_headers)?;
        refuse_session_token(parts, &scratch.query)?;
        let line = payload_line(parts, mechanism, &claim, body, &scratch.query)?;
        let Some(secret) = self.secrets.secret(scope.access_key) else {
            return Err(AuthError::InvalidAccessKeyId(scope.access_key.into()));
        };
        let without = (mechanism == Mechanism::Query).then_some("X-Amz-Signature");
        let Scratch {
            query,
            canonical,
            to_sign,
        } = scratch;
        canonical.clear();
        Request {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            headers: &parts.headers,
            host: host(parts)?.unwrap_or_default().as_bytes(),
            signed_headers: &claim.signed_headers,
            payload: line.as_bytes(),
        }
        .write(canonical, query, without)
        .map_err(|name| AuthError::AccessDenied(Denied::SignedHeaderMissing(name.into())))?;
        write_string_to_sign(to_sign, &claim, scope_text, canonical);
        let kept = self.keys.find(&scope, &secret);
        let key = kept.as_ref().map_or_else(
            || SigningKey::derive(&secret, &scope),
            |(key, _)| key.clone(),
        );
        let expected = key.sign(&[to_sign]);
        let given = parse_sha256(&claim.signature);
        if !given.is_some_and(|given| bool::from(expected.ct_eq(&given))) {
            return Err(mismatch(&scope, &claim, to_sign, canonical));
        }
        let access_key = self.identity(kept, &scope, &secret, &key);
        let stated = stated_payload(parts, &line)?;
        let payload = payload_of(stated, || {
            ChunkChain::new(key, *claim.timestamp.text(), scope_text, &expected)
        });
        Ok(Verified {
            identity: Identity::Key(access_key),
            mechanism,
            signed_headers: SignedHeaders(claim.signed_headers.as_ref().into()),
            payload,
        })
    }

    /// The shared text of the access key id; a key that was not kept is kept from here on.
    fn identity(
        &self,
        kept: Option<(SigningKey, Arc<str>)>,
        scope: &Scope<'_>,
        secret: &Secret,
        key: &SigningKey,
    ) -> Arc<str> {
        kept.map_or_else(
            || {
                let access_key: Arc<str> = scope.access_key.into();
                self.keys.keep(scope, secret, key, &access_key);
                access_key
            },
            |(_, access_key)| access_key,
        )
    }
}

impl Clone for Verifier {
    fn clone(&self) -> Verifier {
        Verifier {
            secrets: Arc::clone(&self.secrets),
            services: Arc::clone(&self.services),
            keys: KeyCache::new(),
        }
    }
}

/// The host that the request names: `:authority` in HTTP/2, else the `Host` header. A request that
/// names two different ones is refused, so what is signed is what is routed by.
///
/// # Errors
/// `InvalidRequest` for more than one host.
pub fn host(parts: &Parts) -> Result<Option<&str>, AuthError> {
    let mut values = parts.headers.get_all(http::header::HOST).iter();
    let header = values
        .next()
        .map(|value| value.to_str().unwrap_or_default());
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let differ = header
        .zip(authority)
        .is_some_and(|(header, authority)| !header.eq_ignore_ascii_case(authority));
    if values.next().is_some() || differ {
        return Err(AuthError::InvalidRequest(
            "The request names more than one host.".into(),
        ));
    }
    Ok(if parts.version == http::Version::HTTP_2 {
        authority.or(header)
    } else {
        header.or(authority)
    })
}

fn anonymous(parts: &Parts) -> Result<Verified, AuthError> {
    let stated = match one_header(parts, "x-amz-content-sha256")? {
        Some(value) => Stated::parse(value)?,
        None => Stated::Unsigned,
    };
    let payload = match stated {
        Stated::Unsigned => Payload::Unsigned,
        Stated::Exact(hash) => Payload::Exact(hash),
        Stated::Chunked {
            signed: false,
            trailer,
        } => Payload::Chunked {
            chain: None,
            trailer,
        },
        Stated::Chunked { signed: true, .. } => {
            return Err(AuthError::InvalidRequest(
                "A body of signed chunks needs a signed request.".into(),
            ));
        }
    };
    let signed_headers = SignedHeaders::default();
    Ok(Verified {
        identity: Identity::Anonymous,
        mechanism: Mechanism::Anonymous,
        signed_headers,
        payload,
    })
}

fn check_clock(claim: &Claim<'_>, now: i64) -> Result<(), AuthError> {
    let request = claim.timestamp.unix();
    match claim.expires {
        None if (request - now).abs() > CLOCK_SKEW_SECONDS_MAX => {
            Err(AuthError::RequestTimeTooSkewed {
                request,
                server: now,
            })
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
fn check_coverage(parts: &Parts, mechanism: Mechanism, signed: &str) -> Result<(), AuthError> {
    if !covers(signed, "host") {
        return Err(AuthError::AccessDenied(Denied::HostNotSigned));
    }
    let unsigned = parts
        .headers
        .keys()
        .map(|name| name.as_str())
        .filter(|name| {
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
        Err(AuthError::AccessDenied(Denied::HeadersNotSigned(
            names.into(),
        )))
    }
}

/// Headers that need no signature: one that only names the client's software, which browsers' SDKs
/// send, and for presigned requests the statement about the body, which SDKs add when they use a
/// URL that another made. It grants nothing: a wrong statement fails the body's check.
fn tolerated(mechanism: Mechanism, name: &str) -> bool {
    name == "x-amz-user-agent" || (name == "x-amz-content-sha256" && mechanism == Mechanism::Query)
}

fn covers(list: &str, name: &str) -> bool {
    !name.is_empty() && list.split(';').any(|signed| signed == name)
}

/// There are no temporary credentials here, so nothing a token could be checked against.
fn refuse_session_token(parts: &Parts, query: &Query) -> Result<(), AuthError> {
    let header = parts
        .headers
        .get_all("x-amz-security-token")
        .iter()
        .any(|value| !value.is_empty());
    let parameter = query
        .find("X-Amz-Security-Token")
        .is_some_and(|(value, more)| more || !value.is_empty());
    if header || parameter {
        Err(AuthError::InvalidToken)
    } else {
        Ok(())
    }
}

/// The last line of the canonical request, as text (never longer than a header value).
fn payload_line(
    parts: &Parts,
    mechanism: Mechanism,
    claim: &Claim<'_>,
    body: Option<&[u8; 32]>,
    query: &Query,
) -> Result<Line, AuthError> {
    let header = one_header(parts, "x-amz-content-sha256")?;
    let line = match mechanism {
        Mechanism::Query => match query.find("X-Amz-Content-Sha256") {
            Some((_, true)) => {
                let repeated = Malformed::Repeated("X-Amz-Content-Sha256");
                return Err(AuthError::AuthorizationQueryParametersError(repeated));
            }
            Some((value, false)) => value,
            None => header
                .filter(|_| covers(&claim.signed_headers, "x-amz-content-sha256"))
                .unwrap_or(UNSIGNED_PAYLOAD.as_bytes()),
        },
        _ => match (header, body) {
            (Some(value), _) => value,
            (None, Some(body)) => return Ok(Line::from_bytes(&hex(body))),
            (None, None) => {
                return Err(AuthError::InvalidRequest(
                    "Missing required header for this request: x-amz-content-sha256".into(),
                ));
            }
        },
    };
    // Refused before it is signed: no kind is longer than the line can hold.
    Stated::parse(line)?;
    Ok(Line::from_bytes(line))
}

/// A payload line, held in place: a hash has 64 bytes, the longest
/// streaming kind 42.
struct Line {
    bytes: [u8; 64],
    len: usize,
}

impl Line {
    fn from_bytes(text: &[u8]) -> Line {
        let mut bytes = [0; 64];
        let len = text.len().min(bytes.len());
        bytes[..len].copy_from_slice(&text[..len]);
        Line { bytes, len }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What is said of the body: the signed line, unless that leaves it open and a header says more.
fn stated_payload(parts: &Parts, line: &Line) -> Result<Stated, AuthError> {
    let signed = Stated::parse(line.as_bytes())?;
    match (signed, one_header(parts, "x-amz-content-sha256")?) {
        (Stated::Unsigned, Some(value)) => Stated::parse(value),
        (_, Some(value)) if value != line.as_bytes() => Err(AuthError::InvalidRequest(
            "x-amz-content-sha256 differs between header and query.".into(),
        )),
        (signed, _) => Ok(signed),
    }
}

fn payload_of(stated: Stated, chain: impl FnOnce() -> ChunkChain) -> Payload {
    match stated {
        Stated::Unsigned => Payload::Unsigned,
        Stated::Exact(hash) => Payload::Exact(hash),
        Stated::Chunked { signed, trailer } => Payload::Chunked {
            chain: signed.then(|| Box::new(chain())),
            trailer,
        },
    }
}

fn one_header<'a>(parts: &'a Parts, name: &'static str) -> Result<Option<&'a [u8]>, AuthError> {
    let mut values = parts.headers.get_all(name).iter();
    let first = values.next().map(|value| value.as_bytes());
    if values.next().is_some() {
        return Err(AuthError::InvalidRequest(
            format!("The header {name} is given more than once.").into(),
        ));
    }
    Ok(first)
}

fn write_string_to_sign(out: &mut Vec<u8>, claim: &Claim<'_>, scope: &str, canonical: &[u8]) {
    out.clear();
    out.extend_from_slice(b"AWS4-HMAC-SHA256\n");
    out.extend_from_slice(claim.timestamp.text());
    out.push(b'\n');
    out.extend_from_slice(scope.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(&hex(&Sha256::digest(canonical).into()));
}

fn mismatch(scope: &Scope<'_>, claim: &Claim<'_>, to_sign: &[u8], canonical: &[u8]) -> AuthError {
    let signature: String = String::from_utf8_lossy(&claim.signature)
        .chars()
        .take(128)
        .collect();
    AuthError::SignatureDoesNotMatch(Box::new(Mismatch {
        access_key: scope.access_key.into(),
        signature: signature.into(),
        string_to_sign: String::from_utf8_lossy(to_sign).into(),
        canonical_request: String::from_utf8_lossy(canonical).into(),
    }))
}
