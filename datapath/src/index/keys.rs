//! The keys of the index's tables. They sort bytewise in the order in which they are listed.
//!
//! Owns: the encoding of every table key. Numbers are big-endian.
//! Not here: the values (`record`), which table holds what (`tables`).
//!
//! `current` puts the object key last, so that it needs no terminator. `uploads` and `versions` have a
//! number behind the key: there the key is written in groups of eight bytes, each followed by a count
//! byte, zero-padded. This keeps the order also for keys with zero bytes and for keys that are
//! prefixes of each other, and grows a key by at most 1/8 + 9 bytes, where escaping zeros could
//! double it past LMDB's limit of 1,984 bytes.

use crate::id::{BucketId, ExtentId, ManifestId, PartNumber, RowId, SettingKind, UploadId};
use crate::limits::OBJECT_KEY_BYTES_MAX;

use super::codec::DecodeError;

/// Longest key that any table uses.
pub(crate) const KEY_BYTES_MAX: usize = 8 + grouped_length(OBJECT_KEY_BYTES_MAX) + 8;

const GROUP: usize = 8;

/// `bucket_names` and every other table that is keyed by one number.
pub(crate) fn number(id: u64) -> [u8; 8] {
    id.to_be_bytes()
}

/// `current`: bucket ‖ object key. An empty object key gives the bucket's prefix.
pub(crate) fn object(bucket: BucketId, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + key.len());
    bytes.extend_from_slice(&number(bucket.0));
    bytes.extend_from_slice(key);
    bytes
}

/// Splits a key of `current`.
pub(crate) fn split_object(bytes: &[u8]) -> Result<(BucketId, &[u8]), DecodeError> {
    let (id, key) = bytes.split_first_chunk::<8>().ok_or(DecodeError::Truncated("key"))?;
    Ok((BucketId(u64::from_be_bytes(*id)), key))
}

/// `versions`: bucket ‖ grouped key ‖ inverted row number, so that newer versions sort first.
pub(crate) fn version(bucket: BucketId, key: &[u8], row: RowId) -> Vec<u8> {
    let mut bytes = key_floor(bucket, key);
    bytes.extend_from_slice(&number(!row.0));
    bytes
}

/// Splits a key of `versions`.
pub(crate) fn split_version(bytes: &[u8]) -> Result<(BucketId, Vec<u8>, RowId), DecodeError> {
    let (bucket, key, number) = split_grouped(bytes)?;
    Ok((bucket, key, RowId(!number)))
}

/// `bucket_settings`: bucket ‖ kind.
pub(crate) fn setting(bucket: BucketId, kind: SettingKind) -> [u8; 9] {
    let mut bytes = [kind.0; 9];
    bytes[..8].copy_from_slice(&number(bucket.0));
    bytes
}

/// Splits a key of `bucket_settings`.
pub(crate) fn split_setting(bytes: &[u8]) -> Result<(BucketId, SettingKind), DecodeError> {
    let bytes: &[u8; 9] = bytes.try_into().map_err(|_| DecodeError::Truncated("key"))?;
    let id = bytes[..8].iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    Ok((BucketId(id), SettingKind(bytes[8])))
}

/// `uploads`: bucket ‖ grouped key ‖ upload id.
pub(crate) fn upload(bucket: BucketId, key: &[u8], upload: UploadId) -> Vec<u8> {
    let mut bytes = key_floor(bucket, key);
    bytes.extend_from_slice(&number(upload.0));
    bytes
}

/// What every row of `uploads` or `versions` of this object key begins with, and none of another: it
/// sorts before them and after every row of smaller keys.
pub(crate) fn key_floor(bucket: BucketId, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(KEY_BYTES_MAX);
    bytes.extend_from_slice(&number(bucket.0));
    let mut rest = key;
    loop {
        let taken = rest.len().min(GROUP);
        let mut group = [0u8; GROUP];
        group[..taken].copy_from_slice(&rest[..taken]);
        bytes.extend_from_slice(&group);
        // A full group is always followed by another, so its count must sort above every partial
        // one: GROUP + 1.
        if taken < GROUP {
            bytes.push(taken as u8);
            return bytes;
        }
        bytes.push(GROUP as u8 + 1);
        rest = &rest[taken..];
    }
}

/// Splits a key of `uploads`.
pub(crate) fn split_upload(bytes: &[u8]) -> Result<(BucketId, Vec<u8>, UploadId), DecodeError> {
    let (bucket, key, number) = split_grouped(bytes)?;
    Ok((bucket, key, UploadId(number)))
}

/// Bucket, object key, and the number behind it.
fn split_grouped(bytes: &[u8]) -> Result<(BucketId, Vec<u8>, u64), DecodeError> {
    let (id, mut rest) = bytes.split_first_chunk::<8>().ok_or(DecodeError::Truncated("key"))?;
    let bucket = BucketId(u64::from_be_bytes(*id));
    let mut key = Vec::with_capacity(rest.len());
    loop {
        let (group, after) =
            rest.split_first_chunk::<{ GROUP + 1 }>().ok_or(DecodeError::Truncated("key"))?;
        rest = after;
        let count = usize::from(group[GROUP]);
        match count {
            0..GROUP if group[count..GROUP].iter().all(|byte| *byte == 0) => {
                key.extend_from_slice(&group[..count]);
                break;
            }
            count if count == GROUP + 1 => key.extend_from_slice(&group[..GROUP]),
            _ => return Err(DecodeError::Value("key")),
        }
    }
    let id: &[u8; 8] = rest.try_into().map_err(|_| DecodeError::Truncated("key"))?;
    Ok((bucket, key, u64::from_be_bytes(*id)))
}

