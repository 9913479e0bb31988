//! Buckets, objects, conditions, and the references of objects.

use bytes::Bytes;

use super::*;
use crate::error::StoreError;
use crate::id::*;
use crate::limits::{ATTRIBUTES_BYTES_MAX, BUCKETS_MAX, INDEX_READERS_MAX, OBJECT_KEY_BYTES_MAX};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

#[test]
fn a_bucket_comes_and_goes_and_its_id_is_not_reused() {
    let mut fixture = Fixture::new();
    let first = fixture.bucket("name");
    let again = create_bucket("name");
    assert_eq!(fixture.apply(again), Err(StoreError::BucketExists));
    fixture.put(first, b"", inline(b"empty key"));
    let delete = || Mutation::DeleteBucket { name: "name".into() };
    assert_eq!(fixture.apply(delete()), Err(StoreError::BucketNotEmpty));
    fixture.delete(first, b"");
    let upload = fixture.create_upload(first, b"key");
    assert_eq!(fixture.apply(delete()), Err(StoreError::BucketNotEmpty));
    fixture.apply(Mutation::Abort { upload }).unwrap();
    let on = Mutation::SetPublicRead { name: "name".into(), on: true };
    assert_eq!(fixture.apply(on), Ok(Outcome::Done));
    assert!(fixture.index().read().unwrap().bucket("name").unwrap().unwrap().public_read);
    assert_eq!(fixture.apply(delete()), Ok(Outcome::Done));
    assert_eq!(fixture.apply(delete()), Err(StoreError::NoSuchBucket));
    let object = new_object(first, b"key");
    let late = Mutation::Put { object, content: inline(b"late") };
    assert_eq!(fixture.apply(late), Err(StoreError::NoSuchBucket));
    assert_ne!(fixture.bucket("name"), first);
    let buckets = fixture.index().read().unwrap().buckets().unwrap();
    assert_eq!(buckets.iter().map(|bucket| &*bucket.name).collect::<Vec<_>>(), ["name"]);
    fixture.reclaim(100);
    fixture.assert_consistent();
}

#[test]
fn names_and_attributes_out_of_bounds_are_refused() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    for name in ["", &"n".repeat(256)] {
        let create = create_bucket(name);
        assert!(matches!(fixture.apply(create), Err(StoreError::Index(_))));
        assert_eq!(fixture.index().read().unwrap().bucket(name).unwrap(), None);
    }
    let key = vec![b'k'; OBJECT_KEY_BYTES_MAX + 1];
    let put = Mutation::Put { object: new_object(bucket, &key), content: inline(b"") };
    assert_eq!(fixture.apply(put), Err(StoreError::KeyTooLong));
    assert!(fixture.index().read().unwrap().object(bucket, &key).unwrap().is_none());
    let attributes = Bytes::from(vec![0; ATTRIBUTES_BYTES_MAX + 1]);
    let object = NewObject { attributes, ..new_object(bucket, b"key") };
    let put = Mutation::Put { object, content: inline(b"") };
    assert!(matches!(fixture.apply(put), Err(StoreError::Index(_))));
}

#[test]
fn conditions_are_held_against_what_is_there() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let tags = |tags: &[&str]| tags.iter().map(|tag| Box::from(*tag)).collect::<Vec<_>>();
    let cases = [
        (Condition::None, None, None),
        (Condition::Absent, None, Some(StoreError::ConditionFailed)),
        (Condition::Present, Some(StoreError::NoSuchKey), None),
        (Condition::TagIs(tags(&["a", "tag"])), Some(StoreError::NoSuchKey), None),
        (
            Condition::TagIs(tags(&["other"])),
            Some(StoreError::NoSuchKey),
            Some(StoreError::ConditionFailed),
        ),
        (Condition::TagIsNot(tags(&["tag"])), None, Some(StoreError::ConditionFailed)),
        (Condition::TagIsNot(tags(&["other"])), None, None),
    ];
    for (condition, absent, present) in cases {
        for (key, expected) in [(&b"absent"[..], absent), (&b"present"[..], present)] {
            if key == b"present" {
                fixture.put(bucket, key, inline(b"old"));
            }
            let condition_too = condition.clone();
            let delete =
                Delete { condition: condition_too, ..Delete::object(Bytes::copy_from_slice(key)) };
            let delete = Mutation::Delete { bucket, delete };
            assert_eq!(fixture.apply(delete).err(), expected, "delete {key:?} if {condition:?}");
            if key == b"present" {
                fixture.put(bucket, key, inline(b"old"));
            }
            let object = NewObject { condition: condition.clone(), ..new_object(bucket, key) };
            let put = Mutation::Put { object, content: inline(b"new") };
            assert_eq!(fixture.apply(put).err(), expected, "put {key:?} if {condition:?}");
            fixture.delete(bucket, key);
        }
    }
}

