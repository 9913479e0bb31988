//! The client half against the server half of this crate ([`crate::server`]), with as little between them as will do:
//! no HTTP, one lane, objects in a map. Above all that both sides count down to nothing afterwards.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::task::Poll;

use bytes::Bytes;
use datapath::arena::{Frame, Share};

use super::server::{Answer, entity_tag, value};
use super::*;
use crate::server::{
    Connect, LaneServer, Order, Outcome as Settlement, Prepare, ReadyHeaders, SessionError,
    Settings, Transfer,
};
use crate::transfer::{FrameSink, FrameSource};
use crate::wire::{
    ChecksumAlgorithm, Cookie, Operation, PooledToken, RcToken, ReplyCode, SessionId, display_psn,
    parse_bare_hex, parse_psn, parse_qpn, parse_rkey, route,
};

const PRINCIPAL: &str = "tester";
/// Not a divisor of anything that is moved here.
const PIECE_BYTES: usize = 65_536;

/// What a gateway would be.
struct Door {
    fabric: Arc<dyn Fabric>,
    arena: Arena,
    server: Arc<crate::server::Server>,
    lane: LaneServer,
    objects: RefCell<HashMap<String, Vec<u8>>>,
}

/// An object in pieces of memory that the fabric knows.
struct Source(VecDeque<Bytes>);

impl FrameSource for Source {
    type Error = Infallible;

    async fn next(&mut self) -> Option<Result<Bytes, Infallible>> {
        self.0.pop_front().map(Ok)
    }

    fn remaining(&self) -> u64 {
        self.0.iter().map(|piece| piece.len() as u64).sum()
    }
}

struct Sink<'a> {
    arena: &'a Arena,
    wanted: usize,
    bytes: Vec<u8>,
}

impl FrameSink for Sink<'_> {
    type Error = Infallible;

    async fn next_frame(&mut self) -> Result<(Frame, usize), Infallible> {
        let bytes = self.wanted.min(PIECE_BYTES);
        self.wanted -= bytes;
        let reserved = self.arena.reserve(Share::Reads, bytes as u64).expect("room");
        Ok((reserved.frame(bytes).expect("a frame"), bytes))
    }

    async fn filled(&mut self, frame: Frame) -> Result<(), Infallible> {
        self.bytes.extend_from_slice(frame.filled());
        Ok(())
    }
}

impl Control for Door {
    async fn exchange(
        &self,
        request: ControlRequest,
        body: &mut dyn AnswerBody,
    ) -> Result<AnswerHead, ControlError> {
        let answer = match request.target.as_str() {
            route::PREPARE => self.prepare(&request).await,
            route::READY => self.ready(&request).await,
            route::CONNECT => self.connect(&request),
            route::CANCEL | route::DISCONNECT => {
                let id = SessionId::parse(text(&request, header::SESSION)).expect("a session");
                self.server.cancel(id, PRINCIPAL);
                self.server.disconnect(id, PRINCIPAL);
                Ok(Answer::new(204))
            }
            _ => self.object(&request).await,
        };
        let answer = answer.unwrap_or_else(|error| match error {
            SessionError::Unknown => Answer::error(404, "NoSuchRdmaSession"),
            SessionError::Busy(_) => Answer::error(503, "SlowDown"),
            SessionError::Deadline => Answer::error(408, "RequestTimeout"),
            SessionError::PeerBusy => Answer::error(409, "RdmaPeerBusy"),
            other => panic!("{other}"),
        });
        if !answer.body.is_empty() {
            body.accept(&answer.head, &answer.body).map_err(|_| ControlError::BodyRefused)?;
        }
        Ok(answer.head)
    }
}

fn text<'a>(request: &'a ControlRequest, name: &str) -> &'a str {
    value(request, name).unwrap_or_else(|| panic!("{name} is missing"))
}

fn window(request: &ControlRequest, size: u64) -> crate::fabric::RemoteWindow {
    crate::fabric::RemoteWindow {
        address: parse_bare_hex(text(request, header::MR_ADDR)).expect("an address"),
        size,
        rkey: parse_rkey(text(request, header::MR_RKEY)).expect("a key"),
    }
}

impl Door {
    fn source(&self, bytes: &[u8]) -> Source {
        let lent = Buffer::adopt(&*self.fabric, bytes.into()).expect("memory").lend();
        let pieces = (0..lent.len()).step_by(PIECE_BYTES);
        Source(pieces.map(|at| lent.slice(at..lent.len().min(at + PIECE_BYTES))).collect())
    }

