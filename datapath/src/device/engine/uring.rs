//! *Owns:* reads and writes on the lane's io_uring: fixed-buffer operations where the ring took
//! the arena, plain ones where it did not.
//!
//! # Memory in flight
//!
//! tokio-uring keeps the data of an operation whose future is dropped until its completion, except
//! when the ring itself goes: then the data are dropped first. So an operation never leaves its
//! data to the driver alone. A future that is dropped hands its operation to a task of the engine
//! that sees it through; and the data are wrapped so that dropping them does nothing
//! (`ManuallyDrop`), only a completion unwraps them. A lane that ends with operations in flight
//! against the rule of `Engine::quiesce` loses their memory, but never gives it to another.
//!
//! *Not here:* making the ring; that is the lane's runtime.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use tokio_uring::buf::fixed::FixedBufRegistry;
use tokio_uring::buf::{IoBuf, IoBufMut};
use tokio_uring::{InFlightOneshot, OneshotOutputTransform, UnsubmittedOneshot};

use super::super::error::Operation;
use super::super::set::Backing;
use super::port::Flight;
use super::{Step, errno_of};
use crate::arena::Arena;

/// Whether a ring took the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferRegistration {
    /// As this many fixed buffers.
    Registered {
        /// Regions of the arena.
        regions: usize,
    },
    /// The kernel refused with this errno; operations name plain addresses, and the kernel pins the
    /// pages for each anew.
    Refused {
        /// `ENOMEM` when the limit of locked memory is too low.
        errno: i32,
    },
}

impl fmt::Display for BufferRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            BufferRegistration::Registered { regions } => {
                write!(f, "arena registered as {regions} fixed buffer(s)")
            }
            BufferRegistration::Refused { errno } => {
                let error = io::Error::from_raw_os_error(errno);
                write!(f, "arena not registered ({error}), each operation pins its pages")?;
                match errno {
                    libc::ENOMEM | libc::EPERM => f.write_str(
                        ": set LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited",
                    ),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// The lane's ring.
pub(super) struct Ring {
    registration: BufferRegistration,
    /// Kept as long as the engine; no buffer is ever checked out of it.
    _registry: FixedBufRegistry<RegionBuffer>,
    orphans: Rc<Orphans>,
}

impl Ring {
    pub(super) fn new(arena: &Arena) -> Ring {
        let regions = arena.region_count();
        let registry = FixedBufRegistry::new(
            (0..regions).map(|index| RegionBuffer { arena: arena.clone(), index }),
        );
        let registration = match registry.register() {
            Ok(()) => BufferRegistration::Registered { regions },
            Err(error) => BufferRegistration::Refused { errno: errno_of(&error) },
        };
        let orphans = Rc::new(Orphans::default());
        tokio_uring::spawn(Orphans::see_through(Rc::clone(&orphans)));
        Ring { registration, _registry: registry, orphans }
    }

    pub(super) fn registration(&self) -> BufferRegistration {
        self.registration
    }

    pub(super) async fn submit<G: Send + 'static>(
        &self,
        step: Step,
        mut flight: Flight<G>,
    ) -> (Result<usize, i32>, Flight<G>) {
        let entry = self.entry(step, &mut flight);
        let finish = Finish { operation: step.operation, guard: PhantomData };
        let operation = UnsubmittedOneshot::new(ManuallyDrop::new(flight), finish, entry).submit();
        Pending { operation: Some(operation), orphans: Rc::clone(&self.orphans) }.await
    }

    fn entry<G>(&self, step: Step, flight: &mut Flight<G>) -> squeue::Entry {
        let Backing::File(file) = &flight.device().backing else {
            unreachable!("a port of this engine has no simulated device");
        };
        let fd = types::Fd(file.as_raw_fd());
        let region = flight.frame().region_index();
        let address = flight.frame().address().wrapping_add(step.start);
        let length = step.length as u32;
        let fixed = matches!(self.registration, BufferRegistration::Registered { .. });
        match (step.operation, fixed) {
            (Operation::Read, true) => {
                opcode::ReadFixed::new(fd, address, length, region).offset(step.offset).build()
            }
            (Operation::Read, false) => {
                opcode::Read::new(fd, address, length).offset(step.offset).build()
            }
            (Operation::Write | Operation::Flush, true) => {
                opcode::WriteFixed::new(fd, address, length, region).offset(step.offset).build()
            }
            (Operation::Write | Operation::Flush, false) => {
                opcode::Write::new(fd, address, length).offset(step.offset).build()
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.orphans.closed.set(true);
        self.orphans.wake();
    }
}

/// Turns a completion into the result, and lets go of the memory.
struct Finish<G> {
    operation: Operation,
    guard: PhantomData<fn() -> G>,
}

impl<G> OneshotOutputTransform for Finish<G> {
    type Output = (Result<usize, i32>, Flight<G>);
    type StoredData = ManuallyDrop<Flight<G>>;

    fn transform_oneshot_output(
        self,
        data: ManuallyDrop<Flight<G>>,
        entry: cqueue::Entry,
    ) -> Self::Output {
        let mut flight = ManuallyDrop::into_inner(data);
        let result = usize::try_from(entry.result()).map_err(|_| -entry.result());
        flight.landed(self.operation, result);
        (result, flight)
    }
}

/// An operation that somebody awaits.
struct Pending<G: 'static> {
    operation: Option<InFlightOneshot<ManuallyDrop<Flight<G>>, Finish<G>>>,
    orphans: Rc<Orphans>,
}

impl<G: Send + 'static> Future for Pending<G> {
    type Output = (Result<usize, i32>, Flight<G>);

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let operation = this.operation.as_mut().expect("not polled after its end");
        let output = Pin::new(operation).poll(context);
        if output.is_ready() {
            this.operation = None;
        }
        output
    }
}

