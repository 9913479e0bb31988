//! Writing: from a body that arrives in pieces to content that a mutation can record.
//!
//! The body is copied once, into a frame; each full frame is checked, block by block, and goes to
//! its device while the next one fills. Nothing is visible and no space is lost until the content
//! is recorded: dropping a [`Writer`] or a [`Staged`] gives the extents back as soon as no write is
//! in flight.
//!
//! *Not here*: making it durable, which the commit thread does for all that it records at once.

use std::{collections::VecDeque, sync::Arc};

use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle, time::timeout};

use super::LaneStore;
use crate::{
    arena::{Frame, FrameRefused, Reservation, Share},
    error::StoreError,
    extent::{
        alloc::ExtentLease,
        checksum::{BlockChecksums, crc64, crc64_concat},
        plan::padded,
    },
    index::checksum_blocks,
    limits::{
        CHECKSUM_BLOCK_BYTES, DEVICE_BLOCK_BYTES, INLINE_BYTES_MAX, RESERVE_WAIT,
        SLICES_PER_ROW_MAX, WRITE_AHEAD_BYTES, WRITE_FRAME_BYTES, WRITER_CHECKSUM_BYTES,
        WRITES_IN_FLIGHT_MAX,
    },
};

/// Takes an object's content.
pub struct Writer {
    size: u64,
    written: u64,
    target: Target,
}

enum Target {
    Inline(Vec<u8>),
    Extents(Box<ExtentWriter>),
}

/// Content that is on its devices, or small enough for its record, and not yet recorded.
pub struct Staged {
    pub(super) size: u64,
    pub(super) crc64: u64,
    pub(super) content: StagedContent,
    pub(super) memory: ChecksumMemory,
}

/// The right to the memory of a content's checksums, held until the content is recorded or dropped;
/// none for content that stands in its record.
pub(super) type ChecksumMemory = Option<OwnedSemaphorePermit>;

pub(super) enum StagedContent {
    Inline(Vec<u8>),
    Extents(Vec<StagedExtent>),
}

/// An extent whose data was written, with the CRC of each of its blocks.
pub(super) struct StagedExtent {
    pub(super) lease: Arc<ExtentLease>,
    pub(super) crcs: Vec<u64>,
}

impl Staged {
    /// Bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// CRC-64/NVME of the content.
    #[must_use]
    pub fn crc64(&self) -> u64 {
        self.crc64
    }
}

impl Writer {
    /// Takes the memory that `size` bytes need, and the space, or the first part of it where they are
    /// more than [`WRITE_AHEAD_BYTES`].
    pub(super) async fn new(lane: &LaneStore, size: u64) -> Result<Self, StoreError> {
        let target = if size <= INLINE_BYTES_MAX {
            Target::Inline(Vec::with_capacity(size as usize))
        } else {
            Target::Extents(Box::new(ExtentWriter::new(lane, size).await?))
        };
        Ok(Self { size, written: 0, target })
    }

    /// As [`Self::new`], for content that must not stand in a record, however small; not empty.
    pub(super) async fn in_extents(lane: &LaneStore, size: u64) -> Result<Self, StoreError> {
        let target = Target::Extents(Box::new(ExtentWriter::new(lane, size).await?));
        Ok(Self { size, written: 0, target })
    }

    /// Takes the next piece of the body.
    ///
    /// # Errors
    /// [`StoreError::SizeMismatch`] when it is more than was announced; [`StoreError::NoSpace`] when
    /// others have taken the space for it meanwhile; device faults, also of earlier pieces. After an error the writer must be dropped.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), StoreError> {
        let written = self.written + piece.len() as u64;
        if written > self.size {
            return Err(StoreError::SizeMismatch { expected: self.size, got: written });
        }
        match &mut self.target {
            Target::Inline(content) => content.extend_from_slice(piece),
            Target::Extents(writer) => writer.write(piece).await?,
        }
        self.written = written;
        Ok(())
    }

    /// Waits until all is on the devices.
    ///
    /// # Errors
    /// [`StoreError::SizeMismatch`] when less came than was announced; device faults.
    pub async fn finish(self) -> Result<Staged, StoreError> {
        if self.written != self.size {
            return Err(StoreError::SizeMismatch { expected: self.size, got: self.written });
        }
        match self.target {
            Target::Inline(content) => Ok(Staged {
                size: self.size,
                crc64: crc64(&content),
                content: StagedContent::Inline(content),
                memory: None,
            }),
            Target::Extents(writer) => writer.finish(self.size).await,
        }
    }
}

