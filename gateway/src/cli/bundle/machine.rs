//! What the machine and the server's process say of themselves.
//!
//! Owns: the lists of files that are read; all of the kernel, without what may have a secret:
//! of its command line only known words, of a process never the environment.
//! Limits: `BUNDLE_FILE_BYTES_MAX` a file, `BUNDLE_ENTRIES_MAX` entries of a folder.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::Part;
use crate::config::amount::print_bytes;
use crate::limits;
use crate::rdma::open as rdma_open;

/// Files of the kernel, each a part.
const FILES: &[(&str, &str)] = &[
    ("kernel.txt", "/proc/version"),
    ("os-release.txt", "/etc/os-release"),
    ("processors.txt", "/proc/cpuinfo"),
    ("memory.txt", "/proc/meminfo"),
    ("load.txt", "/proc/loadavg"),
    ("uptime.txt", "/proc/uptime"),
    ("mounts.txt", "/proc/mounts"),
    ("partitions.txt", "/proc/partitions"),
    ("disks.txt", "/proc/diskstats"),
    ("interrupts.txt", "/proc/interrupts"),
    ("pressure-cpu.txt", "/proc/pressure/cpu"),
    ("pressure-io.txt", "/proc/pressure/io"),
    ("pressure-memory.txt", "/proc/pressure/memory"),
    ("sockets.txt", "/proc/net/sockstat"),
    ("network.txt", "/proc/net/dev"),
    ("tcp.txt", "/proc/net/netstat"),
];

/// Beginnings of what is kept of the kernel's command line. Installers put tokens there, too.
const KERNEL_WORDS: &[&str] = &[
    "amd_iommu",
    "default_hugepagesz",
    "hugepages",
    "intel_idle",
    "intel_iommu",
    "iommu",
    "irqaffinity",
    "isolcpus",
    "maxcpus",
    "mem=",
    "mitigations",
    "nohz",
    "numa",
    "nvme",
    "pci",
    "processor.",
    "rcu_nocbs",
    "systemd.unified_cgroup",
    "transparent_hugepage",
];

/// Settings of the kernel that storage depends on, all in one part.
const SETTINGS: &[&str] = &[
    "/proc/sys/kernel/io_uring_disabled",
    "/proc/sys/kernel/io_uring_group",
    "/proc/sys/vm/nr_hugepages",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/swappiness",
    "/proc/sys/fs/file-nr",
    "/proc/sys/fs/aio-max-nr",
    "/proc/sys/net/core/somaxconn",
    "/proc/sys/net/core/rmem_max",
    "/proc/sys/net/core/wmem_max",
    "/proc/sys/net/ipv4/tcp_rmem",
    "/proc/sys/net/ipv4/tcp_wmem",
    "/proc/sys/net/ipv4/tcp_congestion_control",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/cpu.max",
];

/// Of each block device and each NVMe controller.
const DEVICE_FILES: &[&str] = &[
    "size",
    "ro",
    "model",
    "state",
    "address",
    "firmware_rev",
    "transport",
    "queue/scheduler",
    "queue/rotational",
    "queue/logical_block_size",
    "queue/physical_block_size",
    "queue/nr_requests",
    "queue/max_sectors_kb",
    "queue/write_cache",
    "queue/discard_max_bytes",
];

/// Of each port of an RDMA device.
const PORT_FILES: &[&str] = &["state", "phys_state", "rate", "link_layer", "lid"];

/// Of the server's process.
const PROCESS_FILES: &[&str] =
    &["status", "limits", "io", "stat", "cmdline", "cgroup", "mountinfo", "smaps_rollup", "sched"];

/// Everything. `data` is the data directory, `process` the server's, where they are known.
pub(super) fn parts(data: Option<&Path>, process: Option<u32>) -> Vec<Part> {
    let mut parts: Vec<Part> =
        FILES.iter().map(|(name, path)| (part(name), read(Path::new(path)))).collect();
    parts.push((
        part("kernel-words.txt"),
        read(Path::new("/proc/cmdline")).map(|it| kernel_words(&it)),
    ));
    parts.push((part("settings.txt"), Ok(listed(SETTINGS.iter().map(Path::new)))));
    parts.push((part("block-devices.txt"), Ok(devices("/sys/block", DEVICE_FILES))));
    parts.push((part("nvme.txt"), Ok(devices("/sys/class/nvme", DEVICE_FILES))));
    parts.push((part("rdma-ports.txt"), Ok(rdma_ports())));
    parts.push((part("rdma-probe.txt"), rdma_open::devices()));
    parts.push((part("io-uring-probe.txt"), Ok(io_uring())));
    parts.push((part("limits-of-the-command.txt"), Ok(own_limits())));
    if let Some(data) = data {
        parts.push((part("data-directory.txt"), directory(data)));
    }
    if let Some(process) = process {
        let folder = Path::new("/proc").join(process.to_string());
        for name in PROCESS_FILES {
            let text = read(&folder.join(name)).map(|text| text.replace('\0', " "));
            parts.push((part(&format!("process/{name}.txt")), text));
        }
        parts.push((part("process/threads.txt"), threads(&folder)));
    }
    parts
}

fn part(name: &str) -> String {
    format!("machine/{name}")
}

/// The words of a kernel's command line that storage may depend on, one a line.
fn kernel_words(line: &str) -> String {
    let kept = |word: &&str| KERNEL_WORDS.iter().any(|beginning| word.starts_with(beginning));
    line.split_whitespace().filter(kept).map(|word| format!("{word}\n")).collect()
}

/// A file's text, as far as the bound.
fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limits::BUNDLE_FILE_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let cut = bytes.len() as u64 == limits::BUNDLE_FILE_BYTES_MAX;
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if cut {
        text += "\n(cut here)\n";
    }
    Ok(text)
}

