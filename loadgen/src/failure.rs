//! Owns what can go wrong with one operation, and the short name under which it is counted.

use std::time::Duration;

use rdma::client::{ClientError, ControlError};

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
    /// What the RDMA client says.
    #[error("{0}")]
    Rdma(ClientError),
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
            Failure::Rdma(error) => rdma_kind(error),
        }
    }

    /// Whether the endpoint took no connection.
    pub(crate) fn is_connect(&self) -> bool {
        matches!(
            self,
            Failure::Connect { .. } | Failure::Rdma(ClientError::Control(ControlError::NotSent(_)))
        )
    }

    /// Whether the object itself is at fault: missing, of another size, or of other bytes.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(
            self,
            Failure::WrongSize { .. }
                | Failure::Differs { .. }
                | Failure::Status { status: 404, .. }
                | Failure::Rdma(
                    ClientError::Refused { status: 404, .. }
                        | ClientError::Mismatch { what: "bytes" | "checksum", .. }
                )
        )
    }
}

/// S3's own errors are named as over HTTP; the others by what failed, without the figures in them.
fn rdma_kind(error: &ClientError) -> String {
    match error {
        ClientError::Refused { status, code: Some(code), .. } => format!("{status} {code}"),
        ClientError::Refused { status, .. } => status.to_string(),
        ClientError::Control(ControlError::NotSent(_)) => "connect".to_owned(),
        ClientError::Control(_) => "disconnected".to_owned(),
        ClientError::Deadline { step, .. } => format!("timeout ({step})"),
        ClientError::Busy { .. } => "RDMA: busy".to_owned(),
        ClientError::Work { kind, status } => format!("RDMA {kind:?}: {status}"),
        ClientError::Fabric(error) => format!("RDMA: {}", error.verb),
        ClientError::Malformed { step, .. } => format!("malformed answer to {step}"),
        ClientError::Mismatch { what, .. } => format!("RDMA: wrong {what}"),
        ClientError::NoConnection { .. } => "RDMA: no connection free".to_owned(),
        ClientError::UnknownOutcome(cause) => format!("unknown outcome: {}", rdma_kind(cause)),
        _ => "RDMA".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_errors_have_the_same_name_by_either_path() {
        let code = Some("NoSuchKey".to_owned());
        let missing = Failure::Rdma(ClientError::Refused { step: "GET", status: 404, code });
        let plain = Failure::Status { status: 404, code: "NoSuchKey".to_owned() };
        assert_eq!(missing.kind(), plain.kind());
        assert!(missing.is_damage() && plain.is_damage());
        let after = Duration::from_secs(1);
        let late = ClientError::Deadline { step: "READY", after };
        let late = Failure::Rdma(ClientError::UnknownOutcome(Box::new(late)));
        assert_eq!(late.kind(), "unknown outcome: timeout (READY)");
        assert!(!late.is_damage() && !late.is_connect());
        let unsent = ClientError::Control(ControlError::NotSent("x".to_owned()));
        assert!(Failure::Rdma(unsent).is_connect());
    }
}
