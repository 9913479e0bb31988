//! Changes to objects: putting, deleting, renaming.
//!
//! Not here: what becomes of the versions that a change displaces or uncovers (`versions`).

use bytes::Bytes;

use super::versions::{Displaced, Slot};
use crate::error::StoreError;
use crate::id::{BucketId, RowId, VersionId};
use crate::index::mutation::{Condition, Content, Delete, Deletion, NewObject, Outcome, Subject};
use crate::index::record::{Body, Marker, ObjectRecord, VersionRecord, Versioning};
use crate::index::references::check_attributes;
use crate::index::tables::Place;
use crate::index::writer::{ApplyError, WriteTransaction};
use crate::limits::OBJECT_KEY_BYTES_MAX;

/// What a new object is made of, beside what it is called.
pub(super) struct Stored {
    pub(super) size: u64,
    pub(super) crc64: Option<u64>,
    pub(super) body: Body,
}

impl WriteTransaction<'_> {
    pub(super) fn put(
        &mut self,
        object: &NewObject,
        content: &Content,
    ) -> Result<Outcome, ApplyError> {
        let displaced = self.allowed(object)?;
        self.check_content(content)?;
        self.room_to_grow()?;
        // First the new references, then the old ones away: an object copied onto itself must not
        // lose its extents in between.
        self.link(content)?;
        let Content { size, crc64, body, .. } = content;
        self.replace(displaced, object, Stored { size: *size, crc64: *crc64, body: body.clone() })
    }

    pub(super) fn delete(
        &mut self,
        bucket: BucketId,
        delete: &Delete,
    ) -> Result<Deletion, ApplyError> {
        let versioning = self.versioning(bucket)?;
        let slot = Slot { bucket, key: &delete.key };
        match (delete.version, versioning) {
            (Some(version), _) => self.delete_version(slot, version, delete),
            (None, Versioning::Off) => {
                let old = self.live(slot)?;
                delete.condition.check(old.as_ref())?;
                let Some(old) = old else {
                    return Ok(Deletion::Nothing);
                };
                self.removable(&old, delete.bypass_governance)?;
                self.tables.current.delete(&mut self.txn, &slot.current())?;
                self.unlink_object(&old)?;
                Ok(Deletion::Removed(old.to_object()))
            }
            (None, _) => self.mark_deleted(slot, versioning, delete),
        }
    }

    /// Covers the object by a delete marker, which a bucket with versioning gets also where nothing
    /// is.
    fn mark_deleted(
        &mut self,
        slot: Slot<'_>,
        versioning: Versioning,
        delete: &Delete,
    ) -> Result<Deletion, ApplyError> {
        if slot.key.len() > OBJECT_KEY_BYTES_MAX {
            return Err(StoreError::KeyTooLong.into());
        }
        check_attributes(&delete.marker_acl)?;
        let old = self.live(slot)?;
        delete.condition.check(old.as_ref())?;
        let covered = old.is_some();
        let displaced = self.displaced(slot, versioning, old)?;
        self.room_to_grow()?;
        let row = RowId(self.ids.draw());
        let marker = Marker {
            row,
            version: version_of(row, versioning),
            modified_ms: self.now_ms,
            acl: delete.marker_acl.clone(),
        };
        if covered {
            self.tables.current.delete(&mut self.txn, &slot.current())?;
        }
        self.displace(slot, displaced)?;
        self.file_version(slot, &VersionRecord::Marker(marker.clone()))?;
        Ok(Deletion::MarkerMade(marker))
    }

    fn delete_version(
        &mut self,
        slot: Slot<'_>,
        version: VersionId,
        delete: &Delete,
    ) -> Result<Deletion, ApplyError> {
        let found = self.tables.find(&self.txn, slot.bucket, slot.key, Some(version))?;
        let Some((place, view)) = found else {
            delete.condition.check(Subject::Absent)?;
            return Ok(Deletion::Nothing);
        };
        let record = view.to_record();
        let latest = self.is_latest(slot, place, record.row())?;
        delete.condition.check(match &record {
            VersionRecord::Marker(marker) => Subject::Marker { row: marker.row, latest },
            VersionRecord::Object(object) => Subject::Object {
                row: object.row,
                entity_tag: &object.entity_tag,
                size: object.size,
                modified_ms: object.modified_ms,
                latest,
            },
        })?;
        if let VersionRecord::Object(object) = &record {
            self.removable(object, delete.bypass_governance)?;
        }
        match place {
            Place::Current => {
                self.tables.current.delete(&mut self.txn, &slot.current())?;
            }
            Place::Versions => self.unfile_version(slot, record.row(), record.version())?,
        }
        if latest {
            self.promote(slot)?;
        }
        match record {
            VersionRecord::Marker(marker) => Ok(Deletion::MarkerRemoved(marker)),
            VersionRecord::Object(object) => {
                self.unlink_object(&object)?;
                Ok(Deletion::Removed(object.to_object()))
            }
        }
    }

    pub(super) fn delete_many(
        &mut self,
        bucket: BucketId,
        deletes: &[Delete],
    ) -> Result<Outcome, ApplyError> {
        self.bucket_id_there(bucket)?;
        let mut outcomes = Vec::with_capacity(deletes.len());
        for delete in deletes {
            outcomes.push(match self.delete(bucket, delete) {
                Ok(deletion) => Ok(deletion),
                Err(ApplyError::Refused(error)) => Err(error),
                Err(error @ ApplyError::Broken(_)) => return Err(error),
            });
        }
        Ok(Outcome::DeletedMany(outcomes))
    }

    /// Whether the object may be put, and what that displaces. Changes nothing.
    pub(super) fn allowed(&self, object: &NewObject) -> Result<Displaced, ApplyError> {
        if object.key.len() > OBJECT_KEY_BYTES_MAX {
            return Err(StoreError::KeyTooLong.into());
        }
        for bytes in [&object.attributes, &object.tags, &object.acl, &object.encryption] {
            check_attributes(bytes)?;
        }
        let versioning = self.versioning(object.bucket)?;
        let slot = Slot { bucket: object.bucket, key: &object.key };
        let old = self.live(slot)?;
        object.condition.check(old.as_ref())?;
        self.displaced(slot, versioning, old)
    }

    /// Writes the object's row, in the place of what it displaces.
    pub(super) fn replace(
        &mut self,
        displaced: Displaced,
        object: &NewObject,
        stored: Stored,
    ) -> Result<Outcome, ApplyError> {
        let row = RowId(self.ids.draw());
        let record = ObjectRecord {
            row,
            version: version_of(row, displaced.versioning),
            size: stored.size,
            modified_ms: self.now_ms,
            entity_tag: object.entity_tag.clone(),
            attributes: object.attributes.clone(),
            crc64: stored.crc64,
            tags: object.tags.clone(),
            acl: object.acl.clone(),
            lock: object.lock,
            encryption: object.encryption.clone(),
            body: stored.body,
        };
        let slot = Slot { bucket: object.bucket, key: &object.key };
        self.tables.current.put(&mut self.txn, &slot.current(), &record.encode())?;
        self.displace(slot, displaced)?;
        Ok(Outcome::Object(record))
    }

    pub(super) fn rename(
        &mut self,
        bucket: BucketId,
        from: &Bytes,
        to: &Bytes,
        source: &Condition,
        destination: &Condition,
    ) -> Result<Outcome, ApplyError> {
        if to.len() > OBJECT_KEY_BYTES_MAX {
            return Err(StoreError::KeyTooLong.into());
        }
        if self.versioning(bucket)? != Versioning::Off {
            return Err(StoreError::Versioned.into());
        }
        let (from, to) = (Slot { bucket, key: from }, Slot { bucket, key: to });
        let record = self.live(from)?;
        source.check(record.as_ref())?;
        let record = record.ok_or(StoreError::NoSuchKey)?;
        let replaced = self.live(to)?;
        destination.check(replaced.as_ref())?;
        if from.key == to.key {
            return Ok(Outcome::Object(record));
        }
        self.removable(&record, false)?;
        if let Some(replaced) = &replaced {
            self.removable(replaced, false)?;
        }
        self.room_to_grow()?;
        self.tables.current.delete(&mut self.txn, &from.current())?;
        self.tables.current.put(&mut self.txn, &to.current(), &record.encode())?;
        if let Some(replaced) = replaced {
            self.unlink_object(&replaced)?;
        }
        Ok(Outcome::Object(record))
    }

    /// The live latest version.
    fn live(&self, slot: Slot<'_>) -> Result<Option<ObjectRecord>, ApplyError> {
        let view = self.tables.object(&self.txn, slot.bucket, slot.key)?;
        Ok(view.map(|view| view.to_record()))
    }

    /// Refuses to remove what a lock protects.
    pub(super) fn removable(
        &self,
        record: &ObjectRecord,
        bypass_governance: bool,
    ) -> Result<(), ApplyError> {
        match record.lock.forbids_removal(self.now_ms, bypass_governance) {
            None => Ok(()),
            Some(by) => Err(StoreError::Locked(by).into()),
        }
    }
}

/// How clients name what gets this row.
fn version_of(row: RowId, versioning: Versioning) -> VersionId {
    match versioning {
        Versioning::Enabled => VersionId(row.0),
        Versioning::Off | Versioning::Suspended => VersionId::NULL,
    }
}
