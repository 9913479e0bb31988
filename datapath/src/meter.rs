//! Telling whoever asked for a read or a write what it costs: waiting, by what is waited for, and
//! bytes, by where they come from.
//!
//! *Not here*: counters of the whole store ([`crate::StoreStats`]).

use std::time::Duration;

/// What a request waits for in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Memory, or a place in a device's queue.
    Queue,
    /// A device.
    Device,
    /// A checksum being computed.
    Verify,
}

/// Where bytes that are read come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Frames that were in memory.
    Cache,
    /// A device, read for this request.
    Device,
    /// A device, read for another request that wanted the same block at the same time.
    Joined,
    /// The object's record.
    Record,
}

/// Somebody who is told, on the lane, while a request reads or writes. What is told is time that
/// the request waited: work for it that went on meanwhile, such as reading ahead, is not told.
pub trait Meter {
    /// The request waited so long.
    fn waited(&self, wait: Wait, took: Duration);
    /// Bytes that are given out come from there.
    fn gave(&self, origin: Origin, bytes: u64);
    /// Bytes were copied: from a caller's memory into frames or what becomes a record, or from a
    /// record into frames.
    fn copied(&self, bytes: u64);
}
