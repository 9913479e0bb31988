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
use super::record::{BodyView, ExtentRecord, ObjectRecord};
use super::tables::IndexError;
use crate::error::StoreError;
use crate::id::BucketId;
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

/// Looks the object up and pins it. `hint`: see [`PinTable::pin`].
///
/// # Errors
/// [`StoreError::Overload`] when every pin is taken, or when the object was overwritten between the
/// two looks [`PIN_ATTEMPTS_MAX`] times in a row; [`StoreError::Index`].
pub fn open_pinned(
    index: &Index,
    pins: &Arc<PinTable>,
    hint: usize,
    bucket: BucketId,
    key: &[u8],
) -> Result<Option<PinnedObject>, StoreError> {
    for _ in 0..PIN_ATTEMPTS_MAX {
        let row = {
            let snapshot = index.read()?;
            match snapshot.object(bucket, key)? {
                None => return Ok(None),
                Some(view) if matches!(view.body, BodyView::Inline { .. }) => {
                    let record = view.to_record();
                    return Ok(Some(PinnedObject { pin: None, record, extents: Vec::new() }));
                }
                Some(view) => view.row,
            }
        };
        let pin = pins.pin(row, hint).ok_or(StoreError::Overload("read pins"))?;
        let snapshot = index.read()?;
        let Some(view) = snapshot.object(bucket, key)? else {
            return Ok(None);
        };
        if view.row != row {
            continue;
        }
        let mut extents = Vec::new();
        if let BodyView::Slices(slices) = &view.body {
            extents.reserve_exact(slices.len());
            for slice in slices.iter() {
                let extent = snapshot.extent(slice.extent)?;
                extents.push(extent.ok_or(IndexError::Inconsistent("an extent has no row"))?);
            }
        }
        return Ok(Some(PinnedObject { pin: Some(pin), record: view.to_record(), extents }));
    }
    Err(StoreError::Overload("attempts to pin an object that is overwritten all the time"))
}
