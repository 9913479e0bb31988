//! What is configured of event notifications, resolved, checked and typed.
//!
//! Not here: delivery (`crate::notify`), the keys' own documentation (`keys.rs`).

use std::path::PathBuf;

use http::Uri;

use super::keys;
use super::plan::{Parsed, Reader, bytes, path, wrong};
use crate::limits;

/// What is configured of event notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsPlan {
    /// Whom buckets may name.
    pub targets: Vec<EventTarget>,
    /// Bytes of events that wait for one target.
    pub queue_bytes: usize,
    /// File of authorities for webhooks over TLS; `None` for the system's.
    pub ca: Option<PathBuf>,
}

/// Somebody who can be told of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTarget {
    /// Its name, the last part of its ARN.
    pub name: Box<str>,
    /// Where it is.
    pub place: EventPlace,
}

/// Where a target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventPlace {
    /// A file, appended to.
    File(PathBuf),
    /// A URL that events are posted to.
    Webhook(Uri),
}

impl Reader<'_> {
    /// The keys of event notifications; `None` says that a finding was kept.
    pub(super) fn events(&mut self) -> Option<EventsPlan> {
        let targets = self.many(&keys::EVENTS_TARGETS, limits::EVENTS_TARGETS_MAX, target);
        let most = limits::EVENTS_QUEUE_BYTES_MAX;
        let queue = self.one(&keys::EVENTS_QUEUE, bytes(limits::EVENTS_QUEUE_BYTES_MIN, most));
        let ca = self.optional(&keys::EVENTS_CA, path);
        let targets = targets?;
        for (index, target) in targets.iter().enumerate() {
            if targets[..index].iter().any(|other| other.name == target.name) {
                let problem = "two targets have the same name";
                let remedy = "give each target a name of its own";
                self.fault(&keys::EVENTS_TARGETS, Some(target.name.to_string()), problem, remedy);
                return None;
            }
        }
        Some(EventsPlan { targets, queue_bytes: usize::try_from(queue?).ok()?, ca: ca? })
    }
}

const REMEDY: &str = "write NAME=file:/PATH, NAME=http://HOST:PORT/PATH or NAME=https://HOST/PATH, \
                      for example audit=file:/var/log/penstock/events.jsonl";

fn target(text: &str) -> Parsed<EventTarget> {
    let Some((name, place)) = text.trim().split_once('=') else {
        return wrong("not a name and a place", REMEDY);
    };
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.is_empty() || name.len() > limits::EVENTS_NAME_BYTES_MAX || !name.bytes().all(fine) {
        return wrong(
            "not a name of a target",
            "name it with up to 64 letters, digits, hyphens and underscores",
        );
    }
    let place = match place.strip_prefix("file:") {
        Some(path) if path.starts_with('/') && !path.contains('\0') => {
            EventPlace::File(path.into())
        }
        Some(_) => return wrong("not an absolute path", REMEDY),
        None => EventPlace::Webhook(url(place)?),
    };
    Ok(EventTarget { name: name.into(), place })
}

fn url(text: &str) -> Parsed<Uri> {
    let Ok(uri) = text.parse::<Uri>() else {
        return wrong("not a URL", REMEDY);
    };
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
            wrong("a URL with a user's name", "put what the webhook wants to see into its path")
        }
        (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => Ok(uri),
        _ => wrong("neither a file nor a URL of http or https", REMEDY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_files_and_webhooks() {
        let place = |text| target(text).map(|target| target.place).ok();
        assert_eq!(place("a=file:/x/y=z"), Some(EventPlace::File("/x/y=z".into())));
        assert_eq!(
            place("a-b_1=https://h/p?k=v"),
            Some(EventPlace::Webhook(Uri::from_static("https://h/p?k=v")))
        );
        for text in [
            "",
            "a",
            "=file:/x",
            "a b=file:/x",
            "a=file:x",
            "a=ftp://h/",
            "a=http://u@h/",
            "a=http:///p",
            "a=/x",
        ] {
            assert_eq!(place(text), None, "{text}");
        }
    }
}
