//! One connection from accept to close.
//!
//! Owns: the TLS handshake's place before it, telling HTTP/1.1 from HTTP/2 by its first bytes, hyper's
//! settings for both, and obeying the lane's commands.
//! Not here: TLS itself (`crate::tls`), requests (`door`), times (`pulse.rs`, `sweep.rs`).

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::context::{LaneContext, Share};
use super::pulse::{Command, Pulse};
use super::stream::{HTTP2_PREFACE, Opening, Stream};
use crate::door::{Backend, Door};
use crate::limits;
use crate::metrics::{Agreed, Handshake, Protocol, Refusal, TlsVersion};
use crate::tls::handshake::{self, Failure, HANDSHAKE_RECORD, Session};
use crate::tls::wire::Wire;
use crate::tls::{Secured, Tls};

/// Spawns HTTP/2's streams on the lane's own thread.
#[derive(Debug, Clone, Copy)]
pub struct LaneExecutor;

impl<F> Executor<F> for LaneExecutor
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// hyper's settings, made once per lane.
#[derive(Debug, Clone)]
pub struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<LaneExecutor>,
}

impl Protocols {
    /// The settings, from `limits.rs`.
    pub fn new() -> Protocols {
        let mut http1 = http1::Builder::new();
        // `max_headers` stays at hyper's own 100, `limits::HEADERS_MAX`: naming it, even with the
        // same number, moves the parsed headers from the stack to the heap.
        http1.max_header_size(limits::HEAD_BYTES_MAX).max_buf_size(limits::HTTP1_BUFFER_BYTES_MAX);
        let mut http2 = http2::Builder::new(LaneExecutor);
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits::HTTP2_STREAMS_MAX)
            .max_header_list_size(limits::HEAD_BYTES_MAX as u32)
            .initial_stream_window_size(limits::HTTP2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(limits::HTTP2_CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(limits::HTTP2_SEND_BUFFER_BYTES)
            .max_pending_accept_reset_streams(limits::HTTP2_PENDING_RESETS_MAX)
            .max_local_error_reset_streams(limits::HTTP2_ERROR_RESETS_MAX);
        Protocols { http1, http2 }
    }
}

impl Default for Protocols {
    fn default() -> Self {
        Protocols::new()
    }
}

/// A connection's entry in the lane's registry and counts, undone when dropped.
struct Entry {
    context: Rc<LaneContext>,
    pulse: Rc<Pulse>,
    number: u64,
    _share: Share,
}

impl Entry {
    fn new(context: Rc<LaneContext>, share: Share) -> Entry {
        let pulse = Rc::new(Pulse::new(context.clock.now()));
        let number = context.registry.enter(pulse.clone());
        context.cells.connection_opened();
        Entry { context, pulse, number, _share: share }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.context.registry.leave(self.number);
        self.context.cells.connection_closed();
    }
}

/// A connection that was accepted.
#[derive(Debug)]
pub struct Arrival {
    /// Its socket.
    pub socket: TcpStream,
    /// What its handshake is made with; `None` without TLS.
    pub tls: Option<Arc<Tls>>,
    /// When it was accepted, if that is measured.
    pub accepted: Option<Instant>,
}

/// Serves a connection until it ends or is told to.
pub async fn serve<B: Backend>(
    arrival: Arrival,
    share: Share,
    protocols: Rc<Protocols>,
    door: Rc<Door<B>>,
) {
    let Arrival { socket, tls, accepted } = arrival;
    let context = door.context().clone();
    if let Err(error) = configure(&socket, &context) {
        // The client has gone already; the next read says so.
        tracing::debug!(%error, "socket options");
    }
    let peer = socket.peer_addr();
    let entry = Entry::new(context, share);
    entry.pulse.heads.served_after(accepted.map(|accepted| accepted.elapsed()));
    if let Ok(peer) = peer {
        entry.pulse.comes_from(peer.ip());
    }
    let mut work = pin!(converse(socket, tls, &entry, &protocols, &door));
    poll_fn(|cx| {
        entry.pulse.wake(cx.waker());
        match entry.pulse.command() {
            Command::Close => Poll::Ready(()),
            Command::Serve | Command::Finish => work.as_mut().poll(cx),
        }
    })
    .await;
}

/// `TCP_NODELAY`: a response is written in as few pieces as there are, and the last must not wait
/// for the acknowledgement of the one before (40 ms with delayed acknowledgements).
/// `TCP_USER_TIMEOUT`: the kernel ends a connection whose peer acknowledges nothing, or keeps its
/// window at zero, for that long. It sees the peer's window, which no one above the socket buffer
/// can: there, a slow reader and a dead one look the same for minutes.
fn configure(socket: &TcpStream, context: &LaneContext) -> Result<(), rustix::io::Errno> {
    sockopt::set_tcp_nodelay(socket, true)?;
    let stall = u32::try_from(context.limits.send_stall.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(socket, stall)
}

async fn converse<B: Backend>(
    socket: TcpStream,
    tls: Option<Arc<Tls>>,
    entry: &Entry,
    protocols: &Protocols,
    door: &Rc<Door<B>>,
) {
    let (mut socket, agreed) = match tls {
        None => (Wire::Plain(socket), Agreed::Nothing),
        Some(tls) => match secure(socket, &tls, entry).await {
            Some(secured) => secured,
            None => return,
        },
    };
    let Ok(Some((protocol, opening))) = recognise(&mut socket, entry).await else {
        return;
    };
    let (context, pulse) = (&entry.context, &entry.pulse);
    if !pulse.is_tls() && opening.bytes().first() == Some(&HANDSHAKE_RECORD) {
        context.cells.refused(Refusal::TlsOnPlain);
        return explain(socket, entry, TLS_ON_PLAIN).await;
    }
    if !fits(agreed, protocol) {
        context.cells.refused(Refusal::Protocol);
        return;
    }
    context.cells.connection_spoke(protocol);
    let weight = limits::HTTP2_CONNECTION_WEIGHT - 1;
    let outcome = match protocol {
        Protocol::Http1 => {
            let stream = Stream::new(socket, opening, pulse.clone(), context.clone());
            serve_http1(stream, pulse, protocols, door).await
        }
        Protocol::Http2 => {
            let Some(_further) = context.connections.take(weight) else {
                context.cells.refused(Refusal::Connections);
                return;
            };
            pulse.speaks_http2(context.clock.now());
            let stream = Stream::new(socket, opening, pulse.clone(), context.clone());
            serve_http2(stream, pulse, protocols, door).await
        }
    };
    if let Err(error) = outcome {
        note_error(&error, context);
    }
}

/// Shakes hands, and writes down how that ended. `None` when there is nobody to serve.
async fn secure(socket: TcpStream, tls: &Tls, entry: &Entry) -> Option<(Wire, Agreed)> {
    let (context, pulse) = (&entry.context, &entry.pulse);
    let cells = &context.cells;
    let began = Instant::now();
    pulse.shakes_hands(context.clock.now());
    let turn = Turn::begin(entry);
    let current = tls.current();
    let outcome = {
        let mut work = pin!(handshake::accept(socket, &current));
        let mut grace = Grace::default();
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending if pulse.command() == Command::Serve => Poll::Pending,
            Poll::Pending => grace.poll(cx).map(|()| None),
        })
        .await?
    };
    drop(turn);
    match outcome {
        Ok(Session { wire, terms, user }) => {
            let kind = if terms.resumed { Handshake::Resumed } else { Handshake::Full };
            cells.tls.shaken(terms.version, kind);
            cells.tls.took.observe(began.elapsed());
            cells.tls.agreed[terms.protocol as usize].add(1);
            cells.tls.modes[terms.mode as usize].add(1);
            pulse.is_secured(Secured { user }, terms.mode, context.clock.now());
            return Some((wire, terms.protocol));
        }
        Err(Failure::Gone) => cells.tls.shaken(TlsVersion::Nothing, Handshake::Gone),
        Err(Failure::Refused(error)) => {
            cells.tls.shaken(TlsVersion::Nothing, Handshake::Failed);
            tracing::debug!(peer = ?pulse.peer(), %error, "no TLS");
        }
        Err(Failure::Plain(socket)) => {
            cells.refused(Refusal::PlainOnTls);
            explain(Wire::Plain(socket), entry, PLAIN_ON_TLS).await;
        }
    }
    None
}

