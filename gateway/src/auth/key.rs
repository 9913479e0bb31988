//! Owns: signing keys, derived from secrets (SigV4: four HMACs) and kept for the next request.
//! Limits: `SIGNING_KEY_SETS` x `SIGNING_KEY_WAYS` keys.
//!
//! Deriving costs 16 SHA-256 compressions, a verification without it about 12; so a key that has
//! verified a signature is kept. Only such keys: nobody without a secret can fill the cache. A key
//! is used only while the secret it came from is still the one that `Secrets` names.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::limits::{SIGNING_KEY_SETS, SIGNING_KEY_WAYS};
use super::secret::Secret;

/// An HMAC-SHA256 key with both its pads already compressed; cloning is copying 200 bytes.
#[derive(Clone)]
pub(super) struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// Derives the key of a scope: HMAC of date, region, service and `aws4_request` in turn.
    pub(super) fn derive(secret: &Secret, scope: &Scope<'_>) -> SigningKey {
        let mut start = Vec::with_capacity(4 + secret.bytes().len());
        start.extend_from_slice(b"AWS4");
        start.extend_from_slice(secret.bytes());
        [scope.date.as_bytes(), scope.region.as_bytes(), scope.service.as_bytes(), b"aws4_request"]
            .iter()
            .fold(SigningKey::from_bytes(&start), |key, text| {
                SigningKey::from_bytes(&key.sign(&[text]))
            })
    }

    fn from_bytes(bytes: &[u8]) -> SigningKey {
        // HMAC hashes keys that are too long and pads keys that are too short: no length fails.
        SigningKey(Hmac::new_from_slice(bytes).expect("HMAC takes keys of any length"))
    }

    /// The HMAC of `pieces` as one text.
    pub(super) fn sign(&self, pieces: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        for piece in pieces {
            mac.update(piece);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SigningKey(..)")
    }
}

/// What a signing key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scope<'a> {
    pub(super) access_key: &'a str,
    pub(super) date: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

struct Entry {
    access_key: Arc<str>,
    date: Box<str>,
    region: Box<str>,
    service: Box<str>,
    secret: Secret,
    key: SigningKey,
}

impl Entry {
    fn serves(&self, scope: &Scope<'_>) -> bool {
        *self.access_key == *scope.access_key
            && *self.date == *scope.date
            && *self.region == *scope.region
            && *self.service == *scope.service
    }
}

#[derive(Default)]
struct Set {
    ways: [Option<Entry>; SIGNING_KEY_WAYS],
    next: u8,
}

/// The keys that have verified something. Behind a lock that is only ever tried: with one verifier
/// a lane it is always free; shared, a busy lock costs a derivation, never a wait.
pub(super) struct KeyCache {
    hasher: RandomState,
    sets: Mutex<Box<[Set]>>,
}

impl KeyCache {
    pub(super) fn new() -> KeyCache {
        let sets = (0..SIGNING_KEY_SETS).map(|_| Set::default()).collect();
        KeyCache { hasher: RandomState::new(), sets: Mutex::new(sets) }
    }

    /// The kept key.
    pub(super) fn find(&self, scope: &Scope<'_>, secret: &Secret) -> Option<SigningKey> {
        let sets = self.sets.try_lock().ok()?;
        let entry =
            sets[self.set_of(scope)].ways.iter().flatten().find(|entry| entry.serves(scope))?;
        (entry.secret == *secret).then(|| entry.key.clone())
    }

    /// Keeps a key that has verified a signature.
    pub(super) fn keep(
        &self,
        scope: &Scope<'_>,
        secret: &Secret,
        key: &SigningKey,
        access_key: &Arc<str>,
    ) {
        let Ok(mut sets) = self.sets.try_lock() else {
            return;
        };
        let set = &mut sets[self.set_of(scope)];
        let stale =
            set.ways.iter().position(|way| way.as_ref().is_some_and(|entry| entry.serves(scope)));
        let way = stale.unwrap_or_else(|| {
            let way = usize::from(set.next);
            set.next = (set.next + 1) % SIGNING_KEY_WAYS as u8;
            way
        });
        set.ways[way] = Some(Entry {
            access_key: Arc::clone(access_key),
            date: scope.date.into(),
            region: scope.region.into(),
            service: scope.service.into(),
            secret: secret.clone(),
            key: key.clone(),
        });
    }

    fn set_of(&self, scope: &Scope<'_>) -> usize {
        let mut hasher = self.hasher.build_hasher();
        for text in [scope.access_key, scope.date, scope.region, scope.service] {
            hasher.write(text.as_bytes());
            hasher.write_u8(0xff);
        }
        // The remainder is under SIGNING_KEY_SETS, so it fits.
        (hasher.finish() % SIGNING_KEY_SETS as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope<'a>(access_key: &'a str, date: &'a str) -> Scope<'a> {
        Scope { access_key, date, region: "us-east-1", service: "iam" }
    }

    /// AWS, "Deriving a signing key" (the example with 20150830, us-east-1, iam).
    #[test]
    fn derives_the_published_key() {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let key = SigningKey::derive(&secret, &scope("AKIDEXAMPLE", "20150830"));
        let text = "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n\
                    f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59";
        let signature =
            hex_simd::encode_to_string(key.sign(&[text.as_bytes()]), hex_simd::AsciiCase::Lower);
        assert_eq!(signature, "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
    }

    #[test]
    fn a_changed_secret_is_not_served_from_the_cache() {
        let cache = KeyCache::new();
        let (old, new) = (Secret::new("old"), Secret::new("new"));
        let scope = scope("A", "20150830");
        let id: Arc<str> = "A".into();
        assert!(cache.find(&scope, &old).is_none());
        cache.keep(&scope, &old, &SigningKey::derive(&old, &scope), &id);
        assert!(cache.find(&scope, &Secret::new("old")).is_some());
        assert!(cache.find(&scope, &new).is_none());
        cache.keep(&scope, &new, &SigningKey::derive(&new, &scope), &id);
        assert!(cache.find(&scope, &new).is_some());
        assert!(cache.find(&scope, &old).is_none(), "the stale key was replaced, not joined");
    }

    #[test]
    fn the_cache_is_bounded() {
        let cache = KeyCache::new();
        let secret = Secret::new("s");
        let key = SigningKey::derive(&secret, &scope("A", "20150830"));
        let names: Vec<String> = (0..5_000).map(|n| format!("K{n}")).collect();
        for name in &names {
            let id: Arc<str> = name.as_str().into();
            cache.keep(&scope(name, "20150830"), &secret, &key, &id);
        }
        let kept = names
            .iter()
            .filter(|name| cache.find(&scope(name, "20150830"), &secret).is_some())
            .count();
        assert_eq!(kept, SIGNING_KEY_SETS * SIGNING_KEY_WAYS);
    }
}
