//! The walk finds what is planted, each kind of damage by itself.

use super::*;
use crate::id::*;
use crate::limits::WALK_FINDINGS_MAX;

const MIB: u64 = 1 << 20;

/// An index with one of everything.
struct Planted {
    fixture: Fixture,
    bucket: BucketId,
    object: ObjectRecord,
    manifest: ManifestId,
    upload: UploadId,
}

fn planted() -> Planted {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let object = fixture.put(bucket, b"small", fixture.content(&[4096]));
    fixture.put(bucket, b"large", fixture.content(&[20 * MIB]));
    let upload = fixture.create_upload(bucket, b"multi");
    let part = fixture.put_part(upload, 3, fixture.content(&[5000]));
    let complete = Mutation::Complete {
        upload,
        parts: vec![(PartNumber(3), part)],
        object: new_object(bucket, b"multi"),
        crc64: None,
    };
    fixture.apply(complete).unwrap();
    let manifest = upload.into();
    let upload = fixture.create_upload(bucket, b"unfinished");
    fixture.put_part(upload, 1, inline(b"part"));
    fixture.assert_consistent();
    Planted { fixture, bucket, object, manifest, upload }
}

/// Changes tables behind the index's back, then wants a finding that says `what`.
#[track_caller]
fn finds(what: &str, change: impl FnOnce(&Planted, &Tables, &mut heed::RwTxn<'_>)) {
    let mut planted = planted();
    let (tables, env) = (planted.fixture.index().tables, planted.fixture.index().env.clone());
    let mut txn = env.write_txn().unwrap();
    change(&planted, &tables, &mut txn);
    txn.commit().unwrap();
    drop(env);
    planted.fixture.reopen();
    let report = planted.fixture.walk();
    let found = report.findings.iter().any(|finding| finding.to_string().contains(what));
    assert!(found, "wanted {what:?}, found {:#?}", report.findings);
}

fn change_extent(
    tables: &Tables,
    txn: &mut heed::RwTxn<'_>,
    id: ExtentId,
    change: impl FnOnce(&mut ExtentRecord),
) {
    let mut record = tables.extent(txn, id).unwrap().unwrap();
    change(&mut record);
    tables.put_extent(txn, id, &record).unwrap();
}

#[test]
fn wrong_counts_are_found() {
    finds("counts 2 references, 1 found", |planted, tables, txn| {
        let id = planted.object.body.slices()[0].extent;
        change_extent(tables, txn, id, |record| record.references = 2);
    });
    finds("counts 5 references, 1 found", |planted, tables, txn| {
        let mut record = tables.manifest(txn, planted.manifest).unwrap().unwrap();
        record.references = 5;
        tables.put_manifest(txn, planted.manifest, &record).unwrap();
    });
    finds("counts 1 references, 0 found", |planted, tables, txn| {
        tables.current.delete(txn, &keys::object(planted.bucket, b"small")).unwrap();
    });
    finds("nothing refers to it and it waits for nothing", |planted, tables, txn| {
        tables.current.delete(txn, &keys::object(planted.bucket, b"small")).unwrap();
        let id = planted.object.body.slices()[0].extent;
        change_extent(tables, txn, id, |record| record.references = 0);
    });
}

#[test]
fn wrong_places_are_found() {
    let with_location = |change: fn(&mut ExtentLocation)| {
        move |planted: &Planted, tables: &Tables, txn: &mut heed::RwTxn<'_>| {
            let id = planted.object.body.slices()[0].extent;
            change_extent(tables, txn, id, |record| change(&mut record.location));
        }
    };
    finds("not there", with_location(|location| location.device = DeviceId(3)));
    finds("leaves its device", with_location(|location| location.offset_blocks = 0));
    finds("leaves its device", with_location(|location| location.offset_blocks = 1 << 40));
    finds("overlaps", with_location(|location| location.length_blocks = 1 << 39));
    finds("does not fit", with_location(|location| location.length_blocks = 0));
}

