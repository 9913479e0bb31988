//! Owns how work is told to the device, and that it names registered memory only.

use std::mem::MaybeUninit;

use rdma_sys::{
    ibv_send_flags, ibv_send_wr, ibv_sge, ibv_wr_opcode, imm_data_invalidated_rkey_union_t, rdma_t,
    wr_t,
};

use super::fabric::Device;
use super::in_flight::WorkId;
use crate::fabric::{FabricError, Payload, RemoteWindow, Work, WorkKind};

/// A work request that can be posted: what the device is told, without the memory's owner.
pub(super) struct Request {
    kind: WorkKind,
    memory: ibv_sge,
    remote: RemoteWindow,
    immediate: Option<u32>,
}

impl Request {
    /// What the device is to be told of this work, or why it can't be.
    pub(super) fn new(device: &Device, work: &mut Work) -> Result<Request, FabricError> {
        let refused = |why: String| Err(FabricError::new("ibv_post_send", why));
        let (kind, start, bytes, remote, immediate) = match work {
            Work::Write { source, to, immediate } => {
                let start = source.as_ptr().expose_provenance();
                (WorkKind::Write, start, source.len(), *to, *immediate)
            }
            Work::Read { into, bytes, from } => {
                if *bytes > into.capacity() {
                    let capacity = into.capacity();
                    return refused(format!("{bytes} bytes into a frame of {capacity}"));
                }
                let start = into.as_mut_slice().as_mut_ptr().expose_provenance();
                (WorkKind::Read, start, *bytes, *from, None)
            }
        };
        let most = device.message_bytes_max();
        let length = u32::try_from(bytes).ok().filter(|&bytes| u64::from(bytes) <= most);
        let Some(length) = length else {
            return refused(format!("a message of {bytes} bytes; the port takes {most} at most"));
        };
        let key = match length {
            // Of a message without bytes the address is not looked at.
            0 => Some(0),
            _ => device.regions().key_of(start, bytes),
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

    /// A WRITE of nothing, for a queue pair that flushes it.
    pub(super) fn marker() -> Request {
        Request {
            kind: WorkKind::Write,
            memory: ibv_sge { addr: 0, length: 0, lkey: 0 },
            remote: RemoteWindow { address: 0, size: 0, rkey: 0 },
            immediate: None,
        }
    }

    pub(super) fn kind(&self) -> WorkKind {
        self.kind
    }

    /// Bytes that it moves.
    pub(super) fn bytes(&self) -> u32 {
        self.memory.length
    }

    /// In the device's words; refers to `self`, which must stay until it is posted.
    pub(super) fn as_work_request(&mut self, id: WorkId, signalled: bool) -> ibv_send_wr {
        // SAFETY: numbers and null pointers, for which zeros are valid.
        let mut wanted = unsafe { MaybeUninit::<ibv_send_wr>::zeroed().assume_init() };
        wanted.wr_id = id.raw();
        wanted.sg_list = &raw mut self.memory;
        wanted.num_sge = i32::from(self.memory.length > 0);
        wanted.opcode = match (self.kind, self.immediate) {
            (WorkKind::Read, _) => ibv_wr_opcode::IBV_WR_RDMA_READ,
            (_, None) => ibv_wr_opcode::IBV_WR_RDMA_WRITE,
            (_, Some(_)) => ibv_wr_opcode::IBV_WR_RDMA_WRITE_WITH_IMM,
        };
        if signalled {
            wanted.send_flags = ibv_send_flags::IBV_SEND_SIGNALED.0;
        }
        let imm_data = self.immediate.unwrap_or(0).to_be();
        wanted.imm_data_invalidated_rkey_union = imm_data_invalidated_rkey_union_t { imm_data };
        let (remote_addr, rkey) = (self.remote.address, self.remote.rkey);
        wanted.wr = wr_t { rdma: rdma_t { remote_addr, rkey } };
        wanted
    }

    /// The work that it was made of.
    pub(super) fn into_work(self, payload: Payload) -> Work {
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
