//! Owns what is asked: which operation, which object, which range, as a pure function of the seed
//! and the operation's number. Two runs with the same options ask the same in the same order.
//!
//! Not here: when it is asked (`schedule.rs`), how (`operation.rs`), the bytes (`content.rs`).

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::content::{Content, word_at};
use crate::limits;
use crate::quantity::{bytes_exact, counted, parse_bytes};

/// One operation to perform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) kind: Kind,
    /// Number of the object, `0 .. objects`.
    pub(crate) object: u64,
    /// Bytes asked for; `None` is the whole object. Only with [`Kind::Get`].
    pub(crate) range: Option<Range<u64>>,
}

/// What is done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Get,
    Put,
    Head,
    List,
}

impl Kind {
    /// All kinds, in the order of [`Kind::index`] and of the tables.
    pub(crate) const ALL: [Kind; 4] = [Kind::Get, Kind::Put, Kind::Head, Kind::List];

    /// Position in [`Kind::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// Name in options, tables and JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Get => "get",
            Kind::Put => "put",
            Kind::Head => "head",
            Kind::List => "list",
        }
    }

    /// HTTP method of the first request.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Kind::Get | Kind::List => "GET",
            Kind::Put => "PUT",
            Kind::Head => "HEAD",
        }
    }
}

/// The data set and the way it is gone through.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    seed: u64,
    prefix: String,
    objects: u64,
    sizes: Sizes,
    order: Order,
    mix: Mix,
    ranges: Option<Ranges>,
}

/// The order in which objects are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Order {
    /// Uniformly at random, drawn from the seed.
    Random,
    /// One after the other, from the first again after the last.
    Sequential,
}

/// Ranged reads: a length, and where they start.
#[derive(Clone, Debug)]
pub(crate) struct Ranges {
    length: u64,
    offset: RangeOffset,
    align: u64,
    /// With sequential offsets: ranges before object `i`, and their sum at the end.
    before: Vec<u64>,
}

/// Where ranged reads start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RangeOffset {
    /// At a random multiple of the alignment at which the range still fits.
    Random,
    /// Ranges follow each other through an object, then through the next one.
    Sequential,
    /// At this offset of every object.
    Fixed(u64),
}

impl Scenario {
    /// A scenario over `objects` objects named `prefix` followed by ten digits.
    pub(crate) fn new(seed: u64, prefix: String, objects: u64, sizes: Sizes, mix: Mix) -> Scenario {
        assert!((1..=limits::OBJECTS_MAX).contains(&objects));
        Scenario { seed, prefix, objects, sizes, order: Order::Sequential, mix, ranges: None }
    }

    /// The same, objects taken in `order`.
    pub(crate) fn in_order(mut self, order: Order) -> Scenario {
        self.order = order;
        self
    }

    /// The same, with every get reading `length` bytes from `offset`, random offsets being
    /// multiples of `align`. Sequential offsets decide the object too, whatever the order.
    pub(crate) fn in_ranges(mut self, length: u64, offset: RangeOffset, align: u64) -> Scenario {
        assert!(length > 0 && align > 0);
        let mut before = Vec::new();
        if offset == RangeOffset::Sequential {
            let mut sum = 0;
            before.push(0);
            for object in 0..self.objects {
                sum += self.size_of(object).div_ceil(length);
                before.push(sum);
            }
        }
        self.ranges = Some(Ranges { length, offset, align, before });
        self
    }

    /// Number of objects.
    pub(crate) fn objects(&self) -> u64 {
        self.objects
    }

    /// What every key starts with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How long the ranges are that are read, if not whole objects.
    pub(crate) fn range_length(&self) -> Option<u64> {
        self.ranges.as_ref().map(|ranges| ranges.length)
    }

    /// Which kinds occur.
    pub(crate) fn mix(&self) -> &Mix {
        &self.mix
    }

