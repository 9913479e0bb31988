//! The commit thread: the only writer of the index.
//!
//! Owns: the queue of mutations, [`CommitThread`], [`CommitHandle`], the order *data flush, index
//! commit, answer*.
//! Limits: `COMMIT_QUEUE_MAX`, `COMMIT_QUEUE_BYTES`, `COMMIT_BATCH_MAX`,
//! `INDEX_TRANSACTION_BYTES`.
//! Not here: the batch itself (`batch`), readers' holds (`holds`), mutations (`index::apply`).
//!
//! ```text
//! lanes ── queue ─▶ take all that waits ─▶ flush data devices ─▶ one index transaction ─▶ answer
//!                                                                        │
//!                            space of what was deleted ◀── pins ◀── fence┘
//! ```
//! A mutation is submitted when its data is written, so one flush of the devices and one durable
//! transaction cover a whole batch. The answer comes after both: whoever has it survives a power
//! cut.

mod batch;
mod holds;
mod stats;

use std::io;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::error::{DeviceFault, StoreError};
use crate::index::{ExtentLocation, Index, Mutation, Outcome};
use crate::limits::{CLOSE_RETRY, COMMIT_QUEUE_BYTES, COMMIT_QUEUE_MAX};
use crate::pin::PinTable;
pub use stats::CommitStats;
use stats::StatCells;

/// Makes what was written to a device durable.
pub trait DataFlush: Send {
    /// Returns when every write that completed before the call survives a power cut. Free when
    /// there were none since the last call.
    ///
    /// # Errors
    /// What the device says. After it nothing is known about what was written before.
    fn flush(&mut self) -> Result<(), DeviceFault>;
}

/// Takes space back that nothing refers to and nobody reads.
pub trait FreeSpace: Send + Sync {
    /// The extent's blocks may be written again at once.
    fn release(&self, extent: ExtentLocation);
}

/// What a commit thread works with.
pub struct CommitOptions {
    /// The index; no other writer may exist.
    pub index: Index,
    /// Readers' pins.
    pub pins: Arc<PinTable>,
    /// The data devices.
    pub devices: Vec<Box<dyn DataFlush>>,
    /// Where space goes back to.
    pub free: Arc<dyn FreeSpace>,
}

/// The running thread. It ends when closed, or when the last handle is dropped.
#[derive(Debug)]
pub struct CommitThread {
    handle: CommitHandle,
    thread: JoinHandle<()>,
}

/// Submits mutations; cheap to clone, for any thread.
#[derive(Clone)]
pub struct CommitHandle {
    jobs: mpsc::Sender<Job>,
    /// Room for mutations, in bytes.
    room: Arc<Semaphore>,
    shared: Arc<Shared>,
}

/// What handles and thread share beside the queue.
struct Shared {
    stats: StatCells,
    /// Set once, when writing stopped for good.
    read_only: OnceLock<Arc<str>>,
    free: Arc<dyn FreeSpace>,
}

enum Job {
    Change(Box<Change>),
    /// Answer when nothing that can be reclaimed is left.
    Settle(oneshot::Sender<Result<(), StoreError>>),
    /// Take what is queued, then end.
    Close,
}

struct Change {
    staged: Staged,
    submitted: Instant,
    answer: oneshot::Sender<Result<Outcome, StoreError>>,
    /// Given back when the mutation is gone.
    room: OwnedSemaphorePermit,
}

/// A mutation with the space written for it, which goes back unless the mutation happens.
struct Staged {
    mutation: Mutation,
    shared: Arc<Shared>,
    /// Whether the space goes back.
    owned: bool,
}

