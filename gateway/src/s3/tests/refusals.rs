//! What is not here, and what comes in broken: nothing of it may store, change or delete anything.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{Method, Request};
use s3s::Body;

use super::{Client, with_client};
use crate::auth::Identity;
use crate::body::{BodyError, Promised, TrailerSlot};
use crate::iam::Caller;

async fn assert_untouched(client: &Client) {
    assert_eq!(client.get("/bucket/key").await.assert_ok().text(), "kept");
    assert_eq!(client.get("/bucket?list-type=2").await.elements("Key"), ["key"]);
}

#[test]
fn what_is_not_here_is_said_and_does_nothing_else() {
    with_client(async |client| {
        client.put("/bucket/key", "kept").await.assert_ok();
        for (method, uri) in [
            (Method::PUT, "/bucket/key?renameObject"),
            (Method::PUT, "/bucket/key?encryption"),
            (Method::PUT, "/bucket/key?acl"),
            (Method::PUT, "/bucket/key?tagging"),
            (Method::PUT, "/bucket/new?torrent"),
            (Method::DELETE, "/bucket?acl"),
            (Method::DELETE, "/bucket?metadataConfiguration"),
            (Method::GET, "/bucket?abac"),
            (Method::GET, "/bucket/key?attributes"),
            (Method::POST, "/bucket/key?restore"),
            (Method::POST, "/bucket"),
            (Method::PATCH, "/bucket/key"),
        ] {
            let request = Request::builder().method(method.clone()).uri(uri);
            let answer = client.send(request, "").await;
            assert!(answer.status >= 400, "{method} {uri}: {}", answer.status);
            assert_untouched(client).await;
        }
        for (name, value, code) in [
            ("x-amz-if-match-initiated-time", "now", "NotImplemented"),
            ("x-amz-server-side-encryption", "rot13", "InvalidArgument"),
            ("x-amz-acl", "everybody", "InvalidArgument"),
            ("x-amz-object-lock-legal-hold", "ON", "InvalidRequest"),
            ("x-amz-server-side-encryption", "aws:kms:dsse", "NotImplemented"),
            ("x-amz-website-redirect-location", "elsewhere", "InvalidRedirectLocation"),
            ("x-amz-storage-class", "GLACIER", "InvalidStorageClass"),
            ("x-amz-expected-bucket-owner", "123456789012", "AccessDenied"),
        ] {
            let refused = client.put_with("/bucket/key", name, value, "other").await;
            assert_eq!(refused.element("Code"), code, "{name}");
            assert_untouched(client).await;
        }
        let form =
            Request::post("/bucket").header("content-type", "multipart/form-data; boundary=x");
        let form = client.send(form, "--x--").await;
        form.assert_code(400, "IncorrectNumberOfFilesInPostRequest");
        client.get("/bucket/key?versionId=7").await.assert_code(400, "InvalidArgument");
        let version = "A".repeat(32);
        client
            .get(&format!("/bucket/key?versionId={version}"))
            .await
            .assert_code(404, "NoSuchVersion");
        let nobodys = client.delete(&format!("/bucket/key?versionId={version}")).await;
        assert_eq!(nobodys.status, 204, "what is not there is deleted");
        client.get("/bucket/%ff").await.assert_code(400, "InvalidURI");
        client
            .put(&format!("/bucket/{}", "k".repeat(1025)), "x")
            .await
            .assert_code(400, "KeyTooLongError");
        assert_untouched(client).await;
    });
}

#[test]
fn an_escaped_name_is_no_way_around_a_check() {
    with_client(async |client| {
        client.put("/bucket/key", "kept").await.assert_ok();
        client.put("/empty", "").await.assert_ok();
        client.lane.set_public_read("bucket", true).await.unwrap();
        let delete = "<Delete><Object><Key>key</Key></Object></Delete>";
        for (method, uri, body) in [
            (Method::DELETE, "/empty?%61cl", ""),
            (Method::DELETE, "/empty?metadata%43onfiguration=", ""),
            (Method::PUT, "/bucket/key?rename%4Fbject", "other"),
            (Method::PUT, "/bucket/key?%74agging", "other"),
            (Method::PUT, "/bucket/key?part%4Eumber=1&uploadId=1", "other"),
            (Method::POST, "/bucket?%64elete", delete),
            (Method::GET, "/bucket?list%2Dtype=2", ""),
        ] {
            let request = Request::builder().method(method).uri(uri);
            client.send(request, body).await.assert_code(400, "InvalidURI");
            assert_untouched(client).await;
        }
        let uri = "/bucket/key?response%2Dcontent-type=text/html";
        client.anonymous(Method::GET, uri).await.assert_code(400, "InvalidURI");
        let uri = "/bucket/key?response-content-type=text/html";
        client.anonymous(Method::GET, uri).await.assert_code(400, "InvalidRequest");
        assert_eq!(client.head("/empty").await.status, 200);
        // A value may have escapes.
        assert_eq!(client.get("/bucket?prefix=%6Bey").await.elements("Key"), ["key"]);
    });
}

