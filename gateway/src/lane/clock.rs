//! A lane's clock of coarse time.
//!
//! Owns: the time of the last sweep, in milliseconds since the lane began. Connections note times
//! several times a request; a cell costs less than a nanosecond where the system's clock costs 25.
//! Everything measured by it is right to one sweep period.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Milliseconds since the lane began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(u64);

impl Moment {
    /// That moment, counted from the lane's beginning.
    pub fn after(time: Duration) -> Moment {
        Moment(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    /// From `earlier` to this moment; zero when it is not earlier.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The clock. One per lane; the sweep advances it.
#[derive(Debug)]
pub struct Clock {
    began: Instant,
    now: Cell<Moment>,
}

impl Clock {
    /// A clock that begins now.
    pub fn start() -> Clock {
        Clock { began: Instant::now(), now: Cell::default() }
    }

    /// The time of the last sweep.
    pub fn now(&self) -> Moment {
        self.now.get()
    }

    /// The same as the system's clock shows it.
    pub fn instant(&self) -> Instant {
        self.began + Duration::from_millis(self.now.get().0)
    }

    /// Looks at the system's clock.
    pub fn advance(&self) -> Moment {
        self.now.set(Moment::after(self.began.elapsed()));
        self.now.get()
    }
}
