//! PutObject with `x-amz-write-offset-bytes`: the body goes behind what the object already has, as in S3 Express One
//! Zone; here in every bucket. What is there is not moved, and readers see the object before or after, never between.
//!
//! The offset is the size that the client believes the object to have. Nothing is appended to another size, and two
//! who append to the same size at once have one winner: the store checks the object's row in its transaction.
//!
//! The entity tag is made of the one before and the body's; it is no MD5. A checksum of CRC kind is carried on; one of
//! SHA kind cannot be, so such an object has the store's CRC-64/NVME from then on.

use bytes::Bytes;
use datapath::{Condition, Found, Object, OpenObject, StoreError};
use http::header::{HeaderValue, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName};
use s3s::dto::{ETag, PutObjectInput, PutObjectOutput};
use s3s::{S3Request, S3Response};

use super::aside::Aside;
use super::attributes::{Attributes, Declared, METADATA_PREFIX};
use super::checksum::{self, Checksum, Kind, checksum_fields};
use super::created::{Beside, TAGGING};
use super::describe::checksum_of;
use super::intake::{self, Promises, Received, Source};
use super::limits::OBJECT_BYTES_MAX;
use super::operations::Operations;
use super::parts::check_algorithm;
use super::put::put_object;
use super::refusal::{Outcome, Refusal};
use super::{by_rdma, condition, entity_tag, lock, versions};
use crate::crypt;
use crate::metrics::Stage;
use crate::notify::event::EventKind;
use crate::record::Laps;

/// See the module.
pub(super) async fn append(
    operations: &Operations,
    mut request: S3Request<PutObjectInput>,
) -> Outcome<S3Response<PutObjectOutput>> {
    let offset = request.input.write_offset_bytes.take().and_then(|it| u64::try_from(it).ok());
    let offset = offset.ok_or_else(|| {
        Refusal::InvalidArgument("x-amz-write-offset-bytes is a number of bytes".to_owned())
    })?;
    let mut laps = Laps::begin(&request.extensions);
    let bucket = operations.bucket(&request.input.bucket)?;
    let opened = operations.lane().open(bucket.id, request.input.key.as_bytes(), None);
    match laps.ends(Stage::Index, opened)?.there() {
        Some(opened) => extend(operations, request, opened, offset, laps).await,
        None if offset == 0 => create(operations, request).await,
        None => Err(Refusal::InvalidWriteOffset { offset, size: None }),
    }
}

/// The first piece of an object: a put that replaces nothing.
async fn create(
    operations: &Operations,
    mut request: S3Request<PutObjectInput>,
) -> Outcome<S3Response<PutObjectOutput>> {
    let mut aside = Aside::take(&mut request.extensions);
    if !aside.contains_key(IF_MATCH) {
        aside.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
    }
    Aside::give_back(&mut request.extensions, aside);
    match Box::pin(put_object(operations, request)).await {
        Err(Refusal::Store(StoreError::ConditionFailed)) => {
            Err(Refusal::InvalidWriteOffset { offset: 0, size: None })
        }
        other => other,
    }
}