impl CommitThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(options: CommitOptions) -> io::Result<CommitThread> {
        let (jobs, queue) = mpsc::channel(COMMIT_QUEUE_MAX);
        let shared = Arc::new(Shared {
            stats: StatCells::default(),
            read_only: OnceLock::new(),
            free: Arc::clone(&options.free),
        });
        // A runtime of one thread, for its clock: the queue is awaited with a time limit.
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let room = Arc::new(Semaphore::new(COMMIT_QUEUE_BYTES));
        let handle = CommitHandle { jobs, room, shared: Arc::clone(&shared) };
        let thread = std::thread::Builder::new()
            .name("commit".into())
            .spawn(move || batch::run(options, &shared, queue, &clock))?;
        Ok(CommitThread { handle, thread })
    }

    /// A handle for submitting.
    pub fn handle(&self) -> CommitHandle {
        self.handle.clone()
    }

    /// Carries out what is queued, then ends the thread and waits for that. Mutations submitted
    /// later fail with [`StoreError::Closing`]. Blocks: not for a lane.
    pub fn close(self) {
        // Not `blocking_send`, which panics inside a runtime, where a server is at its end.
        while let Err(mpsc::error::TrySendError::Full(_)) = self.handle.jobs.try_send(Job::Close) {
            std::thread::sleep(CLOSE_RETRY);
        }
        drop(self.handle);
        if self.thread.join().is_err() {
            tracing::error!("the commit thread had panicked");
        }
    }
}

impl CommitHandle {
    /// Carries a mutation out. With the answer it is durable. Waits while the queue is full, by
    /// number or by bytes. Space
    /// written for the mutation is the thread's from here on: on any error it goes back. Dropping
    /// the future before the answer leaves open whether the mutation happens.
    ///
    /// # Errors
    /// Why the mutation did not happen; [`StoreError::ReadOnly`] once writing has stopped;
    /// [`StoreError::Closing`]. After [`StoreError::Index`] for a failed commit it is open whether
    /// the mutation survives a restart.
    pub fn submit(
        &self,
        mutation: Mutation,
    ) -> impl Future<Output = Result<Outcome, StoreError>> + use<'_> {
        // Here and not in the future, which may be dropped before it is polled.
        let staged = Staged { mutation, shared: Arc::clone(&self.shared), owned: true };
        async move {
            self.writable()?;
            let (answer, answered) = oneshot::channel();
            let submitted = Instant::now();
            // First the bytes, which nothing but answers gives back; a place comes free before that.
            let bytes = staged.mutation.queued_bytes().min(COMMIT_QUEUE_BYTES) as u32;
            let room = Arc::clone(&self.room).acquire_many_owned(bytes).await;
            let room = room.map_err(|_| StoreError::Closing)?;
            let place = self.jobs.reserve().await.map_err(|_| StoreError::Closing)?;
            place.send(Job::Change(Box::new(Change { staged, submitted, answer, room })));
            answered.await.map_err(|_| self.ended())?
        }
    }

    /// Waits until all space that deletes before this call left to be freed in steps is free, but
    /// what readers hold. For a writer that found no space.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::Closing`].
    pub async fn settle(&self) -> Result<(), StoreError> {
        self.writable()?;
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job::Settle(answer)).await.map_err(|_| StoreError::Closing)?;
        answered.await.map_err(|_| self.ended())?
    }

    /// What the thread has done so far.
    pub fn stats(&self) -> CommitStats {
        let waiting = self.jobs.max_capacity() - self.jobs.capacity();
        let bytes = COMMIT_QUEUE_BYTES - self.room.available_permits();
        self.shared.stats.read(waiting as u64, bytes as u64)
    }

    /// Why writing has stopped for good, if it has.
    pub fn read_only(&self) -> Option<Arc<str>> {
        self.shared.read_only.get().cloned()
    }

    /// Whether a change has a chance: to be asked before its data is taken.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::Closing`].
    pub fn writable(&self) -> Result<(), StoreError> {
        match self.read_only() {
            Some(reason) => Err(StoreError::ReadOnly(reason)),
            None if self.jobs.is_closed() => Err(StoreError::Closing),
            None => Ok(()),
        }
    }

    /// The thread dropped a job without an answer: it ended, in order or by a panic.
    fn ended(&self) -> StoreError {
        self.read_only().map_or(StoreError::Closing, StoreError::ReadOnly)
    }
}

impl Staged {
    /// The space belongs to the index now, or it is unknown whether it does. In the second case it
    /// must not be written again before a restart finds out.
    fn keep(&mut self) {
        self.owned = false;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After a panic it is unknown how far the mutation came.
        if !self.owned || std::thread::panicking() {
            return;
        }
        for extent in self.mutation.new_extents() {
            self.shared.free.release(extent.location);
        }
    }
}

impl std::fmt::Debug for CommitHandle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CommitHandle").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
