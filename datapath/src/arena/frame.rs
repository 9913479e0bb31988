//! *Owns:* the right to touch a piece of the arena, written in types.
//!
//! | type | who holds it | may |
//! |---|---|---|
//! | [`Frame`] | one owner | read and write |
//! | a `Frame` moved into an engine's operation | the kernel | nobody may |
//! | [`SharedFrame`], and `Bytes` made of it | any number of readers | read |
//! | [`CacheFrame`] | the cache | lend it against a charge, nothing else |
//!
//! The memory goes back to the allocator when the last of them is gone, and only then the charge.
//!
//! *Not here:* who may have how many (`budget.rs`).
#![allow(unsafe_code)]

use std::fmt;
use std::ops::Range;
use std::slice;
use std::sync::Arc;

use bytes::Bytes;

use super::ArenaShared;
use super::buddy::order_of;
use super::budget::{Charge, charge_for};
use crate::limits;

/// A block of the arena, given back when dropped. Grants nothing by itself: its holder does.
pub(super) struct Pages {
    arena: Arc<ArenaShared>,
    page: u32,
    order: u8,
}

impl Pages {
    /// Allocates, evicting if need be.
    pub(super) fn allocate(arena: &Arc<ArenaShared>, bytes: usize) -> Option<Pages> {
        let order = order_of(bytes);
        let page = arena.allocate(order)?;
        Some(Pages { arena: Arc::clone(arena), page, order })
    }

    fn bytes(&self) -> usize {
        limits::FRAME_BYTES_MIN << self.order
    }

    fn offset(&self) -> usize {
        self.page as usize * limits::FRAME_BYTES_MIN
    }

    fn pointer(&self) -> *mut u8 {
        self.arena.mapping.pointer(self.offset())
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.arena.free(self.page, self.order);
    }
}

/// A piece of the arena that exactly one owner may read and write: 4 KiB to 1 MiB, a power of two,
/// aligned to its size.
///
/// It counts how much of it was filled, from the start; only that much is ever shared. What lies
/// behind is the residue of earlier use.
///
/// Given to an operation, it is gone until the operation returns it:
///
/// ```compile_fail,E0382
/// # use datapath::{arena::Frame, device::Engine, id::DeviceId};
/// async fn touch_in_flight(engine: &Engine, mut frame: Frame) {
///     let read = engine.read(DeviceId(0), 1 << 20, frame, 4096, ());
///     frame.append(b"while the device writes to it"); // error: value used after move
///     read.await;
/// }
/// ```
///
/// ```compile_fail,E0382
/// # use datapath::{arena::Frame, device::Engine, id::DeviceId};
/// async fn free_in_flight(engine: &Engine, frame: Frame) {
///     let read = engine.read(DeviceId(0), 1 << 20, frame, 4096, ());
///     drop(frame); // error: value used after move
///     read.await;
/// }
/// ```
///
/// Only this crate makes it readable for delivery, when its content is verified, and it cannot be
/// owned twice:
///
/// ```compile_fail,E0624
/// # use datapath::arena::Frame;
/// fn deliver_unverified(frame: Frame) -> bytes::Bytes {
///     frame.share().into_bytes() // error: method `share` is private
/// }
/// ```
///
/// ```compile_fail,E0599
/// # use datapath::arena::Frame;
/// fn own_twice(frame: Frame) -> (Frame, Frame) {
///     (frame.clone(), frame) // error: no method named `clone`
/// }
/// ```
///
/// The same steps in the order that is allowed:
///
/// ```
/// # use datapath::{arena::Frame, device::Engine, id::DeviceId};
/// async fn read_then_touch(engine: &Engine, frame: Frame) {
///     let mut done = engine.read(DeviceId(0), 1 << 20, frame, 4096, ()).await;
///     done.frame.append(b"the device has written all that it will");
/// }
/// ```
pub struct Frame {
    // Declared in the order of dropping: memory first, then the right to as much of it.
    pages: Pages,
    charge: Charge,
    filled: usize,
}

impl Frame {
    /// Pairs memory with the charge that paid for it.
    pub(super) fn new(pages: Pages, charge: Charge) -> Frame {
        assert!(charge.bytes() >= charge_for(pages.bytes()), "the charge covers the frame");
        Frame { pages, charge, filled: 0 }
    }

    /// Size in bytes.
    pub fn capacity(&self) -> usize {
        self.pages.bytes()
    }

    /// Bytes filled, from the start.
    pub fn filled_bytes(&self) -> usize {
        self.filled
    }

    /// Bytes still to fill.
    pub fn spare_bytes(&self) -> usize {
        self.capacity() - self.filled
    }

    /// What was filled.
    pub fn filled(&self) -> &[u8] {
        // SAFETY: the pages are this frame's alone and mapped zeroed, so initialised; `filled` is
        // at most the capacity. Held by `Frame`. Until the borrow of `self` ends.
        unsafe { slice::from_raw_parts(self.pages.pointer(), self.filled) }
    }

