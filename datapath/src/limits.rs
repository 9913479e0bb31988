//! Every bound of the crate, with the reason for its value.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

// Arena

/// Smallest frame and the unit of the buddy allocator: one page, and the strictest alignment that
/// O_DIRECT asks of a buffer or an offset on the devices in use (512 or 4,096 bytes).
pub const FRAME_BYTES_MIN: usize = 4 * KIB;
/// Largest frame. One device operation moves at most this much.
pub const FRAME_BYTES_MAX: usize = MIB;
/// Largest frame that a reservation always gets, and the least that a frame is charged. See
/// `arena::budget` for the argument.
pub const FRAME_BYTES_GUARANTEED: usize = 64 * KIB;
/// Largest region: the kernel registers at most 1 GiB as one fixed buffer (`io_sqe_buffer_register`).
pub const REGION_BYTES_MAX: usize = 1024 * MIB;
/// The arena is a multiple of this: the huge page of x86-64 and of aarch64 with 4 KiB pages.
pub const ARENA_GRANULE_BYTES: usize = 2 * MIB;
/// Smallest arena: 64 streams of one guaranteed frame in the smallest share (20 % of it).
pub const ARENA_BYTES_MIN: usize = 20 * MIB;
/// Most regions: 1 TiB of arena; io_uring takes 16,384 buffers a ring.
pub const REGIONS_MAX: usize = 1024;
/// Requests that may wait for room in one share; each costs about 64 bytes. One more is refused.
pub const RESERVATION_WAITERS_MAX: usize = 4096;
/// Rounds of eviction that one allocation makes: the frames of the largest arena (1 TiB of 4 KiB),
/// each evicted alone, before the last block comes together.
pub const RECLAIM_ROUNDS_MAX: usize = 1 << 28;
/// The same for a frame above the guaranteed size, which has a smaller one to fall back to.
pub const RECLAIM_ROUNDS_LARGE: usize = 4;

/// What the process takes whatever it is asked: allocator, logging, admin thread, metrics.
pub const BASE_BYTES: usize = 32 * MIB;
/// Per lane: thread stack touched (256 KiB), ring, tokio's queues, allocator heap of the thread.
pub const LANE_BYTES: usize = 4 * MIB;
/// Mutations that the commit thread has not answered yet: keys, attributes, checksums, part lists.
/// Submitters wait beyond that. The largest change, a part of 5 GiB in scattered extents, takes
/// 1.5 MiB.
pub const COMMIT_QUEUE_BYTES: usize = 8 * MIB;
/// Dirty pages of one index transaction, which LMDB keeps in anonymous memory until it commits. A
/// batch is cut where the estimate passes this; one change larger than it goes alone.
pub const INDEX_TRANSACTION_BYTES: usize = 16 * MIB;
/// Dirty pages for each place in a table that a change touches: the leaf of 4 KiB, and as much
/// again for the branches above it, which the changes of a batch share.
pub const DIRTY_BYTES_PER_ROW: usize = 8 * KIB;
/// Checksums of content that is being written or waits to be recorded: 8 bytes for each 64 KiB
/// announced, so 64 GiB on their way at a time, twelve writers of 5 GiB or 8,192 of 8 MiB. One more
/// waits for [`RESERVE_WAIT`], then is refused.
pub const WRITER_CHECKSUM_BYTES: usize = 8 * MIB;
/// The buddy allocator's map of one 4 KiB page: state and two links.
pub const ARENA_MAP_BYTES_PER_PAGE: usize = 9;
/// Part of the arena that streams being read may reserve, at least and at most; between the two it
/// is one guaranteed frame for every connection.
pub const SHARE_READS_PERCENT: (usize, usize) = (40, 60);
/// Part of the arena that uploads may reserve.
pub const SHARE_WRITES_PERCENT: usize = 20;

const _: () = assert!(FRAME_BYTES_MIN.is_power_of_two() && FRAME_BYTES_MAX.is_power_of_two());
const _: () = assert!(FRAME_BYTES_GUARANTEED.is_power_of_two());
const _: () = assert!(FRAME_BYTES_MIN <= FRAME_BYTES_GUARANTEED);
const _: () = assert!(FRAME_BYTES_GUARANTEED <= FRAME_BYTES_MAX);
const _: () = assert!(ARENA_GRANULE_BYTES.is_multiple_of(FRAME_BYTES_MAX));
const _: () = assert!(REGION_BYTES_MAX.is_multiple_of(ARENA_GRANULE_BYTES));
const _: () = assert!(ARENA_BYTES_MIN.is_multiple_of(ARENA_GRANULE_BYTES));
const _: () = assert!(RECLAIM_ROUNDS_MAX >= REGIONS_MAX * (REGION_BYTES_MAX / FRAME_BYTES_MIN));
const _: () = assert!(SHARE_READS_PERCENT.0 <= SHARE_READS_PERCENT.1);
const _: () = assert!(SHARE_READS_PERCENT.1 + SHARE_WRITES_PERCENT <= 100);

