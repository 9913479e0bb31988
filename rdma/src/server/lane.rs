//! Owns one lane's sessions and pooled connections: their queue pairs never leave its thread. Its reaper ends what has
//! expired or was cancelled elsewhere; its end leaves nothing behind.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use datapath::arena::{Arena, Frame, Reservation, Share};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::burial::Grave;
use super::claim::{Claim, ConnectionClaim};
use super::connection::{Connect, Connected, LaneConnection};
use super::course::Course;
use super::error::SessionError;
use super::process::Server;
use super::session::{Prepare, Prepared, ReadyHeaders, Slot, outcome_of};
use super::state::Phase;
use super::stats::{SessionOutcome, decrement, increment};
use super::transfer::Transfer;
use crate::fabric::{Endpoint, FabricError, RemoteWindow};
use crate::limits::{CLOSE_TIME, FENCE_TIME, PLACEMENT_READS, REAPER_PERIOD};
use crate::transfer::{AbortReason, Fault, Pacer};
use crate::wire::{ChecksumAlgorithm, Operation, SessionId};

/// A lane's part of the server half. Clones are the same; stays on its thread.
#[derive(Clone)]
pub struct LaneServer {
    pub(super) lane: Rc<Lane>,
}

impl LaneServer {
    /// This thread's part, lane number `lane` from 0. Within a `LocalSet`, or a runtime that can `spawn_local`.
    ///
    /// # Errors
    /// When the device has no more completion queues, when there is no such lane, or no room in the arena for strict
    /// placement.
    pub fn open(server: &Arc<Server>, lane: usize) -> Result<LaneServer, FabricError> {
        let Some(bell) = server.bell(lane).cloned() else {
            let reason = format!("there is no lane {lane} among {}", server.lanes());
            return Err(FabricError::new("open", reason));
        };
        let placement =
            server.settings.strict_placement.as_ref().map(Placement::new).transpose()?;
        let opened = Rc::new(Lane {
            endpoint: Endpoint::open(&server.fabric)?,
            server: Arc::clone(server),
            index: lane,
            sessions: RefCell::default(),
            connections: RefCell::default(),
            pacer: Pacer::new(),
            placement,
            active: RefCell::default(),
            next_ticket: Cell::new(0),
            graves: RefCell::default(),
            burials: Cell::new(0),
            less: Notify::new(),
            is_closed: Cell::new(false),
            reaper: RefCell::default(),
        });
        let reaper = tokio::task::spawn_local(reap(Rc::downgrade(&opened), bell));
        *opened.reaper.borrow_mut() = Some(reaper);
        Ok(LaneServer { lane: opened })
    }

    /// The server that it is of.
    #[must_use]
    pub fn server(&self) -> &Arc<Server> {
        &self.lane.server
    }

    /// Its number.
    #[must_use]
    pub fn lane(&self) -> usize {
        self.lane.index
    }

    /// PREPARE: a queue pair that waits for the client, on PUT with memory to write to and the receive for its
    /// immediate posted. Asynchronous, since large memory is registered on a thread that may block.
    ///
    /// # Errors
    /// Limits, a malformed order, a fabric that refuses. Nothing is left behind then.
    pub async fn prepare(&self, prepare: Prepare) -> Result<Prepared, SessionError> {
        let prepared = self.lane.prepare(prepare).await;
        self.lane.server.refused(prepared)
    }

    /// The answer to PREPARE has been sent: the time for READY begins.
    pub fn answered(&self, session: SessionId) {
        self.lane.answered(session);
    }

    /// A pooled connection, connected at once.
    ///
    /// # Errors
    /// Limits, a token without queue pair, a fabric that refuses. Nothing is left behind then.
    pub fn connect(&self, connect: Connect) -> Result<Connected, SessionError> {
        let connected = self.lane.connect(&connect);
        self.lane.server.refused(connected)
    }

    /// READY: connects the session's queue pair with the one that it names, unless PREPARE has done so. On the lane that
    /// [`Claim::lane`] names.
    ///
    /// # Errors
    /// [`SessionError::Malformed`] leaves the session as it was; everything else ends it.
    pub async fn begin(&self, claim: Claim, ready: ReadyHeaders) -> Result<Transfer, SessionError> {
        self.lane.begin(claim, ready).await
    }

