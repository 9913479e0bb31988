//! Tests: content that others put into frames, and content that others read from frames.

use std::time::Duration;

use bytes::Bytes;

use super::testing::{Simulated, bucket, content, get, new_object, stage, stage_in_frames};
use super::{LaneStore, ReadStream};
use crate::{
    arena::{Frame, Share},
    device::Injection,
    error::StoreError,
    id::PartNumber,
    limits::{
        CHECKSUM_BLOCK_BYTES, FRAMES_AHEAD_MAX, INLINE_BYTES_MAX, WRITE_AHEAD_BYTES,
        WRITER_CHECKSUM_BYTES,
    },
};

const MIB: usize = 1 << 20;

/// What a lane holds of space, of memory to write with and of memory for checksums.
fn held(simulated: &Simulated, lane: &LaneStore) -> (u64, u64, usize) {
    let stats = simulated.store.handle().stats();
    let reserved = lane.arena().stats().writes.reserved_bytes;
    let checksums = WRITER_CHECKSUM_BYTES - lane.checksum_memory().available_permits();
    (stats.space.bytes_free, reserved, checksums)
}

/// Waits until the lane has come to the ends of abandoned writes.
async fn assert_given_back(simulated: &Simulated, lane: &LaneStore, before: (u64, u64, usize)) {
    lane.quiesce().await;
    for _ in 0..1000 {
        if held(simulated, lane) == before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(held(simulated, lane), before);
}

fn fill(frame: &mut Frame, bytes: &[u8]) {
    frame.as_mut_slice()[..bytes.len()].copy_from_slice(bytes);
    frame.set_filled(bytes.len());
}

#[test]
fn content_in_frames_is_stored_as_any_other() {
    let simulated = Simulated::new(&[64 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        let id = bucket(&lane).await;
        for size in [1, 800, 4095, 4096, 65_536, 65_537, 300_000, 9 * MIB + 3] {
            for ahead in [1, 2, FRAMES_AHEAD_MAX, FRAMES_AHEAD_MAX + 3] {
                let (bytes, before) = (content(size as u64, size), held(simulated, &lane));
                let staged = stage_in_frames(&lane, &bytes, ahead).await.unwrap();
                assert_eq!(staged.size(), size as u64);
                assert_eq!(staged.crc64(), crate::crc64(&bytes));
                lane.put(new_object(id, "key"), staged).await.unwrap();
                assert!(get(&lane, "key").await.unwrap() == Some(bytes), "{size}, {ahead} ahead");
                lane.delete(id, crate::Delete::object("key".into())).await.unwrap();
                lane.settle().await.unwrap();
                assert_given_back(simulated, &lane, before).await;
            }
        }
        let empty = stage_in_frames(&lane, &[], 2).await.unwrap();
        lane.put(new_object(id, "key"), empty).await.unwrap();
        assert_eq!(get(&lane, "key").await.unwrap(), Some(Vec::new()));
    });
}

#[test]
fn content_in_frames_survives_a_power_cut() {
    for seed in 0..5 {
        let simulated = Simulated::new(&[32 << 20, 32 << 20]);
        simulated.run(|lane| async move {
            let staged = stage_in_frames(&lane, &content(seed, 9 * MIB + 3), 4).await.unwrap();
            lane.put(new_object(bucket(&lane).await, "key"), staged).await.unwrap();
        });
        let simulated = simulated.after_power_cut(seed);
        simulated.run(|lane| async move {
            let got = get(&lane, "key").await.unwrap();
            assert!(got == Some(content(seed, 9 * MIB + 3)), "seed {seed}");
        });
    }
}

#[test]
fn frames_that_do_not_come_back_cost_nothing() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        bucket(&lane).await;
        let before = held(simulated, &lane);
        for returned in 0..4 {
            let mut writer = lane.frame_writer(2 * MIB as u64).await.unwrap();
            assert_ne!(held(simulated, &lane), before);
            for _ in 0..returned {
                let (mut frame, wanted) = writer.next_frame().await.unwrap().unwrap();
                frame.set_filled(wanted);
                writer.filled(frame).unwrap();
            }
            let (frame, _) = writer.next_frame().await.unwrap().unwrap();
            drop((frame, writer.next_frame().await.unwrap()));
            let missing = writer.finish().await.map(drop);
            assert!(matches!(missing, Err(StoreError::SizeMismatch { .. })), "{missing:?}");
            assert_given_back(simulated, &lane, before).await;
        }
        // The frame may outlive its writer: a device still has it.
        let mut writer = lane.frame_writer(MIB as u64).await.unwrap();
        let (frame, _) = writer.next_frame().await.unwrap().unwrap();
        drop(writer);
        let during = held(simulated, &lane);
        assert_eq!(
            during.1 - before.1,
            frame.capacity() as u64,
            "its memory is not given to others"
        );
        drop(frame);
        assert_given_back(simulated, &lane, before).await;
    });
}

