//! Owns a server for tests: both RDMA protocols with queue pairs of its own, and just enough of S3. Honest, but for
//! what a test makes of its answers ([`Server::before`], [`Server::after`]) and for a few lies that need its queue
//! pairs (the public cells).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use datapath::arena::{Arena, Share};

use super::super::{AnswerBody, AnswerHead, Control, ControlError, ControlRequest, Method};
use crate::fabric::{
    Buffer, Completion, Connected, Connection, Endpoint, Fabric, Initialised, Payload, Peer, Psn,
    QueuePair, QueuePairOptions, QueuePairShape, RemoteAccess, RemoteWindow, Window, Work,
    WorkStatus,
};
use crate::wire::{
    Cookie, Crc64Nvme, PooledToken, RcToken, ReplyCode, SessionId, display_psn, header,
    parse_bare_hex, parse_psn, parse_qpn, parse_rkey, random_psn, route,
};

/// A whole answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) head: AnswerHead,
    pub(super) body: Vec<u8>,
}

/// What a client gets.
pub(super) enum Reply {
    Answer(Answer),
    /// The connection breaks instead of an answer.
    Lost,
    /// It broke before the request was sent.
    NotSent,
    /// Nothing, ever.
    Never,
    /// An answer, later.
    After(Duration, Answer),
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Reply {
        Reply::Answer(answer)
    }
}

impl Answer {
    pub(super) fn new(status: u16) -> Answer {
        Answer { head: AnswerHead { status, headers: Vec::new() }, body: Vec::new() }
    }

    pub(super) fn error(status: u16, code: &str) -> Answer {
        let mut answer = Answer::new(status);
        answer.body = format!("<Error><Code>{code}</Code></Error>").into_bytes();
        answer
    }

    /// Sets a header, in place of what it was.
    pub(super) fn set(&mut self, name: &str, value: impl ToString) {
        self.unset(name);
        self.head.headers.push((name.to_owned(), value.to_string()));
    }

    pub(super) fn unset(&mut self, name: &str) {
        self.head.headers.retain(|(found, _)| found != name);
    }

    fn with(mut self, name: &str, value: impl ToString) -> Answer {
        self.set(name, value);
        self
    }
}

/// How tokens on objects are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tokens {
    Taken,
    /// Success with reply 501.
    DeclinedByReply,
    /// HTTP status 501 with reply 501, on GET too.
    DeclinedByStatus,
    /// Not seen; a body-less PUT stores 0 bytes, whatever its checksum says.
    Unknown,
    /// Not seen; checksums are looked at.
    UnknownButHonest,
}

type Before = Box<dyn FnMut(&ControlRequest) -> Option<Reply>>;
type After = Box<dyn FnMut(&ControlRequest, Answer) -> Reply>;

pub(super) struct Server {
    fabric: Arc<dyn Fabric>,
    endpoint: Endpoint,
    arena: Arena,
    /// By target, query included.
    pub(super) objects: RefCell<HashMap<String, Vec<u8>>>,
    sessions: RefCell<HashMap<SessionId, Session>>,
    lines: RefCell<HashMap<SessionId, Rc<QueuePair<Connected>>>>,
    pub(super) seen: RefCell<Vec<ControlRequest>>,
    before: RefCell<Option<Before>>,
    after: RefCell<Option<After>>,
    pub(super) tokens: Cell<Tokens>,
    /// Says `armed`.
    pub(super) armed: Cell<bool>,
    /// Added to the immediate of a GET.
    pub(super) immediate_off: Cell<u32>,
    /// Bytes of a GET that are not written although they are promised.
    pub(super) short: Cell<usize>,
    /// READYs that are answered as if the client could not be reached, after two seconds.
    pub(super) unreachable: Cell<u32>,
}

struct Session {
    pair: QueuePair<Initialised>,
    peer: Peer,
    psn: Psn,
    cookie: Cookie,
    size: usize,
    offset: usize,
    target: String,
    /// Of a PUT.
    staging: Option<Window>,
}

