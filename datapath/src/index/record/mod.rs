//! The values of the index's tables.
//!
//! Owns: every record type and its bytes. Each begins with its format version, so that a later
//! program can read what this one wrote.
//! Not here: keys (`keys`), the meaning of counts (`references`).

mod body;
mod bucket;
mod extent;
mod lock;
mod object;
mod upload;
mod version;

pub use body::{Body, BodyView, Slice, SliceList};
pub(super) use bucket::BucketState;
pub use bucket::{Bucket, Versioning};
pub use extent::{Checksums, ExtentLocation, ExtentRecord, InlineChecksums, checksum_blocks};
pub use lock::{Lock, LockedBy, Retention, RetentionMode};
pub(super) use object::listed;
pub use object::{Object, ObjectRecord, ObjectView};
pub use upload::{ManifestRecord, Part, PartRecord, PartView, Upload};
pub(super) use version::VersionRecord;
pub use version::{Found, Marker, VersionView};

#[cfg(test)]
mod tests;
