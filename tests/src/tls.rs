//! Owns: authorities and certificates for tests, a client that speaks TLS, and the programs (curl,
//! openssl) that do so independently.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::server::Site;

/// For one program.
const PROGRAM_WITHIN: Duration = Duration::from_secs(60);

/// An authority that signs certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Identity {
    certificate: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

impl Authority {
    /// A new one of that name.
    ///
    /// # Panics
    /// When the system has no random numbers.
    pub fn new(name: &str) -> Authority {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(parameters, key).expect("an authority");
        Authority { issuer }
    }

    /// A certificate for these DNS names and addresses.
    pub fn server(&self, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.sign(CertificateParams::new(names).expect("names"))
    }

    /// A certificate of a client with that common name and those URIs.
    pub fn client(&self, common_name: &str, uris: &[&str]) -> Identity {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, common_name);
        let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("a URI")));
        parameters.subject_alt_names = uris.collect();
        self.sign(parameters)
    }

    fn sign(&self, parameters: CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        Identity { certificate: certificate.der().clone(), pem: certificate.pem(), key }
    }

    /// In PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// For rustls.
    pub fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }
}

impl Identity {
    /// Writes NAME.crt and NAME.key, as they have to be; each replaces what is there in one step.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) =
            (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
        replace(&key, &self.key.serialize_pem());
        replace(&certificate, &self.pem);
        (certificate, key)
    }

    /// The certificate itself.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }
}

/// Writes a file that its owner alone may read, in one step.
///
/// # Panics
/// When it cannot be written.
pub fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).expect("a file can be written");
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).expect("its mode can be set");
    fs::rename(&beside, path).expect("it can be renamed");
}

/// A client's side of TLS.
#[derive(Debug, Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsClient {
    /// One that believes these authorities and expects that name. It offers HTTP/1.1.
    ///
    /// # Panics
    /// When an authority is none.
    pub fn new(authorities: &[&Authority], name: &str, identity: Option<&Identity>) -> TlsClient {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority.der()).expect("an authority");
        }
        let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::try_from(identity.key.serialize_der()).expect("a key");
                let chain = vec![identity.certificate.clone()];
                builder.with_client_auth_cert(chain, key).expect("an identity")
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        TlsClient { config: Arc::new(config), name }
    }

    /// The same, which forgets sessions.
    #[must_use]
    pub fn forgetful(mut self) -> TlsClient {
        Arc::make_mut(&mut self.config).resumption = rustls::client::Resumption::disabled();
        self
    }

    /// Connects and shakes hands.
    ///
    /// # Errors
    /// What the system or rustls said.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(address).await?;
        TlsConnector::from(self.config.clone()).connect(self.name.clone(), socket).await
    }

    /// One GET on a connection of its own: its status, its body, and the server's certificate.
    ///
    /// # Errors
    /// What went wrong, at whatever layer.
    pub async fn get(
        &self,
        address: SocketAddr,
        target: &str,
    ) -> Result<(u16, Bytes, CertificateDer<'static>), String> {
        let failed = |what: &str, error: &dyn std::fmt::Debug| format!("{what}: {error:?}");
        let stream = self.connect(address).await.map_err(|it| failed("connect", &it))?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|all| all.first().cloned());
        let certificate = shown.ok_or("no certificate")?.into_owned();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed("handshake", &error))?;
        let driver = tokio::spawn(connection);
        let request = hyper::Request::get(target).header("host", address.to_string());
        let request = request.body(Full::<Bytes>::default()).expect("a request");
        let response =
            sender.send_request(request).await.map_err(|error| failed("request", &error))?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(|it| failed("body", &it))?;
        drop(sender);
        driver.abort();
        Ok((status, body.to_bytes(), certificate))
    }
}

/// Runs a program with nothing to read, to its end.
///
/// # Panics
/// When it cannot be started.
pub fn run(program: &str, arguments: &[&str]) -> Output {
    let seconds = PROGRAM_WITHIN.as_secs().to_string();
    Command::new("timeout")
        .args([&seconds, program])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// What a program has written, both ways.
pub fn text(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// Folder for certificates of a site.
///
/// # Panics
/// When it cannot be made.
pub fn folder(site: &Site) -> PathBuf {
    let folder = site.path().join("certificates");
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}
