//! Owns how an operation of the scenario becomes requests, and what its answers must be.
//!
//! Not here: uploads in parts (`multipart.rs`), when operations run (`run.rs`).

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Instant;

use clap::ValueEnum;
use sha2::{Digest, Sha256};

use crate::client::{Client, RequestHead, Response, Sink, Upload};
use crate::content::Content;
use crate::endpoint::{Endpoint, PresignedTargets};
use crate::failure::Failure;
use crate::limits;
use crate::multipart;
use crate::rdma::{Line, Moved, Rdma, Reading, Writing};
use crate::scenario::{Kind, Operation, Scenario};
use crate::sign::{EMPTY_SHA256, UNSIGNED_PAYLOAD, UNSIGNED_TRAILER, hex};
use crate::verify::Checker;

/// Everything that operations need to know, shared by all threads.
pub(crate) struct Plan {
    pub(crate) endpoint: std::sync::Arc<Endpoint>,
    pub(crate) scenario: Scenario,
    pub(crate) targets: PresignedTargets,
    pub(crate) payload: Payload,
    /// Objects over this size are put in parts of it.
    pub(crate) part_size: u64,
    /// Whether every byte read is compared with the derived one.
    pub(crate) verify: bool,
    /// How payloads move that do not go by HTTP.
    pub(crate) rdma: Option<Rdma>,
    /// The most bytes that one of them has.
    pub(crate) transfer_bytes_max: u64,
}

/// What a worker has to make requests with.
pub(crate) struct Caller {
    pub(crate) client: Client,
    /// With [`Plan::rdma`].
    pub(crate) line: Option<Rc<Line>>,
}

impl Caller {
    /// Connects if there is no connection.
    pub(crate) async fn open(&mut self) -> Result<(), Failure> {
        match &self.line {
            Some(line) => line.open().await,
            None => self.client.open().await,
        }
    }
}

/// How the content of an upload is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Payload {
    /// UNSIGNED-PAYLOAD: not at all.
    Unsigned,
    /// By its SHA-256, computed before it is sent: the content is derived twice.
    Signed,
    /// By a CRC-64/NVME after it, in unsigned chunks (what the AWS SDKs do today).
    Trailer,
}

/// A successful operation.
#[derive(Debug)]
pub(crate) struct Done {
    /// Bytes of objects moved, in either direction.
    pub(crate) bytes: u64,
    /// First byte of the answer, of the last answer when there were several.
    pub(crate) first_byte: Instant,
}

/// Performs one operation.
pub(crate) async fn perform(
    caller: &mut Caller,
    plan: &Plan,
    operation: &Operation,
) -> Result<Done, Failure> {
    let Caller { client, line } = caller;
    match (operation.kind, line) {
        (Kind::Get, None) => get(client, plan, operation).await,
        (Kind::Get, Some(line)) => get_by_rdma(client, line, plan, operation).await,
        (Kind::Put, _) => put(caller, plan, operation).await,
        (Kind::Head, _) => head(client, plan, operation).await,
        (Kind::List, _) => list(client, plan, operation).await,
    }
}

async fn get_by_rdma(
    client: &mut Client,
    line: &Line,
    plan: &Plan,
    operation: &Operation,
) -> Result<Done, Failure> {
    let key = plan.scenario.key_of(operation.object);
    let whole = plan.scenario.size_of(operation.object);
    let reading = Reading {
        bucket: &plan.endpoint.bucket,
        key: &key,
        range: operation.range.clone(),
        size: operation.range.as_ref().map_or(whole, |range| range.end - range.start),
        content: plan.verify.then(|| plan.scenario.content_of(&key)),
    };
    match line.read(&reading).await? {
        Moved::ByHttp(why) => {
            let done = get(client, plan, operation).await?;
            line.count_http(why, done.bytes);
            Ok(done)
        }
        Moved::Done(bytes) => {
            // A session moves as many bytes as are asked for: whether there are more, it does not tell.
            if plan.verify && operation.range.is_none() && line.is_session() {
                head(client, plan, &Operation { kind: Kind::Head, ..operation.clone() }).await?;
            }
            Ok(Done { bytes, first_byte: Instant::now() })
        }
    }
}

