//! Which trace a request belongs to: W3C Trace Context in, ours where the client brings none.
//!
//! Owns: the reading of `traceparent`, and the sampling. What is answered depends on the request
//! and the process alone, so that whoever asks (spans, access log, exemplars) gets the same.
//! *Not here*: who is told (`super`).

use http::HeaderValue;

use crate::record::account::Asked;

/// The place of a request in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The trace, never 0.
    pub trace: u128,
    /// The span of the request itself, never 0.
    pub span: u64,
    /// The span of the client, where it brought one.
    pub parent: Option<u64>,
    /// Whether spans are made of it.
    pub sampled: bool,
}

/// What the client says in `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parent {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// Which requests are traced.
#[derive(Debug, Clone, Copy)]
pub struct Sampling {
    every: u64,
    key: u64,
}

impl Sampling {
    /// Of requests that bring no sampled `traceparent`, one of `every`; 0 for none.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn new(every: u64) -> Result<Sampling, getrandom::Error> {
        Ok(Sampling { every, key: getrandom::u64()? })
    }

    /// The place of a request; `None` when the client says nothing and it is not sampled.
    pub fn context(&self, asked: &Asked) -> Option<Context> {
        let parent = asked.traceparent.as_ref().and_then(parse);
        if parent.is_none() && self.every == 0 {
            return None;
        }
        // Distinct for 2^64 requests of a lane, and spread evenly: see `RequestIds`.
        let id = u64::from_str_radix(asked.id.as_str(), 16).unwrap_or_default();
        let chosen = self.every > 0 && id.is_multiple_of(self.every);
        let sampled = chosen || parent.is_some_and(|parent| parent.sampled);
        if parent.is_none() && !sampled {
            return None;
        }
        let own = || u128::from(self.mixed(id, 1)) << 64 | u128::from(self.mixed(id, 2));
        Some(Context {
            trace: parent.map_or_else(own, |parent| parent.trace),
            span: self.mixed(id, 0),
            parent: parent.map(|parent| parent.span),
            sampled,
        })
    }

    /// Another number for each pair, never 0 (SplitMix64's mix; one to one for each `stream`).
    pub(super) fn mixed(&self, id: u64, stream: u64) -> u64 {
        let state = id ^ self.key.wrapping_add(stream.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)).max(1)
    }
}

/// The trace that a request belongs to: as sampled, or without sampling the client's alone.
pub fn trace(sampling: Option<&Sampling>, asked: &Asked) -> Option<u128> {
    match sampling {
        Some(sampling) => Some(sampling.context(asked)?.trace),
        None => Some(parse(asked.traceparent.as_ref()?)?.trace),
    }
}

/// `VERSION-TRACE-SPAN-FLAGS` in lower-case hexadecimal digits (W3C Trace Context, 3.2). A version
/// that is not known yet may have more fields behind these (3.2.4).
fn parse(value: &HeaderValue) -> Option<Parent> {
    const LENGTH: usize = 55;
    let text = value.to_str().ok()?;
    let (known, further) = text.split_at_checked(LENGTH)?;
    let version = number(known.get(..2)?)?;
    if version == 0xFF || (version == 0 && !further.is_empty()) {
        return None;
    }
    if !further.is_empty() && !further.starts_with('-') {
        return None;
    }
    let mut fields = known.split('-').skip(1);
    let (trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?);
    if (trace.len(), span.len(), flags.len(), fields.next()) != (32, 16, 2, None) {
        return None;
    }
    let (trace, span, flags) = (number(trace)?, number(span)?, number(flags)?);
    let span = u64::try_from(span).ok()?;
    (trace != 0 && span != 0).then_some(Parent { trace, span, sampled: flags & 1 == 1 })
}

/// The number of lower-case hexadecimal digits, 32 at most.
fn number(digits: &str) -> Option<u128> {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    digits.bytes().all(digit).then(|| u128::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::sample;
    use std::collections::BTreeSet;

    pub(crate) fn asked(traceparent: Option<&'static str>) -> Asked {
        Asked {
            host: Some(HeaderValue::from_static("localhost:9000")),
            user_agent: Some(HeaderValue::from_static("a \"client\"/1.0")),
            traceparent: traceparent.map(HeaderValue::from_static),
            peer: Some([192, 0, 2, 7].into()),
            ..sample::asked("/photos/a/cat.jpg?X-Amz-Signature=5ec2e7&partNumber=1")
        }
    }

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parsed(text: &'static str) -> Option<Parent> {
        parse(&HeaderValue::from_static(text))
    }

    #[test]
    fn the_published_example_is_read() {
        let parent = parsed(GOOD).unwrap();
        assert_eq!(parent.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((parent.span, parent.sampled), (0x00f0_67aa_0ba9_02b7, true));
    }

    #[test]
    fn what_the_specification_calls_invalid_is_ignored() {
        for text in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
            "+0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for text in [
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-brings",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parsed(text), parsed(GOOD), "{text}");
        }
        let flags = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02";
        assert!(!parsed(flags).unwrap().sampled);
    }

    #[test]
    fn one_of_so_many_is_sampled_and_clients_decide_for_theirs() {
        let sampling = Sampling { every: 10, key: 7 };
        let contexts: Vec<_> = (0..10_000).filter_map(|_| sampling.context(&asked(None))).collect();
        assert!((800..1200).contains(&contexts.len()), "{}", contexts.len());
        assert!(contexts.iter().all(|it| it.sampled && it.parent.is_none()));
        let spans: BTreeSet<_> = contexts.iter().map(|it| it.span).collect();
        assert_eq!(spans.len(), contexts.len());
        let none = Sampling { every: 0, key: 7 };
        assert_eq!(none.context(&asked(None)), None);
        let context = none.context(&asked(Some(GOOD))).unwrap();
        assert_eq!((context.sampled, context.parent), (true, Some(0x00f0_67aa_0ba9_02b7)));
        let unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        assert!(!none.context(&asked(Some(unsampled))).unwrap().sampled);
    }
}
