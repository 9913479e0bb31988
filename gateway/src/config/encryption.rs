//! What is configured of encryption, resolved, checked and typed.
//!
//! Not here: the key file (`crate::crypt::file`), the keys' own documentation (`keys.rs`).

use std::path::{Path, PathBuf};

use super::keys;
use super::plan::{Parsed, Reader, path, switch, wrong};
use crate::crypt::file::{Kind, check_name, parse_key};
use crate::crypt::ring::RingKey;
use crate::limits::ENCRYPTION_KEYS_MAX;

/// What is configured of encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionPlan {
    /// The key file.
    pub key_file: PathBuf,
    /// Keys of the environment, oldest first.
    pub given: Vec<RingKey>,
    /// Whether SSE-C is taken over connections without TLS.
    pub customer_keys_over_http: bool,
}

impl Reader<'_> {
    /// The keys of encryption; `None` says that a finding was kept. `data` is the data directory.
    pub(super) fn encryption(&mut self, data: Option<&Path>) -> Option<EncryptionPlan> {
        let master = self.many(&keys::ENCRYPTION_MASTER_KEY, ENCRYPTION_KEYS_MAX, master_key);
        let kms = self.many(&keys::ENCRYPTION_KMS_KEYS, ENCRYPTION_KEYS_MAX, kms_key);
        let customer_keys_over_http = self.one(&keys::ENCRYPTION_CUSTOMER_KEYS_OVER_HTTP, switch);
        let key_file = match self.raw.written(&keys::ENCRYPTION_KEY_FILE) {
            Some(_) => self.one(&keys::ENCRYPTION_KEY_FILE, path)?,
            None => data?.join("encryption.toml"),
        };
        Some(EncryptionPlan {
            key_file,
            given: master?.into_iter().chain(kms?).collect(),
            customer_keys_over_http: customer_keys_over_http?,
        })
    }
}

const REMEDY: &str = "write 32 random bytes in base64, as `head -c 32 /dev/urandom | base64` makes";

fn master_key(text: &str) -> Parsed<RingKey> {
    match parse_key(text) {
        Ok(key) => Ok(RingKey::new(Kind::Master, key)),
        Err(problem) => wrong(problem, REMEDY),
    }
}

fn kms_key(text: &str) -> Parsed<RingKey> {
    // The padding of base64 has `=` too; names have none.
    let Some((name, key)) = text.split_once('=') else {
        return wrong("not NAME=KEY", "write a name, `=` and 32 bytes in base64");
    };
    let name = match check_name(name.trim()) {
        Ok(name) => name,
        Err(problem) => {
            return wrong(problem, "write a name of letters, digits and :/_-. before the `=`");
        }
    };
    match parse_key(key) {
        Ok(key) => Ok(RingKey::new(Kind::Kms(name.into()), key)),
        Err(problem) => wrong(problem, REMEDY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_never_quoted() {
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        assert_eq!(master_key(key).unwrap().kind, Kind::Master);
        let named = kms_key(&format!("arn:aws:kms:us-east-1:1:key/k={key}")).unwrap();
        assert_eq!(named.kind, Kind::Kms("arn:aws:kms:us-east-1:1:key/k".into()));
        for bad in ["", "AAEC", "not base64", &format!("a b={key}"), &format!("={key}")] {
            for (problem, remedy) in
                [master_key(bad).err(), kms_key(bad).err()].into_iter().flatten()
            {
                assert!(
                    !problem.contains("AAEC") && !remedy.contains("AAEC"),
                    "{problem} {remedy}"
                );
            }
            assert!(master_key(bad).is_err() && kms_key(bad).is_err(), "{bad}");
        }
    }
}
