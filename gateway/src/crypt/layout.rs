//! Owns where the bytes of an encrypted object lie: which of its contents (the parts that it was uploaded in, or the one
//! piece) has a byte, and where that content's chunks begin in what is stored.
//!
//! The store knows sealed bytes alone, so the parts' sizes are written down when an upload is completed: as runs of
//! parts of one size, of which the usual upload has two, with the numbers that are left out between them. Each takes 5
//! to 9 bytes; 10,000 parts of 10,000 sizes take 50,000.
//!
//! Not here: how a content is cut into chunks (`chunk`).

use std::ops::Range;

use bytes::{Buf, BufMut};

use super::Malformed;
use super::chunk::sealed_size;
use crate::s3::limits::{PART_BYTES_MAX, PART_NUMBER_MAX};

/// Bytes that a layout takes at most.
pub(super) const LAYOUT_BYTES_MAX: usize = 5 * PART_NUMBER_MAX as usize;

/// Parts of one size whose numbers follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first one's number.
    first: u16,
    /// How many.
    count: u16,
    /// Bytes of the content of each.
    plain: u64,
}

/// What an object consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One content.
    Whole,
    /// Parts, in the order of their numbers.
    Parts(Vec<Run>),
}

/// One content of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// The part's number; none for an object in one piece.
    pub part: Option<u16>,
    /// Its first byte within the object.
    pub plain_start: u64,
    /// Its bytes.
    pub plain: u64,
    /// The first byte of its first chunk within what is stored.
    pub sealed_start: u64,
}

impl Content {
    /// The first byte behind it within the object.
    pub fn plain_end(&self) -> u64 {
        self.plain_start + self.plain
    }
}

impl Layout {
    /// Of parts with their numbers, which rise, and the bytes of their content.
    pub fn of_parts(parts: impl IntoIterator<Item = (u16, u64)>) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for (number, plain) in parts {
            match runs.last_mut() {
                Some(run) if run.plain == plain && run.first + run.count == number => {
                    run.count += 1;
                }
                _ => runs.push(Run { first: number, count: 1, plain }),
            }
        }
        Self::Parts(runs)
    }

    /// Bytes of all parts; none for one content, whose size this does not say.
    pub fn plain_size(&self) -> Option<u64> {
        let Self::Parts(runs) = self else { return None };
        Some(runs.iter().map(|run| run.plain * u64::from(run.count)).sum())
    }

    /// The content with that number.
    pub fn part(&self, number: u16, size: u64) -> Option<Content> {
        let Self::Parts(runs) = self else {
            return (number == 1).then_some(whole(size));
        };
        let mut start = Start::default();
        for run in runs {
            if (run.first..run.first + run.count).contains(&number) {
                return Some(start.content(run, number - run.first));
            }
            start.pass(run, run.count);
        }
        None
    }

    /// Where the contents of an object of `size` bytes begin that has byte `offset`: at the one that has it, or at the
    /// end where none has.
    pub fn at(&self, size: u64, offset: u64) -> Cursor {
        let mut cursor = Cursor::default();
        let Self::Parts(runs) = self else {
            return Cursor { whole: (offset < size).then_some(whole(size)), ..cursor };
        };
        for run in runs {
            let bytes = run.plain * u64::from(run.count);
            if offset < cursor.start.plain + bytes {
                // Within the run, so its parts are not empty, and it has fewer of them than 65,536.
                let within = (offset - cursor.start.plain) / run.plain;
                cursor.within = u16::try_from(within).unwrap_or(u16::MAX);
                break;
            }
            cursor.start.pass(run, run.count);
            cursor.run += 1;
        }
        cursor
    }

    /// Appends the stored form; nothing for one content.
    pub(super) fn encode(&self, to: &mut impl BufMut) {
        let Self::Parts(runs) = self else { return };
        let mut next = 1;
        for run in runs {
            let gap = run.first - next;
            let head = run.plain << 2 | u64::from(run.count > 1) << 1 | u64::from(gap > 0);
            put_number(to, head);
            if gap > 0 {
                put_number(to, u64::from(gap));
            }
            if run.count > 1 {
                put_number(to, u64::from(run.count));
            }
            next = run.first + run.count;
        }
    }

    /// Reads what [`Self::encode`] has written of parts, to the end.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub(super) fn decode(from: &mut impl Buf) -> Result<Self, Malformed> {
        let mut runs = Vec::new();
        let mut next = 1_u64;
        while from.has_remaining() {
            let head = take_number(from)?;
            let gap = if head & 1 == 1 { take_number(from)? } else { 0 };
            let count = if head & 2 == 2 { take_number(from)? } else { 1 };
            let plain = head >> 2;
            let first = next.checked_add(gap).ok_or(Malformed)?;
            next = first.checked_add(count).ok_or(Malformed)?;
            let in_bounds = next <= u64::from(PART_NUMBER_MAX) + 1 && plain <= PART_BYTES_MAX;
            if !in_bounds || count == 0 {
                return Err(Malformed);
            }
            // Both are at most 10,000.
            runs.push(Run { first: first as u16, count: count as u16, plain });
        }
        Ok(Self::Parts(runs))
    }
}

