//! The binary against a small server in the test: what it writes is what it verifies, what is wrong
//! is found and counted, and its figures are those of what happened.

mod server;

use std::io::{Read as _, Write as _};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use server::{Faults, Server, Speaks};

/// Runs the load generator; its arguments are words in one string.
fn loadgen(server: &Server, arguments: &str) -> (Option<i32>, Value, String) {
    let output = command(&server.url(), arguments).output().expect("it runs");
    figures(output)
}

fn command(url: &str, arguments: &str) -> Command {
    let mut words = arguments.split_whitespace();
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock-loadgen"));
    command.arg(words.next().expect("a subcommand"));
    if !arguments.starts_with("compare") {
        command.args(["--endpoint", url]);
    }
    command
        .args(words)
        .args(["--json", "-"])
        .env("AWS_ACCESS_KEY_ID", "test-key")
        .env("AWS_SECRET_ACCESS_KEY", "test-secret")
        .env_remove("AWS_SESSION_TOKEN")
        .env_remove("AWS_REGION")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn figures(output: Output) -> (Option<i32>, Value, String) {
    let table = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), json, table)
}

#[track_caller]
fn succeeds(server: &Server, arguments: &str) -> Value {
    let (code, json, table) = loadgen(server, arguments);
    assert_eq!(code, Some(0), "{arguments}\n{table}");
    json
}

const SMALL: &str = "-n 40 -s 0,1,4KiB,100KB,1MiB -c 4";

#[test]
fn what_was_put_verifies_in_every_way_of_writing_and_reading() {
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let server = Server::start(speaks, Faults::default());
        let protocol = match speaks {
            Speaks::Http1 => "",
            Speaks::Http2 => "--http2 --streams 3",
        };
        for writing in [
            "--create-bucket",
            "--payload signed",
            "--payload trailer",
            "--auth presigned",
            "--auth anonymous",
            "--part-size 300KB",
            "--part-size 300KB --payload trailer -t 2",
        ] {
            server.state.objects.lock().expect("no panic").clear();
            let put = succeeds(&server, &format!("put {SMALL} {writing} {protocol}"));
            assert_eq!(put["total"]["requests"], 40, "{writing}");
            let verify = succeeds(&server, &format!("verify {SMALL} {protocol}"));
            assert_eq!(verify["total"]["requests"], 40);
            assert_eq!(verify["total"]["bytes"], put["total"]["bytes"]);
        }
        for reading in [
            "--range 1000 --range-offset random",
            "--range 64KiB --range-offset sequential --auth presigned",
            "--range 10 --range-offset 5 -t 3",
            "--order sequential --auth anonymous",
        ] {
            let arguments = format!("get {SMALL} --verify --requests 200 {reading} {protocol}");
            let get = succeeds(&server, &arguments);
            assert_eq!(get["total"]["requests"], 200, "{reading}");
        }
    }
}

#[test]
fn damage_is_found_and_named() {
    let server = Server::plain();
    succeeds(&server, "put -n 20 -s 100KB");
    server.damage("/bench/loadgen/0000000003", |bytes| {
        bytes[77_777] ^= 1;
        true
    });
    server.damage("/bench/loadgen/0000000005", |bytes| {
        bytes.truncate(99_999);
        true
    });
    server.damage("/bench/loadgen/0000000007", |_| false);
    let (code, json, table) = loadgen(&server, "verify -n 20 -s 100KB -c 1");
    assert_eq!(code, Some(1), "{table}");
    let damage = &json["damage"];
    assert_eq!(damage["count"], 3);
    for (position, expected) in [
        "loadgen/0000000003: content differs from the derived one at offset 77777",
        "loadgen/0000000005: 99999 bytes instead of 100000",
        "loadgen/0000000007: answered 404 NoSuchKey",
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(damage["first"][position], expected);
        assert!(table.contains(expected), "{table}");
    }
    // Without --verify only what is missing shows.
    let (code, json, _) = loadgen(&server, "get -n 20 -s 100KB --order sequential --requests 20");
    assert_eq!((code, &json["damage"]["count"]), (Some(1), &1.into()));
    // Another seed is other content.
    let (code, json, _) = loadgen(&server, "verify -n 20 -s 100KB --seed 2");
    assert_eq!((code, &json["total"]["errors"]), (Some(1), &20.into()));
}

