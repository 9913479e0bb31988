//! Transfers on a fabric in memory against a server that has no RDMA, and the HTTP side of them alone. That payloads
//! do go by RDMA is tested against the gateway, on real devices.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use rdma::client::{
    AnswerBody, AnswerHead, BodyRefused, Control, ControlError, ControlRequest, Method,
};
use rdma::fabric::{Gid, loopback};
use tokio::runtime::LocalOptions;

use super::{HttpControl, Protocol, Rdma};
use crate::client::Shared;
use crate::cpu::Processes;
use crate::endpoint::{Access, Endpoint};
use crate::operation::{Payload, Plan};
use crate::progress::Progress;
use crate::report::Report;
use crate::run::{Interrupt, Load, run};
use crate::scenario::{Mix, Scenario};
use crate::schedule::Arrivals;
use crate::sign::{Credentials, Signer};
use server::{Faults, Server, Speaks};

#[path = "../../tests/server/mod.rs"]
#[allow(dead_code)]
mod server;

fn endpoint(url: &str) -> Arc<Endpoint> {
    let credentials = Credentials {
        access_key: "key".to_owned(),
        secret_key: "secret".to_owned(),
        session_token: None,
    };
    let access = Access::Header(Signer::new(credentials, "us-east-1".to_owned()));
    let protocol = crate::endpoint::Protocol::Http1;
    Arc::new(Endpoint::new(url, "bench", access, protocol, true).expect("an endpoint"))
}

/// Runs on a runtime like those of the threads.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("a runtime")
        .block_on(future)
}

/// Keeps so many bytes of a body.
struct Kept {
    bytes: RefCell<Vec<u8>>,
    most: usize,
}

impl AnswerBody for &Kept {
    fn accept(&mut self, head: &AnswerHead, piece: &[u8]) -> Result<(), BodyRefused> {
        assert_ne!(head.status, 0, "the head comes before the body");
        let mut bytes = self.bytes.borrow_mut();
        bytes.extend_from_slice(piece);
        if bytes.len() > self.most { Err(BodyRefused) } else { Ok(()) }
    }
}

fn request(method: Method, target: &str) -> ControlRequest {
    ControlRequest {
        method,
        target: target.to_owned(),
        headers: vec![("x-amz-rdma-cookie", "1a2b3c4d".to_owned())],
        body: Bytes::new(),
        fresh_connection: false,
    }
}

#[test]
fn requests_share_a_connection_unless_they_want_their_own() {
    let server = Server::plain();
    block_on(async {
        let control = HttpControl::new(endpoint(&server.url()), Shared::new());
        let ask = async |request| {
            let kept = Kept { bytes: RefCell::default(), most: 1 << 20 };
            let head = control.exchange(request, &mut &kept).await.expect("an answer");
            (head, kept.bytes.into_inner())
        };
        let put = ControlRequest {
            body: Bytes::from_static(b"0123456789"),
            ..request(Method::Put, "/bench/k")
        };
        assert_eq!(ask(put).await.0.status, 200);
        let (head, body) = ask(request(Method::Get, "/bench/k")).await;
        assert_eq!((head.status, body.as_slice()), (200, &b"0123456789"[..]));
        assert_eq!(head.header("content-length"), Some("10"));
        let (head, body) = ask(request(Method::Head, "/bench/k")).await;
        assert_eq!((head.header("Content-Length"), body.len()), (Some("10"), 0));
        let (head, body) = ask(request(Method::Get, "/bench/none")).await;
        assert_eq!(
            (head.status, body.as_slice()),
            (404, &b"<Error><Code>NoSuchKey</Code></Error>"[..])
        );
        assert_eq!(server.state.connections.load(Ordering::Relaxed), 1);
        let fresh = ControlRequest { fresh_connection: true, ..request(Method::Get, "/bench/k") };
        assert_eq!(ask(fresh).await.0.status, 200);
        assert_eq!(ask(request(Method::Get, "/bench/k")).await.0.status, 200);
        assert_eq!(server.state.connections.load(Ordering::Relaxed), 2);
        let requests = server.state.requests.lock().expect("no panic");
        let signed = |request: &server::Seen| {
            let authorization = request.headers["authorization"].to_str().expect("text");
            authorization.contains(";x-amz-rdma-cookie,")
        };
        assert!(requests.iter().all(signed));
        assert_eq!(requests[0].headers["content-length"], "10");
    });
}

