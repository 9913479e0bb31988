//! What the store's tests share: a store in a temporary directory, a lane to run on, content that a
//! seed determines.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{collections::VecDeque, ops::Range, path::PathBuf};

use datapath::{
    EngineKind, LaneStore, OpenObject, ReadStream, Staged, Store, StoreError, StoreOptions,
};
use tempfile::TempDir;

/// A store's directory, removed at the end.
pub(crate) struct TestStore {
    directory: TempDir,
    pub(crate) options: StoreOptions,
}

impl TestStore {
    /// 64 MiB of extents, memory that is just enough.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut StoreOptions)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = StoreOptions {
            data_dir: directory.path().to_owned(),
            devices: Vec::new(),
            extent_file_bytes: Some(64 << 20),
            index_map_bytes: 1 << 30,
            memory_bytes: 256 << 20,
            memory_elsewhere: Vec::new(),
            lanes: 1,
            connections_max: 64,
            create: true,
            huge_pages: false,
            lock_memory: false,
        };
        change(&mut options);
        Self { directory, options }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(&self.options).unwrap()
    }

    /// Runs the offline check, which must find nothing.
    pub(crate) fn assert_consistent(&self) {
        let report = Store::check(&self.options, &mut |_| {}).unwrap();
        assert_eq!(report.finding_count, 0, "{:#?}", report.findings);
    }
}

/// Runs `body` on a lane of its own and returns when the lane has ended.
pub(crate) fn run_on_lane<F, T>(
    store: &Store,
    engine: EngineKind,
    body: impl FnOnce(LaneStore) -> F,
) -> T
where
    F: Future<Output = T>,
{
    let run = async {
        let lane = store.handle().lane(engine, 0);
        let result = body(lane.clone()).await;
        lane.quiesce().await;
        result
    };
    match engine {
        EngineKind::IoUring => tokio_uring::start(run),
        _ => {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, run)
        }
    }
}

/// Whether io_uring works here; says by name which test is skipped when it does not.
pub(crate) fn io_uring_or_skip(test: &str) -> bool {
    match datapath::device::probe_io_uring() {
        Ok(_) => true,
        Err(reason) => {
            eprintln!("SKIPPED {test}: io_uring: {reason}");
            false
        }
    }
}

/// `size` bytes that `seed` determines and no other seed repeats.
pub(crate) fn content(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        bytes.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Writes `bytes` in uneven pieces.
pub(crate) async fn stage(lane: &LaneStore, bytes: &[u8]) -> Staged {
    let mut writer = lane.writer(bytes.len() as u64).await.unwrap();
    for piece in bytes.chunks(40_000) {
        writer.write(piece).await.unwrap();
    }
    let staged = writer.finish().await.unwrap();
    assert_eq!(staged.crc64(), datapath::crc64(bytes));
    staged
}

/// Puts `bytes` into frames of which up to `ahead` are out at a time.
pub(crate) async fn stage_in_frames(lane: &LaneStore, bytes: &[u8], ahead: usize) -> Staged {
    let mut writer = lane.frame_writer(bytes.len() as u64).await.unwrap();
    let (mut given, mut out) = (0, VecDeque::new());
    loop {
        while out.len() < ahead
            && let Some((mut frame, wanted)) = writer.next_frame().await.unwrap()
        {
            frame.as_mut_slice()[..wanted].copy_from_slice(&bytes[given..given + wanted]);
            frame.set_filled(wanted);
            given += wanted;
            out.push_back(frame);
        }
        let Some(frame) = out.pop_front() else {
            break;
        };
        writer.filled(frame).unwrap();
    }
    let staged = writer.finish().await.unwrap();
    assert_eq!((staged.size(), staged.crc64()), (bytes.len() as u64, datapath::crc64(bytes)));
    staged
}

pub(crate) async fn read_all(
    object: &OpenObject,
    range: Range<u64>,
) -> Result<Vec<u8>, StoreError> {
    let bytes = collect(object.read(range.clone()).await?).await?;
    assert_eq!(bytes.len() as u64, range.end - range.start);
    Ok(bytes)
}

/// All of a stream.
pub(crate) async fn collect(mut stream: ReadStream) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece?);
    }
    assert_eq!(stream.remaining(), 0);
    Ok(bytes)
}
