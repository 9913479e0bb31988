//! Random changes to a bucket with versioning against a model that keeps each key's versions in a
//! list, newest first.
//!
//! After each run the index must show the same versions by every way that leads to them, in the same
//! order on pages of any size; the walk must find nothing; and every extent ever written must be
//! either referred to or freed, exactly once.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::testing::*;
use super::*;
use crate::error::StoreError;
use crate::id::*;

/// When all of it happens, as the fixture has it.
const NOW_MS: u64 = 1_000;
/// Keys around the delimiter `/`, one of them empty.
const KEYS: [&str; 6] = ["", "a", "a/", "a/b", "a/b/c", "b"];

#[derive(Debug, Clone)]
enum Change {
    Put { key: usize, extents: Vec<u64>, condition: u8, lock: Lock },
    PutInline { key: usize, length: u8 },
    Copy { from: usize, pick: usize, to: usize },
    Upload { key: usize, extents: Vec<u64> },
    Delete { key: usize, condition: u8 },
    DeleteVersion { key: usize, pick: usize, bypass: bool, condition: u8 },
    DeleteMany { keys: Vec<usize> },
    SetVersioning { on: bool },
    Tag { key: usize, pick: Option<usize>, tags: u8 },
    Hold { key: usize, pick: Option<usize>, on: bool },
    Retain { key: usize, pick: usize, retention: Option<Retention>, bypass: bool },
    Page { key: Option<usize>, pick: usize, prefix: usize, delimiter: bool, limit: usize },
    Reclaim,
    Reopen,
}

fn retention() -> impl Strategy<Value = Option<Retention>> {
    let mode = prop_oneof![Just(RetentionMode::Governance), Just(RetentionMode::Compliance)];
    let retention = (mode, prop_oneof![Just(500u64), Just(2_000), Just(3_000)]);
    proptest::option::of(retention.prop_map(|(mode, until_ms)| Retention { mode, until_ms }))
}

/// Rarely something: what is locked is not moved about any more.
fn lock() -> impl Strategy<Value = Lock> {
    prop_oneof![
        8 => Just(Lock::default()),
        1 => (retention(), any::<bool>())
            .prop_map(|(retention, legal_hold)| Lock { retention, legal_hold }),
    ]
}

fn extents() -> impl Strategy<Value = Vec<u64>> {
    vec(prop_oneof![1..100_000u64, 1_000_000..3_000_000u64], 1..3)
}

fn change() -> impl Strategy<Value = Change> {
    let key = || 0..KEYS.len();
    let pick = || 0..5usize;
    let maybe = || proptest::option::of(0..5usize);
    prop_oneof![
        6 => (key(), extents(), 0..5u8, lock()).prop_map(
            |(key, extents, condition, lock)| Change::Put { key, extents, condition, lock }
        ),
        2 => (key(), any::<u8>()).prop_map(|(key, length)| Change::PutInline { key, length }),
        2 => (key(), pick(), key()).prop_map(|(from, pick, to)| Change::Copy { from, pick, to }),
        1 => (key(), extents()).prop_map(|(key, extents)| Change::Upload { key, extents }),
        4 => (key(), 0..5u8).prop_map(|(key, condition)| Change::Delete { key, condition }),
        6 => (key(), pick(), any::<bool>(), 0..8u8).prop_map(
            |(key, pick, bypass, condition)| Change::DeleteVersion { key, pick, bypass, condition }
        ),
        1 => vec(key(), 0..4).prop_map(|keys| Change::DeleteMany { keys }),
        2 => any::<bool>().prop_map(|on| Change::SetVersioning { on }),
        2 => (key(), maybe(), any::<u8>())
            .prop_map(|(key, pick, tags)| Change::Tag { key, pick, tags }),
        1 => (key(), maybe(), any::<bool>())
            .prop_map(|(key, pick, on)| Change::Hold { key, pick, on }),
        1 => (key(), pick(), retention(), any::<bool>()).prop_map(
            |(key, pick, retention, bypass)| Change::Retain { key, pick, retention, bypass }
        ),
        3 => (proptest::option::of(key()), pick(), key(), any::<bool>(), 0..8usize).prop_map(
            |(key, pick, prefix, delimiter, limit)| Change::Page {
                key, pick, prefix, delimiter, limit
            }
        ),
        1 => Just(Change::Reclaim),
        1 => Just(Change::Reopen),
    ]
}

