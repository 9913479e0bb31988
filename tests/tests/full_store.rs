//! A full store refuses writes, loses nothing, and is writable again after deletes; uploads that
//! fail or are left halfway cost no space.

use std::time::{Duration, Instant};

use penstock_tests::client::{Client, expect};
use penstock_tests::content::content;
use penstock_tests::random::{Random, seed};
use penstock_tests::server::{Options, Server, Site};
use penstock_tests::sign::Signer;

const EXTENT_BYTES: u64 = 64 << 20;
const OBJECT_BYTES: usize = 1 << 20;
const BUCKET: &str = "full";

#[test]
fn a_full_store_loses_nothing_and_recovers() {
    let site = Site::new();
    let mut server = start(&site);
    let mut client = server.client();
    expect(client.create_bucket(BUCKET).unwrap(), 200).unwrap();
    let stored = fill(&mut client, "first");
    assert!(stored >= 48, "only {stored} MiB fit into {EXTENT_BYTES} bytes");
    assert_all_intact(&mut client, "first", stored);

    // Overwriting needs room for the new content before the old is let go: refused, not lost.
    let overwrite = client.put(BUCKET, "first-0", &content(99, OBJECT_BYTES)).unwrap();
    assert_eq!(overwrite.outcome(), "507 InsufficientStorage");
    assert_all_intact(&mut client, "first", stored);

    for number in 0..stored / 2 {
        expect(client.delete(BUCKET, &format!("first-{number}")).unwrap(), 204).unwrap();
    }
    let again = fill_within(&mut client, "second", stored / 2);
    assert_eq!(again, stored / 2, "space of deleted objects does not come back");

    server.kill();
    site.assert_consistent();
    let server = start(&site);
    assert_all_intact(&mut server.client(), "second", again);
}

#[test]
fn abandoned_and_failed_uploads_leak_no_space() {
    let site = Site::new();
    let server = start(&site);
    let mut client = server.client();
    expect(client.create_bucket(BUCKET).unwrap(), 200).unwrap();
    let before = fill(&mut client, "before");
    client.empty_bucket(BUCKET).unwrap();

    let mut random = Random::new(seed("abandoned_and_failed_uploads_leak_no_space"));
    for round in 0..50 {
        abandon(&server, &mut random, round);
    }
    for round in 0..10 {
        let request = client
            .request("PUT", BUCKET, "wrong-md5")
            .header("Content-MD5", &penstock_tests::content::md5_base64(b"something else"))
            .body(content(round, 3 << 20));
        assert_eq!(client.run_unsigned(request).unwrap().outcome(), "400 BadDigest");
        let upload = client.create_upload(BUCKET, "aborted").unwrap();
        client.put_part(BUCKET, "aborted", &upload, 1, &content(round, 5 << 20)).unwrap();
        client.put_part(BUCKET, "aborted", &upload, 1, &content(round + 1, 5 << 20)).unwrap();
        expect(client.abort(BUCKET, "aborted", &upload).unwrap(), 204).unwrap();
    }
    assert_eq!(client.keys(BUCKET).unwrap(), Vec::<String>::new());

    let after = fill_within(&mut client, "after", before);
    assert_eq!(after, before, "{before} objects fitted before the abandoned uploads");
    server.assert_nothing_reserved();
    drop(server);
    site.assert_consistent();
}

fn start(site: &Site) -> Server {
    Options::default().extent_bytes(EXTENT_BYTES).start(site)
}

/// Stores objects until the store says that it is full; gives their number.
fn fill(client: &mut Client, prefix: &str) -> usize {
    for number in 0.. {
        let body = content(number as u64, OBJECT_BYTES);
        let response = client.put(BUCKET, &format!("{prefix}-{number}"), &body).unwrap();
        if response.status != 200 {
            assert_eq!(response.outcome(), "507 InsufficientStorage", "{}", response.text());
            return number;
        }
    }
    unreachable!("the store has an end")
}

/// Stores `wanted` objects; freed extents may take a moment until no reader pins them.
fn fill_within(client: &mut Client, prefix: &str, wanted: usize) -> usize {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut stored = 0;
    while stored < wanted && Instant::now() < deadline {
        let body = content(stored as u64, OBJECT_BYTES);
        let response = client.put(BUCKET, &format!("{prefix}-{stored}"), &body).unwrap();
        if response.status == 200 {
            stored += 1;
        } else {
            assert_eq!(response.outcome(), "507 InsufficientStorage", "{}", response.text());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    stored
}

fn assert_all_intact(client: &mut Client, prefix: &str, count: usize) {
    for number in 0..count {
        let key = format!("{prefix}-{number}");
        let got = expect(client.get(BUCKET, &key).unwrap(), 200).unwrap();
        assert!(got.body == content(number as u64, OBJECT_BYTES), "{key} came back different");
    }
}

/// A PUT or UploadPart whose client goes away somewhere in the body.
fn abandon(server: &Server, random: &mut Random, round: u64) {
    let mut client = server.client();
    let body = content(round, 4 << 20);
    let mut request = client.request("PUT", BUCKET, "abandoned");
    let upload = random.percent(50).then(|| client.create_upload(BUCKET, "abandoned").unwrap());
    if let Some(upload) = &upload {
        request = request.query("partNumber", "1").query("uploadId", upload);
    }
    request.set("Content-Length", &body.len().to_string());
    Signer::new(client.credentials()).sign_as(&mut request, "UNSIGNED-PAYLOAD");
    let mut connection = server.connect().unwrap();
    connection.send(&request.head_bytes()).unwrap();
    let sent = random.below(body.len() as u64) as usize;
    connection.send(&body[..sent]).unwrap();
    drop(connection);
    if let Some(upload) = upload {
        expect(client.abort(BUCKET, "abandoned", &upload).unwrap(), 204).unwrap();
    }
}
