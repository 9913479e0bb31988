//! A server's state with something in every part of it, and a server that tells it, for the tests.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use crate::admin::state::*;

/// A server under load, with one device in trouble.
pub(super) fn state() -> State {
    State {
        version: "0.1.0".into(),
        now: 1_767_225_599.5,
        uptime_seconds: 11_520.0,
        ready: true,
        rates: rates(),
        history: history(),
        operations: ["GetObject", "PutObject", "ListObjectsV2"].map(operation).into(),
        stages: stages(),
        paths: vec![path("cache", "socket", 5e8), path("device", "rdma", 5e8)],
        copied: vec![CopiedState { path: "socket_send".into(), bytes: 1 << 40, per_second: 1e9 }],
        lanes: (0..4)
            .map(|lane| LaneState {
                lane,
                busy: 0.25 * (lane + 1) as f64,
                requests: 308.0,
                wakeups: 2000.0,
                submissions: 150.0,
                connections: 12,
            })
            .collect(),
        devices: vec![device("/dev/nvme0n1", "ok", 0), device("/dev/nvme1n1", "suspect", 3)],
        memory: memory(),
        capacity: CapacityState {
            bytes: 1 << 40,
            free_bytes: 400 << 30,
            longest_free_run_bytes: 64 << 30,
            index_bytes: 1 << 30,
            index_limit_bytes: 16 << 30,
            full_in_seconds: Some(1_054_800.0),
            read_only: false,
        },
        commit: CommitState {
            queued: 2,
            mutations: 120.0,
            batch: Some(3.5),
            p99_seconds: Some(0.004),
        },
        rdma: RdmaState {
            enabled: true,
            up: Some(true),
            device: Some("mlx5_0".into()),
            peers: 3,
            transfers: 64.0,
            bytes: 512.0 * 1048576.0,
            declines: BTreeMap::from([("no_session".into(), 7)]),
        },
        buckets: ["models", "dataset", "other"].map(tenant).into(),
        users: ["AKIATRAINER000000001", "other"].map(tenant).into(),
        clients: ["10.0.0.7"].map(tenant).into(),
        errors: vec![request("GetObject", 503, Some("SlowDown"))],
        slow: vec![request("GetObject", 200, None)],
        background: vec![BackgroundState {
            job: "cleaning".into(),
            about: "Removes rows of deleted buckets.".into(),
            pending: true,
            items: 1200,
            per_second: 12.0,
        }],
        configuration: vec![SettingState {
            name: "memory".into(),
            value: "8GiB".into(),
            source: "flag".into(),
        }],
        ..State::default()
    }
}

fn rates() -> Rates {
    Rates {
        window_seconds: 10.0,
        requests: 1234.0,
        server_errors: 0.5,
        client_errors: 2.0,
        received_bytes: 12.0 * 1048576.0,
        sent_bytes: 1.5 * 1073741824.0,
        rdma_bytes: 512.0 * 1048576.0,
        p50_seconds: Some(0.00012),
        p99_seconds: Some(0.0125),
        first_byte_p99_seconds: Some(0.009),
        in_flight: 12,
        connections: 48,
        connections_limit: 1024,
        cpu: 1.75,
        resident_bytes: 900 << 20,
    }
}

fn history() -> History {
    let points = |scale: f64| (0..300).map(|point| scale * f64::from(point % 50)).collect();
    History {
        interval_seconds: 1.0,
        newest: 1_767_225_599.0,
        requests: points(25.0),
        server_errors: points(0.0),
        received_bytes: points(1e6),
        sent_bytes: points(3e7),
        rdma_bytes: points(1e7),
        p50_seconds: points(1e-5),
        p99_seconds: points(1e-3),
        device_read_bytes: points(2e7),
        device_written_bytes: points(1e6),
    }
}

fn operation(name: &str) -> OperationState {
    OperationState {
        operation: name.into(),
        per_second: 411.0,
        requests: 5_000_000,
        errors: 12,
        in_flight: 4,
        p50_seconds: Some(0.0001),
        p99_seconds: Some(0.0125),
    }
}

fn stages() -> Vec<StageState> {
    [
        ("auth", "read", 0.02),
        ("device", "read", 0.7),
        ("send", "read", 0.28),
        ("commit", "write", 0.9),
    ]
    .map(|(stage, group, share)| StageState {
        stage: stage.into(),
        group: group.into(),
        share,
        p50_seconds: Some(1e-4),
        p99_seconds: Some(1e-2),
    })
    .into()
}

fn path(source: &str, delivery: &str, per_second: f64) -> PathState {
    PathState { source: source.into(), delivery: delivery.into(), bytes: 1 << 41, per_second }
}

fn device(path: &str, state: &str, errors: u64) -> DeviceState {
    DeviceState {
        device: path.into(),
        state: state.into(),
        reads: 150.0,
        read_bytes: 6e8,
        read_p99_seconds: Some(if errors > 0 { 0.12 } else { 0.0002 }),
        in_flight: 8,
        errors,
        wear: Some(0.03),
        ..DeviceState::default()
    }
}

fn memory() -> MemoryState {
    MemoryState {
        arena_bytes: 6 << 30,
        arena_free_bytes: 1 << 30,
        cache_bytes: 4 << 30,
        cache_hit_ratio: Some(0.93),
        evictions: 40.0,
        read_reserved_bytes: 128 << 20,
        read_share_bytes: 1 << 30,
        write_reserved_bytes: 64 << 20,
        write_share_bytes: 1 << 30,
        waiting: 1,
    }
}

fn tenant(name: &str) -> TenantState {
    TenantState {
        name: name.into(),
        requests: 400.0,
        errors: 0.1,
        received_bytes: 1e6,
        sent_bytes: 5e8,
    }
}

fn request(operation: &str, status: u16, code: Option<&str>) -> RequestState {
    RequestState {
        time: 1_767_225_590.0,
        id: "0123456789ABCDEF".into(),
        operation: operation.into(),
        status,
        code: code.map(str::to_owned),
        bucket: Some("models".into()),
        key: Some("llama%2Fshard-1".into()),
        user: Some("AKIATRAINER000000001".into()),
        client: Some("10.0.0.7".into()),
        seconds: 1.4,
        first_byte_seconds: Some(1.2),
        received_bytes: 0,
        sent_bytes: 8 << 20,
        stages: [("device", 1.2), ("send", 0.2), ("index", 0.0001)]
            .map(|(stage, seconds)| (stage.to_owned(), seconds))
            .into(),
        sources: BTreeMap::from([("device".to_owned(), 8 << 20)]),
        delivery: "socket".into(),
        trace: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
    }
}

/// A server of these documents; any other is 404. It answers so many requests, then ends.
pub(super) fn serve(
    documents: Vec<(&'static str, u16, String)>,
    requests: usize,
) -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = thread::spawn(move || {
        for _ in 0..requests {
            let (mut socket, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                asked.push(byte[0]);
            }
            let asked = String::from_utf8(asked).unwrap();
            let target = asked.split(' ').nth(1).unwrap();
            let found = documents.iter().find(|(path, ..)| *path == target);
            let (status, body) =
                found.map_or((404, "nothing\n"), |(_, status, body)| (*status, body.as_str()));
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
            socket.write_all((head + body).as_bytes()).unwrap();
        }
    });
    (address, served)
}
