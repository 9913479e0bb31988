//! HTTPS of the real binary: what independent clients see (curl, openssl, h2load), certificates that
//! change under load, certificates of clients, and handshakes that do not end.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use penstock_tests::client::{Client, expect};
use penstock_tests::content::content;
use penstock_tests::limits;
use penstock_tests::server::{Options, Server, Site, free_port};
use penstock_tests::skip::{has_program, skip};
use penstock_tests::tls::{Authority, TlsClient, folder, replace, run, text};
use rustix::process::Signal;

const BUCKET: &str = "secure";
const OBJECT_BYTES: usize = 300_001;
const NAME: &str = "localhost";

/// A server with TLS beside plain HTTP, and one object that anybody may read.
struct Secure {
    server: Server,
    address: SocketAddr,
    body: Vec<u8>,
}

impl Secure {
    fn start(site: &Site, arguments: &[String]) -> Secure {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let options = Options::default()
            .argument(format!("--tls-listen={address}"))
            .argument(format!("--public-read={BUCKET}"));
        let options = arguments.iter().cloned().fold(options, Options::argument);
        let server = options.start(site);
        let mut client = server.client();
        let body = content(5, OBJECT_BYTES);
        expect(client.create_bucket(BUCKET).unwrap(), 200).unwrap();
        expect(client.put(BUCKET, "object", &body).unwrap(), 200).unwrap();
        Secure { server, address, body }
    }

    fn self_signed(site: &Site, arguments: &[&str]) -> Secure {
        let mut all = vec!["--tls-self-signed=on".to_owned()];
        all.extend(arguments.iter().map(|it| (*it).to_owned()));
        Secure::start(site, &all)
    }

    fn url(&self) -> String {
        format!("https://{NAME}:{}/{BUCKET}/object", self.address.port())
    }

    fn value(&self, metric: &str, labels: &[&str]) -> f64 {
        self.server.metrics().value(metric, labels)
    }

    /// Waits until a counter has come to so much.
    fn wait_for(&self, metric: &str, labels: &[&str], least: f64) {
        let deadline = Instant::now() + limits::EXIT_WITHIN;
        while self.value(metric, labels) < least {
            assert!(
                Instant::now() < deadline,
                "{metric}{labels:?} is {}",
                self.value(metric, labels)
            );
            std::thread::sleep(limits::POLL_EVERY);
        }
    }

    fn refused(&self, reason: &str, least: f64) {
        self.wait_for("penstock_refused_total", &[&format!("reason=\"{reason}\"")], least);
    }
}

fn self_signed_file(site: &Site) -> String {
    site.data().join("tls/self-signed.crt").display().to_string()
}

fn arguments_of((certificate, key): &(PathBuf, PathBuf)) -> Vec<String> {
    vec![
        format!("--tls-certificate={}", certificate.display()),
        format!("--tls-key={}", key.display()),
    ]
}

/// TLS-1, TLS-2, TLS-9
#[test]
fn curl_speaks_both_protocols_with_a_self_signed_certificate() {
    let site = Site::new();
    let secure = Secure::self_signed(&site, &[]);
    let trusted = self_signed_file(&site);
    for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let back = site.path().join("back").display().to_string();
        let url = secure.url();
        let written = "%{http_version} %{response_code}";
        let output =
            run("curl", &["-sS", option, "--cacert", &trusted, "-o", &back, "-w", written, &url]);
        assert_eq!(text(&output), format!("{version} 200"));
        assert!(fs::read(&back).unwrap() == secure.body, "{option}: other bytes");
    }
    // Whoever is not told to trust it does not.
    let output = run("curl", &["-sS", &secure.url()]);
    assert!(!output.status.success(), "{}", text(&output));
    // The fingerprint that was printed is the certificate's.
    let shown = run("openssl", &["x509", "-in", &trusted, "-noout", "-fingerprint", "-sha256"]);
    let shown = text(&shown);
    let fingerprint = shown.trim().rsplit_once('=').unwrap().1;
    assert!(secure.server.log().contains(fingerprint), "{fingerprint} in {}", secure.server.log());
    assert_eq!(secure.value("penstock_tls_alpn_total", &["protocol=\"h2\""]), 1.0);
    assert!(secure.value("penstock_tls_alpn_total", &["protocol=\"http/1.1\""]) >= 1.0);
    secure.wait_for("penstock_tls_handshakes_total", &["outcome=\"failed\""], 1.0);
}

