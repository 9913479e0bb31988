//! What the kernel counts for this process, read when it is asked for.
//!
//! Names follow Prometheus's conventions where there are any.

use std::fs;

use super::{Figure, Kind};

/// Memory by kind, processor time and open descriptors. What cannot be read is left out.
pub fn figures() -> Vec<Figure> {
    let mut figures = Vec::new();
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        memory(&status, &mut figures);
    }
    if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
        figures.extend(processor_seconds(&stat, rustix::param::clock_ticks_per_second()).map(
            |seconds| {
                let help = "Processor time, user and system.";
                figure("process_cpu_seconds_total", help, Kind::Counter, seconds)
            },
        ));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The directory being read is one of them.
        let count = open.count().saturating_sub(1) as f64;
        figures.push(figure("process_open_fds", "Open descriptors.", Kind::Gauge, count));
    }
    figures
}

fn memory(status: &str, figures: &mut Vec<Figure>) {
    const FIELDS: [(&str, &str, &str); 5] = [
        ("VmRSS:", "process_resident_memory_bytes", "Resident memory without huge pages."),
        ("VmSize:", "process_virtual_memory_bytes", "Address space."),
        ("RssAnon:", "process_resident_anonymous_bytes", "Resident anonymous memory."),
        ("RssShmem:", "process_resident_shared_bytes", "Resident shared memory."),
        ("HugetlbPages:", "process_huge_page_bytes", "Huge pages, which RSS does not count."),
    ];
    for (field, name, help) in FIELDS {
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        figures.extend(kib.map(|kib| figure(name, help, Kind::Gauge, kib as f64 * 1024.0)));
    }
}

/// Fields 14 and 15 of `/proc/self/stat` (proc_pid_stat(5)), counted after the command name, which
/// may itself have spaces and parentheses.
fn processor_seconds(stat: &str, ticks_per_second: u64) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / ticks_per_second.max(1) as f64)
}

fn figure(name: &'static str, help: &'static str, kind: Kind, value: f64) -> Figure {
    Figure { name, help, kind, labels: Vec::new(), value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_time_and_descriptors() {
        let names: Vec<_> = figures().iter().map(|figure| figure.name).collect();
        for name in ["process_resident_memory_bytes", "process_cpu_seconds_total"] {
            assert!(names.contains(&name), "{names:?}");
        }
    }

    #[test]
    fn processor_time_is_found_behind_a_strange_command_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3";
        assert_eq!(processor_seconds(stat, 100), Some(2.0));
        assert_eq!(processor_seconds("7 (a", 100), None);
    }
}
