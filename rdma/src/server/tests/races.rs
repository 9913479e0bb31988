//! Clients that leave and lanes that close, at each point of a session's life. Counters go back to zero.

use std::time::Duration;

use super::super::*;
use super::*;
use crate::fabric::simulated::Faults;
use crate::fabric::{RemoteAccess, Window};
use crate::transfer::{AbortReason, TransferError};

const SIZE: usize = 60_000;

/// How far a session gets before it is left.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Point {
    Prepared,
    Claimed,
    Begun,
    Moving,
    Moved,
}

const POINTS: [Point; 5] =
    [Point::Prepared, Point::Claimed, Point::Begun, Point::Moving, Point::Moved];

/// How it is left.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    WatchDropped,
    TransferDropped,
    FutureDropped,
    Cancelled,
    LaneClosed,
}

const ENDS: [End; 5] =
    [End::WatchDropped, End::TransferDropped, End::FutureDropped, End::Cancelled, End::LaneClosed];

#[test]
fn a_session_left_at_any_point_leaves_nothing_behind() {
    let mut cases = 0;
    for operation in [Operation::Get, Operation::Put] {
        for point in POINTS {
            for end in ENDS {
                let seed = cases;
                run(|| async move {
                    let bed = Bed::simulated(seed, Faults::DELAYS, Settings::default());
                    let window = bed.client.window(&vec![0; SIZE], RemoteAccess::Write);
                    let settled = leave(&bed, operation, point, end, &window).await;
                    if settled {
                        // The answer leaves at once.
                        bed.network().close_window(window.remote().rkey);
                    }
                    bed.assert_nothing_left().await;
                    bed.network().close_window(window.remote().rkey);
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    let violations = bed.network().violations();
                    assert_eq!(violations, [], "{operation:?} {point:?} {end:?}");
                });
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 50);
}

/// Whether its transfer was settled: then nothing of it moves any more.
async fn leave(bed: &Bed, operation: Operation, point: Point, end: End, window: &Window) -> bool {
    let prepared = bed.prepare(operation, SIZE as u64).await;
    let access = match operation {
        Operation::Get => RemoteAccess::Write,
        Operation::Put => RemoteAccess::None,
    };
    let queue_pair = bed.answer(&prepared, access);
    if point == Point::Prepared {
        match end {
            End::LaneClosed => bed.lane.close().await,
            // Nobody has claimed it: CANCEL ends it, or its deadline.
            End::Cancelled => bed.server.cancel(prepared.session, "ann"),
            _ => tokio::time::sleep(Duration::from_secs(11)).await,
        }
        return true;
    }
    let claim = bed.claim(&prepared).expect("prepared");
    let watch = claim.watch();
    let headers = ready(queue_pair.number(), Some(window.remote()));
    if point == Point::Claimed {
        match end {
            End::LaneClosed => bed.lane.close().await,
            End::Cancelled => bed.server.cancel(prepared.session, "ann"),
            End::WatchDropped => drop(watch),
            End::TransferDropped | End::FutureDropped => {
                drop(claim);
                return true;
            }
        }
        let begun = bed.lane.begin(claim, headers).await.map(|_| ());
        let shut = end == End::LaneClosed;
        let expected = if shut { SessionError::ShuttingDown } else { SessionError::Unknown };
        assert_eq!(begun.expect_err("ended"), expected);
        return true;
    }
    let mut transfer = bed.lane.begin(claim, headers).await.expect("begun");
    let _kept = prepared.staging.map(|staging| {
        let immediate = (point == Point::Moved).then_some(cookie().number());
        // Without its immediate, it is still moving.
        bed.client.write(&queue_pair, &pattern(SIZE, 1), staging, immediate)
    });
    let mut watch = Some(watch);
    let mut dropped = false;
    if point == Point::Moving {
        dropped = move_and_leave(bed, &mut transfer, end, &prepared, &mut watch).await;
    } else if point == Point::Moved {
        move_all(bed, &mut transfer).await.expect("moved");
    }
    match end {
        End::WatchDropped => drop(watch),
        End::Cancelled => bed.server.cancel(prepared.session, "ann"),
        End::TransferDropped => {
            drop(transfer);
            return false;
        }
        End::LaneClosed => {
            let settle = async {
                if point == Point::Begun {
                    let moved = move_all(bed, &mut transfer).await;
                    let stopped = AbortReason::ShuttingDown;
                    assert_eq!(moved, Err(TransferError::Aborted(stopped)));
                }
                let _ = transfer.settle(Outcome::Failed).await;
            };
            let ((), ()) = tokio::join!(bed.lane.close(), settle);
            assert!(bed.is_empty(), "{:?}", bed.server.stats());
            return true;
        }
        End::FutureDropped => {}
    }
    if point == Point::Begun && end != End::FutureDropped {
        let moved = move_all(bed, &mut transfer).await;
        assert!(matches!(moved, Err(TransferError::Aborted(_))), "{moved:?}");
    }
    let outcome = match point {
        Point::Moved => Outcome::Succeeded,
        _ => Outcome::Failed,
    };
    let settled = transfer.settle(outcome).await;
    assert!(!settled.rearmed);
    assert!(!dropped || settled.fence > Duration::ZERO || prepared.staging.is_some());
    true
}

async fn move_all(bed: &Bed, transfer: &mut Transfer) -> Result<(), TransferError<&'static str>> {
    match transfer.operation() {
        Operation::Get => {
            let mut source = bed.source(&pattern(SIZE, 1), 1000);
            source.delay = Some(Duration::from_millis(2));
            transfer.send(source).await.map(|_| ())
        }
        Operation::Put => transfer.receive(&mut bed.sink(SIZE as u64, 4096, 1)).await.map(|_| ()),
    }
}

/// Leaves it 40 ms after its data began to move; whether its future was dropped.
async fn move_and_leave(
    bed: &Bed,
    transfer: &mut Transfer,
    end: End,
    prepared: &Prepared,
    watch: &mut Option<Watch>,
) -> bool {
    let moment = Duration::from_millis(40);
    if matches!(end, End::FutureDropped | End::TransferDropped) {
        let moved = tokio::time::timeout(moment, move_all(bed, transfer)).await;
        assert!(moved.is_err(), "it is still moving");
        return true;
    }
    let leave = async {
        tokio::time::sleep(moment).await;
        match end {
            End::WatchDropped => drop(watch.take()),
            End::Cancelled => bed.server.cancel(prepared.session, "ann"),
            _ => {
                // The lane's end waits for this very transfer.
                let lane = bed.lane.clone();
                tokio::task::spawn_local(async move { lane.close().await });
            }
        }
    };
    let (moved, ()) = tokio::join!(move_all(bed, transfer), leave);
    assert!(matches!(moved, Err(TransferError::Aborted(_))), "{end:?}: {moved:?}");
    false
}

#[test]
fn a_lane_closes_under_pooled_requests() {
    run(|| async {
        let bed = Bed::simulated(1, Faults::DELAYS, Settings::default());
        let (connection, _queue_pair) = bed.connect();
        let (_idle, _other) = bed.connect();
        let window = bed.client.window(&vec![0; SIZE], RemoteAccess::ReadWrite);
        let mut transfer =
            bed.acquire(connection, window.remote(), Operation::Get).await.expect("acquired");
        let waits = bed.acquire(connection, window.remote(), Operation::Get);
        let moves = async {
            let moved = move_all(&bed, &mut transfer).await;
            assert_eq!(moved, Err(TransferError::Aborted(AbortReason::ShuttingDown)));
            let _ = transfer.settle(Outcome::Failed).await;
        };
        let closes = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            bed.lane.close().await;
        };
        let (waited, (), ()) = tokio::join!(waits, moves, closes);
        assert_eq!(waited.map(|_| ()).expect_err("closed"), SessionError::ShuttingDown);
        assert!(bed.is_empty(), "{:?}", bed.server.stats());
        let refused = bed.try_prepare("ann", Operation::Get, 1).await;
        assert_eq!(refused.expect_err("closed"), SessionError::ShuttingDown);
    });
}