/// A handshake's place among those of its lane, given back when dropped.
struct Turn<'a> {
    context: &'a LaneContext,
    number: u64,
}

impl Turn<'_> {
    fn begin(entry: &Entry) -> Turn<'_> {
        let (number, displaced) = entry.context.handshakes.begin(entry.pulse.clone());
        if displaced {
            entry.context.cells.refused(Refusal::Handshakes);
        }
        Turn { context: &entry.context, number }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.context.handshakes.end(self.number);
    }
}

/// Whether a client speaks what it has agreed to.
fn fits(agreed: Agreed, protocol: Protocol) -> bool {
    match agreed {
        Agreed::Nothing => true,
        Agreed::Http1 => protocol == Protocol::Http1,
        Agreed::Http2 => protocol == Protocol::Http2,
    }
}

const PLAIN_ON_TLS: &str = "This is the HTTPS port; write https:// in place of http://.";
const TLS_ON_PLAIN: &str = "This is the HTTP port; write http:// in place of https://.";

/// Tells a client that it speaks the wrong protocol, as S3 would say it, and closes.
async fn explain(mut socket: Wire, entry: &Entry, message: &str) {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>InvalidRequest</Code><Message>{message}</Message></Error>\n"
    );
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    // The client may have gone.
    if socket.write_all(answer.as_bytes()).await.is_ok() {
        let (pulse, context) = (entry.pulse.clone(), entry.context.clone());
        pulse.leaves_unread();
        let mut stream = Stream::new(socket, Opening::default(), pulse, context);
        let _ = poll_fn(|cx| hyper::rt::Write::poll_shutdown(Pin::new(&mut stream), cx)).await;
    }
}

