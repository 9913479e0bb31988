//! Owns what all lanes share: the registry, the limits, the counters; and what any lane may ask of a session or a
//! connection of another.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Notify;

use super::claim::{Claim, ConnectionClaim};
use super::course::Course;
use super::ledger::Ledger;
use super::registry::{ConnectionEntry, Registry, SessionEntry};
use super::retired::Retired;
use super::settings::Settings;
use super::state::{Aborted, Phase};
use super::stats::{Counters, ServerStats};
use super::{SessionError, stats};
use crate::fabric::{Fabric, FabricFacts, FabricHealth, Mtu};
use crate::limits::TRANSFER_BYTES_MAX;
use crate::transfer::AbortReason;
use crate::wire::{Cookie, SessionId};

/// The server half of a process.
pub struct Server {
    pub(super) fabric: Arc<dyn Fabric>,
    pub(super) settings: Settings,
    pub(super) ledger: Arc<Ledger>,
    pub(super) sessions: Registry<SessionEntry>,
    pub(super) connections: Registry<ConnectionEntry>,
    pub(super) retired: Retired,
    pub(super) counters: Counters,
    /// Each wakes its lane's reaper.
    bells: Box<[Arc<Notify>]>,
}

impl Server {
    /// For a process of so many lanes. Nothing is allocated before [`super::LaneServer::open`].
    #[must_use]
    pub fn new(fabric: Arc<dyn Fabric>, mut settings: Settings, lanes: usize) -> Arc<Server> {
        settings.transfer_bytes_max = settings.transfer_bytes_max.min(TRANSFER_BYTES_MAX);
        Arc::new(Server {
            fabric,
            ledger: Ledger::new(&settings),
            settings,
            sessions: Registry::new(),
            connections: Registry::new(),
            retired: Retired::default(),
            counters: Counters::default(),
            bells: (0..lanes).map(|_| Arc::new(Notify::new())).collect(),
        })
    }

    /// What is constant about its fabric.
    #[must_use]
    pub fn facts(&self) -> &FabricFacts {
        self.fabric.facts()
    }

    /// How its device is doing.
    #[must_use]
    pub fn health(&self) -> FabricHealth {
        self.fabric.health()
    }

    /// What was set.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Figures, now.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        let registered = self.sessions.len() + self.connections.len();
        self.counters.read(self.ledger.used(), registered)
    }

    /// Lanes that it was made for.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.bells.len()
    }

    /// No new sessions, connections or pooled requests from now on. Sessions that are there may still be READY, until
    /// their lanes close.
    pub fn stop_admitting(&self) {
        self.ledger.stop();
    }

    /// READY: makes the session the caller's, to be brought to its lane.
    ///
    /// # Errors
    /// [`SessionError::Unknown`] for no such session of this principal with this cookie, [`SessionError::InProgress`]
    /// when another READY has it. Neither changes anything about the session.
    pub fn claim(
        self: &Arc<Self>,
        session: SessionId,
        cookie: Cookie,
        principal: &str,
    ) -> Result<Claim, SessionError> {
        let entry = self.sessions.find(session, principal).ok_or(SessionError::Unknown)?;
        if entry.cookie != cookie {
            return Err(SessionError::Unknown);
        }
        match entry.course.claim() {
            Ok(round) => Ok(Claim::new(Arc::clone(self), entry, round)),
            Err(Phase::Reaping) => Err(SessionError::Unknown),
            Err(_) => Err(SessionError::InProgress),
        }
    }

    /// CANCEL. Never tells what it found. A transfer that runs ends at its next wait, unless its data has all moved.
    pub fn cancel(&self, session: SessionId, principal: &str) {
        if let Some(entry) = self.sessions.find(session, principal)
            && entry.course.abort(AbortReason::Cancelled) == Aborted::Reap
        {
            self.ring(entry.lane);
        }
    }

    /// An object request that names a connection.
    ///
    /// # Errors
    /// [`SessionError::Unknown`] for no such connection of this principal.
    pub fn connection(
        self: &Arc<Self>,
        connection: SessionId,
        principal: &str,
    ) -> Result<ConnectionClaim, SessionError> {
        let entry = self.connections.find(connection, principal).ok_or(SessionError::Unknown)?;
        if self.ledger.stopped() {
            return Err(SessionError::ShuttingDown);
        }
        if entry.is_doomed() {
            return Err(SessionError::Unknown);
        }
        Ok(ConnectionClaim { entry, course: Arc::new(Course::transferring()) })
    }

    /// DISCONNECT. Never tells what it found. A transfer that runs comes to its end.
    pub fn disconnect(&self, connection: SessionId, principal: &str) {
        if let Some(entry) = self.connections.find(connection, principal) {
            entry.doom();
            self.connections.remove(connection);
            self.ring(entry.lane);
        }
    }

    pub(super) fn path_mtu(&self) -> Mtu {
        self.settings.path_mtu.unwrap_or(self.facts().path_mtu)
    }

    pub(super) fn bell(&self, lane: usize) -> Option<&Arc<Notify>> {
        self.bells.get(lane)
    }

    /// Wakes a lane's reaper.
    pub(super) fn ring(&self, lane: usize) {
        if let Some(bell) = self.bell(lane) {
            bell.notify_one();
        }
    }

    /// Counts a refusal for want of room.
    pub(super) fn refused<T>(&self, refused: Result<T, SessionError>) -> Result<T, SessionError> {
        if matches!(refused, Err(SessionError::Busy(_))) {
            stats::increment(&self.counters.refused_busy);
        }
        refused
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("used", &self.ledger.used()).finish_non_exhaustive()
    }
}
