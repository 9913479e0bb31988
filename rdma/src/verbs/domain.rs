//! Owns the protection domain of an open device, and single registrations in it.

use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::Arc;

use rdma_sys::{
    ibv_access_flags, ibv_alloc_pd, ibv_dealloc_pd, ibv_dereg_mr, ibv_mr, ibv_pd, ibv_reg_mr,
};

use super::device::Context;
use super::sys::{check, check_pointer};
use crate::fabric::{FabricError, RemoteAccess};

/// A protection domain: regions and queue pairs of another are strangers to it.
pub(super) struct Domain {
    raw: NonNull<ibv_pd>,
    context: Arc<Context>,
}

// SAFETY: libibverbs is thread safe (rdma-core, Documentation/libibverbs.md): regions may be registered, and queue pairs
// made, in one domain by any thread. The handle is never changed, and freed once, by the last owner.
unsafe impl Send for Domain {}
// SAFETY: as above.
unsafe impl Sync for Domain {}

impl Domain {
    pub(super) fn new(context: Arc<Context>) -> Result<Arc<Domain>, FabricError> {
        // SAFETY: the context is open.
        let raw = check_pointer("ibv_alloc_pd", unsafe { ibv_alloc_pd(context.raw()) })?;
        Ok(Arc::new(Domain { raw, context }))
    }

    pub(super) fn raw(&self) -> *mut ibv_pd {
        self.raw.as_ptr()
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        // SAFETY: all that was made in it owns a reference to it, so that nothing is left.
        let answer = unsafe { ibv_dealloc_pd(self.raw()) };
        if let Err(error) = check("ibv_dealloc_pd", answer) {
            tracing::error!(%error, "a protection domain is leaked");
        }
    }
}

/// Memory that the device may touch, with its keys. Whoever owns one keeps the memory mapped until it is released.
#[derive(Debug)]
pub(super) struct Region {
    /// None once it is released.
    raw: Option<NonNull<ibv_mr>>,
    local_key: u32,
    remote_key: u32,
    domain: Arc<Domain>,
}

// SAFETY: as for `Domain`; the handle is used once more, to release it, through `&mut`.
unsafe impl Send for Region {}
// SAFETY: as above; shared, only the copied keys are read.
unsafe impl Sync for Region {}

impl Region {
    /// Registers memory.
    ///
    /// # Safety
    /// The memory is mapped until the region has been released, and what the device does to it by these rights breaks
    /// no promise of the language: nobody holds a reference to what it writes.
    pub(super) unsafe fn register(
        domain: &Arc<Domain>,
        start: *mut u8,
        bytes: usize,
        access: ibv_access_flags,
    ) -> Result<Region, FabricError> {
        let rights = access.0.cast_signed();
        // SAFETY: the domain is alive; the rest is the caller's promise.
        let raw = unsafe { ibv_reg_mr(domain.raw(), start.cast(), bytes, rights) };
        if raw.is_null() {
            return Err(refusal("ibv_reg_mr", bytes, &std::io::Error::last_os_error()));
        }
        // SAFETY: just made, and released only by the region made of it.
        unsafe { Region::from_raw(domain, "ibv_reg_mr", raw) }
    }

    /// Takes over a registration.
    ///
    /// # Safety
    /// `raw` is null with errno set, or a registration in this domain that nobody else releases.
    pub(super) unsafe fn from_raw(
        domain: &Arc<Domain>,
        verb: &'static str,
        raw: *mut ibv_mr,
    ) -> Result<Region, FabricError> {
        let raw = check_pointer(verb, raw)?;
        // SAFETY: a registration that is alive, by the caller's promise.
        let mr = unsafe { raw.as_ref() };
        let (local_key, remote_key) = (mr.lkey, mr.rkey);
        Ok(Region { raw: Some(raw), local_key, remote_key, domain: Arc::clone(domain) })
    }

    /// Names it in our own work requests.
    pub(super) fn local_key(&self) -> u32 {
        self.local_key
    }

