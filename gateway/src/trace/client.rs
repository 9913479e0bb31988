//! The exporter's HTTP: one connection for one request, by the stack that the server has anyway.
//!
//! Limits: `TRACE_EXPORT_TIME`, `TRACE_ANSWER_BYTES_MAX`.

use std::pin::Pin;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::net::TcpStream;

use crate::limits;

/// Posts spans to a collector. Needs a tokio runtime.
#[derive(Debug)]
pub(super) struct CollectorClient;

impl HttpClient for CollectorClient {
    // What `async_trait` makes of an `async fn`.
    fn send_bytes<'a, 'out>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'out>>
    where
        'a: 'out,
        Self: 'out,
    {
        Box::pin(async move {
            let answer = tokio::time::timeout(limits::TRACE_EXPORT_TIME, post(request)).await;
            answer.map_err(|_| HttpError::from("the collector takes too long"))?
        })
    }
}

async fn post(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (mut parts, body) = request.into_parts();
    let authority = parts.uri.authority().ok_or("a URL without a host")?.clone();
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let socket = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to the trace collector ended");
        }
    });
    let path = parts.uri.path_and_query().ok_or("a URL without a path")?.clone();
    parts.uri = Uri::from(path);
    parts.headers.insert(HOST, HeaderValue::from_str(authority.as_str())?);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let answer = sender.send_request(Request::from_parts(parts, Full::new(body))).await?;
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, limits::TRACE_ANSWER_BYTES_MAX).collect().await?.to_bytes();
    Ok(Response::from_parts(parts, body))
}
