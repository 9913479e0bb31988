//! Owns the choice of sequence numbers: no queue pair begins with one that a queue pair of the same number began with a
//! minute ago, since a late packet of the old connection would pass for one of the new.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::fabric::{FabricError, Psn, Qpn};
use crate::limits::{PSN_ATTEMPTS, RETIRED_MAX, RETIRED_TIME};
use crate::wire;

/// Pairs that were in use lately, by the time of their retirement.
#[derive(Debug, Default)]
pub(super) struct Retired {
    pairs: Mutex<VecDeque<(Instant, Qpn, Psn)>>,
}

impl Retired {
    /// A random number for this queue pair.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(super) fn fresh_psn(&self, qpn: Qpn, now: Instant) -> Result<Psn, FabricError> {
        self.fresh_from(qpn, now, random_psn)
    }

    fn fresh_from(
        &self,
        qpn: Qpn,
        now: Instant,
        mut draw: impl FnMut() -> Result<Psn, FabricError>,
    ) -> Result<Psn, FabricError> {
        for _ in 0..PSN_ATTEMPTS {
            let psn = draw()?;
            if !self.holds(qpn, psn, now) {
                return Ok(psn);
            }
        }
        Err(FabricError::new("getrandom", "every random sequence number was in use lately"))
    }

    /// Notes a pair that is out of use.
    pub(super) fn retire(&self, qpn: Qpn, psn: Psn, now: Instant) {
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        while pairs.len() >= RETIRED_MAX || pairs.front().is_some_and(|front| is_over(front.0, now))
        {
            pairs.pop_front();
        }
        pairs.push_back((now, qpn, psn));
    }

    fn holds(&self, qpn: Qpn, psn: Psn, now: Instant) -> bool {
        let pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        pairs.iter().any(|&(at, number, begun)| number == qpn && begun == psn && !is_over(at, now))
    }
}

fn is_over(retired: Instant, now: Instant) -> bool {
    now.saturating_duration_since(retired) >= RETIRED_TIME
}

fn random_psn() -> Result<Psn, FabricError> {
    wire::random_psn().map_err(|error| FabricError::new("getrandom", error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn draws(numbers: &'static [u32]) -> impl FnMut() -> Result<Psn, FabricError> {
        let mut numbers = numbers.iter().copied();
        move || Ok(Psn::new(numbers.next().expect("another draw")).expect("a psn"))
    }

    #[test]
    fn a_pair_is_not_given_again_within_a_minute() {
        let (retired, now) = (Retired::default(), Instant::now());
        let (qpn, psn) = (Qpn::new(7).expect("qpn"), Psn::new(11).expect("psn"));
        retired.retire(qpn, psn, now);
        let soon = now + RETIRED_TIME - Duration::from_millis(1);
        let fresh = retired.fresh_from(qpn, soon, draws(&[11, 11, 12])).expect("a third draw");
        assert_eq!(fresh.number(), 12);
        let other = Qpn::new(8).expect("qpn");
        let fresh = retired.fresh_from(other, soon, draws(&[11])).expect("another queue pair");
        assert_eq!(fresh, psn);
        let later = now + RETIRED_TIME;
        assert_eq!(retired.fresh_from(qpn, later, draws(&[11])).expect("a minute later"), psn);
    }

    #[test]
    fn it_remembers_a_bounded_number() {
        let (retired, now) = (Retired::default(), Instant::now());
        let qpn = Qpn::new(7).expect("qpn");
        for number in 1..=RETIRED_MAX as u32 + 1 {
            retired.retire(qpn, Psn::new(number).expect("psn"), now);
        }
        assert!(!retired.holds(qpn, Psn::new(1).expect("psn"), now), "the oldest is forgotten");
        assert!(retired.holds(qpn, Psn::new(2).expect("psn"), now));
        assert_eq!(retired.pairs.lock().expect("lock").len(), RETIRED_MAX);
    }
}
