//! Owns teardown, in its order: the queue pair is fenced and destroyed, then the staging memory's key is voided, then
//! the memory is freed, then its place in the limits. Memory that the device may still write to is never freed, and
//! counted.
//!
//! Each teardown is a task of its own, so that it comes to its end whoever goes away meanwhile.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::lane::Lane;
use super::ledger::Admitted;
use super::process::Server;
use super::stats::{decrement, increment};
use crate::fabric::{
    Buffer, Connected, FabricError, Fenced, Initialised, Psn, Qpn, QueuePair, Window,
};
use crate::limits::FENCE_TIME;

/// A queue pair, connected or not.
pub(super) enum AnyQueuePair {
    Initialised(QueuePair<Initialised>),
    Connected(QueuePair<Connected>),
}

impl From<QueuePair<Initialised>> for AnyQueuePair {
    fn from(queue_pair: QueuePair<Initialised>) -> AnyQueuePair {
        AnyQueuePair::Initialised(queue_pair)
    }
}

impl From<QueuePair<Connected>> for AnyQueuePair {
    fn from(queue_pair: QueuePair<Connected>) -> AnyQueuePair {
        AnyQueuePair::Connected(queue_pair)
    }
}

impl AnyQueuePair {
    async fn fence(self) -> Fenced {
        match self {
            AnyQueuePair::Initialised(queue_pair) => queue_pair.fence().await,
            AnyQueuePair::Connected(queue_pair) => queue_pair.fence().await,
        }
    }
}

/// A session's staging memory.
pub(super) enum Staging {
    /// It has none.
    None,
    /// Open to the peer.
    Open(Window),
    /// The CPU's again.
    Closed(Buffer),
    /// The device did not give it back.
    Lost,
}

/// What a session or a connection has besides its queue pair. Dropped in this order, but buried normally.
pub(super) struct Estate {
    pub(super) staging: Staging,
    /// What the queue pair is called and began with.
    pub(super) number: Qpn,
    pub(super) psn: Psn,
    pub(super) _counted: CountedQueuePair,
    pub(super) admitted: Admitted,
}

/// One queue pair in the figures.
pub(super) struct CountedQueuePair(Arc<Server>);

impl CountedQueuePair {
    pub(super) fn new(server: &Arc<Server>) -> CountedQueuePair {
        increment(&server.counters.queue_pairs);
        CountedQueuePair(Arc::clone(server))
    }
}

impl Drop for CountedQueuePair {
    fn drop(&mut self) {
        decrement(&self.0.counters.queue_pairs);
    }
}

/// What is to be torn down: the queue pair first, unless it has been.
pub(super) struct Grave {
    pub(super) queue_pair: Option<AnyQueuePair>,
    pub(super) estate: Estate,
}

impl Staging {
    /// Takes it from the peer for good: its key is void.
    pub(super) fn close(&mut self, server: &Server) -> Result<(), FabricError> {
        match std::mem::replace(self, Staging::Lost) {
            Staging::Open(window) if server.settings.fences() => {
                *self = Staging::Closed(window.revoke()?);
            }
            Staging::Open(window) => *self = Staging::Closed(window.reclaim()),
            other => *self = other,
        }
        Ok(())
    }

    /// The device would not let go of the queue pair through which it is written: nobody may use it again.
    pub(super) fn lose(&mut self) {
        if let Staging::Open(window) = std::mem::replace(self, Staging::Lost) {
            std::mem::forget(window);
        }
    }

    /// The contents, once it is closed.
    pub(super) fn contents(&self) -> &[u8] {
        match self {
            Staging::Closed(buffer) => buffer.as_slice(),
            Staging::None | Staging::Open(_) | Staging::Lost => &[],
        }
    }
}

impl Lane {
    /// Fences a queue pair, also when the caller goes away. Only where it is clean may the memory behind it be used.
    pub(super) async fn fence(self: &Rc<Self>, queue_pair: AnyQueuePair) -> Fenced {
        let server = Arc::clone(&self.server);
        let fenced = self.spawn_burial(async move { fence(&server, queue_pair).await });
        // The task neither panics nor is it aborted before its runtime is; then nobody is told anything.
        fenced.await.unwrap_or(UNKNOWN)
    }

    /// Tears down; what it returns is ready when everything is gone.
    pub(super) fn bury(self: &Rc<Self>, grave: Grave) -> JoinHandle<Fenced> {
        let server = Arc::clone(&self.server);
        self.spawn_burial(async move { bury(&server, grave).await })
    }
}

/// A teardown of whose end nobody was told.
pub(super) const UNKNOWN: Fenced = Fenced { clean: false, took: Duration::ZERO };

/// That there was nothing to fence.
pub(super) const NOTHING: Fenced = Fenced { clean: true, took: Duration::ZERO };

async fn fence(server: &Server, queue_pair: AnyQueuePair) -> Fenced {
    if !server.settings.fences() {
        tokio::task::spawn_local(async move {
            tokio::time::sleep(FENCE_TIME).await;
            let _ = queue_pair.fence().await;
        });
        return NOTHING;
    }
    let fenced = queue_pair.fence().await;
    server.counters.fenced(fenced.took);
    if !fenced.clean {
        increment(&server.counters.leaked);
    }
    fenced
}

async fn bury(server: &Server, grave: Grave) -> Fenced {
    let Grave { queue_pair, mut estate } = grave;
    let fenced = match queue_pair {
        Some(queue_pair) => fence(server, queue_pair).await,
        None => NOTHING,
    };
    server.retired.retire(estate.number, estate.psn, Instant::now());
    if !fenced.clean {
        estate.staging.lose();
    } else if let Err(error) = estate.staging.close(server) {
        increment(&server.counters.leaked);
        tracing::error!(%error, "the staging memory of an RDMA session is lost: its key can't be voided");
    }
    if matches!(estate.staging, Staging::Lost) {
        estate.admitted.forfeit_staging();
    }
    fenced
}
