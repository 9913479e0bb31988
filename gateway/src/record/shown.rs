//! What logs and traces show of a request's texts: credentials hidden, long ones cut off.
//!
//! Limits: `LOGGED_FIELD_BYTES_MAX`, `LOGGED_TARGET_BYTES_MAX`.
//! *Not here*: what a credential is (`redacted.rs`).

use std::borrow::Cow;

use http::{HeaderValue, Version};

use super::account::{Account, Asked};
use super::redacted;
use crate::limits;

/// What a client says of itself, in one header.
pub(crate) fn field(value: &HeaderValue) -> &[u8] {
    let bytes = value.as_bytes();
    &bytes[..bytes.len().min(limits::LOGGED_FIELD_BYTES_MAX)]
}

/// The referrer. One that is not ASCII is not a URL and is not shown: nobody could say what of it
/// is a credential.
pub(crate) fn referer(asked: &Asked) -> Option<Cow<'_, str>> {
    let value = asked.referer.as_ref()?;
    let shown = value.to_str().map_or(Cow::Borrowed(redacted::HIDDEN), redacted::url);
    Some(cut(shown, limits::LOGGED_FIELD_BYTES_MAX))
}

/// Path and query of the target, credentials hidden.
pub(crate) fn target(asked: &Asked) -> Cow<'_, str> {
    let path = redacted::path(asked.uri.path());
    let target = match asked.uri.query() {
        None => Cow::Borrowed(path),
        Some(query) => Cow::Owned(format!("{path}?{}", redacted::query(query))),
    };
    cut(target, limits::LOGGED_TARGET_BYTES_MAX)
}

/// The path of the target, credentials hidden.
pub(crate) fn path(asked: &Asked) -> Cow<'_, str> {
    cut(Cow::Borrowed(redacted::path(asked.uri.path())), limits::LOGGED_TARGET_BYTES_MAX)
}

/// The query of the target, credentials hidden.
pub(crate) fn query(asked: &Asked) -> Option<Cow<'_, str>> {
    let query = asked.uri.query().map(redacted::query)?;
    Some(cut(query, limits::LOGGED_TARGET_BYTES_MAX))
}

/// A parameter of the query by its exact name, which is none whose value is hidden.
pub(crate) fn parameter<'a>(asked: &'a Asked, name: &str) -> Option<&'a str> {
    let mut pairs = asked.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(found, _)| *found == name)?;
    Some(&value[..value.floor_char_boundary(limits::LOGGED_FIELD_BYTES_MAX)])
}

/// The key as it was sent, unless there are credentials in it.
pub(crate) fn key(account: &Account) -> Option<Cow<'_, str>> {
    let shown = redacted::path(account.key()?);
    Some(cut(Cow::Borrowed(shown), limits::LOGGED_TARGET_BYTES_MAX))
}

/// The bucket, or what stands in its place: a path's first part may be anything.
pub(crate) fn bucket(account: &Account) -> Option<Cow<'_, str>> {
    let shown = redacted::path(account.bucket()?);
    Some(cut(Cow::Borrowed(shown), limits::LOGGED_FIELD_BYTES_MAX))
}

/// The host that was asked for.
pub(crate) fn host(asked: &Asked) -> Option<Cow<'_, str>> {
    let host = asked.host()?;
    // An authority may have a user's name and password before its host.
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    Some(cut(Cow::Borrowed(host), limits::LOGGED_FIELD_BYTES_MAX))
}

/// `HTTP/1.1`.
pub(crate) fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/3.0",
    }
}

fn cut(text: Cow<'_, str>, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text;
    }
    let end = text.floor_char_boundary(most);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut(Cow::Borrowed("aé"), 2), "a");
        assert_eq!(cut(Cow::Owned("abc".into()), 2), "ab");
        assert_eq!(cut(Cow::Borrowed("abc"), 3), "abc");
    }
}
