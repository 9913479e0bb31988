//! The commit thread with devices and space that record what happens.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::device::Operation;
use crate::id::*;
use crate::index::testing::*;
use crate::index::*;
use crate::limits::{
    COMMIT_BATCH_MAX, COMMIT_QUEUE_BYTES, INDEX_MAP_BYTES_MIN, OBJECT_KEY_BYTES_MAX,
};

const MIB: u64 = 1 << 20;

/// Everything that a thread works with, seen from outside.
struct World {
    directory: TempDir,
    map_bytes: u64,
    index: Index,
    pins: Arc<PinTable>,
    device: Arc<Device>,
    space: Arc<Space>,
    thread: Option<CommitThread>,
}

/// A device that notes its flushes.
#[derive(Default)]
struct Device {
    flushes: AtomicU64,
    fails: AtomicBool,
    /// Called at each flush.
    observe: Mutex<Option<Box<dyn Fn() + Send>>>,
}

struct DeviceHandle(Arc<Device>);

impl DataFlush for DeviceHandle {
    fn flush(&mut self) -> Result<(), DeviceFault> {
        if let Some(observe) = &*self.0.observe.lock().unwrap() {
            observe();
        }
        if self.0.fails.load(Ordering::SeqCst) {
            return Err(DeviceFault { device: DeviceId(3), operation: Operation::Flush, errno: 5 });
        }
        self.0.flushes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Space that notes what comes back.
#[derive(Default)]
struct Space(Mutex<Vec<ExtentLocation>>);

impl Space {
    fn released(&self) -> Vec<ExtentLocation> {
        let mut released = self.0.lock().unwrap().clone();
        released.sort_unstable();
        released
    }
}

impl FreeSpace for Space {
    fn release(&self, extent: ExtentLocation) {
        let mut released = self.0.lock().unwrap();
        assert!(!released.contains(&extent), "{extent:?} came back twice");
        released.push(extent);
    }
}

impl World {
    fn new() -> World {
        World::with_map(MAP_BYTES)
    }

    fn with_map(map_bytes: u64) -> World {
        let directory = tempfile::tempdir().unwrap();
        let index = Index::create(&options(&directory, map_bytes), STORE).unwrap();
        let mut world = World {
            directory,
            map_bytes,
            index,
            pins: Arc::new(PinTable::new(64)),
            device: Arc::default(),
            space: Arc::default(),
            thread: None,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        let options = CommitOptions {
            index: self.index.clone(),
            pins: Arc::clone(&self.pins),
            devices: vec![Box::new(DeviceHandle(Arc::clone(&self.device)))],
            free: Arc::clone(&self.space) as Arc<dyn FreeSpace>,
        };
        self.thread = Some(CommitThread::start(options).unwrap());
    }

    fn restart(mut self) -> World {
        self.thread.take().unwrap().close();
        let World { directory, map_bytes, index, pins, device, space, .. } = self;
        drop(index);
        let index = Index::open(&options(&directory, map_bytes)).unwrap();
        let mut world = World { directory, map_bytes, index, pins, device, space, thread: None };
        world.start();
        world
    }

    fn handle(&self) -> CommitHandle {
        self.thread.as_ref().unwrap().handle()
    }

    async fn submit(&self, mutation: Mutation) -> Result<Outcome, StoreError> {
        let handle = self.handle();
        let answer = handle.submit(mutation);
        tokio::time::timeout(Duration::from_secs(20), answer).await.expect("an answer in time")
    }

    async fn bucket(&self) -> BucketId {
        let create = create_bucket("bucket");
        match self.submit(create).await {
            Ok(Outcome::Bucket(bucket)) => bucket.id,
            other => panic!("{other:?}"),
        }
    }

    async fn put(&self, bucket: BucketId, key: &str, content: Content) -> ObjectRecord {
        let object = new_object(bucket, key.as_bytes());
        match self.submit(Mutation::Put { object, content }).await {
            Ok(Outcome::Object(record)) => record,
            other => panic!("{other:?}"),
        }
    }

    async fn delete(&self, bucket: BucketId, key: &'static str) -> Result<Outcome, StoreError> {
        let delete = Delete::object(Bytes::from_static(key.as_bytes()));
        self.submit(Mutation::Delete { bucket, delete }).await
    }

    fn open(&self, bucket: BucketId, key: &str) -> PinnedObject {
        open_pinned(&self.index, &self.pins, 0, bucket, key.as_bytes(), None)
            .unwrap()
            .there()
            .unwrap()
    }

    async fn released_soon(&self, count: usize) -> Vec<ExtentLocation> {
        for _ in 0..2000 {
            if self.space.released().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.space.released()
    }

    /// A multipart object of two parts of one extent each.
    async fn multipart(&self, bucket: BucketId, key: &str) -> (ObjectRecord, Vec<ExtentLocation>) {
        let key_bytes = Bytes::copy_from_slice(key.as_bytes());
        let create = Mutation::CreateUpload { bucket, key: key_bytes, attributes: Bytes::new() };
        let Ok(Outcome::Upload(upload)) = self.submit(create).await else { panic!() };
        let (mut parts, mut places) = (Vec::new(), Vec::new());
        for number in [1, 2] {
            let content = content(&self.index, &[3 * MIB]);
            places.push(content.extents[0].location);
            let put = new_part(upload, number, content);
            let Ok(Outcome::Part(part)) = self.submit(put).await else { panic!() };
            parts.push((part.number, part.id));
        }
        let object = new_object(bucket, key.as_bytes());
        let complete = Mutation::Complete { upload, parts, object, crc64: None };
        match self.submit(complete).await {
            Ok(Outcome::Object(record)) => (record, places),
            other => panic!("{other:?}"),
        }
    }

    fn assert_consistent(&self) -> WalkReport {
        let report = walk(&self.index, &[DEVICE], &mut |_| {}, &mut |_, _, _| None).unwrap();
        assert_eq!(report.findings, []);
        report
    }
}

fn places(content: &Content) -> Vec<ExtentLocation> {
    content.extents.iter().map(|new| new.location).collect()
}

#[tokio::test]
async fn data_is_flushed_before_the_index_shows_it_and_both_before_the_answer() {
    let world = World::new();
    let bucket = world.bucket().await;
    let index = world.index.clone();
    let shown_at_flush = Arc::new(AtomicBool::new(false));
    let shown = Arc::clone(&shown_at_flush);
    *world.device.observe.lock().unwrap() = Some(Box::new(move || {
        let snapshot = index.read().unwrap();
        let there = snapshot.object(bucket, b"key").unwrap().is_some();
        shown.fetch_or(there, Ordering::SeqCst);
    }));
    let flushes = world.device.flushes.load(Ordering::SeqCst);
    let record = world.put(bucket, "key", content(&world.index, &[4096])).await;
    assert_eq!(world.device.flushes.load(Ordering::SeqCst), flushes + 1);
    assert!(!shown_at_flush.load(Ordering::SeqCst), "flushed after the commit");
    let snapshot = world.index.read().unwrap();
    assert_eq!(snapshot.object(bucket, b"key").unwrap().unwrap().row, record.row);
}

#[tokio::test]
async fn what_waits_together_is_committed_together() {
    let world = World::new();
    let bucket = world.bucket().await;
    let before = world.handle().stats();
    // The first flush takes its time, and the others queue behind it.
    *world.device.observe.lock().unwrap() =
        Some(Box::new(|| std::thread::sleep(Duration::from_millis(200))));
    let mut submitted = Vec::new();
    for number in 0..COMMIT_BATCH_MAX {
        let (handle, content) = (world.handle(), content(&world.index, &[4096]));
        let object = new_object(bucket, format!("{number}").as_bytes());
        let put = Mutation::Put { object, content };
        submitted.push(tokio::spawn(async move { handle.submit(put).await }));
    }
    for submitted in submitted {
        submitted.await.unwrap().unwrap();
    }
    let after = world.handle().stats();
    assert_eq!(after.mutations - before.mutations, COMMIT_BATCH_MAX as u64);
    assert!(after.batches - before.batches <= 3, "{after:?}");
    assert!(after.data_flush_us >= 200_000 && after.queued == 0, "{after:?}");
}

/// A thousand deletes of the longest keys: about a MiB to hold, and a transaction's worth of pages.
fn many_deletes(bucket: BucketId) -> Mutation {
    let key = Bytes::from(vec![b'k'; OBJECT_KEY_BYTES_MAX]);
    Mutation::DeleteMany { bucket, deletes: vec![Delete::object(key); 1000] }
}

#[tokio::test]
async fn the_queue_is_bounded_by_bytes_and_a_transaction_by_its_pages() {
    const MUTATIONS: u64 = 24;
    let world = World::new();
    let bucket = world.bucket().await;
    let before = world.handle().stats();
    assert_eq!(before.queued_bytes, 0);
    let (release, held) = std::sync::mpsc::channel::<()>();
    *world.device.observe.lock().unwrap() = Some(Box::new(move || {
        let _ = held.recv();
    }));
    let mut submitted = Vec::new();
    for _ in 0..MUTATIONS {
        let handle = world.handle();
        submitted.push(tokio::spawn(async move { handle.submit(many_deletes(bucket)).await }));
    }
    let bytes_each = many_deletes(bucket).queued_bytes() as u64;
    let fit = COMMIT_QUEUE_BYTES as u64 / bytes_each;
    assert!(fit < MUTATIONS);
    for _ in 0..2000 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let stats = world.handle().stats();
        assert!(stats.queued_bytes <= COMMIT_QUEUE_BYTES as u64, "{stats:?}");
        if stats.queued_bytes >= fit * bytes_each && stats.queued < fit {
            break;
        }
    }
    let stats = world.handle().stats();
    assert!(stats.queued_bytes >= fit * bytes_each, "as many as fit: {stats:?}");
    assert!(stats.queued < fit, "the others wait outside: {stats:?}");
    drop(release);
    for submitted in submitted {
        submitted.await.unwrap().unwrap();
    }
    let after = world.handle().stats();
    assert_eq!(after.mutations - before.mutations, MUTATIONS);
    assert_eq!(after.batches - before.batches, MUTATIONS, "each is a transaction's worth");
    assert_eq!(after.queued_bytes, 0);
}

#[tokio::test]
async fn space_of_what_fails_comes_back_and_of_what_succeeds_does_not() {
    let world = World::new();
    let bucket = world.bucket().await;
    let good = content(&world.index, &[4096]);
    world.put(bucket, "key", good).await;
    let refused = content(&world.index, &[4096, 8192]);
    let expected = places(&refused);
    let object = NewObject { condition: Condition::Absent, ..new_object(bucket, b"key") };
    let outcome = world.submit(Mutation::Put { object, content: refused }).await;
    assert_eq!(outcome, Err(StoreError::ConditionFailed));
    assert_eq!(world.space.released(), expected);
    assert_eq!(world.handle().stats().mutations_failed, 1);
}

#[tokio::test]
async fn space_comes_back_when_the_submitter_gives_up_or_the_thread_is_closed() {
    let mut world = World::new();
    let bucket = world.bucket().await;
    let put = |content| Mutation::Put { object: new_object(bucket, b"key"), content };
    let first = content(&world.index, &[4096]);
    let mut expected = places(&first);
    let handle = world.handle();
    // Never polled.
    drop(handle.submit(put(first)));
    let thread = world.thread.take().unwrap();
    tokio::task::spawn_blocking(move || thread.close()).await.unwrap();
    let second = content(&world.index, &[4096]);
    expected.extend(places(&second));
    assert_eq!(handle.submit(put(second)).await, Err(StoreError::Closing));
    assert_eq!(world.space.released(), expected);
    assert_eq!(handle.settle().await, Err(StoreError::Closing));
}

#[tokio::test]
async fn a_pinned_object_keeps_extents_that_a_copy_gave_up_later() {
    let world = World::new();
    let bucket = world.bucket().await;
    // One extent with its checksums in its row, one with checksum rows.
    let staged = content(&world.index, &[4096, 3 * MIB]);
    let expected = places(&staged);
    let large = staged.extents[1].clone();
    let record = world.put(bucket, "a", staged).await;
    world.put(bucket, "b", reference(&record.body, record.size)).await;
    let reader = world.open(bucket, "a");
    assert_eq!(reader.extents.len(), 2);
    world.delete(bucket, "a").await.unwrap();
    world.delete(bucket, "b").await.unwrap();
    world.handle().settle().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.space.released(), [], "the reader still has them");
    {
        let snapshot = world.index.read().unwrap();
        let found = snapshot.checksums(large.id, &reader.extents[1], 0, large.crcs.len());
        assert_eq!(found.unwrap(), large.crcs, "and may look checksums up");
    }
    let stats = world.handle().stats();
    assert_eq!((stats.held_rows, stats.held_extents), (1, 1));
    world.assert_consistent();
    drop(reader);
    assert_eq!(world.released_soon(2).await, expected);
    assert_eq!(world.assert_consistent().extents, 0);
}

#[tokio::test]
async fn a_pinned_multipart_object_keeps_its_parts() {
    let world = World::new();
    let bucket = world.bucket().await;
    let (record, expected) = world.multipart(bucket, "a").await;
    let manifest = record.body.manifest().unwrap();
    world.put(bucket, "b", reference(&record.body, record.size)).await;
    let reader = world.open(bucket, "a");
    world.delete(bucket, "a").await.unwrap();
    world.delete(bucket, "b").await.unwrap();
    world.handle().settle().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.space.released(), []);
    {
        let snapshot = world.index.read().unwrap();
        let entry = snapshot.part_at(manifest, 4 * MIB).unwrap().unwrap();
        assert_eq!((entry.number, entry.start), (PartNumber(2), 3 * MIB));
        let part = snapshot.part(manifest, entry.number).unwrap().unwrap().to_record();
        let extent = snapshot.extent(part.body.slices()[0].extent).unwrap().unwrap();
        assert_eq!(extent.location, expected[1]);
    }
    drop(reader);
    assert_eq!(world.released_soon(2).await, expected);
    let report = world.assert_consistent();
    assert_eq!((report.parts, report.extents), (0, 0));
}

#[tokio::test]
async fn an_unpinned_object_is_free_with_the_answer() {
    let world = World::new();
    let bucket = world.bucket().await;
    let staged = content(&world.index, &[4096]);
    let expected = places(&staged);
    world.put(bucket, "a", staged).await;
    drop(world.open(bucket, "a"));
    world.delete(bucket, "a").await.unwrap();
    assert_eq!(world.space.released(), expected);
    let (_, expected_later) = world.multipart(bucket, "m").await;
    world.delete(bucket, "m").await.unwrap();
    world.handle().settle().await.unwrap();
    assert_eq!(world.space.released(), [expected, expected_later].concat());
}

#[tokio::test]
async fn freeing_in_steps_goes_on_after_a_restart() {
    let world = World::new();
    let bucket = world.bucket().await;
    let (_, expected) = world.multipart(bucket, "a").await;
    // A pin of this process keeps the parts; a restart knows no pins.
    let reader = world.open(bucket, "a");
    world.delete(bucket, "a").await.unwrap();
    world.handle().settle().await.unwrap();
    assert_eq!(world.space.released(), []);
    drop(reader.record);
    std::mem::forget(reader.pin);
    let world = World { pins: Arc::new(PinTable::new(64)), ..world };
    let world = tokio::task::spawn_blocking(|| world.restart()).await.unwrap();
    assert_eq!(world.released_soon(2).await, expected);
    assert_eq!(world.assert_consistent().extents, 0);
}

#[tokio::test]
async fn a_failed_flush_makes_the_store_read_only() {
    let world = World::new();
    let bucket = world.bucket().await;
    world.put(bucket, "before", content(&world.index, &[4096])).await;
    world.device.fails.store(true, Ordering::SeqCst);
    let put = || {
        let object = new_object(bucket, b"key");
        Mutation::Put { object, content: content(&world.index, &[4096]) }
    };
    let fault = DeviceFault { device: DeviceId(3), operation: Operation::Flush, errno: 5 };
    assert_eq!(world.submit(put()).await, Err(StoreError::Device(fault)));
    // A later flush that succeeds proves nothing.
    world.device.fails.store(false, Ordering::SeqCst);
    let outcome = world.submit(put()).await;
    assert!(matches!(&outcome, Err(StoreError::ReadOnly(reason)) if reason.contains("device 3")));
    assert!(matches!(world.delete(bucket, "before").await, Err(StoreError::ReadOnly(_))));
    assert!(matches!(world.handle().settle().await, Err(StoreError::ReadOnly(_))));
    assert_eq!(world.space.released().len(), 2, "nothing of it was linked");
    let snapshot = world.index.read().unwrap();
    assert!(snapshot.object(bucket, b"before").unwrap().is_some(), "reads go on");
    assert!(snapshot.object(bucket, b"key").unwrap().is_none());
}

#[tokio::test]
async fn a_full_index_still_deletes_and_takes_new_objects_after() {
    let world = World::with_map(INDEX_MAP_BYTES_MIN);
    let bucket = world.bucket().await;
    let mut keys = Vec::new();
    // In batches, so that transactions overflow and are split.
    loop {
        let mut submitted = Vec::new();
        for _ in 0..100 {
            let key = Bytes::from(format!("{:06}", keys.len() + submitted.len()));
            let object = new_object(bucket, &key);
            let put = Mutation::Put { object, content: content(&world.index, &[100_000]) };
            let handle = world.handle();
            submitted.push((key, tokio::spawn(async move { handle.submit(put).await })));
        }
        let mut full = false;
        for (key, submitted) in submitted {
            match submitted.await.unwrap() {
                Ok(_) => keys.push(key),
                Err(StoreError::IndexFull) => full = true,
                Err(error) => panic!("{error}"),
            }
        }
        if full {
            break;
        }
    }
    world.assert_consistent();
    let count = keys.len();
    assert!(count > 500, "{count}");
    let deletes: Vec<_> = keys.into_iter().map(Delete::object).collect();
    for deletes in deletes.chunks(1000) {
        let delete = Mutation::DeleteMany { bucket, deletes: deletes.to_vec() };
        match world.submit(delete).await {
            Ok(Outcome::DeletedMany(outcomes)) => {
                assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Deletion::Removed(_)))));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.assert_consistent().objects, 0);
    world.put(bucket, "after", content(&world.index, &[4096])).await;
}

