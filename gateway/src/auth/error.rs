//! Owns: why a request was refused before its operation was looked at: S3's code, HTTP status and
//! message for each reason, and the extra elements S3's error document carries.
//! Not here: the response itself (`rescue`).

use std::borrow::Cow;

use http::StatusCode;

use super::time::display;

/// A refusal by the verifier, one variant per S3 error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// 403 `AccessDenied`: the signature's claim is not one that may be granted.
    #[error("{0}")]
    AccessDenied(Denied),
    /// 403 `InvalidAccessKeyId`; carries the unknown id.
    #[error("The AWS Access Key Id you provided does not exist in our records.")]
    InvalidAccessKeyId(Box<str>),
    /// 400 `InvalidToken`: a session token came with a key that has none.
    #[error("The provided token is malformed or otherwise invalid.")]
    InvalidToken,
    /// 400 `ExpiredToken`: the session's time is over.
    #[error("The provided token has expired.")]
    ExpiredToken,
    /// 403 `SignatureDoesNotMatch`; carries what we signed, so that a client can compare.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your key and signing method."
    )]
    SignatureDoesNotMatch(Box<Mismatch>),
    /// 403 `RequestTimeTooSkewed`: both moments are seconds since 1970.
    #[error("The difference between the request time and the current time is too large.")]
    RequestTimeTooSkewed {
        /// What the request states.
        request: i64,
        /// What our clock says.
        server: i64,
    },
    /// 400 `AuthorizationHeaderMalformed`.
    #[error("The authorization header is malformed; {0}")]
    AuthorizationHeaderMalformed(Malformed),
    /// 400 `AuthorizationQueryParametersError`.
    #[error("{0}")]
    AuthorizationQueryParametersError(Malformed),
    /// 400 `InvalidRequest`.
    #[error("{0}")]
    InvalidRequest(Cow<'static, str>),
    /// 400 `InvalidArgument`.
    #[error("{0}")]
    InvalidArgument(Cow<'static, str>),
    /// 501 `NotImplemented`: a form of signing that S3 has and this server has not.
    #[error("{0}")]
    NotImplemented(&'static str),
}

/// Why a well-formed claim was denied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// `host` is not among the signed headers: the request could be replayed against another host.
    #[error("The host header must be signed.")]
    HostNotSigned,
    /// Names, comma separated, of `x-amz-*` headers that the signature does not cover.
    #[error("There were headers present in the request which were not signed")]
    HeadersNotSigned(Box<str>),
    /// A signed header that the request does not carry.
    #[error("The signed header {0} is not present in the request")]
    SignedHeaderMissing(Box<str>),
    /// Neither `x-amz-date` nor `Date`, or not a date.
    #[error("AWS authentication requires a valid Date or x-amz-date header")]
    NoDate,
    /// The presigned request's time is over.
    #[error("Request has expired")]
    Expired {
        /// `X-Amz-Expires`, seconds.
        lifetime: i64,
        /// When it expired, seconds since 1970.
        expired: i64,
        /// Our clock, seconds since 1970.
        server: i64,
    },
    /// The presigned request's time has not come, by more than the allowed skew.
    #[error("Request is not valid yet")]
    NotValidYet,
}

/// What is wrong with the text of a claim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// `Credential`, `SignedHeaders` or `Signature` is absent.
    #[error("the {0} component is missing")]
    Missing(&'static str),
    /// A component stands twice.
    #[error("the {0} component is given more than once")]
    Repeated(&'static str),
    /// Something that is none of the three components.
    #[error("the authorization component \"{0}\" is unknown")]
    Unknown(Box<str>),
    /// One of the six presigning parameters is absent.
    #[error(
        "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
    )]
    MissingParameters,
    /// `X-Amz-Algorithm` is another.
    #[error("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"")]
    Algorithm,
    /// The credential has not five components.
    #[error(
        "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."
    )]
    Credential,
    /// The credential ends in something else than `aws4_request`.
    #[error("incorrect terminal \"{0}\". This endpoint uses \"aws4_request\".")]
    Terminal(Box<str>),
    /// The credential is for a service that this verifier does not serve.
    #[error("incorrect service \"{given}\". This endpoint belongs to \"{accepted}\".")]
    Service {
        /// The service of the scope.
        given: Box<str>,
        /// The service served here.
        accepted: Box<str>,
    },
    /// The scope's date is not the date that was signed.
    #[error(
        "Invalid credential date \"{scope}\". This date is not the same as X-Amz-Date: \"{request}\"."
    )]
    ScopeDate {
        /// The scope's.
        scope: Box<str>,
        /// The request's.
        request: Box<str>,
    },
    /// `SignedHeaders` is not a list of distinct lower-case names in order.
    #[error(
        "SignedHeaders must be distinct lower-case header names in alphabetical order, separated by \";\""
    )]
    SignedHeaders,
    /// `X-Amz-Date` is not in the basic ISO 8601 form.
    #[error("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")]
    Date,
    /// `X-Amz-Expires` is no number.
    #[error("X-Amz-Expires should be a number")]
    ExpiresNotNumber,
    /// `X-Amz-Expires` is 0 or negative.
    #[error("X-Amz-Expires must be at least 1")]
    ExpiresTooSmall,
    /// `X-Amz-Expires` is over a week.
    #[error(
        "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds"
    )]
    ExpiresTooLarge,
}

