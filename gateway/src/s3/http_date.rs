//! Owns the step between the store's milliseconds and the dates of headers and XML.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use s3s::dto::{Timestamp, TimestampFormat};

/// The last millisecond of the year 9999, the last one that a date's text can name.
const LAST_MS: u64 = 253_402_300_799_999;

/// For XML: to the millisecond.
pub(super) fn timestamp(ms: u64) -> Timestamp {
    Timestamp::from(UNIX_EPOCH + Duration::from_millis(ms.min(LAST_MS)))
}

/// What `Last-Modified` says: to the second. Conditions compare with this, since it is what the client has seen.
pub(super) fn whole_seconds(ms: u64) -> Timestamp {
    timestamp(ms.min(LAST_MS) / 1000 * 1000)
}

/// An IMF-fixdate (RFC 9110, 5.6.7).
pub(super) fn header(ms: u64) -> Option<HeaderValue> {
    let mut text = Vec::with_capacity(32);
    whole_seconds(ms).format(TimestampFormat::HttpDate, &mut text).ok()?;
    HeaderValue::from_bytes(&text).ok()
}

/// A date from a condition header; none, which means that the header is ignored (RFC 9110, 13.1.3), where it is not
/// an IMF-fixdate. The two obsolete forms count as such: no S3 client sends them.
pub(super) fn parse(value: &HeaderValue) -> Option<Timestamp> {
    Timestamp::parse(TimestampFormat::HttpDate, value.to_str().ok()?.trim()).ok()
}

/// ISO 8601 to the second, in UTC, of a time since 1970.
pub(super) fn iso(since_1970: Duration) -> String {
    let mut text = Vec::with_capacity(32);
    let ms = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
    // Writing into memory does not fail.
    let _ = whole_seconds(ms).format(TimestampFormat::DateTime, &mut text);
    String::from_utf8(text).unwrap_or_default().replace(".000Z", "Z")
}

/// The time since 1970 of an ISO 8601 text, to the second; none in one that is none, or names a time before.
pub(super) fn of_iso(text: &str) -> Option<Duration> {
    let at = Timestamp::parse(TimestampFormat::DateTime, text).ok()?;
    let mut seconds = Vec::with_capacity(32);
    at.format(TimestampFormat::EpochSeconds, &mut seconds).ok()?;
    let seconds = std::str::from_utf8(&seconds).ok()?;
    seconds.split('.').next()?.parse().ok().map(Duration::from_secs)
}

/// ISO 8601 to the millisecond, in UTC.
pub(super) fn iso_ms(ms: u64) -> String {
    let mut text = Vec::with_capacity(32);
    // Writing into memory does not fail.
    let _ = timestamp(ms).format(TimestampFormat::DateTime, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// Milliseconds since 1970; none of a time before.
pub(super) fn ms(at: &Timestamp) -> Option<u64> {
    let mut seconds = Vec::with_capacity(32);
    at.format(TimestampFormat::EpochSeconds, &mut seconds).ok()?;
    let seconds: f64 = std::str::from_utf8(&seconds).ok()?.parse().ok()?;
    let since_1970 = Duration::try_from_secs_f64(seconds).ok()? + Duration::from_micros(500);
    u64::try_from(since_1970.as_millis()).ok()
}

/// The same day and time that many years later, to the second; the 1st of March for a 29th of February that is not.
pub(super) fn years_later(ms: u64, years: u32) -> u64 {
    let now = iso(Duration::from_millis(ms));
    let Some((year, day)) = now.split_once('-') else { return u64::MAX };
    let year = year.parse().unwrap_or(9999_u32).saturating_add(years).min(9999);
    let of = |day: &str| of_iso(&format!("{year:04}-{day}"));
    let later = of(day).or_else(|| of(&day.replacen("02-29", "03-01", 1)));
    later.and_then(|later| u64::try_from(later.as_millis()).ok()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_return_and_years_are_of_the_calendar() {
        for at in [0, 520, 784_111_777_999, 1_893_456_000_001, LAST_MS] {
            assert_eq!(ms(&timestamp(at)), Some(at));
        }
        assert_eq!(iso_ms(784_111_777_999), "1994-11-06T08:49:37.999Z");
        let later = |text, years| {
            let at = of_iso(text).unwrap().as_millis() as u64;
            iso(Duration::from_millis(years_later(at, years)))
        };
        assert_eq!(later("2024-02-29T01:02:03Z", 4), "2028-02-29T01:02:03Z");
        assert_eq!(later("2024-02-29T01:02:03Z", 1), "2025-03-01T01:02:03Z");
        assert_eq!(later("9990-01-01T00:00:00Z", 100), "9999-01-01T00:00:00Z");
    }

    #[test]
    fn dates_round_to_seconds_and_never_overflow() {
        let value = header(784_111_777_999).unwrap();
        assert_eq!(value, "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(parse(&value), Some(whole_seconds(784_111_777_000)));
        assert_eq!(header(u64::MAX).unwrap(), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(parse(&HeaderValue::from_static("yesterday")), None);
        let at = Duration::from_secs(784_111_777);
        assert_eq!(iso(at), "1994-11-06T08:49:37Z");
        assert_eq!(of_iso("1994-11-06T08:49:37.500Z"), Some(at));
        assert_eq!(of_iso("1894-11-06T08:49:37Z"), None);
        assert_eq!(parse(&HeaderValue::from_bytes(b"\xff").unwrap()), None);
    }
}
