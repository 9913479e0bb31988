//! Lines on their way from lanes to the writer.
//!
//! Owns: each lane's memory for lines, and the count of those for which there was none. The lock of
//! an outbox is its lane's and the writer's, which holds it for the exchange of two pointers.
//! Limits: `ACCESS_LOG_QUEUE_BYTES`, `ACCESS_LOG_LANE_BYTES_MIN`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::limits;
use crate::metrics::Cell;

/// The outboxes of all lanes, and the writer's bell.
#[derive(Debug)]
pub(super) struct Outboxes {
    lanes: Box<[Outbox]>,
    bytes_max: usize,
    bell: Bell,
}

/// One lane's. Aligned so that no two lanes share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Outbox {
    lines: Mutex<Vec<u8>>,
    dropped: Cell,
}

/// Wakes the writer.
#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<bool>,
    waiting: Condvar,
    /// Whether it has been rung since the writer last looked: a lane rings once a batch.
    ringing: AtomicBool,
}

impl Outboxes {
    /// For so many lanes.
    pub(super) fn new(lanes: usize) -> Outboxes {
        let share = limits::ACCESS_LOG_QUEUE_BYTES / lanes.max(1);
        Outboxes {
            lanes: (0..lanes).map(|_| Outbox::default()).collect(),
            bytes_max: share.max(limits::ACCESS_LOG_LANE_BYTES_MIN),
            bell: Bell::default(),
        }
    }

    /// Puts the line that `form` appends into the lane's outbox, or counts it as dropped.
    pub(super) fn put(&self, lane: usize, form: impl FnOnce(&mut Vec<u8>)) {
        let Some(outbox) = self.lanes.get(lane) else {
            return;
        };
        let mut lines = outbox.lock();
        let before = lines.len();
        form(&mut lines);
        if lines.len() > self.bytes_max {
            lines.truncate(before);
            outbox.dropped.add(1);
        }
        let half = self.bytes_max / 2;
        if before <= half && lines.len() > half {
            drop(lines);
            self.ring();
        }
    }

    /// Exchanges what a lane has for the empty `batch`. Says whether there was anything.
    pub(super) fn take(&self, lane: usize, batch: &mut Vec<u8>) -> bool {
        debug_assert!(batch.is_empty());
        std::mem::swap(&mut *self.lanes[lane].lock(), batch);
        !batch.is_empty()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.lanes.len()
    }

    /// Lines for which there was no room.
    pub(super) fn dropped(&self) -> u64 {
        self.lanes.iter().map(|outbox| outbox.dropped.value()).sum()
    }

    /// Waits until an outbox is half full, somebody rings, or the time is over.
    pub(super) fn wait(&self, most: Duration) {
        let rung = self.bell.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut rung, _) = self
            .bell
            .waiting
            .wait_timeout_while(rung, most, |rung| !*rung)
            .unwrap_or_else(PoisonError::into_inner);
        *rung = false;
        self.bell.ringing.store(false, Ordering::Relaxed);
    }

    /// Wakes the writer.
    pub(super) fn ring(&self) {
        if !self.bell.ringing.swap(true, Ordering::Relaxed) {
            *self.bell.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.bell.waiting.notify_one();
        }
    }
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        // Whoever panicked while it had the lock has left whole lines and perhaps a piece.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbox_that_is_full_drops_whole_lines_and_counts_them() {
        let outboxes = Outboxes::new(1);
        let line = vec![b'x'; limits::ACCESS_LOG_QUEUE_BYTES / 4];
        for _ in 0..6 {
            outboxes.put(0, |lines| lines.extend_from_slice(&line));
        }
        assert_eq!(outboxes.dropped(), 2);
        let mut batch = Vec::new();
        assert!(outboxes.take(0, &mut batch));
        assert_eq!(batch.len(), 4 * line.len());
        batch.clear();
        assert!(!outboxes.take(0, &mut batch));
        outboxes.put(0, |lines| lines.extend_from_slice(&line));
        assert_eq!(outboxes.dropped(), 2, "there is room again");
        outboxes.put(7, |_| panic!("there is no such lane"));
    }

    #[test]
    fn the_writer_wakes_when_an_outbox_is_half_full() {
        let outboxes = Outboxes::new(1);
        outboxes.put(0, |lines| {
            lines.extend_from_slice(&vec![b'x'; limits::ACCESS_LOG_QUEUE_BYTES / 2 + 1])
        });
        let began = std::time::Instant::now();
        outboxes.wait(Duration::from_secs(60));
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
