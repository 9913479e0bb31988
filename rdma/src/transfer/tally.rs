//! Owns what is counted of one transfer while it runs, so that it is known also when its future is dropped halfway.

use std::cell::Cell;

use super::error::Fault;
use crate::fabric::{Completion, WorkKind, WorkStatus};

/// How far a transfer has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing was asked of it.
    #[default]
    Begun,
    /// Under way, or left in the middle.
    Moving,
    /// All bytes were moved.
    Moved,
    /// It has failed because its peer never answered: nothing was moved.
    PeerSilent,
    /// It was made to stop.
    Aborted,
    /// It took too long.
    Deadline,
    /// It has failed otherwise.
    Failed,
}

/// One transfer's counters.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) progress: Cell<Progress>,
    pub(crate) work_requests: Cell<u64>,
    /// Of these, done.
    pub(crate) succeeded: Cell<u64>,
    pub(crate) bytes_written: Cell<u64>,
    pub(crate) bytes_read: Cell<u64>,
    pub(crate) bytes_written_by_peer: Cell<u64>,
    pub(crate) bytes_copied: Cell<u64>,
    /// The first failed completion.
    pub(crate) failed: Cell<Option<WorkStatus>>,
}

/// Adds to a counter.
pub(crate) fn add(counter: &Cell<u64>, amount: u64) {
    counter.set(counter.get() + amount);
}

impl Tally {
    /// Takes note of a completion.
    ///
    /// # Errors
    /// When it is not one of success.
    pub(crate) fn note(&self, completion: &Completion) -> Result<(), Fault> {
        let status = completion.status;
        if status == WorkStatus::Success {
            add(&self.succeeded, 1);
            return Ok(());
        }
        if self.failed.get().is_none() {
            self.failed.set(Some(status));
        }
        let is_silence = matches!(status, WorkStatus::RetryExceeded | WorkStatus::ReceiverNotReady);
        if is_silence && self.succeeded.get() == 0 && completion.kind != WorkKind::Receive {
            return Err(Fault::PeerSilent);
        }
        Err(Fault::Work { kind: completion.kind, status })
    }
}
