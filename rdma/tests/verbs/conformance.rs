//! What every fabric must do, asked of a real device: it is opened twice, so that server and client have protection domains
//! of their own. Without a device every check says `SKIPPED`.

use rdma::fabric::conformance::{Sides, run};
use rdma::verbs::{VerbsError, VerbsOptions, open};
use tokio::task::LocalSet;

use crate::{arena, skip};

fn on_device(name: &str) {
    let (arena, options) = (arena(), VerbsOptions::default());
    let server = match open(&options, Some(&arena)) {
        Ok(server) => server,
        Err(VerbsError::NoDevice) => {
            return skip::skip(&format!("conformance::{name}"), "this machine has no RDMA device");
        }
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
