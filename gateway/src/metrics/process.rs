//! What the kernel counts for this process, read when it is asked for.
//!
//! Names follow Prometheus's conventions where there are any.

use std::fs;
use std::sync::LazyLock;

use rustix::process::{Resource, getrlimit};

use super::figure::Figure;
use super::table::{self, Metric};

/// Memory by kind, processor time, start. What cannot be read is left out.
pub fn figures() -> Vec<Figure> {
    let mut figures = Vec::new();
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        memory(&status, &mut figures);
    }
    let used = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(processor_seconds);
    figures.extend(used.map(|used| Figure::of(&table::CPU_SECONDS, used)));
    figures.extend(STARTED.map(|started| Figure::of(&table::START_TIME, started)));
    figures
}

/// Open descriptors. Counting them takes time for each, so this is for scrapes and not for every second.
pub fn descriptors() -> Vec<Figure> {
    let mut figures = Vec::new();
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The directory being read is one of them.
        let count = open.count().saturating_sub(1) as f64;
        figures.push(Figure::of(&table::OPEN_FDS, count));
    }
    let most = getrlimit(Resource::Nofile).current;
    figures.extend(most.map(|most| Figure::of(&table::MAX_FDS, most as f64)));
    figures
}

fn memory(status: &str, figures: &mut Vec<Figure>) {
    static FIELDS: [(&str, &Metric); 5] = [
        ("VmRSS:", &table::RESIDENT),
        ("VmSize:", &table::VIRTUAL),
        ("RssAnon:", &table::RESIDENT_ANONYMOUS),
        ("RssShmem:", &table::RESIDENT_SHARED),
        ("HugetlbPages:", &table::HUGE_PAGES),
    ];
    for (field, metric) in FIELDS {
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        figures.extend(kib.map(|kib| Figure::of(metric, kib as f64 * 1024.0)));
    }
}

/// When the process started, in seconds since 1970.
static STARTED: LazyLock<Option<f64>> = LazyLock::new(|| {
    let boot = boot_time(&fs::read_to_string("/proc/stat").ok()?)?;
    Some(boot + start_after_boot(&fs::read_to_string("/proc/self/stat").ok()?)?)
});

/// Seconds from 1970 to the start of the system (proc_stat(5), `btime`).
fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn start_after_boot(stat: &str) -> Option<f64> {
    Some(ticks(stat, 22)? as f64 / USER_HZ)
}

/// Processor time, user and system.
fn processor_seconds(stat: &str) -> Option<f64> {
    Some((ticks(stat, 14)? + ticks(stat, 15)?) as f64 / USER_HZ)
}

/// A field of `/proc/self/stat` by its number in proc_pid_stat(5), counted after the command name,
/// which may itself have spaces and parentheses.
fn ticks(stat: &str, field: usize) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(field - 3)?.parse().ok()
}

/// Ticks of a second as the kernel shows them: 100 on x86-64 and Arm64, whatever its own are. Asking
/// for it, or for a clock, by rustix needs the auxiliary vector, which is not what rustix expects under
/// valgrind, where `make bench-gate` counts.
const USER_HZ: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_time_and_descriptors() {
        let all = [figures(), descriptors()].concat();
        let names: Vec<_> = all.iter().map(|figure| figure.metric.name).collect();
        for name in [
            "process_resident_memory_bytes",
            "process_cpu_seconds_total",
            "process_start_time_seconds",
            "process_max_fds",
        ] {
            assert!(names.contains(&name), "{names:?}");
        }
    }

    #[test]
    fn times_are_found_behind_a_strange_command_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3 0 12345 0";
        assert_eq!(start_after_boot(stat), Some(123.45));
        assert_eq!(start_after_boot("7 (a"), None);
        assert_eq!(processor_seconds(stat), Some(2.0));
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\n"), Some(1.7e9));
    }
}
