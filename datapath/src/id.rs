//! The numbers that name things in the index.
//!
//! Owns: the identifier types, so that a bucket's number can never be used as an extent's.
//! Not here: where they come from (`index::IdSequence`), how they are stored (`index::keys`).

use std::fmt;

macro_rules! identifier {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    )*};
}

identifier! {
    /// A bucket, for as long as the store exists: a bucket created again under an old name gets a
    /// new number, so that nothing left over from the old one can appear in it.
    BucketId(u64);
    /// One version of one object: what a reader pins.
    RowId(u64);
    /// A contiguous run of blocks on one device, written once. Caches may key by it, since it is
    /// never given to other content.
    ExtentId(u64);
    /// A multipart upload. Later uploads have larger numbers.
    UploadId(u64);
    /// One stored content of one part number: a part that is sent again gets a new one.
    PartId(u64);
    /// A part's place in its upload, 1 to [`PART_NUMBER_MAX`](crate::limits::PART_NUMBER_MAX).
    PartNumber(u16);
    /// A device of the store, by its place in the superblocks.
    DeviceId(u16);
    /// The parts of a completed upload; numerically the upload's id.
    ManifestId(u64);
}

impl From<UploadId> for ManifestId {
    /// Completing an upload turns it into a manifest without touching its part rows, so both carry
    /// one number.
    fn from(upload: UploadId) -> ManifestId {
        ManifestId(upload.0)
    }
}
