//! The credentials file: TOML, one `[[key]]` per access key, mode 0600.
//!
//! Owns: reading it, replacing it in one step (a reader sees the old file or the new one, also
//! after a power cut), and the lock that keeps two writers apart.
//!
//! ```toml
//! [[key]]
//! id = "AKIA…"
//! secret = "…"
//! created = 1760000000
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::{AccessKey, Secret};
use crate::limits;

/// Why the credentials file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The system refused.
    #[error("credentials file {path}: {action}: {error}; check that this user may do that there")]
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
        "credentials file {path} has mode {mode:04o}, which lets others read or change its \
         secrets; run: chmod 600 {path}"
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not what this file documents. The message never quotes the file, which has secrets.
    #[error("credentials file {path}: {problem}; correct it, or remove it to have a new key made")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        problem: String,
    },
    /// A key of that id is there already.
    #[error("the access key {0} is there already; choose another id, or remove it first")]
    Exists(String),
    /// There is no key of that id.
    #[error("there is no access key {0}; `penstock keys list` shows all")]
    Unknown(String),
    /// The last key would go.
    #[error("{0} is the last access key, and without one nobody could sign; add another first")]
    Last(String),
    /// One more key than is allowed.
    #[error(
        "there are {} access keys, which is the most; remove one first",
        limits::ACCESS_KEYS_MAX
    )]
    Full,
    /// An id or secret that cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// The system has no random numbers to give.
    #[error("no random numbers from the system: {0}")]
    NoRandomness(getrandom::Error),
}

impl From<getrandom::Error> for CredentialsError {
    fn from(error: getrandom::Error) -> Self {
        CredentialsError::NoRandomness(error)
    }
}

/// A key as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// The key.
    pub key: AccessKey,
    /// Seconds since 1970 at which it was made.
    pub created: u64,
}

impl StoredKey {
    /// The key, made now.
    pub fn now(key: AccessKey) -> StoredKey {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        StoredKey { key, created: since.as_secs() }
    }
}

/// What distinguishes one state of the file from the next: replacing it changes the inode, editing
/// it in place the time or the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// The present state of the file; `None` when it cannot be looked at.
    pub fn of(path: &Path) -> Option<Stamp> {
        let meta = fs::metadata(path).ok()?;
        let modified = (meta.mtime(), meta.mtime_nsec());
        Some(Stamp { inode: meta.ino(), size: meta.size(), modified })
    }
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
    id: String,
    secret: String,
    #[serde(default)]
    created: u64,
}

/// Reads all keys; `None` when there is no file.
///
/// # Errors
/// [`CredentialsError::TooOpen`], [`CredentialsError::Malformed`] or what the system said.
pub fn read(path: &Path) -> Result<Option<Vec<StoredKey>>, CredentialsError> {
    let failed = |action| move |error| io_error(path, action, error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path, "open", error)),
    };
    let mode = file.metadata().map_err(failed("look at"))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(CredentialsError::TooOpen { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    let limit = limits::CONFIGURATION_FILE_BYTES_MAX;
    file.take(limit + 1).read_to_string(&mut text).map_err(failed("read"))?;
    if text.len() as u64 > limit {
        return Err(malformed(path, format!("larger than {limit} bytes")));
    }
    parse(path, &text).map(Some)
}

fn parse(path: &Path, text: &str) -> Result<Vec<StoredKey>, CredentialsError> {
    let document: Document = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        malformed(path, format!("line {line}: {}", error.message()))
    })?;
    if document.keys.len() > limits::ACCESS_KEYS_MAX {
        return Err(malformed(path, format!("more than {} keys", limits::ACCESS_KEYS_MAX)));
    }
    let stored = |(index, entry): (usize, Entry)| {
        let at = |problem| malformed(path, format!("key {}: {problem}", index + 1));
        AccessKey::check_id(&entry.id).map_err(|problem| at(format!("id {problem}")))?;
        let secret =
            Secret::from_text(&entry.secret).map_err(|problem| at(format!("secret {problem}")))?;
        let key = AccessKey { id: entry.id.into(), secret };
        Ok(StoredKey { key, created: entry.created })
    };
    document.keys.into_iter().enumerate().map(stored).collect()
}

