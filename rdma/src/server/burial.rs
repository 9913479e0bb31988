//! Owns teardown, in its order: the queue pair is fenced and destroyed, then the staging memory's key is voided, then
//! the memory is freed, then its place in the limits. Memory that the device may still write to is never freed, and
//! counted.
//!
//! Each teardown is a task of its own, so that it comes to its end whoever goes away meanwhile. Large memory is given
//! back by a thread that may block, as it was taken: unpinning a gibibyte takes some 50 ms, in which the lane would
//! serve nobody.

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
use crate::limits::{FENCE_TIME, STAGING_BYTES_INLINE};

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
    /// On its way from the peer.
    Closing(JoinHandle<Result<Buffer, FabricError>>),
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
    /// Takes it from the peer for good: its key is void. Dropped halfway, it can be called again.
    pub(super) async fn close(&mut self, server: &Server) -> Result<(), FabricError> {
        *self = match std::mem::replace(self, Staging::Lost) {
            Staging::Open(window) if !server.settings.fences() => Staging::Closed(window.reclaim()),
            Staging::Open(window) if window.remote().size <= STAGING_BYTES_INLINE => {
                return self.closed(server, window.revoke());
            }
            Staging::Open(window) => {
                Staging::Closing(tokio::task::spawn_blocking(move || window.revoke()))
            }
            other => other,
        };
        let Staging::Closing(closing) = self else { return Ok(()) };
        let revoked = closing.await;
        let broken_off = |error| Err(FabricError::new("ibv_dereg_mr", format!("{error}")));
        self.closed(server, revoked.unwrap_or_else(broken_off))
    }

    fn closed(
        &mut self,
        server: &Server,
        revoked: Result<Buffer, FabricError>,
    ) -> Result<(), FabricError> {
        match revoked {
            Ok(buffer) => {
                *self = Staging::Closed(buffer);
                Ok(())
            }
            Err(error) => {
                *self = Staging::Lost;
                increment(&server.counters.leaked);
                tracing::error!(%error, "the staging memory of an RDMA session is lost: its key can't be voided");
                Err(error)
            }
        }
    }

    /// Gives memory that is closed back to the system.
    async fn free(&mut self) {
        match std::mem::replace(self, Staging::None) {
            Staging::Closed(buffer) if buffer.size() as u64 > STAGING_BYTES_INLINE => {
                // Without an answer the runtime has ended, and the memory with its task.
                let _ = tokio::task::spawn_blocking(move || drop(buffer)).await;
            }
            Staging::Closed(_) => {}
            other => *self = other,
        }
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
            Staging::None | Staging::Open(_) | Staging::Closing(_) | Staging::Lost => &[],
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
    if fenced.clean {
        // Where that fails, it has been said and counted.
        let _ = estate.staging.close(server).await;
        estate.staging.free().await;
    } else {
        estate.staging.lose();
    }
    if matches!(estate.staging, Staging::Lost) {
        estate.admitted.forfeit_staging();
    }
    fenced
}
