//! Fills two buckets of a store that nobody serves with many keys, for `tools/bench/listing.py`.
//!
//! ```text
//! fill_index DIR/index PLAIN VERSIONED KEYS BELOW
//! ```
//! `PLAIN` gets so many keys, `BELOW` of them below each prefix; `VERSIONED` becomes versioned and gets
//! half as many, as many below each prefix, with two versions each, every tenth of which has a delete
//! marker besides. Both buckets must be there. Rows come in no order, as they do from many clients, so that pages are as full as theirs.
//! Contents are of one byte, which stands in the row.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;
use datapath::index::{
    ApplyError, Body, Content, Index, IndexOptions, IndexWriter, Mutation, WriteTransaction,
};
use datapath::{BucketId, Condition, Delete, Lock, NewObject, Versioning, crc64};

/// Changes in one transaction.
const BATCH: u64 = 10_000;
/// Address space, not memory.
const MAP_BYTES: u64 = 16 << 30;
/// Steps through the keys, in no order but all of them: a prime that no round count is a multiple of.
const STRIDE: u64 = 1_000_003;

/// The key of this number; keys sort as numbers do.
fn key(number: u64, below: u64) -> Bytes {
    Bytes::from(format!("prefix-{:06}/key-{:08}", number / below, number))
}

fn put(txn: &mut WriteTransaction<'_>, bucket: BucketId, key: Bytes) -> Result<(), ApplyError> {
    let data = Bytes::from_static(b"x");
    let body = Body::Inline { crc64: crc64(&data), data };
    let object = NewObject {
        bucket,
        key,
        entity_tag: "9dd4e461268c8034f5c8564e155c67a6".into(),
        attributes: Bytes::new(),
        condition: Condition::None,
        tags: Bytes::new(),
        acl: Bytes::new(),
        lock: Lock::default(),
        encryption: Bytes::new(),
    };
    let content = Content { size: 1, crc64: None, body, extents: Vec::new() };
    txn.apply(&Mutation::Put { object, content }).map(drop)
}

/// Calls `change` for each of `count` numbers, in transactions of [`BATCH`].
fn each(
    writer: &mut IndexWriter,
    count: u64,
    mut change: impl FnMut(&mut WriteTransaction<'_>, u64) -> Result<(), ApplyError>,
) -> Result<(), Box<dyn Error>> {
    let now_ms = 1_700_000_000_000;
    let mut step = 0;
    while step < count {
        let mut txn = writer.begin(now_ms + step)?;
        let end = count.min(step + BATCH);
        while step < end {
            change(&mut txn, step * STRIDE % count)?;
            step += 1;
        }
        txn.commit()?;
    }
    Ok(())
}

fn fill(
    path: PathBuf,
    [plain, versioned]: [&str; 2],
    keys: u64,
    below: u64,
) -> Result<(), Box<dyn Error>> {
    let index = Index::open(&IndexOptions { path, map_bytes: MAP_BYTES })?;
    let bucket = |name: &str| -> Result<BucketId, Box<dyn Error>> {
        Ok(index.read()?.bucket(name)?.ok_or_else(|| format!("there is no bucket {name}"))?.id)
    };
    let (plain, versioned) = (bucket(plain)?, bucket(versioned)?);
    let mut writer = IndexWriter::new(&index);
    each(&mut writer, keys, |txn, number| put(txn, plain, key(number, below)))?;
    let mut txn = writer.begin(0)?;
    let versioning = Versioning::Enabled;
    txn.apply(&Mutation::SetVersioning { bucket: versioned, versioning })?;
    txn.commit()?;
    let half = keys / 2;
    for _ in 0..2 {
        each(&mut writer, half, |txn, number| put(txn, versioned, key(number, below)))?;
    }
    each(&mut writer, half, |txn, number| {
        if number % 10 != 0 {
            return Ok(());
        }
        let delete = Delete::object(key(number, below));
        txn.apply(&Mutation::Delete { bucket: versioned, delete }).map(drop)
    })
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, plain, versioned, keys, below] = &arguments[..] else {
        eprintln!("usage: fill_index DIR/index PLAIN VERSIONED KEYS BELOW");
        return ExitCode::from(2);
    };
    let (Ok(keys @ 1..), Ok(below @ 1..)) = (keys.parse(), below.parse()) else {
        eprintln!("{keys} or {below} is not a number of keys");
        return ExitCode::from(2);
    };
    match fill(path.into(), [plain, versioned], keys, below) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}
