//! Writing frames that somebody else fills: a device that reads from a peer's memory, or the copying
//! [`super::Writer`].
//!
//! Each frame is meant for a place in an extent. Those that are out are filled in any order and come
//! back in the order in which they were given out; each is then checked, block by block, and goes to its device while
//! the next ones fill.
//!
//! *Not here*: who copies ([`super::write`]), and making it durable, which the commit thread does.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle, time::timeout};

use super::{
    LaneStore, Staged,
    waiting::{MeterSlot, Spent, told, watched},
    write::{ChecksumMemory, StagedContent, StagedExtent},
};
use crate::{
    arena::{Frame, FrameRefused, Reservation, Share},
    error::StoreError,
    extent::{
        alloc::ExtentLease,
        checksum::{BlockChecksums, crc64_concat},
        plan::padded,
    },
    index::checksum_blocks,
    limits::{
        CHECKSUM_BLOCK_BYTES, DEVICE_BLOCK_BYTES, FRAMES_AHEAD_MAX, RESERVE_WAIT,
        SLICES_PER_ROW_MAX, WRITE_AHEAD_BYTES, WRITE_FRAME_BYTES, WRITER_CHECKSUM_BYTES,
        WRITES_IN_FLIGHT_MAX,
    },
    meter::Wait,
};

/// Gives out frames for content to be put into, and writes them as they come back. The content lies
/// in extents however small it is, and no byte of it is copied.
///
/// Dropping it, or a frame that it gave out, stores nothing and gives space and memory back as soon
/// as no write is in flight.
pub struct FrameWriter {
    lane: LaneStore,
    size: u64,
    /// Extents that have room for which no frame was given out, the current one first.
    open: VecDeque<Arc<ExtentLease>>,
    /// Bytes of the current extent for which frames were given out.
    extent_given: u64,
    /// Bytes of the content for which no extent was taken yet.
    unallocated: u64,
    extents_taken: usize,
    /// Frames that were given out and have not come back.
    out: VecDeque<Out>,
    /// Of the extent that the next frame to come back belongs to.
    checksums: BlockChecksums,
    done: Vec<StagedExtent>,
    returned_bytes: u64,
    whole_crc: u64,
    reservation: Reservation,
    frame_bytes: u64,
    in_flight: VecDeque<JoinHandle<Result<Spent, StoreError>>>,
    memory: ChecksumMemory,
    meter: MeterSlot,
}

/// A frame that was given out: which, and where its content belongs.
struct Out {
    address: *const u8,
    bytes: usize,
    lease: Arc<ExtentLease>,
    offset: u64,
}

impl FrameWriter {
    /// Takes the memory that `size` bytes need, of it `frames` frames in any case or as many as there
    /// are blocks, and the space, or the first part of it where they are more than
    /// [`WRITE_AHEAD_BYTES`].
    pub(super) async fn new(
        lane: &LaneStore,
        size: u64,
        frames: u64,
        meter: MeterSlot,
    ) -> Result<Self, StoreError> {
        let reserved = async {
            let memory = reserve_checksums(lane, size).await?;
            Ok::<_, StoreError>((memory, reserve_frames(lane, size, frames).await?))
        };
        let (memory, (reservation, frame_bytes)) = told(&meter, Wait::Queue, reserved).await?;
        if !lane.allocator().has_room(size) {
            // What was deleted a moment ago may still be on its way to the free space.
            told(&meter, Wait::Queue, lane.settle()).await?;
            if !lane.allocator().has_room(size) {
                return Err(StoreError::NoSpace);
            }
        }
        let mut writer = Self {
            lane: lane.clone(),
            size,
            open: VecDeque::new(),
            extent_given: 0,
            unallocated: size,
            extents_taken: 0,
            out: VecDeque::new(),
            checksums: BlockChecksums::default(),
            done: Vec::new(),
            returned_bytes: 0,
            whole_crc: 0,
            reservation,
            frame_bytes,
            in_flight: VecDeque::new(),
            memory: Some(memory),
            meter,
        };
        if size > 0 {
            writer.take_extents().await?;
        }
        Ok(writer)
    }

