//! The error codes that are told apart in metrics: S3's own as far as this server can answer them,
//! those of S3 over RDMA, and `other`. An error's code is a label, so it must be one of these.

/// All codes, ascending; the last entry, `other`, is apart and stands for the rest.
pub static ALL: [&str; COUNT] = [
    "AccessDenied",
    "AccessForbidden",
    "AuthorizationHeaderMalformed",
    "AuthorizationQueryParametersError",
    "BadDigest",
    "BucketAlreadyExists",
    "BucketAlreadyOwnedByYou",
    "BucketNotEmpty",
    "EntityTooLarge",
    "EntityTooSmall",
    "ExpiredToken",
    "IllegalLocationConstraintException",
    "IncompleteBody",
    "InsufficientStorage",
    "InternalError",
    "InvalidAccessKeyId",
    "InvalidArgument",
    "InvalidBucketName",
    "InvalidChunkSizeError",
    "InvalidDigest",
    "InvalidPart",
    "InvalidPartNumber",
    "InvalidPartOrder",
    "InvalidRDMAToken",
    "InvalidRange",
    "InvalidRequest",
    "InvalidToken",
    "InvalidURI",
    "KeyTooLongError",
    "MalformedTrailerError",
    "MalformedXML",
    "MetadataTooLarge",
    "MethodNotAllowed",
    "MissingContentLength",
    "MissingSecurityHeader",
    "NoSuchBucket",
    "NoSuchKey",
    "NoSuchRdmaSession",
    "NoSuchUpload",
    "NoSuchVersion",
    "NotImplemented",
    "NotModified",
    "OperationAborted",
    "PreconditionFailed",
    "RDMANotSupported",
    "RDMATransferFailed",
    "RdmaPeerBusy",
    "RdmaTransferInProgress",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "ServiceUnavailable",
    "SignatureDoesNotMatch",
    "SlowDown",
    "TooManyBuckets",
    "URITooLong",
    "XAmzContentSHA256Mismatch",
    "other",
];

/// How many there are.
pub const COUNT: usize = 57;

/// Where a code stands in [`ALL`]; what is not there is `other`.
pub fn index(code: &str) -> usize {
    ALL[..COUNT - 1].binary_search(&code).unwrap_or(COUNT - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_found() {
        assert!(ALL[..COUNT - 1].is_sorted());
        assert_eq!(ALL[index("NoSuchKey")], "NoSuchKey");
        assert_eq!(ALL[index("Whatever")], "other");
        assert_eq!(ALL[index("other")], "other");
    }
}
