//! Many clients that read one kibibyte a second of objects that are not in the cache, together
//! several times the memory: the budget holds and everyone else is served.
//!
//! The short form runs always; `GATEWAY_TEST_FULL=1` runs a thousand readers against 512 MiB.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use penstock_tests::client::{Client, expect};
use penstock_tests::content::content;
use penstock_tests::http::Connection;
use penstock_tests::server::{Options, Server, Site};
use penstock_tests::skip::skip;

const BUCKET: &str = "slow";
const BYTES_PER_SECOND: usize = 1024;

/// One size of the test.
struct Form {
    readers: usize,
    object_bytes: usize,
    memory: u64,
    seconds: u64,
}

#[test]
fn two_hundred_slow_readers_stay_within_256_mib() {
    run(&Form { readers: 200, object_bytes: 4 << 20, memory: 256 << 20, seconds: 15 });
}

#[test]
fn a_thousand_slow_readers_stay_within_512_mib() {
    if std::env::var_os("GATEWAY_TEST_FULL").is_none() {
        let name = "a_thousand_slow_readers_stay_within_512_mib";
        return skip(name, "the full form runs with GATEWAY_TEST_FULL=1");
    }
    run(&Form { readers: 1000, object_bytes: 3 << 20, memory: 512 << 20, seconds: 60 });
}

fn run(form: &Form) {
    let site = Site::new();
    let options = Options::default()
        .memory(&form.memory.to_string())
        .extent_bytes((form.readers * form.object_bytes) as u64 + (1 << 30));
    let mut server = options.start(&site);
    store(&server, form);
    // A restart empties the cache.
    server.terminate();
    drop(server);
    let server = options.start(&site);
    let memory = server.watch_memory();
    let mut readers = connect(&server, form);
    let others = read_slowly(&server, &mut readers, form);
    let refused = readers.iter().filter(|reader| reader.status == Some(503)).count();
    let served = readers.iter().filter(|reader| reader.status == Some(200)).count();
    let highest = memory.stop();
    println!(
        "{served} readers served, {refused} refused with 503, others: {} requests, {} refused, \
         slowest {:?}; highest memory {} of {} MiB",
        others.requests,
        others.refused,
        others.slowest,
        highest >> 20,
        form.memory >> 20
    );
    assert!(highest <= form.memory, "{highest} bytes, the budget is {}", form.memory);
    assert_eq!(served + refused, form.readers, "every reader is answered");
    assert!(served * 10 >= form.readers * 9, "only {served} of {} are served", form.readers);
    assert_eq!(others.refused, 0, "of {} requests of others", others.requests);
    assert!(others.requests >= form.seconds * 5, "others are starved: {}", others.requests);
    assert!(others.slowest < Duration::from_secs(5), "others wait {:?}", others.slowest);

    // All gone at once: their reserves come back.
    drop(readers);
    server.assert_nothing_reserved();
    let mut client = server.client();
    let body = expect(client.get(BUCKET, "object-0").unwrap(), 200).unwrap().body;
    assert!(body == content(0, form.object_bytes), "the store is damaged");
}

fn store(server: &Server, form: &Form) {
    let mut client = server.client();
    expect(client.create_bucket(BUCKET).unwrap(), 200).unwrap();
    for number in 0..form.readers {
        let body = content(number as u64, form.object_bytes);
        expect(client.put(BUCKET, &format!("object-{number}"), &body).unwrap(), 200).unwrap();
    }
    expect(client.put(BUCKET, "for-others", &content(1, 100_000)).unwrap(), 200).unwrap();
}

struct Reader {
    connection: Connection,
    status: Option<u16>,
    received: usize,
}

fn connect(server: &Server, form: &Form) -> Vec<Reader> {
    let client = server.client();
    (0..form.readers)
        .map(|number| {
            let mut connection = server.connect().expect("a reader connects");
            // A small window: the kernel must not take the object off the server's hands.
            rustix::net::sockopt::set_socket_recv_buffer_size(connection.stream(), 4096)
                .expect("the receive buffer can be set");
            let request = client.presigned_get(BUCKET, &format!("object-{number}"));
            connection.send(&request.bytes()).expect("a reader asks");
            connection.stream().set_nonblocking(true).expect("a socket can be non-blocking");
            Reader { connection, status: None, received: 0 }
        })
        .collect()
}

/// What another client saw meanwhile.
struct Others {
    requests: u64,
    refused: u64,
    slowest: Duration,
}

fn read_slowly(server: &Server, readers: &mut [Reader], form: &Form) -> Others {
    let until = Instant::now() + Duration::from_secs(form.seconds);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // On its own clock: what the others wait for does not slow the readers further.
            while Instant::now() < until {
                let began = Instant::now();
                readers.iter_mut().for_each(take_a_little);
                std::thread::sleep(Duration::from_secs(1).saturating_sub(began.elapsed()));
            }
        });
        let mut client = server.client();
        let mut others = Others { requests: 0, refused: 0, slowest: Duration::ZERO };
        while Instant::now() < until {
            let asked = Instant::now();
            others.refused += use_normally(&mut client, others.requests);
            others.slowest = others.slowest.max(asked.elapsed());
            others.requests += 3;
        }
        others
    })
}

fn take_a_little(reader: &mut Reader) {
    let mut bytes = [0; BYTES_PER_SECOND];
    match (&mut reader.connection.stream()).read(&mut bytes) {
        Ok(0) => assert_ne!(reader.status, Some(200), "cut after {} bytes", reader.received),
        Ok(count) => {
            if reader.status.is_none() {
                let head = String::from_utf8_lossy(&bytes[..count]).into_owned();
                reader.status = head.get(9..12).and_then(|digits| digits.parse().ok());
            }
            reader.received += count;
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(error) => panic!("a reader's connection broke: {error}"),
    }
}

/// A write, a read of it, and a read of something old; gives the number of refusals.
fn use_normally(client: &mut Client, seed: u64) -> u64 {
    let body = content(seed, 30_000);
    let mut refused = 0;
    let put = client.put(BUCKET, "by-others", &body).unwrap();
    let got = client.get(BUCKET, "by-others").unwrap();
    let shared = client.get(BUCKET, "for-others").unwrap();
    for (response, expected) in [(&put, &[][..]), (&got, &body), (&shared, &content(1, 100_000))] {
        match response.status {
            200 => {}
            503 => refused += 1,
            _ => panic!("another client gets {}", response.outcome()),
        }
        let comparable = response.status == 200 && put.status == 200;
        assert!(!comparable || response.body == expected, "another client reads wrong bytes");
    }
    refused
}
