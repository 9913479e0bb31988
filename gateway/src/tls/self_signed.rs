//! A certificate for a first try, made on request and never by itself.
//!
//! Owns: making it, its names, and where it is kept. It signs itself, so whoever wants to believe it
//! has to be given it, or its fingerprint, by a way that is trusted already.
//! It is valid for [`limits::SELF_SIGNED_TIME`] and made anew at the first start after that.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::certificate::Facts;
use super::files::fingerprint;
use crate::config::TlsPlan;
use crate::limits;

/// What came of a request for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfSigned {
    /// SHA-256 of it.
    pub fingerprint: String,
    /// Whether it was made now.
    pub made: bool,
}

/// Sees to it that a certificate is there, and leaves one alone that is still valid.
///
/// # Errors
/// What the system said, with the file.
pub fn ensure(plan: &TlsPlan, names: &[String]) -> Result<SelfSigned, String> {
    match existing(&plan.certificate) {
        Some(fingerprint) if plan.key.exists() => Ok(SelfSigned { fingerprint, made: false }),
        _ => make(&plan.certificate, &plan.key, names),
    }
}

/// The fingerprint of one that is still valid.
fn existing(path: &Path) -> Option<String> {
    let certificate = CertificateDer::from_pem_slice(&fs::read(path).ok()?).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let facts = Facts::of(&certificate)?;
    (facts.not_after > i64::try_from(now).ok()?).then(|| fingerprint(&certificate))
}

/// Makes one, in place of what is there.
///
/// # Errors
/// What the system said, with the file.
pub fn make(certificate: &Path, key: &Path, names: &[String]) -> Result<SelfSigned, String> {
    let failed = |error: rcgen::Error| format!("cannot make a certificate: {error}");
    let pair = KeyPair::generate().map_err(failed)?;
    let mut parameters = CertificateParams::new(names).map_err(failed)?;
    parameters.distinguished_name.push(DnType::CommonName, "Penstock self-signed");
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = SystemTime::now();
    // Clocks of clients may be behind by an hour.
    parameters.not_before = (now - limits::SELF_SIGNED_SKEW).into();
    parameters.not_after = (now + limits::SELF_SIGNED_TIME).into();
    let signed = parameters.self_signed(&pair).map_err(failed)?;
    if let Some(folder) = certificate.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| unwritten(folder, &error))?;
    }
    // The key first: whoever looks in between finds a pair that does not fit, never none.
    replace(key, pair.serialize_pem().as_bytes(), 0o600)?;
    replace(certificate, signed.pem().as_bytes(), 0o644)?;
    Ok(SelfSigned { fingerprint: fingerprint(signed.der()), made: true })
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), String> {
    let beside = path.with_extension("new");
    let write = || {
        if let Err(error) = fs::remove_file(&beside)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|error| unwritten(path, &error))
}

fn unwritten(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error}; check that this user may", path.display())
}

/// Names that clients may call this server by: this machine's, those of its domains with all their
/// buckets, and the addresses that are listened on.
pub fn names(listen: &[SocketAddr], domains: &[String]) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let own = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    if !own.is_empty() && own.bytes().all(|it| it.is_ascii_alphanumeric() || b"-.".contains(&it)) {
        names.push(own);
    }
    for address in listen.iter().map(SocketAddr::ip).filter(|it| !it.is_unspecified()) {
        names.push(address.to_string());
    }
    for domain in domains {
        names.push(domain.clone());
        names.push(format!("*.{domain}"));
    }
    names.push("*.localhost".to_owned());
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}
