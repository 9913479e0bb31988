//! Clients that do everything but what they should, one step at a time, over soft-RoCE: what they are
//! answered, what is stored, and that nothing moves when it is over.

use std::time::{Duration, Instant};

use bytes::Bytes;
use penstock_tests::client::expect;
use penstock_tests::content::{content, md5_hex, pages};
use penstock_tests::guest::{Guest, RdmaPackets};
use penstock_tests::rdma::{Bench, DEVICE, Host, Order, Pending, end};
use rdma::fabric::{RemoteAccess, WorkKind, WorkStatus};

const BUCKET: &str = "faults";
const MIB: u64 = 1 << 20;
const STAGING: u64 = 80 * MIB;

/// How long memory is looked at that nobody may write to any more.
const QUIET: Duration = Duration::from_secs(1);

/// Packets after which a transfer of 64 MiB is in its middle: 4 MiB of it.
const MIDDLE_PACKETS: u64 = 1024;

fn source(host: &Host, bytes: &[u8]) -> Bytes {
    host.filled(bytes).lend()
}

/// Waits until a transfer is on its way.
async fn moving(packets_before: u64, packets: u64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while RdmaPackets::of(DEVICE).sent() < packets_before + packets {
        assert!(Instant::now() < deadline, "nothing moves");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until the server has ended its transfers, and says how long that took.
async fn settled(bench: &Bench) -> Duration {
    let began = Instant::now();
    while bench.server.metrics().value("penstock_rdma_transfers_in_flight", &[]) > 0.0 {
        assert!(began.elapsed() < Duration::from_secs(30), "a transfer does not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

#[test]
fn a_put_needs_no_pause() {
    let Some(guest) = Guest::here("a_put_needs_no_pause") else {
        return;
    };
    let mut bench = Bench::start(&guest, BUCKET, STAGING);
    Host::run(DEVICE, async |host| {
        let raw = bench.raw(&host);
        for number in 0..20 {
            let key = format!("object-{number}");
            let body = content(number, 4096 + 1000 * number as usize);
            let order = Order::put(&bench.path(&key), body.len() as u64);
            let session = raw.prepare(&order).expect("prepared");
            let words = session.answer.header("x-amz-rdma-capabilities").unwrap_or_default();
            assert!(words.split(',').any(|word| word == "armed"), "{words}");
            let cookie = Some(session.cookie.number());
            // Every second one writes before the server knows that it is there: resent till it does.
            let answer = if number % 2 == 0 {
                let ready = session.ready(None);
                session.write(source(&host, &body), cookie);
                ready.answer().await.expect("FINAL")
            } else {
                session.write(source(&host, &body), cookie);
                session.ready(None).answer().await.expect("FINAL")
            };
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(bench.object(&key).expect("stored") == body, "{key} is different");
            end(session.pair).await;
        }
    });
    bench.stop();
}

#[test]
fn a_get_waits_for_the_receive() {
    let Some(guest) = Guest::here("a_get_waits_for_the_receive") else {
        return;
    };
    let mut bench = Bench::start(&guest, BUCKET, STAGING);
    let body = content(2, 300_001);
    let target = bench.put("object", &body);
    Host::run(DEVICE, async |host| {
        let raw = bench.raw(&host);
        let session = raw.prepare(&Order::get(&target, body.len() as u64)).expect("prepared");
        assert_eq!(session.staging, None, "a GET's session names no memory of the server's");
        let window = host.window(body.len(), RemoteAccess::Write);
        let ready = session.ready(Some(window.remote()));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!ready.is_answered(), "FINAL before the immediate could be received");
        session.pair.post_receive().expect("a receive");
        let completion = session.completion().await;
        assert_eq!((completion.kind, completion.status), (WorkKind::Receive, WorkStatus::Success));
        assert_eq!(completion.immediate, Some(session.cookie.number()));
        let answer = ready.answer().await.expect("FINAL");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-amz-rdma-bytes-transferred"), Some("300001"));
        end(session.pair).await;
        assert!(window.reclaim().as_slice() == body, "it came different");
    });
    bench.stop();
}

/// A PUT of 100,000 bytes that ends otherwise than with its cookie behind all of them.
async fn spoilt(bench: &mut Bench, host: &Host, name: &str, bytes: usize, cookie: u32) {
    let raw = bench.raw(host);
    let session = raw.prepare(&Order::put(&bench.path(name), 100_000)).expect("prepared");
    let ready = session.ready(None);
    let body = content(3, 100_000);
    session.write(source(host, &body[..bytes]), Some(cookie ^ session.cookie.number()));
    let answer = ready.answer().await.expect("FINAL");
    assert_eq!(answer.outcome(), "500 RDMATransferFailed", "{name}");
    assert_eq!(answer.header("x-amz-rdma-reply"), None, "{name}");
    assert_eq!(answer.header("etag"), None, "{name}");
    assert_eq!(bench.object(name), None, "{name}");
    end(session.pair).await;
}

#[test]
fn what_is_not_what_was_announced_is_not_stored() {
    let Some(guest) = Guest::here("what_is_not_what_was_announced_is_not_stored") else {
        return;
    };
    let mut bench = Bench::start(&guest, BUCKET, STAGING);
    Host::run(DEVICE, async |host| {
        spoilt(&mut bench, &host, "wrong-immediate", 100_000, 1).await;
        spoilt(&mut bench, &host, "short", 99_999, 0).await;
        spoilt(&mut bench, &host, "nothing", 0, 0).await;
    });
    bench.stop();
}

#[test]
fn writes_behind_the_immediate_change_no_object() {
    let Some(guest) = Guest::here("writes_behind_the_immediate_change_no_object") else {
        return;
    };
    let mut bench = Bench::start(&guest, BUCKET, STAGING);
    Host::run(DEVICE, async |host| {
        let raw = bench.raw(&host);
        let (body, other) = (content(4, MIB as usize), content(5, MIB as usize));
        let mut refused = 0;
        for number in 0..8 {
            let key = format!("object-{number}");
            let order = Order::put(&bench.path(&key), MIB);
            let session = raw.prepare(&order).expect("prepared");
            let ready = session.ready(None);
            let other = source(&host, &other);
            session.write(source(&host, &body), Some(session.cookie.number()));
            // These follow on its heels; which of them still land is nobody's promise. What is stored
            // must be what was hashed, whatever it was.
            for _ in 0..16 {
                session.write(other.clone(), None);
            }
            let answer = expect(ready.answer().await.expect("FINAL"), 200).expect("stored");
            let first = bench.object(&key).expect("stored");
            assert_eq!(answer.header("etag"), Some(&*format!("\"{}\"", md5_hex(&first))), "{key}");
            let mut late = 0;
            for _ in 0..17 {
                let completion = session.completion().await;
                late += u32::from(completion.status != WorkStatus::Success);
            }
            refused += late;
            // The door is closed for good.
            assert!(late > 0, "{key}: the server takes writes of a session that is over");
            assert!(bench.object(&key).expect("stored") == first, "{key} has changed");
            end(session.pair).await;
        }
        println!("{refused} of 128 late writes were refused");
    });
    bench.stop();
}

#[test]
fn a_get_whose_client_hangs_up_ends_and_leaves_the_window_alone() {
    let Some(guest) = Guest::here("a_get_whose_client_hangs_up_ends_and_leaves_the_window_alone")
    else {
        return;
    };
    let mut bench = Bench::start(&guest, BUCKET, STAGING);
    let size = 64 * MIB as usize;
    let body = pages(6, size);
    let target = bench.put("object", &body);
    Host::run(DEVICE, async |host| {
        let raw = bench.raw(&host);
        for by_session in [true, false] {
            let before = RdmaPackets::of(DEVICE).sent();
            let window = host.window(size, RemoteAccess::Write);
            let (pair, connection, pending): (_, _, Pending) = if by_session {
                let session = raw.prepare(&Order::get(&target, size as u64)).expect("prepared");
                session.pair.post_receive().expect("a receive");
                let ready = session.ready(Some(window.remote()));
                (Some(session.pair), None, ready)
            } else {
                let connection = raw.connect_pooled(RemoteAccess::Write).expect("connected");
                let pending = connection.start("GET", &target, window.remote());
                (None, Some(connection), pending)
            };
            moving(before, MIDDLE_PACKETS).await;
            let unfinished = !pending.is_answered();
            pending.hang_up();
            let took = settled(&bench).await;
            // The key is valid and the queue pair open: only the server can be what holds still.
            let memory = window.reclaim();
            let seen = memory.as_slice().to_vec();
            tokio::time::sleep(QUIET).await;
            assert!(memory.as_slice() == seen, "bytes came after the end");
            // By pages: byte by byte this would be the longest part of the test.
            let pages = seen.chunks(4096).zip(body.chunks(4096));
            let arrived = 4096 * pages.filter(|(seen, sent)| seen == sent).count();
            println!(
                "session {by_session}: over {took:?} after the hang-up, {arrived} bytes were there"
            );
            assert!(unfinished && seen != body, "it was over before the hang-up");
            drop(pending);
            if let Some(connection) = connection {
                // Where all that was written had arrived when the client hung up, the connection is in order, and waits
                // for its next request.
                assert_eq!(connection.disconnect().unwrap().status, 204);
                end(connection.pair).await;
            }
            if let Some(pair) = pair {
                end(pair).await;
            }
        }
    });
    bench.stop();
}

#[test]
fn each_step_is_taken_once_and_by_its_owner() {
    let Some(guest) = Guest::here("each_step_is_taken_once_and_by_its_owner") else {
        return;
    };
    let mut bench = Bench::start(&guest, BUCKET, STAGING);
    let body = content(7, 70_001);
    let order = Order::put(&bench.path("object"), body.len() as u64);
    Host::run(DEVICE, async |host| {
        let raw = bench.raw(&host);
        let session = raw.prepare(&order).expect("prepared");
        let foreign = bench.stranger.clone();
        let outcome = |answer: penstock_tests::http::Response| answer.outcome();
        // Nobody else's READY or CANCEL touches it, nor does one with another cookie.
        assert_eq!(outcome(session.ready_as(&foreign, None).unwrap()), "404 NoSuchRdmaSession");
        let mut wrong = session.ready_request(&raw.asker, None);
        wrong.set("x-amz-rdma-cookie", "00000001");
        assert_eq!(outcome(raw.asker.ask(wrong).unwrap()), "404 NoSuchRdmaSession");
        let cancel = foreign.request("POST", "/.hipobj-rc/cancel");
        let cancel = cancel.header("x-amz-rdma-protocol", "hipobj-rc-v2");
        let cancel = cancel.header("x-amz-rdma-session", &session.id);
        assert_eq!(foreign.ask(cancel).unwrap().status, 204);
        let ready = session.ready(None);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!ready.is_answered());
        let again = session.ready(None).answer().await.unwrap();
        assert_eq!(outcome(again), "409 RdmaTransferInProgress");
        session.write(source(&host, &body), Some(session.cookie.number()));
        assert_eq!(outcome(ready.answer().await.unwrap()), "200");
        assert!(bench.object("object").expect("stored") == body);
        assert_eq!(session.cancel().unwrap().status, 204, "CANCEL of one that is over");
        end(session.pair).await;

        let session = raw.prepare(&order).expect("prepared");
        assert_eq!(session.cancel().unwrap().status, 204);
        assert_eq!(session.cancel().unwrap().status, 204);
        let late = session.ready(None).answer().await.unwrap();
        assert_eq!(outcome(late), "404 NoSuchRdmaSession");
        end(session.pair).await;

        // A CANCEL while it runs ends it, and nothing is stored.
        let session = raw.prepare(&Order::put(&bench.path("cancelled"), 4096)).expect("prepared");
        let ready = session.ready(None);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(session.cancel().unwrap().status, 204);
        let answer = tokio::time::timeout(Duration::from_secs(10), ready.answer()).await;
        let answer = answer.expect("CANCEL ends a transfer").expect("FINAL");
        println!("FINAL of a transfer that was cancelled: {}", answer.outcome());
        assert!(answer.status >= 400);
        assert_eq!(bench.object("cancelled"), None);
        end(session.pair).await;

        let connection = raw.connect_pooled(RemoteAccess::ReadWrite).expect("connected");
        let window = host.window(70_001, RemoteAccess::ReadWrite);
        let stolen =
            foreign.with_token("GET", &bench.path("object"), &connection.id, window.remote());
        assert_eq!(outcome(foreign.ask(stolen).unwrap()), "404 NoSuchRdmaSession");
        let disconnect = foreign.request("POST", "/.s3rdma-rc/disconnect");
        let disconnect = disconnect.header("x-amz-rdma-session", &connection.id);
        assert_eq!(foreign.ask(disconnect).unwrap().status, 204);
        let path = bench.path("object");
        let got = connection.start("GET", &path, window.remote()).answer().await.unwrap();
        assert_eq!(outcome(got), "200", "a stranger has disconnected it");
        assert_eq!(connection.disconnect().unwrap().status, 204);
        end(connection.pair).await;
        assert!(window.reclaim().as_slice() == body);
    });
    bench.stop();
}

#[test]
fn two_requests_at_once_on_one_connection_take_turns() {
    let Some(guest) = Guest::here("two_requests_at_once_on_one_connection_take_turns") else {
        return;
    };
    let mut bench = Bench::start(&guest, BUCKET, STAGING);
    let bodies = [pages(8, 4 << 20), pages(9, 4 << 20)];
    let targets = [bench.put("a", &bodies[0]), bench.put("b", &bodies[1])];
    Host::run(DEVICE, async |host| {
        let connection =
            bench.raw(&host).connect_pooled(RemoteAccess::ReadWrite).expect("connected");
        let windows = [0, 1].map(|_| host.window(4 << 20, RemoteAccess::ReadWrite));
        let pending: Vec<Pending> = [0, 1, 0, 1, 0, 1, 0, 1]
            .into_iter()
            .map(|which: usize| connection.start("GET", &targets[which], windows[which].remote()))
            .collect();
        for pending in pending {
            let answer = pending.answer().await.expect("answered");
            assert_eq!((answer.status, answer.header("x-amz-rdma-reply")), (200, Some("200")));
            assert_eq!(answer.header("x-amz-rdma-bytes-transferred"), Some("4194304"));
        }
        // A DISCONNECT while one is under way waits for its end, and nothing comes after it.
        let before = RdmaPackets::of(DEVICE).sent();
        let long = connection.start("GET", &targets[0], windows[0].remote());
        moving(before, 16).await;
        assert_eq!(connection.disconnect().unwrap().status, 204);
        assert_eq!(long.answer().await.expect("answered").outcome(), "200");
        let late = connection.start("GET", &targets[0], windows[0].remote());
        let late = late.answer().await.expect("answered");
        assert_eq!(late.outcome(), "404 NoSuchRdmaSession");
        end(connection.pair).await;
        for (window, body) in windows.into_iter().zip(&bodies) {
            assert!(window.reclaim().as_slice() == body, "it came different");
        }
    });
    bench.stop();
}

#[test]
fn sessions_are_limited_and_end_by_themselves() {
    let Some(guest) = Guest::here("sessions_are_limited_and_end_by_themselves") else {
        return;
    };
    let mut bench = Bench::start(&guest, BUCKET, STAGING);
    let body = content(10, 4096);
    Host::run(DEVICE, async |host| {
        let raw = bench.raw(&host);
        let order = |key: &str| Order::put(&bench.path(key), 4096);
        let mut silent = Vec::new();
        let began = Instant::now();
        for number in 0..64 {
            let session = raw.prepare(&order(&format!("silent-{number}")));
            silent.push(session.unwrap_or_else(|answer| panic!("{number}: {answer:?}")));
        }
        println!("64 sessions took {:?}", began.elapsed());
        let refused = raw.prepare(&order("one-more")).expect_err("64 are the limit");
        assert_eq!(refused.outcome(), "503 SlowDown");
        assert_eq!(refused.header("x-amz-rdma-protocol"), Some("hipobj-rc-v2"));
        // One that is over makes room for another.
        assert_eq!(silent[0].cancel().unwrap().status, 204);
        let ours = loop {
            match raw.prepare(&order("ours")) {
                Ok(session) => break session,
                Err(answer) => assert_eq!(answer.outcome(), "503 SlowDown"),
            }
            assert!(began.elapsed() < Duration::from_secs(9), "no room after CANCEL");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let prepared = Instant::now();
        // One that is READY late is in time; 10 s from the answer to PREPARE are its limit.
        let never = ours.ready(None);
        tokio::time::sleep(Duration::from_millis(10_800).saturating_sub(prepared.elapsed())).await;
        let late = silent[63].ready(None).answer().await.unwrap();
        assert_eq!(late.outcome(), "404 NoSuchRdmaSession");
        assert!(!never.is_answered(), "a session that is READY has not expired");
        let held = bench.server.metrics().value("penstock_rdma_sessions", &[]);
        assert_eq!(held, 1.0, "sessions that nobody went on with are still there");
        let expired = ["outcome=\"expired\""];
        println!(
            "ended: {:?}",
            bench.server.metrics().sum("penstock_rdma_sessions_ended_total", &expired)
        );
        // Its data never comes: 30 s are the limit of that.
        let answer = never.answer().await.expect("FINAL");
        println!("a session without data ended {:?} after PREPARE", prepared.elapsed());
        assert_eq!(answer.outcome(), "408 RequestTimeout");
        assert!(prepared.elapsed() < Duration::from_secs(40));
        for session in silent {
            end(session.pair).await;
        }
        end(ours.pair).await;
    });
    // In time, a session that waits 8 s is carried out.
    Host::run(DEVICE, async |host| {
        let session = bench.raw(&host).prepare(&Order::put(&bench.path("slow"), 4096));
        let session = session.expect("prepared");
        tokio::time::sleep(Duration::from_secs(8)).await;
        let ready = session.ready(None);
        session.write(source(&host, &body), Some(session.cookie.number()));
        assert_eq!(ready.answer().await.unwrap().outcome(), "200");
        end(session.pair).await;
    });
    assert!(bench.object("slow").expect("stored") == body);
    bench.stop();
}

#[test]
fn connections_are_limited() {
    let Some(guest) = Guest::here("connections_are_limited") else {
        return;
    };
    let bench = Bench::start(&guest, BUCKET, STAGING);
    Host::run(DEVICE, async |host| {
        let raw = bench.raw(&host);
        let connections: Vec<_> = (0..64)
            .map(|_| raw.connect_pooled(RemoteAccess::ReadWrite).expect("connected"))
            .collect();
        let refused = raw.connect_pooled(RemoteAccess::ReadWrite).expect_err("64 are the limit");
        assert_eq!(refused.outcome(), "503 SlowDown");
        for connection in connections {
            assert_eq!(connection.disconnect().unwrap().status, 204);
            end(connection.pair).await;
        }
    });
    bench.stop();
}
