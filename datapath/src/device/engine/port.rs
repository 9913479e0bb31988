//! *Owns:* one lane's access to one device: the bound of what is in flight, the counters, and what
//! an operation holds while the device works on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::super::error::Operation;
use super::super::open::DeviceKind;
use super::super::set::Device;
use super::EngineKind;
use crate::arena::Frame;
use crate::latency::{LatencyCells, LatencyStats};
use crate::limits;

/// A device as one lane has it.
#[derive(Debug)]
pub(super) struct Port {
    device: Arc<Device>,
    /// Places in the queue; given in order of arrival.
    places: Semaphore,
    counters: Counters,
}

/// Written by the lane and by completions, which may come from another thread; never contended.
#[derive(Debug, Default)]
struct Counters {
    reads: AtomicU64,
    read_bytes: AtomicU64,
    read_errors: AtomicU64,
    read_times: LatencyCells,
    checksum_failures: AtomicU64,
    writes: AtomicU64,
    write_bytes: AtomicU64,
    write_errors: AtomicU64,
    write_times: LatencyCells,
    waits: AtomicU64,
}

/// Figures of one lane at one device since the lane began, by value. An operation whose future was
/// dropped counts in operations and bytes, not in errors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Reads given to the device.
    pub reads: u64,
    /// Bytes that the device read.
    pub read_bytes: u64,
    /// Reads that failed or were refused.
    pub read_errors: u64,
    /// Times of reads from submission to completion, failed ones included. A read that the device
    /// did in parts counts once for each.
    pub read_times: LatencyStats,
    /// Blocks that were read and had a wrong checksum, each attempt counted.
    pub checksum_failures: u64,
    /// Writes given to the device.
    pub writes: u64,
    /// Bytes that the device wrote.
    pub write_bytes: u64,
    /// Writes that failed or were refused.
    pub write_errors: u64,
    /// Times of writes, as of reads.
    pub write_times: LatencyStats,
    /// Operations that had to wait for a place in the queue.
    pub waits: u64,
    /// Operations in flight now.
    pub in_flight: u64,
    /// Operations that may be in flight.
    pub queue_depth: u64,
}

impl EngineStats {
    /// Of these and of another lane.
    pub(crate) fn plus(&self, other: &EngineStats) -> EngineStats {
        EngineStats {
            reads: self.reads + other.reads,
            read_bytes: self.read_bytes + other.read_bytes,
            read_errors: self.read_errors + other.read_errors,
            read_times: self.read_times.plus(&other.read_times),
            checksum_failures: self.checksum_failures + other.checksum_failures,
            writes: self.writes + other.writes,
            write_bytes: self.write_bytes + other.write_bytes,
            write_errors: self.write_errors + other.write_errors,
            write_times: self.write_times.plus(&other.write_times),
            waits: self.waits + other.waits,
            in_flight: self.in_flight + other.in_flight,
            queue_depth: self.queue_depth + other.queue_depth,
        }
    }
}

impl Port {
    pub(super) fn new(device: &Arc<Device>, engine: EngineKind) -> Arc<Port> {
        assert_eq!(
            engine == EngineKind::Crash,
            device.kind() == DeviceKind::Crash,
            "simulated devices have their own engine"
        );
        Arc::new(Port {
            device: Arc::clone(device),
            places: Semaphore::new(limits::DEVICE_QUEUE_DEPTH),
            counters: Counters::default(),
        })
    }

    /// Whether a transfer is whole blocks, inside the data area, and fits its frame.
    pub(super) fn admits(&self, offset: u64, length: usize, capacity: usize) -> bool {
        let area = self.device.data_area();
        let end = offset.checked_add(length as u64);
        offset.is_multiple_of(limits::DEVICE_BLOCK_BYTES as u64)
            && length.is_multiple_of(limits::DEVICE_BLOCK_BYTES)
            && length > 0
            && length <= capacity
            && area.start <= offset
            && end.is_some_and(|end| end <= area.end)
    }

