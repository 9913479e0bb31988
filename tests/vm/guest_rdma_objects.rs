//! Objects by RDMA over soft-RoCE, of every size, in both protocols: content compared on both sides,
//! the server's counters held against the payload, and TCP and RDMA packets counted from outside.

use std::rc::Rc;

use penstock_tests::client::expect;
use penstock_tests::content::{content, crc64nvme_base64, md5_hex, pages, pages_from};
use penstock_tests::guest::{Guest, RDMA_PACKET_PAYLOAD_BYTES, RdmaPackets, TcpBytes};
use penstock_tests::rdma::{Bench, DEVICE, Host, Objects, Protocol, RdmaFigures};
use penstock_tests::server::Server;
use rdma::client::{Get, Put, Verification};

const BUCKET: &str = "rdma";
const MIB: u64 = 1 << 20;

/// What is compared at a time of an object too large to hold twice.
const PIECE_BYTES: usize = 32 << 20;

/// What the server's TCP may carry for one object, in both directions, headers of packets included.
const TCP_BYTES_PER_OBJECT: u64 = 64 << 10;

/// One object put and got with all meters read before and after.
async fn there_and_back(
    host: &Host,
    objects: &Objects,
    bench: &mut Bench,
    tcp: &TcpBytes,
    protocol: Protocol,
    bytes: u64,
) {
    let expected = pages(bytes, bytes as usize);
    let key = format!("{}-{bytes}", protocol.name());
    let meters =
        |server: &Server| (RdmaFigures::of(server), tcp.total(), RdmaPackets::of(DEVICE).sent());

    let before = meters(&bench.server);
    let put = Put::object(BUCKET, &key, bytes);
    let (_, outcome) = objects.put(protocol, &put, host.filled(&expected)).await;
    let after = meters(&bench.server);
    let moved = after.0.since(before.0);
    assert_eq!((moved.collected, moved.copied), (bytes, 0), "{key}: {moved:?}");
    match protocol {
        Protocol::Session => {
            assert_eq!((moved.written_by_peers, moved.read), (bytes, 0), "{key}: {moved:?}");
            assert_eq!(moved.staging_copied, bytes, "{key}: {moved:?}");
        }
        Protocol::Pooled => {
            assert_eq!((moved.read, moved.written_by_peers), (bytes, 0), "{key}: {moved:?}");
            assert_eq!(moved.staging_copied, 0, "{key}: {moved:?}");
        }
    }
    assert_outside(&format!("PUT of {key}"), bytes, after.1 - before.1, after.2 - before.2);
    let tag = format!("\"{}\"", md5_hex(&expected));
    assert_eq!(outcome.entity_tag.as_deref(), Some(&*tag), "{key}");

    let before = meters(&bench.server);
    let get = Get::object(BUCKET, &key);
    let (memory, outcome) = objects.get(protocol, &get, bytes, host.blank(bytes as usize)).await;
    let after = meters(&bench.server);
    assert!(memory.as_slice() == expected, "{key} came back different");
    assert_eq!(outcome.checksum, Verification::Verified, "{key}");
    let moved = after.0.since(before.0);
    assert_eq!((moved.delivered, moved.written), (bytes, bytes), "{key}: {moved:?}");
    assert_eq!(moved.responded, bytes, "by source: {key}: {moved:?}");
    assert_eq!((moved.copied, moved.staging_copied), (0, 0), "{key}: {moved:?}");
    assert_outside(&format!("GET of {key}"), bytes, after.1 - before.1, after.2 - before.2);

    let got = expect(bench.http.get(BUCKET, &key).unwrap(), 200).unwrap();
    assert!(got.body == expected, "{key} is different by HTTP");
}

fn assert_outside(what: &str, bytes: u64, tcp: u64, packets: u64) {
    println!("{what}: {bytes} bytes of payload, {tcp} bytes of TCP, {packets} RDMA packets");
    assert!(tcp < TCP_BYTES_PER_OBJECT, "{what}: {tcp} bytes of TCP");
    let least = bytes.div_ceil(RDMA_PACKET_PAYLOAD_BYTES);
    assert!(packets >= least, "{what}: {packets} RDMA packets for {bytes} bytes");
}

