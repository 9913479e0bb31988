//! A small S3-like server in memory on hyper, with faults to order: what the load generator is
//! tried against. It checks no signatures; it keeps what was sent to it, so that tests can.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

/// A running server; it lives as long as the test's process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<State>,
}

/// What the server holds and has seen.
#[derive(Default)]
pub(crate) struct State {
    /// Objects by path, `/bucket/key`.
    pub(crate) objects: Mutex<BTreeMap<String, Bytes>>,
    uploads: Mutex<HashMap<String, BTreeMap<u32, Bytes>>>,
    /// Heads of requests, in order of arrival.
    pub(crate) requests: Mutex<Vec<Seen>>,
    pub(crate) connections: AtomicU64,
    pub(crate) faults: Faults,
}

/// What of a request is kept.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: http::HeaderMap,
}

/// What the server does wrong.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    /// Every n-th request is answered 503 SlowDown.
    pub(crate) slow_down_every: Option<u64>,
    /// The n-th request waits this long.
    pub(crate) stall: Option<(u64, Duration)>,
    /// Connections end after so many answers, as nginx's do after keepalive_requests.
    pub(crate) answers_per_connection: Option<u64>,
    /// Connections are closed unannounced, 2 ms after so many answers.
    pub(crate) close_after: Option<u64>,
    /// Uploads are refused before their body is read.
    pub(crate) refuse_uploads: bool,
    /// The routes of both RDMA protocols are answered as by a server that has them switched off.
    pub(crate) rdma_off: bool,
}

/// The protocol a server speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
}

impl Server {
    /// Starts a server on a free port of the loopback.
    pub(crate) fn start(speaks: Speaks, faults: Faults) -> Server {
        let state = Arc::new(State { faults, ..State::default() });
        let (sender, receiver) = mpsc::channel();
        let shared = state.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
                sender.send(listener.local_addr().expect("an address")).expect("the test waits");
                loop {
                    let (stream, _) = listener.accept().await.expect("a connection");
                    stream.set_nodelay(true).expect("nodelay");
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(serve(stream, speaks, shared.clone()));
                }
            });
        });
        Server { address: receiver.recv().expect("the server started"), state }
    }

    /// A plain HTTP/1.1 server without faults.
    pub(crate) fn plain() -> Server {
        Server::start(Speaks::Http1, Faults::default())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stores an object of zeros.
    pub(crate) fn put(&self, path: &str, size: usize) {
        let mut objects = self.state.objects.lock().expect("no panic");
        objects.insert(path.to_owned(), vec![0; size].into());
    }

    /// Changes the bytes of the object at `path`; `None` removes it.
    pub(crate) fn damage(&self, path: &str, change: impl FnOnce(&mut Vec<u8>) -> bool) {
        let mut objects = self.state.objects.lock().expect("no panic");
        let mut bytes = objects.remove(path).expect("an object").to_vec();
        if change(&mut bytes) {
            objects.insert(path.to_owned(), bytes.into());
        }
    }
}

async fn serve(stream: tokio::net::TcpStream, speaks: Speaks, state: Arc<State>) {
    let answered = Arc::new(AtomicU64::new(0));
    let spent = Arc::new(tokio::sync::Notify::new());
    let close = spent.clone();
    let service = service_fn(move |request| {
        let (state, answered, spent) = (state.clone(), answered.clone(), spent.clone());
        async move {
            let mut response = answer(request, &state).await;
            let number = answered.fetch_add(1, Ordering::Relaxed) + 1;
            if state.faults.answers_per_connection == Some(number) {
                let close = http::HeaderValue::from_static("close");
                response.headers_mut().insert("connection", close);
            }
            if state.faults.close_after == Some(number) {
                spent.notify_one();
            }
            Ok::<_, Infallible>(response)
        }
    });
    let stream = TokioIo::new(stream);
    // Connections that the load generator drops are no failure of the server.
    if speaks == Speaks::Http1 {
        let builder = hyper::server::conn::http1::Builder::new();
        tokio::select! {
            connection = builder.serve_connection(stream, service) => drop(connection),
            () = async {
                close.notified().await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            } => {}
        }
    } else {
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        drop(builder.serve_connection(stream, service).await);
    }
}

