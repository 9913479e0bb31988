//! *Owns:* tests of the arena as a whole: threads, exhaustion, fairness, what a slow reader pins.

use std::collections::VecDeque;
use std::sync::Barrier;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;
const CHUNK: u64 = limits::FRAME_BYTES_GUARANTEED as u64;

fn arena(bytes: u64, reads: u64, writes: u64) -> Arena {
    Arena::new(&ArenaOptions {
        bytes,
        reads_bytes: reads,
        reads_growth_bytes: reads,
        writes_bytes: writes,
        writes_growth_bytes: writes,
        huge_pages: false,
        lock_memory: false,
    })
    .unwrap()
}

/// The least that a cache can be: a queue, evicted from the front.
#[derive(Default)]
struct QueueCache {
    frames: Mutex<VecDeque<CacheFrame>>,
}

impl Reclaim for QueueCache {
    fn reclaim(&self, _bytes: usize) -> bool {
        let evicted = lock(&self.frames).pop_front();
        evicted.is_some()
    }
}

fn with_cache(arena: &Arena) -> Arc<QueueCache> {
    let cache = Arc::new(QueueCache::default());
    let weak: Weak<QueueCache> = Arc::downgrade(&cache);
    assert!(arena.set_reclaim(weak));
    cache
}

#[test]
fn frames_are_aligned_and_begin_as_zeros() {
    let arena = arena(20 * MIB, 10 * MIB, 5 * MIB);
    let reservation = arena.reserve(Share::Reads, 10 * MIB).unwrap();
    for bytes in [1, 4096, 4097, 65_536, 1 << 20] {
        let mut frame = reservation.frame(bytes).unwrap();
        assert_eq!(frame.capacity(), bytes.next_power_of_two().max(4096));
        assert_eq!(frame.address().align_offset(limits::FRAME_BYTES_MIN), 0);
        assert!(frame.as_mut_slice().iter().all(|byte| *byte == 0));
        assert_eq!(frame.region_index(), 0);
    }
    assert_eq!(arena.stats().free_bytes, 20 * MIB);
    assert_eq!(reservation.used_bytes(), 0);
}

#[test]
fn only_what_was_filled_is_shared() {
    let arena = arena(20 * MIB, 10 * MIB, 5 * MIB);
    let reservation = arena.reserve(Share::Reads, CHUNK).unwrap();
    let mut frame = reservation.frame(4096).unwrap();
    frame.as_mut_slice().fill(0xee);
    drop(frame);
    let mut frame = reservation.frame(4096).unwrap();
    assert_eq!(frame.append(b"hello"), 5);
    assert_eq!(frame.filled(), b"hello");
    assert_eq!(frame.pad_to_block(), 4096);
    assert!(frame.filled()[5..].iter().all(|byte| *byte == 0), "padding carries no residue");
    frame.set_filled(5);
    assert_eq!(frame.share().into_bytes(), &b"hello"[..]);
}

#[test]
fn bytes_hold_the_memory_and_the_charge() {
    let arena = arena(20 * MIB, 10 * MIB, 5 * MIB);
    let reservation = arena.reserve(Share::Reads, CHUNK).unwrap();
    let mut frame = reservation.frame(4096).unwrap();
    frame.append(b"0123456789");
    let bytes = frame.share().slice(2..8);
    let part = bytes.slice(1..3);
    drop(bytes);
    assert_eq!(part, &b"34"[..]);
    assert_eq!(reservation.frame(4096).unwrap_err(), FrameRefused::ReservationSpent);
    drop(reservation);
    assert_eq!(arena.stats().reads.reserved_bytes, CHUNK, "the slow reader still pays");
    assert_eq!(arena.stats().free_bytes, 20 * MIB - 4096);
    drop(part);
    assert_eq!(arena.stats().reads.reserved_bytes, 0);
    assert_eq!(arena.stats().free_bytes, 20 * MIB);
}

