//! One write transaction of the index.
//!
//! Owns: [`IndexWriter`] (there is one), [`WriteTransaction`], and [`Effects`], what a committed
//! transaction means for space and readers.
//! Limits: `INDEX_RESERVE_*`, `ID_BLOCK`.
//! Not here: the changes themselves (`apply`, `reclaim`), when to commit (`commit`).

use heed::RwTxn;

use super::growth::Growth;
use super::tables::{IndexError, Tables};
use super::{Index, SETTING_NEXT_ID};
use crate::error::StoreError;
use crate::id::{ExtentId, ManifestId, RowId};
use crate::index::record::ExtentLocation;
use crate::index::sequence::IdSequence;
use crate::limits::{INDEX_RESERVE_DIVISOR, INDEX_RESERVE_PAGES_MAX, INDEX_RESERVE_PAGES_MIN};

/// Begins write transactions. LMDB allows one at a time; make one writer and keep it on one thread.
#[derive(Debug)]
pub struct IndexWriter {
    index: Index,
    /// The stored identifier mark; 0 until a transaction of this writer has stored one.
    mark: u64,
    pages_max: u64,
    reserve: u64,
    growth: Option<Growth>,
}

/// Changes that become visible and durable together, or not at all when it is dropped.
pub struct WriteTransaction<'w> {
    pub(super) txn: RwTxn<'w>,
    pub(super) tables: Tables,
    pub(super) ids: &'w IdSequence,
    pub(super) now_ms: u64,
    pub(super) effects: Effects,
    mark: &'w mut u64,
    space: Space,
    broken: bool,
}

/// What a committed transaction means for space and readers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Effects {
    /// Objects that lost their record, with what they referred to.
    pub released: Vec<Released>,
    /// Extents that have no row any more: their space is free once no reader holds them.
    pub freed: Vec<(ExtentId, ExtentLocation)>,
}

/// An object that was overwritten or deleted. While readers pin its row, what it referred to must
/// stay, also what other objects refer to at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// What readers pin.
    pub row: RowId,
    /// The extents of its slices.
    pub extents: Vec<ExtentId>,
    /// Its manifest.
    pub manifest: Option<ManifestId>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The change may not be made; nothing was changed, and the transaction goes on.
    #[error(transparent)]
    Refused(#[from] StoreError),
    /// The transaction may hold part of the change: drop it.
    #[error(transparent)]
    Broken(#[from] IndexError),
}

impl From<heed::Error> for ApplyError {
    fn from(error: heed::Error) -> ApplyError {
        ApplyError::Broken(error.into())
    }
}

/// How much of the map is left, as far as it must be looked at.
#[derive(Debug, Clone, Copy)]
struct Space {
    /// The map was never filled this far: no change needs to look.
    ample: bool,
    /// Pages that growing changes may fill.
    pages: u64,
}

impl IndexWriter {
    /// The writer of an open index.
    pub fn new(index: &Index) -> IndexWriter {
        let page_size = u64::from(index.env.stat().page_size);
        let pages_max = index.env.info().map_size as u64 / page_size;
        let reserve = (pages_max / INDEX_RESERVE_DIVISOR)
            .clamp(INDEX_RESERVE_PAGES_MIN, INDEX_RESERVE_PAGES_MAX);
        // No mark is stored yet by this process: the first commit stores one.
        let growth = Growth::of(index.env.path(), page_size, pages_max);
        let growth = growth.inspect_err(|error| {
            tracing::warn!(%error, "the index can't be allocated ahead of its growth");
        });
        IndexWriter { index: index.clone(), mark: 0, pages_max, reserve, growth: growth.ok() }
    }

    /// Begins a transaction whose changes happen at `now_ms` (milliseconds since 1970).
    ///
    /// # Errors
    /// LMDB's fault, for one that it stopped after.
    pub fn begin(&mut self, now_ms: u64) -> Result<WriteTransaction<'_>, IndexError> {
        let last_page = self.index.env.info().last_page_number as u64;
        let on_disk = self.growth.as_mut().map_or(u64::MAX, |growth| growth.ahead_of(last_page));
        let space = Space {
            ample: last_page + 4 * self.reserve < self.pages_max && last_page <= on_disk,
            pages: self.pages_max.saturating_sub(self.reserve).min(on_disk),
        };
        Ok(WriteTransaction {
            txn: self.index.env.write_txn()?,
            tables: self.index.tables,
            ids: &self.index.ids,
            now_ms,
            effects: Effects::default(),
            mark: &mut self.mark,
            space,
            broken: false,
        })
    }
}

impl WriteTransaction<'_> {
    /// Makes all changes visible and durable.
    ///
    /// # Errors
    /// When the index is full ([`IndexError`] says so; nothing was changed), or LMDB or the system
    /// failed: then the changes may or may not survive a restart.
    pub fn commit(mut self) -> Result<Effects, IndexError> {
        if self.broken {
            return Err(IndexError::Inconsistent("a transaction with half a change was dropped"));
        }
        let mark = self.ids.mark_after(*self.mark);
        if let Some(mark) = mark {
            self.tables.settings.put(&mut self.txn, SETTING_NEXT_ID, &mark.to_le_bytes())?;
        }
        self.txn.commit()?;
        if let Some(mark) = mark {
            *self.mark = mark;
        }
        Ok(self.effects)
    }

    /// How much waits to be reclaimed: rows, each standing for a manifest's parts or an extent's
    /// checksums. Applying mutations only adds to it.
    ///
    /// # Errors
    /// LMDB's fault.
    pub fn reclaim_waiting(&self) -> Result<u64, IndexError> {
        Ok(self.tables.reclaim.len(&self.txn)?)
    }

    /// Notes that a change failed half-way, so that the transaction cannot be committed.
    pub(super) fn note_broken(&mut self) {
        self.broken = true;
    }

    /// Refuses a change that grows the index once only the reserve for deletes is left.
    pub(super) fn room_to_grow(&self) -> Result<(), ApplyError> {
        if self.space.ample || self.tables.pages(&self.txn)? < self.space.pages {
            return Ok(());
        }
        Err(StoreError::IndexFull.into())
    }
}

impl std::fmt::Debug for WriteTransaction<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("WriteTransaction")
            .field("effects", &self.effects)
            .finish_non_exhaustive()
    }
}
