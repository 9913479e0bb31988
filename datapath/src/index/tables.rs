//! The tables of the index, and reading one row of each.
//!
//! Owns: [`Tables`] (the LMDB databases), typed point reads that borrow from the map, and
//! [`IndexError`], what reading and writing them can fail with.
//! Not here: questions that callers ask (`lookup`, `list`), changes (`apply`).

use std::ops::Bound;

use heed::types::Bytes;
use heed::{Database, Env, RoTxn, RwTxn, WithoutTls};

use super::codec::DecodeError;
use super::keys;
use super::record::{
    Bucket, BucketState, ExtentRecord, ManifestRecord, ObjectView, PartRecord, PartView, Upload,
    VersionView,
};
use crate::error::StoreError;
use crate::id::{BucketId, ExtentId, ManifestId, PartNumber, RowId, UploadId, VersionId};
use crate::limits::{BUCKET_NAME_BYTES_MAX, OBJECT_KEY_BYTES_MAX};

/// One LMDB database of raw bytes.
pub(crate) type Table = Database<Bytes, Bytes>;

/// Why the index could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// LMDB or the file system under it.
    #[error("{0}")]
    Lmdb(#[from] heed::Error),
    /// A row is not what this program writes.
    #[error("table {table}: {error}; run the store's check")]
    Decode {
        /// The table.
        table: &'static str,
        /// What is wrong.
        error: DecodeError,
    },
    /// Two rows contradict each other.
    #[error("{0}; run the store's check")]
    Inconsistent(&'static str),
}

impl IndexError {
    /// Whether the index had no room: LMDB's map, its bound on pages in one transaction, or the
    /// file system. Nothing was changed then: pages of an abandoned transaction are not linked.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            IndexError::Lmdb(heed::Error::Mdb(error)) => {
                matches!(error, heed::MdbError::MapFull | heed::MdbError::TxnFull)
            }
            IndexError::Lmdb(heed::Error::Io(error)) => matches!(
                error.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            ),
            IndexError::Lmdb(_) | IndexError::Decode { .. } | IndexError::Inconsistent(_) => false,
        }
    }

    /// Whether LMDB or the system failed, rather than one row being wrong.
    pub(crate) fn is_fault(&self) -> bool {
        matches!(self, IndexError::Lmdb(_)) && !self.is_full()
    }
}

impl From<IndexError> for StoreError {
    fn from(error: IndexError) -> StoreError {
        match error {
            error if error.is_full() => StoreError::IndexFull,
            IndexError::Lmdb(heed::Error::Mdb(heed::MdbError::ReadersFull)) => {
                StoreError::Overload("index reader slots")
            }
            error => StoreError::Index(error.to_string().into()),
        }
    }
}

/// Names a table in a decoding error.
pub(crate) fn in_table(table: &'static str) -> impl Fn(DecodeError) -> IndexError {
    move |error| IndexError::Decode { table, error }
}

/// Keys from `first` to `last`, both included.
pub(crate) fn between<'k>(first: &'k [u8], last: &'k [u8]) -> (Bound<&'k [u8]>, Bound<&'k [u8]>) {
    (Bound::Included(first), Bound::Included(last))
}

/// In which table a version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// `current`: it is the live latest one.
    Current,
    /// `versions`.
    Versions,
}

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        /// The databases. Copying is cheap; all belong to one environment.
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct Tables {
            $($(#[$doc])* pub(crate) $name: Table,)*
        }

        /// The databases' names.
        pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),*];

        /// How many databases the environment must allow.
        pub(crate) const TABLES: u32 = NAMES.len() as u32;

        impl Tables {
            /// Opens every table; none when one is absent.
            pub(crate) fn open(
                env: &Env<WithoutTls>,
                txn: &RoTxn<'_>,
            ) -> heed::Result<Option<Tables>> {
                $(let Some($name) = env.open_database(txn, Some(stringify!($name)))? else {
                    return Ok(None);
                };)*
                Ok(Some(Tables { $($name),* }))
            }

            /// Opens every table, and makes those of [`ADDED_LATER`] that are absent; none when
            /// another one is.
            pub(crate) fn complete(
                env: &Env<WithoutTls>,
                txn: &mut RwTxn<'_>,
            ) -> heed::Result<Option<Tables>> {
                $(let $name = match env.open_database(txn, Some(stringify!($name)))? {
                    Some(table) => table,
                    None if ADDED_LATER.contains(&stringify!($name)) => {
                        env.create_database(txn, Some(stringify!($name)))?
                    }
                    None => return Ok(None),
                };)*
                Ok(Some(Tables { $($name),* }))
            }

            /// Creates every table.
            pub(crate) fn create(
                env: &Env<WithoutTls>,
                txn: &mut RwTxn<'_>,
            ) -> heed::Result<Tables> {
                Ok(Tables { $($name: env.create_database(txn, Some(stringify!($name)))?),* })
            }

            /// Pages in use over all tables, changes of the transaction included.
            pub(crate) fn pages(&self, txn: &RoTxn<'_>) -> heed::Result<u64> {
                let mut pages = 0;
                for table in [$(&self.$name),*] {
                    let stat = table.stat(txn)?;
                    pages += stat.branch_pages + stat.leaf_pages + stat.overflow_pages;
                }
                Ok(pages as u64)
            }
        }
    };
}