fn whole(size: u64) -> Content {
    Content { part: None, plain_start: 0, plain: size, sealed_start: 0 }
}

/// Where a run begins.
#[derive(Clone, Copy, Debug, Default)]
struct Start {
    plain: u64,
    sealed: u64,
}

impl Start {
    fn pass(&mut self, run: &Run, parts: u16) {
        self.plain += run.plain * u64::from(parts);
        self.sealed += sealed_size(run.plain) * u64::from(parts);
    }

    fn content(mut self, run: &Run, within: u16) -> Content {
        self.pass(run, within);
        Content {
            part: Some(run.first + within),
            plain_start: self.plain,
            plain: run.plain,
            sealed_start: self.sealed,
        }
    }
}

/// A place among the contents of a layout.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    whole: Option<Content>,
    /// Runs that are behind.
    run: usize,
    /// Parts of the present run that are behind.
    within: u16,
    /// Where the present run begins.
    start: Start,
}

impl Cursor {
    /// The content at this place of `layout`, which made the cursor; the place is then behind it.
    pub fn next(&mut self, layout: &Layout) -> Option<Content> {
        let Layout::Parts(runs) = layout else { return self.whole.take() };
        let run = runs.get(self.run)?;
        let content = self.start.content(run, self.within);
        self.within += 1;
        if self.within == run.count {
            self.start.pass(run, run.count);
            (self.run, self.within) = (self.run + 1, 0);
        }
        Some(content)
    }
}

/// The bytes to read of what is stored to have `range`, which is not empty and lies within the object.
pub(super) fn sealed_range(layout: &Layout, size: u64, range: &Range<u64>) -> Option<Range<u64>> {
    use super::chunk::{PLAIN_CHUNK_BYTES, SEALED_CHUNK_BYTES};
    let first = layout.at(size, range.start).next(layout)?;
    let last = layout.at(size, range.end.checked_sub(1)?).next(layout)?;
    let chunk = (range.start - first.plain_start) / PLAIN_CHUNK_BYTES;
    let last_chunk = (range.end - 1 - last.plain_start) / PLAIN_CHUNK_BYTES;
    let end = ((last_chunk + 1) * SEALED_CHUNK_BYTES).min(sealed_size(last.plain));
    Some(first.sealed_start + chunk * SEALED_CHUNK_BYTES..last.sealed_start + end)
}

