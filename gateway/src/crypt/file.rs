//! Owns the key file: TOML, one `[[key]]` per key, oldest first, mode 0600. Nothing that is encrypted by these keys can be
//! read without it.
//!
//! ```toml
//! [[key]]
//! kind = "master"          # or "kms"
//! name = "testkey-1"       # of a KMS key alone
//! key = "…"                # 32 bytes, base64
//! created = 1760000000
//! ```
//!
//! It is replaced in one step, under a lock, as the credentials file is. Keys are added and never removed: whether an
//! object needs one, only a look at all objects would tell.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::key::SealingKey;
use super::ring::RingKey;
use crate::limits::{CONFIGURATION_FILE_BYTES_MAX, ENCRYPTION_KEYS_MAX, KMS_KEY_NAME_BYTES_MAX};

/// What a key is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sealing the data keys of SSE-S3.
    Master,
    /// Sealing those of SSE-KMS, under this name.
    Kms(Box<str>),
}

impl std::fmt::Display for Kind {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Master => to.write_str("master key"),
            Self::Kms(name) => write!(to, "KMS key {name}"),
        }
    }
}

/// Why the key file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The system refused.
    #[error("key file {path}: {action}: {error}; check that this user may do that there")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// Others than the owner may read or write it.
    #[error(
        "key file {path} has mode {mode:04o}, which lets others read or change its keys; run: chmod 600 {path}"
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not what this file documents. The message never quotes the file, which has secrets.
    #[error("key file {path}: {problem}; correct it, or bring back a copy")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        problem: String,
    },
    /// One more key than is allowed.
    #[error("key file {path} has {ENCRYPTION_KEYS_MAX} keys, which is the most")]
    Full {
        /// The file.
        path: PathBuf,
    },
}

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default, rename = "key")]
    keys: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    key: String,
    #[serde(default)]
    created: u64,
}

impl Entry {
    fn of(key: &RingKey, created: u64) -> Self {
        let (kind, name) = match &key.kind {
            Kind::Master => ("master", None),
            Kind::Kms(name) => ("kms", Some(name.to_string())),
        };
        Self { kind: kind.to_owned(), name, key: to_text(&key.key), created }
    }

    fn parse(&self) -> Result<RingKey, &'static str> {
        let kind = match (&*self.kind, &self.name) {
            ("master", None) => Kind::Master,
            ("kms", Some(name)) => Kind::Kms(check_name(name)?.into()),
            ("master", Some(_)) => return Err("a master key has no name"),
            ("kms", None) => return Err("a KMS key has a name"),
            _ => return Err("kind is neither master nor kms"),
        };
        Ok(RingKey::new(kind, parse_key(&self.key)?))
    }
}

/// A key in base64.
pub fn to_text(key: &SealingKey) -> String {
    base64_simd::STANDARD.encode_to_string(key.reveal())
}

/// The key in a text.
///
/// # Errors
/// What is wrong with it, without a word of it.
pub fn parse_key(text: &str) -> Result<SealingKey, &'static str> {
    let bytes =
        base64_simd::STANDARD.decode_to_vec(text.trim()).map_err(|_| "key is not base64")?;
    let bytes = bytes.try_into().map_err(|_| "key has not 32 bytes")?;
    Ok(SealingKey::new(bytes))
}

/// Checks a KMS key's name: what AWS takes for a key id, an ARN or an alias, in printable ASCII without commas and `=`, by
/// which the environment separates them.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<&str, &'static str> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b',' | b'=' | b'"' | b'\\');
    match name.len() {
        0 => Err("name is empty"),
        length if length > KMS_KEY_NAME_BYTES_MAX => Err("name is longer than 512 characters"),
        _ if !name.bytes().all(plain) => {
            Err("name has characters besides letters, digits and :/_-.")
        }
        _ => Ok(name),
    }
}

/// Reads all keys, oldest first; none when there is no file.
///
/// # Errors
/// [`KeyFileError::TooOpen`], [`KeyFileError::Malformed`] or what the system said.
pub fn read(path: &Path) -> Result<Vec<RingKey>, KeyFileError> {
    Ok(read_entries(path)?.into_iter().map(|(key, _)| key).collect())
}

/// The same with when each was made, in seconds since 1970.
///
/// # Errors
/// As [`read`].
pub fn read_entries(path: &Path) -> Result<Vec<(RingKey, u64)>, KeyFileError> {
    let failed = |action| move |error| io_error(path, action, error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error(path, "open", error)),
    };
    let mode = file.metadata().map_err(failed("look at"))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::TooOpen { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    let limit = CONFIGURATION_FILE_BYTES_MAX;
    file.take(limit + 1).read_to_string(&mut text).map_err(failed("read"))?;
    if text.len() as u64 > limit {
        return Err(malformed(path, format!("larger than {limit} bytes")));
    }
    let document: Document = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        malformed(path, format!("line {line}: {}", error.message()))
    })?;
    if document.keys.len() > ENCRYPTION_KEYS_MAX {
        return Err(malformed(path, format!("more than {ENCRYPTION_KEYS_MAX} keys")));
    }
    let read = |(index, entry): (usize, &Entry)| {
        let key = entry.parse();
        let key =
            key.map_err(|problem| malformed(path, format!("key {}: {problem}", index + 1)))?;
        Ok((key, entry.created))
    };
    document.keys.iter().enumerate().map(read).collect()
}

