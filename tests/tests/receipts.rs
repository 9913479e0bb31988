//! Copy receipts of the real binary, against counters that others keep: the kernel's of the process
//! (`/proc/PID/io`) and of the client's socket (`TCP_INFO`), and the devices' own.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use penstock_tests::client::{Client, expect};
use penstock_tests::content::content;
use penstock_tests::http::{Connection, Response};
use penstock_tests::limits;
use penstock_tests::server::{Metrics, Options, Server, Site};
use penstock_tests::sign::{Request, Signer};
use penstock_tests::tcp_info::TcpInfo;

const BUCKET: &str = "receipts";
const BLOCK: u64 = 64 << 10;
const LARGE: u64 = 8 << 20;
const RAGGED: u64 = 200_001;
const SMALL: u64 = 4096;
/// Stands in the index record.
const TINY: u64 = 100;

/// What a process may read and write beside its devices while a test runs: pages of the index and
/// lines of the log.
const BESIDE_BYTES: u64 = 512 << 10;

const SOURCES: [&str; 5] = ["cache", "device", "joined", "record", "document"];

/// Counters at one moment.
struct Counters {
    metrics: Metrics,
    read: u64,
    written: u64,
}

impl Counters {
    /// When no request is in flight: an end is counted a moment after the client has seen it.
    fn of(server: &Server) -> Counters {
        let deadline = Instant::now() + limits::EXIT_WITHIN;
        loop {
            let metrics = server.metrics();
            if metrics.value("penstock_requests_in_flight", &[]) == 0.0 {
                let io = fs::read_to_string(format!("/proc/{}/io", server.pid())).unwrap();
                let value = |name: &str| -> u64 {
                    let line = io.lines().find_map(|line| line.strip_prefix(name));
                    line.unwrap().trim_start_matches(':').trim().parse().unwrap()
                };
                let (read, written) = (value("read_bytes"), value("write_bytes"));
                return Counters { metrics, read, written };
            }
            assert!(Instant::now() < deadline, "requests are still in flight");
            std::thread::sleep(limits::POLL_EVERY);
        }
    }

    fn since(&self, earlier: &Counters, name: &str, labels: &[&str]) -> u64 {
        (self.metrics.value(name, labels) - earlier.metrics.sum(name, labels).unwrap_or(0.0)) as u64
    }

    fn source(&self, earlier: &Counters, source: &str) -> u64 {
        let source = format!("source=\"{source}\"");
        self.since(earlier, "penstock_response_bytes_total", &[&source, "delivery=\"socket\""])
    }

    fn copied(&self, earlier: &Counters, path: &str) -> u64 {
        self.since(earlier, "penstock_copied_bytes_total", &[&format!("path=\"{path}\"")])
    }

    fn device_read(&self, earlier: &Counters) -> u64 {
        self.since(earlier, "penstock_store_device_read_bytes_total", &[])
    }

    fn device_written(&self, earlier: &Counters) -> u64 {
        self.since(earlier, "penstock_store_device_written_bytes_total", &[])
    }

    fn sent(&self, earlier: &Counters) -> u64 {
        self.since(earlier, "penstock_sent_body_bytes_total", &[])
    }

    fn all_sources(&self, earlier: &Counters) -> u64 {
        SOURCES.iter().map(|source| self.source(earlier, source)).sum()
    }
}

/// A receipt as its fields.
#[derive(Debug)]
struct Receipt(BTreeMap<String, String>);

