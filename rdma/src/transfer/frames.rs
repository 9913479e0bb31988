//! Owns what a transfer is given to move, and what it says when it has moved it.

use bytes::Bytes;
use datapath::arena::Frame;

use crate::wire::Checksum;

/// Where the bytes of an object come from: pieces of registered memory, in order.
pub trait FrameSource {
    /// Why the content can't be had.
    type Error;

    /// The next piece; `None` after the last. Each lies in frames of the arena that the fabric has registered, or in a
    /// buffer of the fabric's own. It stays unchanged until its last clone is dropped.
    fn next(&mut self) -> impl Future<Output = Option<Result<Bytes, Self::Error>>>;

    /// Bytes that [`Self::next`] has yet to yield.
    fn remaining(&self) -> u64;
}

/// Where the bytes of an object go: into frames, in order.
pub trait FrameSink {
    /// Why the content can't be taken.
    type Error;

    /// An empty frame, and how many bytes are wanted in it: at least 1, at most its capacity.
    ///
    /// May be dropped before it is ready and called again, when an earlier frame has been filled meanwhile: a sink
    /// whose frames are all in use waits here, and gets them back by [`Self::filled`] only. Nothing may get lost then.
    fn next_frame(&mut self) -> impl Future<Output = Result<(Frame, usize), Self::Error>>;

    /// Takes a frame back, filled with as many bytes as were wanted. In the order of [`Self::next_frame`].
    fn filled(&mut self, frame: Frame) -> impl Future<Output = Result<(), Self::Error>>;
}

/// What was written to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Payload that the peer's device has acknowledged.
    pub bytes: u64,
    /// Of exactly these.
    pub checksum: Checksum,
    /// Work requests that it took.
    pub work_requests: u64,
}

/// What was taken from a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Payload, all of it in the sink's frames.
    pub bytes: u64,
    /// Of these, what was copied from a session's staging memory; the rest came straight into the frames.
    pub copied_bytes: u64,
    /// Work requests that it took; 0 where the peer did the writing.
    pub work_requests: u64,
}
