//! Owns the one table of what a client is told when an operation does not do what was asked: every [`Refusal`] and
//! every [`StoreError`] has its S3 code, HTTP status, message and headers here, and the faults of devices and index
//! are logged here, once.
//!
//! Codes are those of the Amazon S3 API reference, "Error responses"; the one that S3 does not have is
//! `InsufficientStorage` (507, RFC 4918, 11.5): a store that is full.
//!
//! Not here: what is refused before an operation is found (`crate::auth`, `crate::body` have their own codes).

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use datapath::StoreError;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use s3s::{S3Error, S3ErrorCode};

use crate::body::BodyError;
use crate::crypt::Refused;
use crate::door::BodyFault;
use crate::s3::FormRefusal;
use crate::s3::limits::{LOGGED_AGAIN_AFTER, RETRY_AFTER_READ_ONLY_SECONDS, RETRY_AFTER_SECONDS};
use crate::s3::refusal::{AccessRefusal, RdmaRefusal, Refusal};

/// The code of a store that is full.
pub const INSUFFICIENT_STORAGE: &str = "InsufficientStorage";

impl From<Refusal> for S3Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Store(error) => of_store(error),
            Refusal::Body(error) => of_body(&error),
            Refusal::BodyBroken(reason) => {
                tracing::debug!(reason, "a request's body broke off");
                error(
                    S3ErrorCode::IncompleteBody,
                    "the connection broke off within the request's body",
                )
            }
            Refusal::NotModified(headers) => {
                with_headers(S3ErrorCode::NotModified.into(), *headers)
            }
            Refusal::Marker { named, headers } => {
                let mut all = xml_headers();
                all.extend(*headers);
                with_headers(of_marker(named), all)
            }
            Refusal::InvalidRange { size } => {
                let mut headers = xml_headers();
                if let Ok(value) = HeaderValue::try_from(format!("bytes */{size}")) {
                    headers.insert(CONTENT_RANGE, value);
                }
                let message = "The requested range is not satisfiable";
                with_headers(error(S3ErrorCode::InvalidRange, message), headers)
            }
            Refusal::Busy(what) => busy(what),
            Refusal::Encryption(refused) => of_encryption(&refused),
            Refusal::Forged(what) => {
                tracing::error!(what, "an encrypted object was changed outside of this program");
                internal()
            }
            Refusal::Damaged(what) => {
                tracing::error!(
                    what,
                    "the index holds what this program did not write; run `penstock check`"
                );
                internal()
            }
            other => of_request(other),
        }
    }
}

