//! The other texts: what is accepted and what is said of the rest.

use super::super::*;
use super::{SESSION, STAGING};
use crate::fabric::{Psn, Qpn};
use crate::limits::{CAPABILITIES_BYTES_MAX, TARGET_BYTES_MAX};

fn why<T: std::fmt::Debug>(result: Result<T, WireError>) -> Fault {
    result.unwrap_err().why
}

#[test]
fn bare_hexadecimal() {
    assert_eq!(parse_bare_hex("0"), Ok(0));
    assert_eq!(parse_bare_hex("00000000000000aB"), Ok(0xab));
    assert_eq!(parse_bare_hex("ffffffffffffffff"), Ok(u64::MAX));
    let digits = Fault::Digits { least: 1, most: 16 };
    assert_eq!(why(parse_bare_hex("")), Fault::Empty);
    assert_eq!(why(parse_bare_hex("00000000000000000")), digits);
    for text in ["0x1", "+1", "-1", " 1", "1 ", "1_0", "g", "١", "\u{ff11}"] {
        assert_eq!(why(parse_bare_hex(text)), Fault::NotHexadecimal, "{text}");
    }
}

#[test]
fn decimal() {
    assert_eq!(parse_decimal("0"), Ok(0));
    assert_eq!(parse_decimal("00000000000000000064"), Ok(64));
    assert_eq!(parse_decimal("18446744073709551615"), Ok(u64::MAX));
    let too_large = Fault::TooLarge { most: u64::MAX };
    assert_eq!(why(parse_decimal("18446744073709551616")), too_large);
    assert_eq!(why(parse_decimal("99999999999999999999")), too_large);
    let digits = Fault::Digits { least: 1, most: 20 };
    assert_eq!(why(parse_decimal("000000000000000000064")), digits);
    assert_eq!(why(parse_decimal("")), Fault::Empty);
    for text in ["+1", "-1", "1.0", "1e3", " 1", "1 ", "1/2", "a", "١"] {
        assert_eq!(why(parse_decimal(text)), Fault::NotDecimal, "{text}");
    }
}

