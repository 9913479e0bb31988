//! What was written, by whom, before it is understood.
//!
//! Owns: reading the TOML file, the environment and the flags into one table of texts, and the
//! precedence between them.
//! Not here: what the texts mean (`plan.rs`).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, CONFIG_FILE_VARIABLE, KEYS, Key, Places};
use super::{Finding, Given};
use crate::limits;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody wrote it.
    Default,
    /// The configuration file, at that line.
    File(Arc<Path>, usize),
    /// That environment variable.
    Environment(String),
    /// That flag, without its dashes.
    Flag(String),
}

impl Source {
    /// Which kind of place it is: `default`, `file`, `environment` or `flag`.
    pub fn kind(&self) -> &'static str {
        match self {
            Source::Default => "default",
            Source::File(..) => "file",
            Source::Environment(_) => "environment",
            Source::Flag(_) => "flag",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File(path, line) => write!(f, "{}:{line}", path.display()),
            Source::Environment(name) => f.write_str(name),
            Source::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// The values written for one key.
#[derive(Clone, PartialEq, Eq)]
pub struct Written {
    /// As written; one unless the key takes several.
    pub values: Vec<String>,
    /// By whom.
    pub source: Source,
}

/// Shows where values came from, never what they are: one of them is a secret.
impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} value(s) from {}", self.values.len(), self.source)
    }
}

/// Everything that was written, the strongest source per key.
#[derive(Debug, Default)]
pub struct Raw {
    written: BTreeMap<&'static str, Written>,
}

impl Raw {
    /// Gathers all sources: flag before environment before file. What cannot be read at all comes
    /// back as findings beside what could.
    pub fn gather(given: Given) -> (Raw, Vec<Finding>) {
        let mut raw = Raw::default();
        let mut findings = Vec::new();
        let variables = our_variables(given.environment, &mut findings);
        let file = given.file.or_else(|| variables.get(CONFIG_FILE_VARIABLE).map(PathBuf::from));
        if let Some(path) = file {
            raw.read_file(&path, &mut findings);
        }
        raw.read_variables(&variables, &mut findings);
        for (key, values) in given.flags {
            raw.put(key, values, Source::Flag(key.flag()));
        }
        (raw, findings)
    }

    /// What was written for the key, or `None` when nobody wrote anything.
    pub fn written(&self, key: &Key) -> Option<&Written> {
        self.written.get(key.name)
    }

    /// Sources are read from the weakest to the strongest, so a later one replaces.
    fn put(&mut self, key: &'static Key, values: Vec<String>, source: Source) {
        self.written.insert(key.name, Written { values, source });
    }

    fn read_variables(
        &mut self,
        variables: &BTreeMap<String, String>,
        findings: &mut Vec<Finding>,
    ) {
        for (name, value) in variables {
            if name == CONFIG_FILE_VARIABLE {
                continue;
            }
            let Some(key) = KEYS.iter().copied().find(|key| key.environment() == *name) else {
                let known: Vec<String> = KEYS.iter().map(|key| key.environment()).collect();
                findings.push(Finding {
                    key: name.clone(),
                    value: None,
                    source: "environment".into(),
                    problem: "no such setting".into(),
                    remedy: did_you_mean(name, known.iter().map(String::as_str)),
                });
                continue;
            };
            let values = match key.several {
                true => value.split(',').map(|part| part.trim().to_owned()).collect(),
                false => vec![value.clone()],
            };
            self.put(key, values, Source::Environment(name.clone()));
        }
    }

    fn read_file(&mut self, path: &Path, findings: &mut Vec<Finding>) {
        let text = match read_bounded(path) {
            Ok(text) => text,
            Err(problem) => {
                findings.push(Finding {
                    key: "config".into(),
                    value: Some(path.display().to_string()),
                    source: "--config".into(),
                    problem,
                    remedy: "name a readable TOML file".into(),
                });
                return;
            }
        };
        let path: Arc<Path> = path.into();
        let (table, errors) = DeTable::parse_recoverable(&text);
        let mut file = FileReader { path, text: &text, raw: self, findings };
        for error in errors {
            let line = file.line(error.span().map_or(0, |span| span.start));
            file.fault("(syntax)", None, line, error.message(), "see https://toml.io");
        }
        file.table("", table.get_ref());
    }
}