    /// Bytes of the content.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// A frame for the content's next bytes, and how many of them it is to hold; they go to its
    /// start. It waits for writes of this content where memory is short.
    ///
    /// None when there is no frame before another has come back; when none is out, all were given
    /// out. Two may be out at any time, and up to [`FRAMES_AHEAD_MAX`] where memory allows. Dropped
    /// before it is ready, it has given out nothing and lost nothing.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`] when others have taken the space for it meanwhile; device faults of
    /// earlier frames. After an error the writer must be dropped.
    pub async fn next_frame(&mut self) -> Result<Option<(Frame, usize)>, StoreError> {
        if self.out.len() >= FRAMES_AHEAD_MAX {
            return Ok(None);
        }
        if self.open.is_empty() && self.unallocated > 0 {
            self.take_extents().await?;
        }
        loop {
            let Some(lease) = self.open.front() else {
                return Ok(None);
            };
            let bytes = (lease.data_bytes() - self.extent_given).min(self.frame_bytes);
            match self.reservation.frame(padded(bytes) as usize) {
                Ok(frame) => return Ok(Some(self.give_out(frame, bytes))),
                Err(FrameRefused::Fragmented) if self.frame_bytes > CHECKSUM_BLOCK_BYTES => {
                    self.frame_bytes = CHECKSUM_BLOCK_BYTES;
                }
                Err(FrameRefused::Fragmented) => return Err(StoreError::Overload("write memory")),
                Err(FrameRefused::ReservationSpent) => {
                    let more = self.in_flight.len() < WRITES_IN_FLIGHT_MAX
                        && self.reservation.try_grow(self.frame_bytes);
                    if more {
                        continue;
                    }
                    if self.in_flight.is_empty() && !self.out.is_empty() {
                        return Ok(None);
                    }
                    self.wait_for_one().await?;
                }
            }
        }
    }

    /// Takes back the oldest frame that is out, filled with as many bytes as it was to hold, and
    /// starts to write it.
    ///
    /// # Errors
    /// [`StoreError::SizeMismatch`] when it holds more or less. After an error the writer must be
    /// dropped.
    ///
    /// # Panics
    /// When it is another frame, or none is out.
    pub fn filled(&mut self, mut frame: Frame) -> Result<(), StoreError> {
        let Out { address, bytes, lease, offset } =
            self.out.pop_front().expect("a frame comes back that was given out");
        assert!(frame.filled().as_ptr() == address, "frames come back in order");
        if frame.filled_bytes() != bytes {
            let (expected, got) = (bytes as u64, frame.filled_bytes() as u64);
            return Err(StoreError::SizeMismatch { expected, got });
        }
        if offset == 0 {
            // Room for this extent's and not for more: what was reserved counts them exactly.
            let blocks = checksum_blocks(lease.data_bytes());
            self.checksums = BlockChecksums::with_capacity(blocks as usize);
        }
        self.check(&frame);
        frame.pad_to_block(); // zeros: what the frame held before must not reach the medium
        self.returned_bytes += bytes as u64;
        if offset + bytes as u64 == lease.data_bytes() {
            let (crcs, crc) = std::mem::take(&mut self.checksums).finish();
            self.whole_crc = crc64_concat(self.whole_crc, crc, lease.data_bytes());
            self.done.push(StagedExtent { lease: Arc::clone(&lease), crcs });
        }
        self.write(frame, lease, offset);
        Ok(())
    }

    /// Waits until all is on the devices.
    ///
    /// # Errors
    /// [`StoreError::SizeMismatch`] when not all frames have come back; device faults.
    pub async fn finish(mut self) -> Result<Staged, StoreError> {
        let (size, got) = (self.size, self.returned_bytes);
        if got != size {
            return Err(StoreError::SizeMismatch { expected: size, got });
        }
        while !self.in_flight.is_empty() {
            self.wait_for_one().await?;
        }
        let content = match size {
            0 => StagedContent::Inline(Vec::new()),
            _ => StagedContent::Extents(self.done),
        };
        Ok(Staged { size, crc64: self.whole_crc, content, memory: self.memory })
    }

