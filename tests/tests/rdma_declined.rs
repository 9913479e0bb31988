//! RDMA's requests to a server without RDMA: every token is told apart and declined so exactly that its client goes on
//! over HTTP, and nothing is ever stored by accident. Runs everywhere: RDMA is switched off, whatever the machine has.

use penstock_tests::client::{Client, expect};
use penstock_tests::content::content;
use penstock_tests::http::Response;
use penstock_tests::server::{Options, Server, Site};
use penstock_tests::sign::{Request, Signer};

const BUCKET: &str = "declined";

/// A token of each kind, with whether its client is to be told that it speaks an unsupported protocol.
const TOKENS: [(&str, bool); 6] = [
    // A pooled connection.
    ("rc:0123456789abcdef0123456789abcdef:00007f12a4000000:00010000:0000189a", false),
    // A queue pair that is not connected, alone and with its memory.
    (
        "011201000000000000000000000000ffff0a4d00010000000000000000000000000000000000000000010000",
        true,
    ),
    (
        "011201000000000000000000000000ffff0a4d00010000000000000000000000000000000000000000010000:00007f00deadb000:10000",
        true,
    ),
    // cuObject, in both of its forms.
    ("00007f00deadb000:00400000:000018ff:0000:0001a7:1:00000000000000000000ffff0a4d0001", false),
    (
        "00007f00deadb000:00400000:000018ff:0000:0001a7:1:00000000000000000000ffff0a4d0001:00007f00deadb000:0000000000400000",
        false,
    ),
    // libfabric.
    ("7f00dead0000:1000:ofi1:verbs;ofi_rxm:0a0b0c0d:1f", false),
];

const ROUTES: [&str; 5] = [
    "/.hipobj-rc/prepare",
    "/.hipobj-rc/ready",
    "/.hipobj-rc/cancel",
    "/.s3rdma-rc/connect",
    "/.s3rdma-rc/disconnect",
];

fn start(site: &Site, more: &[&str]) -> (Server, Client) {
    let mut options = Options::default().argument("--rdma-mode").argument("off");
    for argument in more {
        options = options.argument(*argument);
    }
    let server = options.start(site);
    let mut client = server.client();
    expect(client.create_bucket(BUCKET).unwrap(), 200).unwrap();
    (server, client)
}

fn with_token(client: &Client, method: &str, key: &str, token: &str) -> Request {
    client.request(method, BUCKET, key).header("x-amz-rdma-token", token)
}

fn run(client: &mut Client, request: Request) -> Response {
    client.run_unsigned(request).unwrap()
}

#[track_caller]
fn assert_mark(answer: &Response, marked: bool) {
    let mark = answer.header("x-amz-rdma-protocol-status");
    assert_eq!(mark, marked.then_some("unsupported"));
}

#[test]
fn downloads_come_in_the_body() {
    let site = Site::new();
    let (_server, mut client) = start(&site, &[]);
    let body = content(1, 300_001);
    let stored = expect(client.put(BUCKET, "object", &body).unwrap(), 200).unwrap();
    for (token, marked) in TOKENS {
        let request = with_token(&client, "GET", "object", token);
        let got = expect(run(&mut client, request), 200).unwrap();
        assert!(got.body == body, "{token}: {} bytes", got.body.len());
        assert_eq!(got.header("x-amz-rdma-reply"), Some("501"), "{token}");
        assert_eq!(got.header("content-length"), Some("300001"));
        assert_eq!(got.header("etag"), stored.header("etag"));
        assert_eq!(got.header("x-amz-rdma-bytes-transferred"), None);
        assert_mark(&got, marked);
        let range = with_token(&client, "GET", "object", token).header("Range", "bytes=7-70000");
        let got = expect(run(&mut client, range), 206).unwrap();
        assert!(got.body == body[7..=70_000], "{token}: {} bytes", got.body.len());
        assert_eq!(got.header("x-amz-rdma-reply"), Some("501"));
        assert_eq!(got.header("content-range"), Some("bytes 7-70000/300001"));
    }
}

