//! What one lane measured of a request that another lane has: plain values, which may cross.

use std::time::Duration;

use crate::metrics::{Copying, Source, Stage};

/// See the module. [`super::Account::tally`] makes it, [`super::Account::add`] takes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How long stages took, in the order of [`Stage::ALL`]; `None` for those not come to.
    pub stages: [Option<Duration>; Stage::COUNT],
    /// Bytes that left, in the order of [`Source::ALL`].
    pub sources: [u64; Source::COUNT],
    /// Bytes that a processor copied, in the order of [`Copying::ALL`].
    pub copied: [u64; Copying::COUNT],
    /// Bytes that RDMA has moved.
    pub moved: u64,
    /// The size of the whole object.
    pub object_bytes: Option<u64>,
}
