//! What is counted of one tenant.

use crate::limits;
use crate::metrics::{Group, StatusClass};
use crate::record::Record;

/// Sums over requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests by class of status.
    pub requests: [u64; StatusClass::COUNT],
    /// Time that they took.
    pub nanoseconds: u64,
    /// Bytes of request bodies, and of objects fetched by RDMA.
    pub received_bytes: u64,
    /// Bytes of response bodies, and of objects delivered by RDMA.
    pub sent_bytes: u64,
}

impl Counts {
    /// One request.
    pub fn of(record: &Record<'_>) -> Counts {
        let account = record.account;
        let class = account.status().map_or(StatusClass::ClientError, StatusClass::of);
        let mut requests = [0; StatusClass::COUNT];
        requests[class as usize] = 1;
        let (fetched, delivered) = match account.asked.operation.group() {
            Group::Write => (account.moved(), 0),
            _ => (0, account.moved()),
        };
        Counts {
            requests,
            nanoseconds: u64::try_from(record.took.as_nanos()).unwrap_or(u64::MAX),
            received_bytes: account.received() + fetched,
            sent_bytes: account.sent() + delivered,
        }
    }

    /// Adds the counts of other requests.
    pub fn add(&mut self, other: &Counts) {
        for (mine, theirs) in self.requests.iter_mut().zip(&other.requests) {
            *mine += theirs;
        }
        self.nanoseconds = self.nanoseconds.saturating_add(other.nanoseconds);
        self.received_bytes += other.received_bytes;
        self.sent_bytes += other.sent_bytes;
    }

    /// What has been counted since `earlier`, which is a former state of this one.
    pub fn since(&self, earlier: &Counts) -> Counts {
        Counts {
            requests: std::array::from_fn(|class| self.requests[class] - earlier.requests[class]),
            nanoseconds: self.nanoseconds - earlier.nanoseconds,
            received_bytes: self.received_bytes - earlier.received_bytes,
            sent_bytes: self.sent_bytes - earlier.sent_bytes,
        }
    }

    /// Requests of all classes.
    pub fn requests(&self) -> u64 {
        self.requests.iter().sum()
    }

    /// Requests answered with 4xx and 5xx.
    pub fn errors(&self) -> u64 {
        self.requests[StatusClass::ClientError as usize]
            + self.requests[StatusClass::ServerError as usize]
    }

    /// By what tenants are compared: a request, and a block of 64 KiB, count one.
    pub fn load(&self) -> u64 {
        self.requests() + (self.received_bytes + self.sent_bytes) / limits::TENANT_LOAD_BYTES
    }

    /// Whether nothing has been counted.
    pub fn is_empty(&self) -> bool {
        self.requests() == 0
    }
}
