//! A bucket's row.
//!
//! Owns: [`Bucket`], [`Versioning`] and their bytes. The name is the row's key and not repeated in it.
//! Not here: the settings (table `bucket_settings`), whose changes raise the row's revision.

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
    /// What becomes of an object that is overwritten or deleted.
    pub versioning: Versioning,
    /// Whether its versions may be locked; then versioning stays enabled.
    pub locking: bool,
    /// Raised by each change of this row and of the bucket's settings; caches compare it.
    pub revision: u64,
}

/// What becomes of an object that is overwritten or deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Versioning {
    /// It is gone; the bucket was never versioned.
    #[default]
    Off,
    /// It stays as a version.
    Enabled,
    /// It stays, unless it is the null version, which what is put becomes.
    Suspended,
}

/// What a change of an object must know of its bucket.
#[derive(Debug, Clone, Copy)]
pub(in crate::index) struct BucketState {
    pub(in crate::index) versioning: Versioning,
}

/// Version 1, which had neither versioning nor revision, is read still.
const VERSION: u8 = 2;
const PUBLIC_READ: u8 = 1;
const LOCKING: u8 = 2;
const ENABLED: u8 = 4;
const SUSPENDED: u8 = 8;

impl Bucket {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::record(VERSION, 40 + self.attributes.len());
        let flag = |on: bool, flag: u8| if on { flag } else { 0 };
        encoder.byte(
            flag(self.public_read, PUBLIC_READ)
                | flag(self.locking, LOCKING)
                | flag(self.versioning == Versioning::Enabled, ENABLED)
                | flag(self.versioning == Versioning::Suspended, SUSPENDED),
        );
        encoder.number(self.id.0);
        encoder.number(self.created_ms);
        encoder.bytes(&self.attributes);
        encoder.number(self.revision);
        encoder.finish()
    }

    pub(crate) fn decode(name: &[u8], bytes: &[u8]) -> Result<Bucket, DecodeError> {
        let name = std::str::from_utf8(name).map_err(|_| DecodeError::Value("name"))?;
        let (mut decoder, version, flags) = begin(bytes)?;
        let bucket = Bucket {
            id: BucketId(decoder.number("id")?),
            name: name.into(),
            created_ms: decoder.number("created")?,
            public_read: flags & PUBLIC_READ != 0,
            attributes: Bytes::copy_from_slice(decoder.bytes("attributes")?),
            versioning: versioning(flags)?,
            locking: flags & LOCKING != 0,
            revision: if version == 1 { 0 } else { decoder.number("revision")? },
        };
        decoder.finish()?;
        Ok(bucket)
    }

    /// What changes of objects must know, of a row's bytes.
    pub(in crate::index) fn state(bytes: &[u8]) -> Result<BucketState, DecodeError> {
        let (_, _, flags) = begin(bytes)?;
        Ok(BucketState { versioning: versioning(flags)? })
    }
}

fn begin(bytes: &[u8]) -> Result<(Decoder<'_>, u8, u8), DecodeError> {
    let (mut decoder, version) = Decoder::record_up_to(bytes, VERSION)?;
    let flags = decoder.byte("flags")?;
    let known = match version {
        1 => PUBLIC_READ,
        _ => PUBLIC_READ | LOCKING | ENABLED | SUSPENDED,
    };
    match flags & !known {
        0 => Ok((decoder, version, flags)),
        _ => Err(DecodeError::Value("flags")),
    }
}

fn versioning(flags: u8) -> Result<Versioning, DecodeError> {
    match flags & (ENABLED | SUSPENDED) {
        0 => Ok(Versioning::Off),
        ENABLED => Ok(Versioning::Enabled),
        SUSPENDED => Ok(Versioning::Suspended),
        _ => Err(DecodeError::Value("flags")),
    }
}
