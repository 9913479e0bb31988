//! Owns memory of a device that the CPU does not reach, as a GPU's. Peers move bytes into and out of it where it lies;
//! its own driver copies where the payload goes by plain HTTP, and where it is the source of a write of ours (a PUT by
//! hipobj-rc-v2): work requests name memory of the CPU's.
//!
//! *Not here:* a device itself. With feature `gpu`, `Dmabuf` is one for all drivers that export dmabufs.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::memory::{Memory, MemoryWindow};
use crate::fabric::{Buffer, Fabric, FabricError, RemoteAccess, RemoteWindow};

/// One piece of a device's memory. Dropping it frees that memory, or gives it back to its owner.
pub trait Device {
    /// The piece while it is open to peers. Dropping it makes its key void.
    type Registration: DeviceRegistration;

    /// Bytes.
    fn size(&self) -> u64;

    /// Opens all of it to peers, with just this right.
    ///
    /// # Errors
    /// When the registration is refused.
    fn register(&self, access: RemoteAccess) -> Result<Self::Registration, FabricError>;

    /// Copies from this offset on into the CPU's memory, and returns when that is done.
    ///
    /// # Errors
    /// Why the device's driver refuses.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), String>;

    /// Copies from the CPU's memory to this offset, and returns when that is done.
    ///
    /// # Errors
    /// Why the device's driver refuses.
    fn write(&mut self, offset: u64, from: &[u8]) -> Result<(), String>;
}

/// A device's memory that is open to peers.
pub trait DeviceRegistration {
    /// What a peer has to be told.
    fn remote(&self) -> RemoteWindow;

    /// Makes the key void: no peer can use it after this returns.
    ///
    /// # Errors
    /// When that is refused; the memory must then never be used again.
    fn revoke(self) -> Result<(), FabricError>;
}

/// A device's memory, for GET and PUT. It stays registered from one operation to the next with the same right.
///
/// Where its key can't be made void, the device's memory is not freed: a peer may still write to it.
pub struct DeviceMemory<D: Device> {
    registered: Option<(RemoteAccess, D::Registration)>,
    /// None only after it was lost so.
    device: Option<D>,
    fabric: Arc<dyn Fabric>,
}

/// A device's memory that is open to a peer.
pub struct DeviceWindow<D: Device> {
    memory: DeviceMemory<D>,
    remote: RemoteWindow,
}

impl<D: Device> DeviceMemory<D> {
    /// Memory that is not open to anybody yet. Copies of it are made in memory of this fabric's.
    #[must_use]
    pub fn new(device: D, fabric: Arc<dyn Fabric>) -> DeviceMemory<D> {
        DeviceMemory { registered: None, device: Some(device), fabric }
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &D {
        self.device.as_ref().expect("lost only together with its memory")
    }

    /// Makes its key void, where it has one.
    fn close(&mut self) -> Result<(), FabricError> {
        let Some((_, registration)) = self.registered.take() else { return Ok(()) };
        registration.revoke().inspect_err(|_| std::mem::forget(self.device.take()))
    }
}

impl<D: Device> Memory for DeviceMemory<D> {
    type Window = DeviceWindow<D>;

    fn size(&self) -> u64 {
        self.device().size()
    }

    fn expose(mut self, access: RemoteAccess) -> Result<DeviceWindow<D>, FabricError> {
        if self.registered.as_ref().is_some_and(|(has, _)| *has != access) {
            self.close()?;
        }
        let (_, registration) = match self.registered.take() {
            Some(registered) => self.registered.insert(registered),
            None => {
                let registration = self.device().register(access)?;
                self.registered.insert((access, registration))
            }
        };
        let remote = registration.remote();
        Ok(DeviceWindow { memory: self, remote })
    }

    fn host(&self, _bytes: u64) -> Option<&[u8]> {
        None
    }

    fn load(&self, bytes: u64) -> Result<Bytes, String> {
        let size = self.size();
        let count = usize::try_from(bytes).ok().filter(|_| bytes <= size);
        let count =
            count.ok_or_else(|| format!("the device's memory has {size} bytes, not {bytes}"))?;
        let mut copy = Buffer::allocate(&*self.fabric, count).map_err(|error| error.to_string())?;
        self.device().read(0, copy.as_mut_slice().ok_or("new memory is lent")?)?;
        Ok(copy.lend())
    }

    fn store(&mut self, offset: u64, piece: &[u8]) -> Result<(), String> {
        let size = self.size();
        let end = offset.checked_add(piece.len() as u64).filter(|end| *end <= size);
        let device = self.device.as_mut().filter(|_| end.is_some());
        device
            .ok_or_else(|| {
                format!("the object is larger than the device's memory of {size} bytes")
            })?
            .write(offset, piece)
    }
}

impl<D: Device> Drop for DeviceMemory<D> {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "memory of a device stays open to peers, and is not freed");
        }
    }
}

impl<D: Device> MemoryWindow for DeviceWindow<D> {
    type Memory = DeviceMemory<D>;

    fn remote(&self) -> RemoteWindow {
        self.remote
    }

    fn reclaim(self) -> DeviceMemory<D> {
        self.memory
    }

    fn revoke(mut self) -> Result<DeviceMemory<D>, FabricError> {
        self.memory.close()?;
        Ok(self.memory)
    }
}

impl<D: Device> fmt::Debug for DeviceMemory<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.device.as_ref().map(Device::size);
        f.debug_struct("DeviceMemory").field("bytes", &bytes).finish_non_exhaustive()
    }
}