/// One version of one key.
#[derive(Debug, Clone)]
struct Version {
    row: RowId,
    id: VersionId,
    /// None: a delete marker.
    object: Option<Content>,
    tags: Bytes,
    lock: Lock,
}

struct World {
    fixture: Fixture,
    bucket: BucketId,
    versioning: Versioning,
    /// Newest first; no key without any.
    keys: BTreeMap<usize, Vec<Version>>,
    written: BTreeSet<ExtentId>,
}

fn name(key: usize) -> Bytes {
    Bytes::from_static(KEYS[key].as_bytes())
}

fn locked(lock: &Lock, bypass: bool) -> Option<StoreError> {
    if lock.legal_hold {
        return Some(StoreError::Locked(LockedBy::LegalHold));
    }
    let retention = lock.retention.filter(|retention| retention.until_ms > NOW_MS)?;
    let yields = bypass && retention.mode == RetentionMode::Governance;
    (!yields).then_some(StoreError::Locked(LockedBy::Retention(retention)))
}

impl World {
    fn new() -> World {
        let mut fixture = Fixture::new();
        fixture.bucket("before");
        let bucket = fixture.bucket("bucket");
        fixture.bucket("behind");
        let (keys, written) = (BTreeMap::new(), BTreeSet::new());
        World { fixture, bucket, versioning: Versioning::Off, keys, written }
    }

    fn of(&self, key: usize) -> &[Version] {
        self.keys.get(&key).map_or(&[], |versions| &versions[..])
    }

    fn live(&self, key: usize) -> Option<&Version> {
        self.of(key).first().filter(|version| version.object.is_some())
    }

    /// What a condition of this number says of the latest, and the condition.
    fn condition(&self, key: usize, number: u8) -> (Condition, Result<(), StoreError>) {
        let live = self.live(key).map(|live| live.row);
        let other = RowId(u64::MAX);
        let says = |holds: bool| if holds { Ok(()) } else { Err(StoreError::ConditionFailed) };
        match number {
            0 | 1 => (Condition::None, Ok(())),
            2 => (Condition::Absent, says(live.is_none())),
            3 => {
                let condition = Condition::All(vec![
                    Condition::Present,
                    Condition::RowIs(live.unwrap_or(other)),
                ]);
                (condition, if live.is_some() { Ok(()) } else { Err(StoreError::NoSuchKey) })
            }
            _ => {
                let outcome = live.map_or(Err(StoreError::NoSuchKey), |_| says(false));
                (Condition::RowIs(other), outcome)
            }
        }
    }

    /// What a new latest version would remove, or why it may not come.
    fn displaces(&self, key: usize) -> Result<Option<usize>, StoreError> {
        let at = match self.versioning {
            Versioning::Off => (!self.of(key).is_empty()).then_some(0),
            Versioning::Enabled => None,
            Versioning::Suspended => {
                self.of(key).iter().position(|version| version.id == VersionId::NULL)
            }
        };
        let refused = at.and_then(|at| locked(&self.of(key)[at].lock, false));
        refused.map_or(Ok(at), Err)
    }

    fn add(&mut self, key: usize, version: Version) {
        if let Some(at) = self.displaces(key).unwrap() {
            self.keys.get_mut(&key).unwrap().remove(at);
        }
        match self.versioning {
            Versioning::Enabled => assert_eq!(version.id.0, version.row.0),
            Versioning::Off | Versioning::Suspended => assert_eq!(version.id, VersionId::NULL),
        }
        self.keys.entry(key).or_default().insert(0, version);
    }

