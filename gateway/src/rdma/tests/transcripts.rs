//! Whole exchanges, header by header, against the formats of the protocols' recorded ones.

use rdma::client::{Get, Put};
use rdma::wire::{Crc64Nvme, RcToken, header};

use super::client::Exchanged;
use super::*;

/// What every answer has, and no protocol of RDMA speaks of.
const ORDINARY: [&str; 6] =
    ["x-amz-request-id", "x-amz-id-2", "server", "date", "connection", "last-modified"];

/// The answers' own headers, in alphabetical order.
fn own(exchanged: &Exchanged) -> Vec<(&str, &str)> {
    let headers = exchanged.answer.headers.iter();
    let mut headers: Vec<_> = headers
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| !ORDINARY.contains(name))
        .collect();
    headers.sort_unstable();
    headers
}

fn names<'a>(headers: &[(&'a str, &str)]) -> Vec<&'a str> {
    headers.iter().map(|(name, _)| *name).collect()
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| b"0123456789abcdef".contains(&byte))
}

fn is_bare_hex(text: &str) -> bool {
    is_hex(text, text.len()) && !text.starts_with('0')
}

/// The token behind `200:`, read as the protocol's own library does.
fn token_of(reply: &str) -> RcToken {
    let digits = reply.strip_prefix("200:").unwrap();
    assert!(is_hex(digits, 88), "{reply}");
    let token = RcToken::parse(digits).unwrap();
    assert!(!token.is_loopback && token.qpn != 0 && token.port == 1);
    token
}

fn prepared(exchanged: &Exchanged) -> RcToken {
    assert!(exchanged.request.starts_with("POST /.hipobj-rc/prepare HTTP/1.1\r\n"));
    let answer = &exchanged.answer;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let header = |name| answer.header(name).unwrap();
    assert_eq!(header(header::PROTOCOL), "hipobj-rc-v2");
    assert!(is_hex(header(header::SESSION), 32));
    assert!(is_hex(header(header::PSN), 6) && header(header::PSN) != "000000");
    let token = token_of(header(header::REPLY));
    assert_eq!(header(header::QPN), format!("{:x}", token.qpn));
    token
}

#[test]
fn an_upload_of_hipobj_rc_v2() {
    run(async |bench| {
        let bytes = content(64);
        let put = Put::object("bucket", "key", 64);
        bench.http.noted.borrow_mut().clear();
        bench.client.put(&*bench.http, &put, bench.filled(&bytes)).await.unwrap();
        let noted = bench.http.noted.borrow().clone();
        let [prepare, ready] = &noted[..] else { panic!("{noted:?}") };
        let token = prepared(prepare);
        assert_eq!(
            names(&own(prepare)),
            [
                "content-length",
                header::CAPABILITIES,
                header::MR_ADDR,
                header::MR_RKEY,
                header::PROTOCOL,
                header::PSN,
                header::QPN,
                header::REPLY,
                header::SESSION,
            ]
        );
        let header = |name| prepare.answer.header(name).unwrap();
        assert!(is_bare_hex(header(header::MR_ADDR)) && is_bare_hex(header(header::MR_RKEY)));
        assert_eq!(header(header::MR_ADDR), format!("{:x}", token.address));
        assert_eq!(header(header::MR_RKEY), format!("{:x}", token.rkey));
        assert_eq!(header(header::CAPABILITIES), "armed");
        assert!(token.rkey != 0 && token.address != 0 && token.length == 64);

        assert!(ready.request.starts_with("POST /.hipobj-rc/ready HTTP/1.1\r\n"));
        let cookie = ready.request.split_once("x-amz-rdma-cookie: ").unwrap().1;
        let stored = bench.http.send("HEAD", "/bucket/key", &[], b"").await;
        let tag = stored.header("etag").unwrap();
        let crc = Crc64Nvme::of(&bytes);
        let named = format!("CRC64NVME {crc}");
        assert_eq!(
            own(ready),
            [
                ("content-length", "0"),
                ("etag", tag),
                (header::BYTES_TRANSFERRED, "64"),
                (header::CAPABILITIES, "mp"),
                (header::CHECKSUM, &*named),
                (header::CHECKSUM_CRC64NVME, &*crc.to_string()),
                (header::COOKIE, &cookie[..8]),
                (header::ETAG, tag),
                (header::PROTOCOL, "hipobj-rc-v2"),
            ]
        );
    });
}

