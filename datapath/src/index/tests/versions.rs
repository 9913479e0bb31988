//! Versioned buckets case by case: what the model of them does not reach.

use bytes::Bytes;

use super::*;
use crate::error::StoreError;
use crate::id::*;
use crate::limits::{ATTRIBUTES_BYTES_MAX, BUCKET_SETTING_BYTES_MAX};

const KIND: SettingKind = SettingKind(5);

fn set_versioning(fixture: &mut Fixture, bucket: BucketId, versioning: Versioning) {
    fixture.apply(Mutation::SetVersioning { bucket, versioning }).unwrap();
}

fn versioned(fixture: &mut Fixture) -> BucketId {
    let bucket = fixture.bucket("bucket");
    set_versioning(fixture, bucket, Versioning::Enabled);
    bucket
}

fn deleted(fixture: &mut Fixture, bucket: BucketId, delete: Delete) -> Deletion {
    match fixture.apply(Mutation::Delete { bucket, delete }) {
        Ok(Outcome::Deleted(deletion)) => deletion,
        other => panic!("{other:?}"),
    }
}

fn delete_version(key: &'static [u8], version: VersionId) -> Delete {
    Delete { version: Some(version), ..Delete::object(Bytes::from_static(key)) }
}

fn entries(fixture: &Fixture, request: ListVersions) -> Vec<VersionEntry> {
    let snapshot = fixture.index().read().unwrap();
    snapshot.list_versions(&request).unwrap().entries
}

fn all(bucket: BucketId) -> ListVersions {
    ListVersions {
        bucket,
        prefix: Bytes::new(),
        delimiter: None,
        key_after: None,
        version_after: None,
        limit: 1000,
    }
}

/// Versions as an id and whether it is the latest.
fn ids(entries: &[VersionEntry]) -> Vec<(VersionId, bool)> {
    let id = |entry: &VersionEntry| match entry {
        VersionEntry::Version { object, latest, .. } => (object.version, *latest),
        VersionEntry::Marker { marker, latest, .. } => (marker.version, *latest),
        VersionEntry::Prefix(_) => panic!("no prefix was asked for"),
    };
    entries.iter().map(id).collect()
}

/// An index as programs without versioning made it: fewer tables, and rows of the first version.
fn made_before(directory: &tempfile::TempDir) -> BucketId {
    use codec::Encoder;
    let options = options(directory, MAP_BYTES);
    std::fs::create_dir_all(&options.path).unwrap();
    let env = open_env(&options).unwrap();
    let mut txn = env.write_txn().unwrap();
    let mut put = |table: &str, key: &[u8], value: &[u8]| {
        let table =
            env.create_database::<heed::types::Bytes, heed::types::Bytes>(&mut txn, Some(table));
        table.unwrap().put(&mut txn, key, value).unwrap();
    };
    put("settings", SETTING_FORMAT, &1u64.to_le_bytes());
    put("settings", SETTING_STORE, &STORE);
    put("settings", SETTING_NEXT_ID, &100u64.to_le_bytes());
    let bucket = BucketId(7);
    let mut encoder = Encoder::record(1, 0);
    encoder.byte(0);
    encoder.number(bucket.0);
    encoder.number(99);
    encoder.bytes(b"attributes");
    put("buckets", b"bucket", &encoder.finish());
    put("bucket_names", &keys::number(bucket.0), b"bucket");
    let mut encoder = Encoder::record(1, 0);
    encoder.byte(0);
    // Row, version, size, time.
    [8, 0, 7, 99].into_iter().for_each(|number| encoder.number(number));
    encoder.bytes(b"tag");
    encoder.bytes(b"attributes");
    // Lock and encryption, then content of its own.
    encoder.bytes(b"");
    encoder.bytes(b"");
    encoder.byte(0);
    encoder.bytes(b"content");
    encoder.fixed(crate::extent::checksum::crc64(b"content"));
    put("current", &keys::object(bucket, b"key"), &encoder.finish());
    for name in tables::NAMES.iter().filter(|name| !tables::ADDED_LATER.contains(name)) {
        env.create_database::<heed::types::Bytes, heed::types::Bytes>(&mut txn, Some(name))
            .unwrap();
    }
    txn.commit().unwrap();
    bucket
}

