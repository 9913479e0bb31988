//! PutBucketLifecycleConfiguration, GetBucketLifecycleConfiguration, DeleteBucketLifecycle: what a configuration may
//! say, and the headers that tell clients of it. Amazon S3 API reference, the operations and "LifecycleRule".
//!
//! Transitions are checked and kept, and nothing comes of them: there is one storage class, so an object stays where it
//! is, which loses neither data nor protection.
//! Limits: `LIFECYCLE_RULES_MAX`, `LIFECYCLE_DOCUMENT_BYTES_MAX`.
//! Not here: what the rules mean and who acts on them (`crate::lifecycle`).

use std::collections::BTreeSet;

use datapath::{Bucket, Object};
use http::{HeaderName, HeaderValue};
use s3s::dto::{
    BucketLifecycleConfiguration, DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput,
    GetBucketLifecycleConfigurationInput, GetBucketLifecycleConfigurationOutput, LifecycleRule,
    LifecycleRuleFilter, NoncurrentVersionTransition, PutBucketLifecycleConfigurationInput,
    PutBucketLifecycleConfigurationOutput, Tag, Timestamp, Transition,
    TransitionDefaultMinimumObjectSize, TransitionStorageClass,
};
use s3s::{S3Request, S3Response};

use super::cors::short;
use super::limits::{
    KEY_BYTES_MAX, LIFECYCLE_DOCUMENT_BYTES_MAX, LIFECYCLE_NEWER_VERSIONS_MAX, LIFECYCLE_RULES_MAX,
    SETTING_ID_CHARS_MAX, TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX,
};
use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use super::settings::kind;
use super::{background, http_date, kept};
use crate::lifecycle::calendar::{DAY_MS, milliseconds};
use crate::lifecycle::rules::{Due, Rules, Subject};

/// A bucket's lifecycle.
#[derive(Debug)]
pub struct Lifecycle {
    configuration: BucketLifecycleConfiguration,
    minimum: TransitionDefaultMinimumObjectSize,
    /// What is to be done.
    pub rules: Rules,
}

impl Lifecycle {
    /// A lifecycle as it is kept: a byte that says which objects are too small to move, and the document.
    ///
    /// # Errors
    /// Damaged.
    pub fn decode(bytes: &[u8]) -> Outcome<Lifecycle> {
        let what = "a bucket's lifecycle configuration";
        let (first, document) = bytes.split_first().ok_or(Refusal::Damaged(what))?;
        let minimum = match first {
            0 => TransitionDefaultMinimumObjectSize::ALL_STORAGE_CLASSES_128K,
            1 => TransitionDefaultMinimumObjectSize::VARIES_BY_STORAGE_CLASS,
            _ => return Err(Refusal::Damaged(what)),
        };
        let configuration = kept::decode(document, what)?;
        Ok(Lifecycle {
            rules: Rules::of(&configuration),
            minimum: TransitionDefaultMinimumObjectSize::from_static(minimum),
            configuration,
        })
    }
}

/// A value for `x-amz-expiration`.
fn expiration_value(due: Due<'_>) -> Option<HeaderValue> {
    let date = http_date::header(due.at_ms)?;
    let (date, rule) = (date.to_str().ok()?, percent_encoded(due.rule));
    HeaderValue::try_from(format!("expiry-date=\"{date}\", rule-id=\"{rule}\"")).ok()
}

/// `x-amz-abort-date` and `x-amz-abort-rule-id`.
fn abort_headers(due: Due<'_>) -> (Timestamp, String) {
    (http_date::whole_seconds(due.at_ms), percent_encoded(due.rule))
}

/// An ID as it stands in a header.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

impl Operations {
    /// `x-amz-expiration` of a bucket's current object; none where no rule is for it.
    pub(super) fn expiration(
        &self,
        bucket: &Bucket,
        key: &[u8],
        object: &Object,
    ) -> Option<HeaderValue> {
        // Settings that cannot be read have been told of on the way in.
        let settings = self.bucket_settings(bucket).ok()?;
        let rules = &settings.lifecycle.as_ref()?.rules;
        let has_tag = |name: &str, value: &str| background::carries(object, name, value);
        let subject = Subject { key, size: background::size(object), has_tag: &has_tag };
        let due = rules.expiration(&subject, object.modified_ms, self.settings().calendar())?;
        expiration_value(due)
    }

