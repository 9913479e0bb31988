//! Owns the way of stored chunks back into content: any range, chunk by chunk, nothing of a chunk before all of it is
//! known to be what was sealed.
//!
//! A stream holds at most [`STREAM_BUFFERS_MAX`] decrypted chunks, whether its client has yet to take them or it fills the
//! next; [`STREAM_BUFFERS`] are taken from a sum for the whole process before it begins, more where they are free, and
//! all are used again one after the other. The store's frames are let go as soon as they are decrypted.
//!
//! Not here: reading the store (`crate::s3`), which has its own bound.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datapath::StoreError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::chunk::{
    ChunkKey, PLAIN_CHUNK_BYTES, SEALED_CHUNK_BYTES, TAG_BYTES, chunk_count, sealed_size,
};
use super::key::{DataKey, PART_SALT_BYTES};
use super::layout::{Content, Cursor, Layout, sealed_range};
use super::{Forged, Malformed};
use crate::limits::{DECRYPTED_BUFFERS_WAIT_MAX, STREAM_BUFFERS, STREAM_BUFFERS_MAX};

/// What is read of the store.
pub trait SealedContent {
    /// The next stored bytes; none after the last.
    fn next(&mut self) -> impl Future<Output = Option<Result<Bytes, StoreError>>>;

    /// The salt of a part's key.
    ///
    /// # Errors
    /// [`ReadFailure::Store`], and [`ReadFailure::Damaged`] where it has none.
    fn part_salt(&self, number: u16) -> Result<[u8; PART_SALT_BYTES], ReadFailure>;
}

/// Why content ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadFailure {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A chunk does not open: it was changed, moved or cut since it was written.
    #[error(
        "chunk {chunk} of an encrypted object (part {part}; 0 is an object in one piece) is not what was written; \
         nothing of it was given out"
    )]
    Forged {
        /// Its number.
        chunk: u64,
        /// The part's.
        part: u16,
    },
    /// What is kept of the encryption cannot be read.
    #[error("the index holds what this program did not write of an object's encryption")]
    Damaged,
    /// No memory for decrypted bytes came free in time.
    #[error("no memory for decrypted bytes")]
    Busy,
}

impl From<Malformed> for ReadFailure {
    fn from(_: Malformed) -> Self {
        Self::Damaged
    }
}

/// Memory for decrypted bytes, in buffers of a chunk, shared by all lanes.
#[derive(Clone, Debug)]
pub struct Buffers(Arc<Semaphore>);

impl Buffers {
    /// So many bytes of them.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / SEALED_CHUNK_BYTES as usize)))
    }

    /// Takes buffers for a stream of so many chunks.
    ///
    /// # Errors
    /// [`ReadFailure::Busy`] where none came free in [`DECRYPTED_BUFFERS_WAIT_MAX`].
    pub async fn take(&self, chunks: u64) -> Result<OwnedSemaphorePermit, ReadFailure> {
        let least = chunks.clamp(1, STREAM_BUFFERS as u64) as u32;
        let taken = timeout(DECRYPTED_BUFFERS_WAIT_MAX, self.0.clone().acquire_many_owned(least));
        let mut taken = taken.await.ok().and_then(Result::ok).ok_or(ReadFailure::Busy)?;
        let more = chunks.min(STREAM_BUFFERS_MAX as u64) as u32 - least.min(chunks as u32);
        if let Ok(more) = self.0.clone().try_acquire_many_owned(more) {
            taken.merge(more);
        }
        Ok(taken)
    }
}

/// A decrypted chunk on its way to a client. Its memory is the stream's again when the last reader has dropped it.
struct Chunk {
    bytes: Vec<u8>,
    length: usize,
    home: UnboundedSender<Vec<u8>>,
    /// For as long as any chunk of the stream is in memory.
    _memory: Arc<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // A stream that has ended wants no memory back.
        let _ = self.home.send(std::mem::take(&mut self.bytes));
    }
}

/// The buffers of one stream.
struct Own {
    memory: Arc<OwnedSemaphorePermit>,
    made: usize,
    home: UnboundedSender<Vec<u8>>,
    free: UnboundedReceiver<Vec<u8>>,
}

impl Own {
    fn new(memory: OwnedSemaphorePermit) -> Self {
        let (home, free) = unbounded_channel();
        Self { memory: Arc::new(memory), made: 0, home, free }
    }

    /// One of at least `length` bytes, when one is free.
    async fn take(&mut self, length: usize) -> Chunk {
        let free = match self.free.try_recv() {
            Ok(free) => Some(free),
            Err(_) if self.made < self.memory.num_permits() => None,
            // Never none: this holds a sender.
            Err(_) => self.free.recv().await,
        };
        let mut bytes = free.unwrap_or_else(|| {
            self.made += 1;
            Vec::new()
        });
        if bytes.len() < length {
            bytes.resize(length, 0);
        }
        let (home, memory) = (self.home.clone(), self.memory.clone());
        Chunk { bytes, length, home, _memory: memory }
    }
}

