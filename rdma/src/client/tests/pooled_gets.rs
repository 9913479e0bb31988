//! GETs through a pool.

use super::server::{Answer, Reply, Tokens, entity_tag};
use super::*;
use crate::fabric::{Window, WorkStatus};
use crate::wire::route;

async fn pool(bench: &Bench) -> Pool {
    let pool = bench.client.connect(&bench.server).await.expect("connected");
    bench.server.put("/b/k", &contents(5000));
    pool
}

/// The error of a GET, after which the memory has been opened anew to somebody else.
async fn failing_and_reused(bench: &Bench, pool: &Pool) -> (ClientError, Window) {
    let get = Get::object("b", "k");
    let failed = pool.get(&bench.server, &get, bench.memory(8192)).await.expect_err("must fail");
    let mut memory = failed.memory.expect("comes back");
    memory.as_mut_slice().expect("not lent").fill(0x11);
    let told = bench.server.last_token().window.rkey;
    let done = matches!(failed.error, ClientError::Mismatch { what: "checksum", .. });
    let told = if done { !told } else { told };
    (failed.error, opened_anew(memory, RemoteAccess::Write, told))
}

async fn failing(bench: &Bench, pool: &Pool) -> ClientError {
    failing_and_reused(bench, pool).await.0
}

/// What a server writes late is not there.
fn untouched(memory: Window) -> bool {
    memory.reclaim().as_slice().iter().all(|byte| *byte == 0x11)
}

#[test]
fn objects_ranges_and_parts_arrive_on_one_connection() {
    run(async |bench| {
        let server = &bench.server;
        let pool = pool(bench).await;
        server.put("/b/k?partNumber=2", b"part two");
        server.put("/b/empty", b"");
        let object = contents(5000);
        let mut memory = bench.memory(8192);
        for (get, expected, range) in [
            (Get::object("b", "k"), &object[..], None),
            (
                Get::object("b", "k").range(777, 1001),
                &object[777..1778],
                Some("bytes 777-1777/5000"),
            ),
            (Get::object("b", "k").range(4990, 100), &object[4990..], Some("bytes 4990-4999/5000")),
            (Get::object("b", "k").part(2), b"part two", None),
            (Get::object("b", "empty"), b"", None),
        ] {
            let done = pool.get(server, &get, memory).await.expect("delivered");
            assert_eq!(&done.memory.as_slice()[..expected.len()], expected);
            let outcome = done.outcome;
            assert_eq!((outcome.path, outcome.bytes), (Path::Rdma, expected.len() as u64));
            assert_eq!(outcome.content_range.as_deref(), range);
            assert_eq!(outcome.checksum, Verification::Verified);
            assert_eq!((outcome.work_requests, outcome.retries), (0, 0));
            memory = done.memory;
        }
        assert_eq!((server.times(route::CONNECT), pool.idle_connections()), (1, 1));
        pool.disconnect(server).await;
        assert_eq!((server.times(route::DISCONNECT), server.live_lines()), (1, 0));
    });
}

#[test]
fn operations_at_the_same_time_have_a_connection_each_up_to_the_bound() {
    let options = ClientOptions { pool_connections: 2, ..ClientOptions::default() };
    run_with(options, async |bench| {
        let server = &bench.server;
        let pool = pool(bench).await;
        server.after(|request, answer| match request.method {
            Method::Get => Reply::After(Duration::from_secs(4), answer),
            _ => answer.into(),
        });
        let get = Get::object("b", "k");
        let one = || pool.get(server, &get, bench.memory(8192));
        let began = tokio::time::Instant::now();
        let (first, second, third) = tokio::join!(one(), one(), one());
        for done in [first, second, third] {
            assert_eq!(&done.expect("delivered").memory.as_slice()[..5000], contents(5000));
        }
        assert_eq!((server.times(route::CONNECT), began.elapsed().as_secs()), (2, 8));
        // Who waits for longer than it takes to connect is told so.
        server.after(|_, answer| Reply::After(Duration::from_secs(15), answer));
        let (_, _, third) = tokio::join!(one(), one(), one());
        let failed = third.expect_err("no connection");
        assert!(matches!(failed.error, ClientError::NoConnection { .. }), "{}", failed.error);
        assert!(failed.memory.is_some());
    });
}

