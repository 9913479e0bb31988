//! Objects whose bytes move by RDMA: the operations against a peer on a fabric in memory.
//!
//! The peer is a queue pair and a window; what it and the gateway say to each other before is the door's.

use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ::rdma::fabric::loopback::Network;
use ::rdma::fabric::{
    Buffer, Connected, Connection, Endpoint, Fabric, Gid, Initialised, Mtu, Peer, Psn, Qpn,
    QueuePair, QueuePairOptions, QueuePairShape, RemoteAccess, RemoteWindow, Window, Work,
};
use ::rdma::server::{
    Connect, LaneServer, Operation, Order, Prepare, Prepared, ReadyHeaders, Server, SessionError,
    Settings,
};
use ::rdma::transfer::FrameSink;
use ::rdma::wire::{ChecksumAlgorithm, Cookie, Crc32c, Crc64Nvme, RcToken, SessionId};
use datapath::StoreError;
use datapath::arena::{Arena, Frame};
use http::Request;
use http::request::Builder;

use super::{Answer, Client, content, digest, tag, with_client_and_arena};
use crate::auth::Identity;
use crate::body::checksum::{Algorithm, Value};
use crate::body::{Promised, PromisedValue};
use crate::door::unwind;
use crate::rdma::delivery::{Delivery, DeliveryOutcome};
use crate::rdma::receipts::Receipts;

const PRINCIPAL: &str = "AKIDEXAMPLE";
const SHAPE: QueuePairShape = QueuePairShape { send_depth: 16, receive_depth: 4 };

/// A gateway's RDMA half on its lane, and a peer with a pooled connection to it.
struct Rdma<'a> {
    client: &'a Client,
    server: Arc<Server>,
    lane: LaneServer,
    receipts: Arc<Receipts>,
    fabric: Arc<dyn Fabric>,
    endpoint: Endpoint,
    /// The peer's end of the connection.
    _queue_pair: QueuePair<Connected>,
    connection: SessionId,
}

fn gid(last: u8) -> Gid {
    Gid::from_ipv4(Ipv4Addr::new(192, 0, 2, last))
}

fn psn() -> Psn {
    Psn::new(77).unwrap()
}

/// Connects a queue pair of the peer's to what the gateway has answered.
fn connected(pair: QueuePair<Initialised>, token: &RcToken, theirs: Psn) -> QueuePair<Connected> {
    let qpn = Qpn::new(token.qpn).unwrap();
    let peer = Peer { qpn, gid: token.gid, lid: token.lid, psn: theirs };
    let path_mtu = Mtu::B1024;
    pair.connect(&Connection { peer, local: gid(2), psn: psn(), path_mtu }).unwrap()
}