    /// When an upload that was begun just now will be aborted, and by which rule.
    pub(super) fn abortion(
        &self,
        bucket: &Bucket,
        key: &[u8],
        begun_ms: u64,
    ) -> Option<(Timestamp, String)> {
        let settings = self.bucket_settings(bucket).ok()?;
        let rules = &settings.lifecycle.as_ref()?.rules;
        rules.abort(key, begun_ms, self.settings().calendar()).map(abort_headers)
    }
}

/// The header of an answer that speaks of a current object.
pub(super) const EXPIRATION: HeaderName = HeaderName::from_static("x-amz-expiration");

const MINIMUM: HeaderName = HeaderName::from_static("x-amz-transition-default-minimum-object-size");

/// PutBucketLifecycleConfiguration, which replaces what is there.
pub(super) async fn put(
    operations: &Operations,
    request: S3Request<PutBucketLifecycleConfigurationInput>,
) -> Outcome<S3Response<PutBucketLifecycleConfigurationOutput>> {
    kept::check_size(&request.headers, LIFECYCLE_DOCUMENT_BYTES_MAX)?;
    let input = request.input;
    let mut configuration =
        input.lifecycle_configuration.ok_or(Refusal::MalformedXml("there is no document"))?;
    check(&configuration)?;
    for rule in &mut configuration.rules {
        if rule.id.as_ref().is_none_or(String::is_empty) {
            rule.id = Some(super::names::random_id()?);
        }
    }
    let minimum = input.transition_default_minimum_object_size.unwrap_or_else(|| {
        let usual = TransitionDefaultMinimumObjectSize::ALL_STORAGE_CLASSES_128K;
        TransitionDefaultMinimumObjectSize::from_static(usual)
    });
    let first = match minimum.as_str() {
        TransitionDefaultMinimumObjectSize::ALL_STORAGE_CLASSES_128K => 0,
        TransitionDefaultMinimumObjectSize::VARIES_BY_STORAGE_CLASS => 1,
        other => {
            let why = format!("Value for {MINIMUM} header is invalid: {}", short(other));
            return Err(Refusal::InvalidRequest(why));
        }
    };
    let mut document = vec![first];
    document.extend(kept::encode(&configuration)?);
    operations.keep_setting(&input.bucket, kind::LIFECYCLE, Some(document)).await?;
    Ok(S3Response::new(PutBucketLifecycleConfigurationOutput {
        transition_default_minimum_object_size: Some(minimum),
    }))
}

/// GetBucketLifecycleConfiguration.
pub(super) async fn get(
    operations: &Operations,
    request: S3Request<GetBucketLifecycleConfigurationInput>,
) -> Outcome<S3Response<GetBucketLifecycleConfigurationOutput>> {
    let bucket = operations.bucket(&request.input.bucket)?;
    let kept = operations.lane().setting(bucket.id, kind::LIFECYCLE)?;
    let lifecycle = Lifecycle::decode(&kept.ok_or(Refusal::NoSuchSetting {
        code: "NoSuchLifecycleConfiguration",
        message: "The lifecycle configuration does not exist",
    })?)?;
    Ok(S3Response::new(GetBucketLifecycleConfigurationOutput {
        rules: Some(lifecycle.configuration.rules),
        transition_default_minimum_object_size: Some(lifecycle.minimum),
    }))
}

/// DeleteBucketLifecycle: what is not there is gone.
pub(super) async fn delete(
    operations: &Operations,
    request: S3Request<DeleteBucketLifecycleInput>,
) -> Outcome<S3Response<DeleteBucketLifecycleOutput>> {
    operations.keep_setting(&request.input.bucket, kind::LIFECYCLE, None).await?;
    Ok(S3Response::new(DeleteBucketLifecycleOutput::default()))
}

/// What Amazon S3 finds fault with.
fn check(configuration: &BucketLifecycleConfiguration) -> Outcome<()> {
    let rules = &configuration.rules;
    if rules.is_empty() {
        return malformed("there is no Rule");
    }
    if rules.len() > LIFECYCLE_RULES_MAX {
        let why = "Number of lifecycle rules must not exceed allowed limit of 1000 rules";
        return Err(Refusal::InvalidRequest(why.to_owned()));
    }
    let mut ids = BTreeSet::new();
    for rule in rules {
        let id = rule.id.as_deref().unwrap_or_default();
        if id.chars().count() > SETTING_ID_CHARS_MAX {
            return argument("ID length should not exceed allowed limit of 255");
        }
        if !id.is_empty() && !ids.insert(id) {
            let why = "Rule ID must be unique. Found same ID for more than one rule";
            return argument(why);
        }
        check_rule(rule)?;
    }
    Ok(())
}

