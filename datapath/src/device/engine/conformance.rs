//! *Owns:* the tests that every engine passes alike, and those of the common bounds.

use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use super::super::set::Backing;
use super::super::{
    CrashDisk, DeviceSet, DeviceSpec, Flushed, Injection, create_extent_file, format,
};
use super::*;
use crate::arena::{ArenaOptions, Reservation, Share};

const SIZE: u64 = 32 << 20;
const DATA: u64 = limits::DEVICE_DATA_START;
const DEVICE: DeviceId = DeviceId(0);

fn arena() -> Arena {
    Arena::new(&ArenaOptions {
        bytes: 20 << 20,
        reads_bytes: 16 << 20,
        reads_growth_bytes: 16 << 20,
        writes_bytes: 4 << 20,
        writes_growth_bytes: 4 << 20,
        huge_pages: false,
        lock_memory: false,
    })
    .unwrap()
}

fn file_devices(directory: &Path) -> DeviceSet {
    let path = directory.join("extents");
    create_extent_file(&path, SIZE).unwrap();
    format(std::slice::from_ref(&path), false).unwrap();
    DeviceSet::open(&[DeviceSpec { path, bytes: None }]).unwrap()
}

fn plain_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// What a test gets.
struct Bench {
    engine: Engine,
    devices: DeviceSet,
    arena: Arena,
    reservation: Reservation,
}

impl Bench {
    fn new(engine: Engine, devices: DeviceSet, arena: Arena) -> Bench {
        let reservation = arena.reserve(Share::Reads, 16 << 20).unwrap();
        Bench { engine, devices, arena, reservation }
    }

    /// Keeps what is begun in flight until the returned value is dropped. On a ring that needs no
    /// doing: a completion counts when the lane looks, which it does not between two polls.
    async fn stall(&self) -> Stall {
        match &self.engine.lane.backend {
            Backend::IoUring(_) => Stall::Ring,
            Backend::Blocking(pool) => Stall::Threads { _release: pool.occupy().await },
            Backend::Crash => {
                let Backing::Crash(disk) = &self.devices.devices()[0].backing else { panic!() };
                disk.hold(true);
                Stall::Disk(Arc::clone(disk))
            }
        }
    }

    fn frame(&self, bytes: usize, fill: u8) -> Frame {
        let mut frame = self.reservation.frame(bytes).unwrap();
        frame.as_mut_slice().fill(fill);
        frame.set_filled(bytes);
        frame
    }
}

enum Stall {
    Ring,
    Threads { _release: std::sync::mpsc::Sender<()> },
    Disk(Arc<CrashDisk>),
}

impl Drop for Stall {
    fn drop(&mut self) {
        if let Stall::Disk(disk) = self {
            disk.hold(false);
        }
    }
}

/// Runs a test over all three engines, and over unregistered rings. Where io_uring is refused that
/// engine cannot be tested, and the test says so.
fn over_all<F>(test: impl Fn(Bench) -> F)
where
    F: Future<Output = ()>,
{
    let directory = tempfile::tempdir().unwrap();
    let devices = file_devices(directory.path());
    match super::super::probe_io_uring() {
        Ok(_) => tokio_uring::start(async {
            let arena = arena();
            let engine = Engine::io_uring(&devices, &arena);
            // The second one on the same ring is refused (EBUSY) and goes without.
            let unregistered = Engine::io_uring(&devices, &arena);
            assert!(matches!(
                unregistered.registration(),
                Some(BufferRegistration::Refused { .. })
            ));
            for engine in [engine, unregistered] {
                test(Bench::new(engine.clone(), devices.clone(), arena.clone())).await;
                engine.quiesce().await;
            }
        }),
        Err(refused) => eprintln!("not run on io_uring: {refused}"),
    }
    plain_runtime().block_on(async {
        let (arena, pool) = (arena(), BlockingPool::start().unwrap());
        test(Bench::new(Engine::blocking(&devices, &pool), devices.clone(), arena)).await;
    });
    plain_runtime().block_on(async {
        let devices = DeviceSet::of_crash_disks(&[CrashDisk::new(SIZE)]);
        test(Bench::new(Engine::crash(&devices), devices, arena())).await;
    });
}

