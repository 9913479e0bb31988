//! Moving versions between `current` and `versions`.
//!
//! Owns: which version a change displaces and which it uncovers, and the table `nulls`.
//! Not here: what is put or deleted (`objects`), what a version refers to (`references`).
//!
//! The newest version of a key, the one of the highest row, is in `current` if it is an object; all
//! others, and every delete marker, are in `versions`. A row keeps its number where it moves, so
//! that readers which pinned it find it again.

use crate::error::StoreError;
use crate::id::{BucketId, RowId, VersionId};
use crate::index::keys;
use crate::index::mutation::{Annotation, Outcome};
use crate::index::record::{ObjectRecord, VersionRecord, VersionView, Versioning};
use crate::index::references::check_attributes;
use crate::index::tables::{IndexError, Place};
use crate::index::writer::{ApplyError, WriteTransaction};

/// A key of a bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot<'k> {
    pub(super) bucket: BucketId,
    pub(super) key: &'k [u8],
}

/// What a new latest version displaces.
#[derive(Debug)]
pub(super) struct Displaced {
    /// The bucket's.
    pub(super) versioning: Versioning,
    /// The live latest version, which stays as one that is not the latest.
    stays: Option<ObjectRecord>,
    /// What loses its record: the live latest version, or the null version wherever it is.
    goes: Option<(Place, VersionRecord)>,
}

impl Slot<'_> {
    /// The key in `current` and in `nulls`.
    pub(super) fn current(&self) -> Vec<u8> {
        keys::object(self.bucket, self.key)
    }

    fn version(&self, row: RowId) -> Vec<u8> {
        keys::version(self.bucket, self.key, row)
    }
}

