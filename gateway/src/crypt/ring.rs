//! Owns the keys that seal data keys: which there are, which of a name seals (the newest) and which opens (the one that
//! sealed), and that the running server takes what `penstock encryption` adds.
//!
//! A key is known by its id, the first 8 bytes of a SHA-256 over it: records name it, so that the order of a file or of
//! a variable may change, and a key may move from one to the other.
//!
//! Not here: the file (`file`), what a key seals (`key`).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use super::file::{self, KeyFileError, Kind};
use super::key::{NoRandomness, SealingKey};
use crate::credentials::file::Stamp;
use crate::limits::CREDENTIALS_POLL;

/// The name of the KMS key of requests that name none, as AWS calls the one that it makes for S3.
pub const KMS_DEFAULT: &str = "aws/s3";

/// Which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 8]);

impl std::fmt::Display for KeyId {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(&hex_simd::encode_to_string(self.0, hex_simd::AsciiCase::Lower))
    }
}

impl KeyId {
    /// Of a key. It says nothing of it: the key is 256 random bits.
    pub fn of(key: &SealingKey) -> Self {
        let digest =
            Sha256::new().chain_update(b"penstock: id of a key").chain_update(key.reveal());
        let digest: [u8; 32] = digest.finalize().into();
        Self(std::array::from_fn(|at| digest[at]))
    }
}

/// One key of a ring. Keys with the same id are the same.
#[derive(Clone, Debug)]
pub struct RingKey {
    /// What it is for.
    pub kind: Kind,
    /// Its id.
    pub id: KeyId,
    /// It.
    pub key: SealingKey,
}

impl PartialEq for RingKey {
    fn eq(&self, other: &Self) -> bool {
        (&self.kind, self.id) == (&other.kind, other.id)
    }
}

impl Eq for RingKey {}

impl RingKey {
    /// A key for `kind`.
    pub fn new(kind: Kind, key: SealingKey) -> Self {
        Self { kind, id: KeyId::of(&key), key }
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum NoKey {
    /// None of the KMS keys has the name.
    #[error("there is no KMS key {0}")]
    NoSuchName(Box<str>),
    /// The key that sealed an object is not here.
    #[error(
        "the key {id} ({kind}) that seals an object is neither in {path} nor in the environment; bring the key back"
    )]
    Lost {
        /// Which.
        id: KeyId,
        /// What for.
        kind: Kind,
        /// The key file.
        path: PathBuf,
    },
    /// There is no place to keep a key that would have to be made.
    #[error("no key file is configured")]
    NoFile,
    /// The key file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The system.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// All keys. Shared by all lanes.
#[derive(Debug)]
pub struct Keys {
    /// None in tests of what needs no keys.
    path: Option<PathBuf>,
    /// Of the environment, oldest first; they are newer than the file's.
    given: Vec<RingKey>,
    /// The file's and then those given, oldest first.
    all: RwLock<Arc<[RingKey]>>,
    /// The file as it was last read.
    stamp: Mutex<Option<Stamp>>,
    /// When it was last looked at.
    looked: Mutex<Instant>,
}

impl Keys {
    /// Reads the key file, which need not be there.
    ///
    /// # Errors
    /// A file that cannot be read, or that others can.
    pub fn open(path: &Path, given: Vec<RingKey>) -> Result<Self, KeyFileError> {
        let keys = Self { path: Some(path.to_owned()), ..Self::of(given) };
        keys.read()?;
        Ok(keys)
    }

    /// Those keys alone, and no file to make others in.
    pub fn of(given: Vec<RingKey>) -> Self {
        let all = RwLock::new(given.clone().into());
        let looked = Mutex::new(Instant::now());
        Self { path: None, given, all, stamp: Mutex::default(), looked }
    }

