//! Opening a store: one process a store, devices and index that belong together, free space rebuilt
//! from the index.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::Semaphore;

use super::{
    LaneStore, Shared, StoreOptions, StorePlan, StoreStats, create,
    stats::Meters,
    watch::{Verdicts, Watch},
};
use crate::{
    arena::{Arena, ArenaError, MemoryDemand, MemoryPlan, MemoryTooSmall, Reclaim},
    cache::FrameCache,
    commit::{CommitOptions, CommitThread, DataFlush, FreeSpace},
    device::{
        self, BlockingPool, Capabilities, DeviceError, DeviceFault, DeviceSet, DeviceSpec, Engine,
        EngineKind, FlushHandle, FormatReport,
    },
    extent::alloc::Allocator,
    id::ExtentId,
    index::{ExtentLocation, Index, IndexError, IndexOpenError, IndexOptions},
    limits::{DEVICE_BLOCK_BYTES, PINS_PER_CONNECTION, WRITER_CHECKSUM_BYTES},
    pin::PinTable,
};

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system refused a file or directory.
    #[error("{}: cannot {action}: {error}", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// Another process has it.
    #[error(
        "{} is in use by another penstock process: stop that one, or give this one another data \
         directory",
        .0.display()
    )]
    InUse(PathBuf),
    /// There is no store, and none was to be made.
    #[error("{} holds no store: `penstock serve` or `penstock format` makes one", .0.display())]
    Absent(PathBuf),
    /// A device of the store.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexOpenError),
    /// Index and devices are of different stores.
    #[error(
        "the index in {} and the devices belong to different stores: give the data directory that \
         the devices were formatted with",
        .0.display()
    )]
    Mismatch(PathBuf),
    /// The index is damaged or can't be read.
    #[error("the index can't be read: {0}")]
    Damaged(#[from] IndexError),
    /// Two extents overlap, or one lies outside its device.
    #[error(
        "extent {extent} lies on blocks of another or outside its device ({location:?}): run \
         `penstock check`"
    )]
    Overlap {
        /// Which.
        extent: ExtentId,
        /// Where.
        location: ExtentLocation,
    },
    /// The memory budget.
    #[error(transparent)]
    Memory(#[from] MemoryTooSmall),
    /// The arena.
    #[error(transparent)]
    Arena(#[from] ArenaError),
    /// A thread could not be made.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// An open store.
pub struct Store {
    shared: Arc<Shared>,
    commit: CommitThread,
    /// Ends when dropped.
    _watch: Watch,
}

impl Store {
    /// Opens the store of `options`, or makes it where that is asked for and there is none.
    ///
    /// # Errors
    /// What is wrong, where, and what to do about it.
    pub fn open(options: &StoreOptions) -> Result<Store, OpenError> {
        let (lock, created) = prepare_directory(options)?;
        let devices = DeviceSet::open(&device_specs(options))?;
        let index = Index::open(&index_options(options))?;
        if index.store() != devices.store().0 {
            return Err(OpenError::Mismatch(options.data_dir.clone()));
        }
        assemble(options, lock, created, devices, index)
    }

    /// Makes a store: the extent file where no devices are listed, superblocks, the index.
    ///
    /// # Errors
    /// When a device holds something and `force` is off, naming what; what the system says.
    pub fn format(options: &StoreOptions, force: bool) -> Result<FormatReport, OpenError> {
        let _lock = lock_directory(options)?;
        create::create(options, force)
    }

    /// What the store was opened as.
    #[must_use]
    pub fn plan(&self) -> &StorePlan {
        &self.shared.plan
    }

    /// A handle by which threads other than the one that opened the store make lanes and read
    /// figures.
    #[must_use]
    pub fn handle(&self) -> StoreHandle {
        StoreHandle(Arc::clone(&self.shared))
    }

    /// Ends the commit thread after what is queued. Call it when all lanes have ended.
    pub fn close(self) {
        self.commit.close();
    }
}

/// Refers to an open store from any thread.
#[derive(Clone)]
pub struct StoreHandle(Arc<Shared>);

impl StoreHandle {
    /// The store for a lane, to be called on the lane's thread within its runtime: a tokio-uring one
    /// for [`EngineKind::IoUring`], any tokio one with a `LocalSet` otherwise. `number` tells lanes
    /// apart.
    #[must_use]
    pub fn lane(&self, kind: EngineKind, number: usize) -> LaneStore {
        let shared = &self.0;
        let engine = match kind {
            EngineKind::IoUring => Engine::io_uring(&shared.devices, &shared.arena),
            EngineKind::Blocking => Engine::blocking(&shared.devices, &shared.blocking),
            EngineKind::Crash => Engine::crash(&shared.devices),
        };
        shared.meters.add(engine.meter());
        LaneStore::new(Arc::clone(shared), engine, number)
    }

    /// The memory that all content moves through, for devices that are to reach it themselves.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        &self.0.arena
    }

    /// Figures of now.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        self.0.stats()
    }

    /// What the store was opened as.
    #[must_use]
    pub fn plan(&self) -> &StorePlan {
        &self.0.plan
    }
}

pub(super) const INDEX_DIRECTORY: &str = "index";
pub(super) const EXTENT_FILE: &str = "extents";
const LOCK_FILE: &str = "lock";

