//! Owns one thread's completion queue: it wakes when there are completions and hands each to its queue pair. Also the
//! fencing of queue pairs whose owner has gone.
//!
//! ```text
//!  Endpoint ─▶ Shared ◀─ Line ◀─ QueuePair          Shared knows its lines weakly, for handing over completions
//!                 ╎        ▲
//!    pump, reaper ╎        └─ orphans, owned by the reaper: what was dropped unfenced
//! ```
//!
//! Nothing here owns itself in a circle: where the thread's tasks end before a queue pair was fenced, the reaper goes
//! with them, its orphans with it, and each of those is destroyed without waiting for what it flushes.
//!
//! *Not here*: what a queue pair may do ([`super::QueuePair`]).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::address::Qpn;
use super::driver::{EndpointDriver, Fabric, QueuePairDriver, Transition};
use super::error::{FabricError, QueuePairState};
use super::work::{Completion, WorkStatus};
use crate::limits::{COMPLETIONS_PER_ROUND, FENCE_TIME};

/// One thread's part of a fabric. Clones are the same endpoint.
#[derive(Clone)]
pub struct Endpoint {
    shared: Rc<Shared>,
}

pub(super) struct Shared {
    fabric: Arc<dyn Fabric>,
    driver: Rc<dyn EndpointDriver>,
    queue_pairs: RefCell<BTreeMap<Qpn, Weak<Line>>>,
    /// Where queue pairs go that nobody fences; gone when the thread's tasks are.
    orphans: Weak<Orphans>,
    tasks: RefCell<Vec<JoinHandle<()>>>,
    /// Why nothing completes any more, once that is so.
    broken: RefCell<Option<FabricError>>,
    live: Cell<usize>,
    made: Cell<u64>,
    leaked: Cell<u64>,
    /// Told when a queue pair is gone.
    gone: Notify,
}

/// Queue pairs that were dropped and are yet to be fenced.
#[derive(Default)]
struct Orphans {
    lines: RefCell<Vec<Rc<Line>>>,
    arrived: Notify,
}

/// What is known of one queue pair: its driver, and the completions that nobody has taken.
pub(super) struct Line {
    pub(super) number: Qpn,
    /// Where our steps and the completions have led; the device may be in the error state without our knowing yet.
    pub(super) state: Cell<QueuePairState>,
    driver: RefCell<Option<Box<dyn QueuePairDriver>>>,
    arrived: RefCell<VecDeque<Completion>>,
    wake: Notify,
    /// Posted less completed, of both queues.
    outstanding: Cell<u64>,
    endpoint: Rc<Shared>,
}

impl Endpoint {
    /// This thread's endpoint. Within a `LocalSet`, or a runtime that can `spawn_local`.
    ///
    /// # Errors
    /// When the device has no more completion queues.
    pub fn open(fabric: &Arc<dyn Fabric>) -> Result<Endpoint, FabricError> {
        let driver: Rc<dyn EndpointDriver> = fabric.endpoint()?.into();
        let orphans = Rc::new(Orphans::default());
        let shared = Rc::new(Shared {
            fabric: Arc::clone(fabric),
            driver: Rc::clone(&driver),
            queue_pairs: RefCell::default(),
            orphans: Rc::downgrade(&orphans),
            tasks: RefCell::default(),
            broken: RefCell::default(),
            live: Cell::new(0),
            made: Cell::new(0),
            leaked: Cell::new(0),
            gone: Notify::new(),
        });
        let pump = tokio::task::spawn_local(pump(driver, Rc::downgrade(&shared)));
        let reaper = tokio::task::spawn_local(reap(orphans));
        shared.tasks.borrow_mut().extend([pump, reaper]);
        Ok(Endpoint { shared })
    }

    /// The fabric that it is of.
    #[must_use]
    pub fn fabric(&self) -> &Arc<dyn Fabric> {
        &self.shared.fabric
    }

    /// Queue pairs that exist, those being fenced included.
    #[must_use]
    pub fn live_queue_pairs(&self) -> usize {
        self.shared.live.get()
    }

