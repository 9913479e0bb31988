//! Well signed requests with impossible contents: XML, ranges, names, part numbers, parameters.

use penstock_tests::client::complete_body;
use penstock_tests::content::md5_base64;
use penstock_tests::sign::Request;

use super::{BUCKET, Case, KEY, Target};

const ARGUMENT: &str = "400 InvalidArgument";

/// The rows.
pub(super) fn cases(target: &Target) -> Vec<Case> {
    [xml(target), ranges(target), names(target), parts(target), parameters(target), headers(target)]
        .into_iter()
        .flatten()
        .collect()
}

fn xml(target: &Target) -> Vec<Case> {
    let delete = |body: &str| {
        let request = target
            .client
            .request("POST", BUCKET, "")
            .query("delete", "")
            .header("Content-MD5", &md5_base64(body.as_bytes()))
            .body(body);
        target.sign(request).bytes()
    };
    let complete = |body: &str| {
        let request = target.request("POST").query("uploadId", &target.upload).body(body);
        target.sign(request).bytes()
    };
    let object = "<Object><Key>absent</Key></Object>";
    let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbbbbbbbb\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\">\
                <!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;&c;\">]>\
                <Delete><Object><Key>&d;</Key></Object></Delete>";
    let malformed = "400 MalformedXML";
    vec![
        Case::new("DeleteObjects: no XML", delete("this is no XML"), malformed),
        Case::new(
            "DeleteObjects: XML that ends early",
            delete("<Delete><Object><Key>a"),
            malformed,
        ),
        Case::new("DeleteObjects: another document", delete("<Tagging/>"), malformed),
        Case::new("DeleteObjects: no object", delete("<Delete></Delete>"), malformed),
        Case::new(
            "DeleteObjects: 1,001 objects",
            delete(&format!("<Delete>{}</Delete>", object.repeat(1001))),
            malformed,
        ),
        Case::new("DeleteObjects: entities in entities", delete(bomb), malformed),
        Case::new("DeleteObjects: nested 100,000 deep", delete(&"<a>".repeat(100_000)), malformed),
        Case::new(
            "DeleteObjects: 16 MiB of XML",
            delete(&format!("<Delete>{}</Delete>", " ".repeat(16 << 20))),
            "400 MalformedXML | 400 MaxMessageLengthExceeded | 400 EntityTooLarge | 413 EntityTooLarge",
        ),
        Case::new(
            "DeleteObjects without any checksum",
            target
                .sign(
                    target
                        .client
                        .request("POST", BUCKET, "")
                        .query("delete", "")
                        .body(format!("<Delete>{object}</Delete>")),
                )
                .bytes(),
            "400 InvalidRequest | 400 MissingContentMD5",
        ),
        Case::new(
            "Complete: no part",
            complete("<CompleteMultipartUpload/>"),
            "400 MalformedXML | 400 InvalidRequest",
        ),
        Case::new("Complete: no body", complete(""), "400 MalformedXML | 400 InvalidRequest"),
        Case::new(
            "Complete: a part that is not there",
            complete(&complete_body(&[(1, "\"d41d8cd98f00b204e9800998ecf8427e\"".to_owned())])),
            "400 InvalidPart",
        ),
        Case::new(
            "Complete: part number no number",
            complete(
                "<CompleteMultipartUpload><Part><PartNumber>one</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>",
            ),
            "400 MalformedXML | 400 InvalidArgument",
        ),
        Case::new(
            "Complete: parts in the wrong order",
            complete(&complete_body(&[(2, "a".to_owned()), (1, "b".to_owned())])),
            "400 InvalidPartOrder | 400 InvalidPart",
        ),
        Case::new(
            "CreateBucket: no XML",
            target.sign(target.client.request("PUT", "new-bucket", "").body("<<<")).bytes(),
            malformed,
        ),
    ]
}

fn ranges(target: &Target) -> Vec<Case> {
    let get = |range: &str| target.sign(target.request("GET").header("Range", range)).bytes();
    let both = target.request("GET").header("Range", "bytes=0-1").query("partNumber", "1");
    vec![
        Case::new("a range behind the end", get("bytes=100000-"), "416 InvalidRange"),
        Case::new("a range of the last 0 bytes", get("bytes=-0"), "416 InvalidRange"),
        // RFC 9110, 14.2: a Range that cannot be understood is ignored.
        Case::new("a range that is no range", get("bytes=a-b"), "200"),
        Case::new("a range that ends before it starts", get("bytes=5-2"), "200"),
        Case::new("a range in lines", get("lines=1-2"), "200"),
        Case::new("two ranges", get("bytes=0-1,5-6"), "200"),
        Case::new(
            "a range of 2^70",
            get("bytes=1180591620717411303424-"),
            "416 InvalidRange | 200",
        ),
        Case::new("partNumber and Range together", target.sign(both).bytes(), "400 InvalidRequest"),
        Case::new(
            "partNumber 2 of an object in one piece",
            target.sign(target.request("GET").query("partNumber", "2")).bytes(),
            "416 InvalidPartNumber | 416 InvalidRange",
        ),
    ]
}

