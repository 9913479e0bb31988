//! *Owns:* who may hold how much of the arena: reservations, and the charges that frames take
//! from them.
//!
//! # Why a reservation always gets its frame
//!
//! 1. Sum of reservations ≤ sum of the two shares ≤ arena. Checked when booking.
//! 2. Memory is kept from use either by a frame with a [`Charge`], or by the cache alone. Charges
//!    of one reservation never exceed it. A charge goes with the frame into its `Bytes`, so a slow
//!    socket pays until it lets go; a frame that the cache evicts while readers hold it is paid for
//!    by each of those readers.
//! 3. Every charge is at least [`limits::FRAME_BYTES_GUARANTEED`] (64 KiB), also for a 4 KiB frame.
//!    Divide the arena into aligned chunks of that size. A charged frame of at most 64 KiB lies in
//!    one chunk and paid for one; a larger one covers exactly as many chunks as it paid for. So
//!    chunks with a charged frame in them ≤ charges / 64 KiB.
//! 4. Who asks for a frame of at most 64 KiB has its charge already but no frame for it. By 1 to 3
//!    at least one chunk has no charged frame: it is free, or holds nothing but what the cache
//!    keeps, and eviction with the buddy allocator's joining makes it one free block.
//!
//! Without 3, frames of 4 KiB left one in each chunk would block all larger ones with 1/16 of the
//! arena. Frames above 64 KiB have no such guarantee: asking for one may answer
//! [`FrameRefused::Fragmented`], and the caller goes on with smaller ones.
//!
//! *Limits:* [`limits::RECLAIM_ROUNDS_MAX`]. *Not here:* the shares and their queues (`share.rs`),
//! how large they are (`plan.rs`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::frame::{Frame, Pages};
use super::share::{Overload, OverloadReason, Share, ShareBook};
use super::{Arena, ArenaShared};
use crate::limits;

/// Why a reservation gave no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameRefused {
    /// Its frames are all out. They come back as they are dropped.
    #[error("the reservation is used up by frames that are still held")]
    ReservationSpent,
    /// No block of that size in one piece. Only above [`limits::FRAME_BYTES_GUARANTEED`].
    #[error("no block of that size is free in one piece; ask for a smaller one")]
    Fragmented,
}

/// What a frame of this size is charged: its size, and at least the guaranteed frame's.
pub(super) fn charge_for(frame_bytes: usize) -> usize {
    frame_bytes.max(limits::FRAME_BYTES_GUARANTEED)
}

impl Arena {
    /// Reserves `bytes` of a share, now or not at all. Rounded up to whole charges of
    /// [`limits::FRAME_BYTES_GUARANTEED`].
    pub fn reserve(&self, share: Share, bytes: u64) -> Result<Reservation, Overload> {
        let asked_bytes = whole_charges(bytes);
        match self.shared.share(share).book_now(asked_bytes) {
            Ok(()) => Ok(self.reservation(share, asked_bytes)),
            Err(reason) => Err(Overload { share, asked_bytes, reason }),
        }
    }

    /// As [`Arena::reserve`], but waits up to `patience` behind those who came before. Needs a
    /// runtime with time enabled.
    pub async fn reserve_within(
        &self,
        share: Share,
        bytes: u64,
        patience: Duration,
    ) -> Result<Reservation, Overload> {
        let asked_bytes = whole_charges(bytes);
        let overload = |reason| Overload { share, asked_bytes, reason };
        let place = self.shared.share(share).book_or_queue(asked_bytes).map_err(overload)?;
        if let Some(place) = place {
            let granted = tokio::time::timeout(patience, place.granted()).await;
            granted.map_err(|_elapsed| overload(OverloadReason::TimedOut))?;
        }
        Ok(self.reservation(share, asked_bytes))
    }

    fn reservation(&self, share: Share, bytes: u64) -> Reservation {
        Reservation {
            ledger: Arc::new(Ledger {
                arena: Arc::clone(&self.shared),
                share,
                used: AtomicU64::new(0),
                returned: Notify::new(),
            }),
            amount: bytes,
            begun_with: bytes,
        }
    }
}

fn whole_charges(bytes: u64) -> u64 {
    let unit = limits::FRAME_BYTES_GUARANTEED as u64;
    // Saturated, it is larger than any share, which is the answer.
    bytes.div_ceil(unit).max(1).saturating_mul(unit)
}

/// The right to hold so many bytes of frames at a time. Frames that are dropped may be had again.
///
/// When it is dropped, what is not in frames goes back to the share at once, the rest as each
/// frame, or the last `Bytes` of it, is dropped.
#[must_use = "dropping a reservation gives it back"]
pub struct Reservation {
    ledger: Arc<Ledger>,
    amount: u64,
    /// What it was made with; the rest is growth.
    begun_with: u64,
}

/// What the charges of a reservation refer to.
struct Ledger {
    arena: Arc<ArenaShared>,
    share: Share,
    /// Bytes charged; [`CLOSED`] is set once the reservation is gone.
    used: AtomicU64,
    returned: Notify,
}

