//! Owns one transfer from READY, or from its turn on a pooled connection, until it is settled: when nothing of it moves
//! any more and its request may be answered.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::burial::{Estate, Grave};
use super::connection::LaneConnection;
use super::course::Course;
use super::error::SessionError;
use super::lane::{Active, Lane};
use super::order::Protocol;
use super::registry::SessionEntry;
use super::session::{FarEnd, Pairing, Slot, outcome_of};
use super::stats::{SessionOutcome, increment};
use crate::fabric::{Connected, Connection, FabricError, QueuePair, RemoteWindow, WorkStatus};
use crate::limits::FENCE_TIME;
use crate::transfer::{
    Delivered, Destination, FrameSink, FrameSource, Origin, Progress, Received, Stopper, Tally,
    TransferError, await_immediate, copy_staged, read_into, read_last_byte, write_from,
};
use crate::wire::{ChecksumAlgorithm, Operation};

/// How the request ended for which the transfer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It will be answered with success.
    Succeeded,
    /// Anything else.
    Failed,
}

/// That nothing of a transfer moves any more: its request may be answered, its memory reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an answer may be given only after this"]
pub struct Settled {
    /// The session waits for another READY, since its peer never answered: 409.
    pub rearmed: bool,
    /// How long the fence took.
    pub fence: Duration,
}

/// One transfer. Belongs to its lane's thread. Dropped without [`Self::settle`], it is aborted and fenced by the lane.
pub struct Transfer {
    lane: Rc<Lane>,
    course: Arc<Course>,
    undertaking: Undertaking,
    /// Until when it must have moved.
    deadline: Instant,
    tally: Tally,
    /// Taken when it is settled.
    line: Option<Line>,
    /// For the lane's end, which waits for it.
    _active: Active,
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undertaking {
    pub(super) protocol: Protocol,
    pub(super) operation: Operation,
    /// The client's; none when it does the writing.
    pub(super) window: Option<RemoteWindow>,
    pub(super) size: u64,
    pub(super) checksum: ChecksumAlgorithm,
}

/// What it goes through.
pub(super) enum Line {
    Session(SessionLine),
    Pooled(PooledLine),
}

pub(super) struct SessionLine {
    pub(super) entry: Arc<SessionEntry>,
    /// Fenced in the middle of a PUT.
    pub(super) queue_pair: Option<QueuePair<Connected>>,
    pub(super) far: FarEnd,
    pub(super) estate: Estate,
}

pub(super) struct PooledLine {
    pub(super) connection: Rc<LaneConnection>,
    pub(super) queue_pair: QueuePair<Connected>,
    pub(super) turn: OwnedSemaphorePermit,
}

impl Line {
    fn queue_pair(&self) -> Option<&QueuePair<Connected>> {
        match self {
            Line::Session(line) => line.queue_pair.as_ref(),
            Line::Pooled(line) => Some(&line.queue_pair),
        }
    }
}

impl Transfer {
    pub(super) fn new(
        lane: &Rc<Lane>,
        course: Arc<Course>,
        undertaking: Undertaking,
        line: Line,
    ) -> Transfer {
        let time = lane.server.settings.execution_time_of(undertaking.size);
        Transfer {
            _active: Active::new(lane, &course),
            lane: Rc::clone(lane),
            course,
            undertaking,
            deadline: Instant::now() + time,
            tally: Tally::default(),
            line: Some(line),
        }
    }

    /// By which protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.undertaking.protocol
    }