/// Replaces the file: written beside it, made durable, renamed over it, directory made durable.
///
/// # Errors
/// What the system said; the old file is then still whole.
pub fn write(path: &Path, keys: &[StoredKey]) -> Result<(), CredentialsError> {
    let entries = keys.iter().map(|stored| Entry {
        id: stored.key.id.to_string(),
        secret: stored.key.secret.reveal().to_string(),
        created: stored.created,
    });
    let body = toml::to_string(&Document { keys: entries.collect() })
        .map_err(|error| malformed(path, error.to_string()))?;
    let text = format!("# Access keys of this store. Edit with `penstock keys`.\n\n{body}");
    let beside = beside(path);
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

/// Changes the file under its lock: reads, lets `change` work on the keys, writes when it succeeds.
///
/// # Errors
/// Those of [`read`], [`write()`] and `change`; the file is then unchanged.
pub fn update<T>(
    path: &Path,
    change: impl FnOnce(&mut Vec<StoredKey>) -> Result<T, CredentialsError>,
) -> Result<T, CredentialsError> {
    let folder = File::open(directory(path)).map_err(|error| io_error(path, "open", error))?;
    flock(&folder, FlockOperation::LockExclusive)
        .map_err(|error| io_error(path, "lock", error.into()))?;
    let mut keys = read(path)?.unwrap_or_default();
    let answer = change(&mut keys)?;
    write(path, &keys)?;
    Ok(answer)
}

/// Adds a key.
///
/// # Errors
/// [`CredentialsError::Exists`], [`CredentialsError::Full`] or those of [`update`].
pub fn add(path: &Path, key: AccessKey) -> Result<(), CredentialsError> {
    update(path, |keys| {
        if keys.iter().any(|stored| stored.key.id == key.id) {
            return Err(CredentialsError::Exists(key.id.to_string()));
        }
        if keys.len() >= limits::ACCESS_KEYS_MAX {
            return Err(CredentialsError::Full);
        }
        keys.push(StoredKey::now(key));
        Ok(())
    })
}

/// Removes a key. The running server stops accepting it within two seconds.
///
/// # Errors
/// [`CredentialsError::Unknown`], [`CredentialsError::Last`] or those of [`update`].
pub fn remove(path: &Path, id: &str) -> Result<(), CredentialsError> {
    update(path, |keys| {
        let Some(at) = keys.iter().position(|stored| &*stored.key.id == id) else {
            return Err(CredentialsError::Unknown(id.to_owned()));
        };
        if keys.len() == 1 {
            return Err(CredentialsError::Last(id.to_owned()));
        }
        keys.remove(at);
        Ok(())
    })
}

/// The keys of a store at start, and the one that was made for it when it had none.
#[derive(Debug)]
pub struct Opened {
    /// All keys of the file.
    pub keys: Vec<AccessKey>,
    /// Made just now; its secret is shown this once.
    pub generated: Option<AccessKey>,
}

/// Reads the file, and makes it with one generated key when it is absent or empty and `generate`
/// asks for that.
///
/// # Errors
/// Those of [`update`] and of the random numbers.
pub fn open(path: &Path, generate: bool) -> Result<Opened, CredentialsError> {
    let present = read(path)?.unwrap_or_default();
    if !present.is_empty() || !generate {
        let keys = present.into_iter().map(|stored| stored.key).collect();
        return Ok(Opened { keys, generated: None });
    }
    let fresh = AccessKey::generate()?;
    add(path, fresh.clone())?;
    Ok(Opened { keys: vec![fresh.clone()], generated: Some(fresh) })
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn io_error(path: &Path, action: &'static str, error: io::Error) -> CredentialsError {
    CredentialsError::Io { path: path.to_owned(), action, error }
}

fn malformed(path: &Path, problem: String) -> CredentialsError {
    CredentialsError::Malformed { path: path.to_owned(), problem }
}
