//! A row of `versions`: a version that is not the live latest one, or a delete marker.
//!
//! Owns: [`Marker`] and its bytes, [`VersionView`], [`Found`].
//! Not here: the object's row (`object`), which has the same form in `versions` as in `current`.

use bytes::Bytes;

use super::object::{HAS_ACL, IS_MARKER, ObjectRecord, ObjectView, VERSION};
use crate::id::{RowId, VersionId};
use crate::index::codec::{DecodeError, Decoder, Encoder};

/// A delete marker: the key has no object from it on, until one is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// Its row's number.
    pub row: RowId,
    /// As clients name it.
    pub version: VersionId,
    /// When it was made, in milliseconds since 1970.
    pub modified_ms: u64,
    /// What the caller keeps of its owner.
    pub acl: Bytes,
}

/// What a lookup found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<T> {
    /// An object.
    There(T),
    /// A delete marker: the latest, or the version that was asked for.
    Marker(Marker),
    /// Nothing.
    Absent,
}

/// A row of `versions`, borrowed from the index.
#[derive(Debug, Clone)]
pub enum VersionView<'a> {
    /// An object's version.
    Object(ObjectView<'a>),
    /// A delete marker.
    Marker(Marker),
}

/// [`VersionView`], owned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one lives at a time, for the length of a change")]
pub(in crate::index) enum VersionRecord {
    Object(ObjectRecord),
    Marker(Marker),
}

impl<T> Found<T> {
    /// What is there, markers counting as nothing.
    pub fn there(self) -> Option<T> {
        match self {
            Found::There(found) => Some(found),
            Found::Marker(_) | Found::Absent => None,
        }
    }

    /// The same of something else.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Found::There(found) => Found::There(change(found)),
            Found::Marker(marker) => Found::Marker(marker),
            Found::Absent => Found::Absent,
        }
    }
}

impl Marker {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::record(VERSION, 40 + self.acl.len());
        encoder.byte(IS_MARKER | if self.acl.is_empty() { 0 } else { HAS_ACL });
        encoder.number(self.row.0);
        encoder.number(self.version.0);
        encoder.number(self.modified_ms);
        if !self.acl.is_empty() {
            encoder.bytes(&self.acl);
        }
        encoder.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Marker, DecodeError> {
        let mut decoder = Decoder::record(bytes, VERSION)?;
        let flags = decoder.byte("flags")?;
        if flags & !HAS_ACL != IS_MARKER {
            return Err(DecodeError::Value("flags"));
        }
        let marker = Marker {
            row: RowId(decoder.number("row")?),
            version: VersionId(decoder.number("version")?),
            modified_ms: decoder.number("modified")?,
            acl: match flags & HAS_ACL {
                0 => Bytes::new(),
                _ => Bytes::copy_from_slice(decoder.bytes("acl")?),
            },
        };
        decoder.finish()?;
        Ok(marker)
    }
}

impl<'a> VersionView<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<VersionView<'a>, DecodeError> {
        match bytes.get(1) {
            Some(flags) if flags & IS_MARKER != 0 => Marker::decode(bytes).map(VersionView::Marker),
            _ => ObjectView::decode(bytes).map(VersionView::Object),
        }
    }

    /// The row's number.
    pub fn row(&self) -> RowId {
        match self {
            VersionView::Object(view) => view.row,
            VersionView::Marker(marker) => marker.row,
        }
    }

    /// The version as clients name it.
    pub fn version(&self) -> VersionId {
        match self {
            VersionView::Object(view) => view.version,
            VersionView::Marker(marker) => marker.version,
        }
    }

    pub(in crate::index) fn to_record(&self) -> VersionRecord {
        match self {
            VersionView::Object(view) => VersionRecord::Object(view.to_record()),
            VersionView::Marker(marker) => VersionRecord::Marker(marker.clone()),
        }
    }

    pub(in crate::index) fn into_found(self) -> Found<ObjectView<'a>> {
        match self {
            VersionView::Object(view) => Found::There(view),
            VersionView::Marker(marker) => Found::Marker(marker),
        }
    }
}

impl VersionRecord {
    pub(in crate::index) fn row(&self) -> RowId {
        match self {
            VersionRecord::Object(record) => record.row,
            VersionRecord::Marker(marker) => marker.row,
        }
    }

    pub(in crate::index) fn version(&self) -> VersionId {
        match self {
            VersionRecord::Object(record) => record.version,
            VersionRecord::Marker(marker) => marker.version,
        }
    }
}
