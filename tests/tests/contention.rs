//! Many clients at the same keys at once: of those that create an object only if there is none, one
//! wins; and versions, delete markers and their removal leave a listing that is what the clients
//! were told.
//!
//! 200 rounds of 64 writers run always; `GATEWAY_TEST_FULL=1` runs a thousand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use penstock_tests::client::{Client, expect};
use penstock_tests::http::elements;
use penstock_tests::random::{Random, seed};
use penstock_tests::server::{Options, Server, Site};
use penstock_tests::skip::skip;

const BUCKET: &str = "contended";

const WRITERS: usize = 64;

#[test]
fn of_sixty_four_writers_that_create_a_key_one_wins() {
    race(200);
}

#[test]
fn of_sixty_four_writers_one_wins_a_thousand_times() {
    if std::env::var_os("GATEWAY_TEST_FULL").is_none() {
        let name = "of_sixty_four_writers_one_wins_a_thousand_times";
        return skip(name, "the full form runs with GATEWAY_TEST_FULL=1");
    }
    race(1000);
}

fn race(rounds: usize) {
    let site = Site::new();
    let mut server = Options::default().start(&site);
    expect(server.client().create_bucket(BUCKET).unwrap(), 200).unwrap();
    let round_begins = Barrier::new(WRITERS);
    let begun = Instant::now();
    let writer = |number: usize| -> Vec<usize> {
        let mut client = server.client();
        let won = |round: &usize| {
            round_begins.wait();
            create(&mut client, *round, number)
        };
        (0..rounds).filter(won).collect()
    };
    let won: Vec<Vec<usize>> = thread::scope(|scope| {
        let writers: Vec<_> =
            (0..WRITERS).map(|number| scope.spawn(move || writer(number))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    println!("{rounds} rounds of {WRITERS} writers in {:?}", begun.elapsed());
    let mut winners = BTreeMap::<usize, Vec<usize>>::new();
    for (number, of_writer) in won.iter().enumerate() {
        of_writer.iter().for_each(|round| winners.entry(*round).or_default().push(number));
    }
    let mut client = server.client();
    for round in 0..rounds {
        let [winner] = winners.get(&round).map_or(&[][..], Vec::as_slice) else {
            panic!("round {round} was won by {:?}", winners.get(&round));
        };
        let object = expect(client.get(BUCKET, &key_of(round)).unwrap(), 200).unwrap();
        assert_eq!(object.text(), format!("writer {winner}"), "round {round}");
    }
    assert!(server.terminate().success());
    site.assert_consistent();
}

fn key_of(round: usize) -> String {
    format!("round-{round}")
}

/// Whether this writer's object is the key's.
fn create(client: &mut Client, round: usize, number: usize) -> bool {
    let request = client.request("PUT", BUCKET, &key_of(round)).header("If-None-Match", "*");
    let answer = client.run(request.body(format!("writer {number}"))).unwrap();
    let lost = answer.status == 412 && answer.code().as_deref() == Some("PreconditionFailed");
    assert!(lost || answer.status == 200, "round {round}: {}", answer.outcome());
    !lost
}

const CLIENTS: usize = 16;
const KEYS: u64 = 12;
const STEPS: usize = 150;
/// Entries of a page: pages end within keys.
const PAGE: usize = 50;

/// A version or delete marker that a client was told of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Made {
    key: String,
    id: String,
    marker: bool,
    client: usize,
    step: usize,
}

impl Made {
    fn body(&self) -> String {
        format!("client {} step {}", self.client, self.step)
    }
}

#[test]
fn sixteen_clients_leave_the_versions_that_they_were_told_of() {
    let site = Site::new();
    let mut server = Options::default().start(&site);
    let mut client = server.client();
    expect(client.create_bucket(BUCKET).unwrap(), 200).unwrap();
    let configuration =
        "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let request = client.request("PUT", BUCKET, "").query("versioning", "").body(configuration);
    expect(client.run(request).unwrap(), 200).unwrap();
    let seed = seed("sixteen_clients_leave_the_versions_that_they_were_told_of");
    let left: Vec<Made> = thread::scope(|scope| {
        let server = &server;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || work(server, number, seed + number as u64)))
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let listed = listed(&mut client);
    check(&left, &listed);
    for made in left.iter().filter(|made| !made.marker) {
        let request = client.request("GET", BUCKET, &made.key).query("versionId", &made.id);
        assert_eq!(expect(client.run(request).unwrap(), 200).unwrap().text(), made.body());
    }
    for latest in listed.iter().filter(|entry| entry.latest) {
        let answer = client.get(BUCKET, &latest.key).unwrap();
        assert_eq!(answer.header("x-amz-version-id"), Some(&*latest.id));
        assert_eq!(answer.status, if latest.marker { 404 } else { 200 });
    }
    assert!(server.terminate().success());
    site.assert_consistent();
}

/// Puts, covers and removes; what is left of what this client made.
fn work(server: &Server, number: usize, seed: u64) -> Vec<Made> {
    let mut random = Random::new(seed);
    let mut client = server.client();
    let mut left: Vec<Made> = Vec::new();
    for step in 0..STEPS {
        let key = format!("key-{}", random.below(KEYS));
        let made = |id: Option<&str>, marker| Made {
            key: key.clone(),
            id: id.expect("an answer names the version").to_owned(),
            marker,
            client: number,
            step,
        };
        match random.below(100) {
            0..55 => {
                let body = made(Some(""), false).body();
                let answer = expect(client.put(BUCKET, &key, body.as_bytes()).unwrap(), 200);
                left.push(made(answer.unwrap().header("x-amz-version-id"), false));
            }
            55..80 => {
                let answer = expect(client.delete(BUCKET, &key).unwrap(), 204).unwrap();
                assert_eq!(answer.header("x-amz-delete-marker"), Some("true"));
                left.push(made(answer.header("x-amz-version-id"), true));
            }
            _ if left.is_empty() => {}
            _ => {
                let gone = left.swap_remove(random.below(left.len() as u64) as usize);
                let request = client.request("DELETE", BUCKET, &gone.key);
                let answer = client.run(request.query("versionId", &gone.id)).unwrap();
                let answer = expect(answer, 204).unwrap();
                assert_eq!(answer.header("x-amz-version-id"), Some(&*gone.id));
                let marker = answer.header("x-amz-delete-marker") == Some("true");
                assert_eq!(marker, gone.marker, "{gone:?}");
            }
        }
    }
    left
}

/// An entry of ListObjectVersions.
#[derive(Debug)]
struct Entry {
    key: String,
    id: String,
    marker: bool,
    latest: bool,
}

/// All pages; of each key its versions newest first, and its delete markers newest first.
fn listed(client: &mut Client) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut after: Option<(String, String)> = None;
    loop {
        let mut request = client.request("GET", BUCKET, "").query("versions", "");
        request = request.query("max-keys", &PAGE.to_string());
        if let Some((key, id)) = &after {
            request = request.query("key-marker", key).query("version-id-marker", id);
        }
        let page = expect(client.run(request).unwrap(), 200).unwrap();
        for (tag, marker) in [("Version", false), ("DeleteMarker", true)] {
            for entry in elements(&page.text(), tag) {
                let field = |tag: &str| elements(&entry, tag).pop().unwrap();
                let latest = field("IsLatest") == "true";
                entries.push(Entry { key: field("Key"), id: field("VersionId"), marker, latest });
            }
        }
        let next = |tag: &str| page.element(tag);
        match (next("NextKeyMarker"), next("NextVersionIdMarker")) {
            (Some(key), Some(id)) => after = Some((key, id)),
            _ => return entries,
        }
    }
}

fn check(left: &[Made], listed: &[Entry]) {
    type Names<'a> = BTreeSet<(&'a str, &'a str, bool)>;
    let told: Names<'_> = left.iter().map(|it| (&*it.key, &*it.id, it.marker)).collect();
    let found: Names<'_> = listed.iter().map(|it| (&*it.key, &*it.id, it.marker)).collect();
    assert_eq!(found, told);
    assert_eq!(listed.len(), found.len(), "an entry is listed once");
    let by_id: BTreeMap<&str, &Made> = left.iter().map(|made| (&*made.id, made)).collect();
    for key in found.iter().map(|(key, ..)| *key).collect::<BTreeSet<_>>() {
        let of_key: Vec<&Entry> = listed.iter().filter(|entry| entry.key == key).collect();
        let latest: Vec<&Made> =
            of_key.iter().filter(|it| it.latest).map(|it| by_id[&*it.id]).collect();
        let [latest] = latest[..] else { panic!("{key} has {} latest versions", latest.len()) };
        let of_same = |made: &&Made| made.key == key && made.client == latest.client;
        let last = left.iter().filter(of_same).map(|made| made.step).max();
        assert_eq!(last, Some(latest.step), "its maker has made a newer one: {latest:?}");
        for marker in [false, true] {
            let mut before = BTreeMap::new();
            for entry in of_key.iter().filter(|entry| entry.marker == marker) {
                let made = by_id[&*entry.id];
                let newer = before.insert(made.client, made.step);
                assert!(newer.is_none_or(|newer| newer > made.step), "{key} is out of order");
            }
        }
    }
}