impl Receipt {
    fn parse(text: &str) -> Receipt {
        let fields = text.split("; ").map(|field| field.split_once('=').expect(text));
        Receipt(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn of(response: &Response) -> Receipt {
        let text = response.header("x-penstock-receipt");
        Receipt::parse(text.unwrap_or_else(|| panic!("no receipt: {:?}", response.headers)))
    }

    fn field(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn bytes(&self) -> u64 {
        self.field("bytes").parse().unwrap()
    }

    /// One path of a list such as `cache:10,device:20`.
    fn path(&self, name: &str, path: &str) -> u64 {
        let pairs = self.field(name).split(',').filter_map(|pair| pair.split_once(':'));
        pairs.filter(|(label, _)| *label == path).map(|(_, n)| n.parse::<u64>().unwrap()).sum()
    }

    fn sources(&self) -> u64 {
        SOURCES.iter().map(|source| self.path("source", source)).sum()
    }
}

/// Stages of a `Server-Timing`, in milliseconds.
fn timing(text: &str) -> BTreeMap<String, f64> {
    let entry = |entry: &str| {
        let (name, took) = entry.split_once(";dur=").expect("name;dur=milliseconds");
        (name.to_owned(), took.parse().expect("a number"))
    };
    text.split(", ").map(entry).collect()
}

/// One connection whose bytes are counted on its way.
struct Counted {
    client: Client,
    connection: Connection,
    received: u64,
    sent: u64,
}

impl Counted {
    fn open(server: &Server) -> Counted {
        let connection = server.connect().unwrap();
        Counted { client: server.client(), connection, received: 0, sent: 0 }
    }

    fn send(&mut self, mut request: Request) -> Response {
        request = request.header("x-penstock-receipt", "1");
        Signer::new(self.client.credentials()).sign_as(&mut request, "UNSIGNED-PAYLOAD");
        let bytes = request.bytes();
        self.connection.send(&bytes).unwrap();
        self.sent += bytes.len() as u64;
        let response = self.connection.receive(request.method != "HEAD").unwrap();
        self.received += (response.head_bytes + response.body.len()) as u64;
        response
    }

    fn get(&mut self, key: &str) -> Response {
        let request = self.client.request("GET", BUCKET, key);
        self.send(request)
    }

    fn put(&mut self, key: &str, size: u64) -> Response {
        let request = self.client.request("PUT", BUCKET, key).body(content(size, size as usize));
        expect(self.send(request), 200).unwrap()
    }
}

/// A server with the four objects, all of them cold.
fn stocked(site: &Site) -> Server {
    let mut server = Options::default().start(site);
    expect(server.client().create_bucket(BUCKET).unwrap(), 200).unwrap();
    let mut client = server.client();
    for (key, size) in [("large", LARGE), ("ragged", RAGGED), ("small", SMALL), ("tiny", TINY)] {
        expect(client.put(BUCKET, key, &content(size, size as usize)).unwrap(), 200).unwrap();
    }
    assert!(server.terminate().success());
    Options::default().start(site)
}

#[test]
fn what_is_received_reconciles_with_device_and_socket() {
    let site = Site::new();
    let server = Options::default().start(&site);
    expect(server.client().create_bucket(BUCKET).unwrap(), 200).unwrap();
    let mut counted = Counted::open(&server);
    let before = Counters::of(&server);
    for (key, size) in [("large", LARGE), ("ragged", RAGGED), ("small", SMALL), ("tiny", TINY)] {
        let response = counted.put(key, size);
        let receipt = Receipt::of(&response);
        assert_eq!((receipt.field("state"), receipt.bytes()), ("complete", 0));
        assert_eq!(receipt.field("received"), size.to_string());
        assert_eq!(receipt.path("copied", "socket_receive"), size);
        assert_eq!(receipt.path("copied", "frame"), size);
        let stages = timing(response.header("server-timing").unwrap());
        for stage in ["parse", "auth", "receive", "index", "commit", "total"] {
            assert!(stages.contains_key(stage), "{stage} in {stages:?}");
        }
        let parts: f64 = stages.iter().filter(|(name, _)| *name != "total").map(|it| it.1).sum();
        // Connection and head come before the total begins; a device may write while the client
        // is waited for.
        let before = stages["parse"] + stages.get("accept").unwrap_or(&0.0);
        assert!(parts - before <= stages["total"] * 1.01 + 0.1, "{stages:?}");
    }
    let after = Counters::of(&server);
    let all = LARGE + RAGGED + SMALL + TINY;
    assert_eq!(after.since(&before, "penstock_received_body_bytes_total", &[]), all);
    assert_eq!(after.copied(&before, "socket_receive"), all);
    assert_eq!(after.copied(&before, "frame"), all);
    let written = after.device_written(&before);
    assert!((all - TINY..all + BESIDE_BYTES).contains(&written), "{written} of {all}");
    let by_process = after.written - before.written;
    assert!(
        (written..=written + BESIDE_BYTES).contains(&by_process),
        "the process wrote {by_process}, the devices {written}"
    );
    let info = TcpInfo::of(counted.connection.stream()).unwrap();
    assert_eq!(info.bytes_received, counted.received);
    // The SYN counts as acknowledged.
    assert!((counted.sent..=counted.sent + 1).contains(&info.bytes_acked), "{info:?}");
}

#[test]
fn what_is_sent_reconciles_with_device_and_socket() {
    let site = Site::new();
    let server = stocked(&site);
    let mut counted = Counted::open(&server);
    let first = Counters::of(&server);
    let mut bodies = 0;

    // Cold: each byte was read from the device for this response, and by nobody else.
    for (key, size, read) in [
        ("large", LARGE, LARGE),
        ("ragged", RAGGED, RAGGED.next_multiple_of(4096)),
        ("small", SMALL, SMALL),
    ] {
        let before = Counters::of(&server);
        let response = expect(counted.get(key), 200).unwrap();
        let after = Counters::of(&server);
        bodies += size;
        assert!(response.body == content(size, size as usize), "{key} came back different");
        assert_eq!(after.source(&before, "device"), size, "{key}");
        assert_eq!(after.device_read(&before), read, "{key}");
        let by_process = after.read - before.read;
        assert!(
            (read..=read + BESIDE_BYTES).contains(&by_process),
            "{key}: the process read {by_process}, the device {read}"
        );
        let receipt = Receipt::of(&response);
        assert_eq!(receipt.bytes(), size);
        assert_eq!(receipt.path("source", "device"), size.min(BLOCK), "{key}: {receipt:?}");
        let state = if size > BLOCK { "begun" } else { "complete" };
        assert_eq!(receipt.field("state"), state, "{key}");
        let stages = timing(response.header("server-timing").unwrap());
        assert!(stages["device"] > 0.0 && stages["device"] < stages["total"], "{stages:?}");
    }

    // Hot: nothing is read at all.
    let hot = Counters::of(&server);
    for (key, size) in [("large", LARGE), ("ragged", RAGGED), ("small", SMALL)] {
        let response = expect(counted.get(key), 200).unwrap();
        assert_eq!(Receipt::of(&response).path("source", "cache"), size.min(BLOCK), "{key}");
        let stages = timing(response.header("server-timing").unwrap());
        assert!(!stages.contains_key("device"), "{stages:?}");
        bodies += size;
    }
    let request = counted.client.request("GET", BUCKET, "large");
    let response = expect(counted.send(request.header("Range", "bytes=65000-66000")), 206).unwrap();
    let receipt = Receipt::of(&response);
    assert_eq!((receipt.bytes(), response.body.len()), (1001, 1001));
    bodies += 1001;
    let after = Counters::of(&server);
    assert_eq!(after.source(&hot, "cache"), LARGE + RAGGED + SMALL + 1001);
    assert_eq!((after.device_read(&hot), after.source(&hot, "device")), (0, 0));
    assert!(after.read - hot.read <= BESIDE_BYTES);

    // Records, documents, nothing.
    let before = Counters::of(&server);
    let response = expect(counted.get("tiny"), 200).unwrap();
    let receipt = Receipt::of(&response);
    assert_eq!((receipt.field("state"), receipt.path("source", "record")), ("complete", TINY));
    let missing = counted.get("missing");
    let receipt = Receipt::of(&missing);
    assert_eq!((missing.status, receipt.field("state")), (404, "complete"));
    assert_eq!(receipt.path("source", "document"), missing.body.len() as u64);
    let request = counted.client.request("HEAD", BUCKET, "large");
    let head = expect(counted.send(request), 200).unwrap();
    assert_eq!((Receipt::of(&head).field("state"), Receipt::of(&head).bytes()), ("complete", 0));
    bodies += TINY + missing.body.len() as u64;
    let after = Counters::of(&server);
    assert_eq!(after.source(&before, "record"), TINY);
    assert_eq!(after.source(&before, "document"), missing.body.len() as u64);
    assert_eq!(after.device_read(&before), 0);

    // All of it.
    assert_eq!(after.sent(&first), bodies);
    assert_eq!(after.all_sources(&first), bodies);
    assert_eq!(after.copied(&first, "socket_send"), bodies);
    let info = TcpInfo::of(counted.connection.stream()).unwrap();
    assert_eq!(info.bytes_received, counted.received, "heads and {bodies} bytes of bodies");
}

#[test]
fn a_herd_reads_the_device_once() {
    const CLIENTS: u64 = 8;
    let site = Site::new();
    let server = stocked(&site);
    let before = Counters::of(&server);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let got = expect(server.client().get(BUCKET, "large").unwrap(), 200).unwrap();
                assert_eq!(got.body.len() as u64, LARGE);
            });
        }
    });
    let after = Counters::of(&server);
    assert_eq!(after.device_read(&before), LARGE);
    assert_eq!(after.source(&before, "device"), LARGE, "each block for one of them");
    let shared = after.source(&before, "cache") + after.source(&before, "joined");
    assert_eq!(shared, (CLIENTS - 1) * LARGE);
}

