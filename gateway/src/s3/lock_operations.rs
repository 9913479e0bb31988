//! Put- and GetObjectLockConfiguration, Put- and GetObjectRetention, Put- and GetObjectLegalHold.
//!
//! Not here: locks in the headers of requests that make objects (`lock`), what a lock forbids (the store).

use bytes::Bytes;
use datapath::{Annotation, Bucket, Object, Retention, Versioning};
use http::Extensions;
use s3s::dto::{
    self, GetObjectLegalHoldInput, GetObjectLegalHoldOutput, GetObjectLockConfigurationInput,
    GetObjectLockConfigurationOutput, GetObjectRetentionInput, GetObjectRetentionOutput,
    ObjectLockConfiguration, ObjectLockEnabled, ObjectLockLegalHold, ObjectLockLegalHoldStatus,
    ObjectLockRetention, ObjectLockRetentionMode, ObjectLockRule, PutObjectLegalHoldInput,
    PutObjectLegalHoldOutput, PutObjectLockConfigurationInput, PutObjectLockConfigurationOutput,
    PutObjectRetentionInput, PutObjectRetentionOutput,
};
use s3s::{S3Request, S3Response};

use super::lock::{
    DefaultRetention, NO_LOCKS, Period, check_future, mode_name, mode_named, now_ms,
};
use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use super::settings::kind;
use super::{http_date, versions};
use crate::metrics::Stage;
use crate::record::Laps;

const NO_CONFIGURATION: Refusal = Refusal::NoSuchSetting {
    code: "ObjectLockConfigurationNotFoundError",
    message: "Object Lock configuration does not exist for this bucket",
};

const NO_LOCK: Refusal = Refusal::NoSuchSetting {
    code: "NoSuchObjectLockConfiguration",
    message: "The specified object does not have a ObjectLock configuration",
};

/// That the bucket locks objects, and for how long by default.
pub(super) async fn get_configuration(
    operations: &Operations,
    mut request: S3Request<GetObjectLockConfigurationInput>,
) -> Outcome<S3Response<GetObjectLockConfigurationOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let bucket = operations.bucket_for(&mut request.extensions, &request.input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    if !bucket.locking {
        return Err(NO_CONFIGURATION);
    }
    let rule = operations.bucket_settings(&bucket)?.lock_default.map(|default| {
        let (days, years) = match default.period {
            Period::Days(days) => (i32::try_from(days).ok(), None),
            Period::Years(years) => (None, i32::try_from(years).ok()),
        };
        let mode = Some(ObjectLockRetentionMode::from_static(mode_name(default.mode)));
        ObjectLockRule { default_retention: Some(dto::DefaultRetention { days, mode, years }) }
    });
    let enabled = Some(ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED));
    let configuration = ObjectLockConfiguration { object_lock_enabled: enabled, rule };
    let output =
        GetObjectLockConfigurationOutput { object_lock_configuration: Some(configuration) };
    Ok(S3Response::new(output))
}

/// Sets the default, and lets a bucket that is versioned lock objects from now on; for good.
pub(super) async fn put_configuration(
    operations: &Operations,
    mut request: S3Request<PutObjectLockConfigurationInput>,
) -> Outcome<S3Response<PutObjectLockConfigurationOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let default = default_asked(input.object_lock_configuration)?;
    if bucket.versioning != Versioning::Enabled {
        return Err(Refusal::InvalidBucketState(
            "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration",
        ));
    }
    if !bucket.locking {
        operations.lane().enable_locking(bucket.id).await?;
    }
    let kept = default.map(|default| Bytes::from(default.encode()));
    let set = operations.lane().set_setting(bucket.id, kind::LOCK_DEFAULT, kept).await;
    laps.ends(Stage::Commit, set)?;
    Ok(S3Response::new(PutObjectLockConfigurationOutput::default()))
}

