//! Owns entity tags: those made here (MD5 of the content; S3's tag of a multipart object) and lists of them in
//! conditions (RFC 9110, 8.8.3 and 13.1).

use http::HeaderValue;
use md5::{Digest as _, Md5};

/// Tags of a condition header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TagList {
    /// `*`: whatever there is.
    Any,
    /// One or more tags.
    Tags(Vec<Tag>),
}

/// One tag of a condition header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// `W/"…"`.
    pub(super) weak: bool,
    /// Without quotes.
    pub(super) value: Box<str>,
}

impl TagList {
    /// Reads the values of one header, which may stand on several lines. A tag without quotes is taken too: SDKs send
    /// what they read from XML. None where a quote is left open, a value is not ASCII, or there is no tag at all.
    pub(super) fn parse<'a>(lines: impl IntoIterator<Item = &'a HeaderValue>) -> Option<Self> {
        let mut tags = Vec::new();
        for line in lines {
            let line = line.to_str().ok()?.trim();
            if line == "*" {
                return Some(Self::Any);
            }
            parse_line(line, &mut tags)?;
        }
        (!tags.is_empty()).then_some(Self::Tags(tags))
    }

    /// Strong comparison (RFC 9110, 8.8.3.2): for If-Match and If-Range.
    pub(super) fn matches_strongly(&self, current: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|tag| !tag.weak && *tag.value == *current),
        }
    }

    /// Weak comparison: for If-None-Match.
    pub(super) fn matches_weakly(&self, current: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|tag| *tag.value == *current),
        }
    }
}

fn parse_line(line: &str, tags: &mut Vec<Tag>) -> Option<()> {
    let mut rest = line.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let (weak, after) = rest.strip_prefix("W/").map_or((false, rest), |after| (true, after));
        if let Some(quoted) = after.strip_prefix('"') {
            let (value, after) = quoted.split_once('"')?;
            tags.push(Tag { weak, value: value.into() });
            rest = after;
        } else {
            let (value, after) = rest.split_once(',').unwrap_or((rest, ""));
            if value.contains('"') {
                return None;
            }
            tags.push(Tag { weak: false, value: value.trim().into() });
            rest = after;
        }
        rest = rest.trim_start_matches([' ', '\t', ',']);
    }
    Some(())
}

/// The tag of content written in one piece: its MD5 in hex.
pub(super) fn of_content(md5: &[u8; 16]) -> Box<str> {
    hex_simd::encode_to_string(md5, hex_simd::AsciiCase::Lower).into()
}

/// The tag of content that something was appended to: made of the tag before and that of what was appended, so that
/// the same pieces have the same tag, and marked as no MD5 by the number of pieces.
pub(super) fn of_appended(before: &str, piece: &str) -> Box<str> {
    let pieces = before.rsplit_once('-').and_then(|(_, count)| count.parse::<u32>().ok());
    let digest = Md5::new().chain_update(before).chain_update(piece).finalize();
    let digest = hex_simd::encode_to_string(digest, hex_simd::AsciiCase::Lower);
    format!("{digest}-{}", pieces.unwrap_or(1).saturating_add(1)).into()
}

/// The MD5 behind a tag that [`of_content`] made; none for a multipart tag.
pub(super) fn content_md5(tag: &str) -> Option<[u8; 16]> {
    if tag.len() != 32 {
        return None;
    }
    hex_simd::decode_to_vec(tag).ok()?.try_into().ok()
}

/// The tag of a multipart object: the MD5 of its parts' MD5s and how many there are ("Checking object integrity").
/// A part whose tag is no MD5 enters by its tag's bytes.
pub(super) fn of_parts<'a>(tags: impl IntoIterator<Item = &'a str>) -> Box<str> {
    let mut digest = Md5::new();
    let mut count = 0_usize;
    for tag in tags {
        match content_md5(tag) {
            Some(md5) => digest.update(md5),
            None => digest.update(tag.as_bytes()),
        }
        count += 1;
    }
    let md5: [u8; 16] = digest.finalize().into();
    format!("{}-{count}", of_content(&md5)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &'static str) -> Option<TagList> {
        TagList::parse([&HeaderValue::from_static(text)])
    }

    #[test]
    fn lists_are_read_with_and_without_quotes() {
        let two = list("\"a\", W/\"b,c\"").unwrap();
        assert!(
            two.matches_strongly("a") && !two.matches_strongly("b,c") && two.matches_weakly("b,c")
        );
        assert!(list("abc-3").unwrap().matches_strongly("abc-3"));
        assert!(list("a,b").unwrap().matches_strongly("b"));
        assert_eq!(list("*"), Some(TagList::Any));
        for bad in ["", " , ", "\"open", "a\"b", "W/\"open"] {
            assert_eq!(list(bad), None, "{bad:?}");
        }
        let lines = [HeaderValue::from_static("\"a\""), HeaderValue::from_static("\"b\"")];
        assert!(TagList::parse(&lines).unwrap().matches_strongly("b"));
    }

    #[test]
    fn tags_follow_amazon_s3() {
        // The MD5 of nothing, and of two such parts: printf '<hex><hex>' | xxd -r -p | md5sum.
        let empty: [u8; 16] = Md5::digest(b"").into();
        let tag = of_content(&empty);
        assert_eq!(&*tag, "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(content_md5(&tag), Some(empty));
        let mut both = empty.to_vec();
        both.extend(empty);
        let expected: [u8; 16] = Md5::digest(&both).into();
        assert_eq!(*of_parts([&*tag, &*tag]), *format!("{}-2", of_content(&expected)));
        assert_eq!(content_md5("d41d8cd98f00b204e9800998ecf8427e-2"), None);
        assert_eq!(content_md5("zz1d8cd98f00b204e9800998ecf8427e"), None);
    }
}