#[test]
fn overwriting_and_deleting_free_extents() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let first = fixture.content(&[5 * KIB, 64 * KIB]);
    let places: Vec<_> = first.extents.iter().map(|new| (new.id, new.location)).collect();
    let first = fixture.put(bucket, b"key", first);
    let second = fixture.put(bucket, b"key", fixture.content(&[MIB]));
    assert_eq!(fixture.effects.freed, places);
    let ids: Vec<_> = places.iter().map(|place| place.0).collect();
    let released = Released { row: first.row, extents: ids, manifest: None };
    assert_eq!(fixture.effects.released, [released]);
    assert_eq!(fixture.delete(bucket, b"key"), Some(second.to_object()));
    assert_eq!(fixture.effects.freed.len(), 3);
    assert_eq!(fixture.delete(bucket, b"key"), None);
    let report = fixture.assert_consistent();
    assert_eq!((report.objects, report.extents), (0, 0));
}

#[test]
fn an_extent_with_checksum_rows_is_freed_in_steps() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    // 1000 blocks: 8 rows of checksums.
    let content = fixture.content(&[1000 * 64 * KIB - 5]);
    let extent = content.extents[0].clone();
    fixture.put(bucket, b"key", content);
    {
        let snapshot = fixture.index().read().unwrap();
        let record = snapshot.extent(extent.id).unwrap().unwrap();
        for (first, count) in [(0, 1000), (127, 2), (0, 0), (999, 1), (128, 128)] {
            let found = snapshot.checksums(extent.id, &record, first as u64, count).unwrap();
            assert_eq!(found, extent.crcs[first..first + count]);
        }
        assert!(snapshot.checksums(extent.id, &record, 999, 2).is_err());
        assert!(snapshot.checksums(extent.id, &record, u64::MAX, 2).is_err());
    }
    fixture.delete(bucket, b"key");
    assert_eq!(fixture.effects.freed, [], "readers may still look checksums up");
    fixture.assert_consistent();
    let mut txn = fixture.writer().begin(0).unwrap();
    assert!(txn.reclaim(&NothingHeld, 3).unwrap().more);
    txn.commit().unwrap();
    fixture.assert_consistent();
    fixture.reopen();
    assert_eq!(fixture.reclaim(3), 2);
    assert_eq!(fixture.effects.freed, [(extent.id, extent.location)]);
    assert_eq!(fixture.assert_consistent().extents, 0);
}

#[test]
fn copies_share_extents_until_the_last_is_gone() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let original = fixture.put(bucket, b"a", fixture.content(&[64 * KIB, 2 * MIB]));
    fixture.put(bucket, b"b", reference(&original.body, original.size));
    // Onto itself: must not lose its extents in between.
    let copied = fixture.put(bucket, b"a", reference(&original.body, original.size));
    assert_ne!(copied.row, original.row);
    // Twice the same slice, from its middle.
    let slice = Slice { offset: 100, length: 1000, ..original.body.slices()[0] };
    fixture.put(bucket, b"c", reference(&Body::Slices(vec![slice, slice]), 2000));
    fixture.assert_consistent();
    fixture.delete(bucket, b"a");
    fixture.delete(bucket, b"b");
    fixture.reclaim(100);
    assert_eq!(fixture.effects.freed.len(), 1, "c still has the first extent");
    fixture.assert_consistent();
    fixture.delete(bucket, b"c");
    assert_eq!(fixture.effects.freed.len(), 2);
    fixture.assert_consistent();
}

