//! *Owns:* making a device's completed writes durable, and knowing when there is nothing to do.
//!
//! Every completed write raises a count before its completion is reported. A flush notes the count,
//! flushes, and remembers the count as durable. A write whose completion was seen before the flush
//! was asked for is in the count noted; so when the count is the remembered one, every such write
//! is durable and the flush is left out.
//!
//! A flush that failed is never tried again: the kernel may have dropped what it could not write,
//! and the next fdatasync would report success without it. The device stays at fault until the
//! store is opened anew, and what was not acknowledged is gone.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::error::{DeviceFault, Operation};
use super::set::{Backing, Device};
use crate::latency::{LatencyCells, LatencyStats};

/// Flush state of one device.
#[derive(Debug, Default)]
pub(super) struct FlushState {
    completed_writes: AtomicU64,
    /// Held while the device flushes, which a stuck drive makes forever: nothing that must answer
    /// takes it.
    book: Mutex<FlushBook>,
    done: AtomicU64,
    skipped: AtomicU64,
    failed: AtomicU64,
    times: LatencyCells,
}

#[derive(Debug, Default)]
struct FlushBook {
    durable_writes: u64,
    failed: Option<i32>,
}

/// Figures of one device's flushes, by value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlushStats {
    /// Flushes done.
    pub done: u64,
    /// Flushes left out, since no write had completed since the last.
    pub skipped: u64,
    /// Flushes that failed, those refused after a failure included.
    pub failed: u64,
    /// Times of flushes that were tried.
    pub times: LatencyStats,
}

/// What a flush did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Made writes durable.
    Done,
    /// Found none that were not.
    NothingToDo,
}

impl FlushState {
    /// A write has reached the device, or part of it. To be called before anybody is told.
    pub(super) fn write_completed(&self) {
        self.completed_writes.fetch_add(1, Ordering::SeqCst);
    }
}

/// Flushes one device, from any thread. Cheap to clone.
#[derive(Clone)]
pub struct FlushHandle {
    device: Arc<Device>,
}

impl FlushHandle {
    pub(super) fn new(device: Arc<Device>) -> FlushHandle {
        FlushHandle { device }
    }

    /// Blocks until every write that had completed before the call is durable: fdatasync(2).
    ///
    /// # Errors
    /// The fault of this or of an earlier flush; see the head of this file for why that stays.
    pub fn flush(&self) -> Result<Flushed, DeviceFault> {
        let state = &self.device.flush;
        let mut book = state.book.lock().unwrap_or_else(PoisonError::into_inner);
        let fault =
            |errno| DeviceFault { device: self.device.id(), operation: Operation::Flush, errno };
        if let Some(errno) = book.failed {
            state.failed.fetch_add(1, Ordering::Relaxed);
            return Err(fault(errno));
        }
        let completed = state.completed_writes.load(Ordering::SeqCst);
        if completed == book.durable_writes {
            state.skipped.fetch_add(1, Ordering::Relaxed);
            return Ok(Flushed::NothingToDo);
        }
        let began = Instant::now();
        let result = match &self.device.backing {
            Backing::File(file) => {
                file.sync_data().map_err(|error| super::engine::errno_of(&error))
            }
            Backing::Crash(disk) => disk.flush(),
        };
        state.times.add(began.elapsed());
        match result {
            Ok(()) => {
                book.durable_writes = completed;
                state.done.fetch_add(1, Ordering::Relaxed);
                Ok(Flushed::Done)
            }
            Err(errno) => {
                book.failed = Some(errno);
                state.failed.fetch_add(1, Ordering::Relaxed);
                Err(fault(errno))
            }
        }
    }

    /// The device it flushes.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Figures for the exporter; at once, also while a flush is under way.
    pub fn stats(&self) -> FlushStats {
        let state = &self.device.flush;
        FlushStats {
            done: state.done.load(Ordering::Relaxed),
            skipped: state.skipped.load(Ordering::Relaxed),
            failed: state.failed.load(Ordering::Relaxed),
            times: state.times.stats(),
        }
    }
}

impl fmt::Debug for FlushHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlushHandle").field("device", &self.device.id()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::super::DeviceSet;
    use super::super::engine::crash::CrashDisk;
    use super::*;

    #[test]
    fn figures_are_there_while_a_flush_is_stuck() {
        let devices = DeviceSet::of_crash_disks(&[CrashDisk::new(16 << 20)]);
        let handle = devices.flush_handles().remove(0);
        let stuck = handle.device().flush.book.lock().unwrap();
        let (told, figures) = mpsc::channel();
        let asked = handle.clone();
        let asking = std::thread::spawn(move || told.send(asked.stats()).expect("it is heard"));
        let answer = figures.recv_timeout(Duration::from_secs(10));
        drop(stuck);
        asking.join().unwrap();
        assert_eq!(answer, Ok(FlushStats::default()));
    }
}
