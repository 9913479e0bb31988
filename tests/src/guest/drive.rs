//! Owns: what the kernel says about a block device (Documentation/block/stat.rst, sysfs-block).

use std::fs;
use std::path::{Path, PathBuf};

/// Sector of all counters in /sys/block, whatever the device's own is.
const COUNTED_SECTOR_BYTES: u64 = 512;

/// One NVMe drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    path: PathBuf,
}

impl Drive {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The device node.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.number("size") * COUNTED_SECTOR_BYTES
    }

    /// Its logical sector in bytes: the least that can be written, and the alignment of direct
    /// access.
    pub fn sector_bytes(&self) -> u64 {
        self.number("queue/logical_block_size")
    }

    /// Bytes read from and written to it since the boot, by whomever.
    pub fn moved_bytes(&self) -> (u64, u64) {
        let fields = self.stat();
        (fields[2] * COUNTED_SECTOR_BYTES, fields[6] * COUNTED_SECTOR_BYTES)
    }

    /// Flushes of its volatile cache since the boot.
    pub fn flushes(&self) -> u64 {
        self.stat()[15]
    }

    fn stat(&self) -> Vec<u64> {
        let stat = self.attribute("stat");
        let fields: Vec<u64> = stat.split_whitespace().map_while(|it| it.parse().ok()).collect();
        assert!(fields.len() > 15, "{}: stat reads {stat:?}", self.path.display());
        fields
    }

    fn number(&self, attribute: &str) -> u64 {
        let text = self.attribute(attribute);
        text.trim().parse().unwrap_or_else(|_| panic!("{attribute} of {self:?} is {text:?}"))
    }

    fn attribute(&self, attribute: &str) -> String {
        let name = self.path.file_name().expect("a device node has a name");
        let path = Path::new("/sys/block").join(name).join(attribute);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}
