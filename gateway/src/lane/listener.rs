//! Listening sockets: one per lane and address, all bound before any lane starts.
//!
//! Owns: `SO_REUSEPORT` sharing, so that the kernel spreads connections over lanes, and the check
//! that no other process already listens: two servers of the same user would otherwise share the
//! port without a word, each answering for half of the requests.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use crate::limits;

/// Why an address cannot be listened on.
#[derive(Debug)]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub error: Errno,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remedy = match self.error {
            Errno::ADDRINUSE => {
                "another process listens there; stop it or choose another address with --listen \
                 or --admin-listen"
            }
            Errno::ADDRNOTAVAIL => {
                "this machine has no such address; use one of its own, or 0.0.0.0 for all"
            }
            Errno::ACCESS | Errno::PERM => {
                "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher port or grant it"
            }
            Errno::MFILE | Errno::NFILE => "too few file descriptors; raise ulimit -n",
            _ => "choose another address",
        };
        let error = io::Error::from(self.error);
        write!(f, "cannot listen on {}: {error}; {remedy}", self.address)
    }
}

impl std::error::Error for ListenError {}

/// Binds each address once per lane. The answer has one list per lane, in the order of the
/// addresses. Port 0 becomes the same free port on every lane.
///
/// # Errors
/// The first address that cannot be listened on.
pub fn bind(addresses: &[SocketAddr], lanes: usize) -> Result<Vec<Vec<TcpListener>>, ListenError> {
    let mut per_lane: Vec<Vec<TcpListener>> = (0..lanes).map(|_| Vec::new()).collect();
    for wanted in addresses {
        let mut address = *wanted;
        let failed = |error: Errno| ListenError { address: *wanted, error };
        // Alone first: this fails when anybody else listens, shared or not.
        drop(listen(address, false).map_err(failed)?);
        for listeners in &mut per_lane {
            let listener = listen(address, true).map_err(failed)?;
            if address.port() == 0 {
                address = listener
                    .local_addr()
                    .map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
            }
            listeners.push(listener);
        }
    }
    Ok(per_lane)
}

/// One listening socket, not blocking.
pub fn listen(address: SocketAddr, shared: bool) -> Result<TcpListener, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    // Connections of an earlier process in TIME_WAIT do not stand in the way of a restart.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if shared {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    net::bind(&socket, &address)?;
    net::listen(&socket, limits::BACKLOG)?;
    Ok(TcpListener::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn lanes_share_an_address_and_port_zero_becomes_one_port() {
        let lanes = bind(&["127.0.0.1:0".parse().unwrap()], 3).unwrap();
        let address = lanes[0][0].local_addr().unwrap();
        assert_ne!(address.port(), 0);
        for lane in &lanes {
            assert_eq!(lane[0].local_addr().unwrap(), address);
        }
        TcpStream::connect(address).unwrap();
    }

    #[test]
    fn an_address_that_another_listens_on_is_refused_even_when_that_one_shares() {
        let first = bind(&["127.0.0.1:0".parse().unwrap()], 1).unwrap();
        let address = first[0][0].local_addr().unwrap();
        let error = bind(&[address], 1).unwrap_err();
        assert_eq!(error.error, Errno::ADDRINUSE);
        let text = error.to_string();
        assert!(text.contains(&address.to_string()) && text.contains("--listen"), "{text}");
    }

    #[test]
    fn an_address_of_another_machine_is_refused_with_the_remedy() {
        let error = bind(&["192.0.2.1:9000".parse().unwrap()], 1).unwrap_err();
        assert!(error.to_string().contains("0.0.0.0"), "{error}");
    }
}
