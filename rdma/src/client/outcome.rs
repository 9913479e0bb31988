//! Owns how an operation ended: what was moved by which path, or why not and what has become of the memory.

use std::fmt;
use std::time::Duration;

use super::control::{AnswerHead, ControlError};
use super::memory::MemoryWindow;
use crate::fabric::{FabricError, WorkKind, WorkStatus};

/// An operation that succeeded.
#[derive(Debug)]
pub struct Done<M> {
    /// The memory, the caller's again.
    pub memory: M,
    /// What was done.
    pub outcome: Outcome,
}

/// What a successful operation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// By which path the payload went.
    pub path: Path,
    /// Bytes of payload; of a GET they lie at the start of the memory.
    pub bytes: u64,
    /// As the server gave it, quotes included.
    pub entity_tag: Option<String>,
    /// Where the bucket has versions.
    pub version_id: Option<String>,
    /// Of a GET with a range or part: `bytes 0-9/100`.
    pub content_range: Option<String>,
    /// Whether the bytes were compared with a checksum.
    pub checksum: Verification,
    /// Work requests and receives that this side posted. 0 for pooled operations: there the server posts everything.
    pub work_requests: u64,
    /// Requests that were sent again, for whatever reason.
    pub retries: u32,
}

/// How the payload went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// By RDMA.
    Rdma,
    /// In the body of a request or an answer.
    Http(Decline),
}

/// Why the payload went by HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decline {
    /// The server said so with success and reply 501: in the answer to a GET with the data, to a PUT without.
    Reply,
    /// The server said so with HTTP status 501.
    NotImplemented,
    /// The server does not know the header: it answered without a reply header.
    Unaware,
    /// A server that does not know the header has refused to store 0 bytes, since the checksum was of others.
    ChecksumRefused,
    /// The object has 0 bytes.
    Empty,
}

impl fmt::Display for Decline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Decline::Reply => "declined with reply 501",
            Decline::NotImplemented => "declined with HTTP status 501",
            Decline::Unaware => "the server does not know the RDMA headers",
            Decline::ChecksumRefused => {
                "the checksum was refused: the server took the request for an empty one"
            }
            Decline::Empty => "an object of 0 bytes",
        })
    }
}

/// What became of the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Of a GET: the memory holds what the server sent. Of a PUT: the server was given it and has stored the object.
    Verified,
    /// The server gave none (GET), or the protocol has no place for one (PUT by hipobj-rc-v2).
    NotOffered,
    /// The memory cannot be read by this side, or verification is switched off.
    NotComputed,
}

/// An operation that failed.
#[derive(Debug)]
pub struct Failed<M> {
    /// Why.
    pub error: ClientError,
    /// The memory: no peer can write to it any more. None where it had to be given up, because the device did not
    /// close it (it is leaked then), or because the registration failed.
    pub memory: Option<M>,
}

