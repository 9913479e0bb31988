//! Requests as botocore signs them (fixtures by `tests/python/sigv4_vectors.py`): each must verify,
//! and its body decode and keep its promises; with any signed part changed, it must not verify.

use http::{HeaderName, HeaderValue};
use http_body_util::{BodyExt as _, Full};
use serde::Deserialize;

use super::*;
use crate::body::checksum::Digests;
use crate::body::{Decoded, plan};

#[derive(Deserialize)]
struct Fixture {
    access_key: String,
    secret_key: String,
    now: u64,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Vector {
    fn parts(&self) -> Parts {
        let mut request = Request::builder().method(self.method.as_str()).uri(&self.target);
        for (name, value) in &self.headers {
            // Header values are bytes: botocore sends them in UTF-8.
            request =
                request.header(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        request.body(()).expect("a request").into_parts().0
    }
}

fn fixture() -> (Fixture, Verifier) {
    let fixture: Fixture =
        serde_json::from_str(include_str!("../fixtures/botocore.json")).expect("the fixture");
    let verifier = Verifier::new(table(&[(&fixture.access_key, &fixture.secret_key)]), &["s3"]);
    (fixture, verifier)
}

#[test]
fn every_request_verifies() {
    let (fixture, verifier) = fixture();
    assert!(fixture.vectors.len() > 200, "only {} vectors", fixture.vectors.len());
    let (mut header, mut query) = (0, 0);
    for vector in &fixture.vectors {
        let verified = match verifier.verify(&vector.parts(), at(fixture.now)) {
            Ok(verified) => verified,
            Err(refused) => panic!("{}: {refused} {:#?}", vector.name, refused.details()),
        };
        assert_eq!(
            verified.identity,
            Identity::Key(fixture.access_key.as_str().into()),
            "{}",
            vector.name
        );
        match verified.mechanism {
            Mechanism::Header => header += 1,
            Mechanism::Query => query += 1,
            Mechanism::Anonymous => panic!("{} is signed", vector.name),
        }
    }
    assert!(header > 100 && query > 80, "{header} by header, {query} by query");
}

#[test]
fn nothing_that_is_signed_can_be_changed() {
    let (fixture, verifier) = fixture();
    let refused = |name: &str, parts: &Parts, what: &str| {
        assert!(verifier.verify(parts, at(fixture.now)).is_err(), "{name}: {what} was not covered");
    };
    for vector in &fixture.vectors {
        let original = vector.parts();
        let verified = verifier.verify(&original, at(fixture.now)).expect("the original verifies");
        let mut parts = original.clone();
        parts.method =
            if parts.method == "POST" { "PUT".parse() } else { "POST".parse() }.expect("a method");
        refused(&vector.name, &parts, "the method");
        let separator = if vector.target.contains('?') { "&" } else { "?" };
        let mut parts = original.clone();
        parts.uri = format!("{}{separator}acl", vector.target).parse().expect("a uri");
        refused(&vector.name, &parts, "the query");
        let mut parts = original.clone();
        parts.uri = format!("/x{}", vector.target).parse().expect("a uri");
        refused(&vector.name, &parts, "the path");
        for name in verified.signed_headers.iter() {
            let name: HeaderName = name.parse().expect("a name");
            let mut parts = original.clone();
            parts.headers.append(&name, HeaderValue::from_static("more"));
            refused(&vector.name, &parts, name.as_str());
            let mut parts = original.clone();
            parts.headers.remove(&name);
            refused(&vector.name, &parts, name.as_str());
        }
        let mut parts = original.clone();
        parts.headers.insert("x-amz-acl", HeaderValue::from_static("public-read"));
        refused(&vector.name, &parts, "a header that was added");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn every_body_decodes_and_keeps_its_promises() {
    let (fixture, verifier) = fixture();
    let mut chunked = 0;
    for vector in &fixture.vectors {
        let parts = vector.parts();
        let verified = verifier.verify(&parts, at(fixture.now)).expect("it verifies");
        let plan =
            plan(&parts, &verified).unwrap_or_else(|refused| panic!("{}: {refused}", vector.name));
        let body = hex_simd::decode_to_vec(&vector.body).expect("hex");
        if plan.length.is_none() && body.is_empty() {
            continue;
        }
        let sent = body.len();
        let content = match Decoded::new(Full::new(bytes::Bytes::from(body)), &plan).collect().await
        {
            Ok(content) => content.to_bytes(),
            Err(refused) => panic!("{}: {refused}", vector.name),
        };
        let mut digests = Digests::new(plan.promised.selection());
        digests.update(&content);
        let kept = plan.promised.check(&digests.finish(), &plan.trailer);
        assert!(kept.is_ok(), "{}: {kept:?}", vector.name);
        assert_eq!(Some(content.len() as u64), plan.length, "{}", vector.name);
        if plan.is_chunked() {
            chunked += 1;
            assert!(sent > content.len());
            assert!(plan.trailer.value().is_some(), "{}: the trailer's checksum", vector.name);
        }
    }
    assert!(chunked >= 10, "only {chunked} chunked bodies");
}