/// What of an object is to be decrypted.
pub struct Plan {
    /// Its, or its upload's.
    pub key: DataKey,
    /// Where its parts lie.
    pub layout: Layout,
    /// Bytes of all of it.
    pub size: u64,
    /// The wanted ones: not empty, within the object.
    pub range: Range<u64>,
}

impl Plan {
    /// The stored bytes to read for it; none for a range that the object does not have.
    pub fn sealed_range(&self) -> Option<Range<u64>> {
        sealed_range(&self.layout, self.size, &self.range)
    }
}

/// The content of a range, in order.
pub struct PlainStream<S> {
    source: S,
    key: DataKey,
    layout: Layout,
    cursor: Cursor,
    /// The content whose chunks come next.
    current: Option<Current>,
    /// Bytes that are still to be given.
    remaining: u64,
    /// Bytes to leave out of the first chunk.
    skip: usize,
    /// Stored bytes that have come and were not decrypted.
    front: Bytes,
    /// A chunk that came in several pieces.
    gathered: Vec<u8>,
    own: Own,
}

struct Current {
    key: ChunkKey,
    content: Content,
    /// The chunk that comes next.
    number: u64,
}

impl<S: SealedContent> PlainStream<S> {
    /// Of a `source` that gives the plan's [`Plan::sealed_range`]. `memory` is from [`Buffers::take`].
    ///
    /// # Errors
    /// [`ReadFailure::Damaged`] for a range that the object does not have, or a part without a salt.
    pub fn new(source: S, plan: Plan, memory: OwnedSemaphorePermit) -> Result<Self, ReadFailure> {
        let Plan { key, layout, size, range } = plan;
        let mut cursor = layout.at(size, range.start);
        let content = cursor.next(&layout).ok_or(ReadFailure::Damaged)?;
        let within = range.start - content.plain_start;
        let mut stream = Self {
            source,
            key,
            layout,
            cursor,
            current: None,
            remaining: range.end - range.start,
            // Below 64 KiB.
            skip: (within % PLAIN_CHUNK_BYTES) as usize,
            front: Bytes::new(),
            gathered: Vec::new(),
            own: Own::new(memory),
        };
        stream.current = Some(stream.begin(content, within / PLAIN_CHUNK_BYTES)?);
        Ok(stream)
    }

    /// Bytes that are still to come.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The next bytes; none after the last. After an error the stream must be dropped.
    pub async fn next(&mut self) -> Option<Result<Bytes, ReadFailure>> {
        if self.remaining == 0 {
            return None;
        }
        Some(self.chunk().await)
    }

    async fn chunk(&mut self) -> Result<Bytes, ReadFailure> {
        loop {
            let Some(current) = &mut self.current else {
                let content = self.cursor.next(&self.layout).ok_or(ReadFailure::Damaged)?;
                self.current = Some(self.begin(content, 0)?);
                continue;
            };
            let Content { plain, part, .. } = current.content;
            let (number, count) = (current.number, chunk_count(plain));
            if number >= count {
                self.current = None;
                continue;
            }
            let last = number + 1 == count;
            let sealed = match last {
                true => sealed_size(plain) - number * SEALED_CHUNK_BYTES,
                false => SEALED_CHUNK_BYTES,
            };
            let length = (sealed - TAG_BYTES) as usize;
            // In this order, since whoever stops waiting here finds all that has come when it asks again.
            let mut chunk = self.own.take(length).await;
            let whole = self.gather(sealed as usize).await?;
            let Some(current) = &mut self.current else { return Err(ReadFailure::Damaged) };
            let sealed = whole.as_deref().unwrap_or(&self.gathered);
            let opened = current.key.open(number, last, sealed, &mut chunk.bytes[..length]);
            let forged = |Forged| ReadFailure::Forged { chunk: number, part: part.unwrap_or(0) };
            opened.map_err(forged)?;
            self.gathered.clear();
            current.number += 1;
            let from = std::mem::take(&mut self.skip).min(length);
            let wanted = (length - from).min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
            self.remaining -= wanted as u64;
            // An empty part among others has one chunk, of nothing.
            if wanted > 0 {
                return Ok(Bytes::from_owner(chunk).slice(from..from + wanted));
            }
        }
    }

