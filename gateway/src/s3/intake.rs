//! Owns an object's or a part's bytes on their way in: from the request's body, or by RDMA, to the store in one pass, hashing what
//! was promised and what the entity tag needs, and checking all promises before anything is recorded. Whoever drops
//! the result, or gets an error, has stored nothing.
//!
//! Not here: framing and signatures of the body (`crate::body`), recording it (`put`, `parts`).

use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use datapath::{LaneStore, Staged};
use futures_core::Stream;
use http::{Extensions, HeaderMap};
use s3s::StdError;
use s3s::dto::StreamingBlob;

use super::by_rdma::{self, Moved};
use super::checksum::Checksum;
use super::entity_tag;
use super::limits::PART_BYTES_MAX;
use super::refusal::{Outcome, Refusal};
use crate::body::checksum::{Algorithm, DigestValues, Digests, Selection, Value};
use crate::body::{BodyError, Promised, TrailerSlot};
use crate::rdma::delivery::Delivery;
use crate::record::Laps;

/// What the door knows of the body.
#[derive(Debug, Default)]
pub(super) struct Promises {
    promised: Promised,
    trailer: TrailerSlot,
}

impl Promises {
    /// From a request's extensions.
    pub(super) fn take(extensions: &mut Extensions) -> Self {
        Self {
            promised: extensions.remove().unwrap_or_default(),
            trailer: extensions.remove().unwrap_or_default(),
        }
    }

    /// The algorithm that the client sends a value of, or wants computed.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.promised.checksum.map(|(algorithm, _)| algorithm).or(self.promised.algorithm)
    }

    /// Whether anything vouches for the content.
    pub(super) fn vouches(&self) -> bool {
        self.promised.content_md5.is_some() || self.promised.checksum.is_some()
    }

    /// Checks a body that is held in memory.
    ///
    /// # Errors
    /// BadDigest.
    pub(super) fn check_bytes(&self, bytes: &[u8]) -> Outcome<()> {
        let selection = self.promised.selection();
        if selection.is_empty() {
            return Ok(());
        }
        let mut digests = Digests::new(selection);
        digests.update(bytes);
        let checked = self.promised.check(&digests.finish(), &self.trailer);
        checked.map(drop).map_err(Refusal::Body)
    }
}

/// Bytes that have arrived as promised and await being recorded.
pub(super) struct Received {
    /// The store's part.
    pub(super) staged: Staged,
    /// MD5 in hex.
    pub(super) entity_tag: Box<str>,
    /// The client's algorithm or the one asked for; none where the store's CRC-64/NVME is all there is.
    pub(super) checksum: Option<Checksum>,
    /// What came by RDMA; none for a body.
    moved: Option<Moved>,
}

impl Received {
    /// The checksum to answer with: the client's, else the store's.
    pub(super) fn answer(&self) -> Option<Checksum> {
        self.checksum.or_else(|| Checksum::crc64(self.staged.crc64()))
    }

    /// The answer's headers that tell of bytes by RDMA.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(moved) = self.moved {
            moved.describe(false, &mut headers);
        }
        headers
    }
}

/// The length that a body must announce.
///
/// # Errors
/// MissingContentLength; EntityTooLarge over 5 GiB.
pub(super) fn announced_size(content_length: Option<i64>) -> Outcome<u64> {
    let size = content_length
        .and_then(|length| u64::try_from(length).ok())
        .ok_or(Refusal::MissingContentLength)?;
    if size > PART_BYTES_MAX {
        return Err(Refusal::EntityTooLarge { size, max: PART_BYTES_MAX });
    }
    Ok(size)
}

/// Where an object's or a part's bytes come from.
pub(super) enum Source {
    /// The request's body, of so many bytes.
    Body(Option<StreamingBlob>, u64),
    /// The client's memory.
    Rdma(Delivery),
}

impl Source {
    /// Bytes that are to come.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Body(_, size) => *size,
            Self::Rdma(delivery) => delivery.size(),
        }
    }

    /// Of a request.
    ///
    /// # Errors
    /// As [`announced_size`]; InvalidArgument for bytes by RDMA of which there are none, which are accompanied by a
    /// body, or of which there is but the token.
    pub(super) fn of(
        delivery: Option<Delivery>,
        headers: &HeaderMap,
        content_length: Option<i64>,
        body: Option<StreamingBlob>,
    ) -> Outcome<Self> {
        let Some(delivery) = delivery else {
            if headers.contains_key(rdma::wire::header::TOKEN) {
                // The door has carried the token out or declined it. Should one ever come by all the same, what
                // would be stored here is nothing, and its client would take that for its data.
                let why = "The operation does not take x-amz-rdma-token";
                return Err(Refusal::InvalidArgument(why.to_owned()));
            }
            return Ok(Self::Body(body, announced_size(content_length)?));
        };
        if content_length.is_some_and(|length| length != 0) {
            let why = "A request whose data moves by RDMA has no body";
            return Err(Refusal::InvalidArgument(why.to_owned()));
        }
        match delivery.size() {
            0 => {
                let why = "The size of the data that moves by RDMA must be at least 1";
                Err(Refusal::InvalidArgument(why.to_owned()))
            }
            size if size > PART_BYTES_MAX => {
                Err(Refusal::EntityTooLarge { size, max: PART_BYTES_MAX })
            }
            _ => Ok(Self::Rdma(delivery)),
        }
    }
}

