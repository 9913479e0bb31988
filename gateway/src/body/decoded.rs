//! Owns: the content of a request's body as a stream, with framing taken off and everything that
//! was said of it checked.
//! States: running -> ended (well, or by its one error).
//! Not here: framing (`chunked`); time limits (the door wraps the source).
//!
//! Where the content's length is known, its last piece is held back until the body has ended well:
//! so a reader can never have all of the content of a body that turns out wrong, even one that
//! stops reading at the announced length. One piece is what the source gave at once, not a chunk.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::chunked::{Chunked, Step};
use super::error::BodyError;
use super::plan::{BodyPlan, Framing};
use super::promised::TrailerSlot;

/// The decoded body. Gives exactly `size_hint` bytes, or ends with an error; after that, nothing.
#[derive(Debug)]
pub struct Decoded<B> {
    source: B,
    framing: Unframe,
    /// What came from the source and is not decoded yet.
    input: Bytes,
    length: Option<u64>,
    received: u64,
    sha256: Option<Box<(Sha256, [u8; 32])>>,
    trailer: TrailerSlot,
    held: Option<Bytes>,
    ended: bool,
}

#[derive(Debug)]
enum Unframe {
    Plain,
    Chunked(Box<Chunked>),
}

impl<B> Decoded<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Decodes `source` as planned. The promises are the reader's to check, who hashes the content
    /// anyway ([`Promised::check`](super::Promised::check)); all else is checked here.
    pub fn new(source: B, plan: &BodyPlan) -> Decoded<B> {
        let (framing, sha256) = match &plan.framing {
            Framing::Plain { sha256 } => (Unframe::Plain, *sha256),
            Framing::Chunked(chunked) => {
                (Unframe::Chunked(Box::new(Chunked::new(chunked.clone()))), None)
            }
        };
        Decoded {
            source,
            framing,
            input: Bytes::new(),
            length: plan.length,
            received: 0,
            sha256: sha256.map(|expected| Box::new((Sha256::new(), expected))),
            trailer: plan.trailer.clone(),
            held: None,
            ended: false,
        }
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            while let Some(data) = self.decode()? {
                if self.take(&data)? {
                    return Poll::Ready(Ok(Some(data)));
                }
                self.held = Some(data);
            }
            match ready!(Pin::new(&mut self.source).poll_frame(context)) {
                // HTTP's own trailers say nothing in S3.
                Some(Ok(frame)) => self.input = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    return Poll::Ready(Err(BodyError::Source(error.into().into())));
                }
                None => {
                    self.finish()?;
                    return Poll::Ready(Ok(self.held.take()));
                }
            }
        }
    }

    /// The next content in `input`.
    fn decode(&mut self) -> Result<Option<Bytes>, BodyError> {
        match &mut self.framing {
            Unframe::Plain => {
                Ok(Some(std::mem::take(&mut self.input)).filter(|data| !data.is_empty()))
            }
            Unframe::Chunked(chunked) => match chunked.step(&mut self.input)? {
                Step::Data(data) => Ok(Some(data)),
                Step::More => Ok(None),
                Step::End if self.input.is_empty() => Ok(None),
                Step::End => Err(BodyError::MalformedChunk("bytes follow its end")),
            },
        }
    }

    /// Counts and hashes content; false when it is the last of a known length and has to wait.
    fn take(&mut self, data: &Bytes) -> Result<bool, BodyError> {
        self.received += data.len() as u64;
        if let Some(expected) = self.length.filter(|&length| self.received > length) {
            return Err(BodyError::TooLong { expected });
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.0.update(data);
        }
        Ok(self.length != Some(self.received))
    }

    /// Checks everything that can only be checked at the end.
    fn finish(&mut self) -> Result<(), BodyError> {
        let complete = match &self.framing {
            Unframe::Plain => true,
            Unframe::Chunked(chunked) => chunked.ended(),
        };
        let expected = self.length.unwrap_or(self.received);
        if !complete || self.received != expected {
            return Err(BodyError::Incomplete { expected, received: self.received });
        }
        if let Some(sha256) = self.sha256.take() {
            let (computed, expected) = *sha256;
            let computed: [u8; 32] = computed.finalize().into();
            if !bool::from(computed.ct_eq(&expected)) {
                return Err(BodyError::ContentSha256);
            }
        }
        if let Unframe::Chunked(chunked) = &self.framing
            && let Some((algorithm, value)) = chunked.checksum()
        {
            self.trailer.fill(algorithm, value);
        }
        self.ended = true;
        Ok(())
    }
}

impl<B> Body for Decoded<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        match ready!(this.poll_data(context)) {
            Ok(data) => Poll::Ready(data.map(|data| Ok(Frame::data(data)))),
            Err(error) => {
                this.ended = true;
                this.held = None;
                this.input = Bytes::new();
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    /// False until the body has ended well: an empty body has things to check as well.
    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.as_ref().map_or(0, |held| held.len() as u64);
        match self.length {
            _ if self.ended => SizeHint::with_exact(0),
            Some(length) => SizeHint::with_exact(length.saturating_sub(self.received - held)),
            None => SizeHint::default(),
        }
    }
}
