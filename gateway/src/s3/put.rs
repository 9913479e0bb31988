//! PutObject: one body becomes one object, or nothing does.

use bytes::Bytes;
use datapath::Found;
use s3s::dto::{ETag, PutObjectInput, PutObjectOutput};
use s3s::{S3Request, S3Response};

use super::append::append;
use super::aside::Aside;
use super::checksum::checksum_fields;
use super::created::Beside;
use super::intake::{self, Promises, Source};
use super::lifecycle::EXPIRATION;
use super::operations::Operations;
use super::refusal::Outcome;
use super::{by_rdma, condition, encryption, lock, versions};
use crate::metrics::Stage;
use crate::notify::event::EventKind;
use crate::record::Laps;

/// See the module.
pub(super) async fn put_object(
    operations: &Operations,
    mut request: S3Request<PutObjectInput>,
) -> Outcome<S3Response<PutObjectOutput>> {
    if request.input.write_offset_bytes.is_some() {
        // Boxed: every upload would carry its state otherwise.
        return Box::pin(append(operations, request)).await;
    }
    let mut laps = Laps::begin(&request.extensions);
    let aside = Aside::take(&mut request.extensions);
    let promises = Promises::take(&mut request.extensions);
    let delivery = by_rdma::take(&mut request.extensions);
    let mut input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket)?;
    let source = Source::of(delivery, &request.headers, input.content_length, input.body.take())?;
    let (extensions, headers) = (&request.extensions, &request.headers);
    let sealing = encryption::begin(operations, extensions, headers, &bucket)?;
    let source = match &sealing {
        Some(sealing) => {
            let sealer = sealing.sealer(source.size());
            source.sealed(sealer, sealing.tells_md5()).await?
        }
        None => source,
    };
    let mut beside = Beside::of_request(operations, extensions, headers, &aside, &bucket)?;
    lock::check_vouched(headers, &promises)?;
    let condition = condition::of_write(&aside)?;
    let foreseen = condition::foresee(&condition, || {
        operations.lane().lookup(bucket.id, input.key.as_bytes(), None).map(Found::there)
    });
    laps.ends(Stage::Index, foreseen)?;
    // What will not fit is refused before the body; a checksum adds 40 bytes at most, and the store checks again.
    beside.attributes.encode()?;
    let received = intake::receive(operations.lane(), source, &promises, None, &mut laps).await?;
    let (answer, mut headers) = (received.answer(), received.headers());
    beside.attributes.checksums.extend(received.kept());
    if let Some(sealing) = sealing {
        beside.encryption = sealing.record(received.size);
        sealing.describe(&mut headers);
    }
    let key = Bytes::from(input.key);
    let new = beside.into_new(bucket.id, key.clone(), received.entity_tag, condition)?;
    laps.object(received.size);
    let put = operations.lane().put(new, received.staged).await;
    let object = laps.ends(Stage::Commit, put)?;
    // A form says so.
    let kind = request.extensions.get::<EventKind>().copied().unwrap_or(EventKind::Put);
    operations.made(&request.extensions, &bucket, kind, &key, &object);
    if let Some(expiration) = operations.expiration(&bucket, &key, &object) {
        headers.insert(EXPIRATION, expiration);
    }
    let mut output = PutObjectOutput {
        e_tag: Some(ETag::Strong(object.entity_tag.into())),
        version_id: versions::made(object.version),
        ..Default::default()
    };
    if let Some(checksum) = answer {
        checksum_fields!(output, checksum);
        output.checksum_type = Some(checksum.dto_kind());
    }
    Ok(S3Response::with_headers(output, headers))
}
