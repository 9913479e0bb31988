//! The store: one handle for the process, one [`LaneStore`] for each lane.
//!
//! *Owns* the assembly of arena, devices, index, cache and commit thread, and the streams that move
//! content through them. *Not here*: any of those parts.

mod check;
mod content;
mod create;
mod fill;
mod frames;
mod lane;
mod open;
mod options;
mod read;
mod stats;
mod waiting;
mod watch;
mod write;

#[cfg(test)]
mod faults;
#[cfg(test)]
mod frames_tests;
#[cfg(test)]
mod metering;
#[cfg(test)]
mod reuse;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod versions_tests;

use std::{fs::File, sync::Arc};

use tokio::sync::Semaphore;

use crate::{
    arena::Arena,
    cache::FrameCache,
    commit::CommitHandle,
    device::{BlockingPool, DeviceSet},
    extent::alloc::Allocator,
    index::Index,
    pin::PinTable,
};

pub use check::{CheckProgress, CheckReport};
pub use frames::FrameWriter;
pub use lane::LaneStore;
pub use open::{OpenError, Store, StoreHandle};
pub use options::{DEFAULT_EXTENT_FILE_BYTES, StoreOptions, StorePlan};
pub use read::{OpenObject, PartSpan, ReadStream};
pub use stats::{DeviceStats, StoreStats};
pub use write::{Staged, Writer};

/// What all lanes share.
struct Shared {
    index: Index,
    pins: Arc<PinTable>,
    arena: Arena,
    cache: Arc<FrameCache>,
    devices: DeviceSet,
    allocator: Arc<Allocator>,
    commit: CommitHandle,
    /// Room for checksums of content that is not recorded yet, in bytes.
    checksum_memory: Arc<Semaphore>,
    blocking: Arc<BlockingPool>,
    meters: stats::Meters,
    verdicts: watch::Verdicts,
    plan: StorePlan,
    /// Held for the life of the process: a second one on the same store would overwrite extents.
    _lock: File,
}
