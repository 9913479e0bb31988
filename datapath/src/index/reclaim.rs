//! Freeing what is too big for one transaction, or what readers may still look up.
//!
//! Owns: the table `reclaim` and its steps.
//! Limits: the caller's budget (`RECLAIM_ROWS_PER_TRANSACTION`).
//! Not here: who holds what (`commit::holds`), when steps run (`commit`).
//!
//! A row of `reclaim` is written by the change that makes something unreferenced, and worked off in
//! later transactions, also after a restart. Work whose object is held by a reader is passed over.

use heed::RoTxn;

use super::codec::{Decoder, Encoder};
use super::directory;
use super::keys;
use super::record::PartView;
use super::tables::{IndexError, Tables, between, in_table};
use super::writer::WriteTransaction;
use crate::id::{ExtentId, ManifestId, PartNumber};

/// What readers hold at present.
pub trait Held {
    /// Whether a reader may still look up this manifest and its parts.
    fn manifest(&self, manifest: ManifestId) -> bool;
    /// Whether a reader may still look up this extent's checksums.
    fn extent(&self, extent: ExtentId) -> bool;
}

/// What a step of reclaiming did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reclaimed {
    /// Rows visited, at most the budget.
    pub rows: usize,
    /// Whether work is left that nobody holds.
    pub more: bool,
}

/// One row of `reclaim`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// All parts of an aborted upload, or of a manifest that no object refers to.
    Parts(ManifestId),
    /// The parts that a completed upload was not completed with.
    Unlisted(ManifestId),
    /// An extent with checksum rows that no slice refers to.
    Extent(ExtentId),
}

const PARTS: u8 = 1;
const UNLISTED: u8 = 2;
const EXTENT: u8 = 3;
const VERSION: u8 = 1;

impl Work {
    fn key(self) -> [u8; 9] {
        match self {
            Work::Parts(id) => keys::reclaim(PARTS, id.0),
            Work::Unlisted(id) => keys::reclaim(UNLISTED, id.0),
            Work::Extent(id) => keys::reclaim(EXTENT, id.0),
        }
    }

    pub(super) fn from_key(key: &[u8]) -> Result<Work, IndexError> {
        match keys::split_reclaim(key).map_err(in_table("reclaim"))? {
            (PARTS, id) => Ok(Work::Parts(ManifestId(id))),
            (UNLISTED, id) => Ok(Work::Unlisted(ManifestId(id))),
            (EXTENT, id) => Ok(Work::Extent(ExtentId(id))),
            _ => Err(IndexError::Inconsistent("reclaim: a row of unknown kind")),
        }
    }

    fn held(self, held: &dyn Held) -> bool {
        match self {
            Work::Parts(id) => held.manifest(id),
            // Unlisted parts belong to no object, so nobody reads them.
            Work::Unlisted(_) => false,
            Work::Extent(id) => held.extent(id),
        }
    }

    /// Whether the row is there: the work is still to be done.
    pub(super) fn waits(self, tables: &Tables, txn: &RoTxn<'_>) -> Result<bool, IndexError> {
        Ok(tables.reclaim.get(txn, &self.key())?.is_some())
    }
}

