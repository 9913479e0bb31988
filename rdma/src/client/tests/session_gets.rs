//! GETs by hipobj-rc-v2.

use super::server::{Answer, Reply, entity_tag, value};
use super::*;
use crate::wire::route;

/// The error of a GET of 5,000 bytes, after which no session is left and the memory is the caller's again.
async fn failing(bench: &Bench) -> ClientError {
    let Bench { server, client, .. } = bench;
    server.put("/b/k", &contents(5000));
    let get = Get::object("b", "k");
    let failed = client.get(server, &get, bench.memory(5000)).await.expect_err("must fail");
    let mut memory = failed.memory.expect("comes back");
    assert!(memory.as_mut_slice().is_some());
    assert_eq!(client.endpoint().live_queue_pairs(), 0, "destroyed before the memory came back");
    if matches!(&failed.error, ClientError::Mismatch { what: "checksum", .. }) {
        return failed.error; // what was said to be done is done; only the bytes are wrong
    }
    opened_anew(memory, RemoteAccess::Write, server.last_key());
    failed.error
}

#[test]
fn bytes_arrive_and_everything_is_said() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        let object = contents(100_000);
        server.put("/b/a%20key", &object);
        let get = Get::object("b", "a key").range(777, 50_001);
        let done = client.get(server, &get, bench.memory(60_000)).await.expect("delivered");
        assert_eq!(&done.memory.as_slice()[..50_001], &object[777..50_778]);
        assert!(done.memory.as_slice()[50_001..].iter().all(|byte| *byte == 0xee));
        let Outcome { path, bytes, entity_tag: tag, version_id, checksum, work_requests, .. } =
            done.outcome;
        assert_eq!((path, bytes, checksum), (Path::Rdma, 50_001, Verification::Verified));
        assert_eq!(tag, Some(entity_tag(&object[777..50_778])));
        assert_eq!((version_id.as_deref(), work_requests), (Some("v7"), 1));
        assert_eq!(server.asked(), ["POST /.hipobj-rc/prepare", "POST /.hipobj-rc/ready"]);
        // The same memory again: the whole of it, for which the object has bytes enough.
        let done = client.get(server, &Get::object("b", "a key"), done.memory).await;
        assert_eq!(done.expect("delivered").memory.as_slice(), &object[..60_000]);
    });
}

#[test]
fn a_part_and_a_version_are_targets() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        server.put("/b/k?partNumber=2", b"second");
        server.put("/b/k?versionId=v%2F1", b"earlier");
        let part = client.get(server, &Get::object("b", "k").part(2), bench.memory(6)).await;
        assert_eq!(part.expect("delivered").memory.as_slice(), b"second");
        let get = Get { version_id: Some("v/1".to_owned()), ..Get::object("b", "k") };
        let version = client.get(server, &get, bench.memory(7)).await;
        assert_eq!(version.expect("delivered").memory.as_slice(), b"earlier");
    });
}

#[test]
fn unsupported_means_http() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        let object = contents(5000);
        server.put("/b/k", &object);
        server.before(|request| {
            let mut answer = Answer::error(501, "NotImplemented");
            answer.set(header::PROTOCOL_STATUS, "unsupported");
            (request.target == route::PREPARE).then(|| answer.into())
        });
        let get = Get::object("b", "k").range(100, 4000);
        let done = client.get(server, &get, bench.memory(4000)).await.expect("by HTTP");
        assert_eq!(done.memory.as_slice(), &object[100..4100]);
        assert_eq!(done.outcome.path, Path::Http(Decline::NotImplemented));
        assert_eq!(done.outcome.content_range.as_deref(), Some("bytes 100-4099/5000"));
        assert_eq!(server.asked(), ["POST /.hipobj-rc/prepare", "GET /b/k"]);
        // Without the marker it is an error as any other.
        server.before(|request| {
            let answer = Answer::error(501, "NotImplemented");
            (request.target == route::PREPARE).then(|| answer.into())
        });
        assert!(matches!(failing(bench).await, ClientError::Refused { status: 501, .. }));
    });
}

