//! What a bucket's lifecycle configuration says of one object, version, delete marker or upload, and when. Amazon S3
//! user guide, "Lifecycle configuration elements".
//!
//! Pure: the time, the length of a day and what is judged come in as values.
//! Not here: what a configuration may say (`s3/lifecycle.rs`), who acts on it (`sweep.rs`, `worker.rs`).

use s3s::dto::{BucketLifecycleConfiguration, LifecycleRule, LifecycleRuleFilter, Tag};

use super::calendar::Calendar;

/// A bucket's rules, but for those that are disabled.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    id: Box<str>,
    filter: Filter,
    expiration: Option<Expiration>,
    noncurrent: Option<Noncurrent>,
    abort_days: Option<u32>,
}

/// When current versions expire.
#[derive(Debug)]
enum Expiration {
    Days(u32),
    /// Milliseconds of the epoch.
    Date(u64),
    /// Only delete markers with nothing behind them.
    Markers,
}

/// When versions that have been replaced expire.
#[derive(Debug)]
struct Noncurrent {
    days: u32,
    /// So many of them, the newest, are kept in any case.
    keep: u32,
}

/// Which objects a rule is for.
#[derive(Debug, Default)]
struct Filter {
    prefix: Box<[u8]>,
    tags: Vec<(Box<str>, Box<str>)>,
    larger_than: Option<u64>,
    smaller_than: Option<u64>,
}

/// What a rule is asked about.
pub struct Subject<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Bytes of its content, as its client sees them.
    pub size: u64,
    /// Whether it carries a tag: key, value.
    pub has_tag: &'a dyn Fn(&str, &str) -> bool,
}

/// What happens to something, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due<'a> {
    /// From when on, in milliseconds of the epoch.
    pub at_ms: u64,
    /// The rule's ID.
    pub rule: &'a str,
}

impl Rules {
    /// The enabled rules of a configuration that has been found good.
    pub fn of(configuration: &BucketLifecycleConfiguration) -> Rules {
        let enabled = configuration.rules.iter().filter(|rule| rule.status.as_str() == "Enabled");
        Rules { rules: enabled.map(Rule::of).collect() }
    }

    /// Whether any of them does anything here.
    pub fn is_idle(&self) -> bool {
        let acts = |rule: &Rule| rule.acts_on_versions() || rule.abort_days.is_some();
        !self.rules.iter().any(acts)
    }

    /// What all keys begin with that rules on objects are for; none where no rule is.
    pub fn versions_prefix(&self) -> Option<&[u8]> {
        common_prefix(self.rules.iter().filter(|rule| rule.acts_on_versions()))
    }

    /// The same of rules on uploads.
    pub fn uploads_prefix(&self) -> Option<&[u8]> {
        common_prefix(self.rules.iter().filter(|rule| rule.abort_days.is_some()))
    }

    /// When a current version that was made at a time expires; the earliest where several rules are for it.
    pub fn expiration(
        &self,
        subject: &Subject<'_>,
        modified_ms: u64,
        calendar: &Calendar,
    ) -> Option<Due<'_>> {
        earliest(self.rules.iter().filter_map(|rule| {
            let at_ms = match rule.expiration.as_ref()? {
                Expiration::Days(days) => calendar.after(modified_ms, *days),
                Expiration::Date(date) => *date,
                Expiration::Markers => return None,
            };
            rule.filter.takes(subject).then(|| rule.due(at_ms))
        }))
    }

    /// When a delete marker goes that has no version behind it. Markers have no tags and no size, so a rule that asks
    /// for those is not for them.
    pub fn lone_marker(&self, key: &[u8], made_ms: u64, calendar: &Calendar) -> Option<Due<'_>> {
        earliest(self.rules.iter().filter(|rule| rule.filter.takes_marker(key)).filter_map(
            |rule| {
                let at_ms = match rule.expiration.as_ref()? {
                    Expiration::Days(days) => calendar.after(made_ms, *days),
                    Expiration::Date(date) => *date,
                    Expiration::Markers => made_ms,
                };
                Some(rule.due(at_ms))
            },
        ))
    }

    /// When a version goes that was replaced at `since_ms` and has so many newer ones that were replaced, too. `None` as
    /// the subject is a delete marker.
    pub fn noncurrent(
        &self,
        key: &[u8],
        subject: Option<&Subject<'_>>,
        since_ms: u64,
        newer: u32,
        calendar: &Calendar,
    ) -> Option<Due<'_>> {
        earliest(self.rules.iter().filter_map(|rule| {
            let noncurrent = rule.noncurrent.as_ref().filter(|it| newer >= it.keep)?;
            let takes = match subject {
                Some(subject) => rule.filter.takes(subject),
                None => rule.filter.takes_marker(key),
            };
            takes.then(|| rule.due(calendar.after(since_ms, noncurrent.days)))
        }))
    }

    /// When an upload is aborted that nobody completes.
    pub fn abort(&self, key: &[u8], begun_ms: u64, calendar: &Calendar) -> Option<Due<'_>> {
        earliest(self.rules.iter().filter_map(|rule| {
            let days = rule.abort_days?;
            let takes = key.starts_with(&rule.filter.prefix);
            takes.then(|| rule.due(calendar.after(begun_ms, days)))
        }))
    }
}