#[test]
fn what_is_no_download_is_said_as_ever() {
    let site = Site::new();
    let (_server, mut client) = start(&site, &[]);
    let stored = expect(client.put(BUCKET, "object", b"0123456789").unwrap(), 200).unwrap();
    let tag = stored.header("etag").unwrap().to_owned();
    for (token, _) in TOKENS {
        let get = |key: &str| with_token(&client, "GET", key, token);
        let requests = [
            (get("missing"), "404 NoSuchKey"),
            (get("object").header("Range", "bytes=10-"), "416 InvalidRange"),
            (get("object").header("If-Match", "\"other\""), "412 PreconditionFailed"),
            (get("object").header("If-None-Match", &tag), "304"),
        ];
        for (request, outcome) in requests {
            let answer = run(&mut client, request);
            assert_eq!(answer.outcome(), outcome, "{token}");
            assert_eq!(answer.header("x-amz-rdma-reply"), None, "{token}: {outcome}");
        }
    }
}

#[test]
fn uploads_store_nothing() {
    let site = Site::new();
    let (_server, mut client) = start(&site, &[]);
    let old = expect(client.put(BUCKET, "old", b"what was there").unwrap(), 200).unwrap();
    for (token, marked) in TOKENS {
        for key in ["new", "old"] {
            let request = with_token(&client, "PUT", key, token);
            let answer = expect(run(&mut client, request), 200).unwrap();
            assert_eq!(answer.header("x-amz-rdma-reply"), Some("501"), "{token}");
            assert_eq!(answer.header("content-type"), Some("application/xml"));
            assert_eq!(answer.code().as_deref(), Some("RDMANotSupported"));
            assert_eq!(answer.element("Resource"), Some(format!("/{BUCKET}/{key}")));
            assert_eq!(answer.element("RequestId").as_deref(), answer.header("x-amz-request-id"));
            for absent in ["etag", "x-amz-version-id", "x-amz-rdma-bytes-transferred"] {
                assert_eq!(answer.header(absent), None, "{token}: {absent}");
            }
            assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
            assert_mark(&answer, marked);
        }
        assert_eq!(client.head(BUCKET, "new").unwrap().status, 404, "{token}");
        let kept = expect(client.get(BUCKET, "old").unwrap(), 200).unwrap();
        assert_eq!(
            (kept.header("etag"), &*kept.body),
            (old.header("etag"), &b"what was there"[..])
        );
    }
    assert_eq!(client.keys(BUCKET).unwrap(), ["old"]);
}

#[test]
fn parts_store_nothing() {
    let site = Site::new();
    let (_server, mut client) = start(&site, &[]);
    let upload = client.create_upload(BUCKET, "object").unwrap();
    for (token, _) in TOKENS {
        let part = with_token(&client, "PUT", "object", token)
            .query("partNumber", "1")
            .query("uploadId", &upload);
        let answer = expect(run(&mut client, part), 200).unwrap();
        assert_eq!(answer.header("x-amz-rdma-reply"), Some("501"), "{token}");
        assert_eq!(
            (answer.header("etag"), answer.code().as_deref()),
            (None, Some("RDMANotSupported"))
        );
        let list = client.request("GET", BUCKET, "object").query("uploadId", &upload);
        let parts = expect(client.run(list).unwrap(), 200).unwrap();
        assert!(!parts.text().contains("<Part>"), "{token}: {}", parts.text());
    }
}

#[test]
fn an_operator_can_have_declined_uploads_be_errors() {
    let site = Site::new();
    let (_server, mut client) = start(&site, &["--rdma-put-decline-status", "501"]);
    for (token, marked) in TOKENS {
        let request = with_token(&client, "PUT", "object", token);
        let answer = run(&mut client, request);
        assert_eq!(answer.outcome(), "501 NotImplemented", "{token}");
        assert_eq!(answer.header("x-amz-rdma-reply"), Some("501"));
        assert_eq!(answer.header("etag"), None);
        assert_mark(&answer, marked);
        assert_eq!(client.head(BUCKET, "object").unwrap().status, 404);
    }
}

#[test]
fn what_is_no_object_ignores_a_token() {
    let site = Site::new();
    let (_server, mut client) = start(&site, &[]);
    expect(client.put(BUCKET, "object", b"0123456789").unwrap(), 200).unwrap();
    let own = |answer: &Response| {
        let own = |(name, _): &&(String, String)| {
            !["date", "x-amz-request-id", "x-amz-id-2"].contains(&name.as_str())
        };
        answer.headers.iter().filter(own).cloned().collect::<Vec<_>>()
    };
    for token in TOKENS.iter().map(|(token, _)| *token).chain(["no token at all"]) {
        for (method, key) in
            [("HEAD", "object"), ("HEAD", "missing"), ("GET", ""), ("DELETE", "gone")]
        {
            let plain = client.request(method, BUCKET, key);
            let plain = run(&mut client, plain);
            let request = with_token(&client, method, key, token);
            let answer = run(&mut client, request);
            assert_eq!(answer.status, plain.status, "{method} {key}, {token}");
            assert_eq!(own(&answer), own(&plain), "{method} {key}, {token}");
            assert_eq!(answer.header("x-amz-rdma-reply"), None);
        }
    }
}

