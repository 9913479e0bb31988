//! Owns: what a test knows of the guest that it runs in (`tests/vm/guest.sh`): which node it is,
//! its addresses and drives, the other guest, and traffic counted from outside the product.
//!
//! Tests that need it live in `tests/vm`. Outside a guest they record themselves as skipped.
//!
//! Not here: the guest itself (shell scripts in `tests/vm`) and what is run in it.

mod drive;
mod peer;
mod store;
mod traffic;

use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::skip::skip;

pub use drive::Drive;
pub use peer::{Peer, PeerCommand, PeerOutput};
pub use store::{DriveStore, text};
pub use traffic::{LinkBytes, RDMA_PACKET_PAYLOAD_BYTES, RdmaPackets, RdmaResources, TcpBytes};

/// The guest that this test runs in.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Address of its end of the link (or of the dummy interface below rxe0, where it is alone).
    pub address: Ipv4Addr,
    /// Guests that were started together.
    pub nodes: u32,
    /// NVMe drives in the order of the command line; they may hold what an earlier test left.
    pub drives: Vec<Drive>,
}

impl Guest {
    /// The guest; outside of one, nothing, and `test` is recorded as skipped. The caller returns then.
    ///
    /// # Panics
    /// When the guest's own variables are malformed.
    pub fn here(test: &str) -> Option<Self> {
        let Ok(address) = std::env::var("GUEST_ADDRESS") else {
            skip(test, "runs in the guest alone: make guest");
            return None;
        };
        let nodes = std::env::var("GUEST_NODES").expect("GUEST_NODES comes with GUEST_ADDRESS");
        let drives = std::env::var("GUEST_NVME").unwrap_or_default();
        Some(Self {
            address: address.parse().expect("GUEST_ADDRESS is an IPv4 address"),
            nodes: nodes.parse().expect("GUEST_NODES is a number"),
            drives: drives.split_whitespace().map(|path| Drive::at(PathBuf::from(path))).collect(),
        })
    }

    /// Keeps a text for whoever reads the suite's results: a file in a folder of the host, where the
    /// suite has given one, and in the test's output in any case.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn record(&self, name: &str, text: &str) {
        println!("--- {name} ---\n{text}");
        if let Ok(folder) = std::env::var("GUEST_RESULTS") {
            let path = PathBuf::from(folder).join(name);
            std::fs::write(&path, text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        }
    }

    /// The drives, which must be `count`.
    ///
    /// # Panics
    /// When there are fewer: a suite that was started without its drives must not pass.
    pub fn drives(&self, count: usize) -> &[Drive] {
        assert!(self.drives.len() >= count, "{count} NVMe drives needed: {:?}", self.drives);
        &self.drives[..count]
    }
}
