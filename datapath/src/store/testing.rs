//! What the store's own tests share: a store on simulated devices and lanes to run on.

use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use super::{LaneStore, OpenObject, Staged, Store, StoreOptions, open};
use crate::{
    device::{CrashDisk, DeviceSet, EngineKind},
    error::StoreError,
    id::BucketId,
    index::{Condition, Index, Lock, NewBucket, NewObject, Object},
};

/// A store whose index is real and whose devices are simulated.
pub(super) struct Simulated {
    pub(super) disks: Vec<Arc<CrashDisk>>,
    pub(super) store: Store,
    directory: TempDir,
}

impl Simulated {
    pub(super) fn new(device_bytes: &[u64]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disks: Vec<_> = device_bytes.iter().map(|&bytes| CrashDisk::new(bytes)).collect();
        let options = options(&directory);
        let lock = open::lock_directory(&options).unwrap();
        let devices = DeviceSet::of_crash_disks(&disks);
        let index = Index::create(&open::index_options(&options), devices.store().0).unwrap();
        let store = open::assemble(&options, lock, true, devices, index).unwrap();
        Self { disks, store, directory }
    }

    /// The store as it is after a power cut that `seed` chooses; the index has what it committed.
    pub(super) fn after_power_cut(self, seed: u64) -> Self {
        let Self { disks, store, directory } = self;
        store.close();
        let disks: Vec<_> = disks.iter().map(|disk| disk.crash(seed)).collect();
        let options = options(&directory);
        let lock = open::lock_directory(&options).unwrap();
        let devices = DeviceSet::of_crash_disks(&disks);
        let index = Index::open(&open::index_options(&options)).unwrap();
        let store = open::assemble(&options, lock, false, devices, index).unwrap();
        Self { disks, store, directory }
    }

    pub(super) fn run<F: Future>(&self, body: impl FnOnce(LaneStore) -> F) -> F::Output {
        run_on_lane(&self.store, EngineKind::Crash, body)
    }
}

pub(super) fn options(directory: &TempDir) -> StoreOptions {
    StoreOptions {
        data_dir: directory.path().to_owned(),
        devices: Vec::new(),
        extent_file_bytes: Some(16 << 20),
        index_map_bytes: 1 << 28,
        memory_bytes: 192 << 20,
        memory_elsewhere: Vec::new(),
        lanes: 1,
        connections_max: 64,
        create: true,
        huge_pages: false,
        lock_memory: false,
    }
}

/// Runs `body` on a lane of its own and ends the lane as the gateway does.
pub(super) fn run_on_lane<F: Future>(
    store: &Store,
    kind: EngineKind,
    body: impl FnOnce(LaneStore) -> F,
) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let lane = store.handle().lane(kind, 0);
        let output = body(lane.clone()).await;
        lane.quiesce().await;
        output
    })
}

/// `size` bytes that `seed` determines.
pub(super) fn content(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        bytes.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

pub(super) async fn bucket(lane: &LaneStore) -> BucketId {
    if lane.bucket("bucket").unwrap().is_none() {
        lane.create_bucket("bucket", Bytes::new(), NewBucket::default()).await.unwrap();
    }
    lane.bucket("bucket").unwrap().unwrap().id
}

pub(super) async fn stage(lane: &LaneStore, bytes: &[u8]) -> Result<Staged, StoreError> {
    let mut writer = lane.writer(bytes.len() as u64).await?;
    writer.write(bytes).await?;
    writer.finish().await
}

/// As [`stage`], through frames of which up to `ahead` are out at a time and are filled in place, the
/// last one first.
pub(super) async fn stage_in_frames(
    lane: &LaneStore,
    bytes: &[u8],
    ahead: usize,
) -> Result<Staged, StoreError> {
    let mut writer = lane.frame_writer(bytes.len() as u64).await?;
    let mut given = 0;
    loop {
        let mut out = Vec::new();
        while out.len() < ahead
            && let Some((frame, wanted)) = writer.next_frame().await?
        {
            out.push((frame, &bytes[given..given + wanted]));
            given += wanted;
        }
        if out.is_empty() {
            return writer.finish().await;
        }
        for (frame, piece) in out.iter_mut().rev() {
            frame.as_mut_slice()[..piece.len()].copy_from_slice(piece);
            frame.set_filled(piece.len());
        }
        for (frame, _) in out {
            writer.filled(frame)?;
        }
    }
}

pub(super) fn new_object(bucket: BucketId, key: &str) -> NewObject {
    NewObject {
        bucket,
        key: Bytes::copy_from_slice(key.as_bytes()),
        entity_tag: "tag".into(),
        attributes: Bytes::new(),
        condition: Condition::None,
        tags: Bytes::new(),
        acl: Bytes::new(),
        lock: Lock::default(),
        encryption: Bytes::new(),
    }
}

pub(super) async fn put(lane: &LaneStore, key: &str, bytes: &[u8]) -> Result<Object, StoreError> {
    let object = new_object(bucket(lane).await, key);
    let staged = stage(lane, bytes).await?;
    lane.put(object, staged).await
}

pub(super) async fn read(object: &OpenObject) -> Result<Vec<u8>, StoreError> {
    let mut stream = object.read(0..object.object().size).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

pub(super) async fn get(lane: &LaneStore, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    match lane.open(bucket(lane).await, key.as_bytes(), None)?.there() {
        Some(object) => read(&object).await.map(Some),
        None => Ok(None),
    }
}
