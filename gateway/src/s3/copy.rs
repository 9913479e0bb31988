//! CopyObject: the destination refers to the source's extents, no data moves. Data is read (not written) only where
//! the request asks for a checksum that the source does not have. From SSE-S3 or SSE-KMS to either, the data key is sealed
//! anew and the data stays; plain data that is to be encrypted, and what a client's key seals, is read and written.
//!
//! The entity tag is the source's. Amazon S3 writes the data anew and so gives the copy of a multipart object a plain
//! MD5; here such a copy keeps the multipart tag, and its checksum with it.

use std::rc::Rc;

use bytes::Bytes;
use datapath::{BucketId, Condition, NewObject, Object, OpenObject};
use http::HeaderMap;
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
use super::encryption::{Reading, Rewritten, Unsealed};
use super::lifecycle::EXPIRATION;
use super::limits::PART_BYTES_MAX;
use super::operations::Operations;
use super::redirect::REDIRECT;
use super::refusal::{Outcome, Refusal};
use super::storage_class::STORAGE_CLASS;
use super::{condition, encryption, http_date, source, versions};
use crate::body::checksum::{Algorithm, Selection};
use crate::crypt::Sealing;
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
    let sealing = encryption::begin(operations, extensions, headers, &bucket)?;
    let asked = Asked::of(&input, headers, sealing.is_some())?;
    let new = Beside::of_request(operations, extensions, headers, &aside, &bucket)?;
    let condition = condition::of_write(&aside)?;
    let (object, answer, mut described, version) = source::until_unchanged(async || {
        let opened = Rc::new(source::open(operations, &input.copy_source, &aside, &mut laps)?);
        let unsealed =
            encryption::open_copy_source(operations, extensions, headers, opened.object())?;
        let version = opened.object().version;
        let source = Source { opened, unsealed };
        let seen = encryption::seen(source.opened.object());
        laps.object(seen.size);
        check_size(&seen)?;
        let target = Target { bucket: bucket.id, key: &input.key, condition: condition.clone() };
        let sealing = source.sealing(operations, sealing.clone())?;
        let beside = beside(&seen, &asked, new.clone())?;
        let mut described = HeaderMap::new();
        if let Some(sealing) = &sealing {
            sealing.describe(&mut described);
        }
        let (object, answer) = match source.way(operations, sealing)? {
            Way::Refer(encryption) => {
                let beside = Beside { encryption, ..beside };
                source.refer(operations, &asked, beside, target, &mut laps).await?
            }
            Way::Write(sealing) => {
                source.write(operations, &asked, beside, target, sealing, &mut laps).await?
            }
        };
        Ok((object, answer, described, version))
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
    described.extend(expiration.map(|value| (EXPIRATION, value)));
    Ok(S3Response::with_headers(output, described))
}

/// Where the copy goes.
struct Target<'a> {
    bucket: BucketId,
    key: &'a str,
    condition: Condition,
}

impl Target<'_> {
    fn object(self, tag: Box<str>, beside: Beside) -> Outcome<NewObject> {
        let key = Bytes::copy_from_slice(self.key.as_bytes());
        beside.into_new(self.bucket, key, tag, self.condition)
    }
}

/// What is copied.
struct Source {
    opened: Rc<OpenObject>,
    unsealed: Option<Box<Unsealed>>,
}

/// How the copy comes by its content.
enum Way {
    /// It refers to the source's; carries what is kept of its encryption.
    Refer(Bytes),
    /// It is written anew.
    Write(Sealing),
}

impl Source {
    /// How the copy is to be encrypted. What was encrypted never becomes plain for want of a header: SSE-S3 is what every
    /// bucket of Amazon S3 has at least.
    fn sealing(&self, operations: &Operations, asked: Option<Sealing>) -> Outcome<Option<Sealing>> {
        match (asked, &self.unsealed) {
            (None, Some(_)) => Ok(Some(operations.settings().crypt().by_master()?)),
            (asked, _) => Ok(asked),
        }
    }

