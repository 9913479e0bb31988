//! Owns a bucket's settings as operations see them: read from the store and parsed once for each revision of the
//! bucket, and kept by the lane. Also the numbers under which the store keeps them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use datapath::{Bucket, BucketId, LaneStore};

use super::cors::Cors;
use super::lifecycle::Lifecycle;
use super::notification::Notification;
use super::refusal::Outcome;

/// The numbers of settings in the store. Never reused for another.
pub(super) mod kind {
    use datapath::SettingKind;

    /// CORS.
    pub(in crate::s3) const CORS: SettingKind = SettingKind(5);
    /// Lifecycle.
    pub(in crate::s3) const LIFECYCLE: SettingKind = SettingKind(6);
    /// Event notification.
    pub(in crate::s3) const NOTIFICATION: SettingKind = SettingKind(7);
    /// Default encryption.
    pub(in crate::s3) const ENCRYPTION: SettingKind = SettingKind(8);
    /// Tags of the bucket.
    pub(in crate::s3) const TAGGING: SettingKind = SettingKind(9);
}

/// A bucket's settings.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) cors: Option<Cors>,
    pub(super) lifecycle: Option<Lifecycle>,
    pub(super) notification: Option<Notification>,
}

/// What a lane keeps.
#[derive(Debug, Default)]
pub(super) struct SettingsCache {
    entries: RefCell<BTreeMap<BucketId, (u64, Rc<Settings>)>>,
}

impl SettingsCache {
    pub(super) fn find(&self, lane: &LaneStore, bucket: &Bucket) -> Outcome<Rc<Settings>> {
        if let Some((revision, settings)) = self.entries.borrow().get(&bucket.id)
            && *revision == bucket.revision
        {
            return Ok(Rc::clone(settings));
        }
        let raw = lane.settings(bucket.id)?;
        let find = |wanted| raw.iter().find(|(kind, _)| *kind == wanted).map(|(_, bytes)| bytes);
        let settings = Rc::new(Settings {
            cors: find(kind::CORS).map(|bytes| Cors::decode(bytes)).transpose()?,
            lifecycle: find(kind::LIFECYCLE).map(|bytes| Lifecycle::decode(bytes)).transpose()?,
            notification: find(kind::NOTIFICATION)
                .map(|bytes| Notification::decode(bytes))
                .transpose()?,
        });
        let entry = (bucket.revision, Rc::clone(&settings));
        self.entries.borrow_mut().insert(bucket.id, entry);
        Ok(settings)
    }
}
