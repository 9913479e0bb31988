//! A response on its way out, and the account of its request.
//!
//! Owns: the response's body as hyper takes it, and the exchange: what is counted when it ends, in
//! whatever way it ends.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::{Buf, Bytes};
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};

use super::batch::Batch;
use super::receipt;
use crate::lane::LaneContext;
use crate::lane::pulse::{Pulse, Sending};
use crate::limits;
use crate::metrics::{Copying, Stage, StatusClass};
use crate::record::{Account, Record, Watch, redacted};

/// What a response consists of.
#[derive(Debug, Default)]
pub enum Content {
    /// Nothing.
    #[default]
    Empty,
    /// Bytes that are all there.
    Whole(Option<Bytes>),
    /// An operation's body.
    Streamed(s3s::Body),
}

impl Content {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, s3s::StdError>>> {
        match self {
            Content::Empty => Poll::Ready(None),
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|it| Ok(Frame::data(it)))),
            Content::Streamed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end(&self) -> bool {
        match self {
            Content::Empty => true,
            Content::Whole(bytes) => bytes.is_none(),
            Content::Streamed(body) => body.is_end_stream(),
        }
    }

    /// Bytes that are still to come.
    pub fn size_hint(&self) -> SizeHint {
        match self {
            Content::Empty => SizeHint::with_exact(0),
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |it| it.len() as u64))
            }
            Content::Streamed(body) => body.size_hint(),
        }
    }
}

/// One request from its head to the end of its response. Counts itself, and tells of itself, when
/// dropped.
#[derive(Debug)]
pub struct Exchange {
    context: Rc<LaneContext>,
    pulse: Rc<Pulse>,
    account: Rc<Account>,
    /// What had been waited for the store when it was answered; none once sending has ended.
    sending: Cell<Option<Duration>>,
}

impl Exchange {
    /// A request's head is complete.
    pub fn begin(context: Rc<LaneContext>, pulse: Rc<Pulse>, account: Rc<Account>) -> Exchange {
        pulse.request_started(context.clock.now());
        context.cells.request_started(account.asked.operation);
        Exchange { context, pulse, account, sending: Cell::new(None) }
    }

    /// The answer's head is known, and S3's code where it is an error.
    pub fn answer(&self, status: StatusCode, code: Option<&str>) {
        let account = &self.account;
        account.answer(status);
        let is_error = status.as_u16() >= 400;
        if let Some(code) = code.filter(|_| is_error && account.watch() > Watch::Not) {
            // There is one answer to a request.
            let _ = account.code.set(code.into());
        }
        if !account.is_measured() {
            return;
        }
        self.sending.set(Some(account.waited_for_store()));
        if is_error {
            self.context.cells.error_answered(code.unwrap_or_default());
        } else if let Some(took) = account.answered() {
            self.context.cells.answered_after(account.asked.operation, took);
        }
    }

    /// Bytes of the response's body leave.
    fn leave(&self, bytes: u64) {
        let Exchange { account, context, .. } = self;
        account.send(bytes);
        if !account.is_measured() || bytes == 0 {
            return;
        }
        let parts = account.next_sources(bytes);
        account.left(&parts);
        account.copy(Copying::SocketSend, bytes);
        let cells = &context.cells;
        for (cell, bytes) in cells.responses.iter().zip(parts).filter(|(_, bytes)| *bytes > 0) {
            cell.add(bytes);
        }
        cells.copied[Copying::SocketSend as usize].add(bytes);
        cells.sent[account.asked.operation as usize].add(bytes);
    }

    /// The response's body has ended, so long after the request began.
    fn end_sending(&self, took: Duration) {
        let account = &self.account;
        if let (Some(before), Some(answered)) = (self.sending.take(), account.answered())
            && account.sent() > 0
        {
            let waited = account.waited_for_store().saturating_sub(before);
            account.spent(Stage::Send, took.saturating_sub(answered + waited));
        }
    }

    /// Counts the request, which has ended.
    fn count(&self, class: StatusClass, took: Duration) {
        let (account, cells) = (&self.account, &self.context.cells);
        let operation = account.asked.operation;
        if !account.is_measured() {
            cells.request_left(operation, class);
            return;
        }
        cells.request_ended(operation, class, took);
        for stage in Stage::ALL {
            if let Some(took) = account.stage(*stage) {
                cells.stage_took(*stage, operation.group(), took);
            }
        }
        if account.copied(Copying::Frame) > 0 {
            cells.copied[Copying::Frame as usize].add(account.copied(Copying::Frame));
        }
        if account.is_broken_off() {
            cells.aborted.add(1);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let account = &self.account;
        let took = match account.watch() {
            Watch::Not => Duration::ZERO,
            Watch::Ends | Watch::Stages => account.began.elapsed(),
        };
        self.end_sending(took);
        // Without a status the client went before there was one; 4xx is the nearest class.
        let class = account.status().map_or(StatusClass::ClientError, StatusClass::of);
        self.count(class, took);
        self.pulse.request_ended(self.context.clock.now());
        if !self.context.sinks.is_empty() {
            self.context.sinks.ended(&Record { account, ended: SystemTime::now(), took });
        }
        tracing::debug!(
            id = account.asked.id.as_str(),
            method = %account.asked.method,
            // The query may carry a signature, which is a credential for its lifetime.
            path = redacted::path(account.asked.uri.path()),
            operation = account.asked.operation.label(),
            status = account.status().map_or(0, |status| status.as_u16()),
            sent = account.sent(),
            microseconds = took.as_micros() as u64,
            broken_off = account.is_broken_off(),
            "request"
        );
    }
}

/// A response's body.
#[derive(Debug)]
pub struct Outgoing {
    content: Content,
    exchange: Exchange,
    head_only: bool,
    expected: Option<u64>,
    ended: bool,
    /// On HTTP/2: the state of progress, and what is left of a frame that was too large.
    stream: Option<(Rc<Sending>, Bytes)>,
    /// Whether a receipt is to follow the body.
    trailer: bool,
    /// Why there is nothing after the batch that was given last.
    failure: Option<s3s::StdError>,
}

impl Outgoing {
    /// The body of a response whose head is known. `trailer` has its receipt follow it.
    pub fn new(content: Content, exchange: Exchange, head_only: bool, trailer: bool) -> Outgoing {
        let stream = exchange
            .pulse
            .is_http2()
            .then(|| (exchange.pulse.sends(exchange.context.clock.now()), Bytes::new()));
        let expected = content.size_hint().exact();
        let (ended, failure) = (false, None);
        Outgoing { content, exchange, head_only, expected, ended, stream, trailer, failure }
    }

