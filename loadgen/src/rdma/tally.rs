//! Owns what is counted of transfers by RDMA: by which path payloads went, and what that took.

use std::collections::BTreeMap;

use rdma::client::{BufferPoolStats, Outcome, Path};

use crate::limits;

/// What one thread, or the whole run, has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Payloads (objects, ranges, parts) by RDMA, and their bytes.
    pub(crate) rdma: u64,
    pub(crate) rdma_bytes: u64,
    /// Payloads by HTTP, since the server wanted it so, and their bytes.
    pub(crate) http: u64,
    pub(crate) http_bytes: u64,
    /// Why they went by HTTP.
    pub(crate) declines: BTreeMap<String, u64>,
    /// Work requests and receives posted on this side.
    pub(crate) work_requests: u64,
    /// Requests that were sent again.
    pub(crate) retries: u64,
    /// Queue pairs made before counting began, and meanwhile.
    pub(crate) queue_pairs_before: u64,
    pub(crate) queue_pairs: u64,
    /// Buffers that were registered, and those that were found registered.
    pub(crate) registrations: u64,
    pub(crate) reuses: u64,
}

/// Why a payload went by HTTP although RDMA was asked for, where this program decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decline {
    /// The server has no such protocol.
    Unsupported,
    /// An object of 0 bytes has no transfer.
    Empty,
    /// What the server sent does not fit the buffer: another size than expected.
    Unfitting,
}

impl Decline {
    fn text(self) -> &'static str {
        match self {
            Decline::Unsupported => "the server does not offer this RDMA protocol",
            Decline::Empty => "an object of 0 bytes",
            Decline::Unfitting => "the object is larger than it should be",
        }
    }
}

impl Tally {
    /// Counts what the client library has done.
    pub(crate) fn transfer(&mut self, outcome: &Outcome) {
        self.work_requests += outcome.work_requests;
        self.retries += u64::from(outcome.retries);
        match outcome.path {
            Path::Rdma => {
                self.rdma += 1;
                self.rdma_bytes += outcome.bytes;
            }
            Path::Http(decline) => self.http(decline.to_string(), 1, outcome.bytes),
        }
    }

    /// Counts a payload that went by HTTP without asking.
    pub(crate) fn declined(&mut self, why: Decline, bytes: u64) {
        self.http(why.text().to_owned(), 1, bytes);
    }

    fn http(&mut self, why: String, count: u64, bytes: u64) {
        self.http += count;
        self.http_bytes += bytes;
        *self.declines.entry(why).or_default() += count;
    }

    /// Adds another thread's.
    pub(crate) fn merge(&mut self, other: Tally) {
        for (why, count) in other.declines {
            let full = self.declines.len() >= limits::ERROR_KINDS_MAX;
            let known = self.declines.contains_key(&why);
            let why = if full && !known { "other".to_owned() } else { why };
            *self.declines.entry(why).or_default() += count;
        }
        for (mine, theirs) in [
            (&mut self.rdma, other.rdma),
            (&mut self.rdma_bytes, other.rdma_bytes),
            (&mut self.http, other.http),
            (&mut self.http_bytes, other.http_bytes),
            (&mut self.work_requests, other.work_requests),
            (&mut self.retries, other.retries),
            (&mut self.queue_pairs_before, other.queue_pairs_before),
            (&mut self.queue_pairs, other.queue_pairs),
            (&mut self.registrations, other.registrations),
            (&mut self.reuses, other.reuses),
        ] {
            *mine += theirs;
        }
    }

    /// Notes what has been made since an earlier count.
    pub(crate) fn made(
        &mut self,
        queue_pairs: (u64, u64),
        buffers: (BufferPoolStats, BufferPoolStats),
    ) {
        self.queue_pairs_before += queue_pairs.0;
        self.queue_pairs += queue_pairs.1 - queue_pairs.0;
        self.registrations += buffers.1.misses - buffers.0.misses;
        self.reuses += buffers.1.hits - buffers.0.hits;
    }
}

#[cfg(test)]
mod tests {
    use rdma::client::Verification;

    use super::*;

    fn outcome(path: Path) -> Outcome {
        Outcome {
            path,
            bytes: 10,
            entity_tag: None,
            version_id: None,
            content_range: None,
            checksum: Verification::Verified,
            work_requests: 2,
            retries: 1,
        }
    }

    #[test]
    fn payloads_are_counted_by_path_and_merged() {
        let mut one = Tally::default();
        one.transfer(&outcome(Path::Rdma));
        one.transfer(&outcome(Path::Http(rdma::client::Decline::Reply)));
        let mut two = Tally::default();
        two.transfer(&outcome(Path::Http(rdma::client::Decline::Reply)));
        two.declined(Decline::Empty, 0);
        let stats = |hits, misses| BufferPoolStats { hits, misses, ..Default::default() };
        two.made((3, 5), (stats(1, 1), stats(9, 2)));
        one.merge(two);
        assert_eq!((one.rdma, one.rdma_bytes, one.http, one.http_bytes), (1, 10, 3, 20));
        assert_eq!((one.work_requests, one.retries), (6, 3));
        assert_eq!((one.queue_pairs_before, one.queue_pairs), (3, 2));
        assert_eq!((one.registrations, one.reuses), (1, 8));
        assert_eq!(one.declines["declined with reply 501"], 2);
        assert_eq!(one.declines["an object of 0 bytes"], 1);
    }
}
