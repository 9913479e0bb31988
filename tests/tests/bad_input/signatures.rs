//! Requests that nobody, or somebody else, or the right one at the wrong time has signed. Codes as
//! in the AWS page "Error responses" and "Troubleshooting ... SigV4 signature errors".

use std::time::Duration;

use penstock_tests::content::content;
use penstock_tests::sign::{Credentials, Request, Signer};

use super::{BUCKET, Case, SIZE, Target};

const MISMATCH: &str = "403 SignatureDoesNotMatch";
const MALFORMED: &str = "400 AuthorizationHeaderMalformed";
const QUERY: &str = "400 AuthorizationQueryParametersError";
const MINUTES_20: Duration = Duration::from_secs(20 * 60);

/// The rows.
pub(super) fn cases(target: &Target) -> Vec<Case> {
    [who(target), when(target), changed(target), header_form(target), query_form(target)]
        .into_iter()
        .flatten()
        .collect()
}

fn who(target: &Target) -> Vec<Case> {
    let by = |access: &str, secret: &str| {
        let credentials =
            Credentials { access_key: access.to_owned(), secret_key: secret.to_owned() };
        let mut request = target.request("GET");
        Signer::new(&credentials).sign(&mut request);
        request.bytes()
    };
    let own = target.client.credentials();
    let put = target.request("PUT").body("anonymous");
    let chunked = target
        .request("PUT")
        .header("Content-Encoding", "aws-chunked")
        .header("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        .header("x-amz-decoded-content-length", "3")
        .header("x-amz-trailer", "x-amz-checksum-crc32")
        .body("3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n");
    vec![
        Case::new("an anonymous GET", target.request("GET").bytes(), "403 AccessDenied"),
        Case::new("an anonymous PUT", put.bytes(), "403 AccessDenied"),
        Case::new("an anonymous aws-chunked PUT", chunked.bytes(), "403 AccessDenied"),
        Case::new(
            "an anonymous ListBuckets",
            target.client.request("GET", "", "").bytes(),
            "403 AccessDenied",
        ),
        Case::new("an anonymous DELETE", target.request("DELETE").bytes(), "403 AccessDenied"),
        Case::new(
            "an unknown access key",
            by("NOSUCHKEY00000000000", &own.secret_key),
            "403 InvalidAccessKeyId",
        ),
        Case::new("the wrong secret", by(&own.access_key, "wrong"), MISMATCH),
        Case::new(
            "an empty access key",
            by("", "x"),
            "400 AuthorizationHeaderMalformed | 403 InvalidAccessKeyId",
        ),
    ]
}

fn when(target: &Target) -> Vec<Case> {
    let signed = |signer: Signer| {
        let mut request = target.request("GET");
        signer.sign(&mut request);
        request.bytes()
    };
    let presigned = |signer: Signer, expires: u64| {
        let mut request = target.request("GET");
        signer.presign(&mut request, Duration::from_secs(expires));
        request.bytes()
    };
    vec![
        Case::new(
            "a replay after 20 minutes",
            signed(target.signer().ago(MINUTES_20)),
            "403 RequestTimeTooSkewed",
        ),
        Case::new(
            "signed 20 minutes ahead",
            signed(target.signer().ahead(MINUTES_20)),
            "403 RequestTimeTooSkewed",
        ),
        Case::new(
            "an expired presigned URL",
            presigned(target.signer().ago(MINUTES_20), 60),
            "403 AccessDenied",
        ),
        Case::new(
            "a presigned URL from the future",
            presigned(target.signer().ahead(MINUTES_20), 60),
            "403 AccessDenied",
        ),
        Case::new("a presigned URL of 8 days", presigned(target.signer(), 8 * 86_400), QUERY),
    ]
}

fn changed(target: &Target) -> Vec<Case> {
    let after = |method: &str, change: &dyn Fn(&mut Request)| {
        let mut request = target.request(method).header("x-amz-meta-colour", "blue");
        if method == "PUT" {
            request = request.body(content(3, SIZE));
        }
        let mut request = target.sign(request);
        change(&mut request);
        request.bytes()
    };
    vec![
        Case::new("the path changed", after("GET", &|request| request.path.push('x')), MISMATCH),
        Case::new(
            "the query changed",
            after("GET", &|request| request.query.push(("partNumber".into(), "1".into()))),
            MISMATCH,
        ),
        Case::new(
            "the method changed",
            after("GET", &|request| request.method = "DELETE".into()),
            MISMATCH,
        ),
        Case::new(
            "a signed header changed",
            after("GET", &|request| request.set("x-amz-meta-colour", "red")),
            MISMATCH,
        ),
        Case::new(
            "a signed header removed",
            after("GET", &|request| {
                request.headers.retain(|(name, _)| name != "x-amz-meta-colour")
            }),
            "403 SignatureDoesNotMatch | 403 AccessDenied",
        ),
        Case::new(
            "an x-amz header added, unsigned",
            after("PUT", &|request| request.set("x-amz-meta-added", "1")),
            "403 AccessDenied",
        ),
        Case::new(
            "the body changed",
            after("PUT", &|request| request.body[77] ^= 1),
            "400 XAmzContentSHA256Mismatch",
        ),
        Case::new(
            "the payload hash changed",
            after("PUT", &|request| request.set("x-amz-content-sha256", "UNSIGNED-PAYLOAD")),
            MISMATCH,
        ),
    ]
}

fn header_form(target: &Target) -> Vec<Case> {
    let with = |change: &dyn Fn(&str) -> String| {
        let mut request = target.sign(target.request("GET"));
        let value = header(&request, "Authorization");
        request.set("Authorization", &change(&value));
        request.bytes()
    };
    let scoped = |region: &str, service: &str| {
        let mut request = target.request("GET");
        let mut signer = target.signer();
        region.clone_into(&mut signer.region);
        service.clone_into(&mut signer.service);
        signer.sign(&mut request);
        request.bytes()
    };
    let without = |name: &str| {
        let mut request = target.sign(target.request("GET"));
        request.headers.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
        request.bytes()
    };
    let mut odd_hash = target.request("GET");
    target.signer().sign_as(&mut odd_hash, "not-a-hash");
    let mut unknown_streaming = target.request("PUT").body("abc");
    target.signer().sign_as(&mut unknown_streaming, "STREAMING-AWS9-NOTHING");
    vec![
        // By design a request may be signed for any region: there is but one here.
        Case::new("another region", scoped("eu-north-1", "s3"), "200"),
        Case::new("another service", scoped("us-east-1", "ec2"), MALFORMED),
        Case::new("a cut Authorization header", with(&|value| value[..40].to_owned()), MALFORMED),
        Case::new(
            "an empty Authorization header",
            with(&|_| String::new()),
            "400 AuthorizationHeaderMalformed | 400 InvalidArgument | 400 InvalidRequest | 403 AccessDenied",
        ),
        Case::new(
            "a signature of half the length",
            with(&|value| value[..value.len() - 32].to_owned()),
            "403 SignatureDoesNotMatch | 400 AuthorizationHeaderMalformed",
        ),
        Case::new(
            "Host not signed",
            with(&|value| value.replace("host;", "")),
            "403 SignatureDoesNotMatch | 403 AccessDenied | 400 AuthorizationHeaderMalformed",
        ),
        Case::new(
            "Signature Version 2",
            with(&|_| "AWS TESTACCESSKEY0000001:frJIUN8DYpKDtOLCwo//yllqDzg=".to_owned()),
            "400 InvalidRequest",
        ),
        Case::new(
            "basic authentication",
            with(&|_| "Basic dXNlcjpwYXNz".to_owned()),
            "400 InvalidArgument | 400 InvalidRequest | 400 AuthorizationHeaderMalformed",
        ),
        Case::new(
            "no x-amz-content-sha256",
            without("x-amz-content-sha256"),
            "400 InvalidRequest | 403 SignatureDoesNotMatch",
        ),
        Case::new(
            "no date",
            without("x-amz-date"),
            "403 AccessDenied | 400 AuthorizationHeaderMalformed",
        ),
        Case::new(
            "a payload hash that is none",
            odd_hash.bytes(),
            "400 InvalidArgument | 400 InvalidRequest | 400 XAmzContentSHA256Mismatch",
        ),
        Case::new(
            "an unknown streaming algorithm",
            unknown_streaming.bytes(),
            "400 InvalidArgument | 400 InvalidRequest | 501 NotImplemented",
        ),
        Case::new(
            "a session token that nobody gave",
            target.sign(target.request("GET").header("x-amz-security-token", "token")).bytes(),
            "400 InvalidToken | 403 InvalidToken | 403 InvalidAccessKeyId",
        ),
    ]
}

fn query_form(target: &Target) -> Vec<Case> {
    let with = |change: &dyn Fn(&mut Request)| {
        let mut request = target.client.presigned_get(BUCKET, "good");
        change(&mut request);
        request.bytes()
    };
    let set = |name: &'static str, value: &'static str| {
        with(&|request| {
            for (field, old) in &mut request.query {
                if field == name {
                    value.clone_into(old);
                }
            }
        })
    };
    let drop =
        |name: &'static str| with(&|request| request.query.retain(|(field, _)| field != name));
    let mut region = target.request("GET");
    let mut signer = target.signer();
    "mars-1".clone_into(&mut signer.region);
    signer.presign(&mut region, Duration::from_secs(60));
    vec![
        Case::new(
            "presigned: signature of zeros",
            set(
                "X-Amz-Signature",
                "0000000000000000000000000000000000000000000000000000000000000000",
            ),
            MISMATCH,
        ),
        Case::new("presigned: expiry changed", set("X-Amz-Expires", "6000"), MISMATCH),
        Case::new("presigned: negative expiry", set("X-Amz-Expires", "-1"), QUERY),
        Case::new("presigned: expiry no number", set("X-Amz-Expires", "soon"), QUERY),
        Case::new(
            "presigned: bad date",
            set("X-Amz-Date", "yesterday"),
            "400 AuthorizationQueryParametersError | 403 AccessDenied",
        ),
        Case::new("presigned: another algorithm", set("X-Amz-Algorithm", "AWS9"), QUERY),
        Case::new("presigned: no credential", drop("X-Amz-Credential"), QUERY),
        Case::new("presigned: no date", drop("X-Amz-Date"), QUERY),
        Case::new(
            "presigned: no signature",
            drop("X-Amz-Signature"),
            "400 AuthorizationQueryParametersError | 403 AccessDenied",
        ),
        Case::new("presigned: another region", region.bytes(), "200"),
        Case::new(
            "presigned for GET, used for PUT",
            with(&|request| {
                request.method = "PUT".into();
                request.body = b"overwritten".to_vec();
            }),
            MISMATCH,
        ),
        Case::new(
            "presigned and signed in the header",
            with(&|request| {
                request.set("Authorization", "AWS4-HMAC-SHA256 Credential=a/20300101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00");
            }),
            "400 InvalidArgument | 400 InvalidRequest",
        ),
        Case::new(
            "Signature Version 2 in the query",
            {
                let mut request = target.request("GET");
                for (name, value) in [
                    ("AWSAccessKeyId", "TESTACCESSKEY0000001"),
                    ("Signature", "x"),
                    ("Expires", "1999999999"),
                ] {
                    request = request.query(name, value);
                }
                request.bytes()
            },
            "400 InvalidRequest | 403 AccessDenied",
        ),
    ]
}

fn header(request: &Request, name: &str) -> String {
    let found = request.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.clone()).expect("the header is there")
}
