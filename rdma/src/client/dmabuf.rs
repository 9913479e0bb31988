//! Owns a GPU's memory as its driver exports it, a dmabuf: how the client's operations get at it.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::device_memory::{Device, DeviceMemory, DeviceRegistration};
use crate::fabric::{Fabric, FabricError, RemoteAccess, RemoteWindow};
use crate::verbs::{DmabufWindow, VerbsFabric};

/// Copies between the memory behind a dmabuf and the CPU's, by the GPU's driver (`cudaMemcpy`, `hipMemcpy`); offsets
/// count from the place in the dmabuf where its [`Dmabuf`] begins.
pub trait DeviceCopy {
    /// Copies from the device, and returns when that is done.
    ///
    /// # Errors
    /// Why the driver refuses.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), String>;

    /// Copies to the device, and returns when that is done.
    ///
    /// # Errors
    /// Why the driver refuses.
    fn write(&mut self, offset: u64, from: &[u8]) -> Result<(), String>;
}

/// A part of a dmabuf. What it is made of ([`VerbsFabric::register_dmabuf`] tells more) is registered when an operation
/// needs it, with the right that it needs.
pub struct Dmabuf<C> {
    fabric: Arc<VerbsFabric>,
    descriptor: OwnedFd,
    offset: u64,
    bytes: usize,
    address: u64,
    /// Owns the memory where the program wants it to: dropped when no peer can reach it any more.
    copier: C,
}

impl<C: DeviceCopy> Dmabuf<C> {
    /// `bytes` of the dmabuf from `offset` on, which peers name by `address` and the following.
    #[must_use]
    pub fn new(
        fabric: Arc<VerbsFabric>,
        descriptor: OwnedFd,
        (offset, bytes): (u64, usize),
        address: u64,
        copier: C,
    ) -> Dmabuf<C> {
        Dmabuf { fabric, descriptor, offset, bytes, address, copier }
    }

    /// As memory for GET and PUT.
    #[must_use]
    pub fn into_memory(self) -> DeviceMemory<Dmabuf<C>> {
        let fabric: Arc<dyn Fabric> = Arc::<VerbsFabric>::clone(&self.fabric);
        DeviceMemory::new(self, fabric)
    }
}

impl<C: DeviceCopy> Device for Dmabuf<C> {
    type Registration = DmabufWindow;

    fn size(&self) -> u64 {
        self.bytes as u64
    }

    fn register(&self, access: RemoteAccess) -> Result<DmabufWindow, FabricError> {
        let Dmabuf { descriptor, offset, bytes, address, .. } = self;
        self.fabric.register_dmabuf(descriptor.as_fd(), *offset, *bytes, *address, access)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), String> {
        self.copier.read(offset, into)
    }

    fn write(&mut self, offset: u64, from: &[u8]) -> Result<(), String> {
        self.copier.write(offset, from)
    }
}

impl DeviceRegistration for DmabufWindow {
    fn remote(&self) -> RemoteWindow {
        DmabufWindow::remote(self)
    }

    fn revoke(self) -> Result<(), FabricError> {
        DmabufWindow::revoke(self)
    }
}

impl<C> fmt::Debug for Dmabuf<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dmabuf { offset, bytes, .. } = self;
        f.debug_struct("Dmabuf")
            .field("offset", offset)
            .field("bytes", bytes)
            .finish_non_exhaustive()
    }
}
