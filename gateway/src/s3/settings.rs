//! Owns a bucket's settings as operations see them: read from the store and parsed once for each revision of the
//! bucket, and kept by the lane. Also the numbers under which the store keeps them.
//!
//! A lane keeps at most [`SETTINGS_CACHED_MAX`] buckets' settings, [`POLICIES_CACHED_MAX`] of them with a policy; what was
//! used longest ago goes. Only a request that finds nothing pays for looking for it.
//!
//! Not here: what each setting means and its bytes (`acl`, `ownership`, `public_access`, `crate::iam::policy` and the
//! other settings' own files).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use datapath::{Bucket, BucketId, LaneStore, SettingKind};

use super::acl::{Acl, Party};
use super::cors::Cors;
use super::encryption_default::DefaultEncryption;
use super::lifecycle::Lifecycle;
use super::limits::{POLICIES_CACHED_MAX, SETTINGS_CACHED_MAX};
use super::lock::DefaultRetention;
use super::notification::Notification;
use super::ownership::{BucketAttributes, BucketOwner, Ownership};
use super::policy_operations;
use super::public_access::PublicAccess;
use super::refusal::{Outcome, Refusal};
use crate::iam::Caller;
use crate::iam::policy::{self, Policy};

/// The numbers of settings in the store. Never reused for another.
pub(super) mod kind {
    use datapath::SettingKind;

    /// The bucket policy: JSON as it was sent.
    pub(in crate::s3) const POLICY: SettingKind = SettingKind(1);
    /// The bucket's ACL: [`super::Acl::encode`].
    pub(in crate::s3) const ACL: SettingKind = SettingKind(2);
    /// Object Ownership: its name.
    pub(in crate::s3) const OWNERSHIP: SettingKind = SettingKind(3);
    /// Public Access Block: one byte.
    pub(in crate::s3) const PUBLIC_ACCESS: SettingKind = SettingKind(4);
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
    /// Object lock: the default retention.
    pub(in crate::s3) const LOCK_DEFAULT: SettingKind = SettingKind(10);
}

/// A bucket's settings.
#[derive(Debug)]
pub(super) struct Settings {
    /// Whose it is.
    pub(super) owner: BucketOwner,
    /// What its policy says, with what the configuration adds to it.
    pub(super) policy: Option<BucketPolicy>,
    /// Its ACL; none is private.
    pub(super) acl: Option<Acl>,
    /// Object Ownership, where it was set.
    pub(super) ownership: Option<Ownership>,
    /// Public Access Block, where it was set.
    pub(super) public_access: Option<PublicAccess>,
    /// CORS, where it was set.
    pub(super) cors: Option<Cors>,
    /// The lifecycle, where it was set.
    pub(super) lifecycle: Option<Lifecycle>,
    /// How objects are encrypted by default, where it was set.
    pub(super) encryption: Option<DefaultEncryption>,
    /// Who hears of events, where anybody does.
    pub(super) notification: Option<Notification>,
    /// Whether the root of its account may do everything with it and the objects that are the bucket's.
    is_plain: bool,
    /// How long new objects are retained, where it was set.
    pub(super) lock_default: Option<DefaultRetention>,
    raw: Box<[(SettingKind, Bytes)]>,
}

/// A bucket policy, ready to be asked.
#[derive(Debug)]
pub(super) struct BucketPolicy {
    /// All that counts.
    pub(super) counts: Policy,
    /// Whether it lets the world in.
    pub(super) is_public: bool,
}

impl Settings {
    /// Reads a bucket's settings. `public_read`: the configuration lets anybody read its objects.
    ///
    /// # Errors
    /// Damaged, and what the store meets.
    fn read(lane: &LaneStore, bucket: &Bucket, public_read: bool) -> Outcome<Self> {
        Self::of(bucket, lane.settings(bucket.id)?, public_read)
    }

