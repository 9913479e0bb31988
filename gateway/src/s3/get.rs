//! GetObject: conditions, range or part, headers, then the store's bytes as they are, in the body or by RDMA, or decrypted.
//!
//! Not here: HeadObject, which says the same without the bytes (`head`).

use std::ops::Range;
use std::rc::Rc;

use datapath::{Object, OpenObject, PartSpan};
use http::HeaderMap;
use http::header::RANGE;
use s3s::dto::{ChecksumMode, GetObjectInput, GetObjectOutput};
use s3s::{S3Request, S3Response};

use super::aside::Aside;
use super::attributes::Attributes;
use super::by_rdma::{self, Moved};
use super::condition::{self, Verdict};
use super::describe::{self, Description, Selection, describe, overrides};
use super::encryption::{Reading, Unsealed};
use super::lifecycle::EXPIRATION;
use super::operations::Operations;
use super::parts::part_number;
use super::range::{self, Wanted};
use super::refusal::{Outcome, RdmaRefusal, Refusal};
use super::{access, encryption, lock, stream, versions};
use crate::metrics::Stage;
use crate::rdma::delivery::Delivery;
use crate::record::Laps;

/// See the module. All but the bytes is done before there is a future, so that the request, 1 KiB, is not moved into
/// one.
pub(super) fn get_object(
    operations: &Operations,
    request: S3Request<GetObjectInput>,
) -> impl Future<Output = Outcome<S3Response<GetObjectOutput>>> + use<> {
    let found = find(operations, request);
    async move {
        let Found { opened, unsealed, range, mut described, content_range, delivery, laps } =
            found?;
        let body = match (unsealed, delivery) {
            (None, None) if !range.is_empty() => {
                stream::outgoing(Reading::plain(&opened, range).await?).await?
            }
            (Some(_), Some(delivery)) => {
                delivery.decline_encrypted().await;
                return Err(Refusal::Rdma(RdmaRefusal::Encrypted));
            }
            // Boxed, as the next: every download would carry its state otherwise.
            (None, Some(delivery)) => {
                let moved = Box::pin(deliver(&delivery, &opened, range, laps)).await?;
                moved.describe(content_range.is_some(), &mut described.headers);
                stream::empty()
            }
            (Some(unsealed), None) if !range.is_empty() => {
                let reading = Box::pin(unsealed.read(Rc::new(opened), range, laps.counted()));
                stream::outgoing(reading.await?).await?
            }
            (_, None) => stream::empty(),
        };
        let output = GetObjectOutput {
            body: Some(body),
            content_range,
            metadata: described.metadata,
            ..Default::default()
        };
        Ok(S3Response::with_headers(output, described.headers))
    }
}

/// Moves a range to the client's memory; all of it is there when this returns.
async fn deliver(
    delivery: &Delivery,
    opened: &OpenObject,
    range: Range<u64>,
    mut laps: Laps,
) -> Outcome<Moved> {
    let (needed, window) = (range.end - range.start, delivery.size());
    if needed == 0 {
        delivery.nothing_to_send().await;
        return Ok(Moved::nothing(delivery.checksum()));
    }
    if needed > window {
        delivery.decline(needed).await;
        return Err(Refusal::Rdma(RdmaRefusal::Declined { needed, window }));
    }
    let stream = opened.read_in_frames(range).await?;
    laps.skip();
    let sent = delivery.send(stream, laps.account()).await;
    Ok(laps.ends(Stage::Send, sent)?.into())
}

/// What is answered, but for the bytes.
struct Found {
    opened: OpenObject,
    unsealed: Option<Box<Unsealed>>,
    range: Range<u64>,
    described: Description,
    content_range: Option<String>,
    /// How the bytes move, where not in the body.
    delivery: Option<Delivery>,
    laps: Laps,
}

fn find(operations: &Operations, mut request: S3Request<GetObjectInput>) -> Outcome<Found> {
    let mut laps = Laps::begin(&request.extensions);
    let aside = Aside::take(&mut request.extensions);
    let delivery = by_rdma::take(&mut request.extensions);
    let mut input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket)?;
    let version = versions::named(input.version_id.as_deref())?;
    let opened = operations.lane().open(bucket.id, input.key.as_bytes(), version);
    let opened = versions::there(laps.ends(Stage::Index, opened)?, version, &request.extensions)?;
    let opened = match laps.meter() {
        Some(meter) => opened.metered(meter),
        None => opened,
    };
    access::admits(operations, &request.extensions, &bucket, opened.object())?;
    let asks = encryption::asks!(input);
    let (extensions, headers) = (&request.extensions, &request.headers);
    let unsealed = encryption::open(operations, extensions, headers, asks, opened.object())?;
    let object = encryption::seen(opened.object());
    laps.object(object.size);
    let attributes = Attributes::decode(&object.attributes)?;
    check_conditions(&aside, &object, &attributes)?;
    let part = match input.part_number {
        None => None,
        Some(number) => {
            let part = encryption::part(&opened, unsealed.as_deref(), part_number(number)?)?;
            Some(part.ok_or(Refusal::InvalidPartNumber)?)
        }
    };
    let selection = select(&aside, &object, part)?;
    let with_checksum = wants_checksum(input.checksum_mode.as_ref());
    let mut described =
        describe(&object, &attributes, &selection, with_checksum, overrides!(input))?;
    if let Some(unsealed) = &unsealed {
        unsealed.opened().describe(&mut described.headers);
    }
    if input.version_id.is_none()
        && let Some(expiration) = operations.expiration(&bucket, input.key.as_bytes(), &object)
    {
        described.headers.insert(EXPIRATION, expiration);
    }
    versions::tell(&bucket, object.version, &mut described.headers);
    lock::tell(operations, &request.extensions, (&bucket, &input.key), &object, &mut described);
    let content_range =
        selection.partial.then(|| range::content_range(&selection.range, object.size));
    drop(object);
    let range = selection.range;
    Ok(Found { opened, unsealed, range, described, content_range, delivery, laps })
}

