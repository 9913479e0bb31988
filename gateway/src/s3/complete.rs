//! CompleteMultipartUpload: the parts that are named become the object, in the order of their numbers; no data moves.
//! Parts that are not named are freed.
//!
//! A second Complete of the same upload answers NoSuchUpload: the upload is gone. (Amazon S3 answers 200 again for a
//! while; a client that lost the first answer finds the object by HeadObject.)

use bytes::Bytes;
use datapath::{NewObject, Part, Upload};
use datapath::{PartId, PartNumber};
use s3s::dto::{
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedMultipartUpload,
    CompletedPart, ETag,
};
use s3s::{S3Request, S3Response};

use super::aside::Aside;
use super::attributes::{Attributes, Declared};
use super::checksum::{self, Checksum, checksum_fields};
use super::limits::{OBJECT_BYTES_MAX, PART_BYTES_MIN, PART_NUMBER_MAX, PARTS_READ_AT_ONCE};
use super::operations::Operations;
use super::page::percent_encoded;
use super::refusal::{Outcome, Refusal};
use super::uploads::dto_kind;
use super::{condition, entity_tag, uploads};
use crate::body::checksum::{Algorithm, Value};

/// See the module.
pub(super) async fn complete(
    operations: &Operations,
    mut request: S3Request<CompleteMultipartUploadInput>,
) -> Outcome<S3Response<CompleteMultipartUploadOutput>> {
    let aside = Aside::take(&mut request.extensions);
    let input = request.input;
    let bucket = operations.bucket(&input.bucket)?;
    let upload = uploads::find(operations, &bucket, &input.key, &input.upload_id)?;
    let condition = condition::of_write(&aside)?;
    let mut attributes = Attributes::decode(&upload.attributes)?;
    let named = named_parts(input.multipart_upload.as_ref())?;
    let last = named.last().map_or(PartNumber(0), |(number, _)| *number);
    let stored = stored_parts(operations, &upload, last)?;
    let chosen = choose(&named, &stored)?;
    check_sizes(&chosen, input.mpu_object_size)?;
    let declared = attributes.declared.take();
    let answer = checksum_of(&chosen, declared)?;
    check_promises(&input, declared, answer.as_ref())?;
    let crc64 = checksum_of(&chosen, None)?.and_then(|checksum| checksum.as_crc64());
    // The store keeps CRC-64/NVME by itself.
    let is_kept = |checksum: &Checksum| checksum.as_crc64().is_none();
    attributes.checksums = answer.filter(is_kept).into_iter().collect();
    let new = NewObject {
        bucket: bucket.id,
        key: Bytes::from(input.key.clone()),
        entity_tag: entity_tag::of_parts(chosen.iter().map(|chosen| &*chosen.part.entity_tag)),
        attributes: attributes.encode()?,
        condition,
    };
    let ids: Vec<(PartNumber, PartId)> =
        chosen.iter().map(|chosen| (chosen.part.number, chosen.part.id)).collect();
    let object = operations.lane().complete(upload.id, ids, new, crc64).await?;
    let host = request
        .headers
        .get(http::header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let mut output = CompleteMultipartUploadOutput {
        location: Some(format!("http://{host}/{}/{}", input.bucket, percent_encoded(&input.key))),
        bucket: Some(input.bucket),
        key: Some(input.key),
        e_tag: Some(ETag::Strong(object.entity_tag.into())),
        ..Default::default()
    };
    if let Some(checksum) = answer {
        checksum_fields!(output, checksum);
        output.checksum_type = Some(checksum.dto_kind());
    }
    Ok(S3Response::new(output))
}

/// The parts of the request's list, their numbers checked and in order.
fn named_parts(
    list: Option<&CompletedMultipartUpload>,
) -> Outcome<Vec<(PartNumber, &CompletedPart)>> {
    let parts = list.and_then(|list| list.parts.as_deref()).unwrap_or_default();
    if parts.is_empty() {
        return Err(Refusal::MalformedXml("there is no Part"));
    }
    if parts.len() > usize::from(PART_NUMBER_MAX) {
        return Err(Refusal::MalformedXml("there are more than 10000 Parts"));
    }
    let mut named: Vec<(PartNumber, &CompletedPart)> = Vec::with_capacity(parts.len());
    for part in parts {
        let number = part.part_number.ok_or(Refusal::MalformedXml("a Part has no PartNumber"))?;
        let number = super::parts::part_number(number)?;
        if named.last().is_some_and(|(before, _)| *before >= number) {
            return Err(Refusal::InvalidPartOrder);
        }
        named.push((number, part));
    }
    Ok(named)
}

/// What was uploaded, up to the last number that is named.
fn stored_parts(operations: &Operations, upload: &Upload, last: PartNumber) -> Outcome<Vec<Part>> {
    let mut stored = Vec::new();
    let mut after = PartNumber(0);
    while after < last {
        let some = operations.lane().parts(upload.id, after, PARTS_READ_AT_ONCE)?;
        let Some(end) = some.last() else { break };
        after = end.number;
        stored.extend(some);
    }
    Ok(stored)
}

/// A part of the object to be.
struct Chosen<'a> {
    part: &'a Part,
    checksums: Vec<Checksum>,
}

