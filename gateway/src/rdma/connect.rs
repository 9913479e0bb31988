//! Connect and disconnect: queue pairs that are used for many objects.

use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use rdma::server::Connect;
use rdma::wire::{RcToken, ReplyCode, SessionId, display_psn, header, parse_psn};

use super::control::{Answer, Caller, OFF, check_address, empty};
use super::headers::{required, value};
use super::lane::LaneRdma;
use super::{capability, status};
use crate::door::Refused;

/// Connects a queue pair of this lane with the client's.
///
/// # Errors
/// The refusal.
pub(super) fn connect(lane: &LaneRdma, caller: &Caller, parts: &Parts) -> Result<Answer, Refused> {
    let Some(server) = &lane.server else {
        return Err(status::unsupported(OFF));
    };
    let token = required(parts, header::TOKEN, RcToken::parse)?;
    let psn = required(parts, header::PSN, parse_psn)?;
    if !token.is_loopback {
        check_address(lane, caller.peer, token.gid)?;
    }
    let connected = server
        .connect(Connect { principal: caller.principal.clone(), token, psn })
        .map_err(|error| status::refused(&error))?;
    let mut answer = Response::new(s3s::Body::empty());
    let headers = answer.headers_mut();
    headers.insert(header::SESSION, value(connected.connection));
    headers.insert(header::REPLY, value(ReplyCode::Prepared(connected.token)));
    headers.insert(header::PSN, value(display_psn(connected.psn)));
    let facts = lane.shared.server().map(|server| server.facts());
    headers.insert(header::CAPABILITIES, value(capability::of(facts)));
    headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(0));
    Ok(answer)
}

/// Ends a connection, once its transfer has ended. It never tells whether there was one.
///
/// # Errors
/// When the connection's name is none.
pub(super) fn disconnect(
    lane: &LaneRdma,
    caller: &Caller,
    parts: &Parts,
) -> Result<Answer, Refused> {
    let connection = required(parts, header::SESSION, SessionId::parse)?;
    if let Some(server) = lane.shared.server() {
        server.disconnect(connection, &caller.principal);
    }
    Ok(empty(StatusCode::NO_CONTENT))
}
