//! Owns: GetObject, PutObject and UploadPart with `x-amz-rdma-token`: what such a request must be, and whether its
//! bytes go by RDMA.
//!
//! A token of a pooled connection may; every other kind is recognised and declined (`decline.rs`). A download whose
//! RDMA did not work out is answered over HTTP when nothing moves any more; an upload is never guessed at.

use std::sync::Arc;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use rdma::server::{ConnectionClaim, Operation, SessionError};
use rdma::wire::{ChecksumAlgorithm, PooledToken, Token, header};

use super::decline::{self, Reason};
use super::headers::{invalid_argument, invalid_request, refuse_repeated, text};
use super::lane::LaneRdma;
use super::mailbox::{Outcome, Wanted};
use super::process::Rdma;
use super::ready::checksum_algorithm;
use super::routes::Concern;
use super::{inward, principal, status};
use crate::auth::{Identity, Payload, Verified};
use crate::door::Refused;
use crate::metrics;

const TOKEN: &[u8] = header::TOKEN.as_bytes();

/// A request with a token that has been let in.
#[derive(Debug, Clone)]
pub struct Asked {
    operation: Operation,
    token: Token,
    checksum: ChecksumAlgorithm,
    principal: Arc<str>,
}

/// Reads the token of a verified request, if it has one that counts.
///
/// # Errors
/// The refusal.
pub fn admit(
    shared: &Rdma,
    concern: Concern,
    parts: &Parts,
    verified: &Verified,
) -> Result<Option<Asked>, Refused> {
    let operation = match concern.operation {
        metrics::Operation::GetObject => Operation::Get,
        metrics::Operation::PutObject | metrics::Operation::UploadPart => Operation::Put,
        _ => return Ok(None),
    };
    let Identity::Key(_) = &verified.identity else {
        return Err(status::denied("A request with x-amz-rdma-token must be signed."));
    };
    if !verified.signed_headers.contains(header::TOKEN) {
        return Err(status::denied("The header x-amz-rdma-token must be signed."));
    }
    check_form(parts, verified)?;
    let token = text(parts, header::TOKEN).ok().flatten();
    let token =
        token.ok_or_else(|| malformed("x-amz-rdma-token must be visible ASCII characters."))?;
    let token = Token::parse(token).map_err(|error| malformed(error.to_string()))?;
    if let Token::Pooled(pooled) = &token
        && pooled.window.size == 0
    {
        return Err(malformed("The token's memory must have at least 1 byte."));
    }
    let principal = principal::of(&shared.keys, &verified.caller)
        .ok_or_else(|| status::denied("The access key is not valid any more."))?;
    let checksum = checksum_algorithm(parts)?;
    Ok(Some(Asked { operation, token, checksum, principal }))
}

/// A presigned URL can carry headers in its query; this one would be there unseen, and a body of 0 bytes be stored.
///
/// # Errors
/// 403: it is not among the signed headers.
pub fn refuse_in_query(parts: &Parts) -> Result<(), Refused> {
    let query = parts.uri.query().unwrap_or_default();
    // Every presigned request comes by here.
    let names_token = |pair: &str| {
        let (name, rest) = pair.as_bytes().split_at_checked(header::TOKEN.len())?;
        (matches!(rest.first(), None | Some(b'=')) && name.eq_ignore_ascii_case(TOKEN))
            .then_some(())
    };
    match query.split('&').any(|pair| names_token(pair).is_some()) {
        true => Err(status::denied("x-amz-rdma-token must be a signed header, not in the query.")),
        false => Ok(()),
    }
}

/// What says anything of a body contradicts the token: the bytes are in the client's memory.
fn check_form(parts: &Parts, verified: &Verified) -> Result<(), Refused> {
    refuse_repeated(&parts.headers)?;
    if matches!(verified.payload, Payload::Chunked { .. }) {
        return Err(invalid_request(
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD with x-amz-rdma-token.",
        ));
    }
    let framed = parts.headers.get_all(CONTENT_ENCODING).iter().any(|value| {
        let mut codings = value.as_bytes().split(|byte| *byte == b',');
        codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"aws-chunked"))
    });
    for (present, name) in [
        (parts.headers.contains_key("content-md5"), "Content-MD5"),
        (parts.headers.contains_key(TRANSFER_ENCODING), "Transfer-Encoding"),
        (framed, "Content-Encoding: aws-chunked"),
        (parts.headers.contains_key("x-amz-trailer"), "x-amz-trailer"),
        (parts.headers.contains_key("trailer"), "Trailer"),
    ] {
        if present {
            return Err(invalid_request(format!("{name} can't be used with x-amz-rdma-token.")));
        }
    }
    let empty = |value: &http::HeaderValue| value.as_bytes().iter().all(|byte| *byte == b'0');
    match parts.headers.get_all(CONTENT_LENGTH).iter().all(empty) {
        true => Ok(()),
        false => Err(with_body()),
    }
}

