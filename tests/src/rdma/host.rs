//! Owns: this side's device, thread and memory.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use datapath::arena::{Arena, ArenaOptions, Frame, Share};
use rdma::fabric::{Buffer, Endpoint, Fabric, QueuePair, RemoteAccess, Window};
use rdma::verbs::{VerbsOptions, open};
use tokio::task::LocalSet;

use crate::limits;

/// Of which nearly nothing is used: READs of this side's are rare.
const ARENA_BYTES: u64 = 32 << 20;

/// A client's machine: its device is opened apart from the server's, so that its protection domain
/// is its own.
#[derive(Clone)]
pub struct Host {
    /// The device.
    pub fabric: Arc<dyn Fabric>,
    /// This thread's queue pairs.
    pub endpoint: Rc<Endpoint>,
    arena: Arena,
}

impl Host {
    /// Runs a test on a device.
    ///
    /// # Panics
    /// When it cannot be opened, and when the test has not ended after `RDMA_TEST_WITHIN`.
    pub fn run<T: Future>(device: &str, test: impl FnOnce(Host) -> T) -> T::Output {
        let options = VerbsOptions { device: Some(device.to_owned()), ..VerbsOptions::default() };
        let arena = Arena::new(&ArenaOptions {
            bytes: ARENA_BYTES,
            reads_bytes: ARENA_BYTES / 2,
            reads_growth_bytes: 0,
            writes_bytes: ARENA_BYTES / 4,
            writes_growth_bytes: 0,
            huge_pages: false,
            lock_memory: false,
        });
        let arena = arena.expect("there is memory for an arena");
        let fabric =
            open(&options, Some(&arena)).unwrap_or_else(|error| panic!("{device}: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        LocalSet::new().block_on(&runtime.expect("a runtime"), async {
            let endpoint = Endpoint::open(&fabric).expect("a completion queue");
            let host = Host { fabric, endpoint: Rc::new(endpoint), arena };
            let times = if std::env::var_os("GATEWAY_TEST_FULL").is_some() { 6 } else { 1 };
            let ended = tokio::time::timeout(times * limits::RDMA_TEST_WITHIN, test(host)).await;
            ended.expect("the test ends in time")
        })
    }

    /// Registered memory of zeros.
    ///
    /// # Panics
    /// When it is refused.
    pub fn blank(&self, bytes: usize) -> Buffer {
        Buffer::allocate(&*self.fabric, bytes).expect("memory")
    }

    /// Registered memory with this in it.
    ///
    /// # Panics
    /// When it is refused.
    pub fn filled(&self, bytes: &[u8]) -> Buffer {
        let mut buffer = self.blank(bytes.len());
        buffer.as_mut_slice().expect("nothing was lent").copy_from_slice(bytes);
        buffer
    }

    /// Memory for what an RDMA READ of this side's brings.
    ///
    /// # Panics
    /// When there is none left.
    pub fn frame(&self, bytes: u64) -> Frame {
        let reserved = self.arena.reserve(Share::Reads, bytes).expect("room in the arena");
        reserved.frame(bytes as usize).expect("a frame of the reservation")
    }

    /// Memory of zeros that is open to a peer.
    ///
    /// # Panics
    /// When it is refused.
    pub fn window(&self, bytes: usize, access: RemoteAccess) -> Window {
        self.blank(bytes).expose(access).expect("a registration")
    }
}

/// Ends a queue pair of this side's.
///
/// # Panics
/// When the device would not destroy it.
pub async fn end<S>(pair: QueuePair<S>) {
    assert!(pair.fence().await.clean, "a queue pair was not destroyed");
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("device", &self.fabric.facts().device).finish_non_exhaustive()
    }
}
