//! Owns: whose a session or a pooled connection is.
//!
//! The access key alone would not do: its secret can be exchanged, and what the old one began must not go on. So the
//! owner is the key together with a fingerprint of its secret. After an exchange, or without the key, nobody is the
//! owner any more: sessions and connections are then unknown to everybody and expire.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::iam::{Caller, Iam};

/// Who connects without a signature, where that is allowed.
pub(super) const NOBODY: &str = "";

/// The owner that a caller stands for while its key is valid; none when it is not any more, or nobody signed.
pub(super) fn of(keys: &Iam, caller: &Caller) -> Option<Arc<str>> {
    let principal = caller.principal().filter(|principal| keys.stands(principal))?;
    // No character of a key's id is a slash.
    let mut text = format!("{}/", principal.access_key);
    for byte in &principal.fingerprint {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::{AccessKey, Secret};

    #[test]
    fn an_owner_is_a_key_with_its_present_secret() {
        let key = |secret: &str| AccessKey { id: "trainer".into(), secret: Secret::new(secret) };
        let keys = Iam::new([key("first-secret")]);
        let trainer = |keys: &Iam| Caller::Principal(keys.known("trainer").unwrap().principal);
        let caller = trainer(&keys);
        let first = of(&keys, &caller).unwrap();
        assert_eq!(of(&keys, &caller), Some(first.clone()));
        assert!(first.starts_with("trainer/") && first.len() == 8 + 16);
        keys.replace([key("second-secret")]);
        assert_eq!(of(&keys, &caller), None, "its secret is another now");
        assert_ne!(of(&keys, &trainer(&keys)).unwrap(), first);
        assert_eq!(of(&keys, &Caller::Anonymous), None);
        assert_ne!(&*first, NOBODY);
    }
}
