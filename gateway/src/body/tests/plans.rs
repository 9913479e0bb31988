//! What is read from a head: lengths, framing, promises; plain bodies; what is stripped.

use http::{HeaderMap, Version};

use super::*;
use crate::auth::EMPTY_SHA256;
use crate::body::checksum::{Algorithm, Digests};

const UNSIGNED: Payload = Payload::Unsigned;

fn planned(parts: &Parts, mechanism: Mechanism, payload: Payload) -> Result<BodyPlan, BodyError> {
    plan(parts, &verified(mechanism, payload))
}

fn put(headers: &[(&str, &str)]) -> Parts {
    head("PUT", "/b/k", headers)
}

fn assert_refused(outcome: Result<BodyPlan, BodyError>, status: u16, code: &str, message: &str) {
    let error = outcome.expect_err(message);
    assert_eq!((error.code(), error.status().as_u16()), (code, status), "{error}");
    assert!(error.message().contains(message), "{error} in place of {message}");
}

#[test]
fn lengths() {
    let length = |headers: &[(&str, &str)]| {
        planned(&put(headers), Mechanism::Header, UNSIGNED).map(|plan| plan.length)
    };
    assert_eq!(length(&[("content-length", "5")]).expect("a plan"), Some(5));
    assert_eq!(
        length(&[("content-length", "5"), ("content-length", "5")]).expect("the same twice"),
        Some(5)
    );
    assert_eq!(length(&[]).expect("a plan"), None);
    for value in ["", "+5", "-1", "5 ", "0x5", "99999999999999999999999"] {
        for name in ["content-length", "x-amz-decoded-content-length"] {
            let outcome = planned(&put(&[(name, value)]), Mechanism::Header, UNSIGNED);
            assert_refused(
                outcome,
                400,
                "InvalidRequest",
                &format!("Value for {name} header is invalid."),
            );
        }
    }
    let differ = planned(
        &put(&[("content-length", "5"), ("content-length", "6")]),
        Mechanism::Header,
        UNSIGNED,
    );
    assert_refused(differ, 400, "InvalidRequest", "content-length");
    let chunked = Payload::Chunked { chain: None, trailer: true };
    let outcome = planned(&put(&[("content-length", "5")]), Mechanism::Header, chunked);
    assert_refused(outcome, 411, "MissingContentLength", "Content-Length");
}

/// HTTP/2 may end a request with its head, whatever its method; only then is it known that there is
/// no body.
#[test]
fn a_body_that_never_comes_is_held_to_what_was_signed() {
    let absent = |payload, headers: &[(&str, &str)]| {
        let mut parts = put(headers);
        parts.version = Version::HTTP_2;
        let plan = planned(&parts, Mechanism::Header, payload).expect("a plan");
        plan.check_absent().map_err(|error| error.code())
    };
    assert_eq!(absent(Payload::Exact([7; 32]), &[]), Err("XAmzContentSHA256Mismatch"));
    assert_eq!(absent(Payload::Exact(EMPTY_SHA256), &[]), Ok(()));
    assert_eq!(absent(UNSIGNED, &[]), Ok(()));
    assert_eq!(absent(UNSIGNED, &[("content-length", "5")]), Err("IncompleteBody"));
    let framed = Payload::Chunked { chain: None, trailer: true };
    let headers = [("x-amz-decoded-content-length", "0")];
    assert_eq!(absent(framed, &headers), Err("IncompleteBody"));
}

