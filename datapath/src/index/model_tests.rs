//! Random changes against a model of maps, with reopening and reclaiming in between.
//!
//! The model knows for each object and part which extents its bytes are in. After each run the
//! index must show the same objects with the same bytes, the walk must find nothing, and every
//! extent ever written must be either referred to or freed, exactly once.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::testing::*;
use super::*;
use crate::error::StoreError;
use crate::id::*;

/// Names are small numbers so that changes meet.
#[derive(Debug, Clone)]
enum Change {
    Put { key: u8, extents: Vec<u64>, condition: u8 },
    PutInline { key: u8, length: u8 },
    Copy { from: u8, to: u8 },
    Delete { key: u8, condition: u8 },
    DeleteMany { keys: Vec<u8> },
    CreateUpload { key: u8 },
    PutPart { upload: u8, number: u16, extents: Vec<u64> },
    CopyPart { upload: u8, number: u16, from: u8 },
    Complete { upload: u8, leave_out: u8 },
    Abort { upload: u8 },
    Reclaim { budget: usize },
    Reopen,
}

fn extents() -> impl Strategy<Value = Vec<u64>> {
    // From one block to more than the inline checksums' 16.
    vec(prop_oneof![1..100_000u64, 1_000_000..3_000_000u64], 1..4)
}

fn change() -> impl Strategy<Value = Change> {
    let key = || 0..6u8;
    let number = || 1..5u16;
    prop_oneof![
        4 => (key(), extents(), 0..4u8)
            .prop_map(|(key, extents, condition)| Change::Put { key, extents, condition }),
        1 => (key(), any::<u8>()).prop_map(|(key, length)| Change::PutInline { key, length }),
        4 => (key(), key()).prop_map(|(from, to)| Change::Copy { from, to }),
        3 => (key(), 0..4u8).prop_map(|(key, condition)| Change::Delete { key, condition }),
        1 => vec(key(), 0..5).prop_map(|keys| Change::DeleteMany { keys }),
        2 => key().prop_map(|key| Change::CreateUpload { key }),
        5 => (0..4u8, number(), extents())
            .prop_map(|(upload, number, extents)| Change::PutPart { upload, number, extents }),
        2 => (0..4u8, number(), key())
            .prop_map(|(upload, number, from)| Change::CopyPart { upload, number, from }),
        3 => (0..4u8, 0..6u8)
            .prop_map(|(upload, leave_out)| Change::Complete { upload, leave_out }),
        1 => (0..4u8).prop_map(|upload| Change::Abort { upload }),
        2 => (1..6usize).prop_map(|budget| Change::Reclaim { budget }),
        1 => Just(Change::Reopen),
    ]
}

/// Where bytes are: inline ones, or a run in an extent.
#[derive(Debug, Clone, PartialEq)]
enum Run {
    Inline(Bytes),
    Slice(Slice),
}

#[derive(Debug, Clone)]
struct ModelObject {
    row: RowId,
    runs: Vec<Run>,
}

struct ModelUpload {
    id: UploadId,
    key: u8,
    parts: BTreeMap<u16, (PartId, Vec<Run>)>,
}

struct World {
    fixture: Fixture,
    bucket: BucketId,
    objects: BTreeMap<u8, ModelObject>,
    uploads: Vec<ModelUpload>,
    written: BTreeSet<ExtentId>,
}

fn runs(body: &Body) -> Vec<Run> {
    match body {
        Body::Inline { data, .. } => vec![Run::Inline(data.clone())],
        Body::Slices(slices) => slices.iter().copied().map(Run::Slice).collect(),
        Body::Manifest { .. } => panic!("a manifest has no runs of its own"),
    }
}

fn condition(number: u8) -> Condition {
    match number {
        0 | 1 => Condition::None,
        2 => Condition::Absent,
        _ => Condition::Present,
    }
}

impl World {
    fn new() -> World {
        let mut fixture = Fixture::new();
        let bucket = fixture.bucket("bucket");
        World {
            fixture,
            bucket,
            objects: BTreeMap::new(),
            uploads: Vec::new(),
            written: BTreeSet::new(),
        }
    }

