//! Owns: texts with `*`, `?` and variables, and whether one matches.
//!
//! Matching goes back to the last `*` only, so it takes at most (bytes of the text) × (elements of the
//! pattern) steps, and in practice little more than one look at each byte.

use std::borrow::Cow;

/// Any number of bytes: `*`.
const ANY: u16 = 0x100;
/// One character: `?`.
const ONE: u16 = 0x101;
/// A variable; the rest is its place in the list of the pattern's.
const VARIABLE: u16 = 0x8000;

/// A compiled text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    elements: Box<[u16]>,
    variables: Box<[Variable]>,
}

/// `${key}` or `${key, 'default'}`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    key: Box<str>,
    default: Option<Box<str>>,
}

/// Gives the value of a variable; none where the request has none, or several.
pub(super) type Resolve<'r> = dyn Fn(&str) -> Option<Cow<'r, str>> + 'r;

/// What a variable without an end, or without a name, is answered with.
pub(super) const INVALID_VARIABLE: &str = "Policy has an invalid variable";

impl Pattern {
    /// Reads a text with `*` and `?`, and with variables where the policy's version has them.
    ///
    /// # Errors
    /// [`INVALID_VARIABLE`].
    pub(super) fn parse(text: &str, variables: bool) -> Result<Pattern, &'static str> {
        Pattern::compile(text, true, variables)
    }

    /// Reads a text in which `*` and `?` mean themselves.
    ///
    /// # Errors
    /// [`INVALID_VARIABLE`].
    pub(super) fn literal(text: &str, variables: bool) -> Result<Pattern, &'static str> {
        Pattern::compile(text, false, variables)
    }

    fn compile(text: &str, wild: bool, variables: bool) -> Result<Pattern, &'static str> {
        let mut elements = Vec::with_capacity(text.len());
        let mut found: Vec<Variable> = Vec::new();
        let mut rest = text;
        while let Some(byte) = rest.as_bytes().first().copied() {
            if variables && rest.starts_with("${") {
                let (inner, after) = rest[2..].split_once('}').ok_or(INVALID_VARIABLE)?;
                match inner {
                    "*" | "?" | "$" => elements.push(u16::from(inner.as_bytes()[0])),
                    _ => {
                        // Fewer than 0x8000: a policy has at most 20,480 bytes.
                        elements.push(VARIABLE | found.len() as u16);
                        found.push(Variable::parse(inner)?);
                    }
                }
                rest = after;
                continue;
            }
            match byte {
                // Two in a row are one.
                b'*' if wild && elements.last() == Some(&ANY) => {}
                b'*' if wild => elements.push(ANY),
                b'?' if wild => elements.push(ONE),
                _ => {
                    let width = rest.chars().next().map_or(1, char::len_utf8);
                    elements.extend(rest.as_bytes()[..width].iter().map(|&byte| u16::from(byte)));
                    rest = &rest[width..];
                    continue;
                }
            }
            rest = &rest[1..];
        }
        Ok(Pattern { elements: elements.into(), variables: found.into() })
    }

    /// Whether it is `*`.
    pub(super) fn is_any(&self) -> bool {
        *self.elements == [ANY]
    }

    /// Whether it has neither wildcards nor variables.
    pub(super) fn is_fixed(&self) -> bool {
        self.elements.iter().all(|&element| element < ANY)
    }

    /// Whether the text matches, letter by letter. A pattern with a variable that has no value matches
    /// nothing.
    pub(super) fn matches(&self, text: &str, resolve: &Resolve<'_>) -> bool {
        match self.resolved(resolve) {
            Some(elements) => matches(&elements, text.as_bytes(), |a, b| a == b),
            None => false,
        }
    }

    /// The same whatever the case of ASCII letters.
    pub(super) fn matches_folded(&self, text: &str, resolve: &Resolve<'_>) -> bool {
        match self.resolved(resolve) {
            Some(elements) => {
                matches(&elements, text.as_bytes(), |a, b| a.eq_ignore_ascii_case(&b))
            }
            None => false,
        }
    }

    /// Whether it matches the text for some values of its variables.
    pub(super) fn could_be(&self, text: &str) -> bool {
        self.reached(text)[self.elements.len()]
    }

    /// Whether some text that begins with `start` and goes on matches. Variables stand for anything.
    pub(super) fn could_go_on_from(&self, start: &str) -> bool {
        // Whatever is left of the pattern, some text is like it; it must not be empty.
        self.reached(start)[..self.elements.len()].contains(&true)
    }

    /// After which of its elements it can be when it has read the text.
    fn reached(&self, text: &str) -> Vec<bool> {
        let mut at: Vec<bool> = vec![false; self.elements.len() + 1];
        at[0] = true;
        self.skip_stars(&mut at);
        for &byte in text.as_bytes() {
            let mut next = vec![false; at.len()];
            for (index, &element) in self.elements.iter().enumerate().filter(|(i, _)| at[*i]) {
                match element {
                    ANY => next[index] = true,
                    ONE => next[index + 1] = true,
                    element if element & VARIABLE != 0 => {
                        (next[index], next[index + 1]) = (true, true);
                    }
                    element if element == u16::from(byte) => next[index + 1] = true,
                    _ => {}
                }
            }
            self.skip_stars(&mut next);
            at = next;
        }
        at
    }

    /// A `*` may also stand for nothing.
    fn skip_stars(&self, at: &mut [bool]) {
        for (index, &element) in self.elements.iter().enumerate() {
            if at[index] && (element == ANY || element & VARIABLE != 0) {
                at[index + 1] = true;
            }
        }
    }

    fn resolved(&self, resolve: &Resolve<'_>) -> Option<Cow<'_, [u16]>> {
        if self.variables.is_empty() {
            return Some(Cow::Borrowed(&self.elements));
        }
        let mut elements = Vec::with_capacity(self.elements.len() + 64);
        for &element in &self.elements {
            if element & VARIABLE == 0 {
                elements.push(element);
                continue;
            }
            let variable = &self.variables[usize::from(element & !VARIABLE)];
            let value = resolve(&variable.key).or(variable.default.as_deref().map(Cow::Borrowed));
            // A `*` in a value means itself.
            elements.extend(value?.bytes().map(u16::from));
        }
        Some(Cow::Owned(elements))
    }
}

