//! A request's body as it comes from the client, held to a pace.
//!
//! Owns: the window of waiting within which a number of bytes has to arrive, and what is left of a
//! body that nobody read to its end.
//! Only waiting counts: time during which nobody asks for more, because the store is slow, is ours.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::lane::LaneContext;
use crate::metrics::{Copying, Delivery, Refusal, Stage};
use crate::record::Account;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault<E: std::error::Error + 'static> {
    /// S3's `RequestTimeout`.
    #[error(
        "Your socket connection to the server was not read from or written to within the timeout \
         period. Idle connections will be closed."
    )]
    TooSlow,
    /// S3's `IncompleteBody`: the client went, or what it sent is not HTTP.
    #[error("the request's body broke off")]
    BrokenOff(#[source] E),
}

/// What nobody read of a body.
#[derive(Debug)]
pub struct Leftover<B> {
    /// The rest of the body; none when it was read to its end or is still being read.
    pub body: Option<B>,
    /// Whether it was ever asked for, which is when `100 Continue` is sent.
    pub asked: bool,
}

/// Where a body puts what is left of it.
pub type LeftoverSlot<B> = Rc<RefCell<Leftover<B>>>;

/// The body.
#[derive(Debug)]
pub struct PacedBody<B> {
    body: Option<B>,
    leftover: LeftoverSlot<B>,
    context: Rc<LaneContext>,
    account: Rc<Account>,
    pace: Pace,
    timer: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl<B> PacedBody<B> {
    /// The body, and the slot that its rest will be in when it is dropped.
    pub fn new(
        body: B,
        context: Rc<LaneContext>,
        account: Rc<Account>,
    ) -> (PacedBody<B>, LeftoverSlot<B>) {
        let leftover = Rc::new(RefCell::new(Leftover { body: None, asked: false }));
        let pace = Pace::new(context.limits.body_window, context.limits.body_bytes);
        let slot = leftover.clone();
        let body = Some(body);
        (PacedBody { body, leftover, context, account, pace, timer: None, ended: false }, slot)
    }

    /// Writes down that bytes have come, after so much waiting.
    fn note(&self, count: u64, waited: Duration) {
        self.account.receive(count);
        if self.account.is_measured() {
            self.account.spent(Stage::Receive, waited);
            let cells = &self.context.cells;
            cells.received[self.account.asked.operation as usize].add(count);
            cells.copied[Copying::SocketReceive as usize].add(count);
            self.account.copy(Copying::SocketReceive, count);
            if self.account.delivery() == Delivery::Tls {
                cells.copied[Copying::Tls as usize].add(count);
                self.account.copy(Copying::Tls, count);
            }
        }
    }

    /// Waits for the client; ready when it has had its time.
    fn poll_pace(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let left = match self.pace.wait(Instant::now()) {
                Some(left) => left,
                None => return Poll::Ready(()),
            };
            // One timer, armed at the first waiting and again only when it fires: it fires no later
            // than it has to, since waiting never passes faster than time.
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(left)));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
        }
    }
}

impl<B> Body for PacedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    type Data = Bytes;
    type Error = BodyFault<B::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let Some(body) = this.body.as_mut().filter(|_| !this.ended) else {
            return Poll::Ready(None);
        };
        this.leftover.borrow_mut().asked = true;
        match Pin::new(body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let count = frame.data_ref().map_or(0, |data| data.len() as u64);
                let waited = this.pace.arrived(count, Instant::now);
                this.note(count, waited);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.ended = true;
                Poll::Ready(Some(Err(BodyFault::BrokenOff(error))))
            }
            Poll::Ready(None) => {
                this.ended = true;
                Poll::Ready(None)
            }
            Poll::Pending if this.poll_pace(cx).is_ready() => {
                this.ended = true;
                this.context.cells.refused(Refusal::BodyTime);
                Poll::Ready(Some(Err(BodyFault::TooSlow)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> Drop for PacedBody<B> {
    fn drop(&mut self) {
        self.leftover.borrow_mut().body = self.body.take();
    }
}

/// How much has come in how much waiting.
#[derive(Debug, Clone, Copy)]
struct Pace {
    window: Duration,
    least: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
    /// What the present waiting took of windows that are over.
    before: Duration,
    bytes: u64,
}

impl Pace {
    fn new(window: Duration, least: u64) -> Pace {
        let zero = Duration::ZERO;
        Pace { window, least, waited: zero, waiting_since: None, before: zero, bytes: 0 }
    }

    /// Bytes have come. The clock is looked at only when there was waiting.
    /// Gives how long was waited for them.
    fn arrived(&mut self, count: u64, now: impl Fn() -> Instant) -> Duration {
        self.bytes += count;
        let Some(since) = self.waiting_since.take() else {
            return Duration::ZERO;
        };
        let waited = now().saturating_duration_since(since);
        self.waited += waited;
        waited + std::mem::take(&mut self.before)
    }

    /// There is nothing yet. What is left of the window, or `None` when it is over and too little
    /// has come in it.
    fn wait(&mut self, now: Instant) -> Option<Duration> {
        let since = *self.waiting_since.get_or_insert(now);
        let waited = self.waited + now.saturating_duration_since(since);
        if waited < self.window {
            return Some(self.window - waited);
        }
        if self.bytes < self.least {
            return None;
        }
        let before = self.before + now.saturating_duration_since(since);
        *self = Pace { waiting_since: Some(now), before, ..Pace::new(self.window, self.least) };
        Some(self.window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silent_client_has_one_window() {
        let start = Instant::now();
        let mut pace = Pace::new(10 * SECOND, 100);
        assert_eq!(pace.wait(start), Some(10 * SECOND));
        assert_eq!(pace.wait(start + 9 * SECOND), Some(SECOND));
        assert_eq!(pace.wait(start + 10 * SECOND), None);
    }

    #[test]
    fn a_client_at_the_least_pace_has_window_after_window() {
        let start = Instant::now();
        let mut pace = Pace::new(10 * SECOND, 100);
        for second in 0..100 {
            let now = start + second * SECOND;
            assert!(pace.wait(now).is_some(), "{second}");
            pace.arrived(10, || now + SECOND);
        }
    }

    #[test]
    fn a_client_just_below_the_pace_is_refused() {
        let start = Instant::now();
        let mut pace = Pace::new(10 * SECOND, 100);
        let refused = (0..12).any(|second| {
            let now = start + second * SECOND;
            let over = pace.wait(now).is_none();
            pace.arrived(9, || now + SECOND);
            over
        });
        assert!(refused);
    }

    #[test]
    fn time_in_which_nobody_asks_is_not_the_clients() {
        let start = Instant::now();
        let mut pace = Pace::new(10 * SECOND, 100);
        for hour in 0..5 {
            let now = start + 3600 * SECOND * hour;
            assert!(pace.wait(now).is_some());
            pace.arrived(1, || now + SECOND);
        }
    }
}
