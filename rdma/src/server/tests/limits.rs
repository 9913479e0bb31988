//! Limits: the one too many is refused, and nothing of it is left.

use super::super::*;
use super::*;
use crate::fabric::simulated::Faults;

fn busy<T: std::fmt::Debug>(refused: Result<T, SessionError>) -> Exhausted {
    match refused {
        Err(SessionError::Busy(exhausted)) => exhausted,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn the_65th_session_of_a_principal_and_the_1025th_of_all_are_refused() {
    run(|| async {
        let bed = Bed::instant(Settings::default());
        for principal in 0..16 {
            let name = format!("principal {principal}");
            for _ in 0..64 {
                bed.try_prepare(&name, Operation::Get, 100).await.expect("room");
            }
            let refused = bed.try_prepare(&name, Operation::Get, 100).await;
            let all = principal == 15;
            let expected = if all { Exhausted::Sessions } else { Exhausted::SessionsOfPrincipal };
            assert_eq!(busy(refused), expected);
        }
        assert_eq!(busy(bed.try_prepare("eve", Operation::Put, 1).await), Exhausted::Sessions);
        let stats = bed.server.stats();
        assert_eq!((stats.sessions, stats.queue_pairs, stats.refused_busy), (1024, 1024, 17));
        assert_eq!(stats.registered, 1024);
        // The time comes for all of them.
        tokio::time::sleep(std::time::Duration::from_secs(16)).await;
        bed.assert_nothing_left().await;
        bed.try_prepare("eve", Operation::Put, 1).await.expect("room again");
    });
}

#[test]
fn staging_memory_is_a_budget() {
    run(|| async {
        let settings = Settings { staging_bytes: 1_000_000, ..Settings::default() };
        let bed = Bed::instant(settings);
        let first = bed.try_prepare("ann", Operation::Put, 600_000).await.expect("room");
        assert_eq!(busy(bed.try_prepare("bob", Operation::Put, 400_001).await), Exhausted::Staging);
        bed.try_prepare("bob", Operation::Put, 400_000).await.expect("just fits");
        bed.try_prepare("bob", Operation::Get, 1 << 30).await.expect("a GET needs none");
        assert_eq!(bed.server.stats().staging_bytes, 1_000_000);
        let limit = 1_000_000;
        assert_eq!(
            bed.try_prepare("bob", Operation::Put, 1_000_001).await.expect_err("more than all"),
            SessionError::TooLarge { size: 1_000_001, limit }
        );
        bed.server.cancel(first.session, "ann");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        assert_eq!(bed.server.stats().staging_bytes, 400_000);
        bed.try_prepare("ann", Operation::Put, 600_000).await.expect("room again");
        bed.lane.close().await;
        assert!(bed.is_empty(), "{:?}", bed.server.stats());
    });
}

#[test]
fn orders_that_can_not_be_are_refused() {
    run(|| async {
        let bed = Bed::instant(Settings { transfer_bytes_max: 1 << 20, ..Settings::default() });
        let size = (1 << 20) + 1;
        let too_large = SessionError::TooLarge { size, limit: 1 << 20 };
        for operation in [Operation::Get, Operation::Put] {
            let refused = bed.try_prepare("ann", operation, size).await;
            assert_eq!(refused.expect_err("too large"), too_large);
            let refused = bed.try_prepare("ann", operation, 0).await.expect_err("nothing");
            assert!(matches!(refused, SessionError::Malformed(_)), "{refused:?}");
        }
        assert!(bed.is_empty(), "{:?}", bed.server.stats());
    });
}

#[test]
fn the_65th_connection_of_a_principal_is_refused() {
    run(|| async {
        let settings = Settings { connections_max: 70, ..Settings::default() };
        let bed = Bed::instant(settings);
        let mut held = Vec::new();
        for _ in 0..64 {
            held.push(bed.try_connect("ann").expect("room"));
        }
        let refused = bed.try_connect("ann").map(|_| ());
        assert_eq!(busy(refused), Exhausted::ConnectionsOfPrincipal);
        for _ in 0..6 {
            held.push(bed.try_connect("bob").expect("room"));
        }
        assert_eq!(busy(bed.try_connect("bob").map(|_| ())), Exhausted::Connections);
        let stats = bed.server.stats();
        assert_eq!((stats.connections, stats.queue_pairs), (70, 70));
        for (id, _queue_pair) in &held {
            bed.server.disconnect(*id, "ann");
            bed.server.disconnect(*id, "bob");
        }
        bed.assert_nothing_left().await;
    });
}

#[test]
fn after_the_stop_nothing_new_comes_but_ready_does() {
    run(|| async {
        let bed = Bed::simulated(1, Faults::DELAYS, Settings::default());
        let prepared = bed.prepare(Operation::Get, 100).await;
        let (connection, _queue_pair) = bed.connect();
        bed.server.stop_admitting();
        let refused = bed.try_prepare("ann", Operation::Get, 100).await;
        assert_eq!(refused.expect_err("stopped"), SessionError::ShuttingDown);
        let refused = bed.try_connect("ann").map(|_| ());
        assert_eq!(refused.expect_err("stopped"), SessionError::ShuttingDown);
        let refused = bed.server.connection(connection, "ann").map(|_| ());
        assert_eq!(refused.expect_err("stopped"), SessionError::ShuttingDown);
        drop(bed.claim(&prepared).expect("it was there before"));
        bed.lane.close().await;
        assert!(bed.is_empty(), "{:?}", bed.server.stats());
    });
}