#[test]
fn shares_cannot_promise_more_than_there_is() {
    let options = |bytes, reads_bytes, writes_bytes| ArenaOptions {
        bytes,
        reads_bytes,
        reads_growth_bytes: reads_bytes,
        writes_bytes,
        writes_growth_bytes: writes_bytes,
        huge_pages: false,
        lock_memory: false,
    };
    let refused = Arena::new(&options(20 * MIB, 15 * MIB, 6 * MIB));
    assert!(matches!(refused, Err(ArenaError::SharesExceed { .. })));
    let refused = Arena::new(&options(20 * MIB, u64::MAX, 6 * MIB));
    assert!(matches!(refused, Err(ArenaError::SharesExceed { .. })));
    let refused = Arena::new(&options(MIB, 0, 0));
    assert!(matches!(refused, Err(ArenaError::TooSmall { .. })));

    let arena = arena(20 * MIB, 10 * MIB, 5 * MIB);
    let all = arena.reserve(Share::Reads, 10 * MIB).unwrap();
    let error = arena.reserve(Share::Reads, 1).unwrap_err();
    assert_eq!(error.reason, OverloadReason::NoRoom);
    let error = arena.reserve(Share::Writes, 6 * MIB).unwrap_err();
    assert_eq!(error.reason, OverloadReason::LargerThanShare);
    assert_eq!(
        arena.reserve(Share::Writes, u64::MAX).unwrap_err().reason,
        OverloadReason::LargerThanShare
    );
    assert!(arena.reserve(Share::Writes, 5 * MIB).is_ok());
    drop(all);
    assert_eq!(arena.stats().reads.refused, 1);
}

#[test]
fn reservations_grow_and_shrink() {
    let arena = arena(20 * MIB, 4 * CHUNK, 0);
    let mut first = arena.reserve(Share::Reads, CHUNK).unwrap();
    assert!(first.try_grow(2 * CHUNK));
    let second = arena.reserve(Share::Reads, CHUNK).unwrap();
    assert!(!first.try_grow(1));
    let frame = first.frame(1 << 17).unwrap();
    first.shrink_to(0);
    assert_eq!(first.bytes(), 2 * CHUNK, "what is in a frame stays reserved");
    drop(frame);
    first.shrink_to(0);
    assert_eq!(first.bytes(), CHUNK);
    drop((first, second));
    assert_eq!(arena.stats().reads.reserved_bytes, 0);
}

#[tokio::test]
async fn a_stream_waits_for_its_own_frames_only() {
    let arena = arena(20 * MIB, 4 * CHUNK, 0);
    let mut stream = arena.reserve(Share::Reads, CHUNK).unwrap();
    assert_eq!(
        stream.charge_when_free(1 << 20).await.unwrap_err(),
        FrameRefused::ReservationSpent,
        "a wait without end is refused"
    );
    let held = stream.frame(4096).unwrap().share().into_bytes();
    let later = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop(held);
    });
    let charge = tokio::time::timeout(Duration::from_secs(5), stream.charge_when_free(4096));
    assert_eq!(charge.await.unwrap().unwrap().bytes() as u64, CHUNK);
    later.await.unwrap();
}

#[tokio::test]
async fn waiting_is_in_order_and_bounded_in_time() {
    let arena = arena(20 * MIB, 4 * CHUNK, 0);
    let held = arena.reserve(Share::Reads, 3 * CHUNK).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiters = Vec::new();
    // The first asks for more than is left; the others would fit, yet stay behind it.
    for (name, chunks) in [(0, 2), (1, 1), (2, 1)] {
        let (asking, order) = (arena.clone(), Arc::clone(&order));
        waiters.push(tokio::spawn(async move {
            let patience = Duration::from_secs(10);
            let got = asking.reserve_within(Share::Reads, chunks * CHUNK, patience).await;
            lock(&order).push(name);
            got.unwrap()
        }));
        while arena.stats().reads.waiting != name + 1 {
            tokio::task::yield_now().await;
        }
    }
    let barging = arena.reserve(Share::Reads, 1).unwrap_err();
    assert_eq!(barging.reason, OverloadReason::NoRoom, "nobody overtakes those who wait");
    let late = arena.reserve_within(Share::Reads, 1, Duration::from_millis(5)).await;
    assert_eq!(late.unwrap_err().reason, OverloadReason::TimedOut);
    drop(held);
    for waiter in waiters {
        drop(waiter.await.unwrap());
    }
    assert_eq!(*lock(&order), [0, 1, 2]);
    assert_eq!(arena.stats().reads.reserved_bytes, 0);
    assert_eq!(arena.stats().reads.waiting, 0);
}

