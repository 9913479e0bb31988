//! Owns the connections of the pooled form: made once, used for many objects, one at a time each.
//!
//! *Limits:* [`super::ClientOptions::pool_connections`]; who finds none free waits
//! [`super::ClientOptions::connect_time`]. *Not here:* what one object takes (`pooled_get.rs`, `pooled_put.rs`).

use std::cell::RefCell;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::Client;
use super::control::{AnswerHead, Control, ControlRequest, Method};
use super::exchange::{Backoff, Document, exchange, is_busy, is_unsupported, refused};
use super::outcome::{ClientError, Tally};
use super::plain::CONTENT_SHA256;
use super::session::no_random;
use super::session_answer::{needed, text};
use crate::fabric::{
    Connected, Initialised, Peer, QueuePair, QueuePairOptions, QueuePairShape, RemoteAccess,
};
use crate::limits::{CLIENT_RECEIVE_DEPTH, CLIENT_SEND_DEPTH};
use crate::wire::{
    RcToken, ReplyCode, SessionId, display_psn, header, parse_psn, random_psn, route,
};

/// Connections to one server, for one principal. Operations on it may run at the same time, each on a connection of
/// its own; they are made when they are needed and kept.
pub struct Pool {
    pub(super) client: Client,
    idle: RefCell<Vec<Line>>,
    places: Semaphore,
}

/// One connection.
pub(super) struct Line {
    pub(super) id: SessionId,
    pair: QueuePair<Connected>,
}

impl Client {
    /// A pool with its first connection.
    ///
    /// # Errors
    /// [`ClientError::Unsupported`] where the server has no pooled form; and what else can fail.
    pub async fn connect<C: Control>(&self, control: &C) -> Result<Pool, ClientError> {
        let places = self.options.pool_connections.clamp(1, Semaphore::MAX_PERMITS);
        let pool =
            Pool { client: self.clone(), idle: RefCell::default(), places: Semaphore::new(places) };
        let first = pool.make_line(control, &mut Tally::default()).await?;
        pool.idle.borrow_mut().push(first);
        Ok(pool)
    }
}

impl Pool {
    /// Connections that are idle.
    #[must_use]
    pub fn idle_connections(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Ends all connections, here and at the server. One that just drops the pool leaves the server's half to the
    /// server's own deadline.
    pub async fn disconnect<C: Control>(self, control: &C) {
        let lines = self.idle.take();
        for line in lines {
            self.end(control, line).await;
        }
    }

    /// The right to use a connection.
    pub(super) async fn place(&self) -> Result<SemaphorePermit<'_>, ClientError> {
        let after = self.client.options.connect_time;
        match tokio::time::timeout(after, self.places.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            // Nobody closes the semaphore.
            Ok(Err(_)) | Err(_) => Err(ClientError::NoConnection { after }),
        }
    }

    /// A connection, idle or new.
    pub(super) async fn line<C: Control>(
        &self,
        control: &C,
        tally: &mut Tally,
    ) -> Result<Line, ClientError> {
        let idle = self.idle.borrow_mut().pop();
        match idle {
            Some(line) => Ok(line),
            None => self.make_line(control, tally).await,
        }
    }

    /// Keeps a connection for the next.
    pub(super) fn keep(&self, line: Line) {
        self.idle.borrow_mut().push(line);
    }

    /// Ends a connection, of which nothing is known or wanted any more, on both sides. Ready when nothing can come
    /// through it.
    pub(super) async fn end<C: Control>(&self, control: &C, line: Line) {
        let Line { id, pair } = line;
        // Not a clean one: the memory's own key dies, too, wherever this was an error.
        let (_, ()) = tokio::join!(pair.fence(), self.tell(control, id));
    }

    /// Ends a connection that the server does not know.
    pub(super) async fn forget(&self, line: Line) {
        let _ = line.pair.fence().await;
    }

    /// Tells the server that a connection is over. Its answer changes nothing here.
    async fn tell<C: Control>(&self, control: &C, id: SessionId) {
        let headers = vec![
            (header::SESSION, id.to_string()),
            (CONTENT_SHA256.0, CONTENT_SHA256.1.to_owned()),
        ];
        let request = ControlRequest::new(Method::Post, route::DISCONNECT.to_owned(), headers);
        let time = self.client.options.cancel_time;
        let mut document = Document::default();
        match exchange(control, request, &mut document, "DISCONNECT", time).await {
            Ok(head) if head.is_success() => {}
            Ok(head) => tracing::debug!(%id, status = head.status, "DISCONNECT was refused"),
            Err(error) => tracing::debug!(%id, %error, "DISCONNECT had no answer"),
        }
    }