    /// A transfer through a pooled connection, when it is its turn. On the lane that [`ConnectionClaim::lane`] names.
    ///
    /// # Errors
    /// [`SessionError::Busy`] when too many wait, or it has waited too long; [`SessionError::Unknown`] when the
    /// connection ends meanwhile.
    pub async fn acquire(
        &self,
        claim: ConnectionClaim,
        window: RemoteWindow,
        operation: Operation,
        checksum: ChecksumAlgorithm,
    ) -> Result<Transfer, SessionError> {
        let acquired = self.lane.acquire(claim, window, operation, checksum).await;
        self.lane.server.refused(acquired)
    }

    /// The lane's end: everything is cancelled, fenced and destroyed. Waits for the holders of transfers to settle or
    /// drop them.
    pub async fn close(&self) {
        self.lane.close().await;
    }
}

impl fmt::Debug for LaneServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneServer").field("lane", &self.lane.index).finish_non_exhaustive()
    }
}

pub(super) struct Lane {
    // Before the endpoint: a queue pair that is dropped is fenced through it.
    pub(super) sessions: RefCell<HashMap<SessionId, Slot>>,
    pub(super) connections: RefCell<HashMap<SessionId, Rc<LaneConnection>>>,
    /// What was dropped where nothing can be awaited.
    graves: RefCell<Vec<Grave>>,
    pub(super) endpoint: Endpoint,
    pub(super) server: Arc<Server>,
    pub(super) index: usize,
    pub(super) pacer: Pacer,
    pub(super) placement: Option<Placement>,
    /// Transfers that are not settled.
    active: RefCell<HashMap<u64, Arc<Course>>>,
    next_ticket: Cell<u64>,
    /// Teardowns under way.
    burials: Cell<usize>,
    /// Told when there is one transfer, connection or teardown less.
    less: Notify,
    is_closed: Cell<bool>,
    reaper: RefCell<Option<JoinHandle<()>>>,
}

/// Frames for the READs that end transfers in strict placement.
pub(super) struct Placement {
    reservation: Reservation,
    seats: Semaphore,
}

impl Placement {
    fn new(arena: &Arena) -> Result<Placement, FabricError> {
        // The least that a frame is charged, for each.
        let bytes = PLACEMENT_READS * datapath::limits::FRAME_BYTES_GUARANTEED;
        let reservation = arena.reserve(Share::Reads, bytes as u64).map_err(|overload| {
            FabricError::new("reserve", format!("no frames for strict placement: {overload}"))
        })?;
        Ok(Placement { reservation, seats: Semaphore::new(PLACEMENT_READS) })
    }

    /// A frame for one byte. The seat is to be kept until the frame is gone.
    pub(super) async fn frame(&self) -> Result<(SemaphorePermit<'_>, Frame), Fault> {
        let seat = self.seats.acquire().await.expect("never closed");
        let frame = self.reservation.frame(1).map_err(|refused| {
            Fault::Fabric(FabricError::new("frame", format!("strict placement: {refused:?}")))
        })?;
        Ok((seat, frame))
    }
}

/// A transfer that the lane's end waits for.
pub(super) struct Active {
    lane: Rc<Lane>,
    ticket: u64,
}

impl Active {
    pub(super) fn new(lane: &Rc<Lane>, course: &Arc<Course>) -> Active {
        let ticket = lane.next_ticket.get();
        lane.next_ticket.set(ticket + 1);
        lane.active.borrow_mut().insert(ticket, Arc::clone(course));
        increment(&lane.server.counters.transfers_active);
        Active { lane: Rc::clone(lane), ticket }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.lane.active.borrow_mut().remove(&self.ticket);
        decrement(&self.lane.server.counters.transfers_active);
        self.lane.less.notify_one();
    }
}

/// A teardown that the lane's end waits for.
struct Burial(Rc<Lane>);

impl Drop for Burial {
    fn drop(&mut self) {
        self.0.burials.set(self.0.burials.get() - 1);
        self.0.less.notify_one();
    }
}

/// The lane's reaper: looks regularly, and when somebody rings. Holds the lane only while it looks.
async fn reap(lane: Weak<Lane>, bell: Arc<Notify>) {
    let mut ticks = tokio::time::interval(REAPER_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = bell.notified() => {}
        }
        let Some(lane) = lane.upgrade() else { return };
        lane.sweep(Instant::now());
    }
}

impl Lane {
    pub(super) fn check_open(&self) -> Result<(), SessionError> {
        match self.is_closed.get() {
            true => Err(SessionError::ShuttingDown),
            false => Ok(()),
        }
    }

