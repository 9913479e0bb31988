//! Tests: what a store does when devices fail, stall or lose power.

use std::time::Duration;

use bytes::Bytes;

use super::content::Content;
use super::testing::{Simulated, bucket, content, get, new_object, put, read, stage};
use crate::{
    device::{Injection, Operation},
    error::StoreError,
    id::PartNumber,
    limits::{
        CHECKSUM_BLOCK_BYTES, DEVICE_BLOCK_BYTES, RESERVE_WAIT, WRITE_AHEAD_BYTES,
        WRITER_CHECKSUM_BYTES,
    },
};

const MIB: usize = 1 << 20;

#[test]
fn a_failed_flush_ends_writing_and_not_reading() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        let first = content(1, MIB);
        put(&lane, "first", &first).await.unwrap();
        simulated.disks[0].inject(Injection::FlushError(libc::EIO));
        let error = put(&lane, "second", &content(2, MIB)).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Device(fault) if fault.operation == Operation::Flush),
            "{error}"
        );
        let error = put(&lane, "third", b"inline").await.unwrap_err();
        assert!(matches!(error, StoreError::ReadOnly(_)), "{error}");
        assert_eq!(get(&lane, "first").await.unwrap(), Some(first));
        assert_eq!(get(&lane, "second").await.unwrap(), None);
        assert!(simulated.store.handle().stats().read_only);
    });
}

#[test]
fn a_failed_read_fails_its_request_alone() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        let bytes = content(1, MIB);
        put(&lane, "key", &bytes).await.unwrap();
        simulated.disks[0].inject(Injection::ReadError(libc::EIO));
        let error = get(&lane, "key").await.unwrap_err();
        assert!(matches!(error, StoreError::Device(fault) if fault.errno == libc::EIO), "{error}");
        assert_eq!(get(&lane, "key").await.unwrap(), Some(bytes));
    });
}

#[test]
fn a_failed_write_stores_nothing_and_keeps_no_space() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        bucket(&lane).await;
        let free = simulated.store.handle().stats().space.bytes_free;
        simulated.disks[0].inject(Injection::WriteError(libc::EIO));
        assert!(put(&lane, "key", &content(1, 2 * MIB)).await.is_err());
        assert_eq!(get(&lane, "key").await.unwrap(), None);
        lane.quiesce().await;
        assert_eq!(simulated.store.handle().stats().space.bytes_free, free);
    });
}

#[test]
fn changed_bytes_are_never_served() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        put(&lane, "key", &content(1, MIB)).await.unwrap();
        put(&lane, "other", &content(2, MIB)).await.unwrap();
        let object = lane.open(bucket(&lane).await, b"key", None).unwrap().there().unwrap();
        let Content::Extents(runs) = object.content() else {
            panic!("a MiB is not inline");
        };
        let start = runs[0].extent.location.offset_blocks * DEVICE_BLOCK_BYTES as u64;
        simulated.disks[0].rot(start + 5 * CHECKSUM_BLOCK_BYTES + 7);
        let error = read(&object).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { block: 5, .. }), "{error}");
        assert_eq!(get(&lane, "other").await.unwrap(), Some(content(2, MIB)));
    });
}

#[test]
fn space_is_not_reused_while_an_abandoned_write_is_in_flight() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        let handle = simulated.store.handle();
        let free = handle.stats().space.bytes_free;
        simulated.disks[0].hold(true);
        let mut writer = lane.writer(MIB as u64).await.unwrap();
        writer.write(&content(1, MIB / 2)).await.unwrap();
        drop(writer);
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(handle.stats().space.bytes_free, free - MIB as u64);
        }
        simulated.disks[0].hold(false);
        lane.quiesce().await;
        tokio::task::yield_now().await;
        assert_eq!(handle.stats().space.bytes_free, free);
    });
}

#[test]
fn many_readers_of_a_cold_object_read_the_device_once() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        let bytes = content(1, 4 * MIB);
        put(&lane, "key", &bytes).await.unwrap();
        simulated.disks[0].set_delay(Duration::from_millis(2));
        let readers: Vec<_> = (0..16)
            .map(|_| {
                let lane = lane.clone();
                tokio::task::spawn_local(async move { get(&lane, "key").await.unwrap().unwrap() })
            })
            .collect();
        for reader in readers {
            assert!(reader.await.unwrap() == bytes);
        }
        let device = simulated.store.handle().stats().devices[0].engine;
        assert_eq!(device.read_bytes, bytes.len() as u64);
    });
}

#[test]
fn a_reader_that_stops_does_not_stop_others_of_the_same_object() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        let bytes = content(1, 4 * MIB);
        put(&lane, "key", &bytes).await.unwrap();
        simulated.disks[0].set_delay(Duration::from_millis(1));
        let object = lane.open(bucket(&lane).await, b"key", None).unwrap().there().unwrap();
        let mut stopped = Vec::new();
        for _ in 0..4 {
            let mut stream = object.read(0..object.object().size).await.unwrap();
            // Each has begun blocks ahead, and is never asked again.
            stopped.push((stream.next().await.unwrap().unwrap(), stream));
        }
        let read = tokio::time::timeout(Duration::from_secs(10), get(&lane, "key")).await;
        assert!(read.expect("nobody waits for a stopped reader").unwrap().unwrap() == bytes);
    });
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_on_several_devices() {
    for seed in 0..20 {
        let simulated = Simulated::new(&[32 << 20, 32 << 20]);
        let sizes = [700, 5_000, 70_000, 9 * MIB + 3, 17 * MIB];
        simulated.run(|lane| async move {
            for (number, size) in sizes.into_iter().enumerate() {
                put(&lane, &format!("key-{number}"), &content(seed, size)).await.unwrap();
            }
        });
        let simulated = simulated.after_power_cut(seed);
        simulated.run(|lane| async move {
            for (number, size) in sizes.into_iter().enumerate() {
                let got = get(&lane, &format!("key-{number}")).await.unwrap();
                assert!(got == Some(content(seed, size)), "seed {seed}, {size} bytes");
            }
        });
    }
}

