//! Correct requests that the usual client libraries do not send: signed chunks, odd chunk sizes,
//! raw UTF-8 in headers, `Expect: 100-continue`, pipelining, a connection used for long.

use std::sync::atomic::{AtomicBool, Ordering};

use penstock_tests::chunked::{SIGNED_TRAILER, signed, signed_put, unsigned_put};
use penstock_tests::client::{expect, path};
use penstock_tests::content::{content, crc32_base64, crc64nvme_base64};
use penstock_tests::http::Response;
use penstock_tests::server::{Options, Server, Site};
use penstock_tests::sign::{Request, Signer};

const BUCKET: &str = "wire";

fn start(site: &Site) -> Server {
    let server = Options::default().start(site);
    expect(server.client().create_bucket(BUCKET).unwrap(), 200).unwrap();
    server
}

fn send(server: &Server, request: &Request) -> Response {
    server.client().send(request).unwrap()
}

fn assert_stored(server: &Server, key: &str, body: &[u8]) {
    let got = expect(server.client().get(BUCKET, key).unwrap(), 200).unwrap();
    assert!(got.body == body, "{key} came back different: {} bytes", got.body.len());
    assert_eq!(got.header("content-encoding"), None, "framing is stored as an encoding");
}

#[test]
fn signed_chunks_of_every_size() {
    let site = Site::new();
    let server = start(&site);
    // 8 KiB is the smallest chunk that S3 takes (but for the last).
    for (size, chunk) in [(0, 8192), (1, 8192), (8192, 8192), (200_001, 8192), (1 << 20, 65_536)] {
        let body = content(size as u64, size);
        let key = format!("signed-{size}-{chunk}");
        let client = server.client();
        let request =
            signed_put(client.credentials(), &client.host(), &path(BUCKET, &key), &body, chunk);
        expect(send(&server, &request), 200).unwrap();
        assert_stored(&server, &key, &body);
    }
}

#[test]
fn signed_chunks_with_a_signed_trailer() {
    let site = Site::new();
    let server = start(&site);
    let body = content(8, 300_000);
    let client = server.client();
    let mut request = client
        .request("PUT", BUCKET, "trailer")
        .header("Content-Encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", &body.len().to_string())
        .header("x-amz-trailer", "x-amz-checksum-crc64nvme");
    let seed = Signer::new(client.credentials()).sign_as(&mut request, SIGNED_TRAILER);
    let sum = crc64nvme_base64(&body);
    request.body = signed(&body, 65_536, &seed, &[("x-amz-checksum-crc64nvme", &sum)]);
    let put = expect(send(&server, &request), 200).unwrap();
    assert_eq!(put.header("x-amz-checksum-crc64nvme"), Some(sum.as_str()));
    assert_stored(&server, "trailer", &body);
}

#[test]
fn unsigned_chunks_of_odd_sizes() {
    let site = Site::new();
    let server = start(&site);
    for (size, chunk) in [(0, 1), (1, 1), (1000, 1), (100_000, 7), (3_000_000, 3_000_000)] {
        let body = content(size as u64, size);
        let key = format!("unsigned-{size}-{chunk}");
        let client = server.client();
        let request = unsigned_put(
            client.credentials(),
            &client.host(),
            &path(BUCKET, &key),
            &body,
            chunk,
            ("x-amz-checksum-crc32", &crc32_base64(&body)),
        );
        expect(send(&server, &request), 200).unwrap();
        assert_stored(&server, &key, &body);
    }
}

