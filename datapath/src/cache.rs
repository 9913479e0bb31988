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

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
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
    /// Bytes of frames that are cached now.
    pub bytes: u64,
}

/// Verified content by block.
pub(crate) struct FrameCache {
    frames: Cache<BlockKey, CacheFrame, FrameWeight>,
    capacity_bytes: u64,
    hits: AtomicU64,
    fills: AtomicU64,
    joins: AtomicU64,
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
        Self {
            frames: Cache::with_options(
                options,
                FrameWeight,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            ),
            capacity_bytes,
            hits: AtomicU64::new(0),
            fills: AtomicU64::new(0),
            joins: AtomicU64::new(0),
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

    /// The block, from here, from a fill that is under way, or by `fill`. A fill that fails or is
    /// dropped lets one of the others that wait for the block try in its place.
    pub(crate) async fn lookup_or_fill(
        &self,
        key: BlockKey,
        charge: Charge,
        fill: impl AsyncFnOnce(Charge) -> Result<SharedFrame, StoreError>,
    ) -> Result<SharedFrame, StoreError> {
        match self.frames.get_value_or_guard_async(&key).await {
            Ok(frame) => {
                self.joins.fetch_add(1, Ordering::Relaxed);
                frame.lend(charge).map_err(|_| StoreError::Overload("read memory"))
            }
            Err(guard) => {
                let frame = fill(charge).await?;
                self.fills.fetch_add(1, Ordering::Relaxed);
                // An error says that the entry was removed meanwhile; the frame is good all the
                // same.
                let _ = guard.insert(frame.retain());
                Ok(frame)
            }
        }
    }

    /// For metrics.
    pub(crate) fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            fills: self.fills.load(Ordering::Relaxed),
            joins: self.joins.load(Ordering::Relaxed),
            bytes: self.frames.weight(),
        }
    }
}

/// The arena asks when free memory is too cut up for the frame that it must make.
impl Reclaim for FrameCache {
    /// Drops `bytes`, or an eighth of what is cached when that is more, the coldest first.
    fn reclaim(&self, bytes: usize) -> bool {
        let before = self.frames.weight();
        if before == 0 {
            return false;
        }
        self.frames.set_capacity(before.saturating_sub((before / 8).max(bytes as u64)));
        self.frames.set_capacity(self.capacity_bytes);
        if self.frames.weight() == before {
            self.frames.clear(); // what is left lies too thinly over the shards to be dropped by weight
        }
        true
    }
}

/// Few enough that a shard of the smallest cache holds many frames.
const CACHE_SHARDS: usize = 8;

/// Frames weigh what they take of the arena.
#[derive(Clone, Debug)]
struct FrameWeight;

impl Weighter<BlockKey, CacheFrame> for FrameWeight {
    fn weight(&self, _: &BlockKey, frame: &CacheFrame) -> u64 {
        frame.capacity() as u64
    }
}
