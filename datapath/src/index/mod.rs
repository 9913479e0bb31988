//! The index: which objects, uploads and extents there are.
//!
//! Owns: the LMDB environment, its format, and opening it. One writer (`commit`) changes it through
//! [`IndexWriter`]; any thread reads it through [`Snapshot`], without a lock.
//! Limits: section Index of `limits`.
//! Not here: object data, free space (rebuilt from [`Snapshot::each_extent`]), when to commit.
//!
//! ```text
//! buckets ─▶ current,  ─▶ inline bytes
//!            versions ├─▶ slices ─────────────────▶ extents ─▶ block_checksums
//!                     └─▶ manifests ─▶ parts ─▶ slices ─┘
//!            uploads ─▶ upload_rows ─▶ parts
//! ```

mod apply;
mod codec;
mod cost;
mod directory;
mod env;
mod growth;
mod keys;
mod list;
mod list_versions;
mod lookup;
mod mutation;
mod pinned;
mod reclaim;
mod record;
mod references;
mod sequence;
mod tables;
mod walk;
mod writer;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use heed::types::Bytes;
use heed::{Env, EnvFlags, WithoutTls};

pub use codec::DecodeError;
pub use directory::PartEntry;
pub use list::{ListEntry, ListObjects, ListPage, ListUploads, UploadEntry, UploadPage};
pub use list_versions::{ListVersions, VersionEntry, VersionPage};
pub use lookup::Snapshot;
pub use mutation::{
    Annotation, Condition, Content, Delete, Deletion, Mutation, NewBucket, NewExtent, NewObject,
    Outcome, Subject,
};
pub use pinned::{PinnedObject, open_pinned};
pub use reclaim::{Held, Reclaimed};
pub use record::{
    Body, BodyView, Bucket, Checksums, ExtentLocation, ExtentRecord, Found, InlineChecksums, Lock,
    LockedBy, ManifestRecord, Marker, Object, ObjectRecord, ObjectView, Part, PartRecord, PartView,
    Retention, RetentionMode, Slice, SliceList, Upload, VersionView, Versioning, checksum_blocks,
};
pub use sequence::IdSequence;
pub use tables::IndexError;
pub use walk::{EachExtent, Finding, WalkDevice, WalkProgress, WalkReport, walk};
pub use writer::{ApplyError, Effects, IndexWriter, Released, WriteTransaction};

use crate::limits::INDEX_MAP_BYTES_MIN;
use tables::Tables;

/// The open index. Cloning is cheap; all clones share one environment, which closes with the last.
#[derive(Clone)]
pub struct Index {
    env: Env<WithoutTls>,
    tables: Tables,
    ids: Arc<IdSequence>,
    store: [u8; 16],
}

/// How to open an index.
#[derive(Debug, Clone)]
pub struct IndexOptions {
    /// Its directory; made by [`Index::create`].
    pub path: PathBuf,
    /// Address space to map, which bounds the index's size. Raising it later is fine; lowering it
    /// below what is used has no effect.
    pub map_bytes: u64,
    /// Leaves out the flushes that make commits durable, for tests that do not cut the power.
    #[cfg(test)]
    pub(crate) skip_flush: bool,
}

/// Why the index does not open.
#[derive(Debug, thiserror::Error)]
pub enum IndexOpenError {
    /// The system refused.
    #[error("index {}: {error}", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// LMDB refused.
    #[error("index {}: {error}", path.display())]
    Lmdb {
        /// The index's directory.
        path: PathBuf,
        /// What LMDB said.
        error: heed::Error,
    },
    /// There is no index.
    #[error("{} holds no index: format the store first", .0.display())]
    Absent(PathBuf),
    /// There is one already.
    #[error("{} holds an index already", .0.display())]
    Present(PathBuf),
    /// It was written by another version of this program.
    #[error("index {}: format {found}, but this program reads format {FORMAT}", path.display())]
    Format {
        /// The index's directory.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// A setting is missing or damaged.
    #[error("index {}: setting {setting} is damaged: restore the index from a copy", path.display())]
    Setting {
        /// The index's directory.
        path: PathBuf,
        /// Which.
        setting: &'static str,
    },
    /// The map is too small or does not fit the address space.
    #[error("an index map of {0} bytes is impossible: give at least {INDEX_MAP_BYTES_MIN}")]
    MapBytes(u64),
    /// LMDB was built with short keys.
    #[error(
        "LMDB takes keys of {found} bytes only, {needed} are needed: build it with longer keys"
    )]
    KeyBytes {
        /// Longest key it takes.
        found: usize,
        /// Longest key of the tables.
        needed: usize,
    },
}