#[test]
fn a_busy_server_is_asked_again_and_not_for_ever() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        server.put("/b/k", &contents(5000));
        let mut times = 0;
        server.before(move |request| {
            times += u32::from(request.target == route::PREPARE);
            let status = if times == 1 { 503 } else { 429 };
            (times <= 2).then(|| Answer::error(status, "SlowDown").into())
        });
        let get = Get::object("b", "k");
        let done = client.get(server, &get, bench.memory(5000)).await.expect("the third time");
        assert_eq!((done.outcome.retries, server.times(route::PREPARE)), (2, 3));
        server.seen.borrow_mut().clear();
        server.before(|_| Some(Answer::error(503, "SlowDown").into()));
        assert_eq!(failing(bench).await, ClientError::Busy { attempts: 6 });
        assert_eq!(server.asked(), vec!["POST /.hipobj-rc/prepare"; 6]);
    });
}

#[test]
fn an_error_of_prepare_is_told() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        let failed = client.get(server, &Get::object("b", "none"), bench.memory(10)).await;
        let ClientError::Refused { step: "PREPARE", status: 404, code } =
            failed.expect_err("not there").error
        else {
            panic!("another error");
        };
        assert_eq!(code.as_deref(), Some("NoSuchKey"));
        assert_eq!(server.times(route::CANCEL), 0, "there was no session");
    });
}

#[test]
fn a_malformed_answer_to_prepare_ends_the_session() {
    let cases: [(&'static str, Option<&'static str>); 6] = [
        (header::PROTOCOL, None),
        (header::REPLY, Some("200")),
        (header::PSN, Some("000000")),
        (header::PSN, None),
        (header::QPN, Some("1")),
        (header::SESSION, None),
    ];
    for (name, value) in cases {
        run(async |bench| {
            bench.server.after(move |request, mut answer| {
                if request.target == route::PREPARE {
                    answer.unset(name);
                    value.into_iter().for_each(|value| answer.set(name, value));
                }
                answer.into()
            });
            let error = failing(bench).await;
            assert!(matches!(error, ClientError::Malformed { step: "PREPARE", .. }), "{error}");
            // What has no name can't be ended; the server's deadline does it.
            let named = name != header::SESSION;
            assert_eq!(bench.server.times(route::CANCEL), usize::from(named));
            assert_eq!(bench.server.live_sessions(), usize::from(!named));
            assert_eq!(bench.server.times(route::READY), 0);
        });
    }
}

