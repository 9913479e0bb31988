//! The store under the gateway: objects in extents on NVMe, found through an LMDB index.
//!
//! Modules stand in the order in which a read meets them. The crate knows no HTTP and no S3: names,
//! tags and attributes are its caller's. Under `cfg(loom)` only the pin table is built.

#[cfg(not(loom))]
pub mod error;
pub mod id;
#[cfg(not(loom))]
pub mod latency;
pub mod limits;
pub mod meter;

#[cfg(not(loom))]
pub mod store;

#[cfg(not(loom))]
mod cache;
#[cfg(not(loom))]
pub mod index;
pub mod pin;

#[cfg(not(loom))]
pub mod commit;

#[cfg(not(loom))]
pub mod arena;
#[cfg(not(loom))]
pub mod device;
#[cfg(not(loom))]
mod extent;

pub use id::{BucketId, ExtentId, PartId, PartNumber, RowId, SettingKind, UploadId, VersionId};
#[cfg(not(loom))]
pub use {
    device::{DeviceState, EngineKind, Trouble},
    error::StoreError,
    extent::{
        SpaceStats,
        checksum::{crc64, crc64_concat},
    },
    index::{
        Annotation, Bucket, Condition, Delete, Deletion, Found, ListEntry, ListObjects, ListPage,
        ListUploads, ListVersions, Lock, LockedBy, Marker, NewBucket, NewObject, Object, Part,
        Retention, RetentionMode, Subject, Upload, UploadEntry, UploadPage, VersionEntry,
        VersionPage, Versioning,
    },
    latency::{BatchStats, LatencyStats},
    store::{
        CheckProgress, CheckReport, DEFAULT_EXTENT_FILE_BYTES, DeviceStats, FrameWriter, LaneStore,
        OpenError, OpenObject, PartSpan, ReadStream, Staged, Store, StoreHandle, StoreOptions,
        StorePlan, StoreStats, Writer,
    },
};
