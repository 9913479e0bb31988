//! Listings against a plain search through all keys, on keys chosen to be troublesome.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::id::*;
use crate::limits::LISTED_ATTRIBUTES_BYTES_MAX;

/// U+0000, the delimiter, neighbours of it, and the last UTF-8 character.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"\0".to_vec()),
        Just(b"/".to_vec()),
        Just(b"//".to_vec()),
        Just(b"0".to_vec()),
        Just(b".".to_vec()),
        Just(b"a".to_vec()),
        Just("\u{10ffff}".as_bytes().to_vec()),
    ]
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(piece(), 0..6).prop_map(|pieces| pieces.concat())
}

fn delimiter() -> impl Strategy<Value = Option<Bytes>> {
    prop_oneof![
        Just(None),
        Just(Some(Bytes::new())),
        Just(Some(Bytes::from_static(b"/"))),
        Just(Some(Bytes::from_static(b"//"))),
        Just(Some(Bytes::from_static(b"a/"))),
        Just(Some(Bytes::from_static(b"\0"))),
        Just(Some(Bytes::from_static("\u{10ffff}".as_bytes()))),
    ]
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Key(Vec<u8>, u64),
    Prefix(Vec<u8>),
}

/// What a listing must answer: `items` are key and upload id, or key and 0 for objects.
fn expected(
    items: &BTreeSet<(Vec<u8>, u64)>,
    prefix: &[u8],
    delimiter: Option<&[u8]>,
    after: Option<(&[u8], u64)>,
    limit: usize,
) -> (Vec<Entry>, bool) {
    let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty());
    let roll_up = |key: &[u8]| {
        let delimiter = delimiter?;
        let rest = &key[prefix.len()..];
        let at = (0..rest.len()).find(|at| rest[*at..].starts_with(delimiter))?;
        Some(key[..prefix.len() + at + delimiter.len()].to_vec())
    };
    let mut all: Vec<Entry> = Vec::new();
    for (key, id) in items.iter().filter(|(key, _)| key.starts_with(prefix)) {
        if let Some((after, after_id)) = after {
            let skipped = after.starts_with(prefix)
                && roll_up(after).is_some_and(|common| common == after && key.starts_with(&common));
            if skipped || (&key[..], *id) <= (after, after_id) {
                continue;
            }
        }
        let entry = roll_up(key).map_or(Entry::Key(key.clone(), *id), Entry::Prefix);
        if all.last() != Some(&entry) {
            all.push(entry);
        }
    }
    let truncated = limit > 0 && all.len() > limit;
    all.truncate(limit);
    (all, truncated)
}

fn objects(page: ListPage) -> (Vec<Entry>, bool) {
    let entry = |entry| match entry {
        ListEntry::Object { key, .. } => Entry::Key(key.to_vec(), 0),
        ListEntry::Prefix(prefix) => Entry::Prefix(prefix.to_vec()),
    };
    (page.entries.into_iter().map(entry).collect(), page.truncated)
}

