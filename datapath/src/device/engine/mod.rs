//! *Owns:* one lane's way to the devices: whole transfers between frames and device blocks, the
//! bound of what is in flight, the counters.
//!
//! ```text
//!            ┌ uring.rs     io_uring of the lane, fixed buffers where registered
//!  Engine ───┼ blocking.rs  pread and pwrite on threads, where io_uring is refused
//!            └ crash.rs     memory that forgets what was not flushed, for tests
//! ```
//!
//! A transfer takes the frame, and a guard of the caller's, and gives both back when it is over. A
//! future that is dropped meanwhile changes nothing about that: the operation goes on, and frame,
//! guard and place in the queue are dropped at its completion, not before. So an abandoned write
//! keeps its extent for as long as the device may still write there, if the guard is what reserves
//! it.
//!
//! *Limits:* [`limits::DEVICE_QUEUE_DEPTH`] for each lane and device, [`limits::TRANSFER_STEPS_MAX`].
//! *Not here:* flushing (`flush.rs`), which is the commit thread's.

pub(super) mod blocking;
pub(super) mod crash;
mod port;
pub(super) mod uring;

#[cfg(test)]
mod conformance;

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::error::{DeviceFault, Operation};
use super::set::DeviceSet;
use crate::arena::{Arena, Frame};
use crate::id::DeviceId;
use crate::limits;

use blocking::BlockingPool;
use port::{Flight, Port};
use uring::{BufferRegistration, Ring};

pub use port::EngineStats;

/// Which engine a lane has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// io_uring.
    IoUring,
    /// Threads that block.
    Blocking,
    /// Simulation of power cuts.
    Crash,
}

impl EngineKind {
    /// Its name in messages and metrics.
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::IoUring => "io_uring",
            EngineKind::Blocking => "blocking",
            EngineKind::Crash => "crash",
        }
    }
}

/// The end of a transfer: what was lent comes back, whatever the result.
#[derive(Debug)]
#[must_use]
pub struct Completion<G> {
    /// All of it was moved, or the fault.
    pub result: Result<(), DeviceFault>,
    /// The frame. After a read without fault its filled length is the length read, after one with
    /// a fault it is 0.
    pub frame: Frame,
    /// The caller's guard.
    pub guard: G,
    /// How long it took.
    pub times: TransferTimes,
}

/// How long a transfer took, by what it waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransferTimes {
    /// For a place in the device's queue; zero where there was one at once.
    pub queue: Duration,
    /// For the device, from the submission to the completion. On threads that block this includes
    /// waiting for one.
    pub device: Duration,
}

/// One lane's engine over all devices. Cheap to clone within its lane.
///
/// ```compile_fail,E0277
/// fn to_another_thread(engine: datapath::device::Engine) {
///     std::thread::spawn(move || drop(engine)); // error: cannot be sent between threads
/// }
/// ```
#[derive(Clone)]
pub struct Engine {
    lane: Rc<Lane>,
}

struct Lane {
    ports: Vec<Arc<Port>>,
    backend: Backend,
}

/// One lane's figures, for any thread.
#[derive(Debug, Clone)]
pub struct EngineMeter(Vec<Arc<Port>>);

impl EngineMeter {
    /// Figures at one device; None for an unknown device.
    pub fn stats(&self, device: DeviceId) -> Option<EngineStats> {
        self.0.get(usize::from(device.0)).map(|port| port.stats())
    }
}

enum Backend {
    IoUring(Ring),
    Blocking(Arc<BlockingPool>),
    Crash,
}

/// One submission: a part of a transfer.
#[derive(Debug, Clone, Copy)]
struct Step {
    operation: Operation,
    /// Where on the device.
    offset: u64,
    /// The part of the frame.
    start: usize,
    length: usize,
}

impl Engine {
    /// On the ring of the tokio-uring runtime that the caller runs in. Registers the arena with
    /// that ring; see [`Engine::registration`] for whether the kernel agreed.
    ///
    /// # Panics
    /// Outside of a tokio-uring runtime.
    pub fn io_uring(devices: &DeviceSet, arena: &Arena) -> Engine {
        Engine::new(devices, Backend::IoUring(Ring::new(arena)))
    }

    /// On threads shared with other lanes; in any tokio runtime.
    pub fn blocking(devices: &DeviceSet, pool: &Arc<BlockingPool>) -> Engine {
        Engine::new(devices, Backend::Blocking(Arc::clone(pool)))
    }

    /// On simulated devices; in any tokio runtime with time.
    pub fn crash(devices: &DeviceSet) -> Engine {
        Engine::new(devices, Backend::Crash)
    }

    fn new(devices: &DeviceSet, backend: Backend) -> Engine {
        let ports = devices.devices().iter().map(|device| Port::new(device, backend.kind()));
        Engine { lane: Rc::new(Lane { ports: ports.collect(), backend }) }
    }

    /// Which it is.
    pub fn kind(&self) -> EngineKind {
        self.lane.backend.kind()
    }

    /// Whether the lane's ring took the arena as fixed buffers. None where there is no ring.
    pub fn registration(&self) -> Option<BufferRegistration> {
        match &self.lane.backend {
            Backend::IoUring(ring) => Some(ring.registration()),
            Backend::Blocking(_) | Backend::Crash => None,
        }
    }

