//! Pooled connections: requests on the lane that owns the connection and on the other.

use rdma::client::{Decline, Get, Path, Put, Verification};
use rdma::server::{Operation, Protocol, TransferOutcome};
use rdma::wire::header;

use super::super::decline::Reason;
use super::*;
use crate::metrics::Source;

#[test]
fn objects_go_up_and_down_whatever_lane_is_asked() {
    run(async |bench| {
        bench.http.come_on(&[0]);
        let pool = bench.client.connect(&*bench.http).await.unwrap();
        let object = content(3_000_001);
        for lane in [0, 1] {
            bench.http.come_on(&[lane]);
            let key = format!("object{lane}");
            let put = Put::object("bucket", &*key, object.len() as u64);
            let done = pool.put(&*bench.http, &put, bench.filled(&object)).await.unwrap();
            assert_eq!((done.outcome.path, done.outcome.bytes), (Path::Rdma, 3_000_001));
            let got = bench.http.send("GET", &format!("/bucket/{key}"), &[], b"").await;
            assert!(got.body == object, "{key}: {} bytes", got.body.len());

            let get = Get::object("bucket", &*key);
            let done = pool.get(&*bench.http, &get, bench.memory(3_000_001)).await.unwrap();
            assert_eq!(done.outcome.path, Path::Rdma);
            assert_eq!(done.outcome.checksum, Verification::Verified);
            assert!(done.memory.as_slice() == object);
            let done = pool.get(&*bench.http, &get.range(7, 70_001), done.memory).await.unwrap();
            assert_eq!(done.outcome.path, Path::Rdma);
            assert!(done.memory.as_slice()[..70_001] == object[7..70_008]);
            assert_eq!(done.outcome.content_range.as_deref(), Some("bytes 7-70007/3000001"));
        }
        pool.disconnect(&*bench.http).await;
        let stats = bench.nothing_left().await;
        assert_eq!(stats.connections_made, 1);
        let done =
            |operation| stats.transfers_of(Protocol::Pooled, operation, TransferOutcome::Succeeded);
        assert_eq!((done(Operation::Get), done(Operation::Put)), (4, 2));
        assert_eq!(stats.bytes_read, 2 * 3_000_001);
        let receipts = &bench.rdma.receipts;
        assert_eq!((receipts.copied_bytes(), receipts.staging_copied_bytes()), (0, 0));
        let by_source: u64 = Source::ALL.iter().map(|it| receipts.delivered_from(*it)).sum();
        assert_eq!((by_source, receipts.delivered_bytes()), (2 * 3_070_002, 2 * 3_070_002));
        assert_eq!(receipts.delivered_from(Source::Document), 0);
    });
}

#[test]
fn the_receipt_tells_what_the_other_lane_has_moved() {
    let setup = Setup { receipts: Receipts::Always, ..Setup::new() };
    run_with(setup, async |bench| {
        bench.http.come_on(&[0]);
        let pool = bench.client.connect(&*bench.http).await.unwrap();
        let object = content(200_000);
        bench.http.come_on(&[1]);
        let put = Put::object("bucket", "object", object.len() as u64);
        pool.put(&*bench.http, &put, bench.filled(&object)).await.unwrap();
        let last = |name| {
            let noted = bench.http.noted.borrow();
            noted.last().unwrap().answer.header(name).unwrap_or_default().to_owned()
        };
        let receipt = last("x-penstock-receipt");
        assert!(receipt.ends_with("; state=complete; delivery=rdma; bytes=200000"), "{receipt}");
        let timing = last("server-timing");
        for stage in ["auth", "index", "receive", "commit", "total"] {
            assert!(timing.contains(&format!("{stage};dur=")), "{stage} in {timing}");
        }
        for source in ["device", "cache"] {
            let get = Get::object("bucket", "object");
            pool.get(&*bench.http, &get, bench.memory(200_000)).await.unwrap();
            let receipt = last("x-penstock-receipt");
            let said = format!("delivery=rdma; bytes=200000; source={source}:200000");
            assert!(receipt.ends_with(&said), "{receipt}");
        }
        let timing = last("server-timing");
        assert!(timing.contains("send;dur="), "{timing}");
        // A record is copied into a frame, which RDMA sends.
        bench.http.send("PUT", "/bucket/record", &[], b"0123456789").await;
        let get = Get::object("bucket", "record");
        pool.get(&*bench.http, &get, bench.memory(10)).await.unwrap();
        let receipt = last("x-penstock-receipt");
        let said = "delivery=rdma; bytes=10; source=record:10; copied=rdma:10";
        assert!(receipt.ends_with(said), "{receipt}");
        pool.disconnect(&*bench.http).await;
        bench.nothing_left().await;
    });
}