    /// Waits for so many stored bytes: given where they came in one piece, as all do that fill a frame of the store, and
    /// otherwise in `gathered`.
    async fn gather(&mut self, length: usize) -> Result<Option<Bytes>, ReadFailure> {
        loop {
            if self.front.is_empty() {
                let next = self.source.next().await;
                // What was cut is seen as what was changed is: the last chunk is missing.
                let next = next.unwrap_or(Ok(Bytes::new()))?;
                if next.is_empty() {
                    return Ok(None);
                }
                self.front = next;
            }
            if self.gathered.is_empty() && self.front.len() >= length {
                return Ok(Some(self.front.split_to(length)));
            }
            let missing = length - self.gathered.len();
            let taken = self.front.split_to(missing.min(self.front.len()));
            self.gathered.extend_from_slice(&taken);
            if self.gathered.len() == length {
                return Ok(None);
            }
        }
    }

    fn begin(&self, content: Content, number: u64) -> Result<Current, ReadFailure> {
        let key = match content.part {
            None => self.key.chunks(),
            Some(part) => self.key.part_chunks(part, &self.source.part_salt(part)?),
        };
        Ok(Current { key, content, number })
    }
}

#[cfg(test)]
mod tests {
    use super::super::seal::tests::seal_all;
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    /// Stored bytes in pieces of any size.
    struct Stored {
        bytes: Bytes,
        step: usize,
        salts: Vec<(u16, [u8; PART_SALT_BYTES])>,
    }

    impl SealedContent for Stored {
        async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
            let piece = self.bytes.split_to(self.bytes.len().min(self.step));
            (!piece.is_empty()).then_some(Ok(piece))
        }

