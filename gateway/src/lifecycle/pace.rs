//! A bound on how much is done in a second.

use std::time::Duration;

use tokio::time::Instant;

/// So many things in a second, evenly: what was not used is not saved up.
#[derive(Debug)]
pub(super) struct Pace {
    each: Duration,
    next: Instant,
}

impl Pace {
    /// At most that many in a second; at least one.
    pub(super) fn new(per_second: usize) -> Pace {
        let count = u32::try_from(per_second.max(1)).unwrap_or(u32::MAX);
        Pace { each: Duration::from_secs(1) / count, next: Instant::now() }
    }

    /// Waits until what was done before is paid for, then charges so many more.
    pub(super) async fn charge(&mut self, count: usize) {
        tokio::time::sleep_until(self.next).await;
        let cost = self.each * u32::try_from(count).unwrap_or(u32::MAX);
        self.next = self.next.max(Instant::now()) + cost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_has_no_more_than_its_share() {
        let begin = Instant::now();
        let mut pace = Pace::new(1000);
        for _ in 0..5 {
            pace.charge(10).await;
        }
        // The first is free; what the last costs is for the next to wait.
        assert!(begin.elapsed() >= Duration::from_millis(40), "{:?}", begin.elapsed());
    }
}