    /// The `number`-th operation.
    pub(crate) fn operation(&self, number: u64) -> Operation {
        let kind = self.mix.draw(word_at(self.seed ^ KIND_STREAM, number));
        let ranges = match &self.ranges {
            Some(ranges) if kind == Kind::Get => ranges,
            _ => return self.whole(kind, number),
        };
        if ranges.offset == RangeOffset::Sequential {
            if let Some((object, nth)) = ranges.locate(number) {
                let start = nth * ranges.length;
                let end = (start + ranges.length).min(self.size_of(object));
                return ranged(object, start..end);
            }
            return self.whole(kind, number);
        }
        let whole = self.whole(kind, number);
        let size = self.size_of(whole.object);
        let start = match ranges.offset {
            RangeOffset::Fixed(offset) => offset,
            _ => {
                let places = size.saturating_sub(ranges.length) / ranges.align + 1;
                below(word_at(self.seed ^ OFFSET_STREAM, number), places) * ranges.align
            }
        };
        let end = start.saturating_add(ranges.length).min(size);
        // A range that starts behind the end is 416; the whole object is asked for instead.
        if start < end { ranged(whole.object, start..end) } else { whole }
    }

    fn whole(&self, kind: Kind, number: u64) -> Operation {
        let object = match self.order {
            Order::Sequential => number % self.objects,
            Order::Random => below(word_at(self.seed ^ OBJECT_STREAM, number), self.objects),
        };
        Operation { kind, object, range: None }
    }

    /// The key of an object.
    pub(crate) fn key_of(&self, object: u64) -> String {
        format!("{}{object:010}", self.prefix)
    }

    /// The size of an object, in bytes.
    pub(crate) fn size_of(&self, object: u64) -> u64 {
        self.sizes.draw(word_at(self.seed ^ SIZE_STREAM, object))
    }

    /// The bytes of an object whose key is `key`.
    pub(crate) fn content_of(&self, key: &str) -> Content {
        Content::new(self.seed, key)
    }

    /// One line for the report.
    pub(crate) fn describe(&self) -> String {
        let mut text = format!(
            "{} of {} under \"{}\", {}",
            counted(self.objects, "object"),
            self.sizes,
            self.prefix,
            match self.order {
                Order::Random => "random order",
                Order::Sequential => "in order",
            }
        );
        if let Some(ranges) = &self.ranges {
            let at = match ranges.offset {
                RangeOffset::Random => "random offsets".to_owned(),
                RangeOffset::Sequential => "sequential offsets".to_owned(),
                RangeOffset::Fixed(offset) => format!("offset {offset}"),
            };
            text += &format!(", ranges of {} at {at}", bytes_exact(ranges.length));
        }
        text
    }
}

impl Ranges {
    /// The object and the range in it that come `number`-th in the data set, wrapping around.
    fn locate(&self, number: u64) -> Option<(u64, u64)> {
        let total = *self.before.last()?;
        let nth = number.checked_rem(total)?;
        let object = self.before.partition_point(|before| *before <= nth) - 1;
        Some((object as u64, nth - self.before[object]))
    }
}

fn ranged(object: u64, range: Range<u64>) -> Operation {
    Operation { kind: Kind::Get, object, range: Some(range) }
}

/// Maps a uniform word to `0 .. bound` by its high bits (Lemire), without division.
fn below(word: u64, bound: u64) -> u64 {
    ((u128::from(word) * u128::from(bound)) >> 64) as u64
}

/// Streams drawn from one seed, kept apart.
const KIND_STREAM: u64 = 0x6B69_6E64;
const OBJECT_STREAM: u64 = 0x6F62_6A65;
const OFFSET_STREAM: u64 = 0x6F66_6673;
const SIZE_STREAM: u64 = 0x7369_7A65;

/// Sizes of the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sizes {
    /// Sizes with weights; one entry is a fixed size.
    List(Vec<(u64, u64)>),
    /// Between two sizes, both included, the logarithm uniform: every octave gets as many objects.
    LogUniform(u64, u64),
}

impl Sizes {
    fn draw(&self, word: u64) -> u64 {
        match self {
            Sizes::List(list) => weighted(list, word),
            Sizes::LogUniform(low, high) => {
                // The low end's logarithm needs a positive size; 0 is taken as 1.
                let (from, to) = ((*low).max(1) as f64, *high as f64 + 1.0);
                let at = (word >> 11) as f64 / (1_u64 << 53) as f64;
                let size = (from.ln() + (to.ln() - from.ln()) * at).exp();
                (size as u64).clamp(*low, *high)
            }
        }
    }