impl Chosen<'_> {
    /// A value that was sent with the part or computed for it.
    fn value(&self, algorithm: Algorithm) -> Option<Value> {
        let kept = self
            .checksums
            .iter()
            .find(|checksum| checksum.algorithm == algorithm)
            .map(|it| it.value);
        let of_store = || Checksum::crc64(self.part.crc64?).map(|checksum| checksum.value);
        kept.or_else(|| if algorithm == Algorithm::Crc64Nvme { of_store() } else { None })
    }
}

/// The stored part of each that is named.
///
/// # Errors
/// InvalidPart where there is none, or its tag or a checksum is another.
fn choose<'a>(
    named: &[(PartNumber, &CompletedPart)],
    stored: &'a [Part],
) -> Outcome<Vec<Chosen<'a>>> {
    let mut chosen = Vec::with_capacity(named.len());
    for (number, sent) in named {
        let invalid = || Refusal::InvalidPart(number.0);
        let found =
            stored.binary_search_by_key(number, |part| part.number).map_err(|_| invalid())?;
        let part = &stored[found];
        let tag = sent.e_tag.as_ref().ok_or(Refusal::MalformedXml("a Part has no ETag"))?;
        if tag.as_strong() != Some(&*part.entity_tag) {
            return Err(invalid());
        }
        let chosen_part =
            Chosen { part, checksums: Attributes::decode_checksums(&part.attributes)? };
        for (algorithm, text) in sent_checksums(sent) {
            let value = Value::from_base64(algorithm, text.as_bytes()).ok_or_else(invalid)?;
            if chosen_part.value(algorithm) != Some(value) {
                return Err(invalid());
            }
        }
        chosen.push(chosen_part);
    }
    Ok(chosen)
}

fn sent_checksums(part: &CompletedPart) -> impl Iterator<Item = (Algorithm, &str)> {
    [
        (Algorithm::Crc32, &part.checksum_crc32),
        (Algorithm::Crc32c, &part.checksum_crc32c),
        (Algorithm::Crc64Nvme, &part.checksum_crc64nvme),
        (Algorithm::Sha1, &part.checksum_sha1),
        (Algorithm::Sha256, &part.checksum_sha256),
    ]
    .into_iter()
    .filter_map(|(algorithm, text)| text.as_deref().map(|text| (algorithm, text)))
}

