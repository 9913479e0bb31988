//! What each lane counts in.
//!
//! A lane is the only writer of its cells, so counting is a load and a store on a line that no
//! other lane writes, about 1 ns; they are added up when somebody asks.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::codes;
use super::figure::Histogram;
use super::labels::{
    Agreed, Copying, Delivery, Group, Handshake, Operation, Protocol, Refusal, Source, Stage,
    StatusClass, TlsMode, TlsVersion,
};

/// Upper bounds of the duration histogram, in microseconds: from a hot 4 KiB read (tens of
/// microseconds) over a flush (milliseconds) to a large transfer.
pub const DURATION_BOUNDS_US: [u64; 16] = [
    50,
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    1_000_000,
    5_000_000,
    30_000_000,
    300_000_000,
];

/// One count with a single writer.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Adds. Only the owning lane may call this: it is a load and a store, not an atomic addition.
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// The present value, from any thread.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Observed times with a single writer.
#[derive(Debug, Default)]
pub struct TimeCells {
    counts: [Cell; DURATION_BOUNDS_US.len() + 1],
    sum_ns: Cell,
}

impl TimeCells {
    /// Adds one observation. As [`Cell::add`], for the owning lane alone.
    pub fn observe(&self, took: Duration) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(took_ns)].add(1);
        self.sum_ns.add(took_ns);
    }

    /// What has been observed so far, in seconds.
    pub fn histogram(&self) -> Histogram {
        Histogram {
            bounds: Cow::Borrowed(&DURATION_BOUNDS),
            counts: self.counts.iter().map(Cell::value).collect(),
            sum: self.sum_ns.value() as f64 / 1e9,
        }
    }
}

/// Which bucket of [`DURATION_BOUNDS_US`] that many nanoseconds are counted in.
pub fn bucket(took_ns: u64) -> usize {
    DURATION_BOUNDS_US.partition_point(|bound| bound * 1000 < took_ns)
}

/// [`DURATION_BOUNDS_US`] in seconds.
static DURATION_BOUNDS: [f64; DURATION_BOUNDS_US.len()] = {
    let mut bounds = [0.0; DURATION_BOUNDS_US.len()];
    let mut index = 0;
    while index < bounds.len() {
        bounds[index] = DURATION_BOUNDS_US[index] as f64 / 1e6;
        index += 1;
    }
    bounds
};

/// What one lane counts. Aligned so that two lanes never share a cache line (128 bytes: pairs of
/// lines are fetched together).
#[derive(Debug)]
#[repr(align(128))]
pub struct LaneCells {
    /// Requests begun, by operation.
    started: [Cell; Operation::COUNT],
    requests: [[Cell; StatusClass::COUNT]; Operation::COUNT],
    durations: [[TimeCells; StatusClass::COUNT]; Operation::COUNT],
    first_bytes: [TimeCells; Operation::COUNT],
    stages: [[TimeCells; Group::COUNT]; Stage::COUNT],
    errors: [Cell; codes::COUNT],
    /// Bytes of request bodies, by operation.
    pub received: [Cell; Operation::COUNT],
    /// Bytes of response bodies, by operation.
    pub sent: [Cell; Operation::COUNT],
    /// Bytes of responses that left by TCP, by where they come from and who encrypted them; what left
    /// by RDMA, [`crate::rdma::receipts::Receipts`] counts, since it outlives its request.
    pub responses: [[Cell; Source::COUNT]; Delivery::BY_TCP.len()],
    /// Bytes copied, by where; likewise.
    pub copied: [Cell; Copying::COUNT],
    /// Responses that ended early.
    pub aborted: Cell,
    accepted: [Cell; Protocol::COUNT],
    opened: Cell,
    closed: Cell,
    refused: [Cell; Refusal::COUNT],
    /// TLS.
    pub tls: TlsCells,
}

/// What a lane counts of TLS.
#[derive(Debug)]
pub struct TlsCells {
    handshakes: [[Cell; Handshake::COUNT]; TlsVersion::COUNT],
    /// How long handshakes took that came to an end.
    pub took: TimeCells,
    /// Connections by what they carry.
    pub agreed: [Cell; Agreed::COUNT],
    /// Connections by who encrypts.
    pub modes: [Cell; TlsMode::COUNT],
}

impl Default for TlsCells {
    fn default() -> Self {
        TlsCells {
            handshakes: std::array::from_fn(|_| each()),
            took: TimeCells::default(),
            agreed: each(),
            modes: each(),
        }
    }
}

impl TlsCells {
    /// A handshake has ended.
    pub fn shaken(&self, version: TlsVersion, outcome: Handshake) {
        self.handshakes[version as usize][outcome as usize].add(1);
    }

