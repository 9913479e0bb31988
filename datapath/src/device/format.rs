//! *Owns:* making devices a store, and refusing to destroy what is on them.
//!
//! All devices are looked at before the first is changed. What counts as empty is zeros in the
//! first and the last MiB, where every file system, RAID, volume manager and partition table has
//! its marks; what is not empty is named as far as it is known.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::aligned::AlignedBuffer;
use super::error::DeviceError;
use super::extent_file::whole_blocks;
use super::open::{Opened, open_exclusive};
use super::superblock::{Superblock, Uuid};
use crate::arena::Size;
use crate::limits;

/// What is on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Zeros at both ends.
    Blank,
    /// A device of a store.
    Store(Superblock),
    /// Something else.
    Foreign(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Blank => f.write_str("nothing"),
            Finding::Store(superblock) => write!(
                f,
                "device {} of {} of Penstock store {}, {}",
                superblock.index,
                superblock.count,
                superblock.store,
                Size(superblock.size)
            ),
            Finding::Foreign(what) => f.write_str(what),
        }
    }
}

/// What formatting did.
#[derive(Debug, Clone)]
pub struct FormatReport {
    /// The new store.
    pub store: Uuid,
    /// Its devices in order.
    pub devices: Vec<FormattedDevice>,
}

/// One formatted device.
#[derive(Debug, Clone)]
pub struct FormattedDevice {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// What was destroyed on it.
    pub replaced: Finding,
}

/// Looks at a device without changing it.
///
/// # Errors
/// When it cannot be opened exclusively: mounted, in use, too small, no device.
pub fn inspect(path: &Path) -> Result<Finding, DeviceError> {
    let opened = open_exclusive(path)?;
    look(path, &opened)
}

/// What formatting may destroy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayReplace {
    /// Nothing.
    Nothing,
    /// A device of the store that is being made: its making was interrupted before anything could be
    /// stored.
    Unfinished,
    /// Everything.
    Anything,
}

impl MayReplace {
    /// Whether it may destroy this, making the store of this id.
    pub fn allows(self, finding: &Finding, store: Uuid) -> bool {
        match (self, finding) {
            (MayReplace::Anything, _) | (_, Finding::Blank) => true,
            (MayReplace::Unfinished, Finding::Store(found)) => found.store == store,
            (MayReplace::Nothing | MayReplace::Unfinished, _) => false,
        }
    }
}

/// Makes the devices a new store, in the order given.
///
/// # Errors
/// When any of them cannot be had or, without `force`, holds something; then none was changed.
/// `force` does not reach devices that are mounted or in use.
pub fn format(paths: &[PathBuf], force: bool) -> Result<FormatReport, DeviceError> {
    let replace = if force { MayReplace::Anything } else { MayReplace::Nothing };
    format_as(paths, Uuid::random()?, replace)
}

/// As [`format()`], for a store whose id is known already.
pub fn format_as(
    paths: &[PathBuf],
    store: Uuid,
    replace: MayReplace,
) -> Result<FormatReport, DeviceError> {
    if paths.is_empty() || paths.len() > limits::DEVICES_MAX {
        return Err(DeviceError::Count { count: paths.len() });
    }
    let mut opened = Vec::with_capacity(paths.len());
    for path in paths {
        let device = open_exclusive(path)?;
        let finding = look(path, &device)?;
        if !replace.allows(&finding, store) {
            return Err(DeviceError::HoldsSomething {
                path: path.clone(),
                what: finding.to_string(),
            });
        }
        opened.push((path, device, finding));
    }
    let created_ms = now_ms();
    let mut devices = Vec::with_capacity(paths.len());
    for (index, (path, device, replaced)) in opened.into_iter().enumerate() {
        let superblock = Superblock {
            store,
            device: Uuid::random()?,
            index: index as u16,
            count: paths.len() as u16,
            sequence: 1,
            size: whole_blocks(device.size),
            created_ms,
        };
        wipe(&device.file, superblock.size).map_err(DeviceError::io(path, "wipe"))?;
        superblock.write(&device.file).map_err(DeviceError::io(path, "write the superblock"))?;
        devices.push(FormattedDevice { path: path.clone(), bytes: superblock.size, replaced });
    }
    Ok(FormatReport { store, devices })
}

/// A clock before 1970 gives 0: the time is for people only.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Zeros at both ends, so that no other program takes the device for what it was.
fn wipe(file: &File, bytes: u64) -> io::Result<()> {
    let zeros = AlignedBuffer::new(limits::FORMAT_INSPECT_BYTES);
    file.write_all_at(&zeros, bytes - limits::FORMAT_INSPECT_BYTES as u64)?;
    file.write_all_at(&zeros, 0)?;
    file.sync_all()
}

