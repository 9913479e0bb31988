//! Sessions: both ways, and everything that a client can do wrong.

use std::time::Duration;

use super::super::*;
use super::*;
use crate::fabric::simulated::Faults;
use crate::fabric::{Qpn, RemoteAccess, RemoteWindow, WorkKind, WorkStatus};
use crate::transfer::{AbortReason, TransferError};
use crate::wire::{Checksum, Cookie, SessionId};

const SIZES: [usize; 5] = [1, 4096, 65_537, (1 << 20) + 7, 5 << 20];

async fn get_once(bed: &Bed, size: usize, piece: usize, delay: Option<Duration>) {
    let content = pattern(size, 3);
    let prepared = bed.prepare(Operation::Get, size as u64).await;
    assert_eq!(prepared.staging, None, "a GET opens no memory of ours");
    assert_eq!((prepared.token.rkey, prepared.token.address, prepared.token.length), (0, 0, 0));
    let queue_pair = bed.answer(&prepared, RemoteAccess::Write);
    let window = bed.client.window(&vec![0; size], RemoteAccess::Write);
    let claim = bed.claim(&prepared).expect("prepared");
    let watch = claim.watch();
    let headers = ready(queue_pair.number(), Some(window.remote()));
    let mut transfer = bed.lane.begin(claim, headers).await.expect("begun");
    let mut source = bed.source(&content, piece);
    source.delay = delay;
    let delivered = transfer.send(source).await.expect("delivered");
    assert_eq!(delivered.bytes, size as u64);
    assert_eq!(delivered.checksum, Checksum::of(CRC, &content));
    assert_eq!(delivered.work_requests, size.div_ceil(piece) as u64);
    let settled = transfer.settle(Outcome::Succeeded).await;
    assert!(!settled.rearmed);
    drop(watch);
    let received = completion(&queue_pair).await;
    assert_eq!((received.kind, received.status), (WorkKind::Receive, WorkStatus::Success));
    assert_eq!(received.immediate, Some(cookie().number()));
    assert_eq!(window.reclaim().as_slice(), content);
}

async fn put_once(bed: &Bed, size: usize, frame: usize) {
    let content = pattern(size, 9);
    let prepared = bed.prepare(Operation::Put, size as u64).await;
    let staging = prepared.staging.expect("memory to write to");
    assert_eq!(staging.size, size as u64, "a region of its own, no larger than the object");
    assert_eq!(prepared.token.window(), Some(staging));
    let queue_pair = bed.answer(&prepared, RemoteAccess::None);
    // Armed since PREPARE: the client may write before its READY is served.
    let immediate = Some(cookie().number());
    let _kept = bed.client.write(&queue_pair, &content, staging, immediate);
    let claim = bed.claim(&prepared).expect("prepared");
    let mut transfer =
        bed.lane.begin(claim, ready(queue_pair.number(), None)).await.expect("begun");
    assert_eq!(transfer.size(), size as u64);
    let mut sink = bed.sink(size as u64, frame, 2);
    let received = transfer.receive(&mut sink).await.expect("received");
    assert_eq!((received.bytes, received.copied_bytes), (size as u64, size as u64));
    assert_eq!(*sink.content.borrow(), content);
    let settled = transfer.settle(Outcome::Succeeded).await;
    assert!(!settled.rearmed);
}

/// A queue pair in INIT drops what comes: devices give up after half a second, and READY may come any time within ten.
#[test]
fn an_upload_may_be_written_long_before_its_ready() {
    run(|| async {
        let bed = Bed::instant(Settings::default());
        let content = pattern(100_000, 4);
        let queue_pair = bed.client.queue_pair(RemoteAccess::None);
        let (size, number) = (content.len() as u64, queue_pair.number());
        let prepared = bed.prepare_for("ann", Operation::Put, size, Some(number)).await;
        let prepared = prepared.expect("prepared");
        let queue_pair = bed.client.join(queue_pair, prepared.qpn, prepared.psn);
        let staging = prepared.staging.expect("memory to write to");
        let _kept = bed.client.write(&queue_pair, &content, staging, Some(cookie().number()));
        assert_eq!(completion(&queue_pair).await.status, WorkStatus::Success);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let claim = bed.claim(&prepared).expect("prepared");
        let mut transfer = bed.lane.begin(claim, ready(number, None)).await.expect("begun");
        let mut sink = bed.sink(size, 64 << 10, 2);
        transfer.receive(&mut sink).await.expect("received");
        assert_eq!(*sink.content.borrow(), content);
        let _ = transfer.settle(Outcome::Succeeded).await;
        drop(queue_pair);
        bed.assert_nothing_left().await;
    });
}