// Device

/// Unit of every offset and length given to a device.
pub const DEVICE_BLOCK_BYTES: usize = 4 * KIB;
/// How long opening waits for another process to let go of a device, and how often it looks.
pub const DEVICE_LOCK_WAIT: Duration = Duration::from_secs(5);
/// See [`DEVICE_LOCK_WAIT`].
pub const DEVICE_LOCK_RETRY: Duration = Duration::from_millis(20);
/// Where the data area begins; superblocks and room for later formats lie before it.
pub const DEVICE_DATA_START: u64 = MIB as u64;
/// Smallest device that can be formatted.
pub const DEVICE_BYTES_MIN: u64 = 16 * MIB as u64;
/// Most devices in one store.
pub const DEVICES_MAX: usize = 256;
/// Operations that one lane has in flight at one device; more wait in order of arrival. 64 reads
/// of 64 KiB hide 100 µs at 40 GB/s; the kernel's queues of one NVMe device hold 1,023.
pub const DEVICE_QUEUE_DEPTH: usize = 64;
/// Submissions that one operation may take: each block alone, and some that move nothing.
pub const TRANSFER_STEPS_MAX: usize = FRAME_BYTES_MAX / DEVICE_BLOCK_BYTES + TRANSFER_STALLS_MAX;
/// Submissions of one operation that may move nothing (interrupted, or less than one block).
pub const TRANSFER_STALLS_MAX: usize = 8;
/// Threads of the blocking engine, shared by all lanes.
pub const BLOCKING_THREADS: usize = 16;
/// Operations queued before the blocking engine's threads; more wait in order of arrival.
pub const BLOCKING_QUEUE_MAX: usize = 1024;
/// Bytes at each end of a device that formatting looks through and wipes.
pub const FORMAT_INSPECT_BYTES: usize = MIB;

const _: () = assert!(DEVICE_BLOCK_BYTES == FRAME_BYTES_MIN);
const _: () = assert!(DEVICE_DATA_START as usize >= FORMAT_INSPECT_BYTES);
const _: () = assert!(DEVICE_BYTES_MIN > 2 * DEVICE_DATA_START);
const _: () = assert!(DEVICES_MAX <= u16::MAX as usize);

// Judging devices

/// How often each device's counters are looked at: 40 cells for each lane and device, 0.2 ms for 16
/// lanes and 256 devices.
pub const HEALTH_LOOK: Duration = Duration::from_secs(1);
/// Looks whose operations are judged together, at most: as long as an operation of some seconds needs
/// to be seen in [`SLOW_LOOKS`].
pub const HEALTH_RECENT_LOOKS: usize = 10;
/// How long a device stays suspect after the last sign of trouble.
pub const SUSPECT_FOR: Duration = Duration::from_secs(60);
/// Times the usual median from which an operation is slow. The 99th percentile of a drive under load
/// is 3 to 10 times its median.
pub const SLOW_FACTOR: u32 = 20;
/// No operation is slow below this: drives that answer in 50 µs pause for some milliseconds now and
/// then, to erase or to move what is on worn cells.
pub const SLOW_FLOOR: Duration = Duration::from_millis(50);
/// Looks of the recent ones with slow operations that make a device suspect: one pause of a drive's
/// firmware, or of the whole machine, is in one or two.
pub const SLOW_LOOKS: usize = 3;
/// Operations before something is known of what is usual.
pub const USUAL_LEAST: u64 = 100;
/// Looks (10 minutes) after which what is known counts half.
pub const USUAL_LOOKS: u32 = 600;
/// Looks in a row at which operations are in flight and none has come back.
pub const STALLED_LOOKS: u32 = 5;

