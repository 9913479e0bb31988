//! Every way to be refused, and the code, status and message of each; with what looks alike and is
//! let through.

use http::StatusCode;

use super::client::{Client, DATE, EMPTY, KEY, NOW, SECRET, verifier};
use super::*;

fn refused(parts: &Parts) -> AuthError {
    verifier().verify(parts, at(NOW)).expect_err("to be refused")
}

fn assert_refused(parts: &Parts, status: u16, code: &str, message: &str) {
    let error = refused(parts);
    assert_eq!((error.code(), error.status().as_u16()), (code, status), "{error}");
    assert!(error.message().contains(message), "{error:?} says: {error}");
}

fn with_authorization(value: &str) -> Parts {
    let headers = [
        ("host", "h"),
        ("x-amz-date", DATE),
        ("x-amz-content-sha256", EMPTY),
        ("authorization", value),
    ];
    head("GET", "/bucket/key", &headers)
}

#[test]
fn what_is_well_signed_is_let_through() {
    let verified = verifier().verify(&Client::new().by_header(), at(NOW)).expect("by header");
    assert_eq!(verified.identity, Identity::Key(KEY.into()));
    let verified = verifier().verify(&Client::presigner().by_query(""), at(NOW)).expect("by query");
    assert_eq!(verified.mechanism, Mechanism::Query);
    let sts = Client { service: "sts", region: "elsewhere", ..Client::new() };
    assert!(verifier().verify(&sts.by_header(), at(NOW)).is_ok(), "another service, any region");
}

#[test]
fn no_signature_is_anonymous() {
    for headers in [&[("host", "h")][..], &[("host", "h"), ("authorization", "")]] {
        let verified = verifier()
            .verify(&head("GET", "/b/k?X-Amz-Date=1", headers), at(NOW))
            .expect("anonymous");
        assert_eq!(
            (verified.identity, verified.mechanism),
            (Identity::Anonymous, Mechanism::Anonymous)
        );
        assert!(!verified.signed_headers.contains("host") && !verified.signed_headers.contains(""));
    }
    let framed =
        head("PUT", "/b/k", &[("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")]);
    let payload = verifier().verify(&framed, at(NOW)).expect("anonymous").payload;
    assert!(matches!(payload, Payload::Chunked { chain: None, trailer: true }));
    let signed =
        head("PUT", "/b/k", &[("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")]);
    assert_refused(&signed, 400, "InvalidRequest", "needs a signed request");
}

#[test]
fn only_one_mechanism_and_only_sigv4() {
    let mut both = Client::presigner().by_query("");
    both.headers.insert("authorization", "AWS4-HMAC-SHA256 x".parse().expect("a value"));
    assert_refused(&both, 400, "InvalidArgument", "Only one auth mechanism allowed");
    let mut twice = Client::new().by_header();
    let again = twice.headers["authorization"].clone();
    twice.headers.append("authorization", again);
    assert_refused(&twice, 400, "InvalidArgument", "Only one auth mechanism allowed");
    let unsupported = "Please use AWS4-HMAC-SHA256.";
    for value in
        ["AWS AKID:c2ln", "AWS", "AWS4-ECDSA-P256-SHA256 Credential=x", "AWS4-HMAC-SHA512 x"]
    {
        assert_refused(&with_authorization(value), 400, "InvalidRequest", unsupported);
    }
    for uri in ["/b/k?AWSAccessKeyId=A&Signature=s&Expires=1", "/b/k?Signature=s"] {
        assert_refused(&head("GET", uri, &[("host", "h")]), 400, "InvalidRequest", unsupported);
    }
    for value in ["Basic dXNlcjpwYXNz", "Bearer token", "aws4-hmac-sha256 x", "\u{e9}"] {
        assert_refused(
            &with_authorization(value),
            400,
            "InvalidArgument",
            "Unsupported Authorization Type",
        );
    }
}