/// Polls once: begins the operation and leaves it in flight.
async fn begin<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Says when it is dropped.
struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn what_is_written_is_read_back() {
    over_all(async |bench| {
        let engine = &bench.engine;
        for (index, bytes) in [4096_usize, 8192, 65_536, 1 << 20].into_iter().enumerate() {
            let (fill, offset) = (index as u8 + 1, DATA + ((index as u64) << 21));
            let done = engine.write(DEVICE, offset, bench.frame(bytes, fill), "guard").await;
            assert_eq!((done.result, done.guard), (Ok(()), "guard"));
            drop(done.frame);
            let done = engine.read(DEVICE, offset, bench.frame(bytes, 0), bytes, ()).await;
            assert_eq!(done.result, Ok(()));
            assert_eq!(done.frame.filled().len(), bytes);
            assert!(done.frame.filled().iter().all(|byte| *byte == fill));
        }
        // A part into a larger frame: only that part counts as filled.
        let done = engine.read(DEVICE, DATA, bench.frame(65_536, 9), 4096, ()).await;
        assert_eq!((done.result, done.frame.filled_bytes()), (Ok(()), 4096));
        let stats = engine.stats(DEVICE).unwrap();
        let bytes = 4096 + 8192 + 65_536 + (1 << 20);
        assert_eq!((stats.writes, stats.write_bytes), (4, bytes));
        assert_eq!((stats.reads, stats.read_bytes), (5, bytes + 4096));
        assert_eq!((stats.read_errors, stats.write_errors, stats.in_flight), (0, 0, 0));
        drop(bench.devices);
    });
}

#[test]
fn what_is_not_aligned_or_outside_is_refused() {
    over_all(async |bench| {
        let engine = &bench.engine;
        let end = bench.devices.devices()[0].data_area().end;
        for (offset, length) in [
            (DATA + 512, 4096),
            (DATA, 512),
            (DATA, 0),
            (DATA, 8192),
            (0, 4096),
            (DATA - 4096, 4096),
            (end, 4096),
            (u64::MAX - 4095, 4096),
        ] {
            let done = engine.read(DEVICE, offset, bench.frame(4096, 0), length, 7).await;
            let fault = done.result.unwrap_err();
            assert_eq!((fault.errno, fault.operation), (libc::EINVAL, Operation::Read));
            assert_eq!((done.frame.filled_bytes(), done.guard), (0, 7));
        }
        let mut frame = bench.frame(4096, 1);
        frame.set_filled(100);
        let done = engine.write(DEVICE, DATA, frame, ()).await;
        assert_eq!(done.result.unwrap_err().errno, libc::EINVAL);
        let done = engine.write(DEVICE, 0, done.frame, ()).await;
        assert_eq!(done.result.unwrap_err().errno, libc::EINVAL, "the superblock is out of reach");
        let done = engine.write(DeviceId(9), DATA, bench.frame(4096, 1), ()).await;
        assert_eq!(done.result.unwrap_err().errno, libc::ENODEV);
        assert_eq!(engine.stats(DEVICE).unwrap().read_errors, 8);
        assert_eq!(engine.stats(DEVICE).unwrap().reads, 0);
    });
}

#[test]
fn a_dropped_future_keeps_frame_and_guard_until_the_end() {
    over_all(async |bench| {
        let engine = &bench.engine;
        let whole = bench.arena.stats().free_bytes;
        let dropped = Arc::new(AtomicBool::new(false));
        let stall = bench.stall().await;
        {
            let frame = bench.frame(1 << 20, 0x5a);
            let write = pin!(engine.write(DEVICE, DATA, frame, Guard(Arc::clone(&dropped))));
            assert!(begin(write).await.is_none());
        }
        assert_eq!(engine.in_flight(), 1);
        assert!(!dropped.load(Ordering::SeqCst));
        assert_eq!(bench.arena.stats().free_bytes, whole - (1 << 20));
        drop(stall);
        engine.quiesce().await;
        assert!(dropped.load(Ordering::SeqCst));
        assert_eq!(engine.in_flight(), 0);
        assert_eq!(bench.arena.stats().free_bytes, whole);
        let handles = bench.devices.flush_handles();
        assert_eq!(handles[0].flush(), Ok(Flushed::Done), "an abandoned write is a write");
        let done = engine.read(DEVICE, DATA, bench.frame(1 << 20, 0), 1 << 20, ()).await;
        assert_eq!(done.result, Ok(()));
        assert!(done.frame.filled().iter().all(|byte| *byte == 0x5a), "and went to its end");
    });
}