/// # Errors
/// MalformedXML, InvalidRetentionPeriod.
fn default_asked(
    configuration: Option<ObjectLockConfiguration>,
) -> Outcome<Option<DefaultRetention>> {
    let configuration =
        configuration.ok_or(Refusal::MalformedXml("there is no ObjectLockConfiguration"))?;
    let enabled = configuration.object_lock_enabled;
    if enabled.is_none_or(|enabled| enabled.as_str() != ObjectLockEnabled::ENABLED) {
        return Err(Refusal::MalformedXml("ObjectLockEnabled is Enabled"));
    }
    let Some(rule) = configuration.rule else {
        return Ok(None);
    };
    let default =
        rule.default_retention.ok_or(Refusal::MalformedXml("a Rule has a DefaultRetention"))?;
    let mode = default.mode.as_ref().and_then(|mode| mode_named(mode.as_str()));
    let mode = mode.ok_or(Refusal::MalformedXml("Mode is GOVERNANCE or COMPLIANCE"))?;
    let period = Period::of(default.days, default.years)?;
    Ok(Some(DefaultRetention { mode, period }))
}

/// # Errors
/// InvalidRequest.
fn check_locks(bucket: &Bucket) -> Outcome<()> {
    if bucket.locking { Ok(()) } else { Err(Refusal::InvalidRequest(NO_LOCKS.to_owned())) }
}

fn find(
    operations: &Operations,
    extensions: &Extensions,
    bucket: &Bucket,
    key: &str,
    version: Option<&str>,
) -> Outcome<Object> {
    check_locks(bucket)?;
    let version = versions::named(version)?;
    let found = operations.lane().lookup(bucket.id, key.as_bytes(), version)?;
    versions::there(found, version, extensions)
}

/// Until when a version stays.
pub(super) async fn get_retention(
    operations: &Operations,
    mut request: S3Request<GetObjectRetentionInput>,
) -> Outcome<S3Response<GetObjectRetentionOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket)?;
    let version = input.version_id.as_deref();
    let object = find(operations, &request.extensions, &bucket, &input.key, version);
    let retention = laps.ends(Stage::Index, object)?.lock.retention.ok_or(NO_LOCK)?;
    let retention = ObjectLockRetention {
        mode: Some(ObjectLockRetentionMode::from_static(mode_name(retention.mode))),
        retain_until_date: Some(http_date::timestamp(retention.until_ms)),
    };
    Ok(S3Response::new(GetObjectRetentionOutput { retention: Some(retention) }))
}

/// Sets or lifts it, as far as the one before lets.
pub(super) async fn put_retention(
    operations: &Operations,
    mut request: S3Request<PutObjectRetentionInput>,
) -> Outcome<S3Response<PutObjectRetentionOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    check_locks(&bucket)?;
    let retention = retention_asked(input.retention, now_ms())?;
    // Who bypasses has been found to be allowed to.
    let bypass_governance = input.bypass_governance_retention.unwrap_or(false);
    let annotation = Annotation::Retention { retention, bypass_governance };
    let version = versions::named(input.version_id.as_deref())?;
    let key = Bytes::from(input.key);
    let annotated = operations.lane().annotate(bucket.id, key.clone(), version, annotation).await;
    laps.lap(Stage::Commit);
    let place = (bucket.id, &key[..]);
    versions::annotated(operations, &request.extensions, place, version, annotated)?;
    Ok(S3Response::new(PutObjectRetentionOutput::default()))
}

/// # Errors
/// MalformedXML for half a retention and for an unknown mode; InvalidArgument for a date that is past.
fn retention_asked(
    retention: Option<ObjectLockRetention>,
    now_ms: u64,
) -> Outcome<Option<Retention>> {
    let retention = retention.ok_or(Refusal::MalformedXml("there is no Retention"))?;
    let (mode, date) = match (retention.mode, retention.retain_until_date) {
        (None, None) => return Ok(None),
        (Some(mode), Some(date)) => (mode, date),
        _ => return Err(Refusal::MalformedXml("a Retention has both Mode and RetainUntilDate")),
    };
    let mode = mode_named(mode.as_str());
    let mode = mode.ok_or(Refusal::MalformedXml("Mode is GOVERNANCE or COMPLIANCE"))?;
    let until_ms = http_date::ms(&date).unwrap_or(0);
    check_future(until_ms, now_ms)?;
    Ok(Some(Retention { mode, until_ms }))
}