    /// The largest size that can be drawn.
    pub(crate) fn max(&self) -> u64 {
        match self {
            Sizes::List(list) => list.iter().map(|(size, _)| *size).max().unwrap_or(0),
            Sizes::LogUniform(_, high) => *high,
        }
    }
}

impl FromStr for Sizes {
    type Err = String;

    /// `4KiB`, `4KiB,1MiB`, `4KiB:3,1MiB:1` (weights) or `4KiB-16MiB` (log-uniform).
    fn from_str(text: &str) -> Result<Sizes, String> {
        if let Some((low, high)) = text.split_once('-') {
            let (low, high) = (parse_bytes(low)?, parse_bytes(high)?);
            return if low <= high {
                Ok(Sizes::LogUniform(low, high))
            } else {
                Err(format!("\"{text}\": the smaller size comes first, as in 4KiB-16MiB"))
            };
        }
        let list = weights(text, parse_bytes)?;
        if list.len() > limits::SIZES_MAX {
            return Err(format!("at most {} sizes", limits::SIZES_MAX));
        }
        Ok(Sizes::List(list))
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sizes::List(list) => {
                let sum: u64 = list.iter().map(|(_, weight)| weight).sum();
                for (position, (size, weight)) in list.iter().enumerate() {
                    let separator = if position == 0 { "" } else { ", " };
                    write!(formatter, "{separator}{}", bytes_exact(*size))?;
                    if list.len() > 1 {
                        write!(formatter, " ({:.0} %)", 100.0 * *weight as f64 / sum as f64)?;
                    }
                }
                Ok(())
            }
            Sizes::LogUniform(low, high) => {
                write!(formatter, "{} to {}", bytes_exact(*low), bytes_exact(*high))
            }
        }
    }
}

/// How often each kind occurs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mix(Vec<(Kind, u64)>);

impl Mix {
    /// Only this kind.
    pub(crate) fn only(kind: Kind) -> Mix {
        Mix(vec![(kind, 1)])
    }

    /// The kinds that occur.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        self.0.iter().map(|(kind, _)| *kind)
    }

    fn draw(&self, word: u64) -> Kind {
        match self.0.as_slice() {
            [(kind, _)] => *kind,
            list => weighted(list, word),
        }
    }
}

impl FromStr for Mix {
    type Err = String;

    /// `get:90,put:10`: kinds (`get`, `put`, `head`, `list`) with weights.
    fn from_str(text: &str) -> Result<Mix, String> {
        let list = weights(text, |name| {
            Kind::ALL
                .into_iter()
                .find(|kind| kind.name() == name)
                .ok_or_else(|| format!("\"{name}\" is none of get, put, head, list"))
        })?;
        match list.iter().enumerate().find(|(position, (kind, _))| {
            list[..*position].iter().any(|(earlier, _)| earlier == kind)
        }) {
            Some((_, (kind, _))) => Err(format!("{} is there twice", kind.name())),
            None => Ok(Mix(list)),
        }
    }
}

/// Parses `a:2,b:1`; a weight not given is 1.
fn weights<T>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<(T, u64)>, String> {
    text.split(',')
        .map(|entry| {
            let (value, weight) = entry.split_once(':').unwrap_or((entry, "1"));
            match weight.parse::<u32>() {
                Ok(weight) if weight > 0 => Ok((parse(value)?, u64::from(weight))),
                _ => Err(format!("\"{weight}\" is no weight; write a whole number over 0")),
            }
        })
        .collect()
}

