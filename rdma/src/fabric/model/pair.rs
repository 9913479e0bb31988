//! Owns one queue pair as the model's device sees it: its state, what it knows of its peer, and what is posted.
//!
//! *Not here*: what happens between two of them (`wire.rs`).

use std::collections::VecDeque;
use std::time::Duration;

use crate::fabric::address::{Gid, Mtu, Peer, Psn, Qpn};
use crate::fabric::driver::{QueuePairShape, RemoteAccess, Transition};
use crate::fabric::error::{FabricError, QueuePairState};
use crate::fabric::work::{Completion, Payload, Work, WorkKind, WorkStatus};

/// The two queues of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    Send,
    Receive,
}

/// A work request that was posted.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) work: Work,
    pub(super) signalled: bool,
    /// What it was decided to be when its first packet left.
    pub(super) course: Option<Course>,
    /// Bytes placed.
    pub(super) placed: usize,
    /// Packets sent in vain since one was answered.
    pub(super) attempts: u32,
}

/// How a request is to go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    /// Bytes of each piece but the last.
    pub(super) piece_bytes: usize,
    /// What goes wrong once so many bytes are placed.
    pub(super) doom: Option<(usize, Doom)>,
    /// The receiver will not be ready once.
    pub(super) receiver_not_ready: bool,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doom {
    RetryExceeded,
    RemoteAccess,
    Flush,
    Vanish,
}

/// A queue pair.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) number: u32,
    pub(super) device: usize,
    pub(super) endpoint: u64,
    pub(super) shape: QueuePairShape,
    pub(super) state: QueuePairState,
    pub(super) access: RemoteAccess,
    pub(super) peer: Option<Peer>,
    pub(super) path_mtu: Mtu,
    pub(super) psn: Option<Psn>,
    /// Tells this connection from earlier ones of the same queue pair; its sequence numbers in a real network.
    pub(super) epoch: u64,
    /// The peer's epoch, from its first packet on.
    pub(super) hears: Option<u64>,
    pub(super) send: VecDeque<Request>,
    /// Executed, to be reported with a later one.
    pub(super) held: Vec<Completion>,
    pub(super) receives: u32,
    /// Of each queue: posted and not yet polled.
    pub(super) used: [u32; 2],
    /// Of each queue: when the last completion is reported. None overtakes another.
    pub(super) reported_at: [Duration; 2],
    /// An event is under way that continues the first request.
    pub(super) scheduled: bool,
    /// The first request waits for a receive of the peer's.
    pub(super) parked: bool,
    /// Sends no more, although not yet flushed.
    pub(super) stopped: bool,
    /// All was flushed; what is posted from here on is so at once.
    pub(super) flushed: bool,
    /// No packet reaches it or comes from it.
    pub(super) vanished: bool,
}

impl Pair {
    /// One in state RESET.
    pub(super) fn new(number: u32, device: usize, endpoint: u64, shape: QueuePairShape) -> Pair {
        Pair {
            number,
            device,
            endpoint,
            shape,
            state: QueuePairState::Reset,
            access: RemoteAccess::None,
            peer: None,
            path_mtu: Mtu::B256,
            psn: None,
            epoch: 0,
            hears: None,
            send: VecDeque::new(),
            held: Vec::new(),
            receives: 0,
            used: [0; 2],
            reported_at: [Duration::ZERO; 2],
            scheduled: false,
            parked: false,
            stopped: false,
            flushed: false,
            vanished: false,
        }
    }

    /// INIT, RTR and RTS, from nothing but the state before (ibv_modify_qp(3)). ERR and RESET are `State`'s, since
    /// they concern others.
    pub(super) fn step(&mut self, step: &Transition, gid: Gid) -> Result<(), FabricError> {
        let refused = |reason: String| Err(FabricError::new("ibv_modify_qp", reason));
        match (step, self.state) {
            (Transition::Init { access }, QueuePairState::Reset) => self.access = *access,
            (Transition::ReadyToReceive { peer, local, path_mtu }, QueuePairState::Init) => {
                if *local != gid {
                    return refused(format!("the port has no address {local}; it has {gid}"));
                }
                self.peer = Some(*peer);
                self.path_mtu = *path_mtu;
            }
            (Transition::ReadyToSend { psn }, QueuePairState::ReadyToReceive) => {
                self.psn = Some(*psn);
            }
            (step, state) => {
                return refused(format!("no step leads from {state} to {}", step.target()));
            }
        }
        self.state = step.target();
        Ok(())
    }

    /// Forgets everything but its number and what is counted of it.
    pub(super) fn reset(&mut self) {
        let vanished = self.vanished;
        *self = Pair::new(self.number, self.device, self.endpoint, self.shape);
        self.vanished = vanished;
    }

    /// Whether packets of its peer are looked at. In the error state they are until all is flushed: they were in the
    /// device when the state changed.
    pub(super) fn hears_packets(&self) -> bool {
        use QueuePairState::{Error, ReadyToReceive, ReadyToSend};
        let state = matches!(self.state, ReadyToReceive | ReadyToSend);
        !self.vanished && (state || (self.state == Error && !self.flushed))
    }

    /// Whether its requests go on; in the error state as above.
    pub(super) fn sends_packets(&self) -> bool {
        match self.state {
            QueuePairState::ReadyToSend => !self.stopped,
            QueuePairState::Error => !self.stopped && !self.flushed,
            _ => false,
        }
    }

    /// The completion of a receive.
    pub(super) fn received(
        &self,
        status: WorkStatus,
        bytes: usize,
        immediate: Option<u32>,
    ) -> Completion {
        Completion {
            queue_pair: self.qpn(),
            kind: WorkKind::Receive,
            status,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            immediate,
            payload: Payload::None,
        }
    }

    /// The completion of a request.
    pub(super) fn completed(&self, work: Work, status: WorkStatus) -> Completion {
        let done = status == WorkStatus::Success;
        let (kind, bytes, payload) = match work {
            Work::Write { source, .. } => (WorkKind::Write, 0, Payload::Source(source)),
            Work::Read { mut into, bytes, .. } => {
                into.set_filled(if done { bytes } else { 0 });
                let arrived = if done { bytes } else { 0 };
                (WorkKind::Read, arrived, Payload::Frame(into))
            }
        };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        Completion { queue_pair: self.qpn(), kind, status, bytes, immediate: None, payload }
    }

    pub(super) fn qpn(&self) -> Qpn {
        Qpn::new(self.number).expect("numbers are drawn from 1 to 24 bits")
    }
}

impl Request {
    pub(super) fn new(work: Work, signalled: bool) -> Request {
        Request { work, signalled, course: None, placed: 0, attempts: 0 }
    }

    /// Bytes of its message.
    pub(super) fn size(&self) -> usize {
        match &self.work {
            Work::Write { source, .. } => source.len(),
            Work::Read { bytes, .. } => *bytes,
        }
    }
}
