//! Owns what is measured: per kind of operation counts, bytes and histograms; failures by kind.
//!
//! Each thread records into its own and they are merged at the end, so recording takes no lock.
//! *Limits*: `LATENCY_MAX`, `ERROR_KINDS_MAX`, `ERROR_EXAMPLE_BYTES_MAX`.

use std::collections::BTreeMap;
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::failure::Failure;
use crate::limits;
use crate::operation::Done;
use crate::rdma::Tally;
use crate::scenario::Kind;
use crate::verify::Damage;

/// What one thread, or the whole run, measured.
pub(crate) struct Record {
    kinds: [Option<Box<KindRecord>>; Kind::ALL.len()],
    failures: BTreeMap<String, FailureCount>,
    pub(crate) damage: Damage,
    pub(crate) connections_opened: u64,
    /// Open loop: operations that left over [`limits::LATE_AFTER`] after their time.
    pub(crate) sent_late: u64,
    /// Open loop: operations that were due and were never sent.
    pub(crate) never_sent: u64,
    /// Only when payloads go by RDMA.
    pub(crate) rdma: Option<Tally>,
}

/// What was measured of one kind of operation. Times are in nanoseconds.
pub(crate) struct KindRecord {
    /// Operations that succeeded.
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    pub(crate) failed: u64,
    /// From the start meant to the last byte of the answer.
    pub(crate) latency: Histogram<u64>,
    /// From the start meant to the first byte of the answer.
    pub(crate) first_byte: Histogram<u64>,
    /// From sending to the last byte: what an open loop's latency would be without its waiting.
    pub(crate) service: Histogram<u64>,
}

/// Failures of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailureCount {
    pub(crate) count: u64,
    /// The first one, in words.
    pub(crate) example: String,
}

/// The moments of one operation.
#[derive(Clone, Copy)]
pub(crate) struct Moments {
    /// When it was meant to start.
    pub(crate) meant: Instant,
    /// When it did.
    pub(crate) sent: Instant,
    /// When it was complete.
    pub(crate) finished: Instant,
}

impl Record {
    pub(crate) fn new() -> Record {
        Record {
            kinds: [const { None }; Kind::ALL.len()],
            failures: BTreeMap::new(),
            damage: Damage::default(),
            connections_opened: 0,
            sent_late: 0,
            never_sent: 0,
            rdma: None,
        }
    }

    /// Notes a success.
    pub(crate) fn success(&mut self, kind: Kind, moments: Moments, done: &Done) {
        let record = self.kind_mut(kind);
        record.requests += 1;
        record.bytes += done.bytes;
        let since =
            |from: Instant, to: Instant| to.saturating_duration_since(from).as_nanos() as u64;
        record.latency.saturating_record(since(moments.meant, moments.finished));
        record.first_byte.saturating_record(since(moments.meant, done.first_byte));
        record.service.saturating_record(since(moments.sent, moments.finished));
        self.note_late(moments);
    }

    /// Notes a failure of an operation on `key`.
    pub(crate) fn failure(&mut self, kind: Kind, moments: Moments, key: &str, failure: &Failure) {
        self.kind_mut(kind).failed += 1;
        if matches!(kind, Kind::Get | Kind::Head) && failure.is_damage() {
            self.damage.note(key, failure);
        }
        let mut example = format!("{} {key}: {failure}", kind.name());
        example.truncate(example.floor_char_boundary(limits::ERROR_EXAMPLE_BYTES_MAX));
        self.count_failures(failure.kind(), FailureCount { count: 1, example });
        self.note_late(moments);
    }

    fn note_late(&mut self, moments: Moments) {
        let late = moments.sent.saturating_duration_since(moments.meant);
        self.sent_late += u64::from(late > limits::LATE_AFTER);
    }

    /// Adds another thread's record.
    pub(crate) fn merge(&mut self, other: Record) {
        for (kind, theirs) in Kind::ALL.into_iter().zip(other.kinds) {
            if let Some(theirs) = theirs {
                self.kind_mut(kind).merge(&theirs);
            }
        }
        for (kind, failures) in other.failures {
            self.count_failures(kind, failures);
        }
        self.damage.merge(other.damage);
        self.connections_opened += other.connections_opened;
        self.sent_late += other.sent_late;
        self.never_sent += other.never_sent;
        if let Some(theirs) = other.rdma {
            self.rdma.get_or_insert_default().merge(theirs);
        }
    }

