//! Pooled connections.

use std::time::Duration;

use super::super::*;
use super::*;
use crate::fabric::simulated::Faults;
use crate::fabric::{RemoteAccess, RemoteWindow};
use crate::transfer::{AbortReason, TransferError};
use crate::wire::{Checksum, SessionId};

const SIZES: [usize; 4] = [1, 4096, (1 << 20) + 7, 5 << 20];

async fn get_once(bed: &Bed, connection: SessionId, size: usize) {
    let content = pattern(size, 3);
    let window = bed.client.window(&vec![0; size + 10], RemoteAccess::ReadWrite);
    let mut transfer =
        bed.acquire(connection, window.remote(), Operation::Get).await.expect("acquired");
    assert_eq!(transfer.size(), size as u64 + 10, "the most that may be sent");
    let delivered = transfer.send(bed.source(&content, 100_000)).await.expect("delivered");
    assert_eq!(delivered.bytes, size as u64);
    assert_eq!(delivered.checksum, Checksum::of(CRC, &content));
    let settled = transfer.settle(Outcome::Succeeded).await;
    assert_eq!(settled.fence, Duration::ZERO, "there was nothing to fence");
    let memory = window.reclaim();
    assert_eq!(memory.as_slice()[..size], content);
    assert_eq!(memory.as_slice()[size..], [0; 10], "and not a byte more");
}

async fn put_once(bed: &Bed, connection: SessionId, size: usize, frames: usize) {
    let content = pattern(size, 9);
    let window = bed.client.window(&content, RemoteAccess::ReadWrite);
    let mut transfer =
        bed.acquire(connection, window.remote(), Operation::Put).await.expect("acquired");
    let mut sink = bed.sink(size as u64, 256 << 10, frames);
    sink.delay = Some(Duration::from_millis(2));
    let received = transfer.receive(&mut sink).await.expect("received");
    let work_requests = size.div_ceil(256 << 10) as u64;
    let expected = crate::transfer::Received { bytes: size as u64, copied_bytes: 0, work_requests };
    assert_eq!(received, expected);
    assert_eq!(*sink.content.borrow(), content);
    let _ = transfer.settle(Outcome::Succeeded).await;
}

#[test]
fn objects_of_all_sizes_go_both_ways() {
    run(|| async {
        let arena = arena();
        let strict = Settings { strict_placement: Some(arena.clone()), ..Settings::default() };
        let beds = [
            (Bed::instant(Settings::default()), 0),
            (Bed::simulated(1, Faults::DELAYS, Settings::default()), 0),
            (Bed::simulated_in(arena, 2, Faults::DELAYS, strict), SIZES.len() as u64),
        ];
        for (bed, placement_reads) in &beds {
            let (connection, _queue_pair) = bed.connect();
            for size in SIZES {
                get_once(bed, connection, size).await;
                // A sink that has but one frame waits for it to come back.
                put_once(bed, connection, size, 1).await;
                put_once(bed, connection, size, 6).await;
            }
            let stats = bed.server.stats();
            let payload = SIZES.iter().sum::<usize>() as u64;
            assert_eq!(stats.bytes_written, payload);
            assert_eq!(stats.bytes_read, 2 * payload + placement_reads);
            assert_eq!((stats.bytes_copied, stats.fences), (0, 0));
            bed.server.disconnect(connection, "ann");
            bed.assert_nothing_left().await;
        }
    });
}

#[test]
fn one_connection_serves_a_thousand_objects() {
    run(|| async {
        let bed = Bed::instant(Settings::default());
        let (connection, _queue_pair) = bed.connect();
        for _ in 0..500 {
            get_once(&bed, connection, 4096).await;
            put_once(&bed, connection, 4096, 1).await;
        }
        let stats = bed.server.stats();
        assert_eq!((stats.connections_made, stats.fences), (1, 0));
        let done = TransferOutcome::Succeeded;
        assert_eq!(stats.transfers_of(Protocol::Pooled, Operation::Get, done), 500);
        assert_eq!(stats.transfers_of(Protocol::Pooled, Operation::Put, done), 500);
        bed.server.disconnect(connection, "ann");
        bed.assert_nothing_left().await;
    });
}

