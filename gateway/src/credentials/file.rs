//! The credentials file: TOML, mode 0600: keys, and the accounts, users and roles whose they are. The
//! file of users, which configuration may name, has the same form, and is only read.
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
//! `document` has all that may be in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::AccessKey;
use super::document::{Document, KeyEntry};
use crate::iam::Account;
use crate::limits;
use rustix::fs::{FlockOperation, flock};

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
    #[error("credentials file {path}: {problem}; correct it")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        problem: String,
    },
    /// A key of that id is there already.
    #[error("the access key {0} is there already; choose another id, or remove it first")]
    Exists(String),
    /// The last key would go.
    #[error(
        "{0} is the last access key that is valid, and without one nobody could sign; add another first"
    )]
    Last(String),
    /// What is in the files does not go together.
    #[error("{0}")]
    Contradiction(String),
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

/// Reads the file; `None` when there is none. TOML, or JSON when its name ends in `.json`.
///
/// # Errors
/// [`CredentialsError::TooOpen`], [`CredentialsError::Malformed`] or what the system said.
pub fn read(path: &Path) -> Result<Option<Document>, CredentialsError> {
    secret_text(path)?.map(|text| parse(path, &text)).transpose()
}

/// The text of a file of secrets; `None` when there is none.
///
/// # Errors
/// As [`read`].
pub fn secret_text(path: &Path) -> Result<Option<String>, CredentialsError> {
    match text_of(path)? {
        Some((_, mode)) if mode & 0o077 != 0 => {
            Err(CredentialsError::TooOpen { path: path.to_owned(), mode })
        }
        found => Ok(found.map(|(text, _)| text)),
    }
}

/// Reads the file of users, which must be there. With keys in it, it may be its owner's and group's
/// alone, as an orchestrator mounts its secrets; without, everybody's.
///
/// # Errors
/// As [`read`].
pub fn read_users(path: &Path) -> Result<Document, CredentialsError> {
    let absent = || io_error(path, "open", io::ErrorKind::NotFound.into());
    let (text, mode) = text_of(path)?.ok_or_else(absent)?;
    let document = parse(path, &text)?;
    if mode & 0o007 != 0 && !document.keys.is_empty() {
        return Err(CredentialsError::TooOpen { path: path.to_owned(), mode });
    }
    Ok(document)
}

fn text_of(path: &Path) -> Result<Option<(String, u32)>, CredentialsError> {
    let failed = |action| move |error| io_error(path, action, error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path, "open", error)),
    };
    let mode = file.metadata().map_err(failed("look at"))?.mode() & 0o7777;
    let mut text = String::new();
    let limit = limits::CREDENTIALS_FILE_BYTES_MAX;
    file.take(limit + 1).read_to_string(&mut text).map_err(failed("read"))?;
    if text.len() as u64 > limit {
        return Err(malformed(path, format!("larger than {limit} bytes")));
    }
    Ok(Some((text, mode)))
}

fn parse(path: &Path, text: &str) -> Result<Document, CredentialsError> {
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let document: Document = match is_json {
        // serde_json's messages quote names, and values only of the wrong kind.
        true => serde_json::from_str(text).map_err(|error| {
            malformed(path, format!("line {}: {:?}", error.line(), error.classify()))
        })?,
        false => toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            malformed(path, format!("line {line}: {}", error.message()))
        })?,
    };
    document.check().map_err(|problem| malformed(path, problem))?;
    Ok(document)
}

/// Replaces the file: written beside it, made durable, renamed over it, directory made durable.
///
/// # Errors
/// What the system said; the old file is then still whole.
pub fn write(path: &Path, document: &Document) -> Result<(), CredentialsError> {
    document.check().map_err(CredentialsError::Unusable)?;
    let body =
        toml::to_string_pretty(document).map_err(|error| malformed(path, error.to_string()))?;
    let text = format!(
        "# Keys, users and policies of this store. Edit with `penstock key`, `user` and `policy`.\n\n\
         {body}"
    );
    replace(path, &text)
}

/// Replaces a file of secrets by that text: the owner's alone, durable, in one step.
///
/// # Errors
/// What the system said; the old file is then still whole.
pub fn replace(path: &Path, text: &str) -> Result<(), CredentialsError> {
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

/// Changes the file under its lock: reads, lets `change` work on it, writes when it succeeds and has
/// changed anything.
///
/// # Errors
/// Those of [`read`], [`write()`] and `change`; the file is then unchanged.
pub fn update<T, E: From<CredentialsError>>(
    path: &Path,
    change: impl FnOnce(&mut Document) -> Result<T, E>,
) -> Result<T, E> {
    let folder = File::open(directory(path)).map_err(|error| io_error(path, "open", error))?;
    flock(&folder, FlockOperation::LockExclusive)
        .map_err(|error| io_error(path, "lock", error.into()))?;
    let before = read(path)?;
    let mut document = before.clone().unwrap_or_default();
    let answer = change(&mut document)?;
    if before.as_ref() != Some(&document) {
        write(path, &document)?;
    }
    Ok(answer)
}

/// Adds a key of the root of `penstock`.
///
/// # Errors
/// [`CredentialsError::Exists`], [`CredentialsError::Full`] or those of [`update`].
pub fn add(path: &Path, key: &AccessKey) -> Result<(), CredentialsError> {
    update(path, |document| {
        if document.keys.iter().any(|stored| *stored.id == *key.id) {
            return Err(CredentialsError::Exists(key.id.to_string()));
        }
        if document.keys.len() >= limits::ACCESS_KEYS_MAX {
            return Err(CredentialsError::Full);
        }
        document.keys.push(KeyEntry::new(key, Account::PENSTOCK, None, now()));
        Ok(())
    })
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The file at start, and the key that was made for it when it had none.
#[derive(Debug)]
pub struct Opened {
    /// All of the file.
    pub document: Document,
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
    if !present.keys.is_empty() || !generate {
        return Ok(Opened { document: present, generated: None });
    }
    let fresh = AccessKey::generate()?;
    add(path, &fresh)?;
    let document = read(path)?.unwrap_or_default();
    Ok(Opened { document, generated: Some(fresh) })
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
