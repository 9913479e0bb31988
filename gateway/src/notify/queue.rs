//! One target's queue: messages that wait, bounded by their bytes, and what became of all others.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::limits;

/// A target's queue. Lanes put, its thread takes.
#[derive(Debug)]
pub(super) struct Queue {
    /// The target's name.
    pub(super) name: Box<str>,
    bytes_max: usize,
    inner: Mutex<Inner>,
    arrived: Notify,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Inner {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
    complained: Option<Instant>,
}

/// What became of messages.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Taken by the target.
    pub(super) delivered: AtomicU64,
    /// Attempts that failed and are repeated.
    pub(super) failed: AtomicU64,
    /// The target has said that it will never take it.
    pub(super) refused: AtomicU64,
    /// There was no room for it.
    dropped: AtomicU64,
}

impl Queue {
    /// An empty queue for so many bytes.
    pub(super) fn new(name: &str, bytes_max: usize) -> Queue {
        Queue {
            name: name.into(),
            bytes_max,
            inner: Mutex::default(),
            arrived: Notify::new(),
            counts: Counts::default(),
        }
    }

    /// What became of messages.
    pub(super) fn tally(&self) -> &Counts {
        &self.counts
    }

    /// The same, by name.
    pub(super) fn counts(&self) -> [(&'static str, u64); 4] {
        let Counts { delivered, failed, refused, dropped } = &self.counts;
        [("delivered", delivered), ("failed", failed), ("refused", refused), ("dropped", dropped)]
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }

    /// Messages that wait.
    pub(super) fn waiting(&self) -> usize {
        self.lock().messages.len()
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Puts a message at the end, or counts that there was no room.
    pub(super) fn put(&self, message: Vec<u8>) {
        let mut inner = self.lock();
        let cost = message.len() + limits::EVENT_OVERHEAD_BYTES;
        if inner.bytes + cost > self.bytes_max {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            let lately = |at: Instant| at.elapsed() < limits::OBSERVATION_COMPLAINT_PERIOD;
            if !inner.complained.is_some_and(lately) {
                inner.complained = Some(Instant::now());
                drop(inner);
                tracing::warn!(target = &*self.name, "events are dropped: the queue is full");
            }
            return;
        }
        inner.bytes += cost;
        inner.messages.push_back(message);
        drop(inner);
        self.arrived.notify_one();
    }

    /// The messages that wait, in order, up to so many; waits until there is one.
    pub(super) async fn take(&self, most: usize) -> Vec<Vec<u8>> {
        loop {
            let taken = self.take_now(most);
            if !taken.is_empty() {
                return taken;
            }
            self.arrived.notified().await;
        }
    }

    /// The same without waiting.
    pub(super) fn take_now(&self, most: usize) -> Vec<Vec<u8>> {
        let mut inner = self.lock();
        let count = most.min(inner.messages.len());
        let taken: Vec<_> = inner.messages.drain(..count).collect();
        let cost: usize = taken.iter().map(|it| it.len() + limits::EVENT_OVERHEAD_BYTES).sum();
        inner.bytes -= cost;
        taken
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Nothing panics while the lock is held.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_dropped_and_counted() {
        let one = 10 + limits::EVENT_OVERHEAD_BYTES;
        let queue = Queue::new("t", 2 * one);
        for _ in 0..3 {
            queue.put(vec![b'x'; 10]);
        }
        assert_eq!((queue.waiting(), queue.bytes()), (2, 2 * one));
        assert_eq!(queue.counts()[3], ("dropped", 1));
        assert_eq!(queue.take_now(1).len(), 1);
        queue.put(vec![b'y'; 10]);
        assert_eq!(queue.take_now(9), [vec![b'x'; 10], vec![b'y'; 10]]);
        assert_eq!(queue.bytes(), 0);
    }
}
