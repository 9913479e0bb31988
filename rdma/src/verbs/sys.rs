//! Owns how libibverbs reports failure, and the one declaration that `rdma-sys` has not.

use std::ffi::{CStr, c_char, c_int};
use std::io;
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

/// That error as this verb's.
pub(super) fn failure(verb: &'static str, error: &io::Error) -> FabricError {
    FabricError::new(verb, error.to_string())
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
    fn texts_end_at_their_nul() {
        assert_eq!(text_of(&[b'r' as c_char, b'x' as c_char, 0, b'!' as c_char]), "rx");
        assert_eq!(text_of(&[b'r' as c_char]), "r");
    }
}
