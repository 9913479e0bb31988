//! Owns why the server half refuses a session, a connection or a transfer, each with the HTTP status that it means.

use std::fmt;

use crate::fabric::FabricError;

/// What there is too much of at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exhausted {
    /// Sessions in all.
    Sessions,
    /// Sessions of this principal.
    SessionsOfPrincipal,
    /// Pooled connections in all.
    Connections,
    /// Pooled connections of this principal.
    ConnectionsOfPrincipal,
    /// Staging memory.
    Staging,
    /// Staging memory of this principal.
    StagingOfPrincipal,
    /// Requests that wait for the same connection.
    ConnectionQueue,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Exhausted::Sessions => "too many RDMA sessions",
            Exhausted::SessionsOfPrincipal => "too many RDMA sessions of this principal",
            Exhausted::Connections => "too many RDMA connections",
            Exhausted::ConnectionsOfPrincipal => "too many RDMA connections of this principal",
            Exhausted::Staging => "no staging memory left for RDMA uploads",
            Exhausted::StagingOfPrincipal => {
                "no staging memory left for RDMA uploads of this principal"
            }
            Exhausted::ConnectionQueue => "too many requests wait for this RDMA connection",
        })
    }
}

/// Why there is no session, connection or transfer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// 404: unknown, expired, somebody else's, or the cookie is wrong. Which of these is not told.
    #[error("no such RDMA session or connection")]
    Unknown,
    /// 409: another READY is being served.
    #[error("the session's transfer is in progress")]
    InProgress,
    /// 409: the peer's queue pair never answered; the session may be READY again.
    #[error("the peer's queue pair never answered; the session waits for another READY")]
    PeerBusy,
    /// 413: more than a limit.
    #[error("{size} bytes are more than the {limit} that one RDMA transfer may have")]
    TooLarge {
        /// Asked for.
        size: u64,
        /// The most.
        limit: u64,
    },
    /// 503: ask again later.
    #[error("{0}; try again later")]
    Busy(Exhausted),
    /// 408: waited too long.
    #[error("not done by the deadline")]
    Deadline,
    /// 503: nothing new is admitted.
    #[error("the gateway is going down; try another")]
    ShuttingDown,
    /// 500: a verb failed.
    #[error(transparent)]
    Fabric(#[from] FabricError),
    /// 400: what about the request is wrong.
    #[error("{0}")]
    Malformed(&'static str),
}
