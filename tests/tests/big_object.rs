//! One object that is larger than the server's memory: sent as a single aws-chunked chunk with its
//! checksum in the trailer, and read back. Memory must not follow the chunk's size.
//!
//! `GATEWAY_TEST_FULL=1` makes it 5 GiB, the largest PUT that S3 takes.

use std::io::Write;

use penstock_tests::chunked::UNSIGNED_TRAILER;
use penstock_tests::client::expect;
use penstock_tests::content::{base64, content, md5_hex};
use penstock_tests::server::{Options, Site};
use penstock_tests::sign::Signer;
use sha2::{Digest, Sha256};

const MEMORY: u64 = 512 << 20;
const PIECE_BYTES: usize = 8 << 20;

#[test]
fn one_huge_chunk_stays_within_the_budget() {
    let full = std::env::var_os("GATEWAY_TEST_FULL").is_some();
    let pieces: usize = if full { 640 } else { 128 };
    let size = pieces * PIECE_BYTES;
    let piece = content(5, PIECE_BYTES);
    let site = Site::new();
    let server =
        Options::default().memory("512M").extent_bytes(size as u64 + (1 << 30)).start(&site);
    let mut client = server.client();
    expect(client.create_bucket("big").unwrap(), 200).unwrap();
    let memory = server.watch_memory();

    let mut request = client
        .request("PUT", "big", "one-chunk")
        .header("Content-Encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", &size.to_string())
        .header("x-amz-trailer", "x-amz-checksum-crc64nvme");
    let checksum = crc64_of(&piece, pieces);
    let head = format!("{size:x}\r\n");
    let tail = format!("\r\n0\r\nx-amz-checksum-crc64nvme:{checksum}\r\n\r\n");
    request.set("Content-Length", &(head.len() + size + tail.len()).to_string());
    Signer::new(site.credentials()).sign_as(&mut request, UNSIGNED_TRAILER);
    let mut connection = server.connect().unwrap();
    connection.send(&request.head_bytes()).unwrap();
    connection.send(head.as_bytes()).unwrap();
    for _ in 0..pieces {
        connection.stream().write_all(&piece).expect("the server takes the body");
    }
    connection.send(tail.as_bytes()).unwrap();
    let put = expect(connection.receive(true).unwrap(), 200).unwrap();
    assert_eq!(put.header("x-amz-checksum-crc64nvme"), Some(checksum.as_str()));

    read_back(&server, &piece, pieces);
    let highest = memory.stop();
    println!("{} MiB in one chunk, highest memory {} MiB", size >> 20, highest >> 20);
    assert!(highest <= MEMORY, "{highest} bytes of memory, the budget is {MEMORY}");
    drop(server);
    site.assert_consistent();
}

fn read_back(server: &penstock_tests::server::Server, piece: &[u8], pieces: usize) {
    let client = server.client();
    let request = client.presigned_get("big", "one-chunk");
    let mut connection = server.connect().unwrap();
    connection.send(&request.bytes()).unwrap();
    let head = connection.receive_head().unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), Some((pieces * piece.len()).to_string().as_str()));
    let (mut expected, mut got) = (Sha256::new(), Sha256::new());
    for _ in 0..pieces {
        expected.update(piece);
    }
    let mut received = 0;
    while received < pieces * piece.len() {
        let bytes = connection.receive_some(1 << 20).unwrap();
        assert!(!bytes.is_empty(), "cut after {received} bytes");
        received += bytes.len();
        got.update(&bytes);
    }
    assert_eq!(md5_hex(&got.finalize()), md5_hex(&expected.finalize()), "different bytes");
}

fn crc64_of(piece: &[u8], pieces: usize) -> String {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
    for _ in 0..pieces {
        digest.update(piece);
    }
    base64(&digest.finalize().to_be_bytes())
}
