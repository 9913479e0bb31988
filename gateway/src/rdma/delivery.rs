//! Owns the one transfer of an S3 request whose bytes move by RDMA, on its way from the door to the operation and back.
//!
//! ```text
//!  door ── Delivery::new(transfer) ──▶ request's extensions ──▶ operation: send | receive, settled by each
//!    ◀── outcome() ──────────────── close(): settles what no operation has used ◀── crate::s3::Service::call
//! ```
//!
//! No answer leaves [`crate::s3::Service::call`] before the transfer is settled, whatever became of the request. The
//! operation's future owns the transfer while bytes move: dropping it aborts the transfer, which fences by itself. Should
//! anything panic while bytes move, the panic goes on only after the fence: whoever catches it may answer.
//!
//! Not here: which bytes, and what is said of them (`crate::s3`); what is made of a [`DeliveryOutcome`] (the door).

use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;

use datapath::{ReadStream, StoreError};
use rdma::server::{Outcome, Protocol, Settled, Transfer};
use rdma::transfer::{Delivered, FrameSink, FrameSource, Received, TransferError};
use rdma::wire::ChecksumAlgorithm;
use send_wrapper::SendWrapper;

use super::receipts::Receipts;
use crate::door::unwind;
use crate::metrics::Copying;
use crate::record::Account;

/// The transfer of one request, as an extension of it. Clones share it. It belongs to the thread that made it, the lane
/// that owns the queue pair; the last clone must be dropped there.
#[derive(Clone)]
pub struct Delivery(Arc<SendWrapper<Slot>>);

struct Slot {
    transfer: RefCell<Option<Transfer>>,
    size: u64,
    protocol: Protocol,
    checksum: ChecksumAlgorithm,
    outcome: Cell<DeliveryOutcome>,
    receipts: Arc<Receipts>,
}

/// What became of a request's transfer, once its answer is there. Nothing of it moves any more, but for one that the
/// device would not end: its answer is an error, after which the client has to make its key void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// No byte was moved: the request was refused, or it was none that has bytes. The answer stands.
    Unused,
    /// All bytes were moved. The answer stands: a PUT may still have been refused for what the bytes are.
    Moved,
    /// GET: the bytes do not fit the client's window, and none was written. The same request without this extension
    /// is to be answered instead, with the body.
    Declined {
        /// Bytes of the answer.
        needed: u64,
        /// Bytes of the window.
        window: u64,
    },
    /// The object is encrypted, or is to be, and nothing was moved. A GET is to be answered with the body, a PUT declined.
    Encrypted,
    /// The transfer failed and the peer's memory is quiet. A GET of the base protocol may be answered as if declined;
    /// else the answer stands.
    FailedQuiet {
        /// The session waits for another READY: its peer never answered. The answer says RdmaPeerBusy.
        rearmed: bool,
    },
    /// The content could not be had or kept, the transfer was made to stop, or the device would not end it. The answer
    /// stands.
    Stopped,
}

/// Why bytes were not moved.
#[derive(Debug)]
pub struct Failure {
    /// What happened.
    pub error: TransferError<StoreError>,
    /// The session waits for another READY.
    pub rearmed: bool,
}

impl Delivery {
    /// For the request that this transfer was acquired or begun for.
    #[must_use]
    pub fn new(transfer: Transfer, receipts: Arc<Receipts>) -> Delivery {
        Delivery(Arc::new(SendWrapper::new(Slot {
            size: transfer.size(),
            protocol: transfer.protocol(),
            checksum: transfer.checksum(),
            transfer: RefCell::new(Some(transfer)),
            outcome: Cell::new(DeliveryOutcome::Unused),
            receipts,
        })))
    }

    /// PUT: bytes to take. GET: the client's window.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// Which checksum of the moved bytes the answer is to have.
    pub(crate) fn checksum(&self) -> ChecksumAlgorithm {
        self.0.checksum
    }

    /// What became of it. To be asked when the answer is there.
    #[must_use]
    pub fn outcome(&self) -> DeliveryOutcome {
        self.0.outcome.get()
    }

    /// Writes a range of an object to the client, and settles. The account's sources are those that
    /// have given the bytes.
    ///
    /// # Errors
    /// Why it was not written, or not all of it; nothing moves any more then.
    pub(crate) async fn send(
        &self,
        mut stream: ReadStream,
        account: Option<&Account>,
    ) -> Result<Delivered, Failure> {
        let mut transfer = self.take()?;
        let sent = unwind::caught(pin!(transfer.send(Pieces(&mut stream)))).await;
        self.0.receipts.add_copied(stream.copied_bytes());
        // Frames that were read ahead are others' to use while the fence takes its time.
        drop(stream);
        let (transfer, sent) = unbroken(transfer, sent).await;
        let delivered = self.settle(transfer, sent).await?;
        if let Some(account) = account {
            account.move_by_rdma(delivered.bytes);
            account.all_left();
        }
        self.0.receipts.add_delivered(delivered.bytes, account);
        Ok(delivered)
    }

