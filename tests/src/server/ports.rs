//! Owns: which ports the servers of this test process listen on. The server binds with
//! SO_REUSEPORT, so two servers on one port would share it silently: ports must not collide.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::limits;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 that nobody listens on and that no other running test will choose.
///
/// # Panics
/// When the process has used all ports of its slot.
pub fn free_port() -> u16 {
    let first = limits::PORT_FIRST + slot() * limits::PORTS_PER_SLOT;
    for _ in 0..limits::PORTS_PER_SLOT {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % limits::PORTS_PER_SLOT;
        // The probe binds without SO_REUSEPORT, so it fails while anyone listens.
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in {first}..{}", first + limits::PORTS_PER_SLOT);
}

/// nextest numbers the tests that run at one time; without it the process id has to do.
fn slot() -> u16 {
    let slot = std::env::var("NEXTEST_TEST_GLOBAL_SLOT")
        .ok()
        .and_then(|text| text.parse::<u32>().ok())
        .unwrap_or_else(std::process::id);
    (slot % u32::from(limits::SLOTS)) as u16
}
