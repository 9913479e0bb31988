//! Owns what can go wrong with a fabric apart from the work itself ([`super::WorkStatus`]).

use std::fmt;

/// States of a queue pair (InfiniBand specification, 10.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueuePairState {
    /// Just made.
    Reset,
    /// Receives may be posted.
    Init,
    /// Ready to receive: the peer is known.
    ReadyToReceive,
    /// Ready to send.
    ReadyToSend,
    /// Nothing works any more; what was posted is flushed.
    Error,
}

impl fmt::Display for QueuePairState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            QueuePairState::Reset => "RESET",
            QueuePairState::Init => "INIT",
            QueuePairState::ReadyToReceive => "RTR",
            QueuePairState::ReadyToSend => "RTS",
            QueuePairState::Error => "ERR",
        })
    }
}

/// A verb that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FabricError {
    /// The verb: `ibv_reg_mr`, `ibv_modify_qp` …
    pub verb: &'static str,
    /// The queue pair's state at that time, where it is one's.
    pub state: Option<QueuePairState>,
    /// Why, with the remedy where there is one.
    pub reason: String,
}

impl FabricError {
    /// A failure that has nothing to do with a queue pair.
    pub fn new(verb: &'static str, reason: impl Into<String>) -> FabricError {
        FabricError { verb, state: None, reason: reason.into() }
    }

    /// The same in this state.
    #[must_use]
    pub fn in_state(mut self, state: QueuePairState) -> FabricError {
        self.state = Some(state);
        self
    }
}

impl fmt::Display for FabricError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            Some(state) => write!(f, "{} in state {state}: {}", self.verb, self.reason),
            None => write!(f, "{}: {}", self.verb, self.reason),
        }
    }
}

impl std::error::Error for FabricError {}