#[test]
fn objects_of_every_size_go_by_rdma_alone() {
    let Some(guest) = Guest::here("objects_of_every_size_go_by_rdma_alone") else {
        return;
    };
    let mut bench = Bench::start(&guest, BUCKET, 64 * MIB);
    Host::run(DEVICE, async |host| {
        let objects = Objects::new(&host, bench.asker());
        let tcp = TcpBytes::on("lo", bench.server.address.port());
        for bytes in [1, 4096, MIB, 64 * MIB] {
            for protocol in Protocol::ALL {
                there_and_back(&host, &objects, &mut bench, &tcp, protocol, bytes).await;
            }
        }
        objects.disconnect().await;
    });
    bench.stop();
}

/// One object that is as large as the protocols are made for.
#[test]
fn a_large_object_goes_by_rdma_alone() {
    let Some(guest) = Guest::here("a_large_object_goes_by_rdma_alone") else {
        return;
    };
    let full = std::env::var_os("GATEWAY_TEST_FULL").is_some();
    // In an emulated guest a gibibyte each way takes minutes, so that is the long form.
    let bytes = if full { 1 << 30 } else { 80_000_001 };
    let mut bench = Bench::start(&guest, BUCKET, bytes);
    let size = bytes as usize;
    // In pieces: the whole of it a second time would be too much memory.
    let pieces = || (0..size).step_by(PIECE_BYTES).map(|at| (at, PIECE_BYTES.min(size - at)));
    let piece = |(at, length)| pages_from(9, at, length);
    Host::run(DEVICE, async |host| {
        let objects = Objects::new(&host, bench.asker());
        let tcp = TcpBytes::on("lo", bench.server.address.port());
        let mut memory = host.blank(size);
        let slice = memory.as_mut_slice().expect("nothing is lent");
        for (at, length) in pieces() {
            slice[at..at + length].copy_from_slice(&piece((at, length)));
        }
        let rounds = [(Protocol::Session, Protocol::Pooled), (Protocol::Pooled, Protocol::Session)];
        for (put_by, got_by) in rounds.into_iter().take(if full { 2 } else { 1 }) {
            let before = (RdmaFigures::of(&bench.server), tcp.total());
            let put = Put::object(BUCKET, put_by.name(), bytes);
            (memory, _) = objects.put(put_by, &put, memory).await;
            memory.as_mut_slice().expect("nothing is lent any more").fill(0);
            let get = Get::object(BUCKET, put_by.name());
            (memory, _) = objects.get(got_by, &get, bytes, memory).await;
            for (at, length) in pieces() {
                let got = &memory.as_slice()[at..at + length];
                assert!(got == piece((at, length)), "{put_by:?}, {got_by:?}: different at {at}");
            }
            let moved = RdmaFigures::of(&bench.server).since(before.0);
            assert_eq!((moved.collected, moved.delivered), (bytes, bytes), "{moved:?}");
            assert_eq!((moved.written, moved.copied), (bytes, 0), "{moved:?}");
            let tcp = tcp.total() - before.1;
            println!("{put_by:?}, {got_by:?}: {bytes} bytes each way, {tcp} bytes of TCP");
            assert!(tcp < 2 * TCP_BYTES_PER_OBJECT, "{tcp} bytes of TCP");
        }
        objects.disconnect().await;
    });
    // The server has closed the one that was idle all the while.
    bench.http.disconnect();
    for (at, length) in pieces() {
        let range = format!("bytes={at}-{}", at + length - 1);
        let request = bench.http.request("GET", BUCKET, "session").header("Range", &range);
        let got = expect(bench.http.run(request).unwrap(), 206).unwrap();
        assert!(got.body == piece((at, length)), "{range} is different by HTTP");
    }
    bench.stop();
}

