//! Owns tests of what only a fabric in memory does: its own checks of states, threads, faults by seed, the record of
//! placements. What it shares with devices stands in `conformance`.

use std::collections::{BTreeMap, HashSet};
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use tokio::task::LocalSet;

use super::super::driver::{QueuePairShape, RemoteAccess, Transition};
use super::super::simulated::Network;
use super::super::{
    Buffer, Connected, Connection, Endpoint, FabricError, FabricHealth, Mtu, Peer, Psn, Qpn,
    QueuePair, QueuePairOptions, RemoteWindow, Window, Work, WorkKind, WorkStatus, loopback,
};
use super::*;

const SHAPE: QueuePairShape = QueuePairShape { send_depth: 16, receive_depth: 4 };

fn gid(last: u8) -> Gid {
    Gid::from_ipv4([192, 0, 2, last].into())
}

fn psn() -> Psn {
    Psn::new(0x1234).unwrap()
}

fn runtime(paused: bool) -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(paused).build().unwrap()
}

fn locally<T>(future: impl Future<Output = T>) -> T {
    LocalSet::new().block_on(&runtime(true), future)
}

/// A writer and its peer.
struct Ends {
    writer: QueuePair<Connected>,
    peer: QueuePair<Connected>,
}

fn connect(fabrics: [&Arc<dyn Fabric>; 2]) -> Ends {
    let options = QueuePairOptions { shape: SHAPE, access: RemoteAccess::Write };
    let [writer, peer] =
        fabrics.map(|fabric| Endpoint::open(fabric).unwrap().queue_pair(&options).unwrap());
    let [to_writer, to_peer] = [(1, 0, writer.number()), (0, 1, peer.number())]
        .map(|(from, to, qpn)| towards(fabrics[from].facts().gid, fabrics[to].facts().gid, qpn));
    Ends { writer: writer.connect(&to_peer).unwrap(), peer: peer.connect(&to_writer).unwrap() }
}

fn towards(local: Gid, gid: Gid, qpn: Qpn) -> Connection {
    let peer = Peer { qpn, gid, lid: 0, psn: psn() };
    Connection { peer, local, psn: psn(), path_mtu: Mtu::B4096 }
}

fn network(seed: u64, faults: Faults) -> (Network, Arc<dyn Fabric>, Arc<dyn Fabric>) {
    let network = Network::new(seed, faults);
    let (from, to) = (network.fabric(gid(1), None), network.fabric(gid(2), None));
    (network, from, to)
}

fn source(fabric: &Arc<dyn Fabric>, bytes: usize) -> Bytes {
    Buffer::adopt(&**fabric, vec![0xee; bytes].into()).unwrap().lend()
}

fn window(fabric: &Arc<dyn Fabric>, bytes: usize) -> Window {
    Buffer::allocate(&**fabric, bytes).unwrap().expose(RemoteAccess::Write).unwrap()
}

fn write(source: &Bytes, to: RemoteWindow) -> Work {
    Work::Write { source: source.clone(), to, immediate: None }
}

