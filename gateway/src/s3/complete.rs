//! CompleteMultipartUpload: the parts that are named become the object, in the order of their numbers; no data moves.
//! Parts that are not named are freed.
//!
//! A client that lost the answer asks again. It hears the same answer as long as the upload's object is at the key and
//! the parts that it names are the object's; whether its condition held was decided the first time.

use bytes::Bytes;
use datapath::{Bucket, LaneStore, Object, Part};
use datapath::{PartId, PartNumber, UploadId};
use http::HeaderMap;
use http::header::HOST;
use s3s::dto::{
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedMultipartUpload,
    CompletedPart, ETag,
};
use s3s::{S3Request, S3Response};

use super::aside::Aside;
use super::attributes::{Attributes, Declared};
use super::checksum::{self, Checksum, checksum_fields};
use super::created::Beside;
use super::describe::checksum_of as object_checksum;
use super::lifecycle::EXPIRATION;
use super::limits::{OBJECT_BYTES_MAX, PART_BYTES_MIN, PART_NUMBER_MAX, PARTS_READ_AT_ONCE};
use super::operations::Operations;
use super::page::percent_encoded;
use super::refusal::{Outcome, Refusal};
use super::uploads::dto_kind;
use super::{condition, encryption, entity_tag, lock, uploads, versions};
use crate::body::checksum::{Algorithm, Value};
use crate::crypt;
use crate::metrics::Stage;
use crate::notify::event::EventKind;
use crate::record::Laps;

/// See the module.
pub(super) async fn complete(
    operations: &Operations,
    mut request: S3Request<CompleteMultipartUploadInput>,
) -> Outcome<S3Response<CompleteMultipartUploadOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let aside = Aside::take(&mut request.extensions);
    let mut input = request.input;
    let bucket = operations.bucket(&input.bucket)?;
    let upload = match uploads::find(operations, &bucket, &input.key, &input.upload_id) {
        Err(Refusal::NoSuchUpload) => {
            let (object, checksum) = repeated(operations, &bucket, &input).await?;
            let mut described = HeaderMap::new();
            encryption::describe_completed(&object.encryption, &mut described)?;
            let mut answer = answer(&request.headers, input, object, checksum);
            answer.headers.extend(described);
            return Ok(answer);
        }
        found => found?,
    };
    let condition = condition::of_write(&aside)?;
    let mut beside = Beside::held(&upload.attributes)?;
    lock::by_default(operations, &bucket, &mut beside.lock)?;
    let list = input.multipart_upload.take();
    let named = named_parts(list.as_ref())?;
    check_named(&named, beside.attributes.declared)?;
    let encrypted = !beside.encryption.is_empty();
    let declared = beside.attributes.declared.take();
    let (extensions, headers) = (&request.extensions, &request.headers);
    encryption::check_completion(operations, extensions, headers, &beside, declared.is_some())?;
    let chosen = chosen_parts(operations.lane(), upload.id, &named, encrypted).await;
    let chosen = laps.ends(Stage::Index, chosen)?;
    // The list has said all: what a commit waits for is held without it.
    drop(named);
    drop(list);
    check_sizes(&chosen, input.mpu_object_size)?;
    let checksum = checksum_of(&chosen, declared)?;
    check_promises(&input, declared, checksum.as_ref())?;
    let crc64 = checksum_of(&chosen, None)?.and_then(|checksum| checksum.as_crc64());
    // The store keeps CRC-64/NVME by itself, but of what is stored.
    let is_kept = |checksum: &Checksum| encrypted || checksum.as_crc64().is_none();
    let crc64 = crc64.filter(|_| !encrypted);
    let parts = chosen.iter().map(|chosen| (chosen.number.0, chosen.size));
    beside.encryption = encryption::completed(&beside.encryption, parts)?;
    let mut described = HeaderMap::new();
    encryption::describe_completed(&beside.encryption, &mut described)?;
    beside.attributes.checksums = checksum.filter(is_kept).into_iter().collect();
    let key = Bytes::from(input.key.clone());
    let tag = entity_tag::of_parts(chosen.iter().map(|chosen| &*chosen.entity_tag));
    let new = beside.into_new(bucket.id, key, tag, condition)?;
    let ids: Vec<(PartNumber, PartId)> =
        chosen.iter().map(|chosen| (chosen.number, chosen.id)).collect();
    drop(chosen);
    let completed = operations.lane().complete(upload.id, ids, new, crc64).await;
    let object = laps.ends(Stage::Commit, completed)?;
    laps.object(crypt::size(&object));
    operations.made(
        &request.extensions,
        &bucket,
        EventKind::Complete,
        input.key.as_bytes(),
        &object,
    );
    let expiration = operations.expiration(&bucket, input.key.as_bytes(), &object);
    let mut answer = answer(&request.headers, input, object, checksum);
    answer.headers = described;
    answer.headers.extend(expiration.map(|value| (EXPIRATION, value)));
    Ok(answer)
}

