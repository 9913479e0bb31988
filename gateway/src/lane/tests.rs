//! Lanes and door over real sockets, on every engine this machine allows.
//!
//! The backend of these tests does what the path says; everything before it is the real thing.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use send_wrapper::SendWrapper;

use super::*;
use crate::config::{HandshakePlan, Receipts};
use crate::door::{Refused, RequestBody};
use crate::s3::{CrossOrigin, OriginVerdict};

const SECOND: Duration = Duration::from_secs(1);

struct TestApplication;
struct TestBackend;

impl Application for TestApplication {
    type Backend = TestBackend;

    fn open(&self, _: Engine, _: usize) -> Result<TestBackend, String> {
        Ok(TestBackend)
    }
}

struct LocalBody(SendWrapper<Pin<Box<RequestBody>>>);

impl Body for LocalBody {
    type Data = Bytes;
    type Error = s3s::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        // The fault's text is what these tests look at.
        self.0.as_mut().poll_frame(cx).map_err(|fault| fault.to_string().into())
    }
}

impl Backend for TestBackend {
    type Admission = ();

    fn admit(&self, parts: &Parts, _: SystemTime) -> Result<(), Refused> {
        match parts.uri.path().contains("refused") {
            true => Err(Refused::new(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied")),
            false => Ok(()),
        }
    }

    fn frame(&self, _: &mut Parts, (): (), body: RequestBody) -> Result<s3s::Body, Refused> {
        Ok(s3s::Body::http_body(LocalBody(SendWrapper::new(Box::pin(body)))))
    }

    async fn call(&self, request: Request<s3s::Body>) -> Result<Response<s3s::Body>, Refused> {
        let (parts, body) = request.into_parts();
        let number = || parts.uri.query().and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
        let text = |text: String| Response::new(s3s::Body::from(text));
        Ok(match parts.uri.path() {
            "/b/echo" => match body.collect().await {
                Ok(all) => text(format!("{} bytes", all.to_bytes().len())),
                Err(fault) => {
                    let mut response = text(fault.to_string());
                    *response.status_mut() = StatusCode::BAD_REQUEST;
                    response
                }
            },
            "/b/bytes" => Response::new(s3s::Body::from(vec![7u8; number() as usize])),
            "/b/slow" => {
                tokio::time::sleep(Duration::from_millis(number())).await;
                text("slow".into())
            }
            "/b/host" => text(parts.headers["host"].to_str().unwrap().to_owned()),
            "/b/panic" => panic!("as asked"),
            path => text(path.to_owned()),
        })
    }

    fn cross_origin(&self, _: &str, _: &CrossOrigin, _: &mut HeaderMap) -> OriginVerdict {
        OriginVerdict::NoRules
    }

    async fn set_public_read(&self, bucket: &str, _: bool) -> Result<(), OrderError> {
        Err(OrderError::NoSuchBucket(bucket.to_owned()))
    }

    async fn quiesce(&self) {}
}

struct Running {
    lanes: Option<Lanes>,
    address: SocketAddr,
}

impl Running {
    fn start(engine: Engine, limits: Limits) -> Running {
        let listeners = listener::bind(&["127.0.0.1:0".parse().unwrap()], 2).unwrap();
        let address = listeners[0][0].local_addr().unwrap();
        let door = DoorSettings {
            domains: vec!["s3.example.com".into()],
            host_id: HeaderValue::from_static("host"),
            receipts: Receipts::OnRequest,
        };
        let pinning = Pinning { cores: Vec::new() };
        let (door, sinks) = (Arc::new(door), Sinks::default());
        let measures = true;
        let secure = None;
        let plan = LanePlan { engine, pinning, limits, door, listeners, secure, measures, sinks };
        let lanes = Lanes::start(plan, Arc::new(TestApplication)).unwrap();
        Running { lanes: Some(lanes), address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(20 * SECOND)).unwrap();
        stream
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        read_to_close(&mut stream)
    }

    fn refusals(&self, reason: Refusal) -> u64 {
        let lanes = self.lanes.as_ref().unwrap();
        lanes.cells().iter().map(|lane| lane.refusals(reason)).sum()
    }

    /// Whether at least `count` were refused within five seconds: a lane counts what hyper refused
    /// when the connection has ended, which the client sees first.
    fn refuses(&self, reason: Refusal, count: u64) -> bool {
        let end = Instant::now() + 5 * SECOND;
        while self.refusals(reason) < count && Instant::now() < end {
            std::thread::sleep(SECOND / 100);
        }
        self.refusals(reason) >= count
    }

    fn open(&self) -> u64 {
        self.lanes.as_ref().unwrap().cells().iter().map(|lane| lane.open()).sum()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(lanes) = self.lanes.take() {
            lanes.drain(Duration::ZERO);
            lanes.join();
        }
    }
}

fn engines() -> Vec<Engine> {
    let mut engines = vec![Engine::Blocking];
    engines.extend(engine::probe().is_ok().then_some(Engine::IoUring));
    engines
}

fn limits() -> Limits {
    Limits {
        connections: 100,
        header_time: 20 * SECOND,
        idle_time: 60 * SECOND,
        body_window: 20 * SECOND,
        body_bytes: 1000,
        send_stall: 60 * SECOND,
        handshakes: HandshakePlan { time: 5 * SECOND, at_once: 8 },
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

fn closing(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{more}\r\n")
}

fn read_to_close(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads one response with a content length.
fn read_one(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0u8];
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8_lossy(&body)
}

/// Waits until the server has closed; fails when it does so before or after the given times.
fn closed_between(stream: &mut TcpStream, least: Duration, most: Duration) {
    let began = Instant::now();
    let outcome = io::copy(stream, &mut io::sink());
    let took = began.elapsed();
    assert!(took >= least && took <= most, "closed after {took:?}: {outcome:?}");
}

#[test]
fn requests_follow_each_other_on_one_connection_with_their_headers() {
    for engine in engines() {
        let server = Running::start(engine, limits());
        let mut stream = server.connect();
        let mut seen = Vec::new();
        for _ in 0..3 {
            stream.write_all(get("/b/key").as_bytes()).unwrap();
            let response = read_one(&mut stream);
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
            assert!(response.ends_with("\r\n\r\n/b/key"), "{response}");
            for header in ["server: Penstock\r\n", "x-amz-id-2: host\r\n", "date: "] {
                assert!(response.contains(header), "{header} in {response}");
            }
            let id = response.split("x-amz-request-id: ").nth(1).unwrap()[..18].to_owned();
            assert!(id.ends_with("\r\n") && !seen.contains(&id));
            seen.push(id);
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Running::start(Engine::Blocking, limits());
    let mut stream = server.connect();
    let both = get("/b/first") + &get("/b/second");
    stream.write_all(both.as_bytes()).unwrap();
    assert!(read_one(&mut stream).ends_with("/b/first"));
    assert!(read_one(&mut stream).ends_with("/b/second"));
}

#[test]
fn a_refused_put_is_answered_without_inviting_its_body() {
    for engine in engines() {
        let server = Running::start(engine, limits());
        let expecting = "PUT /b/refused HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\
                         Expect: 100-continue\r\n\r\n";
        let response = server.ask(expecting);
        assert!(response.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{response}");
        assert!(response.contains("connection: close"), "{response}");
        assert!(response.contains("<Code>AccessDenied</Code>"), "{response}");
        assert!(response.contains("<Resource>/b/refused</Resource>"), "{response}");
    }
}

#[test]
fn an_accepted_put_is_invited() {
    let server = Running::start(Engine::Blocking, limits());
    let mut stream = server.connect();
    let expecting =
        "PUT /b/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(expecting.as_bytes()).unwrap();
    assert!(read_one(&mut stream).starts_with("HTTP/1.1 100 Continue\r\n"));
    stream.write_all(b"0123456789").unwrap();
    assert!(read_one(&mut stream).ends_with("10 bytes"));
}

#[test]
fn a_small_refused_body_leaves_the_connection_usable() {
    let server = Running::start(Engine::Blocking, limits());
    let mut stream = server.connect();
    stream
        .write_all(b"PUT /b/refused HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789")
        .unwrap();
    let response = read_one(&mut stream);
    assert!(response.starts_with("HTTP/1.1 403") && !response.contains("connection: close"));
    stream.write_all(get("/b/next").as_bytes()).unwrap();
    assert!(read_one(&mut stream).ends_with("/b/next"));
}

#[test]
fn a_large_refused_body_does_not_cost_the_client_its_response() {
    for engine in engines() {
        let server = Running::start(engine, limits());
        let mut stream = server.connect();
        let length = 3 << 20;
        let head =
            format!("PUT /b/refused HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // Without lingering the server's reset makes this write or the read below fail.
        std::thread::sleep(Duration::from_millis(100));
        stream.write_all(&vec![1; length]).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let response = read_to_close(&mut stream);
        assert!(response.contains("<Code>AccessDenied</Code>"), "{response}");
    }
}

#[test]
fn a_panic_ends_its_request_and_nothing_else() {
    for engine in engines() {
        let server = Running::start(engine, limits());
        let mut stream = server.connect();
        for _ in 0..3 {
            stream.write_all(get("/b/panic").as_bytes()).unwrap();
            let response = read_one(&mut stream);
            assert!(response.starts_with("HTTP/1.1 500"), "{response}");
            assert!(response.contains("<Code>InternalError</Code>"), "{response}");
        }
        stream.write_all(get("/b/alive").as_bytes()).unwrap();
        assert!(read_one(&mut stream).ends_with("/b/alive"));
        assert!(server.refuses(Refusal::Panic, 3));
        assert_eq!(server.refusals(Refusal::Panic), 3);
    }
}

const ANNOUNCED: &str = "Origin: o\r\nAccess-Control-Request-Method: PUT\r\n";

#[test]
fn what_the_door_refuses_itself() {
    let server = Running::start(Engine::Blocking, limits());
    let long = format!("/b/{}", "x".repeat(limits::TARGET_BYTES_MAX));
    for (request, status, code) in [
        ("GET /b HTTP/1.1\r\nConnection: close\r\n\r\n".into(), "400", "InvalidRequest"),
        (closing("GET", "/b", "Host: i\r\n"), "400", "InvalidRequest"),
        (closing("TRACE", "/b", ""), "405", "MethodNotAllowed"),
        (closing("PATCH", "/b", ""), "405", "MethodNotAllowed"),
        (closing("OPTIONS", "/b", ""), "400", "BadRequest"),
        (closing("OPTIONS", "*", ""), "400", "BadRequest"),
        (closing("OPTIONS", "/b", "Origin: o\r\n"), "400", "BadRequest"),
        (closing("OPTIONS", "/b", ANNOUNCED), "403", "AccessForbidden"),
        (closing("GET", "/b", "Expect: miracles\r\n"), "417", "InvalidArgument"),
        (closing("GET", &long, ""), "414", "URITooLong"),
    ] {
        let response = server.ask(&request);
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{request}{response}");
        assert!(response.contains(&format!("<Code>{code}</Code>")), "{request}{response}");
    }
    let head = server.ask(&closing("HEAD", "/b/refused", ""));
    assert!(head.starts_with("HTTP/1.1 403") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn what_hyper_refuses() {
    let server = Running::start(Engine::Blocking, limits());
    let headers =
        |count: usize| -> String { (0..count).map(|n| format!("x-{n}: 1\r\n")).collect() };
    // Host and Connection are two of the hundred.
    let most = headers(limits::HEADERS_MAX - 2);
    assert!(server.ask(&closing("GET", "/b/k", &most)).starts_with("HTTP/1.1 200"));
    let over = headers(limits::HEADERS_MAX - 1);
    assert!(server.ask(&closing("GET", "/b/k", &over)).starts_with("HTTP/1.1 431"));
    let large = format!("x: {}\r\n", "y".repeat(limits::HEAD_BYTES_MAX));
    assert!(server.ask(&closing("GET", "/b/k", &large)).starts_with("HTTP/1.1 431"));
    assert!(server.ask("nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
    let twice = closing("PUT", "/b/k", "Content-Length: 1\r\nContent-Length: 2\r\n");
    assert!(server.ask(&twice).starts_with("HTTP/1.1 400"));
    assert!(server.refuses(Refusal::Protocol, 3));
}

#[test]
fn slow_heads_and_idle_connections_are_closed_in_time() {
    for engine in engines() {
        let short = Limits { header_time: SECOND, idle_time: 2 * SECOND, ..limits() };
        let server = Running::start(engine, short);
        let mut silent = server.connect();
        closed_between(&mut silent, SECOND / 2, 4 * SECOND);
        let mut partial = server.connect();
        partial.write_all(b"GET /b/k HTTP/1.1\r\nHo").unwrap();
        closed_between(&mut partial, SECOND / 2, 4 * SECOND);
        let mut idle = server.connect();
        idle.write_all(get("/b/k").as_bytes()).unwrap();
        read_one(&mut idle);
        closed_between(&mut idle, SECOND, 5 * SECOND);
        assert!(server.refuses(Refusal::HeaderTime, 2));
        assert_eq!(server.refusals(Refusal::HeaderTime), 2);
        assert!(server.refuses(Refusal::IdleTime, 1));
        assert_eq!(server.refusals(Refusal::IdleTime), 1);
    }
}

#[test]
fn a_body_that_stops_coming_is_refused() {
    for engine in engines() {
        let short = Limits { body_window: SECOND, ..limits() };
        let server = Running::start(engine, short);
        let mut stream = server.connect();
        stream
            .write_all(b"PUT /b/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nabc")
            .unwrap();
        let response = read_to_close(&mut stream);
        assert!(response.starts_with("HTTP/1.1 400"), "{response}");
        assert!(response.contains("within the timeout period"), "{response}");
        assert!(server.refuses(Refusal::BodyTime, 1));
        assert_eq!(server.refusals(Refusal::BodyTime), 1);
    }
}

#[test]
fn a_client_that_takes_nothing_is_closed_and_a_slow_one_is_served() {
    for engine in engines() {
        let short = Limits { send_stall: 2 * SECOND, ..limits() };
        let server = Running::start(engine, short);
        let request = get("/b/bytes?64000000");
        let (mut dead, mut slow) = (server.connect(), server.connect());
        dead.write_all(request.as_bytes()).unwrap();
        slow.write_all(request.as_bytes()).unwrap();
        let began = Instant::now();
        while server.open() < 2 {
            std::thread::sleep(SECOND / 100);
        }
        let mut piece = vec![0; 256 << 10];
        while server.open() > 1 {
            slow.read_exact(&mut piece).unwrap();
            std::thread::sleep(SECOND / 10);
            assert!(began.elapsed() < 20 * SECOND, "the dead client is still there");
        }
        assert!(began.elapsed() > SECOND, "closed too early");
        // The slow one has outlived the dead one and gets the rest.
        for _ in 0..20 {
            slow.read_exact(&mut piece).unwrap();
        }
    }
}

#[test]
fn one_connection_too_many_is_closed_and_the_others_go_on() {
    let server = Running::start(Engine::Blocking, Limits { connections: 2, ..limits() });
    let mut held: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(get("/b/k").as_bytes()).unwrap();
            read_one(&mut stream);
            stream
        })
        .collect();
    closed_between(&mut server.connect(), Duration::ZERO, 5 * SECOND);
    assert!(server.refuses(Refusal::Connections, 1));
    assert_eq!(server.refusals(Refusal::Connections), 1);
    held[0].write_all(get("/b/k").as_bytes()).unwrap();
    assert!(read_one(&mut held[0]).ends_with("/b/k"));
}

#[test]
fn a_drain_finishes_what_runs_and_takes_nothing_new() {
    for engine in engines() {
        let mut server = Running::start(engine, limits());
        let (mut busy, mut idle) = (server.connect(), server.connect());
        idle.write_all(get("/b/k").as_bytes()).unwrap();
        read_one(&mut idle);
        busy.write_all(get("/b/slow?700").as_bytes()).unwrap();
        std::thread::sleep(SECOND / 5);
        let lanes = server.lanes.take().unwrap();
        let began = Instant::now();
        lanes.drain(10 * SECOND);
        let response = read_to_close(&mut busy);
        assert!(response.ends_with("slow") && response.contains("connection: close"));
        assert_eq!(read_to_close(&mut idle), "");
        lanes.join();
        assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
        assert!(TcpStream::connect(server.address).is_err());
    }
}

/// Connections that are new when the drain begins: some wait in the kernel's queue with their
/// requests, some have none yet.
#[test]
fn a_drain_answers_requests_that_have_been_sent() {
    for engine in engines() {
        let mut server = Running::start(engine, limits());
        let lanes = server.lanes.take().unwrap();
        let mut silent = server.connect();
        std::thread::sleep(SECOND / 5);
        let mut asking: Vec<TcpStream> = (0..20)
            .map(|_| {
                let mut stream = server.connect();
                stream.write_all(get("/b/k").as_bytes()).unwrap();
                stream
            })
            .collect();
        let mut late = server.connect();
        lanes.drain(10 * SECOND);
        std::thread::sleep(limits::DRAIN_GRACE_TIME / 4);
        late.write_all(get("/b/late").as_bytes()).unwrap();
        for stream in &mut asking {
            assert!(read_to_close(stream).ends_with("/b/k"));
        }
        assert!(read_to_close(&mut late).ends_with("/b/late"));
        closed_between(&mut silent, Duration::ZERO, 5 * SECOND);
        lanes.join();
    }
}

#[test]
fn the_drain_deadline_cuts_off() {
    for engine in engines() {
        let mut server = Running::start(engine, limits());
        let mut busy = server.connect();
        busy.write_all(get("/b/slow?60000").as_bytes()).unwrap();
        std::thread::sleep(SECOND / 5);
        let mut lanes = server.lanes.take().unwrap();
        let began = Instant::now();
        lanes.drain(SECOND / 2);
        let ends: Vec<_> = (0..2).map(|_| lanes.ends.blocking_recv().unwrap()).collect();
        assert!(ends.iter().all(|(_, outcome)| outcome.is_ok()), "{ends:?}");
        let refused: u64 = lanes.cells().iter().map(|it| it.refusals(Refusal::Drain)).sum();
        lanes.join();
        assert_eq!(refused, 1);
        assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
        assert_eq!(read_to_close(&mut busy), "");
    }
}

#[test]
fn http2_with_prior_knowledge() {
    for engine in engines() {
        let mut server = Running::start(engine, limits());
        let address = server.address;
        let client = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        client.block_on(async {
            let socket = tokio::net::TcpStream::connect(address).await.unwrap();
            let (sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
                    .await
                    .unwrap();
            let connection = tokio::spawn(connection);
            let ask = |target: &'static str, body: &'static str| {
                let mut sender = sender.clone();
                async move {
                    let request = Request::put(target)
                        .body(http_body_util::Full::new(Bytes::from_static(body.as_bytes())))
                        .unwrap();
                    let response = sender.send_request(request).await.unwrap();
                    let status = response.status();
                    let body = response.into_body().collect().await.unwrap().to_bytes();
                    (status.as_u16(), body)
                }
            };
            let (one, two, three) = tokio::join!(
                ask("http://h/b/echo", "0123456789"),
                ask("http://photos.s3.example.com/b/host", ""),
                ask("http://h/b/bytes?1000000", ""),
            );
            assert_eq!(one, (200, Bytes::from_static(b"10 bytes")));
            assert_eq!(two, (200, Bytes::from_static(b"photos.s3.example.com")));
            assert_eq!((three.0, three.1.len()), (200, 1_000_000));
            assert_eq!(ask("http://h/b/refused", "0123456789").await.0, 403);
            // The drain says goodbye, and the request under way is still answered.
            let last = tokio::spawn(ask("http://h/b/slow?500", ""));
            tokio::time::sleep(SECOND / 10).await;
            let lanes = server.lanes.take().unwrap();
            lanes.drain(10 * SECOND);
            assert_eq!(last.await.unwrap(), (200, Bytes::from_static(b"slow")));
            connection.await.unwrap().unwrap();
            lanes.join();
        });
    }
}

#[test]
fn an_order_reaches_the_backend_and_its_answer_comes_back() {
    let server = Running::start(Engine::Blocking, limits());
    let (answer, outcome) = oneshot::channel();
    let what = OrderKind::PublicRead { bucket: "nowhere".into(), on: true };
    let orders = &server.lanes.as_ref().unwrap().orders;
    orders.blocking_send(Order { what, answer }).unwrap();
    let outcome = outcome.blocking_recv().unwrap();
    assert_eq!(outcome, Err(OrderError::NoSuchBucket("nowhere".into())));
}

#[test]
fn lanes_start_together_or_not_at_all() {
    struct Failing;
    impl Application for Failing {
        type Backend = TestBackend;
        fn open(&self, _: Engine, index: usize) -> Result<TestBackend, String> {
            match index {
                1 => Err("lane 1 cannot".into()),
                _ => Ok(TestBackend),
            }
        }
    }
    let listeners = listener::bind(&["127.0.0.1:0".parse().unwrap()], 3).unwrap();
    let address = listeners[0][0].local_addr().unwrap();
    let door = DoorSettings {
        domains: Vec::new(),
        host_id: HeaderValue::from_static("h"),
        receipts: Receipts::OnRequest,
    };
    let plan = LanePlan {
        engine: Engine::Blocking,
        pinning: Pinning { cores: Vec::new() },
        limits: limits(),
        door: Arc::new(door),
        secure: None,
        listeners,
        measures: true,
        sinks: Sinks::default(),
    };
    assert_eq!(Lanes::start(plan, Arc::new(Failing)).unwrap_err(), "lane 1 cannot");
    assert!(TcpStream::connect(address).is_err());
}
