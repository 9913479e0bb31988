//! The thread that writes the access log.
//!
//! Owns: when lines are written (when an outbox is half full, and `ACCESS_LOG_PERIOD` after the
//! last time), and the complaint when they cannot be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use super::Counts;
use super::file::Output;
use super::outbox::Outboxes;
use crate::limits;

/// See the module.
#[derive(Debug)]
pub(super) struct Writer {
    output: Output,
    outboxes: Arc<Outboxes>,
    counts: Arc<Counts>,
    wishes: Arc<Wishes>,
    complained: Option<Instant>,
    /// Dropped with the thread's end.
    _alive: SyncSender<()>,
}

/// What is wanted of the thread.
#[derive(Debug, Default)]
struct Wishes {
    reopen: AtomicBool,
    stop: AtomicBool,
}

/// The way to tell the thread what to do.
#[derive(Debug)]
pub struct Closing {
    outboxes: Arc<Outboxes>,
    wishes: Arc<Wishes>,
    ended: Receiver<()>,
}

/// Has the file opened again.
#[derive(Debug, Clone)]
pub struct Reopening {
    outboxes: Arc<Outboxes>,
    wishes: Arc<Wishes>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        output: Output,
        outboxes: Arc<Outboxes>,
        counts: Arc<Counts>,
    ) -> Result<Closing, String> {
        let wishes = Arc::new(Wishes::default());
        let (alive, ended) = sync_channel(0);
        let closing = Closing { outboxes: outboxes.clone(), wishes: wishes.clone(), ended };
        let mut writer =
            Writer { output, outboxes, counts, wishes, complained: None, _alive: alive };
        thread::Builder::new()
            .name("access-log".into())
            .spawn(move || writer.run())
            .map_err(|error| format!("cannot start the access log's thread: {error}"))?;
        Ok(closing)
    }

    fn run(&mut self) {
        let mut batch = Vec::new();
        loop {
            self.outboxes.wait(limits::ACCESS_LOG_PERIOD);
            // Read before the outboxes are: what was put into them before the wish is written.
            let stop = self.wishes.stop.load(Ordering::Acquire);
            if self.wishes.reopen.swap(false, Ordering::Relaxed)
                && let Err(error) = self.output.reopen()
            {
                tracing::error!(%error, "the access log cannot be opened again; the old file stays");
            }
            for lane in 0..self.outboxes.count() {
                batch.clear();
                if self.outboxes.take(lane, &mut batch) {
                    self.write(&batch);
                }
            }
            if stop {
                return;
            }
        }
    }

    fn write(&mut self, lines: &[u8]) {
        let written = self.output.write(lines);
        self.counts.written.fetch_add(written.lines, Ordering::Relaxed);
        self.counts.failed.fetch_add(written.lost, Ordering::Relaxed);
        let Some(error) = written.error else {
            return;
        };
        let lately = |at: Instant| at.elapsed() < limits::OBSERVATION_COMPLAINT_PERIOD;
        if !self.complained.is_some_and(lately) {
            self.complained = Some(Instant::now());
            let lost = written.lost;
            tracing::error!(error, lost, "the access log cannot be written; requests go on");
        }
    }
}

impl Closing {
    /// What has the file opened again.
    pub fn reopening(&self) -> Reopening {
        Reopening { outboxes: self.outboxes.clone(), wishes: self.wishes.clone() }
    }

    /// Has everything written that was told so far, and waits for it, but not for ever: whoever
    /// reads our standard output may have stopped.
    pub fn close(self) {
        self.wishes.stop.store(true, Ordering::Release);
        self.outboxes.ring();
        let ended = self.ended.recv_timeout(limits::OBSERVATION_CLOSE_TIME);
        if ended == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the last lines of the access log could not be written in time");
        }
    }
}

impl Reopening {
    /// Before the next line is written.
    pub fn reopen(&self) {
        self.wishes.reopen.store(true, Ordering::Relaxed);
        self.outboxes.ring();
    }
}
