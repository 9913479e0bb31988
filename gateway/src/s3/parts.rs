//! UploadPart, UploadPartCopy, ListParts.
//!
//! A part that is copied refers to the source's extents. Its entity tag is an MD5, which only the copy of a whole
//! object that was put in one piece has at hand; for any other the range is read once (and not written).

use std::ops::Range;
use std::rc::Rc;

use datapath::PartNumber;
use datapath::{LaneStore, OpenObject, Part, UploadId};
use http::HeaderMap;
use s3s::dto::{
    self, CopyPartResult, ETag, ListPartsInput, ListPartsOutput, StorageClass, UploadPartCopyInput,
    UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Response};

use super::aside::Aside;
use super::attributes::{Attributes, Declared};
use super::checksum::{Checksum, Kind, checksum_fields};
use super::created::Beside;
use super::describe::checksum_of;
use super::encryption::{Reading, Rewritten};
use super::intake::{self, Promises, Source};
use super::limits::{PAGE_ENTRIES_MAX, PART_BYTES_MAX, PART_NUMBER_MAX};
use super::operations::Operations;
use super::range::Wanted;
use super::refusal::{Outcome, Refusal};
use super::{by_rdma, encryption, entity_tag, http_date, page, source, uploads};
use crate::body::checksum::{Algorithm, Selection};
use crate::crypt::{self, Opened};
use crate::metrics::Stage;
use crate::record::Laps;

/// A part's number from a request.
///
/// # Errors
/// InvalidArgument outside 1 to 10,000.
pub(super) fn part_number(number: i32) -> Outcome<PartNumber> {
    match u16::try_from(number) {
        Ok(number @ 1..=PART_NUMBER_MAX) => Ok(PartNumber(number)),
        _ => Err(Refusal::InvalidArgument(format!(
            "Part number must be an integer between 1 and {PART_NUMBER_MAX}, inclusive"
        ))),
    }
}

/// One body becomes one part, in place of an earlier one of its number.
pub(super) async fn upload_part(
    operations: &Operations,
    mut request: S3Request<UploadPartInput>,
) -> Outcome<S3Response<UploadPartOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let promises = Promises::take(&mut request.extensions);
    let delivery = by_rdma::take(&mut request.extensions);
    let mut input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket)?;
    let number = part_number(input.part_number)?;
    let upload = uploads::find(operations, &bucket, &input.key, &input.upload_id);
    let upload = laps.ends(Stage::Index, upload)?;
    let held = Beside::held(&upload.attributes)?;
    let declared = held.attributes.declared;
    check_algorithm(declared, promises.algorithm())?;
    let source = Source::of(delivery, &request.headers, input.content_length, input.body.take())?;
    let (extensions, headers) = (&request.extensions, &request.headers);
    let opened = encryption::open_upload(operations, extensions, headers, &held.encryption)?;
    let (source, salt) = match &opened {
        None => (source, None),
        Some(opened) => {
            let (sealer, salt) = opened.part_sealer(number.0, source.size())?;
            (source.sealed(sealer, opened.record.scheme.tells_md5()).await?, Some(salt))
        }
    };
    let also = declared.map(|declared| declared.algorithm);
    let received = intake::receive(operations.lane(), source, &promises, also, &mut laps).await?;
    let (answer, mut headers) = (received.answer(), received.headers());
    let attributes = Attributes { checksums: received.kept_of_part(), ..Attributes::default() };
    let encoded = encryption::part_attributes(&attributes, salt.as_ref())?;
    if let Some(opened) = opened {
        opened.describe(&mut headers);
    }
    laps.object(received.size);
    let lane = operations.lane();
    let part =
        lane.put_part(upload.id, number, received.entity_tag, encoded, received.staged).await;
    let part = laps.ends(Stage::Commit, part)?;
    let mut output = UploadPartOutput {
        e_tag: Some(ETag::Strong(part.entity_tag.into())),
        ..Default::default()
    };
    if let Some(checksum) = answer {
        checksum_fields!(output, checksum);
    }
    Ok(S3Response::with_headers(output, headers))
}

