//! The values of the index's tables.
//!
//! Owns: every record type and its bytes. Each begins with its format version, so that a later
//! program can read what this one wrote.
//! Not here: keys (`keys`), the meaning of counts (`references`).

mod body;
mod bucket;
mod extent;
mod object;
mod upload;

pub use body::{Body, BodyView, Slice, SliceList};
pub use bucket::Bucket;
pub use extent::{Checksums, ExtentLocation, ExtentRecord, InlineChecksums, checksum_blocks};
pub(super) use object::listed;
pub use object::{Object, ObjectRecord, ObjectView};
pub use upload::{ManifestRecord, Part, PartRecord, PartView, Upload};

#[cfg(test)]
mod tests;
