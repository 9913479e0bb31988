//! What drives say of themselves: temperature, wear, spare blocks, errors of the medium.
//!
//! Owns: the thread that asks, and the last answers. It is never on a request's way: a drive that
//! hangs may hang whoever asks it, which is this thread.
//! Limits: `limits::DRIVE_*`.
//! Not here: where the kernel says it (`sysfs`), what `smartctl` says (`smart`).

mod smart;
mod sysfs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Instant;

use smart::Smart;

use crate::limits::{DRIVE_LOOK, DRIVE_SMART_PERIOD};

/// What one drive says; nothing where it does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct DriveReport {
    /// Degrees Celsius.
    pub temperature_celsius: Option<f64>,
    /// Share of its rated writes that it has used; over 1 for one that lives longer than rated.
    pub wear_ratio: Option<f64>,
    /// Share of its spare blocks that are left.
    pub spare_ratio: Option<f64>,
    /// Errors of the medium in its life.
    pub media_errors: Option<u64>,
}

/// The last answers, by the device's path as the store knows it.
#[derive(Debug, Default)]
pub struct Drives(Arc<Reports>);

type Reports = Mutex<BTreeMap<PathBuf, DriveReport>>;

impl Drives {
    /// Starts to ask the drives under those devices or files. Ends some time after this is dropped.
    /// Without a thread, nothing is ever said.
    pub fn watch(devices: Vec<PathBuf>) -> Drives {
        let drives = Drives::default();
        let reports = Arc::downgrade(&drives.0);
        let thread = thread::Builder::new().name("drives".to_owned());
        if let Err(error) = thread.spawn(move || ask(&devices, &reports)) {
            tracing::warn!(%error, "drives are not asked for temperature and wear");
        }
        drives
    }

    /// What the drive under a device said last.
    pub fn report(&self, device: &Path) -> DriveReport {
        let reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reports.get(device).copied().unwrap_or_default()
    }
}

/// The thread's body.
fn ask(devices: &[PathBuf], reports: &Weak<Reports>) {
    let mut smart = Smart::default();
    let mut wear: BTreeMap<PathBuf, DriveReport> = BTreeMap::new();
    let mut asked: Option<Instant> = None;
    while let Some(reports) = reports.upgrade() {
        let due = asked.is_none_or(|asked| asked.elapsed() >= DRIVE_SMART_PERIOD);
        for device in devices {
            let disk = sysfs::disk_under(device, Path::new(sysfs::ROOT));
            if due {
                let said = disk.as_ref().and_then(|disk| smart.ask(&disk.name));
                wear.insert(device.clone(), said.unwrap_or_default());
            }
            let mut report = wear.get(device).copied().unwrap_or_default();
            // The kernel's is newer.
            let now = disk.and_then(|disk| disk.temperature_celsius());
            report.temperature_celsius = now.or(report.temperature_celsius);
            let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
            reports.insert(device.clone(), report);
        }
        if due {
            asked = Some(Instant::now());
        }
        drop(reports);
        thread::sleep(DRIVE_LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_nobody_knows_says_nothing() {
        let path = PathBuf::from("/nowhere/at/all");
        let drives = Drives::watch(vec![path.clone()]);
        let deadline = Instant::now() + std::time::Duration::from_secs(10);
        while drives.0.lock().unwrap().is_empty() {
            assert!(Instant::now() < deadline, "it was never asked");
            thread::yield_now();
        }
        assert_eq!(drives.report(&path), DriveReport::default());
    }
}