#[test]
fn malformed_headers() {
    let scope = format!("{KEY}/20260301/r/s3/aws4_request");
    let signature = "0".repeat(64);
    let value = |credential: &str, list: &str| {
        format!(
            "AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={list},Signature={signature}"
        )
    };
    let list = "host;x-amz-content-sha256;x-amz-date";
    let long = format!("{}/20260301/r/s3/aws4_request", "K".repeat(129));
    for (value, message) in [
        ("AWS4-HMAC-SHA256".into(), "component \"\" is unknown"),
        (
            format!("AWS4-HMAC-SHA256 Credential={scope},SignedHeaders={list}"),
            "the Signature component is missing",
        ),
        (
            format!("AWS4-HMAC-SHA256 Credential={scope},Signature={signature}"),
            "the SignedHeaders component is missing",
        ),
        (
            format!("AWS4-HMAC-SHA256 SignedHeaders={list},Signature={signature}"),
            "the Credential component is missing",
        ),
        (
            format!("{},Signature=0", value(&scope, list)),
            "the Signature component is given more than once",
        ),
        (format!("{},More=0", value(&scope, list)), "component \"More\" is unknown"),
        (value("A/b/c", list), "the Credential is mal-formed"),
        (value("/20260301/r/s3/aws4_request", list), "the Credential is mal-formed"),
        (value(&long, list), "the Credential is mal-formed"),
        (value(&format!("{KEY}/20260301//s3/aws4_request"), list), "the Credential is mal-formed"),
        (value(&format!("{KEY}/2026030/r/s3/aws4_request"), list), "the Credential is mal-formed"),
        (value(&format!("{KEY}/2026O301/r/s3/aws4_request"), list), "the Credential is mal-formed"),
        (
            value(&format!("{KEY}/20260301/r/s3/aws5_request"), list),
            "incorrect terminal \"aws5_request\"",
        ),
        (
            value(&format!("{KEY}/20260301/r/ec2/aws4_request"), list),
            "incorrect service \"ec2\". This endpoint belongs to \"s3\"",
        ),
        (
            value(&format!("{KEY}/20260302/r/s3/aws4_request"), list),
            "Invalid credential date \"20260302\". This date is not the same as X-Amz-Date: \"20260301\"",
        ),
        (value(&scope, ""), "SignedHeaders must be"),
        (value(&scope, "x-amz-date;host"), "SignedHeaders must be"),
        (value(&scope, "host;host"), "SignedHeaders must be"),
        (value(&scope, "Host"), "SignedHeaders must be"),
        (value(&scope, "host;"), "SignedHeaders must be"),
        (value(&scope, "ho st"), "SignedHeaders must be"),
        (
            value(&scope, &(0..300).map(|n| format!("h{n:03}")).collect::<Vec<_>>().join(";")),
            "SignedHeaders must be",
        ),
    ] {
        assert_refused(&with_authorization(&value), 400, "AuthorizationHeaderMalformed", message);
    }
}

#[test]
fn malformed_queries() {
    let good = Client::presigner().presign("");
    let missing = "requires the X-Amz-Algorithm";
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{good} has no {from}");
        head("GET", &good.replacen(from, to, 1), &[("host", "h:9000")])
    };
    for (from, to, message) in [
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256&", "", missing),
        ("&X-Amz-Date=", "&Date=", missing),
        ("&X-Amz-Expires=600", "", missing),
        ("&X-Amz-SignedHeaders=host", "", missing),
        ("&X-Amz-Signature=", "&x-amz-signature=", missing),
        ("X-Amz-Credential=", "Credential=", missing),
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1", "X-Amz-Algorithm only supports"),
        (
            "&X-Amz-Date=",
            "&X-Amz-Date=2&X-Amz-Date=",
            "X-Amz-Date component is given more than once",
        ),
        (
            "&X-Amz-Date=",
            "&X-Amz-Dat%65=2&X-Amz-Date=",
            "X-Amz-Date component is given more than once",
        ),
        ("Date=2026", "Date=x026", "X-Amz-Date must be in the ISO8601"),
        ("Expires=600", "Expires=ten", "X-Amz-Expires should be a number"),
        ("Expires=600", "Expires=", "X-Amz-Expires should be a number"),
        ("Expires=600", "Expires=0", "X-Amz-Expires must be at least 1"),
        ("Expires=600", "Expires=-5", "X-Amz-Expires must be at least 1"),
        ("Expires=600", "Expires=604801", "must be less than 604800 seconds"),
        ("Expires=600", "Expires=99999999999999999999999", "must be less than 604800 seconds"),
        ("SignedHeaders=host", "SignedHeaders=host%3Ba", "SignedHeaders must be"),
        ("SignedHeaders=host", "SignedHeaders=%FF", "SignedHeaders must be"),
        ("Credential=AKIDTEST", "Credential=%FF", "the Credential is mal-formed"),
        ("%2F20260301", "%2F20260302", "Invalid credential date"),
        ("%2Fs3%2F", "%2Fec2%2F", "incorrect service"),
        ("aws4_request", "aws4", "incorrect terminal"),
        (
            "&X-Amz-Date=",
            "&X-Amz-Content-Sha256=a&X-Amz-Content-Sha256=b&X-Amz-Date=",
            "more than once",
        ),
    ] {
        assert_refused(&with(from, to), 400, "AuthorizationQueryParametersError", message);
    }
    let many = format!("/b/k?{}", "a&".repeat(257));
    assert_refused(
        &head("GET", &many, &[("host", "h")]),
        400,
        "InvalidRequest",
        "more than 256 query parameters",
    );
}

