//! Every change that the index knows, and what it answers.
//!
//! Owns: [`Mutation`], [`Outcome`], [`Condition`], [`Content`].
//! Not here: carrying them out (`apply`), grouping them into transactions (`commit`).

use bytes::Bytes;

use super::record::{Body, Bucket, ExtentLocation, ObjectRecord, Part};
use crate::error::StoreError;
use crate::id::{BucketId, ExtentId, PartId, PartNumber, UploadId};

/// One change. It happens entirely or not at all, in the order of submission.
#[derive(Debug)]
pub enum Mutation {
    /// Makes a bucket. Answers [`Outcome::Bucket`].
    CreateBucket {
        /// Unique name, 1 to [`BUCKET_NAME_BYTES_MAX`](crate::limits::BUCKET_NAME_BYTES_MAX) bytes.
        name: Box<str>,
        /// The caller's.
        attributes: Bytes,
    },
    /// Removes an empty bucket. Answers [`Outcome::Done`].
    DeleteBucket {
        /// Which.
        name: Box<str>,
    },
    /// Lets everybody read a bucket's objects, or no longer. Answers [`Outcome::Done`].
    SetPublicRead {
        /// Which.
        name: Box<str>,
        /// Whether everybody may.
        on: bool,
    },
    /// Puts or replaces an object: content just written, or content that is there already (a copy,
    /// whose body names existing extents or a manifest). Answers [`Outcome::Object`].
    Put {
        /// What the object is called and carries.
        object: NewObject,
        /// Where its bytes are.
        content: Content,
    },
    /// Deletes an object. Deleting an absent one is no error. Answers [`Outcome::Deleted`].
    Delete {
        /// The bucket.
        bucket: BucketId,
        /// The object's key.
        key: Bytes,
        /// Must hold.
        condition: Condition,
    },
    /// Deletes several objects, each with its own outcome. Answers [`Outcome::DeletedMany`].
    DeleteMany {
        /// The bucket.
        bucket: BucketId,
        /// Keys, and what must hold for each.
        keys: Vec<(Bytes, Condition)>,
    },
    /// Begins a multipart upload. Answers [`Outcome::Upload`].
    CreateUpload {
        /// The bucket.
        bucket: BucketId,
        /// The key of the object to be.
        key: Bytes,
        /// The caller's, kept for the object to be.
        attributes: Bytes,
    },
    /// Puts or replaces a part, written or copied as in [`Mutation::Put`]; its body is not a
    /// manifest. Answers [`Outcome::Part`].
    PutPart {
        /// Of which upload.
        upload: UploadId,
        /// Which part.
        number: PartNumber,
        /// The caller's tag of the content.
        entity_tag: Box<str>,
        /// The caller's.
        attributes: Bytes,
        /// Where its bytes are.
        content: Content,
    },
    /// Makes an object of an upload's parts without touching them; parts not listed are freed.
    /// Answers [`Outcome::Object`].
    Complete {
        /// Which upload; its bucket and key must be the object's.
        upload: UploadId,
        /// The parts, ascending, each as the caller last saw it.
        parts: Vec<(PartNumber, PartId)>,
        /// What the object is called and carries.
        object: NewObject,
        /// CRC-64/NVME of the whole content, where known.
        crc64: Option<u64>,
    },
    /// Ends an upload and frees its parts. Answers [`Outcome::Done`].
    Abort {
        /// Which.
        upload: UploadId,
    },
}

/// What an object is called and carries.
#[derive(Debug, Clone)]
pub struct NewObject {
    /// The bucket.
    pub bucket: BucketId,
    /// 0 to [`OBJECT_KEY_BYTES_MAX`](crate::limits::OBJECT_KEY_BYTES_MAX) bytes.
    pub key: Bytes,
    /// The caller's tag of the content.
    pub entity_tag: Box<str>,
    /// The caller's.
    pub attributes: Bytes,
    /// Must hold for what has the key now.
    pub condition: Condition,
}

/// Bytes that are written already, not yet part of anything.
#[derive(Debug, Clone)]
pub struct Content {
    /// How many.
    pub size: u64,
    /// CRC-64/NVME of all of them, where known.
    pub crc64: Option<u64>,
    /// Where they are: in `extents`, in extents of an object that exists, or in a manifest.
    pub body: Body,
    /// Extents written for this content; `body` refers to each of them.
    pub extents: Vec<NewExtent>,
}

/// An extent that was written and that no record refers to yet.
#[derive(Debug, Clone)]
pub struct NewExtent {
    /// Drawn from the index's sequence.
    pub id: ExtentId,
    /// Where it lies.
    pub location: ExtentLocation,
    /// Bytes of content in it; at least 1.
    pub data_length: u64,
    /// CRC-64/NVME of each 64 KiB block of them.
    pub crcs: Vec<u64>,
}

/// What must hold for a change to happen; looked at when its turn comes, so that changes cannot
/// slip in between.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// No object has the key.
    Absent,
    /// An object has the key.
    Present,
    /// The object with the key has one of these entity tags.
    TagIs(Vec<Box<str>>),
    /// No object has the key, or it has none of these entity tags.
    TagIsNot(Vec<Box<str>>),
}

/// What a change answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Nothing to tell.
    Done,
    /// The new bucket.
    Bucket(Bucket),
    /// The object as it is now.
    Object(ObjectRecord),
    /// What was deleted; none when nothing was there.
    Deleted(Option<ObjectRecord>),
    /// [`Outcome::Deleted`] for each key, or why not.
    DeletedMany(Vec<Result<Option<ObjectRecord>, StoreError>>),
    /// The new upload.
    Upload(UploadId),
    /// The part as it is now.
    Part(Part),
}

impl Mutation {
    /// The extents that were written for this change: space to be given back if it fails.
    pub fn new_extents(&self) -> &[NewExtent] {
        match self {
            Mutation::Put { content, .. } | Mutation::PutPart { content, .. } => &content.extents,
            Mutation::CreateBucket { .. }
            | Mutation::DeleteBucket { .. }
            | Mutation::SetPublicRead { .. }
            | Mutation::Delete { .. }
            | Mutation::DeleteMany { .. }
            | Mutation::CreateUpload { .. }
            | Mutation::Complete { .. }
            | Mutation::Abort { .. } => &[],
        }
    }
}

impl Condition {
    /// Holds the condition against the tag of what has the key now.
    ///
    /// # Errors
    /// [`StoreError::ConditionFailed`]; [`StoreError::NoSuchKey`] when an object is demanded and
    /// none is there.
    pub fn check(&self, entity_tag: Option<&str>) -> Result<(), StoreError> {
        let among = |tags: &[Box<str>], tag: &str| tags.iter().any(|other| **other == *tag);
        let holds = match (self, entity_tag) {
            (Condition::Present | Condition::TagIs(_), None) => return Err(StoreError::NoSuchKey),
            (Condition::None, _) | (Condition::Present, Some(_)) => true,
            (Condition::Absent, tag) => tag.is_none(),
            (Condition::TagIs(tags), Some(tag)) => among(tags, tag),
            (Condition::TagIsNot(_), None) => true,
            (Condition::TagIsNot(tags), Some(tag)) => !among(tags, tag),
        };
        if holds { Ok(()) } else { Err(StoreError::ConditionFailed) }
    }
}