/// The refusals that are the caller's to mend: a code and a text.
fn of_request(refusal: Refusal) -> S3Error {
    use S3ErrorCode as Code;
    match refusal {
        Refusal::Store(error) => of_store(error),
        Refusal::Body(error) => of_body(&error),
        Refusal::BodyBroken(_) | Refusal::Damaged(_) | Refusal::NotModified(_) => internal(),
        Refusal::Busy(what) => busy(what),
        Refusal::Rdma(refusal) => of_rdma(refusal),
        Refusal::Encryption(refused) => of_encryption(&refused),
        Refusal::Forged(_) => internal(),
        Refusal::Access(refusal) => of_access(refusal),
        Refusal::InvalidRange { .. } => Code::InvalidRange.into(),
        Refusal::Marker { named, .. } => of_marker(named),
        Refusal::IllegalVersioning => error(
            Code::IllegalVersioningConfigurationException,
            "The Versioning element must be specified",
        ),
        Refusal::InvalidBucketState(why) => error(Code::InvalidBucketState, why),
        Refusal::InvalidRetentionPeriod(why) => {
            custom("InvalidRetentionPeriod", StatusCode::BAD_REQUEST, why)
        }
        Refusal::IncompleteBody => error(
            Code::IncompleteBody,
            "You did not provide the number of bytes specified by the Content-Length header.",
        ),
        Refusal::NoSuchKey => error(Code::NoSuchKey, "The specified key does not exist."),
        Refusal::NoSuchBucket => error(Code::NoSuchBucket, "The specified bucket does not exist."),
        Refusal::NoSuchSetting { code, message } => custom(code, StatusCode::NOT_FOUND, message),
        Refusal::NoSuchUpload => error(Code::NoSuchUpload, NO_SUCH_UPLOAD),
        Refusal::NoSuchVersion => {
            error(Code::NoSuchVersion, "The specified version does not exist.")
        }
        Refusal::AccessDenied(why) => error(Code::AccessDenied, why),
        Refusal::NotImplemented(what) => {
            error(Code::NotImplemented, format!("{what} is not implemented"))
        }
        Refusal::InvalidUri(why) => {
            error(Code::InvalidURI, format!("Couldn't parse the specified URI: {why}"))
        }
        Refusal::InvalidArgument(why) => error(Code::InvalidArgument, why),
        Refusal::BadRequest(why) => custom("BadRequest", StatusCode::BAD_REQUEST, why),
        Refusal::InvalidRequest(why) => error(Code::InvalidRequest, why),
        Refusal::PreconditionFailed(name) => {
            let message =
                format!("At least one of the pre-conditions you specified did not hold: {name}");
            error(Code::PreconditionFailed, message)
        }
        Refusal::InvalidPartNumber => {
            let message = "The requested partnumber is not satisfiable";
            custom("InvalidPartNumber", StatusCode::RANGE_NOT_SATISFIABLE, message)
        }
        Refusal::MissingContentLength => {
            error(Code::MissingContentLength, "You must provide the Content-Length HTTP header.")
        }
        Refusal::EntityTooLarge { size, max } => {
            let message = format!(
                "Your proposed upload exceeds the maximum allowed size: {size} bytes of at most {max}; upload in parts"
            );
            error(Code::EntityTooLarge, message)
        }
        Refusal::EntityTooSmall { number, size } => {
            let message = format!(
                "Your proposed upload is smaller than the minimum allowed size: part {number} has {size} bytes"
            );
            error(Code::EntityTooSmall, message)
        }
        Refusal::MetadataTooLarge { size, max } => {
            let message = format!(
                "Your metadata headers exceed the maximum allowed size: {size} bytes of {max}"
            );
            error(Code::MetadataTooLarge, message)
        }
        Refusal::InvalidStorageClass(class) => {
            let message =
                format!("The storage class you specified is not valid: {class}; see docs/S3.md");
            error(Code::InvalidStorageClass, message)
        }
        Refusal::InvalidWriteOffset { offset, size } => {
            let is = size.map_or("there is no object of that size".to_owned(), |size| {
                format!("the object has {size} bytes")
            });
            let message = format!(
                "The write offset value that you specified does not match the current object size: {offset}, and {is}"
            );
            custom("InvalidWriteOffset", StatusCode::BAD_REQUEST, message)
        }
        Refusal::Form(refusal) => of_form(refusal),
        Refusal::InvalidTag(why) => error(Code::InvalidTag, why),
        Refusal::InvalidRedirectLocation => {
            let message = "The website redirect location must have a prefix of 'http://' or 'https://' or '/' and at \
                           most 2048 bytes.";
            custom("InvalidRedirectLocation", StatusCode::BAD_REQUEST, message)
        }
        Refusal::InvalidLocationConstraint => {
            error(Code::InvalidLocationConstraint, "The specified location constraint is not valid")
        }
        Refusal::BadDigest(name) => error(
            Code::BadDigest,
            format!("The {name} you specified did not match what we received."),
        ),
        Refusal::MalformedXml(why) => {
            let message = format!(
                "The XML you provided was not well-formed or did not validate against our published schema: {why}"
            );
            error(Code::MalformedXML, message)
        }
        Refusal::DocumentTooLarge => {
            error(Code::MaxMessageLengthExceeded, "Your request was too big.")
        }
        Refusal::DocumentTooSlow => error(
            Code::RequestTimeout,
            "Your socket connection to the server was not read from or written to within the timeout period: a \
             document has 30 seconds to arrive.",
        ),
        Refusal::InvalidPart(number) => {
            let message = format!(
                "One or more of the specified parts could not be found. The part may not have been uploaded, or the \
                 specified entity tag or checksum may not match the part's: {number}"
            );
            error(Code::InvalidPart, message)
        }
        Refusal::InvalidPartOrder => {
            error(Code::InvalidPartOrder, "The list of parts was not in ascending order.")
        }
        Refusal::KeyTooLong => {
            error(Code::KeyTooLongError, "Your key is too long; 1024 bytes of UTF-8 are the most.")
        }
    }
}