#[test]
fn a_final_answer_that_disagrees_is_an_error() {
    let cases: [(&'static str, Option<&'static str>, &'static str); 7] = [
        (header::COOKIE, Some("00000001"), "cookie"),
        (header::COOKIE, None, "malformed"),
        (header::BYTES_TRANSFERRED, Some("4999"), "bytes"),
        (header::BYTES_TRANSFERRED, None, "malformed"),
        (header::CHECKSUM, Some("CRC64NVME AAAAAAAAAAA="), "checksum"),
        (header::CHECKSUM, Some("CRC64NVME AAAAAAAAAAA"), "malformed"),
        (header::PROTOCOL, Some("hipobj-rc-v1"), "malformed"),
    ];
    for (name, value, expected) in cases {
        run(async |bench| {
            bench.server.after(move |request, mut answer| {
                if request.target == route::READY {
                    answer.unset(name);
                    value.into_iter().for_each(|value| answer.set(name, value));
                }
                answer.into()
            });
            let error = failing(bench).await;
            let found = match &error {
                ClientError::Mismatch { what, .. } => what,
                ClientError::Malformed { step: "READY", .. } => "malformed",
                other => panic!("{other}"),
            };
            assert_eq!(found, expected, "{name} {value:?}");
        });
    }
}

#[test]
fn another_cookie_in_the_immediate_is_an_error() {
    run(async |bench| {
        bench.server.immediate_off.set(1);
        let error = failing(bench).await;
        assert!(matches!(error, ClientError::Mismatch { what: "immediate", .. }), "{error}");
        assert_eq!(bench.server.times(route::CANCEL), 1);
    });
}

#[test]
fn bytes_that_were_promised_and_not_written_are_found_by_the_checksum() {
    run(async |bench| {
        bench.server.short.set(1);
        let error = failing(bench).await;
        assert!(matches!(error, ClientError::Mismatch { what: "checksum", .. }), "{error}");
    });
    let unverified = ClientOptions { verify: false, ..ClientOptions::default() };
    run_with(unverified, async |bench| {
        let Bench { server, client, .. } = bench;
        server.put("/b/k", &contents(5000));
        let done = client.get(server, &Get::object("b", "k"), bench.memory(5000)).await;
        assert_eq!(done.expect("unseen").outcome.checksum, Verification::NotComputed);
    });
}

#[test]
fn ready_without_data_ends_soon() {
    run(async |bench| {
        bench.server.before(|request| {
            let cookie = value(request, header::COOKIE)?;
            let mut answer = Answer::new(200);
            answer.set(header::COOKIE, cookie);
            answer.set(header::BYTES_TRANSFERRED, 5000);
            (request.target == route::READY).then(|| answer.into())
        });
        let began = tokio::time::Instant::now();
        let error = failing(bench).await;
        assert!(matches!(error, ClientError::Deadline { step: "the immediate", .. }), "{error}");
        assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
        assert_eq!(bench.server.times(route::CANCEL), 1);
        assert_eq!(bench.server.live_sessions(), 0);
    });
}

#[test]
fn a_lost_final_answer_is_an_error_and_a_silent_server_has_a_deadline() {
    run(async |bench| {
        bench.server.after(|request, answer| match request.target.as_str() {
            route::READY => Reply::Lost,
            _ => answer.into(),
        });
        assert!(matches!(failing(bench).await, ClientError::Control(ControlError::Lost(_))));
        assert_eq!(bench.server.times(route::CANCEL), 1);
        bench.server.before(|request| (request.target == route::READY).then_some(Reply::Never));
        let began = tokio::time::Instant::now();
        let error = failing(bench).await;
        assert!(matches!(error, ClientError::Deadline { step: "READY", .. }), "{error}");
        let took = began.elapsed();
        assert!(took > Duration::from_secs(59) && took < Duration::from_secs(63), "{took:?}");
        // Neither does a CANCEL that nobody answers cost more than its second.
        bench.server.before(|request| (request.target != route::PREPARE).then_some(Reply::Never));
        let began = tokio::time::Instant::now();
        let error = failing(bench).await;
        assert!(matches!(error, ClientError::Deadline { step: "READY", .. }), "{error}");
        assert!(began.elapsed() < Duration::from_secs(63));
    });
}

#[test]
fn ready_is_sent_again_to_a_server_that_could_not_reach_us() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        let object = contents(5000);
        server.put("/b/k", &object);
        server.unreachable.set(2);
        let get = Get::object("b", "k");
        let done = client.get(server, &get, bench.memory(5000)).await.expect("the third time");
        assert_eq!(done.memory.as_slice(), object);
        let Outcome { retries, work_requests, .. } = done.outcome;
        assert_eq!((retries, work_requests, server.times(route::READY)), (2, 3, 3));
        server.unreachable.set(3);
        assert_eq!(failing(bench).await, ClientError::Busy { attempts: 3 });
        assert_eq!((server.times(route::CANCEL), server.live_sessions()), (1, 0));
    });
}

#[test]
fn a_transfer_in_progress_is_no_reason_to_ask_again() {
    run(async |bench| {
        bench.server.before(|request| {
            let answer = Answer::error(409, "RdmaTransferInProgress");
            (request.target == route::READY).then(|| answer.into())
        });
        let error = failing(bench).await;
        assert!(matches!(error, ClientError::Refused { step: "READY", status: 409, .. }));
        assert_eq!(bench.server.times(route::READY), 1);
    });
}

#[test]
fn what_cannot_be_asked_is_not_sent() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        let long = "x".repeat(2048);
        for (get, memory) in [
            (Get::object("b", "k"), 0),
            (Get::object("b", "k").range(0, 11), 10),
            (Get::object("b", long), 10),
            (Get::object("", "k"), 10),
        ] {
            let failed = client.get(server, &get, bench.memory(memory)).await;
            let failed = failed.expect_err("cannot be asked");
            assert!(matches!(failed.error, ClientError::Invalid(_)), "{}", failed.error);
            assert!(failed.memory.is_some());
        }
        assert!(server.asked().is_empty());
    });
}

#[test]
fn a_dropped_operation_leaves_nothing() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        server.put("/b/k", &contents(5000));
        server.before(|request| (request.target == route::READY).then_some(Reply::Never));
        let get = Get::object("b", "k");
        let asking = client.get(server, &get, bench.memory(5000));
        assert!(tokio::time::timeout(Duration::from_secs(3), asking).await.is_err());
    });
}
