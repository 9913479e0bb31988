//! Every change that the index knows, and what it answers.
//!
//! Owns: [`Mutation`], [`Outcome`], [`Condition`], [`Content`].
//! Not here: carrying them out (`apply`), grouping them into transactions (`commit`).

use bytes::Bytes;

use super::record::{
    Body, Bucket, ExtentLocation, Lock, Marker, Object, ObjectRecord, Part, Retention, Versioning,
};
use crate::error::StoreError;
use crate::id::{BucketId, ExtentId, PartId, PartNumber, RowId, SettingKind, UploadId, VersionId};

/// One change. It happens entirely or not at all, in the order of submission.
#[derive(Debug)]
pub enum Mutation {
    /// Makes a bucket. Answers [`Outcome::Bucket`].
    CreateBucket {
        /// Unique name, 1 to [`BUCKET_NAME_BYTES_MAX`](crate::limits::BUCKET_NAME_BYTES_MAX) bytes.
        name: Box<str>,
        /// The caller's.
        attributes: Bytes,
        /// What it has from the beginning.
        new: NewBucket,
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
    /// Replaces what the caller keeps with a bucket. Answers [`Outcome::Done`].
    SetBucketAttributes {
        /// Which.
        bucket: BucketId,
        /// The caller's.
        attributes: Bytes,
    },
    /// Changes what becomes of objects that are overwritten or deleted. Answers [`Outcome::Done`].
    SetVersioning {
        /// Which.
        bucket: BucketId,
        /// Never off, unless it is.
        versioning: Versioning,
    },
    /// Lets a versioned bucket lock objects from now on, for good.
    EnableLocking {
        /// Which.
        bucket: BucketId,
    },
    /// Sets or removes a setting of a bucket. Answers [`Outcome::Done`].
    SetSetting {
        /// Which bucket.
        bucket: BucketId,
        /// Which setting.
        kind: SettingKind,
        /// At most [`BUCKET_SETTING_BYTES_MAX`](crate::limits::BUCKET_SETTING_BYTES_MAX) bytes; none
        /// removes it.
        value: Option<Bytes>,
    },
    /// Puts an object, as the bucket's versioning has it beside what has the key or in its place:
    /// content just written, or content that is there already (a copy,
    /// whose body names existing extents or a manifest). Answers [`Outcome::Object`].
    Put {
        /// What the object is called and carries.
        object: NewObject,
        /// Where its bytes are.
        content: Content,
    },
    /// Deletes an object or a version. Deleting what is absent is no error. Answers
    /// [`Outcome::Deleted`].
    Delete {
        /// The bucket.
        bucket: BucketId,
        /// What.
        delete: Delete,
    },
    /// Deletes several, each with its own outcome. Answers [`Outcome::DeletedMany`].
    DeleteMany {
        /// The bucket.
        bucket: BucketId,
        /// What.
        deletes: Vec<Delete>,
    },
    /// Changes what is kept beside a version's bytes; row and time of change stay. Answers
    /// [`Outcome::Object`].
    Annotate {
        /// The bucket.
        bucket: BucketId,
        /// The object's key.
        key: Bytes,
        /// Which version; none: the latest.
        version: Option<VersionId>,
        /// What.
        annotation: Annotation,
    },
    /// Gives an object another key, in a bucket that was never versioned; what has that key is
    /// replaced. Row and time of change stay. Answers [`Outcome::Object`].
    Rename {
        /// The bucket.
        bucket: BucketId,
        /// The object's key.
        from: Bytes,
        /// Its key to be.
        to: Bytes,
        /// Must hold for the object.
        source: Condition,
        /// Must hold for what has the key to be.
        destination: Condition,
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
    /// The caller's, opaque: the object's tags.
    pub tags: Bytes,
    /// The caller's, opaque: who may do what with it.
    pub acl: Bytes,
    /// What protects it from being removed.
    pub lock: Lock,
    /// The caller's, opaque: how the content is encrypted.
    pub encryption: Bytes,
}

/// What a bucket has from the beginning.
#[derive(Debug, Clone, Default)]
pub struct NewBucket {
    /// Whether its versions may be locked; then its versioning is enabled and stays so.
    pub locking: bool,
    /// Its settings; no kind twice.
    pub settings: Vec<(SettingKind, Bytes)>,
}

/// What to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// The object's key.
    pub key: Bytes,
    /// The version to remove, or none: the object, as the bucket's versioning has it removed or
    /// covered by a delete marker.
    pub version: Option<VersionId>,
    /// Must hold for the latest, or for the version.
    pub condition: Condition,
    /// Whether a retention in governance mode does not count.
    pub bypass_governance: bool,
    /// What a delete marker, if one is made, keeps of its owner.
    pub marker_acl: Bytes,
}

/// What a deletion did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// Nothing was there.
    Nothing,
    /// The object, or its version, is gone.
    Removed(Object),
    /// The key has a delete marker now.
    MarkerMade(Marker),
    /// The version was a delete marker, and is gone.
    MarkerRemoved(Marker),
}