/// A part's checksum must be of the algorithm that the upload was created with, if it was.
///
/// # Errors
/// InvalidRequest.
pub(super) fn check_algorithm(declared: Option<Declared>, sent: Option<Algorithm>) -> Outcome<()> {
    match (declared, sent) {
        (Some(declared), Some(sent)) if declared.algorithm != sent => {
            Err(Refusal::InvalidRequest(format!(
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                declared.algorithm.name().to_lowercase(),
                sent.name().to_lowercase()
            )))
        }
        _ => Ok(()),
    }
}

/// A range of an object becomes a part.
pub(super) async fn upload_part_copy(
    operations: &Operations,
    mut request: S3Request<UploadPartCopyInput>,
) -> Outcome<S3Response<UploadPartCopyOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let aside = Aside::take(&mut request.extensions);
    let input = request.input;
    let bucket = operations.bucket(&input.bucket)?;
    let number = part_number(input.part_number)?;
    let upload = uploads::find(operations, &bucket, &input.key, &input.upload_id)?;
    let held = Beside::held(&upload.attributes)?;
    let (extensions, headers) = (&request.extensions, &request.headers);
    let target = encryption::open_upload(operations, extensions, headers, &held.encryption)?;
    let declared = held.attributes.declared;
    let (part, answer, version) = source::until_unchanged(async || {
        let opened = Rc::new(source::open(operations, &input.copy_source, &aside, &mut laps)?);
        let unsealed =
            encryption::open_copy_source(operations, extensions, headers, opened.object())?;
        let version = opened.object().version;
        let size = crypt::size(opened.object());
        let range = copied_range(input.copy_source_range.as_deref(), size)?;
        let lane = operations.lane();
        laps.object(range.end - range.start);
        if target.is_some() || unsealed.is_some() {
            let copied = CopiedPart { number, declared, target: target.as_ref() };
            let reading = Reading::of(&opened, unsealed.as_deref(), range.clone()).await?;
            let size = range.end - range.start;
            let written = copied.write(lane, upload.id, reading, size, &mut laps).await;
            return written.map(|(part, answer)| (part, answer, version));
        }
        let (tag, checksums) = digests_of(&opened, declared, &range).await?;
        let answer = checksums.first().copied();
        let encoded = Attributes { checksums, ..Attributes::default() }.encode()?;
        laps.skip();
        let part = lane.copy_part(upload.id, number, &opened, range, tag, encoded).await;
        Ok((laps.ends(Stage::Commit, part)?, answer, version))
    })
    .await?;
    let mut result = CopyPartResult {
        e_tag: Some(ETag::Strong(part.entity_tag.into())),
        last_modified: Some(http_date::timestamp(part.modified_ms)),
        ..Default::default()
    };
    if let Some(checksum) = answer {
        checksum_fields!(result, checksum);
    }
    let output = UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id: source::version_said(operations, &input.copy_source, version)?,
        ..Default::default()
    };
    let mut described = HeaderMap::new();
    if let Some(target) = &target {
        target.describe(&mut described);
    }
    Ok(S3Response::with_headers(output, described))
}

/// A part that is copied by being written, since either side is encrypted.
struct CopiedPart<'a> {
    number: PartNumber,
    declared: Option<Declared>,
    /// What opens the upload; none where it is not encrypted.
    target: Option<&'a Opened>,
}

impl CopiedPart<'_> {
    async fn write(
        &self,
        lane: &LaneStore,
        upload: UploadId,
        reading: Option<Reading>,
        size: u64,
        laps: &mut Laps,
    ) -> Outcome<(Part, Option<Checksum>)> {
        let (sealer, salt) = match self.target {
            None => (None, None),
            Some(target) => {
                let (sealer, salt) = target.part_sealer(self.number.0, size)?;
                (Some(sealer), Some(salt))
            }
        };
        let also = self.declared.map(|declared| declared.algorithm);
        let Rewritten { staged, values } =
            encryption::rewrite(lane, reading, size, sealer, also, laps).await?;
        let full = |algorithm| values.value(algorithm).map(|it| Checksum::full(algorithm, it));
        let md5 = values.md5.ok_or(Refusal::Damaged("digests"))?;
        let tells_md5 = self.target.is_none_or(|target| target.record.scheme.tells_md5());
        let tag = encryption::tag_of(&md5, tells_md5)?;
        let crc64 = full(Algorithm::Crc64Nvme).ok_or(Refusal::Damaged("digests"))?;
        let checksums = distinct(also.and_then(full).unwrap_or(crc64), crc64);
        let answer = checksums.first().copied();
        let attributes = Attributes { checksums, ..Attributes::default() };
        let encoded = encryption::part_attributes(&attributes, salt.as_ref())?;
        laps.skip();
        let part = lane.put_part(upload, self.number, tag, encoded, staged).await;
        Ok((laps.ends(Stage::Commit, part)?, answer))
    }
}

