//! A power cut at any moment loses nothing that was acknowledged.
//!
//! kill -9 proves nothing about that, since the page cache survives it. So this binary puts itself
//! between the store and the kernel: it defines `pwrite`, `writev` and `fdatasync`, which LMDB,
//! the standard library and rustix's users are then linked with, and logs what goes to the extent
//! file and to the index. From the log it builds what drives may hold after a power cut at a given
//! moment: everything flushed, and of everything else an arbitrary part, torn at sectors of 512
//! bytes. The store is opened on that, checked, and compared with what had been acknowledged by
//! then.
//!
//! What is covered: the index, and data that the blocking engine writes. io_uring's writes do not
//! pass through libc and are not seen. What the two engines share is the order of flush, commit and
//! answer; what is io_uring's own is that its completed writes are counted, so that the flush is not
//! left out, and that is tested for each engine in `device/engine/conformance.rs`.
//!
//! The last two tests take one of the flushes out of the log, as if the store had not called it,
//! and require that the loss is found: they test the test.
#![allow(unsafe_code, reason = "stands in for three functions of libc")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{c_int, c_void},
    os::fd::RawFd,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Mutex,
};

use bytes::Bytes;
use datapath::{
    BucketId, Condition, Delete, Deletion, EngineKind, LaneStore, Lock, NewBucket, NewObject,
    PartNumber, Store, VersionId, Versioning,
};
use support::{TestStore, content, read_all, run_on_lane, stage};

/// What drives tear: no more than this is written as one.
const SECTOR_BYTES: usize = 512;

/// Writes and deletes in one run.
const STEPS: u64 = 60;

/// Moments of one run at which the power is cut.
const CUTS: usize = 40;

/// What happened, in order.
enum Event {
    Write {
        file: usize,
        offset: u64,
        bytes: Vec<u8>,
        synchronous: bool,
    },
    Flush {
        file: usize,
    },
    /// All writes up to the entry of a flush are durable when it returns, those that came in
    /// between may be.
    FlushBegin {
        file: usize,
    },
    Acknowledged(Change),
}

/// The effect of an acknowledged request on one key.
#[derive(Clone, Debug)]
struct Change {
    key: String,
    /// None: deleted.
    bytes: Option<Vec<u8>>,
    /// The version that it made, and that has these bytes from then on.
    version: VersionId,
}

/// What was acknowledged: the bytes of each key, and of each of its versions.
#[derive(Default)]
struct Acknowledged {
    keys: BTreeMap<String, Option<Vec<u8>>>,
    versions: BTreeMap<(String, VersionId), Option<Vec<u8>>>,
}

#[derive(Default)]
struct Log {
    /// Device and inode of the files that are watched.
    files: Vec<(u64, u64)>,
    events: Vec<Event>,
}

static LOG: Mutex<Option<Log>> = Mutex::new(None);

/// One run at a time: the log is the process's.
static RUN: Mutex<()> = Mutex::new(());

fn with_log(record: impl FnOnce(&mut Log)) {
    if let Ok(mut log) = LOG.lock()
        && let Some(log) = log.as_mut()
    {
        record(log);
    }
}

impl Log {
    fn file_of(&self, descriptor: RawFd) -> Option<usize> {
        // SAFETY: `status` is plain data that fstat fills in.
        let mut status: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: `status` outlives the call, which reports a bad descriptor by its result.
        let result = unsafe { libc::fstat(descriptor, &raw mut status) };
        let identity = (status.st_dev, status.st_ino);
        self.files.iter().position(|file| result == 0 && *file == identity)
    }
}

fn record_write(descriptor: RawFd, offset: i64, bytes: &[u8]) {
    with_log(|log| {
        if let Some(file) = log.file_of(descriptor) {
            // SAFETY: F_GETFL reads flags and takes no argument.
            let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
            let synchronous = flags & libc::O_DSYNC == libc::O_DSYNC;
            log.events.push(Event::Write {
                file,
                offset: offset as u64,
                bytes: bytes.to_vec(),
                synchronous,
            });
        }
    });
}

fn record_flush(descriptor: RawFd, event: fn(usize) -> Event) {
    with_log(|log| {
        if let Some(file) = log.file_of(descriptor) {
            log.events.push(event(file));
        }
    });
}

