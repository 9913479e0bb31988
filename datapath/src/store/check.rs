//! The offline check: the index against itself, the index against the devices, and every block of
//! data against its checksum.
//!
//! *Not here*: the rules of the index ([`crate::index::walk`]). Nothing is repaired, nor a device
//! grown: a finding names what is damaged, and the data of everything else is intact.

use std::{fs::File, os::unix::fs::FileExt};

use super::{
    Store, StoreOptions,
    open::{OpenError, device_specs, index_data_file, index_options, lock_directory},
};
use crate::{
    device::DeviceSet,
    extent::{checksum::crc64, plan::block_bytes},
    id::ExtentId,
    index::{self, ExtentRecord, Index, WalkDevice},
    limits::{CHECKSUM_BLOCK_BYTES, DEVICE_BLOCK_BYTES, WALK_FINDINGS_MAX},
};

/// How far a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckProgress {
    /// What is being gone through.
    pub what: &'static str,
    /// Rows so far.
    pub done: u64,
    /// Rows in all.
    pub total: u64,
    /// Bytes of data verified so far.
    pub verified_bytes: u64,
}

/// What a check went through and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// The first findings, [`crate::limits::WALK_FINDINGS_MAX`] at most.
    pub findings: Vec<String>,
    /// All findings.
    pub finding_count: u64,
    /// Buckets.
    pub buckets: u64,
    /// Objects: live latest versions.
    pub objects: u64,
    /// Versions beside them.
    pub versions: u64,
    /// Delete markers.
    pub markers: u64,
    /// Uploads that were not completed.
    pub uploads: u64,
    /// Extents.
    pub extents: u64,
    /// Bytes of objects and versions, copies counted each.
    pub object_bytes: u64,
    /// Bytes of devices that extents take.
    pub extent_bytes: u64,
    /// Bytes of data that were read and verified.
    pub verified_bytes: u64,
}

impl Store {
    /// Checks a store that no process serves, and changes nothing, but that an index made before there
    /// were some tables gets these, empty.
    ///
    /// # Errors
    /// When the store can't be opened; damage that was found is in the report.
    pub fn check(
        options: &StoreOptions,
        progress: &mut dyn FnMut(CheckProgress),
    ) -> Result<CheckReport, OpenError> {
        // Looked for first: a directory that holds no store is not to get a lock file.
        if !index_data_file(options).exists() {
            return Err(OpenError::Absent(options.data_dir.clone()));
        }
        let _lock = lock_directory(options)?;
        let index = Index::open(&index_options(options))?;
        let devices = DeviceSet::open_unchanged(&device_specs(options))?;
        if index.store() != devices.store().0 {
            return Err(OpenError::Mismatch(options.data_dir.clone()));
        }
        let areas: Vec<WalkDevice> = devices.devices().iter().map(|device| area(device)).collect();
        let data = Data::open(&devices)?;
        let verified = std::cell::Cell::new(0);
        let mut tell = |walk: index::WalkProgress| {
            progress(CheckProgress {
                what: walk.table,
                done: walk.rows,
                total: walk.rows_total,
                verified_bytes: verified.get(),
            });
        };
        let mut verify = |id: ExtentId, extent: &ExtentRecord, checksums: &[u64]| {
            verified.set(verified.get() + extent.data_length);
            data.verify(id, extent, checksums).err()
        };
        let walk = index::walk(&index, &areas, &mut tell, &mut verify)?;
        let outdated = outdated_superblocks(&devices);
        let of_walk = walk.findings.iter().map(ToString::to_string);
        Ok(CheckReport {
            finding_count: walk.findings_total + outdated.len() as u64,
            findings: outdated.into_iter().chain(of_walk).take(WALK_FINDINGS_MAX).collect(),
            buckets: walk.buckets,
            objects: walk.objects,
            versions: walk.versions,
            markers: walk.markers,
            uploads: walk.uploads,
            extents: walk.extents,
            object_bytes: walk.object_bytes,
            extent_bytes: walk.extent_bytes,
            verified_bytes: verified.get(),
        })
    }
}

