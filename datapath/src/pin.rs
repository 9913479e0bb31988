//! Which object rows are being read: a fixed table that readers write and the commit thread scans.
//!
//! Owns: [`PinTable`], [`Pin`].
//! Limits: the table's size, given when it is made.
//! Not here: the reader's two looks (`index::pinned`), what a pin keeps in place
//! (`commit::holds`).
//!
//! A pin is one store of a row id into a slot, so taking one costs a reader some 20 ns and no lock.
//! The commit thread's scan reads every slot: 4,096 slots are 32 KiB, 2 µs a batch. Slots lie eight
//! to a cache line; a thread begins at its own line, so threads do not share lines until a line is
//! full.
//!
//! The order that makes it work: the reader stores its pin, fences, and then looks again whether
//! the row is there; the commit thread removes the row, fences, and then scans. Sequentially
//! consistent fences have one total order, so either the scan sees the pin, or the second look sees
//! the removal. A model of both, run under loom, is at the end of this file.

use std::sync::Arc;

use sync::{AtomicU64, Ordering, fence};

use crate::id::RowId;

#[cfg(not(loom))]
mod sync {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering, fence};
}
#[cfg(loom)]
mod sync {
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering, fence};
}

/// The pins of all readers. Shared by every lane and the commit thread.
#[derive(Debug)]
pub struct PinTable {
    lines: Box<[Line]>,
}

/// Keeps what a row refers to in place until dropped.
#[derive(Debug)]
#[must_use = "the row may vanish as soon as the pin is dropped"]
pub struct Pin {
    table: Arc<PinTable>,
    slot: usize,
}

/// The rows that were pinned at one moment.
#[derive(Debug, Default)]
pub struct PinnedRows {
    sorted: Vec<u64>,
}

#[repr(align(64))]
#[derive(Debug)]
struct Line([AtomicU64; SLOTS_PER_LINE]);

/// 64 bytes; fewer under loom, whose work grows with every atomic.
const SLOTS_PER_LINE: usize = if cfg!(loom) { 2 } else { 8 };
/// What a slot holds that no reader uses. No row has this id: it is the last of a sequence from 1.
const FREE: u64 = u64::MAX;

impl PinTable {
    /// A table for at least `slots` pins at one time.
    pub fn new(slots: usize) -> PinTable {
        let line = || Line(std::array::from_fn(|_| AtomicU64::new(FREE)));
        let lines = slots.div_ceil(SLOTS_PER_LINE).max(1);
        PinTable { lines: (0..lines).map(|_| line()).collect() }
    }

    /// How many pins there can be at one time.
    pub fn capacity(&self) -> usize {
        self.lines.len() * SLOTS_PER_LINE
    }

    /// Pins a row; none when every slot is taken. The pin counts only if a look into the index
    /// *after* this call still finds the row. `hint` is a number of the calling thread's own, so that
    /// threads take slots on different cache lines.
    pub fn pin(self: &Arc<Self>, row: RowId, hint: usize) -> Option<Pin> {
        if row.0 == FREE {
            return None;
        }
        let slots = self.capacity();
        // Fibonacci hashing spreads neighbouring numbers over the lines.
        let line = (hint as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let first = line as usize % self.lines.len() * SLOTS_PER_LINE;
        for distance in 0..slots {
            let slot = (first + distance) % slots;
            let cell = self.cell(slot);
            if cell.load(Ordering::Relaxed) == FREE
                && cell.compare_exchange(FREE, row.0, Ordering::SeqCst, Ordering::Relaxed).is_ok()
            {
                // Pairs with the fence in `scan`.
                fence(Ordering::SeqCst);
                return Some(Pin { table: Arc::clone(self), slot });
            }
        }
        None
    }

    /// The rows that are pinned. A row that lost its record before this call and is not among them
    /// will not be read any more.
    pub fn scan(&self, rows: &mut PinnedRows) {
        // Pairs with the fence in `pin`.
        fence(Ordering::SeqCst);
        rows.sorted.clear();
        for line in &self.lines {
            for cell in &line.0 {
                // Acquire pairs with the release in `Pin::drop`: whoever sees the slot free also
                // sees that the reader's reads are over.
                let row = cell.load(Ordering::Acquire);
                if row != FREE {
                    rows.sorted.push(row);
                }
            }
        }
        rows.sorted.sort_unstable();
    }

    fn cell(&self, slot: usize) -> &AtomicU64 {
        &self.lines[slot / SLOTS_PER_LINE].0[slot % SLOTS_PER_LINE]
    }
}

impl PinnedRows {
    /// Whether the row was pinned.
    pub fn contains(&self, row: RowId) -> bool {
        self.sorted.binary_search(&row.0).is_ok()
    }

