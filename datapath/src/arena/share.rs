//! *Owns:* the book of one share of the arena: what is reserved of it, and who waits, in order of
//! arrival.
//!
//! *Limits:* [`limits::RESERVATION_WAITERS_MAX`]. *Not here:* what a reservation entitles to
//! (`budget.rs`).

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::oneshot;

use super::{Size, lock};
use crate::limits;

/// A part of the arena with an owner in name. What neither may reserve is the cache's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Share {
    /// Streams being read.
    Reads,
    /// Uploads.
    Writes,
}

impl Share {
    /// Its name in errors and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Share::Reads => "arena reads",
            Share::Writes => "arena writes",
        }
    }
}

/// Why nothing was reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverloadReason {
    /// The share has not that much left, or others wait before.
    NoRoom,
    /// More than the whole share.
    LargerThanShare,
    /// [`limits::RESERVATION_WAITERS_MAX`] wait already.
    TooManyWaiting,
    /// Waited as long as was allowed.
    TimedOut,
}

/// A reservation that was not possible. The remedy is to ask again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}: cannot reserve {}: {}", .share.name(), Size(*.asked_bytes), .reason.text())]
pub struct Overload {
    /// Which share.
    pub share: Share,
    /// What was asked, rounded up to whole charges.
    pub asked_bytes: u64,
    /// Why not.
    pub reason: OverloadReason,
}

impl OverloadReason {
    fn text(self) -> &'static str {
        match self {
            OverloadReason::NoRoom => "all of it is reserved",
            OverloadReason::LargerThanShare => "that is more than the whole share",
            OverloadReason::TooManyWaiting => "too many requests wait for it already",
            OverloadReason::TimedOut => "nothing was given back in time",
        }
    }
}

/// One share's book.
pub(super) struct ShareBook {
    capacity: u64,
    growth_max: u64,
    book: Mutex<Book>,
}

struct Book {
    reserved: u64,
    /// Of it, what reservations have grown by.
    grown: u64,
    reserved_max: u64,
    waits: u64,
    refused: u64,
    waiters: VecDeque<Waiter>,
    next_ticket: u64,
}

struct Waiter {
    ticket: u64,
    bytes: u64,
    granted: oneshot::Sender<()>,
}

/// Figures of one share, by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareStats {
    /// Size of the share in bytes.
    pub capacity_bytes: u64,
    /// Bytes reserved now.
    pub reserved_bytes: u64,
    /// Most bytes ever reserved at once.
    pub reserved_bytes_max: u64,
    /// Requests waiting now.
    pub waiting: u64,
    /// Requests that had to wait, since the start.
    pub waits: u64,
    /// Requests refused since the start, those that waited in vain included.
    pub refused: u64,
}

impl ShareBook {
    /// `growth_max` is what all reservations together may grow by; the rest of the share is for
    /// those that begin.
    pub(super) fn new(capacity: u64, growth_max: u64) -> ShareBook {
        let book = Book {
            reserved: 0,
            grown: 0,
            reserved_max: 0,
            waits: 0,
            refused: 0,
            waiters: VecDeque::new(),
            next_ticket: 0,
        };
        ShareBook { capacity, growth_max, book: Mutex::new(book) }
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(super) fn stats(&self) -> ShareStats {
        let book = lock(&self.book);
        ShareStats {
            capacity_bytes: self.capacity,
            reserved_bytes: book.reserved,
            reserved_bytes_max: book.reserved_max,
            waiting: book.waiters.len() as u64,
            waits: book.waits,
            refused: book.refused,
        }
    }

    /// Books at once, but never before those that wait.
    pub(super) fn book_now(&self, bytes: u64) -> Result<(), OverloadReason> {
        let mut book = lock(&self.book);
        let result = if bytes > self.capacity {
            Err(OverloadReason::LargerThanShare)
        } else if book.waiters.is_empty() && book.fits(bytes, self.capacity) {
            book.take(bytes);
            Ok(())
        } else {
            Err(OverloadReason::NoRoom)
        };
        book.refused += u64::from(result.is_err());
        result
    }

    /// Books at once (None), or gives a place in the queue.
    pub(super) fn book_or_queue(&self, bytes: u64) -> Result<Option<Place<'_>>, OverloadReason> {
        let mut book = lock(&self.book);
        if bytes > self.capacity {
            book.refused += 1;
            return Err(OverloadReason::LargerThanShare);
        }
        if book.waiters.is_empty() && book.fits(bytes, self.capacity) {
            book.take(bytes);
            return Ok(None);
        }
        if book.waiters.len() >= limits::RESERVATION_WAITERS_MAX {
            book.refused += 1;
            return Err(OverloadReason::TooManyWaiting);
        }
        let ticket = book.next_ticket;
        book.next_ticket += 1;
        book.waits += 1;
        let (granted, grant) = oneshot::channel();
        book.waiters.push_back(Waiter { ticket, bytes, granted });
        Ok(Some(Place { share: self, ticket, bytes, grant, claimed: false }))
    }

