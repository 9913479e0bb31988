//! Owns what an operation says and does when its bytes move by RDMA instead of in bodies: taking a client's bytes into
//! the store's frames, hashing them in the same pass; the headers that an answer has then; and what a transfer that
//! failed is to the client.
//!
//! Not here: the transfer and its fence ([`crate::rdma::delivery`]); everything else of the operations, which is the same
//! for both.

use std::future::pending;

use datapath::arena::Frame;
use datapath::{FrameWriter, Staged, StoreError};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue};
use rdma::transfer::{AbortReason, Checksum, Delivered, FrameSink, TransferError};
use rdma::wire::{ChecksumAlgorithm, Crc32c, Crc64Nvme, ReplyCode, header};

use super::refusal::{Outcome, RdmaRefusal, Refusal};
use crate::body::checksum::{Algorithm, DigestValues, Digests};
use crate::metrics::Stage;
use crate::rdma::delivery::{Delivery, Failure};
use crate::record::Laps;

/// The operation's half of a request that moves bytes by RDMA; none where they are in bodies.
pub(super) fn take(extensions: &mut http::Extensions) -> Option<Delivery> {
    extensions.remove::<Delivery>()
}

/// What was moved, for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    bytes: u64,
    /// Of exactly these bytes.
    checksum: Checksum,
}

impl Moved {
    /// No bytes.
    pub(super) fn nothing(checksum: ChecksumAlgorithm) -> Moved {
        Moved { bytes: 0, checksum: Checksum::of(checksum, &[]) }
    }

    /// What the store has taken: with the checksum that [`digest_for`] has asked for, or else its own.
    pub(super) fn taken(staged: &Staged, delivery: &Delivery, values: &DigestValues) -> Moved {
        let crc32c = digest_for(delivery).and_then(|algorithm| values.value(algorithm));
        let crc32c = crc32c.and_then(|value| value.as_bytes().try_into().ok());
        let checksum = match crc32c {
            Some(bytes) => Checksum::Crc32c(Crc32c(u32::from_be_bytes(bytes))),
            None => Checksum::Crc64Nvme(Crc64Nvme(staged.crc64())),
        };
        Moved { bytes: staged.size(), checksum }
    }

    /// Adds the headers of an answer whose bytes went by RDMA, which has no body.
    pub(super) fn describe(&self, partial: bool, headers: &mut HeaderMap) {
        let reply = if partial { ReplyCode::Partial } else { ReplyCode::Whole };
        let (name, value) = match self.checksum {
            Checksum::Crc64Nvme(crc) => (header::CHECKSUM_CRC64NVME, crc.to_string()),
            Checksum::Crc32c(crc) => (header::CHECKSUM_CRC32C, crc.to_string()),
        };
        headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
        headers.insert(header::BYTES_TRANSFERRED, HeaderValue::from(self.bytes));
        for (name, text) in [(header::REPLY, reply.to_string()), (name, value)] {
            // Digits and base64 are values of headers.
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

impl From<Delivered> for Moved {
    fn from(delivered: Delivered) -> Moved {
        Moved { bytes: delivered.bytes, checksum: delivered.checksum }
    }
}

/// What has to be computed for the answer of an upload, beside the CRC-64/NVME that the store computes anyway.
pub(super) fn digest_for(delivery: &Delivery) -> Option<Algorithm> {
    match delivery.checksum() {
        ChecksumAlgorithm::Crc64Nvme => None,
        ChecksumAlgorithm::Crc32c => Some(Algorithm::Crc32c),
    }
}

/// Takes the client's bytes into frames, which go to the drive as they are. `digests` sees each on its way.
///
/// # Errors
/// What the transfer or the store meets.
pub(super) async fn collect(
    delivery: &Delivery,
    writer: FrameWriter,
    digests: Digests,
    laps: &mut Laps,
) -> Outcome<(Staged, Digests)> {
    let mut sink = Sink { writer, digests, out: 0 };
    let received = delivery.receive(&mut sink, laps.account()).await;
    laps.ends(Stage::Receive, received)?;
    let staged = sink.writer.finish().await;
    laps.skip();
    Ok((staged?, sink.digests))
}

struct Sink {
    writer: FrameWriter,
    digests: Digests,
    /// Frames that the transfer has.
    out: usize,
}

impl FrameSink for Sink {
    type Error = StoreError;

    async fn next_frame(&mut self) -> Result<(Frame, usize), StoreError> {
        match self.writer.next_frame().await? {
            Some(given) => {
                self.out += 1;
                Ok(given)
            }
            None if self.out == 0 => {
                let size = self.writer.size();
                Err(StoreError::SizeMismatch { expected: size, got: size.saturating_add(1) })
            }
            // The transfer asks again when it has returned one.
            None => pending().await,
        }
    }

    async fn filled(&mut self, frame: Frame) -> Result<(), StoreError> {
        self.out -= 1;
        self.digests.update(frame.filled());
        self.writer.filled(frame)
    }
}

impl From<Failure> for Refusal {
    fn from(Failure { error, rearmed }: Failure) -> Refusal {
        let refusal = match error {
            // Fewer or more bytes than were announced is the transfer's fault, not that of a body.
            TransferError::Content(error @ StoreError::SizeMismatch { .. }) => {
                RdmaRefusal::Failed(error.to_string())
            }
            TransferError::Content(error) => return Refusal::Store(error),
            TransferError::Aborted(AbortReason::ShuttingDown) => {
                return Refusal::Store(StoreError::Closing);
            }
            TransferError::Deadline => RdmaRefusal::Deadline,
            TransferError::PeerSilent if rearmed => RdmaRefusal::PeerBusy,
            TransferError::WindowTooSmall { needed, window } => {
                RdmaRefusal::Declined { needed, window }
            }
            TransferError::Fabric(error) => {
                tracing::warn!(%error, "an RDMA transfer failed");
                RdmaRefusal::Failed("the server's RDMA device refused".to_owned())
            }
            other => {
                tracing::debug!(error = %other, "an RDMA transfer failed");
                RdmaRefusal::Failed(other.to_string())
            }
        };
        Refusal::Rdma(refusal)
    }
}