/// `path: text` of each that can be read.
fn listed(paths: impl Iterator<Item = impl AsRef<Path>>) -> String {
    let mut text = String::new();
    for path in paths {
        if let Ok(content) = read(path.as_ref()) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}: {}", path.as_ref().display(), content.trim());
        }
    }
    text
}

/// Names of a folder's entries in order; none of a folder that is not there.
fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .take(limits::BUNDLE_ENTRIES_MAX)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn devices(class: &str, files: &[&str]) -> String {
    let class = Path::new(class);
    entries(class)
        .iter()
        .map(|name| listed(files.iter().map(|file| class.join(name).join(file))))
        .collect()
}

fn rdma_ports() -> String {
    let class = Path::new("/sys/class/infiniband");
    let mut text = String::new();
    for device in entries(class) {
        let ports = class.join(&device).join("ports");
        for port in entries(&ports) {
            text += &listed(PORT_FILES.iter().map(|file| ports.join(&port).join(file)));
        }
    }
    match text.is_empty() {
        true => "the kernel has no RDMA device\n".to_owned(),
        false => text,
    }
}

fn io_uring() -> String {
    match datapath::device::probe_io_uring() {
        Ok(features) => format!("usable\n{features:#?}\n"),
        Err(refused) => format!("refused: {}; {}\n", refused.why, refused.remedy),
    }
}

/// What a process started as the command was may have: not necessarily the server's limits.
fn own_limits() -> String {
    let mut text = String::new();
    for (name, resource) in [
        ("locked memory", Resource::Memlock),
        ("open files", Resource::Nofile),
        ("processes", Resource::Nproc),
        ("address space", Resource::As),
        ("core", Resource::Core),
    ] {
        let limit = getrlimit(resource);
        let shown = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |it| it.to_string());
        let (soft, hard) = (shown(limit.current), shown(limit.maximum));
        let _ = writeln!(text, "{name}: {soft} of {hard}");
    }
    text
}

/// Names, sizes and modes of what is in the data directory, and the file system's room.
fn directory(data: &Path) -> Result<String, String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", data.display());
    let room = rustix::fs::statvfs(data).map_err(|error| wrong(error.into()))?;
    let mut text = format!(
        "{}\nfile system: {} of {} free, {} inodes free\n",
        data.display(),
        print_bytes(room.f_bavail * room.f_frsize),
        print_bytes(room.f_blocks * room.f_frsize),
        room.f_favail
    );
    for name in entries(data) {
        use std::os::unix::fs::MetadataExt;
        let _ = match fs::symlink_metadata(data.join(&name)) {
            Ok(found) => writeln!(
                text,
                "{:o} {}:{} {} bytes, {} on disk, {name}",
                found.mode(),
                found.uid(),
                found.gid(),
                found.len(),
                found.blocks() * 512
            ),
            Err(error) => writeln!(text, "{name}: {error}"),
        };
    }
    Ok(text)
}

/// Each thread's name, processors and time.
fn threads(process: &Path) -> Result<String, String> {
    let folder = process.join("task");
    let names = entries(&folder);
    if names.is_empty() {
        return Err(format!("{}: no threads can be seen", folder.display()));
    }
    let mut text = String::new();
    for thread in names {
        let status = read(&folder.join(&thread).join("status")).unwrap_or_default();
        let wanted = ["Name:", "State:", "Cpus_allowed_list:", "voluntary_ctxt", "nonvoluntary"];
        let lines = status.lines().filter(|line| wanted.iter().any(|it| line.starts_with(it)));
        let lines: Vec<_> = lines.map(|line| line.replace('\t', " ")).collect();
        let stat = read(&folder.join(&thread).join("stat")).unwrap_or_default();
        let _ = writeln!(text, "{thread}: {}\n  {}", lines.join("; "), stat.trim());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_process_have_all_that_matters() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("credentials"), "hush-hush").unwrap();
        let parts = parts(Some(folder.path()), Some(std::process::id()));
        let text = |wanted: &str| {
            let found = parts.iter().find(|(name, _)| name == wanted);
            found.unwrap_or_else(|| panic!("{wanted}")).1.clone()
        };
        assert!(text("machine/kernel.txt").unwrap().contains("Linux"));
        assert!(text("machine/mounts.txt").unwrap().contains(" / "));
        assert!(text("machine/limits-of-the-command.txt").unwrap().contains("open files: "));
        assert!(text("machine/data-directory.txt").unwrap().contains("9 bytes"));
        assert!(text("machine/process/threads.txt").unwrap().contains("Cpus_allowed_list"));
        assert!(text("machine/process/limits.txt").unwrap().contains("Max open files"));
        let usable = datapath::device::probe_io_uring().is_ok();
        let said = text("machine/io-uring-probe.txt").unwrap();
        assert_eq!(said.starts_with("usable"), usable, "{said}");
        for (name, part) in &parts {
            assert!(!name.contains("environ"), "{name}");
            assert!(!part.as_ref().is_ok_and(|text| text.contains("hush-hush")), "{name}");
        }
    }

    #[test]
    fn of_the_kernels_command_line_only_known_words_are_kept() {
        let line = "root=/dev/sda1 hugepages=1024 install.token=hush nvme.poll_queues=4\n";
        assert_eq!(kernel_words(line), "hugepages=1024\nnvme.poll_queues=4\n");
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let error = read(Path::new("/proc/no-such-file")).unwrap_err();
        assert!(error.starts_with("/proc/no-such-file: No such file"), "{error}");
        assert!(directory(Path::new("/no/such/folder")).is_err());
    }
}