    fn of(bucket: &Bucket, raw: Vec<(SettingKind, Bytes)>, public_read: bool) -> Outcome<Self> {
        let find = |wanted| raw.iter().find(|(kind, _)| *kind == wanted).map(|(_, bytes)| bytes);
        let owner = BucketAttributes::of(bucket)?.owner;
        let acl = find(kind::ACL).map(|bytes| Acl::decode(bytes)).transpose()?;
        let ownership = find(kind::OWNERSHIP).map(|bytes| Ownership::decode(bytes)).transpose()?;
        let public_access =
            find(kind::PUBLIC_ACCESS).map(|bytes| PublicAccess::decode(bytes)).transpose()?;
        let policy = counting(bucket, find(kind::POLICY), public_read)?;
        let cors = find(kind::CORS).map(|bytes| Cors::decode(bytes)).transpose()?;
        let lifecycle = find(kind::LIFECYCLE).map(|bytes| Lifecycle::decode(bytes)).transpose()?;
        let encryption =
            find(kind::ENCRYPTION).map(|bytes| DefaultEncryption::decode(bytes)).transpose()?;
        let notification =
            find(kind::NOTIFICATION).map(|bytes| Notification::decode(bytes)).transpose()?;
        let lock_default =
            find(kind::LOCK_DEFAULT).map(|bytes| DefaultRetention::decode(bytes)).transpose()?;
        let acls_are_off = ownership == Some(Ownership::BucketOwnerEnforced);
        let is_plain =
            policy.is_none() && (acls_are_off || acl.as_ref().is_none_or(Acl::is_owners_in_full));
        Ok(Self {
            owner,
            policy,
            acl,
            ownership,
            public_access,
            cors,
            lifecycle,
            encryption,
            notification,
            is_plain,
            lock_default,
            raw: raw.into_boxed_slice(),
        })
    }

    /// A setting as the store keeps it.
    pub(super) fn raw(&self, wanted: SettingKind) -> Option<&Bytes> {
        self.raw.iter().find(|(kind, _)| *kind == wanted).map(|(_, bytes)| bytes)
    }

    /// Whether ACLs do not count: all is the bucket's owner's.
    pub(super) fn acls_are_off(&self) -> bool {
        self.ownership == Some(Ownership::BucketOwnerEnforced)
    }

    /// Whether a caller may do everything with the bucket and with those of its objects that are the bucket's
    /// owner's: the root of its account, where no policy and no ACL says otherwise. A few compares.
    pub(super) fn is_all_of(&self, caller: &Caller) -> bool {
        self.is_plain && caller.is_root_of(&self.owner.party.id)
    }

    /// The switches of Public Access Block; all off where it was not set.
    pub(super) fn public_access(&self) -> PublicAccess {
        self.public_access.unwrap_or_default()
    }

    /// The bucket's owner.
    pub(super) fn owner(&self) -> &Party {
        &self.owner.party
    }

    /// Whose an object is, of the bytes that it keeps: the bucket's owner's where it keeps none, or where ACLs are
    /// off.
    ///
    /// # Errors
    /// Damaged.
    pub(super) fn owner_of(&self, acl: &[u8]) -> Outcome<Party> {
        if acl.is_empty() || self.acls_are_off() {
            return Ok(self.owner.party.clone());
        }
        Acl::decode_owner(acl)
    }

    /// An object's ACL, of the same bytes.
    ///
    /// # Errors
    /// Damaged.
    pub(super) fn acl_of(&self, acl: &[u8]) -> Outcome<Acl> {
        if acl.is_empty() || self.acls_are_off() {
            return Ok(Acl::private(self.owner.party.clone()));
        }
        Acl::decode(acl)
    }
}

/// The policy that counts: the bucket's own, and the statement that lets anybody read where a flag of the bucket or
/// the configuration says so.
fn counting(
    bucket: &Bucket,
    own: Option<&Bytes>,
    public_read: bool,
) -> Outcome<Option<BucketPolicy>> {
    let damaged = || Refusal::Damaged("bucket policy");
    let reads = public_read || bucket.public_read;
    let text = match own {
        None if !reads => return Ok(None),
        Some(own) if !reads => own.clone(),
        own => policy_operations::with_public_read(own, &bucket.name).ok_or_else(damaged)?,
    };
    let counts = Policy::parse(&text, policy::Kind::Bucket).map_err(|_| damaged())?;
    let is_public = counts.is_public();
    Ok(Some(BucketPolicy { counts, is_public }))
}

/// What a lane keeps.
#[derive(Debug, Default)]
pub(super) struct SettingsCache {
    entries: RefCell<BTreeMap<BucketId, Entry>>,
    uses: Cell<u64>,
}

#[derive(Debug)]
struct Entry {
    revision: u64,
    settings: Rc<Settings>,
    used: Cell<u64>,
}

impl SettingsCache {
    /// The settings of a bucket as it was read.
    ///
    /// # Errors
    /// Damaged, and what the store meets.
    pub(super) fn find(
        &self,
        lane: &LaneStore,
        bucket: &Bucket,
        public_read: impl FnOnce(&str) -> bool,
    ) -> Outcome<Rc<Settings>> {
        self.find_or(bucket, || Settings::read(lane, bucket, public_read(&bucket.name)))
    }

