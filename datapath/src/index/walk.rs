//! The consistency walk: does everything in the index agree with everything else?
//!
//! Owns: [`walk`], [`Finding`].
//! Limits: `WALK_FINDINGS_MAX` findings in full, the rest counted; memory grows with the number of
//! extents and manifests, about 70 bytes each (700 MB for ten million objects).
//! Not here: reading data and verifying checksums; the caller does that, extent by extent, with what
//! this walk hands it. Offline only: it looks at one snapshot for as long as it takes.

use std::collections::HashMap;

use super::directory;
use super::keys;
use super::lookup::Snapshot;
use super::reclaim::Work;
use super::record::{
    BodyView, Bucket, Checksums, ExtentLocation, ExtentRecord, ManifestRecord, ObjectView,
    PartView, Upload, VersionView, Versioning, checksum_blocks,
};
use super::tables::{IndexError, Table};
use super::{DecodeError, Index};
use crate::extent::checksum;
use crate::id::{BucketId, DeviceId, ExtentId, ManifestId, PartNumber, RowId, UploadId, VersionId};
use crate::limits::{CHECKSUMS_PER_ROW, DEVICE_BLOCK_BYTES, WALK_FINDINGS_MAX, WALK_PROGRESS_ROWS};

/// A device, as far as the walk must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalkDevice {
    /// Its number.
    pub id: DeviceId,
    /// First block that extents may use; superblocks lie before it.
    pub first_block: u64,
    /// The block after the last that they may use.
    pub end_block: u64,
}

/// How far a walk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalkProgress {
    /// The table being read.
    pub table: &'static str,
    /// Its rows read so far.
    pub rows: u64,
    /// Its rows altogether.
    pub rows_total: u64,
}

/// What a walk found and went through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WalkReport {
    /// The first [`WALK_FINDINGS_MAX`] findings.
    pub findings: Vec<Finding>,
    /// How many there are.
    pub findings_total: u64,
    /// Buckets seen.
    pub buckets: u64,
    /// Objects seen: live latest versions.
    pub objects: u64,
    /// Versions seen beside them.
    pub versions: u64,
    /// Delete markers seen.
    pub markers: u64,
    /// Unfinished uploads seen.
    pub uploads: u64,
    /// Parts seen, of uploads and of objects.
    pub parts: u64,
    /// Extents seen.
    pub extents: u64,
    /// Bytes of objects and versions, copies counted again.
    pub object_bytes: u64,
    /// Bytes of devices in use by extents.
    pub extent_bytes: u64,
}

/// Something that must not be. Each names the table and the row's key in hex, and says what is
/// wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{table} {key}: {what}")]
pub struct Finding {
    /// The table.
    pub table: &'static str,
    /// The row's key in hex.
    pub key: String,
    /// What is wrong.
    pub what: String,
}

/// Called for an extent with all its checksums; what it answers becomes a finding.
pub type EachExtent<'c> = dyn FnMut(ExtentId, &ExtentRecord, &[u64]) -> Option<String> + 'c;

/// Walks the whole index. `progress` is called for each table and every
/// [`WALK_PROGRESS_ROWS`] rows; `each_extent` for every extent with all its checksums, so that the
/// caller may read and verify its data: what it answers becomes a finding.
///
/// # Errors
/// LMDB's fault. Damaged rows are findings.
pub fn walk(
    index: &Index,
    devices: &[WalkDevice],
    progress: &mut dyn FnMut(WalkProgress),
    each_extent: &mut EachExtent<'_>,
) -> Result<WalkReport, IndexError> {
    let snapshot = index.read()?;
    let mut walk = Walk {
        snapshot: &snapshot,
        report: WalkReport::default(),
        progress,
        buckets: HashMap::new(),
        extents: HashMap::new(),
        manifests: HashMap::new(),
    };
    walk.buckets()?;
    walk.extents(devices, each_extent)?;
    walk.checksum_rows()?;
    walk.manifests()?;
    walk.objects()?;
    walk.versions()?;
    walk.settings()?;
    walk.uploads()?;
    walk.parts()?;
    walk.part_offsets()?;
    walk.reclaim()?;
    walk.counts();
    Ok(walk.report)
}

