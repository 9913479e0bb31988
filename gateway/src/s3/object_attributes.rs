//! GetObjectAttributes: what HeadObject says, and the parts, in one document, of which the request names the elements.

use bytes::Bytes;
use datapath::{OpenObject, Part, PartNumber};
use s3s::dto::{
    self, ETag, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
    ObjectAttributes, ObjectPart,
};
use s3s::{S3Request, S3Response};

use super::attributes::Attributes;
use super::checksum::{Checksum, checksum_fields};
use super::describe::checksum_of;
use super::limits::{PAGE_ENTRIES_MAX, PART_NUMBER_MAX};
use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use super::{encryption, http_date, page, versions};
use crate::metrics::Stage;
use crate::record::Laps;

/// See the module.
pub(super) async fn get(
    operations: &Operations,
    mut request: S3Request<GetObjectAttributesInput>,
) -> Outcome<S3Response<GetObjectAttributesOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let asked = Asked::of(&input.object_attributes)?;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket)?;
    let version = versions::named(input.version_id.as_deref())?;
    let opened = operations.lane().open(bucket.id, input.key.as_bytes(), version);
    let opened = versions::there(laps.ends(Stage::Index, opened)?, version, &request.extensions)?;
    let asks = encryption::asks!(input);
    let (extensions, headers) = (&request.extensions, &request.headers);
    encryption::open(operations, extensions, headers, asks, opened.object())?;
    let object = encryption::seen(opened.object());
    laps.object(object.size);
    let whole = checksum_of(&object, &Attributes::decode_checksums(&object.attributes)?);
    let class = Attributes::decode_class(&object.attributes)?;
    let parts = if asked.parts && object.part_count > 0 {
        Some(parts(&opened, whole, input.max_parts, input.part_number_marker)?)
    } else {
        None
    };
    let output = GetObjectAttributesOutput {
        checksum: whole.filter(|_| asked.checksum).map(written),
        e_tag: asked.tag.then(|| ETag::Strong(object.entity_tag.to_string())),
        last_modified: Some(http_date::timestamp(object.modified_ms)),
        object_parts: parts,
        object_size: asked.size.then(|| i64::try_from(object.size).unwrap_or(i64::MAX)),
        storage_class: asked.class.then(|| dto::StorageClass::from_static(class.name())),
        version_id: versions::said(&bucket, object.version),
        ..Default::default()
    };
    let mut answer = S3Response::new(output);
    answer.extensions.insert(BareTag);
    Ok(answer)
}

/// The elements that a request wants.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    tag: bool,
    checksum: bool,
    parts: bool,
    class: bool,
    size: bool,
}

impl Asked {
    /// Of `x-amz-object-attributes`: any number of lines, each any number of names.
    ///
    /// # Errors
    /// InvalidArgument for an unknown name, or none.
    fn of(lines: &[ObjectAttributes]) -> Outcome<Self> {
        let mut asked = Self::default();
        for name in lines.iter().flat_map(|line| line.as_str().split(',')).map(str::trim) {
            let element = match name {
                ObjectAttributes::ETAG => &mut asked.tag,
                ObjectAttributes::CHECKSUM => &mut asked.checksum,
                ObjectAttributes::OBJECT_PARTS => &mut asked.parts,
                ObjectAttributes::STORAGE_CLASS => &mut asked.class,
                ObjectAttributes::OBJECT_SIZE => &mut asked.size,
                _ => {
                    let why = "Invalid attribute name specified in x-amz-object-attributes; there are ETag, Checksum, \
                               ObjectParts, StorageClass and ObjectSize";
                    return Err(Refusal::InvalidArgument(why.to_owned()));
                }
            };
            *element = true;
        }
        Ok(asked)
    }
}

fn written(checksum: Checksum) -> dto::Checksum {
    let mut written =
        dto::Checksum { checksum_type: Some(checksum.dto_kind()), ..Default::default() };
    checksum_fields!(written, checksum);
    written
}

