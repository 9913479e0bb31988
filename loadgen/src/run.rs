//! Owns a run: threads, their workers, warm-up, the measured phase and its end.
//!
//! Each thread has a runtime of its own and a share of the connections; a worker is one connection's
//! loop. Warm-up is a phase of its own that ends completely, connections kept; only then are CPU
//! times read and the measured phase begins. So every request, byte and CPU second of the measured
//! phase belongs to it.
//!
//! Not here: when a worker sends (`schedule.rs`), what (`scenario.rs`, `operation.rs`).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::LocalOptions;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::client::{Client, Shared};
use crate::cpu::{CpuError, Processes, own_cpu_time};
use crate::failure::Failure;
use crate::limits;
use crate::operation::{Plan, perform};
use crate::progress::{Counters, Progress};
use crate::record::{Moments, Record};
use crate::schedule::{Arrivals, Schedule, Times, Turnstile};

/// How much load, for how long.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    /// At most as many as connections.
    pub(crate) threads: usize,
    /// Operations a second over all threads; `None` is a closed loop.
    pub(crate) rate: Option<f64>,
    pub(crate) arrivals: Arrivals,
    pub(crate) seed: u64,
    /// End of the measured phase by time and by number; at least one is given.
    pub(crate) duration: Option<Duration>,
    pub(crate) requests: Option<u64>,
    pub(crate) warmup: Duration,
    /// For one operation.
    pub(crate) timeout: Duration,
    /// Failures after which the run ends.
    pub(crate) errors_max: u64,
}

/// What a run gave.
pub(crate) struct Outcome {
    pub(crate) record: Record,
    /// From the start of the measured phase to its last answer.
    pub(crate) elapsed: Duration,
    /// `None` when no process was named.
    pub(crate) server_cpu: Option<Result<Duration, CpuError>>,
    pub(crate) client_cpu: Duration,
    pub(crate) ended: Ended,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    /// It was over.
    Complete,
    /// By a signal.
    Interrupted,
    /// There were too many failures.
    TooManyErrors,
}

/// Why there was no run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
    #[error("a thread failed: {0}")]
    Failed(String),
    #[error("the server's CPU time: {0}")]
    Cpu(#[from] CpuError),
    #[error("signals cannot be received: {0}")]
    Signal(std::io::Error),
}

/// Receives SIGINT and SIGTERM.
pub(crate) struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
    /// One has come.
    pub(crate) seen: bool,
}

