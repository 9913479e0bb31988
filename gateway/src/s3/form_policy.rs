//! Owns the policy of a browser's form: a JSON document, in base64, that says until when the form is good and what its
//! fields may hold. Every field has to be covered by a condition ("POST Policy", API reference).
//!
//! Not here: its signature (`crate::auth`).

use std::time::SystemTime;

use s3s::dto::{Timestamp, TimestampFormat};
use serde_json::Value;

use super::form::FormRefusal;
use super::form_reader::Fields;
use super::limits::FORM_CONDITIONS_MAX;

/// A policy document.
#[derive(Debug)]
pub(super) struct Policy {
    expiration: Timestamp,
    conditions: Vec<Condition>,
    /// Bytes that the file may have.
    range: Option<(u64, u64)>,
}

/// What one field must be.
#[derive(Debug)]
struct Condition {
    /// In lower case.
    field: String,
    value: String,
    is_prefix: bool,
}

impl Condition {
    fn is_met(&self, given: &str) -> bool {
        if !self.is_prefix {
            return given == self.value;
        }
        // "Content-Type values for a starts-with condition that include commas are interpreted as lists."
        match &*self.field {
            "content-type" => {
                given.split(',').all(|each| each.trim_start().starts_with(&*self.value))
            }
            _ => given.starts_with(&*self.value),
        }
    }
}

fn invalid(why: &str) -> FormRefusal {
    FormRefusal::InvalidPolicy(why.to_owned())
}

fn denied(why: impl Into<String>) -> FormRefusal {
    FormRefusal::Denied(why.into())
}

/// Fields that no condition has to cover.
fn needs_no_condition(name: &str) -> bool {
    matches!(name, "policy" | "x-amz-signature" | "signature" | "awsaccesskeyid" | "file")
        || name.starts_with("x-ignore-")
}

impl Policy {
    /// Reads a document.
    ///
    /// # Errors
    /// InvalidPolicyDocument.
    pub(super) fn parse(base64: &str) -> Result<Self, FormRefusal> {
        let text: String = base64.split_ascii_whitespace().collect();
        let json =
            base64_simd::STANDARD.decode_to_vec(text).map_err(|_| invalid("it is not base64."))?;
        let document: Value =
            serde_json::from_slice(&json).map_err(|_| invalid("Invalid JSON."))?;
        let document = document.as_object().ok_or_else(|| invalid("Invalid JSON."))?;
        if let Some(name) =
            document.keys().find(|it| !matches!(&***it, "expiration" | "conditions"))
        {
            let name: String = name.chars().take(64).collect();
            return Err(FormRefusal::InvalidPolicy(format!("Unexpected: '{name}'")));
        }
        let expiration = document.get("expiration").and_then(Value::as_str);
        let expiration = expiration.ok_or_else(|| invalid("Policy missing expiration."))?;
        let expiration = Timestamp::parse(TimestampFormat::DateTime, expiration)
            .map_err(|_| invalid("Invalid 'expiration' value."))?;
        let conditions = document.get("conditions").and_then(Value::as_array);
        let conditions = conditions.ok_or_else(|| invalid("Policy missing conditions."))?;
        if conditions.len() > FORM_CONDITIONS_MAX {
            return Err(invalid("Too many conditions."));
        }
        let mut policy = Self { expiration, conditions: Vec::new(), range: None };
        for condition in conditions {
            policy.take(condition)?;
        }
        Ok(policy)
    }

    fn take(&mut self, condition: &Value) -> Result<(), FormRefusal> {
        match condition {
            Value::Object(pairs) if !pairs.is_empty() => {
                for (field, value) in pairs {
                    let value = value.as_str();
                    let value = value.ok_or_else(|| {
                        invalid("Invalid Simple-Condition: value must be a string.")
                    })?;
                    self.add(field, value, false);
                }
                Ok(())
            }
            Value::Array(items) => self.take_list(items),
            _ => Err(invalid(
                "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.",
            )),
        }
    }

    fn take_list(&mut self, items: &[Value]) -> Result<(), FormRefusal> {
        let [operator, first, second] = items else {
            return Err(invalid("Invalid Condition: a list has an operator and two operands."));
        };
        let operator = operator.as_str().unwrap_or_default().to_ascii_lowercase();
        if operator == "content-length-range" {
            let number = |value: &Value| match value {
                Value::String(text) => text.parse().ok(),
                other => other.as_u64(),
            };
            let (Some(min), Some(max)) = (number(first), number(second)) else {
                return Err(invalid("Invalid content-length-range: it has two numbers of bytes."));
            };
            self.range = Some((min, max));
            return Ok(());
        }
        let is_prefix = match &*operator {
            "eq" => false,
            "starts-with" => true,
            _ => return Err(invalid("Invalid Condition: unknown operator.")),
        };
        let field = first.as_str().and_then(|field| field.strip_prefix('$'));
        match (field, second.as_str()) {
            (Some(field), Some(value)) => {
                self.add(field, value, is_prefix);
                Ok(())
            }
            _ => Err(invalid("Invalid Condition: it compares a field, '$name', with a string.")),
        }
    }

    fn add(&mut self, field: &str, value: &str, is_prefix: bool) {
        let field = field.to_ascii_lowercase();
        self.conditions.push(Condition { field, value: value.to_owned(), is_prefix });
    }