#[test]
fn a_body_that_dribbles_in() {
    let site = Site::new();
    let server = start(&site);
    let body = content(4, 5_000);
    let mut client = server.client();
    let mut request = client.request("PUT", BUCKET, "dribbled").body(body.clone());
    Signer::new(client.credentials()).sign(&mut request);
    let mut connection = server.connect().unwrap();
    for piece in request.bytes().chunks(97) {
        connection.send(piece).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    expect(connection.receive(true).unwrap(), 200).unwrap();
    client.disconnect();
    assert_stored(&server, "dribbled", &body);
}

#[test]
fn expect_100_continue() {
    let site = Site::new();
    let server = start(&site);
    let body = content(5, 100_000);
    let client = server.client();
    let mut request = client
        .request("PUT", BUCKET, "expected")
        .header("Expect", "100-continue")
        .body(body.clone());
    Signer::new(client.credentials()).sign(&mut request);
    let mut connection = server.connect().unwrap();
    connection.send(&request.head_bytes()).unwrap();
    assert_eq!(connection.receive_head().unwrap().status, 100);
    connection.send(&body).unwrap();
    expect(connection.receive(true).unwrap(), 200).unwrap();
    assert_stored(&server, "expected", &body);
}

#[test]
fn a_refused_upload_is_not_asked_for_its_body() {
    let site = Site::new();
    let server = start(&site);
    let request = server
        .client()
        .request("PUT", BUCKET, "refused")
        .header("Expect", "100-continue")
        .header("Content-Length", "1000000");
    let mut connection = server.connect().unwrap();
    connection.send(&request.head_bytes()).unwrap();
    let response = connection.receive_head().unwrap();
    assert_eq!(response.status, 403, "an anonymous upload is refused before its body");
}

#[test]
fn requests_in_a_pipeline_are_answered_in_order() {
    let site = Site::new();
    let server = start(&site);
    let mut client = server.client();
    for number in 0..20 {
        let key = format!("piped-{number}");
        expect(client.put(BUCKET, &key, key.as_bytes()).unwrap(), 200).unwrap();
    }
    let wire: Vec<u8> = (0..20)
        .flat_map(|number| client.presigned_get(BUCKET, &format!("piped-{number}")).bytes())
        .collect();
    let mut connection = server.connect().unwrap();
    connection.send(&wire).unwrap();
    for number in 0..20 {
        let response = expect(connection.receive(true).unwrap(), 200).unwrap();
        assert_eq!(response.text(), format!("piped-{number}"));
    }
}

#[test]
fn one_connection_serves_thousands_of_requests() {
    let site = Site::new();
    let server = start(&site);
    let mut client = server.client();
    let body = content(6, 10_000);
    for number in 0..2_000 {
        let key = format!("kept-{}", number % 10);
        match number % 4 {
            0 => expect(client.put(BUCKET, &key, &body).unwrap(), 200).unwrap(),
            1 => expect(client.head(BUCKET, "absent").unwrap(), 404).unwrap(),
            2 => expect(client.delete(BUCKET, "absent").unwrap(), 204).unwrap(),
            _ => expect(client.get(BUCKET, "absent").unwrap(), 404).unwrap(),
        };
    }
}

#[test]
fn raw_utf8_in_metadata_comes_back() {
    let site = Site::new();
    let server = start(&site);
    let mut client = server.client();
    let request =
        client.request("PUT", BUCKET, "place").header("x-amz-meta-place", "Zürich 日本").body("x");
    expect(client.run(request).unwrap(), 200).unwrap();
    let head = expect(client.head(BUCKET, "place").unwrap(), 200).unwrap();
    let value = head.header("x-amz-meta-place").expect("the metadata is there");
    // S3 answers with an RFC 2047 word; raw UTF-8 says the same.
    let same = value == "Zürich 日本" || value.starts_with("=?UTF-8?");
    assert!(same, "came back as {value:?}");
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_download_harms_nobody() {
    let site = Site::new();
    let server = start(&site);
    let mut client = server.client();
    let body = content(9, 16 << 20);
    expect(client.put(BUCKET, "left", &body).unwrap(), 200).unwrap();
    for number in 0..100_usize {
        let mut connection = server.connect().unwrap();
        connection.send(&client.presigned_get(BUCKET, "left").bytes()).unwrap();
        connection.receive_head().unwrap();
        connection.receive_some(1 + number * 1_000).unwrap();
    }
    let got = expect(client.get(BUCKET, "left").unwrap(), 200).unwrap();
    assert!(got.body == body, "the object came back different");
}

#[test]
fn readers_see_one_version_while_it_is_overwritten_and_deleted() {
    let site = Site::new();
    let server = start(&site);
    let versions: Vec<Vec<u8>> = (0..4).map(|seed| content(seed, 2 << 20)).collect();
    expect(server.client().put(BUCKET, "turning", &versions[0]).unwrap(), 200).unwrap();
    let finished = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = server.client();
            for round in 0..120 {
                let body = &versions[round % versions.len()];
                expect(client.put(BUCKET, "turning", body).unwrap(), 200).unwrap();
                if round % 10 == 9 {
                    expect(client.delete(BUCKET, "turning").unwrap(), 204).unwrap();
                }
            }
            finished.store(true, Ordering::Relaxed);
        });
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = server.client();
                let mut whole = 0;
                while !finished.load(Ordering::Relaxed) {
                    let got = client.get(BUCKET, "turning").unwrap();
                    match got.status {
                        200 => whole += usize::from(versions.contains(&got.body)),
                        404 => continue,
                        _ => panic!("{}", got.text()),
                    }
                    assert!(versions.contains(&got.body), "a mixture of versions");
                }
                assert!(whole > 0, "nothing was read");
            });
        }
    });
}
