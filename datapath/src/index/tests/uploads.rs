//! Multipart uploads and the objects made of them.

use bytes::Bytes;

use super::*;
use crate::error::StoreError;
use crate::id::*;

const KIB: u64 = 1024;

fn complete(upload: UploadId, bucket: BucketId, parts: &[(u16, PartId)]) -> Mutation {
    let parts = parts.iter().map(|(number, id)| (PartNumber(*number), *id)).collect();
    Mutation::Complete { upload, parts, object: new_object(bucket, b"key"), crc64: Some(5) }
}

fn completed(outcome: Result<Outcome, StoreError>) -> ObjectRecord {
    match outcome {
        Ok(Outcome::Object(record)) => record,
        other => panic!("{other:?}"),
    }
}

#[test]
fn parts_are_listed_replaced_and_completed() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let upload = fixture.create_upload(bucket, b"key");
    let ids: Vec<PartId> = [7, 2, 9, 300]
        .iter()
        .map(|number| fixture.put_part(upload, *number, fixture.content(&[KIB])))
        .collect();
    let two = fixture.put_part(upload, 2, fixture.content(&[3 * KIB]));
    assert_eq!(fixture.effects.freed.len(), 1, "the replaced part's extent");
    {
        let snapshot = fixture.index().read().unwrap();
        let parts = snapshot.parts(upload, PartNumber(2), 2).unwrap();
        assert_eq!(parts.iter().map(|part| part.number.0).collect::<Vec<_>>(), [7, 9]);
        assert_eq!(parts[0].id, ids[0]);
        assert_eq!(snapshot.parts(upload, PartNumber(u16::MAX), 9).unwrap(), []);
        assert_eq!(snapshot.upload(upload).unwrap().unwrap().key, &b"key"[..]);
    }
    let mut attempt = |parts: &[(u16, PartId)]| fixture.apply(complete(upload, bucket, parts));
    let changed = |number| Err(StoreError::PartChanged(PartNumber(number)));
    assert_eq!(attempt(&[]), changed(0));
    assert_eq!(attempt(&[(2, ids[1])]), changed(2), "the old content of part 2");
    assert_eq!(attempt(&[(2, two), (3, two)]), changed(3), "no such part");
    assert_eq!(attempt(&[(7, ids[0]), (2, two)]), changed(2), "out of order");
    assert_eq!(attempt(&[(2, two), (2, two)]), changed(2), "twice");
    let record = completed(attempt(&[(2, two), (9, ids[2])]));
    let manifest = record.body.manifest().unwrap();
    assert_eq!((record.size, record.to_object().part_count), (4 * KIB, 2));
    assert_eq!(attempt(&[(2, two)]), Err(StoreError::NoSuchUpload));
    fixture.assert_consistent();
    assert_eq!(fixture.reclaim(1), 5, "four parts one by one, and once to see the end");
    assert_eq!(fixture.effects.freed.len(), 3);
    assert_eq!(fixture.assert_consistent().parts, 2);
    let snapshot = fixture.index().read().unwrap();
    let entry = |number, start, end| Some(PartEntry { number: PartNumber(number), start, end });
    assert_eq!(snapshot.part_at(manifest, 0).unwrap(), entry(2, 0, 3 * KIB));
    assert_eq!(snapshot.part_at(manifest, 3 * KIB).unwrap(), entry(9, 3 * KIB, 4 * KIB));
    assert_eq!(snapshot.part_at(manifest, 4 * KIB).unwrap(), None);
    assert_eq!(snapshot.part_entry(manifest, PartNumber(9)).unwrap(), entry(9, 3 * KIB, 4 * KIB));
    assert_eq!(snapshot.part_entry(manifest, PartNumber(7)).unwrap(), None);
}

