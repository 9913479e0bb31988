//! What the kernel says of a disk, in sysfs: which one lies under a device or a file, and its
//! temperature.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor};

use crate::limits::DRIVE_LAYERS_MAX;

/// Where sysfs is.
pub(super) const ROOT: &str = "/sys";

/// A whole disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Disk {
    /// The kernel's name, as in `/dev`.
    pub(super) name: String,
    directory: PathBuf,
}

/// The disk that a block device is (a part of), or that the file system of a file lies on. None
/// where there is not exactly one: file systems over several disks, network file systems.
pub(super) fn disk_under(path: &Path, root: &Path) -> Option<Disk> {
    let metadata = fs::metadata(path).ok()?;
    let is_device = metadata.file_type().is_block_device();
    let number = if is_device { metadata.rdev() } else { metadata.dev() };
    let link = format!("dev/block/{}:{}", major(number), minor(number));
    disk_of(fs::canonicalize(root.join(link)).ok()?)
}

fn disk_of(mut directory: PathBuf) -> Option<Disk> {
    for _ in 0..DRIVE_LAYERS_MAX {
        if directory.join("partition").exists() {
            directory.pop();
        }
        // Logical volumes and encryption stand on others.
        let mut under = entries(&directory.join("slaves"));
        match (under.pop(), under.pop()) {
            (None, _) => {
                let name = directory.file_name()?.to_str()?.to_owned();
                return Some(Disk { name, directory });
            }
            (Some(one), None) => directory = fs::canonicalize(one).ok()?,
            (Some(_), Some(_)) => return None,
        }
    }
    None
}

impl Disk {
    /// What its own sensor says. The sensor stands with the drive or with its controller, in a
    /// directory of its own or not, by the kernel's version.
    pub(super) fn temperature_celsius(&self) -> Option<f64> {
        let places = ["device", "device/hwmon", "device/device", "device/device/hwmon"];
        let sensors = places.iter().flat_map(|place| entries(&self.directory.join(place)));
        sensors.filter(|it| is_of_drive(it)).find_map(|sensor| {
            let value = fs::read_to_string(sensor.join("temp1_input")).ok()?;
            Some(f64::from(value.trim().parse::<i32>().ok()?) / 1000.0)
        })
    }
}

/// Whether a directory is a drive's sensor: a controller's may be beside it.
fn is_of_drive(directory: &Path) -> bool {
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let kind = || fs::read_to_string(directory.join("name")).unwrap_or_default();
    name.starts_with("hwmon") && name != "hwmon" && ["nvme", "drivetemp"].contains(&kind().trim())
}

/// What is in a directory, in the order of names; nothing where there is none.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<_> = found.map(|entry| entry.path()).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: PathBuf, content: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    #[test]
    fn a_partition_in_a_logical_volume_leads_to_its_drive_and_its_sensor() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let disk = root.join("devices/pci0/nvme/nvme0/nvme0n1");
        write(disk.join("nvme0n1p2/partition"), "2\n");
        let volume = root.join("devices/virtual/block/dm-0");
        fs::create_dir_all(volume.join("slaves")).unwrap();
        symlink(disk.join("nvme0n1p2"), volume.join("slaves/nvme0n1p2")).unwrap();
        let sensor = root.join("devices/pci0/nvme/nvme0/hwmon3");
        write(sensor.join("name"), "nvme\n");
        write(sensor.join("temp1_input"), "41850\n");
        write(root.join("devices/pci0/nvme/nvme0/hwmon2/name"), "acpitz\n");
        write(root.join("devices/pci0/nvme/nvme0/hwmon2/temp1_input"), "90000\n");
        symlink(root.join("devices/pci0/nvme/nvme0"), disk.join("device")).unwrap();
        let number = fs::metadata(root).unwrap().dev();
        let link = root.join(format!("dev/block/{}:{}", major(number), minor(number)));
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(&volume, &link).unwrap();
        let found = disk_under(root, root).unwrap();
        assert_eq!(found.name, "nvme0n1");
        assert_eq!(found.temperature_celsius(), Some(41.85));
        // Over two disks there is no one drive to ask.
        symlink(root.join("devices"), volume.join("slaves/other")).unwrap();
        assert_eq!(disk_under(root, root), None);
        // Layers in a ring end, too.
        fs::remove_file(volume.join("slaves/other")).unwrap();
        fs::remove_file(volume.join("slaves/nvme0n1p2")).unwrap();
        symlink(&volume, volume.join("slaves/itself")).unwrap();
        assert_eq!(disk_under(root, root), None);
    }

    #[test]
    fn a_drive_without_a_sensor_has_no_temperature() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk { name: "vda".to_owned(), directory: directory.path().to_owned() };
        assert_eq!(disk.temperature_celsius(), None);
        write(directory.path().join("device/hwmon/hwmon1/name"), "drivetemp");
        write(directory.path().join("device/hwmon/hwmon1/temp1_input"), "hot");
        assert_eq!(disk.temperature_celsius(), None);
        write(directory.path().join("device/hwmon/hwmon1/temp1_input"), "-5000");
        assert_eq!(disk.temperature_celsius(), Some(-5.0));
    }
}