#[test]
fn a_ready_from_another_queue_pair_than_prepares_is_paired_with() {
    run(|| async {
        let bed = Bed::instant(Settings::default());
        for operation in [Operation::Put, Operation::Get] {
            let content = pattern(10_000, 5);
            let named = bed.client.queue_pair(RemoteAccess::None);
            let size = content.len() as u64;
            let prepared = bed.prepare_for("ann", operation, size, Some(named.number())).await;
            let prepared = prepared.expect("prepared");
            let queue_pair = bed.answer(&prepared, RemoteAccess::Write);
            let window = bed.client.window(&vec![0; content.len()], RemoteAccess::Write);
            let claim = bed.claim(&prepared).expect("prepared");
            let headers = ready(queue_pair.number(), Some(window.remote()));
            let mut transfer = bed.lane.begin(claim, headers).await.expect("begun");
            if operation == Operation::Put {
                let staging = prepared.staging.expect("memory to write to");
                let immediate = Some(cookie().number());
                let _kept = bed.client.write(&queue_pair, &content, staging, immediate);
                let mut sink = bed.sink(size, 64 << 10, 2);
                transfer.receive(&mut sink).await.expect("received");
                assert_eq!(*sink.content.borrow(), content);
            } else {
                transfer.send(bed.source(&content, 4096)).await.expect("delivered");
            }
            let _ = transfer.settle(Outcome::Succeeded).await;
            if operation == Operation::Get {
                assert_eq!(window.reclaim().as_slice(), content);
            }
        }
        bed.assert_nothing_left().await;
    });
}

#[test]
fn objects_of_all_sizes_go_both_ways() {
    run(|| async {
        let beds = [
            Bed::instant(Settings::default()),
            Bed::simulated(1, Faults::DELAYS, Settings::default()),
        ];
        for bed in &beds {
            for size in SIZES {
                get_once(bed, size, 128 << 10, None).await;
                get_once(bed, size, 1 << 20, Some(Duration::from_millis(3))).await;
                put_once(bed, size, 64 << 10).await;
            }
            bed.assert_nothing_left().await;
            let stats = bed.server.stats();
            let payload: usize = SIZES.iter().sum();
            assert_eq!(stats.bytes_written, 2 * payload as u64);
            assert_eq!(stats.bytes_written_by_peers, payload as u64);
            assert_eq!(stats.bytes_copied, payload as u64);
            let done = TransferOutcome::Succeeded;
            assert_eq!(stats.transfers_of(Protocol::Session, Operation::Get, done), 10);
            assert_eq!(stats.transfers_of(Protocol::Session, Operation::Put, done), 5);
            assert_eq!(stats.sessions_ended[SessionOutcome::Done.index()], 15);
            assert_eq!(stats.fences, 15, "one for each session");
        }
    });
}

#[test]
fn a_piece_larger_than_a_work_request_is_split() {
    run(|| async {
        let bed = Bed::instant(Settings::default());
        let size = (3 << 20) + 5;
        let content = pattern(size, 3);
        let prepared = bed.prepare(Operation::Get, size as u64).await;
        let queue_pair = bed.answer(&prepared, RemoteAccess::Write);
        let window = bed.client.window(&vec![0; size], RemoteAccess::Write);
        let headers = ready(queue_pair.number(), Some(window.remote()));
        let claim = bed.claim(&prepared).expect("prepared");
        let mut transfer = bed.lane.begin(claim, headers).await.expect("begun");
        let delivered = transfer.send(bed.source(&content, size)).await.expect("delivered");
        assert_eq!(delivered.work_requests, 4);
        let _ = transfer.settle(Outcome::Succeeded).await;
        assert_eq!(window.reclaim().as_slice(), content);
        bed.assert_nothing_left().await;
    });
}

