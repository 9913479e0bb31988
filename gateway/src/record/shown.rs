//! Texts and numbers of a line, and what is cut off or hidden of them.
//!
//! Limits: `LOGGED_FIELD_BYTES_MAX`, `LOGGED_TARGET_BYTES_MAX`.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderValue, Version};

use crate::limits;
use crate::record::account::{Account, Asked};
use crate::record::redacted;

/// Appends decimal digits.
pub(super) fn number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends exactly so many digits, the lowest ones.
pub(super) fn padded(out: &mut Vec<u8>, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        out.push(b'0' + (number / 10u64.pow(place) % 10) as u8);
    }
}

/// Appends microseconds with one digit behind the point.
pub(super) fn microseconds(out: &mut Vec<u8>, took: Duration) {
    let tenths = super::tenths_of_us(took);
    number(out, tenths / 10);
    out.push(b'.');
    padded(out, tenths % 10, 1);
}

/// A moment of the Gregorian calendar in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) year: u64,
    pub(super) month: u64,
    pub(super) day: u64,
    pub(super) hour: u64,
    pub(super) minute: u64,
    pub(super) second: u64,
    pub(super) microsecond: u64,
}

impl Moment {
    /// The date of a time. What lies before 1970 is shown as its beginning.
    pub(super) fn of(time: SystemTime) -> Moment {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        // Hinnant, "chrono-compatible low-level date algorithms"; years begin in March here.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        Moment {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
            microsecond: u64::from(since.subsec_micros()),
        }
    }
}

/// What a client says of itself, in one header.
pub(super) fn field(value: &HeaderValue) -> &[u8] {
    let bytes = value.as_bytes();
    &bytes[..bytes.len().min(limits::LOGGED_FIELD_BYTES_MAX)]
}

/// The referrer. One that is not ASCII is not a URL and is not shown: nobody could say what of it
/// is a credential.
pub(super) fn referer(asked: &Asked) -> Option<Cow<'_, str>> {
    let value = asked.referer.as_ref()?;
    let shown = value.to_str().map_or(Cow::Borrowed(redacted::HIDDEN), redacted::url);
    Some(cut(shown, limits::LOGGED_FIELD_BYTES_MAX))
}

/// Path and query of the target, credentials hidden.
pub(super) fn target(asked: &Asked) -> Cow<'_, str> {
    let path = redacted::path(asked.uri.path());
    let target = match asked.uri.query() {
        None => Cow::Borrowed(path),
        Some(query) => Cow::Owned(format!("{path}?{}", redacted::query(query))),
    };
    cut(target, limits::LOGGED_TARGET_BYTES_MAX)
}

/// The key as it was sent, unless there are credentials in it.
pub(super) fn key(account: &Account) -> Option<Cow<'_, str>> {
    let shown = redacted::path(account.key()?);
    Some(cut(Cow::Borrowed(shown), limits::LOGGED_TARGET_BYTES_MAX))
}

/// The bucket, or what stands in its place: a path's first part may be anything.
pub(super) fn bucket(account: &Account) -> Option<Cow<'_, str>> {
    let shown = redacted::path(account.bucket()?);
    Some(cut(Cow::Borrowed(shown), limits::LOGGED_FIELD_BYTES_MAX))
}

/// The host that was asked for.
pub(super) fn host(asked: &Asked) -> Option<Cow<'_, str>> {
    let host = asked.host()?;
    // An authority may have a user's name and password before its host.
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    Some(cut(Cow::Borrowed(host), limits::LOGGED_FIELD_BYTES_MAX))
}

/// `HTTP/1.1`.
pub(super) fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/3.0",
    }
}

fn cut(text: Cow<'_, str>, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text;
    }
    let end = text.floor_char_boundary(most);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_decimal() {
        assert_eq!(shown(|out| number(out, 0)), "0");
        assert_eq!(shown(|out| number(out, u64::MAX)), u64::MAX.to_string());
        assert_eq!(shown(|out| padded(out, 42, 6)), "000042");
        assert_eq!(shown(|out| microseconds(out, Duration::from_nanos(1_250_990))), "1250.9");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds| {
            let it = Moment::of(UNIX_EPOCH + Duration::from_secs(seconds));
            (it.year, it.month, it.day, it.hour, it.minute, it.second)
        };
        assert_eq!(at(0), (1970, 1, 1, 0, 0, 0));
        assert_eq!(at(951_782_399), (2000, 2, 28, 23, 59, 59));
        assert_eq!(at(951_782_400), (2000, 2, 29, 0, 0, 0));
        assert_eq!(at(1_767_225_599), (2025, 12, 31, 23, 59, 59));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut(Cow::Borrowed("aé"), 2), "a");
        assert_eq!(cut(Cow::Owned("abc".into()), 2), "ab");
        assert_eq!(cut(Cow::Borrowed("abc"), 3), "abc");
    }
}