/// `x-amz-copy-source-range`: both ends, within the source. Without it, all of the source.
fn copied_range(text: Option<&str>, size: u64) -> Outcome<Range<u64>> {
    let range = match text.map(Wanted::parse) {
        None => 0..size,
        Some(Some(Wanted::Between(first, last))) if last < size => first..last + 1,
        Some(Some(Wanted::Between(..))) => return Err(Refusal::InvalidRange { size }),
        Some(_) => {
            let why = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last \
                       are the zero-based offsets of the first and last bytes to copy";
            return Err(Refusal::InvalidArgument(why.to_owned()));
        }
    };
    let size = range.end - range.start;
    if size > PART_BYTES_MAX {
        return Err(Refusal::InvalidRequest(format!(
            "The specified copy source is larger than the maximum allowable size for a copy source: {PART_BYTES_MAX}"
        )));
    }
    Ok(range)
}

/// The entity tag of a range and its checksums, the upload's algorithm first; from what is known where it is known.
async fn digests_of(
    opened: &Rc<OpenObject>,
    declared: Option<Declared>,
    range: &Range<u64>,
) -> Outcome<(Box<str>, Vec<Checksum>)> {
    let object = opened.object();
    let algorithm = declared.map_or(Algorithm::Crc64Nvme, |declared| declared.algorithm);
    if *range == (0..object.size)
        && entity_tag::content_md5(&object.entity_tag).is_some()
        && let Some(crc64) = object.crc64.and_then(Checksum::crc64)
    {
        let kept = checksum_of(object, &Attributes::decode_checksums(&object.attributes)?);
        let full = |checksum: &Checksum| {
            checksum.algorithm == algorithm && checksum.kind == Kind::FullObject
        };
        if let Some(first) = kept.into_iter().chain([crc64]).find(full) {
            return Ok((object.entity_tag.clone(), distinct(first, crc64)));
        }
    }
    let selection = Selection::none().with_md5().with(algorithm).with(Algorithm::Crc64Nvme);
    let reading = Reading::of(opened, None, range.clone()).await?;
    let values = encryption::digest(reading, selection).await?;
    let value = |algorithm| values.value(algorithm).map(|value| Checksum::full(algorithm, value));
    match (values.md5, value(algorithm), value(Algorithm::Crc64Nvme)) {
        (Some(md5), Some(first), Some(crc64)) => {
            Ok((entity_tag::of_content(&md5), distinct(first, crc64)))
        }
        _ => Err(Refusal::Damaged("digests")),
    }
}

fn distinct(first: Checksum, crc64: Checksum) -> Vec<Checksum> {
    if first.algorithm == crc64.algorithm { vec![first] } else { vec![first, crc64] }
}

