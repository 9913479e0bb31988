//! PUTs by hipobj-rc-v2.

use super::server::{Answer, Reply, entity_tag};
use super::*;
use crate::wire::route;

async fn put(bench: &Bench) -> Result<Done<Buffer>, Failed<Buffer>> {
    let put = Put::object("b", "k", 5000);
    let result = bench.client.put(&bench.server, &put, bench.filled(&contents(6000))).await;
    assert_eq!(bench.client.endpoint().live_queue_pairs(), 0);
    result
}

async fn failing(bench: &Bench) -> ClientError {
    let failed = put(bench).await.expect_err("must fail");
    let mut memory = failed.memory.expect("comes back");
    assert!(memory.as_mut_slice().is_some(), "nothing of it is lent any more");
    let done = |e: &ClientError| matches!(e, ClientError::Mismatch { what: "checksum", .. });
    if !matches!(&failed.error, ClientError::UnknownOutcome(cause) if done(cause)) {
        opened_anew(memory, RemoteAccess::None, bench.server.last_key());
    }
    failed.error
}

#[test]
fn bytes_are_stored() {
    run(async |bench| {
        let server = &bench.server;
        let began = tokio::time::Instant::now();
        let mut done = put(bench).await.expect("stored");
        assert!(began.elapsed() >= Duration::from_millis(100), "waits for a late receive");
        assert_eq!(server.stored("/b/k").expect("stored"), &contents(6000)[..5000]);
        assert!(done.memory.as_mut_slice().is_some());
        let Outcome { path, bytes, entity_tag: tag, checksum, work_requests, .. } = done.outcome;
        assert_eq!((path, bytes, checksum), (Path::Rdma, 5000, Verification::Verified));
        assert_eq!(tag, Some(entity_tag(&contents(6000)[..5000])));
        assert_eq!(work_requests, 1);
    });
}

#[test]
fn an_armed_server_is_written_to_at_once() {
    run(async |bench| {
        bench.server.armed.set(true);
        let began = tokio::time::Instant::now();
        put(bench).await.expect("stored");
        // A write that meets a queue pair that is not connected yet costs a retry, no more.
        assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    });
}

#[test]
fn a_part_is_a_target_and_204_is_a_success() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        server.after(|request, mut answer| {
            if request.target == route::READY {
                answer.head.status = 204;
            }
            answer.into()
        });
        let put = Put::object("b", "k", 3).part("up/1", 9);
        client.put(server, &put, bench.filled(b"abc")).await.expect("stored");
        assert_eq!(server.stored("/b/k?partNumber=9&uploadId=up%2F1"), Some(b"abc".to_vec()));
    });
}

#[test]
fn unsupported_means_http_and_nothing_goes_by_rdma() {
    run(async |bench| {
        let server = &bench.server;
        server.before(|request| {
            let mut answer = Answer::error(501, "NotImplemented");
            answer.set(header::PROTOCOL_STATUS, "unsupported");
            (request.target == route::PREPARE).then(|| answer.into())
        });
        let done = put(bench).await.expect("by HTTP");
        assert_eq!(done.outcome.path, Path::Http(Decline::NotImplemented));
        assert_eq!(server.stored("/b/k").expect("stored"), &contents(6000)[..5000]);
        assert_eq!(server.asked(), ["POST /.hipobj-rc/prepare", "PUT /b/k"]);
        // And a PUT of nothing never goes by RDMA.
        let empty = Put::object("b", "empty", 0);
        let done = bench.client.put(server, &empty, bench.memory(1)).await.expect("by HTTP");
        assert_eq!(done.outcome.path, Path::Http(Decline::Empty));
        assert_eq!(server.stored("/b/empty"), Some(Vec::new()));
    });
}

#[test]
fn a_lost_final_answer_is_an_unknown_outcome_and_nothing_is_sent_again() {
    run(async |bench| {
        let server = &bench.server;
        server.after(|request, answer| match request.target.as_str() {
            route::READY => Reply::Lost,
            _ => answer.into(),
        });
        let error = failing(bench).await;
        assert!(matches!(error, ClientError::UnknownOutcome(_)), "{error}");
        assert!(server.stored("/b/k").is_some(), "it was stored indeed");
        assert_eq!(
            server.asked(),
            ["POST /.hipobj-rc/prepare", "POST /.hipobj-rc/ready", "POST /.hipobj-rc/cancel"]
        );
    });
}

