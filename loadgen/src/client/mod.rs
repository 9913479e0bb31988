//! Owns the client's side of HTTP: one exchange at a time, over HTTP/1.1 (`http1.rs`, written for
//! this) or HTTP/2 (`http2.rs`, hyper). Bodies to send come from `upload.rs`, bodies that arrive go
//! through `response.rs` to a [`Sink`].
//!
//! HTTP/1.1 is written here because the load generator must cost less than the server: it sends
//! from one buffer, reads into one buffer per thread, and has the kernel drop bodies that are only
//! counted.
//!
//! Not here: what is asked and what an answer means for it (`operation.rs`).

mod http1;
mod http2;
mod response;
mod upload;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::endpoint::{Endpoint, Protocol};
use crate::failure::Failure;
use crate::limits;
use crate::verify::Checker;

pub(crate) use http1::Client as Http1Client;
pub(crate) use upload::Upload;

/// The head of a request, without what the connection adds (`Host`, `Content-Length`).
#[derive(Clone, Debug)]
pub(crate) struct RequestHead<'a> {
    pub(crate) method: &'static str,
    /// Path and query, percent-encoded.
    pub(crate) target: Cow<'a, str>,
    /// Lower-case names.
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// A complete answer; its body went to the [`Sink`].
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// When its first byte was read.
    pub(crate) first_byte: Instant,
    /// Bytes of the body, framing not counted.
    pub(crate) body_bytes: u64,
    /// The `Content-Length` header, also of answers without a body (HEAD).
    pub(crate) content_length: Option<u64>,
    pub(crate) etag: Option<String>,
    /// The beginning of the body when `status` is 300 or more.
    pub(crate) error_body: Vec<u8>,
}

/// Where the body of a successful answer goes.
pub(crate) enum Sink<'a> {
    /// Nowhere; its bytes are counted, not looked at.
    Count,
    /// Into memory, at most [`limits::XML_BODY_BYTES_MAX`] of it.
    Collect(&'a mut Vec<u8>),
    /// Compared with what it should be.
    Check(&'a mut Checker),
    /// Together with its head, whatever its status. Only over HTTP/1.1: see [`Http1Client`].
    Whole(&'a mut dyn WholeAnswer),
}

/// Takes an answer with all its headers, and its body whatever its status is.
pub(crate) trait WholeAnswer {
    /// The head of the final answer, before its body. Headers as they came, repeated ones included.
    fn begin(&mut self, status: u16, headers: Vec<(String, String)>);

    /// The next piece of the body. An error ends the connection.
    fn accept(&mut self, piece: &[u8]) -> Result<(), Failure>;
}

impl Sink<'_> {
    fn accept(&mut self, bytes: &[u8]) {
        match self {
            Sink::Count => {}
            Sink::Collect(collected) => {
                append_bounded(collected, bytes, limits::XML_BODY_BYTES_MAX)
            }
            Sink::Check(checker) => checker.accept(bytes),
            // Given by the reader of answers, which can fail.
            Sink::Whole(_) => {}
        }
    }
}

/// One line of requests to an endpoint: at most one exchange is in flight. It connects when there is
/// no connection; one whose exchange failed or was dropped is not used again.
pub(crate) enum Client {
    Http1(http1::Client),
    Http2(http2::Client),
}

impl Client {
    /// `count` clients of this thread. HTTP/2 clients share connections, as many to each as the
    /// endpoint's protocol says.
    pub(crate) fn several(
        endpoint: &Arc<Endpoint>,
        count: usize,
        shared: &Rc<Shared>,
    ) -> Vec<Client> {
        match endpoint.protocol {
            Protocol::Http1 => (0..count)
                .map(|_| Client::Http1(http1::Client::new(endpoint.clone(), shared.clone())))
                .collect(),
            Protocol::Http2 { streams } => (0..count)
                .flat_map(|_| {
                    let connection = http2::Connection::new(endpoint.clone(), shared.clone());
                    (0..streams).map(move |_| Client::Http2(http2::Client::new(connection.clone())))
                })
                .collect(),
        }
    }

    /// Connects if there is no connection.
    pub(crate) async fn open(&mut self) -> Result<(), Failure> {
        match self {
            Client::Http1(client) => client.open().await,
            Client::Http2(client) => client.open().await,
        }
    }

    /// Sends the request and reads the whole answer. The body goes to `sink` when the status is a
    /// success. Any status is an `Ok`; failures are those of connection and protocol.
    pub(crate) async fn exchange(
        &mut self,
        head: &RequestHead<'_>,
        upload: Upload,
        sink: Sink<'_>,
    ) -> Result<Response, Failure> {
        match self {
            Client::Http1(client) => client.exchange(head, upload, sink).await,
            Client::Http2(client) => client.exchange(head, upload, sink).await,
        }
    }
}

/// What the clients of one thread share.
pub(crate) struct Shared {
    /// Reads go here; nobody holds it across a wait.
    read_buffer: RefCell<Box<[u8]>>,
    /// Address space named to the kernel when it drops bytes. Never touched, so it costs no memory.
    discard_buffer: RefCell<Box<[u8]>>,
    connections_opened: Cell<u64>,
}

impl Shared {
    pub(crate) fn new() -> Rc<Shared> {
        Rc::new(Shared {
            read_buffer: RefCell::new(vec![0; limits::READ_BYTES].into_boxed_slice()),
            discard_buffer: RefCell::new(vec![0; limits::DISCARD_BYTES].into_boxed_slice()),
            connections_opened: Cell::new(0),
        })
    }

    /// Connections opened so far.
    pub(crate) fn connections_opened(&self) -> u64 {
        self.connections_opened.get()
    }

    fn count_connection(&self) {
        self.connections_opened.set(self.connections_opened.get() + 1);
    }
}

/// A TCP connection to the endpoint with Nagle's algorithm off.
async fn connect(endpoint: &Endpoint, shared: &Shared) -> Result<tokio::net::TcpStream, Failure> {
    let failed =
        |reason: String| Failure::Connect { address: endpoint.address.to_string(), reason };
    let connecting = tokio::net::TcpStream::connect(endpoint.address);
    let stream = tokio::time::timeout(limits::CONNECT_WAIT, connecting)
        .await
        .map_err(|_| failed(format!("not accepted within {:?}", limits::CONNECT_WAIT)))?
        .map_err(|error| failed(error.to_string()))?;
    stream.set_nodelay(true).map_err(|error| failed(error.to_string()))?;
    shared.count_connection();
    Ok(stream)
}

fn append_bounded(collected: &mut Vec<u8>, bytes: &[u8], most: usize) {
    let room = most.saturating_sub(collected.len());
    collected.extend_from_slice(&bytes[..bytes.len().min(room)]);
}