#[test]
fn a_completion_queue_that_fails_ends_its_transfers_at_once() {
    run(|| async {
        let bed = Bed::simulated(2, Faults::DELAYS, Settings::default());
        let prepared = bed.prepare(Operation::Put, 100).await;
        let queue_pair = bed.answer(&prepared, RemoteAccess::None);
        let claim = bed.claim(&prepared).expect("prepared");
        let mut transfer =
            bed.lane.begin(claim, ready(queue_pair.number(), None)).await.expect("begun");
        let gid = bed.server.facts().gid;
        let breaks = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            bed.network().break_device(gid);
        };
        let mut sink = bed.sink(100, 4096, 1);
        let ((received, took), ()) = tokio::join!(timed(transfer.receive(&mut sink)), breaks);
        assert!(matches!(received, Err(TransferError::Fabric(_))), "{received:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
        let _ = transfer.settle(Outcome::Failed).await;
        bed.assert_nothing_left().await;
    });
}

#[test]
fn what_crosses_lanes_may() {
    fn crosses<T: Send + Sync>() {}
    crosses::<Server>();
    crosses::<Claim>();
    crosses::<ConnectionClaim>();
    crosses::<Watch>();
    crosses::<Prepared>();
    crosses::<SessionError>();
}

#[test]
fn a_claim_brought_to_the_wrong_lane_ends_its_session() {
    run(|| async {
        let bed = Bed::simulated(3, Faults::DELAYS, Settings::default());
        let other = LaneServer::open(&bed.server, 1).expect("another lane");
        let prepared = bed.prepare(Operation::Put, 100).await;
        let claim = bed.claim(&prepared).expect("prepared");
        assert_eq!(claim.lane(), 0);
        let begun = other.begin(claim, ready(prepared.qpn, None)).await.map(|_| ());
        assert!(matches!(begun, Err(SessionError::Fabric(_))), "{begun:?}");
        bed.assert_nothing_left().await;
        other.close().await;
        assert!(LaneServer::open(&bed.server, 2).is_err(), "there are two");
    });
}
