//! A response's body on its way out, as hyper takes it.
//!
//! Not here: what is counted of it (`exchange.rs`), the trailer's text (`receipt.rs`).

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use super::batch::Batch;
use super::exchange::Exchange;
use super::receipt;
use crate::lane::pulse::Sending;
use crate::limits;

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
