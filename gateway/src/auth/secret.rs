//! Owns: the secret half of a key pair in memory, and where the verifier asks for it.
//! Not here: where secrets are stored, and what makes one that is taken over from outside (`credentials`).

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq as _;

use super::error::AuthError;
use crate::iam::Known;

/// A secret access key. Never shown by `Debug`, compared in constant time, cheap to clone.
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes the secret as the client has it, with no prefix.
    pub fn new(text: impl Into<Arc<str>>) -> Secret {
        Secret(text.into())
    }

    /// The secret itself: for the file of credentials, and for its one showing at generation.
    pub fn reveal(&self) -> Arc<str> {
        self.0.clone()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(..)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        // The same allocation needs no look at its bytes: the usual case, a cached signing key.
        Arc::ptr_eq(&self.0, &other.0) || bool::from(self.bytes().ct_eq(other.bytes()))
    }
}

impl Eq for Secret {}

/// Where the verifier finds the secret of an access key id and whose it is. Asked on every request, so
/// that a removed or changed key stops working at once; must not block.
pub trait Secrets: Send + Sync {
    /// The secret of `access_key` with its principal, at the moment `now` (seconds since 1970). `token`
    /// is the session token of the request, which temporary keys have and others have not.
    ///
    /// # Errors
    /// [`AuthError::InvalidAccessKeyId`] when there is no such key, [`AuthError::InvalidToken`] when the
    /// token is not its, [`AuthError::ExpiredToken`].
    fn known(&self, access_key: &str, token: Option<&[u8]>, now: i64) -> Result<Known, AuthError>;
}
