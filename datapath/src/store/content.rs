//! Where an object's bytes are, as a row of segments that is resolved as far as a stream has come.

use std::{collections::VecDeque, ops::Range, rc::Rc};

use bytes::Bytes;

use crate::{
    error::StoreError,
    extent::checksum::crc64,
    id::{ExtentId, ManifestId, PartNumber},
    index::{Body, ExtentRecord, Index, IndexError, PinnedObject, Slice, Snapshot},
};

/// An object's content, with the extents that its own slices name.
#[derive(Clone)]
pub(super) enum Content {
    /// In the record; verified.
    Inline(Bytes),
    /// In extents.
    Extents(Rc<[Run]>),
    /// In parts, which are looked up as they are needed.
    Manifest(ManifestId),
}

/// A run of content in one extent.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) slice: Slice,
    pub(super) extent: ExtentRecord,
}

impl Content {
    /// The content of an object that was looked up.
    pub(super) fn of(found: &PinnedObject) -> Result<Self, StoreError> {
        match &found.record.body {
            Body::Inline { data, crc64 } => Ok(Self::Inline(verified_inline(data, *crc64)?)),
            Body::Slices(slices) => {
                let runs = slices.iter().zip(&found.extents);
                Ok(Self::Extents(runs.map(|(&slice, &extent)| Run { slice, extent }).collect()))
            }
            Body::Manifest { id, .. } => Ok(Self::Manifest(*id)),
        }
    }

    /// The segments of `range`, which lies within the content.
    pub(super) fn segments(&self, range: Range<u64>) -> Segments {
        let mut segments = Segments { queue: VecDeque::new(), parts: None };
        match self {
            Self::Inline(data) => segments.push_clipped([Segment::Inline(data.clone())], &range),
            Self::Extents(runs) => {
                segments.push_clipped(runs.iter().copied().map(Segment::Extent), &range);
            }
            Self::Manifest(_) if range.is_empty() => {}
            Self::Manifest(manifest) => {
                segments.parts = Some(PartCursor { manifest: *manifest, range });
            }
        }
        segments
    }

    /// All segments of `range`, for a copy that refers to them.
    pub(super) fn resolve(
        &self,
        index: &Index,
        range: Range<u64>,
    ) -> Result<Vec<Segment>, StoreError> {
        let mut segments = self.segments(range);
        let mut resolved = Vec::new();
        while let Some(segment) = segments.current(index)? {
            segments.advance(segment.length());
            resolved.push(segment);
        }
        Ok(resolved)
    }
}

/// A run of content that lies in one place.
#[derive(Clone)]
pub(super) enum Segment {
    Inline(Bytes),
    Extent(Run),
}

impl Segment {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Inline(data) => data.len() as u64,
            Self::Extent(run) => run.slice.length,
        }
    }

    /// `length` bytes of this segment from `skip` on.
    fn clip(self, skip: u64, length: u64) -> Self {
        match self {
            Self::Inline(data) => Self::Inline(data.slice(skip as usize..(skip + length) as usize)),
            Self::Extent(run) => {
                let slice = Slice { offset: run.slice.offset + skip, length, ..run.slice };
                Self::Extent(Run { slice, ..run })
            }
        }
    }
}

/// The segments of a range, in order. Those of a multipart object are looked up part by part, so
/// that a stream of a 10,000-part object holds one part's at a time.
pub(super) struct Segments {
    queue: VecDeque<Segment>,
    parts: Option<PartCursor>,
}

/// What is left of a range over the parts of a manifest; not empty.
struct PartCursor {
    manifest: ManifestId,
    range: Range<u64>,
}

impl Segments {
    /// Whether all bytes of the range were passed by [`Self::advance`].
    pub(super) fn is_finished(&self) -> bool {
        self.queue.is_empty() && self.parts.is_none()
    }

    /// What comes next, up to the end of its segment; None at the end of the range.
    pub(super) fn current(&mut self, index: &Index) -> Result<Option<Segment>, StoreError> {
        while self.queue.is_empty() {
            let Some(mut parts) = self.parts.take() else {
                return Ok(None);
            };
            self.load_part(index, &mut parts)?;
            if !parts.range.is_empty() {
                self.parts = Some(parts);
            }
        }
        Ok(self.queue.front().cloned())
    }

    /// Passes `bytes` bytes of what [`Self::current`] gave.
    pub(super) fn advance(&mut self, bytes: u64) {
        let Some(front) = self.queue.pop_front() else {
            return;
        };
        let length = front.length();
        if bytes < length {
            self.queue.push_front(front.clip(bytes, length - bytes));
        }
    }

    /// Queues the segments of the part that holds the start of the range, and moves the start to
    /// the end of that part.
    fn load_part(&mut self, index: &Index, cursor: &mut PartCursor) -> Result<(), StoreError> {
        let snapshot = index.read()?;
        let entry = snapshot.part_at(cursor.manifest, cursor.range.start)?;
        let entry = entry.ok_or(IndexError::Inconsistent("part_offsets: a part is absent"))?;
        let within =
            cursor.range.start - entry.start..cursor.range.end.min(entry.end) - entry.start;
        let whole = part_segments(&snapshot, cursor.manifest, entry.number)?;
        self.push_clipped(whole, &within);
        cursor.range.start += within.end - within.start;
        Ok(())
    }

    /// Queues what of `segments`, which begin at byte 0, lies in `range`.
    fn push_clipped(&mut self, segments: impl IntoIterator<Item = Segment>, range: &Range<u64>) {
        let mut at = 0;
        for segment in segments {
            let length = segment.length();
            let start = range.start.max(at);
            let end = range.end.min(at + length);
            if start < end {
                self.queue.push_back(segment.clip(start - at, end - start));
            }
            at += length;
        }
    }
}

fn part_segments(
    snapshot: &Snapshot<'_>,
    manifest: ManifestId,
    number: PartNumber,
) -> Result<Vec<Segment>, StoreError> {
    let part = snapshot.part(manifest, number)?;
    let part = part.ok_or(IndexError::Inconsistent("parts: a part is absent"))?;
    match part.body.to_body() {
        Body::Inline { data, crc64 } => Ok(vec![Segment::Inline(verified_inline(&data, crc64)?)]),
        Body::Slices(slices) => {
            let run = |slice: Slice| {
                let extent = snapshot.extent(slice.extent)?;
                let extent = extent.ok_or(IndexError::Inconsistent("an extent has no row"))?;
                Ok(Segment::Extent(Run { slice, extent }))
            };
            slices.into_iter().map(run).collect()
        }
        Body::Manifest { .. } => {
            Err(IndexError::Inconsistent("parts: a part made of parts").into())
        }
    }
}

/// Inline data is checked like any other before a byte of it leaves. Extent 0 never exists.
fn verified_inline(data: &Bytes, expected: u64) -> Result<Bytes, StoreError> {
    if crc64(data) == expected {
        return Ok(data.clone());
    }
    Err(StoreError::Corrupt { extent: ExtentId(0), block: 0 })
}
