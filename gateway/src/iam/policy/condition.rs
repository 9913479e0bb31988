//! Owns: conditions: their operators, and whether one is met.

use std::borrow::Cow;
use std::net::IpAddr;

use super::json::Json;
use super::pattern::{Pattern, Resolve};
use super::values::{Network, boolean, moment, number};
use super::{Malformed, Values};

/// How values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Text,
    TextFolded,
    Like,
    Arn,
    Number(Order),
    Moment(Order),
    Bool,
    Binary,
    Address,
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds<T: PartialOrd>(self, request: T, policy: T) -> bool {
        match self {
            Order::Equal => request == policy,
            Order::Less => request < policy,
            Order::LessOrEqual => request <= policy,
            Order::Greater => request > policy,
            Order::GreaterOrEqual => request >= policy,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    None,
    All,
    Any,
}

/// Each operator's name, its comparison, and whether it is met where the comparison is not.
const OPERATORS: &[(&str, Comparison, bool)] = &[
    ("StringEquals", Comparison::Text, false),
    ("StringNotEquals", Comparison::Text, true),
    ("StringEqualsIgnoreCase", Comparison::TextFolded, false),
    ("StringNotEqualsIgnoreCase", Comparison::TextFolded, true),
    ("StringLike", Comparison::Like, false),
    ("StringNotLike", Comparison::Like, true),
    ("NumericEquals", Comparison::Number(Order::Equal), false),
    ("NumericNotEquals", Comparison::Number(Order::Equal), true),
    ("NumericLessThan", Comparison::Number(Order::Less), false),
    ("NumericLessThanEquals", Comparison::Number(Order::LessOrEqual), false),
    ("NumericGreaterThan", Comparison::Number(Order::Greater), false),
    ("NumericGreaterThanEquals", Comparison::Number(Order::GreaterOrEqual), false),
    ("DateEquals", Comparison::Moment(Order::Equal), false),
    ("DateNotEquals", Comparison::Moment(Order::Equal), true),
    ("DateLessThan", Comparison::Moment(Order::Less), false),
    ("DateLessThanEquals", Comparison::Moment(Order::LessOrEqual), false),
    ("DateGreaterThan", Comparison::Moment(Order::Greater), false),
    ("DateGreaterThanEquals", Comparison::Moment(Order::GreaterOrEqual), false),
    ("Bool", Comparison::Bool, false),
    ("BinaryEquals", Comparison::Binary, false),
    ("IpAddress", Comparison::Address, false),
    ("NotIpAddress", Comparison::Address, true),
    ("ArnEquals", Comparison::Arn, false),
    ("ArnLike", Comparison::Arn, false),
    ("ArnNotEquals", Comparison::Arn, true),
    ("ArnNotLike", Comparison::Arn, true),
    ("Null", Comparison::Null, false),
];

/// One key under one operator, with the values of which one has to fit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    comparison: Comparison,
    negated: bool,
    if_exists: bool,
    quantifier: Quantifier,
    pub(super) key: Box<str>,
    values: Box<[Value]>,
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(Pattern),
    /// The six parts of an ARN, each compared by itself.
    Arn(Box<[Pattern; 6]>),
    Number(f64),
    Moment(i64),
    Bool(bool),
    Binary(Box<[u8]>),
    Address(Network),
}

/// The operator's comparison, its negation, `IfExists`, and its quantifier.
struct Operator {
    comparison: Comparison,
    negated: bool,
    if_exists: bool,
    quantifier: Quantifier,
}

impl Operator {
    fn parse(name: &str) -> Option<Operator> {
        let (quantifier, rest) = match name.split_once(':') {
            Some(("ForAllValues", rest)) => (Quantifier::All, rest),
            Some(("ForAnyValue", rest)) => (Quantifier::Any, rest),
            Some(_) => return None,
            None => (Quantifier::None, name),
        };
        let (base, if_exists) = match rest.strip_suffix("IfExists") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        let &(_, comparison, negated) = OPERATORS.iter().find(|(name, _, _)| *name == base)?;
        // Null asks just that already.
        let fits = comparison != Comparison::Null
            || (!if_exists && matches!(quantifier, Quantifier::None));
        fits.then_some(Operator { comparison, negated, if_exists, quantifier })
    }
}

