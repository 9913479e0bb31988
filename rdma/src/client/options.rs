//! Owns how long a client waits and how often it tries.

use std::time::Duration;

use crate::fabric::Mtu;
use crate::limits::{
    CLIENT_BACKOFF_ATTEMPTS, CLIENT_BACKOFF_FIRST, CLIENT_BACKOFF_MOST,
    CLIENT_BYTES_PER_SECOND_LEAST, CLIENT_CANCEL_TIME, CLIENT_CONNECT_TIME,
    CLIENT_POOL_CONNECTIONS, CLIENT_READY_ATTEMPTS, CLIENT_SETTLE_TIME, CLIENT_TRANSFER_TIME,
    CLIENT_WRITE_DELAY,
};

/// What can be set about a client. The defaults are for a data-centre network.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// For PREPARE, CONNECT, HEAD and for a free connection of a pool. 10 s.
    pub connect_time: Duration,
    /// For one transfer or one object request, beside the time that its bytes get. 60 s.
    pub transfer_time: Duration,
    /// How slow a transfer may be: bytes per second, never 0. 10 MB/s.
    pub bytes_per_second_least: u64,
    /// For CANCEL and DISCONNECT: nobody's data depends on their answers. 1 s.
    pub cancel_time: Duration,
    /// When one half of a hipobj-rc-v2 transfer has ended (the data or the answer), how long the other half gets. 5 s.
    pub settle_time: Duration,
    /// How long after READY the write of a hipobj-rc-v2 PUT waits, where the server has not said that it is armed.
    /// 100 ms, as all clients of the protocol do.
    pub write_delay: Duration,
    /// How often a request is sent that is answered with 503 or 429. 6.
    pub backoff_attempts: u32,
    /// The pause before the second time; doubled each time, less a random half. 50 ms.
    pub backoff_first: Duration,
    /// The longest pause. 2 s.
    pub backoff_most: Duration,
    /// How often READY is sent for one session whose server could not reach us. 3.
    pub ready_attempts: u32,
    /// Connections of one pool. 8.
    pub pool_connections: usize,
    /// Bytes per packet. None: as the port has it. Both ends must have the same; nobody negotiates it.
    pub path_mtu: Option<Mtu>,
    /// Whether what arrives is compared with the checksum that the server gives. It is read once for that. Yes.
    pub verify: bool,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            connect_time: CLIENT_CONNECT_TIME,
            transfer_time: CLIENT_TRANSFER_TIME,
            bytes_per_second_least: CLIENT_BYTES_PER_SECOND_LEAST,
            cancel_time: CLIENT_CANCEL_TIME,
            settle_time: CLIENT_SETTLE_TIME,
            write_delay: CLIENT_WRITE_DELAY,
            backoff_attempts: CLIENT_BACKOFF_ATTEMPTS,
            backoff_first: CLIENT_BACKOFF_FIRST,
            backoff_most: CLIENT_BACKOFF_MOST,
            ready_attempts: CLIENT_READY_ATTEMPTS,
            pool_connections: CLIENT_POOL_CONNECTIONS,
            path_mtu: None,
            verify: true,
        }
    }
}

impl ClientOptions {
    /// The time that a transfer of so many bytes gets.
    #[must_use]
    pub fn transfer_deadline(&self, bytes: u64) -> Duration {
        let rate = self.bytes_per_second_least.max(1);
        self.transfer_time.saturating_add(Duration::from_millis(
            (bytes / rate).saturating_mul(1000).saturating_add(bytes % rate * 1000 / rate),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gigabyte_gets_a_hundred_seconds_more() {
        let options = ClientOptions::default();
        assert_eq!(options.transfer_deadline(1_000_000_000), Duration::from_secs(160));
        assert_eq!(options.transfer_deadline(5_000), Duration::from_secs(60));
        let never_zero = ClientOptions { bytes_per_second_least: 0, ..options };
        assert!(never_zero.transfer_deadline(u64::MAX) > Duration::from_secs(60));
    }
}
