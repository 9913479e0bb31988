//! Identities that the store hands out. All but [`PartNumber`] and [`DeviceId`] are drawn from one persistent sequence
//! in the index and are never reused, so a stale one can only miss, never hit something newer.

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "{}", self.0)
            }
        }
    };
}

identity!(
    /// A bucket; survives neither deletion nor re-creation of the name.
    BucketId(u64)
);
identity!(
    /// One written record of an object or a part: what a reader pins.
    RowId(u64)
);
identity!(
    /// A contiguous, reference-counted run of device blocks.
    ExtentId(u64)
);
identity!(
    /// A multipart upload.
    UploadId(u64)
);
identity!(
    /// One upload of one part; a part uploaded again gets a new one.
    PartId(u64)
);
identity!(
    /// The completed parts of a multipart object; its number is that of the upload.
    ManifestId(u64)
);
identity!(
    /// A part's place in an upload, 1 to 10,000 (Amazon S3, "Multipart upload limits").
    PartNumber(u16)
);
identity!(
    /// A device's place in the store's list of devices, from 0.
    DeviceId(u16)
);

impl From<UploadId> for ManifestId {
    /// Completing an upload makes it a manifest without touching its part rows, so both carry one
    /// number.
    fn from(upload: UploadId) -> Self {
        Self(upload.0)
    }
}