/// Reads the `Condition` block of a statement. `key_is_known` knows which keys there are.
pub(super) fn parse(
    block: &Json,
    variables: bool,
    place: &str,
    key_is_known: impl Fn(&str) -> bool,
) -> Result<Vec<Condition>, Malformed> {
    let Json::Object(operators) = block else {
        return Err(Malformed::at("Conditions must be an object", place));
    };
    let mut conditions = Vec::new();
    for (name, keys) in operators {
        let place = format!("{place}.{name}");
        let operator = Operator::parse(name)
            .ok_or_else(|| Malformed::at(format!("Invalid Condition type : {name}"), &place))?;
        let Json::Object(keys) = keys else {
            return Err(Malformed::at("A condition must be an object of keys and values", &place));
        };
        for (key, values) in keys {
            let place = format!("{place}.{key}");
            if !key_is_known(key) {
                return Err(Malformed::at("Policy has an invalid condition key", &place));
            }
            let texts = texts(values)
                .ok_or_else(|| Malformed::at("Condition values must be strings", &place))?;
            let values = texts
                .iter()
                .map(|text| operator.value(text, variables, &place))
                .collect::<Result<_, _>>()?;
            conditions.push(Condition {
                comparison: operator.comparison,
                negated: operator.negated,
                if_exists: operator.if_exists,
                quantifier: operator.quantifier,
                key: key.as_str().into(),
                values,
            });
        }
    }
    Ok(conditions)
}

/// One text, or a list of them.
fn texts(values: &Json) -> Option<Vec<&str>> {
    fn text(value: &Json) -> Option<&str> {
        match value {
            Json::Text(text) | Json::Bare(text) => Some(text),
            _ => None,
        }
    }
    match values {
        Json::List(list) => list.iter().map(text).collect(),
        one => Some(vec![text(one)?]),
    }
}

impl Operator {
    fn value(&self, text: &str, variables: bool, place: &str) -> Result<Value, Malformed> {
        let invalid = || {
            Malformed::at(format!("Invalid value \"{text}\" for the condition's operator"), place)
        };
        let pattern = |pattern: Result<Pattern, &'static str>| {
            pattern.map_err(|message| Malformed::at(message, place))
        };
        match self.comparison {
            Comparison::Text | Comparison::TextFolded => {
                pattern(Pattern::literal(text, variables)).map(Value::Text)
            }
            Comparison::Like => pattern(Pattern::parse(text, variables)).map(Value::Text),
            Comparison::Arn => {
                let parts = arn_parts(text).ok_or_else(invalid)?;
                let mut compiled = Vec::with_capacity(6);
                for part in parts {
                    compiled.push(pattern(Pattern::parse(part, variables))?);
                }
                let compiled: Box<[Pattern; 6]> =
                    compiled.into_boxed_slice().try_into().map_err(|_| invalid())?;
                Ok(Value::Arn(compiled))
            }
            Comparison::Number(_) => number(text).map(Value::Number).ok_or_else(invalid),
            Comparison::Moment(_) => moment(text).map(Value::Moment).ok_or_else(invalid),
            Comparison::Bool | Comparison::Null => {
                boolean(text).map(Value::Bool).ok_or_else(invalid)
            }
            Comparison::Binary => base64_simd::STANDARD
                .decode_to_vec(text)
                .map(|bytes| Value::Binary(bytes.into()))
                .map_err(|_| invalid()),
            Comparison::Address => Network::parse(text).map(Value::Address).ok_or_else(invalid),
        }
    }
}

/// `arn:partition:service:region:account:resource`; variables may hold colons, which part nothing.
/// `*` alone stands for every ARN.
fn arn_parts(text: &str) -> Option<[&str; 6]> {
    if text == "*" {
        return Some(["*"; 6]);
    }
    let mut parts = [""; 6];
    let (mut count, mut from, mut in_variable) = (0, 0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' if at > 0 && text.as_bytes()[at - 1] == b'$' => in_variable = true,
            b'}' => in_variable = false,
            b':' if !in_variable && count < 5 => {
                parts[count] = &text[from..at];
                (count, from) = (count + 1, at + 1);
            }
            _ => {}
        }
    }
    parts[5] = &text[from..];
    (count == 5 && (parts[0] == "arn" || parts[0] == "*")).then_some(parts)
}

