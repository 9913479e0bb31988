//! Owns what the tests stand on: two fabrics on a network, a server of one lane, a client, sources and sinks.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datapath::arena::{Arena, ArenaOptions, Frame, Reservation, Share};
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::super::*;
use crate::fabric::simulated::{self, Faults};
use crate::fabric::{
    Buffer, Completion, Connected as ConnectedState, Connection, Endpoint, Fabric, Gid,
    Initialised, Peer, Psn, Qpn, QueuePair, QueuePairOptions, QueuePairShape, RemoteAccess,
    RemoteWindow, Window, Work, loopback,
};
use crate::transfer::{FrameSink, FrameSource};
use crate::wire::{ChecksumAlgorithm, Cookie, RcToken, SessionId};

pub(super) const CRC: ChecksumAlgorithm = ChecksumAlgorithm::Crc64Nvme;
const CLIENT: Gid = Gid([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
const SERVER: Gid = Gid([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
/// What a client's queue pair sends first.
const CLIENT_PSN: u32 = 0x00_abcd;

/// Runs a test in virtual time, on one thread.
pub(super) fn run<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let tasks = LocalSet::new();
    runtime.block_on(tasks.run_until(async { test().await }));
}

pub(super) fn arena() -> Arena {
    Arena::new(&ArenaOptions {
        bytes: 32 << 20,
        reads_bytes: 8 << 20,
        reads_growth_bytes: 4 << 20,
        writes_bytes: 16 << 20,
        writes_growth_bytes: 8 << 20,
        huge_pages: false,
        lock_memory: false,
    })
    .expect("an arena")
}

pub(super) struct Bed {
    pub(super) network: Option<simulated::Network>,
    pub(super) arena: Arena,
    pub(super) server: Arc<Server>,
    pub(super) lane: LaneServer,
    pub(super) client: Client,
}

impl Bed {
    /// Nothing takes time.
    pub(super) fn instant(settings: Settings) -> Bed {
        let arena = arena();
        let network = loopback::Network::new();
        let server = network.fabric(SERVER, Some(&arena));
        Bed::on(server, network.fabric(CLIENT, None), arena, settings, None)
    }

    /// Everything takes time.
    pub(super) fn simulated(seed: u64, faults: Faults, settings: Settings) -> Bed {
        Bed::simulated_in(arena(), seed, faults, settings)
    }

    pub(super) fn simulated_in(arena: Arena, seed: u64, faults: Faults, settings: Settings) -> Bed {
        let network = simulated::Network::new(seed, faults);
        let server = network.fabric(SERVER, Some(&arena));
        let client = network.fabric(CLIENT, None);
        Bed::on(server, client, arena, settings, Some(network))
    }

    fn on(
        server: Arc<dyn Fabric>,
        client: Arc<dyn Fabric>,
        arena: Arena,
        settings: Settings,
        network: Option<simulated::Network>,
    ) -> Bed {
        let server = Server::new(server, settings, 2);
        let lane = LaneServer::open(&server, 0).expect("a lane");
        let endpoint = Endpoint::open(&client).expect("an endpoint");
        let client = Client { fabric: client, endpoint };
        Bed { network, arena, server, lane, client }
    }

    pub(super) fn network(&self) -> &simulated::Network {
        self.network.as_ref().expect("a simulated network")
    }

    /// A session, prepared by `ann` and answered.
    pub(super) async fn prepare(&self, operation: Operation, size: u64) -> Prepared {
        let prepared = self.try_prepare("ann", operation, size).await.expect("prepared");
        self.lane.answered(prepared.session);
        prepared
    }

    pub(super) async fn try_prepare(
        &self,
        principal: &str,
        operation: Operation,
        size: u64,
    ) -> Result<Prepared, SessionError> {
        self.prepare_for(principal, operation, size, None).await
    }

    /// A session whose token names the client's queue pair, or none.
    pub(super) async fn prepare_for(
        &self,
        principal: &str,
        operation: Operation,
        size: u64,
        qpn: Option<Qpn>,
    ) -> Result<Prepared, SessionError> {
        let order =
            Order { operation, target: "/bucket/key".into(), size, offset: 0, entity_tag: None };
        let token = self.client.token(qpn);
        let psn = psn(CLIENT_PSN);
        let prepare = Prepare { principal: principal.into(), token, psn, cookie: cookie(), order };
        self.lane.prepare(prepare).await
    }

    pub(super) fn claim(&self, prepared: &Prepared) -> Result<Claim, SessionError> {
        self.server.claim(prepared.session, cookie(), "ann")
    }

    /// A queue pair of the client's, connected to the session, with the receive for its immediate posted.
    pub(super) fn answer(
        &self,
        prepared: &Prepared,
        access: RemoteAccess,
    ) -> QueuePair<ConnectedState> {
        let queue_pair = self.client.queue_pair(access);
        if access != RemoteAccess::None {
            queue_pair.post_receive().expect("a receive");
        }
        self.client.join(queue_pair, prepared.qpn, prepared.psn)
    }

    /// A pooled connection of `ann`'s, and the client's end.
    pub(super) fn connect(&self) -> (SessionId, QueuePair<ConnectedState>) {
        self.try_connect("ann").expect("connected")
    }

    pub(super) fn try_connect(
        &self,
        principal: &str,
    ) -> Result<(SessionId, QueuePair<ConnectedState>), SessionError> {
        let queue_pair = self.client.queue_pair(RemoteAccess::ReadWrite);
        let token = self.client.token(Some(queue_pair.number()));
        let connect = Connect { principal: principal.into(), token, psn: psn(CLIENT_PSN) };
        let made = self.lane.connect(connect)?;
        let qpn = Qpn::new(made.token.qpn).expect("a queue pair number");
        Ok((made.connection, self.client.join(queue_pair, qpn, made.psn)))
    }

    pub(super) async fn acquire(
        &self,
        connection: SessionId,
        window: RemoteWindow,
        operation: Operation,
    ) -> Result<Transfer, SessionError> {
        let claim = self.server.connection(connection, "ann")?;
        self.lane.acquire(claim, window, operation, CRC).await
    }

    /// Content in memory that the server's fabric can send from.
    pub(super) fn source(&self, content: &[u8], piece: usize) -> Source {
        let mut buffer = Buffer::allocate(&*self.server.fabric, content.len()).expect("memory");
        buffer.as_mut_slice().expect("not lent").copy_from_slice(content);
        let rest = buffer.lend();
        Source { _buffer: buffer, rest, piece, delay: None, fails_below: None }
    }

    /// A sink of so many frames at a time.
    pub(super) fn sink(&self, size: u64, frame: usize, frames: usize) -> Sink {
        let each = frame.max(64 << 10);
        let reservation =
            self.arena.reserve(Share::Writes, (each * frames) as u64).expect("room for frames");
        let content = Rc::new(RefCell::new(Vec::new()));
        Sink { reservation, left: size, frame, content, delay: None, at_first: None }
    }

    /// Waits until nothing is left on the server, and says so if something is.
    pub(super) async fn assert_nothing_left(&self) {
        self.server.ring(0);
        for _ in 0..100 {
            if self.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("left behind: {:?}", self.server.stats());
    }

    pub(super) fn is_empty(&self) -> bool {
        let stats = self.server.stats();
        let counted = [
            stats.sessions,
            stats.connections,
            stats.principals,
            stats.registered,
            stats.staging_bytes,
            stats.queue_pairs,
            stats.transfers_active,
            self.lane.lane.endpoint.live_queue_pairs() as u64,
            self.lane.lane.pacer.bytes_in_flight(),
            stats.leaked,
        ];
        counted == [0; 10]
    }
}

pub(super) struct Client {
    pub(super) fabric: Arc<dyn Fabric>,
    pub(super) endpoint: Endpoint,
}

impl Client {
    pub(super) fn queue_pair(&self, access: RemoteAccess) -> QueuePair<Initialised> {
        let shape = QueuePairShape { send_depth: 16, receive_depth: 2 };
        self.endpoint.queue_pair(&QueuePairOptions { shape, access }).expect("a queue pair")
    }

    fn token(&self, qpn: Option<Qpn>) -> RcToken {
        let mut token = RcToken::identity(qpn.unwrap_or(some_qpn()), CLIENT, 1, 0);
        if qpn.is_none() {
            token.qpn = 0;
        }
        token
    }

    pub(super) fn join(
        &self,
        queue_pair: QueuePair<Initialised>,
        qpn: Qpn,
        psn_of_server: Psn,
    ) -> QueuePair<ConnectedState> {
        let facts = self.fabric.facts();
        let peer = Peer { qpn, gid: SERVER, lid: 0, psn: psn_of_server };
        let (local, path_mtu) = (CLIENT, facts.path_mtu);
        let connection = Connection { peer, local, psn: psn(CLIENT_PSN), path_mtu };
        queue_pair.connect(&connection).expect("connected")
    }

    /// Memory that the server may use.
    pub(super) fn window(&self, content: &[u8], access: RemoteAccess) -> Window {
        let mut buffer = Buffer::allocate(&*self.fabric, content.len()).expect("memory");
        buffer.as_mut_slice().expect("not lent").copy_from_slice(content);
        buffer.expose(access).expect("exposed")
    }

    /// Writes to the server, with an immediate or without. The buffer must be kept.
    pub(super) fn write(
        &self,
        queue_pair: &QueuePair<ConnectedState>,
        content: &[u8],
        to: RemoteWindow,
        immediate: Option<u32>,
    ) -> Buffer {
        let mut buffer = Buffer::allocate(&*self.fabric, content.len()).expect("memory");
        buffer.as_mut_slice().expect("not lent").copy_from_slice(content);
        let work = Work::Write { source: buffer.lend(), to, immediate };
        // A queue pair that the server has broken refuses: that is for the caller to see by the completion.
        let _ = queue_pair.post(work, true);
        buffer
    }
}

fn some_qpn() -> Qpn {
    Qpn::new(1).expect("a number")
}

pub(super) fn psn(number: u32) -> Psn {
    Psn::new(number).expect("a number")
}

pub(super) fn cookie() -> Cookie {
    Cookie::new(0x1a2b_3c4d).expect("not zero")
}

pub(super) fn ready(qpn: Qpn, window: Option<RemoteWindow>) -> ReadyHeaders {
    ReadyHeaders { qpn, window, checksum: CRC }
}

/// Bytes that differ from place to place and from seed to seed.
pub(super) fn pattern(size: usize, seed: u8) -> Vec<u8> {
    (0..size).map(|at| (at as u8) ^ ((at >> 8) as u8).wrapping_mul(31) ^ seed).collect()
}

/// The next completion of a client's queue pair.
pub(super) async fn completion(queue_pair: &QueuePair<ConnectedState>) -> Completion {
    let waited = tokio::time::timeout(Duration::from_secs(120), queue_pair.completion()).await;
    waited.expect("a completion in time").expect("a working completion queue")
}

pub(super) struct Source {
    _buffer: Buffer,
    rest: Bytes,
    piece: usize,
    /// Before each piece.
    pub(super) delay: Option<Duration>,
    /// Fails when only so many bytes are left.
    pub(super) fails_below: Option<usize>,
}

impl FrameSource for Source {
    type Error = &'static str;

    async fn next(&mut self) -> Option<Result<Bytes, &'static str>> {
        if let Some(delay) = self.delay {
            tokio::time::sleep(delay).await;
        }
        if self.fails_below.is_some_and(|least| self.rest.len() <= least) {
            return Some(Err("unreadable"));
        }
        let piece = self.rest.len().min(self.piece);
        (piece > 0).then(|| Ok(self.rest.split_to(piece)))
    }

    fn remaining(&self) -> u64 {
        self.rest.len() as u64
    }
}

pub(super) struct Sink {
    reservation: Reservation,
    left: u64,
    frame: usize,
    pub(super) content: Rc<RefCell<Vec<u8>>>,
    /// Before each frame is taken.
    pub(super) delay: Option<Duration>,
    /// Done once, when the first frame is asked for.
    pub(super) at_first: Option<Box<dyn FnOnce()>>,
}

impl FrameSink for Sink {
    type Error = &'static str;

    async fn next_frame(&mut self) -> Result<(Frame, usize), &'static str> {
        if let Some(at_first) = self.at_first.take() {
            at_first();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let charge =
            self.reservation.charge_when_free(self.frame).await.map_err(|_| "too small")?;
        let frame = charge.frame(self.frame).map_err(|_| "fragmented")?;
        let wanted = self.left.min(self.frame as u64);
        self.left -= wanted;
        Ok((frame, wanted as usize))
    }

    async fn filled(&mut self, frame: Frame) -> Result<(), &'static str> {
        if let Some(delay) = self.delay {
            tokio::time::sleep(delay).await;
        }
        self.content.borrow_mut().extend_from_slice(frame.filled());
        Ok(())
    }
}

/// How long something takes in virtual time.
pub(super) async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let value = future.await;
    (value, began.elapsed())
}