    /// Reads the file again when it has changed; says whether it has.
    ///
    /// # Errors
    /// As [`Self::open`]; the keys are then those that were there.
    pub fn refresh(&self) -> Result<bool, KeyFileError> {
        let present = self.path.as_deref().and_then(Stamp::of);
        if present == *self.stamp.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(false);
        }
        self.read().map(|()| true)
    }

    fn read(&self) -> Result<(), KeyFileError> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        let present = Stamp::of(path);
        // What cannot be read is not read, and complained of, again before it changes.
        *stamp = present;
        let mut all = file::read(path)?;
        all.extend(self.given.iter().cloned());
        *self.all.write().unwrap_or_else(PoisonError::into_inner) = all.into();
        Ok(())
    }

    /// All keys, oldest first.
    pub fn all(&self) -> Arc<[RingKey]> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The master key that seals.
    ///
    /// The first that a server needs is made then, in the key file, and the log says so. It takes some milliseconds of
    /// the lane, once in the life of a store.
    ///
    /// # Errors
    /// [`NoKey`] where it cannot be made.
    pub fn newest_master(&self) -> Result<RingKey, NoKey> {
        self.newest(&Kind::Master).map_or_else(|| self.make(Kind::Master), Ok)
    }

    /// The KMS key that seals, by a name that a request gives: as the ring has it, or the last part of that: a key's ARN
    /// and its id name the same key. None is [`KMS_DEFAULT`], which is made at its first use.
    ///
    /// # Errors
    /// [`NoKey::NoSuchName`].
    pub fn newest_kms(&self, name: Option<&str>) -> Result<RingKey, NoKey> {
        let name = name.unwrap_or(KMS_DEFAULT);
        let found = self.newest(&Kind::Kms(name.into())).or_else(|| {
            let all = self.all();
            let same = |key: &&RingKey| match &key.kind {
                Kind::Kms(present) => short(present) == short(name),
                Kind::Master => false,
            };
            let resolved = all.iter().rev().find(same)?.kind.clone();
            self.newest(&resolved)
        });
        match found {
            Some(key) => Ok(key),
            None if short(name) == KMS_DEFAULT => self.make(Kind::Kms(KMS_DEFAULT.into())),
            None => Err(NoKey::NoSuchName(name.into())),
        }
    }

    /// The key that sealed, whatever has been added since.
    ///
    /// # Errors
    /// [`NoKey::Lost`].
    pub fn with_id(&self, kind: Kind, id: KeyId) -> Result<RingKey, NoKey> {
        let found = || self.all().iter().rev().find(|key| key.id == id).cloned();
        // Another process may have added it since the file was last looked at.
        let found = found().or_else(|| self.refresh().is_ok_and(|read| read).then(found).flatten());
        let path = || self.path.clone().unwrap_or_default();
        found.ok_or_else(|| NoKey::Lost { id, kind, path: path() })
    }

    fn newest(&self, kind: &Kind) -> Option<RingKey> {
        self.look();
        self.all().iter().rev().find(|key| key.kind == *kind).cloned()
    }

    /// Takes up what was added to the file, at most once in [`CREDENTIALS_POLL`]: a look at it costs a microsecond.
    fn look(&self) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.elapsed() < CREDENTIALS_POLL {
            return;
        }
        *looked = Instant::now();
        drop(looked);
        match self.refresh() {
            Ok(true) => tracing::info!(keys = self.all().len(), "encryption keys read again"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the old encryption keys stay"),
        }
    }

    /// Makes a first key of that kind, unless another process or lane has.
    fn make(&self, kind: Kind) -> Result<RingKey, NoKey> {
        let path = self.path.as_deref().ok_or(NoKey::NoFile)?;
        let fresh = RingKey::new(kind.clone(), SealingKey::generate()?);
        if file::add_first(path, &fresh)? {
            tracing::warn!(
                id = %fresh.id,
                kind = %kind,
                path = %path.display(),
                "made an encryption key: what is encrypted from now on cannot be read without this file; keep a copy \
                 of it apart from the store"
            );
        }
        self.read()?;
        self.newest(&kind).ok_or(NoKey::NoFile)
    }
}