#[test]
fn ten_thousand_parts_are_completed_found_copied_and_freed_in_steps() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let upload = fixture.create_upload(bucket, b"key");
    let mut parts = Vec::new();
    {
        let index = fixture.index().clone();
        let mut txn = fixture.writer().begin(0).unwrap();
        for number in 1..=10_000u16 {
            let content = content(&index, &[u64::from(number % 7 + 1)]);
            match txn.apply(&new_part(upload, number, content)).unwrap() {
                Outcome::Part(part) => parts.push((number, part.id)),
                other => panic!("{other:?}"),
            }
        }
        txn.commit().unwrap();
    }
    let record = completed(fixture.apply(complete(upload, bucket, &parts)));
    let manifest = record.body.manifest().unwrap();
    fixture.put(bucket, b"copy", reference(&record.body, record.size));
    fixture.assert_consistent();
    {
        let snapshot = fixture.index().read().unwrap();
        let mut start = 0;
        for number in 1..=10_000u16 {
            let end = start + u64::from(number % 7 + 1);
            let entry = Some(PartEntry { number: PartNumber(number), start, end });
            assert_eq!(snapshot.part_at(manifest, start).unwrap(), entry);
            assert_eq!(snapshot.part_at(manifest, end - 1).unwrap(), entry);
            assert_eq!(snapshot.part_entry(manifest, PartNumber(number)).unwrap(), entry);
            start = end;
        }
        assert_eq!(start, record.size);
        assert_eq!(snapshot.part_at(manifest, start).unwrap(), None);
    }
    fixture.delete(bucket, b"key");
    assert_eq!(fixture.reclaim(256), 1, "the copy still has the parts");
    assert_eq!(fixture.effects.freed.len(), 0);
    fixture.delete(bucket, b"copy");
    let mut txn = fixture.writer().begin(0).unwrap();
    assert!(txn.reclaim(&NothingHeld, 256).unwrap().more);
    assert_eq!(txn.commit().unwrap().freed.len(), 256);
    fixture.assert_consistent();
    fixture.reopen();
    assert_eq!(fixture.reclaim(256), (10_000 - 256usize).div_ceil(256));
    assert_eq!(fixture.effects.freed.len(), 10_000 - 256);
    let report = fixture.assert_consistent();
    assert_eq!((report.parts, report.extents, report.objects), (0, 0, 0));
    assert_eq!(fixture.index().read().unwrap().manifest(manifest).unwrap(), None);
}

#[test]
fn a_part_of_no_bytes_is_a_part() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let upload = fixture.create_upload(bucket, b"key");
    let one = fixture.put_part(upload, 1, inline(b"abc"));
    let two = fixture.put_part(upload, 2, inline(b""));
    let three = fixture.put_part(upload, 3, inline(b"d"));
    let parts = [(1, one), (2, two), (3, three)];
    let record = completed(fixture.apply(complete(upload, bucket, &parts)));
    let manifest = record.body.manifest().unwrap();
    let snapshot = fixture.index().read().unwrap();
    assert_eq!(snapshot.part_at(manifest, 3).unwrap().unwrap().number, PartNumber(3));
    let entry = snapshot.part_entry(manifest, PartNumber(2)).unwrap().unwrap();
    assert_eq!((entry.start, entry.end), (3, 3));
    fixture.assert_consistent();
}

#[test]
fn aborting_frees_all_parts_later() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let upload = fixture.create_upload(bucket, b"key");
    for number in 1..=5 {
        fixture.put_part(upload, number, fixture.content(&[KIB, 2 * 1024 * KIB]));
    }
    fixture.apply(Mutation::Abort { upload }).unwrap();
    assert_eq!(fixture.apply(Mutation::Abort { upload }), Err(StoreError::NoSuchUpload));
    let late = new_part(upload, 6, fixture.content(&[KIB]));
    assert_eq!(fixture.apply(late), Err(StoreError::NoSuchUpload));
    fixture.assert_consistent();
    fixture.reopen();
    fixture.reclaim(2);
    assert_eq!(fixture.effects.freed.len(), 10);
    let report = fixture.assert_consistent();
    assert_eq!((report.uploads, report.parts, report.extents), (0, 0, 0));
}

#[test]
fn completing_holds_to_bucket_key_and_condition() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let other = fixture.bucket("other");
    let upload = fixture.create_upload(bucket, b"key");
    let part = fixture.put_part(upload, 1, inline(b"abc"));
    let elsewhere = fixture.apply(complete(upload, other, &[(1, part)]));
    assert_eq!(elsewhere, Err(StoreError::NoSuchUpload));
    let old = fixture.put(bucket, b"key", fixture.content(&[KIB]));
    let object = NewObject { condition: Condition::Absent, ..new_object(bucket, b"key") };
    let parts = vec![(PartNumber(1), part)];
    let refused = Mutation::Complete { upload, parts, object, crc64: None };
    assert_eq!(fixture.apply(refused), Err(StoreError::ConditionFailed));
    completed(fixture.apply(complete(upload, bucket, &[(1, part)])));
    assert_eq!(fixture.effects.released[0].row, old.row);
    fixture.assert_consistent();
}

#[test]
fn impossible_parts_are_refused() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let upload = fixture.create_upload(bucket, b"key");
    for number in [0, 10_001, u16::MAX] {
        let part = new_part(upload, number, inline(b"x"));
        assert!(matches!(fixture.apply(part), Err(StoreError::Index(_))));
    }
    let body = Body::Manifest { id: ManifestId(1), parts: 1 };
    let part = new_part(upload, 1, reference(&body, 0));
    assert!(matches!(fixture.apply(part), Err(StoreError::Index(_))));
    let key = Bytes::from(vec![b'k'; 1025]);
    let create = Mutation::CreateUpload { bucket, key, attributes: Bytes::new() };
    assert_eq!(fixture.apply(create), Err(StoreError::KeyTooLong));
}