/// pwrite(2)
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(
    descriptor: c_int,
    buffer: *const c_void,
    count: usize,
    offset: i64,
) -> isize {
    // SAFETY: the caller's promise about `buffer` is handed on unchanged.
    let written = unsafe { libc::syscall(libc::SYS_pwrite64, descriptor, buffer, count, offset) };
    if written > 0 {
        // SAFETY: the kernel has just read that many bytes from there.
        record_write(descriptor, offset, unsafe {
            std::slice::from_raw_parts(buffer.cast(), written as usize)
        });
    }
    written as isize
}

/// pwrite64(2): the same under the name that large-file callers use.
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(
    descriptor: c_int,
    buffer: *const c_void,
    count: usize,
    offset: i64,
) -> isize {
    // SAFETY: as our own caller promises.
    unsafe { pwrite(descriptor, buffer, count, offset) }
}

/// writev(2), which LMDB uses after lseek(2).
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(
    descriptor: c_int,
    vectors: *const libc::iovec,
    count: c_int,
) -> isize {
    // SAFETY: asks for the position, which is -1 where there is none.
    let start = unsafe { libc::lseek(descriptor, 0, libc::SEEK_CUR) };
    // SAFETY: the caller's promise about `vectors` is handed on unchanged.
    let written = unsafe { libc::syscall(libc::SYS_writev, descriptor, vectors, count) };
    let mut left = written.max(0) as usize;
    let mut offset = start;
    for index in 0..count as usize {
        // SAFETY: the caller promises `count` vectors.
        let vector = unsafe { vectors.add(index) };
        // SAFETY: and they are initialised.
        let vector = unsafe { *vector };
        let length = vector.iov_len.min(left);
        if length > 0 && start >= 0 {
            // SAFETY: the kernel has just read that many bytes from there.
            let bytes = unsafe { std::slice::from_raw_parts(vector.iov_base.cast(), length) };
            record_write(descriptor, offset, bytes);
        }
        offset += length as i64;
        left -= length;
    }
    written as isize
}

/// fdatasync(2)
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    record_flush(descriptor, |file| Event::FlushBegin { file });
    // SAFETY: takes a descriptor and no memory.
    let result = unsafe { libc::syscall(libc::SYS_fdatasync, descriptor) };
    if result == 0 {
        record_flush(descriptor, |file| Event::Flush { file });
    }
    result as c_int
}

/// A generator for the test's own choices.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % bound
    }
}

const FILES: [&str; 2] = ["extents", "index/data.mdb"];
const EXTENTS: usize = 0;
const INDEX: usize = 1;

/// Runs a store under a random load and returns what was on the drives at the start and what
/// happened then.
fn run_load(test_store: &TestStore, seed: u64, versions: bool) -> (Vec<Vec<u8>>, Vec<Event>) {
    let store = test_store.open();
    run_on_lane(&store, EngineKind::Blocking, |lane| async move {
        let bucket = lane.create_bucket("bucket", Bytes::new(), NewBucket::default()).await;
        if versions {
            lane.set_versioning(bucket.unwrap().id, Versioning::Enabled).await.unwrap();
        }
    });
    store.close();
    let paths: Vec<_> = FILES.iter().map(|name| test_store.path().join(name)).collect();
    let images = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let files = paths
        .iter()
        .map(|path| std::fs::metadata(path).map(|data| (data.dev(), data.ino())).unwrap())
        .collect();
    *LOG.lock().unwrap() = Some(Log { files, events: Vec::new() });
    let store = test_store.open();
    run_on_lane(&store, EngineKind::Blocking, |lane| async move {
        let mut random = Random(seed);
        for step in 0..STEPS {
            if versions && step == STEPS * 2 / 3 {
                let bucket = lane.bucket("bucket").unwrap().unwrap().id;
                lane.set_versioning(bucket, Versioning::Suspended).await.unwrap();
            }
            let change = apply(&lane, &mut random, seed ^ step).await;
            with_log(|log| log.events.push(Event::Acknowledged(change)));
        }
    });
    store.close();
    (images, LOG.lock().unwrap().take().unwrap().events)
}