    /// Queue pairs that were ever made.
    #[must_use]
    pub fn queue_pairs_made(&self) -> u64 {
        self.shared.made.get()
    }

    /// Queue pairs that the device would not destroy; the memory of their work is lost.
    #[must_use]
    pub fn leaked_queue_pairs(&self) -> u64 {
        self.shared.leaked.get()
    }

    /// Ready when no queue pair of this endpoint exists any more. Whoever still holds one must drop it.
    pub async fn drained(&self) {
        while self.shared.live.get() > 0 {
            let gone = self.shared.gone.notified();
            if self.shared.live.get() == 0 {
                return;
            }
            gone.await;
        }
    }

    pub(super) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }
}

impl Shared {
    pub(super) fn driver(&self) -> &dyn EndpointDriver {
        &*self.driver
    }

    /// Why nothing completes any more, if that is so.
    pub(super) fn broken(&self) -> Option<FabricError> {
        self.broken.borrow().clone()
    }

    fn deliver(&self, completion: Completion) {
        let line = self.queue_pairs.borrow().get(&completion.queue_pair).and_then(Weak::upgrade);
        if let Some(line) = line {
            if completion.status != WorkStatus::Success {
                line.state.set(QueuePairState::Error);
            }
            line.outstanding.set(line.outstanding.get().saturating_sub(1));
            line.arrived.borrow_mut().push_back(completion);
            line.wake.notify_one();
        }
    }

    fn fail(&self, error: FabricError) {
        tracing::error!(%error, "an RDMA completion queue has failed; its transfers end");
        *self.broken.borrow_mut() = Some(error);
        for line in self.queue_pairs.borrow().values().filter_map(Weak::upgrade) {
            // All that wait; who comes later sees the error first.
            line.wake.notify_waiters();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for task in self.tasks.borrow_mut().drain(..) {
            task.abort();
        }
    }
}

/// Fences what was dropped, all at the same time: one whose device hangs doesn't keep the others.
async fn reap(orphans: Rc<Orphans>) {
    loop {
        for line in orphans.lines.take() {
            tokio::task::spawn_local(async move {
                // Nobody waits for this one.
                let _ = line.fence().await;
            });
        }
        orphans.arrived.notified().await;
    }
}

/// Waits for completions and hands them over, a bounded number at a time: other tasks of the thread get their turn
/// between rounds. Holds the endpoint only while it hands over, so that it can go.
async fn pump(driver: Rc<dyn EndpointDriver>, endpoint: Weak<Shared>) {
    let mut batch = Vec::with_capacity(COMPLETIONS_PER_ROUND);
    loop {
        let polled = driver.poll(COMPLETIONS_PER_ROUND, &mut batch);
        let found = batch.len();
        {
            let Some(shared) = endpoint.upgrade() else { return };
            for completion in batch.drain(..) {
                shared.deliver(completion);
            }
        }
        let outcome = match polled {
            Err(error) => Err(error),
            Ok(()) if found > 0 => {
                tokio::task::yield_now().await;
                Ok(())
            }
            Ok(()) => driver.ready().await,
        };
        if let Err(error) = outcome {
            if let Some(shared) = endpoint.upgrade() {
                shared.fail(error);
            }
            return;
        }
    }
}

impl Line {
    pub(super) fn new(endpoint: &Rc<Shared>, driver: Box<dyn QueuePairDriver>) -> Rc<Line> {
        let number = driver.number();
        let line = Rc::new(Line {
            number,
            state: Cell::new(QueuePairState::Reset),
            driver: RefCell::new(Some(driver)),
            arrived: RefCell::default(),
            wake: Notify::new(),
            outstanding: Cell::new(0),
            endpoint: Rc::clone(endpoint),
        });
        endpoint.live.set(endpoint.live.get() + 1);
        endpoint.made.set(endpoint.made.get() + 1);
        endpoint.queue_pairs.borrow_mut().insert(number, Rc::downgrade(&line));
        line
    }

