//! Owns what a caller asks for: which object, which bytes of it, under which conditions.

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
}