/// One page of the parts, after a number.
fn parts(
    opened: &OpenObject,
    whole: Option<Checksum>,
    limit: Option<i32>,
    marker: Option<i32>,
) -> Outcome<GetObjectAttributesParts> {
    let limit = page::entries(limit, PAGE_ENTRIES_MAX, "max-parts")?;
    let marker = marker.unwrap_or(0);
    let after = page::entries(Some(marker), usize::from(PART_NUMBER_MAX), "part-number-marker")?;
    let after = PartNumber(u16::try_from(after).unwrap_or(PART_NUMBER_MAX));
    // One more than the page tells whether there is another.
    let mut found = opened.parts(after, limit + 1)?;
    let truncated = found.len() > limit;
    found.truncate(limit);
    let encrypted = !opened.object().encryption.is_empty();
    let write = |part| entry(part, whole, encrypted);
    let next = found.last().map_or(marker, |part| i32::from(part.number.0));
    Ok(GetObjectAttributesParts {
        is_truncated: Some(truncated),
        max_parts: Some(page::count(limit)),
        next_part_number_marker: Some(next),
        part_number_marker: Some(marker),
        parts: Some(found.iter().map(write).collect::<Outcome<_>>()?),
        total_parts_count: Some(i32::from(opened.object().part_count)),
    })
}

/// A part with its checksum of the object's algorithm, where it has one.
fn entry(part: &Part, whole: Option<Checksum>, encrypted: bool) -> Outcome<ObjectPart> {
    let size = encryption::part_size(encrypted, part.size)?;
    let mut entry = ObjectPart {
        part_number: Some(i32::from(part.number.0)),
        size: Some(i64::try_from(size).unwrap_or(i64::MAX)),
        ..Default::default()
    };
    let kept = Attributes::decode_checksums(&part.attributes)?;
    let own = part.crc64.filter(|_| !encrypted).and_then(Checksum::crc64);
    let alike =
        |checksum: &Checksum| whole.is_none_or(|whole| whole.algorithm == checksum.algorithm);
    if let Some(checksum) = kept.into_iter().chain(own).find(alike) {
        checksum_fields!(entry, checksum);
    }
    Ok(entry)
}

/// On an answer whose entity tag stands without quotes, as Amazon S3 writes it in this document alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct BareTag;

impl BareTag {
    /// The document with the tag's quotes taken away. None where there is no tag.
    pub(super) fn apply(xml: &[u8]) -> Option<Bytes> {
        let text = std::str::from_utf8(xml).ok()?;
        let (before, rest) = text.split_once("<ETag>")?;
        let (tag, after) = rest.split_once("</ETag>")?;
        let tag = tag.replace("&quot;", "\"");
        Some(format!("{before}<ETag>{}</ETag>{after}", tag.trim_matches('"')).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_lines_and_lists() {
        let of = |lines: &[&'static str]| {
            let lines: Vec<_> =
                lines.iter().map(|line| ObjectAttributes::from_static(line)).collect();
            Asked::of(&lines)
        };
        let two = Asked { tag: true, size: true, ..Asked::default() };
        assert_eq!(of(&["ETag, ObjectSize"]).unwrap(), two);
        assert_eq!(of(&["ETag", "ObjectSize"]).unwrap(), two);
        let all = of(&["Checksum,ObjectParts,StorageClass,ETag,ObjectSize"]).unwrap();
        let parts = Asked { tag: true, checksum: true, parts: true, class: true, size: true };
        assert_eq!(all, parts);
        for bad in ["etag", "", "ETag,,Checksum", "Owner"] {
            assert!(matches!(of(&[bad]), Err(Refusal::InvalidArgument(_))), "{bad}");
        }
    }

    #[test]
    fn the_tag_loses_its_quotes() {
        let bare = BareTag::apply(b"<A><ETag>\"t-2\"</ETag><B/></A>").unwrap();
        assert_eq!(bare, "<A><ETag>t-2</ETag><B/></A>");
        assert_eq!(
            BareTag::apply(b"<A><ETag>&quot;t&quot;</ETag></A>").unwrap(),
            "<A><ETag>t</ETag></A>"
        );
        assert_eq!(BareTag::apply(b"<A/>"), None);
    }
}