#[test]
fn a_decline_with_the_body_is_used() {
    for tokens in [Tokens::DeclinedByReply, Tokens::Unknown] {
        run(async |bench| {
            let server = &bench.server;
            let pool = pool(bench).await;
            server.tokens.set(tokens);
            let decline = match tokens {
                Tokens::Unknown => Decline::Unaware,
                _ => Decline::Reply,
            };
            for get in [Get::object("b", "k"), Get::object("b", "k").range(100, 3000)] {
                let done = pool.get(server, &get, bench.memory(5000)).await.expect("by HTTP");
                let object = contents(5000);
                let expected = if get.range.is_some() { &object[100..3100] } else { &object[..] };
                assert_eq!(&done.memory.as_slice()[..expected.len()], expected);
                assert_eq!(done.outcome.path, Path::Http(decline));
                assert_eq!(done.outcome.bytes, expected.len() as u64);
            }
            let late = server.write_late(server.last_token().window).await;
            assert_eq!(late, [WorkStatus::RemoteAccess], "the key died before the CPU wrote");
            assert_eq!(server.asked().iter().filter(|asked| asked.starts_with("GET")).count(), 2);
        });
    }
}

#[test]
fn a_decline_by_status_is_asked_again_without_a_token() {
    run(async |bench| {
        let server = &bench.server;
        let pool = pool(bench).await;
        server.tokens.set(Tokens::DeclinedByStatus);
        let done = pool.get(server, &Get::object("b", "k"), bench.memory(5000)).await;
        let done = done.expect("by HTTP");
        assert_eq!(done.memory.as_slice(), contents(5000));
        assert_eq!(done.outcome.path, Path::Http(Decline::NotImplemented));
        assert_eq!((done.outcome.retries, done.outcome.checksum), (1, Verification::Verified));
        assert_eq!(server.asked(), ["POST /.s3rdma-rc/connect", "GET /b/k", "GET /b/k"]);
    });
}

#[test]
fn an_object_larger_than_the_window_does_not_fit_by_http_either() {
    run(async |bench| {
        let server = &bench.server;
        let pool = pool(bench).await;
        let failed = pool.get(server, &Get::object("b", "k"), bench.memory(4999)).await;
        let failed = failed.expect_err("too large");
        assert!(matches!(failed.error, ClientError::Memory(_)), "{}", failed.error);
        assert!(failed.memory.is_some());
        // The connection, whose answer was cut off, is not used again.
        assert_eq!((pool.idle_connections(), server.live_lines()), (0, 0));
    });
}

#[test]
fn a_connection_that_the_server_has_forgotten_is_made_again_once() {
    run(async |bench| {
        let server = &bench.server;
        let pool = pool(bench).await;
        server.restart();
        let done = pool.get(server, &Get::object("b", "k"), bench.memory(5000)).await;
        let done = done.expect("delivered");
        assert_eq!((done.outcome.path, done.outcome.retries), (Path::Rdma, 1));
        assert_eq!(server.times(route::CONNECT), 2);
        server.after(|request, answer| match request.method {
            Method::Get => Answer::error(404, "NoSuchRdmaSession").into(),
            _ => answer.into(),
        });
        assert!(matches!(failing(bench, &pool).await, ClientError::Refused { status: 404, .. }));
        assert_eq!(server.times(route::CONNECT), 3);
    });
}

#[test]
fn a_busy_server_is_asked_again() {
    run(async |bench| {
        let server = &bench.server;
        let pool = pool(bench).await;
        let mut busy = 2;
        server.before(move |request| {
            busy -= i32::from(request.method == Method::Get);
            (busy >= 0).then(|| Answer::error(503, "SlowDown").into())
        });
        let done = pool.get(server, &Get::object("b", "k"), bench.memory(5000)).await;
        assert_eq!(done.expect("the third time").outcome.retries, 2);
        server.before(|_| Some(Answer::error(503, "SlowDown").into()));
        assert_eq!(failing(bench, &pool).await, ClientError::Busy { attempts: 6 });
    });
}

#[test]
fn after_an_error_the_key_is_dead_on_every_connection() {
    for (status, code, kept) in [(404, "NoSuchKey", 1), (412, "PreconditionFailed", 1)] {
        run(async |bench| {
            let server = &bench.server;
            let pool = pool(bench).await;
            server.after(move |request, answer| match request.method {
                Method::Get => Answer::error(status, code).into(),
                _ => answer.into(),
            });
            let (error, memory) = failing_and_reused(bench, &pool).await;
            assert!(matches!(error, ClientError::Refused { .. }), "{error}");
            assert_eq!(pool.idle_connections(), kept);
            let late = server.write_late(server.last_token().window).await;
            assert_eq!(late, [WorkStatus::RemoteAccess]);
            assert!(untouched(memory));
        });
    }
    // Nothing is known of a connection without an answer: it is gone before the memory is back, and a write through
    // another one fails for the key's sake.
    for lost in [false, true] {
        run(async |bench| {
            let server = &bench.server;
            let pool = pool(bench).await;
            let _other = bench.client.connect(server).await.expect("connected");
            server.after(move |request, answer| match request.method {
                Method::Get if lost => Reply::Lost,
                Method::Get => Answer::error(500, "RDMATransferFailed").into(),
                // Nor does the server's half go.
                _ if request.target == route::DISCONNECT => Reply::Never,
                _ => answer.into(),
            });
            let before = bench.client.endpoint().live_queue_pairs();
            let (_, memory) = failing_and_reused(bench, &pool).await;
            assert_eq!(bench.client.endpoint().live_queue_pairs(), before - 1);
            assert_eq!(pool.idle_connections(), 0);
            let late = server.write_late(server.last_token().window).await;
            assert!(!late.is_empty() && late.iter().all(|s| *s != WorkStatus::Success), "{late:?}");
            assert!(untouched(memory));
        });
    }
}