#[test]
fn a_client_that_goes_is_counted_for_what_it_was_sent() {
    let site = Site::new();
    let server = stocked(&site);
    let before = Counters::of(&server);
    let mut counted = Counted::open(&server);
    let mut request = counted.client.request("GET", BUCKET, "large");
    Signer::new(counted.client.credentials()).sign(&mut request);
    counted.connection.send(&request.bytes()).unwrap();
    assert_eq!(counted.connection.receive_head().unwrap().status, 200);
    counted.connection.receive_some(1000).unwrap();
    drop(counted);
    let after = Counters::of(&server);
    let sent = after.sent(&before);
    assert!(sent > 0 && sent < LARGE, "{sent}");
    assert_eq!(after.all_sources(&before), sent);
    assert_eq!(after.since(&before, "penstock_responses_aborted_total", &[]), 1);
}

#[test]
fn chunks_end_in_a_trailer_for_who_takes_trailers() {
    let site = Site::new();
    let server = stocked(&site);
    let mut counted = Counted::open(&server);
    expect(counted.get("large"), 200).unwrap();
    for (key, size) in [("large", LARGE), ("ragged", RAGGED)] {
        let source = if key == "large" { "cache" } else { "device" };
        let request = counted.client.request("GET", BUCKET, key).header("TE", "trailers");
        let response = expect(counted.send(request), 200).unwrap();
        assert_eq!(response.header("transfer-encoding"), Some("chunked"));
        assert_eq!(response.header("content-length"), None);
        assert_eq!(response.header("trailer"), Some("server-timing, x-penstock-receipt"));
        assert!(response.body == content(size, size as usize), "{key} came back different");
        let head = Receipt::of(&response);
        assert_eq!((head.field("state"), head.bytes()), ("begun", size));
        let last = Receipt::parse(response.trailer("x-penstock-receipt").unwrap());
        assert_eq!((last.field("state"), last.bytes()), ("complete", size));
        assert_eq!((last.path("source", source), last.sources()), (size, size), "{last:?}");
        assert_eq!(last.path("copied", "socket_send"), size);
        assert_eq!(last.field("id"), response.header("x-amz-request-id").unwrap());
        let stages = timing(response.trailer("server-timing").unwrap());
        assert!(stages["send"] > 0.0 && stages["send"] < stages["total"], "{stages:?}");
    }
    // What is known at once needs no trailer, and keeps its length.
    let request = counted.client.request("GET", BUCKET, "small").header("TE", "trailers");
    let response = expect(counted.send(request), 200).unwrap();
    assert_eq!(response.header("content-length"), Some("4096"));
    assert_eq!(Receipt::of(&response).field("state"), "complete");
}

