//! Memory that the CPU cannot reach, as a GPU's: a registered region for the peer, copies for everything else.

use super::server::Tokens;
use super::*;
use crate::fabric::{FabricError, RemoteAccess, RemoteWindow, Window};

/// A device's memory; `copies` counts what went through its driver.
#[derive(Debug)]
struct Device {
    region: Buffer,
    copies: u32,
}

struct DeviceWindow {
    region: Window,
    copies: u32,
}

impl Memory for Device {
    type Window = DeviceWindow;

    fn size(&self) -> u64 {
        self.region.size() as u64
    }

    fn expose(self, access: RemoteAccess) -> Result<DeviceWindow, FabricError> {
        Ok(DeviceWindow { region: self.region.expose(access)?, copies: self.copies })
    }

    fn host(&self, _bytes: u64) -> Option<&[u8]> {
        None
    }

    fn load(&self, bytes: u64) -> Result<bytes::Bytes, String> {
        self.region
            .as_slice()
            .get(..bytes as usize)
            .map(bytes::Bytes::copy_from_slice)
            .ok_or_else(|| "out of range".to_owned())
    }

    fn store(&mut self, offset: u64, piece: &[u8]) -> Result<(), String> {
        self.copies += 1;
        Memory::store(&mut self.region, offset, piece)
    }
}

impl MemoryWindow for DeviceWindow {
    type Memory = Device;

    fn remote(&self) -> RemoteWindow {
        self.region.remote()
    }

    fn reclaim(self) -> Device {
        Device { region: self.region.reclaim(), copies: self.copies }
    }

    fn revoke(self) -> Result<Device, FabricError> {
        Ok(Device { region: self.region.revoke()?, copies: self.copies })
    }
}

#[test]
fn a_pool_moves_it_without_a_copy() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        let pool = client.connect(server).await.expect("connected");
        let device = Device { region: bench.filled(&contents(5000)), copies: 0 };
        let done = pool.put(server, &Put::object("b", "k", 5000), device).await.expect("stored");
        assert_eq!(server.stored("/b/k"), Some(contents(5000)));
        assert_eq!(done.outcome.path, Path::Rdma);
        let blank = Device { region: bench.memory(5000), copies: 0 };
        let done = pool.get(server, &Get::object("b", "k"), blank).await.expect("delivered");
        assert_eq!(done.memory.region.as_slice(), contents(5000));
        assert_eq!((done.outcome.path, done.memory.copies), (Path::Rdma, 0));
        assert_eq!(done.outcome.checksum, Verification::NotComputed, "nobody here can read it");
        let session = client.get(server, &Get::object("b", "k"), done.memory).await;
        assert_eq!(session.expect("delivered").outcome.checksum, Verification::NotComputed);
    });
}

#[test]
fn a_declined_body_goes_through_its_driver() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        let pool = client.connect(server).await.expect("connected");
        server.tokens.set(Tokens::DeclinedByReply);
        server.put("/b/k", &contents(5000));
        let blank = Device { region: bench.memory(5000), copies: 0 };
        let done = pool.get(server, &Get::object("b", "k"), blank).await.expect("by HTTP");
        assert_eq!(done.memory.region.as_slice(), contents(5000));
        assert_eq!((done.outcome.path, done.memory.copies), (Path::Http(Decline::Reply), 5));
        let done = pool.put(server, &Put::object("b", "k2", 5000), done.memory).await;
        assert_eq!(done.expect("by HTTP").outcome.path, Path::Http(Decline::Reply));
        assert_eq!(server.stored("/b/k2"), Some(contents(5000)));
    });
}
