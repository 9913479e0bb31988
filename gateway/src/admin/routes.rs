//! What is asked on the administration address, and what it is answered from.
//!
//! | path | shows | to |
//! |---|---|---|
//! | `/healthz` | that the process answers | anybody |
//! | `/readyz` | whether it serves well; why not, to readers | anybody |
//! | `/`, `/console/…` | the console's page, which has no figures in it | anybody |
//! | `/metrics` | all metrics | readers |
//! | `/api/v1/state`, `/api/v1/slow`, `/api/v1/errors` | the state, and parts of it | readers |
//! | `/api/v1/log` | the last lines of the log | the trusted |
//! | `PUT /buckets/NAME/public-read?on` or `?off` | changes it | the trusted |
//!
//! Who is who: `access.rs`.

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderValue, Method, Request, StatusCode};
use serde_json::json;
use tokio::sync::oneshot;

use super::access::Standing;
use super::answer::{Answer, elsewhere, json, not_allowed, plain, unauthorized, whole};
use super::state::keeper;
use super::{Administration, console};
use crate::lane::{Order, OrderError, OrderKind};
use crate::limits;
use crate::metrics::openmetrics;
use crate::recent_log;

/// What readers need on addresses that others reach.
const READING: &str = "a token of admin.token_file, or a certificate of admin.client_ca, is needed \
                       here (without one only as localhost or by a loopback address)\n";
/// What changing needs everywhere.
const TRUST: &str = "a token of admin.token_file or of admin.json in the data directory, or a \
                     certificate of admin.client_ca, is needed\n";
/// What is said of paths that are nothing.
const PATHS: &str = "/ /metrics /healthz /readyz /api/v1/state /api/v1/slow /api/v1/errors \
                     /api/v1/log\n";

impl Administration {
    /// Answers one request; `certified` says that its client has shown a certificate.
    pub(super) async fn answer<B>(&self, request: Request<B>, certified: bool) -> Answer {
        let path = request.uri().path();
        let standing = self.access.borrow().standing(request.headers(), certified);
        if let Some(bucket) = bucket_of(path) {
            return match (request.method() == Method::PUT, standing) {
                (false, _) => not_allowed("PUT"),
                (true, Standing::Trusted) => self.public_read(bucket, request.uri().query()).await,
                (true, _) => unauthorized(TRUST),
            };
        }
        let Some(route) = Route::of(path) else {
            return plain(StatusCode::NOT_FOUND, PATHS);
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return not_allowed("GET, HEAD");
        }
        if standing < route.needs() {
            return unauthorized(match route.needs() {
                Standing::Trusted => TRUST,
                _ => READING,
            });
        }
        self.show(route, standing, request.headers().get(ACCEPT))
    }

    fn show(&self, route: Route, standing: Standing, accept: Option<&HeaderValue>) -> Answer {
        match route {
            Route::Asset(asset) => {
                whole(StatusCode::OK, asset.kind, Bytes::from_static(asset.text.as_bytes()))
            }
            Route::ToConsole => elsewhere("/"),
            Route::Health => json(StatusCode::OK, &json!({"status": "ok"})),
            Route::Readiness => self.readiness(standing),
            Route::Metrics => self.metrics(accept),
            Route::State => json(StatusCode::OK, &self.state.state()),
            Route::Slow => json(StatusCode::OK, &json!({"requests": self.state.state().slow})),
            Route::Errors => json(StatusCode::OK, &json!({"requests": self.state.state().errors})),
            Route::Log => plain(StatusCode::OK, &recent_log::PROCESS.text()),
        }
    }

    fn metrics(&self, accept: Option<&HeaderValue>) -> Answer {
        if openmetrics::is_wanted(accept) {
            let text = Bytes::from(self.exporter.open_metrics());
            return whole(StatusCode::OK, openmetrics::CONTENT_TYPE, text);
        }
        match self.exporter.text() {
            Ok(text) => {
                let kind = "text/plain; version=0.0.4; charset=utf-8";
                whole(StatusCode::OK, kind, Bytes::from(text))
            }
            Err(error) => {
                tracing::error!(%error, "metrics");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n")
            }
        }
    }

    fn readiness(&self, standing: Standing) -> Answer {
        let reasons = keeper::reasons(&*self.health, &self.draining);
        let ready = reasons.is_empty();
        let status = match ready {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        };
        match standing {
            // Reasons name devices and paths.
            Standing::Stranger => json(status, &json!({"ready": ready})),
            _ => {
                let warnings = self.health.warnings();
                json(status, &json!({"ready": ready, "reasons": reasons, "warnings": warnings}))
            }
        }
    }

    async fn public_read(&self, bucket: &str, query: Option<&str>) -> Answer {
        let on = match query {
            Some("on") => true,
            Some("off") => false,
            _ => return plain(StatusCode::BAD_REQUEST, "?on or ?off\n"),
        };
        let what = OrderKind::PublicRead { bucket: bucket.to_owned(), on };
        match tokio::time::timeout(limits::ADMIN_COMMAND_TIME, self.order(what)).await {
            Ok(Ok(())) => {
                tracing::info!(bucket, public = on, "public-read was set");
                json(StatusCode::OK, &json!({"bucket": bucket, "public": on}))
            }
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

/// What can be read.
#[derive(Clone, Copy)]
enum Route {
    Asset(&'static console::Asset),
    ToConsole,
    Health,
    Readiness,
    Metrics,
    State,
    Slow,
    Errors,
    Log,
}

impl Route {
    fn of(path: &str) -> Option<Route> {
        Some(match path {
            "/healthz" => Route::Health,
            "/readyz" => Route::Readiness,
            "/metrics" => Route::Metrics,
            "/api/v1/state" => Route::State,
            "/api/v1/slow" => Route::Slow,
            "/api/v1/errors" => Route::Errors,
            "/api/v1/log" => Route::Log,
            "/console" | "/console/" => Route::ToConsole,
            path => Route::Asset(console::asset(path)?),
        })
    }

    fn needs(self) -> Standing {
        match self {
            Route::Asset(_) | Route::ToConsole | Route::Health | Route::Readiness => {
                Standing::Stranger
            }
            Route::Metrics | Route::State | Route::Slow | Route::Errors => Standing::Reader,
            Route::Log => Standing::Trusted,
        }
    }
}

fn bucket_of(path: &str) -> Option<&str> {
    let bucket = path.strip_prefix("/buckets/")?.strip_suffix("/public-read")?;
    (!bucket.is_empty() && !bucket.contains('/')).then_some(bucket)
}
