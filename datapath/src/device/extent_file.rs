//! *Owns:* files that stand for a device: every byte allocated when they are made, so that a full
//! file system shows at start and not in the middle of a write.

use std::fs::{File, OpenOptions};
use std::path::Path;

use rustix::fs::FallocateFlags;

use super::error::DeviceError;
use crate::limits;

/// Creates a file of `bytes`, rounded down to whole blocks, and makes it durable with its name. It
/// is blank: format it next.
///
/// # Errors
/// When something has that name already, the size is below `limits::DEVICE_BYTES_MIN`, or the file
/// system cannot allocate it; then the file is removed again.
pub fn create_extent_file(path: &Path, bytes: u64) -> Result<(), DeviceError> {
    let bytes = whole_blocks(bytes);
    if bytes < limits::DEVICE_BYTES_MIN {
        return Err(DeviceError::TooSmall { path: path.to_owned(), bytes });
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(DeviceError::io(path, "create"))?;
    if let Err(error) = allocate(path, &file, bytes) {
        // Made by us a moment ago; half allocated it is of no use, and its removal is a courtesy.
        let _ = std::fs::remove_file(path);
        return Err(error);
    }
    file.sync_all().map_err(DeviceError::io(path, "make durable"))?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(DeviceError::io(directory, "make the file's name durable"))
}

/// Allocates the file up to `bytes`; what it holds stays.
pub(super) fn allocate(path: &Path, file: &File, bytes: u64) -> Result<(), DeviceError> {
    rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes).map_err(|errno| {
        DeviceError::Allocate { path: path.to_owned(), bytes, source: errno.into() }
    })
}

/// Rounded down to device blocks.
pub(super) fn whole_blocks(bytes: u64) -> u64 {
    bytes - bytes % limits::DEVICE_BLOCK_BYTES as u64
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_bytes_are_really_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("extents");
        create_extent_file(&path, limits::DEVICE_BYTES_MIN + 17).unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(metadata.len(), limits::DEVICE_BYTES_MIN);
        assert!(metadata.blocks() * 512 >= limits::DEVICE_BYTES_MIN, "no hole");
        let again = create_extent_file(&path, limits::DEVICE_BYTES_MIN).unwrap_err();
        assert!(matches!(again, DeviceError::Io { doing: "create", .. }), "{again}");
    }

    #[test]
    fn what_cannot_be_allocated_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("extents");
        let error = create_extent_file(&path, 1 << 60).unwrap_err();
        assert!(matches!(error, DeviceError::Allocate { .. }), "{error}");
        assert!(!path.exists());
        assert!(create_extent_file(&path, 4096).is_err());
    }
}