async fn get(client: &mut Client, plan: &Plan, operation: &Operation) -> Result<Done, Failure> {
    let mut request = plan.plain_request(operation);
    if let Some(range) = &operation.range {
        let value = format!("bytes={}-{}", range.start, range.end - 1);
        request.headers.push(("range", value));
    }
    let expected_status = if operation.range.is_some() { 206 } else { 200 };
    if !plan.verify {
        let response = client.exchange(&request, Upload::empty(), Sink::Count).await?;
        expect(&response, expected_status)?;
        if let Some(range) = &operation.range {
            check_length(range.end - range.start, response.body_bytes)?;
        }
        return Ok(Done::new(&response, response.body_bytes));
    }
    let content = plan.content_of(operation.object);
    let range = operation.range.clone().unwrap_or(0..plan.scenario.size_of(operation.object));
    let mut checker = Checker::new(content, range.start);
    let sink = Sink::Check(&mut checker);
    let response = client.exchange(&request, Upload::empty(), sink).await?;
    expect(&response, expected_status)?;
    checker.verdict(range.end - range.start, response.body_bytes)?;
    Ok(Done::new(&response, response.body_bytes))
}

async fn head(client: &mut Client, plan: &Plan, operation: &Operation) -> Result<Done, Failure> {
    let request = plan.plain_request(operation);
    let response = client.exchange(&request, Upload::empty(), Sink::Count).await?;
    expect(&response, 200)?;
    if plan.verify {
        let expected = plan.scenario.size_of(operation.object);
        check_length(expected, response.content_length.unwrap_or(0))?;
    }
    Ok(Done::new(&response, 0))
}

/// One page of the listing, from a key of the scenario on.
async fn list(client: &mut Client, plan: &Plan, operation: &Operation) -> Result<Done, Failure> {
    let after = plan.scenario.key_of(operation.object);
    let query = [
        ("list-type", "2"),
        ("max-keys", "1000"),
        ("prefix", plan.scenario.prefix()),
        ("start-after", after.as_str()),
    ];
    let request = plan.endpoint.request("GET", None, &query, Vec::new(), EMPTY_SHA256);
    let response = client.exchange(&request, Upload::empty(), Sink::Count).await?;
    expect(&response, 200)?;
    Ok(Done::new(&response, 0))
}

async fn put(caller: &mut Caller, plan: &Plan, operation: &Operation) -> Result<Done, Failure> {
    let size = plan.scenario.size_of(operation.object);
    let key = plan.scenario.key_of(operation.object);
    if size > plan.part_size {
        return multipart::put(caller, plan, &key, size).await;
    }
    let Caller { client, line } = caller;
    if let Some(line) = line {
        let written = write_by_rdma(line, plan, &key, None, 0..size).await?;
        let Moved::ByHttp(why) = written else {
            return Ok(Done { bytes: size, first_byte: Instant::now() });
        };
        let done = put_by_http(client, plan, operation, &key, size).await?;
        line.count_http(why, size);
        return Ok(done);
    }
    put_by_http(client, plan, operation, &key, size).await
}

/// Writes an object, or a part of an upload; its entity tag.
pub(crate) async fn write_by_rdma(
    line: &Line,
    plan: &Plan,
    key: &str,
    part: Option<(&str, u16)>,
    range: std::ops::Range<u64>,
) -> Result<Moved<Option<String>>, Failure> {
    let content = plan.scenario.content_of(key);
    line.write(&Writing { bucket: &plan.endpoint.bucket, key, part, content, range }).await
}

async fn put_by_http(
    client: &mut Client,
    plan: &Plan,
    operation: &Operation,
    key: &str,
    size: u64,
) -> Result<Done, Failure> {
    let content = plan.scenario.content_of(key);
    let (request, upload) = match plan.targets.target(Kind::Put, operation.object) {
        Some(target) => {
            let upload = Upload::plain(content, 0..size);
            (RequestHead::to_target("PUT", Cow::Borrowed(target)), upload)
        }
        None => plan.put_request(key, &[], content, 0..size),
    };
    let response = client.exchange(&request, upload, Sink::Count).await?;
    // S3 answers 200; a file server that takes PUT answers 201 or 204.
    if !matches!(response.status, 201 | 204) {
        expect(&response, 200)?;
    }
    Ok(Done::new(&response, size))
}