fn uploads(page: UploadPage) -> (Vec<Entry>, bool) {
    let entry = |entry| match entry {
        UploadEntry::Upload(upload) => Entry::Key(upload.key.to_vec(), upload.id.0),
        UploadEntry::Prefix(prefix) => Entry::Prefix(prefix.to_vec()),
    };
    (page.entries.into_iter().map(entry).collect(), page.truncated)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn listings_answer_what_a_plain_search_does(
        keys in btree_set(key(), 0..40),
        queries in vec((key(), delimiter(), proptest::option::of(key()), 0..6usize, any::<prop::sample::Index>()), 30),
    ) {
        let mut fixture = Fixture::new();
        let before = fixture.bucket("before");
        let bucket = fixture.bucket("bucket");
        let behind = fixture.bucket("behind");
        let mut items = BTreeSet::new();
        let mut upload_items = BTreeSet::new();
        {
            let mut txn = fixture.writer().begin(0).unwrap();
            for key in &keys {
                let object = new_object(bucket, key);
                txn.apply(&Mutation::Put { object, content: inline(b"x") }).unwrap();
                items.insert((key.clone(), 0));
                for _ in 0..1 + key.len() % 3 {
                    let key = Bytes::copy_from_slice(key);
                    let create = Mutation::CreateUpload { bucket, key: key.clone(), attributes: Bytes::new() };
                    if let Outcome::Upload(id) = txn.apply(&create).unwrap() {
                        upload_items.insert((key.to_vec(), id.0));
                    }
                }
            }
            for bucket in [before, behind] {
                let object = new_object(bucket, b"");
                txn.apply(&Mutation::Put { object, content: inline(b"x") }).unwrap();
                let create = Mutation::CreateUpload { bucket, key: Bytes::new(), attributes: Bytes::new() };
                txn.apply(&create).unwrap();
            }
            txn.commit().unwrap();
        }
        let snapshot = fixture.index().read().unwrap();
        for (prefix, delimiter, after, limit, marker) in queries {
            let request = ListObjects {
                bucket,
                prefix: prefix.clone().into(),
                delimiter: delimiter.clone(),
                after: after.clone().map(Bytes::from),
                limit,
            };
            let found = objects(snapshot.list_objects(&request).unwrap());
            let plain = expected(&items, &prefix, delimiter.as_deref(), after.as_deref().map(|key| (key, 0)), limit);
            prop_assert_eq!(found, plain, "{:?}", request);
            let ids: Vec<u64> = upload_items.iter().map(|item| item.1).collect();
            let upload_after = (marker.index(2) == 0 && !ids.is_empty()).then(|| UploadId(ids[marker.index(ids.len())]));
            let request = ListUploads {
                bucket,
                prefix: prefix.clone().into(),
                delimiter: delimiter.clone(),
                key_after: after.clone().map(Bytes::from),
                upload_after,
                limit,
            };
            let found = uploads(snapshot.list_uploads(&request).unwrap());
            let id = upload_after.map_or(u64::MAX, |id| id.0);
            let plain = expected(&upload_items, &prefix, delimiter.as_deref(), after.as_deref().map(|key| (key, id)), limit);
            prop_assert_eq!(found, plain, "{:?}", request);
        }
    }

    #[test]
    fn pages_put_together_are_the_whole(keys in btree_set(key(), 0..60), delimiter in delimiter(), limit in 1..5usize) {
        let mut fixture = Fixture::new();
        let bucket = fixture.bucket("bucket");
        let mut txn = fixture.writer().begin(0).unwrap();
        for key in &keys {
            txn.apply(&Mutation::Put { object: new_object(bucket, key), content: inline(b"x") }).unwrap();
        }
        txn.commit().unwrap();
        let snapshot = fixture.index().read().unwrap();
        let all = |limit, after| {
            let delimiter = delimiter.clone();
            let request = ListObjects { bucket, prefix: Bytes::new(), delimiter, after, limit };
            snapshot.list_objects(&request).unwrap()
        };
        let whole = all(1000, None);
        let mut pages = Vec::new();
        let mut after = None;
        loop {
            let page = all(limit, after);
            after = page.entries.last().map(|entry| match entry {
                ListEntry::Object { key, .. } | ListEntry::Prefix(key) => key.clone(),
            });
            pages.extend(page.entries);
            if !page.truncated {
                break;
            }
        }
        prop_assert_eq!(pages, whole.entries);
    }
}

