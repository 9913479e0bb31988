//! Owns the state of one transfer-to-be, changed by any thread: one word, so that of READY, CANCEL, expiry and the
//! end of the data exactly one wins.
//!
//! ```text
//!  PREPARED ── claim ──▶ TRANSFERRING ── complete ──▶ COMPLETING ── finish ──▶ REAPING
//!     │  ▲                 │     │  └─ abort: told, stays until its transfer takes notice ─▶ finish
//!     │  └──── rearm ──────┘     └──────────────────── finish ───────────────────▶ REAPING
//!     └── abort, expire ─────────────────────────────────────────────────────────▶ REAPING
//! ```
//!
//! Each time that it is PREPARED anew is another *round*. Whoever decided in an earlier round, such as a timer or the
//! HTTP request that has had its answer, changes nothing. From COMPLETING on nothing is aborted: an object that is
//! being stored is not reported as failed.
//!
//! *Not here:* wake-ups (`course.rs`), deadlines and memory (`lane.rs`). A model of it, run under loom, is at the end.

use sync::{AtomicU32, Ordering};

#[cfg(loom)]
use crate::abort::AbortReason;
#[cfg(not(loom))]
use crate::transfer::AbortReason;

#[cfg(not(loom))]
mod sync {
    pub(super) use std::sync::atomic::{AtomicU32, Ordering};
}
#[cfg(loom)]
mod sync {
    pub(super) use loom::sync::atomic::{AtomicU32, Ordering};
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for READY.
    Prepared,
    /// Claimed: its data is about to move or moving.
    Transferring,
    /// All data has moved; what remains can't be aborted.
    Completing,
    /// Over: to be torn down by its owner.
    Reaping,
}

/// Which time it is PREPARED, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Round(u32);

/// What an abort has brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aborted {
    /// It was waiting, and is to be torn down now: tell the owner.
    Reap,
    /// It is being transferred: tell the transfer.
    Told,
    /// Nothing: it is over, or cannot be aborted any more.
    TooLate,
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct State(AtomicU32);

/// The word, taken apart.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Word {
    phase: Phase,
    abort: Option<AbortReason>,
    round: u32,
}

impl State {
    /// Waiting for its READY.
    pub(super) fn prepared() -> State {
        State(AtomicU32::new(Word { phase: Phase::Prepared, abort: None, round: 0 }.pack()))
    }

    /// Claimed from the start: a request on a pooled connection.
    pub(super) fn transferring() -> State {
        State(AtomicU32::new(Word { phase: Phase::Transferring, abort: None, round: 0 }.pack()))
    }

    pub(super) fn phase(&self) -> Phase {
        self.load().phase
    }

    pub(super) fn round(&self) -> Round {
        Round(self.load().round)
    }

    /// Who has made it stop.
    pub(super) fn aborted(&self) -> Option<AbortReason> {
        self.load().abort
    }

    /// READY: in which round, or what it is instead of PREPARED.
    pub(super) fn claim(&self) -> Result<Round, Phase> {
        self.change(|word| match word.phase {
            Phase::Prepared => Ok(Word { phase: Phase::Transferring, ..word }),
            other => Err(other),
        })
        .map(|before| Round(before.round))
    }

    /// Back to PREPARED. False when it was aborted meanwhile: then it is REAPING.
    pub(super) fn rearm(&self) -> bool {
        let before: Result<Word, ()> = self.change(|word| match (word.phase, word.abort) {
            (Phase::Transferring, None) => {
                Ok(Word { phase: Phase::Prepared, round: word.round + 1, ..word })
            }
            _ => Ok(Word { phase: Phase::Reaping, ..word }),
        });
        before.is_ok_and(|word| word.phase == Phase::Transferring && word.abort.is_none())
    }

    /// All data has moved: from here on it can't be aborted.
    ///
    /// # Errors
    /// Who has aborted it before.
    pub(super) fn complete(&self) -> Result<(), AbortReason> {
        self.change(|word| match (word.phase, word.abort) {
            (_, Some(reason)) => Err(reason),
            (Phase::Transferring, None) => Ok(Word { phase: Phase::Completing, ..word }),
            // Whoever transfers is the only one that ends it.
            _ => Err(AbortReason::Cancelled),
        })
        .map(|_| ())
    }

    /// Makes it stop, in whatever round it is.
    pub(super) fn abort(&self, reason: AbortReason) -> Aborted {
        self.abort_where(reason, |_| true)
    }

    /// Makes it stop if it is still in this round.
    pub(super) fn abort_in(&self, round: Round, reason: AbortReason) -> Aborted {
        self.abort_where(reason, |now| now == round.0)
    }

