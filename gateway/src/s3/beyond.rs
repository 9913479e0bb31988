//! Owns the operations of S3 that s3s does not know: which requests they are, how those name their bucket and key, and
//! that they are let in like all others.
//!
//! Not here: what they do (`rename`, `form`).

use http::request::Parts;
use http::{Method, Response};
use s3s::{Body, HttpResponse};

use super::access::{Entry, Target};
use super::form::{self, FormRefusal};
use super::names::{check_key, names_object, parameter_names};
use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use super::rename;
use crate::auth::decode_percent;
use crate::record::Laps;

/// The operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beyond {
    /// `PUT /bucket/key?renameObject`
    Rename,
    /// `POST /bucket` with a form
    Form,
}

/// Their names in the API reference.
#[cfg(test)]
pub(super) const NAMES: [&str; 2] = ["PostObject", "RenameObject"];

impl Beyond {
    /// Which of them a request is, if it is one. `in_host` tells that the host names the bucket.
    pub(super) fn of(parts: &Parts, in_host: bool) -> Option<Self> {
        if parts.method == Method::PUT {
            let renames = |query| parameter_names(query).any(|name| name == "renameObject");
            let is_rename =
                parts.uri.query().is_some_and(renames) && names_object(parts.uri.path(), in_host);
            return is_rename.then_some(Self::Rename);
        }
        (parts.method == Method::POST && form::is_form(&parts.headers)).then_some(Self::Form)
    }

    /// Answers a request. `in_host` is the bucket that the host names.
    ///
    /// # Errors
    /// Those of the operation; AccessDenied.
    pub(super) async fn answer(
        self,
        operations: &Operations,
        mut parts: Parts,
        body: Body,
        in_host: Option<String>,
    ) -> Outcome<HttpResponse> {
        let (bucket, key) = address(&parts, in_host)?;
        match (self, key) {
            (Self::Rename, Some(key)) => {
                drop(body);
                rename_object(operations, &mut parts, &bucket, &key).await
            }
            (Self::Form, None) => form::answer(operations, parts, body, bucket).await,
            (Self::Rename, None) | (Self::Form, Some(_)) => {
                Err(Refusal::Form(FormRefusal::NotHere))
            }
        }
    }
}

/// The bucket and the key, if any.
///
/// # Errors
/// InvalidURI for a path that is no UTF-8; KeyTooLong.
fn address(parts: &Parts, in_host: Option<String>) -> Outcome<(String, Option<String>)> {
    let path = parts.uri.path().strip_prefix('/').unwrap_or_default();
    let (bucket, key) = match in_host {
        Some(bucket) => (bucket.to_ascii_lowercase(), path),
        None => {
            let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
            (bucket.to_owned(), key)
        }
    };
    if key.is_empty() {
        return Ok((bucket, None));
    }
    let key = String::from_utf8(decode_percent(key.as_bytes()))
        .map_err(|_| Refusal::InvalidUri("the key is not UTF-8"))?;
    check_key(&key)?;
    Ok((bucket, Some(key)))
}

async fn rename_object(
    operations: &Operations,
    parts: &mut Parts,
    bucket: &str,
    key: &str,
) -> Outcome<HttpResponse> {
    let mut laps = Laps::begin(&parts.extensions);
    let entry = Entry {
        operation: "RenameObject",
        bucket: Some(bucket),
        key: Some(key),
        uri: &parts.uri,
        headers: &parts.headers,
    };
    operations.enter(&entry, &mut parts.extensions)?;
    let from = rename::source(&parts.headers, bucket, key)?;
    // What is moved away is read there and is there no longer.
    for action in ["s3:GetObject", "s3:DeleteObject"] {
        let target = Target { bucket, key: Some(&from), version: None };
        operations.authorize(&parts.extensions, action, target)?;
    }
    let keys = (&*from, key);
    let (extensions, headers) = (&parts.extensions, &parts.headers);
    rename::rename(operations, extensions, headers, bucket, keys, &mut laps).await?;
    Ok(Response::new(Body::empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(method: &str, uri: &str) -> Parts {
        let request = Request::builder().method(method).uri(uri);
        let request = request.header("content-type", "multipart/form-data; boundary=x").body(());
        request.unwrap().into_parts().0
    }

    #[test]
    fn what_s3s_does_not_know_is_found() {
        let of = |method, uri, in_host| Beyond::of(&parts(method, uri), in_host);
        assert_eq!(of("PUT", "/b/k?renameObject", false), Some(Beyond::Rename));
        assert_eq!(of("PUT", "/k?x=1&renameObject=", true), Some(Beyond::Rename));
        assert_eq!(of("POST", "/b", false), Some(Beyond::Form));
        assert_eq!(of("PUT", "/b?renameObject", false), None);
        assert_eq!(of("GET", "/b/k?renameObject", false), None);
        assert_eq!(of("PUT", "/b/k?prefix=renameObject", false), None);
    }

    #[test]
    fn the_path_or_the_host_names_the_bucket() {
        let of = |uri, host: Option<&str>| address(&parts("PUT", uri), host.map(str::to_owned));
        let key = |key: &str| Some(key.to_owned());
        assert_eq!(of("/b/a%2Fb%20c/d", None).unwrap(), ("b".to_owned(), key("a/b c/d")));
        assert_eq!(of("/a/b", Some("Media")).unwrap(), ("media".to_owned(), key("a/b")));
        assert_eq!(of("/b/", None).unwrap(), ("b".to_owned(), None));
        assert_eq!(of("/", Some("b")).unwrap(), ("b".to_owned(), None));
        assert!(matches!(of("/b/%ff", None), Err(Refusal::InvalidUri(_))));
    }
}
