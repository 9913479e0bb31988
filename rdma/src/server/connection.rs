//! Owns the life of a pooled connection on its lane: made ready at once, lent to one transfer at a time, ended by
//! disconnect, by idleness, or by the first transfer that leaves its queue pair in doubt.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::Instant;

use super::burial::{CountedQueuePair, Estate, Grave, Staging};
use super::claim::ConnectionClaim;
use super::error::{Exhausted, SessionError};
use super::lane::Lane;
use super::order::Protocol;
use super::registry::ConnectionEntry;
use super::session::{FarEnd, check_range, identify, options};
use super::stats::{SessionOutcome, increment};
use super::transfer::{Line, PooledLine, Transfer, Undertaking};
use crate::fabric::{Connected as ConnectedState, Psn, QueuePair, RemoteAccess, RemoteWindow};
use crate::limits::CONNECTION_QUEUE;
use crate::transfer::{AbortReason, Stop, Stopper};
use crate::wire::{ChecksumAlgorithm, Operation, RcToken, SessionId};

/// What a client asks for that wants a pooled connection.
#[derive(Clone, Debug)]
pub struct Connect {
    /// Who asks.
    pub principal: Arc<str>,
    /// The client's queue pair and port.
    pub token: RcToken,
    /// What its queue pair sends first.
    pub psn: Psn,
}

/// What it is answered with.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The connection's identity.
    pub connection: SessionId,
    /// Our queue pair and port.
    pub token: RcToken,
    /// What our queue pair sends first.
    pub psn: Psn,
}

/// A pooled connection.
pub(super) struct LaneConnection {
    pub(super) entry: Arc<ConnectionEntry>,
    /// Not here while a transfer has it.
    queue_pair: RefCell<Option<QueuePair<ConnectedState>>>,
    estate: RefCell<Option<Estate>>,
    /// Whose transfer it is; closed when the connection ends.
    turn: Arc<Semaphore>,
    last_used: Cell<Instant>,
}

