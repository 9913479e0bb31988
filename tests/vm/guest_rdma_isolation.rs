//! What a client can reach of the server's memory over soft-RoCE: the memory of its own session, to
//! write, for as long as the session lives. Nothing else, in no other way.

use penstock_tests::content::content;
use penstock_tests::guest::Guest;
use penstock_tests::rdma::{Bench, DEVICE, Host, Order, RawSession, end};
use rdma::fabric::{Connected, QueuePair, RemoteAccess, RemoteWindow, Work, WorkStatus};

const BUCKET: &str = "isolation";
const SIZE: u64 = 100_000;

/// Where a session with this memory, beside one with that, tries to write.
type Aim = fn(RemoteWindow, RemoteWindow) -> RemoteWindow;

/// A write of these bytes; how it ended.
async fn write(host: &Host, pair: &QueuePair<Connected>, to: RemoteWindow) -> WorkStatus {
    let source = host.filled(&vec![0xee; to.size as usize]).lend();
    let posted = pair.post(Work::Write { source, to, immediate: None }, true);
    posted.map_err(|(error, _)| error).expect("posted");
    pair.completion().await.expect("a completion").status
}

/// A read of these bytes; how it ended.
async fn read(host: &Host, pair: &QueuePair<Connected>, from: RemoteWindow) -> WorkStatus {
    let into = host.frame(from.size.next_power_of_two());
    let posted = pair.post(Work::Read { into, bytes: from.size as usize, from }, true);
    posted.map_err(|(error, _)| error).expect("posted");
    pair.completion().await.expect("a completion").status
}

/// The server's device has refused it; or has not answered at all, once the queue pair is in error.
#[track_caller]
fn assert_refused(what: &str, status: WorkStatus) {
    println!("{what}: {status}");
    let refused = matches!(
        status,
        WorkStatus::RemoteAccess
            | WorkStatus::RemoteInvalidRequest
            | WorkStatus::RemoteOperation
            | WorkStatus::RetryExceeded
            | WorkStatus::Flushed
    );
    assert!(refused, "{what}: {status}");
}

/// Sends a victim's bytes and has them stored: nobody has touched them.
async fn complete(host: &Host, bench: &mut Bench, victim: RawSession, key: &str) {
    let body = content(1, SIZE as usize);
    let ready = victim.ready(None);
    victim.write(host.filled(&body).lend(), Some(victim.cookie.number()));
    let answer = ready.answer().await.expect("FINAL");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(bench.object(key).expect("stored") == body, "somebody has changed it");
    end(victim.pair).await;
}

#[test]
fn a_key_dies_with_its_session() {
    let Some(guest) = Guest::here("a_key_dies_with_its_session") else {
        return;
    };
    let mut bench = Bench::start(&guest, BUCKET, 16 << 20);
    Host::run(DEVICE, async |host| {
        let raw = bench.raw(&host);
        for cancelled in [false, true] {
            let first = raw.prepare(&Order::put(&bench.path("first"), SIZE)).expect("prepared");
            let stolen = first.staging.expect("memory");
            if cancelled {
                assert_eq!(first.cancel().unwrap().status, 204);
                // CANCEL is answered before the session is gone.
                let gone = async {
                    while bench.server.metrics().value("penstock_rdma_sessions", &[]) > 0.0 {
                        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                    }
                };
                gone.await;
                end(first.pair).await;
            } else {
                complete(&host, &mut bench, first, "first").await;
            }
            // The memory of the next may well be the same: its key must not be.
            let second = raw.prepare(&Order::put(&bench.path("second"), SIZE)).expect("prepared");
            assert_ne!(second.staging.expect("memory").rkey, stolen.rkey, "the key has come back");
            let thief = raw.prepare(&Order::put(&bench.path("thief"), SIZE)).expect("prepared");
            let ready = thief.ready(None);
            let status = write(&host, &thief.pair, RemoteWindow { size: 8, ..stolen }).await;
            assert_refused("a write with the key of a session that is over", status);
            // The thief's own session fails with it.
            let answer = ready.answer().await.expect("FINAL");
            assert!(answer.status >= 400, "{}", answer.outcome());
            end(thief.pair).await;
            complete(&host, &mut bench, second, "second").await;
            assert_eq!(bench.object("thief"), None);
        }
    });
    bench.stop();
}