#[test]
fn a_window_that_is_too_small_means_http() {
    run(async |bench| {
        let object = content(100_000);
        bench.http.send("PUT", "/bucket/object", &[], &object).await;
        let pool = bench.client.connect(&*bench.http).await.unwrap();
        bench.http.come_on(&[1]);
        let token = connected(bench, 0x1_0000);
        let headers = [(header::TOKEN, token.as_str())];
        let got = bench.http.send("GET", "/bucket/object", &headers, b"").await;
        assert_eq!((got.status, got.header(header::REPLY)), (200, Some("501")));
        assert!(got.body == object);
        assert_eq!(bench.rdma.declines.of(Reason::WindowTooSmall), 1);
        // The connection goes on.
        let get = Get::object("bucket", "object").range(0, 1000);
        let done = pool.get(&*bench.http, &get, bench.memory(1000)).await.unwrap();
        assert_eq!(done.outcome.path, Path::Rdma);
        pool.disconnect(&*bench.http).await;
        bench.nothing_left().await;
    });
}

/// A token of the connection that was made last, with memory that is nobody's.
fn connected(bench: &Bench, size: u64) -> String {
    let noted = bench.http.noted.borrow();
    let made = noted.iter().rev().find(|it| it.request.contains("/.s3rdma-rc/connect")).unwrap();
    let id = made.answer.header(header::SESSION).unwrap();
    format!("rc:{id}:0000000000001000:{size:08x}:00000001")
}

#[test]
fn a_transfer_that_fails_is_fenced_and_a_download_comes_by_http() {
    run(async |bench| {
        let object = content(100_000);
        bench.http.send("PUT", "/bucket/object", &[], &object).await;
        for lane in [0, 1] {
            bench.http.come_on(&[0, lane]);
            let pool = bench.client.connect(&*bench.http).await.unwrap();
            let token = connected(bench, 0x10_0000);
            let headers = [(header::TOKEN, token.as_str())];
            let got = bench.http.send("GET", "/bucket/object", &headers, b"").await;
            assert_eq!((got.status, got.header(header::REPLY)), (200, Some("501")));
            assert!(got.body == object);
            // The queue pair was fenced, and with it went the connection.
            let gone = bench.http.send("GET", "/bucket/object", &headers, b"").await;
            assert_eq!(gone.outcome(), "404 NoSuchRdmaSession");
            assert_eq!(gone.header(header::REPLY), Some("404"));
            drop(pool);
        }
        assert_eq!(bench.rdma.declines.of(Reason::Failed), 2);
        bench.http.come_on(&[0, 1]);
        let pool = bench.client.connect(&*bench.http).await.unwrap();
        let token = connected(bench, 0x1_0000);
        let failed = bench.http.send("PUT", "/bucket/new", &[(header::TOKEN, &token)], b"").await;
        assert_eq!(failed.outcome(), "500 RDMATransferFailed");
        assert_eq!(failed.header(header::REPLY), None);
        assert_eq!(bench.http.send("HEAD", "/bucket/new", &[], b"").await.status, 404);
        drop(pool);
        bench.nothing_left().await;
    });
}

#[test]
fn a_connection_is_its_owners_alone() {
    run(async |bench| {
        bench.http.send("PUT", "/bucket/object", &[], b"0123456789").await;
        let pool = bench.client.connect(&*bench.http).await.unwrap();
        let token = connected(bench, 0x1_0000);
        bench.http.sign_as(client::OTHER_KEY);
        for method in ["GET", "PUT"] {
            let headers = [(header::TOKEN, token.as_str())];
            let answer = bench.http.send(method, "/bucket/object", &headers, b"").await;
            assert_eq!(answer.outcome(), "404 NoSuchRdmaSession", "{method}");
            assert_eq!(answer.header(header::REPLY), Some("404"));
        }
        let id = token.split(':').nth(1).unwrap();
        let headers = [(header::SESSION, id)];
        let foreign = bench.http.send("POST", "/.s3rdma-rc/disconnect", &headers, b"").await;
        assert_eq!((foreign.status, bench.server.stats().connections), (204, 1));
        bench.http.sign_as(client::KEY);
        pool.disconnect(&*bench.http).await;
        bench.nothing_left().await;
        let gone = bench.http.send("POST", "/.s3rdma-rc/disconnect", &headers, b"").await;
        assert_eq!(gone.status, 204);
    });
}