    /// The whole frame, with the residue of earlier use behind what was filled. For filling in
    /// place; say how much with [`Frame::set_filled`].
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: the pages are this frame's alone (the allocator gives none twice, a frame in
        // flight is moved away) and mapped zeroed, so initialised. Until the borrow of `self` ends.
        unsafe { slice::from_raw_parts_mut(self.pages.pointer(), self.pages.bytes()) }
    }

    /// Says that the first `bytes` hold what the filler put there.
    ///
    /// # Panics
    /// When that is more than the capacity.
    pub fn set_filled(&mut self, bytes: usize) {
        assert!(
            bytes <= self.capacity(),
            "{bytes} bytes do not fit a frame of {}",
            self.capacity()
        );
        self.filled = bytes;
    }

    /// Copies as much of `source` behind what is filled as fits; how much that was.
    pub fn append(&mut self, source: &[u8]) -> usize {
        let (start, count) = (self.filled, source.len().min(self.spare_bytes()));
        self.as_mut_slice()[start..start + count].copy_from_slice(&source[..count]);
        self.filled += count;
        count
    }

    /// Fills up with zeros to a multiple of the device block, so that a device write carries
    /// nothing of earlier use. Returns the length to write.
    pub fn pad_to_block(&mut self) -> usize {
        let (start, end) = (self.filled, self.filled.next_multiple_of(limits::DEVICE_BLOCK_BYTES));
        self.as_mut_slice()[start..end].fill(0);
        self.filled = end;
        end
    }

    /// Ends writing: from here on the filled part is read only, and may be read by many. Only this
    /// crate may say so, of content that it has held against its checksum.
    pub(crate) fn share(self) -> SharedFrame {
        let Frame { pages, charge, filled } = self;
        SharedFrame { pages: Arc::new(pages), _charge: charge, filled }
    }

    /// The region of the arena it lies in: the index of the fixed buffer.
    pub(crate) fn region_index(&self) -> u16 {
        (self.pages.offset() / limits::REGION_BYTES_MAX) as u16
    }

    /// Where it begins. For operations that have taken the frame.
    pub(crate) fn address(&mut self) -> *mut u8 {
        self.pages.pointer()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("offset", &self.pages.offset())
            .field("capacity", &self.capacity())
            .field("filled", &self.filled)
            .finish_non_exhaustive()
    }
}

/// A frame that is only read, together with the charge of this reader. The memory cannot be
/// reclaimed while it lives, and the charge says so in the book.
///
/// ```compile_fail,E0594
/// # use datapath::arena::SharedFrame;
/// fn write_shared(frame: SharedFrame) {
///     frame.as_ref()[0] = 1; // error: cannot assign
/// }
/// ```
pub struct SharedFrame {
    pages: Arc<Pages>,
    /// Given back after the memory.
    _charge: Charge,
    filled: usize,
}

impl SharedFrame {
    /// Filled bytes.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether nothing was filled.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// A holder for the cache: keeps the contents, but takes no part in the book, since the cache
    /// gives it up when asked.
    ///
    /// Insert it into the cache before this `SharedFrame` or its `Bytes` go: between, the memory
    /// would be neither charged nor evictable.
    pub fn retain(&self) -> CacheFrame {
        CacheFrame { pages: Arc::clone(&self.pages), filled: self.filled }
    }

    /// The contents for delivery, without a copy. The charge is held until the last of the `Bytes`
    /// made of it is dropped, so that a slow reader pays for as long as it makes us keep the frame.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// As [`SharedFrame::into_bytes`], a part of it.
    ///
    /// # Panics
    /// When the range is not inside what was filled.
    pub fn slice(self, range: Range<usize>) -> Bytes {
        self.into_bytes().slice(range)
    }
}

impl AsRef<[u8]> for SharedFrame {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: nobody writes: the one `Frame` of these pages was consumed, and pages come back
        // to the allocator only when the last holder is gone. Until the borrow of `self` ends.
        unsafe { slice::from_raw_parts(self.pages.pointer(), self.filled) }
    }
}

impl fmt::Debug for SharedFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedFrame").field("filled", &self.filled).finish_non_exhaustive()
    }
}

/// A frame in the cache: contents that nobody may read before they are charged for.
///
/// ```compile_fail,E0599
/// # use datapath::arena::CacheFrame;
/// fn read_without_charge(frame: &CacheFrame) -> &[u8] {
///     frame.as_ref() // error: no such method
/// }
/// ```
#[derive(Clone)]
pub struct CacheFrame {
    pages: Arc<Pages>,
    filled: usize,
}

impl CacheFrame {
    /// Memory that it keeps from use, in bytes: its weight in the cache.
    pub fn capacity(&self) -> usize {
        self.pages.bytes()
    }

    /// Filled bytes.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether nothing was filled.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// What a reader must be charged: at least [`limits::FRAME_BYTES_GUARANTEED`].
    pub fn charge_bytes(&self) -> usize {
        charge_for(self.capacity())
    }

    /// Gives a reader the contents against its charge. Take the charge before looking into the
    /// cache: then a frame found is paid for at every moment.
    ///
    /// # Errors
    /// The charge back when it is smaller than [`CacheFrame::charge_bytes`].
    pub fn lend(&self, charge: Charge) -> Result<SharedFrame, Charge> {
        if charge.bytes() < self.charge_bytes() {
            return Err(charge);
        }
        Ok(SharedFrame { pages: Arc::clone(&self.pages), _charge: charge, filled: self.filled })
    }
}

impl fmt::Debug for CacheFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheFrame").field("filled", &self.filled).finish_non_exhaustive()
    }
}