    /// The kinds that occurred.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (Kind, &KindRecord)> {
        let records = Kind::ALL.into_iter().zip(&self.kinds);
        records.filter_map(|(kind, record)| Some((kind, record.as_deref()?)))
    }

    /// Failures by the name of their kind.
    pub(crate) fn failures(&self) -> &BTreeMap<String, FailureCount> {
        &self.failures
    }

    fn kind_mut(&mut self, kind: Kind) -> &mut KindRecord {
        self.kinds[kind.index()].get_or_insert_with(|| Box::new(KindRecord::new()))
    }

    fn count_failures(&mut self, kind: String, failures: FailureCount) {
        let full = self.failures.len() >= limits::ERROR_KINDS_MAX;
        let kind =
            if full && !self.failures.contains_key(&kind) { "other".to_owned() } else { kind };
        self.failures
            .entry(kind)
            .and_modify(|known| known.count += failures.count)
            .or_insert(failures);
    }
}

impl KindRecord {
    fn new() -> KindRecord {
        KindRecord {
            requests: 0,
            bytes: 0,
            failed: 0,
            latency: histogram(),
            first_byte: histogram(),
            service: histogram(),
        }
    }

    fn merge(&mut self, other: &KindRecord) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.failed += other.failed;
        for (mine, theirs) in [
            (&mut self.latency, &other.latency),
            (&mut self.first_byte, &other.first_byte),
            (&mut self.service, &other.service),
        ] {
            mine.add(theirs).expect("histograms of the same bounds");
        }
    }
}

/// From 1 ns to the longest latency with three significant digits: about 350 KiB, of which the few
/// cache lines around the usual latency are touched.
fn histogram() -> Histogram<u64> {
    let most = limits::LATENCY_MAX.as_nanos() as u64;
    Histogram::new_with_bounds(1, most, 3).expect("bounds that a histogram takes")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn moments(start: Instant, sent: u64, finished: u64) -> Moments {
        Moments {
            meant: start,
            sent: start + Duration::from_micros(sent),
            finished: start + Duration::from_micros(finished),
        }
    }

    #[test]
    fn latency_counts_from_the_start_meant() {
        let mut record = Record::new();
        let start = Instant::now();
        let done = Done { bytes: 4096, first_byte: start + Duration::from_micros(5900) };
        record.success(Kind::Get, moments(start, 5000, 6000), &done);
        let (kind, get) = record.kinds().next().expect("one kind");
        assert_eq!((kind, get.requests, get.bytes, record.sent_late), (Kind::Get, 1, 4096, 1));
        let near = |histogram: &Histogram<u64>, us: u64| {
            let value = histogram.max();
            assert!(value.abs_diff(us * 1000) <= us, "{value} ns for {us} µs");
        };
        near(&get.latency, 6000);
        near(&get.first_byte, 5900);
        near(&get.service, 1000);
    }

    #[test]
    fn failures_are_counted_by_kind_and_merged() {
        let start = Instant::now();
        let mut one = Record::new();
        let mut two = Record::new();
        let slow = Failure::Status { status: 503, code: "SlowDown".to_owned() };
        one.failure(Kind::Get, moments(start, 0, 1), "a", &slow);
        two.failure(Kind::Put, moments(start, 0, 1), "b", &slow);
        two.failure(Kind::Get, moments(start, 0, 1), "c", &Failure::Differs { offset: 9 });
        one.merge(two);
        let slow = &one.failures()["503 SlowDown"];
        assert_eq!((slow.count, slow.example.as_str()), (2, "get a: answered 503 SlowDown"));
        assert_eq!(one.failures()["content differs"].count, 1);
        assert_eq!(one.damage.first, ["c: content differs from the derived one at offset 9"]);
        assert_eq!(one.kinds().map(|(_, record)| record.failed).sum::<u64>(), 3);
    }

    #[test]
    fn kinds_of_failures_are_bounded() {
        let mut record = Record::new();
        for number in 0..1000 {
            let failure = Failure::Status { status: 500, code: format!("Code{number}") };
            record.failure(Kind::Get, moments(Instant::now(), 0, 1), "k", &failure);
        }
        assert!(record.failures().len() <= limits::ERROR_KINDS_MAX + 1);
        assert_eq!(record.failures().values().map(|failure| failure.count).sum::<u64>(), 1000);
    }
}
