//! Reading: a pinned object, and the stream of verified bytes of one range of it.
//!
//! A stream looks each block up in the cache; a miss starts a fill as a task of the lane, so that
//! the fill goes on, and the others who wait for the same block get it, also when this stream's
//! client has stopped reading. After the first miss the stream fills ahead of its client: two
//! blocks at first, one more for each that the client took, up to [`READ_WINDOW_BLOCKS`], as far as
//! memory allows. A client that pauses for [`SLOW_READER`] falls back to one block.
//!
//! *Not here*: why a stream always gets its next block ([`crate::arena`]), which bytes lie where
//! ([`super::content`]).

use std::{collections::VecDeque, ops::Range, rc::Rc, time::Instant};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::{
    LaneStore,
    content::{Content, Run, Segment, Segments},
    fill::{Filled, fill_block},
    waiting::{MeterSlot, told, watched},
};
use crate::{
    arena::{Charge, Reservation, Share},
    cache::BlockKey,
    error::StoreError,
    extent::plan::{BlockSpan, first_span},
    id::{PartNumber, UploadId},
    index::{Object, Part},
    limits::{
        CHECKSUM_BLOCK_BYTES, INLINE_BYTES_MAX, READ_WINDOW_BLOCKS, RESERVE_WAIT, SLOW_READER,
    },
    meter::{Meter, Origin, Wait},
    pin::Pin,
};

/// Where one part lies in its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartSpan {
    /// Its number.
    pub number: PartNumber,
    /// First byte within the object.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// The caller's, opaque.
    pub attributes: Bytes,
}

/// An object whose data stays in place while this, or a stream of it, exists: deleting or replacing
/// it in the index does not touch the blocks.
pub struct OpenObject {
    lane: LaneStore,
    object: Object,
    content: Content,
    /// None for content that stands in the record itself.
    pin: Option<Rc<Pin>>,
    meter: MeterSlot,
}

impl OpenObject {
    pub(super) fn new(lane: LaneStore, object: Object, content: Content, pin: Option<Pin>) -> Self {
        Self { lane, object, content, pin: pin.map(Rc::new), meter: None }
    }

    /// The same, with somebody who is told what its streams wait for, where the bytes that they give
    /// come from, and what they copy; what a copy of it ([`LaneStore::copy`]) writes, too.
    #[must_use]
    pub fn metered(self, meter: Rc<dyn Meter>) -> Self {
        Self { meter: Some(meter), ..self }
    }

    /// Its record.
    #[must_use]
    pub fn object(&self) -> &Object {
        &self.object
    }

    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    pub(super) fn meter(&self) -> &MeterSlot {
        &self.meter
    }

    /// Where part `number` lies, if there is such a part. An object written in one piece is its own
    /// part 1.
    ///
    /// # Errors
    /// When the index can't be read.
    pub fn part(&self, number: PartNumber) -> Result<Option<PartSpan>, StoreError> {
        let Content::Manifest(manifest) = self.content else {
            let whole = PartSpan {
                number,
                offset: 0,
                size: self.object.size,
                attributes: self.object.attributes.clone(),
            };
            return Ok((number == PartNumber(1)).then_some(whole));
        };
        let snapshot = self.lane.index().read()?;
        let Some(entry) = snapshot.part_entry(manifest, number)? else {
            return Ok(None);
        };
        let part = snapshot.part(manifest, number)?;
        Ok(part.map(|part| PartSpan {
            number,
            offset: entry.start,
            size: entry.end - entry.start,
            attributes: Bytes::copy_from_slice(part.attributes),
        }))
    }