    fn find_or(
        &self,
        bucket: &Bucket,
        read: impl FnOnce() -> Outcome<Settings>,
    ) -> Outcome<Rc<Settings>> {
        let use_number = self.uses.get() + 1;
        self.uses.set(use_number);
        if let Some(entry) = self.entries.borrow().get(&bucket.id)
            && entry.revision == bucket.revision
        {
            entry.used.set(use_number);
            return Ok(Rc::clone(&entry.settings));
        }
        let settings = Rc::new(read()?);
        let used = Cell::new(use_number);
        let entry = Entry { revision: bucket.revision, settings: Rc::clone(&settings), used };
        let mut entries = self.entries.borrow_mut();
        entries.insert(bucket.id, entry);
        shrink(&mut entries, SETTINGS_CACHED_MAX, |_| true);
        shrink(&mut entries, POLICIES_CACHED_MAX, |entry| entry.settings.policy.is_some());
        Ok(settings)
    }
}

/// Drops what was used longest ago until no more than `max` of a sort are left.
fn shrink(entries: &mut BTreeMap<BucketId, Entry>, max: usize, of_sort: impl Fn(&Entry) -> bool) {
    let count = |entries: &BTreeMap<BucketId, Entry>| {
        if entries.len() <= max { 0 } else { entries.values().filter(|it| of_sort(it)).count() }
    };
    while count(entries) > max {
        let sort = entries.iter().filter(|(_, entry)| of_sort(entry));
        let oldest = sort.min_by_key(|(_, entry)| entry.used.get()).map(|(id, _)| *id);
        let Some(oldest) = oldest else { return };
        entries.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datapath::Versioning;

    fn bucket(id: u64, revision: u64) -> Bucket {
        Bucket {
            id: BucketId(id),
            name: "bucket".into(),
            created_ms: 0,
            public_read: false,
            attributes: Bytes::new(),
            versioning: Versioning::Off,
            locking: false,
            revision,
        }
    }

    fn settings(bucket: &Bucket, raw: &[(SettingKind, &'static [u8])]) -> Outcome<Settings> {
        let raw = raw.iter().map(|(kind, bytes)| (*kind, Bytes::from_static(bytes))).collect();
        Settings::of(bucket, raw, false)
    }

    #[test]
    fn settings_are_read_once_for_each_revision() {
        let cache = SettingsCache::default();
        let mut reads = 0;
        for (revision, expected) in [(1, 1), (1, 1), (2, 2), (2, 2), (1, 3)] {
            let bucket = bucket(1, revision);
            cache
                .find_or(&bucket, || {
                    reads += 1;
                    settings(&bucket, &[])
                })
                .unwrap();
            assert_eq!(reads, expected);
        }
    }

    #[test]
    fn a_lane_keeps_what_it_has_used_last() {
        let cache = SettingsCache::default();
        let add = |id| {
            let bucket = bucket(id, 1);
            cache.find_or(&bucket, || settings(&bucket, &[])).unwrap();
        };
        let max = SETTINGS_CACHED_MAX as u64;
        (0..max).for_each(add);
        add(0);
        add(max);
        let entries = cache.entries.borrow();
        assert_eq!(entries.len(), SETTINGS_CACHED_MAX);
        assert!(entries.contains_key(&BucketId(0)), "used again");
        assert!(!entries.contains_key(&BucketId(1)), "used longest ago");
    }

    #[test]
    fn damage_shuts_the_door() {
        for (kind, bytes) in [
            (kind::POLICY, &b"{"[..]),
            (kind::ACL, b"\x09"),
            (kind::OWNERSHIP, b"Nobody"),
            (kind::PUBLIC_ACCESS, b"\x10"),
        ] {
            let read = settings(&bucket(1, 1), &[(kind, bytes)]);
            assert!(matches!(read, Err(Refusal::Damaged(_))), "{kind:?}");
        }
    }

    #[test]
    fn only_what_says_nothing_is_plain() {
        let bucket = bucket(1, 1);
        let is_plain =
            |raw: &[(SettingKind, &'static [u8])]| settings(&bucket, raw).unwrap().is_plain;
        assert!(is_plain(&[]));
        assert!(is_plain(&[(kind::PUBLIC_ACCESS, b"\x0f")]));
        let policy = br#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*",
            "Action":"s3:*","Resource":"arn:aws:s3:::bucket/*"}]}"#;
        assert!(!is_plain(&[(kind::POLICY, policy)]));
    }
}
