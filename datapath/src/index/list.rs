//! Pages of object keys and of uploads, in key order, with keys rolled up at a delimiter.
//!
//! Owns: [`Snapshot::list_objects`], [`Snapshot::list_uploads`].
//! Not here: versions (`list_versions`), tokens and encodings of a protocol, limits on the page (the caller's).
//!
//! The cost is that of the page: what a common prefix covers is skipped by one seek to the first
//! key above it.

use std::ops::Bound;

use bytes::Bytes;

use super::keys;
use super::lookup::Snapshot;
use super::record::{Object, ObjectView, Upload, listed};
use super::tables::{IndexError, Table, in_table};
use crate::id::{BucketId, UploadId};

/// Which objects to list.
#[derive(Debug, Clone)]
pub struct ListObjects {
    /// In which bucket.
    pub bucket: BucketId,
    /// Only keys that begin with this.
    pub prefix: Bytes,
    /// Rolls keys up that share everything from the prefix to this, inclusive. Empty is as none.
    pub delimiter: Option<Bytes>,
    /// Only keys above this. If it is itself a common prefix (it ends where the first delimiter
    /// after the prefix ends), everything that it covers is skipped too.
    pub after: Option<Bytes>,
    /// Most entries, objects and common prefixes together.
    pub limit: usize,
}

/// A page of [`ListObjects`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListPage {
    /// In key order.
    pub entries: Vec<ListEntry>,
    /// Whether there are more; never for a limit of 0.
    pub truncated: bool,
}

/// An entry of a [`ListPage`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all entries of a page are objects")]
pub enum ListEntry {
    /// An object.
    Object {
        /// Its key.
        key: Bytes,
        /// What it is, with the first `LISTED_ATTRIBUTES_BYTES_MAX` bytes of its attributes, its access
        /// list and its encryption, and without its tags.
        object: Object,
    },
    /// Keys that share this prefix, at least one.
    Prefix(Bytes),
}

/// Which unfinished uploads to list.
#[derive(Debug, Clone)]
pub struct ListUploads {
    /// In which bucket.
    pub bucket: BucketId,
    /// Only keys that begin with this.
    pub prefix: Bytes,
    /// As in [`ListObjects`].
    pub delimiter: Option<Bytes>,
    /// Only uploads to keys above this; a common prefix is skipped as in [`ListObjects`].
    pub key_after: Option<Bytes>,
    /// With `key_after`: also uploads to that very key with ids above this.
    pub upload_after: Option<UploadId>,
    /// Most entries, uploads and common prefixes together.
    pub limit: usize,
}

/// A page of [`ListUploads`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UploadPage {
    /// By key, then by upload id.
    pub entries: Vec<UploadEntry>,
    /// Whether there are more; never for a limit of 0.
    pub truncated: bool,
}

/// An entry of an [`UploadPage`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadEntry {
    /// An upload, with the first `LISTED_ATTRIBUTES_BYTES_MAX` bytes of its attributes.
    Upload(Upload),
    /// Keys of uploads that share this prefix, at least one.
    Prefix(Bytes),
}

impl Snapshot<'_> {
    /// A page of objects. May touch many pages of the index: call it where blocking is allowed.
    ///
    /// # Errors
    /// LMDB's fault, or a row that is damaged.
    pub fn list_objects(&self, request: &ListObjects) -> Result<ListPage, IndexError> {
        let ListObjects { bucket, prefix, limit, .. } = request;
        let delimiter = request.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
        let floor = floor(prefix, delimiter, request.after.as_deref());
        let start = match floor {
            Floor::From(key) => Bound::Included(keys::object(*bucket, &key)),
            Floor::Above(key) => Bound::Excluded(keys::object(*bucket, key)),
            Floor::End => {
                return Ok(ListPage { entries: Vec::new(), truncated: false });
            }
        };
        let end = keys::successor(&keys::object(*bucket, prefix));
        let mut entries = Vec::new();
        let truncated = scan(
            &ScanTable { snapshot: self, table: &self.tables.current, end, limit: *limit },
            start,
            &mut entries,
            |row, entries| {
                let (_, key) = keys::split_object(row.0).map_err(in_table("current"))?;
                if let Some(common) = common_prefix(key, prefix, delimiter) {
                    entries.push(ListEntry::Prefix(Bytes::copy_from_slice(common)));
                    return Ok(Next::Skip(
                        keys::successor(common).map(|key| keys::object(*bucket, &key)),
                    ));
                }
                let view = ObjectView::decode(row.1).map_err(in_table("current"))?;
                entries.push(ListEntry::Object {
                    key: Bytes::copy_from_slice(key),
                    object: view.to_listed(),
                });
                Ok(Next::Step)
            },
        )?;
        Ok(ListPage { entries, truncated })
    }

    /// A page of unfinished uploads. May touch many pages of the index, as [`Snapshot::list_objects`].
    ///
    /// # Errors
    /// As [`Snapshot::list_objects`].
    pub fn list_uploads(&self, request: &ListUploads) -> Result<UploadPage, IndexError> {
        let ListUploads { bucket, prefix, limit, .. } = request;
        let delimiter = request.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
        let start = match (floor(prefix, delimiter, request.key_after.as_deref()), request) {
            (Floor::Above(key), ListUploads { upload_after: Some(id), .. }) => {
                Bound::Excluded(keys::upload(*bucket, key, *id))
            }
            (Floor::Above(key), _) => {
                Bound::Excluded(keys::upload(*bucket, key, UploadId(u64::MAX)))
            }
            (Floor::From(key), _) => Bound::Included(keys::key_floor(*bucket, &key)),
            (Floor::End, _) => {
                return Ok(UploadPage { entries: Vec::new(), truncated: false });
            }
        };
        let end = match keys::successor(prefix) {
            Some(above) => Some(keys::key_floor(*bucket, &above)),
            None => keys::successor(&keys::number(bucket.0)),
        };
        let mut entries = Vec::new();
        let truncated = scan(
            &ScanTable { snapshot: self, table: &self.tables.uploads, end, limit: *limit },
            start,
            &mut entries,
            |row, entries| {
                let (_, key, id) = keys::split_upload(row.0).map_err(in_table("uploads"))?;
                if let Some(common) = common_prefix(&key, prefix, delimiter) {
                    entries.push(UploadEntry::Prefix(Bytes::copy_from_slice(common)));
                    return Ok(Next::Skip(
                        keys::successor(common).map(|key| keys::key_floor(*bucket, &key)),
                    ));
                }
                let upload = self.upload(id)?;
                let absent = IndexError::Inconsistent("uploads: an upload without its row");
                let mut upload = upload.ok_or(absent)?;
                upload.attributes = Bytes::copy_from_slice(listed(&upload.attributes));
                entries.push(UploadEntry::Upload(upload));
                Ok(Next::Step)
            },
        )?;
        Ok(UploadPage { entries, truncated })
    }
}

