//! What readers still hold of objects that lost their record.
//!
//! Owns: the commit thread's half of the protocol between readers and deleting (`index::pinned` has
//! the reader's half), and the extents whose space waits for it.
//! Not here: the pins (`pin`), freeing of rows (`index::reclaim`).
//!
//! An object that is pinned when it loses its record puts a hold on everything that it referred to,
//! also on extents that other objects (copies) refer to at that time: those may go later, while the
//! reader still reads. Space is given away when the index has no row for the extent *and* nobody
//! holds it. There are at most as many waiting rows as there are pins.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::FreeSpace;
use crate::id::{ExtentId, ManifestId};
use crate::index::{Effects, ExtentLocation, Held, Released};
use crate::pin::{PinTable, PinnedRows};

pub(super) struct Holds {
    pins: Arc<PinTable>,
    free: Arc<dyn FreeSpace>,
    /// Rows that were pinned when they lost their record, and still are.
    waiting: Vec<Released>,
    /// How many of them refer to each extent and manifest.
    extents: HashMap<ExtentId, u32>,
    manifests: HashMap<ManifestId, u32>,
    /// Extents without a row that are held.
    parked: HashMap<ExtentId, ExtentLocation>,
    /// Scratch for scans.
    pinned: PinnedRows,
}

impl Holds {
    pub(super) fn new(pins: Arc<PinTable>, free: Arc<dyn FreeSpace>) -> Holds {
        Holds {
            pins,
            free,
            waiting: Vec::new(),
            extents: HashMap::new(),
            manifests: HashMap::new(),
            parked: HashMap::new(),
            pinned: PinnedRows::default(),
        }
    }

    /// Takes over what a transaction released and freed. Call it after the commit returned and
    /// before the next transaction.
    pub(super) fn after_commit(&mut self, effects: Effects) {
        if !effects.released.is_empty() {
            // The scan begins with the fence that the protocol demands between commit and look.
            self.pins.scan(&mut self.pinned);
            for released in effects.released {
                if self.pinned.contains(released.row) {
                    self.hold(released);
                }
            }
        }
        for (extent, location) in effects.freed {
            match self.extents.contains_key(&extent) {
                true => drop(self.parked.insert(extent, location)),
                false => self.free.release(location),
            }
        }
    }

    /// Gives away what nobody holds any more. Answers whether a hold ended.
    pub(super) fn look_again(&mut self) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        self.pins.scan(&mut self.pinned);
        let pinned = &self.pinned;
        let over: Vec<Released> =
            self.waiting.extract_if(.., |released| !pinned.contains(released.row)).collect();
        for released in &over {
            self.let_go(released);
        }
        !over.is_empty()
    }

    /// Rows that wait for a reader, and extents whose space waits.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.waiting.len(), self.parked.len())
    }

    fn hold(&mut self, released: Released) {
        for extent in &released.extents {
            *self.extents.entry(*extent).or_default() += 1;
        }
        if let Some(manifest) = released.manifest {
            *self.manifests.entry(manifest).or_default() += 1;
        }
        self.waiting.push(released);
    }

    fn let_go(&mut self, released: &Released) {
        for extent in &released.extents {
            if lower(self.extents.entry(*extent))
                && let Some(location) = self.parked.remove(extent)
            {
                self.free.release(location);
            }
        }
        if let Some(manifest) = released.manifest {
            lower(self.manifests.entry(manifest));
        }
    }
}

impl Held for Holds {
    fn manifest(&self, manifest: ManifestId) -> bool {
        self.manifests.contains_key(&manifest)
    }

    fn extent(&self, extent: ExtentId) -> bool {
        self.extents.contains_key(&extent)
    }
}

/// Takes one from a count and removes it at 0. Answers whether it did.
fn lower<K>(entry: Entry<'_, K, u32>) -> bool {
    let Entry::Occupied(mut entry) = entry else {
        return false;
    };
    *entry.get_mut() -= 1;
    let last = *entry.get() == 0;
    if last {
        entry.remove();
    }
    last
}
