//! Owns the tags of an object: the rules that keys and values keep, how a header writes them, and their form in the
//! store's opaque field.
//!
//! The form: nothing at all for no tags; else `u8 number of tags`, then each: `u16 length, key, u16 length, value`,
//! integers little-endian. Source of the rules: user guide, "Categorizing your objects using tags".
//!
//! Not here: the operations (`tagging`).

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::HeaderValue;
use s3s::dto;

use super::attributes::Malformed;
use super::limits::{TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX, TAGS_PER_OBJECT_MAX};
use super::refusal::{Outcome, Refusal};
use crate::auth::decode_percent;

/// Tags in the order in which they were given; no two of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tags(Vec<(Box<str>, Box<str>)>);

/// What `x-amz-tagging` hears when it cannot be read.
const HEADER: &str = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters \
                      without tag name duplicates.";

impl Tags {
    /// Of `x-amz-tagging`: query parameters, a parameter without `=` being a tag without a value.
    ///
    /// # Errors
    /// InvalidArgument for what is no UTF-8, or has a key twice; InvalidTag for tags that cannot be.
    pub(super) fn of_header(value: &HeaderValue) -> Outcome<Self> {
        let unreadable = || Refusal::InvalidArgument(HEADER.to_owned());
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| unreadable())?;
        let mut tags = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |text: &str| {
                String::from_utf8(decode_percent(text.replace('+', " ").as_bytes()))
                    .map_err(|_| unreadable())
            };
            let key = decoded(key)?;
            if tags.iter().any(|(before, _): &(Box<str>, Box<str>)| **before == key) {
                return Err(unreadable());
            }
            tags.push((key.into_boxed_str(), decoded(value)?.into_boxed_str()));
            if tags.len() > TAGS_PER_OBJECT_MAX {
                return Err(too_many());
            }
        }
        Self(tags).checked()
    }

    /// Of a document's `TagSet`.
    ///
    /// # Errors
    /// MalformedXML for a tag without key or value; InvalidTag for tags that cannot be.
    pub(super) fn of_set(set: dto::TagSet) -> Outcome<Self> {
        if set.len() > TAGS_PER_OBJECT_MAX {
            return Err(too_many());
        }
        let mut tags: Vec<(Box<str>, Box<str>)> = Vec::with_capacity(set.len());
        for tag in set {
            let key = tag.key.ok_or(Refusal::MalformedXml("a Tag has no Key"))?;
            let value = tag.value.ok_or(Refusal::MalformedXml("a Tag has no Value"))?;
            if tags.iter().any(|(before, _)| **before == key) {
                return Err(Refusal::InvalidTag("Cannot provide multiple Tags with the same key"));
            }
            tags.push((key.into(), value.into()));
        }
        Self(tags).checked()
    }

    fn checked(self) -> Outcome<Self> {
        for (key, value) in &self.0 {
            let length = key.encode_utf16().count();
            if length == 0 || length > TAG_KEY_CHARS_MAX || !key.chars().all(is_allowed) {
                return Err(Refusal::InvalidTag("The TagKey you have provided is invalid"));
            }
            if value.encode_utf16().count() > TAG_VALUE_CHARS_MAX || !value.chars().all(is_allowed)
            {
                return Err(Refusal::InvalidTag("The TagValue you have provided is invalid"));
            }
            if key.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("aws:")) {
                return Err(Refusal::InvalidTag(
                    "System tags cannot be added/updated by requester",
                ));
            }
        }
        Ok(self)
    }

    /// The form that the store keeps.
    pub(super) fn encode(&self) -> Bytes {
        if self.0.is_empty() {
            return Bytes::new();
        }
        let mut to = BytesMut::with_capacity(64);
        to.put_u8(u8::try_from(self.0.len()).unwrap_or(u8::MAX));
        for text in self.0.iter().flat_map(|(key, value)| [key, value]) {
            // Tags that passed the rules have at most 256 characters of at most 3 bytes for each UTF-16 unit.
            to.put_u16_le(u16::try_from(text.len()).unwrap_or(u16::MAX));
            to.put_slice(text.as_bytes());
        }
        to.freeze()
    }

    /// Reads what [`Self::encode`] has written.
    ///
    /// # Errors
    /// For anything else.
    pub(super) fn decode(encoded: &Bytes) -> Result<Self, Malformed> {
        let mut from = encoded.clone();
        let count = Self::count(encoded);
        let mut tags = Vec::with_capacity(count.min(TAGS_PER_OBJECT_MAX));
        if count > 0 {
            from.advance(1);
        }
        for _ in 0..count {
            tags.push((take(&mut from)?, take(&mut from)?));
        }
        if from.has_remaining() { Err(Malformed) } else { Ok(Self(tags)) }
    }

    /// How many there are in the store's form.
    pub(super) fn count(encoded: &Bytes) -> usize {
        encoded.first().map_or(0, |count| usize::from(*count))
    }

    /// Each key with its value.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// For XML.
    pub(super) fn into_set(self) -> dto::TagSet {
        let tag = |(key, value): (Box<str>, Box<str>)| dto::Tag {
            key: Some(key.into()),
            value: Some(value.into()),
        };
        self.0.into_iter().map(tag).collect()
    }
}

