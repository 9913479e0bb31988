//! Owns one thread's completion queue and which queue pair each completion goes to, and that the queue never overruns:
//! an entry is set aside for each work request that a queue pair can have.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use rdma_sys::{ibv_wc, ibv_wc_opcode, ibv_wc_status};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::completion_queue::CompletionQueue;
use super::fabric::Device;
use super::in_flight::{Arrival, InFlight};
use super::queue_pair::VerbsQueuePair;
use super::sys::failure;
use crate::fabric::{
    Completion, EndpointDriver, FabricError, Local, Qpn, QueuePairDriver, QueuePairShape, WorkKind,
    WorkStatus,
};
use crate::limits::{COMPLETION_QUEUE_ENTRIES, COMPLETION_QUEUE_ENTRIES_MAX, COMPLETIONS_PER_POLL};

/// The endpoint of a thread.
pub(super) struct VerbsEndpoint {
    shared: Rc<EndpointShared>,
}

/// What the endpoint and its queue pairs have in common. Queue pairs own it, so that it goes after them.
pub(super) struct EndpointShared {
    /// Takes the descriptor out of the runtime before the queue inside closes it.
    queue: AsyncFd<CompletionQueue>,
    _forgotten: ForgetOnDrop,
    /// Readable when the device has news for anybody.
    events: AsyncFd<OwnedFd>,
    queue_pairs: RefCell<HashMap<u32, Rc<RefCell<InFlight>>>>,
    /// Taken from the device and not yet given upwards.
    backlog: RefCell<VecDeque<Completion>>,
    /// Entries of the completion queue set aside for queue pairs.
    promised: Cell<u32>,
    /// Entries set aside for queue pairs that are gone: their last completions may still lie in the queue.
    retired: Cell<u32>,
    sequence: Cell<u64>,
    device: Arc<Device>,
}

/// Lets the events forget a completion queue. Declared, and so dropped, after it.
struct ForgetOnDrop {
    queue: usize,
    device: Arc<Device>,
}

impl Drop for ForgetOnDrop {
    fn drop(&mut self) {
        self.device.events().forget(self.queue);
    }
}

impl VerbsEndpoint {
    /// Within the thread's runtime.
    pub(super) fn open(device: &Arc<Device>) -> Result<VerbsEndpoint, FabricError> {
        if tokio::runtime::Handle::try_current().is_err() {
            let why = "an endpoint is opened within the runtime of its thread";
            return Err(FabricError::new("ibv_create_comp_channel", why));
        }
        if let Some(error) = device.events().failure_of(None) {
            return Err(error);
        }
        let entries = COMPLETION_QUEUE_ENTRIES.min(device.completion_queue_entries_max());
        let context = device.domain().context();
        let queue = CompletionQueue::new(context, entries, device.next_vector())?;
        // SAFETY: the descriptor is the channel's, always the same one, and closed when the queue is dropped; the
        // registration owns the queue and ends before.
        let queue = unsafe { AsyncFd::register_with_interest(queue, Interest::READABLE) };
        let queue = queue.map_err(|error| failure("epoll_ctl", &error.into_parts().1))?;
        let address = queue.get_ref().raw().addr();
        let events = device.events().descriptor()?;
        // SAFETY: the descriptor is the registration's own, always the same one, and closed after it has ended.
        let events = unsafe { AsyncFd::register_with_interest(events, Interest::READABLE) };
        let events = events.map_err(|error| failure("epoll_ctl", &error.into_parts().1))?;
        let shared = EndpointShared {
            queue,
            _forgotten: ForgetOnDrop { queue: address, device: Arc::clone(device) },
            events,
            queue_pairs: RefCell::default(),
            backlog: RefCell::default(),
            promised: Cell::new(0),
            retired: Cell::new(0),
            sequence: Cell::new(0),
            device: Arc::clone(device),
        };
        Ok(VerbsEndpoint { shared: Rc::new(shared) })
    }
}

impl EndpointShared {
    pub(super) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    pub(super) fn queue(&self) -> &CompletionQueue {
        self.queue.get_ref()
    }

