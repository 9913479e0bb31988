//! hipobj-rc-v2: every request on another lane.

use rdma::client::{Get, Path, Put, Verification};
use rdma::server::{Operation, Protocol, TransferOutcome};
use rdma::wire::header;

use super::super::decline::Reason;
use super::*;

#[test]
fn an_object_goes_up_and_down_whatever_lane_is_asked() {
    run(async |bench| {
        let object = content(3_000_001);
        for (prepare, ready) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let key = format!("object {prepare}{ready}");
            bench.http.come_on(&[prepare, ready]);
            let put = Put::object("bucket", &*key, object.len() as u64);
            let done = bench.client.put(&*bench.http, &put, bench.filled(&object)).await.unwrap();
            assert_eq!((done.outcome.path, done.outcome.bytes), (Path::Rdma, 3_000_001));
            assert_eq!(done.outcome.checksum, Verification::Verified);
            bench.http.come_on(&[0]);
            let got = bench
                .http
                .send("GET", &format!("/bucket/object%20{prepare}{ready}"), &[], b"")
                .await;
            assert!(got.body == object, "{key}: {} bytes", got.body.len());
            assert_eq!(got.header("etag"), done.outcome.entity_tag.as_deref());

            bench.http.come_on(&[prepare, ready]);
            let get = Get::object("bucket", &*key).range(777, 2_000_001);
            let done = bench.client.get(&*bench.http, &get, bench.memory(2_000_010)).await.unwrap();
            assert_eq!(done.outcome.path, Path::Rdma);
            assert!(done.memory.as_slice()[..2_000_001] == object[777..2_000_778]);
            assert!(done.memory.as_slice()[2_000_001..].iter().all(|byte| *byte == 0xee));
        }
        let stats = bench.nothing_left().await;
        for operation in [Operation::Get, Operation::Put] {
            let done = stats.transfers_of(Protocol::Session, operation, TransferOutcome::Succeeded);
            assert_eq!(done, 4);
        }
        assert_eq!(stats.bytes_written, 4 * 2_000_001);
        assert_eq!(stats.bytes_written_by_peers, 4 * 3_000_001);
        let receipts = &bench.rdma.receipts;
        assert_eq!((receipts.delivered_bytes(), receipts.copied_bytes()), (4 * 2_000_001, 0));
        assert_eq!(receipts.staging_copied_bytes(), 4 * 3_000_001);
    });
}

#[test]
fn parts_are_targets_both_ways() {
    run(async |bench| {
        let made = bench.http.send("POST", "/bucket/parts?uploads", &[], b"").await;
        let text = made.text();
        let upload = text.split_once("<UploadId>").unwrap().1.split_once('<').unwrap().0;
        let parts = [content(5 << 20), content(1_000)];
        let mut document = "<CompleteMultipartUpload>".to_owned();
        for (at, part) in parts.iter().enumerate() {
            bench.http.come_on(&[0, 1, 0]);
            let put = Put::object("bucket", "parts", part.len() as u64).part(upload, at as u16 + 1);
            let done = bench.client.put(&*bench.http, &put, bench.filled(part)).await.unwrap();
            let tag = done.outcome.entity_tag.unwrap();
            let number = at + 1;
            document +=
                &format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>");
        }
        document += "</CompleteMultipartUpload>";
        let target = format!("/bucket/parts?uploadId={upload}");
        let completed = bench.http.send("POST", &target, &[], document.as_bytes()).await;
        assert_eq!(completed.status, 200, "{}", completed.text());
        bench.http.come_on(&[1, 0]);
        let get = Get::object("bucket", "parts").part(2);
        let done = bench.client.get(&*bench.http, &get, bench.memory(1_000)).await.unwrap();
        assert_eq!((done.outcome.path, done.memory.as_slice()), (Path::Rdma, &parts[1][..]));
        bench.nothing_left().await;
    });
}

