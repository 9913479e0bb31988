//! Owns: session tokens: what they say, and the keys they are sealed with, which lie in the data directory.
//! Limits: `SESSION_TOKEN_BYTES_MAX`, `SEAL_ROTATION_SECONDS`, `SESSION_SECONDS_MAX`.
//!
//! A token is `version (1 byte), number of the key (4), HMAC-SHA256 (32), claims (JSON)` in URL-safe base 64. Nothing
//! of a session is kept here: who holds a key of the seal opens every token, and the secret of the session is worked
//! out of its claims. A key seals for a week, and opens for as long as a session may last after that.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use base64_simd::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::credentials::file::{self, CredentialsError};
use crate::credentials::{Secret, secret_of};
use crate::limits;

/// What a token says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// The access key of the session.
    #[serde(rename = "k")]
    pub(crate) access_key: String,
    /// The account's name.
    #[serde(rename = "a")]
    pub(crate) account: String,
    /// Of which kind its principal is.
    #[serde(rename = "t")]
    pub(crate) kind: Kind,
    /// The name of the user or role.
    #[serde(rename = "n", default, skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    /// The unique id of the user or role: one that was made anew under its name is another.
    #[serde(rename = "i", default, skip_serializing_if = "String::is_empty")]
    pub(crate) id: String,
    /// The key by which it was asked for, with which it ends. Of roles none.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<String>,
    /// The name that AssumeRole gave it.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
    /// The session's policy.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<String>,
    /// The session's tags.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<(String, String)>,
    /// The bucket of a session of S3 Express, and whether it may only read.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub(crate) express: Option<(String, bool)>,
    /// When it was issued, seconds since 1970.
    #[serde(rename = "f")]
    pub(crate) issued: i64,
    /// When it ends, seconds since 1970.
    #[serde(rename = "e")]
    pub(crate) expires: i64,
}

/// Of which kind a session's principal is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    #[default]
    #[serde(rename = "a")]
    Root,
    #[serde(rename = "u")]
    User,
    #[serde(rename = "r")]
    Role,
}

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 5;
const MAC_BYTES: usize = 32;

/// A key of the seal.
#[derive(Clone)]
struct SealKey {
    number: u32,
    created: u64,
    bytes: [u8; 32],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(default, rename = "key")]
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    number: u32,
    created: u64,
    bytes: String,
}

/// The seal.
#[derive(Default)]
pub(crate) struct Seal {
    path: Option<PathBuf>,
    keys: RwLock<Arc<[SealKey]>>,
    making: Mutex<()>,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Seal(..)")
    }
}

impl Seal {
    /// The seal whose keys lie in that file; the first is made when it is needed.
    ///
    /// # Errors
    /// When there is a file that can't be read.
    pub(crate) fn open(path: PathBuf) -> Result<Seal, CredentialsError> {
        let stored = match file::secret_text(&path)? {
            None => Vec::new(),
            Some(text) => {
                let damaged =
                    |problem: String| CredentialsError::Malformed { path: path.clone(), problem };
                let stored: Stored =
                    toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
                let key = |stored: StoredKey| {
                    let bytes = hex_simd::decode_to_vec(&stored.bytes).ok()?.try_into().ok()?;
                    Some(SealKey { number: stored.number, created: stored.created, bytes })
                };
                let keys: Option<Vec<SealKey>> = stored.keys.into_iter().map(key).collect();
                keys.ok_or_else(|| damaged("a key has not 64 hexadecimal digits".into()))?
            }
        };
        Ok(Seal { path: Some(path), keys: RwLock::new(stored.into()), making: Mutex::default() })
    }

    fn present(&self) -> Arc<[SealKey]> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The token of those claims, with the session's secret. Now and then it makes a key and writes it
    /// down, which waits for the disk.
    ///
    /// # Errors
    /// When a new key can't be made durable.
    pub(crate) fn seal(
        &self,
        claims: &Claims,
        now: u64,
    ) -> Result<(String, Secret), CredentialsError> {
        let key = self.newest(now)?;
        // Texts and numbers always have a form.
        let json = serde_json::to_vec(claims).unwrap_or_default();
        let mut token = vec![VERSION];
        token.extend_from_slice(&key.number.to_be_bytes());
        let mac = key.mac(b"penstock session token\n", &[&token, &json]);
        token.extend_from_slice(&mac);
        token.extend_from_slice(&json);
        Ok((URL_SAFE_NO_PAD.encode_to_string(&token), key.secret(&json)))
    }