/// Tables that an index of this format may lack: it was made before there were any.
pub(crate) const ADDED_LATER: [&str; 2] = ["nulls", "bucket_settings"];

tables! {
    /// Name → number: format version, store id, identifier mark.
    settings;
    /// Bucket name → bucket.
    buckets;
    /// Bucket id → name, so that a write can tell that its bucket is still there.
    bucket_names;
    /// Bucket ‖ key → the live object.
    current;
    /// Bucket ‖ grouped key ‖ inverted row → a version that is not the live latest one, or a delete
    /// marker, also one that is the latest.
    versions;
    /// Bucket ‖ key → row of the null version, if it is in `versions`.
    nulls;
    /// Bucket ‖ kind → what the caller set.
    bucket_settings;
    /// Bucket ‖ grouped key ‖ upload id → nothing: the order in which uploads are listed.
    uploads;
    /// Upload id → upload.
    upload_rows;
    /// Upload or manifest ‖ part number → part.
    parts;
    /// Manifest ‖ row → directory of its parts.
    part_offsets;
    /// Manifest id → reference count, part count, size.
    manifests;
    /// Extent id → location, length, reference count, few checksums.
    extents;
    /// Extent ‖ group → many checksums.
    block_checksums;
    /// Kind ‖ id → cursor: what waits to be freed in bounded steps.
    reclaim;
}

impl Tables {
    pub(crate) fn bucket(&self, txn: &RoTxn<'_>, name: &str) -> Result<Option<Bucket>, IndexError> {
        // LMDB refuses empty keys, and longer names are never created.
        if name.is_empty() || name.len() > BUCKET_NAME_BYTES_MAX {
            return Ok(None);
        }
        let name = name.as_bytes();
        let bytes = self.buckets.get(txn, name)?;
        bytes.map(|bytes| Bucket::decode(name, bytes)).transpose().map_err(in_table("buckets"))
    }

