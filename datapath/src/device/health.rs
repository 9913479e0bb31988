//! *Owns:* judging whether a device does its work, from its counters as they are looked at once
//! every [`limits::HEALTH_LOOK`].
//!
//! *States:* ok ⇄ suspect → failed. A device is
//!
//! - *failed* once a flush failed: nothing is written any more until a restart (`flush.rs`);
//! - *suspect* for [`limits::SUSPECT_FOR`] after the last sign of trouble: an operation that failed,
//!   a block with a wrong checksum, operations that do not come back
//!   ([`limits::STALLED_LOOKS`]), or slowness;
//! - *slow* when slow reads, or slow writes, were seen at [`limits::SLOW_LOOKS`] of the last
//!   [`limits::HEALTH_RECENT_LOOKS`] looks, and from the first of those on are more than one in a
//!   hundred. An operation is slow that took longer than [`limits::SLOW_FACTOR`] times the device's
//!   own usual median, longer than [`limits::SLOW_FLOOR`], and longer than everything that was in flight would have taken one after
//!   the other. The last because a device that has more to do than it can is not sick: 1,000 reads of
//!   100 µs may well wait 100 ms for each other.
//!
//! What is usual is learnt from the device itself and halved every [`limits::USUAL_LOOKS`] looks, so
//! that a load of another kind is usual after a while. A device that grows slow also does less, and
//! so does not make its slowness usual.
//!
//! *Not here:* flush times, which depend on what was written before; who looks
//! (`store/watch.rs`).

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use super::error::Operation;
use crate::latency::LatencyStats;
use crate::limits;

/// Whether a device does its work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum DeviceState {
    /// It does.
    #[default]
    Ok,
    /// There was trouble lately.
    Suspect,
    /// A flush failed: nothing is written any more until a restart.
    Failed,
}

impl DeviceState {
    /// All of them, from good to bad.
    pub const ALL: [DeviceState; 3] = [DeviceState::Ok, DeviceState::Suspect, DeviceState::Failed];

    /// Its name in messages and metrics.
    pub fn name(self) -> &'static str {
        match self {
            DeviceState::Ok => "ok",
            DeviceState::Suspect => "suspect",
            DeviceState::Failed => "failed",
        }
    }
}

/// Why a device is not ok.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Operations that failed since the look before.
    Faults {
        /// How many.
        count: u64,
    },
    /// Operations are in flight, and none has come back for so long.
    Stalled {
        /// How long, in whole looks.
        time: Duration,
    },
    /// Many of one kind take much longer than they use to.
    Slow {
        /// Which kind.
        operation: Operation,
        /// How many took longer than `limit`.
        count: u64,
        /// Of how many.
        of: u64,
        /// What would have been all right.
        limit: Duration,
        /// What half of them usually do not exceed.
        usual: Duration,
    },
    /// A flush failed.
    FlushFailed,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Faults { count } => {
                write!(f, "{count} operation(s) failed or gave a wrong checksum")
            }
            Trouble::Stalled { time } => {
                write!(f, "operations are in flight and none has come back for {time:?}")
            }
            Trouble::Slow { operation, count, of, limit, usual } => {
                let kind = operation.name();
                write!(
                    f,
                    "{count} of {of} {kind}s took over {limit:?}; half usually take {usual:?}"
                )
            }
            Trouble::FlushFailed => f.write_str(
                "a flush failed, and what was written since the last one may be lost: look after \
                 the device, then restart",
            ),
        }
    }
}

/// A device's counters at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sight {
    pub(crate) reads: LatencyStats,
    pub(crate) writes: LatencyStats,
    /// Reads and writes that failed, and blocks with a wrong checksum.
    pub(crate) faults: u64,
    pub(crate) in_flight: u64,
}

/// What was seen of one device so far.
#[derive(Debug, Default)]
pub(crate) struct Health {
    last: Sight,
    reads: Pace,
    writes: Pace,
    /// Looks in a row at which operations were in flight and none had come back.
    idle_looks: u32,
    trouble: Option<(Instant, Trouble)>,
}