    /// Takes the extents that come next, [`WRITE_AHEAD_BYTES`] at most.
    async fn take_extents(&mut self) -> Result<(), StoreError> {
        let bytes = self.unallocated.min(WRITE_AHEAD_BYTES);
        let leases = match self.lane.allocator().allocate(bytes) {
            Err(StoreError::NoSpace) => {
                told(&self.meter, Wait::Queue, self.lane.settle()).await?;
                self.lane.allocator().allocate(bytes)?
            }
            other => other?,
        };
        self.extents_taken += leases.len();
        if self.extents_taken > SLICES_PER_ROW_MAX {
            return Err(StoreError::NoSpace); // too scattered for one record
        }
        self.unallocated -= bytes;
        self.open.extend(leases.into_iter().map(Arc::new));
        Ok(())
    }

    /// Adds what a frame is filled with to the checksums.
    fn check(&mut self, frame: &Frame) {
        let began = self.meter.as_ref().map(|meter| (meter, Instant::now()));
        self.checksums.extend(frame.filled());
        if let Some((meter, began)) = began {
            meter.waited(Wait::Verify, began.elapsed());
        }
    }

    /// Notes which frame holds the current extent's next `bytes`.
    fn give_out(&mut self, frame: Frame, bytes: u64) -> (Frame, usize) {
        let lease = Arc::clone(&self.open[0]);
        let offset = self.extent_given;
        self.extent_given += bytes;
        if self.extent_given == lease.data_bytes() {
            self.open.pop_front();
            self.extent_given = 0;
        }
        let bytes = bytes as usize;
        self.out.push_back(Out { address: frame.filled().as_ptr(), bytes, lease, offset });
        (frame, bytes)
    }

    /// Starts a write to a place in an extent.
    fn write(&mut self, frame: Frame, lease: Arc<ExtentLease>, offset: u64) {
        let location = lease.location();
        let offset = location.offset_blocks * DEVICE_BLOCK_BYTES as u64 + offset;
        let lane = self.lane.clone();
        self.in_flight.push_back(tokio::task::spawn_local(async move {
            let done = lane.engine().write(location.device, offset, frame, lease).await;
            done.result?;
            Ok(Spent { device: done.times.device, ..Spent::default() })
        }));
    }

    /// Waits for the oldest write; its frame is free then. Awaited in place: when this future is
    /// dropped here, the next call finds the same write, and its error, again.
    async fn wait_for_one(&mut self) -> Result<(), StoreError> {
        let task = self.in_flight.front_mut().ok_or(StoreError::Overload("write memory"))?;
        let (ended, waiting) = watched(&self.meter, Wait::Device, task).await;
        self.in_flight.pop_front();
        ended.map_err(|_| StoreError::Closing)??.tell(waiting);
        Ok(())
    }
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

/// Memory for two frames, or one for content that fits in it: large ones where there is plenty, else
/// `frames` of the smallest.
async fn reserve_frames(
    lane: &LaneStore,
    size: u64,
    frames: u64,
) -> Result<(Reservation, u64), StoreError> {
    let arena = lane.arena();
    let least_bytes = frames.min(size.div_ceil(CHECKSUM_BLOCK_BYTES)) * CHECKSUM_BLOCK_BYTES;
    if size > CHECKSUM_BLOCK_BYTES {
        let frame_bytes = WRITE_FRAME_BYTES.min(size.next_power_of_two());
        let large_bytes = if size > frame_bytes { 2 * frame_bytes } else { frame_bytes };
        if let Ok(mut reservation) = arena.reserve(Share::Writes, least_bytes) {
            if reservation.try_grow(large_bytes - least_bytes) {
                return Ok((reservation, frame_bytes));
            }
            return Ok((reservation, CHECKSUM_BLOCK_BYTES));
        }
    }
    let reserved = arena.reserve_within(Share::Writes, least_bytes, RESERVE_WAIT).await;
    Ok((reserved.map_err(|_| StoreError::Overload("write memory"))?, CHECKSUM_BLOCK_BYTES))
}