struct Walk<'w> {
    snapshot: &'w Snapshot<'w>,
    report: WalkReport,
    progress: &'w mut dyn FnMut(WalkProgress),
    buckets: HashMap<BucketId, SeenBucket>,
    extents: HashMap<ExtentId, SeenExtent>,
    manifests: HashMap<ManifestId, SeenManifest>,
}

struct SeenBucket {
    name: Box<str>,
    versioning: Versioning,
}

struct SeenExtent {
    data_length: u64,
    /// What its row says.
    references: u64,
    /// Slices met.
    found: u64,
}

struct SeenManifest {
    record: ManifestRecord,
    /// Objects met.
    found: u64,
}

impl<'w> Walk<'w> {
    fn buckets(&mut self) -> Result<(), IndexError> {
        let tables = self.snapshot.tables;
        self.rows("buckets", &tables.buckets, |walk, key, bytes| {
            let bucket = Bucket::decode(key, bytes)?;
            walk.report.buckets += 1;
            let name = tables.bucket_names.get(&walk.snapshot.txn, &keys::number(bucket.id.0));
            if !matches!(name, Ok(Some(name)) if name == key) {
                walk.found("buckets", key, "its id does not lead back to its name");
            }
            let Bucket { id, name, versioning, .. } = bucket;
            walk.buckets.insert(id, SeenBucket { name, versioning });
            Ok(())
        })?;
        self.rows("bucket_names", &tables.bucket_names, |walk, key, name| {
            let id = BucketId(keys::split_number(key)?);
            if walk.buckets.get(&id).is_none_or(|bucket| bucket.name.as_bytes() != name) {
                walk.found("bucket_names", key, "no bucket has this id and name");
            }
            Ok(())
        })
    }

    fn extents(
        &mut self,
        devices: &[WalkDevice],
        each_extent: &mut EachExtent<'_>,
    ) -> Result<(), IndexError> {
        let mut places: Vec<(ExtentLocation, ExtentId)> = Vec::new();
        self.rows("extents", &self.snapshot.tables.extents, |walk, key, bytes| {
            let id = ExtentId(keys::split_number(key)?);
            let record = ExtentRecord::decode(bytes)?;
            let ExtentLocation { device, offset_blocks, length_blocks } = record.location;
            let device = devices.iter().find(|candidate| candidate.id == device);
            match device {
                None => walk.found("extents", key, "it lies on a device that is not there"),
                Some(device)
                    if offset_blocks < device.first_block
                        || offset_blocks + length_blocks > device.end_block =>
                {
                    walk.found("extents", key, "it leaves its device");
                }
                Some(_) => {}
            }
            let room = length_blocks.saturating_mul(DEVICE_BLOCK_BYTES as u64);
            if record.data_length == 0 || record.data_length > room {
                walk.found("extents", key, "its data does not fit its blocks");
            }
            walk.report.extents += 1;
            walk.report.extent_bytes = walk.report.extent_bytes.saturating_add(room);
            walk.extent_content(key, id, &record, each_extent);
            places.push((record.location, id));
            let ExtentRecord { data_length, references, .. } = record;
            walk.extents.insert(id, SeenExtent { data_length, references, found: 0 });
            Ok(())
        })?;
        places.sort_unstable();
        for pair in places.windows(2) {
            let [(first, id), (second, other)] = pair else {
                continue;
            };
            let end = first.offset_blocks + first.length_blocks;
            if first.device == second.device && second.offset_blocks < end {
                let what = format!("it overlaps extent {id}");
                self.found("extents", &keys::number(other.0), what);
            }
        }
        Ok(())
    }

