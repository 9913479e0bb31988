//! What the tests of this crate's index and commit thread are built on: an index in a temporary
//! directory, and contents that no device holds.

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::error::StoreError;
use crate::id::*;
use crate::limits::{CHECKSUM_BLOCK_BYTES, DEVICE_BLOCK_BYTES};

pub(crate) const MAP_BYTES: u64 = 256 << 20;
pub(crate) const STORE: [u8; 16] = *b"store under test";
/// The device that [`content`] pretends to write to.
pub(crate) const DEVICE: WalkDevice =
    WalkDevice { id: DeviceId(0), first_block: 1, end_block: 1 << 40 };

/// An index of its own, written to without a commit thread.
pub(crate) struct Fixture {
    directory: TempDir,
    map_bytes: u64,
    opened: Option<(Index, IndexWriter)>,
    /// Effects of all transactions so far.
    pub(crate) effects: Effects,
}

/// Nobody reads.
pub(crate) struct NothingHeld;

impl Held for NothingHeld {
    fn manifest(&self, _: ManifestId) -> bool {
        false
    }

    fn extent(&self, _: ExtentId) -> bool {
        false
    }
}

pub(crate) fn options(directory: &TempDir, map_bytes: u64) -> IndexOptions {
    let path = directory.path().join("index");
    // Tests of logic need no flushes, and are ten times faster without.
    IndexOptions { path, map_bytes, skip_flush: true }
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        Fixture::with_map(MAP_BYTES)
    }

    pub(crate) fn with_map(map_bytes: u64) -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let index = Index::create(&options(&directory, map_bytes), STORE).unwrap();
        let writer = IndexWriter::new(&index);
        let opened = Some((index, writer));
        Fixture { directory, map_bytes, opened, effects: Effects::default() }
    }

    /// Over an index that somebody else made.
    pub(crate) fn opening<T>(make: impl FnOnce(&TempDir) -> T) -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        make(&directory);
        let (map_bytes, effects) = (MAP_BYTES, Effects::default());
        let mut fixture = Fixture { directory, map_bytes, opened: None, effects };
        fixture.reopen();
        fixture
    }

    pub(crate) fn index(&self) -> &Index {
        &self.opened.as_ref().unwrap().0
    }

    pub(crate) fn writer(&mut self) -> &mut IndexWriter {
        &mut self.opened.as_mut().unwrap().1
    }

    pub(crate) fn reopen(&mut self) {
        self.opened = None;
        let index = Index::open(&options(&self.directory, self.map_bytes)).unwrap();
        let writer = IndexWriter::new(&index);
        self.opened = Some((index, writer));
    }

    /// Closes the index and hands its directory over.
    pub(crate) fn close(self) -> TempDir {
        self.directory
    }

    /// Applies one mutation in a transaction of its own.
    pub(crate) fn apply(&mut self, mutation: Mutation) -> Result<Outcome, StoreError> {
        let mut txn = self.writer().begin(1_000).unwrap();
        let before = txn.effects.clone();
        let outcome = txn.apply(&mutation);
        if outcome.is_err() {
            assert_eq!(txn.effects, before, "a refused mutation changes nothing");
        }
        let outcome = match outcome {
            Ok(outcome) => Ok(outcome),
            Err(ApplyError::Refused(error)) => Err(error),
            Err(ApplyError::Broken(error)) => return Err(error.into()),
        };
        let effects = txn.commit().map_err(StoreError::from)?;
        self.effects.released.extend(effects.released);
        self.effects.freed.extend(effects.freed);
        outcome
    }

    pub(crate) fn bucket(&mut self, name: &str) -> BucketId {
        match self.apply(create_bucket(name)) {
            Ok(Outcome::Bucket(bucket)) => bucket.id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn content(&self, extents: &[u64]) -> Content {
        content(self.index(), extents)
    }

    pub(crate) fn put(&mut self, bucket: BucketId, key: &[u8], content: Content) -> ObjectRecord {
        let object = new_object(bucket, key);
        match self.apply(Mutation::Put { object, content }) {
            Ok(Outcome::Object(record)) => record,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn delete(&mut self, bucket: BucketId, key: &[u8]) -> Option<Object> {
        let delete = Delete::object(Bytes::copy_from_slice(key));
        match self.apply(Mutation::Delete { bucket, delete }) {
            Ok(Outcome::Deleted(Deletion::Removed(object))) => Some(object),
            Ok(Outcome::Deleted(Deletion::Nothing)) => None,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn create_upload(&mut self, bucket: BucketId, key: &[u8]) -> UploadId {
        let key = Bytes::copy_from_slice(key);
        match self.apply(Mutation::CreateUpload { bucket, key, attributes: Bytes::new() }) {
            Ok(Outcome::Upload(id)) => id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn put_part(&mut self, upload: UploadId, number: u16, content: Content) -> PartId {
        match self.apply(new_part(upload, number, content)) {
            Ok(Outcome::Part(part)) => part.id,
            other => panic!("{other:?}"),
        }
    }

    /// Works off all that waits; answers the number of transactions.
    pub(crate) fn reclaim(&mut self, budget: usize) -> usize {
        for transactions in 1.. {
            let mut txn = self.writer().begin(1_000).unwrap();
            let done = txn.reclaim(&NothingHeld, budget).unwrap();
            assert!(done.rows <= budget);
            let effects = txn.commit().unwrap();
            self.effects.freed.extend(effects.freed);
            if !done.more {
                return transactions;
            }
        }
        unreachable!()
    }

    pub(crate) fn walk(&self) -> WalkReport {
        walk(self.index(), &[DEVICE], &mut |_| {}, &mut |_, _, _| None).unwrap()
    }

    #[track_caller]
    pub(crate) fn assert_consistent(&self) -> WalkReport {
        let report = self.walk();
        assert_eq!(report.findings, []);
        report
    }
}

pub(crate) fn create_bucket(name: &str) -> Mutation {
    let new = NewBucket::default();
    Mutation::CreateBucket { name: name.into(), attributes: Bytes::new(), new }
}

pub(crate) fn new_object(bucket: BucketId, key: &[u8]) -> NewObject {
    NewObject {
        bucket,
        key: Bytes::copy_from_slice(key),
        entity_tag: "tag".into(),
        attributes: Bytes::from_static(b"attributes"),
        condition: Condition::None,
        tags: Bytes::new(),
        acl: Bytes::new(),
        lock: Lock::default(),
        encryption: Bytes::new(),
    }
}

pub(crate) fn new_part(upload: UploadId, number: u16, content: Content) -> Mutation {
    Mutation::PutPart {
        upload,
        number: PartNumber(number),
        entity_tag: format!("part {number}").into(),
        attributes: Bytes::new(),
        content,
    }
}

/// Content in new extents of these many bytes. Every extent lies in a place of its own: the
/// identifier's, which is never drawn again.
pub(crate) fn content(index: &Index, extents: &[u64]) -> Content {
    let new_extent = |data_length: &u64| {
        let id = ExtentId(index.ids().draw());
        let length_blocks = data_length.div_ceil(DEVICE_BLOCK_BYTES as u64);
        let offset_blocks = id.0 << 18;
        let location = ExtentLocation { device: DeviceId(0), offset_blocks, length_blocks };
        let crcs = (0..data_length.div_ceil(CHECKSUM_BLOCK_BYTES)).map(|block| id.0 ^ block);
        NewExtent { id, location, data_length: *data_length, crcs: crcs.collect() }
    };
    let extents: Vec<NewExtent> = extents.iter().map(new_extent).collect();
    let slice = |new: &NewExtent| Slice { extent: new.id, offset: 0, length: new.data_length };
    let slices: Vec<Slice> = extents.iter().map(slice).collect();
    let size = slices.iter().map(|slice| slice.length).sum();
    Content { size, crc64: Some(size), body: Body::Slices(slices), extents }
}

/// Content that refers to what another record holds.
pub(crate) fn reference(body: &Body, size: u64) -> Content {
    Content { size, crc64: None, body: body.clone(), extents: Vec::new() }
}

pub(crate) fn inline(data: &[u8]) -> Content {
    let data = Bytes::copy_from_slice(data);
    let size = data.len() as u64;
    let crc64 = crate::extent::checksum::crc64(&data);
    Content { size, crc64: None, body: Body::Inline { data, crc64 }, extents: Vec::new() }
}

/// Makes an object's row undecodable, as a defect of a program or of memory might.
pub(crate) fn damage_object(index: &Index, bucket: BucketId, key: &[u8]) {
    let mut txn = index.env.write_txn().unwrap();
    index.tables.current.put(&mut txn, &keys::object(bucket, key), &[200, 1]).unwrap();
    txn.commit().unwrap();
}