impl Health {
    /// Takes the counters as they are `now`, one [`limits::HEALTH_LOOK`] after the last time.
    /// Answers the trouble that makes the device suspect, if any does.
    pub(crate) fn look(&mut self, now: Instant, sight: Sight) -> Option<Trouble> {
        let last = std::mem::replace(&mut self.last, sight);
        let (reads, writes) = (sight.reads.since(&last.reads), sight.writes.since(&last.writes));
        let came_back = reads.count() + writes.count() > 0;
        let hangs = last.in_flight > 0 && sight.in_flight > 0 && !came_back;
        self.idle_looks = if hangs { self.idle_looks + 1 } else { 0 };
        let faults = sight.faults.saturating_sub(last.faults);
        let found = [
            (faults > 0).then_some(Trouble::Faults { count: faults }),
            (self.idle_looks >= limits::STALLED_LOOKS)
                .then(|| Trouble::Stalled { time: limits::HEALTH_LOOK * self.idle_looks }),
            self.reads.add(Operation::Read, reads, sight.in_flight),
            self.writes.add(Operation::Write, writes, sight.in_flight),
        ];
        if let Some(trouble) = found.into_iter().flatten().next() {
            self.trouble = Some((now, trouble));
        }
        let fresh =
            |(at, _): &(Instant, Trouble)| now.saturating_duration_since(*at) < limits::SUSPECT_FOR;
        self.trouble = self.trouble.filter(fresh);
        self.trouble.map(|(_, trouble)| trouble)
    }
}

/// What came of one kind of operation at one look, and how many were in flight meanwhile.
#[derive(Debug)]
struct Look {
    came: LatencyStats,
    in_flight: u32,
}

/// How fast one kind of operation is.
#[derive(Debug, Default)]
struct Pace {
    /// What came at each of the last looks, the newest last.
    recent: VecDeque<Look>,
    /// What came before, the older the less of it.
    usual: LatencyStats,
    looks: u32,
}