fn check_rule(rule: &LifecycleRule) -> Outcome<()> {
    if !matches!(rule.status.as_str(), "Enabled" | "Disabled") {
        return malformed("Status is Enabled or Disabled");
    }
    let shape = match (&rule.filter, &rule.prefix) {
        (Some(_), Some(_)) => return malformed("a Rule has a Filter or a Prefix, not both"),
        (None, None) => return malformed("a Rule has a Filter or a Prefix"),
        (Some(filter), None) => FilterShape::of(filter)?,
        (None, Some(prefix)) => {
            check_prefix(prefix)?;
            FilterShape::default()
        }
    };
    let transitions = rule.transitions.as_deref().unwrap_or_default();
    let noncurrent = rule.noncurrent_version_transitions.as_deref().unwrap_or_default();
    let acts = rule.expiration.is_some()
        || rule.noncurrent_version_expiration.is_some()
        || rule.abort_incomplete_multipart_upload.is_some()
        || !transitions.is_empty()
        || !noncurrent.is_empty();
    if !acts {
        let why = "At least one action needs to be specified in a rule";
        return Err(Refusal::InvalidRequest(why.to_owned()));
    }
    check_expiration(rule, &shape)?;
    check_noncurrent(rule)?;
    check_abort(rule, &shape)?;
    transitions.iter().try_for_each(|it| check_transition(it, rule))?;
    noncurrent.iter().try_for_each(check_noncurrent_transition)
}

/// What a filter asks for beside a prefix.
#[derive(Default)]
struct FilterShape {
    tags: bool,
    sizes: bool,
}

impl FilterShape {
    /// A prefix beside one other condition is taken as if `And` stood around them: clients send it, and it can mean
    /// nothing else.
    fn of(filter: &LifecycleRuleFilter) -> Outcome<FilterShape> {
        let sizes = [filter.object_size_greater_than, filter.object_size_less_than];
        let beside = usize::from(filter.tag.is_some()) + sizes.iter().flatten().count();
        let any = beside > 0 || filter.prefix.is_some();
        if beside > 1 || (filter.and.is_some() && any) {
            malformed("a Filter with several conditions has them in And")?;
        }
        check_sizes(sizes[0], sizes[1])?;
        filter.prefix.as_deref().map_or(Ok(()), check_prefix)?;
        filter.tag.as_ref().map_or(Ok(()), check_tag)?;
        let mut shape =
            FilterShape { tags: filter.tag.is_some(), sizes: sizes.iter().any(Option::is_some) };
        if let Some(and) = &filter.and {
            let tags = and.tags.as_deref().unwrap_or_default();
            let sizes = [and.object_size_greater_than, and.object_size_less_than];
            let conditions =
                usize::from(and.prefix.is_some()) + tags.len() + sizes.iter().flatten().count();
            if conditions < 2 {
                malformed("And has at least two conditions")?;
            }
            check_sizes(sizes[0], sizes[1])?;
            and.prefix.as_deref().map_or(Ok(()), check_prefix)?;
            tags.iter().try_for_each(check_tag)?;
            let distinct: BTreeSet<_> = tags.iter().map(|tag| tag.key.as_deref()).collect();
            if distinct.len() < tags.len() {
                let why = "Duplicate Tag Keys are not allowed.";
                return Err(Refusal::InvalidRequest(why.to_owned()));
            }
            shape =
                FilterShape { tags: !tags.is_empty(), sizes: sizes.iter().any(Option::is_some) };
        }
        Ok(shape)
    }
}

fn check_prefix(prefix: &str) -> Outcome<()> {
    if prefix.len() > KEY_BYTES_MAX {
        let why = "The maximum size of a prefix is 1024.";
        return Err(Refusal::InvalidRequest(why.to_owned()));
    }
    Ok(())
}