#[test]
fn a_token_must_be_signed() {
    let site = Site::new();
    let (_server, mut client) = start(&site, &["--public-read", BUCKET]);
    expect(client.put(BUCKET, "object", b"0123456789").unwrap(), 200).unwrap();
    let credentials = client.credentials().clone();
    for (token, _) in TOKENS {
        for method in ["GET", "PUT"] {
            let mut added = client.request(method, BUCKET, "object");
            Signer::new(&credentials).sign_as(&mut added, "UNSIGNED-PAYLOAD");
            let added = added.header("x-amz-rdma-token", token);
            let mut presigned = client.request(method, BUCKET, "object");
            Signer::new(&credentials).presign(&mut presigned, std::time::Duration::from_secs(60));
            let presigned = presigned.header("x-amz-rdma-token", token);
            let mut hidden =
                client.request(method, BUCKET, "object").query("x-amz-rdma-token", token);
            Signer::new(&credentials).presign(&mut hidden, std::time::Duration::from_secs(60));
            let anonymous = with_token(&client, method, "object", token);
            for request in [added, presigned, hidden, anonymous] {
                let answer = client.send(&request).unwrap();
                assert_eq!(answer.outcome(), "403 AccessDenied", "{method} {token}");
                assert_eq!(answer.header("x-amz-rdma-reply"), None);
            }
            let mut presigned = with_token(&client, method, "object", token);
            Signer::new(&credentials).presign(&mut presigned, std::time::Duration::from_secs(60));
            let answer = expect(client.send(&presigned).unwrap(), 200).unwrap();
            assert_eq!(answer.header("x-amz-rdma-reply"), Some("501"), "{method} {token}");
        }
    }
    let kept = expect(client.get(BUCKET, "object").unwrap(), 200).unwrap();
    assert_eq!(kept.body, b"0123456789");
}