#[test]
fn a_body_that_is_not_wanted_ends_its_connection_and_no_other() {
    let server = Server::plain();
    server.put("/bench/k", 1 << 20);
    block_on(async {
        let control = HttpControl::new(endpoint(&server.url()), Shared::new());
        let kept = Kept { bytes: RefCell::default(), most: 1000 };
        let refused = control.exchange(request(Method::Get, "/bench/k"), &mut &kept).await;
        assert_eq!(refused, Err(ControlError::BodyRefused));
        let kept = Kept { bytes: RefCell::default(), most: 1 << 20 };
        let head = control.exchange(request(Method::Get, "/bench/k"), &mut &kept).await;
        assert_eq!(head.map(|head| head.status), Ok(200));
        assert_eq!(kept.bytes.borrow().len(), 1 << 20);
        assert_eq!(server.state.connections.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn a_request_to_nobody_was_not_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    block_on(async {
        let control = HttpControl::new(endpoint(&url), Shared::new());
        let kept = Kept { bytes: RefCell::default(), most: 0 };
        let answer = control.exchange(request(Method::Put, "/bench/k"), &mut &kept).await;
        assert!(matches!(answer, Err(ControlError::NotSent(_))), "{answer:?}");
    });
}

fn plan(url: &str, mix: &str, protocol: Protocol, fallback: bool) -> Arc<Plan> {
    let sizes: crate::scenario::Sizes = "0,1,4KiB,300KB".parse().expect("sizes");
    let mix: Mix = mix.parse().expect("a mix");
    let fabric = loopback::Network::new().fabric(Gid::from_ipv4([10, 0, 0, 1].into()), None);
    Arc::new(Plan {
        endpoint: endpoint(url),
        scenario: Scenario::new(1, "p/".to_owned(), 20, sizes, mix),
        targets: Default::default(),
        payload: Payload::Unsigned,
        part_size: 100_000,
        verify: true,
        rdma: Some(Rdma { protocol, fabric, fallback }),
        transfer_bytes_max: 300_000,
    })
}

fn report(plan: &Arc<Plan>) -> Report {
    let load = Load {
        connections: 3,
        threads: 2,
        rate: None,
        arrivals: Arrivals::Uniform,
        seed: 1,
        duration: None,
        requests: Some(20),
        warmup: Duration::ZERO,
        timeout: Duration::from_secs(20),
        errors_max: 5,
    };
    block_on(async {
        let mut interrupt = Interrupt::new().expect("signals");
        let mut progress = Progress::new(true);
        let outcome = run(plan, &load, &Processes::default(), &mut progress, &mut interrupt).await;
        Report::new("test", plan, &load, &outcome.expect("a run"))
    })
}

#[test]
fn what_a_server_without_rdma_declines_goes_by_http_and_is_told() {
    for protocol in [Protocol::Pooled, Protocol::Session] {
        let faults = Faults { rdma_off: true, ..Faults::default() };
        let server = Server::start(Speaks::Http1, faults);
        // Parts count for themselves: a fourth part or so of the 20 objects has three.
        let put = report(&plan(&server.url(), "put", protocol, true));
        assert!(put.is_success(), "{}", put.table());
        let rdma = put.rdma.as_ref().expect("it was asked for");
        assert_eq!((rdma.by_rdma, rdma.by_rdma_bytes), (0, 0));
        assert!(rdma.by_http > put.total.requests, "{}", put.table());
        assert_eq!(rdma.by_http_bytes, put.total.bytes);
        let reasons: u64 = rdma.declines.iter().map(|decline| decline.count).sum();
        assert_eq!(reasons, rdma.by_http);

        let get = report(&plan(&server.url(), "get", protocol, false));
        assert_eq!((get.total.requests, get.total.errors), (20, 0), "{}", get.table());
        assert_eq!(get.damage.count, 0, "{}", get.table());
        assert!(!get.is_success());
        let table = get.table();
        assert!(table.contains("nothing went by RDMA: "), "{table}");
        // Nothing was stored under a name that nobody asked for, and nothing is left half done.
        let stored = server.state.objects.lock().expect("no panic");
        assert_eq!(stored.len(), 20);
    }
}

#[test]
fn an_object_longer_than_the_buffer_is_damage() {
    let faults = Faults { rdma_off: true, ..Faults::default() };
    let server = Server::start(Speaks::Http1, faults);
    for object in 0..20 {
        server.put(&format!("/bench/p/{object:010}"), 2 << 20);
    }
    let plan = plan(&server.url(), "get", Protocol::Session, true);
    let report = report(&plan);
    assert!(report.damage.count > 0 && report.total.errors > 0, "{}", report.table());
    assert!(
        report
            .errors
            .iter()
            .all(|error| ["content differs", "wrong size"].contains(&error.kind.as_str()))
    );
}
