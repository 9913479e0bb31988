//! Bytes that are not HTTP, or HTTP that no server should follow.

use penstock_tests::sign::encode;

use super::{BUCKET, Case, Target};

/// The rows.
pub(super) fn cases(target: &Target) -> Vec<Case> {
    [raw(target), framing(target), paths(target)].into_iter().flatten().collect()
}

fn raw(target: &Target) -> Vec<Case> {
    let host = target.client.host();
    let many: String = (0..2_000).map(|number| format!("x-many-{number}: 1\r\n")).collect();
    let long = "a".repeat(1 << 20);
    vec![
        Case::new("no HTTP at all", "GARBAGE\r\n\r\n", "400 | closed"),
        Case::new("nothing, then the end", "", "closed").ending(),
        Case::new("a TLS ClientHello", hello(), "400 InvalidRequest | closed").ending(),
        Case::new(
            "the HTTP/2 preface, then garbage",
            [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), vec![0xff; 64]].concat(),
            // Frames of HTTP/2 come back, which are no HTTP/1.1 response: SETTINGS and GOAWAY.
            "closed",
        )
        .ending(),
        Case::new(
            "a method with a bracket",
            format!("GE(T / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            "400 | closed",
        ),
        Case::new(
            "version HTTP/9.9",
            format!("GET / HTTP/9.9\r\nHost: {host}\r\n\r\n"),
            "400 | 505 | closed",
        ),
        Case::new(
            "a header without a colon",
            format!("GET / HTTP/1.1\r\nHost: {host}\r\nnocolon\r\n\r\n"),
            "400 | closed",
        ),
        Case::new(
            "a header name with a space",
            format!("GET / HTTP/1.1\r\nHost: {host}\r\na b: c\r\n\r\n"),
            "400 | closed",
        ),
        Case::new(
            "NUL in a header value",
            format!("GET / HTTP/1.1\r\nHost: {host}\r\nx-a: \0\r\n\r\n"),
            "400 | closed",
        ),
        Case::new(
            "a header of 1 MiB",
            format!("GET / HTTP/1.1\r\nHost: {host}\r\nx-a: {long}\r\n\r\n"),
            "431 | 400 | closed",
        ),
        Case::new(
            "2,000 headers",
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n{many}\r\n"),
            "431 | 400 | closed",
        ),
        Case::new(
            "a target of 1 MiB",
            format!("GET /{long} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            "414 | 431 | 400 | closed",
        ),
        Case::new(
            "no Host",
            "GET / HTTP/1.1\r\n\r\n",
            "400 | 400 InvalidRequest | 403 AccessDenied",
        ),
        Case::new(
            "two Hosts",
            format!("GET /{BUCKET} HTTP/1.1\r\nHost: {host}\r\nHost: elsewhere\r\n\r\n"),
            "400 | 400 InvalidRequest | 403 AccessDenied",
        ),
        Case::new(
            "CONNECT",
            format!("CONNECT elsewhere:443 HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            "400 | 405 | 400 InvalidURI | 405 MethodNotAllowed | 403 AccessDenied | 501 NotImplemented",
        ),
        Case::new(
            "TRACE",
            target.sign(target.request("TRACE")).bytes(),
            "405 MethodNotAllowed | 501 NotImplemented",
        ),
    ]
}

fn framing(target: &Target) -> Vec<Case> {
    let put = |lines: &[(&str, &str)], body: &str| {
        let mut request = target.request("PUT");
        for (name, value) in lines {
            request = request.header(name, value);
        }
        let mut wire = target.sign_unsigned(request).head_bytes();
        wire.extend_from_slice(body.as_bytes());
        wire
    };
    // hyper drops the length beside a transfer coding (RFC 9112, 6.3): a signed header is gone then.
    let refused = "403 AccessDenied | 400 | 400 InvalidRequest | 411 MissingContentLength | 501 NotImplemented | closed";
    vec![
        Case::new(
            "two different lengths",
            put(&[("Content-Length", "3"), ("Content-Length", "5")], "abcde"),
            "400 | 400 InvalidRequest | closed",
        ),
        Case::new(
            "a negative length",
            put(&[("Content-Length", "-1")], ""),
            "400 | 400 InvalidArgument | closed",
        ),
        Case::new(
            "a length that is no number",
            put(&[("Content-Length", "many")], ""),
            "400 | 400 InvalidArgument | closed",
        ),
        Case::new(
            "a length of 2^64",
            put(&[("Content-Length", "18446744073709551616")], ""),
            "400 | 400 InvalidArgument | closed",
        ),
        Case::new(
            "length and chunked coding together",
            put(
                &[("Content-Length", "3"), ("Transfer-Encoding", "chunked")],
                "3\r\nabc\r\n0\r\n\r\n",
            ),
            refused,
        ),
        Case::new(
            "chunked coding without a length",
            put(&[("Transfer-Encoding", "chunked")], "3\r\nabc\r\n0\r\n\r\n"),
            refused,
        ),
        Case::new(
            "a chunk of 2^68 bytes",
            put(&[("Transfer-Encoding", "chunked")], "fffffffffffffffff\r\nabc"),
            refused,
        )
        .ending(),
        Case::new(
            "an unknown transfer coding",
            put(&[("Transfer-Encoding", "gzip")], "abc"),
            refused,
        )
        .ending(),
        Case::new(
            "a PUT without a length",
            {
                let request = target.sign_unsigned(target.request("PUT"));
                let head = String::from_utf8(request.head_bytes()).expect("ASCII");
                head.replace("Content-Length: 0\r\n", "")
            },
            "411 MissingContentLength",
        ),
    ]
}

fn paths(target: &Target) -> Vec<Case> {
    let get = |path: &str| {
        let mut request = target.request("GET");
        path.clone_into(&mut request.path);
        target.sign(request).bytes()
    };
    let bad = "400 | 400 InvalidURI";
    vec![
        Case::new(
            "a broken percent sign in the key",
            get("/bad-input/%zz"),
            "400 | 400 InvalidURI | 403 SignatureDoesNotMatch",
        ),
        Case::new("a key that is not UTF-8", get("/bad-input/%FF%FE"), bad),
        Case::new(
            "a bucket of dots",
            get("/../etc/passwd"),
            "400 InvalidBucketName | 400 InvalidURI | 400",
        ),
        Case::new(
            "a key of 1,025 bytes",
            get(&format!("/{BUCKET}/{}", "k".repeat(1025))),
            "400 KeyTooLongError",
        ),
        Case::new(
            "a key of 343 three-byte characters",
            get(&format!("/{BUCKET}/{}", encode(&"€".repeat(343), false))),
            "400 KeyTooLongError",
        ),
    ]
}

/// The first bytes of what a TLS client sends.
fn hello() -> Vec<u8> {
    let mut bytes = vec![0x16, 0x03, 0x01, 0x00, 0x50, 0x01, 0x00, 0x00, 0x4c, 0x03, 0x03];
    bytes.resize(85, 0x5a);
    bytes
}