#[test]
fn ranges_and_parts_go_by_rdma() {
    let Some(guest) = Guest::here("ranges_and_parts_go_by_rdma") else {
        return;
    };
    let mut bench = Bench::start(&guest, BUCKET, 16 * MIB);
    let size = 5 * MIB as usize + 12_345;
    let whole = content(1, size);
    expect(bench.http.put(BUCKET, "object", &whole).unwrap(), 200).unwrap();
    let upload = bench.http.create_upload(BUCKET, "parts").unwrap();
    let part = |number: u16| content(u64::from(number), 5 * MIB as usize + usize::from(number));
    Host::run(DEVICE, async |host| {
        let objects = Objects::new(&host, bench.asker());
        for protocol in Protocol::ALL {
            for (offset, bytes) in [
                (0, 1),
                (1, 1),
                (4095, 2),
                (4097, 4095),
                (65_537, 70_001),
                (1_048_575, 2_097_155),
                (size as u64 - 1, 1),
            ] {
                let before = RdmaFigures::of(&bench.server);
                let get = Get::object(BUCKET, "object").range(offset, bytes);
                // The client asks for as much as the memory has, so the rest is another's.
                let blank = host.blank(bytes as usize + 4096);
                let (memory, outcome) = objects.get(protocol, &get, bytes, blank).await;
                let (got, rest) = memory.as_slice().split_at(bytes as usize);
                let end = offset as usize + bytes as usize;
                assert!(got == &whole[offset as usize..end], "{protocol:?} {offset}+{bytes}");
                assert!(rest.iter().all(|byte| *byte == 0), "{protocol:?} {offset}+{bytes}: more");
                assert_eq!(outcome.checksum, Verification::Verified);
                let moved = RdmaFigures::of(&bench.server).since(before);
                assert_eq!(
                    (moved.written, moved.copied),
                    (bytes, 0),
                    "{offset}+{bytes}: {moved:?}"
                );
            }
        }
        let mut tags = Vec::new();
        for (number, protocol) in [(1, Protocol::Session), (2, Protocol::Pooled)] {
            let bytes = part(number);
            let put = Put::object(BUCKET, "parts", bytes.len() as u64).part(&upload, number);
            let (_, outcome) = objects.put(protocol, &put, host.filled(&bytes)).await;
            let tag = outcome.entity_tag.expect("a part has an entity tag");
            assert_eq!(tag, format!("\"{}\"", md5_hex(&bytes)));
            tags.push((u32::from(number), tag));
        }
        let last = bench.http.put_part(BUCKET, "parts", &upload, 3, b"the last by HTTP").unwrap();
        tags.push((3, last));
        expect(bench.http.complete(BUCKET, "parts", &upload, &tags).unwrap(), 200).unwrap();
        let got = expect(bench.http.get(BUCKET, "parts").unwrap(), 200).unwrap();
        assert!(got.body == [part(1), part(2), b"the last by HTTP".to_vec()].concat());
        for (number, expected) in [(1, part(1)), (2, part(2)), (3, b"the last by HTTP".to_vec())] {
            for protocol in Protocol::ALL {
                let get = Get::object(BUCKET, "parts").part(number);
                let bytes = expected.len() as u64;
                let blank = host.blank(expected.len());
                let (memory, _) = objects.get(protocol, &get, bytes, blank).await;
                assert!(memory.as_slice() == expected, "part {number}, {protocol:?}");
            }
        }
        objects.disconnect().await;
    });
    bench.stop();
}

#[test]
fn semantics_of_s3_hold_for_rdma() {
    let Some(guest) = Guest::here("semantics_of_s3_hold_for_rdma") else {
        return;
    };
    let mut bench = Bench::start(&guest, BUCKET, 16 * MIB);
    Host::run(DEVICE, async |host| {
        let objects = Objects::new(&host, bench.asker());
        let body = content(4, 70_001);
        let put = Put::object(BUCKET, "object", body.len() as u64);
        // With the checksum in the request, as HTTP clients do; a wrong one stores nothing.
        let wrong = Put { checksum: Some(7), ..put.clone() };
        let refused = objects.try_put(Protocol::Pooled, &wrong, host.filled(&body)).await;
        let error = format!("{:?}", refused.expect_err("a wrong checksum is refused"));
        assert!(error.contains("400") && error.contains("BadDigest"), "{error}");
        assert_eq!(bench.http.head(BUCKET, "object").unwrap().status, 404);
        objects.put(Protocol::Pooled, &put, host.filled(&body)).await;
        // A condition that does not hold.
        let absent = put.clone().condition(rdma::client::Condition::Absent);
        let refused = objects.try_put(Protocol::Pooled, &absent, host.filled(&body)).await;
        let error = format!("{:?}", refused.expect_err("the object is there"));
        assert!(error.contains("412"), "{error}");
        for protocol in Protocol::ALL {
            for (get, status) in [
                (Get::object(BUCKET, "missing"), "404"),
                (Get::object("no-such-bucket", "object"), "404"),
                (Get::object(BUCKET, "object").range(70_001, 1), "416"),
            ] {
                let refused = objects.try_get(protocol, &get, host.blank(4096)).await;
                let error = format!("{:?}", refused.expect_err("nothing to get"));
                assert!(error.contains(status), "{protocol:?} {get:?}: {error}");
            }
        }
        let head = expect(bench.http.head(BUCKET, "object").unwrap(), 200).unwrap();
        assert_eq!(head.header("content-length"), Some("70001"));
        let checked = bench.http.request("HEAD", BUCKET, "object");
        let checked = checked.header("x-amz-checksum-mode", "ENABLED");
        let checked = bench.http.run(checked).unwrap();
        assert_eq!(
            checked.header("x-amz-checksum-crc64nvme"),
            Some(&*crc64nvme_base64(&body)),
            "{:?}",
            checked.headers
        );
        objects.disconnect().await;
    });
    bench.stop();
}

