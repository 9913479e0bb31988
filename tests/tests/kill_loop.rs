//! kill -9 at random moments, many times: what was acknowledged is intact, what was not is either
//! old or new, the store is consistent, and no space is lost.
//!
//! Four writers own disjoint keys. Each records what it was told before it goes on, so at the kill
//! every key has one acknowledged state and at most one write in flight.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use penstock_tests::client::{Client, expect};
use penstock_tests::content::content;
use penstock_tests::random::{Random, seed};
use penstock_tests::server::{Options, Server, Site};

const BUCKET: &str = "kills";
const WRITERS: u64 = 4;
const KEYS_PER_WRITER: u64 = 12;
const PUT_BYTES_MAX: u64 = 3 << 20;
/// S3 takes smaller parts only at the end.
const PART_BYTES: usize = 5 << 20;
const EXTENT_BYTES: u64 = 1 << 30;

/// Content of a key: absent, or made from a seed. A multipart object is one content cut into parts.
type State = Option<(u64, usize)>;

/// One key as its writer knows it.
#[derive(Debug, Default, Clone, Copy)]
struct Key {
    acknowledged: State,
    /// The outcome of a write that was sent and not answered.
    in_flight: Option<State>,
}

type Keys = BTreeMap<String, Key>;

#[test]
fn acknowledged_writes_survive_kills() {
    let kills: u32 = std::env::var("GATEWAY_TEST_KILLS")
        .map_or(25, |text| text.parse().expect("GATEWAY_TEST_KILLS is a number"));
    let mut random = Random::new(seed("acknowledged_writes_survive_kills"));
    let site = Site::new();
    let options = Options::default().extent_bytes(EXTENT_BYTES);
    let mut server = options.start(&site);
    expect(server.client().create_bucket(BUCKET).unwrap(), 200).unwrap();
    let empty_bytes = stored_bytes(&server);
    let mut writers: Vec<Keys> = vec![Keys::new(); WRITERS as usize];
    let mut acknowledged = 0;
    let mut caught_in_flight = 0;
    for round in 1..=kills {
        acknowledged += write_until_killed(&mut server, &mut writers, &mut random);
        drop(server);
        site.assert_consistent();
        server = options.start(&site);
        let mut client = server.client();
        for keys in &mut writers {
            caught_in_flight += settle(&mut client, keys, round);
        }
        assert_listing(&mut client, &writers, round);
    }
    println!("{kills} kills, {acknowledged} acknowledged, {caught_in_flight} in flight at a kill");
    assert!(acknowledged > u64::from(kills) * 10, "too little was written to prove anything");
    assert!(caught_in_flight > 0, "no kill fell into a write: the loop proves nothing");

    let mut client = server.client();
    client.empty_bucket(BUCKET).unwrap();
    assert_eq!(server.terminate().code(), Some(0));
    site.assert_consistent();
    let server = options.start(&site);
    assert_eq!(stored_bytes(&server), empty_bytes, "space is lost after all was deleted");
}

/// Lets every writer work for a random time, then kills the server under them.
fn write_until_killed(server: &mut Server, writers: &mut [Keys], random: &mut Random) -> u64 {
    let pause = Duration::from_millis(100 + random.below(1_400));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = writers
            .iter_mut()
            .enumerate()
            .map(|(writer, keys)| {
                let client = server.client();
                let random = Random::new(random.bits());
                let stop = &stop;
                scope.spawn(move || write(client, writer as u64, keys, random, stop))
            })
            .collect();
        std::thread::sleep(pause);
        server.kill();
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join().expect("a writer panicked")).sum()
    })
}