/// Adds a key, which is then the newest.
///
/// # Errors
/// [`KeyFileError::Full`], or those of [`read`] and of writing; the file is then unchanged.
pub fn add(path: &Path, key: &RingKey) -> Result<(), KeyFileError> {
    change(path, |keys| {
        keys.push((key.clone(), now()));
        true
    })
    .map(drop)
}

/// Adds a key unless there is one of its kind; says whether it has.
///
/// # Errors
/// As [`add`].
pub fn add_first(path: &Path, key: &RingKey) -> Result<bool, KeyFileError> {
    change(path, |keys| {
        let is_first = !keys.iter().any(|(present, _)| present.kind == key.kind);
        if is_first {
            keys.push((key.clone(), now()));
        }
        is_first
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Lets `change` work on the keys under the lock; writes where it says so.
fn change(
    path: &Path,
    change: impl FnOnce(&mut Vec<(RingKey, u64)>) -> bool,
) -> Result<bool, KeyFileError> {
    let folder = File::open(directory(path)).map_err(|error| io_error(path, "open", error))?;
    flock(&folder, FlockOperation::LockExclusive)
        .map_err(|error| io_error(path, "lock", error.into()))?;
    let mut keys = read_entries(path)?;
    let changed = change(&mut keys);
    if keys.len() > ENCRYPTION_KEYS_MAX {
        return Err(KeyFileError::Full { path: path.to_owned() });
    }
    if changed {
        write(path, &keys)?;
    }
    Ok(changed)
}

/// Replaces the file: written beside it, made durable, renamed over it, directory made durable.
fn write(path: &Path, keys: &[(RingKey, u64)]) -> Result<(), KeyFileError> {
    let keys = keys.iter().map(|(key, created)| Entry::of(key, *created)).collect();
    let body =
        toml::to_string(&Document { keys }).map_err(|error| malformed(path, error.to_string()))?;
    let text = format!(
        "# Encryption keys of this store, oldest first. Without them nothing that they encrypt can be read: keep a \
         copy.\n# Add to it with `penstock encryption`.\n\n{body}"
    );
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // A leftover of a writer that was killed; the lock says that there is none now.
    let _ = fs::remove_file(&beside);
    let replace = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(directory(path))?.sync_all()
    };
    replace().map_err(|error| {
        let _ = fs::remove_file(&beside);
        io_error(path, "replace", error)
    })
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn io_error(path: &Path, action: &'static str, error: io::Error) -> KeyFileError {
    KeyFileError::Io { path: path.to_owned(), action, error }
}

fn malformed(path: &Path, problem: String) -> KeyFileError {
    KeyFileError::Malformed { path: path.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn key(kind: Kind) -> RingKey {
        RingKey::new(kind, SealingKey::generate().unwrap())
    }

    #[test]
    fn what_is_added_is_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("encryption.toml");
        assert!(read(&path).unwrap().is_empty());
        let keys = [key(Kind::Master), key(Kind::Kms("a/b:c".into())), key(Kind::Master)];
        for key in &keys {
            add(&path, key).unwrap();
        }
        assert!(!add_first(&path, &key(Kind::Master)).unwrap());
        let found = read(&path).unwrap();
        let brief =
            |keys: &[RingKey]| keys.iter().map(|it| (it.kind.clone(), it.id)).collect::<Vec<_>>();
        assert_eq!(brief(&found), brief(&keys));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_others_could_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("encryption.toml");
        add(&path, &key(Kind::Master)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read(&path), Err(KeyFileError::TooOpen { mode: 0o640, .. })));
        assert!(add(&path, &key(Kind::Master)).is_err());
    }

    #[test]
    fn what_is_wrong_is_said_without_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("encryption.toml");
        let good = to_text(&SealingKey::new([5; 32]));
        for (body, problem) in [
            ("[[key]]\nkind = \"master\"\nkey = \"c2VjcmV0\"", "key 1: key has not 32 bytes"),
            ("[[key]]\nkind = \"master\"\nkey = \"secret!\"", "key 1: key is not base64"),
            ("[[key]]\nkind = \"kms\"\nkey = \"GOOD\"", "key 1: a KMS key has a name"),
            (
                "[[key]]\nkind = \"master\"\nname = \"n\"\nkey = \"GOOD\"",
                "a master key has no name",
            ),
            ("[[key]]\nkind = \"kms\"\nname = \"a b\"\nkey = \"GOOD\"", "name has characters"),
            ("[[key]]\nkind = \"secret\"\nkey = \"GOOD\"", "kind is neither"),
            ("[[key]]\nsecret = 1\n", "line 2"),
        ] {
            fs::write(&path, body.replace("GOOD", &good)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let said = read(&path).unwrap_err().to_string();
            assert!(said.contains(problem), "{said}");
            assert!(!said.contains(&good) && !said.contains("c2VjcmV0"), "{said}");
        }
    }
}