    /// Checksums complete? Then the caller may hold the data against them. An extent without
    /// references is being taken apart, and nobody reads it.
    fn extent_content(
        &mut self,
        key: &[u8],
        id: ExtentId,
        record: &ExtentRecord,
        each_extent: &mut EachExtent<'_>,
    ) {
        if record.references == 0 {
            let waits = Work::Extent(id).waits(self.snapshot.tables, &self.snapshot.txn);
            if !matches!(waits, Ok(true)) {
                self.found("extents", key, "nothing refers to it and it waits for nothing");
            }
            return;
        }
        let blocks = usize::try_from(checksum_blocks(record.data_length)).unwrap_or(usize::MAX);
        let checksums = match blocks <= u32::MAX as usize {
            true => self.snapshot.checksums(id, record, 0, blocks),
            false => Err(IndexError::Inconsistent("it is impossibly long")),
        };
        match checksums {
            Ok(checksums) => {
                if let Some(what) = each_extent(id, record, &checksums) {
                    self.found("extents", key, what);
                }
            }
            Err(error) => self.found("extents", key, error.to_string()),
        }
    }

    fn checksum_rows(&mut self) -> Result<(), IndexError> {
        let table = &self.snapshot.tables.block_checksums;
        self.rows("block_checksums", table, |walk, key, bytes| {
            let (extent, group) = keys::split_checksums(key)?;
            let Some(seen) = walk.extents.get(&extent) else {
                walk.found("block_checksums", key, "its extent is not there");
                return Ok(());
            };
            let blocks = checksum_blocks(seen.data_length);
            let before = u64::from(group) * CHECKSUMS_PER_ROW as u64;
            let expected = blocks.saturating_sub(before).min(CHECKSUMS_PER_ROW as u64);
            let inline = matches!(
                walk.snapshot.extent(extent),
                Ok(Some(ExtentRecord { checksums: Checksums::Inline(_), .. }))
            );
            if inline || expected == 0 || bytes.len() as u64 != expected * 8 {
                walk.found("block_checksums", key, "it does not fit its extent's length");
            }
            Ok(())
        })
    }

    fn manifests(&mut self) -> Result<(), IndexError> {
        self.rows("manifests", &self.snapshot.tables.manifests, |walk, key, bytes| {
            let id = ManifestId(keys::split_number(key)?);
            let record = ManifestRecord::decode(bytes)?;
            walk.manifests.insert(id, SeenManifest { record, found: 0 });
            Ok(())
        })
    }

    fn objects(&mut self) -> Result<(), IndexError> {
        self.rows("current", &self.snapshot.tables.current, |walk, key, bytes| {
            let (bucket, _) = keys::split_object(key)?;
            let view = ObjectView::decode(bytes)?;
            walk.report.objects += 1;
            walk.object("current", key, bucket, &view);
            Ok(())
        })
    }

    /// What holds of a version in either table.
    fn object(&mut self, table: &'static str, key: &[u8], bucket: BucketId, view: &ObjectView<'_>) {
        self.report.object_bytes = self.report.object_bytes.saturating_add(view.size);
        self.version(table, key, bucket, (view.row, view.version));
        let size = match view.body {
            BodyView::Manifest { id, parts } => match self.manifests.get_mut(&id) {
                Some(seen) => {
                    seen.found += 1;
                    let same = seen.record.parts == parts;
                    let size = seen.record.size;
                    if !same {
                        self.found(table, key, "its manifest has other parts");
                    }
                    size
                }
                None => {
                    self.found(table, key, format!("manifest {id} is not there"));
                    view.size
                }
            },
            body => self.body(table, key, &body),
        };
        if size != view.size {
            self.found(table, key, format!("{size} bytes found, size {}", view.size));
        }
    }

