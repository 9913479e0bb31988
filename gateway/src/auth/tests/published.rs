//! Vectors that AWS published for S3 ("Signature calculations for the authorization header", with
//! the pages on chunked uploads, trailers and query parameters), and one of the RDMA control path.

use super::*;

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const NOW: u64 = 1_369_353_600;
const SCOPE: &str = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request";
const HOST: (&str, &str) = ("host", "examplebucket.s3.amazonaws.com");
const DATE: (&str, &str) = ("x-amz-date", "20130524T000000Z");
const EMPTY: (&str, &str) =
    ("x-amz-content-sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

fn verifier() -> Verifier {
    Verifier::new(table(&[(KEY, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")]), &["s3"])
}

fn signed(
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    list: &str,
    signature: &str,
) -> Verified {
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={SCOPE},SignedHeaders={list},Signature={signature}");
    let mut headers = headers.to_vec();
    headers.push(("authorization", &authorization));
    let verified =
        verifier().verify(&head(method, uri, &headers), at(NOW)).expect("a published signature");
    assert_eq!(verified.identity, Identity::Key(KEY.into()));
    assert_eq!(verified.mechanism, Mechanism::Header);
    assert!(verified.signed_headers.iter().eq(list.split(';')));
    verified
}

#[test]
fn get_object() {
    let headers = [HOST, ("range", "bytes=0-9"), EMPTY, DATE];
    let verified = signed(
        "GET",
        "/test.txt",
        &headers,
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    );
    assert!(matches!(verified.payload, Payload::Exact(EMPTY_SHA256)));
    assert!(verified.signed_headers.contains("range"));
    for absent in ["rang", "range;host", "host;range", "", "authorization"] {
        assert!(!verified.signed_headers.contains(absent), "{absent}");
    }
}

#[test]
fn put_object() {
    let hash = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    let headers = [
        HOST,
        ("date", "Fri, 24 May 2013 00:00:00 GMT"),
        ("x-amz-content-sha256", hash),
        DATE,
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
    ];
    // `$` is encoded in the example; a client that sends it as it is signs the same text.
    for path in ["/test%24file.text", "/test$file.text"] {
        signed(
            "PUT",
            path,
            &headers,
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        );
    }
}

#[test]
fn get_bucket_lifecycle() {
    signed(
        "GET",
        "/?lifecycle",
        &[HOST, EMPTY, DATE],
        "host;x-amz-content-sha256;x-amz-date",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    );
}

#[test]
fn list_objects() {
    for uri in ["/?max-keys=2&prefix=J", "/?prefix=J&max-keys=2"] {
        signed(
            "GET",
            uri,
            &[HOST, EMPTY, DATE],
            "host;x-amz-content-sha256;x-amz-date",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        );
    }
}

#[test]
fn presigned() {
    let uri = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1\
               %2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
               &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    let parts = head("GET", uri, &[HOST]);
    let verified = verifier().verify(&parts, at(NOW + 86_400)).expect("valid to the last second");
    assert_eq!(verified.identity, Identity::Key(KEY.into()));
    assert_eq!(verified.mechanism, Mechanism::Query);
    assert!(matches!(verified.payload, Payload::Unsigned));
    let expired = verifier().verify(&parts, at(NOW + 86_401)).expect_err("expired");
    assert_eq!(expired.message(), "Request has expired");
    assert_eq!(expired.details()[1], ("Expires", "2013-05-25T00:00:00Z".into()));
}

/// HTTP/2 has no `Host`: the example's host stands in the URI.
#[test]
fn host_comes_from_the_authority_in_http_2() {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={SCOPE},SignedHeaders=host;x-amz-content-sha256;x-amz-date,\
         Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
    );
    let headers = [EMPTY, DATE, ("authorization", authorization.as_str())];
    let mut parts = head("GET", "http://examplebucket.s3.amazonaws.com/?lifecycle", &headers);
    parts.version = http::Version::HTTP_2;
    assert!(verifier().verify(&parts, at(NOW)).is_ok());
    parts.headers.insert("host", "other.s3.amazonaws.com".parse().expect("a value"));
    let refused = verifier().verify(&parts, at(NOW)).expect_err("two hosts");
    assert_eq!(refused.code(), "InvalidRequest");
}

/// The chunk signatures themselves are in `body`'s tests.
#[test]
fn chunked_uploads() {
    let headers = [
        ("host", "s3.amazonaws.com"),
        DATE,
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "66560"),
        ("content-length", "66824"),
    ];
    let verified = signed(
        "PUT",
        "/examplebucket/chunkObject.txt",
        &headers,
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    );
    assert!(matches!(verified.payload, Payload::Chunked { chain: Some(_), trailer: false }));
}

#[test]
fn chunked_upload_with_trailer() {
    let headers = [
        ("host", "s3.amazonaws.com"),
        DATE,
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "66560"),
        ("x-amz-trailer", "x-amz-checksum-crc32c"),
        ("content-length", "66824"),
    ];
    let verified = signed(
        "PUT",
        "/examplebucket/chunkObject.txt",
        &headers,
        "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    );
    assert!(matches!(verified.payload, Payload::Chunked { chain: Some(_), trailer: true }));
}