#[test]
fn checksums_of_unrecorded_content_have_their_memory() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        let id = bucket(&lane).await;
        let memory = lane.checksum_memory();
        let all = memory.available_permits();
        assert_eq!(all, WRITER_CHECKSUM_BYTES);
        let writer = lane.writer(MIB as u64 + 1).await.unwrap();
        assert_eq!(all - memory.available_permits(), 17 * 8, "one a block");
        drop(writer);
        assert_eq!(memory.available_permits(), all);
        let staged = stage(&lane, &content(1, MIB)).await.unwrap();
        assert_eq!(all - memory.available_permits(), 16 * 8, "until it is recorded");
        let object = new_object(id, "key");
        lane.put(object, staged).await.unwrap();
        assert_eq!(memory.available_permits(), all);

        let others = std::sync::Arc::clone(memory).acquire_many_owned(all as u32 - 100).await;
        let began = std::time::Instant::now();
        let refused = lane.writer(MIB as u64).await.map(drop);
        assert_eq!(refused, Err(StoreError::Overload("checksum memory")));
        assert!(began.elapsed() >= RESERVE_WAIT, "it waited first");
        assert!(lane.writer(700_000).await.is_ok(), "less fits beside the others");
        assert!(lane.writer(100).await.is_ok(), "content in the record has no checksum rows");
        drop(others);
        assert!(lane.writer(MIB as u64).await.is_ok());
        let endless = lane.writer(u64::MAX).await.map(drop);
        assert_eq!(endless, Err(StoreError::Overload("checksum memory")));
    });
}

#[test]
fn a_store_that_cannot_write_takes_no_body() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        put(&lane, "first", &content(1, MIB)).await.unwrap();
        simulated.disks[0].inject(Injection::FlushError(libc::EIO));
        put(&lane, "second", &content(2, MIB)).await.unwrap_err();
        for size in [10, MIB as u64] {
            let refused = lane.writer(size).await.map(drop);
            assert!(matches!(refused, Err(StoreError::ReadOnly(_))), "{refused:?}");
        }
    });
}

#[test]
fn a_copy_that_fails_half_way_keeps_no_space() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        // Two parts in records, which a copy of both must write to extents, one after the other.
        let id = bucket(&lane).await;
        let upload = |key: &'static str| lane.create_upload(id, key.into(), Bytes::new());
        let source = upload("source").await.unwrap();
        let mut parts = Vec::new();
        for number in [1, 2].map(PartNumber) {
            let staged = stage(&lane, &content(u64::from(number.0), 800)).await.unwrap();
            let part = lane.put_part(source, number, "tag".into(), Bytes::new(), staged).await;
            parts.push((number, part.unwrap().id));
        }
        lane.complete(source, parts, new_object(id, "source"), None).await.unwrap();
        let source = lane.open(id, b"source", None).unwrap().there().unwrap();
        let target = upload("target").await.unwrap();
        let free = || simulated.store.handle().stats().space.bytes_free;
        let copy =
            || lane.copy_part(target, PartNumber(1), &source, 0..1600, "tag".into(), Bytes::new());
        let block = DEVICE_BLOCK_BYTES as u64;
        let others = lane.allocator().allocate(free() - block).unwrap();
        assert_eq!(free(), block, "room for the first");
        assert_eq!(copy().await.map(drop), Err(StoreError::NoSpace));
        lane.quiesce().await;
        assert_eq!(free(), block);
        drop(others);
        assert_eq!(copy().await.unwrap().size, 1600);
    });
}

#[test]
fn space_is_taken_as_the_body_arrives() {
    let simulated = Simulated::new(&[192 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        let space = || simulated.store.handle().stats().space;
        let (all, ahead) = (space().bytes_free, WRITE_AHEAD_BYTES);
        assert!(matches!(lane.writer(all + 1).await.map(drop), Err(StoreError::NoSpace)));
        let small = lane.writer(ahead).await.unwrap();
        assert_eq!((all - space().bytes_free, space().free_runs), (ahead, 1), "in one piece");
        drop(small);

        let size = ahead + ahead / 2;
        let bytes = content(3, size as usize);
        let mut writer = lane.writer(size).await.unwrap();
        assert_eq!(all - space().bytes_free, ahead);
        writer.write(&bytes[..ahead as usize]).await.unwrap();
        assert_eq!(all - space().bytes_free, ahead, "the rest is still to come");
        writer.write(&bytes[ahead as usize..]).await.unwrap();
        assert_eq!(all - space().bytes_free, size);
        let staged = writer.finish().await.unwrap();
        lane.put(new_object(bucket(&lane).await, "key"), staged).await.unwrap();
        assert!(get(&lane, "key").await.unwrap() == Some(bytes));

        // Others take the space in between: the body fails cleanly.
        let rest = space().bytes_free;
        assert!(rest > ahead, "{rest}");
        let mut writer = lane.writer(rest).await.unwrap();
        let others = lane.allocator().allocate(space().bytes_free).unwrap();
        writer.write(&vec![7; ahead as usize]).await.unwrap();
        assert_eq!(writer.write(&[7]).await, Err(StoreError::NoSpace));
        drop(writer);
        lane.quiesce().await;
        drop(others);
        // The tasks of the writes end when the lane comes to them.
        for _ in 0..1000 {
            if space().bytes_free == rest {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(space().bytes_free, rest);
    });
}