impl Control for Server {
    async fn exchange(
        &self,
        request: ControlRequest,
        body: &mut dyn AnswerBody,
    ) -> Result<AnswerHead, ControlError> {
        for (at, (name, _)) in request.headers.iter().enumerate() {
            assert!(!request.headers[..at].iter().any(|(other, _)| other == name), "{name} twice");
            assert_eq!(name.to_ascii_lowercase(), *name);
        }
        // Without its body: that is the caller's memory.
        let seen = ControlRequest { body: bytes::Bytes::new(), ..request.clone() };
        self.seen.borrow_mut().push(seen);
        let before = self.before.borrow_mut().as_mut().and_then(|before| before(&request));
        let reply = match before {
            Some(reply) => reply,
            None => {
                let answer = self.honest(&request).await;
                match self.after.borrow_mut().as_mut() {
                    Some(after) => after(&request, answer),
                    None => answer.into(),
                }
            }
        };
        let answer = match reply {
            Reply::Answer(answer) => answer,
            Reply::Lost => return Err(ControlError::Lost("a test".to_owned())),
            Reply::NotSent => return Err(ControlError::NotSent("a test".to_owned())),
            Reply::Never => return std::future::pending().await,
            Reply::After(time, answer) => {
                tokio::time::sleep(time).await;
                answer
            }
        };
        for piece in answer.body.chunks(1000) {
            body.accept(&answer.head, piece).map_err(|_| ControlError::BodyRefused)?;
        }
        Ok(answer.head)
    }
}

impl Server {
    pub(super) fn new(fabric: &Arc<dyn Fabric>, arena: Arena) -> Server {
        Server {
            fabric: Arc::clone(fabric),
            endpoint: Endpoint::open(fabric).expect("an endpoint"),
            arena,
            objects: RefCell::default(),
            sessions: RefCell::default(),
            lines: RefCell::default(),
            seen: RefCell::default(),
            before: RefCell::default(),
            after: RefCell::default(),
            tokens: Cell::new(Tokens::Taken),
            armed: Cell::new(false),
            immediate_off: Cell::new(0),
            short: Cell::new(0),
            unreachable: Cell::new(0),
        }
    }

    pub(super) fn fabric(&self) -> &Arc<dyn Fabric> {
        &self.fabric
    }

    pub(super) fn arena(&self) -> &Arena {
        &self.arena
    }

    /// What comes in place of the server's own work, where it is something.
    pub(super) fn before(&self, before: impl FnMut(&ControlRequest) -> Option<Reply> + 'static) {
        *self.before.borrow_mut() = Some(Box::new(before));
    }

    /// What becomes of the server's own answers.
    pub(super) fn after(&self, after: impl FnMut(&ControlRequest, Answer) -> Reply + 'static) {
        *self.after.borrow_mut() = Some(Box::new(after));
    }

    pub(super) fn put(&self, target: &str, contents: &[u8]) {
        self.objects.borrow_mut().insert(target.to_owned(), contents.to_vec());
    }

    pub(super) fn stored(&self, target: &str) -> Option<Vec<u8>> {
        self.objects.borrow().get(target).cloned()
    }

    /// Method and path of what was asked, in its order.
    pub(super) fn asked(&self) -> Vec<String> {
        let seen = self.seen.borrow();
        seen.iter().map(|seen| format!("{} {}", seen.method.as_str(), seen.target)).collect()
    }

    pub(super) fn times(&self, path: &str) -> usize {
        self.seen.borrow().iter().filter(|seen| seen.target == path).count()
    }

    pub(super) fn live_sessions(&self) -> usize {
        self.sessions.borrow().len()
    }

    pub(super) fn live_lines(&self) -> usize {
        self.lines.borrow().len()
    }

    /// Forgets all pooled connections, as after a restart.
    pub(super) fn restart(&self) {
        self.lines.borrow_mut().clear();
    }

    /// The last pooled token that was seen.
    pub(super) fn last_token(&self) -> PooledToken {
        let seen = self.seen.borrow();
        let token = seen.iter().rev().find_map(|seen| {
            value(seen, header::TOKEN).and_then(|token| PooledToken::parse(token).ok())
        });
        token.expect("a pooled token was seen")
    }

    /// The last key of a session's that was seen.
    pub(super) fn last_key(&self) -> u32 {
        let seen = self.seen.borrow();
        let key = seen.iter().rev().find_map(|seen| value(seen, header::MR_RKEY));
        parse_rkey(key.expect("a key was seen")).expect("good")
    }

    /// Writes into the window through every connection that is left; what became of each.
    pub(super) async fn write_late(&self, to: RemoteWindow) -> Vec<WorkStatus> {
        let lines: Vec<_> = self.lines.borrow().values().cloned().collect();
        let mut found = Vec::new();
        for line in lines {
            let source = self.filled(&vec![0xbad_u32 as u8; to.size as usize]).lend();
            found.push(write(&line, source, to, None).await.status);
        }
        found
    }

    fn filled(&self, contents: &[u8]) -> Buffer {
        Buffer::adopt(&*self.fabric, contents.into()).expect("memory")
    }

