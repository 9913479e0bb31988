//! Owns what a thread and a worker have for transfers by RDMA: the thread's completion queue, registered buffers and
//! counts; the worker's connections.
//!
//! A worker is one line: an HTTP connection and, with the pooled protocol, one queue pair that is connected before its
//! first object and disconnected at the end of the run. The thread keeps its lines, so that they are ended properly
//! also when their workers were interrupted: servers allow a user a bounded number of connections.
//!
//! *Limits:* `limits::RDMA_CLOSE_WAIT`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rdma::client::{BufferPool, BufferPoolLimits, BufferPoolStats, Client, ClientError, Pool};
use rdma::fabric::Endpoint as FabricEndpoint;

use super::control::HttpControl;
use super::{Protocol, Rdma, Tally};
use crate::client::Shared;
use crate::endpoint::Endpoint;
use crate::failure::Failure;
use crate::limits;

/// What a thread has.
pub(crate) struct Lane {
    protocol: Protocol,
    endpoint: FabricEndpoint,
    /// For GET; compares checksums only when contents are to be verified.
    pub(super) reading: Client,
    /// For PUT; always compares what the server says that it has stored.
    pub(super) writing: Client,
    pub(super) buffers: RefCell<BufferPool>,
    pub(super) tally: RefCell<Tally>,
    lines: RefCell<Vec<Rc<Line>>>,
    /// What there was when counting began.
    counted: Cell<(u64, BufferPoolStats)>,
}

/// What a worker has.
pub(crate) struct Line {
    pub(super) lane: Rc<Lane>,
    pub(super) control: HttpControl,
    /// Made before the first transfer; shared, so that the lane can end it when its worker is gone.
    pool: RefCell<Option<Rc<Pool>>>,
    /// The server has said that it does not have this protocol.
    pub(super) unsupported: Cell<bool>,
}

impl Lane {
    /// Within the thread's runtime. `lines` is how many workers there will be, each with buffers of up to `bytes`.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn open(
        rdma: &Rdma,
        time: Duration,
        verify: bool,
        lines: usize,
        bytes: u64,
    ) -> Result<Rc<Lane>, String> {
        let endpoint = FabricEndpoint::open(&rdma.fabric)
            .map_err(|error| format!("no completion queue: {error}"))?;
        // One of each worker for each right is in use or will be again: none of them is given up.
        let class = usize::try_from(bytes).unwrap_or(usize::MAX).max(1).checked_next_power_of_two();
        let room = class.unwrap_or(usize::MAX).saturating_mul(lines).saturating_mul(2);
        let limits = BufferPoolLimits::default();
        let limits =
            BufferPoolLimits { bytes: limits.bytes.max(room), count: limits.count.max(2 * lines) };
        let client = |verify| Client::new(endpoint.clone(), Rdma::client_options(time, verify));
        Ok(Rc::new(Lane {
            protocol: rdma.protocol,
            reading: client(verify),
            writing: client(true),
            endpoint,
            buffers: RefCell::new(BufferPool::new(rdma.fabric.clone(), limits)),
            tally: RefCell::default(),
            lines: RefCell::default(),
            counted: Cell::default(),
        }))
    }

    /// One more worker's.
    pub(crate) fn line(self: &Rc<Self>, endpoint: &Arc<Endpoint>, shared: &Rc<Shared>) -> Rc<Line> {
        let line = Rc::new(Line {
            lane: self.clone(),
            control: HttpControl::new(endpoint.clone(), shared.clone()),
            pool: RefCell::default(),
            unsupported: Cell::new(false),
        });
        self.lines.borrow_mut().push(line.clone());
        line
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Counting begins: what was before is forgotten.
    pub(crate) fn begin_counting(&self) {
        self.tally.take();
        self.counted.set((self.endpoint.queue_pairs_made(), self.buffers.borrow().stats()));
    }

    /// What was counted since.
    pub(crate) fn counted(&self) -> Tally {
        let mut tally = self.tally.take();
        let (queue_pairs, buffers) = self.counted.get();
        let made = self.endpoint.queue_pairs_made();
        tally.made((queue_pairs, made), (buffers, self.buffers.borrow().stats()));
        tally
    }

    /// Ends all connections, here and at the server, and waits until no queue pair is left.
    pub(crate) async fn close(&self) {
        let lines = self.lines.take();
        let end = async {
            for line in lines {
                let pool = line.pool.take();
                // A worker that was stopped midway is gone by now, and its share of the pool with it.
                if let Some(pool) = pool.and_then(Rc::into_inner) {
                    pool.disconnect(&line.control).await;
                }
            }
            self.endpoint.drained().await;
        };
        // A server that is not there any more ends its half by its own deadlines.
        drop(tokio::time::timeout(limits::RDMA_CLOSE_WAIT, end).await);
    }
}

impl Line {
    /// Connects, so that the first operation need not. A server without the protocol is noted.
    ///
    /// # Errors
    /// When the server is not there, or refuses.
    pub(crate) async fn open(&self) -> Result<(), Failure> {
        self.control.open().await?;
        if self.lane.protocol == Protocol::Pooled {
            match self.pool().await {
                Ok(_) | Err(ClientError::Unsupported) => {}
                Err(error) => return Err(Failure::Rdma(error)),
            }
        }
        Ok(())
    }

    /// Whether objects move in sessions of their own.
    pub(crate) fn is_session(&self) -> bool {
        self.lane.protocol == Protocol::Session
    }

    /// The pooled connection, made if there is none.
    pub(super) async fn pool(&self) -> Result<Rc<Pool>, ClientError> {
        if let Some(pool) = &*self.pool.borrow() {
            return Ok(pool.clone());
        }
        match self.lane.reading.connect(&self.control).await {
            Ok(pool) => {
                let pool = Rc::new(pool);
                *self.pool.borrow_mut() = Some(pool.clone());
                Ok(pool)
            }
            Err(error) => {
                self.unsupported.set(self.unsupported.get() || error == ClientError::Unsupported);
                Err(error)
            }
        }
    }
}