    fn carry_out(&mut self, change: Change) {
        match change {
            Change::Put { key, extents, condition: number } => {
                let content = self.fixture.content(&extents);
                self.put(key, content, condition(number));
            }
            Change::PutInline { key, length } => {
                self.put(key, inline(&vec![key; usize::from(length)]), Condition::None);
            }
            Change::Copy { from, to } => self.copy(from, to),
            Change::Delete { key, condition: number } => {
                let condition = condition(number);
                let allowed = condition.check(self.subject(key));
                let delete = Delete { condition, ..Delete::object(Bytes::copy_from_slice(&[key])) };
                let bucket = self.bucket;
                let outcome = self.fixture.apply(Mutation::Delete { bucket, delete });
                assert_eq!(outcome.as_ref().err(), allowed.as_ref().err());
                if let Ok(outcome) = outcome {
                    let old = match outcome {
                        Outcome::Deleted(Deletion::Removed(old)) => Some(old.row),
                        Outcome::Deleted(Deletion::Nothing) => None,
                        other => panic!("{other:?}"),
                    };
                    assert_eq!(old, self.objects.remove(&key).map(|model| model.row));
                }
            }
            Change::DeleteMany { keys } => {
                let each = |key: &u8| Delete::object(Bytes::copy_from_slice(&[*key]));
                let deletes = keys.iter().map(each).collect();
                let bucket = self.bucket;
                self.fixture.apply(Mutation::DeleteMany { bucket, deletes }).unwrap();
                self.objects.retain(|key, _| !keys.contains(key));
            }
            Change::CreateUpload { key } => {
                if self.uploads.len() < 4 {
                    let id = self.fixture.create_upload(self.bucket, &[key]);
                    self.uploads.push(ModelUpload { id, key, parts: BTreeMap::new() });
                }
            }
            Change::PutPart { upload, number, extents } => {
                let content = self.fixture.content(&extents);
                self.put_part(upload, number, content);
            }
            Change::CopyPart { upload, number, from } => {
                // Every second byte run, from its middle: slices that begin inside extents.
                let Some(source) = self.objects.get(&from) else { return };
                let slices = source.runs.iter().filter_map(|run| match run {
                    Run::Slice(slice) if slice.length > 1 => Some(Slice {
                        offset: slice.offset + slice.length / 2,
                        length: slice.length - slice.length / 2,
                        ..*slice
                    }),
                    _ => None,
                });
                let slices: Vec<Slice> = slices.step_by(2).collect();
                let size = slices.iter().map(|slice| slice.length).sum();
                self.put_part(upload, number, reference(&Body::Slices(slices), size));
            }
            Change::Complete { upload, leave_out } => self.complete(upload, leave_out),
            Change::Abort { upload } => {
                if usize::from(upload) < self.uploads.len() {
                    let upload = self.uploads.remove(usize::from(upload)).id;
                    self.fixture.apply(Mutation::Abort { upload }).unwrap();
                }
            }
            Change::Reclaim { budget } => {
                let mut txn = self.fixture.writer().begin(0).unwrap();
                txn.reclaim(&NothingHeld, budget).unwrap();
                let effects = txn.commit().unwrap();
                self.fixture.effects.freed.extend(effects.freed);
            }
            Change::Reopen => self.fixture.reopen(),
        }
    }

    fn put(&mut self, key: u8, content: Content, condition: Condition) {
        let model = runs(&content.body);
        let written: Vec<ExtentId> = content.extents.iter().map(|new| new.id).collect();
        let allowed = condition.check(self.subject(key));
        let object = NewObject { condition, ..new_object(self.bucket, &[key]) };
        let outcome = self.fixture.apply(Mutation::Put { object, content });
        assert_eq!(outcome.as_ref().err(), allowed.as_ref().err());
        if let Ok(Outcome::Object(record)) = outcome {
            self.written.extend(written);
            self.objects.insert(key, ModelObject { row: record.row, runs: model });
        }
    }

