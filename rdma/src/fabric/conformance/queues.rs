//! Owns the checks of completions: exactly one for each work request, in the order of posting, with its memory.

use super::super::Payload;
use super::*;

/// The bytes that came back with a WRITE: which request it was.
fn source_bytes(completion: &Completion) -> usize {
    match &completion.payload {
        Payload::Source(source) => source.len(),
        other => panic!("a WRITE gives its source back, not {other:?}"),
    }
}

pub(super) async fn work_completes_once_and_in_order(sides: Sides) {
    let ends = Ends::connect(&sides, RemoteAccess::None, RemoteAccess::Write);
    let source = filled(&sides.server, &pattern(20_000, 1));
    let window = window(&sides.client, 20_000, RemoteAccess::Write);
    let sizes = [20_000, 1, 4096, 0, 19_999, 7, 8192, 3];
    for (posted, size) in sizes.into_iter().enumerate() {
        post(&ends.server, write(source.lend().slice(..size), window.remote()));
        assert_eq!(ends.server.outstanding(), posted as u64 + 1);
    }
    for size in sizes {
        let completion = success(&ends.server, WorkKind::Write).await;
        assert_eq!(source_bytes(&completion), size);
    }
    assert_eq!(ends.server.outstanding(), 0);
    tokio::time::sleep(CONFORMANCE_QUIET_TIME).await;
    assert!(ends.server.completed().is_none());
    ends.close().await;
}

pub(super) async fn unsignalled_work_completes_with_what_follows(sides: Sides) {
    let ends = Ends::connect(&sides, RemoteAccess::None, RemoteAccess::Write);
    let source = filled(&sides.server, &pattern(100, 1));
    let window = window(&sides.client, 100, RemoteAccess::Write);
    for size in 1..=7 {
        let work = write(source.lend().slice(..size), window.remote());
        ends.server.post(work, false).unwrap();
    }
    tokio::time::sleep(CONFORMANCE_QUIET_TIME).await;
    assert!(ends.server.completed().is_none());
    assert_eq!(ends.server.outstanding(), 7);
    post(&ends.server, write(source.lend().slice(..8), window.remote()));
    for size in 1..=8 {
        let completion = success(&ends.server, WorkKind::Write).await;
        assert_eq!(source_bytes(&completion), size);
    }
    assert_eq!(ends.server.outstanding(), 0);
    ends.close().await;
}

pub(super) async fn what_follows_an_error_is_flushed_in_order(sides: Sides) {
    let ends = Ends::connect(&sides, RemoteAccess::None, RemoteAccess::Write);
    let source = filled(&sides.server, &pattern(100, 1));
    let window = window(&sides.client, 100, RemoteAccess::Write);
    let good = window.remote();
    let bad = RemoteWindow { rkey: good.rkey ^ 0x005a_5a00, ..good };
    for _ in 0..3 {
        ends.server.post_receive().unwrap();
    }
    for size in 1..=8 {
        let to = if size == 4 { bad } else { good };
        // Those before and after the bad one unsignalled, to see that an error reports them too.
        ends.server.post(write(source.lend().slice(..size), to), size == 8).unwrap();
    }
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    for _ in 0..11 {
        let completion = next(&ends.server).await;
        match completion.kind {
            WorkKind::Receive => received.push(completion.status),
            _ => sent.push((source_bytes(&completion), completion.status)),
        }
    }
    let expected: Vec<_> = (1..=8)
        .map(|size| match size {
            1..=3 => (size, WorkStatus::Success),
            4 => (size, WorkStatus::RemoteAccess),
            _ => (size, WorkStatus::Flushed),
        })
        .collect();
    assert_eq!(sent, expected);
    assert_eq!(received, [WorkStatus::Flushed; 3]);
    assert_eq!(ends.server.outstanding(), 0);
    ends.close().await;
}

pub(super) async fn a_read_that_fails_gives_its_frame_back(sides: Sides) {
    let ends = Ends::connect(&sides, RemoteAccess::None, RemoteAccess::Read);
    let window = window(&sides.client, 4096, RemoteAccess::Read);
    let good = window.remote();
    let bad = RemoteWindow { rkey: good.rkey ^ 0x005a_5a00, ..good };
    for from in [bad, good] {
        post(&ends.server, Work::Read { into: frame(&sides, 4096), bytes: 4096, from });
    }
    for expected in [WorkStatus::RemoteAccess, WorkStatus::Flushed] {
        let completion = next(&ends.server).await;
        assert_eq!((completion.kind, completion.status), (WorkKind::Read, expected));
        assert!(matches!(&completion.payload, Payload::Frame(frame) if frame.filled_bytes() == 0));
    }
    ends.close().await;
}

pub(super) async fn work_posted_after_an_error_is_not_executed(sides: Sides) {
    let ends = Ends::connect(&sides, RemoteAccess::None, RemoteAccess::Write);
    let source = filled(&sides.server, &[0xee; 100]);
    let window = window(&sides.client, 100, RemoteAccess::Write);
    let good = window.remote();
    let bad = RemoteWindow { rkey: good.rkey ^ 0x005a_5a00, ..good };
    failure(&ends.server, write(source.lend(), bad)).await;
    // A device takes the work and flushes it, or takes it not.
    if ends.server.post(write(source.lend(), good), true).is_ok() {
        assert_eq!(next(&ends.server).await.status, WorkStatus::Flushed);
    }
    ends.close().await;
    assert!(window.reclaim().as_slice().iter().all(|byte| *byte == 0));
}

pub(super) async fn a_full_queue_gives_the_work_back(sides: Sides) {
    // Devices may make queues deeper than asked.
    const DEEPEST: usize = 65_536;
    let ends = Ends::connect(&sides, RemoteAccess::None, RemoteAccess::Write);
    let source = filled(&sides.server, &pattern(64, 1));
    let window = window(&sides.client, 64, RemoteAccess::Write);
    let mut posted = 0;
    let back = loop {
        assert!(posted < DEEPEST, "the queue is never full");
        match ends.server.post(write(source.lend(), window.remote()), true) {
            Ok(()) => posted += 1,
            Err((_, work)) => break work,
        }
    };
    assert!(posted >= SHAPE.send_depth as usize, "the queue was full after {posted}");
    assert!(matches!(back, Work::Write { ref source, .. } if source.len() == 64));
    assert_eq!(ends.server.outstanding(), posted as u64);
    for _ in 0..posted {
        success(&ends.server, WorkKind::Write).await;
    }
    post(&ends.server, back);
    success(&ends.server, WorkKind::Write).await;
    let mut receives = 0;
    while ends.client.post_receive().is_ok() {
        receives += 1;
        assert!(receives < DEEPEST, "the receive queue is never full");
    }
    assert!(receives >= SHAPE.receive_depth as usize);
    assert_eq!(ends.client.outstanding(), receives as u64);
    ends.close().await;
}
