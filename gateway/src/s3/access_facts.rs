//! Owns what conditions of policies can ask of a request: the condition keys of Amazon S3 and the global ones, each
//! made when a policy asks for it, from the request as the door left it ("Actions, resources, and condition keys for
//! Amazon S3", "AWS global condition context keys").
//!
//! Not here: keys that tell of the caller (`aws:username` and the like), which `crate::iam` answers from the caller.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{REFERER, USER_AGENT};
use http::{Extensions, HeaderMap, Uri};

use super::access::Entry;
use super::aside::Aside;
use super::http_date;
use super::tags::Tags;
use crate::auth::decode_percent;
use crate::iam::Caller;
use crate::iam::policy::{Context, Values};
use crate::record::AccountSlot;
use crate::tls::Secured;

/// What is told of a request that was signed by its query, in its extensions: that it was, and when, in seconds since
/// 1970.
#[derive(Clone, Copy, Debug)]
pub struct Presigned {
    /// When.
    pub at: u64,
}

impl Presigned {
    /// Of the target as it was sent, with `X-Amz-Date` such as `20260102T030405Z`.
    pub fn of(uri: &Uri) -> Self {
        let date = parameter(uri, "X-Amz-Date").unwrap_or_default();
        let part = |range| date.get(range).unwrap_or_default();
        let (day, time) = ([part(0..4), part(4..6), part(6..8)], [part(9..11), part(11..13)]);
        let iso = format!("{}T{}:{}", day.join("-"), time.join(":"), part(13..16));
        Self { at: http_date::of_iso(&iso).unwrap_or_default().as_secs() }
    }
}

/// How a request was signed.
#[derive(Clone, Copy, Debug, Default)]
enum Signed {
    #[default]
    Not,
    Header,
    Query(u64),
}

/// What a request says besides its target. Kept with a request whose operation asks again later.
#[derive(Clone, Debug, Default)]
pub(super) struct Scene {
    operation: Box<str>,
    /// The key that it is about.
    pub(super) key: Option<Box<str>>,
    uri: Uri,
    headers: HeaderMap,
    aside: HeaderMap,
    peer: Option<IpAddr>,
    is_secure: bool,
    signed: Signed,
}

impl Scene {
    /// All that a request says.
    pub(super) fn of(entry: &Entry<'_>, extensions: &Extensions) -> Self {
        let account = extensions.get::<AccountSlot>().map(AccountSlot::account);
        Self {
            operation: entry.operation.into(),
            key: entry.key.map(Box::from),
            uri: entry.uri.clone(),
            headers: entry.headers.clone(),
            aside: Aside::look(extensions).cloned().unwrap_or_default(),
            peer: account.and_then(|account| account.asked.peer),
            is_secure: extensions.get::<Secured>().is_some(),
            signed: match extensions.get::<Caller>() {
                Some(Caller::Principal(_)) => {
                    let presigned = extensions.get::<Presigned>();
                    presigned.map_or(Signed::Header, |presigned| Signed::Query(presigned.at))
                }
                Some(Caller::Anonymous) | None => Signed::Not,
            },
        }
    }

    /// Whether it wants retentions in governance mode not to count.
    pub(super) fn bypasses(&self) -> bool {
        let value = self.headers.get("x-amz-bypass-governance-retention");
        value.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
    }

    /// The value of a query parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        parameter(&self.uri, name)
    }
}

/// The value of a query parameter, decoded; the first of several.
pub(super) fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let pairs = uri.query()?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.into_iter().find(|(found, _)| *found == name)?;
    let decoded = decode_percent(value.replace('+', " ").as_bytes());
    Some(String::from_utf8_lossy(&decoded).into_owned())
}

/// The facts of a request about one target.
pub(super) struct Facts<'a> {
    pub(super) scene: &'a Scene,
    /// The endpoint's region.
    pub(super) region: &'a str,
    /// The number of the account that owns the bucket.
    pub(super) owner_number: Option<&'a str>,
    /// The version that is asked for, where that is not in the query.
    pub(super) version: Option<&'a str>,
    /// The tags of the object as it is, as its row keeps them: read when asked for.
    pub(super) existing_tags: &'a dyn Fn() -> Option<Bytes>,
    /// The tags that the request gives, where they are in no header.
    pub(super) given_tags: Option<&'a Tags>,
    /// [`Self::existing_tags`], once.
    pub(super) read_tags: OnceCell<Option<Tags>>,
}

impl<'a> Facts<'a> {
    /// Facts about nothing but the request itself.
    pub(super) fn new(scene: &'a Scene, region: &'a str) -> Self {
        Self {
            scene,
            region,
            owner_number: None,
            version: None,
            existing_tags: &|| None,
            given_tags: None,
            read_tags: OnceCell::new(),
        }
    }

