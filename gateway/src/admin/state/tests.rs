//! The document out of figures, requests and settings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::keeper::{Keeper, Sources};
use super::snapshot::Window;
use super::snapshot::tests::moments;
use super::*;
use crate::admin::Health;
use crate::config::MetricsPlan;
use crate::limits;
use crate::metrics::export::Observed;
use crate::metrics::table;
use crate::metrics::{
    Exporter, Figure, Figures, Group, LaneCells, Operation, Protocol, Stage, StatusClass,
};
use crate::observe::Remembered;
use crate::record::sample::{account, ended};
use crate::record::{Errors, Slowest, Tenants};

struct Well;

impl Health for Well {
    fn troubles(&self) -> Vec<String> {
        Vec::new()
    }
}

struct Store;

impl Figures for Store {
    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::of(&table::STORE_BYTES, 1000.0),
            Figure::of(&table::STORE_FREE, 400.0),
            Figure::labelled(&table::DEVICE_READS, ["/dev/a"], 7.0),
            Figure::labelled(&table::DEVICE_STATE, ["/dev/a", "ok"], 0.0),
            Figure::labelled(&table::DEVICE_STATE, ["/dev/a", "suspect"], 1.0),
            Figure::labelled(&table::BACKGROUND_PENDING, ["reclaim"], 1.0),
            Figure::labelled(&table::BACKGROUND_ITEMS, ["reclaim"], 9.0),
        ]
    }
}

struct Bench {
    cells: Arc<LaneCells>,
    remembered: Remembered,
    draining: Arc<AtomicBool>,
    keeper: Keeper,
}

fn bench() -> Bench {
    let cells = Arc::new(LaneCells::default());
    let draining: Arc<AtomicBool> = Arc::default();
    let observed = Observed {
        lanes: vec![cells.clone()],
        engine: "blocking",
        connections_limit: 100,
        draining: draining.clone(),
    };
    let plan = MetricsPlan { buckets: 5, users: 5 };
    let remembered = Remembered {
        tenants: Arc::new(Tenants::new(1, &plan)),
        slowest: Arc::new(Slowest::new(1, None)),
        errors: Arc::new(Errors::new(1, None)),
    };
    let keeper = Keeper::new(Sources {
        exporter: Exporter::new(observed, vec![Arc::new(Store)]),
        health: Arc::new(Well),
        draining: draining.clone(),
        remembered: Some(remembered.clone()),
        settings: Vec::new(),
    });
    Bench { cells, remembered, draining, keeper }
}

impl Bench {
    /// One request of so many microseconds, as the door counts it.
    fn request(&self, status: u16, microseconds: u64) {
        let operation = Operation::GetObject;
        let took = Duration::from_micros(microseconds);
        let class = StatusClass::of(http::StatusCode::from_u16(status).unwrap());
        self.cells.request_started(operation);
        self.cells.request_ended(operation, class, took);
        self.cells.stage_took(Stage::Device, Group::Read, took / 2);
        let account = account(0, "/photos/a");
        ended(&*self.remembered.tenants, &account, status, microseconds);
        ended(&*self.remembered.slowest, &account, status, microseconds);
        ended(&*self.remembered.errors, &account, status, microseconds);
    }
}