    /// A number for a work request that no other of this endpoint has.
    pub(super) fn next_sequence(&self) -> u64 {
        let sequence = self.sequence.get();
        self.sequence.set(sequence.wrapping_add(1));
        sequence
    }

    /// Sets entries aside for a queue pair, growing the completion queue where it must.
    pub(super) fn promise(&self, entries: u32) -> Result<(), FabricError> {
        let wanted = |held: u32| self.promised.get().saturating_add(held).saturating_add(entries);
        if wanted(self.retired.get()) > self.queue().entries() {
            self.empty_queue()?;
        }
        let wanted = wanted(self.retired.get());
        if wanted > self.queue().entries() {
            let most = COMPLETION_QUEUE_ENTRIES_MAX.min(self.device.completion_queue_entries_max());
            if wanted > most {
                let why = format!(
                    "the completion queue of this thread would need {wanted} entries and can have {most}; use fewer \
                     connections, or more lanes"
                );
                return Err(FabricError::new("ibv_resize_cq", why));
            }
            self.queue().resize(wanted.next_power_of_two().min(most))?;
        }
        self.promised.set(self.promised.get() + entries);
        Ok(())
    }

    /// Ends a promise. `drained` says that no completion of that queue pair can be in the queue.
    pub(super) fn give_back(&self, entries: u32, drained: bool) {
        self.promised.set(self.promised.get().saturating_sub(entries));
        if !drained {
            self.retired.set(self.retired.get().saturating_add(entries));
        }
    }

    pub(super) fn insert(&self, number: Qpn, in_flight: &Rc<RefCell<InFlight>>) {
        self.queue_pairs.borrow_mut().insert(number.number(), Rc::clone(in_flight));
    }

    /// Forgets a queue pair, and the completions of it that nobody has seen: its number may be given again.
    pub(super) fn remove(&self, number: Qpn) {
        self.queue_pairs.borrow_mut().remove(&number.number());
        self.backlog.borrow_mut().retain(|completion| completion.queue_pair != number);
    }

    /// Takes completions from the device to the backlog; whether the queue is empty now.
    fn fill(&self) -> Result<bool, FabricError> {
        let mut backlog = self.backlog.borrow_mut();
        let queue_pairs = self.queue_pairs.borrow();
        let taken = self.queue().poll(|completion| {
            let found = queue_pairs.get(&completion.qp_num).zip(Qpn::new(completion.qp_num));
            // Without one, it is of a queue pair that was destroyed meanwhile.
            if let Some((in_flight, number)) = found {
                in_flight.borrow_mut().arrive(number, arrival_of(completion), &mut backlog);
            }
        })?;
        let is_empty = taken < COMPLETIONS_PER_POLL;
        if is_empty {
            self.retired.set(0);
        }
        Ok(is_empty)
    }

