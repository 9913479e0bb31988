//! What a change costs in memory, estimated before it is made.
//!
//! Owns: [`Mutation::queued_bytes`] and [`Mutation::dirty_bytes`], by which the commit thread keeps
//! its two lines of the memory budget.
//! Limits: `COMMIT_QUEUE_BYTES`, `INDEX_TRANSACTION_BYTES`, `DIRTY_BYTES_PER_ROW`.
//! Not here: waiting for room (`commit`).

use super::mutation::{
    Annotation, Condition, Content, Delete, Mutation, NewBucket, NewExtent, NewObject,
};
use super::record::{Body, Slice};
use crate::id::{PartId, PartNumber, SettingKind};
use crate::limits::DIRTY_BYTES_PER_ROW;

impl Mutation {
    /// Heap and stack bytes that the change takes while it waits: itself, keys, tags, attributes,
    /// slices, checksums, lists.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        size_of::<Mutation>()
            + match self {
                Mutation::CreateBucket { name, attributes, new } => {
                    name.len() + attributes.len() + new_bucket_bytes(new)
                }
                Mutation::DeleteBucket { name } | Mutation::SetPublicRead { name, .. } => {
                    name.len()
                }
                Mutation::Put { object, content } => object_bytes(object) + content_bytes(content),
                Mutation::SetBucketAttributes { attributes, .. } => attributes.len(),
                Mutation::SetVersioning { .. } | Mutation::EnableLocking { .. } => 0,
                Mutation::SetSetting { value, .. } => value.as_ref().map_or(0, |value| value.len()),
                Mutation::Delete { delete, .. } => delete_bytes(delete),
                Mutation::DeleteMany { deletes, .. } => deletes.iter().map(delete_bytes).sum(),
                Mutation::Annotate { key, annotation, .. } => {
                    key.len() + annotation_bytes(annotation)
                }
                Mutation::Rename { from, to, source, destination, .. } => {
                    from.len() + to.len() + condition_bytes(source) + condition_bytes(destination)
                }
                Mutation::CreateUpload { key, attributes, .. } => key.len() + attributes.len(),
                Mutation::PutPart { entity_tag, attributes, content, .. } => {
                    entity_tag.len() + attributes.len() + content_bytes(content)
                }
                Mutation::Complete { parts, object, .. } => {
                    parts.len() * size_of::<(PartNumber, PartId)>() + object_bytes(object)
                }
                Mutation::Abort { .. } => 0,
            }
    }

    /// Bytes of index pages that the change makes dirty: a leaf with its share of the branches for
    /// each place in a table that it touches, and what it writes, once more for pages that are
    /// split. What an overwritten object's own extents cost is counted as one place: they were
    /// numbered together, so their rows lie side by side. What a version costs that moves to another
    /// table is counted as one place, too: nearly all are of some hundred bytes, one of thousands of
    /// slices is of up to 107 KiB.
    #[must_use]
    pub fn dirty_bytes(&self) -> usize {
        // Places, by table; each change may have to write the settings' identifier mark too.
        let (places, written) = match self {
            // buckets, bucket_names, bucket_settings
            Mutation::CreateBucket { .. } | Mutation::DeleteBucket { .. } => (3, 0),
            Mutation::SetPublicRead { .. }
            | Mutation::SetBucketAttributes { .. }
            | Mutation::SetVersioning { .. }
            | Mutation::EnableLocking { .. } => (1, 0),
            // buckets, bucket_settings
            Mutation::SetSetting { .. } => (2, 0),
            // current; extents and block_checksums, new and old; manifests, reclaim; versions and
            // nulls where the old one stays
            Mutation::Put { content, .. } => (5 + referred_places(content), row_bytes(content)),
            // parts; extents and block_checksums, new and old; reclaim
            Mutation::PutPart { content, .. } => (3 + referred_places(content), row_bytes(content)),
            // current, versions, nulls, extents
            Mutation::Delete { .. } => (DELETE_PLACES, 0),
            Mutation::DeleteMany { deletes, .. } => (DELETE_PLACES * deletes.len(), 0),
            // current or versions
            Mutation::Annotate { .. } => (1, 0),
            // current twice, extents
            Mutation::Rename { .. } => (3, 0),
            // uploads, upload_rows
            Mutation::CreateUpload { .. } => (2, 0),
            // current, versions, nulls, extents, manifests, part_offsets, uploads, upload_rows, reclaim
            Mutation::Complete { parts, .. } => (9, 16 * parts.len()),
            // uploads, upload_rows, reclaim
            Mutation::Abort { .. } => (3, 0),
        };
        places * DIRTY_BYTES_PER_ROW + 2 * (written + self.queued_bytes())
    }
}

/// Places that one deletion touches: current, versions, nulls, extents.
const DELETE_PLACES: usize = 4;

fn new_bucket_bytes(new: &NewBucket) -> usize {
    let each = |setting: &(SettingKind, bytes::Bytes)| size_of_val(setting) + setting.1.len();
    new.settings.iter().map(each).sum()
}

fn delete_bytes(delete: &Delete) -> usize {
    size_of::<Delete>()
        + delete.key.len()
        + delete.marker_acl.len()
        + condition_bytes(&delete.condition)
}

fn annotation_bytes(annotation: &Annotation) -> usize {
    match annotation {
        Annotation::Tags(bytes) | Annotation::Acl(bytes) => bytes.len(),
        Annotation::LegalHold(_) | Annotation::Retention { .. } => 0,
    }
}

fn object_bytes(object: &NewObject) -> usize {
    object.key.len()
        + object.entity_tag.len()
        + object.attributes.len()
        + object.tags.len()
        + object.acl.len()
        + object.encryption.len()
        + condition_bytes(&object.condition)
}