        fn part_salt(&self, number: u16) -> Result<[u8; PART_SALT_BYTES], ReadFailure> {
            let found = self.salts.iter().find(|(part, _)| *part == number);
            found.map(|(_, salt)| *salt).ok_or(ReadFailure::Damaged)
        }
    }

    /// An encrypted object in memory beside its content.
    struct Sample {
        content: Vec<u8>,
        sealed: Vec<u8>,
        key: DataKey,
        layout: Layout,
        salts: Vec<(u16, [u8; PART_SALT_BYTES])>,
    }

    fn bytes(count: usize) -> Vec<u8> {
        (0..count).map(|at| (at ^ at >> 8) as u8).collect()
    }

    fn whole(count: usize) -> Sample {
        let (content, key) = (bytes(count), DataKey::generate().unwrap());
        let sealed = seal_all(key.chunks(), &content, 1 << 20);
        Sample { content, sealed, key, layout: Layout::Whole, salts: Vec::new() }
    }

    fn in_parts(parts: &[(u16, usize)]) -> Sample {
        let content = bytes(parts.iter().map(|(_, size)| size).sum());
        let key = DataKey::generate().unwrap();
        let (mut sealed, mut salts, mut at) = (Vec::new(), Vec::new(), 0);
        for (number, size) in parts {
            let salt = [*number as u8; PART_SALT_BYTES];
            let chunks = key.part_chunks(*number, &salt);
            sealed.extend(seal_all(chunks, &content[at..at + size], 1 << 20));
            salts.push((*number, salt));
            at += size;
        }
        let layout = Layout::of_parts(parts.iter().map(|(number, size)| (*number, *size as u64)));
        Sample { content, sealed, key, layout, salts }
    }

    impl Sample {
        fn read(&self, range: Range<u64>, step: usize) -> Result<Vec<u8>, ReadFailure> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            runtime.unwrap().block_on(async {
                let size = self.content.len() as u64;
                let (key, layout) = (self.key.clone(), self.layout.clone());
                let plan = Plan { key, layout, size, range };
                let sealed = plan.sealed_range().ok_or(ReadFailure::Damaged)?;
                let cut = self.sealed.len().min(sealed.end as usize);
                let stored = self.sealed.get(sealed.start as usize..cut).unwrap_or_default();
                let bytes = Bytes::copy_from_slice(stored);
                let source = Stored { bytes, step, salts: self.salts.clone() };
                let memory = Buffers::new(1 << 20).take(9).await?;
                let mut stream = PlainStream::new(source, plan, memory)?;
                let mut read = Vec::new();
                while let Some(piece) = stream.next().await {
                    read.extend_from_slice(&piece?);
                }
                assert_eq!(stream.remaining(), 0);
                Ok(read)
            })
        }

        fn check(&self, range: Range<u64>, step: usize) {
            let expected = &self.content[range.start as usize..range.end as usize];
            assert!(self.read(range.clone(), step).unwrap() == expected, "{range:?} by {step}");
        }

        fn is_forged(&self) -> bool {
            let all = self.read(0..self.content.len() as u64, 65_536);
            matches!(all, Err(ReadFailure::Forged { .. }))
        }
    }

    #[test]
    fn what_was_sealed_is_read() {
        for size in [1, 65_519, 65_520, 65_521, 131_040, 300_000] {
            let sample = whole(size);
            let size = size as u64;
            for step in [65_536, 1_000, 1 << 20] {
                sample.check(0..size, step);
                sample.check(size - 1..size, step);
                sample.check(size / 2..size, step);
            }
        }
    }

    #[test]
    fn parts_are_read_across_their_edges() {
        let sample = in_parts(&[(1, 70_000), (2, 70_000), (5, 65_520), (6, 0), (9, 17)]);
        let size = sample.content.len() as u64;
        for step in [65_536, 4_096] {
            sample.check(0..size, step);
            sample.check(69_999..70_001, step);
            sample.check(139_999..205_521, step);
            sample.check(size - 18..size, step);
        }
    }

    #[test]
    fn a_changed_cut_moved_or_exchanged_chunk_is_never_given_out() {
        const CHUNK: usize = SEALED_CHUNK_BYTES as usize;
        let good = || whole(150_000);
        assert!(!good().is_forged());
        for at in [0, CHUNK - 1, CHUNK, 2 * CHUNK + 1, 150_047] {
            let mut sample = good();
            sample.sealed[at] ^= 1;
            assert!(sample.is_forged(), "byte {at}");
        }
        let mut exchanged = good();
        let (first, second) = exchanged.sealed.split_at_mut(CHUNK);
        first.swap_with_slice(&mut second[..CHUNK]);
        assert!(exchanged.is_forged(), "exchanged");
        let mut cut = good();
        cut.sealed.truncate(2 * CHUNK);
        assert!(cut.is_forged(), "cut");
        // Whoever can rewrite the size as well has no chunk that says that it is the last.
        let mut shorter = good();
        shorter.sealed.truncate(2 * CHUNK);
        shorter.content.truncate(2 * PLAIN_CHUNK_BYTES as usize);
        assert!(shorter.is_forged(), "cut at a chunk's edge, with the size");
        let mut another = good();
        another.key = DataKey::generate().unwrap();
        assert!(another.is_forged(), "another key");
    }

    #[test]
    fn exchanged_parts_are_never_given_out() {
        let mut sample = in_parts(&[(1, 100), (2, 100)]);
        let (first, second) = sample.sealed.split_at_mut(116);
        first.swap_with_slice(second);
        assert!(sample.is_forged(), "contents exchanged");
        let (left, right) = sample.salts.split_at_mut(1);
        std::mem::swap(&mut left[0].1, &mut right[0].1);
        assert!(sample.is_forged(), "with their salts");
        let mut lost = in_parts(&[(1, 100)]);
        lost.salts.clear();
        assert!(matches!(lost.read(0..100, 99), Err(ReadFailure::Damaged)));
    }

    #[tokio::test]
    async fn memory_is_bounded_and_comes_back() {
        let sample = whole(5 * 65_520);
        let buffers = Buffers::new(STREAM_BUFFERS * SEALED_CHUNK_BYTES as usize);
        let plan = Plan {
            key: sample.key.clone(),
            layout: Layout::Whole,
            size: sample.content.len() as u64,
            range: 0..sample.content.len() as u64,
        };
        let bytes = Bytes::from(sample.sealed.clone());
        let source = Stored { bytes, step: 65_536, salts: Vec::new() };
        let memory = buffers.take(5).await.unwrap();
        let mut stream = PlainStream::new(source, plan, memory).unwrap();
        let mut held = Vec::new();
        for _ in 0..STREAM_BUFFERS {
            held.push(stream.next().await.unwrap().unwrap());
        }
        let soon = Duration::from_millis(20);
        let more = timeout(soon, stream.next()).await;
        assert!(more.is_err(), "the client has yet to take what there is");
        held.remove(0);
        held.push(stream.next().await.unwrap().unwrap());
        assert!(timeout(soon, buffers.take(1)).await.is_err());
        drop(stream);
        assert!(timeout(soon, buffers.take(1)).await.is_err(), "its bytes are there");
        drop(held);
        assert!(buffers.take(1).await.is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn any_range_of_any_object_is_that_of_its_content(
            sizes in proptest::collection::vec(0_usize..140_000, 1..5),
            ends in (any::<u64>(), any::<u64>()),
            step in 1_000_usize..70_000,
            parts in any::<bool>(),
        ) {
            let numbered: Vec<(u16, usize)> = (1..).zip(sizes.iter().copied()).collect();
            let sample = if parts { in_parts(&numbered) } else { whole(sizes[0]) };
            let size = sample.content.len() as u64;
            let (first, second) = (ends.0 % (size + 1), ends.1 % (size + 1));
            let range = first.min(second)..first.max(second);
            if !range.is_empty() {
                sample.check(range, step);
            }
        }
    }
}
