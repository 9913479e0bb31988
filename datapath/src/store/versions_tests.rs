//! Readers of versions that move and go, and content that is appended to.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::testing::{Simulated, bucket, content, get, new_object, put, read, stage};
use super::{LaneStore, OpenObject};
use crate::error::StoreError;
use crate::id::{BucketId, PartNumber, RowId, VersionId};
use crate::index::{
    Annotation, Condition, Delete, Deletion, Found, ListVersions, NewObject, Object, VersionEntry,
    Versioning,
};
use crate::limits::{DELETES_PER_MUTATION, SLICES_PER_ROW_MAX};

const KEY: &str = "key";

fn one_disk() -> Simulated {
    Simulated::new(&[64 << 20])
}

async fn versioned(lane: &LaneStore) -> BucketId {
    let bucket = bucket(lane).await;
    lane.set_versioning(bucket, Versioning::Enabled).await.unwrap();
    bucket
}

fn open(lane: &LaneStore, bucket: BucketId, version: Option<VersionId>) -> OpenObject {
    lane.open(bucket, KEY.as_bytes(), version).unwrap().there().unwrap()
}

async fn delete(lane: &LaneStore, bucket: BucketId, version: Option<VersionId>) -> Deletion {
    let delete = Delete { version, ..Delete::object(Bytes::from_static(KEY.as_bytes())) };
    lane.delete(bucket, delete).await.unwrap()
}

#[test]
fn readers_outlive_the_moving_and_the_removal_of_their_version() {
    let simulated = one_disk();
    simulated.run(|lane| async move {
        let bucket = versioned(&lane).await;
        let (old, new) = (content(1, 700_000), content(3, 300_000));
        let first = put(&lane, KEY, &old).await.unwrap();
        let reader = open(&lane, bucket, None);
        let mut stream = reader.read(0..old.len() as u64).await.unwrap();
        let mut got = stream.next().await.unwrap().unwrap().to_vec();
        let second = put(&lane, KEY, &new).await.unwrap();
        let by_version = open(&lane, bucket, Some(first.version));
        assert_eq!(by_version.object().row, first.row, "it moved and is the same row");
        assert!(read(&by_version).await.unwrap() == old);
        assert!(read(&open(&lane, bucket, None)).await.unwrap() == new);
        // It goes while both read it, and others want its space.
        assert!(matches!(
            delete(&lane, bucket, Some(first.version)).await,
            Deletion::Removed(object) if object.row == first.row
        ));
        let gone = lane.open(bucket, KEY.as_bytes(), Some(first.version)).unwrap();
        assert!(matches!(gone, Found::Absent));
        lane.settle().await.unwrap();
        for number in 0..8 {
            put(&lane, &format!("other-{number}"), &content(100 + number, 700_000)).await.unwrap();
        }
        while let Some(piece) = stream.next().await {
            got.extend_from_slice(&piece.unwrap());
        }
        assert!(got == old);
        assert!(read(&by_version).await.unwrap() == old);
        // A marker over the second, which is there by its name still.
        let Deletion::MarkerMade(marker) = delete(&lane, bucket, None).await else { panic!() };
        assert!(matches!(lane.lookup(bucket, KEY.as_bytes(), None), Ok(Found::Marker(found)) if found == marker));
        assert!(read(&open(&lane, bucket, Some(second.version))).await.unwrap() == new);
        assert_eq!(delete(&lane, bucket, Some(marker.version)).await, Deletion::MarkerRemoved(marker));
        assert_eq!(open(&lane, bucket, None).object().row, second.row, "it is back");
    });
}