#[test]
fn an_empty_object_and_a_request_that_comes_to_nothing_leave_the_connection() {
    run(|| async {
        let bed = Bed::simulated(3, Faults::DELAYS, Settings::default());
        let (connection, _queue_pair) = bed.connect();
        let window = bed.client.window(&[0; 10], RemoteAccess::ReadWrite);
        let mut empty =
            bed.acquire(connection, window.remote(), Operation::Get).await.expect("acquired");
        let delivered = empty.send(bed.source(&[], 1)).await.expect("nothing to deliver");
        assert_eq!((delivered.bytes, delivered.work_requests), (0, 0));
        let _ = empty.settle(Outcome::Succeeded).await;
        // Not found, not modified.
        let unused =
            bed.acquire(connection, window.remote(), Operation::Get).await.expect("acquired");
        let _ = unused.settle(Outcome::Failed).await;
        drop(bed.acquire(connection, window.remote(), Operation::Get).await.expect("acquired"));
        // Too large: the answer comes by HTTP.
        let mut large =
            bed.acquire(connection, window.remote(), Operation::Get).await.expect("acquired");
        let refused = large.send(bed.source(&[1; 11], 4)).await;
        assert_eq!(refused, Err(TransferError::WindowTooSmall { needed: 11, window: 10 }));
        let _ = large.settle(Outcome::Failed).await;
        assert_eq!(window.reclaim().as_slice(), [0; 10], "nothing was written");
        let stats = bed.server.stats();
        let unused = TransferOutcome::Unused;
        assert_eq!(stats.transfers_of(Protocol::Pooled, Operation::Get, unused), 3);
        assert_eq!((stats.fences, stats.connections), (0, 1));
        get_once(&bed, connection, 5000).await;
        bed.server.disconnect(connection, "ann");
        bed.assert_nothing_left().await;
    });
}

#[test]
fn requests_that_can_not_be_are_refused() {
    run(|| async {
        let bed = Bed::instant(Settings { transfer_bytes_max: 1 << 20, ..Settings::default() });
        let (connection, _queue_pair) = bed.connect();
        let window = |address, size| RemoteWindow { address, size, rkey: 1 };
        let wraps = bed.acquire(connection, window(u64::MAX, 2), Operation::Get).await;
        assert!(matches!(wraps, Err(SessionError::Malformed(_))), "{wraps:?}");
        let empty = bed.acquire(connection, window(0, 0), Operation::Put).await;
        assert!(matches!(empty, Err(SessionError::Malformed(_))), "{empty:?}");
        let (size, limit) = ((1 << 20) + 1, 1 << 20);
        let large = bed.acquire(connection, window(0, size), Operation::Put).await;
        assert_eq!(large.expect_err("too large"), SessionError::TooLarge { size, limit });
        let foreign = bed.server.connection(connection, "bob").map(|_| ());
        assert_eq!(foreign.expect_err("foreign"), SessionError::Unknown);
        let unknown = bed.server.connection(SessionId([9; 16]), "ann").map(|_| ());
        assert_eq!(unknown.expect_err("unknown"), SessionError::Unknown);
        bed.server.disconnect(connection, "bob");
        get_once(&bed, connection, 100).await;
        bed.server.disconnect(connection, "ann");
        bed.server.disconnect(connection, "ann");
        bed.assert_nothing_left().await;
    });
}

