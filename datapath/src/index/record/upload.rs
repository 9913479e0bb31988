//! Rows of multipart uploads: the upload, its parts, and the manifest that it becomes.
//!
//! Owns: [`Upload`], [`PartRecord`], [`Part`], [`ManifestRecord`] and their bytes.
//! Not here: the directory from offsets to parts (`directory`).

use bytes::Bytes;

use super::body::{Body, BodyView};
use crate::id::{BucketId, PartId, PartNumber, UploadId};
use crate::index::codec::{DecodeError, Decoder, Encoder};

/// An unfinished multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its number.
    pub id: UploadId,
    /// The bucket of the object that it will make.
    pub bucket: BucketId,
    /// The key of the object that it will make.
    pub key: Bytes,
    /// When it was created, in milliseconds since 1970.
    pub initiated_ms: u64,
    /// What the caller keeps with it, to be given to the object.
    pub attributes: Bytes,
}

/// One stored content of one part number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRecord {
    /// This content's number; sending the part again gives another.
    pub id: PartId,
    /// Bytes of content.
    pub size: u64,
    /// When it was committed, in milliseconds since 1970.
    pub modified_ms: u64,
    /// The caller's tag of the content.
    pub entity_tag: Box<str>,
    /// What the caller keeps with it.
    pub attributes: Bytes,
    /// CRC-64/NVME of the content, where known.
    pub crc64: Option<u64>,
    /// Where the bytes are; never a manifest.
    pub body: Body,
}

/// [`PartRecord`], borrowed from the index.
#[derive(Debug, Clone, Copy)]
pub struct PartView<'a> {
    /// See [`PartRecord::id`].
    pub id: PartId,
    /// See [`PartRecord::size`].
    pub size: u64,
    /// See [`PartRecord::modified_ms`].
    pub modified_ms: u64,
    /// See [`PartRecord::entity_tag`].
    pub entity_tag: &'a str,
    /// See [`PartRecord::attributes`].
    pub attributes: &'a [u8],
    /// See [`PartRecord::crc64`].
    pub crc64: Option<u64>,
    /// See [`PartRecord::body`].
    pub body: BodyView<'a>,
}

/// What callers see of a part: everything but its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// This content's number.
    pub id: PartId,
    /// Its place in the upload.
    pub number: PartNumber,
    /// Bytes of content.
    pub size: u64,
    /// When it was committed, in milliseconds since 1970.
    pub modified_ms: u64,
    /// The caller's tag of the content.
    pub entity_tag: Box<str>,
    /// What the caller keeps with it.
    pub attributes: Bytes,
    /// CRC-64/NVME of the content, where known.
    pub crc64: Option<u64>,
}

/// The parts of a completed upload, taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManifestRecord {
    /// Objects that consist of these parts (copies share them). 0: waits to be reclaimed.
    pub references: u64,
    /// Parts that the upload was completed with.
    pub parts: u16,
    /// Bytes of content.
    pub size: u64,
}

const UPLOAD_VERSION: u8 = 1;
const PART_VERSION: u8 = 1;
const MANIFEST_VERSION: u8 = 1;
const HAS_CRC64: u8 = 1;

impl Upload {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let capacity = 32 + self.key.len() + self.attributes.len();
        let mut encoder = Encoder::record(UPLOAD_VERSION, capacity);
        encoder.number(self.bucket.0);
        encoder.number(self.initiated_ms);
        encoder.bytes(&self.key);
        encoder.bytes(&self.attributes);
        encoder.finish()
    }

    pub(crate) fn decode(id: UploadId, bytes: &[u8]) -> Result<Upload, DecodeError> {
        let mut decoder = Decoder::record(bytes, UPLOAD_VERSION)?;
        let upload = Upload {
            id,
            bucket: BucketId(decoder.number("bucket")?),
            initiated_ms: decoder.number("initiated")?,
            key: Bytes::copy_from_slice(decoder.bytes("key")?),
            attributes: Bytes::copy_from_slice(decoder.bytes("attributes")?),
        };
        decoder.finish()?;
        Ok(upload)
    }
}

impl PartRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let capacity =
            64 + self.entity_tag.len() + self.attributes.len() + self.body.encoded_size_hint();
        let mut encoder = Encoder::record(PART_VERSION, capacity);
        encoder.byte(if self.crc64.is_some() { HAS_CRC64 } else { 0 });
        encoder.number(self.id.0);
        encoder.number(self.size);
        encoder.number(self.modified_ms);
        encoder.bytes(self.entity_tag.as_bytes());
        encoder.bytes(&self.attributes);
        if let Some(crc64) = self.crc64 {
            encoder.fixed(crc64);
        }
        self.body.encode(&mut encoder);
        encoder.finish()
    }

    /// What callers see.
    pub fn to_part(&self, number: PartNumber) -> Part {
        Part {
            id: self.id,
            number,
            size: self.size,
            modified_ms: self.modified_ms,
            entity_tag: self.entity_tag.clone(),
            attributes: self.attributes.clone(),
            crc64: self.crc64,
        }
    }
}

impl<'a> PartView<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<PartView<'a>, DecodeError> {
        let mut decoder = Decoder::record(bytes, PART_VERSION)?;
        let flags = decoder.byte("flags")?;
        if flags & !HAS_CRC64 != 0 {
            return Err(DecodeError::Value("flags"));
        }
        let view = PartView {
            id: PartId(decoder.number("id")?),
            size: decoder.number("size")?,
            modified_ms: decoder.number("modified")?,
            entity_tag: decoder.text("entity tag")?,
            attributes: decoder.bytes("attributes")?,
            crc64: match flags & HAS_CRC64 {
                0 => None,
                _ => Some(decoder.fixed("crc64")?),
            },
            body: BodyView::decode(&mut decoder)?,
        };
        if matches!(view.body, BodyView::Manifest { .. }) {
            return Err(DecodeError::Value("body"));
        }
        decoder.finish()?;
        Ok(view)
    }

    /// The owned form.
    pub fn to_record(&self) -> PartRecord {
        PartRecord {
            id: self.id,
            size: self.size,
            modified_ms: self.modified_ms,
            entity_tag: self.entity_tag.into(),
            attributes: Bytes::copy_from_slice(self.attributes),
            crc64: self.crc64,
            body: self.body.to_body(),
        }
    }

    /// What callers see.
    pub fn to_part(&self, number: PartNumber) -> Part {
        Part {
            id: self.id,
            number,
            size: self.size,
            modified_ms: self.modified_ms,
            entity_tag: self.entity_tag.into(),
            attributes: Bytes::copy_from_slice(self.attributes),
            crc64: self.crc64,
        }
    }
}

impl ManifestRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::record(MANIFEST_VERSION, 24);
        encoder.number(self.references);
        encoder.number(u64::from(self.parts));
        encoder.number(self.size);
        encoder.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<ManifestRecord, DecodeError> {
        let mut decoder = Decoder::record(bytes, MANIFEST_VERSION)?;
        let record = ManifestRecord {
            references: decoder.number("references")?,
            parts: decoder.narrow("parts")?,
            size: decoder.number("size")?,
        };
        decoder.finish()?;
        Ok(record)
    }
}