/// Sixteen writes over each of two connections, then fences; all that was seen of it.
async fn scenario(seed: u64, faults: Faults) -> (Vec<Placement>, Vec<(u32, WorkStatus, Duration)>) {
    let (network, from, to) = network(seed, faults);
    let began = Instant::now();
    let bytes = source(&from, 20_000);
    let mut seen = Vec::new();
    let ends = [connect([&from, &to]), connect([&from, &to])];
    let windows = [window(&to, 20_000), window(&to, 20_000)];
    for (ends, window) in ends.iter().zip(&windows) {
        for _ in 0..SHAPE.send_depth {
            ends.writer.post(write(&bytes, window.remote()), true).unwrap();
        }
    }
    for ends in &ends {
        for _ in 0..SHAPE.send_depth {
            let completion = ends.writer.completion().await.unwrap();
            let number = completion.queue_pair.number();
            seen.push((number, completion.status, began.elapsed()));
        }
    }
    for (Ends { writer, peer }, window) in ends.into_iter().zip(windows) {
        assert!(writer.fence().await.clean && peer.fence().await.clean);
        network.close_window(window.remote().rkey);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(network.violations(), [], "seed {seed}");
    (network.placements(), seen)
}

#[test]
fn the_same_seed_is_the_same_run() {
    let runs = |seed| locally(scenario(seed, Faults::ALL));
    let mut different = HashSet::new();
    for seed in 0..20 {
        let (first, second) = (runs(seed), runs(seed));
        assert_eq!(first, second, "seed {seed}");
        different.insert(format!("{first:?}"));
    }
    assert_eq!(different.len(), 20);
}

#[test]
fn every_fault_is_met() {
    let mut statuses: BTreeMap<String, usize> = BTreeMap::new();
    let mut half_placed = 0;
    for seed in 0..100 {
        let (placements, seen) = locally(scenario(seed, Faults::ALL));
        for (_, status, _) in &seen {
            *statuses.entry(format!("{status:?}")).or_default() += 1;
        }
        let whole = seen.iter().filter(|(_, status, _)| *status == WorkStatus::Success).count();
        let placed: u64 = placements.iter().map(|placement| placement.bytes).sum();
        assert!(placed >= whole as u64 * 20_000, "a success is placed wholly; seed {seed}");
        half_placed += usize::from(!placed.is_multiple_of(20_000));
    }
    for status in ["Success", "Flushed", "RetryExceeded", "RemoteAccess"] {
        assert!(statuses.contains_key(status), "{status} is missing in {statuses:?}");
    }
    assert!(half_placed > 10, "{half_placed} of 100 ended in the middle of a message");
}

#[test]
fn queue_pairs_overtake_each_other_but_not_themselves() {
    let mut overtaken = 0;
    for seed in 0..20 {
        let (placements, seen) = locally(scenario(seed, Faults::DELAYS));
        assert!(seen.iter().all(|(_, status, _)| *status == WorkStatus::Success));
        assert!(placements.is_sorted_by_key(|placement| placement.at));
        let keys: HashSet<u32> = placements.iter().map(|placement| placement.rkey).collect();
        let changes = placements.windows(2).filter(|pair| pair[0].rkey != pair[1].rkey).count();
        assert_eq!(keys.len(), 2);
        overtaken += usize::from(changes > 4);
        for rkey in keys {
            let of_one = placements.iter().filter(|placement| placement.rkey == rkey);
            let mut expected = None;
            for placement in of_one {
                if let Some(address) = expected {
                    let begins = placement.address < address;
                    assert!(begins || placement.address == address, "pieces come in order");
                }
                expected = Some(placement.address + placement.bytes);
            }
        }
    }
    assert!(overtaken > 10, "in {overtaken} of 20 runs");
}

#[test]
fn a_completion_comes_after_its_placement() {
    let mut later = 0;
    for seed in 0..50 {
        locally(async {
            let faults = Faults { pause_per_mille: 0, ..Faults::DELAYS };
            let (network, from, to) = network(seed, faults);
            let began = Instant::now();
            let (ends, window) = (connect([&from, &to]), window(&to, 64));
            ends.writer.post(write(&source(&from, 64), window.remote()), true).unwrap();
            assert_eq!(ends.writer.completion().await.unwrap().status, WorkStatus::Success);
            let placed = network.placements().last().unwrap().at;
            assert!(placed <= began.elapsed());
            later += usize::from(began.elapsed() > placed + Duration::from_millis(2));
        });
    }
    assert!(later > 20, "in {later} of 50 runs");
}

/// Who ends its queue pair when a write is aborted.
#[derive(Clone, Copy, PartialEq)]
enum Fences {
    /// As the server of a GET does.
    Writer,
    /// As the server of a PUT does.
    Peer,
}

/// Aborts large writes at some moment and says when the answer was given, before the fence or after it: how many runs
/// placed something after it, and how many ended with a half-placed message.
fn late_after(fences: Fences, answer_before_fence: bool, faults: Faults) -> (usize, usize) {
    let (mut late, mut half_placed) = (0, 0);
    for seed in 0..100 {
        locally(async {
            let (network, from, to) = network(seed, faults);
            let (ends, window) = (connect([&from, &to]), window(&to, 1 << 16));
            let bytes = source(&from, 1 << 16);
            // Its flush takes time, in which the peer's device still takes what arrives.
            ends.peer.post_receive().unwrap();
            for _ in 0..4 {
                ends.writer.post(write(&bytes, window.remote()), true).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(seed % 20)).await;
            if answer_before_fence {
                network.close_window(window.remote().rkey);
            }
            let Ends { writer, peer } = ends;
            let fenced = match fences {
                Fences::Writer => writer.fence().await,
                Fences::Peer => peer.fence().await,
            };
            assert!(fenced.clean);
            network.close_window(window.remote().rkey);
            let placements = network.placements();
            let placed: u64 = placements.iter().map(|placement| placement.bytes).sum();
            half_placed += usize::from(!placed.is_multiple_of(1 << 16));
            tokio::time::sleep(Duration::from_secs(1)).await;
            late += usize::from(!network.violations().is_empty());
            assert_eq!(network.placements(), placements, "after the fence; seed {seed}");
        });
    }
    (late, half_placed)
}

#[test]
fn an_answer_before_the_fence_is_found_out() {
    for fences in [Fences::Writer, Fences::Peer] {
        let (late, _) = late_after(fences, true, Faults::DELAYS);
        assert!(late > 20, "in {late} of 100 runs");
    }
}

#[test]
fn nothing_is_placed_after_the_fence() {
    for fences in [Fences::Writer, Fences::Peer] {
        for faults in [Faults::DELAYS, Faults::ALL] {
            let (late, half_placed) = late_after(fences, false, faults);
            assert_eq!(late, 0);
            assert!(
                half_placed > 20,
                "only {half_placed} of 100 runs caught a message half placed"
            );
        }
    }
}

/// Whatever order a thread ends in, frames and buffers come back.
#[test]
fn memory_comes_back_when_a_thread_ends() {
    const MIB: u64 = 1 << 20;
    let arena = Arena::new(&datapath::arena::ArenaOptions {
        bytes: 20 * MIB,
        reads_bytes: MIB,
        reads_growth_bytes: MIB,
        writes_bytes: MIB,
        writes_growth_bytes: MIB,
        huge_pages: false,
        lock_memory: false,
    })
    .unwrap();
    let network = Network::new(3, Faults::DELAYS);
    let (from, to) = (network.fabric(gid(1), Some(&arena)), network.fabric(gid(2), None));
    let reservation = arena.reserve(datapath::arena::Share::Reads, MIB).unwrap();
    for wait in [false, true] {
        let (pair, mut kept, window) = locally(async {
            let ends = connect([&from, &to]);
            let window = Buffer::allocate(&*to, 4096).unwrap().expose(RemoteAccess::Read).unwrap();
            let into = reservation.frame(4096).unwrap();
            let read = Work::Read { into, bytes: 4096, from: window.remote() };
            ends.writer.post(read, true).unwrap();
            let kept = Buffer::allocate(&*from, 4096).unwrap();
            ends.writer.post(write(&kept.lend(), window.remote()), true).unwrap();
            if wait {
                // Until completions have arrived that nobody takes.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            (ends.writer, kept, window)
        });
        assert!(reservation.used_bytes() > 0);
        assert!(kept.as_mut_slice().is_none());
        drop(pair);
        assert_eq!(reservation.used_bytes(), 0);
        assert!(kept.as_mut_slice().is_some());
        drop(window);
    }
}

#[test]
fn memory_taken_back_too_early_is_found_out() {
    locally(async {
        let (network, from, to) = network(1, Faults::DELAYS);
        let (ends, window) = (connect([&from, &to]), window(&to, 64));
        let remote = window.remote();
        ends.writer.post(write(&source(&from, 64), remote), true).unwrap();
        let taken = window.reclaim();
        assert_eq!(ends.writer.completion().await.unwrap().status, WorkStatus::RemoteAccess);
        assert!(network.violations().iter().all(|placement| placement.rkey == remote.rkey));
        assert!(!network.violations().is_empty());
        assert!(taken.as_slice().iter().all(|byte| *byte == 0));
    });
}

#[test]
fn the_control_of_a_network_does_what_it_says() {
    locally(async {
        let (network, from, to) = network(7, Faults::DELAYS);
        let (ends, window) = (connect([&from, &to]), window(&to, 64));
        let bytes = source(&from, 64);
        let began = Instant::now();
        network.pause(Duration::from_secs(30));
        ends.writer.post(write(&bytes, window.remote()), true).unwrap();
        assert_eq!(ends.writer.completion().await.unwrap().status, WorkStatus::Success);
        assert!(began.elapsed() >= Duration::from_secs(30), "{:?}", began.elapsed());
        assert!(network.placements()[0].at >= Duration::from_secs(30));
        // Waiting for a receive, and then for nobody.
        let work = Work::Write { source: bytes.clone(), to: window.remote(), immediate: Some(1) };
        ends.writer.post(work, true).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(ends.writer.completed().is_none());
        network.vanish(gid(2));
        assert_eq!(ends.writer.completion().await.unwrap().status, WorkStatus::RetryExceeded);
        assert!(from.health() == FabricHealth::default() && !to.health().port_active);
        network.break_device(gid(1));
        let error = ends.writer.completion().await.unwrap_err();
        assert_eq!(from.health().failed.map(|failed| failed.verb), Some(error.verb));
        assert!(ends.writer.fence().await.clean);
        assert!(ends.peer.fence().await.clean, "the other device still works");
    });
}

#[test]
fn steps_are_taken_in_order() {
    let fabric = loopback::Network::new().fabric(gid(1), None);
    let endpoint = fabric.endpoint().unwrap();
    let mut pair = endpoint.queue_pair(&SHAPE).unwrap();
    let Connection { peer, local, path_mtu, .. } = towards(gid(1), gid(2), Qpn::new(5).unwrap());
    let init = Transition::Init { access: RemoteAccess::None };
    let receive = Transition::ReadyToReceive { peer, local, path_mtu };
    let send = Transition::ReadyToSend { psn: psn() };
    let nothing = || Work::Write {
        source: Bytes::new(),
        to: RemoteWindow { address: 0, size: 0, rkey: 0 },
        immediate: None,
    };
    let refused = |outcome: Result<(), FabricError>| assert!(outcome.is_err());

    refused(pair.modify(&receive));
    refused(pair.modify(&send));
    refused(pair.post_receive());
    assert!(pair.post(nothing(), true).is_err());
    pair.modify(&init).unwrap();
    refused(pair.modify(&init));
    refused(pair.modify(&send));
    pair.post_receive().unwrap();
    assert!(pair.post(nothing(), true).is_err());
    refused(pair.modify(&Transition::ReadyToReceive { peer, local: gid(9), path_mtu }));
    pair.modify(&receive).unwrap();
    assert!(pair.post(nothing(), true).is_err());
    pair.modify(&send).unwrap();
    pair.post(nothing(), true).unwrap();
    refused(pair.modify(&Transition::Reset));
    pair.modify(&Transition::Error).unwrap();
    refused(pair.modify(&Transition::Reset));
    let mut completions = Vec::new();
    endpoint.poll(1, &mut completions).unwrap();
    refused(pair.modify(&Transition::Reset));
    endpoint.poll(9, &mut completions).unwrap();
    let statuses: Vec<_> = completions.iter().map(|c| (c.kind, c.status)).collect();
    assert_eq!(
        statuses,
        [(WorkKind::Write, WorkStatus::Flushed), (WorkKind::Receive, WorkStatus::Flushed)]
    );
    refused(pair.modify(&init));
    pair.modify(&Transition::Reset).unwrap();
    pair.modify(&init).unwrap();
}

#[test]
fn a_message_has_a_limit() {
    locally(async {
        let network = loopback::Network::new();
        let (from, to) = (network.fabric(gid(1), None), network.fabric(gid(2), None));
        let (ends, window) = (connect([&from, &to]), window(&to, 64));
        // Zeros of the allocator that nobody touches: they take no memory.
        let limit = usize::try_from(crate::limits::MODEL_MESSAGE_BYTES_MAX).unwrap();
        let bytes = Buffer::allocate(&*from, limit + 1).unwrap().lend();
        let (error, _) = ends.writer.post(write(&bytes, window.remote()), true).unwrap_err();
        assert!(error.reason.contains("at most"), "{error}");
        assert!(from.allocate(crate::limits::MODEL_BUFFER_BYTES_MAX + 1).is_err());
    });
}

/// Not among the checks that devices pass: kernels have had their trouble with it.
#[test]
fn a_range_that_wraps_is_refused() {
    locally(async {
        let network = loopback::Network::new();
        let (from, to) = (network.fabric(gid(1), None), network.fabric(gid(2), None));
        let (ends, window) = (connect([&from, &to]), window(&to, 64));
        let wrapping = RemoteWindow { address: u64::MAX - 7, ..window.remote() };
        ends.writer.post(write(&source(&from, 16), wrapping), true).unwrap();
        assert_eq!(ends.writer.completion().await.unwrap().status, WorkStatus::RemoteAccess);
    });
}

#[test]
fn keys_and_addresses_are_drawn() {
    let network = loopback::Network::new();
    let fabric = network.fabric(gid(1), None);
    let windows: Vec<Window> = (0..100).map(|_| window(&fabric, 4096)).collect();
    let keys: HashSet<u32> = windows.iter().map(|window| window.remote().rkey).collect();
    assert_eq!(keys.len(), 100);
    assert!(keys.iter().all(|key| !keys.contains(&key.wrapping_add(1))), "{keys:?}");
    let of_another = loopback::Network::new().fabric(gid(1), None);
    assert!(!keys.contains(&window(&of_another, 4096).remote().rkey));
}

/// What a player tells the other: where its queue pair and its memory are.
type Told = (Qpn, RemoteWindow);

/// One of two threads that bounce an immediate, which grows by one each time, [`ROUNDS`] times.
fn play(own: u8, fabric: &Arc<dyn Fabric>, tell: &Sender<Told>, hear: &Receiver<Told>) {
    LocalSet::new().block_on(&runtime(false), async {
        let endpoint = Endpoint::open(fabric).unwrap();
        let options = QueuePairOptions { shape: SHAPE, access: RemoteAccess::Write };
        let pair = endpoint.queue_pair(&options).unwrap();
        pair.post_receive().unwrap();
        let staging = window(fabric, 4096);
        tell.send((pair.number(), staging.remote())).unwrap();
        let (qpn, to) = hear.recv().unwrap();
        let pair = pair.connect(&towards(gid(own), gid(1 - own), qpn)).unwrap();
        // Both are connected.
        tell.send((qpn, to)).unwrap();
        hear.recv().unwrap();
        let bytes = source(fabric, 4096);
        let serve = |value| {
            let source = bytes.clone();
            pair.post(Work::Write { source, to, immediate: Some(value) }, true).unwrap();
        };
        if own == 0 {
            serve(0);
        }
        let mut heard = 0;
        while heard < ROUNDS {
            let completion = pair.completion().await.unwrap();
            assert_eq!(completion.status, WorkStatus::Success);
            if completion.kind == WorkKind::Receive {
                let expected = heard * 2 + u32::from(own == 0);
                assert_eq!(completion.immediate, Some(expected));
                heard += 1;
                pair.post_receive().unwrap();
                if own == 1 || heard < ROUNDS {
                    serve(expected + 1);
                }
            }
        }
        while pair.outstanding() > 1 {
            pair.completion().await.unwrap();
        }
        assert!(pair.fence().await.clean);
        endpoint.drained().await;
    });
}

const ROUNDS: u32 = 2000;

#[test]
fn threads_share_a_network() {
    let network = loopback::Network::new();
    let (tell, hear) = (channel(), channel());
    let fabrics = [network.fabric(gid(0), None), network.fabric(gid(1), None)];
    std::thread::scope(|scope| {
        let [first, second] = &fabrics;
        scope.spawn(move || play(0, first, &tell.0, &hear.1));
        scope.spawn(move || play(1, second, &hear.0, &tell.1));
    });
}
