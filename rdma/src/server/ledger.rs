//! Owns what is limited: sessions, pooled connections and staging memory, in all and by principal. Taken before
//! anything is allocated, given back after everything is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Exhausted, SessionError, Settings};

/// The book of what is in use. One lock for all lanes: held for two hash operations, once at the beginning and once at
/// the end of a session.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: Limits,
    book: Mutex<Book>,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    sessions: usize,
    sessions_per_principal: usize,
    connections: usize,
    connections_per_principal: usize,
    staging_bytes: u64,
}

#[derive(Debug, Default)]
struct Book {
    used: InUse,
    principals: HashMap<Arc<str>, Share>,
    stopped: bool,
}

/// A principal's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    sessions: usize,
    connections: usize,
}

/// What is in use in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InUse {
    pub(super) sessions: usize,
    pub(super) connections: usize,
    pub(super) staging_bytes: u64,
    pub(super) principals: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Session { staging_bytes: u64 },
    Connection,
}

/// One session's or connection's place in the book; given back when dropped.
#[derive(Debug)]
#[must_use = "dropping it gives the place to somebody else"]
pub(super) struct Admitted {
    ledger: Arc<Ledger>,
    principal: Arc<str>,
    kind: Kind,
}

impl Ledger {
    pub(super) fn new(settings: &Settings) -> Arc<Ledger> {
        let limits = Limits {
            sessions: settings.sessions_max,
            sessions_per_principal: settings.sessions_per_principal,
            connections: settings.connections_max,
            connections_per_principal: settings.connections_per_principal,
            staging_bytes: settings.staging_bytes,
        };
        Arc::new(Ledger { limits, book: Mutex::default() })
    }

