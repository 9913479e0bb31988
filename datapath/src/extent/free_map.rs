//! *Owns* the free blocks of one device, as runs.
//!
//! Two orders of the same runs: by place, to merge what is returned with its neighbours, and by
//! length, to find the smallest run that fits. Best fit keeps long runs whole for large objects.
//! Memory is about 100 bytes a run; the number of runs is at most that of the extents plus one.
//!
//! *Not here*: which device to take from and how an object is cut ([`super::alloc`]).

use std::collections::{BTreeMap, BTreeSet};

/// The free runs of one device, in blocks of [`crate::limits::DEVICE_BLOCK_BYTES`].
#[derive(Debug, Default)]
pub(crate) struct FreeMap {
    by_start: BTreeMap<u64, u64>,
    by_length: BTreeSet<(u64, u64)>,
    free_blocks: u64,
}

impl FreeMap {
    /// A device whose blocks `first..end` are all free.
    pub(crate) fn new(first: u64, end: u64) -> Self {
        let mut map = Self::default();
        if first < end {
            map.insert(first, end - first);
        }
        map
    }

    /// Blocks that are free.
    pub(crate) fn free_blocks(&self) -> u64 {
        self.free_blocks
    }

    /// Runs that the free blocks form: 1 is no fragmentation at all.
    pub(crate) fn run_count(&self) -> usize {
        self.by_start.len()
    }

    /// Blocks in the longest run.
    pub(crate) fn longest_run(&self) -> u64 {
        self.by_length.last().map_or(0, |&(length, _)| length)
    }

    /// Takes `blocks` blocks from the start of the smallest run that holds them.
    pub(crate) fn take(&mut self, blocks: u64) -> Option<u64> {
        debug_assert!(blocks > 0);
        let &(length, start) = self.by_length.range((blocks, 0)..).next()?;
        self.remove(start, length);
        if length > blocks {
            self.insert(start + blocks, length - blocks);
        }
        Some(start)
    }

    /// Takes exactly the blocks `start..start + blocks`; false, and nothing taken, when any of them
    /// is not free.
    pub(crate) fn take_at(&mut self, start: u64, blocks: u64) -> bool {
        let Some((&run_start, &run_length)) = self.by_start.range(..=start).next_back() else {
            return false;
        };
        let run_end = run_start + run_length;
        let Some(end) = start.checked_add(blocks).filter(|&end| end <= run_end) else {
            return false;
        };
        self.remove(run_start, run_length);
        if run_start < start {
            self.insert(run_start, start - run_start);
        }
        if end < run_end {
            self.insert(end, run_end - end);
        }
        true
    }

    /// Returns blocks that were taken.
    ///
    /// # Panics
    /// When any of them is free already: two owners of one block would write over each other's
    /// data, so going on would be worse than stopping.
    pub(crate) fn give(&mut self, start: u64, blocks: u64) {
        let mut merged_start = start;
        let mut merged_length = blocks;
        if let Some((&before, &length)) = self.by_start.range(..=start).next_back() {
            assert!(before + length <= start, "blocks from {start} were free already");
            if before + length == start {
                self.remove(before, length);
                merged_start = before;
                merged_length += length;
            }
        }
        if let Some((&after, &length)) = self.by_start.range(start..).next() {
            assert!(start + blocks <= after, "blocks from {after} were free already");
            if start + blocks == after {
                self.remove(after, length);
                merged_length += length;
            }
        }
        self.insert(merged_start, merged_length);
    }

    fn insert(&mut self, start: u64, length: u64) {
        self.by_start.insert(start, length);
        self.by_length.insert((length, start));
        self.free_blocks += length;
    }

    fn remove(&mut self, start: u64, length: u64) {
        self.by_start.remove(&start);
        self.by_length.remove(&(length, start));
        self.free_blocks -= length;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCKS: u64 = 256;

    #[derive(Clone, Debug)]
    enum Step {
        Take(u64),
        TakeAt(u64, u64),
        Give(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..40u64).prop_map(Step::Take),
            (0..BLOCKS, 1..40u64).prop_map(|(start, blocks)| Step::TakeAt(start, blocks)),
            any::<prop::sample::Index>().prop_map(Step::Give),
        ]
    }

    /// Marks `blocks` from `start` in the bitmap; each must have had the other value.
    fn mark(bitmap: &mut [bool], start: u64, blocks: u64, free: bool) {
        for block in start..start + blocks {
            assert_ne!(bitmap[block as usize], free, "block {block}");
            bitmap[block as usize] = free;
        }
    }

    fn longest(bitmap: &[bool]) -> u64 {
        bitmap.split(|&free| !free).map(<[bool]>::len).max().unwrap_or(0) as u64
    }

    proptest! {
        #[test]
        fn agrees_with_a_bitmap(steps in prop::collection::vec(step(), 1..200)) {
            let mut map = FreeMap::new(0, BLOCKS);
            let mut bitmap = vec![true; BLOCKS as usize];
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for step in steps {
                match step {
                    Step::Take(blocks) => match map.take(blocks) {
                        Some(start) => {
                            mark(&mut bitmap, start, blocks, false);
                            taken.push((start, blocks));
                        }
                        None => prop_assert!(longest(&bitmap) < blocks),
                    },
                    Step::TakeAt(start, blocks) => {
                        let end = start + blocks;
                        let free = end <= BLOCKS && bitmap[start as usize..end as usize].iter().all(|&free| free);
                        prop_assert_eq!(map.take_at(start, blocks), free);
                        if free {
                            mark(&mut bitmap, start, blocks, false);
                            taken.push((start, blocks));
                        }
                    }
                    Step::Give(index) if !taken.is_empty() => {
                        let (start, blocks) = taken.swap_remove(index.index(taken.len()));
                        map.give(start, blocks);
                        mark(&mut bitmap, start, blocks, true);
                    }
                    Step::Give(_) => {}
                }
                prop_assert_eq!(map.free_blocks(), bitmap.iter().filter(|&&free| free).count() as u64);
                prop_assert_eq!(map.longest_run(), longest(&bitmap));
                prop_assert_eq!(map.run_count(), bitmap.split(|&free| !free).filter(|run| !run.is_empty()).count());
            }
        }
    }

    #[test]
    fn takes_the_smallest_run_that_fits() {
        let mut map = FreeMap::new(0, 100);
        assert!(map.take_at(10, 5));
        assert!(map.take_at(40, 5));
        assert_eq!(map.take(8), Some(0), "the run 0..10 is smaller than 15..40 and 45..100");
        assert_eq!(map.take(30), Some(45));
    }

    #[test]
    #[should_panic(expected = "free already")]
    fn giving_twice_is_a_bug() {
        let mut map = FreeMap::new(0, 10);
        map.give(3, 2);
    }
}