/// The headers of a PREPARE that nobody will follow up; the client's queue pair need not exist for that.
fn prepare<'a>(operation: &'a str, target: &'a str, size: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        (header::PROTOCOL, "hipobj-rc-v2"),
        (
            header::TOKEN,
            "010300000000000000000000000000ffff7f0000010000000000000000000000000000000000000000010000",
        ),
        (header::PSN, "000001"),
        (header::COOKIE, "1a2b3c4d"),
        (header::OP, operation),
        (header::TARGET, target),
        (header::SIZE, size),
    ]
}

async fn prepared(bench: &Bench, operation: &str, target: &str, size: &str) -> client::Answer {
    bench.http.send("POST", "/.hipobj-rc/prepare", &prepare(operation, target, size), b"").await
}

#[test]
fn prepare_says_what_s3_would_say() {
    run(async |bench| {
        bench.http.send("PUT", "/bucket/object", &[], &content(1000)).await;
        let too_long = format!("/bucket/{}", "k".repeat(1025));
        for (operation, target, size, outcome) in [
            ("GET", "/bucket/missing", "1", "404 NoSuchKey"),
            ("GET", "/no-such-bucket/object", "1", "404 NoSuchBucket"),
            ("GET", "/bucket/object", "1001", "416 InvalidRange"),
            ("GET", "/bucket/object?versionId=1", "1", "400 InvalidArgument"),
            ("GET", "/bucket/object?partNumber=2", "1", "416 InvalidPartNumber"),
            ("GET", "/bucket/object?acl", "1", "501 NotImplemented"),
            ("PUT", "/no-such-bucket/object", "1", "404 NoSuchBucket"),
            (
                "PUT",
                "/bucket/object?uploadId=0123456789abcdef&partNumber=1",
                "1",
                "404 NoSuchUpload",
            ),
            ("PUT", too_long.as_str(), "1", "400 KeyTooLongError"),
            ("PUT", "/bucket/object", "2147483648", "413 EntityTooLarge"),
            ("PUT", "/bucket/object", "8388609", "413 EntityTooLarge"),
            ("PUT", "/bucket/object", "0", "400 InvalidArgument"),
        ] {
            let answer = prepared(bench, operation, target, size).await;
            if target.contains("versionId") {
                // Which of the two S3 says is S3's.
                assert!((400..=404).contains(&answer.status), "{}", answer.outcome());
                continue;
            }
            assert_eq!(answer.outcome(), outcome, "{operation} {target} {size}");
            let marked = answer.header(header::PROTOCOL_STATUS) == Some("unsupported");
            assert_eq!(marked, answer.status == 501, "{operation} {target}");
            assert_eq!(answer.header(header::PROTOCOL).is_some(), !marked, "{operation} {target}");
        }
        assert_eq!(bench.rdma.declines.of(Reason::Protocol), 1);
        bench.nothing_left().await;
    });
}

#[test]
fn a_session_is_its_owners_alone() {
    run(async |bench| {
        bench.http.send("PUT", "/bucket/object", &[], &content(1000)).await;
        let session = prepared(bench, "GET", "/bucket/object", "1000").await;
        let id = session.header(header::SESSION).unwrap().to_owned();
        let ready = |cookie| {
            [
                (header::PROTOCOL, "hipobj-rc-v2"),
                (header::SESSION, id.as_str()),
                (header::COOKIE, cookie),
                (header::QPN, "3"),
            ]
        };
        bench.http.come_on(&[1]);
        bench.http.sign_as(client::OTHER_KEY);
        let foreign = bench.http.send("POST", "/.hipobj-rc/ready", &ready("1a2b3c4d"), b"").await;
        assert_eq!(foreign.outcome(), "404 NoSuchRdmaSession");
        let cancel = &ready("1a2b3c4d")[..2];
        assert_eq!(bench.http.send("POST", "/.hipobj-rc/cancel", cancel, b"").await.status, 204);
        bench.http.sign_as(client::KEY);
        let wrong = bench.http.send("POST", "/.hipobj-rc/ready", &ready("1a2b3c4e"), b"").await;
        assert_eq!(wrong.outcome(), "404 NoSuchRdmaSession");
        // A READY that is none leaves the session as it was, too.
        let bare = bench.http.send("POST", "/.hipobj-rc/ready", &ready("1a2b3c4d"), b"").await;
        assert_eq!(bare.outcome(), "400 InvalidArgument");
        assert_eq!(bench.server.stats().sessions, 1);
        for _ in 0..2 {
            let cancelled = bench.http.send("POST", "/.hipobj-rc/cancel", cancel, b"").await;
            assert_eq!((cancelled.status, cancelled.body.len()), (204, 0));
        }
        bench.nothing_left().await;
    });
}

