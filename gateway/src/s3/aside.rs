//! Owns the headers that are taken out of a request before s3s reads it, since s3s would refuse or change what Amazon
//! S3 takes: conditions (it knows one tag, not lists; it refuses dates that RFC 9110 says to ignore), ranges (it
//! refuses several and bad ones, which are to be ignored), Expires (any text), user metadata (it refuses repeated
//! lines and decodes words). They travel in the request's extensions to the operation.

use http::header::{
    EXPIRES, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, Method};

use super::attributes::METADATA_PREFIX;

/// The headers taken out.
#[derive(Clone, Debug, Default)]
pub(super) struct Aside(HeaderMap);

static READING: [HeaderName; 6] =
    [RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE];

static WRITING: [HeaderName; 9] = [
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    EXPIRES,
    HeaderName::from_static("x-amz-copy-source-if-match"),
    HeaderName::from_static("x-amz-copy-source-if-none-match"),
    HeaderName::from_static("x-amz-copy-source-if-modified-since"),
    HeaderName::from_static("x-amz-copy-source-if-unmodified-since"),
];

impl Aside {
    /// Moves the headers from the request to its extensions.
    pub(super) fn set(parts: &mut Parts) {
        let mut aside = HeaderMap::new();
        let reads = parts.method == Method::GET || parts.method == Method::HEAD;
        for name in if reads { &READING[..] } else { &WRITING[..] } {
            shift(&mut parts.headers, &mut aside, name);
        }
        if !reads {
            let is_metadata = |name: &&HeaderName| name.as_str().starts_with(METADATA_PREFIX);
            let metadata: Vec<HeaderName> =
                parts.headers.keys().filter(is_metadata).cloned().collect();
            for name in metadata {
                shift(&mut parts.headers, &mut aside, &name);
            }
        }
        if !aside.is_empty() {
            parts.extensions.insert(Self(aside));
        }
    }

    /// The headers, before the operation takes them.
    pub(super) fn look(extensions: &Extensions) -> Option<&HeaderMap> {
        extensions.get::<Self>().map(|aside| &aside.0)
    }

    /// The headers, in the operation.
    pub(super) fn take(extensions: &mut Extensions) -> HeaderMap {
        extensions.remove::<Self>().unwrap_or_default().0
    }

    /// Undoes [`Self::take`].
    pub(super) fn give_back(extensions: &mut Extensions, headers: HeaderMap) {
        extensions.insert(Self(headers));
    }
}

fn shift(from: &mut HeaderMap, to: &mut HeaderMap, name: &HeaderName) {
    for value in from.get_all(name) {
        to.append(name, value.clone());
    }
    from.remove(name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn what_s3s_would_misread_is_moved_with_all_its_lines() {
        let request = Request::put("/b/k")
            .header("x-amz-meta-a", "1")
            .header("x-amz-meta-a", "2")
            .header("expires", "0")
            .header("if-match", "\"a\", \"b\"")
            .header("content-type", "text/plain")
            .body(());
        let (mut parts, ()) = request.unwrap().into_parts();
        Aside::set(&mut parts);
        assert_eq!(parts.headers.len(), 1);
        let aside = Aside::take(&mut parts.extensions);
        assert_eq!(aside.get_all("x-amz-meta-a").iter().count(), 2);
        assert_eq!(aside["expires"], "0");
        assert!(Aside::take(&mut parts.extensions).is_empty());

        let request =
            Request::get("/b/k").header("range", "bytes=0-1,3-4").header("accept", "*/*").body(());
        let (mut parts, ()) = request.unwrap().into_parts();
        Aside::set(&mut parts);
        assert_eq!(Aside::take(&mut parts.extensions)["range"], "bytes=0-1,3-4");
        assert!(parts.headers.contains_key("accept"));
    }
}
