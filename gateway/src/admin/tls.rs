//! TLS of the administration address: 1.3, with clients' certificates where they are wanted.
//!
//! Owns: what a connection is accepted with. A certificate that a client shows has to come from
//! `admin.client_ca`, else there is no connection; one that shows none may come, and is then held to
//! what `access.rs` lets strangers do: health checks, and those with a token.
//! Not here: TLS for S3.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::files::{AdminFileError, Source};
use crate::config::AdminTlsPlan;

/// Reads certificate, key and authorities.
///
/// # Errors
/// The first that cannot be used.
pub fn acceptor(plan: &AdminTlsPlan) -> Result<TlsAcceptor, AdminFileError> {
    let certificate = Source { key: "admin.tls_certificate", path: &plan.certificate };
    let key = Source { key: "admin.tls_key", path: &plan.key };
    let chain = certificates(certificate)?;
    let private = private_key(key)?;
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| certificate.unusable(error.to_string()))?;
    let builder = match &plan.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let source = Source { key: "admin.client_ca", path };
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots(source)?.into(), provider)
                    .allow_unauthenticated()
                    .build()
                    .map_err(|error| source.unusable(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, private).map_err(|error| {
        certificate.unusable(format!("does not work with {}: {error}", plan.key.display()))
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config).into())
}

/// The algorithms, of which TLS 1.3 leaves a few good ones.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Authorities to trust.
///
/// # Errors
/// When there is none, or one that is no certificate.
pub fn roots(source: Source<'_>) -> Result<RootCertStore, AdminFileError> {
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
pub fn private_key(source: Source<'_>) -> Result<PrivateKeyDer<'static>, AdminFileError> {
    PrivateKeyDer::from_pem_slice(&source.read_secret()?)
        .map_err(|error| source.unusable(format!("no private key in PEM in it: {error}")))
}

/// Certificates, at least one, as they stand in the file.
///
/// # Errors
/// When there is none, or something else that should be one.
pub fn certificates(source: Source<'_>) -> Result<Vec<CertificateDer<'static>>, AdminFileError> {
    let text = source.read()?;
    let all = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| source.unusable(format!("not PEM: {error}")))?;
    match all.is_empty() {
        true => Err(source.unusable("no certificate in PEM in it".into())),
        false => Ok(all),
    }
}
