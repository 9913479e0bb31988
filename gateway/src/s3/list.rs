//! ListObjects and ListObjectsV2: one page of a bucket's keys in the order of their bytes.
//!
//! The cost is that of the page: the store skips what a common prefix stands for.

use bytes::Bytes;
use datapath::BucketId;
use datapath::{ListEntry, ListObjects, ListPage};
use s3s::dto::{
    CommonPrefix, ETag, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output, Object, ObjectStorageClass,
};
use s3s::{S3Request, S3Response};

use super::attributes::Attributes;
use super::describe::checksum_of;
use super::http_date;
use super::limits::PAGE_ENTRIES_MAX;
use super::listings::PageMemory;
use super::operations::Operations;
use super::page::{self, Encoding};
use super::refusal::Outcome;
use super::settings::Settings;
use crate::crypt;
use crate::metrics::Stage;
use crate::record::Laps;

/// The first form: `marker`; a page names its successor's marker only where keys are rolled up.
pub(super) async fn list_objects(
    operations: &Operations,
    mut request: S3Request<ListObjectsInput>,
) -> Outcome<S3Response<ListObjectsOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let encoding = Encoding::parse(input.encoding_type.as_ref())?;
    let limit = page::entries(input.max_keys, PAGE_ENTRIES_MAX, "max-keys")?;
    let marker = input.marker.unwrap_or_default();
    let asked = Asked {
        bucket: bucket.id,
        prefix: input.prefix.unwrap_or_default().into(),
        delimiter: page::filled(input.delimiter),
        after: page::filled(Some(marker.clone())),
        limit,
    };
    let (found, memory) = fetch(operations, &asked, &mut laps).await?;
    let settings = operations.bucket_settings(&bucket)?;
    let written = write(&found, encoding, Some(&settings))?;
    let next = last(&found).filter(|_| found.truncated && asked.delimiter.is_some());
    Ok(memory.answer(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(encoding.text(&asked.prefix)),
        marker: Some(encoding.text(marker.as_bytes())),
        max_keys: Some(page::count(limit)),
        is_truncated: Some(found.truncated),
        contents: Some(written.objects),
        common_prefixes: Some(written.prefixes),
        delimiter: asked.delimiter.as_ref().map(|delimiter| encoding.text(delimiter)),
        next_marker: next.map(|name| encoding.text(name)),
        encoding_type: input.encoding_type,
        ..Default::default()
    }))
}

/// The second form: `start-after` for the first page, tokens for the others.
pub(super) async fn list_objects_v2(
    operations: &Operations,
    mut request: S3Request<ListObjectsV2Input>,
) -> Outcome<S3Response<ListObjectsV2Output>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let encoding = Encoding::parse(input.encoding_type.as_ref())?;
    let limit = page::entries(input.max_keys, PAGE_ENTRIES_MAX, "max-keys")?;
    let after = match &input.continuation_token {
        Some(token) => Some(page::token_name(token)?),
        None => page::filled(input.start_after.clone()),
    };
    let asked = Asked {
        bucket: bucket.id,
        prefix: input.prefix.unwrap_or_default().into(),
        delimiter: page::filled(input.delimiter),
        after,
        limit,
    };
    let (found, memory) = fetch(operations, &asked, &mut laps).await?;
    let settings = operations.bucket_settings(&bucket)?;
    let owners = input.fetch_owner.unwrap_or(false).then_some(&*settings);
    let written = write(&found, encoding, owners)?;
    Ok(memory.answer(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encoding.text(&asked.prefix)),
        max_keys: Some(page::count(limit)),
        key_count: Some(page::count(found.entries.len())),
        continuation_token: input.continuation_token,
        is_truncated: Some(found.truncated),
        next_continuation_token: last(&found)
            .filter(|_| found.truncated)
            .map(|name| page::token(name)),
        contents: Some(written.objects),
        common_prefixes: Some(written.prefixes),
        delimiter: asked.delimiter.as_ref().map(|delimiter| encoding.text(delimiter)),
        encoding_type: input.encoding_type,
        start_after: input.start_after.map(|text| encoding.text(text.as_bytes())),
        ..Default::default()
    }))
}

