//! An object's row.
//!
//! Owns: [`ObjectRecord`], its borrowed form [`ObjectView`], and [`Object`], what callers see of it.
//! Not here: delete markers (`version`).

use bytes::Bytes;

use super::body::{Body, BodyView};
use super::lock::Lock;
use crate::id::{RowId, VersionId};
use crate::index::codec::{DecodeError, Decoder, Encoder};
use crate::limits::LISTED_ATTRIBUTES_BYTES_MAX;

/// One version of one object, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRecord {
    /// This version's number: what readers pin.
    pub row: RowId,
    /// The version as clients name it: the row's number, or null.
    pub version: VersionId,
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
    /// The caller's, opaque: the object's tags.
    pub tags: Bytes,
    /// The caller's, opaque: who may do what with it.
    pub acl: Bytes,
    /// What protects it from being removed.
    pub lock: Lock,
    /// The caller's, opaque: how the content is encrypted. The store keeps bytes as they come.
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
    pub version: VersionId,
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
    /// See [`ObjectRecord::tags`].
    pub tags: &'a [u8],
    /// See [`ObjectRecord::acl`].
    pub acl: &'a [u8],
    /// See [`ObjectRecord::lock`].
    pub lock: Lock,
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
    /// The version as clients name it.
    pub version: VersionId,
    /// Bytes of content.
    pub size: u64,
    /// When it was committed, in milliseconds since 1970.
    pub modified_ms: u64,
    /// The caller's tag of the content.
    pub entity_tag: Box<str>,
    /// What the caller keeps with it.
    pub attributes: Bytes,
    /// The caller's, opaque: the object's tags.
    pub tags: Bytes,
    /// The caller's, opaque: who may do what with it.
    pub acl: Bytes,
    /// What protects it from being removed.
    pub lock: Lock,
    /// The caller's, opaque: how the content is encrypted.
    pub encryption: Bytes,
    /// Parts that it was uploaded in; 0 when it was not a multipart upload.
    pub part_count: u16,
    /// CRC-64/NVME of the whole content, where known.
    pub crc64: Option<u64>,
}

/// Version 1, which had neither tags nor access lists nor locks, is read still.
pub(super) const VERSION: u8 = 2;
const HAS_CRC64: u8 = 1;
/// The row is a delete marker's, which is in `versions` alone.
pub(super) const IS_MARKER: u8 = 2;
const HAS_TAGS: u8 = 4;
pub(super) const HAS_ACL: u8 = 8;
const HAS_LOCK: u8 = 16;
const HAS_ENCRYPTION: u8 = 32;
const OBJECT_FLAGS: u8 = HAS_CRC64 | HAS_TAGS | HAS_ACL | HAS_LOCK | HAS_ENCRYPTION;

/// The head of attributes that listings have.
pub(in crate::index) fn listed(attributes: &[u8]) -> &[u8] {
    &attributes[..attributes.len().min(LISTED_ATTRIBUTES_BYTES_MAX)]
}