/// One page of an upload's parts.
pub(super) async fn list_parts(
    operations: &Operations,
    request: S3Request<ListPartsInput>,
) -> Outcome<S3Response<ListPartsOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket(&input.bucket)?;
    let upload = uploads::find(operations, &bucket, &input.key, &input.upload_id);
    let upload = laps.ends(Stage::Index, upload)?;
    let held = Beside::held(&upload.attributes)?;
    let (declared, encrypted) = (held.attributes.declared, !held.encryption.is_empty());
    let class = Attributes::decode_class(&upload.attributes)?;
    let owner = uploads::owner_of(&upload, &*operations.bucket_settings(&bucket)?)?;
    let limit = page::entries(input.max_parts, PAGE_ENTRIES_MAX, "max-parts")?;
    let marker = input.part_number_marker.unwrap_or(0);
    let after = page::entries(Some(marker), usize::from(PART_NUMBER_MAX), "part-number-marker")?;
    let after = PartNumber(u16::try_from(after).unwrap_or(PART_NUMBER_MAX));
    let memory = operations.settings().listings().begin(limit + 1).await;
    let memory = laps.ends(Stage::Queue, memory)?;
    // One more than the page tells whether there is another.
    let mut parts = if limit == 0 {
        Vec::new()
    } else {
        operations.lane().parts(upload.id, after, limit + 1)?
    };
    laps.lap(Stage::Index);
    let truncated = parts.len() > limit;
    parts.truncate(limit);
    let next = parts.last().map(|part| i32::from(part.number.0));
    let abortion = operations.abortion(&bucket, &upload.key, upload.initiated_ms);
    let (abort_date, abort_rule_id) = abortion.unzip();
    Ok(memory.answer(ListPartsOutput {
        abort_date,
        abort_rule_id,
        bucket: Some(input.bucket),
        checksum_algorithm: declared.map(uploads::dto_algorithm),
        checksum_type: declared.map(uploads::dto_kind),
        initiator: Some(uploads::initiator(&owner)),
        is_truncated: Some(truncated),
        key: Some(input.key),
        max_parts: Some(page::count(limit)),
        next_part_number_marker: Some(next.unwrap_or(marker)),
        owner: Some(owner.dto()),
        part_number_marker: Some(marker),
        parts: Some(parts.iter().map(|part| write(part, encrypted)).collect::<Outcome<_>>()?),
        storage_class: Some(StorageClass::from_static(class.name())),
        upload_id: Some(input.upload_id),
        ..Default::default()
    }))
}

/// `encrypted`: whether the store's size and checksum are of sealed bytes.
fn write(part: &Part, encrypted: bool) -> Outcome<dto::Part> {
    let size = encryption::part_size(encrypted, part.size)?;
    let mut written = dto::Part {
        e_tag: Some(ETag::Strong(part.entity_tag.to_string())),
        last_modified: Some(http_date::timestamp(part.modified_ms)),
        part_number: Some(i32::from(part.number.0)),
        size: Some(i64::try_from(size).unwrap_or(i64::MAX)),
        ..Default::default()
    };
    let kept = Attributes::decode_checksums(&part.attributes)?;
    let own = || part.crc64.filter(|_| !encrypted).and_then(Checksum::crc64);
    if let Some(checksum) = kept.first().copied().or_else(own) {
        checksum_fields!(written, checksum);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_bounded() {
        assert_eq!(part_number(1).unwrap(), PartNumber(1));
        assert_eq!(part_number(10_000).unwrap(), PartNumber(10_000));
        for number in [0, -1, 10_001, i32::MAX, i32::MIN] {
            assert!(matches!(part_number(number), Err(Refusal::InvalidArgument(_))), "{number}");
        }
    }

    #[test]
    fn a_copied_range_lies_within_its_source() {
        assert_eq!(copied_range(None, 10).unwrap(), 0..10);
        assert_eq!(copied_range(Some("bytes=2-9"), 10).unwrap(), 2..10);
        assert!(matches!(
            copied_range(Some("bytes=2-10"), 10),
            Err(Refusal::InvalidRange { size: 10 })
        ));
        assert!(matches!(
            copied_range(Some("bytes=0-99999999999999999999"), 10),
            Err(Refusal::InvalidRange { .. })
        ));
        for text in ["bytes=2-", "bytes=-2", "bytes=3-2", "0-1", "bytes=0-1,3-4", ""] {
            assert!(
                matches!(copied_range(Some(text), 10), Err(Refusal::InvalidArgument(_))),
                "{text}"
            );
        }
        assert!(matches!(copied_range(None, PART_BYTES_MAX + 1), Err(Refusal::InvalidRequest(_))));
    }

    #[test]
    fn a_part_has_its_uploads_algorithm() {
        let declared = Some(Declared { algorithm: Algorithm::Sha256, composite: true });
        assert!(check_algorithm(declared, Some(Algorithm::Sha256)).is_ok());
        assert!(check_algorithm(declared, None).is_ok());
        assert!(check_algorithm(None, Some(Algorithm::Crc32)).is_ok());
        let refused = check_algorithm(declared, Some(Algorithm::Crc32));
        assert!(matches!(refused, Err(Refusal::InvalidRequest(text)) if text.contains("sha256")));
    }
}