#[test]
fn a_client_that_posts_its_receive_late_is_waited_for() {
    run(|| async {
        let bed = Bed::simulated(4, Faults::DELAYS, Settings::default());
        let content = pattern(10_000, 3);
        let prepared = bed.prepare(Operation::Get, 10_000).await;
        let queue_pair = bed.client.queue_pair(RemoteAccess::Write);
        let queue_pair = bed.client.join(queue_pair, prepared.qpn, prepared.psn);
        let window = bed.client.window(&[0; 10_000], RemoteAccess::Write);
        let headers = ready(queue_pair.number(), Some(window.remote()));
        let claim = bed.claim(&prepared).expect("prepared");
        let mut transfer = bed.lane.begin(claim, headers).await.expect("begun");
        let late = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            queue_pair.post_receive().expect("a receive");
        };
        let (sent, ()) = tokio::join!(transfer.send(bed.source(&content, 4096)), late);
        sent.expect("delivered");
        let _ = transfer.settle(Outcome::Succeeded).await;
        assert_eq!(window.reclaim().as_slice(), content);
        bed.assert_nothing_left().await;
    });
}

#[test]
fn what_is_wrong_about_a_ready_leaves_the_session_untouched() {
    run(|| async {
        let bed = Bed::instant(Settings::default());
        let prepared = bed.prepare(Operation::Get, 5000).await;
        let unknown = |refused: Result<Claim, SessionError>| {
            assert_eq!(refused.expect_err("refused"), SessionError::Unknown);
        };
        let other = Cookie::new(0x5555_5555).expect("not zero");
        unknown(bed.server.claim(prepared.session, other, "ann"));
        unknown(bed.server.claim(prepared.session, cookie(), "bob"));
        unknown(bed.server.claim(SessionId([7; 16]), cookie(), "ann"));
        bed.server.cancel(prepared.session, "bob");
        bed.server.disconnect(prepared.session, "ann");
        // A READY of a GET without memory to write to.
        let claim = bed.claim(&prepared).expect("still prepared");
        let refused = bed.lane.begin(claim, ready(Qpn::new(9).expect("qpn"), None)).await;
        assert!(matches!(refused, Err(SessionError::Malformed(_))), "{refused:?}");
        let wraps = RemoteWindow { address: u64::MAX - 10, size: 0, rkey: 1 };
        let claim = bed.claim(&prepared).expect("still prepared");
        let refused = bed.lane.begin(claim, ready(Qpn::new(9).expect("qpn"), Some(wraps))).await;
        assert!(matches!(refused, Err(SessionError::Malformed(_))), "{refused:?}");
        // A duplicate.
        let claim = bed.claim(&prepared).expect("still prepared");
        assert_eq!(bed.claim(&prepared).expect_err("claimed"), SessionError::InProgress);
        // And it still works.
        let queue_pair = bed.answer(&prepared, RemoteAccess::Write);
        let window = bed.client.window(&[0; 5000], RemoteAccess::Write);
        let headers = ready(queue_pair.number(), Some(window.remote()));
        let mut transfer = bed.lane.begin(claim, headers).await.expect("begun");
        assert_eq!(bed.claim(&prepared).expect_err("claimed"), SessionError::InProgress);
        let content = pattern(5000, 1);
        transfer.send(bed.source(&content, 4096)).await.expect("delivered");
        assert_eq!(bed.claim(&prepared).expect_err("claimed"), SessionError::InProgress);
        let _ = transfer.settle(Outcome::Succeeded).await;
        unknown(bed.claim(&prepared));
        bed.assert_nothing_left().await;
    });
}