/// The object that an earlier request of this kind has made, and its checksum.
///
/// # Errors
/// NoSuchUpload where there is none, or of other parts.
async fn repeated(
    operations: &Operations,
    bucket: &Bucket,
    input: &CompleteMultipartUploadInput,
) -> Outcome<(Object, Option<Checksum>)> {
    let gone = || Refusal::NoSuchUpload;
    let upload = uploads::parse_id(&input.upload_id).ok_or_else(gone)?;
    let found = operations.lane().completed(bucket.id, input.key.as_bytes(), upload)?;
    let object = found.ok_or_else(gone)?;
    let named = named_parts(input.multipart_upload.as_ref())?;
    let encrypted = !object.encryption.is_empty();
    let chosen = match chosen_parts(operations.lane(), upload, &named, encrypted).await {
        Err(Refusal::InvalidPart(_)) => return Err(gone()),
        chosen => chosen?,
    };
    let tag = entity_tag::of_parts(chosen.iter().map(|chosen| &*chosen.entity_tag));
    if tag != object.entity_tag {
        return Err(gone());
    }
    let object = encryption::seen(&object).into_owned();
    let checksum = object_checksum(&object, &Attributes::decode_checksums(&object.attributes)?);
    Ok((object, checksum))
}

fn answer(
    headers: &HeaderMap,
    input: CompleteMultipartUploadInput,
    object: Object,
    checksum: Option<Checksum>,
) -> S3Response<CompleteMultipartUploadOutput> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let mut output = CompleteMultipartUploadOutput {
        location: Some(format!("http://{host}/{}/{}", input.bucket, percent_encoded(&input.key))),
        bucket: Some(input.bucket),
        key: Some(input.key),
        e_tag: Some(ETag::Strong(object.entity_tag.into())),
        version_id: versions::made(object.version),
        ..Default::default()
    };
    if let Some(checksum) = checksum {
        checksum_fields!(output, checksum);
        output.checksum_type = Some(checksum.dto_kind());
    }
    S3Response::new(output)
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

/// A checksum that is made of the parts' is one of those that the client means: it has to name them.
///
/// # Errors
/// InvalidRequest for an entry without the value of the declared algorithm.
fn check_named(named: &[(PartNumber, &CompletedPart)], declared: Option<Declared>) -> Outcome<()> {
    let Some(Declared { algorithm, composite: true }) = declared else {
        return Ok(());
    };
    let has = |sent: &CompletedPart| sent_checksums(sent).any(|(sent, _)| sent == algorithm);
    match named.iter().find(|(_, sent)| !has(sent)) {
        None => Ok(()),
        Some((number, _)) => Err(Refusal::InvalidRequest(format!(
            "The upload was created using a {} checksum. The complete request must include the checksum for each \
             part. It was missing for part {} in the request.",
            algorithm.name().to_lowercase(),
            number.0
        ))),
    }
}

/// A part of the object to be: what completing needs of it, 128 bytes and a tag of 32.
struct Chosen {
    number: PartNumber,
    id: PartId,
    size: u64,
    entity_tag: Box<str>,
    /// Of the algorithm that the upload declared, or another that came with the part; no part has more than one
    /// besides CRC-64/NVME.
    checksum: Option<Checksum>,
    /// CRC-64/NVME, the store's or one kept beside.
    crc64: Option<Checksum>,
}

