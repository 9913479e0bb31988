//! Changes to objects.

use bytes::Bytes;

use crate::error::StoreError;
use crate::id::{BucketId, RowId};
use crate::index::keys;
use crate::index::mutation::{Condition, Content, NewObject, Outcome};
use crate::index::record::{Body, ObjectRecord};
use crate::index::references::check_attributes;
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
        let old = self.allowed(object)?;
        self.check_content(content)?;
        self.room_to_grow()?;
        // First the new references, then the old ones away: an object copied onto itself must not
        // lose its extents in between.
        self.link(content)?;
        let Content { size, crc64, body, .. } = content;
        self.replace(old, object, Stored { size: *size, crc64: *crc64, body: body.clone() })
    }

    pub(super) fn delete(
        &mut self,
        bucket: BucketId,
        key: &Bytes,
        condition: &Condition,
    ) -> Result<Option<ObjectRecord>, ApplyError> {
        self.bucket_id_there(bucket)?;
        let old = self.tables.object(&self.txn, bucket, key)?.map(|view| view.to_record());
        condition.check(old.as_ref().map(|old| &*old.entity_tag))?;
        if let Some(old) = &old {
            self.tables.current.delete(&mut self.txn, &keys::object(bucket, key))?;
            self.unlink_object(old)?;
        }
        Ok(old)
    }

    pub(super) fn delete_many(
        &mut self,
        bucket: BucketId,
        keys: &[(Bytes, Condition)],
    ) -> Result<Outcome, ApplyError> {
        self.bucket_id_there(bucket)?;
        let mut outcomes = Vec::with_capacity(keys.len());
        for (key, condition) in keys {
            outcomes.push(match self.delete(bucket, key, condition) {
                Ok(old) => Ok(old),
                Err(ApplyError::Refused(error)) => Err(error),
                Err(error @ ApplyError::Broken(_)) => return Err(error),
            });
        }
        Ok(Outcome::DeletedMany(outcomes))
    }

    /// Whether the object may be put, and what has its key now. Changes nothing.
    pub(super) fn allowed(&self, object: &NewObject) -> Result<Option<ObjectRecord>, ApplyError> {
        if object.key.len() > OBJECT_KEY_BYTES_MAX {
            return Err(StoreError::KeyTooLong.into());
        }
        check_attributes(&object.attributes)?;
        self.bucket_id_there(object.bucket)?;
        let old = self.tables.object(&self.txn, object.bucket, &object.key)?;
        object.condition.check(old.as_ref().map(|old| old.entity_tag))?;
        Ok(old.map(|old| old.to_record()))
    }

    /// Writes the object's row over the old one, whose references go.
    pub(super) fn replace(
        &mut self,
        old: Option<ObjectRecord>,
        object: &NewObject,
        stored: Stored,
    ) -> Result<Outcome, ApplyError> {
        let record = ObjectRecord {
            row: RowId(self.ids.draw()),
            version: 0,
            size: stored.size,
            modified_ms: self.now_ms,
            entity_tag: object.entity_tag.clone(),
            attributes: object.attributes.clone(),
            crc64: stored.crc64,
            lock: Bytes::new(),
            encryption: Bytes::new(),
            body: stored.body,
        };
        let key = keys::object(object.bucket, &object.key);
        self.tables.current.put(&mut self.txn, &key, &record.encode())?;
        if let Some(old) = old {
            self.unlink_object(&old)?;
        }
        Ok(Outcome::Object(record))
    }
}
