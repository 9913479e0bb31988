//! Who refers to what: counts on extents and manifests, raised before others are lowered.
//!
//! Owns: linking and unlinking of bodies, and rows of `extents`, `block_checksums`, `manifests`
//! that live and die with the counts.
//! Not here: freeing in bounded steps (`reclaim`), readers' holds (`commit::holds`).
//!
//! An extent's count is the number of slices over all records that name it. When it reaches 0, an
//! extent with inline checksums loses its row at once: a reader took a copy of the row when it
//! pinned. One with checksum rows keeps them with count 0 until `reclaim` finds it unpinned, since
//! readers look those rows up as they go. A manifest and its parts likewise.

use heed::PutFlags;

use super::keys;
use super::mutation::{Content, NewExtent};
use super::reclaim::Work;
use super::record::{
    Body, Checksums, ExtentRecord, InlineChecksums, ManifestRecord, ObjectRecord, Slice,
    checksum_blocks,
};
use super::tables::IndexError;
use super::writer::{ApplyError, Released, WriteTransaction};
use crate::error::StoreError;
use crate::id::{ExtentId, ManifestId};
use crate::limits::{
    ATTRIBUTES_BYTES_MAX, CHECKSUMS_PER_ROW, DEVICE_BLOCK_BYTES, SLICES_PER_ROW_MAX,
};

impl WriteTransaction<'_> {
    /// Whether the content can be linked. Changes nothing.
    pub(super) fn check_content(&self, content: &Content) -> Result<(), ApplyError> {
        for extent in &content.extents {
            check_new_extent(extent)?;
        }
        let length = match &content.body {
            Body::Slices(slices) => self.check_slices(slices, &content.extents)?,
            _ if !content.extents.is_empty() => return Err(refused(UNUSED)),
            Body::Inline { data, .. } => data.len() as u64,
            Body::Manifest { id, parts } => {
                let record = self.tables.manifest(&self.txn, *id)?;
                match record {
                    Some(record) if record.references > 0 && record.parts == *parts => record.size,
                    _ => return Err(StoreError::SourceChanged.into()),
                }
            }
        };
        match length == content.size {
            true => Ok(()),
            false => {
                let error = StoreError::SizeMismatch { expected: content.size, got: length };
                Err(error.into())
            }
        }
    }

    /// Whether each slice lies in an extent that is there, and each new extent is used. Answers the
    /// slices' bytes.
    fn check_slices(&self, slices: &[Slice], new: &[NewExtent]) -> Result<u64, ApplyError> {
        if slices.len() > SLICES_PER_ROW_MAX {
            // Free space is so scattered that the content does not fit one record.
            return Err(StoreError::NoSpace.into());
        }
        let new = by_id(new);
        let mut used = vec![false; new.len()];
        let mut total = 0u64;
        for slice in slices {
            let data_length = match find(&new, slice.extent) {
                Some(at) => {
                    used[at] = true;
                    new[at].data_length
                }
                None => match self.tables.extent(&self.txn, slice.extent)? {
                    Some(record) if record.references > 0 => record.data_length,
                    _ => return Err(StoreError::SourceChanged.into()),
                },
            };
            let end = slice.offset.checked_add(slice.length);
            if slice.length == 0 || end.is_none_or(|end| end > data_length) {
                return Err(refused("a slice that is empty or leaves its extent"));
            }
            total = total.checked_add(slice.length).ok_or_else(|| refused("too many bytes"))?;
        }
        match used.iter().all(|used| *used) {
            true => Ok(total),
            false => Err(refused(UNUSED)),
        }
    }

    /// Adds the references of a body; [`WriteTransaction::check_content`] has allowed it.
    pub(super) fn link(&mut self, content: &Content) -> Result<(), IndexError> {
        if let Some(id) = content.body.manifest() {
            let mut record = self.manifest_there(id)?;
            record.references += 1;
            return self.tables.put_manifest(&mut self.txn, id, &record);
        }
        let new = by_id(&content.extents);
        for (extent, count) in counts(content.body.slices().iter().map(|slice| slice.extent)) {
            match find(&new, extent) {
                Some(at) => self.insert_extent(new[at], count)?,
                None => {
                    let mut record = self.extent_there(extent)?;
                    record.references += count;
                    self.tables.put_extent(&mut self.txn, extent, &record)?;
                }
            }
        }
        Ok(())
    }

    /// Takes away the references of an object that lost its record.
    pub(super) fn unlink_object(&mut self, record: &ObjectRecord) -> Result<(), IndexError> {
        let mut released =
            Released { row: record.row, extents: Vec::new(), manifest: record.body.manifest() };
        match &record.body {
            Body::Inline { .. } => return Ok(()),
            Body::Slices(slices) => {
                let extents = slices.iter().map(|slice| slice.extent);
                released.extents = counts(extents).into_iter().map(|(extent, _)| extent).collect();
                self.unlink_slices(slices)?;
            }
            Body::Manifest { id, .. } => {
                let mut manifest = self.manifest_there(*id)?;
                manifest.references = lower(manifest.references, 1)?;
                if manifest.references == 0 {
                    self.put_off(Work::Parts(*id))?;
                }
                self.tables.put_manifest(&mut self.txn, *id, &manifest)?;
            }
        }
        self.effects.released.push(released);
        Ok(())
    }

    /// Takes away the references of slices that no record holds any more.
    pub(super) fn unlink_slices(&mut self, slices: &[Slice]) -> Result<(), IndexError> {
        for (extent, count) in counts(slices.iter().map(|slice| slice.extent)) {
            let mut record = self.extent_there(extent)?;
            record.references = lower(record.references, count)?;
            match (record.references, record.checksums) {
                (0, Checksums::Inline(_)) => self.remove_extent(extent, &record)?,
                (0, Checksums::Rows) => {
                    self.put_off(Work::Extent(extent))?;
                    self.tables.put_extent(&mut self.txn, extent, &record)?;
                }
                _ => self.tables.put_extent(&mut self.txn, extent, &record)?,
            }
        }
        Ok(())
    }

    /// Removes the row of an extent and gives its space away.
    pub(super) fn remove_extent(
        &mut self,
        extent: ExtentId,
        record: &ExtentRecord,
    ) -> Result<(), IndexError> {
        self.tables.extents.delete(&mut self.txn, &keys::number(extent.0))?;
        self.effects.freed.push((extent, record.location));
        Ok(())
    }

    fn insert_extent(&mut self, new: &NewExtent, references: u64) -> Result<(), IndexError> {
        let checksums = match InlineChecksums::new(&new.crcs) {
            Some(inline) => Checksums::Inline(inline),
            None => {
                for (group, crcs) in (0..).zip(new.crcs.chunks(CHECKSUMS_PER_ROW)) {
                    let row: Vec<u8> = crcs.iter().flat_map(|crc| crc.to_le_bytes()).collect();
                    let key = keys::checksums(new.id, group);
                    self.tables.block_checksums.put(&mut self.txn, &key, &row)?;
                }
                Checksums::Rows
            }
        };
        let NewExtent { location, data_length, .. } = *new;
        let record = ExtentRecord { location, data_length, references, checksums };
        // An id that is there already means that the sequence was set back: stop rather than mix
        // two extents up.
        let (key, bytes) = (keys::number(new.id.0), record.encode());
        let flags = PutFlags::NO_OVERWRITE;
        Ok(self.tables.extents.put_with_flags(&mut self.txn, flags, &key, &bytes)?)
    }

    pub(super) fn extent_there(&self, extent: ExtentId) -> Result<ExtentRecord, IndexError> {
        let record = self.tables.extent(&self.txn, extent)?;
        record.ok_or(IndexError::Inconsistent("extents: a slice names an extent that is absent"))
    }

    fn manifest_there(&self, manifest: ManifestId) -> Result<ManifestRecord, IndexError> {
        let record = self.tables.manifest(&self.txn, manifest)?;
        record.ok_or(IndexError::Inconsistent("manifests: an object's manifest is absent"))
    }
}