/// TLS-9
#[test]
fn a_self_signed_certificate_is_made_on_request_alone_and_kept() {
    let site = Site::new();
    let mut plain = Options::default().start(&site);
    assert!(!site.data().join("tls").exists(), "nobody asked for one");
    assert!(plain.terminate().success());
    let first = {
        let mut secure = Secure::self_signed(&site, &[]);
        assert!(secure.server.terminate().success());
        fs::read(self_signed_file(&site)).unwrap()
    };
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let again = Options::default()
        .argument(format!("--tls-listen={address}"))
        .argument("--tls-self-signed=on")
        .start(&site);
    assert_eq!(fs::read(self_signed_file(&site)).unwrap(), first, "a new one at each start");
    assert!(again.log().contains("made before"), "{}", again.log());
}

/// TLS-3, TLS-4
#[test]
fn openssl_finds_modern_versions_and_resumes_sessions() {
    let site = Site::new();
    let secure = Secure::self_signed(&site, &[]);
    let at = secure.address.to_string();
    for (version, spoken) in
        [("-tls1", false), ("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)]
    {
        let output = run("openssl", &["s_client", "-connect", &at, version]);
        let refused = text(&output).contains("Cipher is (NONE)");
        assert_eq!(!refused, spoken, "{version}: {}", text(&output));
    }
    // Suites without forward secrecy, or without authenticated encryption, are not spoken.
    for suite in ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256"] {
        let output = run("openssl", &["s_client", "-connect", &at, "-tls1_2", "-cipher", suite]);
        assert!(text(&output).contains("Cipher is (NONE)"), "{suite}: {}", text(&output));
    }
    for version in ["-tls1_2", "-tls1_3"] {
        let session = site.path().join("session").display().to_string();
        let ask = "(printf 'GET / HTTP/1.0\\r\\n\\r\\n'; sleep 1)";
        let first =
            format!("{ask} | openssl s_client -connect {at} {version} -sess_out {session} 2>&1");
        let output = run("sh", &["-c", &first]);
        assert!(text(&output).contains("New, TLS"), "{}", text(&output));
        let second =
            format!("{ask} | openssl s_client -connect {at} {version} -sess_in {session} 2>&1");
        let output = run("sh", &["-c", &second]);
        assert!(text(&output).contains("Reused, TLS"), "{version}: {}", text(&output));
    }
    let resumed = |version| {
        let version = format!("version=\"{version}\"");
        secure.value("penstock_tls_handshakes_total", &[&version, "outcome=\"resumed\""])
    };
    assert_eq!([resumed("1.2"), resumed("1.3")], [1.0, 1.0]);
}

/// TLS-3
#[test]
fn the_oldest_version_can_be_raised() {
    let site = Site::new();
    let secure = Secure::self_signed(&site, &["--tls-min-version=1.3"]);
    let at = secure.address.to_string();
    let output = run("openssl", &["s_client", "-connect", &at, "-tls1_2"]);
    assert!(text(&output).contains("Cipher is (NONE)"), "{}", text(&output));
    let output = run("openssl", &["s_client", "-connect", &at, "-tls1_3"]);
    assert!(text(&output).contains("New, TLSv1.3"), "{}", text(&output));
}

/// TLS-5
#[test]
fn certificates_of_virtual_hosts_are_chosen_by_name() {
    let site = Site::new();
    let files = folder(&site);
    let (authority, hosts) = (Authority::new("tests"), files.join("hosts"));
    fs::create_dir_all(&hosts).unwrap();
    let first = authority.server(&["localhost", "127.0.0.1"]);
    let wild = authority.server(&["*.s3.test"]);
    let exact = authority.server(&["models.s3.test"]);
    let mut arguments = arguments_of(&first.write(&files, "server"));
    wild.write(&hosts, "a-wild");
    exact.write(&hosts, "b-exact");
    arguments.push(format!("--tls-certificates={}", hosts.display()));
    let secure = Secure::start(&site, &arguments);
    runtime().block_on(async {
        for (name, identity) in [
            ("localhost", &first),
            ("127.0.0.1", &first),
            ("data.s3.test", &wild),
            ("models.s3.test", &exact),
        ] {
            let client = TlsClient::new(&[&authority], name, None);
            let target = format!("/{BUCKET}/object");
            let (status, body, shown) = client.get(secure.address, &target).await.unwrap();
            assert_eq!((status, body.len()), (200, OBJECT_BYTES), "{name}");
            assert_eq!(&shown, identity.der(), "{name}");
        }
    });
}

/// TLS-6
#[test]
fn certificates_change_under_load_without_a_failed_request() {
    let site = Site::new();
    let files = folder(&site);
    let authority = Authority::new("tests");
    let mut pair = authority.server(&[NAME]);
    let paths = pair.write(&files, "server");
    let secure = Secure::start(&site, &arguments_of(&paths));
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let failures = Arc::new(Mutex::new(Vec::new()));
    let address = secure.address;
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let client = TlsClient::new(&[&authority], NAME, None);
            let client = if number % 2 == 0 { client.forgetful() } else { client };
            let (stop, served, failures) = (stop.clone(), served.clone(), failures.clone());
            std::thread::spawn(move || {
                runtime().block_on(async {
                    while !stop.load(Ordering::Relaxed) {
                        match client.get(address, &format!("/{BUCKET}/object")).await {
                            Ok((200, body, _)) if body.len() == OBJECT_BYTES => {
                                served.fetch_add(1, Ordering::Relaxed);
                            }
                            other => failures.lock().unwrap().push(format!("{other:?}")),
                        }
                    }
                });
            })
        })
        .collect();
    let watcher = TlsClient::new(&[&authority], NAME, None).forgetful();
    let shown = || runtime().block_on(watcher.get(address, "/")).unwrap().2;
    for turn in 0..4 {
        assert_eq!(&shown(), pair.der());
        pair = authority.server(&[NAME]);
        pair.write(&files, "server");
        if turn % 2 == 0 {
            secure.server.signal(Signal::HUP);
        }
        let deadline = Instant::now() + limits::EXIT_WITHIN;
        while &shown() != pair.der() {
            assert!(Instant::now() < deadline, "the new certificate is not shown");
            std::thread::sleep(limits::POLL_EVERY);
        }
    }
    stop.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*failures.lock().unwrap(), Vec::<String>::new());
    let served = served.load(Ordering::Relaxed);
    println!("{served} requests while certificates changed four times");
    assert!(served > 20, "{served} requests are no load");

    // A bad new file leaves the old one in force, and is said.
    replace(&paths.0, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    secure.server.signal(Signal::HUP);
    secure.wait_for("penstock_tls_certificate_reads_total", &["outcome=\"rejected\""], 1.0);
    assert_eq!(&shown(), pair.der());
    assert!(secure.server.log().contains("stay in force"), "{}", secure.server.log());
    let health = secure.server.admin("/readyz").unwrap();
    assert_eq!(health.status, 200, "what is served is served well");
    assert!(health.text().contains("tls.certificate = "), "{}", health.text());
    assert!(health.text().contains("server.crt"), "{}", health.text());
}