    /// Names it in those of peers.
    pub(super) fn remote_key(&self) -> u32 {
        self.remote_key
    }

    /// Ends it: no key of it works after this.
    ///
    /// # Errors
    /// When the device refuses. It still has the memory then.
    pub(super) fn release(&mut self) -> Result<(), FabricError> {
        let Some(raw) = self.raw else { return Ok(()) };
        // SAFETY: registered, and not released before; the domain is alive.
        check("ibv_dereg_mr", unsafe { ibv_dereg_mr(raw.as_ptr()) })?;
        self.raw = None;
        Ok(())
    }
}

impl std::fmt::Debug for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Domain").finish_non_exhaustive()
    }
}

impl Drop for Region {
    /// The last resort; owners release before, to hear of a refusal.
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            tracing::error!(%error, "a memory region is leaked");
            // The device refuses to free a domain that has one.
            std::mem::forget(Arc::clone(&self.domain));
        }
    }
}

/// The rights of a region that peers get. `IBV_ACCESS_LOCAL_WRITE` must be there wherever a peer may write
/// (ibv_reg_mr(3)).
pub(super) fn region_rights(access: RemoteAccess) -> ibv_access_flags {
    let mut rights = ibv_access_flags(0);
    if access.reads() {
        rights |= ibv_access_flags::IBV_ACCESS_REMOTE_READ;
    }
    if access.writes() {
        rights |= ibv_access_flags::IBV_ACCESS_LOCAL_WRITE;
        rights |= ibv_access_flags::IBV_ACCESS_REMOTE_WRITE;
    }
    rights
}

/// What a refused registration means: the kernel answers ENOMEM to more locked memory than the process may have, and
/// hardly ever for another reason.
pub(super) fn refusal(verb: &'static str, bytes: usize, error: &std::io::Error) -> FabricError {
    let mut reason = format!("{bytes} bytes: {error}");
    if error.raw_os_error() == Some(libc::ENOMEM) {
        let limit = match locked_memory_limit() {
            Some(limit) => format!("{limit} bytes"),
            None => "unlimited".to_owned(),
        };
        reason.push_str(&format!(
            "; registered memory counts as locked, and RLIMIT_MEMLOCK is {limit}: raise it (LimitMEMLOCK=infinity in the \
             systemd unit, or ulimit -l), or give the process CAP_IPC_LOCK or less memory"
        ));
    }
    FabricError::new(verb, reason)
}

/// RLIMIT_MEMLOCK in bytes; None when there is no limit.
fn locked_memory_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: fills the structure that it is given.
    let answer: c_int = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    (answer == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_get_the_right_that_was_asked_for_and_no_other() {
        use ibv_access_flags as Flags;
        assert_eq!(region_rights(RemoteAccess::None).0, 0);
        assert_eq!(region_rights(RemoteAccess::Read).0, Flags::IBV_ACCESS_REMOTE_READ.0);
        let write = Flags::IBV_ACCESS_REMOTE_WRITE.0 | Flags::IBV_ACCESS_LOCAL_WRITE.0;
        assert_eq!(region_rights(RemoteAccess::Write).0, write);
        let both = write | Flags::IBV_ACCESS_REMOTE_READ.0;
        assert_eq!(region_rights(RemoteAccess::ReadWrite).0, both);
    }

    #[test]
    fn too_much_locked_memory_is_named_with_its_remedy() {
        let error = std::io::Error::from_raw_os_error(libc::ENOMEM);
        let text = refusal("ibv_reg_mr", 1 << 30, &error).to_string();
        assert!(text.starts_with("ibv_reg_mr: 1073741824 bytes"), "{text}");
        assert!(text.contains("RLIMIT_MEMLOCK") && text.contains("LimitMEMLOCK"), "{text}");
        let error = std::io::Error::from_raw_os_error(libc::EFAULT);
        assert!(!refusal("ibv_reg_mr", 1, &error).reason.contains("RLIMIT_MEMLOCK"));
    }
}