fn check_tag(tag: &Tag) -> Outcome<()> {
    let (Some(key), Some(value)) = (&tag.key, &tag.value) else {
        return malformed("a Tag has a Key and a Value");
    };
    if key.is_empty() || key.chars().count() > TAG_KEY_CHARS_MAX {
        return Err(Refusal::InvalidTag("A Tag's Key must be a length between 1 and 128."));
    }
    if value.chars().count() > TAG_VALUE_CHARS_MAX {
        return Err(Refusal::InvalidTag("A Tag's Value must be a length between 0 and 256."));
    }
    Ok(())
}

fn check_sizes(larger_than: Option<i64>, smaller_than: Option<i64>) -> Outcome<()> {
    if larger_than.is_some_and(|size| size < 0) || smaller_than.is_some_and(|size| size < 1) {
        return argument("A size of a Filter is a number of bytes that is not negative");
    }
    if let (Some(larger), Some(smaller)) = (larger_than, smaller_than)
        && smaller <= larger + 1
    {
        let why =
            "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan' + 1.";
        return Err(Refusal::InvalidRequest(why.to_owned()));
    }
    Ok(())
}

fn check_expiration(rule: &LifecycleRule, shape: &FilterShape) -> Outcome<()> {
    let Some(expiration) = &rule.expiration else {
        return Ok(());
    };
    let marker = expiration.expired_object_delete_marker;
    let given = [expiration.days.is_some(), expiration.date.is_some(), marker.is_some()];
    if given.iter().filter(|it| **it).count() != 1 {
        return malformed("an Expiration has one of Days, Date, ExpiredObjectDeleteMarker");
    }
    positive(expiration.days, "'Days' for Expiration action must be a positive integer")?;
    check_midnight(expiration.date.as_ref())?;
    if marker.is_some() && (shape.tags || shape.sizes) {
        let why = "ExpiredObjectDeleteMarker cannot be specified with Tags or ObjectSize.";
        return Err(Refusal::InvalidRequest(why.to_owned()));
    }
    Ok(())
}

fn check_noncurrent(rule: &LifecycleRule) -> Outcome<()> {
    let Some(noncurrent) = &rule.noncurrent_version_expiration else {
        return Ok(());
    };
    if noncurrent.noncurrent_days.is_none() {
        return malformed("a NoncurrentVersionExpiration has NoncurrentDays");
    }
    let why = "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer";
    positive(noncurrent.noncurrent_days, why)?;
    check_newer(noncurrent.newer_noncurrent_versions)?;
    if noncurrent.newer_noncurrent_versions.is_some() && rule.filter.is_none() {
        return malformed("NewerNoncurrentVersions needs a Filter");
    }
    Ok(())
}

fn check_newer(versions: Option<i32>) -> Outcome<()> {
    if versions.is_some_and(|count| !(1..=LIFECYCLE_NEWER_VERSIONS_MAX).contains(&count)) {
        return argument("'NewerNoncurrentVersions' must be an integer between 1 and 100");
    }
    Ok(())
}

fn check_abort(rule: &LifecycleRule, shape: &FilterShape) -> Outcome<()> {
    let Some(abort) = &rule.abort_incomplete_multipart_upload else {
        return Ok(());
    };
    if shape.tags || shape.sizes {
        let what = if shape.tags { "Tags" } else { "ObjectSize" };
        let why = format!("AbortIncompleteMultipartUpload cannot be specified with {what}.");
        return Err(Refusal::InvalidRequest(why));
    }
    if abort.days_after_initiation.is_none() {
        return malformed("an AbortIncompleteMultipartUpload has DaysAfterInitiation");
    }
    let why = "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer";
    positive(abort.days_after_initiation, why)
}

/// Days before which Amazon S3 moves nothing to these classes.
const INFREQUENT_DAYS_MIN: i32 = 30;

fn check_transition(transition: &Transition, rule: &LifecycleRule) -> Outcome<()> {
    let class = check_class(transition.storage_class.as_ref())?;
    if transition.days.is_some() == transition.date.is_some() {
        return malformed("a Transition has Days or a Date");
    }
    check_midnight(transition.date.as_ref())?;
    let days = transition.days.unwrap_or(INFREQUENT_DAYS_MIN);
    check_class_days(days, class, "Transition")?;
    let expiration = rule.expiration.as_ref();
    if let (Some(expires), Some(moves)) = (expiration.and_then(|it| it.days), transition.days)
        && expires <= moves
    {
        return argument(
            "'Days' in the Expiration action must be greater than 'Days' in the Transition action",
        );
    }
    let mixed = expiration.is_some_and(|it| {
        it.days.is_some() && transition.date.is_some()
            || it.date.is_some() && transition.days.is_some()
    });
    if mixed {
        let why = "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule";
        return Err(Refusal::InvalidRequest(why.to_owned()));
    }
    Ok(())
}