impl Chosen {
    /// `encrypted`: whether the store's size and checksum are of sealed bytes.
    fn of(part: Part, encrypted: bool) -> Outcome<Self> {
        let is_crc64 = |checksum: &&Checksum| checksum.algorithm == Algorithm::Crc64Nvme;
        let kept = Attributes::decode_checksums(&part.attributes)?;
        // The store has none of its own for a part that was copied from a range.
        let of_store = || part.crc64.filter(|_| !encrypted).and_then(Checksum::crc64);
        Ok(Self {
            number: part.number,
            id: part.id,
            size: encryption::part_size(encrypted, part.size)?,
            entity_tag: part.entity_tag,
            crc64: kept.iter().find(is_crc64).copied().or_else(of_store),
            checksum: kept.into_iter().find(|checksum| !is_crc64(&checksum)),
        })
    }

    /// A value that was sent with the part or computed for it.
    fn value(&self, algorithm: Algorithm) -> Option<Value> {
        let checksum = match algorithm {
            Algorithm::Crc64Nvme => self.crc64,
            other => self.checksum.filter(|checksum| checksum.algorithm == other),
        };
        checksum.map(|checksum| checksum.value)
    }

    /// Whether it is the part that the request means.
    ///
    /// # Errors
    /// InvalidPart where its tag or a checksum is another.
    fn check(&self, sent: &CompletedPart) -> Outcome<()> {
        let invalid = || Refusal::InvalidPart(self.number.0);
        let tag = sent.e_tag.as_ref().ok_or(Refusal::MalformedXml("a Part has no ETag"))?;
        if tag.as_strong() != Some(&*self.entity_tag) {
            return Err(invalid());
        }
        for (algorithm, text) in sent_checksums(sent) {
            let value = Value::from_base64(algorithm, text.as_bytes()).ok_or_else(invalid)?;
            if self.value(algorithm) != Some(value) {
                return Err(invalid());
            }
        }
        Ok(())
    }
}

/// The stored part of each that is named. Reads those alone, in runs of numbers that follow each other, and lets the
/// lane's other work go on between the runs.
///
/// # Errors
/// InvalidPart where there is none, or it is another.
async fn chosen_parts(
    lane: &LaneStore,
    upload: UploadId,
    named: &[(PartNumber, &CompletedPart)],
    encrypted: bool,
) -> Outcome<Vec<Chosen>> {
    let mut chosen = Vec::with_capacity(named.len());
    let mut left = named;
    while let Some((first, _)) = left.first() {
        let (run, others) = left.split_at(run_length(left));
        let stored = lane.parts(upload, PartNumber(first.0 - 1), run.len())?;
        choose(run, stored, encrypted, &mut chosen)?;
        left = others;
        tokio::task::yield_now().await;
    }
    Ok(chosen)
}

/// How many of the first parts have numbers that follow each other, up to what is read at once.
fn run_length(named: &[(PartNumber, &CompletedPart)]) -> usize {
    let follows = |pair: &&[(PartNumber, &CompletedPart)]| pair[0].0.0 + 1 == pair[1].0.0;
    let gaps = named.windows(2).take(PARTS_READ_AT_ONCE - 1).take_while(follows);
    (1 + gaps.count()).min(named.len())
}

