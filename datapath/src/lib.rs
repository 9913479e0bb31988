//! The store under the gateway: objects in extents on NVMe, found through an LMDB index.
//!
//! Modules stand in the order in which a read meets them. The crate knows no HTTP and no S3: names,
//! tags and attributes are its caller's.

pub mod error;
pub mod id;
pub mod limits;

pub mod store;

mod cache;
pub mod index;
pub mod pin;

pub mod commit;

pub mod arena;
pub mod device;
mod extent;

pub use device::EngineKind;
pub use error::StoreError;
pub use extent::{
    SpaceStats,
    checksum::{crc64, crc64_concat},
};
pub use id::{BucketId, ExtentId, PartId, PartNumber, RowId, UploadId};
pub use index::{
    Bucket, Condition, ListEntry, ListObjects, ListPage, ListUploads, NewObject, Object, Part,
    Upload, UploadEntry, UploadPage,
};
pub use store::{
    CheckProgress, CheckReport, DEFAULT_EXTENT_FILE_BYTES, DeviceStats, LaneStore, OpenError,
    OpenObject, PartSpan, ReadStream, Staged, Store, StoreHandle, StoreOptions, StorePlan,
    StoreStats, Writer,
};
