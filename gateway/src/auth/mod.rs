//! Who sent a request: one SigV4 verifier for every route.
//!
//! In the order a request travels: `claim` reads what the request says of its signature, `time` the
//! moment it states; `checks` what it must satisfy; `canonical` writes what was signed; `secret` and `key` give the key to sign it
//! with; `verifier` decides; `payload` and `chain` tell `body` what the signature says of the body.
//!
//! Browser form uploads sign a document and not the request: `form` verifies that.

mod canonical;
mod chain;
mod checks;
mod claim;
mod error;
mod form;
mod key;
pub mod limits;
mod payload;
mod secret;
mod time;
mod verifier;

#[cfg(test)]
mod tests;

pub(crate) use canonical::decode as decode_percent;
pub use chain::ChunkChain;
pub use checks::{CONTENT_SHA256, host};
pub use claim::Mechanism;
pub use error::{AuthError, Denied, Malformed, Mismatch};
pub use form::{PolicySignature, verify_policy};
pub use payload::{EMPTY_SHA256, Payload};
pub use secret::{Secret, Secrets};
pub(crate) use time::display as display_moment;
pub use verifier::{Identity, SignedHeaders, Verified, Verifier};
