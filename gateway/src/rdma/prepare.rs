//! PREPARE: a session for one transfer, with everything checked that S3 would check, before a byte moves.
//!
//! In this order: the form of the headers, the size, what S3 says of the target (HeadObject for a download, whose
//! version is pinned by its tag; the bucket and the upload for an upload), the limits, the queue pair.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_RANGE, HeaderName};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use rdma::fabric::Psn;
use rdma::server::{LaneServer, Operation, Order, Prepare, Prepared};
use rdma::wire::{
    Cookie, RcToken, ReplyCode, SessionId, Target, TargetQuery, display_psn, header,
    parse_bare_hex, parse_decimal, parse_psn, parse_qpn, parse_rkey,
};
use send_wrapper::SendWrapper;

use super::control::{Answer, Caller, OFF, check_address};
use super::decline::Reason;
use super::headers::{invalid_argument, optional, required, value};
use super::inward::{self, Known, Question};
use super::lane::LaneRdma;
use super::{capability, status};
use crate::door::Refused;

/// Answers PREPARE.
///
/// # Errors
/// The refusal. Answers of S3 itself come back as they are.
pub(super) async fn prepare(
    lane: &LaneRdma,
    caller: &Caller,
    parts: &Parts,
) -> Result<Answer, Refused> {
    let Some(server) = &lane.server else {
        return Err(status::unsupported(OFF));
    };
    let asked = Asked::read(parts)?;
    if !asked.is_supported() {
        lane.shared.declined(Reason::Protocol);
        return Err(status::unsupported("RDMA does not serve such a target; use HTTP."));
    }
    asked.check_size(lane)?;
    if !asked.token.is_loopback {
        check_address(lane, caller.peer, asked.token.gid)?;
    }
    let order = match authorise(lane, caller, &asked).await? {
        Authorised::Order(order) => order,
        Authorised::Answer(answer) => return Ok(answer),
    };
    let prepared = server
        .prepare(Prepare {
            principal: caller.principal.clone(),
            token: asked.token,
            psn: asked.psn,
            cookie: asked.cookie,
            order,
        })
        .await
        .map_err(|error| status::refused(&error))?;
    Ok(answer(server, &prepared))
}

/// What the headers say.
#[derive(Debug)]
struct Asked {
    token: RcToken,
    psn: Psn,
    cookie: Cookie,
    operation: Operation,
    target: Target,
    size: u64,
    offset: u64,
}

impl Asked {
    fn read(parts: &Parts) -> Result<Asked, Refused> {
        let token = required(parts, header::TOKEN, RcToken::parse)?;
        let psn = required(parts, header::PSN, parse_psn)?;
        let cookie = required(parts, header::COOKIE, Cookie::parse)?;
        let operation = required(parts, header::OP, Operation::parse)?;
        let target = required(parts, header::TARGET, Target::parse)?;
        let size = required(parts, header::SIZE, parse_decimal)?;
        let offset = optional(parts, header::OFFSET, parse_decimal)?.unwrap_or(0);
        // They count in READY only; a client that sends nonsense here would send it there.
        optional(parts, header::QPN, parse_qpn)?;
        optional(parts, header::MR_ADDR, parse_bare_hex)?;
        optional(parts, header::MR_RKEY, parse_rkey)?;
        if size == 0 {
            return Err(invalid_argument("x-amz-rdma-size must be at least 1."));
        }
        if offset.checked_add(size).is_none() {
            return Err(invalid_argument("x-amz-rdma-offset and -size together exceed 64 bits."));
        }
        if operation == Operation::Put && offset != 0 {
            return Err(invalid_argument("x-amz-rdma-offset must be 0 for PUT."));
        }
        Ok(Asked { token, psn, cookie, operation, target, size, offset })
    }

    fn is_supported(&self) -> bool {
        match self.operation {
            Operation::Get => self.target.query.is_for_get(),
            Operation::Put => self.target.query.is_for_put(),
        }
    }

    /// 413 before S3 is asked: what can't be moved need not exist.
    fn check_size(&self, lane: &LaneRdma) -> Result<(), Refused> {
        let Some(server) = lane.shared.server() else { return Ok(()) };
        let settings = server.settings();
        let mut limit = settings.transfer_bytes_max.min(rdma::limits::TRANSFER_BYTES_MAX);
        if self.operation == Operation::Put {
            // One message, into memory that was set aside for it.
            limit =
                limit.min(settings.staging_bytes_of_one()).min(server.facts().message_bytes_max);
        }
        if self.size <= limit {
            return Ok(());
        }
        let error = rdma::server::SessionError::TooLarge { size: self.size, limit };
        Err(status::refused(&error))
    }
}

