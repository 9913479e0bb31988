//! One thing that is wrong with the configuration, said so that it can be put right.

use std::fmt;

/// What is wrong, where it was written and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The key, or the name that should have been one.
    pub key: String,
    /// What was written, unless nothing was or it is secret.
    pub value: Option<String>,
    /// Where it was written, as `Source` prints it.
    pub source: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value:?}")?;
        }
        write!(f, " ({}): {}; {}", self.source, self.problem, self.remedy)
    }
}
