//! The fabric of real devices against one: soft-RoCE will do (`rdma link add rxe0 type rxe netdev eth0`). Both ends of each
//! connection are on the same device. Without a device every test that needs one says `SKIPPED`.
//!
//! Times are generous: emulated machines are slow. What must end, ends by itself.
#![cfg(feature = "verbs")]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use datapath::arena::{Arena, ArenaOptions, Frame, Reservation, Share};
use rdma::fabric::{
    Buffer, Completion, Connected, Connection, Endpoint, Fabric, Gid, Initialised, Payload, Peer,
    Psn, QueuePair, QueuePairOptions, QueuePairShape, RemoteAccess, RemoteWindow, Work, WorkKind,
    WorkStatus,
};
use rdma::limits::{COMPLETION_QUEUE_ENTRIES_MAX, FENCE_TIME};
use rdma::verbs::{VerbsError, VerbsFabric, VerbsOptions, devices};

mod conformance;
#[path = "../../../tests/src/skip.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the integration tests, which need all of it"
)]
mod skip;

const MIB: u64 = 1 << 20;
/// What ends in milliseconds gets this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The device with an arena, and memory of it.
struct Bench {
    fabric: Arc<dyn Fabric>,
    frames: Reservation,
}

impl Bench {
    fn frame(&self) -> Frame {
        self.frames.frame(64 << 10).expect("the reservation holds it")
    }
}

fn arena() -> Arena {
    Arena::new(&ArenaOptions {
        bytes: 32 * MIB,
        reads_bytes: 16 * MIB,
        reads_growth_bytes: 0,
        writes_bytes: 8 * MIB,
        writes_growth_bytes: 0,
        huge_pages: false,
        lock_memory: false,
    })
    .expect("there is memory for an arena")
}