#[test]
fn an_index_made_before_a_table_gets_it_and_keeps_what_it_has() {
    let mut fixture = Fixture::opening(made_before);
    let bucket = BucketId(7);
    assert_eq!(fixture.assert_consistent().objects, 1);
    set_versioning(&mut fixture, bucket, Versioning::Enabled);
    fixture.put(bucket, b"key", inline(b"newer"));
    let set = Mutation::SetSetting { bucket, kind: KIND, value: Some(Bytes::from_static(b"x")) };
    fixture.apply(set).unwrap();
    fixture.reopen();
    assert_eq!(fixture.assert_consistent().versions, 1);
    let found = fixture.index().read().unwrap();
    let null = found.version(bucket, b"key", Some(VersionId::NULL)).unwrap().there().unwrap();
    assert_eq!((null.row, null.size), (RowId(8), 7));
}

#[test]
fn an_index_that_lacks_another_table_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&directory, MAP_BYTES);
    std::fs::create_dir_all(&options.path).unwrap();
    let env = open_env(&options).unwrap();
    let mut txn = env.write_txn().unwrap();
    env.create_database::<heed::types::Bytes, heed::types::Bytes>(&mut txn, Some("settings"))
        .unwrap();
    txn.commit().unwrap();
    drop(env);
    assert!(matches!(Index::open(&options), Err(IndexOpenError::Absent(_))));
}

#[test]
fn settings_come_and_go_with_their_bucket_and_raise_its_revision() {
    let mut fixture = Fixture::new();
    let value = |byte: u8, bytes: usize| Bytes::from(vec![byte; bytes]);
    let new = NewBucket { locking: true, settings: vec![(SettingKind(1), value(1, 3))] };
    let create = Mutation::CreateBucket { name: "bucket".into(), attributes: Bytes::new(), new };
    let Ok(Outcome::Bucket(made)) = fixture.apply(create) else { panic!() };
    let bucket = made.id;
    assert!(made.locking && made.versioning == Versioning::Enabled);
    let other = fixture.bucket("other");
    for (id, bytes) in [(bucket, 1), (other, BUCKET_SETTING_BYTES_MAX)] {
        let set = Mutation::SetSetting { bucket: id, kind: KIND, value: Some(value(9, bytes)) };
        fixture.apply(set).unwrap();
    }
    let long = Some(value(9, BUCKET_SETTING_BYTES_MAX + 1));
    let set = Mutation::SetSetting { bucket, kind: KIND, value: long };
    assert!(matches!(fixture.apply(set), Err(StoreError::Index(_))));
    let revision = |fixture: &Fixture, name: &str| {
        fixture.index().read().unwrap().bucket(name).unwrap().unwrap().revision
    };
    assert_eq!(revision(&fixture, "bucket"), made.revision + 1);
    {
        let snapshot = fixture.index().read().unwrap();
        let expected = vec![(SettingKind(1), value(1, 3)), (KIND, value(9, 1))];
        assert_eq!(snapshot.settings(bucket).unwrap(), expected);
        assert_eq!(snapshot.setting(other, SettingKind(1)).unwrap(), None);
        let longest = snapshot.setting(other, KIND).unwrap().unwrap();
        assert_eq!(longest.len(), BUCKET_SETTING_BYTES_MAX);
    }
    let attributes = Bytes::from_static(b"attributes");
    let set = Mutation::SetBucketAttributes { bucket, attributes: attributes.clone() };
    fixture.apply(set).unwrap();
    fixture.apply(Mutation::SetSetting { bucket, kind: KIND, value: None }).unwrap();
    let found = fixture.index().read().unwrap().bucket("bucket").unwrap().unwrap();
    assert_eq!((found.revision, &found.attributes), (made.revision + 3, &attributes));
    fixture.apply(Mutation::DeleteBucket { name: "bucket".into() }).unwrap();
    {
        let snapshot = fixture.index().read().unwrap();
        assert_eq!(snapshot.settings(bucket).unwrap(), []);
        assert_eq!(snapshot.settings(other).unwrap().len(), 1);
    }
    let late = Mutation::SetSetting { bucket, kind: KIND, value: None };
    assert_eq!(fixture.apply(late), Err(StoreError::NoSuchBucket));
    fixture.assert_consistent();
}

