//! Owns: the decision whether a request was signed by who it says.
//! Limits: `SCRATCH_KEPT_BYTES_MAX`.
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
use super::checks::{
    CONTENT_SHA256, check_clock, check_coverage, covers, host, one_header, session_token,
};
use super::claim::{Claim, Mechanism, mechanism};
use super::error::{AuthError, Denied, Malformed, Mismatch};
use super::key::{KeyCache, Scope, SigningKey};
use super::limits::SCRATCH_KEPT_BYTES_MAX;
use super::payload::{
    EMPTY_SHA256, Payload, Stated, hex, parse_sha256, payload_line, payload_of, stated_payload,
};
use super::secret::Secrets;
use super::time::unix_seconds;
use crate::iam::{Caller, Known};

/// Checks the signatures of requests. One per lane is best: the keys it keeps are then never
/// contended.
pub struct Verifier {
    secrets: Arc<dyn Secrets>,
    services: Box<[Box<str>]>,
    keys: KeyCache,
}

/// What is known of a request that was let through.
#[derive(Debug, Clone)]
pub struct Verified {
    /// With which key it was sent.
    pub identity: Identity,
    /// Who sent it.
    pub caller: Caller,
    /// How it was signed.
    pub mechanism: Mechanism,
    /// Which headers the signature covers; empty for anonymous requests.
    pub signed_headers: SignedHeaders,
    /// What the signature says of the body.
    pub payload: Payload,
}

impl Verified {
    /// What is known of a request that nobody has signed, or whose signature is looked at later.
    pub fn unsigned() -> Verified {
        Verified {
            identity: Identity::Anonymous,
            caller: Caller::Anonymous,
            mechanism: Mechanism::Anonymous,
            signed_headers: SignedHeaders::default(),
            payload: Payload::Unsigned,
        }
    }
}

/// Which key a request was sent with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Nobody signed it.
    Anonymous,
    /// The holder of the secret of this access key id.
    Key(Arc<str>),
}

impl From<&Caller> for Identity {
    fn from(caller: &Caller) -> Identity {
        match caller.principal() {
            Some(principal) => Identity::Key(principal.access_key.clone()),
            None => Identity::Anonymous,
        }
    }
}

/// The names of the headers that a signature covers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignedHeaders(Box<str>);

impl SignedHeaders {
    /// Whether the header `name` (lower case) is covered. Whole names only.
    pub fn contains(&self, name: &str) -> bool {
        covers(&self.0, name)
    }

    /// Those names, separated by semicolons.
    #[cfg(test)]
    pub(crate) fn of(names: &str) -> SignedHeaders {
        SignedHeaders(names.into())
    }

    /// The names, in order.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
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
    /// A verifier for credential scopes of these `services` (`s3`; the routes of RDMA take `hipobj` too). The region of a scope is not checked: the server is in no region, and
    /// clients are configured with all sorts of them.
    pub fn new(secrets: Arc<dyn Secrets>, services: &[&str]) -> Verifier {
        let services = services.iter().map(|&service| Box::from(service)).collect();
        Verifier { secrets, services, keys: KeyCache::new() }
    }

    /// Verifies the head of a request at the moment `now`.
    ///
    /// # Errors
    /// Every refusal of S3's that concerns signing; see [`AuthError`]. A request without any
    /// signature is not refused here, it is [`Identity::Anonymous`].
    pub fn verify(&self, parts: &Parts, now: SystemTime) -> Result<Verified, AuthError> {
        self.verify_in_scratch(parts, now, None)
    }

    /// Verifies a request without a body, whose signer may leave `x-amz-content-sha256` out: services other than S3
    /// sign the hash of the body, here of nothing, without stating it. A stated value counts before it.
    ///
    /// # Errors
    /// As [`verify`](Verifier::verify).
    pub fn verify_bodiless(&self, parts: &Parts, now: SystemTime) -> Result<Verified, AuthError> {
        self.verify_in_scratch(parts, now, Some(&EMPTY_SHA256))
    }

