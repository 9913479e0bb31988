//! Owns the life of a session until its transfer begins: what PREPARE makes, and what READY does with it.

use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::burial::{AnyQueuePair, CountedQueuePair, Estate, Grave, Staging};
use super::claim::Claim;
use super::course::Course;
use super::error::SessionError;
use super::lane::Lane;
use super::order::{Order, Protocol};
use super::registry::SessionEntry;
use super::stats::{SessionOutcome, increment};
use super::transfer::{Line, SessionLine, Transfer, Undertaking};
use crate::fabric::{
    Buffer, Connected, Connection, Fabric, FabricError, Gid, Initialised, Peer, Psn, Qpn,
    QueuePair, QueuePairOptions, QueuePairShape, RemoteAccess, RemoteWindow, Window,
};
use crate::limits::{IDENTITY_ATTEMPTS, RECEIVE_DEPTH, SEND_DEPTH, STAGING_BYTES_INLINE};
use crate::transfer::AbortReason;
use crate::wire::{ChecksumAlgorithm, Cookie, Operation, RcToken, SessionId};

/// What PREPARE asks for.
#[derive(Clone, Debug)]
pub struct Prepare {
    /// Who asks.
    pub principal: Arc<str>,
    /// The client's port and, with pooled connections always, its queue pair.
    pub token: RcToken,
    /// What the client's queue pair sends first.
    pub psn: Psn,
    /// The client's mark.
    pub cookie: Cookie,
    /// What is to be transferred; authorised.
    pub order: Order,
}

/// What PREPARE is answered with.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The session's identity.
    pub session: SessionId,
    /// Our queue pair and port, and the staging memory of a PUT.
    pub token: RcToken,
    /// What our queue pair sends first.
    pub psn: Psn,
    /// Our queue pair.
    pub qpn: Qpn,
    /// Where a PUT is to be written to.
    pub staging: Option<RemoteWindow>,
}

/// What READY brings.
#[derive(Clone, Copy, Debug)]
pub struct ReadyHeaders {
    /// The client's queue pair.
    pub qpn: Qpn,
    /// GET: where to write to. Its size is the order's, whatever stands here.
    pub window: Option<RemoteWindow>,
    /// Of the delivered bytes.
    pub checksum: ChecksumAlgorithm,
}

/// A session that waits for READY.
pub(super) struct Slot {
    pub(super) pairing: Pairing,
    pub(super) entry: Arc<SessionEntry>,
    pub(super) far: FarEnd,
    pub(super) estate: Estate,
    /// Until when READY must have come.
    pub(super) deadline: Instant,
}

/// How far a waiting session's queue pair is.
pub(super) enum Pairing {
    /// It waits for READY to name the client's.
    Open(QueuePair<Initialised>),
    /// It is connected with the one that PREPARE's token names.
    With(Qpn, QueuePair<Connected>),
}

impl From<Pairing> for AnyQueuePair {
    fn from(pairing: Pairing) -> AnyQueuePair {
        match pairing {
            Pairing::Open(queue_pair) => queue_pair.into(),
            Pairing::With(_, queue_pair) => queue_pair.into(),
        }
    }
}

/// A client's port, and ours towards it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FarEnd {
    gid: Gid,
    lid: u16,
    psn: Psn,
    pub(super) local: Gid,
}

impl FarEnd {
    pub(super) fn of(
        fabric: &dyn Fabric,
        token: &RcToken,
        psn: Psn,
    ) -> Result<FarEnd, SessionError> {
        let (gid, lid) = match token.is_loopback {
            true => (fabric.facts().gid, fabric.facts().lid),
            false => (token.gid, token.lid),
        };
        Ok(FarEnd { gid, lid, psn, local: fabric.local_gid(gid)? })
    }

    pub(super) fn connection(&self, lane: &Lane, qpn: Qpn, psn: Psn) -> Connection {
        let peer = Peer { qpn, gid: self.gid, lid: self.lid, psn: self.psn };
        Connection { peer, local: self.local, psn, path_mtu: lane.server.path_mtu() }
    }
}

/// How large our queue pairs are; what the peer may do is the caller's.
pub(super) fn options(access: RemoteAccess) -> QueuePairOptions {
    let shape = QueuePairShape { send_depth: SEND_DEPTH, receive_depth: RECEIVE_DEPTH };
    QueuePairOptions { shape, access }
}

