//! What is known of one request: gathered while it runs, told when it has ended.
//!
//! Owns: the account that the parts of the way write into (`account.rs`), the timing of an operation's
//! stages (`laps.rs`), what crosses between lanes of both (`tally.rs`), and the sinks that are told of
//! every request that has ended: logs (`access_log`), the busiest tenants (`tenants.rs`), the slowest
//! requests and the last errors; traces are `crate::trace`'s.
//! Not here: counters (`metrics`), which the door keeps itself.

pub mod access_log;
pub mod account;
pub mod asked;
pub mod errors;
pub mod laps;
pub mod redacted;
pub mod remembered;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod shown;
pub mod slowest;
pub mod tally;
pub mod tenants;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use account::{Account, AccountSlot, Watch};
pub use errors::Errors;
pub use laps::Laps;
pub use slowest::Slowest;
pub use tally::Tally;
pub use tenants::Tenants;

/// A request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// What was gathered on the way.
    pub account: &'a Account,
    /// When it ended.
    pub ended: SystemTime,
    /// From the complete head to the last byte of the response handed to TCP.
    pub took: Duration,
}

impl Record<'_> {
    /// When its head was complete.
    pub fn began(&self) -> SystemTime {
        self.ended.checked_sub(self.took).unwrap_or(self.ended)
    }
}

/// Somebody who is told of requests that have ended.
pub trait Sink: Send + Sync {
    /// Called on the request's lane, between two other requests of it: must neither wait nor take
    /// long. What takes long is handed to another thread, through a bounded queue.
    fn ended(&self, record: &Record<'_>);

    /// Whether it tells what clients say of themselves (host, agent, referrer, trace state), which
    /// accounts keep only where somebody does.
    fn tells_headers(&self) -> bool {
        false
    }
}

/// Everybody who is told. The same for all lanes.
#[derive(Clone, Default)]
pub struct Sinks {
    sinks: Arc<[Arc<dyn Sink>]>,
    tell_headers: bool,
}

impl Sinks {
    /// These, told in this order.
    pub fn new(sinks: Vec<Arc<dyn Sink>>) -> Sinks {
        let tell_headers = sinks.iter().any(|sink| sink.tells_headers());
        Sinks { sinks: sinks.into(), tell_headers }
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.sinks.is_empty()
    }

    /// Whether somebody tells what clients say of themselves.
    pub fn tell_headers(&self) -> bool {
        self.tell_headers
    }

    /// Tells everybody.
    pub fn ended(&self, record: &Record<'_>) {
        self.sinks.iter().for_each(|sink| sink.ended(record));
    }
}

impl std::fmt::Debug for Sinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sinks({})", self.sinks.len())
    }
}