#[test]
fn framing_that_is_declared_is_decoded_whoever_declares_it() {
    let declared = [
        ("content-encoding", "aws-chunked"),
        ("content-length", "20"),
        ("x-amz-decoded-content-length", "5"),
    ];
    for mechanism in [Mechanism::Anonymous, Mechanism::Query, Mechanism::Header] {
        let plan = planned(&put(&declared), mechanism, UNSIGNED).expect("a plan");
        assert!(plan.is_chunked());
        assert_eq!(plan.length, Some(5));
        let (content, error) =
            drained(Decoded::new(Pieces::whole(b"5\r\nhello\r\n0\r\n\r\n"), &plan));
        assert!(error.is_none() && content == b"hello", "{error:?}");
        let (_, error) = drained(Decoded::new(Pieces::whole(b"hello"), &plan));
        assert!(error.is_some(), "a body that is not framed as declared");
    }
    let outcome = planned(&put(&declared[..2]), Mechanism::Anonymous, UNSIGNED);
    assert_refused(outcome, 411, "MissingContentLength", "Content-Length");
    // No body, or one whose bytes the signature states: nothing to take off.
    for headers in
        [&[("content-encoding", "aws-chunked"), ("content-length", "0")][..], &declared[..1]]
    {
        assert!(!planned(&put(headers), Mechanism::Header, UNSIGNED).expect("a plan").is_chunked());
    }
    let exact = || Payload::Exact(sha256(b"hello"));
    assert!(
        !planned(&put(&declared[..2]), Mechanism::Header, exact()).expect("a plan").is_chunked()
    );
    let outcome = planned(&put(&declared), Mechanism::Header, exact());
    assert_refused(outcome, 400, "InvalidRequest", "STREAMING-");
    let mut http2 = put(&declared[..1]);
    http2.version = Version::HTTP_2;
    assert_refused(
        planned(&http2, Mechanism::Header, UNSIGNED),
        411,
        "MissingContentLength",
        "Content-Length",
    );
}

#[test]
fn trailers_need_a_framing_that_has_them() {
    let trailer = ("x-amz-trailer", "x-amz-checksum-crc32");
    let length = ("x-amz-decoded-content-length", "5");
    let without =
        Payload::Chunked { chain: Some(Box::new(ChunkChain::example(SEED))), trailer: false };
    let outcome = planned(&put(&[trailer, length]), Mechanism::Header, without);
    assert_refused(outcome, 400, "InvalidRequest", "one of the kinds with a trailer");
    let outcome = planned(&put(&[trailer, ("content-length", "5")]), Mechanism::Header, UNSIGNED);
    assert_refused(outcome, 400, "InvalidRequest", "needs a body that is aws-chunked");
    let odd = [("x-amz-trailer", "x-amz-meta-a"), length];
    let outcome =
        planned(&put(&odd), Mechanism::Header, Payload::Chunked { chain: None, trailer: true });
    assert_refused(outcome, 400, "InvalidRequest", "x-amz-trailer header is not supported");
}

#[test]
fn plain_bodies() {
    let exact = |hash| {
        planned(&put(&[("content-length", "5")]), Mechanism::Header, Payload::Exact(hash))
            .expect("a plan")
    };
    let unsigned =
        || planned(&put(&[("content-length", "5")]), Mechanism::Header, UNSIGNED).expect("a plan");
    for size in [1, 2, 5] {
        let good = drained(Decoded::new(Pieces::cut(b"hello", size), &exact(sha256(b"hello"))));
        assert!(good.1.is_none() && good.0 == b"hello");
        let (content, error) =
            drained(Decoded::new(Pieces::cut(b"hello", size), &exact(sha256(b"other"))));
        let error = error.expect("another hash");
        assert_eq!((error.code(), error.status().as_u16()), ("XAmzContentSHA256Mismatch", 400));
        assert!(content.len() < 5, "the last piece was held back");
        let (_, error) = drained(Decoded::new(Pieces::cut(b"hell", size), &unsigned()));
        assert!(
            matches!(error, Some(BodyError::Incomplete { expected: 5, received: 4 })),
            "{error:?}"
        );
        let (content, error) = drained(Decoded::new(Pieces::cut(b"hello!", size), &unsigned()));
        assert!(matches!(error, Some(BodyError::TooLong { expected: 5 })), "{error:?}");
        assert!(content.len() < 5);
    }
    let open = planned(
        &put(&[("transfer-encoding", "chunked")]),
        Mechanism::Header,
        Payload::Exact(sha256(b"hello")),
    )
    .expect("a plan");
    assert!(drained(Decoded::new(Pieces::cut(b"hello", 2), &open)).1.is_none());
    assert!(matches!(
        drained(Decoded::new(Pieces::cut(b"hell", 2), &open)).1,
        Some(BodyError::ContentSha256)
    ));
}

