//! The bytes of a connection below HTTP: a socket as it is, or one under TLS.
//!
//! Owns: the three kinds behind one type, so that HTTP is compiled once, and reading ahead of rustls.
//! Not here: handshakes (`handshake.rs`), the kernel's TLS (`kernel.rs`).

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::kernel::KernelStream;
use crate::limits;

/// See the module.
#[derive(Debug)]
pub enum Wire {
    /// No TLS.
    Plain(TcpStream),
    /// TLS in our memory.
    User(Box<TlsStream<Ahead>>),
    /// TLS in the kernel.
    Kernel(Box<KernelStream>),
}

impl Wire {
    /// Whether no further request should be taken, for the sake of the key.
    pub fn is_worn(&self) -> bool {
        matches!(self, Wire::Kernel(stream) if stream.is_worn())
    }

    /// The socket itself, to read and throw away what a client still sends.
    pub fn socket(&mut self) -> &mut TcpStream {
        match self {
            Wire::Plain(socket) => socket,
            Wire::User(stream) => &mut stream.get_mut().0.socket,
            Wire::Kernel(stream) => stream.socket(),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Wire::User(stream) => Pin::new(stream).poll_read(cx, buffer),
            Wire::Kernel(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Wire::User(stream) => Pin::new(stream).poll_write(cx, bytes),
            Wire::Kernel(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, pieces),
            Wire::User(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Wire::Kernel(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(_) | Wire::Kernel(_) => Poll::Ready(Ok(())),
            Wire::User(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Wire::User(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Kernel(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A socket that is read ahead of who reads it: rustls asks for 4 KiB at a time, which would be five
/// system calls for each record of 16 KiB. The buffer is there only while it has something in it.
#[derive(Debug)]
pub struct Ahead {
    socket: TcpStream,
    buffer: Vec<u8>,
    given: usize,
}

impl Ahead {
    /// Of that socket.
    pub fn new(socket: TcpStream) -> Ahead {
        Ahead { socket, buffer: Vec::new(), given: 0 }
    }
}

impl AsyncRead for Ahead {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        wanted: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.given == this.buffer.len() {
            let mut buffer = std::mem::take(&mut this.buffer);
            this.given = 0;
            buffer.clear();
            buffer.reserve_exact(limits::TLS_READ_BYTES);
            // A waiting connection holds no buffer: it is dropped here.
            ready!(pin!(this.socket.read_buf(&mut buffer)).poll(cx))?;
            this.buffer = buffer;
        }
        let rest = &this.buffer[this.given..];
        let count = rest.len().min(wanted.remaining());
        wanted.put_slice(&rest[..count]);
        this.given += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Ahead {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