    /// Takes a place in the queue, behind those who wait already. Says how long that took.
    pub(super) async fn enter(port: &Arc<Port>) -> (Slot, Duration) {
        let (permit, waited) = match port.places.try_acquire() {
            Ok(permit) => (permit, Duration::ZERO),
            Err(_) => {
                port.counters.waits.fetch_add(1, Ordering::Relaxed);
                let began = Instant::now();
                (port.places.acquire().await.expect("never closed"), began.elapsed())
            }
        };
        permit.forget();
        (Slot { port: Arc::clone(port) }, waited)
    }

    pub(super) async fn quiesce(&self) {
        let all = limits::DEVICE_QUEUE_DEPTH as u32;
        drop(self.places.acquire_many(all).await.expect("never closed"));
    }

    pub(super) fn in_flight(&self) -> usize {
        limits::DEVICE_QUEUE_DEPTH - self.places.available_permits()
    }

    pub(super) fn began(&self, operation: Operation) {
        let counter = match operation {
            Operation::Read => &self.counters.reads,
            Operation::Write | Operation::Flush => &self.counters.writes,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, operation: Operation) {
        let counter = match operation {
            Operation::Read => &self.counters.read_errors,
            Operation::Write | Operation::Flush => &self.counters.write_errors,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn mismatched(&self) {
        self.counters.checksum_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> EngineStats {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { reads, read_bytes, read_errors, read_times, .. } = &self.counters;
        let Counters { writes, write_bytes, write_errors, write_times, .. } = &self.counters;
        let Counters { checksum_failures, waits, .. } = &self.counters;
        EngineStats {
            reads: value(reads),
            read_bytes: value(read_bytes),
            read_errors: value(read_errors),
            read_times: read_times.stats(),
            checksum_failures: value(checksum_failures),
            writes: value(writes),
            write_bytes: value(write_bytes),
            write_errors: value(write_errors),
            write_times: write_times.stats(),
            waits: value(waits),
            in_flight: self.in_flight() as u64,
            queue_depth: limits::DEVICE_QUEUE_DEPTH as u64,
        }
    }
}

/// A place in a device's queue, free again when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    port: Arc<Port>,
}

impl Slot {
    pub(super) fn port(&self) -> &Port {
        &self.port
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.port.places.add_permits(1);
    }
}

/// What an operation holds while the device works on it: the memory, the caller's guard, the place
/// in the queue, and by that the open device. Nobody else has any of them.
#[derive(Debug)]
pub(super) struct Flight<G> {
    frame: Frame,
    guard: G,
    slot: Slot,
    /// When the part that is under way was submitted.
    submitted: Instant,
    /// What the parts before took.
    took: Duration,
}

// Nothing in it is pinned: it is moved about while its frame stays where it is.
impl<G> Unpin for Flight<G> {}

impl<G> Flight<G> {
    pub(super) fn new(frame: Frame, guard: G, slot: Slot) -> Flight<G> {
        Flight { frame, guard, slot, submitted: Instant::now(), took: Duration::ZERO }
    }

    pub(super) fn device(&self) -> &Arc<Device> {
        &self.slot.port.device
    }

    pub(super) fn frame(&mut self) -> &mut Frame {
        &mut self.frame
    }

    /// For the one that sees the completion, before anybody else learns of it: counts, and marks
    /// the device as written to, also after a failed write, which may have written a part.
    pub(super) fn landed(&mut self, operation: Operation, result: Result<usize, i32>) {
        let now = Instant::now();
        let took = now - self.submitted;
        self.took += took;
        self.submitted = now; // what is left of the transfer is submitted at once
        let counters = &self.slot.port.counters;
        match operation {
            Operation::Read => counters.read_times.add(took),
            Operation::Write | Operation::Flush => counters.write_times.add(took),
        }
        let bytes = result.unwrap_or(0) as u64;
        match operation {
            Operation::Read => counters.read_bytes.fetch_add(bytes, Ordering::Relaxed),
            Operation::Write | Operation::Flush => {
                self.device().flush.write_completed();
                counters.write_bytes.fetch_add(bytes, Ordering::Relaxed)
            }
        };
    }

    /// How long the device took for what has landed.
    pub(super) fn took(&self) -> Duration {
        self.took
    }

    /// Over: the place is free, the rest goes back to the caller.
    pub(super) fn end(self, operation: Operation, failed: bool) -> (Frame, G) {
        if failed {
            self.slot.port.refused(operation);
        }
        (self.frame, self.guard)
    }
}