impl Rule {
    fn of(rule: &LifecycleRule) -> Rule {
        let positive = |days: i32| u32::try_from(days).unwrap_or(u32::MAX);
        let expiration = rule.expiration.as_ref().and_then(|it| match (it.days, &it.date) {
            (Some(days), _) => Some(Expiration::Days(positive(days))),
            (None, Some(date)) => Some(Expiration::Date(super::calendar::milliseconds(date))),
            (None, None) if it.expired_object_delete_marker == Some(true) => {
                Some(Expiration::Markers)
            }
            (None, None) => None,
        });
        let noncurrent = rule.noncurrent_version_expiration.as_ref().and_then(|it| {
            let keep = it.newer_noncurrent_versions.map_or(0, positive);
            Some(Noncurrent { days: positive(it.noncurrent_days?), keep })
        });
        let abort = rule.abort_incomplete_multipart_upload.as_ref();
        Rule {
            id: rule.id.as_deref().unwrap_or_default().into(),
            filter: Filter::of(rule),
            expiration,
            noncurrent,
            abort_days: abort.and_then(|it| it.days_after_initiation).map(positive),
        }
    }

    fn acts_on_versions(&self) -> bool {
        self.expiration.is_some() || self.noncurrent.is_some()
    }

    fn due(&self, at_ms: u64) -> Due<'_> {
        Due { at_ms, rule: &self.id }
    }
}

impl Filter {
    fn of(rule: &LifecycleRule) -> Filter {
        let mut filter = Filter::default();
        if let Some(prefix) = &rule.prefix {
            filter.prefix = prefix.as_bytes().into();
        }
        let Some(given) = &rule.filter else {
            return filter;
        };
        let LifecycleRuleFilter {
            and,
            object_size_greater_than,
            object_size_less_than,
            prefix,
            tag,
        } = given;
        let size = |size: i64| u64::try_from(size).unwrap_or_default();
        filter.larger_than = object_size_greater_than.map(size);
        filter.smaller_than = object_size_less_than.map(size);
        let mut prefix = prefix.as_ref();
        let mut tags: Vec<&Tag> = tag.iter().collect();
        if let Some(and) = and {
            filter.larger_than = filter.larger_than.or(and.object_size_greater_than.map(size));
            filter.smaller_than = filter.smaller_than.or(and.object_size_less_than.map(size));
            prefix = prefix.or(and.prefix.as_ref());
            tags.extend(and.tags.iter().flatten());
        }
        if let Some(prefix) = prefix {
            filter.prefix = prefix.as_bytes().into();
        }
        let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
        filter.tags = tags.into_iter().map(|tag| (text(&tag.key), text(&tag.value))).collect();
        filter
    }

    fn takes(&self, subject: &Subject<'_>) -> bool {
        subject.key.starts_with(&self.prefix)
            && self.larger_than.is_none_or(|bound| subject.size > bound)
            && self.smaller_than.is_none_or(|bound| subject.size < bound)
            && self.tags.iter().all(|(key, value)| (subject.has_tag)(key, value))
    }

    fn takes_marker(&self, key: &[u8]) -> bool {
        key.starts_with(&self.prefix)
            && self.tags.is_empty()
            && self.larger_than.is_none()
            && self.smaller_than.is_none()
    }
}

fn earliest<'a>(due: impl Iterator<Item = Due<'a>>) -> Option<Due<'a>> {
    due.min_by_key(|due| due.at_ms)
}

