//! Owns numbers as text: hexadecimal of a fixed or free width, and decimal.
//!
//! `str::parse` and `from_str_radix` are not enough: both take a leading `+`, and neither counts digits.

use super::{Fault, WireError};

/// Hexadecimal digits of a u64.
pub(super) const HEX_U64: usize = 16;

/// A number of 1 to 16 hexadecimal digits, leading zeros allowed, without a prefix: addresses and sizes of the protocols'
/// own headers.
///
/// # Errors
/// Empty, longer, or a character that is no digit.
pub fn parse_bare_hex(text: &str) -> Result<u64, WireError> {
    hex("hexadecimal number", text, 1, HEX_U64)
}

/// A remote key: 1 to 16 hexadecimal digits that fit 32 bits.
///
/// # Errors
/// As [`parse_bare_hex`], or more than 32 bits.
pub fn parse_rkey(text: &str) -> Result<u32, WireError> {
    let what = "remote key";
    narrow(what, text, hex(what, text, 1, HEX_U64)?)
}

/// A number of 1 to 20 decimal digits, leading zeros allowed, without a sign.
///
/// # Errors
/// Empty, longer, a character that is no digit, or more than 64 bits.
pub fn parse_decimal(text: &str) -> Result<u64, WireError> {
    const DIGITS: usize = 20; // of u64::MAX
    let refuse = |why| WireError::new("decimal number", text, why);
    if text.is_empty() {
        return Err(refuse(Fault::Empty));
    }
    if text.len() > DIGITS {
        return Err(refuse(Fault::Digits { least: 1, most: DIGITS }));
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refuse(Fault::NotDecimal));
    }
    text.parse().map_err(|_| refuse(Fault::TooLarge { most: u64::MAX }))
}

/// A number of `least` to `most` hexadecimal digits; `most` is 16 at most, so it always fits.
pub(super) fn hex(
    what: &'static str,
    text: &str,
    least: usize,
    most: usize,
) -> Result<u64, WireError> {
    debug_assert!(0 < least && least <= most && most <= HEX_U64);
    if text.is_empty() {
        return Err(WireError::new(what, text, Fault::Empty));
    }
    if !(least..=most).contains(&text.len()) {
        return Err(WireError::new(what, text, Fault::Digits { least, most }));
    }
    text.bytes().try_fold(0, |number, byte| {
        let digit =
            hex_digit(byte).ok_or_else(|| WireError::new(what, text, Fault::NotHexadecimal))?;
        Ok(number << 4 | u64::from(digit))
    })
}

/// A hexadecimal number of at most 8 digits, which always fits 32 bits.
pub(super) fn hex_u32(
    what: &'static str,
    text: &str,
    least: usize,
    most: usize,
) -> Result<u32, WireError> {
    narrow(what, text, hex(what, text, least, most)?)
}

/// Exactly `2 * N` hexadecimal digits as bytes.
pub(super) fn hex_bytes<const N: usize>(
    what: &'static str,
    text: &str,
) -> Result<[u8; N], WireError> {
    if text.is_empty() {
        return Err(WireError::new(what, text, Fault::Empty));
    }
    if text.len() != 2 * N {
        return Err(WireError::new(what, text, Fault::Digits { least: 2 * N, most: 2 * N }));
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let (Some(high), Some(low)) = (hex_digit(pair[0]), hex_digit(pair[1])) else {
            return Err(WireError::new(what, text, Fault::NotHexadecimal));
        };
        *byte = high << 4 | low;
    }
    Ok(bytes)
}

/// What a hexadecimal digit of either case stands for.
pub(super) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Whether the text is that many hexadecimal digits and nothing else.
pub(super) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The fields between colons, where there are exactly `N`.
pub(super) fn fields<const N: usize>(text: &str) -> Option<[&str; N]> {
    let mut fields = [""; N];
    let mut rest = text.split(':');
    for field in &mut fields {
        *field = rest.next()?;
    }
    rest.next().is_none().then_some(fields)
}

fn narrow(what: &'static str, text: &str, number: u64) -> Result<u32, WireError> {
    u32::try_from(number)
        .map_err(|_| WireError::new(what, text, Fault::TooLarge { most: u64::from(u32::MAX) }))
}