/// Readers of the latest while it is replaced, uncovered and removed all the time: each read gives
/// one whole writing, and the latest is never missed.
#[test]
fn the_latest_is_always_there_while_versions_move() {
    let simulated = &one_disk();
    let over = &AtomicBool::new(false);
    let bytes = |tag: u64| content(2 * tag + 1, 70_000);
    simulated.run(|lane| async move {
        versioned(&lane).await;
        put(&lane, KEY, &bytes(0)).await.unwrap();
    });
    let written = |tag: u64| tag.to_string().into_boxed_str();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                simulated.run(|lane| async move {
                    let bucket = bucket(&lane).await;
                    while !over.load(Ordering::SeqCst) {
                        let opened = open(&lane, bucket, None);
                        let tag = opened.object().entity_tag.parse().unwrap_or(0);
                        assert!(read(&opened).await.unwrap() == bytes(tag));
                    }
                });
            });
        }
        scope.spawn(move || {
            let over = End(over);
            simulated.run(|lane| async move {
                let bucket = bucket(&lane).await;
                for tag in 1..150 {
                    let object = NewObject { entity_tag: written(tag), ..new_object(bucket, KEY) };
                    let staged = stage(&lane, &bytes(tag)).await.unwrap();
                    let object = lane.put(object, staged).await.unwrap();
                    // Every second one is removed again, which brings the one before back.
                    if tag % 2 == 0 {
                        delete(&lane, bucket, Some(object.version)).await;
                    }
                }
            });
            drop(over);
        });
    });
}

/// Ends the readers also when the writer panics.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What one of many writers was answered: rows made, and versions removed.
#[derive(Default)]
struct Answers {
    made: Vec<(u64, RowId, bool)>,
    removed: Vec<RowId>,
}

/// Puts, marks deleted, and now and then removes a version of its own.
async fn write_and_delete(lane: LaneStore, seed: u64) -> Answers {
    let bucket = bucket(&lane).await;
    let mut answers = Answers::default();
    let mut random = seed;
    for _ in 0..40 {
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let (key, choice) = ((random >> 40) % 5, (random >> 50) % 8);
        let name = format!("shared-{key}");
        match choice {
            0 | 1 => {
                let delete = Delete::object(Bytes::from(name));
                let deletion = lane.delete(bucket, delete).await.unwrap();
                let Deletion::MarkerMade(marker) = deletion else { panic!("{deletion:?}") };
                answers.made.push((key, marker.row, false));
            }
            2 if !answers.made.is_empty() => {
                let at = (random >> 20) as usize % answers.made.len();
                let (key, row, _) = answers.made.swap_remove(at);
                let key = Bytes::from(format!("shared-{key}"));
                let version = Some(VersionId(row.0));
                let delete = Delete { version, ..Delete::object(key) };
                let deletion = lane.delete(bucket, delete).await.unwrap();
                assert!(!matches!(deletion, Deletion::Nothing | Deletion::MarkerMade(_)));
                answers.removed.push(row);
            }
            _ => {
                let object = put(&lane, &name, &content(random | 1, 3_000)).await.unwrap();
                answers.made.push((key, object.row, true));
            }
        }
    }
    answers
}

