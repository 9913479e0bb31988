//! Owns memory as the model's devices see it: which addresses are registered, and which windows are open to peers.
//!
//! A window's bytes are moved into the network while they are a peer's and moved out again when they are the CPU's, so
//! that the two can never look at them at once, whatever a caller forgets.
//!
//! *Not here*: who may use a window through which queue pair (`wire.rs`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use datapath::arena::Arena;

use super::Core;
use super::state::State;
use crate::fabric::address::RemoteWindow;
use crate::fabric::driver::{BufferDriver, RemoteAccess};
use crate::fabric::error::FabricError;

/// Addresses that a device may be told to send from or to read into: start and size of each region.
#[derive(Debug, Default)]
pub(super) struct Regions {
    spans: Mutex<BTreeMap<usize, usize>>,
}

impl Regions {
    /// Registers the whole arena.
    pub(super) fn add_arena(&self, arena: &Arena) {
        let mut spans = self.lock();
        for index in 0..arena.region_count() {
            let (start, size) = arena.region(index);
            spans.insert(start as usize, size);
        }
    }

    /// Whether these bytes lie in one region.
    pub(super) fn covers(&self, address: usize, bytes: usize) -> bool {
        let spans = self.lock();
        let region = spans.range(..=address).next_back();
        region.is_some_and(|(start, size)| address - start + bytes <= *size)
    }

    /// Bytes in all, and in how many regions.
    pub(super) fn total(&self) -> (u64, usize) {
        let spans = self.lock();
        (spans.values().map(|size| *size as u64).sum(), spans.len())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, usize>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory of one buffer, registered from its making to the drop of the last that holds it.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) bytes: Box<[u8]>,
    regions: Arc<Regions>,
}

impl Block {
    fn new(bytes: Box<[u8]>, regions: &Arc<Regions>) -> Arc<Block> {
        // Nothing has no address of its own to be found by.
        if !bytes.is_empty() {
            regions.lock().insert(bytes.as_ptr() as usize, bytes.len());
        }
        Arc::new(Block { bytes, regions: Arc::clone(regions) })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.regions.lock().remove(&(self.bytes.as_ptr() as usize));
        }
    }
}

/// A block that was lent.
struct Lent(Arc<Block>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// A key that was given out.
#[derive(Debug)]
pub(super) struct Opened {
    /// Of which device.
    pub(super) device: usize,
    pub(super) access: RemoteAccess,
    pub(super) address: u64,
    pub(super) size: u64,
    /// The bytes while they are a peer's. None while they are the CPU's again and the key is kept for the next time.
    pub(super) memory: Option<Arc<Block>>,
    /// Whether the answer was given for which this window was open.
    pub(super) answered: bool,
}

/// Memory of [`crate::fabric::Buffer`].
pub(super) struct ModelBuffer {
    core: Arc<Core>,
    device: usize,
    size: usize,
    /// None while it is a peer's.
    block: Option<Arc<Block>>,
    /// The key that it has, and its right.
    key: Option<(u32, RemoteAccess)>,
}

impl ModelBuffer {
    /// Registers the memory.
    pub(super) fn new(
        core: &Arc<Core>,
        device: usize,
        memory: Box<[u8]>,
        regions: &Arc<Regions>,
    ) -> ModelBuffer {
        let size = memory.len();
        let block = Some(Block::new(memory, regions));
        ModelBuffer { core: Arc::clone(core), device, size, block, key: None }
    }

    fn block(&self) -> &Arc<Block> {
        self.block.as_ref().expect("a window has no way to its memory; see `Buffer` and `Window`")
    }

    /// The window of this buffer's key; a new one where the right differs.
    fn open(&mut self, block: Arc<Block>, access: RemoteAccess) -> RemoteWindow {
        let (device, size) = (self.device, self.size as u64);
        let old = self.key;
        let (remote, voided) = self.core.with(|state| {
            if let Some((rkey, right)) = old
                && right == access
                && let Some(opened) = state.windows.get_mut(&rkey)
            {
                opened.memory = Some(block);
                opened.answered = false;
                return (RemoteWindow { address: opened.address, size, rkey }, None);
            }
            let voided = old.and_then(|(rkey, _)| state.windows.remove(&rkey));
            let (rkey, address) = state.new_key(size);
            let memory = Some(block);
            let opened = Opened { device, access, address, size, memory, answered: false };
            state.windows.insert(rkey, opened);
            (RemoteWindow { address, size, rkey }, voided)
        });
        drop(voided);
        self.key = Some((remote.rkey, access));
        remote
    }

    /// Takes the bytes out of the network.
    fn close(&mut self, act: impl FnOnce(&mut State, u32) -> Option<Arc<Block>>) {
        if let Some((rkey, _)) = self.key {
            let memory = self.core.with(|state| act(state, rkey));
            self.block = self.block.take().or(memory);
        }
    }
}

impl BufferDriver for ModelBuffer {
    fn size(&self) -> usize {
        self.size
    }

    fn as_slice(&self) -> &[u8] {
        &self.block().bytes
    }

    fn as_mut_slice(&mut self) -> Option<&mut [u8]> {
        let block = self.block.as_mut().and_then(Arc::get_mut)?;
        Some(&mut block.bytes)
    }

    fn lend(&self) -> Bytes {
        Bytes::from_owner(Lent(Arc::clone(self.block())))
    }

    fn expose(&mut self, access: RemoteAccess) -> Result<RemoteWindow, FabricError> {
        let refused = |reason: &str| Err(FabricError::new("ibv_reg_mr", reason));
        let Some(mut block) = self.block.take() else {
            return refused("the memory is open to a peer already");
        };
        if access.writes() && Arc::get_mut(&mut block).is_none() {
            self.block = Some(block);
            return refused("some of it is lent; await the completions that bring it back");
        }
        Ok(self.open(block, access))
    }

    fn reclaim(&mut self) {
        self.close(|state, rkey| state.windows.get_mut(&rkey)?.memory.take());
    }

    fn revoke(&mut self) -> Result<(), FabricError> {
        self.close(|state, rkey| state.windows.remove(&rkey)?.memory);
        self.key = None;
        Ok(())
    }
}

impl Drop for ModelBuffer {
    fn drop(&mut self) {
        self.close(|state, rkey| state.windows.remove(&rkey)?.memory);
    }
}
