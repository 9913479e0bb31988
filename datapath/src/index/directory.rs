//! From a byte of a multipart object to its part, without reading every part's row.
//!
//! Owns: the rows of `part_offsets` and [`PartEntry`].
//! Limits: `PART_OFFSETS_ROW_BYTES_MAX`: 407 parts a row.
//! Not here: the parts' own rows (`record::upload`).
//!
//! Rows 1, 2, … hold one entry a part: its number and the object's offset after it. Row 0 holds the
//! last entry of each of them. A search reads row 0 and one other, whatever the number of parts:
//! 10,000 parts have 25 rows.

use heed::{RoTxn, RwTxn};

use super::codec::DecodeError;
use super::keys;
use super::tables::{IndexError, Tables, in_table};
use crate::id::{ManifestId, PartNumber};
use crate::limits::{PART_NUMBER_MAX, PART_OFFSETS_ROW_BYTES_MAX};

/// Where a part lies in its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartEntry {
    /// Its number as it was uploaded.
    pub number: PartNumber,
    /// First byte of it in the object.
    pub start: u64,
    /// The byte after its last.
    pub end: u64,
}

const VERSION: u8 = 1;
const ENTRY_BYTES: usize = 10;
const ENTRIES_PER_ROW: usize = (PART_OFFSETS_ROW_BYTES_MAX - 1) / ENTRY_BYTES;

const _: () = assert!(ENTRIES_PER_ROW * ENTRIES_PER_ROW >= PART_NUMBER_MAX as usize);

/// Writes the directory of a manifest. `entries`: number and end of each part, ascending.
pub(crate) fn write(
    tables: &Tables,
    txn: &mut RwTxn<'_>,
    manifest: ManifestId,
    entries: &[(PartNumber, u64)],
) -> Result<(), IndexError> {
    let mut fences = Vec::new();
    for (row, entries) in (1..).zip(entries.chunks(ENTRIES_PER_ROW)) {
        let key = keys::part_offsets(manifest, row);
        tables.part_offsets.put(txn, &key, &encode(entries))?;
        fences.extend(entries.last());
    }
    let key = keys::part_offsets(manifest, 0);
    Ok(tables.part_offsets.put(txn, &key, &encode(&fences))?)
}

/// The part that holds this byte; none past the end.
pub(crate) fn find_offset(
    tables: &Tables,
    txn: &RoTxn<'_>,
    manifest: ManifestId,
    offset: u64,
) -> Result<Option<PartEntry>, IndexError> {
    find(tables, txn, manifest, |(_, end)| end <= offset)
}

/// The part of this number; none when the object has no such part.
pub(crate) fn find_number(
    tables: &Tables,
    txn: &RoTxn<'_>,
    manifest: ManifestId,
    number: PartNumber,
) -> Result<Option<PartEntry>, IndexError> {
    let found = find(tables, txn, manifest, |(candidate, _)| candidate < number)?;
    Ok(found.filter(|entry| entry.number == number))
}

/// Every entry in order: number and end.
pub(crate) fn read_all(
    tables: &Tables,
    txn: &RoTxn<'_>,
    manifest: ManifestId,
) -> Result<Vec<(PartNumber, u64)>, IndexError> {
    let mut entries = Vec::new();
    for row in 1..=row(tables, txn, manifest, 0)?.map_or(0, |fences| fences.len()) {
        let row = row_there(tables, txn, manifest, row)?;
        entries.extend((0..row.len()).map(|index| row.entry(index)));
    }
    Ok(entries)
}

/// The first part for which `before` no longer holds.
fn find(
    tables: &Tables,
    txn: &RoTxn<'_>,
    manifest: ManifestId,
    before: impl Fn((PartNumber, u64)) -> bool,
) -> Result<Option<PartEntry>, IndexError> {
    let Some(fences) = row(tables, txn, manifest, 0)? else {
        return Ok(None);
    };
    let at = fences.partition_point(&before);
    if at == fences.len() {
        return Ok(None);
    }
    let entries = row_there(tables, txn, manifest, at + 1)?;
    let index = entries.partition_point(&before);
    if index == entries.len() {
        return Err(IndexError::Inconsistent("part_offsets: row 0 promises a part that is absent"));
    }
    let start = match (index, at) {
        (0, 0) => 0,
        (0, _) => fences.entry(at - 1).1,
        _ => entries.entry(index - 1).1,
    };
    let (number, end) = entries.entry(index);
    Ok(Some(PartEntry { number, start, end }))
}

/// A row's entries, borrowed.
#[derive(Clone, Copy)]
struct Row<'t>(&'t [[u8; ENTRY_BYTES]]);

impl Row<'_> {
    fn len(self) -> usize {
        self.0.len()
    }

    fn entry(self, index: usize) -> (PartNumber, u64) {
        let [high, low, end @ ..] = self.0[index];
        (PartNumber(u16::from_be_bytes([high, low])), u64::from_le_bytes(end))
    }

    fn partition_point(self, before: impl Fn((PartNumber, u64)) -> bool) -> usize {
        let mut range = 0..self.len();
        while !range.is_empty() {
            let middle = range.start + range.len() / 2;
            match before(self.entry(middle)) {
                true => range.start = middle + 1,
                false => range.end = middle,
            }
        }
        range.start
    }
}

fn row<'t>(
    tables: &Tables,
    txn: &'t RoTxn<'_>,
    manifest: ManifestId,
    row: usize,
) -> Result<Option<Row<'t>>, IndexError> {
    let Ok(row) = u16::try_from(row) else {
        return Ok(None);
    };
    let bytes = tables.part_offsets.get(txn, &keys::part_offsets(manifest, row))?;
    bytes.map(decode).transpose().map_err(in_table("part_offsets"))
}

fn row_there<'t>(
    tables: &Tables,
    txn: &'t RoTxn<'_>,
    manifest: ManifestId,
    number: usize,
) -> Result<Row<'t>, IndexError> {
    row(tables, txn, manifest, number)?
        .ok_or(IndexError::Inconsistent("part_offsets: a row of a manifest is absent"))
}

fn encode(entries: &[(PartNumber, u64)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + entries.len() * ENTRY_BYTES);
    bytes.push(VERSION);
    for (number, end) in entries {
        bytes.extend_from_slice(&number.0.to_be_bytes());
        bytes.extend_from_slice(&end.to_le_bytes());
    }
    bytes
}

fn decode(bytes: &[u8]) -> Result<Row<'_>, DecodeError> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => match rest.as_chunks::<ENTRY_BYTES>() {
            (entries, []) => Ok(Row(entries)),
            (_, left) => Err(DecodeError::Trailing(left.len())),
        },
        Some((&version, _)) => Err(DecodeError::Version(version)),
        None => Err(DecodeError::Truncated("version")),
    }
}
