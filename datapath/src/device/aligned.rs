//! *Owns:* small buffers that direct I/O accepts, for superblocks and formatting, where no arena
//! exists yet.

use std::ops::{Deref, DerefMut};

use crate::limits;

/// Zeroed bytes that begin on a device block.
pub(super) struct AlignedBuffer {
    storage: Vec<u8>,
    start: usize,
    length: usize,
}

impl AlignedBuffer {
    pub(super) fn new(length: usize) -> AlignedBuffer {
        // Never grown, so that its address, and with it the start, stays.
        let storage = vec![0; length + limits::DEVICE_BLOCK_BYTES];
        let start = storage.as_ptr().align_offset(limits::DEVICE_BLOCK_BYTES);
        AlignedBuffer { storage, start, length }
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.length]
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.start + self.length]
    }
}