fn of_marker(named: bool) -> S3Error {
    if !named {
        return of_request(Refusal::NoSuchKey);
    }
    let message = "The specified method is not allowed against this resource.";
    error(S3ErrorCode::MethodNotAllowed, message)
}

const NO_SUCH_UPLOAD: &str = "The specified upload does not exist. The upload ID may be invalid, or the upload may \
                              have been aborted or completed.";

/// What the client is told of a store's answer. Details of devices and files stay in the log.
pub fn of_store(failure: StoreError) -> S3Error {
    use S3ErrorCode as Code;
    match failure {
        StoreError::NoSuchBucket => of_request(Refusal::NoSuchBucket),
        StoreError::NoSuchKey => of_request(Refusal::NoSuchKey),
        StoreError::NoSuchVersion => {
            error(Code::NoSuchVersion, "The specified version does not exist.")
        }
        StoreError::Locked(_) => {
            error(Code::AccessDenied, "Access Denied because object protected by object lock.")
        }
        StoreError::VersioningFixed => error(
            Code::InvalidBucketState,
            "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.",
        ),
        StoreError::Versioned => error(
            Code::InvalidBucketState,
            "The request is not valid with the current state of the bucket: it is versioned.",
        ),
        StoreError::TooManyPieces => custom(
            "TooManyParts",
            StatusCode::BAD_REQUEST,
            "You have attempted to append more data than the maximum number of parts allows.",
        ),
        StoreError::NoSuchUpload => of_request(Refusal::NoSuchUpload),
        StoreError::BucketExists => error(
            Code::BucketAlreadyOwnedByYou,
            "Your previous request to create the named bucket succeeded and you already own it.",
        ),
        StoreError::BucketNotEmpty => error(
            Code::BucketNotEmpty,
            "The bucket you tried to delete is not empty: it has objects or uploads.",
        ),
        StoreError::TooManyBuckets => error(
            Code::TooManyBuckets,
            "You have attempted to create more buckets than allowed; delete some.",
        ),
        StoreError::ConditionFailed => error(
            Code::PreconditionFailed,
            "At least one of the pre-conditions you specified did not hold: If-Match or If-None-Match",
        ),
        StoreError::PartChanged(number) => of_request(Refusal::InvalidPart(number.0)),
        StoreError::SourceChanged => error(
            Code::OperationAborted,
            "A conflicting operation is in progress against this resource: the source of the copy \
             is being replaced; please try again.",
        ),
        StoreError::SizeMismatch { .. } => of_request(Refusal::IncompleteBody),
        StoreError::TooManyUploads => error(
            Code::InvalidRequest,
            "The bucket has more unfinished multipart uploads than allowed; complete or abort some.",
        ),
        StoreError::KeyTooLong => of_request(Refusal::KeyTooLong),
        StoreError::Overload(resource) => busy(resource),
        StoreError::NoSpace => {
            let message = "The store has no room for this; delete objects or add devices.";
            custom(INSUFFICIENT_STORAGE, StatusCode::INSUFFICIENT_STORAGE, message)
        }
        StoreError::IndexFull => {
            let message = "The store's index is full; delete objects or raise the index's size.";
            custom(INSUFFICIENT_STORAGE, StatusCode::INSUFFICIENT_STORAGE, message)
        }
        StoreError::Closing => {
            let message = "The server is shutting down; please retry your request.";
            retry_later(error(Code::ServiceUnavailable, message), RETRY_AFTER_SECONDS)
        }
        StoreError::ReadOnly(reason) => {
            if READ_ONLY_LOGGED.is_due(Instant::now()) {
                tracing::error!(%reason, "writes are being refused: the store is read-only");
            }
            let message = "The store takes no writes at present; reads work.";
            retry_later(error(Code::ServiceUnavailable, message), RETRY_AFTER_READ_ONLY_SECONDS)
        }
        StoreError::Device(fault) => {
            tracing::error!(%fault, "a device failed");
            internal()
        }
        StoreError::Corrupt { extent, block } => {
            tracing::error!(%extent, block, "a block's checksum does not match: the data on the device is damaged");
            internal()
        }
        StoreError::Index(reason) => {
            tracing::error!(%reason, "the index failed");
            internal()
        }
    }
}