    /// Why nothing completes any more, if that is so.
    pub(super) fn broken(&self) -> Option<FabricError> {
        self.endpoint.broken()
    }

    pub(super) fn outstanding(&self) -> u64 {
        self.outstanding.get()
    }

    /// Does something with the driver, which is there until [`Self::destroy`].
    pub(super) fn with_driver<T>(
        &self,
        act: impl FnOnce(&mut dyn QueuePairDriver) -> T,
    ) -> Option<T> {
        self.driver.borrow_mut().as_mut().map(|driver| act(&mut **driver))
    }

    /// One more work request was posted.
    pub(super) fn posted(&self) {
        self.outstanding.set(self.outstanding.get() + 1);
    }

    pub(super) fn step(&self, step: &Transition) -> Result<(), FabricError> {
        let done = self.with_driver(|driver| driver.modify(step));
        done.unwrap_or_else(|| Err(FabricError::new("ibv_modify_qp", "the queue pair is gone")))
            .map_err(|error| error.in_state(self.state.get()))?;
        self.state.set(step.target());
        Ok(())
    }

    pub(super) fn take(&self) -> Option<Completion> {
        self.arrived.borrow_mut().pop_front()
    }

    /// The next completion; an error when there will be none because the completion queue has failed.
    pub(super) async fn next(&self) -> Result<Completion, FabricError> {
        loop {
            let wake = self.wake.notified();
            if let Some(completion) = self.take() {
                return Ok(completion);
            }
            if let Some(error) = self.endpoint.broken() {
                return Err(error);
            }
            wake.await;
        }
    }

    /// Puts the queue pair into the error state, takes all that it flushes, and destroys it.
    pub(super) async fn fence(&self) -> Fenced {
        let began = tokio::time::Instant::now();
        // A device that doesn't flush in time is made to by destroying the queue pair, which ends all access of its work
        // requests just so (ibv_destroy_qp(3)).
        if self.step(&Transition::Error).is_ok() && !self.drain().await {
            tracing::warn!(queue_pair = self.number.number(), "not all work was flushed in time");
        }
        let clean = self.destroy();
        Fenced { clean, took: began.elapsed() }
    }

    /// Takes completions until all that was posted has its own; false when they don't come in time.
    pub(super) async fn drain(&self) -> bool {
        let drained = async {
            while self.outstanding.get() > 0 {
                if self.next().await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(FENCE_TIME, drained).await.unwrap_or(false)
    }

    /// Has this queue pair, which nobody owns any more, fenced by a task of the thread; destroys it where there is none.
    pub(super) fn abandon(self: Rc<Line>) {
        if let Some(orphans) = self.endpoint.orphans.upgrade() {
            orphans.lines.borrow_mut().push(self);
            orphans.arrived.notify_one();
        }
    }

    fn destroy(&self) -> bool {
        let Some(driver) = self.driver.borrow_mut().take() else { return true };
        drop(self.arrived.take());
        let outcome = driver.destroy();
        let endpoint = &self.endpoint;
        endpoint.queue_pairs.borrow_mut().remove(&self.number);
        endpoint.live.set(endpoint.live.get() - 1);
        endpoint.gone.notify_waiters();
        if let Err(error) = &outcome {
            endpoint.leaked.set(endpoint.leaked.get() + 1);
            tracing::error!(%error, "a queue pair could not be destroyed; the memory of its work is lost");
        }
        outcome.is_ok()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.driver.borrow().is_none()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Only where the thread's tasks ended before it was fenced.
        self.destroy();
    }
}

/// That a queue pair is gone: none of its work touches memory any more, here or at the peer, but for packets that the
/// network has yet to deliver.
#[derive(Debug)]
#[must_use = "an answer may be given, or memory reused, only after the fence"]
pub struct Fenced {
    /// Whether the device destroyed it as asked. If not, the memory of its work is lost for good, not reused.
    pub clean: bool,
    /// How long it took.
    pub took: Duration,
}

#[cfg(test)]
mod tests;