    fn put(&mut self, key: usize, content: Content, number: u8, lock: Lock) {
        let (condition, allowed) = self.condition(key, number);
        let allowed = allowed.and_then(|()| self.displaces(key).map(drop));
        let new: Vec<ExtentId> = content.extents.iter().map(|new| new.id).collect();
        let object = NewObject {
            condition,
            lock,
            tags: Bytes::from_static(b"tags"),
            ..new_object(self.bucket, KEYS[key].as_bytes())
        };
        let put = Mutation::Put { object, content: content.clone() };
        let outcome = self.fixture.apply(put);
        assert_eq!(outcome.as_ref().err(), allowed.as_ref().err(), "{key} {number}");
        if let Ok(Outcome::Object(record)) = outcome {
            assert_eq!(record.lock, lock);
            self.written.extend(new);
            self.added(key, record, content);
        }
    }

    fn added(&mut self, key: usize, record: ObjectRecord, content: Content) {
        let ObjectRecord { row, version: id, tags, lock, .. } = record;
        self.add(key, Version { row, id, object: Some(content), tags, lock });
    }

    fn upload(&mut self, key: usize, extents: &[u64]) {
        if self.displaces(key).is_err() {
            return;
        }
        let content = self.fixture.content(extents);
        self.written.extend(content.extents.iter().map(|new| new.id));
        let upload = self.fixture.create_upload(self.bucket, KEYS[key].as_bytes());
        let part = self.fixture.put_part(upload, 1, content.clone());
        let object = new_object(self.bucket, KEYS[key].as_bytes());
        let parts = vec![(PartNumber(1), part)];
        let complete = Mutation::Complete { upload, parts, object, crc64: None };
        match self.fixture.apply(complete) {
            Ok(Outcome::Object(record)) => {
                let (body, size) = (record.body.clone(), record.size);
                let referring = Content { extents: content.extents, ..reference(&body, size) };
                self.added(key, record, referring);
            }
            other => panic!("{other:?}"),
        }
    }

    fn delete(&mut self, key: usize, number: u8) {
        let (condition, allowed) = self.condition(key, number);
        let allowed = allowed.and_then(|()| self.displaces(key).map(drop));
        let acl = Bytes::from_static(b"owner");
        let delete = Delete { condition, marker_acl: acl.clone(), ..Delete::object(name(key)) };
        let outcome = self.fixture.apply(Mutation::Delete { bucket: self.bucket, delete });
        assert_eq!(outcome.as_ref().err(), allowed.as_ref().err(), "{key} {number}");
        let Ok(outcome) = outcome else { return };
        match (self.versioning, outcome) {
            (Versioning::Off, Outcome::Deleted(Deletion::Nothing)) => {
                assert!(self.of(key).is_empty());
            }
            (Versioning::Off, Outcome::Deleted(Deletion::Removed(object))) => {
                assert_eq!(self.keys.remove(&key).unwrap()[0].row, object.row);
            }
            (_, Outcome::Deleted(Deletion::MarkerMade(marker))) => {
                assert_eq!(marker.acl, acl);
                let Marker { row, version: id, .. } = marker;
                let (tags, lock) = (Bytes::new(), Lock::default());
                self.add(key, Version { row, id, object: None, tags, lock });
            }
            other => panic!("{other:?}"),
        }
    }

    fn delete_version(&mut self, key: usize, pick: usize, bypass: bool, number: u8) {
        // One past the end: a version that is not there.
        let there = self.of(key).get(pick).cloned();
        let id = there.as_ref().map_or(VersionId(u64::MAX), |version| version.id);
        let (condition, allowed) = match (number, &there) {
            (0, Some(_)) if pick > 0 => (Condition::Noncurrent, Ok(())),
            (0, Some(_)) => (Condition::Noncurrent, Err(StoreError::ConditionFailed)),
            (0, None) => (Condition::Noncurrent, Err(StoreError::NoSuchKey)),
            (1, Some(version)) => (Condition::RowIs(version.row), Ok(())),
            _ => (Condition::None, Ok(())),
        };
        let refused = there.as_ref().and_then(|version| locked(&version.lock, bypass));
        let allowed = allowed.and_then(|()| refused.map_or(Ok(()), Err));
        let delete = Delete {
            condition,
            version: Some(id),
            bypass_governance: bypass,
            ..Delete::object(name(key))
        };
        let outcome = self.fixture.apply(Mutation::Delete { bucket: self.bucket, delete });
        assert_eq!(outcome.as_ref().err(), allowed.as_ref().err());
        let Ok(outcome) = outcome else { return };
        match (outcome, there) {
            (Outcome::Deleted(Deletion::Nothing), None) => {}
            (Outcome::Deleted(Deletion::Removed(object)), Some(version)) => {
                assert!(version.object.is_some() && object.row == version.row);
                self.forget(key, pick);
            }
            (Outcome::Deleted(Deletion::MarkerRemoved(marker)), Some(version)) => {
                assert!(version.object.is_none() && marker.row == version.row);
                self.forget(key, pick);
            }
            other => panic!("{other:?}"),
        }
    }

