//! Owns how objects are locked while they are made and how that is shown: the headers `x-amz-object-lock-*`, and the
//! bucket's default retention.
//!
//! The default is kept as `mode unit count`: u8 1 = governance or 2 = compliance; u8 1 = days or 2 = years; u32,
//! little-endian.
//!
//! Not here: the operations that set and show locks (`lock_operations`), what a lock forbids (the store).

use std::time::{SystemTime, UNIX_EPOCH};

use datapath::{Bucket, Lock, Object, Retention, RetentionMode};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};

use super::access::Target;
use super::describe::Description;
use super::intake::Promises;
use super::limits::{RETENTION_DAYS_MAX, RETENTION_YEARS_MAX};
use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use super::{http_date, versions};
use crate::lifecycle::calendar::DAY_MS;

const MODE: HeaderName = HeaderName::from_static("x-amz-object-lock-mode");
const UNTIL: HeaderName = HeaderName::from_static("x-amz-object-lock-retain-until-date");
const HOLD: HeaderName = HeaderName::from_static("x-amz-object-lock-legal-hold");

/// A bucket that was not made for locks.
pub(super) const NO_LOCKS: &str = "Bucket is missing Object Lock Configuration";

/// What an object gets whose request says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DefaultRetention {
    /// How strict.
    pub(super) mode: RetentionMode,
    /// For how long.
    pub(super) period: Period,
}

/// How long objects are retained from when they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Period {
    /// Of 24 hours.
    Days(u32),
    /// Of the calendar.
    Years(u32),
}

impl Period {
    /// What a document says.
    ///
    /// # Errors
    /// MalformedXML for neither and for both, InvalidRetentionPeriod for no time and for more than 100 years.
    pub(super) fn of(days: Option<i32>, years: Option<i32>) -> Outcome<Self> {
        let (count, max, make): (i32, u32, fn(u32) -> Self) = match (days, years) {
            (Some(days), None) => (days, RETENTION_DAYS_MAX, Self::Days),
            (None, Some(years)) => (years, RETENTION_YEARS_MAX, Self::Years),
            _ => return Err(Refusal::MalformedXml("a DefaultRetention has either Days or Years")),
        };
        match u32::try_from(count) {
            Err(_) | Ok(0) => Err(Refusal::InvalidRetentionPeriod(
                "Default retention period must be a positive integer value.",
            )),
            Ok(count) if count > max => Err(Refusal::InvalidRetentionPeriod(
                "Default retention period too large: 36500 days or 100 years are the most.",
            )),
            Ok(count) => Ok(make(count)),
        }
    }
}

impl DefaultRetention {
    /// As the store keeps it.
    pub(super) fn encode(self) -> Vec<u8> {
        let (unit, count) = match self.period {
            Period::Days(count) => (1, count),
            Period::Years(count) => (2, count),
        };
        let mode = match self.mode {
            RetentionMode::Governance => 1,
            RetentionMode::Compliance => 2,
        };
        let mut bytes = vec![mode, unit];
        bytes.extend(count.to_le_bytes());
        bytes
    }

    /// Reads what [`Self::encode`] has written.
    ///
    /// # Errors
    /// Damaged for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Outcome<Self> {
        let damaged = Refusal::Damaged("default retention");
        let [mode, unit, count @ ..] = bytes else { return Err(damaged) };
        let Ok(count) = count.try_into().map(u32::from_le_bytes) else { return Err(damaged) };
        let mode = match mode {
            1 => RetentionMode::Governance,
            2 => RetentionMode::Compliance,
            _ => return Err(damaged),
        };
        let period = match unit {
            1 => Period::Days(count),
            2 => Period::Years(count),
            _ => return Err(damaged),
        };
        Ok(Self { mode, period })
    }

    fn starting(self, now_ms: u64) -> Retention {
        let until_ms = match self.period {
            Period::Days(days) => now_ms.saturating_add(u64::from(days) * DAY_MS),
            Period::Years(years) => http_date::years_later(now_ms, years),
        };
        Retention { mode: self.mode, until_ms }
    }
}