    fn header(&self, name: &str) -> Option<Values<'_>> {
        let value = self.scene.headers.get(name).or_else(|| self.scene.aside.get(name))?;
        Some(one(String::from_utf8_lossy(value.as_bytes())))
    }

    fn parameter(&self, name: &str) -> Option<Values<'_>> {
        self.scene.parameter(name).map(|value| one(Cow::Owned(value)))
    }

    fn existing_tag(&self, key: &str) -> Option<Values<'_>> {
        let read = || Tags::decode(&(self.existing_tags)()?).ok();
        let tags = self.read_tags.get_or_init(read).as_ref()?;
        tag(tags, key)
    }

    fn tags_of_header(&self) -> Option<Tags> {
        Tags::of_header(self.scene.headers.get("x-amz-tagging")?).ok()
    }

    fn given_tag(&self, key: &str) -> Option<Values<'_>> {
        if let Some(tags) = self.given_tags {
            return tag(tags, key);
        }
        let tags = self.tags_of_header()?;
        let value = tags.iter().find(|(name, _)| *name == key)?.1.to_owned();
        Some(one(Cow::Owned(value)))
    }

    fn given_keys(&self) -> Option<Values<'_>> {
        let keys = |tags: &Tags| {
            let keys = tags.iter().map(|(key, _)| Cow::Owned(key.to_owned()));
            Values::Many(keys.collect())
        };
        match self.given_tags {
            Some(tags) => Some(keys(tags)),
            None => Some(keys(&self.tags_of_header()?)),
        }
    }

    fn global(&self, key: &str) -> Option<Values<'_>> {
        Some(match key {
            "sourceip" => one(Cow::Owned(self.scene.peer?.to_canonical().to_string())),
            "securetransport" => flag(self.scene.is_secure),
            "useragent" => return self.header(USER_AGENT.as_str()),
            "referer" => return self.header(REFERER.as_str()),
            "currenttime" => one(Cow::Owned(http_date::iso(since_1970()))),
            "epochtime" => one(Cow::Owned(since_1970().as_secs().to_string())),
            "requestedregion" => one(Cow::Borrowed(self.region)),
            "resourceaccount" => one(Cow::Borrowed(self.owner_number?)),
            _ => return None,
        })
    }

    fn of_s3(&self, key: &str) -> Option<Values<'_>> {
        Some(match key {
            "prefix" | "delimiter" | "max-keys" => return self.parameter(key),
            "versionid" => match self.version {
                Some(version) => one(Cow::Borrowed(version)),
                None => return self.parameter("versionId"),
            },
            "requestobjecttagkeys" => return self.given_keys(),
            "resourceaccount" => one(Cow::Borrowed(self.owner_number?)),
            "authtype" => one(Cow::Borrowed(match self.scene.signed {
                Signed::Not => return None,
                Signed::Header if &*self.scene.operation == "PostObject" => "POST",
                Signed::Header => "REST-HEADER",
                Signed::Query(_) => "REST-QUERY-STRING",
            })),
            "signatureversion" => match self.scene.signed {
                Signed::Not => return None,
                Signed::Header | Signed::Query(_) => one(Cow::Borrowed("AWS4-HMAC-SHA256")),
            },
            "signatureage" => match self.scene.signed {
                // Others are signed when they are sent.
                Signed::Not | Signed::Header => return None,
                Signed::Query(at) => {
                    let age = since_1970().saturating_sub(Duration::from_secs(at));
                    one(Cow::Owned(age.as_millis().to_string()))
                }
            },
            "object-lock-mode" => return self.header("x-amz-object-lock-mode"),
            "object-lock-legal-hold" => return self.header("x-amz-object-lock-legal-hold"),
            "object-lock-retain-until-date" => {
                return self.header("x-amz-object-lock-retain-until-date");
            }
            "object-lock-remaining-retention-days" => one(Cow::Owned(self.remaining_days()?)),
            "if-match" | "if-none-match" => return self.header(key),
            "objectcreationoperation" => flag(matches!(
                &*self.scene.operation,
                "PutObject" | "CopyObject" | "CompleteMultipartUpload" | "PostObject"
            )),
            _ if key.starts_with("x-amz-") => return self.header(key),
            _ => return None,
        })
    }

    fn remaining_days(&self) -> Option<String> {
        let until = self.scene.headers.get("x-amz-object-lock-retain-until-date")?;
        let left = http_date::of_iso(until.to_str().ok()?)?.saturating_sub(since_1970());
        Some(left.as_secs().div_ceil(86_400).to_string())
    }
}