    fn abort_where(&self, reason: AbortReason, in_round: impl Fn(u32) -> bool) -> Aborted {
        let before = self.change(|word| match (word.phase, word.abort) {
            (Phase::Prepared, _) if in_round(word.round) => {
                Ok(Word { phase: Phase::Reaping, abort: Some(reason), ..word })
            }
            (Phase::Transferring, None) if in_round(word.round) => {
                Ok(Word { abort: Some(reason), ..word })
            }
            _ => Err(()),
        });
        match before {
            Ok(Word { phase: Phase::Prepared, .. }) => Aborted::Reap,
            Ok(_) => Aborted::Told,
            Err(()) => Aborted::TooLate,
        }
    }

    /// The deadline of this round has passed: whether it is REAPING for that.
    pub(super) fn expire(&self, round: Round) -> bool {
        self.change(|word| match word.phase {
            Phase::Prepared if word.round == round.0 => Ok(Word { phase: Phase::Reaping, ..word }),
            _ => Err(()),
        })
        .is_ok()
    }

    /// The claim's end, however it went.
    pub(super) fn finish(&self) {
        // Never fails: every word has a successor.
        let _: Result<Word, ()> = self.change(|word| Ok(Word { phase: Phase::Reaping, ..word }));
    }

    fn load(&self) -> Word {
        Word::unpack(self.0.load(Ordering::Acquire))
    }

    /// Replaces the word; returns the one before.
    fn change<E>(&self, mut next: impl FnMut(Word) -> Result<Word, E>) -> Result<Word, E> {
        let mut before = self.0.load(Ordering::Acquire);
        // Ends: every failed exchange is another thread's step, of which there are few in a life.
        loop {
            let word = next(Word::unpack(before))?.pack();
            match self.0.compare_exchange(before, word, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(Word::unpack(before)),
                Err(now) => before = now,
            }
        }
    }
}

impl Word {
    /// Bits 0–1 phase, 2–3 abort, the others round.
    fn pack(self) -> u32 {
        let phase = match self.phase {
            Phase::Prepared => 0,
            Phase::Transferring => 1,
            Phase::Completing => 2,
            Phase::Reaping => 3,
        };
        let abort = match self.abort {
            None => 0,
            Some(AbortReason::Cancelled) => 1,
            Some(AbortReason::ClientGone) => 2,
            Some(AbortReason::ShuttingDown) => 3,
        };
        // Rounds come seconds apart; 28 bits of them outlast any session.
        phase | abort << 2 | self.round << 4
    }

    fn unpack(word: u32) -> Word {
        let phase = match word & 3 {
            0 => Phase::Prepared,
            1 => Phase::Transferring,
            2 => Phase::Completing,
            _ => Phase::Reaping,
        };
        let abort = match word >> 2 & 3 {
            0 => None,
            1 => Some(AbortReason::Cancelled),
            2 => Some(AbortReason::ClientGone),
            _ => Some(AbortReason::ShuttingDown),
        };
        Word { phase, abort, round: word >> 4 }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const REASONS: [AbortReason; 3] =
        [AbortReason::Cancelled, AbortReason::ClientGone, AbortReason::ShuttingDown];

    #[test]
    fn words_survive_packing() {
        for phase in [Phase::Prepared, Phase::Transferring, Phase::Completing, Phase::Reaping] {
            for abort in [None, Some(REASONS[0]), Some(REASONS[1]), Some(REASONS[2])] {
                for round in [0, 1, 77, (1 << 28) - 1] {
                    let word = Word { phase, abort, round };
                    assert!(Word::unpack(word.pack()) == word, "{phase:?} {abort:?} {round}");
                }
            }
        }
    }

    #[test]
    fn a_life_that_goes_well() {
        let state = State::prepared();
        let round = state.claim().expect("prepared");
        assert_eq!(state.claim(), Err(Phase::Transferring));
        assert!(!state.expire(round), "no expiry while it transfers");
        assert_eq!(state.complete(), Ok(()));
        for reason in REASONS {
            assert_eq!(state.abort(reason), Aborted::TooLate);
        }
        assert_eq!(state.phase(), Phase::Completing);
        assert_eq!(state.claim(), Err(Phase::Completing));
        state.finish();
        assert_eq!(state.claim(), Err(Phase::Reaping));
        assert_eq!(state.abort(REASONS[0]), Aborted::TooLate);
    }

    #[test]
    fn an_abort_of_one_that_waits_ends_it_and_of_one_that_transfers_is_told_once() {
        let waiting = State::prepared();
        assert_eq!(waiting.abort(REASONS[0]), Aborted::Reap);
        assert_eq!(waiting.abort(REASONS[0]), Aborted::TooLate);
        assert_eq!(waiting.claim(), Err(Phase::Reaping));

        let moving = State::transferring();
        assert_eq!(moving.abort(REASONS[1]), Aborted::Told);
        assert_eq!(moving.abort(REASONS[0]), Aborted::TooLate, "the first reason stays");
        assert_eq!(moving.aborted(), Some(REASONS[1]));
        assert_eq!(moving.complete(), Err(REASONS[1]));
        assert!(!moving.rearm(), "aborted ones are not asked again");
        assert_eq!(moving.phase(), Phase::Reaping);
    }

    #[test]
    fn what_was_decided_in_an_earlier_round_changes_nothing() {
        let state = State::prepared();
        let first = state.claim().expect("prepared");
        assert!(state.rearm());
        assert_ne!(state.round(), first);
        assert!(!state.expire(first), "the timer of the first round");
        assert_eq!(state.abort_in(first, REASONS[1]), Aborted::TooLate, "its HTTP request");
        let second = state.claim().expect("prepared again");
        assert_eq!(state.abort_in(first, REASONS[1]), Aborted::TooLate);
        assert_eq!(state.abort_in(second, REASONS[1]), Aborted::Told);
    }
}

/// Run with `tools/loom.sh`.
#[cfg(all(test, loom))]
mod loom_tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use loom::sync::Arc;
    use loom::thread;

