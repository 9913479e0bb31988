//! Owns one queue pair of the device: its steps, and how work becomes work requests.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ptr::{NonNull, null_mut};
use std::rc::Rc;

use rdma_sys::{
    ibv_create_qp, ibv_destroy_qp, ibv_modify_qp, ibv_post_recv, ibv_post_send, ibv_qp, ibv_qp_cap,
    ibv_qp_init_attr, ibv_qp_type, ibv_recv_wr, ibv_send_flags, ibv_send_wr, ibv_sge,
    ibv_wr_opcode, imm_data_invalidated_rkey_union_t, rdma_t, wr_t,
};

use super::attributes::attributes_of;
use super::endpoint::EndpointShared;
use super::in_flight::{InFlight, WorkId};
use super::sys::{check, check_pointer};
use crate::fabric::{
    FabricError, Payload, Qpn, QueuePairDriver, QueuePairShape, QueuePairState, RemoteWindow,
    Transition, Work, WorkKind,
};

/// A reliable-connected queue pair.
pub(super) struct VerbsQueuePair {
    /// None once it is destroyed.
    raw: Option<NonNull<ibv_qp>>,
    number: Qpn,
    /// As far as this side has taken it; the device may have gone to ERR by itself.
    state: QueuePairState,
    in_flight: Rc<RefCell<InFlight>>,
    /// Entries of the completion queue that are set aside for it.
    entries: u32,
    endpoint: Rc<EndpointShared>,
}

/// A work request that can be posted: what the device is told, without the memory's owner.
struct Request {
    kind: WorkKind,
    memory: ibv_sge,
    remote: RemoteWindow,
    immediate: Option<u32>,
}

impl VerbsQueuePair {
    /// In state RESET.
    pub(super) fn new(
        endpoint: &Rc<EndpointShared>,
        shape: &QueuePairShape,
    ) -> Result<VerbsQueuePair, FabricError> {
        // One more for the marker that a fence needs; a queue of none is made as one of one.
        let sends = shape.send_depth.max(1).saturating_add(1);
        let receives = shape.receive_depth.max(1);
        let entries = sends.saturating_add(receives);
        endpoint.promise(entries)?;
        let made = create(endpoint, sends, receives);
        let (raw, number) = made.inspect_err(|_| endpoint.give_back(entries, true))?;
        let in_flight = InFlight::new(shape.send_depth, shape.receive_depth);
        let in_flight = Rc::new(RefCell::new(in_flight));
        endpoint.insert(number, &in_flight);
        let state = QueuePairState::Reset;
        let endpoint = Rc::clone(endpoint);
        Ok(VerbsQueuePair { raw: Some(raw), number, state, in_flight, entries, endpoint })
    }

    fn raw(&self) -> Result<*mut ibv_qp, FabricError> {
        let gone = || FabricError::new("ibv_post_send", "the queue pair is destroyed");
        self.raw.map(NonNull::as_ptr).ok_or_else(gone)
    }

    fn step(&mut self, step: &Transition) -> Result<(), FabricError> {
        let device = self.endpoint.device();
        let gid_index = match step {
            Transition::ReadyToReceive { local, .. } => Some(device.gid_index(*local)?),
            _ => None,
        };
        let (mut attributes, mask) = attributes_of(step, device.port(), gid_index);
        // SAFETY: the queue pair is alive; the mask names the attributes that were set.
        let answer = unsafe { ibv_modify_qp(self.raw()?, &raw mut attributes, mask) };
        check("ibv_modify_qp", answer).map_err(|error| explain(error, step, self.state))?;
        self.state = step.target();
        Ok(())
    }

    /// What the device is to be told, or why it can't be.
    fn request(&self, work: &mut Work) -> Result<Request, FabricError> {
        let refused = |why: String| Err(FabricError::new("ibv_post_send", why));
        if self.state != QueuePairState::ReadyToSend {
            return refused("the queue pair is not connected".to_owned());
        }
        if !self.in_flight.borrow().has_room() {
            return refused("the send queue is full; take completions first".to_owned());
        }
        let (kind, start, bytes, remote, immediate) = match work {
            Work::Write { source, to, immediate } => (
                WorkKind::Write,
                source.as_ptr().expose_provenance(),
                source.len(),
                *to,
                *immediate,
            ),
            Work::Read { into, bytes, from } => {
                if *bytes > into.capacity() {
                    let capacity = into.capacity();
                    return refused(format!("{bytes} bytes into a frame of {capacity}"));
                }
                let start = into.as_mut_slice().as_mut_ptr().expose_provenance();
                (WorkKind::Read, start, *bytes, *from, None)
            }
        };
        let most = self.endpoint.device().message_bytes_max();
        let length = u32::try_from(bytes).ok().filter(|&bytes| u64::from(bytes) <= most);
        let Some(length) = length else {
            return refused(format!("a message of {bytes} bytes; the port takes {most} at most"));
        };
        let key = match length {
            // Of a message without bytes the address is not looked at.
            0 => Some(0),
            _ => self.endpoint.device().regions().key_of(start, bytes),
        };
        let Some(lkey) = key else {
            return refused(format!(
                "the {bytes} bytes do not lie in registered memory: frames of the arena that the fabric was opened \
                 with, or a buffer of this fabric that was lent"
            ));
        };
        let memory = ibv_sge { addr: start as u64, length, lkey };
        Ok(Request { kind, memory, remote, immediate })
    }

