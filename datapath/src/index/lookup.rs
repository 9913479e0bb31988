//! Questions about one thing, answered from one state of the index.
//!
//! Owns: [`Snapshot`].
//! Not here: pages of keys (`list`), looking up under a pin (`pinned`).
//!
//! A lookup is some 0.85 µs when its pages are in memory and one page fault a level when they are
//! not, so lanes make them where they run; listings belong on a thread of their own.

use bytes::Bytes;
use heed::{RoTxn, WithoutTls};

use super::directory::{self, PartEntry};
use super::keys;
use super::record::{
    Bucket, Checksums, ExtentRecord, Found, ManifestRecord, ObjectView, Part, PartView, Upload,
    VersionView,
};
use super::tables::{IndexError, Tables, between, in_table};
use crate::id::{
    BucketId, ExtentId, ManifestId, PartNumber, RowId, SettingKind, UploadId, VersionId,
};
use crate::limits::CHECKSUMS_PER_ROW;

/// The index as it was at one commit.
pub struct Snapshot<'i> {
    pub(super) txn: RoTxn<'i, WithoutTls>,
    pub(super) tables: &'i Tables,
}

impl<'i> Snapshot<'i> {
    pub(super) fn new(txn: RoTxn<'i, WithoutTls>, tables: &'i Tables) -> Snapshot<'i> {
        Snapshot { txn, tables }
    }

    /// The bucket of this name.
    ///
    /// # Errors
    /// Here and below: LMDB's fault, or a row that is damaged.
    pub fn bucket(&self, name: &str) -> Result<Option<Bucket>, IndexError> {
        self.tables.bucket(&self.txn, name)
    }

    /// All buckets by name; at most [`BUCKETS_MAX`](crate::limits::BUCKETS_MAX).
    ///
    /// # Errors
    /// As [`Snapshot::bucket`].
    pub fn buckets(&self) -> Result<Vec<Bucket>, IndexError> {
        let mut buckets = Vec::new();
        for row in self.tables.buckets.iter(&self.txn)? {
            let (name, bytes) = row?;
            buckets.push(Bucket::decode(name, bytes).map_err(in_table("buckets"))?);
        }
        Ok(buckets)
    }

    /// The live object of this key, borrowed from the index.
    ///
    /// # Errors
    /// As [`Snapshot::bucket`].
    pub fn object(
        &self,
        bucket: BucketId,
        key: &[u8],
    ) -> Result<Option<ObjectView<'_>>, IndexError> {
        self.tables.object(&self.txn, bucket, key)
    }

    /// A version of a key, borrowed from the index; without a version the latest.
    ///
    /// # Errors
    /// As [`Snapshot::bucket`].
    pub fn version(
        &self,
        bucket: BucketId,
        key: &[u8],
        version: Option<VersionId>,
    ) -> Result<Found<ObjectView<'_>>, IndexError> {
        let found = self.tables.find(&self.txn, bucket, key, version)?;
        Ok(found.map_or(Found::Absent, |(_, view)| view.into_found()))
    }

    /// The version of this row, wherever it moved since the row was looked up.
    ///
    /// # Errors
    /// As [`Snapshot::bucket`].
    pub(super) fn row(
        &self,
        bucket: BucketId,
        key: &[u8],
        row: RowId,
    ) -> Result<Option<ObjectView<'_>>, IndexError> {
        if let Some(view) = self.object(bucket, key)?
            && view.row == row
        {
            return Ok(Some(view));
        }
        Ok(match self.tables.version_row(&self.txn, bucket, key, row)? {
            Some(VersionView::Object(view)) => Some(view),
            Some(VersionView::Marker(_)) | None => None,
        })
    }

    /// A setting of a bucket.
    ///
    /// # Errors
    /// As [`Snapshot::bucket`].
    pub fn setting(
        &self,
        bucket: BucketId,
        kind: SettingKind,
    ) -> Result<Option<Bytes>, IndexError> {
        let key = keys::setting(bucket, kind);
        let value = self.tables.bucket_settings.get(&self.txn, &key)?;
        Ok(value.map(Bytes::copy_from_slice))
    }

    /// All settings of a bucket, by kind.
    ///
    /// # Errors
    /// As [`Snapshot::bucket`].
    pub fn settings(&self, bucket: BucketId) -> Result<Vec<(SettingKind, Bytes)>, IndexError> {
        let mut settings = Vec::new();
        let prefix = keys::number(bucket.0);
        for row in self.tables.bucket_settings.prefix_iter(&self.txn, &prefix)? {
            let (key, value) = row?;
            let (_, kind) = keys::split_setting(key).map_err(in_table("bucket_settings"))?;
            settings.push((kind, Bytes::copy_from_slice(value)));
        }
        Ok(settings)
    }

    /// An extent's row.
    ///
    /// # Errors
    /// As [`Snapshot::bucket`].
    pub fn extent(&self, extent: ExtentId) -> Result<Option<ExtentRecord>, IndexError> {
        self.tables.extent(&self.txn, extent)
    }

    /// Checksums of `count` blocks of an extent from block `first`.
    ///
    /// # Errors
    /// As [`Snapshot::bucket`]; [`IndexError::Inconsistent`] when some are absent, as for blocks
    /// past the extent's end.
    pub fn checksums(
        &self,
        extent: ExtentId,
        record: &ExtentRecord,
        first: u64,
        count: usize,
    ) -> Result<Vec<u64>, IndexError> {
        let absent = || IndexError::Inconsistent("block_checksums: checksums of an extent absent");
        let first = usize::try_from(first).map_err(|_| absent())?;
        let end = first.checked_add(count).ok_or_else(absent)?;
        if let Checksums::Inline(inline) = &record.checksums {
            return Ok(inline.values().get(first..end).ok_or_else(absent)?.to_vec());
        }
        // Not all of `count` at once: it may come from a damaged row.
        let mut checksums = Vec::with_capacity(count.min(CHECKSUMS_PER_ROW));
        let mut block = first;
        while block < end {
            let group = u32::try_from(block / CHECKSUMS_PER_ROW).map_err(|_| absent())?;
            let key = keys::checksums(extent, group);
            let row = self.tables.block_checksums.get(&self.txn, &key)?.ok_or_else(absent)?;
            let start = block % CHECKSUMS_PER_ROW;
            let stop = CHECKSUMS_PER_ROW.min(start + end - block);
            let values = row.as_chunks::<8>().0.get(start..stop).ok_or_else(absent)?;
            checksums.extend(values.iter().map(|bytes| u64::from_le_bytes(*bytes)));
            block += stop - start;
        }
        Ok(checksums)
    }

    /// An unfinished upload.
    ///
    /// # Errors
    /// As [`Snapshot::bucket`].
    pub fn upload(&self, upload: UploadId) -> Result<Option<Upload>, IndexError> {
        self.tables.upload(&self.txn, upload)
    }

    /// Parts of an upload by number, from the one after `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Snapshot::bucket`].
    pub fn parts(
        &self,
        upload: UploadId,
        after: PartNumber,
        limit: usize,
    ) -> Result<Vec<Part>, IndexError> {
        let mut parts = Vec::new();
        let Some(first) = after.0.checked_add(1) else {
            return Ok(parts);
        };
        let first = keys::part(upload.into(), PartNumber(first));
        let last = keys::part(upload.into(), PartNumber(u16::MAX));
        for row in self.tables.parts.range(&self.txn, &between(&first, &last))?.take(limit) {
            let (key, bytes) = row?;
            let (_, number) = keys::split_part(key).map_err(in_table("parts"))?;
            parts.push(PartView::decode(bytes).map_err(in_table("parts"))?.to_part(number));
        }
        Ok(parts)
    }

    /// One part of an upload or of a completed one.
    ///
    /// # Errors
    /// As [`Snapshot::bucket`].
    pub fn part(
        &self,
        manifest: ManifestId,
        number: PartNumber,
    ) -> Result<Option<PartView<'_>>, IndexError> {
        self.tables.part(&self.txn, manifest, number)
    }

    /// The parts of a completed upload, taken together.
    ///
    /// # Errors
    /// As [`Snapshot::bucket`].
    pub fn manifest(&self, manifest: ManifestId) -> Result<Option<ManifestRecord>, IndexError> {
        self.tables.manifest(&self.txn, manifest)
    }

    /// Which part of a completed upload holds this byte of the object; none past its end. Reads two
    /// rows, whatever the number of parts.
    ///
    /// # Errors
    /// As [`Snapshot::bucket`].
    pub fn part_at(
        &self,
        manifest: ManifestId,
        offset: u64,
    ) -> Result<Option<PartEntry>, IndexError> {
        directory::find_offset(self.tables, &self.txn, manifest, offset)
    }

    /// Where a part of a completed upload lies in the object; none when it has no such part.
    ///
    /// # Errors
    /// As [`Snapshot::bucket`].
    pub fn part_entry(
        &self,
        manifest: ManifestId,
        number: PartNumber,
    ) -> Result<Option<PartEntry>, IndexError> {
        directory::find_number(self.tables, &self.txn, manifest, number)
    }

    /// Calls `each` for every extent, also those that wait to be reclaimed: together they are the
    /// space in use.
    ///
    /// # Errors
    /// As [`Snapshot::bucket`], or the first error of `each`.
    pub fn each_extent<E: From<IndexError>>(
        &self,
        mut each: impl FnMut(ExtentId, &ExtentRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        for row in self.tables.extents.iter(&self.txn).map_err(IndexError::from)? {
            let (key, bytes) = row.map_err(IndexError::from)?;
            let id = keys::split_number(key).map_err(in_table("extents"))?;
            let record = ExtentRecord::decode(bytes).map_err(in_table("extents"))?;
            each(ExtentId(id), &record)?;
        }
        Ok(())
    }
}
