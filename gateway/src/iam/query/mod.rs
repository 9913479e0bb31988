//! The query APIs of IAM and STS: `POST /` with a form, signed for service `iam` or `sts`.
//!
//! In the order of a request: `concerns` says that it is one, its body is read, `form` reads its
//! parameters, the signature is checked over both, `identity` and `sts` carry it out, `answer` writes the
//! XML.
//! Limits: `QUERY_BODY_BYTES_MAX`, `QUERY_REQUESTS_MAX`.
//!
//! Not here: changes of users (`super::change`), tokens (`super::sealing`).

mod answer;
mod form;
mod identity;
mod sts;

use std::cell::Cell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::SystemTime;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use s3s::Body;
use sha2::{Digest as _, Sha256};

use super::decide::{Decision, decide_within};
use super::policy::{Context, Request, Resource, Values};
use super::principal::{Caller, Principal};
use super::registry::{Iam, LaneKeys};
use crate::auth::{AuthError, Payload, Verifier};
use crate::limits;
use crate::record::{AccountSlot, Watch};
use answer::Failure;
use form::Form;

/// Both APIs on one lane.
pub struct Query {
    iam: Arc<Iam>,
    verifier: Verifier,
    in_flight: Cell<usize>,
}

/// What a request asks, of whom it is and where it comes from.
struct Asked<'a> {
    iam: &'a Arc<Iam>,
    caller: &'a Caller,
    principal: &'a Arc<Principal>,
    form: &'a Form,
    peer: Option<IpAddr>,
    now: i64,
}

/// The result of an action: the elements of its result.
type Answered = Result<String, Failure>;

/// Whether a request is one of these APIs: S3 has no POST of its root.
pub fn concerns(parts: &Parts) -> bool {
    let in_host = || {
        let slot = parts.extensions.get::<AccountSlot>();
        slot.is_some_and(|slot| slot.account().asked.bucket_in_host.is_some())
    };
    parts.method == Method::POST
        && parts.uri.path() == "/"
        && parts.uri.query().is_none()
        && is_form(parts)
        && !in_host()
}

fn is_form(parts: &Parts) -> bool {
    let form = b"application/x-www-form-urlencoded";
    let value = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    value
        .and_then(|value| value.get(..form.len()))
        .is_some_and(|start| start.eq_ignore_ascii_case(form))
}

/// Counts a request while it is worked on.
struct Place<'a>(&'a Cell<usize>);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Query {
    /// On one lane.
    pub fn new(iam: Arc<Iam>) -> Query {
        let keys = Arc::new(LaneKeys::new(iam.clone()));
        Query { iam, verifier: Verifier::new(keys, &["iam", "sts"]), in_flight: Cell::new(0) }
    }

    /// Answers a request, of which nothing has been verified yet.
    pub async fn answer(&self, parts: Parts, body: Body) -> Response<Body> {
        let id = parts.extensions.get::<AccountSlot>();
        let id = id.map(|slot| slot.account().asked.id.as_str().to_owned()).unwrap_or_default();
        let mut action = String::new();
        let outcome = self.outcome(&parts, body, &mut action).await;
        answer::write(&action, outcome, &id)
    }

