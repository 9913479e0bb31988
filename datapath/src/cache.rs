//! *Owns* the frames that hold verified content for the next reader.
//!
//! Keyed by extent and block, never by place on a device: an extent's identity is never reused, so
//! what a freed place held before can't be served. quick_cache's S3-FIFO admits a block to the hot
//! part only when it is asked for again, so an epoch over a data set larger than memory does not
//! flush the hot weights. One reader fills a block, all others that ask meanwhile wait for that
//! fill (single flight).
//!
//! *Not here*: the memory of frames that readers hold (their charges pay for those). What is cached
//! weighs at most the cache's share of the arena.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use quick_cache::{
    DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use crate::{
    arena::{CacheFrame, Charge, Reclaim, SharedFrame},
    error::StoreError,
    id::ExtentId,
    limits::CHECKSUM_BLOCK_BYTES,
};

/// One checksum block of one extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BlockKey {
    pub(crate) extent: ExtentId,
    pub(crate) block: u32,
}

/// What the cache did since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Blocks served from memory at once.
    pub hits: u64,
    /// Blocks that were read from a device.
    pub fills: u64,
    /// Blocks that waited for somebody else's fill.
    pub joins: u64,
    /// Blocks that left for others, or for memory that readers and writers needed.
    pub evictions: u64,
    /// Bytes of frames that are cached now.
    pub bytes: u64,
}

/// Verified content by block.
pub(crate) struct FrameCache {
    frames: Cache<BlockKey, CacheFrame, FrameWeight, DefaultHashBuilder, Evictions>,
    capacity_bytes: u64,
    /// Held by the one who evicts for the arena.
    reclaiming: Mutex<()>,
    hits: AtomicU64,
    fills: AtomicU64,
    joins: AtomicU64,
    evictions: Evictions,
}

impl FrameCache {
    /// A cache for frames of `capacity_bytes` in all.
    pub(crate) fn new(capacity_bytes: u64) -> Self {
        let options = OptionsBuilder::new()
            .weight_capacity(capacity_bytes)
            .estimated_items_capacity((capacity_bytes / CHECKSUM_BLOCK_BYTES).max(1) as usize)
            .shards(CACHE_SHARDS)
            .build()
            .expect("both capacities are given");
        let evictions = Evictions::default();
        Self {
            frames: Cache::with_options(
                options,
                FrameWeight,
                DefaultHashBuilder::default(),
                evictions.clone(),
            ),
            capacity_bytes,
            reclaiming: Mutex::new(()),
            hits: AtomicU64::new(0),
            fills: AtomicU64::new(0),
            joins: AtomicU64::new(0),
            evictions,
        }
    }

    /// The block, when it is here; else the charge back.
    pub(crate) fn lookup(&self, key: BlockKey, charge: Charge) -> Result<SharedFrame, Charge> {
        let Some(frame) = self.frames.get(&key) else {
            return Err(charge);
        };
        self.hits.fetch_add(1, Ordering::Relaxed);
        frame.lend(charge)
    }

    /// The block, from here, from a fill that is under way, or by `fill`, which then says something
    /// about it. A fill that fails or is dropped lets one of the others that wait for the block try
    /// in its place.
    pub(crate) async fn lookup_or_fill<T>(
        &self,
        key: BlockKey,
        charge: Charge,
        fill: impl AsyncFnOnce(Charge) -> Result<(SharedFrame, T), StoreError>,
    ) -> Result<(SharedFrame, Option<T>), StoreError> {
        match self.frames.get_value_or_guard_async(&key).await {
            Ok(frame) => {
                self.joins.fetch_add(1, Ordering::Relaxed);
                let frame = frame.lend(charge).map_err(|_| StoreError::Overload("read memory"))?;
                Ok((frame, None))
            }
            Err(guard) => {
                let (frame, told) = fill(charge).await?;
                self.fills.fetch_add(1, Ordering::Relaxed);
                // An error says that the entry was removed meanwhile; the frame is good all the
                // same.
                let _ = guard.insert(frame.retain());
                Ok((frame, Some(told)))
            }
        }
    }

    /// For metrics.
    pub(crate) fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            fills: self.fills.load(Ordering::Relaxed),
            joins: self.joins.load(Ordering::Relaxed),
            evictions: self.evictions.count.load(Ordering::Relaxed),
            bytes: self.frames.weight(),
        }
    }
}

/// The arena asks when free memory is too cut up for the frame that it must make.
impl Reclaim for FrameCache {
    /// Drops an eighth of what is cached, at least `bytes` and else at most [`RECLAIM_BYTES_MAX`],
    /// the coldest first. Of several lanes that ask at once one evicts; the others wait for it and
    /// look again.
    fn reclaim(&self, bytes: usize) -> bool {
        let _evicting = match self.reclaiming.try_lock() {
            Ok(evicting) => evicting,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                drop(self.reclaiming.lock().unwrap_or_else(PoisonError::into_inner));
                return true;
            }
        };
        let before = self.frames.weight();
        if before == 0 {
            return false;
        }
        if before <= THIN_BYTES {
            self.evictions.count.fetch_add(self.frames.len() as u64, Ordering::Relaxed);
            self.frames.clear(); // too thin over the shards for what is hot to be told from the rest
            return true;
        }
        let step = (before / 8).min(RECLAIM_BYTES_MAX).max(bytes as u64);
        // Something goes: what is cached exceeds the new capacity by more than the rounding of the
        // shards' parts, so at least one shard exceeds its part.
        self.frames.set_capacity(before.saturating_sub(step).max(THIN_BYTES));
        self.frames.set_capacity(self.capacity_bytes);
        true
    }
}

/// Few enough that a shard of the smallest cache holds many frames.
const CACHE_SHARDS: usize = 8;

