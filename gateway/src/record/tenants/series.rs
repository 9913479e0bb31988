//! Who of many tenants has series of its own.
//!
//! Owns: the totals of those who have, of all others together, and who takes whose place. A newcomer
//! gets a series at once while there is one left. Later the least busy give theirs to busier ones,
//! a few a minute and only to those with twice their load, so that equals do not take turns.
//!
//! What a series counts begins at 0 when it appears. When it disappears, what it has counted since
//! it was last shown goes to `other`, so that the sum of all rates misses nothing; what it has shown
//! does not, because the rate of `other` would leap by a total of days.

use std::collections::HashMap;
use std::sync::Arc;

use super::counts::Counts;
use crate::limits;

/// See the module.
#[derive(Debug)]
pub struct Series {
    limit: usize,
    members: HashMap<Arc<str>, Member>,
    candidates: HashMap<Arc<str>, f64>,
    other: Counts,
    generation: u64,
}

#[derive(Debug, Default)]
struct Member {
    totals: Counts,
    shown: Counts,
    /// Load, of which a minute halves what was before it.
    load: f64,
}

impl Series {
    /// At most so many.
    pub fn new(limit: usize) -> Series {
        Series {
            limit,
            members: HashMap::new(),
            candidates: HashMap::new(),
            other: Counts::default(),
            // A tally begins with none.
            generation: 0,
        }
    }

    /// How many there may be.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Another number whenever other tenants have series than before.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Who has one.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.members.keys()
    }

    /// Adds what has been counted for a tenant.
    pub fn add(&mut self, name: &Arc<str>, counts: &Counts) {
        let load = counts.load() as f64;
        if let Some(member) = self.members.get_mut(name) {
            member.totals.add(counts);
            member.load += load;
        } else if self.members.len() < self.limit {
            let member = Member { totals: *counts, load, ..Member::default() };
            self.members.insert(name.clone(), member);
            self.generation += 1;
        } else {
            self.other.add(counts);
            if let Some(known) = self.candidates.get_mut(name) {
                *known += load;
            } else if self.limit > 0 && self.candidates.len() < limits::TENANT_CANDIDATES_MAX {
                self.candidates.insert(name.clone(), load);
            }
        }
    }

    /// Adds what has been counted for nobody in particular.
    pub fn add_other(&mut self, counts: &Counts) {
        self.other.add(counts);
    }

    /// A minute has passed: busy candidates take the places of the least busy, and older load counts
    /// half from now on.
    pub fn turn(&mut self) {
        let mut coming: Vec<_> = self.candidates.drain().collect();
        coming.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let mut going: Vec<_> =
            self.members.iter().map(|(name, member)| (name.clone(), member.load)).collect();
        going.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        let most = (self.limit / limits::TENANT_CHANGES_DIVISOR).max(1);
        let changes = coming
            .iter()
            .zip(&going)
            .take(most)
            .take_while(|((_, newcomer), (_, least))| *newcomer > 2.0 * least)
            .count();
        for ((newcomer, load), (leaver, _)) in coming.drain(..changes).zip(&going) {
            if let Some(left) = self.members.remove(leaver) {
                self.other.add(&left.totals.since(&left.shown));
                self.candidates.insert(leaver.clone(), left.load / 2.0);
            }
            self.members.insert(newcomer, Member { load, ..Member::default() });
            self.generation += 1;
        }
        self.members.values_mut().for_each(|member| member.load /= 2.0);
        let remembered = coming.into_iter().map(|(name, load)| (name, load / 2.0));
        self.candidates.extend(remembered.filter(|(_, load)| *load >= 1.0));
    }

    /// The totals now, which count as shown.
    pub fn show(&mut self) -> Vec<(Arc<str>, Counts)> {
        let show = |(name, member): (&Arc<str>, &mut Member)| {
            member.shown = member.totals;
            (name.clone(), member.totals)
        };
        self.members.iter_mut().map(show).collect()
    }

    /// The total of everybody else.
    pub fn other(&self) -> &Counts {
        &self.other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn requests(count: u64) -> Counts {
        Counts { requests: [0, count, 0, 0, 0], ..Counts::default() }
    }

    fn shown(series: &mut Series) -> BTreeMap<String, u64> {
        let shown = series.show();
        shown.into_iter().map(|(name, counts)| (name.to_string(), counts.requests())).collect()
    }

    fn of(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn the_first_get_series_and_the_rest_adds_up() {
        let mut series = Series::new(2);
        for (name, count) in [("a", 5), ("b", 1), ("c", 7), ("a", 1)] {
            series.add(&name.into(), &requests(count));
        }
        assert_eq!(shown(&mut series), of(&[("a", 6), ("b", 1)]));
        assert_eq!(series.other().requests(), 7);
    }

    #[test]
    fn a_busier_one_takes_the_place_of_the_least_busy() {
        let mut series = Series::new(2);
        for (name, count) in [("a", 50), ("b", 10)] {
            series.add(&name.into(), &requests(count));
        }
        assert_eq!(shown(&mut series), of(&[("a", 50), ("b", 10)]));
        series.add(&"b".into(), &requests(3));
        series.add(&"c".into(), &requests(30));
        let generation = series.generation();
        series.turn();
        assert_ne!(series.generation(), generation);
        // The 3 that b had not shown are not lost; the 10 that it had do not leap up elsewhere.
        assert_eq!(shown(&mut series), of(&[("a", 50), ("c", 0)]));
        assert_eq!(series.other().requests(), 33);
        series.add(&"c".into(), &requests(4));
        assert_eq!(shown(&mut series), of(&[("a", 50), ("c", 4)]));
    }

    #[test]
    fn equals_do_not_take_turns() {
        let mut series = Series::new(1);
        let generation = |series: &mut Series| {
            series.turn();
            series.generation()
        };
        series.add(&"a".into(), &requests(10));
        let first = series.generation();
        for _ in 0..20 {
            series.add(&"a".into(), &requests(10));
            series.add(&"b".into(), &requests(15));
            assert_eq!(generation(&mut series), first);
        }
        // Who stops loses its series to who goes on.
        for _ in 0..3 {
            series.add(&"b".into(), &requests(15));
            series.turn();
        }
        assert_eq!(series.names().map(|name| &**name).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn few_change_hands_in_a_minute_and_candidates_are_bounded() {
        let mut series = Series::new(50);
        for number in 0..50 {
            series.add(&format!("old{number}").into(), &requests(1));
        }
        let before = series.generation();
        for number in 0..limits::TENANT_CANDIDATES_MAX + 100 {
            series.add(&format!("new{number}").into(), &requests(100));
        }
        assert_eq!(series.candidates.len(), limits::TENANT_CANDIDATES_MAX);
        series.turn();
        assert_eq!(series.generation() - before, 5);
        assert_eq!(series.names().count(), 50);
    }

    #[test]
    fn without_series_all_is_other() {
        let mut series = Series::new(0);
        series.add(&"a".into(), &requests(3));
        series.turn();
        assert!(series.show().is_empty());
        assert_eq!(series.other().requests(), 3);
    }
}
