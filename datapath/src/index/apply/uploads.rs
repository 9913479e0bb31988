//! Changes to multipart uploads.

use bytes::Bytes;

use super::objects::Stored;
use crate::error::StoreError;
use crate::id::{BucketId, ManifestId, PartId, PartNumber, UploadId};
use crate::index::directory;
use crate::index::keys;
use crate::index::mutation::{Content, NewObject, Outcome};
use crate::index::reclaim::Work;
use crate::index::record::{Body, ManifestRecord, PartRecord, PartView, Upload};
use crate::index::references::{check_attributes, refused};
use crate::index::tables::in_table;
use crate::index::writer::{ApplyError, WriteTransaction};
use crate::limits::{OBJECT_KEY_BYTES_MAX, PART_NUMBER_MAX, UPLOADS_MAX};

/// What a part is called and carries.
pub(super) struct NewPart<'m> {
    pub(super) number: PartNumber,
    pub(super) entity_tag: &'m str,
    pub(super) attributes: &'m Bytes,
}

impl WriteTransaction<'_> {
    pub(super) fn create_upload(
        &mut self,
        bucket: BucketId,
        key: &Bytes,
        attributes: &Bytes,
    ) -> Result<Outcome, ApplyError> {
        if key.len() > OBJECT_KEY_BYTES_MAX {
            return Err(StoreError::KeyTooLong.into());
        }
        check_attributes(attributes)?;
        self.bucket_id_there(bucket)?;
        if self.tables.upload_rows.len(&self.txn)? >= UPLOADS_MAX {
            return Err(StoreError::TooManyUploads.into());
        }
        self.room_to_grow()?;
        let upload = Upload {
            id: UploadId(self.ids.draw()),
            bucket,
            key: key.clone(),
            initiated_ms: self.now_ms,
            attributes: attributes.clone(),
        };
        let row = keys::number(upload.id.0);
        self.tables.upload_rows.put(&mut self.txn, &row, &upload.encode())?;
        self.tables.uploads.put(&mut self.txn, &keys::upload(bucket, key, upload.id), &[])?;
        Ok(Outcome::Upload(upload.id))
    }

    pub(super) fn put_part(
        &mut self,
        upload: UploadId,
        part: NewPart<'_>,
        content: &Content,
    ) -> Result<Outcome, ApplyError> {
        if part.number.0 == 0 || part.number.0 > PART_NUMBER_MAX {
            return Err(refused("a part number that is not between 1 and 10000"));
        }
        if content.body.manifest().is_some() {
            return Err(refused("a part made of a manifest"));
        }
        check_attributes(part.attributes)?;
        self.upload_there(upload)?;
        self.check_content(content)?;
        self.room_to_grow()?;
        let manifest = ManifestId::from(upload);
        let old = self.tables.part(&self.txn, manifest, part.number)?;
        let old = old.map(|old| old.body.to_body());
        self.link(content)?;
        let record = PartRecord {
            id: PartId(self.ids.draw()),
            size: content.size,
            modified_ms: self.now_ms,
            entity_tag: part.entity_tag.into(),
            attributes: part.attributes.clone(),
            crc64: content.crc64,
            body: content.body.clone(),
        };
        self.tables.put_part(&mut self.txn, manifest, part.number, &record)?;
        if let Some(old) = old {
            self.unlink_slices(old.slices())?;
        }
        Ok(Outcome::Part(record.to_part(part.number)))
    }

    pub(super) fn complete(
        &mut self,
        upload: UploadId,
        parts: &[(PartNumber, PartId)],
        object: &NewObject,
        crc64: Option<u64>,
    ) -> Result<Outcome, ApplyError> {
        let row = self.upload_there(upload)?;
        if row.bucket != object.bucket || row.key != object.key {
            return Err(StoreError::NoSuchUpload.into());
        }
        let old = self.allowed(object)?;
        let (entries, unlisted) = self.listed_parts(upload, parts)?;
        let Some(&(_, size)) = entries.last() else {
            return Err(StoreError::PartChanged(PartNumber(0)).into());
        };
        self.room_to_grow()?;
        let manifest = ManifestId::from(upload);
        // At most PART_NUMBER_MAX parts: numbers ascend and are rows of this upload.
        let count = entries.len() as u16;
        directory::write(&self.tables, &mut self.txn, manifest, &entries)?;
        let record = ManifestRecord { references: 1, parts: count, size };
        self.tables.put_manifest(&mut self.txn, manifest, &record)?;
        self.remove_upload(&row)?;
        if unlisted {
            self.put_off(Work::Unlisted(manifest))?;
        }
        let body = Body::Manifest { id: manifest, parts: count };
        self.replace(old, object, Stored { size, crc64, body })
    }

    pub(super) fn abort(&mut self, upload: UploadId) -> Result<Outcome, ApplyError> {
        let row = self.upload_there(upload)?;
        self.remove_upload(&row)?;
        self.put_off(Work::Parts(upload.into()))?;
        Ok(Outcome::Done)
    }

    /// Goes through the listed parts and the stored ones side by side. Answers number and end of
    /// each listed part, and whether there are others. Changes nothing.
    fn listed_parts(
        &self,
        upload: UploadId,
        listed: &[(PartNumber, PartId)],
    ) -> Result<(Vec<(PartNumber, u64)>, bool), ApplyError> {
        let changed = |number| ApplyError::from(StoreError::PartChanged(number));
        let mut entries: Vec<(PartNumber, u64)> = Vec::with_capacity(listed.len());
        let mut unlisted = false;
        let mut wanted = listed.iter().peekable();
        let prefix = keys::number(upload.0);
        for row in self.tables.parts.prefix_iter(&self.txn, &prefix)? {
            let (key, bytes) = row?;
            let (_, number) = keys::split_part(key).map_err(in_table("parts"))?;
            let Some((_, id)) = wanted.next_if(|(wanted, _)| *wanted == number) else {
                unlisted = true;
                continue;
            };
            let part = PartView::decode(bytes).map_err(in_table("parts"))?;
            if part.id != *id {
                return Err(changed(number));
            }
            let start = entries.last().map_or(0, |(_, end)| *end);
            let end = start.checked_add(part.size).ok_or_else(|| changed(number))?;
            entries.push((number, end));
        }
        match wanted.next() {
            // Absent, or out of order so that the rows had passed it.
            Some((number, _)) => Err(changed(*number)),
            None => Ok((entries, unlisted)),
        }
    }

    fn upload_there(&self, upload: UploadId) -> Result<Upload, ApplyError> {
        let row = self.tables.upload(&self.txn, upload)?;
        row.ok_or_else(|| StoreError::NoSuchUpload.into())
    }

    fn remove_upload(&mut self, upload: &Upload) -> Result<(), ApplyError> {
        let order = keys::upload(upload.bucket, &upload.key, upload.id);
        self.tables.uploads.delete(&mut self.txn, &order)?;
        self.tables.upload_rows.delete(&mut self.txn, &keys::number(upload.id.0))?;
        Ok(())
    }
}
