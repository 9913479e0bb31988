//! A handshake after which the kernel goes on: it reads not one byte more than it needs, since what
//! it had read of the client's data the kernel could not decrypt any more.
//!
//! Limits: `TLS_HELLO_BYTES_MAX` of what a client may send of one flight.
//! Not here: what the kernel does then (`kernel.rs`).

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, InsufficientSizeError, UnbufferedStatus,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::limits;

/// What rustls waits for.
enum Next {
    Again,
    Read,
    Send,
    Done,
    Refuse(rustls::Error),
}

/// Shakes hands. Nothing but handshake has been read of the socket, and nothing waits to be sent.
///
/// # Errors
/// What rustls refused, after the client has been told, or what the system said.
pub async fn shake(
    socket: &mut TcpStream,
    config: Arc<ServerConfig>,
) -> io::Result<UnbufferedServerConnection> {
    let refused = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut session = UnbufferedServerConnection::new(config).map_err(refused)?;
    let (mut incoming, mut outgoing) = (Vec::new(), Vec::new());
    let mut alerting = None;
    loop {
        let (discard, next) = {
            let UnbufferedStatus { discard, state, .. } =
                session.process_tls_records(&mut incoming);
            let next = match state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut outgoing)?,
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    Next::Send
                }
                Ok(ConnectionState::BlockedHandshake) => Next::Read,
                Ok(ConnectionState::WriteTraffic(_)) => Next::Done,
                Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) => Next::Refuse(error),
            };
            (discard, next)
        };
        incoming.drain(..discard);
        match next {
            Next::Again => {}
            Next::Read => read_record(socket, &mut incoming).await?,
            Next::Send => send(socket, &mut outgoing).await?,
            Next::Done => {
                send(socket, &mut outgoing).await?;
                return Ok(session);
            }
            // The alert that tells the client comes after the error that tells us.
            Next::Refuse(error) if alerting.is_none() => alerting = Some(error),
            Next::Refuse(_) => {
                // The client may have gone; the error that counts is rustls's.
                let _ = send(socket, &mut outgoing).await;
                return Err(alerting.take().map_or(io::ErrorKind::InvalidData.into(), refused));
            }
        }
    }
}

fn encode(
    mut data: EncodeTlsData<'_, ServerConnectionData>,
    outgoing: &mut Vec<u8>,
) -> io::Result<Next> {
    let begin = outgoing.len();
    let wanted = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size, .. })) => {
            required_size
        }
        Ok(_) => return Ok(Next::Again),
        Err(error) => return Err(io::Error::other(error)),
    };
    outgoing.resize(begin + wanted, 0);
    data.encode(&mut outgoing[begin..]).map_err(io::Error::other)?;
    Ok(Next::Again)
}

async fn send(socket: &mut TcpStream, outgoing: &mut Vec<u8>) -> io::Result<()> {
    socket.write_all(outgoing).await?;
    outgoing.clear();
    Ok(())
}

/// Bytes of a record's header: its type, a version, its length (RFC 8446, 5.1).
const HEADER_BYTES: usize = 5;

/// Reads one record; of one that is longer than allowed the header alone, which is then refused.
async fn read_record(socket: &mut TcpStream, incoming: &mut Vec<u8>) -> io::Result<()> {
    let begin = incoming.len();
    if begin > limits::TLS_HELLO_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a handshake without an end"));
    }
    incoming.resize(begin + HEADER_BYTES, 0);
    socket.read_exact(&mut incoming[begin..]).await?;
    let header = &incoming[begin..];
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    if length <= limits::TLS_RECORD_BYTES_MAX {
        incoming.resize(begin + HEADER_BYTES + length, 0);
        socket.read_exact(&mut incoming[begin + HEADER_BYTES..]).await?;
    }
    Ok(())
}
