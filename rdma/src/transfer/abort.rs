//! Owns who can make a transfer stop.

/// Who made a transfer stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AbortReason {
    /// The client asked for it: CANCEL.
    Cancelled,
    /// The HTTP request that waits for it has gone.
    ClientGone,
    /// The gateway, or this lane, is going down.
    ShuttingDown,
}

impl AbortReason {
    /// For logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AbortReason::Cancelled => "cancelled",
            AbortReason::ClientGone => "client gone",
            AbortReason::ShuttingDown => "shutting down",
        }
    }
}
