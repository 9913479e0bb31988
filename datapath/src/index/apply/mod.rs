//! Carrying mutations out inside a write transaction.
//!
//! Owns: [`WriteTransaction::apply`]. Conditions are evaluated here, where nothing can come between
//! looking and changing, and before the first change, so that a refused mutation changes nothing.
//! Not here: counts on extents (`references`), freeing in steps (`reclaim`).

mod buckets;
mod objects;
mod uploads;

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
            Mutation::CreateBucket { name, attributes } => self.create_bucket(name, attributes),
            Mutation::DeleteBucket { name } => self.delete_bucket(name),
            Mutation::SetPublicRead { name, on } => self.set_public_read(name, *on),
            Mutation::Put { object, content } => self.put(object, content),
            Mutation::Delete { bucket, key, condition } => {
                self.delete(*bucket, key, condition).map(Outcome::Deleted)
            }
            Mutation::DeleteMany { bucket, keys } => self.delete_many(*bucket, keys),
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