#[test]
fn clocks() {
    let by_header = Client::new().by_header();
    for offset in [-900i64, 0, 900] {
        assert!(
            verifier().verify(&by_header, at(NOW.wrapping_add_signed(offset))).is_ok(),
            "{offset}"
        );
    }
    for offset in [-901i64, 901, -86_400, 86_400] {
        let refused =
            verifier().verify(&by_header, at(NOW.wrapping_add_signed(offset))).expect_err("skewed");
        assert_eq!(
            (refused.code(), refused.status()),
            ("RequestTimeTooSkewed", StatusCode::FORBIDDEN)
        );
        assert_eq!(refused.details()[0], ("RequestTime", "2026-03-01T12:30:45Z".into()));
        assert_eq!(refused.details()[2], ("MaxAllowedSkewMilliseconds", "900000".into()));
    }
    let by_query = Client::presigner().by_query("");
    for (offset, expected) in [
        (-901i64, Some("not valid yet")),
        (-900, None),
        (600, None),
        (601, Some("Request has expired")),
    ] {
        let outcome = verifier().verify(&by_query, at(NOW.wrapping_add_signed(offset)));
        match (outcome, expected) {
            (Ok(_), None) => {}
            (Err(refused), Some(message)) => {
                assert_eq!(
                    (refused.code(), refused.status()),
                    ("AccessDenied", StatusCode::FORBIDDEN)
                );
                assert!(refused.message().contains(message), "{refused}");
            }
            (outcome, expected) => panic!("{offset}: {outcome:?} in place of {expected:?}"),
        }
    }
}

#[test]
fn dates() {
    let client = Client::new();
    let without_date = || vec![("host", "h".into()), ("x-amz-content-sha256", EMPTY.into())];
    for date in ["Sun, 01 Mar 2026 12:30:45 GMT", DATE] {
        let mut headers = without_date();
        headers.push(("date", date.into()));
        let verified = verifier().verify(&client.by_header_with(headers), at(NOW));
        assert!(verified.is_ok(), "{date}: {verified:?}");
    }
    let no_date = "requires a valid Date or x-amz-date header";
    assert_refused(&client.by_header_with(without_date()), 403, "AccessDenied", no_date);
    for date in ["tomorrow", "2026-03-01T12:30:45Z", ""] {
        for name in ["date", "x-amz-date"] {
            let mut headers = without_date();
            headers.push((name, date.into()));
            assert_refused(&client.by_header_with(headers), 403, "AccessDenied", no_date);
        }
    }
    let mut twice = client.by_header();
    twice.headers.append("x-amz-date", DATE.parse().expect("a value"));
    assert_refused(&twice, 403, "AccessDenied", no_date);
}

#[test]
fn host_and_amz_headers_must_be_signed() {
    let mut client = Client::new();
    client.headers = vec![];
    client.unsigned = vec![("host", "h".into())];
    assert_refused(&client.by_header(), 403, "AccessDenied", "The host header must be signed");
    for presigned in [false, true] {
        let mut client = if presigned { Client::presigner() } else { Client::new() };
        client.unsigned = vec![("x-amz-acl", "public-read".into()), ("x-amz-meta-a", "b".into())];
        let parts = if presigned { client.by_query("") } else { client.by_header() };
        let message = "There were headers present in the request which were not signed";
        assert_refused(&parts, 403, "AccessDenied", message);
        assert_eq!(
            refused(&parts).details(),
            [("HeadersNotSigned", "x-amz-acl, x-amz-meta-a".into())]
        );
        client.unsigned = vec![
            ("x-amzn-trace-id", "1".into()),
            ("x-amz-user-agent", "js".into()),
            ("range", "bytes=0-".into()),
        ];
        let parts = if presigned { client.by_query("") } else { client.by_header() };
        assert!(verifier().verify(&parts, at(NOW)).is_ok(), "these need no signature");
    }
    let mut missing = Client::new();
    missing.headers.push(("x-amz-meta-gone", "1".into()));
    let mut parts = missing.by_header();
    parts.headers.remove("x-amz-meta-gone");
    assert_refused(&parts, 403, "AccessDenied", "The signed header x-amz-meta-gone is not present");
    let mut two_hosts = Client::new().by_header();
    two_hosts.headers.append("host", "other".parse().expect("a value"));
    assert_refused(&two_hosts, 400, "InvalidRequest", "more than one host");
}

