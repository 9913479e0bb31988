//! Owns: RDMA on one lane: its queue pairs, the jobs that come through its mailbox, and its end.
//!
//! The end has an order. First all lanes finish their own requests, since they may need this lane's queue pairs; then
//! every transfer that is left is aborted and fenced; and only then may the store close the memory that was moved.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use http::Response;
use rdma::server::LaneServer;
use rdma::wire::header;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::carry::Carrier;
use super::decline::Reason;
use super::headers::value;
use super::mailbox::{self, Job, Outcome, Wanted};
use super::process::{Present, Rdma};
use super::{capability, status};
use crate::auth::Verifier;
use crate::door::Refused;
use crate::iam::LaneKeys;
use crate::record::AccountSlot;
use crate::s3::Service;

/// RDMA on one lane.
pub struct LaneRdma {
    /// What all lanes share.
    pub(super) shared: Arc<Rdma>,
    /// For control requests, which may be signed for either of two services.
    pub(super) verifier: Verifier,
    /// S3 on this lane.
    pub(super) service: Service,
    /// This lane's queue pairs, where there is RDMA.
    pub(super) server: Option<LaneServer>,
    present: RefCell<Option<Present>>,
    working: RefCell<Option<Working>>,
}

/// The task that takes jobs.
struct Working {
    end: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl LaneRdma {
    /// Opens it, on the lane's thread and inside its runtime.
    ///
    /// # Errors
    /// One line for the operator, when the device has no more to give.
    pub fn open(shared: Arc<Rdma>, lane: usize, service: Service) -> Result<LaneRdma, String> {
        let server = match shared.server() {
            Some(server) => Some(LaneServer::open(server, lane).map_err(|error| {
                format!(
                    "lane {lane}: the RDMA device gave no completion queue: {error}; serve with \
                     fewer lanes, or set rdma.mode = off"
                )
            })?),
            None => None,
        };
        let working = server.as_ref().and_then(|server| {
            let jobs = shared.mailboxes.take(lane)?;
            let carrier = Rc::new(Carrier {
                lane,
                server: server.clone(),
                service: service.clone(),
                shared: shared.clone(),
            });
            let carry = move |job| {
                let carrier = carrier.clone();
                async move { carrier.carry_out(job).await }
            };
            let (end, ended) = watch::channel(false);
            let task = tokio::task::spawn_local(mailbox::carry_out(jobs, ended, Rc::new(carry)));
            Some(Working { end, task })
        });
        Ok(LaneRdma {
            verifier: Verifier::new(
                Arc::new(LaneKeys::new(shared.keys.clone())),
                &["s3", "hipobj"],
            ),
            present: RefCell::new(Some(Present::new(&shared))),
            working: RefCell::new(working),
            shared,
            service,
            server,
        })
    }

    /// What all lanes share.
    pub fn shared(&self) -> &Rdma {
        &self.shared
    }

    /// Says in a successful answer what RDMA can do here.
    pub fn say_capabilities<B>(&self, answer: &mut Response<B>) {
        if answer.status().is_success() {
            let facts = self.shared.usable().ok().map(|server| server.facts());
            answer.headers_mut().insert(header::CAPABILITIES, value(capability::of(facts)));
        }
    }

    /// Has a transfer carried out on the lane that owns its queue pair. Nothing was begun when that lane has too much to
    /// do, or has ended: [`Reason::Busy`].
    ///
    /// # Errors
    /// 500 when it was begun and not brought to its end.
    pub(super) async fn hand_over(
        &self,
        lane: usize,
        wanted: Wanted,
        mut head: Box<http::request::Parts>,
    ) -> Result<Outcome, Refused> {
        // The account stays on this lane; what is measured on the other comes back.
        let slot = head.extensions.remove::<AccountSlot>();
        let account = slot.as_ref().map(AccountSlot::account).filter(|it| it.is_measured());
        let asked = account.map(|account| Box::new(account.asked.clone()));
        let (answer, done) = oneshot::channel();
        let job = Job { wanted, head, asked, answer };
        if let Err(job) = self.shared.mailboxes.post(lane, job) {
            if let Wanted::Session { claim, .. } = job.wanted {
                // The client may send READY again.
                claim.put_back();
            }
            return Ok(Outcome::ByHttp(Reason::Busy));
        }
        // Without an answer the job has panicked, or its lane ended. Its transfer is fenced all the same, but not yet
        // perhaps: nothing but an error may be said.
        let done = done.await.map_err(|_| status::failed("The transfer was broken off."))?;
        if let Some(account) = account {
            account.add(&done.tally);
        }
        Ok(done.outcome)
    }

    /// Ends it. Called once, when this lane has no requests of its own any more; the store must be quiet only after.
    pub async fn close(&self) {
        let present = self.present.borrow_mut().take();
        let (Some(server), Some(working)) = (&self.server, self.working.borrow_mut().take()) else {
            return;
        };
        if let Some(shared) = self.shared.server() {
            shared.stop_admitting();
        }
        if let Some(present) = present {
            present.leave().await;
        }
        working.end.send_replace(true);
        // Transfers that still run end because the server half does.
        let ((), ended) = tokio::join!(server.close(), working.task);
        if let Err(error) = ended {
            tracing::error!(%error, "the task of RDMA transfers ended: a defect, please report it");
        }
    }
}
