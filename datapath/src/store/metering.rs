//! Tests: what a request is told of its waiting, its bytes and its copies.

use std::{cell::RefCell, collections::HashMap, rc::Rc, time::Duration};

use super::testing::{Simulated, bucket, content, new_object, put};
use super::{LaneStore, OpenObject};
use crate::{
    arena::Share,
    device::Injection,
    limits::{CHECKSUM_BLOCK_BYTES, DEVICE_QUEUE_DEPTH},
    meter::{Meter, Origin, Wait},
};

const BLOCK: usize = CHECKSUM_BLOCK_BYTES as usize;
const DELAY: Duration = Duration::from_millis(30);

/// Writes down what it is told.
#[derive(Default)]
struct Notes {
    waited: RefCell<HashMap<&'static str, Duration>>,
    gave: RefCell<HashMap<&'static str, u64>>,
    copied: RefCell<u64>,
}

impl Notes {
    fn waited(&self, wait: &str) -> Duration {
        self.waited.borrow().get(wait).copied().unwrap_or_default()
    }

    fn gave(&self) -> Vec<(&'static str, u64)> {
        let mut gave: Vec<_> =
            self.gave.borrow().iter().map(|(&from, &bytes)| (from, bytes)).collect();
        gave.sort_unstable();
        gave
    }

    fn is_without_waiting(&self) -> bool {
        self.waited.borrow().is_empty()
    }
}

impl Meter for Notes {
    fn waited(&self, wait: Wait, took: Duration) {
        let wait = match wait {
            Wait::Queue => "queue",
            Wait::Device => "device",
            Wait::Verify => "verify",
        };
        *self.waited.borrow_mut().entry(wait).or_default() += took;
    }

    fn gave(&self, origin: Origin, bytes: u64) {
        let origin = match origin {
            Origin::Cache => "cache",
            Origin::Device => "device",
            Origin::Joined => "joined",
            Origin::Record => "record",
        };
        *self.gave.borrow_mut().entry(origin).or_default() += bytes;
    }

    fn copied(&self, bytes: u64) {
        *self.copied.borrow_mut() += bytes;
    }
}

async fn open(lane: &LaneStore, key: &str, notes: &Rc<Notes>) -> OpenObject {
    let opened = lane.open(bucket(lane).await, key.as_bytes(), None).unwrap().there().unwrap();
    opened.metered(Rc::clone(notes) as Rc<dyn Meter>)
}

/// Reads a range and tells what was noted.
async fn read(lane: &LaneStore, key: &str, range: std::ops::Range<u64>) -> Rc<Notes> {
    let notes = Rc::new(Notes::default());
    let mut stream = open(lane, key, &notes).await.read(range).await.unwrap();
    while let Some(piece) = stream.next().await {
        piece.unwrap();
    }
    notes
}

#[test]
fn a_miss_waits_for_its_device_and_a_hit_for_nothing() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        put(&lane, "key", &content(1, BLOCK)).await.unwrap();
        simulated.disks[0].set_delay(DELAY);
        let cold = read(&lane, "key", 100..1100).await;
        assert_eq!(cold.gave(), [("device", 1000)], "bytes of the range, not of the block");
        assert!(cold.waited("device") >= DELAY, "{:?}", cold.waited.borrow());
        assert!(cold.waited("verify") > Duration::ZERO, "{:?}", cold.waited.borrow());
        let hot = read(&lane, "key", 0..BLOCK as u64).await;
        assert_eq!(hot.gave(), [("cache", BLOCK as u64)]);
        assert!(hot.is_without_waiting(), "{:?}", hot.waited.borrow());
    });
}

#[test]
fn a_block_is_given_by_where_it_came_from() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        put(&lane, "key", &content(1, 4 * BLOCK)).await.unwrap();
        let block = BLOCK as u64;
        read(&lane, "key", block..block + 1).await;
        let mixed = read(&lane, "key", block / 2..3 * block).await;
        assert_eq!(mixed.gave(), [("cache", block), ("device", block / 2 + block)]);
        put(&lane, "small", b"in its record").await.unwrap();
        let small = read(&lane, "small", 3..13).await;
        assert_eq!(small.gave(), [("record", 10)]);
        assert_eq!(*small.copied.borrow(), 0);
        let framed = Rc::new(Notes::default());
        let opened = open(&lane, "small", &framed).await;
        let mut stream = opened.read_in_frames(3..13).await.unwrap();
        while let Some(piece) = stream.next().await {
            piece.unwrap();
        }
        assert_eq!((framed.gave(), *framed.copied.borrow()), (vec![("record", 10)], 10));
    });
}

