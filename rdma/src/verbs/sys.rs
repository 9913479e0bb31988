//! Owns how libibverbs reports failure, and the one declaration that `rdma-sys` has not.

use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::os::fd::RawFd;
use std::ptr::NonNull;

use rdma_sys::{ibv_context, ibv_gid_entry};

use crate::fabric::FabricError;

unsafe extern "C" {
    /// Behind the inline function ibv_query_gid_table(3), which is why `rdma-sys` doesn't have it. Part of libibverbs since
    /// rdma-core 32 (2020; Debian 12 has 44, RHEL 8 has 48), and linked hard: without the entries' types a RoCE v1 address
    /// is taken for a v2 one, and connections then time out for a reason that nothing shows. Better not to start.
    pub(super) fn _ibv_query_gid_table(
        context: *mut ibv_context,
        entries: *mut ibv_gid_entry,
        entries_max: usize,
        flags: u32,
        entry_size: usize,
    ) -> isize;
}

/// What a verb that answers with a number means by it: 0 is success, else it is an errno value, or −1 with the value in
/// errno.
pub(super) fn check(verb: &'static str, answer: c_int) -> Result<(), FabricError> {
    match answer {
        0 => Ok(()),
        -1 => Err(failure(verb, &io::Error::last_os_error())),
        value => Err(failure(verb, &io::Error::from_raw_os_error(value.wrapping_abs()))),
    }
}

/// What a verb that answers with a pointer means by it: null is failure, with the reason in errno.
pub(super) fn check_pointer<T>(
    verb: &'static str,
    answer: *mut T,
) -> Result<NonNull<T>, FabricError> {
    NonNull::new(answer).ok_or_else(|| failure(verb, &io::Error::last_os_error()))
}

/// That error as this verb's, with the remedy for too little locked memory: the kernel answers ENOMEM to more than the
/// process may have, and hardly ever for another reason. Registered memory counts, and so do the queues that a provider
/// shares with its device.
pub(super) fn failure(verb: &'static str, error: &io::Error) -> FabricError {
    let mut reason = error.to_string();
    if error.raw_os_error() == Some(libc::ENOMEM) {
        let limit = match locked_memory_limit() {
            Some(limit) => format!("{limit} bytes"),
            None => "unlimited".to_owned(),
        };
        reason.push_str(&format!(
            "; what a device reaches counts as locked memory, and RLIMIT_MEMLOCK is {limit}: raise it \
             (LimitMEMLOCK=infinity in the systemd unit, or ulimit -l), or give the process CAP_IPC_LOCK or less memory"
        ));
    }
    FabricError::new(verb, reason)
}

/// Makes reads from a descriptor of libibverbs' return at once.
pub(super) fn never_block(descriptor: RawFd) -> Result<(), FabricError> {
    // SAFETY: asks about a descriptor.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
    if flags >= 0 {
        // SAFETY: changes how the descriptor waits, nothing else.
        let set = unsafe { libc::fcntl(descriptor, libc::F_SETFL, flags | libc::O_NONBLOCK) };
        if set >= 0 {
            return Ok(());
        }
    }
    Err(failure("fcntl", &io::Error::last_os_error()))
}

/// The same error, saying first what it is about.
pub(super) fn with_subject(error: FabricError, subject: &str) -> FabricError {
    FabricError { reason: format!("{subject}: {}", error.reason), ..error }
}

/// RLIMIT_MEMLOCK in bytes; None when there is no limit.
fn locked_memory_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: fills the structure that it is given.
    let answer = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    (answer == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// The text of a NUL-terminated array of a C structure.
pub(super) fn text_of(array: &[c_char]) -> String {
    let bytes: Vec<u8> = array.iter().map(|&byte| byte.cast_unsigned()).collect();
    match CStr::from_bytes_until_nul(&bytes) {
        Ok(text) => text.to_string_lossy().into_owned(),
        Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        assert!(check("ibv_modify_qp", 0).is_ok());
        let refused = check("ibv_modify_qp", libc::EINVAL).unwrap_err();
        assert_eq!(refused.verb, "ibv_modify_qp");
        assert!(refused.reason.contains("Invalid argument"), "{refused}");
        assert_eq!(check("ibv_modify_qp", -libc::EINVAL).unwrap_err(), refused);
        assert!(check_pointer::<u8>("ibv_alloc_pd", std::ptr::null_mut()).is_err());
    }

    #[test]
    fn too_much_locked_memory_is_named_with_its_remedy() {
        let error = failure("ibv_reg_mr", &io::Error::from_raw_os_error(libc::ENOMEM));
        let text = with_subject(error, "1073741824 bytes").to_string();
        assert!(text.starts_with("ibv_reg_mr: 1073741824 bytes: "), "{text}");
        assert!(text.contains("RLIMIT_MEMLOCK") && text.contains("LimitMEMLOCK"), "{text}");
        let error = failure("ibv_reg_mr", &io::Error::from_raw_os_error(libc::EFAULT));
        assert!(!error.reason.contains("RLIMIT_MEMLOCK"), "{error}");
    }

    #[test]
    fn texts_end_at_their_nul() {
        assert_eq!(text_of(&[b'r' as c_char, b'x' as c_char, 0, b'!' as c_char]), "rx");
        assert_eq!(text_of(&[b'r' as c_char]), "r");
    }
}