    /// The parts by number, after `after`, at most `limit`; none of an object written in one piece.
    ///
    /// # Errors
    /// When the index can't be read.
    pub fn parts(&self, after: PartNumber, limit: usize) -> Result<Vec<Part>, StoreError> {
        match self.content {
            Content::Manifest(manifest) => {
                Ok(self.lane.index().read()?.parts(UploadId(manifest.0), after, limit)?)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Starts to read `range` of the content; returns when the first bytes are there, so that a
    /// fault of the first block is known before any answer is given.
    ///
    /// # Errors
    /// [`StoreError::Overload`] when no memory could be reserved in [`RESERVE_WAIT`]; device and
    /// index faults.
    ///
    /// # Panics
    /// When `range` is not within the content: the caller has resolved it against [`Object::size`].
    pub async fn read(&self, range: Range<u64>) -> Result<ReadStream, StoreError> {
        self.stream(range, false).await
    }

    /// As [`Self::read`], with all bytes in frames of the arena, where a device can reach them: what
    /// stands in records is copied into frames ([`ReadStream::copied_bytes`]).
    ///
    /// # Errors
    /// As [`Self::read`].
    ///
    /// # Panics
    /// As [`Self::read`].
    pub async fn read_in_frames(&self, range: Range<u64>) -> Result<ReadStream, StoreError> {
        self.stream(range, true).await
    }

    async fn stream(&self, range: Range<u64>, in_frames: bool) -> Result<ReadStream, StoreError> {
        assert!(
            range.start <= range.end && range.end <= self.object.size,
            "{range:?} of {}",
            self.object.size
        );
        let mut stream = ReadStream {
            lane: self.lane.clone(),
            pin: self.pin.clone(),
            remaining: range.end - range.start,
            segments: self.content.segments(range),
            pending: VecDeque::new(),
            primed: None,
            reservation: None,
            in_frames,
            copied_bytes: 0,
            read_ahead: false,
            blocks_taken: 0,
            asked_at: None,
            meter: self.meter.clone(),
        };
        if matches!(self.content, Content::Inline(_)) && !in_frames {
            return Ok(stream);
        }
        if stream.remaining > 0 {
            let arena = self.lane.arena();
            let reserved = arena.reserve_within(Share::Reads, CHECKSUM_BLOCK_BYTES, RESERVE_WAIT);
            let reserved = told(&self.meter, Wait::Queue, reserved).await;
            stream.reservation = Some(reserved.map_err(|_| StoreError::Overload("read memory"))?);
            stream.primed = stream.next_unprimed().await.transpose()?;
        }
        Ok(stream)
    }
}

/// The verified bytes of a range, in order.
pub struct ReadStream {
    lane: LaneStore,
    /// Keeps the blocks; none for content that stands in the record itself.
    pin: Option<Rc<Pin>>,
    /// Bytes that [`Self::next`] has yet to give.
    remaining: u64,
    segments: Segments,
    /// Blocks that were begun, in order.
    pending: VecDeque<Pending>,
    /// The first bytes, read before the stream was handed out.
    primed: Option<Given>,
    /// None for content that stands in the record itself and need not be in frames.
    reservation: Option<Reservation>,
    /// Whether what stands in records is to be copied into frames.
    in_frames: bool,
    /// Bytes copied for that.
    copied_bytes: u64,
    /// Whether a block was missing from the cache.
    read_ahead: bool,
    /// Blocks that the client took since it last paused.
    blocks_taken: usize,
    /// When the client last asked for bytes; none before it has asked for more than was there when
    /// the stream began, so that a stream of one block reads no clock.
    asked_at: Option<Instant>,
    meter: MeterSlot,
}

/// Bytes to give out, and where they come from.
struct Given {
    bytes: Bytes,
    origin: Origin,
}

enum Pending {
    Ready(Given),
    Filling { task: JoinHandle<Result<Filled, StoreError>>, within: Range<usize> },
}

impl ReadStream {
    /// Bytes that are still to come.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Bytes that were copied from records into frames; 0 but for [`OpenObject::read_in_frames`].
    #[must_use]
    pub fn copied_bytes(&self) -> u64 {
        self.copied_bytes
    }

    /// The next bytes; None after the last. After an error the stream must be dropped.
    ///
    /// Safe to drop at any time: a fill that was begun ends by itself.
    pub async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        let given = match self.primed.take() {
            Some(given) => {
                self.blocks_taken += 1;
                Ok(given)
            }
            None if self.remaining == 0 => return None,
            None => {
                self.note_pace();
                self.next_unprimed().await?
            }
        };
        Some(given.map(|Given { bytes, origin }| {
            self.remaining -= bytes.len() as u64;
            if let Some(meter) = &self.meter {
                meter.gave(origin, bytes.len() as u64);
            }
            bytes
        }))
    }

    async fn next_unprimed(&mut self) -> Option<Result<Given, StoreError>> {
        loop {
            if let Err(error) = self.begin_blocks() {
                return Some(Err(error));
            }
            let Some(front) = self.pending.front_mut() else {
                if self.segments.is_finished() {
                    return None;
                }
                // Only this stream's own frames are in the way: its client must take them first.
                // The charge is given back at once, for the block that is begun next.
                let reservation = self.reservation.as_mut()?;
                if reservation.charge_when_free(CHECKSUM_BLOCK_BYTES as usize).await.is_err() {
                    return Some(Err(StoreError::Overload("read memory")));
                }
                continue;
            };
            if let Pending::Filling { task, within } = front {
                // Awaited in place: when this future is dropped here, the next call finds the same
                // task again. What is waited until then counts as the device's: nearly all of it is.
                let (ended, waiting) = watched(&self.meter, Wait::Device, task).await;
                let filled = match ended {
                    Ok(Ok(filled)) => filled,
                    Ok(Err(error)) => return Some(Err(error)),
                    Err(_) => return Some(Err(StoreError::Closing)),
                };
                if let Some(spent) = filled.spent {
                    spent.tell(waiting);
                }
                let bytes = filled.frame.slice(within.clone());
                let given = Given { bytes, origin: filled.origin };
                self.pending.pop_front();
                return Some(Ok(given));
            }
            match self.pending.pop_front() {
                Some(Pending::Ready(given)) => return Some(Ok(given)),
                _ => unreachable!("the front was looked at above"),
            }
        }
    }

    /// Begins as many blocks as the window and the credits allow.
    fn begin_blocks(&mut self) -> Result<(), StoreError> {
        loop {
            if self.pending.len() >= self.window() {
                return Ok(());
            }
            let Some(segment) = self.segments.current(self.lane.index())? else {
                return Ok(());
            };
            match segment {
                Segment::Inline(bytes) => {
                    let ready = if self.in_frames {
                        let Some(charge) = self.charge() else {
                            return Ok(());
                        };
                        self.copied_bytes += bytes.len() as u64;
                        if let Some(meter) = &self.meter {
                            meter.copied(bytes.len() as u64);
                        }
                        framed(&bytes, charge)?
                    } else {
                        bytes.clone()
                    };
                    let given = Given { bytes: ready, origin: Origin::Record };
                    self.pending.push_back(Pending::Ready(given));
                    self.segments.advance(bytes.len() as u64);
                }
                Segment::Extent(run) => {
                    let Some(charge) = self.charge() else {
                        return Ok(());
                    };
                    let range = run.slice.offset..run.slice.offset + run.slice.length;
                    let span = first_span(&range);
                    self.segments.advance(span.within.len() as u64);
                    self.begin_block(run, span, charge);
                }
            }
        }
    }

    fn begin_block(&mut self, run: Run, span: BlockSpan, charge: Charge) {
        let key = BlockKey { extent: run.slice.extent, block: span.block };
        let charge = match self.lane.cache().lookup(key, charge) {
            Ok(frame) => {
                let given = Given { bytes: frame.slice(span.within), origin: Origin::Cache };
                self.pending.push_back(Pending::Ready(given));
                return;
            }
            Err(charge) => charge,
        };
        self.read_ahead = true;
        let lane = self.lane.clone();
        let pin = self.pin.clone();
        let task = tokio::task::spawn_local(async move {
            let _pin = pin; // the blocks must stay this extent's for as long as they are being read
            fill_block(&lane, key, &run.extent, charge).await
        });
        self.pending.push_back(Pending::Filling { task, within: span.within });
    }

    /// Blocks that may be begun and not yet given.
    fn window(&self) -> usize {
        if self.read_ahead { (2 + self.blocks_taken).min(READ_WINDOW_BLOCKS) } else { 1 }
    }

    /// The right to one more frame: of what is reserved, or of what others leave.
    fn charge(&mut self) -> Option<Charge> {
        const FRAME_BYTES: usize = CHECKSUM_BLOCK_BYTES as usize;
        let window_bytes = (2 + self.blocks_taken).min(READ_WINDOW_BLOCKS) * FRAME_BYTES;
        let reservation = self.reservation.as_mut()?;
        reservation.charge(FRAME_BYTES).or_else(|| {
            let may_grow = reservation.bytes() < window_bytes as u64;
            (may_grow && reservation.try_grow(CHECKSUM_BLOCK_BYTES))
                .then(|| reservation.charge(FRAME_BYTES))
                .flatten()
        })
    }

    /// Lets go of what a client that has paused does not use.
    fn note_pace(&mut self) {
        let now = Instant::now();
        if self.asked_at.is_some_and(|asked| now.duration_since(asked) > SLOW_READER) {
            self.blocks_taken = 0;
            if let Some(reservation) = &mut self.reservation {
                reservation.shrink_to(CHECKSUM_BLOCK_BYTES);
            }
        } else {
            self.blocks_taken += 1;
        }
        self.asked_at = Some(now);
    }
}

/// A copy of content that was verified when its record was read, in a frame.
fn framed(bytes: &[u8], charge: Charge) -> Result<Bytes, StoreError> {
    let mut frame = charge.frame(bytes.len()).map_err(|_| StoreError::Overload("read memory"))?;
    frame.append(bytes);
    Ok(frame.share().into_bytes())
}

const _: () = assert!(INLINE_BYTES_MAX <= CHECKSUM_BLOCK_BYTES);
const _: () = assert!(READ_WINDOW_BLOCKS as u64 * CHECKSUM_BLOCK_BYTES <= 1 << 20);
