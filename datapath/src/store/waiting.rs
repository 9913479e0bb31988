//! Telling a request's meter what it waits for.
//!
//! A clock is read only when something has to be waited for and somebody wants to know: a future
//! that is ready when it is first asked costs no clock.
//!
//! *Not here*: what a meter is ([`crate::meter`]).

use std::{
    future::poll_fn,
    pin::pin,
    rc::Rc,
    time::{Duration, Instant},
};

use crate::meter::{Meter, Wait};

/// Who is told, if anybody.
pub(super) type MeterSlot = Option<Rc<dyn Meter>>;

/// What somebody is waiting for. Dropped before [`Self::ended`], as when a request is given up, it
/// tells what was waited so far.
pub(super) struct Waiting<'meter> {
    meter: &'meter dyn Meter,
    wait: Wait,
    began: Instant,
}

impl<'meter> Waiting<'meter> {
    /// It is over. The caller tells what it consisted of.
    pub(super) fn ended(self) -> (&'meter dyn Meter, Duration) {
        let told = (self.meter, self.began.elapsed());
        std::mem::forget(self);
        told
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.meter.waited(self.wait, self.began.elapsed());
    }
}

/// Awaits `future`; with its output comes the waiting, if there was any that somebody wants to know.
pub(super) async fn watched<'meter, F: Future>(
    meter: &'meter MeterSlot,
    wait: Wait,
    future: F,
) -> (F::Output, Option<Waiting<'meter>>) {
    let mut future = pin!(future);
    let mut waiting = None;
    let output = poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        if polled.is_pending()
            && waiting.is_none()
            && let Some(meter) = meter
        {
            waiting = Some(Waiting { meter: &**meter, wait, began: Instant::now() });
        }
        polled
    })
    .await;
    (output, waiting)
}

/// Awaits `future` and tells what was waited.
pub(super) async fn told<F: Future>(meter: &MeterSlot, wait: Wait, future: F) -> F::Output {
    watched(meter, wait, future).await.0
}

/// How long something took in all, of which a request has waited for the last part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent {
    /// For the device.
    pub(super) device: Duration,
    /// For checksums, which came last.
    pub(super) verify: Duration,
}

impl Spent {
    /// Tells a meter what a wait consisted of that ended with this: the end of it was checking, the
    /// part before that the device, and what is left was waiting for a turn.
    pub(super) fn tell(self, waiting: Option<Waiting<'_>>) {
        let Some((meter, waited)) = waiting.map(Waiting::ended) else {
            return;
        };
        let verify = waited.min(self.verify);
        let device = (waited - verify).min(self.device);
        let queue = waited - verify - device;
        for (wait, took) in [(Wait::Queue, queue), (Wait::Device, device), (Wait::Verify, verify)] {
            if !took.is_zero() {
                meter.waited(wait, took);
            }
        }
    }
}
