//! Pages of versions and delete markers, by key and newest first, with keys rolled up at a delimiter.
//!
//! Owns: [`Snapshot::list_versions`].
//! Not here: which keys a page begins with and rolls up (`list`, whose rules are the same).
//!
//! `current` has the latest version of a key if it is live, `versions` all others, newest first; so
//! the page is the two tables merged. Its cost is that of its entries: what a common prefix covers
//! is skipped by one seek in each table.

use std::ops::Bound;

use bytes::Bytes;
use heed::types::Bytes as Raw;
use heed::{RoRange, RoTxn, WithoutTls};

use super::keys;
use super::list::{Floor, common_prefix, floor, visited};
use super::lookup::Snapshot;
use super::record::{Marker, Object, ObjectView, VersionView};
use super::tables::{IndexError, Table, in_table};
use crate::id::{BucketId, RowId, VersionId};

/// Which versions to list.
#[derive(Debug, Clone)]
pub struct ListVersions {
    /// In which bucket.
    pub bucket: BucketId,
    /// Only keys that begin with this.
    pub prefix: Bytes,
    /// As in [`ListObjects`](super::ListObjects).
    pub delimiter: Option<Bytes>,
    /// Only versions of keys above this; a common prefix is skipped as in
    /// [`ListObjects`](super::ListObjects).
    pub key_after: Option<Bytes>,
    /// With `key_after`: also versions of that very key that are older than this one. The null version
    /// has no age of its own: once it is gone, all of the key's come again.
    pub version_after: Option<VersionId>,
    /// Most entries, versions, markers and common prefixes together.
    pub limit: usize,
}

/// A page of [`ListVersions`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionPage {
    /// By key, then from the newest to the oldest.
    pub entries: Vec<VersionEntry>,
    /// Whether there are more; never for a limit of 0.
    pub truncated: bool,
}

/// An entry of a [`VersionPage`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionEntry {
    /// An object's version.
    Version {
        /// The key.
        key: Bytes,
        /// What it is, cut as [`ListEntry::Object`](super::ListEntry::Object) is.
        object: Object,
        /// Whether it is the latest.
        latest: bool,
    },
    /// A delete marker.
    Marker {
        /// The key.
        key: Bytes,
        /// What it is.
        marker: Marker,
        /// Whether it is the latest.
        latest: bool,
    },
    /// Keys that share this prefix, at least one.
    Prefix(Bytes),
}