/// An identity that nobody has.
pub(super) fn identify<T>(
    mut register: impl FnMut(SessionId) -> Option<T>,
) -> Result<T, SessionError> {
    for _ in 0..IDENTITY_ATTEMPTS {
        let id = SessionId::random()
            .map_err(|error| FabricError::new("getrandom", error.to_string()))?;
        if let Some(registered) = register(id) {
            return Ok(registered);
        }
    }
    Err(FabricError::new("getrandom", "every random identity is taken").into())
}

impl Lane {
    /// See [`super::LaneServer::prepare`].
    pub(super) async fn prepare(
        self: &Rc<Self>,
        prepare: Prepare,
    ) -> Result<Prepared, SessionError> {
        let Prepare { principal, token, psn, cookie, order } = prepare;
        let server = &self.server;
        self.check_order(&order)?;
        self.check_open()?;
        let far = FarEnd::of(&*server.fabric, &token, psn)?;
        let staging_bytes = match order.operation {
            Operation::Put => order.size,
            Operation::Get => 0,
        };
        let admitted = server.ledger.session(&principal, staging_bytes)?;
        let staging = match order.operation {
            Operation::Put => Staging::Open(open_staging(&server.fabric, order.size).await?),
            Operation::Get => Staging::None,
        };
        // It may have taken a while.
        self.check_open()?;
        let access = match order.operation {
            Operation::Put => RemoteAccess::Write,
            Operation::Get => RemoteAccess::None,
        };
        let queue_pair = self.endpoint.queue_pair(&options(access))?;
        let _counted = CountedQueuePair::new(server);
        let number = queue_pair.number();
        let psn = server.retired.fresh_psn(number, Instant::now())?;
        let estate = Estate { staging, number, psn, _counted, admitted };
        if order.operation == Operation::Put {
            // Before the client knows of us: whenever its WRITE comes, there is a receive for it.
            queue_pair.post_receive()?;
        }
        let connection = |qpn| far.connection(self, qpn, psn);
        let pairing = match (order.operation, token.queue_pair()) {
            // Its client may write as soon as it has the answer. A queue pair that is not connected drops that: the client
            // retries after 67 ms, and gives up after seven times.
            (Operation::Put, Ok(qpn)) => Pairing::With(qpn, queue_pair.connect(&connection(qpn))?),
            _ => Pairing::Open(queue_pair),
        };
        let order = Arc::new(order);
        let entry = identify(|id| {
            let entry = Arc::new(SessionEntry {
                id,
                lane: self.index,
                principal: Arc::clone(&principal),
                cookie,
                order: Arc::clone(&order),
                course: Arc::new(Course::prepared()),
            });
            server.sessions.insert(&entry).then_some(entry)
        })?;
        let prepared = self.describe(&entry, &far, &estate);
        let patience = server.settings.answer_time + server.settings.ready_time;
        let deadline = Instant::now() + patience;
        let slot = Slot { pairing, entry, far, estate, deadline };
        self.sessions.borrow_mut().insert(prepared.session, slot);
        increment(&server.counters.sessions_prepared);
        Ok(prepared)
    }

    fn check_order(&self, order: &Order) -> Result<(), SessionError> {
        let facts = self.server.facts();
        if !facts.immediate {
            let reason = "the device has none, so sessions can't be served; use pooled connections";
            return Err(FabricError::new("WRITE WITH IMMEDIATE", reason).into());
        }
        if order.size == 0 {
            return Err(SessionError::Malformed("the size must be at least 1"));
        }
        let limit = match order.operation {
            // The client sends it as one message.
            Operation::Put => self.server.settings.transfer_bytes_max.min(facts.message_bytes_max),
            Operation::Get => self.server.settings.transfer_bytes_max,
        };
        if order.size > limit {
            return Err(SessionError::TooLarge { size: order.size, limit });
        }
        if order.operation == Operation::Put && order.offset != 0 {
            return Err(SessionError::Malformed("the offset of a PUT must be 0"));
        }
        match order.offset.checked_add(order.size) {
            Some(_) => Ok(()),
            None => Err(SessionError::Malformed("offset and size exceed 64 bits")),
        }
    }

    fn describe(&self, entry: &SessionEntry, far: &FarEnd, estate: &Estate) -> Prepared {
        let facts = self.server.facts();
        let staging = match &estate.staging {
            Staging::Open(window) => Some(window.remote()),
            _ => None,
        };
        let token = RcToken::identity(estate.number, far.local, facts.port, facts.lid);
        let token = staging.map_or(token, |window| token.with_window(window));
        Prepared { session: entry.id, token, psn: estate.psn, qpn: estate.number, staging }
    }