/// A reader that trusts an empty body not to need reading is not fooled.
#[test]
fn a_hash_of_something_refuses_a_body_of_nothing() {
    let some = || Payload::Exact(sha256(b"hello"));
    assert_refused(
        planned(&put(&[("content-length", "0")]), Mechanism::Header, some()),
        400,
        "XAmzContentSHA256Mismatch",
        "does not match",
    );
    assert_refused(
        planned(&head("GET", "/b/k", &[]), Mechanism::Header, some()),
        400,
        "XAmzContentSHA256Mismatch",
        "does not match",
    );
    let empty =
        planned(&put(&[("content-length", "0")]), Mechanism::Header, Payload::Exact(EMPTY_SHA256))
            .expect("a plan");
    let decoded = Decoded::new(Pieces::of([]), &empty);
    assert!(!decoded.is_end_stream());
    assert!(drained(decoded).1.is_none());
}

#[test]
fn the_sources_error_is_kept() {
    struct Broken;
    impl Body for Broken {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
        }
    }
    let plan =
        planned(&put(&[("content-length", "5")]), Mechanism::Header, UNSIGNED).expect("a plan");
    let error = drained(Decoded::new(Broken, &plan)).1.expect("an error");
    assert_eq!((error.code(), error.status().as_u16()), ("IncompleteBody", 400));
    let cause = error.cause().expect("a cause");
    assert!(cause.downcast_ref::<std::io::Error>().is_some(), "{cause:?}");
}

#[test]
fn promises_by_header() {
    let headers = [
        ("content-length", "5"),
        ("content-md5", "XUFAKrxLKna5cZ2REBfFkg=="),
        ("x-amz-checksum-crc32", "NhCmhg=="),
        ("x-amz-sdk-checksum-algorithm", "crc32"),
        ("x-amz-checksum-mode", "ENABLED"),
        ("x-amz-checksum-type", "FULL_OBJECT"),
    ];
    let promised = planned(&put(&headers), Mechanism::Header, UNSIGNED).expect("a plan").promised;
    assert_eq!(promised.algorithm, Some(Algorithm::Crc32));
    let values = |data: &[u8]| {
        let mut digests = Digests::new(promised.selection());
        digests.update(data);
        digests.finish()
    };
    let slot = TrailerSlot::default();
    let (algorithm, value) =
        promised.check(&values(b"hello"), &slot).expect("kept").expect("a checksum");
    assert_eq!((algorithm, value.to_base64()), (Algorithm::Crc32, "NhCmhg==".into()));
    let error = promised.check(&values(b"hellO"), &slot).expect_err("broken");
    assert_eq!((error.code(), error.message().contains("Content-MD5")), ("BadDigest", true));
    let only_crc = Promised { content_md5: None, ..promised.clone() };
    let error = only_crc.check(&values(b"hellO"), &slot).expect_err("broken");
    assert_eq!((error.code(), error.status().as_u16()), ("BadDigest", 400));
    assert_eq!(error.message(), "The CRC32 you specified did not match the calculated checksum.");
    let trailer = Promised {
        checksum: Some((Algorithm::Crc32, PromisedValue::Trailer)),
        ..Promised::default()
    };
    assert_eq!(
        trailer.check(&values(b"hello"), &slot).expect_err("none came").code(),
        "MalformedTrailerError"
    );
    assert_eq!(Promised::default().check(&values(b""), &slot).expect("nothing promised"), None);
}