fn names(target: &Target) -> Vec<Case> {
    let create = |name: &str| target.sign(target.client.request("PUT", name, "")).bytes();
    let bad = "400 InvalidBucketName";
    let long = "a".repeat(64);
    vec![
        Case::new("bucket name in capitals", create("BadInput"), bad),
        Case::new("bucket name of 2 characters", create("ab"), bad),
        Case::new("bucket name of 64 characters", create(&long), bad),
        Case::new("bucket name with two dots", create("a..b"), bad),
        Case::new("bucket name that is an address", create("192.168.5.4"), bad),
        Case::new("bucket name that starts with a dash", create("-abc"), bad),
        Case::new("bucket name with an underscore", create("a_b_c"), bad),
        Case::new(
            "an object in no bucket",
            target.sign(target.client.request("PUT", "nowhere", "k").body("x")).bytes(),
            "404 NoSuchBucket",
        ),
        Case::new(
            "listing of no bucket",
            target.sign(target.client.request("GET", "nowhere", "")).bytes(),
            "404 NoSuchBucket",
        ),
        Case::new(
            "deleting a bucket that is not empty",
            target.sign(target.client.request("DELETE", BUCKET, "")).bytes(),
            "409 BucketNotEmpty",
        ),
    ]
}

fn parts(target: &Target) -> Vec<Case> {
    let part = |number: &str, upload: &str| {
        let request = target
            .request("PUT")
            .query("partNumber", number)
            .query("uploadId", upload)
            .body("part");
        target.sign(request).bytes()
    };
    let long = "f".repeat(4_000);
    let elsewhere = target
        .client
        .request("PUT", BUCKET, "another-key")
        .query("partNumber", "1")
        .query("uploadId", &target.upload)
        .body("part");
    vec![
        Case::new("part 0", part("0", &target.upload), ARGUMENT),
        Case::new("part 10,001", part("10001", &target.upload), ARGUMENT),
        Case::new("part -1", part("-1", &target.upload), ARGUMENT),
        Case::new("part one", part("one", &target.upload), ARGUMENT),
        Case::new(
            "part of an upload that is not there",
            part("1", "00000000deadbeef"),
            "404 NoSuchUpload",
        ),
        Case::new("an upload id that is none", part("1", "../../etc/passwd"), "404 NoSuchUpload"),
        Case::new("an upload id of 4,000 characters", part("1", &long), "404 NoSuchUpload"),
        Case::new("the upload of another key", target.sign(elsewhere).bytes(), "404 NoSuchUpload"),
        Case::new(
            "a part without its number",
            target.sign(target.request("PUT").query("uploadId", &target.upload).body("x")).bytes(),
            "400 InvalidArgument | 400 InvalidRequest | 405 MethodNotAllowed | 501 NotImplemented",
        ),
        Case::new(
            "aborting what is not there",
            target.sign(target.request("DELETE").query("uploadId", "00000000deadbeef")).bytes(),
            "404 NoSuchUpload",
        ),
    ]
}

fn parameters(target: &Target) -> Vec<Case> {
    let list = |parameters: &[(&str, &str)]| {
        let mut request = target.client.request("GET", BUCKET, "");
        for (name, value) in parameters {
            request = request.query(name, value);
        }
        target.sign(request).bytes()
    };
    vec![
        Case::new("max-keys -1", list(&[("list-type", "2"), ("max-keys", "-1")]), ARGUMENT),
        Case::new("max-keys no number", list(&[("list-type", "2"), ("max-keys", "all")]), ARGUMENT),
        Case::new("max-keys of 2^40", list(&[("max-keys", "1099511627776")]), ARGUMENT),
        Case::new(
            "an unknown encoding-type",
            list(&[("list-type", "2"), ("encoding-type", "rot13")]),
            ARGUMENT,
        ),
        Case::new(
            "a continuation token that is none",
            list(&[("list-type", "2"), ("continuation-token", "!!!!")]),
            ARGUMENT,
        ),
        Case::new(
            "max-uploads no number",
            list(&[("uploads", ""), ("max-uploads", "x")]),
            ARGUMENT,
        ),
        Case::new(
            "max-parts no number",
            target
                .sign(
                    target.request("GET").query("uploadId", &target.upload).query("max-parts", "x"),
                )
                .bytes(),
            ARGUMENT,
        ),
        Case::new(
            "a version of an unversioned bucket",
            target.sign(target.request("GET").query("versionId", "nonsense")).bytes(),
            "400 InvalidArgument",
        ),
    ]
}

