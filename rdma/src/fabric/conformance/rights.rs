//! Owns the checks that a peer can do nothing but what it was given the right to.

use super::*;

/// What a device may call the lack of a right of the queue pair's.
const REFUSALS: [WorkStatus; 3] =
    [WorkStatus::RemoteInvalidRequest, WorkStatus::RemoteAccess, WorkStatus::RemoteOperation];

fn read(sides: &Sides, from: RemoteWindow) -> Work {
    Work::Read { into: frame(sides, 16), bytes: 16, from }
}

/// The client's memory after a write of the server's that must have failed with `RemoteAccess`.
async fn refused(sides: &Sides, window: Window, to: RemoteWindow) {
    let ends = Ends::connect(sides, RemoteAccess::None, RemoteAccess::ReadWrite);
    let source = filled(&sides.server, &[0xee; 16]);
    let status = failure(&ends.server, write(source.lend(), to)).await;
    assert_eq!(status, WorkStatus::RemoteAccess);
    ends.close().await;
    assert!(window.reclaim().as_slice().iter().all(|byte| *byte == 0));
}

pub(super) async fn a_queue_pair_without_right_refuses(sides: Sides) {
    let source = filled(&sides.server, &[0xee; 16]);
    let window = window(&sides.client, 16, RemoteAccess::ReadWrite);
    for access in [RemoteAccess::None, RemoteAccess::Read] {
        let ends = Ends::connect(&sides, RemoteAccess::None, access);
        let status = failure(&ends.server, write(source.lend(), window.remote())).await;
        assert!(REFUSALS.contains(&status), "a WRITE ended with {status}");
        ends.close().await;
    }
    for access in [RemoteAccess::None, RemoteAccess::Write] {
        let ends = Ends::connect(&sides, RemoteAccess::None, access);
        let status = failure(&ends.server, read(&sides, window.remote())).await;
        assert!(REFUSALS.contains(&status), "a READ ended with {status}");
        ends.close().await;
    }
    assert!(window.reclaim().as_slice().iter().all(|byte| *byte == 0));
}

pub(super) async fn a_window_without_right_refuses(sides: Sides) {
    let readable = window(&sides.client, 16, RemoteAccess::Read);
    let to = readable.remote();
    refused(&sides, readable, to).await;
    let ends = Ends::connect(&sides, RemoteAccess::None, RemoteAccess::ReadWrite);
    let writable = window(&sides.client, 16, RemoteAccess::Write);
    let status = failure(&ends.server, read(&sides, writable.remote())).await;
    assert_eq!(status, WorkStatus::RemoteAccess);
    ends.close().await;
}

pub(super) async fn a_wrong_key_is_refused(sides: Sides) {
    let window = window(&sides.client, 16, RemoteAccess::Write);
    let right = window.remote();
    refused(&sides, window, RemoteWindow { rkey: right.rkey ^ 0x005a_5a00, ..right }).await;
}

pub(super) async fn what_is_out_of_bounds_is_refused(sides: Sides) {
    for (size, address) in [(16, 1), (16, -1), (15, 0), (4096, 4081), (16, 1 << 40)] {
        let window = window(&sides.client, size, RemoteAccess::Write);
        let mut to = window.remote();
        to.address = to.address.wrapping_add_signed(address);
        refused(&sides, window, to).await;
    }
}

pub(super) async fn a_revoked_key_is_refused(sides: Sides) {
    let window = window(&sides.client, 16, RemoteAccess::Write);
    let to = window.remote();
    let buffer = window.revoke().unwrap();
    let again = buffer.expose(RemoteAccess::Write).unwrap();
    assert_ne!(again.remote().rkey, to.rkey);
    refused(&sides, again, to).await;
}

pub(super) async fn a_key_of_another_domain_is_refused(sides: Sides) {
    let own = window(&sides.server, 16, RemoteAccess::ReadWrite);
    let to = own.remote();
    refused(&sides, own, to).await;
}

pub(super) async fn memory_that_is_not_registered_is_refused(sides: Sides) {
    let ends = Ends::connect(&sides, RemoteAccess::ReadWrite, RemoteAccess::ReadWrite);
    let window = window(&sides.client, 4096, RemoteAccess::ReadWrite);
    let loose = Bytes::from(pattern(4096, 1));
    let (_, back) = ends.server.post(write(loose.clone(), window.remote()), true).unwrap_err();
    assert!(matches!(back, Work::Write { source, .. } if source == loose));
    let of_client = filled(&sides.client, &[1; 16]);
    assert!(ends.server.post(write(of_client.lend(), window.remote()), true).is_err());
    let at_server = super::window(&sides.server, 16, RemoteAccess::ReadWrite);
    let (_, back) = ends.client.post(read(&sides, at_server.remote()), true).unwrap_err();
    assert!(matches!(back, Work::Read { into, .. } if into.capacity() >= 16));
    assert_eq!((ends.server.outstanding(), ends.client.outstanding()), (0, 0));
    let gone = filled(&sides.server, &[1; 16]);
    let lent = gone.lend();
    drop(gone);
    post(&ends.server, write(lent, window.remote()));
    success(&ends.server, WorkKind::Write).await;
    ends.close().await;
}