    /// A bucket that allows the version, and a name that fits the row.
    fn version(
        &mut self,
        table: &'static str,
        key: &[u8],
        bucket: BucketId,
        (row, version): (RowId, VersionId),
    ) {
        match self.buckets.get(&bucket) {
            None => self.found(table, key, format!("bucket {bucket} is not there")),
            Some(seen)
                if seen.versioning == Versioning::Off
                    && (table == "versions" || version != VersionId::NULL) =>
            {
                self.found(table, key, "its bucket was never versioned");
            }
            Some(_) => {}
        }
        if version != VersionId::NULL && version.0 != row.0 {
            self.found(table, key, format!("version {version} has row {row}"));
        }
    }

    fn versions(&mut self) -> Result<(), IndexError> {
        let tables = self.snapshot.tables;
        // Bucket and key of the row before: only the first row of a key may be the latest.
        let mut before: Option<(BucketId, Vec<u8>)> = None;
        self.rows("versions", &tables.versions, |walk, key, bytes| {
            let (bucket, object, row) = keys::split_version(key)?;
            let view = VersionView::decode(bytes)?;
            if view.row() != row {
                walk.found("versions", key, format!("row {} stands in it", view.row()));
            }
            let newest = before.as_ref() != Some(&(bucket, object.clone()));
            if newest {
                walk.newest(key, (bucket, &object), &view)?;
            }
            if view.version() == VersionId::NULL
                && tables.null_row(&walk.snapshot.txn, bucket, &object)? != Some(row)
            {
                walk.found("versions", key, "no row of nulls leads to it");
            }
            match &view {
                VersionView::Object(view) => {
                    walk.report.versions += 1;
                    walk.object("versions", key, bucket, view);
                }
                VersionView::Marker(marker) => {
                    walk.report.markers += 1;
                    walk.version("versions", key, bucket, (marker.row, marker.version));
                }
            }
            before = Some((bucket, object));
            Ok(())
        })?;
        self.rows("nulls", &tables.nulls, |walk, key, bytes| {
            let (bucket, object) = keys::split_object(key)?;
            let row = RowId(keys::split_number(bytes)?);
            let there = tables.version_row(&walk.snapshot.txn, bucket, object, row)?;
            if there.is_none_or(|view| view.version() != VersionId::NULL) {
                walk.found("nulls", key, "its version is not there");
            }
            let live = tables.object(&walk.snapshot.txn, bucket, object)?;
            if live.is_some_and(|live| live.version == VersionId::NULL) {
                walk.found("nulls", key, "the key has a second null version");
            }
            Ok(())
        })
    }

    /// What holds of the newest row of `versions` of a key: the latest is newer, or it is the latest
    /// and a marker.
    fn newest(
        &mut self,
        key: &[u8],
        (bucket, object): (BucketId, &[u8]),
        view: &VersionView<'_>,
    ) -> Result<(), IndexError> {
        let live = self.snapshot.object(bucket, object)?.map(|live| live.row);
        match (live, view) {
            (Some(live), view) if live <= view.row() => {
                self.found("versions", key, "it is newer than the latest");
            }
            (None, VersionView::Object(_)) => {
                self.found("versions", key, "it is the latest, which belongs into current");
            }
            _ => {}
        }
        Ok(())
    }

    fn settings(&mut self) -> Result<(), IndexError> {
        self.rows("bucket_settings", &self.snapshot.tables.bucket_settings, |walk, key, _| {
            let (bucket, _) = keys::split_setting(key)?;
            if !walk.buckets.contains_key(&bucket) {
                walk.found("bucket_settings", key, format!("bucket {bucket} is not there"));
            }
            Ok(())
        })
    }

