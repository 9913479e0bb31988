//! Owns the proof that the fabrics in memory conform: each check on loopback, and on simulated with many seeds.

use std::net::Ipv4Addr;

use datapath::arena::ArenaOptions;
use tokio::task::LocalSet;

use super::super::{loopback, simulated};
use super::*;

/// Enough to meet orders of events that are rare; each takes milliseconds.
const SEEDS: u64 = 50;

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

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
    .unwrap()
}

fn on_loopback(name: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let (network, arena) = (loopback::Network::new(), arena());
        let server = network.fabric(Gid::from_ipv4(SERVER), Some(&arena));
        let client = network.fabric(Gid::from_ipv4(CLIENT), None);
        run(name, Sides { server, client, arena }).await;
    });
}

fn on_simulated(name: &str) {
    for seed in 0..SEEDS {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, async {
            // Shown only when the check fails.
            println!("seed {seed}");
            let network = simulated::Network::new(seed, simulated::Faults::DELAYS);
            let arena = arena();
            let server = network.fabric(Gid::from_ipv4(SERVER), Some(&arena));
            let client = network.fabric(Gid::from_ipv4(CLIENT), None);
            run(name, Sides { server, client, arena }).await;
            assert_eq!(network.violations(), []);
        });
    }
}

macro_rules! tests {
    ([$module:ident $run:ident] $($name:ident)*) => {
        mod $module {
            $(#[test]
            fn $name() {
                super::$run(stringify!($name));
            })*
        }
    };
}

crate::for_each_fabric_check!(tests loopback_conforms on_loopback);
crate::for_each_fabric_check!(tests simulated_conforms on_simulated);