impl Snapshot<'_> {
    /// A page of versions. May touch many pages of the index, as [`Snapshot::list_objects`].
    ///
    /// # Errors
    /// As [`Snapshot::list_objects`].
    pub fn list_versions(&self, request: &ListVersions) -> Result<VersionPage, IndexError> {
        let ListVersions { bucket, prefix, limit, .. } = request;
        let delimiter = request.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
        let mut page = VersionPage::default();
        let Some(mut start) = self.start(request, delimiter)? else {
            return Ok(page);
        };
        if *limit == 0 {
            return Ok(page);
        }
        // The key that the last entry is of, beyond which entries are not the latest.
        let mut seen: Option<Bytes> = start.continued.take();
        let mut merge = Merge::begin(self, *bucket, prefix, &start)?;
        while let Some(row) = merge.next()? {
            if page.entries.len() == *limit {
                page.truncated = true;
                break;
            }
            if let Some(common) = common_prefix(row.key(), prefix, delimiter) {
                page.entries.push(VersionEntry::Prefix(Bytes::copy_from_slice(common)));
                match keys::successor(common) {
                    Some(above) => merge.skip_to(&above)?,
                    None => break,
                }
                continue;
            }
            let latest = seen.as_deref() != Some(row.key());
            let key = match (&seen, latest) {
                (Some(seen), false) => seen.clone(),
                _ => Bytes::copy_from_slice(row.key()),
            };
            seen = Some(key.clone());
            page.entries.push(row.entry(key, latest)?);
        }
        Ok(page)
    }

    /// Where the page begins in both tables; none where nothing can be.
    fn start(
        &self,
        request: &ListVersions,
        delimiter: Option<&[u8]>,
    ) -> Result<Option<Start>, IndexError> {
        let bucket = request.bucket;
        let key = match floor(&request.prefix, delimiter, request.key_after.as_deref()) {
            Floor::End => return Ok(None),
            Floor::From(key) => return Ok(Some(Start::at(bucket, &key))),
            Floor::Above(key) => key,
        };
        let after = match request.version_after {
            None => Some(RowId(0)),
            Some(VersionId::NULL) => {
                let null = self.tables.find(&self.txn, bucket, key, Some(VersionId::NULL))?;
                null.map(|(_, view)| view.row())
            }
            Some(version) => Some(RowId(version.0)),
        };
        let Some(after) = after else {
            return Ok(Some(Start::at(bucket, key)));
        };
        let live = self.tables.object(&self.txn, bucket, key)?;
        let current = keys::object(bucket, key);
        // What the last page ended with may have been removed since, and an older version be the
        // latest now.
        let (latest, current) = match live {
            Some(live) if live.row < after => (Some(live.row), Bound::Included(current)),
            Some(live) => (Some(live.row), Bound::Excluded(current)),
            None => {
                let newest = self.tables.newest_version(&self.txn, bucket, key)?;
                (newest.map(|newest| newest.row()), Bound::Excluded(current))
            }
        };
        let versions = Bound::Excluded(keys::version(bucket, key, after));
        let continued = latest.filter(|latest| *latest >= after);
        let continued = continued.map(|_| Bytes::copy_from_slice(key));
        Ok(Some(Start { current, versions, continued }))
    }
}

/// Where a merge begins.
struct Start {
    current: Bound<Vec<u8>>,
    versions: Bound<Vec<u8>>,
    /// The key whose latest version lies before the beginning.
    continued: Option<Bytes>,
}

impl Start {
    fn at(bucket: BucketId, key: &[u8]) -> Start {
        Start {
            current: Bound::Included(keys::object(bucket, key)),
            versions: Bound::Included(keys::key_floor(bucket, key)),
            continued: None,
        }
    }
}

/// A row of one of the tables.
enum Row<'t> {
    Current { key: &'t [u8], bytes: &'t [u8] },
    Version { key: Vec<u8>, bytes: &'t [u8] },
}

impl Row<'_> {
    fn key(&self) -> &[u8] {
        match self {
            Row::Current { key, .. } => key,
            Row::Version { key, .. } => key,
        }
    }

    fn entry(&self, key: Bytes, latest: bool) -> Result<VersionEntry, IndexError> {
        let view = match self {
            Row::Current { bytes, .. } => {
                VersionView::Object(ObjectView::decode(bytes).map_err(in_table("current"))?)
            }
            Row::Version { bytes, .. } => {
                VersionView::decode(bytes).map_err(in_table("versions"))?
            }
        };
        Ok(match view {
            VersionView::Object(view) => {
                VersionEntry::Version { key, object: view.to_listed(), latest }
            }
            VersionView::Marker(marker) => VersionEntry::Marker { key, marker, latest },
        })
    }
}

/// Both tables, side by side.
struct Merge<'t> {
    snapshot: &'t Snapshot<'t>,
    bucket: BucketId,
    current: Side<'t>,
    versions: Side<'t>,
}

/// One of the tables.
struct Side<'t> {
    rows: RoRange<'t, Raw, Raw>,
    /// The first key that no longer belongs.
    end: Bound<Vec<u8>>,
    /// What comes next, where it was looked at.
    ahead: Option<Option<Row<'t>>>,
}

