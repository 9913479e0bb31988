//! Owns what a client has asked to be transferred.

use crate::wire::Operation;

/// By which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `hipobj-rc-v2`: a session for each transfer.
    Session,
    /// Pooled connections.
    Pooled,
}

impl Protocol {
    /// All, in the order of [`Self::index`].
    pub const ALL: [Protocol; 2] = [Protocol::Session, Protocol::Pooled];

    /// For metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Session => "hipobj-rc-v2",
            Protocol::Pooled => "pooled-rc",
        }
    }

    /// Its place in tables.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// What PREPARE has fixed for its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Which way.
    pub operation: Operation,
    /// The object, as sent and validated.
    pub target: Box<str>,
    /// Bytes, at least 1.
    pub size: u64,
    /// From where in the object on; 0 on PUT.
    pub offset: u64,
    /// GET: the version that was there at PREPARE.
    pub entity_tag: Option<Box<str>>,
}