#[test]
fn requests_are_seen_in_every_part_of_the_document() {
    let bench = bench();
    bench.cells.connection_opened();
    bench.cells.connection_spoke(Protocol::Http1);
    for _ in 0..9 {
        bench.request(200, 2000);
    }
    bench.request(503, 4000);
    std::thread::sleep(Duration::from_millis(20));
    bench.keeper.look();
    let state = bench.keeper.state();
    let seconds = state.rates.window_seconds;
    assert!(seconds >= 0.02, "{seconds}");
    let count = |rate: f64| (rate * seconds).round() as u64;
    assert_eq!((count(state.rates.requests), count(state.rates.server_errors)), (10, 1));
    assert_eq!((state.rates.connections, state.rates.connections_limit), (1, 100));
    assert!(state.rates.p99_seconds.unwrap() > 0.0025);
    let [get] = &state.operations[..] else { panic!("{:?}", state.operations) };
    assert_eq!((get.operation.as_str(), get.requests, get.errors), ("GetObject", 10, 1));
    let [device] = &state.stages[..] else { panic!("{:?}", state.stages) };
    assert_eq!((device.stage.as_str(), device.group.as_str()), ("device", "read"));
    assert!((device.share - 0.5).abs() < 1e-9, "{}", device.share);
    assert_eq!(state.history.requests.len(), 1);
    assert_eq!(count(state.history.requests[0]), 10);
    assert_eq!((state.buckets[0].name.as_str(), count(state.buckets[0].errors)), ("photos", 1));
    assert_eq!(state.users[0].name, "anonymous");
    assert_eq!(state.clients[0].name, "127.0.0.1");
    assert_eq!((state.slow.len(), state.slow[0].seconds), (10, 0.004));
    assert_eq!((state.errors.len(), state.errors[0].status), (1, 503));
    assert_eq!(state.devices[0].state, "suspect");
    assert_eq!((state.capacity.bytes, state.capacity.free_bytes), (1000, 400));
    assert!(state.background[0].pending && state.background[0].items == 9);
    assert!(state.ready);
}

#[test]
fn what_is_shown_is_of_the_last_seconds() {
    let bench = bench();
    bench.request(200, 2000);
    for _ in 0..limits::RATE_SAMPLES {
        bench.keeper.look();
    }
    assert!(bench.keeper.state().rates.requests > 0.0);
    assert_eq!(bench.keeper.state().buckets.len(), 1);
    bench.keeper.look();
    let state = bench.keeper.state();
    assert_eq!((state.rates.requests, state.rates.p99_seconds), (0.0, None));
    assert!(state.buckets.is_empty());
    assert_eq!(state.operations[0].requests, 1, "counts are since the start");
    for _ in 0..limits::HISTORY_POINTS_MAX {
        bench.keeper.look();
    }
    assert_eq!(bench.keeper.state().history.p99_seconds.len(), limits::HISTORY_POINTS_MAX);
}

#[test]
fn a_drain_is_a_reason() {
    let bench = bench();
    bench.draining.store(true, Ordering::Relaxed);
    let state = bench.keeper.state();
    assert!(!state.ready && state.draining);
    assert!(state.reasons[0].starts_with("draining"), "{:?}", state.reasons);
}

#[test]
fn rdma_is_in_the_bytes_and_in_its_own_part() {
    let get = |bytes| Figure::labelled(&table::RDMA_OBJECT_BYTES, ["get"], bytes);
    let put = |bytes| Figure::labelled(&table::RDMA_OBJECT_BYTES, ["put"], bytes);
    let sent = |bytes| Figure::labelled(&table::SENT, ["GetObject"], bytes);
    let (then, now) = moments(
        vec![get(100.0), put(0.0), sent(0.0)],
        vec![
            get(300.0),
            put(50.0),
            sent(1000.0),
            Figure::labelled(&table::RDMA_DEVICE, ["mlx5_0", "1", "verbs"], 1.0),
            Figure::of(&table::RDMA_DEVICE_UP, 1.0),
            Figure::of(&table::RDMA_SESSIONS, 2.0),
            Figure::of(&table::RDMA_CONNECTIONS, 3.0),
            Figure::labelled(&table::RDMA_DECLINES, ["token"], 4.0),
            Figure::labelled(&table::RDMA_DECLINES, ["range"], 0.0),
        ],
    );
    let window = Window { now: &now, then: &then };
    let rates = window.rates();
    assert_eq!((rates.sent_bytes, rates.received_bytes, rates.rdma_bytes), (120.0, 5.0, 25.0));
    let rdma = window.rdma();
    assert_eq!((rdma.device.as_deref(), rdma.up, rdma.peers), (Some("mlx5_0"), Some(true), 5));
    assert_eq!(rdma.declines.into_iter().collect::<Vec<_>>(), [("token".to_owned(), 4)]);
}
