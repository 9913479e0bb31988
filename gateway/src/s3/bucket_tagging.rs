//! PutBucketTagging, GetBucketTagging, DeleteBucketTagging. Limits: `BUCKET_TAGS_MAX`.

use std::collections::BTreeSet;

use s3s::dto::{
    DeleteBucketTaggingInput, DeleteBucketTaggingOutput, GetBucketTaggingInput,
    GetBucketTaggingOutput, PutBucketTaggingInput, PutBucketTaggingOutput, Tag, Tagging,
};
use s3s::{S3Request, S3Response};

use super::kept;
use super::limits::{BUCKET_TAGS_MAX, TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX};
use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use super::settings::kind;

/// PutBucketTagging, which replaces what is there; an empty set is none.
pub(super) async fn put(
    operations: &Operations,
    request: S3Request<PutBucketTaggingInput>,
) -> Outcome<S3Response<PutBucketTaggingOutput>> {
    let input = request.input;
    check(&input.tagging.tag_set)?;
    let document = match input.tagging.tag_set.is_empty() {
        true => None,
        false => Some(kept::encode(&input.tagging)?),
    };
    operations.keep_setting(&input.bucket, kind::TAGGING, document).await?;
    Ok(S3Response::new(PutBucketTaggingOutput::default()))
}

/// GetBucketTagging.
pub(super) async fn get(
    operations: &Operations,
    request: S3Request<GetBucketTaggingInput>,
) -> Outcome<S3Response<GetBucketTaggingOutput>> {
    let bucket = operations.bucket(&request.input.bucket)?;
    let kept = operations.lane().setting(bucket.id, kind::TAGGING)?;
    let kept = kept.ok_or(Refusal::NoSuchSetting {
        code: "NoSuchTagSet",
        message: "The TagSet does not exist",
    })?;
    let Tagging { tag_set } = kept::decode(&kept, "a bucket's tags")?;
    Ok(S3Response::new(GetBucketTaggingOutput { tag_set }))
}

/// DeleteBucketTagging: what is not there is gone.
pub(super) async fn delete(
    operations: &Operations,
    request: S3Request<DeleteBucketTaggingInput>,
) -> Outcome<S3Response<DeleteBucketTaggingOutput>> {
    operations.keep_setting(&request.input.bucket, kind::TAGGING, None).await?;
    Ok(S3Response::new(DeleteBucketTaggingOutput::default()))
}

/// What Amazon S3 finds fault with. Keys that begin with `aws:` are the system's.
fn check(tags: &[Tag]) -> Outcome<()> {
    let invalid = |why| Err(Refusal::InvalidTag(why));
    if tags.len() > BUCKET_TAGS_MAX {
        return Err(Refusal::BadRequest("Bucket tag count cannot be greater than 50"));
    }
    let mut keys = BTreeSet::new();
    for tag in tags {
        let (Some(key), Some(value)) = (&tag.key, &tag.value) else {
            return Err(Refusal::MalformedXml("a Tag has a Key and a Value"));
        };
        if key.is_empty() || key.chars().count() > TAG_KEY_CHARS_MAX {
            return invalid("The TagKey you have provided is invalid");
        }
        if value.chars().count() > TAG_VALUE_CHARS_MAX {
            return invalid("The TagValue you have provided is invalid");
        }
        if key.starts_with("aws:") {
            return invalid("System tags cannot be added/updated by requester");
        }
        if !key.chars().all(is_allowed) {
            return invalid("The TagKey you have provided is invalid");
        }
        if !value.chars().all(is_allowed) {
            return invalid("The TagValue you have provided is invalid");
        }
        if !keys.insert(key) {
            return invalid("Cannot provide multiple Tags with the same key");
        }
    }
    Ok(())
}

/// Letters, digits and spaces of any script, and `_ . : / = + - @`.
fn is_allowed(character: char) -> bool {
    character.is_alphanumeric() || character == ' ' || "_.:/=+-@".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag { key: Some(key.into()), value: Some(value.into()) }
    }

    #[test]
    fn mistakes_have_s3s_answers() {
        assert!(check(&[tag("Hello there", ""), tag("ü_.:/=+-@", "1")]).is_ok());
        assert!(check(&[tag(&"k".repeat(128), &"v".repeat(256))]).is_ok());
        for tags in [
            vec![tag("", "v")],
            vec![tag(&"k".repeat(129), "v")],
            vec![tag("k", &"v".repeat(257))],
            vec![tag("aws:k", "v")],
            vec![tag("k", "v"), tag("k", "w")],
            vec![tag("k*", "v")],
            vec![tag("k", "<")],
        ] {
            assert!(matches!(check(&tags), Err(Refusal::InvalidTag(_))), "{tags:?}");
        }
        let many: Vec<_> = (0..51).map(|number| tag(&number.to_string(), "")).collect();
        assert!(check(&many[..50]).is_ok());
        assert!(matches!(check(&many), Err(Refusal::BadRequest(_))));
        let half = Tag { key: Some("k".into()), value: None };
        assert!(matches!(check(&[half]), Err(Refusal::MalformedXml(_))));
    }
}
