//! When so many days after a moment have passed. Amazon S3 rounds up to the next midnight UTC ("Lifecycle rules based on
//! an object's age"), and so do days of 24 hours here; days of another length, which are for tests, are not rounded.

use std::time::Duration;

use s3s::dto::Timestamp;

/// Milliseconds of a day.
pub const DAY_MS: u64 = 86_400_000;

/// The length of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calendar {
    day_ms: u64,
}

impl Calendar {
    /// Days of 24 hours.
    pub const DAYS: Calendar = Calendar { day_ms: DAY_MS };

    /// Days of that length; at least a millisecond.
    pub fn new(day: Duration) -> Calendar {
        Calendar { day_ms: u64::try_from(day.as_millis()).unwrap_or(DAY_MS).max(1) }
    }

    /// The length of a day.
    pub fn day(&self) -> Duration {
        Duration::from_millis(self.day_ms)
    }

    /// So many days after a moment, both in milliseconds of the epoch.
    pub fn after(&self, moment_ms: u64, days: u32) -> u64 {
        let at = moment_ms.saturating_add(self.day_ms.saturating_mul(days.into()));
        match self.day_ms {
            DAY_MS => at.div_ceil(DAY_MS).saturating_mul(DAY_MS),
            _ => at,
        }
    }
}

/// A date's milliseconds of the epoch; 0 before it.
pub fn milliseconds(date: &Timestamp) -> u64 {
    let since = time_of(date).duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn time_of(date: &Timestamp) -> std::time::SystemTime {
    let mut text = Vec::with_capacity(32);
    // The seconds of the epoch, with a fraction where there is one.
    let written = date.format(s3s::dto::TimestampFormat::EpochSeconds, &mut text);
    let seconds = std::str::from_utf8(&text).ok().and_then(|text| text.parse::<f64>().ok());
    let seconds = written.ok().and(seconds).unwrap_or_default().max(0.0);
    std::time::UNIX_EPOCH + Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_end_at_midnight() {
        let noon = DAY_MS / 2;
        assert_eq!(Calendar::DAYS.after(noon, 3), 4 * DAY_MS);
        assert_eq!(Calendar::DAYS.after(DAY_MS, 3), 4 * DAY_MS);
        assert_eq!(Calendar::DAYS.after(DAY_MS + 1, 0), 2 * DAY_MS);
        assert_eq!(Calendar::new(Duration::from_secs(86_400)), Calendar::DAYS);
        assert_eq!(Calendar::new(Duration::from_secs(10)).after(7, 3), 30_007);
        assert_eq!(Calendar::DAYS.after(u64::MAX, u32::MAX), u64::MAX, "never");
    }

    #[test]
    fn dates_are_milliseconds() {
        let parsed = Timestamp::parse(s3s::dto::TimestampFormat::DateTime, "2020-01-01T00:00:00Z");
        assert_eq!(milliseconds(&parsed.unwrap()), 1_577_836_800_000);
        let before = Timestamp::parse(s3s::dto::TimestampFormat::DateTime, "1950-01-01T00:00:00Z");
        assert_eq!(milliseconds(&before.unwrap()), 0);
    }
}
