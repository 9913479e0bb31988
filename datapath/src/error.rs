//! What an operation of the store can fail with, ordered by whose doing it is.
//!
//! Owns: [`StoreError`].
//! Not here: how a failure is shown to a client (the gateway's), why the store does not open.

use std::sync::Arc;

pub use crate::device::DeviceFault;
use crate::id::{ExtentId, PartNumber};
use crate::index::LockedBy;

/// Why an operation did not happen. Unless said otherwise, nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    // The caller's doing.
    /// No bucket has this name, or it was deleted meanwhile.
    #[error("no such bucket")]
    NoSuchBucket,
    /// A bucket of this name exists.
    #[error("the bucket exists already")]
    BucketExists,
    /// The bucket still holds objects, versions, delete markers or unfinished uploads.
    #[error(
        "the bucket is not empty: delete its objects, versions and delete markers, and abort its uploads first"
    )]
    BucketNotEmpty,
    /// The store holds [`BUCKETS_MAX`](crate::limits::BUCKETS_MAX) buckets.
    #[error("the store holds as many buckets as it can")]
    TooManyBuckets,
    /// No object has this key.
    #[error("no such key")]
    NoSuchKey,
    /// The key has no version of this id, or it is a delete marker, which has no content.
    #[error("no such version")]
    NoSuchVersion,
    /// What a lock protects was to be removed, replaced or let go.
    #[error("the object version is locked by {0}")]
    Locked(LockedBy),
    /// Versioning can't be changed so: suspended where objects are locked, or turned off again.
    #[error(
        "the bucket's versioning can't be changed so: it locks objects, or is versioned already"
    )]
    VersioningFixed,
    /// What was asked is for buckets alone that were never versioned.
    #[error("the bucket is versioned")]
    Versioned,
    /// The content would be of more than
    /// [`SLICES_PER_ROW_MAX`](crate::limits::SLICES_PER_ROW_MAX) pieces.
    #[error("the object has been appended to as often as it can: copy it into one piece first")]
    TooManyPieces,
    /// No unfinished upload has this id, or it is of another bucket or key.
    #[error("no such upload")]
    NoSuchUpload,
    /// The condition did not hold when the operation's turn came.
    #[error("the condition does not hold")]
    ConditionFailed,
    /// The part is absent, or was sent again since the caller looked, or is out of order. Number 0
    /// stands for a list without parts.
    #[error("part {0} is absent, out of order, or was replaced meanwhile")]
    PartChanged(PartNumber),
    /// The source of a copy was overwritten or deleted after it was opened: open it again.
    #[error("the source of the copy was replaced or deleted meanwhile: open it again")]
    SourceChanged,
    /// The body had another length than was promised.
    #[error("expected {expected} bytes, got {got}")]
    SizeMismatch {
        /// Bytes promised.
        expected: u64,
        /// Bytes that came.
        got: u64,
    },
    /// The store holds [`UPLOADS_MAX`](crate::limits::UPLOADS_MAX) unfinished uploads.
    #[error("the store holds as many unfinished uploads as it can: complete or abort some")]
    TooManyUploads,
    /// Keys have at most [`OBJECT_KEY_BYTES_MAX`](crate::limits::OBJECT_KEY_BYTES_MAX) bytes.
    #[error("the key is too long")]
    KeyTooLong,

    // Our limits.
    /// The named resource is exhausted for now; try again later.
    #[error("out of {0} for now")]
    Overload(&'static str),
    /// The devices have no room for this.
    #[error("no space left on the devices")]
    NoSpace,
    /// The index has no room for this; deletes still work.
    #[error("no space left in the index: delete something, or raise the index size")]
    IndexFull,
    /// The store is shutting down.
    #[error("the store is closing")]
    Closing,

    // Faults of devices and of the index.
    /// A device failed.
    #[error(transparent)]
    Device(#[from] DeviceFault),
    /// Stored bytes do not match their checksum.
    #[error("extent {extent}, block {block}: the stored bytes do not match their checksum")]
    Corrupt {
        /// The extent read.
        extent: ExtentId,
        /// The 64 KiB block in it, from 0.
        block: u32,
    },
    /// The index failed or holds something that it should not.
    #[error("index: {0}")]
    Index(Arc<str>),
    /// Writing stopped after a fault that leaves the durable state unknown; reads go on.
    #[error("the store is read-only: {0}")]
    ReadOnly(Arc<str>),
}