#[test]
fn cancel_ends_a_session_at_any_time_but_not_a_finished_transfer() {
    run(|| async {
        let bed = Bed::simulated(5, Faults::DELAYS, Settings::default());
        // One that waits; twice; and one that never was.
        let waiting = bed.prepare(Operation::Put, 100).await;
        bed.server.cancel(waiting.session, "ann");
        bed.server.cancel(waiting.session, "ann");
        bed.server.cancel(SessionId([1; 16]), "ann");
        assert_eq!(bed.claim(&waiting).expect_err("gone"), SessionError::Unknown);
        bed.assert_nothing_left().await;

        // One whose data moves.
        let moving = bed.prepare(Operation::Put, 100).await;
        let queue_pair = bed.answer(&moving, RemoteAccess::None);
        let claim = bed.claim(&moving).expect("prepared");
        let mut transfer =
            bed.lane.begin(claim, ready(queue_pair.number(), None)).await.expect("begun");
        let cancel = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            bed.server.cancel(moving.session, "ann");
        };
        let mut sink = bed.sink(100, 4096, 1);
        let ((received, took), ()) = tokio::join!(timed(transfer.receive(&mut sink)), cancel);
        assert_eq!(received, Err(TransferError::Aborted(AbortReason::Cancelled)));
        assert!(took < Duration::from_millis(60), "at once, not at the deadline: {took:?}");
        let _ = transfer.settle(Outcome::Failed).await;
        bed.assert_nothing_left().await;
        assert_eq!(bed.server.stats().sessions_ended[SessionOutcome::Cancelled.index()], 2);

        // One whose data has moved: the object is stored and said to be.
        let stored = bed.prepare(Operation::Put, 100).await;
        let queue_pair = bed.answer(&stored, RemoteAccess::None);
        let staging = stored.staging.expect("memory");
        let _kept = bed.client.write(&queue_pair, &[7; 100], staging, Some(cookie().number()));
        let claim = bed.claim(&stored).expect("prepared");
        let watch = claim.watch();
        let mut transfer =
            bed.lane.begin(claim, ready(queue_pair.number(), None)).await.expect("begun");
        let mut sink = bed.sink(100, 4096, 1);
        transfer.receive(&mut sink).await.expect("received");
        bed.server.cancel(stored.session, "ann");
        drop(watch);
        let _ = transfer.settle(Outcome::Succeeded).await;
        bed.assert_nothing_left().await;
        let done = TransferOutcome::Succeeded;
        assert_eq!(bed.server.stats().transfers_of(Protocol::Session, Operation::Put, done), 1);
    });
}

#[test]
fn sessions_expire_at_their_deadlines() {
    run(|| async {
        let bed = Bed::instant(Settings::default());
        let (answered, unanswered) = (
            bed.prepare(Operation::Put, 100).await,
            bed.try_prepare("ann", Operation::Get, 100).await.expect("prepared"),
        );
        let at = |millis: u64| tokio::time::sleep(Duration::from_millis(millis));
        at(9_900).await;
        drop(bed.server.claim(answered.session, cookie(), "bob"));
        assert_eq!(bed.server.stats().sessions, 2, "in time, both are there");
        at(700).await;
        assert_eq!(bed.claim(&answered).expect_err("expired"), SessionError::Unknown);
        assert_eq!(bed.server.stats().sessions, 1, "its answer may still be on its way");
        at(5_000).await;
        assert_eq!(bed.claim(&unanswered).expect_err("expired"), SessionError::Unknown);
        bed.assert_nothing_left().await;
        assert_eq!(bed.server.stats().sessions_ended[SessionOutcome::Expired.index()], 2);
    });
}

async fn begin_put(bed: &Bed, size: u64) -> (Prepared, Transfer, Ends) {
    let prepared = bed.prepare(Operation::Put, size).await;
    let queue_pair = bed.answer(&prepared, RemoteAccess::None);
    let claim = bed.claim(&prepared).expect("prepared");
    let transfer = bed.lane.begin(claim, ready(queue_pair.number(), None)).await.expect("begun");
    (prepared, transfer, queue_pair)
}

type Ends = crate::fabric::QueuePair<crate::fabric::Connected>;

#[test]
fn an_upload_that_is_not_what_was_agreed_is_refused() {
    run(|| async {
        let bed = Bed::simulated(6, Faults::DELAYS, Settings::default());
        let good = cookie().number();
        // Content, immediate, and what is wrong with it.
        let length = |got| TransferError::Length { expected: 1000, got };
        let immediate = TransferError::Immediate { expected: good, got: Some(good + 1) };
        let swapped = good.swap_bytes();
        let in_wrong_order = TransferError::Immediate { expected: good, got: Some(swapped) };
        let cases: [(usize, u32, TransferError<&str>); 4] = [
            (1000, good + 1, immediate),
            (1000, swapped, in_wrong_order),
            (999, good, length(999)),
            (1, good, length(1)),
        ];
        for (size, immediate, expected) in cases {
            let (prepared, mut transfer, queue_pair) = begin_put(&bed, 1000).await;
            let staging = prepared.staging.expect("memory");
            let content = vec![1; size];
            let _kept = bed.client.write(&queue_pair, &content, staging, Some(immediate));
            let mut sink = bed.sink(1000, 4096, 1);
            assert_eq!(transfer.receive(&mut sink).await, Err(expected));
            assert!(sink.content.borrow().is_empty(), "nothing may be stored");
            let _ = transfer.settle(Outcome::Failed).await;
        }
        // Longer than the memory: refused by the device.
        let (prepared, mut transfer, queue_pair) = begin_put(&bed, 1000).await;
        let staging = prepared.staging.expect("memory");
        let _kept = bed.client.write(&queue_pair, &[1; 1001], staging, Some(good));
        let mut sink = bed.sink(1000, 4096, 1);
        let received = transfer.receive(&mut sink).await;
        assert!(
            matches!(received, Err(TransferError::Work { .. } | TransferError::Deadline)),
            "{received:?}"
        );
        let _ = transfer.settle(Outcome::Failed).await;
        bed.assert_nothing_left().await;
    });
}

