//! Identities that the store hands out. All but [`PartNumber`], [`SettingKind`] and [`DeviceId`] are drawn from one persistent sequence
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
    /// A version of an object as clients name it: the number of its row, so that newer is larger. 0 is the null
    /// version, which what is put while a bucket's versioning is off or suspended has.
    VersionId(u64)
);
identity!(
    /// Which of a bucket's settings; what a number means is the caller's.
    SettingKind(u8)
);
identity!(
    /// A device's place in the store's list of devices, from 0.
    DeviceId(u16)
);

impl VersionId {
    /// The version that is put while a bucket's versioning is off or suspended; a key has at most one.
    pub const NULL: VersionId = VersionId(0);
}

impl From<UploadId> for ManifestId {
    /// Completing an upload makes it a manifest without touching its part rows, so both carry one
    /// number.
    fn from(upload: UploadId) -> Self {
        Self(upload.0)
    }
}