impl Pace {
    /// Adds what came at one look, and judges it with those before.
    fn add(&mut self, operation: Operation, came: LatencyStats, in_flight: u64) -> Option<Trouble> {
        if self.recent.len() == limits::HEALTH_RECENT_LOOKS
            && let Some(oldest) = self.recent.pop_front()
        {
            self.usual = self.usual.plus(&oldest.came);
        }
        // Those in flight now, or on the average since the last look (Little's law).
        let average = u128::from(came.sum_ns) / limits::HEALTH_LOOK.as_nanos();
        let in_flight = u32::try_from(average.max(in_flight.into())).unwrap_or(u32::MAX);
        self.recent.push_back(Look { came, in_flight });
        self.looks += 1;
        if self.looks == limits::USUAL_LOOKS {
            self.looks = 0;
            self.usual.counts.iter_mut().for_each(|count| *count /= 2);
        }
        if self.usual.count() < limits::USUAL_LEAST {
            return None; // too little is known of it
        }
        let usual = self.usual.median()?;
        let in_flight = self.recent.iter().map(|look| look.in_flight).max().unwrap_or(0);
        let limit = (usual * in_flight.max(limits::SLOW_FACTOR)).max(limits::SLOW_FLOOR);
        let (mut count, mut of, mut looks) = (0, 0, 0);
        for look in self.recent.iter().rev() {
            let slow = look.came.longer_than(limit);
            count += slow;
            of += look.came.count();
            looks += usize::from(slow > 0);
            if looks >= limits::SLOW_LOOKS && count * 100 > of {
                return Some(Trouble::Slow { operation, count, of, limit, usual });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::LatencyCells;

    /// A device with a clock that goes on one look at a time.
    struct Bench {
        health: Health,
        now: Instant,
        reads: LatencyCells,
        faults: u64,
        in_flight: u64,
    }

    impl Bench {
        fn new() -> Bench {
            let (health, reads) = (Health::default(), LatencyCells::default());
            Bench { health, now: Instant::now(), reads, faults: 0, in_flight: 0 }
        }

        /// A look after `count` reads of `took`.
        fn look(&mut self, count: u64, took: Duration) -> Option<Trouble> {
            (0..count).for_each(|_| self.reads.add(took));
            self.now += limits::HEALTH_LOOK;
            let (reads, writes) = (self.reads.stats(), LatencyStats::default());
            let Bench { faults, in_flight, .. } = *self;
            self.health.look(self.now, Sight { reads, writes, faults, in_flight })
        }

        fn looks(&mut self, looks: u32, count: u64, took: Duration) -> Option<Trouble> {
            (0..looks).map(|_| self.look(count, took)).last().flatten()
        }
    }

    const QUICK: Duration = Duration::from_micros(90);
    const SLOW: Duration = Duration::from_millis(300);

    #[test]
    fn a_device_that_grows_slow_is_suspect_within_looks_and_well_again_later() {
        let mut bench = Bench::new();
        assert_eq!(bench.looks(60, 1000, QUICK), None);
        // The load waits for the device, so that it does less.
        let mut looks = 0;
        while bench.look(4, SLOW).is_none() {
            looks += 1;
            assert!(looks <= 20, "it was never found");
        }
        assert_eq!(looks, 2, "found at the third");
        assert!(matches!(
            bench.look(4, SLOW),
            Some(Trouble::Slow { operation: Operation::Read, usual, .. })
                if usual == Duration::from_micros(100)
        ));
        assert!(bench.looks(300, 4, SLOW).is_some(), "slowness does not become usual by lasting");
        let mut looks = 0;
        while bench.look(1000, QUICK).is_some() {
            looks += 1;
            assert!(looks <= 100, "it stays suspect");
        }
        assert!(looks >= 60, "{looks} looks");
    }

    #[test]
    fn a_few_slow_operations_and_a_slow_kind_of_device_are_no_trouble() {
        let mut bench = Bench::new();
        bench.looks(60, 1000, QUICK);
        assert_eq!(bench.looks(2, 500, SLOW), None, "a pause of two seconds");
        assert_eq!(bench.looks(60, 1000, QUICK), None);
        assert_eq!(bench.looks(20, 1000, Duration::from_millis(15)), None, "under the floor");
        let mut disk = Bench::new();
        assert_eq!(disk.looks(100, 100, Duration::from_millis(40)), None, "it is so by nature");
        let mut unknown = Bench::new();
        assert_eq!(unknown.looks(20, 4, SLOW), None, "nothing is known of it");
    }

    #[test]
    fn a_device_with_too_much_to_do_is_not_slow() {
        let (mut busy, mut sick) = (Bench::new(), Bench::new());
        busy.looks(60, 1000, QUICK);
        sick.looks(60, 1000, QUICK);
        let waited = Duration::from_millis(80);
        busy.in_flight = 1000; // of 100 µs each
        assert_eq!(busy.looks(20, 12_000, waited), None);
        sick.in_flight = 16;
        assert!(sick.looks(20, 200, waited).is_some());
    }

    #[test]
    fn another_kind_of_load_becomes_usual() {
        let mut bench = Bench::new();
        bench.looks(60, 1000, QUICK);
        let slower = Duration::from_millis(60);
        assert!(bench.looks(20, 1000, slower).is_some());
        assert_eq!(bench.looks(200, 1000, slower), None);
    }

    #[test]
    fn faults_and_hanging_operations_make_it_suspect_for_a_while() {
        let mut bench = Bench::new();
        bench.look(1, QUICK);
        bench.faults = 2;
        assert_eq!(bench.look(1, QUICK), Some(Trouble::Faults { count: 2 }));
        assert!(bench.looks(59, 1, QUICK).is_some());
        assert_eq!(bench.look(1, QUICK), None);
        bench.in_flight = 1;
        assert_eq!(bench.looks(limits::STALLED_LOOKS, 0, QUICK), None);
        let time = limits::HEALTH_LOOK * limits::STALLED_LOOKS;
        assert_eq!(bench.look(0, QUICK), Some(Trouble::Stalled { time }));
        bench.in_flight = 0;
        assert_eq!(bench.looks(60, 0, QUICK), None, "idle is no trouble");
    }
}
