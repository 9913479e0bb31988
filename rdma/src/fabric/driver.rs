//! Owns the interface between what is the same on every fabric ([`super::Endpoint`], [`super::QueuePair`],
//! [`super::Buffer`]) and what is not: the three implementations provide these.
//!
//! A driver owns the memory of posted work until its completion is taken: nothing above it can make the device write
//! into freed memory, whatever it forgets.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use super::address::{Gid, Mtu, Peer, Psn, Qpn, RemoteWindow};
use super::error::{FabricError, QueuePairState};
use super::health::FabricHealth;
use super::work::{Completion, Work};

/// What a peer may do with a queue pair, or with a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteAccess {
    /// Nothing.
    None,
    /// RDMA READ.
    Read,
    /// RDMA WRITE.
    Write,
    /// Both: clients of pooled connections.
    ReadWrite,
}

impl RemoteAccess {
    /// Whether a peer may read.
    #[must_use]
    pub fn reads(self) -> bool {
        matches!(self, RemoteAccess::Read | RemoteAccess::ReadWrite)
    }

    /// Whether a peer may write.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(self, RemoteAccess::Write | RemoteAccess::ReadWrite)
    }
}

/// How large a queue pair is made.
#[derive(Clone, Copy, Debug)]
pub struct QueuePairShape {
    /// Work requests that the send queue holds.
    pub send_depth: u32,
    /// Receives that can be posted.
    pub receive_depth: u32,
}

/// A step in a queue pair's life: the attributes of ibv_modify_qp(3) that are not the same for all of ours.
#[derive(Clone, Copy, Debug)]
pub enum Transition {
    /// RESET → INIT.
    Init {
        /// What the peer may do.
        access: RemoteAccess,
    },
    /// INIT → RTR.
    ReadyToReceive {
        /// The far end; its PSN is what is expected first.
        peer: Peer,
        /// Our port's address, one of the fabric's.
        local: Gid,
        /// Bytes per packet; the same at the far end.
        path_mtu: Mtu,
    },
    /// RTR → RTS.
    ReadyToSend {
        /// What is sent first.
        psn: Psn,
    },
    /// Any → ERR.
    Error,
    /// Any → RESET. Nothing may be posted then: drain first.
    Reset,
}

/// One queue pair. Dropping it is [`Self::destroy`] with nobody to tell.
pub trait QueuePairDriver {
    /// Its number.
    fn number(&self) -> Qpn;

    /// Takes a step.
    ///
    /// # Errors
    /// When the device refuses it.
    fn modify(&mut self, step: &Transition) -> Result<(), FabricError>;

    /// Posts work. Unless it is `signalled`, its completion comes only when that of a later, signalled one does, or an
    /// error.
    ///
    /// # Errors
    /// The work back when it can't be posted: not registered, queue full, wrong state.
    fn post(&mut self, work: Work, signalled: bool) -> Result<(), (FabricError, Work)>;

    /// Posts a receive without memory, for a WRITE WITH IMMEDIATE.
    ///
    /// # Errors
    /// When the queue is full or the state wrong.
    fn post_receive(&mut self) -> Result<(), FabricError>;

    /// Destroys it. The device touches no memory of its work after that; completions that were not taken are lost,
    /// and their memory is freed here.
    ///
    /// # Errors
    /// When the device refuses: then the memory of its work is leaked, since nobody knows who will write to it.
    fn destroy(self: Box<Self>) -> Result<(), FabricError>;
}

/// A future that stays on its thread.
pub type Local<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// One completion queue with the queue pairs that report to it.
pub trait EndpointDriver {
    /// A queue pair in state RESET.
    ///
    /// # Errors
    /// When the device has no more.
    fn queue_pair(&self, shape: &QueuePairShape) -> Result<Box<dyn QueuePairDriver>, FabricError>;

    /// Appends at most `limit` completions that have arrived. Never waits.
    ///
    /// # Errors
    /// When the completion queue is broken: it has overrun, or the device is gone.
    fn poll(&self, limit: usize, completions: &mut Vec<Completion>) -> Result<(), FabricError>;