    /// Takes all that there is, so that entries of queue pairs that are gone are free again.
    fn empty_queue(&self) -> Result<(), FabricError> {
        // No more can come than there were entries, but for what the device adds meanwhile.
        for _ in 0..=self.queue().entries() as usize / COMPLETIONS_PER_POLL {
            if self.fill()? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn has_backlog(&self) -> bool {
        !self.backlog.borrow().is_empty()
    }

    /// Arms, looks again, and only then sleeps: what arrived before the arming is seen by the look, what arrives after it
    /// brings an event. An event without a completion leads to another round.
    async fn wait(&self) -> Result<(), FabricError> {
        loop {
            if self.has_backlog() {
                return Ok(());
            }
            self.queue().arm()?;
            let is_empty = self.fill()?;
            if self.has_backlog() {
                return Ok(());
            }
            if !is_empty {
                tokio::task::yield_now().await;
                continue;
            }
            self.sleep().await?;
        }
    }

    /// Until there is an event of the queue, or news of the device.
    async fn sleep(&self) -> Result<(), FabricError> {
        let events = self.device.events();
        let mut news = events.subscribe();
        if let Some(error) = events.failure_of(Some(self.queue().raw().addr())) {
            return Err(error);
        }
        let unheard = |error: std::io::Error| failure("epoll_wait", &error);
        tokio::select! {
            ready = self.queue.readable() => {
                let mut ready = ready.map_err(unheard)?;
                self.queue().take_events()?;
                ready.clear_ready();
            }
            ready = self.events.readable() => {
                let mut ready = ready.map_err(unheard)?;
                if events.take()? {
                    ready.clear_ready();
                }
            }
            // Somebody else has taken it. The sender is the device's, which is here.
            _ = news.changed() => {}
        }
        Ok(())
    }
}

impl EndpointDriver for VerbsEndpoint {
    fn queue_pair(&self, shape: &QueuePairShape) -> Result<Box<dyn QueuePairDriver>, FabricError> {
        Ok(Box::new(VerbsQueuePair::new(&self.shared, shape)?))
    }

    fn poll(&self, limit: usize, completions: &mut Vec<Completion>) -> Result<(), FabricError> {
        while self.shared.backlog.borrow().len() < limit {
            if self.shared.fill()? {
                break;
            }
        }
        let mut backlog = self.shared.backlog.borrow_mut();
        let count = limit.min(backlog.len());
        completions.extend(backlog.drain(..count));
        Ok(())
    }

    fn ready(&self) -> Local<'_, Result<(), FabricError>> {
        Box::pin(self.shared.wait())
    }
}

/// What a completion of the device says. Of failed work only its identifier, status and queue pair count
/// (ibv_poll_cq(3)).
fn arrival_of(completion: &ibv_wc) -> Arrival {
    let status = status_of(completion.status);
    let succeeded = status == WorkStatus::Success;
    let kind = match completion.opcode {
        _ if !succeeded => None,
        ibv_wc_opcode::IBV_WC_RDMA_READ => Some(WorkKind::Read),
        ibv_wc_opcode::IBV_WC_RECV | ibv_wc_opcode::IBV_WC_RECV_RDMA_WITH_IMM => {
            Some(WorkKind::Receive)
        }
        _ => Some(WorkKind::Write),
    };
    let has_immediate = succeeded && completion.opcode == ibv_wc_opcode::IBV_WC_RECV_RDMA_WITH_IMM;
    let immediate = has_immediate.then(|| {
        // SAFETY: both sides of the union are a plain number; it was sent in network byte order.
        u32::from_be(unsafe { completion.imm_data_invalidated_rkey_union.imm_data })
    });
    let bytes = if succeeded { completion.byte_len } else { 0 };
    Arrival { wr_id: completion.wr_id, status, kind, bytes, immediate }
}

fn status_of(status: ibv_wc_status::Type) -> WorkStatus {
    match status {
        ibv_wc_status::IBV_WC_SUCCESS => WorkStatus::Success,
        ibv_wc_status::IBV_WC_LOC_LEN_ERR => WorkStatus::LocalLength,
        ibv_wc_status::IBV_WC_LOC_QP_OP_ERR => WorkStatus::LocalOperation,
        ibv_wc_status::IBV_WC_LOC_PROT_ERR => WorkStatus::LocalProtection,
        ibv_wc_status::IBV_WC_WR_FLUSH_ERR => WorkStatus::Flushed,
        ibv_wc_status::IBV_WC_BAD_RESP_ERR => WorkStatus::BadResponse,
        ibv_wc_status::IBV_WC_REM_INV_REQ_ERR => WorkStatus::RemoteInvalidRequest,
        ibv_wc_status::IBV_WC_REM_ACCESS_ERR => WorkStatus::RemoteAccess,
        ibv_wc_status::IBV_WC_REM_OP_ERR => WorkStatus::RemoteOperation,
        ibv_wc_status::IBV_WC_RETRY_EXC_ERR => WorkStatus::RetryExceeded,
        ibv_wc_status::IBV_WC_RNR_RETRY_EXC_ERR => WorkStatus::ReceiverNotReady,
        other => WorkStatus::Other(other),
    }
}
