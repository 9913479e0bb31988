//! What one lane has counted of tenants of one kind since it was last asked.
//!
//! Owns: the table that every request of the lane counts in. Bounded: names that have series are in
//! it from the start, and so many others find a place.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use super::counts::Counts;
use crate::limits;

/// See the module. `N` is what a tenant is known by.
#[derive(Debug)]
pub struct Tally<N> {
    entries: Vec<(N, Counts)>,
    places: HashMap<N, usize>,
    /// Where the last request counted: most requests of a lane come in runs of one tenant.
    last: usize,
    residents: usize,
    generation: u64,
    other: Counts,
}

impl<N> Default for Tally<N> {
    fn default() -> Self {
        Tally {
            entries: Vec::new(),
            places: HashMap::new(),
            last: 0,
            residents: 0,
            generation: 0,
            other: Counts::default(),
        }
    }
}

impl<N: Clone + Eq + Hash> Tally<N> {
    /// Counts for that name. A name that is not there yet is entered as what `newcomer` gives, if it
    /// gives something and there is room, else it counts under `other`.
    pub fn count<Q>(&mut self, name: &Q, counts: &Counts, newcomer: impl FnOnce() -> Option<N>)
    where
        N: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some((last, sum)) = self.entries.get_mut(self.last)
            && (*last).borrow() == name
        {
            sum.add(counts);
            return;
        }
        if let Some(place) = self.places.get(name) {
            self.last = *place;
            self.entries[*place].1.add(counts);
            return;
        }
        let full = self.entries.len() >= self.residents + limits::TENANT_NEWCOMERS_MAX;
        match newcomer().filter(|_| !full) {
            Some(name) => {
                self.last = self.entries.len();
                self.places.insert(name.clone(), self.last);
                self.entries.push((name, *counts));
            }
            None => self.other.add(counts),
        }
    }

    /// Counts for nobody in particular.
    pub fn count_other(&mut self, counts: &Counts) {
        self.other.add(counts);
    }

    /// Everybody for whom something has been counted.
    pub fn counted(&self) -> impl Iterator<Item = (&N, &Counts)> {
        self.entries
            .iter()
            .filter(|(_, counts)| !counts.is_empty())
            .map(|(name, counts)| (name, counts))
    }

    /// What has been counted for nobody in particular.
    pub fn other(&self) -> &Counts {
        &self.other
    }

    /// Begins anew with those names, which are always the same for one generation.
    pub fn begin<'a>(&mut self, generation: u64, residents: impl Iterator<Item = &'a N>)
    where
        N: 'a,
    {
        self.other = Counts::default();
        if self.generation == generation {
            for (name, _) in self.entries.drain(self.residents..) {
                self.places.remove(&name);
            }
            self.entries.iter_mut().for_each(|(_, counts)| *counts = Counts::default());
            return;
        }
        self.entries.clear();
        self.places.clear();
        for name in residents {
            self.places.insert(name.clone(), self.entries.len());
            self.entries.push((name.clone(), Counts::default()));
        }
        self.residents = self.entries.len();
        self.generation = generation;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn one() -> Counts {
        Counts { requests: [0, 1, 0, 0, 0], ..Counts::default() }
    }

    fn counted(tally: &Tally<Arc<str>>) -> Vec<(String, u64)> {
        let pairs = tally.counted().map(|(name, counts)| (name.to_string(), counts.requests()));
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort();
        pairs
    }

    #[test]
    fn newcomers_are_entered_up_to_the_bound_and_forgotten_at_the_next_beginning() {
        let mut tally = Tally::<Arc<str>>::default();
        for number in 0..limits::TENANT_NEWCOMERS_MAX + 5 {
            let name = format!("b{number}");
            tally.count(name.as_str(), &one(), || Some(name.as_str().into()));
        }
        tally.count("b0", &one(), || None);
        assert_eq!(tally.counted().count(), limits::TENANT_NEWCOMERS_MAX);
        assert_eq!(tally.other().requests(), 5);
        tally.begin(0, [].into_iter());
        tally.count("b0", &one(), || None);
        assert_eq!((tally.counted().count(), tally.other().requests()), (0, 1));
    }

    #[test]
    fn residents_count_even_what_brings_no_name() {
        let names: [Arc<str>; 2] = ["a".into(), "b".into()];
        let mut tally = Tally::<Arc<str>>::default();
        tally.begin(1, names.iter());
        for _ in 0..2 {
            tally.count("b", &one(), || None);
            tally.count("c", &one(), || Some("c".into()));
            assert_eq!(counted(&tally), [("b".into(), 1), ("c".into(), 1)]);
            tally.begin(1, names.iter());
            assert!(counted(&tally).is_empty());
        }
        tally.begin(2, names[..1].iter());
        tally.count("b", &one(), || None);
        assert_eq!(tally.other().requests(), 1, "b has no series any more");
    }
}
