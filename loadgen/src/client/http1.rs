//! Owns an HTTP/1.1 connection: sends a request from one buffer, reads the answer into the thread's
//! buffer, and lets the kernel drop bodies that are only counted.
//!
//! Small requests cost two system calls, `send` and `recv`, beside the shared `epoll_wait`. A read
//! that comes back short has emptied the socket, so readiness is forgotten there and then and the
//! next `recv` that would find nothing is not made. Bodies that are only counted are read with
//! `MSG_TRUNC`, with which TCP discards instead of copying (tcp(7)).
//!
//! Measured against nginx on two shared cores, CPU of the whole load generator per request, beside a
//! bare loop over hyper's client that records nothing: 8.0 to 8.6 µs against 9.5 to 11.8 at 4 KiB,
//! 13 to 16 against 18 to 23 at 64 KiB, 160 to 185 against 275 to 305 at 1 MiB (nginx itself: 11, 17
//! and 260 to 390). At 64 MiB it is 0.09 s/GiB, nginx 0.30.
//!
//! Not here: the grammar of answers (`response.rs`).

use std::future::poll_fn;
use std::io::{self, ErrorKind, Write as _};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::response::ResponseReader;
use super::{RequestHead, Response, Shared, Sink, Upload, connect};
use crate::endpoint::Endpoint;
use crate::failure::Failure;
use crate::limits;

/// One connection after the other to one endpoint.
pub(crate) struct Client {
    endpoint: Arc<Endpoint>,
    shared: Rc<Shared>,
    connection: Option<Connection>,
}

impl Client {
    /// Connects when the first request is sent.
    pub(crate) fn new(endpoint: Arc<Endpoint>, shared: Rc<Shared>) -> Client {
        Client { endpoint, shared, connection: None }
    }

    /// See [`super::Client::open`]. Without keep-alive there is nothing to open beforehand.
    pub(crate) async fn open(&mut self) -> Result<(), Failure> {
        if self.connection.is_none() && self.endpoint.keep_alive {
            self.connection = Some(self.connect().await?);
        }
        Ok(())
    }

    /// See [`super::Client::exchange`]. [`Sink::Whole`] gets every body.
    pub(crate) async fn exchange(
        &mut self,
        head: &RequestHead<'_>,
        upload: Upload,
        mut sink: Sink<'_>,
    ) -> Result<Response, Failure> {
        // Taken out: an exchange that fails or is dropped midway leaves no connection behind.
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_closed_by_peer() => connection,
            _ => self.connect().await?,
        };
        connection.render(head, &self.endpoint, &upload);
        let sent = connection.send(upload).await;
        let reader = ResponseReader::new(head.method == "HEAD");
        let (reader, first_byte) = match &sent {
            Ok(_) => connection.receive(reader, &mut sink).await?,
            // The server may have answered before it closed its side: that answer says more.
            Err(failure) => {
                let answer = connection.receive(reader, &mut sink);
                match tokio::time::timeout(limits::EARLY_ANSWER_WAIT, answer).await {
                    Ok(Ok(answer)) => answer,
                    _ => return Err(failure.clone()),
                }
            }
        };
        let whole = matches!(sent, Ok(Sent::Whole));
        if whole && !reader.head.close && self.endpoint.keep_alive {
            self.connection = Some(connection);
        }
        Ok(Response {
            status: reader.head.status,
            first_byte,
            body_bytes: reader.body_bytes,
            content_length: reader.head.content_length,
            etag: reader.head.etag,
            error_body: reader.error_body,
        })
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        Ok(Connection {
            stream: connect(&self.endpoint, &self.shared).await?,
            shared: self.shared.clone(),
            output: Vec::new(),
        })
    }
}

struct Connection {
    stream: TcpStream,
    shared: Rc<Shared>,
    /// What is to be sent next: the head and the first piece of the body, or a later piece.
    output: Vec<u8>,
}

/// How far a request was sent.
enum Sent {
    Whole,
    /// The answer came before the end of the body; the connection cannot be used again.
    AnsweredEarly,
}

