//! Tests: extents are not reused under a reader, on a device so small that what is freed is written
//! again at once. The second test opens objects without the second look and must be caught.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    LaneStore, OpenObject, Store,
    content::Content,
    testing::{bucket, content, new_object, options, read, run_on_lane, stage},
};
use crate::{
    device::EngineKind,
    error::StoreError,
    index::{NewObject, PinnedObject},
};

const KEYS: u64 = 3;
const SIZE: usize = 2 << 20;
const RUN: Duration = Duration::from_secs(4);

/// How a reader opens an object.
type Open = fn(&LaneStore, &str) -> Result<Option<OpenObject>, StoreError>;

fn open_properly(lane: &LaneStore, key: &str) -> Result<Option<OpenObject>, StoreError> {
    let bucket = lane.bucket("bucket")?.ok_or(StoreError::NoSuchBucket)?.id;
    lane.open(bucket, key.as_bytes())
}

/// Looks, is delayed, and pins what may be gone already.
fn open_without_second_look(lane: &LaneStore, key: &str) -> Result<Option<OpenObject>, StoreError> {
    let bucket = lane.bucket("bucket")?.ok_or(StoreError::NoSuchBucket)?.id;
    let snapshot = lane.index().read()?;
    let Some(record) = snapshot.object(bucket, key.as_bytes())?.map(|view| view.to_record()) else {
        return Ok(None);
    };
    let mut extents = Vec::new();
    for slice in record.body.slices() {
        extents.extend(snapshot.extent(slice.extent)?);
    }
    drop(snapshot);
    thread::sleep(Duration::from_millis(5));
    let pin = lane.pins().pin(record.row, 0);
    let found = PinnedObject { pin, record, extents };
    let content = Content::of(&found)?;
    let object = found.record.to_object();
    Ok(Some(OpenObject::new(lane.clone(), object, content, found.pin)))
}

/// Reads that were not what somebody had written.
fn wrong_reads(open: Open) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&options(&directory)).unwrap();
    run_on_lane(&store, EngineKind::Blocking, |lane| async move {
        for key in 0..KEYS {
            write(&lane, key).await.unwrap();
        }
    });
    let end = Instant::now() + RUN;
    let wrong = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            run_on_lane(&store, EngineKind::Blocking, |lane| overwrite(lane, Arc::clone(&stop)));
        });
        for reader in 0..2 {
            let (wrong, stop, store) = (&wrong, &stop, &store);
            scope.spawn(move || {
                run_on_lane(store, EngineKind::Blocking, |lane| async move {
                    let mut turn = reader;
                    while Instant::now() < end && wrong.load(Ordering::SeqCst) == 0 {
                        turn += 1;
                        let ok = read_once(&lane, open, turn % KEYS).await;
                        wrong.fetch_add(u64::from(!ok), Ordering::SeqCst);
                    }
                    stop.store(true, Ordering::SeqCst);
                });
            });
        }
    });
    store.close();
    wrong.load(Ordering::SeqCst)
}

/// What a generation's key has: `content` gives an even seed the bytes of the next odd one.
fn bytes_of(generation: u64) -> Vec<u8> {
    content(2 * generation + 1, SIZE)
}

/// Writes the next generation of a key, which its tag names.
async fn write(lane: &LaneStore, generation: u64) -> Result<(), StoreError> {
    let object = new_object(bucket(lane).await, &format!("key-{}", generation % KEYS));
    let staged = stage(lane, &bytes_of(generation)).await?;
    let entity_tag = generation.to_string().into();
    lane.put(NewObject { entity_tag, ..object }, staged).await.map(drop)
}

/// Replaces objects as fast as space allows.
async fn overwrite(lane: LaneStore, stop: Arc<AtomicBool>) {
    let mut generation = KEYS;
    while !stop.load(Ordering::SeqCst) {
        generation += 1;
        match write(&lane, generation).await {
            Ok(()) | Err(StoreError::NoSpace) => {}
            Err(error) => panic!("{error}"),
        }
    }
    bucket(&lane).await;
}

/// Whether a read gave one whole writing of the key: the one that its record names.
async fn read_once(lane: &LaneStore, open: Open, key: u64) -> bool {
    match open(lane, &format!("key-{key}")) {
        Ok(Some(object)) => match read(&object).await {
            Ok(bytes) => {
                let generation = object.object().entity_tag.parse().unwrap();
                generation % KEYS == key && bytes == bytes_of(generation)
            }
            Err(StoreError::Overload(_)) => true,
            Err(_) => false,
        },
        Ok(None) => false,
        Err(StoreError::Overload(_)) => true,
        Err(_) => false,
    }
}

#[test]
fn extents_are_not_reused_under_readers() {
    assert_eq!(wrong_reads(open_properly), 0);
}

#[test]
fn without_the_second_look_reuse_is_seen() {
    assert!(wrong_reads(open_without_second_look) > 0);
}
