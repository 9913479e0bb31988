//! Owns the line that says once a second how a run goes: overwritten on a terminal, appended
//! elsewhere, on standard error in both cases.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::quantity::{MIB, grouped};

/// What one thread has done so far. Written by that thread alone, read once a second: padded to
/// two cache lines so that threads do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    requests: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
}

impl Counters {
    /// One more success.
    pub(crate) fn success(&self, bytes: u64) {
        add(&self.requests, 1);
        add(&self.bytes, bytes);
    }

    /// One more failure.
    pub(crate) fn failure(&self) {
        add(&self.errors, 1);
    }
}

/// Cheaper than an atomic addition, and enough where one thread writes.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

#[derive(Clone, Copy, Default)]
struct Totals {
    requests: u64,
    bytes: u64,
    errors: u64,
}

/// Prints the line.
pub(crate) struct Progress {
    quiet: bool,
    terminal: bool,
    /// What is running, before the figures.
    pub(crate) label: String,
    begun: Instant,
    last: (Instant, Totals),
    /// A line stands on the terminal and is to be cleared.
    standing: bool,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Progress {
        Progress {
            quiet,
            terminal: stderr().is_terminal(),
            label: String::new(),
            begun: Instant::now(),
            last: (Instant::now(), Totals::default()),
            standing: false,
        }
    }

    /// A run begins.
    pub(crate) fn begin(&mut self) {
        self.begun = Instant::now();
        self.last = (self.begun, Totals::default());
    }

    /// Prints what was done since the last call.
    pub(crate) fn show<'a>(&mut self, counters: impl Iterator<Item = &'a Counters>) {
        let mut totals = Totals::default();
        for counter in counters {
            totals.requests += counter.requests.load(Ordering::Relaxed);
            totals.bytes += counter.bytes.load(Ordering::Relaxed);
            totals.errors += counter.errors.load(Ordering::Relaxed);
        }
        let now = Instant::now();
        let (before, earlier) = std::mem::replace(&mut self.last, (now, totals));
        let seconds = (now - before).as_secs_f64();
        if self.quiet || seconds <= 0.0 {
            return;
        }
        let line = format!(
            "{}{:4.0} s  {:>9} requests/s  {:>9.1} MiB/s  {} errors",
            self.label,
            (now - self.begun).as_secs_f64(),
            grouped(((totals.requests - earlier.requests) as f64 / seconds) as u64),
            (totals.bytes - earlier.bytes) as f64 / MIB / seconds,
            grouped(totals.errors),
        );
        // A closed standard error is no reason to end a run.
        _ = if self.terminal {
            self.standing = true;
            write!(stderr(), "\r\x1b[K{line}")
        } else {
            writeln!(stderr(), "{line}")
        };
    }

    /// Takes the line off the terminal.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.standing) {
            _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
