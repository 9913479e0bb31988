//! Owns what is asked of a queue pair and what it says when it has done it. A work request owns the memory that it moves;
//! the memory comes back with its completion, and every work request has exactly one.
//!
//! *Not here*: which requests make up an object's transfer (`crate::transfer`).

use std::fmt;

use bytes::Bytes;
use datapath::arena::Frame;

use super::address::{Qpn, RemoteWindow};

/// One work request for the send queue.
#[derive(Debug)]
pub enum Work {
    /// RDMA WRITE of these bytes to the start of the window, WITH IMMEDIATE where there is one. The bytes must lie in
    /// registered memory: frames of the arena or a [`super::Buffer`] that was lent. May be empty.
    Write {
        /// What to write.
        source: Bytes,
        /// Where to; the window's size is not looked at, callers have checked it.
        to: RemoteWindow,
        /// Consumes a receive of the peer's and shows there, in host byte order: `cookie` travels as its big-endian
        /// bytes.
        immediate: Option<u32>,
    },
    /// RDMA READ of `bytes` from the start of the window into the start of the frame.
    Read {
        /// Comes back filled with so many bytes.
        into: Frame,
        /// At most the frame's capacity.
        bytes: usize,
        /// Where from.
        from: RemoteWindow,
    },
}

/// What kind of work a completion is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkKind {
    /// A WRITE, with immediate or without.
    Write,
    /// A READ.
    Read,
    /// A receive that a peer's WRITE WITH IMMEDIATE consumed, or that was flushed.
    Receive,
}

/// How a work request ended: the names of `ibv_wc_status` (ibv_poll_cq(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkStatus {
    /// Done; of a WRITE: the peer's device has acknowledged it.
    Success,
    /// `IBV_WC_LOC_LEN_ERR`
    LocalLength,
    /// `IBV_WC_LOC_QP_OP_ERR`
    LocalOperation,
    /// `IBV_WC_LOC_PROT_ERR`
    LocalProtection,
    /// `IBV_WC_WR_FLUSH_ERR`: never executed, or not to its end; the queue pair was in the error state.
    Flushed,
    /// `IBV_WC_BAD_RESP_ERR`
    BadResponse,
    /// `IBV_WC_REM_INV_REQ_ERR`: among others, path MTUs that differ.
    RemoteInvalidRequest,
    /// `IBV_WC_REM_ACCESS_ERR`: the key, the range or the right was wrong.
    RemoteAccess,
    /// `IBV_WC_REM_OP_ERR`
    RemoteOperation,
    /// `IBV_WC_RETRY_EXC_ERR`: the peer never answered.
    RetryExceeded,
    /// `IBV_WC_RNR_RETRY_EXC_ERR`: the peer never posted a receive.
    ReceiverNotReady,
    /// Any other, by its number.
    Other(u32),
}

impl fmt::Display for WorkStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            WorkStatus::Success => "success",
            WorkStatus::LocalLength => "local length error",
            WorkStatus::LocalOperation => "local queue pair operation error",
            WorkStatus::LocalProtection => "local protection error",
            WorkStatus::Flushed => "work request flushed",
            WorkStatus::BadResponse => "bad response",
            WorkStatus::RemoteInvalidRequest => {
                "remote invalid request (do both ends have the same path MTU?)"
            }
            WorkStatus::RemoteAccess => "remote access error",
            WorkStatus::RemoteOperation => "remote operation error",
            WorkStatus::RetryExceeded => "transport retries exceeded",
            WorkStatus::ReceiverNotReady => "receiver-not-ready retries exceeded",
            WorkStatus::Other(number) => return write!(f, "completion status {number}"),
        };
        f.write_str(text)
    }
}

/// The memory of a work request, given back.
#[derive(Debug)]
pub enum Payload {
    /// Of a WRITE.
    Source(Bytes),
    /// Of a READ; filled where it succeeded.
    Frame(Frame),
    /// Of a receive: none.
    None,
}

/// The end of one work request. Those of one send queue come in the order of posting.
#[derive(Debug)]
pub struct Completion {
    /// Of which queue pair.
    pub queue_pair: Qpn,
    /// Of what.
    pub kind: WorkKind,
    /// How it ended.
    pub status: WorkStatus,
    /// Of a READ or a receive that succeeded: bytes that arrived.
    pub bytes: u32,
    /// Of a receive that a WRITE WITH IMMEDIATE consumed, in host byte order.
    pub immediate: Option<u32>,
    /// The request's memory.
    pub payload: Payload,
}
