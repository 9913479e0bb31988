//! Owns what is kept beside the bytes of an object that a request makes: the one place where PutObject, CopyObject,
//! CreateMultipartUpload and a browser's form become attributes, tags and access control list.
//!
//! An upload holds it all until it is completed: the attributes' compact form, and behind it these fields:
//! ```text
//! 0x81 tags (`tags`)
//! 0x82 access control list
//! ```
//!
//! Not here: the form of each (`attributes`, `tags`).

use bytes::{Bytes, BytesMut};
use datapath::{Bucket, BucketId, Condition, NewObject};
use http::{Extensions, HeaderMap, HeaderName};

use super::attributes::{Attributes, HELD_FIELDS, Malformed, put_held};
use super::limits::ATTRIBUTES_BYTES_MAX;
use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use super::tags::Tags;

const TAGS: u8 = HELD_FIELDS;
const ACL: u8 = HELD_FIELDS + 1;

/// The header that tags an object while it is made.
pub(super) const TAGGING: HeaderName = HeaderName::from_static("x-amz-tagging");

/// Everything kept beside an object's bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Beside {
    /// Content headers, user metadata, checksums, storage class.
    pub(super) attributes: Attributes,
    /// As [`Tags::encode`] writes them.
    pub(super) tags: Bytes,
    /// The owner and the grants.
    pub(super) acl: Bytes,
}

impl Beside {
    /// What a request wants kept. `aside` holds the headers that s3s does not see.
    ///
    /// # Errors
    /// Those of [`Attributes::from_request`] and [`Tags::of_header`]; what the bucket's settings do not allow.
    pub(super) fn of_request(
        _operations: &Operations,
        _extensions: &Extensions,
        headers: &HeaderMap,
        aside: &HeaderMap,
        _bucket: &Bucket,
    ) -> Outcome<Self> {
        Ok(Self {
            attributes: Attributes::from_request(headers, aside)?,
            tags: tags_of(headers)?,
            acl: Bytes::new(),
        })
    }

    /// The form in which an upload holds it.
    ///
    /// # Errors
    /// MetadataTooLarge where it would be longer than [`ATTRIBUTES_BYTES_MAX`].
    pub(super) fn hold(&self) -> Outcome<Bytes> {
        let mut to = BytesMut::from(&self.attributes.encode()?[..]);
        for (field, value) in [(TAGS, &self.tags), (ACL, &self.acl)] {
            if !value.is_empty() {
                put_held(&mut to, field, value)?;
            }
        }
        if to.len() > datapath::limits::ATTRIBUTES_BYTES_MAX {
            let (size, max) = (to.len(), ATTRIBUTES_BYTES_MAX);
            return Err(Refusal::MetadataTooLarge { size, max });
        }
        Ok(to.freeze())
    }

    /// Reads what [`Self::hold`] has written.
    ///
    /// # Errors
    /// For anything else.
    pub(super) fn held(encoded: &Bytes) -> Result<Self, Malformed> {
        let (mut tags, mut acl) = (Bytes::new(), Bytes::new());
        let attributes = Attributes::decode_with(encoded, |field, value| {
            match field {
                TAGS => tags = value,
                ACL => acl = value,
                _ => return Err(Malformed),
            }
            Ok(())
        })?;
        Ok(Self { attributes, tags, acl })
    }

    /// For the store.
    ///
    /// # Errors
    /// MetadataTooLarge.
    pub(super) fn into_new(
        self,
        bucket: BucketId,
        key: Bytes,
        entity_tag: Box<str>,
        condition: Condition,
    ) -> Outcome<NewObject> {
        Ok(NewObject { bucket, key, entity_tag, attributes: self.attributes.encode()?, condition })
    }
}

/// The tags that `x-amz-tagging` names, in the store's form.
///
/// # Errors
/// As [`Tags::of_header`].
pub(super) fn tags_of(headers: &HeaderMap) -> Outcome<Bytes> {
    headers.get(&TAGGING).map_or(Ok(Bytes::new()), |value| Ok(Tags::of_header(value)?.encode()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn an_upload_holds_what_its_object_will_have() {
        let mut headers = HeaderMap::new();
        headers.insert(TAGGING, HeaderValue::from_static("a=1&b="));
        headers.insert("x-amz-storage-class", HeaderValue::from_static("STANDARD_IA"));
        headers.insert("x-amz-website-redirect-location", HeaderValue::from_static("/there"));
        let beside = Beside {
            attributes: Attributes::from_request(&headers, &HeaderMap::new()).unwrap(),
            tags: tags_of(&headers).unwrap(),
            acl: Bytes::from_static(b"acl"),
        };
        let held = beside.hold().unwrap();
        assert_eq!(Beside::held(&held), Ok(beside.clone()));
        assert_eq!(Attributes::decode_class(&held).unwrap().name(), "STANDARD_IA");
        assert_eq!(Attributes::decode(&held), Err(Malformed), "an object has no such fields");
        let plain = Beside { tags: Bytes::new(), acl: Bytes::new(), ..beside };
        assert_eq!(plain.hold().unwrap(), plain.attributes.encode().unwrap());
        for end in 1..held.len() {
            let _ = Beside::held(&held.slice(..end));
        }
    }
}
