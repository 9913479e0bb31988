//! Writing: from a body that arrives in pieces to content that a mutation can record.
//!
//! The body is copied once, into a frame. Nothing is visible and no space is lost until the content is
//! recorded: dropping a [`Writer`] or a [`Staged`] gives the extents back as soon as no write is in
//! flight.
//!
//! *Not here*: what becomes of a full frame, and content that others put into frames
//! ([`super::frames`]); making it durable, which the commit thread does for all that it records at once.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::{FrameWriter, LaneStore, waiting::MeterSlot};
use crate::{
    arena::Frame,
    error::StoreError,
    extent::{alloc::ExtentLease, checksum::crc64},
    limits::INLINE_BYTES_MAX,
};

/// Takes an object's content.
pub struct Writer {
    size: u64,
    written: u64,
    target: Target,
    meter: MeterSlot,
}

enum Target {
    Inline(Vec<u8>),
    Extents(Box<Copying>),
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
    /// more than [`WRITE_AHEAD_BYTES`](crate::limits::WRITE_AHEAD_BYTES).
    pub(super) async fn new(
        lane: &LaneStore,
        size: u64,
        meter: MeterSlot,
    ) -> Result<Self, StoreError> {
        if size <= INLINE_BYTES_MAX {
            let target = Target::Inline(Vec::with_capacity(size as usize));
            return Ok(Self { size, written: 0, target, meter });
        }
        Self::in_extents(lane, size, meter).await
    }

    /// As [`Self::new`], for content that must not stand in a record, however small; not empty.
    pub(super) async fn in_extents(
        lane: &LaneStore,
        size: u64,
        meter: MeterSlot,
    ) -> Result<Self, StoreError> {
        let copying = Copying::new(lane, size, meter.clone()).await?;
        Ok(Self { size, written: 0, target: Target::Extents(Box::new(copying)), meter })
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
        if let Some(meter) = &self.meter {
            meter.copied(piece.len() as u64);
        }
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
            Target::Extents(writer) => writer.frames.finish().await,
        }
    }
}

/// Copies pieces of a body into frames.
struct Copying {
    frames: FrameWriter,
    /// The frame that takes the next bytes, and how many in all.
    filling: Option<(Frame, usize)>,
}

impl Copying {
    async fn new(lane: &LaneStore, size: u64, meter: MeterSlot) -> Result<Self, StoreError> {
        Ok(Self { frames: FrameWriter::new(lane, size, 1, meter).await?, filling: None })
    }

    async fn write(&mut self, mut piece: &[u8]) -> Result<(), StoreError> {
        while !piece.is_empty() {
            let (mut frame, wanted) = match self.filling.take() {
                Some(filling) => filling,
                // None out: there is one, since the size was looked at before.
                None => self.frames.next_frame().await?.ok_or(StoreError::NoSpace)?,
            };
            let room = wanted - frame.filled_bytes();
            let taken = frame.append(&piece[..piece.len().min(room)]);
            piece = &piece[taken..];
            if taken == room {
                self.frames.filled(frame)?;
            } else {
                self.filling = Some((frame, wanted));
            }
        }
        Ok(())
    }
}
