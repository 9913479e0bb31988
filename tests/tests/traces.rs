//! Traces of the real binary: a collector gets the spans of requests whose client is traced, as
//! children of the client's span; logs and metrics name the same trace; nothing waits for a
//! collector that is not there.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use penstock_tests::client::expect;
use penstock_tests::collector::{Collector, attribute, hexadecimal};
use penstock_tests::content::content;
use penstock_tests::http::Connection;
use penstock_tests::server::{Options, Server, Site, free_port};
use penstock_tests::sign::Request;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

fn tracing(collector: &Collector) -> Options {
    Options::default().environment("PENSTOCK_TRACE_ENDPOINT", collector.endpoint())
}

fn count(server: &Server, outcome: &str) -> f64 {
    server.metrics().value("penstock_trace_spans_total", &[&format!("outcome=\"{outcome}\"")])
}

/// Waits until spans have come to that end.
fn wait_for(server: &Server, outcome: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while count(server, outcome) == 0.0 {
        assert!(Instant::now() < deadline, "no {outcome} spans");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn open_metrics(server: &Server) -> String {
    let mut connection = Connection::open(server.admin).unwrap();
    let request = Request::new("GET", "/metrics")
        .header("Host", &server.admin.to_string())
        .header("Accept", "application/openmetrics-text; version=1.0.0");
    connection.send(&request.bytes()).unwrap();
    let response = connection.receive(true).unwrap();
    let kind = response.header("content-type").unwrap();
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.text()
}

#[test]
fn a_traced_client_finds_the_server_in_its_trace() {
    let collector = Collector::start("200 OK");
    let site = Site::new();
    let log = site.path().join("access.log");
    let mut server = tracing(&collector)
        .environment("PENSTOCK_ACCESS_LOG_FILE", log.display().to_string())
        .start(&site);
    let mut client = server.client();
    expect(client.create_bucket("traced").unwrap(), 200).unwrap();
    expect(client.put("traced", "key", &content(3, 100_000)).unwrap(), 200).unwrap();
    let mut request = client.presigned_get("traced", "key");
    request.set("traceparent", &traceparent("01"));
    request.set("tracestate", "vendor=value");
    let answer = expect(client.send(&request).unwrap(), 200).unwrap();
    let spans = collector.wait_for(1);
    let metrics = open_metrics(&server);
    wait_for(&server, "exported");
    assert_eq!(count(&server, "exported"), spans.len() as f64);
    assert!(server.terminate().success());

    let received = collector.received();
    assert_eq!(received.targets[0], "POST /v1/traces HTTP/1.1");
    assert!(received.resources.contains(&("service.name".into(), "penstock".into())));
    let whole = spans.iter().find(|span| span.name == "S3.GetObject").unwrap();
    assert_eq!(hexadecimal(&whole.trace_id), TRACE);
    assert_eq!(hexadecimal(&whole.parent_span_id), PARENT);
    assert_eq!(whole.trace_state, "vendor=value");
    assert_eq!(whole.kind, 2, "a server's span");
    let id = answer.header("x-amz-request-id").unwrap();
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("http.response.body.size", "100000"),
        ("aws.s3.bucket", "traced"),
        ("aws.s3.key", "key"),
        ("aws.request_id", id),
        ("server.port", &server.address.port().to_string()),
    ] {
        assert_eq!(attribute(whole, name).as_deref(), Some(value), "{name}");
    }
    for stage in spans.iter().filter(|span| span.name != whole.name) {
        assert_eq!(stage.parent_span_id, whole.span_id, "{}", stage.name);
        assert_eq!(stage.trace_id, whole.trace_id, "{}", stage.name);
        assert!(stage.start_time_unix_nano >= whole.start_time_unix_nano, "{}", stage.name);
        assert!(stage.end_time_unix_nano <= whole.end_time_unix_nano, "{}", stage.name);
    }
    let stages: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    for stage in ["auth", "index", "send"] {
        assert!(stages.contains(&stage), "{stage} is none of {stages:?}");
    }
    // Two requests before it brought no traceparent.
    assert!(spans.iter().all(|span| hexadecimal(&span.trace_id) == TRACE));

    let (_, signature) = request.query.last().unwrap();
    for body in &received.bodies {
        let text = String::from_utf8_lossy(body);
        assert!(!text.contains(signature.as_str()), "the signature went to the collector");
        assert!(text.contains("X-Amz-Signature=REDACTED"));
    }
    let lines = fs::read_to_string(log).unwrap();
    let line = lines.lines().find(|line| line.contains(id)).unwrap();
    assert!(line.contains(&format!("\"trace_id\":\"{TRACE}\"")), "{line}");
    let exemplar =
        format!("# {{trace_id=\"{TRACE}\",span_id=\"{}\"}}", hexadecimal(&whole.span_id));
    for family in ["duration", "first_byte"] {
        let name = format!("penstock_request_{family}_seconds_bucket{{operation=\"GetObject\"");
        let found = metrics.lines().filter(|it| it.starts_with(&name) && it.contains(&exemplar));
        assert_eq!(found.count(), 1, "{family}:\n{metrics}");
    }
    assert!(metrics.ends_with("# EOF\n"));
}

#[test]
fn a_client_that_is_not_traced_is_sampled_as_configured() {
    let collector = Collector::start("200 OK");
    let site = Site::new();
    let mut server = tracing(&collector).environment("PENSTOCK_TRACE_SAMPLE", "1").start(&site);
    let mut client = server.client();
    let unsampled = client.request("GET", "", "").header("traceparent", &traceparent("00"));
    expect(client.run(unsampled).unwrap(), 200).unwrap();
    for invalid in ["00-0-0-01", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"] {
        let request = client.request("GET", "", "").header("traceparent", invalid);
        expect(client.run(request).unwrap(), 200).unwrap();
    }
    assert!(server.terminate().success());
    let mut spans = collector.received().spans;
    spans.retain(|span| span.name == "S3.ListBuckets");
    assert_eq!(spans.len(), 3, "the last are sent before the end");
    spans.sort_by_key(|span| span.parent_span_id.is_empty());
    assert_eq!(hexadecimal(&spans[0].trace_id), TRACE);
    assert_eq!(hexadecimal(&spans[0].parent_span_id), PARENT);
    for span in &spans[1..] {
        assert!(span.parent_span_id.is_empty(), "an invalid traceparent is no parent");
        assert_ne!(hexadecimal(&span.trace_id), TRACE);
    }
    assert_ne!(spans[1].trace_id, spans[2].trace_id);
}

#[test]
fn without_sampling_only_traced_clients_have_spans() {
    let collector = Collector::start("200 OK");
    let site = Site::new();
    let mut server = tracing(&collector).start(&site);
    let mut client = server.client();
    for flags in ["00", "01"] {
        let request = client.request("GET", "", "").header("traceparent", &traceparent(flags));
        expect(client.run(request).unwrap(), 200).unwrap();
        let request = client.request("GET", "", "");
        expect(client.run(request).unwrap(), 200).unwrap();
    }
    assert!(server.terminate().success());
    let spans = collector.received().spans;
    assert_eq!(spans.iter().filter(|span| span.name == "S3.ListBuckets").count(), 1);
}

#[test]
fn no_request_waits_for_a_collector() {
    // One that nobody listens at, one that never answers, one that refuses.
    let gone = format!("http://127.0.0.1:{}", free_port());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = format!("http://{}", silent.local_addr().unwrap());
    let refusing = Collector::start("400 Bad Request");
    for (endpoint, outcome) in [(gone, None), (mute, None), (refusing.endpoint(), Some("failed"))] {
        let site = Site::new();
        let mut server = Options::default()
            .environment("PENSTOCK_TRACE_ENDPOINT", &endpoint)
            .environment("PENSTOCK_TRACE_SAMPLE", "1")
            .start(&site);
        let mut client = server.client();
        let began = Instant::now();
        for _ in 0..2000 {
            let request = client.request("GET", "", "");
            expect(client.run(request).unwrap(), 200).unwrap();
        }
        let took = began.elapsed();
        assert!(took < Duration::from_secs(20), "{took:?} with {endpoint}");
        // What is over the queue is dropped at once; what was sent failed.
        let outcome = outcome.unwrap_or("dropped");
        wait_for(&server, outcome);
        let began = Instant::now();
        assert!(server.terminate().success(), "with {endpoint}");
        assert!(began.elapsed() < Duration::from_secs(15), "the end waits for {endpoint}");
    }
}
