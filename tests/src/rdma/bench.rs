//! Owns: what nearly every RDMA test starts from and ends with: a store, a server on it with a bucket,
//! and that nothing of RDMA is left when it ends.

use crate::client::{Client, expect};
use crate::guest::{DriveStore, Guest, RdmaResources};
use crate::server::Server;

use super::exchange::Asker;
use super::figures::assert_nothing_left;
use super::host::Host;
use super::raw::Raw;

/// The device of every guest.
pub const DEVICE: &str = "rxe0";

/// A server on the guest's drives.
#[derive(Debug)]
pub struct Bench {
    /// Where its objects are.
    pub store: DriveStore,
    /// The server.
    pub server: Server,
    /// A client of it over HTTP.
    pub http: Client,
    /// Somebody else whom it knows.
    pub stranger: Asker,
    /// The bucket that is there.
    pub bucket: &'static str,
    staging: u64,
    idle: RdmaResources,
}

impl Bench {
    /// A server that takes uploads of `staging` bytes by hipobj-rc-v2, in all.
    ///
    /// # Panics
    /// When something does not start.
    pub fn start(guest: &Guest, bucket: &'static str, staging: u64) -> Self {
        let store = DriveStore::new(guest);
        let credentials = store.site.add_key();
        let server = store.rdma_options(staging).start(&store.site);
        let mut http = server.client();
        expect(http.create_bucket(bucket).expect("answered"), 200).expect("a bucket");
        let idle = RdmaResources::of(DEVICE);
        let stranger = Asker { address: server.address, credentials };
        Self { store, server, http, stranger, bucket, staging, idle }
    }

    /// Who asks.
    pub fn asker(&self) -> Asker {
        Asker::of(&self.server)
    }

    /// A client on this host whose steps are the test's.
    pub fn raw(&self, host: &Host) -> Raw {
        Raw { host: host.clone(), asker: self.asker() }
    }

    /// Puts an object over HTTP; gives its path.
    ///
    /// # Panics
    /// When it is refused.
    pub fn put(&mut self, key: &str, body: &[u8]) -> String {
        let answer = self.http.put(self.bucket, key, body).expect("answered");
        expect(answer, 200).expect("stored");
        self.path(key)
    }

    /// The path of an object.
    pub fn path(&self, key: &str) -> String {
        format!("/{}/{key}", self.bucket)
    }

    /// The object over HTTP, if it is there.
    ///
    /// # Panics
    /// When the answer is neither 200 nor 404.
    pub fn object(&mut self, key: &str) -> Option<Vec<u8>> {
        let answer = self.http.get(self.bucket, key).expect("answered");
        match answer.status {
            200 => Some(answer.body),
            404 => None,
            _ => panic!("{key}: {}", answer.outcome()),
        }
    }

    /// Waits until nothing is held for RDMA, by the server or in the kernel.
    ///
    /// # Panics
    /// When something stays.
    pub fn assert_nothing_left(&self) {
        assert_nothing_left(&self.server);
        assert_eq!(RdmaResources::of(DEVICE), self.idle, "left in the kernel");
    }

    /// Ends the server, with what clients have left open, and starts it again on the same store, which
    /// must be in order.
    #[must_use]
    pub fn restarted(self) -> Self {
        let Self { store, server, staging, .. } = self;
        store.stop(server);
        let server = store.rdma_options(staging).start(&store.site);
        assert_eq!(RdmaResources::of(DEVICE), self.idle, "left in the kernel");
        let http = server.client();
        let stranger = Asker { address: server.address, credentials: self.stranger.credentials };
        Self { server, http, stranger, store, ..self }
    }

    /// [`Self::assert_nothing_left`], and ends the server; the store must be in order.
    pub fn stop(self) {
        self.assert_nothing_left();
        self.store.stop(self.server);
    }
}
