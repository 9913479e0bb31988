//! What the machine and the container give this process.
//!
//! Owns: reading `/proc` and the control group. The plan itself reads nothing.

use std::fs;
use std::path::Path;

use super::Machine;

impl Machine {
    /// Reads memory and cores from the system. What cannot be read is taken as 1 GiB and one core,
    /// the smallest machine that is worth running on.
    pub fn observe() -> Machine {
        let total = fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| total_memory(&text))
            .unwrap_or(1 << 30);
        let memory_bytes = control_group_memory().map_or(total, |limit| limit.min(total));
        // Counts the affinity mask and the control group's quota, rounded up.
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Machine { memory_bytes, cores }
    }
}

/// `MemTotal` of `/proc/meminfo`, which counts in KiB.
fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The smallest `memory.max` from this process's control group up to the root (version 2).
fn control_group_memory() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?.trim_start_matches('/');
    let root = Path::new("/sys/fs/cgroup");
    let mut group = root.join(path);
    let mut smallest = None;
    while group.starts_with(root) {
        let limit = fs::read_to_string(group.join("memory.max"))
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok());
        smallest = match (smallest, limit) {
            (Some(a), Some(b)) => Some(u64::min(a, b)),
            (a, b) => a.or(b),
        };
        if !group.pop() {
            break;
        }
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_memory_is_read_in_kib() {
        let text = "MemTotal:       24654876 kB\nMemFree:        1234 kB\n";
        assert_eq!(total_memory(text), Some(24_654_876 * 1024));
        assert_eq!(total_memory("MemFree: 1 kB"), None);
    }

    #[test]
    fn this_machine_has_memory_and_cores() {
        let machine = Machine::observe();
        assert!(machine.memory_bytes > 0 && machine.cores > 0);
    }
}
