//! What is configured of TLS for S3, resolved and checked.
//!
//! Owns: the rules between its keys: addresses want a certificate, a certificate wants addresses.
//! Not here: what is in the files (`crate::tls::files`), the keys' own documentation (`keys.rs`).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keys;
use super::plan::{Parsed, Preference, Reader, address, choice, count, path, preference};
use super::plan::{switch, time, wrong};
use crate::limits;
use crate::tls::clients::ClientUser;

/// The oldest version that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2, with the suites that have forward secrecy and authenticated encryption.
    Tls12,
    /// TLS 1.3 alone.
    Tls13,
}

/// TLS for S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPlan {
    /// Addresses, at least one.
    pub listen: Vec<SocketAddr>,
    /// The certificate and those up to its authority, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// Whether both are made when they are not there.
    pub self_signed: bool,
    /// Folder of further certificates.
    pub folder: Option<PathBuf>,
    /// Authorities of clients' certificates, in PEM; `None` when clients are not asked for any.
    pub client_ca: Option<PathBuf>,
    /// Whose certificates they are.
    pub client_users: Vec<ClientUser>,
    /// Whether a client without a certificate is turned away.
    pub client_required: bool,
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
    /// Whether the kernel encrypts.
    pub kernel: Preference,
}

/// Bounds of handshakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandshakePlan {
    /// From the accept to the end of the handshake.
    pub time: Duration,
    /// Handshakes at a time, over all lanes.
    pub at_once: usize,
}

/// Keys that say something of certificates, and are useless without addresses.
const WANTS_ADDRESSES: [&keys::Key; 5] = [
    &keys::TLS_CERTIFICATE,
    &keys::TLS_KEY,
    &keys::TLS_CERTIFICATES,
    &keys::TLS_CLIENT_CA,
    &keys::TLS_SELF_SIGNED,
];

impl Reader<'_> {
    /// The keys of TLS; the outer `None` says that a finding was kept.
    pub(super) fn tls(&mut self, data: Option<&Path>) -> Option<Option<TlsPlan>> {
        let listen = self.many(&keys::TLS_LISTEN, limits::LISTEN_ADDRESSES_MAX, address);
        let certificate = self.optional(&keys::TLS_CERTIFICATE, path);
        let key = self.optional(&keys::TLS_KEY, path);
        let self_signed = self.one(&keys::TLS_SELF_SIGNED, switch);
        let folder = self.optional(&keys::TLS_CERTIFICATES, path);
        let client_ca = self.optional(&keys::TLS_CLIENT_CA, path);
        let most = limits::TLS_CLIENT_USERS_MAX;
        let client_users = self.many(&keys::TLS_CLIENT_USERS, most, client_user);
        let client_required = self.one(&keys::TLS_CLIENT_REQUIRED, switch);
        let min_version = self.one(&keys::TLS_MIN_VERSION, min_version);
        let kernel = self.one(&keys::TLS_KERNEL, preference);
        let (listen, self_signed) = (listen?, self_signed?);
        if listen.is_empty() {
            return self.nothing_without_addresses().then_some(None);
        }
        let files = self.files(data, certificate?, key?, self_signed);
        let (client_users, client_required) = (client_users?, client_required?);
        let client_ca = client_ca?;
        if client_ca.is_none() && (client_required || !client_users.is_empty()) {
            let (key, value) = match client_required {
                true => (&keys::TLS_CLIENT_REQUIRED, "on".to_owned()),
                false => (&keys::TLS_CLIENT_USERS, format!("{} rows", client_users.len())),
            };
            let problem = "without tls.client_ca no certificate of a client is believed";
            self.fault(key, Some(value), problem, "set tls.client_ca too");
            return None;
        }
        let (certificate, key) = files?;
        Some(Some(TlsPlan {
            listen,
            certificate,
            key,
            self_signed,
            folder: folder?,
            client_ca,
            client_users,
            client_required,
            min_version: min_version?,
            kernel: kernel?,
        }))
    }

    /// Bounds of handshakes; `None` says that a finding was kept.
    pub(super) fn handshakes(&mut self) -> Option<HandshakePlan> {
        let longest = self.one(&keys::TLS_HANDSHAKE_TIME, time);
        let at_once = self.one(&keys::TLS_HANDSHAKES, count(1, limits::TLS_HANDSHAKES_MAX));
        Some(HandshakePlan { time: longest?, at_once: at_once? })
    }

    /// Whether nothing is written that wants addresses of TLS.
    fn nothing_without_addresses(&mut self) -> bool {
        let mut nothing = true;
        for key in WANTS_ADDRESSES {
            let values = self.raw.written(key).map(|written| written.values.join(", "));
            if let Some(value) = values.filter(|value| value != "off") {
                let problem = "no address is served by TLS";
                let remedy = "set tls.listen too, for example to 0.0.0.0:9443";
                self.fault(key, Some(value), problem, remedy);
                nothing = false;
            }
        }
        nothing
    }

    /// Where certificate and key are.
    fn files(
        &mut self,
        data: Option<&Path>,
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
        self_signed: bool,
    ) -> Option<(PathBuf, PathBuf)> {
        match (certificate, key, self_signed) {
            (Some(certificate), Some(key), false) => Some((certificate, key)),
            (None, None, true) => {
                let folder = data?.join("tls");
                Some((folder.join("self-signed.crt"), folder.join("self-signed.key")))
            }
            (None, None, false) => {
                self.fault(
                    &keys::TLS_LISTEN,
                    None,
                    "TLS wants a certificate",
                    "set tls.certificate and tls.key, or tls.self_signed = true for a first try",
                );
                None
            }
            (certificate, key, true) => {
                let shown = certificate.or(key).map(|path| path.display().to_string());
                let has = match self.raw.written(&keys::TLS_CERTIFICATE) {
                    Some(_) => &keys::TLS_CERTIFICATE,
                    None => &keys::TLS_KEY,
                };
                let problem = "a self-signed certificate is asked for as well";
                self.fault(has, shown, problem, "remove it, or tls.self_signed");
                None
            }
            (certificate, key, false) => {
                let (has, lacks) = match certificate {
                    Some(_) => (&keys::TLS_CERTIFICATE, &keys::TLS_KEY),
                    None => (&keys::TLS_KEY, &keys::TLS_CERTIFICATE),
                };
                let shown = certificate.or(key).map(|path| path.display().to_string());
                let problem = format!("set without {}", lacks.name);
                self.fault(has, shown, &problem, &format!("set {} too", lacks.name));
                None
            }
        }
    }
}

fn min_version(text: &str) -> Parsed<MinVersion> {
    choice(text, &[("1.2", MinVersion::Tls12), ("1.3", MinVersion::Tls13)])
}

fn client_user(text: &str) -> Parsed<ClientUser> {
    let remedy = "write for example CN:loader=training, DNS:gpu-1.example.com=training or CN:*";
    ClientUser::from_text(text).or_else(|problem| wrong(problem, remedy))
}