/// Writes until the connection breaks; gives the number of acknowledged writes.
fn write(
    mut client: Client,
    writer: u64,
    keys: &mut Keys,
    mut random: Random,
    stop: &AtomicBool,
) -> u64 {
    let mut acknowledged = 0;
    while !stop.load(Ordering::Relaxed) {
        let name = format!("writer-{writer}/key-{:02}", random.below(KEYS_PER_WRITER));
        let seed = random.bits();
        let outcome = match random.below(10) {
            0..=6 => Some((seed, size(&mut random))),
            7 => Some((seed, PART_BYTES + random.below(100_000) as usize)),
            _ => None,
        };
        let key = keys.entry(name.clone()).or_default();
        // Until the last request of a multipart upload is sent nothing can become visible.
        let sent = match outcome {
            None => {
                key.in_flight = Some(None);
                client.delete(BUCKET, &name).map(|response| (response, 204))
            }
            Some((seed, size)) if size > PUT_BYTES_MAX as usize => {
                upload(&mut client, &name, &content(seed, size), || {
                    key.in_flight = Some(outcome);
                })
            }
            Some((seed, size)) => {
                key.in_flight = Some(outcome);
                client.put(BUCKET, &name, &content(seed, size)).map(|response| (response, 200))
            }
        };
        let Ok((response, wanted)) = sent else {
            return acknowledged;
        };
        // A refusal (503) is no acknowledgement, and no write either. CompleteMultipartUpload may
        // carry its error under a 200.
        if response.status == wanted && response.code().is_none() {
            key.acknowledged = outcome;
            acknowledged += 1;
        } else {
            assert_eq!(response.status, 503, "{name}: {}", response.text());
        }
        key.in_flight = None;
    }
    acknowledged
}

/// Small objects, block borders and sizes up to the largest, all often.
fn size(random: &mut Random) -> usize {
    let size = match random.below(5) {
        0 => random.below(200),
        1 => 65_536 * random.below(4),
        2 => random.below(70_000),
        _ => random.below(PUT_BYTES_MAX),
    };
    size as usize
}

fn upload(
    client: &mut Client,
    name: &str,
    body: &[u8],
    before_completion: impl FnOnce(),
) -> std::io::Result<(penstock_tests::http::Response, u16)> {
    let upload = client.create_upload(BUCKET, name)?;
    let (first, last) = body.split_at(PART_BYTES);
    let last_tag = client.put_part(BUCKET, name, &upload, 2, last)?;
    let first_tag = client.put_part(BUCKET, name, &upload, 1, first)?;
    before_completion();
    let response = client.complete(BUCKET, name, &upload, &[(1, first_tag), (2, last_tag)])?;
    Ok((response, 200))
}

/// Compares every key with what its writer knows, and takes over what the server decided about the
/// writes in flight. Gives their number.
fn settle(client: &mut Client, keys: &mut Keys, round: u32) -> u64 {
    let mut in_flight = 0;
    for (name, key) in keys.iter_mut() {
        let response = client.get(BUCKET, name).expect("the restarted server answers");
        let holds = |state: &State| match state {
            None => response.status == 404,
            Some((seed, size)) => response.status == 200 && response.body == content(*seed, *size),
        };
        let possible: Vec<State> = std::iter::once(key.acknowledged).chain(key.in_flight).collect();
        let Some(state) = possible.iter().find(|state| holds(state)) else {
            panic!(
                "after kill {round}, {name}: {} with {} bytes, expected one of {possible:?}",
                response.outcome(),
                response.body.len()
            )
        };
        in_flight += u64::from(key.in_flight.is_some());
        *key = Key { acknowledged: *state, in_flight: None };
    }
    in_flight
}

fn assert_listing(client: &mut Client, writers: &[Keys], round: u32) {
    let mut expected: Vec<&str> = writers
        .iter()
        .flatten()
        .filter(|(_, key)| key.acknowledged.is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    expected.sort_unstable();
    assert_eq!(client.keys(BUCKET).unwrap(), expected, "the listing after kill {round}");
}

/// Bytes of the devices that are not free.
fn stored_bytes(server: &Server) -> f64 {
    let metrics = server.metrics();
    metrics.value("penstock_store_bytes", &[]) - metrics.value("penstock_store_free_bytes", &[])
}