impl Plan {
    /// A request on an object without body or parameters: signed before the run, or now.
    fn plain_request(&self, operation: &Operation) -> RequestHead<'_> {
        let method = operation.kind.method();
        if let Some(target) = self.targets.target(operation.kind, operation.object) {
            return RequestHead::to_target(method, Cow::Borrowed(target));
        }
        let key = self.scenario.key_of(operation.object);
        self.endpoint.request(method, Some(&key), &[], Vec::new(), EMPTY_SHA256)
    }

    /// A PUT of a range of `content` with the payload authenticated as asked.
    pub(crate) fn put_request(
        &self,
        key: &str,
        query: &[(&str, &str)],
        content: Content,
        range: std::ops::Range<u64>,
    ) -> (RequestHead<'static>, Upload) {
        let length = range.end - range.start;
        let request =
            |headers, hash: &str| self.endpoint.request("PUT", Some(key), query, headers, hash);
        match self.payload {
            Payload::Trailer => {
                let headers = vec![
                    ("content-encoding", "aws-chunked".to_owned()),
                    ("x-amz-decoded-content-length", length.to_string()),
                    ("x-amz-trailer", "x-amz-checksum-crc64nvme".to_owned()),
                ];
                let upload = Upload::chunked_with_trailer(content, range);
                (request(headers, UNSIGNED_TRAILER), upload)
            }
            Payload::Signed => {
                let hash = sha256_of(content, range.clone());
                (request(Vec::new(), &hash), Upload::plain(content, range))
            }
            Payload::Unsigned => {
                (request(Vec::new(), UNSIGNED_PAYLOAD), Upload::plain(content, range))
            }
        }
    }

    fn content_of(&self, object: u64) -> Content {
        self.scenario.content_of(&self.scenario.key_of(object))
    }
}

impl<'a> RequestHead<'a> {
    fn to_target(method: &'static str, target: Cow<'a, str>) -> RequestHead<'a> {
        RequestHead { method, target, headers: Vec::new() }
    }
}

impl Done {
    pub(crate) fn new(response: &Response, bytes: u64) -> Done {
        Done { bytes, first_byte: response.first_byte }
    }
}

/// Fails unless the answer has this status.
pub(crate) fn expect(response: &Response, status: u16) -> Result<(), Failure> {
    if response.status == status {
        return Ok(());
    }
    Err(Failure::Status {
        status: response.status,
        code: element(&response.error_body, "Code").unwrap_or_default(),
    })
}

fn check_length(expected: u64, got: u64) -> Result<(), Failure> {
    if got == expected {
        return Ok(());
    }
    Err(Failure::WrongSize { expected, got })
}

/// The text of the first element of this name in an XML answer. Enough for the flat answers of S3
/// that are read here; the predefined entities that occur in them are resolved.
pub(crate) fn element(xml: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(xml);
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once("</")?;
    Some(
        value
            .replace("&quot;", "\"")
            .replace("&#34;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&"),
    )
}

fn sha256_of(content: Content, range: std::ops::Range<u64>) -> String {
    let mut hash = Sha256::new();
    let mut piece = vec![0; (range.end - range.start).min(limits::READ_BYTES as u64) as usize];
    let mut at = range.start;
    while at < range.end {
        let take = (range.end - at).min(piece.len() as u64) as usize;
        content.fill(at, &mut piece[..take]);
        hash.update(&piece[..take]);
        at += take as u64;
    }
    hex(&hash.finalize())
}

/// Creates the bucket; one that is there already is as good.
pub(crate) async fn create_bucket(client: &mut Client, plan: &Plan) -> Result<(), Failure> {
    let request = plan.endpoint.request("PUT", None, &[], Vec::new(), EMPTY_SHA256);
    let response = client.exchange(&request, Upload::empty(), Sink::Count).await?;
    match expect(&response, 200) {
        Err(Failure::Status { status: 409, code }) if code == "BucketAlreadyOwnedByYou" => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::sha256_hex;

    #[test]
    fn elements_of_answers() {
        let xml = b"<Error><Code>SlowDown</Code><Message>a &amp; b</Message></Error>";
        assert_eq!(element(xml, "Code").as_deref(), Some("SlowDown"));
        assert_eq!(element(xml, "Message").as_deref(), Some("a & b"));
        assert_eq!(element(xml, "UploadId"), None);
        assert_eq!(element(b"<Code>cut", "Code"), None);
    }

    #[test]
    fn the_hash_is_of_the_bytes_sent() {
        let content = Content::new(1, "k");
        let mut bytes = vec![0; 600_000];
        content.fill(10, &mut bytes);
        assert_eq!(sha256_of(content, 10..600_010), sha256_hex(&bytes));
        assert_eq!(sha256_of(content, 5..5), EMPTY_SHA256);
    }
}
