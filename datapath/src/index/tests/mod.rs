//! The index, one mutation at a time.

mod full;
mod listing;
mod objects;
mod uploads;
mod versions;
mod walking;

use std::cell::Cell;

use super::testing::*;
use super::*;

thread_local! {
    /// Rows that listings of this thread have looked at.
    pub(in crate::index) static ROWS_VISITED: Cell<u64> = const { Cell::new(0) };
}

#[test]
fn an_index_is_made_once_and_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&directory, MAP_BYTES);
    assert!(matches!(Index::open(&options), Err(IndexOpenError::Absent(_))));
    let index = Index::create(&options, STORE).unwrap();
    assert!(index.env.max_key_size() >= keys::KEY_BYTES_MAX);
    drop(index);
    assert!(matches!(Index::create(&options, STORE), Err(IndexOpenError::Present(_))));
    let index = Index::open(&options).unwrap();
    assert_eq!(index.store(), STORE);
    assert!(matches!(Index::open(&options), Err(IndexOpenError::Lmdb { .. })), "opened twice");
}

#[test]
fn another_format_is_refused() {
    let mut fixture = Fixture::new();
    let mut txn = fixture.writer().begin(0).unwrap();
    let tables = txn.tables;
    tables.settings.put(&mut txn.txn, SETTING_FORMAT, &9u64.to_le_bytes()).unwrap();
    txn.commit().unwrap();
    let path = fixture.index().env.path().to_owned();
    let directory = fixture.close();
    let options = options(&directory, MAP_BYTES);
    match Index::open(&options) {
        Err(IndexOpenError::Format { found: 9, path: named }) => {
            assert_eq!(named.canonicalize().unwrap(), path);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_map_that_is_too_small_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for bytes in [0, 4096, u64::MAX] {
        let created = Index::create(&options(&directory, bytes), STORE);
        assert!(matches!(created, Err(IndexOpenError::MapBytes(found)) if found == bytes));
    }
}

#[test]
fn ids_are_not_given_out_again_after_reopening() {
    let mut fixture = Fixture::new();
    let mut highest = 0;
    for round in 0..5 {
        let bucket = fixture.bucket(&format!("bucket-{round}"));
        assert!(bucket.0 > highest, "{bucket} after {highest}");
        let record = fixture.put(bucket, b"key", fixture.content(&[5000]));
        highest = record.row.0;
        fixture.reopen();
        assert!(fixture.index().ids().draw() > highest);
    }
}

#[test]
fn many_readers_share_a_thread() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket("bucket");
    let before: Vec<Snapshot<'_>> = (0..100).map(|_| fixture.index().read().unwrap()).collect();
    drop(before);
    let index = fixture.index().clone();
    let old = index.read().unwrap();
    fixture.put(bucket, b"key", inline(b"x"));
    let new = index.read().unwrap();
    assert!(old.object(bucket, b"key").unwrap().is_none());
    assert!(new.object(bucket, b"key").unwrap().is_some());
}
