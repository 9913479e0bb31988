//! Owns the counters of the server half, by value for whoever exports them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::ledger::InUse;
use super::order::Protocol;
use crate::fabric::WorkStatus;
use crate::transfer::{Progress, Tally};
use crate::wire::Operation;

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransferOutcome {
    /// The request that it was for has succeeded.
    Succeeded,
    /// The peer never answered; nothing was moved.
    PeerSilent,
    /// Somebody made it stop.
    Aborted,
    /// It took too long.
    Deadline,
    /// The request ended before anything was to be moved: not found, not modified.
    Unused,
    /// Anything else.
    Failed,
}

impl TransferOutcome {
    /// All, in the order of [`Self::index`].
    pub const ALL: [TransferOutcome; 6] = [
        TransferOutcome::Succeeded,
        TransferOutcome::PeerSilent,
        TransferOutcome::Aborted,
        TransferOutcome::Deadline,
        TransferOutcome::Unused,
        TransferOutcome::Failed,
    ];

    /// For metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TransferOutcome::Succeeded => "succeeded",
            TransferOutcome::PeerSilent => "peer_silent",
            TransferOutcome::Aborted => "aborted",
            TransferOutcome::Deadline => "deadline",
            TransferOutcome::Unused => "unused",
            TransferOutcome::Failed => "failed",
        }
    }

    /// Its place in tables.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// How a session or a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionOutcome {
    /// A session that has served its transfer, a connection that was disconnected.
    Done,
    /// Its deadline, or its idle time, has passed.
    Expired,
    /// CANCEL.
    Cancelled,
    /// A transfer of it failed.
    Failed,
    /// The gateway goes down.
    ShutDown,
}

impl SessionOutcome {
    /// All, in the order of [`Self::index`].
    pub const ALL: [SessionOutcome; 5] = [
        SessionOutcome::Done,
        SessionOutcome::Expired,
        SessionOutcome::Cancelled,
        SessionOutcome::Failed,
        SessionOutcome::ShutDown,
    ];

    /// For metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SessionOutcome::Done => "done",
            SessionOutcome::Expired => "expired",
            SessionOutcome::Cancelled => "cancelled",
            SessionOutcome::Failed => "failed",
            SessionOutcome::ShutDown => "shut_down",
        }
    }

    /// Its place in tables.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// Completion statuses that are counted, by their names in metrics. The last stands for all others.
pub const FAILURE_NAMES: [&str; 11] = [
    "local_length",
    "local_operation",
    "local_protection",
    "flushed",
    "bad_response",
    "remote_invalid_request",
    "remote_access",
    "remote_operation",
    "retry_exceeded",
    "receiver_not_ready",
    "other",
];

fn failure_index(status: WorkStatus) -> usize {
    match status {
        WorkStatus::LocalLength => 0,
        WorkStatus::LocalOperation => 1,
        WorkStatus::LocalProtection => 2,
        WorkStatus::Flushed => 3,
        WorkStatus::BadResponse => 4,
        WorkStatus::RemoteInvalidRequest => 5,
        WorkStatus::RemoteAccess => 6,
        WorkStatus::RemoteOperation => 7,
        WorkStatus::RetryExceeded => 8,
        WorkStatus::ReceiverNotReady => 9,
        WorkStatus::Success | WorkStatus::Other(_) => 10,
    }
}

/// The place of an operation in tables: GET, PUT.
#[must_use]
pub fn operation_index(operation: Operation) -> usize {
    operation as usize
}

const OPERATIONS: usize = 2;
const OUTCOMES: usize = TransferOutcome::ALL.len();

/// Figures of the server half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerStats {
    /// Sessions now, those being torn down included.
    pub sessions: u64,
    /// Pooled connections now, likewise.
    pub connections: u64,
    /// Principals that have any of them.
    pub principals: u64,
    /// Identities that can be asked for now, of sessions and connections.
    pub registered: u64,
    /// Staging memory in use, in bytes; what was lost to a device stays in here.
    pub staging_bytes: u64,
    /// Queue pairs now.
    pub queue_pairs: u64,
    /// Transfers now, those that are not settled included.
    pub transfers_active: u64,
    /// Sessions since the start.
    pub sessions_prepared: u64,
    /// Connections since the start.
    pub connections_made: u64,
    /// Sessions that have ended, by [`SessionOutcome::index`].
    pub sessions_ended: [u64; SessionOutcome::ALL.len()],
    /// Connections that have ended, likewise.
    pub connections_ended: [u64; SessionOutcome::ALL.len()],
    /// Sessions, connections and requests that found no room, or no place in a queue.
    pub refused_busy: u64,
    /// Sessions that went back to waiting because their peer never answered.
    pub rearmed: u64,
    /// Transfers that were settled, by [`Protocol::index`], [`operation_index`] and [`TransferOutcome::index`].
    pub transfers: [[[u64; OUTCOMES]; OPERATIONS]; Protocol::ALL.len()],
    /// Payload that peers have acknowledged, in bytes.
    pub bytes_written: u64,
    /// Payload read from peers, in bytes.
    pub bytes_read: u64,
    /// Payload that peers have written into staging memory, in bytes.
    pub bytes_written_by_peers: u64,
    /// Of these, copied into frames.
    pub bytes_copied: u64,
    /// Work requests posted.
    pub work_requests: u64,
    /// Completions that failed, by the places in [`FAILURE_NAMES`].
    pub failures: [u64; FAILURE_NAMES.len()],
    /// Queue pairs that were fenced.
    pub fences: u64,
    /// How long that took, all together.
    pub fence_time: Duration,
    /// Queue pairs or staging memory that the device would not give back.
    pub leaked: u64,
}

