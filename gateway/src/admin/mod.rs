//! The administration address: metrics, health, readiness, and orders of the command line.
//!
//! Owns: the HTTP server on the process's main thread and its routes.
//! `/metrics`, `/healthz` and `/readyz` are open to whoever reaches the address; what changes
//! anything needs the token that only who can read the data directory knows (`pass.rs`).
//! Not here: signals and the end of the process (`control.rs`).

pub mod client;
pub mod control;
pub mod pass;
pub mod state;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::lane::{Order, OrderError, OrderKind};
use crate::limits;
use crate::metrics::{Exporter, openmetrics};

/// Tells what keeps the process from serving well, beyond the drain.
pub trait Health: Send + Sync {
    /// One line per trouble; none when all is well. Called on every look at `/readyz`.
    fn troubles(&self) -> Vec<String>;
}

/// What the administration answers from.
pub struct Administration {
    /// Metrics.
    pub exporter: Exporter,
    /// What is wrong with the store.
    pub health: Arc<dyn Health>,
    /// What `/api/v1/state` says.
    pub state: Arc<dyn state::StateSource>,
    /// Set at the start of the drain.
    pub draining: Arc<AtomicBool>,
    /// The way to lane 0.
    pub orders: mpsc::Sender<Order>,
    /// What orders have to show.
    pub token: pass::Token,
}

impl fmt::Debug for Administration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Administration").finish_non_exhaustive()
    }
}

/// Serves until dropped. Runs inside a `LocalSet`.
pub async fn serve(listener: TcpListener, administration: Rc<Administration>) {
    let places = Arc::new(Semaphore::new(limits::ADMIN_CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((socket, _)) => {
                let administration = administration.clone();
                tokio::task::spawn_local(async move {
                    converse(socket, administration).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the administration address");
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(socket: TcpStream, administration: Rc<Administration>) {
    let service = service_fn(|request| {
        let administration = administration.clone();
        async move { Ok::<_, Infallible>(administration.answer(request).await) }
    });
    let outcome = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::ADMIN_HEADER_TIME)
        .max_buf_size(limits::ADMIN_BUFFER_BYTES)
        .serve_connection(TokioIo::new(socket), service)
        .await;
    if let Err(error) = outcome {
        tracing::debug!(%error, "administration connection ended");
    }
}

type Answer = Response<Full<Bytes>>;

impl Administration {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path();
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        match path {
            "/metrics" | "/healthz" | "/readyz" | "/api/v1/state" if !reads => {
                not_allowed("GET, HEAD")
            }
            "/metrics" => self.metrics(request.headers().get(ACCEPT)),
            "/healthz" => json_answer(StatusCode::OK, &json!({"status": "ok"})),
            "/readyz" => self.readiness(),
            "/api/v1/state" => self.state(),
            _ => match bucket_of(path) {
                Some(bucket) => self.public_read(bucket, &request).await,
                None => plain(StatusCode::NOT_FOUND, "/metrics /healthz /readyz /api/v1/state\n"),
            },
        }
    }

    fn metrics(&self, accept: Option<&HeaderValue>) -> Answer {
        if openmetrics::is_wanted(accept) {
            let mut answer = Response::new(Full::new(Bytes::from(self.exporter.open_metrics())));
            answer.headers_mut().insert(CONTENT_TYPE, openmetrics::CONTENT_TYPE);
            return answer;
        }
        match self.exporter.text() {
            Ok(text) => {
                let mut answer = Response::new(Full::new(Bytes::from(text)));
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                answer.headers_mut().insert(CONTENT_TYPE, kind);
                answer
            }
            Err(error) => {
                tracing::error!(%error, "metrics");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n")
            }
        }
    }

    fn readiness(&self) -> Answer {
        let mut reasons = self.health.troubles();
        if self.draining.load(Ordering::Relaxed) {
            reasons.insert(0, "draining: the server is about to stop".into());
        }
        let ready = reasons.is_empty();
        let status = match ready {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        };
        json_answer(status, &json!({"ready": ready, "reasons": reasons}))
    }

    fn state(&self) -> Answer {
        match serde_json::to_value(self.state.state()) {
            Ok(state) => json_answer(StatusCode::OK, &state),
            Err(error) => {
                tracing::error!(%error, "state");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "the state cannot be written\n")
            }
        }
    }

    /// `PUT /buckets/NAME/public-read?on` or `?off`.
    async fn public_read(&self, bucket: &str, request: &Request<Incoming>) -> Answer {
        if request.method() != Method::PUT {
            return not_allowed("PUT");
        }
        let shown = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let expected = self.token.header();
        if !shown.is_some_and(|shown| bool::from(shown.ct_eq(expected.as_bytes()))) {
            return plain(StatusCode::UNAUTHORIZED, "the token of the data directory is needed\n");
        }
        let on = match request.uri().query() {
            Some("on") => true,
            Some("off") => false,
            _ => return plain(StatusCode::BAD_REQUEST, "?on or ?off\n"),
        };
        let what = OrderKind::PublicRead { bucket: bucket.to_owned(), on };
        match tokio::time::timeout(limits::ADMIN_COMMAND_TIME, self.order(what)).await {
            Ok(Ok(())) => json_answer(StatusCode::OK, &json!({"bucket": bucket, "public": on})),
            Ok(Err(error)) => {
                let status = match error {
                    OrderError::NoSuchBucket(_) => StatusCode::NOT_FOUND,
                    OrderError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
                };
                plain(status, &format!("{error}\n"))
            }
            Err(_) => plain(StatusCode::GATEWAY_TIMEOUT, "the store took too long\n"),
        }
    }

    async fn order(&self, what: OrderKind) -> Result<(), OrderError> {
        let (answer, outcome) = oneshot::channel();
        let gone = || OrderError::Failed("the server is about to stop".into());
        self.orders.send(Order { what, answer }).await.map_err(|_| gone())?;
        outcome.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn bucket_of(path: &str) -> Option<&str> {
    let bucket = path.strip_prefix("/buckets/")?.strip_suffix("/public-read")?;
    (!bucket.is_empty() && !bucket.contains('/')).then_some(bucket)
}

fn plain(status: StatusCode, text: &str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn json_answer(status: StatusCode, value: &serde_json::Value) -> Answer {
    let mut answer = plain(status, &format!("{value}\n"));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    answer
}