fn check_noncurrent_transition(transition: &NoncurrentVersionTransition) -> Outcome<()> {
    let class = check_class(transition.storage_class.as_ref())?;
    let Some(days) = transition.noncurrent_days else {
        return malformed("a NoncurrentVersionTransition has NoncurrentDays");
    };
    check_class_days(days, class, "NoncurrentVersionTransition")?;
    check_newer(transition.newer_noncurrent_versions)
}

fn check_class(class: Option<&TransitionStorageClass>) -> Outcome<&str> {
    const CLASSES: [&str; 6] = [
        "GLACIER",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "DEEP_ARCHIVE",
        "GLACIER_IR",
    ];
    let class = class.map(TransitionStorageClass::as_str);
    class.filter(|class| CLASSES.contains(class)).ok_or(Refusal::MalformedXml(
        "StorageClass is GLACIER, STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING, DEEP_ARCHIVE or GLACIER_IR",
    ))
}

fn check_class_days(days: i32, class: &str, action: &str) -> Outcome<()> {
    let least = if class.ends_with("_IA") { INFREQUENT_DAYS_MIN } else { 0 };
    if days < least {
        return Err(Refusal::InvalidArgument(format!(
            "'Days' in {action} action must be greater than or equal to {least} for storageClass '{class}'"
        )));
    }
    Ok(())
}

fn check_midnight(date: Option<&Timestamp>) -> Outcome<()> {
    if date.is_some_and(|date| !milliseconds(date).is_multiple_of(DAY_MS)) {
        return argument("'Date' must be at midnight GMT");
    }
    Ok(())
}

fn positive(days: Option<i32>, why: &'static str) -> Outcome<()> {
    if days.is_some_and(|days| days < 1) { argument(why) } else { Ok(()) }
}

fn malformed(why: &'static str) -> Outcome<()> {
    Err(Refusal::MalformedXml(why))
}