/// Fills extents one after the other.
struct ExtentWriter {
    lane: LaneStore,
    /// Extents that still have room, the current one first.
    open: VecDeque<Arc<ExtentLease>>,
    /// Bytes of the content for which no extent was taken yet.
    unallocated: u64,
    /// Bytes of the current extent that were handed to its device.
    extent_written: u64,
    checksums: BlockChecksums,
    done: Vec<StagedExtent>,
    whole_crc: u64,
    frame: Option<Filling>,
    reservation: Reservation,
    frame_bytes: u64,
    in_flight: VecDeque<JoinHandle<Result<(), StoreError>>>,
    memory: ChecksumMemory,
}

/// The frame that takes the body's next bytes, and how many.
struct Filling {
    frame: Frame,
    capacity: usize,
}

impl ExtentWriter {
    async fn new(lane: &LaneStore, size: u64) -> Result<Self, StoreError> {
        let memory = Some(reserve_checksums(lane, size).await?);
        let (reservation, frame_bytes) = reserve_frames(lane, size).await?;
        if !lane.allocator().has_room(size) {
            // What was deleted a moment ago may still be on its way to the free space.
            lane.settle().await?;
            if !lane.allocator().has_room(size) {
                return Err(StoreError::NoSpace);
            }
        }
        let mut writer = Self {
            lane: lane.clone(),
            open: VecDeque::new(),
            unallocated: size,
            extent_written: 0,
            checksums: BlockChecksums::default(),
            done: Vec::new(),
            whole_crc: 0,
            frame: None,
            reservation,
            frame_bytes,
            in_flight: VecDeque::new(),
            memory,
        };
        writer.take_extents().await?;
        Ok(writer)
    }

    /// Takes the extents that come next, [`WRITE_AHEAD_BYTES`] at most.
    async fn take_extents(&mut self) -> Result<(), StoreError> {
        let bytes = self.unallocated.min(WRITE_AHEAD_BYTES);
        let leases = match self.lane.allocator().allocate(bytes) {
            Err(StoreError::NoSpace) => {
                self.lane.settle().await?;
                self.lane.allocator().allocate(bytes)?
            }
            other => other?,
        };
        if self.done.len() + leases.len() > SLICES_PER_ROW_MAX {
            return Err(StoreError::NoSpace); // too scattered for one record
        }
        self.unallocated -= bytes;
        self.open.extend(leases.into_iter().map(Arc::new));
        self.checksums = checksums_for(self.open.front());
        Ok(())
    }

    async fn write(&mut self, mut piece: &[u8]) -> Result<(), StoreError> {
        while !piece.is_empty() {
            let mut filling = match self.frame.take() {
                Some(filling) => filling,
                None => self.next_frame().await?,
            };
            let room = filling.capacity - filling.frame.filled_bytes();
            let taken = filling.frame.append(&piece[..piece.len().min(room)]);
            piece = &piece[taken..];
            if taken == room {
                self.send(filling);
            } else {
                self.frame = Some(filling);
            }
        }
        Ok(())
    }

    /// A frame for the current extent, as soon as the reservation has one.
    async fn next_frame(&mut self) -> Result<Filling, StoreError> {
        if self.open.is_empty() && self.unallocated > 0 {
            self.take_extents().await?;
        }
        loop {
            let lease = self.open.front().ok_or(StoreError::NoSpace)?;
            let capacity = (lease.data_bytes() - self.extent_written).min(self.frame_bytes);
            match self.reservation.frame(padded(capacity) as usize) {
                Ok(frame) => return Ok(Filling { frame, capacity: capacity as usize }),
                Err(FrameRefused::Fragmented) if self.frame_bytes > CHECKSUM_BLOCK_BYTES => {
                    self.frame_bytes = CHECKSUM_BLOCK_BYTES;
                }
                Err(FrameRefused::Fragmented) => return Err(StoreError::Overload("write memory")),
                Err(FrameRefused::ReservationSpent) => {
                    let more = self.in_flight.len() < WRITES_IN_FLIGHT_MAX
                        && self.reservation.try_grow(self.frame_bytes);
                    if !more {
                        self.wait_for_one().await?;
                    }
                }
            }
        }
    }

