//! Owns the memory of buffers: allocated or adopted, lent as a source, open to peers.
//!
//! It is reached through a raw pointer only, so that the language takes nothing for granted while a device may write to
//! it; slices of it exist only while it is the CPU's. What peers are given is a registration of its own with just their
//! right, and what our own requests read another one, made when the memory is first lent: an upload's staging memory
//! never is.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::slice;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rdma_sys::ibv_access_flags;

use super::domain::{Region, region_rights};
use super::fabric::Device;
use super::regions::Span;
use crate::fabric::{BufferDriver, FabricError, RemoteAccess, RemoteWindow};

/// One piece of memory. Freed when the buffer and all that were lent are gone.
struct Memory {
    start: NonNull<u8>,
    size: usize,
    layout: Layout,
    /// Registered for reading by our own requests; None where that was refused.
    source: OnceLock<Option<Region>>,
    device: Arc<Device>,
}

// SAFETY: it owns the memory behind the pointer, like a `Box<[u8]>`; what a device does to it is bounded by the rules of
// `Buffer` and `Window`, not by threads.
unsafe impl Send for Memory {}
// SAFETY: shared, it is only read, but for the cell, which is thread safe.
unsafe impl Sync for Memory {}

impl Memory {
    fn as_slice(&self) -> &[u8] {
        // SAFETY: so many initialised bytes that live as long as `self`; nobody writes while it is the CPU's.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.size) }
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody else reads: the borrow is exclusive.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.size) }
    }

    /// Bytes to register: devices refuse a region of none. Memory without contents still has a page of its own.
    fn region_bytes(&self) -> usize {
        self.size.max(1)
    }

    fn address(&self) -> usize {
        self.start.as_ptr().expose_provenance()
    }

    /// Makes it known as a source of requests. A refusal shows when one is posted: its bytes lie in no region.
    fn register_source(&self) {
        self.source.get_or_init(|| {
            let (domain, rights) = (self.device.domain(), ibv_access_flags(0));
            let start = self.start.as_ptr();
            // SAFETY: mapped until this is dropped, which releases the region before; the device may only read.
            match unsafe { Region::register(domain, start, self.region_bytes(), rights) } {
                Ok(region) => {
                    let key = region.local_key();
                    let span = Span { start: self.address(), bytes: self.size, key };
                    self.device.regions().insert(span);
                    Some(region)
                }
                Err(error) => {
                    tracing::error!(%error, "a buffer can't be the source of RDMA writes");
                    None
                }
            }
        });
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(mut region) = self.source.take().flatten() {
            self.device.regions().remove(self.address());
            if let Err(error) = region.release() {
                tracing::error!(%error, bytes = self.size, "registered memory is leaked");
                std::mem::forget(region);
                return;
            }
        }
        // SAFETY: allocated with this layout; nobody has it any more.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// A share of the memory that was lent.
struct Lent(Arc<Memory>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// The memory of a buffer, and what peers have of it.
pub(super) struct VerbsBuffer {
    memory: Arc<Memory>,
    exposed: Option<(Region, RemoteAccess)>,
}

impl VerbsBuffer {
    /// New memory, in pages of its own: what a peer reaches shares no page with anything else of the process.
    pub(super) fn allocate(device: &Arc<Device>, bytes: usize) -> Result<VerbsBuffer, FabricError> {
        let page = page_bytes();
        let refused = |why: &str| FabricError::new("ibv_reg_mr", format!("{bytes} bytes: {why}"));
        // An empty one has a page too, so that there is something to register.
        let rounded = bytes.max(1).checked_next_multiple_of(page);
        let layout = rounded.and_then(|rounded| Layout::from_size_align(rounded, page).ok());
        let layout = layout.ok_or_else(|| refused("more than an address space has"))?;
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) });
        let start = start.ok_or_else(|| refused("the system has no memory for it"))?;
        Ok(VerbsBuffer::new(device, start, bytes, layout))
    }

    /// The caller's memory. Peers reach its bytes alone, whatever else lies in its pages: regions end at bytes.
    pub(super) fn adopt(
        device: &Arc<Device>,
        memory: Box<[u8]>,
    ) -> Result<VerbsBuffer, FabricError> {
        if memory.is_empty() {
            return VerbsBuffer::allocate(device, 0);
        }
        let (bytes, layout) = (memory.len(), Layout::for_value(&*memory));
        // A box of plain bytes is memory of the global allocator with the layout of its value.
        let start = NonNull::from(Box::leak(memory)).cast::<u8>();
        Ok(VerbsBuffer::new(device, start, bytes, layout))
    }

    fn new(device: &Arc<Device>, start: NonNull<u8>, size: usize, layout: Layout) -> VerbsBuffer {
        let (source, device) = (OnceLock::new(), Arc::clone(device));
        let memory = Arc::new(Memory { start, size, layout, source, device });
        VerbsBuffer { memory, exposed: None }
    }

    fn window(&self, region: &Region) -> RemoteWindow {
        RemoteWindow {
            address: self.memory.address() as u64,
            size: self.memory.size as u64,
            rkey: region.remote_key(),
        }
    }
}

impl BufferDriver for VerbsBuffer {
    fn size(&self) -> usize {
        self.memory.size
    }

    fn as_slice(&self) -> &[u8] {
        self.memory.as_slice()
    }

    fn as_mut_slice(&mut self) -> Option<&mut [u8]> {
        Arc::get_mut(&mut self.memory).map(Memory::as_mut_slice)
    }

    fn lend(&self) -> Bytes {
        self.memory.register_source();
        Bytes::from_owner(Lent(Arc::clone(&self.memory)))
    }

    fn expose(&mut self, access: RemoteAccess) -> Result<RemoteWindow, FabricError> {
        if access.writes() && Arc::get_mut(&mut self.memory).is_none() {
            let why =
                "the buffer's bytes are still lent; wait for the work that they are the source of";
            return Err(FabricError::new("ibv_reg_mr", why));
        }
        if let Some((region, has)) = &self.exposed
            && *has == access
        {
            return Ok(self.window(region));
        }
        self.revoke()?;
        let (domain, start) = (self.memory.device.domain(), self.memory.start.as_ptr());
        let (bytes, rights) = (self.memory.region_bytes(), region_rights(access));
        // SAFETY: mapped until `self` is dropped, which releases the region before. No slice of it exists while a peer may
        // write: none is lent, and the buffer is now a `Window`, which gives none.
        let region = unsafe { Region::register(domain, start, bytes, rights) }?;
        let window = self.window(&region);
        self.exposed = Some((region, access));
        Ok(window)
    }

    fn revoke(&mut self) -> Result<(), FabricError> {
        let Some((region, _)) = &mut self.exposed else { return Ok(()) };
        region.release()?;
        self.exposed = None;
        Ok(())
    }
}

impl Drop for VerbsBuffer {
    fn drop(&mut self) {
        if let Err(error) = self.revoke() {
            tracing::error!(%error, bytes = self.memory.size, "memory open to peers is leaked");
            std::mem::forget(self.exposed.take());
            std::mem::forget(Arc::clone(&self.memory));
        }
    }
}

fn page_bytes() -> usize {
    // SAFETY: asks for a constant of the system.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(4096)
}
