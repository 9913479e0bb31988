//! Configuration: what was written (`raw`) becomes what is done (`plan`).
//!
//! Owns: the order flag, environment, file, default, and the rule that nothing written is ignored:
//! an unknown key or variable is an error like a malformed value, and all errors are reported
//! together. The table of keys is `keys.rs`.

pub mod access_log;
pub mod admin;
pub mod amount;
pub mod events;
pub mod finding;
pub mod keys;
pub mod lifecycle;
mod machine;
pub mod metrics;
pub mod plan;
pub mod print;
pub mod raw;
pub mod rdma;
pub mod receipts;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod trace;

pub use access_log::{AccessLogFormat, AccessLogPlan, AccessLogTarget};
pub use admin::{AdminPlan, AdminTlsPlan};
pub use events::{EventPlace, EventTarget, EventsPlan};
pub use finding::Finding;
pub use lifecycle::LifecyclePlan;
pub use metrics::MetricsPlan;
pub use plan::{BucketDefaults, Limits, Machine, Plan, Preference};
pub use raw::{Raw, Source, Written};
pub use rdma::RdmaPlan;
pub use receipts::{MeasuringPlan, Receipts};
pub use tls::{HandshakePlan, MinVersion, TlsPlan};
pub use trace::TracePlan;

use std::ffi::OsString;
use std::path::PathBuf;

/// What the process was given, before any of it is understood.
#[derive(Debug, Default)]
pub struct Given {
    /// The file named by `--config`.
    pub file: Option<PathBuf>,
    /// Flags that were written, by key.
    pub flags: Vec<(&'static keys::Key, Vec<String>)>,
    /// The whole environment; what does not begin with `PENSTOCK_` is passed over.
    pub environment: Vec<(OsString, OsString)>,
}

/// Reads everything that was given and works the plan out.
///
/// # Errors
/// Every finding there is, in the order of the table; findings about names that are no keys first.
pub fn load(given: Given, machine: &Machine) -> Result<(Raw, Plan), Vec<Finding>> {
    let (raw, mut findings) = Raw::gather(given);
    match Plan::resolve(&raw, machine) {
        Ok(plan) if findings.is_empty() => Ok((raw, plan)),
        Ok(_) => Err(findings),
        Err(more) => {
            findings.extend(more);
            Err(findings)
        }
    }
}