/// What of a KMS key's name remains without `arn:…:key/`, `arn:…:alias/` or `alias/`.
fn short(name: &str) -> &str {
    let last = match name.starts_with("arn:") {
        true => name.rsplit_once(':').map_or(name, |(_, last)| last),
        false => name,
    };
    last.strip_prefix("key/").or_else(|| last.strip_prefix("alias/")).unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kms(name: &str) -> RingKey {
        RingKey::new(Kind::Kms(name.into()), SealingKey::generate().unwrap())
    }

    #[test]
    fn the_newest_seals_and_all_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("encryption.toml");
        let keys = Keys::open(&path, Vec::new()).unwrap();
        let first = keys.newest_master().unwrap();
        assert_eq!(keys.newest_master().unwrap().id, first.id, "made once");
        let second = RingKey::new(Kind::Master, SealingKey::generate().unwrap());
        file::add(&path, &second).unwrap();
        assert!(keys.refresh().unwrap() && !keys.refresh().unwrap());
        assert_eq!(keys.newest_master().unwrap().id, second.id);
        assert_eq!(keys.with_id(Kind::Master, first.id).unwrap().id, first.id);
        let lost = keys.with_id(Kind::Master, KeyId([0; 8])).unwrap_err();
        assert!(lost.to_string().contains("0000000000000000"), "{lost}");
        // Another process finds the same keys.
        let others = Keys::open(&path, Vec::new()).unwrap();
        assert_eq!(others.newest_master().unwrap().id, second.id);
    }

    #[test]
    fn a_key_of_another_process_is_found_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("encryption.toml");
        let keys = Keys::open(&path, Vec::new()).unwrap();
        let added = kms("k");
        file::add(&path, &added).unwrap();
        assert_eq!(keys.with_id(added.kind.clone(), added.id).unwrap().id, added.id);
    }

    #[test]
    fn names_of_kms_keys_have_several_forms() {
        let arn = "arn:aws:kms:us-east-1:111122223333:key/1234abcd";
        let keys = Keys::of(vec![kms(arn), kms("testkey-1"), kms("testkey-1")]);
        for name in [arn, "1234abcd", "arn:aws:kms:eu-west-1:1:key/1234abcd"] {
            let found = keys.newest_kms(Some(name)).unwrap();
            assert_eq!(found.kind, Kind::Kms(arn.into()), "{name}");
        }
        let all = keys.all();
        for name in ["testkey-1", "alias/testkey-1"] {
            assert_eq!(keys.newest_kms(Some(name)).unwrap().id, all[2].id, "{name}: the newest");
        }
        let unknown = keys.newest_kms(Some("testkey-2"));
        assert!(matches!(unknown, Err(NoKey::NoSuchName(name)) if &*name == "testkey-2"));
        assert!(matches!(keys.newest_kms(None), Err(NoKey::NoFile)), "no place to make it");
        assert!(matches!(keys.newest_master(), Err(NoKey::NoFile)));
    }

    #[test]
    fn the_default_kms_key_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(&folder.path().join("encryption.toml"), Vec::new()).unwrap();
        let made = keys.newest_kms(None).unwrap();
        for name in [None, Some("alias/aws/s3"), Some("aws/s3")] {
            assert_eq!(keys.newest_kms(name).unwrap().id, made.id);
        }
        assert_eq!(keys.all().len(), 1);
    }

    #[test]
    fn a_key_of_the_environment_is_newer_than_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("encryption.toml");
        let in_file = Keys::open(&path, Vec::new()).unwrap().newest_master().unwrap();
        let given = RingKey::new(Kind::Master, SealingKey::generate().unwrap());
        let keys = Keys::open(&path, vec![given.clone()]).unwrap();
        assert_eq!(keys.newest_master().unwrap().id, given.id);
        assert!(keys.with_id(Kind::Master, in_file.id).is_ok());
    }
}
