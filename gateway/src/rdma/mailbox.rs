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
use crate::record::Tally;
use crate::record::account::Asked;

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
    /// What its account says of it; none where nothing is measured.
    pub(super) asked: Option<Box<Asked>>,
    /// Where the outcome goes. Whoever waits may have gone.
    pub(super) answer: oneshot::Sender<Done>,
}

/// A job that has ended.
#[derive(Debug)]
pub(super) struct Done {
    /// What has become of it.
    pub(super) outcome: Outcome,
    /// What it cost.
    pub(super) tally: Box<Tally>,
}

impl From<Outcome> for Done {
    fn from(outcome: Outcome) -> Done {
        Done { outcome, tally: Box::default() }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use rdma::fabric::{Gid, Psn, Qpn, loopback};
    use rdma::server::{Connect, LaneServer, Server, Settings};
    use rdma::wire::RcToken;
    use tokio::task::LocalSet;

    /// A lane with a pooled connection, and jobs that want it.
    struct Bench {
        server: Arc<Server>,
        lane: LaneServer,
        connection: rdma::wire::SessionId,
    }

    impl Bench {
        fn new() -> Bench {
            let gid = Gid::from_ipv4(Ipv4Addr::LOCALHOST);
            let fabric = loopback::Network::new().fabric(gid, None);
            let server = Server::new(fabric, Settings::default(), 1);
            let lane = LaneServer::open(&server, 0).unwrap();
            let token = RcToken::identity(Qpn::new(3).unwrap(), gid, 1, 0);
            let psn = Psn::new(1).unwrap();
            let connect = Connect { principal: "owner".into(), token, psn };
            let connection = lane.connect(connect).unwrap().connection;
            Bench { server, lane, connection }
        }

        fn job(&self) -> (Job, oneshot::Receiver<Done>) {
            let claim = self.server.connection(self.connection, "owner").unwrap();
            let window = RemoteWindow { address: 0x1000, size: 1, rkey: 1 };
            let (operation, checksum) = (Operation::Get, ChecksumAlgorithm::Crc64Nvme);
            let wanted = Wanted::Pooled { claim, window, operation, checksum };
            let (answer, outcome) = oneshot::channel();
            let head = Box::new(http::Request::new(()).into_parts().0);
            (Job { wanted, head, asked: None, answer }, outcome)
        }
    }

    fn run(test: impl AsyncFnOnce(Bench)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let bench = Bench::new();
            let lane = bench.lane.clone();
            test(bench).await;
            lane.close().await;
        });
    }

    #[test]
    fn a_full_mailbox_says_so_and_one_that_ended_too() {
        run(async |bench| {
            let mailboxes = Mailboxes::new(1);
            let jobs = mailboxes.take(0).unwrap();
            assert!(mailboxes.take(0).is_none() && mailboxes.take(1).is_none());
            for _ in 0..limits::RDMA_MAILBOX_JOBS_MAX {
                assert!(mailboxes.post(0, bench.job().0).is_ok());
            }
            assert!(mailboxes.post(0, bench.job().0).is_err());
            assert!(mailboxes.post(1, bench.job().0).is_err());
            drop(jobs);
            assert!(mailboxes.post(0, bench.job().0).is_err());
        });
    }

    #[test]
    fn what_has_begun_is_finished_and_what_has_not_is_told() {
        run(async |bench| {
            let mailboxes = Mailboxes::new(1);
            let (end, ended) = watch::channel(false);
            let (begun, mut beginnings) = mpsc::channel(4);
            let (go, gone) = watch::channel(false);
            let carry = move |job: Job| {
                let (begun, mut gone) = (begun.clone(), gone.clone());
                async move {
                    begun.send(()).await.unwrap();
                    gone.wait_for(|gone| *gone).await.unwrap();
                    let _ = job.answer.send(Outcome::ByHttp(Reason::Busy).into());
                }
            };
            let jobs = mailboxes.take(0).unwrap();
            let task = tokio::task::spawn_local(carry_out(jobs, ended, Rc::new(carry)));
            let (first, outcome) = bench.job();
            mailboxes.post(0, first).unwrap();
            beginnings.recv().await.unwrap();
            end.send_replace(true);
            let (late, told) = bench.job();
            // It may still get in, but nobody takes it out.
            let _ = mailboxes.post(0, late);
            assert!(told.await.is_err());
            go.send_replace(true);
            assert!(matches!(outcome.await.unwrap().outcome, Outcome::ByHttp(Reason::Busy)));
            task.await.unwrap();
        });
    }

    #[test]
    fn a_job_that_panics_is_told_and_the_next_is_carried_out() {
        run(async |bench| {
            let mailboxes = Mailboxes::new(1);
            let (end, ended) = watch::channel(false);
            let times = Rc::new(std::cell::Cell::new(0));
            let carry = move |job: Job| {
                times.set(times.get() + 1);
                let first = times.get() == 1;
                async move {
                    assert!(!first, "as asked");
                    let _ = job.answer.send(Outcome::ByHttp(Reason::Failed).into());
                }
            };
            let jobs = mailboxes.take(0).unwrap();
            let task = tokio::task::spawn_local(carry_out(jobs, ended, Rc::new(carry)));
            let ((first, told), (second, outcome)) = (bench.job(), bench.job());
            mailboxes.post(0, first).unwrap();
            assert!(told.await.is_err());
            mailboxes.post(0, second).unwrap();
            assert!(matches!(outcome.await.unwrap().outcome, Outcome::ByHttp(Reason::Failed)));
            end.send_replace(true);
            task.await.unwrap();
        });
    }
}
