//! Owns an HTTP/2 connection without TLS (prior knowledge, RFC 9113 3.3), spoken by hyper and shared
//! by as many clients as it has streams.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::Mutex;

use super::{RequestHead, Response, Shared, Sink, Upload, append_bounded, connect};
use crate::endpoint::Endpoint;
use crate::failure::Failure;
use crate::limits;

/// One stream at a time on a shared connection.
pub(crate) struct Client {
    connection: Rc<Connection>,
}

/// One connection after the other to one endpoint, used by several clients of a thread.
pub(super) struct Connection {
    endpoint: Arc<Endpoint>,
    shared: Rc<Shared>,
    sender: Mutex<Option<SendRequest<Upload>>>,
}

impl Connection {
    pub(super) fn new(endpoint: Arc<Endpoint>, shared: Rc<Shared>) -> Rc<Connection> {
        Rc::new(Connection { endpoint, shared, sender: Mutex::new(None) })
    }

    /// The open connection, or a new one. Clients that come while one is made wait for it.
    async fn sender(&self) -> Result<SendRequest<Upload>, Failure> {
        let mut sender = self.sender.lock().await;
        if let Some(sender) = sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let stream = connect(&self.endpoint, &self.shared).await?;
        let (opened, connection) = Builder::new(LocalExecutor)
            .initial_stream_window_size(limits::HTTP2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(limits::HTTP2_CONNECTION_WINDOW_BYTES)
            .max_frame_size(limits::HTTP2_FRAME_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::Connect {
                address: self.endpoint.address.to_string(),
                reason: format!("HTTP/2 handshake: {error}"),
            })?;
        // Its failure reaches every stream of the connection, where it is counted.
        tokio::task::spawn_local(async move { drop(connection.await) });
        *sender = Some(opened.clone());
        Ok(opened)
    }
}

impl Client {
    pub(super) fn new(connection: Rc<Connection>) -> Client {
        Client { connection }
    }

    /// See [`super::Client::open`].
    pub(super) async fn open(&mut self) -> Result<(), Failure> {
        self.connection.sender().await.map(drop)
    }

    /// See [`super::Client::exchange`].
    pub(super) async fn exchange(
        &mut self,
        head: &RequestHead<'_>,
        upload: Upload,
        sink: Sink<'_>,
    ) -> Result<Response, Failure> {
        let mut sender = self.connection.sender().await?;
        let request = self.request(head, upload)?;
        sender.ready().await.map_err(lost)?;
        let response = sender.send_request(request).await.map_err(lost)?;
        let first_byte = Instant::now();
        receive(response, first_byte, sink).await
    }

    fn request(
        &self,
        head: &RequestHead<'_>,
        upload: Upload,
    ) -> Result<http::Request<Upload>, Failure> {
        let uri = format!("http://{}{}", self.connection.endpoint.host, head.target);
        let mut request = http::Request::builder().method(head.method).uri(uri);
        for (name, value) in &head.headers {
            request = request.header(*name, value);
        }
        if upload.remaining() > 0 || matches!(head.method, "PUT" | "POST") {
            request = request.header("content-length", upload.remaining());
        }
        request
            .body(upload)
            .map_err(|error| Failure::Malformed(format!("the request cannot be sent: {error}")))
    }
}

async fn receive(
    response: http::Response<Incoming>,
    first_byte: Instant,
    mut sink: Sink<'_>,
) -> Result<Response, Failure> {
    let (parts, mut body) = response.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let success = parts.status.is_success();
    let mut answer = Response {
        status: parts.status.as_u16(),
        first_byte,
        body_bytes: 0,
        content_length: header("content-length").and_then(|length| length.parse().ok()),
        etag: header("etag").map(str::to_owned),
        error_body: Vec::new(),
    };
    let mut body = std::pin::Pin::new(&mut body);
    while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await
    {
        if let Some(data) = frame.map_err(lost)?.data_ref() {
            answer.body_bytes += data.len() as u64;
            if success {
                sink.accept(data);
            } else {
                append_bounded(&mut answer.error_body, data, limits::ERROR_BODY_BYTES_MAX);
            }
        }
    }
    Ok(answer)
}

/// Runs hyper's tasks on the thread of the connection.
#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

fn lost(error: hyper::Error) -> Failure {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    Failure::Disconnected(text)
}
