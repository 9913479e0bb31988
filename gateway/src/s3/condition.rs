//! Owns the conditions of requests: which header decides (RFC 9110, 13.2.2, as Amazon S3 applies it) when an object
//! is read or is the source of a copy, and what the store must check when one is written or deleted.
//!
//! Conditions on writing are decided by the store inside its transaction; what is decided here before a body is read
//! only spares the client sending it.

use datapath::StoreError;
use datapath::{Condition, Object};
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName};
use s3s::dto::{ObjectIdentifier, Timestamp};

use super::entity_tag::TagList;
use super::http_date;
use super::refusal::{Outcome, Refusal};
use crate::crypt;

/// What a read's conditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on.
    Met,
    /// The reader has it already: 304.
    NotModified,
    /// 412; names the header.
    Failed(&'static str),
}

const COPY_SOURCE_IF_MATCH: HeaderName = HeaderName::from_static("x-amz-copy-source-if-match");
const COPY_SOURCE_IF_NONE_MATCH: HeaderName =
    HeaderName::from_static("x-amz-copy-source-if-none-match");
const COPY_SOURCE_IF_MODIFIED_SINCE: HeaderName =
    HeaderName::from_static("x-amz-copy-source-if-modified-since");
const COPY_SOURCE_IF_UNMODIFIED_SINCE: HeaderName =
    HeaderName::from_static("x-amz-copy-source-if-unmodified-since");

/// The conditions of GetObject and HeadObject.
///
/// # Errors
/// InvalidArgument for a tag list that cannot be read. A date that cannot be read is ignored.
pub(super) fn of_read(headers: &HeaderMap, object: &Object) -> Outcome<Verdict> {
    let names = [IF_MATCH, IF_UNMODIFIED_SINCE, IF_NONE_MATCH, IF_MODIFIED_SINCE];
    let labels = ["If-Match", "If-Unmodified-Since"];
    evaluate(headers, object, &names, labels)
}

/// The conditions on the source of a copy. There is nothing to answer 304 with: all that fails is 412.
///
/// # Errors
/// PreconditionFailed; InvalidArgument as for [`of_read`].
pub(super) fn of_copy_source(headers: &HeaderMap, source: &Object) -> Outcome<()> {
    let names = [
        COPY_SOURCE_IF_MATCH,
        COPY_SOURCE_IF_UNMODIFIED_SINCE,
        COPY_SOURCE_IF_NONE_MATCH,
        COPY_SOURCE_IF_MODIFIED_SINCE,
    ];
    let labels = ["x-amz-copy-source-If-Match", "x-amz-copy-source-If-Unmodified-Since"];
    match evaluate(headers, source, &names, labels)? {
        Verdict::Met => Ok(()),
        Verdict::Failed(name) => Err(Refusal::PreconditionFailed(name)),
        Verdict::NotModified if headers.contains_key(COPY_SOURCE_IF_NONE_MATCH) => {
            Err(Refusal::PreconditionFailed("x-amz-copy-source-If-None-Match"))
        }
        Verdict::NotModified => {
            Err(Refusal::PreconditionFailed("x-amz-copy-source-If-Modified-Since"))
        }
    }
}

/// The conditions on the object that is to be renamed.
///
/// # Errors
/// As [`of_copy_source`].
pub(super) fn of_rename_source(headers: &HeaderMap, source: &Object) -> Outcome<()> {
    const NAMES: [HeaderName; 4] = [
        HeaderName::from_static("x-amz-rename-source-if-match"),
        HeaderName::from_static("x-amz-rename-source-if-unmodified-since"),
        HeaderName::from_static("x-amz-rename-source-if-none-match"),
        HeaderName::from_static("x-amz-rename-source-if-modified-since"),
    ];
    let labels = ["x-amz-rename-source-If-Match", "x-amz-rename-source-If-Unmodified-Since"];
    met(evaluate(headers, source, &NAMES, labels)?, "x-amz-rename-source-If-None-Match")
}

/// The conditions on what has the key that an object is to get; answers whether there are any.
///
/// # Errors
/// PreconditionFailed; InvalidArgument as for [`of_read`].
pub(super) fn of_rename_destination(
    headers: &HeaderMap,
    current: Option<&Object>,
) -> Outcome<bool> {
    let names = [IF_MATCH, IF_UNMODIFIED_SINCE, IF_NONE_MATCH, IF_MODIFIED_SINCE];
    if !names.iter().any(|name| headers.contains_key(name)) {
        return Ok(false);
    }
    match current {
        Some(object) => {
            let labels = ["If-Match", "If-Unmodified-Since"];
            met(evaluate(headers, object, &names, labels)?, "If-None-Match")?;
        }
        None if headers.contains_key(IF_MATCH) => {
            return Err(Refusal::PreconditionFailed("If-Match"));
        }
        None => {}
    }
    Ok(true)
}

