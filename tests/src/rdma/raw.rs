//! Owns: a client of hipobj-rc-v2 whose steps are the test's to take, to repeat, to spoil or to leave
//! out. It waits for nothing, checks nothing and cleans nothing up by itself.

use std::io;

use bytes::Bytes;
use rdma::fabric::{
    Completion, Connected, Connection, Initialised, Peer, Psn, Qpn, QueuePair, QueuePairOptions,
    QueuePairShape, RemoteAccess, RemoteWindow, Work,
};
use rdma::wire::{Cookie, Operation, RcToken, ReplyCode, parse_bare_hex, parse_psn, parse_rkey};

use super::exchange::{Asker, Pending};
use super::host::Host;
use crate::http::Response;
use crate::sign::Request;

/// Name and value of the header that all three requests have.
const PROTOCOL: (&str, &str) = ("x-amz-rdma-protocol", "hipobj-rc-v2");

/// Work requests and receives that a queue pair of these clients holds.
const DEPTH: u32 = 64;

/// What a session is for.
#[derive(Debug, Clone)]
pub struct Order {
    /// `GET` or `PUT`.
    pub operation: Operation,
    /// As it is sent: `/bucket/key`.
    pub target: String,
    /// Bytes.
    pub size: u64,
    /// Of the object's first byte.
    pub offset: u64,
}

impl Order {
    /// The first bytes of an object.
    pub fn get(target: &str, size: u64) -> Self {
        Self { operation: Operation::Get, target: target.to_owned(), size, offset: 0 }
    }

    /// A new object.
    pub fn put(target: &str, size: u64) -> Self {
        Self { operation: Operation::Put, ..Self::get(target, size) }
    }
}

/// Such a client.
#[derive(Debug, Clone)]
pub struct Raw {
    /// Its machine.
    pub host: Host,
    /// Its HTTP.
    pub asker: Asker,
}

/// A session that was prepared; its queue pair is connected.
pub struct RawSession {
    /// As the server named it.
    pub id: String,
    /// This side's queue pair.
    pub pair: QueuePair<Connected>,
    /// What the immediate must be.
    pub cookie: Cookie,
    /// Of a PUT: where to.
    pub staging: Option<RemoteWindow>,
    /// The answer to PREPARE.
    pub answer: Response,
    asker: Asker,
}

impl Raw {
    /// A queue pair in state INIT.
    ///
    /// # Panics
    /// When the device has no more.
    pub fn pair(&self, access: RemoteAccess) -> QueuePair<Initialised> {
        let shape = QueuePairShape { send_depth: DEPTH, receive_depth: DEPTH };
        self.host.endpoint.queue_pair(&QueuePairOptions { shape, access }).expect("a queue pair")
    }

    /// The token of a queue pair here.
    pub fn token<S>(&self, pair: &QueuePair<S>) -> RcToken {
        let facts = self.host.fabric.facts();
        RcToken::identity(pair.number(), facts.gid, facts.port, facts.lid)
    }

    /// Connects a queue pair to the one of a reply's token.
    ///
    /// # Panics
    /// When the device refuses.
    pub fn connect(
        &self,
        pair: QueuePair<Initialised>,
        ours: Psn,
        token: &RcToken,
        theirs: Psn,
    ) -> QueuePair<Connected> {
        let qpn = Qpn::new(token.qpn).expect("the server names a queue pair");
        let peer = Peer { qpn, gid: token.gid, lid: token.lid, psn: theirs };
        let fabric = &self.host.fabric;
        let local = fabric.local_gid(peer.gid).expect("an address of the server's family");
        let path_mtu = fabric.facts().path_mtu;
        pair.connect(&Connection { peer, local, psn: ours, path_mtu }).expect("connected")
    }

    /// PREPARE as it should be, on a queue pair of this client's.
    pub fn prepare_request<S>(
        &self,
        order: &Order,
        pair: &QueuePair<S>,
        cookie: Cookie,
    ) -> Request {
        let offset = order.offset.to_string();
        let size = order.size.to_string();
        self.asker
            .request("POST", "/.hipobj-rc/prepare")
            .header(PROTOCOL.0, PROTOCOL.1)
            .header("x-amz-rdma-token", &self.token(pair).to_string())
            .header("x-amz-rdma-psn", "00abcd")
            .header("x-amz-rdma-cookie", &cookie.to_string())
            .header("x-amz-rdma-op", &order.operation.to_string())
            .header("x-amz-rdma-target", &order.target)
            .header("x-amz-rdma-size", &size)
            .header("x-amz-rdma-offset", &offset)
            .header("x-amz-rdma-qpn", &format!("{:x}", pair.number().number()))
    }

