//! *Owns:* the opened devices of one store, in the order of their indexes, and growing them.
//!
//! *Not here:* moving data (`engine/`), creating them (`extent_file.rs`, `format.rs`).

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::engine::crash::CrashDisk;
use super::error::{DeviceError, DeviceFault};
use super::extent_file::{allocate, whole_blocks};
use super::flush::{FlushHandle, FlushState, Flushed};
use super::open::{DeviceKind, DirectIo, Opened, open_exclusive};
use super::superblock::{Superblock, Uuid};
use crate::arena::Size;
use crate::id::DeviceId;
use crate::limits;

/// A device to open.
#[derive(Debug, Clone)]
pub struct DeviceSpec {
    /// A block device or an extent file.
    pub path: PathBuf,
    /// For a file: its size from now on. The present one when None; a smaller one is refused.
    pub bytes: Option<u64>,
}

/// An opened device. What it says of itself is `Send + Sync`; data move through an engine.
#[derive(Debug)]
pub struct Device {
    id: DeviceId,
    uuid: Uuid,
    path: PathBuf,
    kind: DeviceKind,
    direct: DirectIo,
    size: u64,
    grown_from: Option<u64>,
    superblock_outdated: bool,
    pub(super) backing: Backing,
    pub(super) flush: FlushState,
}

/// Where the bytes are.
#[derive(Debug)]
pub(super) enum Backing {
    File(File),
    Crash(Arc<CrashDisk>),
}

impl Device {
    /// Its index in the store.
    pub fn id(&self) -> DeviceId {
        self.id
    }

    /// Its own identifier.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is.
    pub fn kind(&self) -> DeviceKind {
        self.kind
    }

    /// Whether the page cache is passed by.
    pub fn direct(&self) -> DirectIo {
        self.direct
    }

    /// Its size in bytes, superblock included.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its size before this opening made it larger.
    pub fn grown_from(&self) -> Option<u64> {
        self.grown_from
    }

    /// Whether one copy of the superblock was found damaged or old. [`DeviceSet::open`] wrote it
    /// again, [`DeviceSet::open_unchanged`] left it.
    pub fn superblock_outdated(&self) -> bool {
        self.superblock_outdated
    }

    /// Offsets that hold data: whole blocks, from [`limits::DEVICE_DATA_START`].
    pub fn data_area(&self) -> Range<u64> {
        limits::DEVICE_DATA_START..whole_blocks(self.size)
    }
}

/// All devices of a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DeviceSet {
    devices: Arc<[Arc<Device>]>,
    store: Uuid,
}

impl DeviceSet {
    /// Opens every device of one store, in any order, grows those that are to be or have become
    /// larger, and repairs superblocks of which one copy is left.
    pub fn open(specs: &[DeviceSpec]) -> Result<DeviceSet, DeviceError> {
        DeviceSet::open_and(specs, OpenedDevice::grow_and_repair)
    }

    /// Opens every device as it is, whatever size `specs` ask for, and writes nothing.
    pub fn open_unchanged(specs: &[DeviceSpec]) -> Result<DeviceSet, DeviceError> {
        let spec = |spec: &DeviceSpec| DeviceSpec { path: spec.path.clone(), bytes: None };
        let specs: Vec<DeviceSpec> = specs.iter().map(spec).collect();
        DeviceSet::open_and(&specs, |_| Ok(None))
    }

