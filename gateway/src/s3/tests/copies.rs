//! Copies: what they keep, what they replace, and what they refuse.

use http::Request;

use super::{Answer, Client, content, digest, tag, with_client};
use crate::body::checksum::Algorithm;

async fn copy(client: &Client, to: &str, from: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::put(to).header("x-amz-copy-source", from);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client.send(request, "").await
}

#[test]
fn a_copy_keeps_or_replaces_what_was_said_of_the_source() {
    with_client(async |client| {
        let body = content(300_000, 7);
        let request = Request::put("/bucket/a%20b")
            .header("x-amz-meta-colour", "blue")
            .header("expires", "0");
        client.send(request, body.clone()).await.assert_ok();
        let copied = copy(client, "/bucket/copy", "/bucket/a%20b", &[]).await;
        assert_eq!(copied.assert_ok().element("ETag"), tag(&body));
        assert_ne!(copied.element("LastModified"), "");
        client.delete("/bucket/a%20b").await;
        let got = client.get("/bucket/copy").await;
        assert!(got.assert_ok().body == body);
        assert_eq!((got.header("x-amz-meta-colour"), got.header("expires")), ("blue", "0"));

        let replaced = [
            ("x-amz-metadata-directive", "REPLACE"),
            ("content-type", "text/css"),
            ("x-amz-meta-size", "big"),
        ];
        copy(client, "/bucket/copy", "bucket/copy", &replaced).await.assert_ok();
        let got = client.get("/bucket/copy").await;
        assert!(got.assert_ok().body == body);
        assert_eq!((got.header("x-amz-meta-colour"), got.header("x-amz-meta-size")), ("", "big"));
        assert_eq!(got.header("content-type"), "text/css");
        copy(client, "/bucket/copy", "bucket/copy", &[]).await.assert_code(400, "InvalidRequest");
        let unknown = [("x-amz-metadata-directive", "MERGE")];
        copy(client, "/bucket/copy", "bucket/copy", &unknown)
            .await
            .assert_code(400, "InvalidArgument");
    });
}

#[test]
fn a_copy_has_the_checksum_that_is_asked_for() {
    with_client(async |client| {
        let body = content(100_000, 8);
        client.put("/bucket/key", body.clone()).await.assert_ok();
        for algorithm in Algorithm::ALL {
            let asked = [("x-amz-checksum-algorithm", algorithm.name())];
            let copied = copy(client, "/bucket/copy", "bucket/key", &asked).await;
            let value = digest(algorithm, &body).to_base64();
            assert_eq!(copied.assert_ok().element(&format!("Checksum{}", algorithm.name())), value);
            let got = client.get_with("/bucket/copy", "x-amz-checksum-mode", "ENABLED").await;
            assert_eq!(got.header(algorithm.header()), value);
        }
        let unknown = [("x-amz-checksum-algorithm", "MD5")];
        copy(client, "/bucket/copy", "bucket/key", &unknown)
            .await
            .assert_code(400, "InvalidRequest");
    });
}

#[test]
fn a_copy_looks_at_both_ends() {
    with_client(async |client| {
        client.put("/bucket/key", "x").await.assert_ok();
        copy(client, "/bucket/copy", "/bucket/missing", &[]).await.assert_code(404, "NoSuchKey");
        copy(client, "/bucket/copy", "/missing/key", &[]).await.assert_code(404, "NoSuchBucket");
        copy(client, "/bucket/copy", "/bucket/key?versionId=7", &[])
            .await
            .assert_code(400, "InvalidArgument");
        copy(client, "/bucket/copy", "key", &[]).await.assert_code(400, "InvalidArgument");
        for (name, value) in [
            ("x-amz-copy-source-if-match", "\"other\""),
            ("x-amz-copy-source-if-none-match", &tag(b"x")),
            ("x-amz-copy-source-if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("if-match", "\"other\""),
        ] {
            let refused =
                copy(client, "/bucket/key", "/bucket/key", &[(name, value), REPLACE]).await;
            refused.assert_code(412, "PreconditionFailed");
        }
        copy(client, "/bucket/copy", "/bucket/key", &[("if-none-match", "*")]).await.assert_ok();
        let again = copy(client, "/bucket/copy", "/bucket/key", &[("if-none-match", "*")]).await;
        again.assert_code(412, "PreconditionFailed");
    });
}

const REPLACE: (&str, &str) = ("x-amz-metadata-directive", "REPLACE");