/// The server's clock, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A mode by its name.
pub(super) fn mode_named(name: &str) -> Option<RetentionMode> {
    match name {
        "GOVERNANCE" => Some(RetentionMode::Governance),
        "COMPLIANCE" => Some(RetentionMode::Compliance),
        _ => None,
    }
}

/// Its name.
pub(super) fn mode_name(mode: RetentionMode) -> &'static str {
    match mode {
        RetentionMode::Governance => "GOVERNANCE",
        RetentionMode::Compliance => "COMPLIANCE",
    }
}

/// Whether a request that makes an object says how it is to be locked.
fn asks(headers: &HeaderMap) -> bool {
    [MODE, UNTIL, HOLD].iter().any(|name| headers.get(name).is_some_and(|it| !it.is_empty()))
}

/// "Content-MD5 or x-amz-checksum- is required for requests with object lock parameters."
///
/// # Errors
/// InvalidRequest.
pub(super) fn check_vouched(headers: &HeaderMap, promises: &Promises) -> Outcome<()> {
    if promises.vouches() || !asks(headers) {
        return Ok(());
    }
    let why = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock \
               parameters";
    Err(Refusal::InvalidRequest(why.to_owned()))
}

/// How an object that a request makes is locked: as its headers say, else by the bucket's default.
///
/// # Errors
/// InvalidRequest in a bucket without locks; InvalidArgument for a mode without a date, a date without a mode, a date
/// that is past, and what is neither mode, date nor status.
pub(super) fn of_request(
    operations: &Operations,
    headers: &HeaderMap,
    bucket: &Bucket,
) -> Outcome<Lock> {
    if !asks(headers) {
        let mut lock = Lock::default();
        by_default(operations, bucket, &mut lock)?;
        return Ok(lock);
    }
    if !bucket.locking {
        return Err(Refusal::InvalidRequest(NO_LOCKS.to_owned()));
    }
    let mut lock = asked(headers, now_ms())?;
    by_default(operations, bucket, &mut lock)?;
    Ok(lock)
}

/// Gives an object without a retention the bucket's default one, from now on.
///
/// # Errors
/// Damaged, and what the store meets.
pub(super) fn by_default(operations: &Operations, bucket: &Bucket, lock: &mut Lock) -> Outcome<()> {
    if bucket.locking && lock.retention.is_none() {
        let default = operations.bucket_settings(bucket)?.lock_default;
        lock.retention = default.map(|default| default.starting(now_ms()));
    }
    Ok(())
}

fn asked(headers: &HeaderMap, now_ms: u64) -> Outcome<Lock> {
    let refused = |why: &str| Refusal::InvalidArgument(why.to_owned());
    let text = |name: HeaderName| {
        let value = headers.get(name).filter(|value| !value.is_empty());
        value.map(|value| value.to_str().unwrap_or_default())
    };
    let legal_hold = match text(HOLD) {
        None | Some("OFF") => false,
        Some("ON") => true,
        Some(_) => return Err(refused("Legal Hold must be either of 'ON' or 'OFF'")),
    };
    let retention = match (text(MODE), text(UNTIL)) {
        (None, None) => None,
        (Some(mode), Some(date)) => {
            let mode = mode_named(mode).ok_or_else(|| refused("Unknown wormMode directive."))?;
            let until = http_date::of_iso(date).ok_or_else(|| {
                refused("The retain until date must be provided in ISO 8601 format")
            })?;
            let until_ms = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
            check_future(until_ms, now_ms)?;
            Some(Retention { mode, until_ms })
        }
        _ => {
            let why = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied";
            return Err(refused(why));
        }
    };
    Ok(Lock { retention, legal_hold })
}

/// # Errors
/// InvalidArgument.
pub(super) fn check_future(until_ms: u64, now_ms: u64) -> Outcome<()> {
    if until_ms > now_ms {
        return Ok(());
    }
    Err(Refusal::InvalidArgument("The retain until date must be in the future!".to_owned()))
}

