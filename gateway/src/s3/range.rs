//! Owns the `Range` request header (RFC 9110, 14.2) and `x-amz-copy-source-range`: text to bytes of an object.
//!
//! Amazon S3 answers one range only: a header with several, another unit or bad syntax is ignored and the whole
//! object is sent, as RFC 9110 allows.

use std::ops::Range;

/// One byte range as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// `bytes=a-`
    From(u64),
    /// `bytes=a-b`, both inclusive, `a <= b`.
    Between(u64, u64),
    /// `bytes=-n`: the last n.
    Last(u64),
}

/// No byte of the object lies in the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsatisfiable;

impl Wanted {
    /// None where the header is to be ignored. Numbers beyond 64 bits count as the largest.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (unit, set) = text.trim().split_once('=')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = set.trim().split_once('-')?;
        match (first.is_empty(), last.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Self::Last(number(last)?)),
            (false, true) => Some(Self::From(number(first)?)),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    /// The bytes of an object of `size` that are meant.
    ///
    /// # Errors
    /// There are none.
    pub(super) fn within(self, size: u64) -> Result<Range<u64>, Unsatisfiable> {
        let range = match self {
            Self::From(first) => first..size,
            Self::Between(first, last) => first..size.min(last.saturating_add(1)),
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        if range.start < range.end { Ok(range) } else { Err(Unsatisfiable) }
    }
}

fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// `bytes a-b/size` of a range that is not empty.
pub(super) fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_three_forms_and_what_is_ignored() {
        for (text, expected) in [
            ("bytes=0-0", Some(Wanted::Between(0, 0))),
            ("Bytes=5-", Some(Wanted::From(5))),
            ("bytes=-7", Some(Wanted::Last(7))),
            ("bytes=-0", Some(Wanted::Last(0))),
            ("bytes=0-99999999999999999999999", Some(Wanted::Between(0, u64::MAX))),
            ("bytes=5-4", None),
            ("bytes=0-1,4-5", None),
            ("bytes=-", None),
            ("bytes=+1-2", None),
            ("bytes=a-b", None),
            ("bytes=1 - 2", None),
            ("rows=0-1", None),
            ("bytes", None),
            ("", None),
        ] {
            assert_eq!(Wanted::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn ranges_are_cut_to_the_object() {
        assert_eq!(Wanted::Between(2, u64::MAX).within(10), Ok(2..10));
        assert_eq!(Wanted::From(9).within(10), Ok(9..10));
        assert_eq!(Wanted::From(10).within(10), Err(Unsatisfiable));
        assert_eq!(Wanted::Last(20).within(10), Ok(0..10));
        assert_eq!(Wanted::Last(0).within(10), Err(Unsatisfiable));
        assert_eq!(Wanted::Last(1).within(0), Err(Unsatisfiable));
        assert_eq!(content_range(&(2..10), 10), "bytes 2-9/10");
    }

    proptest! {
        #[test]
        fn any_text_and_size_stay_inside(text in "(bytes=)?[0-9,-]{0,24}", size in 0..1_000_u64) {
            if let Some(Ok(range)) = Wanted::parse(&text).map(|wanted| wanted.within(size)) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }
    }
}