    async fn outcome(&self, parts: &Parts, body: Body, action: &mut String) -> Answered {
        if self.in_flight.get() >= limits::QUERY_REQUESTS_MAX {
            return Err(Failure::new(StatusCode::BAD_REQUEST, "Throttling", "Rate exceeded"));
        }
        self.in_flight.set(self.in_flight.get() + 1);
        let _place = Place(&self.in_flight);
        let bytes = collect(body).await?;
        let form = Form::parse(&bytes)?;
        action.push_str(form.text("Action").unwrap_or_default());
        if sts::UNSIGNED.contains(&action.as_str()) {
            return Err(sts::not_implemented(action));
        }
        if !parts.headers.contains_key(AUTHORIZATION) {
            let message = "Request is missing Authentication Token";
            return Err(Failure::new(StatusCode::FORBIDDEN, "MissingAuthenticationToken", message));
        }
        let now = SystemTime::now();
        let caller = self.verify(parts, &bytes, now)?;
        let Some(principal) = caller.principal() else {
            return Err(Failure::denied("The request is not signed."));
        };
        let slot = parts.extensions.get::<AccountSlot>();
        if let Some(account) = slot.map(AccountSlot::account)
            && account.watch() > Watch::Not
        {
            // A request is verified once.
            let _ = account.user.set(principal.access_key.clone());
        }
        let asked = Asked {
            iam: &self.iam,
            caller: &caller,
            principal,
            form: &form,
            peer: slot.and_then(|slot| slot.account().asked.peer),
            now: now
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX)),
        };
        match sts::is_action(action) {
            true => sts::answer(&asked, action).await,
            false => identity::answer(&asked, action).await,
        }
    }

    fn verify(&self, parts: &Parts, body: &[u8], now: SystemTime) -> Result<Caller, Failure> {
        let hash: [u8; 32] = Sha256::digest(body).into();
        let verified = self.verifier.verify_with_hash(parts, now, &hash)?;
        match verified.payload {
            Payload::Exact(stated) if stated != hash => Err(Failure::new(
                StatusCode::BAD_REQUEST,
                "SignatureDoesNotMatch",
                "The body is not the one whose hash x-amz-content-sha256 states.",
            )),
            Payload::Chunked { .. } => Err(Failure::invalid("The body must not be in chunks.")),
            Payload::Exact(_) | Payload::Unsigned => Ok(verified.caller),
        }
    }
}

async fn collect(body: Body) -> Result<Vec<u8>, Failure> {
    let too_large = || {
        let most = limits::QUERY_BODY_BYTES_MAX;
        let message = format!("The request has more than {most} bytes.");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    };
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while let Some(piece) =
        poll_fn(|context| futures_core::Stream::poll_next(body.as_mut(), context)).await
    {
        let piece = piece.map_err(|_| Failure::invalid("The body did not arrive as announced."))?;
        if bytes.len() + piece.len() > limits::QUERY_BODY_BYTES_MAX {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Failure {
        let (status, code) = match &error {
            AuthError::InvalidAccessKeyId(_) | AuthError::InvalidToken => {
                let message = "The security token included in the request is invalid.";
                return Failure::new(StatusCode::FORBIDDEN, "InvalidClientTokenId", message);
            }
            AuthError::ExpiredToken => (StatusCode::FORBIDDEN, "ExpiredToken"),
            AuthError::RequestTimeTooSkewed { .. } => {
                (StatusCode::FORBIDDEN, "SignatureDoesNotMatch")
            }
            AuthError::AuthorizationHeaderMalformed(_) => {
                (StatusCode::BAD_REQUEST, "IncompleteSignature")
            }
            other => (other.status(), other.code()),
        };
        Failure::new(status, code, error.message())
    }
}

/// What conditions of policies may ask of such a request.
struct Facts<'a> {
    peer: Option<IpAddr>,
    others: &'a [(&'a str, String)],
}

impl Context for Facts<'_> {
    fn value(&self, key: &str) -> Option<Values<'_>> {
        if key.eq_ignore_ascii_case("aws:SourceIp") {
            return self.peer.map(|peer| Values::One(peer.to_string().into()));
        }
        let found = self.others.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.map(|(_, value)| Values::One(value.as_str().into()))
    }
}

impl Asked<'_> {
    fn request<'r>(&'r self, action: &'r str, context: &'r Facts<'r>) -> Request<'r> {
        let resource = Resource { bucket: "", key: None };
        Request { caller: self.caller, action, resource, context }
    }

    /// Whether the caller may do that to what has this ARN in its account.
    fn authorize(&self, action: &str, arn: &str) -> Result<(), Failure> {
        let context = Facts { peer: self.peer, others: &[] };
        let decision = decide_within(&self.request(action, &context), arn);
        self.check(decision, action, arn)
    }

    fn check(&self, decision: Decision, action: &str, arn: &str) -> Result<(), Failure> {
        if decision.allowed {
            return Ok(());
        }
        tracing::debug!(why = ?decision.why, action, arn, caller = %self.principal.arn, "denied");
        let who = &self.principal.arn;
        let message =
            format!("User: {who} is not authorized to perform: {action} on resource: {arn}");
        Err(Failure::new(StatusCode::FORBIDDEN, "AccessDenied", message))
    }
}
