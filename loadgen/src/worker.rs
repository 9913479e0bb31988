//! Owns what a thread of a run does: a runtime of its own, its share of the connections, and a worker
//! per connection that asks, waits for the answer and records.
//!
//! Not here: when a worker sends (`schedule.rs`), what (`scenario.rs`, `operation.rs`).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::client::{Client, Shared};
use crate::failure::Failure;
use crate::limits;
use crate::operation::{Caller, Plan, perform};
use crate::progress::Counters;
use crate::rdma::Lane;
use crate::record::{Moments, Record};
use crate::run::Load;
use crate::schedule::{Schedule, Times, Turnstile};

/// One thread of a run, seen from inside.
pub(crate) struct Member {
    pub(crate) plan: Arc<Plan>,
    pub(crate) load: Load,
    /// Position among the threads.
    pub(crate) index: usize,
    pub(crate) warm: Arc<Sequence>,
    pub(crate) measured: Arc<Sequence>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stop: Arc<Stop>,
}

impl Member {
    /// The thread's whole life.
    pub(crate) fn run(self, events: mpsc::Sender<Event>, begun: watch::Receiver<Option<Instant>>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        let result = match runtime {
            Ok(runtime) => runtime.block_on(self.work(&events, begun)),
            Err(error) => Err(error.to_string()),
        };
        if let Err(reason) = result {
            // The other side is gone only when the process is about to end.
            drop(events.blocking_send(Event::Failed(reason)));
        }
    }

    async fn work(
        &self,
        events: &mpsc::Sender<Event>,
        mut begun: watch::Receiver<Option<Instant>>,
    ) -> Result<(), String> {
        let gone = |_| "the run is gone".to_owned();
        let shared = Shared::new();
        let lane = self.lane()?;
        let clients = Client::several(&self.plan.endpoint, self.share(), &shared);
        let line = || lane.as_ref().map(|lane| lane.line(&self.plan.endpoint, &shared));
        let callers = clients.into_iter().map(|client| Caller { client, line: line() });
        let mut callers: Vec<Caller> = callers.collect();
        for caller in &mut callers {
            // What hinders one hinders all; the workers try again, and count it.
            if self.stop.is_set() || caller.open().await.is_err() {
                break;
            }
        }
        if !self.load.warmup.is_zero() {
            let start = Instant::now();
            let end = Some(start + self.load.warmup);
            let phase = Phase::new(self, &self.warm, start, end)?;
            callers = phase.run(callers).await?;
        }
        let opened_before = shared.connections_opened();
        if let Some(lane) = &lane {
            lane.begin_counting();
        }
        events.send(Event::Warm).await.map_err(|_| gone(()))?;
        let start = *begun.wait_for(Option::is_some).await.map_err(|_| gone(()))?;
        let start = start.unwrap_or_else(Instant::now);
        let end = self.load.duration.map(|duration| start + duration);
        let phase = Phase::new(self, &self.measured, start, end)?;
        // The callers are dropped here: their connections are the lane's to end.
        drop(phase.run(callers).await?);
        let ended = Instant::now();
        let mut record = phase.record.replace(Record::new());
        record.connections_opened = shared.connections_opened() - opened_before;
        if let Schedule::Open(turnstile) = &phase.schedule
            && !self.measured.is_exhausted()
        {
            let due = end.map_or(ended, |end| end.min(ended));
            record.never_sent = turnstile.never_sent(due).await;
        }
        if let Some(lane) = &lane {
            record.rdma = Some(lane.counted());
            lane.close().await;
        }
        let finished = Event::Finished(Box::new(record), ended);
        events.send(finished).await.map_err(|_| gone(()))
    }

    /// What this thread has of RDMA, when payloads go by it.
    fn lane(&self) -> Result<Option<Rc<Lane>>, String> {
        let Some(rdma) = &self.plan.rdma else {
            return Ok(None);
        };
        let bytes = self.plan.transfer_bytes_max;
        let lane = Lane::open(rdma, self.load.timeout, self.plan.verify, self.share(), bytes)?;
        Ok(Some(lane))
    }

    /// Connections of this thread.
    fn share(&self) -> usize {
        let (connections, threads) = (self.load.connections, self.load.threads);
        connections / threads + usize::from(self.index < connections % threads)
    }

    fn schedule(&self, start: Instant) -> std::io::Result<Schedule> {
        let Some(rate) = self.load.rate else {
            return Ok(Schedule::Closed);
        };
        let Load { arrivals, seed, threads, .. } = self.load;
        let times = Times::new(arrivals, seed, rate, self.index, threads);
        Ok(Schedule::Open(Turnstile::new(times, start)?))
    }
}

/// One phase of one thread: its workers share this.
struct Phase {
    plan: Arc<Plan>,
    sequence: Arc<Sequence>,
    schedule: Schedule,
    end: Option<Instant>,
    timeout: Duration,
    /// Until operations in flight are dropped after a stop.
    grace: Duration,
    counters: Arc<Counters>,
    stop: Arc<Stop>,
    record: RefCell<Record>,
}

