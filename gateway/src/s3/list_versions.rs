//! ListObjectVersions: one page of a bucket's versions and delete markers, by key and from the newest to the oldest.
//!
//! The cost is that of the page, as of the other listings (`list`).

use bytes::Bytes;
use datapath::{ListVersions, VersionEntry, VersionId, VersionPage};
use s3s::dto::{
    CommonPrefix, DeleteMarkerEntry, ETag, ListObjectVersionsInput, ListObjectVersionsOutput,
    ObjectVersion, ObjectVersionStorageClass,
};
use s3s::{S3Request, S3Response};

use super::attributes::Attributes;
use super::describe::checksum_of;
use super::limits::PAGE_ENTRIES_MAX;
use super::listings::PageMemory;
use super::operations::Operations;
use super::page::{self, Encoding};
use super::refusal::{Outcome, Refusal};
use super::settings::Settings;
use super::{background, http_date, versions};
use crate::metrics::Stage;
use crate::record::Laps;

/// See the module.
pub(super) async fn list(
    operations: &Operations,
    mut request: S3Request<ListObjectVersionsInput>,
) -> Outcome<S3Response<ListObjectVersionsOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let encoding = Encoding::parse(input.encoding_type.as_ref())?;
    let limit = page::entries(input.max_keys, PAGE_ENTRIES_MAX, "max-keys")?;
    let key_marker = input.key_marker.unwrap_or_default();
    let asked = ListVersions {
        bucket: bucket.id,
        prefix: input.prefix.unwrap_or_default().into(),
        delimiter: page::filled(input.delimiter),
        key_after: page::start(page::filled(Some(key_marker.clone()))),
        version_after: version_after(&key_marker, input.version_id_marker.as_deref())?,
        limit,
    };
    let (found, memory) = fetch(operations, &asked, &mut laps).await?;
    let settings = operations.bucket_settings(&bucket)?;
    let written = write(&found, encoding, &settings)?;
    let next = found.entries.last().filter(|_| found.truncated);
    Ok(memory.answer(ListObjectVersionsOutput {
        name: Some(input.bucket),
        prefix: Some(encoding.text(&asked.prefix)),
        key_marker: Some(encoding.text(key_marker.as_bytes())),
        version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
        max_keys: Some(page::count(limit)),
        is_truncated: Some(found.truncated),
        next_key_marker: next.map(|entry| encoding.text(name(entry))),
        next_version_id_marker: next.and_then(version).map(versions::text),
        versions: Some(written.versions),
        delete_markers: Some(written.markers),
        common_prefixes: Some(written.prefixes),
        delimiter: asked.delimiter.as_ref().map(|delimiter| encoding.text(delimiter)),
        encoding_type: input.encoding_type,
        request_charged: None,
    }))
}

/// The version that the last page ended with. An empty marker is none where there is no key either, as some clients
/// send them.
///
/// # Errors
/// InvalidArgument for one without a key, and for what is no id.
fn version_after(key: &str, id: Option<&str>) -> Outcome<Option<VersionId>> {
    let refused = |why: &str| Err(Refusal::InvalidArgument(why.to_owned()));
    match id {
        None => Ok(None),
        Some("") if key.is_empty() => Ok(None),
        Some("") => refused("A version-id marker cannot be empty."),
        Some(_) if key.is_empty() => {
            refused("A version-id marker cannot be specified without a key marker.")
        }
        Some(id) => versions::parse(id).map(Some),
    }
}

async fn fetch(
    operations: &Operations,
    asked: &ListVersions,
    laps: &mut Laps,
) -> Outcome<(VersionPage, PageMemory)> {
    let listings = operations.settings().listings();
    let mut memory = laps.ends(Stage::Queue, listings.begin(asked.limit).await)?;
    if page::is_hopeless(&asked.prefix, asked.limit) {
        return Ok((VersionPage::default(), memory));
    }
    let found = listings.read(operations.lane().list_versions(asked.clone())).await;
    let found = laps.ends(Stage::Index, found)?;
    memory.fit(found.entries.iter().map(|entry| name(entry).len())).await?;
    Ok((found, memory))
}

fn name(entry: &VersionEntry) -> &Bytes {
    match entry {
        VersionEntry::Version { key, .. } | VersionEntry::Marker { key, .. } => key,
        VersionEntry::Prefix(prefix) => prefix,
    }
}

fn version(entry: &VersionEntry) -> Option<VersionId> {
    match entry {
        VersionEntry::Version { object, .. } => Some(object.version),
        VersionEntry::Marker { marker, .. } => Some(marker.version),
        VersionEntry::Prefix(_) => None,
    }
}

struct Written {
    versions: Vec<ObjectVersion>,
    markers: Vec<DeleteMarkerEntry>,
    prefixes: Vec<CommonPrefix>,
}

fn write(page: &VersionPage, encoding: Encoding, settings: &Settings) -> Outcome<Written> {
    let mut written = Written { versions: Vec::new(), markers: Vec::new(), prefixes: Vec::new() };
    for entry in &page.entries {
        match entry {
            VersionEntry::Prefix(prefix) => {
                written.prefixes.push(CommonPrefix { prefix: Some(encoding.text(prefix)) });
            }
            VersionEntry::Marker { key, marker, latest } => {
                written.markers.push(DeleteMarkerEntry {
                    is_latest: Some(*latest),
                    key: Some(encoding.text(key)),
                    last_modified: Some(http_date::timestamp(marker.modified_ms)),
                    owner: Some(settings.owner_of(&marker.acl)?.dto()),
                    version_id: Some(versions::text(marker.version)),
                });
            }
            VersionEntry::Version { key, object, latest } => {
                let checksum =
                    checksum_of(object, &Attributes::decode_checksums(&object.attributes)?);
                let class = Attributes::decode_class(&object.attributes)?;
                written.versions.push(ObjectVersion {
                    checksum_algorithm: checksum.map(|checksum| vec![checksum.dto_algorithm()]),
                    checksum_type: checksum.map(|checksum| checksum.dto_kind()),
                    e_tag: Some(ETag::Strong(object.entity_tag.to_string())),
                    is_latest: Some(*latest),
                    key: Some(encoding.text(key)),
                    last_modified: Some(http_date::timestamp(object.modified_ms)),
                    owner: Some(settings.owner_of(&object.acl)?.dto()),
                    restore_status: None,
                    size: Some(i64::try_from(background::size(object)).unwrap_or(i64::MAX)),
                    storage_class: Some(ObjectVersionStorageClass::from_static(class.name())),
                    version_id: Some(versions::text(object.version)),
                });
            }
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_marker_goes_with_a_key_marker() {
        assert_eq!(version_after("", None).unwrap(), None);
        assert_eq!(version_after("", Some("")).unwrap(), None);
        assert_eq!(version_after("k", None).unwrap(), None);
        assert_eq!(version_after("k", Some("null")).unwrap(), Some(VersionId::NULL));
        let id = versions::text(VersionId(9));
        assert_eq!(version_after("k", Some(&id)).unwrap(), Some(VersionId(9)));
        for (key, id) in [("", &*id), ("k", ""), ("k", "x")] {
            assert!(matches!(version_after(key, Some(id)), Err(Refusal::InvalidArgument(_))));
        }
    }
}
