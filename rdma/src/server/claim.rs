//! Owns the way of a session or a pooled request from the lane that was asked to the lane that owns the queue pair: a
//! claim goes there, a watch stays.

use std::fmt;
use std::sync::Arc;

use super::course::Course;
use super::order::Order;
use super::process::Server;
use super::registry::{ConnectionEntry, SessionEntry};
use super::state::Round;
use crate::transfer::AbortReason;
use crate::wire::{Cookie, SessionId};

/// A session that is the holder's to begin. Dropped instead, it ends the session.
#[must_use = "dropping it ends the session"]
pub struct Claim {
    server: Arc<Server>,
    entry: Arc<SessionEntry>,
    round: Round,
    spent: bool,
}

impl Claim {
    pub(super) fn new(server: Arc<Server>, entry: Arc<SessionEntry>, round: Round) -> Claim {
        Claim { server, entry, round, spent: false }
    }

    /// The lane to begin it on.
    #[must_use]
    pub fn lane(&self) -> usize {
        self.entry.lane
    }

    /// Its identity.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.entry.id
    }

    /// What is to be transferred.
    #[must_use]
    pub fn order(&self) -> &Arc<Order> {
        &self.entry.order
    }

    /// To be echoed in the answer.
    #[must_use]
    pub fn cookie(&self) -> Cookie {
        self.entry.cookie
    }

    /// Whose it is.
    #[must_use]
    pub fn principal(&self) -> &Arc<str> {
        &self.entry.principal
    }

    /// For whoever holds the HTTP request.
    pub fn watch(&self) -> Watch {
        Watch { course: Arc::clone(&self.entry.course), round: self.round }
    }

    pub(super) fn course(&self) -> &Arc<Course> {
        &self.entry.course
    }

    /// Puts the session back as it was before READY. False when it was aborted meanwhile.
    pub(super) fn put_back(mut self) -> bool {
        let is_back = self.entry.course.rearm();
        self.spent = is_back;
        is_back
    }

    /// It has begun: its transfer sees to its end.
    pub(super) fn spend(mut self) {
        self.spent = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.spent {
            self.entry.course.finish();
            self.server.ring(self.entry.lane);
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("session", &self.entry.id).finish_non_exhaustive()
    }
}

/// A request for a pooled connection, to be brought to its lane.
#[derive(Debug)]
pub struct ConnectionClaim {
    pub(super) entry: Arc<ConnectionEntry>,
    pub(super) course: Arc<Course>,
}

impl ConnectionClaim {
    /// The lane to acquire it on.
    #[must_use]
    pub fn lane(&self) -> usize {
        self.entry.lane
    }

    /// Its identity.
    #[must_use]
    pub fn connection(&self) -> SessionId {
        self.entry.id
    }

    /// For whoever holds the HTTP request.
    pub fn watch(&self) -> Watch {
        Watch { course: Arc::clone(&self.course), round: self.course.round() }
    }
}

/// Kept by whoever holds the HTTP request, until it has been answered. Dropped before the data has moved, it aborts the
/// transfer, which is fenced at its next wait; dropped later, it does nothing.
#[derive(Debug)]
#[must_use = "dropping it before the end aborts the transfer"]
pub struct Watch {
    course: Arc<Course>,
    round: Round,
}

impl Drop for Watch {
    fn drop(&mut self) {
        // A session that has gone back to waiting meanwhile is in another round, and stays.
        self.course.abort_in(self.round, AbortReason::ClientGone);
    }
}