    /// Posts one work request, whose memory is in flight already.
    fn post_request(
        &self,
        id: WorkId,
        request: &mut Request,
        signalled: bool,
    ) -> Result<(), FabricError> {
        let raw = self.raw()?;
        // SAFETY: numbers and null pointers, for which zeros are valid.
        let mut wanted = unsafe { MaybeUninit::<ibv_send_wr>::zeroed().assume_init() };
        wanted.wr_id = id.raw();
        wanted.sg_list = &raw mut request.memory;
        wanted.num_sge = i32::from(request.memory.length > 0);
        wanted.opcode = match (request.kind, request.immediate) {
            (WorkKind::Read, _) => ibv_wr_opcode::IBV_WR_RDMA_READ,
            (_, None) => ibv_wr_opcode::IBV_WR_RDMA_WRITE,
            (_, Some(_)) => ibv_wr_opcode::IBV_WR_RDMA_WRITE_WITH_IMM,
        };
        if signalled {
            wanted.send_flags = ibv_send_flags::IBV_SEND_SIGNALED.0;
        }
        let imm_data = request.immediate.unwrap_or(0).to_be();
        wanted.imm_data_invalidated_rkey_union = imm_data_invalidated_rkey_union_t { imm_data };
        let (remote_addr, rkey) = (request.remote.address, request.remote.rkey);
        wanted.wr = wr_t { rdma: rdma_t { remote_addr, rkey } };
        let mut refused = null_mut();
        // SAFETY: the queue pair is alive; the request and its list are read during the call only. The memory behind it is
        // registered, and owned by `in_flight` until the device has completed the request or the queue pair is gone.
        check("ibv_post_send", unsafe { ibv_post_send(raw, &raw mut wanted, &raw mut refused) })
    }

    /// Makes the device report what succeeded unsignalled before the queue pair failed: of that it says nothing by itself,
    /// and a fence would wait for it in vain.
    fn post_marker(&self) {
        if !self.in_flight.borrow().needs_marker() {
            return;
        }
        let id = WorkId::send(self.endpoint.next_sequence());
        let mut request = Request {
            kind: WorkKind::Write,
            memory: ibv_sge { addr: 0, length: 0, lkey: 0 },
            remote: RemoteWindow { address: 0, size: 0, rkey: 0 },
            immediate: None,
        };
        self.in_flight.borrow_mut().push_marker(id);
        if let Err(error) = self.post_request(id, &mut request, true) {
            self.in_flight.borrow_mut().pop();
            tracing::warn!(%error, queue_pair = self.number.number(), "a fence will take its full time");
        }
    }

    /// Ends the queue pair and frees the memory of its work.
    fn end(&mut self) -> Result<(), FabricError> {
        let Some(raw) = self.raw.take() else { return Ok(()) };
        self.endpoint.remove(self.number);
        // SAFETY: made by `create`, alive until here.
        let answer = unsafe { ibv_destroy_qp(raw.as_ptr()) };
        if let Err(error) = check("ibv_destroy_qp", answer) {
            // The device may go on with it: what it may touch stays where it is, for good.
            self.in_flight.borrow_mut().leak();
            std::mem::forget(Rc::clone(&self.endpoint));
            return Err(error);
        }
        let mut in_flight = self.in_flight.borrow_mut();
        self.endpoint.give_back(self.entries, in_flight.is_empty());
        in_flight.clear();
        Ok(())
    }
}

impl QueuePairDriver for VerbsQueuePair {
    fn number(&self) -> Qpn {
        self.number
    }

    fn modify(&mut self, step: &Transition) -> Result<(), FabricError> {
        self.step(step)?;
        match step {
            Transition::Error => self.post_marker(),
            // The device has dropped whatever was posted.
            Transition::Reset => self.in_flight.borrow_mut().clear(),
            _ => {}
        }
        Ok(())
    }