struct Asked {
    bucket: BucketId,
    prefix: Bytes,
    delimiter: Option<Bytes>,
    after: Option<Bytes>,
    limit: usize,
}

async fn fetch(
    operations: &Operations,
    asked: &Asked,
    laps: &mut Laps,
) -> Outcome<(ListPage, PageMemory)> {
    let listings = operations.settings().listings();
    let mut memory = laps.ends(Stage::Queue, listings.begin(asked.limit).await)?;
    if page::is_hopeless(&asked.prefix, asked.limit) {
        return Ok((ListPage { entries: Vec::new(), truncated: false }, memory));
    }
    let list = ListObjects {
        bucket: asked.bucket,
        prefix: asked.prefix.clone(),
        delimiter: asked.delimiter.clone(),
        after: page::start(asked.after.clone()),
        limit: asked.limit,
    };
    let found = listings.read(operations.lane().list(list)).await;
    let found = laps.ends(Stage::Index, found)?;
    memory.fit(found.entries.iter().map(|entry| name(entry).len())).await?;
    Ok((found, memory))
}

fn last(page: &ListPage) -> Option<&Bytes> {
    page.entries.last().map(name)
}

fn name(entry: &ListEntry) -> &Bytes {
    match entry {
        ListEntry::Object { key, .. } => key,
        ListEntry::Prefix(prefix) => prefix,
    }
}

struct Written {
    objects: Vec<Object>,
    prefixes: Vec<CommonPrefix>,
}

/// `owners`: the bucket's settings, where the objects' owners are asked for.
fn write(page: &ListPage, encoding: Encoding, owners: Option<&Settings>) -> Outcome<Written> {
    let mut written = Written { objects: Vec::new(), prefixes: Vec::new() };
    for entry in &page.entries {
        match entry {
            ListEntry::Prefix(prefix) => {
                written.prefixes.push(CommonPrefix { prefix: Some(encoding.text(prefix)) });
            }
            ListEntry::Object { key, object } => {
                let checksum =
                    checksum_of(object, &Attributes::decode_checksums(&object.attributes)?);
                let class = Attributes::decode_class(&object.attributes)?;
                let owner = owners.map(|settings| settings.owner_of(&object.acl)).transpose()?;
                let owner = owner.map(|owner| owner.dto());
                written.objects.push(Object {
                    checksum_algorithm: checksum.map(|checksum| vec![checksum.dto_algorithm()]),
                    checksum_type: checksum.map(|checksum| checksum.dto_kind()),
                    e_tag: Some(ETag::Strong(object.entity_tag.to_string())),
                    key: Some(encoding.text(key)),
                    last_modified: Some(http_date::timestamp(object.modified_ms)),
                    owner,
                    restore_status: None,
                    size: Some(i64::try_from(crypt::size(object)).unwrap_or(i64::MAX)),
                    storage_class: Some(ObjectStorageClass::from_static(class.name())),
                });
            }
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datapath::{Lock, RowId, VersionId};

    #[test]
    fn a_page_is_written_with_prefixes_apart() {
        let object = datapath::Object {
            row: RowId(1),
            version: VersionId::NULL,
            size: 3,
            modified_ms: 0,
            entity_tag: "t".into(),
            attributes: Bytes::new(),
            tags: Bytes::new(),
            acl: Bytes::new(),
            lock: Lock::default(),
            encryption: Bytes::new(),
            part_count: 0,
            crc64: Some(1),
        };
        let page = ListPage {
            entries: vec![
                ListEntry::Object { key: Bytes::from_static(b"a b"), object },
                ListEntry::Prefix(Bytes::from_static(b"c/")),
            ],
            truncated: true,
        };
        let written = write(&page, Encoding::Url, None).unwrap();
        assert_eq!(written.objects[0].key.as_deref(), Some("a%20b"));
        assert_eq!(
            written.objects[0].checksum_algorithm.as_ref().unwrap()[0].as_str(),
            "CRC64NVME"
        );
        assert_eq!(written.prefixes[0].prefix.as_deref(), Some("c/"));
        assert_eq!(last(&page).unwrap(), "c/");
    }
}
