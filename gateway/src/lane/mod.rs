//! Lanes: one thread per core, each with its own sockets, runtime and store handles.
//!
//! Owns: starting all lanes or none, what happens on a lane from its first to its last moment, and
//! the end: a lane leaves its runtime only with no io_uring operation in flight, because the
//! runtime's driver would free their buffers under the kernel's hands.
//! Not here: requests (`door`), the store (behind [`Application`]).

pub mod accept;
pub mod clock;
pub mod connection;
pub mod context;
pub mod cores;
pub mod engine;
pub mod handshakes;
pub mod heads;
pub mod listener;
pub mod load;
pub mod pulse;
pub mod stream;
pub mod sweep;
#[cfg(test)]
mod tests;

use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc as async_mpsc, oneshot, watch};
use tokio::task::JoinSet;

pub use context::{ConnectionBudget, LaneContext};
pub use cores::Pinning;
pub use engine::{Engine, Settled};
pub use load::Loads;

use crate::config::Limits;
use crate::door::{Backend, Door, DoorSettings};
use crate::limits;
use crate::metrics::{LaneCells, Refusal};
use crate::record::{Sinks, Watch};
use crate::tls::Tls;
use clock::Clock;
use handshakes::Handshakes;
use pulse::{Command, Registry};

/// What the process is doing, as lanes see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Taking requests.
    Serving,
    /// Finishing those that are there, until that moment at the latest.
    Draining {
        /// When what still runs is cut off.
        until: Instant,
    },
}

/// What serves requests behind the door, once for the process.
pub trait Application: Send + Sync + 'static {
    /// Its part on one lane, which never leaves the lane's thread.
    type Backend: Backend;

    /// Opens that part. Called on the lane's thread, inside its runtime.
    ///
    /// # Errors
    /// One line for the operator; no lane serves then.
    fn open(&self, engine: Engine, index: usize) -> Result<Self::Backend, String>;
}

/// An order from the administration that needs the store, carried out on lane 0.
#[derive(Debug)]
pub struct Order {
    /// What to do.
    pub what: OrderKind,
    /// Where the outcome goes.
    pub answer: oneshot::Sender<Result<(), OrderError>>,
}

/// What may be ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderKind {
    /// Let anybody read the objects of a bucket, or not.
    PublicRead {
        /// The bucket.
        bucket: String,
        /// Whether.
        on: bool,
    },
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is no such bucket.
    #[error("there is no bucket {0}")]
    NoSuchBucket(String),
    /// The store failed.
    #[error("{0}")]
    Failed(String),
}

/// Everything lanes are started with.
#[derive(Debug)]
pub struct LanePlan {
    /// The engine for all lanes.
    pub engine: Engine,
    /// Cores to bind to.
    pub pinning: Pinning,
    /// Bounds on clients.
    pub limits: Limits,
    /// What the door needs besides.
    pub door: Arc<DoorSettings>,
    /// Listeners, one list per lane.
    pub listeners: Vec<Vec<TcpListener>>,
    /// Those of TLS; `None` without it.
    pub secure: Option<SecureListeners>,
    /// Whether requests are measured.
    pub measures: bool,
    /// Who is told of requests that have ended.
    pub sinks: Sinks,
}

/// Listeners of TLS, and what their connections are accepted with.
#[derive(Debug)]
pub struct SecureListeners {
    /// Certificates and the rest.
    pub tls: Arc<Tls>,
    /// Listeners, one list per lane.
    pub listeners: Vec<Vec<TcpListener>>,
}

impl LanePlan {
    /// How closely requests are watched: as closely as somebody is told of it.
    fn watch(&self) -> Watch {
        match (self.measures, self.sinks.is_empty()) {
            (true, _) => Watch::Stages,
            (false, false) => Watch::Ends,
            (false, true) => Watch::Not,
        }
    }
}

/// The running lanes.
#[derive(Debug)]
pub struct Lanes {
    threads: Vec<JoinHandle<()>>,
    cells: Vec<Arc<LaneCells>>,
    loads: Arc<Loads>,
    phase: watch::Sender<Phase>,
    /// Orders for lane 0.
    pub orders: async_mpsc::Sender<Order>,
    /// Each lane's end: its index, and why when it was not the drain.
    pub ends: async_mpsc::Receiver<(usize, Result<(), String>)>,
}