/// TLS-7
#[test]
fn certificates_of_clients_are_verified() {
    let site = Site::new();
    let files = folder(&site);
    let (authority, other) = (Authority::new("tests"), Authority::new("somebody else"));
    let mut arguments = arguments_of(&authority.server(&[NAME]).write(&files, "server"));
    let authorities = files.join("clients.pem");
    replace(&authorities, &authority.pem());
    arguments.push(format!("--tls-client-ca={}", authorities.display()));
    arguments.push("--tls-client-users=CN:loader=training".to_owned());
    let known = authority.client("loader", &[]);
    let stranger = other.client("loader", &[]);
    let target = format!("/{BUCKET}/object");
    let get = |secure: &Secure, identity| {
        let client = TlsClient::new(&[&authority], NAME, identity);
        runtime().block_on(client.get(secure.address, &target)).map(|(status, _, _)| status)
    };
    {
        let secure = Secure::start(&site, &arguments);
        assert_eq!(get(&secure, Some(&known)), Ok(200));
        assert_eq!(get(&secure, None), Ok(200));
        let error = get(&secure, Some(&stranger)).unwrap_err();
        assert!(error.contains("UnknownCA") || error.contains("alert"), "{error}");
        secure.wait_for("penstock_tls_handshakes_total", &["outcome=\"failed\""], 1.0);
    }
    let site = Site::new();
    arguments.push("--tls-client-required=on".to_owned());
    let secure = Secure::start(&site, &arguments);
    assert_eq!(get(&secure, Some(&known)), Ok(200));
    let error = get(&secure, None).unwrap_err();
    assert!(error.contains("CertificateRequired") || error.contains("alert"), "{error}");
}