/// The entry that a uniform word falls on. The list is not empty, no weight is 0.
fn weighted<T: Copy>(list: &[(T, u64)], word: u64) -> T {
    let sum: u64 = list.iter().map(|(_, weight)| weight).sum();
    let mut at = below(word, sum);
    for (value, weight) in list {
        if at < *weight {
            return *value;
        }
        at -= weight;
    }
    unreachable!("a number below the sum of the weights falls on one of them")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(objects: u64, sizes: &str) -> Scenario {
        let sizes = sizes.parse().expect("sizes");
        Scenario::new(42, "p/".to_owned(), objects, sizes, Mix::only(Kind::Get))
    }

    #[test]
    fn the_same_seed_asks_the_same() {
        let one = scenario(100, "1-9000").in_order(Order::Random);
        let two = scenario(100, "1-9000").in_order(Order::Random);
        assert!((0..1000).all(|number| one.operation(number) == two.operation(number)));
        assert_eq!(one.key_of(7), "p/0000000007");
    }

    #[test]
    fn random_order_reaches_every_object_and_no_other() {
        let scenario = scenario(50, "4KiB").in_order(Order::Random);
        let mut seen = [0_u32; 50];
        for number in 0..5000 {
            seen[scenario.operation(number).object as usize] += 1;
        }
        assert!(seen.iter().all(|count| (40..=200).contains(count)), "{seen:?}");
    }

    #[test]
    fn sequential_ranges_cover_each_object_once_in_order() {
        let scenario = scenario(20, "0-5000").in_ranges(512, RangeOffset::Sequential, 1);
        let mut number = 0;
        for object in 0..20 {
            let mut at = 0;
            while at < scenario.size_of(object) {
                let operation = scenario.operation(number);
                let range = operation.range.expect("a range");
                assert_eq!((operation.object, range.start), (object, at));
                assert_eq!(range.end, (at + 512).min(scenario.size_of(object)));
                at = range.end;
                number += 1;
            }
        }
        let first = (0..20).find(|object| scenario.size_of(*object) > 0);
        assert_eq!(Some(scenario.operation(number).object), first, "wraps around");
    }

    #[test]
    fn random_ranges_fit_and_are_aligned() {
        let scenario =
            scenario(10, "100KB").in_order(Order::Random).in_ranges(1000, RangeOffset::Random, 512);
        let mut largest = 0;
        for number in 0..2000 {
            let range = scenario.operation(number).range.expect("a range");
            assert_eq!((range.start % 512, range.end - range.start), (0, 1000));
            largest = largest.max(range.start);
            assert!(range.end <= 100_000);
        }
        assert!(largest > 95_000, "{largest}");
    }

    #[test]
    fn fixed_ranges_are_cut_at_the_end() {
        let scenario = scenario(1, "1000");
        let at = |offset| {
            scenario.clone().in_ranges(600, RangeOffset::Fixed(offset), 1).operation(0).range
        };
        assert_eq!(at(0), Some(0..600));
        assert_eq!(at(500), Some(500..1000));
        assert_eq!(at(1000), None);
    }

    #[test]
    fn sizes_are_parsed_drawn_and_printed() {
        assert_eq!("4KiB".parse(), Ok(Sizes::List(vec![(4096, 1)])));
        assert_eq!("4KiB:3,1MiB".parse(), Ok(Sizes::List(vec![(4096, 3), (1 << 20, 1)])));
        assert!("1MiB-4KiB".parse::<Sizes>().is_err());
        assert!("4KiB:0".parse::<Sizes>().is_err());
        assert!("".parse::<Sizes>().is_err());
        let sizes: Sizes = "4KiB:3,1MiB".parse().expect("sizes");
        assert_eq!(sizes.to_string(), "4 KiB (75 %), 1 MiB (25 %)");
        let small = (0..4000).filter(|n| sizes.draw(word_at(1, *n)) == 4096).count();
        assert!((2850..3150).contains(&small), "{small}");
        let range: Sizes = "1KiB-1MiB".parse().expect("sizes");
        let drawn: Vec<u64> = (0..10_000).map(|n| range.draw(word_at(2, n))).collect();
        assert!(drawn.iter().all(|size| (1024..=1 << 20).contains(size)));
        let below_middle = drawn.iter().filter(|size| **size < 32 << 10).count();
        assert!((4800..5200).contains(&below_middle), "log-uniform: {below_middle}");
    }

    #[test]
    fn mixes_are_parsed_and_drawn() {
        let mix: Mix = "get:9,put:1".parse().expect("mix");
        let puts = (0..10_000).filter(|number| mix.draw(word_at(3, *number)) == Kind::Put).count();
        assert!((850..1150).contains(&puts), "{puts}");
        assert!("get,delete".parse::<Mix>().is_err());
        assert!("get,get".parse::<Mix>().is_err());
    }
}