impl Lanes {
    /// Starts all lanes and waits until each one serves.
    ///
    /// # Errors
    /// The first lane's reason; the others have been stopped and joined then.
    pub fn start<A: Application>(plan: LanePlan, application: Arc<A>) -> Result<Lanes, String> {
        let (count, watch) = (plan.listeners.len(), plan.watch());
        let cells: Vec<_> = (0..count).map(|_| Arc::new(LaneCells::default())).collect();
        let connections = Arc::new(ConnectionBudget::new(plan.limits.connections));
        let (phase, watching) = watch::channel(Phase::Serving);
        let (orders, mut taking) = {
            let (sender, receiver) = async_mpsc::channel(limits::ADMIN_COMMANDS_MAX);
            (sender, Some(receiver))
        };
        let (end, ends) = async_mpsc::channel(count.max(1));
        let (ready, readiness) = mpsc::channel();
        let loads = Arc::new(Loads::new(count));
        let mut lanes = Lanes { threads: Vec::new(), cells, loads, phase, orders, ends };
        let (tls, mut secure) = match plan.secure {
            Some(secure) => (Some(secure.tls), secure.listeners.into_iter()),
            None => (None, Vec::new().into_iter()),
        };
        for (index, listeners) in plan.listeners.into_iter().enumerate() {
            let lane = Lane {
                index,
                engine: plan.engine,
                core: plan.pinning.cores.get(index).copied(),
                limits: plan.limits.clone(),
                door: plan.door.clone(),
                listeners,
                tls: tls.clone(),
                secure: secure.next().unwrap_or_default(),
                handshakes: handshakes_of_lane(&plan.limits, count),
                cells: lanes.cells[index].clone(),
                loads: lanes.loads.clone(),
                watch,
                sinks: plan.sinks.clone(),
                connections: connections.clone(),
                phase: watching.clone(),
                orders: taking.take(),
            };
            let (application, ready, end) = (application.clone(), ready.clone(), end.clone());
            let spawned = thread::Builder::new()
                .name(format!("lane-{index}"))
                .spawn(move || lane.run(&*application, &ready, &end));
            match spawned {
                Ok(thread) => lanes.threads.push(thread),
                Err(error) => return Err(lanes.abandon(format!("cannot start a thread: {error}"))),
            }
        }
        drop(ready);
        for _ in 0..count {
            match readiness.recv() {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => return Err(lanes.abandon(reason)),
                Err(_) => return Err(lanes.abandon("a lane ended while it started".into())),
            }
        }
        Ok(lanes)
    }

    /// The lanes' counts.
    pub fn cells(&self) -> &[Arc<LaneCells>] {
        &self.cells
    }

    /// How busy they are.
    pub fn loads(&self) -> &Arc<Loads> {
        &self.loads
    }

    /// Begins the drain. Lanes end by themselves then; [`Lanes::ends`] tells.
    pub fn drain(&self, deadline: Duration) {
        self.phase.send_replace(Phase::Draining { until: Instant::now() + deadline });
    }

    /// Waits for all lanes' threads to end.
    pub fn join(self) {
        for thread in self.threads {
            // A lane that panicked has said so through `ends`.
            let _ = thread.join();
        }
    }

    fn abandon(self, reason: String) -> String {
        self.drain(Duration::ZERO);
        self.join();
        reason
    }
}

/// TLS handshakes of one lane: its part of what is configured, and all lanes' together never more than
/// half of what connections may take, so that half-open ones cannot keep all others out.
fn handshakes_of_lane(limits: &Limits, lanes: usize) -> usize {
    let most = limits.connections / (2 * limits::TLS_CONNECTION_WEIGHT);
    (limits.handshakes.at_once.min(most) / lanes).max(1)
}

/// One lane before it runs.
struct Lane {
    index: usize,
    engine: Engine,
    core: Option<usize>,
    limits: Limits,
    door: Arc<DoorSettings>,
    listeners: Vec<TcpListener>,
    tls: Option<Arc<Tls>>,
    secure: Vec<TcpListener>,
    handshakes: usize,
    cells: Arc<LaneCells>,
    loads: Arc<Loads>,
    watch: Watch,
    sinks: Sinks,
    connections: Arc<ConnectionBudget>,
    phase: watch::Receiver<Phase>,
    orders: Option<async_mpsc::Receiver<Order>>,
}

