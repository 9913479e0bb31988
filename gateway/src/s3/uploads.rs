//! CreateMultipartUpload, AbortMultipartUpload, ListMultipartUploads, and how an upload is named.

use bytes::Bytes;
use datapath::UploadId;
use datapath::limits::LISTED_ATTRIBUTES_BYTES_MAX;
use datapath::{Bucket, ListUploads, Upload, UploadEntry, UploadPage};
use http::{HeaderMap, HeaderName};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
    CommonPrefix, CreateMultipartUploadInput, CreateMultipartUploadOutput, Initiator,
    ListMultipartUploadsInput, ListMultipartUploadsOutput, MultipartUpload, StorageClass,
};
use s3s::{S3Request, S3Response, dto};

use super::acl::Party;
use super::aside::Aside;
use super::attributes::{Attributes, Declared};
use super::checksum::{self, kind_name};
use super::copy::algorithm_named;
use super::created::Beside;
use super::http_date;
use super::limits::PAGE_ENTRIES_MAX;
use super::operations::Operations;
use super::page::{self, Encoding};
use super::refusal::{Outcome, Refusal};
use super::settings::Settings;
use crate::body::checksum::Algorithm;
use crate::metrics::Stage;
use crate::record::Laps;

/// An upload's id in requests and answers.
pub(super) fn id_text(id: UploadId) -> String {
    format!("{:016x}", id.0)
}

/// The id in a text; none in one that [`id_text`] has not made.
pub(super) fn parse_id(text: &str) -> Option<UploadId> {
    let is_ours =
        text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_ours.then(|| u64::from_str_radix(text, 16).ok().map(UploadId)).flatten()
}

/// The upload that a request names.
///
/// # Errors
/// NoSuchUpload: also for an id that is none, or is another key's.
pub(super) fn find(
    operations: &Operations,
    bucket: &Bucket,
    key: &str,
    id: &str,
) -> Outcome<Upload> {
    let id = parse_id(id).ok_or(Refusal::NoSuchUpload)?;
    operations.lane().upload(bucket.id, key.as_bytes(), id)?.ok_or(Refusal::NoSuchUpload)
}

/// Keeps what the object will have besides its bytes, until it is completed.
pub(super) async fn create(
    operations: &Operations,
    mut request: S3Request<CreateMultipartUploadInput>,
) -> Outcome<S3Response<CreateMultipartUploadOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let aside = Aside::take(&mut request.extensions);
    let input = request.input;
    let bucket = laps.ends(Stage::Index, operations.bucket(&input.bucket))?;
    let (extensions, headers) = (&request.extensions, &request.headers);
    let mut beside = Beside::of_request(operations, extensions, headers, &aside, &bucket)?;
    let declared = declared(headers)?;
    beside.attributes.declared = declared;
    let key = Bytes::from(input.key.clone());
    let id = operations.lane().create_upload(bucket.id, key, beside.hold()?).await;
    let id = laps.ends(Stage::Commit, id)?;
    let begun = operations.lane().upload(bucket.id, input.key.as_bytes(), id)?;
    let abortion =
        begun.and_then(|upload| operations.abortion(&bucket, &upload.key, upload.initiated_ms));
    let (abort_date, abort_rule_id) = abortion.unzip();
    Ok(S3Response::new(CreateMultipartUploadOutput {
        abort_date,
        abort_rule_id,
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(id_text(id)),
        checksum_algorithm: declared.map(dto_algorithm),
        checksum_type: declared.map(dto_kind),
        ..Default::default()
    }))
}

/// For XML.
pub(super) fn dto_algorithm(declared: Declared) -> ChecksumAlgorithm {
    ChecksumAlgorithm::from_static(declared.algorithm.name())
}

/// For XML.
pub(super) fn dto_kind(declared: Declared) -> ChecksumType {
    ChecksumType::from_static(if declared.composite {
        ChecksumType::COMPOSITE
    } else {
        ChecksumType::FULL_OBJECT
    })
}

const CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("x-amz-checksum-algorithm");
const CHECKSUM_TYPE: HeaderName = HeaderName::from_static("x-amz-checksum-type");

