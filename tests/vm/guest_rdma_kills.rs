//! Clients and servers that are killed in the middle of everything, over soft-RoCE: the server gives
//! back all that it held for such a client; the client of such a server gets an error soon, and its
//! memory is left alone.

use std::time::{Duration, Instant};

use penstock_tests::client::expect;
use penstock_tests::content::pages;
use penstock_tests::guest::{Guest, RdmaPackets};
use penstock_tests::rdma::{
    Asker, Bench, ClientProcess, DEVICE, Host, Objects, Order, Protocol, Raw, Step, end,
    is_connection_left,
};
use penstock_tests::server::Server;
use rdma::client::{Failed, Get, Put};
use rdma::fabric::{Buffer, RemoteAccess};

const BUCKET: &str = "kills";
const BYTES: u64 = 32 << 20;

/// Packets after which a transfer of 32 MiB is in its middle: 4 MiB of it.
const MIDDLE_PACKETS: u64 = 1024;

/// How soon the client of a killed server must know, in an emulated guest.
const ERROR_WITHIN: Duration = Duration::from_secs(20);

fn wait_until_moving(before: u64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while RdmaPackets::of(DEVICE).sent() < before + MIDDLE_PACKETS {
        assert!(Instant::now() < deadline, "nothing moves");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_killed_client_leaves_nothing_behind() {
    let Some(guest) = Guest::here("a_killed_client_leaves_nothing_behind") else {
        return;
    };
    let mut bench = Bench::start(&guest, BUCKET, 2 * BYTES);
    let body = pages(1, BYTES as usize);
    bench.put("object", &body);
    let credentials = bench.asker().credentials;
    for step in Step::ALL {
        let is_get = matches!(step, Step::GetPrepared | Step::GetMoving | Step::PooledGetMoving);
        let key = if is_get { "object" } else { "new" };
        let before = RdmaPackets::of(DEVICE).sent();
        let (program, path) = (env!("CARGO_BIN_EXE_rdma-client"), bench.path(key));
        let address = bench.server.address;
        let client = ClientProcess::at(program, step, address, &credentials, &path, BYTES);
        if step.is_moving() {
            wait_until_moving(before);
            let moving = bench.server.metrics().value("penstock_rdma_transfers_in_flight", &[]);
            assert_eq!(moving, 1.0, "{step:?}: it was over before the kill");
        }
        client.kill();
        let killed = Instant::now();
        if step.is_pooled() && is_connection_left(&bench.server) {
            println!("{step:?}: nothing was on its way, the connection waits for its idle time");
            bench = bench.restarted();
        } else {
            bench.assert_nothing_left();
            println!("{step:?}: all is given back {:?} after the kill", killed.elapsed());
        }
        match bench.object("new") {
            None => {}
            Some(stored) if step == Step::PutFinished => {
                assert!(stored == body, "an object of other bytes");
                expect(bench.http.delete(BUCKET, "new").unwrap(), 204).unwrap();
            }
            Some(_) => panic!("{step:?}: an object is there that was never all written"),
        }
    }
    // It serves as ever.
    Host::run(DEVICE, async |host| {
        let objects = Objects::new(&host, bench.asker());
        for protocol in Protocol::ALL {
            let get = Get::object(BUCKET, "object");
            let blank = host.blank(BYTES as usize);
            let (memory, _) = objects.get(protocol, &get, BYTES, blank).await;
            assert!(memory.as_slice() == body, "{protocol:?}");
        }
        objects.disconnect().await;
    });
    bench.stop();
}

/// What is asked of a server that is then killed.
async fn asked(
    objects: &Objects,
    protocol: Protocol,
    is_get: bool,
    memory: Buffer,
) -> Result<(), Failed<Buffer>> {
    let (client, control) = (objects.client(), objects.control());
    let get = Get::object(BUCKET, "object");
    let put = Put::object(BUCKET, "new", BYTES);
    let done = match (protocol, is_get) {
        (Protocol::Session, true) => client.get(control, &get, memory).await,
        (Protocol::Session, false) => client.put(control, &put, memory).await,
        (Protocol::Pooled, _) => {
            let pool = client.connect(control).await.expect("connected");
            match is_get {
                true => pool.get(control, &get, memory).await,
                false => pool.put(control, &put, memory).await,
            }
        }
    };
    done.map(|_| ())
}

#[test]
fn a_killed_server_is_noticed_and_writes_no_more() {
    let Some(guest) = Guest::here("a_killed_server_is_noticed_and_writes_no_more") else {
        return;
    };
    let mut bench = Bench::start(&guest, BUCKET, 2 * BYTES);
    let body = pages(1, BYTES as usize);
    bench.put("object", &body);
    let Bench { store, mut server, .. } = bench;
    let start = || store.rdma_options(2 * BYTES).start(&store.site);
    for protocol in Protocol::ALL {
        for is_get in [true, false] {
            let what = format!("{protocol:?}, {}", if is_get { "GET" } else { "PUT" });
            let (took, error) = Host::run(DEVICE, async |host| {
                killed_in_the_middle(&host, &mut server, protocol, is_get, &body, &what).await
            });
            println!("{what}: the client knew {took:?} after the kill: {error}");
            assert!(took < ERROR_WITHIN, "{what}: {took:?}");
            server = start();
            let mut http = server.client();
            assert_eq!(
                http.head(BUCKET, "new").unwrap().status,
                404,
                "{what}: what is there is not whole"
            );
        }
    }
    Host::run(DEVICE, async |host| killed_when_prepared(&host, &mut server).await);
    store.assert_consistent();
    let server = start();
    let got = expect(server.client().get(BUCKET, "object").unwrap(), 200).unwrap();
    assert!(got.body == body);
    store.stop(server);
}

/// How long the client took to see it, and what it saw.
async fn killed_in_the_middle(
    host: &Host,
    server: &mut Server,
    protocol: Protocol,
    is_get: bool,
    body: &[u8],
    what: &str,
) -> (Duration, String) {
    let objects = Objects::new(host, Asker::of(server));
    let memory = if is_get { host.blank(body.len()) } else { host.filled(body) };
    let before = RdmaPackets::of(DEVICE).sent();
    let mut operation = std::pin::pin!(asked(&objects, protocol, is_get, memory));
    let deadline = Instant::now() + Duration::from_secs(30);
    while RdmaPackets::of(DEVICE).sent() < before + MIDDLE_PACKETS {
        let step = Duration::from_millis(2);
        let ended = tokio::time::timeout(step, &mut operation).await;
        assert!(ended.is_err(), "{what}: it was over before the kill");
        assert!(Instant::now() < deadline, "{what}: nothing moves");
    }
    server.kill();
    let killed = Instant::now();
    let failed = operation.await.expect_err("its server was killed");
    let took = killed.elapsed();
    let memory = failed.memory.expect("the memory comes back");
    let seen = memory.as_slice().to_vec();
    if is_get {
        assert!(seen != body, "{what}: it was over before the kill");
    } else {
        assert!(seen == body, "{what}: its own memory was changed");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(memory.as_slice() == seen, "{what}: bytes came afterwards");
    (took, failed.error.to_string())
}

/// Killed between PREPARE and READY, with the window open and its key valid all the time.
async fn killed_when_prepared(host: &Host, server: &mut Server) {
    let raw = Raw { host: host.clone(), asker: Asker::of(server) };
    let path = format!("/{BUCKET}/object");
    let session = raw.prepare(&Order::get(&path, BYTES)).expect("prepared");
    session.pair.post_receive().expect("a receive");
    let window = host.window(BYTES as usize, RemoteAccess::Write);
    server.kill();
    let began = Instant::now();
    let request = session.ready_request(&raw.asker, Some(window.remote()));
    assert!(raw.asker.ask(request).is_err(), "nobody is there to answer READY");
    assert!(began.elapsed() < ERROR_WITHIN);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(session.pair.completed().is_none());
    end(session.pair).await;
    let memory = window.revoke().expect("revoked");
    assert!(memory.as_slice().iter().all(|byte| *byte == 0), "something was written");
}
