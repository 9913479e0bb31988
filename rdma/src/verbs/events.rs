//! Owns what the device tells unasked (ibv_get_async_event(3)): its own end, that of a queue, the link going and coming.
//!
//! The device has one queue of events, and any thread may take from it: whichever endpoint sleeps is woken, and asking
//! for the fabric's health takes what has come too. What was told is remembered here, and wakes those whom it ends:
//!
//! | event | means |
//! |---|---|
//! | device fatal | every endpoint fails, none can be opened |
//! | completion queue error | that endpoint fails |
//! | queue pair fatal, request or access error | counted; its work is flushed, which tells its owner |
//! | port error, port active; GID change | counted and logged |

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use rdma_sys::{
    ibv_ack_async_event, ibv_async_event, ibv_cq, ibv_event_type, ibv_get_async_event, ibv_qp,
};
use tokio::sync::watch;

use super::device::Context;
use super::sys::{failure, never_block};
use crate::fabric::{FabricError, FabricHealth};
use crate::limits::EVENTS_PER_LOOK;

/// What an event says, without what it points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    DeviceFatal,
    /// By the address of the queue.
    CompletionQueueError(usize),
    /// Which of the errors, of which queue pair.
    QueuePairError(&'static str, u32),
    PortLost(c_int),
    PortActive(c_int),
    AddressesChanged(c_int),
    /// Of no consequence here, by its number.
    Other(u32),
}

/// What has been told.
#[derive(Debug, Default)]
struct Told {
    health: FabricHealth,
    /// Completion queues that are lost and not yet destroyed.
    lost_queues: Vec<usize>,
}

/// The events of a device. Shared by all threads.
pub(super) struct Events {
    told: watch::Sender<Told>,
    port: c_int,
    context: Arc<Context>,
}

impl Events {
    /// Those of a device whose port is up.
    pub(super) fn new(context: &Arc<Context>, port: u8) -> Result<Events, FabricError> {
        never_block(context.event_descriptor())?;
        let (told, _) = watch::channel(Told::default());
        Ok(Events { told, port: port.into(), context: Arc::clone(context) })
    }

    /// A descriptor that becomes readable with an event.
    pub(super) fn descriptor(&self) -> Result<OwnedFd, FabricError> {
        // SAFETY: the context is open during the call.
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.context.event_descriptor()) };
        descriptor.try_clone_to_owned().map_err(|error| failure("dup", &error))
    }

    /// Takes what has come, without waiting. Whether that was all.
    ///
    /// # Errors
    /// When there will be no more: the device was unplugged. Every endpoint fails then.
    pub(super) fn take(&self) -> Result<bool, FabricError> {
        for _ in 0..EVENTS_PER_LOOK {
            match self.take_one() {
                Ok(true) => {}
                Ok(false) => return Ok(true),
                Err(error) => {
                    self.told.send_modify(|told| told.end(&error));
                    return Err(error);
                }
            }
        }
        Ok(false)
    }

    fn take_one(&self) -> Result<bool, FabricError> {
        let mut event = MaybeUninit::<ibv_async_event>::zeroed();
        // SAFETY: the context is open, and its descriptor doesn't block.
        let answer = unsafe { ibv_get_async_event(self.context.raw(), event.as_mut_ptr()) };
        if answer != 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock => Ok(false),
                io::ErrorKind::Interrupted => Ok(true),
                _ => Err(failure("ibv_get_async_event", &error)),
            };
        }
        // Before it is acknowledged: until then what it points to is not destroyed, and so is not remembered afterwards.
        // SAFETY: filled by the call, and not acknowledged.
        let news = unsafe { news_of(event.as_ptr()) };
        self.told.send_modify(|told| told.take(news, self.port));
        // SAFETY: taken, and acknowledged once.
        unsafe { ibv_ack_async_event(event.as_mut_ptr()) };
        Ok(true)
    }

    /// Tells when something has come after this call.
    pub(super) fn subscribe(&self) -> watch::Receiver<impl Sized> {
        self.told.subscribe()
    }

    /// Why nothing completes on this queue any more, if that is so; any queue, without one.
    pub(super) fn failure_of(&self, queue: Option<usize>) -> Option<FabricError> {
        self.told.borrow().failure_of(queue)
    }

    /// A queue is destroyed; another may get its address.
    pub(super) fn forget(&self, queue: usize) {
        self.told.send_if_modified(|told| {
            told.lost_queues.retain(|&lost| lost != queue);
            false
        });
    }

    /// What has been told up to now.
    pub(super) fn health(&self) -> FabricHealth {
        // An error is remembered, and so is a part of the answer.
        let _ = self.take();
        self.told.borrow().health.clone()
    }
}

