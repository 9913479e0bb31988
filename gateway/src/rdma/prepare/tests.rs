//! What PREPARE reads off its headers, and what it refuses.

use super::*;
use http::Request;

const TOKEN: &str =
    "011201000000000000000000000000ffff0a4d00010000000000000000000000000000000000000000010000";

fn head(changes: &[(&'static str, &str)]) -> Parts {
    let mut headers = vec![
        (header::TOKEN, TOKEN),
        (header::PSN, "1"),
        (header::COOKIE, "1a2b3c4d"),
        (header::OP, "put"),
        (header::TARGET, "/bucket/key"),
        (header::SIZE, "64"),
    ];
    for (name, value) in changes {
        headers.retain(|(present, _)| present != name);
        if !value.is_empty() {
            headers.push((name, value));
        }
    }
    let mut request = Request::builder();
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn headers_are_read() {
    let asked = Asked::read(&head(&[])).unwrap();
    assert_eq!((asked.operation, asked.size, asked.offset), (Operation::Put, 64, 0));
    assert_eq!((asked.psn.number(), asked.token.qpn), (1, 0x112));
    let asked = Asked::read(&head(&[(header::OP, "GET"), (header::OFFSET, "7")])).unwrap();
    assert_eq!((asked.operation, asked.offset), (Operation::Get, 7));
    let all_zero = "0".repeat(88);
    assert!(Asked::read(&head(&[(header::TOKEN, &all_zero)])).unwrap().token.is_loopback);
}

#[test]
fn every_header_is_held_to_its_grammar() {
    for (name, value) in [
        (header::TOKEN, ""),
        (header::TOKEN, &TOKEN[1..]),
        (header::PSN, ""),
        (header::PSN, "0"),
        (header::PSN, "1000000"),
        (header::COOKIE, ""),
        (header::COOKIE, "00000000"),
        (header::COOKIE, "1a2b3c4"),
        (header::OP, ""),
        (header::OP, "HEAD"),
        (header::TARGET, ""),
        (header::TARGET, "bucket/key"),
        (header::TARGET, "/bucket/%zz"),
        (header::SIZE, ""),
        (header::SIZE, "0"),
        (header::SIZE, "+1"),
        (header::SIZE, "18446744073709551616"),
        (header::OFFSET, "1"),
        (header::OFFSET, "-1"),
        (header::QPN, "0"),
        (header::MR_ADDR, "0x10"),
        (header::MR_RKEY, "100000000"),
    ] {
        let refused = Asked::read(&head(&[(name, value)])).expect_err(name);
        assert_eq!((refused.status.as_u16(), &*refused.code), (400, "InvalidArgument"), "{name}");
        assert!(refused.message.contains(name), "{name}: {}", refused.message);
    }
    let far = [(header::OP, "GET"), (header::OFFSET, "18446744073709551600")];
    assert!(Asked::read(&head(&far)).is_err());
}

#[test]
fn targets_that_only_http_serves_are_told_apart() {
    for (operation, target, supported) in [
        ("GET", "/b/k", true),
        ("GET", "/b/k?partNumber=1", true),
        ("GET", "/b/k?versionId=null", true),
        ("GET", "/b/k?partNumber=1&uploadId=u", false),
        ("GET", "/b/k?tagging", false),
        ("PUT", "/b/k", true),
        ("PUT", "/b/k?uploadId=u&partNumber=1", true),
        ("PUT", "/b/k?partNumber=1", false),
        ("PUT", "/b/k?acl", false),
    ] {
        let asked = head(&[(header::OP, operation), (header::TARGET, target)]);
        let asked = Asked::read(&asked).unwrap();
        assert_eq!(asked.is_supported(), supported, "{operation} {target}");
    }
}
