//! The store on raw NVMe drives, one with sectors of 512 bytes and one of 4096: direct, by
//! registered buffers, durable under kill -9. Elsewhere the tests have files.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use penstock_tests::client::{Client, expect};
use penstock_tests::content::content;
use penstock_tests::guest::{Drive, DriveStore, Guest, text};
use penstock_tests::random::{Random, seed};
use penstock_tests::server::Site;

const BUCKET: &str = "drives";

fn path(drive: &Drive) -> String {
    drive.path().display().to_string()
}

#[test]
fn drives_are_used_directly_and_by_registered_buffers() {
    let Some(guest) = Guest::here("drives_are_used_directly_and_by_registered_buffers") else {
        return;
    };
    let sectors: Vec<u64> = guest.drives(2).iter().map(Drive::sector_bytes).collect();
    assert_eq!(sectors, [512, 4096], "the suite's drives");
    let store = DriveStore::new(&guest);
    let server = store.start();
    let metrics = server.metrics();
    println!("{}", server.log());
    assert_eq!(metrics.value("penstock_registered_buffers", &[]), 1.0, "{}", server.log());
    assert!(metrics.value("penstock_lanes", &["engine=\"io_uring\""]) >= 1.0);
    for drive in &store.drives {
        let label = format!("device=\"{}\"", path(drive));
        assert_eq!(metrics.value("penstock_device_direct_io", &[&label]), 1.0, "{label}");
    }
    // Nearly all of both drives is the store's.
    let capacity: u64 = store.drives.iter().map(Drive::bytes).sum();
    let given = metrics.value("penstock_store_bytes", &[]);
    assert!(given > 0.99 * capacity as f64 && given <= capacity as f64, "{given} of {capacity}");

    // The kernel saw the bytes go to the drives before the answers came, not to the page cache.
    let before = store.moved_bytes();
    let each_before: Vec<(u64, u64)> =
        store.drives.iter().map(|it| (it.moved_bytes().1, it.flushes())).collect();
    let bytes = 64 << 20;
    store.loadgen(&server, BUCKET).run("put", &["-n", "16", "-s", "4MiB", "-c", "4"]);
    let written = store.moved_bytes().1 - before.1;
    println!("{written} bytes written to the drives for {bytes}");
    assert!(written >= bytes, "{written} bytes reached the drives of {bytes} acknowledged");
    assert!(written < bytes + bytes / 8, "{written} bytes written for {bytes}");
    for (drive, (written, flushes)) in store.drives.iter().zip(each_before) {
        assert!(drive.moved_bytes().1 > written, "nothing was put on {drive:?}");
        // Their caches are volatile: what was acknowledged without a flush could be lost.
        assert!(drive.flushes() > flushes, "{drive:?} was not flushed");
    }
    store.stop(server);
}

#[test]
fn objects_of_every_size_come_back_whole() {
    let Some(guest) = Guest::here("objects_of_every_size_come_back_whole") else {
        return;
    };
    let store = DriveStore::new(&guest);
    let server = store.start();
    let loads = store.loadgen(&server, BUCKET);
    let small = ["-n", "300", "-s", "1B-256KiB", "--prefix", "small/"];
    let large = ["-n", "6", "-s", "1MiB-48MiB", "--prefix", "large/"];
    for objects in [&small, &large] {
        loads.run("put", &objects[..]);
    }
    // A new process has nothing in memory: what it reads was on the drives.
    store.stop(server);
    let server = store.start();
    let loads = store.loadgen(&server, BUCKET);
    let (read_before, _) = store.moved_bytes();
    for objects in [&small, &large] {
        let report = loads.run("verify", &objects[..]);
        assert_eq!(report["total"]["errors"], 0, "{report}");
    }
    let report = loads.run("verify", &large);
    let bytes = report["total"]["bytes"].as_u64().expect("a number of bytes");
    let read = store.moved_bytes().0 - read_before;
    assert!(read >= bytes, "{read} bytes were read from the drives of at least {bytes}");
    // Odd offsets and lengths: direct reads need whole sectors, of either size.
    let ranges = ["--range", "70001", "--range-offset", "random", "--verify", "--requests", "200"];
    loads.run("get", &[&large[..], &ranges[..]].concat());
    store.stop(server);
}

#[test]
fn acknowledged_objects_survive_kills_on_drives() {
    let Some(guest) = Guest::here("acknowledged_objects_survive_kills_on_drives") else {
        return;
    };
    let mut random = Random::new(seed("acknowledged_objects_survive_kills_on_drives"));
    let store = DriveStore::new(&guest);
    let mut server = store.start();
    expect(server.client().create_bucket(BUCKET).unwrap(), 200).unwrap();
    let mut acknowledged = BTreeMap::new();
    for round in 0..4 {
        let stop = AtomicBool::new(false);
        let pause = Duration::from_millis(500 + random.below(1_000));
        let seed = random.bits();
        let written = std::thread::scope(|scope| {
            let client = server.client();
            let writer = scope.spawn(|| write_until_refused(client, round, seed, &stop));
            std::thread::sleep(pause);
            server.kill();
            stop.store(true, Ordering::Relaxed);
            writer.join().expect("the writer panicked")
        });
        assert!(!written.is_empty(), "nothing was acknowledged in round {round}");
        acknowledged.extend(written);
        store.assert_consistent();
        server = store.start();
        let mut client = server.client();
        for (key, (seed, size)) in &acknowledged {
            let got = expect(client.get(BUCKET, key).unwrap(), 200).unwrap();
            assert!(got.body == content(*seed, *size), "{key} came back different");
        }
    }
    println!("{} objects acknowledged and intact", acknowledged.len());
    store.stop(server);
}

/// Puts new objects until the connection breaks; gives those that were acknowledged.
fn write_until_refused(
    mut client: Client,
    round: u32,
    seed: u64,
    stop: &AtomicBool,
) -> BTreeMap<String, (u64, usize)> {
    let mut random = Random::new(seed);
    let mut acknowledged = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        let key = format!("round-{round}/{:04}", acknowledged.len());
        let (seed, size) = (random.bits(), random.below(400_000) as usize);
        match client.put(BUCKET, &key, &content(seed, size)) {
            Ok(response) if response.status == 200 => {
                acknowledged.insert(key, (seed, size));
            }
            Ok(response) => panic!("{key}: {}", response.text()),
            Err(_) => break,
        }
    }
    acknowledged
}

#[test]
fn a_store_on_drives_is_not_overwritten_unasked() {
    let Some(guest) = Guest::here("a_store_on_drives_is_not_overwritten_unasked") else {
        return;
    };
    let store = DriveStore::new(&guest);
    let server = store.start();
    let loads = store.loadgen(&server, BUCKET);
    loads.run("put", &["-n", "20", "-s", "10KiB"]);
    store.stop(server);
    let other = DriveStore { site: Site::new(), drives: store.drives.clone() };
    let output = other.command("format", &[]);
    assert!(!output.status.success(), "format overwrote a store: {}", text(&output));
    let said = text(&output);
    assert!(store.drives.iter().any(|drive| said.contains(&path(drive))), "which?\n{said}");
    let server = store.start();
    store.loadgen(&server, BUCKET).run("verify", &["-n", "20", "-s", "10KiB"]);
    store.stop(server);
}
