//! Owns windows in memory that the CPU can't reach, given by the driver of a GPU as a dmabuf (ibv_reg_dmabuf_mr(3)).

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};

use rdma_sys::ibv_reg_dmabuf_mr;

use super::domain::{Region, region_rights};
use super::fabric::VerbsFabric;
use crate::fabric::{FabricError, RemoteAccess, RemoteWindow};

/// Memory of a GPU that is open to peers. Nothing of this process looks at it. Revoked when dropped.
pub struct DmabufWindow {
    region: Region,
    remote: RemoteWindow,
}

impl VerbsFabric {
    /// Opens `length` bytes of a dmabuf from `offset` on. Peers name its first byte by the address `iova`, which has the
    /// same place in a page as `offset`; usually the GPU's own address of it.
    ///
    /// The kernel keeps the memory itself for as long as the window is open, also after the descriptor is closed. Its owner
    /// must not free or reuse it meanwhile.
    ///
    /// # Errors
    /// When the descriptor is none of a dmabuf, or the device takes none (soft-RoCE does not).
    pub fn register_dmabuf(
        &self,
        descriptor: BorrowedFd<'_>,
        offset: u64,
        length: usize,
        iova: u64,
        access: RemoteAccess,
    ) -> Result<DmabufWindow, FabricError> {
        let domain = self.device().domain();
        let rights = region_rights(access).0.cast_signed();
        let number = descriptor.as_raw_fd();
        // SAFETY: the domain is alive, the descriptor open during the call. The memory is the device's own, not this
        // program's: no promise of the language is about it.
        let raw = unsafe { ibv_reg_dmabuf_mr(domain.raw(), offset, length, iova, number, rights) };
        if raw.is_null() {
            let error = std::io::Error::last_os_error();
            let remedy = match error.raw_os_error() {
                Some(libc::EOPNOTSUPP | libc::ENOSYS) => {
                    "; this device or its driver takes no dmabuf: use a window in the CPU's memory"
                }
                Some(libc::EBADF | libc::EINVAL) => {
                    "; is it a dmabuf, of so many bytes, with offset and address at the same place of a page?"
                }
                _ => "",
            };
            let why = format!("{length} bytes at {offset} of descriptor {number}: {error}{remedy}");
            return Err(FabricError::new("ibv_reg_dmabuf_mr", why));
        }
        // SAFETY: just made, and given to nobody else.
        let region = unsafe { Region::from_raw(domain, "ibv_reg_dmabuf_mr", raw) }?;
        let (size, rkey) = (length as u64, region.remote_key());
        let remote = RemoteWindow { address: iova, size, rkey };
        Ok(DmabufWindow { region, remote })
    }
}

impl DmabufWindow {
    /// What a peer has to be told.
    #[must_use]
    pub fn remote(&self) -> RemoteWindow {
        self.remote
    }

    /// Makes the key void: no peer can use it after this returns.
    ///
    /// # Errors
    /// When the device refuses. The memory must not be used again then.
    pub fn revoke(mut self) -> Result<(), FabricError> {
        self.region.release()
    }
}

impl fmt::Debug for DmabufWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DmabufWindow").field("remote", &self.remote).finish_non_exhaustive()
    }
}
