//! What the store tells of buckets, objects, uploads and parts, and what it is asked to do with them.
//!
//! Names, tags and attributes are the caller's: the store keeps and compares them and reads no meaning into them.

use bytes::Bytes;

use crate::id::{BucketId, PartId, PartNumber, RowId, UploadId};

/// A bucket as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Never reused.
    pub id: BucketId,
    /// Unique among the buckets that exist.
    pub name: Box<str>,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Whether anonymous readers are let in.
    pub public_read: bool,
    /// The caller's, opaque.
    pub attributes: Bytes,
}

/// An object's record, without its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// This writing of the object.
    pub row: RowId,
    /// Bytes of content.
    pub size: u64,
    /// Milliseconds since the Unix epoch.
    pub modified_ms: u64,
    /// Compared by [`Condition`]; without quotes.
    pub entity_tag: Box<str>,
    /// The caller's, opaque.
    pub attributes: Bytes,
    /// Parts of a multipart object; 0 for an object written in one piece.
    pub part_count: u16,
    /// CRC-64/NVME of the whole content where it is known.
    pub crc64: Option<u64>,
}

/// Where one part lies in its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartSpan {
    /// Its number.
    pub number: PartNumber,
    /// First byte within the object.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// The caller's, opaque.
    pub attributes: Bytes,
}

/// An upload that has not been completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Never reused.
    pub id: UploadId,
    /// Where the object will be.
    pub bucket: BucketId,
    /// Where the object will be.
    pub key: Bytes,
    /// Milliseconds since the Unix epoch.
    pub initiated_ms: u64,
    /// The caller's, opaque.
    pub attributes: Bytes,
}

/// A part of an upload that has not been completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// This upload of the part.
    pub id: PartId,
    /// Its number.
    pub number: PartNumber,
    /// Bytes.
    pub size: u64,
    /// Milliseconds since the Unix epoch.
    pub modified_ms: u64,
    /// Without quotes.
    pub entity_tag: Box<str>,
    /// The caller's, opaque.
    pub attributes: Bytes,
    /// CRC-64/NVME of the part's content where it is known.
    pub crc64: Option<u64>,
}

/// What must hold for the object now at the key, decided inside the index transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Anything.
    #[default]
    None,
    /// There is no object.
    Absent,
    /// There is an object.
    Present,
    /// There is an object and its tag is one of these.
    TagIs(Vec<Box<str>>),
    /// There is no object, or its tag is none of these.
    TagIsNot(Vec<Box<str>>),
}

/// An object about to be recorded.
#[derive(Clone, Debug)]
pub struct NewObject {
    /// Where.
    pub bucket: BucketId,
    /// Where; 1 to 1,024 bytes.
    pub key: Bytes,
    /// Without quotes.
    pub entity_tag: Box<str>,
    /// The caller's, opaque; at most [`crate::limits::ATTRIBUTES_BYTES_MAX`].
    pub attributes: Bytes,
    /// Checked in the transaction that records it.
    pub condition: Condition,
}

/// A listing of objects, in the order of their keys' bytes.
#[derive(Clone, Debug)]
pub struct ListObjects {
    /// Where.
    pub bucket: BucketId,
    /// Only keys that begin with this.
    pub prefix: Bytes,
    /// Keys that have this after the prefix are rolled up into one common prefix.
    pub delimiter: Option<Bytes>,
    /// Only what sorts after this; a common prefix skips all that it stands for.
    pub after: Option<Bytes>,
    /// Entries in the page.
    pub limit: usize,
}

/// A page of a listing.
#[derive(Clone, Debug, Default)]
pub struct ListPage {
    /// In order.
    pub entries: Vec<ListEntry>,
    /// Whether there is more after the last entry.
    pub truncated: bool,
}

/// A line of a listing.
#[derive(Clone, Debug)]
pub enum ListEntry {
    /// An object.
    Object {
        /// Its key.
        key: Bytes,
        /// Its record.
        object: Object,
    },
    /// All keys that begin with this, which ends in the delimiter.
    Prefix(Bytes),
}

/// A listing of uploads, by key and then by upload.
#[derive(Clone, Debug)]
pub struct ListUploads {
    /// Where.
    pub bucket: BucketId,
    /// Only keys that begin with this.
    pub prefix: Bytes,
    /// As in [`ListObjects`].
    pub delimiter: Option<Bytes>,
    /// Only keys that sort after this, or this key's uploads after [`Self::upload_after`].
    pub key_after: Option<Bytes>,
    /// With [`Self::key_after`]: the last upload of that key that was seen.
    pub upload_after: Option<UploadId>,
    /// Entries in the page.
    pub limit: usize,
}

/// A page of uploads.
#[derive(Clone, Debug, Default)]
pub struct UploadPage {
    /// In order.
    pub entries: Vec<UploadEntry>,
    /// Whether there is more after the last entry.
    pub truncated: bool,
}

/// A line of a listing of uploads.
#[derive(Clone, Debug)]
pub enum UploadEntry {
    /// An upload.
    Upload(Upload),
    /// All keys that begin with this, which ends in the delimiter.
    Prefix(Bytes),
}
