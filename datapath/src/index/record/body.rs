//! Where the bytes of an object or a part are.
//!
//! Owns: [`Body`] and its borrowed form [`BodyView`].
//! Limits: `SLICES_PER_ROW_MAX`.
//! Not here: the extents themselves (`extent`), reading them.

use bytes::Bytes;

use crate::id::{ExtentId, ManifestId};
use crate::index::codec::{DecodeError, Decoder, Encoder};

/// A run of an extent's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Which extent.
    pub extent: ExtentId,
    /// First byte, counted in the extent's data.
    pub offset: u64,
    /// Bytes; never 0.
    pub length: u64,
}

/// Where an object's or a part's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// In the record itself.
    Inline {
        /// All of the content.
        data: Bytes,
        /// CRC-64/NVME of `data`, checked like any other block before a byte leaves.
        crc64: u64,
    },
    /// On devices, in this order.
    Slices(Vec<Slice>),
    /// In the parts of a completed upload; only objects have this body.
    Manifest {
        /// Which.
        id: ManifestId,
        /// How many parts it has, at least 1.
        parts: u16,
    },
}

/// [`Body`], borrowed from the index.
#[derive(Debug, Clone, Copy)]
pub enum BodyView<'a> {
    /// See [`Body::Inline`].
    Inline {
        /// All of the content.
        data: &'a [u8],
        /// CRC-64/NVME of `data`.
        crc64: u64,
    },
    /// See [`Body::Slices`].
    Slices(SliceList<'a>),
    /// See [`Body::Manifest`].
    Manifest {
        /// Which.
        id: ManifestId,
        /// How many parts it has.
        parts: u16,
    },
}

/// Slices as they are stored, checked when the record was decoded.
#[derive(Debug, Clone, Copy)]
pub struct SliceList<'a> {
    count: usize,
    encoded: Decoder<'a>,
}

const INLINE: u8 = 0;
const SLICES: u8 = 1;
const MANIFEST: u8 = 2;

impl Body {
    pub(super) fn encode(&self, encoder: &mut Encoder) {
        match self {
            Body::Inline { data, crc64 } => {
                encoder.byte(INLINE);
                encoder.bytes(data);
                encoder.fixed(*crc64);
            }
            Body::Slices(slices) => {
                encoder.byte(SLICES);
                encoder.number(slices.len() as u64);
                for slice in slices {
                    encoder.number(slice.extent.0);
                    encoder.number(slice.offset);
                    encoder.number(slice.length);
                }
            }
            Body::Manifest { id, parts } => {
                encoder.byte(MANIFEST);
                encoder.number(id.0);
                encoder.number(u64::from(*parts));
            }
        }
    }

    /// Bytes that encoding takes at most, for the buffer's size.
    pub(super) fn encoded_size_hint(&self) -> usize {
        match self {
            Body::Inline { data, .. } => data.len() + 16,
            Body::Slices(slices) => 4 + slices.len() * 16,
            Body::Manifest { .. } => 16,
        }
    }

    /// The manifest, if the body is one.
    pub fn manifest(&self) -> Option<ManifestId> {
        match self {
            Body::Manifest { id, .. } => Some(*id),
            Body::Inline { .. } | Body::Slices(_) => None,
        }
    }

    /// The slices; none unless the body is made of slices.
    pub fn slices(&self) -> &[Slice] {
        match self {
            Body::Slices(slices) => slices,
            Body::Inline { .. } | Body::Manifest { .. } => &[],
        }
    }
}

impl<'a> BodyView<'a> {
    pub(super) fn decode(decoder: &mut Decoder<'a>) -> Result<BodyView<'a>, DecodeError> {
        match decoder.byte("body")? {
            INLINE => {
                let data = decoder.bytes("inline")?;
                Ok(BodyView::Inline { data, crc64: decoder.fixed("inline checksum")? })
            }
            SLICES => {
                let count = decoder.narrow("slices")?;
                let encoded = *decoder;
                for _ in 0..count {
                    slice(decoder)?;
                }
                Ok(BodyView::Slices(SliceList { count, encoded }))
            }
            MANIFEST => Ok(BodyView::Manifest {
                id: ManifestId(decoder.number("manifest")?),
                parts: decoder.narrow("part count")?,
            }),
            _ => Err(DecodeError::Value("body")),
        }
    }

    /// The owned form.
    pub fn to_body(&self) -> Body {
        match self {
            BodyView::Inline { data, crc64 } => {
                Body::Inline { data: Bytes::copy_from_slice(data), crc64: *crc64 }
            }
            BodyView::Slices(slices) => Body::Slices(slices.iter().collect()),
            BodyView::Manifest { id, parts } => Body::Manifest { id: *id, parts: *parts },
        }
    }

    /// The manifest, if the body is one.
    pub fn manifest(&self) -> Option<ManifestId> {
        match self {
            BodyView::Manifest { id, .. } => Some(*id),
            BodyView::Inline { .. } | BodyView::Slices(_) => None,
        }
    }

    /// How many parts an object of this body has; 0 if it is not multipart.
    pub fn part_count(&self) -> u16 {
        match self {
            BodyView::Manifest { parts, .. } => *parts,
            BodyView::Inline { .. } | BodyView::Slices(_) => 0,
        }
    }
}

impl<'a> SliceList<'a> {
    /// The slices in order.
    pub fn iter(&self) -> impl Iterator<Item = Slice> + use<'a> {
        let mut decoder = self.encoded;
        // Decoding the record went through every slice, so none fails here.
        (0..self.count).map_while(move |_| slice(&mut decoder).ok())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none: the content has no bytes.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

fn slice(decoder: &mut Decoder<'_>) -> Result<Slice, DecodeError> {
    let slice = Slice {
        extent: ExtentId(decoder.number("slice extent")?),
        offset: decoder.number("slice offset")?,
        length: decoder.number("slice length")?,
    };
    if slice.length == 0 || slice.offset.checked_add(slice.length).is_none() {
        return Err(DecodeError::Value("slice length"));
    }
    Ok(slice)
}
