//! Owns by which key our own work requests name a piece of memory: those regions of the arena, which stay, and those of
//! buffers that were lent, which come and go.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// A piece of registered memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) bytes: usize,
    pub(super) key: u32,
}

impl Span {
    fn holds(&self, start: usize, bytes: usize) -> bool {
        let Some(offset) = start.checked_sub(self.start) else { return false };
        offset <= self.bytes && bytes <= self.bytes - offset
    }
}

/// All that work requests of this fabric may name.
#[derive(Debug)]
pub(super) struct RegionTable {
    /// Of the arena, sorted; looked into without a lock.
    fixed: Vec<Span>,
    /// Of buffers, by their start. Never overlapping, since all of them are allocated at the same time.
    lent: RwLock<BTreeMap<usize, Span>>,
}

impl RegionTable {
    pub(super) fn new(mut fixed: Vec<Span>) -> RegionTable {
        fixed.sort_by_key(|span| span.start);
        RegionTable { fixed, lent: RwLock::default() }
    }

    pub(super) fn insert(&self, span: Span) {
        let mut lent = self.lent.write().unwrap_or_else(PoisonError::into_inner);
        lent.insert(span.start, span);
    }

    pub(super) fn remove(&self, start: usize) {
        let mut lent = self.lent.write().unwrap_or_else(PoisonError::into_inner);
        lent.remove(&start);
    }

    /// The key of the region in which all of this lies.
    pub(super) fn key_of(&self, start: usize, bytes: usize) -> Option<u32> {
        let behind = self.fixed.partition_point(|span| span.start <= start);
        let fixed = behind.checked_sub(1).map(|place| self.fixed[place]);
        if let Some(span) = fixed.filter(|span| span.holds(start, bytes)) {
            return Some(span.key);
        }
        let lent = self.lent.read().unwrap_or_else(PoisonError::into_inner);
        let (_, span) = lent.range(..=start).next_back()?;
        span.holds(start, bytes).then_some(span.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_found_where_all_of_it_is_registered() {
        let (second, first) = (
            Span { start: 0x2000, bytes: 0x1000, key: 2 },
            Span { start: 0x1000, bytes: 0x1000, key: 1 },
        );
        let table = RegionTable::new(vec![second, first]);
        assert_eq!(table.key_of(0x1000, 0x1000), Some(1));
        assert_eq!(table.key_of(0x1fff, 1), Some(1));
        assert_eq!(table.key_of(0x2000, 1), Some(2));
        // Two regions are two keys: nothing may lie in both.
        assert_eq!(table.key_of(0x1fff, 2), None);
        assert_eq!(table.key_of(0xfff, 1), None);
        assert_eq!(table.key_of(0x3000, 1), None);
        assert_eq!(table.key_of(0x2fff, usize::MAX), None);
    }

    #[test]
    fn buffers_come_and_go() {
        let table = RegionTable::new(Vec::new());
        assert_eq!(table.key_of(0x9000, 1), None);
        table.insert(Span { start: 0x9000, bytes: 16, key: 7 });
        assert_eq!(table.key_of(0x9004, 12), Some(7));
        assert_eq!(table.key_of(0x9004, 13), None);
        table.remove(0x9000);
        assert_eq!(table.key_of(0x9004, 12), None);
    }
}
