//! *Owns:* the memory that data moves through: one mapping, cut into frames that know who holds
//! them, given out against reservations so that what was promised is there.
//!
//! ```text
//!  Reservation ── frame() ──▶ Frame ── engine operation ──▶ (in flight) ──▶ Frame
//!                              │ share()
//!                              ▼
//!                        SharedFrame ── into_bytes() ──▶ Bytes ──▶ socket
//!                              │ retain()                  (last drop: frame free, charge back)
//!                              ▼
//!                        CacheFrame ── lend(charge) ──▶ SharedFrame
//! ```
//!
//! *Limits:* `limits.rs`, section Arena. *Not here:* what is cached and what is evicted first.

mod buddy;
mod budget;
mod frame;
mod mapping;
mod plan;
mod share;
mod size;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use crate::limits;

pub use budget::{Charge, FrameRefused, Reservation};
pub use frame::{CacheFrame, Frame, SharedFrame};
pub use mapping::{Locking, MappingReport, PageKind};
pub use plan::{MemoryDemand, MemoryPart, MemoryPlan, MemoryTooSmall};
pub use share::{Overload, OverloadReason, Share, ShareStats};
pub use size::Size;

use buddy::Buddy;
use mapping::Mapping;
use share::ShareBook;

/// What is asked of an arena.
#[derive(Debug, Clone, Copy)]
pub struct ArenaOptions {
    /// Size in bytes; rounded down to a multiple of [`limits::ARENA_GRANULE_BYTES`].
    pub bytes: u64,
    /// Of these, what streams being read may reserve.
    pub reads_bytes: u64,
    /// Of these, what streams that have begun may add to their reservations. The rest is kept for
    /// those that begin, so that readers who have stopped taking can't keep others out.
    pub reads_growth_bytes: u64,
    /// Of these, what uploads may reserve. The rest is always the cache's.
    pub writes_bytes: u64,
    /// As for reads.
    pub writes_growth_bytes: u64,
    /// Ask for huge pages: the reserved pool first, else transparent ones.
    pub huge_pages: bool,
    /// Ask the kernel to keep the arena in memory.
    pub lock_memory: bool,
}

/// Why there is no arena.
#[derive(Debug, thiserror::Error)]
pub enum ArenaError {
    /// Below [`limits::ARENA_BYTES_MIN`].
    #[error("an arena of {} is too small, the least is {}", Size(*.bytes), Size(limits::ARENA_BYTES_MIN as u64))]
    TooSmall {
        /// What was asked.
        bytes: u64,
    },
    /// More regions than [`limits::REGIONS_MAX`].
    #[error("an arena of {} is too large, the most is {}", Size(*.bytes), Size((limits::REGIONS_MAX * limits::REGION_BYTES_MAX) as u64))]
    TooLarge {
        /// What was asked.
        bytes: u64,
    },
    /// The shares promise more than there is.
    #[error(
        "shares of {} for reads and {} for writes exceed an arena of {}",
        Size(*.reads), Size(*.writes), Size(*.bytes)
    )]
    SharesExceed {
        /// Share of the reads, in bytes.
        reads: u64,
        /// Share of the writes, in bytes.
        writes: u64,
        /// The arena, in bytes.
        bytes: u64,
    },
    /// The kernel gave no memory.
    #[error("cannot map an arena of {}: {source}; give the process less memory or the machine more", Size(*.bytes))]
    Map {
        /// What was asked.
        bytes: u64,
        /// From mmap(2).
        source: std::io::Error,
    },
}

/// Whoever keeps frames that it could do without: the cache.
pub trait Reclaim: Send + Sync {
    /// Lets go of about `bytes` of frames that nobody else holds, at least of one if it has any.
    /// Returns false when it holds none at all. Called without any lock of the arena held.
    fn reclaim(&self, bytes: usize) -> bool;
}

/// One mapping of memory and the book of who may use how much of it. Cheap to clone.
#[derive(Clone)]
pub struct Arena {
    shared: Arc<ArenaShared>,
}

/// The state that frames, charges and reservations keep alive.
pub(crate) struct ArenaShared {
    mapping: Mapping,
    report: MappingReport,
    buddy: Mutex<Buddy>,
    reads: ShareBook,
    writes: ShareBook,
    reclaim: OnceLock<Weak<dyn Reclaim>>,
    /// Allocations that succeeded; a thread that finds no memory compares it to tell "nothing is
    /// left" from "another thread took it".
    allocations: AtomicU64,
    reclaim_rounds: AtomicU64,
    fragmented: AtomicU64,
}

/// Figures of the arena, by value.
#[derive(Debug, Clone, Copy)]
pub struct ArenaStats {
    /// Size of the mapping in bytes.
    pub bytes: u64,
    /// Bytes in no frame.
    pub free_bytes: u64,
    /// Frames given out since the start.
    pub allocations: u64,
    /// Rounds in which the cache was asked to let go.
    pub reclaim_rounds: u64,
    /// Requests for a frame over the guaranteed size that found no room in one piece.
    pub fragmented: u64,
    /// The reads' share.
    pub reads: ShareStats,
    /// The writes' share.
    pub writes: ShareStats,
}