/// Beginnings of names that others make and nobody mistyped: Kubernetes writes the first two into
/// every pod beside a service called `penstock`, test programs read the third.
const OTHERS: [&str; 3] = ["PENSTOCK_SERVICE_", "PENSTOCK_PORT", "PENSTOCK_TEST_"];

/// Those variables that are ours, as text.
fn our_variables(
    environment: Vec<(OsString, OsString)>,
    findings: &mut Vec<Finding>,
) -> BTreeMap<String, String> {
    let mut ours = BTreeMap::new();
    for (name, value) in environment {
        let ours_by_name = |name: &&str| {
            name.starts_with("PENSTOCK_") && !OTHERS.iter().any(|other| name.starts_with(other))
        };
        let Some(name) = name.to_str().filter(ours_by_name) else { continue };
        match value.into_string() {
            Ok(value) => {
                ours.insert(name.to_owned(), value);
            }
            Err(_) => findings.push(Finding {
                key: name.to_owned(),
                value: None,
                source: "environment".into(),
                problem: "the value is not UTF-8".into(),
                remedy: "write it in UTF-8".into(),
            }),
        }
    }
    ours
}

fn read_bounded(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let limit = limits::CONFIGURATION_FILE_BYTES_MAX;
    file.take(limit + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > limit {
        return Err(format!("larger than {limit} bytes"));
    }
    Ok(text)
}

fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match keys::nearest(name, known) {
        Some(near) => format!("did you mean {near}? `penstock config print` lists all"),
        None => "remove it; `penstock config print` lists all".into(),
    }
}

/// Walks one parsed file into the table.
struct FileReader<'a> {
    path: Arc<Path>,
    text: &'a str,
    raw: &'a mut Raw,
    findings: &'a mut Vec<Finding>,
}

impl FileReader<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let full = format!("{prefix}{}", name.get_ref());
            let line = self.line(name.span().start);
            if let Some(key) = keys::named(&full) {
                self.key(key, value, line);
            } else if let (DeValue::Table(inner), true) = (value.get_ref(), is_table(&full)) {
                self.table(&format!("{full}."), inner);
            } else {
                let remedy = did_you_mean(&full, KEYS.iter().map(|key| key.name));
                self.fault(&full, None, line, "no such key", &remedy);
            }
        }
    }

    fn key(&mut self, key: &'static Key, value: &Spanned<DeValue<'_>>, line: usize) {
        if key.places == Places::Environment {
            let remedy = format!("set {} in the environment", key.environment());
            self.fault(key.name, None, line, "does not belong in a file", &remedy);
            return;
        }
        let values = match (value.get_ref(), key.several) {
            (DeValue::Array(items), true) => {
                items.iter().map(|item| scalar(item.get_ref())).collect::<Option<Vec<_>>>()
            }
            (single, _) => scalar(single).map(|text| vec![text]),
        };
        match values {
            Some(values) => self.raw.put(key, values, Source::File(self.path.clone(), line)),
            None => {
                let (problem, remedy) = match key.several {
                    true => ("not a value or a list of values", "write [\"…\", \"…\"]"),
                    false => ("not one value", "write one text, number, true or false"),
                };
                self.fault(key.name, None, line, problem, remedy);
            }
        }
    }

    fn line(&self, offset: usize) -> usize {
        let end = offset.min(self.text.len());
        1 + self.text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count()
    }

    fn fault(
        &mut self,
        key: &str,
        value: Option<String>,
        line: usize,
        problem: &str,
        remedy: &str,
    ) {
        self.findings.push(Finding {
            key: key.to_owned(),
            value,
            source: Source::File(self.path.clone(), line).to_string(),
            problem: problem.to_owned(),
            remedy: remedy.to_owned(),
        });
    }
}

/// Whether keys live below that name.
fn is_table(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// The text of a single TOML value; `None` for tables, lists and dates.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(true) => Some("on".into()),
        DeValue::Boolean(false) => Some("off".into()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}