/// What the client is told of encryption. What only an operator can mend is logged.
fn of_encryption(refused: &Refused) -> S3Error {
    match refused {
        Refused::Keys(why) => {
            tracing::error!(%why, "an object could not be encrypted or decrypted");
        }
        Refused::Damaged => tracing::error!(
            "the index holds what this program did not write of an object's encryption; run \
             `penstock check`"
        ),
        _ => {}
    }
    let (code, status) = refused.code();
    custom(code, status, refused.to_string())
}

/// What the client is told of settings of access.
pub fn of_access(refusal: AccessRefusal) -> S3Error {
    use StatusCode as Status;
    let (code, status, message) = match refusal {
        AccessRefusal::AclsAreOff => (
            "AccessControlListNotSupported",
            Status::BAD_REQUEST,
            "The bucket does not allow ACLs".into(),
        ),
        AccessRefusal::AclWithOwnership => (
            "InvalidBucketAclWithObjectOwnership",
            Status::BAD_REQUEST,
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting".into(),
        ),
        AccessRefusal::MalformedAcl(element) => (
            "MalformedACLError",
            Status::BAD_REQUEST,
            format!(
                "The XML you provided was not well-formed or did not validate against our published schema: {element}"
            ),
        ),
        AccessRefusal::UnresolvableEmail => (
            "UnresolvableGrantByEmailAddress",
            Status::BAD_REQUEST,
            "The e-mail address you provided does not match any account on record.".into(),
        ),
        AccessRefusal::NoAcl => (
            "MissingSecurityHeader",
            Status::BAD_REQUEST,
            "Your request was missing a required header: x-amz-acl, x-amz-grant-* or a document".into(),
        ),
        AccessRefusal::AclTwice => (
            "UnexpectedContent",
            Status::BAD_REQUEST,
            "This request does not support content".into(),
        ),
        AccessRefusal::MalformedPolicy(why) => ("MalformedPolicy", Status::BAD_REQUEST, why),
        AccessRefusal::NoPolicy => (
            "NoSuchBucketPolicy",
            Status::NOT_FOUND,
            "The bucket policy does not exist".into(),
        ),
        AccessRefusal::NoPublicAccessBlock => (
            "NoSuchPublicAccessBlockConfiguration",
            Status::NOT_FOUND,
            "The public access block configuration was not found".into(),
        ),
        AccessRefusal::NoOwnershipControls => (
            "OwnershipControlsNotFoundError",
            Status::NOT_FOUND,
            "The bucket ownership controls were not found".into(),
        ),
        AccessRefusal::BucketIsAnothers => (
            "BucketAlreadyExists",
            Status::CONFLICT,
            "The requested bucket name is not available. The bucket namespace is shared by all users of the system. \
             Please select a different name and try again.".into(),
        ),
        AccessRefusal::OwnersAlone => (
            "MethodNotAllowed",
            Status::METHOD_NOT_ALLOWED,
            "The specified method is not allowed against this resource.".into(),
        ),
    };
    custom(code, status, message)
}