/// Whether there is a legal hold; none was ever set counts as off.
pub(super) async fn get_hold(
    operations: &Operations,
    mut request: S3Request<GetObjectLegalHoldInput>,
) -> Outcome<S3Response<GetObjectLegalHoldOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket)?;
    let version = input.version_id.as_deref();
    let object = find(operations, &request.extensions, &bucket, &input.key, version);
    let status = match laps.ends(Stage::Index, object)?.lock.legal_hold {
        true => ObjectLockLegalHoldStatus::ON,
        false => ObjectLockLegalHoldStatus::OFF,
    };
    let status = Some(ObjectLockLegalHoldStatus::from_static(status));
    let output = GetObjectLegalHoldOutput { legal_hold: Some(ObjectLockLegalHold { status }) };
    Ok(S3Response::new(output))
}

/// Sets or lifts it.
pub(super) async fn put_hold(
    operations: &Operations,
    mut request: S3Request<PutObjectLegalHoldInput>,
) -> Outcome<S3Response<PutObjectLegalHoldOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    check_locks(&bucket)?;
    let status = input.legal_hold.and_then(|hold| hold.status);
    let on = match status.as_ref().map(ObjectLockLegalHoldStatus::as_str) {
        Some(ObjectLockLegalHoldStatus::ON) => true,
        Some(ObjectLockLegalHoldStatus::OFF) => false,
        _ => return Err(Refusal::MalformedXml("Status is ON or OFF")),
    };
    let version = versions::named(input.version_id.as_deref())?;
    let key = Bytes::from(input.key);
    let hold = Annotation::LegalHold(on);
    let annotated = operations.lane().annotate(bucket.id, key.clone(), version, hold).await;
    laps.lap(Stage::Commit);
    let place = (bucket.id, &key[..]);
    versions::annotated(operations, &request.extensions, place, version, annotated)?;
    Ok(S3Response::new(PutObjectLegalHoldOutput::default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datapath::RetentionMode;

    fn default(mode: &'static str, days: Option<i32>) -> Option<ObjectLockConfiguration> {
        let default = dto::DefaultRetention {
            days,
            mode: Some(ObjectLockRetentionMode::from_static(mode)),
            years: None,
        };
        Some(ObjectLockConfiguration {
            object_lock_enabled: Some(ObjectLockEnabled::from_static("Enabled")),
            rule: Some(ObjectLockRule { default_retention: Some(default) }),
        })
    }

    #[test]
    fn a_configuration_is_enabled_and_its_rule_whole() {
        let malformed = |it| matches!(default_asked(it), Err(Refusal::MalformedXml(_)));
        let period = Period::Days(3);
        assert_eq!(
            default_asked(default("COMPLIANCE", Some(3))).unwrap(),
            Some(DefaultRetention { mode: RetentionMode::Compliance, period })
        );
        assert!(
            malformed(default("compliance", Some(3))) && malformed(default("GOVERNANCE", None))
        );
        let with = |enabled: Option<&'static str>, rule| {
            let object_lock_enabled = enabled.map(ObjectLockEnabled::from_static);
            Some(ObjectLockConfiguration { object_lock_enabled, rule })
        };
        assert_eq!(default_asked(with(Some("Enabled"), None)).unwrap(), None);
        let hollow = Some(ObjectLockRule { default_retention: None });
        assert!(malformed(None) && malformed(with(None, None)));
        assert!(
            malformed(with(Some("Disabled"), None)) && malformed(with(Some("Enabled"), hollow))
        );
    }

    #[test]
    fn a_retention_is_whole_and_to_come_or_none() {
        let of = |mode: Option<&'static str>, until_ms: Option<u64>| {
            let mode = mode.map(ObjectLockRetentionMode::from_static);
            let retain_until_date = until_ms.map(http_date::timestamp);
            retention_asked(Some(ObjectLockRetention { mode, retain_until_date }), 1000)
        };
        assert_eq!(of(None, None).unwrap(), None);
        let retention = Retention { mode: RetentionMode::Governance, until_ms: 1520 };
        assert_eq!(of(Some("GOVERNANCE"), Some(1520)).unwrap(), Some(retention));
        assert!(matches!(of(Some("GOVERNANCE"), Some(1000)), Err(Refusal::InvalidArgument(_))));
        for (mode, until) in
            [(Some("GOVERNANCE"), None), (None, Some(2000)), (Some("abc"), Some(2000))]
        {
            assert!(matches!(of(mode, until), Err(Refusal::MalformedXml(_))));
        }
    }
}