    /// Prepares a session and connects its queue pair. No receive is posted yet.
    ///
    /// # Errors
    /// The answer, when it is not 200.
    ///
    /// # Panics
    /// When the answer is not as the protocol has it.
    pub fn prepare(&self, order: &Order) -> Result<RawSession, Response> {
        let access = match order.operation {
            Operation::Get => RemoteAccess::Write,
            Operation::Put => RemoteAccess::None,
        };
        let pair = self.pair(access);
        let cookie = Cookie::random().expect("random numbers");
        let request = self.prepare_request(order, &pair, cookie);
        let answer = self.asker.ask(request).expect("PREPARE is answered");
        if answer.status != 200 {
            return Err(answer);
        }
        let header = |name| answer.header(name).unwrap_or_else(|| panic!("no {name}: {answer:?}"));
        let reply = ReplyCode::parse(header("x-amz-rdma-reply")).expect("a reply");
        let ReplyCode::Prepared(token) = reply else { panic!("no token: {answer:?}") };
        let theirs = parse_psn(header("x-amz-rdma-psn")).expect("a PSN");
        let ours = parse_psn("00abcd").expect("a PSN");
        let staging = answer.header("x-amz-rdma-mr-addr").map(|address| RemoteWindow {
            address: parse_bare_hex(address).expect("an address"),
            size: order.size,
            rkey: parse_rkey(header("x-amz-rdma-mr-rkey")).expect("a key"),
        });
        let id = header("x-amz-rdma-session").to_owned();
        let pair = self.connect(pair, ours, &token, theirs);
        let asker = self.asker.clone();
        Ok(RawSession { id, pair, cookie, staging, answer, asker })
    }
}

impl RawSession {
    /// READY, signed by somebody; a GET names its memory.
    pub fn ready_request(&self, asker: &Asker, window: Option<RemoteWindow>) -> Request {
        let request = asker
            .request("POST", "/.hipobj-rc/ready")
            .header(PROTOCOL.0, PROTOCOL.1)
            .header("x-amz-rdma-session", &self.id)
            .header("x-amz-rdma-cookie", &self.cookie.to_string())
            .header("x-amz-rdma-qpn", &format!("{:x}", self.pair.number().number()));
        match window {
            None => request,
            Some(window) => request
                .header("x-amz-rdma-mr-addr", &format!("{:x}", window.address))
                .header("x-amz-rdma-mr-rkey", &format!("{:x}", window.rkey)),
        }
    }

    /// Sends READY.
    ///
    /// # Panics
    /// When there is no connection to be had.
    pub fn ready(&self, window: Option<RemoteWindow>) -> Pending {
        let request = self.ready_request(&self.asker, window);
        self.asker.start(request).expect("READY can be sent")
    }

    /// Sends READY as somebody else, and waits for the answer.
    ///
    /// # Errors
    /// No answer.
    pub fn ready_as(&self, other: &Asker, window: Option<RemoteWindow>) -> io::Result<Response> {
        other.ask(self.ready_request(other, window))
    }

    /// CANCEL.
    ///
    /// # Errors
    /// No answer.
    pub fn cancel(&self) -> io::Result<Response> {
        let request = self
            .asker
            .request("POST", "/.hipobj-rc/cancel")
            .header(PROTOCOL.0, PROTOCOL.1)
            .header("x-amz-rdma-session", &self.id);
        self.asker.ask(request)
    }

    /// Writes to the start of the session's memory, with an immediate or without.
    ///
    /// # Panics
    /// When it cannot be posted.
    pub fn write(&self, source: Bytes, immediate: Option<u32>) {
        let to = self.staging.expect("a session of a PUT");
        self.write_to(source, to, immediate);
    }

    /// Writes anywhere.
    ///
    /// # Panics
    /// When it cannot be posted.
    pub fn write_to(&self, source: Bytes, to: RemoteWindow, immediate: Option<u32>) {
        let posted = self.pair.post(Work::Write { source, to, immediate }, true);
        posted.map_err(|(error, _)| error).expect("posted");
    }

    /// The next completion.
    ///
    /// # Panics
    /// When the completion queue has failed.
    pub async fn completion(&self) -> Completion {
        self.pair.completion().await.expect("a completion")
    }
}

impl std::fmt::Debug for RawSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawSession").field("id", &self.id).finish_non_exhaustive()
    }
}
