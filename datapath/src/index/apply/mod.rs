//! Carrying mutations out inside a write transaction.
//!
//! Owns: [`WriteTransaction::apply`]. Conditions are evaluated here, where nothing can come between
//! looking and changing, and before the first change, so that a refused mutation changes nothing.
//! Not here: counts on extents (`references`), freeing in steps (`reclaim`).

mod buckets;
mod objects;
mod uploads;
mod versions;

use super::mutation::{Mutation, Outcome};
use super::writer::{ApplyError, WriteTransaction};

impl WriteTransaction<'_> {
    /// Makes one change.
    ///
    /// # Errors
    /// [`ApplyError::Refused`]: nothing was changed, others may follow. [`ApplyError::Broken`]: drop
    /// the transaction, it can no longer be committed.
    pub fn apply(&mut self, mutation: &Mutation) -> Result<Outcome, ApplyError> {
        let outcome = self.dispatch(mutation);
        if matches!(outcome, Err(ApplyError::Broken(_))) {
            self.note_broken();
        }
        outcome
    }

    fn dispatch(&mut self, mutation: &Mutation) -> Result<Outcome, ApplyError> {
        match mutation {
            Mutation::CreateBucket { name, attributes, new } => {
                self.create_bucket(name, attributes, new)
            }
            Mutation::DeleteBucket { name } => self.delete_bucket(name),
            Mutation::SetPublicRead { name, on } => self.set_public_read(name, *on),
            Mutation::Put { object, content } => self.put(object, content),
            Mutation::SetBucketAttributes { bucket, attributes } => {
                self.set_bucket_attributes(*bucket, attributes)
            }
            Mutation::SetVersioning { bucket, versioning } => {
                self.set_versioning(*bucket, *versioning)
            }
            Mutation::EnableLocking { bucket } => self.enable_locking(*bucket),
            Mutation::SetSetting { bucket, kind, value } => {
                self.set_setting(*bucket, *kind, value.as_ref())
            }
            Mutation::Delete { bucket, delete } => {
                self.delete(*bucket, delete).map(Outcome::Deleted)
            }
            Mutation::DeleteMany { bucket, deletes } => self.delete_many(*bucket, deletes),
            Mutation::Annotate { bucket, key, version, annotation } => {
                let slot = versions::Slot { bucket: *bucket, key };
                self.annotate(slot, *version, annotation)
            }
            Mutation::Rename { bucket, from, to, source, destination } => {
                self.rename(*bucket, from, to, source, destination)
            }
            Mutation::CreateUpload { bucket, key, attributes } => {
                self.create_upload(*bucket, key, attributes)
            }
            Mutation::PutPart { upload, number, entity_tag, attributes, content } => {
                let part = uploads::NewPart { number: *number, entity_tag, attributes };
                self.put_part(*upload, part, content)
            }
            Mutation::Complete { upload, parts, object, crc64 } => {
                self.complete(*upload, parts, object, *crc64)
            }
            Mutation::Abort { upload } => self.abort(*upload),
        }
    }
}
