//! Objects: putting, reading in all ways, deleting.

use http::Request;

use super::{Client, content, digest, tag, with_client};
use crate::body::checksum::{Algorithm, Value};

#[test]
fn what_is_put_is_read_with_all_that_was_said_of_it() {
    with_client(async |client| {
        for (size, seed) in [(0, 1), (1, 2), (4096, 3), (70_000, 4), (3_000_001, 5)] {
            let body = content(size, seed);
            let request = Request::put("/bucket/dir/a%20b%2Bc")
                .header("content-type", "text/plain")
                .header("cache-control", "no-cache")
                .header("content-encoding", "gzip")
                .header("content-disposition", "inline")
                .header("content-language", "en")
                .header("expires", "0")
                .header("x-amz-meta-colour", "blue")
                .header("x-amz-meta-colour", "red")
                .header("x-amz-meta-empty", "");
            let put = client.send(request, body.clone()).await;
            assert_eq!(put.assert_ok().header("etag"), tag(&body));
            assert_eq!(put.header("x-amz-checksum-type"), "FULL_OBJECT");
            let crc64 = digest(Algorithm::Crc64Nvme, &body).to_base64();
            assert_eq!(put.header("x-amz-checksum-crc64nvme"), crc64);
            let request =
                Request::get("/bucket/dir/a%20b%2Bc").header("x-amz-checksum-mode", "ENABLED");
            let got = client.send(request, "").await;
            assert!(got.assert_ok().body == body, "{size} bytes differ");
            let head =
                Request::head("/bucket/dir/a%20b%2Bc").header("x-amz-checksum-mode", "ENABLED");
            let head = client.send(head, "").await;
            assert_eq!(head.headers, got.headers);
            assert_eq!((head.status, head.body.len()), (200, 0));
            for (name, value) in [
                ("content-length", size.to_string().as_str()),
                ("content-type", "text/plain"),
                ("cache-control", "no-cache"),
                ("content-encoding", "gzip"),
                ("content-disposition", "inline"),
                ("content-language", "en"),
                ("expires", "0"),
                ("x-amz-meta-colour", "blue,red"),
                ("x-amz-checksum-crc64nvme", &crc64),
                ("accept-ranges", "bytes"),
                ("etag", &tag(&body)),
            ] {
                assert_eq!(got.header(name), value, "{name}");
            }
            assert!(got.headers.contains_key("x-amz-meta-empty"));
            assert!(got.header("last-modified").ends_with(" GMT"));
        }
        let plain = client.get("/bucket/dir/a%20b%2Bc").await;
        assert!(!plain.headers.contains_key("x-amz-checksum-crc64nvme"));
    });
}

#[test]
fn metadata_beyond_ascii_comes_back_as_encoded_words() {
    with_client(async |client| {
        let value = http::HeaderValue::from_bytes("имя".as_bytes()).unwrap();
        let request = Request::put("/bucket/key").header("x-amz-meta-name", value);
        client.send(request, "x").await.assert_ok();
        assert_eq!(
            client.head("/bucket/key").await.header("x-amz-meta-name"),
            "=?UTF-8?B?0LjQvNGP?="
        );
        let bytes = http::HeaderValue::from_bytes(b"\xff").unwrap();
        let request = Request::put("/bucket/key").header("x-amz-meta-name", bytes);
        client.send(request, "x").await.assert_code(400, "InvalidArgument");
        let large = client.put_with("/bucket/key", "x-amz-meta-a", &"v".repeat(2048), "x").await;
        large.assert_code(400, "MetadataTooLarge");
    });
}