#[test]
fn requests_carry_what_their_way_of_access_needs() {
    let server = Server::plain();
    succeeds(&server, "put -n 1 --payload trailer");
    succeeds(&server, "get -n 1 --requests 1 --auth presigned");
    succeeds(&server, "get -n 1 --requests 1 --auth anonymous --range 100 --range-offset 8");
    let requests = server.state.requests.lock().expect("no panic");
    let [put, presigned, anonymous] = requests.as_slice() else {
        panic!("three requests, not {}", requests.len());
    };
    assert_eq!((&put.method, &presigned.method), (&http::Method::PUT, &http::Method::GET));
    let authorization = put.headers["authorization"].to_str().expect("text");
    assert!(authorization.contains(
        "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-trailer,"
    ));
    assert_eq!(put.headers["x-amz-content-sha256"], "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    assert_eq!(put.headers["x-amz-decoded-content-length"], "4096");
    assert!(presigned.target.contains("X-Amz-Signature="));
    assert!(!presigned.headers.contains_key("authorization"));
    assert_eq!(anonymous.target, "/bench/loadgen/0000000000");
    assert_eq!(anonymous.headers["range"], "bytes=8-107");
    assert!(!anonymous.headers.keys().any(|name| name.as_str().starts_with("x-amz")));
}

#[test]
fn errors_are_counted_by_kind_and_bounded() {
    let faults = Faults { slow_down_every: Some(10), ..Faults::default() };
    let server = Server::start(Speaks::Http1, faults);
    let (_, put, _) = loadgen(&server, "put -n 10 -c 1");
    assert_eq!(put["errors"][0]["kind"], "503 SlowDown");
    let (code, json, table) = loadgen(&server, "get -n 9 --requests 100 -c 4");
    assert_eq!(code, Some(1));
    assert_eq!(json["total"]["errors"], 10);
    assert_eq!(json["total"]["requests"], 90);
    assert!(table.contains("10  503 SlowDown; the first: get loadgen/"), "{table}");
    let (code, json, _) = loadgen(&server, "get -n 9 --requests 100000 --errors-max 3 -c 1");
    assert_eq!((code, &json["ended"]), (Some(1), &"too_many_errors".into()));
    assert_eq!(json["total"]["errors"], 3);
}

#[test]
fn an_endpoint_that_is_not_there_ends_the_run_soon() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let output = command(&url, "get --errors-max 4 -d 60s -c 2").output().expect("it runs");
    let (code, json, table) = figures(output);
    assert_eq!(code, Some(1), "{table}");
    assert_eq!(json["errors"][0]["kind"], "connect");
}

#[test]
fn a_refused_upload_is_counted_by_its_answer() {
    let faults = Faults { refuse_uploads: true, ..Faults::default() };
    let server = Server::start(Speaks::Http1, faults);
    let (code, json, table) = loadgen(&server, "put -n 3 -s 32MiB -c 1 --timeout 20s");
    assert_eq!(code, Some(1), "{table}");
    assert_eq!(json["errors"][0]["kind"], "403 AccessDenied", "{table}");
    assert_eq!(json["errors"][0]["count"], 3);
}

#[test]
fn an_answer_that_comes_while_the_body_is_sent_ends_the_sending() {
    // This server reads the head, refuses, and then neither reads nor closes.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            stream.read_exact(&mut [0; 100]).expect("part of a head");
            std::thread::sleep(Duration::from_millis(100));
            let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 30\r\n\r\n\
                <Error><Code>No</Code></Error>";
            stream.write_all(answer).expect("an answer");
            kept.push(stream);
        }
    });
    let arguments = "put -n 2 -s 60MiB -c 1 --auth anonymous --timeout 20s";
    let (code, json, table) = figures(command(&url, arguments).output().expect("it runs"));
    assert_eq!(code, Some(1), "{table}");
    assert_eq!(json["errors"][0]["kind"], "400 No", "{table}");
    assert_eq!(json["errors"][0]["count"], 2);
    assert!(json["elapsed_s"].as_f64() < Some(10.0), "{table}");
}

#[test]
fn connections_that_the_server_ends_are_opened_anew() {
    let faults = Faults { answers_per_connection: Some(7), ..Faults::default() };
    let server = Server::start(Speaks::Http1, faults);
    succeeds(&server, "put -n 10 -c 1");
    let get = succeeds(&server, "get -n 10 --requests 70 -c 1 --verify");
    assert_eq!(get["connections_opened"], 9, "ten, of which one before the measurement");
    server.state.connections.store(0, Ordering::Relaxed);
    succeeds(&server, "get -n 10 --requests 20 -c 4 --no-keep-alive --verify");
    assert_eq!(server.state.connections.load(Ordering::Relaxed), 20);
}

#[test]
fn a_connection_closed_while_idle_is_no_error() {
    let faults = Faults { close_after: Some(3), ..Faults::default() };
    let server = Server::start(Speaks::Http1, faults);
    server.put("/bench/loadgen/0000000000", 4096);
    // 20 ms between requests: the server closes in between.
    let get = succeeds(&server, "get -n 1 -c 1 --rate 50 --requests 12");
    assert_eq!(get["total"]["requests"], 12);
    assert_eq!(get["connections_opened"], 3, "four, of which one before the measurement");
}

