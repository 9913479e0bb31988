//! Vectors of the RDMA control path: the hipobj-rc-v2 protocol's own, two that its reference client sent, and what is
//! refused.

use super::*;

/// The headers of the RDMA control path as its clients send them: no `x-amz-content-sha256`, a service of their own.
fn control<'a>(
    path: &str,
    rdma: &[(&'a str, &'a str)],
    date: &'a str,
    authorization: &'a str,
) -> Parts {
    let mut headers = vec![("host", "127.0.0.1"), ("x-amz-date", date)];
    headers.extend(rdma);
    headers.push(("authorization", authorization));
    head("POST", path, &headers)
}

fn authorization(service: &str, rdma: &[(&str, &str)], signature: &str) -> String {
    let names: Vec<&str> = rdma.iter().map(|(name, _)| *name).collect();
    format!(
        "AWS4-HMAC-SHA256 Credential=hipobj-test-key/20261120/us-east-1/{service}/aws4_request, \
         SignedHeaders=host;x-amz-date;{}, Signature={signature}",
        names.join(";")
    )
}

fn control_verifier() -> Verifier {
    Verifier::new(table(&[("hipobj-test-key", "hipobj-test-secret")]), &["s3", "hipobj"])
}

/// 07:00:00 on 20 November 2026, seconds since 1970.
const SEVEN: u64 = 1_795_158_000;

#[test]
fn a_prepare_is_signed_for_either_service() {
    let rdma = [
        ("x-amz-rdma-cookie", "1a2b3c4d"),
        ("x-amz-rdma-mr-addr", "56001234a000"),
        ("x-amz-rdma-mr-rkey", "1899"),
        ("x-amz-rdma-op", "PUT"),
        ("x-amz-rdma-protocol", "hipobj-rc-v2"),
        ("x-amz-rdma-psn", "000001"),
        ("x-amz-rdma-qpn", "112"),
        ("x-amz-rdma-size", "64"),
        ("x-amz-rdma-target", "/mybucket/mykey"),
        (
            "x-amz-rdma-token",
            "011201000000000000000000000000ffff0a4d00010000000000000000000000000000000000000000010000",
        ),
    ];
    let verifier = control_verifier();
    for (service, signature) in [
        ("hipobj", "151860842a6149f36104b74f8417d8a1ff2785b8955ddd5c4f31c2faf3ffc378"),
        ("s3", "525662e5213eabd91b3d5f259e04058ea8f5c2f9d8caceba15e16ed90bc7339e"),
    ] {
        let authorization = authorization(service, &rdma, signature);
        let parts = control("/.hipobj-rc/prepare", &rdma, "20261120T070000Z", &authorization);
        let verified = verifier.verify_bodiless(&parts, at(SEVEN)).expect("the vector");
        assert!(rdma.iter().all(|(name, _)| verified.signed_headers.contains(name)));
        assert!(matches!(verified.payload, Payload::Exact(EMPTY_SHA256)));
        let refused = verifier.verify(&parts, at(SEVEN)).expect_err("S3 wants the header");
        let missing = "Missing required header for this request: x-amz-content-sha256";
        assert_eq!(refused.message(), missing);
    }
}

/// An upload of 64 bytes as the reference client sent it.
#[test]
fn a_recorded_exchange_verifies() {
    let prepare = [
        ("x-amz-rdma-cookie", "1a2b3c4d"),
        ("x-amz-rdma-mr-addr", "55aca5e15000"),
        ("x-amz-rdma-mr-rkey", "aec"),
        ("x-amz-rdma-op", "PUT"),
        ("x-amz-rdma-protocol", "hipobj-rc-v2"),
        ("x-amz-rdma-psn", "000001"),
        ("x-amz-rdma-qpn", "2b"),
        ("x-amz-rdma-size", "64"),
        ("x-amz-rdma-target", "/mybucket/mykey"),
        (
            "x-amz-rdma-token",
            "012b000000fe80000000000000040557fffe5eff080000000000000000000000000000000000000000010000",
        ),
    ];
    let ready = [
        ("x-amz-rdma-cookie", "1a2b3c4d"),
        ("x-amz-rdma-mr-addr", "55aca5e15000"),
        ("x-amz-rdma-mr-rkey", "aec"),
        ("x-amz-rdma-protocol", "hipobj-rc-v2"),
        ("x-amz-rdma-qpn", "2b"),
        ("x-amz-rdma-session", "482a37f020e164537fcd911bc9e9d754"),
    ];
    let verifier = control_verifier();
    for (path, rdma, signature) in [
        (
            "/.hipobj-rc/prepare",
            &prepare[..],
            "037f7444c3c9d8c226b8767e356d2b62435d9ff94ceb48ac8221578cce2cac9f",
        ),
        (
            "/.hipobj-rc/ready",
            &ready[..],
            "3e09a802692853e15c0debb6d7d09d081e2e6f168e9308dc17bc0be8276e7130",
        ),
    ] {
        let authorization = authorization("hipobj", rdma, signature);
        let parts = control(path, rdma, "20261120T071115Z", &authorization);
        let verified = verifier.verify_bodiless(&parts, at(SEVEN + 675)).expect("recorded");
        assert_eq!(verified.identity, Identity::Key("hipobj-test-key".into()));
        let mut moved = parts.clone();
        moved.uri = "/.hipobj-rc/cancel".parse().unwrap();
        let refused = verifier.verify_bodiless(&moved, at(SEVEN + 675)).expect_err("moved");
        assert_eq!(refused.code(), "SignatureDoesNotMatch");
    }
}

#[test]
fn what_is_added_on_the_way_is_refused() {
    let signed = [
        ("x-amz-rdma-protocol", "hipobj-rc-v2"),
        ("x-amz-rdma-session", "482a37f020e164537fcd911bc9e9d754"),
    ];
    let authorization = authorization("s3", &signed, &"0".repeat(64));
    // Its name is a part of a signed one, and the signed one a part of its.
    for name in ["x-amz-rdma-sessio", "x-amz-rdma-session-2", "x-amz-rdma-mr-rkey"] {
        let mut rdma = signed.to_vec();
        rdma.push((name, "1"));
        let parts = control("/.hipobj-rc/cancel", &rdma, "20261120T070000Z", &authorization);
        let refused = control_verifier().verify_bodiless(&parts, at(SEVEN)).expect_err(name);
        assert_eq!((refused.code(), refused.status().as_u16()), ("AccessDenied", 403));
        assert!(refused.details().contains(&("HeadersNotSigned", name.to_owned())));
    }
}
