//! What of a request's target may be shown: everything but what lets somebody in.
//!
//! Owns: which query parameters are credentials. A presigned URL's signature lets everybody do what
//! it was made for until it expires; key ids and tokens go with it. A `Referer`, or a key into
//! which a whole URL was pasted, may hold one too.

use std::borrow::Cow;

use crate::auth::decode_percent;

/// What stands for a hidden value.
pub const HIDDEN: &str = "REDACTED";

/// Parts of names of parameters whose values are hidden, in lower case.
const NAMES: [&str; 8] = [
    "signature",
    "credential",
    "security-token",
    "session-token",
    "sessiontoken",
    "accesskey",
    "secret",
    "password",
];

/// Whole names of such parameters.
const WHOLE_NAMES: [&str; 6] = ["policy", "sig", "token", "access_token", "authorization", "jwt"];

/// What a text does not have unless somebody's credentials are in it, in lower case.
const MARKS: [&str; 5] =
    ["x-amz-signature", "x-amz-credential", "x-amz-security-token", "signature=", "awsaccesskeyid"];

/// A query, with the values of credentials hidden. Borrowed where there are none.
pub fn query(query: &str) -> Cow<'_, str> {
    if !query.split('&').any(hides) {
        return Cow::Borrowed(query);
    }
    let mut shown = String::with_capacity(query.len());
    for (index, pair) in query.split('&').enumerate() {
        if index > 0 {
            shown.push('&');
        }
        match pair.split_once('=') {
            _ if !hides(pair) => shown.push_str(pair),
            Some((name, _)) if !is_marked(name) || is_plain(name) => {
                shown.push_str(name);
                shown.push('=');
                shown.push_str(HIDDEN);
            }
            _ => shown.push_str(HIDDEN),
        }
    }
    Cow::Owned(shown)
}

/// A path or a key. One that has a presigned URL's parameters in it is not shown at all.
pub fn path(path: &str) -> &str {
    match is_marked(path) {
        true => HIDDEN,
        false => path,
    }
}

/// A URL, such as a `Referer`: its query with credentials hidden, its user's name and password left
/// out. The fragment is part of the query here.
pub fn url(url: &str) -> Cow<'_, str> {
    let (front, queried) = match url.split_once('?') {
        Some((front, queried)) => (front, Some(queried)),
        None => (url, None),
    };
    let named = front.split_once("://").and_then(|(scheme, rest)| {
        let host = rest.split('/').next().unwrap_or_default();
        let name = host.rfind('@')?;
        Some(format!("{scheme}://{}", &rest[name + 1..]))
    });
    let shown = queried.map(query);
    if named.is_none() && matches!(shown, None | Some(Cow::Borrowed(_))) && path(front) == front {
        return Cow::Borrowed(url);
    }
    let mut whole = named.unwrap_or_else(|| path(front).to_owned());
    if let Some(shown) = shown {
        whole.push('?');
        whole.push_str(&shown);
    }
    Cow::Owned(whole)
}

/// Whether the value of a parameter is hidden: by its name, or by what the value is.
fn hides(pair: &str) -> bool {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    let name = lowered(name);
    let secret = NAMES.iter().any(|part| name.contains(part))
        || WHOLE_NAMES.iter().any(|whole| name == *whole);
    // A name alone, such as `?policy`, is a subresource and no secret.
    (secret && (!value.is_empty() || name.contains('='))) || is_marked(value)
}

fn is_marked(text: &str) -> bool {
    if text.len() < MARKS[3].len() {
        return false;
    }
    let text = lowered(text);
    MARKS.iter().any(|mark| text.contains(mark))
}

/// A name without anything encoded in it is a name and nothing else.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Percent-encoding resolved, in lower case.
fn lowered(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%' || byte.is_ascii_uppercase()) {
        return Cow::Borrowed(text);
    }
    let decoded = decode_percent(text.as_bytes());
    Cow::Owned(String::from_utf8_lossy(&decoded).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_a_query_are_hidden_and_the_rest_is_not() {
        for (given, shown) in [
            ("list-type=2&prefix=a%2Fb", "list-type=2&prefix=a%2Fb"),
            ("uploads", "uploads"),
            ("policy", "policy"),
            ("X-Amz-Signature=abc&partNumber=3", "X-Amz-Signature=REDACTED&partNumber=3"),
            ("x-amz-credential=A%2Fb&x=1", "x-amz-credential=REDACTED&x=1"),
            ("X-Amz-Security-Token=t", "X-Amz-Security-Token=REDACTED"),
            (
                "AWSAccessKeyId=A&Signature=b&Expires=1",
                "AWSAccessKeyId=REDACTED&Signature=REDACTED&Expires=1",
            ),
            ("policy=eyJ9", "policy=REDACTED"),
            ("X%2DAmz%2DSignature=abc", "REDACTED"),
            ("X-Amz-Signature%3Dabc", "REDACTED"),
            ("a=1;X-Amz-Signature=abc", "a=REDACTED"),
            ("url=https%3A%2F%2Fh%2F%3FX-Amz-Signature%3Dabc", "url=REDACTED"),
            ("continuation-token=abc", "continuation-token=abc"),
            ("", ""),
        ] {
            assert_eq!(query(given), shown, "{given}");
        }
    }

    #[test]
    fn urls_lose_names_and_signatures() {
        for (given, shown) in [
            ("https://h/p?a=1", "https://h/p?a=1"),
            ("https://u:p@h/p?a=1", "https://h/p?a=1"),
            ("https://h/p?Signature=x#f", "https://h/p?Signature=REDACTED"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(url(given), shown, "{given}");
        }
        assert_eq!(path("/b/k%3FX-Amz-Signature=abc"), HIDDEN);
        assert_eq!(path("/b/signatures/1"), "/b/signatures/1");
    }
}
