//! Files of certificates, keys and secrets.
//!
//! Owns: reading them, and the rule that files with secrets may be read by their owner and their group
//! alone: the group is for another process that uses the same key.
//! Limits: `CONFIGURATION_FILE_BYTES_MAX` of each file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::limits;

/// Why a file cannot be used. Never quotes it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("{key} = {path}: {error}; check that this user may read it", path = .path.display())]
    Io {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Others may read the secret.
    #[error(
        "{key} = {path}: its mode {mode:04o} lets others read or change the secret; run: \
         chmod 600 {path}",
        path = .path.display()
    )]
    TooOpen {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// What is in it cannot be used.
    #[error("{key} = {path}: {problem}", path = .path.display())]
    Unusable {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

/// A file of that key.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The configuration's key.
    pub key: &'static str,
    /// The file.
    pub path: &'a Path,
}

impl Source<'_> {
    /// All of it.
    ///
    /// # Errors
    /// What the system said, and [`FileError::Unusable`] when it is too long.
    pub fn read(self) -> Result<Vec<u8>, FileError> {
        let (bytes, _) = self.read_with_mode()?;
        Ok(bytes)
    }

    /// All of a file that has a secret.
    ///
    /// # Errors
    /// As [`Source::read`], and [`FileError::TooOpen`].
    pub fn read_secret(self) -> Result<Vec<u8>, FileError> {
        let (bytes, mode) = self.read_with_mode()?;
        match mode & 0o027 {
            0 => Ok(bytes),
            _ => Err(FileError::TooOpen { key: self.key, path: self.path.into(), mode }),
        }
    }

    fn read_with_mode(self) -> Result<(Vec<u8>, u32), FileError> {
        let file = File::open(self.path).map_err(|error| self.failed(error))?;
        let mode = file.metadata().map_err(|error| self.failed(error))?.mode() & 0o7777;
        let most = limits::CONFIGURATION_FILE_BYTES_MAX;
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes).map_err(|error| self.failed(error))?;
        match bytes.len() as u64 > most {
            true => Err(self.unusable(format!("longer than {most} bytes"))),
            false => Ok((bytes, mode)),
        }
    }

    /// That the system refused.
    pub fn failed(self, error: io::Error) -> FileError {
        FileError::Io { key: self.key, path: self.path.to_owned(), error }
    }

    /// That it cannot be used.
    pub fn unusable(self, problem: String) -> FileError {
        FileError::Unusable { key: self.key, path: self.path.to_owned(), problem }
    }
}

/// Authorities to trust.
///
/// # Errors
/// When there is none, or one that is no certificate.
pub fn roots(source: Source<'_>) -> Result<RootCertStore, FileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(source)? {
        roots.add(certificate).map_err(|error| source.unusable(error.to_string()))?;
    }
    Ok(roots)
}

/// A private key, which others may not read.
///
/// # Errors
/// When there is none.
pub fn private_key(source: Source<'_>) -> Result<PrivateKeyDer<'static>, FileError> {
    PrivateKeyDer::from_pem_slice(&source.read_secret()?)
        .map_err(|error| source.unusable(format!("no private key in PEM in it: {error}")))
}

/// Certificates, at least one, as they stand in the file.
///
/// # Errors
/// When there is none, or something else that should be one.
pub fn certificates(source: Source<'_>) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let text = source.read()?;
    let all = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| source.unusable(format!("not PEM: {error}")))?;
    match all.is_empty() {
        true => Err(source.unusable("no certificate in PEM in it".into())),
        false => Ok(all),
    }
}
