//! Owns the checks of a queue pair's life: what its ends must agree on, and that nothing outlives it.

use super::*;

pub(super) async fn a_peer_that_is_not_ready_is_not_waited_for_for_ever(sides: Sides) {
    let server_endpoint = Endpoint::open(&sides.server).unwrap();
    let client_endpoint = Endpoint::open(&sides.client).unwrap();
    let client = initialised(&client_endpoint, RemoteAccess::Write);
    let server = initialised(&server_endpoint, RemoteAccess::None);
    let to_client = connection(&sides, client.number(), psn(5), psn(6));
    let server = server.connect(&to_client).unwrap();
    let source = filled(&sides.server, &[0xee; 64]);
    let window = window(&sides.client, 64, RemoteAccess::Write);
    let status = failure(&server, write(source.lend(), window.remote())).await;
    assert_eq!(status, WorkStatus::RetryExceeded);
    assert!(server.fence().await.clean);
    assert!(client.fence().await.clean);
    assert!(window.reclaim().as_slice().iter().all(|byte| *byte == 0));
}

/// A server and a client that see their connection differently.
fn disagreeing(
    sides: &Sides,
    adjust: impl FnOnce(&mut Connection),
) -> (QueuePair<Connected>, QueuePair<Connected>) {
    let server = initialised(&Endpoint::open(&sides.server).unwrap(), RemoteAccess::None);
    let client = initialised(&Endpoint::open(&sides.client).unwrap(), RemoteAccess::Write);
    let to_client = connection(sides, client.number(), psn(0x500), psn(0x600));
    let mut to_server = reversed(sides, server.number(), psn(0x500), psn(0x600));
    adjust(&mut to_server);
    (server.connect(&to_client).unwrap(), client.connect(&to_server).unwrap())
}

pub(super) async fn sequence_numbers_must_agree(sides: Sides) {
    // Ahead of what is expected: a gap, which is asked for again and never comes.
    let (server, client) = disagreeing(&sides, |connection| connection.peer.psn = psn(0x4f0));
    let source = filled(&sides.server, &[0xee; 64]);
    let window = window(&sides.client, 64, RemoteAccess::Write);
    let status = failure(&server, write(source.lend(), window.remote())).await;
    assert_eq!(status, WorkStatus::RetryExceeded);
    assert!(server.fence().await.clean);
    assert!(client.fence().await.clean);
    assert!(window.reclaim().as_slice().iter().all(|byte| *byte == 0));
}

pub(super) async fn path_mtus_must_agree(sides: Sides) {
    let (server, client) = disagreeing(&sides, |connection| connection.path_mtu = Mtu::B256);
    let source = filled(&sides.server, &pattern(4096, 1));
    let window = window(&sides.client, 4096, RemoteAccess::Write);
    post(&server, write(source.lend().slice(..256), window.remote()));
    success(&server, WorkKind::Write).await;
    failure(&server, write(source.lend(), window.remote())).await;
    assert!(server.fence().await.clean);
    assert!(client.fence().await.clean);
    assert!(window.reclaim().as_slice()[..256] == source.as_slice()[..256]);
}

pub(super) async fn a_fence_ends_work_in_flight(sides: Sides) {
    let ends = Ends::connect(&sides, RemoteAccess::Write, RemoteAccess::None);
    let staging = window(&sides.server, 1 << 20, RemoteAccess::Write);
    let source = filled(&sides.client, &[0xee; 1 << 20]);
    // Nobody receives the first, so that what is behind it waits.
    post(&ends.client, write_with(source.lend().slice(..1), staging.remote(), 1));
    for _ in 1..SHAPE.send_depth {
        post(&ends.client, write(source.lend(), staging.remote()));
    }
    let fenced = within("the fence", ends.client.fence()).await;
    assert!(fenced.clean);
    within("the endpoint drains", ends.client_endpoint.drained()).await;
    assert_eq!(ends.client_endpoint.live_queue_pairs(), 0);
    // What was on its way arrives soon or never.
    tokio::time::sleep(CONFORMANCE_QUIET_TIME).await;
    let before = staging.reclaim();
    let seen = before.as_slice().to_vec();
    let staging = before.expose(RemoteAccess::Write).unwrap();
    tokio::time::sleep(CONFORMANCE_QUIET_TIME).await;
    assert!(staging.reclaim().as_slice() == seen);
    let mut source = source;
    assert!(source.as_mut_slice().is_some(), "the memory of flushed work came back");
    assert!(within("the fence", ends.server.fence()).await.clean);
}