#[test]
fn promises_that_cannot_be_read() {
    let refuse = |headers: &[(&str, &str)], status, code, message: &str| {
        let mut all = vec![("content-length", "5")];
        all.extend(headers);
        assert_refused(planned(&put(&all), Mechanism::Header, UNSIGNED), status, code, message);
    };
    for value in ["", "x", "AAAA", "XUFAKrxLKna5cZ2REBfFkg", "XUFAKrxLKna5cZ2REBfFkgAA"] {
        refuse(
            &[("content-md5", value)],
            400,
            "InvalidDigest",
            "Content-MD5 you specified was invalid",
        );
    }
    for algorithm in Algorithm::ALL {
        let name = algorithm.header();
        for value in ["", "x", "AAA=", "!!!!!!=="] {
            refuse(
                &[(name, value)],
                400,
                "InvalidRequest",
                &format!("Value for {name} header is invalid."),
            );
        }
    }
    let crc = ("x-amz-checksum-crc32", "NhCmhg==");
    let multiple = "Multiple checksum Types are not allowed";
    refuse(&[crc, ("x-amz-checksum-crc32c", "NhCmhg==")], 400, "InvalidRequest", multiple);
    refuse(&[crc, crc], 400, "InvalidRequest", multiple);
    refuse(&[crc, ("x-amz-trailer", "x-amz-checksum-crc32")], 400, "InvalidRequest", multiple);
    let invalid = "Value for x-amz-sdk-checksum-algorithm header is invalid.";
    refuse(&[("x-amz-sdk-checksum-algorithm", "CRC16")], 400, "InvalidRequest", invalid);
    refuse(&[crc, ("x-amz-sdk-checksum-algorithm", "SHA1")], 400, "InvalidRequest", invalid);
    refuse(
        &[("x-amz-sdk-checksum-algorithm", "SHA1")],
        400,
        "InvalidRequest",
        "no corresponding x-amz-checksum-*",
    );
    refuse(
        &[("x-amz-checksum-type", "PARTIAL")],
        400,
        "InvalidRequest",
        "Value for x-amz-checksum-type header is invalid.",
    );
    refuse(
        &[("content-md5", "a"), ("content-md5", "a")],
        400,
        "InvalidRequest",
        "given more than once",
    );
    refuse(
        &[("x-amz-checksum-xxhash64", "AAAA")],
        501,
        "NotImplemented",
        "x-amz-checksum-xxhash64",
    );
}

#[test]
fn promises_by_query_of_presigned_requests() {
    let uri = "/b/k?X-Amz-Checksum-Crc32=NhCmhg%3D%3D&x-amz-sdk-checksum-algorithm=CRC32&X-Amz-Signature=0";
    let parts = head("PUT", uri, &[("content-length", "5")]);
    let presigned = planned(&parts, Mechanism::Query, UNSIGNED).expect("a plan");
    assert!(
        matches!(presigned.promised.checksum, Some((Algorithm::Crc32, PromisedValue::Header(value))) if value.to_base64() == "NhCmhg==")
    );
    assert!(checked(Pieces::whole(b"hello"), &presigned).1.is_none());
    let error = checked(Pieces::whole(b"hellO"), &presigned).1.expect("broken");
    assert_eq!(error.code(), "BadDigest");
    let by_header = planned(&parts, Mechanism::Header, UNSIGNED).expect("a plan");
    assert_eq!(
        by_header.promised,
        Promised::default(),
        "only presigned requests have headers in the query"
    );
    let only_named =
        head("PUT", "/b/k?x-amz-sdk-checksum-algorithm=SHA256", &[("content-length", "5")]);
    let promised = planned(&only_named, Mechanism::Query, UNSIGNED).expect("a plan").promised;
    assert_eq!((promised.algorithm, promised.checksum), (Some(Algorithm::Sha256), None));
    let mut digests = Digests::new(promised.selection());
    digests.update(b"hello");
    let stored =
        promised.check(&digests.finish(), &TrailerSlot::default()).expect("nothing to break");
    assert_eq!(
        stored.map(|(algorithm, _)| algorithm),
        Some(Algorithm::Sha256),
        "what the client wants computed"
    );
    let many = format!("/b/k?{}", "x-amz-meta-a=1&".repeat(129));
    assert_refused(
        planned(&head("PUT", &many, &[]), Mechanism::Query, UNSIGNED),
        400,
        "InvalidRequest",
        "More than 128",
    );
}

#[test]
fn the_checksum_of_complete_is_the_objects() {
    let headers = [
        ("content-length", "5"),
        ("x-amz-checksum-crc32", "AAAAAA==-3"),
        ("x-amz-checksum-type", "COMPOSITE"),
    ];
    let promised = planned(&head("POST", "/b/k?uploadId=u", &headers), Mechanism::Header, UNSIGNED)
        .expect("a plan")
        .promised;
    assert_eq!(promised.checksum, None);
    assert!(planned(&head("POST", "/b?delete", &headers), Mechanism::Header, UNSIGNED).is_err());
}

fn stripped(
    uri: &str,
    mechanism: Mechanism,
    payload: Payload,
    headers: &[(&str, &str)],
) -> (String, HeaderMap) {
    let mut parts = head("PUT", uri, headers);
    let plan = planned(&parts, mechanism, payload).expect("a plan");
    strip(&mut parts, &plan);
    (parts.uri.to_string(), parts.headers)
}

