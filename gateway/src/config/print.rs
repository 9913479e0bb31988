//! `penstock config print` and whoever else shows the configuration: every key with its value, its default and where the value came from.
//!
//! Not here: checking. What is printed is what would be read, right or wrong; findings come beside.

use std::fmt::Write;

use serde_json::{Value, json};

use super::keys::{Default as Standard, KEYS, Key};
use super::plan::{Machine, effective};
use super::{Raw, Source};

/// What a secret's value is shown as.
const HIDDEN: &str = "(hidden)";

/// One line per key for people: name, value, source, default.
pub fn as_text(raw: &Raw, machine: &Machine) -> String {
    let width = KEYS.iter().map(|key| key.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for key in KEYS {
        let (values, source) = shown(raw, key, machine);
        let value = match values.as_slice() {
            [] => "-".to_owned(),
            values => values.join(", "),
        };
        let origin = match &source {
            Source::Default => "default".to_owned(),
            other => format!("from {other}, default {}", default_text(key)),
        };
        let origin = match (&source, key.default) {
            (Source::Default, Standard::WorkedOut(how)) => format!("{origin}: {how}"),
            (Source::Default, Standard::Nothing(what)) => format!("{origin}: {what}"),
            _ => origin,
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:width$}  {value}  ({origin})", key.name);
    }
    text
}

/// The same for programs: an array of objects.
pub fn as_json(raw: &Raw, machine: &Machine) -> Value {
    KEYS.iter()
        .map(|key| {
            let (values, source) = shown(raw, key, machine);
            let value = match key.several {
                true => json!(values),
                false => json!(values.first()),
            };
            json!({
                "name": key.name,
                "value": value,
                "source": source.to_string(),
                "default": default_text(key),
                "environment": key.environment(),
                "flag": format!("--{}", key.flag()),
                "help": key.help,
            })
        })
        .collect()
}

/// The same for those who show it beside other things.
pub fn settings(raw: &Raw, machine: &Machine) -> Vec<Setting> {
    let setting = |key: &&Key| {
        let (values, source) = shown(raw, key, machine);
        Setting { name: key.name, value: values.join(", "), source }
    };
    KEYS.iter().map(setting).collect()
}

/// One key with what it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub name: &'static str,
    /// Its values, with commas between them; hidden where they are secret, empty without any.
    pub value: String,
    /// Who wrote it.
    pub source: Source,
}

fn shown(raw: &Raw, key: &Key, machine: &Machine) -> (Vec<String>, Source) {
    let (mut values, source) = effective(raw, key, machine);
    if key.secret {
        values.iter_mut().for_each(|value| *value = HIDDEN.to_owned());
    }
    (values, source)
}

/// The default as the documentation states it.
pub fn default_text(key: &Key) -> &'static str {
    match key.default {
        Standard::Is(text) | Standard::WorkedOut(text) | Standard::Nothing(text) => text,
    }
}