async fn answer(request: Request<Incoming>, state: &State) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let number = {
        let mut requests = state.requests.lock().expect("no panic");
        requests.push(Seen {
            method: parts.method.clone(),
            target: parts.uri.path_and_query().expect("a target").to_string(),
            headers: parts.headers.clone(),
        });
        requests.len() as u64
    };
    if let Some((at, time)) = state.faults.stall
        && at == number
    {
        tokio::time::sleep(time).await;
    }
    if let Some(every) = state.faults.slow_down_every
        && number.is_multiple_of(every)
    {
        return error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown");
    }
    if state.faults.refuse_uploads && parts.method == Method::PUT {
        return error(StatusCode::FORBIDDEN, "AccessDenied");
    }
    if state.faults.rdma_off && parts.uri.path().starts_with("/.") {
        let mut response = error(StatusCode::NOT_IMPLEMENTED, "NotImplemented");
        let unsupported = http::HeaderValue::from_static("unsupported");
        response.headers_mut().insert("x-amz-rdma-protocol-status", unsupported);
        return response;
    }
    let Ok(body) = body.collect().await else {
        return error(StatusCode::BAD_REQUEST, "IncompleteBody");
    };
    let body = decoded(&parts.headers, body.to_bytes());
    let path = parts.uri.path().to_owned();
    match (parts.method.as_str(), parameter(&parts.uri, "uploadId")) {
        ("POST", None) => {
            let id = format!("up&{number}");
            state.uploads.lock().expect("no panic").insert(id.clone(), BTreeMap::new());
            let id = id.replace('&', "&amp;");
            ok(format!("<R><UploadId>{id}</UploadId></R>").into())
        }
        ("PUT", Some(id)) => {
            let part =
                parameter(&parts.uri, "partNumber").expect("a part").parse().expect("a number");
            let mut uploads = state.uploads.lock().expect("no panic");
            uploads.get_mut(&id).expect("an upload").insert(part, body);
            let mut response = ok(Bytes::new());
            let tag = format!("\"part-{part}\"").parse().expect("a header");
            response.headers_mut().insert("etag", tag);
            response
        }
        ("POST", Some(id)) => complete(state, path, &id, &body),
        ("PUT", None) => {
            state.objects.lock().expect("no panic").insert(path, body);
            ok(Bytes::new())
        }
        ("GET" | "HEAD", _) => read(state, &parts, &path),
        _ => error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
    }
}

fn complete(state: &State, path: String, id: &str, body: &Bytes) -> Response<Full<Bytes>> {
    let parts = state.uploads.lock().expect("no panic").remove(id).expect("an upload");
    let listed = String::from_utf8_lossy(body).matches("<ETag>\"part-").count();
    if listed != parts.len() {
        return error(StatusCode::BAD_REQUEST, "InvalidPart");
    }
    let whole: Vec<u8> = parts.into_values().flatten().collect();
    state.objects.lock().expect("no panic").insert(path, whole.into());
    ok(Bytes::from_static(b"<R><ETag>x</ETag></R>"))
}

fn read(state: &State, parts: &http::request::Parts, path: &str) -> Response<Full<Bytes>> {
    if parts.uri.query().is_some_and(|query| query.contains("list-type=2")) {
        return ok(Bytes::from_static(b"<ListBucketResult></ListBucketResult>"));
    }
    let Some(object) = state.objects.lock().expect("no panic").get(path).cloned() else {
        return error(StatusCode::NOT_FOUND, "NoSuchKey");
    };
    let Some(range) = parts.headers.get("range") else {
        return ok(object);
    };
    let range = range.to_str().expect("text").strip_prefix("bytes=").expect("bytes");
    let (start, last) = range.split_once('-').expect("a range");
    let start: usize = start.parse().expect("a number");
    let end = last.parse::<usize>().expect("a number") + 1;
    if start >= object.len() {
        return error(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange");
    }
    let end = end.min(object.len());
    let mut response = ok(object.slice(start..end));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let range = format!("bytes {start}-{}/{}", end - 1, object.len());
    response.headers_mut().insert("content-range", range.parse().expect("a header"));
    response
}

/// The content of an aws-chunked body; others as they are.
fn decoded(headers: &http::HeaderMap, body: Bytes) -> Bytes {
    if headers.get("content-encoding").is_none_or(|value| value != "aws-chunked") {
        return body;
    }
    let (mut rest, mut content) = (body.as_ref(), Vec::new());
    loop {
        let line = rest.windows(2).position(|at| at == b"\r\n").expect("a line");
        let size = std::str::from_utf8(&rest[..line]).expect("text");
        let size = usize::from_str_radix(size, 16).expect("a size");
        rest = &rest[line + 2..];
        if size == 0 {
            assert!(rest.starts_with(b"x-amz-checksum-crc64nvme:"), "the trailer announced");
            return content.into();
        }
        content.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

fn parameter(uri: &http::Uri, name: &str) -> Option<String> {
    let mut pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(value.replace("%26", "&"))
}

fn ok(body: Bytes) -> Response<Full<Bytes>> {
    Response::new(Full::new(body))
}

fn error(status: StatusCode, code: &str) -> Response<Full<Bytes>> {
    let body = format!("<Error><Code>{code}</Code></Error>");
    let mut response = ok(body.into());
    *response.status_mut() = status;
    response
}
