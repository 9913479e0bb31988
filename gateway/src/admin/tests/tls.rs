//! TLS and clients' certificates on the administration address, and files that change.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::*;
use crate::admin::client::{Client, Place};
use crate::admin::files::Contents;
use crate::admin::trust::Trust;
use crate::config::AdminTlsPlan;
use crate::tls::pem::FileError;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for `localhost` and its key, in PEM.
fn issue(authority: &Authority) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A server's files, with an authority for clients.
struct Files {
    folder: tempfile::TempDir,
    authority: Authority,
    plan: AdminPlan,
}

impl Files {
    fn new() -> Files {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority();
        let path = |name: &str| folder.path().join(name);
        let plan = AdminPlan {
            token_file: Some(path("tokens")),
            tls: Some(AdminTlsPlan {
                certificate: path("server.pem"),
                key: path("server.key"),
                client_ca: Some(path("clients.pem")),
            }),
        };
        write(&path("tokens"), "# of the scraper\n0123456789abcdef0123456789abcdef\n", 0o640);
        write(&path("clients.pem"), &authority.pem(), 0o644);
        let files = Files { folder, authority, plan };
        files.renew();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Gives the server another certificate.
    fn renew(&self) {
        let (certificate, key) = issue(&self.authority);
        write(&self.path("server.pem"), &certificate, 0o644);
        write(&self.path("server.key"), &key, 0o600);
    }

    fn error(&self) -> String {
        let read: Result<Contents, FileError> = Contents::read(&self.plan);
        read.err().expect("the files are refused").to_string()
    }
}

fn connector(server: &Authority, client: Option<&Authority>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(server.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(crate::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client.map(issue) {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    Arc::new(config).into()
}

/// What the server answers, unless there is no connection.
async fn ask(site: &Site, by: &TlsConnector, path: &str, more: &str) -> std::io::Result<String> {
    let socket = TcpStream::connect(site.address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = by.connect(name, socket).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

#[test]
fn a_certificate_of_the_authority_or_a_token_opens() {
    let files = Files::new();
    on_site_with("0.0.0.0:9001", &files.plan, async |site| {
        let known = connector(&files.authority, Some(&files.authority));
        for path in ["/metrics", "/api/v1/state", "/api/v1/log"] {
            let answer = ask(&site, &known, path, "").await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        }
        let bare = connector(&files.authority, None);
        assert!(ask(&site, &bare, "/healthz", "").await.unwrap().starts_with("HTTP/1.1 200"));
        assert!(ask(&site, &bare, "/metrics", "").await.unwrap().starts_with("HTTP/1.1 401"));
        let token = "Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n";
        assert!(ask(&site, &bare, "/metrics", token).await.unwrap().starts_with("HTTP/1.1 200"));
        let foreign = connector(&files.authority, Some(&authority()));
        let refused = ask(&site, &foreign, "/healthz", "").await.unwrap_err().to_string();
        assert!(refused.contains("UnknownCA") || refused.contains("Decrypt"), "{refused}");
        let plain = site.ask("GET /healthz", None).await;
        assert!(!plain.contains("200 OK"), "plain HTTP is no TLS: {plain}");
    });
}

/// What a command of that client reads, on a thread of its own.
async fn command(client: Client, path: &'static str) -> Result<u16, String> {
    let outcome = tokio::task::spawn_blocking(move || client.read(path)).await.unwrap();
    outcome.map(|reply| reply.status).map_err(|error| error.to_string())
}

#[test]
fn commands_speak_tls_with_the_server_they_mean_and_no_other() {
    let files = Files::new();
    on_site_with("127.0.0.1:9001", &files.plan, async |site| {
        let certificate = Some(files.path("server.pem"));
        let pass = Pass { address: site.address, token: site.token.clone(), certificate };
        let here = Client::with_pass(&pass).unwrap();
        assert_eq!(command(here, "/api/v1/log").await, Ok(200));

        let place = || Place::parse(&format!("https://localhost:{}", site.address.port())).unwrap();
        let ca = Some(files.path("clients.pem"));
        let bare = Trust { ca: ca.clone(), identity: None };
        let far = Client::remote(place(), Some(&files.path("tokens")), &bare).unwrap();
        assert_eq!(command(far, "/api/v1/log").await, Ok(200));
        let nobody = Client::remote(place(), None, &bare).unwrap();
        assert_eq!(command(nobody, "/api/v1/log").await, Ok(401));
        let (certificate, key) = issue(&files.authority);
        write(&files.path("me.pem"), &certificate, 0o644);
        write(&files.path("me.key"), &key, 0o600);
        let identity = Some((files.path("me.pem"), files.path("me.key")));
        let known = Client::remote(place(), None, &Trust { ca, identity }).unwrap();
        assert_eq!(command(known, "/api/v1/log").await, Ok(200));

        write(&files.path("others.pem"), &authority().pem(), 0o644);
        let wrong = Trust { ca: Some(files.path("others.pem")), identity: None };
        let stranger = Client::remote(place(), None, &wrong).unwrap();
        let refused = command(stranger, "/healthz").await.unwrap_err();
        assert!(refused.contains("invalid peer certificate"), "{refused}");
        // The file has another certificate than the server that answers there.
        files.renew();
        let replaced = Client::with_pass(&pass).unwrap();
        let refused = command(replaced, "/healthz").await.unwrap_err();
        assert!(refused.contains("invalid peer certificate"), "{refused}");
        let plain = Client::remote(site.address.into(), None, &Trust::default()).unwrap();
        let hint = command(plain, "/healthz").await.unwrap_err();
        assert!(hint.contains("https://"), "{hint}");
    });
}

#[test]
fn changed_files_are_taken_up_and_broken_ones_are_not() {
    let files = Files::new();
    let mut watch = FileWatch::new(files.plan.clone());
    assert!(watch.look().is_none(), "nothing has changed");
    let second = "fedcba9876543210fedcba9876543210";
    write(&files.path("tokens"), &format!("{second}\n\n# the next\n{second}0\n"), 0o600);
    let contents = watch.look().expect("the tokens are others");
    assert_eq!(contents.tokens.len(), 2);
    assert_eq!(contents.tokens[0], Token::from_text(second).unwrap());
    write(&files.path("tokens"), "short\n", 0o600);
    assert!(watch.look().is_none(), "what cannot be used changes nothing");
    write(&files.path("tokens"), second, 0o600);
    files.renew();
    assert!(watch.look().expect("all is well again").tls.is_some());
    std::fs::remove_file(files.path("server.key")).unwrap();
    assert!(watch.look().is_none());
}

#[test]
fn files_that_cannot_be_used_say_why_and_never_what() {
    let files = Files::new();
    let token = "0123456789abcdef0123456789abcdef";
    for (text, mode, said) in [
        (token, 0o644, "chmod 600"),
        (token, 0o660, "mode 0660"),
        ("", 0o600, "no token in it"),
        ("# none\n", 0o600, "no token in it"),
        ("0123456789abcdef", 0o600, "line 1 has 16 characters; 32 to 512"),
        ("\n0123456789abcdef 0123456789abcdef", 0o600, "line 2 has other characters"),
    ] {
        write(&files.path("tokens"), text, mode);
        let error = files.error();
        assert!(error.contains("admin.token_file = ") && error.contains(said), "{error}");
        assert!(!error.contains("0123456789"), "{error}");
    }
    write(&files.path("tokens"), &format!("{token}\n").repeat(65), 0o600);
    assert!(files.error().contains("65 tokens, at most 64"));
    write(&files.path("tokens"), token, 0o600);
    write(&files.path("server.key"), &issue(&authority()).1, 0o600);
    assert!(files.error().contains("admin.tls_certificate = "), "another's key");
    write(&files.path("server.key"), "nothing", 0o600);
    assert!(files.error().contains("no private key"));
    write(&files.path("server.key"), &issue(&files.authority).1, 0o644);
    assert!(files.error().contains("admin.tls_key = ") && files.error().contains("0644"));
    files.renew();
    write(&files.path("clients.pem"), "", 0o644);
    assert!(
        files.error().contains("admin.client_ca = ") && files.error().contains("no certificate")
    );
    std::fs::remove_file(files.path("server.pem")).unwrap();
    assert!(files.error().contains("check that this user may read it"));
}