impl Told {
    fn take(&mut self, news: News, port: c_int) {
        match news {
            News::DeviceFatal => {
                let why = "the device has failed for good; see the kernel's log, and restart when it is back";
                self.end(&FabricError::new("ibv_get_async_event", why));
            }
            News::CompletionQueueError(queue) => {
                self.health.completion_queue_errors += 1;
                self.lost_queues.push(queue);
            }
            News::QueuePairError(error, queue_pair) => {
                tracing::warn!(queue_pair, error, "an RDMA queue pair has failed");
                self.health.queue_pair_errors += 1;
            }
            News::PortLost(number) if number == port => {
                tracing::error!(port, "the RDMA port has lost its link; transfers wait, then fail");
                self.health.port_active = false;
                self.health.port_losses += 1;
            }
            News::PortActive(number) if number == port => {
                if !self.health.port_active {
                    tracing::info!(port, "the RDMA port has its link again");
                }
                self.health.port_active = true;
            }
            News::AddressesChanged(number) if number == port => {
                tracing::warn!(
                    port,
                    "the addresses of the RDMA port have changed; those found at the start stay in use until a restart"
                );
                self.health.address_changes += 1;
            }
            News::PortLost(number) | News::PortActive(number) | News::AddressesChanged(number) => {
                tracing::debug!(port = number, ?news, "news of another RDMA port");
            }
            News::Other(number) => tracing::debug!(number, "an RDMA event of no consequence"),
        }
    }

    /// Nothing works any more.
    fn end(&mut self, error: &FabricError) {
        if self.health.failed.is_none() {
            tracing::error!(%error, "the RDMA device is lost; all its transfers end");
            self.health.failed = Some(error.clone());
        }
    }

    fn failure_of(&self, queue: Option<usize>) -> Option<FabricError> {
        let lost = || {
            let is_lost = queue.is_some_and(|queue| self.lost_queues.contains(&queue));
            let why = "the device has lost the completion queue: it has overrun, or the device is failing";
            is_lost.then(|| FabricError::new("ibv_poll_cq", why))
        };
        self.health.failed.clone().or_else(lost)
    }
}

/// Reads an event. Its kind is read as a number, since a kernel newer than the bindings may tell of others.
///
/// # Safety
/// `event` was filled by ibv_get_async_event(3), and is not acknowledged.
unsafe fn news_of(event: *const ibv_async_event) -> News {
    use ibv_event_type as Kind;
    // SAFETY: within the event.
    let kind = unsafe { &raw const (*event).event_type };
    // SAFETY: an initialised number of 32 bits.
    let kind = unsafe { kind.cast::<u32>().read() };
    // SAFETY: within the event.
    let element = unsafe { &raw const (*event).element };
    // SAFETY: what it is of is a port's number or a pointer; the number is at its start, and all of it was zero before.
    let port = unsafe { element.cast::<c_int>().read() };
    const FATAL: u32 = Kind::IBV_EVENT_QP_FATAL as u32;
    const REQUEST: u32 = Kind::IBV_EVENT_QP_REQ_ERR as u32;
    const ACCESS: u32 = Kind::IBV_EVENT_QP_ACCESS_ERR as u32;
    match kind {
        FATAL | REQUEST | ACCESS => {
            // SAFETY: such an event is of a queue pair.
            let queue_pair = unsafe { element.cast::<*const ibv_qp>().read() };
            // SAFETY: ibv_destroy_qp(3) waits until the event is acknowledged, and the number is constant.
            let number = unsafe { (*queue_pair).qp_num };
            let error = match kind {
                FATAL => "fatal error",
                REQUEST => "invalid request",
                _ => "access violation",
            };
            News::QueuePairError(error, number)
        }
        _ if kind == Kind::IBV_EVENT_CQ_ERR as u32 => {
            // SAFETY: such an event is of a completion queue; only the address is taken.
            let queue = unsafe { element.cast::<*const ibv_cq>().read() };
            News::CompletionQueueError(queue.addr())
        }
        _ if kind == Kind::IBV_EVENT_DEVICE_FATAL as u32 => News::DeviceFatal,
        _ if kind == Kind::IBV_EVENT_PORT_ERR as u32 => News::PortLost(port),
        _ if kind == Kind::IBV_EVENT_PORT_ACTIVE as u32 => News::PortActive(port),
        _ if kind == Kind::IBV_EVENT_GID_CHANGE as u32 => News::AddressesChanged(port),
        other => News::Other(other),
    }
}