#[test]
fn control_requests_are_signed_whole() {
    run(async |bench| {
        let headers = prepare("PUT", "/bucket/object", "64");
        let unsigned = bench.http.send_unsigned("POST", "/.hipobj-rc/prepare", &headers).await;
        assert_eq!(unsigned.outcome(), "403 AccessDenied");
        assert_eq!(unsigned.header(header::PROTOCOL), Some("hipobj-rc-v2"));
        let unknown = bench.http.send("POST", "/.hipobj-rc/prepare", &headers[1..], b"").await;
        assert_eq!(unknown.outcome(), "501 NotImplemented");
        assert_eq!(unknown.header(header::PROTOCOL_STATUS), Some("unsupported"));
        for route in ["/.hipobj-rc/ready", "/.hipobj-rc/cancel"] {
            let wrong = bench.http.send("POST", route, &headers[1..], b"").await;
            assert_eq!(wrong.outcome(), "400 InvalidRequest", "{route}");
        }
        let query = bench.http.send("POST", "/.hipobj-rc/prepare?x", &headers, b"").await;
        assert_eq!(query.outcome(), "400 InvalidRequest");
        let body = bench.http.send("POST", "/.hipobj-rc/prepare", &headers, b"bytes").await;
        assert_eq!(body.outcome(), "400 InvalidRequest");
        for service in ["hipobj", "s3"] {
            bench.http.sign_for(service);
            let fine = bench.http.send("POST", "/.hipobj-rc/prepare", &headers, b"").await;
            assert_eq!(fine.status, 200, "{service}: {}", fine.text());
            let id = fine.header(header::SESSION).unwrap();
            let cancel = [(header::PROTOCOL, "hipobj-rc-v2"), (header::SESSION, id)];
            assert_eq!(
                bench.http.send("POST", "/.hipobj-rc/cancel", &cancel, b"").await.status,
                204
            );
        }
        bench.http.sign_for("hipobj");
        let elsewhere = bench.http.send("GET", "/bucket", &[], b"").await;
        assert_eq!(elsewhere.outcome(), "400 AuthorizationHeaderMalformed");
        bench.http.sign_for("s3");
        bench.nothing_left().await;
    });
}

#[test]
fn limits_are_said_and_end_with_their_sessions() {
    let mut setup = Setup::new();
    setup.settings.sessions_per_principal = 2;
    setup.settings.ready_time = Duration::from_millis(300);
    run_with(setup, async |bench| {
        for lane in [0, 1] {
            bench.http.come_on(&[lane]);
            assert_eq!(prepared(bench, "PUT", "/bucket/object", "64").await.status, 200);
        }
        let third = prepared(bench, "PUT", "/bucket/object", "64").await;
        assert_eq!(third.outcome(), "503 SlowDown");
        assert!(third.header("retry-after").is_some());
        // Nobody sends READY.
        let stats = bench.nothing_left().await;
        assert_eq!(stats.sessions_ended[rdma::server::SessionOutcome::Expired.index()], 2);
        assert_eq!(prepared(bench, "PUT", "/bucket/object", "64").await.status, 200);
    });
}

