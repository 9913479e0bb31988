//! Owns when operations start: at once in a closed loop, at set times in an open loop.
//!
//! An open loop sends at times that do not depend on the answers. Latency counts from the time an
//! operation was meant to start: when the server stalls, the operations that could not be sent
//! meanwhile show the stall too, instead of not existing (Tene, "How NOT to measure latency").
//!
//! *Limits*: a thread's connections. When all are busy, due operations wait, and their waiting is
//! part of their latency; those still waiting at the end are counted as never sent.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Mutex;

use crate::content::word_at;

/// How the times of an open loop are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arrivals {
    /// At equal distances.
    Uniform,
    /// As independent users would: exponential distances (a Poisson process).
    Poisson,
}

/// The starting times of one thread's share of an open loop, in nanoseconds after its start.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    arrivals: Arrivals,
    seed: u64,
    /// Mean distance between two starts, in nanoseconds.
    interval: f64,
    /// Position of the first start.
    phase: f64,
    taken: u64,
    /// Sum of the exponential distances so far.
    elapsed: f64,
}

impl Times {
    /// The share of thread `thread` of `threads` in a loop of `rate` starts a second.
    pub(crate) fn new(
        arrivals: Arrivals,
        seed: u64,
        rate: f64,
        thread: usize,
        threads: usize,
    ) -> Times {
        let whole = 1e9 / rate;
        Times {
            arrivals,
            seed: seed ^ (thread as u64).rotate_right(16),
            interval: whole * threads as f64,
            // Threads take turns, so that together they keep equal distances.
            phase: whole * thread as f64,
            taken: 0,
            elapsed: 0.0,
        }
    }

    /// The next start.
    fn next(&mut self) -> Duration {
        let number = self.taken;
        self.taken += 1;
        let nanoseconds = match self.arrivals {
            // Multiplied, not added up: no error accumulates over a long run.
            Arrivals::Uniform => self.phase + self.interval * number as f64,
            Arrivals::Poisson => {
                let uniform = ((word_at(self.seed, number) >> 11) + 1) as f64 / 2_f64.powi(53);
                self.elapsed -= uniform.ln() * self.interval;
                self.elapsed
            }
        };
        Duration::from_nanos(nanoseconds as u64)
    }
}

/// When the operations of one thread start.
pub(crate) enum Schedule {
    /// As soon as a connection is free.
    Closed,
    Open(Turnstile),
}

impl Schedule {
    /// Waits for the next start, and says when it was meant to be. `None` when that is not before
    /// `end`.
    pub(crate) async fn next(&self, end: Option<Instant>) -> io::Result<Option<Instant>> {
        match self {
            Schedule::Closed => {
                let now = Instant::now();
                Ok(end.is_none_or(|end| now < end).then_some(now))
            }
            Schedule::Open(turnstile) => turnstile.next(end).await,
        }
    }
}

/// Lets the workers of a thread through one at a time, each at its time. Whoever is first in the
/// line holds the timer; the others wait for the turn, not for a timer of their own.
pub(crate) struct Turnstile {
    turn: Mutex<Turn>,
    start: Instant,
}

struct Turn {
    times: Times,
    /// The next start; it stays until its time has come.
    upcoming: Duration,
    /// A timerfd. tokio's type for the reading end of a pipe serves any descriptor that polls and
    /// reads, and takes it without unsafe code, which `AsyncFd` does not.
    timer: Receiver,
    timer_fd: rustix::fd::OwnedFd,
}

impl Turnstile {
    /// Starts counting `times` at `start`. Made within the runtime that waits for it.
    ///
    /// tokio's own timers have a resolution of 1 ms, which would be in every latency; a timerfd has
    /// the kernel's.
    pub(crate) fn new(mut times: Times, start: Instant) -> io::Result<Turnstile> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let upcoming = times.next();
        let turn = Turn {
            times,
            upcoming,
            timer: Receiver::from_owned_fd_unchecked(timer.try_clone()?)?,
            timer_fd: timer,
        };
        Ok(Turnstile { turn: Mutex::new(turn), start })
    }

    async fn next(&self, end: Option<Instant>) -> io::Result<Option<Instant>> {
        let mut turn = self.turn.lock().await;
        let at = self.start + turn.upcoming;
        let now = Instant::now();
        if end.is_some_and(|end| at.max(now) >= end) {
            return Ok(None);
        }
        let wait = at.saturating_duration_since(now);
        if !wait.is_zero() {
            turn.sleep(wait).await?;
        }
        turn.upcoming = turn.times.next();
        Ok(Some(at))
    }

    /// Starts that were due before `end` and that nobody came to take.
    pub(crate) async fn never_sent(&self, end: Instant) -> u64 {
        let mut turn = self.turn.lock().await;
        let end = end.saturating_duration_since(self.start);
        let mut missed = 0;
        while turn.upcoming < end {
            turn.upcoming = turn.times.next();
            missed += 1;
        }
        missed
    }
}

