//! Owns why a transfer can fail.

use std::convert::Infallible;

use super::abort::AbortReason;
use super::stop::Stop;
use crate::fabric::{FabricError, WorkKind, WorkStatus};

/// Why a transfer failed. `E` is the error of the source or the sink.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError<E> {
    /// The content could not be had, or not be taken.
    #[error("the content failed")]
    Content(E),
    /// A work request or a receive failed.
    #[error("RDMA {kind:?} failed: {status}")]
    Work {
        /// Of what.
        kind: WorkKind,
        /// How.
        status: WorkStatus,
    },
    /// A verb failed.
    #[error(transparent)]
    Fabric(#[from] FabricError),
    /// It took longer than the execution deadline allows: 30 s, and 1 s for each 10 MB.
    #[error("not done by the deadline")]
    Deadline,
    /// It was made to stop.
    #[error("aborted: {}", .0.name())]
    Aborted(AbortReason),
    /// The peer's queue pair answered nothing at all, so nothing was moved. A session's may be asked again once it is
    /// settled.
    #[error("the peer's queue pair never answered")]
    PeerSilent,
    /// The peer's immediate was not its cookie.
    #[error("the peer's immediate is {got:08x?} instead of {expected:08x}")]
    Immediate {
        /// The session's cookie.
        expected: u32,
        /// What came; none with a plain receive.
        got: Option<u32>,
    },
    /// Fewer or more bytes than there should be: from the peer, the source, or wanted by the sink.
    #[error("{got} bytes instead of {expected}")]
    Length {
        /// As promised.
        expected: u64,
        /// As it was.
        got: u64,
    },
    /// The content doesn't fit the peer's window: decline, nothing was written.
    #[error("{needed} bytes do not fit the peer's window of {window}")]
    WindowTooSmall {
        /// Of the content.
        needed: u64,
        /// Of the window, or the most that is transferred at once.
        window: u64,
    },
    /// Not what this transfer was begun for: sending on a PUT, receiving on a GET, or a second time.
    #[error("the transfer is not one to {0}")]
    Misused(&'static str),
}

/// A failure that has nothing to do with the source or the sink.
pub(crate) type Fault = TransferError<Infallible>;

impl Fault {
    /// The same where a source or a sink could fail, too.
    pub(crate) fn widen<E>(self) -> TransferError<E> {
        match self {
            TransferError::Content(never) => match never {},
            TransferError::Work { kind, status } => TransferError::Work { kind, status },
            TransferError::Fabric(error) => TransferError::Fabric(error),
            TransferError::Deadline => TransferError::Deadline,
            TransferError::Aborted(reason) => TransferError::Aborted(reason),
            TransferError::PeerSilent => TransferError::PeerSilent,
            TransferError::Immediate { expected, got } => {
                TransferError::Immediate { expected, got }
            }
            TransferError::Length { expected, got } => TransferError::Length { expected, got },
            TransferError::WindowTooSmall { needed, window } => {
                TransferError::WindowTooSmall { needed, window }
            }
            TransferError::Misused(what) => TransferError::Misused(what),
        }
    }
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Fault {
        match stop {
            Stop::Deadline => TransferError::Deadline,
            Stop::Aborted(reason) => TransferError::Aborted(reason),
        }
    }
}