#[test]
fn a_request_without_answer_times_out_and_the_next_goes_on() {
    let faults = Faults { stall: Some((3, Duration::from_secs(30))), ..Faults::default() };
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let server = Server::start(speaks, faults.clone());
        server.put("/bench/loadgen/0000000000", 4096);
        let protocol = if speaks == Speaks::Http2 { "--http2" } else { "" };
        let arguments = format!("get -n 1 -c 1 --requests 10 --timeout 200ms {protocol}");
        let (code, json, table) = loadgen(&server, &arguments);
        assert_eq!(code, Some(1), "{table}");
        assert_eq!(json["errors"][0]["kind"], "timeout");
        assert_eq!((&json["total"]["errors"], &json["total"]["requests"]), (&1.into(), &9.into()));
    }
}

#[test]
fn an_upload_in_parts_that_fails_is_aborted() {
    // Create, part 1, part 2: the third request is refused.
    let faults = Faults { slow_down_every: Some(3), ..Faults::default() };
    let server = Server::start(Speaks::Http1, faults);
    let (code, json, _) = loadgen(&server, "put -n 1 -s 100KB --part-size 10KB");
    assert_eq!((code, &json["errors"][0]["kind"]), (Some(1), &"503 SlowDown".into()));
    let requests = server.state.requests.lock().expect("no panic");
    let last = requests.last().expect("requests");
    assert_eq!((requests.len(), &last.method), (4, &http::Method::DELETE));
    assert!(last.target.ends_with("?uploadId=up%261"), "{}", last.target);
}

#[test]
fn a_stall_shows_in_every_request_that_was_due_meanwhile() {
    let stall = Duration::from_millis(600);
    let faults = Faults { stall: Some((15, stall)), ..Faults::default() };
    let server = Server::start(Speaks::Http1, faults);
    succeeds(&server, "put -n 1 -c 1");
    // 200 a second for 1 s on one connection, of which 0.6 s stand still from the 14th on.
    let get = succeeds(&server, "get -n 1 -c 1 --rate 200 -d 1s");
    let operation = &get["operations"][0];
    let (latency, service) = (&operation["latency_us"], &operation["service_us"]);
    let at = |of: &Value, name: &str| of[name].as_f64().expect("a number");
    assert!(at(latency, "p50") > 100_000.0, "most requests were due during the stall: {latency}");
    assert!(at(service, "p90") < 100_000.0, "one alone was served slowly: {service}");
    assert!(at(service, "max") >= 600_000.0);
    let sent = operation["requests"].as_u64().expect("a number");
    let never = get["open_loop"]["never_sent"].as_u64().expect("a number");
    assert_eq!(sent + never, 200, "every request that was due is accounted for");
    assert!(get["open_loop"]["sent_late"].as_u64() > Some(50));
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let server = Server::plain();
    succeeds(&server, "put -n 10");
    for arrivals in ["uniform", "poisson"] {
        let arguments = format!("get -n 10 -c 8 -t 2 --rate 400 -d 1500ms --arrivals {arrivals}");
        let get = succeeds(&server, &arguments);
        let sent = get["total"]["requests"].as_u64().expect("a number");
        let never = get["open_loop"]["never_sent"].as_u64().expect("a number");
        assert!((500..700).contains(&(sent + never)), "{arrivals}: {sent} sent, {never} not");
    }
}

#[test]
fn mixed_asks_in_proportion() {
    let server = Server::plain();
    succeeds(&server, "put -n 10");
    let arguments = "mixed -n 10 --mix get:6,put:2,head:1,list:1 --requests 500 --verify";
    let mixed = succeeds(&server, arguments);
    let operations = mixed["operations"].as_array().expect("operations");
    let counts: Vec<(&str, u64)> = operations
        .iter()
        .map(|one| (one["operation"].as_str().unwrap_or(""), one["requests"].as_u64().unwrap_or(0)))
        .collect();
    let [("get", gets), ("put", puts), ("head", heads), ("list", lists)] = counts[..] else {
        panic!("{counts:?}");
    };
    assert_eq!(gets + puts + heads + lists, 500);
    assert!((240..360).contains(&gets) && (60..140).contains(&puts), "{counts:?}");
    assert!((20..80).contains(&heads) && (20..80).contains(&lists), "{counts:?}");
}