    /// `settle` is called for each when all were found to belong together; it tells a size that the
    /// device had before.
    fn open_and(
        specs: &[DeviceSpec],
        settle: impl Fn(&mut OpenedDevice) -> Result<Option<u64>, DeviceError>,
    ) -> Result<DeviceSet, DeviceError> {
        if specs.is_empty() || specs.len() > limits::DEVICES_MAX {
            return Err(DeviceError::Count { count: specs.len() });
        }
        let mut found = Vec::with_capacity(specs.len());
        for spec in specs {
            found.push(open_one(spec)?);
        }
        let (store, count) = (found[0].superblock.store, found[0].superblock.count);
        let mut places: Vec<Option<OpenedDevice>> = (0..count).map(|_| None).collect();
        for device in found {
            let Superblock { store: found, index, count: its_count, .. } = device.superblock;
            let path = device.path.clone();
            if found != store {
                return Err(DeviceError::OtherStore { path, expected: store, found });
            }
            match places.get_mut(usize::from(index)) {
                Some(place @ None) if its_count == count => *place = Some(device),
                _ => return Err(DeviceError::WrongPlace { path, index, count }),
            }
        }
        let missing: Vec<String> = places
            .iter()
            .enumerate()
            .filter(|(_, place)| place.is_none())
            .map(|(index, _)| index.to_string())
            .collect();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            return Err(DeviceError::Incomplete { count, named: specs.len(), missing });
        }
        // Nothing was written until all were found to belong together.
        let mut devices = Vec::with_capacity(specs.len());
        for (place, mut device) in places.into_iter().flatten().enumerate() {
            let grown_from = settle(&mut device)?;
            devices.push(Arc::new(device.into_device(DeviceId(place as u16), grown_from)));
        }
        Ok(DeviceSet { devices: devices.into(), store })
    }

    /// A store on simulated devices, which need no formatting.
    ///
    /// # Panics
    /// Without any, or with more than [`limits::DEVICES_MAX`].
    pub fn of_crash_disks(disks: &[Arc<CrashDisk>]) -> DeviceSet {
        assert!((1..=limits::DEVICES_MAX).contains(&disks.len()));
        let devices = disks.iter().enumerate().map(|(index, disk)| {
            let block = limits::DEVICE_BLOCK_BYTES as u32;
            Arc::new(Device {
                id: DeviceId(index as u16),
                uuid: Uuid([index as u8; 16]),
                path: PathBuf::from(format!("crash-device-{index}")),
                kind: DeviceKind::Crash,
                direct: DirectIo::Direct { memory_align: block, offset_align: block, told: true },
                size: disk.size(),
                grown_from: None,
                superblock_outdated: false,
                backing: Backing::Crash(Arc::clone(disk)),
                flush: FlushState::default(),
            })
        });
        DeviceSet { devices: devices.collect(), store: Uuid([0; 16]) }
    }

    /// The store's identifier, the same on every device.
    pub fn store(&self) -> Uuid {
        self.store
    }

    /// In the order of their indexes.
    pub fn devices(&self) -> &[Arc<Device>] {
        &self.devices
    }

    /// One of them.
    pub fn device(&self, id: DeviceId) -> Option<&Arc<Device>> {
        self.devices.get(usize::from(id.0))
    }

    /// Handles to flush each, in the same order.
    pub fn flush_handles(&self) -> Vec<FlushHandle> {
        self.devices.iter().map(|device| FlushHandle::new(Arc::clone(device))).collect()
    }

    /// Makes every write that had completed before the call durable, on all devices. Blocks.
    pub fn flush_all(&self) -> Result<Flushed, DeviceFault> {
        let mut all = Flushed::NothingToDo;
        for device in self.devices.iter() {
            if FlushHandle::new(Arc::clone(device)).flush()? == Flushed::Done {
                all = Flushed::Done;
            }
        }
        Ok(all)
    }
}

/// A device whose superblock was read, before anything is changed on it.
struct OpenedDevice {
    path: PathBuf,
    opened: Opened,
    superblock: Superblock,
    /// One copy of the superblock is not this one.
    outdated: bool,
    /// What it is to have; at least what the superblock says.
    bytes: u64,
}

fn open_one(spec: &DeviceSpec) -> Result<OpenedDevice, DeviceError> {
    let path = spec.path.clone();
    let opened = open_exclusive(&path)?;
    let found = Superblock::read(&opened.file)
        .map_err(DeviceError::io(&path, "read the superblock"))?
        .map_err(|source| DeviceError::NotFormatted { path: path.clone(), source })?;
    let superblock = found.superblock;
    let has_bytes = superblock.size;
    if opened.size < has_bytes {
        let why = format!("only {} of it are there", Size(opened.size));
        return Err(DeviceError::Shrink { path, has_bytes, why });
    }
    let present = whole_blocks(opened.size);
    let bytes = match (spec.bytes.map(whole_blocks), opened.kind) {
        (Some(asked), _) if asked < has_bytes => {
            let why = format!("{} was asked for", Size(asked));
            return Err(DeviceError::Shrink { path, has_bytes, why });
        }
        (Some(asked), DeviceKind::ExtentFile) => asked.max(present),
        _ => present,
    };
    Ok(OpenedDevice { path, opened, superblock, outdated: found.one_copy_only, bytes })
}

impl OpenedDevice {
    /// Grows and repairs, as found necessary; tells the size before, if it grew.
    fn grow_and_repair(&mut self) -> Result<Option<u64>, DeviceError> {
        let OpenedDevice { path, opened, superblock, outdated, bytes } = self;
        let grown_from = (*bytes > superblock.size).then_some(superblock.size);
        if grown_from.is_some() && opened.kind == DeviceKind::ExtentFile {
            // Also where the file is long enough already: its bytes may not be allocated.
            allocate(path, &opened.file, *bytes)?;
            opened.file.sync_all().map_err(DeviceError::io(path, "make durable"))?;
        }
        if *outdated || grown_from.is_some() {
            superblock.sequence += 1;
            superblock.size = *bytes;
            superblock
                .write(&opened.file)
                .map_err(DeviceError::io(path, "write the superblock"))?;
        }
        Ok(grown_from)
    }

    fn into_device(self, id: DeviceId, grown_from: Option<u64>) -> Device {
        let OpenedDevice { path, opened, superblock, outdated, .. } = self;
        Device {
            id,
            uuid: superblock.device,
            path,
            kind: opened.kind,
            direct: opened.direct,
            size: superblock.size,
            grown_from,
            superblock_outdated: outdated,
            backing: Backing::File(opened.file),
            flush: FlushState::default(),
        }
    }
}