#[cfg(test)]
mod tests {
    use rdma_sys::ibv_async_event_element_t as Element;

    use super::*;

    /// As libibverbs fills one in.
    fn event(kind: u32, element: Element) -> MaybeUninit<ibv_async_event> {
        let mut event = MaybeUninit::<ibv_async_event>::zeroed();
        // SAFETY: within the event, which is this function's.
        let kind_at = unsafe { &raw mut (*event.as_mut_ptr()).event_type };
        // SAFETY: a number of 32 bits.
        unsafe { kind_at.cast::<u32>().write(kind) };
        // SAFETY: within the event.
        let element_at = unsafe { &raw mut (*event.as_mut_ptr()).element };
        // SAFETY: as above.
        unsafe { element_at.write(element) };
        event
    }

    fn read(kind: u32, element: Element) -> News {
        let event = event(kind, element);
        // SAFETY: filled as the library does it.
        unsafe { news_of(event.as_ptr()) }
    }

    #[test]
    fn events_are_told_apart() {
        let port = |number| Element { port_num: number };
        assert_eq!(read(8, port(0)), News::DeviceFatal);
        assert_eq!(read(9, port(2)), News::PortActive(2));
        assert_eq!(read(10, port(1)), News::PortLost(1));
        assert_eq!(read(18, port(1)), News::AddressesChanged(1));
        assert_eq!(read(77, port(1)), News::Other(77), "newer than the bindings");
        let queue = std::ptr::without_provenance_mut::<ibv_cq>(0x1000);
        assert_eq!(read(0, Element { cq: queue }), News::CompletionQueueError(0x1000));
        // SAFETY: numbers and null pointers, for which zeros are valid.
        let mut queue_pair = unsafe { MaybeUninit::<ibv_qp>::zeroed().assume_init() };
        queue_pair.qp_num = 17;
        for (kind, error) in [(1, "fatal error"), (2, "invalid request"), (3, "access violation")] {
            let element = Element { qp: &raw mut queue_pair };
            assert_eq!(read(kind, element), News::QueuePairError(error, 17));
        }
    }

    #[test]
    fn a_lost_queue_ends_its_endpoint_alone() {
        let mut told = Told::default();
        told.take(News::CompletionQueueError(0x1000), 1);
        assert_eq!(told.failure_of(None), None);
        assert_eq!(told.failure_of(Some(0x2000)), None);
        let error = told.failure_of(Some(0x1000)).expect("lost");
        assert!(error.reason.contains("overrun"), "{error}");
        assert_eq!(told.health.completion_queue_errors, 1);
        assert_eq!(told.health.failed, None);
    }

    #[test]
    fn a_failed_device_ends_everything() {
        let mut told = Told::default();
        told.take(News::DeviceFatal, 1);
        assert!(told.failure_of(None).is_some() && told.failure_of(Some(0x2000)).is_some());
        assert_eq!(told.health.failed, told.failure_of(None));
    }

    #[test]
    fn the_link_goes_and_comes() {
        let mut told = Told::default();
        assert_eq!(told.health, FabricHealth::default());
        told.take(News::PortLost(2), 1);
        assert!(told.health.port_active, "another port's");
        told.take(News::PortLost(1), 1);
        told.take(News::AddressesChanged(1), 1);
        told.take(News::QueuePairError("fatal error", 17), 1);
        told.take(News::Other(4), 1);
        let expected = FabricHealth {
            port_active: false,
            port_losses: 1,
            address_changes: 1,
            queue_pair_errors: 1,
            ..FabricHealth::default()
        };
        assert_eq!(told.health, expected);
        assert_eq!(told.failure_of(Some(1)), None, "links come back");
        told.take(News::PortActive(1), 1);
        assert!(told.health.port_active);
    }
}
