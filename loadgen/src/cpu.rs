//! Owns CPU time: of the server, from `/proc`, and of this process, from its clock.
//!
//! `/proc/PID/stat` (proc(5)) counts user and system time of all threads of a process, those that
//! ended included, in ticks of 10 ms: after 10 s at one core that is 0.1 %. Linux derives the ticks
//! from the scheduler's exact run time, so short bursts are not lost.

use std::fmt;
use std::fs;
use std::str::FromStr;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::limits;
use crate::quantity::GIB;

/// The processes that make up a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Processes(Vec<Process>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    /// Its children and theirs are counted too, both those alive and those waited for.
    with_children: bool,
}

/// Why the CPU time of a server is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CpuError {
    #[error("process {pid} cannot be read: {reason}; is it still there?")]
    Unreadable { pid: u32, reason: String },
    #[error("/proc/{0}/stat is not as proc(5) describes it")]
    Malformed(u32),
    #[error("over {} processes", limits::PROCESSES_MAX)]
    TooMany,
}

impl Processes {
    /// Whether none was named.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds those of another list.
    pub(crate) fn extend(&mut self, other: Processes) {
        self.0.extend(other.0);
    }

    /// The CPU time they have used up to now.
    pub(crate) fn cpu_time(&self) -> Result<Duration, CpuError> {
        let mut ticks = 0;
        let mut counted = Vec::new();
        let table = if self.0.iter().any(|process| process.with_children) {
            all_processes()?
        } else {
            Vec::new()
        };
        for process in &self.0 {
            let stat = Stat::read(process.pid)?;
            count(process.pid, stat, process.with_children, &mut counted, &mut ticks);
            if process.with_children {
                for pid in descendants(process.pid, &table) {
                    // One that ended since the table was read is now in its parent's waited time;
                    // the next reading sees it there.
                    if let Ok(stat) = Stat::read(pid) {
                        count(pid, stat, true, &mut counted, &mut ticks);
                    }
                }
            }
        }
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
    }
}

/// Adds a process once, also when it was named itself and is another's child.
fn count(pid: u32, stat: Stat, with_children: bool, counted: &mut Vec<u32>, ticks: &mut u64) {
    if !counted.contains(&pid) {
        counted.push(pid);
        *ticks += stat.own_ticks;
        if with_children {
            *ticks += stat.waited_ticks;
        }
    }
}

impl FromStr for Processes {
    type Err = String;

    /// `123`, `123,124`, `123+` (with its children).
    fn from_str(text: &str) -> Result<Processes, String> {
        let parse = |entry: &str| {
            let digits = entry.strip_suffix('+').unwrap_or(entry);
            let pid = digits.parse().ok().filter(|pid| *pid > 0);
            let with_children = digits.len() < entry.len();
            pid.map(|pid| Process { pid, with_children }).ok_or_else(|| {
                format!("\"{entry}\" is no process; write 123, or 123+ with its children")
            })
        };
        text.split(',').map(parse).collect::<Result<_, _>>().map(Processes)
    }
}

impl fmt::Display for Processes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, process) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { "," };
            let children = if process.with_children { "+" } else { "" };
            write!(formatter, "{separator}{}{children}", process.pid)?;
        }
        Ok(())
    }
}

/// The fields of `/proc/PID/stat` that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// utime + stime.
    own_ticks: u64,
    /// cutime + cstime: of children that ended and were waited for.
    waited_ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> Result<Stat, CpuError> {
        let text = fs::read(format!("/proc/{pid}/stat"))
            .map_err(|error| CpuError::Unreadable { pid, reason: error.to_string() })?;
        Stat::parse(&text).ok_or(CpuError::Malformed(pid))
    }

    /// Parses the line. The second field is the command's name in parentheses, which may itself
    /// hold spaces, parentheses and bytes that are no text: what counts is the last parenthesis.
    fn parse(line: &[u8]) -> Option<Stat> {
        let name_end = line.iter().rposition(|byte| *byte == b')')?;
        let fields = std::str::from_utf8(&line[name_end + 1..]).ok()?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        // Numbered as in proc(5), where the state is field 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            parent: u32::try_from(field(4)?).ok()?,
            own_ticks: field(14)? + field(15)?,
            waited_ticks: field(16)? + field(17)?,
        })
    }
}

/// Every process with its parent.
fn all_processes() -> Result<Vec<(u32, u32)>, CpuError> {
    let unreadable =
        |error: std::io::Error| CpuError::Unreadable { pid: 0, reason: format!("/proc: {error}") };
    let mut table = Vec::new();
    for entry in fs::read_dir("/proc").map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        // Processes that end meanwhile are no error.
        if let Some((pid, stat)) = pid.and_then(|pid| Some((pid, Stat::read(pid).ok()?))) {
            table.push((pid, stat.parent));
        }
        if table.len() > limits::PROCESSES_MAX {
            return Err(CpuError::TooMany);
        }
    }
    Ok(table)
}

