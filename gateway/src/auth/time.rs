//! Owns: the moments that requests state, read from their text without a time library.
//! Not here: any clock. `now` is always the caller's argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// A moment in the form that SigV4 signs: `YYYYMMDDTHHMMSSZ`, with its seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timestamp {
    text: [u8; 16],
    unix: i64,
}

impl Timestamp {
    /// Reads ISO 8601 basic form (`20130524T000000Z`), the only one `x-amz-date` may have.
    pub(super) fn from_iso(text: &[u8]) -> Option<Timestamp> {
        let text: [u8; 16] = text.try_into().ok()?;
        if text[8] != b'T' || text[15] != b'Z' {
            return None;
        }
        let (year, month, day) = (number(&text[0..4])?, number(&text[4..6])?, number(&text[6..8])?);
        let (hour, minute) = (number(&text[9..11])?, number(&text[11..13])?);
        let unix = seconds(year, month, day, hour, minute, number(&text[13..15])?)?;
        Some(Timestamp { text, unix })
    }

    /// Reads what a `Date` header may hold: an IMF-fixdate (RFC 9110 section 5.6.7,
    /// `Fri, 24 May 2013 00:00:00 GMT`; botocore writes `-0000` for the zone) or the ISO form, which
    /// some signers put there.
    pub(super) fn from_date_header(text: &[u8]) -> Option<Timestamp> {
        Timestamp::from_iso(text).or_else(|| Timestamp::from_imf_fixdate(text))
    }

    fn from_imf_fixdate(text: &[u8]) -> Option<Timestamp> {
        let zones: [&[u8]; 3] = [b" GMT", b" -0000", b" +0000"];
        let text = zones.iter().find_map(|zone| text.strip_suffix(*zone))?;
        let text: &[u8; 25] = text.try_into().ok()?;
        let punctuation =
            [(3, b','), (4, b' '), (7, b' '), (11, b' '), (16, b' '), (19, b':'), (22, b':')];
        if punctuation.iter().any(|&(at, byte)| text[at] != byte) {
            return None;
        }
        let month = MONTHS.iter().position(|name| name[..] == text[8..11])?;
        let month = i64::try_from(month).ok()? + 1;
        let (day, year) = (number(&text[5..7])?, number(&text[12..16])?);
        let (hour, minute, second) =
            (number(&text[17..19])?, number(&text[20..22])?, number(&text[23..25])?);
        let unix = seconds(year, month, day, hour, minute, second)?;
        let mut iso = *b"00000000T000000Z";
        iso[0..4].copy_from_slice(&text[12..16]);
        iso[4] = if month >= 10 { b'1' } else { b'0' };
        iso[5] = b'0' + u8::try_from(month % 10).ok()?;
        iso[6..8].copy_from_slice(&text[5..7]);
        iso[9..11].copy_from_slice(&text[17..19]);
        iso[11..13].copy_from_slice(&text[20..22]);
        iso[13..15].copy_from_slice(&text[23..25]);
        Some(Timestamp { text: iso, unix })
    }

    /// `YYYYMMDDTHHMMSSZ`.
    pub(super) fn text(&self) -> &[u8; 16] {
        &self.text
    }

    /// `YYYYMMDD`, the date that the credential scope must name.
    pub(super) fn date(&self) -> &[u8] {
        &self.text[..8]
    }

    /// Seconds since 1970-01-01.
    pub(super) fn unix(&self) -> i64 {
        self.unix
    }
}

/// Seconds since 1970-01-01 of the caller's clock; a clock before 1970 reads as 0.
pub(super) fn unix_seconds(now: SystemTime) -> i64 {
    now.duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// `2013-05-24T00:00:00Z`, as S3's error documents write moments.
pub(crate) fn display(unix: i64) -> String {
    let (days, of_day) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
    // Days to date by H. Hinnant's `civil_from_days`; the era is 400 years, 146,097 days.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'))
    })
}

/// Seconds since 1970 of a civil moment, `None` when there is no such moment.
fn seconds(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    // A leap second (60) may be stated by a correct clock.
    if day < 1 || day > days_of_month || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Date to days by H. Hinnant's `days_from_civil`.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    let days = era * 146_097 + of_era - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_name_the_same_moment() {
        let iso = Timestamp::from_iso(b"20130524T000000Z").expect("iso");
        assert_eq!(iso.unix(), 1_369_353_600);
        assert_eq!(Timestamp::from_date_header(b"Fri, 24 May 2013 00:00:00 GMT"), Some(iso));
        assert_eq!(Timestamp::from_date_header(b"20130524T000000Z"), Some(iso));
        let botocore = Timestamp::from_date_header(b"Fri, 24 May 2013 00:00:00 -0000");
        assert_eq!(botocore, Some(iso));
        let december = Timestamp::from_date_header(b"Tue, 31 Dec 2024 23:59:59 GMT").expect("imf");
        assert_eq!(december.text(), b"20241231T235959Z");
        assert_eq!(december.date(), b"20241231");
        assert_eq!(december.unix(), 1_735_689_599);
    }

    #[test]
    fn moments_that_do_not_exist_are_refused() {
        for text in [
            &b"20130229T000000Z"[..],
            b"20131301T000000Z",
            b"20130001T000000Z",
            b"20130524T240000Z",
            b"20130524T006000Z",
            b"20130524T000061Z",
            b"20130524 000000Z",
            b"20130524T000000z",
            b"20130524T00000Z",
            b"",
            b"2013-524T000000Z",
            b"Fri, 32 May 2013 00:00:00 GMT",
            b"Fri, 24 Mai 2013 00:00:00 GMT",
            b"Fri, 24 May 2013 00:00:00 CET",
        ] {
            assert_eq!(
                Timestamp::from_date_header(text),
                None,
                "{}",
                String::from_utf8_lossy(text)
            );
        }
        assert!(Timestamp::from_iso(b"20240229T000000Z").is_some());
    }

    proptest! {
        #[test]
        fn display_reverses_reading(unix in 0i64..4_102_444_800) {
            let shown = display(unix);
            let basic: String = shown.chars().filter(|c| !matches!(c, '-' | ':')).collect();
            prop_assert_eq!(Timestamp::from_iso(basic.as_bytes()).map(|t| t.unix()), Some(unix));
        }

        #[test]
        fn noise_never_panics(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Timestamp::from_date_header(&text);
        }
    }
}