    fn way(&self, operations: &Operations, sealing: Option<Sealing>) -> Outcome<Way> {
        let Some(sealing) = sealing else { return Ok(Way::Refer(Bytes::new())) };
        let keys = operations.settings().crypt().keys();
        let record = match &self.unsealed {
            None => None,
            Some(unsealed) => sealing.resealed(unsealed.opened(), keys)?,
        };
        Ok(record.map_or(Way::Write(sealing), |record| Way::Refer(record.encode())))
    }

    /// Makes an object that refers to the source's content.
    async fn refer(
        &self,
        operations: &Operations,
        asked: &Asked,
        mut beside: Beside,
        target: Target<'_>,
        laps: &mut Laps,
    ) -> Outcome<(Object, Option<Checksum>)> {
        let seen = encryption::seen(self.opened.object());
        let kept = Attributes::decode_checksums(&seen.attributes)?;
        beside.attributes.checksums = match step(&seen, &kept, asked.algorithm) {
            Step::Keep => kept,
            Step::LeaveToStore => Vec::new(),
            Step::Read(algorithm) => {
                let reading = self.reading(seen.size).await?;
                let selection = Selection::none().with(algorithm);
                let values = encryption::digest(reading, selection).await?;
                let value = values.value(algorithm).ok_or(Refusal::Damaged("digests"))?;
                vec![Checksum::full(algorithm, value)]
            }
        };
        let answer = checksum_of(&seen, &beside.attributes.checksums);
        let new = target.object(seen.entity_tag.clone(), beside)?;
        laps.skip();
        let copied = operations.lane().copy(&self.opened, new).await;
        Ok((laps.ends(Stage::Commit, copied)?, answer))
    }

    /// Reads the content and writes it under a key of its own: an object in one piece, with a checksum of all of it.
    async fn write(
        &self,
        operations: &Operations,
        asked: &Asked,
        mut beside: Beside,
        target: Target<'_>,
        sealing: Sealing,
        laps: &mut Laps,
    ) -> Outcome<(Object, Option<Checksum>)> {
        let seen = encryption::seen(self.opened.object());
        let kept = Attributes::decode_checksums(&seen.attributes)?;
        let algorithm = asked.algorithm.or(kept.first().map(|checksum| checksum.algorithm));
        let algorithm = algorithm.unwrap_or(Algorithm::Crc64Nvme);
        let (size, reading) = (seen.size, self.reading(seen.size).await?);
        let sealer = Some(sealing.sealer(size));
        let Rewritten { staged, values } =
            encryption::rewrite(operations.lane(), reading, size, sealer, Some(algorithm), laps)
                .await?;
        let value = values.value(algorithm).ok_or(Refusal::Damaged("digests"))?;
        let checksum = Checksum::full(algorithm, value);
        let md5 = values.md5.ok_or(Refusal::Damaged("digests"))?;
        beside.attributes.checksums = vec![checksum];
        beside.encryption = sealing.record(size);
        let new = target.object(encryption::tag_of(&md5, sealing.tells_md5())?, beside)?;
        laps.skip();
        let put = operations.lane().put(new, staged).await;
        Ok((laps.ends(Stage::Commit, put)?, Some(checksum)))
    }

    async fn reading(&self, size: u64) -> Outcome<Option<Reading>> {
        Reading::of(&self.opened, self.unsealed.as_deref(), 0..size).await
    }
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
    fn of(input: &CopyObjectInput, headers: &HeaderMap, encrypts: bool) -> Outcome<Self> {
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
        let changes = asked.metadata || asked.tags || encrypts || changes_place(headers);
        if is_itself && !names_version && !changes {
            return Err(Refusal::InvalidRequest(NO_CHANGE.to_owned()));
        }
        Ok(asked)
    }
}

/// Whether the class or the redirection is to be another.
fn changes_place(headers: &HeaderMap) -> bool {
    headers.contains_key(STORAGE_CLASS) || headers.contains_key(REDIRECT)
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
fn beside(object: &Object, asked: &Asked, new: Beside) -> Outcome<Beside> {
    let mut kept = Attributes::decode(&object.attributes)?;
    let mut beside = new;
    // They come with the content.
    kept.checksums.clear();
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
