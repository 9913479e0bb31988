//! Owns the course of one session or pooled request: its [`State`], and the wake-up of whoever transfers.

use tokio::sync::Notify;

use super::state::{Aborted, Phase, Round, State};
use crate::transfer::AbortReason;

/// Shared by the registry, the claim, its watch and the transfer.
#[derive(Debug)]
pub(super) struct Course {
    state: State,
    /// The transfer waits here; nobody else does.
    told: Notify,
}

impl Course {
    pub(super) fn prepared() -> Course {
        Course { state: State::prepared(), told: Notify::new() }
    }

    pub(super) fn transferring() -> Course {
        Course { state: State::transferring(), told: Notify::new() }
    }

    pub(super) fn phase(&self) -> Phase {
        self.state.phase()
    }

    pub(super) fn round(&self) -> Round {
        self.state.round()
    }

    pub(super) fn claim(&self) -> Result<Round, Phase> {
        self.state.claim()
    }

    pub(super) fn rearm(&self) -> bool {
        self.state.rearm()
    }

    pub(super) fn complete(&self) -> Result<(), AbortReason> {
        self.state.complete()
    }

    pub(super) fn expire(&self, round: Round) -> bool {
        self.state.expire(round)
    }

    pub(super) fn finish(&self) {
        self.state.finish();
    }

    pub(super) fn abort(&self, reason: AbortReason) -> Aborted {
        self.tell(self.state.abort(reason))
    }

    pub(super) fn abort_in(&self, round: Round, reason: AbortReason) -> Aborted {
        self.tell(self.state.abort_in(round, reason))
    }

    fn tell(&self, aborted: Aborted) -> Aborted {
        if aborted == Aborted::Told {
            self.told.notify_one();
        }
        aborted
    }

    pub(super) fn aborted(&self) -> Option<AbortReason> {
        self.state.aborted()
    }

    /// Ready once it is aborted.
    pub(super) async fn until_aborted(&self) -> AbortReason {
        loop {
            // Told before this line, a permit is stored: no wake is lost.
            let told = self.told.notified();
            if let Some(reason) = self.state.aborted() {
                return reason;
            }
            told.await;
        }
    }
}
