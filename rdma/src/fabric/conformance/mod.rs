//! *Owns:* what every fabric must do, as checks over two of them, one with an arena: real devices pass the same list as
//! those in memory. A check panics where the fabric is wrong.
//!
//! What devices may do differently (how long retries take, which of two errors a refused right is, whether a queue is
//! deeper than asked) is left open.
//!
//! | file | checks |
//! |---|---|
//! | `movement` | bytes arrive where they should, in both directions, with immediates |
//! | `rights` | what a peer may not do |
//! | `queues` | completions: one each, in order, also of what is unsignalled or flushed |
//! | `lifecycle` | connecting, fencing, arming anew, dropping |
//!
//! *Limits:* `limits.rs`, section Conformance.

mod lifecycle;
mod movement;
mod queues;
mod rights;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use datapath::arena::{Arena, Frame, Share};

use super::address::{Mtu, Psn, RemoteWindow};
use super::buffer::{Buffer, Window};
use super::driver::{Fabric, Local, QueuePairShape, RemoteAccess};
use super::endpoint::Endpoint;
use super::queue_pair::{Connected, Connection, Initialised, QueuePair, QueuePairOptions};
use super::work::{Completion, Work, WorkKind, WorkStatus};
use super::{Gid, Peer, Qpn};
use crate::limits::{CONFORMANCE_CHECK_TIME, CONFORMANCE_COMPLETION_TIME, CONFORMANCE_QUIET_TIME};

/// The two fabrics; they must reach each other, and be protection domains of their own.
#[derive(Clone)]
pub struct Sides {
    /// The one in which the arena is registered.
    pub server: Arc<dyn Fabric>,
    /// The other.
    pub client: Arc<dyn Fabric>,
    /// At least 4 MiB of it for reads.
    pub arena: Arena,
}

/// One check.
pub type Check = fn(Sides) -> Local<'static, ()>;

/// Calls a macro of the caller's with all checks' names, behind its arguments in brackets: for a test of each.
///
/// ```ignore
/// macro_rules! tests {
///     ([] $($name:ident)*) => { $(#[test] fn $name() { on_my_fabric(stringify!($name)); })* };
/// }
/// rdma::for_each_fabric_check!(tests);
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_fabric_check {
    ($callback:ident $($argument:tt)*) => {
        $callback! { [$($argument)*]
            writes_of_all_sizes_arrive
            reads_of_all_sizes_arrive
            immediates_carry_value_and_size
            both_ends_write_at_once
            many_queue_pairs_share_an_endpoint
            a_window_opened_again_keeps_its_key
            lent_memory_is_not_written
            a_receive_posted_late_is_waited_for
            a_queue_pair_without_right_refuses
            a_window_without_right_refuses
            a_wrong_key_is_refused
            what_is_out_of_bounds_is_refused
            a_revoked_key_is_refused
            a_key_of_another_domain_is_refused
            memory_that_is_not_registered_is_refused
            work_completes_once_and_in_order
            unsignalled_work_completes_with_what_follows
            what_follows_an_error_is_flushed_in_order
            a_read_that_fails_gives_its_frame_back
            work_posted_after_an_error_is_not_executed
            a_full_queue_gives_the_work_back
            a_peer_that_is_not_ready_is_not_waited_for_for_ever
            sequence_numbers_must_agree
            path_mtus_must_agree
            a_fence_ends_work_in_flight
            a_fence_ends_what_the_peer_may_do
            a_queue_pair_is_armed_anew
            what_is_dropped_is_fenced
        }
    };
}

macro_rules! list {
    ([] $($name:ident)*) => {
        /// All checks, by name.
        pub const CHECKS: &[(&str, Check)] = &[$((stringify!($name), |sides| Box::pin($name(sides)))),*];
    };
}

use lifecycle::*;
use movement::*;
use queues::*;
use rights::*;

crate::for_each_fabric_check!(list);

/// Runs the check of this name. Within a `LocalSet`.
///
/// # Panics
/// When the fabric does not conform, when the check takes too long, and when there is none of that name.
pub async fn run(name: &str, sides: Sides) {
    let found = CHECKS.iter().find(|(known, _)| *known == name);
    let (_, check) = found.unwrap_or_else(|| panic!("there is no check {name}"));
    let done = tokio::time::timeout(CONFORMANCE_CHECK_TIME, check(sides)).await;
    assert!(done.is_ok(), "{name} took longer than {CONFORMANCE_CHECK_TIME:?}");
}

/// Depths of the queues of a check that says nothing else.
const SHAPE: QueuePairShape = QueuePairShape { send_depth: 16, receive_depth: 4 };

/// A pair of queue pairs that are connected, and their endpoints.
struct Ends {
    server_endpoint: Endpoint,
    client_endpoint: Endpoint,
    server: QueuePair<Connected>,
    client: QueuePair<Connected>,
}

