//! Owns what a caller asks for: which object, which bytes of it, under which conditions.

use super::outcome::ClientError;
use crate::limits::CLIENT_PART_NUMBER_MAX;
use crate::wire::{Target, TargetQuery};

/// A GetObject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Get {
    /// Its bucket; not percent-encoded.
    pub bucket: String,
    /// Its key; not percent-encoded.
    pub key: String,
    /// These bytes of it; the whole object where None. The hipobj-rc-v2 protocol asks for a size: there, None means
    /// as many bytes from the start as the memory has.
    pub range: Option<ByteRange>,
    /// This part of it, 1 to 10,000. Not together with `version_id`.
    pub part_number: Option<u16>,
    /// This version of it.
    pub version_id: Option<String>,
}

/// Some bytes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first, from 0.
    pub offset: u64,
    /// How many; not 0.
    pub bytes: u64,
}

impl Get {
    /// The whole object.
    pub fn object(bucket: impl Into<String>, key: impl Into<String>) -> Get {
        Get { bucket: bucket.into(), key: key.into(), ..Get::default() }
    }

    /// These bytes of it.
    #[must_use]
    pub fn range(mut self, offset: u64, bytes: u64) -> Get {
        self.range = Some(ByteRange { offset, bytes });
        self
    }

    /// This part of it.
    #[must_use]
    pub fn part(mut self, number: u16) -> Get {
        self.part_number = Some(number);
        self
    }

    /// The object as both protocols name it.
    ///
    /// # Errors
    /// When it cannot be asked for.
    pub(super) fn target(&self) -> Result<Target, ClientError> {
        let query = match (self.part_number, &self.version_id) {
            (None, None) => TargetQuery::None,
            (Some(number), None) => TargetQuery::Part(checked_part(number)?),
            (None, Some(version)) => TargetQuery::Version(version.clone()),
            (Some(_), Some(_)) => return Err(invalid("a part of a version: ask for one of them")),
        };
        if self.range.is_some_and(|range| range.bytes == 0) {
            return Err(invalid("a range of 0 bytes"));
        }
        if self.range.is_some_and(|range| range.offset.checked_add(range.bytes).is_none()) {
            return Err(invalid("a range that ends beyond 2^64"));
        }
        if self.range.is_some() && self.part_number.is_some() {
            return Err(invalid("a range of a part: ask for one of them"));
        }
        named(&self.bucket, &self.key, query)
    }
}

/// A PutObject or an UploadPart.
#[derive(Clone, Debug, Default)]
pub struct Put {
    /// Its bucket; not percent-encoded.
    pub bucket: String,
    /// Its key; not percent-encoded.
    pub key: String,
    /// How many bytes from the start of the memory. One of 0 bytes goes by plain HTTP: there is nothing to move.
    pub bytes: u64,
    /// As a part of this upload; as an object of its own where None.
    pub part: Option<PartOf>,
    /// Only if. Not with hipobj-rc-v2, which has no way to say it.
    pub condition: Option<Condition>,
    /// The bytes' CRC-64/NVME where the caller knows it; computed where it doesn't.
    pub checksum: Option<u64>,
    /// Further headers, names in lower case: `content-type`, `x-amz-meta-…`. Not with hipobj-rc-v2.
    pub headers: Vec<(&'static str, String)>,
}

/// Of which multipart upload something is a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartOf {
    /// The upload's id.
    pub upload_id: String,
    /// 1 to 10,000.
    pub number: u16,
}

/// A condition on what is there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing: `if-none-match: *`.
    Absent,
    /// This entity tag, quotes included: `if-match`.
    EntityTag(String),
}

impl Put {
    /// An object of so many bytes.
    pub fn object(bucket: impl Into<String>, key: impl Into<String>, bytes: u64) -> Put {
        Put { bucket: bucket.into(), key: key.into(), bytes, ..Put::default() }
    }

    /// The same as a part of an upload.
    #[must_use]
    pub fn part(mut self, upload_id: impl Into<String>, number: u16) -> Put {
        self.part = Some(PartOf { upload_id: upload_id.into(), number });
        self
    }

    /// The same under a condition.
    #[must_use]
    pub fn condition(mut self, condition: Condition) -> Put {
        self.condition = Some(condition);
        self
    }

    /// The object as both protocols name it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn target(&self, memory: u64) -> Result<Target, ClientError> {
        if self.bytes > memory {
            let bytes = self.bytes;
            return Err(invalid(&format!("{bytes} bytes of memory that has {memory}")));
        }
        let query = match &self.part {
            None => TargetQuery::None,
            Some(PartOf { upload_id, .. }) if upload_id.is_empty() => {
                return Err(invalid("an upload without an id"));
            }
            Some(PartOf { upload_id, number }) => TargetQuery::Upload {
                upload_id: upload_id.clone(),
                part_number: checked_part(*number)?,
            },
        };
        named(&self.bucket, &self.key, query)
    }
}

fn named(bucket: &str, key: &str, query: TargetQuery) -> Result<Target, ClientError> {
    if bucket.is_empty() || key.is_empty() {
        return Err(invalid("an empty bucket or key"));
    }
    Ok(Target { bucket: bucket.to_owned(), key: key.to_owned(), query })
}

fn checked_part(number: u16) -> Result<u16, ClientError> {
    if (1..=CLIENT_PART_NUMBER_MAX).contains(&number) {
        return Ok(number);
    }
    Err(invalid(&format!("part {number}: parts are 1 to {CLIENT_PART_NUMBER_MAX}")))
}

fn invalid(why: &str) -> ClientError {
    ClientError::Invalid(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_asked_for() {
        let get = || Get::object("b", "k");
        for bad in [
            Get::object("", "k"),
            Get::object("b", ""),
            get().part(0),
            get().part(10_001),
            get().part(1).range(0, 1),
            get().range(0, 0),
            get().range(u64::MAX, 1),
            Get { version_id: Some("v".to_owned()), ..get().part(1) },
        ] {
            assert!(matches!(bad.target(), Err(ClientError::Invalid(_))), "{bad:?}");
        }
        assert_eq!(get().part(7).target().map(|t| t.to_string()), Ok("/b/k?partNumber=7".into()));
        let put = Put::object("b", "a b", 5);
        assert_eq!(put.target(5).map(|t| t.to_string()), Ok("/b/a%20b".into()));
        assert!(put.target(4).is_err());
        assert!(put.clone().part("", 1).target(5).is_err());
        assert!(put.part("u", 0).target(5).is_err());
    }
}