#[test]
fn a_silent_server_has_a_deadline() {
    run(async |bench| {
        let pool = pool(bench).await;
        bench.server.before(|request| (request.method == Method::Get).then_some(Reply::Never));
        let began = tokio::time::Instant::now();
        let error = failing(bench, &pool).await;
        assert!(matches!(error, ClientError::Deadline { step: "GET", .. }), "{error}");
        assert!(began.elapsed() < Duration::from_secs(62));
    });
}

#[test]
fn answers_that_cannot_be_are_refused() {
    let cases: [(&'static str, Option<&'static str>); 5] = [
        (header::BYTES_TRANSFERRED, None),
        (header::BYTES_TRANSFERRED, Some("8193")),
        (header::REPLY, Some("err")),
        (header::REPLY, Some("what")),
        (header::CHECKSUM_CRC64NVME, Some("=")),
    ];
    for (name, value) in cases {
        run(async |bench| {
            let pool = pool(bench).await;
            bench.server.after(move |request, mut answer| {
                if request.method == Method::Get {
                    answer.unset(name);
                    value.into_iter().for_each(|value| answer.set(name, value));
                }
                answer.into()
            });
            let error = failing(bench, &pool).await;
            assert!(matches!(error, ClientError::Malformed { step: "GET", .. }), "{name}: {error}");
        });
    }
    run(async |bench| {
        let pool = pool(bench).await;
        bench.server.after(|request, mut answer| {
            if request.method == Method::Get {
                answer.body = vec![1; 10];
            }
            answer.into()
        });
        let error = failing(bench, &pool).await;
        assert!(matches!(error, ClientError::Malformed { .. }), "a body beside RDMA: {error}");
    });
}

#[test]
fn old_tags_and_missing_bytes() {
    run(async |bench| {
        let server = &bench.server;
        let pool = pool(bench).await;
        server.after(|request, mut answer| {
            if request.method == Method::Get {
                answer.set(header::REPLY, "ok");
            }
            answer.into()
        });
        let done = pool.get(server, &Get::object("b", "k"), bench.memory(5000)).await;
        let done = done.expect("delivered");
        assert_eq!(done.outcome.entity_tag, Some(entity_tag(&contents(5000))));
        server.short.set(10);
        let error = failing(bench, &pool).await;
        assert!(matches!(error, ClientError::Mismatch { what: "checksum", .. }), "{error}");
        let left = (pool.idle_connections(), server.live_lines());
        assert_eq!(left, (0, 0), "what was missing has no way to come late");
    });
}

#[test]
fn a_server_without_the_pooled_form_is_known_at_once() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        let unsupported = |request: &ControlRequest| {
            let mut answer = Answer::error(501, "NotImplemented");
            answer.set(header::PROTOCOL_STATUS, "unsupported");
            (request.target == route::CONNECT).then(|| answer.into())
        };
        let pool = pool(bench).await;
        server.before(unsupported);
        let refused = client.connect(server).await.err();
        assert_eq!(refused, Some(ClientError::Unsupported));
        // It was switched off while the pool was in use.
        server.restart();
        let done = pool.get(server, &Get::object("b", "k"), bench.memory(5000)).await;
        assert_eq!(done.expect("by HTTP").outcome.path, Path::Http(Decline::NotImplemented));
        let done = pool.put(server, &Put::object("b", "n", 9), bench.memory(9)).await;
        assert_eq!(done.expect("by HTTP").outcome.path, Path::Http(Decline::NotImplemented));
        assert_eq!(server.stored("/b/n"), Some(vec![0xee; 9]));
    });
}

#[test]
fn a_malformed_answer_to_connect_is_ended_at_the_server() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        server.after(|request, mut answer| {
            if request.target == route::CONNECT {
                answer.set(header::REPLY, "200");
            }
            answer.into()
        });
        let error = client.connect(server).await.err();
        assert!(matches!(error, Some(ClientError::Malformed { step: "CONNECT", .. })));
        assert_eq!((server.times(route::DISCONNECT), server.live_lines()), (1, 0));
        server.before(|_| Some(Answer::error(503, "SlowDown").into()));
        assert_eq!(client.connect(server).await.err(), Some(ClientError::Busy { attempts: 6 }));
    });
}