    /// What conditions are held against.
    fn subject(&self, key: u8) -> Subject<'static> {
        self.objects.get(&key).map_or(Subject::Absent, |object| Subject::Object {
            row: object.row,
            entity_tag: "tag",
            size: 0,
            modified_ms: 0,
            latest: true,
        })
    }

    fn copy(&mut self, from: u8, to: u8) {
        let Some(source) = self.objects.get(&from).cloned() else { return };
        let record = {
            let snapshot = self.fixture.index().read().unwrap();
            snapshot.object(self.bucket, &[from]).unwrap().unwrap().to_record()
        };
        let copied = self.fixture.put(self.bucket, &[to], reference(&record.body, record.size));
        self.objects.insert(to, ModelObject { row: copied.row, runs: source.runs });
    }

    fn put_part(&mut self, upload: u8, number: u16, content: Content) {
        let Some(upload) = self.uploads.get_mut(usize::from(upload)) else { return };
        let model = runs(&content.body);
        self.written.extend(content.extents.iter().map(|new| new.id));
        let id = self.fixture.put_part(upload.id, number, content);
        upload.parts.insert(number, (id, model));
    }

    fn complete(&mut self, upload: u8, leave_out: u8) {
        let at = usize::from(upload);
        let Some(upload) = self.uploads.get(at) else { return };
        let listed = upload.parts.iter().filter(|(number, _)| **number != u16::from(leave_out));
        let listed: Vec<_> = listed.map(|(number, part)| (*number, part.clone())).collect();
        let parts = listed.iter().map(|(number, part)| (PartNumber(*number), part.0)).collect();
        let object = new_object(self.bucket, &[upload.key]);
        let complete = Mutation::Complete { upload: upload.id, parts, object, crc64: None };
        match self.fixture.apply(complete) {
            Ok(Outcome::Object(record)) => {
                let upload = self.uploads.remove(at);
                let runs = listed.into_iter().flat_map(|(_, part)| part.1).collect();
                self.objects.insert(upload.key, ModelObject { row: record.row, runs });
            }
            Err(StoreError::PartChanged(PartNumber(0))) => assert!(listed.is_empty()),
            other => panic!("{other:?}"),
        }
    }

    fn compare(&mut self) {
        let report = self.fixture.assert_consistent();
        assert_eq!(report.objects, self.objects.len() as u64);
        assert_eq!(report.uploads, self.uploads.len() as u64);
        {
            let snapshot = self.fixture.index().read().unwrap();
            for (key, model) in &self.objects {
                let record = snapshot.object(self.bucket, &[*key]).unwrap().unwrap().to_record();
                assert_eq!(record.row, model.row);
                let found = match &record.body {
                    Body::Manifest { id, .. } => manifest_runs(&snapshot, *id, record.size),
                    body => runs(body),
                };
                assert_eq!(found, model.runs);
            }
            for upload in &self.uploads {
                let parts = snapshot.parts(upload.id, PartNumber(0), 100).unwrap();
                let found: Vec<_> = parts.iter().map(|part| (part.number.0, part.id)).collect();
                let model: Vec<_> =
                    upload.parts.iter().map(|(number, part)| (*number, part.0)).collect();
                assert_eq!(found, model);
            }
        }
        self.fixture.reclaim(7);
        self.fixture.assert_consistent();
        self.compare_space();
    }

    fn compare_space(&self) {
        let in_objects = self.objects.values().flat_map(|object| &object.runs);
        let in_parts = self.uploads.iter().flat_map(|upload| upload.parts.values());
        let used: BTreeSet<ExtentId> = in_objects
            .chain(in_parts.flat_map(|part| &part.1))
            .filter_map(|run| match run {
                Run::Slice(slice) => Some(slice.extent),
                Run::Inline(_) => None,
            })
            .collect();
        let freed: Vec<ExtentId> = self.fixture.effects.freed.iter().map(|freed| freed.0).collect();
        let freed_once: BTreeSet<ExtentId> = freed.iter().copied().collect();
        assert_eq!(freed.len(), freed_once.len(), "freed twice");
        assert!(freed_once.is_disjoint(&used), "freed in use");
        let all: BTreeSet<ExtentId> = freed_once.union(&used).copied().collect();
        assert_eq!(all, self.written, "leaked");
    }
}

fn manifest_runs(snapshot: &Snapshot<'_>, manifest: ManifestId, size: u64) -> Vec<Run> {
    let mut found = Vec::new();
    let mut offset = 0;
    while offset < size {
        let entry = snapshot.part_at(manifest, offset).unwrap().unwrap();
        assert_eq!(entry.start, offset);
        let part = snapshot.part(manifest, entry.number).unwrap().unwrap();
        assert_eq!(part.size, entry.end - entry.start);
        found.extend(runs(&part.body.to_body()));
        offset = entry.end;
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_index_does_what_maps_do(changes in vec(change(), 1..80)) {
        let mut world = World::new();
        for change in changes {
            world.carry_out(change);
        }
        world.compare();
        world.fixture.reopen();
        world.compare();
    }
}