fn condition_bytes(condition: &Condition) -> usize {
    size_of::<Condition>()
        + match condition {
            Condition::None
            | Condition::Absent
            | Condition::Present
            | Condition::RowIs(_)
            | Condition::SizeIs { .. }
            | Condition::ModifiedIs { .. }
            | Condition::Noncurrent => 0,
            Condition::All(conditions) => conditions.iter().map(condition_bytes).sum(),
            Condition::TagIs(tags) | Condition::TagIsNot(tags) => {
                tags.iter().map(|tag| size_of_val(tag) + tag.len()).sum()
            }
        }
}

fn content_bytes(content: &Content) -> usize {
    let body = match &content.body {
        Body::Inline { data, .. } => data.len(),
        Body::Slices(slices) => slices.len() * size_of::<Slice>(),
        Body::Manifest { .. } => 0,
    };
    let extents: usize = content.extents.iter().map(extent_bytes).sum();
    body + extents
}

fn extent_bytes(extent: &NewExtent) -> usize {
    size_of::<NewExtent>() + size_of_val(&extent.crcs[..])
}

/// Rows of new extents, beside the checksums.
fn row_bytes(content: &Content) -> usize {
    const EXTENT_ROW_BYTES: usize = 64;
    content.extents.len() * EXTENT_ROW_BYTES
}

/// Places in `extents` and `block_checksums` that linking touches: new extents lie side by side,
/// those of a copied object wherever they are.
fn referred_places(content: &Content) -> usize {
    let referred = content.body.slices().len().saturating_sub(content.extents.len());
    usize::from(!content.extents.is_empty()) * 2 + referred
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::id::{BucketId, ExtentId, UploadId};
    use crate::index::record::{ExtentLocation, Lock};
    use crate::limits::{
        COMMIT_BATCH_MAX, COMMIT_QUEUE_BYTES, INDEX_TRANSACTION_BYTES, OBJECT_KEY_BYTES_MAX,
        SLICES_PER_ROW_MAX,
    };

    fn object(attributes: usize) -> NewObject {
        NewObject {
            bucket: BucketId(1),
            key: Bytes::from(vec![b'k'; OBJECT_KEY_BYTES_MAX]),
            entity_tag: "0123456789abcdef0123456789abcdef".into(),
            attributes: Bytes::from(vec![0; attributes]),
            condition: Condition::None,
            tags: Bytes::new(),
            acl: Bytes::new(),
            lock: Lock::default(),
            encryption: Bytes::new(),
        }
    }

    /// Content of extents with this many checksum blocks each.
    fn content(blocks: &[usize]) -> Content {
        let location = ExtentLocation {
            device: crate::id::DeviceId(0),
            offset_blocks: 256,
            length_blocks: 16,
        };
        let extent = |(id, blocks): (u64, &usize)| NewExtent {
            id: ExtentId(id),
            location,
            data_length: *blocks as u64 * 65_536,
            crcs: vec![0; *blocks],
        };
        let extents: Vec<NewExtent> = (1..).zip(blocks).map(extent).collect();
        let slice = |new: &NewExtent| Slice { extent: new.id, offset: 0, length: new.data_length };
        let body = Body::Slices(extents.iter().map(slice).collect());
        let size = extents.iter().map(|extent| extent.data_length).sum();
        Content { size, crc64: None, body, extents }
    }

    fn delete_many(keys: usize) -> Mutation {
        let key = Bytes::from(vec![b'k'; OBJECT_KEY_BYTES_MAX]);
        Mutation::DeleteMany { bucket: BucketId(1), deletes: vec![Delete::object(key); keys] }
    }

    #[test]
    fn a_full_batch_of_ordinary_puts_fits_one_transaction() {
        let put = Mutation::Put { object: object(512), content: content(&[1]) };
        assert!(COMMIT_BATCH_MAX * put.dirty_bytes() <= INDEX_TRANSACTION_BYTES);
        assert!(put.queued_bytes() > OBJECT_KEY_BYTES_MAX + 512);
    }

    #[test]
    fn the_largest_changes_fit_the_queue_and_their_cost_grows_with_them() {
        let part = |blocks: &[usize]| Mutation::PutPart {
            upload: UploadId(1),
            number: PartNumber(1),
            entity_tag: "tag".into(),
            attributes: Bytes::new(),
            content: content(blocks),
        };
        // 5 GiB in extents of 1 GiB, and in as many extents as a record can have.
        let (long, scattered) = (part(&[16_384; 5]), part(&[10; SLICES_PER_ROW_MAX]));
        let complete = Mutation::Complete {
            upload: UploadId(1),
            parts: vec![(PartNumber(1), PartId(1)); 10_000],
            object: object(65_536),
            crc64: None,
        };
        for (mutation, least) in
            [(&long, 5 * 131_072), (&scattered, 8 * 81_920), (&complete, 10_000 * 10)]
        {
            let (queued, dirty) = (mutation.queued_bytes(), mutation.dirty_bytes());
            assert!(queued >= least && queued <= COMMIT_QUEUE_BYTES, "{queued}");
            assert!(dirty >= 2 * queued && dirty <= INDEX_TRANSACTION_BYTES, "{dirty}");
        }
    }

    #[test]
    fn a_thousand_deletes_are_a_batch_of_their_own() {
        let deletes = delete_many(1000);
        assert!(deletes.queued_bytes() >= 1000 * OBJECT_KEY_BYTES_MAX);
        assert!(deletes.queued_bytes() <= COMMIT_QUEUE_BYTES);
        assert!(2 * deletes.dirty_bytes() > INDEX_TRANSACTION_BYTES);
    }
}
