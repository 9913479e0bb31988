//! How busy lanes are.
//!
//! Owns: what can be read of a lane from outside while it works: its runtime's own counts, and the
//! kernel's of its ring. A lane pays nothing for either: tokio counts anyway, and the ring's counts
//! are the positions of its two queues, which `/proc/self/fdinfo` shows.
//!
//! The kernel's positions have 32 bits and wrap; they are extended by looking at them, which has to
//! happen at least once in 4 billion operations. A look a second is enough for any device.

use std::fs;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::runtime::RuntimeMetrics;

use crate::metrics::{Figure, Figures, table};

/// All lanes, each from the moment when its runtime runs.
#[derive(Debug)]
pub struct Loads(Box<[OnceLock<Load>]>);

/// One lane.
#[derive(Debug)]
pub struct Load {
    runtime: RuntimeMetrics,
    ring: Option<Ring>,
}

/// A ring's queues.
#[derive(Debug)]
struct Ring {
    information: PathBuf,
    seen: Mutex<Positions>,
}

/// Operations since the ring was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Positions {
    submissions: u64,
    completions: u64,
}

impl Loads {
    /// For so many lanes.
    pub fn new(lanes: usize) -> Loads {
        Loads((0..lanes).map(|_| OnceLock::new()).collect())
    }

    /// That lane's runtime runs.
    pub fn begun(&self, lane: usize, load: Load) {
        if let Some(slot) = self.0.get(lane) {
            // A lane begins once.
            let _ = slot.set(load);
        }
    }
}

impl Load {
    /// That of the runtime that this is called in, with the ring that it polls.
    pub fn here(ring: Option<RawFd>) -> Load {
        Load { runtime: tokio::runtime::Handle::current().metrics(), ring: ring.map(Ring::new) }
    }

    fn figures(&self, lane: usize, figures: &mut Vec<Figure>) {
        let mut add = |metric, value| {
            figures.push(Figure::labelled(metric, [lane.to_string()], value));
        };
        // A lane's runtime has one worker: its thread.
        add(&table::LANE_BUSY, self.runtime.worker_total_busy_duration(0).as_secs_f64());
        add(&table::LANE_WAKEUPS, self.runtime.worker_park_count(0) as f64);
        if let Some(ring) = &self.ring {
            let seen = ring.look();
            add(&table::LANE_SUBMISSIONS, seen.submissions as f64);
            add(&table::LANE_COMPLETIONS, seen.completions as f64);
        }
    }
}

impl Figures for Loads {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for (lane, load) in self.0.iter().enumerate() {
            if let Some(load) = load.get() {
                load.figures(lane, &mut figures);
            }
        }
        figures
    }
}

impl Ring {
    fn new(descriptor: RawFd) -> Ring {
        let information = format!("/proc/self/fdinfo/{descriptor}").into();
        Ring { information, seen: Mutex::default() }
    }

    /// What it has done up to now; up to the last look where the kernel says nothing, as it does
    /// once the ring is closed.
    fn look(&self) -> Positions {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let text = fs::read_to_string(&self.information).unwrap_or_default();
        if let Some((submitted, completed)) = positions(&text) {
            seen.submissions = extended(seen.submissions, submitted);
            seen.completions = extended(seen.completions, completed);
        }
        *seen
    }
}

/// `SqHead`, up to which the kernel has taken submissions, and `CqTail`, up to which it has put
/// completions (`io_uring_show_fdinfo` in the kernel's `io_uring/fdinfo.c`).
fn positions(information: &str) -> Option<(u32, u32)> {
    let field = |name: &str| {
        let line = information.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    };
    Some((field("SqHead:")?, field("CqTail:")?))
}

/// The count that is at least `before` and ends in these 32 bits.
fn extended(before: u64, position: u32) -> u64 {
    before + u64::from(position.wrapping_sub(before as u32))
}

/// The process's rings, by their descriptors.
pub fn rings() -> Vec<RawFd> {
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let is_ring = |entry: &fs::DirEntry| {
        fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:[io_uring]")
    };
    open.flatten()
        .filter(is_ring)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::engine::{self, Engine};
    use crate::metrics::table::Metric;

    fn value(figures: &[Figure], metric: &Metric) -> Option<f64> {
        figures.iter().find(|figure| figure.metric == metric).map(Figure::number)
    }

    #[test]
    fn positions_are_read_and_extended_over_their_wrap() {
        let text = "pos:\t0\nSqMask:\t0x7\nSqHead:\t4294967290\nSqTail:\t4294967295\nCqTail:\t3\n";
        assert_eq!(positions(text), Some((4_294_967_290, 3)));
        assert_eq!(positions("pos:\t0\nflags:\t02\n"), None);
        assert_eq!(extended(0, 4_294_967_290), 4_294_967_290);
        assert_eq!(extended(4_294_967_290, 5), (1 << 32) + 5);
        assert_eq!(extended((7 << 32) + 5, 5), (7 << 32) + 5);
    }

    #[test]
    fn a_busy_runtime_is_seen_from_another_thread() {
        let loads = Loads::new(2);
        let (begin, work) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let loads = &loads;
            scope.spawn(move || {
                let working = async move {
                    for _ in 0..5 {
                        std::thread::sleep(std::time::Duration::from_millis(4));
                        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                    }
                    begin.send(()).unwrap();
                    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                };
                engine::run(Engine::Blocking, |load| loads.begun(1, load), working).unwrap();
            });
            work.recv().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(50));
            let figures = loads.figures();
            assert!(figures.iter().all(|figure| figure.labels == ["1"]), "{figures:?}");
            let busy = value(&figures, &table::LANE_BUSY).unwrap();
            assert!((0.02..0.2).contains(&busy), "{busy}");
            assert!(value(&figures, &table::LANE_WAKEUPS).unwrap() >= 5.0);
            assert_eq!(value(&figures, &table::LANE_SUBMISSIONS), None, "it has no ring");
        });
    }

    #[test]
    fn the_rings_own_counts_are_the_lanes() {
        if engine::probe().is_err() {
            return;
        }
        let loads = Loads::new(1);
        let file = tempfile::tempfile().unwrap();
        let writing = async {
            let before = value(&loads.figures(), &table::LANE_SUBMISSIONS).unwrap();
            let file = tokio_uring::fs::File::from_std(file);
            for _ in 0..10 {
                let (outcome, _) = file.write_at(vec![7; 512], 0).submit().await;
                outcome.unwrap();
            }
            let figures = loads.figures();
            file.close().await.unwrap();
            let of = |metric| value(&figures, metric).unwrap() - before;
            (of(&table::LANE_SUBMISSIONS), of(&table::LANE_COMPLETIONS))
        };
        let counted = engine::run(Engine::IoUring, |load| loads.begun(0, load), writing).unwrap();
        assert_eq!(counted, (10.0, 10.0));
    }
}