    /// Which way.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.undertaking.operation
    }

    /// PUT: bytes to take. GET: of a session the bytes to send, of a pooled connection the most that may be sent.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.undertaking.size
    }

    /// GET: writes all of the source into the client's window, and waits until its device has it. From its success on
    /// the transfer can't be aborted.
    ///
    /// # Errors
    /// See [`TransferError`]. With [`TransferError::WindowTooSmall`] nothing was written.
    pub async fn send<S: FrameSource>(
        &mut self,
        source: S,
    ) -> Result<Delivered, TransferError<S::Error>> {
        self.start(Operation::Get, "send")?;
        let sent = self.send_all(source).await;
        self.conclude(sent)
    }

    /// PUT: takes all that the client has into the sink. From its success on the transfer can't be aborted.
    ///
    /// # Errors
    /// See [`TransferError`]. What the sink was given must not be stored then.
    pub async fn receive<K: FrameSink>(
        &mut self,
        sink: &mut K,
    ) -> Result<Received, TransferError<K::Error>> {
        self.start(Operation::Put, "receive")?;
        let received = match self.undertaking.protocol {
            Protocol::Pooled => self.receive_pooled(sink).await,
            Protocol::Session => self.receive_staged(sink).await,
        };
        self.conclude(received)
    }

    fn start<E>(&self, operation: Operation, what: &'static str) -> Result<(), TransferError<E>> {
        if self.undertaking.operation != operation || self.tally.progress.get() != Progress::Begun {
            return Err(TransferError::Misused(what));
        }
        self.tally.progress.set(Progress::Moving);
        Ok(())
    }

    fn conclude<T, E>(&self, moved: Result<T, TransferError<E>>) -> Result<T, TransferError<E>> {
        let moved = moved.and_then(|value| match self.course.complete() {
            Ok(()) => Ok(value),
            Err(reason) => Err(TransferError::Aborted(reason)),
        });
        self.tally.progress.set(match &moved {
            Ok(_) => Progress::Moved,
            Err(TransferError::PeerSilent) => Progress::PeerSilent,
            Err(TransferError::Aborted(_)) => Progress::Aborted,
            Err(TransferError::Deadline) => Progress::Deadline,
            // It will be answered in the HTTP body.
            Err(TransferError::WindowTooSmall { .. }) => Progress::Begun,
            Err(_) => Progress::Failed,
        });
        moved
    }

    async fn send_all<S: FrameSource>(
        &self,
        source: S,
    ) -> Result<Delivered, TransferError<S::Error>> {
        let Undertaking { protocol, size, checksum, .. } = self.undertaking;
        let (line, window) = self.line_and_window()?;
        let queue_pair = line.queue_pair().ok_or_else(gone)?;
        let immediate = match line {
            Line::Session(session) => Some(session.entry.cookie.number()),
            Line::Pooled(_) => None,
        };
        if protocol == Protocol::Session && source.remaining() != size {
            let got = source.remaining();
            return Err(TransferError::Length { expected: size, got });
        }
        let (pacer, tally) = (&self.lane.pacer, &self.tally);
        let mut stopper = Stopper::new(self.deadline, self.course.until_aborted());
        let to = Destination { queue_pair, window, immediate, checksum, pacer, tally };
        let delivered = write_from(to, &mut stopper, source).await?;
        if let (Some(placement), Protocol::Pooled) = (&self.lane.placement, protocol) {
            let seat = stopper.guard(placement.frame()).await;
            let (_seat, frame) = seat.map_err(|stop| widen(stop.into()))?.map_err(widen)?;
            let bytes = delivered.bytes;
            read_last_byte(queue_pair, window, bytes, frame, &mut stopper, tally)
                .await
                .map_err(widen)?;
        }
        Ok(delivered)
    }

    async fn receive_pooled<K: FrameSink>(
        &self,
        sink: &mut K,
    ) -> Result<Received, TransferError<K::Error>> {
        let (line, window) = self.line_and_window()?;
        let queue_pair = line.queue_pair().ok_or_else(gone)?;
        let (pacer, tally) = (&self.lane.pacer, &self.tally);
        let mut stopper = Stopper::new(self.deadline, self.course.until_aborted());
        read_into(Origin { queue_pair, window, pacer, tally }, &mut stopper, sink).await
    }

    async fn receive_staged<K: FrameSink>(
        &mut self,
        sink: &mut K,
    ) -> Result<Received, TransferError<K::Error>> {
        let Some(Line::Session(line)) = &mut self.line else { return Err(gone().into()) };
        let (size, tally) = (self.undertaking.size, &self.tally);
        let mut stopper = Stopper::new(self.deadline, self.course.until_aborted());
        let queue_pair = line.queue_pair.as_ref().ok_or_else(gone)?;
        let cookie = line.entry.cookie.number();
        await_immediate(queue_pair, cookie, size, &mut stopper, tally).await.map_err(widen)?;
        // The door is closed before anybody looks: the client could go on writing while its bytes are checksummed.
        if let Some(queue_pair) = line.queue_pair.take() {
            let (is_clean, _took) = self.lane.fence(queue_pair.into()).await;
            if !is_clean {
                line.estate.staging.lose();
                return Err(gone().into());
            }
        }
        line.estate.staging.close(&self.lane.server)?;
        let staged = line.estate.staging.contents();
        copy_staged(staged, sink, &mut stopper, tally).await?;
        let copied_bytes = tally.bytes_copied.get();
        Ok(Received { bytes: size, copied_bytes, work_requests: 0 })
    }

    fn line_and_window(&self) -> Result<(&Line, RemoteWindow), FabricError> {
        self.line.as_ref().zip(self.undertaking.window).ok_or_else(gone)
    }

    /// Ends it. When this returns, nothing of it moves any more: a session's queue pair is gone, and a pooled one's too
    /// unless all its work is known to be done. A session whose peer never answered waits for another READY instead.
    pub async fn settle(mut self, outcome: Outcome) -> Settled {
        let succeeded = outcome == Outcome::Succeeded;
        if !succeeded && self.tally.progress.get() == Progress::PeerSilent {
            let began = Instant::now();
            if self.rearm().await {
                return Settled { rearmed: true, fence: began.elapsed() };
            }
        }
        let fence = match self.end(succeeded) {
            Some(grave) => self.lane.bury(grave).await.unwrap_or_default(),
            None => Duration::ZERO,
        };
        Settled { rearmed: false, fence }
    }

    /// Puts the session back as PREPARE has made it. Whatever happens on the way, what is left stays in `self`.
    async fn rearm(&mut self) -> bool {
        let Some(Line::Session(line)) = &mut self.line else { return false };
        let is_put = self.undertaking.operation == Operation::Put;
        let drained = match &line.queue_pair {
            Some(queue_pair) => tokio::time::timeout(FENCE_TIME, drained(queue_pair)).await,
            None => return false,
        };
        // Not drained, it is fenced like any other.
        let Ok(true) = drained else { return false };
        let Some(queue_pair) = line.queue_pair.take() else { return false };
        let Ok(queue_pair) = queue_pair.rearm().await else { return false };
        if (is_put && queue_pair.post_receive().is_err()) || self.lane.check_open().is_err() {
            return false;
        }
        let Some(Line::Session(line)) = self.line.take() else { return false };
        self.count(false);
        let SessionLine { entry, far, estate, .. } = line;
        let deadline = Instant::now() + self.lane.server.settings.ready_time;
        let course = Arc::clone(&entry.course);
        let pairing = Pairing::Open(queue_pair);
        let slot = Slot { pairing, entry, far, estate, deadline };
        self.lane.sessions.borrow_mut().insert(slot.entry.id, slot);
        let is_armed = course.rearm();
        if is_armed {
            increment(&self.lane.server.counters.rearmed);
        }
        // Aborted meanwhile, it is REAPING: the lane sees to it as to any other.
        self.lane.server.ring(self.lane.index);
        is_armed
    }

    /// Connects a session's queue pair with another than it is connected with.
    pub(super) async fn pair_again(&mut self, to: &Connection) -> Result<(), SessionError> {
        let Some(Line::Session(line)) = &mut self.line else { return Err(gone().into()) };
        let queue_pair = line.queue_pair.take().ok_or_else(gone)?.rearm().await?;
        if self.undertaking.operation == Operation::Put {
            queue_pair.post_receive()?;
        }
        line.queue_pair = Some(queue_pair.connect(to)?);
        Ok(())
    }

    /// Takes it out of everybody's sight; what is to be buried.
    fn end(&mut self, succeeded: bool) -> Option<Grave> {
        let line = self.line.take()?;
        self.count(succeeded);
        match line {
            Line::Session(line) => {
                let SessionLine { entry, queue_pair, estate, .. } = line;
                self.lane.end_session(&entry, self.session_outcome(succeeded));
                Some(Grave { queue_pair: queue_pair.map(Into::into), estate })
            }
            Line::Pooled(line) => {
                let PooledLine { connection, queue_pair, turn } = line;
                self.course.finish();
                if self.is_in_order(&queue_pair) {
                    connection.put_back(queue_pair);
                    drop(turn);
                    if connection.entry.is_doomed() {
                        self.lane.server.ring(self.lane.index);
                    }
                    return None;
                }
                let grave = self.lane.end_connection(&connection, SessionOutcome::Failed)?;
                Some(Grave { queue_pair: Some(queue_pair.into()), ..grave })
            }
        }
    }

    fn session_outcome(&self, succeeded: bool) -> SessionOutcome {
        match self.course.aborted() {
            _ if succeeded => SessionOutcome::Done,
            Some(reason) => outcome_of(reason),
            None => SessionOutcome::Failed,
        }
    }

    /// Whether everything that was posted is known to have been done: then the next transfer may follow.
    fn is_in_order(&self, queue_pair: &QueuePair<Connected>) -> bool {
        let is_in_order = self.tally.failed.get().is_none() && queue_pair.outstanding() == 0;
        // What came while nobody waited any more.
        let mut rest = std::iter::from_fn(|| queue_pair.completed());
        is_in_order && rest.all(|completion| completion.status == WorkStatus::Success)
    }

    fn count(&self, succeeded: bool) {
        let Undertaking { protocol, operation, .. } = self.undertaking;
        self.lane.server.counters.transferred(protocol, operation, succeeded, &self.tally);
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if let Some(grave) = self.end(false) {
            self.lane.leave(grave);
        }
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer").field("undertaking", &self.undertaking).finish_non_exhaustive()
    }
}

/// Whether all work of a queue pair that has failed was flushed.
async fn drained(queue_pair: &QueuePair<Connected>) -> bool {
    while queue_pair.outstanding() > 0 {
        if queue_pair.completion().await.is_err() {
            return false;
        }
    }
    true
}

fn widen<E>(fault: crate::transfer::Fault) -> TransferError<E> {
    fault.widen()
}

fn gone() -> FabricError {
    FabricError::new("ibv_modify_qp", "the transfer's queue pair is gone")
}
