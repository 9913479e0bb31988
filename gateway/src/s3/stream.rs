//! Owns an object's bytes on their way out: a [`Reading`] as the body of a response. The bytes are the
//! store's own, uncopied, unless they were decrypted; the length is exact from the start; an error in the middle ends the body with an error,
//! upon which hyper breaks the connection (HTTP/1.1) or resets the stream (HTTP/2), so that nothing short looks whole.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use s3s::dto::StreamingBlob;
use s3s::stream::{ByteStream, RemainingLength};
use s3s::{Body, StdError};
use send_wrapper::SendWrapper;

use super::encryption::Reading;
use super::refusal::Outcome;
use crate::crypt::ReadFailure;

/// A body of no bytes.
pub(super) fn empty() -> StreamingBlob {
    StreamingBlob::from(Body::empty())
}

/// A body of the stream's bytes. Waits for the first ones: headers without bytes help no client, and a device that
/// fails at once is still answered with an error.
///
/// # Errors
/// What reading the first bytes meets.
pub(super) async fn outgoing(mut stream: Reading) -> Outcome<StreamingBlob> {
    let length = stream.remaining();
    let first = match stream.next().await {
        Some(first) => first?,
        None => Bytes::new(),
    };
    let rest = length.saturating_sub(first.len() as u64);
    if rest == 0 {
        return Ok(StreamingBlob::from(Body::from(first)));
    }
    Ok(StreamingBlob::new(Outgoing {
        first: Some(first),
        pump: Some(SendWrapper::new(Pump::new(stream))),
        left: length,
    }))
}

struct Outgoing {
    first: Option<Bytes>,
    pump: Option<SendWrapper<Pump>>,
    left: u64,
}

/// Reads on, one piece per poll. One future for the whole stream that hands its pieces over in a slot costs one
/// allocation per response; a future per piece would cost one per piece.
struct Pump {
    work: Pin<Box<dyn Future<Output = Result<(), ReadFailure>>>>,
    slot: Rc<Cell<Option<Bytes>>>,
}

impl Pump {
    fn new(mut stream: Reading) -> Self {
        let slot = Rc::new(Cell::new(None));
        let to = Rc::clone(&slot);
        let work = Box::pin(async move {
            while let Some(piece) = stream.next().await {
                to.set(Some(piece?));
                taken().await;
            }
            Ok(())
        });
        Self { work, slot }
    }

    fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ReadFailure>>> {
        match self.work.as_mut().poll(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            Poll::Ready(Ok(())) => Poll::Ready(None),
            // Without a piece, the store has registered the waker.
            Poll::Pending => {
                self.slot.take().map_or(Poll::Pending, |piece| Poll::Ready(Some(Ok(piece))))
            }
        }
    }
}

/// Pending once, with no wake: whoever takes the piece polls again for the next.
async fn taken() {
    let mut handed_over = false;
    poll_fn(|_| {
        if std::mem::replace(&mut handed_over, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The store ended before the object did.
#[derive(Debug, thiserror::Error)]
#[error("{0} bytes of the object did not come")]
struct Short(u64);

impl Stream for Outgoing {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let piece = match (this.first.take(), &mut this.pump) {
            (Some(first), _) => Some(Ok(first)),
            (None, Some(pump)) => std::task::ready!(pump.poll_piece(context)),
            (None, None) => return Poll::Ready(None),
        };
        let failure: StdError = match piece {
            Some(Ok(piece)) => {
                this.left = this.left.saturating_sub(piece.len() as u64);
                return Poll::Ready(Some(Ok(piece)));
            }
            None if this.left == 0 => {
                this.pump = None;
                return Poll::Ready(None);
            }
            None => Box::new(Short(this.left)),
            Some(Err(error)) => Box::new(error),
        };
        this.pump = None;
        tracing::error!(error = %failure, "a response broke off: its object could not be read to the end");
        Poll::Ready(Some(Err(failure)))
    }
}

impl ByteStream for Outgoing {
    fn remaining_length(&self) -> RemainingLength {
        usize::try_from(self.left)
            .map_or_else(|_| RemainingLength::unknown(), RemainingLength::new_exact)
    }
}
