//! Records survive encoding, and damaged bytes give an error.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::id::*;

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..100).prop_map(Bytes::from)
}

fn body() -> impl Strategy<Value = Body> {
    let slice = (any::<u64>(), 0..u64::MAX / 2, 1..u64::MAX / 2)
        .prop_map(|(id, offset, length)| Slice { extent: ExtentId(id), offset, length });
    prop_oneof![
        (bytes(), any::<u64>()).prop_map(|(data, crc64)| Body::Inline { data, crc64 }),
        vec(slice, 0..20).prop_map(Body::Slices),
        (any::<u64>(), any::<u16>())
            .prop_map(|(id, parts)| Body::Manifest { id: ManifestId(id), parts }),
    ]
}

fn lock() -> impl Strategy<Value = Lock> {
    let mode = prop_oneof![Just(RetentionMode::Governance), Just(RetentionMode::Compliance)];
    let retention = (mode, any::<u64>()).prop_map(|(mode, until_ms)| Retention { mode, until_ms });
    (proptest::option::of(retention), any::<bool>())
        .prop_map(|(retention, legal_hold)| Lock { retention, legal_hold })
}

fn versioning() -> impl Strategy<Value = Versioning> {
    prop_oneof![Just(Versioning::Off), Just(Versioning::Enabled), Just(Versioning::Suspended)]
}

prop_compose! {
    fn object()(
        row: u64, version: u64, size: u64, modified_ms: u64, tag in ".{0,40}",
        (attributes, tags, acl, encryption) in (bytes(), bytes(), bytes(), bytes()),
        crc64: Option<u64>, lock in lock(), body in body(),
    ) -> ObjectRecord {
        ObjectRecord {
            row: RowId(row), version: VersionId(version), size, modified_ms,
            entity_tag: tag.into(), attributes, crc64, tags, acl, lock, encryption, body,
        }
    }
}

proptest! {
    #[test]
    fn objects_survive(record in object()) {
        let bytes = record.encode();
        let view = ObjectView::decode(&bytes).unwrap();
        prop_assert_eq!(view.to_record(), record.clone());
        prop_assert_eq!(view.to_object(), record.to_object());
        let view = VersionView::decode(&bytes).unwrap();
        prop_assert_eq!(view.to_record(), VersionRecord::Object(record));
    }

    #[test]
    fn markers_survive_and_are_no_objects(row: u64, version: u64, modified_ms: u64, acl in bytes()) {
        let marker = Marker { row: RowId(row), version: VersionId(version), modified_ms, acl };
        let bytes = marker.encode();
        let view = VersionView::decode(&bytes).unwrap();
        prop_assert_eq!(view.to_record(), VersionRecord::Marker(marker));
        prop_assert!(ObjectView::decode(&bytes).is_err());
    }

    #[test]
    fn damaged_objects_never_panic(record in object(), at: prop::sample::Index, with: u8, cut: prop::sample::Index) {
        let mut bytes = record.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        if let Ok(view) = ObjectView::decode(&bytes) {
            view.to_record();
        }
        let length = cut.index(bytes.len());
        // A proper prefix never decodes: fields are length-prefixed and the end is checked.
        bytes[at] ^= with;
        prop_assert!(ObjectView::decode(&bytes[..length]).is_err());
    }

    #[test]
    fn parts_survive(record in object()) {
        let part = PartRecord {
            id: PartId(record.row.0), size: record.size, modified_ms: record.modified_ms,
            entity_tag: record.entity_tag, attributes: record.attributes, crc64: record.crc64,
            body: record.body,
        };
        let bytes = part.encode();
        match PartView::decode(&bytes) {
            Ok(view) => prop_assert_eq!(view.to_record(), part),
            Err(_) => prop_assert!(part.body.manifest().is_some()),
        }
    }

    #[test]
    fn extents_survive(device: u16, offset in 0..u64::MAX / 2, length in 0..u64::MAX / 2, references: u64, crcs in vec(any::<u64>(), 1..40)) {
        let record = ExtentRecord {
            location: ExtentLocation { device: DeviceId(device), offset_blocks: offset, length_blocks: length },
            data_length: crcs.len() as u64 * crate::limits::CHECKSUM_BLOCK_BYTES - 1,
            references,
            checksums: InlineChecksums::new(&crcs).map_or(Checksums::Rows, Checksums::Inline),
        };
        prop_assert_eq!(ExtentRecord::decode(&record.encode()).unwrap(), record);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = 1 + *first % 2;
        }
        let _ = VersionView::decode(&bytes).map(|view| view.to_record());
        let _ = ObjectView::decode(&bytes).map(|view| view.to_record());
        let _ = PartView::decode(&bytes).map(|view| view.to_record());
        let _ = ExtentRecord::decode(&bytes);
        let _ = Upload::decode(UploadId(1), &bytes);
        let _ = ManifestRecord::decode(&bytes);
        let _ = Bucket::decode(b"name", &bytes);
    }

    #[test]
    fn buckets_uploads_and_manifests_survive(id: u64, ms: u64, public_read: bool, attributes in bytes(), key in bytes(), parts: u16, versioning in versioning(), locking: bool) {
        let bucket = Bucket {
            id: BucketId(id), name: "name".into(), created_ms: ms, public_read,
            attributes: attributes.clone(), versioning, locking, revision: ms,
        };
        prop_assert_eq!(Bucket::decode(b"name", &bucket.encode()).unwrap(), bucket);
        let upload = Upload { id: UploadId(id), bucket: BucketId(ms), key, initiated_ms: ms, attributes };
        prop_assert_eq!(Upload::decode(UploadId(id), &upload.encode()).unwrap(), upload);
        let manifest = ManifestRecord { references: id, parts, size: ms };
        prop_assert_eq!(ManifestRecord::decode(&manifest.encode()).unwrap(), manifest);
    }
}