#[tokio::test]
async fn a_waiter_that_goes_away_loses_nothing() {
    let arena = arena(20 * MIB, 2 * CHUNK, 0);
    let held = arena.reserve(Share::Reads, 2 * CHUNK).unwrap();
    let forever = Duration::from_secs(3600);
    let large = {
        let arena = arena.clone();
        tokio::spawn(async move { arena.reserve_within(Share::Reads, 2 * CHUNK, forever).await })
    };
    while arena.stats().reads.waiting != 1 {
        tokio::task::yield_now().await;
    }
    let small = {
        let arena = arena.clone();
        tokio::spawn(async move { arena.reserve_within(Share::Reads, CHUNK, forever).await })
    };
    while arena.stats().reads.waiting != 2 {
        tokio::task::yield_now().await;
    }
    // Granted and abandoned in the same moment: the booking must go on to the next in line.
    drop(held);
    large.abort();
    let _ = large.await;
    let small = tokio::time::timeout(Duration::from_secs(5), small).await;
    drop(small.expect("the next in line is served").unwrap().unwrap());
    assert_eq!(arena.stats().reads.reserved_bytes, 0);
}

/// The queue itself has a bound.
#[tokio::test]
async fn the_queue_is_bounded() {
    let arena = arena(20 * MIB, CHUNK, 0);
    let _held = arena.reserve(Share::Reads, CHUNK).unwrap();
    let book = arena.shared.share(Share::Reads);
    let places: Vec<_> = (0..limits::RESERVATION_WAITERS_MAX)
        .map(|_| book.book_or_queue(CHUNK).ok().flatten().unwrap())
        .collect();
    let patience = Duration::from_secs(1);
    let error = arena.reserve_within(Share::Reads, CHUNK, patience).await.unwrap_err();
    assert_eq!(error.reason, OverloadReason::TooManyWaiting);
    drop(places);
    assert_eq!(arena.stats().reads.waiting, 0);
}

/// The argument at the head of `budget.rs`, at its worst: the whole arena is promised, every
/// charge sits on a frame of 4 KiB, and the cache has filled the rest with pieces.
#[test]
fn a_reservation_gets_its_frame_out_of_any_fragmentation() {
    let total = 20 * MIB;
    let arena = arena(total, total, 0);
    let cache = with_cache(&arena);
    let chunks = total / CHUNK;
    let stream = arena.reserve(Share::Reads, total).unwrap();
    // The cache takes everything in pages, so that which ones come free is not of our choosing.
    loop {
        let charge = stream.charge(4096).unwrap();
        if arena.stats().free_bytes == 0 {
            break;
        }
        let frame = charge.frame(4096).unwrap().share();
        lock(&cache.frames).push_back(frame.retain());
    }
    // One charge is kept; every other one pins a cached page, each page in another chunk, for as
    // long as there are charges and chunks.
    let last = stream.charge(limits::FRAME_BYTES_GUARANTEED).unwrap();
    let pinned: Vec<SharedFrame> = {
        let frames = lock(&cache.frames);
        let mut chunks_seen = std::collections::HashSet::new();
        let lent = frames.iter().map_while(|frame| {
            let lent = frame.lend(stream.charge(4096)?).expect("charged enough");
            let chunk = lent.as_ref().as_ptr() as u64 / CHUNK;
            Some(chunks_seen.insert(chunk).then_some(lent))
        });
        lent.flatten().collect()
    };
    assert_eq!(pinned.len() as u64, chunks - 1, "charges run out before chunks do");
    let frame = last.frame(limits::FRAME_BYTES_GUARANTEED).expect("the argument holds");
    assert_eq!(stream.frame(4096).unwrap_err(), FrameRefused::ReservationSpent);
    drop((frame, pinned));
    drop(cache);
    assert_eq!(arena.stats().free_bytes, total);
}

