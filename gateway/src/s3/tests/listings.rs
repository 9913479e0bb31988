//! Listings of objects: both forms, pages, prefixes, names that XML cannot hold.

use http::Request;
use http::header::HOST;
use s3s::Body;

use super::{Client, with_client};
use crate::auth::Identity;
use crate::iam::Caller;

async fn fill(client: &Client, keys: &[&str]) {
    for key in keys {
        client.put(&format!("/bucket/{key}"), "x").await.assert_ok();
    }
}

#[test]
fn a_listing_holds_its_memory_until_its_xml_has_left() {
    with_client(async |client| {
        client.put("/bucket/key", "x").await.assert_ok();
        let free = || client.settings.listings().free_bytes();
        let before = free();
        for uri in ["/bucket", "/bucket?list-type=2", "/bucket?uploads", "/"] {
            let request = Request::get(uri)
                .header(HOST, "127.0.0.1:9000")
                .extension(Caller::from(&Identity::Key("AKIDEXAMPLE".into())))
                .extension(Identity::Key("AKIDEXAMPLE".into()))
                .body(Body::empty());
            let response = client.service.call(request.unwrap()).await.unwrap();
            let xml = response.body().bytes().unwrap();
            assert_eq!(before - free(), 2 * xml.len(), "{uri}");
            drop(response);
            assert_eq!(before - free(), 2 * xml.len(), "{uri}");
            drop(xml);
            assert_eq!(free(), before, "{uri}");
        }
    });
}

#[test]
fn pages_follow_one_another() {
    with_client(async |client| {
        let keys = ["a", "b/1", "b/2", "c", "d/x/1", "e"];
        fill(client, &keys).await;
        let mut seen = Vec::new();
        let mut query = "list-type=2&max-keys=2".to_owned();
        loop {
            let page = client.get(&format!("/bucket?{query}")).await;
            seen.extend(page.assert_ok().elements("Key").into_iter().map(str::to_owned));
            assert_eq!(page.element("KeyCount"), "2");
            let token = page.element("NextContinuationToken");
            assert_eq!(page.element("IsTruncated") == "true", !token.is_empty());
            if token.is_empty() {
                break;
            }
            query = format!("list-type=2&max-keys=2&start-after=zzz&continuation-token={token}");
        }
        assert_eq!(seen, keys);
        let rolled = client.get("/bucket?list-type=2&delimiter=%2F&fetch-owner=true").await;
        assert_eq!(rolled.assert_ok().elements("Key"), ["a", "c", "e"]);
        assert_eq!(rolled.elements("Prefix"), ["", "b/", "d/"]);
        assert_eq!(rolled.elements("ID").len(), 3);
        assert_eq!((rolled.element("KeyCount"), rolled.element("Delimiter")), ("5", "/"));
        let after = client.get("/bucket?list-type=2&start-after=b%2F1&prefix=b").await;
        assert_eq!(after.elements("Key"), ["b/2"]);
        assert_eq!(after.element("StartAfter"), "b/1");
        assert!(after.elements("ID").is_empty());
    });
}

#[test]
fn the_first_form_names_its_next_marker_with_a_delimiter() {
    with_client(async |client| {
        fill(client, &["a", "b/1", "b/2", "c"]).await;
        let first = client.get("/bucket?delimiter=/&max-keys=2").await;
        assert_eq!(first.assert_ok().elements("Key"), ["a"]);
        assert_eq!(first.element("NextMarker"), "b/");
        let second = client.get("/bucket?delimiter=/&max-keys=2&marker=b/").await;
        assert_eq!(second.elements("Key"), ["c"]);
        assert_eq!((second.element("Marker"), second.element("IsTruncated")), ("b/", "false"));
        let plain = client.get("/bucket?max-keys=1").await;
        assert_eq!((plain.element("IsTruncated"), plain.element("NextMarker")), ("true", ""));
        assert_eq!(plain.elements("ID"), ["penstock"]);
    });
}

#[test]
fn names_are_written_so_that_they_come_back() {
    with_client(async |client| {
        fill(client, &["a%20b%2Bc", "d%0De", "f%01", "%26%3C", "%F0%9F%98%80"]).await;
        let encoded = client.get("/bucket?list-type=2&encoding-type=url&prefix=a%20").await;
        assert_eq!(encoded.assert_ok().elements("Key"), ["a%20b%2Bc"]);
        assert_eq!((encoded.element("Prefix"), encoded.element("EncodingType")), ("a%20", "url"));
        let plain = client.get("/bucket?list-type=2").await;
        assert_eq!(plain.elements("Key"), ["&amp;&lt;", "a b+c", "d&#xd;e", "f&#x1;", "😀"]);
        client.get("/bucket?encoding-type=base64").await.assert_code(400, "InvalidArgument");
    });
}

#[test]
fn odd_parameters_are_refused_or_clamped() {
    with_client(async |client| {
        fill(client, &["a", "b"]).await;
        for uri in [
            "max-keys=-1",
            "max-keys=x",
            "list-type=2&max-keys=-1",
            "list-type=2&continuation-token=x",
        ] {
            client.get(&format!("/bucket?{uri}")).await.assert_code(400, "InvalidArgument");
        }
        let none = client.get("/bucket?list-type=2&max-keys=0").await;
        assert_eq!((none.element("KeyCount"), none.element("IsTruncated")), ("0", "false"));
        let many = client.get("/bucket?max-keys=5000").await;
        assert_eq!((many.element("MaxKeys"), many.elements("Key").len()), ("1000", 2));
        let long = "p".repeat(2000);
        let hopeless = client.get(&format!("/bucket?prefix={long}")).await;
        assert!(hopeless.assert_ok().elements("Key").is_empty());
        let late = client.get(&format!("/bucket?marker={}", "a".repeat(2000))).await;
        assert_eq!(late.assert_ok().elements("Key"), ["b"]);
    });
}
