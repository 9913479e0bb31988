//! Owns what an operation needs of the memory that it fills or reads, and how the CPU's memory ([`Buffer`]) gives it.
//!
//! *Not here:* a device's memory, which the CPU cannot reach ([`super::DeviceMemory`]).

use bytes::Bytes;

use crate::fabric::{Buffer, FabricError, RemoteAccess, RemoteWindow, Window};

/// Memory of the caller's, not open to any peer.
pub trait Memory: Sized {
    /// The same memory while it is open to a peer.
    type Window: MemoryWindow<Memory = Self>;

    /// Bytes.
    fn size(&self) -> u64;

    /// Opens it to peers with this right.
    ///
    /// # Errors
    /// When its registration is refused; the memory is gone then.
    fn expose(self, access: RemoteAccess) -> Result<Self::Window, FabricError>;

    /// The first `bytes` of it, where the CPU can read them in place. None: no checksum of a GET can be verified.
    fn host(&self, bytes: u64) -> Option<&[u8]>;

    /// The first `bytes` of it as a request's body, or as the source of a write. A device's memory is copied.
    ///
    /// # Errors
    /// Why that is not possible.
    fn load(&self, bytes: u64) -> Result<Bytes, String>;

    /// Stores a piece of an answer's body at this offset.
    ///
    /// # Errors
    /// Why that is not possible: it does not fit, the memory is lent, the device's driver refuses.
    fn store(&mut self, offset: u64, piece: &[u8]) -> Result<(), String>;
}

/// Memory that is open to a peer.
pub trait MemoryWindow {
    /// What it is when it is not.
    type Memory;

    /// What a peer has to be told.
    fn remote(&self) -> RemoteWindow;

    /// Takes it back from a peer that is done with it; the key stays for the next time.
    fn reclaim(self) -> Self::Memory;

    /// Takes it back from a peer of which nothing is known: its key is void from here on.
    ///
    /// # Errors
    /// When the device refuses; the memory is leaked then.
    fn revoke(self) -> Result<Self::Memory, FabricError>;
}

impl Memory for Buffer {
    type Window = Window;

    fn size(&self) -> u64 {
        Buffer::size(self) as u64
    }

    fn expose(self, access: RemoteAccess) -> Result<Window, FabricError> {
        Buffer::expose(self, access)
    }

    fn host(&self, bytes: u64) -> Option<&[u8]> {
        self.as_slice().get(..usize::try_from(bytes).ok()?)
    }

    fn load(&self, bytes: u64) -> Result<Bytes, String> {
        let lent = self.lend();
        match usize::try_from(bytes).ok().filter(|bytes| *bytes <= lent.len()) {
            Some(bytes) => Ok(lent.slice(..bytes)),
            None => Err(format!("the buffer has {} bytes, not {bytes}", lent.len())),
        }
    }

    fn store(&mut self, offset: u64, piece: &[u8]) -> Result<(), String> {
        let size = Buffer::size(self);
        let slice = self
            .as_mut_slice()
            .ok_or("the buffer was lent and is still in use: drop what was lent first")?;
        usize::try_from(offset)
            .ok()
            .and_then(|start| slice.get_mut(start..start.checked_add(piece.len())?))
            .ok_or_else(|| format!("the object is larger than the buffer of {size} bytes"))?
            .copy_from_slice(piece);
        Ok(())
    }
}

impl MemoryWindow for Window {
    type Memory = Buffer;

    fn remote(&self) -> RemoteWindow {
        Window::remote(self)
    }

    fn reclaim(self) -> Buffer {
        Window::reclaim(self)
    }

    fn revoke(self) -> Result<Buffer, FabricError> {
        Window::revoke(self)
    }
}