    /// Connects.
    async fn make_line<C: Control>(
        &self,
        control: &C,
        tally: &mut Tally,
    ) -> Result<Line, ClientError> {
        let shape =
            QueuePairShape { send_depth: CLIENT_SEND_DEPTH, receive_depth: CLIENT_RECEIVE_DEPTH };
        let options = QueuePairOptions { shape, access: RemoteAccess::ReadWrite };
        let pair = self.client.endpoint.queue_pair(&options)?;
        let facts = self.client.endpoint.fabric().facts();
        let psn = random_psn().map_err(no_random)?;
        let token = RcToken::identity(pair.number(), facts.gid, facts.port, facts.lid);
        let mut backoff = Backoff::new(&self.client.options);
        loop {
            let headers = vec![
                (header::TOKEN, token.to_string()),
                (header::PSN, display_psn(psn).to_string()),
                (CONTENT_SHA256.0, CONTENT_SHA256.1.to_owned()),
            ];
            let request = ControlRequest::new(Method::Post, route::CONNECT.to_owned(), headers);
            let time = self.client.options.connect_time;
            let mut document = Document::default();
            let head = exchange(control, request, &mut document, "CONNECT", time).await?;
            if is_unsupported(&head) {
                return Err(ClientError::Unsupported);
            }
            if is_busy(&head) {
                tally.retries += 1;
                backoff.pause().await?;
                continue;
            }
            if !head.is_success() {
                return Err(refused("CONNECT", &head, &document));
            }
            return self.join(control, &head, pair, psn).await;
        }
    }

    /// Connects the queue pair with the one that the server has named.
    async fn join<C: Control>(
        &self,
        control: &C,
        head: &AnswerHead,
        pair: QueuePair<Initialised>,
        psn: crate::fabric::Psn,
    ) -> Result<Line, ClientError> {
        let id = head.header(header::SESSION).and_then(|id| SessionId::parse(id).ok());
        let joined = read_connected(head)
            .map_err(|why| ClientError::Malformed { step: "CONNECT", why })
            .and_then(|(id, peer)| Ok((id, self.client.connection(peer, psn)?)))
            .and_then(|(id, connection)| Ok((id, pair.connect(&connection)?)));
        match (joined, id) {
            (Ok((id, pair)), _) => Ok(Line { id, pair }),
            (Err(error), Some(id)) => {
                self.tell(control, id).await;
                Err(error)
            }
            (Err(error), None) => Err(error),
        }
    }
}

/// Reads the answer to CONNECT.
fn read_connected(head: &AnswerHead) -> Result<(SessionId, Peer), String> {
    let id = SessionId::parse(needed(head, header::SESSION)?).map_err(text)?;
    let reply = ReplyCode::parse(needed(head, header::REPLY)?).map_err(text)?;
    let ReplyCode::Prepared(token) = reply else {
        return Err(format!("{} has no token", header::REPLY));
    };
    let psn = parse_psn(needed(head, header::PSN)?).map_err(text)?;
    let qpn = token.queue_pair().map_err(text)?;
    Ok((id, Peer { qpn, gid: token.gid, lid: token.lid, psn }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_connect() {
        let token = "011500000000000000000000000000ffff0a4d00010000000000000000000000000000000000000000010000";
        let good = [
            (header::SESSION, "ee1d198a3b1f24b75b69eafda03d9865".to_owned()),
            (header::REPLY, format!("200:{token}")),
            (header::PSN, "ace551".to_owned()),
        ];
        let with = |name: &str, value: Option<&str>| {
            let mut headers: Vec<(String, String)> =
                good.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            headers.retain(|(found, _)| found != name);
            headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
            read_connected(&AnswerHead { status: 200, headers })
        };
        let (id, peer) = with("", None).expect("well formed");
        assert_eq!(id.to_string(), good[0].1);
        assert_eq!((peer.qpn.number(), peer.psn.number()), (0x15, 0x00ac_e551));
        for (name, value) in [
            (header::SESSION, None),
            (header::SESSION, Some("ee")),
            (header::REPLY, None),
            (header::REPLY, Some("200")),
            (header::REPLY, Some("501")),
            (header::REPLY, Some("200:00")),
            (header::PSN, None),
            (header::PSN, Some("0")),
            (header::PSN, Some("1000000")),
        ] {
            assert!(with(name, value).is_err(), "{name}: {value:?}");
        }
    }
}