/// Seven bits a byte, low ones first; the top bit says that more follow.
fn put_number(to: &mut impl BufMut, mut number: u64) {
    while number >= 0x80 {
        to.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    to.put_u8(number as u8);
}

fn take_number(from: &mut impl Buf) -> Result<u64, Malformed> {
    let mut number = 0;
    // 63 bits are more than any number here has.
    for shift in (0..63).step_by(7) {
        let byte = from.try_get_u8().map_err(|_| Malformed)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Malformed)
}

#[cfg(test)]
mod tests {
    use super::super::chunk::{PLAIN_CHUNK_BYTES, SEALED_CHUNK_BYTES};
    use super::*;
    use proptest::prelude::*;

    fn round_trip(layout: &Layout) -> (Layout, usize) {
        let mut bytes = Vec::new();
        layout.encode(&mut bytes);
        let length = bytes.len();
        (Layout::decode(&mut &bytes[..]).unwrap(), length)
    }

    #[test]
    fn an_upload_of_equal_parts_takes_a_few_bytes() {
        let mib = 1 << 20;
        let parts = (1..=100).map(|number| (number, 8 * mib)).chain([(101, mib)]);
        let layout = Layout::of_parts(parts);
        assert_eq!(round_trip(&layout), (layout.clone(), 9));
        assert_eq!(layout.plain_size(), Some(801 * mib));
        let gaps = Layout::of_parts([(3, 5 * mib), (4, 5 * mib), (9_999, 5 * mib), (10_000, 1)]);
        assert_eq!(round_trip(&gaps).0, gaps);
        assert_eq!(gaps.part(9_999, 0).unwrap().plain_start, 10 * mib);
        assert_eq!(gaps.part(5, 0), None);
    }

    #[test]
    fn the_worst_layout_fits() {
        let all = (1..=PART_NUMBER_MAX).map(|number| (number, PART_BYTES_MAX - u64::from(number)));
        let layout = Layout::of_parts(all);
        let (same, length) = round_trip(&layout);
        assert_eq!((same, length), (layout, LAYOUT_BYTES_MAX));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |bytes: &[u8]| Layout::decode(&mut &bytes[..]).is_err();
        assert!(refused(&[0x80]), "cut");
        assert!(refused(&[0x02, 0]), "no parts");
        assert!(refused(&[0x01, 0x90, 0x4e]), "part 10,001");
        assert!(refused(&[0xff; 10]), "a number without an end");
        assert!(refused(&[0xfc, 0xff, 0xff, 0xff, 0xff, 0x01]), "a part over 5 GiB");
    }

    #[test]
    fn a_range_takes_the_chunks_that_it_touches() {
        const PLAIN: u64 = PLAIN_CHUNK_BYTES;
        const SEALED: u64 = SEALED_CHUNK_BYTES;
        let read = |range: Range<u64>| sealed_range(&Layout::Whole, 2 * PLAIN + 9, &range);
        assert_eq!(read(0..1), Some(0..SEALED));
        assert_eq!(read(PLAIN - 1..PLAIN), Some(0..SEALED));
        assert_eq!(read(PLAIN - 1..PLAIN + 1), Some(0..2 * SEALED));
        assert_eq!(read(PLAIN..PLAIN + 1), Some(SEALED..2 * SEALED));
        assert_eq!(read(2 * PLAIN..2 * PLAIN + 9), Some(2 * SEALED..2 * SEALED + 25));
        assert_eq!(read(2 * PLAIN + 9..2 * PLAIN + 10), None);
        // Two parts of 10 bytes: 26 and 26 sealed.
        let parts = Layout::of_parts([(1, 10), (2, 10)]);
        assert_eq!(sealed_range(&parts, 20, &(9..11)), Some(0..52));
        assert_eq!(sealed_range(&parts, 20, &(10..11)), Some(26..52));
    }

    proptest! {
        #[test]
        fn every_byte_is_found_where_a_plain_list_has_it(
            sizes in proptest::collection::vec(0_u64..6, 1..20),
            gaps in proptest::collection::vec(0_u16..3, 20),
            offset in 0_u64..130,
        ) {
            let mut number = 0;
            let mut reference = Vec::new();
            let (mut plain_start, mut sealed_start) = (0, 0);
            for (size, gap) in sizes.iter().zip(gaps) {
                number += 1 + gap;
                let content = Content { part: Some(number), plain_start, plain: *size, sealed_start };
                reference.push(content);
                plain_start += size;
                sealed_start += sealed_size(*size);
            }
            let parts = reference.iter().map(|it| (it.part.unwrap(), it.plain));
            let (layout, _) = round_trip(&Layout::of_parts(parts));
            prop_assert_eq!(layout.plain_size(), Some(plain_start));
            for content in &reference {
                prop_assert_eq!(layout.part(content.part.unwrap(), plain_start), Some(*content));
            }
            let from = reference.iter().position(|it| offset < it.plain_end());
            let expected = from.map_or(&[][..], |from| &reference[from..]);
            let mut cursor = layout.at(plain_start, offset);
            let found: Vec<Content> = std::iter::from_fn(|| cursor.next(&layout)).collect();
            // Empty parts before the offset's may be passed over or not: they have no bytes.
            prop_assert_eq!(
                found.iter().filter(|it| it.plain > 0).collect::<Vec<_>>(),
                expected.iter().filter(|it| it.plain > 0).collect::<Vec<_>>()
            );
        }

        #[test]
        fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(layout) = Layout::decode(&mut &bytes[..]) {
                let size = layout.plain_size().unwrap();
                let mut cursor = layout.at(size, size / 2);
                prop_assert!(std::iter::from_fn(|| cursor.next(&layout)).count() <= 10_000);
            }
        }
    }
}
