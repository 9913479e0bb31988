//! Owns what can go wrong with one operation, and the short name under which it is counted.

use std::time::Duration;

/// Why an operation did not do what it should. The text is the example shown in the report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The endpoint did not take a connection.
    #[error("cannot connect to {address}: {reason}")]
    Connect { address: String, reason: String },
    /// No complete answer in time.
    #[error("no complete answer within {0:?}")]
    TimedOut(Duration),
    /// The connection ended before the answer was complete.
    #[error("connection lost: {0}")]
    Disconnected(String),
    /// The answer is not HTTP, or not what the request allows.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// The answer is an error, or another success than the one asked for.
    #[error("answered {status} {code}")]
    Status { status: u16, code: String },
    /// The object is not as long as it should be.
    #[error("{got} bytes instead of {expected}")]
    WrongSize { expected: u64, got: u64 },
    /// A byte is not the derived one.
    #[error("content differs from the derived one at offset {offset}")]
    Differs { offset: u64 },
}

impl Failure {
    /// The name under which failures of this sort are added up: few distinct ones.
    pub(crate) fn kind(&self) -> String {
        match self {
            Failure::Connect { .. } => "connect".to_owned(),
            Failure::TimedOut(_) => "timeout".to_owned(),
            Failure::Disconnected(_) => "disconnected".to_owned(),
            Failure::Malformed(_) => "malformed answer".to_owned(),
            Failure::Status { status, code } if code.is_empty() => format!("{status}"),
            Failure::Status { status, code } => format!("{status} {code}"),
            Failure::WrongSize { .. } => "wrong size".to_owned(),
            Failure::Differs { .. } => "content differs".to_owned(),
        }
    }

    /// Whether the object itself is at fault: missing, of another size, or of other bytes.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(
            self,
            Failure::WrongSize { .. }
                | Failure::Differs { .. }
                | Failure::Status { status: 404, .. }
        )
    }
}
