//! Owns the checks that bytes arrive: all of them, where they should, and nowhere else.

use super::*;

/// From nothing to the largest frame, around the sizes of packets and pages.
const SIZES: [usize; 8] = [0, 1, 4095, 4096, 4097, 65_535, 65_536, 1 << 20];

/// Offsets in a window, aligned and not.
const OFFSETS: [u64; 3] = [0, 3, 4097];

/// Around what is written, to see what should not be.
const MARGIN: usize = 8192;

pub(super) async fn writes_of_all_sizes_arrive(sides: Sides) {
    let ends = Ends::connect(&sides, RemoteAccess::None, RemoteAccess::Write);
    for (index, size) in SIZES.into_iter().enumerate() {
        let content = pattern(size, index as u8);
        let source = filled(&sides.server, &content);
        for offset in OFFSETS {
            let window = window(&sides.client, size + MARGIN, RemoteAccess::Write);
            let to = window.remote().from_offset(offset).unwrap();
            post(&ends.server, write(source.lend(), to));
            success(&ends.server, WorkKind::Write).await;
            let arrived = window.revoke().unwrap();
            let (before, rest) = arrived.as_slice().split_at(offset as usize);
            let (middle, after) = rest.split_at(size);
            assert!(middle == content, "{size} bytes at {offset}");
            assert!(before.iter().chain(after).all(|byte| *byte == 0), "{size} bytes at {offset}");
        }
    }
    ends.close().await;
}

pub(super) async fn reads_of_all_sizes_arrive(sides: Sides) {
    let ends = Ends::connect(&sides, RemoteAccess::None, RemoteAccess::Read);
    for (index, size) in SIZES.into_iter().enumerate() {
        let content = pattern(size + MARGIN, index as u8);
        let window = filled(&sides.client, &content).expose(RemoteAccess::Read).unwrap();
        for offset in OFFSETS {
            let from = window.remote().from_offset(offset).unwrap();
            post(&ends.server, Work::Read { into: frame(&sides, size), bytes: size, from });
            let completion = success(&ends.server, WorkKind::Read).await;
            assert_eq!(completion.bytes as usize, size);
            let super::super::Payload::Frame(frame) = completion.payload else {
                panic!("a READ gives its frame back");
            };
            let expected = &content[offset as usize..][..size];
            assert!(frame.filled() == expected, "{size} bytes at {offset}");
        }
    }
    ends.close().await;
}

pub(super) async fn immediates_carry_value_and_size(sides: Sides) {
    let ends = Ends::connect(&sides, RemoteAccess::Write, RemoteAccess::None);
    for (value, size) in [(1, 0), (0x0102_0304, 5), (u32::MAX, 4096), (0x8000_0000, 1 << 20)] {
        let content = pattern(size, 7);
        let staging = window(&sides.server, size.max(1), RemoteAccess::Write);
        ends.server.post_receive().unwrap();
        let source = filled(&sides.client, &content);
        post(&ends.client, write_with(source.lend(), staging.remote(), value));
        let received = success(&ends.server, WorkKind::Receive).await;
        assert_eq!((received.immediate, received.bytes as usize), (Some(value), size));
        success(&ends.client, WorkKind::Write).await;
        assert!(staging.revoke().unwrap().as_slice()[..size] == content);
    }
    assert_eq!(ends.server.outstanding(), 0);
    ends.close().await;
}

pub(super) async fn both_ends_write_at_once(sides: Sides) {
    let ends = Ends::connect(&sides, RemoteAccess::Write, RemoteAccess::Write);
    let contents = [pattern(100_000, 1), pattern(70_001, 2)];
    let at_client = window(&sides.client, contents[0].len(), RemoteAccess::Write);
    let at_server = window(&sides.server, contents[1].len(), RemoteAccess::Write);
    let of_server = filled(&sides.server, &contents[0]);
    let of_client = filled(&sides.client, &contents[1]);
    for _ in 0..4 {
        post(&ends.server, write(of_server.lend(), at_client.remote()));
        post(&ends.client, write(of_client.lend(), at_server.remote()));
    }
    for _ in 0..4 {
        success(&ends.server, WorkKind::Write).await;
        success(&ends.client, WorkKind::Write).await;
    }
    ends.close().await;
    assert!(at_client.reclaim().as_slice() == contents[0]);
    assert!(at_server.reclaim().as_slice() == contents[1]);
}

