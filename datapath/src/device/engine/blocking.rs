//! *Owns:* reads and writes by pread(2) and pwrite(2) on a few threads that all lanes share, for
//! systems that refuse io_uring.
//!
//! *Limits:* [`limits::BLOCKING_THREADS`], [`limits::BLOCKING_QUEUE_MAX`].

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot};

use super::super::error::Operation;
use super::super::set::Backing;
use super::port::Flight;
use super::{Step, errno_of};
use crate::limits;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end when the pool is dropped, after what is queued.
#[derive(Debug)]
pub struct BlockingPool {
    jobs: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl BlockingPool {
    /// Starts [`limits::BLOCKING_THREADS`] threads.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn start() -> io::Result<Arc<BlockingPool>> {
        let (jobs, queue) = mpsc::channel::<Job>(limits::BLOCKING_QUEUE_MAX);
        let queue = Arc::new(Mutex::new(queue));
        let mut pool = BlockingPool { jobs: Some(jobs), threads: Vec::new() };
        for index in 0..limits::BLOCKING_THREADS {
            let queue = Arc::clone(&queue);
            let thread = thread::Builder::new()
                .name(format!("device-{index}"))
                .spawn(move || work(&queue))?;
            pool.threads.push(thread);
        }
        Ok(Arc::new(pool))
    }

    /// Keeps every thread busy until the returned value is dropped, so that what is submitted
    /// meanwhile stays in flight.
    #[cfg(test)]
    pub(super) async fn occupy(&self) -> std::sync::mpsc::Sender<()> {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        for _ in 0..limits::BLOCKING_THREADS {
            let released = Arc::clone(&released);
            let job: Job = Box::new(move || {
                let _ = released.lock().unwrap().recv();
            });
            self.jobs.as_ref().unwrap().send(job).await.unwrap();
        }
        release
    }

    pub(super) async fn submit<G: Send + 'static>(
        &self,
        step: Step,
        mut flight: Flight<G>,
    ) -> (Result<usize, i32>, Flight<G>) {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move || {
            let result = perform(step, &mut flight);
            flight.landed(step.operation, result);
            // Nobody waits any more: the flight is dropped here, its operation being over.
            let _ = answer.send((result, flight));
        });
        let jobs = self.jobs.as_ref().expect("taken only when dropped");
        // Waiting for room here, nothing is in flight yet; dropped meanwhile, all of it is given
        // back at once.
        jobs.send(job).await.expect("the threads live as long as the pool");
        answered.await.expect("every job answers")
    }
}

impl Drop for BlockingPool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so; there is nothing more to do with it.
            let _ = thread.join();
        }
    }
}

fn work(queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        // The lock is held while waiting: one thread waits for a job, the others for the lock.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        match job {
            Some(job) => job(),
            None => return,
        }
    }
}

fn perform<G>(step: Step, flight: &mut Flight<G>) -> Result<usize, i32> {
    let device = Arc::clone(flight.device());
    let Backing::File(file) = &device.backing else {
        unreachable!("a port of this engine has no simulated device");
    };
    let part = &mut flight.frame().as_mut_slice()[step.start..step.start + step.length];
    let result = match step.operation {
        Operation::Read => file.read_at(part, step.offset),
        Operation::Write | Operation::Flush => file.write_at(part, step.offset),
    };
    result.map_err(|error| errno_of(&error))
}