#[test]
fn http2_ends_in_a_trailer_and_keeps_its_length() {
    let site = Site::new();
    let server = stocked(&site);
    let before = Counters::of(&server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        for source in ["device", "cache"] {
            let response = sender.send_request(over_http2(&server, "ragged")).await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["content-length"], RAGGED.to_string());
            let collected = response.into_body().collect().await.unwrap();
            let trailers = collected.trailers().expect("trailers").clone();
            assert!(collected.to_bytes() == content(RAGGED, RAGGED as usize));
            let receipt = Receipt::parse(trailers["x-penstock-receipt"].to_str().unwrap());
            assert_eq!((receipt.field("state"), receipt.bytes()), ("complete", RAGGED));
            assert_eq!(receipt.path("source", source), RAGGED, "{receipt:?}");
            let stages = timing(trailers["server-timing"].to_str().unwrap());
            assert!(stages.contains_key("send"), "{stages:?}");
        }
    });
    let after = Counters::of(&server);
    assert_eq!(after.source(&before, "device"), RAGGED);
    assert_eq!(after.source(&before, "cache"), RAGGED);
    assert_eq!(after.sent(&before), 2 * RAGGED);
}

fn over_http2(server: &Server, key: &str) -> hyper::Request<Full<Bytes>> {
    let client = server.client();
    let mut request = client.request("GET", BUCKET, key);
    Signer::new(client.credentials()).sign(&mut request);
    let uri = format!("http://{}{}", server.address, request.target());
    let mut builder = hyper::Request::builder().method("GET").uri(uri);
    for (name, value) in request.headers.iter().filter(|(name, _)| name != "Host") {
        builder = builder.header(name, value);
    }
    // Not signed: a receipt is no part of what is authorised.
    builder = builder.header("x-penstock-receipt", "1").header("te", "trailers");
    builder.body(Full::new(Bytes::new())).unwrap()
}