    async fn honest(&self, request: &ControlRequest) -> Answer {
        match request.target.as_str() {
            route::PREPARE => self.prepare(request),
            route::READY => self.ready(request).await,
            route::CANCEL => {
                self.sessions.borrow_mut().remove(&session_of(request));
                Answer::new(204)
            }
            route::CONNECT => self.connect(request),
            route::DISCONNECT => {
                self.lines.borrow_mut().remove(&session_of(request));
                Answer::new(204)
            }
            _ => self.object(request).await,
        }
    }

    fn pair(&self, access: RemoteAccess) -> QueuePair<Initialised> {
        let shape = QueuePairShape { send_depth: 4, receive_depth: 1 };
        self.endpoint.queue_pair(&QueuePairOptions { shape, access }).expect("a queue pair")
    }

    fn prepare(&self, request: &ControlRequest) -> Answer {
        let text = |name| value(request, name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(text(header::PROTOCOL), header::PROTOCOL_HIPOBJ);
        assert!(!request.fresh_connection || request.method == Method::Post);
        let token = RcToken::parse(text(header::TOKEN)).expect("a token");
        assert_eq!(token.queue_pair(), parse_qpn(text(header::QPN)));
        assert!(parse_bare_hex(text(header::MR_ADDR)).is_ok_and(|address| address > 0));
        assert!(parse_rkey(text(header::MR_RKEY)).is_ok_and(|key| key > 0));
        let number = |name| text(name).parse::<usize>().expect("a number");
        let (size, offset) = (number(header::SIZE), number(header::OFFSET));
        let target = text(header::TARGET).to_owned();
        let is_put = text(header::OP) == "PUT";
        if !is_put {
            match self.objects.borrow().get(&target) {
                None => return Answer::error(404, "NoSuchKey"),
                Some(object) if offset + size > object.len() => {
                    return Answer::error(416, "InvalidRange");
                }
                Some(_) => {}
            }
        }
        let pair = self.pair(if is_put { RemoteAccess::Write } else { RemoteAccess::None });
        let qpn = token.queue_pair().expect("a queue pair");
        let peer = Peer {
            qpn,
            gid: token.gid,
            lid: token.lid,
            psn: parse_psn(text(header::PSN)).expect("a PSN"),
        };
        let session = SessionId::random().expect("random bits");
        let psn = random_psn().expect("random bits");
        let facts = self.fabric.facts();
        let mut token = RcToken::identity(pair.number(), facts.gid, facts.port, facts.lid);
        let mut answer = Answer::new(200)
            .with(header::PROTOCOL, header::PROTOCOL_HIPOBJ)
            .with(header::SESSION, session)
            .with(header::PSN, display_psn(psn))
            .with(header::QPN, format_args!("{:x}", pair.number().number()));
        let staging = is_put.then(|| {
            pair.post_receive().expect("room");
            let staging = Buffer::allocate(&*self.fabric, size).expect("memory");
            staging.expose(RemoteAccess::Write).expect("registered")
        });
        if let Some(staging) = &staging {
            let window = staging.remote();
            token = token.with_window(window);
            answer.set(header::MR_ADDR, format_args!("{:x}", window.address));
            answer.set(header::MR_RKEY, format_args!("{:x}", window.rkey));
        }
        answer.set(header::REPLY, ReplyCode::Prepared(token));
        if self.armed.get() {
            answer.set(header::CAPABILITIES, "mp,armed");
        }
        let cookie = Cookie::parse(text(header::COOKIE)).expect("a cookie");
        let kept = Session { pair, peer, psn, cookie, size, offset, target, staging };
        self.sessions.borrow_mut().insert(session, kept);
        answer
    }

    async fn ready(&self, request: &ControlRequest) -> Answer {
        assert!(request.fresh_connection);
        if self.unreachable.get() > 0 {
            self.unreachable.set(self.unreachable.get() - 1);
            tokio::time::sleep(Duration::from_secs(2)).await;
            return Answer::error(409, "RdmaPeerBusy");
        }
        let Some(session) = self.sessions.borrow_mut().remove(&session_of(request)) else {
            return Answer::error(404, "NoSuchRdmaSession");
        };
        let Session { pair, peer, psn, cookie, size, offset, target, staging } = session;
        assert_eq!(value(request, header::COOKIE), Some(cookie.to_string().as_str()));
        let pair = pair.connect(&self.connection(peer, psn)).expect("connected");
        let bytes = match staging {
            Some(staging) => {
                let completion = pair.completion().await.expect("a completion");
                let _ = pair.fence().await;
                let good = completion.status == WorkStatus::Success
                    && completion.immediate == Some(cookie.number())
                    && completion.bytes as usize == size;
                if !good {
                    return Answer::error(500, "RDMATransferFailed");
                }
                let bytes = staging.reclaim().as_slice().to_vec();
                self.put(&target, &bytes);
                bytes
            }
            None => {
                let bytes =
                    self.stored(&target).expect("was there")[offset..offset + size].to_vec();
                let key = parse_rkey(value(request, header::MR_RKEY).expect("a key"));
                let address = parse_bare_hex(value(request, header::MR_ADDR).expect("an address"));
                let to = RemoteWindow {
                    address: address.expect("an address"),
                    size: size as u64,
                    rkey: key.expect("a key"),
                };
                let immediate = cookie.number().wrapping_add(self.immediate_off.get());
                let source = self.filled(&bytes).lend();
                let source = source.slice(..size - self.short.get());
                let completion = write(&pair, source, to, Some(immediate)).await;
                let _ = pair.fence().await;
                if completion.status != WorkStatus::Success {
                    return Answer::error(500, "RDMATransferFailed");
                }
                bytes
            }
        };
        Answer::new(200)
            .with(header::PROTOCOL, header::PROTOCOL_HIPOBJ)
            .with(header::COOKIE, cookie)
            .with(header::BYTES_TRANSFERRED, size)
            .with(header::ETAG, entity_tag(&bytes))
            .with(header::VERSION_ID, "v7")
            .with(header::CHECKSUM, Crc64Nvme::of(&bytes).named())
    }

    fn connection(&self, peer: Peer, psn: Psn) -> Connection {
        let facts = self.fabric.facts();
        Connection { peer, local: facts.gid, psn, path_mtu: facts.path_mtu }
    }

    fn connect(&self, request: &ControlRequest) -> Answer {
        let token = RcToken::parse(value(request, header::TOKEN).expect("a token")).expect("good");
        let psn = parse_psn(value(request, header::PSN).expect("a PSN")).expect("good");
        let peer = Peer {
            qpn: token.queue_pair().expect("a queue pair"),
            gid: token.gid,
            lid: token.lid,
            psn,
        };
        let pair = self.pair(RemoteAccess::None);
        let psn = random_psn().expect("random bits");
        let facts = self.fabric.facts();
        let token = RcToken::identity(pair.number(), facts.gid, facts.port, facts.lid);
        let pair = pair.connect(&self.connection(peer, psn)).expect("connected");
        let id = SessionId::random().expect("random bits");
        self.lines.borrow_mut().insert(id, Rc::new(pair));
        Answer::new(200)
            .with(header::SESSION, id)
            .with(header::REPLY, ReplyCode::Prepared(token))
            .with(header::PSN, display_psn(psn))
    }

    async fn object(&self, request: &ControlRequest) -> Answer {
        let token = value(request, header::TOKEN)
            .map(|token| PooledToken::parse(token).expect("a pooled token"))
            .filter(|_| request.method != Method::Head);
        let xml = |status, code| Answer::error(status, code).with(header::REPLY, 501);
        match (self.tokens.get(), request.method, token) {
            (_, _, None) => self.plain(request, true),
            (Tokens::Taken, Method::Get, Some(token)) => self.get(request, token).await,
            (Tokens::Taken, _, Some(token)) => self.read(request, token).await,
            (Tokens::DeclinedByReply, Method::Get, _) => {
                self.plain(request, true).with(header::REPLY, 501)
            }
            (Tokens::DeclinedByReply, ..) => xml(200, "RDMANotSupported"),
            (Tokens::DeclinedByStatus, ..) => xml(501, "NotImplemented"),
            (Tokens::Unknown, ..) => self.plain(request, false),
            (Tokens::UnknownButHonest, ..) => self.plain(request, true),
        }
    }

    /// The range of an object that is asked for, with the head of its answer.
    fn look(&self, request: &ControlRequest) -> Result<(Answer, Vec<u8>), Answer> {
        let object = self.stored(&request.target).ok_or_else(|| Answer::error(404, "NoSuchKey"))?;
        let answer = Answer::new(200).with("etag", entity_tag(&object));
        let Some(range) = value(request, "range") else { return Ok((answer, object)) };
        let (first, last) = range
            .strip_prefix("bytes=")
            .and_then(|range| range.split_once('-'))
            .map(|(first, last)| (first.parse::<usize>(), last.parse::<usize>()))
            .expect("a range");
        let (first, last) = (first.expect("a number"), last.expect("a number"));
        if first >= object.len() {
            return Err(Answer::error(416, "InvalidRange"));
        }
        let last = last.min(object.len() - 1);
        let mut answer =
            answer.with("content-range", format_args!("bytes {first}-{last}/{}", object.len()));
        answer.head.status = 206;
        Ok((answer, object[first..=last].to_vec()))
    }

    fn plain(&self, request: &ControlRequest, honest: bool) -> Answer {
        match request.method {
            Method::Head if request.target.matches('/').count() == 1 => Answer::new(200),
            Method::Get | Method::Head => match self.look(request) {
                Err(answer) => answer,
                Ok((answer, bytes)) => {
                    let mut answer = answer.with("content-length", bytes.len());
                    if request.method == Method::Get {
                        if value(request, "x-amz-checksum-mode") == Some("ENABLED") {
                            answer.set("x-amz-checksum-crc64nvme", Crc64Nvme::of(&bytes));
                        }
                        answer.body = bytes;
                    }
                    answer
                }
            },
            Method::Delete => Answer::new(405),
            Method::Put => self.store(request, &request.body, honest),
            Method::Post => Answer::error(405, "MethodNotAllowed"),
        }
    }

    fn store(&self, request: &ControlRequest, bytes: &[u8], honest: bool) -> Answer {
        let current = self.stored(&request.target).map(|object| entity_tag(&object));
        let fails = match (value(request, "if-none-match"), value(request, "if-match")) {
            (Some("*"), None) => current.is_some(),
            (None, Some(tag)) => current.as_deref() != Some(tag),
            (None, None) => false,
            other => panic!("conditions {other:?}"),
        };
        if fails {
            return Answer::error(412, "PreconditionFailed");
        }
        let checksum = value(request, "x-amz-checksum-crc64nvme").expect("always sent");
        if honest && checksum != Crc64Nvme::of(bytes).to_string() {
            return Answer::error(400, "BadDigest");
        }
        self.put(&request.target, bytes);
        Answer::new(200).with("etag", entity_tag(bytes)).with("x-amz-version-id", "v8")
    }

    fn line(&self, token: PooledToken) -> Result<Rc<QueuePair<Connected>>, Answer> {
        self.lines
            .borrow()
            .get(&token.connection)
            .cloned()
            .ok_or_else(|| Answer::error(404, "NoSuchRdmaSession").with(header::REPLY, 404))
    }

    async fn get(&self, request: &ControlRequest, token: PooledToken) -> Answer {
        let line = match self.line(token) {
            Ok(line) => line,
            Err(answer) => return answer,
        };
        let (answer, bytes) = match self.look(request) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        if bytes.len() as u64 > token.window.size {
            return self.plain(request, true).with(header::REPLY, 501);
        }
        if !bytes.is_empty() {
            let source = self.filled(&bytes).lend().slice(..bytes.len() - self.short.get());
            let completion = write(&line, source, token.window, None).await;
            if completion.status != WorkStatus::Success {
                self.lines.borrow_mut().remove(&token.connection);
                return Answer::error(500, "RDMATransferFailed");
            }
        }
        let code = if answer.head.status == 206 { 206 } else { 200 };
        answer
            .with(header::REPLY, code)
            .with(header::BYTES_TRANSFERRED, bytes.len())
            .with(header::CHECKSUM_CRC64NVME, Crc64Nvme::of(&bytes))
    }

    async fn read(&self, request: &ControlRequest, token: PooledToken) -> Answer {
        assert!(request.body.is_empty());
        let line = match self.line(token) {
            Ok(line) => line,
            Err(answer) => return answer,
        };
        let bytes = token.window.size as usize;
        let reserved = self.arena.reserve(Share::Reads, bytes as u64).expect("room");
        let into = reserved.frame(bytes).expect("a frame");
        line.post(Work::Read { into, bytes, from: token.window }, true).expect("posted");
        let completion = line.completion().await.expect("a completion");
        match completion.payload {
            Payload::Frame(frame) if completion.status == WorkStatus::Success => self
                .store(request, frame.filled(), true)
                .with(header::REPLY, 200)
                .with(header::BYTES_TRANSFERRED, bytes),
            _ => {
                self.lines.borrow_mut().remove(&token.connection);
                Answer::error(500, "RDMATransferFailed")
            }
        }
    }
}

async fn write(
    pair: &QueuePair<Connected>,
    source: bytes::Bytes,
    to: RemoteWindow,
    immediate: Option<u32>,
) -> Completion {
    pair.post(Work::Write { source, to, immediate }, true).expect("posted");
    pair.completion().await.expect("a completion")
}

pub(super) fn value<'a>(request: &'a ControlRequest, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str())
}

fn session_of(request: &ControlRequest) -> SessionId {
    SessionId::parse(value(request, header::SESSION).expect("a session")).expect("good")
}

pub(super) fn entity_tag(bytes: &[u8]) -> String {
    format!("\"{:016x}\"", Crc64Nvme::of(bytes).0)
}