pub(super) async fn many_queue_pairs_share_an_endpoint(sides: Sides) {
    let ends = Ends::connect(&sides, RemoteAccess::None, RemoteAccess::None);
    let endpoints = [&ends.server_endpoint, &ends.client_endpoint];
    let access = [RemoteAccess::None, RemoteAccess::Write];
    let pairs: Vec<_> = (0..8).map(|_| pair(&sides, endpoints, access)).collect();
    assert_eq!(ends.server_endpoint.live_queue_pairs(), 9);
    let mut windows = Vec::new();
    for (index, (server, _)) in pairs.iter().enumerate() {
        let window = window(&sides.client, 1000, RemoteAccess::Write);
        let source = filled(&sides.server, &pattern(1000, index as u8));
        post(server, write(source.lend(), window.remote()));
        windows.push(window);
    }
    for (index, ((server, _), window)) in pairs.iter().zip(windows).enumerate().rev() {
        success(server, WorkKind::Write).await;
        assert!(server.completed().is_none());
        assert!(window.reclaim().as_slice() == pattern(1000, index as u8));
    }
    drop(pairs);
    ends.close().await;
}

pub(super) async fn a_window_opened_again_keeps_its_key(sides: Sides) {
    let ends = Ends::connect(&sides, RemoteAccess::None, RemoteAccess::ReadWrite);
    let source = filled(&sides.server, &pattern(512, 9));
    let first = window(&sides.client, 512, RemoteAccess::Write);
    let remote = first.remote();
    let second = first.reclaim().expose(RemoteAccess::Write).unwrap();
    assert_eq!(second.remote(), remote);
    post(&ends.server, write(source.lend(), remote));
    success(&ends.server, WorkKind::Write).await;
    let third = second.reclaim().expose(RemoteAccess::Read).unwrap();
    assert_ne!(third.remote().rkey, remote.rkey, "another right is another key");
    let status = failure(&ends.server, write(source.lend(), remote)).await;
    assert_eq!(status, WorkStatus::RemoteAccess);
    assert!(third.reclaim().as_slice() == source.as_slice());
    ends.close().await;
}

pub(super) async fn lent_memory_is_not_written(sides: Sides) {
    let mut buffer = filled(&sides.client, &pattern(64, 3));
    let lent = buffer.lend();
    assert!(buffer.as_mut_slice().is_none());
    let part = lent.slice(10..20);
    drop(lent);
    assert!(buffer.as_mut_slice().is_none());
    drop(part);
    assert!(buffer.as_mut_slice().is_some());
    let lent = buffer.lend();
    assert!(buffer.expose(RemoteAccess::Write).is_err(), "others read it");
    assert!(lent == pattern(64, 3));
    let buffer = filled(&sides.client, &pattern(64, 4));
    let lent = buffer.lend();
    let window = buffer.expose(RemoteAccess::Read).unwrap();
    assert!(lent == window.reclaim().as_slice());
}

pub(super) async fn a_receive_posted_late_is_waited_for(sides: Sides) {
    let ends = Ends::connect(&sides, RemoteAccess::Write, RemoteAccess::None);
    let staging = window(&sides.server, 64, RemoteAccess::Write);
    let source = filled(&sides.client, &pattern(64, 5));
    post(&ends.client, write_with(source.lend(), staging.remote(), 77));
    tokio::time::sleep(CONFORMANCE_QUIET_TIME).await;
    assert!(ends.client.completed().is_none(), "nobody could receive it");
    ends.server.post_receive().unwrap();
    let received = success(&ends.server, WorkKind::Receive).await;
    assert_eq!((received.immediate, received.bytes), (Some(77), 64));
    success(&ends.client, WorkKind::Write).await;
    assert!(staging.reclaim().as_slice() == source.as_slice());
    ends.close().await;
}
