//! *Owns:* what can go wrong with a device: faults of operations (small and `Copy`, on the data
//! path) and errors of opening and formatting (with text and remedy).

use std::io;
use std::path::PathBuf;

use super::superblock::{SuperblockError, Uuid};
use crate::arena::Size;
use crate::id::DeviceId;

/// What was being done to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Reading data.
    Read,
    /// Writing data.
    Write,
    /// Making completed writes durable.
    Flush,
}

impl Operation {
    /// Its name in errors and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::Flush => "flush",
        }
    }
}

/// An operation that a device did not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("device {}: {} failed: {}", .device.0, .operation.name(), io::Error::from_raw_os_error(*.errno))]
pub struct DeviceFault {
    /// Which device.
    pub device: DeviceId,
    /// Which operation.
    pub operation: Operation,
    /// The kernel's error number; `EINVAL` also for an operation refused before it was tried (not
    /// aligned, outside the data area, larger than the frame), `ENODEV` for an unknown device,
    /// `EIO` also for a device that moves fewer bytes than asked time and again.
    pub errno: i32,
}

/// Why a device was not opened, created or formatted.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// A system call failed.
    #[error("{}: cannot {doing}: {source}", .path.display())]
    Io {
        /// The device.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Mounted, or opened exclusively by another.
    #[error("{}: in use: {by}; unmount or stop it, or name another device", .path.display())]
    InUse {
        /// The device.
        path: PathBuf,
        /// By whom, as far as can be told.
        by: String,
    },
    /// Neither a block device nor a file.
    #[error("{}: neither a block device nor a regular file", .path.display())]
    WrongKind {
        /// What was named.
        path: PathBuf,
    },
    /// Below `limits::DEVICE_BYTES_MIN`.
    #[error("{}: {} is too small, a device has at least {}", .path.display(), Size(*.bytes), Size(crate::limits::DEVICE_BYTES_MIN))]
    TooSmall {
        /// The device.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Asked for less than there is, or found less than there was.
    #[error("{}: has {}, and a device never shrinks: {}; to shrink, move its objects to a new store", .path.display(), Size(*.has_bytes), .why)]
    Shrink {
        /// The device.
        path: PathBuf,
        /// Size in its superblock.
        has_bytes: u64,
        /// What was asked or found instead.
        why: String,
    },
    /// The file system could not give the bytes.
    #[error("{}: cannot allocate {}: {source}; free that much, ask for less, or use a file system with fallocate (ext4, xfs, btrfs, tmpfs)", .path.display(), Size(*.bytes))]
    Allocate {
        /// The file.
        path: PathBuf,
        /// Size asked for.
        bytes: u64,
        /// From fallocate(2).
        source: io::Error,
    },
    /// Formatting would destroy something.
    #[error("{}: holds {what}; nothing was changed. To destroy that and format, use force", .path.display())]
    HoldsSomething {
        /// The device.
        path: PathBuf,
        /// What was recognised.
        what: String,
    },
    /// No superblock that can be read.
    #[error("{}: not a device of a store: {source}; format it first, if what it holds may go", .path.display())]
    NotFormatted {
        /// The device.
        path: PathBuf,
        /// Why its superblocks were refused.
        source: SuperblockError,
    },
    /// Device needs larger alignment than the store's blocks have.
    #[error("{}: direct I/O needs {needs} bytes of alignment, the store has {}", .path.display(), crate::limits::DEVICE_BLOCK_BYTES)]
    Alignment {
        /// The device.
        path: PathBuf,
        /// What it needs.
        needs: u32,
    },
    /// A device of another store is among them.
    #[error("{}: belongs to store {found}, the others to {expected}; name the devices of one store", .path.display())]
    OtherStore {
        /// The device.
        path: PathBuf,
        /// Store of the first device.
        expected: Uuid,
        /// Store of this one.
        found: Uuid,
    },
    /// Two with the same index, or an index outside the set.
    #[error("{}: is device {index} of {count} of its store, and that place is taken or does not exist; name each device once", .path.display())]
    WrongPlace {
        /// The device.
        path: PathBuf,
        /// Index in its superblock.
        index: u16,
        /// Devices in the store, by its superblock.
        count: u16,
    },
    /// Devices of the store were not named.
    #[error("the store has {count} devices and {named} were named; missing: device {missing}")]
    Incomplete {
        /// Devices in the store.
        count: u16,
        /// Devices named.
        named: usize,
        /// Indexes not named, as text.
        missing: String,
    },
    /// None, or more than `limits::DEVICES_MAX`.
    #[error("a store has 1 to {} devices, {count} were named", crate::limits::DEVICES_MAX)]
    Count {
        /// Devices named.
        count: usize,
    },
    /// No random bytes for identifiers.
    #[error("no random bytes for a store's identifier: {0}")]
    Random(String),
}

impl DeviceError {
    /// For `map_err`: a failed system call on `path`.
    pub(super) fn io<E: Into<io::Error>>(
        path: &std::path::Path,
        doing: &'static str,
    ) -> impl FnOnce(E) -> DeviceError {
        let path = path.to_owned();
        move |error| DeviceError::Io { path, doing, source: error.into() }
    }
}