    /// Books for a reservation to grow by, at once; whether there was room.
    pub(super) fn grow(&self, bytes: u64) -> bool {
        let mut book = lock(&self.book);
        let room = book.waiters.is_empty()
            && book.fits(bytes, self.capacity)
            && bytes <= self.growth_max - book.grown;
        if room {
            book.take(bytes);
            book.grown += bytes;
        }
        room
    }

    /// Notes that a reservation gives back what it had grown by; its bytes are released apart.
    pub(super) fn end_growth(&self, bytes: u64) {
        if bytes > 0 {
            lock(&self.book).grown -= bytes;
        }
    }

    pub(super) fn release(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let mut book = lock(&self.book);
        assert!(bytes <= book.reserved, "more was given back than reserved");
        book.reserved -= bytes;
        let granted = book.serve(self.capacity);
        drop(book);
        notify(granted);
    }
}

impl Book {
    fn fits(&self, bytes: u64, capacity: u64) -> bool {
        // `reserved` never exceeds `capacity`.
        bytes <= capacity - self.reserved
    }

    fn take(&mut self, bytes: u64) {
        self.reserved += bytes;
        self.reserved_max = self.reserved_max.max(self.reserved);
    }

    /// Books for the waiters in front for as long as they fit. A large one is not overtaken by
    /// smaller ones behind it, so it is served in the end.
    fn serve(&mut self, capacity: u64) -> Vec<oneshot::Sender<()>> {
        let mut granted = Vec::new();
        while let Some(front) = self.waiters.front() {
            if !self.fits(front.bytes, capacity) {
                break;
            }
            let waiter = self.waiters.pop_front().expect("just seen");
            self.take(waiter.bytes);
            granted.push(waiter.granted);
        }
        granted
    }
}

/// Wakes outside the lock. One who has gone away meanwhile gives the booking back when its
/// [`Place`] is dropped.
fn notify(granted: Vec<oneshot::Sender<()>>) {
    for sender in granted {
        let _ = sender.send(());
    }
}

/// A place in the queue of a share. Dropped unclaimed, it leaves the queue or gives back what was
/// booked for it.
pub(super) struct Place<'share> {
    share: &'share ShareBook,
    ticket: u64,
    bytes: u64,
    grant: oneshot::Receiver<()>,
    claimed: bool,
}

impl Place<'_> {
    /// Waits until the share is booked for this place; it is the caller's then.
    pub(super) async fn granted(mut self) {
        // The sender is dropped unsent only with the share, which outlives the place.
        (&mut self.grant).await.expect("a waiter is granted or removed by its own place");
        self.claimed = true;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.claimed {
            return;
        }
        let mut book = lock(&self.share.book);
        book.refused += 1;
        match book.waiters.iter().position(|waiter| waiter.ticket == self.ticket) {
            Some(position) => drop(book.waiters.remove(position)),
            None => book.reserved -= self.bytes,
        }
        let granted = book.serve(self.share.capacity);
        drop(book);
        notify(granted);
    }
}