/// The layout of all tables together; records carry their own versions beside it.
const FORMAT: u64 = 1;

const SETTING_FORMAT: &[u8] = b"format";
const SETTING_STORE: &[u8] = b"store";
const SETTING_NEXT_ID: &[u8] = b"next_id";

impl Index {
    /// Makes a new index for the store with this id, durably.
    ///
    /// # Errors
    /// [`IndexOpenError::Present`] when there is one; otherwise what the system says.
    pub fn create(options: &IndexOptions, store: [u8; 16]) -> Result<Index, IndexOpenError> {
        let path = &options.path;
        let io = |error| IndexOpenError::Io { path: path.clone(), error };
        let lmdb = |error| IndexOpenError::Lmdb { path: path.clone(), error };
        std::fs::create_dir_all(path).map_err(io)?;
        let env = open_env(options)?;
        let mut txn = env.write_txn().map_err(lmdb)?;
        let tables = Tables::create(&env, &mut txn).map_err(lmdb)?;
        if !tables.settings.is_empty(&txn).map_err(lmdb)? {
            return Err(IndexOpenError::Present(path.clone()));
        }
        let settings = [
            (SETTING_FORMAT, &FORMAT.to_le_bytes()[..]),
            (SETTING_STORE, &store),
            (SETTING_NEXT_ID, &1u64.to_le_bytes()),
        ];
        for (name, value) in settings {
            tables.settings.put(&mut txn, name, value).map_err(lmdb)?;
        }
        txn.commit().map_err(lmdb)?;
        // The names of the new files are as much part of the store as their bytes.
        sync_directory(path).map_err(io)?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_directory(parent).map_err(io)?;
        }
        Ok(Index { env, tables, ids: Arc::new(IdSequence::starting_at(1)), store })
    }

    /// Opens the index that is there.
    ///
    /// # Errors
    /// [`IndexOpenError::Absent`] when there is none, `Format` and `Setting` when it is not this
    /// program's; otherwise what the system says.
    pub fn open(options: &IndexOptions) -> Result<Index, IndexOpenError> {
        let path = &options.path;
        let lmdb = |error| IndexOpenError::Lmdb { path: path.clone(), error };
        let damaged = |setting| IndexOpenError::Setting { path: path.clone(), setting };
        if !path.join("data.mdb").exists() {
            return Err(IndexOpenError::Absent(path.clone()));
        }
        let env = open_env(options)?;
        let mut txn = env.read_txn().map_err(lmdb)?;
        let tables = match Tables::open(&env, &txn).map_err(lmdb)? {
            Some(tables) => tables,
            None => {
                drop(txn);
                let completed = complete(&env).map_err(lmdb)?;
                txn = env.read_txn().map_err(lmdb)?;
                completed.ok_or_else(|| IndexOpenError::Absent(path.clone()))?
            }
        };
        let setting = |name| tables.settings.get(&txn, name).map_err(lmdb);
        let format = number(setting(SETTING_FORMAT)?).ok_or_else(|| damaged("format"))?;
        if format != FORMAT {
            return Err(IndexOpenError::Format { path: path.clone(), found: format });
        }
        let store = setting(SETTING_STORE)?.and_then(|bytes| bytes.try_into().ok());
        let store = store.ok_or_else(|| damaged("store"))?;
        let mark = number(setting(SETTING_NEXT_ID)?).ok_or_else(|| damaged("next_id"))?;
        // LMDB would die of a page that its file has lost.
        let pages = env.info().last_page_number as u64 + 1;
        let bytes = env.real_disk_size().map_err(lmdb)?;
        if bytes < pages * u64::from(env.stat().page_size) {
            return Err(damaged("length"));
        }
        // Handles opened by a read transaction become the environment's when it is committed.
        txn.commit().map_err(lmdb)?;
        Ok(Index { env, tables, ids: Arc::new(IdSequence::starting_at(mark)), store })
    }

    /// The id of the store whose index is there; None where [`Index::create`] has not ended: no data
    /// file, or an LMDB environment without any table, which LMDB makes before the first commit.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn made_for(options: &IndexOptions) -> Result<Option<[u8; 16]>, IndexOpenError> {
        let lmdb = |error| IndexOpenError::Lmdb { path: options.path.clone(), error };
        if !options.path.join("data.mdb").exists() {
            return Ok(None);
        }
        {
            let env = open_env(options)?;
            let txn = env.read_txn().map_err(lmdb)?;
            let tables = env.open_database::<Bytes, Bytes>(&txn, None).map_err(lmdb)?;
            if tables.is_none_or(|tables| tables.is_empty(&txn).unwrap_or(false)) {
                return Ok(None);
            }
        }
        Index::open(options).map(|index| Some(index.store))
    }

    /// The id of the store that this index belongs to.
    pub fn store(&self) -> [u8; 16] {
        self.store
    }

    /// Where identifiers come from.
    pub fn ids(&self) -> &Arc<IdSequence> {
        &self.ids
    }

    /// The present state, unchanged by later commits. Cheap (one reader slot); hold it briefly,
    /// since pages that it can see are not reused.
    ///
    /// # Errors
    /// When all reader slots are taken, or LMDB stopped after a fault.
    pub fn read(&self) -> Result<Snapshot<'_>, IndexError> {
        Ok(Snapshot::new(self.env.read_txn()?, &self.tables))
    }

    /// Bytes of the index file that its tables use now, and the most that they may.
    ///
    /// # Errors
    /// As [`Index::read`].
    pub fn bytes_used(&self) -> Result<(u64, u64), IndexError> {
        let txn = self.env.read_txn()?;
        let page = u64::from(self.env.stat().page_size);
        Ok((self.tables.pages(&txn)? * page, self.env.info().map_size as u64))
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Index").field("path", &self.env.path()).finish_non_exhaustive()
    }
}