async fn extend(
    operations: &Operations,
    mut request: S3Request<PutObjectInput>,
    opened: OpenObject,
    offset: u64,
    mut laps: Laps,
) -> Outcome<S3Response<PutObjectOutput>> {
    let aside = Aside::take(&mut request.extensions);
    let promises = Promises::take(&mut request.extensions);
    let delivery = by_rdma::take(&mut request.extensions);
    let mut input = request.input;
    let before = opened.object();
    if crypt::size(before) != offset {
        let size = Some(crypt::size(before));
        return Err(Refusal::InvalidWriteOffset { offset, size });
    }
    let source = Source::of(delivery, &request.headers, input.content_length, input.body.take())?;
    check_request(before, &source, &request.headers, &aside)?;
    let asked = condition::of_write(&aside)?;
    condition::foresee(&asked, || Ok(Some(before.clone())))?;
    let kept = Attributes::decode(&before.attributes)?;
    let chosen = kept.checksums.first().copied();
    let declared = chosen.map(|it| Declared { algorithm: it.algorithm, composite: false });
    check_algorithm(declared, promises.algorithm())?;
    let also = chosen.map(|checksum| checksum.algorithm);
    let received = intake::receive(operations.lane(), source, &promises, also, &mut laps).await?;
    let size = received.staged.size();
    let headers = received.headers();
    let bucket = operations.bucket(&input.bucket)?;
    // A version without a retention may be older than the bucket's default one.
    let mut lock = before.lock;
    lock::by_default(operations, &bucket, &mut lock)?;
    let beside = Beside {
        attributes: Attributes { checksums: carried_on(chosen, offset, &received), ..kept },
        tags: before.tags.clone(),
        acl: before.acl.clone(),
        lock,
        encryption: Bytes::new(),
    };
    let checksums = beside.attributes.checksums.clone();
    let tag = entity_tag::of_appended(&before.entity_tag, &received.entity_tag);
    let condition = Condition::All(vec![Condition::RowIs(before.row), asked]);
    let key = Bytes::from(input.key);
    let new = beside.into_new(bucket.id, key.clone(), tag, condition)?;
    laps.object(size);
    let appended = operations.lane().append(&opened, received.staged, new).await;
    let object = match laps.ends(Stage::Commit, appended) {
        Err(error @ (StoreError::ConditionFailed | StoreError::SourceChanged)) => {
            let now = operations.lane().lookup(bucket.id, &key, None).map(Found::there)?;
            let size = now.map(|object| object.size);
            return Err(if size == Some(offset) {
                error.into()
            } else {
                Refusal::InvalidWriteOffset { offset, size }
            });
        }
        appended => appended?,
    };
    operations.made(&request.extensions, &bucket, EventKind::Put, &key, &object);
    let mut output = PutObjectOutput {
        size: Some(i64::try_from(object.size).unwrap_or(i64::MAX)),
        ..Default::default()
    };
    if let Some(checksum) = checksum_of(&object, &checksums) {
        checksum_fields!(output, checksum);
        output.checksum_type = Some(checksum.dto_kind());
    }
    output.version_id = versions::made(object.version);
    output.e_tag = Some(ETag::Strong(object.entity_tag.into()));
    Ok(S3Response::with_headers(output, headers))
}

/// What headers begin with that say something of the object rather than of the bytes: it has been said when the object
/// was made.
const DESCRIBING_PREFIXES: [&str; 5] =
    [METADATA_PREFIX, "x-amz-object-lock-", "x-amz-acl", "x-amz-grant-", "x-amz-website-redirect-"];

/// What a request that appends may not ask.
///
/// # Errors
/// InvalidRequest for an empty body and for what is kept beside the bytes, which an object gets when it is made;
/// NotImplemented for an encrypted object, whose bytes are sealed as they were written; EntityTooLarge.
fn check_request(
    before: &Object,
    source: &Source,
    headers: &HeaderMap,
    aside: &HeaderMap,
) -> Outcome<()> {
    let refused = |why: &str| Err(Refusal::InvalidRequest(why.to_owned()));
    let added = source.size();
    if added == 0 {
        return refused("Request body cannot be empty when 'write offset' is specified.");
    }
    let is_metadata = |name: &HeaderName| {
        let begins = |prefix: &&str| name.as_str().starts_with(*prefix);
        *name == TAGGING || DESCRIBING_PREFIXES.iter().any(begins)
    };
    if aside.keys().chain(headers.keys()).any(is_metadata) {
        return refused(
            "Cannot specify both a write offset value and user-defined object metadata for existing objects.",
        );
    }
    if before.encryption.is_empty() && crypt::request::asks(headers) {
        return Err(crypt::Refused::AnotherType.into());
    }
    if !before.encryption.is_empty() {
        return Err(Refusal::NotImplemented("appending to an encrypted object".to_owned()));
    }
    let size = before.size.saturating_add(added);
    if size > OBJECT_BYTES_MAX {
        return Err(Refusal::EntityTooLarge { size, max: OBJECT_BYTES_MAX });
    }
    Ok(())
}

/// The whole's checksum of the kind that the object had, where it comes from those of the pieces.
fn carried_on(before: Option<Checksum>, offset: u64, received: &Received) -> Vec<Checksum> {
    let combined = before.filter(|before| before.kind == Kind::FullObject).and_then(|before| {
        let piece = received.checksum.filter(|piece| piece.algorithm == before.algorithm)?;
        let pieces = [(before.value, offset), (piece.value, received.staged.size())];
        checksum::of_parts(before.algorithm, false, pieces)
    });
    combined.into_iter().collect()
}
