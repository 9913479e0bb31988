//! The kernel's TLS: responses that it encrypts, counted by it. The guest's kernel has it; the machine
//! that builds may not.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use penstock_tests::client::expect;
use penstock_tests::content::content;
use penstock_tests::guest::Guest;
use penstock_tests::server::{Options, Server, Site, free_port};
use penstock_tests::skip::has_program;
use penstock_tests::tls::{run, text};

const BUCKET: &str = "kernel";
const OBJECT_BYTES: usize = 5_000_001;

/// What the kernel says of its TLS.
fn kernel_counts() -> BTreeMap<String, u64> {
    let text = fs::read_to_string("/proc/net/tls_stat").expect("the kernel's module tls");
    let rows = text.lines().filter_map(|line| line.split_once(char::is_whitespace));
    rows.filter_map(|(name, count)| Some((name.to_owned(), count.trim().parse().ok()?))).collect()
}

struct Secure {
    site: Site,
    server: Server,
    address: SocketAddr,
    body: Vec<u8>,
}

impl Secure {
    fn start() -> Secure {
        let site = Site::new();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        // `on`: a kernel without it ends the start.
        let server = Options::default()
            .argument(format!("--tls-listen={address}"))
            .argument(format!("--public-read={BUCKET}"))
            .argument("--tls-self-signed=on")
            .argument("--tls-kernel=on")
            .start(&site);
        let mut client = server.client();
        let body = content(3, OBJECT_BYTES);
        expect(client.create_bucket(BUCKET).unwrap(), 200).unwrap();
        expect(client.put(BUCKET, "object", &body).unwrap(), 200).unwrap();
        Secure { site, server, address, body }
    }

    fn trusted(&self) -> String {
        self.site.data().join("tls/self-signed.crt").display().to_string()
    }

    fn url(&self) -> String {
        format!("https://{}/{BUCKET}/object", self.address)
    }

    fn value(&self, metric: &str, labels: &[&str]) -> f64 {
        self.server.metrics().value(metric, labels)
    }
}

#[test]
fn responses_are_encrypted_by_the_kernel_and_counted_there() {
    let Some(guest) = Guest::here("responses_are_encrypted_by_the_kernel_and_counted_there") else {
        return;
    };
    let secure = Secure::start();
    assert!(secure.server.log().contains("encrypted by the kernel"), "{}", secure.server.log());
    assert_eq!(secure.value("penstock_tls_kernel", &[]), 1.0);
    let before = kernel_counts();
    let back = secure.site.path().join("back").display().to_string();
    let trusted = secure.trusted();
    let mut requests = 0.0;
    for protocol in ["--http1.1", "--http2"] {
        for version in ["--tls-max=1.2", "--tls-max=1.3"] {
            let (option, most) = version.split_once('=').unwrap();
            let output = run(
                "curl",
                &[
                    "-sS",
                    protocol,
                    option,
                    most,
                    "--cacert",
                    &trusted,
                    "-o",
                    &back,
                    "-w",
                    "%{http_version} %{response_code}",
                    &secure.url(),
                ],
            );
            println!("{protocol} {version}: {}", text(&output));
            assert!(text(&output).ends_with(" 200"), "{protocol} {version}: {}", text(&output));
            assert!(fs::read(&back).unwrap() == secure.body, "{protocol} {version}: other bytes");
            requests += 1.0;
        }
    }
    let after = kernel_counts();
    let grown = |name: &str| after[name] - before.get(name).copied().unwrap_or(0);
    guest.record("ktls.txt", &format!("before {before:?}\nafter {after:?}\n"));
    // Software, since no network card is there that could.
    assert_eq!([grown("TlsTxSw"), grown("TlsRxSw")], [requests as u64; 2], "{after:?}");
    assert_eq!(grown("TlsDecryptError"), 0);
    let bytes = requests * OBJECT_BYTES as f64;
    assert_eq!(secure.value("penstock_tls_connections_total", &["mode=\"ktls\""]), requests);
    assert_eq!(secure.value("penstock_tls_connections_total", &["mode=\"user\""]), 0.0);
    assert_eq!(secure.value("penstock_response_bytes_total", &["delivery=\"ktls\""]), bytes);
    assert_eq!(secure.value("penstock_response_bytes_total", &["delivery=\"tls\""]), 0.0);
    assert_eq!(secure.value("penstock_copied_bytes_total", &["path=\"tls\""]), 0.0);
}

