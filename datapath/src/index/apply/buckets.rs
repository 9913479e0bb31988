//! Changes to buckets.

use bytes::Bytes;

use crate::error::StoreError;
use crate::id::BucketId;
use crate::index::keys;
use crate::index::mutation::Outcome;
use crate::index::record::Bucket;
use crate::index::references::{check_attributes, refused};
use crate::index::writer::{ApplyError, WriteTransaction};
use crate::limits::{BUCKET_NAME_BYTES_MAX, BUCKETS_MAX};

impl WriteTransaction<'_> {
    pub(super) fn create_bucket(
        &mut self,
        name: &str,
        attributes: &Bytes,
    ) -> Result<Outcome, ApplyError> {
        if name.is_empty() || name.len() > BUCKET_NAME_BYTES_MAX {
            return Err(refused("a bucket name of no or too many bytes"));
        }
        check_attributes(attributes)?;
        if self.tables.bucket(&self.txn, name)?.is_some() {
            return Err(StoreError::BucketExists.into());
        }
        if self.tables.buckets.len(&self.txn)? >= BUCKETS_MAX {
            return Err(StoreError::TooManyBuckets.into());
        }
        self.room_to_grow()?;
        let bucket = Bucket {
            id: BucketId(self.ids.draw()),
            name: name.into(),
            created_ms: self.now_ms,
            public_read: false,
            attributes: attributes.clone(),
        };
        let id = keys::number(bucket.id.0);
        self.tables.bucket_names.put(&mut self.txn, &id, name.as_bytes())?;
        self.tables.buckets.put(&mut self.txn, name.as_bytes(), &bucket.encode())?;
        Ok(Outcome::Bucket(bucket))
    }

    pub(super) fn delete_bucket(&mut self, name: &str) -> Result<Outcome, ApplyError> {
        let bucket = self.bucket_there(name)?;
        let id = keys::number(bucket.id.0);
        for table in [&self.tables.current, &self.tables.uploads] {
            if table.prefix_iter(&self.txn, &id)?.next().transpose()?.is_some() {
                return Err(StoreError::BucketNotEmpty.into());
            }
        }
        self.tables.bucket_names.delete(&mut self.txn, &id)?;
        self.tables.buckets.delete(&mut self.txn, name.as_bytes())?;
        Ok(Outcome::Done)
    }

    pub(super) fn set_public_read(&mut self, name: &str, on: bool) -> Result<Outcome, ApplyError> {
        let mut bucket = self.bucket_there(name)?;
        if bucket.public_read != on {
            bucket.public_read = on;
            self.tables.buckets.put(&mut self.txn, name.as_bytes(), &bucket.encode())?;
        }
        Ok(Outcome::Done)
    }

    fn bucket_there(&self, name: &str) -> Result<Bucket, ApplyError> {
        let bucket = self.tables.bucket(&self.txn, name)?;
        bucket.ok_or_else(|| StoreError::NoSuchBucket.into())
    }

    /// Refuses what would put something into a bucket that was deleted since the caller looked.
    pub(super) fn bucket_id_there(&self, bucket: BucketId) -> Result<(), ApplyError> {
        match self.tables.bucket_exists(&self.txn, bucket)? {
            true => Ok(()),
            false => Err(StoreError::NoSuchBucket.into()),
        }
    }
}