    /// Refuses everything from now on.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
    }

    pub(super) fn stopped(&self) -> bool {
        self.lock().stopped
    }

    /// What is in use.
    pub(super) fn used(&self) -> InUse {
        let book = self.lock();
        InUse { principals: book.principals.len(), ..book.used }
    }

    /// Room for a session with so much staging memory.
    pub(super) fn session(
        self: &Arc<Self>,
        principal: &Arc<str>,
        staging_bytes: u64,
    ) -> Result<Admitted, SessionError> {
        if staging_bytes > self.limits.staging_bytes {
            let limit = self.limits.staging_bytes;
            return Err(SessionError::TooLarge { size: staging_bytes, limit });
        }
        self.admit(principal, Kind::Session { staging_bytes })
    }

    /// Room for a pooled connection.
    pub(super) fn connection(
        self: &Arc<Self>,
        principal: &Arc<str>,
    ) -> Result<Admitted, SessionError> {
        self.admit(principal, Kind::Connection)
    }

    fn admit(self: &Arc<Self>, principal: &Arc<str>, kind: Kind) -> Result<Admitted, SessionError> {
        let mut book = self.lock();
        if book.stopped {
            return Err(SessionError::ShuttingDown);
        }
        let share = book.principals.get(principal).copied().unwrap_or_default();
        if let Some(exhausted) = self.limits.exhausted(&book.used, share, kind) {
            return Err(SessionError::Busy(exhausted));
        }
        let share = book.principals.entry(Arc::clone(principal)).or_default();
        match kind {
            Kind::Session { staging_bytes } => {
                share.sessions += 1;
                book.used.sessions += 1;
                book.used.staging_bytes += staging_bytes;
            }
            Kind::Connection => {
                share.connections += 1;
                book.used.connections += 1;
            }
        }
        drop(book);
        Ok(Admitted { ledger: Arc::clone(self), principal: Arc::clone(principal), kind })
    }

    fn release(&self, principal: &Arc<str>, kind: Kind) {
        let mut book = self.lock();
        let share =
            book.principals.get_mut(principal).expect("whoever was admitted is in the book");
        match kind {
            Kind::Session { staging_bytes } => {
                share.sessions -= 1;
                let spent = *share == Share::default();
                book.used.sessions -= 1;
                book.used.staging_bytes -= staging_bytes;
                book.forget_if(spent, principal);
            }
            Kind::Connection => {
                share.connections -= 1;
                let spent = *share == Share::default();
                book.used.connections -= 1;
                book.forget_if(spent, principal);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Book> {
        // Nothing in here is left half done by a panic.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Limits {
    fn exhausted(&self, used: &InUse, share: Share, kind: Kind) -> Option<Exhausted> {
        match kind {
            Kind::Session { staging_bytes } => {
                if used.sessions >= self.sessions {
                    Some(Exhausted::Sessions)
                } else if share.sessions >= self.sessions_per_principal {
                    Some(Exhausted::SessionsOfPrincipal)
                } else if staging_bytes > self.staging_bytes.saturating_sub(used.staging_bytes) {
                    Some(Exhausted::Staging)
                } else {
                    None
                }
            }
            Kind::Connection => {
                if used.connections >= self.connections {
                    Some(Exhausted::Connections)
                } else if share.connections >= self.connections_per_principal {
                    Some(Exhausted::ConnectionsOfPrincipal)
                } else {
                    None
                }
            }
        }
    }
}

impl Book {
    fn forget_if(&mut self, spent: bool, principal: &Arc<str>) {
        if spent {
            self.principals.remove(principal);
        }
    }
}

impl Admitted {
    /// The staging memory could not be got back from the device: it stays in the book for good, as it stays in memory.
    pub(super) fn forfeit_staging(&mut self) {
        if let Kind::Session { staging_bytes } = &mut self.kind {
            *staging_bytes = 0;
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.ledger.release(&self.principal, self.kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Arc<Ledger> {
        Ledger::new(&Settings {
            sessions_max: 3,
            sessions_per_principal: 2,
            connections_max: 2,
            connections_per_principal: 1,
            staging_bytes: 100,
            ..Settings::default()
        })
    }

    fn busy(refused: Result<Admitted, SessionError>) -> Exhausted {
        match refused {
            Err(SessionError::Busy(exhausted)) => exhausted,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn each_limit_refuses_and_all_come_back() {
        let (ledger, ann, bob) = (ledger(), Arc::from("ann"), Arc::from("bob"));
        let mut held =
            vec![ledger.session(&ann, 60).expect("room"), ledger.session(&ann, 0).expect("room")];
        assert_eq!(busy(ledger.session(&ann, 0)), Exhausted::SessionsOfPrincipal);
        assert_eq!(busy(ledger.session(&bob, 41)), Exhausted::Staging);
        held.push(ledger.session(&bob, 40).expect("room"));
        assert_eq!(busy(ledger.session(&bob, 0)), Exhausted::Sessions);
        assert!(matches!(
            ledger.session(&bob, 101),
            Err(SessionError::TooLarge { size: 101, limit: 100 })
        ));
        held.push(ledger.connection(&ann).expect("room"));
        assert_eq!(busy(ledger.connection(&ann)), Exhausted::ConnectionsOfPrincipal);
        held.push(ledger.connection(&bob).expect("room"));
        assert_eq!(busy(ledger.connection(&Arc::from("eve"))), Exhausted::Connections);
        let full = InUse { sessions: 3, connections: 2, staging_bytes: 100, principals: 2 };
        assert_eq!(ledger.used(), full, "refusals have left nothing behind");
        drop(held);
        assert_eq!(ledger.used(), InUse::default());
    }

    #[test]
    fn memory_that_is_lost_stays_in_the_book() {
        let (ledger, ann) = (ledger(), Arc::from("ann"));
        let mut admitted = ledger.session(&ann, 70).expect("room");
        admitted.forfeit_staging();
        drop(admitted);
        let lost = InUse { staging_bytes: 70, ..InUse::default() };
        assert_eq!(ledger.used(), lost);
    }

    #[test]
    fn nothing_is_admitted_after_the_stop() {
        let (ledger, ann) = (ledger(), Arc::from("ann"));
        ledger.stop();
        assert!(matches!(ledger.session(&ann, 0), Err(SessionError::ShuttingDown)));
        assert!(matches!(ledger.connection(&ann), Err(SessionError::ShuttingDown)));
        assert_eq!(ledger.used(), InUse::default());
    }
}
