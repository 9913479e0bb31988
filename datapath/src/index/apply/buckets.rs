//! Changes to buckets and their settings.

use bytes::Bytes;

use crate::error::StoreError;
use crate::id::{BucketId, SettingKind};
use crate::index::keys;
use crate::index::mutation::{NewBucket, Outcome};
use crate::index::record::{Bucket, Versioning};
use crate::index::references::{check_attributes, refused};
use crate::index::tables::{IndexError, between};
use crate::index::writer::{ApplyError, WriteTransaction};
use crate::limits::{BUCKET_NAME_BYTES_MAX, BUCKET_SETTING_BYTES_MAX, BUCKETS_MAX};

impl WriteTransaction<'_> {
    pub(super) fn create_bucket(
        &mut self,
        name: &str,
        attributes: &Bytes,
        new: &NewBucket,
    ) -> Result<Outcome, ApplyError> {
        if name.is_empty() || name.len() > BUCKET_NAME_BYTES_MAX {
            return Err(refused("a bucket name of no or too many bytes"));
        }
        check_attributes(attributes)?;
        new.settings.iter().try_for_each(|(_, value)| check_setting(value))?;
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
            versioning: if new.locking { Versioning::Enabled } else { Versioning::Off },
            locking: new.locking,
            revision: 0,
        };
        let id = keys::number(bucket.id.0);
        self.tables.bucket_names.put(&mut self.txn, &id, name.as_bytes())?;
        self.tables.buckets.put(&mut self.txn, name.as_bytes(), &bucket.encode())?;
        for (kind, value) in &new.settings {
            let key = keys::setting(bucket.id, *kind);
            self.tables.bucket_settings.put(&mut self.txn, &key, value)?;
        }
        Ok(Outcome::Bucket(bucket))
    }

    pub(super) fn delete_bucket(&mut self, name: &str) -> Result<Outcome, ApplyError> {
        let bucket = self.bucket_there(name)?;
        let id = keys::number(bucket.id.0);
        for table in [&self.tables.current, &self.tables.versions, &self.tables.uploads] {
            if table.prefix_iter(&self.txn, &id)?.next().transpose()?.is_some() {
                return Err(StoreError::BucketNotEmpty.into());
            }
        }
        self.tables.bucket_names.delete(&mut self.txn, &id)?;
        self.tables.buckets.delete(&mut self.txn, name.as_bytes())?;
        let first = keys::setting(bucket.id, SettingKind(u8::MIN));
        let last = keys::setting(bucket.id, SettingKind(u8::MAX));
        self.tables.bucket_settings.delete_range(&mut self.txn, &between(&first, &last))?;
        Ok(Outcome::Done)
    }

    pub(super) fn set_public_read(&mut self, name: &str, on: bool) -> Result<Outcome, ApplyError> {
        let mut bucket = self.bucket_there(name)?;
        if bucket.public_read != on {
            bucket.public_read = on;
            self.put_bucket(bucket)?;
        }
        Ok(Outcome::Done)
    }

    pub(super) fn set_bucket_attributes(
        &mut self,
        bucket: BucketId,
        attributes: &Bytes,
    ) -> Result<Outcome, ApplyError> {
        check_attributes(attributes)?;
        let bucket = self.bucket_of_id(bucket)?;
        self.room_to_grow()?;
        self.put_bucket(Bucket { attributes: attributes.clone(), ..bucket })
    }

    pub(super) fn set_versioning(
        &mut self,
        bucket: BucketId,
        versioning: Versioning,
    ) -> Result<Outcome, ApplyError> {
        let bucket = self.bucket_of_id(bucket)?;
        let allowed = match versioning {
            Versioning::Off => bucket.versioning == Versioning::Off,
            Versioning::Suspended => !bucket.locking,
            Versioning::Enabled => true,
        };
        if !allowed {
            return Err(StoreError::VersioningFixed.into());
        }
        self.put_bucket(Bucket { versioning, ..bucket })
    }

    pub(super) fn enable_locking(&mut self, bucket: BucketId) -> Result<Outcome, ApplyError> {
        let bucket = self.bucket_of_id(bucket)?;
        if bucket.versioning != Versioning::Enabled {
            return Err(StoreError::VersioningFixed.into());
        }
        self.put_bucket(Bucket { locking: true, ..bucket })
    }

    pub(super) fn set_setting(
        &mut self,
        bucket: BucketId,
        kind: SettingKind,
        value: Option<&Bytes>,
    ) -> Result<Outcome, ApplyError> {
        value.map_or(Ok(()), |value| check_setting(value))?;
        let bucket = self.bucket_of_id(bucket)?;
        let key = keys::setting(bucket.id, kind);
        match value {
            Some(value) => {
                self.room_to_grow()?;
                self.tables.bucket_settings.put(&mut self.txn, &key, value)?;
            }
            None => {
                self.tables.bucket_settings.delete(&mut self.txn, &key)?;
            }
        }
        self.put_bucket(bucket)
    }

    /// Writes a bucket's row, changed.
    fn put_bucket(&mut self, mut bucket: Bucket) -> Result<Outcome, ApplyError> {
        bucket.revision += 1;
        self.tables.buckets.put(&mut self.txn, bucket.name.as_bytes(), &bucket.encode())?;
        Ok(Outcome::Done)
    }

    fn bucket_there(&self, name: &str) -> Result<Bucket, ApplyError> {
        let bucket = self.tables.bucket(&self.txn, name)?;
        bucket.ok_or_else(|| StoreError::NoSuchBucket.into())
    }

    fn bucket_of_id(&self, bucket: BucketId) -> Result<Bucket, ApplyError> {
        let name = self.tables.bucket_names.get(&self.txn, &keys::number(bucket.0))?;
        let name = std::str::from_utf8(name.ok_or(StoreError::NoSuchBucket)?)
            .map_err(|_| IndexError::Inconsistent("bucket_names: a name that is not UTF-8"))?;
        self.bucket_there(name)
    }

    /// Refuses what would put something into a bucket that was deleted since the caller looked.
    pub(super) fn bucket_id_there(&self, bucket: BucketId) -> Result<(), ApplyError> {
        match self.tables.bucket_names.get(&self.txn, &keys::number(bucket.0))? {
            Some(_) => Ok(()),
            None => Err(StoreError::NoSuchBucket.into()),
        }
    }
}

fn check_setting(value: &[u8]) -> Result<(), ApplyError> {
    match value.len() <= BUCKET_SETTING_BYTES_MAX {
        true => Ok(()),
        false => Err(refused("a bucket setting of more than 512 KiB")),
    }
}
