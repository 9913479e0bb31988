//! Owns: every bound of the test harness. A wait without a bound is a hung build.

use std::time::Duration;

/// How long a server may take from its start to a positive `/readyz`. A start on a warm machine
/// takes under a second; allocating the extent file on a slow disk is what may take long.
pub const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long a server may take from SIGTERM to its exit when it has nothing left to do.
pub const EXIT_WITHIN: Duration = Duration::from_secs(40);

/// How long a server may take to be done with the transfer of a client that is gone: soft-RoCE tries a
/// packet again for 4 s at most, ten times that in an emulated guest on a busy machine.
pub const FENCED_WITHIN: Duration = Duration::from_secs(40);

/// How long the second guest may take to be up. It boots in 5 s on an idle machine, in 30 on a busy
/// one, and begins together with the first.
pub const PEER_READY_WITHIN: Duration = Duration::from_secs(90);

/// Pause between two looks at something that is awaited.
pub const POLL_EVERY: Duration = Duration::from_millis(10);

/// Longest wait of the client for one read or write on a socket.
pub const SOCKET_WITHIN: Duration = Duration::from_secs(60);

/// Largest response head that the client takes.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 256 * 1024;

/// First port given to a server under test. Below the kernel's ephemeral range (32768 and up), so
/// that no outgoing connection can take a port between its choice and the server's bind.
pub const PORT_FIRST: u16 = 20_000;

/// Ports per test process. The runner gives each running test a slot of its own.
pub const PORTS_PER_SLOT: u16 = 50;

/// Slots; `PORT_FIRST + SLOTS * PORTS_PER_SLOT` stays below the ephemeral range.
pub const SLOTS: u16 = 200;

const _: () = assert!((PORT_FIRST as u32) + (SLOTS as u32) * (PORTS_PER_SLOT as u32) < 32_768);

/// Lines of the server's log that a failing test prints.
pub const LOG_LINES_SHOWN: usize = 80;

/// For one RDMA test in the guest, within the suite's own bound for it.
pub const RDMA_TEST_WITHIN: Duration = Duration::from_secs(170);
