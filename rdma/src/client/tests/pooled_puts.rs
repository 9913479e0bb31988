//! PUTs through a pool.

use super::server::{Answer, Reply, Tokens, entity_tag, value};
use super::*;
use crate::fabric::WorkStatus;
use crate::wire::{Crc64Nvme, route};

async fn pool(bench: &Bench) -> Pool {
    bench.client.connect(&bench.server).await.expect("connected")
}

async fn put(bench: &Bench, pool: &Pool, put: &Put) -> Result<Done<Buffer>, Failed<Buffer>> {
    let mut result = pool.put(&bench.server, put, bench.filled(&contents(6000))).await;
    let memory = match &mut result {
        Ok(done) => &mut done.memory,
        Err(failed) => failed.memory.as_mut().expect("comes back"),
    };
    assert!(memory.as_mut_slice().is_some(), "nothing of it is lent any more");
    assert_eq!(memory.as_slice(), contents(6000));
    result
}

fn object() -> Put {
    Put::object("b", "k", 5000)
}

fn puts(bench: &Bench) -> usize {
    bench.server.asked().iter().filter(|asked| asked.starts_with("PUT")).count()
}

#[test]
fn objects_and_parts_are_read_by_the_server() {
    run(async |bench| {
        let server = &bench.server;
        let pool = pool(bench).await;
        let mut typed = object();
        typed.headers.push(("content-type", "text/plain".to_owned()));
        let done = put(bench, &pool, &typed).await.expect("stored");
        assert_eq!(server.stored("/b/k").expect("stored"), &contents(6000)[..5000]);
        let outcome = done.outcome;
        assert_eq!((outcome.path, outcome.bytes, outcome.retries), (Path::Rdma, 5000, 0));
        assert_eq!(outcome.entity_tag, Some(entity_tag(&contents(6000)[..5000])));
        assert_eq!(outcome.version_id.as_deref(), Some("v8"));
        {
            let seen = server.seen.borrow();
            let sent = seen.last().expect("seen");
            assert_eq!(value(sent, "content-type"), Some("text/plain"));
            let checksum = Crc64Nvme::of(&contents(6000)[..5000]).to_string();
            assert_eq!(value(sent, "x-amz-checksum-crc64nvme"), Some(checksum.as_str()));
            assert_eq!(value(sent, "x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"));
        }
        put(bench, &pool, &object().part("u1", 3)).await.expect("stored");
        assert!(server.stored("/b/k?partNumber=3&uploadId=u1").is_some());
        assert_eq!(server.times(route::CONNECT), 1);
        let late = server.write_late(server.last_token().window).await;
        assert_ne!(late, [WorkStatus::Success], "a server may only read");
    });
}

#[test]
fn a_decline_is_sent_again_with_the_body() {
    for (tokens, decline) in [
        (Tokens::DeclinedByReply, Decline::Reply),
        (Tokens::DeclinedByStatus, Decline::NotImplemented),
        (Tokens::UnknownButHonest, Decline::ChecksumRefused),
    ] {
        run(async |bench| {
            let pool = pool(bench).await;
            bench.server.tokens.set(tokens);
            let conditional = object().condition(Condition::Absent);
            let done = put(bench, &pool, &conditional).await.expect("by HTTP");
            assert_eq!(done.outcome.path, Path::Http(decline));
            assert_eq!((done.outcome.retries, puts(bench)), (1, 2));
            assert_eq!(bench.server.stored("/b/k").expect("stored"), &contents(6000)[..5000]);
            let failed = put(bench, &pool, &conditional).await.expect_err("is there already");
            assert!(matches!(failed.error, ClientError::Refused { status: 412, .. }));
        });
    }
}

#[test]
fn an_object_of_0_bytes_is_never_trusted() {
    for condition in [None, Some(Condition::Absent)] {
        run(async |bench| {
            let server = &bench.server;
            let pool = pool(bench).await;
            server.tokens.set(Tokens::Unknown);
            let order = Put { condition: condition.clone(), ..object() };
            let done = put(bench, &pool, &order).await.expect("by HTTP");
            assert_eq!(done.outcome.path, Path::Http(Decline::Unaware));
            assert_eq!(server.stored("/b/k").expect("stored"), &contents(6000)[..5000]);
            let asked = ["POST /.s3rdma-rc/connect", "PUT /b/k", "HEAD /b/k", "PUT /b/k"];
            assert_eq!(&server.asked()[..2], &asked[..2]);
            assert_eq!(server.asked().iter().filter(|a| !a.starts_with("POST")).count(), 3);
            let seen = server.seen.borrow();
            let empty = entity_tag(b"");
            let expected = condition.as_ref().map(|_| empty.as_str());
            assert_eq!(value(seen.last().expect("seen"), "if-match"), expected);
        });
    }
    // A part cannot be looked at: it is sent again.
    run(async |bench| {
        let pool = pool(bench).await;
        bench.server.tokens.set(Tokens::Unknown);
        put(bench, &pool, &object().part("u", 1)).await.expect("by HTTP");
        assert_eq!(puts(bench), 2);
        assert!(!bench.server.asked().iter().any(|asked| asked.starts_with("HEAD")));
        let stored = bench.server.stored("/b/k?partNumber=1&uploadId=u").expect("stored");
        assert_eq!(stored.len(), 5000);
    });
}

