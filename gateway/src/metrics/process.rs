//! What the kernel counts for this process, read when it is asked for.
//!
//! Names follow Prometheus's conventions where there are any.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::figure::Figure;
use super::table::{self, Metric};

/// Memory by kind, processor time, start and open descriptors. What cannot be read is left out.
pub fn figures() -> Vec<Figure> {
    let mut figures = Vec::new();
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        memory(&status, &mut figures);
    }
    let ticks = rustix::param::clock_ticks_per_second();
    if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
        let seconds = processor_seconds(&stat, ticks);
        figures.extend(seconds.map(|seconds| Figure::of(&table::CPU_SECONDS, seconds)));
        let boot = fs::read_to_string("/proc/stat").ok().as_deref().and_then(boot_time);
        let started = boot.zip(start_after_boot(&stat, ticks)).map(|(boot, after)| boot + after);
        figures.extend(started.map(|started| Figure::of(&table::START_TIME, started)));
    }
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

/// Seconds from 1970 to the start of the system (proc_stat(5), `btime`).
fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// Field 22 of `/proc/self/stat`.
fn start_after_boot(stat: &str, ticks_per_second: u64) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks: u64 = rest.split_ascii_whitespace().nth(19)?.parse().ok()?;
    Some(ticks as f64 / ticks_per_second.max(1) as f64)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_time_and_descriptors() {
        let names: Vec<_> = figures().iter().map(|figure| figure.metric.name).collect();
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
    fn processor_time_is_found_behind_a_strange_command_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3";
        assert_eq!(processor_seconds(stat, 100), Some(2.0));
        assert_eq!(processor_seconds("7 (a", 100), None);
    }

    #[test]
    fn the_start_is_counted_from_the_boot() {
        let stat = "7 (a) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3 0 12345 0";
        assert_eq!(start_after_boot(stat, 100), Some(123.45));
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\n"), Some(1.7e9));
    }
}