#[test]
fn a_download_of_hipobj_rc_v2_hands_out_no_memory() {
    run(async |bench| {
        let bytes = content(64);
        bench.http.send("PUT", "/bucket/key", &[], &bytes).await;
        bench.http.noted.borrow_mut().clear();
        let get = Get::object("bucket", "key").range(0, 64);
        bench.client.get(&*bench.http, &get, bench.memory(64)).await.unwrap();
        let noted = bench.http.noted.borrow().clone();
        let [prepare, ready] = &noted[..] else { panic!("{noted:?}") };
        let token = prepared(prepare);
        assert_eq!((token.rkey, token.address), (0, 0));
        assert_eq!(
            names(&own(prepare)),
            [
                "content-length",
                header::CAPABILITIES,
                header::PROTOCOL,
                header::PSN,
                header::QPN,
                header::REPLY,
                header::SESSION,
            ]
        );
        assert_eq!(ready.answer.status, 200);
        let crc = Crc64Nvme::of(&bytes).to_string();
        assert_eq!(ready.answer.header(header::CHECKSUM_CRC64NVME), Some(&*crc));
        assert_eq!(ready.answer.header(header::BYTES_TRANSFERRED), Some("64"));
        assert_eq!(ready.answer.header("content-length"), Some("0"));
        assert_eq!(ready.answer.header(header::REPLY), None);
    });
}

#[test]
fn a_pooled_connection() {
    run(async |bench| {
        let bytes = content(65_536);
        bench.http.noted.borrow_mut().clear();
        let pool = bench.client.connect(&*bench.http).await.unwrap();
        let put = Put::object("bucket", "obj0", 65_536);
        pool.put(&*bench.http, &put, bench.filled(&bytes)).await.unwrap();
        let get = Get::object("bucket", "obj0").range(0, 65_536);
        pool.get(&*bench.http, &get, bench.memory(65_536)).await.unwrap();
        pool.disconnect(&*bench.http).await;
        let noted = bench.http.noted.borrow().clone();
        let [connect, put, get, disconnect] = &noted[..] else { panic!("{noted:?}") };
        assert!(connect.request.starts_with("POST /.s3rdma-rc/connect HTTP/1.1\r\n"));
        let token = token_of(connect.answer.header(header::REPLY).unwrap());
        assert_eq!((token.rkey, token.address, token.length), (0, 0, 0));
        assert_eq!(
            names(&own(connect)),
            ["content-length", header::CAPABILITIES, header::PSN, header::REPLY, header::SESSION,]
        );
        let crc = Crc64Nvme::of(&bytes).to_string();
        let tag = put.answer.header("etag").unwrap();
        for (name, value) in [
            (header::REPLY, "200"),
            (header::BYTES_TRANSFERRED, "65536"),
            (header::CHECKSUM_CRC64NVME, &*crc),
            ("content-length", "0"),
        ] {
            assert_eq!((put.answer.status, put.answer.header(name)), (200, Some(value)), "{name}");
        }
        for (name, value) in [
            (header::REPLY, "206"),
            (header::BYTES_TRANSFERRED, "65536"),
            (header::CHECKSUM_CRC64NVME, &*crc),
            ("content-range", "bytes 0-65535/65536"),
            ("content-length", "0"),
            ("etag", tag),
        ] {
            assert_eq!((get.answer.status, get.answer.header(name)), (206, Some(value)), "{name}");
        }
        assert!(disconnect.request.starts_with("POST /.s3rdma-rc/disconnect HTTP/1.1\r\n"));
        assert_eq!((disconnect.answer.status, disconnect.answer.body.len()), (204, 0));
        assert!(own(disconnect).is_empty(), "{disconnect:?}");
    });
}