/// One acknowledged write, delete or multipart upload.
async fn apply(lane: &LaneStore, random: &mut Random, seed: u64) -> Change {
    let bucket = lane.bucket("bucket").unwrap().unwrap().id;
    let key = format!("key-{}", random.below(8));
    let new = |tag: &str| NewObject {
        bucket,
        key: Bytes::from(key.clone()),
        entity_tag: tag.into(),
        attributes: Bytes::new(),
        condition: Condition::None,
        tags: Bytes::new(),
        acl: Bytes::new(),
        lock: Lock::default(),
        encryption: Bytes::new(),
    };
    let size = [0, 300, 5_000, 65_536, 300_000, 700_001][random.below(6) as usize];
    match random.below(8) {
        0 => {
            let delete = Delete::object(Bytes::from(key.clone()));
            let version = match lane.delete(bucket, delete).await.unwrap() {
                Deletion::MarkerMade(marker) => marker.version,
                _ => VersionId::NULL,
            };
            Change { key, bytes: None, version }
        }
        1 => {
            let upload =
                lane.create_upload(bucket, Bytes::from(key.clone()), Bytes::new()).await.unwrap();
            let mut parts = Vec::new();
            let mut whole = Vec::new();
            for number in 1..=3 {
                let bytes = content(seed ^ number, size + 1);
                let staged = stage(lane, &bytes).await;
                let number = PartNumber(number as u16);
                parts.push((
                    number,
                    lane.put_part(upload, number, "part".into(), Bytes::new(), staged)
                        .await
                        .unwrap()
                        .id,
                ));
                whole.extend(bytes);
            }
            let object = lane.complete(upload, parts, new("multi"), None).await.unwrap();
            Change { key, bytes: Some(whole), version: object.version }
        }
        _ => {
            let bytes = content(seed, size);
            let object = lane.put(new("plain"), stage(lane, &bytes).await).await.unwrap();
            Change { key, bytes: Some(bytes), version: object.version }
        }
    }
}

/// What a drive holds: the flushed, and what may or may not have got there.
struct Drive {
    flushed: Vec<u8>,
    unflushed: Vec<(u64, Vec<u8>)>,
    /// Of the unflushed writes, those that the flush under way covers.
    covered: usize,
}

impl Drive {
    fn write(image: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
        let end = offset as usize + bytes.len();
        if image.len() < end {
            image.resize(end, 0);
        }
        image[offset as usize..end].copy_from_slice(bytes);
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Write { offset, bytes, synchronous: true, .. } => {
                Self::write(&mut self.flushed, *offset, bytes)
            }
            Event::Write { offset, bytes, .. } => self.unflushed.push((*offset, bytes.clone())),
            Event::FlushBegin { .. } => self.covered = self.unflushed.len(),
            Event::Flush { .. } => {
                for (offset, bytes) in self.unflushed.drain(..self.covered) {
                    Self::write(&mut self.flushed, offset, &bytes);
                }
                self.covered = 0;
            }
            Event::Acknowledged(_) => {}
        }
    }

    /// One of the states in which a power cut may leave it. The file has its full length in all of
    /// them, since a size may be durable where the data is not; LMDB would die of a map that is
    /// longer than its file where it can report damaged pages.
    ///
    /// Without the flushes of the index, only the state in which none of the unflushed arrived is of
    /// use: any other one may be a tree that leads LMDB out of its map, and kills the test.
    fn cut(&self, random: &mut Random, omit: Omit) -> Vec<u8> {
        let mut image = self.flushed.clone();
        let end = |(offset, bytes): &(u64, Vec<u8>)| *offset as usize + bytes.len();
        let length = self.unflushed.iter().map(end).fold(image.len(), usize::max);
        image.resize(length, 0);
        for (offset, bytes) in &self.unflushed {
            let kept = if omit == Omit::FlushOf(INDEX) { 3 } else { random.below(4) };
            for (index, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                if kept == 0 || (kept == 1 && random.below(2) == 0) {
                    Self::write(&mut image, offset + (index * SECTOR_BYTES) as u64, sector);
                }
            }
        }
        image
    }
}

/// Which calls of the store the log is to forget.
#[derive(Clone, Copy, PartialEq)]
enum Omit {
    Nothing,
    FlushOf(usize),
}