#[test]
fn sixteen_writers_leave_the_listing_that_their_answers_make() {
    let simulated = &one_disk();
    let bucket_id = simulated.run(|lane| async move { versioned(&lane).await });
    let answers: Vec<Answers> = std::thread::scope(|scope| {
        let four_writers = |thread: u64| {
            simulated.run(|lane| async move {
                let writers: Vec<_> = (0..4)
                    .map(|task| {
                        tokio::task::spawn_local(write_and_delete(lane.clone(), 4 * thread + task))
                    })
                    .collect();
                let mut answers = Vec::new();
                for writer in writers {
                    answers.push(writer.await.unwrap());
                }
                answers
            })
        };
        let threads: Vec<_> =
            (0..4).map(|thread| scope.spawn(move || four_writers(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().any(|answers| !answers.removed.is_empty()));
    // Rows are numbered in the order in which changes happened.
    let mut expected: Vec<(u64, RowId, bool)> =
        answers.into_iter().flat_map(|answers| answers.made).collect();
    expected.sort_by_key(|(key, row, _)| (*key, std::cmp::Reverse(*row)));
    let page = simulated.run(|lane| async move {
        let list = ListVersions {
            bucket: bucket_id,
            prefix: Bytes::from_static(b"shared-"),
            delimiter: None,
            key_after: None,
            version_after: None,
            limit: 10_000,
        };
        lane.list_versions(list).await.unwrap()
    });
    let mut before = None;
    let entries = page.entries.into_iter().map(|entry| {
        let (key, row, is_object, latest) = match entry {
            VersionEntry::Version { key, object, latest } => (key, object.row, true, latest),
            VersionEntry::Marker { key, marker, latest } => (key, marker.row, false, latest),
            VersionEntry::Prefix(_) => unreachable!("no delimiter was given"),
        };
        let key: u64 = std::str::from_utf8(&key[7..]).unwrap().parse().unwrap();
        assert_eq!(latest, before.replace(key) != Some(key));
        (key, row, is_object)
    });
    assert_eq!(entries.collect::<Vec<_>>(), expected);
}

#[test]
fn of_sixty_four_writers_of_what_is_absent_one_wins() {
    let simulated = one_disk();
    simulated.run(|lane| async move {
        let bucket = bucket(&lane).await;
        for round in 0..20 {
            let key = format!("round-{round}");
            let writers: Vec<_> = (0..64)
                .map(|writer| {
                    let (lane, key) = (lane.clone(), key.clone());
                    tokio::task::spawn_local(async move {
                        let staged = stage(&lane, &[writer]).await.unwrap();
                        let condition = Condition::Absent;
                        let object = NewObject { condition, ..new_object(bucket, &key) };
                        lane.put(object, staged).await.map(|_| writer)
                    })
                })
                .collect();
            let mut winners = Vec::new();
            for writer in writers {
                match writer.await.unwrap() {
                    Ok(writer) => winners.push(writer),
                    Err(error) => assert_eq!(error, StoreError::ConditionFailed),
                }
            }
            assert_eq!(winners.len(), 1);
            assert_eq!(get(&lane, &key).await.unwrap().unwrap(), winners);
        }
    });
}

#[test]
fn annotations_leave_the_row_to_its_readers() {
    let simulated = one_disk();
    simulated.run(|lane| async move {
        let bucket = bucket(&lane).await;
        let bytes = content(1, 200_000);
        let object = put(&lane, KEY, &bytes).await.unwrap();
        let reader = open(&lane, bucket, None);
        let key = Bytes::from_static(KEY.as_bytes());
        let tags = Bytes::from_static(b"tags");
        let changed = lane.annotate(bucket, key, None, Annotation::Tags(tags.clone())).await;
        assert_eq!(changed.unwrap(), Object { tags, ..object });
        assert!(read(&reader).await.unwrap() == bytes);
    });
}

#[test]
fn many_deletes_are_answered_in_order_though_they_are_several_changes() {
    let simulated = one_disk();
    simulated.run(|lane| async move {
        let bucket = bucket(&lane).await;
        let count = 2 * DELETES_PER_MUTATION + 7;
        let there = [3, DELETES_PER_MUTATION, count - 1];
        for number in there {
            put(&lane, &format!("{number}"), b"x").await.unwrap();
        }
        let deletes: Vec<Delete> =
            (0..count).map(|number| Delete::object(Bytes::from(number.to_string()))).collect();
        let outcomes = lane.delete_many(bucket, deletes).await.unwrap();
        assert_eq!(outcomes.len(), count);
        for (number, outcome) in outcomes.into_iter().enumerate() {
            let removed = matches!(outcome.unwrap(), Deletion::Removed(_));
            assert_eq!(removed, there.contains(&number), "{number}");
        }
        assert_eq!(lane.delete_many(bucket, Vec::new()).await, Ok(Vec::new()));
    });
}

async fn append(lane: &LaneStore, bytes: &[u8]) -> Result<Object, StoreError> {
    let bucket = bucket(lane).await;
    let source = open(lane, bucket, None);
    let condition = Condition::RowIs(source.object().row);
    let staged = stage(lane, bytes).await?;
    lane.append(&source, staged, NewObject { condition, ..new_object(bucket, KEY) }).await
}

#[test]
fn appending_keeps_what_was_there_and_its_sum() {
    let simulated = one_disk();
    simulated.run(|lane| async move {
        let bucket = bucket(&lane).await;
        let mut whole = Vec::new();
        put(&lane, KEY, &whole).await.unwrap();
        // In records, across their bound, in extents, and small pieces behind extents.
        for (seed, size) in [(1, 0), (3, 500), (5, 524), (7, 1), (9, 200_000), (11, 0), (13, 10)] {
            let piece = content(seed, size);
            let object = append(&lane, &piece).await.unwrap();
            whole.extend_from_slice(&piece);
            assert_eq!(object.size, whole.len() as u64);
            assert_eq!(object.crc64, Some(crate::crc64(&whole)));
            assert!(read(&open(&lane, bucket, None)).await.unwrap() == whole, "{size}");
        }
        // What is replaced meanwhile is not appended to.
        let source = open(&lane, bucket, None);
        put(&lane, KEY, b"another").await.unwrap();
        let condition = Condition::RowIs(source.object().row);
        let staged = stage(&lane, b"tail").await.unwrap();
        let object = NewObject { condition, ..new_object(bucket, KEY) };
        let refused = lane.append(&source, staged, object).await;
        assert_eq!(refused, Err(StoreError::ConditionFailed));
        assert!(read(&source).await.unwrap() == whole);
    });
}

#[test]
fn an_object_of_parts_is_appended_to_until_it_has_too_many_pieces() {
    let simulated = one_disk();
    simulated.run(|lane| async move {
        let bucket = bucket(&lane).await;
        let key = Bytes::from_static(KEY.as_bytes());
        let upload = lane.create_upload(bucket, key, Bytes::new()).await.unwrap();
        let mut parts = Vec::new();
        let mut whole = Vec::new();
        for number in 1..=3u16 {
            let bytes = content(u64::from(number), 1 + 40_000 * usize::from(number - 1));
            let staged = stage(&lane, &bytes).await.unwrap();
            let number = PartNumber(number);
            let part = lane.put_part(upload, number, "part".into(), Bytes::new(), staged).await;
            parts.push((number, part.unwrap().id));
            whole.extend(bytes);
        }
        lane.complete(upload, parts, new_object(bucket, KEY), None).await.unwrap();
        let tail = content(9, 5_000);
        let object = append(&lane, &tail).await.unwrap();
        whole.extend(&tail);
        assert_eq!((object.part_count, object.crc64), (0, None));
        assert!(read(&open(&lane, bucket, None)).await.unwrap() == whole);
        // Twice the pieces each round, all in one extent, until they are as many as one can have.
        put(&lane, KEY, &content(1, 5_000)).await.unwrap();
        for _ in 0..SLICES_PER_ROW_MAX.ilog2() {
            let source = open(&lane, bucket, None);
            let whole = 0..source.object().size;
            let key = Bytes::from_static(KEY.as_bytes());
            let upload = lane.create_upload(bucket, key, Bytes::new()).await.unwrap();
            let mut parts = Vec::new();
            for number in [PartNumber(1), PartNumber(2)] {
                let tag = "part".into();
                let part =
                    lane.copy_part(upload, number, &source, whole.clone(), tag, Bytes::new()).await;
                parts.push((number, part.unwrap().id));
            }
            lane.complete(upload, parts, new_object(bucket, KEY), None).await.unwrap();
        }
        assert_eq!(append(&lane, b"x").await, Err(StoreError::TooManyPieces));
    });
}
