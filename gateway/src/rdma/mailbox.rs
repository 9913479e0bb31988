//! Owns: the way of a transfer to the lane that owns its queue pair, and back.
//!
//! A queue pair is driven by one lane; its clients' requests come on any. The lane that has the request authenticates
//! it, hands the rest over through the owner's mailbox, and waits. Only heads travel: bytes never do.
//!
//! Each lane takes at most [`limits::RDMA_JOBS_AT_ONCE`] jobs at a time; [`limits::RDMA_MAILBOX_JOBS_MAX`] more wait,
//! and beyond that there is an answer at once.

use std::rc::Rc;
use std::sync::Mutex;
use std::sync::PoisonError;

use bytes::Bytes;
use http::Response;
use rdma::fabric::RemoteWindow;
use rdma::server::{Claim, ConnectionClaim, Operation, ReadyHeaders};
use rdma::wire::ChecksumAlgorithm;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::decline::Reason;
use crate::door::Refused;
use crate::limits;

/// Which queue pair, and what for.
#[derive(Debug)]
pub(super) enum Wanted {
    /// A session's transfer.
    Session {
        /// The session.
        claim: Claim,
        /// What READY has said.
        ready: ReadyHeaders,
    },
    /// A transfer over a pooled connection.
    Pooled {
        /// The connection.
        claim: ConnectionClaim,
        /// The client's memory.
        window: RemoteWindow,
        /// Which way.
        operation: Operation,
        /// Of the checksum in the answer.
        checksum: ChecksumAlgorithm,
    },
}

/// What the owner lane is to do.
#[derive(Debug)]
pub(super) struct Job {
    /// With which queue pair.
    pub(super) wanted: Wanted,
    /// The S3 request that it is for, as the door leaves it.
    pub(super) head: Box<http::request::Parts>,
    /// Where the outcome goes. Whoever waits may have gone.
    pub(super) answer: oneshot::Sender<Outcome>,
}

/// What has become of a job. Whatever it is: nothing moves any more.
#[derive(Debug)]
pub(super) enum Outcome {
    /// S3's answer. Its body is an error's document, or nothing.
    Answered(Response<Bytes>),
    /// There was no transfer.
    Refused(Refused),
    /// A download that did not go by RDMA: its request may be answered by HTTP.
    ByHttp(Reason),
}

/// All lanes' mailboxes.
#[derive(Debug)]
pub(super) struct Mailboxes {
    senders: Vec<mpsc::Sender<Job>>,
    receivers: Mutex<Vec<Option<mpsc::Receiver<Job>>>>,
}

impl Mailboxes {
    /// One for each lane.
    pub(super) fn new(lanes: usize) -> Mailboxes {
        let channels = (0..lanes).map(|_| mpsc::channel(limits::RDMA_MAILBOX_JOBS_MAX));
        let (senders, receivers) =
            channels.map(|(sender, receiver)| (sender, Some(receiver))).unzip();
        Mailboxes { senders, receivers: Mutex::new(receivers) }
    }

    /// That lane's, which takes it once.
    pub(super) fn take(&self, lane: usize) -> Option<mpsc::Receiver<Job>> {
        // Nothing panics while the lock is held.
        let mut receivers = self.receivers.lock().unwrap_or_else(PoisonError::into_inner);
        receivers.get_mut(lane)?.take()
    }

    /// Puts a job into a lane's mailbox.
    ///
    /// # Errors
    /// The job, when the mailbox is full or its lane has ended.
    pub(super) fn post(&self, lane: usize, job: Job) -> Result<(), Box<Job>> {
        match self.senders.get(lane) {
            Some(sender) => sender.try_send(job).map_err(|refused| Box::new(refused.into_inner())),
            None => Err(Box::new(job)),
        }
    }
}

/// Carries jobs out until `end` is true, then finishes those that have begun. Jobs that were waiting are dropped; who
/// waits for them learns it.
pub(super) async fn carry_out<F: Future<Output = ()> + 'static>(
    mut jobs: mpsc::Receiver<Job>,
    mut end: watch::Receiver<bool>,
    carry: Rc<dyn Fn(Job) -> F>,
) {
    let mut running = JoinSet::new();
    loop {
        let has_room = running.len() < limits::RDMA_JOBS_AT_ONCE;
        tokio::select! {
            biased;
            _ = end.wait_for(|end| *end) => break,
            Some(ended) = running.join_next() => note(ended),
            job = jobs.recv(), if has_room => match job {
                Some(job) => {
                    running.spawn_local(carry(job));
                }
                None => break,
            },
        }
    }
    drop(jobs);
    while let Some(ended) = running.join_next().await {
        note(ended);
    }
}

/// A job that panicked has dropped its transfer, which is fenced then, and its answer, which its waiter sees.
fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "an RDMA transfer's task ended: a defect, please report it");
    }
}