#[test]
fn who_gets_one_is_configured() {
    let receipt = |variables: &[(&str, &str)], asks: bool| {
        let site = Site::new();
        let mut options = Options::default();
        for (name, value) in variables {
            options = options.environment(name, *value);
        }
        let mut server = options.start(&site);
        let mut client = server.client();
        let mut request = client.request("PUT", BUCKET, "");
        if asks {
            request = request.header("x-penstock-receipt", "1");
        }
        let response = expect(client.run(request).unwrap(), 200).unwrap();
        let got = response.header("x-penstock-receipt").is_some();
        assert_eq!(got, response.header("server-timing").is_some());
        let counters = Counters::of(&server);
        assert!(server.terminate().success(), "{}", server.log());
        (got, counters)
    };
    assert!(!receipt(&[], false).0);
    assert!(receipt(&[], true).0);
    assert!(receipt(&[("PENSTOCK_RECEIPTS", "always")], false).0);
    assert!(!receipt(&[("PENSTOCK_RECEIPTS", "off")], true).0);
    // Where requests are not measured there is nothing to say, and no time is spent on it.
    let (got, counters) = receipt(&[("PENSTOCK_METRICS_REQUESTS", "off")], true);
    assert!(!got);
    for name in ["penstock_request_stage_seconds_count", "penstock_request_duration_seconds_count"]
    {
        assert_eq!(counters.metrics.sum(name, &[]), None, "{name}");
    }
}

#[test]
fn every_error_has_its_code() {
    let site = Site::new();
    let server = stocked(&site);
    let mut client = server.client();
    let before = Counters::of(&server);
    // By an operation, with and without a document; by verification; by the door.
    assert_eq!(client.get(BUCKET, "missing").unwrap().status, 404);
    assert_eq!(client.head(BUCKET, "missing").unwrap().status, 404);
    let mut request = client.request("GET", BUCKET, "small");
    Signer::new(client.credentials()).sign(&mut request);
    request.path.push('x');
    assert_eq!(client.send(&request).unwrap().outcome(), "403 SignatureDoesNotMatch");
    let request = client.request("PATCH", BUCKET, "small");
    assert_eq!(client.run(request).unwrap().outcome(), "405 MethodNotAllowed");
    let request = client.request("GET", BUCKET, "small").header("Range", "bytes=9999-");
    assert_eq!(client.run(request).unwrap().outcome(), "416 InvalidRange");
    let after = Counters::of(&server);
    let errors = |code: &str| {
        after.since(&before, "penstock_request_errors_total", &[&format!("code=\"{code}\"")])
    };
    assert_eq!(errors("NoSuchKey"), 2);
    for code in ["SignatureDoesNotMatch", "MethodNotAllowed", "InvalidRange"] {
        assert_eq!(errors(code), 1, "{code}");
    }
    assert_eq!(after.since(&before, "penstock_request_errors_total", &[]), 5);
}

/// A stage that waits is told apart from those that do not: a client that brings its body late.
#[test]
fn waiting_for_the_client_is_no_time_of_ours() {
    const LATE: Duration = Duration::from_millis(300);
    let site = Site::new();
    let server = stocked(&site);
    let mut counted = Counted::open(&server);
    // The first request of a process has its code read from the disk.
    counted.put("early", SMALL);
    let mut request = counted.client.request("PUT", BUCKET, "late").body(vec![7; 5000]);
    request = request.header("x-penstock-receipt", "1");
    Signer::new(counted.client.credentials()).sign_as(&mut request, "UNSIGNED-PAYLOAD");
    counted.connection.send(&request.head_bytes()).unwrap();
    std::thread::sleep(LATE);
    counted.connection.send(&request.body).unwrap();
    let response = expect(counted.connection.receive(true).unwrap(), 200).unwrap();
    let stages = timing(response.header("server-timing").unwrap());
    let late = LATE.as_secs_f64() * 1e3;
    assert!(stages["receive"] > late * 0.5, "{stages:?}");
    assert!(stages["auth"] < late && stages["index"] < late, "{stages:?}");
    assert!(stages["total"] >= stages["receive"] + stages["commit"], "{stages:?}");
}