#[test]
fn a_failure_before_the_write_is_a_clear_one() {
    run(async |bench| {
        let server = &bench.server;
        for (reply, clear) in [
            (Reply::NotSent, true),
            (Reply::Lost, true), // at once: the write waits for 100 ms
            (Answer::error(404, "NoSuchRdmaSession").into(), true),
        ] {
            let mut reply = Some(reply);
            server.before(move |request| {
                (request.target == route::READY).then(|| reply.take().expect("once"))
            });
            let error = failing(bench).await;
            assert_eq!(!matches!(error, ClientError::UnknownOutcome(_)), clear, "{error}");
            assert_eq!(server.live_sessions(), 0, "cancelled");
        }
        assert_eq!(server.stored("/b/k"), None);
    });
}

#[test]
fn what_the_server_says_of_a_written_put_decides() {
    for (status, code, unknown) in [
        (500, "RDMATransferFailed", false),
        (408, "RequestTimeout", false),
        (412, "PreconditionFailed", false),
        (500, "InternalError", true),
        (504, "GatewayTimeout", true),
    ] {
        run(async |bench| {
            bench.server.after(move |request, answer| match request.target.as_str() {
                route::READY => Answer::error(status, code).into(),
                _ => answer.into(),
            });
            let error = failing(bench).await;
            assert_eq!(matches!(error, ClientError::UnknownOutcome(_)), unknown, "{error}");
            assert_eq!(bench.server.times(route::CANCEL), 1);
        });
    }
}

#[test]
fn a_final_answer_that_disagrees_leaves_the_outcome_unknown() {
    for (name, value) in [
        (header::COOKIE, "00000001"),
        (header::BYTES_TRANSFERRED, "0"),
        (header::CHECKSUM, "CRC64NVME AAAAAAAAAAA="),
    ] {
        run(async |bench| {
            bench.server.after(move |request, mut answer| {
                if request.target == route::READY {
                    answer.set(name, value);
                }
                answer.into()
            });
            let ClientError::UnknownOutcome(cause) = failing(bench).await else {
                panic!("{name}: a clear outcome");
            };
            assert!(matches!(*cause, ClientError::Mismatch { .. }), "{cause}");
        });
    }
}

#[test]
fn a_malformed_answer_to_prepare_writes_nothing() {
    for (name, value) in [(header::MR_RKEY, "0"), (header::MR_ADDR, "0"), (header::PSN, "12345")] {
        run(async |bench| {
            bench.server.after(move |request, mut answer| {
                if request.target == route::PREPARE {
                    answer.set(name, value);
                }
                answer.into()
            });
            assert!(matches!(failing(bench).await, ClientError::Malformed { .. }));
            assert_eq!((bench.server.times(route::CANCEL), bench.server.live_sessions()), (1, 0));
        });
    }
}

#[test]
fn a_server_that_never_connects_is_given_up() {
    run(async |bench| {
        bench.server.before(|request| (request.target == route::READY).then_some(Reply::Never));
        let began = tokio::time::Instant::now();
        let error = failing(bench).await;
        let ClientError::UnknownOutcome(cause) = error else { panic!("{error}") };
        assert!(matches!(*cause, ClientError::Work { .. }), "{cause}");
        assert!(began.elapsed() < Duration::from_secs(63), "{:?}", began.elapsed());
        assert_eq!(bench.server.stored("/b/k"), None);
    });
}

#[test]
fn ready_is_sent_again_after_a_write_that_nobody_took() {
    run(async |bench| {
        let server = &bench.server;
        server.unreachable.set(1);
        let done = put(bench).await.expect("the second time");
        assert_eq!(server.stored("/b/k").expect("stored"), &contents(6000)[..5000]);
        assert_eq!((done.outcome.retries, done.outcome.work_requests), (1, 2));
        server.unreachable.set(9);
        assert_eq!(failing(bench).await, ClientError::Busy { attempts: 3 });
    });
}

#[test]
fn what_the_protocol_cannot_say_is_not_sent() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        let mut typed = Put::object("b", "k", 1);
        typed.headers.push(("content-type", "text/plain".to_owned()));
        for put in [
            typed,
            Put::object("b", "k", 1).condition(Condition::Absent),
            Put::object("b", "k", 11),
            Put::object("b", "", 1),
        ] {
            let failed = client.put(server, &put, bench.memory(10)).await;
            let failed = failed.expect_err("cannot be said");
            assert!(matches!(failed.error, ClientError::Invalid(_)), "{}", failed.error);
        }
        assert!(server.asked().is_empty());
    });
}
