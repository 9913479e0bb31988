//! The store against a reference model: random operations on both, compared after each, across
//! reopening.
//!
//! A failure prints the shrunk list of operations, which reproduces it.

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use datapath::{
    Condition, Delete, Deletion, EngineKind, LaneStore, ListEntry, ListObjects, Lock, NewBucket,
    NewObject, PartNumber, StoreError,
};
use proptest::prelude::*;
use support::{TestStore, collect, content, read_all, run_on_lane, stage, stage_in_frames};

/// Keys that are prefixes of each other, hold U+0000 and sort around the delimiter.
const KEYS: [&str; 10] =
    ["a", "a\0", "a\0b", "a/", "a/b", "a/b/c", "a0", "b/", "b/\u{10ffff}", "\u{10ffff}"];

#[derive(Clone, Debug)]
enum Operation {
    Put {
        key: usize,
        size: usize,
        seed: u64,
    },
    PutFrames {
        key: usize,
        size: usize,
        seed: u64,
        ahead: usize,
    },
    PutIfAbsent {
        key: usize,
        size: usize,
        seed: u64,
    },
    PutIfTag {
        key: usize,
        tag_of: usize,
        size: usize,
        seed: u64,
    },
    Delete {
        key: usize,
    },
    DeleteIfTag {
        key: usize,
        tag_of: usize,
    },
    Copy {
        from: usize,
        to: usize,
    },
    Append {
        key: usize,
        size: usize,
        seed: u64,
    },
    Rename {
        from: usize,
        to: usize,
        only_new: bool,
    },
    Multipart {
        key: usize,
        sizes: Vec<usize>,
        copied_from: Option<usize>,
        seed: u64,
        skip_first: bool,
    },
    AbandonedUpload {
        key: usize,
        size: usize,
    },
    AbandonedWriter {
        size: usize,
    },
    AbandonedFrames {
        size: usize,
    },
    Read {
        key: usize,
        start: prop::sample::Index,
        length: prop::sample::Index,
    },
    List {
        prefix: usize,
        delimiter: bool,
        after: Option<usize>,
        limit: usize,
    },
    Reopen,
}

fn key() -> impl Strategy<Value = usize> {
    0..KEYS.len()
}