#[test]
fn a_request_without_a_host_is_refused() {
    let mut none = Client::new().by_header();
    none.headers.remove("host");
    assert_refused(&none, 403, "AccessDenied", "The signed header host is not present");
    let mut odd = Client::new().by_header();
    odd.headers.insert("host", http::HeaderValue::from_bytes(b"h\xe9").expect("a value"));
    assert_refused(&odd, 400, "InvalidRequest", "The Host header is malformed");
}

#[test]
fn content_hashes() {
    let client = Client::new();
    let headers = vec![("host", "h".into()), ("x-amz-date", DATE.into())];
    let message = "Missing required header for this request: x-amz-content-sha256";
    assert_refused(&client.by_header_with(headers), 400, "InvalidRequest", message);
    let odd = Client { payload: "md5", ..Client::new() };
    assert_refused(&odd.by_header(), 400, "InvalidArgument", "or a valid sha256 value");
    let ecdsa = Client { payload: "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", ..Client::new() };
    assert_refused(&ecdsa.by_header(), 501, "NotImplemented", "SigV4A");
    let mut twice = client.by_header();
    twice.headers.append("x-amz-content-sha256", EMPTY.parse().expect("a value"));
    assert_refused(&twice, 400, "InvalidRequest", "given more than once");
}

/// A presigned request says what its body is in the query, in a signed header, or in an unsigned
/// one that can only narrow what the signature left open.
#[test]
fn content_hashes_of_presigned_requests() {
    let narrowed =
        Client { unsigned: vec![("x-amz-content-sha256", EMPTY.into())], ..Client::presigner() };
    let verified = verifier().verify(&narrowed.by_query(""), at(NOW)).expect("narrowed");
    assert!(matches!(verified.payload, Payload::Exact(EMPTY_SHA256)));
    let mut signed = Client { payload: EMPTY, ..Client::new() };
    signed.headers.push(("x-amz-content-sha256", EMPTY.into()));
    let verified = verifier().verify(&signed.by_query(""), at(NOW)).expect("signed header");
    assert!(matches!(verified.payload, Payload::Exact(EMPTY_SHA256)));
    let in_query = Client { payload: EMPTY, ..Client::new() };
    let parameter = format!("&X-Amz-Content-Sha256={EMPTY}");
    let verified =
        verifier().verify(&in_query.by_query(&parameter), at(NOW)).expect("in the query");
    assert!(matches!(verified.payload, Payload::Exact(EMPTY_SHA256)));
    let contradicted = Client {
        unsigned: vec![("x-amz-content-sha256", "UNSIGNED-PAYLOAD".into())],
        ..in_query.clone()
    };
    assert_refused(
        &contradicted.by_query(&parameter),
        400,
        "InvalidRequest",
        "differs between header and query",
    );
    let unstated = verifier()
        .verify(&in_query.by_query(""), at(NOW))
        .expect_err("the line is UNSIGNED-PAYLOAD");
    assert_eq!(unstated.code(), "SignatureDoesNotMatch");
    let streamed = Client {
        unsigned: vec![("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD".into())],
        ..Client::presigner()
    };
    let verified = verifier().verify(&streamed.by_query(""), at(NOW)).expect("streamed");
    assert!(matches!(verified.payload, Payload::Chunked { chain: Some(_), trailer: false }));
}