fn choose(
    run: &[(PartNumber, &CompletedPart)],
    stored: Vec<Part>,
    encrypted: bool,
    chosen: &mut Vec<Chosen>,
) -> Outcome<()> {
    let mut stored = stored.into_iter();
    for (number, sent) in run {
        let part = stored.next().filter(|part| part.number == *number);
        let part = Chosen::of(part.ok_or(Refusal::InvalidPart(number.0))?, encrypted)?;
        part.check(sent)?;
        chosen.push(part);
    }
    Ok(())
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
fn check_sizes(chosen: &[Chosen], announced: Option<i64>) -> Outcome<()> {
    let before_last = chosen.split_last().map_or(&[][..], |(_, before)| before);
    if let Some(small) = before_last.iter().find(|chosen| chosen.size < PART_BYTES_MIN) {
        return Err(Refusal::EntityTooSmall { number: small.number.0, size: small.size });
    }
    let size = chosen.iter().fold(0_u64, |sum, chosen| sum.saturating_add(chosen.size));
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
fn checksum_of(chosen: &[Chosen], declared: Option<Declared>) -> Outcome<Option<Checksum>> {
    let wanted = declared.unwrap_or(Declared { algorithm: Algorithm::Crc64Nvme, composite: false });
    let mut values = Vec::with_capacity(chosen.len());
    for chosen in chosen {
        match chosen.value(wanted.algorithm) {
            Some(value) => values.push((value, chosen.size)),
            None if declared.is_some() => return Err(Refusal::InvalidPart(chosen.number.0)),
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
        let Some(computed) = computed else {
            return Err(other_algorithm(declared, algorithm));
        };
        let bare = text.rsplit_once('-').map_or(&**text, |(value, _parts)| value);
        if Value::from_base64(algorithm, bare.as_bytes()).is_none() {
            let name = algorithm.header();
            return Err(Refusal::InvalidRequest(format!("Value for {name} header is invalid.")));
        }
        if !computed.is_text(text) {
            return Err(Refusal::BadDigest(algorithm.name()));
        }
    }
    Ok(())
}

fn other_algorithm(declared: Option<Declared>, sent: Algorithm) -> Refusal {
    let expected = declared.map_or(Algorithm::Crc64Nvme, |declared| declared.algorithm);
    Refusal::InvalidRequest(format!(
        "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
        expected.name().to_lowercase(),
        sent.name().to_lowercase()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::checksum::{Digests, Selection};
    use crate::s3::limits::DOCUMENT_ENTRY_BYTES;

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
            let from_there = stored.iter().filter(|part| part.number >= number).take(1);
            let mut chosen = Vec::new();
            choose(&[(number, sent)], from_there.cloned().collect(), false, &mut chosen)?;
            Ok::<_, Refusal>(chosen.len())
        };
        assert_eq!(choose_one(&named(3)).unwrap(), 1);
        assert!(matches!(choose_one(&named(2)), Err(Refusal::InvalidPart(2))));
        let other_tag = CompletedPart { e_tag: Some(ETag::Strong("x".to_owned())), ..named(1) };
        assert!(matches!(choose_one(&other_tag), Err(Refusal::InvalidPart(1))));
        let no_tag = CompletedPart { e_tag: None, ..named(1) };
        assert!(matches!(choose_one(&no_tag), Err(Refusal::MalformedXml(_))));
        let chosen = [Chosen::of(part(1, MIN), false).unwrap()];
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
    fn what_a_part_takes_is_in_the_charge_for_its_entry() {
        let tag_bytes = 32;
        let each = size_of::<CompletedPart>() + size_of::<(PartNumber, &CompletedPart)>();
        assert!(each + size_of::<Chosen>() + tag_bytes <= DOCUMENT_ENTRY_BYTES);
    }

    #[test]
    fn parts_are_read_in_runs_of_their_numbers() {
        let sent = named(1);
        let run = |numbers: &[u16]| {
            let named: Vec<_> = numbers.iter().map(|number| (PartNumber(*number), &sent)).collect();
            run_length(&named)
        };
        assert_eq!((run(&[]), run(&[7]), run(&[1, 3]), run(&[4, 5, 6, 8])), (0, 1, 1, 3));
        let all: Vec<u16> = (1..=PART_NUMBER_MAX).collect();
        assert_eq!(run(&all), PARTS_READ_AT_ONCE);
    }

    #[test]
    fn only_the_last_part_may_be_small() {
        let sizes = |sizes: &[u64], announced| {
            let chosen: Vec<Chosen> = sizes
                .iter()
                .zip(1..)
                .map(|(size, number)| Chosen::of(part(number, *size), false).unwrap())
                .collect();
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
        let chosen = [part(1, 3), part(2, 3)].map(|part| Chosen::of(part, false).unwrap());
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
        for refused in [
            with(|input, text| input.checksum_sha1 = Some(text)),
            with(|input, _| input.checksum_sha256 = Some("bad".to_owned())),
        ] {
            assert!(matches!(refused, Err(Refusal::InvalidRequest(_))));
        }
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
