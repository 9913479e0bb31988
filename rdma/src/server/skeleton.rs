//! The interface, ahead of what is behind it.
#![allow(missing_docs, unused_variables, clippy::unimplemented)]

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{Operation, Order, Protocol, SessionError, Settings};
use crate::fabric::{Fabric, FabricError, FabricFacts, Psn, Qpn, RemoteWindow};
use crate::transfer::{Delivered, FrameSink, FrameSource, Received, TransferError};
use crate::wire::{ChecksumAlgorithm, Cookie, RcToken, SessionId};

/// Process-wide.
#[derive(Debug)]
pub struct Server(());

impl Server {
    pub fn new(fabric: Arc<dyn Fabric>, settings: Settings, lanes: usize) -> Arc<Server> {
        unimplemented!()
    }
    pub fn facts(&self) -> &FabricFacts {
        unimplemented!()
    }
    pub fn settings(&self) -> &Settings {
        unimplemented!()
    }
    pub fn stats(&self) -> ServerStats {
        unimplemented!()
    }
    pub fn stop_admitting(&self) {
        unimplemented!()
    }
    pub fn claim(
        self: &Arc<Self>,
        session: SessionId,
        cookie: Cookie,
        principal: &str,
    ) -> Result<Claim, SessionError> {
        unimplemented!()
    }
    pub fn cancel(&self, session: SessionId, principal: &str) {
        unimplemented!()
    }
    pub fn connection(
        self: &Arc<Self>,
        connection: SessionId,
        principal: &str,
    ) -> Result<ConnectionClaim, SessionError> {
        unimplemented!()
    }
    pub fn disconnect(&self, connection: SessionId, principal: &str) {
        unimplemented!()
    }
}

/// By value; see `stats.rs` later for all fields.
#[derive(Clone, Debug)]
pub struct ServerStats {
    pub sessions: u64,
    pub connections: u64,
}

#[derive(Debug)]
pub struct Claim(());
impl Claim {
    pub fn lane(&self) -> usize {
        unimplemented!()
    }
    pub fn session(&self) -> SessionId {
        unimplemented!()
    }
    pub fn order(&self) -> &Arc<Order> {
        unimplemented!()
    }
    pub fn cookie(&self) -> Cookie {
        unimplemented!()
    }
    pub fn principal(&self) -> &Arc<str> {
        unimplemented!()
    }
    pub fn watch(&self) -> Watch {
        unimplemented!()
    }
}

#[derive(Debug)]
pub struct ConnectionClaim(());
impl ConnectionClaim {
    pub fn lane(&self) -> usize {
        unimplemented!()
    }
    pub fn connection(&self) -> SessionId {
        unimplemented!()
    }
    pub fn watch(&self) -> Watch {
        unimplemented!()
    }
}

/// Dropped before the transfer's end: the transfer is aborted.
#[derive(Debug)]
pub struct Watch(());

#[derive(Clone, Debug)]
pub struct LaneServer(PhantomData<Rc<()>>);

#[derive(Clone, Debug)]
pub struct Prepare {
    pub principal: Arc<str>,
    pub token: RcToken,
    pub psn: Psn,
    pub cookie: Cookie,
    pub order: Order,
}
#[derive(Clone, Debug)]
pub struct Prepared {
    pub session: SessionId,
    pub token: RcToken,
    pub psn: Psn,
    pub qpn: Qpn,
    pub staging: Option<RemoteWindow>,
}
#[derive(Clone, Debug)]
pub struct Connect {
    pub principal: Arc<str>,
    pub token: RcToken,
    pub psn: Psn,
}
#[derive(Clone, Debug)]
pub struct Connected {
    pub connection: SessionId,
    pub token: RcToken,
    pub psn: Psn,
}
#[derive(Clone, Copy, Debug)]
pub struct ReadyHeaders {
    pub qpn: Qpn,
    pub window: Option<RemoteWindow>,
    pub checksum: ChecksumAlgorithm,
}

impl LaneServer {
    pub fn open(server: &Arc<Server>, lane: usize) -> Result<LaneServer, FabricError> {
        unimplemented!()
    }
    /// Asynchronous, since registering large staging memory is left to a thread that may block.
    pub async fn prepare(&self, prepare: Prepare) -> Result<Prepared, SessionError> {
        unimplemented!()
    }
    pub fn answered(&self, session: SessionId) {
        unimplemented!()
    }
    pub fn connect(&self, connect: Connect) -> Result<Connected, SessionError> {
        unimplemented!()
    }
    pub fn begin(&self, claim: Claim, ready: ReadyHeaders) -> Result<Transfer, SessionError> {
        unimplemented!()
    }
    pub async fn acquire(
        &self,
        claim: ConnectionClaim,
        window: RemoteWindow,
        operation: Operation,
        checksum: ChecksumAlgorithm,
    ) -> Result<Transfer, SessionError> {
        unimplemented!()
    }
    pub async fn close(&self) {
        unimplemented!()
    }
}

/// How the request ended for which the transfer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    Failed,
}

/// That nothing of the transfer moves any more.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Settled {
    /// The session waits for another READY: its peer never answered. Answer 409.
    pub rearmed: bool,
    /// How long the fence took.
    pub fence: Duration,
}

#[derive(Debug)]
pub struct Transfer(PhantomData<Rc<()>>);

impl Transfer {
    pub fn protocol(&self) -> Protocol {
        unimplemented!()
    }
    pub fn operation(&self) -> Operation {
        unimplemented!()
    }
    /// PUT: bytes to take. GET: the most that may be sent.
    pub fn size(&self) -> u64 {
        unimplemented!()
    }
    pub async fn send<S: FrameSource>(
        &mut self,
        source: S,
    ) -> Result<Delivered, TransferError<S::Error>> {
        unimplemented!()
    }
    pub async fn receive<K: FrameSink>(
        &mut self,
        sink: &mut K,
    ) -> Result<Received, TransferError<K::Error>> {
        unimplemented!()
    }
    pub async fn settle(self, outcome: Outcome) -> Settled {
        unimplemented!()
    }
}