#[test]
fn missing_and_surplus_rows_are_found() {
    finds("names an absent extent", |planted, tables, txn| {
        let id = planted.object.body.slices()[0].extent;
        tables.extents.delete(txn, &keys::number(id.0)).unwrap();
    });
    finds("checksums of an extent absent", |_, tables, txn| {
        let first = tables.block_checksums.first(txn).unwrap().unwrap().0.to_vec();
        tables.block_checksums.delete(txn, &first).unwrap();
    });
    finds("its extent is not there", |_, tables, txn| {
        let key = keys::checksums(ExtentId(1 << 40), 0);
        tables.block_checksums.put(txn, &key, &[0; 8]).unwrap();
    });
    finds("does not fit its extent's length", |_, tables, txn| {
        let last = tables.block_checksums.last(txn).unwrap().unwrap().0.to_vec();
        tables.block_checksums.put(txn, &last, &[0; 8]).unwrap();
    });
    finds("is not there", |planted, tables, txn| {
        tables.manifests.delete(txn, &keys::number(planted.manifest.0)).unwrap();
    });
    finds("is not as listed", |planted, tables, txn| {
        tables.parts.delete(txn, &keys::part(planted.manifest, PartNumber(3))).unwrap();
    });
    finds("a row of a manifest is absent", |planted, tables, txn| {
        tables.part_offsets.delete(txn, &keys::part_offsets(planted.manifest, 1)).unwrap();
    });
    finds("belongs to no upload", |planted, tables, txn| {
        let part = tables.part(txn, planted.manifest, PartNumber(3)).unwrap().unwrap();
        let part = part.to_record();
        tables.put_part(txn, planted.manifest, PartNumber(4), &part).unwrap();
    });
    finds("belongs to no upload", |planted, tables, txn| {
        tables.upload_rows.delete(txn, &keys::number(planted.upload.0)).unwrap();
    });
    finds("its upload is not there", |planted, tables, txn| {
        tables.upload_rows.delete(txn, &keys::number(planted.upload.0)).unwrap();
    });
    finds("no row of uploads", |planted, tables, txn| {
        let key = keys::upload(planted.bucket, b"unfinished", planted.upload);
        tables.uploads.delete(txn, &key).unwrap();
    });
    finds("is not there", |_, tables, txn| {
        tables.buckets.delete(txn, b"bucket").unwrap();
    });
    finds("no bucket has this id", |_, tables, txn| {
        tables.bucket_names.put(txn, &keys::number(1 << 40), b"ghost").unwrap();
    });
    finds("would free what is in use", |planted, tables, txn| {
        let key = keys::reclaim(1, planted.manifest.0);
        tables.reclaim.put(txn, &key, &[1, 0]).unwrap();
    });
}