/// TLS-8
#[test]
fn who_speaks_the_wrong_protocol_is_told_so() {
    let site = Site::new();
    let secure = Secure::self_signed(&site, &[]);
    let ask = |address: SocketAddr, bytes: &[u8]| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(limits::EXIT_WITHIN)).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let plain = ask(secure.address, b"GET /secure/object HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(plain.starts_with("HTTP/1.1 400 ") && plain.contains("https://"), "{plain}");
    // The first bytes of any handshake.
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 100]].concat();
    let secured = ask(secure.server.address, &hello);
    assert!(secured.starts_with("HTTP/1.1 400 ") && secured.contains("http://"), "{secured}");
    secure.refused("plain_on_tls", 1.0);
    secure.refused("tls_on_plain", 1.0);
}

/// TLS-10
#[test]
fn handshakes_that_do_not_end_are_ended_and_others_go_on() {
    let site = Site::new();
    let secure =
        Secure::self_signed(&site, &["--tls-handshake-time=2s", "--tls-handshakes=8", "--lanes=1"]);
    let trusted = self_signed_file(&site);
    let serves = || {
        let began = Instant::now();
        let output = run(
            "curl",
            &[
                "-sS",
                "--cacert",
                &trusted,
                "-o",
                "/dev/null",
                "-w",
                "%{response_code}",
                &secure.url(),
            ],
        );
        assert_eq!(text(&output), "200");
        began.elapsed()
    };
    let before = serves();
    // Connections that say nothing, that begin a record, and that begin a record that has no end.
    let starts: [&[u8]; 4] =
        [b"", b"\x16", b"\x16\x03\x01\x40\x00\x01\x00\xff\xff", b"\x16\x03\x01"];
    let half_open: Vec<_> = (0..64)
        .map(|number| {
            let mut stream = TcpStream::connect(secure.address).unwrap();
            stream.write_all(starts[number % starts.len()]).unwrap();
            stream
        })
        .collect();
    let during = serves();
    println!("a request took {before:?} before and {during:?} beside 64 half-open handshakes");
    assert!(during < before + Duration::from_secs(2), "{during:?} beside half-open handshakes");
    secure.refused("handshakes", 50.0);
    secure.refused("handshake_time", 1.0);
    for mut stream in half_open {
        stream.set_read_timeout(Some(limits::EXIT_WITHIN)).unwrap();
        let mut end = [0; 512];
        // Closed in order, or reset: what we had sent was never read.
        let count = stream.read(&mut end).unwrap_or(0);
        assert_eq!(count, 0, "an answer to half a handshake: {:?}", &end[..count]);
    }
    // A ClientHello without an end: 16 MiB in records of 16 KiB.
    let mut stream = TcpStream::connect(secure.address).unwrap();
    let record = [&[0x16, 3, 1, 0x40, 0][..], &[1, 0xff, 0xff, 0xff][..], &[0; 0x3ffc]].concat();
    let sent = (0..1024).take_while(|_| stream.write_all(&record).is_ok()).count();
    assert!(sent < 1024, "16 MiB of one ClientHello were read");
    secure.wait_for("penstock_tls_handshakes_total", &["outcome=\"failed\""], 1.0);
    serves();
}

/// TLS-11
#[test]
fn bytes_that_tls_copies_are_counted() {
    let site = Site::new();
    let secure = Secure::self_signed(&site, &["--tls-kernel=off"]);
    let trusted = self_signed_file(&site);
    let head = run(
        "curl",
        &[
            "-sS",
            "--cacert",
            &trusted,
            "-o",
            "/dev/null",
            "-D-",
            "-H",
            "x-penstock-receipt: 1",
            &secure.url(),
        ],
    );
    assert!(text(&head).contains("delivery=tls"), "{}", text(&head));
    let bytes = OBJECT_BYTES as f64;
    secure.wait_for("penstock_copied_bytes_total", &["path=\"tls\""], bytes);
    secure.wait_for("penstock_response_bytes_total", &["delivery=\"tls\""], bytes);
    assert_eq!(secure.value("penstock_tls_connections_total", &["mode=\"user\""]), 1.0);
    assert_eq!(secure.value("penstock_tls_kernel", &[]), 0.0);
    assert!(secure.server.log().contains("encrypted in this process: tls.kernel = off"));
}

/// TLS-2
#[test]
fn h2load_speaks_http2() {
    if !has_program("h2load") {
        return skip("h2load_speaks_http2", "needs h2load (nghttp2-client)");
    }
    let site = Site::new();
    let secure = Secure::self_signed(&site, &[]);
    let output = run("h2load", &["-n", "400", "-c", "4", "-m", "16", &secure.url()]);
    let text = text(&output);
    println!("{text}");
    assert!(text.contains("Application protocol: h2"), "{text}");
    assert!(text.contains("400 succeeded, 0 failed, 0 errored"), "{text}");
}