/// What a browser is told of its form.
fn of_form(refusal: FormRefusal) -> S3Error {
    let bad = |code, message: Cow<'static, str>| custom(code, StatusCode::BAD_REQUEST, message);
    match refusal {
        FormRefusal::Malformed(why) => bad(
            "MalformedPOSTRequest",
            format!("The body of your POST request is not well-formed multipart/form-data: {why}").into(),
        ),
        FormRefusal::FieldsTooLong => bad(
            "MaxPostPreDataLengthExceeded",
            "Your POST request fields preceding the upload file were too large.".into(),
        ),
        FormRefusal::NoFile => bad(
            "IncorrectNumberOfFilesInPostRequest",
            "POST requires exactly one file upload per request.".into(),
        ),
        FormRefusal::NoField(name) => bad(
            "InvalidArgument",
            format!(
                "Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the \
                 fields."
            )
            .into(),
        ),
        FormRefusal::InvalidPolicy(why) => {
            bad("InvalidPolicyDocument", format!("Invalid Policy: {why}").into())
        }
        FormRefusal::Denied(why) => {
            error(S3ErrorCode::AccessDenied, format!("Invalid according to Policy: {why}"))
        }
        FormRefusal::TooLarge { size, max } => bad(
            "EntityTooLarge",
            format!("Your proposed upload exceeds the maximum allowed size: {size} bytes of {max}").into(),
        ),
        FormRefusal::TooSmall { size, min } => bad(
            "EntityTooSmall",
            format!("Your proposed upload is smaller than the minimum allowed size: {size} bytes of {min}").into(),
        ),
        FormRefusal::Auth(refused) => custom(refused.code(), refused.status(), refused.message()),
        FormRefusal::NotHere => custom(
            "MethodNotAllowed",
            StatusCode::METHOD_NOT_ALLOWED,
            "The specified method is not allowed against this resource.",
        ),
    }
}

/// What the client is told of bytes that did not move by RDMA. Codes that Amazon S3 does not have are those of the
/// protocols' other servers.
pub fn of_rdma(refusal: RdmaRefusal) -> S3Error {
    match refusal {
        RdmaRefusal::Failed(how) => {
            let message = format!("The data could not be transferred by RDMA: {how}");
            custom("RDMATransferFailed", StatusCode::INTERNAL_SERVER_ERROR, message)
        }
        RdmaRefusal::Deadline => custom(
            "RequestTimeout",
            StatusCode::REQUEST_TIMEOUT,
            "The RDMA transfer was not done within the timeout period.",
        ),
        RdmaRefusal::PeerBusy => custom(
            "RdmaPeerBusy",
            StatusCode::CONFLICT,
            "Your queue pair did not answer. The session is prepared again; send READY when the queue pair is.",
        ),
        RdmaRefusal::Encrypted => error(
            S3ErrorCode::NotImplemented,
            "The object is encrypted, and RDMA would move what is stored; use the body of a request or response",
        ),
        RdmaRefusal::Declined { needed, window } => error(
            S3ErrorCode::NotImplemented,
            format!(
                "{needed} bytes do not fit the RDMA window of {window}; ask for the data in the response's body"
            ),
        ),
    }
}

/// What the client is told of a body that did not keep what the request promised.
pub fn of_body(failure: &BodyError) -> S3Error {
    let cause = failure.cause().and_then(|cause| cause.downcast_ref::<BodyFault<hyper::Error>>());
    if let Some(slow @ BodyFault::TooSlow) = cause {
        return error(S3ErrorCode::RequestTimeout, slow.to_string());
    }
    custom(failure.code(), failure.status(), failure.message())
}