/// `x-amz-checksum-mode: ENABLED`.
pub(super) fn wants_checksum(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED)
}

/// 304 and 412.
pub(super) fn check_conditions(
    aside: &HeaderMap,
    object: &Object,
    attributes: &Attributes,
) -> Outcome<()> {
    match condition::of_read(aside, object)? {
        Verdict::Met => Ok(()),
        Verdict::NotModified => {
            Err(Refusal::NotModified(Box::new(describe::not_modified(object, attributes))))
        }
        Verdict::Failed(name) => Err(Refusal::PreconditionFailed(name)),
    }
}

/// Which bytes are asked for: a part, a range, or all. A part of no bytes has no Content-Range, so it is answered
/// with 200.
pub(super) fn select(
    aside: &HeaderMap,
    object: &Object,
    part: Option<PartSpan>,
) -> Outcome<Selection> {
    let whole = Selection { range: 0..object.size, partial: false, part: None };
    let wanted = aside.get(RANGE).and_then(|value| Wanted::parse(value.to_str().ok()?));
    if let Some(part) = part {
        if aside.contains_key(RANGE) {
            let why = "Cannot specify both Range header and partNumber query parameter";
            return Err(Refusal::InvalidRequest(why.to_owned()));
        }
        let end = part.offset.checked_add(part.size).filter(|end| *end <= object.size);
        let range = part.offset..end.ok_or(Refusal::Damaged("parts"))?;
        return Ok(Selection { partial: !range.is_empty(), range, part: Some(part) });
    }
    let Some(wanted) = wanted.filter(|_| condition::range_applies(aside, object)) else {
        return Ok(whole);
    };
    let range =
        wanted.within(object.size).map_err(|_| Refusal::InvalidRange { size: object.size })?;
    Ok(Selection { range, partial: true, part: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use datapath::{Lock, PartNumber, RowId, VersionId};
    use http::{HeaderName, HeaderValue};

    fn object(size: u64) -> Object {
        Object {
            row: RowId(1),
            version: VersionId::NULL,
            size,
            modified_ms: 0,
            entity_tag: "tag".into(),
            attributes: Bytes::new(),
            tags: Bytes::new(),
            acl: Bytes::new(),
            lock: Lock::default(),
            encryption: Bytes::new(),
            part_count: 2,
            crc64: None,
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn part(offset: u64, size: u64) -> Option<PartSpan> {
        Some(PartSpan { number: PartNumber(2), offset, size, attributes: Bytes::new() })
    }

    #[test]
    fn a_range_is_answered_or_ignored_or_refused() {
        let chosen =
            |pairs| select(&headers(pairs), &object(10), None).map(|it| (it.range, it.partial));
        assert_eq!(chosen(&[]).unwrap(), (0..10, false));
        assert_eq!(chosen(&[("range", "bytes=2-4")]).unwrap(), (2..5, true));
        assert_eq!(chosen(&[("range", "bytes=0-1,3-4")]).unwrap(), (0..10, false));
        assert_eq!(chosen(&[("range", "bytes=0-9")]).unwrap(), (0..10, true));
        assert_eq!(
            chosen(&[("range", "bytes=2-4"), ("if-range", "\"old\"")]).unwrap(),
            (0..10, false)
        );
        assert_eq!(
            chosen(&[("range", "bytes=2-4"), ("if-range", "\"tag\"")]).unwrap(),
            (2..5, true)
        );
        assert!(matches!(
            chosen(&[("range", "bytes=10-")]),
            Err(Refusal::InvalidRange { size: 10 })
        ));
    }

    #[test]
    fn a_part_is_a_range_of_its_own() {
        let selection = select(&HeaderMap::new(), &object(10), part(5, 5)).unwrap();
        assert_eq!((selection.range, selection.partial), (5..10, true));
        let selection = select(&HeaderMap::new(), &object(10), part(10, 0)).unwrap();
        assert_eq!((selection.range, selection.partial), (10..10, false));
        let both = select(&headers(&[("range", "bytes=0-1")]), &object(10), part(5, 5));
        assert!(matches!(both, Err(Refusal::InvalidRequest(_))));
        for outside in [part(6, 5), part(u64::MAX, 1)] {
            assert!(matches!(
                select(&HeaderMap::new(), &object(10), outside),
                Err(Refusal::Damaged(_))
            ));
        }
    }
}
