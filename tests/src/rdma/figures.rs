//! Owns: what the server says of its RDMA, and that nothing of it is left in the end.

use std::time::{Duration, Instant};

use crate::limits;
use crate::server::Server;

/// Counters of a server, all since its start; in bytes, where nothing else is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RdmaFigures {
    /// By WRITEs of the server's.
    pub written: u64,
    /// By READs of the server's.
    pub read: u64,
    /// By WRITEs of clients', into memory of their sessions.
    pub written_by_peers: u64,
    /// Of objects that were got by RDMA.
    pub delivered: u64,
    /// Of responses, by where they came from, added up.
    pub responded: u64,
    /// Of objects that were put by RDMA.
    pub collected: u64,
    /// Copied on the way of either.
    pub copied: u64,
    /// Copied from the memory of a session into frames.
    pub staging_copied: u64,
    /// Body bytes that went by HTTP.
    pub sent_by_http: u64,
    /// Requests whose RDMA was declined: a number.
    pub declines: u64,
}

/// What a server holds for RDMA now, each zero when it holds nothing.
const HELD: [&str; 5] = [
    "penstock_rdma_sessions",
    "penstock_rdma_connections",
    "penstock_rdma_queue_pairs",
    "penstock_rdma_staging_bytes",
    "penstock_rdma_transfers_in_flight",
];

impl RdmaFigures {
    /// The present ones.
    pub fn of(server: &Server) -> Self {
        let metrics = server.metrics();
        let value = |name: &str, labels: &[&str]| metrics.value(name, labels) as u64;
        Self {
            written: value("penstock_rdma_bytes_total", &["verb=\"write\""]),
            read: value("penstock_rdma_bytes_total", &["verb=\"read\""]),
            written_by_peers: value("penstock_rdma_bytes_total", &["verb=\"written_by_peer\""]),
            delivered: value("penstock_rdma_object_bytes_total", &["operation=\"get\""]),
            responded: value("penstock_response_bytes_total", &["delivery=\"rdma\""]),
            collected: value("penstock_rdma_object_bytes_total", &["operation=\"put\""]),
            copied: value("penstock_copied_bytes_total", &["path=\"rdma\""]),
            staging_copied: value("penstock_copied_bytes_total", &["path=\"rdma_staging\""]),
            sent_by_http: value("penstock_sent_body_bytes_total", &[]),
            declines: value("penstock_rdma_declines_total", &[]),
        }
    }

    /// What was counted since an earlier look.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            written: self.written - earlier.written,
            read: self.read - earlier.read,
            written_by_peers: self.written_by_peers - earlier.written_by_peers,
            delivered: self.delivered - earlier.delivered,
            responded: self.responded - earlier.responded,
            collected: self.collected - earlier.collected,
            copied: self.copied - earlier.copied,
            staging_copied: self.staging_copied - earlier.staging_copied,
            sent_by_http: self.sent_by_http - earlier.sent_by_http,
            declines: self.declines - earlier.declines,
        }
    }
}

/// Waits until the server holds nothing for RDMA any more, and no share of its arena.
///
/// # Panics
/// When it still does after `EXIT_WITHIN`, or when the device did not give something back.
pub fn assert_nothing_left(server: &Server) {
    let held = held_after(server, limits::EXIT_WITHIN);
    assert!(held.is_empty(), "still held: {held:?}");
    assert_eq!(server.metrics().value("penstock_rdma_leaked_total", &[]), 0.0);
    server.assert_nothing_reserved();
}

/// Whether nothing is left but a connection in order. A client that goes between two operations of
/// its transfer leaves one: nothing has failed, so it is kept for its idle time, 300 s, as for a
/// client that has only changed its mind.
///
/// # Panics
/// When more than that is left.
pub fn is_connection_left(server: &Server) -> bool {
    let held = held_after(server, limits::FENCED_WITHIN);
    let connection = [("penstock_rdma_connections", 1.0), ("penstock_rdma_queue_pairs", 1.0)];
    assert!(held.is_empty() || held == connection, "still held: {held:?}");
    server.assert_nothing_reserved();
    !held.is_empty()
}

/// What is held when nothing is, or after that time.
fn held_after(server: &Server, time: Duration) -> Vec<(&'static str, f64)> {
    let deadline = Instant::now() + time;
    loop {
        let metrics = server.metrics();
        let held: Vec<_> = HELD
            .into_iter()
            .map(|name| (name, metrics.value(name, &[])))
            .filter(|(_, value)| *value != 0.0)
            .collect();
        if held.is_empty() || Instant::now() >= deadline {
            return held;
        }
        std::thread::sleep(limits::POLL_EVERY);
    }
}