#[test]
fn a_frame_holds_what_it_was_to_hold() {
    let simulated = Simulated::new(&[16 << 20]);
    simulated.run(|lane| async move {
        for wrong in [-1, 1, 4096] {
            let mut writer = lane.frame_writer(100_000).await.unwrap();
            let (mut frame, wanted) = writer.next_frame().await.unwrap().unwrap();
            assert_eq!(wanted, 100_000);
            frame.set_filled(wanted.checked_add_signed(wrong).unwrap());
            let refused = writer.filled(frame);
            assert!(matches!(refused, Err(StoreError::SizeMismatch { expected: 100_000, .. })));
        }
    });
}

#[test]
#[should_panic(expected = "frames come back in order")]
fn frames_come_back_in_order() {
    let simulated = Simulated::new(&[16 << 20]);
    simulated.run(|lane| async move {
        let mut writer = lane.frame_writer(MIB as u64).await.unwrap();
        let first = writer.next_frame().await.unwrap().unwrap();
        let (mut second, wanted) = writer.next_frame().await.unwrap().unwrap();
        fill(&mut second, &content(1, wanted));
        let _ = writer.filled(second);
        drop(first);
    });
}

#[test]
fn two_frames_are_had_when_memory_is_short() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        let id = bucket(&lane).await;
        let writes = lane.arena().stats().writes;
        let blocks = writes.capacity_bytes / CHECKSUM_BLOCK_BYTES;
        let taken = (blocks - 2) * CHECKSUM_BLOCK_BYTES;
        let others = lane.arena().reserve(Share::Writes, taken).unwrap();
        let bytes = content(7, 2 * MIB + 5);
        let mut writer = lane.frame_writer(bytes.len() as u64).await.unwrap();
        let mut out = std::collections::VecDeque::new();
        let mut given = 0;
        loop {
            // One is always out while the next is asked for.
            while let Some((mut frame, wanted)) = writer.next_frame().await.unwrap() {
                fill(&mut frame, &bytes[given..given + wanted]);
                given += wanted;
                out.push_back(frame);
                if out.len() == 2 {
                    break;
                }
            }
            assert!(out.len() == 2 || given == bytes.len(), "{} out at {given}", out.len());
            if out.len() == 2 && given < bytes.len() {
                assert!(writer.next_frame().await.unwrap().is_none(), "not before one is back");
            }
            let Some(frame) = out.pop_front() else {
                break;
            };
            writer.filled(frame).unwrap();
        }
        let staged = writer.finish().await.unwrap();
        lane.put(new_object(id, "key"), staged).await.unwrap();
        drop(others);
        assert!(get(&lane, "key").await.unwrap() == Some(bytes));
    });
}

#[test]
fn a_failed_write_of_a_frame_is_told_and_stores_nothing() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        bucket(&lane).await;
        let before = held(simulated, &lane);
        simulated.disks[0].inject(Injection::WriteError(libc::EIO));
        let failed = stage_in_frames(&lane, &content(1, 2 * MIB), 2).await.map(drop);
        assert!(matches!(failed, Err(StoreError::Device(_))), "{failed:?}");
        assert_given_back(simulated, &lane, before).await;
    });
}

#[test]
fn a_frame_may_be_asked_for_in_vain_and_again() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        let bytes = content(1, 4 * MIB);
        let mut writer = lane.frame_writer(bytes.len() as u64).await.unwrap();
        simulated.disks[0].hold(true);
        let mut given = 0;
        let waited = loop {
            let next = tokio::time::timeout(Duration::from_millis(20), writer.next_frame());
            let Ok(next) = next.await else {
                break given;
            };
            let (mut frame, wanted) = next.unwrap().unwrap();
            fill(&mut frame, &bytes[given..given + wanted]);
            given += wanted;
            writer.filled(frame).unwrap();
        };
        assert!(waited > 0 && waited < bytes.len(), "writes hold all its memory: {waited}");
        simulated.disks[0].inject(Injection::WriteError(libc::EIO));
        simulated.disks[0].hold(false);
        lane.quiesce().await;
        let told = loop {
            match writer.next_frame().await {
                Ok(Some((mut frame, wanted))) => {
                    frame.set_filled(wanted);
                    writer.filled(frame).unwrap();
                }
                Ok(None) => break writer.finish().await.map(drop),
                Err(error) => break Err(error),
            }
        };
        assert!(matches!(told, Err(StoreError::Device(_))), "{told:?}");
    });
}