/// Where there is nothing to answer 304 with, all that fails is 412.
fn met(verdict: Verdict, seen: &'static str) -> Outcome<()> {
    match verdict {
        Verdict::Met => Ok(()),
        Verdict::Failed(name) => Err(Refusal::PreconditionFailed(name)),
        Verdict::NotModified => Err(Refusal::PreconditionFailed(seen)),
    }
}

/// In RFC 9110's order: a tag decides before a date of the same sense, and the date is then not looked at.
fn evaluate(
    headers: &HeaderMap,
    object: &Object,
    [matches, unmodified, none_match, modified]: &[HeaderName; 4],
    [match_label, unmodified_label]: [&'static str; 2],
) -> Outcome<Verdict> {
    let date = |name| headers.get(name).and_then(http_date::parse);
    let last_modified = http_date::whole_seconds(object.modified_ms);
    if let Some(tags) = tags(headers, matches)? {
        if !tags.matches_strongly(&object.entity_tag) {
            return Ok(Verdict::Failed(match_label));
        }
    } else if date(unmodified).is_some_and(|since| last_modified > since) {
        return Ok(Verdict::Failed(unmodified_label));
    }
    let seen = match tags(headers, none_match)? {
        Some(tags) => tags.matches_weakly(&object.entity_tag),
        None => date(modified).is_some_and(|since| last_modified <= since),
    };
    Ok(if seen { Verdict::NotModified } else { Verdict::Met })
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Outcome<Option<TagList>> {
    if !headers.contains_key(name) {
        return Ok(None);
    }
    match TagList::parse(headers.get_all(name)) {
        Some(tags) => Ok(Some(tags)),
        None => {
            Err(Refusal::InvalidArgument(format!("{name} is neither * nor a list of entity tags")))
        }
    }
}

/// Whether a range may be answered: without If-Range, or where it names this very object (RFC 9110, 13.1.5).
pub(super) fn range_applies(headers: &HeaderMap, object: &Object) -> bool {
    let Some(value) = headers.get(IF_RANGE) else {
        return true;
    };
    match http_date::parse(value) {
        Some(date) => date == http_date::whole_seconds(object.modified_ms),
        None => {
            TagList::parse([value]).is_some_and(|tags| tags.matches_strongly(&object.entity_tag))
        }
    }
}

/// The condition of a request that writes, completes or copies to a key.
///
/// # Errors
/// NotImplemented for If-None-Match with anything but `*` and for If-Unmodified-Since, which Amazon S3 refuses too;
/// InvalidRequest where both directions are asked for at once; InvalidArgument for a list that cannot be read.
pub(super) fn of_write(headers: &HeaderMap) -> Outcome<Condition> {
    if headers.contains_key(IF_UNMODIFIED_SINCE) {
        return Err(Refusal::NotImplemented(
            "If-Unmodified-Since on a request that writes".to_owned(),
        ));
    }
    let absent = match tags(headers, &IF_NONE_MATCH)? {
        None => false,
        Some(TagList::Any) => true,
        Some(TagList::Tags(_)) => {
            let what = "If-None-Match with anything but * on a request that writes";
            return Err(Refusal::NotImplemented(what.to_owned()));
        }
    };
    match (absent, of_match(headers)?) {
        (true, Condition::None) => Ok(Condition::Absent),
        (false, condition) => Ok(condition),
        (true, _) => Err(Refusal::InvalidRequest(
            "If-None-Match: * and If-Match cannot both hold; send one of them".to_owned(),
        )),
    }
}

/// The condition of DeleteObject: If-Match, and what `x-amz-if-match-last-modified-time` and `x-amz-if-match-size` say.
///
/// # Errors
/// NotImplemented for the other conditions; InvalidArgument for a list that cannot be read, and for a size below 0.
pub(super) fn of_delete(
    headers: &HeaderMap,
    modified: Option<&Timestamp>,
    size: Option<i64>,
) -> Outcome<Condition> {
    for name in [IF_NONE_MATCH, IF_UNMODIFIED_SINCE] {
        if headers.contains_key(&name) {
            return Err(Refusal::NotImplemented(format!("{name} on a request that deletes")));
        }
    }
    all(of_match(headers)?, modified, size)
}

/// The condition of an entry of DeleteObjects.
///
/// # Errors
/// InvalidArgument for a size below 0.
pub(super) fn of_entry(entry: &ObjectIdentifier) -> Outcome<Condition> {
    let tag = match &entry.e_tag {
        None => Condition::None,
        Some(tag) if tag.value() == "*" => Condition::Present,
        Some(tag) => Condition::TagIs(tag.as_strong().map(Box::from).into_iter().collect()),
    };
    all(tag, entry.last_modified_time.as_ref(), entry.size)
}

/// A condition on the tag with those on the date, to the second, and the size.
fn all(tag: Condition, modified: Option<&Timestamp>, size: Option<i64>) -> Outcome<Condition> {
    if modified.is_none() && size.is_none() {
        return Ok(tag);
    }
    let mut all = vec![tag];
    if let Some(modified) = modified {
        // No object is of before 1970.
        let seconds = http_date::ms(modified).map_or(u64::MAX, |ms| ms / 1000);
        all.push(Condition::ModifiedIs { seconds });
    }
    if let Some(size) = size {
        let refused =
            |_| Refusal::InvalidArgument("The size of an object is not negative".to_owned());
        all.push(Condition::SizeIs { size: u64::try_from(size).map_err(refused)? });
    }
    Ok(Condition::All(all))
}

/// The same for the store, which knows the size of what it keeps alone: of an encrypted object the content's is
/// compared here, and the object must still be the same one then.
///
/// # Errors
/// PreconditionFailed; what the store meets.
pub(super) fn of_stored(
    condition: Condition,
    find: impl FnOnce() -> Result<Option<Object>, StoreError>,
) -> Outcome<Condition> {
    let Condition::All(mut all) = condition else { return Ok(condition) };
    for part in &mut all {
        let Condition::SizeIs { size } = *part else { continue };
        if let Some(object) = find()?.filter(|object| !object.encryption.is_empty()) {
            if crypt::size(&object) != size {
                return Err(Refusal::PreconditionFailed("x-amz-if-match-size"));
            }
            *part = Condition::RowIs(object.row);
        }
        break;
    }
    Ok(Condition::All(all))
}

fn of_match(headers: &HeaderMap) -> Outcome<Condition> {
    Ok(match tags(headers, &IF_MATCH)? {
        None => Condition::None,
        Some(TagList::Any) => Condition::Present,
        // A weak tag never matches strongly: it is left out.
        Some(TagList::Tags(tags)) => Condition::TagIs(
            tags.into_iter().filter(|tag| !tag.weak).map(|tag| tag.value).collect(),
        ),
    })
}

/// What the store will say of the condition if the object does not change: asked before a body is read, so that the
/// client need not send it. Without a condition nothing is looked up.
///
/// # Errors
/// PreconditionFailed, NoSuchKey; the store's where it cannot be asked.
pub(super) fn foresee(
    condition: &Condition,
    current: impl FnOnce() -> Result<Option<Object>, StoreError>,
) -> Outcome<()> {
    if *condition == Condition::None {
        return Ok(());
    }
    let failed = |name| Err(Refusal::PreconditionFailed(name));
    match (condition, current()?) {
        (Condition::Present | Condition::TagIs(_), None) => Err(Refusal::NoSuchKey),
        (Condition::Absent, Some(_)) => failed("If-None-Match"),
        (Condition::TagIs(tags), Some(object)) if !tags.contains(&object.entity_tag) => {
            failed("If-Match")
        }
        (Condition::TagIsNot(tags), Some(object)) if tags.contains(&object.entity_tag) => {
            failed("If-None-Match")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use datapath::{Lock, RowId, VersionId};
    use http::HeaderValue;

    // Sun, 06 Nov 1994 08:49:37.500 GMT
    const MODIFIED_MS: u64 = 784_111_777_500;
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn object() -> Object {
        Object {
            row: RowId(1),
            version: VersionId::NULL,
            size: 10,
            modified_ms: MODIFIED_MS,
            entity_tag: "tag".into(),
            attributes: Bytes::new(),
            tags: Bytes::new(),
            acl: Bytes::new(),
            lock: Lock::default(),
            encryption: Bytes::new(),
            part_count: 0,
            crc64: None,
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn reads_follow_rfc_9110() {
        let failed = |name| Verdict::Failed(name);
        for (pairs, expected) in [
            (&[][..], Verdict::Met),
            (&[("if-match", "\"tag\"")], Verdict::Met),
            (&[("if-match", "*")], Verdict::Met),
            (&[("if-match", "W/\"tag\"")], failed("If-Match")),
            (&[("if-match", "\"other\", \"tag\"")], Verdict::Met),
            (&[("if-match", "\"other\"")], failed("If-Match")),
            (&[("if-match", "\"tag\""), ("if-unmodified-since", EARLIER)], Verdict::Met),
            (&[("if-unmodified-since", EARLIER)], failed("If-Unmodified-Since")),
            (&[("if-unmodified-since", SAME)], Verdict::Met),
            (&[("if-unmodified-since", "nonsense")], Verdict::Met),
            (&[("if-none-match", "\"tag\"")], Verdict::NotModified),
            (&[("if-none-match", "W/\"tag\"")], Verdict::NotModified),
            (&[("if-none-match", "*")], Verdict::NotModified),
            (&[("if-none-match", "\"other\""), ("if-modified-since", SAME)], Verdict::Met),
            (&[("if-none-match", "\"tag\""), ("if-modified-since", EARLIER)], Verdict::NotModified),
            (&[("if-modified-since", SAME)], Verdict::NotModified),
            (&[("if-modified-since", EARLIER)], Verdict::Met),
            (&[("if-match", "\"other\""), ("if-none-match", "\"tag\"")], failed("If-Match")),
        ] {
            assert_eq!(of_read(&headers(pairs), &object()).unwrap(), expected, "{pairs:?}");
        }
        let bad = of_read(&headers(&[("if-match", "\"open")]), &object());
        assert!(matches!(bad, Err(Refusal::InvalidArgument(_))));
    }

    #[test]
    fn a_copy_source_never_answers_304() {
        for (name, value) in [
            ("x-amz-copy-source-if-match", "\"other\""),
            ("x-amz-copy-source-if-none-match", "\"tag\""),
            ("x-amz-copy-source-if-modified-since", SAME),
            ("x-amz-copy-source-if-unmodified-since", EARLIER),
        ] {
            let refused = of_copy_source(&headers(&[(name, value)]), &object());
            let Err(Refusal::PreconditionFailed(label)) = refused else {
                panic!("{name}: {refused:?}")
            };
            assert_eq!(label.to_ascii_lowercase(), name);
        }
        assert!(of_copy_source(&headers(&[("if-match", "\"other\"")]), &object()).is_ok());
    }

    #[test]
    fn if_range_needs_the_very_same_object() {
        for (value, expected) in [
            ("\"tag\"", true),
            ("W/\"tag\"", false),
            ("\"other\"", false),
            (SAME, true),
            (EARLIER, false),
            ("?", false),
        ] {
            assert_eq!(
                range_applies(&headers(&[("if-range", value)]), &object()),
                expected,
                "{value}"
            );
        }
        assert!(range_applies(&HeaderMap::new(), &object()));
    }

    #[test]
    fn writes_take_what_amazon_s3_takes() {
        let write = |pairs| of_write(&headers(pairs));
        assert_eq!(write(&[]).unwrap(), Condition::None);
        assert_eq!(write(&[("if-none-match", "*")]).unwrap(), Condition::Absent);
        assert_eq!(write(&[("if-match", "*")]).unwrap(), Condition::Present);
        assert_eq!(
            write(&[("if-match", "\"a\",W/\"b\"")]).unwrap(),
            Condition::TagIs(vec!["a".into()])
        );
        assert!(matches!(write(&[("if-none-match", "\"a\"")]), Err(Refusal::NotImplemented(_))));
        assert!(matches!(write(&[("if-unmodified-since", SAME)]), Err(Refusal::NotImplemented(_))));
        let both = write(&[("if-none-match", "*"), ("if-match", "\"a\"")]);
        assert!(matches!(both, Err(Refusal::InvalidRequest(_))));
        assert!(matches!(
            of_delete(&headers(&[("if-none-match", "*")]), None, None),
            Err(Refusal::NotImplemented(_))
        ));
        assert_eq!(
            of_delete(&headers(&[("if-match", "a")]), None, None).unwrap(),
            Condition::TagIs(vec!["a".into()])
        );
        let at = http_date::timestamp(MODIFIED_MS);
        assert_eq!(
            of_delete(&HeaderMap::new(), Some(&at), Some(3)).unwrap(),
            Condition::All(vec![
                Condition::None,
                Condition::ModifiedIs { seconds: MODIFIED_MS / 1000 },
                Condition::SizeIs { size: 3 },
            ])
        );
        let negative = of_delete(&HeaderMap::new(), None, Some(-1));
        assert!(matches!(negative, Err(Refusal::InvalidArgument(_))));
    }

    #[test]
    fn what_is_foreseen_is_what_the_store_would_say() {
        let tag = |tag: &str| vec![tag.into()];
        let here = |condition| foresee(&condition, || Ok(Some(object())));
        let missing = |condition| foresee(&condition, || Ok(None));
        let failed = |outcome| matches!(outcome, Err(Refusal::PreconditionFailed(_)));
        assert!(missing(Condition::Absent).is_ok() && failed(here(Condition::Absent)));
        assert!(matches!(missing(Condition::Present), Err(Refusal::NoSuchKey)));
        assert!(here(Condition::Present).is_ok());
        assert!(
            here(Condition::TagIs(tag("tag"))).is_ok() && failed(here(Condition::TagIs(tag("x"))))
        );
        assert!(matches!(missing(Condition::TagIs(tag("x"))), Err(Refusal::NoSuchKey)));
        assert!(
            here(Condition::TagIsNot(tag("x"))).is_ok()
                && failed(here(Condition::TagIsNot(tag("tag"))))
        );
        assert!(foresee(&Condition::None, || panic!("nothing is looked up")).is_ok());
    }
}
