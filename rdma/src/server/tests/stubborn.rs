//! Owns a fabric in memory whose device can be made to hesitate or to refuse, and which tells who has called it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use bytes::Bytes;

use crate::fabric::{
    BufferDriver, Completion, EndpointDriver, Fabric, FabricError, FabricFacts, Gid, Local, Qpn,
    QueuePairDriver, QueuePairShape, RemoteAccess, RemoteWindow, Transition, Work,
};

/// What the device does not do as it should.
#[derive(Default)]
pub(super) struct Mood {
    /// Refuses to destroy queue pairs.
    pub(super) keeps_queue_pairs: AtomicBool,
    /// Refuses to void keys.
    pub(super) keeps_keys: AtomicBool,
    /// Before memory is made, it waits for a word from here.
    pub(super) hesitates: Mutex<Option<mpsc::Receiver<()>>>,
    /// Threads that have made, closed or freed memory.
    pub(super) threads: Mutex<Vec<ThreadId>>,
}

impl Mood {
    fn called(&self) {
        self.threads.lock().expect("threads").push(thread::current().id());
    }
}

pub(super) struct Stubborn {
    pub(super) fabric: Arc<dyn Fabric>,
    pub(super) mood: Arc<Mood>,
}

impl Fabric for Stubborn {
    fn facts(&self) -> &FabricFacts {
        self.fabric.facts()
    }

    fn local_gid(&self, peer: Gid) -> Result<Gid, FabricError> {
        self.fabric.local_gid(peer)
    }

    fn endpoint(&self) -> Result<Box<dyn EndpointDriver>, FabricError> {
        let (driver, mood) = (self.fabric.endpoint()?, Arc::clone(&self.mood));
        Ok(Box::new(StubbornEndpoint { driver, mood }))
    }

    fn allocate(&self, bytes: usize) -> Result<Box<dyn BufferDriver>, FabricError> {
        if let Some(word) = &*self.mood.hesitates.lock().expect("a word") {
            word.recv().expect("a word");
        }
        self.mood.called();
        let (driver, mood) = (self.fabric.allocate(bytes)?, Arc::clone(&self.mood));
        Ok(Box::new(StubbornBuffer { driver, mood }))
    }

    fn adopt(&self, memory: Box<[u8]>) -> Result<Box<dyn BufferDriver>, FabricError> {
        self.fabric.adopt(memory)
    }
}

struct StubbornEndpoint {
    driver: Box<dyn EndpointDriver>,
    mood: Arc<Mood>,
}

impl EndpointDriver for StubbornEndpoint {
    fn queue_pair(&self, shape: &QueuePairShape) -> Result<Box<dyn QueuePairDriver>, FabricError> {
        let (driver, mood) = (self.driver.queue_pair(shape)?, Arc::clone(&self.mood));
        Ok(Box::new(StubbornQueuePair { driver, mood }))
    }

    fn poll(&self, limit: usize, completions: &mut Vec<Completion>) -> Result<(), FabricError> {
        self.driver.poll(limit, completions)
    }

    fn ready(&self) -> Local<'_, Result<(), FabricError>> {
        self.driver.ready()
    }
}

struct StubbornQueuePair {
    driver: Box<dyn QueuePairDriver>,
    mood: Arc<Mood>,
}

impl QueuePairDriver for StubbornQueuePair {
    fn number(&self) -> Qpn {
        self.driver.number()
    }

    fn modify(&mut self, step: &Transition) -> Result<(), FabricError> {
        self.driver.modify(step)
    }

    fn post(&mut self, work: Work, signalled: bool) -> Result<(), (FabricError, Work)> {
        self.driver.post(work, signalled)
    }

    fn post_receive(&mut self) -> Result<(), FabricError> {
        self.driver.post_receive()
    }

    fn destroy(self: Box<Self>) -> Result<(), FabricError> {
        if self.mood.keeps_queue_pairs.load(Ordering::Relaxed) {
            return Err(FabricError::new("ibv_destroy_qp", "as the test wants it"));
        }
        self.driver.destroy()
    }
}

struct StubbornBuffer {
    driver: Box<dyn BufferDriver>,
    mood: Arc<Mood>,
}

impl BufferDriver for StubbornBuffer {
    fn size(&self) -> usize {
        self.driver.size()
    }

    fn as_slice(&self) -> &[u8] {
        self.driver.as_slice()
    }

    fn as_mut_slice(&mut self) -> Option<&mut [u8]> {
        self.driver.as_mut_slice()
    }

    fn lend(&self) -> Bytes {
        self.driver.lend()
    }

    fn expose(&mut self, access: RemoteAccess) -> Result<RemoteWindow, FabricError> {
        self.driver.expose(access)
    }

    fn reclaim(&mut self) {
        self.driver.reclaim();
    }

    fn revoke(&mut self) -> Result<(), FabricError> {
        self.mood.called();
        if self.mood.keeps_keys.load(Ordering::Relaxed) {
            return Err(FabricError::new("ibv_dereg_mr", "as the test wants it"));
        }
        self.driver.revoke()
    }
}

impl Drop for StubbornBuffer {
    fn drop(&mut self) {
        self.mood.called();
    }
}
