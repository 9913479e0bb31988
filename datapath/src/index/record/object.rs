//! An object's row.
//!
//! Owns: [`ObjectRecord`], its borrowed form [`ObjectView`], and [`Object`], what callers see of it.
//! Fields for versions, object lock and encryption are there from the first format, empty.

use bytes::Bytes;

use super::body::{Body, BodyView};
use crate::id::RowId;
use crate::index::codec::{DecodeError, Decoder, Encoder};
use crate::limits::LISTED_ATTRIBUTES_BYTES_MAX;

/// One version of one object, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRecord {
    /// This version's number: what readers pin.
    pub row: RowId,
    /// Reserved: the version as clients see it. 0 is the null version.
    pub version: u64,
    /// Bytes of content.
    pub size: u64,
    /// When it was committed, in milliseconds since 1970.
    pub modified_ms: u64,
    /// The caller's tag of the content; conditions compare it.
    pub entity_tag: Box<str>,
    /// What the caller keeps with it; the store does not look inside.
    pub attributes: Bytes,
    /// CRC-64/NVME of the whole content, where known.
    pub crc64: Option<u64>,
    /// Reserved for object lock; empty.
    pub lock: Bytes,
    /// Reserved for encryption; empty.
    pub encryption: Bytes,
    /// Where the bytes are.
    pub body: Body,
}

/// [`ObjectRecord`], borrowed from the index.
#[derive(Debug, Clone, Copy)]
pub struct ObjectView<'a> {
    /// See [`ObjectRecord::row`].
    pub row: RowId,
    /// See [`ObjectRecord::version`].
    pub version: u64,
    /// See [`ObjectRecord::size`].
    pub size: u64,
    /// See [`ObjectRecord::modified_ms`].
    pub modified_ms: u64,
    /// See [`ObjectRecord::entity_tag`].
    pub entity_tag: &'a str,
    /// See [`ObjectRecord::attributes`].
    pub attributes: &'a [u8],
    /// See [`ObjectRecord::crc64`].
    pub crc64: Option<u64>,
    /// See [`ObjectRecord::lock`].
    pub lock: &'a [u8],
    /// See [`ObjectRecord::encryption`].
    pub encryption: &'a [u8],
    /// See [`ObjectRecord::body`].
    pub body: BodyView<'a>,
}

/// What callers see of an object: everything but its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// This version's number.
    pub row: RowId,
    /// Bytes of content.
    pub size: u64,
    /// When it was committed, in milliseconds since 1970.
    pub modified_ms: u64,
    /// The caller's tag of the content.
    pub entity_tag: Box<str>,
    /// What the caller keeps with it.
    pub attributes: Bytes,
    /// Parts that it was uploaded in; 0 when it was not a multipart upload.
    pub part_count: u16,
    /// CRC-64/NVME of the whole content, where known.
    pub crc64: Option<u64>,
}

const VERSION: u8 = 1;
const HAS_CRC64: u8 = 1;

/// The head of attributes that listings have.
pub(in crate::index) fn listed(attributes: &[u8]) -> &[u8] {
    &attributes[..attributes.len().min(LISTED_ATTRIBUTES_BYTES_MAX)]
}

impl ObjectRecord {
    /// Everything but the body.
    pub fn to_object(&self) -> Object {
        Object {
            row: self.row,
            size: self.size,
            modified_ms: self.modified_ms,
            entity_tag: self.entity_tag.clone(),
            attributes: self.attributes.clone(),
            part_count: match self.body {
                Body::Manifest { parts, .. } => parts,
                Body::Inline { .. } | Body::Slices(_) => 0,
            },
            crc64: self.crc64,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let capacity = 64
            + self.entity_tag.len()
            + self.attributes.len()
            + self.lock.len()
            + self.encryption.len()
            + self.body.encoded_size_hint();
        let mut encoder = Encoder::record(VERSION, capacity);
        encoder.byte(if self.crc64.is_some() { HAS_CRC64 } else { 0 });
        encoder.number(self.row.0);
        encoder.number(self.version);
        encoder.number(self.size);
        encoder.number(self.modified_ms);
        encoder.bytes(self.entity_tag.as_bytes());
        encoder.bytes(&self.attributes);
        if let Some(crc64) = self.crc64 {
            encoder.fixed(crc64);
        }
        encoder.bytes(&self.lock);
        encoder.bytes(&self.encryption);
        self.body.encode(&mut encoder);
        encoder.finish()
    }
}

impl<'a> ObjectView<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<ObjectView<'a>, DecodeError> {
        let mut decoder = Decoder::record(bytes, VERSION)?;
        let flags = decoder.byte("flags")?;
        if flags & !HAS_CRC64 != 0 {
            return Err(DecodeError::Value("flags"));
        }
        let view = ObjectView {
            row: RowId(decoder.number("row")?),
            version: decoder.number("version id")?,
            size: decoder.number("size")?,
            modified_ms: decoder.number("modified")?,
            entity_tag: decoder.text("entity tag")?,
            attributes: decoder.bytes("attributes")?,
            crc64: match flags & HAS_CRC64 {
                0 => None,
                _ => Some(decoder.fixed("crc64")?),
            },
            lock: decoder.bytes("lock")?,
            encryption: decoder.bytes("encryption")?,
            body: BodyView::decode(&mut decoder)?,
        };
        decoder.finish()?;
        Ok(view)
    }

    /// The owned form.
    pub fn to_record(&self) -> ObjectRecord {
        ObjectRecord {
            row: self.row,
            version: self.version,
            size: self.size,
            modified_ms: self.modified_ms,
            entity_tag: self.entity_tag.into(),
            attributes: Bytes::copy_from_slice(self.attributes),
            crc64: self.crc64,
            lock: Bytes::copy_from_slice(self.lock),
            encryption: Bytes::copy_from_slice(self.encryption),
            body: self.body.to_body(),
        }
    }

    /// The owned form without the body, as listings have it: with the head of the attributes.
    pub fn to_listed(&self) -> Object {
        ObjectView { attributes: listed(self.attributes), ..*self }.to_object()
    }

    /// The owned form without the body.
    pub fn to_object(&self) -> Object {
        Object {
            row: self.row,
            size: self.size,
            modified_ms: self.modified_ms,
            entity_tag: self.entity_tag.into(),
            attributes: Bytes::copy_from_slice(self.attributes),
            part_count: self.body.part_count(),
            crc64: self.crc64,
        }
    }
}