#[test]
fn copying_what_was_deleted_meanwhile_is_refused() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    for size in [64 * KIB, 2 * MIB] {
        let original = fixture.put(bucket, b"a", fixture.content(&[size]));
        fixture.delete(bucket, b"a");
        let content = reference(&original.body, original.size);
        let copy = Mutation::Put { object: new_object(bucket, b"b"), content };
        assert_eq!(fixture.apply(copy), Err(StoreError::SourceChanged));
    }
    let body = Body::Manifest { id: ManifestId(77), parts: 1 };
    let object = new_object(bucket, b"b");
    let copy = Mutation::Put { object, content: reference(&body, 0) };
    assert_eq!(fixture.apply(copy), Err(StoreError::SourceChanged));
}

#[test]
fn contents_that_do_not_fit_are_refused() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let good = fixture.content(&[64 * KIB]);
    let with = |change: &dyn Fn(&mut Content)| {
        let mut content = good.clone();
        change(&mut content);
        content
    };
    let slice = |change: &dyn Fn(&mut Slice)| {
        with(&|content| match &mut content.body {
            Body::Slices(slices) => change(&mut slices[0]),
            _ => unreachable!(),
        })
    };
    let refused = [
        with(&|content| content.size += 1),
        with(&|content| content.extents[0].crcs.push(0)),
        with(&|content| content.extents[0].location.length_blocks -= 1),
        with(&|content| content.body = Body::Slices(Vec::new())),
        with(&|content| content.body = inline(b"").body),
        slice(&|slice| slice.offset = 1),
        slice(&|slice| slice.length = 0),
        slice(&|slice| slice.offset = u64::MAX),
        slice(&|slice| slice.extent = ExtentId(u64::MAX)),
    ];
    for content in refused {
        let shown = format!("{content:?}");
        let put = Mutation::Put { object: new_object(bucket, b"key"), content };
        assert!(fixture.apply(put).is_err(), "{shown}");
    }
    fixture.put(bucket, b"key", good);
    fixture.assert_consistent();
}

#[test]
fn many_keys_are_deleted_each_with_its_own_outcome() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let a = fixture.put(bucket, b"a", fixture.content(&[KIB]));
    fixture.put(bucket, b"b", inline(b"b"));
    let key = Bytes::from_static;
    let delete = |name, condition| Delete { condition, ..Delete::object(key(name)) };
    let deletes = vec![
        delete(b"a", Condition::None),
        delete(b"a", Condition::None),
        delete(b"b", Condition::Absent),
        delete(b"c", Condition::Present),
    ];
    let expected = vec![
        Ok(Deletion::Removed(a.to_object())),
        Ok(Deletion::Nothing),
        Err(StoreError::ConditionFailed),
        Err(StoreError::NoSuchKey),
    ];
    let outcome = fixture.apply(Mutation::DeleteMany { bucket, deletes });
    assert_eq!(outcome, Ok(Outcome::DeletedMany(expected)));
    assert_eq!(fixture.assert_consistent().objects, 1);
}

#[test]
fn buckets_are_bounded() {
    let mut fixture = Fixture::new();
    let mut txn = fixture.writer().begin(0).unwrap();
    let create = |name: u64| create_bucket(&name.to_string());
    for name in 0..BUCKETS_MAX {
        txn.apply(&create(name)).unwrap();
    }
    txn.commit().unwrap();
    assert_eq!(fixture.apply(create(BUCKETS_MAX)), Err(StoreError::TooManyBuckets));
    fixture.apply(Mutation::DeleteBucket { name: "0".into() }).unwrap();
    fixture.apply(create(BUCKETS_MAX)).unwrap();
}

#[test]
fn too_many_readers_are_an_overload() {
    let fixture = Fixture::new();
    let mut readers = Vec::new();
    let error = loop {
        match fixture.index().read() {
            Ok(reader) => readers.push(reader),
            Err(error) => break error,
        }
    };
    assert_eq!(readers.len(), INDEX_READERS_MAX as usize);
    assert!(matches!(StoreError::from(error), StoreError::Overload(_)));
    readers.pop();
    assert!(fixture.index().read().is_ok());
}
