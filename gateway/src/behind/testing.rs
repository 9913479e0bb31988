//! A store as tests of what is behind the door need it: small, and gone with its directory.

use datapath::{Store, StoreOptions};

/// Memory of that store, in bytes.
pub(crate) const MEMORY_BYTES: u64 = 200 << 20;

/// A store in that directory; listings have 1 MiB of its memory.
pub(crate) fn store(directory: &tempfile::TempDir) -> Store {
    Store::open(&StoreOptions {
        data_dir: directory.path().to_owned(),
        devices: Vec::new(),
        extent_file_bytes: Some(64 << 20),
        index_map_bytes: 64 << 20,
        memory_bytes: MEMORY_BYTES,
        memory_elsewhere: vec![("listings".to_owned(), 1 << 20)],
        lanes: 1,
        connections_max: 10,
        create: true,
        huge_pages: false,
        lock_memory: false,
    })
    .unwrap()
}