/// A token and a body: which of the two is meant can't be known.
pub fn with_body() -> Refused {
    invalid_argument(
        "A request with x-amz-rdma-token has no body: its bytes are in the client's memory.",
    )
}

fn malformed(message: impl Into<String>) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, "InvalidRDMAToken", message.into())
}

/// Carries a request with a token out.
///
/// # Errors
/// The refusal, and the answer to an upload that is declined.
pub async fn call(
    lane: &LaneRdma,
    asked: Asked,
    request: Request<s3s::Body>,
) -> Result<Response<s3s::Body>, Refused> {
    let (head, _) = request.into_parts();
    let reason = match asked.token {
        Token::Pooled(_) if lane.shared.server().is_none() => Reason::Off,
        Token::Pooled(_) if lane.shared.usable().is_err() => Reason::DeviceDown,
        Token::Pooled(pooled) => return by_connection(lane, &asked, pooled, head).await,
        Token::Session(_) => Reason::NotConnected,
        Token::Libfabric => Reason::Libfabric,
        Token::Dc(_) => Reason::DynamicallyConnected,
    };
    decline(lane, asked.operation, reason, head).await
}

/// The exact fallback.
async fn decline(
    lane: &LaneRdma,
    operation: Operation,
    reason: Reason,
    head: Parts,
) -> Result<Response<s3s::Body>, Refused> {
    lane.shared.declined(reason);
    match operation {
        Operation::Get => {
            let mut answer = inward::call(&lane.service, head).await?;
            decline::mark_download(&mut answer, reason);
            Ok(answer)
        }
        Operation::Put => Err(decline::of_upload(lane.shared.rules.put_decline_status, reason)),
    }
}

async fn by_connection(
    lane: &LaneRdma,
    asked: &Asked,
    token: PooledToken,
    head: Parts,
) -> Result<Response<s3s::Body>, Refused> {
    let claim = match claim(&lane.shared, asked, &token) {
        Ok(claim) => claim,
        Err(SessionError::Unknown) => return Err(status::no_such_connection()),
        Err(error) => return refuse(lane, asked.operation, &error, head).await,
    };
    // Held while this request waits: dropped with it when the client goes.
    let _watch = claim.watch();
    let again = (asked.operation == Operation::Get).then(|| head.clone());
    let owner = claim.lane();
    let (window, checksum) = (token.window, asked.checksum);
    let wanted = Wanted::Pooled { claim, window, operation: asked.operation, checksum };
    let outcome = lane.hand_over(owner, wanted, Box::new(head)).await?;
    match (outcome, again) {
        (Outcome::Answered(answer), _) => Ok(answer.map(s3s::Body::from)),
        (Outcome::Refused(refused), _) => Err(refused),
        (Outcome::ByHttp(reason), Some(head)) => decline(lane, asked.operation, reason, head).await,
        (Outcome::ByHttp(Reason::Busy), None) => Err(status::slow_down()),
        (Outcome::ByHttp(Reason::Encrypted), None) => {
            lane.shared.declined(Reason::Encrypted);
            let status = lane.shared.rules.put_decline_status;
            Err(decline::of_upload(status, Reason::Encrypted))
        }
        (Outcome::ByHttp(_), None) => {
            Err(status::failed("The transfer failed; nothing was stored."))
        }
    }
}

/// The connection, if it is the caller's; or nobody's, where clients that do not sign may connect.
fn claim(
    shared: &Rdma,
    asked: &Asked,
    token: &PooledToken,
) -> Result<ConnectionClaim, SessionError> {
    let server = shared.server().ok_or(SessionError::Unknown)?;
    match server.connection(token.connection, &asked.principal) {
        Err(SessionError::Unknown) if shared.rules.allow_unsigned_connect => {
            server.connection(token.connection, principal::NOBODY)
        }
        outcome => outcome,
    }
}

/// A limit: a download goes by HTTP, an upload is likely to work a little later.
async fn refuse(
    lane: &LaneRdma,
    operation: Operation,
    error: &SessionError,
    head: Parts,
) -> Result<Response<s3s::Body>, Refused> {
    match operation {
        Operation::Get => decline(lane, operation, Reason::Busy, head).await,
        Operation::Put => Err(status::refused(error)),
    }
}

#[cfg(test)]
mod tests;