    /// Whether a form is as the policy has it. `fields` are expanded; the bucket is the one that is posted to.
    ///
    /// # Errors
    /// AccessDenied.
    pub(super) fn check(
        &self,
        fields: &Fields,
        bucket: &str,
        now: SystemTime,
    ) -> Result<(), FormRefusal> {
        if self.expiration <= Timestamp::from(now) {
            return Err(denied("Policy expired."));
        }
        let value = |name: &str| {
            if name == "bucket" {
                return bucket;
            }
            fields.iter().find(|(given, _)| given == name).map_or("", |(_, value)| value)
        };
        for condition in &self.conditions {
            if !condition.is_met(value(&condition.field)) {
                let operator = if condition.is_prefix { "starts-with" } else { "eq" };
                let Condition { field, value, .. } = condition;
                return Err(denied(format!(
                    "Policy Condition failed: [\"{operator}\", \"${field}\", \"{value}\"]"
                )));
            }
        }
        let is_covered =
            |name: &str| self.conditions.iter().any(|condition| condition.field == name);
        let extra = fields.iter().find(|(name, _)| !needs_no_condition(name) && !is_covered(name));
        match extra {
            None => Ok(()),
            Some((name, _)) => Err(denied(format!("Extra input fields: {name}"))),
        }
    }

    /// Whether the file may have that many bytes.
    ///
    /// # Errors
    /// EntityTooSmall, EntityTooLarge.
    pub(super) fn check_size(&self, size: u64) -> Result<(), FormRefusal> {
        match self.range {
            Some((min, _)) if size < min => Err(FormRefusal::TooSmall { size, min }),
            Some((_, max)) if size > max => Err(FormRefusal::TooLarge { size, max }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn parse(json: &str) -> Result<Policy, FormRefusal> {
        Policy::parse(&base64_simd::STANDARD.encode_to_string(json))
    }

    fn with(conditions: &str) -> Result<Policy, FormRefusal> {
        parse(&format!(
            "{{\"expiration\": \"2030-01-01T00:00:00.000Z\", \"conditions\": [{conditions}]}}"
        ))
    }

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    #[test]
    fn every_field_is_covered_and_as_it_has_to_be() {
        let policy = with(
            r#"{"bUcKeT": "b"}, ["StArTs-WiTh", "$KeY", "user/"], {"acl": "private"}, ["eq", "$x-amz-meta-a", "1"],
               ["starts-with", "$Content-Type", "image/"]"#,
        )
        .unwrap();
        let good = [
            ("key", "user/a"),
            ("acl", "private"),
            ("x-amz-meta-a", "1"),
            ("policy", "p"),
            ("x-ignore-me", "1"),
            ("content-type", "image/png,image/jpeg"),
            ("signature", "s"),
        ];
        policy.check(&fields(&good), "b", now()).unwrap();
        for (name, value) in [
            ("key", "other/a"),
            ("acl", "Private"),
            ("x-amz-meta-a", ""),
            ("content-type", "image/png, text/css"),
        ] {
            let changed: Vec<_> = good
                .iter()
                .map(|pair| if pair.0 == name { (name, value) } else { *pair })
                .collect();
            let refused = policy.check(&fields(&changed), "b", now());
            assert!(matches!(refused, Err(FormRefusal::Denied(_))), "{name}");
        }
        assert!(policy.check(&fields(&good), "other", now()).is_err());
        let extra = [&good[..], &[("success_action_status", "200")]].concat();
        let refused = policy.check(&fields(&extra), "b", now());
        assert!(
            matches!(refused, Err(FormRefusal::Denied(why)) if why.contains("success_action_status"))
        );
        let later = now() + Duration::from_secs(200_000_000);
        let refused = policy.check(&fields(&good), "b", later);
        assert!(matches!(refused, Err(FormRefusal::Denied(why)) if why.contains("expired")));
    }

    #[test]
    fn sizes_have_bounds() {
        let policy = with(r#"["content-length-range", 2, "5"]"#).unwrap();
        assert!(policy.check_size(2).is_ok() && policy.check_size(5).is_ok());
        assert!(matches!(policy.check_size(1), Err(FormRefusal::TooSmall { .. })));
        assert!(matches!(policy.check_size(6), Err(FormRefusal::TooLarge { .. })));
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        for conditions in [
            "{}",
            "[]",
            r#"["content-length-range", 0]"#,
            r#"["content-length-range", -1, 0]"#,
            r#"{"a": 1}"#,
            r#"["like", "$key", "a"]"#,
            r#"["eq", "key", "a"]"#,
            "1",
        ] {
            assert!(matches!(with(conditions), Err(FormRefusal::InvalidPolicy(_))), "{conditions}");
        }
        for json in [
            "",
            "[]",
            "{}",
            r#"{"expiration": "2030-01-01T00:00:00Z"}"#,
            r#"{"conditions": []}"#,
            r#"{"EXPIRATION": "2030-01-01T00:00:00Z", "conditions": []}"#,
            r#"{"expiration": "2030-01-01T00:00:00Z", "CONDITIONS": []}"#,
            r#"{"expiration": "2030-01-01 00:00:00", "conditions": []}"#,
        ] {
            assert!(matches!(parse(json), Err(FormRefusal::InvalidPolicy(_))), "{json}");
        }
        assert!(matches!(Policy::parse("{}"), Err(FormRefusal::InvalidPolicy(_))));
    }
}
