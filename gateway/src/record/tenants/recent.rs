//! The last seconds of tenants of one kind, second by second, and who was busiest in them.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use super::counts::Counts;
use crate::limits;

/// See the module. `N` is what a tenant is known by.
#[derive(Debug)]
pub struct Recent<N> {
    /// The newest last; it is being counted.
    seconds: VecDeque<Second<N>>,
}

#[derive(Debug)]
struct Second<N> {
    names: HashMap<N, Counts>,
    other: Counts,
}

impl<N> Default for Second<N> {
    fn default() -> Self {
        Second { names: HashMap::new(), other: Counts::default() }
    }
}

impl<N> Default for Recent<N> {
    fn default() -> Self {
        Recent { seconds: VecDeque::from([Second::default()]) }
    }
}

impl<N: Clone + Eq + Hash + Ord> Recent<N> {
    /// Adds what has been counted for a tenant.
    pub fn add(&mut self, name: &N, counts: &Counts) {
        let Some(second) = self.seconds.back_mut() else { return };
        if let Some(sum) = second.names.get_mut(name) {
            sum.add(counts);
        } else if second.names.len() < limits::TENANTS_PER_SECOND_MAX {
            second.names.insert(name.clone(), *counts);
        } else {
            second.other.add(counts);
        }
    }

    /// Adds what has been counted for nobody in particular.
    pub fn add_other(&mut self, counts: &Counts) {
        if let Some(second) = self.seconds.back_mut() {
            second.other.add(counts);
        }
    }

    /// The second is over.
    pub fn end_second(&mut self) {
        self.seconds.push_back(Second::default());
        if self.seconds.len() > limits::RATE_SAMPLES + 1 {
            self.seconds.pop_front();
        }
    }

    /// The busiest over the seconds that are over, and all others together.
    pub fn busiest(&self) -> (Vec<(N, Counts)>, Counts) {
        let over = self.seconds.len().saturating_sub(1);
        let mut names: HashMap<&N, Counts> = HashMap::new();
        let mut other = Counts::default();
        for second in self.seconds.iter().take(over) {
            for (name, counts) in &second.names {
                names.entry(name).or_default().add(counts);
            }
            other.add(&second.other);
        }
        let mut all: Vec<_> = names.into_iter().collect();
        all.sort_by_key(|(name, counts)| (std::cmp::Reverse(counts.load()), *name));
        for (_, counts) in all.iter().skip(limits::TENANTS_SHOWN_MAX) {
            other.add(counts);
        }
        all.truncate(limits::TENANTS_SHOWN_MAX);
        (all.into_iter().map(|(name, counts)| (name.clone(), counts)).collect(), other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(count: u64) -> Counts {
        Counts { requests: [0, count, 0, 0, 0], ..Counts::default() }
    }

    #[test]
    fn who_was_busy_long_ago_is_forgotten() {
        let mut recent = Recent::<u32>::default();
        recent.add(&1, &requests(100));
        assert!(recent.busiest().0.is_empty(), "the second is not over");
        for second in 0..limits::RATE_SAMPLES {
            recent.end_second();
            let (names, _) = recent.busiest();
            assert!(names.iter().any(|(name, _)| *name == 1), "after {second} seconds");
            recent.add(&2, &requests(1));
        }
        recent.end_second();
        assert_eq!(recent.busiest().0, [(2, requests(limits::RATE_SAMPLES as u64))]);
    }

    #[test]
    fn what_is_not_listed_adds_up() {
        let mut recent = Recent::<u64>::default();
        for name in 1..=limits::TENANTS_PER_SECOND_MAX as u64 + 3 {
            recent.add(&name, &requests(name));
        }
        recent.add_other(&requests(1));
        recent.end_second();
        let (names, other) = recent.busiest();
        assert_eq!(names.len(), limits::TENANTS_SHOWN_MAX);
        assert_eq!(names[0], (4096, requests(4096)));
        let all: u64 = (1..=4099).sum::<u64>() + 1;
        let listed: u64 = names.iter().map(|(_, counts)| counts.requests()).sum();
        assert_eq!(other.requests(), all - listed);
    }
}
