//! TLS of the administration address: 1.3, with clients' certificates where they are wanted.
//!
//! Owns: what a connection is accepted with. A certificate that a client shows has to come from
//! `admin.client_ca`, else there is no connection; one that shows none may come, and is then held to
//! what `access.rs` lets strangers do: health checks, and those with a token.
//! Not here: TLS for S3, and what both have in common (`crate::tls`).

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

use crate::config::AdminTlsPlan;
use crate::tls::pem::{self, FileError, Source};
use crate::tls::provider;

/// Reads certificate, key and authorities.
///
/// # Errors
/// The first that cannot be used.
pub fn acceptor(plan: &AdminTlsPlan) -> Result<TlsAcceptor, FileError> {
    let certificate = Source { key: "admin.tls_certificate", path: &plan.certificate };
    let key = Source { key: "admin.tls_key", path: &plan.key };
    let chain = pem::certificates(certificate)?;
    let private = pem::private_key(key)?;
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| certificate.unusable(error.to_string()))?;
    let builder = match &plan.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let source = Source { key: "admin.client_ca", path };
            let verifier =
                WebPkiClientVerifier::builder_with_provider(pem::roots(source)?.into(), provider)
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
