//! RDMA's door over real sockets and a real store, on a fabric in memory: two lanes, each with a port of its own, so
//! that a test decides on which lane each request comes.

mod client;
mod pooled;
mod sessions;
mod transcripts;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datapath::{Store, StoreOptions};
use http::HeaderValue;
use rdma::client::{Client, ClientOptions};
use rdma::fabric::{Buffer, Endpoint, Fabric, Gid, loopback};
use rdma::server::{Server, ServerStats, Settings};
use tokio::task::LocalSet;

use super::process::{Rdma, Rules};
use crate::behind::Gateway;
use crate::config::plan::EngineChoice;
use crate::config::{HandshakePlan, Limits, Receipts};
use crate::credentials::{AccessKey, Secret};
use crate::door::DoorSettings;
use crate::iam::Iam;
use crate::lane::{LanePlan, Lanes, Pinning, engine};
use crate::limits;
use crate::record::Sinks;
use crate::s3::S3Settings;
use client::Http;

const LANES: usize = 2;

/// How long requests have that are there when the gateway ends.
const DRAIN: Duration = Duration::from_secs(1);

/// What a test changes.
struct Setup {
    settings: Settings,
    rules: Rules,
    receipts: Receipts,
}

impl Setup {
    fn new() -> Setup {
        let settings = Settings { staging_bytes: 8 << 20, ..Settings::default() };
        let rules = Rules {
            put_decline_status: 200,
            allow_unsigned_connect: false,
            require_same_address: false,
        };
        Setup { settings, rules, receipts: Receipts::OnRequest }
    }
}

/// A gateway and a client of it.
struct Bench {
    http: Rc<Http>,
    client: Client,
    fabric: Arc<dyn Fabric>,
    server: Arc<Server>,
    rdma: Arc<Rdma>,
}

impl Bench {
    fn memory(&self, bytes: usize) -> Buffer {
        Buffer::adopt(&*self.fabric, vec![0xee; bytes].into()).unwrap()
    }

    fn filled(&self, content: &[u8]) -> Buffer {
        Buffer::adopt(&*self.fabric, content.into()).unwrap()
    }

    /// Waits until nothing of the server half is left: no session, no connection, no queue pair, no staging memory.
    async fn nothing_left(&self) -> ServerStats {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let stats = self.server.stats();
            let left = stats.sessions
                + stats.connections
                + stats.queue_pairs
                + stats.staging_bytes
                + stats.transfers_active
                + stats.registered;
            if left == 0 {
                assert_eq!(stats.leaked, 0);
                return stats;
            }
            assert!(Instant::now() < end, "{stats:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Runs a test against a gateway of its own that has the bucket `bucket`.
fn run(test: impl AsyncFnOnce(&Bench)) {
    run_with(Setup::new(), test);
}

/// The same. What the test returns lives until the gateway has ended.
fn run_with<T>(setup: Setup, test: impl AsyncFnOnce(&Bench) -> T) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StoreOptions {
        data_dir: folder.path().to_owned(),
        devices: Vec::new(),
        extent_file_bytes: Some(96 << 20),
        index_map_bytes: 256 << 20,
        memory_bytes: 256 << 20,
        memory_elsewhere: Vec::new(),
        lanes: LANES,
        connections_max: 256,
        create: true,
        huge_pages: false,
        lock_memory: false,
    })
    .unwrap();
    let network = loopback::Network::new();
    let ours = network.fabric(Gid::from_ipv4(Ipv4Addr::LOCALHOST), Some(store.handle().arena()));
    let theirs = network.fabric(Gid::from_ipv4(Ipv4Addr::LOCALHOST), None);
    let server = Server::new(ours, setup.settings, LANES);
    let key = AccessKey { id: client::KEY.into(), secret: Secret::new(client::SECRET) };
    let other = AccessKey { id: client::OTHER_KEY.into(), secret: Secret::new(client::SECRET) };
    let keys = Arc::new(Iam::new([key, other]));
    let state = Ok(server.clone());
    let rdma = Rdma::new(state, setup.rules, keys.clone(), LANES, DRAIN);
    let gateway = Gateway {
        store: store.handle(),
        keys,
        settings: Arc::new(S3Settings::new("us-east-1", ["s3.test"], Default::default())),
        rdma: rdma.clone(),
    };
    let (lanes, addresses) = start(gateway, setup.receipts);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let kept = LocalSet::new().block_on(&runtime, async {
        let endpoint = Endpoint::open(&theirs).unwrap();
        let bench = Bench {
            http: Rc::new(Http::new(addresses)),
            client: Client::new(endpoint.clone(), ClientOptions::default()),
            fabric: theirs,
            server: server.clone(),
            rdma,
        };
        let made = bench.http.send("PUT", "/bucket", &[], b"").await;
        assert_eq!(made.status, 200, "{}", made.text());
        let kept = test(&bench).await;
        drop(bench);
        let gone = tokio::time::timeout(Duration::from_secs(10), endpoint.drained()).await;
        assert!(gone.is_ok(), "the client left {} queue pairs", endpoint.live_queue_pairs());
        kept
    });
    let began = Instant::now();
    lanes.drain(DRAIN);
    lanes.join();
    assert!(began.elapsed() < DRAIN + Duration::from_secs(5), "{:?}", began.elapsed());
    drop(kept);
    let stats = server.stats();
    assert_eq!((stats.queue_pairs, stats.staging_bytes, stats.leaked), (0, 0, 0), "{stats:?}");
    store.close();
}

fn start(gateway: Gateway, receipts: Receipts) -> (Lanes, Vec<SocketAddr>) {
    let listeners: Vec<_> =
        (0..LANES).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    let addresses = listeners.iter().map(|one| one.local_addr().unwrap()).collect();
    for listener in &listeners {
        listener.set_nonblocking(true).unwrap();
    }
    let plan = LanePlan {
        // io_uring where this machine allows it, as in production.
        engine: engine::settle(EngineChoice::Auto).unwrap().engine,
        pinning: Pinning { cores: Vec::new() },
        limits: Limits {
            connections: 256,
            header_time: limits::HEADER_TIME_DEFAULT,
            idle_time: limits::IDLE_TIME_DEFAULT,
            body_window: limits::BODY_WINDOW_DEFAULT,
            body_bytes: limits::BODY_BYTES_DEFAULT,
            send_stall: limits::SEND_STALL_DEFAULT,
            handshakes: HandshakePlan { time: limits::HEADER_TIME_DEFAULT, at_once: 8 },
        },
        door: Arc::new(DoorSettings {
            domains: vec!["s3.test".into()],
            host_id: HeaderValue::from_static("host"),
            receipts,
        }),
        listeners: listeners.into_iter().map(|one| vec![one]).collect(),
        secure: None,
        measures: true,
        sinks: Sinks::default(),
    };
    (Lanes::start(plan, Arc::new(gateway)).unwrap(), addresses)
}

/// Bytes that are not all alike.
fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 + at / 251) as u8).collect()
}
