//! What is configured of the access log, resolved, checked and typed.
//!
//! Not here: whether the file can be written (`crate::record::access_log`), the keys' own
//! documentation (`keys.rs`).

use std::path::PathBuf;

use super::keys;
use super::plan::{Parsed, Reader, bytes, choice, count, wrong};
use crate::limits;

/// What is configured of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogPlan {
    /// Where lines go; `None` for no log.
    pub to: Option<AccessLogTarget>,
    /// The form of a line.
    pub format: AccessLogFormat,
    /// Of successes that were not slow, one of so many is logged; at least 1.
    pub sample: u64,
    /// A file of so many bytes is put aside; `None` leaves that to others.
    pub rotate_bytes: Option<u64>,
    /// How many files that were put aside are kept.
    pub keep: usize,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// The form of a line of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// One JSON object per request.
    Json,
    /// Amazon S3's server access log, with a few fields behind its last.
    S3,
}

impl Reader<'_> {
    /// The keys of the access log; `None` says that a finding was kept.
    pub(super) fn access_log(&mut self) -> Option<AccessLogPlan> {
        let to = self.optional(&keys::ACCESS_LOG_FILE, target);
        let format = self.one(&keys::ACCESS_LOG_FORMAT, format);
        let sample = self.one(&keys::ACCESS_LOG_SAMPLE, count(1, limits::SAMPLE_MAX));
        let rotate_bytes = self.one(&keys::ACCESS_LOG_ROTATE, rotation);
        let keep = self.one(&keys::ACCESS_LOG_KEEP, count(1, limits::ACCESS_LOG_KEEP_MAX));
        Some(AccessLogPlan {
            to: to?,
            format: format?,
            sample: sample? as u64,
            rotate_bytes: rotate_bytes?,
            keep: keep?,
        })
    }
}

fn target(text: &str) -> Parsed<AccessLogTarget> {
    match text {
        "stdout" => Ok(AccessLogTarget::Stdout),
        "" => wrong("not a path", "write a path such as /var/log/penstock/access.log, or stdout"),
        path if path.contains('\0') => wrong("not a path", "write a path without NUL"),
        path => Ok(AccessLogTarget::File(path.into())),
    }
}

fn format(text: &str) -> Parsed<AccessLogFormat> {
    choice(text, &[("json", AccessLogFormat::Json), ("s3", AccessLogFormat::S3)])
}

fn rotation(text: &str) -> Parsed<Option<u64>> {
    if text.trim() == "0" {
        return Ok(None);
    }
    bytes(limits::ACCESS_LOG_ROTATE_BYTES_MIN, u64::MAX >> 1)(text).map(Some)
}
