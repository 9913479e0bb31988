//! Owns: what the kernel says about a process's memory (proc_pid_status(5)).

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::limits;

/// Memory that a process holds, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUse {
    /// `RssAnon`.
    pub anonymous: u64,
    /// `RssShmem`.
    pub shared: u64,
    /// `HugetlbPages`.
    pub huge: u64,
}

impl MemoryUse {
    /// Memory of a running process.
    pub fn of(pid: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| -> u64 {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .and_then(|rest| rest.trim().strip_suffix("kB"))
                .and_then(|number| number.trim().parse::<u64>().ok())
                .unwrap_or(0)
                * 1024
        };
        Ok(Self {
            anonymous: field("RssAnon"),
            shared: field("RssShmem"),
            huge: field("HugetlbPages"),
        })
    }

    /// What the budget is compared with. File-backed pages (the index's read view, the binary) are
    /// the kernel's to drop and do not count.
    pub fn total(self) -> u64 {
        self.anonymous + self.shared + self.huge
    }
}

/// Samples a process's memory every 10 ms until it is stopped or dropped.
#[derive(Debug)]
pub struct MemoryWatch {
    highest: Arc<AtomicU64>,
    samples: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MemoryWatch {
    /// Starts sampling.
    pub fn start(pid: u32) -> Self {
        let highest = Arc::new(AtomicU64::new(0));
        let samples = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, count, stopped) = (highest.clone(), samples.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Ok(memory) = MemoryUse::of(pid) {
                    seen.fetch_max(memory.total(), Ordering::Relaxed);
                    count.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(limits::POLL_EVERY);
            }
        });
        Self { highest, samples, stop, thread: Some(thread) }
    }

    /// Stops and gives the highest total seen, in bytes.
    ///
    /// # Panics
    /// When nothing was sampled: a watch that saw nothing proves nothing.
    pub fn stop(mut self) -> u64 {
        self.end();
        assert!(self.samples.load(Ordering::Relaxed) > 0, "the memory watch never saw the process");
        self.highest.load(Ordering::Relaxed)
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the memory watch does not panic");
        }
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.end();
    }
}