    fn forget(&mut self, key: usize, at: usize) {
        let versions = self.keys.get_mut(&key).unwrap();
        versions.remove(at);
        if versions.is_empty() {
            self.keys.remove(&key);
        }
    }

    /// Changes the version picked, or the latest, in the index and in the model.
    fn annotate(&mut self, key: usize, pick: Option<usize>, annotation: Annotation) {
        let at = pick.unwrap_or(0);
        let there = self.of(key).get(at).cloned();
        let version = pick.map(|_| there.as_ref().map_or(VersionId(u64::MAX), |there| there.id));
        let absent = match version {
            None => StoreError::NoSuchKey,
            Some(_) => StoreError::NoSuchVersion,
        };
        let there = there.filter(|there| there.object.is_some());
        let allowed = match (&there, &annotation) {
            (None, _) => Err(absent),
            (Some(there), Annotation::Retention { retention, bypass_governance }) => {
                let by = there.lock.forbids_change(*retention, NOW_MS, *bypass_governance);
                by.map_or(Ok(()), |by| Err(StoreError::Locked(by)))
            }
            (Some(_), _) => Ok(()),
        };
        let (bucket, annotation_too) = (self.bucket, annotation.clone());
        let annotate =
            Mutation::Annotate { bucket, key: name(key), version, annotation: annotation_too };
        let outcome = self.fixture.apply(annotate);
        assert_eq!(outcome.as_ref().err(), allowed.as_ref().err());
        if let Ok(Outcome::Object(record)) = outcome {
            let version = &mut self.keys.get_mut(&key).unwrap()[at];
            assert_eq!(record.row, version.row, "the row stays");
            match annotation {
                Annotation::Tags(tags) => version.tags = tags,
                Annotation::Acl(_) => {}
                Annotation::LegalHold(on) => version.lock.legal_hold = on,
                Annotation::Retention { retention, .. } => version.lock.retention = retention,
            }
        }
    }

    fn carry_out(&mut self, change: Change) {
        match change {
            Change::Put { key, extents, condition, lock } => {
                let content = self.fixture.content(&extents);
                self.put(key, content, condition, lock);
            }
            Change::PutInline { key, length } => {
                self.put(key, inline(&vec![1; usize::from(length)]), 0, Lock::default());
            }
            Change::Copy { from, pick, to } => {
                let source = self.of(from).get(pick).and_then(|version| version.object.clone());
                if let Some(source) = source {
                    let content = Content { extents: Vec::new(), ..source };
                    self.put(to, content, 0, Lock::default());
                }
            }
            Change::Upload { key, extents } => self.upload(key, &extents),
            Change::Delete { key, condition } => self.delete(key, condition),
            Change::DeleteVersion { key, pick, bypass, condition } => {
                self.delete_version(key, pick, bypass, condition);
            }
            Change::DeleteMany { keys } => keys.into_iter().for_each(|key| self.delete(key, 0)),
            Change::SetVersioning { on } => {
                self.versioning = if on { Versioning::Enabled } else { Versioning::Suspended };
                let (bucket, versioning) = (self.bucket, self.versioning);
                self.fixture.apply(Mutation::SetVersioning { bucket, versioning }).unwrap();
            }
            Change::Tag { key, pick, tags } => {
                self.annotate(key, pick, Annotation::Tags(Bytes::copy_from_slice(&[tags])));
            }
            Change::Hold { key, pick, on } => {
                self.annotate(key, pick, Annotation::LegalHold(on));
            }
            Change::Retain { key, pick, retention, bypass } => {
                let annotation = Annotation::Retention { retention, bypass_governance: bypass };
                self.annotate(key, Some(pick), annotation);
            }
            Change::Page { key, pick, prefix, delimiter, limit } => {
                let after = key.map(|key| (key, self.of(key).get(pick).map(|found| found.id)));
                self.page(prefix, delimiter, after, limit);
            }
            Change::Reclaim => {
                self.fixture.reclaim(3);
            }
            Change::Reopen => self.fixture.reopen(),
        }
    }