#[test]
fn a_client_that_hangs_up_leaves_nothing() {
    run(async |bench| {
        let session = prepared(bench, "PUT", "/bucket/object", "64").await;
        let id = session.header(header::SESSION).unwrap().to_owned();
        let ready = [
            (header::PROTOCOL, "hipobj-rc-v2"),
            (header::SESSION, id.as_str()),
            (header::COOKIE, "1a2b3c4d"),
            (header::QPN, "3"),
        ];
        // On the other lane than the queue pair's. Nobody will ever write, so only hanging up ends this.
        bench.http.come_on(&[1]);
        let hanging = bench.http.leave_hanging("POST", "/.hipobj-rc/ready", &ready).await;
        let end = Instant::now() + Duration::from_secs(5);
        while bench.server.stats().transfers_active == 0 {
            assert!(Instant::now() < end, "the transfer never began");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let second = bench.http.send("POST", "/.hipobj-rc/ready", &ready, b"").await;
        assert_eq!(second.outcome(), "409 RdmaTransferInProgress");
        drop(hanging);
        let stats = bench.nothing_left().await;
        let aborted =
            stats.transfers_of(Protocol::Session, Operation::Put, TransferOutcome::Aborted);
        assert_eq!(aborted, 1);
        assert_eq!(bench.http.send("HEAD", "/bucket/object", &[], b"").await.status, 404);
    });
}

#[test]
fn a_changed_object_is_not_delivered() {
    run(async |bench| {
        bench.http.send("PUT", "/bucket/object", &[], &content(1000)).await;
        let session = prepared(bench, "GET", "/bucket/object", "1000").await;
        bench.http.send("PUT", "/bucket/object", &[], &content(1001)).await;
        let id = session.header(header::SESSION).unwrap();
        let ready = [
            (header::PROTOCOL, "hipobj-rc-v2"),
            (header::SESSION, id),
            (header::COOKIE, "1a2b3c4d"),
            (header::QPN, "3"),
            (header::MR_ADDR, "1000"),
            (header::MR_RKEY, "1"),
        ];
        bench.http.come_on(&[1]);
        let answer = bench.http.send("POST", "/.hipobj-rc/ready", &ready, b"").await;
        assert_eq!(answer.outcome(), "412 PreconditionFailed");
        assert_eq!(answer.header(header::PROTOCOL), Some("hipobj-rc-v2"));
        bench.nothing_left().await;
    });
}

/// The headers of READY for the session that was prepared.
fn ready(id: &str) -> Vec<(&str, &str)> {
    vec![
        (header::PROTOCOL, "hipobj-rc-v2"),
        (header::SESSION, id),
        (header::COOKIE, "1a2b3c4d"),
        (header::QPN, "3"),
        (header::MR_ADDR, "1000"),
        (header::MR_RKEY, "1"),
    ]
}

#[test]
fn a_client_that_does_not_answer_may_try_again() {
    run(async |bench| {
        bench.http.send("PUT", "/bucket/object", &[], &content(1000)).await;
        let session = prepared(bench, "GET", "/bucket/object", "1000").await;
        let id = session.header(header::SESSION).unwrap();
        for lane in [1, 0] {
            bench.http.come_on(&[lane]);
            let silent = bench.http.send("POST", "/.hipobj-rc/ready", &ready(id), b"").await;
            assert_eq!(silent.outcome(), "409 RdmaPeerBusy");
            assert_eq!(silent.header(header::PROTOCOL), Some("hipobj-rc-v2"));
            assert_eq!(bench.server.stats().sessions, 1);
        }
        let cancelled = bench.http.send("POST", "/.hipobj-rc/cancel", &ready(id)[..2], b"").await;
        assert_eq!(cancelled.status, 204);
        let stats = bench.nothing_left().await;
        assert_eq!(stats.rearmed, 2);
    });
}

#[test]
fn an_upload_that_never_comes_ends_in_time() {
    let mut setup = Setup::new();
    setup.settings.execution_time = Duration::from_millis(200);
    run_with(setup, async |bench| {
        let session = prepared(bench, "PUT", "/bucket/object", "64").await;
        let id = session.header(header::SESSION).unwrap();
        bench.http.come_on(&[1]);
        let late = bench.http.send("POST", "/.hipobj-rc/ready", &ready(id), b"").await;
        assert_eq!(late.outcome(), "408 RequestTimeout");
        assert_eq!(bench.http.send("HEAD", "/bucket/object", &[], b"").await.status, 404);
        bench.nothing_left().await;
    });
}

#[test]
fn without_its_key_a_session_is_nobodys() {
    let mut setup = Setup::new();
    setup.settings.ready_time = Duration::from_millis(500);
    run_with(setup, async |bench| {
        let session = prepared(bench, "PUT", "/bucket/object", "64").await;
        let id = session.header(header::SESSION).unwrap();
        let secret = Secret::new(client::SECRET);
        bench.rdma.keys.replace([AccessKey { id: client::OTHER_KEY.into(), secret }]);
        bench.http.come_on(&[1]);
        let deleted = bench.http.send("POST", "/.hipobj-rc/ready", &ready(id), b"").await;
        assert_eq!(deleted.outcome(), "403 InvalidAccessKeyId");
        bench.nothing_left().await;
    });
}

#[test]
fn the_end_of_the_gateway_is_the_end_of_what_hangs() {
    run_with(Setup::new(), async |bench| {
        let session = prepared(bench, "PUT", "/bucket/object", "64").await;
        let id = session.header(header::SESSION).unwrap();
        // The lane that owns the queue pair has nothing to do any more; the other waits for it.
        bench.http.come_on(&[1]);
        let hanging = bench.http.leave_hanging("POST", "/.hipobj-rc/ready", &ready(id)).await;
        let end = Instant::now() + Duration::from_secs(5);
        while bench.server.stats().transfers_active == 0 {
            assert!(Instant::now() < end, "the transfer never began");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        hanging
    });
}

#[test]
fn sixty_four_at_a_time_over_both_lanes() {
    run(async |bench| {
        let pool = Rc::new(bench.client.connect(&*bench.http).await.unwrap());
        bench.http.come_on(&[0, 1, 1].repeat(100));
        let mut tasks = tokio::task::JoinSet::new();
        for at in 0..64 {
            let object = content(20_000 + 1_000 * at);
            let (up, down) = (bench.filled(&object), bench.memory(object.len()));
            let (client, http, pool) = (bench.client.clone(), bench.http.clone(), pool.clone());
            tasks.spawn_local(async move {
                let (key, bytes) = (format!("object{at}"), object.len() as u64);
                let put = Put::object("bucket", &*key, bytes);
                let done = pool.put(&*http, &put, up).await.unwrap();
                assert_eq!((done.outcome.path, done.outcome.bytes), (Path::Rdma, bytes));
                let get = Get::object("bucket", &*key);
                let done = client.get(&*http, &get, down).await.unwrap();
                assert_eq!(done.outcome.path, Path::Rdma);
                assert!(done.memory.as_slice() == object, "{key}");
                // And the other way round: written before READY is served, however late that is.
                let key = format!("session{at}");
                let put = Put::object("bucket", &*key, bytes);
                let done = client.put(&*http, &put, done.memory).await.unwrap();
                assert_eq!((done.outcome.path, done.outcome.bytes), (Path::Rdma, bytes));
                let get = Get::object("bucket", &*key);
                let done = pool.get(&*http, &get, done.memory).await.unwrap();
                assert_eq!(done.outcome.path, Path::Rdma);
                assert!(done.memory.as_slice() == object, "{key}");
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        Rc::into_inner(pool).unwrap().disconnect(&*bench.http).await;
        let stats = bench.nothing_left().await;
        let of = |protocol, operation| {
            stats.transfers_of(protocol, operation, TransferOutcome::Succeeded)
        };
        assert_eq!(of(Protocol::Pooled, Operation::Put), 64);
        assert_eq!(of(Protocol::Session, Operation::Get), 64);
        assert_eq!(of(Protocol::Session, Operation::Put), 64);
        assert_eq!(of(Protocol::Pooled, Operation::Get), 64);
    });
}