/// What the object's checksum will be. SHA-1 and SHA-256 of a whole cannot be had from its parts', and CRC-64/NVME is
/// only of the whole ("Checksums for multipart uploads"); CRC-32 and CRC-32C may be either, composite by default.
fn declared(headers: &HeaderMap) -> Outcome<Option<Declared>> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let kind = text(CHECKSUM_TYPE);
    let Some(name) = text(CHECKSUM_ALGORITHM) else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(Refusal::InvalidRequest(
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header".to_owned(),
            )),
        };
    };
    let algorithm = algorithm_named(name)?;
    let composite = match kind {
        None => algorithm != Algorithm::Crc64Nvme,
        Some(ChecksumType::COMPOSITE) => true,
        Some(ChecksumType::FULL_OBJECT) => false,
        Some(_) => {
            let why =
                "Value for x-amz-checksum-type header is invalid; it is COMPOSITE or FULL_OBJECT";
            return Err(Refusal::InvalidRequest(why.to_owned()));
        }
    };
    let possible =
        if composite { algorithm != Algorithm::Crc64Nvme } else { checksum::combines(algorithm) };
    if !possible {
        let kind = kind_name(if composite {
            checksum::Kind::Composite(0)
        } else {
            checksum::Kind::FullObject
        });
        return Err(Refusal::InvalidRequest(format!(
            "The {kind} checksum type cannot be used with the {algorithm} checksum algorithm"
        )));
    }
    Ok(Some(Declared { algorithm, composite }))
}

/// Frees the parts.
pub(super) async fn abort(
    operations: &Operations,
    request: S3Request<AbortMultipartUploadInput>,
) -> Outcome<S3Response<AbortMultipartUploadOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket(&input.bucket)?;
    let upload = find(operations, &bucket, &input.key, &input.upload_id);
    let upload = laps.ends(Stage::Index, upload)?;
    let aborted = operations.lane().abort(upload.id).await;
    laps.ends(Stage::Commit, aborted)?;
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}

/// The uploads of a bucket that are not completed, by key and then by age.
pub(super) async fn list(
    operations: &Operations,
    request: S3Request<ListMultipartUploadsInput>,
) -> Outcome<S3Response<ListMultipartUploadsOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = laps.ends(Stage::Index, operations.bucket(&input.bucket))?;
    let encoding = Encoding::parse(input.encoding_type.as_ref())?;
    let limit = page::entries(input.max_uploads, PAGE_ENTRIES_MAX, "max-uploads")?;
    let prefix = Bytes::from(input.prefix.unwrap_or_default());
    let delimiter = page::filled(input.delimiter);
    let key_marker = input.key_marker.unwrap_or_default();
    let id_marker = input.upload_id_marker.unwrap_or_default();
    let listings = operations.settings().listings();
    let mut memory = laps.ends(Stage::Queue, listings.begin(limit).await)?;
    let found = if page::is_hopeless(&prefix, limit) {
        UploadPage { entries: Vec::new(), truncated: false }
    } else {
        let list = ListUploads {
            bucket: bucket.id,
            prefix: prefix.clone(),
            delimiter: delimiter.clone(),
            key_after: page::start(page::filled(Some(key_marker.clone()))),
            upload_after: upload_after(&key_marker, &id_marker)?,
            limit,
        };
        let found = listings.read(operations.lane().list_uploads(list)).await;
        laps.ends(Stage::Index, found)?
    };
    memory.fit(found.entries.iter().map(|entry| name(entry).len())).await?;
    let written = write(operations, &found, encoding, &bucket)?;
    let (next_key, next_id) = match found.entries.last().filter(|_| found.truncated) {
        Some(UploadEntry::Upload(upload)) => {
            (Some(encoding.text(&upload.key)), Some(id_text(upload.id)))
        }
        Some(UploadEntry::Prefix(prefix)) => (Some(encoding.text(prefix)), Some(String::new())),
        None => (None, None),
    };
    Ok(memory.answer(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        common_prefixes: Some(written.prefixes),
        delimiter: delimiter.map(|delimiter| encoding.text(&delimiter)),
        encoding_type: input.encoding_type,
        is_truncated: Some(found.truncated),
        key_marker: Some(encoding.text(key_marker.as_bytes())),
        max_uploads: Some(page::count(limit)),
        next_key_marker: next_key,
        next_upload_id_marker: next_id,
        prefix: Some(encoding.text(&prefix)),
        upload_id_marker: Some(id_marker),
        uploads: Some(written.uploads),
        ..Default::default()
    }))
}

/// The upload after which a page begins; without a key it means nothing (API reference, ListMultipartUploads).
fn upload_after(key_marker: &str, id_marker: &str) -> Outcome<Option<UploadId>> {
    if key_marker.is_empty() || id_marker.is_empty() {
        return Ok(None);
    }
    let refused = || Refusal::InvalidArgument("Invalid uploadId marker".to_owned());
    parse_id(id_marker).map(Some).ok_or_else(refused)
}