impl Connection {
    /// Whether the server closed the connection while it was idle; such a one is replaced, as RFC
    /// 9112 9.3.1 allows, and counts as no error. Costs nothing unless something had come.
    fn is_closed_by_peer(&self) -> bool {
        !matches!(self.peek(), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    fn peek(&self) -> io::Result<usize> {
        let mut byte = [0; 1];
        self.stream.try_io(Interest::READABLE, || {
            let (_, received) = rustix::net::recv(&self.stream, &mut byte[..], RecvFlags::PEEK)?;
            Ok(received)
        })
    }

    fn render(&mut self, head: &RequestHead<'_>, endpoint: &Endpoint, upload: &Upload) {
        let out = &mut self.output;
        out.clear();
        for part in [head.method, " ", &head.target, " HTTP/1.1\r\nhost: ", &endpoint.host] {
            out.extend_from_slice(part.as_bytes());
        }
        for (name, value) in &head.headers {
            for part in ["\r\n", name, ": ", value] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        if upload.remaining() > 0 || matches!(head.method, "PUT" | "POST") {
            // Writing to a Vec cannot fail.
            _ = write!(out, "\r\ncontent-length: {}", upload.remaining());
        }
        if !endpoint.keep_alive {
            out.extend_from_slice(b"\r\nconnection: close");
        }
        out.extend_from_slice(b"\r\n\r\n");
    }

    async fn send(&mut self, mut upload: Upload) -> Result<Sent, Failure> {
        loop {
            upload.produce(&mut self.output);
            if let Sent::AnsweredEarly = self.flush().await? {
                return Ok(Sent::AnsweredEarly);
            }
            if upload.remaining() == 0 {
                return Ok(Sent::Whole);
            }
        }
    }

    async fn flush(&mut self) -> Result<Sent, Failure> {
        let mut sent = 0;
        while sent < self.output.len() {
            match self.stream.try_write(&self.output[sent..]) {
                Ok(bytes) => sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.answered_before_writable().await? {
                        return Ok(Sent::AnsweredEarly);
                    }
                }
                Err(error) => return Err(lost(&error)),
            }
        }
        self.output.clear();
        Ok(Sent::Whole)
    }

    /// Waits until more can be sent; true when an answer came instead.
    async fn answered_before_writable(&self) -> Result<bool, Failure> {
        poll_fn(|context| {
            if let Poll::Ready(ready) = self.stream.poll_write_ready(context) {
                return Poll::Ready(ready.map(|()| false).map_err(|error| lost(&error)));
            }
            // Readiness may be a remembered one: only bytes that are there count.
            while self.stream.poll_read_ready(context).is_ready() {
                match self.peek() {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(lost(&error))),
                    Ok(_) => return Poll::Ready(Ok(true)),
                }
            }
            Poll::Pending
        })
        .await
    }

    async fn receive(
        &mut self,
        mut reader: ResponseReader,
        sink: &mut Sink<'_>,
    ) -> Result<(ResponseReader, Instant), Failure> {
        let counted_only = matches!(sink, Sink::Count);
        let mut first_byte = None;
        while !reader.is_done() {
            let droppable = if counted_only { reader.droppable() } else { 0 };
            let received = if droppable > 0 {
                self.discard(droppable).inspect(|bytes| reader.dropped(*bytes as u64))
            } else {
                let most = if counted_only { limits::FIRST_READ_BYTES } else { limits::READ_BYTES };
                let mut buffer = self.shared.read_buffer.borrow_mut();
                let received = self.try_recv(&mut buffer[..most], RecvFlags::empty());
                if let Ok(bytes) = received {
                    first_byte.get_or_insert_with(Instant::now);
                    reader.push(&buffer[..bytes], sink)?;
                }
                received
            };
            match received {
                Ok(0) => reader.end()?,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll_fn(|context| self.stream.poll_read_ready(context))
                        .await
                        .map_err(|error| lost(&error))?;
                }
                Err(error) => return Err(lost(&error)),
            }
        }
        Ok((reader, first_byte.unwrap_or_else(Instant::now)))
    }

    /// Has the kernel drop up to `bytes` received bytes; how many it dropped.
    fn discard(&self, bytes: u64) -> io::Result<usize> {
        let mut buffer = self.shared.discard_buffer.borrow_mut();
        let most = bytes.min(buffer.len() as u64) as usize;
        self.try_recv(&mut buffer[..most], RecvFlags::TRUNC)
    }

    fn try_recv(&self, buffer: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
        let mut short = None;
        let received = self.stream.try_io(Interest::READABLE, || {
            let (_, bytes) = rustix::net::recv(&self.stream, &mut *buffer, flags)?;
            if bytes == 0 || bytes == buffer.len() {
                return Ok(bytes);
            }
            // The socket is empty. "Would block" makes tokio forget the readiness; the next edge
            // of epoll brings it back, and the end of the stream stays remembered.
            short = Some(bytes);
            Err(ErrorKind::WouldBlock.into())
        });
        short.map_or(received, Ok)
    }
}

fn lost(error: &io::Error) -> Failure {
    Failure::Disconnected(error.to_string())
}