#[test]
fn an_escaped_slash_is_no_way_into_a_bucket() {
    with_client(async |client| {
        client.put("/bucket/key", "kept").await.assert_ok();
        for method in [Method::PUT, Method::GET, Method::DELETE, Method::HEAD] {
            let request = Request::builder().method(method.clone()).uri("/bucket%2Fkey");
            assert_eq!(client.send(request, "other").await.status, 400, "{method}");
        }
        client.put("/bucket%2fkey", "other").await.assert_code(400, "InvalidURI");
        assert_untouched(client).await;
        let hosted = || Request::put("/a%2Fb").header(HOST, "bucket.s3.test");
        client.send(hosted(), "x").await.assert_ok();
        assert_eq!(client.get("/bucket/a/b").await.assert_ok().text(), "x");
    });
}

#[test]
fn operations_that_are_not_here_say_so_whatever_their_input() {
    with_client(async |client| {
        client.put("/bucket/key", "kept").await.assert_ok();
        for name in ["metadataConfiguration", "metadataTable"] {
            for method in [Method::GET, Method::PUT, Method::DELETE] {
                let uri = format!("/bucket?{name}&id=1");
                let request = Request::builder().method(method).uri(uri);
                client.send(request, "").await.assert_code(501, "NotImplemented");
            }
        }
        for (method, target) in [
            (Method::GET, "?abac"),
            (Method::PUT, "?abac"),
            (Method::PUT, "?analytics&id=1"),
            (Method::PUT, "?intelligent-tiering&id=1"),
            (Method::PUT, "?inventory&id=1"),
            (Method::PUT, "?metrics&id=1"),
            (Method::PUT, "?replication"),
            (Method::PUT, "?website"),
            (Method::POST, "?metadataTable"),
            (Method::GET, "/key?torrent"),
            (Method::POST, "/key?restore"),
            (Method::POST, "/key?select&select-type=2"),
        ] {
            let uri = format!("/bucket{target}");
            let request = Request::builder().method(method.clone()).uri(&uri);
            let answer = client.send(request, "").await;
            assert_eq!(answer.status, 501, "{method} {uri}: {}", answer.text());
        }
        client.get("/?x-id=ListDirectoryBuckets").await.assert_code(501, "NotImplemented");
        client.post("/WriteGetObjectResponse", "").await.assert_code(400, "InvalidBucketName");
        assert_untouched(client).await;
    });
}

/// A body that says `announced` bytes, sends `sent` and then ends as given.
async fn broken(
    client: &Client,
    announced: u64,
    sent: &'static [u8],
    end: Option<BodyError>,
) -> (u16, String) {
    let pieces = [Some(Ok(Bytes::from_static(sent))), end.map(Err)];
    let body = Body::http_body_unsync(http_body_util::StreamBody::new(Pieces(
        pieces.into_iter().flatten().map(|piece| piece.map(http_body::Frame::data)).collect(),
    )));
    let request = Request::put("/bucket/new")
        .header(HOST, "127.0.0.1")
        .header(CONTENT_LENGTH, announced)
        .extension(Caller::from(&Identity::Key("AKIDEXAMPLE".into())))
        .extension(Identity::Key("AKIDEXAMPLE".into()))
        .extension(Promised::default())
        .extension(TrailerSlot::default());
    let response = client.service.call(request.body(body).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let text = String::from_utf8(response.into_body().bytes().unwrap().to_vec()).unwrap();
    let code = text.split("<Code>").nth(1).and_then(|rest| rest.split('<').next());
    (status, code.unwrap_or_default().to_owned())
}

struct Pieces(std::collections::VecDeque<Result<http_body::Frame<Bytes>, BodyError>>);

impl futures_core::Stream for Pieces {
    type Item = Result<http_body::Frame<Bytes>, BodyError>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.pop_front())
    }
}

#[test]
fn a_body_that_breaks_off_stores_nothing() {
    with_client(async |client| {
        client.put("/bucket/key", "kept").await.assert_ok();
        let answers = [
            broken(client, 10, b"short", None).await,
            broken(client, 3, b"longer", None).await,
            broken(client, 10, b"short", Some(BodyError::ChunkSignature)).await,
            broken(client, 5, b"exact", Some(BodyError::ContentSha256)).await,
            broken(client, (5 << 30) + 1, b"", None).await,
        ];
        let codes: Vec<(u16, &str)> =
            answers.iter().map(|(status, code)| (*status, &**code)).collect();
        assert_eq!(
            codes,
            [
                (400, "IncompleteBody"),
                (400, "IncompleteBody"),
                (403, "SignatureDoesNotMatch"),
                (400, "XAmzContentSHA256Mismatch"),
                (400, "EntityTooLarge"),
            ]
        );
        assert_untouched(client).await;
    });
}

#[test]
fn a_store_that_is_full_says_so_and_still_deletes() {
    with_client(async |client| {
        let mut kept = 0;
        let full = loop {
            let answer =
                client.put(&format!("/bucket/{kept:04}"), super::content(8 << 20, 1)).await;
            if answer.status != 200 || kept > 100 {
                break answer;
            }
            kept += 1;
        };
        full.assert_code(507, "InsufficientStorage");
        assert!(kept > 2);
        assert_eq!(client.delete("/bucket/0000").await.status, 204);
        assert_eq!(client.get("/bucket/0001").await.assert_ok().body.len(), 8 << 20);
    });
}