#[test]
fn frames_are_refused_as_any_body_is() {
    let simulated = Simulated::new(&[192 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        let id = bucket(&lane).await;
        let all = held(simulated, &lane).0;
        assert_eq!(lane.frame_writer(all + 1).await.map(drop), Err(StoreError::NoSpace));
        let endless = lane.frame_writer(u64::MAX).await.map(drop);
        assert_eq!(endless, Err(StoreError::Overload("checksum memory")));
        // Space is taken ahead of the frames, and others may have the rest.
        let mut writer = lane.frame_writer(all).await.unwrap();
        assert_eq!(all - held(simulated, &lane).0, WRITE_AHEAD_BYTES);
        let others = lane.allocator().allocate(all - WRITE_AHEAD_BYTES).unwrap();
        let mut given = 0;
        while given < WRITE_AHEAD_BYTES {
            let (mut frame, wanted) = writer.next_frame().await.unwrap().unwrap();
            frame.set_filled(wanted);
            given += wanted as u64;
            writer.filled(frame).unwrap();
        }
        assert_eq!(writer.next_frame().await.map(drop), Err(StoreError::NoSpace));
        drop((writer, others));
        assert_given_back(simulated, &lane, (all, 0, 0)).await;

        simulated.disks[0].inject(Injection::FlushError(libc::EIO));
        let staged = stage(&lane, &content(1, MIB)).await.unwrap();
        lane.put(new_object(id, "key"), staged).await.unwrap_err();
        let refused = lane.frame_writer(1).await.map(drop);
        assert!(matches!(refused, Err(StoreError::ReadOnly(_))), "{refused:?}");
    });
}

/// All of a stream, every piece of which must lie in the arena.
async fn framed(lane: &LaneStore, mut stream: ReadStream) -> (Vec<u8>, u64) {
    let regions: Vec<_> = (0..lane.arena().region_count())
        .map(|index| lane.arena().region(index))
        .map(|(start, bytes)| start.addr()..start.addr() + bytes)
        .collect();
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        let piece: Bytes = piece.unwrap();
        let (start, end) = (piece.as_ptr().addr(), piece.as_ptr().addr() + piece.len());
        assert!(regions.iter().any(|region| region.start <= start && end <= region.end));
        bytes.extend_from_slice(&piece);
    }
    (bytes, stream.copied_bytes())
}

#[test]
fn content_of_records_is_read_in_frames() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        let id = bucket(&lane).await;
        let inline = INLINE_BYTES_MAX as usize;
        for (size, copied) in [(0, 0), (1, 1), (inline, inline), (inline + 1, 0), (200_000, 0)] {
            let bytes = content(3, size);
            let staged = stage(&lane, &bytes).await.unwrap();
            lane.put(new_object(id, "key"), staged).await.unwrap();
            let object = lane.open(id, b"key", None).unwrap().there().unwrap();
            for range in [0..size, size / 3..size, size / 3..size / 2] {
                let wanted = range.start as u64..range.end as u64;
                let stream = object.read_in_frames(wanted.clone()).await.unwrap();
                let (got, was_copied) = framed(&lane, stream).await;
                assert!(got == bytes[range.clone()], "{range:?} of {size}");
                let copied = if copied == 0 { 0 } else { range.len() as u64 };
                assert_eq!(was_copied, copied, "{range:?} of {size}");
                let plain = object.read(wanted).await.unwrap();
                assert_eq!(plain.copied_bytes(), 0);
            }
        }
        assert_eq!(lane.arena().stats().reads.reserved_bytes, 0);
    });
}

#[test]
fn parts_in_records_are_read_in_frames() {
    let simulated = Simulated::new(&[16 << 20]);
    let simulated = &simulated;
    simulated.run(|lane| async move {
        let id = bucket(&lane).await;
        let upload = lane.create_upload(id, "key".into(), Bytes::new()).await.unwrap();
        let (mut parts, mut whole) = (Vec::new(), Vec::new());
        for (number, size) in [(1, 70_000), (2, 900), (3, 1), (4, 5000), (5, 1024)] {
            let bytes = content(number.into(), size);
            let staged = stage(&lane, &bytes).await.unwrap();
            let number = PartNumber(number);
            let part = lane.put_part(upload, number, "tag".into(), Bytes::new(), staged).await;
            parts.push((number, part.unwrap().id));
            whole.extend_from_slice(&bytes);
        }
        lane.complete(upload, parts, new_object(id, "key"), None).await.unwrap();
        let object = lane.open(id, b"key", None).unwrap().there().unwrap();
        let stream = object.read_in_frames(0..whole.len() as u64).await.unwrap();
        assert_eq!(framed(&lane, stream).await, (whole.clone(), 900 + 1 + 1024));
        let stream = object.read_in_frames(70_100..70_902).await.unwrap();
        assert_eq!(framed(&lane, stream).await, (whole[70_100..70_902].to_vec(), 801));
    });
}