#[test]
fn who_joins_a_fill_waits_for_the_device_too() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        put(&lane, "key", &content(1, BLOCK)).await.unwrap();
        simulated.disks[0].set_delay(DELAY);
        let (first, second) = tokio::join!(read(&lane, "key", 0..10), read(&lane, "key", 10..30));
        assert_eq!(first.gave(), [("device", 10)]);
        assert_eq!(second.gave(), [("joined", 20)]);
        // It came a moment later.
        assert!(second.waited("device") > DELAY / 2, "{:?}", second.waited.borrow());
    });
}

#[test]
fn places_in_a_full_queue_are_waited_for_as_queue() {
    let simulated = Simulated::new(&[32 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        let blocks = DEVICE_QUEUE_DEPTH + 1;
        put(&lane, "many", &content(1, blocks * BLOCK)).await.unwrap();
        simulated.disks[0].set_delay(DELAY);
        let readers: Vec<_> = (0..blocks as u64)
            .map(|block| {
                let lane = lane.clone();
                let at = block * BLOCK as u64;
                tokio::task::spawn_local(async move { read(&lane, "many", at..at + 1).await })
            })
            .collect();
        let mut notes = Vec::new();
        for reader in readers {
            notes.push(reader.await.unwrap());
        }
        let waited = |notes: &Rc<Notes>| notes.waited("queue") >= DELAY * 2 / 3;
        assert_eq!(notes.iter().filter(|notes| waited(notes)).count(), 1, "one over the depth");
    });
}

#[test]
fn a_request_that_is_given_up_has_told_what_it_waited_for() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        put(&lane, "key", &content(1, BLOCK)).await.unwrap();
        simulated.disks[0].hold(true);
        let notes = Rc::new(Notes::default());
        let opened = open(&lane, "key", &notes).await;
        let given_up = tokio::time::timeout(DELAY, opened.read(0..10)).await;
        simulated.disks[0].hold(false);
        assert!(given_up.is_err());
        assert!(notes.waited("device") >= DELAY * 2 / 3, "{:?}", notes.waited.borrow());
        assert_eq!(notes.gave(), []);
    });
}

#[test]
fn memory_is_waited_for_as_queue() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        put(&lane, "key", &content(1, BLOCK)).await.unwrap();
        let room = lane.arena().stats().reads.capacity_bytes / BLOCK as u64 * BLOCK as u64;
        let others = lane.arena().reserve(Share::Reads, room).unwrap();
        let (notes, ()) = tokio::join!(read(&lane, "key", 0..10), async {
            tokio::time::sleep(DELAY).await;
            drop(others);
        });
        assert!(notes.waited("queue") >= DELAY * 2 / 3, "{:?}", notes.waited.borrow());
        assert_eq!(lane.arena().stats().reads.waits, 1);
    });
}

#[test]
fn a_writer_tells_copies_checksums_and_waiting() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        let bucket = bucket(&lane).await;
        simulated.disks[0].set_delay(DELAY);
        for (size, in_extents) in [(700, false), (3 * BLOCK + 5, true)] {
            let notes = Rc::new(Notes::default());
            let meter = Some(Rc::clone(&notes) as Rc<dyn Meter>);
            let mut writer = lane.metered_writer(size as u64, meter).await.unwrap();
            for piece in content(2, size).chunks(1000) {
                writer.write(piece).await.unwrap();
            }
            let staged = writer.finish().await.unwrap();
            lane.put(new_object(bucket, "key"), staged).await.unwrap();
            assert_eq!(*notes.copied.borrow(), size as u64);
            assert_eq!(notes.waited("device") >= DELAY, in_extents, "{:?}", notes.waited.borrow());
            assert_eq!(notes.waited("verify") > Duration::ZERO, in_extents);
        }
        let notes = Rc::new(Notes::default());
        let meter = Some(Rc::clone(&notes) as Rc<dyn Meter>);
        let mut frames = lane.metered_frame_writer(10, meter).await.unwrap();
        let (mut frame, wanted) = frames.next_frame().await.unwrap().unwrap();
        frame.as_mut_slice()[..wanted].fill(1);
        frame.set_filled(wanted);
        frames.filled(frame).unwrap();
        frames.finish().await.unwrap();
        assert!(notes.waited("device") >= DELAY);
        assert_eq!(*notes.copied.borrow(), 0, "it was filled in place");
    });
}

#[test]
fn failed_reads_are_waited_for_and_give_nothing() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        put(&lane, "key", &content(1, BLOCK)).await.unwrap();
        simulated.disks[0].set_delay(DELAY);
        simulated.disks[0].inject(Injection::ReadError(libc::EIO));
        let notes = Rc::new(Notes::default());
        assert!(open(&lane, "key", &notes).await.read(0..10).await.is_err());
        assert!(notes.waited("device") >= DELAY * 2 / 3, "{:?}", notes.waited.borrow());
        assert_eq!(notes.gave(), []);
    });
}
