//! What is configured of the administration address beyond the address, resolved and checked.
//!
//! Owns: the rule that an address which others reach is never open.
//! Not here: what is in the files (`crate::admin::files`), the keys' own documentation (`keys.rs`).

use std::net::SocketAddr;
use std::path::PathBuf;

use super::keys;
use super::plan::{Reader, path};
use crate::admin::access::is_loopback;

/// Who may come to the administration address, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AdminPlan {
    /// File of tokens.
    pub token_file: Option<PathBuf>,
    /// TLS; `None` for plain HTTP.
    pub tls: Option<AdminTlsPlan>,
}

/// Files of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminTlsPlan {
    /// The server's certificate and those up to its authority, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// Authorities of clients' certificates, in PEM; `None` when clients need none.
    pub client_ca: Option<PathBuf>,
}

impl Reader<'_> {
    /// The keys of the administration; `None` says that a finding was kept.
    pub(super) fn admin(&mut self) -> Option<AdminPlan> {
        let token_file = self.optional(&keys::ADMIN_TOKEN_FILE, path);
        let certificate = self.optional(&keys::ADMIN_TLS_CERTIFICATE, path);
        let key = self.optional(&keys::ADMIN_TLS_KEY, path);
        let client_ca = self.optional(&keys::ADMIN_CLIENT_CA, path);
        let (token_file, client_ca) = (token_file?, client_ca?);
        let tls = match (certificate?, key?) {
            (Some(certificate), Some(key)) => Some(AdminTlsPlan { certificate, key, client_ca }),
            (None, None) if client_ca.is_none() => None,
            (None, None) => {
                let shown = client_ca.map(|path| path.display().to_string());
                self.fault(
                    &keys::ADMIN_CLIENT_CA,
                    shown,
                    "clients show certificates in TLS alone, which is not configured",
                    "set admin.tls_certificate and admin.tls_key too",
                );
                return None;
            }
            (certificate, key) => {
                let (has, lacks) = match certificate {
                    Some(_) => (&keys::ADMIN_TLS_CERTIFICATE, &keys::ADMIN_TLS_KEY),
                    None => (&keys::ADMIN_TLS_KEY, &keys::ADMIN_TLS_CERTIFICATE),
                };
                let shown = certificate.or(key).map(|path| path.display().to_string());
                let problem = format!("set without {}", lacks.name);
                let remedy = format!("set {} too, or neither", lacks.name);
                self.fault(has, shown, &problem, &remedy);
                return None;
            }
        };
        Some(AdminPlan { token_file, tls })
    }

    /// Whether the address may be served with what is configured to protect it.
    pub(super) fn admin_checks(&mut self, admin: &AdminPlan, address: SocketAddr) {
        let certificates = admin.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        if is_loopback(address.ip()) || admin.token_file.is_some() || certificates {
            return;
        }
        self.fault(
            &keys::ADMIN_LISTEN,
            Some(address.to_string()),
            "others than this machine reach that address, and what it shows names buckets, keys \
             and clients",
            "set admin.token_file or admin.client_ca, or choose a loopback address such as \
             127.0.0.1:9001",
        );
    }
}