#[test]
fn a_write_after_the_immediate_changes_nothing_that_is_stored() {
    run(|| async {
        let bed = Bed::simulated(7, Faults::DELAYS, Settings::default());
        let content = pattern(100_000, 5);
        let (prepared, mut transfer, queue_pair) = begin_put(&bed, 100_000).await;
        let staging = prepared.staging.expect("memory");
        let immediate = Some(cookie().number());
        let _kept = bed.client.write(&queue_pair, &content, staging, immediate);
        assert_eq!(completion(&queue_pair).await.status, WorkStatus::Success);
        let mut sink = bed.sink(100_000, 64 << 10, 1);
        // As soon as the server looks at the bytes, the client writes others.
        let queue_pair = std::rc::Rc::new(queue_pair);
        let (fabric, late) = (bed.client.fabric.clone(), std::rc::Rc::clone(&queue_pair));
        sink.at_first = Some(Box::new(move || {
            let buffer = crate::fabric::Buffer::allocate(&*fabric, 100_000).expect("memory");
            let source = buffer.lend();
            let work = crate::fabric::Work::Write { source, to: staging, immediate: None };
            late.post(work, true).expect("the client's end does not know yet");
        }));
        transfer.receive(&mut sink).await.expect("received");
        assert_eq!(*sink.content.borrow(), content);
        assert_ne!(completion(&queue_pair).await.status, WorkStatus::Success);
        let _ = transfer.settle(Outcome::Succeeded).await;
        assert_eq!(bed.network().violations(), []);
        bed.assert_nothing_left().await;
    });
}

#[test]
fn a_session_whose_peer_never_answers_may_be_ready_again() {
    run(|| async {
        let bed = Bed::simulated(8, Faults::DELAYS, Settings::default());
        let content = pattern(70_000, 5);
        let prepared = bed.prepare(Operation::Get, 70_000).await;
        let window = bed.client.window(&vec![0; 70_000], RemoteAccess::Write);
        for round in 1..=2 {
            // Nobody has this queue pair.
            let nobody = Qpn::new(0xf0_0000 + round).expect("qpn");
            let claim = bed.claim(&prepared).expect("prepared");
            let watch = claim.watch();
            let headers = ready(nobody, Some(window.remote()));
            let mut transfer = bed.lane.begin(claim, headers).await.expect("begun");
            let sent = transfer.send(bed.source(&content, 4096)).await;
            assert_eq!(sent, Err(TransferError::PeerSilent));
            assert!(transfer.settle(Outcome::Failed).await.rearmed);
            // The request has had its answer, 409: its end does not end the session.
            drop(watch);
            assert_eq!(bed.server.stats().rearmed, u64::from(round));
        }
        tokio::time::sleep(Duration::from_secs(8)).await;
        let queue_pair = bed.answer(&prepared, RemoteAccess::Write);
        let headers = ready(queue_pair.number(), Some(window.remote()));
        let claim = bed.claim(&prepared).expect("the time for READY began anew");
        let mut transfer = bed.lane.begin(claim, headers).await.expect("begun");
        transfer.send(bed.source(&content, 4096)).await.expect("delivered");
        let _ = transfer.settle(Outcome::Succeeded).await;
        assert_eq!(window.reclaim().as_slice(), content);
        bed.assert_nothing_left().await;
        let silent = TransferOutcome::PeerSilent;
        assert_eq!(bed.server.stats().transfers_of(Protocol::Session, Operation::Get, silent), 2);
    });
}