#[test]
fn uploads_are_decrypted_by_the_kernel() {
    let Some(_guest) = Guest::here("uploads_are_decrypted_by_the_kernel") else { return };
    let secure = Secure::start();
    let client =
        penstock_tests::client::Client::new(secure.address, secure.site.credentials().clone());
    let mut request = penstock_tests::sign::Request::new("PUT", &format!("/{BUCKET}/uploaded"))
        .header("Host", &client.host());
    penstock_tests::sign::Signer::new(secure.site.credentials())
        .presign(&mut request, std::time::Duration::from_secs(600));
    let file = secure.site.path().join("upload");
    fs::write(&file, &secure.body).unwrap();
    let url = format!("https://{}{}", client.host(), request.target());
    let (upload, trusted) = (file.display().to_string(), secure.trusted());
    for protocol in ["--http1.1", "--http2"] {
        let output = run(
            "curl",
            &["-sS", protocol, "--cacert", &trusted, "-T", &upload, "-w", "%{response_code}", &url],
        );
        assert_eq!(text(&output), "200", "{protocol}");
        let response = secure.server.client().get(BUCKET, "uploaded").unwrap();
        assert!(response.body == secure.body, "{protocol}: other bytes");
    }
}

#[test]
fn the_kernel_says_goodbye_and_sessions_are_resumed() {
    let Some(_guest) = Guest::here("the_kernel_says_goodbye_and_sessions_are_resumed") else {
        return;
    };
    let secure = Secure::start();
    let at = secure.address.to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let session = secure.site.path().join("session").display().to_string();
        let ask = format!("printf 'GET /{BUCKET}/x HTTP/1.0\\r\\n\\r\\n'");
        // OpenSSL 3 reports an end without close_notify as an error ("unexpected eof").
        let command = |option: &str| {
            format!(
                "{ask} | openssl s_client -ign_eof -connect {at} {version} {option} {session} \
                 -state 2>&1"
            )
        };
        let output = run("sh", &["-c", &command("-sess_out")]);
        assert!(text(&output).contains("New, TLS"), "{}", text(&output));
        assert!(text(&output).contains("HTTP/1.0 403"), "{}", text(&output));
        assert!(
            text(&output).contains("SSL3 alert read:warning:close notify"),
            "{}",
            text(&output)
        );
        let output = run("sh", &["-c", &command("-sess_in")]);
        assert!(text(&output).contains("Reused, TLS"), "{version}: {}", text(&output));
        assert!(text(&output).contains("HTTP/1.0 403"), "{}", text(&output));
    }
}

#[test]
fn a_client_may_change_its_key_where_the_kernel_can() {
    let Some(_guest) = Guest::here("a_client_may_change_its_key_where_the_kernel_can") else {
        return;
    };
    let secure = Secure::start();
    let at = secure.address.to_string();
    // `k` asks for a change of keys (TLS 1.3). Kernels before 6.13 cannot: the connection ends with an
    // alert, and the server goes on.
    let command = format!(
        "(sleep 3; printf 'k\\n'; sleep 3; printf 'GET /{BUCKET}/x HTTP/1.0\\r\\n\\r\\n'; sleep 10) | \
         openssl s_client -connect {at} -tls1_3 2>&1"
    );
    let output = text(&run("sh", &["-c", &command]));
    assert!(output.contains("KEYUPDATE"), "{output}");
    let answered = output.contains("HTTP/1.0 403");
    let refused = output.contains("SSL alert number");
    println!("answered after a change of keys: {answered}; {output}");
    assert!(answered || refused, "neither an answer nor an alert: {output}");
    let output = run(
        "curl",
        &[
            "-sS",
            "--cacert",
            &secure.trusted(),
            "-o",
            "/dev/null",
            "-w",
            "%{response_code}",
            &secure.url(),
        ],
    );
    assert_eq!(text(&output), "200", "another client");
}

#[test]
fn many_streams_of_http2_go_through_the_kernel() {
    let Some(_guest) = Guest::here("many_streams_of_http2_go_through_the_kernel") else { return };
    assert!(has_program("h2load"), "tools/packages.sh guest installs it");
    let secure = Secure::start();
    let output = run("h2load", &["-n", "12", "-c", "2", "-m", "4", &secure.url()]);
    let text = text(&output);
    println!("{text}");
    assert!(text.contains("12 succeeded, 0 failed, 0 errored"), "{text}");
    assert_eq!(secure.value("penstock_tls_connections_total", &["mode=\"user\""]), 0.0);
}