    /// Counts the references of a body without manifest, and answers its bytes.
    fn body(&mut self, table: &'static str, key: &[u8], body: &BodyView<'_>) -> u64 {
        let slices = match body {
            BodyView::Inline { data, crc64 } => {
                if checksum::crc64(data) != *crc64 {
                    self.found(table, key, "the data in it doesn't match its checksum");
                }
                return data.len() as u64;
            }
            BodyView::Slices(slices) => slices,
            BodyView::Manifest { .. } => return 0,
        };
        let mut bytes = 0u64;
        for slice in slices.iter() {
            bytes = bytes.saturating_add(slice.length);
            let end = slice.offset.saturating_add(slice.length);
            let what = match self.extents.get_mut(&slice.extent) {
                Some(seen) => {
                    seen.found += 1;
                    if end <= seen.data_length {
                        continue;
                    }
                    "a slice leaves extent"
                }
                None => "a slice names an absent extent,",
            };
            self.found(table, key, format!("{what} {}", slice.extent));
        }
        bytes
    }

    fn uploads(&mut self) -> Result<(), IndexError> {
        let tables = self.snapshot.tables;
        self.rows("upload_rows", &tables.upload_rows, |walk, key, bytes| {
            let upload = Upload::decode(UploadId(keys::split_number(key)?), bytes)?;
            walk.report.uploads += 1;
            if !walk.buckets.contains_key(&upload.bucket) {
                walk.found("upload_rows", key, format!("bucket {} is not there", upload.bucket));
            }
            let order = keys::upload(upload.bucket, &upload.key, upload.id);
            if !matches!(tables.uploads.get(&walk.snapshot.txn, &order), Ok(Some(_))) {
                walk.found("upload_rows", key, "no row of uploads leads to it");
            }
            Ok(())
        })?;
        self.rows("uploads", &tables.uploads, |walk, key, _| {
            let (bucket, object, id) = keys::split_upload(key)?;
            let row = walk.snapshot.upload(id);
            let same = |row: &Upload| row.bucket == bucket && row.key == object;
            if !matches!(row, Ok(Some(row)) if same(&row)) {
                walk.found("uploads", key, "its upload is not there");
            }
            Ok(())
        })
    }

    fn parts(&mut self) -> Result<(), IndexError> {
        let tables = self.snapshot.tables;
        self.rows("parts", &tables.parts, |walk, key, bytes| {
            let (manifest, number) = keys::split_part(key)?;
            let part = PartView::decode(bytes)?;
            walk.report.parts += 1;
            let size = walk.body("parts", key, &part.body);
            if size != part.size {
                walk.found("parts", key, format!("{size} bytes found, size {}", part.size));
            }
            if !walk.part_belongs(manifest, number)? {
                walk.found("parts", key, "it belongs to no upload and no object");
            }
            Ok(())
        })
    }

    fn part_belongs(&self, manifest: ManifestId, number: PartNumber) -> Result<bool, RowError> {
        let Snapshot { txn, tables } = self.snapshot;
        if tables.upload(txn, UploadId(manifest.0))?.is_some()
            || Work::Parts(manifest).waits(tables, txn)?
        {
            return Ok(true);
        }
        let listed = directory::find_number(tables, txn, manifest, number)?.is_some();
        Ok(self.manifests.contains_key(&manifest)
            && (listed || Work::Unlisted(manifest).waits(tables, txn)?))
    }

    /// The directories lead to the parts, and their sizes add up.
    fn part_offsets(&mut self) -> Result<(), IndexError> {
        let tables = self.snapshot.tables;
        self.rows("part_offsets", &tables.part_offsets, |walk, key, _| {
            let (manifest, _) = keys::split_part(key)?;
            if !walk.manifests.contains_key(&manifest) {
                walk.found("part_offsets", key, "its manifest is not there");
            }
            Ok(())
        })?;
        self.rows("manifests", &tables.manifests, |walk, key, _| {
            let id = ManifestId(keys::split_number(key)?);
            let Some(record) = walk.manifests.get(&id).map(|seen| seen.record) else {
                return Ok(());
            };
            if record.references == 0 {
                return Ok(());
            }
            let entries = directory::read_all(tables, &walk.snapshot.txn, id)?;
            let mut start = 0;
            for (number, end) in &entries {
                let size = walk.snapshot.part(id, *number)?.map(|part| part.size);
                if size.is_none() || end.checked_sub(start) != size {
                    walk.found("manifests", key, format!("part {number} is not as listed"));
                }
                start = *end;
            }
            if start != record.size || entries.len() != usize::from(record.parts) {
                walk.found("manifests", key, "its parts do not add up to it");
            }
            Ok(())
        })
    }