/// Adds an object's lock to what is said of it, as far as the caller may know: "this header is only returned if the
/// requester has the s3:GetObjectRetention permission", and `s3:GetObjectLegalHold` for the hold.
pub(super) fn tell(
    operations: &Operations,
    extensions: &Extensions,
    (bucket, key): (&Bucket, &str),
    object: &Object,
    described: &mut Description,
) {
    if object.lock == Lock::default() {
        return;
    }
    let version = versions::said(bucket, object.version);
    let target = Target { bucket: &bucket.name, key: Some(key), version: version.as_deref() };
    let may = |action| operations.authorize(extensions, action, target).is_ok();
    if let Some(retention) = object.lock.retention
        && may("s3:GetObjectRetention")
        && let Ok(until) = HeaderValue::try_from(http_date::iso_ms(retention.until_ms))
    {
        described.headers.insert(MODE, HeaderValue::from_static(mode_name(retention.mode)));
        described.headers.insert(UNTIL, until);
    }
    if object.lock.legal_hold && may("s3:GetObjectLegalHold") {
        described.headers.insert(HOLD, HeaderValue::from_static("ON"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn of(pairs: &[(&'static str, &'static str)]) -> Outcome<Lock> {
        let headers = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        asked(&headers, NOW_MS)
    }

    #[test]
    fn a_mode_and_a_date_go_together_and_the_date_is_to_come() {
        let (mode, until, hold) = (
            "x-amz-object-lock-mode",
            "x-amz-object-lock-retain-until-date",
            "x-amz-object-lock-legal-hold",
        );
        let lock =
            of(&[(mode, "GOVERNANCE"), (until, "2030-01-01T00:00:00Z"), (hold, "ON")]).unwrap();
        let retention = Retention { mode: RetentionMode::Governance, until_ms: 1_893_456_000_000 };
        assert_eq!(lock, Lock { retention: Some(retention), legal_hold: true });
        assert_eq!(of(&[(hold, "OFF")]).unwrap(), Lock::default());
        for pairs in [
            &[(mode, "GOVERNANCE")][..],
            &[(until, "2030-01-01T00:00:00Z")],
            &[(mode, "governance"), (until, "2030-01-01T00:00:00Z")],
            &[(mode, "COMPLIANCE"), (until, "2020-01-01T00:00:00Z")],
            &[(mode, "COMPLIANCE"), (until, "tomorrow")],
            &[(hold, "on")],
        ] {
            assert!(matches!(of(pairs), Err(Refusal::InvalidArgument(_))), "{pairs:?}");
        }
    }

    #[test]
    fn a_default_is_days_or_years_of_the_calendar() {
        let malformed = |it| matches!(it, Err(Refusal::MalformedXml(_)));
        assert!(malformed(Period::of(None, None)) && malformed(Period::of(Some(1), Some(1))));
        let refused = |it| matches!(it, Err(Refusal::InvalidRetentionPeriod(_)));
        assert!(refused(Period::of(Some(0), None)) && refused(Period::of(None, Some(-1))));
        assert!(refused(Period::of(Some(36_501), None)) && refused(Period::of(None, Some(101))));
        for period in [Period::of(Some(36_500), None), Period::of(None, Some(100))] {
            let default =
                DefaultRetention { mode: RetentionMode::Compliance, period: period.unwrap() };
            assert_eq!(DefaultRetention::decode(&default.encode()).unwrap(), default);
        }
        for bytes in [&b""[..], &[1, 1], &[3, 1, 1, 0, 0, 0], &[1, 3, 1, 0, 0, 0]] {
            assert!(matches!(DefaultRetention::decode(bytes), Err(Refusal::Damaged(_))));
        }
        let until = |period| {
            DefaultRetention { mode: RetentionMode::Governance, period }.starting(NOW_MS).until_ms
        };
        assert_eq!(until(Period::Days(2)), NOW_MS + 2 * 86_400_000);
        // 2023-11-14 to 2024-11-14: with a 29th of February.
        assert_eq!(until(Period::Years(1)), NOW_MS + 366 * 86_400_000);
    }
}