fn look(path: &Path, opened: &Opened) -> Result<Finding, DeviceError> {
    let size = whole_blocks(opened.size);
    let tail_at = size - limits::FORMAT_INSPECT_BYTES as u64;
    let mut ends = [0, tail_at].map(|at| (at, AlignedBuffer::new(limits::FORMAT_INSPECT_BYTES)));
    for (at, buffer) in &mut ends {
        let read = opened.file.read_exact_at(buffer, *at);
        read.map_err(DeviceError::io(path, "look at what it holds"))?;
    }
    let [(_, head), (_, tail)] = &ends;
    Ok(recognise(head, tail, tail_at))
}

/// Names what the first and last MiB of a device hold.
fn recognise(head: &[u8], tail: &[u8], tail_at: u64) -> Finding {
    if let Ok(found) = Superblock::choose(head) {
        return Finding::Store(found.superblock);
    }
    let at_start = SIGNATURES.iter().find(|(at, mark, _)| head[*at..].starts_with(mark));
    if let Some((_, _, name)) = at_start {
        return Finding::Foreign((*name).to_owned());
    }
    let from_end = SIGNATURES_AT_END
        .iter()
        .find(|(before_end, mark, _)| tail[tail.len() - before_end..].starts_with(mark));
    if let Some((_, _, name)) = from_end {
        return Finding::Foreign((*name).to_owned());
    }
    let nonzero = |part: &[u8]| part.iter().position(|byte| *byte != 0);
    let found =
        nonzero(head).map(|at| at as u64).or_else(|| nonzero(tail).map(|at| tail_at + at as u64));
    match found {
        Some(at) => Finding::Foreign(format!("unknown data (a byte that is not zero at {at})")),
        None => Finding::Blank,
    }
}

/// Offset, mark and name; from libblkid's probes and the formats' own documents. The more telling
/// first: a boot sector's 55 AA is on many things.
const SIGNATURES: &[(usize, &[u8], &str)] = &[
    (1080, &[0x53, 0xef], "an ext2, ext3 or ext4 file system"),
    (0, b"XFSB", "an XFS file system"),
    (65_600, b"_BHRfS_M", "a Btrfs file system"),
    (0, b"LUKS\xba\xbe", "a LUKS encrypted volume"),
    (536, b"LVM2 001", "an LVM physical volume"),
    (4096, &[0xfc, 0x4e, 0x2b, 0xa9], "a member of a Linux RAID"),
    (0, &[0xfc, 0x4e, 0x2b, 0xa9], "a member of a Linux RAID"),
    (0, b"bluestore block device", "a Ceph BlueStore device"),
    (1024, &[0x10, 0x20, 0xf5, 0xf2], "an F2FS file system"),
    (4086, b"SWAPSPACE2", "swap space"),
    (32_769, b"CD001", "an ISO 9660 image"),
    (3, b"NTFS    ", "an NTFS file system"),
    (3, b"EXFAT   ", "an exFAT file system"),
    (82, b"FAT32   ", "a FAT file system"),
    (512, b"EFI PART", "a GPT partition table"),
    (4096, b"EFI PART", "a GPT partition table"),
    (131_072, &[0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0], "a ZFS member"),
    (510, &[0x55, 0xaa], "a boot sector or MBR partition table"),
    (0, b"PENSTOCK", "a damaged or later Penstock superblock"),
    (4096, b"PENSTOCK", "a damaged or later Penstock superblock"),
];

/// The same, counted back from the end.
const SIGNATURES_AT_END: &[(usize, &[u8], &str)] = &[
    (512, b"EFI PART", "the backup of a GPT partition table"),
    (4096, b"EFI PART", "the backup of a GPT partition table"),
    (65_536, &[0xfc, 0x4e, 0x2b, 0xa9], "a member of a Linux RAID"),
    (8192, &[0xfc, 0x4e, 0x2b, 0xa9], "a member of a Linux RAID"),
];

#[cfg(test)]
mod tests {
    use super::super::{DeviceSet, DeviceSpec, create_extent_file};
    use super::*;

    const SIZE: u64 = limits::DEVICE_BYTES_MIN;

    fn extent_file(directory: &Path, name: &str) -> PathBuf {
        let path = directory.join(name);
        create_extent_file(&path, SIZE).unwrap();
        path
    }

    fn spec(path: &Path, bytes: Option<u64>) -> DeviceSpec {
        DeviceSpec { path: path.to_owned(), bytes }
    }

    fn poke(path: &Path, at: u64, bytes: &[u8]) {
        let file = File::options().write(true).open(path).unwrap();
        file.write_all_at(bytes, at).unwrap();
        file.sync_all().unwrap();
    }

