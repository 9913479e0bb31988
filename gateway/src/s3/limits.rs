//! Every bound of the S3 operations. Amazon S3's own numbers come from the user guide, "Amazon S3 multipart upload
//! limits", "Working with object metadata" and the API reference of the operation.
//!
//! Not here: header, connection and time bounds (the door), the store's own bounds (`datapath::limits`).

use std::time::Duration;

/// Bytes of an object's key, as UTF-8.
pub const KEY_BYTES_MAX: usize = 1024;

/// Bytes of user metadata: the sum of names (after `x-amz-meta-`) and values.
pub const USER_METADATA_BYTES_MAX: usize = 2048;

/// Bytes of all that is kept beside an object in its record: content headers, user metadata, checksums. Twice the
/// 8 KB that Amazon S3 takes of headers altogether.
pub const ATTRIBUTES_BYTES_MAX: usize = 16 << 10;

/// Tags of an object ("Categorizing your objects using tags").
pub const TAGS_PER_OBJECT_MAX: usize = 10;

/// UTF-16 units of a tag's key.
pub const TAG_KEY_CHARS_MAX: usize = 128;

/// UTF-16 units of a tag's value.
pub const TAG_VALUE_CHARS_MAX: usize = 256;

/// Bytes of `x-amz-website-redirect-location` (user guide, "Configuring a webpage redirect").
pub const REDIRECT_BYTES_MAX: usize = 2048;

/// Bytes of a form before its file: names and values of all fields. Amazon S3 takes 20 KB.
pub const FORM_FIELDS_BYTES_MAX: usize = 20 << 10;

/// Bytes of the lines before the value of one field of a form.
pub const FORM_FIELD_HEAD_BYTES_MAX: usize = 8 << 10;

/// Bytes of the boundary between a form's fields (RFC 2046, 5.1.1).
pub const FORM_BOUNDARY_BYTES_MAX: usize = 70;

/// Bytes of a form's file that are held until its end is seen, which tells its size.
pub const FORM_FILE_HELD_BYTES: usize = 64 << 10;

/// Conditions of a form's policy: one for each field that could stand in 20 KB, and some.
pub const FORM_CONDITIONS_MAX: usize = 256;

/// Part numbers run from 1 to this.
pub const PART_NUMBER_MAX: u16 = 10_000;

/// Bytes of a part other than the last one.
pub const PART_BYTES_MIN: u64 = 5 << 20;

/// Bytes of a part, and of an object put in one request, and of the source of one CopyObject.
pub const PART_BYTES_MAX: u64 = 5 << 30;

/// Bytes of an object: what the most and largest parts come to, 48.8 TiB.
pub const OBJECT_BYTES_MAX: u64 = PART_NUMBER_MAX as u64 * PART_BYTES_MAX;

/// Entries of one page of objects, parts or uploads.
pub const PAGE_ENTRIES_MAX: usize = 1000;

/// Buckets of one page of ListBuckets.
pub const BUCKETS_PAGE_MAX: usize = 10_000;

/// Keys of one DeleteObjects.
pub const DELETE_KEYS_MAX: usize = 1000;

/// Parts read from the index at a time while an upload is completed: 300 bytes each, and the lane is kept from its
/// other work for less than a millisecond.
pub const PARTS_READ_AT_ONCE: usize = 1000;

/// Bytes of an XML request body. The largest honest one is DeleteObjects: 1,000 keys of 1,024 bytes, each byte an
/// escape of five (`&amp;`), with their elements: 5.2 MB. Completing 10,000 parts takes 2 MB.
pub const DOCUMENT_BYTES_MAX: usize = 6 << 20;

/// Repeated elements (`Part`, `Object`) in an XML request body.
pub const DOCUMENT_ENTRIES_MAX: usize = PART_NUMBER_MAX as usize;

/// Memory that one parsed entry of an XML request body takes beside its text until it has been acted on:
/// `CompletedPart` is 184 bytes, the stored part that is chosen for it 160 with its tag, their pairing 16.
pub const DOCUMENT_ENTRY_BYTES: usize = 384;

