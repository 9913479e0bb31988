//! A full index: what grows is refused, deletes still work.

use bytes::Bytes;

use super::*;
use crate::error::StoreError;
use crate::limits::INDEX_MAP_BYTES_MIN;

#[test]
fn a_full_index_refuses_puts_and_allows_deletes() {
    let mut fixture = Fixture::with_map(INDEX_MAP_BYTES_MIN);
    let bucket = fixture.bucket("bucket");
    let mut keys = Vec::new();
    // Twice, so that space which deletes gave back is proven usable.
    for round in 0..2 {
        loop {
            let key = format!("{round}-{:05}", keys.len());
            let content = fixture.content(&[100_000]);
            let put = Mutation::Put { object: new_object(bucket, key.as_bytes()), content };
            match fixture.apply(put) {
                Ok(_) => keys.push(key),
                Err(StoreError::IndexFull) => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(keys.len() > 500, "{}", keys.len());
        fixture.assert_consistent();
        let create = Mutation::CreateUpload {
            bucket,
            key: Bytes::from_static(b"key"),
            attributes: Bytes::new(),
        };
        assert_eq!(fixture.apply(create), Err(StoreError::IndexFull));
        let bucket_too = create_bucket("b");
        assert_eq!(fixture.apply(bucket_too), Err(StoreError::IndexFull));
        for key in keys.drain(..) {
            let deleted = fixture.delete(bucket, key.as_bytes());
            assert!(deleted.is_some());
        }
        fixture.reopen();
        assert_eq!(fixture.assert_consistent().objects, 0);
    }
}

#[test]
fn a_transaction_that_does_not_fit_leaves_nothing_behind() {
    let mut fixture = Fixture::with_map(INDEX_MAP_BYTES_MIN);
    let bucket = fixture.bucket("bucket");
    let index = fixture.index().clone();
    let mut txn = fixture.writer().begin(0).unwrap();
    let mut fitted = 0;
    let error = loop {
        // 600 KiB of checksums in one extent: more than the reserve holds back.
        let content = content(&index, &[5 << 30]);
        let object = new_object(bucket, format!("{fitted}").as_bytes());
        match txn.apply(&Mutation::Put { object, content }) {
            Ok(_) => fitted += 1,
            Err(ApplyError::Broken(error)) => break error,
            Err(ApplyError::Refused(error)) => panic!("{error}"),
        }
    };
    assert!(error.is_full(), "{error}");
    assert!(txn.commit().is_err(), "half a change is never committed");
    drop(index);
    assert_eq!(fixture.assert_consistent().objects, 0);
    fixture.put(bucket, b"small", inline(b"x"));
}