impl Phase {
    fn new(
        member: &Member,
        sequence: &Arc<Sequence>,
        start: Instant,
        end: Option<Instant>,
    ) -> Result<Rc<Phase>, String> {
        Ok(Rc::new(Phase {
            plan: member.plan.clone(),
            sequence: sequence.clone(),
            schedule: member.schedule(start).map_err(|error| error.to_string())?,
            end,
            timeout: match member.plan.rdma {
                // The RDMA client keeps the time itself, and then takes its memory back.
                Some(_) => member.load.timeout.saturating_add(limits::RDMA_SETTLE_WAIT),
                None => member.load.timeout,
            },
            grace: match member.plan.rdma {
                Some(_) => limits::RDMA_INTERRUPT_GRACE,
                None => limits::INTERRUPT_GRACE,
            },
            counters: member.counters.clone(),
            stop: member.stop.clone(),
            record: RefCell::new(Record::new()),
        }))
    }

    /// Runs a worker per caller until all have ended, or shortly after a stop.
    async fn run(self: &Rc<Self>, callers: Vec<Caller>) -> Result<Vec<Caller>, String> {
        let mut workers = JoinSet::new();
        for caller in callers {
            workers.spawn_local(self.clone().work(caller));
        }
        let mut stopped = self.stop.changed.subscribe();
        let mut callers = Vec::new();
        let mut give_up = None;
        if self.stop.is_set() {
            give_up = Some(tokio::time::Instant::now() + self.grace);
        }
        loop {
            let too_long = async {
                match give_up {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                joined = workers.join_next() => match joined {
                    Some(Ok(caller)) => callers.push(caller?),
                    Some(Err(error)) => return Err(error.to_string()),
                    None => return Ok(callers),
                },
                // The sender lives in this phase: the channel cannot close.
                _ = stopped.changed(), if give_up.is_none() => {
                    give_up = Some(tokio::time::Instant::now() + self.grace);
                }
                () = too_long => {
                    workers.shutdown().await;
                    return Ok(callers);
                }
            }
        }
    }

    /// One connection's loop.
    async fn work(self: Rc<Self>, mut caller: Caller) -> Result<Caller, String> {
        let mut pause = limits::RECONNECT_PAUSE;
        while !self.stop.is_set() && !self.sequence.is_exhausted() {
            let start = self.schedule.next(self.end).await;
            let Some(meant) = start.map_err(|error| format!("the timer: {error}"))? else {
                break;
            };
            let Some(number) = self.sequence.claim() else {
                break;
            };
            if self.perform(&mut caller, meant, number).await {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(limits::RECONNECT_PAUSE_MAX);
            } else {
                pause = limits::RECONNECT_PAUSE;
            }
        }
        Ok(caller)
    }

    /// Performs and records one operation; true when the endpoint took no connection.
    async fn perform(&self, caller: &mut Caller, meant: Instant, number: u64) -> bool {
        let operation = self.plan.scenario.operation(number);
        let sent = Instant::now();
        let performing = perform(caller, &self.plan, &operation);
        let result = match tokio::time::timeout(self.timeout, performing).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Failure::TimedOut(self.timeout)),
        };
        let moments = Moments { meant, sent, finished: Instant::now() };
        let mut record = self.record.borrow_mut();
        match result {
            Ok(done) => {
                record.success(operation.kind, moments, &done);
                self.counters.success(done.bytes);
                false
            }
            Err(failure) => {
                let key = self.plan.scenario.key_of(operation.object);
                record.failure(operation.kind, moments, &key, &failure);
                self.counters.failure();
                self.stop.count_error();
                failure.is_connect()
            }
        }
    }
}

/// What a thread reports, in this order, or `Failed` instead.
pub(crate) enum Event {
    Warm,
    Finished(Box<Record>, Instant),
    Failed(String),
}

/// Ends a run early.
pub(crate) struct Stop {
    set: AtomicBool,
    changed: watch::Sender<()>,
    errors: AtomicU64,
    errors_max: u64,
}

impl Stop {
    /// Sets itself at the `errors_max`-th failure.
    pub(crate) fn new(errors_max: u64) -> Stop {
        Stop {
            set: AtomicBool::new(false),
            changed: watch::channel(()).0,
            errors: AtomicU64::new(0),
            errors_max,
        }
    }

    /// Ends the run.
    pub(crate) fn set(&self) {
        self.set.store(true, Ordering::Relaxed);
        self.changed.send_replace(());
    }

    pub(crate) fn is_set(&self) -> bool {
        self.set.load(Ordering::Relaxed)
    }

    fn count_error(&self) {
        if self.errors.fetch_add(1, Ordering::Relaxed) + 1 >= self.errors_max {
            self.set();
        }
    }
}

/// Numbers of operations, drawn by the workers of all threads.
pub(crate) struct Sequence {
    next: AtomicU64,
    limit: u64,
}

impl Sequence {
    pub(crate) fn new(limit: Option<u64>) -> Sequence {
        Sequence { next: AtomicU64::new(0), limit: limit.unwrap_or(u64::MAX) }
    }

    fn claim(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.limit).then_some(number)
    }

    fn is_exhausted(&self) -> bool {
        self.next.load(Ordering::Relaxed) >= self.limit
    }
}