#[tokio::test]
async fn one_damaged_row_fails_one_mutation() {
    let world = World::new();
    let bucket = world.bucket().await;
    world.put(bucket, "damaged", content(&world.index, &[4096])).await;
    damage_object(&world.index, bucket, b"damaged");
    *world.device.observe.lock().unwrap() =
        Some(Box::new(|| std::thread::sleep(Duration::from_millis(50))));
    let handle = world.handle();
    let put = |key: &str| {
        let object = new_object(bucket, key.as_bytes());
        handle.submit(Mutation::Put { object, content: content(&world.index, &[4096]) })
    };
    let (first, damaged, last) = tokio::join!(put("first"), put("damaged"), put("last"));
    assert!(first.is_ok() && last.is_ok(), "{first:?} {last:?}");
    assert!(matches!(&damaged, Err(StoreError::Index(what)) if what.contains("current")));
    assert_eq!(world.space.released().len(), 1);
    world.put(bucket, "more", inline(b"x")).await;
}

/// Readers against a writer on a device so small that freed space is written again at once. Each
/// block of the device says which extent it was last written for.
#[test]
fn space_is_not_reused_under_a_reader() {
    const BLOCKS: usize = 12;
    const KEYS: usize = 3;
    struct Blocks {
        content: Vec<AtomicU64>,
        free: Mutex<Vec<ExtentLocation>>,
    }
    impl FreeSpace for Blocks {
        fn release(&self, extent: ExtentLocation) {
            self.free.lock().unwrap().push(extent);
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let index = Index::create(&options(&directory, MAP_BYTES), STORE).unwrap();
    let place =
        |block| ExtentLocation { device: DeviceId(0), offset_blocks: block, length_blocks: 1 };
    let blocks = Arc::new(Blocks {
        content: (0..=BLOCKS).map(|_| AtomicU64::new(0)).collect(),
        free: Mutex::new((1..=BLOCKS as u64).map(place).collect()),
    });
    let pins = Arc::new(PinTable::new(64));
    let thread = CommitThread::start(CommitOptions {
        index: index.clone(),
        pins: Arc::clone(&pins),
        devices: Vec::new(),
        free: Arc::clone(&blocks) as Arc<dyn FreeSpace>,
    })
    .unwrap();
    let clock = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let handle = thread.handle();
    let create = create_bucket("bucket");
    let Ok(Outcome::Bucket(bucket)) = clock.block_on(handle.submit(create)) else { panic!() };
    let bucket = bucket.id;
    let over = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (index, pins, blocks) = (&index, &pins, &blocks);
            let (over, reads) = (&over, &reads);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let key = format!("{}", reads.fetch_add(1, Ordering::Relaxed) as usize % KEYS);
                    let found = open_pinned(index, pins, reader, bucket, key.as_bytes(), None);
                    let Found::There(found) = found.unwrap() else { continue };
                    for _ in 0..20 {
                        let (slice, extent) = (found.record.body.slices()[0], found.extents[0]);
                        let block = extent.location.offset_blocks as usize;
                        let content = blocks.content[block].load(Ordering::SeqCst);
                        assert_eq!(content, slice.extent.0, "block {block} was written again");
                        std::thread::yield_now();
                    }
                }
            });
        }
        // On few cores the readers may get their turns late, so there is no fixed number of rounds.
        for round in 0.. {
            if round >= 1500 && reads.load(Ordering::Relaxed) > 100 {
                break;
            }
            let taken = blocks.free.lock().unwrap().pop();
            let Some(location) = taken else {
                std::thread::yield_now();
                continue;
            };
            let mut staged = content(&index, &[4096]);
            staged.extents[0].location = location;
            let id = staged.extents[0].id.0;
            blocks.content[location.offset_blocks as usize].store(id, Ordering::SeqCst);
            let object = new_object(bucket, format!("{}", round % KEYS).as_bytes());
            clock.block_on(handle.submit(Mutation::Put { object, content: staged })).unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
    clock.block_on(handle.settle()).unwrap();
    drop(handle);
    thread.close();
    // All but the live objects' blocks came back.
    assert_eq!(blocks.free.lock().unwrap().len(), BLOCKS - KEYS);
}