/// From here on each charge gives itself back to the share.
const CLOSED: u64 = 1 << 63;

impl Reservation {
    /// Bytes reserved.
    pub fn bytes(&self) -> u64 {
        self.amount
    }

    /// Bytes charged at present.
    pub fn used_bytes(&self) -> u64 {
        self.ledger.used.load(Ordering::Acquire)
    }

    /// A frame of at least `bytes`, out of this reservation; see the head of this file for why it
    /// never fails for want of memory up to [`limits::FRAME_BYTES_GUARANTEED`].
    ///
    /// # Panics
    /// Above [`limits::FRAME_BYTES_MAX`].
    pub fn frame(&self, bytes: usize) -> Result<Frame, FrameRefused> {
        let charge =
            self.charge(bytes.max(1).next_power_of_two()).ok_or(FrameRefused::ReservationSpent)?;
        charge.frame(bytes).map_err(|_charge| FrameRefused::Fragmented)
    }

    /// A charge for a frame of `frame_bytes`, if that much is left: for memory to come
    /// ([`Charge::frame`]) or to be borrowed from the cache (`CacheFrame::lend`).
    pub fn charge(&self, frame_bytes: usize) -> Option<Charge> {
        let bytes = charge_for(frame_bytes) as u64;
        let taken = self.ledger.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
            (used + bytes <= self.amount).then_some(used + bytes)
        });
        taken.ok()?;
        Some(Charge { ledger: Arc::clone(&self.ledger), bytes: bytes as usize })
    }

    /// As [`Reservation::charge`], but waits until frames of this reservation have come back. It
    /// waits for nobody else's frames; bound it by the time that the stream's own peer is allowed.
    ///
    /// # Errors
    /// [`FrameRefused::ReservationSpent`] when the reservation is smaller than that charge, so that
    /// waiting would never end.
    pub async fn charge_when_free(&mut self, frame_bytes: usize) -> Result<Charge, FrameRefused> {
        if charge_for(frame_bytes) as u64 > self.amount {
            return Err(FrameRefused::ReservationSpent);
        }
        loop {
            if let Some(charge) = self.charge(frame_bytes) {
                return Ok(charge);
            }
            // A return between the look and this line leaves a permit, so that no wake is lost.
            self.ledger.returned.notified().await;
        }
    }

    /// Adds `bytes` when the share has them for growing and nobody waits; whether it did.
    pub fn try_grow(&mut self, bytes: u64) -> bool {
        let bytes = whole_charges(bytes);
        let grown = self.ledger.share_book().grow(bytes);
        if grown {
            self.amount += bytes;
        }
        grown
    }

    fn growth(&self) -> u64 {
        self.amount.saturating_sub(self.begun_with)
    }

    /// Gives back what exceeds `bytes` and is in no frame.
    pub fn shrink_to(&mut self, bytes: u64) {
        let keep = whole_charges(bytes).max(self.used_bytes());
        if keep < self.amount {
            let surplus = self.amount - keep;
            let growth = self.growth();
            self.amount = keep;
            self.ledger.share_book().end_growth(growth - self.growth());
            self.ledger.share_book().release(surplus);
        }
    }
}

impl Ledger {
    fn share_book(&self) -> &ShareBook {
        self.arena.share(self.share)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.ledger.share_book().end_growth(self.growth());
        let used = self.ledger.used.fetch_or(CLOSED, Ordering::AcqRel);
        self.ledger.share_book().release(self.amount - used);
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("share", &self.ledger.share)
            .field("bytes", &self.amount)
            .field("used", &self.used_bytes())
            .finish()
    }
}

/// Part of a reservation that a frame, or a reader of a cached frame, has taken. Given back when
/// dropped.
#[must_use = "dropping a charge gives it back"]
pub struct Charge {
    ledger: Arc<Ledger>,
    bytes: usize,
}

impl Charge {
    /// Bytes charged.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Allocates the frame that this paid for, of at least `bytes`.
    ///
    /// # Errors
    /// The charge back when no block is free in one piece, which happens only above
    /// [`limits::FRAME_BYTES_GUARANTEED`].
    ///
    /// # Panics
    /// When the charge is smaller than such a frame's.
    pub fn frame(self, bytes: usize) -> Result<Frame, Charge> {
        let frame_bytes = bytes.max(1).next_power_of_two();
        assert!(self.bytes >= charge_for(frame_bytes), "the charge covers the frame");
        match Pages::allocate(&self.ledger.arena, bytes) {
            Some(pages) => Ok(Frame::new(pages, self)),
            None => {
                self.ledger.arena.fragmented.fetch_add(1, Ordering::Relaxed);
                Err(self)
            }
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let bytes = self.bytes as u64;
        let before = self.ledger.used.fetch_sub(bytes, Ordering::AcqRel);
        if before & CLOSED != 0 {
            self.ledger.share_book().release(bytes);
        } else {
            self.ledger.returned.notify_one();
        }
    }
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Charge").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