#[test]
fn requests_at_once_take_turns_and_the_queue_has_an_end() {
    run(|| async {
        let bed = Bed::simulated(4, Faults::DELAYS, Settings::default());
        let (connection, _queue_pair) = bed.connect();
        let window = bed.client.window(&[0; 100], RemoteAccess::ReadWrite);
        let first =
            bed.acquire(connection, window.remote(), Operation::Get).await.expect("acquired");
        let wait = || async {
            let acquired = bed.acquire(connection, window.remote(), Operation::Get).await;
            let mut transfer = acquired?;
            transfer.send(bed.source(&[1; 100], 30)).await.expect("delivered");
            let _ = transfer.settle(Outcome::Succeeded).await;
            Ok::<(), SessionError>(())
        };
        let waiting = async {
            let waits: Vec<_> = (0..16).map(|_| Box::pin(wait())).collect();
            let mut done = 0;
            let mut results = Vec::new();
            let mut waits = waits;
            std::future::poll_fn(|context| {
                waits.retain_mut(|wait| match wait.as_mut().poll(context) {
                    std::task::Poll::Ready(result) => {
                        results.push(result);
                        done += 1;
                        false
                    }
                    std::task::Poll::Pending => true,
                });
                if done == 16 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
            results
        };
        let rest = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let refused = bed.acquire(connection, window.remote(), Operation::Get).await;
            let full = SessionError::Busy(Exhausted::ConnectionQueue);
            assert_eq!(refused.expect_err("the 17th that waits"), full);
            let _ = first.settle(Outcome::Failed).await;
        };
        let (results, ()) = tokio::join!(waiting, rest);
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        bed.server.disconnect(connection, "ann");
        bed.assert_nothing_left().await;
    });
}

#[test]
fn failed_work_ends_the_connection_before_the_answer() {
    run(|| async {
        for operation in [Operation::Get, Operation::Put] {
            let bed = Bed::simulated(5, Faults::DELAYS, Settings::default());
            let (connection, _queue_pair) = bed.connect();
            let window = bed.client.window(&vec![0; 300_000], RemoteAccess::ReadWrite);
            let wrong = RemoteWindow { rkey: window.remote().rkey ^ 1, ..window.remote() };
            let mut transfer = bed.acquire(connection, wrong, operation).await.expect("acquired");
            let failed = match operation {
                Operation::Get => transfer.send(bed.source(&[1; 3000], 100)).await.map(|_| ()),
                Operation::Put => {
                    transfer.receive(&mut bed.sink(300_000, 65_536, 4)).await.map(|_| ())
                }
            };
            assert!(matches!(failed, Err(TransferError::Work { .. })), "{failed:?}");
            // One that waits for it meanwhile.
            let waits = bed.acquire(connection, window.remote(), Operation::Get);
            let (waited, settled) = tokio::join!(waits, transfer.settle(Outcome::Failed));
            assert_eq!(waited.map(|_| ()).expect_err("ended"), SessionError::Unknown);
            assert!(settled.fence > Duration::ZERO);
            let gone = bed.server.connection(connection, "ann").map(|_| ());
            assert_eq!(gone.expect_err("ended"), SessionError::Unknown);
            bed.assert_nothing_left().await;
            let stats = bed.server.stats();
            assert_eq!(stats.connections_ended[SessionOutcome::Failed.index()], 1);
            let remote_access =
                FAILURE_NAMES.iter().position(|name| *name == "remote_access").expect("named");
            assert_eq!(stats.failures[remote_access], 1);
        }
    });
}

#[test]
fn a_connection_that_is_not_used_expires() {
    run(|| async {
        let bed = Bed::simulated(6, Faults::DELAYS, Settings::default());
        let (connection, _queue_pair) = bed.connect();
        tokio::time::sleep(Duration::from_secs(200)).await;
        get_once(&bed, connection, 100).await;
        tokio::time::sleep(Duration::from_secs(299)).await;
        assert!(bed.server.connection(connection, "ann").is_ok(), "used 299 s ago");
        tokio::time::sleep(Duration::from_secs(2)).await;
        let gone = bed.server.connection(connection, "ann").map(|_| ());
        assert_eq!(gone.expect_err("expired"), SessionError::Unknown);
        bed.assert_nothing_left().await;
        let stats = bed.server.stats();
        assert_eq!(stats.connections_ended[SessionOutcome::Expired.index()], 1);
    });
}

#[test]
fn disconnect_lets_a_running_transfer_come_to_its_end() {
    run(|| async {
        let bed = Bed::simulated(7, Faults::DELAYS, Settings::default());
        let (connection, _queue_pair) = bed.connect();
        let window = bed.client.window(&vec![0; 50_000], RemoteAccess::ReadWrite);
        let content = pattern(50_000, 1);
        let mut transfer =
            bed.acquire(connection, window.remote(), Operation::Get).await.expect("acquired");
        let disconnect = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            bed.server.disconnect(connection, "ann");
            let gone = bed.server.connection(connection, "ann").map(|_| ());
            assert_eq!(gone.expect_err("disconnected"), SessionError::Unknown);
        };
        let (sent, ()) = tokio::join!(transfer.send(bed.source(&content, 1000)), disconnect);
        sent.expect("delivered");
        let _ = transfer.settle(Outcome::Succeeded).await;
        assert_eq!(window.reclaim().as_slice(), content);
        bed.assert_nothing_left().await;
        assert_eq!(bed.server.stats().connections_ended[SessionOutcome::Done.index()], 1);
    });
}