    /// Hands a frame out in pieces that HTTP/2's flow control can show the progress of.
    fn piece(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let Some((_, rest)) = &mut self.stream else {
            return frame;
        };
        match frame.into_data() {
            Ok(mut data) if data.len() > limits::HTTP2_PIECE_BYTES => {
                *rest = data.split_off(limits::HTTP2_PIECE_BYTES);
                Frame::data(data)
            }
            Ok(data) => Frame::data(data),
            Err(other) => other,
        }
    }

    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, s3s::StdError>>> {
        if let Some((_, rest)) = &mut self.stream
            && !rest.is_empty()
        {
            let frame = Frame::data(std::mem::take(rest));
            return Poll::Ready(Some(Ok(self.piece(frame))));
        }
        let outcome = ready!(self.content.poll(cx));
        Poll::Ready(outcome.map(|frame| frame.map(|frame| self.piece(frame))))
    }

    /// All pieces that are there, up to a batch on HTTP/1.1 and one on HTTP/2, which has its own
    /// buffer.
    fn poll_batch(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Batch>, s3s::StdError>>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        let first = match ready!(self.poll_piece(cx)) {
            None => return Poll::Ready(None),
            Some(Err(failure)) => return Poll::Ready(Some(Err(failure))),
            Some(Ok(frame)) => frame.into_data(),
        };
        let mut batch = match first {
            Ok(piece) => Batch::from(piece),
            Err(frame) => return Poll::Ready(Some(Ok(frame.map_data(Batch::from)))),
        };
        while self.stream.is_none() && !batch.is_full() && !self.content.is_end() {
            match self.content.poll(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(piece) => batch.push(piece),
                    // Trailers: no operation has any.
                    Err(_) => break,
                },
                // What came before it is whole: it is sent first, as it would be alone.
                Poll::Ready(Some(Err(failure))) => {
                    self.failure = Some(failure);
                    break;
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Ready(Some(Ok(Frame::data(batch))))
    }

    /// What follows the body, if anything does.
    fn poll_trailer(&mut self) -> Option<Frame<Batch>> {
        self.ended = true;
        let account = &self.exchange.account;
        std::mem::take(&mut self.trailer).then(|| {
            self.exchange.end_sending(account.began.elapsed());
            Frame::trailers(receipt::trailer(account))
        })
    }

    fn has_rest(&self) -> bool {
        self.stream.as_ref().is_some_and(|(_, rest)| !rest.is_empty())
    }
}

impl Body for Outgoing {
    type Data = Batch;
    type Error = s3s::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Batch>, Self::Error>>> {
        let this = &mut *self;
        let outcome = this.poll_batch(cx);
        if let Some((sending, _)) = &this.stream {
            sending.asked(this.exchange.context.clock.now(), outcome.is_pending());
        }
        match &outcome {
            Poll::Ready(Some(Ok(frame))) => {
                this.exchange.leave(frame.data_ref().map_or(0, |data| data.remaining() as u64));
            }
            Poll::Ready(Some(Err(error))) => {
                let id = this.exchange.account.asked.id.as_str();
                tracing::warn!(id, %error, "a response's body broke off");
            }
            Poll::Ready(None) => return Poll::Ready(this.poll_trailer().map(Ok)),
            Poll::Pending => {}
        }
        outcome
    }

    fn is_end_stream(&self) -> bool {
        self.failure.is_none() && !self.has_rest() && self.content.is_end() && !self.trailer
    }

    fn size_hint(&self) -> SizeHint {
        if self.trailer && self.stream.is_none() {
            // On HTTP/1.1, trailers come after chunks, which hyper writes when it knows no length.
            return SizeHint::default();
        }
        match (&self.stream, self.content.size_hint().exact()) {
            (Some((_, rest)), Some(more)) => SizeHint::with_exact(more + rest.len() as u64),
            _ => self.content.size_hint(),
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let whole = self.ended
            || self.head_only
            || self.expected == Some(self.exchange.account.sent())
            || (self.expected.is_none() && self.is_end_stream());
        if !whole {
            self.exchange.account.break_off();
        }
    }
}