impl LaneConnection {
    /// Whether a transfer has it, or waits for it.
    fn is_wanted(&self) -> bool {
        self.turn.available_permits() == 0 || self.entry.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether it is to end now, and how.
    pub(super) fn is_over(&self, idle_since: Option<Instant>) -> Option<SessionOutcome> {
        if self.turn.available_permits() == 0 {
            None
        } else if self.entry.is_doomed() {
            Some(SessionOutcome::Done)
        } else if !self.is_wanted() && idle_since.is_some_and(|since| self.last_used.get() <= since)
        {
            Some(SessionOutcome::Expired)
        } else {
            None
        }
    }

    /// Takes back what a transfer has left in order.
    pub(super) fn put_back(&self, queue_pair: QueuePair<ConnectedState>) {
        *self.queue_pair.borrow_mut() = Some(queue_pair);
        self.last_used.set(Instant::now());
    }

    /// Nobody else gets it: those who wait are told.
    pub(super) fn shut(&self) {
        self.entry.doom();
        self.turn.close();
    }

    /// What is left of it, with the queue pair if it has it. None for the second time.
    fn remains(&self) -> Option<Grave> {
        let estate = self.estate.borrow_mut().take()?;
        let queue_pair = self.queue_pair.borrow_mut().take();
        Some(Grave { queue_pair: queue_pair.map(Into::into), estate })
    }
}

/// One that waits for a connection.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Result<Waiting<'a>, SessionError> {
        // Only the owner's thread adds.
        if waiting.load(Ordering::Relaxed) >= CONNECTION_QUEUE {
            return Err(SessionError::Busy(Exhausted::ConnectionQueue));
        }
        waiting.fetch_add(1, Ordering::Relaxed);
        Ok(Waiting(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lane {
    /// See [`super::LaneServer::connect`].
    pub(super) fn connect(self: &Rc<Self>, connect: &Connect) -> Result<Connected, SessionError> {
        let server = &self.server;
        self.check_open()?;
        let peer = connect.token.queue_pair().map_err(|_| {
            SessionError::Malformed("the token names no queue pair, which a connection needs")
        })?;
        let far = FarEnd::of(&*server.fabric, &connect.token, connect.psn)?;
        let admitted = server.ledger.connection(&connect.principal)?;
        let queue_pair = self.endpoint.queue_pair(&options(RemoteAccess::None))?;
        let _counted = CountedQueuePair::new(server);
        let number = queue_pair.number();
        let psn = server.retired.fresh_psn(number, Instant::now())?;
        let queue_pair = queue_pair.connect(&far.connection(self, peer, psn))?;
        let estate = Estate { staging: Staging::None, number, psn, _counted, admitted };
        let entry = identify(|id| {
            let entry = Arc::new(ConnectionEntry {
                id,
                lane: self.index,
                principal: Arc::clone(&connect.principal),
                doomed: AtomicBool::new(false),
                waiting: AtomicUsize::new(0),
            });
            server.connections.insert(&entry).then_some(entry)
        })?;
        let facts = server.facts();
        let token = RcToken::identity(number, far.local, facts.port, facts.lid);
        let connected = Connected { connection: entry.id, token, psn };
        let made = Rc::new(LaneConnection {
            entry,
            queue_pair: RefCell::new(Some(queue_pair)),
            estate: RefCell::new(Some(estate)),
            turn: Arc::new(Semaphore::new(1)),
            last_used: Cell::new(Instant::now()),
        });
        self.connections.borrow_mut().insert(connected.connection, made);
        increment(&server.counters.connections_made);
        Ok(connected)
    }

    /// See [`super::LaneServer::acquire`].
    pub(super) async fn acquire(
        self: &Rc<Self>,
        claim: ConnectionClaim,
        window: RemoteWindow,
        operation: Operation,
        checksum: ChecksumAlgorithm,
    ) -> Result<Transfer, SessionError> {
        self.check_lane(claim.lane())?;
        let limit = self.server.settings.transfer_bytes_max;
        let window = check_range(window)?;
        if operation == Operation::Put {
            if window.size == 0 {
                return Err(SessionError::Malformed("the size of an upload must be at least 1"));
            }
            if window.size > limit {
                return Err(SessionError::TooLarge { size: window.size, limit });
            }
        }
        let connection = self.connections.borrow().get(&claim.connection()).cloned();
        let connection = connection.ok_or_else(|| self.gone())?;
        let turn = self.turn_of(&connection, &claim).await?;
        let queue_pair = connection.queue_pair.borrow_mut().take();
        let queue_pair = match queue_pair {
            Some(queue_pair) if !connection.entry.is_doomed() => queue_pair,
            left => {
                *connection.queue_pair.borrow_mut() = left;
                drop(turn);
                self.server.ring(self.index);
                return Err(self.gone());
            }
        };
        // A window may be larger than what is transferred at once.
        let window = RemoteWindow { size: window.size.min(limit), ..window };
        let size = window.size;
        let window = Some(window);
        let protocol = Protocol::Pooled;
        let undertaking = Undertaking { protocol, operation, window, size, checksum };
        let line = Line::Pooled(PooledLine { connection, queue_pair, turn });
        Ok(Transfer::new(self, claim.course, undertaking, line))
    }

    async fn turn_of(
        &self,
        connection: &LaneConnection,
        claim: &ConnectionClaim,
    ) -> Result<OwnedSemaphorePermit, SessionError> {
        match Arc::clone(&connection.turn).try_acquire_owned() {
            Ok(turn) => return Ok(turn),
            Err(TryAcquireError::Closed) => return Err(self.gone()),
            Err(TryAcquireError::NoPermits) => {}
        }
        let _waiting = Waiting::begin(&connection.entry.waiting)?;
        let deadline = Instant::now() + self.server.settings.connection_queue_time;
        let mut stopper = Stopper::new(deadline, claim.course.until_aborted());
        match stopper.guard(Arc::clone(&connection.turn).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_closed)) => Err(self.gone()),
            Err(Stop::Deadline) => Err(SessionError::Busy(Exhausted::ConnectionQueue)),
            Err(Stop::Aborted(AbortReason::ShuttingDown)) => Err(SessionError::ShuttingDown),
            // Nobody hears it.
            Err(Stop::Aborted(_)) => Err(SessionError::Unknown),
        }
    }

    /// Takes a connection out of everybody's sight; what is to be buried.
    pub(super) fn end_connection(
        &self,
        connection: &LaneConnection,
        outcome: SessionOutcome,
    ) -> Option<Grave> {
        connection.shut();
        self.server.connections.remove(connection.entry.id);
        self.connections.borrow_mut().remove(&connection.entry.id);
        let remains = connection.remains();
        if remains.is_some() {
            self.server.counters.connection_ended(outcome);
        }
        remains
    }
}