    pub(super) fn check_lane(&self, lane: usize) -> Result<(), SessionError> {
        if lane == self.index {
            return Ok(());
        }
        let reason = format!("a claim of lane {lane} was brought to lane {}", self.index);
        Err(FabricError::new("begin", reason).into())
    }

    /// Why something that was found a moment ago isn't here.
    pub(super) fn gone(&self) -> SessionError {
        self.check_open().err().unwrap_or(SessionError::Unknown)
    }

    /// Runs a teardown to its end.
    pub(super) fn spawn_burial<T: 'static>(
        self: &Rc<Self>,
        burial: impl Future<Output = T> + 'static,
    ) -> JoinHandle<T> {
        self.burials.set(self.burials.get() + 1);
        let counted = Burial(Rc::clone(self));
        tokio::task::spawn_local(async move {
            let outcome = burial.await;
            drop(counted);
            outcome
        })
    }

    /// Has the reaper bury it; for where nothing can be spawned.
    pub(super) fn leave(&self, grave: Grave) {
        self.graves.borrow_mut().push(grave);
        self.server.ring(self.index);
    }

    /// Ends what has expired, what was aborted elsewhere, and what was dropped.
    fn sweep(self: &Rc<Self>, now: Instant) {
        for grave in self.graves.take() {
            self.bury(grave);
        }
        let due: Vec<_> = self.due_sessions(now);
        for (id, outcome) in due {
            let slot = self.sessions.borrow_mut().remove(&id);
            if let Some(Slot { pairing, entry, estate, .. }) = slot {
                self.end_session(&entry, outcome);
                self.bury(Grave { queue_pair: Some(pairing.into()), estate });
            }
        }
        let idle_since = now.checked_sub(self.server.settings.connection_idle_time);
        let over: Vec<_> = self
            .connections
            .borrow()
            .values()
            .filter_map(|connection| Some((Rc::clone(connection), connection.is_over(idle_since)?)))
            .collect();
        for (connection, outcome) in over {
            if let Some(grave) = self.end_connection(&connection, outcome) {
                self.bury(grave);
            }
        }
    }

    fn due_sessions(&self, now: Instant) -> Vec<(SessionId, SessionOutcome)> {
        let sessions = self.sessions.borrow();
        let due = sessions.iter().filter_map(|(id, slot)| {
            let course = &slot.entry.course;
            let expired = slot.deadline <= now && course.expire(course.round());
            let outcome = match (expired, course.phase(), course.aborted()) {
                (true, _, _) => SessionOutcome::Expired,
                (false, Phase::Reaping, Some(reason)) => outcome_of(reason),
                // Its claim was dropped.
                (false, Phase::Reaping, None) => SessionOutcome::Failed,
                _ => return None,
            };
            Some((*id, outcome))
        });
        due.collect()
    }

    async fn close(self: &Rc<Self>) {
        self.is_closed.set(true);
        for course in self.active.borrow().values() {
            course.abort(AbortReason::ShuttingDown);
        }
        for (_, Slot { pairing, entry, estate, .. }) in self.sessions.take() {
            entry.course.abort(AbortReason::ShuttingDown);
            self.end_session(&entry, SessionOutcome::ShutDown);
            self.bury(Grave { queue_pair: Some(pairing.into()), estate });
        }
        for connection in self.connections.borrow().values() {
            connection.shut();
            self.server.connections.remove(connection.entry.id);
        }
        if tokio::time::timeout(CLOSE_TIME, self.emptied()).await.is_err() {
            let transfers = self.active.borrow().len();
            tracing::error!(
                lane = self.index,
                transfers,
                "a lane closed with RDMA transfers in it"
            );
        }
        if tokio::time::timeout(FENCE_TIME, self.endpoint.drained()).await.is_err() {
            let queue_pairs = self.endpoint.live_queue_pairs();
            tracing::error!(lane = self.index, queue_pairs, "a lane closed with queue pairs in it");
        }
        if let Some(reaper) = self.reaper.borrow_mut().take() {
            reaper.abort();
        }
    }

    /// Ready when nothing is left.
    async fn emptied(self: &Rc<Self>) {
        loop {
            let less = self.less.notified();
            self.sweep(Instant::now());
            let is_empty = self.active.borrow().is_empty()
                && self.connections.borrow().is_empty()
                && self.burials.get() == 0
                && self.graves.borrow().is_empty();
            if is_empty {
                return;
            }
            less.await;
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(reaper) = self.reaper.borrow_mut().take() {
            reaper.abort();
        }
    }
}