fn headers(target: &Target) -> Vec<Case> {
    let put = |headers: &[(&str, &str)]| {
        let mut request: Request = target.request("PUT");
        let copies = headers.iter().any(|(name, _)| *name == "x-amz-copy-source");
        if !copies {
            request = request.body("body");
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        target.sign(request).bytes()
    };
    let metadata = "m".repeat(2_100);
    vec![
        Case::new(
            "metadata of 2,100 bytes",
            put(&[("x-amz-meta-long", &metadata)]),
            "400 MetadataTooLarge",
        ),
        Case::new(
            "an unknown storage class",
            put(&[("x-amz-storage-class", "ATTIC")]),
            "400 InvalidStorageClass",
        ),
        Case::new(
            "a customer's encryption key whose MD5 is another's",
            put(&[
                ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
                (
                    "x-amz-server-side-encryption-customer-key",
                    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                ),
                ("x-amz-server-side-encryption-customer-key-MD5", "cLyNT6XfQxxu3xRZuVIqgA=="),
            ]),
            "400 InvalidArgument",
        ),
        Case::new(
            "encryption by a key that is not there",
            put(&[
                ("x-amz-server-side-encryption", "aws:kms"),
                ("x-amz-server-side-encryption-aws-kms-key-id", "nobodys"),
            ]),
            "400 KMS.NotFoundException",
        ),
        Case::new(
            "an object lock in a bucket without locks",
            put(&[
                ("x-amz-object-lock-mode", "GOVERNANCE"),
                ("x-amz-object-lock-retain-until-date", "2099-01-01T00:00:00Z"),
            ]),
            "400 InvalidRequest",
        ),
        Case::new("one tag twice", put(&[("x-amz-tagging", "a=b&a=c")]), "400 InvalidArgument"),
        Case::new(
            "If-None-Match with a tag on PUT",
            put(&[("If-None-Match", "\"abc\"")]),
            "501 NotImplemented",
        ),
        Case::new(
            "If-None-Match: * on what exists",
            put(&[("If-None-Match", "*")]),
            "412 PreconditionFailed",
        ),
        Case::new(
            "If-Match of another content",
            put(&[("If-Match", "\"abc\"")]),
            "412 PreconditionFailed",
        ),
        Case::new(
            "a copy of nothing",
            put(&[("x-amz-copy-source", "/bad-input/absent")]),
            "404 NoSuchKey",
        ),
        Case::new(
            "a copy from no bucket",
            put(&[("x-amz-copy-source", "/nowhere/absent")]),
            "404 NoSuchBucket",
        ),
        Case::new(
            "a copy source without a key",
            put(&[("x-amz-copy-source", "bad-input")]),
            ARGUMENT,
        ),
        Case::new(
            "a copy source with a broken escape",
            put(&[("x-amz-copy-source", "/bad-input/%f")]),
            "400 InvalidArgument | 404 NoSuchKey",
        ),
        Case::new(
            "a copy onto itself that changes nothing",
            put(&[("x-amz-copy-source", "/bad-input/good")]),
            "400 InvalidRequest",
        ),
        Case::new(
            "an unknown metadata directive",
            put(&[
                ("x-amz-copy-source", "/bad-input/good"),
                ("x-amz-metadata-directive", "SHUFFLE"),
            ]),
            ARGUMENT,
        ),
        Case::new(
            "a part copied from behind the end",
            {
                let request = target
                    .client
                    .request("PUT", BUCKET, KEY)
                    .query("partNumber", "1")
                    .query("uploadId", &target.upload)
                    .header("x-amz-copy-source", "/bad-input/good")
                    .header("x-amz-copy-source-range", "bytes=5-100000");
                target.sign(request).bytes()
            },
            "400 InvalidArgument | 400 InvalidRange | 416 InvalidRange",
        ),
        Case::new(
            "a policy without statements",
            target
                .sign(target.client.request("PUT", BUCKET, "").query("policy", "").body("{}"))
                .bytes(),
            "400 MalformedPolicy",
        ),
        Case::new(
            "a browser's form",
            {
                let form = "--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nform\r\n--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nabc\r\n--x--\r\n";
                let request = target
                    .client
                    .request("POST", BUCKET, "")
                    .header("Content-Type", "multipart/form-data; boundary=x")
                    .body(form);
                request.bytes()
            },
            "403 AccessDenied | 501 NotImplemented | 405 MethodNotAllowed",
        ),
    ]
}
