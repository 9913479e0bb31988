//! Values from recorded exchanges and published vectors, decoded and encoded again.

use std::net::Ipv4Addr;

use super::super::*;
use super::{DC, DC_PAIR, LINK_LOCAL, POOLED, SESSION, STAGING};
use crate::fabric::{Gid, Psn, Qpn, RemoteWindow};

fn gid_a() -> Gid {
    Gid::from_ipv4(Ipv4Addr::new(10, 77, 0, 1))
}

fn gid(text: &str) -> Gid {
    Gid(text.parse::<std::net::Ipv6Addr>().unwrap().octets())
}

fn qpn(number: u32) -> Qpn {
    Qpn::new(number).unwrap()
}

#[test]
fn crc64() {
    let mut padded = b"dp-put-payload".to_vec();
    padded.resize(64, 0);
    let vectors: [(&[u8], u64, &str); 3] = [
        (b"", 0, "AAAAAAAAAAA="),
        (b"123456789", 0xae8b_1486_0a79_9888, "rosUhgp5mIg="),
        (&padded, 0x7d3b_cebe_4313_50c4, "fTvOvkMTUMQ="),
    ];
    for (bytes, crc, text) in vectors {
        assert_eq!(Crc64Nvme::of(bytes), Crc64Nvme(crc));
        assert_eq!(Crc64Nvme(crc).to_string(), text);
        assert_eq!(Crc64Nvme::parse(text), Ok(Crc64Nvme(crc)));
        let named = format!("CRC64NVME {text}");
        assert_eq!(Crc64Nvme(crc).named().to_string(), named);
        assert_eq!(Crc64Nvme::parse_named(&named), Ok(Crc64Nvme(crc)));
    }
}

/// The check value of CRC-32C that RFC 3720's appendix and every catalogue have.
#[test]
fn crc32c() {
    assert_eq!(Crc32c::of(b"123456789"), Crc32c(0xe306_9283));
    assert_eq!(Crc32c(0xe306_9283).to_string(), "4waSgw==");
    assert_eq!(Crc32c::parse("4waSgw=="), Ok(Crc32c(0xe306_9283)));
    assert_eq!(Crc32c::of(b"").to_string(), "AAAAAA==");
}

#[test]
fn a_checksum_names_its_header() {
    let crc = Checksum::of(ChecksumAlgorithm::Crc64Nvme, b"123456789");
    assert_eq!(
        (crc.header(), crc.to_string()),
        (header::CHECKSUM_CRC64NVME, "rosUhgp5mIg=".into())
    );
    let crc = Checksum::of(ChecksumAlgorithm::Crc32c, b"123456789");
    assert_eq!((crc.header(), crc.to_string()), (header::CHECKSUM_CRC32C, "4waSgw==".into()));
    assert_eq!(crc.algorithm(), ChecksumAlgorithm::Crc32c);
}

#[test]
fn dc_tokens() {
    let token = DcToken {
        window: RemoteWindow { address: 0x7f00_dead_b000, size: 0x40_0000, rkey: 0x18ff },
        memory_address: 0x7f00_dead_b000,
        memory_size: 0x40_0000,
        lid: 0,
        target_number: 0x1a7,
        gid_present: 1,
        gid: gid_a(),
    };
    assert_eq!((DC.len(), DC_PAIR.len()), (81, 115));
    assert_eq!(Token::parse(DC), Ok(Token::Dc(token)));
    assert_eq!(token.to_string(), DC);
    // The same window named twice is the same token.
    assert_eq!(Token::parse(DC_PAIR), Ok(Token::Dc(token)));
    assert_eq!(token.gid.ipv4(), Some(Ipv4Addr::new(10, 77, 0, 1)));
}

/// A window inside the memory, written with as few digits as it has.
#[test]
fn dc_token_of_part_of_its_memory() {
    let token = DcToken::parse(&format!("{DC}:7f00deadb100:ff")).unwrap();
    let window = RemoteWindow { address: 0x7f00_dead_b100, size: 0xff, rkey: 0x18ff };
    assert_eq!(token.window, window);
    assert_eq!(token.to_string(), format!("{DC}:00007f00deadb100:00000000000000ff"));
}

#[test]
fn rc_tokens() {
    let vectors = [
        (SESSION, RcToken::identity(qpn(0x112), gid_a(), 1, 0)),
        (
            STAGING,
            RcToken::identity(qpn(0x113), gid_a(), 1, 0).with_window(RemoteWindow {
                address: 0x7f12_a400_0000,
                size: 65_536,
                rkey: 0x189a,
            }),
        ),
        (
            LINK_LOCAL,
            RcToken::identity(qpn(0xab_cdef), gid("fe80::c0ff:eeff:fe12:3456"), 1, 0).with_window(
                RemoteWindow { address: 0x5600_1234_5000, size: 4096, rkey: 0xdead_beef },
            ),
        ),
    ];
    for (text, token) in vectors {
        assert_eq!(RcToken::parse(text), Ok(token));
        assert_eq!(Token::parse(text), Ok(Token::Session(token)));
        assert_eq!(token.to_string(), text);
        assert_eq!(token.queue_pair().map(Qpn::number), Ok(token.qpn));
    }
    assert_eq!(vectors[0].1.window(), None);
    assert_eq!(vectors[1].1.window().unwrap().size, 65_536);
}