    /// See [`super::LaneServer::answered`].
    pub(super) fn answered(&self, session: SessionId) {
        if let Some(slot) = self.sessions.borrow_mut().get_mut(&session) {
            slot.deadline = Instant::now() + self.server.settings.ready_time;
        }
    }

    /// See [`super::LaneServer::begin`].
    pub(super) async fn begin(
        self: &Rc<Self>,
        claim: Claim,
        ready: ReadyHeaders,
    ) -> Result<Transfer, SessionError> {
        self.check_lane(claim.lane())?;
        let order = Arc::clone(claim.order());
        let window = match window_of(&order, &ready) {
            Ok(window) => window,
            Err(malformed) => {
                // As if it had not been sent.
                claim.put_back();
                return Err(malformed);
            }
        };
        let slot = self.sessions.borrow_mut().remove(&claim.session());
        let Some(Slot { pairing, entry, far, estate, .. }) = slot else {
            return Err(self.gone());
        };
        if let Some(reason) = claim.course().aborted() {
            self.end_session(&entry, outcome_of(reason));
            self.bury(Grave { queue_pair: Some(pairing.into()), estate });
            return Err(self.gone());
        }
        let to = far.connection(self, ready.qpn, estate.psn);
        let paired = match pairing {
            Pairing::Open(queue_pair) => queue_pair.connect(&to).map(|it| (ready.qpn, it)),
            Pairing::With(qpn, queue_pair) => Ok((qpn, queue_pair)),
        };
        let (paired, queue_pair) = match paired {
            Ok(paired) => paired,
            Err(error) => {
                self.end_session(&entry, SessionOutcome::Failed);
                // The queue pair is being fenced already.
                self.bury(Grave { queue_pair: None, estate });
                return Err(error.into());
            }
        };
        let course = Arc::clone(claim.course());
        claim.spend();
        let undertaking = Undertaking {
            protocol: Protocol::Session,
            operation: order.operation,
            window,
            size: order.size,
            checksum: ready.checksum,
        };
        let line = Line::Session(SessionLine { entry, queue_pair: Some(queue_pair), far, estate });
        let mut transfer = Transfer::new(self, course, undertaking, line);
        if paired != ready.qpn {
            // The client has changed its mind. What fails on the way ends with the transfer.
            transfer.pair_again(&to).await?;
        }
        Ok(transfer)
    }

    /// Takes a session out of everybody's sight.
    pub(super) fn end_session(&self, entry: &SessionEntry, outcome: SessionOutcome) {
        entry.course.finish();
        self.server.sessions.remove(entry.id);
        self.server.counters.session_ended(outcome);
    }
}

/// How a session ended that was made to.
pub(super) fn outcome_of(reason: AbortReason) -> SessionOutcome {
    match reason {
        AbortReason::Cancelled => SessionOutcome::Cancelled,
        AbortReason::ClientGone => SessionOutcome::Failed,
        AbortReason::ShuttingDown => SessionOutcome::ShutDown,
    }
}

/// Where a GET is to be written to.
fn window_of(order: &Order, ready: &ReadyHeaders) -> Result<Option<RemoteWindow>, SessionError> {
    if order.operation == Operation::Put {
        return Ok(None);
    }
    let Some(window) = ready.window else {
        return Err(SessionError::Malformed(
            "READY of a GET needs the address and key to write to",
        ));
    };
    check_range(RemoteWindow { size: order.size, ..window }).map(Some)
}

/// The window, if it does not wrap around.
pub(super) fn check_range(window: RemoteWindow) -> Result<RemoteWindow, SessionError> {
    match window.address.checked_add(window.size) {
        Some(_) => Ok(window),
        None => Err(SessionError::Malformed("the memory's address and size exceed 64 bits")),
    }
}

/// Memory for one upload, a region of its own: its key opens nothing else.
async fn open_staging(fabric: &Arc<dyn Fabric>, bytes: u64) -> Result<Window, SessionError> {
    let size = usize::try_from(bytes)
        .map_err(|_| SessionError::TooLarge { size: bytes, limit: usize::MAX as u64 })?;
    let open =
        move |fabric: &dyn Fabric| Buffer::allocate(fabric, size)?.expose(RemoteAccess::Write);
    if bytes <= STAGING_BYTES_INLINE {
        return Ok(open(&**fabric)?);
    }
    let fabric = Arc::clone(fabric);
    let opened = tokio::task::spawn_blocking(move || open(&*fabric)).await;
    let opened = opened.map_err(|error| FabricError::new("ibv_reg_mr", error.to_string()))?;
    Ok(opened?)
}