    /// All entries that a listing has behind its beginning, as the model has them: key, version, and
    /// whether it is the latest, or the prefix.
    fn entries(
        &self,
        prefix: usize,
        delimiter: bool,
        after: Option<(usize, Option<VersionId>)>,
    ) -> Vec<(String, Option<(VersionId, bool)>)> {
        let prefix = KEYS[prefix];
        let common = |key: &str| {
            let at = key[prefix.len()..].find('/').filter(|_| delimiter)?;
            Some(key[..prefix.len() + at + 1].to_owned())
        };
        let mut entries: Vec<(String, Option<(VersionId, bool)>)> = Vec::new();
        for (key, versions) in self.keys.iter().filter(|(key, _)| KEYS[**key].starts_with(prefix)) {
            for (at, version) in versions.iter().enumerate() {
                if let Some((after, id)) = after {
                    let after_at = id
                        .and_then(|id| self.of(after).iter().position(|version| version.id == id));
                    let behind = match after_at {
                        Some(after_at) => (*key, at) > (after, after_at),
                        None => *key > after,
                    };
                    let after = KEYS[after];
                    let covered = after.starts_with(prefix)
                        && common(after)
                            .is_some_and(|it| it == after && KEYS[*key].starts_with(&it));
                    if !behind || covered {
                        continue;
                    }
                }
                let entry = match common(KEYS[*key]) {
                    Some(common) => (common, None),
                    None => (KEYS[*key].to_owned(), Some((version.id, at == 0))),
                };
                if entry.1.is_some() || entries.last() != Some(&entry) {
                    entries.push(entry);
                }
            }
        }
        entries
    }

    fn page(
        &self,
        prefix: usize,
        delimiter: bool,
        after: Option<(usize, Option<VersionId>)>,
        limit: usize,
    ) {
        let snapshot = self.fixture.index().read().unwrap();
        let page = snapshot.list_versions(&ListVersions {
            bucket: self.bucket,
            prefix: name(prefix),
            delimiter: delimiter.then(|| Bytes::from_static(b"/")),
            key_after: after.map(|(key, _)| name(key)),
            version_after: after.and_then(|(_, id)| id),
            limit,
        });
        let page = page.unwrap();
        let mut expected = self.entries(prefix, delimiter, after);
        assert_eq!(page.truncated, limit > 0 && expected.len() > limit);
        expected.truncate(limit);
        assert_eq!(page.entries.iter().map(listed).collect::<Vec<_>>(), expected);
    }

    /// The whole listing, a few entries at a time.
    fn pages(&self, prefix: usize, delimiter: bool, limit: usize) {
        let snapshot = self.fixture.index().read().unwrap();
        let (mut found, mut key_after, mut version_after) = (Vec::new(), None, None);
        loop {
            let page = snapshot.list_versions(&ListVersions {
                bucket: self.bucket,
                prefix: name(prefix),
                delimiter: delimiter.then(|| Bytes::from_static(b"/")),
                key_after,
                version_after,
                limit,
            });
            let page = page.unwrap();
            (key_after, version_after) = match page.entries.last() {
                Some(VersionEntry::Version { key, object, .. }) => {
                    (Some(key.clone()), Some(object.version))
                }
                Some(VersionEntry::Marker { key, marker, .. }) => {
                    (Some(key.clone()), Some(marker.version))
                }
                Some(VersionEntry::Prefix(prefix)) => (Some(prefix.clone()), None),
                None => (None, None),
            };
            found.extend(page.entries.iter().map(listed));
            if !page.truncated {
                break;
            }
        }
        assert_eq!(found, self.entries(prefix, delimiter, None));
    }