    /// Reads `length` bytes at `offset` into the start of the frame. Offset and length are whole
    /// device blocks in the data area, and the frame holds the length; else `EINVAL`.
    ///
    /// The guard lives until the device is done with it, also when the future is dropped.
    pub async fn read<G: Send + 'static>(
        &self,
        device: DeviceId,
        offset: u64,
        mut frame: Frame,
        length: usize,
        guard: G,
    ) -> Completion<G> {
        frame.set_filled(0);
        let mut done = self.transfer(Operation::Read, device, offset, length, frame, guard).await;
        if done.result.is_ok() {
            done.frame.set_filled(length);
        }
        done
    }

    /// Writes what is filled of the frame at `offset`. Both are whole device blocks, see
    /// [`Frame::pad_to_block`], and lie in the data area; else `EINVAL`. Done means that the device
    /// has it, not that it is durable.
    ///
    /// The guard lives until the device is done with it, also when the future is dropped.
    pub async fn write<G: Send + 'static>(
        &self,
        device: DeviceId,
        offset: u64,
        frame: Frame,
        guard: G,
    ) -> Completion<G> {
        let length = frame.filled_bytes();
        self.transfer(Operation::Write, device, offset, length, frame, guard).await
    }

    /// Waits until nothing is in flight, with everything submitted before. A lane on io_uring may
    /// end only after this, with no transfer begun since: memory of an operation that is in flight
    /// when the ring goes is given up for good.
    pub async fn quiesce(&self) {
        for port in &self.lane.ports {
            port.quiesce().await;
        }
    }

    /// Counts a block that was read from the device and is not what was written.
    pub(crate) fn mismatched(&self, device: DeviceId) {
        if let Some(port) = self.lane.ports.get(usize::from(device.0)) {
            port.mismatched();
        }
    }

    /// Reads this lane's figures from any thread, also when the lane has ended.
    pub fn meter(&self) -> EngineMeter {
        EngineMeter(self.lane.ports.iter().map(Arc::clone).collect())
    }

    /// Transfers in flight at all devices.
    pub fn in_flight(&self) -> usize {
        self.lane.ports.iter().map(|port| port.in_flight()).sum()
    }

    /// Figures of this lane at one device; None for an unknown device.
    pub fn stats(&self, device: DeviceId) -> Option<EngineStats> {
        self.lane.ports.get(usize::from(device.0)).map(|port| port.stats())
    }

    async fn transfer<G: Send + 'static>(
        &self,
        operation: Operation,
        device: DeviceId,
        offset: u64,
        length: usize,
        frame: Frame,
        guard: G,
    ) -> Completion<G> {
        let fault = |errno| DeviceFault { device, operation, errno };
        let Some(port) = self.lane.ports.get(usize::from(device.0)) else {
            let (result, times) = (Err(fault(libc::ENODEV)), TransferTimes::default());
            return Completion { result, frame, guard, times };
        };
        if !port.admits(offset, length, frame.capacity()) {
            port.refused(operation);
            let (result, times) = (Err(fault(libc::EINVAL)), TransferTimes::default());
            return Completion { result, frame, guard, times };
        }
        let (slot, queue) = Port::enter(port).await;
        slot.port().began(operation);
        let whole = Step { operation, offset, start: 0, length };
        let flight = Flight::new(frame, guard, slot);
        let (result, flight) = self.move_all(whole, flight).await;
        let times = TransferTimes { queue, device: flight.took() };
        let (frame, guard) = flight.end(operation, result.is_err());
        Completion { result: result.map_err(fault), frame, guard, times }
    }

    /// Submits until all is moved. A device may move less than asked, and what is left begins on
    /// its last whole block.
    async fn move_all<G: Send + 'static>(
        &self,
        whole: Step,
        mut flight: Flight<G>,
    ) -> (Result<(), i32>, Flight<G>) {
        let (mut done, mut stalls) = (0, 0);
        for _ in 0..limits::TRANSFER_STEPS_MAX {
            let step = Step {
                offset: whole.offset + done as u64,
                start: done,
                length: whole.length - done,
                ..whole
            };
            let (result, back) = match &self.lane.backend {
                Backend::IoUring(ring) => ring.submit(step, flight).await,
                Backend::Blocking(pool) => pool.submit(step, flight).await,
                Backend::Crash => crash::submit(step, flight).await,
            };
            flight = back;
            let moved = match result {
                Ok(moved) => moved - moved % limits::DEVICE_BLOCK_BYTES,
                Err(libc::EINTR | libc::EAGAIN) => 0,
                Err(errno) => return (Err(errno), flight),
            };
            done += moved.min(step.length);
            if done == whole.length {
                return (Ok(()), flight);
            }
            stalls += usize::from(moved == 0);
            if stalls > limits::TRANSFER_STALLS_MAX {
                break;
            }
        }
        (Err(libc::EIO), flight)
    }
}

impl Backend {
    fn kind(&self) -> EngineKind {
        match self {
            Backend::IoUring(_) => EngineKind::IoUring,
            Backend::Blocking(_) => EngineKind::Blocking,
            Backend::Crash => EngineKind::Crash,
        }
    }
}

/// The number of a failed call; `EIO` where the library made up an error of its own.
pub(super) fn errno_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}