#[test]
fn versioning_is_never_off_again_nor_suspended_where_objects_are_locked() {
    let mut fixture = Fixture::new();
    let plain = fixture.bucket("plain");
    let new = NewBucket { locking: true, settings: Vec::new() };
    let create = Mutation::CreateBucket { name: "locking".into(), attributes: Bytes::new(), new };
    let Ok(Outcome::Bucket(locking)) = fixture.apply(create) else { panic!() };
    let mut set = |bucket, versioning| {
        fixture.apply(Mutation::SetVersioning { bucket, versioning }).map(drop)
    };
    use Versioning::{Enabled, Off, Suspended};
    for versioning in [Off, Enabled, Suspended, Enabled] {
        assert_eq!(set(plain, versioning), Ok(()));
    }
    assert_eq!(set(plain, Off), Err(StoreError::VersioningFixed));
    assert_eq!(set(locking.id, Enabled), Ok(()));
    for versioning in [Off, Suspended] {
        assert_eq!(set(locking.id, versioning), Err(StoreError::VersioningFixed));
    }
    assert_eq!(set(BucketId(999), Enabled), Err(StoreError::NoSuchBucket));
}

#[test]
fn a_bucket_with_versions_or_markers_is_not_empty() {
    let mut fixture = Fixture::new();
    let bucket = versioned(&mut fixture);
    let delete = || Mutation::DeleteBucket { name: "bucket".into() };
    let marker = match deleted(&mut fixture, bucket, Delete::object(Bytes::from_static(b"key"))) {
        Deletion::MarkerMade(marker) => marker,
        other => panic!("{other:?}"),
    };
    assert_eq!(fixture.apply(delete()), Err(StoreError::BucketNotEmpty));
    let removed = deleted(&mut fixture, bucket, delete_version(b"key", marker.version));
    assert_eq!(removed, Deletion::MarkerRemoved(marker));
    fixture.apply(delete()).unwrap();
}

#[test]
fn size_and_time_of_what_is_deleted_may_be_demanded() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    // The fixture's time is 1,000 ms.
    for (condition, expected) in [
        (Condition::SizeIs { size: 4 }, Err(StoreError::ConditionFailed)),
        (Condition::ModifiedIs { seconds: 0 }, Err(StoreError::ConditionFailed)),
        (Condition::Noncurrent, Err(StoreError::ConditionFailed)),
        (
            Condition::All(vec![
                Condition::SizeIs { size: 3 },
                Condition::ModifiedIs { seconds: 1 },
                Condition::TagIs(vec!["other".into()]),
            ]),
            Err(StoreError::ConditionFailed),
        ),
        (
            Condition::All(vec![
                Condition::SizeIs { size: 3 },
                Condition::ModifiedIs { seconds: 1 },
                Condition::TagIs(vec!["tag".into()]),
            ]),
            Ok(()),
        ),
    ] {
        fixture.put(bucket, b"key", inline(b"abc"));
        let delete = Delete { condition, ..Delete::object(Bytes::from_static(b"key")) };
        let outcome = fixture.apply(Mutation::Delete { bucket, delete }).map(drop);
        assert_eq!(outcome, expected);
    }
    let condition = Condition::SizeIs { size: 3 };
    let delete = Delete { condition, ..Delete::object(Bytes::from_static(b"absent")) };
    let outcome = fixture.apply(Mutation::Delete { bucket, delete });
    assert_eq!(outcome, Err(StoreError::NoSuchKey));
}