fn argument(why: &str) -> Outcome<()> {
    Err(Refusal::InvalidArgument(why.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(xml: &str) -> Result<(), String> {
        let xml = format!("<LifecycleConfiguration>{xml}</LifecycleConfiguration>");
        let parsed = kept::decode(xml.as_bytes(), "a test").map_err(|_| "unreadable")?;
        check(&parsed).map_err(|refusal| {
            let text = format!("{refusal:?}");
            text.split(['(', ' ']).next().unwrap_or_default().to_owned()
        })
    }

    const DAYS: &str = "<Expiration><Days>1</Days></Expiration>";

    fn rule(content: &str) -> String {
        format!("<Rule><Status>Enabled</Status>{content}</Rule>")
    }

    #[test]
    fn good_rules_of_all_kinds() {
        let tag = "<Tag><Key>a</Key><Value/></Tag>";
        for content in [
            format!("<Prefix/>{DAYS}"),
            format!("<Filter/>{DAYS}"),
            format!("<Filter><Prefix>a</Prefix></Filter>{DAYS}"),
            format!("<Filter>{tag}</Filter>{DAYS}"),
            format!("<Filter><Prefix>a</Prefix>{tag}</Filter>{DAYS}"),
            format!("<Filter><And><Prefix>a</Prefix>{tag}</And></Filter>{DAYS}"),
            "<Filter/><Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration>".to_owned(),
            "<Filter/><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>".to_owned(),
            "<Filter/><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>100\
             </NewerNoncurrentVersions></NoncurrentVersionExpiration>".to_owned(),
            "<Filter/><AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation>\
             </AbortIncompleteMultipartUpload>".to_owned(),
            "<Filter/><Transition><Days>0</Days><StorageClass>GLACIER</StorageClass></Transition>".to_owned(),
            format!("<Filter><ObjectSizeGreaterThan>0</ObjectSizeGreaterThan></Filter>{DAYS}"),
        ] {
            assert_eq!(checked(&rule(&content)), Ok(()), "{content}");
        }
    }

    #[test]
    fn mistakes_have_s3s_answers() {
        let expires = |inner: &str| format!("<Filter/><Expiration>{inner}</Expiration>");
        let marker =
            "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>";
        let tag = "<Tag><Key>a</Key><Value/></Tag>";
        let abort = "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>";
        let moves = |days: &str, class: &str| {
            format!(
                "<Filter/><Transition><Days>{days}</Days><StorageClass>{class}</StorageClass></Transition>"
            )
        };
        for (content, expected) in [
            (DAYS.to_owned(), "MalformedXml"),
            (format!("<Filter/><Prefix/>{DAYS}"), "MalformedXml"),
            ("<Filter/>".to_owned(), "InvalidRequest"),
            (expires("<Days>0</Days>"), "InvalidArgument"),
            (expires("<Days>-1</Days>"), "InvalidArgument"),
            (expires(""), "MalformedXml"),
            (expires("<Days>1</Days><Date>2030-01-01T00:00:00Z</Date>"), "MalformedXml"),
            (expires("<Date>2030-01-01T01:00:00Z</Date>"), "InvalidArgument"),
            (format!("<Filter>{tag}</Filter>{marker}"), "InvalidRequest"),
            (format!("<Filter>{tag}</Filter>{abort}"), "InvalidRequest"),
            (format!("<Filter><And><Prefix>a</Prefix></And></Filter>{DAYS}"), "MalformedXml"),
            (format!("<Filter><And>{tag}{tag}</And></Filter>{DAYS}"), "InvalidRequest"),
            (format!("<Filter><Tag><Key/><Value/></Tag></Filter>{DAYS}"), "InvalidTag"),
            (
                format!("<Filter><ObjectSizeLessThan>0</ObjectSizeLessThan></Filter>{DAYS}"),
                "InvalidArgument",
            ),
            (
                format!(
                    "<Filter><And><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan><ObjectSizeLessThan>5\
                     </ObjectSizeLessThan></And></Filter>{DAYS}"
                ),
                "InvalidRequest",
            ),
            (format!("<Prefix>{}</Prefix>{DAYS}", "p".repeat(1025)), "InvalidRequest"),
            (moves("29", "STANDARD_IA"), "InvalidArgument"),
            (moves("30", "STANDARD"), "MalformedXml"),
            (moves("5", "GLACIER") + DAYS, "InvalidArgument"),
            (
                "<Prefix/><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>1\
                 </NewerNoncurrentVersions></NoncurrentVersionExpiration>".to_owned(),
                "MalformedXml",
            ),
        ] {
            assert_eq!(checked(&rule(&content)), Err(expected.to_owned()), "{content}");
        }
        let invalid = format!("<Rule><Status>enabled</Status><Prefix/>{DAYS}</Rule>");
        assert_eq!(checked(&invalid), Err("MalformedXml".to_owned()));
        let named = |id: &str| rule(&format!("<ID>{id}</ID><Prefix/>{DAYS}"));
        assert_eq!(checked(&(named("a") + &named("a"))), Err("InvalidArgument".to_owned()));
        assert_eq!(checked(&(named("a") + &named("b"))), Ok(()));
        assert_eq!(checked(&named(&"i".repeat(256))), Err("InvalidArgument".to_owned()));
        assert_eq!(checked(&named("").repeat(1001)), Err("InvalidRequest".to_owned()));
    }

    #[test]
    fn headers_tell_when_and_by_which_rule() {
        let due = Due { at_ms: 784_111_777_000, rule: "a b/ü" };
        assert_eq!(
            expiration_value(due).unwrap(),
            "expiry-date=\"Sun, 06 Nov 1994 08:49:37 GMT\", rule-id=\"a%20b%2F%C3%BC\""
        );
        assert_eq!(abort_headers(due).1, "a%20b%2F%C3%BC");
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let kept = b"\x01<LifecycleConfiguration><Rule><Status>Enabled</Status><Prefix/></Rule></LifecycleConfiguration>";
        let lifecycle = Lifecycle::decode(kept).unwrap();
        assert_eq!(lifecycle.minimum.as_str(), "varies_by_storage_class");
        for damaged in [&b""[..], b"\x02<A/>", b"\x00<A/>"] {
            assert!(matches!(Lifecycle::decode(damaged), Err(Refusal::Damaged(_))));
        }
    }
}