    /// How often that was.
    pub fn handshakes(&self, version: TlsVersion, outcome: Handshake) -> u64 {
        self.handshakes[version as usize][outcome as usize].value()
    }
}

fn each<T: Default, const N: usize>() -> [T; N] {
    std::array::from_fn(|_| T::default())
}

impl Default for LaneCells {
    fn default() -> Self {
        LaneCells {
            started: each(),
            requests: std::array::from_fn(|_| each()),
            durations: std::array::from_fn(|_| each()),
            first_bytes: each(),
            stages: std::array::from_fn(|_| each()),
            errors: each(),
            received: each(),
            sent: each(),
            responses: std::array::from_fn(|_| each()),
            copied: each(),
            aborted: Cell::default(),
            accepted: each(),
            opened: Cell::default(),
            closed: Cell::default(),
            refused: each(),
            tls: TlsCells::default(),
        }
    }
}

impl LaneCells {
    /// A request's head is complete.
    pub fn request_started(&self, operation: Operation) {
        self.started[operation as usize].add(1);
    }

    /// A request's response has ended, in whatever way.
    pub fn request_ended(&self, operation: Operation, class: StatusClass, took: Duration) {
        self.request_left(operation, class);
        self.durations[operation as usize][class as usize].observe(took);
    }

    /// A request's response has ended: what the drain asks, how many are in flight, needs no more.
    pub fn request_left(&self, operation: Operation, class: StatusClass) {
        self.requests[operation as usize][class as usize].add(1);
    }

    /// An answer that is no error has its head.
    pub fn answered_after(&self, operation: Operation, took: Duration) {
        self.first_bytes[operation as usize].observe(took);
    }

    /// A request has come through a stage.
    pub fn stage_took(&self, stage: Stage, group: Group, took: Duration) {
        self.stages[stage as usize][group as usize].observe(took);
    }

    /// An answer was this error.
    pub fn error_answered(&self, code: &str) {
        self.errors[codes::index(code)].add(1);
    }

    /// A connection is open.
    pub fn connection_opened(&self) {
        self.opened.add(1);
    }

    /// A connection has spoken.
    pub fn connection_spoke(&self, protocol: Protocol) {
        self.accepted[protocol as usize].add(1);
    }

    /// A connection is closed.
    pub fn connection_closed(&self) {
        self.closed.add(1);
    }

    /// A limit or a fault ended something.
    pub fn refused(&self, reason: Refusal) {
        self.refused[reason as usize].add(1);
    }

    /// How often that was.
    pub fn refusals(&self, reason: Refusal) -> u64 {
        self.refused[reason as usize].value()
    }

    /// Connections that spoke the protocol.
    pub fn spoken(&self, protocol: Protocol) -> u64 {
        self.accepted[protocol as usize].value()
    }

    /// Requests answered for that operation with that class of status.
    pub fn answered(&self, operation: Operation, class: StatusClass) -> u64 {
        self.requests[operation as usize][class as usize].value()
    }

    /// Requests answered.
    pub fn answered_in_all(&self) -> u64 {
        self.requests.iter().flatten().map(Cell::value).sum()
    }

    /// Errors answered with that code's index of [`codes::ALL`].
    pub fn errors(&self, index: usize) -> u64 {
        self.errors[index].value()
    }

    /// How long requests took.
    pub fn durations(&self, operation: Operation, class: StatusClass) -> Histogram {
        self.durations[operation as usize][class as usize].histogram()
    }

    /// How long answers that are no errors took to begin.
    pub fn first_bytes(&self, operation: Operation) -> Histogram {
        self.first_bytes[operation as usize].histogram()
    }

    /// How long a stage took.
    pub fn stages(&self, stage: Stage, group: Group) -> Histogram {
        self.stages[stage as usize][group as usize].histogram()
    }

    /// Requests of that operation between head and end of response.
    pub fn in_flight_of(&self, operation: Operation) -> u64 {
        let ended: u64 = self.requests[operation as usize].iter().map(Cell::value).sum();
        self.started[operation as usize].value().saturating_sub(ended)
    }

    /// Requests between head and end of response.
    pub fn in_flight(&self) -> u64 {
        Operation::ALL.iter().map(|operation| self.in_flight_of(*operation)).sum()
    }

    /// Connections open now.
    pub fn open(&self) -> u64 {
        self.opened.value().saturating_sub(self.closed.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_on_the_bound_counts_below_it() {
        let cells = TimeCells::default();
        for us in [50, 51, u64::MAX >> 20] {
            cells.observe(Duration::from_micros(us));
        }
        let counts = cells.histogram().counts;
        assert_eq!([counts[0], counts[1], counts[16]], [1, 1, 1]);
    }
}