impl Condition {
    /// Whether the values that the request has for the key meet it.
    pub(super) fn is_met(&self, found: Option<Values<'_>>, resolve: &Resolve<'_>) -> bool {
        if self.comparison == Comparison::Null {
            let absent = found.is_none();
            return self.values.contains(&Value::Bool(absent));
        }
        let list: &[Cow<'_, str>] = match &found {
            Some(Values::One(value)) => std::slice::from_ref(value),
            Some(Values::Many(values)) => values,
            None => &[],
        };
        let mut hits = list.iter().map(|value| self.fits_any(value, resolve) != self.negated);
        match self.quantifier {
            _ if list.is_empty() && self.if_exists => true,
            Quantifier::All => hits.all(|hit| hit),
            Quantifier::Any => hits.any(|hit| hit),
            // Of a key that is absent: not equal to anything.
            Quantifier::None if list.is_empty() => self.negated,
            Quantifier::None if self.negated => hits.all(|hit| hit),
            Quantifier::None => hits.any(|hit| hit),
        }
    }

    fn fits_any(&self, request: &str, resolve: &Resolve<'_>) -> bool {
        self.values.iter().any(|value| self.fits(request, value, resolve))
    }

    fn fits(&self, request: &str, value: &Value, resolve: &Resolve<'_>) -> bool {
        match (self.comparison, value) {
            (Comparison::Text | Comparison::Like, Value::Text(pattern)) => {
                pattern.matches(request, resolve)
            }
            (Comparison::TextFolded, Value::Text(pattern)) => {
                pattern.matches_folded(request, resolve)
            }
            (Comparison::Arn, Value::Arn(patterns)) => {
                let parts: Vec<&str> = request.splitn(6, ':').collect();
                parts.len() == 6
                    && parts[0] == "arn"
                    && parts.iter().zip(&patterns[..]).all(|(text, it)| it.matches(text, resolve))
            }
            (Comparison::Number(order), Value::Number(policy)) => {
                number(request).is_some_and(|request| order.holds(request, *policy))
            }
            (Comparison::Moment(order), Value::Moment(policy)) => {
                moment(request).is_some_and(|request| order.holds(request, *policy))
            }
            (Comparison::Bool, Value::Bool(policy)) => boolean(request) == Some(*policy),
            (Comparison::Binary, Value::Binary(policy)) => base64_simd::STANDARD
                .decode_to_vec(request)
                .is_ok_and(|request| *request == **policy),
            (Comparison::Address, Value::Address(network)) => {
                request.parse::<IpAddr>().is_ok_and(|address| network.contains(address))
            }
            // Values are made for their operator.
            _ => false,
        }
    }