fn note_error(error: &hyper::Error, context: &LaneContext) {
    if is_send_stall(error) {
        context.cells.refused(Refusal::SendStall);
    } else if error.is_parse() || error.is_parse_too_large() {
        context.cells.refused(Refusal::Protocol);
    }
    tracing::debug!(%error, "connection ended");
}

/// `TCP_USER_TIMEOUT` shows as `ETIMEDOUT` on the next write.
fn is_send_stall(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            return cause.kind() == io::ErrorKind::TimedOut;
        }
        source = cause.source();
    }
    false
}

async fn serve_http1<B: Backend>(
    stream: Stream,
    pulse: &Rc<Pulse>,
    protocols: &Protocols,
    door: &Rc<Door<B>>,
) -> hyper::Result<()> {
    let service = service_fn(|request| {
        // Boxed: hyper and the service move what they are given three times, and this is 5 KiB.
        let handled = Box::pin(door.clone().handle(request, pulse.clone()));
        async { Ok::<_, Infallible>(handled.await) }
    });
    let mut connection = pin!(protocols.http1.serve_connection(stream, service));
    let mut grace = Grace::default();
    let mut told = false;
    poll_fn(|cx| {
        if !told && pulse.command() != Command::Serve {
            // What the socket holds is read first. hyper closes at once when it has read nothing,
            // and closing with a request unread resets the connection.
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            if pulse.awaits_head() {
                ready!(grace.poll(cx));
            }
            connection.as_mut().graceful_shutdown();
            told = true;
        }
        connection.as_mut().poll(cx)
    })
    .await
}

async fn serve_http2<B: Backend>(
    stream: Stream,
    pulse: &Rc<Pulse>,
    protocols: &Protocols,
    door: &Rc<Door<B>>,
) -> hyper::Result<()> {
    let (door, held) = (door.clone(), pulse.clone());
    let service = service_fn(move |request| {
        let handled = door.clone().handle(request, held.clone());
        async { Ok::<_, Infallible>(handled.await) }
    });
    let mut connection = pin!(protocols.http2.serve_connection(stream, service));
    let mut told = false;
    poll_fn(|cx| {
        if !told && pulse.command() != Command::Serve {
            connection.as_mut().graceful_shutdown();
            told = true;
        }
        connection.as_mut().poll(cx)
    })
    .await
}

/// The time that a connection whose first request is awaited has to bring it, once its lane stops.
#[derive(Default)]
struct Grace(Option<Pin<Box<Sleep>>>);

impl Grace {
    /// Ready when it is over; it begins with the first call.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let begin = || Box::pin(tokio::time::sleep(limits::DRAIN_GRACE_TIME));
        self.0.get_or_insert_with(begin).as_mut().poll(cx)
    }
}

/// Reads until the first bytes are HTTP/2's preface or cannot become it: usually one byte, since
/// no method but PUT, POST, PATCH and PROPFIND begins with P. `None` when the client went, or the
/// lane stops and nothing comes for a while, before that.
async fn recognise(socket: &mut Wire, entry: &Entry) -> io::Result<Option<(Protocol, Opening)>> {
    let mut opening = Opening::default();
    let mut grace = Grace::default();
    poll_fn(|cx| {
        loop {
            match poll_opening(socket, &mut opening, cx)? {
                Poll::Ready(0) => return Poll::Ready(Ok(None)),
                Poll::Ready(_) if entry.context.measures() => entry.pulse.heads.begins(),
                Poll::Ready(_) => {}
                Poll::Pending if entry.pulse.command() == Command::Serve => return Poll::Pending,
                Poll::Pending => return grace.poll(cx).map(|()| Ok(None)),
            }
            if let Some(protocol) = protocol_of(opening.bytes()) {
                return Poll::Ready(Ok(Some((protocol, std::mem::take(&mut opening)))));
            }
        }
    })
    .await
}

fn poll_opening(
    socket: &mut Wire,
    opening: &mut Opening,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(opening.room());
    ready!(Pin::new(socket).poll_read(cx, &mut buffer))?;
    let count = buffer.filled().len();
    opening.grew(count);
    Poll::Ready(Ok(count))
}

fn protocol_of(bytes: &[u8]) -> Option<Protocol> {
    if bytes == HTTP2_PREFACE {
        Some(Protocol::Http2)
    } else if HTTP2_PREFACE.starts_with(bytes) {
        None
    } else {
        Some(Protocol::Http1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_is_known_at_the_first_byte_that_differs() {
        assert_eq!(protocol_of(b"G"), Some(Protocol::Http1));
        assert_eq!(protocol_of(b"P"), None);
        assert_eq!(protocol_of(b"PU"), Some(Protocol::Http1));
        assert_eq!(protocol_of(b"PRI * HTTP/2.0\r\n\r\nS"), None);
        assert_eq!(protocol_of(b"PRI * HTTP/1.1\r\n"), Some(Protocol::Http1));
        assert_eq!(protocol_of(HTTP2_PREFACE), Some(Protocol::Http2));
    }
}