    fn reclaim(&mut self) -> Result<(), IndexError> {
        self.rows("reclaim", &self.snapshot.tables.reclaim, |walk, key, _| {
            let fits = match Work::from_key(key)? {
                Work::Parts(id) => walk.manifests.get(&id).is_none_or(|m| m.record.references == 0),
                Work::Unlisted(_) => true,
                Work::Extent(id) => walk.extents.get(&id).is_some_and(|e| e.references == 0),
            };
            if !fits {
                walk.found("reclaim", key, "it would free what is in use");
            }
            Ok(())
        })
    }

    fn counts(&mut self) {
        let extents = self.extents.iter().filter(|(_, seen)| seen.references != seen.found);
        let manifests =
            self.manifests.iter().filter(|(_, seen)| seen.record.references != seen.found);
        let mut wrong: Vec<(&'static str, u64, u64, u64)> = extents
            .map(|(id, seen)| ("extents", id.0, seen.references, seen.found))
            .chain(
                manifests.map(|(id, seen)| ("manifests", id.0, seen.record.references, seen.found)),
            )
            .collect();
        wrong.sort_unstable();
        for (table, id, says, found) in wrong {
            let what = format!("counts {says} references, {found} found");
            self.found(table, &keys::number(id), what);
        }
        let absent: Vec<ManifestId> = self
            .manifests
            .iter()
            .filter(|(id, seen)| {
                let waits = || Work::Parts(**id).waits(self.snapshot.tables, &self.snapshot.txn);
                seen.record.references == 0 && !matches!(waits(), Ok(true))
            })
            .map(|(id, _)| *id)
            .collect();
        for id in absent {
            let what = "nothing refers to it and it waits for nothing";
            self.found("manifests", &keys::number(id.0), what);
        }
    }

    /// Calls `row` for every row of a table; a row that cannot be decoded is a finding.
    fn rows(
        &mut self,
        name: &'static str,
        table: &Table,
        mut row: impl FnMut(&mut Self, &[u8], &[u8]) -> Result<(), RowError>,
    ) -> Result<(), IndexError> {
        let snapshot = self.snapshot;
        let rows_total = table.len(&snapshot.txn)?;
        (self.progress)(WalkProgress { table: name, rows: 0, rows_total });
        for (rows, entry) in (1u64..).zip(table.iter(&snapshot.txn)?) {
            let (key, bytes) = entry?;
            match row(self, key, bytes) {
                Ok(()) => {}
                Err(RowError::Decode(error)) => self.found(name, key, error.to_string()),
                Err(RowError::Index(error)) if error.is_fault() => return Err(error),
                Err(RowError::Index(error)) => self.found(name, key, error.to_string()),
            }
            if rows.is_multiple_of(WALK_PROGRESS_ROWS) {
                (self.progress)(WalkProgress { table: name, rows, rows_total });
            }
        }
        Ok(())
    }

    fn found(&mut self, table: &'static str, key: &[u8], what: impl Into<String>) {
        self.report.findings_total += 1;
        if self.report.findings.len() < WALK_FINDINGS_MAX {
            let key = key.iter().map(|byte| format!("{byte:02x}")).collect();
            self.report.findings.push(Finding { table, key, what: what.into() });
        }
    }
}

/// What keeps a row from being walked.
enum RowError {
    Decode(DecodeError),
    Index(IndexError),
}

impl From<DecodeError> for RowError {
    fn from(error: DecodeError) -> RowError {
        RowError::Decode(error)
    }
}

impl From<IndexError> for RowError {
    fn from(error: IndexError) -> RowError {
        RowError::Index(error)
    }
}
