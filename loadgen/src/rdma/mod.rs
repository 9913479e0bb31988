//! *Owns:* payloads by RDMA: which protocol, over which device, and what a thread and a worker have of it.
//!
//! ```text
//!  Rdma (a run: fabric, protocol) ── Lane (a thread: completion queue, registered buffers, tally)
//!                                     └── Line (a worker: HTTP connection, pooled connection) ── transfer.rs
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `device.rs` | opening the device that the options name |
//! | `lane.rs` | what a thread has |
//! | `transfer.rs` | one object's or part's way |
//! | `control.rs` | the HTTP side of it, over the client of this program |
//! | `tally.rs` | what is counted |
//!
//! The protocols themselves are the crate `rdma`'s. HEAD, LIST and the first and last request of an upload in parts go
//! by plain HTTP. *Not here:* what the figures are told as (`report.rs`), the probe (`probe/`).

mod control;
pub(crate) mod device;
mod lane;
mod tally;
#[cfg(test)]
mod tests;
mod transfer;

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use rdma::client::ClientOptions;
use rdma::fabric::Fabric;

pub(crate) use control::HttpControl;
pub(crate) use lane::{Lane, Line};
pub(crate) use tally::{Decline, Tally};
pub(crate) use transfer::{Moved, Reading, Writing};

use crate::limits;

/// How payloads move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// One request per object on queue pairs that are made once (/.s3rdma-rc/).
    Pooled,
    /// Two requests and a queue pair per object (hipobj-rc-v2).
    Session,
}

impl Protocol {
    /// Name in options, tables and JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Protocol::Pooled => "pooled",
            Protocol::Session => "session",
        }
    }
}

/// What all threads of a run share.
pub(crate) struct Rdma {
    pub(crate) protocol: Protocol,
    pub(crate) fabric: Arc<dyn Fabric>,
    /// Whether a run in which the server declined everything is a success.
    pub(crate) fallback: bool,
}

impl Rdma {
    /// The options of the client library. `time` is what one operation may take.
    fn client_options(time: Duration, verify: bool) -> ClientOptions {
        ClientOptions {
            connect_time: time.min(limits::CONNECT_WAIT),
            transfer_time: time,
            cancel_time: time.min(limits::RDMA_DISCONNECT_WAIT),
            // The time of an operation is the option's, whatever its size.
            bytes_per_second_least: u64::MAX,
            pool_connections: 1,
            verify,
            ..ClientOptions::default()
        }
    }

    /// One line for the report.
    pub(crate) fn describe(&self) -> String {
        let facts = self.fabric.facts();
        format!(
            "payloads by RDMA, {}, on {} port {} ({}), GID {}, path MTU {}",
            match self.protocol {
                Protocol::Pooled => "pooled connections",
                Protocol::Session => "a hipobj-rc-v2 session each",
            },
            facts.device,
            facts.port,
            facts.link_layer,
            facts.gid,
            facts.path_mtu.bytes()
        )
    }
}