/// Memory for XML request bodies being read and acted on, in the whole process.
pub const DOCUMENTS_BYTES_MAX: usize = 32 << 20;

/// How long an XML request body waits for its share of [`DOCUMENTS_BYTES_MAX`] before `SlowDown`.
pub const DOCUMENTS_WAIT_MAX: Duration = Duration::from_secs(5);

/// Memory that each entry of a page of a listing is charged with before it is read. Reading takes 1.5 KiB at worst: a
/// key of 1,024 bytes, the store's record of it and the head of its attributes. Writing takes no more than this with
/// names of up to 150 bytes.
pub const LISTING_ENTRY_BYTES: usize = 4 << 10;

/// Memory that an entry takes while its page is written, but for its name: what was read (370 bytes), what s3s writes
/// from (500) and its XML with owner and checksum (400), in lists that double as they grow.
pub const LISTING_ENTRY_WRITTEN_BYTES: usize = 2200;

/// How often a name stands in memory while its page is written, at worst: as it was read, as text, and in XML, where
/// each byte may be an escape of five, in a buffer that doubles as it grows.
pub const LISTING_NAME_WRITTEN_FACTOR: usize = 12;

/// Memory of a page besides its entries: what the request asked, which the answer repeats, at most 12 KiB of it.
pub const LISTING_HEAD_BYTES: usize = 16 << 10;

/// Memory that a bucket takes while all are read: 160 bytes and its name of 63, in a list that doubles as it grows.
pub const BUCKET_READ_BYTES: usize = 512;

/// Memory that a bucket takes while a page of them is written: as it was read, what s3s writes from (250 bytes), and
/// its XML (200) in a buffer that doubles as it grows.
pub const BUCKET_WRITTEN_BYTES: usize = 1200;

/// Memory for listings in the whole process, at least: enough for any one page.
pub const LISTINGS_BYTES_MIN: usize = 16 << 20;

/// The same at most: 64 pages being written, or some hundred waiting for readers that are slow.
pub const LISTINGS_BYTES_MAX: usize = 256 << 20;

/// The share of the memory budget that listings get between these two.
pub const LISTINGS_MEMORY_DIVISOR: u64 = 32;

/// Memory for listings under a memory budget.
pub fn listings_bytes(memory_bytes: u64) -> usize {
    let share = usize::try_from(memory_bytes / LISTINGS_MEMORY_DIVISOR).unwrap_or(usize::MAX);
    share.clamp(LISTINGS_BYTES_MIN, LISTINGS_BYTES_MAX)
}

/// Listings that read the index at once, in the whole process. Each has a thread for its time; more than the index's
/// disk takes at once only wait in another place.
pub const LISTINGS_READ_AT_ONCE: usize = 32;

/// How long a listing waits for its share of the memory or its turn before `SlowDown`.
pub const LISTINGS_WAIT_MAX: Duration = Duration::from_secs(5);

/// From having its share to its last byte: how long an XML request body may take. The largest is 6 MiB, which is
/// 210 KB/s; the usual one comes at once. Two clients that send a byte now and then would otherwise keep everyone's
/// documents out.
pub const DOCUMENT_TIME_MAX: Duration = Duration::from_secs(30);

/// How often a copy looks its source up again when that is replaced under it.
pub const COPY_ATTEMPTS_MAX: usize = 4;

/// Seconds that `Retry-After` names when a request is refused for want of a resource.
pub const RETRY_AFTER_SECONDS: u32 = 1;

/// The same for a write to a store that a fault has made read-only: an operator has to look at it first.
pub const RETRY_AFTER_READ_ONLY_SECONDS: u32 = 60;

/// How long a trouble that meets every request alike is not logged again.
pub const LOGGED_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Rules of a CORS configuration, and the bytes of its document ("Configuring cross-origin resource sharing").
pub const CORS_RULES_MAX: usize = 100;

/// See [`CORS_RULES_MAX`].
pub const CORS_DOCUMENT_BYTES_MAX: usize = 64 << 10;

/// Rules of a lifecycle configuration ("Setting a lifecycle configuration on a bucket").
pub const LIFECYCLE_RULES_MAX: usize = 1000;

