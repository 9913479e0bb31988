//! *Owns:* which pages of the arena are free: a buddy allocator over blocks of 4 KiB to 1 MiB.
//!
//! A block of order `n` is `2^n` pages, aligned to its size. Free blocks of one order form a list
//! threaded through arrays beside the arena, so that allocating, freeing and joining two buddies
//! each touch a handful of words: under 100 ns with the lock that the arena holds around it.
//!
//! *Not here:* memory; pages are numbers. *Limits:* nine bytes for each page.

use crate::limits;

/// Orders 0 (4 KiB) to 8 (1 MiB).
const ORDERS: usize = (limits::FRAME_BYTES_MAX / limits::FRAME_BYTES_MIN).ilog2() as usize + 1;
const TOP: u8 = (ORDERS - 1) as u8;
const NONE: u32 = u32::MAX;
/// State of a page that does not begin a block.
const INSIDE: u8 = 0xff;
/// Set in the state of the first page of a free block; the low bits are its order.
const FREE: u8 = 0x80;

/// The allocator. Every page is in exactly one block, free or taken.
pub(super) struct Buddy {
    state: Vec<u8>,
    next: Vec<u32>,
    previous: Vec<u32>,
    heads: [u32; ORDERS],
    free_pages: usize,
}

/// The smallest order whose block holds `bytes`.
pub(super) fn order_of(bytes: usize) -> u8 {
    assert!(bytes <= limits::FRAME_BYTES_MAX, "no frame holds {bytes} bytes");
    let pages = bytes.div_ceil(limits::FRAME_BYTES_MIN).max(1);
    pages.next_power_of_two().ilog2() as u8
}

impl Buddy {
    /// All of `pages` free; `pages` is a multiple of the largest block.
    pub(super) fn new(pages: usize) -> Buddy {
        assert!(pages.is_multiple_of(1 << TOP) && pages < NONE as usize);
        let mut buddy = Buddy {
            state: vec![INSIDE; pages],
            next: vec![NONE; pages],
            previous: vec![NONE; pages],
            heads: [NONE; ORDERS],
            free_pages: pages,
        };
        // The last pushed is the first given out: begin at the low end.
        for page in (0..pages as u32).step_by(1 << TOP).rev() {
            buddy.push(page, TOP);
        }
        buddy
    }

    /// Pages in free blocks.
    pub(super) fn free_pages(&self) -> usize {
        self.free_pages
    }

    /// Takes a block of this order; its first page, or None when there is none in one piece.
    pub(super) fn allocate(&mut self, order: u8) -> Option<u32> {
        let found = (order..=TOP).find(|&order| self.heads[usize::from(order)] != NONE)?;
        let page = self.heads[usize::from(found)];
        self.unlink(page, found);
        for half in (order..found).rev() {
            self.push(page + (1 << half), half);
        }
        self.state[page as usize] = order;
        self.free_pages -= 1 << order;
        Some(page)
    }

    /// Gives a block back, joined with its free buddies.
    ///
    /// # Panics
    /// When the block is not one that was taken with this order: a frame freed twice must never
    /// become two.
    pub(super) fn free(&mut self, page: u32, order: u8) {
        assert_eq!(
            self.state[page as usize], order,
            "page {page} is no taken block of order {order}"
        );
        self.free_pages += 1 << order;
        let (mut page, mut order) = (page, order);
        self.state[page as usize] = INSIDE;
        while order < TOP {
            let buddy = page ^ (1 << order);
            if self.state[buddy as usize] != (FREE | order) {
                break;
            }
            self.unlink(buddy, order);
            page = page.min(buddy);
            order += 1;
        }
        self.push(page, order);
    }

    fn push(&mut self, page: u32, order: u8) {
        let head = self.heads[usize::from(order)];
        self.state[page as usize] = FREE | order;
        self.next[page as usize] = head;
        self.previous[page as usize] = NONE;
        if head != NONE {
            self.previous[head as usize] = page;
        }
        self.heads[usize::from(order)] = page;
    }

    fn unlink(&mut self, page: u32, order: u8) {
        let (next, previous) = (self.next[page as usize], self.previous[page as usize]);
        match previous {
            NONE => self.heads[usize::from(order)] = next,
            previous => self.next[previous as usize] = next,
        }
        if next != NONE {
            self.previous[next as usize] = previous;
        }
        self.state[page as usize] = INSIDE;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn orders_hold_what_is_asked() {
        assert_eq!(order_of(0), 0);
        assert_eq!(order_of(1), 0);
        assert_eq!(order_of(4096), 0);
        assert_eq!(order_of(4097), 1);
        assert_eq!(order_of(65_536), 4);
        assert_eq!(order_of(limits::FRAME_BYTES_MAX), TOP);
    }

    #[test]
    fn freed_blocks_join_again() {
        let mut buddy = Buddy::new(512);
        let pages: Vec<_> = std::iter::from_fn(|| buddy.allocate(0)).collect();
        assert_eq!((pages.len(), buddy.free_pages()), (512, 0));
        // Even pages first: no two buddies are free, so nothing larger than a page may come out.
        for page in pages.iter().filter(|page| *page % 2 == 0) {
            buddy.free(*page, 0);
        }
        assert_eq!(buddy.allocate(1), None);
        for page in pages.iter().filter(|page| *page % 2 == 1) {
            buddy.free(*page, 0);
        }
        assert!(buddy.allocate(TOP).is_some() && buddy.allocate(TOP).is_some());
        assert_eq!(buddy.allocate(0), None);
    }

    #[test]
    #[should_panic(expected = "no taken block")]
    fn a_block_is_freed_once() {
        let mut buddy = Buddy::new(256);
        let page = buddy.allocate(3).unwrap();
        buddy.free(page, 3);
        buddy.free(page, 3);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Allocate(u8),
        Free(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..=TOP).prop_map(Step::Allocate),
            2 => any::<usize>().prop_map(Step::Free),
        ]
    }

    proptest! {
        /// The model is a bitmap of pages: no page is given twice, blocks are aligned, an
        /// allocation fails only when no aligned run of free pages exists.
        #[test]
        fn agrees_with_a_bitmap(steps in prop::collection::vec(step(), 1..600)) {
            const PAGES: usize = 1024;
            let mut buddy = Buddy::new(PAGES);
            let mut taken = [false; PAGES];
            let mut blocks: Vec<(u32, u8)> = Vec::new();
            for step in steps {
                match step {
                    Step::Allocate(order) => {
                        let length = 1_usize << order;
                        let possible = taken.chunks(length).any(|run| run.iter().all(|t| !t));
                        match buddy.allocate(order) {
                            Some(page) => {
                                let page_index = page as usize;
                                prop_assert!(page_index.is_multiple_of(length));
                                for bit in &mut taken[page_index..page_index + length] {
                                    prop_assert!(!*bit);
                                    *bit = true;
                                }
                                blocks.push((page, order));
                            }
                            None => prop_assert!(!possible),
                        }
                    }
                    Step::Free(which) if !blocks.is_empty() => {
                        let (page, order) = blocks.swap_remove(which % blocks.len());
                        buddy.free(page, order);
                        taken[page as usize..page as usize + (1 << order)].fill(false);
                    }
                    Step::Free(_) => {}
                }
                prop_assert_eq!(buddy.free_pages(), taken.iter().filter(|t| !**t).count());
            }
        }
    }
}