impl ObjectRecord {
    /// Everything but the body.
    pub fn to_object(&self) -> Object {
        Object {
            row: self.row,
            version: self.version,
            size: self.size,
            modified_ms: self.modified_ms,
            entity_tag: self.entity_tag.clone(),
            attributes: self.attributes.clone(),
            tags: self.tags.clone(),
            acl: self.acl.clone(),
            lock: self.lock,
            encryption: self.encryption.clone(),
            part_count: match self.body {
                Body::Manifest { parts, .. } => parts,
                Body::Inline { .. } | Body::Slices(_) => 0,
            },
            crc64: self.crc64,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let capacity = 72
            + self.entity_tag.len()
            + self.attributes.len()
            + self.tags.len()
            + self.acl.len()
            + self.encryption.len()
            + self.body.encoded_size_hint();
        let flag = |has: bool, flag: u8| if has { flag } else { 0 };
        let optional =
            [(&self.tags, HAS_TAGS), (&self.acl, HAS_ACL), (&self.encryption, HAS_ENCRYPTION)];
        let mut encoder = Encoder::record(VERSION, capacity);
        encoder.byte(
            optional.iter().fold(0, |flags, (bytes, has)| flags | flag(!bytes.is_empty(), *has))
                | flag(self.crc64.is_some(), HAS_CRC64)
                | flag(!self.lock.is_none(), HAS_LOCK),
        );
        encoder.number(self.row.0);
        encoder.number(self.version.0);
        encoder.number(self.size);
        encoder.number(self.modified_ms);
        encoder.bytes(self.entity_tag.as_bytes());
        encoder.bytes(&self.attributes);
        if let Some(crc64) = self.crc64 {
            encoder.fixed(crc64);
        }
        for (bytes, _) in optional.into_iter().filter(|(bytes, _)| !bytes.is_empty()) {
            encoder.bytes(bytes);
        }
        if !self.lock.is_none() {
            self.lock.encode(&mut encoder);
        }
        self.body.encode(&mut encoder);
        encoder.finish()
    }
}

impl<'a> ObjectView<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<ObjectView<'a>, DecodeError> {
        let (mut decoder, version) = Decoder::record_up_to(bytes, VERSION)?;
        let flags = decoder.byte("flags")?;
        let known = if version == 1 { HAS_CRC64 } else { OBJECT_FLAGS };
        if flags & !known != 0 {
            return Err(DecodeError::Value("flags"));
        }
        let row = RowId(decoder.number("row")?);
        let version_id = VersionId(decoder.number("version id")?);
        let size = decoder.number("size")?;
        let modified_ms = decoder.number("modified")?;
        let entity_tag = decoder.text("entity tag")?;
        let attributes = decoder.bytes("attributes")?;
        let crc64 = match flags & HAS_CRC64 {
            0 => None,
            _ => Some(decoder.fixed("crc64")?),
        };
        if version == 1 {
            // Lock and encryption, which nothing wrote.
            for field in ["lock", "encryption"] {
                if !decoder.bytes(field)?.is_empty() {
                    return Err(DecodeError::Value(field));
                }
            }
        }
        let mut optional = |field, has: u8| match flags & has {
            0 => Ok(&[][..]),
            _ => decoder.bytes(field),
        };
        let tags = optional("tags", HAS_TAGS)?;
        let acl = optional("acl", HAS_ACL)?;
        let encryption = optional("encryption", HAS_ENCRYPTION)?;
        let lock = match flags & HAS_LOCK {
            0 => Lock::default(),
            _ => Lock::decode(&mut decoder)?,
        };
        let body = BodyView::decode(&mut decoder)?;
        decoder.finish()?;
        Ok(ObjectView {
            row,
            version: version_id,
            size,
            modified_ms,
            entity_tag,
            attributes,
            crc64,
            tags,
            acl,
            lock,
            encryption,
            body,
        })
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
            tags: Bytes::copy_from_slice(self.tags),
            acl: Bytes::copy_from_slice(self.acl),
            lock: self.lock,
            encryption: Bytes::copy_from_slice(self.encryption),
            body: self.body.to_body(),
        }
    }

    /// The owned form without the body, as listings have it: with the heads of the attributes, the
    /// access list and the encryption, and without tags.
    pub fn to_listed(&self) -> Object {
        let heads = ObjectView {
            attributes: listed(self.attributes),
            tags: &[],
            acl: listed(self.acl),
            encryption: listed(self.encryption),
            ..*self
        };
        heads.to_object()
    }

    /// The owned form without the body.
    pub fn to_object(&self) -> Object {
        Object {
            row: self.row,
            version: self.version,
            size: self.size,
            modified_ms: self.modified_ms,
            entity_tag: self.entity_tag.into(),
            attributes: Bytes::copy_from_slice(self.attributes),
            tags: Bytes::copy_from_slice(self.tags),
            acl: Bytes::copy_from_slice(self.acl),
            lock: self.lock,
            encryption: Bytes::copy_from_slice(self.encryption),
            part_count: self.body.part_count(),
            crc64: self.crc64,
        }
    }
}
