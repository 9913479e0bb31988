//! Owns: one connection of the pooled form, whose requests the test makes itself.

use std::io;

use rdma::fabric::{Connected, QueuePair, RemoteAccess, RemoteWindow};
use rdma::wire::{ReplyCode, parse_psn};

use super::exchange::{Asker, Pending};
use super::raw::Raw;
use crate::http::Response;
use crate::sign::Request;

/// A connected queue pair with its name.
pub struct RawConnection {
    /// As the server named it.
    pub id: String,
    /// This side's queue pair.
    pub pair: QueuePair<Connected>,
    asker: Asker,
}

impl Raw {
    /// Makes a connection, over which the server may do this.
    ///
    /// # Errors
    /// The answer, when it is not 200.
    ///
    /// # Panics
    /// When the answer is not as the protocol has it.
    pub fn connect_pooled(&self, access: RemoteAccess) -> Result<RawConnection, Response> {
        let pair = self.pair(access);
        let request = self
            .asker
            .request("POST", "/.s3rdma-rc/connect")
            .header("x-amz-rdma-token", &self.token(&pair).to_string())
            .header("x-amz-rdma-psn", "00abcd");
        let answer = self.asker.ask(request).expect("CONNECT is answered");
        if answer.status != 200 {
            return Err(answer);
        }
        let header = |name| answer.header(name).unwrap_or_else(|| panic!("no {name}: {answer:?}"));
        let reply = ReplyCode::parse(header("x-amz-rdma-reply")).expect("a reply");
        let ReplyCode::Prepared(token) = reply else { panic!("no token: {answer:?}") };
        let theirs = parse_psn(header("x-amz-rdma-psn")).expect("a PSN");
        let ours = parse_psn("00abcd").expect("a PSN");
        let id = header("x-amz-rdma-session").to_owned();
        let pair = self.connect(pair, ours, &token, theirs);
        Ok(RawConnection { id, pair, asker: self.asker.clone() })
    }
}

impl RawConnection {
    /// An object request over it.
    pub fn request(&self, method: &str, target: &str, window: RemoteWindow) -> Request {
        self.asker.with_token(method, target, &self.id, window)
    }

    /// Sends one.
    ///
    /// # Panics
    /// When there is no HTTP connection to be had.
    pub fn start(&self, method: &str, target: &str, window: RemoteWindow) -> Pending {
        self.asker.start(self.request(method, target, window)).expect("it can be sent")
    }

    /// DISCONNECT.
    ///
    /// # Errors
    /// No answer.
    pub fn disconnect(&self) -> io::Result<Response> {
        let request = self.asker.request("POST", "/.s3rdma-rc/disconnect");
        self.asker.ask(request.header("x-amz-rdma-session", &self.id))
    }
}

impl std::fmt::Debug for RawConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawConnection").field("id", &self.id).finish_non_exhaustive()
    }
}
