//! CopyObject: the destination refers to the source's extents, no data moves. Data is read (not written) only where
//! the request asks for a checksum that the source does not have.
//!
//! The entity tag is the source's. Amazon S3 writes the data anew and so gives the copy of a multipart object a plain
//! MD5; here such a copy keeps the multipart tag, and its checksum with it.

use bytes::Bytes;
use datapath::{Object, OpenObject};
use http::{HeaderMap, HeaderName};
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, ETag, MetadataDirective,
    TaggingDirective,
};
use s3s::{S3Request, S3Response};

use super::aside::Aside;
use super::attributes::Attributes;
use super::checksum::{Checksum, Kind, checksum_fields};
use super::created::Beside;
use super::describe::checksum_of;
use super::lifecycle::EXPIRATION;
use super::limits::PART_BYTES_MAX;
use super::operations::Operations;
use super::redirect::REDIRECT;
use super::refusal::{Outcome, Refusal};
use super::storage_class::STORAGE_CLASS;
use super::{condition, http_date, source, versions};
use crate::body::checksum::{Algorithm, Selection};
use crate::metrics::Stage;
use crate::notify::event::EventKind;
use crate::record::Laps;

/// See the module.
pub(super) async fn copy_object(
    operations: &Operations,
    mut request: S3Request<CopyObjectInput>,
) -> Outcome<S3Response<CopyObjectOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let aside = Aside::take(&mut request.extensions);
    let input = request.input;
    let (extensions, headers) = (&request.extensions, &request.headers);
    let bucket = operations.bucket(&input.bucket)?;
    let asked = Asked::of(&input, headers)?;
    let new = Beside::of_request(operations, extensions, headers, &aside, &bucket)?;
    let condition = condition::of_write(&aside)?;
    let (object, answer, version) = source::until_unchanged(async || {
        let opened = source::open(operations, &input.copy_source, &aside, &mut laps)?;
        laps.object(opened.object().size);
        check_size(opened.object())?;
        let beside = beside(&opened, &asked, new.clone()).await?;
        let answer = checksum_of(opened.object(), &beside.attributes.checksums);
        let key = Bytes::copy_from_slice(input.key.as_bytes());
        let tag = opened.object().entity_tag.clone();
        let new = beside.into_new(bucket.id, key, tag, condition.clone())?;
        laps.skip();
        let copied = laps.ends(Stage::Commit, operations.lane().copy(&opened, new).await)?;
        Ok((copied, answer, opened.object().version))
    })
    .await?;
    operations.made(extensions, &bucket, EventKind::Copy, input.key.as_bytes(), &object);
    let expiration = operations.expiration(&bucket, input.key.as_bytes(), &object);
    let output = CopyObjectOutput {
        copy_source_version_id: source::version_said(operations, &input.copy_source, version)?,
        version_id: versions::made(object.version),
        copy_object_result: Some(result(object, answer)),
        ..Default::default()
    };
    let headers = expiration.map(|value| (EXPIRATION, value)).into_iter().collect();
    Ok(S3Response::with_headers(output, headers))
}

/// What the request wants of its own rather than the source's.
struct Asked {
    metadata: bool,
    tags: bool,
    algorithm: Option<Algorithm>,
}

impl Asked {
    /// # Errors
    /// InvalidArgument for an unknown directive; InvalidRequest for an unknown algorithm, and for a copy of an object
    /// onto itself that would change nothing.
    fn of(input: &CopyObjectInput, headers: &HeaderMap) -> Outcome<Self> {
        let metadata = input.metadata_directive.as_ref().map(MetadataDirective::as_str);
        let tags = input.tagging_directive.as_ref().map(TaggingDirective::as_str);
        let algorithm = input.checksum_algorithm.as_ref();
        let asked = Self {
            metadata: replaces(metadata, "Unknown metadata directive.")?,
            tags: replaces(tags, "Unknown tagging directive.")?,
            algorithm: algorithm.map(|name| algorithm_named(name.as_str())).transpose()?,
        };
        let names_version =
            matches!(&input.copy_source, CopySource::Bucket { version_id: Some(_), .. });
        let (bucket, key, _) = source::address(&input.copy_source)?;
        let is_itself = (bucket, key) == (&*input.bucket, &*input.key);
        let changes = asked.metadata || asked.tags || changes_place(headers);
        if is_itself && !names_version && !changes {
            return Err(Refusal::InvalidRequest(NO_CHANGE.to_owned()));
        }
        Ok(asked)
    }
}

/// Whether the class, the redirection or the encryption is to be another.
fn changes_place(headers: &HeaderMap) -> bool {
    let encrypts = |name: &HeaderName| name.as_str().starts_with("x-amz-server-side-encryption");
    headers.contains_key(STORAGE_CLASS)
        || headers.contains_key(REDIRECT)
        || headers.keys().any(encrypts)
}

/// Amazon S3's bound, though no data moves here: what works here works there.
fn check_size(source: &Object) -> Outcome<()> {
    if source.size <= PART_BYTES_MAX {
        return Ok(());
    }
    Err(Refusal::InvalidRequest(format!(
        "The specified copy source is larger than the maximum allowable size for a copy source: \
         {PART_BYTES_MAX}; copy it in parts"
    )))
}

const NO_CHANGE: &str = "This copy request is illegal because it is trying to copy an object to itself without \
                         changing the object's metadata, storage class, website redirect location or encryption \
                         attributes.";