impl Lane {
    /// The thread's whole life.
    fn run<A: Application>(
        self,
        application: &A,
        ready: &mpsc::Sender<Result<(), String>>,
        end: &async_mpsc::Sender<(usize, Result<(), String>)>,
    ) {
        let (index, engine) = (self.index, self.engine);
        if let Some(error) = self.core.and_then(|core| cores::bind_this_thread(core).err()) {
            tracing::warn!(lane = index, %error, "cannot bind the lane to its core");
        }
        let loads = self.loads.clone();
        let begun = |load| loads.begun(index, load);
        let living = || engine::run(engine, begun, self.serve(application, ready));
        let outcome = match catch_unwind(AssertUnwindSafe(living)) {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Err(format!("lane {index}: no {}: {error}", engine.label())),
            Err(_) => Err(format!("lane {index} panicked")),
        };
        if let Err(reason) = &outcome {
            // Nobody listens any more once all lanes have been ready.
            let _ = ready.send(Err(reason.clone()));
        }
        // The channel has room for every lane's end.
        let _ = end.try_send((index, outcome));
    }

    async fn serve<A: Application>(
        self,
        application: &A,
        ready: &mpsc::Sender<Result<(), String>>,
    ) -> Result<(), String> {
        let backend = application.open(self.engine, self.index)?;
        let context = Rc::new(LaneContext {
            index: self.index,
            limits: self.limits,
            clock: Clock::start(),
            cells: self.cells,
            watch: self.watch,
            sinks: self.sinks,
            connections: self.connections,
            registry: Registry::default(),
            handshakes: Handshakes::new(self.handshakes),
        });
        let door = Rc::new(Door::new(context.clone(), self.door, backend)?);
        let protocols = Rc::new(connection::Protocols::new());
        let mut acceptors = JoinSet::new();
        let plain = self.listeners.into_iter().map(|listener| (listener, None));
        let secure = self.secure.into_iter().map(|listener| (listener, self.tls.clone()));
        for (listener, tls) in plain.chain(secure) {
            let listener = tokio::net::TcpListener::from_std(listener)
                .map_err(|error| format!("lane {}: {error}", self.index))?;
            let (protocols, door, phase) = (protocols.clone(), door.clone(), self.phase.clone());
            acceptors.spawn_local(accept::run(listener, tls, protocols, door, phase));
        }
        let sweeping = tokio::task::spawn_local(sweep::run(context.clone()));
        let ordered =
            self.orders.map(|orders| tokio::task::spawn_local(take_orders(orders, door.clone())));
        let _ = ready.send(Ok(()));
        let outcome = wait_for_drain(self.phase, &context, acceptors).await;
        sweeping.abort();
        if let Some(ordered) = ordered {
            ordered.abort();
        }
        door.backend().quiesce().await;
        outcome
    }
}

/// Serves until told to drain, then drains. An acceptor that ends by itself has panicked, and its
/// lane would go on without a way in: that ends the lane, visibly.
async fn wait_for_drain(
    mut phase: watch::Receiver<Phase>,
    context: &LaneContext,
    mut acceptors: JoinSet<()>,
) -> Result<(), String> {
    let mut outcome = Ok(());
    let until = loop {
        let (given_up, broken) = tokio::select! {
            changed = phase.changed() => (changed.is_err(), false),
            _ = acceptors.join_next() => (false, true),
        };
        // An acceptor may see the drain a moment before this task does.
        match *phase.borrow() {
            Phase::Draining { until } => break until,
            Phase::Serving if given_up => break Instant::now(),
            Phase::Serving if broken => {
                outcome = Err(format!("lane {}: accepting ended", context.index));
                acceptors.abort_all();
                break Instant::now();
            }
            Phase::Serving => {}
        }
    };
    while acceptors.join_next().await.is_some() {}
    context.registry.tell_all(Command::Finish);
    if !emptied(context, until).await {
        let cut_off = context.cells.in_flight();
        for _ in 0..cut_off {
            context.cells.refused(Refusal::Drain);
        }
        tracing::warn!(lane = context.index, requests = cut_off, "cut off at the drain deadline");
        context.registry.tell_all(Command::Close);
        emptied(context, Instant::now() + limits::CUT_OFF_TIME).await;
    }
    outcome
}

/// Waits until the lane has no connections and no requests, or until that moment.
async fn emptied(context: &LaneContext, until: Instant) -> bool {
    const LOOK: Duration = Duration::from_millis(5);
    loop {
        if context.registry.is_empty() && context.cells.in_flight() == 0 {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn take_orders<B: Backend>(mut orders: async_mpsc::Receiver<Order>, door: Rc<Door<B>>) {
    while let Some(order) = orders.recv().await {
        let outcome = match order.what {
            OrderKind::PublicRead { bucket, on } => {
                door.backend().set_public_read(&bucket, on).await
            }
        };
        // Who asked may have stopped waiting.
        let _ = order.answer.send(outcome);
    }
}