    /// Ready when [`Self::poll`] may find something; may be so in vain, never misses one.
    fn ready(&self) -> Local<'_, Result<(), FabricError>>;
}

/// Memory of [`super::Buffer`]. Dropping it makes its key void first and frees the memory then, or leaks it where the
/// device refuses the first.
pub trait BufferDriver: Send {
    /// Bytes.
    fn size(&self) -> usize;

    /// The contents. Not called while they are a peer's.
    fn as_slice(&self) -> &[u8];

    /// The contents to write. None while some were lent. Not called while they are a peer's.
    fn as_mut_slice(&mut self) -> Option<&mut [u8]>;

    /// The contents as a source of WRITEs of our own.
    fn lend(&self) -> Bytes;

    /// Opens all of it to peers: a region of its own with just this right. Registered already with the same right, it
    /// keeps its key; with another, the old key is void.
    ///
    /// # Errors
    /// When it can't be registered. For a right to write, also while some were lent: nobody may write to what others
    /// read.
    fn expose(&mut self, access: RemoteAccess) -> Result<RemoteWindow, FabricError>;

    /// The contents are the CPU's again; the key stays valid for the next [`Self::expose`]. Peers that use it meanwhile
    /// break their word. Devices need not be told, fabrics in memory are.
    fn reclaim(&mut self) {}

    /// Makes the key void: no peer can use it after this returns.
    ///
    /// # Errors
    /// When the device refuses; the memory must then never be used again.
    fn revoke(&mut self) -> Result<(), FabricError>;
}

/// What is constant about a fabric.
#[derive(Clone, Debug)]
pub struct FabricFacts {
    /// `verbs`, `loopback` or `simulated`.
    pub kind: &'static str,
    /// The device: `mlx5_0`, `rxe0`.
    pub device: String,
    /// Its port, from 1.
    pub port: u8,
    /// `Ethernet` or `InfiniBand`.
    pub link_layer: &'static str,
    /// The port's local identifier; 0 on RoCE.
    pub lid: u16,
    /// The address given to peers that don't ask for another family.
    pub gid: Gid,
    /// The MTU that connections get.
    pub path_mtu: Mtu,
    /// Bytes of one message at most.
    pub message_bytes_max: u64,
    /// Whether WRITE WITH IMMEDIATE works: not on iWARP.
    pub immediate: bool,
    /// Bytes registered at the start, and in how many regions.
    pub registered_bytes: u64,
    /// See above.
    pub regions: usize,
}

/// A device with a protection domain of ours, and the memory registered in it. Shared by all threads.
pub trait Fabric: Send + Sync {
    /// What is constant about it.
    fn facts(&self) -> &FabricFacts;

    /// How it is doing. Never waits.
    fn health(&self) -> FabricHealth {
        FabricHealth::default()
    }

    /// The address of ours that a peer with this one is to be given: of the same family (IPv4 or link-local).
    ///
    /// # Errors
    /// When the port has none.
    fn local_gid(&self, peer: Gid) -> Result<Gid, FabricError>;

    /// A completion queue for this thread. Within the thread's runtime, which must be able to `spawn_local`.
    ///
    /// # Errors
    /// When the device has no more.
    fn endpoint(&self) -> Result<Box<dyn EndpointDriver>, FabricError>;

    /// Memory of `bytes`, zeroed, not yet open to anybody.
    ///
    /// # Errors
    /// When the memory or its registration is refused.
    fn allocate(&self, bytes: usize) -> Result<Box<dyn BufferDriver>, FabricError>;

    /// The caller's memory, not yet open to anybody.
    ///
    /// # Errors
    /// When the registration is refused.
    fn adopt(&self, memory: Box<[u8]>) -> Result<Box<dyn BufferDriver>, FabricError>;
}

impl Transition {
    /// The state that it leads to.
    #[must_use]
    pub fn target(&self) -> QueuePairState {
        match self {
            Transition::Init { .. } => QueuePairState::Init,
            Transition::ReadyToReceive { .. } => QueuePairState::ReadyToReceive,
            Transition::ReadyToSend { .. } => QueuePairState::ReadyToSend,
            Transition::Error => QueuePairState::Error,
            Transition::Reset => QueuePairState::Reset,
        }
    }
}