fn common_prefix<'a>(rules: impl Iterator<Item = &'a Rule>) -> Option<&'a [u8]> {
    rules.map(|rule| &*rule.filter.prefix).reduce(|common, prefix| {
        let same = common.iter().zip(prefix).take_while(|(a, b)| a == b).count();
        &common[..same]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::calendar::DAY_MS;
    use s3s::xml::{Deserialize, Deserializer};

    fn rules(xml: &str) -> Rules {
        let xml = format!("<LifecycleConfiguration>{xml}</LifecycleConfiguration>");
        let mut reader = Deserializer::new(xml.as_bytes());
        Rules::of(&BucketLifecycleConfiguration::deserialize(&mut reader).unwrap())
    }

    fn rule(id: &str, content: &str) -> String {
        format!("<Rule><ID>{id}</ID><Status>Enabled</Status>{content}</Rule>")
    }

    fn subject<'a>(
        key: &'a str,
        size: u64,
        has_tag: &'a dyn Fn(&str, &str) -> bool,
    ) -> Subject<'a> {
        Subject { key: key.as_bytes(), size, has_tag }
    }

    const DAYS: Calendar = Calendar::DAYS;
    const UNTAGGED: &dyn Fn(&str, &str) -> bool = &|_, _| false;

    #[test]
    fn the_earliest_of_the_rules_for_an_object_counts() {
        let rules = rules(
            &(rule("slow", "<Prefix>a</Prefix><Expiration><Days>9</Days></Expiration>")
                + &rule(
                    "fast",
                    "<Filter><Prefix>ab</Prefix></Filter><Expiration><Days>2</Days></Expiration>",
                )
                + "<Rule><Status>Disabled</Status><Prefix/><Expiration><Days>1</Days></Expiration></Rule>"),
        );
        let due = |key| rules.expiration(&subject(key, 1, UNTAGGED), DAY_MS, &DAYS);
        assert_eq!(due("abc"), Some(Due { at_ms: 3 * DAY_MS, rule: "fast" }));
        assert_eq!(due("ac"), Some(Due { at_ms: 10 * DAY_MS, rule: "slow" }));
        assert_eq!(due("b"), None);
        assert_eq!(rules.versions_prefix(), Some(&b"a"[..]));
        assert_eq!(rules.uploads_prefix(), None);
    }

    #[test]
    fn filters_are_conjunctions() {
        let rules = rules(&rule(
            "r",
            "<Filter><And><Prefix>p/</Prefix><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>b</Key><Value>2</Value>\
             </Tag><ObjectSizeGreaterThan>10</ObjectSizeGreaterThan><ObjectSizeLessThan>20</ObjectSizeLessThan></And>\
             </Filter><Expiration><Date>2020-01-01T00:00:00.000Z</Date></Expiration>",
        ));
        let both = |key: &str, value: &str| [("a", "1"), ("b", "2")].contains(&(key, value));
        let one = |key: &str, value: &str| (key, value) == ("a", "1");
        for (key, size, has_tag, expected) in [
            ("p/x", 11, &both as &dyn Fn(&str, &str) -> bool, true),
            ("p/x", 19, &both, true),
            ("p/x", 10, &both, false),
            ("p/x", 20, &both, false),
            ("p/x", 15, &one, false),
            ("q/x", 15, &both, false),
        ] {
            let due = rules.expiration(&subject(key, size, has_tag), u64::MAX, &DAYS);
            assert_eq!(due.is_some(), expected, "{key} {size}");
            assert!(due.is_none_or(|due| due.at_ms == 1_577_836_800_000));
        }
        assert_eq!(rules.lone_marker(b"p/x", 0, &DAYS), None, "a marker has no tags");
    }

    #[test]
    fn lone_markers_go_at_once_or_by_age() {
        let at_once = rules(&rule(
            "m",
            "<Filter/><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>",
        ));
        assert_eq!(at_once.lone_marker(b"k", 7, &DAYS), Some(Due { at_ms: 7, rule: "m" }));
        assert_eq!(at_once.expiration(&subject("k", 1, UNTAGGED), 0, &DAYS), None);
        let by_age = rules(&rule("d", "<Filter/><Expiration><Days>1</Days></Expiration>"));
        assert_eq!(by_age.lone_marker(b"k", 7, &DAYS).unwrap().at_ms, 2 * DAY_MS);
        let not = rules(&rule(
            "n",
            "<Filter/><Expiration><ExpiredObjectDeleteMarker>false</ExpiredObjectDeleteMarker></Expiration>",
        ));
        assert!(not.lone_marker(b"k", 7, &DAYS).is_none() && not.is_idle());
    }

    #[test]
    fn so_many_replaced_versions_are_kept() {
        let rules = rules(&rule(
            "r",
            "<Filter><Prefix/></Filter><NoncurrentVersionExpiration><NoncurrentDays>2</NoncurrentDays>\
             <NewerNoncurrentVersions>3</NewerNoncurrentVersions></NoncurrentVersionExpiration>",
        ));
        let key = subject("k", 1, UNTAGGED);
        for (newer, expected) in [(0, false), (2, false), (3, true), (4, true)] {
            let due = rules.noncurrent(b"k", Some(&key), 5, newer, &DAYS);
            assert_eq!(due.is_some(), expected, "{newer}");
            assert!(due.is_none_or(|due| due.at_ms == 3 * DAY_MS));
            assert_eq!(rules.noncurrent(b"k", None, 5, newer, &DAYS).is_some(), expected);
        }
        assert_eq!(rules.expiration(&key, 0, &DAYS), None);
    }

    #[test]
    fn uploads_are_aborted_by_prefix() {
        let rules = rules(&rule(
            "r",
            "<Filter><Prefix>u/</Prefix></Filter><AbortIncompleteMultipartUpload>\
             <DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
        ));
        let due = rules.abort(b"u/1", 1, &DAYS);
        assert_eq!(due, Some(Due { at_ms: 8 * DAY_MS, rule: "r" }));
        assert_eq!(rules.abort(b"v/1", 1, &DAYS), None);
        assert!(!rules.is_idle() && rules.versions_prefix().is_none());
        assert_eq!(rules.uploads_prefix(), Some(&b"u/"[..]));
    }
}
