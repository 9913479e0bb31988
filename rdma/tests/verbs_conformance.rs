//! What every fabric must do, asked of a real device: it is opened twice, so that server and client have protection domains
//! of their own. Without a device every check says `SKIPPED`.
#![cfg(feature = "verbs")]

use datapath::arena::{Arena, ArenaOptions};
use rdma::fabric::conformance::{Sides, run};
use rdma::verbs::{VerbsError, VerbsOptions, open};
use tokio::task::LocalSet;

#[path = "../../tests/src/skip.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the integration tests, which need it all"
)]
mod skip;

fn arena() -> Arena {
    const MIB: u64 = 1 << 20;
    Arena::new(&ArenaOptions {
        bytes: 20 * MIB,
        reads_bytes: 8 * MIB,
        reads_growth_bytes: 8 * MIB,
        writes_bytes: MIB,
        writes_growth_bytes: MIB,
        huge_pages: false,
        lock_memory: false,
    })
    .expect("there is memory for an arena")
}

fn on_device(name: &str) {
    let (arena, options) = (arena(), VerbsOptions::default());
    let server = match open(&options, Some(&arena)) {
        Ok(server) => server,
        Err(VerbsError::NoDevice) => return skip::skip(name, "this machine has no RDMA device"),
        Err(error) => panic!("{error}"),
    };
    let client = open(&options, None).expect("a device can be opened twice");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, run(name, Sides { server, client, arena }));
}

macro_rules! tests {
    ([] $($name:ident)*) => {
        $(#[test]
        fn $name() {
            on_device(stringify!($name));
        })*
    };
}

rdma::for_each_fabric_check!(tests);