/// Bytes of its document: 1,000 rules of 250 bytes; what is kept has to fit a bucket's setting.
pub const LIFECYCLE_DOCUMENT_BYTES_MAX: usize = 256 << 10;

/// The most that `NewerNoncurrentVersions` can say.
pub const LIFECYCLE_NEWER_VERSIONS_MAX: i32 = 100;

/// Configurations within a notification configuration.
pub const NOTIFICATIONS_MAX: usize = 100;

/// Bytes of its document: 100 with two filters of 1,024 bytes fit.
pub const NOTIFICATION_DOCUMENT_BYTES_MAX: usize = 256 << 10;

/// Characters of the ID of a rule or a configuration.
pub const SETTING_ID_CHARS_MAX: usize = 255;

/// Tags of a bucket ("PutBucketTagging", "Cost allocation tags").
pub const BUCKET_TAGS_MAX: usize = 50;

/// Bytes of a bucket's location constraint; the longest AWS region name has 14.
pub const LOCATION_BYTES_MAX: usize = 64;

// === Access ===

/// Grants of an ACL, as Amazon S3 takes them ("Access control list (ACL) overview").
pub const GRANTS_MAX: usize = 100;

/// Bytes of an account's id or name in an ACL: they stand after a byte with their length.
pub const PARTY_NAME_BYTES_MAX: usize = 128;

/// Bytes of a bucket policy ("Bucket policies for Amazon S3": 20 KB).
pub const POLICY_BYTES_MAX: usize = 20 << 10;

/// Buckets whose settings a lane keeps parsed. A policy of 20 KiB takes some 100 KiB when it is parsed; the usual bucket
/// has none and takes 500 bytes.
pub const SETTINGS_CACHED_MAX: usize = 1024;

/// Buckets with a policy among them: 25 MiB in each lane at worst.
pub const POLICIES_CACHED_MAX: usize = 256;

const _: () = {
    // An ACL is kept in an object's row.
    assert!(GRANTS_MAX * (2 * PARTY_NAME_BYTES_MAX + 4) + 1024 <= 2 * ATTRIBUTES_BYTES_MAX);
    assert!(PARTY_NAME_BYTES_MAX <= u8::MAX as usize);
    assert!(GRANTS_MAX <= u8::MAX as usize);
};

// Object lock.

/// Days of a default retention: 100 years, as in Amazon S3.
pub const RETENTION_DAYS_MAX: u32 = 36_500;

/// Years of a default retention, as in Amazon S3.
pub const RETENTION_YEARS_MAX: u32 = 100;

const _: () = {
    // The largest document must be admissible at all: its text twice (raw and parsed) and its entries.
    assert!(
        2 * DOCUMENT_BYTES_MAX + DOCUMENT_ENTRIES_MAX * DOCUMENT_ENTRY_BYTES <= DOCUMENTS_BYTES_MAX
    );
    assert!(DELETE_KEYS_MAX <= DOCUMENT_ENTRIES_MAX);
    assert!(DELETE_KEYS_MAX * KEY_BYTES_MAX * 5 <= DOCUMENT_BYTES_MAX);
    assert!(USER_METADATA_BYTES_MAX < ATTRIBUTES_BYTES_MAX);
    assert!(PART_BYTES_MIN <= PART_BYTES_MAX);
    // The largest page must be admissible at all, as it is begun and as it is written.
    let written = LISTING_ENTRY_WRITTEN_BYTES + KEY_BYTES_MAX * LISTING_NAME_WRITTEN_FACTOR;
    assert!(LISTING_HEAD_BYTES + PAGE_ENTRIES_MAX * written <= LISTINGS_BYTES_MIN);
    assert!(
        LISTING_HEAD_BYTES + (PAGE_ENTRIES_MAX + 1) * LISTING_ENTRY_BYTES <= LISTINGS_BYTES_MIN
    );
    assert!(BUCKETS_PAGE_MAX * BUCKET_READ_BYTES <= LISTINGS_BYTES_MIN);
    assert!(LISTING_HEAD_BYTES + BUCKETS_PAGE_MAX * BUCKET_WRITTEN_BYTES <= LISTINGS_BYTES_MIN);
};