#[test]
fn a_success_without_a_reply_is_looked_into() {
    run(async |bench| {
        let pool = pool(bench).await;
        bench.server.after(|request, mut answer| {
            if request.method == Method::Put {
                answer.unset(header::REPLY);
            }
            answer.into()
        });
        let done = put(bench, &pool, &object()).await.expect("is there");
        assert_eq!((done.outcome.path, puts(bench)), (Path::Rdma, 1));
        // Somebody else's object of the same size has another tag.
        bench.server.after(|request, mut answer| {
            if request.method == Method::Put {
                answer.unset(header::REPLY);
            }
            if request.method == Method::Head {
                answer.set("etag", "\"other\"");
            }
            answer.into()
        });
        let done = put(bench, &pool, &object()).await.expect("by HTTP");
        assert_eq!(done.outcome.path, Path::Http(Decline::Unaware));
    });
}

#[test]
fn without_an_answer_the_outcome_is_unknown_and_nothing_is_sent_again() {
    for silent in [false, true] {
        run(async |bench| {
            let server = &bench.server;
            let pool = pool(bench).await;
            let _other = bench.client.connect(server).await.expect("connected");
            server.after(move |request, answer| match request.method {
                Method::Put if silent => Reply::Never,
                Method::Put => Reply::Lost,
                _ => answer.into(),
            });
            let failed = put(bench, &pool, &object()).await.expect_err("unknown");
            assert!(matches!(failed.error, ClientError::UnknownOutcome(_)), "{}", failed.error);
            let memory = failed.memory.expect("comes back");
            let _open = opened_anew(memory, RemoteAccess::Read, server.last_token().window.rkey);
            assert_eq!((puts(bench), pool.idle_connections()), (1, 0));
            assert!(server.stored("/b/k").is_some(), "it was stored indeed");
            let late = server.write_late(server.last_token().window).await;
            assert_eq!(late, [WorkStatus::RemoteAccess], "the key is dead on the other one");
        });
    }
}

#[test]
fn errors_are_told_as_what_they_are() {
    for (status, code, unknown) in [
        (403, "AccessDenied", false),
        (404, "NoSuchUpload", false),
        (500, "RDMATransferFailed", false),
        (500, "InternalError", true),
        (502, "", true),
    ] {
        run(async |bench| {
            let pool = pool(bench).await;
            bench.server.after(move |request, answer| match request.method {
                Method::Put => Answer::error(status, code).into(),
                _ => answer.into(),
            });
            let error = put(bench, &pool, &object()).await.expect_err("must fail").error;
            assert_eq!(matches!(error, ClientError::UnknownOutcome(_)), unknown, "{error}");
            assert_eq!((puts(bench), pool.idle_connections()), (1, usize::from(status < 500)));
        });
    }
    run(async |bench| {
        let pool = pool(bench).await;
        bench.server.before(|request| (request.method == Method::Put).then_some(Reply::NotSent));
        let error = put(bench, &pool, &object()).await.expect_err("must fail").error;
        assert!(matches!(error, ClientError::Control(ControlError::NotSent(_))), "{error}");
    });
}

#[test]
fn a_server_that_read_less_has_stored_something_else() {
    for (name, text) in [(header::BYTES_TRANSFERRED, "4999"), (header::REPLY, "err")] {
        run(async |bench| {
            let pool = pool(bench).await;
            bench.server.after(move |request, mut answer| {
                if request.method == Method::Put {
                    answer.set(name, text);
                }
                answer.into()
            });
            let error = put(bench, &pool, &object()).await.expect_err("must fail").error;
            assert!(matches!(error, ClientError::UnknownOutcome(_)), "{error}");
        });
    }
}

#[test]
fn a_forgotten_connection_and_a_busy_server_are_tried_again() {
    run(async |bench| {
        let server = &bench.server;
        let pool = pool(bench).await;
        server.restart();
        let mut busy = true;
        server.after(move |request, answer| {
            if request.method == Method::Put && answer.head.status == 200 && busy {
                busy = false;
                return Answer::error(503, "SlowDown").into();
            }
            answer.into()
        });
        let done = put(bench, &pool, &object()).await.expect("stored");
        assert_eq!((done.outcome.path, server.times(route::CONNECT)), (Path::Rdma, 2));
        assert_eq!((done.outcome.retries, puts(bench)), (2, 3));
        server.before(|_| Some(Answer::error(429, "SlowDown").into()));
        let failed = put(bench, &pool, &object()).await.expect_err("busy");
        assert_eq!(failed.error, ClientError::Busy { attempts: 6 });
    });
}

#[test]
fn nothing_and_too_much() {
    run(async |bench| {
        let pool = pool(bench).await;
        let done = put(bench, &pool, &Put::object("b", "e", 0)).await.expect("by HTTP");
        assert_eq!(done.outcome.path, Path::Http(Decline::Empty));
        assert_eq!(bench.server.stored("/b/e"), Some(Vec::new()));
        let failed = put(bench, &pool, &Put::object("b", "k", 6001)).await.expect_err("too much");
        assert!(matches!(failed.error, ClientError::Invalid(_)));
    });
}

#[test]
fn a_wrong_checksum_of_the_callers_stores_nothing_by_either_path() {
    run(async |bench| {
        let pool = pool(bench).await;
        let wrong = Put { checksum: Some(1), ..object() };
        let failed = put(bench, &pool, &wrong).await.expect_err("refused");
        assert!(matches!(failed.error, ClientError::Refused { status: 400, .. }));
        assert_eq!(bench.server.stored("/b/k"), None);
    });
}