    #[test]
    fn a_store_is_formatted_once() {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| extent_file(directory.path(), name)).to_vec();
        assert_eq!(inspect(&paths[0]).unwrap(), Finding::Blank);
        let report = format(&paths, false).unwrap();
        let set = DeviceSet::open(&[spec(&paths[1], None), spec(&paths[0], None)]).unwrap();
        assert_eq!(set.store(), report.store);
        assert_eq!(set.devices()[0].path(), paths[0]);
        assert_eq!(set.devices()[1].data_area(), 1 << 20..SIZE);
        drop(set);
        let error = format(&paths, false).unwrap_err();
        assert!(error.to_string().contains(&report.store.to_string()), "{error}");
        let again = format(&paths, true).unwrap();
        assert_ne!(again.store, report.store);
        assert!(matches!(again.devices[0].replaced, Finding::Store(_)));
    }

    #[test]
    fn what_is_there_is_named_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (used, blank) =
            (extent_file(directory.path(), "used"), extent_file(directory.path(), "blank"));
        let unknown = "unknown data";
        for (at, bytes, name) in SIGNATURES
            .iter()
            .map(|(at, mark, name)| (*at as u64, *mark, *name))
            .chain(
                SIGNATURES_AT_END.iter().map(|(at, mark, name)| (SIZE - *at as u64, *mark, *name)),
            )
            .chain([(777_777, &b"x"[..], unknown), (SIZE - 1, &b"x"[..], unknown)])
        {
            poke(&used, 0, &vec![0; SIZE as usize]);
            poke(&used, at, bytes);
            let error = format(&[blank.clone(), used.clone()], false).unwrap_err();
            assert!(matches!(&error, DeviceError::HoldsSomething { path, .. } if *path == used));
            assert!(error.to_string().contains(name), "{name} at {at}: {error}");
            assert_eq!(inspect(&blank).unwrap(), Finding::Blank, "the other one was not touched");
        }
        let report = format(std::slice::from_ref(&used), true).unwrap();
        assert!(report.devices[0].replaced.to_string().contains(unknown));
    }

    #[test]
    fn sets_must_be_whole_and_of_one_store() {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["a", "b", "c"].map(|name| extent_file(directory.path(), name)).to_vec();
        format(&paths, false).unwrap();
        let other = extent_file(directory.path(), "other");
        format(std::slice::from_ref(&other), false).unwrap();
        let open = |paths: &[&PathBuf]| {
            let specs: Vec<_> = paths.iter().map(|path| spec(path, None)).collect();
            DeviceSet::open(&specs).map(drop)
        };
        let error = open(&[&paths[0], &paths[2]]).unwrap_err();
        assert!(error.to_string().contains("missing: device 1"), "{error}");
        let error = open(&[&paths[0], &other]).unwrap_err();
        assert!(matches!(error, DeviceError::OtherStore { .. }), "{error}");
        assert!(matches!(open(&[]), Err(DeviceError::Count { count: 0 })));
        let blank = extent_file(directory.path(), "blank");
        let error = open(&[&blank]).unwrap_err();
        assert!(matches!(error, DeviceError::NotFormatted { .. }), "{error}");
        // A copy of a device under another name has the place of the first.
        let copy = directory.path().join("copy");
        std::fs::copy(&paths[0], &copy).unwrap();
        let error = open(&[&paths[0], &copy, &paths[1], &paths[2]]).unwrap_err();
        assert!(matches!(error, DeviceError::WrongPlace { index: 0, .. }), "{error}");
        open(&[&paths[2], &paths[0], &paths[1]]).unwrap();
    }

    #[test]
    fn files_grow_and_never_shrink() {
        let directory = tempfile::tempdir().unwrap();
        let path = extent_file(directory.path(), "extents");
        format(std::slice::from_ref(&path), false).unwrap();
        let set = DeviceSet::open(&[spec(&path, Some(2 * SIZE + 1))]).unwrap();
        assert_eq!(set.devices()[0].size(), 2 * SIZE);
        assert_eq!(set.devices()[0].grown_from(), Some(SIZE));
        drop(set);
        let set = DeviceSet::open(&[spec(&path, None)]).unwrap();
        assert_eq!((set.devices()[0].size(), set.devices()[0].grown_from()), (2 * SIZE, None));
        drop(set);
        let error = DeviceSet::open(&[spec(&path, Some(SIZE))]).unwrap_err();
        assert!(matches!(error, DeviceError::Shrink { .. }), "{error}");
        File::options().write(true).open(&path).unwrap().set_len(SIZE).unwrap();
        let error = DeviceSet::open(&[spec(&path, None)]).unwrap_err();
        assert!(error.to_string().contains("only 16 MiB"), "{error}");
    }

    #[test]
    fn one_damaged_copy_is_repaired() {
        let directory = tempfile::tempdir().unwrap();
        let path = extent_file(directory.path(), "extents");
        let store = format(std::slice::from_ref(&path), false).unwrap().store;
        for copy in [0, 4096] {
            poke(&path, copy + 100, b"damage");
            let set = DeviceSet::open(&[spec(&path, None)]).unwrap();
            assert_eq!(set.store(), store);
            assert!(set.devices()[0].superblock_outdated());
        }
        let set = DeviceSet::open(&[spec(&path, None)]).unwrap();
        assert!(!set.devices()[0].superblock_outdated());
        drop(set);
        poke(&path, 100, b"damage");
        poke(&path, 4196, b"damage");
        let error = DeviceSet::open(&[spec(&path, None)]).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
    }
}
