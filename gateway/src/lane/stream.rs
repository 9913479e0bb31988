//! A client's socket as hyper sees it.
//!
//! Owns: the socket, the bytes that were read to tell HTTP/1.1 from HTTP/2, the notes to the
//! connection's pulse, and lingering at the end.
//! Lingering: a socket that is closed with bytes unread is reset, and the reset can overtake the
//! response that explains the closing. So the server stops writing, reads on for a bounded time
//! and number of bytes, then closes (RFC 9112, 9.6).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};

use super::context::LaneContext;
use super::pulse::{Command, Pulse};
use crate::limits;
use crate::tls::wire::Wire;

/// The connection preface of HTTP/2 (RFC 9113, 3.4).
pub const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The bytes read before the protocol was known.
#[derive(Debug, Default)]
pub struct Opening {
    bytes: [u8; HTTP2_PREFACE.len()],
    length: usize,
    given: usize,
}

impl Opening {
    /// What has come so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Room for what is missing of the preface.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.length..]
    }

    /// So many bytes were read into the room.
    pub fn grew(&mut self, by: usize) {
        self.length = (self.length + by).min(HTTP2_PREFACE.len());
    }

    fn give(&mut self, buffer: &mut ReadBufCursor<'_>) {
        let rest = &self.bytes[self.given..self.length];
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.given += count;
    }

    fn is_given(&self) -> bool {
        self.given == self.length
    }
}

/// The socket.
#[derive(Debug)]
pub struct Stream {
    socket: TokioIo<Wire>,
    opening: Opening,
    pulse: Rc<Pulse>,
    context: Rc<LaneContext>,
    /// Bytes thrown away so far while lingering.
    lingering: Option<u64>,
}

impl Stream {
    /// The socket, with the bytes that were already taken from it.
    pub fn new(
        socket: Wire,
        opening: Opening,
        pulse: Rc<Pulse>,
        context: Rc<LaneContext>,
    ) -> Stream {
        Stream { socket: TokioIo::new(socket), opening, pulse, context, lingering: None }
    }

    fn note_write<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.pulse.write_blocked(outcome.is_pending(), self.context.clock.now());
        if self.socket.inner().is_worn() {
            self.pulse.tell(Command::Finish);
        }
        outcome
    }

    /// Reads and throws away until the client closes or the bound is reached. Time is the sweep's.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [0u8; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            // What is thrown away need not be decrypted.
            let socket = Pin::new(self.socket.inner_mut().socket());
            let outcome = ready!(socket.poll_read(cx, &mut buffer));
            let count = buffer.filled().len() as u64;
            let total = self.lingering.unwrap_or_default() + count;
            self.lingering = Some(total);
            if outcome.is_err() || count == 0 || total > limits::LINGER_BYTES_MAX {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.opening.is_given() {
            self.opening.give(&mut buffer);
            return Poll::Ready(Ok(()));
        }
        let outcome = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if outcome.is_ready()
            && self.pulse.received(self.context.clock.now())
            && self.context.measures()
        {
            self.pulse.heads.begins();
        }
        outcome
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(cx, buffer);
        self.note_write(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(cx, buffers);
        self.note_write(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.socket.inner() {
            Wire::Plain(_) | Wire::Kernel(_) => Poll::Ready(Ok(())),
            // What was taken may still wait here, encrypted.
            Wire::User(_) => {
                let outcome = Pin::new(&mut self.socket).poll_flush(cx);
                self.note_write(outcome)
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            if !self.pulse.linger(self.context.clock.now()) {
                return Poll::Ready(Ok(()));
            }
            self.lingering = Some(0);
        }
        self.poll_linger(cx)
    }
}