impl WriteTransaction<'_> {
    /// The bucket's versioning.
    pub(super) fn versioning(&self, bucket: BucketId) -> Result<Versioning, ApplyError> {
        let state = self.tables.bucket_state(&self.txn, bucket)?;
        Ok(state.ok_or(StoreError::NoSuchBucket)?.versioning)
    }

    /// What a new latest version displaces, `live` being what is in `current`. Changes nothing.
    pub(super) fn displaced(
        &self,
        slot: Slot<'_>,
        versioning: Versioning,
        live: Option<ObjectRecord>,
    ) -> Result<Displaced, ApplyError> {
        let is_null = live.as_ref().is_some_and(|live| live.version == VersionId::NULL);
        let (stays, goes) = match versioning {
            Versioning::Enabled => (live, None),
            Versioning::Suspended if !is_null => {
                let null = self.tables.null_row(&self.txn, slot.bucket, slot.key)?;
                let null = null.map(|row| self.version_there(slot, row)).transpose()?;
                (live, null.map(|null| (Place::Versions, null)))
            }
            Versioning::Off | Versioning::Suspended => {
                (None, live.map(|live| (Place::Current, VersionRecord::Object(live))))
            }
        };
        if let Some((_, VersionRecord::Object(object))) = &goes {
            self.removable(object, false)?;
        }
        Ok(Displaced { versioning, stays, goes })
    }

    /// Moves or removes what was displaced. The row in `current` is gone or replaced already.
    pub(super) fn displace(
        &mut self,
        slot: Slot<'_>,
        displaced: Displaced,
    ) -> Result<(), ApplyError> {
        if let Some((place, record)) = displaced.goes {
            if place == Place::Versions {
                self.unfile_version(slot, record.row(), record.version())?;
            }
            if let VersionRecord::Object(object) = &record {
                self.unlink_object(object)?;
            }
        }
        match displaced.stays {
            Some(stays) => self.file_version(slot, &VersionRecord::Object(stays)),
            None => Ok(()),
        }
    }

    /// Writes a row of `versions`.
    pub(super) fn file_version(
        &mut self,
        slot: Slot<'_>,
        record: &VersionRecord,
    ) -> Result<(), ApplyError> {
        let bytes = match record {
            VersionRecord::Object(object) => object.encode(),
            VersionRecord::Marker(marker) => marker.encode(),
        };
        let row = record.row();
        self.tables.versions.put(&mut self.txn, &slot.version(row), &bytes)?;
        if record.version() == VersionId::NULL {
            self.tables.nulls.put(&mut self.txn, &slot.current(), &keys::number(row.0))?;
        }
        Ok(())
    }

    /// Removes a row of `versions`.
    pub(super) fn unfile_version(
        &mut self,
        slot: Slot<'_>,
        row: RowId,
        version: VersionId,
    ) -> Result<(), ApplyError> {
        self.tables.versions.delete(&mut self.txn, &slot.version(row))?;
        if version == VersionId::NULL {
            self.tables.nulls.delete(&mut self.txn, &slot.current())?;
        }
        Ok(())
    }

    /// Whether this row is the latest of its key.
    pub(super) fn is_latest(
        &self,
        slot: Slot<'_>,
        place: Place,
        row: RowId,
    ) -> Result<bool, ApplyError> {
        if place == Place::Current {
            return Ok(true);
        }
        if self.tables.object(&self.txn, slot.bucket, slot.key)?.is_some() {
            return Ok(false);
        }
        let newest = self.tables.newest_version(&self.txn, slot.bucket, slot.key)?;
        Ok(newest.is_some_and(|newest| newest.row() == row))
    }

    /// Makes the newest version that is left the latest: an object moves to `current`, a delete
    /// marker stays where it is.
    pub(super) fn promote(&mut self, slot: Slot<'_>) -> Result<(), ApplyError> {
        let newest = self.tables.newest_version(&self.txn, slot.bucket, slot.key)?;
        let Some(VersionView::Object(newest)) = newest else {
            return Ok(());
        };
        let record = newest.to_record();
        self.unfile_version(slot, record.row, record.version)?;
        self.tables.current.put(&mut self.txn, &slot.current(), &record.encode())?;
        Ok(())
    }

    pub(super) fn annotate(
        &mut self,
        slot: Slot<'_>,
        version: Option<VersionId>,
        annotation: &Annotation,
    ) -> Result<Outcome, ApplyError> {
        self.bucket_id_there(slot.bucket)?;
        let found = self.tables.find(&self.txn, slot.bucket, slot.key, version)?;
        let Some((place, VersionView::Object(view))) = found else {
            let error = match version {
                None => StoreError::NoSuchKey,
                Some(_) => StoreError::NoSuchVersion,
            };
            return Err(error.into());
        };
        let mut record = view.to_record();
        match annotation {
            Annotation::Tags(tags) => {
                check_attributes(tags)?;
                record.tags = tags.clone();
            }
            Annotation::Acl(acl) => {
                check_attributes(acl)?;
                record.acl = acl.clone();
            }
            Annotation::LegalHold(on) => record.lock.legal_hold = *on,
            Annotation::Retention { retention, bypass_governance } => {
                let forbids =
                    record.lock.forbids_change(*retention, self.now_ms, *bypass_governance);
                if let Some(by) = forbids {
                    return Err(StoreError::Locked(by).into());
                }
                record.lock.retention = *retention;
            }
        }
        self.room_to_grow()?;
        let (table, key) = match place {
            Place::Current => (self.tables.current, slot.current()),
            Place::Versions => (self.tables.versions, slot.version(record.row)),
        };
        table.put(&mut self.txn, &key, &record.encode())?;
        Ok(Outcome::Object(record))
    }

    fn version_there(&self, slot: Slot<'_>, row: RowId) -> Result<VersionRecord, ApplyError> {
        let view = self.tables.version_row(&self.txn, slot.bucket, slot.key, row)?;
        let absent = IndexError::Inconsistent("nulls: a row without its version");
        Ok(view.ok_or(absent)?.to_record())
    }
}