#[test]
fn a_session_reaches_its_own_memory_alone() {
    let Some(guest) = Guest::here("a_session_reaches_its_own_memory_alone") else {
        return;
    };
    let mut bench = Bench::start(&guest, BUCKET, 16 << 20);
    Host::run(DEVICE, async |host| {
        let raw = bench.raw(&host);
        let victim = raw.prepare(&Order::put(&bench.path("victim"), SIZE)).expect("prepared");
        let theirs = victim.staging.expect("memory");
        let attempts: [(&str, Aim); 5] = [
            ("one byte beyond its end", |own, _| RemoteWindow {
                address: own.address + SIZE,
                size: 1,
                ..own
            }),
            ("across its end", |own, _| RemoteWindow {
                address: own.address + SIZE - 4,
                size: 8,
                ..own
            }),
            ("one byte before it", |own, _| RemoteWindow {
                address: own.address - 1,
                size: 1,
                ..own
            }),
            ("another's memory with its own key", |own, theirs| RemoteWindow {
                size: 8,
                rkey: own.rkey,
                ..theirs
            }),
            ("a key that nobody has", |own, _| RemoteWindow {
                size: 8,
                rkey: own.rkey ^ 0xff00,
                ..own
            }),
        ];
        for (what, aim) in attempts {
            let session = raw.prepare(&Order::put(&bench.path("thief"), SIZE)).expect("prepared");
            let ready = session.ready(None);
            let own = session.staging.expect("memory");
            assert_refused(what, write(&host, &session.pair, aim(own, theirs)).await);
            assert!(ready.answer().await.expect("FINAL").status >= 400);
            end(session.pair).await;
        }
        let session = raw.prepare(&Order::put(&bench.path("thief"), SIZE)).expect("prepared");
        let ready = session.ready(None);
        let own = RemoteWindow { size: 4096, ..session.staging.expect("memory") };
        assert_refused("a read of its own memory", read(&host, &session.pair, own).await);
        assert!(ready.answer().await.expect("FINAL").status >= 400);
        end(session.pair).await;
        assert_eq!(bench.object("thief"), None);
        complete(&host, &mut bench, victim, "victim").await;
    });
    bench.stop();
}

#[test]
fn queue_pairs_that_only_the_server_uses_let_nothing_in() {
    let Some(guest) = Guest::here("queue_pairs_that_only_the_server_uses_let_nothing_in") else {
        return;
    };
    let mut bench = Bench::start(&guest, BUCKET, 16 << 20);
    let body = content(2, SIZE as usize);
    let target = bench.put("object", &body);
    Host::run(DEVICE, async |host| {
        let raw = bench.raw(&host);
        // Memory that is open to a write, with a valid key.
        let victim = raw.prepare(&Order::put(&bench.path("victim"), SIZE)).expect("prepared");
        let open = RemoteWindow { size: 8, ..victim.staging.expect("memory") };
        for reads in [false, true] {
            // No receive is posted: the session stays in its transfer for as long as this takes.
            let session = raw.prepare(&Order::get(&target, SIZE)).expect("prepared");
            let window = host.window(SIZE as usize, RemoteAccess::Write);
            let ready = session.ready(Some(window.remote()));
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            assert!(!ready.is_answered());
            let status = match reads {
                true => read(&host, &session.pair, open).await,
                false => write(&host, &session.pair, open).await,
            };
            assert_refused(&format!("through a GET's queue pair, reading {reads}"), status);
            let answer = tokio::time::timeout(std::time::Duration::from_secs(60), ready.answer());
            let answer = answer.await.expect("it ends").expect("FINAL");
            assert_eq!(answer.outcome(), "500 RDMATransferFailed");
            end(session.pair).await;

            let connection = raw.connect_pooled(RemoteAccess::ReadWrite).expect("connected");
            let status = match reads {
                true => read(&host, &connection.pair, open).await,
                false => write(&host, &connection.pair, open).await,
            };
            assert_refused(&format!("through a pooled queue pair, reading {reads}"), status);
            assert_eq!(connection.disconnect().unwrap().status, 204);
            end(connection.pair).await;
        }
        complete(&host, &mut bench, victim, "victim").await;
    });
    bench.stop();
}

#[test]
fn a_window_of_the_clients_is_not_overrun() {
    let Some(guest) = Guest::here("a_window_of_the_clients_is_not_overrun") else {
        return;
    };
    let mut bench = Bench::start(&guest, BUCKET, 16 << 20);
    let body = content(3, SIZE as usize);
    let target = bench.put("object", &body);
    Host::run(DEVICE, async |host| {
        let raw = bench.raw(&host);
        // The client announces more than it has: its own device refuses the rest, and says so.
        let connection = raw.connect_pooled(RemoteAccess::ReadWrite).expect("connected");
        let window = host.window(SIZE as usize / 2, RemoteAccess::ReadWrite);
        let lie = RemoteWindow { size: SIZE, ..window.remote() };
        let answer = connection.start("GET", &target, lie).answer().await.expect("answered");
        // Fenced, then sent by HTTP.
        assert_eq!((answer.status, answer.header("x-amz-rdma-reply")), (200, Some("501")));
        assert!(answer.body == body);
        let again = connection.start("GET", &target, window.remote()).answer().await.unwrap();
        assert_eq!(again.outcome(), "404 NoSuchRdmaSession", "a connection in error is gone");
        end(connection.pair).await;
        let memory = window.reclaim();
        let seen = memory.as_slice().to_vec();
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert!(memory.as_slice() == seen);
        let connection = raw.connect_pooled(RemoteAccess::ReadWrite).expect("connected");
        let window = host.window(SIZE as usize / 2, RemoteAccess::ReadWrite);
        let lie = RemoteWindow { size: SIZE, ..window.remote() };
        let path = bench.path("short");
        let answer = connection.start("PUT", &path, lie).answer().await.expect("answered");
        assert_eq!(answer.outcome(), "500 RDMATransferFailed");
        assert_eq!(answer.header("x-amz-rdma-reply"), None);
        assert_eq!(bench.object("short"), None);
        end(connection.pair).await;
    });
    bench.stop();
}
