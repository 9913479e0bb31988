//! The last lines of the log, kept in memory: for the support bundle and the administration.
//!
//! Owns: [`RecentLog`], a queue of lines that forgets its oldest, and the one of this process, which
//! the subscriber writes to like to standard error. Lines are in the text form whatever form the log
//! has, at the level that the configuration says.
//! Limits: `RECENT_LOG_LINES_MAX`, `RECENT_LOG_LINE_BYTES_MAX`; so 1 MiB at most.
//! Not here: who may read them (`admin/`).
//!
//! A lock shared between lanes: taken once per line that is logged, and standard error has one as
//! well. At level `info` no request logs anything.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

use crate::limits;

/// The lines of this process.
pub static PROCESS: RecentLog = RecentLog::new();

/// A queue of lines that forgets its oldest.
#[derive(Debug)]
pub struct RecentLog {
    lines: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    lines: VecDeque<String>,
    /// Lines forgotten since the start.
    forgotten: u64,
}

impl RecentLog {
    /// An empty one.
    pub const fn new() -> RecentLog {
        RecentLog { lines: Mutex::new(Kept { lines: VecDeque::new(), forgotten: 0 }) }
    }

    /// Adds one line. What is longer than `RECENT_LOG_LINE_BYTES_MAX` is cut, and says so; a line
    /// break within becomes `\n`, so that no value can pass for a line.
    pub fn push(&self, line: &str) {
        let line = line.trim_end_matches(['\n', '\r']);
        let most = limits::RECENT_LOG_LINE_BYTES_MAX;
        let kept = &line[..line.floor_char_boundary(most)];
        let mut kept = kept.replace('\n', "\\n").replace('\r', "\\r");
        if line.len() > most {
            kept += &format!(" … ({} bytes)", line.len());
        }
        let mut held = self.held();
        if held.lines.len() == limits::RECENT_LOG_LINES_MAX {
            held.lines.pop_front();
            held.forgotten += 1;
        }
        held.lines.push_back(kept);
    }

    /// The lines, oldest first, and how many there were before them.
    pub fn lines(&self) -> (Vec<String>, u64) {
        let held = self.held();
        (held.lines.iter().cloned().collect(), held.forgotten)
    }

    /// The same as a document: one line each, the first says what is missing, if anything.
    pub fn text(&self) -> String {
        let (lines, forgotten) = self.lines();
        let mut text = match forgotten {
            0 => String::new(),
            count => format!("({count} older lines are not kept)\n"),
        };
        for line in lines {
            text += &line;
            text.push('\n');
        }
        text
    }

    /// A thread that panicked here left whole lines behind: pushing and popping are one step each.
    fn held(&self) -> MutexGuard<'_, Kept> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for RecentLog {
    fn default() -> RecentLog {
        RecentLog::new()
    }
}

/// One event's line; the subscriber writes it at once.
#[derive(Debug)]
pub struct LineWriter<'a>(&'a RecentLog);

impl io::Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(&String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for &'static RecentLog {
    type Writer = LineWriter<'static>;

    fn make_writer(&'a self) -> LineWriter<'static> {
        LineWriter(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn the_oldest_lines_go_and_are_counted() {
        let log = RecentLog::new();
        assert_eq!(log.text(), "");
        for line in 0..limits::RECENT_LOG_LINES_MAX + 3 {
            log.push(&format!("line {line}\n"));
        }
        let (lines, forgotten) = log.lines();
        assert_eq!((lines.len(), forgotten), (limits::RECENT_LOG_LINES_MAX, 3));
        assert_eq!(lines[0], "line 3");
        assert!(log.text().starts_with("(3 older lines are not kept)\nline 3\n"));
    }

    #[test]
    fn a_line_is_one_line_and_bounded() {
        let log = RecentLog::new();
        log.push("key=a\nERROR forged\r\n");
        log.push(&"é".repeat(limits::RECENT_LOG_LINE_BYTES_MAX));
        let (lines, _) = log.lines();
        assert_eq!(lines[0], "key=a\\nERROR forged");
        assert!(lines[1].len() < limits::RECENT_LOG_LINE_BYTES_MAX + 32);
        assert!(lines[1].ends_with(&format!("({} bytes)", 2 * limits::RECENT_LOG_LINE_BYTES_MAX)));
    }

    #[test]
    fn what_is_logged_is_kept_as_text() {
        static LOG: RecentLog = RecentLog::new();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(&LOG);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!("request", id = 7).in_scope(|| tracing::warn!(code = 5, "slow"));
        });
        let (lines, _) = LOG.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        for part in ["WARN", "request{id=7}", "slow code=5"] {
            assert!(lines[0].contains(part), "{lines:?}");
        }
    }
}