#[test]
fn a_request_that_goes_away_while_it_waits_or_moves_is_aborted() {
    run(|| async {
        let bed = Bed::simulated(8, Faults::DELAYS, Settings::default());
        let (connection, _queue_pair) = bed.connect();
        let window = bed.client.window(&vec![0; 500_000], RemoteAccess::ReadWrite);
        let claim = bed.server.connection(connection, "ann").expect("there");
        let watch = claim.watch();
        let acquired = bed.lane.acquire(claim, window.remote(), Operation::Get, CRC).await;
        let mut transfer = acquired.expect("acquired");
        let claim = bed.server.connection(connection, "ann").expect("there");
        let waiting_watch = claim.watch();
        let waits = timed(bed.lane.acquire(claim, window.remote(), Operation::Get, CRC));
        let mut source = bed.source(&pattern(500_000, 1), 1000);
        source.delay = Some(Duration::from_millis(2));
        let sends = transfer.send(source);
        let leave = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(waiting_watch);
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(watch);
        };
        let ((waited, took), sent, ()) = tokio::join!(waits, sends, leave);
        assert!(waited.is_err() && took < Duration::from_millis(30), "{took:?}");
        assert_eq!(sent, Err(TransferError::Aborted(AbortReason::ClientGone)));
        let _ = transfer.settle(Outcome::Failed).await;
        bed.network().close_window(window.remote().rkey);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(bed.network().violations(), []);
        bed.assert_nothing_left().await;
    });
}

#[test]
fn many_connections_share_a_lane_fairly() {
    run(|| async {
        let bed = Bed::simulated(9, Faults::DELAYS, Settings::default());
        let content = pattern(2 << 20, 1);
        let mut ends = Vec::new();
        let mut tasks = Vec::new();
        for index in 0..40_usize {
            let (connection, queue_pair) = bed.connect();
            let window = bed.client.window(&vec![0; 2 << 20], RemoteAccess::ReadWrite);
            let transfer = bed.acquire(connection, window.remote(), Operation::Get).await;
            let mut transfer = transfer.expect("acquired");
            let source = bed.source(&content, 64 << (10 + index % 5));
            tasks.push(tokio::task::spawn_local(async move {
                let (sent, took) = timed(transfer.send(source)).await;
                sent.expect("delivered");
                let _ = transfer.settle(Outcome::Succeeded).await;
                took
            }));
            ends.push((connection, queue_pair, window));
        }
        let mut times = Vec::new();
        for task in tasks {
            times.push(task.await.expect("no panic"));
        }
        let (least, most) = (times.iter().min().expect("some"), times.iter().max().expect("some"));
        assert!(*most < *least * 8, "{least:?} to {most:?}");
        for (connection, _queue_pair, window) in ends {
            assert_eq!(window.reclaim().as_slice(), content);
            bed.server.disconnect(connection, "ann");
        }
        bed.assert_nothing_left().await;
    });
}
