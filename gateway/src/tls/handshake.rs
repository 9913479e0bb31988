//! One connection from its first byte to the end of its handshake.
//!
//! Owns: telling TLS from what is none, the handshake, and what is known of the client after it.
//! Time and number of handshakes are bounded by who calls: a handshake that is dropped is over.
//! Not here: what it is made with (`server.rs`).

use std::io;
use std::sync::Arc;

use rustls::{CommonState, HandshakeKind, ProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::certificate::Facts;
use super::clients;
use super::handoff;
use super::kernel::{self, KernelStream};
use super::server::Current;
use super::wire::{Ahead, Wire};
use crate::metrics::{Agreed, TlsMode, TlsVersion};

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Session {
    /// To speak HTTP over.
    pub wire: Wire,
    /// What was agreed.
    pub terms: Terms,
    /// Whose certificate the client has shown; none without one, or when no row of
    /// `tls.client_users` fits.
    pub user: Option<Arc<str>>,
}

/// What client and server have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The version.
    pub version: TlsVersion,
    /// Whether an earlier session went on.
    pub resumed: bool,
    /// What is spoken over it (ALPN).
    pub protocol: Agreed,
    /// Who encrypts.
    pub mode: TlsMode,
}

/// Why there is no session.
#[derive(Debug)]
pub enum Failure {
    /// The first byte is not TLS's: somebody speaks plain HTTP.
    Plain(TcpStream),
    /// The client went before the end.
    Gone,
    /// The client cannot, or may not.
    Refused(io::Error),
}

/// The first byte of a handshake's record (RFC 8446, 5.1).
pub const HANDSHAKE_RECORD: u8 = 0x16;

/// Shakes hands.
///
/// # Errors
/// See [`Failure`].
pub async fn accept(mut socket: TcpStream, current: &Current) -> Result<Session, Failure> {
    let mut first = [0];
    match socket.peek(&mut first).await {
        Ok(0) | Err(_) => return Err(Failure::Gone),
        Ok(_) if first[0] != HANDSHAKE_RECORD => return Err(Failure::Plain(socket)),
        Ok(_) => {}
    }
    // Where this fails, as for want of memory, TLS is ours for this connection.
    if current.kernel && kernel::prepare(&socket).is_ok() {
        let session = handoff::shake(&mut socket, current.config.clone()).await;
        let session = session.map_err(failure)?;
        let terms = Terms::of(&session, TlsMode::Ktls);
        let user = user(&session, current);
        let stream = KernelStream::new(socket, session).map_err(Failure::Refused)?;
        return Ok(Session { wire: Wire::Kernel(Box::new(stream)), terms, user });
    }
    let acceptor = TlsAcceptor::from(current.config.clone());
    let stream = acceptor.accept(Ahead::new(socket)).await.map_err(failure)?;
    let state = stream.get_ref().1;
    let terms = Terms::of(state, TlsMode::User);
    let user = user(state, current);
    Ok(Session { wire: Wire::User(Box::new(stream)), terms, user })
}

impl Terms {
    fn of(state: &CommonState, mode: TlsMode) -> Terms {
        Terms {
            version: match state.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => TlsVersion::Tls13,
                _ => TlsVersion::Tls12,
            },
            resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
            protocol: match state.alpn_protocol() {
                Some(b"h2") => Agreed::Http2,
                Some(_) => Agreed::Http1,
                None => Agreed::Nothing,
            },
            mode,
        }
    }
}

fn user(state: &CommonState, current: &Current) -> Option<Arc<str>> {
    let facts = Facts::of(state.peer_certificates()?.first()?)?;
    let user = clients::user(&current.users, &facts);
    if user.is_none() {
        tracing::debug!(name = facts.common_name, "no row of tls.client_users for a certificate");
    }
    user
}

fn failure(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::TimedOut => Failure::Gone,
        _ => Failure::Refused(error),
    }
}