/// What the server signed when the client's signature differed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The access key id of the claim.
    pub access_key: Box<str>,
    /// The signature that came.
    pub signature: Box<str>,
    /// The string to sign as the server built it.
    pub string_to_sign: Box<str>,
    /// The canonical request as the server built it.
    pub canonical_request: Box<str>,
}

impl AuthError {
    /// S3's error code.
    pub fn code(&self) -> &'static str {
        match self {
            AuthError::AccessDenied(_) => "AccessDenied",
            AuthError::InvalidAccessKeyId(_) => "InvalidAccessKeyId",
            AuthError::InvalidToken => "InvalidToken",
            AuthError::ExpiredToken => "ExpiredToken",
            AuthError::SignatureDoesNotMatch(_) => "SignatureDoesNotMatch",
            AuthError::RequestTimeTooSkewed { .. } => "RequestTimeTooSkewed",
            AuthError::AuthorizationHeaderMalformed(_) => "AuthorizationHeaderMalformed",
            AuthError::AuthorizationQueryParametersError(_) => "AuthorizationQueryParametersError",
            AuthError::InvalidRequest(_) => "InvalidRequest",
            AuthError::InvalidArgument(_) => "InvalidArgument",
            AuthError::NotImplemented(_) => "NotImplemented",
        }
    }

    /// The HTTP status that S3 gives this code.
    pub fn status(&self) -> StatusCode {
        match self {
            AuthError::AccessDenied(_)
            | AuthError::InvalidAccessKeyId(_)
            | AuthError::SignatureDoesNotMatch(_)
            | AuthError::RequestTimeTooSkewed { .. } => StatusCode::FORBIDDEN,
            AuthError::InvalidToken
            | AuthError::ExpiredToken
            | AuthError::AuthorizationHeaderMalformed(_)
            | AuthError::AuthorizationQueryParametersError(_)
            | AuthError::InvalidRequest(_)
            | AuthError::InvalidArgument(_) => StatusCode::BAD_REQUEST,
            AuthError::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
        }
    }

    /// The text of the error document's `Message`.
    pub fn message(&self) -> String {
        self.to_string()
    }

    /// Further elements of the error document, as S3 names them.
    pub fn details(&self) -> Vec<(&'static str, String)> {
        match self {
            AuthError::AccessDenied(Denied::HeadersNotSigned(names)) => {
                vec![("HeadersNotSigned", names.to_string())]
            }
            AuthError::AccessDenied(Denied::Expired { lifetime, expired, server }) => vec![
                ("X-Amz-Expires", lifetime.to_string()),
                ("Expires", display(*expired)),
                ("ServerTime", display(*server)),
            ],
            AuthError::InvalidAccessKeyId(id) => vec![("AWSAccessKeyId", id.to_string())],
            AuthError::SignatureDoesNotMatch(mismatch) => vec![
                ("AWSAccessKeyId", mismatch.access_key.to_string()),
                ("StringToSign", mismatch.string_to_sign.to_string()),
                ("SignatureProvided", mismatch.signature.to_string()),
                ("StringToSignBytes", spaced_hex(mismatch.string_to_sign.as_bytes())),
                ("CanonicalRequest", mismatch.canonical_request.to_string()),
                ("CanonicalRequestBytes", spaced_hex(mismatch.canonical_request.as_bytes())),
            ],
            AuthError::RequestTimeTooSkewed { request, server } => vec![
                ("RequestTime", display(*request)),
                ("ServerTime", display(*server)),
                (
                    "MaxAllowedSkewMilliseconds",
                    (super::limits::CLOCK_SKEW_SECONDS_MAX * 1_000).to_string(),
                ),
            ],
            _ => Vec::new(),
        }
    }
}

/// `41 57 53`: how S3 shows bytes.
fn spaced_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 3);
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 {
            text.push(' ');
        }
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}
