//! Owns what is kept beside the bytes of an object that a request makes: the one place where PutObject, CopyObject,
//! CreateMultipartUpload and a browser's form become attributes, tags and access control list.
//!
//! An upload holds it all until it is completed: the attributes' compact form, and behind it these fields:
//! ```text
//! 0x81 tags (`tags`)
//! 0x82 access control list
//! 0x83 lock: u8 bit 0 = legal hold, bits 1 and 2 = retention (0 none, 1 governance, 2 compliance); u64 until when
//!      in milliseconds since 1970, little-endian
//! 0x84 encryption
//! ```
//!
//! Not here: the form of each (`attributes`, `tags`).

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use datapath::{Bucket, BucketId, Condition, Lock, NewObject, Retention, RetentionMode};
use http::{Extensions, HeaderMap, HeaderName};

use super::attributes::{Attributes, HELD_FIELDS, Malformed, put_held};
use super::limits::ATTRIBUTES_BYTES_MAX;
use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use super::tags::Tags;
use super::{acl_operations, lock};

const TAGS: u8 = HELD_FIELDS;
const ACL: u8 = HELD_FIELDS + 1;
const LOCK: u8 = HELD_FIELDS + 2;
const ENCRYPTION: u8 = HELD_FIELDS + 3;

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
    /// Retention and legal hold.
    pub(super) lock: Lock,
    /// How the stored bytes come from the content.
    pub(super) encryption: Bytes,
}

impl Beside {
    /// What a request wants kept. `aside` holds the headers that s3s does not see.
    ///
    /// # Errors
    /// Those of [`Attributes::from_request`] and [`Tags::of_header`]; what the bucket's settings do not allow.
    pub(super) fn of_request(
        operations: &Operations,
        extensions: &Extensions,
        headers: &HeaderMap,
        aside: &HeaderMap,
        bucket: &Bucket,
    ) -> Outcome<Self> {
        Ok(Self {
            attributes: Attributes::from_request(headers, aside)?,
            tags: tags_of(headers)?,
            acl: acl_operations::of_new_object(operations, extensions, headers, bucket)?,
            lock: lock::of_request(operations, headers, bucket)?,
            ..Self::default()
        })
    }

    /// The form in which an upload holds it.
    ///
    /// # Errors
    /// MetadataTooLarge where it would be longer than [`ATTRIBUTES_BYTES_MAX`].
    pub(super) fn hold(&self) -> Outcome<Bytes> {
        let mut to = BytesMut::from(&self.attributes.encode()?[..]);
        let lock = encode_lock(self.lock);
        let fields =
            [(TAGS, &self.tags), (ACL, &self.acl), (LOCK, &lock), (ENCRYPTION, &self.encryption)];
        for (field, value) in fields {
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
        let mut held = Self::default();
        held.attributes = Attributes::decode_with(encoded, |field, value| {
            match field {
                TAGS => held.tags = value,
                ACL => held.acl = value,
                LOCK => held.lock = decode_lock(value)?,
                ENCRYPTION => held.encryption = value,
                _ => return Err(Malformed),
            }
            Ok(())
        })?;
        Ok(held)
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
        Ok(NewObject {
            bucket,
            key,
            entity_tag,
            attributes: self.attributes.encode()?,
            condition,
            tags: self.tags,
            acl: self.acl,
            lock: self.lock,
            encryption: self.encryption,
        })
    }
}

/// Nothing at all for no lock.
fn encode_lock(lock: Lock) -> Bytes {
    if lock == Lock::default() {
        return Bytes::new();
    }
    let (mode, until_ms) = match lock.retention {
        None => (0, 0),
        Some(Retention { mode: RetentionMode::Governance, until_ms }) => (1, until_ms),
        Some(Retention { mode: RetentionMode::Compliance, until_ms }) => (2, until_ms),
    };
    let mut to = BytesMut::with_capacity(9);
    to.put_u8(mode << 1 | u8::from(lock.legal_hold));
    to.put_u64_le(until_ms);
    to.freeze()
}

fn decode_lock(mut from: Bytes) -> Result<Lock, Malformed> {
    let flags = from.try_get_u8().map_err(|_| Malformed)?;
    let until_ms = from.try_get_u64_le().map_err(|_| Malformed)?;
    let retention = match flags >> 1 {
        0 => None,
        1 => Some(Retention { mode: RetentionMode::Governance, until_ms }),
        2 => Some(Retention { mode: RetentionMode::Compliance, until_ms }),
        _ => return Err(Malformed),
    };
    Ok(Lock { retention, legal_hold: flags & 1 == 1 })
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
            lock: Lock {
                retention: Some(Retention { mode: RetentionMode::Compliance, until_ms: 7 }),
                legal_hold: true,
            },
            encryption: Bytes::from_static(b"sealed"),
        };
        let held = beside.hold().unwrap();
        assert_eq!(Beside::held(&held), Ok(beside.clone()));
        assert_eq!(Attributes::decode_class(&held).unwrap().name(), "STANDARD_IA");
        assert_eq!(Attributes::decode(&held), Err(Malformed), "an object has no such fields");
        let plain = Beside { attributes: beside.attributes, ..Beside::default() };
        assert_eq!(plain.hold().unwrap(), plain.attributes.encode().unwrap());
        for end in 1..held.len() {
            let _ = Beside::held(&held.slice(..end));
        }
    }
}