impl<'t> Merge<'t> {
    fn begin(
        snapshot: &'t Snapshot<'t>,
        bucket: BucketId,
        prefix: &[u8],
        start: &Start,
    ) -> Result<Merge<'t>, IndexError> {
        let above = keys::successor(prefix);
        let bucket_end = || keys::successor(&keys::number(bucket.0));
        let current_end = match &above {
            Some(above) => Some(keys::object(bucket, above)),
            None => bucket_end(),
        };
        let versions_end = match &above {
            Some(above) => Some(keys::key_floor(bucket, above)),
            None => bucket_end(),
        };
        let (txn, tables) = (&snapshot.txn, snapshot.tables);
        let current = Side::begin(txn, &tables.current, &start.current, current_end)?;
        let versions = Side::begin(txn, &tables.versions, &start.versions, versions_end)?;
        Ok(Merge { snapshot, bucket, current, versions })
    }

    /// The next row of the two tables. A table is read no further than is needed to know it.
    fn next(&mut self) -> Result<Option<Row<'t>>, IndexError> {
        let current = self.current.peek(current_row)?;
        let versions = self.versions.peek(version_row)?;
        let from_current = match (current, versions) {
            (None, _) => false,
            (Some(_), None) => true,
            // The live latest version of a key is newer than its others.
            (Some(current), Some(version)) => current.key() <= version.key(),
        };
        Ok(if from_current { self.current.take() } else { self.versions.take() })
    }

    /// Goes on at this key. A table whose next row is known to lie behind it stays where it is.
    fn skip_to(&mut self, key: &[u8]) -> Result<(), IndexError> {
        let (txn, tables) = (&self.snapshot.txn, self.snapshot.tables);
        if self.current.is_before(key) {
            let start = Bound::Included(keys::object(self.bucket, key));
            self.current.seek(txn, &tables.current, &start)?;
        }
        if self.versions.is_before(key) {
            let start = Bound::Included(keys::key_floor(self.bucket, key));
            self.versions.seek(txn, &tables.versions, &start)?;
        }
        Ok(())
    }
}

impl<'t> Side<'t> {
    fn begin(
        txn: &'t RoTxn<'_, WithoutTls>,
        table: &Table,
        start: &Bound<Vec<u8>>,
        end: Option<Vec<u8>>,
    ) -> Result<Side<'t>, IndexError> {
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(Side { rows: table.range(txn, &(raw(start), raw(&end)))?, end, ahead: None })
    }

    fn seek(
        &mut self,
        txn: &'t RoTxn<'_, WithoutTls>,
        table: &Table,
        start: &Bound<Vec<u8>>,
    ) -> Result<(), IndexError> {
        self.rows = table.range(txn, &(raw(start), raw(&self.end)))?;
        self.ahead = None;
        Ok(())
    }

    fn peek(
        &mut self,
        decode: fn(&'t [u8], &'t [u8]) -> Result<Row<'t>, IndexError>,
    ) -> Result<Option<&Row<'t>>, IndexError> {
        let ahead = match self.ahead.take() {
            Some(ahead) => ahead,
            None => match self.rows.next() {
                Some(row) => {
                    visited();
                    let (key, bytes) = row?;
                    Some(decode(key, bytes)?)
                }
                None => None,
            },
        };
        Ok(self.ahead.insert(ahead).as_ref())
    }

    fn take(&mut self) -> Option<Row<'t>> {
        match self.ahead.take() {
            Some(Some(row)) => Some(row),
            // Nothing is behind the end.
            end => {
                self.ahead = end;
                None
            }
        }
    }

    /// Whether rows before this key may come next.
    fn is_before(&self, key: &[u8]) -> bool {
        match &self.ahead {
            Some(Some(row)) => row.key() < key,
            Some(None) => false,
            None => true,
        }
    }
}

fn raw(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(|key| &key[..])
}

fn current_row<'t>(key: &'t [u8], bytes: &'t [u8]) -> Result<Row<'t>, IndexError> {
    let (_, key) = keys::split_object(key).map_err(in_table("current"))?;
    Ok(Row::Current { key, bytes })
}

fn version_row<'t>(key: &'t [u8], bytes: &'t [u8]) -> Result<Row<'t>, IndexError> {
    let (_, key, _) = keys::split_version(key).map_err(in_table("versions"))?;
    Ok(Row::Version { key, bytes })
}
