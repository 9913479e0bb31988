//! A target that is a webhook: one POST a message, one after the other on a connection that stays, by TLS 1.3 for
//! `https`. Every answer 2xx is a delivery; one that says that this message will never be taken (4xx, but for those that
//! speak of the sender or the moment) ends it; all else is repeated.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::target::{ANSWER_TIME, Attempt};
use crate::admin::trust::Trust;
use crate::limits;

pub(super) struct Webhook {
    host: String,
    port: u16,
    authority: HeaderValue,
    path: Uri,
    tls: Option<Arc<ClientConfig>>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

type Problem = Box<dyn std::error::Error + Send + Sync>;

impl Webhook {
    /// A webhook at a URL that the configuration has checked.
    ///
    /// # Errors
    /// One line for the operator.
    pub(super) fn new(uri: &Uri, ca: Option<&Path>) -> Result<Webhook, String> {
        let secure = uri.scheme_str() == Some("https");
        let authority = uri.authority().ok_or_else(|| format!("{uri}: no host"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = match secure {
            true => {
                let trust = Trust { ca: ca.map(Path::to_owned), identity: None };
                Some(trust.config().map_err(|error| format!("events.ca: {error}"))?)
            }
            false => None,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Webhook {
            host,
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority.as_str())
                .map_err(|error| format!("{uri}: {error}"))?,
            path: path.parse().map_err(|error| format!("{uri}: {error}"))?,
            tls,
            connection: None,
        })
    }

    /// Posts the first of the messages.
    pub(super) async fn post(&mut self, messages: &VecDeque<Vec<u8>>) -> Attempt {
        let Some(message) = messages.front() else {
            return Attempt::Delivered(0);
        };
        let body = Bytes::copy_from_slice(message);
        let answer = match tokio::time::timeout(ANSWER_TIME, self.exchange(body)).await {
            Ok(Ok(status)) => judge(status),
            Ok(Err(error)) => Attempt::Failed(error.to_string()),
            Err(_) => Attempt::Failed("the webhook takes too long".to_owned()),
        };
        if matches!(answer, Attempt::Failed(_)) {
            self.connection = None;
        }
        answer
    }

    async fn exchange(&mut self, body: Bytes) -> Result<StatusCode, Problem> {
        let mut sender = match self.kept().await {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.path.clone())
            .header(HOST, self.authority.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("Penstock/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let rest = Limited::new(answer.into_body(), limits::EVENTS_ANSWER_BYTES_MAX);
        // A longer answer ends the connection, and the event has arrived.
        if rest.collect().await.is_ok() {
            self.connection = Some(sender);
        }
        Ok(status)
    }

    /// The connection of the last message, where it is still there.
    async fn kept(&mut self) -> Option<SendRequest<Full<Bytes>>> {
        let mut kept = self.connection.take()?;
        kept.ready().await.ok().map(|()| kept)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Problem> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await?;
        socket.set_nodelay(true)?;
        match &self.tls {
            None => handshake(socket).await,
            Some(config) => {
                let name = ServerName::try_from(self.host.clone())?;
                let stream = TlsConnector::from(config.clone()).connect(name, socket).await?;
                handshake(stream).await
            }
        }
    }
}

async fn handshake<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, Problem>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to a webhook ended");
        }
    });
    Ok(sender)
}

fn judge(status: StatusCode) -> Attempt {
    /// Of the sender, the place or the moment, which may change.
    const REPEATED: [u16; 6] = [401, 403, 404, 408, 425, 429];
    if status.is_success() {
        return Attempt::Delivered(1);
    }
    let why = format!("the webhook answers {}", status.as_u16());
    match status.is_client_error() && !REPEATED.contains(&status.as_u16()) {
        true => Attempt::Refused(why),
        false => Attempt::Failed(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn answers_are_judged() {
        for (status, expected) in
            [(200, 'd'), (204, 'd'), (400, 'r'), (413, 'r'), (404, 'f'), (503, 'f'), (301, 'f')]
        {
            let got = match judge(StatusCode::from_u16(status).unwrap()) {
                Attempt::Delivered(1) => 'd',
                Attempt::Refused(_) => 'r',
                _ => 'f',
            };
            assert_eq!(got, expected, "{status}");
        }
    }

    #[tokio::test]
    async fn messages_are_posted_on_one_connection() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut seen = String::new();
            for _ in 0..2 {
                let mut head = String::new();
                while !head.ends_with("message") {
                    let mut piece = [0; 512];
                    let count = socket.read(&mut piece).await.unwrap();
                    assert!(count > 0, "{head}");
                    head += std::str::from_utf8(&piece[..count]).unwrap();
                }
                seen += &head;
                socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            }
            seen
        });
        let uri: Uri = format!("http://127.0.0.1:{port}/hook?key=1").parse().unwrap();
        let mut webhook = Webhook::new(&uri, None).unwrap();
        let messages: VecDeque<_> = [b"message".to_vec()].into();
        for _ in 0..2 {
            assert_eq!(webhook.post(&messages).await, Attempt::Delivered(1));
        }
        let seen = serving.await.unwrap();
        assert_eq!(seen.matches("POST /hook?key=1 HTTP/1.1\r\n").count(), 2);
        assert_eq!(seen.matches("content-type: application/json").count(), 2);
        assert!(matches!(webhook.post(&messages).await, Attempt::Failed(_)));
    }
}