/// Empty, inline, one block, odd sizes over several blocks, several write frames.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), 1..1100usize, 1100..70_000usize, Just(65_536), 70_000..900_000usize]
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    prop_oneof![
        6 => (key(), size(), any::<u64>()).prop_map(|(key, size, seed)| Put { key, size, seed }),
        3 => (key(), size(), any::<u64>(), 1..6usize)
            .prop_map(|(key, size, seed, ahead)| PutFrames { key, size, seed, ahead }),
        1 => (key(), size(), any::<u64>()).prop_map(|(key, size, seed)| PutIfAbsent { key, size, seed }),
        1 => (key(), key(), size(), any::<u64>())
            .prop_map(|(key, tag_of, size, seed)| PutIfTag { key, tag_of, size, seed }),
        3 => key().prop_map(|key| Delete { key }),
        1 => (key(), key()).prop_map(|(key, tag_of)| DeleteIfTag { key, tag_of }),
        3 => (key(), key()).prop_map(|(from, to)| Copy { from, to }),
        3 => (key(), size(), any::<u64>()).prop_map(|(key, size, seed)| Append { key, size, seed }),
        2 => (key(), key(), any::<bool>())
            .prop_map(|(from, to, only_new)| Rename { from, to, only_new }),
        2 => (key(), prop::collection::vec(size(), 1..5), prop::option::of(key()), any::<u64>(), any::<bool>())
            .prop_map(|(key, sizes, copied_from, seed, skip_first)| Multipart { key, sizes, copied_from, seed, skip_first }),
        1 => (key(), size()).prop_map(|(key, size)| AbandonedUpload { key, size }),
        1 => size().prop_map(|size| AbandonedWriter { size }),
        1 => size().prop_map(|size| AbandonedFrames { size }),
        5 => (key(), any::<prop::sample::Index>(), any::<prop::sample::Index>())
            .prop_map(|(key, start, length)| Read { key, start, length }),
        3 => (key(), any::<bool>(), prop::option::of(key()), 1..6usize)
            .prop_map(|(prefix, delimiter, after, limit)| List { prefix, delimiter, after, limit }),
        1 => Just(Reopen),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Expected {
    tag: String,
    bytes: Vec<u8>,
}

type Model = BTreeMap<String, Expected>;

fn new_object(lane: &LaneStore, key: &str, tag: &str, condition: Condition) -> NewObject {
    NewObject {
        bucket: lane.bucket("bucket").unwrap().unwrap().id,
        key: Bytes::copy_from_slice(key.as_bytes()),
        entity_tag: tag.into(),
        attributes: Bytes::copy_from_slice(tag.as_bytes()),
        condition,
        tags: Bytes::new(),
        acl: Bytes::new(),
        lock: Lock::default(),
        encryption: Bytes::new(),
    }
}

fn tag_of(model: &Model, key: usize) -> Box<str> {
    model
        .get(KEYS[key])
        .map_or_else(|| "no such tag".into(), |expected| expected.tag.as_str().into())
}

async fn put(
    lane: &LaneStore,
    model: &mut Model,
    key: usize,
    bytes: Vec<u8>,
    condition: Condition,
) {
    let tag = format!("tag-{:x}-{}", datapath::crc64(&bytes), bytes.len());
    let present = model.get(KEYS[key]);
    let wanted = match &condition {
        Condition::None => Ok(()),
        Condition::Absent if present.is_some() => Err(StoreError::ConditionFailed),
        Condition::Absent => Ok(()),
        Condition::TagIs(tags) => match present {
            None => Err(StoreError::NoSuchKey),
            Some(expected) if tags.iter().any(|tag| **tag == *expected.tag) => Ok(()),
            Some(_) => Err(StoreError::ConditionFailed),
        },
        other => unreachable!("{other:?}"),
    };
    let staged = stage(lane, &bytes).await;
    let outcome = lane.put(new_object(lane, KEYS[key], &tag, condition), staged).await;
    assert_eq!(outcome.map(|_| ()), wanted);
    if wanted.is_ok() {
        model.insert(KEYS[key].to_owned(), Expected { tag, bytes });
    }
}

async fn multipart(
    lane: &LaneStore,
    model: &mut Model,
    key: usize,
    sizes: &[usize],
    copied_from: Option<usize>,
    seed: u64,
    skip_first: bool,
) {
    let bucket = lane.bucket("bucket").unwrap().unwrap().id;
    let key_bytes = Bytes::from_static(KEYS[key].as_bytes());
    let upload = lane.create_upload(bucket, key_bytes, Bytes::new()).await.unwrap();
    let mut listed = Vec::new();
    let mut whole = Vec::new();
    for (place, &size) in sizes.iter().enumerate() {
        let number = PartNumber(place as u16 * 3 + 1);
        let bytes = content(seed ^ place as u64, size);
        // Written twice: the second replaces the first.
        for part in [&bytes[..size / 2], &bytes] {
            let staged = stage(lane, part).await;
            lane.put_part(upload, number, "part".into(), Bytes::new(), staged).await.unwrap();
        }
        if place > 0 || !skip_first {
            whole.extend_from_slice(&bytes);
        }
    }
    let source = copied_from
        .and_then(|from| model.get(KEYS[from]).map(|expected| (from, expected.bytes.clone())));
    if let Some((from, bytes)) = source {
        let object = lane.open(bucket, KEYS[from].as_bytes(), None).unwrap().there().unwrap();
        let range = bytes.len() as u64 / 3..bytes.len() as u64;
        let number = PartNumber(9000);
        lane.copy_part(upload, number, &object, range.clone(), "copied".into(), Bytes::new())
            .await
            .unwrap();
        whole.extend_from_slice(&bytes[range.start as usize..]);
    }
    for part in lane.parts(upload, PartNumber(0), 100).unwrap() {
        if !(skip_first && part.number == PartNumber(1)) {
            listed.push((part.number, part.id));
        }
    }
    if listed.is_empty() {
        lane.abort(upload).await.unwrap();
        return;
    }
    let tag = format!("multi-{:x}-{}", datapath::crc64(&whole), listed.len());
    lane.complete(upload, listed, new_object(lane, KEYS[key], &tag, Condition::None), None)
        .await
        .unwrap();
    model.insert(KEYS[key].to_owned(), Expected { tag, bytes: whole });
}

async fn compare_list(
    lane: &LaneStore,
    model: &Model,
    prefix: usize,
    delimiter: bool,
    after: Option<usize>,
    limit: usize,
) {
    let prefix = &KEYS[prefix][..KEYS[prefix].chars().next().map_or(0, char::len_utf8)];
    let after = after.map(|after| KEYS[after].to_owned());
    let mut wanted: Vec<String> = Vec::new();
    for key in model.keys().filter(|key| key.starts_with(prefix)) {
        let rolled = delimiter
            .then(|| {
                key[prefix.len()..]
                    .find('/')
                    .map(|place| format!("{}/", &key[..prefix.len() + place]))
            })
            .flatten();
        let entry = rolled.unwrap_or_else(|| key.clone());
        // A prefix is listed for the keys above `after`, unless `after` is that very prefix.
        let listed = after.as_ref().is_none_or(|after| key > after && entry != *after);
        if listed && wanted.last() != Some(&entry) {
            wanted.push(entry);
        }
    }
    let page = lane
        .list(ListObjects {
            bucket: lane.bucket("bucket").unwrap().unwrap().id,
            prefix: Bytes::copy_from_slice(prefix.as_bytes()),
            delimiter: delimiter.then(|| Bytes::from_static(b"/")),
            after: after.map(Bytes::from),
            limit,
        })
        .await
        .unwrap();
    let got: Vec<String> = page
        .entries
        .iter()
        .map(|entry| match entry {
            ListEntry::Object { key, .. } | ListEntry::Prefix(key) => {
                String::from_utf8(key.to_vec()).unwrap()
            }
        })
        .collect();
    assert_eq!(page.truncated, wanted.len() > limit);
    wanted.truncate(limit);
    assert_eq!(got, wanted);
}

async fn apply(lane: &LaneStore, model: &mut Model, operation: Operation) {
    let bucket = lane.bucket("bucket").unwrap().unwrap().id;
    match operation {
        Operation::Put { key, size, seed } => {
            put(lane, model, key, content(seed, size), Condition::None).await
        }
        Operation::PutFrames { key, size, seed, ahead } => {
            let bytes = content(seed, size);
            let staged = stage_in_frames(lane, &bytes, ahead).await;
            let tag = format!("tag-{:x}-{size}", datapath::crc64(&bytes));
            let object = new_object(lane, KEYS[key], &tag, Condition::None);
            lane.put(object, staged).await.unwrap();
            model.insert(KEYS[key].to_owned(), Expected { tag, bytes });
        }
        Operation::PutIfAbsent { key, size, seed } => {
            put(lane, model, key, content(seed, size), Condition::Absent).await;
        }
        Operation::PutIfTag { key, tag_of: other, size, seed } => {
            let condition = Condition::TagIs(vec![tag_of(model, other)]);
            put(lane, model, key, content(seed, size), condition).await;
        }
        Operation::Delete { key } => {
            let delete = Delete::object(Bytes::from_static(KEYS[key].as_bytes()));
            let was = match lane.delete(bucket, delete).await.unwrap() {
                Deletion::Removed(object) => Some(object.entity_tag.to_string()),
                Deletion::Nothing => None,
                other => panic!("{other:?}"),
            };
            assert_eq!(was, model.remove(KEYS[key]).map(|was| was.tag));
        }
        Operation::DeleteIfTag { key, tag_of: other } => {
            let tag = tag_of(model, other);
            let condition = Condition::TagIs(vec![tag.clone()]);
            let delete = Delete::object(Bytes::from_static(KEYS[key].as_bytes()));
            let outcome = lane.delete(bucket, Delete { condition, ..delete }).await;
            match model.get(KEYS[key]) {
                None => assert_eq!(outcome, Err(StoreError::NoSuchKey)),
                Some(expected) if expected.tag == *tag => {
                    assert!(matches!(outcome, Ok(Deletion::Removed(_))));
                    model.remove(KEYS[key]);
                }
                Some(_) => assert_eq!(outcome, Err(StoreError::ConditionFailed)),
            }
        }
        Operation::Copy { from, to } => {
            let source = lane.open(bucket, KEYS[from].as_bytes(), None).unwrap().there();
            assert_eq!(source.is_some(), model.contains_key(KEYS[from]));
            if let Some(source) = source {
                let expected = model[KEYS[from]].clone();
                lane.copy(&source, new_object(lane, KEYS[to], &expected.tag, Condition::None))
                    .await
                    .unwrap();
                model.insert(KEYS[to].to_owned(), expected);
            }
        }
        Operation::Append { key, size, seed } => {
            let source = lane.open(bucket, KEYS[key].as_bytes(), None).unwrap().there();
            if let Some(source) = source {
                let expected = model.get_mut(KEYS[key]).unwrap();
                let condition = Condition::RowIs(source.object().row);
                let object = new_object(lane, KEYS[key], &expected.tag, condition);
                let bytes = content(seed, size);
                let staged = stage(lane, &bytes).await;
                let object = lane.append(&source, staged, object).await.unwrap();
                expected.bytes.extend(bytes);
                assert_eq!(object.size, expected.bytes.len() as u64);
                let crc64 = datapath::crc64(&expected.bytes);
                assert!(object.crc64.is_none_or(|found| found == crc64));
            }
        }
        Operation::Rename { from, to, only_new } => {
            let condition = if only_new { Condition::Absent } else { Condition::None };
            let key = |key: usize| Bytes::from_static(KEYS[key].as_bytes());
            let outcome =
                lane.rename(bucket, key(from), key(to), Condition::Present, condition).await;
            match model.get(KEYS[from]).cloned() {
                None => assert_eq!(outcome, Err(StoreError::NoSuchKey)),
                Some(_) if only_new && model.contains_key(KEYS[to]) => {
                    assert_eq!(outcome, Err(StoreError::ConditionFailed));
                }
                Some(expected) => {
                    assert_eq!(*outcome.unwrap().entity_tag, *expected.tag);
                    model.remove(KEYS[from]);
                    model.insert(KEYS[to].to_owned(), expected);
                }
            }
        }
        Operation::Multipart { key, sizes, copied_from, seed, skip_first } => {
            multipart(lane, model, key, &sizes, copied_from, seed, skip_first).await;
        }
        Operation::AbandonedUpload { key, size } => {
            let key = Bytes::from_static(KEYS[key].as_bytes());
            let upload = lane.create_upload(bucket, key, Bytes::new()).await.unwrap();
            let staged = stage(lane, &content(1, size)).await;
            lane.put_part(upload, PartNumber(7), "part".into(), Bytes::new(), staged)
                .await
                .unwrap();
            lane.abort(upload).await.unwrap();
            assert_eq!(lane.abort(upload).await, Err(StoreError::NoSuchUpload));
        }
        Operation::AbandonedWriter { size } => {
            let mut writer = lane.writer(size as u64).await.unwrap();
            writer.write(&content(1, size / 2)).await.unwrap();
        }
        Operation::AbandonedFrames { size } => {
            let mut writer = lane.frame_writer(size as u64).await.unwrap();
            let first = writer.next_frame().await.unwrap();
            assert_eq!(first.is_some(), size > 0);
            drop(writer.next_frame().await.unwrap());
            if let Some((mut frame, wanted)) = first {
                frame.set_filled(wanted);
                writer.filled(frame).unwrap();
            }
        }
        Operation::Read { key, start, length } => {
            let opened = lane.open(bucket, KEYS[key].as_bytes(), None).unwrap().there();
            assert_eq!(opened.is_some(), model.contains_key(KEYS[key]));
            if let Some(object) = opened {
                let expected = &model[KEYS[key]];
                assert_eq!(*object.object().entity_tag, *expected.tag);
                let start = start.index(expected.bytes.len() + 1);
                let end = start + length.index(expected.bytes.len() - start + 1);
                let got = read_all(&object, start as u64..end as u64).await.unwrap();
                assert!(got == expected.bytes[start..end], "{start}..{end} of {}", KEYS[key]);
                let stream = object.read_in_frames(start as u64..end as u64).await.unwrap();
                let framed = collect(stream).await.unwrap();
                assert!(framed == got, "{start}..{end} of {} in frames", KEYS[key]);
            }
        }
        Operation::List { prefix, delimiter, after, limit } => {
            compare_list(lane, model, prefix, delimiter, after, limit).await;
        }
        Operation::Reopen => unreachable!("the runner reopens"),
    }
}

/// Every object reads back whole and nothing is lost, leaked or inconsistent.
async fn compare_all(lane: &LaneStore, model: &Model) {
    let bucket = lane.bucket("bucket").unwrap().unwrap().id;
    for (key, expected) in model {
        let object = lane.open(bucket, key.as_bytes(), None).unwrap().there();
        let object = object.unwrap_or_else(|| panic!("{key:?} is lost"));
        let got = read_all(&object, 0..object.object().size).await.unwrap();
        assert!(got == expected.bytes, "{key:?} differs");
    }
}

fn run(operations: Vec<Operation>, engine: EngineKind) {
    let test_store = TestStore::new();
    let mut model = Model::new();
    let mut groups: Vec<Vec<Operation>> = vec![Vec::new()];
    for operation in operations {
        match operation {
            Operation::Reopen => groups.push(Vec::new()),
            other => groups.last_mut().unwrap().push(other),
        }
    }
    for (round, group) in groups.into_iter().enumerate() {
        let store = test_store.open();
        model = run_on_lane(&store, engine, move |lane| async move {
            if round == 0 {
                lane.create_bucket("bucket", Bytes::new(), NewBucket::default()).await.unwrap();
            }
            compare_all(&lane, &model).await;
            for operation in group {
                apply(&lane, &mut model, operation).await;
            }
            compare_all(&lane, &model).await;
            model
        });
        store.close();
        test_store.assert_consistent();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_map_on_the_blocking_engine(operations in prop::collection::vec(operation(), 1..60)) {
        run(operations, EngineKind::Blocking);
    }

    #[test]
    fn agrees_with_a_map_on_io_uring(operations in prop::collection::vec(operation(), 1..60)) {
        if support::io_uring_or_skip("agrees_with_a_map_on_io_uring") {
            run(operations, EngineKind::IoUring);
        }
    }
}