impl<M> fmt::Display for Failed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<M: fmt::Debug> std::error::Error for Failed<M> {}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// The request makes no sense, or the protocol cannot express it; nothing was sent.
    Invalid(String),
    /// A verb failed.
    Fabric(FabricError),
    /// A work request failed.
    Work {
        /// Of which kind.
        kind: WorkKind,
        /// How.
        status: WorkStatus,
    },
    /// A request had no answer. A PUT that may have been executed is [`ClientError::UnknownOutcome`].
    Control(ControlError),
    /// Something took too long.
    Deadline {
        /// What was waited for.
        step: &'static str,
        /// For how long.
        after: Duration,
    },
    /// The server has no RDMA, or not by this protocol; plain HTTP works.
    Unsupported,
    /// An S3 error: nothing was stored.
    Refused {
        /// The answer to what.
        step: &'static str,
        /// The HTTP status.
        status: u16,
        /// The S3 error code, where the answer had one.
        code: Option<String>,
    },
    /// The server was busy (503 or 429) each time it was asked.
    Busy {
        /// How often.
        attempts: u32,
    },
    /// The connections of this pool are all in use and none came free.
    NoConnection {
        /// After this long.
        after: Duration,
    },
    /// An answer that the protocol does not allow.
    Malformed {
        /// The answer to what.
        step: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Something arrived that is not what was promised.
    Mismatch {
        /// What: `cookie`, `immediate`, `bytes`, `checksum`.
        what: &'static str,
        /// The promise.
        expected: String,
        /// What came.
        found: String,
    },
    /// What came by HTTP does not fit the memory, or the memory is lent elsewhere and cannot be written.
    Memory(String),
    /// Nobody here knows whether the object was stored. Look (HEAD), or write again under a condition; writing again
    /// without one may overwrite what somebody else has written meanwhile.
    UnknownOutcome(Box<ClientError>),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Invalid(why) => write!(f, "not a request that can be made: {why}"),
            ClientError::Fabric(error) => error.fmt(f),
            ClientError::Work { kind, status } => write!(f, "RDMA {kind:?}: {status}"),
            ClientError::Control(error) => error.fmt(f),
            ClientError::Deadline { step, after } => {
                write!(f, "{step} did not end within {:.1} s", after.as_secs_f64())
            }
            ClientError::Unsupported => {
                f.write_str("the server does not offer this RDMA protocol; use plain HTTP")
            }
            ClientError::Refused { step, status, code } => {
                let code = code.as_deref().unwrap_or("no code");
                write!(f, "{step} was refused with HTTP status {status} ({code})")
            }
            ClientError::Busy { attempts } => {
                write!(f, "the server was busy {attempts} times; try later or with fewer transfers")
            }
            ClientError::NoConnection { after } => write!(
                f,
                "no RDMA connection of the pool came free within {:.1} s",
                after.as_secs_f64()
            ),
            ClientError::Malformed { step, why } => {
                write!(f, "the answer to {step} breaks the protocol: {why}")
            }
            ClientError::Mismatch { what, expected, found } => {
                write!(f, "{what}: expected {expected}, found {found}")
            }
            ClientError::Memory(why) => f.write_str(why),
            ClientError::UnknownOutcome(cause) => write!(
                f,
                "whether the object was stored is not known ({cause}); look at it before writing it again"
            ),
        }
    }
}

impl std::error::Error for ClientError {}

impl ClientError {
    /// The same of a PUT that had reached the server: unless the server has said clearly that nothing was stored,
    /// nobody knows.
    pub(super) fn of_put(self) -> ClientError {
        match &self {
            ClientError::Control(ControlError::NotSent(_))
            | ClientError::Busy { .. }
            | ClientError::Unsupported
            | ClientError::UnknownOutcome(_) => self,
            // What a proxy says of a server that is silent, and what a server says that is lost itself.
            ClientError::Refused { status, code, .. }
                if *status < 500 || code.as_deref() == Some("RDMATransferFailed") =>
            {
                self
            }
            ClientError::Refused { status: 501 | 503, .. } => self,
            _ => ClientError::UnknownOutcome(Box::new(self)),
        }
    }
}

/// What is counted along an operation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) work_requests: u64,
    pub(super) retries: u32,
}

impl Outcome {
    /// An outcome with what the head of an answer says of the object.
    pub(super) fn of(path: Path, bytes: u64, head: &AnswerHead, tally: Tally) -> Outcome {
        let text = |name| head.header(name).filter(|text| !text.is_empty()).map(str::to_owned);
        Outcome {
            path,
            bytes,
            entity_tag: text("etag"),
            version_id: text("x-amz-version-id"),
            content_range: text("content-range"),
            checksum: Verification::NotOffered,
            work_requests: tally.work_requests,
            retries: tally.retries,
        }
    }
}

impl<M> Failed<M> {
    /// Before a peer knew of the memory.
    pub(super) fn untouched(error: impl Into<ClientError>, memory: M) -> Failed<M> {
        Failed { error: error.into(), memory: Some(memory) }
    }

    /// After a peer knew of it: its key dies first. That the device does not do that is worse than what was before.
    pub(super) fn revoked<W: MemoryWindow<Memory = M>>(error: ClientError, window: W) -> Failed<M> {
        match window.revoke() {
            Ok(memory) => Failed { error, memory: Some(memory) },
            Err(fabric) => Failed { error: ClientError::Fabric(fabric), memory: None },
        }
    }
}

impl From<FabricError> for ClientError {
    fn from(error: FabricError) -> ClientError {
        ClientError::Fabric(error)
    }
}

impl From<ControlError> for ClientError {
    fn from(error: ControlError) -> ClientError {
        ClientError::Control(error)
    }
}