impl Variable {
    fn parse(inner: &str) -> Result<Variable, &'static str> {
        let (key, default) = match inner.split_once(',') {
            None => (inner, None),
            Some((key, default)) => {
                let default = default.trim_ascii();
                let quoted = default.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
                (key, Some(quoted.ok_or(INVALID_VARIABLE)?))
            }
        };
        let key = key.trim_ascii();
        let named = key.split_once(':').is_some_and(|(vendor, name)| {
            !vendor.is_empty() && !name.is_empty() && !key.contains(['$', '{'])
        });
        if !named {
            return Err(INVALID_VARIABLE);
        }
        Ok(Variable { key: key.into(), default: default.map(Box::from) })
    }
}

fn matches(pattern: &[u16], text: &[u8], same: impl Fn(u8, u8) -> bool) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last `*` does not fit: after it, one byte later.
    let mut again: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(&ANY) => {
                p += 1;
                again = Some((p, t));
                continue;
            }
            // In the middle of a character there is none.
            Some(&ONE) if text[t] & 0xC0 != 0x80 => {
                p += 1;
                t += 1;
                while t < text.len() && text[t] & 0xC0 == 0x80 {
                    t += 1;
                }
                continue;
            }
            Some(&element) if element < ANY && same(element as u8, text[t]) => {
                p += 1;
                t += 1;
                continue;
            }
            _ => {}
        }
        match again {
            Some((after, from)) => {
                (p, t) = (after, from + 1);
                again = Some((after, from + 1));
            }
            None => return false,
        }
    }
    pattern[p..].iter().all(|&element| element == ANY)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        let resolve = |key: &str| match key {
            "aws:username" => Some(Cow::Borrowed("an*a")),
            _ => None,
        };
        Pattern::parse(pattern, true).unwrap().matches(text, &resolve)
    }

    #[test]
    fn wildcards_match_as_documented() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "a/b", true),
            ("a*", "a", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a?c", "aéc", true),
            ("a??c", "aéc", false),
            ("*?", "é", true),
            ("?*?", "é", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*ab*abc", "abab abc", true),
            ("", "", true),
            ("", "a", false),
            ("${*}x", "*x", true),
            ("${*}x", "ax", false),
            ("${?}${$}", "?$", true),
            ("home/${aws:username}/*", "home/an*a/1", true),
            ("home/${aws:username}/*", "home/anna/1", false),
            ("${aws:PrincipalTag/team}", "", false),
            ("${aws:PrincipalTag/team, 'none'}/x", "none/x", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
        for pattern in ["${aws:username", "${}", "${username}", "${aws:x, y}", "${a:${b:c}"] {
            assert_eq!(Pattern::parse(pattern, true), Err(INVALID_VARIABLE), "{pattern}");
        }
        let old = Pattern::parse("${aws:username}", false).unwrap();
        assert!(old.matches("${aws:username}", &|_| None), "no variables in 2008-10-17");
    }

    #[test]
    fn what_a_pattern_could_go_on_to() {
        for (pattern, expected) in [
            ("bucket/*", true),
            ("bucket/a", true),
            ("bucket/", false),
            ("bucket", false),
            ("buc*", true),
            ("*", true),
            ("other/*", false),
            ("b?cket/x", true),
            ("b*t", true),
            ("${aws:username}", true),
        ] {
            let compiled = Pattern::parse(pattern, true).unwrap();
            assert_eq!(compiled.could_go_on_from("bucket/"), expected, "{pattern}");
        }
    }

    #[test]
    fn the_worst_pattern_takes_bounded_time() {
        // As much as a bucket's policy can hold, against the longest key.
        let text = "a".repeat(1_088);
        for pattern in [
            format!("{}b", "*aaaaaaaa".repeat(2_270)),
            format!("*{}b", "a".repeat(544)),
            format!("{}b", "*a".repeat(1_000)),
            format!("{}b", "*?".repeat(1_000)),
        ] {
            let compiled = Pattern::parse(&pattern, true).unwrap();
            let began = Instant::now();
            assert!(!compiled.matches(&text, &|_| None));
            assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
        }
    }

    /// The definition, without regard to time.
    fn plainly(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), None) => plainly(rest, text),
            (Some(('*', rest)), Some((_, after))) => plainly(rest, text) || plainly(pattern, after),
            (Some((p, rest)), Some((t, after))) if *p == '?' || p == t => plainly(rest, after),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_its_definition(pattern in "[ab?*é]{0,8}", text in "[abé]{0,8}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(fits(&pattern, &text), plainly(&p, &t));
        }

        #[test]
        fn compiling_and_matching_never_panic(pattern in ".{0,40}", text in ".{0,40}") {
            if let Ok(compiled) = Pattern::parse(&pattern, true) {
                compiled.matches(&text, &|_| Some(Cow::Borrowed("value")));
                compiled.could_go_on_from(&text);
            }
        }
    }
}
