//! Owns: what the lanes share of RDMA: the server half or why there is none, the mailboxes, the counts.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdma::server::Server;

use super::decline::{Declines, Reason};
use super::mailbox::Mailboxes;
use super::receipts::Receipts;
use crate::config::RdmaPlan;
use crate::iam::Iam;

/// What an operator has decided about requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The HTTP status of a declined upload: 200 or 501.
    pub put_decline_status: u16,
    /// Whether clients that do not sign may connect.
    pub allow_unsigned_connect: bool,
    /// Whether a client's RDMA address must be that of its connection.
    pub require_same_address: bool,
}

impl From<&RdmaPlan> for Rules {
    fn from(plan: &RdmaPlan) -> Rules {
        Rules {
            put_decline_status: plan.put_decline_status,
            allow_unsigned_connect: plan.allow_unsigned_connect,
            require_same_address: plan.require_same_address,
        }
    }
}

/// RDMA in this process, shared by all lanes.
pub struct Rdma {
    state: Result<Arc<Server>, String>,
    /// See [`Rules`].
    pub rules: Rules,
    /// Who may sign.
    pub keys: Arc<Iam>,
    /// One for each lane.
    pub(super) mailboxes: Mailboxes,
    /// How often each reason was one to decline.
    pub declines: Declines,
    /// What was delivered.
    pub receipts: Arc<Receipts>,
    /// How long a lane that is done waits for the others, which may still need its queue pairs.
    pub farewell: Duration,
    lanes: AtomicUsize,
}

impl Rdma {
    /// RDMA for so many lanes: by that server half, or not at all, for that reason.
    pub fn new(
        state: Result<Arc<Server>, String>,
        rules: Rules,
        keys: Arc<Iam>,
        lanes: usize,
        drain_deadline: Duration,
    ) -> Arc<Rdma> {
        Arc::new(Rdma {
            state,
            rules,
            keys,
            mailboxes: Mailboxes::new(lanes),
            declines: Declines::default(),
            receipts: Arc::default(),
            farewell: drain_deadline + crate::limits::RDMA_FAREWELL_TIME,
            lanes: AtomicUsize::new(0),
        })
    }

    /// The server half, where there is one.
    pub fn server(&self) -> Option<&Arc<Server>> {
        self.state.as_ref().ok()
    }

    /// The server half, while it can move anything.
    ///
    /// # Errors
    /// Why there is none, or why it can't at present, in a sentence.
    pub fn usable(&self) -> Result<&Arc<Server>, Cow<'_, str>> {
        let server = self.state.as_ref().map_err(|reason| Cow::Borrowed(reason.as_str()))?;
        let health = server.health();
        match health.failed {
            Some(error) => Err(format!("the RDMA device has failed: {error}").into()),
            None if !health.port_active => Err("the RDMA port has no link".into()),
            None => Ok(server),
        }
    }

    /// Counts a reason to decline.
    pub fn declined(&self, reason: Reason) {
        tracing::debug!(reason = reason.label(), "declined RDMA");
        self.declines.count(reason);
    }
}

/// A lane whose requests may need the queue pairs of others. Dropped when it has none any more.
pub struct Present(Arc<Rdma>);

impl Present {
    /// A lane opens.
    pub fn new(rdma: &Arc<Rdma>) -> Present {
        rdma.lanes.fetch_add(1, Ordering::AcqRel);
        Present(rdma.clone())
    }

    /// Waits until every lane has gone, or for as long as [`Rdma::farewell`] says: one may have panicked.
    pub async fn leave(self) {
        const LOOK: Duration = Duration::from_millis(5);
        let rdma = self.0.clone();
        drop(self);
        let all_gone = async {
            while rdma.lanes.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(rdma.farewell, all_gone).await.is_err() {
            tracing::warn!("a lane did not end; RDMA is closed without it");
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.lanes.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdma::fabric::Gid;
    use rdma::fabric::simulated::{Faults, Network};
    use rdma::server::Settings;

    #[tokio::test]
    async fn a_device_that_has_failed_is_not_used_and_says_why() {
        let gid = Gid::from_ipv4([10, 77, 0, 1].into());
        let network = Network::new(1, Faults::DELAYS);
        let server = Server::new(network.fabric(gid, None), Settings::default(), 1);
        let plan = Rules {
            put_decline_status: 200,
            allow_unsigned_connect: false,
            require_same_address: false,
        };
        let keys = Arc::new(Iam::new([]));
        let rdma = Rdma::new(Ok(server), plan, keys, 1, Duration::from_secs(1));
        assert!(rdma.usable().is_ok());
        network.break_device(gid);
        let reason = rdma.usable().expect_err("it has failed");
        assert!(reason.starts_with("the RDMA device has failed: "), "{reason}");
        assert!(rdma.server().is_some(), "what is there can still be ended");
    }
}