#[test]
fn what_is_kept_beside_an_object_is_bounded() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let long = Bytes::from(vec![0; ATTRIBUTES_BYTES_MAX + 1]);
    let object = || new_object(bucket, b"key");
    for object in [
        NewObject { tags: long.clone(), ..object() },
        NewObject { acl: long.clone(), ..object() },
        NewObject { encryption: long.clone(), ..object() },
    ] {
        let put = Mutation::Put { object, content: inline(b"") };
        assert!(matches!(fixture.apply(put), Err(StoreError::Index(_))));
    }
    fixture.put(bucket, b"key", inline(b""));
    for annotation in [Annotation::Tags(long.clone()), Annotation::Acl(long.clone())] {
        let key = Bytes::from_static(b"key");
        let annotate = Mutation::Annotate { bucket, key, version: None, annotation };
        assert!(matches!(fixture.apply(annotate), Err(StoreError::Index(_))));
    }
    set_versioning(&mut fixture, bucket, Versioning::Enabled);
    let delete = Delete { marker_acl: long, ..Delete::object(Bytes::from_static(b"key")) };
    assert!(fixture.apply(Mutation::Delete { bucket, delete }).is_err());
    fixture.assert_consistent();
}

#[test]
fn renaming_moves_one_row_and_replaces_another() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let from = fixture.put(bucket, b"from", fixture.content(&[5000]));
    let to = fixture.put(bucket, b"to", fixture.content(&[6000]));
    let rename = |from: &'static [u8], to: &'static [u8], source, destination| {
        let (from, to) = (Bytes::from_static(from), Bytes::from_static(to));
        Mutation::Rename { bucket, from, to, source, destination }
    };
    let none = Condition::None;
    for (change, error) in [
        (rename(b"absent", b"to", none.clone(), none.clone()), StoreError::NoSuchKey),
        (
            rename(b"from", b"to", Condition::RowIs(to.row), none.clone()),
            StoreError::ConditionFailed,
        ),
        (rename(b"from", b"to", none.clone(), Condition::Absent), StoreError::ConditionFailed),
    ] {
        assert_eq!(fixture.apply(change), Err(error));
    }
    let itself = rename(b"from", b"from", none.clone(), none.clone());
    assert_eq!(fixture.apply(itself), Ok(Outcome::Object(from.clone())));
    let change = rename(b"from", b"to", Condition::RowIs(from.row), Condition::Present);
    assert_eq!(fixture.apply(change), Ok(Outcome::Object(from.clone())));
    assert_eq!(fixture.effects.freed.len(), 1, "what had the key is gone");
    assert_eq!(fixture.effects.released.len(), 1);
    {
        let snapshot = fixture.index().read().unwrap();
        assert!(snapshot.object(bucket, b"from").unwrap().is_none());
        assert_eq!(snapshot.object(bucket, b"to").unwrap().unwrap().row, from.row);
    }
    fixture.assert_consistent();
    set_versioning(&mut fixture, bucket, Versioning::Suspended);
    let refused = fixture.apply(rename(b"to", b"from", none.clone(), none));
    assert_eq!(refused, Err(StoreError::Versioned));
}

