//! The one sequence that every identifier is drawn from.
//!
//! Owns: [`IdSequence`].
//! Not here: writing its mark to the settings table (`writer`).
//!
//! Drawing is one atomic addition, on any thread. Whenever a batch commits and the sequence is
//! within half a block of the stored mark (or past it), the mark moves a whole block ahead in the
//! same transaction. So every id in a committed row lies below the stored mark, and after a crash
//! the sequence goes on at the mark: no id that was ever in the index is given out again. An id
//! that was drawn but never committed appears nowhere that outlives the process.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::ID_BLOCK;

/// Where identifiers come from. Ids start at 1; 0 is never drawn.
#[derive(Debug)]
pub struct IdSequence {
    next: AtomicU64,
}

impl IdSequence {
    /// Goes on at a stored mark.
    pub(crate) fn starting_at(mark: u64) -> IdSequence {
        IdSequence { next: AtomicU64::new(mark.max(1)) }
    }

    /// Draws an identifier. At a million a second they last 580,000 years.
    pub fn draw(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The mark to store if the stored one is about to be reached.
    pub(crate) fn mark_after(&self, stored: u64) -> Option<u64> {
        let next = self.next.load(Ordering::Relaxed);
        (next + ID_BLOCK / 2 > stored).then_some(next + ID_BLOCK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stays_ahead_of_every_drawn_id() {
        let ids = IdSequence::starting_at(0);
        let mut stored = 0;
        for _ in 0..3 * ID_BLOCK {
            let id = ids.draw();
            assert!(id > 0);
            stored = ids.mark_after(stored).unwrap_or(stored);
            assert!(id < stored);
        }
        assert_eq!(IdSequence::starting_at(stored).draw(), stored);
    }
}
