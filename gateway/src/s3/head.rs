//! HeadObject: GetObject's headers without its bytes.
//!
//! s3s answers 200 whatever the headers say; the 206 of a range or part is set by `service`.

use datapath::Object;
use s3s::dto::{HeadObjectInput, HeadObjectOutput};
use s3s::{S3Request, S3Response};

use super::aside::Aside;
use super::attributes::Attributes;
use super::describe::{describe, overrides};
use super::get::{check_conditions, select, wants_checksum};
use super::lifecycle::EXPIRATION;
use super::operations::Operations;
use super::parts::part_number;
use super::refusal::{Outcome, Refusal};
use super::{access, encryption, lock, range, versions};
use crate::metrics::Stage;
use crate::record::Laps;

/// See the module.
pub(super) async fn head_object(
    operations: &Operations,
    mut request: S3Request<HeadObjectInput>,
) -> Outcome<S3Response<HeadObjectOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let aside = Aside::take(&mut request.extensions);
    let mut input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket)?;
    let version = versions::named(input.version_id.as_deref())?;
    let key = input.key.as_bytes();
    let asks = encryption::asks!(input);
    let (extensions, headers) = (&request.extensions, &request.headers);
    let open = |object: &Object| {
        access::admits(operations, extensions, &bucket, object)?;
        encryption::open(operations, extensions, headers, asks, object)
    };
    let (object, unsealed, part) = match input.part_number {
        None => {
            let found = operations.lane().lookup(bucket.id, key, version);
            let found = laps.ends(Stage::Index, found)?;
            let object = versions::there(found, version, extensions)?;
            let unsealed = open(&object)?;
            (object, unsealed, None)
        }
        Some(number) => {
            let opened = operations.lane().open(bucket.id, key, version);
            let opened = laps.ends(Stage::Index, opened)?;
            let opened = versions::there(opened, version, extensions)?;
            let unsealed = open(opened.object())?;
            let part = encryption::part(&opened, unsealed.as_deref(), part_number(number)?);
            let part = laps.ends(Stage::Index, part)?.ok_or(Refusal::InvalidPartNumber)?;
            (opened.object().clone(), unsealed, Some(part))
        }
    };
    let object = encryption::seen(&object);
    laps.object(object.size);
    let attributes = Attributes::decode(&object.attributes)?;
    check_conditions(&aside, &object, &attributes)?;
    let selection = select(&aside, &object, part)?;
    let with_checksum = wants_checksum(input.checksum_mode.as_ref());
    let mut described =
        describe(&object, &attributes, &selection, with_checksum, overrides!(input))?;
    if let Some(unsealed) = unsealed {
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
    let output =
        HeadObjectOutput { content_range, metadata: described.metadata, ..Default::default() };
    Ok(S3Response::with_headers(output, described.headers))
}
