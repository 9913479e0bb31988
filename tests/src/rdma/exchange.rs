//! Owns: signed HTTP exchanges that are under way while the test does something else. Each runs on a
//! thread of its own; its connection can be closed at any time.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};

use rdma::fabric::RemoteWindow;
use tokio::task::JoinHandle;

use crate::http::{Connection, Response};
use crate::sign::{Credentials, Request, Signer};

/// Who asks, and whom.
#[derive(Debug, Clone)]
pub struct Asker {
    /// The server.
    pub address: SocketAddr,
    /// Whose signature.
    pub credentials: Credentials,
}

/// A request whose answer has not come.
#[derive(Debug)]
pub struct Pending {
    stream: TcpStream,
    task: JoinHandle<io::Result<(Response, Connection)>>,
}

impl Asker {
    /// The server's, with its site's credentials.
    pub fn of(server: &crate::server::Server) -> Self {
        let client = server.client();
        Self { address: server.address, credentials: client.credentials().clone() }
    }

    /// A request with `Host`, not yet signed. `target` is path and query as they go out.
    pub fn request(&self, method: &str, target: &str) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Request::new(method, path).header("Host", &self.address.to_string());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            request.query.push((decoded(name), decoded(value)));
        }
        request
    }

    /// The same for an object, with a token of this connection.
    pub fn with_token(
        &self,
        method: &str,
        target: &str,
        connection: &str,
        window: RemoteWindow,
    ) -> Request {
        let RemoteWindow { address, size, rkey } = window;
        let token = format!("rc:{connection}:{address:016x}:{size:08x}:{rkey:08x}");
        self.request(method, target).header("x-amz-rdma-token", &token)
    }

    /// Signs every header, the payload as `UNSIGNED-PAYLOAD`.
    #[must_use]
    pub fn signed(&self, mut request: Request) -> Request {
        Signer::new(&self.credentials).sign_as(&mut request, "UNSIGNED-PAYLOAD");
        request
    }

    /// Signs, sends on a new connection, and waits for the answer on this thread.
    pub fn ask(&self, request: Request) -> io::Result<Response> {
        let mut connection = Connection::open(self.address)?;
        let request = self.signed(request);
        connection.send(&request.bytes())?;
        connection.receive(request.method != "HEAD")
    }

    /// Signs and sends on a new connection; the answer is awaited elsewhere.
    pub fn start(&self, request: Request) -> io::Result<Pending> {
        let connection = Connection::open(self.address)?;
        Pending::new(connection, &self.signed(request))
    }
}

impl Pending {
    /// Sends a signed request; its answer is read by a thread.
    pub(super) fn new(mut connection: Connection, request: &Request) -> io::Result<Self> {
        let stream = connection.stream().try_clone()?;
        let (bytes, body_expected) = (request.bytes(), request.method != "HEAD");
        let task = tokio::task::spawn_blocking(move || {
            connection.send(&bytes)?;
            let answer = connection.receive(body_expected)?;
            Ok((answer, connection))
        });
        Ok(Self { stream, task })
    }

    /// The answer.
    pub async fn answer(mut self) -> io::Result<Response> {
        self.finish().await.map(|(answer, _)| answer)
    }

    /// The answer, and the connection that it came on.
    pub(super) async fn finish(&mut self) -> io::Result<(Response, Connection)> {
        (&mut self.task).await.map_err(io::Error::other)?
    }

    /// Whether it is there.
    pub fn is_answered(&self) -> bool {
        self.task.is_finished()
    }

    /// Closes the connection under it.
    pub fn hang_up(&self) {
        // The other end may have done so already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.task.is_finished() {
            self.hang_up();
        }
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let byte = escaped
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        assert_eq!(decoded("a%2Fb%20c+d%"), "a/b c+d%");
    }
}
