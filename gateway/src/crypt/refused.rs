//! Owns what a client is told of encryption that it asks for in vain, in the words that Amazon S3 has been seen to use.
//!
//! Not here: the documents of errors (`crate::rescue`).

use http::StatusCode;

use super::Malformed;
use super::key::NoRandomness;
use super::ring::NoKey;

/// Why nothing was encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// SSE-C, and another encryption beside it.
    #[error(
        "Server Side Encryption with Customer provided key is incompatible with the encryption method specified"
    )]
    Incompatible,
    /// SSE-C with another algorithm than AES256.
    #[error("The Encryption request you specified is not valid. Supported value: AES256.")]
    Algorithm,
    /// SSE-C headers without the algorithm.
    #[error(
        "Requests specifying Server Side Encryption with Customer provided keys must provide a valid encryption \
         algorithm."
    )]
    NoAlgorithm,
    /// SSE-C headers without a key.
    #[error(
        "Requests specifying Server Side Encryption with Customer provided keys must provide an appropriate secret \
         key."
    )]
    NoKey,
    /// SSE-C headers without the key's MD5.
    #[error(
        "Requests specifying Server Side Encryption with Customer provided keys must provide the client calculated \
         MD5 of the secret key."
    )]
    NoMd5,
    /// The key did not arrive as its MD5 says.
    #[error("The calculated MD5 hash of the key did not match the hash that was provided.")]
    WrongMd5,
    /// A key to write with that has not 32 bytes.
    #[error("The secret key was invalid for the specified algorithm.")]
    KeyLength,
    /// SSE-C over plain HTTP where the configuration forbids it.
    #[error(
        "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection."
    )]
    Insecure,
    /// `x-amz-server-side-encryption` with an unknown value.
    #[error("The encryption method specified is not supported")]
    Method,
    /// `aws:kms:dsse`.
    #[error("aws:kms:dsse, encryption in two layers, is not implemented; use aws:kms")]
    Dual,
    /// Headers of SSE-KMS without its method.
    #[error(
        "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms"
    )]
    KmsWithoutMethod,
    /// An encryption context that is none, or too long.
    #[error(
        "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON which \
         represents a string-string map of at most 2048 bytes"
    )]
    Context,
    /// `x-amz-server-side-encryption-bucket-key-enabled` is neither true nor false.
    #[error("The value of x-amz-server-side-encryption-bucket-key-enabled is true or false")]
    BucketKey,
    /// A KMS key that is not there.
    #[error("Invalid keyId '{0}'")]
    NoSuchKmsKey(Box<str>),
    /// The object is under SSE-C and the request has no key.
    #[error(
        "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to \
         retrieve the object."
    )]
    KeyNeeded,
    /// The request has a key and the object needs none.
    #[error("The encryption parameters are not applicable to this object.")]
    NotApplicable,
    /// The key is not the object's.
    #[error(
        "Requests specifying Server Side Encryption with Customer provided keys must provide the correct secret key."
    )]
    WrongKey,
    /// A part of an upload under SSE-C without a key, or of another with one.
    #[error(
        "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate \
         encryption parameters."
    )]
    PartParameters,
    /// The key is not the upload's.
    #[error("The provided encryption parameters did not match the ones used originally.")]
    PartKey,
    /// What is appended asks for an encryption that the object does not have.
    #[error(
        "The existing object was created with a different encryption type. Subsequent write requests must include \
         the appropriate encryption parameters in the request or while creating the session."
    )]
    AnotherType,
    /// A request that reads has headers of one that writes.
    #[error("x-amz-server-side-encryption header is not supported for this operation.")]
    OnRead,
    /// A key of the server is missing; an operator has to bring it back.
    #[error("We encountered an internal error. Please try again.")]
    Keys(NoKey),
    /// What is kept of the encryption cannot be read.
    #[error("We encountered an internal error. Please try again.")]
    Damaged,
}

impl Refused {
    /// S3's code and its status.
    pub fn code(&self) -> (&'static str, StatusCode) {
        let bad = StatusCode::BAD_REQUEST;
        match self {
            Self::Incompatible
            | Self::NoAlgorithm
            | Self::NoKey
            | Self::NoMd5
            | Self::WrongMd5
            | Self::KeyLength
            | Self::Method
            | Self::KmsWithoutMethod
            | Self::Context
            | Self::BucketKey
            | Self::OnRead => ("InvalidArgument", bad),
            Self::Algorithm => ("InvalidEncryptionAlgorithmError", bad),
            Self::Insecure
            | Self::KeyNeeded
            | Self::NotApplicable
            | Self::PartParameters
            | Self::PartKey => ("InvalidRequest", bad),
            Self::AnotherType => ("EncryptionTypeMismatch", bad),
            Self::NoSuchKmsKey(_) => ("KMS.NotFoundException", bad),
            Self::WrongKey => ("AccessDenied", StatusCode::FORBIDDEN),
            Self::Dual => ("NotImplemented", StatusCode::NOT_IMPLEMENTED),
            Self::Keys(_) | Self::Damaged => ("InternalError", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

impl From<NoKey> for Refused {
    fn from(why: NoKey) -> Self {
        match why {
            NoKey::NoSuchName(name) => Self::NoSuchKmsKey(name),
            other => Self::Keys(other),
        }
    }
}

impl From<NoRandomness> for Refused {
    fn from(why: NoRandomness) -> Self {
        Self::Keys(why.into())
    }
}

impl From<Malformed> for Refused {
    fn from(_: Malformed) -> Self {
        Self::Damaged
    }
}