/// The algorithm of a name in a request.
///
/// # Errors
/// InvalidRequest for any other name.
pub(super) fn algorithm_named(name: &str) -> Outcome<Algorithm> {
    let unknown = || {
        Refusal::InvalidRequest(format!(
            "Checksum algorithm provided is unsupported: {}. Please try again with any of the valid types: [CRC32, \
             CRC32C, CRC64NVME, SHA1, SHA256]",
            name.chars().take(32).collect::<String>()
        ))
    };
    Algorithm::from_name(name).ok_or_else(unknown)
}

fn replaces(directive: Option<&str>, unknown: &str) -> Outcome<bool> {
    match directive {
        None | Some(MetadataDirective::COPY) => Ok(false),
        Some(MetadataDirective::REPLACE) => Ok(true),
        Some(_) => Err(Refusal::InvalidArgument(format!("{unknown} It is COPY or REPLACE."))),
    }
}

/// What will be kept beside the copied bytes: of the source, unless the request has its own; class and redirection
/// never are the source's.
async fn beside(opened: &OpenObject, asked: &Asked, new: Beside) -> Outcome<Beside> {
    let object = opened.object();
    let mut kept = Attributes::decode(&object.attributes)?;
    let mut beside = new;
    let checksums = std::mem::take(&mut kept.checksums);
    if !asked.tags {
        beside.tags = object.tags.clone();
    }
    if !asked.metadata {
        let redirect = beside.attributes.content.into_iter().find(|(name, _)| *name == REDIRECT);
        kept.forget_place();
        kept.content.extend(redirect);
        kept.class = beside.attributes.class;
        beside.attributes = kept;
    }
    beside.attributes.checksums = match step(object, &checksums, asked.algorithm) {
        Step::Keep => checksums,
        Step::LeaveToStore => Vec::new(),
        Step::Read(algorithm) => {
            let values =
                source::digest(opened, 0..object.size, Selection::none().with(algorithm)).await?;
            let value = values.value(algorithm).ok_or(Refusal::Damaged("digests"))?;
            vec![Checksum::full(algorithm, value)]
        }
    };
    Ok(beside)
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Keep,
    LeaveToStore,
    Read(Algorithm),
}

/// How the copy comes by its checksum.
fn step(object: &Object, checksums: &[Checksum], wanted: Option<Algorithm>) -> Step {
    let Some(wanted) = wanted else {
        return Step::Keep;
    };
    match checksum_of(object, checksums) {
        Some(present) if present.algorithm == wanted && present.kind == Kind::FullObject => {
            Step::Keep
        }
        _ if wanted == Algorithm::Crc64Nvme && object.crc64.is_some() => Step::LeaveToStore,
        _ => Step::Read(wanted),
    }
}

fn result(object: Object, checksum: Option<Checksum>) -> CopyObjectResult {
    let mut result = CopyObjectResult {
        e_tag: Some(ETag::Strong(object.entity_tag.into())),
        last_modified: Some(http_date::timestamp(object.modified_ms)),
        ..Default::default()
    };
    if let Some(checksum) = checksum {
        checksum_fields!(result, checksum);
        result.checksum_type = Some(checksum.dto_kind());
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::checksum::Value;
    use datapath::{Lock, RowId, VersionId};

    #[test]
    fn data_is_read_only_for_a_checksum_that_nobody_has() {
        let object = |crc64| Object {
            row: RowId(1),
            version: VersionId::NULL,
            size: 1,
            modified_ms: 0,
            entity_tag: "t".into(),
            attributes: Bytes::new(),
            tags: Bytes::new(),
            acl: Bytes::new(),
            lock: Lock::default(),
            encryption: Bytes::new(),
            part_count: 0,
            crc64,
        };
        let sha1 = Checksum::full(Algorithm::Sha1, Value::from_bytes(&[0; 20]).unwrap());
        let composite = Checksum { kind: Kind::Composite(2), ..sha1 };
        let (with, without) = (object(Some(1)), object(None));
        assert_eq!(step(&with, &[sha1], None), Step::Keep);
        assert_eq!(step(&with, &[sha1], Some(Algorithm::Sha1)), Step::Keep);
        assert_eq!(step(&with, &[composite], Some(Algorithm::Sha1)), Step::Read(Algorithm::Sha1));
        assert_eq!(step(&with, &[sha1], Some(Algorithm::Crc64Nvme)), Step::LeaveToStore);
        assert_eq!(step(&with, &[], Some(Algorithm::Crc64Nvme)), Step::Keep);
        assert_eq!(
            step(&without, &[], Some(Algorithm::Crc64Nvme)),
            Step::Read(Algorithm::Crc64Nvme)
        );
    }

    #[test]
    fn directives_and_algorithms_have_known_names() {
        let directive = |text| replaces(Some(text), "Unknown");
        assert!(
            !replaces(None, "Unknown").unwrap()
                && !directive("COPY").unwrap()
                && directive("REPLACE").unwrap()
        );
        assert!(matches!(directive("copy"), Err(Refusal::InvalidArgument(_))));
        assert_eq!(algorithm_named("crc32c").unwrap(), Algorithm::Crc32c);
        assert!(matches!(algorithm_named("MD5"), Err(Refusal::InvalidRequest(_))));
    }
}
