//! Owns: SigV4's canonical request for S3, byte for byte, written into one reused buffer.
//! Limits: `QUERY_PARAMETERS_MAX`.
//!
//! What is signed is what is parsed: path and query are decoded and encoded again in one pass, so
//! `%7E` and `~`, or `(` and `%28`, are the same request here as they are to S3. Two things are
//! kept as they came: S3 does not normalise paths (`//`, `.` and `..` are parts of keys), and `/`
//! stays apart from `%2F`, as clients sign them apart.
//! Source: AWS, "Create a signed AWS API request", S3 rules.

use std::ops::Range;

use http::HeaderMap;
use http::header::HeaderValue;

use super::error::AuthError;
use super::limits::QUERY_PARAMETERS_MAX;

/// The query of one request in canonical form, reused from request to request.
#[derive(Default)]
pub(super) struct Query {
    text: Vec<u8>,
    pairs: Vec<Pair>,
}

/// Where the canonical name and value of a parameter stand in `Query::text`.
#[derive(Clone)]
struct Pair {
    name: Range<usize>,
    value: Range<usize>,
}

impl Query {
    /// Replaces the content by the parameters of `raw`, the text after `?`. A parameter without
    /// `=` has an empty value; `+` is a space, as in every form decoder behind the verifier.
    pub(super) fn read(&mut self, raw: &str) -> Result<(), AuthError> {
        self.text.clear();
        self.pairs.clear();
        for parameter in raw.as_bytes().split(|&byte| byte == b'&').filter(|text| !text.is_empty())
        {
            if self.pairs.len() == QUERY_PARAMETERS_MAX {
                return Err(AuthError::InvalidRequest(
                    "The request has more than 256 query parameters.".into(),
                ));
            }
            let equals = parameter.iter().position(|&byte| byte == b'=');
            let (name, value) = match equals {
                Some(at) => (&parameter[..at], &parameter[at + 1..]),
                None => (parameter, &[][..]),
            };
            let start = self.text.len();
            encode_again(&mut self.text, name, Encoding::Query);
            let middle = self.text.len();
            encode_again(&mut self.text, value, Encoding::Query);
            self.pairs.push(Pair { name: start..middle, value: middle..self.text.len() });
        }
        Ok(())
    }

    /// The encoded value of the parameter `name` (given encoded), and whether there is another.
    pub(super) fn find(&self, name: &str) -> Option<(&[u8], bool)> {
        let mut values =
            self.pairs.iter().filter(|pair| &self.text[pair.name.clone()] == name.as_bytes());
        let first = values.next()?;
        Some((&self.text[first.value.clone()], values.next().is_some()))
    }

    /// Whether the parameter `name` is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Writes all parameters but `without`, ordered by encoded name, then by encoded value.
    fn write(&mut self, out: &mut Vec<u8>, without: Option<&str>) {
        let Query { text, pairs } = self;
        pairs.sort_unstable_by(|left, right| {
            let names = text[left.name.clone()].cmp(&text[right.name.clone()]);
            names.then_with(|| text[left.value.clone()].cmp(&text[right.value.clone()]))
        });
        let mut first = true;
        for pair in pairs.iter() {
            let name = &text[pair.name.clone()];
            if without.is_some_and(|without| without.as_bytes() == name) {
                continue;
            }
            if !first {
                out.push(b'&');
            }
            first = false;
            out.extend_from_slice(name);
            out.push(b'=');
            out.extend_from_slice(&text[pair.value.clone()]);
        }
    }

    /// Bytes that this keeps allocated.
    pub(super) fn kept_bytes(&self) -> usize {
        self.text.capacity() + self.pairs.capacity() * size_of::<Pair>()
    }
}

/// The parts of a canonical request that do not come from the query.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) host: &'a [u8],
    /// Names separated by `;`, as the client listed them.
    pub(super) signed_headers: &'a str,
    /// The last line.
    pub(super) payload: &'a [u8],
}

impl Request<'_> {
    /// Appends the canonical request; `Err` names a signed header that the request has not.
    pub(super) fn write<'s>(
        &'s self,
        out: &mut Vec<u8>,
        query: &mut Query,
        without: Option<&str>,
    ) -> Result<(), &'s str> {
        out.extend_from_slice(self.method.as_bytes());
        out.push(b'\n');
        encode_again(out, self.path.as_bytes(), Encoding::Path);
        out.push(b'\n');
        query.write(out, without);
        out.push(b'\n');
        for name in self.signed_headers.split(';') {
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            if name == "host" {
                write_trimmed(out, self.host);
            } else {
                write_values(out, self.headers.get_all(name).iter()).ok_or(name)?;
            }
            out.push(b'\n');
        }
        out.push(b'\n');
        out.extend_from_slice(self.signed_headers.as_bytes());
        out.push(b'\n');
        out.extend_from_slice(self.payload);
        Ok(())
    }
}

/// Writes all values of one header, trimmed, joined by commas in the order they came.
fn write_values<'a>(
    out: &mut Vec<u8>,
    values: impl Iterator<Item = &'a HeaderValue>,
) -> Option<()> {
    let mut found = None;
    for value in values {
        if found.is_some() {
            out.push(b',');
        }
        found = Some(());
        write_trimmed(out, value.as_bytes());
    }
    found
}

