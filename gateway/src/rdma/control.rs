//! Owns: what is checked of every control request, in its order, and which part answers it.
//!
//! The order: the method; whether there is RDMA at all, and for PREPARE whether the protocol is known (501 with the
//! mark, before anything is authenticated, since a client that is to use HTTP need not prove anything); the form;
//! the signature, which has to cover every `x-amz-rdma-*` header. An unsigned one could redirect a transfer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use rdma::fabric::Gid;
use rdma::wire::header;

use super::decline::Reason;
use super::lane::LaneRdma;
use super::routes::{Concern, Route};
use super::{capability, connect, headers, prepare, principal, ready, status};
use crate::auth::{Identity, Payload};
use crate::door::Refused;
use crate::iam;

/// An answer of the control path.
pub type Answer = Response<s3s::Body>;

/// A control request that has been let in.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What is asked.
    pub route: Route,
    /// Who asks.
    pub signer: iam::Caller,
    /// Whose what it begins will be: the access key with a fingerprint of its secret.
    pub principal: Arc<str>,
    /// Where the connection comes from.
    pub peer: Option<IpAddr>,
}

/// A control request at the door.
#[derive(Debug, Clone)]
pub enum Admitted {
    /// To be answered.
    Caller(Caller),
    /// To be told that there is no RDMA, which is no failure of verification.
    Unsupported(Reason, &'static str),
}

/// What a client is told where there is no RDMA.
pub const OFF: &str = "RDMA is not available here; use HTTP.";

/// Lets a control request in, or not.
///
/// # Errors
/// The refusal.
pub fn admit(
    lane: &LaneRdma,
    route: Route,
    concern: Concern,
    parts: &Parts,
    now: SystemTime,
) -> Result<Admitted, Refused> {
    checked(lane, route, concern, parts, now).map_err(|refused| status::echoing(route, refused))
}

fn checked(
    lane: &LaneRdma,
    route: Route,
    concern: Concern,
    parts: &Parts,
    now: SystemTime,
) -> Result<Admitted, Refused> {
    if parts.method != route.method() {
        return Err(status::wrong_method(route));
    }
    if route != Route::Capabilities {
        match lane.shared.server() {
            None => return Ok(Admitted::Unsupported(Reason::Off, OFF)),
            Some(server) if route.is_of_sessions() && !server.facts().immediate => {
                // iWARP has no WRITE WITH IMMEDIATE, in which this protocol's transfers end.
                return Ok(Admitted::Unsupported(
                    Reason::Protocol,
                    "Use pooled connections, or HTTP.",
                ));
            }
            // What is there already ends by itself.
            Some(_) if route.opens() && lane.shared.usable().is_err() => {
                let message = "The RDMA device does not work at present; use HTTP.";
                return Ok(Admitted::Unsupported(Reason::DeviceDown, message));
            }
            Some(_) => {}
        }
        if parts.uri.query().is_some() {
            return Err(headers::invalid_request("This request takes no query."));
        }
    }
    if route.is_of_sessions() && !names_protocol(parts) {
        let message = "The one protocol of this route is hipobj-rc-v2.";
        return match route {
            Route::Prepare => Ok(Admitted::Unsupported(Reason::Protocol, message)),
            _ => Err(headers::invalid_request(message)),
        };
    }
    headers::refuse_repeated(&parts.headers)?;
    let verified = lane.verifier.verify_bodiless(parts, now)?;
    if matches!(verified.payload, Payload::Chunked { .. }) {
        return Err(with_body());
    }
    let principal = match &verified.identity {
        Identity::Key(_) => principal::of(&lane.shared.keys, &verified.caller)
            .ok_or_else(|| status::denied("The access key is not valid any more."))?,
        Identity::Anonymous
            if lane.shared.rules.allow_unsigned_connect
                && matches!(route, Route::Connect | Route::Disconnect) =>
        {
            principal::NOBODY.into()
        }
        Identity::Anonymous => return Err(status::denied("RDMA's requests must be signed.")),
    };
    Ok(Admitted::Caller(Caller { route, signer: verified.caller, principal, peer: concern.peer }))
}

/// Control requests have no body.
pub fn with_body() -> Refused {
    headers::invalid_request("This request takes no body.")
}

fn names_protocol(parts: &Parts) -> bool {
    let mut values = parts.headers.get_all(header::PROTOCOL).iter();
    values.next() == Some(&status::PROTOCOL) && values.next().is_none()
}

/// Answers a control request.
///
/// # Errors
/// The refusal.
pub async fn answer(lane: &LaneRdma, admitted: Admitted, parts: Parts) -> Result<Answer, Refused> {
    let caller = match admitted {
        Admitted::Caller(caller) => caller,
        Admitted::Unsupported(reason, message) => {
            lane.shared.declined(reason);
            return Err(status::unsupported(message));
        }
    };
    let route = caller.route;
    let outcome = match route {
        Route::Prepare => prepare::prepare(lane, &caller, &parts).await,
        Route::Ready => ready::ready(lane, &caller, &parts).await,
        Route::Cancel => ready::cancel(lane, &caller, &parts),
        Route::Connect => connect::connect(lane, &caller, &parts),
        Route::Disconnect => connect::disconnect(lane, &caller, &parts),
        Route::Capabilities => Ok(capabilities(lane)),
    };
    match outcome {
        Ok(mut answer) => {
            if route.is_of_sessions() {
                answer.headers_mut().insert(header::PROTOCOL, status::PROTOCOL);
            }
            Ok(answer)
        }
        Err(refused) => Err(status::echoing(route, refused)),
    }
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(s3s::Body::empty());
    *answer.status_mut() = status;
    answer
}

fn capabilities(lane: &LaneRdma) -> Answer {
    let state = lane.shared.usable().map(|server| (server.facts(), server.settings()));
    let state = state.as_ref().map(|it| *it).map_err(|reason| &**reason);
    let mut answer = Response::new(s3s::Body::from(capability::document(state)));
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

/// Compares where a client's RDMA traffic comes from with where its connection does, where both are known as IPv4.
///
/// # Errors
/// 403 where they have to be the same.
pub fn check_address(lane: &LaneRdma, peer: Option<IpAddr>, gid: Gid) -> Result<(), Refused> {
    let connection = match peer.map(|peer| peer.to_canonical()) {
        Some(IpAddr::V4(address)) => address,
        _ => return Ok(()),
    };
    let Some(fabric) = gid.ipv4().filter(|fabric| *fabric != connection) else {
        return Ok(());
    };
    if lane.shared.rules.require_same_address {
        let message =
            "The RDMA address is another than the connection's, which this server forbids.";
        return Err(status::denied(message));
    }
    tracing::debug!(%connection, %fabric, "a client's RDMA address is another than its connection's");
    Ok(())
}