    use super::{AbortReason, Aborted, Phase, Round, State};

    /// Every interleaving with at most so many switches from a thread that could have gone on; without a bound, four
    /// threads take hours. Loom's authors have found two to show nearly all that is wrong.
    const PREEMPTIONS: usize = 3;

    fn model(run: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(PREEMPTIONS);
        builder.check(run);
    }

    /// What the threads have seen. Not loom's: it is no part of what is explored.
    #[derive(Default)]
    struct Witness {
        /// Claims that were granted, in all rounds.
        claims: AtomicU32,
        /// Objects that were stored, and those reported as such.
        stored: AtomicU32,
        /// Who has to tear it down: exactly one must.
        reapers: AtomicU32,
    }

    fn ready(state: &State, witness: &Witness, rearms: bool) {
        let Ok(_) = state.claim() else { return };
        witness.claims.fetch_add(1, Ordering::Relaxed);
        if rearms && state.rearm() {
            return;
        }
        if !rearms && state.complete().is_ok() {
            // The object is stored here: whoever aborts now must be too late.
            witness.stored.fetch_add(1, Ordering::Relaxed);
            assert_eq!(state.phase(), Phase::Completing, "nobody ends what is being stored");
        }
        state.finish();
        witness.reapers.fetch_add(1, Ordering::Relaxed);
    }

    fn reap(witness: &Witness, is_reaper: bool) {
        witness.reapers.fetch_add(u32::from(is_reaper), Ordering::Relaxed);
    }

    #[test]
    fn of_ready_its_duplicate_cancel_and_the_reaper_one_wins() {
        model(|| {
            let state = Arc::new(State::prepared());
            let witness = std::sync::Arc::new(Witness::default());
            let readies: Vec<_> = (0..2)
                .map(|_| {
                    let (state, witness) = (Arc::clone(&state), std::sync::Arc::clone(&witness));
                    thread::spawn(move || ready(&state, &witness, false))
                })
                .collect();
            let cancel = {
                let (state, witness) = (Arc::clone(&state), std::sync::Arc::clone(&witness));
                thread::spawn(move || {
                    reap(&witness, state.abort(AbortReason::Cancelled) == Aborted::Reap);
                })
            };
            // The reaper, whose timer was set when the session was prepared.
            let expired = state.expire(Round(0));
            reap(&witness, expired);
            for thread in readies.into_iter().chain([cancel]) {
                thread.join().expect("a thread");
            }
            let claims = witness.claims.load(Ordering::Relaxed);
            assert!(claims <= 1, "a duplicate READY got the session, too");
            assert!(witness.stored.load(Ordering::Relaxed) <= claims);
            assert_eq!(witness.reapers.load(Ordering::Relaxed), 1, "torn down once");
            assert_eq!(state.phase(), Phase::Reaping);
        });
    }

    #[test]
    fn a_session_that_is_asked_again_outlives_the_timer_and_the_request_of_its_first_round() {
        model(|| {
            let state = Arc::new(State::prepared());
            let witness = std::sync::Arc::new(Witness::default());
            let first = Round(0);
            let readies = {
                let (state, witness) = (Arc::clone(&state), std::sync::Arc::clone(&witness));
                thread::spawn(move || {
                    ready(&state, &witness, true);
                    ready(&state, &witness, false);
                })
            };
            let gone = {
                let (state, witness) = (Arc::clone(&state), std::sync::Arc::clone(&witness));
                thread::spawn(move || {
                    // A watch exists only once the session is claimed.
                    if witness.claims.load(Ordering::Relaxed) > 0 {
                        let aborted = state.abort_in(first, AbortReason::ClientGone);
                        assert_ne!(aborted, Aborted::Reap, "a claimed round is not waiting");
                    }
                })
            };
            reap(&witness, state.expire(first));
            for thread in [readies, gone] {
                thread.join().expect("a thread");
            }
            assert_eq!(witness.reapers.load(Ordering::Relaxed), 1, "torn down once");
            assert_eq!(state.phase(), Phase::Reaping);
        });
    }
}