impl Ends {
    /// With these rights for the peer of each.
    fn connect(sides: &Sides, server_access: RemoteAccess, client_access: RemoteAccess) -> Ends {
        let server_endpoint = Endpoint::open(&sides.server).unwrap();
        let client_endpoint = Endpoint::open(&sides.client).unwrap();
        let (server, client) =
            pair(sides, [&server_endpoint, &client_endpoint], [server_access, client_access]);
        Ends { server_endpoint, client_endpoint, server, client }
    }

    /// Fences both and sees that nothing is left.
    async fn close(self) {
        assert!(self.server.fence().await.clean);
        assert!(self.client.fence().await.clean);
        within("the endpoints drain", self.server_endpoint.drained()).await;
        within("the endpoints drain", self.client_endpoint.drained()).await;
    }
}

/// Two more queue pairs, connected.
fn pair(
    sides: &Sides,
    endpoints: [&Endpoint; 2],
    access: [RemoteAccess; 2],
) -> (QueuePair<Connected>, QueuePair<Connected>) {
    let server = initialised(endpoints[0], access[0]);
    let client = initialised(endpoints[1], access[1]);
    join(sides, server, client)
}

fn initialised(endpoint: &Endpoint, access: RemoteAccess) -> QueuePair<Initialised> {
    endpoint.queue_pair(&QueuePairOptions { shape: SHAPE, access }).unwrap()
}

fn join(
    sides: &Sides,
    server: QueuePair<Initialised>,
    client: QueuePair<Initialised>,
) -> (QueuePair<Connected>, QueuePair<Connected>) {
    let (server_psn, client_psn) = (psn(0x00_1234), psn(0xff_fff0));
    let to_client = connection(sides, client.number(), server_psn, client_psn);
    let to_server = reversed(sides, server.number(), server_psn, client_psn);
    (server.connect(&to_client).unwrap(), client.connect(&to_server).unwrap())
}

/// How the server reaches a queue pair of the client's.
fn connection(sides: &Sides, qpn: Qpn, own: Psn, psn: Psn) -> Connection {
    reach([&sides.server, &sides.client], qpn, own, psn)
}

/// How the client reaches one of the server's.
fn reversed(sides: &Sides, qpn: Qpn, psn: Psn, own: Psn) -> Connection {
    reach([&sides.client, &sides.server], qpn, own, psn)
}

fn reach([from, to]: [&Arc<dyn Fabric>; 2], qpn: Qpn, own: Psn, psn: Psn) -> Connection {
    let local: Gid = from.local_gid(to.facts().gid).unwrap();
    let gid = to.local_gid(local).unwrap();
    let path_mtu: Mtu = from.facts().path_mtu.min(to.facts().path_mtu);
    let peer = Peer { qpn, gid, lid: to.facts().lid, psn };
    Connection { peer, local, psn: own, path_mtu }
}

fn psn(number: u32) -> Psn {
    Psn::new(number).unwrap()
}

/// Bytes that differ from place to place and from seed to seed.
fn pattern(size: usize, seed: u8) -> Vec<u8> {
    (0..size).map(|index| (index as u8) ^ ((index >> 8) as u8).wrapping_mul(31) ^ seed).collect()
}

/// Registered memory with this in it.
fn filled(fabric: &Arc<dyn Fabric>, content: &[u8]) -> Buffer {
    let mut buffer = Buffer::allocate(&**fabric, content.len()).unwrap();
    buffer.as_mut_slice().expect("nothing was lent").copy_from_slice(content);
    buffer
}

/// Zeros that are open to peers.
fn window(fabric: &Arc<dyn Fabric>, bytes: usize, access: RemoteAccess) -> Window {
    Buffer::allocate(&**fabric, bytes).unwrap().expose(access).unwrap()
}

fn write(source: Bytes, to: RemoteWindow) -> Work {
    Work::Write { source, to, immediate: None }
}

fn write_with(source: Bytes, to: RemoteWindow, value: u32) -> Work {
    Work::Write { source, to, immediate: Some(value) }
}

fn frame(sides: &Sides, bytes: usize) -> Frame {
    sides.arena.reserve(Share::Reads, bytes as u64).unwrap().frame(bytes).unwrap()
}

fn post(queue_pair: &QueuePair<Connected>, work: Work) {
    queue_pair.post(work, true).unwrap();
}

/// The next completion, which must come in time.
async fn next(queue_pair: &QueuePair<Connected>) -> Completion {
    within("a completion comes", queue_pair.completion()).await.unwrap()
}

/// The next completion, of this kind and successful.
async fn success(queue_pair: &QueuePair<Connected>, kind: WorkKind) -> Completion {
    let completion = next(queue_pair).await;
    assert_eq!((completion.kind, completion.status), (kind, WorkStatus::Success));
    assert_eq!(completion.queue_pair, queue_pair.number());
    completion
}

/// Posts work that must fail; how it did.
async fn failure(queue_pair: &QueuePair<Connected>, work: Work) -> WorkStatus {
    post(queue_pair, work);
    let status = next(queue_pair).await.status;
    assert_ne!(status, WorkStatus::Success);
    status
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(CONFORMANCE_COMPLETION_TIME, future).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("not within {CONFORMANCE_COMPLETION_TIME:?}: {what}"),
    }
}

#[cfg(test)]
mod tests;
