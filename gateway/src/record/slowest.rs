//! The slowest requests of the last minutes.
//!
//! Owns: the slowest of each of the last 15 minutes. Kept by minute, because who was the slowest is
//! in the way of others only as long as it counts.
//!
//! A request that is not among the slowest of this minute costs a comparison. One that is on its
//! lane is kept in the lane's own list, from where it is collected once a second.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::remembered::remembered;
use super::{Record, Sink};
use crate::admin::state::RequestState;
use crate::limits;
use crate::trace::context::Sampling;

/// See the module.
#[derive(Debug)]
pub struct Slowest {
    /// What a request of this minute has to take longer than.
    floor_ns: AtomicU64,
    lanes: Box<[Mutex<Slow>]>,
    /// The newest last; requests are being collected into it.
    minutes: Mutex<VecDeque<(Instant, Slow)>>,
    traces: Option<Sampling>,
}

/// The slowest of many, in no order.
#[derive(Debug, Default)]
struct Slow(Vec<(Duration, RequestState)>);

impl Slow {
    /// Whether a request of that length would be among them.
    fn wants(&self, took: Duration) -> bool {
        self.0.len() < limits::SLOW_REQUESTS_MAX || self.least().is_some_and(|least| took > least)
    }

    fn add(&mut self, took: Duration, request: RequestState) {
        if self.0.len() < limits::SLOW_REQUESTS_MAX {
            self.0.push((took, request));
        } else if let Some(least) = self.0.iter_mut().min_by_key(|(took, _)| *took)
            && least.0 < took
        {
            *least = (took, request);
        }
    }

    fn least(&self) -> Option<Duration> {
        self.0.iter().map(|(took, _)| *took).min()
    }

    /// What a request has to take longer than to be one of them.
    fn floor(&self) -> Duration {
        let full = self.0.len() >= limits::SLOW_REQUESTS_MAX;
        self.least().filter(|_| full).unwrap_or_default()
    }
}

impl Slowest {
    /// For so many lanes; `traces` says which requests are traced.
    pub fn new(lanes: usize, traces: Option<Sampling>) -> Slowest {
        Slowest {
            floor_ns: AtomicU64::new(0),
            lanes: (0..lanes).map(|_| Mutex::default()).collect(),
            minutes: Mutex::new(VecDeque::from([(Instant::now(), Slow::default())])),
            traces,
        }
    }

    /// Collects what lanes have kept. Called once a second, so that lanes' lists stay short and
    /// their floor is right.
    pub fn collect(&self, now: Instant) {
        let mut minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, minute)) = minutes.back_mut() {
            for lane in &self.lanes {
                let kept =
                    std::mem::take(&mut *lane.lock().unwrap_or_else(PoisonError::into_inner));
                kept.0.into_iter().for_each(|(took, request)| minute.add(took, request));
            }
        }
        let minute = Duration::from_secs(60);
        if minutes.back().is_none_or(|(began, _)| now.duration_since(*began) >= minute) {
            minutes.push_back((now, Slow::default()));
        }
        let oldest = minute * limits::SLOW_REQUESTS_MINUTES as u32;
        // A minute's last request is as young as the next minute's first.
        while minutes.get(1).is_some_and(|(began, _)| now.duration_since(*began) >= oldest) {
            minutes.pop_front();
        }
        let floor = minutes.back().map(|(_, minute)| minute.floor()).unwrap_or_default();
        self.floor_ns.store(nanoseconds(floor), Ordering::Relaxed);
    }

    /// The slowest of the last minutes, slowest first.
    pub fn slowest(&self) -> Vec<RequestState> {
        self.collect(Instant::now());
        let minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = minutes.iter().flat_map(|(_, minute)| &minute.0).collect();
        all.sort_by_key(|(took, _)| std::cmp::Reverse(*took));
        all.into_iter()
            .take(limits::SLOW_REQUESTS_MAX)
            .map(|(_, request)| request.clone())
            .collect()
    }
}

impl Sink for Slowest {
    fn ended(&self, record: &Record<'_>) {
        if nanoseconds(record.took) <= self.floor_ns.load(Ordering::Relaxed) {
            return;
        }
        let Some(lane) = self.lanes.get(record.account.lane) else { return };
        let mut slow = lane.lock().unwrap_or_else(PoisonError::into_inner);
        if slow.wants(record.took) {
            slow.add(record.took, remembered(record, self.traces.as_ref()));
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample::{account, ended};

    fn microseconds(slowest: &Slowest) -> Vec<u64> {
        let list = slowest.slowest();
        list.iter().map(|request| (request.seconds * 1e6).round() as u64).collect()
    }

    #[test]
    fn the_slowest_of_all_lanes_are_kept_in_order() {
        let slowest = Slowest::new(2, None);
        for took in 1..=500 {
            ended(&slowest, &account((took % 2) as usize, "/b/k"), 200, took);
            if took % 100 == 0 {
                slowest.collect(Instant::now());
            }
        }
        let expected: Vec<_> = (437..=500).rev().collect();
        assert_eq!(microseconds(&slowest), expected);
        assert_eq!(slowest.floor_ns.load(Ordering::Relaxed), 437_000);
        ended(&slowest, &account(0, "/b/k"), 200, 437);
        assert!(slowest.lanes[0].lock().unwrap().0.is_empty(), "it is not among them");
    }

    #[test]
    fn a_minute_that_is_over_is_in_nobodys_way() {
        let slowest = Slowest::new(1, None);
        let start = Instant::now();
        let minute = |number: u64| start + Duration::from_secs(60 * number + 1);
        for _ in 0..100 {
            ended(&slowest, &account(0, "/b/k"), 200, 9000);
        }
        slowest.collect(minute(1));
        assert_eq!(slowest.floor_ns.load(Ordering::Relaxed), 0);
        for number in 1..=limits::SLOW_REQUESTS_MINUTES as u64 + 1 {
            ended(&slowest, &account(0, "/b/k"), 200, number);
            slowest.collect(minute(number + 1));
        }
        let left = slowest.minutes.lock().unwrap();
        let kept: Vec<_> = left.iter().flat_map(|(_, minute)| &minute.0).collect();
        assert!(kept.iter().all(|(took, _)| *took < Duration::from_millis(9)), "15 minutes ago");
        assert_eq!(kept.len(), limits::SLOW_REQUESTS_MINUTES);
    }
}
