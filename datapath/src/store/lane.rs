//! The store as one lane sees it: lookups at once, reads and writes on the lane's own engine,
//! changes by way of the commit thread.
//!
//! *Not here*: what a change does and when it is refused ([`crate::index`]), the streams
//! ([`super::read`], [`super::write`]).

use std::{ops::Range, rc::Rc, sync::Arc};

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    FrameWriter, OpenObject, Shared, Staged, Writer,
    content::{Content, Segment},
    waiting::MeterSlot,
    write::{ChecksumMemory, StagedContent},
};
use crate::{
    arena::Arena,
    cache::FrameCache,
    device::Engine,
    error::StoreError,
    extent::{alloc::Allocator, checksum},
    id::{BucketId, ExtentId, PartId, PartNumber, SettingKind, UploadId, VersionId},
    index::{
        self, Annotation, Body, Bucket, Condition, Delete, Deletion, Found, Index, ListObjects,
        ListPage, ListUploads, ListVersions, Mutation, NewBucket, NewExtent, NewObject, Object,
        Outcome, Part, Slice, Upload, UploadPage, VersionPage, Versioning,
    },
    limits::{DELETES_PER_MUTATION, FRAMES_AHEAD_MIN, INLINE_BYTES_MAX, SLICES_PER_ROW_MAX},
    meter::Meter,
    pin::PinTable,
};

/// One lane's access to the store. Belongs to the thread that made it; cloning is cheap.
#[derive(Clone)]
pub struct LaneStore(Rc<Lane>);

struct Lane {
    shared: Arc<Shared>,
    engine: Engine,
    number: usize,
}

impl LaneStore {
    pub(super) fn new(shared: Arc<Shared>, engine: Engine, number: usize) -> Self {
        Self(Rc::new(Lane { shared, engine, number }))
    }

    pub(super) fn index(&self) -> &Index {
        &self.0.shared.index
    }

    pub(super) fn arena(&self) -> &Arena {
        &self.0.shared.arena
    }

    pub(super) fn cache(&self) -> &FrameCache {
        &self.0.shared.cache
    }

    pub(super) fn allocator(&self) -> &Arc<Allocator> {
        &self.0.shared.allocator
    }

    pub(super) fn checksum_memory(&self) -> &Arc<Semaphore> {
        &self.0.shared.checksum_memory
    }

    pub(super) fn pins(&self) -> &Arc<PinTable> {
        &self.0.shared.pins
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Waits until no device operation of this lane is in flight; the lane may end then.
    pub async fn quiesce(&self) {
        self.0.engine.quiesce().await;
    }

    // === Buckets ===

    /// The bucket of this name.
    ///
    /// # Errors
    /// Here and in every other lookup: [`StoreError::Index`].
    pub fn bucket(&self, name: &str) -> Result<Option<Bucket>, StoreError> {
        Ok(self.index().read()?.bucket(name)?)
    }

    /// All buckets by name, at most [`crate::limits::BUCKETS_MAX`].
    ///
    /// # Errors
    /// As [`Self::bucket`].
    pub fn buckets(&self) -> Result<Vec<Bucket>, StoreError> {
        Ok(self.index().read()?.buckets()?)
    }

    /// Makes a bucket. Like every change, it is durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::BucketExists`], [`StoreError::TooManyBuckets`]. Here and in every other change:
    /// [`StoreError::IndexFull`], [`StoreError::ReadOnly`], [`StoreError::Closing`], and
    /// [`StoreError::Device`] or [`StoreError::Index`] for the fault that makes the store read-only.
    pub async fn create_bucket(
        &self,
        name: &str,
        attributes: Bytes,
        new: NewBucket,
    ) -> Result<Bucket, StoreError> {
        match self.commit(Mutation::CreateBucket { name: name.into(), attributes, new }).await? {
            Outcome::Bucket(bucket) => Ok(bucket),
            other => Err(unexpected(&other)),
        }
    }

    /// Removes an empty bucket.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::BucketNotEmpty`].
    pub async fn delete_bucket(&self, name: &str) -> Result<(), StoreError> {
        self.commit(Mutation::DeleteBucket { name: name.into() }).await.map(drop)
    }

    /// Lets everybody read a bucket's objects, or no longer.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub async fn set_public_read(&self, name: &str, on: bool) -> Result<(), StoreError> {
        self.commit(Mutation::SetPublicRead { name: name.into(), on }).await.map(drop)
    }