/// Takes the bytes in, and tells of it. `also` is an algorithm to compute beside those promised.
///
/// # Errors
/// What the body, the transfer or the store meets; BadDigest where a promise is not kept.
pub(super) async fn receive(
    lane: &LaneStore,
    source: Source,
    promises: &Promises,
    also: Option<Algorithm>,
    laps: &mut Laps,
) -> Outcome<Received> {
    // The store computes CRC-64/NVME of all it writes: no second pass for it.
    let reported = match &source {
        Source::Body(..) => None,
        Source::Rdma(delivery) => by_rdma::digest_for(delivery),
    };
    let wanted = promises.algorithm().into_iter().chain(also).chain(reported);
    let wanted = wanted.filter(|it| *it != Algorithm::Crc64Nvme);
    let digests = Digests::new(wanted.fold(Selection::none().with_md5(), Selection::with));
    let (staged, digests, delivery) = match source {
        Source::Body(body, size) => {
            let (staged, digests) = take_body(lane, body, size, digests, laps).await?;
            // The body has told how long it was waited for.
            laps.skip();
            (staged, digests, None)
        }
        Source::Rdma(delivery) => {
            let writer = lane.metered_frame_writer(delivery.size(), laps.meter()).await?;
            laps.skip();
            // Boxed: every upload would carry its state otherwise.
            let collecting = Box::pin(by_rdma::collect(&delivery, writer, digests, laps));
            let (staged, digests) = collecting.await?;
            (staged, digests, Some(delivery))
        }
    };
    let values = with_crc64(digests.finish(), staged.crc64());
    let moved = delivery.map(|delivery| Moved::taken(&staged, &delivery, &values));
    let kept = promises.promised.check(&values, &promises.trailer).map_err(Refusal::Body)?;
    let kept = kept.or_else(|| also.and_then(|it| values.value(it).map(|value| (it, value))));
    let md5 = values.md5.ok_or(Refusal::Damaged("digests"))?;
    Ok(Received {
        staged,
        entity_tag: entity_tag::of_content(&md5),
        checksum: kept.map(|(algorithm, value)| Checksum::full(algorithm, value)),
        moved,
    })
}

async fn take_body(
    lane: &LaneStore,
    body: Option<StreamingBlob>,
    size: u64,
    mut digests: Digests,
    laps: &Laps,
) -> Outcome<(Staged, Digests)> {
    let mut writer = lane.metered_writer(size, laps.meter()).await?;
    let mut received = 0_u64;
    if let Some(mut body) = body {
        while let Some(piece) = next(&mut body).await {
            let piece = piece.map_err(broken)?;
            received = received.saturating_add(piece.len() as u64);
            digests.update(&piece);
            writer.write(&piece).await?;
        }
    }
    if received != size {
        return Err(Refusal::IncompleteBody);
    }
    Ok((writer.finish().await?, digests))
}

/// Adds the CRC-64/NVME that the store has computed.
pub(super) fn with_crc64(mut values: DigestValues, crc64: u64) -> DigestValues {
    if let Some(value) = Value::from_bytes(&crc64.to_be_bytes()) {
        values.set(Algorithm::Crc64Nvme, value);
    }
    values
}

async fn next(body: &mut StreamingBlob) -> Option<Result<Bytes, StdError>> {
    poll_fn(|context| Pin::new(&mut *body).poll_next(context)).await
}

/// Why a body ended: the decoder's reason where there is one.
pub(super) fn broken(error: StdError) -> Refusal {
    match error.downcast::<BodyError>() {
        Ok(error) => Refusal::Body(*error),
        Err(error) => Refusal::BodyBroken(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_needed_and_bounded() {
        assert_eq!(announced_size(Some(0)).unwrap(), 0);
        assert_eq!(announced_size(Some(5 << 30)).unwrap(), 5 << 30);
        assert!(matches!(announced_size(None), Err(Refusal::MissingContentLength)));
        assert!(matches!(announced_size(Some(-1)), Err(Refusal::MissingContentLength)));
        assert!(matches!(announced_size(Some((5 << 30) + 1)), Err(Refusal::EntityTooLarge { .. })));
    }

    #[test]
    fn bytes_in_memory_are_checked_against_what_was_promised() {
        let promised = |checksum| Promises {
            promised: Promised { checksum, ..Promised::default() },
            trailer: TrailerSlot::default(),
        };
        let crc = Value::from_base64(Algorithm::Crc32, b"y/Q5Jg==").unwrap();
        let promises = promised(Some((Algorithm::Crc32, crate::body::PromisedValue::Header(crc))));
        assert!(promises.vouches() && promises.check_bytes(b"123456789").is_ok());
        assert!(matches!(
            promises.check_bytes(b"12345678"),
            Err(Refusal::Body(BodyError::Checksum(_)))
        ));
        let nothing = promised(None);
        assert!(!nothing.vouches() && nothing.check_bytes(b"x").is_ok());
    }

    #[test]
    fn the_decoders_reason_survives_the_way_through_s3s() {
        let reason: StdError = Box::new(BodyError::TooLong { expected: 1 });
        assert!(matches!(broken(reason), Refusal::Body(BodyError::TooLong { expected: 1 })));
        let other: StdError = "reset".into();
        assert!(matches!(broken(other), Refusal::BodyBroken(text) if text == "reset"));
    }
}
