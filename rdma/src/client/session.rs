//! Owns one transfer by hipobj-rc-v2: a queue pair of its own, three requests, one immediate.
//!
//! ```text
//!  INIT ─ PREPARE ─▶ named ─ RTR, RTS ─▶ connected ─ READY ┬ PUT: WRITE WITH IMMEDIATE of it all   ─┬▶ FINAL ─▶ fenced
//!                      │                     ▲             └ GET: the peer's immediate arrives     ─┘    │
//!                      │                     └──── rearmed ◀──── 409: the peer was not reached ──────────┤
//!                      └─────────────── anything else ──────────▶ fenced and CANCEL ◀────────────────────┘
//! ```
//!
//! *Limits:* [`super::ClientOptions`]. *Not here:* the memory, which its owner opens before and closes after.

use std::future::Future;
use std::pin::pin;

use bytes::Bytes;
use tokio::time::Instant;

use super::Client;
use super::control::{AnswerHead, Control, ControlError, ControlRequest, Method};
use super::exchange::{Backoff, Document, exchange, is_busy, is_unsupported, refused};
use super::outcome::{ClientError, Tally};
use super::plain::CONTENT_SHA256;
use super::session_answer::{Finale, Prepared, mismatch};
use crate::fabric::{
    Connected, Connection, FabricError, Initialised, Psn, QueuePair, QueuePairOptions,
    QueuePairShape, RemoteAccess, RemoteWindow, Work, WorkKind, WorkStatus,
};
use crate::limits::{CLIENT_RECEIVE_DEPTH, CLIENT_SEND_DEPTH};
use crate::wire::{Cookie, Operation, RcToken, SessionId, display_psn, header, random_psn, route};

/// What is to be moved.
pub(super) struct Session<'a, C> {
    pub(super) client: &'a Client,
    pub(super) control: &'a C,
    pub(super) operation: Operation,
    /// Encoded.
    pub(super) target: String,
    pub(super) offset: u64,
    pub(super) size: u64,
    /// Our memory as the peer is told of it.
    pub(super) window: RemoteWindow,
    /// Of a PUT: the bytes.
    pub(super) source: Option<Bytes>,
}

/// How it ended. The queue pair is gone by then.
pub(super) struct Report {
    pub(super) result: Result<Ended, ClientError>,
    /// Whether the queue pair was destroyed as it should be.
    pub(super) clean: bool,
    pub(super) tally: Tally,
}

/// An end without an error.
pub(super) enum Ended {
    /// All bytes have moved.
    Moved(Finale),
    /// The server wants the transfer by HTTP.
    Declined,
}

/// What is known while it runs.
struct Progress {
    line: Line,
    psn: Psn,
    cookie: Cookie,
    session: Option<SessionId>,
    /// The write of a PUT was posted: the object may be stored from then on.
    written: bool,
    tally: Tally,
}

enum Line {
    Initialised(QueuePair<Initialised>),
    Connected(QueuePair<Connected>),
    Gone,
}

/// How one READY ended.
enum Step {
    Moved(Finale),
    /// The server could not reach us, and waits for another READY.
    PeerBusy,
}

/// The code of a 409 after which READY may be sent again.
const PEER_BUSY: &str = "RdmaPeerBusy";

