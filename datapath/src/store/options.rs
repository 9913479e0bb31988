//! What a store is opened with, and what came of it.

use std::{fmt, path::PathBuf};

use crate::{
    arena::{MappingReport, MemoryPlan, Size},
    device::Capabilities,
};

/// Size of the extent file that a new store gets when nobody says otherwise and the disk has twice as
/// much left: enough for a first trial with real data, small enough for a laptop. It can be grown
/// later.
pub const DEFAULT_EXTENT_FILE_BYTES: u64 = 16 << 30;

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Directory of the index, the lock and, without [`Self::devices`], the extent file.
    pub data_dir: PathBuf,
    /// Block devices or files that were formatted; empty for the extent file in the directory.
    pub devices: Vec<PathBuf>,
    /// Size of the extent file from now on. None: [`DEFAULT_EXTENT_FILE_BYTES`] for a new one, the
    /// present size otherwise. A larger size grows it.
    pub extent_file_bytes: Option<u64>,
    /// Address space of the index: its largest size on disk.
    pub index_map_bytes: u64,
    /// Memory of the whole process.
    pub memory_bytes: u64,
    /// Lanes that will be made.
    pub lanes: usize,
    /// Of it, what the rest of the process needs: for what, and how much.
    pub memory_elsewhere: Vec<(String, u64)>,
    /// Connections that the process admits; each can read an object at any time.
    pub connections_max: usize,
    /// Whether to make the store when there is none.
    pub create: bool,
    /// Whether to ask for huge pages.
    pub huge_pages: bool,
    /// Whether to ask that the arena stays in memory.
    pub lock_memory: bool,
}

/// What a store was opened as. `Display` is the start message's part about it.
#[derive(Clone, Debug)]
pub struct StorePlan {
    /// The memory budget as a sum.
    pub memory: MemoryPlan,
    /// Which pages the arena got.
    pub mapping: MappingReport,
    /// What system and devices can do.
    pub capabilities: Capabilities,
    /// Whether the store was made just now.
    pub created: bool,
    /// Bytes for extents, over all devices.
    pub space_bytes: u64,
    /// Of these, bytes in no extent.
    pub free_bytes: u64,
}

impl fmt::Display for StorePlan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.created { "new" } else { "opened" };
        writeln!(
            formatter,
            "store: {how}, {} for extents, {} free",
            Size(self.space_bytes),
            Size(self.free_bytes)
        )?;
        writeln!(formatter, "{}", self.capabilities)?;
        writeln!(formatter, "arena: {}", self.mapping)?;
        write!(formatter, "{}", self.memory)
    }
}