#[test]
fn signature_and_framing_are_stripped() {
    let headers = [
        ("host", "h"),
        ("authorization", "AWS4-HMAC-SHA256 x"),
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-decoded-content-length", "5"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("content-length", "99"),
        ("transfer-encoding", "chunked"),
        ("content-encoding", "aws-chunked, gzip"),
        ("x-amz-meta-a", "kept"),
    ];
    let chunked = Payload::Chunked { chain: None, trailer: true };
    let (uri, left) = stripped("/b/k%2F?x=%20&X-Amz-Date=1", Mechanism::Header, chunked, &headers);
    assert_eq!(uri, "/b/k%2F?x=%20&X-Amz-Date=1", "a query that did not sign is left alone");
    let mut names: Vec<&str> = left.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-encoding", "content-length", "host", "x-amz-meta-a"]);
    assert_eq!(
        (&left["content-encoding"], &left["content-length"]),
        (&"gzip".parse().expect("a value"), &"5".parse().expect("a value"))
    );
}

#[test]
fn content_encodings_keep_all_but_the_framing() {
    for (given, kept) in [
        (&["aws-chunked"][..], None),
        (&["aws-chunked,gzip"], Some("gzip")),
        (&["gzip,aws-chunked"], Some("gzip")),
        (&["AWS-Chunked , gzip ,br"], Some("gzip, br")),
        (&["aws-chunked", "zstd"], Some("zstd")),
        (&["gzip , br"], Some("gzip , br")),
        (&["x-aws-chunked"], Some("x-aws-chunked")),
        (&["aws-chunked,"], None),
    ] {
        let mut headers = vec![("content-length", "0")];
        headers.extend(given.iter().map(|value| ("content-encoding", *value)));
        let (_, left) = stripped("/b/k", Mechanism::Header, Payload::Exact(EMPTY_SHA256), &headers);
        let values: Vec<_> = left
            .get_all("content-encoding")
            .iter()
            .map(|value| value.to_str().expect("ascii"))
            .collect();
        assert_eq!(values, kept.into_iter().collect::<Vec<_>>(), "{given:?}");
    }
}

#[test]
fn presigned_queries_lose_their_signature_and_give_back_their_headers() {
    let uri = "/b/k+%20?partNumber=1&X-Amz-Algorithm=a&X-Amz-Credential=a%2Fb&X-Amz-Date=d&X-Amz-Expires=1\
               &X-Amz-SignedHeaders=host&X-Amz-Signature=s&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD&uploadId=u%2F%3D\
               &x-amz-meta-a=two%20%20w&X-Amz-Acl=private&x-amz-meta-b=q&x-amz-meta-c=%0A&x-id=UploadPart&empty";
    let headers = [("host", "h"), ("x-amz-meta-b", "header")];
    let (uri, left) = stripped(uri, Mechanism::Query, UNSIGNED, &headers);
    assert_eq!(uri, "/b/k+%20?partNumber=1&uploadId=u%2F%3D&x-id=UploadPart&empty");
    assert_eq!(left["x-amz-meta-a"], "two  w");
    assert_eq!(left["x-amz-acl"], "private");
    assert_eq!(left["x-amz-meta-b"], "header", "the header was signed by its name");
    assert!(!left.contains_key("x-amz-meta-c"), "no header can hold a line feed");
    assert_eq!(left.len(), 4);
    let (uri, _) = stripped("/b/k?X-Amz-Signature=s", Mechanism::Query, UNSIGNED, &[]);
    assert_eq!(uri, "/b/k");
    let (uri, _) =
        stripped("http://h:1/b/k?X-Amz-Signature=s&a=b", Mechanism::Query, UNSIGNED, &[]);
    assert_eq!(uri, "http://h:1/b/k?a=b");
}

/// What operations hand to their HTTP library must be able to go between threads.
#[test]
fn bodies_and_verifiers_are_send_and_sync() {
    fn assert_send_sync<T: Send + Sync + 'static>() {}
    assert_send_sync::<Decoded<hyper::body::Incoming>>();
    assert_send_sync::<BodyPlan>();
    assert_send_sync::<Verified>();
    assert_send_sync::<crate::auth::Verifier>();
}