    /// What a token says, if it is one of ours. Whether its time is over is not looked at.
    pub(crate) fn open_token(&self, token: &[u8]) -> Option<(Claims, Secret)> {
        if token.len() > limits::SESSION_TOKEN_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode_to_vec(token).ok()?;
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
        let (mac, json) = rest.split_at_checked(MAC_BYTES)?;
        let number = u32::from_be_bytes(head[1..].try_into().ok()?);
        let keys = self.present();
        let key = keys.iter().find(|key| head[0] == VERSION && key.number == number)?;
        let expected = key.mac(b"penstock session token\n", &[head, json]);
        if !bool::from(subtle::ConstantTimeEq::ct_eq(&expected[..], mac)) {
            return None;
        }
        Some((serde_json::from_slice(json).ok()?, key.secret(json)))
    }

    fn newest(&self, now: u64) -> Result<SealKey, CredentialsError> {
        let fresh = |keys: &[SealKey]| {
            let newest = keys.iter().max_by_key(|key| key.number).cloned();
            newest.filter(|key| now.saturating_sub(key.created) < limits::SEAL_ROTATION_SECONDS)
        };
        if let Some(key) = fresh(&self.present()) {
            return Ok(key);
        }
        let _one = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let present = self.present();
        if let Some(key) = fresh(&present) {
            return Ok(key);
        }
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        let number = present.iter().map(|key| key.number).max().map_or(1, |most| most + 1);
        let made = SealKey { number, created: now, bytes };
        // Of the others, those that a session may still be sealed with.
        let useful = limits::SEAL_ROTATION_SECONDS + limits::SESSION_SECONDS_MAX;
        let kept = present.iter().filter(|key| now.saturating_sub(key.created) < useful).cloned();
        let keys: Vec<SealKey> = kept.chain([made.clone()]).collect();
        self.write(&keys)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
        Ok(made)
    }

    fn write(&self, keys: &[SealKey]) -> Result<(), CredentialsError> {
        let Some(path) = &self.path else { return Ok(()) };
        let stored = keys.iter().map(|key| StoredKey {
            number: key.number,
            created: key.created,
            bytes: hex_simd::encode_to_string(key.bytes, hex_simd::AsciiCase::Lower),
        });
        let body = toml::to_string(&Stored { keys: stored.collect() })
            .map_err(|error| CredentialsError::Unusable(error.to_string()))?;
        let text = format!(
            "# What session tokens are sealed with. Without this file all sessions end.\n\n{body}"
        );
        file::replace(path, &text)
    }
}

impl SealKey {
    fn mac(&self, purpose: &[u8], texts: &[&[u8]]) -> [u8; MAC_BYTES] {
        // HMAC hashes keys that are too long and pads keys that are too short: no length fails.
        let mut mac: Hmac<Sha256> =
            Hmac::new_from_slice(&self.bytes).expect("HMAC takes keys of any length");
        mac.update(purpose);
        for text in texts {
            mac.update(text);
        }
        mac.finalize().into_bytes().into()
    }

    /// 240 bits, as of other keys.
    fn secret(&self, json: &[u8]) -> Secret {
        let first = self.mac(b"penstock session secret 1\n", &[json]);
        let second = self.mac(b"penstock session secret 2\n", &[json]);
        let bytes: Vec<u8> = first.into_iter().chain(second).take(40).collect();
        secret_of(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(expires: i64) -> Claims {
        Claims {
            access_key: "ASIAX".into(),
            account: "penstock".into(),
            expires,
            ..Claims::default()
        }
    }

    #[test]
    fn a_token_opens_to_what_was_sealed_and_to_nothing_else() {
        let seal = Seal::default();
        let (token, secret) = seal.seal(&claims(5), 1_000).unwrap();
        assert_eq!(seal.open_token(token.as_bytes()), Some((claims(5), secret.clone())));
        let (other, other_secret) = seal.seal(&claims(6), 1_000).unwrap();
        assert!(other != token && other_secret != secret);
        for at in 0..token.len() {
            let mut bent = token.clone().into_bytes();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(seal.open_token(&bent), None, "byte {at}");
        }
        for wrong in ["", "A", "AAAA", &token[..40], &format!("{token}A"), "not base 64!"] {
            assert_eq!(seal.open_token(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(Seal::default().open_token(token.as_bytes()), None, "another store's seal");
    }

    #[test]
    fn keys_are_exchanged_and_old_ones_open_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("session-keys");
        let seal = Seal::open(path.clone()).unwrap();
        assert!(!path.exists(), "nothing is written before it is needed");
        let (first, _) = seal.seal(&claims(1), 0).unwrap();
        let later = limits::SEAL_ROTATION_SECONDS;
        let (second, _) = seal.seal(&claims(2), later).unwrap();
        let reopened = Seal::open(path.clone()).unwrap();
        assert!(reopened.open_token(first.as_bytes()).is_some());
        assert!(reopened.open_token(second.as_bytes()).is_some());
        let (third, _) = reopened.seal(&claims(3), 2 * later).unwrap();
        assert!(reopened.open_token(first.as_bytes()).is_none(), "its sessions are all over");
        assert!(reopened.open_token(second.as_bytes()).is_some());
        assert!(reopened.open_token(third.as_bytes()).is_some());
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&path).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
    }
}