fn busy(resource: &'static str) -> S3Error {
    tracing::debug!(resource, "a request was refused: busy");
    retry_later(
        error(S3ErrorCode::SlowDown, "Please reduce your request rate."),
        RETRY_AFTER_SECONDS,
    )
}

fn internal() -> S3Error {
    error(S3ErrorCode::InternalError, "We encountered an internal error. Please try again.")
}

fn error(code: S3ErrorCode, message: impl Into<Cow<'static, str>>) -> S3Error {
    S3Error::with_message(code, message)
}

fn custom(code: &str, status: StatusCode, message: impl Into<Cow<'static, str>>) -> S3Error {
    // Only text that is no UTF-8 has no code.
    let code = S3ErrorCode::from_bytes(code.as_bytes()).unwrap_or(S3ErrorCode::InternalError);
    let mut error = S3Error::with_message(code, message);
    error.set_status_code(status);
    error
}

fn retry_later(error: S3Error, seconds: u32) -> S3Error {
    let mut headers = xml_headers();
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    with_headers(error, headers)
}

/// When a line was last logged that would otherwise come with every request. Lanes share it.
struct Logged(Mutex<Option<Instant>>);

static READ_ONLY_LOGGED: Logged = Logged(Mutex::new(None));

impl Logged {
    /// Whether [`LOGGED_AGAIN_AFTER`] has passed; it begins anew then.
    fn is_due(&self, now: Instant) -> bool {
        // Nothing panics while the lock is held.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.duration_since(last) >= LOGGED_AGAIN_AFTER);
        if due {
            *last = Some(now);
        }
        due
    }
}

/// s3s replaces all of an error's headers by those that are set: the type goes along.
fn xml_headers() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/xml"))])
}

