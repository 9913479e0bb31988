//! Owns: the forms of values that conditions compare: numbers, moments, addresses, booleans.

use std::net::IpAddr;

/// A number with or without a fraction.
pub(super) fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse().ok().filter(|value: &f64| plain && value.is_finite())
}

/// `true` or `false`, in any case.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Milliseconds since 1970 of a moment: a W3C date (`2013`, `2013-06`, `2013-06-30`,
/// `2013-06-30T00:00Z`, `2013-06-30T00:00:00.5+02:00`) or the seconds themselves.
pub(super) fn moment(text: &str) -> Option<i64> {
    if text.len() > 4 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<i64>().ok()?.checked_mul(1_000);
    }
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = parts.next().map_or(Some(1), |text| digits(text, 2))?;
    let day = parts.next().map_or(Some(1), |text| digits(text, 2))?;
    if parts.next().is_some() || (time.is_some() && date.len() != 10) {
        return None;
    }
    let of_day = time.map_or(Some(0), time_of_day)?;
    Some(days(year, month, day)? * 86_400_000 + of_day)
}

/// Milliseconds after midnight in UTC, which may be on another day.
fn time_of_day(text: &str) -> Option<i64> {
    let (clock, east) = match text.find(['Z', '+', '-']) {
        Some(at) if &text[at..] == "Z" => (&text[..at], 0),
        Some(at) if !text[at..].starts_with('Z') => {
            let (hours, minutes) = text[at + 1..].split_once(':')?;
            let offset = digits(hours, 2)? * 60 + digits(minutes, 2)?;
            (&text[..at], if text[at..].starts_with('-') { -offset } else { offset })
        }
        _ => return None,
    };
    let mut parts = clock.splitn(3, ':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let (second, fraction) = match parts.next() {
        None => (0, 0),
        Some(seconds) => {
            let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
            let shown = fraction.bytes().all(|byte| byte.is_ascii_digit()) && !fraction.is_empty();
            let fraction: String = fraction.chars().chain("00".chars()).take(3).collect();
            (digits(whole, 2)?, shown.then(|| fraction.parse::<i64>().ok())??)
        }
    };
    let fits = hour <= 23 && minute <= 59 && second <= 60;
    fits.then_some(((hour * 60 + minute - east) * 60 + second) * 1_000 + fraction)
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let plain = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// Days since 1970-01-01 (H. Hinnant's `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let of_month = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=of_month).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// A range of addresses, of either family; a single address is the range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    first: u128,
    /// Bits that count, of 128; of an IPv4 range 96 more than it is written with.
    bits: u8,
    v4: bool,
}

impl Network {
    /// Reads `203.0.113.0/24`, `2001:db8::/32` or an address.
    pub(super) fn parse(text: &str) -> Option<Network> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let v4 = address.is_ipv4();
        let most: u8 = if v4 { 32 } else { 128 };
        let length = match length {
            None => most,
            Some(text) if !text.bytes().all(|byte| byte.is_ascii_digit()) => return None,
            Some(text) => text.parse().ok().filter(|length| *length <= most)?,
        };
        let bits = if v4 { length + 96 } else { length };
        Some(Network { first: wide(address) & mask(bits), bits, v4 })
    }

    /// Whether the address is in it.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        address.to_canonical().is_ipv4() == self.v4 && wide(address) & mask(self.bits) == self.first
    }

    /// Whether it is so broad that Block Public Access takes it for the world: IPv4 wider than /8,
    /// IPv6 wider than /32.
    pub(super) fn is_broad(&self) -> bool {
        if self.v4 { self.bits < 96 + 8 } else { self.bits < 32 }
    }
}

/// IPv4 in its place in IPv6.
fn wide(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn mask(bits: u8) -> u128 {
    if bits == 0 { 0 } else { u128::MAX << (128 - u32::from(bits)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_all_forms() {
        let base = 1_372_550_400_000;
        for (text, expected) in [
            ("2013-06-30T00:00:00Z", Some(base)),
            ("2013-06-30T00:00Z", Some(base)),
            ("2013-06-30", Some(base)),
            ("2013-06", Some(base - 29 * 86_400_000)),
            ("2013", Some(1_356_998_400_000)),
            ("1372550400", Some(base)),
            ("2013-06-30T02:00:00.25+02:00", Some(base + 250)),
            ("2013-06-29T22:00:00-02:00", Some(base)),
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2012-02-29", Some(1_330_473_600_000)),
            ("2013-02-29", None),
            ("2013-13-01", None),
            ("2013-06-30T24:00:00Z", None),
            ("2013-06-30T00:00:00", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(moment(text), expected, "{text}");
        }
    }

    #[test]
    fn addresses_in_ranges() {
        for (network, address, expected) in [
            ("203.0.113.0/24", "203.0.113.255", true),
            ("203.0.113.0/24", "203.0.114.0", false),
            ("203.0.113.7", "203.0.113.7", true),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("203.0.113.9/24", "::ffff:203.0.113.1", true),
            ("2001:db8::/32", "2001:db8:1::5", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("::/0", "2001:db9::", true),
            ("::/0", "10.0.0.1", false),
            ("2001:db8::1", "2001:db8::1", true),
        ] {
            let parsed = Network::parse(network).unwrap();
            assert_eq!(parsed.contains(address.parse().unwrap()), expected, "{network} {address}");
        }
        for wrong in ["203.0.113.0/33", "203.0.113/24", "::/129", "10.0.0.0/", "*", "10.0.0.0/+8"] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
        assert!(Network::parse("10.0.0.0/7").unwrap().is_broad());
        assert!(!Network::parse("10.0.0.0/8").unwrap().is_broad());
        assert!(Network::parse("2001::/31").unwrap().is_broad());
    }

    #[test]
    fn numbers_and_booleans() {
        assert_eq!((number("10"), number("-1.5")), (Some(10.0), Some(-1.5)));
        for wrong in ["", "inf", "NaN", "ten", "1_0", "0x1"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
        assert_eq!(
            (boolean("TRUE"), boolean("false"), boolean("1")),
            (Some(true), Some(false), None)
        );
    }
}