#[test]
fn the_longest_keys_of_zeros_are_listed_in_order() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let keys: Vec<Vec<u8>> = (1020..=1024).map(|length| vec![0; length]).collect();
    let mut ids = BTreeMap::new();
    for key in keys.iter().rev() {
        fixture.put(bucket, key, inline(b"x"));
        ids.insert(key.clone(), fixture.create_upload(bucket, key));
    }
    let snapshot = fixture.index().read().unwrap();
    let request = ListObjects {
        bucket,
        prefix: Bytes::from(vec![0; 1021]),
        delimiter: None,
        after: Some(Bytes::from(vec![0; 1021])),
        limit: 10,
    };
    let (found, _) = objects(snapshot.list_objects(&request).unwrap());
    let expected: Vec<Entry> = keys[2..].iter().map(|key| Entry::Key(key.clone(), 0)).collect();
    assert_eq!(found, expected);
    let request = ListUploads {
        bucket,
        prefix: Bytes::from(vec![0; 1021]),
        delimiter: None,
        key_after: Some(Bytes::from(vec![0; 1021])),
        upload_after: None,
        limit: 10,
    };
    let (found, _) = uploads(snapshot.list_uploads(&request).unwrap());
    let expected: Vec<Entry> =
        keys[2..].iter().map(|key| Entry::Key(key.clone(), ids[key].0)).collect();
    assert_eq!(found, expected);
}

#[test]
fn listings_have_the_head_of_attributes() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let long = LISTED_ATTRIBUTES_BYTES_MAX * 10;
    let attributes: Bytes = (0..=255).cycle().take(long).collect::<Vec<u8>>().into();
    let object = NewObject { attributes: attributes.clone(), ..new_object(bucket, b"key") };
    fixture.apply(Mutation::Put { object, content: inline(b"x") }).unwrap();
    let key = Bytes::from_static(b"key");
    let create = Mutation::CreateUpload { bucket, key, attributes: attributes.clone() };
    fixture.apply(create).unwrap();
    let head = attributes.slice(..LISTED_ATTRIBUTES_BYTES_MAX);
    let snapshot = fixture.index().read().unwrap();
    let (prefix, delimiter, limit) = (Bytes::new(), None, 1);
    let listed = ListObjects {
        bucket,
        prefix: prefix.clone(),
        delimiter: delimiter.clone(),
        after: None,
        limit,
    };
    let ListEntry::Object { object, .. } = &snapshot.list_objects(&listed).unwrap().entries[0]
    else {
        panic!("a prefix without a delimiter");
    };
    assert_eq!(object.attributes, head);
    let listed =
        ListUploads { bucket, prefix, delimiter, key_after: None, upload_after: None, limit };
    let UploadEntry::Upload(upload) = &snapshot.list_uploads(&listed).unwrap().entries[0] else {
        panic!("a prefix without a delimiter");
    };
    assert_eq!(upload.attributes, head);
    assert_eq!(snapshot.object(bucket, b"key").unwrap().unwrap().attributes, attributes);
}

/// A page costs what is on it: listing one level over 20,000 keys below ten prefixes must not read
/// the keys. The bound is relative to reading them all, so a slow machine does not matter.
#[test]
fn a_page_of_common_prefixes_does_not_read_what_they_cover() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let mut txn = fixture.writer().begin(0).unwrap();
    for prefix in 0..10 {
        for number in 0..2000 {
            let object = new_object(bucket, format!("{prefix}/{number:04}").as_bytes());
            txn.apply(&Mutation::Put { object, content: inline(b"x") }).unwrap();
        }
    }
    txn.commit().unwrap();
    let snapshot = fixture.index().read().unwrap();
    let time = |delimiter: Option<&'static [u8]>| {
        let delimiter = delimiter.map(Bytes::from_static);
        let request =
            ListObjects { bucket, prefix: Bytes::new(), delimiter, after: None, limit: 100_000 };
        let begun = std::time::Instant::now();
        let entries = snapshot.list_objects(&request).unwrap().entries.len();
        (entries, begun.elapsed())
    };
    let fastest = |delimiter| (0..5).map(|_| time(delimiter)).min_by_key(|run| run.1).unwrap();
    let (all, (prefixes, skipping)) = (fastest(None), fastest(Some(b"/")));
    assert_eq!((all.0, prefixes), (20_000, 10));
    assert!(skipping * 20 < all.1, "{skipping:?} against {:?}", all.1);
}