/// Threads with more demand than memory: every reservation granted gets all of its frames, no
/// frame is held twice (each holder stamps its own and finds the stamp unbroken), nothing leaks.
#[test]
fn threads_exhaust_the_arena_and_nothing_is_given_twice() {
    const THREADS: u64 = 8;
    let arena = arena(20 * MIB, 8 * MIB, 4 * MIB);
    let cache = with_cache(&arena);
    let (barrier, starved) = (Barrier::new(THREADS as usize), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (arena, cache, barrier, starved) = (&arena, &cache, &barrier, &starved);
            scope.spawn(move || {
                barrier.wait();
                let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(thread + 1);
                for round in 0..400_u64 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let share = [Share::Reads, Share::Writes][(random >> 8) as usize % 2];
                    let chunks = 1 + random % 20;
                    let Ok(reservation) = arena.reserve(share, chunks * CHUNK) else {
                        continue;
                    };
                    let mut frames = Vec::new();
                    for index in 0..chunks {
                        let bytes = 4096 << ((random >> (index % 32)) % 5);
                        let Ok(mut frame) = reservation.frame(bytes) else {
                            starved.store(true, Ordering::Relaxed);
                            return;
                        };
                        let stamp = (thread << 48 | round << 16 | index).to_le_bytes();
                        while frame.append(&stamp) != 0 {}
                        frames.push((stamp, frame));
                    }
                    std::thread::yield_now();
                    for (stamp, frame) in frames {
                        assert!(frame.filled().chunks(8).all(|chunk| chunk == stamp));
                        let shared = frame.share();
                        lock(&cache.frames).push_back(shared.retain());
                        let bytes = shared.into_bytes();
                        assert!(bytes.chunks(8).all(|chunk| chunk == stamp));
                    }
                }
            });
        }
    });
    assert!(!starved.load(Ordering::Relaxed), "a reservation did not get its frame");
    assert!(arena.stats().reclaim_rounds > 0, "memory was short at times");
    drop(cache);
    let stats = arena.stats();
    assert_eq!(stats.free_bytes, stats.bytes);
    assert_eq!((stats.reads.reserved_bytes, stats.writes.reserved_bytes), (0, 0));
}

#[test]
fn large_frames_may_be_refused_but_leave_the_charge() {
    let total = 20 * MIB;
    let arena = arena(total, total, 0);
    let stream = arena.reserve(Share::Reads, total).unwrap();
    // One frame stays in each MiB, so that no block of 1 MiB is left.
    let mut frames: Vec<Frame> =
        (0..total / CHUNK).map(|_| stream.frame(65_536).unwrap()).collect();
    frames.sort_by_key(|frame| frame.filled().as_ptr() as usize);
    let mut index = 0;
    frames.retain(|_| {
        index += 1;
        index % 16 == 1
    });
    let refused = stream.frame(1 << 20);
    assert_eq!(refused.unwrap_err(), FrameRefused::Fragmented);
    assert_eq!(arena.stats().fragmented, 1);
    assert!(stream.frame(limits::FRAME_BYTES_GUARANTEED).is_ok());
}