#[test]
fn all_zeros_is_the_same_device() {
    let zeros = "0".repeat(88);
    assert_eq!(RcToken::parse(&zeros), Ok(RcToken::LOOPBACK));
    assert_eq!(RcToken::LOOPBACK.to_string(), zeros);
    let token = RcToken::parse(&format!("{zeros}:1000:20")).unwrap();
    assert!(token.is_loopback);
    assert_eq!((token.address, token.length), (0x1000, 0x20));
    assert_eq!(token.to_string(), format!("{zeros}:0000000000001000:0000000000000020"));
    assert_eq!(token.queue_pair().unwrap_err().why, Fault::Zero);
}

#[test]
fn a_suffix_counts_instead_of_the_tokens_own_window() {
    let token = RcToken::parse(&format!("{STAGING}:0000560012345000:0000000000001000")).unwrap();
    let window = RemoteWindow { address: 0x5600_1234_5000, size: 0x1000, rkey: 0x189a };
    assert_eq!(token.window(), Some(window));
    assert!(!token.to_string().contains(':'), "what is sent has no suffix");
}

#[test]
fn pooled_tokens() {
    let connection = SessionId::parse("0123456789abcdef0123456789abcdef").unwrap();
    let window = RemoteWindow { address: 0x7f12_a400_0000, size: 0x1_0000, rkey: 0x189a };
    let token = PooledToken { connection, window };
    assert_eq!((POOLED.len(), POOLED.as_bytes()[35]), (70, b':'));
    assert_eq!(Token::parse(POOLED), Ok(Token::Pooled(token)));
    assert_eq!(token.to_string(), POOLED);
    let recorded = "rc:ee1d198a3b1f24b75b69eafda03d9865:0000561b41b7c000:00010000:000006d6";
    let Ok(Token::Pooled(token)) = Token::parse(recorded) else { panic!("a pooled token") };
    assert_eq!(token.to_string(), recorded);
    assert_eq!(token.window.rkey, 0x6d6);
}

/// The headers of a recorded PUT by hipobj-rc-v2, in the case in which they were sent.
#[test]
fn recorded_session() {
    let token = "012b000000fe80000000000000040557fffe5eff0800000000000000000000000000000000\
        00000000010000";
    let client = RcToken::parse(token).unwrap();
    let port = gid("fe80::405:57ff:fe5e:ff08");
    assert_eq!(client, RcToken::identity(qpn(0x2b), port, 1, 0));
    assert_eq!(Some(client.qpn), parse_qpn("2b").ok().map(Qpn::number));

    let reply = "200:012c000000fe80000000000000040557fffe5eff08860b0000004000a4867f0000400000000000\
        0000010000";
    let Ok(ReplyCode::Prepared(server)) = ReplyCode::parse(reply) else { panic!("a token") };
    let window = RemoteWindow { address: 0x7f86_a400_4000, size: 0x40, rkey: 0xb86 };
    assert_eq!(server, RcToken::identity(qpn(0x2c), port, 1, 0).with_window(window));
    assert_eq!(ReplyCode::Prepared(server).to_string(), reply);
    assert_eq!(parse_bare_hex("7f86a4004000"), Ok(window.address));
    assert_eq!(parse_rkey("b86"), Ok(window.rkey));

    let session = SessionId::parse("482a37f020e164537fcd911bc9e9d754").unwrap();
    assert_eq!(session.to_string(), "482a37f020e164537fcd911bc9e9d754");
    assert_eq!(parse_psn("000001").map(Psn::number), Ok(1));
    assert_eq!(parse_psn("2555C9").map(Psn::number), Ok(0x25_55c9));
    assert_eq!(display_psn(Psn::new(0x555c9).unwrap()).to_string(), "0555c9");
    let cookie = Cookie::parse("1A2B3C4D").unwrap();
    assert_eq!((cookie.number(), cookie.to_string()), (0x1a2b_3c4d, "1a2b3c4d".into()));
    assert_eq!(cookie.number().to_be_bytes(), [0x1a, 0x2b, 0x3c, 0x4d]);
    assert_eq!(Operation::parse("put"), Ok(Operation::Put));
    assert_eq!(parse_decimal("64"), Ok(64));
    let target = Target::parse("/mybucket/mykey").unwrap();
    assert_eq!((target.bucket.as_str(), target.key.as_str()), ("mybucket", "mykey"));
}