/// `parts`: upload or manifest ‖ part number.
pub(crate) fn part(manifest: ManifestId, number: PartNumber) -> [u8; 10] {
    numbered(manifest.0, number.0)
}

/// Splits a key of `parts`.
pub(crate) fn split_part(bytes: &[u8]) -> Result<(ManifestId, PartNumber), DecodeError> {
    let bytes: &[u8; 10] = bytes.try_into().map_err(|_| DecodeError::Truncated("key"))?;
    let (id, number) = bytes.split_at(8);
    let id = id.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    Ok((ManifestId(id), PartNumber(u16::from_be_bytes([number[0], number[1]]))))
}

/// `part_offsets`: manifest ‖ row number.
pub(crate) fn part_offsets(manifest: ManifestId, row: u16) -> [u8; 10] {
    numbered(manifest.0, row)
}

/// `block_checksums`: extent ‖ group of [`CHECKSUMS_PER_ROW`](crate::limits::CHECKSUMS_PER_ROW).
pub(crate) fn checksums(extent: ExtentId, group: u32) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&number(extent.0));
    bytes[8..].copy_from_slice(&group.to_be_bytes());
    bytes
}

/// Splits a key of `block_checksums`.
pub(crate) fn split_checksums(bytes: &[u8]) -> Result<(ExtentId, u32), DecodeError> {
    let bytes: &[u8; 12] = bytes.try_into().map_err(|_| DecodeError::Truncated("key"))?;
    let id = bytes[..8].iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let group = bytes[8..].iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
    Ok((ExtentId(id), group))
}

/// `reclaim`: kind ‖ id.
pub(crate) fn reclaim(kind: u8, id: u64) -> [u8; 9] {
    let mut bytes = [kind; 9];
    bytes[1..].copy_from_slice(&number(id));
    bytes
}

/// Splits a key of `reclaim`.
pub(crate) fn split_reclaim(bytes: &[u8]) -> Result<(u8, u64), DecodeError> {
    let bytes: &[u8; 9] = bytes.try_into().map_err(|_| DecodeError::Truncated("key"))?;
    let id = bytes[1..].iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    Ok((bytes[0], id))
}

/// A key that is one number.
pub(crate) fn split_number(bytes: &[u8]) -> Result<u64, DecodeError> {
    let bytes: &[u8; 8] = bytes.try_into().map_err(|_| DecodeError::Truncated("key"))?;
    Ok(u64::from_be_bytes(*bytes))
}

/// The smallest byte string above everything that starts with `prefix`; none when every byte of it
/// is 0xFF (or it is empty), since then nothing is above.
pub(crate) fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut bytes = prefix[..=last].to_vec();
    bytes[last] += 1;
    Some(bytes)
}

fn numbered(id: u64, number: u16) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&id.to_be_bytes());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes
}

const fn grouped_length(bytes: usize) -> usize {
    (bytes / GROUP + 1) * (GROUP + 1)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Few distinct bytes and lengths around the group size, so that prefixes and zeros meet.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        vec(prop_oneof![Just(0u8), Just(1), Just(8), Just(9), Just(0xff)], 0..20)
    }

    proptest! {
        #[test]
        fn uploads_sort_by_key_then_id(a in key(), b in key(), i: u64, j: u64) {
            let (first, second) = (
                upload(BucketId(7), &a, UploadId(i)),
                upload(BucketId(7), &b, UploadId(j)),
            );
            prop_assert_eq!(first.cmp(&second), a.cmp(&b).then(i.cmp(&j)));
            prop_assert_eq!(split_upload(&first).unwrap(), (BucketId(7), a.clone(), UploadId(i)));
            prop_assert!(key_floor(BucketId(7), &a) < first);
        }

        #[test]
        fn successor_bounds_exactly_the_prefixed(prefix in key(), other in key()) {
            match successor(&prefix) {
                Some(above) => prop_assert_eq!(
                    other.starts_with(&prefix),
                    other >= prefix && other < above
                ),
                None => prop_assert!(prefix.iter().all(|byte| *byte == 0xff)),
            }
        }

        #[test]
        fn splitting_damaged_keys_never_panics(bytes in vec(any::<u8>(), 0..40)) {
            let _ = split_upload(&bytes);
            let _ = split_object(&bytes);
            let _ = split_part(&bytes);
            let _ = split_checksums(&bytes);
            let _ = split_reclaim(&bytes);
            let _ = split_version(&bytes);
            let _ = split_setting(&bytes);
        }

        #[test]
        fn versions_sort_by_key_and_newer_first(a in key(), b in key(), i: u64, j: u64) {
            let (first, second) =
                (version(BucketId(7), &a, RowId(i)), version(BucketId(7), &b, RowId(j)));
            prop_assert_eq!(first.cmp(&second), a.cmp(&b).then(j.cmp(&i)));
            prop_assert_eq!(split_version(&first).unwrap(), (BucketId(7), a.clone(), RowId(i)));
            prop_assert_eq!(second.starts_with(&key_floor(BucketId(7), &a)), a == b);
        }
    }

    #[test]
    fn the_longest_key_is_as_computed() {
        let longest = upload(BucketId(1), &[0; OBJECT_KEY_BYTES_MAX], UploadId(1));
        assert_eq!(longest.len(), KEY_BYTES_MAX);
    }
}
