//! Numbers of bytes and lengths of time as people write them.
//!
//! Owns: the two parsers and the two printers, which are each other's inverse.

use std::time::Duration;

const BYTE_UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kb", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1 << 20),
    ("mb", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1 << 30),
    ("gb", 1 << 30),
    ("gib", 1 << 30),
    ("t", 1 << 40),
    ("tb", 1 << 40),
    ("tib", 1 << 40),
];

/// Reads a number of bytes: `4096`, `512M`, `64GiB`, `1.5 GiB`. Units count in powers of 1,024
/// with and without the `i`, as `dd`, `fallocate` and `qemu` do; capitals do not matter.
///
/// # Errors
/// What is wrong, in a few words: an unknown unit, no number, not whole bytes, over 2^64.
pub fn parse_bytes(text: &str) -> Result<u64, &'static str> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim().to_ascii_lowercase();
    let factor = BYTE_UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, factor)| *factor)
        .ok_or("the unit is not one of B, K, M, G, T (or KiB, MiB, GiB, TiB)")?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || number.ends_with('.') {
        return Err("not a number of bytes");
    }
    let whole: u64 = whole.parse().map_err(|_| "more bytes than 64 bits can count")?;
    let whole = whole.checked_mul(factor).ok_or("more bytes than 64 bits can count")?;
    whole.checked_add(fraction_of(fraction, factor)?).ok_or("more bytes than 64 bits can count")
}

/// The bytes of a decimal fraction of a unit, rounded down; a fraction of a single byte is refused.
fn fraction_of(digits: &str, factor: u64) -> Result<u64, &'static str> {
    if digits.is_empty() {
        return Ok(0);
    }
    if digits.len() > 9 {
        return Err("more than nine digits after the point");
    }
    let numerator: u128 = digits.parse().map_err(|_| "not a number of bytes")?;
    let denominator = 10u128.pow(digits.len() as u32);
    let product = numerator * u128::from(factor);
    if factor == 1 && product != 0 {
        return Err("not a whole number of bytes");
    }
    Ok((product / denominator) as u64)
}

/// Prints bytes in the largest unit that divides them: `512MiB`, `1536MiB`, `1000B`.
pub fn print_bytes(bytes: u64) -> String {
    for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes != 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

/// Reads a length of time: `30s`, `500ms`, `2m`, `1h`. A number without unit is refused, since
/// seconds and milliseconds are both usual.
///
/// # Errors
/// What is wrong, in a few words.
pub fn parse_time(text: &str) -> Result<Duration, &'static str> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| "not a length of time")?;
    let milliseconds: u64 = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "" => return Err("the unit is missing"),
        _ => return Err("the unit is not one of ms, s, m, h"),
    };
    let total = number.checked_mul(milliseconds).ok_or("longer than 64 bits can count")?;
    Ok(Duration::from_millis(total))
}

/// Prints a length of time in the largest unit that divides it: `30s`, `1500ms`, `2m`.
pub fn print_time(time: Duration) -> String {
    let milliseconds = time.as_millis();
    for (unit, factor) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if milliseconds != 0 && milliseconds.is_multiple_of(factor) {
            return format!("{}{unit}", milliseconds / factor);
        }
    }
    format!("{milliseconds}ms")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("512M", 512 << 20),
            ("512m", 512 << 20),
            ("64GiB", 64 << 30),
            ("64 GiB", 64 << 30),
            ("1.5GiB", 3 << 29),
            ("2TB", 2 << 40),
            ("10KB", 10 << 10),
            ("17b", 17),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_number_of_bytes() {
        for text in
            ["", "M", "-1", "1,5G", "12X", "1..5G", "1.5.5G", "1.", ".5G", "1.5", "0x10", "1e9"]
        {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
        assert!(parse_bytes("99999999999999999999").is_err());
        assert!(parse_bytes("17179869184G").is_err());
    }

    #[test]
    fn times_as_people_write_them() {
        assert_eq!(parse_time("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_time("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_time("1 h"), Ok(Duration::from_secs(3600)));
        for text in ["", "30", "s", "-1s", "1.5s", "3 days", "99999999999999999999s"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn printed_bytes_read_back(bytes: u64) {
            prop_assert_eq!(parse_bytes(&print_bytes(bytes)), Ok(bytes));
        }

        #[test]
        fn printed_times_read_back(milliseconds in 0u64..1 << 50) {
            let time = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse_time(&print_time(time)), Ok(time));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = parse_bytes(&text);
            let _ = parse_time(&text);
        }
    }
}
