//! Owns: whose a session or a pooled connection is.
//!
//! The access key alone would not do: its secret can be exchanged, and what the old one began must not go on. So the
//! owner is the key together with a fingerprint of its secret. After an exchange, or without the key, nobody is the
//! owner any more: sessions and connections are then unknown to everybody and expire.

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::credentials::KeyRing;

/// Who connects without a signature, where that is allowed.
pub(super) const NOBODY: &str = "";

/// The owner that a valid key stands for now; none without such a key.
pub(super) fn of(keys: &KeyRing, access_key: &str) -> Option<Arc<str>> {
    let secret = keys.secret(access_key)?;
    let digest = Sha256::new()
        .chain_update(b"penstock rdma principal\n")
        .chain_update(secret.reveal().as_bytes())
        .finalize();
    // No character of a key's id is a slash.
    let mut text = format!("{access_key}/");
    for byte in &digest[..FINGERPRINT_BYTES] {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Some(text.into())
}

/// Enough that two secrets of one key differ, too few to learn anything of one.
const FINGERPRINT_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::{AccessKey, Secret};

    #[test]
    fn an_owner_is_a_key_with_its_present_secret() {
        let key = |secret: &str| AccessKey { id: "trainer".into(), secret: Secret::new(secret) };
        let keys = KeyRing::new([key("first-secret")]);
        let first = of(&keys, "trainer").unwrap();
        assert_eq!(of(&keys, "trainer"), Some(first.clone()));
        assert!(first.starts_with("trainer/") && first.len() == 8 + 16);
        keys.replace([key("second-secret")]);
        assert_ne!(of(&keys, "trainer").unwrap(), first);
        assert_eq!(of(&keys, "other"), None);
        assert_ne!(&*first, NOBODY);
    }
}
