//! Teardown where the device is slow or refuses, and what a lane must not wait for.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use super::super::*;
use super::stubborn::Mood;
use super::*;
use crate::fabric::simulated::Faults;
use crate::fabric::{RemoteAccess, RemoteWindow};
use crate::limits::STAGING_BYTES_INLINE;
use crate::transfer::TransferError;

/// More than a lane registers by itself.
const LARGE: u64 = STAGING_BYTES_INLINE + 1;

/// Has threads that may block come to their end, in real time.
async fn until(is_so: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
    panic!("not within two seconds");
}

#[test]
fn a_queue_pair_that_stays_leaves_the_window_in_doubt() {
    run(|| async {
        let mood = Arc::new(Mood::default());
        let bed = Bed::stubborn(&mood, Settings::default());
        let (connection, _queue_pair) = bed.connect();
        let content = pattern(100, 1);
        let window = bed.client.window(&content, RemoteAccess::ReadWrite);
        let mut transfer =
            bed.acquire(connection, window.remote(), Operation::Get).await.expect("free");
        transfer.send(bed.source(&content, 100)).await.expect("delivered");
        assert!(transfer.settle(Outcome::Succeeded).await.quiet, "everything was done");

        mood.keeps_queue_pairs.store(true, Ordering::Relaxed);
        let wrong = RemoteWindow { rkey: window.remote().rkey ^ 1, ..window.remote() };
        let mut transfer = bed.acquire(connection, wrong, Operation::Get).await.expect("free");
        transfer.send(bed.source(&content, 100)).await.expect_err("no such key");
        assert!(!transfer.settle(Outcome::Failed).await.quiet, "the device has not let go of it");
        assert_eq!(bed.server.stats().leaked, 1);
    });
}

#[test]
fn memory_that_is_being_made_keeps_its_place_in_the_limits() {
    run(|| async {
        let mood = Arc::new(Mood::default());
        let bed = Bed::stubborn(&mood, Settings::default());
        let (go, word) = mpsc::channel();
        *mood.hesitates.lock().expect("free") = Some(word);
        {
            let mut preparing = pin!(bed.try_prepare("ann", Operation::Put, LARGE));
            let begun = std::future::poll_fn(|context| {
                Poll::Ready(preparing.as_mut().poll(context).is_pending())
            });
            assert!(begun.await, "the device hesitates");
        }
        // The client has gone; the memory is still on its way.
        let stats = bed.server.stats();
        assert_eq!((stats.sessions, stats.staging_bytes), (1, LARGE));
        go.send(()).expect("it waits");
        until(|| bed.is_empty()).await;
    });
}

#[test]
fn large_memory_comes_and_goes_without_the_lane() {
    run(|| async {
        let mood = Arc::new(Mood::default());
        let bed = Bed::stubborn(&mood, Settings::default());
        let content = pattern(LARGE as usize, 1);
        for is_used in [true, false] {
            let prepared = bed.prepare(Operation::Put, LARGE).await;
            if is_used {
                let queue_pair = bed.answer(&prepared, RemoteAccess::None);
                let staging = prepared.staging.expect("memory to write to");
                let immediate = Some(cookie().number());
                let _kept = bed.client.write(&queue_pair, &content, staging, immediate);
                let claim = bed.claim(&prepared).expect("prepared");
                let headers = ready(queue_pair.number(), None);
                let mut transfer = bed.lane.begin(claim, headers).await.expect("begun");
                let mut sink = bed.sink(LARGE, 64 << 10, 2);
                transfer.receive(&mut sink).await.expect("received");
                assert!(*sink.content.borrow() == content);
                assert!(transfer.settle(Outcome::Succeeded).await.quiet);
            } else {
                bed.server.cancel(prepared.session, "ann");
            }
            until(|| bed.is_empty()).await;
        }
        let threads = mood.threads.lock().expect("free").clone();
        assert_eq!(threads.len(), 2 * 3, "made, closed and freed, twice");
        assert!(!threads.contains(&thread::current().id()), "not by the lane");
    });
}

#[test]
fn memory_whose_key_stays_valid_is_not_read_and_counted_as_lost() {
    run(|| async {
        let mood = Arc::new(Mood::default());
        let bed = Bed::stubborn(&mood, Settings::default());
        let prepared = bed.prepare(Operation::Put, 100).await;
        let queue_pair = bed.answer(&prepared, RemoteAccess::None);
        let (staging, immediate) = (prepared.staging.expect("memory"), Some(cookie().number()));
        let _kept = bed.client.write(&queue_pair, &pattern(100, 1), staging, immediate);
        mood.keeps_keys.store(true, Ordering::Relaxed);
        let claim = bed.claim(&prepared).expect("prepared");
        let mut transfer =
            bed.lane.begin(claim, ready(queue_pair.number(), None)).await.expect("begun");
        let mut sink = bed.sink(100, 4096, 1);
        let refused = transfer.receive(&mut sink).await.expect_err("open to the peer");
        assert!(matches!(refused, TransferError::Fabric(_)), "{refused:?}");
        assert!(sink.content.borrow().is_empty());
        let _ = transfer.settle(Outcome::Failed).await;
        let stats = bed.server.stats();
        assert_eq!((stats.leaked, stats.sessions, stats.staging_bytes), (1, 0, 100));
    });
}

#[test]
fn a_large_window_buys_no_time() {
    run(|| async {
        let bed = Bed::simulated(7, Faults::DELAYS, Settings::default());
        let (connection, _queue_pair) = bed.connect();
        let window = bed.client.window(&pattern(100, 1), RemoteAccess::ReadWrite);
        let claimed = RemoteWindow { size: 0x7fff_ffff, ..window.remote() };
        let mut transfer = bed.acquire(connection, claimed, Operation::Get).await.expect("free");
        let mut source = bed.source(&pattern(100, 1), 100);
        source.delay = Some(Duration::from_secs(3600));
        let (sent, took) = timed(transfer.send(source)).await;
        assert!(matches!(sent, Err(TransferError::Deadline)), "{sent:?}");
        assert!(took < Duration::from_secs(31), "30 s and what 100 bytes take: {took:?}");
        let _ = transfer.settle(Outcome::Failed).await;
    });
}
