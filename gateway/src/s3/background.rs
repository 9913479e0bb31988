//! What work beside requests needs to know of a bucket: its lifecycle, who hears of its events, the tags and the sizes of
//! its objects as clients see them.

use std::fmt;

use datapath::{Bucket, BucketId, Found, LaneStore, Object, VersionId};

use super::lifecycle::Lifecycle;
use super::notification::Notification;
use super::ownership::BucketAttributes;
use super::refusal::Refusal;
use super::settings::kind;
use super::tags::Tags;
use super::versions;
use crate::crypt;
use crate::notify;

/// The settings of a bucket that has a lifecycle.
#[derive(Debug)]
pub struct Kept {
    /// Its rules.
    pub lifecycle: Lifecycle,
    /// Who hears of its events.
    pub notification: Option<Notification>,
    owner: Box<str>,
}

impl Kept {
    /// The bucket as events name it.
    pub fn place<'a>(&'a self, bucket: &'a Bucket) -> notify::Bucket<'a> {
        notify::Bucket { name: &bucket.name, owner: &self.owner }
    }
}

/// Why a bucket's settings cannot be had.
#[derive(Debug)]
pub struct BackgroundError(Refusal);

impl fmt::Display for BackgroundError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Refusal::Store(error) => error.fmt(out),
            Refusal::Damaged(what) => {
                write!(out, "{what} cannot be read; put it again, or run `penstock check`")
            }
            other => write!(out, "{other:?}"),
        }
    }
}

/// The settings of a bucket; none where it has no lifecycle.
///
/// # Errors
/// What the store meets, and settings that cannot be read.
pub fn kept(lane: &LaneStore, bucket: &Bucket) -> Result<Option<Kept>, BackgroundError> {
    let read = |kind| lane.setting(bucket.id, kind).map_err(|error| BackgroundError(error.into()));
    let Some(lifecycle) = read(kind::LIFECYCLE)? else {
        return Ok(None);
    };
    let lifecycle = Lifecycle::decode(&lifecycle).map_err(BackgroundError)?;
    let notification = read(kind::NOTIFICATION)?;
    let notification = notification.map(|bytes| Notification::decode(&bytes)).transpose();
    let owner = BucketAttributes::of(bucket).map_err(BackgroundError)?.owner.party.id;
    let notification = notification.map_err(BackgroundError)?;
    Ok(Some(Kept { lifecycle, notification, owner }))
}

/// Whether a version carries a tag. What is gone, or cannot be read, carries none.
pub fn has_tag(
    lane: &LaneStore,
    bucket: BucketId,
    key: &[u8],
    version: VersionId,
    name: &str,
    value: &str,
) -> bool {
    match lane.lookup(bucket, key, Some(version)) {
        Ok(Found::There(object)) => carries(&object, name, value),
        _ => false,
    }
}

/// Whether an object that was looked up carries a tag.
pub(super) fn carries(object: &Object, name: &str, value: &str) -> bool {
    Tags::decode(&object.tags).is_ok_and(|tags| tags.iter().any(|tag| tag == (name, value)))
}

/// Bytes of an object's content as its client sees them.
pub fn size(object: &Object) -> u64 {
    crypt::size(object)
}

/// A version as clients name it; none in a bucket that has never had versions.
pub fn version_text(bucket: &Bucket, version: VersionId) -> Option<String> {
    versions::said(bucket, version)
}
