//! *Owns:* finding out at start what the system and the devices can do, so that what is missing
//! shows in the start message and the metrics instead of in the speed.

use std::fmt;
use std::io;
use std::path::Path;

use io_uring::{IoUring, Probe, opcode};
use rustix::process::{Resource, getrlimit};

use super::engine::uring::try_registration;
use super::open::{DeviceKind, DirectIo};
use super::set::{Device, DeviceSet};
use crate::arena::{Arena, Size};
use crate::id::DeviceId;

/// Why there is no io_uring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("io_uring is not usable: {why}; {remedy}")]
pub struct IoUringRefused {
    /// The kernel's error number, or 0 when operations are missing.
    pub errno: i32,
    /// In words.
    pub why: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// What a ring of this kernel can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingFeatures {
    /// Reads and writes with registered buffers.
    pub fixed_buffers: bool,
    /// Sending without a copy. Reported only.
    pub send_zero_copy: bool,
    /// Commands to a device, such as NVMe passthrough. Reported only.
    pub device_commands: bool,
}

/// Whether the arena could be registered with every lane's ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// With all of them.
    Registered {
        /// Rings tried at a time.
        rings: usize,
    },
    /// The kernel refused.
    Refused {
        /// Rings that had taken it before.
        after: usize,
        /// `ENOMEM` when the limit of locked memory is too low.
        errno: i32,
        /// That limit in bytes, unlimited when None.
        limit_bytes: Option<u64>,
        /// What all rings together need, in bytes.
        needed_bytes: u64,
    },
    /// Not tried: there is no ring, or it cannot.
    NotTried,
}

/// What one device can do.
#[derive(Debug, Clone)]
pub struct DeviceCapabilities {
    /// Which.
    pub id: DeviceId,
    /// Where.
    pub path: String,
    /// What it is.
    pub kind: DeviceKind,
    /// Its size in bytes.
    pub size: u64,
    /// Whether the page cache is passed by.
    pub direct: DirectIo,
    /// The character device of NVMe commands beside the block device, if there is one. Reported only.
    pub nvme_generic: Option<String>,
}

/// Everything found. `Display` gives one line for each.
#[derive(Debug, Clone)]
pub struct Capabilities {
    /// The ring, or why there is none.
    pub io_uring: Result<RingFeatures, IoUringRefused>,
    /// The arena with the rings.
    pub registration: Registration,
    /// The devices in order.
    pub devices: Vec<DeviceCapabilities>,
}

/// Whether io_uring is usable for lanes: a ring can be made and knows reads and writes.
pub fn probe_io_uring() -> Result<RingFeatures, IoUringRefused> {
    probe_io_uring_with(|| IoUring::new(8))
}

/// As [`probe_io_uring`], with another way to make the ring, such as one that fails.
pub fn probe_io_uring_with(
    make: impl FnOnce() -> io::Result<IoUring>,
) -> Result<RingFeatures, IoUringRefused> {
    let ring = make().map_err(|error| refused(&error))?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| refused(&error))?;
    // What the engine and tokio-uring's own shutdown submit. Sockets do not go through the ring.
    let needed = [opcode::Read::CODE, opcode::Write::CODE, opcode::AsyncCancel::CODE];
    if !needed.into_iter().all(|code| probe.is_supported(code)) {
        return Err(IoUringRefused {
            errno: 0,
            why: String::from("the kernel lacks its read, write or cancel operation"),
            remedy: "use Linux 5.10 or later",
        });
    }
    Ok(RingFeatures {
        fixed_buffers: probe.is_supported(opcode::ReadFixed::CODE)
            && probe.is_supported(opcode::WriteFixed::CODE),
        send_zero_copy: probe.is_supported(opcode::SendZc::CODE),
        device_commands: probe.is_supported(opcode::UringCmd80::CODE),
    })
}

fn refused(error: &io::Error) -> IoUringRefused {
    let errno = error.raw_os_error().unwrap_or(0);
    let remedy = match errno {
        libc::ENOSYS => {
            "use a kernel with io_uring, or allow it in the container's seccomp profile"
        }
        libc::EPERM | libc::EACCES => {
            "allow io_uring_setup in the container's seccomp profile, and set \
             kernel.io_uring_disabled to 0"
        }
        libc::ENOMEM => "raise LimitMEMLOCK= of the unit, or ulimit -l",
        libc::EMFILE | libc::ENFILE => "raise LimitNOFILE= of the unit, or ulimit -n",
        _ => "see the kernel log",
    };
    IoUringRefused { errno, why: error.to_string(), remedy }
}

impl Capabilities {
    /// Looks at everything. Registering the arena for trial touches all of its pages, as the lanes
    /// will anyway.
    pub fn probe(devices: &DeviceSet, arena: &Arena, lanes: usize) -> Capabilities {
        let io_uring = probe_io_uring();
        let registration = match &io_uring {
            Ok(RingFeatures { fixed_buffers: true, .. }) => register(arena, lanes),
            _ => Registration::NotTried,
        };
        let devices = devices.devices().iter().map(|device| look_at(device)).collect();
        Capabilities { io_uring, registration, devices }
    }
}

fn register(arena: &Arena, rings: usize) -> Registration {
    match try_registration(arena, rings) {
        Ok(()) => Registration::Registered { rings },
        Err((after, errno)) => Registration::Refused {
            after,
            errno,
            limit_bytes: getrlimit(Resource::Memlock).current,
            needed_bytes: arena.bytes() * rings as u64,
        },
    }
}

