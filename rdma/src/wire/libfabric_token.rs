//! Owns the grammar of libfabric's tokens, which are recognised so that their clients are served over HTTP, and are not
//! looked into further.

use super::{Fault, WireError, number};

/// What tells such a token, in its third field.
const MARK: &str = "ofi1";

/// Digits of an endpoint's name at most: 192 bytes.
const NAME_DIGITS_MAX: usize = 384;

/// Whether the third field between colons says so.
pub(super) fn is_libfabric(text: &str) -> bool {
    text.split(':').nth(2) == Some(MARK)
}

/// `<base>:<size>:ofi1:<provider>:<endpoint name>:<memory key>`: 1 to 16 hexadecimal digits each for base, size and key,
/// a provider of printable characters (`verbs;ofi_rxm`), a name of 1 to 192 bytes in digits.
pub(super) fn check(text: &str) -> Result<(), WireError> {
    let expected = "<base>:<size>:ofi1:<provider>:<endpoint name>:<memory key>";
    let Some([base, size, MARK, provider, name, key]) = number::fields::<6>(text) else {
        return Err(WireError::new("libfabric token", text, Fault::Fields { expected }));
    };
    number::hex("base address", base, 1, number::HEX_U64)?;
    number::hex("window size", size, 1, number::HEX_U64)?;
    number::hex("memory key", key, 1, number::HEX_U64)?;
    let provider_fault = if provider.is_empty() {
        Some(Fault::Empty)
    } else if provider.bytes().all(|byte| byte.is_ascii_graphic()) {
        None
    } else {
        Some(Fault::Character)
    };
    if let Some(fault) = provider_fault {
        return Err(WireError::new("provider", provider, fault));
    }
    let name_fault = if name.is_empty() {
        Fault::Empty
    } else if name.len() > NAME_DIGITS_MAX || !name.len().is_multiple_of(2) {
        Fault::Digits { least: 2, most: NAME_DIGITS_MAX }
    } else if !number::is_hex(name, name.len()) {
        Fault::NotHexadecimal
    } else {
        return Ok(());
    };
    Err(WireError::new("endpoint name", name, name_fault))
}