impl<G: 'static> Drop for Pending<G> {
    fn drop(&mut self) {
        if let Some(operation) = self.operation.take() {
            self.orphans.adopt(Box::pin(async move { drop(operation.await) }));
        }
    }
}

type Orphan = Pin<Box<dyn Future<Output = ()>>>;

/// Operations that nobody awaits any more; at most the queue depths of the devices.
#[derive(Default)]
struct Orphans {
    operations: RefCell<Vec<Orphan>>,
    waker: Cell<Option<Waker>>,
    closed: Cell<bool>,
}

impl Orphans {
    fn adopt(&self, operation: Orphan) {
        self.operations.borrow_mut().push(operation);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Polls them to their ends; itself ends with the engine, once none is left.
    async fn see_through(orphans: Rc<Orphans>) {
        poll_fn(|context| {
            orphans.waker.set(Some(context.waker().clone()));
            // Taken out: what ends may drop futures that come here in turn.
            let mut operations = mem::take(&mut *orphans.operations.borrow_mut());
            operations.retain_mut(|operation| operation.as_mut().poll(context).is_pending());
            let mut arrived = orphans.operations.borrow_mut();
            operations.append(&mut arrived);
            *arrived = operations;
            match orphans.closed.get() && arrived.is_empty() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

/// A region of the arena in the form in which tokio-uring registers buffers.
struct RegionBuffer {
    arena: Arena,
    index: usize,
}

// SAFETY: the region's address and length are those of a mapping that `arena` keeps, wherever this
// value is moved; its bytes are mapped zeroed, so initialised. Until drop. Nobody reaches the bytes
// through this value, since no buffer is checked out of the registry.
unsafe impl IoBuf for RegionBuffer {
    fn stable_ptr(&self) -> *const u8 {
        self.arena.region(self.index).0
    }

    fn bytes_init(&self) -> usize {
        self.arena.region(self.index).1
    }

    fn bytes_total(&self) -> usize {
        self.arena.region(self.index).1
    }
}

// SAFETY: as above; `set_init` has nothing to do, all bytes being initialised from the start.
unsafe impl IoBufMut for RegionBuffer {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.arena.region(self.index).0
    }

    unsafe fn set_init(&mut self, _position: usize) {}
}

/// Tries whether as many rings as there are lanes can register the arena, all at a time, as the
/// limit of locked memory counts them. The rings are gone afterwards.
pub(in crate::device) fn try_registration(arena: &Arena, rings: usize) -> Result<(), (usize, i32)> {
    let buffers: Vec<libc::iovec> = (0..arena.region_count())
        .map(|index| arena.region(index))
        .map(|(base, length)| libc::iovec { iov_base: base.cast(), iov_len: length })
        .collect();
    let mut registered = Vec::with_capacity(rings);
    for index in 0..rings {
        let refused = |error: io::Error| (index, errno_of(&error));
        let ring = IoUring::new(2).map_err(refused)?;
        // SAFETY: the regions are mapped for as long as `arena` is borrowed, which outlives the
        // ring; no operation is ever submitted to it.
        unsafe { ring.submitter().register_buffers(&buffers) }.map_err(refused)?;
        registered.push(ring);
    }
    Ok(())
}