    /// Replaces what the caller keeps with a bucket.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub async fn set_bucket_attributes(
        &self,
        bucket: BucketId,
        attributes: Bytes,
    ) -> Result<(), StoreError> {
        self.commit(Mutation::SetBucketAttributes { bucket, attributes }).await.map(drop)
    }

    /// Changes what becomes of objects that are overwritten or deleted from now on.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`]; [`StoreError::VersioningFixed`] for off, unless it is off, and
    /// for suspended where the bucket locks objects.
    pub async fn set_versioning(
        &self,
        bucket: BucketId,
        versioning: Versioning,
    ) -> Result<(), StoreError> {
        self.commit(Mutation::SetVersioning { bucket, versioning }).await.map(drop)
    }

    /// Lets a bucket lock objects from now on, for good; its versioning stays enabled.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`]; [`StoreError::VersioningFixed`] where it is not enabled.
    pub async fn enable_locking(&self, bucket: BucketId) -> Result<(), StoreError> {
        self.commit(Mutation::EnableLocking { bucket }).await.map(drop)
    }

    /// A setting of a bucket.
    ///
    /// # Errors
    /// As [`Self::bucket`].
    pub fn setting(
        &self,
        bucket: BucketId,
        kind: SettingKind,
    ) -> Result<Option<Bytes>, StoreError> {
        Ok(self.index().read()?.setting(bucket, kind)?)
    }

    /// All settings of a bucket, by kind.
    ///
    /// # Errors
    /// As [`Self::bucket`].
    pub fn settings(&self, bucket: BucketId) -> Result<Vec<(SettingKind, Bytes)>, StoreError> {
        Ok(self.index().read()?.settings(bucket)?)
    }

    /// Sets a setting of a bucket, at most [`crate::limits::BUCKET_SETTING_BYTES_MAX`] bytes, or
    /// removes it. The bucket's revision rises.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub async fn set_setting(
        &self,
        bucket: BucketId,
        kind: SettingKind,
        value: Option<Bytes>,
    ) -> Result<(), StoreError> {
        self.commit(Mutation::SetSetting { bucket, kind, value }).await.map(drop)
    }

    // === Objects ===

    /// A version's record; without a version the latest's.
    ///
    /// # Errors
    /// As [`Self::bucket`].
    pub fn lookup(
        &self,
        bucket: BucketId,
        key: &[u8],
        version: Option<VersionId>,
    ) -> Result<Found<Object>, StoreError> {
        let snapshot = self.index().read()?;
        Ok(snapshot.version(bucket, key, version)?.map(|view| view.to_object()))
    }

    /// The object at a key if it consists of that upload's parts: the upload was completed, and nothing else has been
    /// put there since. [`Self::parts`] still answers the parts that it consists of.
    ///
    /// # Errors
    /// As [`Self::bucket`].
    pub fn completed(
        &self,
        bucket: BucketId,
        key: &[u8],
        upload: UploadId,
    ) -> Result<Option<Object>, StoreError> {
        let snapshot = self.index().read()?;
        let of_upload = |view: &index::ObjectView<'_>| view.body.manifest() == Some(upload.into());
        Ok(snapshot.object(bucket, key)?.filter(of_upload).map(|view| view.to_object()))
    }

    /// A version whose content stays where it is while it is read, whatever becomes of it meanwhile;
    /// without a version the latest.
    ///
    /// # Errors
    /// [`StoreError::Overload`] when too many objects are open; [`StoreError::Corrupt`] for content
    /// that stands in the record and does not match its checksum.
    pub fn open(
        &self,
        bucket: BucketId,
        key: &[u8],
        version: Option<VersionId>,
    ) -> Result<Found<OpenObject>, StoreError> {
        let number = self.0.number;
        let found =
            match index::open_pinned(self.index(), self.pins(), number, bucket, key, version)? {
                Found::There(found) => found,
                Found::Marker(marker) => return Ok(Found::Marker(marker)),
                Found::Absent => return Ok(Found::Absent),
            };
        let content = Content::of(&found)?;
        let object = found.record.to_object();
        Ok(Found::There(OpenObject::new(self.clone(), object, content, found.pin)))
    }

    /// Takes the space and the memory to write `size` bytes.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`]; [`StoreError::Overload`] when no memory could be had in
    /// [`crate::limits::RESERVE_WAIT`]; [`StoreError::ReadOnly`] and [`StoreError::Closing`], so that
    /// no body is taken in vain.
    pub async fn writer(&self, size: u64) -> Result<Writer, StoreError> {
        self.metered_writer(size, None).await
    }

    /// As [`Self::writer`], with somebody who is told what the writer waits for and what it copies,
    /// from here on.
    ///
    /// # Errors
    /// As [`Self::writer`].
    pub async fn metered_writer(
        &self,
        size: u64,
        meter: Option<Rc<dyn Meter>>,
    ) -> Result<Writer, StoreError> {
        self.0.shared.commit.writable()?;
        Writer::new(self, size, meter).await
    }

    /// As [`Self::writer`], for content that others put into frames: a device that reads it from a
    /// peer's memory. It lies in extents however small it is.
    ///
    /// # Errors
    /// As [`Self::writer`].
    pub async fn frame_writer(&self, size: u64) -> Result<FrameWriter, StoreError> {
        self.metered_frame_writer(size, None).await
    }

    /// As [`Self::frame_writer`], with somebody who is told what the writer waits for.
    ///
    /// # Errors
    /// As [`Self::writer`].
    pub async fn metered_frame_writer(
        &self,
        size: u64,
        meter: Option<Rc<dyn Meter>>,
    ) -> Result<FrameWriter, StoreError> {
        self.0.shared.commit.writable()?;
        FrameWriter::new(self, size, FRAMES_AHEAD_MIN, meter).await
    }

    /// Records what was written as an object, replacing what has the key.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::ConditionFailed`], [`StoreError::NoSuchKey`].
    pub async fn put(&self, object: NewObject, staged: Staged) -> Result<Object, StoreError> {
        let (content, _memory) = self.content_of(staged);
        self.commit_object(Mutation::Put { object, content }).await
    }

    /// Deletes an object or a version. Deleting what is absent is no error.
    ///
    /// # Errors
    /// As [`Self::put`], held against the latest or the version named; [`StoreError::Locked`].
    pub async fn delete(&self, bucket: BucketId, delete: Delete) -> Result<Deletion, StoreError> {
        match self.commit(Mutation::Delete { bucket, delete }).await? {
            Outcome::Deleted(deletion) => Ok(deletion),
            other => Err(unexpected(&other)),
        }
    }

    /// Deletes several, each by itself; an outcome for each, in order.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`]. Of more than [`DELETES_PER_MUTATION`] some may have happened.
    pub async fn delete_many(
        &self,
        bucket: BucketId,
        deletes: Vec<Delete>,
    ) -> Result<Vec<Result<Deletion, StoreError>>, StoreError> {
        let mut outcomes = Vec::with_capacity(deletes.len());
        let mut waiting = deletes;
        loop {
            let later = waiting.split_off(waiting.len().min(DELETES_PER_MUTATION));
            match self.commit(Mutation::DeleteMany { bucket, deletes: waiting }).await? {
                Outcome::DeletedMany(some) => outcomes.extend(some),
                other => return Err(unexpected(&other)),
            }
            if later.is_empty() {
                return Ok(outcomes);
            }
            waiting = later;
        }
    }

    /// Changes what is kept beside a version's bytes; without a version the latest's. Its row and the
    /// time of its last change stay.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`]; [`StoreError::NoSuchKey`] without a version and
    /// [`StoreError::NoSuchVersion`] with one, also for a delete marker; [`StoreError::Locked`] for a
    /// retention that may not be changed so.
    pub async fn annotate(
        &self,
        bucket: BucketId,
        key: Bytes,
        version: Option<VersionId>,
        annotation: Annotation,
    ) -> Result<Object, StoreError> {
        self.commit_object(Mutation::Annotate { bucket, key, version, annotation }).await
    }

    /// Gives an object another key, in a bucket that was never versioned; what has that key is
    /// replaced. Its row and the time of its last change stay.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::Versioned`], [`StoreError::NoSuchKey`],
    /// [`StoreError::KeyTooLong`], [`StoreError::ConditionFailed`] for either condition,
    /// [`StoreError::Locked`].
    pub async fn rename(
        &self,
        bucket: BucketId,
        from: Bytes,
        to: Bytes,
        source: Condition,
        destination: Condition,
    ) -> Result<Object, StoreError> {
        self.commit_object(Mutation::Rename { bucket, from, to, source, destination }).await
    }

    /// Makes an object of another's content and what was written to follow it, without moving the
    /// former. The condition should be [`Condition::RowIs`] of the source's row, so that nothing is
    /// lost that came between.
    ///
    /// # Errors
    /// As [`Self::copy`]; [`StoreError::TooManyPieces`].
    pub async fn append(
        &self,
        source: &OpenObject,
        staged: Staged,
        object: NewObject,
    ) -> Result<Object, StoreError> {
        let (content, _memory) = self.appended_content(source, staged).await?;
        self.commit_object(Mutation::Put { object, content }).await
    }

    /// Makes an object of another's content without moving it. An object may be copied onto itself.
    ///
    /// # Errors
    /// As [`Self::put`]; [`StoreError::SourceChanged`] when the source was replaced or deleted
    /// since it was opened.
    pub async fn copy(&self, source: &OpenObject, object: NewObject) -> Result<Object, StoreError> {
        let Object { size, crc64, part_count: parts, .. } = *source.object();
        let (content, _memory) = match source.content() {
            Content::Manifest(id) => {
                let body = Body::Manifest { id: *id, parts };
                (index::Content { size, crc64, body, extents: Vec::new() }, Vec::new())
            }
            _ => self.referring_content(source, 0..size).await?,
        };
        self.commit_object(Mutation::Put { object, content }).await
    }

    /// Objects in the order of their keys' bytes. Runs on a helper thread, since it may wait for
    /// the disk.
    ///
    /// # Errors
    /// As [`Self::bucket`].
    pub async fn list(&self, list: ListObjects) -> Result<ListPage, StoreError> {
        self.on_helper(move |index| index.read()?.list_objects(&list)).await
    }

    /// Versions and delete markers by key, newest first. Runs on a helper thread.
    ///
    /// # Errors
    /// As [`Self::bucket`].
    pub async fn list_versions(&self, list: ListVersions) -> Result<VersionPage, StoreError> {
        self.on_helper(move |index| index.read()?.list_versions(&list)).await
    }

    // === Multipart uploads ===

    /// Begins an upload.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::TooManyUploads`].
    pub async fn create_upload(
        &self,
        bucket: BucketId,
        key: Bytes,
        attributes: Bytes,
    ) -> Result<UploadId, StoreError> {
        match self.commit(Mutation::CreateUpload { bucket, key, attributes }).await? {
            Outcome::Upload(id) => Ok(id),
            other => Err(unexpected(&other)),
        }
    }

    /// The upload, if it is one of this bucket and key.
    ///
    /// # Errors
    /// As [`Self::bucket`].
    pub fn upload(
        &self,
        bucket: BucketId,
        key: &[u8],
        id: UploadId,
    ) -> Result<Option<Upload>, StoreError> {
        let upload = self.index().read()?.upload(id)?;
        Ok(upload.filter(|upload| upload.bucket == bucket && upload.key == key))
    }

    /// Records what was written as a part, replacing an earlier one of the same number.
    ///
    /// # Errors
    /// [`StoreError::NoSuchUpload`].
    pub async fn put_part(
        &self,
        upload: UploadId,
        number: PartNumber,
        entity_tag: Box<str>,
        attributes: Bytes,
        staged: Staged,
    ) -> Result<Part, StoreError> {
        let (content, _memory) = self.content_of(staged);
        let part = Mutation::PutPart { upload, number, entity_tag, attributes, content };
        self.commit_part(part).await
    }

    /// Makes a part of a range of an object's content without moving it.
    ///
    /// # Errors
    /// As [`Self::put_part`]; [`StoreError::SourceChanged`] as in [`Self::copy`].
    pub async fn copy_part(
        &self,
        upload: UploadId,
        number: PartNumber,
        source: &OpenObject,
        range: Range<u64>,
        entity_tag: Box<str>,
        attributes: Bytes,
    ) -> Result<Part, StoreError> {
        let (content, _memory) = self.referring_content(source, range).await?;
        let part = Mutation::PutPart { upload, number, entity_tag, attributes, content };
        self.commit_part(part).await
    }

    /// Parts by number, after `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Self::bucket`].
    pub fn parts(
        &self,
        upload: UploadId,
        after: PartNumber,
        limit: usize,
    ) -> Result<Vec<Part>, StoreError> {
        Ok(self.index().read()?.parts(upload, after, limit)?)
    }

    /// Makes an object of the listed parts, which are not touched; others are freed. `crc64` is that
    /// of the whole content, where the caller knows it.
    ///
    /// # Errors
    /// [`StoreError::NoSuchUpload`]; [`StoreError::PartChanged`] when a part is not as listed; as
    /// [`Self::put`].
    pub async fn complete(
        &self,
        upload: UploadId,
        parts: Vec<(PartNumber, PartId)>,
        object: NewObject,
        crc64: Option<u64>,
    ) -> Result<Object, StoreError> {
        self.commit_object(Mutation::Complete { upload, parts, object, crc64 }).await
    }

    /// Ends an upload and frees its parts.
    ///
    /// # Errors
    /// [`StoreError::NoSuchUpload`].
    pub async fn abort(&self, upload: UploadId) -> Result<(), StoreError> {
        self.commit(Mutation::Abort { upload }).await.map(drop)
    }

    /// Uploads by key, then by upload. Runs on a helper thread.
    ///
    /// # Errors
    /// As [`Self::bucket`].
    pub async fn list_uploads(&self, list: ListUploads) -> Result<UploadPage, StoreError> {
        self.on_helper(move |index| index.read()?.list_uploads(&list)).await
    }

    // === How ===

    /// Hands a change to the commit thread and waits for its answer.
    async fn commit(&self, mutation: Mutation) -> Result<Outcome, StoreError> {
        self.0.shared.commit.submit(mutation).await
    }

    /// Waits until the space of everything deleted before is free, but for what readers hold.
    pub(super) async fn settle(&self) -> Result<(), StoreError> {
        self.0.shared.commit.settle().await
    }

    async fn commit_object(&self, mutation: Mutation) -> Result<Object, StoreError> {
        match self.commit(mutation).await? {
            Outcome::Object(record) => Ok(record.to_object()),
            other => Err(unexpected(&other)),
        }
    }

    async fn commit_part(&self, mutation: Mutation) -> Result<Part, StoreError> {
        match self.commit(mutation).await? {
            Outcome::Part(part) => Ok(part),
            other => Err(unexpected(&other)),
        }
    }

    /// What was written, as a record has it, and the right to its checksums' memory, to be held
    /// until the commit thread has answered. From here on the blocks are the commit thread's: await
    /// nothing before they are submitted.
    fn content_of(&self, staged: Staged) -> (index::Content, ChecksumMemory) {
        let Staged { size, crc64, content, memory } = staged;
        let (body, extents) = match content {
            StagedContent::Inline(data) => {
                (Body::Inline { data: Bytes::from(data), crc64 }, Vec::new())
            }
            StagedContent::Extents(staged) => {
                let ids = self.index().ids();
                let extents: Vec<NewExtent> = staged
                    .into_iter()
                    .map(|extent| NewExtent {
                        id: ExtentId(ids.draw()),
                        location: extent.lease.hand_over(),
                        data_length: extent.lease.data_bytes(),
                        crcs: extent.crcs,
                    })
                    .collect();
                let slice =
                    |new: &NewExtent| Slice { extent: new.id, offset: 0, length: new.data_length };
                (Body::Slices(extents.iter().map(slice).collect()), extents)
            }
        };
        (index::Content { size, crc64: Some(crc64), body, extents }, memory)
    }

    /// Content that refers to a range of another object's. Data that stands in the source's records
    /// is small; it is copied into the new record, or into an extent when it must stand between
    /// slices. The memory of the checksums is to be held as that of [`Self::content_of`].
    async fn referring_content(
        &self,
        source: &OpenObject,
        range: Range<u64>,
    ) -> Result<ReferringContent, StoreError> {
        let size = range.end - range.start;
        let whole = size == source.object().size;
        let crc64 = source.object().crc64.filter(|_| whole);
        let segments = source.content().resolve(self.index(), range)?;
        let pieces = segments.into_iter().map(Piece::from).collect();
        self.content_of_pieces(pieces, size, crc64, source.meter()).await
    }

    /// A whole object's content, and what was written to follow it.
    async fn appended_content(
        &self,
        source: &OpenObject,
        staged: Staged,
    ) -> Result<ReferringContent, StoreError> {
        let Object { size: before, crc64, .. } = *source.object();
        let size = before.checked_add(staged.size).ok_or(StoreError::NoSpace)?;
        let crc64 = crc64.map(|crc64| checksum::crc64_concat(crc64, staged.crc64, staged.size));
        let segments = source.content().resolve(self.index(), 0..before)?;
        let mut pieces: Vec<Piece> = segments.into_iter().map(Piece::from).collect();
        pieces.push(match staged.content {
            StagedContent::Inline(data) => Piece::InRecord(Bytes::from(data)),
            StagedContent::Extents(_) => Piece::Written(staged),
        });
        let slices = pieces.iter().map(|piece| match piece {
            Piece::Written(Staged { content: StagedContent::Extents(extents), .. }) => {
                extents.len()
            }
            _ => 1,
        });
        if slices.sum::<usize>() > SLICES_PER_ROW_MAX {
            return Err(StoreError::TooManyPieces);
        }
        self.content_of_pieces(pieces, size, crc64, source.meter()).await
    }

    async fn content_of_pieces(
        &self,
        pieces: Vec<Piece>,
        size: u64,
        crc64: Option<u64>,
        meter: &MeterSlot,
    ) -> Result<ReferringContent, StoreError> {
        if size <= INLINE_BYTES_MAX
            && pieces.iter().all(|piece| matches!(piece, Piece::InRecord(_)))
        {
            let mut data = BytesMut::with_capacity(size as usize);
            for piece in pieces {
                if let Piece::InRecord(bytes) = piece {
                    data.extend_from_slice(&bytes);
                }
            }
            let body = Body::Inline { crc64: checksum::crc64(&data), data: data.freeze() };
            return Ok((index::Content { size, crc64, body, extents: Vec::new() }, Vec::new()));
        }
        // All is written before any of it is handed over: when a write fails, or the caller goes
        // away while it waits, what was written before must go back to the free space.
        let mut placed = Vec::with_capacity(pieces.len());
        for piece in pieces {
            placed.push(match piece {
                Piece::InRecord(data) if data.is_empty() => continue,
                Piece::InRecord(data) => {
                    let mut writer =
                        Writer::in_extents(self, data.len() as u64, meter.clone()).await?;
                    writer.write(&data).await?;
                    Piece::Written(writer.finish().await?)
                }
                placed => placed,
            });
        }
        let mut slices = Vec::with_capacity(placed.len());
        let (mut extents, mut memories) = (Vec::new(), Vec::new());
        for piece in placed {
            match piece {
                Piece::There(slice) => slices.push(slice),
                Piece::Written(staged) => {
                    let (written, memory) = self.content_of(staged);
                    slices.extend_from_slice(written.body.slices());
                    extents.extend(written.extents);
                    memories.extend(memory);
                }
                Piece::InRecord(_) => {}
            }
        }
        Ok((index::Content { size, crc64, body: Body::Slices(slices), extents }, memories))
    }

    async fn on_helper<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Index) -> Result<T, index::IndexError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let index = self.index().clone();
        let result = tokio::task::spawn_blocking(move || read(&index)).await;
        Ok(result.map_err(|_| StoreError::Closing)??)
    }
}

/// Content that refers to another's, and the right to the memory of the checksums of what had to be
/// written for it.
type ReferringContent = (index::Content, Vec<OwnedSemaphorePermit>);

/// A piece of content that refers to another's.
enum Piece {
    /// In an extent that has a row.
    There(Slice),
    /// In a record, or to be in one.
    InRecord(Bytes),
    /// In extents just written.
    Written(Staged),
}

impl From<Segment> for Piece {
    fn from(segment: Segment) -> Piece {
        match segment {
            Segment::Extent(run) => Piece::There(run.slice),
            Segment::Inline(data) => Piece::InRecord(data),
        }
    }
}

/// An answer that does not belong to its question: a defect of the index.
fn unexpected(outcome: &Outcome) -> StoreError {
    StoreError::Index(format!("answered {outcome:?}").into())
}
