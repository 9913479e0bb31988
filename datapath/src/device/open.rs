//! *Owns:* opening one device: what it is, direct I/O, exclusive use, its size.
//!
//! *Not here:* what its superblock says (`set.rs`).

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Instant;

use rustix::fs::{AtFlags, FlockOperation, StatxFlags};
use rustix::io::Errno;

use super::aligned::AlignedBuffer;
use super::error::DeviceError;
use crate::limits;

/// What a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// A file whose bytes are allocated.
    ExtentFile,
    /// A raw block device.
    Block,
    /// A simulated one, for tests of what a power cut leaves.
    Crash,
}

/// Whether the page cache is passed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectIo {
    /// Yes; the device asks for these alignments in bytes.
    Direct {
        /// Of the memory.
        memory_align: u32,
        /// Of offset and length.
        offset_align: u32,
        /// Told by statx(2), or else found by trying with whole blocks.
        told: bool,
    },
    /// The file system refused `O_DIRECT` with this errno: data pass through the page cache, which
    /// costs a copy.
    Buffered {
        /// The refusal.
        errno: i32,
    },
}

/// An opened device before its superblock is looked at.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) kind: DeviceKind,
    pub(super) direct: DirectIo,
    pub(super) size: u64,
}

/// Opens for reading and writing, alone.
pub(super) fn open_exclusive(path: &Path) -> Result<Opened, DeviceError> {
    let metadata = std::fs::metadata(path).map_err(DeviceError::io(path, "open"))?;
    let kind = if metadata.file_type().is_block_device() {
        DeviceKind::Block
    } else if metadata.is_file() {
        DeviceKind::ExtentFile
    } else {
        return Err(DeviceError::WrongKind { path: path.to_owned() });
    };
    if kind == DeviceKind::Block
        && let Some(by) = mounted_at(metadata.rdev())
    {
        return Err(DeviceError::InUse { path: path.to_owned(), by });
    }
    // For a block device O_EXCL without O_CREAT refuses when it is mounted, part of a RAID or of a
    // volume group, or opened so by another process (open(2)).
    let exclusive = if kind == DeviceKind::Block { libc::O_EXCL } else { 0 };
    let (mut file, refused) = match open(path, exclusive | libc::O_DIRECT) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            (open(path, exclusive).map_err(|error| refusal(path, error))?, Some(libc::EINVAL))
        }
        opened => (opened.map_err(|error| refusal(path, error))?, None),
    };
    lock(path, &file)?;
    let size = file.seek(SeekFrom::End(0)).map_err(DeviceError::io(path, "find the size"))?;
    if size < limits::DEVICE_BYTES_MIN {
        return Err(DeviceError::TooSmall { path: path.to_owned(), bytes: size });
    }
    let direct = match refused {
        Some(errno) => DirectIo::Buffered { errno },
        None => alignment(path, &file)?,
    };
    Ok(Opened { file, kind, direct, size })
}

fn open(path: &Path, flags: i32) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
}

fn refusal(path: &Path, source: io::Error) -> DeviceError {
    match source.raw_os_error() {
        Some(libc::EBUSY) => DeviceError::InUse {
            path: path.to_owned(),
            by: String::from("the kernel or another process has it open exclusively"),
        },
        _ => DeviceError::Io { path: path.to_owned(), doing: "open", source },
    }
}

/// Takes the file for this process. One that another process holds is tried again for a while: the
/// kernel closes the files of a killed process only after the writes of its rings have ended, which must
/// not land in what a new one writes, and whoever restarts it does so at once.
fn lock(path: &Path, file: &File) -> Result<(), DeviceError> {
    let end = Instant::now() + limits::DEVICE_LOCK_WAIT;
    loop {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if Instant::now() < end => {
                std::thread::sleep(limits::DEVICE_LOCK_RETRY);
            }
            Err(Errno::WOULDBLOCK) => {
                return Err(DeviceError::InUse {
                    path: path.to_owned(),
                    by: String::from("another process has it locked"),
                });
            }
            Err(errno) => return Err(DeviceError::io(path, "lock")(errno)),
        }
    }
}

/// What direct I/O asks for: from statx (Linux 6.1), else by reading a block.
fn alignment(path: &Path, file: &File) -> Result<DirectIo, DeviceError> {
    let told = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN)
        .ok()
        .filter(|stat| StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::DIOALIGN))
        .filter(|stat| stat.stx_dio_mem_align != 0 && stat.stx_dio_offset_align != 0);
    let block = limits::DEVICE_BLOCK_BYTES as u32;
    if let Some(stat) = told {
        let (memory_align, offset_align) = (stat.stx_dio_mem_align, stat.stx_dio_offset_align);
        let needs = memory_align.max(offset_align);
        if needs > block {
            return Err(DeviceError::Alignment { path: path.to_owned(), needs });
        }
        return Ok(DirectIo::Direct { memory_align, offset_align, told: true });
    }
    let mut buffer = AlignedBuffer::new(limits::DEVICE_BLOCK_BYTES);
    file.read_exact_at(&mut buffer, limits::DEVICE_DATA_START)
        .map_err(DeviceError::io(path, "read a block of 4096 bytes with direct I/O"))?;
    Ok(DirectIo::Direct { memory_align: block, offset_align: block, told: false })
}

/// Where a block device is mounted, from `/proc/self/mountinfo` (proc(5): the third field is
/// `major:minor`, the fifth the mount point). Only for a better message: `O_EXCL` decides.
fn mounted_at(device: u64) -> Option<String> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    mount_point(&table, &format!("{major}:{minor}")).map(|point| format!("mounted at {point}"))
}

fn mount_point<'table>(table: &'table str, device: &str) -> Option<&'table str> {
    table.lines().find_map(|line| {
        let mut fields = line.split(' ');
        (fields.nth(2)? == device).then(|| fields.nth(1))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounted_devices_are_found() {
        let table = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
                     23 22 0:21 / /proc rw - proc proc rw\n\
                     40 22 259:1 /sub /srv/data rw - xfs /dev/nvme0n1p1 rw\n";
        assert_eq!(mount_point(table, "259:1"), Some("/srv/data"));
        assert_eq!(mount_point(table, "254:0"), Some("/"));
        assert_eq!(mount_point(table, "259:2"), None);
        assert_eq!(mount_point("", "259:2"), None);
    }

    #[test]
    fn only_one_may_open_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("extents");
        super::super::create_extent_file(&path, limits::DEVICE_BYTES_MIN).unwrap();
        let first = open_exclusive(&path).unwrap();
        assert_eq!((first.kind, first.size), (DeviceKind::ExtentFile, limits::DEVICE_BYTES_MIN));
        let error = open_exclusive(&path).unwrap_err();
        assert!(matches!(error, DeviceError::InUse { .. }), "{error}");
        drop(first);
        assert!(open_exclusive(&path).is_ok());
    }

    #[test]
    fn other_things_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let refused = open_exclusive(directory.path()).unwrap_err();
        assert!(matches!(refused, DeviceError::WrongKind { .. }));
        let refused = open_exclusive(&directory.path().join("absent")).unwrap_err();
        assert!(matches!(refused, DeviceError::Io { .. }));
        let tiny = directory.path().join("tiny");
        std::fs::write(&tiny, [0; 4096]).unwrap();
        assert!(matches!(open_exclusive(&tiny), Err(DeviceError::TooSmall { bytes: 4096, .. })));
    }
}
