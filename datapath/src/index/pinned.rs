//! Looking an object up so that its bytes stay where they are while they are read.
//!
//! Owns: [`open_pinned`], the reader's half of the protocol between readers and the commit thread.
//! Limits: `PIN_ATTEMPTS_MAX`.
//! Not here: the pins (`pin`), the commit thread's half (`commit::holds`).
//!
//! ```text
//! reader                              commit thread
//! look: row r                         commit: r is gone
//! pin r, fence                        fence
//! look again, new transaction         read the pins
//! ```
//! Of the two fences one is first. If the reader's is, the commit thread sees the pin and keeps the
//! space. If the commit thread's is, the second look sees the commit and does not find `r`.

use std::sync::Arc;

use super::Index;
use super::record::{BodyView, ExtentRecord, Found, ObjectRecord};
use super::tables::IndexError;
use crate::error::StoreError;
use crate::id::{BucketId, VersionId};
use crate::limits::PIN_ATTEMPTS_MAX;
use crate::pin::{Pin, PinTable};

/// An object whose bytes stay in place until this is dropped.
///
/// While the pin is held, later snapshots go on to show its manifest, the parts of that, their
/// extents, and checksum rows of its extents, even if the object is overwritten or deleted. Rows of
/// extents that its own slices name may vanish; they are here instead.
#[derive(Debug)]
pub struct PinnedObject {
    /// None when the content is inline: it is in `record`, and nothing needs to stay.
    pub pin: Option<Pin>,
    /// The object.
    pub record: ObjectRecord,
    /// The extent of each slice of the body, in the slices' order; empty for other bodies.
    pub extents: Vec<ExtentRecord>,
}

/// Looks a version up, or the latest, and pins it. `hint`: see [`PinTable::pin`].
///
/// # Errors
/// [`StoreError::Overload`] when every pin is taken, or when the object was replaced between the
/// two looks [`PIN_ATTEMPTS_MAX`] times in a row; [`StoreError::Index`].
pub fn open_pinned(
    index: &Index,
    pins: &Arc<PinTable>,
    hint: usize,
    bucket: BucketId,
    key: &[u8],
    version: Option<VersionId>,
) -> Result<Found<PinnedObject>, StoreError> {
    for _ in 0..PIN_ATTEMPTS_MAX {
        let row = {
            let snapshot = index.read()?;
            match snapshot.version(bucket, key, version)? {
                Found::Absent => return Ok(Found::Absent),
                Found::Marker(marker) => return Ok(Found::Marker(marker)),
                Found::There(view) if matches!(view.body, BodyView::Inline { .. }) => {
                    let record = view.to_record();
                    return Ok(Found::There(PinnedObject {
                        pin: None,
                        record,
                        extents: Vec::new(),
                    }));
                }
                Found::There(view) => view.row,
            }
        };
        let pin = pins.pin(row, hint).ok_or(StoreError::Overload("read pins"))?;
        let snapshot = index.read()?;
        // By its row: a version that is not the latest any more is what was asked for still.
        let Some(view) = snapshot.row(bucket, key, row)? else {
            continue;
        };
        let mut extents = Vec::new();
        if let BodyView::Slices(slices) = &view.body {
            extents.reserve_exact(slices.len());
            for slice in slices.iter() {
                let extent = snapshot.extent(slice.extent)?;
                extents.push(extent.ok_or(IndexError::Inconsistent("an extent has no row"))?);
            }
        }
        let record = view.to_record();
        return Ok(Found::There(PinnedObject { pin: Some(pin), record, extents }));
    }
    Err(StoreError::Overload("attempts to pin an object that is overwritten all the time"))
}