/// One frame a shard.
const THIN_BYTES: u64 = CACHE_SHARDS as u64 * CHECKSUM_BLOCK_BYTES;

/// What one call evicts at most, unless asked for more: 16,384 frames of 4 KiB, each unlinked and
/// freed in under 0.5 µs, keep the lane for some milliseconds.
const RECLAIM_BYTES_MAX: u64 = 64 << 20;

/// Frames weigh what they take of the arena.
#[derive(Clone, Debug)]
struct FrameWeight;

impl Weighter<BlockKey, CacheFrame> for FrameWeight {
    fn weight(&self, _: &BlockKey, frame: &CacheFrame) -> u64 {
        frame.capacity() as u64
    }
}

/// Counts what is evicted. Otherwise the default: frames are dropped when the shard is not locked any
/// more, as far as they are two at most.
#[derive(Clone, Debug, Default)]
struct Evictions {
    count: Arc<AtomicU64>,
    dropping: DefaultLifecycle<BlockKey, CacheFrame>,
}

impl Lifecycle<BlockKey, CacheFrame> for Evictions {
    type RequestState =
        <DefaultLifecycle<BlockKey, CacheFrame> as Lifecycle<BlockKey, CacheFrame>>::RequestState;

    fn begin_request(&self) -> Self::RequestState {
        self.dropping.begin_request()
    }

    fn on_evict(&self, state: &mut Self::RequestState, key: BlockKey, frame: CacheFrame) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.dropping.on_evict(state, key, frame);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::arena::{Arena, ArenaOptions, Reservation, Share};

    fn arena() -> Arena {
        Arena::new(&ArenaOptions {
            bytes: 64 << 20,
            reads_bytes: 16 << 20,
            reads_growth_bytes: 0,
            writes_bytes: 4 << 20,
            writes_growth_bytes: 0,
            huge_pages: false,
            lock_memory: false,
        })
        .unwrap()
    }

    fn key(extent: u64) -> BlockKey {
        BlockKey { extent: ExtentId(extent), block: 0 }
    }

    /// A cache of `count` frames of `bytes`, of which those below `hot` were asked for often.
    fn filled(stream: &mut Reservation, count: u64, bytes: usize, hot: u64) -> FrameCache {
        let cache = FrameCache::new(32 << 20);
        for number in 0..count {
            let mut frame = stream.frame(bytes).unwrap();
            frame.append(b"content");
            cache.frames.insert(key(number), frame.share().retain());
            if number < hot {
                for _ in 0..3 {
                    assert!(cache.frames.get(&key(number)).is_some());
                }
            }
        }
        cache
    }

    #[test]
    fn reclaiming_drops_the_cold_first_and_in_steps() {
        let arena = arena();
        let mut stream = arena.reserve(Share::Reads, 1 << 20).unwrap();
        let (count, hot) = (256, 32);
        let cache = filled(&mut stream, count, 64 << 10, hot);
        let all = cache.frames.weight();
        assert_eq!(all, count * (64 << 10));
        let mut before = all;
        while cache.frames.weight() > all / 2 {
            assert!(cache.reclaim(4096));
            let after = cache.frames.weight();
            assert!(after < before, "every step drops something");
            assert!(after >= before / 4 * 3, "and not much: {before} to {after}");
            before = after;
        }
        let kept = (0..hot).filter(|number| cache.frames.peek(&key(*number)).is_some()).count();
        assert_eq!(kept as u64, hot, "what is hot stays");
        let free = arena.stats().free_bytes;
        assert_eq!(free, (64 << 20) - cache.frames.weight(), "what was dropped is free");
        let mut steps = 0;
        while cache.reclaim(4096) {
            steps += 1;
            assert!(steps < 100, "it ends");
        }
        assert_eq!(cache.frames.weight(), 0);
        assert_eq!(cache.stats().evictions, count);
        assert_eq!(arena.stats().free_bytes, 64 << 20);
    }

    #[test]
    fn lanes_that_ask_at_once_evict_once() {
        let arena = arena();
        let mut stream = arena.reserve(Share::Reads, 1 << 20).unwrap();
        let cache = Arc::new(filled(&mut stream, 256, 64 << 10, 0));
        let before = cache.frames.weight();
        let evicting = cache.reclaiming.lock().unwrap();
        let (begun, asking) = std::sync::mpsc::channel();
        let others: Vec<_> = (0..4)
            .map(|_| {
                let (cache, begun) = (Arc::clone(&cache), begun.clone());
                std::thread::spawn(move || {
                    begun.send(()).unwrap();
                    cache.reclaim(64 << 10)
                })
            })
            .collect();
        others.iter().for_each(|_| asking.recv().unwrap());
        std::thread::sleep(Duration::from_millis(300));
        drop(evicting);
        let looked_again = others.into_iter().all(|other| other.join().unwrap());
        assert!(looked_again);
        assert_eq!(cache.frames.weight(), before, "the one who evicts does it for all");
    }

    #[test]
    fn a_cache_of_small_frames_is_reclaimed_quickly() {
        let arena = arena();
        let mut stream = arena.reserve(Share::Reads, 1 << 20).unwrap();
        let count = 8000;
        let cache = filled(&mut stream, count, 4096, 0);
        let began = Instant::now();
        assert!(cache.reclaim(64 << 10));
        let took = began.elapsed();
        let dropped = count - cache.frames.weight() / 4096;
        eprintln!("{dropped} frames of 4 KiB dropped in {took:?}");
        assert!((900..=1100).contains(&dropped), "an eighth: {dropped}");
        // Under 1 µs each where nothing else runs; unoptimised, on a busy machine, a hundredfold.
        assert!(took < Duration::from_millis(200), "{took:?}");
    }
}