fn name(entry: &UploadEntry) -> &Bytes {
    match entry {
        UploadEntry::Upload(upload) => &upload.key,
        UploadEntry::Prefix(prefix) => prefix,
    }
}

struct Written {
    uploads: Vec<MultipartUpload>,
    prefixes: Vec<CommonPrefix>,
}

fn write(
    operations: &Operations,
    page: &UploadPage,
    encoding: Encoding,
    bucket: &Bucket,
) -> Outcome<Written> {
    let settings = operations.bucket_settings(bucket)?;
    let mut written = Written { uploads: Vec::new(), prefixes: Vec::new() };
    for entry in &page.entries {
        match entry {
            UploadEntry::Prefix(prefix) => {
                written.prefixes.push(CommonPrefix { prefix: Some(encoding.text(prefix)) });
            }
            UploadEntry::Upload(upload) => {
                let declared = Attributes::decode_declared(&upload.attributes)?;
                let class = Attributes::decode_class(&upload.attributes)?;
                let owner = owner_of_listed(operations, upload, bucket, &settings)?;
                written.uploads.push(MultipartUpload {
                    checksum_algorithm: declared.map(dto_algorithm),
                    checksum_type: declared.map(dto_kind),
                    initiated: Some(http_date::timestamp(upload.initiated_ms)),
                    initiator: Some(initiator(&owner)),
                    key: Some(encoding.text(&upload.key)),
                    owner: Some(owner.dto()),
                    storage_class: Some(StorageClass::from_static(class.name())),
                    upload_id: Some(id_text(upload.id)),
                });
            }
        }
    }
    Ok(written)
}

/// Whose an upload is, which is who has begun it; of one that was read whole.
///
/// # Errors
/// Damaged.
pub(super) fn owner_of(upload: &Upload, settings: &Settings) -> Outcome<Party> {
    settings.owner_of(&Beside::held(&upload.attributes)?.acl)
}

/// The same of one in a listing, which has the first bytes of its attributes: of longer ones it is read again, and is
/// the bucket's owner's when it has been completed meanwhile.
fn owner_of_listed(
    operations: &Operations,
    upload: &Upload,
    bucket: &Bucket,
    settings: &Settings,
) -> Outcome<Party> {
    if upload.attributes.len() < LISTED_ATTRIBUTES_BYTES_MAX {
        return owner_of(upload, settings);
    }
    match operations.lane().upload(bucket.id, &upload.key, upload.id)? {
        Some(whole) => owner_of(&whole, settings),
        None => Ok(settings.owner().clone()),
    }
}

/// Who has begun an upload, for XML.
pub(super) fn initiator(owner: &Party) -> Initiator {
    let dto::Owner { display_name, id } = owner.dto();
    Initiator { display_name, id }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn ids_are_sixteen_digits() {
        for id in [0, 1, u64::MAX] {
            assert_eq!(parse_id(&id_text(UploadId(id))), Some(UploadId(id)));
        }
        for text in ["", "1", "+000000000000001", "00000000000000FF", "00000000000000000"] {
            assert_eq!(parse_id(text), None, "{text}");
        }
        assert!(matches!(upload_after("k", "x"), Err(Refusal::InvalidArgument(_))));
        assert_eq!(upload_after("", "x").unwrap(), None);
    }

    fn declare(pairs: &[(HeaderName, &'static str)]) -> Outcome<Option<Declared>> {
        let pairs =
            pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        declared(&pairs.collect())
    }

    #[test]
    fn algorithms_have_the_types_that_amazon_s3_gives_them() {
        assert_eq!(declare(&[]).unwrap(), None);
        assert!(matches!(
            declare(&[(CHECKSUM_TYPE, "COMPOSITE")]),
            Err(Refusal::InvalidRequest(_))
        ));
        for (algorithm, kind, composite) in [
            ("CRC32", None, Some(true)),
            ("CRC32", Some("FULL_OBJECT"), Some(false)),
            ("CRC32C", Some("COMPOSITE"), Some(true)),
            ("CRC64NVME", None, Some(false)),
            ("CRC64NVME", Some("COMPOSITE"), None),
            ("SHA256", None, Some(true)),
            ("SHA1", Some("FULL_OBJECT"), None),
            ("MD5", None, None),
            ("CRC32", Some("whole"), None),
        ] {
            let mut pairs = vec![(CHECKSUM_ALGORITHM, algorithm)];
            pairs.extend(kind.map(|kind| (CHECKSUM_TYPE, kind)));
            let found = declare(&pairs).ok().flatten().map(|declared| declared.composite);
            assert_eq!(found, composite, "{algorithm} {kind:?}");
        }
    }
}