impl ServerStats {
    /// Transfers that were settled and ended so.
    #[must_use]
    pub fn transfers_of(
        &self,
        protocol: Protocol,
        operation: Operation,
        outcome: TransferOutcome,
    ) -> u64 {
        self.transfers[protocol.index()][operation_index(operation)][outcome.index()]
    }
}

/// The counters behind it.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) queue_pairs: AtomicU64,
    pub(super) transfers_active: AtomicU64,
    pub(super) sessions_prepared: AtomicU64,
    pub(super) connections_made: AtomicU64,
    pub(super) refused_busy: AtomicU64,
    pub(super) rearmed: AtomicU64,
    pub(super) leaked: AtomicU64,
    sessions_ended: [AtomicU64; SessionOutcome::ALL.len()],
    connections_ended: [AtomicU64; SessionOutcome::ALL.len()],
    transfers: [[[AtomicU64; OUTCOMES]; OPERATIONS]; Protocol::ALL.len()],
    bytes_written: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written_by_peers: AtomicU64,
    bytes_copied: AtomicU64,
    work_requests: AtomicU64,
    failures: [AtomicU64; FAILURE_NAMES.len()],
    fences: AtomicU64,
    fence_nanos: AtomicU64,
}

pub(super) fn increment(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn decrement(counter: &AtomicU64) {
    counter.fetch_sub(1, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn session_ended(&self, outcome: SessionOutcome) {
        increment(&self.sessions_ended[outcome.index()]);
    }

    pub(super) fn connection_ended(&self, outcome: SessionOutcome) {
        increment(&self.connections_ended[outcome.index()]);
    }

    pub(super) fn fenced(&self, took: Duration) {
        increment(&self.fences);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.fence_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Adds what a transfer has done.
    pub(super) fn transferred(
        &self,
        protocol: Protocol,
        operation: Operation,
        succeeded: bool,
        tally: &Tally,
    ) {
        let outcome = match tally.progress.get() {
            Progress::Moved if succeeded => TransferOutcome::Succeeded,
            Progress::Begun => TransferOutcome::Unused,
            Progress::PeerSilent => TransferOutcome::PeerSilent,
            Progress::Aborted => TransferOutcome::Aborted,
            Progress::Deadline => TransferOutcome::Deadline,
            _ => TransferOutcome::Failed,
        };
        increment(&self.transfers[protocol.index()][operation_index(operation)][outcome.index()]);
        let add = |counter: &AtomicU64, amount: u64| counter.fetch_add(amount, Ordering::Relaxed);
        add(&self.bytes_written, tally.bytes_written.get());
        add(&self.bytes_read, tally.bytes_read.get());
        add(&self.bytes_written_by_peers, tally.bytes_written_by_peer.get());
        add(&self.bytes_copied, tally.bytes_copied.get());
        add(&self.work_requests, tally.work_requests.get());
        if let Some(status) = tally.failed.get() {
            increment(&self.failures[failure_index(status)]);
        }
    }

    pub(super) fn read(&self, used: InUse, registered: usize) -> ServerStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ServerStats {
            sessions: used.sessions as u64,
            connections: used.connections as u64,
            principals: used.principals as u64,
            registered: registered as u64,
            staging_bytes: used.staging_bytes,
            queue_pairs: load(&self.queue_pairs),
            transfers_active: load(&self.transfers_active),
            sessions_prepared: load(&self.sessions_prepared),
            connections_made: load(&self.connections_made),
            sessions_ended: self.sessions_ended.each_ref().map(load),
            connections_ended: self.connections_ended.each_ref().map(load),
            refused_busy: load(&self.refused_busy),
            rearmed: load(&self.rearmed),
            transfers: self
                .transfers
                .each_ref()
                .map(|by_operation| by_operation.each_ref().map(|o| o.each_ref().map(load))),
            bytes_written: load(&self.bytes_written),
            bytes_read: load(&self.bytes_read),
            bytes_written_by_peers: load(&self.bytes_written_by_peers),
            bytes_copied: load(&self.bytes_copied),
            work_requests: load(&self.work_requests),
            failures: self.failures.each_ref().map(load),
            fences: load(&self.fences),
            fence_time: Duration::from_nanos(load(&self.fence_nanos)),
            leaked: load(&self.leaked),
        }
    }
}
