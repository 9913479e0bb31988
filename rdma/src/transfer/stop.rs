//! Owns what ends a transfer's waiting: its deadline, or somebody who wants it to end. Every wait of a transfer is
//! under one of these.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio::time::Instant;

use super::abort::AbortReason;
use crate::fabric::Local;

/// Why to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Time is up.
    Deadline,
    /// Somebody said so.
    Aborted(AbortReason),
}

/// One timer and one ear for a whole transfer.
pub(crate) struct Stopper<'a> {
    raised: Local<'a, Stop>,
    fired: Option<Stop>,
}

impl<'a> Stopper<'a> {
    pub(crate) fn new(
        deadline: Instant,
        aborted: impl Future<Output = AbortReason> + 'a,
    ) -> Stopper<'a> {
        let raised = Box::pin(async move {
            tokio::select! {
                biased;
                reason = aborted => Stop::Aborted(reason),
                () = tokio::time::sleep_until(deadline) => Stop::Deadline,
            }
        });
        Stopper { raised, fired: None }
    }

    /// Ready when it is time to stop; and again each time that it is asked after that.
    pub(crate) async fn raised(&mut self) -> Stop {
        poll_fn(|context| match self.fired {
            Some(stop) => Poll::Ready(stop),
            None => {
                let polled = Pin::new(&mut self.raised).poll(context);
                if let Poll::Ready(stop) = polled {
                    self.fired = Some(stop);
                }
                polled
            }
        })
        .await
    }

    /// Waits for something, unless it is time to stop.
    pub(crate) async fn guard<T>(&mut self, awaited: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            stop = self.raised() => Err(stop),
            value = awaited => Ok(value),
        }
    }
}