pub(super) async fn a_fence_ends_what_the_peer_may_do(sides: Sides) {
    let ends = Ends::connect(&sides, RemoteAccess::Write, RemoteAccess::None);
    let staging = window(&sides.server, 4096, RemoteAccess::Write);
    let source = filled(&sides.client, &[0xee; 4096]);
    ends.server.post_receive().unwrap();
    post(&ends.client, write_with(source.lend().slice(..1), staging.remote(), 1));
    success(&ends.server, WorkKind::Receive).await;
    assert!(within("the fence", ends.server.fence()).await.clean);
    success(&ends.client, WorkKind::Write).await;
    let status = failure(&ends.client, write(source.lend(), staging.remote())).await;
    assert_eq!(status, WorkStatus::RetryExceeded);
    let staging = staging.reclaim();
    assert_eq!(staging.as_slice()[0], 0xee);
    assert!(staging.as_slice()[1..].iter().all(|byte| *byte == 0));
    assert!(ends.client.fence().await.clean);
}

pub(super) async fn a_queue_pair_is_armed_anew(sides: Sides) {
    let server_endpoint = Endpoint::open(&sides.server).unwrap();
    let client_endpoint = Endpoint::open(&sides.client).unwrap();
    let client = initialised(&client_endpoint, RemoteAccess::Write);
    let server = initialised(&server_endpoint, RemoteAccess::None);
    let number = server.number();
    let to_client = connection(&sides, client.number(), psn(5), psn(6));
    let server = server.connect(&to_client).unwrap();
    server.post_receive().unwrap();
    let source = filled(&sides.server, &pattern(64, 1));
    let window = window(&sides.client, 64, RemoteAccess::Write);
    post(&server, write(source.lend(), window.remote()));
    let server = within("arming anew", server.rearm()).await.unwrap();
    assert_eq!((server.number(), server.outstanding()), (number, 0));
    let (server, client) = join(&sides, server, client);
    post(&server, write(source.lend(), window.remote()));
    success(&server, WorkKind::Write).await;
    assert!(window.reclaim().as_slice() == source.as_slice());
    assert!(server.fence().await.clean);
    assert!(client.fence().await.clean);
}

pub(super) async fn what_is_dropped_is_fenced(sides: Sides) {
    let ends = Ends::connect(&sides, RemoteAccess::Write, RemoteAccess::Write);
    let Ends { server_endpoint, client_endpoint, server, client, .. } = ends;
    let mut source = filled(&sides.client, &[1; 65_536]);
    let staging = window(&sides.server, 65_536, RemoteAccess::Write);
    server.post_receive().unwrap();
    for _ in 0..4 {
        post(&client, write(source.lend(), staging.remote()));
    }
    drop(client);
    drop(server);
    drop(initialised(&client_endpoint, RemoteAccess::None));
    within("the endpoint drains", client_endpoint.drained()).await;
    within("the endpoint drains", server_endpoint.drained()).await;
    assert_eq!(client_endpoint.live_queue_pairs() + server_endpoint.live_queue_pairs(), 0);
    assert_eq!(client_endpoint.leaked_queue_pairs() + server_endpoint.leaked_queue_pairs(), 0);
    assert!(source.as_mut_slice().is_some());
    // A fence that is given up goes on by itself.
    let pair = Ends::connect(&sides, RemoteAccess::None, RemoteAccess::None);
    pair.server.post_receive().unwrap();
    drop(std::future::IntoFuture::into_future(pair.server.fence()));
    within("the endpoint drains", pair.server_endpoint.drained()).await;
}