/// TLS-1
#[test]
fn https_can_be_all_there_is() {
    let site = Site::new();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let file = site.path().join("penstock.toml");
    let admin = free_port();
    let text = format!(
        "data = {:?}\nlisten = \"off\"\nadmin_listen = \"127.0.0.1:{admin}\"\nmemory = \"256M\"\n\
         extent_file = \"1GiB\"\n[tls]\nlisten = [\"{address}\"]\nself_signed = true\n",
        site.data()
    );
    fs::write(&file, text).unwrap();
    let mut child = penstock_tests::server::without_settings(std::process::Command::new(
        penstock_tests::server::binary(),
    ))
    .args(["serve", "--config"])
    .arg(&file)
    .stdout(std::process::Stdio::null())
    .spawn()
    .unwrap();
    let deadline = Instant::now() + limits::READY_WITHIN;
    let url = format!("https://{address}/");
    let trusted = self_signed_file(&site);
    let code = loop {
        let output = run(
            "curl",
            &["-s", "--cacert", &trusted, "-o", "/dev/null", "-w", "%{response_code}", &url],
        );
        if output.status.success() {
            break penstock_tests::tls::text(&output);
        }
        assert!(Instant::now() < deadline, "not served");
        std::thread::sleep(limits::POLL_EVERY);
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(code, "403", "anonymous ListBuckets");
}

/// TLS-12
#[test]
fn wrong_settings_name_key_value_and_remedy() {
    let site = Site::new();
    let files = folder(&site);
    let authority = Authority::new("tests");
    let (certificate, key) = authority.server(&[NAME]).write(&files, "server");
    let (_, other_key) = authority.server(&[NAME]).write(&files, "other");
    let show = |path: &Path| path.display().to_string();
    let listen = "--tls-listen=127.0.0.1:0".to_owned();
    let certificate = format!("--tls-certificate={}", show(&certificate));
    let key = format!("--tls-key={}", show(&key));
    let missing = format!("--tls-key={}", show(&files.join("missing.key")));
    let other = format!("--tls-key={}", show(&other_key));
    for (arguments, expected) in [
        (vec![listen.clone()], vec!["tls.listen", "tls.certificate and tls.key", "self_signed"]),
        (vec![certificate.clone(), key.clone()], vec!["tls.certificate", "set tls.listen too"]),
        (vec![listen.clone(), certificate.clone()], vec!["tls.certificate", "set tls.key too"]),
        (
            vec![listen.clone(), certificate.clone(), missing],
            vec!["tls.key", "missing.key", "check that this user may read it"],
        ),
        (
            vec![listen.clone(), certificate.clone(), other],
            vec!["tls.certificate", "does not work"],
        ),
        (
            vec![listen.clone(), "--tls-self-signed=on".into(), "--tls-client-users=x".into()],
            vec!["tls.client_users", "\"x\"", "CN:loader=training"],
        ),
        (
            vec![listen.clone(), "--tls-self-signed=on".into(), "--tls-client-required=on".into()],
            vec!["tls.client_required", "set tls.client_ca too"],
        ),
    ] {
        let command = arguments.iter().cloned().fold(Options::default(), Options::argument);
        let mut server = command.spawn(&site);
        let status = server.wait_exit(limits::READY_WITHIN);
        let log = server.log();
        assert!(!status.success(), "{arguments:?}: {log}");
        for word in expected {
            assert!(log.contains(word), "{arguments:?}: {word:?} is not in {log}");
        }
    }
}

/// A presigned upload by TLS, then the object by plain HTTP: one store, two doors.
#[test]
fn both_doors_lead_to_the_same_store() {
    let site = Site::new();
    let secure = Secure::self_signed(&site, &[]);
    let trusted = self_signed_file(&site);
    let client = Client::new(secure.address, site.credentials().clone());
    let body = content(9, 5_000_000);
    let file = site.path().join("upload");
    fs::write(&file, &body).unwrap();
    let mut request = penstock_tests::sign::Request::new("PUT", &format!("/{BUCKET}/uploaded"))
        .header("Host", &client.host());
    penstock_tests::sign::Signer::new(site.credentials())
        .presign(&mut request, Duration::from_secs(60));
    let url = format!("https://{}{}", client.host(), request.target());
    let upload = file.display().to_string();
    let output =
        run("curl", &["-sS", "--cacert", &trusted, "-T", &upload, "-w", "%{response_code}", &url]);
    assert_eq!(text(&output), "200");
    let response = secure.server.client().get(BUCKET, "uploaded").unwrap();
    assert!(response.body == body, "other bytes");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
