//! Owns how much object data went by RDMA, where it came from, and how much of it was copied on the way. Lanes share
//! it; the metrics read it. What left by TCP is in lanes' cells: a transfer may outlive its request and so its lane's
//! account, and is counted all the same.
//!
//! Not here: work requests, sessions and fences ([`rdma::server::ServerStats`]).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::metrics::Source;
use crate::record::Account;

/// Bytes of objects and parts that went by RDMA, in all.
#[derive(Debug, Default)]
pub struct Receipts {
    delivered_bytes: AtomicU64,
    delivered_from: [AtomicU64; Source::COUNT],
    collected_bytes: AtomicU64,
    copied_bytes: AtomicU64,
    staging_copied_bytes: AtomicU64,
    declined: AtomicU64,
}

impl Receipts {
    /// Bytes that GetObject has written to clients.
    pub fn delivered_bytes(&self) -> u64 {
        self.delivered_bytes.load(Relaxed)
    }

    /// `response_bytes{delivery="rdma"}`: of those bytes, what came from there.
    pub fn delivered_from(&self, source: Source) -> u64 {
        self.delivered_from[source as usize].load(Relaxed)
    }

    /// Bytes that PutObject and UploadPart have taken from clients.
    pub fn collected_bytes(&self) -> u64 {
        self.collected_bytes.load(Relaxed)
    }

    /// `copied_bytes{path="rdma"}`: bytes that were copied between records and frames. Nothing but what stands in an
    /// index record is, objects of at most [`datapath::limits::INLINE_BYTES_MAX`] that came in by HTTP.
    pub fn copied_bytes(&self) -> u64 {
        self.copied_bytes.load(Relaxed)
    }

    /// `copied_bytes{path="rdma_staging"}`: bytes that were copied from a session's memory, which its client has
    /// written, to frames.
    pub fn staging_copied_bytes(&self) -> u64 {
        self.staging_copied_bytes.load(Relaxed)
    }

    /// GETs whose bytes did not fit the client's window.
    pub fn declined(&self) -> u64 {
        self.declined.load(Relaxed)
    }

    pub(super) fn add_delivered(&self, bytes: u64, account: Option<&Account>) {
        self.delivered_bytes.fetch_add(bytes, Relaxed);
        for (source, cell) in Source::ALL.iter().zip(&self.delivered_from) {
            let bytes = account.map_or(0, |account| account.source(*source));
            cell.fetch_add(bytes, Relaxed);
        }
    }

    pub(super) fn add_collected(&self, bytes: u64, staging_copied_bytes: u64) {
        self.collected_bytes.fetch_add(bytes, Relaxed);
        self.staging_copied_bytes.fetch_add(staging_copied_bytes, Relaxed);
    }

    pub(super) fn add_copied(&self, bytes: u64) {
        self.copied_bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn add_declined(&self) {
        self.declined.fetch_add(1, Relaxed);
    }
}
