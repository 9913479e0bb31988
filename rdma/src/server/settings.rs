//! Owns what the operator can set.

use std::time::Duration;

use datapath::arena::Arena;

use crate::fabric::Mtu;
use crate::limits::{
    ANSWER_TIME, CONNECTION_IDLE_TIME, CONNECTION_QUEUE_TIME, CONNECTIONS_MAX,
    CONNECTIONS_PER_PRINCIPAL, EXECUTION_BYTES_PER_SECOND, EXECUTION_TIME, READY_TIME,
    SESSIONS_MAX, SESSIONS_PER_PRINCIPAL, STAGING_BYTES, TRANSFER_BYTES_MAX,
};

/// Limits and times of the server half. [`Default`] has what the protocols' descriptions recommend.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Memory of all sessions that upload, in bytes.
    pub staging_bytes: u64,
    /// Of it, what one principal may have, so that there is some for others. None: all of it.
    pub staging_bytes_per_principal: Option<u64>,
    /// The most that one transfer may have; at most [`TRANSFER_BYTES_MAX`].
    pub transfer_bytes_max: u64,
    /// Sessions at a time.
    pub sessions_max: usize,
    /// Of one principal.
    pub sessions_per_principal: usize,
    /// Pooled connections at a time.
    pub connections_max: usize,
    /// Of one principal.
    pub connections_per_principal: usize,
    /// Bytes per packet, where it isn't what the port says.
    pub path_mtu: Option<Mtu>,
    /// End each pooled GET with a READ of its last byte: then the bytes are in the client's memory, not only with its
    /// device, when the answer goes out. The frames for it come from this arena; it must be registered.
    pub strict_placement: Option<Arena>,
    /// Within which READY must come after PREPARE was answered, or after a peer did not answer.
    pub ready_time: Duration,
    /// Within which the answer to PREPARE must leave.
    pub answer_time: Duration,
    /// Within which a transfer must be done, whatever its size.
    pub execution_time: Duration,
    /// What is added to it: one second for so many bytes.
    pub execution_bytes_per_second: u64,
    /// How long a request waits for its pooled connection.
    pub connection_queue_time: Duration,
    /// When a pooled connection that is not used ends.
    pub connection_idle_time: Duration,
    /// Shows that the tests of fencing find a server that doesn't.
    #[cfg(test)]
    pub(crate) fence_skipped: bool,
}

impl Settings {
    /// Whether queue pairs are fenced: always.
    #[cfg(not(test))]
    pub(super) fn fences(&self) -> bool {
        true
    }

    /// Whether queue pairs are fenced.
    #[cfg(test)]
    pub(super) fn fences(&self) -> bool {
        !self.fence_skipped
    }

    /// Staging memory of one principal, in bytes: the most that an upload by a session may have.
    #[must_use]
    pub fn staging_bytes_of_one(&self) -> u64 {
        self.staging_bytes.min(self.staging_bytes_per_principal.unwrap_or(u64::MAX))
    }

    /// How long a transfer of so many bytes may take.
    #[must_use]
    pub fn execution_time_of(&self, bytes: u64) -> Duration {
        let rate = self.execution_bytes_per_second.max(1);
        self.execution_time.saturating_add(Duration::from_secs_f64(bytes as f64 / rate as f64))
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            staging_bytes: STAGING_BYTES,
            staging_bytes_per_principal: None,
            transfer_bytes_max: TRANSFER_BYTES_MAX,
            sessions_max: SESSIONS_MAX,
            sessions_per_principal: SESSIONS_PER_PRINCIPAL,
            connections_max: CONNECTIONS_MAX,
            connections_per_principal: CONNECTIONS_PER_PRINCIPAL,
            path_mtu: None,
            strict_placement: None,
            ready_time: READY_TIME,
            answer_time: ANSWER_TIME,
            execution_time: EXECUTION_TIME,
            execution_bytes_per_second: EXECUTION_BYTES_PER_SECOND,
            connection_queue_time: CONNECTION_QUEUE_TIME,
            connection_idle_time: CONNECTION_IDLE_TIME,
            #[cfg(test)]
            fence_skipped: false,
        }
    }
}