    fn compare(&mut self) {
        let report = self.fixture.assert_consistent();
        let live = (0..KEYS.len()).filter(|key| self.live(*key).is_some()).count() as u64;
        let all = self.keys.values().flatten();
        let markers = all.clone().filter(|version| version.object.is_none()).count() as u64;
        let versions = all.count() as u64 - markers - live;
        assert_eq!((report.objects, report.versions, report.markers), (live, versions, markers));
        for prefix in 0..KEYS.len() {
            for delimiter in [false, true] {
                (1..4).for_each(|limit| self.pages(prefix, delimiter, limit));
            }
        }
        for key in 0..KEYS.len() {
            self.compare_key(key);
        }
        self.fixture.reclaim(7);
        self.fixture.assert_consistent();
        self.compare_space();
    }

    /// Each version by its name, and the latest without.
    fn compare_key(&self, key: usize) {
        let snapshot = self.fixture.index().read().unwrap();
        let at = KEYS[key].as_bytes();
        let latest = snapshot.version(self.bucket, at, None).unwrap();
        match (latest, self.of(key).first()) {
            (Found::Absent, None) => {}
            (Found::Marker(marker), Some(Version { row, object: None, .. })) => {
                assert_eq!(marker.row, *row);
            }
            (Found::There(view), Some(Version { row, object: Some(_), .. })) => {
                assert_eq!(view.row, *row);
            }
            other => panic!("{other:?}"),
        }
        for version in self.of(key) {
            match snapshot.version(self.bucket, at, Some(version.id)).unwrap() {
                Found::There(view) => {
                    let record = view.to_record();
                    assert_eq!((record.row, record.version), (version.row, version.id));
                    assert_eq!((record.lock, &record.tags), (version.lock, &version.tags));
                    let content = version.object.as_ref().unwrap();
                    assert_eq!((&record.body, record.size), (&content.body, content.size));
                    let by_row = snapshot.row(self.bucket, at, record.row).unwrap();
                    assert_eq!(by_row.unwrap().row, record.row);
                }
                Found::Marker(marker) => {
                    assert!(version.object.is_none() && marker.row == version.row);
                }
                Found::Absent => panic!("{version:?} is not there"),
            }
            if version.id == VersionId::NULL {
                let by_row = VersionId(version.row.0);
                let found = snapshot.version(self.bucket, at, Some(by_row)).unwrap();
                assert!(matches!(found, Found::Absent), "null has no other name");
            }
        }
    }

    fn compare_space(&self) {
        let mut used = BTreeSet::new();
        for version in self.keys.values().flatten() {
            let Some(content) = &version.object else { continue };
            used.extend(content.body.slices().iter().map(|slice| slice.extent));
            if let Some(manifest) = content.body.manifest() {
                let snapshot = self.fixture.index().read().unwrap();
                let part = snapshot.part(manifest, PartNumber(1)).unwrap().unwrap();
                used.extend(part.body.to_body().slices().iter().map(|slice| slice.extent));
            }
        }
        let freed: Vec<ExtentId> = self.fixture.effects.freed.iter().map(|freed| freed.0).collect();
        let freed_once: BTreeSet<ExtentId> = freed.iter().copied().collect();
        assert_eq!(freed.len(), freed_once.len(), "freed twice");
        assert!(freed_once.is_disjoint(&used), "freed in use");
        let all: BTreeSet<ExtentId> = freed_once.union(&used).copied().collect();
        assert_eq!(all, self.written, "leaked");
    }
}

fn listed(entry: &VersionEntry) -> (String, Option<(VersionId, bool)>) {
    let text = |key: &Bytes| String::from_utf8(key.to_vec()).unwrap();
    match entry {
        VersionEntry::Version { key, object, latest } => {
            (text(key), Some((object.version, *latest)))
        }
        VersionEntry::Marker { key, marker, latest } => {
            (text(key), Some((marker.version, *latest)))
        }
        VersionEntry::Prefix(prefix) => (text(prefix), None),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn versions_do_what_lists_do(changes in vec(change(), 1..80)) {
        let mut world = World::new();
        for change in changes {
            world.carry_out(change);
        }
        world.compare();
        world.fixture.reopen();
        world.compare();
    }
}