    async fn prepare(&self, request: &ControlRequest) -> Result<Answer, SessionError> {
        let operation = Operation::parse(text(request, header::OP)).expect("an operation");
        let order = Order {
            operation,
            target: text(request, header::TARGET).into(),
            size: text(request, header::SIZE).parse().expect("a size"),
            offset: text(request, header::OFFSET).parse().expect("an offset"),
            entity_tag: None,
        };
        let prepare = Prepare {
            principal: PRINCIPAL.into(),
            token: RcToken::parse(text(request, header::TOKEN)).expect("a token"),
            psn: parse_psn(text(request, header::PSN)).expect("a PSN"),
            cookie: Cookie::parse(text(request, header::COOKIE)).expect("a cookie"),
            order,
        };
        let prepared = self.lane.prepare(prepare).await?;
        let mut answer = Answer::new(200);
        answer.set(header::PROTOCOL, header::PROTOCOL_HIPOBJ);
        answer.set(header::REPLY, ReplyCode::Prepared(prepared.token));
        answer.set(header::SESSION, prepared.session);
        answer.set(header::PSN, display_psn(prepared.psn));
        answer.set(header::QPN, format_args!("{:x}", prepared.qpn.number()));
        if let Some(staging) = prepared.staging {
            answer.set(header::MR_ADDR, format_args!("{:x}", staging.address));
            answer.set(header::MR_RKEY, format_args!("{:x}", staging.rkey));
            answer.set(header::CAPABILITIES, "armed");
        }
        self.lane.answered(prepared.session);
        Ok(answer)
    }

    async fn ready(&self, request: &ControlRequest) -> Result<Answer, SessionError> {
        let id = SessionId::parse(text(request, header::SESSION)).expect("a session");
        let cookie = Cookie::parse(text(request, header::COOKIE)).expect("a cookie");
        let claim = self.server.claim(id, cookie, PRINCIPAL)?;
        let watch = claim.watch();
        let order = Arc::clone(claim.order());
        let ready = ReadyHeaders {
            qpn: parse_qpn(text(request, header::QPN)).expect("a number"),
            window: (order.operation == Operation::Get).then(|| window(request, order.size)),
            checksum: ChecksumAlgorithm::Crc64Nvme,
        };
        let transfer = self.lane.begin(claim, ready).await?;
        let mut answer = Answer::new(200);
        let bytes = match order.operation {
            Operation::Get => {
                let object = self.objects.borrow()[&*order.target].clone();
                let from = order.offset as usize;
                let range = object[from..from + order.size as usize].to_vec();
                self.send(transfer, &range, &mut answer).await;
                range
            }
            Operation::Put => self.receive(transfer, &order.target).await,
        };
        answer.set(header::PROTOCOL, header::PROTOCOL_HIPOBJ);
        answer.set(header::COOKIE, cookie);
        answer.set(header::BYTES_TRANSFERRED, bytes.len());
        answer.set(header::ETAG, entity_tag(&bytes));
        drop(watch);
        Ok(answer)
    }

    async fn send(&self, mut transfer: Transfer, bytes: &[u8], answer: &mut Answer) {
        let delivered = transfer.send(self.source(bytes)).await.expect("sent");
        assert_eq!(delivered.bytes, bytes.len() as u64);
        let _settled = transfer.settle(Settlement::Succeeded).await;
        answer.set(header::BYTES_TRANSFERRED, delivered.bytes);
        answer.set(delivered.checksum.header(), delivered.checksum);
    }

    async fn receive(&self, mut transfer: Transfer, target: &str) -> Vec<u8> {
        let wanted = transfer.size() as usize;
        let mut sink = Sink { arena: &self.arena, wanted, bytes: Vec::new() };
        let received = transfer.receive(&mut sink).await.expect("received");
        assert_eq!(received.bytes, wanted as u64);
        let _settled = transfer.settle(Settlement::Succeeded).await;
        self.objects.borrow_mut().insert(target.to_owned(), sink.bytes.clone());
        sink.bytes
    }

    fn connect(&self, request: &ControlRequest) -> Result<Answer, SessionError> {
        let connected = self.lane.connect(Connect {
            principal: PRINCIPAL.into(),
            token: RcToken::parse(text(request, header::TOKEN)).expect("a token"),
            psn: parse_psn(text(request, header::PSN)).expect("a PSN"),
        })?;
        let mut answer = Answer::new(200);
        answer.set(header::SESSION, connected.connection);
        answer.set(header::REPLY, ReplyCode::Prepared(connected.token));
        answer.set(header::PSN, display_psn(connected.psn));
        Ok(answer)
    }

    async fn object(&self, request: &ControlRequest) -> Result<Answer, SessionError> {
        let PooledToken { connection, window } =
            PooledToken::parse(text(request, header::TOKEN)).expect("a pooled token");
        let claim = self.server.connection(connection, PRINCIPAL)?;
        let watch = claim.watch();
        let is_get = request.method == Method::Get;
        let operation = if is_get { Operation::Get } else { Operation::Put };
        let checksum = ChecksumAlgorithm::Crc64Nvme;
        let transfer = self.lane.acquire(claim, window, operation, checksum).await?;
        let mut answer = Answer::new(200);
        answer.set(header::REPLY, 200);
        let bytes = match operation {
            Operation::Get => {
                let object = self.objects.borrow()[&request.target].clone();
                self.send(transfer, &object, &mut answer).await;
                object
            }
            Operation::Put => {
                let bytes = self.receive(transfer, &request.target).await;
                answer.set(header::BYTES_TRANSFERRED, bytes.len());
                bytes
            }
        };
        answer.set("etag", entity_tag(&bytes));
        drop(watch);
        Ok(answer)
    }
}