#[test]
fn a_small_object_stays_small() {
    let record = ObjectRecord {
        row: RowId(u64::MAX),
        version: VersionId(u64::MAX),
        size: 4096,
        modified_ms: 1_700_000_000_000,
        entity_tag: "\"d41d8cd98f00b204e9800998ecf8427e-10000\"".into(),
        attributes: Bytes::new(),
        crc64: Some(u64::MAX),
        tags: Bytes::new(),
        acl: Bytes::new(),
        lock: Lock::default(),
        encryption: Bytes::new(),
        body: Body::Slices(vec![Slice { extent: ExtentId(u64::MAX), offset: 0, length: 4096 }]),
    };
    assert!(record.encode().len() < 110, "{}", record.encode().len());
}

/// Rows as the first format wrote them, which had fields for lock and encryption that nothing used.
#[test]
fn rows_of_the_first_version_are_read() {
    let mut encoder = crate::index::codec::Encoder::record(1, 0);
    encoder.byte(1);
    for number in [7, 0, 3, 99] {
        encoder.number(number);
    }
    encoder.bytes(b"tag");
    encoder.bytes(b"attributes");
    encoder.fixed(5);
    encoder.bytes(b"");
    encoder.bytes(b"");
    let body = Body::Inline { data: Bytes::from_static(b"abc"), crc64: 5 };
    body.encode(&mut encoder);
    let bytes = encoder.finish();
    let record = ObjectView::decode(&bytes).unwrap().to_record();
    let expected = ObjectRecord {
        row: RowId(7),
        version: VersionId::NULL,
        size: 3,
        modified_ms: 99,
        entity_tag: "tag".into(),
        attributes: Bytes::from_static(b"attributes"),
        crc64: Some(5),
        tags: Bytes::new(),
        acl: Bytes::new(),
        lock: Lock::default(),
        encryption: Bytes::new(),
        body,
    };
    assert_eq!(record, expected);

    let mut encoder = crate::index::codec::Encoder::record(1, 0);
    encoder.byte(1);
    encoder.number(7);
    encoder.number(99);
    encoder.bytes(b"attributes");
    let bucket = Bucket::decode(b"name", &encoder.finish()).unwrap();
    assert!(bucket.public_read && !bucket.locking);
    assert_eq!((bucket.versioning, bucket.revision), (Versioning::Off, 0));
}