fn too_many() -> Refusal {
    Refusal::InvalidTag("Object tags cannot be greater than 10")
}

/// Letters, digits and spaces of any script, and eight signs.
fn is_allowed(letter: char) -> bool {
    letter.is_alphanumeric()
        || letter.is_whitespace() && !letter.is_control()
        || matches!(letter, '+' | '-' | '=' | '.' | '_' | ':' | '/' | '@')
}

fn take(from: &mut Bytes) -> Result<Box<str>, Malformed> {
    let length = usize::from(from.try_get_u16_le().map_err(|_| Malformed)?);
    if from.remaining() < length {
        return Err(Malformed);
    }
    let text = from.split_to(length);
    std::str::from_utf8(&text).map(Into::into).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_header(text: &'static str) -> Outcome<Tags> {
        Tags::of_header(&HeaderValue::from_static(text))
    }

    fn of_pairs(pairs: &[(&str, &str)]) -> Outcome<Tags> {
        let tag = |(key, value): &(&str, &str)| dto::Tag {
            key: Some((*key).to_owned()),
            value: Some((*value).to_owned()),
        };
        Tags::of_set(pairs.iter().map(tag).collect())
    }

    #[test]
    fn a_header_is_a_query() {
        let tags = of_header("a=1&b&c+d=%C3%A9%2B&e=x%3Dy").unwrap();
        let pairs: Vec<(&str, &str)> = tags.iter().collect();
        assert_eq!(pairs, [("a", "1"), ("b", ""), ("c d", "é+"), ("e", "x=y")]);
        assert_eq!(of_header("").unwrap(), Tags::default());
        for unreadable in ["a=1&a=2", "a=%FF"] {
            assert!(matches!(of_header(unreadable), Err(Refusal::InvalidArgument(_))));
        }
        for refused in ["=1", "a=%00", "a%21=1", "a&b&c&d&e&f&g&h&i&j&k", "aws:x=1"] {
            assert!(matches!(of_header(refused), Err(Refusal::InvalidTag(_))), "{refused}");
        }
    }

    #[test]
    fn a_document_has_ten_tags_of_bounded_length() {
        let (key, value) = ("é".repeat(128), "v".repeat(256));
        assert!(of_pairs(&[(&key, &value)]).is_ok() && of_pairs(&[("k", "")]).is_ok());
        let long = ("k".repeat(129), "v".repeat(257));
        for pairs in [
            &[(&*long.0, "v")][..],
            &[("k", &long.1)],
            &[("k", "1"), ("k", "2")],
            &[("AWS:k", "1")],
            &[("", "1")],
            &[("k", "a\nb")],
            &[("𝄞𝄞", &"𝄞".repeat(129))],
        ] {
            assert!(matches!(of_pairs(pairs), Err(Refusal::InvalidTag(_))), "{pairs:?}");
        }
        let names: Vec<String> = (0..11).map(|number| number.to_string()).collect();
        let eleven: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "")).collect();
        assert!(of_pairs(&eleven[..10]).is_ok() && of_pairs(&eleven).is_err());
    }

    #[test]
    fn what_is_kept_comes_back() {
        let tags = of_pairs(&[("b", "2"), ("a", ""), ("ключ", "значение")]).unwrap();
        let encoded = tags.encode();
        assert_eq!(Tags::count(&encoded), 3);
        assert_eq!(Tags::decode(&encoded), Ok(tags));
        assert_eq!(Tags::decode(&Tags::default().encode()), Ok(Tags::default()));
        for end in 1..encoded.len() {
            assert_eq!(Tags::decode(&encoded.slice(..end)), Err(Malformed), "{end}");
        }
        assert_eq!(Tags::decode(&Bytes::from_static(&[1, 1, 0, 0xff, 0, 0])), Err(Malformed));
    }
}
