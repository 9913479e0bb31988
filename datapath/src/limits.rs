//! Every bound of the crate, with the reason for its value.

use std::time::Duration;

// Extents

/// Unit of space on a device: the page size and the largest logical block that NVMe drives commonly
/// use.
pub const DEVICE_BLOCK_BYTES: u64 = 4096;

/// Unit of checking, of caching and of device reads. Smaller reads would waste the drive's IOPS on
/// large objects; larger ones would make a random read of a few KiB pay for more than it needs.
pub const CHECKSUM_BLOCK_BYTES: u64 = 64 << 10;

// Index

/// Longest object key in bytes (S3's limit).
pub const OBJECT_KEY_BYTES_MAX: usize = 1024;
/// Longest bucket name in bytes. S3 allows 63; the store leaves room for other callers.
pub const BUCKET_NAME_BYTES_MAX: usize = 255;
/// Most buckets in a store (S3's default account quota); a listing of them is held in memory.
pub const BUCKETS_MAX: u64 = 10_000;
/// Most unfinished uploads in a store. Each costs two rows, about 2.5 KiB at the longest key.
pub const UPLOADS_MAX: u64 = 1_000_000;
/// Highest part number (S3's limit).
pub const PART_NUMBER_MAX: u16 = 10_000;
/// Most slices in one object or part: what one body may have extents, and what a copied range of
/// many parts may have. At 13 bytes a slice a record stays under 107 KiB.
pub const SLICES_PER_ROW_MAX: usize = 8192;
/// Most bytes that a caller may keep with a bucket, an object, an upload or a part.
pub const ATTRIBUTES_BYTES_MAX: usize = 64 * 1024;
/// Extents of at most this many checksum blocks (1 MiB) carry their checksums in their own row.
pub const CHECKSUMS_INLINE_MAX: usize = 16;
/// Checksums in one row of `block_checksums`: 128 × 8 bytes = 1 KiB, three rows to an index page.
pub const CHECKSUMS_PER_ROW: usize = 128;
/// Largest row of `part_offsets`: one index page less its 16-byte header, so that a row never needs
/// two adjacent free pages.
pub const PART_OFFSETS_ROW_BYTES_MAX: usize = 4080;
/// Identifiers that one write of the settings row covers.
pub const ID_BLOCK: u64 = 65_536;
/// Readers of the index at one time, over all lanes and threads; a slot costs 64 bytes. A lane
/// holds a read transaction only between two awaits, listings run one to a thread.
pub const INDEX_READERS_MAX: u32 = 1024;
/// Share of the index map that only deletes and reclaiming may use: 1/16, because a copy-on-write
/// tree needs free pages even to remove something.
pub const INDEX_RESERVE_DIVISOR: u64 = 16;
/// Least reserve in pages: a delete touches about 6 trees of 4 levels, twice over because pages
/// freed by one transaction are reused by the second after it.
pub const INDEX_RESERVE_PAGES_MIN: u64 = 64;
/// Largest reserve in pages (256 MiB): enough for the largest batch of deletes.
pub const INDEX_RESERVE_PAGES_MAX: u64 = 65_536;
/// Smallest index map.
pub const INDEX_MAP_BYTES_MIN: u64 = 1024 * 1024;
/// Mutations waiting for the commit thread; senders wait beyond that.
pub const COMMIT_QUEUE_MAX: usize = 1024;
/// Mutations in one transaction. A durable commit costs two device flushes (about 0.3 ms here)
/// whatever its size; past 256 the flush is under 2 µs a mutation and only latency grows.
pub const COMMIT_BATCH_MAX: usize = 256;
/// Rows (parts, checksum rows) that reclaiming deletes in one transaction: about 5 ms, what it may
/// add to a batch's latency.
pub const RECLAIM_ROWS_PER_TRANSACTION: usize = 256;
/// How often extents that wait for a reader are looked at while nothing else happens.
pub const PIN_POLL: Duration = Duration::from_millis(20);
/// How long reclaiming waits before it tries again when the index had no free page for it.
pub const RECLAIM_RETRY: Duration = Duration::from_millis(200);
/// The same after a damaged row, which only people can mend: rarely, so that the log stays readable.
pub const RECLAIM_RETRY_DAMAGED: Duration = Duration::from_secs(60);
/// Times that a lookup tries again because the object was overwritten between its two looks. Each
/// miss means a commit in between, thousands of times slower than the look.
pub const PIN_ATTEMPTS_MAX: usize = 64;
/// Findings that a consistency walk keeps in full; more are counted.
pub const WALK_FINDINGS_MAX: usize = 1000;
/// Rows between two progress reports of a consistency walk.
pub const WALK_PROGRESS_ROWS: u64 = 10_000;

const _: () = assert!(COMMIT_BATCH_MAX <= COMMIT_QUEUE_MAX);
const _: () = assert!(CHECKSUMS_INLINE_MAX < CHECKSUMS_PER_ROW);