impl WriteTransaction<'_> {
    /// Works off what waits and nobody holds, at most `budget` rows of it. Call it before applying
    /// mutations, so that it meets only work of transactions whose pins were looked at.
    ///
    /// # Errors
    /// LMDB's fault, or a damaged row; the transaction must be dropped then.
    pub fn reclaim(&mut self, held: &dyn Held, budget: usize) -> Result<Reclaimed, IndexError> {
        let mut left = budget;
        for work in self.unheld(held, budget)? {
            if left == 0 {
                break;
            }
            left -= match work {
                Work::Parts(manifest) => self.reclaim_parts(manifest, left)?,
                Work::Unlisted(manifest) => self.reclaim_unlisted(manifest, left)?,
                Work::Extent(extent) => self.reclaim_extent(extent, left)?,
            };
        }
        let more = !self.unheld(held, 1)?.is_empty();
        Ok(Reclaimed { rows: budget - left, more })
    }

    /// Queues work for later transactions.
    pub(super) fn put_off(&mut self, work: Work) -> Result<(), IndexError> {
        self.set_cursor(work, 0)
    }

    /// The first rows of the table that nobody holds. Passes over at most as many held ones as
    /// there are pins.
    fn unheld(&self, held: &dyn Held, limit: usize) -> Result<Vec<Work>, IndexError> {
        let mut found = Vec::new();
        for row in self.tables.reclaim.iter(&self.txn)? {
            let work = Work::from_key(row?.0)?;
            if !work.held(held) {
                found.push(work);
                if found.len() == limit {
                    break;
                }
            }
        }
        Ok(found)
    }

    fn reclaim_parts(&mut self, manifest: ManifestId, budget: usize) -> Result<usize, IndexError> {
        let numbers = self.part_numbers(manifest, PartNumber(0), budget)?;
        for number in &numbers {
            self.free_part(manifest, *number)?;
        }
        if numbers.len() < budget {
            let first = keys::part_offsets(manifest, 0);
            let last = keys::part_offsets(manifest, u16::MAX);
            self.tables.part_offsets.delete_range(&mut self.txn, &between(&first, &last))?;
            self.tables.manifests.delete(&mut self.txn, &keys::number(manifest.0))?;
            self.done(Work::Parts(manifest))?;
        }
        // A row at least, so that work without parts uses up the budget too.
        Ok(numbers.len().max(1))
    }

    fn reclaim_unlisted(
        &mut self,
        manifest: ManifestId,
        budget: usize,
    ) -> Result<usize, IndexError> {
        let work = Work::Unlisted(manifest);
        let cursor = self.cursor(work)?;
        let numbers = self.part_numbers(manifest, cursor, budget)?;
        for number in &numbers {
            let listed = directory::find_number(&self.tables, &self.txn, manifest, *number)?;
            if listed.is_none() {
                self.free_part(manifest, *number)?;
            }
        }
        match numbers.last() {
            Some(last) if numbers.len() == budget => self.set_cursor(work, last.0)?,
            _ => self.done(work)?,
        }
        Ok(numbers.len().max(1))
    }

    fn reclaim_extent(&mut self, extent: ExtentId, budget: usize) -> Result<usize, IndexError> {
        let first = keys::checksums(extent, 0);
        let last = keys::checksums(extent, u32::MAX);
        let mut found = Vec::new();
        let range = &between(&first, &last);
        for row in self.tables.block_checksums.range(&self.txn, range)?.take(budget) {
            found.push(row?.0.to_vec());
        }
        for key in &found {
            self.tables.block_checksums.delete(&mut self.txn, key)?;
        }
        if found.len() < budget {
            let record = self.extent_there(extent)?;
            self.remove_extent(extent, &record)?;
            self.done(Work::Extent(extent))?;
        }
        Ok(found.len().max(1))
    }

    fn free_part(&mut self, manifest: ManifestId, number: PartNumber) -> Result<(), IndexError> {
        let part = self.tables.part(&self.txn, manifest, number)?.map(|part| part.body.to_body());
        self.tables.parts.delete(&mut self.txn, &keys::part(manifest, number))?;
        part.map_or(Ok(()), |body| self.unlink_slices(body.slices()))
    }

    /// Numbers of the first parts after `after`.
    fn part_numbers(
        &self,
        manifest: ManifestId,
        after: PartNumber,
        limit: usize,
    ) -> Result<Vec<PartNumber>, IndexError> {
        let first = keys::part(manifest, PartNumber(after.0.saturating_add(1)));
        let last = keys::part(manifest, PartNumber(u16::MAX));
        let mut numbers = Vec::new();
        let range = &between(&first, &last);
        for row in self.tables.parts.range(&self.txn, range)?.take(limit) {
            let (key, bytes) = row?;
            PartView::decode(bytes).map_err(in_table("parts"))?;
            numbers.push(keys::split_part(key).map_err(in_table("parts"))?.1);
        }
        Ok(numbers)
    }

    fn cursor(&self, work: Work) -> Result<PartNumber, IndexError> {
        let Some(bytes) = self.tables.reclaim.get(&self.txn, &work.key())? else {
            return Ok(PartNumber(0));
        };
        let decode = || {
            let mut decoder = Decoder::record(bytes, VERSION)?;
            let cursor = decoder.narrow("cursor")?;
            decoder.finish()?;
            Ok(PartNumber(cursor))
        };
        decode().map_err(in_table("reclaim"))
    }

    fn set_cursor(&mut self, work: Work, cursor: u16) -> Result<(), IndexError> {
        let mut encoder = Encoder::record(VERSION, 4);
        encoder.number(u64::from(cursor));
        Ok(self.tables.reclaim.put(&mut self.txn, &work.key(), &encoder.finish())?)
    }

    fn done(&mut self, work: Work) -> Result<(), IndexError> {
        self.tables.reclaim.delete(&mut self.txn, &work.key())?;
        Ok(())
    }
}