fn look_at(device: &Device) -> DeviceCapabilities {
    DeviceCapabilities {
        id: device.id(),
        path: device.path().display().to_string(),
        kind: device.kind(),
        size: device.size(),
        direct: device.direct(),
        nvme_generic: nvme_generic(device.path()).filter(|path| Path::new(path).exists()),
    }
}

/// `/dev/nvme0n1` has `/dev/ng0n1` beside it.
fn nvme_generic(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_prefix("nvme")?;
    let whole = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'n');
    whole.then(|| format!("/dev/ng{name}"))
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |on: bool| if on { "yes" } else { "no" };
        match &self.io_uring {
            Ok(ring) => writeln!(
                f,
                "io_uring: yes (fixed buffers {}, send_zc {}, device commands {})",
                yes(ring.fixed_buffers),
                yes(ring.send_zero_copy),
                yes(ring.device_commands)
            )?,
            Err(refused) => writeln!(f, "io_uring: no, blocking threads instead: {refused}")?,
        }
        write!(f, "{}", self.registration)?;
        for device in &self.devices {
            write!(f, "\n{device}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Registration::Registered { rings } => {
                write!(f, "fixed buffers: arena registered with {rings} ring(s)")
            }
            Registration::NotTried => f.write_str("fixed buffers: none, without io_uring for them"),
            Registration::Refused { after, errno, limit_bytes, needed_bytes } => {
                let error = io::Error::from_raw_os_error(errno);
                write!(f, "fixed buffers: refused after {after} ring(s) ({error}), ")?;
                f.write_str("each operation pins its pages")?;
                let Some(limit_bytes) = limit_bytes else {
                    return Ok(());
                };
                write!(
                    f,
                    "; the limit of locked memory is {}, the rings need {}: set \
                     LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited",
                    Size(limit_bytes),
                    Size(needed_bytes)
                )
            }
        }
    }
}

impl fmt::Display for DeviceCapabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DeviceKind::ExtentFile => "file",
            DeviceKind::Block => "block device",
            DeviceKind::Crash => "simulated",
        };
        write!(f, "device {}: {} ({kind}, {}), ", self.id.0, self.path, Size(self.size))?;
        match self.direct {
            DirectIo::Direct { memory_align, offset_align, told } => write!(
                f,
                "direct I/O (alignment {memory_align}/{offset_align}, {})",
                if told { "told by the kernel" } else { "found by trial" }
            )?,
            DirectIo::Buffered { errno } => write!(
                f,
                "through the page cache, one copy more: O_DIRECT refused ({}); put it on a file \
                 system with direct I/O, such as ext4 or xfs",
                io::Error::from_raw_os_error(errno)
            )?,
        }
        match &self.nvme_generic {
            Some(path) => write!(f, ", NVMe commands at {path}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::CrashDisk;
    use super::*;
    use crate::arena::ArenaOptions;
    use crate::limits;

    #[test]
    fn a_refused_ring_is_said_with_its_remedy() {
        for (errno, remedy) in [
            (libc::EPERM, "seccomp"),
            (libc::ENOSYS, "seccomp"),
            (libc::ENOMEM, "LimitMEMLOCK="),
            (libc::EMFILE, "LimitNOFILE="),
        ] {
            let refused =
                probe_io_uring_with(|| Err(io::Error::from_raw_os_error(errno))).unwrap_err();
            assert_eq!(refused.errno, errno);
            assert!(refused.to_string().contains(remedy), "{refused}");
        }
    }

    #[test]
    fn everything_found_is_shown() {
        let devices = DeviceSet::of_crash_disks(&[CrashDisk::new(limits::DEVICE_BYTES_MIN)]);
        let bytes = limits::ARENA_BYTES_MIN as u64;
        let options = ArenaOptions {
            bytes,
            reads_bytes: 0,
            reads_growth_bytes: 0,
            writes_bytes: 0,
            writes_growth_bytes: 0,
            huge_pages: false,
            lock_memory: false,
        };
        let arena = Arena::new(&options).unwrap();
        let mut found = Capabilities::probe(&devices, &arena, 2);
        let text = found.to_string();
        assert!(text.contains("device 0: crash-device-0 (simulated, 16 MiB)"), "{text}");
        match (&found.io_uring, found.registration) {
            (Ok(_), Registration::Registered { rings }) => assert_eq!(rings, 2),
            (Ok(_), Registration::Refused { .. }) => assert!(text.contains("locked memory")),
            (refused, registration) => {
                assert!(refused.is_err() && registration == Registration::NotTried);
            }
        }
        found.registration = Registration::Refused {
            after: 1,
            errno: libc::ENOMEM,
            limit_bytes: Some(8 << 20),
            needed_bytes: 2 * bytes,
        };
        found.devices[0].direct = DirectIo::Buffered { errno: libc::EINVAL };
        let text = found.to_string();
        assert!(text.contains("LimitMEMLOCK=") && text.contains("8 MiB"), "{text}");
        assert!(text.contains("page cache"), "{text}");
    }

    #[test]
    fn nvme_devices_have_a_generic_one_beside_them() {
        let beside = |path: &str| nvme_generic(Path::new(path));
        assert_eq!(beside("/dev/nvme0n1").as_deref(), Some("/dev/ng0n1"));
        assert_eq!(beside("/dev/nvme0n1p2"), None);
        assert_eq!(beside("/dev/sda"), None);
    }
}