fn descendants(of: u32, table: &[(u32, u32)]) -> Vec<u32> {
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = table.iter().filter(|(pid, of)| *of == parent && *pid != parent);
        let children: Vec<u32> = children.map(|(pid, _)| *pid).collect();
        found.extend(children.into_iter().filter(|pid| *pid != of));
        next += 1;
        if found.len() > limits::PROCESSES_MAX {
            break;
        }
    }
    found.split_off(1)
}

/// CPU time of this process, all threads.
pub(crate) fn own_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What CPU time bought.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct CpuCost {
    pub(crate) seconds: f64,
    /// Mean number of cores in use.
    pub(crate) cores: f64,
    /// `None` when no operation was completed.
    pub(crate) us_per_request: Option<f64>,
    /// `None` when no byte was moved.
    pub(crate) s_per_gib: Option<f64>,
}

impl CpuCost {
    /// The cost of `requests` operations that moved `bytes` in `elapsed`.
    pub(crate) fn new(used: Duration, elapsed: Duration, requests: u64, bytes: u64) -> CpuCost {
        let seconds = used.as_secs_f64();
        let per = |count: f64| (count > 0.0).then(|| seconds / count);
        CpuCost {
            seconds,
            cores: per(elapsed.as_secs_f64()).unwrap_or(0.0),
            us_per_request: per(requests as f64).map(|each| each * 1e6),
            s_per_gib: per(bytes as f64 / GIB),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;
    use std::time::Instant;

    use super::*;

    #[test]
    fn names_with_spaces_and_parentheses_do_not_shift_the_fields() {
        let line =
            b"77 (a) R 1 (x\xff) S 42 77 77 0 -1 4194560 1 2 3 4 100 20 7 3 20 0 1 0 9 9 9\n";
        let expected = Stat { parent: 42, own_ticks: 120, waited_ticks: 10 };
        assert_eq!(Stat::parse(line), Some(expected));
        assert_eq!(Stat::parse(b"77 (cut) S 42 77"), None);
        assert_eq!(Stat::parse(b"no parenthesis"), None);
        assert_eq!(Stat::parse(b""), None);
    }

    #[test]
    fn lists_of_processes() {
        let list: Processes = "12,34+".parse().expect("a list");
        assert_eq!(list.to_string(), "12,34+");
        for wrong in ["", "0", "x", "12,", "-1", "+"] {
            assert!(wrong.parse::<Processes>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn descendants_are_found_through_their_parents() {
        let table = [(1, 0), (5, 1), (6, 5), (7, 6), (8, 1), (9, 7)];
        assert_eq!(descendants(5, &table), [6, 7, 9]);
        assert!(descendants(8, &table).is_empty());
    }

    #[test]
    fn the_time_of_this_process_grows_and_is_the_kernel_s() {
        let me: Processes = std::process::id().to_string().parse().expect("a process");
        let (proc_before, own_before) = (me.cpu_time().expect("readable"), own_cpu_time());
        while own_cpu_time() - own_before < Duration::from_millis(200) {}
        let grown = me.cpu_time().expect("readable") - proc_before;
        assert!(grown >= Duration::from_millis(150), "{grown:?}");
    }

    #[test]
    fn children_count_where_they_are_named() {
        // The shell waits; its child does the work.
        let mut shell = Command::new("sh")
            .args(["-c", "(while :; do :; done) & wait"])
            .process_group(0)
            .spawn()
            .expect("sh");
        let of = |text: String| text.parse::<Processes>().expect("a process").cpu_time();
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut both = Duration::ZERO;
        while both < Duration::from_millis(200) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
            both = of(format!("{}+", shell.id())).expect("readable");
        }
        let alone = of(shell.id().to_string()).expect("readable");
        let group = rustix::process::Pid::from_child(&shell);
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).expect("killed");
        shell.wait().expect("waited");
        assert!(both >= Duration::from_millis(200), "{both:?}");
        assert!(alone < Duration::from_millis(100), "{alone:?}");
        assert!(of(shell.id().to_string()).is_err(), "gone");
    }

    #[test]
    fn costs() {
        let cost = CpuCost::new(Duration::from_secs(2), Duration::from_secs(4), 1_000, 1 << 31);
        assert_eq!(
            (cost.cores, cost.us_per_request, cost.s_per_gib),
            (0.5, Some(2000.0), Some(1.0))
        );
        let none = CpuCost::new(Duration::ZERO, Duration::ZERO, 0, 0);
        assert_eq!((none.cores, none.us_per_request, none.s_per_gib), (0.0, None, None));
    }
}