/// Where a listing begins.
pub(super) enum Floor<'r> {
    /// At this key.
    From(Vec<u8>),
    /// Above this key.
    Above(&'r [u8]),
    /// Nowhere: nothing can be above.
    End,
}

pub(super) fn floor<'r>(
    prefix: &[u8],
    delimiter: Option<&[u8]>,
    after: Option<&'r [u8]>,
) -> Floor<'r> {
    let Some(after) = after.filter(|after| *after >= prefix) else {
        return Floor::From(prefix.to_vec());
    };
    match common_prefix(after, prefix, delimiter) {
        Some(common) if common == after => match keys::successor(common) {
            Some(key) => Floor::From(key),
            None => Floor::End,
        },
        _ => Floor::Above(after),
    }
}

/// The key up to the end of the first delimiter after the prefix.
pub(super) fn common_prefix<'k>(
    key: &'k [u8],
    prefix: &[u8],
    delimiter: Option<&[u8]>,
) -> Option<&'k [u8]> {
    let delimiter = delimiter?;
    let rest = key.strip_prefix(prefix)?;
    let at = match delimiter {
        [byte] => rest.iter().position(|other| other == byte)?,
        _ => rest.windows(delimiter.len()).position(|window| window == delimiter)?,
    };
    Some(&key[..prefix.len() + at + delimiter.len()])
}

/// What follows an entry.
enum Next {
    /// The next row.
    Step,
    /// The first row at or above this key; none: there is nothing above.
    Skip(Option<Vec<u8>>),
}

struct ScanTable<'s> {
    snapshot: &'s Snapshot<'s>,
    table: &'s Table,
    /// The first key that no longer belongs; none: the table's end.
    end: Option<Vec<u8>>,
    limit: usize,
}

/// Counts a row that a listing looked at, for the tests that hold listings to their page's size.
pub(super) fn visited() {
    #[cfg(test)]
    super::tests::ROWS_VISITED.with(|rows| rows.set(rows.get() + 1));
}

/// Turns rows into entries until the page is full. Whether rows are left is the answer.
fn scan<E>(
    scan: &ScanTable<'_>,
    mut start: Bound<Vec<u8>>,
    entries: &mut Vec<E>,
    mut entry: impl FnMut((&[u8], &[u8]), &mut Vec<E>) -> Result<Next, IndexError>,
) -> Result<bool, IndexError> {
    if scan.limit == 0 {
        return Ok(false);
    }
    let end = match &scan.end {
        Some(end) => Bound::Excluded(&end[..]),
        None => Bound::Unbounded,
    };
    'seek: loop {
        let from = start.as_ref().map(|key| &key[..]);
        // LMDB returns nothing for a range that ends before it begins.
        for row in scan.table.range(&scan.snapshot.txn, &(from, end))? {
            let row = row?;
            visited();
            if entries.len() == scan.limit {
                return Ok(true);
            }
            match entry(row, entries)? {
                Next::Step => {}
                Next::Skip(None) => return Ok(false),
                Next::Skip(Some(key)) => {
                    start = Bound::Included(key);
                    continue 'seek;
                }
            }
        }
        return Ok(false);
    }
}