/// Puts the parts together.
pub(super) fn assemble(
    options: &StoreOptions,
    lock: File,
    created: bool,
    devices: DeviceSet,
    index: Index,
) -> Result<Store, OpenError> {
    let memory = MemoryPlan::derive(&MemoryDemand {
        total_bytes: options.memory_bytes,
        lanes: options.lanes,
        connections_max: options.connections_max,
        more: &options.memory_elsewhere,
        huge_pages: options.huge_pages,
        lock_memory: options.lock_memory,
    })?;
    let arena = Arena::new(&memory.arena)?;
    let cache = Arc::new(FrameCache::new(arena.cache_bytes()));
    let reclaim: Arc<dyn Reclaim> = Arc::clone(&cache) as Arc<dyn Reclaim>;
    arena.set_reclaim(Arc::downgrade(&reclaim));
    let allocator = Arc::new(rebuild_free_space(&devices, &index)?);
    let pins = Arc::new(PinTable::new(options.connections_max * PINS_PER_CONNECTION));
    let commit = CommitThread::start(CommitOptions {
        index: index.clone(),
        pins: Arc::clone(&pins),
        devices: devices.flush_handles().into_iter().map(|handle| Box::new(handle) as _).collect(),
        free: Arc::clone(&allocator) as Arc<dyn FreeSpace>,
    })
    .map_err(OpenError::Thread)?;
    let space = allocator.stats();
    let plan = StorePlan {
        capabilities: Capabilities::probe(&devices, &arena, options.lanes),
        mapping: arena.report(),
        memory,
        created,
        space_bytes: space.bytes_total,
        free_bytes: space.bytes_free,
    };
    let shared = Shared {
        index,
        pins,
        arena,
        cache,
        devices,
        allocator,
        commit: commit.handle(),
        checksum_memory: Arc::new(Semaphore::new(WRITER_CHECKSUM_BYTES)),
        blocking: BlockingPool::start().map_err(OpenError::Thread)?,
        meters: Meters::default(),
        verdicts: Verdicts::default(),
        plan,
        _lock: lock,
    };
    let shared = Arc::new(shared);
    let watch = Watch::start(Arc::downgrade(&shared)).map_err(OpenError::Thread)?;
    Ok(Store { shared, commit, _watch: watch })
}

/// The directory, locked, and whether a store was made in it just now.
fn prepare_directory(options: &StoreOptions) -> Result<(File, bool), OpenError> {
    if options.create {
        std::fs::create_dir_all(&options.data_dir).map_err(cannot(&options.data_dir, "create"))?;
    } else if !index_data_file(options).exists() {
        return Err(OpenError::Absent(options.data_dir.clone()));
    }
    let lock = lock_directory(options)?;
    let created = Index::made_for(&index_options(options))?.is_none();
    if created && !options.create {
        return Err(OpenError::Absent(options.data_dir.clone()));
    }
    if created {
        create::create(options, false)?;
    }
    Ok((lock, created))
}

/// Locks the directory for this process until the file is dropped.
pub(super) fn lock_directory(options: &StoreOptions) -> Result<File, OpenError> {
    std::fs::create_dir_all(&options.data_dir).map_err(cannot(&options.data_dir, "create"))?;
    let path = options.data_dir.join(LOCK_FILE);
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let lock = lock.map_err(cannot(&path, "open"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(options.data_dir.clone())),
        Err(TryLockError::Error(error)) => Err(OpenError::Io { path, action: "lock", error }),
    }
}

/// The devices that the options name.
pub(super) fn device_specs(options: &StoreOptions) -> Vec<DeviceSpec> {
    if options.devices.is_empty() {
        let path = options.data_dir.join(EXTENT_FILE);
        return vec![DeviceSpec { path, bytes: options.extent_file_bytes }];
    }
    let spec = |path: &PathBuf| DeviceSpec { path: path.clone(), bytes: None };
    options.devices.iter().map(spec).collect()
}

/// The file by which an index is known.
pub(super) fn index_data_file(options: &StoreOptions) -> PathBuf {
    options.data_dir.join(INDEX_DIRECTORY).join("data.mdb")
}

pub(super) fn index_options(options: &StoreOptions) -> IndexOptions {
    IndexOptions {
        path: options.data_dir.join(INDEX_DIRECTORY),
        map_bytes: options.index_map_bytes,
        #[cfg(test)]
        skip_flush: false,
    }
}

/// All that no extent of the index lies on.
fn rebuild_free_space(devices: &DeviceSet, index: &Index) -> Result<Allocator, OpenError> {
    let area = |device: &Arc<device::Device>| {
        let area = device.data_area();
        (area.start / DEVICE_BLOCK_BYTES as u64, area.end / DEVICE_BLOCK_BYTES as u64)
    };
    let allocator = Allocator::new(devices.devices().iter().map(area));
    index.read()?.each_extent(|extent, record| {
        let location = record.location;
        if allocator.adopt(location) {
            Ok(())
        } else {
            Err(OpenError::Overlap { extent, location })
        }
    })?;
    Ok(allocator)
}

pub(super) fn cannot(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |error| OpenError::Io { path, action, error }
}

impl FreeSpace for Allocator {
    fn release(&self, extent: ExtentLocation) {
        Allocator::release(self, extent);
    }
}

impl DataFlush for FlushHandle {
    fn flush(&mut self) -> Result<(), DeviceFault> {
        FlushHandle::flush(self).map(drop)
    }
}
