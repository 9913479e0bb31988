//! A bucket's row.
//!
//! Owns: [`Bucket`] and its bytes. The name is the row's key and not repeated in it.

use bytes::Bytes;

use crate::id::BucketId;
use crate::index::codec::{DecodeError, Decoder, Encoder};

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its number, never reused.
    pub id: BucketId,
    /// Its name, unique in the store.
    pub name: Box<str>,
    /// When it was created, in milliseconds since 1970.
    pub created_ms: u64,
    /// Whether anybody may read its objects.
    pub public_read: bool,
    /// What the caller keeps with it; the store does not look inside.
    pub attributes: Bytes,
}

const VERSION: u8 = 1;
const PUBLIC_READ: u8 = 1;

impl Bucket {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::record(VERSION, 32 + self.attributes.len());
        encoder.byte(if self.public_read { PUBLIC_READ } else { 0 });
        encoder.number(self.id.0);
        encoder.number(self.created_ms);
        encoder.bytes(&self.attributes);
        encoder.finish()
    }

    pub(crate) fn decode(name: &[u8], bytes: &[u8]) -> Result<Bucket, DecodeError> {
        let name = std::str::from_utf8(name).map_err(|_| DecodeError::Value("name"))?;
        let mut decoder = Decoder::record(bytes, VERSION)?;
        let public_read = match decoder.byte("flags")? {
            0 => false,
            PUBLIC_READ => true,
            _ => return Err(DecodeError::Value("flags")),
        };
        let bucket = Bucket {
            id: BucketId(decoder.number("id")?),
            name: name.into(),
            created_ms: decoder.number("created")?,
            public_read,
            attributes: Bytes::copy_from_slice(decoder.bytes("attributes")?),
        };
        decoder.finish()?;
        Ok(bucket)
    }
}