fn outdated_superblocks(devices: &DeviceSet) -> Vec<String> {
    let outdated = devices.devices().iter().filter(|device| device.superblock_outdated());
    let finding = |device: &std::sync::Arc<crate::device::Device>| {
        format!(
            "device {} ({}): one copy of the superblock is damaged or old; the next start writes \
             it again",
            device.id().0,
            device.path().display()
        )
    };
    outdated.map(finding).collect()
}

fn area(device: &crate::device::Device) -> WalkDevice {
    let area = device.data_area();
    WalkDevice {
        id: device.id(),
        first_block: area.start / DEVICE_BLOCK_BYTES as u64,
        end_block: area.end / DEVICE_BLOCK_BYTES as u64,
    }
}

/// The devices, opened once more for reading through the page cache, which reads ahead.
struct Data(Vec<File>);

impl Data {
    fn open(devices: &DeviceSet) -> Result<Self, OpenError> {
        let open = |device: &std::sync::Arc<crate::device::Device>| {
            let path = device.path();
            File::open(path).map_err(|error| OpenError::Io {
                path: path.to_owned(),
                action: "open",
                error,
            })
        };
        Ok(Self(devices.devices().iter().map(open).collect::<Result<_, _>>()?))
    }

    /// Reads an extent and compares each block; the error says which one differs.
    fn verify(&self, id: ExtentId, extent: &ExtentRecord, expected: &[u64]) -> Result<(), String> {
        let device = usize::from(extent.location.device.0);
        let file = self.0.get(device).ok_or_else(|| format!("there is no device {device}"))?;
        let mut block = vec![0; CHECKSUM_BLOCK_BYTES as usize];
        for (number, &expected) in (0u32..).zip(expected) {
            let content = &mut block[..block_bytes(extent.data_length, number) as usize];
            let offset = extent.location.offset_blocks * DEVICE_BLOCK_BYTES as u64
                + u64::from(number) * CHECKSUM_BLOCK_BYTES;
            file.read_exact_at(content, offset)
                .map_err(|error| format!("extent {id}, block {number}: {error}"))?;
            if crc64(content) != expected {
                return Err(format!(
                    "extent {id}, block {number}: the data on device {device} at byte {offset} \
                     doesn't match its checksum"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::super::testing::{content, options, put, run_on_lane};
    use super::*;
    use crate::device::EngineKind;

    #[test]
    fn nothing_is_changed_and_a_damaged_superblock_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let mut options = options(&directory);
        let store = Store::open(&options).unwrap();
        run_on_lane(&store, EngineKind::Blocking, |lane| async move {
            put(&lane, "key", &content(1, 300_000)).await.unwrap();
        });
        store.close();
        let extents = directory.path().join("extents");
        let file = File::options().write(true).open(&extents).unwrap();
        file.write_all_at(b"damage", 4096 + 100).unwrap();
        drop(file);
        let before = std::fs::read(&extents).unwrap();
        for asked in [Some(32 << 20), None, Some(1 << 20)] {
            options.extent_file_bytes = asked;
            let report = Store::check(&options, &mut |_| {}).unwrap();
            assert_eq!(report.finding_count, 1, "{:?}", report.findings);
            assert!(report.findings[0].contains("superblock"), "{:?}", report.findings);
            assert_eq!((report.objects, report.verified_bytes), (1, 300_000));
            assert!(std::fs::read(&extents).unwrap() == before, "{asked:?}: the file was changed");
        }
        // A start repairs what was found.
        options.extent_file_bytes = None;
        Store::open(&options).unwrap().close();
        assert_eq!(Store::check(&options, &mut |_| {}).unwrap().finding_count, 0);
    }

    #[test]
    fn a_directory_without_a_store_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let refused = Store::check(&options(&directory), &mut |_| {}).unwrap_err();
        assert!(matches!(refused, OpenError::Absent(_)), "{refused}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
