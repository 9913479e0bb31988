//! Buckets: names, locations, listing, deleting, and who is let in.

use http::{Method, Request};

use super::with_client;

#[test]
fn a_bucket_lives_and_dies() {
    with_client(async |client| {
        client.put("/bucket", "").await.assert_code(409, "BucketAlreadyOwnedByYou");
        for name in ["ab", "UPPER", "a..b", "192.168.1.1", "xn--abc"] {
            client.put(&format!("/{name}"), "").await.assert_code(400, "InvalidBucketName");
        }
        let created = client.put("/second", "").await;
        assert_eq!(created.assert_ok().header("location"), "/second");
        let listed = client.get("/").await;
        assert_eq!(listed.assert_ok().elements("Name"), ["bucket", "second"]);
        assert_eq!(listed.element("ID"), "penstock");
        client.put("/second/key", "x").await.assert_ok();
        client.delete("/second").await.assert_code(409, "BucketNotEmpty");
        assert_eq!(client.delete("/second/key").await.status, 204);
        assert_eq!(client.delete("/second").await.status, 204);
        client.delete("/second").await.assert_code(404, "NoSuchBucket");
        assert_eq!(client.head("/second").await.status, 404);
        client.get("/second?list-type=2").await.assert_code(404, "NoSuchBucket");
    });
}

#[test]
fn a_location_is_echoed() {
    with_client(async |client| {
        let location = client.get("/bucket?location").await;
        assert!(location.assert_ok().text().contains("<LocationConstraint xmlns="));
        assert_eq!(client.head("/bucket").await.header("x-amz-bucket-region"), "us-east-1");
        let configured = "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                          <LocationConstraint>eu-central-1</LocationConstraint></CreateBucketConfiguration>";
        client.put("/there", configured).await.assert_ok();
        assert!(
            client
                .get("/there?location")
                .await
                .text()
                .contains(">eu-central-1</LocationConstraint>")
        );
        assert_eq!(client.head("/there").await.header("x-amz-bucket-region"), "eu-central-1");
        client.put("/other", "<CreateBucket").await.assert_code(400, "MalformedXML");
    });
}

#[test]
fn buckets_are_listed_in_pages() {
    with_client(async |client| {
        for name in ["alpha", "beta-1", "beta-2"] {
            client.put(&format!("/{name}"), "").await.assert_ok();
        }
        let first = client.get("/?max-buckets=3").await;
        assert_eq!(first.assert_ok().elements("Name"), ["alpha", "beta-1", "beta-2"]);
        let token = first.element("ContinuationToken").to_owned();
        let second = client.get(&format!("/?max-buckets=3&continuation-token={token}")).await;
        assert_eq!(second.assert_ok().elements("Name"), ["bucket"]);
        assert_eq!(second.element("ContinuationToken"), "");
        let some = client.get("/?prefix=beta").await;
        assert_eq!(some.elements("Name"), ["beta-1", "beta-2"]);
        client.get("/?max-buckets=0").await.assert_code(400, "InvalidArgument");
        client.get("/?continuation-token=zz").await.assert_code(400, "InvalidArgument");
    });
}

#[test]
fn anyone_reads_what_is_public_and_nothing_else() {
    with_client(async |client| {
        client.put("/bucket/key", "open").await.assert_ok();
        client.anonymous(Method::GET, "/bucket/key").await.assert_code(403, "AccessDenied");
        assert_eq!(client.anonymous(Method::HEAD, "/bucket/key").await.status, 403);
        client.anonymous(Method::GET, "/missing/key").await.assert_code(404, "NoSuchBucket");
        client.lane.set_public_read("bucket", true).await.unwrap();
        assert_eq!(client.anonymous(Method::GET, "/bucket/key").await.assert_ok().text(), "open");
        assert_eq!(
            client.anonymous(Method::HEAD, "/bucket/key").await.header("content-length"),
            "4"
        );
        // Who may not list a bucket may not find out what is in it.
        client.anonymous(Method::GET, "/bucket/missing").await.assert_code(403, "AccessDenied");
        assert_eq!(client.anonymous(Method::HEAD, "/bucket/missing").await.status, 403);
        client
            .anonymous(Method::GET, "/bucket/a?partNumber=1")
            .await
            .assert_code(403, "AccessDenied");
        assert_eq!(client.anonymous(Method::HEAD, "/bucket/a?partNumber=1").await.status, 403);
        client.get("/bucket/missing").await.assert_code(404, "NoSuchKey");
        let overridden = client.anonymous(Method::GET, "/bucket/key?response-content-type=a").await;
        overridden.assert_code(400, "InvalidRequest");
        for (method, uri) in [
            (Method::GET, "/"),
            (Method::GET, "/bucket"),
            (Method::GET, "/bucket?list-type=2"),
            (Method::GET, "/bucket/key?acl"),
            (Method::PUT, "/bucket/key"),
            (Method::PUT, "/another"),
            (Method::DELETE, "/bucket/key"),
            (Method::POST, "/bucket/key?uploads"),
        ] {
            client.anonymous(method.clone(), uri).await.assert_code(403, "AccessDenied");
        }
        // The list of keys comes first; who may delete which, is said of each.
        let list = client.anonymous(Method::POST, "/bucket?delete").await;
        list.assert_code(400, "InvalidRequest");
        assert_eq!(client.get("/bucket/key").await.text(), "open");
    });
}

#[test]
fn virtual_hosts_name_buckets() {
    with_client(async |client| {
        client.put("/bucket/a/key", "x").await.assert_ok();
        let hosted = |uri: &str, host: &str| Request::get(uri.to_owned()).header("host", host);
        // The client's own Host comes second and s3s reads the first.
        let answer = client.send(hosted("/a/key", "bucket.s3.test:9000"), "").await;
        assert_eq!(answer.assert_ok().text(), "x");
        let answer = client.send(hosted("/bucket/a/key", "s3.test"), "").await;
        assert_eq!(answer.assert_ok().text(), "x");
        let answer = client.send(hosted("/bucket/a/key", "some.other.host"), "").await;
        assert_eq!(answer.assert_ok().text(), "x");
    });
}
