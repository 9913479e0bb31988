//! Owns the list of all the ways in which an S3 operation ends without doing what was asked.
//!
//! Not here: what the client is told for each (`crate::rescue`).

use datapath::StoreError;
use http::HeaderMap;

use super::form::FormRefusal;
use crate::body::BodyError;
use crate::crypt::Refused;

/// Why an operation did not do what was asked. The variants that carry text carry it for the client: which value was
/// refused and what would do.
#[derive(Debug)]
pub enum Refusal {
    /// The store's answer.
    Store(StoreError),
    /// The request's body did not arrive as promised.
    Body(BodyError),
    /// The request's body ended in an error of the connection.
    BodyBroken(String),
    /// The body ended before its declared length.
    IncompleteBody,
    /// There is no object at the key.
    NoSuchKey,
    /// There is no bucket of the name.
    NoSuchBucket,
    /// A setting that the bucket does not have; each has a code of its own.
    NoSuchSetting {
        /// S3's code, whose status is 404.
        code: &'static str,
        /// S3's sentence.
        message: &'static str,
    },
    /// There is no such upload at this key.
    NoSuchUpload,
    /// There is no version of that id.
    NoSuchVersion,
    /// What is there is a delete marker; carries the headers that tell of it.
    Marker {
        /// Whether the request names it by its version: it has no content. Otherwise there is no object.
        named: bool,
        /// Which one.
        headers: Box<HeaderMap>,
    },
    /// A versioning configuration without a status.
    IllegalVersioning,
    /// What was asked does not go with how the bucket is set up; says what.
    InvalidBucketState(&'static str),
    /// A default retention of no or too much time.
    InvalidRetentionPeriod(&'static str),
    /// The caller may not.
    AccessDenied(&'static str),
    /// Something that the request asks for does not exist here (yet); never ignored, since the client relies on it.
    NotImplemented(String),
    /// A target that can be read in two ways; says which part of it and how to write it.
    InvalidUri(&'static str),
    /// A parameter or header with a value that cannot be.
    InvalidArgument(String),
    /// Something that has no code of its own.
    BadRequest(&'static str),
    /// Parameters or headers that cannot be together, or are missing.
    InvalidRequest(String),
    /// A condition on the object is not met; names the header.
    PreconditionFailed(&'static str),
    /// The reader's copy is current; carries the headers that go with it (RFC 9110, 15.4.5).
    NotModified(Box<HeaderMap>),
    /// No byte of the object lies in the range.
    InvalidRange {
        /// The object's.
        size: u64,
    },
    /// The object has no part of that number.
    InvalidPartNumber,
    /// A body whose length is needed and unknown.
    MissingContentLength,
    /// More bytes than one request may carry.
    EntityTooLarge {
        /// What was announced.
        size: u64,
        /// What may be.
        max: u64,
    },
    /// A part other than the last that is too small.
    EntityTooSmall {
        /// Its number.
        number: u16,
        /// Its bytes.
        size: u64,
    },
    /// User metadata, or all headers that are kept with an object, take too many bytes.
    MetadataTooLarge {
        /// What was sent.
        size: usize,
        /// What may be.
        max: usize,
    },
    /// Bytes are to be appended where the object does not end.
    InvalidWriteOffset {
        /// Where they were to go.
        offset: u64,
        /// The object's bytes; none where there is no object, or it has just become another.
        size: Option<u64>,
    },
    /// A browser's form is not as it should be.
    Form(FormRefusal),
    /// A tag that cannot be; says why.
    InvalidTag(&'static str),
    /// `x-amz-website-redirect-location` is no place that a browser could be sent to.
    InvalidRedirectLocation,
    /// A storage class that is not here.
    InvalidStorageClass(String),
    /// A location constraint that is no region's name.
    InvalidLocationConstraint,
    /// The content's digest is another than the one that was promised; names the digest.
    BadDigest(&'static str),
    /// The document is not what the operation expects.
    MalformedXml(&'static str),
    /// The document is larger than any that the operation expects.
    DocumentTooLarge,
    /// The document did not arrive in time.
    DocumentTooSlow,
    /// A part that is named does not exist or has another tag or checksum.
    InvalidPart(u16),
    /// The parts are not in ascending order.
    InvalidPartOrder,
    /// A key of more than 1,024 bytes.
    KeyTooLong,
    /// Too much is going on; names the resource.
    Busy(&'static str),
    /// What the index holds for an object cannot be read; names what.
    Damaged(&'static str),
    /// The bytes could not move by RDMA.
    Rdma(RdmaRefusal),
    /// What the request asks of encryption, or lacks.
    Encryption(Box<Refused>),
    /// Encrypted content is not what was written; says where.
    Forged(String),
    /// What policies, ACLs, ownership and public access blocks do not let be set, or have not.
    Access(AccessRefusal),
}

/// Why a setting of access cannot be set or shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessRefusal {
    /// The bucket's owner owns everything in it: there are no ACLs.
    AclsAreOff,
    /// A bucket without ACLs cannot have one, nor one with a shared ACL become such a bucket.
    AclWithOwnership,
    /// A document of an ACL that is none; names the element.
    MalformedAcl(&'static str),
    /// A grantee's e-mail address that is nobody's.
    UnresolvableEmail,
    /// No ACL is said in any form.
    NoAcl,
    /// An ACL in headers and in a document at once.
    AclTwice,
    /// A policy that is none, or of another bucket; says what and where.
    MalformedPolicy(String),
    /// There is no bucket policy.
    NoPolicy,
    /// There is no Public Access Block.
    NoPublicAccessBlock,
    /// There are no ownership controls.
    NoOwnershipControls,
    /// A bucket of that name is another account's.
    BucketIsAnothers,
    /// Only the bucket's account may do that, whatever it grants to others.
    OwnersAlone,
}

/// Why bytes could not move by RDMA, or a session or connection for it be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RdmaRefusal {
    /// The transfer failed or came short; says how.
    Failed(String),
    /// The transfer was not done in time.
    Deadline,
    /// The peer's queue pair never answered; its session may be READY again.
    PeerBusy,
    /// The object is encrypted: a processor has to touch its bytes.
    Encrypted,
    /// The bytes do not fit the client's window: they are to be answered in a body.
    Declined {
        /// Bytes of the answer.
        needed: u64,
        /// Bytes of the window.
        window: u64,
    },
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The result of everything under `s3`.
pub type Outcome<T> = Result<T, Refusal>;