fn open(name: &str) -> Option<(Arc<VerbsFabric>, Arena)> {
    let arena = arena();
    match VerbsFabric::open(&VerbsOptions::default(), Some(&arena)) {
        Ok(fabric) => Some((fabric, arena)),
        Err(VerbsError::NoDevice) => {
            skip::skip(name, "this machine has no RDMA device");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Runs a test on the device, if there is one.
fn on_device<T: Future<Output = ()>>(name: &str, test: impl FnOnce(Bench) -> T) {
    let Some((fabric, arena)) = open(name) else { return };
    let frames = arena.reserve(Share::Reads, 8 * MIB).expect("the arena holds it");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let everything = tokio::task::LocalSet::new();
    everything.block_on(&runtime, async {
        let done = tokio::time::timeout(4 * PATIENCE, test(Bench { fabric, frames })).await;
        done.expect("the test ends");
    });
}

const DEPTH: u32 = 16;

fn initialised(endpoint: &Endpoint, access: RemoteAccess) -> QueuePair<Initialised> {
    let shape = QueuePairShape { send_depth: DEPTH, receive_depth: 4 };
    endpoint.queue_pair(&QueuePairOptions { shape, access }).unwrap()
}

fn peer_of<S>(fabric: &Arc<dyn Fabric>, queue_pair: &QueuePair<S>, psn: u32) -> Peer {
    let (gid, lid) = (fabric.facts().gid, fabric.facts().lid);
    Peer { qpn: queue_pair.number(), gid, lid, psn: Psn::new(psn).unwrap() }
}

fn connection(fabric: &Arc<dyn Fabric>, peer: Peer, psn: u32) -> Connection {
    let local = fabric.local_gid(peer.gid).unwrap();
    let path_mtu = fabric.facts().path_mtu;
    Connection { peer, local, psn: Psn::new(psn).unwrap(), path_mtu }
}

/// Two queue pairs that are connected: that of the server, which may do nothing to it, and that of the client.
fn pair(
    fabric: &Arc<dyn Fabric>,
    server: &Endpoint,
    client: &Endpoint,
) -> (QueuePair<Connected>, QueuePair<Connected>) {
    let ours = initialised(server, RemoteAccess::None);
    let theirs = initialised(client, RemoteAccess::ReadWrite);
    let (here, there) = (peer_of(fabric, &ours, 0xabc), peer_of(fabric, &theirs, 0x123));
    let theirs = theirs.connect(&connection(fabric, here, 0x123)).unwrap();
    (ours.connect(&connection(fabric, there, 0xabc)).unwrap(), theirs)
}

fn filled(fabric: &Arc<dyn Fabric>, bytes: usize, salt: usize) -> Buffer {
    let mut buffer = Buffer::allocate(&**fabric, bytes).unwrap();
    for (place, byte) in buffer.as_mut_slice().unwrap().iter_mut().enumerate() {
        *byte = (place * 31 + salt) as u8;
    }
    buffer
}

fn write(source: &Buffer, to: RemoteWindow, immediate: Option<u32>) -> Work {
    Work::Write { source: source.lend(), to, immediate }
}

async fn next<S>(queue_pair: &QueuePair<S>) -> Completion
where
    QueuePair<S>: Completes,
{
    let completion = tokio::time::timeout(PATIENCE, queue_pair.next_completion()).await;
    completion.expect("a completion comes")
}

trait Completes {
    fn next_completion(&self) -> impl Future<Output = Completion>;
}

impl Completes for QueuePair<Connected> {
    async fn next_completion(&self) -> Completion {
        self.completion().await.unwrap()
    }
}

#[test]
fn devices_tell_what_they_can() {
    let reports = devices().unwrap();
    if reports.is_empty() {
        let error = VerbsFabric::open(&VerbsOptions::default(), None).unwrap_err();
        assert_eq!(error, VerbsError::NoDevice);
        return skip::skip("devices_tell_what_they_can", "this machine has no RDMA device");
    }
    for report in reports {
        println!("{report:#?}");
        let facts = report.facts.unwrap();
        assert!(!report.name.is_empty() && facts.limits.queue_pairs > 0);
        assert!(facts.limits.completion_queue_entries > 0 && !facts.ports.is_empty());
        for port in facts.ports {
            assert!(port.message_bytes_max >= MIB && !port.gids.is_empty());
        }
    }
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let options = VerbsOptions { device: Some("nothing0".to_owned()), ..Default::default() };
    match VerbsFabric::open(&options, None).unwrap_err() {
        VerbsError::NoDevice => {
            skip::skip("a_device_that_is_not_there_is_named", "this machine has no RDMA device")
        }
        error => assert!(error.to_string().starts_with("no RDMA device nothing0"), "{error}"),
    }
}

#[test]
fn a_write_arrives_and_a_read_brings_it_back() {
    on_device("a_write_arrives_and_a_read_brings_it_back", async |bench: Bench| {
        let fabric = &bench.fabric;
        println!("{:?}", fabric.facts());
        assert_eq!((fabric.facts().registered_bytes, fabric.facts().regions), (32 * MIB, 1));
        let (server, client) = (Endpoint::open(fabric).unwrap(), Endpoint::open(fabric).unwrap());
        let (ours, _theirs) = pair(fabric, &server, &client);
        let source = filled(fabric, 50_000, 1);
        let window = Buffer::allocate(&**fabric, 60_000).unwrap();
        let window = window.expose(RemoteAccess::ReadWrite).unwrap();
        let to = window.remote().from_offset(1000).unwrap();
        ours.post(write(&source, to, None), true).unwrap();
        let done = next(&ours).await;
        assert_eq!((done.kind, done.status), (WorkKind::Write, WorkStatus::Success));
        assert!(matches!(&done.payload, Payload::Source(bytes) if bytes.len() == 50_000));
        drop(done);

        let read = Work::Read { into: bench.frame(), bytes: 50_000, from: to };
        ours.post(read, true).unwrap();
        let done = next(&ours).await;
        assert_eq!((done.kind, done.status), (WorkKind::Read, WorkStatus::Success));
        assert_eq!(done.bytes, 50_000);
        let Payload::Frame(frame) = done.payload else { panic!("a READ gives its frame back") };
        assert!(frame.filled() == source.as_slice());

        let written = window.revoke().unwrap();
        assert!(written.as_slice()[1000..51_000] == *source.as_slice());
        assert!(written.as_slice()[..1000].iter().all(|&byte| byte == 0));
        assert!(written.as_slice()[51_000..].iter().all(|&byte| byte == 0));
        assert!(ours.fence().await.clean);
    });
}

#[test]
fn a_link_local_peer_is_reached_from_a_link_local_address() {
    on_device("a_link_local_peer_is_reached_from_a_link_local_address", async |bench: Bench| {
        let fabric = &bench.fabric;
        let somebody = Gid([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        let local = fabric.local_gid(somebody).unwrap();
        assert!(local.is_link_local(), "{local}");
        let endpoint = Endpoint::open(fabric).unwrap();
        let ours = initialised(&endpoint, RemoteAccess::None);
        let theirs = initialised(&endpoint, RemoteAccess::Write);
        let here = Peer { gid: local, ..peer_of(fabric, &ours, 1) };
        let there = Peer { gid: local, ..peer_of(fabric, &theirs, 2) };
        let _theirs = theirs.connect(&connection(fabric, here, 2)).unwrap();
        let ours = ours.connect(&connection(fabric, there, 1)).unwrap();
        let source = filled(fabric, 5000, 14);
        let window = Buffer::allocate(&**fabric, 5000).unwrap();
        let window = window.expose(RemoteAccess::Write).unwrap();
        ours.post(write(&source, window.remote(), None), true).unwrap();
        assert_eq!(next(&ours).await.status, WorkStatus::Success);
        assert!(window.reclaim().as_slice() == source.as_slice());
        let nobody = Connection { local: somebody, ..connection(fabric, there, 1) };
        let refused = initialised(&endpoint, RemoteAccess::None).connect(&nobody);
        let error = refused.err().expect("it is no address of ours");
        assert!(error.reason.contains("is no address of the port"), "{error}");
    });
}

#[test]
fn an_empty_buffer_is_one_too() {
    on_device("an_empty_buffer_is_one_too", async |bench: Bench| {
        let adopted = Buffer::adopt(&*bench.fabric, Box::default()).unwrap();
        assert_eq!((adopted.size(), adopted.lend().len()), (0, 0));
        let window = adopted.expose(RemoteAccess::Read).unwrap();
        assert_eq!(window.remote().size, 0);
        assert!(window.revoke().unwrap().as_slice().is_empty());
    });
}

#[test]
fn a_large_write_is_one_message() {
    on_device("a_large_write_is_one_message", async |bench: Bench| {
        let fabric = &bench.fabric;
        let endpoint = Endpoint::open(fabric).unwrap();
        let (ours, _theirs) = pair(fabric, &endpoint, &endpoint);
        let bytes = 8 * MIB as usize + 3;
        let source = filled(fabric, bytes, 2);
        let window = Buffer::adopt(&**fabric, vec![0; bytes].into_boxed_slice()).unwrap();
        let window = window.expose(RemoteAccess::Write).unwrap();
        ours.post(write(&source, window.remote(), None), true).unwrap();
        assert_eq!(next(&ours).await.status, WorkStatus::Success);
        assert!(window.reclaim().as_slice() == source.as_slice());
    });
}

#[test]
fn an_immediate_consumes_a_receive() {
    on_device("an_immediate_consumes_a_receive", async |bench: Bench| {
        let fabric = &bench.fabric;
        let (server, client) = (Endpoint::open(fabric).unwrap(), Endpoint::open(fabric).unwrap());
        let (ours, theirs) = pair(fabric, &server, &client);
        let source = filled(fabric, 5000, 3);
        let window = Buffer::allocate(&**fabric, 5000).unwrap();
        let window = window.expose(RemoteAccess::Write).unwrap();
        theirs.post_receive().unwrap();
        theirs.post_receive().unwrap();
        ours.post(write(&source, window.remote(), Some(0x0102_0304)), false).unwrap();
        let nothing = Work::Write {
            source: bytes::Bytes::new(),
            to: window.remote(),
            immediate: Some(0xfffe_fdfc),
        };
        ours.post(nothing, true).unwrap();
        for (immediate, bytes) in [(0x0102_0304, 5000), (0xfffe_fdfc, 0)] {
            let told = next(&theirs).await;
            assert_eq!((told.kind, told.status), (WorkKind::Receive, WorkStatus::Success));
            assert_eq!((told.immediate, told.bytes), (Some(immediate), bytes));
        }
        for _ in 0..2 {
            let done = next(&ours).await;
            assert_eq!((done.kind, done.status), (WorkKind::Write, WorkStatus::Success));
        }
        assert_eq!((ours.outstanding(), theirs.outstanding()), (0, 0));
        assert!(window.reclaim().as_slice() == source.as_slice());
    });
}

#[test]
fn an_immediate_waits_for_a_receive() {
    on_device("an_immediate_waits_for_a_receive", async |bench: Bench| {
        let fabric = &bench.fabric;
        let endpoint = Endpoint::open(fabric).unwrap();
        let (ours, theirs) = pair(fabric, &endpoint, &endpoint);
        let source = filled(fabric, 100, 4);
        let window = Buffer::allocate(&**fabric, 100).unwrap();
        let window = window.expose(RemoteAccess::Write).unwrap();
        ours.post(write(&source, window.remote(), Some(7)), true).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(ours.completed().is_none(), "the peer has posted no receive");
        theirs.post_receive().unwrap();
        assert_eq!(next(&theirs).await.immediate, Some(7));
        assert_eq!(next(&ours).await.status, WorkStatus::Success);
    });
}

#[test]
fn what_was_not_allowed_is_refused() {
    on_device("what_was_not_allowed_is_refused", async |bench: Bench| {
        let fabric = &bench.fabric;
        let endpoint = Endpoint::open(fabric).unwrap();
        let source = filled(fabric, 100, 5);
        let try_write = async |to: RemoteWindow| {
            let (ours, _theirs) = pair(fabric, &endpoint, &endpoint);
            ours.post(write(&source, to, None), true).unwrap();
            next(&ours).await.status
        };
        let window = Buffer::allocate(&**fabric, 100).unwrap();
        let window = window.expose(RemoteAccess::Read).unwrap();
        assert_eq!(try_write(window.remote()).await, WorkStatus::RemoteAccess);
        let window = window.reclaim().expose(RemoteAccess::Write).unwrap();
        let key = window.remote();
        assert_eq!(try_write(key).await, WorkStatus::Success);
        let beyond = RemoteWindow { address: key.address + 1, ..key };
        assert_eq!(try_write(beyond).await, WorkStatus::RemoteAccess);
        // Given back and opened again with the same right, it keeps its key.
        let window = window.reclaim().expose(RemoteAccess::Write).unwrap();
        assert_eq!(window.remote(), key);
        let buffer = window.revoke().unwrap();
        assert!(buffer.as_slice() == source.as_slice());
        assert_eq!(try_write(key).await, WorkStatus::RemoteAccess);
        assert!(buffer.as_slice() == source.as_slice());
    });
}

#[test]
fn a_fence_ends_what_a_silent_peer_leaves() {
    on_device("a_fence_ends_what_a_silent_peer_leaves", async |bench: Bench| {
        let fabric = &bench.fabric;
        let endpoint = Endpoint::open(fabric).unwrap();
        // The peer stays in INIT, where nothing is answered.
        let theirs = initialised(&endpoint, RemoteAccess::ReadWrite);
        let ours = initialised(&endpoint, RemoteAccess::None);
        let there = peer_of(fabric, &theirs, 0x123);
        let ours = ours.connect(&connection(fabric, there, 0xabc)).unwrap();
        let source = filled(fabric, 100, 6);
        let window = Buffer::allocate(&**fabric, 100).unwrap();
        let window = window.expose(RemoteAccess::ReadWrite).unwrap();
        for _ in 0..4 {
            ours.post(write(&source, window.remote(), None), false).unwrap();
        }
        let read = Work::Read { into: bench.frame(), bytes: 100, from: window.remote() };
        ours.post(read, true).unwrap();
        ours.post_receive().unwrap();
        let before = bench.frames.used_bytes();
        assert!(before > 0);
        let fenced = ours.fence().await;
        assert!(fenced.clean && fenced.took < FENCE_TIME, "{fenced:?}");
        assert_eq!(bench.frames.used_bytes(), 0, "the frame has come back");
        let mut source = source;
        assert!(source.as_mut_slice().is_some(), "what was lent has come back");
        assert!(theirs.fence().await.clean);
        assert_eq!((endpoint.live_queue_pairs(), endpoint.leaked_queue_pairs()), (0, 0));
    });
}

#[test]
fn a_fence_does_not_wait_for_unsignalled_successes() {
    on_device("a_fence_does_not_wait_for_unsignalled_successes", async |bench: Bench| {
        let fabric = &bench.fabric;
        let endpoint = Endpoint::open(fabric).unwrap();
        let (ours, _theirs) = pair(fabric, &endpoint, &endpoint);
        let source = filled(fabric, 100, 7);
        let window = Buffer::allocate(&**fabric, 100).unwrap();
        let window = window.expose(RemoteAccess::Write).unwrap();
        for _ in 0..3 {
            ours.post(write(&source, window.remote(), None), false).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(ours.outstanding(), 3, "nothing tells of what was not signalled");
        let fenced = ours.fence().await;
        assert!(fenced.clean && fenced.took < FENCE_TIME, "{fenced:?}");
        assert!(window.reclaim().as_slice() == source.as_slice());
    });
}

#[test]
fn a_dead_peer_shows() {
    on_device("a_dead_peer_shows", async |bench: Bench| {
        let fabric = &bench.fabric;
        let endpoint = Endpoint::open(fabric).unwrap();
        let (ours, theirs) = pair(fabric, &endpoint, &endpoint);
        assert!(theirs.fence().await.clean);
        let source = filled(fabric, 100, 8);
        let window = Buffer::allocate(&**fabric, 100).unwrap();
        let window = window.expose(RemoteAccess::Write).unwrap();
        ours.post(write(&source, window.remote(), None), true).unwrap();
        ours.post(write(&source, window.remote(), None), false).unwrap();
        assert_eq!(next(&ours).await.status, WorkStatus::RetryExceeded);
        assert_eq!(next(&ours).await.status, WorkStatus::Flushed);
        assert!(window.reclaim().as_slice().iter().all(|&byte| byte == 0));
    });
}

#[test]
fn a_queue_pair_is_armed_again() {
    on_device("a_queue_pair_is_armed_again", async |bench: Bench| {
        let fabric = &bench.fabric;
        let endpoint = Endpoint::open(fabric).unwrap();
        let (ours, theirs) = pair(fabric, &endpoint, &endpoint);
        assert!(theirs.fence().await.clean);
        ours.post_receive().unwrap();
        let source = filled(fabric, 100, 9);
        let window = Buffer::allocate(&**fabric, 100).unwrap();
        let window = window.expose(RemoteAccess::Write).unwrap();
        ours.post(write(&source, window.remote(), None), false).unwrap();
        let number = ours.number();
        let ours = ours.rearm().await.unwrap();
        assert_eq!((ours.number(), ours.outstanding()), (number, 0));
        let theirs = initialised(&endpoint, RemoteAccess::ReadWrite);
        let (here, there) = (peer_of(fabric, &ours, 5), peer_of(fabric, &theirs, 6));
        let _theirs = theirs.connect(&connection(fabric, here, 6)).unwrap();
        let ours = ours.connect(&connection(fabric, there, 5)).unwrap();
        ours.post(write(&source, window.remote(), None), true).unwrap();
        assert_eq!(next(&ours).await.status, WorkStatus::Success);
        assert!(window.reclaim().as_slice() == source.as_slice());
    });
}

#[test]
fn only_registered_memory_and_room_are_posted() {
    on_device("only_registered_memory_and_room_are_posted", async |bench: Bench| {
        let fabric = &bench.fabric;
        let endpoint = Endpoint::open(fabric).unwrap();
        let (ours, _theirs) = pair(fabric, &endpoint, &endpoint);
        let to = RemoteWindow { address: 4096, size: 4096, rkey: 1 };
        let stranger = bytes::Bytes::from(vec![1; 100]);
        let work = Work::Write { source: stranger, to, immediate: Some(3) };
        let (error, work) = ours.post(work, true).unwrap_err();
        assert!(error.reason.contains("do not lie in registered memory"), "{error}");
        let Work::Write { source, immediate: Some(3), .. } = work else { panic!("{work:?}") };
        assert_eq!(source.len(), 100);
        let elsewhere = arena();
        let frames = elsewhere.reserve(Share::Reads, MIB).unwrap();
        let into = frames.frame(4096).unwrap();
        let (error, _) = ours.post(Work::Read { into, bytes: 1, from: to }, true).unwrap_err();
        assert!(error.reason.contains("do not lie in registered memory"), "{error}");
        let into = bench.frame();
        let (error, _) =
            ours.post(Work::Read { into, bytes: MIB as usize, from: to }, true).unwrap_err();
        assert!(error.reason.contains("into a frame of 65536"), "{error}");

        let (ours, _theirs) = pair(fabric, &endpoint, &endpoint);
        let source = filled(fabric, 100, 10);
        let window = Buffer::allocate(&**fabric, 100).unwrap();
        let window = window.expose(RemoteAccess::Write).unwrap();
        for _ in 0..DEPTH {
            ours.post(write(&source, window.remote(), None), false).unwrap();
        }
        let (error, _) = ours.post(write(&source, window.remote(), None), true).unwrap_err();
        assert!(error.reason.contains("the send queue is full"), "{error}");
        // The last place was signalled unasked, so that the queue empties.
        for _ in 0..DEPTH {
            assert_eq!(next(&ours).await.status, WorkStatus::Success);
        }
        for _ in 0..4 {
            ours.post_receive().unwrap();
        }
        assert!(ours.post_receive().unwrap_err().reason.contains("the receive queue is full"));
    });
}

#[test]
fn work_that_the_kernel_refuses_comes_back() {
    const NAME: &str = "work_that_the_kernel_refuses_comes_back";
    // Credentials are a thread's: only this one loses the device.
    let tested = std::thread::spawn(|| {
        on_device(NAME, async |bench: Bench| {
            let fabric = &bench.fabric;
            if !fabric.facts().device.starts_with("rxe") {
                return skip::skip(NAME, "only soft-RoCE posts by a system call");
            }
            let endpoint = Endpoint::open(fabric).unwrap();
            let (ours, _theirs) = pair(fabric, &endpoint, &endpoint);
            let mut source = filled(fabric, 100, 15);
            let window = Buffer::allocate(&**fabric, 100).unwrap();
            let window = window.expose(RemoteAccess::ReadWrite).unwrap();
            let to = window.remote();
            ours.post(write(&source, to, Some(1)), false).unwrap();
            rustix::thread::set_keep_capabilities(true).unwrap();
            let into = bench.frame();
            let (error, work) =
                ours.post(Work::Read { into, bytes: 9, from: to }, true).unwrap_err();
            println!("{error}");
            assert!(error.reason.contains("credentials"), "{error}");
            let Work::Read { into, bytes: 9, from } = work else { panic!("{work:?}") };
            assert_eq!((into.capacity(), from), (64 << 10, to));
            assert!(ours.post(write(&source, to, None), true).is_err(), "it does not go on");
            assert!(ours.fence().await.clean);
            assert!(source.as_mut_slice().is_some(), "what was in flight has come back");
        });
    });
    tested.join().unwrap();
}

#[test]
fn what_is_lent_is_not_opened_for_writing() {
    on_device("what_is_lent_is_not_opened_for_writing", async |bench: Bench| {
        let buffer = filled(&bench.fabric, 100, 11);
        let lent = buffer.lend();
        let window = buffer.expose(RemoteAccess::Read).unwrap();
        let mut buffer = window.reclaim();
        assert!(buffer.as_mut_slice().is_none());
        assert_eq!(lent[..], *buffer.as_slice());
        let error = buffer.expose(RemoteAccess::Write).unwrap_err();
        assert!(error.reason.contains("still lent"), "{error}");
        assert_eq!(lent[1], 31 + 11, "the memory lives as long as what was lent");
    });
}

#[test]
fn many_queue_pairs_share_a_completion_queue() {
    on_device("many_queue_pairs_share_a_completion_queue", async |bench: Bench| {
        let fabric = &bench.fabric;
        let endpoint = Endpoint::open(fabric).unwrap();
        let source = filled(fabric, 64, 12);
        let window = Buffer::allocate(&**fabric, 64).unwrap();
        let window = window.expose(RemoteAccess::Write).unwrap();
        let pairs: Vec<_> = (0..32).map(|_| pair(fabric, &endpoint, &endpoint)).collect();
        for (place, (ours, _)) in pairs.iter().enumerate() {
            for _ in 0..=place % 5 {
                ours.post(write(&source, window.remote(), None), true).unwrap();
            }
        }
        for (place, (ours, _)) in pairs.iter().enumerate() {
            for _ in 0..=place % 5 {
                let done = next(ours).await;
                assert_eq!((done.status, done.queue_pair), (WorkStatus::Success, ours.number()));
            }
            assert!(ours.completed().is_none() && ours.outstanding() == 0);
        }
        drop(pairs);
        tokio::time::timeout(PATIENCE, endpoint.drained()).await.expect("dropped ones are fenced");
        assert_eq!((endpoint.live_queue_pairs(), endpoint.leaked_queue_pairs()), (0, 0));
    });
}

#[test]
fn a_completion_queue_grows_and_never_overruns() {
    on_device("a_completion_queue_grows_and_never_overruns", async |bench: Bench| {
        let endpoint = Endpoint::open(&bench.fabric).unwrap();
        let made = |send_depth| {
            let shape = QueuePairShape { send_depth, receive_depth: 1 };
            let access = RemoteAccess::None;
            endpoint.queue_pair(&QueuePairOptions { shape, access })
        };
        // More than the queue has as it is made.
        let some: Vec<_> = (0..12).map(|_| made(500).unwrap()).collect();
        assert_eq!(endpoint.live_queue_pairs(), 12);
        let error = made(COMPLETION_QUEUE_ENTRIES_MAX).err().expect("it has no such room");
        assert!(error.reason.contains("use fewer connections"), "{error}");
        assert_eq!(endpoint.live_queue_pairs(), 12);
        for queue_pair in some {
            assert!(queue_pair.fence().await.clean);
        }
        // What they had is free again.
        let again: Vec<_> = (0..12).map(|_| made(500).unwrap()).collect();
        drop(again);
        endpoint.drained().await;
    });
}

#[test]
fn no_event_is_lost() {
    on_device("no_event_is_lost", async |bench: Bench| {
        let fabric = &bench.fabric;
        let (server, client) = (Endpoint::open(fabric).unwrap(), Endpoint::open(fabric).unwrap());
        let (ours, theirs) = pair(fabric, &server, &client);
        let source = filled(fabric, 8, 13);
        let window = Buffer::allocate(&**fabric, 8).unwrap();
        let window = window.expose(RemoteAccess::Write).unwrap();
        for round in 0..3000_u32 {
            theirs.post_receive().unwrap();
            ours.post(write(&source, window.remote(), Some(round)), true).unwrap();
            assert_eq!(next(&theirs).await.immediate, Some(round));
            assert_eq!(next(&ours).await.status, WorkStatus::Success);
        }
    });
}

#[cfg(feature = "gpu")]
#[test]
fn a_descriptor_that_is_no_dmabuf_is_refused() {
    use std::os::fd::AsFd;

    let Some((fabric, _arena)) = open("a_descriptor_that_is_no_dmabuf_is_refused") else { return };
    let file = std::fs::File::open("/dev/null").unwrap();
    let refused = fabric.register_dmabuf(file.as_fd(), 0, 4096, 4096, RemoteAccess::Read);
    let error = refused.unwrap_err();
    println!("{error}");
    assert_eq!(error.verb, "ibv_reg_dmabuf_mr");
    assert!(error.reason.contains("4096 bytes at 0 of descriptor"), "{error}");
}

/// A network interface of its own with a soft-RoCE device on it, for as long as this exists.
struct OwnDevice(&'static str);

impl OwnDevice {
    /// None where such devices can't be made: not soft-RoCE, or not root.
    fn make(name: &'static str) -> Option<OwnDevice> {
        let made = OwnDevice(name);
        let link = format!("link add {name} type dummy");
        let done = run("ip", &link)
            && run("ip", &format!("address add 192.0.2.77/24 dev {name}"))
            && run("ip", &format!("link set {name} up"))
            && run("rdma", &format!("link add {name}r type rxe netdev {name}"));
        done.then_some(made)
    }
}

impl Drop for OwnDevice {
    fn drop(&mut self) {
        run("rdma", &format!("link delete {}r", self.0));
        run("ip", &format!("link delete {}", self.0));
    }
}

fn run(program: &str, arguments: &str) -> bool {
    let done = std::process::Command::new(program).args(arguments.split(' ')).status();
    done.is_ok_and(|status| status.success())
}

async fn becomes(what: &str, is_so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}"));
}

#[test]
fn a_device_tells_of_its_link() {
    const NAME: &str = "a_device_tells_of_its_link";
    if open(NAME).is_none() {
        return;
    }
    let Some(_own) = OwnDevice::make("dummy7") else {
        return skip::skip(NAME, "no soft-RoCE device can be made here");
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let options = VerbsOptions { device: Some("dummy7r".to_owned()), ..Default::default() };
        let fabric: Arc<dyn Fabric> = VerbsFabric::open(&options, None).unwrap();
        // Two on one thread: each is woken by each event.
        let _both = (Endpoint::open(&fabric).unwrap(), Endpoint::open(&fabric).unwrap());
        let before = fabric.health();
        assert!(before.port_active && before.failed.is_none(), "{before:?}");
        assert!(run("ip", "link set dummy7 down"));
        becomes("the link is lost", || !fabric.health().port_active).await;
        assert!(run("ip", "link set dummy7 up"));
        becomes("the link is back", || fabric.health().port_active).await;
        let after = fabric.health();
        println!("{after:?}");
        assert!(after.port_losses > before.port_losses && after.failed.is_none(), "{after:?}");
    });
}