    /// How many pins there were.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.table.cell(self.slot).store(FREE, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_refuses_and_a_dropped_pin_makes_room() {
        let table = Arc::new(PinTable::new(9));
        assert_eq!(table.capacity(), 16);
        let mut pins: Vec<Pin> =
            (0..16).map(|row| table.pin(RowId(row), 3).expect("room")).collect();
        assert!(table.pin(RowId(99), 0).is_none());
        drop(pins.remove(5));
        let again = table.pin(RowId(99), 0).expect("room again");
        let mut rows = PinnedRows::default();
        table.scan(&mut rows);
        assert_eq!(rows.len(), 16);
        assert!(rows.contains(RowId(99)) && rows.contains(RowId(0)) && !rows.contains(RowId(5)));
        drop((pins, again));
        table.scan(&mut rows);
        assert!(rows.is_empty());
    }

    #[test]
    fn one_row_may_be_pinned_often() {
        let table = Arc::new(PinTable::new(8));
        let (first, second) = (table.pin(RowId(7), 0), table.pin(RowId(7), 1));
        drop(first);
        let mut rows = PinnedRows::default();
        table.scan(&mut rows);
        assert!(rows.contains(RowId(7)));
        drop(second);
        table.scan(&mut rows);
        assert!(!rows.contains(RowId(7)));
    }
}

/// Run with `RUSTFLAGS="--cfg loom" cargo test --release -p datapath --lib`.
#[cfg(all(test, loom))]
mod loom_tests {
    use loom::cell::UnsafeCell;
    use loom::thread;

    use super::*;

    /// The index as one number, the row that the key has, with the weakest order there is: only the
    /// table's own fences may be relied upon. And the space of row 1.
    struct Model {
        row: AtomicU64,
        space: UnsafeCell<()>,
        pins: Arc<PinTable>,
    }

    fn run(second_look: bool, readers: usize) {
        loom::model(move || {
            let model = Arc::new(Model {
                row: AtomicU64::new(1),
                space: UnsafeCell::new(()),
                pins: Arc::new(PinTable::new(2)),
            });
            let threads: Vec<_> = (0..readers)
                .map(|hint| {
                    let model = Arc::clone(&model);
                    thread::spawn(move || read(&model, hint, second_look))
                })
                .collect();
            overwrite(&model);
            for thread in threads {
                thread.join().expect("reader");
            }
        });
    }

    fn read(model: &Model, hint: usize, second_look: bool) {
        let row = model.row.load(Ordering::Relaxed);
        if row != 1 {
            return;
        }
        let _pin = model.pins.pin(RowId(row), hint).expect("room");
        if second_look && model.row.load(Ordering::Relaxed) != row {
            return;
        }
        // Loom fails the run if this can overlap with the reuse below.
        model.space.with(|_| thread::yield_now());
    }

    fn overwrite(model: &Model) {
        model.row.store(2, Ordering::Relaxed);
        let mut pinned = PinnedRows::default();
        model.pins.scan(&mut pinned);
        if !pinned.contains(RowId(1)) {
            model.space.with_mut(|_| ());
        }
    }

    #[test]
    fn space_is_not_reused_under_a_reader() {
        run(true, 1);
        run(true, 2);
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn without_the_second_look_space_is_reused_under_a_reader() {
        run(false, 1);
    }
}
