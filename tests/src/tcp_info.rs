//! Owns: what the kernel counts of a socket (`TCP_INFO`, tcp(7)).
//!
//! The option has no safe call in the crates that are used here, so Python asks: it gets the socket
//! as its standard input. `struct tcp_info` of linux/tcp.h only ever grows at its end.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

/// What was counted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpInfo {
    /// Bytes that the peer has acknowledged.
    pub bytes_acked: u64,
    /// Bytes that have come in order.
    pub bytes_received: u64,
}

/// `tcpi_bytes_acked` is at byte 120, after 8 bytes, 24 words of 32 bits and two pacing rates.
const ASK: &str = "import socket, struct
raw = socket.socket(fileno=0).getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
print(*struct.unpack_from('<QQ', raw, 120))";

impl TcpInfo {
    /// Of this socket.
    ///
    /// # Errors
    /// When Python cannot be started, or says something else.
    pub fn of(stream: &TcpStream) -> io::Result<TcpInfo> {
        let socket = OwnedFd::from(stream.try_clone()?);
        let output =
            Command::new("python3").args(["-c", ASK]).stdin(Stdio::from(socket)).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut numbers = text.split_whitespace().map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(bytes_acked)), Some(Ok(bytes_received))) => {
                Ok(TcpInfo { bytes_acked, bytes_received })
            }
            _ => {
                let why = String::from_utf8_lossy(&output.stderr).into_owned();
                Err(io::Error::other(format!("TCP_INFO: {text} {why}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn bytes_are_counted_both_ways() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut there, _) = listener.accept().unwrap();
        there.write_all(&[7; 1000]).unwrap();
        here.write_all(&[7; 10]).unwrap();
        here.read_exact(&mut [0; 1000]).unwrap();
        there.read_exact(&mut [0; 10]).unwrap();
        let info = TcpInfo::of(&here).unwrap();
        assert_eq!(info.bytes_received, 1000);
        // One more: the SYN counts as sent.
        assert!((10..=11).contains(&info.bytes_acked), "{info:?}");
    }
}