    fn post(&mut self, mut work: Work, signalled: bool) -> Result<(), (FabricError, Work)> {
        let mut request = match self.request(&mut work) {
            Ok(request) => request,
            Err(error) => return Err((error, work)),
        };
        let id = WorkId::send(self.endpoint.next_sequence());
        let payload = match work {
            Work::Write { source, .. } => Payload::Source(source),
            Work::Read { into, .. } => Payload::Frame(into),
        };
        let signalled = {
            let mut in_flight = self.in_flight.borrow_mut();
            let signalled = signalled || in_flight.must_signal();
            in_flight.push(id, request.kind, payload, request.memory.length, signalled);
            signalled
        };
        let Err(error) = self.post_request(id, &mut request, signalled) else { return Ok(()) };
        // Providers that post by a system call (soft-RoCE) have the request in their queue although the call failed, and
        // the next one would send it: the queue pair must not have a next one. A device that refuses even that is gone.
        if let Err(error) = self.step(&Transition::Error) {
            tracing::error!(%error, queue_pair = self.number.number(), "after work was refused");
            self.state = QueuePairState::Error;
        }
        let payload = self.in_flight.borrow_mut().pop();
        self.post_marker();
        Err((error, request.into_work(payload.unwrap_or(Payload::None))))
    }

    fn post_receive(&mut self) -> Result<(), FabricError> {
        if !self.in_flight.borrow().has_room_to_receive() {
            let why = "the receive queue is full; take completions first";
            return Err(FabricError::new("ibv_post_recv", why));
        }
        let id = WorkId::receive(self.endpoint.next_sequence());
        let mut wanted =
            ibv_recv_wr { wr_id: id.raw(), next: null_mut(), sg_list: null_mut(), num_sge: 0 };
        let mut refused = null_mut();
        let raw = self.raw()?;
        self.in_flight.borrow_mut().push_receive(id);
        // SAFETY: the queue pair is alive; the request is read during the call only and names no memory.
        let answer = unsafe { ibv_post_recv(raw, &raw mut wanted, &raw mut refused) };
        check("ibv_post_recv", answer).inspect_err(|_| self.in_flight.borrow_mut().pop_receive())
    }

    fn destroy(mut self: Box<Self>) -> Result<(), FabricError> {
        self.end()
    }
}

impl Drop for VerbsQueuePair {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!(%error, "a queue pair is leaked with the memory of its work");
        }
    }
}

impl Request {
    /// The work that it was made of.
    fn into_work(self, payload: Payload) -> Work {
        let Request { memory, remote, immediate, .. } = self;
        match payload {
            Payload::Frame(into) => {
                Work::Read { into, bytes: memory.length as usize, from: remote }
            }
            Payload::Source(source) => Work::Write { source, to: remote, immediate },
            Payload::None => Work::Write { source: bytes::Bytes::new(), to: remote, immediate },
        }
    }
}

/// A queue pair in state RESET, and its number.
fn create(
    endpoint: &EndpointShared,
    sends: u32,
    receives: u32,
) -> Result<(NonNull<ibv_qp>, Qpn), FabricError> {
    let queue = endpoint.queue().raw();
    let mut wanted = ibv_qp_init_attr {
        qp_context: null_mut(),
        send_cq: queue,
        recv_cq: queue,
        srq: null_mut(),
        cap: ibv_qp_cap {
            max_send_wr: sends,
            max_recv_wr: receives,
            max_send_sge: 1,
            max_recv_sge: 1,
            max_inline_data: 0,
        },
        qp_type: ibv_qp_type::IBV_QPT_RC,
        sq_sig_all: 0,
    };
    let domain = endpoint.device().domain();
    // SAFETY: domain and completion queue are alive, and owned by the endpoint, which the queue pair owns.
    let raw = unsafe { ibv_create_qp(domain.raw(), &raw mut wanted) };
    let raw = check_pointer("ibv_create_qp", raw).map_err(|error| {
        let FabricError { verb, reason, .. } = error;
        let with = format!("{reason} (send queue of {sends}, receive queue of {receives})");
        FabricError::new(verb, with)
    })?;
    // SAFETY: just made.
    let number = unsafe { raw.as_ref() }.qp_num;
    if let Some(number) = Qpn::new(number) {
        return Ok((raw, number));
    }
    // SAFETY: just made, and given to nobody.
    let answer = unsafe { ibv_destroy_qp(raw.as_ptr()) };
    check("ibv_destroy_qp", answer)?;
    Err(FabricError::new(
        "ibv_create_qp",
        format!("the number {number} is not one of a queue pair"),
    ))
}

/// Says more of a step that was refused, where the usual reason is known.
fn explain(error: FabricError, step: &Transition, from: QueuePairState) -> FabricError {
    let FabricError { verb, reason, .. } = error;
    let reason = match step {
        Transition::ReadyToReceive { peer, local, path_mtu } => format!(
            "to {}: {reason}; the peer is {} ({}), we are {local}, path MTU {}: is there a route, does a neighbour answer, \
             and does the link take such packets?",
            step.target(),
            peer.gid,
            peer.qpn.number(),
            path_mtu.bytes()
        ),
        _ => format!("to {}: {reason}", step.target()),
    };
    FabricError { verb, state: Some(from), reason }
}
