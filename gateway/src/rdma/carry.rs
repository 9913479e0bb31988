//! Owns: a transfer on the lane that owns its queue pair: the queue pair is taken, S3's operation is called with it,
//! and the outcome goes back to the lane that has the HTTP request.
//!
//! Whatever the outcome: when it is sent, no operation of the transfer can move anything any more.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rdma::server::{LaneServer, Operation, SessionError, Transfer};

use super::decline::Reason;
use super::delivery::{Delivery, DeliveryOutcome};
use super::mailbox::{Done, Job, Outcome, Wanted};
use super::process::Rdma;
use super::{inward, principal, status};
use crate::door::Refused;
use crate::iam::Caller;
use crate::metrics::Delivery as Delivered;
use crate::record::{Account, AccountSlot};
use crate::s3::Service;

/// What jobs are carried out with.
pub(super) struct Carrier {
    /// This lane.
    pub(super) lane: usize,
    /// This lane's queue pairs.
    pub(super) server: LaneServer,
    /// S3 on this lane.
    pub(super) service: Service,
    /// What all lanes share.
    pub(super) shared: Arc<Rdma>,
}

impl Carrier {
    /// Carries a job out and sends its outcome.
    pub(super) async fn carry_out(&self, job: Job) {
        let Job { wanted, mut head, asked, answer } = job;
        let account = asked.map(|asked| Rc::new(Account::new(self.lane, *asked)));
        if let Some(account) = &account {
            account.deliver_by(Delivered::Rdma);
            head.extensions.insert(AccountSlot::new(account.clone()));
        }
        let outcome = self.outcome(wanted, *head).await;
        let tally = Box::new(account.map(|account| account.tally()).unwrap_or_default());
        // Who waited may have gone; the transfer was aborted then, and is over all the same.
        let _ = answer.send(Done { outcome, tally });
    }

    async fn outcome(&self, wanted: Wanted, mut head: http::request::Parts) -> Outcome {
        // A session's client awaits bytes in its memory alone, and an upload's bytes are there alone.
        let by_http = matches!(wanted, Wanted::Pooled { operation: Operation::Get, .. });
        let transfer = match self.take(wanted, &head).await {
            Ok(transfer) => transfer,
            Err(outcome) => return outcome,
        };
        let began = Instant::now();
        let delivery = Delivery::new(transfer, self.shared.receipts.clone());
        head.extensions.insert(delivery.clone());
        let answer = inward::call(&self.service, head).await;
        // Nothing to do but when s3s has failed: S3 settles what it was given.
        delivery.close().await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(refused) => return Outcome::Refused(refused),
        };
        let (status, outcome) = (answer.status().as_u16(), delivery.outcome());
        let milliseconds = began.elapsed().as_millis() as u64;
        tracing::debug!(?outcome, status, milliseconds, bytes = delivery.size(), "RDMA transfer");
        match outcome {
            DeliveryOutcome::Declined { .. } => Outcome::ByHttp(Reason::WindowTooSmall),
            DeliveryOutcome::Encrypted => Outcome::ByHttp(Reason::Encrypted),
            DeliveryOutcome::FailedQuiet { .. } if by_http => Outcome::ByHttp(Reason::Failed),
            DeliveryOutcome::Unused if answer.status().is_success() => {
                tracing::error!(
                    "S3 answered a transfer without moving it: a defect, please report it"
                );
                Outcome::Refused(Refused::internal())
            }
            DeliveryOutcome::Unused
            | DeliveryOutcome::Moved
            | DeliveryOutcome::FailedQuiet { .. }
            | DeliveryOutcome::Stopped => Outcome::Answered(inward::whole(answer)),
        }
    }

    /// The queue pair, connected, or what there is to say without one.
    async fn take(&self, wanted: Wanted, head: &http::request::Parts) -> Result<Transfer, Outcome> {
        match wanted {
            Wanted::Session { claim, ready } => {
                // The key may have gone while the job was on its way; the session goes with the claim.
                let caller = head.extensions.get::<Caller>();
                let key = caller.and_then(|caller| principal::of(&self.shared.keys, caller));
                if key.as_deref() != Some(&**claim.principal()) {
                    let message = "The access key is not valid any more.";
                    return Err(Outcome::Refused(status::denied(message)));
                }
                let begun = self.server.begin(claim, ready).await;
                begun.map_err(|error| Outcome::Refused(status::refused(&error)))
            }
            Wanted::Pooled { claim, window, operation, checksum } => {
                let acquired = self.server.acquire(claim, window, operation, checksum).await;
                acquired.map_err(|error| unacquired(operation, &error))
            }
        }
    }
}

/// A pooled connection that can't be had: gone, which its client can mend, or busy, which HTTP gets around.
fn unacquired(operation: Operation, error: &SessionError) -> Outcome {
    match (operation, error) {
        (_, SessionError::Unknown) => Outcome::Refused(status::no_such_connection()),
        (Operation::Get, SessionError::Fabric(_)) => Outcome::ByHttp(Reason::Failed),
        (Operation::Get, _) => Outcome::ByHttp(Reason::Busy),
        (Operation::Put, _) => Outcome::Refused(status::refused(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdma::server::Exhausted;

    #[test]
    fn what_keeps_a_download_from_rdma_does_not_keep_it_from_http() {
        let busy = SessionError::Busy(Exhausted::ConnectionQueue);
        for (error, reason) in [
            (busy.clone(), Reason::Busy),
            (SessionError::ShuttingDown, Reason::Busy),
            (SessionError::Deadline, Reason::Busy),
        ] {
            let outcome = unacquired(Operation::Get, &error);
            assert!(matches!(outcome, Outcome::ByHttp(it) if it == reason), "{error:?}");
            let outcome = unacquired(Operation::Put, &error);
            assert!(
                matches!(outcome, Outcome::Refused(it) if it.status.as_u16() >= 408),
                "{error:?}"
            );
        }
        for operation in [Operation::Get, Operation::Put] {
            let outcome = unacquired(operation, &SessionError::Unknown);
            let Outcome::Refused(refused) = outcome else { panic!("{outcome:?}") };
            assert_eq!(refused.headers.unwrap()[rdma::wire::header::REPLY], "404");
        }
    }
}
