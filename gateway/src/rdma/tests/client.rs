//! Owns: HTTP as the tests' client speaks it: a connection for each request, to the lane that the test says, signed with
//! a SigV4 of its own, and everything noted that went over the wire.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use rdma::client::{AnswerBody, AnswerHead, Control, ControlError, ControlRequest};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(super) const KEY: &str = "trainer";
pub(super) const OTHER_KEY: &str = "stranger";
pub(super) const SECRET: &str = "the-secret-of-both";

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `404 NoSuchKey`.
    pub(super) fn outcome(&self) -> String {
        let text = self.text();
        let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
        match code {
            Some((code, _)) => format!("{} {code}", self.status),
            None => self.status.to_string(),
        }
    }
}

/// What went over the wire for one request.
#[derive(Debug, Clone)]
pub(super) struct Exchanged {
    pub(super) request: String,
    pub(super) answer: Answer,
}

/// The client.
pub(super) struct Http {
    addresses: Vec<SocketAddr>,
    /// Lanes for the next requests, in turns; the last stays.
    lanes: RefCell<Vec<usize>>,
    key: Cell<&'static str>,
    service: Cell<&'static str>,
    pub(super) noted: RefCell<Vec<Exchanged>>,
}

impl Http {
    pub(super) fn new(addresses: Vec<SocketAddr>) -> Http {
        Http {
            addresses,
            lanes: RefCell::new(vec![0]),
            key: Cell::new(KEY),
            service: Cell::new("s3"),
            noted: RefCell::default(),
        }
    }

    /// The next requests come on these lanes, one after the other; all further ones on the last.
    pub(super) fn come_on(&self, lanes: &[usize]) {
        *self.lanes.borrow_mut() = lanes.iter().rev().copied().collect();
    }

    pub(super) fn sign_as(&self, key: &'static str) {
        self.key.set(key);
    }

    pub(super) fn sign_for(&self, service: &'static str) {
        self.service.set(service);
    }

    fn lane(&self) -> usize {
        let mut lanes = self.lanes.borrow_mut();
        match lanes.len() {
            1 => lanes[0],
            _ => lanes.pop().unwrap(),
        }
    }

    /// Sends a signed request and reads its answer.
    pub(super) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let lane = self.lane();
        let request = self.signed(method, target, headers, body.len());
        self.transfer(lane, request, body, method != "HEAD").await.unwrap()
    }

    /// Sends a request without a signature.
    pub(super) async fn send_unsigned(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let lane = self.lane();
        let mut request = format!("{method} {target} HTTP/1.1\r\nhost: 127.0.0.1\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "content-length: 0\r\nconnection: close\r\n\r\n";
        self.transfer(lane, request, b"", true).await.unwrap()
    }

    /// A connection on which this request has been sent, and that nobody reads.
    pub(super) async fn leave_hanging(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> TcpStream {
        let lane = self.lane();
        let request = self.signed(method, target, headers, 0);
        let mut stream = TcpStream::connect(self.addresses[lane]).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn transfer(
        &self,
        lane: usize,
        request: String,
        body: &[u8],
        with_body: bool,
    ) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(self.addresses[lane]).await?;
        stream.write_all(request.as_bytes()).await?;
        stream.write_all(body).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        let answer = parse(&bytes, with_body);
        self.noted.borrow_mut().push(Exchanged { request, answer: answer.clone() });
        Ok(answer)
    }

    fn signed(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        length: usize,
    ) -> String {
        let date = date();
        let mut all: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        // The protocol's clients send it without the port.
        all.push(("host".into(), "127.0.0.1".into()));
        all.push(("x-amz-date".into(), date.clone()));
        if !all.iter().any(|(name, _)| name == "x-amz-content-sha256") && !target.starts_with("/.")
        {
            all.push(("x-amz-content-sha256".into(), "UNSIGNED-PAYLOAD".into()));
        }
        all.sort();
        let authorization = self.authorization(method, target, &all, &date);
        let mut text = format!("{method} {target} HTTP/1.1\r\n");
        for (name, value) in &all {
            text += &format!("{name}: {value}\r\n");
        }
        text + &format!(
            "authorization: {authorization}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        )
    }

    fn authorization(
        &self,
        method: &str,
        target: &str,
        headers: &[(String, String)],
        date: &str,
    ) -> String {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut pairs: Vec<String> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
            .collect();
        pairs.sort();
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let payload = headers
            .iter()
            .find(|(name, _)| name == "x-amz-content-sha256")
            .map_or_else(|| hex(&Sha256::digest(b"")), |(_, value)| value.clone());
        let (names, query) = (names.join(";"), pairs.join("&"));
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{payload}");
        let service = self.service.get();
        let scope = format!("{}/us-east-1/{service}/aws4_request", &date[..8]);
        let digest = hex(&Sha256::digest(canonical.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}");
        let mut key = mac(format!("AWS4{SECRET}").as_bytes(), &date[..8]);
        for part in ["us-east-1", service, "aws4_request"] {
            key = mac(&key, part);
        }
        let (signature, id) = (hex(&mac(&key, &to_sign)), self.key.get());
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
    }
}

impl Control for Http {
    async fn exchange(
        &self,
        request: ControlRequest,
        body: &mut dyn AnswerBody,
    ) -> Result<AnswerHead, ControlError> {
        let headers: Vec<(&str, &str)> =
            request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (method, lane) = (request.method.as_str(), self.lane());
        let text = self.signed(method, &request.target, &headers, request.body.len());
        let answer = self.transfer(lane, text, &request.body, method != "HEAD").await;
        let answer = answer.map_err(|error| ControlError::Lost(error.to_string()))?;
        let head = AnswerHead { status: answer.status, headers: answer.headers };
        if !answer.body.is_empty() {
            body.accept(&head, &answer.body).map_err(|_| ControlError::BodyRefused)?;
        }
        Ok(head)
    }
}

fn parse(bytes: &[u8], with_body: bool) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<_> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let body = bytes[end + 4..].to_vec();
    let answer = Answer { status, headers, body };
    assert_eq!(answer.header("transfer-encoding"), None, "clients of the protocol can't read it");
    if with_body && status != 204 && status != 304 {
        assert_eq!(
            answer.header("content-length"),
            Some(&*answer.body.len().to_string()),
            "{head}"
        );
    }
    answer
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `YYYYMMDDTHHMMSSZ` of now, by way of the calendar that starts in March.
fn date() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}