/// All but the last are large enough, the whole is not too large and as large as the client says.
fn check_sizes(chosen: &[Chosen<'_>], announced: Option<i64>) -> Outcome<()> {
    let before_last = chosen.split_last().map_or(&[][..], |(_, before)| before);
    if let Some(small) = before_last.iter().find(|chosen| chosen.part.size < PART_BYTES_MIN) {
        return Err(Refusal::EntityTooSmall { number: small.part.number.0, size: small.part.size });
    }
    let size = chosen.iter().fold(0_u64, |sum, chosen| sum.saturating_add(chosen.part.size));
    if size > OBJECT_BYTES_MAX {
        return Err(Refusal::EntityTooLarge { size, max: OBJECT_BYTES_MAX });
    }
    match announced {
        Some(announced) if u64::try_from(announced) != Ok(size) => {
            Err(Refusal::InvalidRequest(format!(
                "The provided 'x-amz-mp-object-size' header value {announced} does not match what was computed: {size}"
            )))
        }
        _ => Ok(()),
    }
}

/// The object's checksum: as the upload declared, or the CRC-64/NVME of the whole.
///
/// # Errors
/// InvalidPart where a part lacks the declared algorithm's value.
fn checksum_of(chosen: &[Chosen<'_>], declared: Option<Declared>) -> Outcome<Option<Checksum>> {
    let wanted = declared.unwrap_or(Declared { algorithm: Algorithm::Crc64Nvme, composite: false });
    let mut values = Vec::with_capacity(chosen.len());
    for chosen in chosen {
        match chosen.value(wanted.algorithm) {
            Some(value) => values.push((value, chosen.part.size)),
            None if declared.is_some() => return Err(Refusal::InvalidPart(chosen.part.number.0)),
            None => return Ok(None),
        }
    }
    Ok(checksum::of_parts(wanted.algorithm, wanted.composite, values))
}

/// What the request's headers say of the object's checksum.
fn check_promises(
    input: &CompleteMultipartUploadInput,
    declared: Option<Declared>,
    computed: Option<&Checksum>,
) -> Outcome<()> {
    if let Some(kind) = &input.checksum_type {
        let is_right = match declared {
            Some(declared) => kind.as_str() == dto_kind(declared).as_str(),
            None => computed.is_none_or(|computed| kind.as_str() == computed.dto_kind().as_str()),
        };
        if !is_right {
            let why = "The x-amz-checksum-type of the request is not the one that the upload was created with";
            return Err(Refusal::InvalidRequest(why.to_owned()));
        }
    }
    let sent = [
        (Algorithm::Crc32, &input.checksum_crc32),
        (Algorithm::Crc32c, &input.checksum_crc32c),
        (Algorithm::Crc64Nvme, &input.checksum_crc64nvme),
        (Algorithm::Sha1, &input.checksum_sha1),
        (Algorithm::Sha256, &input.checksum_sha256),
    ];
    for (algorithm, text) in sent {
        let Some(text) = text else { continue };
        let computed = computed.filter(|computed| computed.algorithm == algorithm);
        if !computed.is_some_and(|computed| computed.is_text(text)) {
            return Err(Refusal::BadDigest(algorithm.name()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::checksum::{Digests, Selection};

    const MIN: u64 = PART_BYTES_MIN;

    fn part(number: u16, size: u64) -> Part {
        let content = vec![7; 3];
        let mut digests = Digests::new(Selection::none().with(Algorithm::Sha256));
        digests.update(&content);
        let sha256 = digests.finish().value(Algorithm::Sha256).unwrap();
        let kept = Attributes {
            checksums: vec![Checksum::full(Algorithm::Sha256, sha256)],
            ..Attributes::default()
        };
        Part {
            id: PartId(u64::from(number)),
            number: PartNumber(number),
            size,
            modified_ms: 0,
            entity_tag: "d41d8cd98f00b204e9800998ecf8427e".into(),
            attributes: kept.encode().unwrap(),
            crc64: Some(crc_fast::crc64_nvme(&content)),
        }
    }

    fn named(number: i32) -> CompletedPart {
        CompletedPart {
            part_number: Some(number),
            e_tag: Some(ETag::Strong("d41d8cd98f00b204e9800998ecf8427e".to_owned())),
            ..Default::default()
        }
    }

    fn list(parts: Vec<CompletedPart>) -> CompletedMultipartUpload {
        CompletedMultipartUpload { parts: Some(parts) }
    }

    #[test]
    fn the_list_is_in_order_and_whole() {
        let good = list(vec![named(1), named(2), named(10_000)]);
        assert_eq!(named_parts(Some(&good)).unwrap().len(), 3);
        let order =
            |parts| matches!(named_parts(Some(&list(parts))), Err(Refusal::InvalidPartOrder));
        assert!(order(vec![named(2), named(1)]) && order(vec![named(1), named(1)]));
        let malformed = |list: Option<&CompletedMultipartUpload>| {
            matches!(named_parts(list), Err(Refusal::MalformedXml(_)))
        };
        assert!(malformed(None) && malformed(Some(&list(vec![]))));
        assert!(malformed(Some(&list(vec![CompletedPart { part_number: None, ..named(1) }]))));
        assert!(matches!(
            named_parts(Some(&list(vec![named(0)]))),
            Err(Refusal::InvalidArgument(_))
        ));
    }

    #[test]
    fn each_named_part_is_the_stored_one() {
        let stored = [part(1, MIN), part(3, 1)];
        let choose_one = |sent: &CompletedPart| {
            let number = PartNumber(u16::try_from(sent.part_number.unwrap()).unwrap());
            choose(&[(number, sent)], &stored).map(|chosen| chosen.len())
        };
        assert_eq!(choose_one(&named(3)).unwrap(), 1);
        assert!(matches!(choose_one(&named(2)), Err(Refusal::InvalidPart(2))));
        let other_tag = CompletedPart { e_tag: Some(ETag::Strong("x".to_owned())), ..named(1) };
        assert!(matches!(choose_one(&other_tag), Err(Refusal::InvalidPart(1))));
        let no_tag = CompletedPart { e_tag: None, ..named(1) };
        assert!(matches!(choose_one(&no_tag), Err(Refusal::MalformedXml(_))));
        let chosen = choose(&[(PartNumber(1), &named(1))], &stored).unwrap();
        let sha256 = chosen[0].value(Algorithm::Sha256).unwrap().to_base64();
        let crc64 = chosen[0].value(Algorithm::Crc64Nvme).unwrap().to_base64();
        let right = CompletedPart {
            checksum_sha256: Some(sha256.clone()),
            checksum_crc64nvme: Some(crc64),
            ..named(1)
        };
        assert_eq!(choose_one(&right).unwrap(), 1);
        for wrong in [
            CompletedPart { checksum_sha1: Some("AAAA".to_owned()), ..named(1) },
            CompletedPart {
                checksum_sha256: Some(sha256.replace('A', "B").replace('=', "")),
                ..named(1)
            },
            CompletedPart { checksum_crc32: Some("AAAAAA==".to_owned()), ..named(1) },
        ] {
            assert!(matches!(choose_one(&wrong), Err(Refusal::InvalidPart(1))), "{wrong:?}");
        }
    }

    #[test]
    fn only_the_last_part_may_be_small() {
        let sizes = |sizes: &[u64], announced| {
            let stored: Vec<Part> =
                sizes.iter().zip(1..).map(|(size, number)| part(number, *size)).collect();
            let chosen: Vec<Chosen<'_>> =
                stored.iter().map(|part| Chosen { part, checksums: Vec::new() }).collect();
            check_sizes(&chosen, announced)
        };
        assert!(sizes(&[MIN, MIN, 0], None).is_ok() && sizes(&[0], Some(0)).is_ok());
        assert!(matches!(
            sizes(&[MIN - 1, 1], None),
            Err(Refusal::EntityTooSmall { number: 1, .. })
        ));
        assert!(matches!(sizes(&[OBJECT_BYTES_MAX, 1], None), Err(Refusal::EntityTooLarge { .. })));
        assert!(matches!(sizes(&[MIN], Some(1)), Err(Refusal::InvalidRequest(_))));
        assert!(matches!(sizes(&[MIN], Some(-1)), Err(Refusal::InvalidRequest(_))));
    }

    #[test]
    fn the_objects_checksum_is_the_declared_one() {
        let stored = [part(1, 3), part(2, 3)];
        let names = [named(1), named(2)];
        let chosen =
            choose(&[(PartNumber(1), &names[0]), (PartNumber(2), &names[1])], &stored).unwrap();
        let whole = checksum_of(&chosen, None).unwrap().unwrap();
        assert_eq!(Some(whole), Checksum::crc64(crc_fast::crc64_nvme(&[7; 6])));
        let composite = Some(Declared { algorithm: Algorithm::Sha256, composite: true });
        let made = checksum_of(&chosen, composite).unwrap().unwrap();
        assert!(made.text().ends_with("-2"));
        let missing = Some(Declared { algorithm: Algorithm::Crc32, composite: true });
        assert!(matches!(checksum_of(&chosen, missing), Err(Refusal::InvalidPart(1))));

        let with = |change: fn(&mut CompleteMultipartUploadInput, String)| {
            let mut input = CompleteMultipartUploadInput::builder();
            input.set_bucket("b".to_owned());
            input.set_key("k".to_owned());
            input.set_upload_id("u".to_owned());
            let mut input = input.build().unwrap();
            change(&mut input, made.text());
            check_promises(&input, composite, Some(&made))
        };
        assert!(with(|input, text| input.checksum_sha256 = Some(text)).is_ok());
        assert!(matches!(
            with(|input, text| input.checksum_sha256 = Some(text.replace("-2", "-3"))),
            Err(Refusal::BadDigest("SHA256"))
        ));
        assert!(matches!(
            with(|input, text| input.checksum_sha1 = Some(text)),
            Err(Refusal::BadDigest("SHA1"))
        ));
        let full = s3s::dto::ChecksumType::from_static("FULL_OBJECT");
        let mut input = CompleteMultipartUploadInput::builder();
        input.set_bucket("b".to_owned());
        input.set_key("k".to_owned());
        input.set_upload_id("u".to_owned());
        let mut input = input.build().unwrap();
        input.checksum_type = Some(full);
        assert!(matches!(
            check_promises(&input, composite, Some(&made)),
            Err(Refusal::InvalidRequest(_))
        ));
    }
}
