//! Which operation a request looks like, for metrics.
//!
//! Not here: routing. What is done with a request is decided behind the door; this only names it,
//! also when it is refused before anything decides.

use http::request::Parts;
use http::{HeaderName, Method};

use crate::metrics::Operation;
use crate::rdma::Route;

/// Names the request. `bucket_in_host` tells that the path holds the key alone.
pub fn name(parts: &Parts, bucket_in_host: bool) -> Operation {
    if let Some(route) = Route::of(parts.uri.path()).filter(|_| !bucket_in_host) {
        return route.operation();
    }
    let path = parts.uri.path().strip_prefix('/').unwrap_or_default();
    let (bucket, key) = match (bucket_in_host, path.split_once('/')) {
        (true, _) => (true, !path.is_empty()),
        (false, Some((bucket, key))) => (!bucket.is_empty(), !key.is_empty()),
        (false, None) => (!path.is_empty(), false),
    };
    let asked = Asked::of(parts.uri.query().unwrap_or_default());
    match (bucket, key) {
        (true, true) => object(parts, &asked),
        (true, false) => of_bucket(&parts.method, &asked),
        _ if parts.method == Method::GET => Operation::ListBuckets,
        _ => Operation::Other,
    }
}

fn object(parts: &Parts, asked: &Asked) -> Operation {
    let copies = || parts.headers.contains_key(&COPY_SOURCE);
    let upload = asked.upload_id;
    if asked.subresource {
        return Operation::Other;
    }
    match parts.method {
        Method::GET if upload => Operation::ListParts,
        Method::GET => Operation::GetObject,
        Method::HEAD => Operation::HeadObject,
        Method::PUT if upload && copies() => Operation::UploadPartCopy,
        Method::PUT if upload => Operation::UploadPart,
        Method::PUT if copies() => Operation::CopyObject,
        Method::PUT => Operation::PutObject,
        Method::DELETE if upload => Operation::AbortMultipartUpload,
        Method::DELETE => Operation::DeleteObject,
        Method::POST if asked.uploads => Operation::CreateMultipartUpload,
        Method::POST if upload => Operation::CompleteMultipartUpload,
        _ => Operation::Other,
    }
}

fn of_bucket(method: &Method, asked: &Asked) -> Operation {
    if asked.subresource {
        return Operation::Other;
    }
    match *method {
        Method::GET if asked.location => Operation::GetBucketLocation,
        Method::GET if asked.uploads => Operation::ListMultipartUploads,
        Method::GET if asked.list_type => Operation::ListObjectsV2,
        Method::GET => Operation::ListObjects,
        Method::HEAD => Operation::HeadBucket,
        Method::PUT => Operation::CreateBucket,
        Method::DELETE => Operation::DeleteBucket,
        Method::POST if asked.delete => Operation::DeleteObjects,
        _ => Operation::Other,
    }
}

static COPY_SOURCE: HeaderName = HeaderName::from_static("x-amz-copy-source");

/// What the query chooses between operations. Read in one pass: a presigned query has 400 bytes.
#[derive(Default)]
struct Asked {
    upload_id: bool,
    uploads: bool,
    location: bool,
    list_type: bool,
    delete: bool,
    subresource: bool,
}

impl Asked {
    fn of(query: &str) -> Asked {
        let mut asked = Asked::default();
        for pair in query.split('&') {
            match pair.split_once('=').map_or(pair, |(name, _)| name) {
                "uploadId" => asked.upload_id = true,
                "uploads" => asked.uploads = true,
                "location" => asked.location = true,
                "list-type" => asked.list_type = true,
                "delete" => asked.delete = true,
                name => asked.subresource |= is_subresource(name),
            }
        }
        asked
    }
}

/// Subresources whose operations are not told apart.
fn is_subresource(name: &str) -> bool {
    const NAMES: [&str; 35] = [
        "abac",
        "accelerate",
        "acl",
        "analytics",
        "attributes",
        "cors",
        "encryption",
        "intelligent-tiering",
        "inventory",
        "legal-hold",
        "lifecycle",
        "logging",
        "metadataConfiguration",
        "metadataInventoryTable",
        "metadataJournalTable",
        "metadataTable",
        "metrics",
        "notification",
        "object-lock",
        "ownershipControls",
        "policy",
        "policyStatus",
        "publicAccessBlock",
        "renameObject",
        "replication",
        "requestPayment",
        "restore",
        "retention",
        "select",
        "session",
        "tagging",
        "torrent",
        "versioning",
        "versions",
        "website",
    ];
    NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn named(method: &str, target: &str, copies: bool, in_host: bool) -> Operation {
        let mut build = Request::builder().method(method).uri(target);
        if copies {
            build = build.header("x-amz-copy-source", "/a/b");
        }
        name(&build.body(()).unwrap().into_parts().0, in_host)
    }

    #[test]
    fn requests_in_path_form() {
        use Operation::*;
        for (method, target, copies, expected) in [
            ("GET", "/", false, ListBuckets),
            ("POST", "/", false, Other),
            ("PUT", "/b", false, CreateBucket),
            ("HEAD", "/b/", false, HeadBucket),
            ("DELETE", "/b", false, DeleteBucket),
            ("GET", "/b?location", false, GetBucketLocation),
            ("GET", "/b", false, ListObjects),
            ("GET", "/b/?prefix=uploads", false, ListObjects),
            ("GET", "/b?list-type=2&prefix=x", false, ListObjectsV2),
            ("GET", "/b?uploads=", false, ListMultipartUploads),
            ("POST", "/b?delete", false, DeleteObjects),
            ("GET", "/b?acl", false, Other),
            ("GET", "/b?versions", false, Other),
            ("DELETE", "/b?ownershipControls", false, Other),
            ("GET", "/b/k?torrent", false, Other),
            ("GET", "/b/k", false, GetObject),
            ("GET", "/b/k/l/?x-id=GetObject", false, GetObject),
            ("GET", "/b/k?tagging", false, Other),
            ("GET", "/b/k?uploadId=1", false, ListParts),
            ("HEAD", "/b/k", false, HeadObject),
            ("PUT", "/b/k", false, PutObject),
            ("PUT", "/b/k", true, CopyObject),
            ("PUT", "/b/k?partNumber=1&uploadId=1", false, UploadPart),
            ("PUT", "/b/k?partNumber=1&uploadId=1", true, UploadPartCopy),
            ("DELETE", "/b/k", false, DeleteObject),
            ("DELETE", "/b/k?uploadId=1", false, AbortMultipartUpload),
            ("POST", "/b/k?uploads", false, CreateMultipartUpload),
            ("POST", "/b/k?uploadId=1", false, CompleteMultipartUpload),
            ("POST", "/b/k", false, Other),
            ("POST", "/.hipobj-rc/prepare", false, RdmaPrepare),
            ("PUT", "/.hipobj-rc/ready", false, RdmaReady),
            ("GET", "/.s3rdma-rc/capabilities", false, RdmaCapabilities),
            ("POST", "/.hipobj-rc/preparf", false, Other),
        ] {
            assert_eq!(named(method, target, copies, false), expected, "{method} {target}");
        }
    }

    #[test]
    fn requests_with_the_bucket_in_the_host() {
        assert_eq!(named("GET", "/", false, true), Operation::ListObjects);
        assert_eq!(named("GET", "/k", false, true), Operation::GetObject);
        assert_eq!(named("PUT", "/a/b", false, true), Operation::PutObject);
        assert_eq!(named("PUT", "/.hipobj-rc/ready", false, true), Operation::PutObject);
    }
}