    /// Verifies a request whose body has this SHA-256, which the signer may leave unstated, as those of IAM
    /// and STS do. A stated value counts before it, and is then to be compared.
    ///
    /// # Errors
    /// As [`verify`](Verifier::verify).
    pub fn verify_with_hash(
        &self,
        parts: &Parts,
        now: SystemTime,
        hash: &[u8; 32],
    ) -> Result<Verified, AuthError> {
        self.verify_in_scratch(parts, now, Some(hash))
    }

    fn verify_in_scratch(
        &self,
        parts: &Parts,
        now: SystemTime,
        unstated: Option<&[u8; 32]>,
    ) -> Result<Verified, AuthError> {
        // Taken out, not borrowed: a panic or a `Secrets` that verifies something itself find an
        // empty scratch, which is only slower.
        let mut scratch = SCRATCH.take();
        let outcome = self.decide(parts, unix_seconds(now), unstated, &mut scratch);
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
        unstated: Option<&[u8; 32]>,
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
        let token = session_token(parts, &scratch.query)?;
        let missing =
            |name: &str| AuthError::AccessDenied(Denied::SignedHeaderMissing(name.into()));
        let host = host(parts)?.ok_or_else(|| missing("host"))?;
        let line = payload_line(parts, mechanism, &claim, unstated, &scratch.query)?;
        let Known { secret, principal } =
            self.secrets.known(scope.access_key, token.as_deref(), now)?;
        let without = (mechanism == Mechanism::Query).then_some("X-Amz-Signature");
        let Scratch { query, canonical, to_sign } = scratch;
        canonical.clear();
        Request {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            headers: &parts.headers,
            host: host.as_bytes(),
            signed_headers: &claim.signed_headers,
            payload: line.as_bytes(),
        }
        .write(canonical, query, without)
        .map_err(missing)?;
        write_string_to_sign(to_sign, &claim, scope_text, canonical);
        let kept = self.keys.find(&scope, &secret);
        let key =
            kept.as_ref().map_or_else(|| SigningKey::derive(&secret, &scope), SigningKey::clone);
        let expected = key.sign(&[to_sign]);
        let given = parse_sha256(&claim.signature);
        if !given.is_some_and(|given| bool::from(expected.ct_eq(&given))) {
            return Err(mismatch(&scope, &claim, to_sign, canonical));
        }
        if kept.is_none() {
            self.keys.keep(&scope, &secret, &key, &principal.access_key);
        }
        let stated = stated_payload(parts, &line)?;
        let payload = payload_of(stated, || {
            ChunkChain::new(key, *claim.timestamp.text(), scope_text, &expected)
        });
        Ok(Verified {
            identity: Identity::Key(principal.access_key.clone()),
            caller: Caller::Principal(principal),
            mechanism,
            signed_headers: SignedHeaders(claim.signed_headers.as_ref().into()),
            payload,
        })
    }
}

fn anonymous(parts: &Parts) -> Result<Verified, AuthError> {
    let stated = match one_header(parts, &CONTENT_SHA256)? {
        Some(value) => Stated::parse(value)?,
        None => Stated::Unsigned,
    };
    let payload = match stated {
        Stated::Unsigned => Payload::Unsigned,
        Stated::Exact(hash) => Payload::Exact(hash),
        Stated::Chunked { signed: false, trailer } => Payload::Chunked { chain: None, trailer },
        Stated::Chunked { signed: true, .. } => {
            return Err(AuthError::InvalidRequest(
                "A body of signed chunks needs a signed request.".into(),
            ));
        }
    };
    let signed_headers = SignedHeaders::default();
    Ok(Verified {
        identity: Identity::Anonymous,
        caller: Caller::Anonymous,
        mechanism: Mechanism::Anonymous,
        signed_headers,
        payload,
    })
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
    let signature: String = String::from_utf8_lossy(&claim.signature).chars().take(128).collect();
    AuthError::SignatureDoesNotMatch(Box::new(Mismatch {
        access_key: scope.access_key.into(),
        signature: signature.into(),
        string_to_sign: String::from_utf8_lossy(to_sign).into(),
        canonical_request: String::from_utf8_lossy(canonical).into(),
    }))
}
