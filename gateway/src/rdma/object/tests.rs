//! What a request with a token must be, and what becomes of it that is not.

use std::sync::Arc;
use std::time::Duration;

use http::Request;

use super::super::process::Rules;
use super::*;
use crate::auth::{EMPTY_SHA256, Mechanism, SignedHeaders};
use crate::credentials::{AccessKey, Secret};
use crate::iam::{Caller, Iam};

const POOLED: &str = "rc:0123456789abcdef0123456789abcdef:00007f12a4000000:00010000:0000189a";
const SESSION: &str =
    "011201000000000000000000000000ffff0a4d00010000000000000000000000000000000000000000010000";
const DYNAMIC: &str =
    "00007f00deadb000:00400000:000018ff:0000:0001a7:1:00000000000000000000ffff0a4d0001";
const LIBFABRIC: &str = "7f00dead0000:1000:ofi1:verbs;ofi_rxm:0a0b0c0d:1f";

fn rdma() -> Arc<Rdma> {
    let key = AccessKey { id: "trainer".into(), secret: Secret::new("secret-of-trainer") };
    let rules = Rules {
        put_decline_status: 200,
        allow_unsigned_connect: false,
        require_same_address: false,
    };
    let keys = Arc::new(Iam::new([key]));
    Rdma::new(Err("there is no device".into()), rules, keys, 1, Duration::from_secs(1))
}

fn verified(identity: Identity, signed: &str, payload: Payload) -> Verified {
    let signed_headers = SignedHeaders::of(signed);
    let caller = match &identity {
        Identity::Key(key) if &**key == "trainer" => {
            Caller::Principal(rdma().keys.known("trainer").unwrap().principal)
        }
        other => Caller::from(other),
    };
    Verified { identity, caller, mechanism: Mechanism::Header, signed_headers, payload }
}

fn by_trainer() -> Verified {
    verified(Identity::Key("trainer".into()), "host;x-amz-rdma-token", Payload::Unsigned)
}

fn head(headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::put("/b/k");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn asked(headers: &[(&str, &str)], verified: &Verified) -> Result<Option<Asked>, Refused> {
    let concern = Concern { operation: metrics::Operation::PutObject, peer: None };
    admit(&rdma(), concern, &head(headers), verified)
}

#[track_caller]
fn refused(headers: &[(&str, &str)], verified: &Verified, status: u16, code: &str) {
    let refused = asked(headers, verified).expect_err(code);
    assert_eq!((refused.status.as_u16(), &*refused.code), (status, code), "{}", refused.message);
    // Clients take any reply for a word on RDMA; there is none to be said here.
    assert!(refused.headers.is_none());
}

#[test]
fn tokens_are_told_apart() {
    let read = |token| asked(&[(header::TOKEN, token)], &by_trainer()).unwrap().unwrap();
    assert!(matches!(read(POOLED).token, Token::Pooled(token) if token.window.size == 0x10000));
    assert!(matches!(read(SESSION).token, Token::Session(_)));
    assert!(matches!(read(DYNAMIC).token, Token::Dc(_)));
    assert!(matches!(read(LIBFABRIC).token, Token::Libfabric));
    assert_eq!(read(POOLED).operation, Operation::Put);
    assert!(read(POOLED).principal.starts_with("trainer/"));
}

#[test]
fn other_operations_ignore_a_token() {
    for operation in metrics::Operation::ALL {
        use metrics::Operation::{GetObject, PutObject, UploadPart};
        let concern = Concern { operation: *operation, peer: None };
        let head = head(&[(header::TOKEN, "nonsense")]);
        let outcome = admit(&rdma(), concern, &head, &by_trainer());
        let counts = [GetObject, PutObject, UploadPart].contains(operation);
        assert_eq!(outcome.is_err(), counts, "{operation:?}");
    }
}

#[test]
fn a_token_must_be_signed() {
    let token = [(header::TOKEN, POOLED)];
    refused(&token, &verified(Identity::Anonymous, "", Payload::Unsigned), 403, "AccessDenied");
    let key = || Identity::Key("trainer".into());
    for signed in ["host", "host;x-amz-rdma-tokens", "host;x-amz-rdma-toke", ""] {
        refused(&token, &verified(key(), signed, Payload::Unsigned), 403, "AccessDenied");
    }
    let gone = verified(Identity::Key("gone".into()), "x-amz-rdma-token", Payload::Unsigned);
    refused(&token, &gone, 403, "AccessDenied");
    let presigned = |query: &str| {
        let request = Request::get(format!("/b/k?{query}")).body(()).unwrap();
        refuse_in_query(&request.into_parts().0)
    };
    assert!(presigned("X-Amz-Rdma-Token=rc%3A1&X-Amz-Signature=0").is_err());
    assert_eq!(presigned("X-Amz-Signature=0&y=x-amz-rdma-token"), Ok(()));
}

#[test]
fn malformed_tokens_are_refused_without_a_reply() {
    let long = "a".repeat(1025);
    for token in [
        "",
        "junk",
        "rc:",
        &POOLED[..60],
        &format!("{POOLED}:1"),
        "rc:0123456789abcdef0123456789abcdef:00007f12a4000000:00000000:0000189a",
        &SESSION.replace("011201", "021201"),
        "7f00dead0000:1000:ofi1:verbs:0a0b0c0",
        &DYNAMIC.replace("00400000", "00000000"),
        &long,
    ] {
        refused(&[(header::TOKEN, token)], &by_trainer(), 400, "InvalidRDMAToken");
    }
}

#[test]
fn what_speaks_of_a_body_contradicts_a_token() {
    let token = (header::TOKEN, POOLED);
    for (name, value) in [
        ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
        ("transfer-encoding", "chunked"),
        ("content-encoding", "gzip, AWS-Chunked"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("trailer", "x-amz-checksum-crc32"),
        ("x-amz-rdma-token", POOLED),
        ("x-amz-rdma-agent", "cuobj"),
    ] {
        let twice = [token, (name, value), ("x-amz-rdma-agent", "cuobj")];
        refused(&twice, &by_trainer(), 400, "InvalidRequest");
        if name == "x-amz-rdma-agent" {
            break;
        }
        refused(&twice[..2], &by_trainer(), 400, "InvalidRequest");
    }
    refused(&[token, ("content-length", "1")], &by_trainer(), 400, "InvalidArgument");
    let chunked = Payload::Chunked { chain: None, trailer: true };
    let key = Identity::Key("trainer".into());
    refused(&[token], &verified(key.clone(), "x-amz-rdma-token", chunked), 400, "InvalidRequest");
    let empty = verified(key, "x-amz-rdma-token", Payload::Exact(EMPTY_SHA256));
    let fine = [token, ("content-length", "0"), ("content-encoding", "gzip")];
    assert!(asked(&fine, &empty).unwrap().is_some());
}

#[test]
fn checksums_are_one_of_two() {
    let with = |algorithm| {
        asked(&[(header::TOKEN, POOLED), (header::CHECKSUM_ALGORITHM, algorithm)], &by_trainer())
    };
    assert_eq!(with("CRC32C").unwrap().unwrap().checksum, ChecksumAlgorithm::Crc32c);
    assert_eq!(with("crc64nvme").unwrap().unwrap().checksum, ChecksumAlgorithm::Crc64Nvme);
    let refused = with("sha256").unwrap_err();
    assert_eq!((refused.status.as_u16(), &*refused.code), (400, "InvalidArgument"));
}
