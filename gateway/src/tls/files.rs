//! Certificates and keys of S3's TLS, as files have them.
//!
//! Owns: reading them, at the start and when they have changed, and what is said of each certificate.
//! Limits: `TLS_CERTIFICATES_MAX`, `CONFIGURATION_FILE_BYTES_MAX` of each file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use super::certificate::Facts;
use super::names::Certificates;
use super::pem::{self, FileError, Source};
use super::provider;
use crate::config::TlsPlan;
use crate::credentials::file::Stamp;
use crate::limits;

/// What is said of a certificate in messages and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its file.
    pub file: PathBuf,
    /// DNS names.
    pub names: Vec<String>,
    /// The first second in which it is not valid any more, since 1970.
    pub not_after: i64,
    /// SHA-256 of it, as `openssl x509 -fingerprint -sha256` prints it.
    pub fingerprint: String,
}

/// What the files have.
#[derive(Debug)]
pub struct Contents {
    /// Certificates by name.
    pub certificates: Arc<Certificates>,
    /// The same for people, the first one first.
    pub shown: Vec<Shown>,
    /// Authorities of clients; none when clients are not asked.
    pub authorities: Option<Authorities>,
}

/// Authorities of clients' certificates.
#[derive(Debug)]
pub struct Authorities {
    /// To verify with.
    pub roots: Arc<RootCertStore>,
    /// As they stand in the file.
    pub certificates: Vec<CertificateDer<'static>>,
}

impl Contents {
    /// Reads all files.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn read(plan: &TlsPlan) -> Result<Contents, FileError> {
        let certificate = Source { key: "tls.certificate", path: &plan.certificate };
        let key = Source { key: "tls.key", path: &plan.key };
        let (first, facts) = certified(certificate, key)?;
        let mut shown = vec![show(&plan.certificate, &first, &facts)];
        let mut certificates = Certificates::new(first, &facts);
        for (certificate, key) in pairs(plan)? {
            let certificate = Source { key: "tls.certificates", path: &certificate };
            let key = Source { key: "tls.certificates", path: &key };
            let (further, facts) = certified(certificate, key)?;
            if facts.dns_names.is_empty() {
                return Err(certificate.unusable("no DNS name in it to choose it by".into()));
            }
            let taken = certificates.add(&further, &facts);
            if !taken.is_empty() {
                let file = certificate.path.display();
                tracing::warn!(%file, ?taken, "names that another certificate has already");
            }
            shown.push(show(certificate.path, &further, &facts));
        }
        let authorities = plan.client_ca.as_deref().map(authorities).transpose()?;
        Ok(Contents { certificates: Arc::new(certificates), shown, authorities })
    }
}

fn authorities(path: &Path) -> Result<Authorities, FileError> {
    let source = Source { key: "tls.client_ca", path };
    let certificates = pem::certificates(source)?;
    Ok(Authorities { roots: pem::roots(source)?.into(), certificates })
}

/// A certificate with its key, which fit each other.
fn certified(
    certificate: Source<'_>,
    key: Source<'_>,
) -> Result<(Arc<CertifiedKey>, Facts), FileError> {
    let chain = pem::certificates(certificate)?;
    let facts = Facts::of(&chain[0])
        .ok_or_else(|| certificate.unusable("the first certificate in it is damaged".into()))?;
    let private = pem::private_key(key)?;
    let certified = CertifiedKey::from_der(chain, private, &provider()).map_err(|error| {
        certificate.unusable(format!("does not work with {}: {error}", key.path.display()))
    })?;
    Ok((Arc::new(certified), facts))
}

fn show(file: &Path, certificate: &CertifiedKey, facts: &Facts) -> Shown {
    let fingerprint = certificate.end_entity_cert().map(|it| fingerprint(it)).unwrap_or_default();
    Shown {
        file: file.to_owned(),
        names: facts.dns_names.clone(),
        not_after: facts.not_after,
        fingerprint,
    }
}

/// SHA-256 of a certificate: `AB:CD:…`.
pub fn fingerprint(certificate: &[u8]) -> String {
    let digest = Sha256::digest(certificate);
    let bytes: Vec<_> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}

/// Certificates of the folder with their keys, by name.
fn pairs(plan: &TlsPlan) -> Result<Vec<(PathBuf, PathBuf)>, FileError> {
    let Some(folder) = &plan.folder else { return Ok(Vec::new()) };
    let source = Source { key: "tls.certificates", path: folder };
    let mut certificates = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| source.failed(error))? {
        let path = entry.map_err(|error| source.failed(error))?.path();
        let kind = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
        if matches!(kind, "crt" | "pem") {
            certificates.push(path);
        }
        if certificates.len() > limits::TLS_CERTIFICATES_MAX {
            let most = limits::TLS_CERTIFICATES_MAX;
            return Err(source.unusable(format!("more than {most} certificates in it")));
        }
    }
    certificates.sort();
    Ok(certificates.into_iter().map(|it| (it.clone(), it.with_extension("key"))).collect())
}

/// The state of all files that a plan names, to see that one has changed.
pub fn stamps(plan: &TlsPlan) -> Vec<(PathBuf, Option<Stamp>)> {
    let mut paths = vec![plan.certificate.clone(), plan.key.clone()];
    paths.extend(plan.client_ca.clone());
    // A folder that cannot be read shows when it is read.
    let pairs = pairs(plan).unwrap_or_default();
    paths.extend(pairs.into_iter().flat_map(|(certificate, key)| [certificate, key]));
    paths.into_iter().map(|path| (path.clone(), Stamp::of(&path))).collect()
}