#[test]
fn a_page_goes_on_behind_a_version_that_is_gone() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let null = fixture.put(bucket, b"key", inline(b"0"));
    set_versioning(&mut fixture, bucket, Versioning::Enabled);
    let versions: Vec<ObjectRecord> =
        (0..4).map(|_| fixture.put(bucket, b"key", inline(b"x"))).collect();
    let behind = |version| ListVersions {
        key_after: Some(Bytes::from_static(b"key")),
        version_after: Some(version),
        ..all(bucket)
    };
    // The newest goes, and with it the one before is the latest, which is to come still.
    deleted(&mut fixture, bucket, delete_version(b"key", versions[3].version));
    let left = [versions[2].version, versions[1].version, versions[0].version, VersionId::NULL];
    let found = ids(&entries(&fixture, behind(versions[3].version)));
    assert_eq!(found, [(left[0], true), (left[1], false), (left[2], false), (left[3], false)]);
    deleted(&mut fixture, bucket, delete_version(b"key", versions[1].version));
    let found = ids(&entries(&fixture, behind(versions[1].version)));
    assert_eq!(found, [(left[2], false), (left[3], false)]);
    // Without its row nobody knows where null was: nothing is left out.
    deleted(&mut fixture, bucket, delete_version(b"key", null.version));
    let found = ids(&entries(&fixture, behind(VersionId::NULL)));
    assert_eq!(found, [(left[0], true), (left[2], false)]);
    // A marker that is the latest.
    let marker = match deleted(&mut fixture, bucket, Delete::object(Bytes::from_static(b"key"))) {
        Deletion::MarkerMade(marker) => marker.version,
        other => panic!("{other:?}"),
    };
    assert_eq!(ids(&entries(&fixture, all(bucket)))[0], (marker, true));
    let found = ids(&entries(&fixture, behind(marker)));
    assert_eq!(found, [(left[0], false), (left[2], false)]);
    let newest = VersionId(u64::MAX);
    assert_eq!(ids(&entries(&fixture, behind(newest)))[0], (marker, true));
}

/// Rows that a listing looks at.
fn rows_of<T>(listing: impl FnOnce() -> T) -> (T, u64) {
    let before = ROWS_VISITED.get();
    let page = listing();
    (page, ROWS_VISITED.get() - before)
}

#[test]
fn a_page_looks_at_no_more_rows_than_it_has_entries_and_one() {
    let mut fixture = Fixture::new();
    let bucket = versioned(&mut fixture);
    let mut txn = fixture.writer().begin(1_000).unwrap();
    // Below `b/` lie 3,000 rows, of one key 2,000 of them; `m/` has only markers.
    let mut put = |key: &str| {
        let object = new_object(bucket, key.as_bytes());
        txn.apply(&Mutation::Put { object, content: inline(b"x") }).unwrap();
    };
    (0..500).for_each(|number| put(&format!("a/{number:04}")));
    (0..1000).for_each(|number| put(&format!("b/{number:04}")));
    (0..2000).for_each(|_| put("b/many"));
    put("c");
    (0..10).for_each(|number| put(&format!("z/{number}")));
    for number in 0..1000 {
        let delete = Delete::object(Bytes::from(format!("m/{number:04}")));
        txn.apply(&Mutation::Delete { bucket, delete }).unwrap();
    }
    txn.commit().unwrap();
    let snapshot = fixture.index().read().unwrap();
    let slash = Some(Bytes::from_static(b"/"));
    for (prefix, delimiter, after, limit) in [
        ("", slash.clone(), None, 1000),
        ("", slash.clone(), Some("a/"), 2),
        ("", None, None, 10),
        ("b/", None, Some("b/0990"), 10),
        ("b/many", None, None, 10),
        ("m/", None, None, 10),
        ("", None, Some("b/many"), 10),
    ] {
        let prefix = Bytes::from_static(prefix.as_bytes());
        let after = after.map(|after| Bytes::from_static(after.as_bytes()));
        let objects = ListObjects {
            bucket,
            prefix: prefix.clone(),
            delimiter: delimiter.clone(),
            after: after.clone(),
            limit,
        };
        let (page, rows) = rows_of(|| snapshot.list_objects(&objects).unwrap());
        assert!(rows <= page.entries.len() as u64 + 1, "{rows} rows: {objects:?}");
        let versions = ListVersions {
            bucket,
            prefix,
            delimiter,
            key_after: after,
            version_after: None,
            limit,
        };
        // The same of each of the two tables.
        let (page, rows) = rows_of(|| snapshot.list_versions(&versions).unwrap());
        assert!(rows <= 2 * (page.entries.len() as u64 + 1), "{rows} rows: {versions:?}");
    }
    let (page, rows) = rows_of(|| {
        let prefix = Bytes::from_static(b"m/");
        let request = ListObjects { bucket, prefix, delimiter: None, after: None, limit: 1000 };
        snapshot.list_objects(&request).unwrap()
    });
    assert_eq!((page.entries.len(), rows), (0, 0), "markers cost a plain listing nothing");
}
