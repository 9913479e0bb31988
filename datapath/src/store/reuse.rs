//! Tests: extents are not reused under a reader, on a device so small that what is freed is written
//! again at once. The second test opens objects without the second look, waits until what it looked
//! at has been written over, however slow the machine is, and must be caught.

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

/// What writer and readers know of each other.
#[derive(Default)]
struct Progress {
    /// Generations written.
    written: AtomicU64,
    /// Reads that were not what somebody had written.
    wrong: AtomicU64,
    stop: AtomicBool,
}

/// How a reader opens an object.
type Open = fn(&LaneStore, &str, &Progress) -> Result<Option<OpenObject>, StoreError>;

fn open_properly(
    lane: &LaneStore,
    key: &str,
    _: &Progress,
) -> Result<Option<OpenObject>, StoreError> {
    let bucket = lane.bucket("bucket")?.ok_or(StoreError::NoSuchBucket)?.id;
    Ok(lane.open(bucket, key.as_bytes(), None)?.there())
}

/// Looks, is delayed until every key has been replaced twice, and pins what is gone.
fn open_without_second_look(
    lane: &LaneStore,
    key: &str,
    progress: &Progress,
) -> Result<Option<OpenObject>, StoreError> {
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
    let replaced = progress.written.load(Ordering::SeqCst) + 2 * KEYS;
    while progress.written.load(Ordering::SeqCst) < replaced
        && !progress.stop.load(Ordering::SeqCst)
    {
        thread::sleep(Duration::from_millis(1));
    }
    let pin = lane.pins().pin(record.row, 0);
    let found = PinnedObject { pin, record, extents };
    let content = Content::of(&found)?;
    let object = found.record.to_object();
    Ok(Some(OpenObject::new(lane.clone(), object, content, found.pin)))
}

/// Reads that were not what somebody had written: at most two, or none in the whole run.
fn wrong_reads(open: Open, run: Duration) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&options(&directory)).unwrap();
    run_on_lane(&store, EngineKind::Blocking, |lane| async move {
        for key in 0..KEYS {
            write(&lane, key).await.unwrap();
        }
    });
    let end = Instant::now() + run;
    let progress = Arc::new(Progress::default());
    thread::scope(|scope| {
        scope.spawn(|| {
            run_on_lane(&store, EngineKind::Blocking, |lane| {
                overwrite(lane, Arc::clone(&progress))
            });
        });
        for reader in 0..2 {
            let (progress, store) = (&progress, &store);
            scope.spawn(move || {
                run_on_lane(store, EngineKind::Blocking, |lane| async move {
                    let mut turn = reader;
                    while Instant::now() < end && progress.wrong.load(Ordering::SeqCst) == 0 {
                        turn += 1;
                        let ok = read_once(&lane, open, turn % KEYS, progress).await;
                        progress.wrong.fetch_add(u64::from(!ok), Ordering::SeqCst);
                    }
                    progress.stop.store(true, Ordering::SeqCst);
                });
            });
        }
    });
    store.close();
    progress.wrong.load(Ordering::SeqCst)
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
async fn overwrite(lane: LaneStore, progress: Arc<Progress>) {
    let mut generation = KEYS;
    while !progress.stop.load(Ordering::SeqCst) {
        generation += 1;
        match write(&lane, generation).await {
            Ok(()) => {
                progress.written.fetch_add(1, Ordering::SeqCst);
            }
            Err(StoreError::NoSpace) => {}
            Err(error) => panic!("{error}"),
        }
    }
    bucket(&lane).await;
}

/// Whether a read gave one whole writing of the key: the one that its record names.
async fn read_once(lane: &LaneStore, open: Open, key: u64, progress: &Progress) -> bool {
    match open(lane, &format!("key-{key}"), progress) {
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
    assert_eq!(wrong_reads(open_properly, Duration::from_secs(4)), 0);
}

/// It ends with the first wrong read, after tens of milliseconds; the minute is for the slowest of
/// machines.
#[test]
fn without_the_second_look_reuse_is_seen() {
    assert!(wrong_reads(open_without_second_look, Duration::from_secs(60)) > 0);
}
