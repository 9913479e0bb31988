//! The access log: one line per request.
//!
//! ```text
//!  lane ── line ──▶ its outbox ──┐
//!  lane ── line ──▶ its outbox ──┴──▶ writer's thread ──▶ file, put aside by size, or stdout
//! ```
//! Owns: which requests are logged, and the counts of lines. A lane forms its line into memory of
//! its own; a disk that does not keep up costs lines, which are counted, and nobody's time.
//! *Not here*: the forms of a line (`json.rs`, `s3.rs`), the file (`file.rs`).

mod file;
mod json;
mod outbox;
mod s3;
mod text;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::{AccessLogFormat, AccessLogPlan};
use crate::limits;
use crate::metrics::{Cell, Figure, Figures, table};
use crate::record::{Record, Sink};
use crate::trace::Sampling;
use outbox::Outboxes;
use writer::Writer;

pub use writer::{Closing, Reopening};

/// What a line is made of.
#[derive(Debug)]
pub struct Style {
    /// Its form.
    pub format: AccessLogFormat,
    /// Which trace a request belongs to; `None` where traces are off.
    pub sampling: Option<Sampling>,
    /// `x-amz-id-2`, the same for all requests of the process.
    pub host_id: String,
}

/// See the module.
#[derive(Debug)]
pub struct AccessLog {
    style: Style,
    sample: u64,
    outboxes: Arc<Outboxes>,
    sampled_out: Box<[Padded]>,
    counts: Arc<Counts>,
}

/// One lane's count. Aligned so that no two lanes share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded(Cell);

/// What became of lines, as the writer counts it.
#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    failed: AtomicU64,
}

impl AccessLog {
    /// Opens the file and starts the writer; `None` when there is to be no log. The second value
    /// ends the writer.
    ///
    /// # Errors
    /// One line for the operator: the file cannot be opened.
    pub fn start(
        plan: &AccessLogPlan,
        lanes: usize,
        style: Style,
    ) -> Result<Option<(Arc<AccessLog>, Closing)>, String> {
        let Some(target) = &plan.to else {
            return Ok(None);
        };
        let output = file::Output::open(target, plan.rotate_bytes, plan.keep)?;
        let outboxes = Arc::new(Outboxes::new(lanes));
        let counts = Arc::new(Counts::default());
        let closing = Writer::start(output, outboxes.clone(), counts.clone())?;
        let sampled_out = (0..lanes).map(|_| Padded::default()).collect();
        let log = AccessLog { style, sample: plan.sample, outboxes, sampled_out, counts };
        Ok(Some((Arc::new(log), closing)))
    }

    /// Whether a request has a line: errors, what broke off and what was slow always do.
    fn has_line(&self, record: &Record<'_>) -> bool {
        let account = record.account;
        self.sample <= 1
            || account.status().is_none_or(|status| status.as_u16() >= 400)
            || account.is_broken_off()
            || record.took > limits::ACCESS_LOG_SLOW
            // Evenly spread: see `RequestIds`.
            || u64::from_str_radix(account.asked.id.as_str(), 16)
                .is_ok_and(|id| (id >> 32).is_multiple_of(self.sample))
    }
}

impl Sink for AccessLog {
    fn tells_headers(&self) -> bool {
        true
    }

    fn ended(&self, record: &Record<'_>) {
        let lane = record.account.lane;
        if !self.has_line(record) {
            if let Some(Padded(count)) = self.sampled_out.get(lane) {
                count.add(1);
            }
            return;
        }
        let form = |line: &mut Vec<u8>| match self.style.format {
            AccessLogFormat::Json => json::write(line, record, &self.style),
            AccessLogFormat::S3 => s3::write(line, record, &self.style),
        };
        self.outboxes.put(lane, form);
    }
}

impl Figures for AccessLog {
    fn figures(&self) -> Vec<Figure> {
        let figure =
            |outcome, count: u64| Figure::labelled(&table::LOG_LINES, [outcome], count as f64);
        let sampled_out = self.sampled_out.iter().map(|Padded(count)| count.value()).sum();
        vec![
            figure("written", self.counts.written.load(Ordering::Relaxed)),
            figure("sampled_out", sampled_out),
            figure("dropped", self.outboxes.dropped()),
            figure("failed", self.counts.failed.load(Ordering::Relaxed)),
        ]
    }
}

/// Tenths of microseconds: a stage of a hot request takes 1 to 30 µs.
fn tenths_of_us(took: Duration) -> u64 {
    u64::try_from(took.as_nanos() / 100).unwrap_or(u64::MAX)
}