impl<C: Control> Session<'_, C> {
    /// Moves it, and leaves no queue pair behind.
    pub(super) async fn run(&self) -> Report {
        let mut progress = match self.begin() {
            Ok(progress) => progress,
            // Nobody was told of the queue pair.
            Err(error) => {
                return Report { result: Err(error), clean: true, tally: Tally::default() };
            }
        };
        let result = self.drive(&mut progress).await;
        let result = result.map_err(|error| match progress.written {
            true => error.of_put(),
            false => error,
        });
        let session = progress.session.filter(|_| result.is_err());
        let (clean, ()) = tokio::join!(progress.line.fence(), self.cancel(session));
        Report { result, clean, tally: progress.tally }
    }

    fn begin(&self) -> Result<Progress, ClientError> {
        let access = match self.operation {
            Operation::Get => RemoteAccess::Write,
            Operation::Put => RemoteAccess::None,
        };
        let shape =
            QueuePairShape { send_depth: CLIENT_SEND_DEPTH, receive_depth: CLIENT_RECEIVE_DEPTH };
        let pair = self.client.endpoint.queue_pair(&QueuePairOptions { shape, access })?;
        let psn = random_psn().map_err(no_random)?;
        let cookie = Cookie::random().map_err(no_random)?;
        let mut progress = Progress {
            line: Line::Gone,
            psn,
            cookie,
            session: None,
            written: false,
            tally: Tally::default(),
        };
        progress.arm(self.operation, pair)?;
        Ok(progress)
    }

    async fn drive(&self, progress: &mut Progress) -> Result<Ended, ClientError> {
        let Some(prepared) = self.prepare(progress).await? else { return Ok(Ended::Declined) };
        let mut backoff = Backoff::new(&self.client.options);
        let mut attempts = 1;
        loop {
            let pair = progress.connect(self.client, &prepared)?;
            let qpn = pair.number().number();
            match self.ready(progress, &prepared, qpn).await? {
                Step::Moved(finale) => return Ok(Ended::Moved(finale)),
                Step::PeerBusy if attempts >= self.client.options.ready_attempts => {
                    return Err(ClientError::Busy { attempts });
                }
                Step::PeerBusy => {}
            }
            attempts += 1;
            progress.tally.retries += 1;
            backoff.pause().await?;
            let settle = self.client.options.settle_time;
            let rearmed = tokio::time::timeout(settle, progress.rearm(self.operation)).await;
            rearmed.map_err(|_| ClientError::Deadline {
                step: "the flush of the queue pair",
                after: settle,
            })??;
        }
    }

    /// Sends PREPARE until it is answered. None where the server has no such protocol.
    async fn prepare(&self, progress: &mut Progress) -> Result<Option<Prepared>, ClientError> {
        let options = &self.client.options;
        let mut backoff = Backoff::new(options);
        loop {
            let headers = self.prepare_headers(progress)?;
            let request = ControlRequest::new(Method::Post, route::PREPARE.to_owned(), headers);
            let mut document = Document::default();
            let time = options.connect_time;
            let head = exchange(self.control, request, &mut document, "PREPARE", time).await?;
            if is_unsupported(&head) {
                return Ok(None);
            }
            if is_busy(&head) {
                progress.tally.retries += 1;
                backoff.pause().await?;
                continue;
            }
            if !head.is_success() {
                return Err(refused("PREPARE", &head, &document));
            }
            // Also of an answer that turns out to be malformed: the server has made something.
            let session = head.header(header::SESSION).and_then(|id| SessionId::parse(id).ok());
            progress.session = session;
            if head.status != 200 {
                let why = format!("status {}", head.status);
                return Err(ClientError::Malformed { step: "PREPARE", why });
            }
            return Prepared::read(&head, self.operation, self.size).map(Some);
        }
    }

    fn prepare_headers(
        &self,
        progress: &Progress,
    ) -> Result<Vec<(&'static str, String)>, ClientError> {
        let facts = self.client.endpoint.fabric().facts();
        let Line::Initialised(pair) = &progress.line else {
            return Err(gone().into());
        };
        let token = RcToken::identity(pair.number(), facts.gid, facts.port, facts.lid);
        Ok(vec![
            (header::PROTOCOL, header::PROTOCOL_HIPOBJ.to_owned()),
            (header::TOKEN, token.to_string()),
            (header::PSN, display_psn(progress.psn).to_string()),
            (header::COOKIE, progress.cookie.to_string()),
            (header::OP, self.operation.to_string()),
            (header::TARGET, self.target.clone()),
            (header::SIZE, self.size.to_string()),
            (header::OFFSET, self.offset.to_string()),
            (header::QPN, format!("{:x}", pair.number().number())),
            (header::MR_ADDR, format!("{:x}", self.window.address)),
            (header::MR_RKEY, format!("{:x}", self.window.rkey)),
            (CONTENT_SHA256.0, CONTENT_SHA256.1.to_owned()),
        ])
    }

    /// Sends READY, moves the data, and judges both ends of it.
    async fn ready(
        &self,
        progress: &mut Progress,
        prepared: &Prepared,
        qpn: u32,
    ) -> Result<Step, ClientError> {
        let options = &self.client.options;
        let cookie = progress.cookie;
        let mut document = Document::default();
        let request = self.ready_request(prepared.session, cookie, qpn);
        let time = options.transfer_deadline(self.size);
        let (answer, moved) = {
            let ready = exchange(self.control, request, &mut document, "READY", time);
            let moving = self.moving(progress, prepared);
            self.both(ready, moving).await
        };
        let head = match (answer, &moved) {
            (Some(Ok(head)), _) => head,
            (Some(Err(error)), _) => return Err(error),
            (None, Some(Err(error))) => return Err(error.clone()),
            (None, _) => return Err(deadline("READY", options.settle_time)),
        };
        if head.status == 409 && document.code().as_deref() == Some(PEER_BUSY) {
            progress.written = false;
            return Ok(Step::PeerBusy);
        }
        if !head.is_success() {
            return Err(refused("READY", &head, &document));
        }
        let finale = Finale::read(&head, self.operation, cookie, self.size)?;
        match (self.operation, moved) {
            // The server has the bytes; our own completion may have been lost with its queue pair.
            (Operation::Put, _) | (Operation::Get, Some(Ok(()))) => Ok(Step::Moved(finale)),
            (Operation::Get, Some(Err(error))) => Err(error),
            (Operation::Get, None) => Err(deadline("the immediate", options.settle_time)),
        }
    }

    fn ready_request(&self, session: SessionId, cookie: Cookie, qpn: u32) -> ControlRequest {
        let headers = vec![
            (header::PROTOCOL, header::PROTOCOL_HIPOBJ.to_owned()),
            (header::SESSION, session.to_string()),
            (header::COOKIE, cookie.to_string()),
            (header::QPN, format!("{qpn:x}")),
            (header::MR_ADDR, format!("{:x}", self.window.address)),
            (header::MR_RKEY, format!("{:x}", self.window.rkey)),
            (CONTENT_SHA256.0, CONTENT_SHA256.1.to_owned()),
        ];
        let mut request = ControlRequest::new(Method::Post, route::READY.to_owned(), headers);
        request.fresh_connection = true;
        request
    }

    /// Waits for the answer and for the data. When one of them has failed, or the answer has come, the other gets a
    /// little time; after an error the data gets none.
    async fn both(
        &self,
        ready: impl Future<Output = Result<AnswerHead, ClientError>>,
        moving: impl Future<Output = Result<(), ClientError>>,
    ) -> (Option<Result<AnswerHead, ClientError>>, Option<Result<(), ClientError>>) {
        let (mut ready, mut moving) = (pin!(ready), pin!(moving));
        let (mut answer, mut moved) = (None, None);
        let mut limit = None;
        let settle = self.client.options.settle_time;
        while answer.is_none() || moved.is_none() {
            let until = limit.unwrap_or_else(Instant::now);
            tokio::select! {
                head = &mut ready, if answer.is_none() => {
                    let waits_for_data = self.operation == Operation::Get
                        && matches!(&head, Ok(head) if head.is_success());
                    answer = Some(head);
                    if !waits_for_data {
                        break;
                    }
                    limit = Some(Instant::now() + settle);
                }
                outcome = &mut moving, if moved.is_none() => {
                    if outcome.is_err() {
                        limit = Some(Instant::now() + settle);
                    }
                    moved = Some(outcome);
                }
                () = tokio::time::sleep_until(until), if limit.is_some() => break,
            }
        }
        (answer, moved)
    }

    /// This side of the data.
    async fn moving(
        &self,
        progress: &mut Progress,
        prepared: &Prepared,
    ) -> Result<(), ClientError> {
        let Progress { line: Line::Connected(pair), cookie, written, tally, .. } = progress else {
            return Err(gone().into());
        };
        if let (Some(source), Some(to)) = (&self.source, prepared.staging) {
            if !prepared.armed {
                tokio::time::sleep(self.client.options.write_delay).await;
            }
            let immediate = Some(cookie.number());
            let work = Work::Write { source: source.clone(), to, immediate };
            pair.post(work, true).map_err(|(error, _)| error)?;
            *written = true;
            tally.work_requests += 1;
        }
        let completion = pair.completion().await?;
        let awaited = match self.operation {
            Operation::Get => WorkKind::Receive,
            Operation::Put => WorkKind::Write,
        };
        if completion.status != WorkStatus::Success || completion.kind != awaited {
            return Err(ClientError::Work { kind: completion.kind, status: completion.status });
        }
        if self.operation == Operation::Get && completion.immediate != Some(cookie.number()) {
            let found =
                completion.immediate.map_or_else(|| "none".to_owned(), |i| format!("{i:08x}"));
            return Err(mismatch("immediate", cookie, &found));
        }
        Ok(())
    }

    /// Tells the server that the session is over, where it is not by itself. Its answer changes nothing here.
    async fn cancel(&self, session: Option<SessionId>) {
        let Some(session) = session else { return };
        let headers = vec![
            (header::PROTOCOL, header::PROTOCOL_HIPOBJ.to_owned()),
            (header::SESSION, session.to_string()),
            (CONTENT_SHA256.0, CONTENT_SHA256.1.to_owned()),
        ];
        let request = ControlRequest::new(Method::Post, route::CANCEL.to_owned(), headers);
        let time = self.client.options.cancel_time;
        let mut document = Document::default();
        match exchange(self.control, request, &mut document, "CANCEL", time).await {
            Ok(head) if matches!(head.status, 200 | 204 | 404) => {}
            Ok(head) => tracing::debug!(%session, status = head.status, "CANCEL was refused"),
            Err(error) => tracing::debug!(%session, %error, "CANCEL had no answer"),
        }
    }
}