fn with_headers(mut error: S3Error, headers: HeaderMap) -> S3Error {
    error.set_headers(headers);
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use datapath::LockedBy;
    use datapath::device::Operation;
    use datapath::error::DeviceFault;
    use datapath::id::{DeviceId, ExtentId, PartNumber};

    #[test]
    fn every_store_error_has_its_answer() {
        let fault = DeviceFault { device: DeviceId(3), operation: Operation::Flush, errno: 88_888 };
        for (failure, code, status) in [
            (StoreError::NoSuchBucket, "NoSuchBucket", 404),
            (StoreError::BucketExists, "BucketAlreadyOwnedByYou", 409),
            (StoreError::BucketNotEmpty, "BucketNotEmpty", 409),
            (StoreError::TooManyBuckets, "TooManyBuckets", 400),
            (StoreError::NoSuchKey, "NoSuchKey", 404),
            (StoreError::NoSuchVersion, "NoSuchVersion", 404),
            (StoreError::Locked(LockedBy::LegalHold), "AccessDenied", 403),
            (StoreError::VersioningFixed, "InvalidBucketState", 409),
            (StoreError::Versioned, "InvalidBucketState", 409),
            (StoreError::TooManyPieces, "TooManyParts", 400),
            (StoreError::NoSuchUpload, "NoSuchUpload", 404),
            (StoreError::ConditionFailed, "PreconditionFailed", 412),
            (StoreError::PartChanged(PartNumber(7)), "InvalidPart", 400),
            (StoreError::SourceChanged, "OperationAborted", 409),
            (StoreError::SizeMismatch { expected: 2, got: 1 }, "IncompleteBody", 400),
            (StoreError::TooManyUploads, "InvalidRequest", 400),
            (StoreError::KeyTooLong, "KeyTooLongError", 400),
            (StoreError::Overload("frames"), "SlowDown", 503),
            (StoreError::NoSpace, "InsufficientStorage", 507),
            (StoreError::IndexFull, "InsufficientStorage", 507),
            (StoreError::Closing, "ServiceUnavailable", 503),
            (StoreError::ReadOnly("x".into()), "ServiceUnavailable", 503),
            (StoreError::Device(fault), "InternalError", 500),
            (StoreError::Corrupt { extent: ExtentId(77_777), block: 2 }, "InternalError", 500),
            (StoreError::Index("secret-path".into()), "InternalError", 500),
        ] {
            let told = of_store(failure);
            assert_eq!(told.code().as_str(), code);
            assert_eq!(told.status_code().map(|it| it.as_u16()), Some(status), "{code}");
            let text = told.message().unwrap();
            assert!(
                !text.contains("secret") && !text.contains("77777") && !text.contains("88888"),
                "{text}"
            );
            let retry = told.headers().and_then(|headers| headers.get(RETRY_AFTER)).is_some();
            assert_eq!(retry, status == 503, "{code}");
        }
    }

    #[test]
    fn every_failure_by_rdma_has_its_answer() {
        for (refusal, code, status) in [
            (RdmaRefusal::Failed("short".into()), "RDMATransferFailed", 500),
            (RdmaRefusal::Deadline, "RequestTimeout", 408),
            (RdmaRefusal::PeerBusy, "RdmaPeerBusy", 409),
            (RdmaRefusal::Declined { needed: 2, window: 1 }, "NotImplemented", 501),
            (RdmaRefusal::Encrypted, "NotImplemented", 501),
        ] {
            let told: S3Error = Refusal::Rdma(refusal).into();
            assert_eq!(told.code().as_str(), code);
            assert_eq!(told.status_code().map(|it| it.as_u16()), Some(status), "{code}");
            assert!(!told.message().unwrap().is_empty());
        }
    }

    #[test]
    fn a_store_that_is_read_only_is_asked_and_logged_about_seldom() {
        let seconds = |failure| {
            let told = of_store(failure);
            told.headers().unwrap()[RETRY_AFTER].to_str().unwrap().parse::<u32>().unwrap()
        };
        assert_eq!(seconds(StoreError::ReadOnly("x".into())), RETRY_AFTER_READ_ONLY_SECONDS);
        assert_eq!(seconds(StoreError::Overload("frames")), RETRY_AFTER_SECONDS);
        let (logged, begin) = (Logged(Mutex::new(None)), Instant::now());
        assert!(logged.is_due(begin) && !logged.is_due(begin));
        assert!(!logged.is_due(begin + LOGGED_AGAIN_AFTER / 2));
        assert!(logged.is_due(begin + LOGGED_AGAIN_AFTER));
        assert!(!logged.is_due(begin + LOGGED_AGAIN_AFTER));
    }

    #[test]
    fn a_body_that_came_too_slowly_is_told_from_one_that_broke_off() {
        let slow: BodyFault<hyper::Error> = BodyFault::TooSlow;
        let told = of_body(&BodyError::Source(std::sync::Arc::new(slow)));
        assert_eq!(told.code().as_str(), "RequestTimeout");
        assert_eq!(told.status_code(), Some(StatusCode::BAD_REQUEST));
        let gone = std::io::Error::other("gone");
        let told = of_body(&BodyError::Source(std::sync::Arc::new(gone)));
        assert_eq!(told.code().as_str(), "IncompleteBody");
    }

    #[test]
    fn ranges_and_parts_are_416() {
        let told: S3Error = Refusal::InvalidRange { size: 9 }.into();
        assert_eq!(told.status_code(), Some(StatusCode::RANGE_NOT_SATISFIABLE));
        assert_eq!(told.headers().unwrap()[CONTENT_RANGE], "bytes */9");
        let told: S3Error = Refusal::InvalidPartNumber.into();
        assert_eq!(
            (told.code().as_str(), told.status_code()),
            ("InvalidPartNumber", Some(StatusCode::RANGE_NOT_SATISFIABLE))
        );
        let told: S3Error = Refusal::NotModified(Box::default()).into();
        assert_eq!(told.status_code(), Some(StatusCode::NOT_MODIFIED));
    }
}
