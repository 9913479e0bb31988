//! Whom the command line trusts when a server's administration speaks TLS, and how it proves itself.
//!
//! A server of this machine is known by the very certificate that its pass names: whoever can read
//! the data directory needs no authority for that. A server elsewhere has to show a certificate of
//! an authority: of `--ca`, or one of the system's.
//! Not here: the server's side (`tls.rs`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, SignatureScheme,
};

use crate::tls::pem::{self, FileError, Source};
use crate::tls::provider;

/// Where Debian, Alpine, Arch and their kin keep the system's authorities, and where Red Hat's do.
const SYSTEM_AUTHORITIES: [&str; 2] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// What `--ca`, `--certificate` and `--key` say.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// File of authorities; `None` for the system's.
    pub ca: Option<PathBuf>,
    /// Certificate and key that are shown to the server.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Trust {
    /// How a server elsewhere is spoken to.
    ///
    /// # Errors
    /// When a file cannot be used, or the system has no authorities where they are looked for.
    pub fn config(&self) -> Result<Arc<ClientConfig>, FileError> {
        let system = SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.exists());
        let path = self.ca.as_deref().or(system).unwrap_or(Path::new(SYSTEM_AUTHORITIES[0]));
        let roots = pem::roots(Source { key: "--ca", path })?;
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| Source { key: "--ca", path }.unusable(error.to_string()))?
            .with_root_certificates(roots);
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let certificate = Source { key: "--certificate", path: certificate };
                let key = Source { key: "--key", path: key };
                builder
                    .with_client_auth_cert(pem::certificates(certificate)?, pem::private_key(key)?)
                    .map_err(|error| certificate.unusable(error.to_string()))?
            }
        };
        Ok(Arc::new(config))
    }
}

/// How the server that shows exactly that certificate is spoken to.
///
/// # Errors
/// When the file cannot be used.
pub fn pinned(certificate: &Path) -> Result<Arc<ClientConfig>, FileError> {
    let source = Source { key: "admin.tls_certificate", path: certificate };
    let provider = provider();
    let leaf = pem::certificates(source)?.swap_remove(0);
    let pinned = Pinned { leaf, algorithms: provider.signature_verification_algorithms };
    Ok(Arc::new(config_of(provider, pinned).map_err(|error| source.unusable(error.to_string()))?))
}

fn config_of(provider: Arc<CryptoProvider>, pinned: Pinned) -> Result<ClientConfig, Error> {
    Ok(ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth())
}

/// Takes one certificate and no other. Whoever shows it has to sign with its key, as ever.
#[derive(Debug)]
struct Pinned {
    leaf: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match *end_entity == self.leaf {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