    /// Waits for the oldest write; its frame is free then.
    async fn wait_for_one(&mut self) -> Result<(), StoreError> {
        let task = self.in_flight.pop_front().ok_or(StoreError::Overload("write memory"))?;
        task.await.map_err(|_| StoreError::Closing)?
    }

    /// Checks a full frame and starts to write it.
    fn send(&mut self, mut filling: Filling) {
        let Some(lease) = self.open.front().cloned() else {
            return;
        };
        self.checksums.extend(filling.frame.filled());
        let content = filling.capacity as u64;
        filling.frame.pad_to_block(); // zeros: what the frame held before must not reach the medium
        let location = lease.location();
        let offset = location.offset_blocks * DEVICE_BLOCK_BYTES as u64 + self.extent_written;
        self.extent_written += content;
        if self.extent_written == lease.data_bytes() {
            self.close_extent();
        }
        let lane = self.lane.clone();
        self.in_flight.push_back(tokio::task::spawn_local(async move {
            let write = lane.engine().write(location.device, offset, filling.frame, lease);
            write.await.result.map_err(StoreError::from)
        }));
    }

    fn close_extent(&mut self) {
        if let Some(lease) = self.open.pop_front() {
            let next = checksums_for(self.open.front());
            let (crcs, crc) = std::mem::replace(&mut self.checksums, next).finish();
            self.whole_crc = crc64_concat(self.whole_crc, crc, lease.data_bytes());
            self.done.push(StagedExtent { lease, crcs });
            self.extent_written = 0;
        }
    }

    async fn finish(mut self, size: u64) -> Result<Staged, StoreError> {
        while !self.in_flight.is_empty() {
            self.wait_for_one().await?;
        }
        let content = StagedContent::Extents(self.done);
        Ok(Staged { size, crc64: self.whole_crc, content, memory: self.memory })
    }
}

/// Room for the checksums of an extent that comes next, and not for more: what was reserved counts
/// them exactly.
fn checksums_for(lease: Option<&Arc<ExtentLease>>) -> BlockChecksums {
    let blocks = lease.map_or(0, |lease| checksum_blocks(lease.data_bytes()));
    BlockChecksums::with_capacity(blocks as usize)
}

/// Memory for the checksums of `size` bytes.
async fn reserve_checksums(
    lane: &LaneStore,
    size: u64,
) -> Result<OwnedSemaphorePermit, StoreError> {
    const REFUSED: StoreError = StoreError::Overload("checksum memory");
    let bytes = checksum_blocks(size).saturating_mul(size_of::<u64>() as u64);
    if bytes > WRITER_CHECKSUM_BYTES as u64 {
        return Err(REFUSED);
    }
    let room = Arc::clone(lane.checksum_memory()).acquire_many_owned(bytes as u32);
    match timeout(RESERVE_WAIT, room).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) => Err(StoreError::Closing),
        Err(_) => Err(REFUSED),
    }
}

/// Memory for two frames, or one for content that fits in it: large ones where there is plenty,
/// else the smallest.
async fn reserve_frames(lane: &LaneStore, size: u64) -> Result<(Reservation, u64), StoreError> {
    let arena = lane.arena();
    if size > CHECKSUM_BLOCK_BYTES {
        let frame_bytes = WRITE_FRAME_BYTES.min(size.next_power_of_two());
        let frames = if size > frame_bytes { 2 } else { 1 };
        let mut least = arena.reserve(Share::Writes, CHECKSUM_BLOCK_BYTES);
        if let Ok(reservation) = &mut least
            && reservation.try_grow(frames * frame_bytes - CHECKSUM_BLOCK_BYTES)
        {
            return least
                .map(|reservation| (reservation, frame_bytes))
                .map_err(|_| StoreError::Overload("write memory"));
        }
        if let Ok(reservation) = least {
            return Ok((reservation, CHECKSUM_BLOCK_BYTES));
        }
    }
    let reserved = arena.reserve_within(Share::Writes, CHECKSUM_BLOCK_BYTES, RESERVE_WAIT).await;
    Ok((reserved.map_err(|_| StoreError::Overload("write memory"))?, CHECKSUM_BLOCK_BYTES))
}