    /// Whether it holds the request to values that are written down: of the keys by which Block
    /// Public Access takes a policy for one that does not let the world in.
    pub(super) fn narrows(&self) -> bool {
        const KEYS: [&str; 10] = [
            "aws:PrincipalOrgID",
            "aws:SourceAccount",
            "aws:SourceArn",
            "aws:SourceIp",
            "aws:SourceOwner",
            "aws:SourceVpc",
            "aws:SourceVpce",
            "aws:userid",
            "s3:DataAccessPointAccount",
            "s3:DataAccessPointArn",
        ];
        let holds = !self.negated
            && !self.if_exists
            && !matches!(self.quantifier, Quantifier::All)
            && !self.values.is_empty()
            && KEYS.iter().any(|key| key.eq_ignore_ascii_case(&self.key));
        holds
            && self.values.iter().all(|value| match value {
                Value::Text(pattern) => pattern.is_fixed(),
                // The account and what is named within it.
                Value::Arn(parts) => parts[4].is_fixed() && !parts[5].is_any(),
                Value::Address(network) => !network.is_broad(),
                _ => false,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(operator: &str, policy: &str, request: Option<&[&str]>) -> bool {
        let block: Json =
            serde_json::from_str(&format!("{{\"{operator}\": {{\"aws:k\": {policy}}}}}")).unwrap();
        let conditions = parse(&block, true, "Condition", |_| true).unwrap();
        let values = request.map(|values| match values {
            [one] => Values::One(Cow::Borrowed(*one)),
            many => Values::Many(many.iter().map(|&value| Cow::Borrowed(value)).collect()),
        });
        conditions.iter().all(|condition| condition.is_met(values.clone(), &|_| None))
    }

    /// (operator, values of the policy, values of the request, whether it is met): from "IAM JSON policy
    /// elements: Condition operators" and "Multivalued context keys".
    #[test]
    fn operators_are_met_as_documented() {
        const TABLE: &[(&str, &str, Option<&[&str]>, bool)] = &[
            ("StringEquals", r#""a""#, Some(&["a"]), true),
            ("StringEquals", r#""a""#, Some(&["A"]), false),
            ("StringEquals", r#""a*""#, Some(&["ab"]), false),
            ("StringEquals", r#"["a","b"]"#, Some(&["b"]), true),
            ("StringEquals", r#""a""#, None, false),
            ("StringNotEquals", r#""a""#, Some(&["a"]), false),
            ("StringNotEquals", r#"["a","b"]"#, Some(&["b"]), false),
            ("StringNotEquals", r#"["a","b"]"#, Some(&["c"]), true),
            ("StringNotEquals", r#""a""#, None, true),
            ("StringEqualsIgnoreCase", r#""Ab""#, Some(&["aB"]), true),
            ("StringNotEqualsIgnoreCase", r#""Ab""#, Some(&["aB"]), false),
            ("StringLike", r#""a*c?""#, Some(&["abbcd"]), true),
            ("StringLike", r#""A*""#, Some(&["abc"]), false),
            ("StringNotLike", r#""a*""#, Some(&["abc"]), false),
            ("StringNotLike", r#""a*""#, Some(&["xbc"]), true),
            ("StringEqualsIfExists", r#""a""#, None, true),
            ("StringEqualsIfExists", r#""a""#, Some(&["b"]), false),
            ("NumericEquals", "10", Some(&["10.0"]), true),
            ("NumericNotEquals", r#""10""#, Some(&["11"]), true),
            ("NumericLessThan", r#""10""#, Some(&["9"]), true),
            ("NumericLessThan", r#""10""#, Some(&["10"]), false),
            ("NumericLessThanEquals", r#""10""#, Some(&["10"]), true),
            ("NumericGreaterThan", r#""10""#, Some(&["100"]), true),
            ("NumericGreaterThanEquals", r#""10""#, Some(&["9"]), false),
            ("NumericLessThanEquals", r#""10""#, Some(&["ten"]), false),
            ("NumericLessThanEquals", r#""10""#, None, false),
            ("DateGreaterThan", r#""2020-01-01T00:00:00Z""#, Some(&["2020-01-01T00:00:01Z"]), true),
            ("DateLessThan", r#""2020-01-01""#, Some(&["1577836799"]), true),
            ("DateLessThanEquals", r#""2020-01-01""#, Some(&["2020-01-01T00:00:00Z"]), true),
            ("DateGreaterThanEquals", r#""2020-01-01""#, Some(&["2019-12-31T23:59:59Z"]), false),
            ("DateEquals", r#""2020-01-01""#, Some(&["1577836800"]), true),
            ("DateNotEquals", r#""2020-01-01""#, Some(&["1577836800"]), false),
            ("Bool", r#""true""#, Some(&["true"]), true),
            ("Bool", "false", Some(&["true"]), false),
            ("Bool", r#""true""#, None, false),
            ("BoolIfExists", r#""true""#, None, true),
            ("BinaryEquals", r#""QmluYXJ5""#, Some(&["QmluYXJ5"]), true),
            ("BinaryEquals", r#""QmluYXJ5""#, Some(&["QmluYXJ6"]), false),
            ("IpAddress", r#""203.0.113.0/24""#, Some(&["203.0.113.9"]), true),
            ("IpAddress", r#"["203.0.113.0/24","2001:db8::/32"]"#, Some(&["2001:db8::1"]), true),
            ("IpAddress", r#""203.0.113.0/24""#, None, false),
            ("NotIpAddress", r#""203.0.113.0/24""#, Some(&["203.0.113.9"]), false),
            ("NotIpAddress", r#""203.0.113.0/24""#, Some(&["198.51.100.1"]), true),
            ("NotIpAddress", r#""203.0.113.0/24""#, None, true),
            (
                "ArnEquals",
                r#""arn:aws:sns:*:123456789012:t*""#,
                Some(&["arn:aws:sns:eu:123456789012:topic"]),
                true,
            ),
            ("ArnLike", r#""arn:aws:sns:*:1:t""#, Some(&["arn:aws:sns:eu:9:1:t"]), false),
            ("ArnLike", r#""arn:aws:s3:::b/*""#, Some(&["arn:aws:s3:::b/a:b"]), true),
            ("ArnNotLike", r#""arn:aws:iam::1:user/*""#, Some(&["arn:aws:iam::1:role/x"]), true),
            ("ArnNotEquals", r#""arn:aws:iam::1:user/*""#, Some(&["arn:aws:iam::1:user/x"]), false),
            ("Null", r#""true""#, None, true),
            ("Null", r#""true""#, Some(&["x"]), false),
            ("Null", r#""false""#, Some(&["x"]), true),
            ("Null", "false", None, false),
            ("ForAllValues:StringEquals", r#"["a","b"]"#, Some(&["a", "b"]), true),
            ("ForAllValues:StringEquals", r#"["a","b"]"#, Some(&["a", "c"]), false),
            ("ForAllValues:StringEquals", r#"["a","b"]"#, None, true),
            ("ForAnyValue:StringEquals", r#"["a","b"]"#, Some(&["x", "b"]), true),
            ("ForAnyValue:StringEquals", r#"["a","b"]"#, Some(&["x", "y"]), false),
            ("ForAnyValue:StringEquals", r#"["a","b"]"#, None, false),
            ("ForAllValues:StringNotEquals", r#""a""#, Some(&["b", "c"]), true),
            ("ForAllValues:StringNotEquals", r#""a""#, Some(&["a", "c"]), false),
            ("ForAnyValue:StringNotEquals", r#""a""#, Some(&["a", "c"]), true),
            ("ForAnyValue:StringNotEquals", r#""a""#, Some(&["a"]), false),
            ("ForAnyValue:StringLikeIfExists", r#""a*""#, None, true),
            ("ForAnyValue:StringEqualsIfExists", r#""a""#, Some(&["b"]), false),
        ];
        for &(operator, policy, request, expected) in TABLE {
            assert_eq!(met(operator, policy, request), expected, "{operator} {policy} {request:?}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_with_its_place() {
        for (block, message) in [
            (r#"{"StringIs": {"aws:k": "a"}}"#, "Invalid Condition type : StringIs"),
            (r#"{"NullIfExists": {"aws:k": "true"}}"#, "Invalid Condition type"),
            (r#"{"ForSome:StringEquals": {"aws:k": "a"}}"#, "Invalid Condition type"),
            (r#"{"StringEquals": "a"}"#, "object of keys and values (C.StringEquals)"),
            (r#"{"StringEquals": {"aws:k": {"a": 1}}}"#, "(C.StringEquals.aws:k)"),
            (r#"{"StringEquals": {"aws:k": null}}"#, "must be strings"),
            (r#"{"IpAddress": {"aws:k": "10.0.0.0/40"}}"#, "Invalid value \"10.0.0.0/40\""),
            (r#"{"NumericEquals": {"aws:k": "ten"}}"#, "Invalid value"),
            (r#"{"DateEquals": {"aws:k": "soon"}}"#, "Invalid value"),
            (r#"{"Bool": {"aws:k": "yes"}}"#, "Invalid value"),
            (r#"{"ArnLike": {"aws:k": "arn:aws:s3"}}"#, "Invalid value"),
            (r#"{"StringLike": {"aws:k": "${aws:x"}}"#, "invalid variable"),
            ("[]", "must be an object"),
        ] {
            let json: Json = serde_json::from_str(block).unwrap();
            let error = parse(&json, true, "C", |_| true).unwrap_err().to_string();
            assert!(error.contains(message), "{block}: {error}");
        }
    }
}
