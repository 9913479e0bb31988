//! Opening the LMDB environment: the index's only unsafe code.
//!
//! Owns: the environment's flags.
//! Not here: tables and settings (`mod`, `tables`).
#![allow(unsafe_code)]

use std::path::Path;

use heed::{Env, EnvFlags, EnvOpenOptions, WithoutTls};

use super::tables::TABLES;
use crate::limits::INDEX_READERS_MAX;

/// Opens or creates `data.mdb` and `lock.mdb` in the directory `path`.
///
/// Read transactions are not tied to threads: a lane interleaves many requests on one thread, and
/// each may hold its own. Commits are durable when they return: LMDB writes the pages, calls
/// fdatasync(2), then writes the meta page through a descriptor opened with O_DSYNC. `more` flags are
/// the tests', whose indexes need not survive; the program gives none.
///
/// Readahead is off, because a point lookup in an index larger than memory would read 128 KiB to
/// use 4.
pub(super) fn open(path: &Path, map_bytes: usize, more: EnvFlags) -> heed::Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(map_bytes).max_dbs(TABLES).max_readers(INDEX_READERS_MAX);
    assert!((more - EnvFlags::NO_SYNC).is_empty(), "the flags that the following argues for");
    // SAFETY: NO_READ_AHEAD only advises the kernel (madvise(2)). NO_SYNC weakens durability, not
    // memory safety: within one boot the page cache stays coherent. NO_LOCK is never set.
    unsafe { options.flags(EnvFlags::NO_READ_AHEAD | more) };
    // SAFETY: the map stays valid as long as nobody changes the file behind LMDB's back. Held by
    // the store's lock on its directory, which keeps other servers away, and by heed, which refuses
    // a second environment on the same path in this process. Until the last `Env` clone is dropped.
    unsafe { options.open(path) }
}