/// Changes tables of an index whose bucket has a null version, a version that is the latest, and
/// beside it a key whose latest is a marker.
#[track_caller]
fn finds_in_versions(
    what: &str,
    change: impl FnOnce(&Tables, &mut heed::RwTxn<'_>, BucketId, &[ObjectRecord; 2]),
) {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let null = fixture.put(bucket, b"key", fixture.content(&[4096]));
    let versioning = Versioning::Enabled;
    fixture.apply(Mutation::SetVersioning { bucket, versioning }).unwrap();
    let latest = fixture.put(bucket, b"key", fixture.content(&[4096]));
    let delete = Delete::object(bytes::Bytes::from_static(b"marked"));
    fixture.apply(Mutation::Delete { bucket, delete }).unwrap();
    let report = fixture.assert_consistent();
    assert_eq!((report.objects, report.versions, report.markers), (1, 1, 1));
    let (tables, env) = (fixture.index().tables, fixture.index().env.clone());
    let mut txn = env.write_txn().unwrap();
    change(&tables, &mut txn, bucket, &[null, latest]);
    txn.commit().unwrap();
    drop(env);
    fixture.reopen();
    let report = fixture.walk();
    let found = report.findings.iter().any(|finding| finding.to_string().contains(what));
    assert!(found, "wanted {what:?}, found {:#?}", report.findings);
}

#[test]
fn damage_to_versions_is_found() {
    let key = |bucket, row| keys::version(bucket, b"key", row);
    finds_in_versions("references, 0 found", |tables, txn, bucket, [null, _]| {
        tables.versions.delete(txn, &key(bucket, null.row)).unwrap();
    });
    finds_in_versions("nulls", |tables, txn, bucket, [null, _]| {
        tables.versions.delete(txn, &key(bucket, null.row)).unwrap();
    });
    finds_in_versions("no row of nulls leads to it", |tables, txn, bucket, _| {
        tables.nulls.delete(txn, &keys::object(bucket, b"key")).unwrap();
    });
    finds_in_versions("which belongs into current", |tables, txn, bucket, _| {
        tables.current.delete(txn, &keys::object(bucket, b"key")).unwrap();
    });
    finds_in_versions("newer than the latest", |tables, txn, bucket, [null, latest]| {
        let row = RowId(latest.row.0 + 100);
        let record = ObjectRecord { row, version: VersionId(row.0), ..null.clone() };
        tables.versions.put(txn, &key(bucket, row), &record.encode()).unwrap();
    });
    finds_in_versions("a second null version", |tables, txn, bucket, [_, latest]| {
        let record = ObjectRecord { version: VersionId::NULL, ..latest.clone() };
        tables.current.put(txn, &keys::object(bucket, b"key"), &record.encode()).unwrap();
    });
    finds_in_versions("has row", |tables, txn, bucket, [_, latest]| {
        let record = ObjectRecord { version: VersionId(3), ..latest.clone() };
        tables.current.put(txn, &keys::object(bucket, b"key"), &record.encode()).unwrap();
    });
    finds_in_versions("stands in it", |tables, txn, bucket, [null, latest]| {
        let bytes = tables.current.get(txn, &keys::object(bucket, b"key")).unwrap();
        let bytes = bytes.unwrap().to_vec();
        tables.versions.put(txn, &key(bucket, null.row), &bytes).unwrap();
        assert_ne!(null.row, latest.row);
    });
    finds_in_versions("was never versioned", |tables, txn, bucket, _| {
        let mut row = tables.bucket(txn, "bucket").unwrap().unwrap();
        assert_eq!(row.id, bucket);
        row.versioning = Versioning::Off;
        tables.buckets.put(txn, b"bucket", &row.encode()).unwrap();
    });
    finds_in_versions("bucket_settings", |tables, txn, _, _| {
        let key = keys::setting(BucketId(999), SettingKind(1));
        tables.bucket_settings.put(txn, &key, b"x").unwrap();
    });
}

#[test]
fn damaged_rows_are_found_and_the_walk_goes_on() {
    finds("cut short", |planted, tables, txn| {
        tables.current.put(txn, &keys::object(planted.bucket, b"small"), &[1, 0]).unwrap();
    });
    finds("format version 200", |planted, tables, txn| {
        let id = planted.object.body.slices()[0].extent;
        tables.extents.put(txn, &keys::number(id.0), &[200]).unwrap();
    });
    finds("bytes found, size", |planted, tables, txn| {
        let key = keys::object(planted.bucket, b"small");
        let mut record = tables.object(txn, planted.bucket, b"small").unwrap().unwrap().to_record();
        record.size += 1;
        tables.current.put(txn, &key, &record.encode()).unwrap();
    });
    finds("leaves extent", |planted, tables, txn| {
        let key = keys::object(planted.bucket, b"small");
        let mut record = planted.object.clone();
        record.body = Body::Slices(vec![Slice { offset: 1, ..record.body.slices()[0] }]);
        tables.current.put(txn, &key, &record.encode()).unwrap();
    });
}

#[test]
fn findings_are_bounded_progress_is_told_and_the_caller_may_add() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let objects = WALK_FINDINGS_MAX as u64 + 5;
    let index = fixture.index().clone();
    let mut txn = fixture.writer().begin(0).unwrap();
    for number in 0..objects {
        let object = new_object(bucket, &number.to_be_bytes());
        let content = content(&index, &[4096]);
        txn.apply(&Mutation::Put { object, content }).unwrap();
    }
    txn.commit().unwrap();
    let mut tables = Vec::new();
    let report = walk(
        &index,
        &[DEVICE],
        &mut |progress| tables.push(progress.table),
        &mut |id, record, checksums| {
            assert_eq!((checksums, record.data_length), (&[id.0][..], 4096));
            Some("the data does not match".into())
        },
    )
    .unwrap();
    assert_eq!(report.findings.len(), WALK_FINDINGS_MAX);
    assert_eq!((report.findings_total, report.extents), (objects, objects));
    assert_eq!((report.objects, report.object_bytes), (objects, objects * 4096));
    assert!(tables.contains(&"extents") && tables.contains(&"reclaim"), "{tables:?}");
}