/// Against the rule, but memory that the kernel may still write to must not reach another owner.
#[test]
fn a_ring_that_ends_too_early_keeps_the_memory_from_reuse() {
    if let Err(refused) = super::super::probe_io_uring() {
        eprintln!("not run: {refused}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let devices = file_devices(directory.path());
    for abandon in [true, false] {
        let arena = arena();
        let dropped = Arc::new(AtomicBool::new(false));
        tokio_uring::start(async {
            let engine = Engine::io_uring(&devices, &arena);
            let bench = Bench::new(engine.clone(), devices.clone(), arena.clone());
            let (frame, guard) = (bench.frame(65_536, 1), Guard(Arc::clone(&dropped)));
            let mut write = Box::pin(async move { engine.write(DEVICE, DATA, frame, guard).await });
            assert!(begin(write.as_mut()).await.is_none());
            match abandon {
                true => drop(write),
                false => drop(tokio_uring::spawn(write)),
            }
        });
        assert_eq!(arena.stats().free_bytes, arena.bytes() - 65_536);
        assert!(!dropped.load(Ordering::SeqCst), "what the guard reserves stays reserved");
    }
}

#[test]
fn a_future_never_polled_gives_everything_back() {
    over_all(async |bench| {
        let whole = bench.arena.stats().free_bytes;
        let dropped = Arc::new(AtomicBool::new(false));
        let frame = bench.frame(4096, 1);
        drop(bench.engine.write(DEVICE, DATA, frame, Guard(Arc::clone(&dropped))));
        assert!(dropped.load(Ordering::SeqCst));
        assert_eq!((bench.arena.stats().free_bytes, bench.engine.in_flight()), (whole, 0));
    });
}

#[test]
fn more_than_the_queue_depth_waits() {
    over_all(async |bench| {
        let engine = &bench.engine;
        let count = limits::DEVICE_QUEUE_DEPTH * 2;
        let mut reads: Vec<_> = (0..count)
            .map(|index| {
                let offset = DATA + index as u64 * 4096;
                Box::pin(engine.read(DEVICE, offset, bench.frame(4096, 1), 4096, index))
            })
            .collect();
        let stall = bench.stall().await;
        for read in &mut reads {
            assert!(begin(read.as_mut()).await.is_none());
        }
        assert_eq!(engine.in_flight(), limits::DEVICE_QUEUE_DEPTH);
        drop(stall);
        for (index, read) in reads.into_iter().enumerate() {
            let done = read.await;
            assert_eq!((done.result, done.guard), (Ok(()), index));
        }
        let stats = engine.stats(DEVICE).unwrap();
        assert_eq!((stats.reads, stats.in_flight), (count as u64, 0));
        assert_eq!(stats.waits as usize, count - limits::DEVICE_QUEUE_DEPTH);
    });
}

#[test]
fn flushes_cover_completed_writes_and_no_more() {
    over_all(async |bench| {
        let handle = bench.devices.flush_handles().remove(0);
        // Another test's engine may have written to the same file before.
        handle.flush().unwrap();
        assert_eq!(handle.flush(), Ok(Flushed::NothingToDo));
        let done = bench.engine.write(DEVICE, DATA, bench.frame(4096, 1), ()).await;
        assert_eq!(done.result, Ok(()));
        assert_eq!(handle.flush(), Ok(Flushed::Done));
        assert_eq!(handle.flush(), Ok(Flushed::NothingToDo));
        let done = bench.engine.read(DEVICE, DATA, done.frame, 4096, ()).await;
        assert_eq!(done.result, Ok(()));
        assert_eq!(bench.devices.flush_all(), Ok(Flushed::NothingToDo), "reads need no flush");
        assert!(handle.stats().skipped >= 3);
    });
}

#[test]
fn errors_of_the_file_keep_their_number() {
    let directory = tempfile::tempdir().unwrap();
    let devices = file_devices(directory.path());
    // The file loses its end behind the engine's back: reads there find nothing.
    let path = devices.devices()[0].path().to_owned();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(DATA + 4096).unwrap();
    let check = async |engine: Engine, arena: Arena| {
        let bench = Bench::new(engine, devices.clone(), arena);
        let done = bench.engine.read(DEVICE, DATA, bench.frame(8192, 0), 8192, ()).await;
        let fault = done.result.unwrap_err();
        assert_eq!((fault.errno, fault.device), (libc::EIO, DEVICE));
        assert!(fault.to_string().contains("device 0: read failed"), "{fault}");
        assert_eq!(bench.engine.stats(DEVICE).unwrap().read_errors, 1);
        let done = bench.engine.read(DEVICE, DATA, done.frame, 4096, ()).await;
        assert_eq!(done.result, Ok(()), "the engine goes on");
    };
    if super::super::probe_io_uring().is_ok() {
        tokio_uring::start(async {
            let arena = arena();
            check(Engine::io_uring(&devices, &arena), arena).await;
        });
    }
    let pool = BlockingPool::start().unwrap();
    plain_runtime().block_on(check(Engine::blocking(&devices, &pool), arena()));
}

#[tokio::test]
async fn injected_faults_come_through_and_short_transfers_are_finished() {
    let disk = CrashDisk::new(SIZE);
    let devices = DeviceSet::of_crash_disks(std::slice::from_ref(&disk));
    let bench = Bench::new(Engine::crash(&devices), devices, arena());
    let engine = &bench.engine;
    disk.inject(Injection::WriteError(libc::ENOSPC));
    let done = engine.write(DEVICE, DATA, bench.frame(65_536, 3), ()).await;
    let fault = done.result.unwrap_err();
    assert_eq!((fault.errno, fault.operation), (libc::ENOSPC, Operation::Write));
    // In steps of a block, of two and a bit, and once not at all.
    for bytes in [4096, 9000, 0, 512] {
        disk.inject(Injection::ShortWrite(bytes));
        disk.inject(Injection::ShortRead(bytes));
    }
    disk.inject(Injection::ReadError(libc::EINTR));
    let done = engine.write(DEVICE, DATA, done.frame, ()).await;
    assert_eq!(done.result, Ok(()));
    let done = engine.read(DEVICE, DATA, bench.frame(65_536, 0), 65_536, ()).await;
    assert_eq!(done.result, Ok(()));
    assert!(done.frame.filled().iter().all(|byte| *byte == 3));
    for _ in 0..=limits::TRANSFER_STALLS_MAX {
        disk.inject(Injection::ShortRead(0));
    }
    let done = engine.read(DEVICE, DATA, done.frame, 4096, ()).await;
    assert_eq!(
        done.result.unwrap_err().errno,
        libc::EIO,
        "a device that moves nothing is at fault"
    );
    disk.inject(Injection::ReadError(libc::EIO));
    let done = engine.read(DEVICE, DATA, done.frame, 4096, ()).await;
    assert_eq!(done.result.unwrap_err().errno, libc::EIO);
}

#[tokio::test]
async fn a_failed_flush_stays_failed() {
    let disk = CrashDisk::new(SIZE);
    let devices = DeviceSet::of_crash_disks(std::slice::from_ref(&disk));
    let bench = Bench::new(Engine::crash(&devices), devices, arena());
    let handle = bench.devices.flush_handles().remove(0);
    let done = bench.engine.write(DEVICE, DATA, bench.frame(4096, 1), ()).await;
    assert_eq!(done.result, Ok(()));
    disk.inject(Injection::FlushError(libc::EIO));
    for _ in 0..2 {
        let fault = handle.flush().unwrap_err();
        assert_eq!((fault.errno, fault.operation), (libc::EIO, Operation::Flush));
    }
    assert_eq!((disk.unflushed_writes(), handle.stats().failed), (1, 2));
}

#[tokio::test]
async fn power_cuts_spare_what_was_flushed() {
    let disk = CrashDisk::new(SIZE);
    let devices = DeviceSet::of_crash_disks(std::slice::from_ref(&disk));
    let bench = Bench::new(Engine::crash(&devices), devices, arena());
    let engine = &bench.engine;
    assert_eq!(engine.write(DEVICE, DATA, bench.frame(65_536, 1), ()).await.result, Ok(()));
    bench.devices.flush_all().unwrap();
    let late = DATA + 65_536;
    assert_eq!(engine.write(DEVICE, late, bench.frame(65_536, 2), ()).await.result, Ok(()));
    disk.hold(true);
    let frame = bench.frame(65_536, 3);
    let mut unfinished = pin!(engine.write(DEVICE, late + 65_536, frame, ()));
    assert!(begin(unfinished.as_mut()).await.is_none());
    tokio::task::yield_now().await;
    bench.devices.flush_all().unwrap();
    let mut out = vec![0; 65_536];
    for seed in 0..50 {
        let after = disk.crash(seed);
        after.peek(DATA, &mut out);
        assert!(out.iter().all(|byte| *byte == 1));
        after.peek(late, &mut out);
        assert!(out.iter().all(|byte| *byte == 2), "flushed later, since completed before");
        after.peek(late + 65_536, &mut out);
        assert!(out.iter().all(|byte| matches!(byte, 0 | 3)));
    }
    assert_eq!(engine.in_flight(), 1);
    disk.set_delay(Duration::from_millis(1));
    disk.hold(false);
    assert_eq!(unfinished.await.result, Ok(()));
    assert_eq!(disk.unflushed_writes(), 1);
}