impl Arena {
    /// Maps the memory and writes down the shares.
    pub fn new(options: &ArenaOptions) -> Result<Arena, ArenaError> {
        let bytes = options.bytes - options.bytes % limits::ARENA_GRANULE_BYTES as u64;
        if bytes < limits::ARENA_BYTES_MIN as u64 {
            return Err(ArenaError::TooSmall { bytes });
        }
        if bytes > (limits::REGIONS_MAX * limits::REGION_BYTES_MAX) as u64 {
            return Err(ArenaError::TooLarge { bytes });
        }
        let promised = options.reads_bytes.checked_add(options.writes_bytes);
        if promised.is_none_or(|promised| promised > bytes) {
            return Err(ArenaError::SharesExceed {
                reads: options.reads_bytes,
                writes: options.writes_bytes,
                bytes,
            });
        }
        let (mapping, report) =
            Mapping::new(bytes as usize, options.huge_pages, options.lock_memory)
                .map_err(|source| ArenaError::Map { bytes, source })?;
        let pages = bytes as usize / limits::FRAME_BYTES_MIN;
        Ok(Arena {
            shared: Arc::new(ArenaShared {
                mapping,
                report,
                buddy: Mutex::new(Buddy::new(pages)),
                reads: ShareBook::new(options.reads_bytes, options.reads_growth_bytes),
                writes: ShareBook::new(options.writes_bytes, options.writes_growth_bytes),
                reclaim: OnceLock::new(),
                allocations: AtomicU64::new(0),
                reclaim_rounds: AtomicU64::new(0),
                fragmented: AtomicU64::new(0),
            }),
        })
    }

    /// Names the one that evicts when memory is short. The first call counts; later ones return
    /// false. Without one, frames that are retained are never got back.
    pub fn set_reclaim(&self, reclaim: Weak<dyn Reclaim>) -> bool {
        self.shared.reclaim.set(reclaim).is_ok()
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.shared.mapping.bytes() as u64
    }

    /// What no share may reserve: the size to give the cache.
    pub fn cache_bytes(&self) -> u64 {
        self.bytes() - self.shared.reads.capacity() - self.shared.writes.capacity()
    }

    /// Which pages were got, and whether they are locked.
    pub fn report(&self) -> MappingReport {
        self.shared.report
    }

    /// Figures for the exporter.
    pub fn stats(&self) -> ArenaStats {
        let free_pages = lock(&self.shared.buddy).free_pages();
        ArenaStats {
            bytes: self.bytes(),
            free_bytes: (free_pages * limits::FRAME_BYTES_MIN) as u64,
            allocations: self.shared.allocations.load(Ordering::Relaxed),
            reclaim_rounds: self.shared.reclaim_rounds.load(Ordering::Relaxed),
            fragmented: self.shared.fragmented.load(Ordering::Relaxed),
            reads: self.shared.reads.stats(),
            writes: self.shared.writes.stats(),
        }
    }

    /// Regions of the mapping: all of [`limits::REGION_BYTES_MAX`] but the last.
    pub fn region_count(&self) -> usize {
        self.shared.mapping.bytes().div_ceil(limits::REGION_BYTES_MAX)
    }

    /// Start and length of a region, to be registered with a device as one piece. Whoever reaches it
    /// there may touch only the frames that it was given.
    ///
    /// # Panics
    /// When there is no such region.
    pub fn region(&self, index: usize) -> (*mut u8, usize) {
        let start = index * limits::REGION_BYTES_MAX;
        let length = (self.shared.mapping.bytes() - start).min(limits::REGION_BYTES_MAX);
        (self.shared.mapping.pointer(start), length)
    }
}

impl ArenaShared {
    fn share(&self, share: Share) -> &ShareBook {
        match share {
            Share::Reads => &self.reads,
            Share::Writes => &self.writes,
        }
    }

    /// Finds a block of `4 KiB << order`, evicting until there is one or nothing is left to evict;
    /// above the guaranteed size, evicting a little. Returns its first page.
    fn allocate(&self, order: u8) -> Option<u32> {
        let guaranteed = limits::FRAME_BYTES_MIN << order <= limits::FRAME_BYTES_GUARANTEED;
        // A large block is a convenience: not worth emptying the cache for.
        let rounds = match guaranteed {
            true => limits::RECLAIM_ROUNDS_MAX,
            false => limits::RECLAIM_ROUNDS_LARGE,
        };
        for _ in 0..rounds {
            let before = self.allocations.load(Ordering::SeqCst);
            let page = lock(&self.buddy).allocate(order);
            if let Some(page) = page {
                self.allocations.fetch_add(1, Ordering::SeqCst);
                return Some(page);
            }
            let evicted = match self.reclaim.get().and_then(Weak::upgrade) {
                Some(reclaim) => {
                    self.reclaim_rounds.fetch_add(1, Ordering::Relaxed);
                    reclaim.reclaim(limits::FRAME_BYTES_MIN << order)
                }
                None => false,
            };
            // Nothing to evict, yet another thread allocated meanwhile: it may have moved memory
            // from "free" into the cache between the two looks, so look again.
            if !evicted && self.allocations.load(Ordering::SeqCst) == before {
                // What was freed between the look and the answer of the cache counts too.
                let page = lock(&self.buddy).allocate(order)?;
                self.allocations.fetch_add(1, Ordering::SeqCst);
                return Some(page);
            }
        }
        None
    }

    fn free(&self, page: u32, order: u8) {
        lock(&self.buddy).free(page, order);
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// The books hold no invariant that a panic elsewhere could have broken half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