const _: () = assert!(0 < SLOW_LOOKS && SLOW_LOOKS <= HEALTH_RECENT_LOOKS);

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
/// Most bytes that a caller may keep with a bucket, an object, an upload or a part; an object's tags,
/// its access list and what is kept of its encryption have as many each.
pub const ATTRIBUTES_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of one setting of a bucket: S3's longest, a lifecycle configuration of 1,000 rules with
/// filters of some 400 bytes. It lies in adjacent pages of the index, 128 of them.
pub const BUCKET_SETTING_BYTES_MAX: usize = 512 * 1024;
/// Bytes of the attributes of an object or an upload that listings have, and of an object's access list
/// and encryption: a page of 1,000 would otherwise hold up to 64 MiB of each, which few of its
/// readers look at.
pub const LISTED_ATTRIBUTES_BYTES_MAX: usize = 256;
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
/// Pages on the disk that only deletes may use, 16 MiB: a batch of deletes copies some 6 trees of 4
/// levels for each, and frees pages for the transaction after the next.
pub const INDEX_HEADROOM_PAGES: u64 = 4096;
/// Smallest index map.
pub const INDEX_MAP_BYTES_MIN: u64 = 1024 * 1024;
/// Mutations waiting for the commit thread; senders wait beyond that.
pub const COMMIT_QUEUE_MAX: usize = 1024;
/// Mutations in one transaction. A durable commit costs two device flushes (about 0.3 ms here)
/// whatever its size; past 256 the flush is under 2 µs a mutation and only latency grows.
pub const COMMIT_BATCH_MAX: usize = 256;
/// Deletes in one change; a longer list is several. Each touches some four leaves, so these fit
/// [`INDEX_TRANSACTION_BYTES`].
pub const DELETES_PER_MUTATION: usize = 400;
/// Rows (parts, checksum rows) that reclaiming deletes in one transaction: about 5 ms, what it may
/// add to a batch's latency.
pub const RECLAIM_ROWS_PER_TRANSACTION: usize = 256;
/// How often extents that wait for a reader are looked at while nothing else happens.
pub const PIN_POLL: Duration = Duration::from_millis(20);
/// How often closing asks again for a place in a full queue: about one batch.
pub const CLOSE_RETRY: Duration = Duration::from_millis(1);
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
// Extents

/// Unit of checking, of caching and of device reads. Smaller ones would waste a drive's operations
/// on large objects; larger ones would make a random read of a few KiB pay for more than it needs.
/// The checksums of 8 bytes are 1/8192 of the data.
pub const CHECKSUM_BLOCK_BYTES: u64 = 64 << 10;

/// The longest extent. It bounds the 131,072 bytes of checksums that one extent has.
pub const EXTENT_BYTES_MAX: u64 = 1 << 30;
/// Objects larger than this are spread over all devices in pieces of this size: 8 MiB keeps a drive
/// streaming (2 ms at 4 GB/s) and is the part size of the AWS clients, so that a ranged read of one
/// part comes from one drive.
pub const STRIPE_BYTES: u64 = 8 << 20;
/// Content up to this size stands in the index record: it costs one lookup and no device read.
pub const INLINE_BYTES_MAX: u64 = 1024;

const _: () = assert!(CHECKSUM_BLOCK_BYTES.is_multiple_of(DEVICE_BLOCK_BYTES as u64));
const _: () = assert!(STRIPE_BYTES.is_multiple_of(CHECKSUM_BLOCK_BYTES));
const _: () = assert!(EXTENT_BYTES_MAX.is_multiple_of(CHECKSUM_BLOCK_BYTES));
// 5 GiB, the largest object or part that is written in one piece, in stripes.
const _: () = assert!((5 << 30) / STRIPE_BYTES < SLICES_PER_ROW_MAX as u64);

// Streams

/// Blocks that one reader may hold or be filling: sixteen hide a drive's 100 µs at 10 GB/s.
pub const READ_WINDOW_BLOCKS: usize = 16;
/// A reader that asks for nothing for this long gets no read-ahead until it is back at pace.
pub const SLOW_READER: Duration = Duration::from_secs(1);
/// Size of one device write of a large object.
pub const WRITE_FRAME_BYTES: u64 = 256 << 10;
/// Device writes that one writer keeps in flight.
pub const WRITES_IN_FLIGHT_MAX: usize = 4;
/// Frames of one content that may be out to be filled by others. Four of [`WRITE_FRAME_BYTES`] hold
/// what a 100 Gbit/s link brings in 80 µs, more than a round trip between racks.
pub const FRAMES_AHEAD_MAX: usize = 4;
/// Of them, those that never wait for memory, so that one is on its way while another is taken.
pub const FRAMES_AHEAD_MIN: u64 = 2;
/// Space that a writer takes ahead of its body: a client that announces 5 GiB and sends nothing
/// holds no more than this. Content up to it lies in one piece where there is one.
pub const WRITE_AHEAD_BYTES: u64 = 64 << 20;
/// How long a request waits for memory before it is told to slow down.
pub const RESERVE_WAIT: Duration = Duration::from_secs(5);
/// Objects that a connection may have open, HTTP/2 streams and sources of copies included.
pub const PINS_PER_CONNECTION: usize = 4;

// 5 GiB, as above.
const _: () = assert!((5 << 30) / CHECKSUM_BLOCK_BYTES * 8 <= WRITER_CHECKSUM_BYTES as u64);
const _: () = assert!(CHECKSUM_BLOCK_BYTES == FRAME_BYTES_GUARANTEED as u64);
const _: () = assert!(WRITE_FRAME_BYTES.is_multiple_of(CHECKSUM_BLOCK_BYTES));
const _: () = assert!(WRITE_FRAME_BYTES <= FRAME_BYTES_MAX as u64);
const _: () = assert!(WRITE_AHEAD_BYTES.is_multiple_of(STRIPE_BYTES));
const _: () = assert!(WRITE_AHEAD_BYTES <= EXTENT_BYTES_MAX);