proptest! {
    /// The book never promises more than a share has, and what is given back is all of it.
    #[test]
    fn reserved_never_exceeds_the_share(steps in prop::collection::vec((0_u64..12, 0_usize..8), 1..200)) {
        let arena = arena(20 * MIB, 32 * CHUNK, 8 * CHUNK);
        let mut held: Vec<Reservation> = Vec::new();
        let mut bytes = Vec::new();
        for (chunks, action) in steps {
            match action {
                0..=2 => held.extend(arena.reserve(Share::Reads, chunks * CHUNK)),
                3 if !held.is_empty() => drop(held.swap_remove(chunks as usize % held.len())),
                4 if !bytes.is_empty() => drop(bytes.swap_remove(chunks as usize % bytes.len())),
                5 => for one in &mut held {
                    let _ = one.try_grow(chunks * CHUNK);
                },
                6 => held.iter_mut().for_each(|one| one.shrink_to(chunks * CHUNK)),
                _ => for one in &held {
                    bytes.extend(one.frame(4096).map(|frame| frame.share().into_bytes()));
                },
            }
            let stats = arena.stats().reads;
            let promised: u64 = held.iter().map(Reservation::bytes).sum();
            prop_assert!(promised <= stats.reserved_bytes);
            prop_assert!(stats.reserved_bytes <= stats.capacity_bytes);
            let pinned = stats.reserved_bytes - promised;
            prop_assert!(pinned <= bytes.len() as u64 * CHUNK);
        }
        held.clear();
        prop_assert_eq!(arena.stats().reads.reserved_bytes, bytes.len() as u64 * CHUNK);
        bytes.clear();
        prop_assert_eq!(arena.stats().reads.reserved_bytes, 0);
        prop_assert_eq!(arena.stats().free_bytes, 20 * MIB);
    }
}

#[test]
fn the_report_says_what_was_got() {
    let options = ArenaOptions {
        bytes: 20 * MIB,
        reads_bytes: 0,
        reads_growth_bytes: 0,
        writes_bytes: 0,
        writes_growth_bytes: 0,
        huge_pages: true,
        lock_memory: true,
    };
    let report = Arena::new(&options).unwrap().report();
    assert_eq!((report.bytes, report.regions), (20 * MIB, 1));
    match report.pages {
        PageKind::Huge => assert_eq!(report.huge_refused, None),
        _ => assert!(report.huge_refused.is_some() && report.to_string().contains("huge pages")),
    }
    assert_ne!(report.locking, Locking::NotAsked);
    let refused = MappingReport { locking: Locking::Refused(libc::ENOMEM), ..report };
    assert!(refused.to_string().contains("LimitMEMLOCK="));
}

/// Streams that stopped may not keep the share from those that begin.
#[test]
fn growth_leaves_room_for_those_who_begin() {
    const MIB: u64 = 1 << 20;
    let options = ArenaOptions {
        bytes: 32 * MIB,
        reads_bytes: 8 * MIB,
        reads_growth_bytes: 2 * MIB,
        writes_bytes: 4 * MIB,
        writes_growth_bytes: 0,
        huge_pages: false,
        lock_memory: false,
    };
    let arena = Arena::new(&options).unwrap();
    let mut greedy = arena.reserve(Share::Reads, 1).unwrap();
    while greedy.try_grow(1) {}
    assert_eq!(greedy.bytes(), 2 * MIB + limits::FRAME_BYTES_GUARANTEED as u64);
    let begins: Vec<_> = std::iter::from_fn(|| arena.reserve(Share::Reads, 1).ok()).collect();
    assert_eq!(
        begins.len() as u64 * limits::FRAME_BYTES_GUARANTEED as u64 + greedy.bytes(),
        8 * MIB
    );
    greedy.shrink_to(1);
    let mut other = arena.reserve(Share::Reads, 1).unwrap();
    assert!(other.try_grow(MIB), "what one gave back another may have");
    drop(other);
    assert!(greedy.try_grow(2 * MIB - limits::FRAME_BYTES_GUARANTEED as u64));
}
