//! What handshakes are made with, now.
//!
//! Owns: rustls's settings, made of the files, and their replacement while handshakes run: each takes
//! what is in force when it begins. Files that cannot be used leave all as it is, and the log, the
//! health and the metrics say so.
//! Sessions are resumed by tickets (RFC 5077, RFC 8446) alone: their keys are the process's, so that
//! any lane resumes what any other began, and change every six hours. They outlive new certificates,
//! but not a change of the authorities of clients.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::{ServerConfig, SupportedProtocolVersion, version};

use super::clients::ClientUser;
use super::files::{self, Contents, Shown};
use super::kernel::Kernel;
use super::pem::{FileError, Source};
use super::provider;
use crate::config::{MinVersion, TlsPlan};
use crate::credentials::file::Stamp;

/// The protocols that are offered (ALPN), the preferred first.
pub const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// TLS of the process.
#[derive(Debug)]
pub struct Tls {
    plan: TlsPlan,
    /// What the kernel can; none where it shall not, or cannot.
    kernel: Option<Kernel>,
    current: RwLock<Arc<Current>>,
    watched: Mutex<Watched>,
    /// Times that files were taken up.
    pub(super) taken: AtomicU64,
    /// Times that they could not be used.
    pub(super) rejected: AtomicU64,
}

/// What is in force.
#[derive(Debug)]
pub struct Current {
    /// For rustls.
    pub config: Arc<ServerConfig>,
    /// Whose certificates clients show.
    pub users: Arc<[ClientUser]>,
    /// The certificates, for people.
    pub shown: Vec<Shown>,
    /// Whether the kernel encrypts.
    pub kernel: bool,
}

/// The files at the last look.
#[derive(Debug)]
struct Watched {
    stamps: Vec<(std::path::PathBuf, Option<Stamp>)>,
    tickets: Arc<dyn ProducesTickets>,
    authorities: Vec<CertificateDer<'static>>,
    /// Why the files as they are cannot be used.
    trouble: Option<String>,
}

impl Tls {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// The first that cannot be used, with the remedy.
    pub fn open(plan: &TlsPlan, kernel: Option<Kernel>) -> Result<Tls, FileError> {
        // Looked at before reading: a change in between is then seen at the first look.
        let stamps = files::stamps(plan);
        let contents = Contents::read(plan)?;
        let tickets = tickets(plan)?;
        let current = Current::new(plan, kernel.as_ref(), &contents, tickets.clone())?;
        let authorities = authorities(contents);
        Ok(Tls {
            plan: plan.clone(),
            kernel,
            current: RwLock::new(Arc::new(current)),
            watched: Mutex::new(Watched { stamps, tickets, authorities, trouble: None }),
            taken: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        })
    }

    /// What a handshake that begins now is made with.
    pub fn current(&self) -> Arc<Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks whether the files have changed since the last look, and reads them if so.
    pub fn look(&self) {
        let stamps = files::stamps(&self.plan);
        let changed = {
            let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut watched.stamps, stamps.clone()) != stamps
        };
        if changed {
            self.reload();
        }
    }

    /// Reads the files.
    pub fn reload(&self) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        match self.read(&mut watched) {
            Ok(current) => {
                let certificates = current.shown.len();
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(current);
                watched.trouble = None;
                self.taken.fetch_add(1, Ordering::Relaxed);
                tracing::info!(certificates, "certificates of S3 read again");
            }
            Err(error) => {
                tracing::error!(%error, "the old certificates of S3 stay in force");
                watched.trouble = Some(error.to_string());
                self.rejected.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn read(&self, watched: &mut Watched) -> Result<Current, FileError> {
        let contents = Contents::read(&self.plan)?;
        let same = contents.authorities.as_ref().map_or(&[][..], |it| &it.certificates)
            == watched.authorities;
        // A ticket stands for a certificate that was verified by the authorities of its time.
        let tickets = if same { watched.tickets.clone() } else { tickets(&self.plan)? };
        let kernel = self.kernel.as_ref();
        let current = Current::new(&self.plan, kernel, &contents, tickets.clone())?;
        watched.tickets = tickets;
        watched.authorities = authorities(contents);
        Ok(current)
    }

    /// What an operator should know: files that cannot be used, certificates that have ended.
    pub fn warnings(&self) -> Vec<String> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = watched.trouble.iter();
        let mut warnings: Vec<_> =
            trouble.map(|it| format!("{it}; the old certificates stay in force")).collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let current = self.current();
        let ended = current.shown.iter().filter(|one| one.not_after <= now);
        warnings.extend(ended.map(|one| {
            format!("the certificate {} has ended; clients refuse it: renew it", one.file.display())
        }));
        warnings
    }
}

fn authorities(contents: Contents) -> Vec<CertificateDer<'static>> {
    contents.authorities.map(|it| it.certificates).unwrap_or_default()
}

fn tickets(plan: &TlsPlan) -> Result<Arc<dyn ProducesTickets>, FileError> {
    Ticketer::new().map_err(|error| source(plan).unusable(format!("no keys for tickets: {error}")))
}

fn source(plan: &TlsPlan) -> Source<'_> {
    Source { key: "tls.certificate", path: &plan.certificate }
}

impl Current {
    fn new(
        plan: &TlsPlan,
        kernel: Option<&Kernel>,
        contents: &Contents,
        tickets: Arc<dyn ProducesTickets>,
    ) -> Result<Current, FileError> {
        let versions: &[&SupportedProtocolVersion] = match plan.min_version {
            MinVersion::Tls12 => &[&version::TLS13, &version::TLS12],
            MinVersion::Tls13 => &[&version::TLS13],
        };
        let provider = match kernel {
            // What the kernel cannot do is not offered, so that each session can be handed over.
            Some(kernel) => {
                let mut provider = CryptoProvider::clone(&provider());
                provider.cipher_suites.retain(|suite| kernel.can(suite));
                Arc::new(provider)
            }
            None => provider(),
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(|error| source(plan).unusable(error.to_string()))?;
        let builder = match (&contents.authorities, &plan.client_ca) {
            (Some(authorities), Some(path)) => {
                let roots = authorities.roots.clone();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = match plan.client_required {
                    true => verifier,
                    false => verifier.allow_unauthenticated(),
                };
                let verifier = verifier.build().map_err(|error| {
                    Source { key: "tls.client_ca", path }.unusable(error.to_string())
                })?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(contents.certificates.clone());
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = tickets;
        config.enable_secret_extraction = kernel.is_some();
        Ok(Current {
            config: Arc::new(config),
            users: plan.client_users.as_slice().into(),
            shown: contents.shown.clone(),
            kernel: kernel.is_some(),
        })
    }
}