#[test]
fn contradictions_and_malformed_tokens_are_400() {
    let site = Site::new();
    let (_server, mut client) = start(&site, &[]);
    let (pooled, _) = TOKENS[0];
    let long = "a".repeat(1025);
    for token in [
        "junk",
        "rc:",
        "rc:0123456789abcdef0123456789abcdef:00007f12a4000000:00000000:0000189a",
        "rc:0123456789abcdef0123456789abcdeg:00007f12a4000000:00010000:0000189a",
        &"0".repeat(87),
        "00007f00deadb000:00000000:000018ff:0000:0001a7:1:00000000000000000000ffff0a4d0001",
        "7f00dead0000:1000:ofi1:tcp:abc:1f",
        &long,
    ] {
        for method in ["GET", "PUT"] {
            let request = with_token(&client, method, "object", token);
            let answer = run(&mut client, request);
            assert_eq!(answer.outcome(), "400 InvalidRDMAToken", "{method} {token}");
            assert_eq!(answer.header("x-amz-rdma-reply"), None);
        }
    }
    let put = || with_token(&client, "PUT", "object", pooled);
    let requests = [
        (put().body(*b"bytes"), "400 InvalidArgument"),
        (put().header("x-amz-rdma-token", pooled), "400 InvalidRequest"),
        (put().header("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="), "400 InvalidRequest"),
        (put().header("Content-Encoding", "aws-chunked"), "400 InvalidRequest"),
        (put().header("x-amz-trailer", "x-amz-checksum-crc32"), "400 InvalidRequest"),
        (put().header("x-amz-rdma-checksum-algorithm", "MD5"), "400 InvalidArgument"),
    ];
    for (request, outcome) in requests {
        let answer = client.run_unsigned(request).unwrap();
        assert_eq!(answer.outcome(), outcome);
        assert_eq!(answer.header("x-amz-rdma-reply"), None);
    }
    let mut streaming =
        with_token(&client, "PUT", "object", pooled).header("x-amz-decoded-content-length", "0");
    Signer::new(client.credentials()).sign_as(&mut streaming, "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    assert_eq!(client.send(&streaming).unwrap().outcome(), "400 InvalidRequest");
    assert_eq!(client.head(BUCKET, "object").unwrap().status, 404);
    // The hash of nothing will do as well as none.
    let request = with_token(&client, "PUT", "object", pooled);
    let answer = expect(client.run(request).unwrap(), 200).unwrap();
    assert_eq!(answer.header("x-amz-rdma-reply"), Some("501"));
}

#[test]
fn control_requests_are_sent_to_http_before_anything_is_asked() {
    let site = Site::new();
    let (_server, mut client) = start(&site, &[]);
    let host = client.host();
    for route in ROUTES {
        let request = Request::new("POST", route).header("Host", &host);
        let answer = client.send(&request).unwrap();
        assert_eq!(answer.outcome(), "501 NotImplemented", "{route}");
        assert_mark(&answer, true);
        assert_eq!(answer.header("x-amz-rdma-protocol"), None, "{route}");
        assert!(
            answer.header("content-length").is_some()
                && answer.header("transfer-encoding").is_none()
        );
        for method in ["GET", "PUT", "DELETE", "HEAD"] {
            let request = Request::new(method, route).header("Host", &host);
            let answer = client.send(&request).unwrap();
            assert_eq!(
                (answer.status, answer.header("allow")),
                (405, Some("POST")),
                "{method} {route}"
            );
        }
    }
}

#[test]
fn what_rdma_can_do_is_said_before_it_is_tried() {
    let site = Site::new();
    let (server, mut client) = start(&site, &[]);
    let head = client.request("HEAD", BUCKET, "");
    let answer = expect(client.run(head).unwrap(), 200).unwrap();
    assert_eq!(answer.header("x-amz-rdma-capabilities"), Some("off"));
    let head = client.request("HEAD", "no-such-bucket", "");
    let missing = client.run(head).unwrap();
    assert_eq!((missing.status, missing.header("x-amz-rdma-capabilities")), (404, None));

    let host = client.host();
    let request = || Request::new("GET", "/.s3rdma-rc/capabilities").header("Host", &host);
    assert_eq!(client.send(&request()).unwrap().outcome(), "403 AccessDenied");
    let answer = expect(client.run(request()).unwrap(), 200).unwrap();
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let expected = serde_json::json!({
        "enabled": false, "capabilities": "off", "protocols": [], "reason": "rdma.mode = off",
    });
    assert_eq!(document, expected);
    assert!(server.log().contains("RDMA: none: rdma.mode = off"), "{}", server.log());
    assert_eq!(server.admin("/readyz").unwrap().status, 200);
}

#[test]
fn what_was_declined_is_counted_by_reason() {
    let site = Site::new();
    let (server, mut client) = start(&site, &[]);
    for (token, _) in TOKENS {
        let request = with_token(&client, "PUT", "object", token);
        expect(run(&mut client, request), 200).unwrap();
    }
    let prepare = Request::new("POST", ROUTES[0]).header("Host", &client.host());
    assert_eq!(client.send(&prepare).unwrap().status, 501);
    let text = server.admin("/metrics").unwrap().text();
    for (reason, count) in [
        ("off", 2),
        ("not_connected", 2),
        ("dynamically_connected", 2),
        ("libfabric", 1),
        ("busy", 0),
        ("failed", 0),
    ] {
        let line = format!("penstock_rdma_declines_total{{reason=\"{reason}\"}} {count}");
        assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
    }
    for line in [
        "penstock_rdma_enabled 0",
        "penstock_copied_bytes_total{path=\"rdma\"} 0",
        "penstock_requests_total{operation=\"RdmaPrepare\",status=\"5xx\"} 1",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
    }
}

#[test]
fn insisting_on_rdma_where_there_is_none_refuses_to_start() {
    let site = Site::new();
    let options = Options::default()
        .argument("--rdma-mode")
        .argument("on")
        .argument("--rdma-device")
        .argument("no_such_device");
    let mut server = options.spawn(&site);
    let status = server.wait_exit(std::time::Duration::from_secs(30));
    assert!(!status.success());
    let log = server.log();
    assert!(log.contains("rdma.mode = on") && log.contains("rdma.mode = auto"), "{log}");
}