/// Writes a value without outer white space and with every inner run of it as one space.
fn write_trimmed(out: &mut Vec<u8>, value: &[u8]) {
    let blank = |byte: u8| byte == b' ' || byte == b'\t';
    let value = value.trim_ascii();
    // Runs are rare: look once, then copy at once.
    if !value.iter().any(|&byte| blank(byte)) {
        out.extend_from_slice(value);
        return;
    }
    let mut words = value.split(|&byte| blank(byte)).filter(|word| !word.is_empty());
    out.extend_from_slice(words.next().unwrap_or_default());
    for word in words {
        out.push(b' ');
        out.extend_from_slice(word);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// `/` stays, `+` is itself.
    Path,
    /// `/` is encoded, `+` is a space.
    Query,
}

/// Decodes `%XX` and encodes what SigV4 wants encoded: all but `A-Z a-z 0-9 - . _ ~`, upper-case
/// digits. A `%` that no two digits follow is itself, as the decoders behind the verifier read it.
fn encode_again(out: &mut Vec<u8>, raw: &[u8], encoding: Encoding) {
    let plain =
        |byte: u8| UNRESERVED[usize::from(byte)] || (byte == b'/' && encoding == Encoding::Path);
    let mut rest = raw;
    loop {
        let run = rest.iter().position(|&byte| !plain(byte)).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..run]);
        rest = &rest[run..];
        let Some((&first, after)) = rest.split_first() else {
            return;
        };
        let (byte, after) = match (first, after) {
            (b'%', [high, low, after @ ..]) => match (nibble(*high), nibble(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (first, &rest[1..]),
            },
            (b'+', after) if encoding == Encoding::Query => (b' ', after),
            _ => (first, after),
        };
        if UNRESERVED[usize::from(byte)] {
            out.push(byte);
        } else {
            out.extend_from_slice(&[
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]);
        }
        rest = after;
    }
}

/// The bytes behind a percent-encoded text.
pub(crate) fn decode(encoded: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&first, after)) = rest.split_first() {
        let pair = match after {
            [high, low, ..] if first == b'%' => nibble(*high).zip(nibble(*low)),
            _ => None,
        };
        match pair {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = &after[2..];
            }
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

const UNRESERVED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] =
            (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(raw: &str) -> String {
        let (mut query, mut out) = (Query::default(), Vec::new());
        query.read(raw).expect("few parameters");
        query.write(&mut out, None);
        String::from_utf8(out).expect("ascii")
    }

    fn path(raw: &str) -> String {
        let mut out = Vec::new();
        encode_again(&mut out, raw.as_bytes(), Encoding::Path);
        String::from_utf8(out).expect("ascii")
    }

    fn trimmed(value: &[u8]) -> String {
        let mut out = Vec::new();
        write_trimmed(&mut out, value);
        String::from_utf8(out).expect("utf-8")
    }

    #[test]
    fn paths_are_encoded_once_and_never_normalised() {
        for (raw, canonical) in [
            ("/", "/"),
            ("//a/./../b//", "//a/./../b//"),
            ("/a%2Fb/c", "/a%2Fb/c"),
            ("/a%2fb", "/a%2Fb"),
            ("/%41%7e~-._", "/A~~-._"),
            ("/a(b)!*'", "/a%28b%29%21%2A%27"),
            ("/a+b%20c", "/a%2Bb%20c"),
            ("/\u{fc}%C3%BC", "/%C3%BC%C3%BC"),
            ("/100%", "/100%25"),
            ("/%zz%4", "/%25zz%254"),
            ("/%25", "/%25"),
        ] {
            assert_eq!(path(raw), canonical, "{raw}");
        }
    }

    #[test]
    fn queries_are_ordered_by_encoded_name_then_value() {
        for (raw, canonical) in [
            ("", ""),
            ("lifecycle", "lifecycle="),
            ("prefix=J&max-keys=2", "max-keys=2&prefix=J"),
            ("a=2&a=1&a", "a=&a=1&a=2"),
            // By whole text `a-=1` would stand before `a=1`: '-' is under '='.
            ("a-=1&a=1", "a=1&a-=1"),
            ("b=x=y&&a=%2f+%2B", "a=%2F%20%2B&b=x%3Dy"),
            ("=v", "=v"),
            ("A=1&a=1&B=1", "A=1&B=1&a=1"),
        ] {
            assert_eq!(query(raw), canonical, "{raw}");
        }
    }

    #[test]
    fn too_many_parameters_are_refused() {
        let mut reused = Query::default();
        assert!(reused.read(&"a&".repeat(QUERY_PARAMETERS_MAX)).is_ok());
        let refused =
            reused.read(&"a&".repeat(QUERY_PARAMETERS_MAX + 1)).expect_err("over the limit");
        assert_eq!(refused.code(), "InvalidRequest");
    }

    #[test]
    fn values_lose_outer_space_and_fold_inner_space() {
        assert_eq!(trimmed(b"  a   b \t c  "), "a b c");
        assert_eq!(trimmed(b"plain"), "plain");
        assert_eq!(trimmed(b"   "), "");
        assert_eq!(trimmed(b""), "");
    }

    proptest! {
        #[test]
        fn canonical_text_is_a_fixed_point(raw in "[ -~]{0,80}") {
            let once = path(&raw);
            prop_assert_eq!(path(&once), once.clone());
            let raw = raw.replace(['#'], "");
            let once = query(&raw);
            prop_assert_eq!(query(&once), once.clone());
        }

        #[test]
        fn canonical_text_decodes_to_what_the_raw_text_decodes_to(raw in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut once = Vec::new();
            encode_again(&mut once, &raw, Encoding::Path);
            prop_assert_eq!(decode(&once), decode(&raw));
        }
    }
}