#[test]
fn s3_says_what_it_says_to_everybody() {
    run(async |bench| {
        bench.http.send("PUT", "/bucket/object", &[], b"0123456789").await;
        let pool = bench.client.connect(&*bench.http).await.unwrap();
        bench.http.come_on(&[1]);
        let token = connected(bench, 0x1_0000);
        let token = (header::TOKEN, token.as_str());
        for (method, target, more, outcome) in [
            ("GET", "/bucket/missing", ("x-amz-meta-a", "b"), "404 NoSuchKey"),
            ("GET", "/bucket/object", ("range", "bytes=10-"), "416 InvalidRange"),
            ("GET", "/bucket/object", ("if-match", "\"other\""), "412 PreconditionFailed"),
            ("PUT", "/no-such-bucket/object", ("x-amz-meta-a", "b"), "404 NoSuchBucket"),
            ("PUT", "/bucket/object", ("if-none-match", "*"), "412 PreconditionFailed"),
        ] {
            let answer = bench.http.send(method, target, &[token, more], b"").await;
            assert_eq!(answer.outcome(), outcome, "{method} {target}");
            assert_eq!(answer.header(header::REPLY), None, "{method} {target}");
        }
        // None of them was the connection's fault.
        let done = pool.get(&*bench.http, &Get::object("bucket", "object"), bench.memory(10)).await;
        assert_eq!(done.unwrap().memory.as_slice(), b"0123456789");
        pool.disconnect(&*bench.http).await;
        bench.nothing_left().await;
    });
}

#[test]
fn clients_that_do_not_sign_connect_where_they_may() {
    let connect = [
        (
            header::TOKEN,
            "010300000000000000000000000000ffff7f0000010000000000000000000000000000000000000000010000",
        ),
        (header::PSN, "d8ce0b"),
    ];
    run(async |bench| {
        let refused = bench.http.send_unsigned("POST", "/.s3rdma-rc/connect", &connect).await;
        assert_eq!(refused.outcome(), "403 AccessDenied");
    });
    let mut setup = Setup::new();
    setup.rules.allow_unsigned_connect = true;
    run_with(setup, async |bench| {
        let made = bench.http.send_unsigned("POST", "/.s3rdma-rc/connect", &connect).await;
        assert_eq!(made.status, 200, "{}", made.text());
        let prepare = bench.http.send_unsigned("POST", "/.hipobj-rc/prepare", &connect).await;
        assert_eq!(prepare.status, 501);
        // Its connection is anybody's who signs requests for objects.
        let token = connected(bench, 0x1_0000);
        let headers = [(header::TOKEN, token.as_str())];
        let missing = bench.http.send("GET", "/bucket/missing", &headers, b"").await;
        assert_eq!(missing.outcome(), "404 NoSuchKey");
        let headers = [(header::SESSION, made.header(header::SESSION).unwrap())];
        let ended = bench.http.send_unsigned("POST", "/.s3rdma-rc/disconnect", &headers).await;
        assert_eq!(ended.status, 204);
        bench.nothing_left().await;
    });
}

#[test]
fn an_address_that_is_not_the_connections_is_refused_where_that_is_asked() {
    let elsewhere = [
        (
            header::TOKEN,
            "010300000000000000000000000000ffff0a4d00010000000000000000000000000000000000000000010000",
        ),
        (header::PSN, "d8ce0b"),
    ];
    let mut setup = Setup::new();
    setup.rules.require_same_address = true;
    run_with(setup, async |bench| {
        let refused = bench.http.send("POST", "/.s3rdma-rc/connect", &elsewhere, b"").await;
        assert_eq!(refused.outcome(), "403 AccessDenied");
        let pool = bench.client.connect(&*bench.http).await.unwrap();
        pool.disconnect(&*bench.http).await;
        bench.nothing_left().await;
    });
}

#[test]
fn an_empty_object_needs_no_rdma() {
    run(async |bench| {
        bench.http.send("PUT", "/bucket/empty", &[], b"").await;
        let pool = bench.client.connect(&*bench.http).await.unwrap();
        let done = pool.get(&*bench.http, &Get::object("bucket", "empty"), bench.memory(1)).await;
        let outcome = done.unwrap().outcome;
        assert_eq!((outcome.path, outcome.bytes), (Path::Rdma, 0));
        let put = Put::object("bucket", "empty", 0);
        let done = pool.put(&*bench.http, &put, bench.memory(1)).await.unwrap();
        assert_eq!(done.outcome.path, Path::Http(Decline::Empty));
        pool.disconnect(&*bench.http).await;
        bench.nothing_left().await;
    });
}

#[test]
fn one_connection_serves_a_thousand_objects() {
    run(async |bench| {
        let object = content(4096);
        bench.http.send("PUT", "/bucket/object", &[], &object).await;
        bench.http.come_on(&[0, 1].repeat(500));
        let pool = bench.client.connect(&*bench.http).await.unwrap();
        let mut memory = bench.memory(4096);
        for _ in 0..1000 {
            let get = Get::object("bucket", "object");
            let done = pool.get(&*bench.http, &get, memory).await.unwrap();
            assert_eq!(done.outcome.path, Path::Rdma);
            memory = done.memory;
        }
        assert!(memory.as_slice() == object);
        pool.disconnect(&*bench.http).await;
        let stats = bench.nothing_left().await;
        assert_eq!((stats.connections_made, stats.bytes_written), (1, 4096 * 1000));
    });
}