/// Refuses attributes that are too long. The gateway's own limits lie far below.
pub(super) fn check_attributes(attributes: &[u8]) -> Result<(), ApplyError> {
    match attributes.len() <= ATTRIBUTES_BYTES_MAX {
        true => Ok(()),
        false => Err(refused("attributes of more than 64 KiB")),
    }
}

/// A caller broke the interface: an error rather than a panic, since the commit thread serves all.
pub(super) fn refused(what: &'static str) -> ApplyError {
    StoreError::Index(format!("refused: {what}").into()).into()
}

fn check_new_extent(extent: &NewExtent) -> Result<(), ApplyError> {
    let room = extent.location.length_blocks.checked_mul(DEVICE_BLOCK_BYTES as u64);
    if extent.data_length == 0 || room.is_none_or(|room| room < extent.data_length) {
        return Err(refused("a new extent whose data does not fit its blocks"));
    }
    if extent.crcs.len() as u64 != checksum_blocks(extent.data_length) {
        return Err(refused("a new extent without one checksum a block"));
    }
    if u32::try_from(extent.crcs.len()).is_err() {
        return Err(refused("a new extent of 256 TiB or more"));
    }
    Ok(())
}

fn lower(references: u64, by: u64) -> Result<u64, IndexError> {
    references.checked_sub(by).ok_or(IndexError::Inconsistent("a reference count is too low"))
}

const UNUSED: &str = "a new extent that its content does not use";

fn by_id(extents: &[NewExtent]) -> Vec<&NewExtent> {
    let mut sorted: Vec<&NewExtent> = extents.iter().collect();
    sorted.sort_unstable_by_key(|extent| extent.id);
    sorted
}

fn find(sorted: &[&NewExtent], extent: ExtentId) -> Option<usize> {
    sorted.binary_search_by_key(&extent, |candidate| candidate.id).ok()
}

/// How often each extent occurs, by id. Nearly always there is one.
fn counts(extents: impl Iterator<Item = ExtentId>) -> Vec<(ExtentId, u64)> {
    let mut counts: Vec<(ExtentId, u64)> = extents.map(|extent| (extent, 1)).collect();
    counts.sort_unstable();
    counts.dedup_by(|next, first| {
        let same = next.0 == first.0;
        first.1 += if same { next.1 } else { 0 };
        same
    });
    counts
}