/// A change of what is kept beside a version's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Annotation {
    /// The caller's tags.
    Tags(Bytes),
    /// The caller's access list.
    Acl(Bytes),
    /// Whether there is a legal hold.
    LegalHold(bool),
    /// Until when it stays.
    Retention {
        /// None lifts it.
        retention: Option<Retention>,
        /// Whether one in governance mode may be shortened or lifted.
        bypass_governance: bool,
    },
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
    /// What is there has this row: it is neither another nor gone. The only condition that a delete
    /// marker, removed by its version, can meet beside [`Condition::Noncurrent`].
    RowIs(RowId),
    /// The object has this many bytes.
    SizeIs {
        /// How many.
        size: u64,
    },
    /// The object was put in this second.
    ModifiedIs {
        /// Since 1970; the store's own times are finer.
        seconds: u64,
    },
    /// The version to remove is not the latest of its key.
    Noncurrent,
    /// All of these.
    All(Vec<Condition>),
}

/// What a condition is held against.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// No object.
    Absent,
    /// A delete marker, named by its version.
    Marker {
        /// Its row.
        row: RowId,
        /// Whether it is the latest of its key.
        latest: bool,
    },
    /// An object.
    Object {
        /// Its row.
        row: RowId,
        /// Its entity tag.
        entity_tag: &'a str,
        /// Bytes of content.
        size: u64,
        /// When it was put, in milliseconds since 1970.
        modified_ms: u64,
        /// Whether it is the latest of its key.
        latest: bool,
    },
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
    /// What the deletion did.
    Deleted(Deletion),
    /// [`Outcome::Deleted`] for each, or why not.
    DeletedMany(Vec<Result<Deletion, StoreError>>),
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
            | Mutation::SetBucketAttributes { .. }
            | Mutation::SetVersioning { .. }
            | Mutation::EnableLocking { .. }
            | Mutation::SetSetting { .. }
            | Mutation::Delete { .. }
            | Mutation::DeleteMany { .. }
            | Mutation::Annotate { .. }
            | Mutation::Rename { .. }
            | Mutation::CreateUpload { .. }
            | Mutation::Complete { .. }
            | Mutation::Abort { .. } => &[],
        }
    }
}

impl Delete {
    /// Deletes an object, whatever it is.
    pub fn object(key: Bytes) -> Delete {
        Delete {
            key,
            version: None,
            condition: Condition::None,
            bypass_governance: false,
            marker_acl: Bytes::new(),
        }
    }
}

impl<'a> From<&'a Object> for Subject<'a> {
    fn from(object: &'a Object) -> Subject<'a> {
        let Object { row, size, modified_ms, .. } = *object;
        Subject::Object { row, entity_tag: &object.entity_tag, size, modified_ms, latest: true }
    }
}

impl<'a> From<&'a ObjectRecord> for Subject<'a> {
    fn from(record: &'a ObjectRecord) -> Subject<'a> {
        let ObjectRecord { row, size, modified_ms, .. } = *record;
        Subject::Object { row, entity_tag: &record.entity_tag, size, modified_ms, latest: true }
    }
}

impl<'a, T> From<Option<&'a T>> for Subject<'a>
where
    Subject<'a>: From<&'a T>,
{
    fn from(there: Option<&'a T>) -> Subject<'a> {
        there.map_or(Subject::Absent, Subject::from)
    }
}

impl Condition {
    /// Holds the condition against what is there.
    ///
    /// # Errors
    /// [`StoreError::ConditionFailed`]; [`StoreError::NoSuchKey`] when an object is demanded and
    /// none is there.
    pub fn check<'a>(&self, subject: impl Into<Subject<'a>>) -> Result<(), StoreError> {
        self.check_subject(subject.into())
    }

    fn check_subject(&self, subject: Subject<'_>) -> Result<(), StoreError> {
        let among = |tags: &[Box<str>], tag: &str| tags.iter().any(|other| **other == *tag);
        let holds = match (self, subject) {
            (Condition::None, _) => true,
            (Condition::All(conditions), subject) => {
                return conditions.iter().try_for_each(|each| each.check_subject(subject));
            }
            (
                Condition::Absent | Condition::TagIsNot(_),
                Subject::Absent | Subject::Marker { .. },
            ) => true,
            (
                Condition::RowIs(row),
                Subject::Marker { row: found, .. } | Subject::Object { row: found, .. },
            ) => *row == found,
            (
                Condition::Noncurrent,
                Subject::Marker { latest, .. } | Subject::Object { latest, .. },
            ) => !latest,
            (_, Subject::Absent | Subject::Marker { .. }) => return Err(StoreError::NoSuchKey),
            (Condition::Present, Subject::Object { .. }) => true,
            (Condition::Absent, Subject::Object { .. }) => false,
            (Condition::TagIs(tags), Subject::Object { entity_tag, .. }) => among(tags, entity_tag),
            (Condition::TagIsNot(tags), Subject::Object { entity_tag, .. }) => {
                !among(tags, entity_tag)
            }
            (Condition::SizeIs { size }, Subject::Object { size: found, .. }) => *size == found,
            (Condition::ModifiedIs { seconds }, Subject::Object { modified_ms, .. }) => {
                *seconds == modified_ms / 1000
            }
        };
        if holds { Ok(()) } else { Err(StoreError::ConditionFailed) }
    }
}
