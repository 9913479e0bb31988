//! Owns memory that is the CPU's or a peer's, never both: a [`Buffer`] is the CPU's, a [`Window`] is open to peers.
//!
//! ```text
//!  Buffer ── expose(right) ──▶ Window ── reclaim() ──▶ Buffer      the peer is done: its answer said so, or our queue
//!    │                            │                                pair towards it is fenced; the key stays for the next
//!    └─ lend() ─▶ Bytes           └───── revoke() ───▶ Buffer      the key is dead: nobody can be writing any more
//! ```

use std::fmt;

use bytes::Bytes;

use super::address::RemoteWindow;
use super::driver::{BufferDriver, Fabric, RemoteAccess};
use super::error::FabricError;

/// Registered memory that the CPU may read and write.
pub struct Buffer {
    driver: Box<dyn BufferDriver>,
}

impl Buffer {
    /// New memory, zeroed.
    ///
    /// # Errors
    /// When memory or registration is refused.
    pub fn allocate(fabric: &dyn Fabric, bytes: usize) -> Result<Buffer, FabricError> {
        Ok(Buffer { driver: fabric.allocate(bytes)? })
    }

    /// The caller's memory.
    ///
    /// # Errors
    /// When the registration is refused.
    pub fn adopt(fabric: &dyn Fabric, memory: Box<[u8]>) -> Result<Buffer, FabricError> {
        Ok(Buffer { driver: fabric.adopt(memory)? })
    }

    /// Bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.driver.size()
    }

    /// The contents.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.driver.as_slice()
    }

    /// The contents to write; None while any were lent.
    pub fn as_mut_slice(&mut self) -> Option<&mut [u8]> {
        self.driver.as_mut_slice()
    }

    /// The contents as the source of a WRITE.
    #[must_use]
    pub fn lend(&self) -> Bytes {
        self.driver.lend()
    }

    /// Gives it to peers.
    ///
    /// # Errors
    /// When its registration is refused, and for a right to write while some of it is lent; the buffer is gone then.
    pub fn expose(mut self, access: RemoteAccess) -> Result<Window, FabricError> {
        let remote = self.driver.expose(access)?;
        Ok(Window { driver: self.driver, remote })
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("bytes", &self.size()).finish_non_exhaustive()
    }
}

/// Memory that peers may use as its right says. The CPU looks away.
///
/// Dropped, its key is void before its memory is freed; where the device refuses the first, the memory is leaked. A
/// write of a peer's that comes later is refused.
pub struct Window {
    driver: Box<dyn BufferDriver>,
    remote: RemoteWindow,
}

impl Window {
    /// What a peer has to be told.
    #[must_use]
    pub fn remote(&self) -> RemoteWindow {
        self.remote
    }

    /// Takes the memory back from a peer that is done with it: it has said so in the answer to a request that
    /// succeeded, or the queue pair through which it came was fenced. The key stays valid.
    #[must_use]
    pub fn reclaim(mut self) -> Buffer {
        self.driver.reclaim();
        Buffer { driver: self.driver }
    }

    /// Takes the memory back from a peer of which nothing is known: its key is void from here on.
    ///
    /// # Errors
    /// When the device refuses; the memory is leaked then, since a peer may still write to it.
    pub fn revoke(mut self) -> Result<Buffer, FabricError> {
        match self.driver.revoke() {
            Ok(()) => Ok(Buffer { driver: self.driver }),
            Err(error) => {
                std::mem::forget(self.driver);
                Err(error)
            }
        }
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window").field("remote", &self.remote).finish_non_exhaustive()
    }
}
