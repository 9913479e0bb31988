//! An RDMA client in a process of its own.
//!
//! ```text
//! rdma-client stay SERVER TARGET BYTES STEP                    goes as far as STEP, says `there`, stays
//! rdma-client put|get SERVER BUCKET KEY BYTES PROTOCOL [OFFSET]   one object, its content checked
//! ```
//!
//! SERVER is an address with a port. Credentials are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. The
//! device is `rxe0`, or `RDMA_DEVICE`. The content of an object follows from its key's length and size.

use std::time::Duration;

use penstock_tests::content::pages;
use penstock_tests::rdma::{Asker, Host, Objects, Order, Protocol, Raw, Step};
use penstock_tests::sign::Credentials;
use rdma::client::{Get, Put};
use rdma::fabric::RemoteAccess;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let device = std::env::var("RDMA_DEVICE").unwrap_or_else(|_| "rxe0".to_owned());
    match words[..] {
        ["stay", server, target, bytes, step] => {
            let step = Step::parse(step).expect("a step");
            let (asker, bytes) = (asker(server), number(bytes));
            Host::run(&device, |host| stay(Raw { host, asker }, target.to_owned(), bytes, step));
        }
        [what @ ("put" | "get"), server, bucket, key, bytes, protocol, ref offset @ ..] => {
            let protocol = Protocol::ALL.into_iter().find(|it| it.name() == protocol);
            let protocol = protocol.expect("session or pooled");
            let offset = offset.first().map(|text| number(text));
            let (asker, bytes) = (asker(server), number(bytes));
            Host::run(&device, async |host| {
                let objects = Objects::new(&host, asker);
                if what == "put" {
                    put(&host, &objects, protocol, bucket, key, bytes).await;
                } else {
                    get(&host, &objects, protocol, bucket, key, bytes, offset).await;
                }
                objects.disconnect().await;
            });
        }
        _ => panic!("unknown arguments {words:?}"),
    }
}

fn asker(server: &str) -> Asker {
    let variable = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let credentials = Credentials {
        access_key: variable("AWS_ACCESS_KEY_ID"),
        secret_key: variable("AWS_SECRET_ACCESS_KEY"),
    };
    Asker { address: server.parse().expect("an address with a port"), credentials }
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

async fn put(
    host: &Host,
    objects: &Objects,
    protocol: Protocol,
    bucket: &str,
    key: &str,
    bytes: u64,
) {
    let memory = host.filled(&pages(key.len() as u64, bytes as usize));
    objects.put(protocol, &Put::object(bucket, key, bytes), memory).await;
}

async fn get(
    host: &Host,
    objects: &Objects,
    protocol: Protocol,
    bucket: &str,
    key: &str,
    bytes: u64,
    offset: Option<u64>,
) {
    let get = Get::object(bucket, key);
    let get = match offset {
        Some(offset) => get.range(offset, bytes),
        None => get,
    };
    let (memory, _) = objects.get(protocol, &get, bytes, host.blank(bytes as usize)).await;
    let first = offset.unwrap_or(0) as usize;
    let expected = pages(key.len() as u64, first + bytes as usize);
    // Where the range ends in the middle of a page, the expected content's last page is no whole one.
    let whole = expected.len() / 4096 * 4096;
    let compared = whole.saturating_sub(first).min(memory.size());
    let compared = if offset.is_none() { memory.size() } else { compared };
    assert!(memory.as_slice()[..compared] == expected[first..first + compared], "{key} differs");
}

/// Goes as far as the step.
async fn stay(client: Raw, target: String, bytes: u64, step: Step) {
    let memory = usize::try_from(bytes).expect("an address space");
    let there = || println!("{}", penstock_tests::rdma::THERE);
    let stay = || tokio::time::sleep(Duration::from_secs(600));
    match step {
        Step::GetPrepared | Step::GetMoving => {
            let session = client.prepare(&Order::get(&target, bytes)).expect("prepared");
            let window = client.host.window(memory, RemoteAccess::Write);
            session.pair.post_receive().expect("a receive");
            let _ready = (step == Step::GetMoving).then(|| session.ready(Some(window.remote())));
            there();
            stay().await;
        }
        Step::PutPrepared | Step::PutMoving | Step::PutWritten | Step::PutFinished => {
            let source = client.host.filled(&pages(1, memory)).lend();
            let session = client.prepare(&Order::put(&target, bytes)).expect("prepared");
            let _ready = (step != Step::PutPrepared).then(|| session.ready(None));
            match step {
                Step::PutPrepared => {}
                Step::PutMoving => session.write(source, Some(session.cookie.number())),
                _ => {
                    let last = step == Step::PutFinished;
                    session.write(source, last.then(|| session.cookie.number()));
                    session.completion().await;
                }
            }
            there();
            stay().await;
        }
        Step::PooledGetMoving | Step::PooledPutMoving => {
            let connection = client.connect_pooled(RemoteAccess::ReadWrite).expect("connected");
            let memory = client.host.filled(&pages(1, memory));
            let window = memory.expose(RemoteAccess::ReadWrite).expect("registered");
            let method = if step == Step::PooledGetMoving { "GET" } else { "PUT" };
            let _pending = connection.start(method, &target, window.remote());
            there();
            stay().await;
        }
    }
}