fn one(value: Cow<'_, str>) -> Values<'_> {
    Values::One(value)
}

fn flag<'a>(on: bool) -> Values<'a> {
    one(Cow::Borrowed(if on { "true" } else { "false" }))
}

fn tag<'a>(tags: &'a Tags, key: &str) -> Option<Values<'a>> {
    tags.iter().find(|(name, _)| *name == key).map(|(_, value)| one(Cow::Borrowed(value)))
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Context for Facts<'_> {
    fn value(&self, key: &str) -> Option<Values<'_>> {
        let (prefix, name) = key.split_once(':')?;
        if let Some((family, tag)) = name.split_once('/') {
            return match () {
                () if !prefix.eq_ignore_ascii_case("s3") => None,
                () if family.eq_ignore_ascii_case("ExistingObjectTag") => self.existing_tag(tag),
                () if family.eq_ignore_ascii_case("RequestObjectTag") => self.given_tag(tag),
                () => None,
            };
        }
        let name = name.to_ascii_lowercase();
        if prefix.eq_ignore_ascii_case("aws") {
            self.global(&name)
        } else if prefix.eq_ignore_ascii_case("s3") {
            self.of_s3(&name)
        } else if prefix.eq_ignore_ascii_case("s3express") && name == "sessionmode" {
            let mode = self.header("x-amz-create-session-mode");
            Some(mode.unwrap_or_else(|| one(Cow::Borrowed("ReadWrite"))))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn asked(uri: &'static str, pairs: &[(&'static str, &'static str)]) -> Scene {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Scene { uri: Uri::from_static(uri), headers: pairs.collect(), ..Scene::default() }
    }

    fn value(scene: &Scene, key: &str) -> Option<String> {
        let facts = Facts {
            owner_number: Some("123456789012"),
            existing_tags: &|| {
                let tags = Tags::of_header(&HeaderValue::from_static("Project=blue")).unwrap();
                Some(tags.encode())
            },
            ..Facts::new(scene, "us-east-1")
        };
        match facts.value(key)? {
            Values::One(value) => Some(value.into_owned()),
            Values::Many(values) => Some(values.join(",")),
        }
    }

    #[test]
    fn keys_are_found_in_any_case_and_are_absent_where_nothing_is_said() {
        let scene = asked("/b?list-type=2&prefix=a%2Fb+c&max-keys=7", &[("referer", "http://x/")]);
        for (key, expected) in [
            ("s3:prefix", Some("a/b c")),
            ("S3:Max-Keys", Some("7")),
            ("s3:delimiter", None),
            ("aws:Referer", Some("http://x/")),
            ("aws:UserAgent", None),
            ("aws:SecureTransport", Some("false")),
            ("aws:RequestedRegion", Some("us-east-1")),
            ("s3:ResourceAccount", Some("123456789012")),
            ("aws:SourceIp", None),
            ("s3:x-amz-acl", None),
            ("s3:authType", None),
            ("ec2:prefix", None),
            ("prefix", None),
        ] {
            assert_eq!(value(&scene, key).as_deref(), expected, "{key}");
        }
    }

    #[test]
    fn tags_are_those_that_are_there_and_those_that_are_given() {
        let scene = asked("/b/k", &[("x-amz-tagging", "a=1&Project=red")]);
        for (key, expected) in [
            ("s3:ExistingObjectTag/Project", Some("blue")),
            ("s3:existingobjecttag/Project", Some("blue")),
            ("s3:ExistingObjectTag/project", None),
            ("s3:RequestObjectTag/Project", Some("red")),
            ("s3:RequestObjectTagKeys", Some("a,Project")),
            ("aws:RequestObjectTag/a", None),
        ] {
            assert_eq!(value(&scene, key).as_deref(), expected, "{key}");
        }
    }

    #[test]
    fn a_presigned_request_has_an_age() {
        let at = Presigned::of(&Uri::from_static("/b/k?X-Amz-Date=20130524T000000Z")).at;
        assert_eq!(at, 1_369_353_600);
        let scene = Scene { signed: Signed::Query(at), ..Scene::default() };
        assert_eq!(value(&scene, "s3:authType").as_deref(), Some("REST-QUERY-STRING"));
        let age: u128 = value(&scene, "s3:signatureAge").unwrap().parse().unwrap();
        assert!(age > 400_000_000_000, "more than 12 years: {age}");
        assert_eq!(value(&Scene { signed: Signed::Header, ..scene }, "s3:signatureAge"), None);
    }
}