#[test]
fn a_session_asked_again_expires_like_any_other() {
    run(|| async {
        let bed = Bed::simulated(9, Faults::DELAYS, Settings::default());
        let prepared = bed.prepare(Operation::Get, 100).await;
        let window = bed.client.window(&[0; 100], RemoteAccess::Write);
        let nobody = ready(Qpn::new(0xf0_0000).expect("qpn"), Some(window.remote()));
        let mut transfer =
            bed.lane.begin(bed.claim(&prepared).expect("prepared"), nobody).await.expect("begun");
        let sent = transfer.send(bed.source(&[1; 100], 4096)).await;
        assert_eq!(sent, Err(TransferError::PeerSilent));
        assert!(transfer.settle(Outcome::Failed).await.rearmed);
        tokio::time::sleep(Duration::from_millis(10_600)).await;
        assert_eq!(bed.claim(&prepared).expect_err("expired"), SessionError::Unknown);
        bed.assert_nothing_left().await;
    });
}

#[test]
fn a_client_that_does_nothing_is_waited_for_until_the_deadline_only() {
    run(|| async {
        let bed = Bed::simulated(10, Faults::DELAYS, Settings::default());
        // 5 MB at 10 MB/s are half a second more.
        let (_, mut transfer, _queue_pair) = begin_put(&bed, 5_000_000).await;
        let mut sink = bed.sink(5_000_000, 4096, 1);
        let (received, took) = timed(transfer.receive(&mut sink)).await;
        assert_eq!(received, Err(TransferError::Deadline));
        assert!(took.abs_diff(Duration::from_millis(30_500)) < Duration::from_millis(5));
        let _ = transfer.settle(Outcome::Failed).await;
        // A GET whose client never posts its receive: the device would try for ever.
        let prepared = bed.prepare(Operation::Get, 100).await;
        let queue_pair = bed.client.queue_pair(RemoteAccess::Write);
        let queue_pair = bed.client.join(queue_pair, prepared.qpn, prepared.psn);
        let window = bed.client.window(&[0; 100], RemoteAccess::Write);
        let headers = ready(queue_pair.number(), Some(window.remote()));
        let claim = bed.claim(&prepared).expect("prepared");
        let mut transfer = bed.lane.begin(claim, headers).await.expect("begun");
        let (sent, took) = timed(transfer.send(bed.source(&[1; 100], 4096))).await;
        assert_eq!(sent, Err(TransferError::Deadline));
        assert!(took.abs_diff(Duration::from_secs(30)) < Duration::from_millis(5), "{took:?}");
        let _ = transfer.settle(Outcome::Failed).await;
        bed.assert_nothing_left().await;
        let late = TransferOutcome::Deadline;
        let stats = bed.server.stats();
        assert_eq!(stats.transfers_of(Protocol::Session, Operation::Get, late), 1);
        assert_eq!(stats.transfers_of(Protocol::Session, Operation::Put, late), 1);
    });
}

#[test]
fn content_that_fails_or_is_not_what_was_promised_ends_the_transfer() {
    run(|| async {
        let bed = Bed::simulated(11, Faults::DELAYS, Settings::default());
        for (held, fails_below, expected) in [
            (100_000, Some(40_000), TransferError::Content("unreadable")),
            (100_000, Some(100_000), TransferError::Content("unreadable")),
            (90_000, None, TransferError::Length { expected: 100_000, got: 90_000 }),
        ] {
            let prepared = bed.prepare(Operation::Get, 100_000).await;
            let queue_pair = bed.answer(&prepared, RemoteAccess::Write);
            let window = bed.client.window(&vec![0; 100_000], RemoteAccess::Write);
            let headers = ready(queue_pair.number(), Some(window.remote()));
            let claim = bed.claim(&prepared).expect("prepared");
            let mut transfer = bed.lane.begin(claim, headers).await.expect("begun");
            let mut source = bed.source(&pattern(held, 1), 4096);
            source.fails_below = fails_below;
            assert_eq!(transfer.send(source).await, Err(expected));
            let again = transfer.send(bed.source(&[1; 10], 10)).await;
            assert!(matches!(again, Err(TransferError::Misused(_))), "{again:?}");
            let _ = transfer.settle(Outcome::Failed).await;
            bed.network().close_window(window.remote().rkey);
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(bed.network().violations(), []);
        }
        bed.assert_nothing_left().await;
    });
}