impl Turn {
    async fn sleep(&mut self, wait: Duration) -> io::Result<()> {
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: wait.as_secs() as i64,
                tv_nsec: i64::from(wait.subsec_nanos()),
            },
        };
        timerfd_settime(&self.timer_fd, TimerfdTimerFlags::empty(), &once)?;
        // Eight bytes come, and room for more: after a short read tokio forgets the readiness, so
        // that the next sleep does not begin with a read in vain.
        let mut expirations = [0; 16];
        let mut expirations = ReadBuf::new(&mut expirations);
        poll_fn(|context| Pin::new(&mut self.timer).poll_read(context, &mut expirations)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(mut times: Times, count: usize) -> Vec<Duration> {
        (0..count).map(|_| times.next()).collect()
    }

    #[test]
    fn threads_take_turns_at_equal_distances() {
        let of = |thread| first(Times::new(Arrivals::Uniform, 1, 1000.0, thread, 4), 100);
        let mut all: Vec<Duration> = (0..4).flat_map(of).collect();
        all.sort_unstable();
        let expected: Vec<Duration> = (0..400).map(Duration::from_millis).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread() {
        let times = first(Times::new(Arrivals::Poisson, 7, 10_000.0, 0, 1), 100_000);
        assert!(times.is_sorted());
        let seconds = times[99_999].as_secs_f64();
        assert!((9.8..10.2).contains(&seconds), "{seconds}");
        // Exponential distances: the share longer than the mean is 1/e.
        let longer = times.windows(2).filter(|pair| (pair[1] - pair[0]).as_nanos() > 100_000);
        let share = longer.count() as f64 / 1e5;
        assert!((0.36..0.376).contains(&share), "{share}");
        let other = first(Times::new(Arrivals::Poisson, 7, 10_000.0, 1, 2), 3);
        assert_ne!(other, times[..3], "threads draw their own");
    }

    /// Runs on a runtime like those of the threads.
    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(future)
    }

    #[test]
    fn a_start_is_never_early_and_keeps_its_time_when_taken_late() {
        run(async {
            let start = Instant::now();
            let times = Times::new(Arrivals::Uniform, 1, 100.0, 0, 1);
            let end = start + Duration::from_millis(100);
            let turnstile = Turnstile::new(times, start).expect("a timer");
            for number in 0..5 {
                let at = turnstile.next(Some(end)).await.expect("a timer").expect("a start");
                assert_eq!(at, start + Duration::from_millis(10 * number));
                assert!(Instant::now() >= at, "start {number} came early");
            }
            // A server that stalls: starts 5, 6, ... stay due at their own times.
            std::thread::sleep(Duration::from_millis(35));
            let at = turnstile.next(Some(end)).await.expect("a timer");
            assert_eq!(at, Some(start + Duration::from_millis(50)));
        });
    }

    #[test]
    fn starts_nobody_could_take_are_counted() {
        run(async {
            let start = Instant::now() - Duration::from_millis(100);
            let end = start + Duration::from_millis(95);
            let times = Times::new(Arrivals::Uniform, 1, 1000.0, 0, 1);
            let turnstile = Turnstile::new(times, start).expect("a timer");
            assert_eq!(turnstile.next(None).await.expect("a timer"), Some(start));
            assert_eq!(turnstile.next(Some(end)).await.expect("a timer"), None, "it is over");
            assert_eq!(turnstile.never_sent(end).await, 94);
            assert_eq!(turnstile.never_sent(end).await, 0, "each is counted once");
        });
    }
}
