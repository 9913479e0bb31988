//! Owns a run: its threads, warm-up, the measured phase and its end, as seen from outside.
//!
//! Warm-up is a phase of its own that ends completely, connections kept; only then are CPU
//! times read and the measured phase begins. So every request, byte and CPU second of the measured
//! phase belongs to it.
//!
//! Not here: what a thread does (`worker.rs`).

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::cpu::{CpuError, Processes, own_cpu_time};
use crate::operation::Plan;
use crate::progress::{Counters, Progress};
use crate::record::Record;
use crate::schedule::Arrivals;
use crate::worker::{Event, Member, Sequence, Stop};

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
    Ok(Outcome { record, elapsed: last - start, server_cpu, client_cpu, ended })
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

impl Crew {
    fn start(plan: &Arc<Plan>, load: &Load) -> Result<Crew, RunError> {
        let (begin, begun) = watch::channel(None);
        let (sender, events) = mpsc::channel(2 * load.threads);
        let stop = Arc::new(Stop::new(load.errors_max));
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
        Ok(Crew { threads: load.threads, begin, stop, events, counters, finished: Vec::new() })
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
                        Some(Event::Finished(record, at)) => self.finished.push((*record, at)),
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