impl Progress {
    /// Keeps the queue pair, with its receive posted where one is awaited.
    fn arm(
        &mut self,
        operation: Operation,
        pair: QueuePair<Initialised>,
    ) -> Result<(), ClientError> {
        if operation == Operation::Get {
            pair.post_receive()?;
            self.tally.work_requests += 1;
        }
        self.line = Line::Initialised(pair);
        Ok(())
    }

    fn connect(
        &mut self,
        client: &Client,
        prepared: &Prepared,
    ) -> Result<&QueuePair<Connected>, ClientError> {
        let Line::Initialised(pair) = std::mem::replace(&mut self.line, Line::Gone) else {
            return Err(gone().into());
        };
        self.line = Line::Connected(pair.connect(&client.connection(prepared.peer, self.psn)?)?);
        match &self.line {
            Line::Connected(pair) => Ok(pair),
            _ => Err(gone().into()),
        }
    }

    async fn rearm(&mut self, operation: Operation) -> Result<(), ClientError> {
        let Line::Connected(pair) = std::mem::replace(&mut self.line, Line::Gone) else {
            return Err(gone().into());
        };
        let pair = pair.rearm().await?;
        self.arm(operation, pair)
    }
}

impl Line {
    /// Destroys the queue pair. False when the device did not, or when a failed step left that to the background.
    async fn fence(self) -> bool {
        match self {
            Line::Initialised(pair) => pair.fence().await.clean,
            Line::Connected(pair) => pair.fence().await.clean,
            Line::Gone => false,
        }
    }
}

impl Client {
    /// How to reach a peer.
    pub(super) fn connection(
        &self,
        peer: crate::fabric::Peer,
        psn: Psn,
    ) -> Result<Connection, ClientError> {
        let fabric = self.endpoint.fabric();
        let path_mtu = self.options.path_mtu.unwrap_or(fabric.facts().path_mtu);
        Ok(Connection { peer, local: fabric.local_gid(peer.gid)?, psn, path_mtu })
    }
}

pub(super) fn no_random(error: getrandom::Error) -> ClientError {
    ClientError::Control(ControlError::NotSent(format!("the system has no random bits: {error}")))
}

fn deadline(step: &'static str, after: std::time::Duration) -> ClientError {
    ClientError::Deadline { step, after }
}

fn gone() -> FabricError {
    FabricError::new("ibv_modify_qp", "the queue pair is gone")
}
