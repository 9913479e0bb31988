//! Uploads in parts, from beginning to end.

use bytes::Bytes;
use http::Request;

use super::{Answer, Client, content, digest, tag, with_client};
use crate::body::checksum::Algorithm;

const MIN: usize = 5 << 20;

async fn begin(client: &Client, headers: &[(&str, &str)]) -> String {
    let mut request = Request::post("/bucket/big?uploads");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let begun = client.send(request, "").await;
    begun.assert_ok().element("UploadId").to_owned()
}

async fn upload(client: &Client, id: &str, number: u16, body: Bytes) -> String {
    let sent = client.put(&format!("/bucket/big?partNumber={number}&uploadId={id}"), body).await;
    sent.assert_ok().header("etag").to_owned()
}

async fn complete(
    client: &Client,
    id: &str,
    parts: &[(u16, &str)],
    headers: &[(&str, &str)],
) -> Answer {
    let parts: String = parts
        .iter()
        .map(|(number, tag)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>")
        })
        .collect();
    complete_list(client, id, &parts, headers).await
}

async fn complete_list(client: &Client, id: &str, parts: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::post(format!("/bucket/big?uploadId={id}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let list = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    client.send(request, list).await
}

#[test]
fn parts_in_any_order_become_one_object() {
    with_client(async |client| {
        let (first, second, third) = (content(MIN, 1), content(MIN + 3, 2), content(17, 3));
        let id = begin(client, &[("x-amz-meta-colour", "blue"), ("content-type", "video/x")]).await;
        let c = upload(client, &id, 30, third.clone()).await;
        upload(client, &id, 2, content(MIN, 9)).await;
        let b = upload(client, &id, 2, second.clone()).await;
        let a = upload(client, &id, 1, first.clone()).await;
        upload(client, &id, 40, content(10, 4)).await;
        assert_eq!(a, tag(&first));

        let listed = client.get(&format!("/bucket/big?uploadId={id}&max-parts=2")).await;
        assert_eq!(listed.assert_ok().elements("PartNumber"), ["1", "2"]);
        assert_eq!(
            (listed.element("IsTruncated"), listed.element("NextPartNumberMarker")),
            ("true", "2")
        );
        let more = client.get(&format!("/bucket/big?uploadId={id}&part-number-marker=2")).await;
        assert_eq!(more.elements("PartNumber"), ["30", "40"]);
        assert_eq!(more.element("IsTruncated"), "false");
        client.get("/bucket/big").await.assert_code(404, "NoSuchKey");
        client.delete("/bucket").await.assert_code(409, "BucketNotEmpty");

        let whole = [first.as_ref(), &second, &third].concat();
        let crc64 = digest(Algorithm::Crc64Nvme, &whole).to_base64();
        let size = whole.len().to_string();
        let headers = [("x-amz-checksum-crc64nvme", &*crc64), ("x-amz-mp-object-size", &size)];
        let done = complete(client, &id, &[(1, &a), (2, &b), (30, &c)], &headers).await;
        assert!(done.assert_ok().element("ETag").ends_with("-3\""));
        assert_eq!(done.element("ChecksumCRC64NVME"), crc64);
        assert_eq!(done.element("ChecksumType"), "FULL_OBJECT");
        assert_eq!(done.element("Location"), "http://127.0.0.1:9000/bucket/big");

        let got = client.get_with("/bucket/big", "x-amz-checksum-mode", "ENABLED").await;
        assert!(got.assert_ok().body == whole);
        assert_eq!(got.header("etag"), done.element("ETag"));
        assert_eq!(
            (got.header("x-amz-meta-colour"), got.header("content-type")),
            ("blue", "video/x")
        );
        assert_eq!(got.header("x-amz-checksum-crc64nvme"), crc64);
        let part = client.get("/bucket/big?partNumber=2").await;
        assert_eq!((part.status, part.header("x-amz-mp-parts-count")), (206, "3"));
        assert!(part.body == second);
        // Parts keep the numbers that they were uploaded with.
        let head = client.head("/bucket/big?partNumber=30").await;
        assert_eq!((head.status, head.header("content-length")), (206, "17"));
        client.get("/bucket/big?partNumber=3").await.assert_code(416, "InvalidPartNumber");
        let across =
            client.get_with("/bucket/big", "range", &format!("bytes={}-{}", MIN - 1, MIN)).await;
        assert_eq!(across.body[..], whole[MIN - 1..=MIN]);
        complete(client, &id, &[(1, &a)], &[]).await.assert_code(404, "NoSuchUpload");
    });
}

#[test]
fn a_lost_answer_is_given_again() {
    with_client(async |client| {
        let first_answer_lost =
            [("x-amz-checksum-algorithm", "CRC32"), ("x-amz-checksum-type", "FULL_OBJECT")];
        let id = begin(client, &first_answer_lost).await;
        let a = upload(client, &id, 1, content(MIN, 1)).await;
        let b = upload(client, &id, 7, content(3, 2)).await;
        upload(client, &id, 9, content(3, 3)).await;
        let parts = [(1, &*a), (7, &*b)];
        let once = complete(client, &id, &parts, &[("if-none-match", "*")]).await;
        let again = complete(client, &id, &parts, &[("if-none-match", "*")]).await;
        assert_eq!(again.assert_ok().text(), once.assert_ok().text());
        assert_eq!(again.element("ChecksumType"), "FULL_OBJECT");
        for other in [&[(1, &*a)][..], &[(1, &*a), (7, &*a)], &[(1, &*a), (8, &*b)]] {
            complete(client, &id, other, &[]).await.assert_code(404, "NoSuchUpload");
        }
        complete(client, &id, &[], &[]).await.assert_code(400, "MalformedXML");
        assert!(client.get("/bucket/big").await.assert_ok().body.len() == MIN + 3);
        // Another object at the key, or none, is not this upload's.
        client.put("/bucket/big", "other").await.assert_ok();
        complete(client, &id, &parts, &[]).await.assert_code(404, "NoSuchUpload");
        client.delete("/bucket/big").await;
        complete(client, &id, &parts, &[]).await.assert_code(404, "NoSuchUpload");
    });
}

#[test]
fn what_does_not_fit_is_refused_and_the_upload_goes_on() {
    with_client(async |client| {
        let id = begin(client, &[]).await;
        let a = upload(client, &id, 1, content(100, 1)).await;
        let b = upload(client, &id, 2, content(100, 2)).await;
        complete(client, &id, &[(1, &a), (2, &b)], &[]).await.assert_code(400, "EntityTooSmall");
        complete(client, &id, &[(2, &b), (1, &a)], &[]).await.assert_code(400, "InvalidPartOrder");
        complete(client, &id, &[(1, &b)], &[]).await.assert_code(400, "InvalidPart");
        complete(client, &id, &[(3, &b)], &[]).await.assert_code(400, "InvalidPart");
        complete(client, &id, &[], &[]).await.assert_code(400, "MalformedXML");
        client
            .post(&format!("/bucket/big?uploadId={id}"), "")
            .await
            .assert_code(400, "MalformedXML");
        let wrong = [("x-amz-mp-object-size", "99")];
        complete(client, &id, &[(1, &a)], &wrong).await.assert_code(400, "InvalidRequest");
        let wrong = [("x-amz-checksum-crc64nvme", "AAAAAAAAAAE=")];
        complete(client, &id, &[(1, &a)], &wrong).await.assert_code(400, "BadDigest");
        let absent = [("if-match", "\"x\"")];
        complete(client, &id, &[(1, &a)], &absent).await.assert_code(404, "NoSuchKey");
        for number in ["0", "10001", "-1"] {
            let uri = format!("/bucket/big?partNumber={number}&uploadId={id}");
            client.put(&uri, "x").await.assert_code(400, "InvalidArgument");
        }
        client
            .put("/bucket/big?partNumber=1&uploadId=0000000000000000", "x")
            .await
            .assert_code(404, "NoSuchUpload");
        client
            .put(&format!("/bucket/other?partNumber=1&uploadId={id}"), "x")
            .await
            .assert_code(404, "NoSuchUpload");
        client
            .put(&format!("/bucket/big?uploadId={id}"), "x")
            .await
            .assert_code(400, "InvalidRequest");
        complete(client, &id, &[(1, &a)], &[("if-none-match", "*")]).await.assert_ok();
        assert_eq!(client.get("/bucket/big").await.body, content(100, 1));
        assert!(client.head("/bucket/big").await.header("etag").ends_with("-1\""));
    });
}

#[test]
fn more_parts_than_are_read_at_once_become_one_object() {
    with_client(async |client| {
        let id = begin(client, &[]).await;
        let numbers: Vec<u16> = (1..=1100).filter(|number| number % 300 != 0).collect();
        let mut tags = Vec::new();
        for number in &numbers {
            tags.push(upload(client, &id, *number, content(1, (*number % 251) as u8)).await);
        }
        let parts: Vec<(u16, &str)> =
            numbers.iter().zip(&tags).map(|(number, tag)| (*number, &**tag)).collect();
        // Each part but the last is too small: all of them have been found and compared by then.
        complete(client, &id, &parts, &[]).await.assert_code(400, "EntityTooSmall");
        let missing: Vec<(u16, &str)> = parts.iter().copied().chain([(1200, &*tags[0])]).collect();
        complete(client, &id, &missing, &[]).await.assert_code(400, "InvalidPart");
        let last = [(1100, &**tags.last().unwrap())];
        complete(client, &id, &last, &[]).await.assert_ok();
        assert_eq!(client.get("/bucket/big").await.body, content(1, (1100 % 251) as u8));
    });
}

#[test]
fn checksums_of_parts_make_the_objects() {
    with_client(async |client| {
        for (algorithm, kind) in [
            (Algorithm::Crc32, "COMPOSITE"),
            (Algorithm::Crc32, "FULL_OBJECT"),
            (Algorithm::Crc64Nvme, "FULL_OBJECT"),
            (Algorithm::Sha256, "COMPOSITE"),
        ] {
            let headers =
                [("x-amz-checksum-algorithm", algorithm.name()), ("x-amz-checksum-type", kind)];
            let id = begin(client, &headers).await;
            let bodies = [content(MIN, 1), content(5, 2)];
            let mut tags = Vec::new();
            for (number, body) in (1..).zip(&bodies) {
                let request =
                    Request::put(format!("/bucket/big?partNumber={number}&uploadId={id}"));
                let value = digest(algorithm, body);
                let sent = client.vouched(request, algorithm, value, body.clone()).await;
                assert_eq!(sent.assert_ok().header(algorithm.header()), value.to_base64());
                tags.push(sent.header("etag").to_owned());
            }
            let other = Algorithm::Sha1;
            let request = Request::put(format!("/bucket/big?partNumber=3&uploadId={id}"));
            let refused = client.vouched(request, other, digest(other, b"x"), "x").await;
            refused.assert_code(400, "InvalidRequest");
            let named = [(1, &*tags[0]), (2, &*tags[1])];
            if kind == "COMPOSITE" {
                let unnamed = complete(client, &id, &named, &[]).await;
                unnamed.assert_code(400, "InvalidRequest");
            }
            let parts = named.iter().zip(&bodies).map(|((number, tag), body)| {
                let (name, value) = (algorithm.name(), digest(algorithm, body).to_base64());
                format!(
                    "<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag>\
                     <Checksum{name}>{value}</Checksum{name}></Part>"
                )
            });
            let done = complete_list(client, &id, &parts.collect::<String>(), &[]).await;
            let element =
                done.assert_ok().element(&format!("Checksum{}", algorithm.name())).to_owned();
            assert_eq!(done.element("ChecksumType"), kind);
            let whole = digest(algorithm, &bodies.concat()).to_base64();
            assert_eq!(element == whole, kind == "FULL_OBJECT");
            assert_eq!(element.ends_with("-2"), kind == "COMPOSITE");
            let got = client.get_with("/bucket/big", "x-amz-checksum-mode", "ENABLED").await;
            assert_eq!(
                (got.header(algorithm.header()), got.header("x-amz-checksum-type")),
                (&*element, kind)
            );
            let part =
                client.get_with("/bucket/big?partNumber=2", "x-amz-checksum-mode", "ENABLED").await;
            assert_eq!(part.header(algorithm.header()), digest(algorithm, &bodies[1]).to_base64());
            let asked = ("x-amz-object-attributes", "Checksum,ObjectParts,ETag,StorageClass");
            let request = Request::get("/bucket/big?attributes").header(asked.0, asked.1);
            let told = client.send(request.header("x-amz-max-parts", "1"), "").await;
            let checksum = format!("Checksum{}", algorithm.name());
            let first = digest(algorithm, &bodies[0]).to_base64();
            assert_eq!(told.assert_ok().elements(&checksum), [&*element, &*first]);
            let page =
                ["IsTruncated", "NextPartNumberMarker", "PartsCount", "Size", "StorageClass"];
            let page = page.map(|name| told.element(name));
            assert_eq!(page, ["true", "1", "2", &MIN.to_string(), "STANDARD"]);
            assert_eq!(format!("\"{}\"", told.element("ETag")), got.header("etag"));
            let request = Request::get("/bucket/big?attributes").header(asked.0, asked.1);
            let told = client.send(request.header("x-amz-part-number-marker", "1"), "").await;
            assert_eq!(told.assert_ok().elements("PartNumber"), ["2"]);
            assert_eq!(told.element("IsTruncated"), "false");
        }
    });
}

#[test]
fn parts_are_copied_from_objects() {
    with_client(async |client| {
        let source = content(MIN + 1000, 6);
        client.put("/bucket/source", source.clone()).await.assert_ok();
        let id = begin(client, &[]).await;
        let copy = async |number: u16, range: Option<&str>| {
            let mut request =
                Request::put(format!("/bucket/big?partNumber={number}&uploadId={id}"))
                    .header("x-amz-copy-source", "bucket/source");
            if let Some(range) = range {
                request = request.header("x-amz-copy-source-range", range);
            }
            client.send(request, "").await
        };
        let whole = copy(1, None).await;
        assert_eq!(whole.assert_ok().element("ETag"), tag(&source));
        let ranged = copy(2, Some("bytes=70000-140000")).await;
        assert_eq!(ranged.assert_ok().element("ETag"), tag(&source[70_000..=140_000]));
        copy(3, Some("bytes=0-99999999")).await.assert_code(416, "InvalidRange");
        copy(3, Some("bytes=5-")).await.assert_code(400, "InvalidArgument");
        let parts = [(1, whole.element("ETag")), (2, ranged.element("ETag"))];
        let done = complete(client, &id, &parts, &[]).await;
        let expected = [&source[..], &source[70_000..=140_000]].concat();
        assert_eq!(
            done.assert_ok().element("ChecksumCRC64NVME"),
            digest(Algorithm::Crc64Nvme, &expected).to_base64()
        );
        client.delete("/bucket/source").await;
        assert!(client.get("/bucket/big").await.assert_ok().body == expected);

        let request = Request::put("/bucket/copy").header("x-amz-copy-source", "bucket/big");
        let copied = client.send(request, "").await;
        assert!(copied.assert_ok().element("ETag").ends_with("-2\""));
        assert!(client.get("/bucket/copy?partNumber=2").await.body == source[70_000..=140_000]);
    });
}

#[test]
fn uploads_are_listed_and_aborted() {
    with_client(async |client| {
        let mut ids = Vec::new();
        for key in ["a", "b", "b", "dir/x"] {
            let begun = client.post(&format!("/bucket/{key}?uploads"), "").await;
            ids.push(begun.assert_ok().element("UploadId").to_owned());
        }
        let listed = client.get("/bucket?uploads&delimiter=/").await;
        assert_eq!(listed.assert_ok().elements("Key"), ["a", "b", "b"]);
        assert_eq!(listed.elements("UploadId"), ids[..3]);
        assert_eq!(listed.elements("Prefix"), ["dir/", ""]);
        let first = client.get("/bucket?uploads&max-uploads=2").await;
        assert_eq!(
            (first.element("NextKeyMarker"), first.element("NextUploadIdMarker")),
            ("b", &*ids[1])
        );
        let uri = format!("/bucket?uploads&key-marker=b&upload-id-marker={}", ids[1]);
        assert_eq!(client.get(&uri).await.elements("UploadId"), ids[2..]);
        let skipped = client.get("/bucket?uploads&key-marker=b").await;
        assert_eq!(skipped.elements("Key"), ["dir/x"]);
        client
            .get("/bucket?uploads&key-marker=b&upload-id-marker=x")
            .await
            .assert_code(400, "InvalidArgument");
        for (key, id) in ["a", "b", "b", "dir/x"].iter().zip(&ids) {
            assert_eq!(client.delete(&format!("/bucket/{key}?uploadId={id}")).await.status, 204);
            client
                .delete(&format!("/bucket/{key}?uploadId={id}"))
                .await
                .assert_code(404, "NoSuchUpload");
        }
        assert!(client.get("/bucket?uploads").await.elements("Key").is_empty());
        assert_eq!(client.delete("/bucket").await.status, 204);
    });
}