#[test]
fn keys_and_signatures() {
    let unknown = Client { key: "AKIDOTHER", ..Client::new() };
    assert_refused(
        &unknown.by_header(),
        403,
        "InvalidAccessKeyId",
        "does not exist in our records",
    );
    assert_eq!(refused(&unknown.by_header()).details(), [("AWSAccessKeyId", "AKIDOTHER".into())]);
    let wrong = Client { secret: "other", ..Client::new() };
    assert_refused(
        &wrong.by_header(),
        403,
        "SignatureDoesNotMatch",
        "does not match the signature you provided",
    );
    let AuthError::SignatureDoesNotMatch(mismatch) = refused(&wrong.by_header()) else {
        panic!("another refusal")
    };
    assert_eq!(&*mismatch.access_key, KEY);
    assert!(mismatch.canonical_request.starts_with("GET\n/bucket/key\n\nhost:h:9000\n"));
    assert!(mismatch.canonical_request.ends_with(EMPTY));
    assert!(
        mismatch.string_to_sign.starts_with(
            "AWS4-HMAC-SHA256\n20260301T123045Z\n20260301/anywhere-1/s3/aws4_request\n"
        )
    );
    let details = refused(&wrong.by_header()).details();
    let names: Vec<&str> = details.iter().map(|(name, _)| *name).collect();
    let expected = [
        "AWSAccessKeyId",
        "StringToSign",
        "SignatureProvided",
        "StringToSignBytes",
        "CanonicalRequest",
        "CanonicalRequestBytes",
    ];
    assert_eq!(names, expected);
    assert!(details[3].1.starts_with("41 57 53 34 2d"));
    let good =
        Client::new().by_header().headers["authorization"].to_str().expect("ascii").to_owned();
    for cut in [1, 63, 64] {
        let mut parts = Client::new().by_header();
        parts.headers.insert("authorization", good[..good.len() - cut].parse().expect("a value"));
        assert_eq!(refused(&parts).code(), "SignatureDoesNotMatch", "{cut} digits short");
    }
    let mut parts = Client::new().by_header();
    parts.headers.insert(
        "authorization",
        format!("{}{}", &good[..good.len() - 64], "z".repeat(64)).parse().expect("a value"),
    );
    assert_eq!(refused(&parts).code(), "SignatureDoesNotMatch");
}

#[test]
fn session_tokens() {
    let mut client = Client::new();
    client.headers.push(("x-amz-security-token", "token".into()));
    assert_refused(&client.by_header(), 400, "InvalidToken", "token is malformed");
    let by_query = Client::presigner().by_query("&X-Amz-Security-Token=t");
    assert_refused(&by_query, 400, "InvalidToken", "token is malformed");
}

#[test]
fn a_key_that_is_removed_or_changed_stops_working_at_once() {
    let secrets = table(&[(KEY, SECRET)]);
    let verifier = Verifier::new(secrets.clone(), &["s3"]);
    let parts = Client::new().by_header();
    for _ in 0..3 {
        assert!(verifier.verify(&parts, at(NOW)).is_ok());
    }
    secrets.0.lock().expect("unlocked").insert(KEY.into(), Secret::new("new"));
    assert_eq!(
        verifier.verify(&parts, at(NOW)).expect_err("changed").code(),
        "SignatureDoesNotMatch"
    );
    let renewed = Client { secret: "new", ..Client::new() };
    assert!(verifier.verify(&renewed.by_header(), at(NOW)).is_ok());
    secrets.0.lock().expect("unlocked").clear();
    assert_eq!(
        verifier.verify(&renewed.by_header(), at(NOW)).expect_err("removed").code(),
        "InvalidAccessKeyId"
    );
}

#[test]
fn secrets_are_not_shown() {
    assert_eq!(format!("{:?}", Secret::new("hidden")), "Secret(..)");
    let streamed = Client { payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", ..Client::new() };
    let verified = verifier().verify(&streamed.by_header(), at(NOW)).expect("streamed");
    assert!(format!("{verified:?}").contains("SigningKey(..)"));
}

proptest::proptest! {
    #[test]
    fn noise_in_the_authorization_header_never_panics(noise in "[ -~]{0,200}") {
        let _ = verifier().verify(&with_authorization(&format!("AWS4-HMAC-SHA256 {noise}")), at(NOW));
    }

    #[test]
    fn noise_in_the_query_never_panics(noise in "[!$-;=?-Z_a-z~%&]{0,200}") {
        let uri = format!("{}&{noise}", Client::presigner().presign(""));
        if uri.parse::<http::Uri>().is_ok() {
            let _ = verifier().verify(&head("GET", &uri, &[("host", "h:9000")]), at(NOW));
        }
    }
}
