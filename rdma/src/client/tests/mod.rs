//! Owns the proof of the client's behaviour: a server on the loopback fabric ([`server`]) that is honest unless a test
//! tells it otherwise, reached without HTTP. The clock is tokio's and stands still while anything can run, so that a
//! deadline of a minute costs nothing.

mod device_memory;
mod end_to_end;
mod faults;
mod pooled_gets;
mod pooled_puts;
mod server;
mod session_gets;
mod session_puts;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use datapath::arena::{Arena, ArenaOptions};
use tokio::task::LocalSet;

use super::*;
use crate::fabric::{Buffer, Endpoint, Fabric, Gid, RemoteAccess, loopback};
use server::Server;

/// A client and a server on one network.
struct Bench {
    server: Server,
    client: Client,
    fabric: Arc<dyn Fabric>,
}

impl Bench {
    /// Memory of the client's, filled with `0xee`.
    fn memory(&self, bytes: usize) -> Buffer {
        Buffer::adopt(&*self.fabric, vec![0xee; bytes].into()).expect("memory")
    }

    /// Memory of the client's with these contents.
    fn filled(&self, contents: &[u8]) -> Buffer {
        Buffer::adopt(&*self.fabric, contents.into()).expect("memory")
    }
}

/// Runs a test, and looks afterwards that the client has left no queue pair behind.
fn run(test: impl AsyncFnOnce(&Bench)) {
    run_with(ClientOptions::default(), test);
}

fn run_with(options: ClientOptions, test: impl AsyncFnOnce(&Bench)) {
    const MIB: u64 = 1 << 20;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let arena = Arena::new(&ArenaOptions {
            bytes: 20 * MIB,
            reads_bytes: 8 * MIB,
            reads_growth_bytes: 8 * MIB,
            writes_bytes: MIB,
            writes_growth_bytes: MIB,
            huge_pages: false,
            lock_memory: false,
        })
        .expect("an arena");
        let network = loopback::Network::new();
        let theirs = network.fabric(Gid::from_ipv4(Ipv4Addr::new(192, 0, 2, 1)), Some(&arena));
        let fabric = network.fabric(Gid::from_ipv4(Ipv4Addr::new(192, 0, 2, 2)), None);
        let endpoint = Endpoint::open(&fabric).expect("an endpoint");
        let bench = Bench {
            server: Server::new(&theirs, arena),
            client: Client::new(endpoint.clone(), options),
            fabric,
        };
        test(&bench).await;
        let gone = tokio::time::timeout(Duration::from_secs(20), endpoint.drained()).await;
        assert!(gone.is_ok(), "{} queue pairs are left", endpoint.live_queue_pairs());
        assert_eq!(endpoint.leaked_queue_pairs(), 0);
    });
}

/// Opens the memory again as its next user would: the key that a peer was told before must not come back.
fn opened_anew(memory: Buffer, access: RemoteAccess, told: u32) -> crate::fabric::Window {
    let window = memory.expose(access).expect("registered");
    assert_ne!(window.remote().rkey, told, "the key has outlived the error");
    window
}

/// `bytes` that are not all alike.
fn contents(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 + at / 251) as u8).collect()
}

#[test]
fn capabilities_are_what_the_head_of_the_bucket_says() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        assert_eq!(client.capabilities(server, "b").await, Ok(Capabilities::default()));
        server.after(|request, mut answer| {
            assert_eq!((request.method, request.target.as_str()), (Method::Head, "/b%20c"));
            answer.set(header::CAPABILITIES, "hipobj-rc-v2,pooled-rc, mp,armed,new");
            answer.into()
        });
        let found = client.capabilities(server, "b c").await.expect("words");
        assert!(found.sessions && found.pooled && found.parts && found.armed && !found.off);
        server.after(|_, _| server::Answer::error(403, "AccessDenied").into());
        assert!(matches!(
            client.capabilities(server, "b").await,
            Err(ClientError::Refused { status: 403, .. })
        ));
        server.after(|_, mut answer| {
            answer.set(header::CAPABILITIES, "a;b");
            answer.into()
        });
        assert!(matches!(
            client.capabilities(server, "b").await,
            Err(ClientError::Malformed { .. })
        ));
        server.after(|_, _| server::Reply::Never);
        assert!(matches!(
            client.capabilities(server, "b").await,
            Err(ClientError::Deadline { .. })
        ));
    });
}