fn open_env(options: &IndexOptions) -> Result<Env<WithoutTls>, IndexOpenError> {
    let impossible = || IndexOpenError::MapBytes(options.map_bytes);
    if options.map_bytes < INDEX_MAP_BYTES_MIN {
        return Err(impossible());
    }
    // LMDB wants whole pages; 64 KiB is the largest page size of any Linux.
    let map_bytes = options.map_bytes.checked_next_multiple_of(65_536).ok_or_else(impossible)?;
    let map_bytes = usize::try_from(map_bytes).map_err(|_| impossible())?;
    #[cfg(test)]
    let flags = if options.skip_flush { EnvFlags::NO_SYNC } else { EnvFlags::empty() };
    #[cfg(not(test))]
    let flags = EnvFlags::empty();
    let env = env::open(&options.path, map_bytes, flags)
        .map_err(|error| IndexOpenError::Lmdb { path: options.path.clone(), error })?;
    match env.max_key_size() {
        bytes if bytes >= keys::KEY_BYTES_MAX => Ok(env),
        found => Err(IndexOpenError::KeyBytes { found, needed: keys::KEY_BYTES_MAX }),
    }
}

/// Makes the tables that an index of an earlier program lacks; none when it is not an index of this
/// format.
fn complete(env: &Env<WithoutTls>) -> heed::Result<Option<Tables>> {
    let mut txn = env.write_txn()?;
    let Some(tables) = Tables::complete(env, &mut txn)? else {
        return Ok(None);
    };
    if number(tables.settings.get(&txn, SETTING_FORMAT)?) != Some(FORMAT) {
        return Ok(None);
    }
    txn.commit()?;
    Ok(Some(tables))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn number(bytes: Option<&[u8]>) -> Option<u64> {
    Some(u64::from_le_bytes(bytes?.try_into().ok()?))
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod version_model_tests;
