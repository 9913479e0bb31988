//! TLS: one provider of cryptography for the whole process, and HTTPS for S3.
//!
//! In the order of a connection: what it is accepted with (`server.rs`, of files that `files.rs` reads
//! and watches, chosen by name in `names.rs`), its handshake (`handshake.rs`), whose certificate the
//! client has shown (`clients.rs`), the stream that HTTP then runs on (`wire.rs`), in our memory or in
//! the kernel's (`handoff.rs`, `kernel.rs`).
//! Beside it: reading PEM (`pem.rs`) and certificates (`certificate.rs`), a certificate for a first try
//! (`self_signed.rs`), what is counted (`figures.rs`).
//! Not here: TLS of the administration (`crate::admin::tls`), accepting (`crate::lane`).

pub mod certificate;
pub mod clients;
pub mod figures;
pub mod files;
pub mod handoff;
pub mod handshake;
pub mod kernel;
pub mod names;
pub mod pem;
pub mod self_signed;
pub mod server;
pub mod wire;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use server::Tls;

/// What a request's extensions have when its connection is under TLS; without TLS they have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secured {
    /// The user whom the client's certificate stands for; none without a certificate, or when no row
    /// of `tls.client_users` fits.
    pub user: Option<Arc<str>>,
}

/// The algorithms: aws-lc, with the key exchange that also withstands quantum computers first.
/// rustls offers none that is known to be weak.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