    pub(crate) fn object<'t>(
        &self,
        txn: &'t RoTxn<'_>,
        bucket: BucketId,
        key: &[u8],
    ) -> Result<Option<ObjectView<'t>>, IndexError> {
        if key.len() > OBJECT_KEY_BYTES_MAX {
            return Ok(None);
        }
        let bytes = self.current.get(txn, &keys::object(bucket, key))?;
        bytes.map(ObjectView::decode).transpose().map_err(in_table("current"))
    }

    /// A bucket's state; none when it is not there.
    pub(crate) fn bucket_state(
        &self,
        txn: &RoTxn<'_>,
        bucket: BucketId,
    ) -> Result<Option<BucketState>, IndexError> {
        let Some(name) = self.bucket_names.get(txn, &keys::number(bucket.0))? else {
            return Ok(None);
        };
        let absent = IndexError::Inconsistent("bucket_names: a bucket without its row");
        let bytes = self.buckets.get(txn, name)?.ok_or(absent)?;
        Bucket::state(bytes).map(Some).map_err(in_table("buckets"))
    }

    /// The row of `versions` of this number.
    pub(crate) fn version_row<'t>(
        &self,
        txn: &'t RoTxn<'_>,
        bucket: BucketId,
        key: &[u8],
        row: RowId,
    ) -> Result<Option<VersionView<'t>>, IndexError> {
        if key.len() > OBJECT_KEY_BYTES_MAX {
            return Ok(None);
        }
        let bytes = self.versions.get(txn, &keys::version(bucket, key, row))?;
        bytes.map(VersionView::decode).transpose().map_err(in_table("versions"))
    }

    /// The newest row of `versions` of a key.
    pub(crate) fn newest_version<'t>(
        &self,
        txn: &'t RoTxn<'_>,
        bucket: BucketId,
        key: &[u8],
    ) -> Result<Option<VersionView<'t>>, IndexError> {
        if key.len() > OBJECT_KEY_BYTES_MAX {
            return Ok(None);
        }
        let floor = keys::key_floor(bucket, key);
        match self.versions.get_greater_than(txn, &floor)? {
            Some((found, bytes)) if found.starts_with(&floor) => {
                VersionView::decode(bytes).map(Some).map_err(in_table("versions"))
            }
            _ => Ok(None),
        }
    }

    /// The row of the null version, if it is in `versions`.
    pub(crate) fn null_row(
        &self,
        txn: &RoTxn<'_>,
        bucket: BucketId,
        key: &[u8],
    ) -> Result<Option<RowId>, IndexError> {
        if key.len() > OBJECT_KEY_BYTES_MAX {
            return Ok(None);
        }
        let bytes = self.nulls.get(txn, &keys::object(bucket, key))?;
        let row = bytes.map(keys::split_number).transpose().map_err(in_table("nulls"))?;
        Ok(row.map(RowId))
    }

    /// A version of a key, and where it is; without a version the latest. `versions` is looked into
    /// only when the live latest one is not what is asked for.
    pub(crate) fn find<'t>(
        &self,
        txn: &'t RoTxn<'_>,
        bucket: BucketId,
        key: &[u8],
        version: Option<VersionId>,
    ) -> Result<Option<(Place, VersionView<'t>)>, IndexError> {
        let current = self.object(txn, bucket, key)?;
        if let Some(view) = current
            && version.is_none_or(|version| version == view.version)
        {
            return Ok(Some((Place::Current, VersionView::Object(view))));
        }
        let found = match version {
            None => match self.newest_version(txn, bucket, key)? {
                Some(VersionView::Object(_)) => {
                    return Err(IndexError::Inconsistent("versions: the latest is not current"));
                }
                marker => marker,
            },
            Some(VersionId::NULL) => match self.null_row(txn, bucket, key)? {
                None => None,
                Some(row) => {
                    let found = self.version_row(txn, bucket, key, row)?;
                    let absent = IndexError::Inconsistent("nulls: a row without its version");
                    Some(found.ok_or(absent)?)
                }
            },
            // The null version has a row, too, but not by this name.
            Some(version) => self
                .version_row(txn, bucket, key, RowId(version.0))?
                .filter(|found| found.version() == version),
        };
        Ok(found.map(|view| (Place::Versions, view)))
    }

    pub(crate) fn extent(
        &self,
        txn: &RoTxn<'_>,
        extent: ExtentId,
    ) -> Result<Option<ExtentRecord>, IndexError> {
        let bytes = self.extents.get(txn, &keys::number(extent.0))?;
        bytes.map(ExtentRecord::decode).transpose().map_err(in_table("extents"))
    }

    pub(crate) fn manifest(
        &self,
        txn: &RoTxn<'_>,
        manifest: ManifestId,
    ) -> Result<Option<ManifestRecord>, IndexError> {
        let bytes = self.manifests.get(txn, &keys::number(manifest.0))?;
        bytes.map(ManifestRecord::decode).transpose().map_err(in_table("manifests"))
    }

    pub(crate) fn upload(
        &self,
        txn: &RoTxn<'_>,
        upload: UploadId,
    ) -> Result<Option<Upload>, IndexError> {
        let bytes = self.upload_rows.get(txn, &keys::number(upload.0))?;
        bytes
            .map(|bytes| Upload::decode(upload, bytes))
            .transpose()
            .map_err(in_table("upload_rows"))
    }

    pub(crate) fn part<'t>(
        &self,
        txn: &'t RoTxn<'_>,
        manifest: ManifestId,
        number: PartNumber,
    ) -> Result<Option<PartView<'t>>, IndexError> {
        let bytes = self.parts.get(txn, &keys::part(manifest, number))?;
        bytes.map(PartView::decode).transpose().map_err(in_table("parts"))
    }

    pub(crate) fn put_extent(
        &self,
        txn: &mut RwTxn<'_>,
        extent: ExtentId,
        record: &ExtentRecord,
    ) -> Result<(), IndexError> {
        Ok(self.extents.put(txn, &keys::number(extent.0), &record.encode())?)
    }

    pub(crate) fn put_manifest(
        &self,
        txn: &mut RwTxn<'_>,
        manifest: ManifestId,
        record: &ManifestRecord,
    ) -> Result<(), IndexError> {
        Ok(self.manifests.put(txn, &keys::number(manifest.0), &record.encode())?)
    }

    pub(crate) fn put_part(
        &self,
        txn: &mut RwTxn<'_>,
        manifest: ManifestId,
        number: PartNumber,
        record: &PartRecord,
    ) -> Result<(), IndexError> {
        Ok(self.parts.put(txn, &keys::part(manifest, number), &record.encode())?)
    }
}
