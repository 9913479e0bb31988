//! Owns what the server says that it can do: the header of a bucket, and the document for people.

use std::time::Duration;

use rdma::client::{
    AnswerBody, AnswerHead, BodyRefused, Capabilities, Control, ControlRequest, Method,
};
use rdma::wire::header;
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::rdma::HttpControl;

/// Where the document is.
const DOCUMENT: &str = "/.s3rdma-rc/capabilities";

/// The server.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Server {
    /// Words of the bucket's header, as sent; None where a bucket was asked and has none.
    pub(crate) header: Option<String>,
    pub(crate) document: Option<Document>,
    /// Why there is no answer to one of them.
    pub(crate) errors: Vec<String>,
    /// A bucket was asked, and answered.
    #[serde(skip)]
    asked: bool,
}

/// The server's document. What it does not say is absent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct Document {
    pub(crate) enabled: bool,
    pub(crate) capabilities: String,
    /// Why it is not enabled.
    pub(crate) reason: Option<String>,
    pub(crate) device: Option<String>,
    pub(crate) port: Option<u8>,
    pub(crate) link_layer: Option<String>,
    pub(crate) gid: Option<String>,
    pub(crate) path_mtu: Option<u32>,
    pub(crate) message_bytes_max: Option<u64>,
    pub(crate) limits: Option<serde_json::Value>,
}

impl Server {
    /// Asks it.
    pub(crate) async fn ask(control: &HttpControl, bucket: Option<&str>, time: Duration) -> Server {
        let mut server = Server::default();
        if let Some(bucket) = bucket {
            let mut path = "/".to_owned();
            crate::sign::encode(bucket, &mut path, false);
            match ask(control, Method::Head, path, time).await {
                Ok((head, _)) => server.read_header(bucket, &head),
                Err(error) => server.errors.push(format!("HEAD of the bucket: {error}")),
            }
        }
        match ask(control, Method::Get, DOCUMENT.to_owned(), time).await {
            Ok((head, body)) => server.read_document(&head, &body),
            Err(error) => server.errors.push(format!("GET {DOCUMENT}: {error}")),
        }
        server
    }

    fn read_header(&mut self, bucket: &str, head: &AnswerHead) {
        if head.is_success() {
            self.asked = true;
            self.header = head.header(header::CAPABILITIES).map(str::to_owned);
        } else {
            self.errors.push(format!(
                "HEAD of the bucket \"{bucket}\" was answered {}: {}",
                head.status,
                match head.status {
                    403 => "these keys may not use it",
                    404 => "create it, or name another with -b",
                    _ => "see the server's log",
                }
            ));
        }
    }

    fn read_document(&mut self, head: &AnswerHead, body: &[u8]) {
        let refused = |why: &str| format!("GET {DOCUMENT} was answered {}: {why}", head.status);
        match head.status {
            200 => match serde_json::from_slice(body) {
                Ok(document) => self.document = Some(document),
                Err(error) => self.errors.push(refused(&format!("no document ({error})"))),
            },
            403 => self.errors.push(refused("check the keys of access and this machine's clock")),
            _ => self.errors.push(refused("this server does not say what it can do by RDMA")),
        }
    }

    /// What it can do by its own word: the header's where it has one, else the document's.
    pub(crate) fn capabilities(&self) -> Capabilities {
        let document = self.document.as_ref().map(|document| document.capabilities.as_str());
        let words = self.header.as_deref().or(document);
        words.and_then(|words| Capabilities::parse(words).ok()).unwrap_or_default()
    }

    /// Whether there is a protocol to try.
    pub(crate) fn can_be_tried(&self) -> bool {
        let capabilities = self.capabilities();
        !capabilities.off && (capabilities.pooled || capabilities.sessions)
    }

    /// What is in the way.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> =
            self.errors.iter().map(|error| format!("the server: {error}")).collect();
        let reason = self.document.as_ref().filter(|it| !it.enabled).map(|document| {
            let reason = document.reason.as_deref().unwrap_or("it gives no reason");
            format!("the server: RDMA is off: {reason}")
        });
        let silent = self.asked && self.header.is_none();
        match reason {
            Some(reason) => problems.push(reason),
            None if silent => problems.push(
                "the server: its answer to HEAD of the bucket says nothing of RDMA; a server that \
                 does not know it would store an upload without a body as an object of 0 bytes"
                    .to_owned(),
            ),
            None if problems.is_empty() && !self.can_be_tried() => {
                problems.push("the server: it names no protocol that is known here".to_owned());
            }
            None => {}
        }
        problems
    }
}

/// The beginning of an answer's body.
#[derive(Default)]
struct Collected(Vec<u8>);

impl AnswerBody for Collected {
    fn accept(&mut self, _head: &AnswerHead, piece: &[u8]) -> Result<(), BodyRefused> {
        if self.0.len() + piece.len() > limits::XML_BODY_BYTES_MAX {
            return Err(BodyRefused);
        }
        self.0.extend_from_slice(piece);
        Ok(())
    }
}

/// A request without a body, and its answer.
pub(super) async fn ask(
    control: &HttpControl,
    method: Method,
    target: String,
    time: Duration,
) -> Result<(AnswerHead, Vec<u8>), String> {
    let request = ControlRequest {
        method,
        target,
        headers: Vec::new(),
        body: bytes::Bytes::new(),
        fresh_connection: false,
    };
    let mut body = Collected::default();
    match tokio::time::timeout(time, control.exchange(request, &mut body)).await {
        Ok(Ok(head)) => Ok((head, body.0)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_elapsed) => Err(format!("no answer within {time:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, words: Option<&str>) -> AnswerHead {
        let headers = words.map(|words| (header::CAPABILITIES.to_owned(), words.to_owned()));
        AnswerHead { status, headers: headers.into_iter().collect() }
    }

    #[test]
    fn a_server_with_rdma_is_no_problem() {
        let mut server = Server::default();
        server.read_header("b", &head(200, Some("hipobj-rc-v2,pooled-rc,mp,armed,new-word")));
        let document = br#"{"enabled":true,"capabilities":"pooled-rc","path_mtu":1024,"gid":"::1",
            "limits":{"sessions":4},"unheard-of":[]}"#;
        server.read_document(&head(200, None), document);
        assert!(server.problems().is_empty(), "{:?}", server.problems());
        assert!(server.can_be_tried() && server.capabilities().sessions);
        assert_eq!(server.document.as_ref().and_then(|it| it.path_mtu), Some(1024));
    }

    #[test]
    fn what_is_in_the_way_is_told_once_with_its_reason() {
        let mut off = Server::default();
        off.read_header("b", &head(200, Some("off")));
        let document = br#"{"enabled":false,"capabilities":"off","reason":"no device"}"#;
        off.read_document(&head(200, None), document);
        assert_eq!(off.problems(), ["the server: RDMA is off: no device"]);
        assert!(!off.can_be_tried());

        let mut unaware = Server::default();
        unaware.read_header("b", &head(200, None));
        unaware.read_document(&head(404, None), b"<Error/>");
        let problems = unaware.problems();
        assert!(problems[0].contains("answered 404"), "{problems:?}");
        assert!(problems[1].contains("says nothing of RDMA"), "{problems:?}");

        let mut missing = Server::default();
        missing.read_header("b", &head(404, None));
        missing.read_document(&head(200, None), b"<html>");
        let problems = missing.problems();
        assert!(problems[0].contains("create it") && problems[1].contains("no document"));
        assert_eq!(Server::default().problems().len(), 1);
    }
}