/// What S3 says.
enum Authorised {
    /// It may be done.
    Order(Order),
    /// It may not, and this is what S3 answers.
    Answer(Answer),
}

async fn authorise(lane: &LaneRdma, caller: &Caller, asked: &Asked) -> Result<Authorised, Refused> {
    match asked.operation {
        Operation::Get => authorise_download(lane, caller, asked).await,
        Operation::Put => authorise_upload(lane, caller, asked).await,
    }
}

async fn authorise_download(
    lane: &LaneRdma,
    caller: &Caller,
    asked: &Asked,
) -> Result<Authorised, Refused> {
    let ask = |question| {
        let head = inward::ask(question, &asked.target, &caller.signer);
        inward::call(&lane.service, head)
    };
    let found = ask(Question::Object).await?;
    if !found.status().is_success() {
        let aloud = ask(Question::ObjectAloud).await?;
        return match aloud.status().is_success() {
            // It has come into being between the two.
            true => Err(status::slow_down()),
            false => Ok(Authorised::Answer(aloud)),
        };
    }
    let known = Known::read(found.headers()).ok_or_else(Refused::internal)?;
    let end = asked.offset.saturating_add(asked.size);
    if end > known.size {
        let range = value(format_args!("bytes */{}", known.size));
        let message = "The requested range is not satisfiable";
        return Err(Refused::new(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", message)
            .with_header(CONTENT_RANGE, range));
    }
    // A part is a range of the version that was found: S3 takes no range of a part.
    let query = match &asked.target.query {
        TargetQuery::Part(_) => TargetQuery::None,
        other => other.clone(),
    };
    let target = Target { query, ..asked.target.clone() };
    Ok(Authorised::Order(Order {
        operation: Operation::Get,
        target: target.to_string().into(),
        size: asked.size,
        offset: known.offset.saturating_add(asked.offset),
        entity_tag: Some(known.entity_tag.into()),
    }))
}

async fn authorise_upload(
    lane: &LaneRdma,
    caller: &Caller,
    asked: &Asked,
) -> Result<Authorised, Refused> {
    let ask = |question| {
        let head = inward::ask(question, &asked.target, &caller.signer);
        inward::call(&lane.service, head)
    };
    let question = match asked.target.query {
        TargetQuery::Upload { .. } => Question::Upload,
        _ => Question::Bucket,
    };
    let found = ask(question).await?;
    if !found.status().is_success() {
        return Ok(Authorised::Answer(found));
    }
    if question == Question::Bucket {
        // Whether the key can be one, which an upload's was: that there is no object yet is no reason to refuse.
        let may_be = |status: StatusCode| status.is_success() || status == StatusCode::NOT_FOUND;
        if !may_be(ask(Question::Object).await?.status()) {
            let aloud = ask(Question::ObjectAloud).await?;
            if !may_be(aloud.status()) {
                return Ok(Authorised::Answer(aloud));
            }
        }
    }
    Ok(Authorised::Order(Order {
        operation: Operation::Put,
        target: asked.target.to_string().into(),
        size: asked.size,
        offset: 0,
        entity_tag: None,
    }))
}

/// The answer. Of a download's memory there is none to tell: the server writes.
fn answer(server: &LaneServer, prepared: &Prepared) -> Answer {
    let sent = Sent { server: server.clone(), session: prepared.session };
    let mut answer =
        Response::new(s3s::Body::http_body(AnswerBody { _sent: SendWrapper::new(sent) }));
    let mut say = |header: &'static str, value: HeaderValue| {
        answer.headers_mut().insert(HeaderName::from_static(header), value);
    };
    say(header::REPLY, value(ReplyCode::Prepared(prepared.token)));
    say(header::SESSION, value(prepared.session));
    say(header::PSN, value(display_psn(prepared.psn)));
    say(header::QPN, value(format_args!("{:x}", prepared.qpn.number())));
    if let Some(staging) = prepared.staging {
        say(header::MR_ADDR, value(format_args!("{:x}", staging.address)));
        say(header::MR_RKEY, value(format_args!("{:x}", staging.rkey)));
    }
    say(header::CAPABILITIES, capability::ARMED);
    answer.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(0));
    answer
}

/// Says, when it is dropped, that PREPARE has been answered: hyper drops a body when its head has been written.
struct Sent {
    server: LaneServer,
    session: SessionId,
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.server.answered(self.session);
    }
}

/// An empty body. It never leaves its lane.
struct AnswerBody {
    _sent: SendWrapper<Sent>,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}

#[cfg(test)]
mod tests;