/// Cuts the power at many moments of a run; the losses that were found.
fn losses(seed: u64, omit: Omit, versions: bool) -> Vec<String> {
    let _run = RUN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let test_store = TestStore::with(|options| options.extent_file_bytes = Some(32 << 20));
    let (images, events) = run_load(&test_store, seed, versions);
    let mut random = Random(seed ^ 0xc07);
    let cuts: BTreeSet<u64> = (0..CUTS).map(|_| 1 + random.below(events.len() as u64)).collect();
    let mut drives: Vec<Drive> = images
        .into_iter()
        .map(|flushed| Drive { flushed, unflushed: Vec::new(), covered: 0 })
        .collect();
    let mut acknowledged = Acknowledged::default();
    let mut losses = Vec::new();
    for (moment, mut event) in (1..).zip(events) {
        match &mut event {
            Event::Flush { file } | Event::FlushBegin { file } if omit == Omit::FlushOf(*file) => {}
            Event::Write { file, synchronous, .. } => {
                *synchronous &= omit != Omit::FlushOf(*file);
                let file = *file;
                drives[file].apply(&event);
            }
            Event::Flush { file } | Event::FlushBegin { file } => {
                let file = *file;
                drives[file].apply(&event);
            }
            Event::Acknowledged(change) => {
                let Change { key, bytes, version } = change.clone();
                acknowledged.versions.insert((key.clone(), version), bytes.clone());
                acknowledged.keys.insert(key, bytes);
            }
        }
        // A change that was not acknowledged yet may be there or not, so a cut is judged at the
        // next acknowledgement only for the keys that it does not touch; cutting right after an
        // acknowledgement judges all.
        if cuts.contains(&moment)
            || (matches!(event, Event::Acknowledged(_)) && random.below(3) == 0)
        {
            let after: Vec<Vec<u8>> =
                drives.iter().map(|drive| drive.cut(&mut random, omit)).collect();
            let judged_all = matches!(event, Event::Acknowledged(_));
            if let Err(loss) = judge(&test_store, &after, &acknowledged, judged_all) {
                losses.push(format!("seed {seed}, moment {moment}: {loss}"));
            }
        }
    }
    losses
}

/// Opens a store on what the drives hold and compares it with what was acknowledged.
fn judge(
    test_store: &TestStore,
    images: &[Vec<u8>],
    acknowledged: &Acknowledged,
    judged_all: bool,
) -> Result<(), String> {
    let after =
        TestStore::with(|options| options.extent_file_bytes = test_store.options.extent_file_bytes);
    copy_store(&test_store.path(), &after.path());
    for (name, image) in FILES.iter().zip(images) {
        std::fs::write(after.path().join(name), image).unwrap();
    }
    let report =
        Store::check(&after.options, &mut |_| {}).map_err(|error| format!("check: {error}"))?;
    if report.finding_count > 0 {
        return Err(format!("check found {:?}", report.findings));
    }
    let store = Store::open(&after.options).map_err(|error| format!("open: {error}"))?;
    let result = run_on_lane(&store, EngineKind::Blocking, |lane| async move {
        compare(&lane, acknowledged, judged_all).await
    });
    store.close();
    result
}

async fn compare(
    lane: &LaneStore,
    acknowledged: &Acknowledged,
    judged_all: bool,
) -> Result<(), String> {
    let bucket =
        lane.bucket("bucket").map_err(|error| error.to_string())?.ok_or("the bucket is lost")?.id;
    let mut differing = 0;
    for (key, expected) in &acknowledged.keys {
        if read_version(lane, bucket, key, None).await? != *expected {
            differing += 1;
            if judged_all || differing > 1 {
                return Err(format!("{key} is not as acknowledged"));
            }
        }
    }
    // What is under way may replace the null version of its key, and of one only.
    for ((key, version), expected) in &acknowledged.versions {
        if (judged_all || *version != VersionId::NULL)
            && read_version(lane, bucket, key, Some(*version)).await? != *expected
        {
            return Err(format!("version {version} of {key} is not as acknowledged"));
        }
    }
    Ok(())
}

async fn read_version(
    lane: &LaneStore,
    bucket: BucketId,
    key: &str,
    version: Option<VersionId>,
) -> Result<Option<Vec<u8>>, String> {
    let object = lane.open(bucket, key.as_bytes(), version);
    match object.map_err(|error| error.to_string())?.there() {
        Some(object) => {
            let whole = 0..object.object().size;
            read_all(&object, whole).await.map(Some).map_err(|error| format!("{key}: {error}"))
        }
        None => Ok(None),
    }
}

/// The store's other files: lock, credentials of the index.
fn copy_store(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_store(&entry.path(), &target);
        } else if !FILES.iter().any(|name| entry.path().ends_with(name)) {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_power_cut_loses_nothing_acknowledged() {
    for seed in 1..=3 {
        assert_eq!(losses(seed, Omit::Nothing, false), Vec::<String>::new());
    }
}

#[test]
fn a_power_cut_loses_no_version() {
    for seed in 4..=5 {
        assert_eq!(losses(seed, Omit::Nothing, true), Vec::<String>::new());
    }
}

#[test]
fn a_missing_data_flush_is_found() {
    assert!(!losses(1, Omit::FlushOf(EXTENTS), false).is_empty());
}

#[test]
fn a_missing_index_flush_is_found() {
    assert!(!losses(1, Omit::FlushOf(INDEX), false).is_empty());
}