#[test]
fn ranges_are_answered_as_rfc_9110_says() {
    with_client(async |client| {
        let body = content(200_000, 9);
        client.put("/bucket/key", body.clone()).await.assert_ok();
        for (range, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=65535-65536", 65_535..65_537),
            ("bytes=199999-", 199_999..200_000),
            ("bytes=-1", 199_999..200_000),
            ("bytes=100-9999999", 100..200_000),
        ] {
            for head in [false, true] {
                let method =
                    if head { Request::head("/bucket/key") } else { Request::get("/bucket/key") };
                let got = client.send(method.header("range", range), "").await;
                assert_eq!(got.status, 206, "{range}");
                let content_range = format!("bytes {}-{}/200000", expected.start, expected.end - 1);
                assert_eq!(got.header("content-range"), content_range);
                assert_eq!(
                    got.header("content-length"),
                    (expected.end - expected.start).to_string()
                );
                if !head {
                    assert!(got.body == body[expected.clone()], "{range}");
                }
            }
        }
        for ignored in ["bytes=0-1,5-6", "bytes=5-4", "lines=1-2", "bytes=a-b"] {
            let got = client.get_with("/bucket/key", "range", ignored).await;
            assert_eq!(got.assert_ok().body.len(), 200_000, "{ignored}");
        }
        let outside = client.get_with("/bucket/key", "range", "bytes=200000-").await;
        outside.assert_code(416, "InvalidRange");
        assert_eq!(outside.header("content-range"), "bytes */200000");
        assert_eq!(outside.header("content-type"), "application/xml");
        let part = client.get("/bucket/key?partNumber=1").await;
        assert_eq!((part.status, part.body.len()), (206, 200_000));
        client.get("/bucket/key?partNumber=2").await.assert_code(416, "InvalidPartNumber");
        client.get("/bucket/key?partNumber=0").await.assert_code(400, "InvalidArgument");
        let both = client.get_with("/bucket/key?partNumber=1", "range", "bytes=0-1").await;
        both.assert_code(400, "InvalidRequest");
        client.put("/bucket/empty", "").await.assert_ok();
        client
            .get_with("/bucket/empty", "range", "bytes=0-")
            .await
            .assert_code(416, "InvalidRange");
    });
}

#[test]
fn conditions_decide_reading() {
    with_client(async |client| {
        client.put("/bucket/key", "x").await.assert_ok();
        let tag = tag(b"x");
        let modified = client.head("/bucket/key").await.header("last-modified").to_owned();
        for (name, value, status) in [
            ("if-match", tag.as_str(), 200),
            ("if-match", "\"a\", \"b\"", 412),
            ("if-none-match", &tag, 304),
            ("if-none-match", "\"a\"", 200),
            ("if-modified-since", &modified, 304),
            ("if-modified-since", "tomorrow", 200),
            ("if-unmodified-since", &modified, 200),
            ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT", 412),
        ] {
            for method in [Request::get("/bucket/key"), Request::head("/bucket/key")] {
                let got = client.send(method.header(name, value), "").await;
                assert_eq!(got.status, status, "{name}: {value}");
                if status == 304 {
                    assert_eq!((got.header("etag"), got.body.len()), (&*tag, 0));
                    assert_eq!(got.header("last-modified"), modified);
                    assert!(!got.headers.contains_key("content-type"));
                }
            }
        }
    });
}

#[test]
fn headers_are_overridden_by_the_query() {
    with_client(async |client| {
        client.put("/bucket/key", "x").await.assert_ok();
        let uri = "/bucket/key?response-content-type=text%2Fcss&response-cache-control=no-store\
                   &response-expires=Sun%2C%2006%20Nov%201994%2008%3A49%3A37%20GMT&versionId=null";
        for got in [client.get(uri).await, client.head(uri).await] {
            assert_eq!(got.assert_ok().header("content-type"), "text/css");
            assert_eq!(got.header("cache-control"), "no-store");
            assert_eq!(got.header("expires"), "Sun, 06 Nov 1994 08:49:37 GMT");
        }
    });
}

