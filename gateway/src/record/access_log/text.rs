//! Numbers and dates of a line.
//!
//! *Not here*: texts that clients send (`record::shown`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
}