impl Interrupt {
    /// Within a runtime.
    pub(crate) fn new() -> Result<Interrupt, RunError> {
        Ok(Interrupt {
            interrupt: signal(SignalKind::interrupt()).map_err(RunError::Signal)?,
            terminate: signal(SignalKind::terminate()).map_err(RunError::Signal)?,
            seen: false,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        if self.seen {
            // The second one: whoever sent it does not want to wait for the table.
            std::process::exit(130);
        }
        self.seen = true;
    }
}

/// Runs the load against the plan's endpoint.
pub(crate) async fn run(
    plan: &Arc<Plan>,
    load: &Load,
    servers: &Processes,
    progress: &mut Progress,
    interrupt: &mut Interrupt,
) -> Result<Outcome, RunError> {
    let mut crew = Crew::start(plan, load)?;
    progress.begin();
    crew.wait_for_all(progress, interrupt).await?;
    let server_before = match servers.is_empty() {
        true => None,
        false => Some(servers.cpu_time()?),
    };
    let client_before = own_cpu_time();
    let start = Instant::now();
    crew.begin.send_replace(Some(start));
    crew.wait_for_all(progress, interrupt).await?;
    let client_cpu = own_cpu_time().saturating_sub(client_before);
    let server_cpu =
        server_before.map(|before| servers.cpu_time().map(|after| after.saturating_sub(before)));
    progress.clear();
    let mut record = Record::new();
    let mut last = start;
    for (theirs, ended) in crew.finished.drain(..) {
        record.merge(theirs);
        last = last.max(ended);
    }
    let ended = match (interrupt.seen, crew.stop.is_set()) {
        (true, _) => Ended::Interrupted,
        (false, true) => Ended::TooManyErrors,
        (false, false) => Ended::Complete,
    };
    Ok(Outcome {
        record,
        elapsed: last - start,
        server_cpu,
        client_cpu,
        ended,
    })
}

/// The threads of a run, seen from outside.
struct Crew {
    threads: usize,
    begin: watch::Sender<Option<Instant>>,
    stop: Arc<Stop>,
    events: mpsc::Receiver<Event>,
    counters: Vec<Arc<Counters>>,
    finished: Vec<(Record, Instant)>,
}

/// What a thread reports, in this order, or `Failed` instead.
enum Event {
    Warm,
    Finished(Record, Instant),
    Failed(String),
}

/// Ends a run early.
struct Stop {
    set: AtomicBool,
    changed: watch::Sender<()>,
    errors: AtomicU64,
    errors_max: u64,
}

impl Stop {
    fn set(&self) {
        self.set.store(true, Ordering::Relaxed);
        self.changed.send_replace(());
    }

    fn is_set(&self) -> bool {
        self.set.load(Ordering::Relaxed)
    }

    fn count_error(&self) {
        if self.errors.fetch_add(1, Ordering::Relaxed) + 1 >= self.errors_max {
            self.set();
        }
    }
}

impl Crew {
    fn start(plan: &Arc<Plan>, load: &Load) -> Result<Crew, RunError> {
        let (begin, begun) = watch::channel(None);
        let (sender, events) = mpsc::channel(2 * load.threads);
        let stop = Arc::new(Stop {
            set: AtomicBool::new(false),
            changed: watch::channel(()).0,
            errors: AtomicU64::new(0),
            errors_max: load.errors_max,
        });
        let warm = Arc::new(Sequence::new(None));
        let measured = Arc::new(Sequence::new(load.requests));
        let mut counters = Vec::new();
        for index in 0..load.threads {
            let mine = Arc::new(Counters::default());
            counters.push(mine.clone());
            let member = Member {
                plan: plan.clone(),
                load: load.clone(),
                index,
                warm: warm.clone(),
                measured: measured.clone(),
                counters: mine,
                stop: stop.clone(),
            };
            let (sender, begun) = (sender.clone(), begun.clone());
            thread::Builder::new()
                .name(format!("load-{index}"))
                .spawn(move || member.run(sender, begun))
                .map_err(RunError::Thread)?;
        }
        Ok(Crew {
            threads: load.threads,
            begin,
            stop,
            events,
            counters,
            finished: Vec::new(),
        })
    }

    /// Waits until every thread has sent its next event.
    async fn wait_for_all(
        &mut self,
        progress: &mut Progress,
        interrupt: &mut Interrupt,
    ) -> Result<(), RunError> {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.reset();
        if interrupt.seen {
            self.stop.set();
        }
        let mut waiting = self.threads;
        while waiting > 0 {
            tokio::select! {
                event = self.events.recv() => {
                    match event {
                        Some(Event::Warm) => {}
                        Some(Event::Finished(record, at)) => self.finished.push((record, at)),
                        Some(Event::Failed(reason)) => return Err(RunError::Failed(reason)),
                        None => return Err(RunError::Failed("it ended without a word".to_owned())),
                    }
                    waiting -= 1;
                }
                _ = ticks.tick() => progress.show(self.counters.iter().map(|counters| &**counters)),
                () = interrupt.wait() => self.stop.set(),
            }
        }
        Ok(())
    }
}

/// Numbers of operations, drawn by the workers of all threads.
struct Sequence {
    next: AtomicU64,
    limit: u64,
}

impl Sequence {
    fn new(limit: Option<u64>) -> Sequence {
        Sequence {
            next: AtomicU64::new(0),
            limit: limit.unwrap_or(u64::MAX),
        }
    }

    fn claim(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.limit).then_some(number)
    }

    fn is_exhausted(&self) -> bool {
        self.next.load(Ordering::Relaxed) >= self.limit
    }
}

/// One thread of a run, seen from inside.
struct Member {
    plan: Arc<Plan>,
    load: Load,
    index: usize,
    warm: Arc<Sequence>,
    measured: Arc<Sequence>,
    counters: Arc<Counters>,
    stop: Arc<Stop>,
}

impl Member {
    fn run(self, events: mpsc::Sender<Event>, begun: watch::Receiver<Option<Instant>>) {
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
        let mut clients = Client::several(&self.plan.endpoint, self.share(), &shared);
        for client in &mut clients {
            // What hinders one hinders all; the workers try again, and count it.
            if self.stop.is_set() || client.open().await.is_err() {
                break;
            }
        }
        if !self.load.warmup.is_zero() {
            let start = Instant::now();
            let end = Some(start + self.load.warmup);
            let phase = Phase::new(self, &self.warm, start, end)?;
            clients = phase.run(clients).await?;
        }
        let opened_before = shared.connections_opened();
        events.send(Event::Warm).await.map_err(|_| gone(()))?;
        let start = *begun
            .wait_for(Option::is_some)
            .await
            .map_err(|_| gone(()))?;
        let start = start.unwrap_or_else(Instant::now);
        let end = self.load.duration.map(|duration| start + duration);
        let phase = Phase::new(self, &self.measured, start, end)?;
        phase.run(clients).await?;
        let ended = Instant::now();
        let mut record = phase.record.replace(Record::new());
        record.connections_opened = shared.connections_opened() - opened_before;
        if let Schedule::Open(turnstile) = &phase.schedule
            && !self.measured.is_exhausted()
        {
            let due = end.map_or(ended, |end| end.min(ended));
            record.never_sent = turnstile.never_sent(due).await;
        }
        let finished = Event::Finished(record, ended);
        events.send(finished).await.map_err(|_| gone(()))
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
        let Load {
            arrivals,
            seed,
            threads,
            ..
        } = self.load;
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
            timeout: member.load.timeout,
            counters: member.counters.clone(),
            stop: member.stop.clone(),
            record: RefCell::new(Record::new()),
        }))
    }

    /// Runs a worker per client until all have ended, or shortly after a stop.
    async fn run(self: &Rc<Self>, clients: Vec<Client>) -> Result<Vec<Client>, String> {
        let mut workers = JoinSet::new();
        for client in clients {
            workers.spawn_local(self.clone().work(client));
        }
        let mut stopped = self.stop.changed.subscribe();
        let mut clients = Vec::new();
        let mut give_up = None;
        if self.stop.is_set() {
            give_up = Some(tokio::time::Instant::now() + limits::INTERRUPT_GRACE);
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
                    Some(Ok(client)) => clients.push(client?),
                    Some(Err(error)) => return Err(error.to_string()),
                    None => return Ok(clients),
                },
                // The sender lives in this phase: the channel cannot close.
                _ = stopped.changed(), if give_up.is_none() => {
                    give_up = Some(tokio::time::Instant::now() + limits::INTERRUPT_GRACE);
                }
                () = too_long => {
                    workers.shutdown().await;
                    return Ok(clients);
                }
            }
        }
    }

    /// One connection's loop.
    async fn work(self: Rc<Self>, mut client: Client) -> Result<Client, String> {
        let mut pause = limits::RECONNECT_PAUSE;
        while !self.stop.is_set() && !self.sequence.is_exhausted() {
            let start = self.schedule.next(self.end).await;
            let Some(meant) = start.map_err(|error| format!("the timer: {error}"))? else {
                break;
            };
            let Some(number) = self.sequence.claim() else {
                break;
            };
            if self.perform(&mut client, meant, number).await {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(limits::RECONNECT_PAUSE_MAX);
            } else {
                pause = limits::RECONNECT_PAUSE;
            }
        }
        Ok(client)
    }

    /// Performs and records one operation; true when the endpoint took no connection.
    async fn perform(&self, client: &mut Client, meant: Instant, number: u64) -> bool {
        let operation = self.plan.scenario.operation(number);
        let sent = Instant::now();
        let performing = perform(client, &self.plan, &operation);
        let result = match tokio::time::timeout(self.timeout, performing).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Failure::TimedOut(self.timeout)),
        };
        let moments = Moments {
            meant,
            sent,
            finished: Instant::now(),
        };
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
                matches!(failure, Failure::Connect { .. })
            }
        }
    }
}