    /// Takes the client's bytes, and settles.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(crate) async fn receive<K>(
        &self,
        sink: &mut K,
        account: Option<&Account>,
    ) -> Result<Received, Failure>
    where
        K: FrameSink<Error = StoreError>,
    {
        let mut transfer = self.take()?;
        let received = unwind::caught(pin!(transfer.receive(sink))).await;
        let (transfer, received) = unbroken(transfer, received).await;
        let received = self.settle(transfer, received).await?;
        if let Some(account) = account {
            account.move_by_rdma(received.bytes);
            account.copy(Copying::RdmaStaging, received.copied_bytes);
        }
        self.0.receipts.add_collected(received.bytes, received.copied_bytes);
        Ok(received)
    }

    /// Notes that there are no bytes to move, and settles.
    pub(crate) async fn nothing_to_send(&self) {
        self.close().await;
        self.0.outcome.set(DeliveryOutcome::Moved);
    }

    /// Notes that `needed` bytes do not fit the window, and settles.
    pub(crate) async fn decline(&self, needed: u64) {
        self.close().await;
        self.note(DeliveryOutcome::Declined { needed, window: self.size() });
    }

    /// Notes that a processor has to touch the bytes, and settles.
    pub(crate) async fn decline_encrypted(&self) {
        self.close().await;
        self.note(DeliveryOutcome::Encrypted);
    }

    /// Settles a transfer that no operation has used: its request was refused. Does nothing after any other.
    pub async fn close(&self) {
        let Some(transfer) = self.0.transfer.take() else {
            return;
        };
        // Nothing was posted, so that a pooled connection goes on; a session is for one request.
        let ended = match self.0.protocol {
            Protocol::Pooled => Outcome::Succeeded,
            Protocol::Session => Outcome::Failed,
        };
        let _settled = transfer.settle(ended).await;
    }

    fn take(&self) -> Result<Transfer, Failure> {
        let error = TransferError::Misused("use twice");
        self.0.transfer.take().ok_or(Failure { error, rearmed: false })
    }

    async fn settle<T>(
        &self,
        transfer: Transfer,
        result: Result<T, TransferError<StoreError>>,
    ) -> Result<T, Failure> {
        let untouched = matches!(result, Ok(_) | Err(TransferError::WindowTooSmall { .. }));
        let ended = if untouched { Outcome::Succeeded } else { Outcome::Failed };
        let settled = transfer.settle(ended).await;
        self.note(outcome_of(&result, settled));
        result.map_err(|error| Failure { error, rearmed: settled.rearmed })
    }

    fn note(&self, outcome: DeliveryOutcome) {
        if let DeliveryOutcome::Declined { .. } | DeliveryOutcome::Encrypted = outcome {
            self.0.receipts.add_declined();
        }
        self.0.outcome.set(outcome);
    }
}

fn outcome_of<T>(
    result: &Result<T, TransferError<StoreError>>,
    settled: Settled,
) -> DeliveryOutcome {
    match result {
        Ok(_) => DeliveryOutcome::Moved,
        Err(_) if !settled.quiet => DeliveryOutcome::Stopped,
        Err(TransferError::WindowTooSmall { needed, window }) => {
            DeliveryOutcome::Declined { needed: *needed, window: *window }
        }
        Err(TransferError::Content(_) | TransferError::Aborted(_)) => DeliveryOutcome::Stopped,
        Err(_) => DeliveryOutcome::FailedQuiet { rearmed: settled.rearmed },
    }
}

/// What came of moving, with the transfer to be settled. Where it was a panic, the transfer is settled first and the
/// panic goes on then.
async fn unbroken<T>(transfer: Transfer, moved: Result<T, String>) -> (Transfer, T) {
    match moved {
        Ok(moved) => (transfer, moved),
        Err(panic) => {
            let _settled = transfer.settle(Outcome::Failed).await;
            resume_unwind(Box::new(panic))
        }
    }
}

/// A range of an object as the transfer takes it: the frames of the cache and of the drive, as they are.
struct Pieces<'a>(&'a mut ReadStream);

impl FrameSource for Pieces<'_> {
    type Error = StoreError;

    async fn next(&mut self) -> Option<Result<bytes::Bytes, StoreError>> {
        self.0.next().await
    }

    fn remaining(&self) -> u64 {
        self.0.remaining()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_a_quiet_failure_may_be_answered_in_the_body() {
        let settled = |quiet| Settled { rearmed: false, quiet, fence: Duration::ZERO };
        let outcome = |error, quiet| outcome_of::<()>(&Err(error), settled(quiet));
        let quiet = DeliveryOutcome::FailedQuiet { rearmed: false };
        assert_eq!(outcome(TransferError::Deadline, true), quiet);
        assert_eq!(outcome(TransferError::PeerSilent, true), quiet);
        assert_eq!(outcome(TransferError::Deadline, false), DeliveryOutcome::Stopped);
        assert_eq!(outcome_of(&Ok(()), settled(true)), DeliveryOutcome::Moved);
    }
}