#[test]
fn compare_prepares_interleaves_and_relates() {
    let (one, two) = (Server::plain(), Server::plain());
    let arguments = format!(
        "compare one={},auth=anonymous,pid={pid} two={},bucket=other,auth=presigned,pid={pid} \
         --prepare -n 5 -d 200ms --rounds 3 --warmup 50ms --verify",
        one.url(),
        two.url(),
        pid = std::process::id(),
    );
    let output = command("", &arguments).output().expect("it runs");
    let (code, json, table) = figures(output);
    assert_eq!(code, Some(0), "{table}");
    assert_eq!(json["endpoints"], serde_json::json!(["one", "two"]));
    assert_eq!(json["runs"][0].as_array().map(Vec::len), Some(3));
    let rate = &json["metrics"][0];
    assert_eq!(rate["metric"], "requests_per_second");
    assert!(rate["ratios"][0].is_null() && rate["ratios"][1]["median"].as_f64() > Some(0.0));
    assert!(json["metrics"][6]["values"][1]["median"].as_f64() > Some(0.0), "server CPU");
    assert!(table.contains("medians of 3 interleaved rounds"), "{table}");
    let stored = two.state.objects.lock().expect("no panic");
    assert!(stored.keys().all(|path| path.starts_with("/other/loadgen/")) && stored.len() == 5);
}

#[test]
fn an_interrupt_prints_the_table_so_far() {
    let server = Server::plain();
    succeeds(&server, "put -n 10");
    let child = command(&server.url(), "get -n 10 -d 60s -c 2").spawn().expect("it runs");
    // Wait until it is measuring: requests arrive.
    let seen = || server.state.requests.lock().expect("no panic").len();
    while seen() < 50 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("signalled");
    let (code, json, table) = figures(child.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(130), "{table}");
    assert_eq!(json["ended"], "interrupted");
    assert!(json["total"]["requests"].as_u64() > Some(0));
    assert_eq!(json["total"]["errors"], 0);
    assert!(table.contains("measured, interrupted"), "{table}");
}

#[test]
fn options_that_do_not_fit_are_refused_with_the_remedy() {
    let server = Server::plain();
    for (arguments, expected) in [
        ("get -n 0", "--objects is 0"),
        ("get -c 2 -t 3", "--threads is 3"),
        ("get --rate 0", "--rate is 0"),
        ("put --auth presigned --payload signed", "needs --auth header"),
        ("put -s 1GiB --part-size 1KiB", "raise --part-size"),
        ("get --auth presigned -n 5000000", "choose --auth header"),
        ("get --range-offset 5", "--range"),
        ("get --size 4X", "is no byte count"),
        ("get --rdma tcp", "pooled, session"),
        ("get --rdma pooled --rdma-path-mtu 1500", "is no path MTU"),
    ] {
        let (code, _, message) = loadgen(&server, arguments);
        assert_eq!(code, Some(2), "{arguments}: {message}");
        assert!(message.contains(expected), "{arguments}: {message}");
    }
    let mut keyless = command(&server.url(), "get");
    keyless.env_remove("AWS_SECRET_ACCESS_KEY");
    let (code, _, message) = figures(keyless.output().expect("it runs"));
    assert_eq!(code, Some(2));
    assert!(message.contains("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"), "{message}");
    assert_eq!(server.state.requests.lock().expect("no panic").len(), 0);
}

#[test]
fn without_the_device_that_is_named_there_is_no_run_and_a_probe_says_why() {
    let server = Server::plain();
    let (code, _, message) =
        loadgen(&server, "get --rdma pooled --rdma-device no-such-device --requests 1");
    assert_eq!(code, Some(2), "{message}");
    assert!(message.contains("error: --rdma: "), "{message}");
    let mut probe = Command::new(env!("CARGO_BIN_EXE_penstock-loadgen"));
    probe
        .args([
            "rdma-probe",
            &server.url(),
            "-b",
            "bench",
            "--rdma-device",
            "no-such-device",
            "--json",
        ])
        .env("AWS_ACCESS_KEY_ID", "test-key")
        .env("AWS_SECRET_ACCESS_KEY", "test-secret");
    let (code, json, text) = figures(probe.output().expect("it runs"));
    assert_eq!(code, Some(1), "{text}");
    assert_eq!((&json["usable"], &json["bucket"]), (&false.into(), &"bench".into()));
    assert!(json["problems"].as_array().map(Vec::len) >= Some(2), "{json}");
    assert!(
        text.contains("! this machine: ") && text.ends_with("RDMA is not usable here.\n"),
        "{text}"
    );
    // What it asked of the server was signed.
    let requests = server.state.requests.lock().expect("no panic");
    let asked: Vec<&str> = requests.iter().map(|request| request.target.as_str()).collect();
    assert_eq!(asked, ["/bench", "/.s3rdma-rc/capabilities"]);
    assert!(requests.iter().all(|request| request.headers.contains_key("authorization")));
}
