//! Owns who is who: sessions and pooled connections by identity, for all lanes, looked up only together with their
//! principal. Its size is bounded by the ledger: nothing is registered that was not admitted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::course::Course;
use super::order::Order;
use crate::limits::REGISTRY_SHARDS;
use crate::wire::{Cookie, SessionId};

/// What all lanes know of a session.
#[derive(Debug)]
pub(super) struct SessionEntry {
    pub(super) id: SessionId,
    /// Whose queue pair it is.
    pub(super) lane: usize,
    pub(super) principal: Arc<str>,
    pub(super) cookie: Cookie,
    pub(super) order: Arc<Order>,
    pub(super) course: Arc<Course>,
}

/// What all lanes know of a pooled connection.
#[derive(Debug)]
pub(super) struct ConnectionEntry {
    pub(super) id: SessionId,
    /// Whose queue pair it is.
    pub(super) lane: usize,
    pub(super) principal: Arc<str>,
    /// To be torn down as soon as no transfer runs.
    pub(super) doomed: AtomicBool,
    /// Requests that wait for it.
    pub(super) waiting: AtomicUsize,
}

impl ConnectionEntry {
    pub(super) fn doom(&self) {
        self.doomed.store(true, Ordering::Release);
    }

    pub(super) fn is_doomed(&self) -> bool {
        self.doomed.load(Ordering::Acquire)
    }
}

/// What has an identity and an owner.
pub(super) trait Owned {
    fn id(&self) -> SessionId;
    fn principal(&self) -> &str;
}

impl Owned for SessionEntry {
    fn id(&self) -> SessionId {
        self.id
    }

    fn principal(&self) -> &str {
        &self.principal
    }
}

impl Owned for ConnectionEntry {
    fn id(&self) -> SessionId {
        self.id
    }

    fn principal(&self) -> &str {
        &self.principal
    }
}

/// Entries by identity.
#[derive(Debug)]
pub(super) struct Registry<T> {
    shards: Box<[Shard<T>]>,
}

/// A lock for a part of the identities.
type Shard<T> = Mutex<HashMap<SessionId, Arc<T>>>;

impl<T: Owned> Registry<T> {
    pub(super) fn new() -> Registry<T> {
        Registry { shards: (0..REGISTRY_SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// False when the identity is taken.
    pub(super) fn insert(&self, entry: &Arc<T>) -> bool {
        let mut shard = self.shard(entry.id());
        let is_new = !shard.contains_key(&entry.id());
        if is_new {
            shard.insert(entry.id(), Arc::clone(entry));
        }
        is_new
    }

    /// The entry, if it is this principal's. Somebody else's is as good as none.
    pub(super) fn find(&self, id: SessionId, principal: &str) -> Option<Arc<T>> {
        self.shard(id).get(&id).filter(|entry| entry.principal() == principal).cloned()
    }

    pub(super) fn remove(&self, id: SessionId) {
        self.shard(id).remove(&id);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn shard(&self, id: SessionId) -> MutexGuard<'_, HashMap<SessionId, Arc<T>>> {
        // Identities are random bytes: any of them spreads.
        lock(&self.shards[usize::from(id.0[0]) % self.shards.len()])
    }
}

fn lock<T>(shard: &Shard<T>) -> MutexGuard<'_, HashMap<SessionId, Arc<T>>> {
    // No entry is ever half inserted.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
