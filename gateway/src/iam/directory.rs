//! Owns: everyone who may sign now, for verification to ask of on every request.
//! Limits: `ACCESS_KEYS_MAX`, checked where keys are read.
//! Not here: where they are written down (`credentials`).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest as _, Sha256};

use super::principal::{Account, Principal};
use crate::auth::{AuthError, Secrets};
use crate::credentials::{AccessKey, Secret};

/// What verification needs of a key, in one look: the secret and whose it is.
#[derive(Debug, Clone)]
pub struct Known {
    /// To check the signature with.
    pub secret: Secret,
    /// Who has signed, if it is right.
    pub principal: Arc<Principal>,
}

/// Everyone who may sign. Shared by all lanes; replaced as a whole when something changes.
#[derive(Debug, Default)]
pub struct Iam {
    keys: RwLock<BTreeMap<Arc<str>, Known>>,
}

impl Iam {
    /// These keys, as roots of the account `penstock`. Of two with the same id the later one holds.
    pub fn new(keys: impl IntoIterator<Item = AccessKey>) -> Iam {
        let iam = Iam::default();
        iam.replace(keys);
        iam
    }

    /// Exchanges all keys at once: a request sees the old ones or the new ones.
    pub fn replace(&self, keys: impl IntoIterator<Item = AccessKey>) {
        let account = Arc::new(Account::penstock());
        let known = |key: AccessKey| {
            let print = fingerprint(&key.secret);
            let principal = Principal::root(key.id.clone(), account.clone(), print);
            (key.id, Known { secret: key.secret, principal: Arc::new(principal) })
        };
        let fresh = keys.into_iter().map(known).collect();
        // Nothing panics while the lock is held, so a poisoned lock has whole contents.
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    /// The secret of that id with its principal, when it is a valid key. One uncontended read lock.
    pub fn known(&self, id: &str) -> Option<Known> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Whether what was verified a while ago would be verified now.
    pub fn stands(&self, principal: &Principal) -> bool {
        self.known(&principal.access_key)
            .is_some_and(|known| known.principal.fingerprint == principal.fingerprint)
    }

    /// Whom a client certificate of that subject is mapped to.
    pub fn of_certificate(&self, _subject: &str) -> Option<Arc<Principal>> {
        None
    }

    /// The ids of all valid keys, sorted.
    pub fn ids(&self) -> Vec<Arc<str>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

impl Secrets for Iam {
    fn known(&self, key: &str, token: Option<&[u8]>, _now: i64) -> Result<Known, AuthError> {
        let known = Iam::known(self, key).ok_or(AuthError::InvalidAccessKeyId(key.into()))?;
        match token {
            None => Ok(known),
            Some(_) => Err(AuthError::InvalidToken),
        }
    }
}

/// Enough that two secrets of one key differ, too few to learn anything of one.
fn fingerprint(secret: &Secret) -> [u8; 8] {
    let digest = Sha256::new()
        .chain_update(b"penstock rdma principal\n")
        .chain_update(secret.reveal().as_bytes())
        .finalize();
    let mut print = [0; 8];
    print.copy_from_slice(&digest[..8]);
    print
}
