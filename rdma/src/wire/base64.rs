//! Owns base64 of a few bytes, padded and canonical: the bits that the last character has too many are zero, so each
//! value has one text (RFC 4648, 3.5).

use std::fmt;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Exactly `N` bytes; None for any other text. Bytes are at most 8 here, and never a multiple of 3.
pub(super) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let length = N.div_ceil(3) * 4;
    let padding = (3 - N % 3) % 3;
    let digits = text.strip_suffix(&"=="[..padding])?;
    if text.len() != length {
        return None;
    }
    let mut bytes = [0; N];
    let mut filled = bytes.iter_mut();
    let (mut buffer, mut bits) = (0u32, 0u32);
    for digit in digits.bytes() {
        buffer = buffer << 6 | u32::from(value(digit)?);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            *filled.next()? = (buffer >> bits) as u8;
            buffer &= (1 << bits) - 1;
        }
    }
    (buffer == 0 && filled.next().is_none()).then_some(bytes)
}

/// The text of these bytes.
pub(super) fn encode(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let buffer = at(0) << 16 | at(1) << 8 | at(2);
        let mut text = *b"====";
        for (index, digit) in text.iter_mut().take(group.len() + 1).enumerate() {
            *digit = ALPHABET[(buffer >> (18 - 6 * index) & 0x3f) as usize];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())?;
    }
    Ok(())
}

fn value(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}