#[test]
fn a_thousand_sessions_leave_nothing_behind() {
    let Some(guest) = Guest::here("a_thousand_sessions_leave_nothing_behind") else {
        return;
    };
    let bench = Bench::start(&guest, BUCKET, 16 * MIB);
    Host::run(DEVICE, async |host| {
        let objects = Objects::new(&host, bench.asker());
        let mut memory = host.blank(4096);
        for number in 0..500_u64 {
            let expected = content(number, 4096);
            memory.as_mut_slice().expect("nothing is lent").copy_from_slice(&expected);
            let key = format!("object-{number}");
            let put = Put::object(BUCKET, &key, 4096);
            (memory, _) = objects.put(Protocol::Session, &put, memory).await;
            memory.as_mut_slice().expect("nothing is lent").fill(0);
            let get = Get::object(BUCKET, &key);
            (memory, _) = objects.get(Protocol::Session, &get, 4096, memory).await;
            assert!(memory.as_slice() == expected, "{key} came back different");
        }
        objects.disconnect().await;
    });
    let metrics = bench.server.metrics();
    assert_eq!(metrics.value("penstock_rdma_sessions_prepared_total", &[]), 1000.0);
    let done = ["protocol=\"hipobj-rc-v2\"", "outcome=\"succeeded\""];
    println!("{:?}", metrics.sum("penstock_rdma_transfers_total", &done));
    bench.stop();
}

#[test]
fn a_thousand_objects_go_over_one_connection() {
    let Some(guest) = Guest::here("a_thousand_objects_go_over_one_connection") else {
        return;
    };
    let bench = Bench::start(&guest, BUCKET, 16 * MIB);
    Host::run(DEVICE, async |host| {
        let objects = Objects::new(&host, bench.asker());
        let mut memory = host.blank(4096);
        for number in 0..500_u64 {
            let expected = content(number, 4096);
            memory.as_mut_slice().expect("nothing is lent").copy_from_slice(&expected);
            let key = format!("object-{number}");
            let put = Put::object(BUCKET, &key, 4096);
            (memory, _) = objects.put(Protocol::Pooled, &put, memory).await;
            memory.as_mut_slice().expect("nothing is lent").fill(0);
            let get = Get::object(BUCKET, &key);
            (memory, _) = objects.get(Protocol::Pooled, &get, 4096, memory).await;
            assert!(memory.as_slice() == expected, "{key} came back different");
        }
        objects.disconnect().await;
    });
    assert_eq!(bench.server.metrics().value("penstock_rdma_connections_made_total", &[]), 1.0);
    bench.stop();
}

#[test]
fn sixty_four_sessions_at_once() {
    let Some(guest) = Guest::here("sixty_four_sessions_at_once") else {
        return;
    };
    let bench = Bench::start(&guest, BUCKET, 64 * MIB);
    Host::run(DEVICE, async |host| {
        let objects = Rc::new(Objects::new(&host, bench.asker()));
        let one = async |host: Host, objects: Rc<Objects>, number: u64| {
            let bytes = 100_000 + 7919 * number;
            let expected = content(number, bytes as usize);
            let key = format!("object-{number}");
            let put = Put::object(BUCKET, &key, bytes);
            objects.put(Protocol::Session, &put, host.filled(&expected)).await;
            let get = Get::object(BUCKET, &key);
            let blank = host.blank(bytes as usize);
            let (memory, _) = objects.get(Protocol::Session, &get, bytes, blank).await;
            assert!(memory.as_slice() == expected, "{key} came back different");
        };
        let tasks: Vec<_> = (0..64)
            .map(|number| tokio::task::spawn_local(one(host.clone(), objects.clone(), number)))
            .collect();
        for task in tasks {
            task.await.expect("it came through");
        }
    });
    bench.stop();
}