#[test]
fn conditions_decide_writing() {
    with_client(async |client| {
        client
            .put_with("/bucket/key", "if-match", "\"a\"", "x")
            .await
            .assert_code(404, "NoSuchKey");
        client.put_with("/bucket/key", "if-none-match", "*", "1").await.assert_ok();
        client
            .put_with("/bucket/key", "if-none-match", "*", "2")
            .await
            .assert_code(412, "PreconditionFailed");
        client
            .put_with("/bucket/key", "if-match", "\"a\"", "2")
            .await
            .assert_code(412, "PreconditionFailed");
        assert_eq!(client.get("/bucket/key").await.text(), "1");
        client.put_with("/bucket/key", "if-match", &tag(b"1"), "2").await.assert_ok();
        client
            .put_with("/bucket/key", "if-none-match", "\"a\"", "3")
            .await
            .assert_code(501, "NotImplemented");
        let refused =
            client.send(Request::delete("/bucket/key").header("if-match", "\"a\""), "").await;
        refused.assert_code(412, "PreconditionFailed");
        assert_eq!(client.get("/bucket/key").await.text(), "2");
        let deleted =
            client.send(Request::delete("/bucket/key").header("if-match", tag(b"2")), "").await;
        assert_eq!(deleted.status, 204);
        client.get("/bucket/key").await.assert_code(404, "NoSuchKey");
    });
}

#[test]
fn checksums_are_checked_and_kept() {
    with_client(async |client| {
        let body = content(100_000, 3);
        for algorithm in Algorithm::ALL {
            let value = digest(algorithm, &body);
            let put =
                client.vouched(Request::put("/bucket/key"), algorithm, value, body.clone()).await;
            assert_eq!(put.assert_ok().header(algorithm.header()), value.to_base64());
            let request = Request::get("/bucket/key").header("x-amz-checksum-mode", "ENABLED");
            let got = client.send(request, "").await;
            assert_eq!(got.header(algorithm.header()), value.to_base64());
            assert_eq!(got.header("x-amz-checksum-type"), "FULL_OBJECT");
            let listed = client.get("/bucket?list-type=2").await;
            assert_eq!(listed.element("ChecksumAlgorithm"), algorithm.name());

            let other = Value::from_bytes(&vec![1; algorithm.value_bytes()]).unwrap();
            let refused =
                client.vouched(Request::put("/bucket/bad"), algorithm, other, body.clone()).await;
            refused.assert_code(400, "BadDigest");
            client.get("/bucket/bad").await.assert_code(404, "NoSuchKey");
        }
    });
}

#[test]
fn deleting_is_idempotent_and_many_keys_answer_each() {
    with_client(async |client| {
        assert_eq!(client.delete("/bucket/missing").await.status, 204);
        for key in ["a", "b", "c%26d"] {
            client.put(&format!("/bucket/{key}"), key.to_owned()).await.assert_ok();
        }
        let list = format!(
            "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <Object><Key>a</Key><ETag>&quot;wrong&quot;</ETag></Object>\
             <Object><Key>b</Key><ETag>{}</ETag></Object>\
             <Object><Key>c&amp;d</Key></Object><Object><Key>missing</Key></Object>\
             <Object><Key>a</Key><VersionId>7</VersionId></Object></Delete>",
            tag(b"b").replace('"', "&quot;")
        );
        let deleted = delete_objects(client, list).await;
        let keys = deleted.assert_ok().elements("Key");
        assert_eq!(keys.len(), 5, "{}", deleted.text());
        assert_eq!(deleted.elements("Code"), ["NoSuchVersion", "PreconditionFailed"]);
        assert_eq!(client.get("/bucket?list-type=2").await.elements("Key"), ["a"]);

        let quiet = "<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object></Delete>";
        let deleted = delete_objects(client, quiet.to_owned()).await;
        assert!(deleted.assert_ok().elements("Key").is_empty());
        client.get("/bucket/a").await.assert_code(404, "NoSuchKey");

        delete_objects(client, "<Delete></Delete>".to_owned())
            .await
            .assert_code(400, "MalformedXML");
        let many = "<Object><Key>k</Key></Object>".repeat(1001);
        delete_objects(client, format!("<Delete>{many}</Delete>"))
            .await
            .assert_code(400, "MalformedXML");
        let cdata = "<Delete><Object><Key>a<![CDATA[b]]></Key></Object></Delete>";
        delete_objects(client, cdata.to_owned()).await.assert_code(400, "MalformedXML");
        client.post("/bucket?delete", quiet).await.assert_code(400, "InvalidRequest");
    });
}

async fn delete_objects(client: &Client, list: String) -> super::Answer {
    let value = digest(Algorithm::Crc32, list.as_bytes());
    client.vouched(Request::post("/bucket?delete"), Algorithm::Crc32, value, list).await
}