#[test]
fn remote_keys() {
    assert_eq!(parse_rkey("00000000ffffffff"), Ok(u32::MAX));
    assert_eq!(why(parse_rkey("100000000")), Fault::TooLarge { most: u32::MAX.into() });
    let error = parse_rkey("xyz").unwrap_err().in_header(header::MR_RKEY);
    let expected = "x-amz-rdma-mr-rkey: the remote key \"xyz\" is not valid: \
        it must have hexadecimal digits only";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn packet_sequence_numbers() {
    assert_eq!(parse_psn("1").map(Psn::number), Ok(1));
    assert_eq!(parse_psn("FFFFFF").map(Psn::number), Ok(Psn::MAX));
    assert_eq!(why(parse_psn("0")), Fault::Zero);
    assert_eq!(why(parse_psn("000000")), Fault::Zero);
    assert_eq!(why(parse_psn("0000001")), Fault::Digits { least: 1, most: 6 });
    assert_eq!(why(parse_psn("")), Fault::Empty);
    assert_eq!(why(parse_psn("0x1")), Fault::NotHexadecimal);
}

#[test]
fn queue_pair_numbers() {
    assert_eq!(parse_qpn("0000000000000112").map(Qpn::number), Ok(0x112));
    assert_eq!(parse_qpn("ffffff").map(Qpn::number), Ok(Qpn::MAX));
    let too_large = Fault::TooLarge { most: Qpn::MAX.into() };
    assert_eq!(why(parse_qpn("1000000")), too_large);
    assert_eq!(why(parse_qpn("100000112")), too_large, "not its lowest 32 bits");
    assert_eq!(why(parse_qpn("0")), Fault::Zero);
    let mut token = RcToken::parse(SESSION).unwrap();
    token.qpn = 0x0100_0112;
    let error = RcToken::parse(&token.to_string()).unwrap().queue_pair().unwrap_err();
    assert_eq!((error.why, error.value.as_str()), (too_large, "01000112"));
}

#[test]
fn cookies_and_sessions() {
    assert_eq!(Cookie::parse("00000001").map(Cookie::number), Ok(1));
    assert_eq!(why(Cookie::parse("00000000")), Fault::Zero);
    for text in ["1", "0000001", "000000001"] {
        assert_eq!(why(Cookie::parse(text)), Fault::Digits { least: 8, most: 8 }, "{text}");
    }
    assert_eq!(why(Cookie::parse("0x000001")), Fault::NotHexadecimal);
    assert_eq!(Cookie::new(0), None);
    assert_eq!(SessionId::parse(&"0".repeat(32)), Ok(SessionId([0; 16])));
    let digits = Fault::Digits { least: 32, most: 32 };
    assert_eq!(why(SessionId::parse(&"0".repeat(31))), digits);
    assert_eq!(why(SessionId::parse(&"0".repeat(33))), digits);
    assert_eq!(why(SessionId::parse(&"g".repeat(32))), Fault::NotHexadecimal);
}

/// Not a test of randomness: that the bits are asked for at all, and zero is left out.
#[test]
fn random_identifiers_differ() {
    assert_ne!(SessionId::random().unwrap(), SessionId::random().unwrap());
    let cookies: std::collections::HashSet<_> = (0..8).map(|_| Cookie::random().unwrap()).collect();
    let psns: std::collections::HashSet<_> = (0..8).map(|_| random_psn().unwrap()).collect();
    assert!(cookies.len() > 1 && psns.len() > 1);
}

#[test]
fn replies() {
    let of = |text| ReplyCode::parse(text).unwrap();
    assert_eq!(of("200"), ReplyCode::Whole);
    assert_eq!(of("204"), ReplyCode::NoContent);
    assert_eq!(of("206"), ReplyCode::Partial);
    assert_eq!(of("501"), ReplyCode::NotByRdma);
    assert_eq!(of("404"), ReplyCode::Http(404));
    assert_eq!((of("ok"), of("err")), (ReplyCode::Ok, ReplyCode::Err));
    for text in ["200", "204", "206", "ok"] {
        assert!(of(text).is_success(), "{text}");
    }
    for text in ["501", "100", "202", "404", "500", "599", "err"] {
        assert!(!of(text).is_success(), "{text}");
    }
    let prepared = of(&format!("200:{STAGING}"));
    assert_eq!(prepared, ReplyCode::Prepared(RcToken::parse(STAGING).unwrap()));
    assert!(!prepared.is_success());

    assert_eq!(why(ReplyCode::parse("")), Fault::Empty);
    let words = Fault::Word { expected: "a status of three digits, or 200: and a token" };
    for text in ["20", "2000", "099", "600", "+20", " 200", "200 ", "2 0", "OK", "ERR", "20a"] {
        assert_eq!(why(ReplyCode::parse(text)), words, "{text}");
    }
    let digits = Fault::Digits { least: 88, most: 88 };
    assert_eq!(why(ReplyCode::parse("200:")), Fault::Empty);
    assert_eq!(why(ReplyCode::parse(&format!("200:{}", "0".repeat(88)))), Fault::Loopback);
    assert_eq!(why(ReplyCode::parse(&format!("200:{STAGING}:1:1"))), digits);
    assert_eq!(why(ReplyCode::parse(&format!("200: {STAGING}"))), digits);
    assert_eq!(why(ReplyCode::parse(&format!("206:{STAGING}"))), words);
    assert_eq!(why(ReplyCode::parse(&format!("200:00{}", &STAGING[2..]))), Fault::Transport);
}

/// Of the bits of its last character two are not used, and four of CRC-32C's: they must be zero.
#[test]
fn base64_has_one_text_for_a_value() {
    let bad = Fault::NotBase64 { bytes: 8 };
    for text in ["", "AAAAAAAAAAA", "AAAAAAAAAAAA", "AAAAAAAAAA==", "AAAAAAAAAAA= ", " AAAAAAAAAA="]
    {
        assert_eq!(why(Crc64Nvme::parse(text)), bad, "{text}");
    }
    for text in ["AAAAAAAAAAB=", "AAAAAAAAAAC=", "AAAAAAAAAAD=", "AAAA-AAAAAA=", "AAAAAAAAA_A="] {
        assert_eq!(why(Crc64Nvme::parse(text)), bad, "{text}");
    }
    assert_eq!(Crc64Nvme::parse("AAAAAAAAAAE="), Ok(Crc64Nvme(1)));
    assert_eq!(Crc64Nvme::parse("//////////8="), Ok(Crc64Nvme(u64::MAX)));
    let bad = Fault::NotBase64 { bytes: 4 };
    for text in ["AAAAAB==", "AAAAAI==", "AAAAAA=", "AAAAAAA=", "AAAAAA", "AAAAAA===", "A===AA=="] {
        assert_eq!(why(Crc32c::parse(text)), bad, "{text}");
    }
    assert_eq!(Crc32c::parse("/////w=="), Ok(Crc32c(u32::MAX)));
}

#[test]
fn named_checksums() {
    for text in ["rosUhgp5mIg=", "CRC64NVME", "CRC64NVMErosUhgp5mIg=", "crc64nvme rosUhgp5mIg="] {
        assert!(matches!(why(Crc64Nvme::parse_named(text)), Fault::Word { .. }), "{text}");
    }
    for text in ["CRC64NVME ", "CRC64NVME  rosUhgp5mIg=", "CRC64NVME rosUhgp5mIg= "] {
        assert_eq!(why(Crc64Nvme::parse_named(text)), Fault::NotBase64 { bytes: 8 }, "{text}");
    }
}

#[test]
fn words() {
    assert_eq!(ChecksumAlgorithm::parse("crc64Nvme"), Ok(ChecksumAlgorithm::Crc64Nvme));
    assert_eq!(ChecksumAlgorithm::parse("crc32c"), Ok(ChecksumAlgorithm::Crc32c));
    for text in ["", "CRC32", "SHA256", "CRC64NVME ", "CRC64-NVME"] {
        assert!(ChecksumAlgorithm::parse(text).is_err(), "{text}");
    }
    assert_eq!(Operation::parse("Get"), Ok(Operation::Get));
    for text in ["", "POST", "GET ", "HEAD"] {
        assert!(Operation::parse(text).is_err(), "{text}");
    }
}

#[test]
fn capabilities() {
    let both = Capabilities { sessions: true, pooled: true, ..Capabilities::default() };
    assert_eq!(Capabilities::parse("hipobj-rc-v2,pooled-rc"), Ok(both));
    assert_eq!(Capabilities::parse(" pooled-rc ,\tfuture.word, hipobj-rc-v2,"), Ok(both));
    assert_eq!(both.to_string(), "hipobj-rc-v2,pooled-rc");
    assert_eq!(Capabilities::parse(""), Ok(Capabilities::default()));
    assert_eq!(Capabilities::parse("MP,arme,armed2"), Ok(Capabilities::default()));
    let all = Capabilities { parts: true, armed: true, off: true, ..both };
    assert_eq!(all.to_string(), "hipobj-rc-v2,pooled-rc,mp,armed,off");
    for text in ["a b", "mp;armed", "mp=1", "\u{1}", "é"] {
        assert_eq!(why(Capabilities::parse(text)), Fault::Character, "{text}");
    }
    let long = "a".repeat(CAPABILITIES_BYTES_MAX + 1);
    let limit = CAPABILITIES_BYTES_MAX;
    assert_eq!(why(Capabilities::parse(&long)), Fault::TooLong { limit });
}

fn target(text: &str) -> (String, String, TargetQuery) {
    let Target { bucket, key, query } = Target::parse(text).expect(text);
    (bucket, key, query)
}

#[test]
fn targets() {
    let plain = |bucket: &str, key: &str| (bucket.into(), key.into(), TargetQuery::None);
    assert_eq!(target("/b/k"), plain("b", "k"));
    assert_eq!(target("/b//k/"), plain("b", "/k/"));
    assert_eq!(target("/b/a+b"), plain("b", "a+b"));
    assert_eq!(target("/b/a%2Bb%20c%2fd"), plain("b", "a+b c/d"));
    assert_eq!(target("/a%2Fb/k"), plain("a/b", "k"));
    assert_eq!(target("/b/%C3%A9%3F"), plain("b", "é?"));
    assert_eq!(target("/b/k=a&b:c@!"), plain("b", "k=a&b:c@!"));
    assert_eq!(target("/b/%00"), plain("b", "\0"), "which keys there may be is S3's to say");

    for text in ["", "/", "//", "b/k", "/b", "/b/", "//k", "/b?x/k", "/b/?versionId=1"] {
        assert_eq!(why(Target::parse(text)), Fault::NotBucketAndKey, "{text}");
    }
    for text in ["/b/%", "/b/%2", "/b/%2g", "/b/%%41", "/%zz/k", "/b/%+1", "/b/k?versionId=%1"] {
        assert_eq!(why(Target::parse(text)), Fault::Escape, "{text}");
    }
    for text in ["/b/k?%", "/b/k?x=%", "/b/k?versionId=a&%0"] {
        assert_eq!(why(Target::parse(text)), Fault::Escape, "{text}");
    }
    for text in ["/b/%FF", "/b/%C3", "/%80/k", "/b/k?uploadId=%FF&partNumber=1"] {
        assert_eq!(why(Target::parse(text)), Fault::NotUtf8, "{text}");
    }
    for text in ["/b/a b", "/b/\t", "/b/é", "/b/k\r\n", "/b/k?a b", "/b/\0", "/b/\u{7f}"] {
        assert_eq!(why(Target::parse(text)), Fault::Character, "{text}");
    }
}

#[test]
fn queries_of_a_target() {
    let query = |text: &str| target(&format!("/b/k?{text}")).2;
    let upload = TargetQuery::Upload { upload_id: "a+b/c".into(), part_number: 7 };
    assert_eq!(query("uploadId=a+b%2Fc&partNumber=7"), upload);
    assert_eq!(query("partNumber=7&uploadId=a%2Bb/c"), upload);
    assert_eq!(query("partNumber=10000"), TargetQuery::Part(10_000));
    assert_eq!(query("versionId=null"), TargetQuery::Version("null".into()));
    assert_eq!(query("versionId=a?b=c"), TargetQuery::Version("a?b=c".into()));
    assert!(upload.is_for_put() && !upload.is_for_get());
    assert!(query("partNumber=1").is_for_get() && !query("partNumber=1").is_for_put());
    assert!(query("versionId=1").is_for_get() && !query("versionId=1").is_for_put());
    assert!(TargetQuery::None.is_for_get() && TargetQuery::None.is_for_put());

    for text in [
        "",
        "&",
        "acl",
        "uploadId=a",
        "uploadId=&partNumber=1",
        "uploadId=a&partNumber=0",
        "uploadId=a&partNumber=10001",
        "uploadId=a&partNumber=1&partNumber=1",
        "uploadId=a&partNumber=1&",
        "uploadId=a&partNumber=1&versionId=1",
        "uploadId=a&partNumber=%31&x-id=UploadPart",
        "partNumber",
        "partNumber=",
        "partNumber=-1",
        "partNumber=65537",
        "partNumber=1&versionId=1",
        "versionId",
        "versionId=",
        "versionId=1&versionId=1",
        "versionid=1",
        "version%49d=1",
        "%75ploadId=a&partNumber=1",
        "uploads",
        "uploadId=a?partNumber=1",
    ] {
        let query = query(text);
        assert_eq!(query, TargetQuery::Unsupported, "{text}");
        assert!(!query.is_for_get() && !query.is_for_put());
    }
}

#[test]
fn targets_are_encoded() {
    let target = |key: &str, query| Target { bucket: "b".into(), key: key.into(), query };
    let text = target("a b/c+d/é~?&%", TargetQuery::None).encode().unwrap();
    assert_eq!(text, "/b/a%20b/c%2Bd/%C3%A9~%3F%26%25");
    let upload = TargetQuery::Upload { upload_id: "x/y=".into(), part_number: 3 };
    assert_eq!(target("k", upload).to_string(), "/b/k?partNumber=3&uploadId=x%2Fy%3D");
    assert_eq!(why(target("", TargetQuery::None).encode()), Fault::NotBucketAndKey);

    let longest = target(&"k".repeat(TARGET_BYTES_MAX - 3), TargetQuery::None).encode().unwrap();
    assert_eq!(longest.len(), TARGET_BYTES_MAX);
    assert!(Target::parse(&longest).is_ok());
    let limit = Fault::TooLong { limit: TARGET_BYTES_MAX };
    assert_eq!(why(Target::parse(&format!("{longest}k"))), limit);
    assert_eq!(why(target(&" ".repeat(1024), TargetQuery::None).encode()), limit);
}

#[test]
fn names_of_headers() {
    let names = std::collections::HashSet::from(header::ALL);
    assert_eq!(names.len(), header::ALL.len());
    for name in names {
        assert!(name.starts_with(header::PREFIX) && name.len() <= 30, "{name}");
        assert!(name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')), "{name}");
    }
}