impl<'a> Rdma<'a> {
    fn new(client: &'a Client, arena: &Arena) -> Rdma<'a> {
        let network = Network::new();
        let settings = Settings { path_mtu: Some(Mtu::B1024), ..Settings::default() };
        let server = Server::new(network.fabric(gid(1), Some(arena)), settings, 1);
        let lane = LaneServer::open(&server, 0).unwrap();
        let fabric = network.fabric(gid(2), None);
        let endpoint = Endpoint::open(&fabric).unwrap();
        let options = QueuePairOptions { shape: SHAPE, access: RemoteAccess::ReadWrite };
        let pair = endpoint.queue_pair(&options).unwrap();
        let token = RcToken::identity(pair.number(), gid(2), 1, 0);
        let connect = Connect { principal: PRINCIPAL.into(), token, psn: psn() };
        let answer = lane.connect(connect).unwrap();
        Rdma {
            client,
            server,
            receipts: Arc::default(),
            _queue_pair: connected(pair, &answer.token, answer.psn),
            connection: answer.connection,
            lane,
            fabric,
            endpoint,
        }
    }

    fn window(&self, bytes: usize) -> Window {
        Buffer::allocate(&*self.fabric, bytes).unwrap().expose(RemoteAccess::ReadWrite).unwrap()
    }

    fn window_with(&self, bytes: &[u8]) -> Window {
        let mut buffer = Buffer::allocate(&*self.fabric, bytes.len()).unwrap();
        buffer.as_mut_slice().unwrap().copy_from_slice(bytes);
        buffer.expose(RemoteAccess::ReadWrite).unwrap()
    }

    async fn delivery(
        &self,
        window: RemoteWindow,
        operation: Operation,
        checksum: ChecksumAlgorithm,
    ) -> Result<Delivery, SessionError> {
        let claim = self.server.connection(self.connection, PRINCIPAL)?;
        let transfer = self.lane.acquire(claim, window, operation, checksum).await?;
        Ok(Delivery::new(transfer, Arc::clone(&self.receipts)))
    }

    /// Sends a request whose bytes move through the connection.
    async fn send(
        &self,
        request: Builder,
        window: RemoteWindow,
        operation: Operation,
        promised: Promised,
    ) -> (Answer, DeliveryOutcome) {
        let checksum = ChecksumAlgorithm::Crc64Nvme;
        let delivery = self.delivery(window, operation, checksum).await.unwrap();
        self.answered(request, delivery, promised).await
    }

    async fn answered(
        &self,
        request: Builder,
        delivery: Delivery,
        promised: Promised,
    ) -> (Answer, DeliveryOutcome) {
        let signed = Identity::Key(PRINCIPAL.into());
        let request = request.extension(delivery.clone());
        let answer = self.client.send_as(signed, promised, request, "").await;
        (answer, delivery.outcome())
    }

    async fn get(&self, request: Builder, window: Window) -> (Answer, DeliveryOutcome, Buffer) {
        let remote = window.remote();
        let (answer, outcome) =
            self.send(request, remote, Operation::Get, Promised::default()).await;
        (answer, outcome, window.reclaim())
    }

    async fn put(
        &self,
        request: Builder,
        bytes: &[u8],
        promised: Promised,
    ) -> (Answer, DeliveryOutcome) {
        let window = self.window_with(bytes);
        let answer = self.send(request, window.remote(), Operation::Put, promised).await;
        drop(window.revoke().unwrap());
        answer
    }

    /// PREPARE of a session, and the peer's queue pair.
    async fn prepared(
        &self,
        operation: Operation,
        target: &str,
        size: usize,
    ) -> (Prepared, QueuePair<Connected>) {
        let access = match operation {
            Operation::Get => RemoteAccess::Write,
            Operation::Put => RemoteAccess::None,
        };
        let pair = self.endpoint.queue_pair(&QueuePairOptions { shape: SHAPE, access }).unwrap();
        if operation == Operation::Get {
            pair.post_receive().unwrap();
        }
        let order = Order {
            operation,
            target: target.into(),
            size: size as u64,
            offset: 0,
            entity_tag: None,
        };
        let prepare = Prepare {
            principal: PRINCIPAL.into(),
            token: RcToken::identity(pair.number(), gid(2), 1, 0),
            psn: psn(),
            cookie: cookie(),
            order,
        };
        let prepared = self.lane.prepare(prepare).await.unwrap();
        self.lane.answered(prepared.session);
        let pair = connected(pair, &prepared.token, prepared.psn);
        (prepared, pair)
    }

    /// READY.
    async fn ready(&self, session: SessionId, qpn: Qpn, window: Option<RemoteWindow>) -> Delivery {
        let claim = self.server.claim(session, cookie(), PRINCIPAL).unwrap();
        let checksum = ChecksumAlgorithm::Crc64Nvme;
        let transfer =
            self.lane.begin(claim, ReadyHeaders { qpn, window, checksum }).await.unwrap();
        Delivery::new(transfer, Arc::clone(&self.receipts))
    }
}

const METHOD: &str = "x-amz-server-side-encryption";

fn cookie() -> Cookie {
    Cookie::new(0x1a2b_3c4d).unwrap()
}

/// Runs a test on a store and a lane of its own; at the end nothing may be left of any transfer.
fn with_rdma(test: impl AsyncFnOnce(&Rdma<'_>)) {
    with_client_and_arena(async |client, arena| {
        let rdma = Rdma::new(client, arena);
        test(&rdma).await;
        rdma.lane.close().await;
        let stats = arena.stats();
        assert_eq!((stats.reads.reserved_bytes, stats.writes.reserved_bytes), (0, 0));
    });
}

fn crc64(bytes: &[u8]) -> String {
    Crc64Nvme::of(bytes).to_string()
}

#[test]
fn objects_are_delivered_with_all_that_is_said_of_them() {
    with_rdma(async |rdma| {
        let mut copied = 0;
        for size in [1, 1000, 4096, 70_000, 3_000_001] {
            let body = content(size, 7);
            let put = Request::put("/bucket/key").header("x-amz-meta-colour", "blue");
            rdma.client.send(put, body.clone()).await.assert_ok();
            let plain = rdma.client.get("/bucket/key").await;
            for spare in [0, 100] {
                let window = rdma.window(size + spare);
                let (answer, outcome, buffer) = rdma.get(Request::get("/bucket/key"), window).await;
                assert_eq!(outcome, DeliveryOutcome::Moved);
                assert!(answer.assert_ok().body.is_empty());
                assert!(buffer.as_slice()[..size] == body, "{size} bytes differ");
                assert!(buffer.as_slice()[size..].iter().all(|byte| *byte == 0));
                for (name, value) in [
                    ("content-length", "0"),
                    ("x-amz-rdma-reply", "200"),
                    ("x-amz-rdma-bytes-transferred", &size.to_string()),
                    ("x-amz-rdma-checksum-crc64nvme", &crc64(&body)),
                    ("x-amz-meta-colour", "blue"),
                    ("etag", &tag(&body)),
                    ("last-modified", plain.header("last-modified")),
                    ("content-type", plain.header("content-type")),
                ] {
                    assert_eq!(answer.header(name), value, "{name}");
                }
                copied += if size <= 1024 { size as u64 } else { 0 };
                assert_eq!(rdma.receipts.copied_bytes(), copied, "records alone are copied");
            }
        }
        assert_eq!(rdma.receipts.delivered_bytes(), 2 * (1 + 1000 + 4096 + 70_000 + 3_000_001));
    });
}

#[test]
fn ranges_and_parts_are_delivered_to_the_start_of_the_window() {
    with_rdma(async |rdma| {
        let body = content(200_000, 9);
        rdma.client.put("/bucket/key", body.clone()).await.assert_ok();
        for (range, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=65535-131072", 65_535..131_073),
            ("bytes=-1", 199_999..200_000),
        ] {
            let request = Request::get("/bucket/key").header("range", range);
            let (answer, _, buffer) = rdma.get(request, rdma.window(70_000)).await;
            assert_eq!((answer.status, answer.header("x-amz-rdma-reply")), (206, "206"), "{range}");
            let content_range = format!("bytes {}-{}/200000", expected.start, expected.end - 1);
            assert_eq!(answer.header("content-range"), content_range);
            assert_eq!(answer.header("content-length"), "0");
            assert_eq!(
                answer.header("x-amz-rdma-checksum-crc64nvme"),
                crc64(&body[expected.clone()])
            );
            assert!(buffer.as_slice()[..expected.len()] == body[expected], "{range}");
        }
        let request = Request::get("/bucket/key?partNumber=1");
        let (answer, _, buffer) = rdma.get(request, rdma.window(200_000)).await;
        assert_eq!((answer.status, answer.header("x-amz-rdma-reply")), (206, "206"));
        assert!(buffer.as_slice() == body);
        let window = rdma.window(10);
        let crc32c = ChecksumAlgorithm::Crc32c;
        let delivery = rdma.delivery(window.remote(), Operation::Get, crc32c).await.unwrap();
        let request = Request::get("/bucket/key").header("range", "bytes=5-14");
        let (answer, _) = rdma.answered(request, delivery, Promised::default()).await;
        let wanted = Crc32c::of(&body[5..15]).to_string();
        assert_eq!(answer.header("x-amz-rdma-checksum-crc32c"), wanted);
        drop(window.reclaim());
    });
}

#[test]
fn the_checksum_that_was_asked_for_is_told_of_uploads_and_of_nothing() {
    with_rdma(async |rdma| {
        let (crc32c, body) = (ChecksumAlgorithm::Crc32c, content(100_000, 4));
        let window = rdma.window_with(&body);
        let delivery = rdma.delivery(window.remote(), Operation::Put, crc32c).await.unwrap();
        let (answer, _) =
            rdma.answered(Request::put("/bucket/key"), delivery, Promised::default()).await;
        let told = answer.assert_ok().header("x-amz-rdma-checksum-crc32c");
        assert_eq!(told, Crc32c::of(&body).to_string());
        assert!(!answer.headers.contains_key("x-amz-rdma-checksum-crc64nvme"));
        // It is no part of the object: nobody promised it.
        assert!(!answer.headers.contains_key("x-amz-checksum-crc32c"));

        rdma.client.put("/bucket/empty", "").await.assert_ok();
        let delivery = rdma.delivery(window.remote(), Operation::Get, crc32c).await.unwrap();
        let (answer, _) =
            rdma.answered(Request::get("/bucket/empty"), delivery, Promised::default()).await;
        let told = answer.assert_ok().header("x-amz-rdma-checksum-crc32c");
        assert_eq!(told, Crc32c::of(&[]).to_string());
        drop(window.revoke());
    });
}

#[test]
fn what_is_not_delivered_leaves_the_window_and_the_connection_alone() {
    with_rdma(async |rdma| {
        let body = content(100_000, 3);
        rdma.client.put("/bucket/key", body.clone()).await.assert_ok();
        rdma.client.put("/bucket/empty", "").await.assert_ok();
        let get = || Request::get("/bucket/key");
        let current = tag(&body);
        for (request, status) in [
            (get().header("if-none-match", &current), 304),
            (get().header("if-match", "\"other\""), 412),
            (get().header("range", "bytes=100000-"), 416),
            (Request::get("/bucket/missing"), 404),
            (Request::get("/none/key"), 404),
        ] {
            let (answer, outcome, buffer) = rdma.get(request, rdma.window(100_000)).await;
            assert_eq!((answer.status, outcome), (status, DeliveryOutcome::Unused));
            assert!(!answer.headers.contains_key("x-amz-rdma-reply"), "{status}");
            assert!(buffer.as_slice().iter().all(|byte| *byte == 0));
        }
        let (answer, outcome, buffer) = rdma.get(get(), rdma.window(99_999)).await;
        let declined = DeliveryOutcome::Declined { needed: 100_000, window: 99_999 };
        assert_eq!((answer.status, outcome), (501, declined));
        assert!(buffer.as_slice().iter().all(|byte| *byte == 0), "never in part");
        assert_eq!(rdma.receipts.declined(), 1);

        let (answer, outcome, _) = rdma.get(Request::get("/bucket/empty"), rdma.window(1)).await;
        assert_eq!(outcome, DeliveryOutcome::Moved);
        assert_eq!(answer.assert_ok().header("x-amz-rdma-reply"), "200");
        assert_eq!(answer.header("x-amz-rdma-bytes-transferred"), "0");
        let (answer, ..) = rdma.get(get(), rdma.window(100_000)).await;
        assert_eq!(answer.assert_ok().header("x-amz-rdma-bytes-transferred"), "100000");
    });
}

#[test]
fn objects_are_taken_from_the_clients_memory() {
    with_rdma(async |rdma| {
        for size in [1, 1000, 4096, 65_537, 5_000_001] {
            let body = content(size, 5);
            let request = Request::put("/bucket/key").header("x-amz-meta-colour", "blue");
            let (answer, outcome) = rdma.put(request, &body, Promised::default()).await;
            assert_eq!(outcome, DeliveryOutcome::Moved);
            for (name, value) in [
                ("etag", tag(&body).as_str()),
                ("content-length", "0"),
                ("x-amz-rdma-reply", "200"),
                ("x-amz-rdma-bytes-transferred", &size.to_string()),
                ("x-amz-rdma-checksum-crc64nvme", &crc64(&body)),
                ("x-amz-checksum-crc64nvme", &crc64(&body)),
            ] {
                assert_eq!(answer.assert_ok().header(name), value, "{name}");
            }
            let got = rdma.client.get("/bucket/key").await;
            assert!(got.assert_ok().body == body, "{size} bytes differ");
            assert_eq!(got.header("x-amz-meta-colour"), "blue");
            // Back the same way, with no copy however small it is.
            let (_, _, buffer) = rdma.get(Request::get("/bucket/key"), rdma.window(size)).await;
            assert!(buffer.as_slice() == body);
        }
        assert_eq!(rdma.receipts.collected_bytes(), 1 + 1000 + 4096 + 65_537 + 5_000_001);
        assert_eq!((rdma.receipts.copied_bytes(), rdma.receipts.staging_copied_bytes()), (0, 0));
    });
}

#[test]
fn promised_checksums_are_held_against_the_bytes_read() {
    with_rdma(async |rdma| {
        let body = content(300_000, 8);
        rdma.client.put("/bucket/key", "before").await.assert_ok();
        for algorithm in Algorithm::ALL {
            let right = digest(algorithm, &body);
            let wrong = Value::from_bytes(&vec![0x55; algorithm.value_bytes()]).unwrap();
            for (value, status) in [(wrong, 400), (right, 200)] {
                let checksum = Some((algorithm, PromisedValue::Header(value)));
                let promised = Promised { checksum, ..Promised::default() };
                let key = format!("/bucket/{algorithm}");
                let (answer, outcome) = rdma.put(Request::put(&key), &body, promised).await;
                assert_eq!(
                    (answer.status, outcome),
                    (status, DeliveryOutcome::Moved),
                    "{algorithm}"
                );
                let got = rdma.client.get(&key).await;
                if status == 200 {
                    assert_eq!(answer.header(algorithm.header()), right.to_base64());
                    assert!(got.assert_ok().body == body);
                } else {
                    answer.assert_code(400, "BadDigest");
                    assert!(!answer.headers.contains_key("x-amz-rdma-reply"));
                    got.assert_code(404, "NoSuchKey");
                }
            }
        }
    });
}

#[test]
fn what_is_encrypted_is_declined_and_nothing_moves() {
    with_rdma(async |rdma| {
        let encrypted = || Request::put("/bucket/key").header(METHOD, "AES256");
        let (answer, outcome) = rdma.put(encrypted(), b"content", Promised::default()).await;
        assert_eq!((answer.status, outcome), (501, DeliveryOutcome::Encrypted));
        rdma.client.get("/bucket/key").await.assert_code(404, "NoSuchKey");
        let body = content(100_000, 3);
        rdma.client.send(encrypted(), body.clone()).await.assert_ok();
        let (answer, outcome, buffer) =
            rdma.get(Request::get("/bucket/key"), rdma.window(100_000)).await;
        assert_eq!((answer.status, outcome), (501, DeliveryOutcome::Encrypted));
        assert!(buffer.as_slice().iter().all(|byte| *byte == 0));
        // In the body it comes.
        assert!(rdma.client.get("/bucket/key").await.assert_ok().body == body);
    });
}

#[test]
fn what_is_refused_is_refused_before_a_byte_is_read() {
    with_rdma(async |rdma| {
        rdma.client.put("/bucket/key", "before").await.assert_ok();
        let put = || Request::put("/bucket/key");
        for (request, status) in [
            (put().header("if-none-match", "*"), 412),
            (put().header("x-amz-server-side-encryption", "aws:kms:dsse"), 501),
            (put().header("x-amz-object-lock-mode", "GOVERNANCE"), 400),
            (Request::put("/none/key"), 404),
            (Request::put("/bucket/key?partNumber=1&uploadId=1"), 404),
        ] {
            let (answer, outcome) = rdma.put(request, b"after", Promised::default()).await;
            assert_eq!((answer.status, outcome), (status, DeliveryOutcome::Unused));
        }
        // A body beside the token.
        let window = rdma.window_with(b"after");
        let crc = ChecksumAlgorithm::Crc64Nvme;
        let delivery = rdma.delivery(window.remote(), Operation::Put, crc).await.unwrap();
        let signed = Identity::Key(PRINCIPAL.into());
        let request = put().extension(delivery);
        let answer = rdma.client.send_as(signed, Promised::default(), request, "body").await;
        answer.assert_code(400, "InvalidArgument");
        assert_eq!(rdma.receipts.collected_bytes(), 0);
        assert_eq!(rdma.client.get("/bucket/key").await.body, "before");
        rdma.put(put(), b"after", Promised::default()).await.0.assert_ok();
        assert_eq!(rdma.client.get("/bucket/key").await.body, "after");
        drop(window.revoke());
    });
}

#[test]
fn a_token_that_nobody_has_carried_out_stores_nothing() {
    with_rdma(async |rdma| {
        let created = rdma.client.post("/bucket/key?uploads", "").await;
        let upload = created.element("UploadId").to_owned();
        let part = format!("/bucket/key?partNumber=1&uploadId={upload}");
        for target in ["/bucket/key", &part] {
            let request = Request::put(target).header("x-amz-rdma-token", "rc:1");
            rdma.client.send(request, "").await.assert_code(400, "InvalidArgument");
        }
        rdma.client.get("/bucket/key").await.assert_code(404, "NoSuchKey");
        let listed = rdma.client.get(&format!("/bucket/key?uploadId={upload}")).await;
        assert!(!listed.assert_ok().text().contains("<Part>"), "{}", listed.text());
    });
}

#[test]
fn parts_are_taken_and_complete_an_object() {
    with_rdma(async |rdma| {
        let created = rdma.client.post("/bucket/key?uploads", "").await;
        let upload = created.element("UploadId").to_owned();
        let parts = [content(5 << 20, 1), content(70_001, 2)];
        let mut list = String::new();
        for (at, part) in parts.iter().enumerate() {
            let uri = format!("/bucket/key?partNumber={}&uploadId={upload}", at + 1);
            let (answer, outcome) = rdma.put(Request::put(&uri), part, Promised::default()).await;
            assert_eq!((answer.status, outcome), (200, DeliveryOutcome::Moved));
            assert_eq!(answer.header("etag"), tag(part));
            assert_eq!(answer.header("x-amz-rdma-reply"), "200");
            list += &format!(
                "<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>",
                at + 1,
                tag(part)
            );
        }
        let document = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
        let uri = format!("/bucket/key?uploadId={upload}");
        rdma.client.post(&uri, document).await.assert_ok();
        let whole = [&parts[0][..], &parts[1][..]].concat();
        let (answer, _, buffer) =
            rdma.get(Request::get("/bucket/key"), rdma.window(whole.len())).await;
        assert_eq!(answer.header("x-amz-rdma-checksum-crc64nvme"), crc64(&whole));
        assert!(buffer.as_slice() == whole);
        let (answer, _, buffer) =
            rdma.get(Request::get("/bucket/key?partNumber=2"), rdma.window(70_001)).await;
        assert_eq!((answer.status, answer.header("x-amz-mp-parts-count")), (206, "2"));
        assert!(buffer.as_slice() == parts[1]);
        assert_eq!(rdma.receipts.copied_bytes(), 0);
    });
}

#[test]
fn a_transfer_that_fails_stores_nothing_and_says_so() {
    with_rdma(async |rdma| {
        rdma.client.put("/bucket/key", "before").await.assert_ok();
        let window = rdma.window_with(&content(300_000, 1));
        let closed = RemoteWindow { rkey: window.remote().rkey ^ 0x5555, ..window.remote() };
        let request = Request::put("/bucket/key");
        let (answer, outcome) =
            rdma.send(request, closed, Operation::Put, Promised::default()).await;
        answer.assert_code(500, "RDMATransferFailed");
        assert_eq!(outcome, DeliveryOutcome::FailedQuiet { rearmed: false });
        assert!(!answer.headers.contains_key("x-amz-rdma-reply"));
        assert_eq!(rdma.client.get("/bucket/key").await.body, "before");
        // The queue pair was in error: its connection is gone.
        let crc = ChecksumAlgorithm::Crc64Nvme;
        let again = rdma.delivery(window.remote(), Operation::Put, crc).await.map(drop);
        assert_eq!(again, Err(SessionError::Unknown));
        drop(window.revoke());
    });
}

#[test]
fn a_get_that_fails_leaves_a_quiet_window_for_the_body() {
    with_rdma(async |rdma| {
        let body = content(300_000, 1);
        rdma.client.put("/bucket/key", body.clone()).await.assert_ok();
        let window = rdma.window(300_000);
        let closed = RemoteWindow { rkey: window.remote().rkey ^ 0x5555, ..window.remote() };
        let request = Request::get("/bucket/key");
        let (answer, outcome) =
            rdma.send(request, closed, Operation::Get, Promised::default()).await;
        answer.assert_code(500, "RDMATransferFailed");
        assert_eq!(outcome, DeliveryOutcome::FailedQuiet { rearmed: false });
        assert_eq!(rdma.receipts.delivered_bytes(), 0);
        assert!(rdma.client.get("/bucket/key").await.assert_ok().body == body);
        drop(window.revoke());
    });
}

/// A sink that panics when it is asked for the second time, while the first frame is being filled.
struct Panicking(datapath::FrameWriter, bool);

impl FrameSink for Panicking {
    type Error = StoreError;

    async fn next_frame(&mut self) -> Result<(Frame, usize), StoreError> {
        assert!(!std::mem::replace(&mut self.1, true), "as asked");
        let frame = self.0.next_frame().await?;
        Ok(frame.expect("the first"))
    }

    async fn filled(&mut self, _: Frame) -> Result<(), StoreError> {
        unreachable!("nothing is filled before the panic")
    }
}

#[test]
fn a_panic_while_bytes_move_goes_on_after_the_fence() {
    with_rdma(async |rdma| {
        let body = content(3_000_000, 1);
        let window = rdma.window_with(&body);
        let crc = ChecksumAlgorithm::Crc64Nvme;
        let delivery = rdma.delivery(window.remote(), Operation::Put, crc).await.unwrap();
        let writer = rdma.client.lane.frame_writer(delivery.size()).await.unwrap();
        let mut sink = Panicking(writer, false);
        let before = rdma.server.stats();
        assert_eq!((before.queue_pairs, before.fences), (1, 0));
        let panic = unwind::caught(pin!(delivery.receive(&mut sink, None))).await;
        assert_eq!(panic.map(drop), Err("as asked".to_owned()));
        // Whoever has caught it answers now.
        let after = rdma.server.stats();
        assert_eq!((after.queue_pairs, after.fences, after.transfers_active), (0, 1, 0));
        drop((sink, window.revoke()));
    });
}

#[test]
fn a_client_that_goes_away_stores_nothing() {
    with_rdma(async |rdma| {
        rdma.client.put("/bucket/key", "before").await.assert_ok();
        // A session whose client never writes: the operation waits, and is dropped.
        let (prepared, pair) = rdma.prepared(Operation::Put, "/bucket/key", 200_000).await;
        let delivery = rdma.ready(prepared.session, pair.number(), None).await;
        let work = rdma.answered(Request::put("/bucket/key"), delivery, Promised::default());
        let left = tokio::time::timeout(Duration::from_millis(50), work).await;
        assert!(left.is_err(), "nothing came");
        rdma.lane.close().await;
        assert_eq!(rdma.server.stats().sessions, 0);
        assert_eq!(rdma.client.get("/bucket/key").await.body, "before");
    });
}

#[test]
fn sessions_take_and_give_objects() {
    with_rdma(async |rdma| {
        for size in [1, 64, 70_000, 2_000_003] {
            let body = content(size, 6);
            let (prepared, pair) = rdma.prepared(Operation::Put, "/bucket/key", size).await;
            let mut source = Buffer::allocate(&*rdma.fabric, size).unwrap();
            source.as_mut_slice().unwrap().copy_from_slice(&body);
            let immediate = Some(cookie().number());
            let to = prepared.staging.unwrap();
            pair.post(Work::Write { source: source.lend(), to, immediate }, true).unwrap();
            let delivery = rdma.ready(prepared.session, pair.number(), None).await;
            let request = Request::put("/bucket/key");
            let (answer, outcome) = rdma.answered(request, delivery, Promised::default()).await;
            assert_eq!(outcome, DeliveryOutcome::Moved, "{}", answer.text());
            assert_eq!(answer.assert_ok().header("etag"), tag(&body));
            assert_eq!(answer.header("x-amz-rdma-bytes-transferred"), size.to_string());
            assert_eq!(answer.header("x-amz-rdma-checksum-crc64nvme"), crc64(&body));
            assert!(rdma.client.get("/bucket/key").await.body == body);
            let _ = pair.fence().await;

            let (prepared, pair) = rdma.prepared(Operation::Get, "/bucket/key", size).await;
            let window = rdma.window(size);
            let delivery = rdma.ready(prepared.session, pair.number(), Some(window.remote())).await;
            let range = format!("bytes=0-{}", size - 1);
            let request = Request::get("/bucket/key").header("range", range);
            let (answer, outcome) = rdma.answered(request, delivery, Promised::default()).await;
            assert_eq!((answer.status, outcome), (206, DeliveryOutcome::Moved));
            assert_eq!(answer.header("x-amz-rdma-bytes-transferred"), size.to_string());
            assert_eq!(pair.completion().await.unwrap().immediate, Some(cookie().number()));
            let _ = pair.fence().await;
            assert!(window.reclaim().as_slice() == body, "{size} bytes differ");
        }
        assert_eq!(rdma.receipts.staging_copied_bytes(), 1 + 64 + 70_000 + 2_000_003);
        assert_eq!(rdma.receipts.copied_bytes(), 0);
        assert_eq!(rdma.server.stats().sessions, 0);
    });
}

#[test]
fn a_session_whose_peer_never_answers_may_be_ready_again() {
    with_rdma(async |rdma| {
        let body = content(70_000, 4);
        rdma.client.put("/bucket/key", body.clone()).await.assert_ok();
        let (prepared, pair) = rdma.prepared(Operation::Get, "/bucket/key", body.len()).await;
        let window = rdma.window(body.len());
        let nobody = Qpn::new(pair.number().number() ^ 0x55_5555).unwrap();
        let delivery = rdma.ready(prepared.session, nobody, Some(window.remote())).await;
        let get = || Request::get("/bucket/key");
        let (answer, outcome) = rdma.answered(get(), delivery, Promised::default()).await;
        answer.assert_code(409, "RdmaPeerBusy");
        assert_eq!(outcome, DeliveryOutcome::FailedQuiet { rearmed: true });

        let delivery = rdma.ready(prepared.session, pair.number(), Some(window.remote())).await;
        let (answer, outcome) = rdma.answered(get(), delivery, Promised::default()).await;
        assert_eq!((answer.status, outcome), (200, DeliveryOutcome::Moved));
        let _ = pair.fence().await;
        assert!(window.reclaim().as_slice() == body);
    });
}

#[test]
fn a_transfer_is_for_one_operation() {
    with_rdma(async |rdma| {
        rdma.client.put("/bucket/key", "before").await.assert_ok();
        let window = rdma.window(6);
        // Taken for a PUT, used for a GET, and by an operation that has no bytes.
        let (answer, outcome) = rdma
            .send(Request::get("/bucket/key"), window.remote(), Operation::Put, Promised::default())
            .await;
        answer.assert_code(500, "RDMATransferFailed");
        assert_eq!(outcome, DeliveryOutcome::FailedQuiet { rearmed: false });
        let (answer, outcome) = rdma
            .send(
                Request::head("/bucket/key"),
                window.remote(),
                Operation::Get,
                Promised::default(),
            )
            .await;
        assert_eq!((answer.status, answer.header("content-length")), (200, "6"));
        assert!(!answer.headers.contains_key("x-amz-rdma-reply"));
        assert_eq!(outcome, DeliveryOutcome::Unused);
        drop(window.revoke());
    });
}

#[test]
fn a_full_store_refuses_and_leaves_the_connection() {
    with_rdma(async |rdma| {
        let window = rdma.window_with(&content(1000, 1));
        // Only the announced size counts: the store has 96 MiB.
        let large = RemoteWindow { size: 200 << 20, ..window.remote() };
        let request = Request::put("/bucket/key");
        let (answer, outcome) =
            rdma.send(request, large, Operation::Put, Promised::default()).await;
        answer.assert_code(507, "InsufficientStorage");
        assert_eq!(outcome, DeliveryOutcome::Unused);
        let (answer, _) =
            rdma.put(Request::put("/bucket/key"), &content(1000, 1), Promised::default()).await;
        answer.assert_ok();
        drop(window.revoke());
    });
}
