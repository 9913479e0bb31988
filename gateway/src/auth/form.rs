//! Owns: whether the policy of a browser's form was signed by who it says. What is signed is the document's base64
//! text alone: by SigV4, or by the HMAC-SHA1 of older forms, which tools still make.
//! Not here: what the policy says (`s3`); a form's expiry is in its policy, so no clock is asked of the signature.

use std::borrow::Cow;
use std::time::SystemTime;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use subtle::ConstantTimeEq as _;

use super::claim::Claim;
use super::error::{AuthError, Malformed, Mismatch};
use super::key::SigningKey;
use super::payload::parse_sha256;
use super::secret::Secrets;
use super::time::{Timestamp, unix_seconds};
use crate::iam::{Caller, Known};

/// What a form says of its signature.
#[derive(Debug, Clone, Copy)]
pub enum PolicySignature<'a> {
    /// `x-amz-algorithm`, `x-amz-credential`, `x-amz-date`, `x-amz-signature`.
    V4 {
        /// `AWS4-HMAC-SHA256`
        algorithm: &'a str,
        /// Access key and scope.
        credential: &'a str,
        /// ISO 8601, basic.
        date: &'a str,
        /// In hex.
        signature: &'a str,
    },
    /// `AWSAccessKeyId`, `signature`.
    V2 {
        /// The key's id.
        access_key: &'a str,
        /// In base64.
        signature: &'a str,
    },
}

/// Who signed `policy`, the base64 text as it stands in the form. `token` is the form's `x-amz-security-token`.
///
/// # Errors
/// `InvalidArgument` for another algorithm, `AuthorizationQueryParametersError` for a credential or date that is none,
/// `InvalidAccessKeyId`, `InvalidToken`, `ExpiredToken`, `SignatureDoesNotMatch`.
pub fn verify_policy(
    secrets: &dyn Secrets,
    policy: &str,
    signature: PolicySignature<'_>,
    token: Option<&str>,
    now: SystemTime,
) -> Result<Caller, AuthError> {
    let token = token.map(str::as_bytes);
    let now = unix_seconds(now);
    let (known, is_right) = match signature {
        PolicySignature::V2 { access_key, signature } => {
            let known = secrets.known(access_key, token, now)?;
            let mut mac = Hmac::<Sha1>::new_from_slice(known.secret.bytes())
                .expect("HMAC takes keys of any length");
            mac.update(policy.as_bytes());
            let expected = mac.finalize().into_bytes();
            let given = base64_simd::STANDARD.decode_to_vec(signature.trim()).unwrap_or_default();
            let is_right = bool::from(expected[..].ct_eq(&given));
            (known, is_right)
        }
        PolicySignature::V4 { algorithm, credential, date, signature } => {
            if algorithm != "AWS4-HMAC-SHA256" {
                let why = "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"";
                return Err(AuthError::InvalidArgument(why.into()));
            }
            let malformed = AuthError::AuthorizationQueryParametersError;
            let claim = Claim {
                credential: Cow::Borrowed(credential),
                signed_headers: Cow::Borrowed(""),
                signature: Cow::Borrowed(signature.as_bytes()),
                timestamp: Timestamp::from_iso(date.as_bytes())
                    .ok_or_else(|| malformed(Malformed::Date))?,
                expires: None,
            };
            let services = ["s3".into()];
            let (scope, _) = claim.scope(&services).map_err(malformed)?;
            let known = secrets.known(scope.access_key, token, now)?;
            let expected = SigningKey::derive(&known.secret, &scope).sign(&[policy.as_bytes()]);
            let given = parse_sha256(signature.as_bytes());
            let is_right = given.is_some_and(|given| bool::from(expected.ct_eq(&given)));
            (known, is_right)
        }
    };
    let Known { principal, .. } = known;
    if is_right {
        return Ok(Caller::Principal(principal));
    }
    let signature = match signature {
        PolicySignature::V2 { signature, .. } | PolicySignature::V4 { signature, .. } => signature,
    };
    Err(AuthError::SignatureDoesNotMatch(Box::new(Mismatch {
        access_key: principal.access_key.as_ref().into(),
        signature: signature.chars().take(128).collect::<String>().into(),
        string_to_sign: policy.into(),
        canonical_request: "".into(),
    })))
}