/// Runs a test between the two halves; afterwards neither has a queue pair, a session or a connection.
fn run_both(test: impl AsyncFnOnce(&Door, &Bench)) {
    run(async |bench| {
        let fabric = Arc::clone(bench.server.fabric());
        let server = crate::server::Server::new(Arc::clone(&fabric), Settings::default(), 1);
        let lane = LaneServer::open(&server, 0).expect("a lane");
        let arena = bench.server.arena().clone();
        let objects = RefCell::default();
        let door = Door { fabric, arena, server, lane, objects };
        test(&door, bench).await;
        door.lane.close().await;
        let stats = door.server.stats();
        assert_eq!((stats.sessions, stats.connections, stats.queue_pairs), (0, 0, 0));
    });
}

/// Around the sizes of pieces and of requests.
const SIZES: [usize; 6] = [1, 4096, 65_535, 65_537, 300_001, 1 << 20];

#[test]
fn sessions() {
    run_both(async |door, bench| {
        for bytes in SIZES {
            let object = contents(bytes);
            let put = Put::object("b", "k", bytes as u64);
            let done = bench.client.put(door, &put, bench.filled(&object)).await.expect("stored");
            assert_eq!((done.outcome.path, done.outcome.retries), (Path::Rdma, 0));
            assert_eq!(door.objects.borrow()["/b/k"], object);
            let memory = bench.memory(bytes + 7);
            let get = Get::object("b", "k").range(0, bytes as u64);
            let done = bench.client.get(door, &get, memory).await.expect("delivered");
            assert_eq!(&done.memory.as_slice()[..bytes], object);
            assert_eq!(&done.memory.as_slice()[bytes..], [0xee; 7]);
            assert_eq!(done.outcome.bytes, bytes as u64);
        }
        let odd = Get::object("b", "k").range(12_345, 99_991);
        let done = bench.client.get(door, &odd, bench.memory(99_991)).await.expect("delivered");
        assert_eq!(done.memory.as_slice(), &contents(1 << 20)[12_345..12_345 + 99_991]);
        assert_eq!(done.outcome.checksum, Verification::Verified);
    });
}

#[test]
fn a_pool() {
    run_both(async |door, bench| {
        let pool = bench.client.connect(door).await.expect("connected");
        for bytes in SIZES {
            let object = contents(bytes);
            let put = Put::object("b", "k", bytes as u64);
            let done = pool.put(door, &put, bench.filled(&object)).await.expect("stored");
            assert_eq!(door.objects.borrow()["/b/k"], object);
            let mut memory = done.memory;
            memory.as_mut_slice().expect("not lent").fill(0);
            let done = pool.get(door, &Get::object("b", "k"), memory).await.expect("delivered");
            assert_eq!(done.memory.as_slice(), object);
            assert_eq!(done.outcome.checksum, Verification::Verified);
        }
        assert_eq!(door.server.stats().connections, 1, "one for all of them");
        // A connection that was ended behind our back is made again.
        door.server.disconnect(pool.idle_ids()[0], PRINCIPAL);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let get = Get::object("b", "k");
        let done = pool.get(door, &get, bench.memory(1 << 20)).await.expect("delivered");
        assert_eq!((done.outcome.path, done.outcome.retries), (Path::Rdma, 1));
        pool.disconnect(door).await;
    });
}

#[test]
fn an_operation_that_is_dropped_at_any_step_leaves_nothing_on_either_side() {
    run_both(async |door, bench| {
        door.objects.borrow_mut().insert("/b/k".to_owned(), contents(100_000));
        let get = Get::object("b", "k").range(0, 100_000);
        let mut ended = 0;
        for steps in 1..40 {
            let asking = bench.client.get(door, &get, bench.memory(100_000));
            let mut asking = std::pin::pin!(asking);
            let mut polled = 0;
            let dropped = std::future::poll_fn(|context| {
                polled += 1;
                match asking.as_mut().poll(context) {
                    Poll::Ready(result) => Poll::Ready(result.map(|_| false).unwrap_or(true)),
                    Poll::Pending if polled < steps => Poll::Pending,
                    Poll::Pending => Poll::Ready(true),
                }
            });
            ended += u32::from(!dropped.await);
        }
        assert!((1..39).contains(&ended), "{ended} were not dropped");
        // What was dropped before READY waits for it in vain, and not for long.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let stats = door.server.stats();
        assert_eq!((stats.sessions, stats.queue_pairs, stats.transfers_active), (0, 0, 0));
    });
}
