//! A 200 to a write follows a flush of the data, then a flush of the index: seen from outside, in
//! the system calls of the real binary. A kill proves nothing of this, since the page cache
//! survives it.

use std::fs;
use std::process::Command;

use penstock_tests::client::expect;
use penstock_tests::content::content;
use penstock_tests::server::{Options, Server, Site};
use penstock_tests::skip::{has_program, skip};
use penstock_tests::trace::{Call, Names, check_order, parse};

const CALLS: &str = "trace=fdatasync,fsync,pwrite64,pwritev,pwritev2,write,writev,sendto,sendmsg,\
                     read,readv,recvfrom,recvmsg,io_uring_enter,openat";

#[test]
fn data_then_index_then_response() {
    let name = "data_then_index_then_response";
    if let Err(reason) = strace_works() {
        return skip(name, &reason);
    }
    let site = Site::new();
    let server = start(&site);
    let mut client = server.client();
    expect(client.create_bucket("order").unwrap(), 200).unwrap();
    client.disconnect();

    let mut client = server.client();
    for round in 0..20 {
        let body = content(round, 200_000 + round as usize * 10_000);
        expect(client.put("order", &format!("object-{round}"), &body).unwrap(), 200).unwrap();
    }
    let names = names(&site, &server);
    let calls = stop(&site, server);
    let puts = only_puts(&calls, &names);
    let checked = check_order(&puts, &names, true).unwrap_or_else(|what| panic!("{what}"));
    assert_eq!(checked, 20, "every PUT's answer is in the trace");

    // The checker itself: the same trace without one of the flushes must not pass.
    let without_data = without_flush(&puts, &names.data[0]);
    assert!(check_order(&without_data, &names, true).is_err(), "a lost data flush goes unseen");
    let without_index = without_flush(&puts, &names.index);
    assert!(check_order(&without_index, &names, true).is_err(), "a lost index flush goes unseen");
}

#[test]
fn the_order_holds_for_batches_of_concurrent_writes() {
    let name = "the_order_holds_for_batches_of_concurrent_writes";
    if let Err(reason) = strace_works() {
        return skip(name, &reason);
    }
    let site = Site::new();
    let server = start(&site);
    let mut client = server.client();
    expect(client.create_bucket("order").unwrap(), 200).unwrap();
    client.disconnect();
    std::thread::scope(|scope| {
        for writer in 0..6_u64 {
            let mut client = server.client();
            scope.spawn(move || {
                for round in 0..8 {
                    let body = content(writer * 100 + round, 150_000);
                    let key = format!("object-{writer}-{round}");
                    expect(client.put("order", &key, &body).unwrap(), 200).unwrap();
                }
            });
        }
    });
    let names = names(&site, &server);
    let calls = only_puts(&stop(&site, server), &names);
    let checked = check_order(&calls, &names, true).unwrap_or_else(|what| panic!("{what}"));
    assert_eq!(checked, 48, "every PUT's answer is in the trace");
}

#[test]
fn objects_in_the_index_wait_for_the_index() {
    let name = "objects_in_the_index_wait_for_the_index";
    if let Err(reason) = strace_works() {
        return skip(name, &reason);
    }
    let site = Site::new();
    let server = start(&site);
    let mut client = server.client();
    expect(client.create_bucket("order").unwrap(), 200).unwrap();
    client.disconnect();
    for round in 0..10 {
        expect(client.put("order", &format!("tiny-{round}"), b"tiny").unwrap(), 200).unwrap();
    }
    let names = names(&site, &server);
    let calls = only_puts(&stop(&site, server), &names);
    let checked = check_order(&calls, &names, false).unwrap_or_else(|what| panic!("{what}"));
    assert_eq!(checked, 10, "every PUT's answer is in the trace");
}

fn strace_works() -> Result<(), String> {
    if !has_program("strace") {
        return Err("strace is not installed".to_owned());
    }
    let output = Command::new("strace").args(["-f", "-yy", "-o", "/dev/null", "true"]).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("strace: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("strace: {error}")),
    }
}

fn start(site: &Site) -> Server {
    let trace = site.path().join("trace").display().to_string();
    Options::default()
        .launcher(["strace", "-f", "-yy", "-s", "32", "-e", CALLS, "-o", &trace])
        .start(site)
}

fn stop(site: &Site, mut server: Server) -> Vec<Call> {
    server.terminate();
    parse(&String::from_utf8_lossy(&fs::read(site.path().join("trace")).unwrap()))
}

fn names(site: &Site, server: &Server) -> Names {
    let data = site.data().canonicalize().unwrap();
    Names {
        data: vec![data.join("extents").display().to_string()],
        index: data.join("index/data.mdb").display().to_string(),
        endpoint: server.address.to_string(),
    }
}

/// The trace from the first request for an object on: the start and CreateBucket flush too.
fn only_puts(calls: &[Call], names: &Names) -> Vec<Call> {
    let first = calls
        .iter()
        .position(|call| {
            call.target.contains(&format!("[{}->", names.endpoint))
                && call.arguments.contains("\"PUT /order/")
        })
        .expect("a PUT of an object is in the trace: are requests read by system calls?");
    calls[first..].to_vec()
}

fn without_flush(calls: &[Call], path: &str) -> Vec<Call> {
    calls
        .iter()
        .filter(|call| !(call.name.ends_with("sync") && call.target == path))
        .cloned()
        .collect()
}
