//! Owns one completion queue of the device with the channel that tells of its events.
//!
//! Each arming brings one event at most, for a completion that arrives after it. Some wake in vain: on soft-RoCE one in a
//! thousand finds the queue empty.

use std::cell::Cell;
use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use rdma_sys::{
    ibv_ack_cq_events, ibv_comp_channel, ibv_cq, ibv_create_comp_channel, ibv_create_cq,
    ibv_destroy_comp_channel, ibv_destroy_cq, ibv_get_cq_event, ibv_poll_cq, ibv_req_notify_cq,
    ibv_resize_cq, ibv_wc,
};

use super::device::Context;
use super::sys::{check, check_pointer, failure, never_block};
use crate::fabric::FabricError;
use crate::limits::{COMPLETIONS_PER_POLL, EVENTS_PER_ACKNOWLEDGEMENT};

/// A completion queue. Belongs to one thread.
pub(super) struct CompletionQueue {
    raw: NonNull<ibv_cq>,
    /// Events taken that the queue has not been told of; it can't be destroyed before.
    unacknowledged: Cell<u32>,
    // Declared after: a channel goes after its queue, the device after both.
    channel: Channel,
}

/// A completion channel, whose descriptor never blocks.
struct Channel {
    raw: NonNull<ibv_comp_channel>,
    descriptor: RawFd,
    /// Closed after it.
    _context: Arc<Context>,
}

impl Channel {
    fn new(context: &Arc<Context>) -> Result<Channel, FabricError> {
        // SAFETY: the context is open.
        let raw = unsafe { ibv_create_comp_channel(context.raw()) };
        let raw = check_pointer("ibv_create_comp_channel", raw)?;
        // SAFETY: just made.
        let descriptor = unsafe { raw.as_ref() }.fd;
        let channel = Channel { raw, descriptor, _context: Arc::clone(context) };
        never_block(descriptor)?;
        Ok(channel)
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // SAFETY: made by `new`; its queue is gone.
        let answer = unsafe { ibv_destroy_comp_channel(self.raw.as_ptr()) };
        if let Err(error) = check("ibv_destroy_comp_channel", answer) {
            tracing::error!(%error, "a completion channel is leaked");
        }
    }
}

impl CompletionQueue {
    /// One of at least so many entries, on that interrupt line.
    pub(super) fn new(
        context: &Arc<Context>,
        entries: u32,
        vector: c_int,
    ) -> Result<CompletionQueue, FabricError> {
        let channel = Channel::new(context)?;
        let (entries, within) = (whole(entries), channel.raw.as_ptr());
        // SAFETY: context and channel are alive, and stay so as long as the queue.
        let raw = unsafe { ibv_create_cq(context.raw(), entries, null_mut(), within, vector) };
        let raw = check_pointer("ibv_create_cq", raw)?;
        Ok(CompletionQueue { raw, unacknowledged: Cell::new(0), channel })
    }

    pub(super) fn raw(&self) -> *mut ibv_cq {
        self.raw.as_ptr()
    }

    /// Completions that it holds.
    pub(super) fn entries(&self) -> u32 {
        // SAFETY: the queue lives as long as `self`; only `resize`, on this thread, changes the field.
        unsafe { (*self.raw()).cqe }.max(0).cast_unsigned()
    }

    /// Makes it hold at least so many.
    pub(super) fn resize(&self, entries: u32) -> Result<(), FabricError> {
        // SAFETY: the queue is alive; completions in it are kept (ibv_resize_cq(3)).
        check("ibv_resize_cq", unsafe { ibv_resize_cq(self.raw(), whole(entries)) })
    }

    /// Takes up to [`COMPLETIONS_PER_POLL`] completions out; how many it were. Fewer than that means that it is empty.
    pub(super) fn poll(&self, mut each: impl FnMut(&ibv_wc)) -> Result<usize, FabricError> {
        let mut taken = [const { MaybeUninit::<ibv_wc>::zeroed() }; COMPLETIONS_PER_POLL];
        let first = taken.as_mut_ptr().cast::<ibv_wc>();
        // SAFETY: the queue is alive, the array has so many places.
        let count = unsafe { ibv_poll_cq(self.raw(), COMPLETIONS_PER_POLL as c_int, first) };
        let Ok(count) = usize::try_from(count) else {
            let why = format!(
                "the completion queue is broken (answer {count}): it has overrun, or the device is gone"
            );
            return Err(FabricError::new("ibv_poll_cq", why));
        };
        for completion in &taken[..count.min(COMPLETIONS_PER_POLL)] {
            // SAFETY: filled by the call; numbers only, so that zeros would be valid too.
            each(unsafe { completion.assume_init_ref() });
        }
        Ok(count)
    }

    /// Asks for an event when the next completion arrives.
    pub(super) fn arm(&self) -> Result<(), FabricError> {
        // SAFETY: the queue is alive.
        check("ibv_req_notify_cq", unsafe { ibv_req_notify_cq(self.raw(), 0) })
    }

    /// Takes the events that have come, without waiting.
    pub(super) fn take_events(&self) -> Result<(), FabricError> {
        // Each arming brings one at most, so that this ends early; the bound is for a driver that thinks otherwise.
        for _ in 0..EVENTS_PER_ACKNOWLEDGEMENT {
            let (mut queue, mut context) = (null_mut(), null_mut());
            let channel = self.channel.raw.as_ptr();
            // SAFETY: the channel is alive, and its descriptor doesn't block.
            let answer = unsafe { ibv_get_cq_event(channel, &raw mut queue, &raw mut context) };
            if answer == 0 {
                self.unacknowledged.set(self.unacknowledged.get() + 1);
                continue;
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::WouldBlock => break,
                io::ErrorKind::Interrupted => {}
                _ => return Err(failure("ibv_get_cq_event", &error)),
            }
        }
        if self.unacknowledged.get() >= EVENTS_PER_ACKNOWLEDGEMENT {
            self.acknowledge();
        }
        Ok(())
    }

    fn acknowledge(&self) {
        let events = self.unacknowledged.take();
        if events > 0 {
            // SAFETY: the queue is alive; so many of its events were taken, and none was acknowledged before.
            unsafe { ibv_ack_cq_events(self.raw(), events) };
        }
    }
}

impl AsRawFd for CompletionQueue {
    /// The descriptor that becomes readable with an event.
    fn as_raw_fd(&self) -> RawFd {
        self.channel.descriptor
    }
}

impl Drop for CompletionQueue {
    fn drop(&mut self) {
        // Else ibv_destroy_cq(3) waits for it.
        self.acknowledge();
        // SAFETY: made by `new`; queue pairs on it own their endpoint, so that none is left.
        let answer = unsafe { ibv_destroy_cq(self.raw()) };
        if let Err(error) = check("ibv_destroy_cq", answer) {
            tracing::error!(%error, "a completion queue is leaked");
        }
    }
}

fn whole(entries: u32) -> c_int {
    c_int::try_from(entries).unwrap_or(c_int::MAX)
}
